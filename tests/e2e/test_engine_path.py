# SPDX-License-Identifier: Apache-2.0
"""
The data path "engine": programs as execs of the engine. That it behaves as the direct one is the other files'
business (marker data_path); this is what is its own.
"""
import base64
import hashlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.broker import Broker, profile
from kit.fake_engine import FakeEngine
from kit.proc import alive, wait_for
from kit.raw import CHANNEL_CLOSE
from kit.service import Service, echo
from kit.target import PATIENCE
from kit.x11 import XServer
from test_engine_restart import comes_back, end_engine, nothing_left
from test_protocol import Conversation

WHERE = "cat /proc/sys/kernel/hostname"
GUEST = "/.sallyport/sallyport-guest"
STATUS = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/self/status; umask; pwd; env | sort"


def make(keys, engine):
    """One user for each of the two ways, everything else alike, and one whose container is kept."""
    b = Broker(keys, engine.socket)
    direct, by_engine = (profile(data_path=p) for p in ("direct", "engine"))
    kept = profile("sallyport-test/busybox:latest", data_path="engine", mode="user", keep="10m")
    b.policy["profiles"].update(dev=by_engine, busy=direct, onebin=kept)
    b.config["engine"].update(probe_interval="1s")
    return b


@pytest.fixture
def broker(keys, engine):
    b = make(keys, engine)
    yield b.start()
    b.close()
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the containers of this test are gone")


def test_the_order_is_the_brokers(broker, engine):
    """What is run stands in the broker's request; a worker has no say in it once it has the stream."""
    with broker.target.popen("echo up; exec sleep 1000", user="dev") as p:
        assert p.stdout.readline() == b"up\n"
        [container] = engine.containers()
        seen = engine.inspect(container)
        assert seen["Config"]["Entrypoint"][:2] == [GUEST, "--hold"]
        assert [m["Destination"] for m in seen["Mounts"] if m["Type"] == "bind"] == [os.path.dirname(GUEST)]
        [exec_id] = seen["ExecIDs"]
        process = engine.get(f"/exec/{exec_id}/json")["ProcessConfig"]
        assert (process["entrypoint"], process["privileged"], process["tty"]) == (GUEST, False, False)
        option, *pieces = process["arguments"]
        order = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
        assert option == "--stream" and b"exec sleep 1000" in order and b"USER=dev" in order
        p.kill()


def test_confined_as_on_the_direct_path(broker):
    hide = (b"SSH_C", b"HOSTNAME", b"_=", b"USER", b"LOGNAME")
    ours, theirs = ([line for line in broker.target.ssh(STATUS, user=u).stdout.split(b"\n")
                     if not line.startswith(hide)] for u in ("dev", "busy"))
    assert b"CapEff:\t0000000000000000" in ours and b"NoNewPrivs:\t1" in ours
    assert ours == theirs


def test_long_orders(broker):
    """As long as an exec request may be: its base64 needs more than one argument."""
    word = "x" * 40000
    r = broker.target.ssh(f"printf %s {word} | wc -c", user="dev")
    assert r.stdout.strip() == b"40000"


def test_the_stream_carries_nothing_else(broker):
    """What would be a request to the engine on any other connection to it."""
    request = b"GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n" * 100
    assert broker.target.ssh("cat", user="dev", stdin=request).stdout == request


def test_nobody_reads(broker):
    """A client that stops to read and says so: the program finds its pipe closed, as under sshd."""
    with broker.target.popen("yes; exit $?", user="dev") as p:
        assert p.stdout.read(2) == b"y\n"
        p.stdout.close()
        assert p.wait(60 * PATIENCE) == 128 + signal.SIGPIPE


