# SPDX-License-Identifier: Apache-2.0
"""
Crash anywhere. The fake engine between broker and engine stops at the first, second, third ... question
about a container, before the engine has heard it or after it has acted on it, until all that were asked
have been stopped once. There somebody dies by SIGKILL: the broker, the worker, the container's first
process. Afterwards exactly the containers that the policy wants are there, as the engine lists them.
"""
import itertools
import os
import signal
import time

import pytest

from kit.broker import profile
from kit.fake_engine import FakeEngine
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.data_path

IMAGE = "sallyport-test/busybox:latest"
WHERE = "cat /proc/sys/kernel/hostname"
# Before the engine has heard the question, and after it has acted on it.
EACH, GOES_ON = ["hang", "hang_after"], ["hold_after"]
# Mostly, before one is after the one before that.
SOME = EACH if "SALLYPORT_EVERY_POINT" in os.environ else ["hang_after"]
# The broker asks for the list of its containers when it starts, and some times after that.
# Podman is asked in its own API for what the other one has not.
ABOUT_ONE, WITH_LISTS = "^(/v4.0.0/libpod)?/containers/(?!json)", "^(/v4.0.0/libpod)?/containers/"


@pytest.fixture
def fake(fresh_broker, engine):
    """
    The broker has user "dev", "solo" with a container for each session, "busy" with a pool of one, and "onebin",
    whose container is kept.
    """
    f = FakeEngine(fresh_broker.dir, engine)
    fresh_broker.config["engine"].update(socket=f.socket)
    fresh_broker.policy["profiles"].update(busy=profile(IMAGE), solo=profile(IMAGE, mode="session"), onebin=profile(
        IMAGE, mode="user", keep="10m"))
    yield f
    f.rules([])
    if fresh_broker.process is not None and fresh_broker.process.poll() is None:
        fresh_broker.ask("kill", user="onebin")
        wait_for(lambda: not fresh_broker.ask("status")["kept"], 20 * PATIENCE, "nothing is kept")
        fresh_broker.stop()
    f.stop()


class Points:
    """
    Every question about a container that some work causes; the work is begun anew for each. The body of
    the loop calls arm() before the work, and reached() while it goes on.
    """

    def __init__(self, fake, actions, path=ABOUT_ONE):
        self.fake = fake
        self.actions = actions
        self.path = path
        self.seen = []

    def __iter__(self):
        for n in itertools.count():
            for self.action in self.actions:
                self.number = n
                self.seen.append(None)
                yield
                self.fake.rules([])
            if not any(self.seen[-len(self.actions):]):
                break
        assert self.seen[0] is not None, "nothing was asked of the engine: nothing was shown"
        print("\n".join(s for s in self.seen if s))

    def arm(self):
        """Questions count from here."""
        self.since = len(self.fake.requests())
        self.fake.rules([{"path": self.path, "action": self.action, "skip": self.number, "times": 1,
                          "id": self.since}])

    def _stopped(self):
        for r in self.fake.requests()[self.since:]:
            if r["action"] == self.action:
                self.seen[-1] = f"{self.action} {r['method']} {r['path']}"
                return True
        return False

    def reached(self, over):
        """Whether a question was stopped; if not, the work was over before."""
        wait_for(lambda: self._stopped() or over(), 30 * PATIENCE, "a question is stopped, or none is asked")
        if self._stopped():
            return True
        self.fake.rules([])
        # What hangs does so for good, also what came when the work was over.
        return self.action in EACH and self._stopped()


def exactly(broker, engine, wanted):
    """So many containers, all of them running, and nothing that belongs to any other."""
    wait_for(lambda: list(engine.listed().values()) == ["running"] * wanted, 30 * PATIENCE,
             f"{wanted} containers are there")
    names = set(engine.listed())
    wait_for(lambda: set(os.listdir(f"{broker.dir}/run/rendezvous")) <= names, 10 * PATIENCE,
             "no rendezvous directory is left")
    wait_for(lambda: {m.split(".")[0] for m in os.listdir(f"{broker.dir}/state/kept")} <= names,
             10 * PATIENCE, "no mark is left")


