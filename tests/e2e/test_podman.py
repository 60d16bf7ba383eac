# SPDX-License-Identifier: Apache-2.0
"""
A real Podman behind the socket: what is its own. Whole files run on it again with SALLYPORT_ENGINE=podman (marker
podman).
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from kit.broker import BASH, PROGRAM, SFTP, Broker, profile
from kit.fake_engine import FakeEngine
from kit.podman import Podman
from kit.proc import free_port, wait_for
from kit.target import PATIENCE

NOTE = "the kernel is asked how its containers are confined"
NOT_WITH_PODMAN = 'the data path "engine" does not work with Podman: its logins fail'


@pytest.fixture(scope="module")
def podman():
    e = Podman("busybox", "bash")
    try:
        e.start()
        yield e
    finally:
        e.stop()


@pytest.fixture
def fresh(podman, keys):
    """A broker on Podman that is not started yet."""
    b = Broker(keys, podman.socket)
    yield b
    b.close()
    wait_for(lambda: not podman.containers(), 20 * PATIENCE, "the containers of this test are gone")


@pytest.fixture(scope="module")
def shared(podman, keys):
    b = Broker(keys, podman.socket)
    b.start()
    yield b
    b.close()


@pytest.fixture
def broker(shared, podman):
    yield shared
    wait_for(shared.settled, 15 * PATIENCE, "the workers of this test have ended")
    wait_for(lambda: not podman.containers(), 20 * PATIENCE, "the containers of this test are gone")


def doctor(b):
    r = subprocess.run([PROGRAM, "-D", "-c", f"{b.dir}/broker.json"], capture_output=True, check=False, text=True,
                       timeout=60 * PATIENCE)
    return r.stdout


def test_programs(broker):
    t = broker.target
    r = t.ssh("cat; echo err >&2; exit 7", stdin=b"in\n")
    assert (r.returncode, r.stdout, r.stderr) == (7, b"in\n", b"err\n")
    transport = t.paramiko()
    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command("echo $PPID $(cat /proc/1/comm); kill -TERM $$")
        assert c.makefile("rb").read() == b"1 sallyport-guest\n"
        c.close()
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.get_pty("vt100", 91, 27)
        c.exec_command("stty size; read x; stty size")
        assert c.recv(100) == b"27 91\r\n"
        c.resize_pty(132, 50)
        c.sendall(b"\n")
        assert b"50 132" in c.makefile("rb").read()
        assert c.recv_exit_status() == 0
    finally:
        transport.close()


def test_inside(broker):
    """What was asked for is what is there, as a program in it sees it, and nothing of the host."""
    script = ("id; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/cgroup; echo; "
              "cat /etc/hosts /etc/resolv.conf; echo; ls /sys/class/net; ulimit -n; ulimit -c; "
              "touch /nope /etc/nope /run/nope /var/nope /dev/nope /proc/sys/kernel/hostname; "
              "grep ' /tmp ' /proc/mounts; env | grep -i -e podman.sock -e CONTAINERS_CONF; true")
    r = broker.target.ssh(script)
    out, err = r.stdout.decode(), r.stderr.decode()
    assert "uid=1000(dev) gid=1000(dev) groups=1000(dev)\n" in out
    for line in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{line}:\t0000000000000000\n" in out
    assert "NoNewPrivs:\t1\n" in out and "Seccomp:\t2\n" in out
    assert "libpod" not in out
    assert "\n\nlo\n1024\n0\n" in out, out  # no word of hosts and resolv.conf
    assert "tmpfs /tmp tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k 0 0\n" in out
    assert "CONTAINERS_CONF" not in out
    assert err.count("cannot touch") == 6 and err.count("No such file") == 2, err
    # Nobody can write but to /tmp and what is root's in /dev.
    r = broker.target.ssh("while read -r _ point type options _; do case $options in rw*) echo $point;; esac; "
                          "done < /proc/mounts")
    for point in r.stdout.decode().split():
        assert point == "/tmp" or point.split("/")[1] in ("proc", "dev", "sys"), point
    assert {"/run", "/var/tmp", "/etc/hosts"}.isdisjoint(r.stdout.decode().split())


def test_files_and_forwards(fresh, tmp_path):
    fresh.policy["profiles"]["dev"] = profile(argv=BASH, session=dict(
        SFTP, forward={"local": ["container:8080"]}))
    b = fresh.start()
    (tmp_path / "f").write_bytes(os.urandom(300000))
    r = b.target.sftp(f"put {tmp_path}/f /tmp/f\nget /tmp/f {tmp_path}/g\nls /tmp", cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    assert (tmp_path / "g").read_bytes() == (tmp_path / "f").read_bytes()
    port = free_port()
    p = b.target.popen("echo up; busybox nc -l -p 8080 -e echo from its network; read x",
                       options=["-L", f"127.0.0.1:{port}:127.0.0.1:8080"])
    try:
        assert p.stdout.readline() == b"up\n"

        def asked():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as c:
                return c.makefile("rb").read()

        assert wait_for(asked, 20 * PATIENCE, "the program answers") == b"from its network\n"
    finally:
        p.kill()
        p.communicate()


def test_modes_and_pool(fresh, podman):
    profiles = fresh.policy["profiles"]
    profiles["dev"] = profile(argv=BASH, mode="user", keep="10m")
    profiles["busy"] = profile("sallyport-test/busybox:latest", pool=1)
    b = fresh.start()
    wait_for(lambda: len(podman.containers()) == 1, 30 * PATIENCE, "one waits in the pool")
    name = b.target.ssh("echo kept > /tmp/x; cat /proc/sys/kernel/hostname").stdout
    assert b.target.ssh("cat /tmp/x /proc/sys/kernel/hostname").stdout == b"kept\n" + name
    [waiting] = [c for c in podman.containers() if not c.startswith(name.decode().strip())]
    assert b.target.ssh("cat /proc/sys/kernel/hostname", user="busy").stdout.decode().strip() == waiting[:12]
    solo = [b.target.ssh("cat /proc/sys/kernel/hostname", user="solo").stdout for _ in range(2)]
    assert solo[0] != solo[1]
    # The broker is killed: the kept one is there for the next, and nothing else is.
    b.kill()
    b.start()
    wait_for(lambda: len(podman.containers()) == 2, 30 * PATIENCE, "the kept one, and another for the pool")
    assert b.target.ssh("cat /tmp/x /proc/sys/kernel/hostname").stdout == b"kept\n" + name
    assert b.ask("kill", user="dev")["containers"] == 1


def test_nothing_outlives_its_connection(fresh, podman):
    b = fresh.start()
    mark = f"7{os.getpid():07d}1"
    p = b.target.popen(f"nohup sleep {mark} >/dev/null 2>&1 & setsid sleep {mark} >/dev/null 2>&1 </dev/null & "
                       f"trap '' HUP TERM INT; echo up; sleep {mark}")
    assert p.stdout.readline() == b"up\n"
    p.send_signal(signal.SIGKILL)
    p.communicate()
    wait_for(lambda: not podman.containers(), 30 * PATIENCE, "the container is removed")
    # And with the broker killed.
    p = b.target.popen("echo up; sleep 1234")
    assert p.stdout.readline() == b"up\n"
    b.kill()
    p.communicate(timeout=20)
    b.start()
    wait_for(lambda: not podman.containers(), 30 * PATIENCE, "the next start has removed it")


def test_its_service_is_restarted(fresh, podman):
    """Sessions do not notice, and the next login finds it again."""
    b = fresh.start()
    p = b.target.popen("echo up; cat; exit 5")
    assert p.stdout.readline() == b"up\n"
    podman.end_service()
    podman.serve()
    out, _ = p.communicate(b"still here\n", timeout=20 * PATIENCE)
    assert (p.returncode, out) == (5, b"still here\n")
    wait_for(lambda: b.ask("status")["engine"]["state"] == "ok", 30 * PATIENCE, "it is found again")
    assert b.target.ssh("echo again").stdout == b"again\n"


@pytest.fixture
def homes():
    """A directory that only root may change anything above of; /tmp would do less well."""
    path = tempfile.mkdtemp(prefix="sallyport-test-", dir="/srv")
    os.chmod(path, 0o755)
    os.mkdir(f"{path}/dev")
    os.chown(f"{path}/dev", 1000, 1000)
    yield path
    shutil.rmtree(path)


def test_mounts_and_networks(fresh, podman, homes):
    fresh.policy["bind_roots"] = {"homes": homes}
    mounts = [{"tmpfs": "/tmp", "size": "1M"}, {"volume": "sp-test", "to": "/data"},
              {"bind": "homes/${user}", "to": "/home/me"}]
    fresh.policy["profiles"]["dev"] = profile(argv=BASH, mounts=mounts, network="bridge")
    b = fresh.start()
    r = b.target.ssh("ls /sys/class/net; id -u; head -c 2000000 /dev/zero > /tmp/x; grep ' /data ' /proc/mounts; "
                     "cat /etc/hosts; touch /home/me/mine")
    out = r.stdout.decode()
    assert "eth0" in out and "/data" in out and b"No space left" in r.stderr
    assert socket.gethostname() not in out
    assert os.stat(f"{homes}/dev/mine").st_uid == 1000


def test_what_it_cannot_do_is_said(fresh, podman):
    fresh.policy["profiles"]["solo"] = profile(argv=BASH, data_path="engine")
    b = fresh.start()
    wait_for(lambda: NOT_WITH_PODMAN in b.log(), 20 * PATIENCE, "the log names the profile")
    assert f'profile "solo": {NOT_WITH_PODMAN}' in b.log()
    assert b.log().count(NOTE) == 1
    status = b.ask("status")["engine"]
    assert status["podman"].split(".")[0] in ("4", "5") and NOTE in status["note"] and status["state"] == "ok"
    r = b.target.ssh("true", user="solo")
    assert r.returncode == 255
    assert b'The profile "solo" does not work with this host\'s container engine.' in r.stderr
    r = b.target.ssh("true", user="lost")
    assert b'The container image "sallyport-test/not-there:latest" is not on this host.' in r.stderr
    said = doctor(b)
    assert f'profile \\"solo\\": {NOT_WITH_PODMAN}'.replace('data path "engine"', 'data path \\"engine\\"') in said
    assert NOTE in said and f"Podman {status['podman']}" in said
    assert not podman.containers()


@pytest.mark.parametrize("controllers, limited", [
    (["cpuset", "cpu", "io", "memory", "pids"], ["swap", "processor time"]), (["cpu"], ["processor time"]),
    (["memory", 7, None], ["swap"]), ("cpu memory", []), ({"cpu": "memory"}, []), (None, [])])
def test_limits_on_cgroup_v2(liar, controllers, limited):
    """There it tells Docker's clients that it can limit neither swap nor processors."""
    b, fake = liar
    fake.rules([{"path": "^/info", "action": "lie", "set": {"CgroupVersion": "2", "SwapLimit": False,
                                                            "CpuCfsQuota": False}},
                {"path": "/libpod/info", "action": "lie", "set": {"host.cgroupControllers": controllers}}])
    said = doctor(b)
    fake.rules([])
    assert "cgroup version 2" in said
    for what in ("swap", "processor time"):
        assert (f"the engine cannot limit {what}" in said) == (what not in limited)
    assert "daemon.json" not in said and "plugin" not in said


