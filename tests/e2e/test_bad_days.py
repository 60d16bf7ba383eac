# SPDX-License-Identifier: Apache-2.0
"""DESIGN section 10: what people and operators get when something else is broken."""
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

from kit.broker import BUILD, MISSING_IMAGE, PROGRAM, direct_only
from kit.fake_engine import FakeEngine
from kit.proc import wait_for
from kit.target import PATIENCE

SAYS_ENGINE = b"container engine is not responding"


@pytest.fixture
def fake(fresh_broker, engine):
    f = FakeEngine(fresh_broker.dir, engine)
    fresh_broker.config["engine"].update(socket=f.socket, call_timeout="4s", start_timeout="6s",
                                         probe_interval="1s")
    yield f
    # Let it work again: what a broker made through it, it has to remove through it.
    f.rules([])
    try:
        if fresh_broker.process is not None and fresh_broker.process.poll() is None:
            time.sleep(1.5)
            fresh_broker.stop()
    finally:
        f.stop()
        # A container that the broker had to leave is the next start's: that start is here.
        fresh_broker.config["engine"]["socket"] = engine.socket
        if engine.containers():
            fresh_broker.start()
            wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the next start cleans up")


def fails(target, words, user=None, seconds=20):
    start = time.monotonic()
    r = target.ssh("echo never", user=user, seconds=seconds)
    assert r.stdout == b""
    assert r.returncode == 255, r
    assert words.lower() in r.stderr.lower(), r.stderr
    return time.monotonic() - start


@pytest.mark.data_path
def test_image_is_missing(broker):
    since = broker.log_size()
    fails(broker.target, MISSING_IMAGE.encode(), user="lost")
    [line] = [one for one in broker.log(since).splitlines() if " failed to start: " in one]
    assert MISSING_IMAGE in line and "images are never pulled: pull or load it on the engine's host" in line


@pytest.mark.data_path
def test_image_is_missing_on_a_terminal(broker):
    r = broker.target.ssh("-tt", user="lost")
    assert r.returncode == 255
    assert MISSING_IMAGE.encode() in r.stdout + r.stderr
    # Lines on a raw terminal need both.
    assert b"\r\n" in r.stdout + r.stderr


@pytest.mark.data_path
def test_engine_is_absent(fresh_broker):
    """The broker starts all the same, says so, and works when the engine comes."""
    socket = fresh_broker.config["engine"]["socket"]
    link = f"{fresh_broker.dir}/engine.sock"
    fresh_broker.config["engine"].update(socket=link, probe_interval="1s", call_timeout="2s")
    b = fresh_broker.start()
    fails(b.target, SAYS_ENGINE)
    assert "not responding" in b.log()
    os.symlink(socket, link)
    wait_for(lambda: b.target.ssh("echo back").stdout == b"back\n", 20 * PATIENCE,
             "logins work once the engine is there")


@pytest.mark.data_path
def test_engine_hangs(fresh_broker, fake):
    """_ping and lists answer, start and networks do not: what a wedged dockerd looks like."""
    b = fresh_broker.start()
    held = b.target.popen("echo up; read x; echo $x")
    assert held.stdout.readline() == b"up\n"
    fake.rules([{"path": "/start", "action": "hang"}, {"path": "/networks", "action": "hang"},
                {"path": "/json", "method": "GET", "action": "hang"},
                {"path": "/kill", "action": "hang"}, {"method": "DELETE", "action": "hang"}])
    assert fails(b.target, SAYS_ENGINE, seconds=30) < 20 * PATIENCE
    # Once that is known, nobody waits for it any more.
    wait_for(lambda: "is not responding" in b.log(), 15 * PATIENCE, "the broker has noticed")
    assert fails(b.target, SAYS_ENGINE) < 4 * PATIENCE
    # A session that runs does not notice.
    held.stdin.write(b"unharmed\n")
    held.stdin.flush()
    assert held.stdout.readline() == b"unharmed\n"
    held.stdin.close()
    assert held.wait(10) == 0
    held.stdout.close()
    held.stderr.close()
    fake.rules([])
    wait_for(lambda: b.target.ssh("echo back").stdout == b"back\n", 30 * PATIENCE,
             "logins work again")


