# SPDX-License-Identifier: Apache-2.0
"""
The engine is stopped, or dies, under a session, and comes back. Its containers end with it, or go on
without it: nobody hangs, nothing is left, and the next login works.
"""
import os
import signal
import time

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
    pid = engine.pid
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


IMAGE = "sallyport-test/busybox:latest"
POOL = 2
# Whose programs are execs of the engine's.
FAR = "solo"


@pytest.fixture
def everything(own_engine, keys):
    """A pool, a container that is kept, and an engine that stops at a question when it is told to."""
    b = Broker(keys, own_engine.socket)
    fake = FakeEngine(b.dir, own_engine)
    b.config["engine"].update(socket=fake.socket, probe_interval="1s")
    b.policy["profiles"].update({"busy": profile(IMAGE, pool=POOL), FAR: profile(IMAGE, data_path="engine"),
                                 "onebin": profile(IMAGE, mode="user", keep="10m")})
    b.start()
    yield b, fake
    fake.rules([])
    b.close()
    fake.stop()


def as_the_policy_says(broker, engine):
    """A full pool, what is kept, and nothing else; a login of every kind works."""
    for user in ("dev", "busy", "onebin", FAR):
        wait_for(lambda u=user: broker.target.ssh("true", user=u).returncode == 0, 60 * PATIENCE,
                 f"{user} can log in")
    wait_for(lambda: broker.ask("status")["pool"]["ready"] == POOL, 60 * PATIENCE, "the pool is full")
    wait_for(lambda: len(broker.ask("status")["kept"]) == 1, 60 * PATIENCE, "one is kept")
    wait_for(lambda: len(engine.listed()) == POOL + 1, 60 * PATIENCE, "nothing else is there")
    kept = broker.ask("status")["kept"][0]["container"]["name"]
    assert kept in engine.listed()


# At which question it ends, and whose it is; where there is none: of a broker that starts, or of nobody. Those with
# a new broker are in between, because the old one takes ever more time for the next container of its pool.
PHASES = {
    "create": ({"path": "^/containers/create"}, "dev"),
    "start": ({"path": "^/containers/[^/]+/start$"}, "dev"),
    "list": ({"path": "^/containers/json"}, None),
    "inspect": ({"path": "^/containers/[^/]+/json$"}, "dev"),
    "removal": ({"method": "DELETE"}, "dev"),
    "exec create": ({"path": "^/containers/[^/]+/exec$"}, FAR),
    "idle": (None, None),
    "exec start": ({"path": "^/exec/[^/]+/start$"}, FAR),
    "kill": ({"path": "/kill"}, FAR),
}


def held_guests(engine):
    """First processes of the containers of the engine's data path."""
    seen = [engine.get(f"/containers/{name}/json") for name in engine.listed()]
    return [c["State"]["Pid"] for c in seen if c and c["State"]["Pid"] and "--hold" in c["Config"]["Entrypoint"]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_engine_in_each_phase(everything, own_engine, how):
    """
    It has heard a question, and its answer is on the way, also to a new broker that looks for what the last one has
    left. When nothing is asked there is a new broker after that, and an engine that was killed finds its containers
    running; else it has forgotten them.
    """
    broker, fake = everything
    as_the_policy_says(broker, own_engine)
    for name, (question, user) in PHASES.items():
        began = time.monotonic()
        client = None
        if question is not None:
            since = len(fake.requests())
            fake.rules([{**question, "action": "hold_after", "times": 1, "id": since}])
            if user is None:
                broker.kill()
                broker.start()
            else:
                client = broker.target.popen("true", user=user)
            wait_for(lambda n=since: [r for r in fake.requests()[n:] if r["action"] == "hold_after"],
                     30 * PATIENCE, f"{name} is asked for")
        forgotten = held_guests(own_engine)
        end_engine(own_engine, how)
        fake.rules([])
        if question is None:
            broker.kill()
        if client is not None:
            client.communicate(timeout=60 * PATIENCE)
        if question is None:
            own_engine.resume()
            broker.start()
        else:
            own_engine.start()
            # Of those that are told to end by the engine only.
            for pid in filter(alive, forgotten):
                os.kill(pid, signal.SIGKILL)
        as_the_policy_says(broker, own_engine)
        print(f"{name}: {time.monotonic() - began:.1f} s")
    broker.ask("kill", user="onebin")
    assert broker.stop() == 0
    assert not own_engine.listed()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("to_the_end", [True, False])
def test_while_the_engine_drains(everything, own_engine, to_the_end):
    """
    It waits for a container that takes its time to end, and answers nobody: logins are refused, sessions end, and
    who is killed meanwhile, the engine or the broker, makes no difference.
    """
    broker, _ = everything
    as_the_policy_says(broker, own_engine)
    p = broker.target.popen("trap '' HUP TERM; echo up; sleep 1000 & sleep 1000", user="onebin")
    assert p.stdout.readline() == b"up\n"
    pid = own_engine.pid
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not own_engine.healthy(), 30 * PATIENCE, "it answers no more")
    assert alive(pid)
    for user in ("dev", "onebin", FAR):
        assert broker.target.ssh("true", user=user).returncode == 255
    if not to_the_end:
        broker.kill()
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), 60 * PATIENCE, "the engine has ended")
    assert p.wait(60 * PATIENCE) == 255
    p.communicate()
    if to_the_end:
        own_engine.start()
    else:
        broker.start()
        own_engine.resume()
    as_the_policy_says(broker, own_engine)
    broker.ask("kill", user="onebin")
    assert broker.stop() == 0
    assert not own_engine.listed()
