# SPDX-License-Identifier: Apache-2.0
"""
tcpip-forward and auth-agent-req: -R and -A bring connections out of the container to the client, if the
policy says so. Held against sshd, where the same container's user connects to the same places.
"""
import hashlib
import os
import re
import socket
import subprocess
import time

import pytest

from kit.broker import DATA_PATH
from kit.proc import free_port, wait_for
from kit.service import Service, echo, exchange
from kit.target import PATIENCE
from test_forward import Master, forwarding  # noqa: F401  pylint: disable=unused-import

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]


def multiplex(m, command, what):
    """A request of the multiplexing client, and what it printed."""
    r = subprocess.run(["ssh", *m.target.options(), *m.options, "-O", command, "-R", what,
                        f"{m.user}@127.0.0.1"], capture_output=True, check=False,
                       timeout=30 * PATIENCE)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def listen(m, what):
    """Have a port listened at in the container: the port, when it was to be chosen there."""
    code, out, err = multiplex(m, "forward", what)
    assert code == 0, err
    return int(out) if out.strip() else None


def inside(m, port, data, host="127.0.0.1"):
    """What a program in there gets from a port for its data and their end."""
    return m.ssh(f"exec busybox nc {host} {port}", stdin=data, seconds=60).stdout


def test_a_port_of_its_own(forwarding, control):
    """Port 0: the client is told which one it is, and two of them are two."""
    with Service(echo) as s, Service(echo) as t, Master(forwarding, control) as m:
        ports = [listen(m, f"0:127.0.0.1:{to.port}") for to in (s, t)]
        assert len(set(ports)) == 2 and min(ports) > 1023
        for port in ports:
            assert inside(m, port, b"hello\n") == b"hello\n"
            assert m.listening(port)


@pytest.mark.parametrize("bind", ["", "localhost:", "127.0.0.1:", "*:", "0.0.0.0:", "LOCALHOST:", "192.0.2.7:",
                                  "[2001:db8::7]:", "example.org:", f"{'a' * 200}:"])
def test_bind_addresses(forwarding, control, bind):
    """All of these are the loopback's, as under sshd without GatewayPorts: the policy has nothing beyond that."""
    with Service(echo) as s, Master(forwarding, control) as m:
        port = free_port()
        listen(m, f"{bind}{port}:127.0.0.1:{s.port}")
        assert inside(m, port, b"x\n") == b"x\n"
        rows = m.ssh("cat /proc/net/tcp /proc/net/tcp6").stdout.decode()
        wild = re.search(rf" (0{{8}}|0{{32}}):{port:04X} \S+ 0A ", rows)
        assert wild is None, wild


def test_ipv6(forwarding, control):
    with Service(echo, socket.AF_INET6) as s, Master(forwarding, control) as m:
        port = free_port()
        listen(m, f"[::1]:{port}:[::1]:{s.port}")
        assert inside(m, port, b"six\n", "::1") == b"six\n"
        assert inside(m, port, b"four\n") == b"", "the other family is not listened at"


def test_cancel(forwarding, control):
    """Gone at once, and the port can be had again."""
    with Service(echo) as s, Master(forwarding, control) as m:
        port = free_port()
        for _ in range(3):
            listen(m, f"{port}:127.0.0.1:{s.port}")
            assert inside(m, port, b"x\n") == b"x\n"
            assert multiplex(m, "cancel", f"{port}:127.0.0.1:{s.port}")[0] == 0
            wait_for(lambda: not m.listening(port), 10 * PATIENCE, "nobody listens")


@pytest.mark.parametrize("bind", ["", "*", "192.0.2.7", "example.org"])
def test_what_the_client_wrote(sallyport, request, bind):
    """Whatever is listened at instead: that is what its connections are told as, and what is cancelled."""
    for target in (request.getfixturevalue("oracle").forwarding, sallyport):
        transport = target.paramiko(target.login("forward"))
        got = []
        try:
            def handler(ch, origin, server, got=got):
                got.append((origin[0], server))
                ch.close()
            def cancel(address, port, transport=transport):
                return transport.global_request("cancel-tcpip-forward", (address, port)) is not None
            port = transport.request_port_forward(bind, 0, handler)
            for family in ("127.0.0.1", "::1"):
                session = transport.open_session()
                session.exec_command(f"busybox nc {family} {port} </dev/null")
                assert session.recv_exit_status() == 0, target.name
            assert got == [("127.0.0.1", (bind, port)), ("::1", (bind, port))], target.name
            assert [cancel("localhost", port), cancel("127.0.0.1", port), cancel(bind, port),
                    cancel(bind, port)] == [False, False, True, False], target.name
        finally:
            transport.close()


