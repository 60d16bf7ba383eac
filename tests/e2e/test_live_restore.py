# SPDX-License-Identifier: Apache-2.0
"""
An engine with live-restore, as `sallyport doctor` advises it: its containers go on without it. It is stopped, or
dies, under people who work, and comes back.
"""
import os
import signal
import threading

import pytest

from kit.broker import Broker, profile
from kit.docker import Engine
from kit.proc import wait_for
from kit.target import PATIENCE
from test_engine_restart import end_engine, refused_meanwhile
from test_forward import Master

pytestmark = pytest.mark.timeout(300)
IMAGE = "sallyport-test/busybox:latest"
WHERE = "cat /proc/sys/kernel/hostname"
POOL = 1
# Whose programs are execs of the engine's: a connection's, and a user's.
FAR, FAR_KEPT = "solo", "files"
KEPT = ["onebin", FAR_KEPT]


@pytest.fixture(scope="module")
def living(engine):
    e = Engine(f"{engine.directory}-live", "--live-restore")
    e.start()
    e.images("busybox")
    e.empty()
    yield e
    e.stop()


@pytest.fixture
def broker(living, keys):
    b = Broker(keys, living.socket)
    b.config["engine"].update(probe_interval="1s")
    kept = {"mode": "user", "keep": "10m"}
    b.policy["profiles"].update({
        "dev": profile(IMAGE), "busy": profile(IMAGE, pool=POOL), "onebin": profile(IMAGE, **kept),
        FAR: profile(IMAGE, data_path="engine"), FAR_KEPT: profile(IMAGE, data_path="engine", **kept)})
    yield b.start()
    b.close()


class Worker(threading.Thread):
    """Somebody who works all the time: each line that is sent has to come back."""

    def __init__(self, target, user):
        super().__init__(daemon=True)
        self.client = target.popen("echo up; exec cat", user=user)
        assert self.client.stdout.readline() == b"up\n"
        self.lines = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            line = b"%d %s\n" % (self.lines, os.urandom(500).hex().encode())
            try:
                self.client.stdin.write(line)
                self.client.stdin.flush()
            except BrokenPipeError:
                return
            if self.client.stdout.readline() != line:
                return
            self.lines += 1

    def goes_on(self):
        before = self.lines
        wait_for(lambda: self.lines > before + 5, 20 * PATIENCE, "lines come back")

    def finish(self):
        self.over.set()
        self.join(20 * PATIENCE)
        assert not self.is_alive()
        out, err = self.client.communicate(timeout=20 * PATIENCE)
        return self.client.returncode, out, err


def where(broker, user):
    r = broker.target.ssh(WHERE, user=user)
    assert r.returncode == 0, r.stderr
    return r.stdout


def exactly(broker, engine, kept):
    """Those that are kept, a full pool and nothing else, and all of it runs; whoever was in one finds it again."""
    assert [where(broker, user) for user in KEPT] == kept
    for user in ("dev", "busy", FAR):
        back(broker, user)
    wait_for(lambda: broker.ask("status")["pool"]["ready"] == POOL, 60 * PATIENCE, "the pool is full")
    wait_for(lambda: list(engine.listed().values()) == ["running"] * (len(kept) + POOL), 60 * PATIENCE,
             "nothing else is there")
    for user in KEPT:
        broker.ask("kill", user=user)
    assert broker.stop() == 0
    assert not engine.listed()


def back(broker, user="dev"):
    wait_for(lambda: broker.target.ssh("true", user=user).returncode == 0, 60 * PATIENCE, "logins work again")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_sessions_go_on(broker, living, control, how):
    """No byte passes through the engine, and no container ends with it; one that is kept is the same afterwards."""
    kept = [where(broker, user) for user in KEPT]
    with Master(broker.target, control, user="dev") as m:
        workers = [Worker(broker.target, user) for user in ("dev", "busy", "onebin")]
        wait_for(lambda: list(living.listed().values()) == ["running"] * (5 + POOL), 60 * PATIENCE,
                 "a master's, its and a kept one, two that are kept and one in the pool")
        wait_for(lambda: broker.ask("status")["pool"]["ready"] == POOL, 60 * PATIENCE, "the pool is full")
        before = living.listed()
        end_engine(living, how)
        for worker in workers:
            worker.goes_on()
        # What needs nothing of the engine: another channel where somebody is.
        assert m.ssh("echo another").stdout == b"another\n"
        refused_meanwhile(broker)
        living.resume()
        back(broker)
        wait_for(lambda: living.listed() == before, 60 * PATIENCE, "as before")
        assert broker.ask("status")["pool"]["ready"] == POOL
        for worker in workers:
            worker.goes_on()
            code, out, err = worker.finish()
            assert (code, out) == (0, b""), err
        assert m.ssh("echo on").stdout == b"on\n"
    exactly(broker, living, kept)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_programs_of_the_engine_end(broker, living, how):
    """Their bytes pass through it. Whoever runs one is told; the container of a connection goes, what is kept stays."""
    kept = [where(broker, user) for user in KEPT]
    workers = [Worker(broker.target, user) for user in (FAR, FAR_KEPT)]
    for worker in workers:
        worker.goes_on()
    end_engine(living, how)
    for worker in workers:
        code, _, err = worker.finish()
        assert code == 255 and b"ontainer" in err, (code, err)
    living.resume()
    back(broker)
    exactly(broker, living, kept)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_new_broker(broker, living, how):
    """Both are gone at once, with people in containers of every kind: what is kept is found again, the rest goes."""
    kept = [where(broker, user) for user in KEPT]
    workers = [Worker(broker.target, user) for user in ("dev", "busy", "onebin", FAR, FAR_KEPT)]
    end_engine(living, how)
    broker.kill()
    for worker in workers:
        assert worker.finish()[0] == 255
    living.resume()
    broker.start()
    exactly(broker, living, kept)
