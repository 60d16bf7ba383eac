# SPDX-License-Identifier: Apache-2.0
"""
A guest that lies, floods, passes wrong descriptors, never answers or dies
(tests/support/hostile_guest.c) costs its own session and nothing else: the broker goes on, memory
stays, a neighbour's session does not notice, and the container is gone afterwards.
"""
import contextlib
import os
import shutil
import subprocess

import pytest

from kit.broker import BUILD, Broker
from kit.proc import alive, cpu_seconds, fds, rss, wait_for
from kit.raw import RawClient
from kit.target import PATIENCE

LIES = ["exited", "twice", "id", "short", "long", "trailing", "empty", "signal", "stage", "code",
        "bool", "failed", "after"]
WRONG = ["none", "two", "three", "file", "socket", "directory", "epoll", "pipe", "slave"]


@pytest.fixture(scope="module")
def hostile(engine, keys):
    b = Broker(keys, engine.socket)
    bundle = f"{b.dir}/guest"
    os.mkdir(bundle)
    os.chmod(bundle, 0o755)
    shutil.copy(f"{BUILD}/guest/sallyport-guest-hostile", f"{bundle}/sallyport-guest")
    os.chmod(f"{bundle}/sallyport-guest", 0o755)
    b.config["engine"]["guest_dir"] = bundle
    for p in b.policy["profiles"].values():
        p["container"]["stop_grace"] = "1s"
    b.start()
    yield b
    b.close()


def healthy(broker, engine):
    """After each misdeed: the broker is there, and its containers go."""
    assert broker.process.poll() is None
    wait_for(lambda: not engine.containers(), 30 * PATIENCE, "the container is gone")
    wait_for(broker.settled, 20 * PATIENCE, "the worker is gone")


@pytest.mark.parametrize("kind", LIES)
def test_lies(hostile, engine, kind):
    r = hostile.target.ssh(f"lie {kind}", seconds=20)
    assert r.returncode != 0 or kind in ("after", "twice")
    healthy(hostile, engine)


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_descriptors(hostile, engine, kind):
    r = hostile.target.ssh(f"wrongfds {kind}", options=["-tt"], seconds=20)
    assert r.returncode == 255
    assert b"broke the protocol" in r.stdout + r.stderr
    healthy(hostile, engine)


@pytest.mark.parametrize("port", range(2, 17))
def test_wrong_connections(hostile, engine, port):
    """Whatever is no connected TCP socket, said or handed over wrongly: the client's open fails."""
    r = hostile.target.ssh(user="forward", options=["-W", f"127.0.0.1:{port}"], seconds=20)
    assert r.returncode == 255
    assert b"open failed" in r.stderr
    healthy(hostile, engine)


def test_socket_that_is_connected_to_nobody(hostile, engine):
    """TCP, as the kernel says, and nothing comes out of it: it ends like a connection that broke."""
    r = hostile.target.ssh(user="forward", options=["-W", "127.0.0.1:17"], seconds=20)
    assert r.stdout == b""
    healthy(hostile, engine)


@pytest.mark.parametrize("port", [1, 18, 19])
def test_connection_that_is_never_made(hostile, engine, port):
    """No answer, or a socket that listens: silence, at no cost, until the client has had enough."""
    with hostile.target.popen(user="forward", options=["-W", f"127.0.0.1:{port}"]) as client:
        wait_for(lambda: any(hostile.has_client(p) for p in hostile.workers()), 20, "a worker")
        [busy] = [p for p in hostile.workers() if hostile.has_client(p)]
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(2)
        before = cpu_seconds(busy)
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(2)
        assert cpu_seconds(busy) - before < 0.5
        client.kill()
    healthy(hostile, engine)


@contextlib.contextmanager
def listening(hostile, port):
    """A client that wants to be connected to at this port of the container; it does not outlive the test."""
    with hostile.target.popen("-N", user="forward", stdin=subprocess.DEVNULL, options=[
            "-o", "ExitOnForwardFailure=yes", "-R", f"{port}:127.0.0.1:1"]) as client:
        try:
            yield client
        finally:
            client.kill()


