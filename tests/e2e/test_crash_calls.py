# SPDX-License-Identifier: Apache-2.0
"""
Crash anywhere, also between two questions to the engine (those are test_crash.py's): a mark that is made or
not, a rendezvous directory that nobody uses yet, a descriptor on its way to the worker, an order on its way to
the guest. The work is done once and its system calls are counted; then it is done again and again, and
the process dies right before one of them. Afterwards exactly what the policy wants is there.

Which ones it is left to chance; SP_TEST_SEED repeats a run, and SALLYPORT_EVERY_POINT=1 leaves none out.
"""
import os
import random
import shutil
import signal
import subprocess

import pytest

from kit import calls
from kit.broker import PROGRAM, profile
from kit.proc import alive, stat_fields, wait_for
from kit.target import PATIENCE
from test_crash import exactly, where

EVERY = "SALLYPORT_EVERY_POINT" in os.environ
SEED = os.environ.get("SP_TEST_SEED", str(os.getpid()))
IMAGE = "sallyport-test/busybox:latest"
WHERE = "cat /proc/sys/kernel/hostname"
POOL = 1


def some(points, n):
    """Those that this run tries."""
    assert points, "nothing was done: nothing would be shown"
    chosen = range(len(points))
    if not EVERY:
        chosen = sorted(random.Random(SEED).sample(chosen, min(n, len(points))))
    print(f"{len(chosen)} of {len(points)} points, seed {SEED}")
    for i in chosen:
        yield points[i]


class Died(Exception):
    """The broker has, in the middle of something."""


class Day:
    """
    What a broker does from its start to its end. Each of its lives is one, begun with what the last one has
    left; it may die in each step, and the rest is left out then.
    """

    def __init__(self, broker, engine):
        self.broker = broker
        self.engine = engine
        self.promised = None  # the kept container that somebody was in
        self.ended = None     # the one of which somebody was told that it ends
        self.mounts = mounts(engine)  # what other tests left, and their engine has forgotten

    def dead(self, seconds=0.0):
        try:
            self.broker.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def until(self, condition, what):
        def over():
            try:
                return condition()
            except (OSError, ValueError):
                return self.dead(5)
        wait_for(lambda: over() or self.dead(), 30 * PATIENCE, what)
        if self.dead():
            raise Died

    def run(self, command, user):
        r = self.broker.target.ssh(command, user=user)
        if r.returncode != 0 and self.dead(5):
            raise Died
        assert r.returncode == 0, r.stderr
        return r.stdout.decode().strip()

    def start(self, *through):
        b = self.broker
        b.write()
        with open(f"{b.dir}/log", "ab") as log:
            before = log.tell()
            b.process = subprocess.Popen([*through, PROGRAM, "-c", f"{b.dir}/broker.json"],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         start_new_session=True)
        self.until(lambda: "ready: policy" in b.log(before), "the broker is ready")

    def status(self, of):
        return self.broker.ask("status")[of]

    def find_kept(self):
        found = self.run(WHERE, "onebin")
        assert found != self.ended
        assert self.promised in (None, found)
        self.promised = found
        self.until(lambda: os.listdir(f"{self.broker.dir}/state/kept"), "it waits for its user")

    def use_pool(self):
        self.until(lambda: self.status("pool")["ready"] == POOL, "the pool is full")
        self.run("true", "busy")

    def end_kept(self):
        old, self.promised = self.promised, None
        try:
            assert self.broker.ask("kill", user="onebin")["containers"] == 1
        except (OSError, ValueError):
            if self.dead(5):
                raise Died from None
            raise
        self.ended = old
        self.until(lambda: not self.status("kept"), "it has ended")

    def go(self, *through):
        """True: all of it was done."""
        try:
            self.start(*through)
            self.find_kept()
            self.run("true", "dev")
            self.run("true", "solo")
            self.find_kept()
            self.use_pool()
            self.end_kept()
            self.find_kept()
            self.until(lambda: self.status("pool")["ready"] == POOL, "the pool is full again")
            code = self.broker.stop()
        except Died:
            return False
        assert code in (0, -signal.SIGKILL)
        return code == 0

    def leave(self):
        """The next one has something to begin with: it dies with somebody in two of its containers."""
        clients = [self.broker.target.popen("echo up; sleep 1000", user=user) for user in ("dev", "solo")]
        for client in clients:
            assert client.stdout.readline() == b"up\n"
        self.broker.kill()
        for client in clients:
            client.communicate(timeout=20 * PATIENCE)

    def is_as_the_policy_says(self, since):
        """After its death another one starts, without a tracer, and finds what has to be there."""
        b = self.broker
        nobody_left(b.pid)
        b.start()
        assert "damaged" not in b.log(since) and "is whole" not in b.log(since)
        found = where(b, "onebin")
        assert found != self.ended and self.promised in (None, found)
        self.promised = where(b, "onebin")
        assert self.promised == found
        self.until(lambda: self.status("pool")["ready"] == POOL, "the pool is full")
        exactly(b, self.engine, 1 + POOL)
        nothing_mounted(self.engine, self.mounts)
        for user in ("dev", "solo", "busy"):
            where(b, user)