@pytest.mark.data_path
@pytest.mark.parametrize("rule", [
    {"path": "/containers/create", "action": "status", "status": 500,
     "body": {"message": "no space left on device"}},
    {"path": "/containers/create", "action": "garble"},
    {"path": "/containers/create", "action": "truncate"},
    {"path": "/containers/create", "action": "junk"},
    {"path": "/containers/create", "action": "endless"},
    {"path": "/containers/create", "action": "drop"},
    {"path": "/containers/create", "action": "drop_after"},
    {"path": "/containers/create", "action": "hang_after"},
    {"path": "/start", "action": "status", "status": 500, "body": {"message": "nope"}},
    {"path": "/start", "action": "drop_after"},
    {"path": "/start", "action": "hang_after"},
    {"method": "GET", "path": "/containers/[^/]+/json", "action": "garble"},
    {"method": "GET", "path": "/containers/[^/]+/json", "action": "lie",
     "set": {"HostConfig.Privileged": True}},
    {"method": "GET", "path": "/containers/[^/]+/json", "action": "lie",
     "set": {"HostConfig.CapAdd": ["SYS_ADMIN"]}},
    {"method": "GET", "path": "/containers/[^/]+/json", "action": "lie",
     "set": {"Config.User": "0:0"}},
], ids=lambda rule: f"{rule['path'].strip('/').split('/')[-1]}-{rule['action']}")
def test_engine_fails_a_start(fresh_broker, fake, engine, rule):
    """The person gets a sentence, no program runs, and the next login is well again."""
    b = fresh_broker.start()
    assert b.target.ssh("echo first").stdout == b"first\n"
    fake.rules([rule])
    fails(b.target, b"container")
    fake.rules([])
    wait_for(lambda: b.target.ssh("echo again").stdout == b"again\n", 25 * PATIENCE,
             "the next login works")
    wait_for(lambda: not engine.containers(), 25 * PATIENCE, "nothing is left of the failed one")


def test_starts_that_hang_are_their_owners_affair(fresh_broker, fake):
    """A pool is filled meanwhile, and others come in; who has as many of these as start at a time waits for them."""
    b = fresh_broker
    b.config["engine"].update(starts=2, start_timeout="3m")
    b.policy["profiles"]["busy"]["container"]["pool"] = 1
    b.start()
    full = lambda: b.ask("status")["pool"]["ready"] == 1  # noqa: E731
    wait_for(full, 20 * PATIENCE, "the pool is full")
    fake.rules([{"method": "POST", "path": "/start$", "action": "hold", "times": 2}])
    waiting = [b.target.popen("echo in", user="dev") for _ in range(2)]
    counts = lambda: [b.ask("status")["engine"][n] for n in ("starting", "queued")]  # noqa: E731
    wait_for(lambda: counts() == [2, 0], 20 * PATIENCE, "two hang")
    assert b.target.ssh("echo in", user="busy").stdout == b"in\n"
    wait_for(full, 30 * PATIENCE, "the pool is full again")
    waiting.append(b.target.popen("echo in", user="dev"))
    wait_for(lambda: counts() == [2, 1], 20 * PATIENCE, "the next one waits")
    assert b.target.ssh("echo in", user="nopty").stdout == b"in\n"
    assert counts() == [2, 1]
    fake.rules([])
    for client in waiting:
        assert client.communicate(timeout=30 * PATIENCE)[0] == b"in\n"


@pytest.mark.data_path
def test_engine_restarts_under_a_session(fresh_broker, engine):
    """Without live-restore the engine ends its containers: the person is told, nothing stays."""
    fresh_broker.config["engine"].update(probe_interval="1s")
    b = fresh_broker.start()
    p = b.target.popen("echo up; sleep 1000")
    assert p.stdout.readline() == b"up\n"
    # Not the whole engine, which other tests need: a kill that nobody announced looks the same.
    [cid] = engine.containers()
    engine.run("kill", "--signal", "KILL", cid)
    assert p.wait(15 * PATIENCE) == 255
    assert b"container" in p.communicate()[1].lower()