def test_a_port_that_is_taken(forwarding, control):
    with Service(echo) as s, Master(forwarding, control) as m:
        port = free_port()
        listen(m, f"{port}:127.0.0.1:{s.port}")
        code, _, err = multiplex(m, "forward", f"127.0.0.1:{port}:127.0.0.1:{s.port}")
        assert code != 0 and "failed" in err, err
        assert inside(m, port, b"x\n") == b"x\n"


def test_the_client_refuses(forwarding, control):
    """Nobody listens where the client connects to: who came is told by the end of the connection."""
    with Master(forwarding, control) as m:
        port = listen(m, f"0:127.0.0.1:{free_port()}")
        for _ in range(5):
            assert inside(m, port, b"") == b""
        assert m.ssh("echo on").stdout == b"on\n"


def test_what_can_be_cancelled(sallyport, request):
    """What there is, by the address as it was written: as under sshd."""
    for target in (request.getfixturevalue("oracle").forwarding, sallyport):
        transport = target.paramiko(target.login("forward"))
        def cancel(address, port, transport=transport):
            return transport.global_request("cancel-tcpip-forward", (address, port)) is not None
        try:
            port = transport.request_port_forward("localhost", 0)
            assert [cancel("localhost", 0), cancel("", port), cancel("127.0.0.1", port),
                    cancel("localhost", port + 1), cancel("localhost", port),
                    cancel("localhost", port)] == [False] * 4 + [True, False], target.name
        finally:
            transport.close()


def test_originator(sallyport, request):
    """The client is told what was listened at, and where the connection comes from, as sshd tells it."""
    told = {}
    for target in (request.getfixturevalue("oracle").forwarding, sallyport):
        transport = target.paramiko(target.login("forward"))
        got = told.setdefault(target.name, [])
        try:
            def handler(ch, origin, server, got=got):
                got.append((origin[0], server))
                ch.close()
            port = transport.request_port_forward("localhost", 0, handler)
            session = transport.open_session()
            session.exec_command(f"busybox nc 127.0.0.1 {port} </dev/null")
            assert session.recv_exit_status() == 0
            assert got == [("127.0.0.1", ("localhost", port))]
        finally:
            transport.close()


@pytest.mark.parametrize("who", ["client", "program"])
def test_half_close(forwarding, control, who):
    """Either side ends what it sends, and still hears the other one."""
    heard = []

    def serve(s):
        if who == "client":
            s.sendall(b"first\n")
            s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            more = s.recv(1000)
            if not more:
                break
            got += more
        heard.append(got)
        if who == "program":
            s.sendall(b"%d bytes\n" % len(got))

    with Service(serve) as s, Master(forwarding, control) as m:
        port = listen(m, f"0:127.0.0.1:{s.port}")
        if who == "client":
            r = m.ssh(f"exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3; sleep 0.3; echo later >&3",
                      seconds=30)
            assert r.stdout == b"first\n", r.stderr
            wait_for(lambda: heard, 10 * PATIENCE, "the service has heard the end")
            assert heard == [b"later\n"]
        else:
            assert inside(m, port, b"x" * 50_000) == b"50000 bytes\n"
            assert heard == [b"x" * 50_000]


def test_ten_at_once(forwarding, control):
    """Each with its own bytes, both ways."""
    with Service(echo) as s, Master(forwarding, control) as m:
        port = listen(m, f"0:127.0.0.1:{s.port}")
        script = f"""
        for i in 1 2 3 4 5 6 7 8 9 10; do
            (busybox seq $i 20000 | busybox nc 127.0.0.1 {port} | sha256sum >/tmp/sum.$$.$i) &
        done; wait
        for i in 1 2 3 4 5 6 7 8 9 10; do cat /tmp/sum.$$.$i; done; rm -f /tmp/sum.$$.*"""
        r = m.ssh(script, seconds=90)
        wanted = [hashlib.sha256("".join(f"{n}\n" for n in range(i, 20001)).encode()).hexdigest()
                  for i in range(1, 11)]
        assert [line.split()[0] for line in r.stdout.decode().splitlines()] == wanted, r.stderr