def of_session(sid):
    """Processes that the one with this pid has started, and itself."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = stat_fields(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == sid and fields[0] not in "ZX":
            found.append(int(pid))
    return found


def nobody_left(pid):
    wait_for(lambda: not of_session(pid), 20 * PATIENCE, "all of its processes are gone")


def mounts(engine):
    """Where files of containers are mounted."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        places = [line.split()[1] for line in f]
    return {p for p in places if p.startswith(f"{engine.directory}/") and p.endswith("/merged")}


def nothing_mounted(engine, before):
    """No container's files are mounted but those of containers that run, and what was there before."""
    def surplus():
        return len(mounts(engine) - before) - len(engine.listed())
    wait_for(lambda: surplus() == 0, 20 * PATIENCE,
             f"nothing else is mounted: {surplus()} more than {engine.listed()}")


@pytest.fixture
def day(fresh_broker, engine):
    """"dev" has one for each connection, "solo" for each session, "busy" one of a pool, and that of "onebin" is kept."""
    b = fresh_broker
    b.policy["profiles"].update(dev=profile(IMAGE), solo=profile(IMAGE, mode="session"),
                                busy=profile(IMAGE, pool=POOL), onebin=profile(IMAGE, mode="user", keep="10m"))
    yield Day(b, engine)
    if b.process.poll() is not None:
        b.start()
    b.ask("kill", user="onebin")
    wait_for(lambda: not b.ask("status")["kept"], 20 * PATIENCE, "nothing is kept")
    assert b.stop() == 0
    assert not engine.listed()


def kill_at(day, log, point):
    """Whether it came so far. Printed is where it died."""
    if day.go(*calls.through(log, point)):
        return False
    print(calls.last(log))
    return True


@pytest.mark.data_path
@pytest.mark.timeout(7200 if EVERY else 300)
def test_broker(day, tmp_path):
    log = f"{tmp_path}/calls"
    assert day.go(*calls.through(log))
    reached = []
    for point in some(calls.points(log), 3):
        day.broker.start()
        day.leave()
        since = day.broker.log_size()
        reached.append(kill_at(day, log, point))
        day.is_as_the_policy_says(since)
        assert day.broker.stop() == 0
    # Not each day is quite like the others.
    assert sum(reached) > len(reached) // 2


@pytest.mark.data_path
@pytest.mark.quick
@pytest.mark.timeout(1800 if EVERY else 180)
def test_broker_at_its_first_start(day, tmp_path):
    """Nothing is there yet: its secret and its directories are being made."""
    b = day.broker
    log = f"{tmp_path}/calls"

    def first_start(point=None):
        for made in ("run", "state"):
            shutil.rmtree(f"{b.dir}/{made}", ignore_errors=True)
        try:
            day.start(*calls.through(log, point))
        except Died:
            return True
        b.kill()
        return False

    # What comes after is done again at each start.
    b.policy["profiles"]["busy"]["container"]["pool"] = 0
    assert not first_start()
    reached = []
    for point in some(calls.points(log), 3):
        reached.append(first_start(point))
        print(calls.last(log))
        nobody_left(b.pid)
        b.start()
        where(b, "dev")
        exactly(b, day.engine, 0)
        assert b.stop() == 0
    assert any(reached)