def check_only(directory, config, policy):
    for name, text in (("broker.json", config), ("policy.json", policy)):
        path = f"{directory}/{name}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text if isinstance(text, str) else json.dumps(text, indent=2))
        os.chmod(path, 0o600)
    r = subprocess.run([PROGRAM, "-t", "-c", f"{directory}/broker.json"], capture_output=True,
                       text=True, timeout=20, check=False)
    return r.returncode, r.stderr.replace(f"{directory}/", "")


GOOD_CONFIG = {"policy": "policy.json"}
GOOD_POLICY = {"sallyport_policy": 1}


def test_check_accepts_what_runs(fresh_broker):
    fresh_broker.write()
    r = subprocess.run([PROGRAM, "-t", "-c", f"{fresh_broker.dir}/broker.json"],
                       capture_output=True, text=True, timeout=20, check=False)
    assert r.returncode == 0, r.stderr
    assert "configuration, host keys and policy are fine" in r.stderr


def test_check_reads_the_host_keys(fresh_broker):
    """What would stop a start is said by -t; what a start would make is no error, and is not made."""
    def check():
        fresh_broker.write()
        return subprocess.run([PROGRAM, "-t", "-c", f"{fresh_broker.dir}/broker.json"],
                              capture_output=True, text=True, timeout=20, check=False)

    key = f"{fresh_broker.dir}/host_rsa_key"
    os.chmod(key, 0o644)
    r = check()
    assert r.returncode == 1 and "host_rsa_key" in r.stderr and "chmod 600" in r.stderr
    os.unlink(key)
    r = check()
    assert r.returncode == 1 and "make_host_keys" in r.stderr
    fresh_broker.config["make_host_keys"] = True
    r = check()
    assert r.returncode == 0 and f"{key} is not there yet: the broker makes it" in r.stderr
    assert not os.path.exists(key)


def same_type(b):
    for end in ("", ".pub"):
        shutil.copy(f"{b.dir}/host_rsa_key{end}", f"{b.dir}/again{end}")
    b.config["host_keys"].append("again")


def same_type_to_be_made(b):
    b.config["host_keys"].append("ssh_host_rsa_key")
    b.config["make_host_keys"] = True


def key_in_no_directory(b):
    b.config["host_keys"].append("none/key")
    b.config["make_host_keys"] = True


def audit_in_no_directory(b):
    b.config["audit"]["file"] = "none/audit.log"


def audit_that_is_a_directory(b):
    os.mkdir(f"{b.dir}/audit.log", 0o700)


def audit_that_others_write(b):
    with open(f"{b.dir}/audit.log", "w", encoding="utf-8"):
        os.chmod(f"{b.dir}/audit.log", 0o666)


def no_worker(b):
    b.config["worker"]["program"] = "none/sallyportd"


def worker_that_is_no_program(b):
    b.config["worker"]["program"] = "policy.json"


def run_in_no_directory(b):
    b.config["runtime_dir"] = "none/run"


def run_of_another_user(b):
    os.mkdir(f"{b.dir}/run", 0o700)
    os.chown(f"{b.dir}/run", 64300, -1)


def state_that_is_a_file(b):
    b.config["state_dir"] = "policy.json"


def control_in_no_directory(b):
    b.config["control"] = {"socket": "none/control.sock"}


def engine_as_docker_writes_it(b):
    b.config["engine"]["socket"] = f"unix://{b.config['engine']['socket']}"


@pytest.mark.parametrize("spoil, words", [
    (same_type, "again is the second one of its type"),
    (same_type_to_be_made, "ssh_host_rsa_key is the second one of its type"),
    (key_in_no_directory, "none/key could not be made"),
    (audit_in_no_directory, "none: No such file"), (audit_that_is_a_directory, "not a regular file"),
    (audit_that_others_write, "written by group or others"),
    (no_worker, "none/sallyportd: No such file"), (worker_that_is_no_program, "is no program"),
    (run_in_no_directory, "none: No such file"), (run_of_another_user, "run belongs to another user"), (state_that_is_a_file, "is no directory"),
    (control_in_no_directory, "none: No such file"),
    (engine_as_docker_writes_it, "leave \"unix://\" out"),
], ids=lambda v: getattr(v, "__name__", ""))
def test_check_refuses_what_a_start_refuses(fresh_broker, spoil, words):
    """And makes nothing."""
    spoil(fresh_broker)
    fresh_broker.write()
    before = sorted(os.listdir(fresh_broker.dir))
    r = subprocess.run([PROGRAM, "-t", "-c", f"{fresh_broker.dir}/broker.json"],
                       capture_output=True, text=True, timeout=20, check=False)
    assert r.returncode == 1 and words in r.stderr, r.stderr
    assert sorted(os.listdir(fresh_broker.dir)) == before
    with pytest.raises(AssertionError):
        fresh_broker.start()