def test_nothing_is_made_for_nobody(broker, engine):
    """An exec that was asked for by a channel that has gone is not left in the engine's memory."""
    with Conversation(broker.target.of("dev")) as c:
        c.begin(0)
        c.send(c.ask(0, "exec", True, "echo up; exec sleep 1000"))
        c.until(lambda: c.output)
        for n in range(1, 6):
            c.begin(n)
            c.send(c.ask(n, "exec", True, "exec sleep 1000"), c.to(CHANNEL_CLOSE, n))
        [container] = engine.containers()
        wait_for(lambda: len(engine.inspect(container)["ExecIDs"] or []) == 1, 20 * PATIENCE,
                 "the execs of closed channels are gone")


@pytest.fixture
def narrow_broker(keys, engine):
    """Four programs at a time begin, and those of one user have next to no processor."""
    b = make(keys, engine)
    b.policy["profiles"]["onebin"] = profile(
        "sallyport-test/busybox:latest", data_path="engine", mode="user", limits={"cpus": 0.05})
    b.config["engine"].update(starts=1, call_timeout="60s")
    yield b.start()
    b.close()
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the containers of this test are gone")


def test_who_leaves_programs_no_time(narrow_broker):
    """A program begins with what its container's limits leave it: others do not wait for that."""
    target = narrow_broker.target
    busy = "mkfifo /tmp/go; for i in $(seq 80); do (read x < /tmp/go; while :; do :; done) & done; " \
           "echo all; : > /tmp/go; wait"
    programs = [target.popen(busy, user="onebin")]
    assert programs[0].stdout.readline() == b"all\n"
    time.sleep(2)
    programs += [target.popen("true", user="onebin") for _ in range(5)]
    time.sleep(5)
    begun = time.monotonic()
    result = target.ssh("echo here", user="dev", seconds=30)
    assert (result.stdout, result.stderr) == (b"here\n", b"")
    assert time.monotonic() - begun < 15
    for p in programs:
        p.kill()
        p.communicate()


def test_listeners_are_refused(broker):
    """By the policy, which has none for this user."""
    r = broker.target.ssh("true", user="dev",
                          options=("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"))
    assert r.returncode == 255 and b"remote port forwarding failed" in r.stderr


