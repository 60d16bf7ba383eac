# SPDX-License-Identifier: Apache-2.0
"""The pool: containers that are started before anybody asks for them, and handed out once."""
import json
import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.broker import BUILD, direct_only, profile
from kit.podman import PODMAN
from kit.proc import alive, wait_for
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, pytest.mark.data_path]

WHERE = "cat /proc/sys/kernel/hostname"
SIZE = 3
TAG = "sallyport-test/pooled:latest"


def pooled(**container):
    return profile("sallyport-test/busybox:latest", pool=SIZE, **container)


@pytest.fixture
def pool(fresh_broker):
    """A broker whose user "busy" gets containers from a pool."""
    fresh_broker.policy["profiles"] = dict(fresh_broker.policy["profiles"], busy=pooled())
    yield fresh_broker


def full(broker, ready=SIZE):
    wait_for(lambda: broker.ask("status")["pool"] ==
             {"wanted": ready, "ready": ready, "starting": 0}, 60 * PATIENCE, "the pool is full")


def where(broker, user="busy"):
    r = broker.target.ssh(WHERE, user=user)
    assert r.returncode == 0, r.stderr
    return r.stdout.decode().strip()


def hostnames(engine):
    return {engine.inspect(c)["Config"]["Hostname"] for c in engine.containers()}


@pytest.mark.podman
def test_each_is_handed_out_once(pool, engine):
    """More logins at a time than the pool has: every one is in a container of its own."""
    pool.start()
    full(pool)
    ready = hostnames(engine)
    assert len(ready) == SIZE
    with ThreadPoolExecutor(8) as some:
        got = list(some.map(lambda _: where(pool), range(8)))
    assert len(set(got)) == 8
    assert ready & set(got), "nobody got one of those that were ready"
    handed = [e["container"] for e in pool.audit(event="container.handout")]
    assert len(handed) == len(set(handed)) >= len(ready & set(got))
    full(pool)
    wait_for(lambda: len(engine.containers()) == SIZE, 20 * PATIENCE, "those that were used are gone")
    assert not hostnames(engine) & set(got)


def test_what_it_leaves_in_the_audit_log(pool, engine):
    """Made for nobody; then a record that names the login, before anything runs."""
    pool.start()
    full(pool)
    where(pool)
    [out] = pool.audit(event="container.handout")
    assert (out["user"], out["profile"], out["source"]) == ("busy", "busy", "pool")
    [made] = pool.audit(event="container.create", container=out["container"])
    assert "user" not in made and "connection" not in made
    [login] = pool.audit(event="login", outcome="accepted")
    [asked] = pool.audit(event="request")
    assert login["connection"] == out["connection"] == asked["connection"]
    assert made["number"] < login["number"] < out["number"] < asked["number"]
    wait_for(lambda: pool.audit(event="container.remove", container=out["container"],
                                connection=out["connection"]), 20 * PATIENCE, "it is gone")


@pytest.mark.podman
def test_a_pooled_container_is_what_a_new_one_is(pool, engine):
    """All that the engine has to say of both, but what only one can have."""

    def facts(container):
        c = engine.inspect(container)
        if PODMAN:  # has another order of it each time
            c["Config"]["Env"].sort()
        mounts = sorted(c["Mounts"], key=lambda m: m["Destination"])
        text = json.dumps({"config": c["Config"], "host": c["HostConfig"], "mounts": mounts,
                           "image": c["Image"]}, sort_keys=True)
        for own in (c["Name"].lstrip("/"), c["Config"]["Hostname"],
                    c["Config"]["Labels"]["sallyport.proof"]):
            text = text.replace(own, "OWN")
        return text

    pool.start()
    full(pool)
    before = set(engine.containers())
    clients = [pool.target.popen("echo up; read x", user="busy") for _ in range(8)]
    try:
        assert all(c.stdout.readline() == b"up\n" for c in clients)
        made = {e["container"] for e in pool.audit(event="container.create") if "user" in e}
        new = [c for c in engine.containers()
               if engine.inspect(c)["Name"].lstrip("/") in made]
        assert len({facts(c) for c in [*before, *new]}) == 1
        assert new, "every login found one in the pool"
    finally:
        for c in clients:
            c.communicate(b"\n", timeout=20 * PATIENCE)