# What an engine that lies asks the container runtime for, what it says then, and what the kernel says.
LIES = {
    "capabilities": ({"cap_drop": []}, {"BoundingCaps": None, "EffectiveCaps": None}, "it has capabilities"),
    "new-privileges": ({"no_new_privileges": False}, {"HostConfig.SecurityOpt": ["no-new-privileges"]},
                       "NoNewPrivs: is 0"),
    "no-filter": ({"seccomp_profile_path": "unconfined"}, {"HostConfig.SecurityOpt": ["no-new-privileges"]},
                  "Seccomp: is 0"),
    "root": ({"user": "0:0"}, {"Config.User": "1000:1000"}, "Uid: is 0"),
    "groups": ({"groups": ["27"]}, {"HostConfig.GroupAdd": []}, "Groups: is 27"),
    "writable": ({"read_only_filesystem": False}, {"HostConfig.ReadonlyRootfs": True}, "its root can be written"),
    "unmasked": ({"unmask": ["ALL"]}, {}, "is not"),
    "memory": ({"mounts.2.options": ["size=512m", "nosuid", "nodev"]}, {}, "/tmp has a size of 536870912"),
    "one-more": ({"mounts.3": {"type": "tmpfs", "source": "tmpfs", "destination": "/run"}}, {},
                 "a tmpfs is mounted at /run that nobody asked for"),
    "the-host": ({"mounts.3": {"type": "bind", "source": "/", "destination": "/host", "options": ["rbind"]}},
                 {"Mounts.2": "(gone)"}, "/host"),
    "writable-bind": ({"mounts.0.options": ["rw", "bind"]}, {"Mounts.0.RW": False, "Mounts.1.RW": False},
                      "can be written"),
    "hosts": ({"use_image_hosts": False}, {}, "/etc/hosts that nobody asked for"),
    "files": ({"r_limits": []}, {}, "Max open files"),
    "network": ({"netns": {"nsmode": "host"}}, {"HostConfig.NetworkMode": "none", "NetworkSettings.Networks": {}},
                "it is in the host's network"),
}


