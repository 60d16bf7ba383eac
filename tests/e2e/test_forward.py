# SPDX-License-Identifier: Apache-2.0
"""
direct-tcpip: -L, -W, -J and -D reach what listens inside the container, if the policy says so, and
nothing else. Held against sshd, whose services listen on this machine's loopback.
"""
import os
import re
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from kit.proc import free_port, wait_for
from kit.service import connect, exchange
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]


@pytest.fixture(params=["sshd", "sallyport"])
def forwarding(request):
    """Oracle, or us, with a login that may forward."""
    if request.param == "sshd":
        return request.getfixturevalue("oracle").forwarding
    return request.getfixturevalue("broker").target


class Master:
    """A connection that stays, its container with it, and services in there."""

    def __init__(self, target, control, user="forward", options=(), env=None):
        self.target = target
        self.user = target.login(user)
        self.options = ["-o", f"ControlPath={control}"]
        self.close = []
        self.process = target.popen("-M", "-N", user=self.user, options=[*self.options, *options],
                                    stdin=subprocess.DEVNULL, env=env)
        wait_for(lambda: os.path.exists(control) or self.process.poll() is not None,
                 30 * PATIENCE, "the master is connected")
        assert self.process.poll() is None, self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        for close in self.close:
            close()

    def ssh(self, *args, options=(), **how):
        return self.target.ssh(*args, user=self.user, options=[*self.options, *options], **how)

    def listening(self, port):
        """Whether something listens on the port where forwards go."""
        script = f"grep -qi '^ *[0-9]*: [0-9A-F]*:{port:04X} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6"
        return self.ssh(script).returncode == 0

    def service(self, command, at="127.0.0.1"):
        """A port where each connection gets a process of the shell command; sshd's are here, at this address."""
        port = free_port()
        if self.target.name == "sshd":
            class Handler(socketserver.BaseRequestHandler):
                def handle(self):
                    subprocess.run(["sh", "-c", command], stdin=self.request, stdout=self.request,
                                   check=False)
            class Server(socketserver.ThreadingTCPServer):
                address_family = socket.AF_INET6 if ":" in at else socket.AF_INET
                request_queue_size = 64
                daemon_threads = True
            server = Server((at, port), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.close += [server.shutdown, server.server_close]
        else:
            p = self.target.popen(f"exec busybox nc -ll -p {port} -e sh -c '{command}'",
                                  user=self.user, options=self.options, stdin=subprocess.DEVNULL)
            self.close += [p.kill, p.communicate]
        wait_for(lambda: self.listening(port), 20 * PATIENCE, "the service listens")
        return port

    def forward(self, what, to):
        r = subprocess.run(["ssh", *self.target.options(), *self.options, "-O", "forward", what, to,
                            f"{self.user}@127.0.0.1"], capture_output=True, check=False,
                           timeout=30 * PATIENCE)
        assert r.returncode == 0, r.stderr


def test_half_close(forwarding, control):
    """The end of what is sent passes, and the answer to it comes back after that."""
    with Master(forwarding, control) as m:
        port = m.service("wc -c; echo more")
        r = m.ssh(options=["-W", f"127.0.0.1:{port}"], stdin=b"x" * 100_000)
        assert (r.returncode, r.stdout) == (0, b"100000\nmore\n"), r.stderr


# One connection: it says something, ends its half, and says in the end what it has heard.
ENDS_FIRST = """
import socket
with socket.create_server(("127.0.0.1", {port})) as listener:
    s = listener.accept()[0]
    s.sendall(b"said")
    s.shutdown(socket.SHUT_WR)
    heard = b""
    while data := s.recv(65536):
        heard += data
    print(heard.decode(), flush=True)
"""


def test_half_close_by_the_service(forwarding, control):
    """The service ends its half first: that comes through at once, and it still hears what is sent afterwards."""
    with Master(forwarding, control) as m:
        port, local = free_port(), free_port()
        p = m.target.popen(f"exec python3 -c '{ENDS_FIRST.format(port=port)}'", user=m.user, options=m.options,
                           stdin=subprocess.DEVNULL)
        m.close += [p.kill, p.communicate]
        wait_for(lambda: m.listening(port), 20 * PATIENCE, "the service listens")
        m.forward("-L", f"{local}:127.0.0.1:{port}")
        with socket.create_connection(("127.0.0.1", local), 20 * PATIENCE) as s:
            s.settimeout(20 * PATIENCE)
            with s.makefile("rb") as f:
                assert f.read() == b"said"
            for piece in (b"first ", b"second"):
                s.sendall(piece)
                time.sleep(0.3)
            assert p.poll() is None
            s.shutdown(socket.SHUT_WR)
            assert p.stdout.readline() == b"first second\n"
        assert p.wait(20 * PATIENCE) == 0


def test_local_forward(forwarding, control):
    """Twenty connections at once over one -L, each with its own bytes."""
    with Master(forwarding, control) as m:
        port = m.service("cat")
        local = free_port()
        m.forward("-L", f"{local}:127.0.0.1:{port}")
        blocks = [os.urandom(300_000) for _ in range(20)]
        got = [None] * len(blocks)
        # One after the other: the service has room for two that wait.
        sockets = [connect(local) for _ in blocks]

        def work(i):
            got[i] = exchange(sockets[i], blocks[i])
        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(blocks))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == blocks


