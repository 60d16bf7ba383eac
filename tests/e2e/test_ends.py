# SPDX-License-Identifier: Apache-2.0
"""Ends are ends: whoever dies, however it dies, nothing that we started outlives it."""
import os
import signal
import subprocess
import time

import pytest

from kit.broker import BASH, direct_only, profile
from kit.docker import LABEL
from kit.proc import alive, descendants, wait_for, with_command
from kit.target import PATIENCE
from test_protocol import Conversation

pytestmark = [pytest.mark.data_path, pytest.mark.podman]

# By this the processes of this run are known on the host.
MARK = f"7{os.getpid():08d}"
# Everything that people do to keep a process alive.
CLINGING = (f"nohup sleep {MARK} >/dev/null 2>&1 & "
            f"setsid sleep {MARK} >/dev/null 2>&1 </dev/null & "
            f"(setsid sh -c '(trap \"\" HUP TERM INT; sleep {MARK}) &' >/dev/null 2>&1 </dev/null &); "
            f"trap '' HUP TERM INT; echo up; sleep {MARK}")


def sleepers():
    """Host pids of the sleeps of CLINGING, from all containers."""
    return with_command(["sleep", MARK])


def cling(target, user=None):
    p = target.popen(CLINGING, user=user)
    assert p.stdout.readline() == b"up\n", p.stderr.read()
    wait_for(lambda: len(sleepers()) >= 4, 10 * PATIENCE, "all four of them run")
    return p


def all_gone(engine, seconds=20):
    wait_for(lambda: not engine.containers(), seconds * PATIENCE, "the container is removed")
    wait_for(lambda: not sleepers(), 20 * PATIENCE, "every process of the container is gone")


# Of a container for each connection, for each session, and for the user as long as somebody is in it.
modes = pytest.mark.parametrize("user", ["dev", "solo", "dev-kept"])


@modes
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_client_dies(broker, engine, user, how):
    p = cling(broker.target, user)
    p.send_signal(how)
    p.communicate(timeout=10)
    all_gone(engine)


def test_client_closes_only_the_connection(broker, engine):
    transport = broker.target.paramiko()
    c = transport.open_session()
    c.settimeout(20 * PATIENCE)
    c.exec_command(CLINGING)
    assert c.recv(10) == b"up\n"
    transport.close()
    all_gone(engine)


def test_client_vanishes_before_the_program_starts(broker, engine):
    """The container is being made while its client is already gone."""
    for _ in range(5):
        transport = broker.target.paramiko()
        transport.close()
    all_gone(engine)


def test_worker_dies(broker, engine):
    """It costs its own connection and no other."""
    other = broker.target.paramiko()
    try:
        c = other.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command("echo up; read x; echo $x")
        assert c.recv(10) == b"up\n"
        idle = set(broker.workers())
        theirs = next(pid for pid in idle if broker.has_client(pid))
        p = cling(broker.target)
        victim = next(pid for pid in broker.workers()
                      if pid != theirs and broker.has_client(pid))
        os.kill(victim, signal.SIGKILL)
        assert p.wait(10 * PATIENCE) == 255
        p.communicate()
        wait_for(lambda: not sleepers(), 20 * PATIENCE, "its processes are gone")
        wait_for(lambda: len(engine.containers()) == 1, 20 * PATIENCE, "its container is gone")
        c.sendall(b"unharmed\n")
        assert c.recv(100) == b"unharmed\n"
        assert c.recv_exit_status() == 0
    finally:
        other.close()


def test_waiting_worker_dies(broker):
    """One of those that wait for a client is replaced."""
    victim = broker.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in broker.workers() and broker.settled(), 10 * PATIENCE,
             "a new worker waits in its place")
    assert broker.target.ssh("echo ok").stdout == b"ok\n"


@modes
def test_container_is_removed_from_outside(broker, engine, user):
    p = cling(broker.target, user)
    engine.run("rm", "-f", *engine.containers())
    assert p.wait(15 * PATIENCE) == 255
    p.communicate()
    all_gone(engine)


@modes
def test_first_process_of_the_container_is_killed(broker, engine, user):
    p = cling(broker.target, user)
    [cid] = engine.containers()
    os.kill(engine.inspect(cid)["State"]["Pid"], signal.SIGKILL)
    assert p.wait(15 * PATIENCE) == 255
    p.communicate()
    all_gone(engine)


@direct_only("no container refuses an order there")
@pytest.mark.parametrize("user", ["dev", "dev-kept"])
def test_order_for_a_container_that_has_just_ended(broker, engine, user):
    """It is refused before the broker has heard of the end, and the client is told of the end all the same."""
    with Conversation(broker.target, login=user) as c:
        c.begin(0, 1)
        c.send(c.ask(0, "exec", True, "echo up; read x"))
        c.until(lambda: c.output.get(0) == b"up\n")
        [cid] = engine.containers()
        first = engine.inspect(cid)["State"]["Pid"]
        # What it is asked now comes first when it goes on.
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            c.send(c.ask(1, "exec", True, "echo never"))
            time.sleep(0.5)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: not alive(first), 20 * PATIENCE, "the container has ended")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        c.finish(0, 1)
        assert c.output[1] == b"The container has ended. Log in again for a new one.\n"
        assert (b"exit-status", b"\0\0\0\0\xff") in c.said[1]
    all_gone(engine)


def client_is_killed(client, pid):
    del pid
    client.kill()


