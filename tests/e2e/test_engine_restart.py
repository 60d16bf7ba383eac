# SPDX-License-Identifier: Apache-2.0
"""
The engine is stopped, or dies, under a session, and comes back. Its containers end with it, or go on
without it: nobody hangs, nothing is left, and the next login works.
"""
import os
import signal

import pytest

from kit.broker import Broker, direct_only, profile
from kit.fake_engine import FakeEngine
from kit.proc import alive, wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.data_path


@pytest.fixture
def broker(own_engine, keys):
    b = Broker(keys, own_engine.socket)
    b.config["engine"].update(probe_interval="1s")
    yield b.start()
    b.close()


def end_engine(engine, how):
    with open(f"{os.path.dirname(engine.socket)}/docker.pid", encoding="ascii") as f:
        pid = int(f.read())
    os.kill(pid, how)
    wait_for(lambda: not alive(pid), 60 * PATIENCE, "the engine has ended")


def comes_back(broker, engine):
    engine.start()
    wait_for(lambda: broker.target.ssh("echo back").stdout == b"back\n", 60 * PATIENCE,
             "logins work again")


def nothing_left(broker, engine):
    wait_for(lambda: not engine.containers(), 60 * PATIENCE, "nothing is left, of before or after")
    wait_for(broker.settled, 30 * PATIENCE, "every worker has ended")


def refused_meanwhile(broker):
    r = broker.target.ssh("echo never")
    assert (r.returncode, r.stdout) == (255, b"")
    assert b"container engine is not responding" in r.stderr


@pytest.mark.timeout(600)
def test_engine_is_stopped(broker, own_engine):
    """It takes its containers down in order: the session ends with a sentence, and no hang."""
    p = broker.target.popen("echo up; sleep 1000")
    assert p.stdout.readline() == b"up\n"
    end_engine(own_engine, signal.SIGTERM)
    _, err = p.communicate(timeout=60 * PATIENCE)
    assert p.returncode == 255
    assert b"container has ended" in err.lower()
    refused_meanwhile(broker)
    comes_back(broker, own_engine)
    nothing_left(broker, own_engine)


@direct_only("its streams end with the engine, as test_engine_path.py has it")
@pytest.mark.timeout(600)
def test_engine_dies(broker, own_engine):
    """Its containers live on without it, and so does the session: no byte passes through the engine."""
    p = broker.target.popen("echo up; while read x; do echo got $x; done; sleep 1000 >/dev/null 2>&1 & exit 3")
    assert p.stdout.readline() == b"up\n"
    [cid] = own_engine.containers()
    guest = own_engine.inspect(cid)["State"]["Pid"]
    end_engine(own_engine, signal.SIGKILL)
    refused_meanwhile(broker)
    p.stdin.write(b"unharmed\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"got unharmed\n"
    comes_back(broker, own_engine)
    # The engine and its containerd are new and believe that the container has ended. It has not, and
    # whoever is in it may go on; its end is the guest's doing and needs no engine.
    out, _ = p.communicate(b"still unharmed\n", timeout=60 * PATIENCE)
    assert (p.returncode, out) == (3, b"got still unharmed\n")
    wait_for(lambda: not alive(guest), 30 * PATIENCE, "its processes are gone")
    nothing_left(broker, own_engine)


POOL = 2


@pytest.fixture
def everything(own_engine, keys):
    """A pool, a container that is kept, and an engine that stops at a question when it is told to."""
    b = Broker(keys, own_engine.socket)
    fake = FakeEngine(b.dir, own_engine)
    b.config["engine"].update(socket=fake.socket, probe_interval="1s")
    image = "sallyport-test/busybox:latest"
    b.policy["profiles"].update(busy=profile(image, pool=POOL),
                                onebin=profile(image, mode="user", keep="10m"))
    b.start()
    yield b, fake
    fake.rules([])
    b.close()
    fake.stop()


def as_the_policy_says(broker, engine):
    """A full pool, what is kept, and nothing else; a login of every kind works."""
    for user in ("dev", "busy", "onebin"):
        wait_for(lambda u=user: broker.target.ssh("true", user=u).returncode == 0, 60 * PATIENCE,
                 f"{user} can log in")
    wait_for(lambda: broker.ask("status")["pool"]["ready"] == POOL, 60 * PATIENCE, "the pool is full")
    wait_for(lambda: len(broker.ask("status")["kept"]) == 1, 60 * PATIENCE, "one is kept")
    wait_for(lambda: len(engine.listed()) == POOL + 1, 60 * PATIENCE, "nothing else is there")
    kept = broker.ask("status")["kept"][0]["container"]["name"]
    assert kept in engine.listed()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_engine_in_each_phase(everything, own_engine, how):
    """While a container is made, started, removed, and while nothing is asked; also with a new broker then."""
    broker, fake = everything
    as_the_policy_says(broker, own_engine)
    for phase in ("/containers/create", "/start$", "DELETE", None):
        client = None
        if phase is not None:
            rule = {"path": phase} if phase != "DELETE" else {"method": phase, "path": ""}
            since = len(fake.requests())
            fake.rules([{**rule, "action": "hold_after", "times": 1, "id": since}])
            client = broker.target.popen("true", user="dev")
            wait_for(lambda n=since: [r for r in fake.requests()[n:] if r["action"] == "hold_after"],
                     30 * PATIENCE, f"{phase} is asked for")
        end_engine(own_engine, how)
        fake.rules([])
        if phase is None:
            broker.kill()
        if client is not None:
            client.communicate(timeout=60 * PATIENCE)
        own_engine.start()
        if phase is None:
            broker.start()
        as_the_policy_says(broker, own_engine)
    broker.ask("kill", user="onebin")
    assert broker.stop() == 0
    assert not own_engine.listed()