def check(b, **how):
    return subprocess.run([PROGRAM, "-t", "-c", f"{b.dir}/broker.json"], capture_output=True, text=True, timeout=20,
                          check=False, **how)


@pytest.mark.parametrize("guest_dir, words", [
    ("none", "none: No such file"), ("policy.json", "policy.json is no directory"),
    (".", "/sallyport-guest: No such file")])
def test_check_says_what_it_does_not_examine(fresh_broker, guest_dir, words):
    """An engine elsewhere has the guest's directory: without it a start is fine, and is warned of."""
    fresh_broker.config["engine"]["guest_dir"] = guest_dir
    fresh_broker.write()
    r = check(fresh_broker)
    assert r.returncode == 0 and words in r.stderr and "nobody could log in" in r.stderr, r.stderr
    assert "sallyport doctor examines the rest" in r.stderr.splitlines()[-1]


def test_check_names_the_file_of_a_credential_that_is_lost(fresh_broker):
    """The manager's own words at such a start name neither the file nor the reason."""
    fresh_broker.config["host_keys"] = ["credential:no_such_key"]
    fresh_broker.write()
    r = check(fresh_broker)
    assert r.returncode == 0 and "/etc/sallyport/no_such_key, which is not there" in r.stderr, r.stderr
    said = "configuration and policy are fine, and what a start opens is there, but not all host keys were checked"
    assert said in r.stderr.splitlines()[-1]


