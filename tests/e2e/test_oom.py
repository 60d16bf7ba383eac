# SPDX-License-Identifier: Apache-2.0
"""What the kernel has killed in a container for want of memory: the log and the audit log say why."""
import time

import pytest

from kit.broker import direct_only, profile
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, direct_only("the broker does not know the container's first process")]

LIMIT = {"memory": "48M", "swap": "0"}
EAT = "dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null"
TOLD = "the memory limit of 48M was reached"


def prepare(broker, **container):
    limited = profile("sallyport-test/busybox:latest", limits=LIMIT, **container)
    broker.policy["profiles"] = dict(broker.policy["profiles"], busy=limited)
    return broker.start()


def eat(broker):
    """A program that is killed for it; its shell is not, and sees it."""
    r = broker.target.ssh(f"{EAT}; echo $?", user="busy")
    assert (r.returncode, r.stdout.split()[-1:]) == (0, [b"137"]), r.stdout + r.stderr


def run(broker, command, user="busy"):
    r = broker.target.ssh(command, user=user)
    assert r.returncode == 0, r.stderr
    return r.stdout


def gone(broker, engine):
    """Then everything that is said of containers has been said."""
    wait_for(lambda: not engine.containers(), 30 * PATIENCE, "the containers are gone")
    wait_for(lambda: len(broker.audit(event="container.remove")) ==
             len(broker.audit(event="container.create")), 30 * PATIENCE, "their ends are logged")


def told(broker):
    return broker.log().count(TOLD)


def test_log_and_audit_log_say_it_once(fresh_broker, engine):
    b = prepare(fresh_broker)
    run(b, "true")
    assert b.target.ssh("kill -9 $$", user="busy").returncode == 255
    gone(b, engine)
    assert not b.audit(event="container.oom") and told(b) == 0
    eat(b)
    run(b, "true", user="dev")
    run(b, "true")
    gone(b, engine)
    event, = b.audit(event="container.oom")
    login, = [e for e in b.audit(event="login", user="busy") if e["connection"] == event["connection"]]
    created, = b.audit(event="container.create", connection=event["connection"])
    up, = b.audit(event="container.up", connection=event["connection"])
    assert {k: event.get(k) for k in ("user", "from", "container", "id", "profile", "killed", "cause")} == {
        "user": "busy", "from": login["from"], "container": created["container"], "id": up["id"],
        "profile": "busy", "killed": 1, "cause": "limit"}
    line, = [line for line in b.log().splitlines() if TOLD in line]
    assert (f"connection={event['connection']} user=busy container={event['container']} profile=busy " in line and
            "killed 1 of its processes" in line and 'raise "container.limits.memory"' in line)


def test_once_for_each_program(fresh_broker, engine):
    """Many connections in one container, which an earlier run has made; and many killed in one program."""
    b = prepare(fresh_broker, mode="user", keep="10m")
    try:
        for n in (1, 2):
            eat(b)
            wait_for(lambda n=n: told(b) == n, 20 * PATIENCE, "it is told")
            run(b, "true")
        b.stop()
        b.start()
        run(b, "true")
        eat(b)
        wait_for(lambda: told(b) == 3, 20 * PATIENCE, "it is told")
        run(b, f"for i in 1 2 3 4 5; do {EAT}; done; true")
        wait_for(lambda: told(b) == 4, 20 * PATIENCE, "it is told")
        run(b, "true")
        events = b.audit(event="container.oom")
        assert [(e["killed"], e["profile"], e["user"]) for e in events] == [
            *[(1, "busy", "busy")] * 3, (5, "busy", "busy")]
        assert len({e["container"] for e in events}) == 1
        assert len({e["connection"] for e in events}) == 4
    finally:
        b.ask("kill", user="busy")
        gone(b, engine)
    assert told(b) == 4


def test_after_the_last_program(fresh_broker, engine):
    """Nobody's program has ended since: it is told when the container ends."""
    b = prepare(fresh_broker)
    transport = b.target.paramiko(user="busy")
    try:
        channel = transport.open_session()
        channel.exec_command(f"(sleep 2; {EAT}) >/dev/null 2>&1 </dev/null &")
        assert channel.recv_exit_status() == 0
        channel.close()
        wait_for(lambda: b.audit(event="channel.closed"), 20 * PATIENCE, "the program has ended")
        [container] = engine.containers()
        wait_for(lambda: "sh" not in engine.run("top", container, "-eo", "pid,comm").split(),
                 20 * PATIENCE, "what it has left has ended")
        time.sleep(0.5)
        assert told(b) == 0
    finally:
        transport.close()
    gone(b, engine)
    event, = b.audit(event="container.oom")
    assert "user" not in event and event["killed"] == 1 and event["profile"] == "busy"
    assert told(b) == 1