def where(broker, user):
    r = broker.target.ssh(WHERE, user=user)
    assert r.returncode == 0, r.stderr
    return r.stdout.decode().strip()


def finish(client):
    client.communicate(timeout=20 * PATIENCE)
    return client.returncode


def begin_anew(broker, fake):
    broker.kill()
    fake.rules([])
    broker.start()


def full(broker):
    return broker.ask("status")["pool"] == {"wanted": 1, "ready": 1, "starting": 0}


@pytest.mark.parametrize("user", ["dev", "solo"])
def test_broker_during_a_login(fresh_broker, fake, engine, user):
    b = fresh_broker.start()
    points = Points(fake, EACH if user == "dev" else SOME)
    for _ in points:
        points.arm()
        client = b.target.popen("true", user=user)
        if points.reached(lambda c=client: c.poll() is not None and not engine.listed()):
            begin_anew(b, fake)
        finish(client)
        exactly(b, engine, 0)
        where(b, user)


def test_broker_while_a_pool_is_filled(fresh_broker, fake, engine):
    b = fresh_broker
    b.policy["profiles"]["busy"]["container"]["pool"] = 1
    b.start()
    points = Points(fake, SOME)
    for _ in points:
        wait_for(lambda: full(b), 20 * PATIENCE, "the pool is full")
        exactly(b, engine, 1)
        before = set(engine.listed())
        points.arm()
        engine.run("rm", "-f", *before)
        # On the data path "engine" it may be the question for the new one's end that hangs: this broker would never hear.
        if points.reached(lambda old=before: full(b) and not old & set(engine.listed())) or \
                points.action == "hang_after":
            begin_anew(b, fake)
    wait_for(lambda: full(b), 20 * PATIENCE, "the pool is full")
    exactly(b, engine, 1)
    where(b, "busy")


@pytest.mark.podman
def test_broker_while_a_kept_container_is_made(fresh_broker, fake, engine):
    b = fresh_broker.start()
    points = Points(fake, SOME)
    for _ in points:
        points.arm()
        client = b.target.popen(WHERE, user="onebin")
        if points.reached(lambda c=client: c.poll() is not None):
            begin_anew(b, fake)
        finish(client)
        mine = where(b, "onebin")
        exactly(b, engine, 1)
        assert where(b, "onebin") == mine
        b.ask("kill", user="onebin")
        exactly(b, engine, 0)


@pytest.mark.podman
def test_broker_while_a_kept_container_is_found_again(fresh_broker, fake, engine):
    b = fresh_broker.start()
    mine = where(b, "onebin")
    points = Points(fake, SOME, WITH_LISTS)
    for _ in points:
        b.kill()
        points.arm()
        b.start()
        client = b.target.popen(WHERE, user="onebin")
        if points.reached(lambda c=client: c.poll() is not None):
            begin_anew(b, fake)
        finish(client)
        assert where(b, "onebin") == mine
        exactly(b, engine, 1)


@pytest.mark.podman
def test_broker_while_a_kept_container_is_ended(fresh_broker, fake, engine):
    b = fresh_broker.start()
    points = Points(fake, EACH)
    for _ in points:
        mine = where(b, "onebin")
        points.arm()
        b.ask("kill", user="onebin")
        if points.reached(lambda: not engine.listed()):
            begin_anew(b, fake)
        exactly(b, engine, 0)
        assert where(b, "onebin") != mine


