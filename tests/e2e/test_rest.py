# SPDX-License-Identifier: Apache-2.0
"""A container in which nobody is left: its removal waits while others log in, and for nothing else."""
import contextlib
import threading
import time

import pytest

from kit.broker import profile
from kit.proc import alive, wait_for, with_command
from kit.target import PATIENCE

pytestmark = [pytest.mark.podman]

MARK = "70318264"


@pytest.fixture
def rest(fresh_broker):
    """A user whose containers are new ones, and one whose container takes no time of the engine's."""
    fresh_broker.policy["profiles"] = dict(
        fresh_broker.policy["profiles"], busy=profile("sallyport-test/busybox:latest", pool=8))
    yield fresh_broker


@contextlib.contextmanager
def logins(broker):
    """One after the other, all the time, out of the pool."""
    done = threading.Event()

    def go_on():
        while not done.is_set():
            broker.target.ssh("true", user="busy")
            done.wait(0.05)

    t = threading.Thread(target=go_on)
    t.start()
    try:
        yield
    finally:
        done.set()
        t.join()


def guests(engine, name="dev"):
    """Host pids of the first processes of this user's containers."""
    found = []
    for c in engine.containers():
        with contextlib.suppress(Exception):  # it may be gone by now
            facts = engine.inspect(c)
            if facts["Config"]["Labels"].get("sallyport.user") == name:
                found.append(facts["State"]["Pid"])
    return found


def full(broker):
    wait_for(lambda: broker.ask("status")["pool"]["ready"] == 8, 60 * PATIENCE, "the pool is full")


def leave(broker, engine):
    """A session ends and leaves daemons; its container's first process."""
    p = broker.target.popen(f"setsid sleep {MARK} </dev/null >/dev/null 2>&1 & echo up; exec sleep {MARK}")
    assert p.stdout.readline() == b"up\n", p.stderr.read()
    wait_for(lambda: len(with_command(["sleep", MARK])) == 2, 10 * PATIENCE, "both run")
    [guest] = guests(engine)
    p.kill()
    p.communicate()
    wait_for(lambda: not with_command(["sleep", MARK]), 10 * PATIENCE, "its programs are gone")
    return guest


def test_its_programs_are_gone_while_it_waits(rest, engine):
    rest.start()
    full(rest)
    for _ in range(5):
        with logins(rest):
            guest = leave(rest, engine)
            waits = alive(guest)
            wait_for(lambda: not alive(guest), 5 * PATIENCE, "it is removed whoever comes")
        if waits:
            break
    assert waits, "it never waited: nothing was shown"
    assert rest.stop() == 0
    assert not engine.containers()


def test_broker_is_killed_while_it_waits(rest, engine):
    """The container ends by itself, and the next start removes it."""
    rest.start()
    full(rest)
    with logins(rest):
        guest = leave(rest, engine)
        rest.kill()
    wait_for(lambda: not alive(guest), 8 * PATIENCE, "it ends by itself")
    rest.start()
    full(rest)
    wait_for(lambda: len(engine.containers()) == 8, 20 * PATIENCE, "the pool's are there and no other")


def test_its_place_is_free(rest, engine):
    """Who has left may come again at once, however many he may have, and however busy it is."""
    rest.policy["ceilings"] = {"per_user": {"containers": 1}}
    rest.start()
    full(rest)
    with logins(rest):
        for _ in range(5):
            assert rest.target.ssh("echo in").stdout == b"in\n"
            time.sleep(0.1)


def test_nobody_waits_for_it_at_the_end(rest, engine):
    """A service that stops does not leave it time."""
    rest.start()
    full(rest)
    with logins(rest):
        leave(rest, engine)
    since = time.monotonic()
    assert rest.stop() == 0
    assert time.monotonic() - since < 10 * PATIENCE
    assert not engine.containers()