def test_check_by_somebody_else(fresh_broker):
    """Who is neither root nor the broker's user is told to ask as root, before any advice about files."""
    b = fresh_broker
    b.write()
    os.makedirs(f"{b.dir}/{b.config['state_dir']}", mode=0o700, exist_ok=True)
    os.chmod(b.dir, 0o755)
    os.chmod(f"{b.dir}/broker.json", 0o644)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    if subprocess.run(["test", "-x", PROGRAM], check=False, **nobody).returncode != 0:
        pytest.skip("others cannot run what was built here")
    r = check(b, **nobody)
    assert r.returncode == 1 and "ask as root" in r.stderr.splitlines()[0], r.stderr
    assert "ask as root" not in check(b).stderr
    for who, is_told in ((nobody, True), ({}, False)):
        r = subprocess.run([PROGRAM, "-D", "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                           timeout=60 * PATIENCE, check=False, **who)
        advice = [f["advice"] for f in json.loads(r.stdout)["findings"] if f["check"] == "configuration"]
        assert ("ask as root" in advice) == is_told, r.stdout


# ----- disks and limits -----

@contextlib.contextmanager
def own_disk(path, options):
    os.mkdir(path, 0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0755,{options}", "none", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_check_of_a_read_only_disk(fresh_broker):
    with own_disk(f"{fresh_broker.dir}/state", "ro"):
        fresh_broker.write()
        r = check(fresh_broker)
        assert r.returncode == 1 and f"state_dir {fresh_broker.dir}/state: Read-only file system" in r.stderr, r.stderr


@contextlib.contextmanager
def full(path):
    """No file and no directory can be made there, nor a byte be written."""
    fillers = []
    with pytest.raises(OSError, match="No space left"):
        while True:
            fillers.append(f"{path}/filler-{len(fillers)}")
            with open(fillers[-1], "wb") as f:
                f.write(bytes(8192))
    try:
        yield
    finally:
        for filler in fillers:
            if os.path.exists(filler):
                os.unlink(filler)


@pytest.mark.parametrize("name, said", [
    ("state", r"warning: container=(\S+) a restart will not know since when it is kept: {path}: No space left on device\n"),
    pytest.param("run", r"error: cannot make {path}/rendezvous/(sallyport-\S+): No space left on device\n",
                 marks=direct_only("only what is kept has a directory"))])
def test_disk_is_full(fresh_broker, name, said):
    """Its place is named. Who is in stays in, what needs nothing of it goes on, and all does when there is room."""
    b, path = fresh_broker, f"{fresh_broker.dir}/{name}"
    b.policy["profiles"]["dev-kept"]["container"]["keep"] = "1h"
    with own_disk(path, "size=1m,nr_inodes=64"):
        b.start()
        p = b.target.popen("echo up; read x; echo $x", user="dev-kept")
        assert p.stdout.readline() == b"up\n"
        with full(path):
            assert p.communicate(b"unharmed\n", timeout=20 * PATIENCE)[0] == b"unharmed\n"
            if name == "run":
                fails(b.target, b"container could not be started", user="solo")
            assert b.target.ssh("echo again", user="dev-kept").stdout == b"again\n"
            wait_for(lambda: re.search(said.format(path=re.escape(path)), b.log()), 10 * PATIENCE, "it is said")
        assert b.target.ssh("echo in", user="solo").stdout == b"in\n"
        assert b.target.ssh("echo in", user="dev-kept").stdout == b"in\n"
        wait_for(lambda: os.listdir(f"{b.dir}/state/kept"), 20 * PATIENCE, "it is marked")
        b.ask("kill", user="dev-kept")
        wait_for(lambda: not os.listdir(f"{b.dir}/state/kept"), 20 * PATIENCE, "its mark is gone")
        assert b.stop() == 0
        assert os.listdir(f"{b.dir}/run/rendezvous") == []


@pytest.mark.parametrize("limit, why", [
    (16, "Too many open files"), (64, "RLIMIT_NOFILE has to be at least 920")])
def test_too_few_descriptors_to_start(fresh_broker, limit, why):
    """It ends, with the reason in its last word; a start that never comes to an end is nobody's."""
    fresh_broker.write()
    r = subprocess.run([PROGRAM, "-c", f"{fresh_broker.dir}/broker.json"], capture_output=True, text=True, check=False,
                       timeout=60 * PATIENCE,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    assert r.returncode == 1
    assert f"limits.connections of 1000 may take 10000 descriptors, and RLIMIT_NOFILE is {limit}" in r.stderr
    [line] = [line for line in r.stderr.splitlines() if "cannot go on: no worker came up" in line]
    assert why in line, r.stderr


def test_a_spawner_has_as_many_descriptors_as_it_may(fresh_broker):
    """One that a service manager starts, with the small limit that those give: it has two for each worker."""
    b = fresh_broker
    path = f"{b.dir}/spawner.sock"
    b.config["login"]["max_startups"] = 200
    b.write()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, open(f"{b.dir}/log", "ab") as log:
        listener.bind(path)
        listener.listen(1)
        b.process = subprocess.Popen([PROGRAM, "-c", f"{b.dir}/broker.json", "-w", path], stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, start_new_session=True)
        listener.settimeout(20 * PATIENCE)
        pair, _ = listener.accept()
        with pair:
            script = 'fd=$1; shift; ulimit -Sn 24; eval "exec 3<&$fd"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
            spawner = subprocess.Popen(["bash", "-c", script, "bash", str(pair.fileno()), PROGRAM, "-W",
                                        "-c", f"{b.dir}/broker.json"], pass_fds=[pair.fileno()],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: "ready: policy" in b.log(), 20 * PATIENCE, "the broker becomes ready")
        held = [socket.create_connection(("127.0.0.1", b.port)) for _ in range(30)]
        assert [s.makefile("rb").readline()[:8] for s in held] == [b"SSH-2.0-"] * 30
        assert b.target.ssh("echo in").stdout == b"in\n"
        for s in held:
            s.close()
        assert b.stop() == 0
    finally:
        # It ends with its broker.
        if b.process.poll() is None:
            b.kill()
        assert spawner.wait(20 * PATIENCE) == 0


def test_workers_that_come_up_no_more(fresh_broker):
    """As between the new files of an upgrade and the restart: an error says so, and why. Who is in stays in."""
    b = fresh_broker
    program, aside = f"{b.dir}/sallyportd", f"{b.dir}/aside"
    shutil.copy(b.config["worker"]["program"], program)
    b.config["worker"]["program"] = program
    b.start()
    p = b.target.popen("echo up; read x; echo $x")
    assert p.stdout.readline() == b"up\n"
    os.rename(program, aside)
    with open(program, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\necho 'sallyportd: error: the broker is of another release' >&2; exit 3\n")
    os.chmod(program, 0o755)
    wait_for(lambda: b.target.ssh("true").returncode == 255, 20 * PATIENCE, "those that were ready are used up")
    said = "error: no worker comes up any more: sallyportd: error: the broker is of another release: "
    wait_for(lambda: said in b.log(), 10 * PATIENCE, "it is said")
    for _ in range(3):
        assert b.target.ssh("true").returncode == 255
    assert b.log().count(said) == 1, "once a minute"
    assert b.ask("status")["workers"]["reason"] == "sallyportd: error: the broker is of another release"
    status = subprocess.run([f"{BUILD}/admin/sallyport", "status", "--socket", f"{b.dir}/run/control.sock"],
                            capture_output=True, text=True, timeout=30 * PATIENCE, check=True).stdout
    assert "; the last one did not come up: sallyportd: error: the broker is of another release\n" in status
    os.rename(aside, program)
    wait_for(lambda: b.target.ssh("echo in").stdout == b"in\n", 20 * PATIENCE, "it is mended")
    assert b.ask("status")["workers"]["reason"] is None
    assert p.communicate(b"unharmed\n", timeout=20 * PATIENCE)[0] == b"unharmed\n"


# config, policy, the place and the words that must be in the answer
BROKEN = {
    "config-unknown-key": ('{\n  "policy": "policy.json",\n  "lissten": []\n}', GOOD_POLICY,
                           "broker.json:3:3: error: ", ['"lissten"', '"listen"']),
    "config-duplicate-key": ('{\n  "policy": "a",\n  "policy": "b"\n}', GOOD_POLICY,
                             "broker.json:3:3: error: ", ['"policy"']),
    "config-wrong-type": ('{\n  "policy": "policy.json",\n  "listen": "0.0.0.0:22"\n}', GOOD_POLICY,
                          "broker.json:3:13: error: ", []),
    "config-no-policy": ("{\n}", GOOD_POLICY, "broker.json:1:1: error: ", ['"policy"']),
    "config-syntax": ('{\n  "policy": ,\n}', GOOD_POLICY, "broker.json:2:", ["error: "]),
    "config-bad-address": ('{\n  "policy": "policy.json",\n  "listen": ["localhost"]\n}',
                           GOOD_POLICY, "broker.json:3:14: error: ", ["localhost"]),
    "policy-unknown-key": (GOOD_CONFIG, '{\n  "sallyport_policy": 1,\n  "usrs": {}\n}',
                           "policy.json:3:3: error: ", ['"usrs"', '"users"']),
    "policy-duplicate-key": (GOOD_CONFIG,
                             '{\n  "sallyport_policy": 1,\n  "sallyport_policy": 1\n}',
                             "policy.json:3:3: error: ", ['"sallyport_policy"']),
    "policy-undefined-profile": (GOOD_CONFIG, '{\n  "sallyport_policy": 1,\n  "rules": [\n'
                                 '    { "id": "r", "use": "nosuch" }\n  ]\n}',
                                 "policy.json:4:25: error: ", ['"nosuch"']),
    "policy-root-user": (GOOD_CONFIG, '{\n  "sallyport_policy": 1,\n  "profiles": { "p": {\n'
                         '    "container": { "image": "a", "user": "0:0" } } }\n}',
                         "policy.json:4:42: error: ", ["root-user"]),
    "policy-version": (GOOD_CONFIG, '{\n  "sallyport_policy": 2\n}',
                       "policy.json:2:23: error: ", []),
    "policy-empty": (GOOD_CONFIG, "", "policy.json:1:1: error: ", []),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_their_place(tmp_path, name):
    config, policy, place, words = BROKEN[name]
    code, text = check_only(str(tmp_path), config, policy)
    assert code == 1, text
    assert place in text
    for word in words:
        assert word in text


def test_broken_files_keep_the_broker_from_starting(fresh_broker):
    fresh_broker.policy["rules"][0]["use"] = fresh_broker.policy["rules"][0].pop("deny")
    fresh_broker.write()
    r = subprocess.run([PROGRAM, "-c", f"{fresh_broker.dir}/broker.json"], capture_output=True,
                       text=True, timeout=20, check=False)
    assert r.returncode != 0
    assert "policy.json:" in r.stderr


@pytest.mark.parametrize("what", ["policy.json", "host_ed25519_key", "broker.json"])
def test_files_that_others_can_change_or_read(fresh_broker, what):
    fresh_broker.write()
    os.chmod(f"{fresh_broker.dir}/{what}", 0o666)
    r = subprocess.run([PROGRAM, "-c", f"{fresh_broker.dir}/broker.json"], capture_output=True,
                       text=True, timeout=20, check=False)
    assert r.returncode != 0
    assert what in r.stderr


def test_host_keys_are_made_when_told(fresh_broker):
    os.unlink(f"{fresh_broker.dir}/host_ecdsa_key")
    fresh_broker.write()
    r = subprocess.run([PROGRAM, "-c", f"{fresh_broker.dir}/broker.json"], capture_output=True,
                       text=True, timeout=20, check=False)
    assert r.returncode != 0 and "host_ecdsa_key" in r.stderr
    fresh_broker.config["make_host_keys"] = True
    b = fresh_broker.start()
    made = f"{b.dir}/host_ecdsa_key"
    assert os.stat(made).st_mode & 0o777 == 0o600
    text = subprocess.run(["ssh-keygen", "-lf", made], capture_output=True, text=True, check=True)
    assert "(ECDSA)" in text.stdout
    assert f"info: made host key {made}: ecdsa-sha2-nistp256 {text.stdout.split()[1]}\n" in b.log()
    assert b.target.ssh("echo ok").stdout == b"ok\n"


def test_port_is_taken(fresh_broker):
    b = fresh_broker.start()
    second = dict(b.config, state_dir="state2", runtime_dir="run2")
    with open(f"{b.dir}/second.json", "w", encoding="utf-8") as f:
        json.dump(second, f)
    os.chmod(f"{b.dir}/second.json", 0o600)
    r = subprocess.run([PROGRAM, "-c", f"{b.dir}/second.json"], capture_output=True, text=True,
                       timeout=20, check=False)
    assert r.returncode != 0
    assert f"cannot listen on 127.0.0.1:{b.port}: Address already in use; another program has that port" in r.stderr
    assert 'name another port in "listen"' in r.stderr


@pytest.mark.parametrize("listen", [[], ["127.0.0.1:1"], None])
def test_inherited_socket(fresh_broker, listen):
    """LISTEN_FDS: the service manager's socket is used, and nothing else is opened: it is said to who names it."""
    b = fresh_broker
    del b.config["listen"]
    if listen is not None:
        b.config["listen"] = listen
    b.write()
    with socket.socket() as s:
        s.bind(("127.0.0.1", b.port))
        s.listen(16)
        script = 'fd=$1; shift; eval "exec 3<&$fd"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
        with open(f"{b.dir}/log", "wb") as log:
            b.process = subprocess.Popen(["bash", "-c", script, "bash", str(s.fileno()), PROGRAM,
                                          "-c", f"{b.dir}/broker.json"], pass_fds=[s.fileno()],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for(lambda: "ready: policy" in b.log(), 20 * PATIENCE, "the broker becomes ready")
    assert re.findall("listening on (.*)", b.log()) == [f"127.0.0.1:{b.port}, by the service manager's socket"]
    assert ('warning: "listen" of ' in b.log()) == bool(listen)
    assert b.target.ssh("echo through it").stdout == b"through it\n"


@pytest.mark.data_path
def test_stopped_twice(fresh_broker):
    """The second SIGTERM means: do not wait for people."""
    fresh_broker.config["limits"]["drain"] = "60s"
    b = fresh_broker.start()
    p = b.target.popen("echo up; sleep 1000")
    assert p.stdout.readline() == b"up\n"
    b.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert b.process.poll() is None
    assert b.stop(seconds=20) == 0
    p.communicate(timeout=10)
