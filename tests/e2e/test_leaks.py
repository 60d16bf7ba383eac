# SPDX-License-Identifier: Apache-2.0
"""After many logins there is as much of everything as before them."""
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.proc import descendants, fds, rss, wait_for
from kit.target import PATIENCE

GROWTH = 2 << 20
# Connections to the engine are kept for the next call; how many there are is the engine's pace.
KEPT = 6


def state(broker):
    return {"fds": len(fds(broker.pid)), "children": len(descendants(broker.pid))}


def as_before(broker, before):
    now = state(broker)
    return now["children"] == before["children"] and now["fds"] <= before["fds"] + KEPT


def mounts_and_files(broker):
    found = []
    for root, names, files in os.walk(f"{broker.dir}/run"):
        found += [os.path.join(root, n) for n in names + files]
    return sorted(found)


def nothing_left(broker, engine, before, files, memory):
    wait_for(broker.settled, 20 * PATIENCE, "every worker has ended")
    wait_for(lambda: not engine.containers(), 30 * PATIENCE, "every container is removed")
    wait_for(lambda: as_before(broker, before), 15 * PATIENCE,
             f"descriptors and children as before: {before}, now {state(broker)}: "
             f"{fds(broker.pid)}")
    assert mounts_and_files(broker) == files
    grown = rss(broker.pid) - memory
    assert grown < GROWTH, f"the broker grew by {grown >> 10} KiB"


@pytest.mark.timeout(400)
def test_two_hundred_logins_in_a_row(broker, engine):
    # What is made once and kept (caches, connections to the engine) is made by these.
    for _ in range(10):
        assert broker.target.ssh("true").returncode == 0
    wait_for(broker.settled, 20 * PATIENCE, "settled")
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "removed")
    before, files, memory = state(broker), mounts_and_files(broker), rss(broker.pid)
    for n in range(200):
        assert broker.target.ssh(f"exit {n}").returncode == n
    nothing_left(broker, engine, before, files, memory)


@pytest.mark.data_path
@pytest.mark.timeout(150)
def test_twenty_logins_at_once(broker, engine):
    def one(n):
        return broker.target.ssh(f"cat; exit {n}", stdin=b"%d" % n, seconds=60)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(4)))
        wait_for(broker.settled, 20 * PATIENCE, "settled")
        wait_for(lambda: not engine.containers(), 20 * PATIENCE, "removed")
        before, files, memory = state(broker), mounts_and_files(broker), rss(broker.pid)
        for _ in range(2):
            results = list(pool.map(one, range(20)))
            assert [(r.returncode, r.stdout) for r in results] == \
                [(n, b"%d" % n) for n in range(20)]
    nothing_left(broker, engine, before, files, memory + GROWTH)


def test_refused_and_broken_logins(broker, engine):
    """Nobody who does not get in leaves anything behind, either."""
    import socket
    broker.target.ssh("true")
    wait_for(broker.settled, 20 * PATIENCE, "settled")
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "removed")
    before, files, memory = state(broker), mounts_and_files(broker), rss(broker.pid)
    for n in range(20):
        assert broker.target.ssh("true", user="nobodyknows").returncode == 255
        with socket.create_connection(("127.0.0.1", broker.port)) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n" if n % 2 else b"SSH-2.0-x\r\n" + os.urandom(5000))
    nothing_left(broker, engine, before, files, memory)


@pytest.mark.data_path
@pytest.mark.memory
@pytest.mark.quick
def test_many_programs_in_one_connection(broker, engine):
    transport = broker.target.paramiko()
    try:
        def run():
            c = transport.open_session()
            c.settimeout(20 * PATIENCE)
            c.exec_command("echo out; echo err >&2")
            assert c.makefile("rb").read() == b"out\n"
            assert c.recv_exit_status() == 0
            c.close()
        run()
        [worker] = [pid for pid in broker.workers() if broker.has_client(pid)]
        before, mine, memory = len(fds(worker)), len(fds(broker.pid)), rss(worker)
        for _ in range(200):
            run()
        wait_for(lambda: len(fds(worker)) <= before and len(fds(broker.pid)) <= mine, 20 * PATIENCE,
                 "descriptors are closed")
        assert rss(worker) - memory < GROWTH
        # One process of the container is the guest; nothing else is left in it, dead or alive.
        [cid] = engine.containers()
        top = engine.run("top", cid, "-o", "pid,stat").splitlines()[1:]
        assert len(top) == 1, top
    finally:
        transport.close()


def test_the_tests_would_see_a_leak(engine):
    """The detector works: a container with our label is found."""
    cid = engine.run("create", "--label", "sallyport.instance=x", "sallyport-test/busybox:latest",
                     "true")
    try:
        assert engine.containers() == [cid]
    finally:
        engine.run("rm", cid)
    assert fds(os.getpid()) and descendants(os.getpid()) is not None
    with subprocess.Popen(["sleep", "5"]) as p:
        assert p.pid in descendants(os.getpid())
        p.kill()
