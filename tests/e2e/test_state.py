# SPDX-License-Identifier: Apache-2.0
"""
What the broker keeps for its next run, cut, lost, or something else: it starts and knows its containers
again, or says what is wrong; and it never touches a container that is not its own.
"""
import os
import shutil
import subprocess

import pytest

from kit.broker import PROGRAM, profile
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.data_path

IMAGE = "sallyport-test/busybox:latest"
WHERE = "cat /proc/sys/kernel/hostname"
POOL = 2


@pytest.fixture
def kept(fresh_broker, engine):
    """A broker with a kept container of "onebin", a pool, and at the moment a session of "dev"."""
    b = fresh_broker
    b.policy["profiles"].update(busy=profile(IMAGE, pool=POOL),
                                onebin=profile(IMAGE, mode="user", keep="10m"))
    b.start()
    yield b
    if b.process.poll() is not None:
        b.start()
    b.ask("kill", user="onebin")
    wait_for(lambda: not b.ask("status")["kept"], 20 * PATIENCE, "nothing is kept")
    assert b.stop() == 0


def run(broker, command, user="onebin"):
    r = broker.target.ssh(command, user=user)
    assert r.returncode == 0, r.stderr
    return r.stdout.decode().strip()


def as_the_policy_says(broker, engine, others=()):
    """The kept container and the pool, whatever was there before."""
    wait_for(lambda: broker.ask("status")["pool"]["ready"] == POOL, 30 * PATIENCE, "the pool is full")
    wait_for(lambda: len(set(engine.listed()) - set(others)) == 1 + POOL, 30 * PATIENCE,
             "nothing else is there")


def die(broker):
    """With a session, and right after that: what it leaves has to be known again."""
    client = broker.target.popen("echo up; sleep 1000", user="dev")
    assert client.stdout.readline() == b"up\n"
    broker.kill()
    client.communicate(timeout=20 * PATIENCE)


def damage(path, how):
    with open(path, "rb") as f:
        text = f.read()
    os.unlink(path)
    if how == "lost":
        return
    with open(path, "wb") as f:
        f.write(os.urandom(len(text)) if how == "garbage" else text[:how])
    os.chmod(path, 0o600)


# Each byte: tests/unit/test_instance.c.
def test_secret_that_was_damaged(kept, engine):
    where = run(kept, WHERE)
    for name, how in (("instance.key", 1), ("instance.key", 63), ("instance.key", "garbage"),
                      ("instance.key", "lost"), ("instance.copy", 32), ("instance.copy", "lost")):
        path = f"{kept.dir}/state/{name}"
        die(kept)
        damage(path, how)
        kept.start()
        assert run(kept, WHERE) == where
        as_the_policy_says(kept, engine)
        assert how == "lost" or f"{name} was damaged" in kept.log()
        with open(path, "rb") as f:
            assert len(f.read()) == 64


def test_both_secrets_are_lost(kept, engine):
    """Nobody can prove what was made before: it is left alone, and the log says what to do."""
    where = run(kept, WHERE)
    before = set(engine.listed())
    die(kept)
    for name in ("instance.key", "instance.copy"):
        damage(f"{kept.dir}/state/{name}", 20)
    try:
        kept.start()
        assert "is whole: containers of earlier runs are not known again" in kept.log()
        assert run(kept, WHERE) != where
        assert before < set(engine.listed())
    finally:
        engine.run("rm", "-f", *before, *(set(engine.listed()) - before), check=False)


@pytest.mark.parametrize("place, words", [
    ("state/instance.key", "instance.key: Is a directory"),
    ("state/instance.copy", "instance.copy: Is a directory"),
    ("state/kept", "kept is not a directory"),
    ("run/rendezvous", "rendezvous is not a directory"),
    ("state", "state is not a directory"),
    ("run", "run is not a directory"),
])
def test_something_else_in_its_place(fresh_broker, place, words):
    b = fresh_broker.start()
    assert b.stop() == 0
    path = f"{b.dir}/{place}"
    if os.path.isdir(path):
        shutil.rmtree(path)
        with open(path, "wb"):
            pass
    else:
        os.unlink(path)
        os.mkdir(path, 0o700)
    r = subprocess.run([PROGRAM, "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                       timeout=20 * PATIENCE, check=False)
    assert r.returncode == 1
    assert words in r.stderr
    (os.rmdir if os.path.isdir(path) else os.unlink)(path)
    b.start()
    assert run(b, "echo well", user="dev") == "well"


def test_what_is_no_mark_and_no_rendezvous_directory(kept, engine):
    where = run(kept, WHERE)
    wait_for(lambda: os.listdir(f"{kept.dir}/state/kept"), 20 * PATIENCE, "it is idle")
    [mark] = os.listdir(f"{kept.dir}/state/kept")
    die(kept)
    os.rmdir(f"{kept.dir}/state/kept/{mark}")
    for path in (f"state/kept/{mark}", "run/rendezvous/sallyport-0123456789abcdef", "run/rendezvous/x"):
        with open(f"{kept.dir}/{path}", "wb") as f:
            f.write(os.urandom(100))
    os.makedirs(f"{kept.dir}/run/rendezvous/full/of/things")
    kept.start()
    assert run(kept, WHERE) == where
    as_the_policy_says(kept, engine)
    assert run(kept, WHERE, user="busy")


def test_labels_of_others(kept, engine):
    """
    The very labels of a session's, a pooled and a kept container under other names, one of them of our own
    form, and an image that was built with them: nothing of it is touched, and nobody gets into it.
    """
    where = run(kept, WHERE)
    as_the_policy_says(kept, engine)
    client = kept.target.popen("echo up; sleep 1000", user="dev")
    assert client.stdout.readline() == b"up\n"
    ours = [engine.inspect(name)["Config"]["Labels"] for name in engine.listed()]
    assert len(ours) == 2 + POOL
    labels = list({str(sorted(of)): of for of in ours}.values())
    assert len(labels) == 3, "a session's, a pooled and a kept one have other labels each"
    kept.kill()
    client.communicate(timeout=20 * PATIENCE)
    foreign = []

    def start(name, image, of):
        flags = [x for k, v in of.items() for x in ("--label", f"{k}={v}")]
        engine.run("run", "-d", *flags, "--name", name, image, "sleep", "600")
        foreign.append(name)

    for n, of in enumerate(labels):
        start(f"not-of-sallyport-{n}", IMAGE, of)
        start(f"sallyport-0123456789abcde{n}", IMAGE, of)
    image = "sallyport-test/labelled:latest"
    changes = [x for k, v in labels[0].items() for x in ("--change", f"LABEL {k}={v}")]
    engine.run("commit", *changes, foreign[0], image)
    start("of-that-image", image, {})
    try:
        # An image of that kind is also what somebody gets.
        kept.policy["profiles"]["dev"]["container"]["image"] = image
        kept.policy["profiles"]["dev"]["container"].pop("argv", None)
        kept.start()
        assert run(kept, WHERE) == where
        inside = run(kept, WHERE, user="dev")
        assert inside not in [engine.inspect(f)["Config"]["Hostname"] for f in foreign]
        as_the_policy_says(kept, engine, foreign)
        assert all(engine.inspect(f)["State"]["Running"] for f in foreign)
        assert "carries our label without proof" in kept.log()
        kept.ask("kill", user="onebin")
        assert kept.stop() == 0
        assert all(engine.inspect(f)["State"]["Running"] for f in foreign)
        assert set(engine.listed()) <= set(foreign)
    finally:
        engine.run("rm", "-f", *foreign)
        engine.run("rmi", "-f", image, check=False)
