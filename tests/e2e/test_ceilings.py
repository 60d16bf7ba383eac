# SPDX-License-Identifier: Apache-2.0
"""Ceilings: exactly as many as the policy says, whoever comes at once, and a place is free when it is over."""
import os
import re
import signal
import subprocess

import pytest

from kit.broker import BUILD, profile
from kit.proc import wait_for
from kit.target import PATIENCE

AT_ONCE, LIMIT = 20, 5


class Clients:
    """Stock clients that stay, and what became of each."""

    def __init__(self, broker):
        self.broker = broker
        self.all = []

    def start(self, n, user=None):
        new = [self.broker.target.popen("echo in; exec cat", user=user) for _ in range(n)]
        self.all += new
        return new

    @staticmethod
    def outcome(client):
        """Whether it is in; waits until one or the other is seen."""
        line = client.stdout.readline()
        assert line in (b"in\n", b"")
        return line == b"in\n"

    @staticmethod
    def end(client):
        client.stdin.close()
        client.wait(20 * PATIENCE)

    def close(self):
        for client in self.all:
            client.kill()
            client.wait()
            for stream in client.stdin, client.stdout, client.stderr:
                stream.close()


@pytest.fixture
def limited(fresh_broker):
    """limited(where, **limits) starts a broker whose policy has them and returns its clients."""
    made = []

    def start(scope, **limits):
        b = fresh_broker
        if scope == "rule":
            rule, = (r for r in b.policy["rules"] if r["id"] == "dev")
            rule["ceilings"] = limits
        else:
            b.policy["ceilings"] = {scope: limits}
        b.start()
        made.append(Clients(b))
        return made[0]
    start.broker = fresh_broker
    yield start
    for clients in made:
        clients.close()


def status(broker):
    return broker.ask("status")["ceilings"]


@pytest.mark.parametrize("scope, whose", [("global", "on this host"), ("per_user", "for one user"),
                                          ("rule", "for logins of this kind")])
def test_twenty_at_once_and_five_are_let_in(limited, scope, whose):
    clients = limited(scope, sessions=LIMIT)
    b = clients.broker
    everybody = clients.start(AT_ONCE)
    inside = [c for c in everybody if clients.outcome(c)]
    assert len(inside) == LIMIT
    outside = [c for c in everybody if c not in inside]
    for client in outside:
        assert client.wait(20 * PATIENCE) == 255
        assert f"At most 5 sessions are allowed {whose} at a time".encode() in client.stderr.read()
    events = b.audit(event="ceiling")
    name = "per_rule" if scope == "rule" else scope
    assert {(e["about"], e["limit"], e["most"], e["rule"], e["user"]) for e in events} == {
        ("login", f"{name}.sessions", LIMIT, "dev", "dev")}
    assert len(events) == AT_ONCE - LIMIT
    refused = b.audit(event="login", outcome="refused")
    assert {(e["reason"], e["rule"], e["claimed"]) for e in refused} == {
        (f"the ceiling {name}.sessions of {LIMIT} is reached", "dev", "dev")}
    line = f"user=dev login refused: the ceiling {name}.sessions of {LIMIT} is reached, rule dev\n"
    assert b.log().count(line) == AT_ONCE - LIMIT
    assert len(b.audit(event="login", outcome="accepted")) == LIMIT
    now = status(b)
    assert now["held"]["sessions"] == LIMIT
    assert now["refused"][name]["sessions"] == AT_ONCE - LIMIT
    assert not b.audit(event="penalty"), "nobody has done anything wrong"
    # One leaves, and one more is let in.
    clients.end(inside[0])
    wait_for(lambda: status(b)["held"]["sessions"] == LIMIT - 1, 10 * PATIENCE, "its place is free")
    more = clients.start(3)
    assert sum(clients.outcome(c) for c in more) == 1


def test_twenty_at_once_and_five_containers(limited):
    clients = limited("per_user", containers=LIMIT)
    b = clients.broker
    everybody = clients.start(AT_ONCE)
    inside = [c for c in everybody if clients.outcome(c)]
    assert len(inside) == LIMIT
    assert len(b.audit(event="container.create")) == LIMIT
    for client in everybody:
        if client not in inside:
            assert client.wait(20 * PATIENCE) == 255
            assert b"At most 5 containers are allowed for one user" in client.stderr.read()
    # Others have theirs.
    assert clients.outcome(clients.start(1, user="busy")[0])
    assert status(b)["held"]["containers"] == LIMIT + 1
    assert {(e["about"], e["limit"]) for e in b.audit(event="ceiling")} == {
        ("container", "per_user.containers")}
    assert b.audit(event="request.failed", user="dev")
    for client in inside:
        clients.end(client)
    wait_for(lambda: status(b)["held"]["containers"] == 1, 20 * PATIENCE, "their places are free")


