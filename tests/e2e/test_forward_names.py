# SPDX-License-Identifier: Apache-2.0
"""
Forwards to names: looked up in the container, by its /etc/hosts and its name servers, the engine's own on a
named network among them; of what comes of it only what the policy allows is ever connected to.
"""
import ipaddress
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from kit.broker import BASH, kept, profile
from kit.names import NameServer, socks
from kit.proc import free_port, wait_for
from kit.target import PATIENCE
from test_forward import Master

pytestmark = [pytest.mark.data_path]

NETWORK = f"sallyport-names-{os.getpid()}"
SERVICE = 7000


ECHO = """
import socketserver, sys

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        with open("/tmp/hits", "a") as f:
            print("hit", file=f)
        self.request.sendall(sys.argv[1].encode() + b"\\n")
        while data := self.request.recv(4096):
            self.request.sendall(data)

socketserver.ThreadingTCPServer.request_queue_size = 128
socketserver.ThreadingTCPServer(("", int(sys.argv[2])), Echo).serve_forever()
"""


class Neighbour:
    """A container that says who it is to each connection, echoes, and keeps count."""

    def __init__(self, engine, name, alias):
        self.engine = engine
        self.name = name
        self.cid = engine.run(
            "run", "-d", "--network", NETWORK, "--name", name, "--network-alias", alias,
            "sallyport-test/oracle:latest", "python3", "-c", ECHO, name, str(SERVICE))
        seen = engine.inspect(self.cid)["NetworkSettings"]["Networks"][NETWORK]
        self.address = seen["IPAddress"]
        self.subnet = ipaddress.ip_network(f"{self.address}/{seen['IPPrefixLen']}", strict=False)
        wait_for(self.answers, 30 * PATIENCE, f"{name} listens")

    def answers(self):
        try:
            socket.create_connection((self.address, SERVICE), 5).close()
        except OSError:
            return False
        return True

    def hits(self):
        return self.engine.run("exec", self.cid, "sh", "-c", "cat /tmp/hits 2>/dev/null; true").count("hit")

    def said(self, text):
        return f"{self.name}\n{text}".encode()


@pytest.fixture(scope="module")
def network(engine):
    """Its gateway's address, where a name server can be put."""
    engine.run("network", "create", NETWORK)
    [described] = json.loads(engine.run("network", "inspect", NETWORK))
    yield described["IPAM"]["Config"][0]["Gateway"]
    engine.run("network", "rm", NETWORK)


@pytest.fixture(scope="module")
def neighbours(engine, network):
    """web_1, where logins may go, and secret, where they may not; both are called "both"."""
    made = []
    try:
        for name in ("web_1", "secret"):
            made.append(Neighbour(engine, name, "both"))
        yield made
    finally:
        for n in made:
            engine.run("rm", "-f", n.cid)


@pytest.fixture
def names(network):
    with NameServer(network) as server:
        yield server


@pytest.fixture
def broker(fresh_broker, network, neighbours, keys):
    web, _ = neighbours
    base = profile(argv=BASH, network=NETWORK, dns=[network], session={"channels": 64, "forward": {
        "local": [f"{web.address}:{SERVICE}", "container:7001-7002", f"192.0.2.0/24:{SERVICE}", "192.0.2.0/24:7001",
                  f"{web.subnet}:7003"]}})
    alone = profile("sallyport-test/oracle:latest", argv=BASH, session={"forward": {
        "local": ["container:8080-8081", "192.0.2.0/24:8080"]}})
    profiles = {"named": base, "keeps": kept(base), "alone": alone}
    fresh_broker.policy.update(
        users={user: {"keys": keys.public()} for user in profiles}, profiles=profiles,
        rules=[{"id": user, "if": {"user": [user]}, "use": user} for user in profiles])
    return fresh_broker.start()


def stdio(broker, where, user="named", **how):
    return broker.target.ssh(user=user, options=["-W", where], **how)


def why(broker, since):
    """The reason that the worker has found in what the guest said."""
    return wait_for(lambda: re.search(r"no forward: (.*)", broker.log(since)), 20 * PATIENCE, "it is said why")[1]


class Proxy(Master):
    def __init__(self, broker, control, user="named"):
        super().__init__(broker.target, control, user=user)
        self.port = free_port()
        self.forward("-D", str(self.port))