@pytest.mark.parametrize("way", ["up", "down"])
def test_much_data(forwarding, control, way):
    """100 MiB arrive as they were sent."""
    size = 100 << 20
    block = os.urandom(1 << 20)
    wanted = hashlib.sha256(block * 100).hexdigest()
    heard = []

    def serve(s):
        if way == "down":
            for _ in range(size >> 20):
                s.sendall(block)
            s.shutdown(socket.SHUT_WR)
        got = hashlib.sha256()
        while True:
            more = s.recv(1 << 18)
            if not more:
                break
            got.update(more)
        heard.append(got.hexdigest())

    with Service(serve) as s, Master(forwarding, control) as m:
        port = listen(m, f"0:127.0.0.1:{s.port}")
        if way == "down":
            r = m.ssh(f"busybox nc 127.0.0.1 {port} </dev/null | sha256sum", seconds=120)
            assert r.stdout.split()[0].decode() == wanted, r.stderr
        else:
            r = m.ssh(f"exec busybox nc 127.0.0.1 {port}", stdin=block * 100, seconds=120)
            wait_for(lambda: heard, 20 * PATIENCE, "all of it has come")
            assert heard == [wanted], r.stderr


def test_both_ways_at_once(forwarding, control):
    """A stream that returns does not get stuck behind itself."""
    with Service(echo) as s, Master(forwarding, control) as m:
        port = listen(m, f"0:127.0.0.1:{s.port}")
        local = free_port()
        m.forward("-L", f"{local}:127.0.0.1:{port}")
        data = os.urandom(8 << 20)
        assert exchange(socket.create_connection(("127.0.0.1", local), 20 * PATIENCE), data) == data


# ----- what the policy says -----

REFUSED = ["8081", "0", "8999", "9011", "192.0.2.1:7001", "192.0.3.1:7000", "10.0.0.1:8080",
           "example.org:8080", "container:8080", "127.1:8080", "0x7f.0.0.1:8080", "127.0.0.1%lo:8080",
           "LOCALHOST:8080", "localhost.:8080", "[::ffff:0.0.0.0]:8080", "[fe80::1]:8080", "22", "80"]


def ask(transport, address, port):
    """The port that a tcpip-forward was answered with, or None where it failed."""
    try:
        return transport.request_port_forward(address, port)
    except Exception:  # paramiko's word for a request that failed
        return None


def test_refused_by_policy(sallyport, broker):
    """However it is written; the session goes on, and the audit log has each."""
    transport = sallyport.paramiko("narrow")
    try:
        for what in REFUSED:
            address, _, port = what.rpartition(":")
            since = len(broker.audit(event="listen", outcome="refused"))
            assert ask(transport, address.strip("[]") or "localhost", int(port)) is None, what
            assert len(broker.audit(event="listen", outcome="refused")) == since + 1, what
        assert ask(transport, "localhost", 8080) == 8080
        transport.cancel_port_forward("localhost", 8080)
        # In the container's network is no such address: the policy allows it, the kernel does not.
        assert ask(transport, "192.0.2.1", 7000) is None
        assert broker.audit(event="listen", outcome="allowed")[-1]["host"] == "192.0.2.1"
    finally:
        transport.close()


def test_all_addresses_where_the_policy_names_them(sallyport):
    """"" is every address: here the policy has them for IPv6 and one port only."""
    transport = sallyport.paramiko("narrow")
    try:
        assert ask(transport, "", 9100) == 9100
        session = transport.open_session()
        session.exec_command("cat /proc/net/tcp6 /proc/net/tcp")
        rows = session.makefile().read().decode()
        assert re.search(r" 0{32}:238C 0{32}:0000 0A ", rows), rows
        assert not re.search(r" 0{8}:238C ", rows)
    finally:
        transport.close()


def test_no_more_rights_than_a_program(sallyport, control):
    """A privileged port is had exactly when the container's user has it anyway."""
    with Service(echo) as s, Master(sallyport, control) as m:
        theirs = m.ssh("busybox timeout 1 busybox nc -l -p 81; echo $?").stdout.strip() != b"1"
        ours = multiplex(m, "forward", f"82:127.0.0.1:{s.port}")[0] == 0
        assert ours == theirs


