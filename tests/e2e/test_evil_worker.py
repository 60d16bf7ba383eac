# SPDX-License-Identifier: Apache-2.0
"""
A worker that has been taken over, against the kernel: what the code in it can still do to files, the
network, other processes, and its neighbours. The lock-down is sallyportd's own, from the same build
(tests/support/evil_worker.c); the calls are in tests/support/evil_calls.c and are made in earnest.

The sweep over every system call number is tests/unit/test_worker_sandbox.c.
"""
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit import evil as e
from kit.proc import alive, status, wait_for
from kit.target import PATIENCE

KILLED = "killed by the filter"

# What a call comes to, when it is not the end of the process: libraries try these, and are told no.
ANSWERED = {"open-shadow": "EACCES", "open-write": "EACCES", "open-root": "EACCES",
            "open-proc": "EACCES", "open-old": "EACCES", "stat": "EACCES",
            "open /proc/1/mem": "EACCES", "open HOST_KEY": "EACCES", "open POLICY": "EACCES",
            "open-memory": "EACCES", "open-root-of": "EACCES"}
FATAL = """
    openat2 readlink unlink mkdir mknod chroot mount open-by-handle
    socket-inet socket-unix socket-netlink socket-packet socketpair connect connect-with-data bind listen accept
    sendmmsg
    setsockopt pass-descriptor
    fork vfork clone-thread clone3 execve execveat kill-all kill-init tgkill ptrace-me pidfd-open
    setpriority
    memfd mmap-exec mmap-write-exec mmap-file mprotect-exec pkey-mprotect
    setuid setresuid setgroups capset unshare-user unshare-net setns prctl-dumpable prctl-name seccomp
    personality bpf io-uring userfaultfd perf keyctl add-key shmget msgget semget inotify eventfd timer
    raise-files raise-core raise-processes
    dup dup-fcntl set-owner pipe splice type-into-terminal steal-terminal ioctl-other
    i386 x32
""".split()
AT_A_NEIGHBOUR = """kill ptrace read-memory write-memory open-memory open-root-of pidfd pidfd-getfd
    limits-of become""".split()
# A container for each call would only heat the room: in the middle of a session these are enough.
IN_A_SESSION = """socket-inet connect pass-descriptor fork execve kill-all ptrace-me memfd mmap-exec
    mprotect-exec setuid unshare-user prctl-dumpable io-uring bpf raise-files dup type-into-terminal
    i386 x32""".split()


@pytest.fixture(scope="module")
def user(keys):
    return e.Key(keys.user)


@pytest.fixture(scope="module")
def broker(keys, engine):
    with e.evil_broker(keys, engine) as b:
        yield b


@pytest.fixture(scope="module")
def unfiltered(keys, engine):
    with e.evil_broker(keys, engine, "sallyportd-unfiltered") as b:
        yield b


def enter(worker, stage, user):
    """Before the login, after it, or with a program that runs and its streams in hand."""
    if stage == "login":
        worker.login("lost", user)
    elif stage == "session":
        worker.login("dev", user)
        assert worker.start()[0] == e.OK


def attempt(broker, stage, user, call):
    """What came of one call at one stage."""
    name = call.replace("HOST_KEY", f"{broker.dir}/host_ed25519_key")
    name = name.replace("POLICY", f"{broker.dir}/policy.json")
    with broker.worker() as w:
        enter(w, stage, user)
        result = w.call(name)
        if result != "killed":
            return result
        wait_for(lambda: "was killed by signal" in w.log(), 30 * PATIENCE, f"{call}: how it ended")
        return KILLED if "killed by signal 31 (forbidden system call)" in w.log() else w.log()


STAGES = {
    "connected": [*ANSWERED, *FATAL, *AT_A_NEIGHBOUR],
    "login": [*ANSWERED, *FATAL],
    "session": [*ANSWERED, *IN_A_SESSION],
}


@pytest.fixture(scope="module")
def results(broker, user):
    """Every call at every stage, a few at a time: each one costs its worker the life."""
    todo = [(stage, call) for stage, calls in STAGES.items() for call in calls]
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda t: attempt(broker, t[0], user, t[1]), todo))
    return dict(zip(todo, done))