@pytest.mark.podman
def test_it_is_the_login_s_as_any_other(pool, engine):
    """Programs, environment and end are those of the login; what it left dies with it."""
    pool.start()
    full(pool)
    r = pool.target.ssh("echo $USER; id -u; nohup sleep 4321 >/dev/null 2>&1 &",
                        user="busy")
    assert r.stdout.split() == [b"busy", b"1000"]
    [out] = pool.audit(event="container.handout")
    wait_for(lambda: engine.run("ps", "-aq", "--filter", f"name={out['container']}") == "",
             20 * PATIENCE, "its container is gone")


def test_session_mode_takes_one_for_each_channel(pool, engine):
    pool.policy["profiles"]["busy"] = pooled(mode="session")
    pool.start()
    full(pool)
    ready = hostnames(engine)
    transport = pool.target.paramiko(user="busy")
    try:
        names = set()
        for _ in range(SIZE):
            c = transport.open_session()
            c.settimeout(20 * PATIENCE)
            c.exec_command(f"{WHERE}; read x")
            names.add(c.makefile("rb").readline().decode().strip())
        assert names == ready
    finally:
        transport.close()


def test_new_policy_drains_what_it_changes(pool, engine):
    pool.policy["profiles"]["solo"] = dict(pooled())
    pool.policy["profiles"]["solo"]["container"]["limits"] = {"pids": 77}
    pool.start()
    full(pool, 2 * SIZE)
    before = set(engine.containers())
    pool.policy["profiles"]["busy"]["container"]["limits"] = {"pids": 99}
    pool.write()
    assert pool.ask("reload")["reloaded"]
    full(pool, 2 * SIZE)
    wait_for(lambda: len(engine.containers()) == 2 * SIZE, 20 * PATIENCE, "the old ones are gone")
    after = set(engine.containers())
    assert sorted(engine.inspect(c)["HostConfig"]["PidsLimit"] for c in after) == [77] * SIZE + [99] * SIZE
    assert {engine.inspect(c)["HostConfig"]["PidsLimit"] for c in after & before} == {77}
    assert len(after & before) == SIZE, "what did not change has been made anew"
    assert pool.target.ssh("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null",
                           user="busy").stdout.split()[:1] in ([], [b"99"])
    del pool.policy["profiles"]["busy"]["container"]["pool"]
    pool.write()
    assert pool.ask("reload")["reloaded"]
    full(pool, SIZE)
    wait_for(lambda: len(engine.containers()) == SIZE, 20 * PATIENCE, "the others are gone")


def test_new_image_under_the_same_name_drains(pool, engine):
    pool.policy["profiles"]["busy"] = profile(TAG, pool=SIZE)
    engine.run("tag", "sallyport-test/busybox:latest", TAG)
    try:
        pool.start()
        full(pool)
        before = set(engine.containers())
        engine.run("tag", "sallyport-test/bash:latest", TAG)
        wait_for(lambda: not before & set(engine.containers()), 30 * PATIENCE, "the old ones are gone")
        full(pool)
        assert pool.target.ssh("test -x /bin/bash && echo new", user="busy").stdout == b"new\n"
    finally:
        engine.run("rmi", TAG, check=False)


@pytest.mark.podman
def test_killed_broker_leaves_nothing(pool, engine):
    pool.start()
    full(pool)
    before = set(engine.containers())
    pool.kill()
    pool.start()
    full(pool)
    wait_for(lambda: not before & set(engine.containers()), 20 * PATIENCE, "the old ones are gone")
    assert len(engine.containers()) == SIZE
    assert pool.stop() == 0
    assert not engine.containers()
    assert not os.listdir(f"{pool.dir}/run/rendezvous")


def test_rules_that_set_something(pool, engine):
    """What makes another container has a pool of its own; what does not shares the profile's."""
    others = [r for r in pool.policy["rules"] if r["id"] not in ("busy", "onebin", "dev")]
    pool.policy["rules"] = [
        {"id": "busy", "if": {"user": ["busy"]}, "use": "busy", "set": {"session.pty": False}},
        {"id": "dev", "if": {"user": ["dev"]}, "use": "busy", "set": {"session.channels": 3}},
        {"id": "onebin", "if": {"user": ["onebin"]}, "use": "busy", "set": {"container.limits.pids": 77}}, *others]
    pool.start()
    full(pool, 2 * SIZE)
    ready = hostnames(engine)
    limits = [engine.inspect(c)["HostConfig"]["PidsLimit"] for c in engine.containers()]
    assert limits.count(77) == SIZE and len(limits) == 2 * SIZE
    assert {where(pool, u) for u in ("busy", "dev", "onebin")} <= ready
    assert {e["source"] for e in pool.audit(event="container.handout")} == {"pool"}