def test_off_is_off(both):
    """A login without it gets sshd's answer, for cancel as well."""
    for target in both:
        transport = target.paramiko("dev")
        try:
            assert ask(transport, "localhost", 0) is None
            assert ask(transport, "", 8080) is None
            session = transport.open_session()
            session.exec_command("echo on")
            assert session.makefile().read().strip() == b"on"
        finally:
            transport.close()


def test_a_container_for_each_session(sallyport):
    """Nobody would be there to connect."""
    transport = sallyport.paramiko("soloforward")
    try:
        assert ask(transport, "localhost", 8080) is None
    finally:
        transport.close()


def test_connections_are_counted_and_listeners_are_not(sallyport, broker):
    """The profile has three channels: a session and two connections, with any number of listeners, as under sshd."""
    refused = len(broker.audit(event="request.refused", kind="tcpip-forward"))
    transport = sallyport.paramiko("narrow")
    taken = []

    def listen_at(port):
        return transport.request_port_forward("localhost", port, lambda ch, *_: taken.append(ch))

    def another_session():
        try:
            return transport.open_session()
        except Exception:  # paramiko's word for an open that failed
            return None

    try:
        for port in (8080, *range(9000, 9005)):
            assert listen_at(port) == port
        session = transport.open_session()
        session.exec_command("for p in 8080 9001 9001 9004; do busybox nc 127.0.0.1 $p & done; wait")
        wait_for(lambda: len(taken) == 2, 20 * PATIENCE, "two connections have come")
        time.sleep(0.5)
        assert len(taken) == 2
        assert another_session() is None
        assert listen_at(9005) == 9005
        # paramiko's own cancel would have it refuse all other connections as well.
        assert transport.global_request("cancel-tcpip-forward", ("localhost", 9000)) is not None
        assert another_session() is None, "no place is free when a listener ends"
        for i in range(4):
            wait_for(lambda: len(taken) > i, 20 * PATIENCE, "the next one has come")
            assert len(taken) <= i + 2
            taken[i].close()
        assert session.recv_exit_status() == 0
        assert len(taken) == 4
        accepted = broker.audit(event="accepted")[-4:]
        assert [e["peer"] for e in accepted] == ["127.0.0.1"] * 4
        assert len(broker.audit(event="request.refused", kind="tcpip-forward")) == refused
    finally:
        transport.close()


def with_channels(broker, n):
    """A broker whose profile "forward" has so many channels."""
    broker.policy["profiles"]["forward"]["session"]["channels"] = n
    return broker.start().target


def test_one_session_and_all_that_listens(fresh_broker):
    """A place for the session is enough for -R, several of them, and for -X; -A needs one for who connects, too."""
    transport = with_channels(fresh_broker, 1).paramiko("forward")
    try:
        ports = [transport.request_port_forward("localhost", 0) for _ in range(3)]
        assert len(set(ports)) == 3
        session = transport.open_session()
        session.request_x11(handler=lambda *_: None)
        session.exec_command("echo $DISPLAY")
        assert session.makefile().read() == b"localhost:10.0\n"
        assert session.recv_exit_status() == 0
    finally:
        transport.close()


def test_an_agent_and_a_session(fresh_broker, agent):
    path, fingerprint = agent
    r = with_agent(with_channels(fresh_broker, 2), path, "ssh-add -l", "forward")
    assert fingerprint in r.stdout, r.stderr


def test_listeners_leave_numbers_for_sessions(sallyport):
    """Whoever listens at as many as there may be has a session, and what comes to them; one ends, and there may be another."""
    transport = sallyport.paramiko("forward")
    taken = []

    def listen_at_any():
        return transport.request_port_forward("localhost", 0, lambda ch, *_: taken.append(ch))

    try:
        ports = [listen_at_any() for _ in range(48)]
        assert len(set(ports)) == 48
        assert ask(transport, "localhost", 0) is None
        session = transport.open_session()
        session.exec_command(f"busybox nc 127.0.0.1 {ports[47]} </dev/null; echo on")
        wait_for(lambda: taken, 20 * PATIENCE, "the connection has come")
        taken[0].close()
        assert session.makefile().read() == b"on\n"
        assert transport.global_request("cancel-tcpip-forward", ("localhost", ports[5])) is not None
        assert listen_at_any() not in ports[:5] + ports[6:]
    finally:
        transport.close()