@pytest.fixture(scope="module")
def liar(podman, keys, tmp_path_factory):
    fake = FakeEngine(str(tmp_path_factory.mktemp("liar")), podman)
    b = Broker(keys, fake.socket)
    b.start()
    yield b, fake
    b.close()
    fake.stop()


@pytest.mark.parametrize("name", LIES)
def test_the_kernel_does_not_lie(liar, podman, name):
    """Its own account is as was asked for; the container is not."""
    b, fake = liar
    ask, told, says = LIES[name]
    since = b.log_size()
    fake.rules([{"method": "POST", "path": "/libpod/containers/create", "action": "meddle", "ask": ask},
                {"method": "GET", "path": "/libpod/containers/.*/json", "action": "lie", "set": told}])
    r = b.target.ssh("echo got in")
    fake.rules([])
    assert (r.returncode, r.stdout) == (255, b"")
    assert says in b.log(since), b.log(since)
    assert " started: exec" not in b.log(since)
    wait_for(lambda: not podman.containers(), 30 * PATIENCE, "it is removed")
    assert b.target.ssh("echo honest").stdout == b"honest\n"


def test_rootless_is_refused(liar, podman, keys):
    """One that is not root's Podman: its socket is not root's."""
    _, fake = liar
    os.chown(fake.socket, 4242, 4242)
    os.chmod(fake.socket, 0o666)
    other = Broker(keys, fake.socket)
    try:
        other.start()
        sentence = "the engine is a rootless Podman, which is not supported"
        wait_for(lambda: sentence in str(other.ask("status")["engine"]["reason"]), 20 * PATIENCE, "it is said")
        assert sentence in doctor(other)
        r = other.target.ssh("true")
        assert b"The container engine is not responding. Try again later." in r.stderr
        assert not podman.containers()
    finally:
        other.close()
        os.chown(fake.socket, 0, 0)
