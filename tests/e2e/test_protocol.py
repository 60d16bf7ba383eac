# SPDX-License-Identifier: Apache-2.0
"""
Details of RFC 4254 that no stock client shows: one scripted client says the same to sshd and to us, and what
comes back is compared, message by message.
"""
import socket
import uuid

import pytest

from kit.raw import (CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_FAILURE, CHANNEL_OPEN, CHANNEL_REQUEST,
                     CHANNEL_SUCCESS, EXTENDED_DATA, GLOBAL_REQUEST, IGNORE, OPEN_CONFIRMATION, OPEN_FAILURE,
                     REQUEST_FAILURE, REQUEST_SUCCESS, WINDOW_ADJUST, RawClient, Reader, message, string)

pytestmark = pytest.mark.data_path

ANSWERS = {CHANNEL_SUCCESS: "success", CHANNEL_FAILURE: "failure", REQUEST_SUCCESS: "global success",
           REQUEST_FAILURE: "global failure"}
WINDOW = 1 << 20


class Conversation(RawClient):
    """A client that writes down all that the server says of its channels, which it numbers itself."""

    def __init__(self, target, login=None):
        super().__init__(target, login=target.login(login) if login else target.user)
        self.theirs = {}    # the server's numbers of our channels
        self.answers = []   # to requests, in the order in which they came
        self.output = {}    # of each channel: what its program wrote
        self.said = {}      # of each channel: everything else, in its order
        self.refused = {}   # of each channel that was: the reason, its text, the text's language

    def begin(self, *channels, window=WINDOW):
        self.send(*(message(CHANNEL_OPEN, "session", c, window, 32768) for c in channels))
        self.until(lambda: all(c in self.theirs for c in channels))

    def ask(self, channel, name, want_reply, *fields):
        return message(CHANNEL_REQUEST, self.theirs[channel], name, want_reply, *fields)

    def to(self, kind, channel, *fields):
        return message(kind, self.theirs[channel], *fields)

    def hear(self, payload):
        kind, r = payload[0], Reader(payload)
        if kind in (REQUEST_SUCCESS, REQUEST_FAILURE):
            self.answers.append(ANSWERS[kind])
            return
        if kind not in range(CHANNEL_OPEN, CHANNEL_FAILURE + 1) or kind == WINDOW_ADJUST:
            return
        channel = r.u32()
        said = self.said.setdefault(channel, [])
        if kind == OPEN_CONFIRMATION:
            self.theirs[channel] = r.u32()
        elif kind == OPEN_FAILURE:
            self.refused[channel] = r.u32(), r.string(), r.string()
        elif kind in ANSWERS:
            self.answers.append((ANSWERS[kind], channel))
        elif kind in (CHANNEL_DATA, EXTENDED_DATA):
            if kind == EXTENDED_DATA:
                assert r.u32() == 1
            self.output[channel] = self.output.get(channel, b"") + r.string()
        elif kind == CHANNEL_REQUEST:
            said.append((r.string(), r.data))
        else:
            said.append({CHANNEL_EOF: "eof", CHANNEL_CLOSE: "close"}[kind])

    def until(self, condition):
        while not condition():
            self.hear(self.receive())

    def closed(self, *channels):
        return lambda: all("close" in self.said.get(c, []) for c in channels)

    def finish(self, *channels):
        """
        Until these are closed. Whether a program's end or the end of its output is said first is chance, with
        sshd too; that the close is last is not.
        """
        self.until(self.closed(*channels))
        for c in channels:
            assert self.said[c][-1] == "close"
            self.said[c].sort(key=str)

    def account(self):
        return self.answers, self.output, self.said, self.refused


def replies_of_two_channels(c):
    """Everything in one write: the answers come in the order of the requests, whatever takes how long."""
    c.begin(0, 1)
    c.send(c.ask(0, "env", True, "LC_ONE", "1"), c.ask(1, "env", True, "LC_TWO", "2"),
           c.ask(1, "nothing@example.org", True), c.ask(0, "exec", True, "cat; exit 3"),
           c.ask(0, "nothing@example.org", False), c.ask(1, "exec", True, "echo $LC_ONE $LC_TWO"),
           c.ask(0, "exec", True, "echo again"), c.to(CHANNEL_DATA, 0, b"bytes"), c.to(CHANNEL_EOF, 0))
    c.finish(0, 1)