def test_engine_that_makes_a_container_after_its_broker_died(fresh_broker, fake, engine):
    """It had been asked, and is slow; the next run has looked for what is left of the last one before."""
    b = fresh_broker.start()
    fake.rules([{"path": "/containers/create", "action": "hold", "times": 1}])
    client = b.target.popen("true", user="dev")
    wait_for(lambda: [r for r in fake.requests() if r["action"] == "hold"], 20 * PATIENCE, "it is asked for")
    [asked] = b.audit(event="container.create")
    b.kill()
    finish(client)
    since = len(fake.requests())
    b.start()
    wait_for(lambda: [r for r in fake.requests()[since:] if "/containers/json" in r["path"]],
             20 * PATIENCE, "the new run has looked")
    time.sleep(0.5)
    # An engine that was asked has looked at what is to be mounted already.
    os.mkdir(f"{b.dir}/run/rendezvous/{asked['container']}")
    fake.rules([])
    wait_for(lambda: asked["container"] in engine.listed(), 20 * PATIENCE, "the engine has made it")
    exactly(b, engine, 0)
    where(b, "dev")


def running(engine):
    """The first process of the container that runs, or None."""
    names = [n for n, state in engine.listed().items() if state == "running"]
    seen = engine.get(f"/containers/{names[0]}/json") if names else None
    return seen["State"]["Pid"] or None if seen else None


def kill_running(engine):
    """That one, killed; None also when it has ended before."""
    guest = running(engine)
    if guest is None:
        return None
    try:
        os.kill(guest, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return guest


@pytest.mark.podman
@pytest.mark.parametrize("user", ["dev", "solo", "onebin"] if len(SOME) > 1 else ["solo", "onebin"])
def test_worker_during_a_login(fresh_broker, fake, engine, user):
    b = fresh_broker.start()
    points = Points(fake, GOES_ON)
    for _ in points:
        points.arm()
        client = b.target.popen("true", user=user)
        if points.reached(lambda c=client: c.poll() is not None and
                          (user == "onebin" or not engine.listed())):
            for pid in filter(b.has_client, b.workers()):
                os.kill(pid, signal.SIGKILL)
            fake.rules([])
        finish(client)
        if user == "onebin":
            mine = where(b, user)
            exactly(b, engine, 1)
            assert where(b, user) == mine
            b.ask("kill", user="onebin")
        exactly(b, engine, 0)
        where(b, "dev")


@pytest.mark.podman
@pytest.mark.parametrize("user", ["dev", "solo", "onebin"] if len(SOME) > 1 else ["dev", "solo"])
def test_guest_during_a_login(fresh_broker, fake, engine, user):
    """
    The client is told, and the next login has another container; or this one has, where a program of its was refused in
    one that had ended.
    """
    b = fresh_broker.start()
    points = Points(fake, GOES_ON)
    died = 0

    def others():
        return b.log().count("had ended: its login gets another one")
    for _ in points:
        points.arm()
        before = others()
        client = b.target.popen("sleep 0.5", user=user)
        if points.reached(lambda c=client: c.poll() is not None):
            guest = kill_running(engine)
            fake.rules([])
            if guest is not None and client.poll() is None:
                died += 1
                assert finish(client) == (0 if others() > before else 255)
        finish(client)
        if user == "onebin":
            where(b, user)
            exactly(b, engine, 1)
            b.ask("kill", user="onebin")
        exactly(b, engine, 0)
    assert died >= 2


def test_guest_while_a_pool_is_filled(fresh_broker, fake, engine):
    b = fresh_broker
    b.policy["profiles"]["busy"]["container"]["pool"] = 1
    points = Points(fake, GOES_ON)
    for _ in points:
        points.arm()
        b.start()
        if points.reached(lambda: full(b)):
            guest = kill_running(engine)
            fake.rules([])
            # The data path "engine" has the engine's word for it that one runs.
            wait_for(lambda pid=guest: pid is None or running(engine) != pid, 20 * PATIENCE, "the engine knows it")
        wait_for(lambda: full(b), 20 * PATIENCE, "the pool is full")
        exactly(b, engine, 1)
        where(b, "busy")
        assert b.stop() == 0
        assert not engine.listed()