def test_neighbour_by_name(broker, neighbours, control):
    """By each way that a client has to name a host; the log of it says what was asked for."""
    web, _ = neighbours
    r = stdio(broker, f"web_1:{SERVICE}", stdin=b"by name\n")
    assert r.stdout == web.said("by name\n"), r.stderr
    with Proxy(broker, control) as m:
        local = free_port()
        m.forward("-L", f"{local}:web_1:{SERVICE}")
        for name in ("web_1", "both"):
            with socks(m.port, name, SERVICE) as s:
                s.sendall(b"again\n")
                heard = b""
                while heard.count(b"\n") < 2:
                    heard += s.recv(100)
                assert heard == web.said("again\n")
        r = subprocess.run(["busybox", "nc", "127.0.0.1", str(local)], input=b"local\n", capture_output=True,
                           check=False, timeout=30 * PATIENCE)
        assert r.stdout == web.said("local\n")
    asked = broker.audit(event="forward", outcome="allowed")
    assert [(e["host"], e["port"], e["lookup"]) for e in asked] == [
        ("web_1", SERVICE, True), ("web_1", SERVICE, True), ("both", SERVICE, True), ("web_1", SERVICE, True)]


def test_name_of_what_is_not_allowed(broker, neighbours):
    """It has an address in the same network, at the same port: nobody knocks there."""
    _, secret = neighbours
    before = secret.hits()
    since = broker.log_size()
    r = stdio(broker, f"secret:{SERVICE}", stdin=b"x")
    assert (r.returncode, r.stdout) == (255, b"") and b"open failed" in r.stderr
    assert why(broker, since).startswith("Forwarding to what this name stands for in the container is not allowed")
    assert secret.hits() == before


def test_name_in_a_file(broker, control):
    """The container's /etc/hosts, as the engine makes it: its own name is there, and that of a loopback."""
    with Master(broker.target, control, user="named") as m:
        p = broker.target.popen("exec busybox nc -ll -p 7003 -e cat", user=m.user, options=m.options,
                                stdin=subprocess.DEVNULL)
        m.close += [p.kill, p.communicate]
        wait_for(lambda: m.listening(7003), 20 * PATIENCE, "the service listens")
        own, = re.findall(rb"^[0-9.]+\t([0-9a-z]+)$", m.ssh("cat /etc/hosts").stdout.replace(b"127.0.0.1", b"#"), re.M)
        assert m.ssh(options=["-W", f"{own.decode()}:7003"], stdin=b"hello\n").stdout == b"hello\n"
        since = broker.log_size()
        assert m.ssh(options=["-W", "ip6-localhost:7003"]).returncode == 255
        assert why(broker, since).startswith("Forwarding to what this name stands for in the container is not allowed")


def test_without_a_network(broker):
    """There is nobody to ask, nor does the engine write a file: it takes a while, and is no name."""
    since = broker.log_size()
    r = stdio(broker, "ip6-localhost:8080", user="alone", stdin=b"x")
    assert r.returncode == 255 and b"open failed" in r.stderr
    assert why(broker, since) == "No name server of the container answers."
    # For the loopback alone nobody is asked.
    since = broker.log_size()
    assert stdio(broker, "ip6-localhost:8081", user="alone", stdin=b"x").returncode == 255
    assert why(broker, since) == "Forwarding to this address and port is not allowed for this login."


def test_name_of_two(broker, neighbours):
    """Whichever the name server names first."""
    web, secret = neighbours
    before = secret.hits()
    for _ in range(8):
        assert stdio(broker, f"both:{SERVICE}", stdin=b"x").stdout == web.said("x")
    assert secret.hits() == before


def test_port_that_is_not_allowed(broker, names):
    """Nobody is asked."""
    names.answers["web.test"] = ["192.0.2.1"]
    since = broker.log_size()
    r = stdio(broker, "web.test:7999", stdin=b"x")
    assert (r.returncode, r.stdout) == (255, b"")
    assert "refused: Forwarding to this address and port is not allowed" in broker.log(since)
    [asked] = broker.audit(event="forward")
    assert (asked["host"], asked["outcome"], asked["lookup"]) == ("web.test", "refused", False)
    assert names.asked == []