def nobody_asked_for_a_reply(c):
    c.begin(0)
    c.send(c.ask(0, "env", False, "LC_ONE", "1"), c.ask(0, "exec", False, "echo $LC_ONE; exit 9"))
    c.finish(0)


def program_after_what_failed(c):
    """What was refused leaves the channel as it was."""
    c.begin(0)
    c.send(c.ask(0, "subsystem", True, "nothing"), c.ask(0, "exec", True, "echo here"))
    c.finish(0)


def requests_of_a_running_program(c):
    """Only once on a channel: RFC 4254 section 6.5."""
    c.begin(0)
    c.send(c.ask(0, "exec", True, "cat"), c.ask(0, "shell", True), c.ask(0, "exec", True, "echo no"),
           c.ask(0, "subsystem", True, "sftp"), c.ask(0, "env", True, "LC_ONE", "1"),
           c.ask(0, "pty-req", True, "xterm", 80, 24, 0, 0, b""), c.to(CHANNEL_EOF, 0))
    c.finish(0)


def signal_of_a_program(c, name):
    c.begin(0)
    c.send(c.ask(0, "exec", True, f"ulimit -c 0; kill -{name} $$"))
    c.finish(0)


def signal_while_output_is_blocked(c):
    """No window any more: the signal gets through, and so does the news of what it did."""
    c.begin(0, window=1)
    c.send(c.ask(0, "exec", True, "exec cat /dev/zero"))
    c.until(lambda: c.output)
    c.send(c.ask(0, "signal", False, "TERM"))
    c.until(lambda: any(s[0] == b"exit-signal" for s in c.said[0]))
    c.send(c.to(CHANNEL_CLOSE, 0))
    c.until(c.closed(0))
    c.said[0] = [s for s in c.said[0] if s != "eof"]  # sshd has not come to its end, or has


def close_of_a_running_program(c):
    """It reads the end of its input, and its end is heard of no more."""
    c.begin(0)
    c.send(c.ask(0, "exec", True, "exec cat"))
    c.until(lambda: c.answers)
    c.send(c.to(CHANNEL_CLOSE, 0))
    c.until(c.closed(0))
    c.said[0] = [s for s in c.said[0] if s == "close"]


def close_after_both_ends_of_streams(c):
    """What OpenSSH's master does: all has been said, but how the program ends, which is still to be heard."""
    c.begin(0)
    c.send(c.ask(0, "exec", True, "exec >/dev/null 2>&1; n=$(wc -c); sleep 1; exit $n"),
           c.to(CHANNEL_DATA, 0, b"seven.."))
    c.until(lambda: "eof" in c.said.get(0, []))
    c.send(c.to(CHANNEL_DATA, 0, b"ten bytes."), c.to(CHANNEL_EOF, 0), c.to(CHANNEL_CLOSE, 0))
    c.finish(0)
    assert (b"exit-status", b"\0" + (17).to_bytes(4, "big")) in c.said[0]


def close_right_behind_the_data(c):
    """In one write, and more than what is read at once: what was sent before the close, a pipe of it, gets through."""
    there = f"/tmp/behind-{uuid.uuid4()}"
    c.begin(0, 1)
    c.send(c.ask(0, "exec", True, f"trap '' HUP TERM; read x; echo runs; wc -c >{there}.new; mv {there}.new {there}"))
    # Once something has been taken, the window is as large as what follows.
    c.send(c.to(CHANNEL_DATA, 0, b"\n"))
    c.until(lambda: c.output)
    c.send(*(c.to(CHANNEL_DATA, 0, bytes(20000)) for _ in range(3)), c.to(CHANNEL_CLOSE, 0),
           c.ask(1, "exec", True, f"until [ -e {there} ]; do sleep 0.1; done; cat {there}; rm {there}"),
           message(IGNORE, bytes(30000)), message(IGNORE, bytes(30000)))
    c.finish(1)
    assert c.output[1].split() == [b"60000"]
    c.until(c.closed(0))
    c.said[0] = [s for s in c.said[0] if s == "close"]


