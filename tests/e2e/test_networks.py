# SPDX-License-Identifier: Apache-2.0
"""A container's network is what the policy says: nothing, the engine's bridge, or a network by name."""
import json
import os

import pytest

from kit.broker import BASH, profile

NAMED = f"sallyport-test-{os.getpid()}"
KINDS = {"apart": "none", "bridged": "bridge", "named": NAMED}


@pytest.fixture(scope="module")
def network(engine):
    engine.run("network", "create", NAMED)
    yield
    engine.run("network", "rm", NAMED)


@pytest.fixture
def broker(fresh_broker, network, keys):
    fresh_broker.policy.update(
        users={user: {"keys": keys.public()} for user in KINDS},
        profiles={user: profile(argv=BASH, network=kind) for user, kind in KINDS.items()},
        rules=[{"id": user, "if": {"user": [user]}, "use": user} for user in KINDS])
    return fresh_broker.start()


def inside(broker, engine, user):
    """What the program sees, and what the engine says, of a session of this user."""
    p = broker.target.popen("ls /sys/class/net; cat /sys/class/net/*/address; echo end; read x", user=user)
    try:
        seen = []
        while not seen or seen[-1] != "end":
            seen.append(p.stdout.readline().decode().strip())
            assert seen[-1], p.stderr.read()
        [cid] = engine.containers()
        return seen[:-1], engine.inspect(cid)
    finally:
        p.communicate(b"\n", timeout=60)


def test_none_has_a_loopback_and_nothing_else(broker, engine):
    seen, container = inside(broker, engine, "apart")
    assert seen == ["lo", "00:00:00:00:00:00"]
    assert container["HostConfig"]["NetworkMode"] == "none"
    assert set(container["NetworkSettings"]["Networks"]) <= {"none"}


@pytest.mark.parametrize("user", ["bridged", "named"])
def test_bridge_and_name(broker, engine, user):
    """An interface in that very network: the address that the engine gave out is the program's."""
    seen, container = inside(broker, engine, user)
    networks = container["NetworkSettings"]["Networks"]
    assert list(networks) == [KINDS[user]], json.dumps(networks)
    assert seen[:2] == ["eth0", "lo"]
    assert networks[KINDS[user]]["MacAddress"] == seen[2]
    [described] = json.loads(engine.run("network", "inspect", KINDS[user]))
    assert networks[KINDS[user]]["NetworkID"] == described["Id"]


def test_network_that_is_not_there(broker):
    broker.policy["profiles"]["named"]["container"]["network"] = "no-such-network"
    broker.stop()
    broker.start()
    r = broker.target.ssh("echo never", user="named")
    assert (r.returncode, r.stdout) == (255, b"")
    assert "no-such-network" in broker.log()