# getpid() of i386's table, from a page of our own.
I386_PROBE = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""


@pytest.fixture(scope="module")
def kernel_has_i386():
    """A kernel can be built without that ABI: then the instruction is a fault, filter or not."""
    r = subprocess.run([sys.executable, "-c", I386_PROBE], timeout=30, check=False)
    assert r.returncode in (0, -signal.SIGSEGV)
    return r.returncode == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stage, call", [(s, c) for s, calls in STAGES.items() for c in calls])
def test_call(results, kernel_has_i386, stage, call):
    if call == "i386" and not kernel_has_i386:
        assert "was killed by signal 11" in results[stage, call]
    else:
        assert results[stage, call] == ANSWERED.get(call, KILLED)


@pytest.mark.parametrize("stage, expected", [("connected", 1), ("login", 1), ("session", 5)])
def test_descriptors(broker, user, stage, expected):
    """0 and 1 are /dev/null, 2 the log, 3 the pair; then the client, and the streams it was handed."""
    with broker.worker() as w:
        enter(w, stage, user)
        open_ = [int(n) for n in w.call("descriptors").split()]
        assert open_[:4] == [0, 1, 2, 3]
        assert len(open_) == 4 + expected, open_


def test_crash_leaves_no_core(broker, user):
    """Not dumpable, and no room for a core either: nothing of its memory reaches a disk."""
    with broker.worker() as w:
        pid = serving(broker)
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            [core] = [line.split()[4:6] for line in f if line.startswith("Max core file size")]
        assert core == ["0", "0"]
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0
        assert w.call("crash") == "killed"
        wait_for(lambda: "killed by signal 11" in w.log(), 30 * PATIENCE, "how it ended")


DEEDS = {
    "a-call": lambda w, user: w.call("execve"),
    "a-call-after-its-login": lambda w, user: (w.login("lost", user), w.call("fork"))[1],
    "a-record": lambda w, user: w.outcome(b"\xff"),
    "a-record-after-its-login": lambda w, user: (w.login("lost", user), w.outcome(b"\xff"))[1],
}


def test_source_is_penalised(keys, engine, user):
    """Whoever makes a worker do such things is not let in again at once; others are."""
    with e.evil_broker(keys, engine, per_source={}) as b:
        for n, (name, deed) in enumerate(DEEDS.items()):
            source = f"127.0.0.{10 + n}"
            with b.worker(source) as w:
                assert deed(w, user) == "killed", name
                w.ended()
            wait_for(lambda: f"source {source}/32 is refused" in b.log(), 10 * PATIENCE, name)
            with socket.create_connection(("127.0.0.1", b.port), 20 * PATIENCE, (source, 0)) as s:
                assert b"too many failed connections" in s.recv(200), name
        with b.worker("127.0.0.99") as w:
            w.exchange()


def serving(broker):
    """The pid of the one worker that has a client."""
    found = wait_for(lambda: [p for p in broker.workers() if broker.has_client(p)], 10 * PATIENCE,
                     "a worker has the client")
    assert len(found) == 1
    return found[0]


# ----- two workers, one of them evil

def test_neighbours_have_different_uids(broker):
    # One that is being made has not left the broker's yet.
    wait_for(broker.settled, 20 * PATIENCE, "all workers wait")
    pids = broker.workers()
    assert len(pids) >= 2
    uids = [status(p)["Uid"] for p in pids]
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("call", AT_A_NEIGHBOUR)
def test_neighbour_with_the_filter(broker, user, call):
    with broker.worker() as victim:
        pid = serving(broker)
        number = status(pid)["Uid"].split()[0] if call == "become" else pid
        assert attempt(broker, "connected", user, f"{call} {number}") == \
            ANSWERED.get(call, KILLED)
        # It is as well as before.
        assert alive(pid)
        victim.exchange()