def window_change_without_terminal(c):
    c.begin(0)
    c.send(c.ask(0, "window-change", True, 80, 24, 0, 0), c.ask(0, "exec", True, "echo on"),
           c.ask(0, "window-change", True, 80, 24, 0, 0))
    c.finish(0)


def window_change_before_shell(c):
    c.begin(0)
    c.send(c.ask(0, "pty-req", True, "xterm", 80, 24, 0, 0, b""),
           c.ask(0, "window-change", True, 101, 37, 0, 0), c.ask(0, "exec", True, "stty size"))
    c.finish(0)


def global_requests(c):
    """One that nobody knows, and the end of a listener that there is not."""
    c.send(message(GLOBAL_REQUEST, "nothing@example.org", False),
           message(GLOBAL_REQUEST, "nothing@example.org", True),
           message(GLOBAL_REQUEST, "cancel-tcpip-forward", True, "localhost", 8080))
    c.until(lambda: len(c.answers) == 2)


def end_before_the_program(c):
    """A client that opens a channel, asks for nothing, and closes it. An EOF before our CLOSE is allowed."""
    c.begin(0)
    c.send(c.to(CHANNEL_EOF, 0), c.to(CHANNEL_CLOSE, 0))
    c.until(c.closed(0))
    c.said[0] = [s for s in c.said[0] if s != "eof"]


def number_is_free_again(c):
    c.begin(0)
    c.send(c.ask(0, "exec", True, "echo one"))
    c.finish(0)
    c.send(c.to(CHANNEL_CLOSE, 0))
    c.said.clear()
    c.theirs.clear()
    c.begin(0)
    c.send(c.ask(0, "exec", True, "echo two"))
    c.finish(0)


SCRIPTS = [replies_of_two_channels, nobody_asked_for_a_reply,
           program_after_what_failed, requests_of_a_running_program, signal_while_output_is_blocked,
           close_of_a_running_program, close_after_both_ends_of_streams, close_right_behind_the_data,
           window_change_without_terminal, window_change_before_shell, global_requests, end_before_the_program, number_is_free_again]


def accounts(both, script, *args):
    result = []
    for target in both:
        with Conversation(target) as c:
            try:
                script(c, *args)
            except socket.timeout:
                pytest.fail(f"{target.name} has no more to say than {c.account()}")
            result.append(c.account())
    return result


@pytest.mark.quick
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.__name__)
def test_conversation(both, script):
    theirs, ours = accounts(both, script)
    assert ours == theirs


ADMINISTRATIVELY_PROHIBITED, CONNECT_FAILED, RESOURCE_SHORTAGE = 1, 2, 4

# What is opened, and sshd's reason.
REFUSED = [("nothing@example.org", (), CONNECT_FAILED), ("x11", ("192.0.2.1", 5), CONNECT_FAILED),
           ("forwarded-tcpip", ("localhost", 1, "192.0.2.1", 2), CONNECT_FAILED),
           ("auth-agent@openssh.com", (), CONNECT_FAILED),
           ("direct-streamlocal@openssh.com", ("/tmp/socket", "", 0), CONNECT_FAILED),
           ("tun@openssh.com", (1, 0), CONNECT_FAILED),
           ("direct-tcpip", ("127.0.0.1", 1, "192.0.2.1", 2), ADMINISTRATIVELY_PROHIBITED)]


def refusals(c, channels, first=100):
    """What a client hears that opens all of these, numbered from the first on: each is refused, in its turn."""
    numbers = range(first, first + len(channels))
    c.send(*(message(CHANNEL_OPEN, kind, n, WINDOW, 32768, *fields)
             for n, (kind, fields) in zip(numbers, channels)))
    c.until(lambda: all(n in c.refused for n in numbers))
    return [c.refused[n] for n in numbers]


def test_reasons_of_refused_channels(both):
    """The same reason and the same words, for the eleventh session as well, and the others go on."""
    def talk(c):
        c.begin(0)
        refusals(c, [(kind, fields) for kind, fields, _ in REFUSED])
        c.begin(*range(1, 10))
        refusals(c, [("session", ())], 99)
        c.send(c.ask(9, "exec", True, "echo goes on"))
        c.finish(9)
        assert c.output == {9: b"goes on\n"}

    theirs, ours = accounts(both, talk)
    assert ours == theirs
    assert [code for code, *_ in theirs[-1].values()] == [*(why for *_, why in REFUSED), CONNECT_FAILED]


