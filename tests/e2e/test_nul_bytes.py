# SPDX-License-Identifier: Apache-2.0
"""
A text of the client may hold a NUL, a C string may not. What is left of such a text is not what the client
asked for: sshd ends the connection, and so do we, before anything of it is judged or run.
"""
import pytest

from kit.proc import wait_for
from kit.raw import (CHANNEL_DATA, CHANNEL_OPEN, CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_CLOSE,
                     CHANNEL_EOF, GLOBAL_REQUEST, OPEN_CONFIRMATION, SERVICE_REQUEST, USERAUTH_REQUEST,
                     RawClient, Reader, message)
from kit.target import PATIENCE

# Of a channel, but for the last.
REQUESTS = {
    "command": ("exec", True, b"touch /tmp/ran\0; true"),
    "command that begins with it": ("exec", True, b"\0touch /tmp/ran"),
    "subsystem": ("subsystem", True, b"sftp\0x"),
    "name of env": ("env", True, b"LC_A\0B", b"v"),
    "value of env": ("env", True, b"LC_A", b"v\0w"),
    "terminal": ("pty-req", True, b"xterm\0x", 80, 24, 0, 0, b""),
    "address to listen at": ("tcpip-forward", True, b"local\0host", 8080),
}


def session(raw):
    """Open one; the server's number of it."""
    raw.send(message(CHANNEL_OPEN, "session", 0, 1 << 20, 1 << 15))
    r = Reader(raw.expect(OPEN_CONFIRMATION))
    r.u32()
    return r.u32()


def request(channel, kind, *fields):
    if kind == "tcpip-forward":
        return message(GLOBAL_REQUEST, kind, *fields)
    return message(CHANNEL_REQUEST, channel, kind, *fields)


def output(raw):
    """What channel 0 says until it is closed."""
    out = b""
    while True:
        p = raw.expect(CHANNEL_DATA, CHANNEL_CLOSE, passing=[CHANNEL_SUCCESS, CHANNEL_EOF, CHANNEL_REQUEST])
        if p[0] == CHANNEL_CLOSE:
            return out
        r = Reader(p)
        r.u32()
        out += r.string()


def first_output(raw):
    r = Reader(raw.expect(CHANNEL_DATA, passing=[CHANNEL_SUCCESS]))
    r.u32()
    return r.string()


@pytest.mark.quick
@pytest.mark.parametrize("what", REQUESTS)
def test_request(target, what):
    with RawClient(target, login=target.login("files")) as raw:
        raw.send(request(session(raw), *REQUESTS[what]))
        assert raw.is_closed()


def test_destination(sallyport):
    """sshd refuses the channel; it is one of ours too whose text was not what the client meant."""
    with RawClient(sallyport, login="forward") as raw:
        raw.send(message(CHANNEL_OPEN, "direct-tcpip", 0, 1 << 20, 1 << 15, b"local\0host", 22, b"::1", 9))
        assert raw.is_closed()


@pytest.mark.parametrize("payload", [
    message(SERVICE_REQUEST, b"ssh-userauth\0x"),
    message(USERAUTH_REQUEST, b"dev\0x", "ssh-connection", "none"),
], ids=["service", "user"])
def test_before_the_login(target, payload):
    with RawClient(target) as raw:
        raw.exchange()
        if payload[0] == USERAUTH_REQUEST:
            raw.service()
        raw.send(payload)
        assert raw.is_closed()


def test_the_log_says_why(broker):
    since = broker.log_size()
    with RawClient(broker.target, login="dev") as raw:
        raw.send(request(session(raw), *REQUESTS["command"]))
        assert raw.last_words() == b"a text with a NUL inside"
    wait_for(lambda: "the client broke the protocol: a text with a NUL inside" in broker.log(since),
             10 * PATIENCE, "the log says why")


def test_at_the_end_of_a_command(target):
    """There it may be the client's own end of the text, and nothing is lost with it."""
    with RawClient(target, login=target.login("dev")) as raw:
        raw.send(request(session(raw), "exec", True, b"echo whole\0"))
        assert output(raw) == b"whole\n"


def test_memory_of_an_earlier_text(sallyport):
    """A refused name of a variable leaves no mark on the clean texts that come to lie in its memory."""
    with RawClient(sallyport, login="dev") as raw:
        channel = session(raw)
        for n in range(300):
            raw.send(request(channel, "no-such@example.org", False, bytes(40)),
                     request(channel, "env", False, b"LC_%d" % n, b"v" * (n % 50)))
        raw.send(request(channel, "exec", True, b"echo whole"))
        assert output(raw) == b"whole\n"


def test_signal(target):
    """One that is cut to the name of a signal is none."""
    with RawClient(target, login=target.login("dev")) as raw:
        channel = session(raw)
        raw.send(request(channel, "exec", True, b"trap 'echo struck' TERM; echo up; read x; echo $x"))
        assert first_output(raw) == b"up\n"
        raw.send(request(channel, "signal", False, b"TERM\0x"), message(CHANNEL_DATA, channel, b"calm\n"))
        assert output(raw) == b"calm\n"