def test_one_login_with_a_container_for_each_channel(limited):
    clients = limited("per_user", containers=2)
    b = clients.broker
    control = f"{b.dir}/mux"
    options = ("-S", control)
    master = b.target.popen(user="solo", options=("-M", "-N", *options))
    clients.all.append(master)
    wait_for(lambda: os.path.exists(control), 20 * PATIENCE, "it is in")
    inside = [b.target.popen("echo in; exec cat", user="solo", options=options) for _ in range(2)]
    clients.all += inside
    assert all(clients.outcome(c) for c in inside)
    third = b.target.ssh("true", user="solo", options=options)
    assert third.returncode == 255 and b"At most 2 containers" in third.stderr
    clients.end(inside[0])
    wait_for(lambda: status(b)["held"]["containers"] == 1, 20 * PATIENCE, "its place is free")
    assert b.target.ssh("exit 3", user="solo", options=options).returncode == 3


def test_creates_within_a_minute(limited):
    b = limited("per_user", creates_per_minute=3).broker
    for _ in range(3):
        assert b.target.ssh("exit 3").returncode == 3
    result = b.target.ssh("true")
    assert result.returncode == 255
    assert b"At most 3 new containers are allowed for one user within a minute" in result.stderr
    assert b.target.ssh("exit 3", user="busy").returncode == 3


def test_memory_of_all_containers(limited):
    clients = limited("global", memory="2G")  # a container has 512M
    inside = clients.start(4)
    assert all(clients.outcome(c) for c in inside)
    fifth, = clients.start(1, user="busy")
    assert not clients.outcome(fifth) and fifth.wait(20 * PATIENCE) == 255
    assert b"The containers on this host may have 2G of memory together" in fifth.stderr.read()
    assert status(clients.broker)["held"]["memory"] == 2 << 30


@pytest.mark.parametrize("how", ["client is killed", "worker is killed", "administrator"])
def test_however_it_ends_the_place_is_free(limited, how):
    clients = limited("per_user", sessions=1, containers=1)
    b = clients.broker
    def come_in():
        client, = clients.start(1)
        assert clients.outcome(client)
        return client

    worker, client = b.busy_worker(come_in)
    second, = clients.start(1)
    assert not clients.outcome(second)
    if how == "client is killed":
        client.kill()
    elif how == "worker is killed":
        os.kill(worker, signal.SIGKILL)
    else:
        assert b.ask("kill", user="dev") == {"killed": 1, "containers": 0}
    wait_for(lambda: status(b)["held"] == {"sessions": 0, "containers": 0, "memory": 0}, 20 * PATIENCE,
             "everything is given back")
    assert b.target.ssh("exit 3").returncode == 3


def test_a_container_that_never_was_holds_no_place(limited):
    """The engine says no each time: its image is missing."""
    b = limited("per_user", containers=1).broker
    for _ in range(3):
        result = b.target.ssh("true", user="lost")
        assert result.returncode == 255 and b"is not on this host" in result.stderr
    wait_for(lambda: status(b)["held"]["containers"] == 0, 20 * PATIENCE, "everything is given back")


def test_what_an_earlier_run_left_does_not_count(limited):
    clients = limited("per_user", sessions=1, containers=1)
    b = clients.broker
    client, = clients.start(1)
    assert clients.outcome(client)
    b.kill()
    b.start()
    assert b.target.ssh("exit 3").returncode == 3


def test_a_new_policy_counts_those_who_are_in(limited):
    """The ceiling is lowered below what is held: nobody is ended, and nobody is let in."""
    clients = limited("per_user", sessions=3)
    b = clients.broker
    inside = clients.start(3)
    assert all(clients.outcome(c) for c in inside)
    b.policy["ceilings"]["per_user"]["sessions"] = 2
    b.write()
    assert b.ask("reload")["reloaded"]
    clients.end(inside[0])
    wait_for(lambda: status(b)["held"]["sessions"] == 2, 10 * PATIENCE, "its place is free")
    late, = clients.start(1)
    assert not clients.outcome(late)
    assert b"At most 2 sessions" in late.stderr.read()
    assert all(c.poll() is None for c in inside[1:])