# ----- ends -----

def test_nothing_is_left_of_a_client(sallyport, control, broker, engine):
    """Killed: the listener goes with it, and the container too."""
    with Service(echo) as s, Master(sallyport, control) as m:
        port = listen(m, f"0:127.0.0.1:{s.port}")
        assert inside(m, port, b"x\n") == b"x\n"
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the container is gone")
    wait_for(broker.settled, 20 * PATIENCE, "the worker is gone")


def test_a_client_that_never_answers(sallyport):
    """Its opens stay open, in its own channels and no more; the session works."""
    transport = sallyport.paramiko("narrow")
    seen = []
    try:
        transport.request_port_forward("localhost", 8080, lambda ch, *_: seen.append(ch))
        session = transport.open_session()
        session.exec_command("busybox seq 200000 | busybox nc 127.0.0.1 8080; echo done")
        ch = wait_for(lambda: seen and seen[0], 20 * PATIENCE, "the connection has come")
        time.sleep(1)  # not a byte of it is read
        got = b""
        while True:
            more = ch.recv(1 << 16)
            if not more:
                break
            got += more
        assert got == "".join(f"{n}\n" for n in range(1, 200001)).encode()
        ch.close()
        assert session.makefile().read() == b"done\n"
    finally:
        transport.close()


# ----- agents -----

def with_agent(target, agent, command, user):
    argv = [a.replace("IdentityAgent=none", f"IdentityAgent={agent}")
            for a in target.argv(command, user=target.login(user), options=["-A"])]
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False,
                          timeout=30 * PATIENCE)


def test_agent_many_times(forwarding, agent):
    path, fingerprint = agent
    r = with_agent(forwarding, path, "for i in 1 2 3 4 5 6 7 8; do ssh-add -l & done; wait",
                   "forward")
    assert r.stdout.count(fingerprint) == 8, r.stderr


def test_agent_whose_listener_is_killed(broker, agent, control):
    """Where it is a process of the user's own: the sessions that come later have another one."""
    path, fingerprint = agent
    kill = ("for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n = $PPID ] || "
            """[ "$(tr '\\0' '\\n' <$p/cmdline | sed -n 2p)" != --stream ] || """
            "{ kill -9 $n && echo killed; }; done 2>/dev/null")
    options = ["-o", f"ForwardAgent={path}"]
    with Master(broker.target, control, options=options) as m:
        def has_agent():
            return fingerprint in m.ssh("ssh-add -l", options=options).stdout

        assert has_agent()
        for _ in range(2):
            assert m.ssh(kill).stdout == (b"killed\n" if DATA_PATH == "engine" else b"")
            # The end of the listener, of which another process tells, may take longer than the next session.
            wait_for(has_agent, 20 * PATIENCE, "there is an agent again")


def test_agent_is_not_there_unasked(forwarding, agent):
    del agent
    r = forwarding.ssh('echo "[$SSH_AUTH_SOCK]"', user=forwarding.login("forward"))
    assert r.stdout == b"[]\n"


@pytest.mark.parametrize("user", ["dev", "soloforward"])
def test_agent_that_is_not_allowed(sallyport, agent, user):
    r = with_agent(sallyport, agent[0], 'echo "[$SSH_AUTH_SOCK]"', user)
    assert r.stdout == b"[]\n"


def test_agent_in_a_container_that_cannot_be_written(fresh_broker, agent):
    """The socket needs nothing of the image, and no mount of the profile."""
    container = fresh_broker.policy["profiles"]["forward"]["container"]
    fresh_broker.policy["profiles"] = dict(fresh_broker.policy["profiles"])
    fresh_broker.policy["profiles"]["forward"] = dict(
        fresh_broker.policy["profiles"]["forward"],
        container=dict(container, mounts=[], read_only_root=True))
    path, fingerprint = agent
    r = with_agent(fresh_broker.start().target, path, "ssh-add -l", "forward")
    assert fingerprint in r.stdout, r.stderr