def to(host, port):
    return "direct-tcpip", (host, port, "192.0.2.1", 2)


def test_reasons_of_failed_connections(oracle, sallyport):
    """Who listens there, and whether anybody may know, is told by the same numbers and words."""
    nobody = [to("127.0.0.1", 1), to("::1", 1), to("localhost", 1)]
    answers = []
    for target in (oracle.forwarding, sallyport):
        with Conversation(target, "forward") as c:
            answers.append(refusals(c, nobody))
    assert answers == [[(CONNECT_FAILED, b"Connection refused", b"")] * 3] * 2


def test_reasons_that_sshd_does_not_have(sallyport):
    """No way there, a destination that is not in the policy's list, more than a profile's number of channels."""
    with Conversation(sallyport, "narrow") as c:
        assert refusals(c, [to("192.0.2.1", 7), to("127.0.0.1", 22), to("example.org", 22)]) == [
            (CONNECT_FAILED, b"Network is unreachable", b""),
            *[(ADMINISTRATIVELY_PROHIBITED, b"open failed", b"")] * 2]
        c.begin(0, 1, 2)
        assert refusals(c, [to("127.0.0.1", 8080), ("session", ())], 200) == [
            (RESOURCE_SHORTAGE, b"open failed", b""), (CONNECT_FAILED, b"open failed", b"")]


NO_MORE = "no-more-sessions@openssh.com"


def test_no_more_sessions(both):
    """All of it is in one write: what was opened before it was said is a session, what comes after ends the connection."""
    for target in both:
        with Conversation(target) as c:
            c.send(*(message(CHANNEL_OPEN, "session", n, WINDOW, 32768) for n in range(3)),
                   message(GLOBAL_REQUEST, NO_MORE, False), message(GLOBAL_REQUEST, NO_MORE, True),
                   message(CHANNEL_OPEN, "nothing@example.org", 3, WINDOW, 32768),
                   message(GLOBAL_REQUEST, "nothing@example.org", True))
            c.until(lambda c=c: len(c.answers) == 2 and c.refused)
            assert c.answers == ["global success", "global failure"] and len(c.theirs) == 3, target.name
            c.send(*(c.ask(n, "exec", True, f"echo {n}") for n in range(3)))
            c.finish(0, 1, 2)
            assert c.output == {n: b"%d\n" % n for n in range(3)}
            c.send(message(CHANNEL_OPEN, "session", 4, WINDOW, 32768))
            # libssh from 0.11 on hangs up without a word
            assert b"session" in (c.last_words() or b"session") and c.is_closed(), target.name


def test_what_only_looks_like_no_more_sessions(both):
    """The name in another place; a client may say anything there."""
    for target in both:
        with Conversation(target) as c:
            c.begin(0)
            c.send(c.ask(0, "env", True, NO_MORE, NO_MORE), c.ask(0, NO_MORE, True),
                   message(GLOBAL_REQUEST, NO_MORE + "x", True), message(GLOBAL_REQUEST, NO_MORE[:-1], True),
                   message(CHANNEL_OPEN, NO_MORE, 3, WINDOW, 32768),
                   message(CHANNEL_REQUEST, c.theirs[0], "exec", (b"\x50",), NO_MORE))
            c.until(c.closed(0))
            assert len(c.answers) == 5
            c.begin(1)


@pytest.mark.parametrize("name", ["TERM", "KILL", "BUS", "SEGV", "XCPU"])
def test_exit_signal(both, name):
    """Every field of it: the name, that there is no core, no text."""
    theirs, ours = accounts(both, signal_of_a_program, name)
    assert ours == theirs


@pytest.mark.quick
@pytest.mark.parametrize("name", [b"KILL", b"KILL\0"], ids=["name", "with-the-clients-own-end"])
def test_signal_before_the_program_runs(sallyport, name):
    """
    As soon as the request was granted: however long a container takes, the signal is for its program. (sshd's own
    child may not be a leader of a process group yet, and the signal is lost.) A NUL at the end of the name is
    passed over, as by sshd.
    """
    with Conversation(sallyport) as c:
        c.begin(0)
        c.send(c.ask(0, "exec", True, "exec sleep 1000"))
        c.until(lambda: c.answers)
        c.send(c.ask(0, "signal", False, name))
        c.finish(0)
        assert (b"exit-signal", b"\0" + string("KILL") + b"\0" + string("") + string("")) in c.said[0]