def test_killed_while_it_fills(pool, engine):
    """At several moments of a start: what is there afterwards is one whole pool."""
    for moment in (0.0, 0.05, 0.15, 0.3):
        pool.start()
        time.sleep(moment)
        pool.kill()
    pool.start()
    full(pool)
    wait_for(lambda: len(engine.containers()) == SIZE, 30 * PATIENCE, "nothing but the pool is there")


@pytest.mark.podman
@pytest.mark.parametrize("how", ["kill", "rm"])
def test_one_that_dies_is_replaced(pool, engine, how):
    pool.start()
    full(pool)
    victim = engine.containers()[0]
    if how == "kill":
        os.kill(engine.inspect(victim)["State"]["Pid"], signal.SIGKILL)
    else:
        engine.run("rm", "-f", victim)
    wait_for(lambda: victim not in engine.containers(), 20 * PATIENCE, "it is removed")
    full(pool)
    assert where(pool)


@direct_only("the guest of this test reports as one of the direct path")
def test_guests_that_die_in_the_pool(pool, engine):
    """An image can make its guest die. That costs a start now and then, and no login of others."""
    bundle = f"{pool.dir}/guest"
    os.mkdir(bundle, 0o755)
    # Its own process 1 ends a moment after it has reported.
    source = f"{pool.dir}/dying.c"
    with open(source, "w", encoding="ascii") as f:
        f.write('#include <sys/socket.h>\n#include <sys/un.h>\n#include <unistd.h>\n'
                'int main(void) { struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = '
                '"/.sallyport-rendezvous/socket" }; int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);'
                'connect(s, (struct sockaddr *)&a, sizeof(a)); usleep(200000); return 0; }\n')
    subprocess.run(["cc", "-static", "-o", f"{bundle}/sallyport-guest", source], check=True)
    shutil.copy(f"{BUILD}/guest/bundle/sallyport-sftp", bundle)
    pool.config["engine"]["guest_dir"] = bundle
    pool.start()
    time.sleep(12)
    starts = len(pool.audit(event="container.create"))
    assert SIZE <= starts <= 3 * SIZE, f"{starts} starts in 12 seconds"
    assert re.search("a container of the pool failed .*: the next one in [24] s", pool.log())
    assert re.search("connection=- container=.* ended while it waited in the pool\n", pool.log())
    assert "Log in again" not in pool.log()


def test_missing_image_does_not_spin(pool):
    pool.policy["profiles"]["busy"] = profile("sallyport-test/not-there:latest", pool=SIZE)
    pool.start()
    time.sleep(8)
    assert len(pool.audit(event="container.create")) <= 8
    failed = re.search("profile=busy container=(\\S+) a container of the pool failed", pool.log())
    assert f"container={failed[1]} image=sallyport-test/not-there:latest failed to start: " in pool.log()
    assert "Ask the administrator" not in pool.log()
    assert pool.target.ssh("echo unharmed").stdout == b"unharmed\n"


def test_logins_come_first(pool, engine):
    """While the pool is filled, a login without one waits for no more than one start."""
    pool.policy["profiles"]["busy"]["container"]["pool"] = 20
    pool.start()
    started = time.monotonic()
    assert pool.target.ssh("echo first").stdout == b"first\n"
    took = time.monotonic() - started
    assert pool.ask("status")["pool"]["ready"] < 20, "the pool was full already: nothing was shown"
    assert took < 5 * PATIENCE
    full(pool, 20)


@pytest.mark.podman
def test_stop_drains_it(pool, engine):
    pool.start()
    full(pool)
    guests = [engine.inspect(c)["State"]["Pid"] for c in engine.containers()]
    assert pool.stop() == 0
    assert not engine.containers() and not [p for p in guests if alive(p)]