def test_unknown_name(broker, names):
    since = broker.log_size()
    r = stdio(broker, f"no-such-name.test:{SERVICE}", stdin=b"x")
    assert (r.returncode, r.stdout) == (255, b"")
    assert why(broker, since) == "The container does not know this name."
    assert ("no-such-name.test", 1) in names.asked


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "0.0.0.0", "::ffff:0.0.0.0"])
def test_the_loopback_by_other_names(broker, names, control, address):
    """As when the address itself is asked for: the container's, where the policy has it, at its ports."""
    names.answers["home.test"] = [address]
    with Master(broker.target, control, user="named") as m:
        p = broker.target.popen("exec busybox nc -ll -p 7001 -e cat", user=m.user, options=m.options,
                                stdin=subprocess.DEVNULL)
        m.close += [p.kill, p.communicate]
        wait_for(lambda: m.listening(7001), 20 * PATIENCE, "the service listens")
        assert m.ssh(options=["-W", "home.test:7001"], stdin=b"hello\n").stdout == b"hello\n"
        since = broker.log_size()
        assert m.ssh(options=["-W", f"home.test:{SERVICE}"]).returncode == 255
        assert "is not allowed for this login" in why(broker, since)


FORBIDDEN = ["169.254.169.254", "10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "192.0.3.1", "255.255.255.255",
             "ff02::1", "::7f00:1", "64:ff9b::c000:201"]


def test_hostile_name_server(broker, names, neighbours):
    """It can name the policy's addresses, and nothing else; more of them than there is room for change nothing."""
    web, secret = neighbours
    before = secret.hits()
    names.answers["evil.test"] = [*FORBIDDEN, secret.address]
    since = broker.log_size()
    assert stdio(broker, f"evil.test:{SERVICE}", stdin=b"x").returncode == 255
    assert "is not allowed for this login" in why(broker, since)
    names.answers["mixed.test"] = [*FORBIDDEN[:2], secret.address, web.address]
    for _ in range(3):
        assert stdio(broker, f"mixed.test:{SERVICE}", stdin=b"x").stdout == web.said("x")
    assert secret.hits() == before


def test_answer_that_changes(broker, names, neighbours):
    """The address that was compared is the one that is connected to: a name is asked for once."""
    web, secret = neighbours
    before = secret.hits()
    names.answers["rebind.test"] = lambda n: [web.address] if n == 0 else [secret.address]
    assert stdio(broker, f"rebind.test:{SERVICE}", stdin=b"x").stdout == web.said("x")
    assert names.asked.count(("rebind.test", 1)) == 1
    assert stdio(broker, f"rebind.test:{SERVICE}", stdin=b"x").returncode == 255
    assert secret.hits() == before


def test_name_server_that_never_answers(broker, names, control):
    """The forward fails in time, and nothing else waits for it."""
    names.silent.add("silent.test")
    with Master(broker.target, control, user="named") as m:
        since = broker.log_size()
        p = broker.target.popen(user=m.user, options=[*m.options, "-W", f"silent.test:{SERVICE}"])
        wait_for(lambda: names.asked, 20 * PATIENCE, "the name server is asked")
        began = time.monotonic()
        assert m.ssh("echo on").stdout == b"on\n"
        assert p.poll() is None
        p.communicate(timeout=40 * PATIENCE)
        assert p.returncode == 255 and time.monotonic() - began < 20 * PATIENCE
        assert why(broker, since) in ("The container has not found this name in time.",
                                      "No name server of the container answers.")
        assert m.ssh("echo on").stdout == b"on\n"


def test_client_that_leaves_meanwhile(broker, names):
    """Of a container that stays: the process that looked up the name does not."""
    names.silent.add("silent.test")

    def guests():
        r = broker.target.ssh("cat /proc/[0-9]*/comm", user="keeps")
        return r.stdout.decode().split().count("sallyport-guest")
    before = guests()
    transports = [broker.target.paramiko("keeps") for _ in range(2)]
    for t in transports:
        for _ in range(3):
            threading.Thread(target=ask_for, args=(t, "silent.test"), daemon=True).start()
    wait_for(lambda: guests() >= before + 6, 20 * PATIENCE, "six names are looked up")
    for t in transports:
        t.close()
    wait_for(lambda: guests() == before, 8 * PATIENCE, "nobody looks up a name any more")


def ask_for(transport, host):
    try:
        transport.open_channel("direct-tcpip", (host, SERVICE), ("127.0.0.1", 1), timeout=60)
    except Exception:  # paramiko's words for an open that failed, and for a connection that is gone
        pass


def test_many_at_once(broker, names, neighbours, control):
    """As many as the profile has channels, each answered late."""
    web, _ = neighbours
    names.answers["slow.test"] = [web.address]
    names.delay = 1
    with Proxy(broker, control) as m:
        heard = []

        def one():
            s = socks(m.port, "slow.test", SERVICE)
            if s is not None:
                with s:
                    heard.append(s.recv(100))
        threads = [threading.Thread(target=one) for _ in range(60)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60 * PATIENCE)
        assert heard == [web.said("")] * 60
