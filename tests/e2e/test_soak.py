# SPDX-License-Identifier: Apache-2.0
"""
Many sessions of mixed work in all modes, many at once, that end in every way there is: afterwards there is
as much of everything as before. `./dev soak [SESSIONS]` does it with a thousand and prints the sums.
"""
import os
import time
from collections import Counter

import pytest

from kit.books import Books
from kit.proc import wait_for, with_command
from kit.soak import MARK, MODES, POOL, Around, prepare, soak
from kit.target import PATIENCE

SESSIONS = int(os.environ.get("SALLYPORT_SOAK", "60"))
AT_ONCE = 20 if SESSIONS >= 200 else 8
SEED = os.environ.get("SP_TEST_SEED", str(os.getpid()))
# The broker keeps a few numbers for a while for each address that it has seen; the heap has its grain.
BROKER_GROWTH = 2 << 20
SPAWNER_GROWTH = 512 << 10


@pytest.mark.timeout(180 + 6 * SESSIONS)
def test_as_much_of_everything_as_before(fresh_broker, engine, agent, tmp_path):
    prepare(fresh_broker)
    b = fresh_broker.start()
    started = time.monotonic()
    with Around(tmp_path, agent) as around:
        books, done = soak(b, engine, around, SESSIONS, AT_ONCE, SEED)
    took = time.monotonic() - started
    wait_for(lambda: not books.grown(), 30 * PATIENCE, f"as before (seed {SEED}): {books.grown()}")
    now = books.resident()
    grown = {who: now[who] - was for who, was in books.memory.items()}
    print(f"\n{SESSIONS} sessions, {AT_ONCE} at once, in {took:.0f} s; seed {SEED}")
    for (user, kind), n in sorted(done.items()):
        print(f"  {user:<12}{MODES[user]:<12}{kind:<16}{n:6}")
    print(f"  {books.first}")
    print(f"  memory: {books.memory}, grown by {grown}")
    assert sum(done.values()) == SESSIONS
    assert grown["broker"] <= BROKER_GROWTH and grown["spawner"] <= SPAWNER_GROWTH, grown
    connects = Counter(e["connection"] for e in b.audit(event="connect"))
    ends = Counter(e["connection"] for e in b.audit(event="disconnect"))
    assert connects == ends and set(connects.values()) == {1} and len(connects) > SESSIONS
    made = {e["container"] for e in b.audit(event="container.create")}
    removed = {e["container"] for e in b.audit(event="container.remove")}
    assert len(made - removed) == len(engine.listed())
    assert b.stop() == 0
    assert not engine.listed() and not with_command(["sleep", MARK])


def test_the_books_notice(fresh_broker, engine):
    """Control: what sessions could leave behind shows."""
    prepare(fresh_broker)
    b = fresh_broker.start()
    wait_for(lambda: b.ask("status")["pool"]["ready"] == POOL, 30 * PATIENCE, "the pools are full")
    books = Books(b, engine, POOL, MARK)
    assert books.settled() and not books.grown()
    name = f"left-{os.getpid()}"
    [one, *_] = engine.listed()
    engine.run("exec", "-d", one, "sleep", MARK)
    engine.run("network", "create", "--internal", name)
    engine.run("volume", "create", name)
    p = b.target.popen("echo up; exec busybox nc -l -p 7777 >/dev/null", user="onebin")
    try:
        assert p.stdout.readline() == b"up\n"
        assert not books.settled()
        left = set(books.grown())
    finally:
        p.kill()
        p.communicate(timeout=30 * PATIENCE)
        engine.run("network", "rm", name)
        engine.run("volume", "rm", name)
        b.ask("kill", user="onebin")
    assert left >= {"execs", "networks", "volumes", "processes in containers", "processes of users", "containers",
                    "mounts", "shims", "sockets in containers", "workers and spawner"}, left
    wait_for(books.settled, 30 * PATIENCE, "the session has ended")
    assert set(books.grown()) == {"execs", "processes in containers", "processes of users"}
    assert b.stop() == 0