def finish(client, sent):
    """
    A client whose session may have been cut off: it got everything and says so, or it was told. Its output
    is part of what was due.
    """
    out, err = client.communicate(sent, timeout=30 * PATIENCE)
    assert (client.returncode, out) == (3, sent) or (client.returncode == 255 and sent.startswith(out)), \
        (client.returncode, out, err)
    return client.returncode == 3


WORK, SENT = "cat; exit 3", b"0123456789abcdef\n" * 100


@pytest.mark.data_path
@pytest.mark.quick
@pytest.mark.timeout(3600 if EVERY else 180)
@pytest.mark.parametrize("user", ["dev", "solo", "onebin"])
def test_worker(day, tmp_path, user):
    """It costs its own connection."""
    b = day.broker
    b.policy["profiles"]["busy"]["container"]["pool"] = 0
    b.start()
    kept = where(b, "onebin")
    log = f"{tmp_path}/calls"

    def session(point=None):
        wait_for(b.settled, 20 * PATIENCE, "workers wait")
        with calls.Attached(log, b.workers(), point) as them:
            client = b.target.popen(WORK, user=user)
            pid = wait_for(lambda: [p for p in them.pids if not alive(p) or b.has_client(p)], 20 * PATIENCE,
                           "a worker has the client")[0]
            done = finish(client, SENT)
            wait_for(lambda: not alive(pid), 20 * PATIENCE, "the worker has ended")
        return pid, done

    pid, done = session()
    assert done
    points = calls.points(log, pid)
    outcomes = set()
    for point in some(points, 3):
        outcomes.add(session(point)[1])
        print(calls.last(log))
        exactly(b, day.engine, 1)
        assert where(b, "onebin") == kept
    assert False in outcomes


@pytest.mark.timeout(3600 if EVERY else 180)
def test_guest(day, tmp_path):
    """
    The first process of a kept container, while somebody comes back to it: the client is told. By the engine it
    does nothing but wait.
    """
    b = day.broker
    b.policy["profiles"]["busy"]["container"]["pool"] = 0
    b.start()
    log = f"{tmp_path}/calls"

    def session(point=None):
        before = where(b, "onebin")
        [name] = day.engine.listed()
        with calls.Attached(log, [day.engine.inspect(name)["State"]["Pid"]], point) as it:
            done = finish(b.target.popen(WORK, user="onebin"), SENT)
        died = calls.reached(log)
        assert died or done
        if died:
            wait_for(lambda: it.died() and name not in day.engine.listed(), 20 * PATIENCE,
                     "its container is gone")
        assert (where(b, "onebin") == before) != died
        exactly(b, day.engine, 1)
        return died

    assert not session()
    reached = []
    for point in some(calls.points(log), 3):
        reached.append(session(point))
        print(point, reached[-1])
    assert any(reached)


@pytest.mark.data_path
@pytest.mark.quick
@pytest.mark.timeout(3600 if EVERY else 180)
def test_spawner(day, tmp_path):
    """The broker ends with it, and with the workers that nobody would know of."""
    b = day.broker
    log = f"{tmp_path}/calls"

    def session(point=None):
        wait_for(b.settled, 20 * PATIENCE, "workers wait")
        with calls.Attached(log, [b.side_process("sp-spawner")], point) as it:
            finish(b.target.popen(WORK, user="dev"), SENT)
            if point is None:
                wait_for(b.settled, 20 * PATIENCE, "its worker has ended")
            else:
                wait_for(it.died, 20 * PATIENCE, "the spawner has died")

    day.start()
    day.find_kept()
    session()
    for point in some(calls.points(log), 2):
        since = b.log_size()
        session(point)
        print(point)
        assert b.process.wait(20 * PATIENCE) == 1
        day.is_as_the_policy_says(since)
