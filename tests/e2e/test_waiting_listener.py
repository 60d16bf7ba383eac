# SPDX-License-Identifier: Apache-2.0
"""
While a tcpip-forward or an x11-req waits for the container, or for the engine, the client's connection goes on: bytes both
ways, windows, signals, ends, keepalives. Replies keep their order, and a client that floods meanwhile harms itself alone.
"""
import contextlib
import os
import signal
import struct
import subprocess
import time

import pytest

from kit.broker import DATA_PATH, direct_only
from kit.proc import alive, cpu_seconds, rss, wait_for
from kit.raw import (CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_FAILURE, CHANNEL_OPEN, CHANNEL_REQUEST,
                     CHANNEL_SUCCESS, GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS, RawClient,
                     Reader, message)
from kit.service import Service, echo
from kit.target import PATIENCE
from test_bad_days import fake  # noqa: F401 (a fixture)
from test_forward import Master
from test_x11 import X11

pytestmark = [pytest.mark.quick, pytest.mark.data_path]

ROOM = 16 << 20
KEEPALIVE = message(GLOBAL_REQUEST, "keepalive@openssh.com", True)
UNKNOWN = message(GLOBAL_REQUEST, "nothing@example.org", True)
AGENT = "auth-agent-req@openssh.com"
FORWARD = message(GLOBAL_REQUEST, "tcpip-forward", True, "localhost", 0)