def test_signal_that_no_program_was_asked_for(sallyport):
    with Conversation(sallyport) as c:
        c.begin(0)
        c.send(c.ask(0, "signal", False, "KILL"))
        assert not c.ask_globally("nothing@example.org")
        c.send(c.ask(0, "exec", True, "echo lives"))
        c.finish(0)
        assert c.output == {0: b"lives\n"}


SFTP_INIT, SFTP_REALPATH = (string(b"\1" + (3).to_bytes(4, "big")),
                            string(b"\x10" + (7).to_bytes(4, "big") + string(".")))
SFTP_VERSION, SFTP_NAME = 2, 104


@pytest.mark.quick
def test_signals_do_not_reach_a_subsystem(both):
    """While it is being started and later: it goes on to its own end."""
    for target in both:
        with Conversation(target, "files") as c:
            def answered(kind, c=c):
                return c.closed(0)() or c.output.get(0, b"\0" * 5)[4] == kind
            c.begin(0)
            c.send(c.ask(0, "subsystem", True, "sftp"))
            c.until(lambda: c.answers)
            for name in ("HUP", "TERM", "KILL"):
                c.send(c.ask(0, "signal", False, name))
            c.send(c.to(CHANNEL_DATA, 0, SFTP_INIT))
            c.until(lambda: answered(SFTP_VERSION))
            c.output.clear()
            c.send(c.ask(0, "signal", False, "KILL"), c.to(CHANNEL_DATA, 0, SFTP_REALPATH))
            c.until(lambda: answered(SFTP_NAME))
            c.send(c.to(CHANNEL_EOF, 0))
            c.finish(0)
            assert (b"exit-status", b"\0" + bytes(4)) in c.said[0], target.name


PLAIN = "head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2"
TERMINAL = "stty -opost; head -c 120000 /dev/zero"


@pytest.mark.quick
@pytest.mark.parametrize("terminal", [False, True], ids=["plain", "terminal"])
def test_an_exit_comes_after_the_output(sallyport, terminal):
    """
    OpenSSH's client that hears of an exit and then loses its connection ends with the program's code: nobody would
    see that something is missing. (sshd leaves it to chance.)
    """
    ten = range(10)

    def exited(channel):
        return any(s[0] == b"exit-status" for s in c.said[channel])

    with Conversation(sallyport) as c:
        for _ in range(5):
            c.begin(*ten)
            if terminal:
                c.send(*(c.ask(n, "pty-req", True, "xterm", 80, 24, 0, 0, b"") for n in ten))
            c.send(*(c.ask(n, "exec", True, TERMINAL if terminal else PLAIN) for n in ten))
            waiting = set(ten)
            while waiting:
                c.hear(c.receive())
                for n in filter(exited, set(waiting)):
                    assert len(c.output.get(n, b"")) == 120000
                    waiting.remove(n)
            c.until(c.closed(*ten))
            c.send(*(c.to(CHANNEL_CLOSE, n) for n in ten))
            for n in ten:
                del c.output[n], c.said[n], c.theirs[n]


@pytest.mark.quick
def test_as_many_as_there_may_be_and_again(sallyport):
    """
    Ten at a time. What both sides have closed does not count, however close the next ones follow. (sshd still
    counts it until it has read all that had come.)
    """
    ten = range(10)
    with Conversation(sallyport) as c:
        c.begin(*ten)
        for word in ("one", "two"):
            c.send(*(c.ask(n, "exec", True, f"echo {word}") for n in ten))
            c.finish(*ten)
            closes = [c.to(CHANNEL_CLOSE, n) for n in ten]
            c.theirs.clear()
            c.said.clear()
            c.send(*closes, *(message(CHANNEL_OPEN, "session", n, WINDOW, 32768) for n in ten))
            c.until(lambda: len(c.theirs) + len(c.refused) == 10)
            assert c.refused == {}
        assert c.output == {n: b"one\ntwo\n" for n in ten}