def test_status_for_people(limited):
    clients = limited("per_user", sessions=1)
    b = clients.broker
    client, = clients.start(1)
    assert clients.outcome(client) and b.target.ssh("true").returncode == 255
    text = subprocess.run([f"{BUILD}/admin/sallyport", "status", "--socket", f"{b.dir}/run/control.sock"],
                          capture_output=True, check=True, text=True, timeout=60 * PATIENCE).stdout
    assert "ceilings     1 sessions, 1 containers with 512.0M of memory held; 1 refused" in text


def pooled(limited, size, **limits):
    """A broker where "busy" has a pool of so many, and its clients."""
    def ready():
        pool = b.ask("status")["pool"]
        return pool["ready"] if pool["starting"] == 0 else -1

    b = limited.broker
    memory = {"limits": {"memory": "1G"}}
    b.policy["profiles"] = dict(b.policy["profiles"], dev=profile(**memory),
                                busy=profile("sallyport-test/busybox:latest", pool=size, **memory))
    return limited("global", **limits), ready


@pytest.mark.parametrize("limit", [{"containers": 2}, {"memory": "2G"}])
def test_a_pool_stays_within_what_everybody_may_have(limited, limit):
    """It is as large as there is room, says so once, and gives way to logins, its own and others."""
    clients, ready = pooled(limited, 4, **limit)
    b = clients.broker
    wait_for(lambda: ready() == 2, 60 * PATIENCE, "the pool has what there is room for")
    assert status(b)["held"] == {"sessions": 0, "containers": 2, "memory": 2 << 30}
    # One of those that wait: nothing else has to go.
    own, = clients.start(1, user="busy")
    assert clients.outcome(own)
    assert len(b.audit(event="container.handout")) == 1
    assert ready() == 1 and status(b)["held"]["containers"] == 2
    # A container of somebody else, for which the last one has to.
    other, = clients.start(1)
    assert clients.outcome(other)
    assert ready() == 0 and status(b)["held"]["containers"] == 2
    assert b.log().count("leaves the pool: its place is needed") == 1
    # What logins have is theirs.
    late, = clients.start(1)
    assert not clients.outcome(late) and late.wait(20 * PATIENCE) == 255
    assert b"on this host" in late.stderr.read()
    assert all(c.poll() is None for c in (own, other))
    clients.end(own)
    clients.end(other)
    wait_for(lambda: ready() == 2, 60 * PATIENCE, "the pool has what there is room for again")
    kind, = limit
    lines = [l for l in b.log().splitlines() if "leaves no room" in l]
    assert len(lines) == 1 and f"has 2 of 4 containers and stays so for now: the ceiling global.{kind}" in lines[0]
    # It may have less from now on, and all that it wants after that.
    b.policy["ceilings"] = {"global": {"containers": 1}}
    b.write()
    assert b.ask("reload")["reloaded"]
    wait_for(lambda: ready() == 1, 20 * PATIENCE, "one has gone")
    b.policy["ceilings"] = {}
    b.write()
    assert b.ask("reload")["reloaded"]
    wait_for(lambda: ready() == 4, 60 * PATIENCE, "the pool is whole")


def test_a_pool_leaves_half_of_a_minute_to_logins(limited):
    """Who gets one that was ready makes none."""
    clients, ready = pooled(limited, 4, creates_per_minute=6)
    b = clients.broker
    wait_for(lambda: ready() == 3, 60 * PATIENCE, "the pool has half of what a minute allows")
    for _ in range(3):
        assert b.target.ssh("exit 3", user="busy").returncode == 3
    assert len(b.audit(event="container.handout")) == 3 and ready() == 0
    for _ in range(3):
        assert b.target.ssh("exit 3").returncode == 3
    result = b.target.ssh("true")
    assert result.returncode == 255
    assert b"At most 6 new containers are allowed on this host within a minute" in result.stderr


def test_turns(fresh_broker):
    """Who has many containers started keeps nobody waiting for more than the one that is being made."""
    b = fresh_broker
    b.config["engine"].update(starts=1, start_timeout="2m")
    b.start()
    clients = Clients(b)
    try:
        many = clients.start(16)
        wait_for(lambda: b.ask("status")["engine"]["queued"] >= 12, 30 * PATIENCE, "they wait for their containers")
        assert b.target.ssh("echo in", user="busy").stdout == b"in\n"
        assert all(map(clients.outcome, many))
        log = b.log()
        after = log[re.search(r"user=busy logged in", log).start():]
        ups = re.findall(r"image=sallyport-test/(\S+):latest up$", after, re.M)
        # Before it the one that is being made, and what was made between its login and its order; not all of them.
        assert len(ups) >= 8 and ups.index("busybox") < len(ups) // 2, ups
    finally:
        clients.close()