def guest_is_killed(client, pid):
    del client
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [client_is_killed, guest_is_killed])
def test_container_of_a_pool(fresh_broker, engine, end):
    """It goes like any other, and another one takes its place."""
    b = fresh_broker
    b.policy["profiles"]["busy"] = profile(argv=BASH, pool=1)
    b.start()

    def waiting():
        return b.ask("status")["pool"]["ready"] == 1 and engine.listed()

    [name] = wait_for(waiting, 20 * PATIENCE, "the pool is full")
    p = cling(b.target, "busy")
    assert b.audit(event="container.handout", container=name)
    end(p, engine.inspect(name)["State"]["Pid"])
    p.communicate(timeout=15 * PATIENCE)
    assert p.returncode in (255, -signal.SIGKILL)
    wait_for(lambda: not sleepers(), 20 * PATIENCE, "every process of the container is gone")
    wait_for(lambda: name not in engine.listed(), 20 * PATIENCE, "the container is removed")
    assert len(wait_for(waiting, 20 * PATIENCE, "the pool is full again")) == 1


def test_broker_is_told_to_stop(fresh_broker, engine):
    """SIGTERM: a word to the people, the drain time, and everything is taken down in order."""
    b = fresh_broker.start()
    p = cling(b.target)
    below = descendants(b.pid)
    assert b.stop() == 0, b.log()
    assert p.wait(10) == 255
    err = p.communicate()[1]
    assert b"stopping" in err
    assert not [pid for pid in below if alive(pid)]
    all_gone(engine, seconds=1)
    with pytest.raises(OSError):
        b.target.paramiko()


def test_broker_with_nobody_stops_at_once(fresh_broker):
    b = fresh_broker.start()
    assert b.stop(seconds=5) == 0


def test_session_that_ends_by_itself_lets_the_broker_go(fresh_broker):
    """While it drains, sessions go on to their end."""
    fresh_broker.config["limits"]["drain"] = "20s"
    b = fresh_broker.start()
    p = b.target.popen("echo up; sleep 3; echo finished; exit 4")
    assert p.stdout.readline() == b"up\n"
    b.process.send_signal(signal.SIGTERM)
    out, _ = p.communicate(timeout=15 * PATIENCE)
    assert (p.returncode, out) == (4, b"finished\n")
    assert b.process.wait(12) == 0


@pytest.mark.quick
def test_broker_is_killed(fresh_broker, engine):
    """SIGKILL: workers go with it, and the next start leaves no container of the last."""
    b = fresh_broker.start()
    p = cling(b.target)
    [ours] = engine.containers()
    labels = engine.inspect(ours)["Config"]["Labels"]
    below = b.kill()
    assert p.wait(10 * PATIENCE) == 255
    p.communicate()
    wait_for(lambda: not [pid for pid in below if alive(pid)], 20 * PATIENCE, "its workers are gone")
    # Not ours: the very same labels under another name, as an image or a person could set them.
    copied = [x for k, v in labels.items() for x in ("--label", f"{k}={v}")]
    foreign = engine.run("run", "-d", *copied, "--name", "not-of-sallyport",
                         "sallyport-test/busybox:latest", "sleep", "600")
    try:
        b.start()
        wait_for(lambda: engine.containers() == [foreign], 20 * PATIENCE,
                 "the next start has removed what was ours")
        assert engine.inspect(foreign)["State"]["Running"]
        assert b.target.ssh("echo again").stdout == b"again\n"
        wait_for(lambda: engine.containers() == [foreign], 20 * PATIENCE, "and only what is ours")
        assert b.stop() == 0
        assert engine.inspect(foreign)["State"]["Running"]
    finally:
        engine.run("rm", "-f", foreign)
    assert engine.containers(LABEL) == []
    wait_for(lambda: not sleepers(), 20 * PATIENCE, "every process is gone")


def test_two_brokers_do_not_share_their_state(fresh_broker):
    b = fresh_broker.start()
    r = subprocess.run([b.process.args[0], "-c", f"{b.dir}/broker.json"], capture_output=True,
                       text=True, timeout=15 * PATIENCE, check=False)
    assert r.returncode != 0
    assert b.target.ssh("echo unharmed").stdout == b"unharmed\n"


@pytest.mark.quick
@pytest.mark.parametrize("name", ["sp-spawner", "sp-binds"])
def test_side_process_is_killed(fresh_broker, engine, name):
    """Without it no worker can be started, or no directory given: the broker says so and ends, leaving nothing."""
    b = fresh_broker.start()
    p = b.target.popen(f"echo up; sleep {MARK}")
    assert p.stdout.readline() == b"up\n"
    os.kill(b.side_process(name), signal.SIGKILL)
    assert b.process.wait(40) != 0
    assert "cannot go on: the " in b.log()
    p.communicate(timeout=10)
    b.start()
    all_gone(engine)


def test_reload_of_the_policy(fresh_broker):
    """SIGHUP swaps a good policy, keeps the old one before a bad one, and touches no session."""
    b = fresh_broker.start()
    p = b.target.popen("echo up; read x; echo $x")
    assert p.stdout.readline() == b"up\n"
    assert b.target.ssh("echo no", user="refused").returncode != 0

    b.policy["rules"][0] = {"id": "entry", "if": {"user": ["refused"]}, "use": "dev"}
    b.write()
    b.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "generation 2" in b.log(), 20 * PATIENCE, "the new policy is in force")
    assert b.target.ssh("echo now", user="refused").stdout == b"now\n"

    b.policy["rules"][0]["use"] = "no-such-profile"
    b.write()
    b.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded" in b.log(), 20 * PATIENCE, "the bad policy is refused")
    assert "policy.json:" in b.log() and "no-such-profile" in b.log()
    assert b.target.ssh("echo still", user="refused").stdout == b"still\n"

    p.stdin.write(b"unharmed\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"unharmed\n"
    assert p.wait(10) == 0