@pytest.mark.parametrize("port", range(1, 8))
def test_wrong_listeners(hostile, engine, port):
    """No answer, or one that makes no sense: the request fails, after five seconds at the latest."""
    with listening(hostile, port) as client:
        _, err = client.communicate(timeout=30 * PATIENCE)
        assert client.returncode == 255
        assert b"remote port forwarding failed" in err
    healthy(hostile, engine)


@pytest.mark.parametrize("port", range(11, 19))
def test_wrong_accepted_connections(hostile, engine, port):
    """The listener ends, and its connection goes on."""
    since = hostile.log_size()
    with listening(hostile, port) as client:
        wait_for(lambda: "no forward: The container broke the protocol" in hostile.log(since),
                 20 * PATIENCE, "the worker has noticed")
        assert client.poll() is None
    healthy(hostile, engine)


@pytest.mark.parametrize("port", [0, 22, 6000, 6009, 7010, 65535])
def test_displays_at_wrong_ports(hostile, engine, port):
    """The request fails, and its channel goes on."""
    with RawClient(hostile.target, login="forward") as client:
        channel = client.open()
        assert not client.request(channel, "x11-req", False, str(port), "00", 0)
        assert client.request(channel, "x11-req", False, "6010", "00", 0)
    healthy(hostile, engine)


def test_display_with_another_s_connections(hostile, engine):
    since = hostile.log_size()
    with RawClient(hostile.target, login="forward") as client:
        channel = client.open()
        assert client.request(channel, "x11-req", False, "6010", "00", 0)
        wait_for(lambda: "no forward: The container broke the protocol" in hostile.log(since),
                 20 * PATIENCE, "the worker has noticed")
        assert client.request(channel, "exec", "hold")
    healthy(hostile, engine)


def test_flood_of_accepted_connections(hostile, engine):
    """One after the other, of sockets that nobody is connected to, and never heard when to pause."""
    with listening(hostile, 20):
        wait_for(lambda: any(hostile.has_client(p) for p in hostile.workers()), 20, "a worker")
        [busy] = [p for p in hostile.workers() if hostile.has_client(p)]
        wait_for(lambda: hostile.audit(event="accepted"), 20 * PATIENCE, "some have come")
        for _ in range(3):
            assert hostile.target.ssh("lie failed", seconds=20).returncode != 0
            assert rss(busy) < 48 << 20
            assert rss(hostile.pid) < 64 << 20
            assert len(fds(busy)) < 400
    healthy(hostile, engine)


def test_descriptor_without_a_terminal(hostile, engine):
    r = hostile.target.ssh("wrongfds file", seconds=20)
    assert r.returncode == 255
    healthy(hostile, engine)


def test_dies(hostile, engine):
    r = hostile.target.ssh("die", seconds=20)
    assert r.returncode == 255
    assert b"The container has ended" in r.stderr
    healthy(hostile, engine)


@pytest.mark.parametrize("what", ["silent", "hold", "order-flood"])
def test_never_answers(hostile, engine, what):
    """Nothing comes; the client gives up; nothing is left."""
    before = rss(hostile.pid)
    with hostile.target.popen(what) as client:
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(2)
        client.kill()
    healthy(hostile, engine)
    assert rss(hostile.pid) < before + 4 * 1024 * 1024


def test_flood_stays_in_its_session(hostile, engine):
    """Endless control messages; meanwhile the broker serves others, and the worker does not grow."""
    with hostile.target.popen("flood") as client:
        wait_for(lambda: any(hostile.has_client(p) for p in hostile.workers()), 20 * PATIENCE,
                 "a worker")
        busy = [p for p in hostile.workers() if hostile.has_client(p)]
        for _ in range(3):
            assert hostile.target.ssh("die", seconds=20).returncode == 255
        for pid in busy:
            if alive(pid):
                assert rss(pid) < 64 * 1024 * 1024 * PATIENCE
        client.kill()
    healthy(hostile, engine)


def test_nothing_is_left(hostile, engine):
    healthy(hostile, engine)
    before = len(fds(hostile.pid))
    for misdeed in ("lie short", "die", "wrongfds two"):
        hostile.target.ssh(misdeed, seconds=20)
    healthy(hostile, engine)
    assert len(fds(hostile.pid)) <= before + 2