class Stalled:
    """
    A broker in whose containers nothing is listened at until it is let: the first process is stopped, what its programs
    have opened goes on. On the data path "engine" each listener is a program of its own, which the engine does not make.
    """

    def __init__(self, broker, fake, engine):  # noqa: F811
        self.broker = broker
        self.target = broker.target
        self.fake = fake
        self.engine = engine

    @contextlib.contextmanager
    def listeners(self, container=None):
        if DATA_PATH == "engine":
            self.fake.rules([{"method": "POST", "path": "/exec$", "action": "hold"}])
            try:
                yield
            finally:
                self.fake.rules([])
            return
        [container] = [container] if container else self.engine.containers()
        pid = self.engine.inspect(container)["State"]["Pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def asked(self, n=1):
        """The broker has been asked for so many listeners."""
        wait_for(lambda: len(self.broker.audit(event="listen")) >= n, 20 * PATIENCE, "a listener is asked for")


@pytest.fixture
def stalled(fresh_broker, fake, engine):  # noqa: F811
    fresh_broker.config["engine"].update(call_timeout="60s", start_timeout="60s")
    return Stalled(fresh_broker.start(), fake, engine)


class Client(RawClient):
    """Writes down what comes, in its order."""

    def __init__(self, stalled):
        super().__init__(stalled.target, login="forward")
        self.replies = []  # to global requests: their payloads
        self.answers = {}  # of each channel: to its requests
        self.output = {}
        self.said = {}     # of each channel: everything else
        self.theirs = {}   # the server's numbers of our channels

    def begin(self, ours):
        self.theirs[ours] = self.open(ours)
        self.answers[ours], self.output[ours], self.said[ours] = [], b"", []

    def ask(self, channel, name, *fields):
        return message(CHANNEL_REQUEST, self.theirs[channel], name, True, *fields)

    def to(self, kind, channel, *fields):
        return message(kind, self.theirs[channel], *fields)

    def hear(self, payload):
        kind, r = payload[0], Reader(payload)
        if kind in (REQUEST_SUCCESS, REQUEST_FAILURE):
            self.replies.append(payload)
        if kind < CHANNEL_DATA:
            return
        channel = r.u32()
        if kind in (CHANNEL_SUCCESS, CHANNEL_FAILURE):
            self.answers[channel].append(kind == CHANNEL_SUCCESS)
        elif kind == CHANNEL_DATA:
            self.output[channel] += r.string()
        elif kind == CHANNEL_REQUEST:
            self.said[channel].append((r.string(), r.data))
        else:
            self.said[channel].append({CHANNEL_EOF: "eof", CHANNEL_CLOSE: "close"}.get(kind))

    def until(self, condition):
        while not condition():
            self.hear(self.receive())

    def run(self, channel, command):
        """Until it has said that it runs."""
        self.begin(channel)
        self.send(self.ask(channel, "exec", f"echo up; {command}"))
        self.until(lambda: self.output[channel] == b"up\n")
        self.output[channel] = b""

    def says(self, channel, data):
        """What is sent comes back, from a program that has it do so."""
        self.send(self.to(CHANNEL_DATA, channel, data))
        self.until(lambda: self.output[channel] == data)
        self.output[channel] = b""


def port_of(reply):
    assert reply[0] == REQUEST_SUCCESS and len(reply) == 5, reply
    return struct.unpack(">I", reply[1:])[0]


def test_a_shell_goes_on(stalled, control):
    """As people meet it: one more -R on a master connection, while a shell of it is in use."""
    with Service(echo) as s, Master(stalled.target, control) as m:
        shell = stalled.target.popen("-tt", "stty -echo; echo up; while read x; do echo $x; done",
                                     user="forward", options=m.options)
        m.close.append(shell.kill)
        assert shell.stdout.readline().strip() == b"up"
        with stalled.listeners():
            asks = subprocess.Popen(["ssh", *stalled.target.options(), *m.options, "-O", "forward", "-R",
                                     f"0:127.0.0.1:{s.port}", "forward@127.0.0.1"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            m.close.append(asks.kill)
            stalled.asked()
            for word in (b"one", b"two", b"three"):
                shell.stdin.write(word + b"\n")
                shell.stdin.flush()
                assert shell.stdout.readline().strip() == word
            assert asks.poll() is None, "it waits"
        out, err = asks.communicate(timeout=30 * PATIENCE)
        assert asks.returncode == 0, err
        assert m.ssh(f"exec busybox nc 127.0.0.1 {int(out)}", stdin=b"hello\n", seconds=60).stdout == b"hello\n"


def test_replies_in_the_order_of_the_requests(stalled):
    """Those that libssh gives by itself among them; and new keys are agreed on meanwhile."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        with stalled.listeners():
            c.send(UNKNOWN, FORWARD, KEEPALIVE, UNKNOWN, FORWARD, KEEPALIVE,
                   message(GLOBAL_REQUEST, "cancel-tcpip-forward", True, "localhost", 1), KEEPALIVE,
                   message(GLOBAL_REQUEST, "tcpip-forward", True), KEEPALIVE,  # breaks off
                   message(GLOBAL_REQUEST, "x", True), message(GLOBAL_REQUEST, "", True),
                   message(GLOBAL_REQUEST, "nothing@example.org", False),
                   message(GLOBAL_REQUEST, "tcpip-forward", False, "localhost", 0), KEEPALIVE,
                   message(GLOBAL_REQUEST, "no-more-sessions@openssh.com", True), UNKNOWN)
            stalled.asked()
            c.says(0, b"bytes")
            c.exchange()
            c.says(0, b"Q" * 3)  # its number is that of a reply
            c.says(0, b"Q")
            c.says(0, b"R")
            assert [r[0] for r in c.replies] == [REQUEST_FAILURE]
            assert len(stalled.broker.audit(event="listen")) == 1, "one at a time"
        c.until(lambda: len(c.replies) == 15)
        kinds = "".join("+" if r[0] == REQUEST_SUCCESS else "-" for r in c.replies)
        assert kinds == "-" + "++-" "++" "-+" "-+" "--" "+" "+-"
        ports = [port_of(c.replies[i]) for i in (1, 4)]
        assert len(set(ports)) == 2
        assert all(len(r) == 1 for i, r in enumerate(c.replies) if i not in (1, 4))
        c.send(message(GLOBAL_REQUEST, "cancel-tcpip-forward", True, "localhost", ports[0]))
        c.until(lambda: len(c.replies) == 16)
        assert c.replies[15] == bytes([REQUEST_SUCCESS])


def test_cancelled_before_it_listens(stalled):
    """That comes behind it, and finds it."""
    port = 12345
    with Client(stalled) as c:
        c.run(0, "exec cat")
        with stalled.listeners():
            c.send(message(GLOBAL_REQUEST, "tcpip-forward", True, "localhost", port),
                   message(GLOBAL_REQUEST, "cancel-tcpip-forward", True, "localhost", port), UNKNOWN,
                   message(GLOBAL_REQUEST, "tcpip-forward", True, "localhost", port))
            stalled.asked()
            c.says(0, b"bytes")
            assert not c.replies
        c.until(lambda: len(c.replies) == 4)
        assert [r[0] for r in c.replies] == [REQUEST_SUCCESS, REQUEST_SUCCESS, REQUEST_FAILURE, REQUEST_SUCCESS]


def test_a_display_that_is_waited_for(stalled):
    """What its channel asks for waits behind it, and so do other programs that start. What is open goes on."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        c.begin(1)
        with stalled.listeners():
            c.send(c.ask(1, "env", "LC_ONE", "1"), c.ask(1, "x11-req", False, *X11), c.ask(1, "env", "LC_TWO", "2"),
                   c.ask(1, "nothing@example.org"), c.ask(1, "exec", 'echo "$DISPLAY $LC_ONE $LC_TWO"'))
            stalled.asked()
            c.says(0, b"bytes")
            c.begin(2)
            c.send(c.ask(2, "env", "LC_TWO", "3"), c.ask(2, "exec", 'echo "[$DISPLAY] $LC_TWO"'), KEEPALIVE)
            c.until(lambda: c.replies)
            c.says(0, b"bytes")
            assert c.answers == {0: [True], 1: [True], 2: [True]}
        c.until(lambda: "close" in c.said[1] and "close" in c.said[2])
        assert c.answers == {0: [True], 1: [True, True, True, False, True], 2: [True, True]}
        assert c.output[1] == b"localhost:10.0 1 2\n" and c.output[2] == b"[] 3\n"
        c.says(0, b"bytes")


def test_channels_that_end_meanwhile(stalled):
    """One that is done with is closed and gone, and its number is another's; one that has asked for something waits."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        c.run(1, "exec cat")
        c.run(2, "exec >&- 2>&-; sleep 1000")
        c.begin(3)
        with stalled.listeners():
            c.send(c.ask(3, "x11-req", False, *X11), c.ask(3, "exec", "exec cat"), c.to(CHANNEL_CLOSE, 3))
            stalled.asked()
            c.send(c.to(CHANNEL_EOF, 1), c.to(CHANNEL_CLOSE, 1))
            c.until(lambda: "close" in c.said[1])
            c.until(lambda: "eof" in c.said[2])
            c.says(0, b"bytes")
            c.begin(1)
            c.begin(4)
            c.send(c.to(CHANNEL_CLOSE, 4))
            c.until(lambda: "close" in c.said[4])
            assert c.answers[3] == [] and c.said[3] == []
        c.until(lambda: "close" in c.said[3])
        assert c.answers[3][0] is True
        c.send(c.ask(1, "exec", "echo $((6 * 7))"))
        c.until(lambda: "close" in c.said[1])
        assert c.output[1] == b"42\n"


@pytest.mark.skipif(DATA_PATH != "engine", reason="that a program has ended is told by what is stopped here")
def test_a_program_ends_meanwhile(stalled):
    with Client(stalled) as c:
        c.run(0, "read x; echo $x; exit 3")
        with stalled.listeners():
            c.send(FORWARD)
            stalled.asked()
            c.send(c.to(CHANNEL_DATA, 0, b"bytes\n"))
            c.until(lambda: "close" in c.said[0])
            assert c.output[0] == b"bytes\n" and (b"exit-status", b"\0" + struct.pack(">I", 3)) in c.said[0]
            assert not c.replies
        c.until(lambda: c.replies)
        assert port_of(c.replies[0])


def test_the_size_of_a_terminal(stalled):
    """Set before the bytes that come behind it, as at any time."""
    with Client(stalled) as c:
        c.begin(0)
        c.send(c.ask(0, "pty-req", "xterm", 80, 24, 0, 0, b""),
               c.ask(0, "exec", "stty -echo; echo up; while read x; do stty size; done"))
        c.until(lambda: c.output[0] == b"up\r\n")
        with stalled.listeners():
            c.send(FORWARD)
            stalled.asked()
            for columns in (90, 91, 92):
                c.output[0] = b""
                c.send(message(CHANNEL_REQUEST, c.theirs[0], "window-change", False, columns, 30, 0, 0),
                       c.to(CHANNEL_DATA, 0, b"\n"))
                c.until(lambda columns=columns: c.output[0] == b"30 %d\r\n" % columns)
            assert not c.replies
        c.until(lambda: c.replies)


def test_a_client_that_asks_whether_we_are_there(fresh_broker, fake):  # noqa: F811
    """Its patience is shorter than the engine's, and it is told something while nothing can be replied."""
    b = fresh_broker.start()
    fake.rules([{"method": "POST", "path": "/containers/[^/]+/start$", "action": "delay", "seconds": 5}])
    r = b.target.ssh("echo in", user="forward", options=[
        "-R", "0:127.0.0.1:1", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"])
    assert (r.returncode, r.stdout) == (0, b"in\n"), r.stderr
    assert b"Allocated port" in r.stderr


@direct_only("it is the engine that does not answer here")
def test_the_container_does_not_answer(stalled):
    """Refused after a while, with what waited behind it."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        with stalled.listeners():
            c.send(FORWARD, KEEPALIVE, UNKNOWN)
            stalled.asked()
            times = 0
            while not c.replies:
                c.says(0, b"bytes")
                times += 1
                time.sleep(0.1)
            assert times > 10
            c.until(lambda: len(c.replies) == 3)
        assert [r[0] for r in c.replies] == [REQUEST_FAILURE, REQUEST_SUCCESS, REQUEST_FAILURE]
        c.says(0, b"bytes")


@direct_only("it is the engine that does not answer here")
def test_an_agent_that_comes_late(stalled):
    """The session that has asked for it goes without, as when sshd cannot make its socket; the next one's is tried anew."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        c.begin(1)
        with stalled.listeners():
            c.send(c.ask(1, AGENT), c.ask(1, "exec", 'echo "[$SSH_AUTH_SOCK]"'))
            stalled.asked()
            wait_for(lambda: "no forward: The container does not answer." in stalled.broker.log(), 20 * PATIENCE,
                     "it is not waited for any more")
        c.until(lambda: "close" in c.said[1])
        assert c.output[1] == b"[]\n"
        c.begin(2)
        c.send(c.ask(2, AGENT), c.ask(2, "exec", 'test -S "$SSH_AUTH_SOCK" && echo there'))
        c.until(lambda: "close" in c.said[2])
        assert c.output[2] == b"there\n"


# ----- hostile -----

def test_more_than_can_wait(stalled):
    """It is not read on, until there is room again: then nothing is lost, and nothing has changed its place."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        c.begin(1)
        with stalled.listeners():
            c.send(c.ask(1, "x11-req", False, *X11), *[c.ask(1, "nothing@example.org")] * 200,
                   *[FORWARD, KEEPALIVE, UNKNOWN, KEEPALIVE] * 100, *[KEEPALIVE] * 600, UNKNOWN,
                   c.to(CHANNEL_DATA, 0, b"bytes"))
            stalled.asked()
            time.sleep(1)
            assert not c.answers[1] and not c.replies
        c.until(lambda: len(c.replies) == 1001 and c.output[0])
        assert c.output[0] == b"bytes" and c.answers[1] == [True] + [False] * 200
        forwards = c.replies[0:400:4]
        assert [len(r) for r in forwards] == [5] * 47 + [1] * 53, "there may be 48, one of them the display's"
        kinds = "".join("+" if r[0] == REQUEST_SUCCESS else "-" for r in c.replies)
        assert kinds == "++-+" * 47 + "-+-+" * 53 + "+" * 600 + "-"


def test_a_client_that_leaves_meanwhile(stalled):
    """In the middle of all that could be said to it later."""
    with Client(stalled) as c:
        c.run(0, "exec cat")
        c.begin(1)
        worker = stalled.broker.worker_of(c.sock)
        with stalled.listeners():
            c.send(FORWARD, KEEPALIVE, FORWARD, c.ask(1, "x11-req", False, *X11), c.ask(1, "exec", "exec cat"), UNKNOWN)
            stalled.asked()
            c.says(0, b"bytes")
            c.sock.close()
            wait_for(lambda: not alive(worker), 20 * PATIENCE, "its worker is gone")
    wait_for(lambda: not stalled.engine.containers(), 40 * PATIENCE, "nothing is left")
    assert "SIG" not in stalled.broker.log()


FLOODS = {
    "keepalives": KEEPALIVE,
    "unknown": UNKNOWN,
    "forwards": FORWARD,
    "cancellations": message(GLOBAL_REQUEST, "cancel-tcpip-forward", True, "localhost", 1),
    "sessions": message(CHANNEL_OPEN, "session", 9, 1 << 20, 32768),
    "connections": message(CHANNEL_OPEN, "direct-tcpip", 9, 1 << 20, 32768, "localhost", 1, "localhost", 1),
    "environment": None,
    "displays": None,
}


@pytest.mark.memory
@pytest.mark.parametrize("name", FLOODS)
def test_flood_meanwhile(stalled, name):
    """Whatever is sent without end: it costs little memory and nobody else, and it ends with what is waited for."""
    neighbour = Client(stalled)
    neighbour.run(0, "exec cat")
    [theirs] = stalled.engine.containers()
    with neighbour, Client(stalled) as c:
        c.run(0, "exec cat")
        c.begin(1)
        worker = stalled.broker.worker_of(c.sock)
        payload = FLOODS[name] or (c.ask(1, "env", "LC_ONE", "x" * 30000) if name == "environment"
                                   else c.ask(1, "x11-req", False, *X11))
        before = rss(worker)
        [ours] = [one for one in stalled.engine.containers() if one != theirs]
        with stalled.listeners(ours):
            c.send(c.ask(1, "x11-req", False, *X11), FORWARD)
            stalled.asked()
            gone = c.flood(payload, 20000)
            assert gone or rss(worker) - before < ROOM
            neighbour.says(0, b"bytes")
            time.sleep(0.5)
            used = 0 if gone else cpu_seconds(worker)
            time.sleep(1)
            assert gone or cpu_seconds(worker) - used < 0.2, "it does not turn in circles over what it holds back"
    wait_for(lambda: not alive(worker), 40 * PATIENCE, "its worker is gone")
    assert stalled.target.ssh("echo fine").stdout == b"fine\n"
    assert "SIG" not in stalled.broker.log()
