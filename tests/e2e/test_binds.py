# SPDX-License-Identifier: Apache-2.0
"""
Directories of the host in containers: those below the policy's roots, and nothing that a link, a tenant's
rename or a missing directory could make of them.
"""
import os
import shutil
import tempfile

import pytest

from kit.broker import BASH, profile
from kit.hung import hung
from kit.neighbour import Neighbour
from kit.proc import wait_for
from kit.target import PATIENCE

UID = 1000  # of the profiles' containers
MISSING = b"does not exist on this host"
UNSAFE = b"cannot be given to a container"


@pytest.fixture
def root():
    """A directory that only root may change anything above of; /tmp would do less well."""
    path = tempfile.mkdtemp(prefix="sallyport-test-", dir="/srv")
    os.chmod(path, 0o755)
    for user in ("alice", "bob"):
        os.mkdir(f"{path}/{user}")
        os.chown(f"{path}/{user}", UID, UID)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def broker(fresh_broker, keys, root):
    mounts = [{"bind": "homes/${user}", "to": "/home/me"}]
    shared = [{"bind": "homes/shared", "to": "/shared", "read_only": True}]
    fresh_broker.policy.update(
        bind_roots={"homes": root},
        users={user: {"keys": keys.public()} for user in ("alice", "bob", "carol")},
        profiles={"home": profile(argv=BASH, workdir="/", mounts=mounts),
                  "both": profile(argv=BASH, workdir="/", mounts=mounts + shared)},
        rules=[{"id": "both", "if": {"user": ["bob"]}, "use": "both"}, {"id": "all", "use": "home"}])
    return fresh_broker.start()


def refused(broker, user, words):
    r = broker.target.ssh("echo never", user=user)
    assert r.returncode != 0 and b"never" not in r.stdout
    assert words in r.stderr, r.stderr
    return r


def test_home_is_the_users_own_and_stays(broker, root):
    assert broker.target.ssh("echo hello > /home/me/file; id -u", user="alice").stdout == b"1000\n"
    with open(f"{root}/alice/file", encoding="ascii") as f:
        assert f.read() == "hello\n"
    assert broker.target.ssh("cat /home/me/file", user="alice").stdout == b"hello\n"
    assert os.listdir(f"{root}/bob") == []


def test_read_only_is(broker, root):
    os.mkdir(f"{root}/shared")
    os.chmod(f"{root}/shared", 0o755)
    with open(f"{root}/shared/readme", "w", encoding="ascii") as f:
        f.write("read\n")
    r = broker.target.ssh("cat /shared/readme; echo x > /shared/readme; echo y > /home/me/y && echo mine",
                          user="bob")
    assert r.stdout == b"read\nmine\n" and b"Read-only file system" in r.stderr


def test_what_the_engine_was_asked_for_is_what_it_made(broker, engine, root):
    p = broker.target.popen("echo up; read x", user="alice")
    try:
        assert p.stdout.readline() == b"up\n"
        [cid] = engine.containers()
        [made] = [m for m in engine.inspect(cid)["Mounts"] if m["Destination"] == "/home/me"]
    finally:
        p.communicate(b"\n", timeout=60)
    assert (made["Type"], made["Source"], made["RW"], made["Propagation"]) == \
        ("bind", f"{root}/alice", True, "rprivate")


def test_missing_directory(broker):
    refused(broker, "carol", MISSING)
    assert "/carol does not exist" in broker.log()


@pytest.mark.parametrize("target", ["/etc", "bob", "../../etc", "/var/run/docker.sock", "nowhere"])
def test_link_in_its_place(broker, root, target):
    """Wherever it leads, also to another user's directory that would be good by itself."""
    os.rmdir(f"{root}/alice")
    os.symlink(target, f"{root}/alice")
    refused(broker, "alice", UNSAFE)
    assert "/alice is a symbolic link" in broker.log()


def test_link_on_the_way(broker, root):
    os.rename(root, f"{root}-real")
    os.symlink(f"{root}-real", root)
    try:
        refused(broker, "alice", UNSAFE)
        assert f"{root} is a symbolic link" in broker.log()
    finally:
        os.unlink(root)
        os.rename(f"{root}-real", root)


def test_root_that_others_may_write(broker, root):
    """Somebody else could rename what was looked at before the engine follows the path."""
    for mode in (0o775, 0o777, 0o1777):
        os.chmod(root, mode)
        refused(broker, "alice", UNSAFE)
    assert "could be replaced by others than root" in broker.log()
    os.chmod(root, 0o755)
    assert broker.target.ssh("echo good", user="alice").stdout == b"good\n"


def test_no_directory(broker, root):
    os.rmdir(f"{root}/alice")
    with open(f"{root}/alice", "w", encoding="ascii"):
        pass
    refused(broker, "alice", UNSAFE)


@pytest.mark.parametrize("how, begins", [
    ("touch work", "/"), ("ln -s work work", "/"), ("ln -s /proc/self/fd/7 work", "/"), ("true", "/"),
    ("ln -s /tmp work", "/tmp"), ("mkdir work", "/home/me/work")])