def test_listeners_leave_nothing(broker, engine, agent, tmp_path):
    """Each is one exec, whatever connects to it, and gone with its client where the container stays."""
    forward = {"remote": ["container:0"], "agent": True, "x11": True}
    broker.policy["profiles"]["onebin"] = profile("sallyport-test/busybox:latest", data_path="engine", mode="user",
                                                  keep="10m", session={"forward": forward})
    broker.write()
    assert broker.ask("reload")["reloaded"]
    target = broker.target.of("onebin")
    left = "ls -d /dev/shm/ssh-*; grep -c ' 0A ' /proc/net/tcp"
    assert target.ssh(left).stdout == b"0\n"
    with Service(echo) as s, XServer(tmp_path) as server:
        options = ["-A", "-Y", "-o", "XAuthLocation=/usr/bin/xauth", "-R", f"0:127.0.0.1:{s.port}"]
        argv = [a.replace("IdentityAgent=none", f"IdentityAgent={agent[0]}") for a in
                target.argv(f"{left}; ls $SSH_AUTH_SOCK $XAUTHORITY | wc -l; echo; exec sleep 1000", options=options)]
        p = subprocess.Popen(argv, env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            said = b"".join(iter(p.stdout.readline, b"\n")).splitlines()
            assert [len(line.split(b"/")) for line in said[:2]] == [4, 4] and said[2:] == [b"2", b"2"], said
            [container] = engine.containers()
            assert len(engine.inspect(container)["ExecIDs"]) == 4
        finally:
            p.kill()
            p.communicate()
    wait_for(lambda: not engine.inspect(container)["ExecIDs"], 20 * PATIENCE, "every exec has ended")
    assert target.ssh(left).stdout == b"0\n"
    assert broker.ask("kill", user="onebin")["containers"] == 1
    wait_for(lambda: not engine.containers(), 60 * PATIENCE, "it is not kept any more")


@pytest.mark.parametrize("size", [1, 20 << 20])
def test_a_listeners_connections_share_a_stream(broker, size):
    """As many as there are channels, at once, one of which nobody reads; and much data in both directions."""
    broker.policy["profiles"]["dev"] = profile(data_path="engine", session={
        "forward": {"remote": ["container:0"]}, "channels": 12})
    broker.write()
    assert broker.ask("reload")["reloaded"]
    transport = broker.target.paramiko("dev")
    try:
        port = transport.request_port_forward("127.0.0.1", 0)
        stuck = transport.open_session()
        stuck.exec_command(f"exec busybox nc 127.0.0.1 {port} </dev/zero")
        first = transport.accept(30 * PATIENCE)
        assert first.recv(1) == b"\0"
        for _ in range(3):
            there = transport.open_session()
            there.exec_command(f"exec busybox nc 127.0.0.1 {port} | sha256sum")
            here = transport.accept(30 * PATIENCE)
            sent, data = hashlib.sha256(), os.urandom(1 << 16)
            for at in range(0, size, len(data)):
                piece = data[:size - at]
                here.sendall(piece)
                sent.update(piece)
            here.shutdown_write()
            assert there.makefile().read().split()[0] == sent.hexdigest().encode()
            here.close()
            there.close()
        assert first.recv(1) == b"\0"
    finally:
        transport.close()


@pytest.fixture
def with_workdir(engine):
    """An image whose WORKDIR is in a directory of the user's."""
    with engine.image_made_of("sallyport-test/busybox:latest", "WORKDIR /home/dev/x") as image:
        yield image


@pytest.mark.parametrize("whose", ["the policy's", "the image's"])
def test_a_directory_that_was_taken_away(broker, engine, with_workdir, whose):
    """By a tenant: the engine would go there as root for the next program, and fail. It does not, and there is one."""
    own = {"image": with_workdir} if whose == "the image's" else \
        {"image": "sallyport-test/busybox:latest", "workdir": "/home/dev/x"}
    kept = profile(data_path="engine", mode="user", keep="10m", read_only_root=False)
    del kept["container"]["workdir"]
    kept["container"].update(own)
    broker.policy["profiles"]["onebin"] = kept
    broker.write()
    assert broker.ask("reload")["reloaded"]
    target = broker.target.of("onebin")
    assert target.ssh("pwd").stdout == b"/home/dev/x\n"
    assert target.ssh("cd /; rmdir /home/dev/x; : > /home/dev/x").returncode == 0
    r = target.ssh("pwd; rm /home/dev/x; mkdir /home/dev/x")
    assert (r.returncode, r.stdout) == (0, b"/\n") and b"Could not chdir to /home/dev/x: Not a directory" in r.stderr
    assert target.ssh("pwd").stdout == b"/home/dev/x\n"
    assert broker.ask("kill", user="onebin")["containers"] == 1
    wait_for(lambda: not engine.containers(), 60 * PATIENCE, "it is not kept any more")


FAR_AWAY = {"Name": "far-away", "MemTotal": 1024}


@pytest.mark.parametrize("says", [FAR_AWAY, {"DefaultRuntime": "runsc"}], ids=["elsewhere", "own-kernels"])
def test_chosen_by_what_the_engine_is(fresh_broker, engine, says):
    """Where the policy does not say; before the first connection, so that what is kept is found by a new broker."""
    b = fresh_broker
    for name, how in (("dev", {"mode": "user", "keep": "10m"}), ("busy", {"pool": 1}), ("nopty", {"data_path": "direct"})):
        b.policy["profiles"][name] = profile("sallyport-test/busybox:latest", **{"data_path": "auto", **how})
    fake = FakeEngine(b.dir, engine)
    try:
        fake.rules([{"path": "^/info", "action": "lie", "set": says}])
        b.config["engine"].update(socket=fake.socket, probe_interval="1s")
        b.start()
        before = b.target.ssh(WHERE).stdout
        [kept] = [c for c in map(engine.inspect, engine.containers()) if c["Config"]["Hostname"] == before.strip().decode()]
        assert kept["Config"]["Entrypoint"][:2] == [GUEST, "--hold"]
        wait_for(lambda: b.ask("status")["pool"]["ready"] == 1, 60 * PATIENCE, "the pool is full")
        assert {c["Config"]["Entrypoint"][1] for c in map(engine.inspect, engine.containers())} == {"--hold"}
        assert b.target.ssh("echo pooled", user="busy").stdout == b"pooled\n"
        # Also by a run to which it does not say what it is, at first.
        b.stop()
        fake.rules([{"path": "^/info", "action": "garble"}])
        b.start()
        assert b.target.ssh(WHERE).stdout == before
        assert b.target.ssh("echo pooled", user="busy").stdout == b"pooled\n"
        assert "it is taken for what it was" in b.log()
        fake.rules([{"path": "^/info", "action": "lie", "set": says}])
        wait_for(lambda: 'the data path is "engine" where a profile does not say' in
                 b.log().rpartition("it is taken for what it was")[2], 30 * PATIENCE, "it is asked again")
        assert b.target.ssh(WHERE).stdout == before
        # Another engine in its place: what is made from now on is for that one.
        fake.rules([{"path": "/networks", "action": "drop"}])
        wait_for(lambda: "is not responding" in b.log(), 30 * PATIENCE, "the engine is away")
        fake.rules([])
        wait_for(lambda: "container engine is healthy" in b.log().rpartition("is not responding")[2], 30 * PATIENCE,
                 "it is back")
        with b.target.popen("echo up; exec sleep 1000", user="dev") as p:
            assert p.stdout.readline() == b"up\n"
            made = [c["Config"]["Entrypoint"][1:] for c in map(engine.inspect, engine.containers())
                    if c["Config"]["Labels"].get("sallyport.kept")]
            assert len(made) == 1 and made[0][0] == "--keep", made
            p.kill()
        b.ask("kill", user="dev")
        b.stop()
    finally:
        fake.stop()


def test_turns(broker, engine):
    """Who has many programs begun, in many containers, keeps nobody waiting for more than those that are being begun."""
    b = broker
    b.stop()
    fake = FakeEngine(b.dir, engine)
    b.config["engine"].update(socket=fake.socket, starts=1, start_timeout="2m", call_timeout="2m")
    b.policy["profiles"]["busy"] = profile(data_path="engine")

    def begun():
        return [r["path"].split("/")[-2] for r in fake.requests() if r["path"].endswith("/exec")]

    def program(transport):
        with transport.open_session() as channel:
            channel.exec_command("echo in")
            return channel.makefile().read()

    try:
        b.start()
        # In containers that are there: who is not begun in two seconds holds up nobody any more.
        transports = [b.target.of("dev").paramiko() for _ in range(12)]
        wait_for(lambda: len(b.audit(event="container.up")) == 12, 60 * PATIENCE, "they have containers")
        transports.append(b.target.of("busy").paramiko())
        wait_for(lambda: len(b.audit(event="container.up")) == 13, 60 * PATIENCE, "so does another one")
        mine = b.audit(event="container.up")[-1]["id"]
        fake.rules([{"method": "POST", "path": "/exec$", "action": "delay", "seconds": 1}])
        with ThreadPoolExecutor(13) as pool:
            many = [pool.submit(program, t) for t in transports[:-1]]
            wait_for(lambda: len(b.audit(event="request", outcome="allowed")) == 12, 20 * PATIENCE, "they wait")
            many.append(pool.submit(program, transports[-1]))
            assert [p.result(60 * PATIENCE) for p in many] == [b"in\n"] * 13
        for transport in transports:
            transport.close()
        order = begun()
        # Four were being begun, and one of theirs was before it; or as many again, where this took so long.
        assert len(order) == 13 and 4 <= order.index(mine) <= 9, order
    finally:
        b.stop()
        fake.stop()
        b.config["engine"]["socket"] = engine.socket


@pytest.fixture
def deaf_broker(broker, engine):
    """Has not heard of any container's end: just that answer of the engine's is lost on its way."""
    b = broker
    b.stop()
    fake = FakeEngine(b.dir, engine)
    fake.rules([{"path": "/wait", "action": "hang_after"}])
    b.config["engine"]["socket"] = fake.socket
    b.policy["profiles"]["nopty"] = profile("sallyport-test/busybox:latest", data_path="engine", pool=2)
    b.start()
    yield b, fake
    b.ask("kill", user="onebin")
    b.stop()
    fake.stop()
    b.config["engine"]["socket"] = engine.socket


def end_all(engine, fake):
    """By somebody else; what is lost of that has been lost."""
    waits = len(engine.containers())
    dead = {engine.inspect(c)["Config"]["Hostname"].encode() + b"\n" for c in engine.containers()}
    for c in engine.containers():
        engine.run("kill", c)
    wait_for(lambda: sum("/wait" in r["path"] for r in fake.requests()) >= waits, 20 * PATIENCE, "all have ended")
    return dead


@pytest.mark.parametrize("user", ["onebin", "nopty"], ids=["kept", "pooled"])
def test_an_end_that_is_not_told(deaf_broker, engine, user):
    """Who comes then gets a container that lives, for everything that was asked for; and so does who comes after that."""
    b, fake = deaf_broker
    wait_for(lambda: b.ask("status")["pool"]["ready"] == 2, 60 * PATIENCE, "the pool is full")
    if user == "onebin":
        assert b.target.ssh(WHERE, user=user).returncode == 0
    dead = end_all(engine, fake)
    with Conversation(b.target.of(user)) as c:
        for n in range(3):
            c.begin(n)
            c.send(c.ask(n, "exec", True, WHERE))
        c.finish(0, 1, 2)
        [where] = set(c.output.values())
    assert where not in dead
    after = b.target.ssh(WHERE, user=user)
    assert after.returncode == 0 and after.stdout not in dead, after.stderr
    if user == "onebin":
        assert after.stdout == where
    assert "Log in again" not in b.log()


def test_a_container_that_is_paused(deaf_broker, engine):
    """It takes no programs either, and has not ended."""
    b, _ = deaf_broker
    before = b.target.ssh(WHERE, user="onebin").stdout
    [kept] = [c for c in engine.containers() if engine.inspect(c)["Config"]["Labels"].get("sallyport.kept")]
    engine.run("pause", kept)
    try:
        r = b.target.ssh(WHERE, user="onebin")
        assert r.returncode == 255 and b"does not start any more programs" in r.stderr
    finally:
        engine.run("unpause", kept)
    assert b.target.ssh(WHERE, user="onebin").stdout == before


def test_kept_over_a_broker_that_is_killed(broker, engine):
    before = broker.target.ssh(WHERE, user="onebin").stdout
    broker.kill()
    assert len(engine.containers()) == 1
    broker.start()
    assert broker.target.ssh(WHERE, user="onebin").stdout == before
    # Who waits for a container's end is not waited for.
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 12 * PATIENCE
    broker.policy["profiles"]["onebin"] = profile(mode="session")
    broker.start()
    wait_for(lambda: not engine.containers(), 60 * PATIENCE, "it is not kept any more")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_engine_ends(own_engine, keys, how):
    """The streams end with it, and so do the sessions, with a sentence; the next ones work."""
    b = make(keys, own_engine)
    first = None
    try:
        b.start()
        p = b.target.popen("echo up; sleep 1000", user="dev")
        assert p.stdout.readline() == b"up\n"
        [container] = own_engine.containers()
        first = own_engine.inspect(container)["State"]["Pid"]
        end_engine(own_engine, how)
        _, err = p.communicate(timeout=60 * PATIENCE)
        assert p.returncode == 255 and b"container has ended" in err.lower()
        comes_back(b, own_engine)
        nothing_left(b, own_engine)
        # Killed, this engine forgets what its shims had; only it could have ended that.
        if how == signal.SIGTERM:
            assert not alive(first)
    finally:
        b.close()
        if first is not None and alive(first):
            os.kill(first, signal.SIGKILL)