# Without the filter: the namespaces have no such process, no such name, no such network.
WITHOUT_THE_FILTER = {
    "kill PID": "ESRCH", "kill-all": "ESRCH", "find-process": "ESRCH", "ptrace PID": "ESRCH",
    "read-memory PID": "ESRCH", "write-memory PID": "ESRCH", "limits-of PID": "ESRCH",
    "pidfd PID": "ESRCH", "pidfd-getfd PID": "ESRCH",
    "open-memory PID": "ENOENT", "open-root-of PID": "ENOENT",
    "connect-unix @victim": "ECONNREFUSED", "shared-memory 77": "ENOENT",
    "connect-inet PORT": "ENETUNREACH", "connect-unix ENGINE": "ENOENT",
    "open HOST_KEY": "ENOENT", "open /etc/shadow": "ENOENT", "open-write": "EROFS",
    "become UID": "EPERM", "become 0": "EPERM", "setgroups": "EPERM", "capset": "EPERM",
    "chroot": "EPERM", "mount": "EPERM", "mknod": "EROFS",
    "fork": "EAGAIN", "raise-core": "EPERM", "raise-processes": "EPERM",
    "socket-packet": "EPERM", "unshare-net": "EPERM", "execve": "ENOENT",
}


@pytest.mark.parametrize("call", WITHOUT_THE_FILTER)
def test_neighbour_without_the_filter(unfiltered, call):
    with unfiltered.worker() as victim:
        pid = serving(unfiltered)
        # What a careless worker might offer to others is its own namespaces' alone.
        assert victim.call("listen-unix @victim") == "0 0"
        assert victim.call("make-shared-memory 77").startswith("0 ")
        name = call
        for word, value in (("PID", pid), ("UID", status(pid)["Uid"].split()[0]),
                            ("PORT", unfiltered.port),
                            ("ENGINE", unfiltered.config["engine"]["socket"]),
                            ("HOST_KEY", f"{unfiltered.dir}/host_ed25519_key")):
            name = name.replace(word, str(value))
        with unfiltered.worker() as w:
            assert w.call(name) == WITHOUT_THE_FILTER[call]
        assert alive(pid)
        victim.exchange()


def test_control_without_the_filter(unfiltered):
    """The calls above do work where they may: on what is the worker's own."""
    with unfiltered.worker() as w:
        assert w.call("listen-unix @own") == "0 0"
        assert w.call("connect-unix @own") == "0 0"
        assert w.call("make-shared-memory 78").startswith("0 ")
        assert w.call("shared-memory 78").startswith("0 ")
        assert w.call("limits-of 1") == "0 0"
        assert w.call("pidfd 1").startswith("0 ")
        assert w.call("socket-inet").startswith("0 ")


def test_nobody_outlives_the_spawner(keys, engine, user):
    """A worker that never ends by itself ends with the spawner, which knows whose uid is in use."""
    b = e.EvilBroker(keys, engine.socket)
    try:
        b.start()
        with b.worker() as w:
            pid = serving(b)
            w.tell("C", b"spin")
            everyone = b.workers()
            assert pid in everyone
            os.kill(b.side_process("sp-spawner"), signal.SIGKILL)
            wait_for(lambda: not any(map(alive, everyone)), 10 * PATIENCE, "no worker is left")
        assert b.process.wait(20 * PATIENCE) == 1
        assert "the spawner process is gone" in b.log()
    finally:
        b.close()


def test_release_build_has_none_of_this(tmp_path):
    """What hostile code is made of is in the test's program alone, and that is never installed."""
    with open(f"{e.BUILD}/tests/sallyportd-evil", "rb") as f:
        assert b"evil_call" in f.read()
    subprocess.run(["cmake", "--install", e.BUILD], env={**os.environ, "DESTDIR": str(tmp_path)},
                   capture_output=True, check=True)
    installed = [f"{where}/{name}" for where, _, names in os.walk(tmp_path) for name in names]
    assert any(name.endswith("/sallyportd") for name in installed)
    for path in installed:
        assert "evil" not in os.path.basename(path)
        with open(path, "rb") as f:
            assert b"evil_call" not in f.read(), path
