# SPDX-License-Identifier: Apache-2.0
"""A container's network is what the policy says: nothing, the engine's bridge, or a network by name."""
import json
import os
import socket
import subprocess

import pytest

from kit.broker import BASH, profile
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.data_path

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


def test_id_in_a_name_s_place(broker, engine):
    """What the engine takes for the beginning of an id is somebody else's network."""
    [described] = json.loads(engine.run("network", "inspect", NAMED))
    beginning = described["Id"][:12]
    broker.policy["profiles"]["named"]["container"]["network"] = beginning
    broker.stop()
    broker.start()
    r = broker.target.ssh("echo never", user="named")
    assert (r.returncode, r.stdout) == (255, b"")
    assert f'the network is "{NAMED}" instead of "{beginning}"' in broker.log()


@pytest.fixture
def neighbour(engine, network):
    """Somebody else's container in the named network, with an echo at port 7000: its id and address."""
    cid = engine.run("run", "-d", "--network", NAMED, "--entrypoint", "busybox",
                     "sallyport-test/busybox:latest", "nc", "-ll", "-p", "7000", "-e", "cat")
    try:
        yield cid, engine.inspect(cid)["NetworkSettings"]["Networks"][NAMED]["IPAddress"]
    finally:
        engine.run("rm", "-f", cid)


def allow(broker, **forward):
    broker.policy["profiles"]["named"]["session"] = {"forward": forward}
    broker.stop()
    return broker.start().target


def test_forward_to_an_address_in_the_network(broker, neighbour):
    """From the container, where the policy names the address and the port; and no other one."""
    _, address = neighbour
    target = allow(broker, local=[f"{address}:7000"])
    r = target.ssh(user="named", options=["-W", f"{address}:7000"], stdin=b"over the bridge\n")
    assert r.stdout == b"over the bridge\n", r.stderr
    target = allow(broker, local=[f"{address}:7001", "container:7000"])
    r = target.ssh(user="named", options=["-W", f"{address}:7000"], stdin=b"x")
    assert (r.returncode, r.stdout) == (255, b"")


@pytest.mark.parametrize("listens, reached", [(["0.0.0.0:7002"], True), (["container:7002"], False)])
def test_remote_forward_in_the_network(broker, engine, neighbour, listens, reached):
    """A neighbour gets through to the client only where the policy has more than the loopback."""
    target = allow(broker, remote=listens)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        p = target.popen("-N", user="named", stdin=subprocess.DEVNULL, options=[
            "-o", "ExitOnForwardFailure=yes", "-R", f"*:7002:127.0.0.1:{s.getsockname()[1]}"])
        try:
            wait_for(lambda: broker.audit(event="listen", outcome="allowed"), 20 * PATIENCE, "it is asked")
            # Docker lists one before it knows of it when asked, and before that has its address.
            wait_for(lambda: broker.audit(event="container.up"), 20 * PATIENCE, "the container is up")
            mine, = engine.containers()
            address = engine.inspect(mine)["NetworkSettings"]["Networks"][NAMED]["IPAddress"]

            def knock():
                return engine.run("exec", neighbour[0], "busybox", "nc", "-w", "1", address, "7002",
                                  "-e", "true", check=False) is not None and arrived()

            def arrived():
                s.settimeout(0.5)
                try:
                    s.accept()[0].close()
                    return True
                except TimeoutError:
                    return False
            if reached:
                wait_for(knock, 20 * PATIENCE, "the neighbour gets through")
            else:
                for _ in range(4):
                    assert not knock()
            assert p.poll() is None
        finally:
            p.kill()
            p.communicate()
