# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of running workers and of the broker. Not what they say of themselves."""
import os
import re
import subprocess

import pytest

from kit.broker import BUILD, WORKER_UIDS
from kit.proc import fds, status, wait_for
from kit.target import PATIENCE


@pytest.fixture
def serving(broker):
    """A worker in the middle of a session with and without a terminal, and one that waits."""
    transport = broker.target.paramiko()
    held = []
    for pty in (False, True):
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        if pty:
            c.get_pty()
        c.exec_command("echo up; read x")
        assert c.recv(10).strip() == b"up"
        held.append(c)
    wait_for(lambda: len(broker.workers()) == 3, 20 * PATIENCE, "the pool is full again")
    workers = broker.workers()
    [busy] = [pid for pid in workers if broker.has_client(pid)]
    yield {"busy": busy, "idle": next(pid for pid in workers if pid != busy)}
    transport.close()


@pytest.mark.parametrize("which", ["busy", "idle"])
@pytest.mark.quick
def test_worker_has_no_rights(serving, which):
    s = status(serving[which])
    assert s["Seccomp"] == "2"
    assert s["NoNewPrivs"] == "1"
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[caps], 16) == 0, caps
    uid = s["Uid"].split()[0]
    assert int(uid) in WORKER_UIDS
    assert s["Uid"].split() == s["Gid"].split() == [uid] * 4
    assert s["Groups"] == ""


@pytest.mark.quick
def test_no_two_workers_have_the_same_uid(serving, broker):
    uids = [status(pid)["Uid"].split()[0] for pid in broker.workers()]
    assert len(uids) == 3
    assert len(set(uids)) == 3


def test_no_two_workers_share_a_namespace(serving, broker):
    """Also those that are handed on: who was here before them is gone."""
    for _ in range(3):
        broker.target.ssh("true")
    wait_for(broker.calm, 20 * PATIENCE, "the others wait")
    pids = broker.workers()
    assert len(pids) == 3
    for name in ("net", "mnt", "ipc", "uts", "pid"):
        assert len({os.readlink(f"/proc/{pid}/ns/{name}") for pid in pids}) == 3, name


@pytest.mark.parametrize("which", ["busy", "idle"])
def test_worker_is_alone(serving, which):
    """Its own network, mounts, processes, IPC and host name; an empty root."""
    pid = serving[which]
    for name in ("net", "mnt", "ipc", "uts", "pid"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
    assert os.listdir(f"/proc/{pid}/root") == []
    assert os.listdir(f"/proc/{pid}/cwd") == []
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as f:
        assert [line.split(":")[0].strip() for line in f.readlines()[2:]] == ["lo"]
    with open(f"/proc/{pid}/mounts", encoding="ascii") as f:
        mounts = f.read().splitlines()
    assert len(mounts) <= 1, mounts


@pytest.mark.parametrize("which", ["busy", "idle"])
def test_worker_holds_only_what_it_was_handed(serving, which):
    held = fds(serving[which])
    allowed = re.compile(r"^(socket:\[|pipe:\[|anon_inode:|/dev/null|/dev/ptmx|/dev/pts/ptmx|/ptmx|"
                         r"/proc/(self|\d+)/status|/\d+/status|/$|\(unreachable\))")
    for number, what in held.items():
        assert allowed.match(what), (number, what)
    assert held[2].startswith(("pipe:", "socket:"))
    if which == "idle":
        sockets = [n for n, what in held.items() if what.startswith("socket:")]
        assert sockets in ([3], [2, 3])


def test_worker_limits(serving):
    with open(f"/proc/{serving['busy']}/limits", encoding="ascii") as f:
        limits = {line[:26].strip(): line[26:].split()[0] for line in f.readlines()[1:]}
    assert limits["Max core file size"] == "0"
    assert limits["Max file size"] == "0"
    assert limits["Max address space"] != "unlimited"
    assert limits["Max processes"] == "0"
    assert int(limits["Max open files"]) <= 1024


def test_worker_cannot_be_looked_at(serving):
    """Not dumpable: its /proc files are root's, so another worker's uid gets nothing."""
    for pid in serving.values():
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0


@pytest.mark.quick
def test_broker_has_its_own_filter(broker):
    s = status(broker.pid)
    assert s["Seccomp"] == "2"
    assert s["NoNewPrivs"] == "1"
    spawner = broker.side_process("sp-spawner")
    assert status(spawner)["NoNewPrivs"] == "1"


def test_who_looks_at_directories_holds_nothing(broker):
    pid = broker.side_process("sp-binds")
    s = status(pid)
    assert (s["Seccomp"], s["NoNewPrivs"]) == ("2", "1")
    assert all(int(s[caps], 16) == 1 << 5 for caps in ("CapPrm", "CapEff", "CapBnd")), "CAP_KILL, without kill(2)"
    held = fds(pid)
    assert sorted(held) == [0, 1, 2, 3] and held[3].startswith("socket:"), held


def test_broker_hands_nothing_on(broker):
    """Descriptors of the broker close when something is executed."""
    for number in fds(broker.pid):
        if number > 2:
            with open(f"/proc/{broker.pid}/fdinfo/{number}", encoding="ascii") as f:
                flags = int(re.search(r"flags:\s+(\d+)", f.read()).group(1), 8)
            assert flags & os.O_CLOEXEC, (number, fds(broker.pid)[number])


def test_worker_by_hand():
    r = subprocess.run([f"{BUILD}/daemon/sallyportd"], capture_output=True, text=True, timeout=10,
                       stdin=subprocess.DEVNULL, check=False)
    assert r.returncode == 2
    assert "sallyport-broker" in r.stdout + r.stderr


def test_guest_by_hand():
    r = subprocess.run([f"{BUILD}/guest/bundle/sallyport-guest"], capture_output=True, text=True,
                       timeout=20, stdin=subprocess.DEVNULL, check=False)
    assert r.returncode == 2
    assert r.stdout + r.stderr != ""


def test_detector_sees_an_ordinary_process():
    s = status(os.getpid())
    assert int(s["CapEff"], 16) != 0
    assert s["Uid"].split()[0] == "0"