def test_much_data_both_ways(forwarding, control):
    with Master(forwarding, control) as m:
        port = m.service("cat")
        local = free_port()
        m.forward("-L", f"{local}:127.0.0.1:{port}")
        data = os.urandom(20 << 20)
        assert exchange(connect(local), data) == data


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "LOCALHOST", "LocalHost"])
def test_what_is_the_loopback_too(forwarding, control, host):
    """To the kernel, and to who looks up names: a -L, -W or -D to it is one to the loopback, as under sshd."""
    with Master(forwarding, control) as m:
        port = m.service("cat", at="::1" if host == "[::]" else "127.0.0.1")
        assert m.ssh(options=["-W", f"{host}:{port}"], stdin=b"hello\n").stdout == b"hello\n"
        local = free_port()
        m.forward("-L", f"{local}:{host}:{port}")
        assert exchange(connect(local), b"again\n") == b"again\n"


def test_stock_client_is_told_why(forwarding):
    r = forwarding.ssh(user=forwarding.login("forward"), options=["-W", f"127.0.0.1:{free_port()}"])
    assert r.returncode == 255
    assert b"channel 0: open failed: connect failed: Connection refused" in r.stderr


def test_nobody_listens(forwarding, control):
    """Refused by the far end: the open fails, and the session goes on."""
    with Master(forwarding, control) as m:
        r = m.ssh(options=["-W", f"127.0.0.1:{free_port()}"])
        assert r.returncode == 255
        assert b"refused by peer" in r.stderr
        assert m.ssh("echo on").stdout == b"on\n"


NOWHERE = ["127.0.0.1:8081", "127.0.0.1:8999", "127.0.0.1:9011", "localhost:22", "0.0.0.0:8081",
           "[::]:8081", "0.0.0.0:7", "[::]:7", "LOCALHOST:22", "0.0.0.1:8080", "0:8080", "127.1:8080", "0x7f.1:8080", "2130706433:8080",
           "[::ffff:10.0.0.1]:8080", "169.254.169.254:8080", "169.254.169.254:7", "10.0.0.1:7",
           "192.0.2.1:8", "192.0.3.1:7", "[2001:db8::2]:7", "[fe80::1]:8080", "127.0.0.1%lo:8080",
           # Of a name, the port decides that it is not even looked up.
           "example.org:8081", "localhost.:22", "LOCALHOST.:8", "container:8081", "ip6-localhost:8081"]


def test_refused_destinations(sallyport, broker, control):
    """By the policy's list of addresses and ports, however they are written."""
    with Master(sallyport, control, user="narrow") as m:
        for where in NOWHERE:
            since = broker.log_size()
            r = m.ssh(options=["-W", where])
            assert r.returncode == 255, where
            assert b"refused by peer" in r.stderr, where
            assert "refused: " in broker.log(since), where
        # And these are allowed, but nobody is there, or no way. No address, or "localhost" in capitals, is the
        # loopback, as under sshd. A worker's lines in the log are limited in number, and come a moment later.
        for where, why in (("127.0.0.1:8080", "refused"), ("localhost:9000", "refused"),
                           ("[::1]:9010", "refused"), ("127.9.9.9:8080", "refused"),
                           ("[::ffff:127.0.0.1]:8080", "refused"), ("0.0.0.0:8080", "refused"),
                           ("[::]:8080", "refused"), ("LOCALHOST:8080", "refused"),
                           ("192.0.2.1:7", "unreachable"), ("[2001:db8::1]:7", "unreachable")):
            time.sleep(1.1)
            since = broker.log_size()
            assert m.ssh(options=["-W", where]).returncode == 255
            wait_for(lambda: re.search(rf"no forward: \w+ (is )?{why}", broker.log(since)),
                     20 * PATIENCE, f"{where} is {why}")
            assert " allowed" in broker.log(since)


def test_name_that_nobody_has(forwarding, control):
    """Nor can anybody be asked in the container: the open fails after a while, and the session goes on."""
    with Master(forwarding, control) as m:
        r = m.ssh(options=["-W", "no-such-name.invalid:80"])
        assert r.returncode == 255 and b"refused by peer" in r.stderr
        assert m.ssh("echo on").stdout == b"on\n"


def test_the_host_is_not_there(sallyport, control):
    """What listens on this machine's loopback does not listen on the container's."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with Master(sallyport, control) as m:
            assert m.ssh(options=["-W", f"127.0.0.1:{s.getsockname()[1]}"]).returncode == 255
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.accept()


def test_a_container_for_each_session_has_nobody_to_connect_to(sallyport):
    r = sallyport.ssh(user="soloforward", options=["-W", "127.0.0.1:80"])
    assert r.returncode == 255 and b"open failed" in r.stderr


def test_channels_are_counted_together(sallyport, control):
    """The profile has three: two sessions and one forward fill it."""
    transport = sallyport.paramiko("narrow")
    try:
        sessions = [transport.open_session() for _ in range(2)]
        sessions[0].exec_command("busybox nc -ll -p 8080 -e cat & sleep 100")
        def connect():
            try:
                return transport.open_channel("direct-tcpip", ("127.0.0.1", 8080), ("127.0.0.1", 1))
            except Exception:  # paramiko's word for an open that failed
                return None
        forward = wait_for(connect, 20 * PATIENCE, "the service listens")
        assert connect() is None
        forward.sendall(b"x")
        assert forward.recv(1) == b"x"
        forward.close()
        again = wait_for(connect, 20 * PATIENCE, "there is room for another one")
        again.close()
    finally:
        transport.close()


def test_a_client_that_leaves(sallyport, control):
    """Killed in the middle: the service sees the end of its connection."""
    with Master(sallyport, control) as m:
        port = m.service("cat >/dev/null; touch /tmp/ended")
        client = sallyport.popen(user="forward", options=[*m.options, "-W", f"127.0.0.1:{port}"])
        client.stdin.write(b"hello")
        client.stdin.flush()
        time.sleep(0.5)
        client.kill()
        client.communicate()
        wait_for(lambda: m.ssh("test -e /tmp/ended").returncode == 0, 20 * PATIENCE,
                 "the service has seen the end")