def test_working_directory_of_the_tenants_making(broker, root, how, begins):
    """The engine does not go there: it would as root, and start nothing where it cannot."""
    for p in broker.policy["profiles"].values():
        p["container"]["workdir"] = "/home/me/work"
    broker.stop()
    broker.start()
    broker.target.ssh(f"cd /home/me; {how}", user="alice")
    r = broker.target.ssh("pwd", user="alice")
    assert (r.returncode, r.stdout.decode()) == (0, f"{begins}\n"), r.stderr
    assert (b"Could not chdir to /home/me/work: " in r.stderr) == (begins == "/")
    assert os.listdir(f"{root}/alice") == ([] if how == "true" else ["work"])


@pytest.fixture
def inside(engine):
    """An image whose WORKDIR is in the directory of the host."""
    with engine.image_made_of("sallyport-test/bash:latest", "WORKDIR /home/me/work") as image:
        yield image


def test_working_directory_of_the_image(broker, root, inside):
    """As the policy's: the engine would go there, and make it, before anybody can look. It is for the policy to name."""
    for p in broker.policy["profiles"].values():
        p["container"]["image"] = inside
        del p["container"]["workdir"]
    broker.stop()
    broker.start()
    assert broker.target.ssh("echo never", user="alice").returncode == 255
    assert 'the image\'s WORKDIR "/home/me/work" is in "/home/me", whose links can lead elsewhere: name ' \
        'container.workdir' in broker.log()
    assert os.listdir(f"{root}/alice") == []
    for p in broker.policy["profiles"].values():
        p["container"]["workdir"] = "/home/me/work"
    broker.stop()
    broker.start()
    assert broker.target.ssh("mkdir /home/me/work; pwd", user="alice").stdout == b"/\n"
    assert broker.target.ssh("pwd", user="alice").stdout == b"/home/me/work\n"


def test_the_brokers_own(broker):
    """A root above what is sallyport's is the administrator's mistake; it stays without effect."""
    above, name = os.path.split(broker.dir)
    broker.policy["bind_roots"] = {"homes": above}
    for p in broker.policy["profiles"].values():
        p["container"]["mounts"] = [{"bind": f"homes/{name}", "to": "/home/me"}]
    broker.stop()
    broker.start()
    refused(broker, "alice", UNSAFE)
    assert "which is sallyport's" in broker.log()


def test_others_are_not_disturbed_while_a_tenant_swaps(broker, root):
    """
    The owner of a directory changes what he can while logins come in: what lies in it, never its place.
    No container ever shows anything but his directory.
    """
    os.mkdir(f"{root}/alice/inner")
    os.chown(f"{root}/alice/inner", UID, UID)
    swap = "cd /home/me && for i in 1 2 3 4 5 6 7 8 9; do mv inner out; ln -s /etc inner; rm inner; mv out inner; done; echo done"
    p = broker.target.popen(swap, user="alice")
    r = broker.target.ssh("test -e /home/me/passwd || echo none; mv /home/me /home/you || echo fixed",
                          user="alice")
    assert r.stdout == b"none\nfixed\n"
    assert p.communicate(timeout=60)[0] == b"done\n"
    assert sorted(os.listdir(root)) == ["alice", "bob"]


def test_file_system_that_does_not_answer(broker, engine, root):
    """As one of a server that is away: it costs who wants it, and he is told."""
    os.mkdir(f"{root}/shared")
    broker.stop()
    broker.config["engine"]["call_timeout"] = "3s"
    broker.start()
    with hung(f"{root}/alice"):
        with Neighbour(broker.target.of("bob")):
            waiting = [broker.target.popen("echo never", user="alice") for _ in range(3)]
            assert broker.target.ssh("echo there", user="bob").stdout == b"there\n"
            for p in waiting:
                out, err = p.communicate(timeout=60 * PATIENCE)
                assert p.returncode != 0 and out == b"" and b"The directory for /home/me does not answer" in err, err
            assert broker.target.ssh("echo there", user="bob").stdout == b"there\n"
        assert 'the bind "homes/alice" cannot be mounted: its file system does not answer' in broker.log()
        # Nothing of the broker's waits for it at the end.
        broker.stop()
        broker.start()
    assert broker.target.ssh("echo again", user="alice").stdout == b"again\n"
    wait_for(lambda: not engine.containers(), 60 * PATIENCE, "no container is left")


RUNTIMES = {"runtimes": ["runc", "sallyport-none"]}


def with_container(broker, **settings):
    broker.policy.update(RUNTIMES)
    for p in broker.policy["profiles"].values():
        p["container"].update(settings)
    broker.stop()
    broker.start()


def test_runtime(broker, engine):
    with_container(broker, runtime="runc")
    p = broker.target.popen("echo up; read x", user="alice")
    try:
        assert p.stdout.readline() == b"up\n"
        [cid] = engine.containers()
        assert engine.inspect(cid)["HostConfig"]["Runtime"] == "runc"
    finally:
        p.communicate(b"\n", timeout=60)


def test_runtime_that_the_engine_lacks(broker, engine):
    """No other one takes its place: nothing runs."""
    with_container(broker, runtime="sallyport-none")
    refused(broker, "alice", b"could not be started")
    assert "sallyport-none" in broker.log()
    assert engine.containers() == []


def test_name_servers(broker):
    with_container(broker, network="bridge", dns=["192.0.2.53", "192.0.2.54"])
    r = broker.target.ssh("cat /etc/resolv.conf", user="alice")
    servers = [line.split()[1] for line in r.stdout.decode().splitlines()
               if line.startswith("nameserver")]
    assert servers == ["192.0.2.53", "192.0.2.54"]
