# SPDX-License-Identifier: Apache-2.0
"""
The engine is stopped, or dies, under a session, and comes back. Its containers end with it, or go on
without it: nobody hangs, nothing is left, and the next login works.
"""
import os
import signal

import pytest

from kit.broker import TREE, Broker
from kit.docker import Engine
from kit.proc import alive, wait_for
from kit.target import PATIENCE


@pytest.fixture(scope="module")
def own_engine():
    """Not the one that the other tests use: this one is stopped."""
    e = Engine(f"{TREE}/.dev/engine-restart")
    e.start()
    e.images()
    yield e
    e.stop()


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
