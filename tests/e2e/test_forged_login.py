# SPDX-License-Identifier: Apache-2.0
"""
A worker that has been taken over, against the broker: forged logins, misused host keys, questions out
of order, floods. Every case is judged by the real broker, which must refuse it, end that connection
and nothing else. tests/support/evil_worker.c is the worker, kit/evil.py what it says.
"""
import contextlib
import hashlib
import os
import re
import time

import pytest
from cryptography.hazmat.primitives import hashes

from kit import evil as e
from kit.proc import cpu_seconds, fds, rss, wait_for
from kit.target import PATIENCE

ORDER = "message not allowed in this state"


@pytest.fixture(scope="module")
def broker(keys, engine):
    with e.evil_broker(keys, engine) as b:
        yield b


@pytest.fixture(scope="module")
def user(keys):
    return e.Key(keys.user)


@pytest.fixture(scope="module")
def rsa(keys):
    return e.Key(f"{keys.directory}/user_rsa")


@pytest.fixture(scope="module")
def victim(keys):
    return e.Key(keys.stranger)


@pytest.fixture
def worker(broker):
    with broker.worker() as w:
        yield w
    # It cost its own connection, and nothing else.
    assert broker.process.poll() is None


# ----- positive controls: the same program, doing what an honest worker does

def test_honest_login(worker, user):
    worker.login("dev", user)
    result, program = worker.start(command="echo hello")
    assert (result, program) == (e.OK, "/bin/bash")
    assert worker.read_to_end(2) == b"hello\n"
    assert "logged in" in worker.ended()


def test_honest_rekey(worker, user):
    worker.login("dev", user)
    again = worker.sign_request(worker.transcript(exchanges=e.AGAIN))
    assert worker.outcome(again) == e.ANS_SIGN


def test_honest_security_key(worker, broker):
    worker.exchange()
    data = worker.signed_data(worker.session_id, "token", broker.token)
    signature = broker.token.sign(data, e.SK_TOUCHED, 7)
    assert worker.auth("token", broker.token.algorithm, broker.token.blob, signature, e.SK_TOUCHED,
                       7) == "accepted"


def test_honest_rsa(worker, rsa):
    worker.exchange()
    data = worker.signed_data(worker.session_id, "dev", rsa, "rsa-sha2-256")
    assert worker.auth("dev", "rsa-sha2-256", rsa.blob, rsa.sign(data)) == "accepted"


# ----- a login that nobody made

def forge(worker, key, session=None, signed_name="dev", signature=None, name="dev", algorithm=None,
          blob=None, **signed):
    """
    A login in which some things are not as they should be: what the broker made of it. "session",
    "signed_name" and **signed change what the user's key signs, the others what is claimed.
    """
    worker.exchange()
    data = worker.signed_data(worker.session_id if session is None else session, signed_name, key,
                              **signed)
    return worker.auth(name, key.algorithm if algorithm is None else algorithm,
                       key.blob if blob is None else blob,
                       key.sign(data) if signature is None else signature)


WRONG_SIGNATURE = "the signature is wrong"
FORGED = {
    "invented-signature": ({"signature": b"\x41" * 64}, WRONG_SIGNATURE),
    "no-signature": ({"signature": b""}, WRONG_SIGNATURE),
    # genuine, but of another connection: another nonce, so another session id
    "replayed-login": ({"session": hashlib.sha256(b"another exchange").digest()}, WRONG_SIGNATURE),
    "empty-session": ({"session": b""}, WRONG_SIGNATURE),
    # the key is good for both users; the signature was made for the other one
    "other-user": ({"signed_name": "solo"}, WRONG_SIGNATURE),
    "other-service": ({"service": "ssh-userauth"}, WRONG_SIGNATURE),
    "method-none": ({"method": "none"}, WRONG_SIGNATURE),
    "method-password": ({"method": "password"}, WRONG_SIGNATURE),
    "other-message": ({"message": 51}, WRONG_SIGNATURE),
    "signed-more": ({"tail": b"\0"}, WRONG_SIGNATURE),
    "unknown-user": ({"name": "nobody-here", "signed_name": "nobody-here"}, 'there is no user "nobody-here"'),
    "no-user": ({"name": "", "signed_name": ""}, 'there is no user "-"'),
    "users-key-for-another": ({"name": "victim", "signed_name": "victim"}, 'is not one of "victim"\'s'),
    "wrong-algorithm": ({"algorithm": "ssh-rsa"}, "does not fit the key"),
    "no-algorithm": ({"algorithm": ""}, "does not fit the key"),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_login(worker, user, case):
    changes, reason = FORGED[case]
    assert forge(worker, user, **changes) == "refused"
    # Whatever it claims afterwards: nobody is logged in.
    assert worker.outcome(worker.start_request()) == "killed"
    log = worker.ended()
    assert reason in log and ORDER in log
    assert "logged in" not in log


def test_key_of_another_user(worker, user, victim):
    """The victim's public key is no secret; without the private one it is of no use."""
    assert forge(worker, victim) == "refused"
    data = worker.signed_data(worker.session_id, "victim", victim)
    assert worker.auth("victim", "ssh-ed25519", victim.blob, user.sign(data)) == "refused"
    log = worker.ended()
    assert 'is not one of "dev"\'s' in log and WRONG_SIGNATURE in log


@pytest.mark.parametrize("blob", ["trailing", "short", "empty", "long-length"])
def test_key_that_is_malformed(worker, user, blob):
    mangled = {"trailing": user.blob + b"\0", "short": user.blob[:-1], "empty": b"",
               "long-length": b"\xff" * 4 + user.blob[4:]}[blob]
    assert forge(worker, user, blob=mangled) == "refused"
    assert 'is not one of "dev"\'s' in worker.ended()


def test_rsa_with_sha1(worker, rsa):
    worker.exchange()
    data = worker.signed_data(worker.session_id, "dev", rsa, "ssh-rsa")
    assert worker.auth("dev", "ssh-rsa", rsa.blob, rsa.sign(data, hashes.SHA1())) == "refused"
    assert "does not fit the key" in worker.ended()


def test_security_key_that_nobody_touched(worker, broker):
    worker.exchange()
    data = worker.signed_data(worker.session_id, "token", broker.token)
    assert worker.auth("token", broker.token.algorithm, broker.token.blob,
                       broker.token.sign(data, 0), 0, 1) == "refused"
    # The signature holds the flags: claiming another value does not help.
    assert worker.auth("token", broker.token.algorithm, broker.token.blob,
                       broker.token.sign(data, 0), e.SK_TOUCHED, 1) == "refused"
    log = worker.ended()
    assert "nobody touched the security key" in log and WRONG_SIGNATURE in log


def test_touch_of_a_key_that_has_none(worker, user):
    worker.exchange()
    data = worker.signed_data(worker.session_id, "dev", user)
    assert worker.auth("dev", user.algorithm, user.blob, user.sign(data), e.SK_TOUCHED) == "refused"


def test_stream_of_another_connection(broker, worker, user):
    """Everything that one worker sent, sent again by another: not even the exchange is signed."""
    transcript = worker.transcript()
    signed = e.Worker.signed_data(hashlib.sha256(transcript).digest(), "dev", user)
    records = [worker.sign_request(transcript),
               worker.auth_request("dev", user.algorithm, user.blob, user.sign(signed)),
               worker.start_request()]
    assert worker.outcome(*records) == e.ANS_START
    with broker.worker() as other:
        assert other.outcome(*records) == "killed"
        log = other.ended()
    assert "the server version is not this connection's" in log and "logged in" not in log


def test_query_is_no_login(worker, user):
    worker.exchange()
    query = bytes([e.QUERY]) + e.string("dev") + e.string(user.blob)
    got, r, _ = worker.ask(query)
    assert (got, r.u8()) == (e.ANS_QUERY, 1)
    assert worker.outcome(worker.start_request()) == "killed"
    assert ORDER in worker.ended()


def test_many_attempts(worker, user):
    """As many as login.tries: an honest worker has sent its client away by then."""
    worker.exchange()
    for _ in range(6):
        assert worker.auth("dev", user.algorithm, user.blob, bytes(64)) == "refused"
    assert worker.auth("dev", user.algorithm, user.blob, bytes(64)) == "killed"
    assert "too many login attempts" in worker.ended()


def test_question_before_the_answer(worker, user):
    """Attempts do not run in parallel: a refusal is held back, and the next one has to wait."""
    worker.exchange()
    wrong = worker.auth_request("dev", user.algorithm, user.blob, bytes(64))
    worker.burst(*[wrong] * 40)
    with pytest.raises(e.Ended):
        while True:
            worker.answer()
    assert "before the last one was answered" in worker.ended()


def test_second_login(worker, user):
    worker.login("dev", user)
    assert forge_again(worker, user) == "killed"
    assert ORDER in worker.ended()


def forge_again(worker, user):
    signature = user.sign(worker.signed_data(worker.session_id, "solo", user))
    return worker.auth("solo", user.algorithm, user.blob, signature)


# ----- the host's key

def other_key(worker):
    return next(k for k in worker.host_keys[1:])


SIGNED = {
    # a recorded exchange signed again would make its session id ours, and its login replayable
    "old-exchange": (lambda w: w.sign_request(w.transcript(nonce=b"\x09" * 16)),
                     "the server version is not this connection's"),
    "other-server-version": (lambda w: w.sign_request(w.transcript(version="SSH-2.0-OpenSSH_9.2")),
                             "the server version is not this connection's"),
    "other-host-key": (lambda w: w.sign_request(w.transcript(host_key=other_key(w))),
                       "the host key in the transcript is not the one that signs"),
    "unknown-host-key": (lambda w: w.sign_request(w.transcript(host_key=b"mine")),
                         "the host key in the transcript is not the one that signs"),
    "other-algorithm": (lambda w: w.sign_request(w.transcript(), "rsa-sha2-512"),
                        "the host key in the transcript is not the one that signs"),
    "not-negotiated": (lambda w: w.sign_request(w.transcript(names="rsa-sha2-512,ssh-ed25519")),
                       "the algorithm is not the negotiated one"),
    "algorithm-of-no-key": (lambda w: w.sign_request(w.transcript(), "ssh-dss"),
                            "no host key for this algorithm"),
    "sha1-exchange": (lambda w: w.sign_request(
        w.transcript(exchanges="diffie-hellman-group14-sha1")), "not one that is allowed"),
    "hash-of-32-bytes": (lambda w: w.sign_request(b"\x07" * 32), "the transcript is malformed"),
    "hash-of-31-bytes": (lambda w: w.sign_request(b"\x07" * 31), "the transcript is malformed"),
    "hash-of-64-bytes": (lambda w: w.sign_request(b"\x07" * 64), "the transcript is malformed"),
    "login-data": (lambda w: w.sign_request(
        e.string(b"\0" * 32) + b"\x32" + b"".join(map(e.string, ("dev", "ssh-connection",
                                                                "publickey"))) + b"\1"),
                   "malformed"),
    "nothing": (lambda w: w.sign_request(b""), "the transcript is malformed"),
}


@pytest.mark.parametrize("case", SIGNED)
def test_host_key_signs_nothing_else(worker, case):
    make, reason = SIGNED[case]
    assert worker.outcome(make(worker)) == "killed"
    assert reason in worker.ended()


def test_second_signature(worker):
    worker.exchange()
    assert worker.outcome(worker.sign_request(worker.transcript())) == "killed"
    assert ORDER in worker.ended()


def test_first_exchange_as_rekey(worker, user):
    """Another client's first exchange, signed as a "rekey", would let the worker be the host to it."""
    worker.login("dev", user)
    assert worker.outcome(worker.sign_request(worker.transcript())) == "killed"
    assert "rekey with the KEXINIT of a first exchange" in worker.ended()


def test_rekey_of_another_client(worker, user):
    worker.login("dev", user)
    other = worker.transcript(exchanges=e.AGAIN, client="SSH-2.0-OpenSSH_10.0")
    assert worker.outcome(worker.sign_request(other)) == "killed"
    assert "rekey with another client version" in worker.ended()


def test_signatures_are_rationed(worker, user):
    """A few at once and then 16 in a second; that there is an end to them is tests/unit/test_dispatch.c."""
    worker.login("lost", user)
    again = worker.sign_request(worker.transcript(exchanges=e.AGAIN))
    begin = time.monotonic()
    for _ in range(64):
        worker.send(again)
        assert worker.answer()[0] == e.ANS_SIGN
    assert time.monotonic() - begin > (64 - 16) / 16 - 0.5


# ----- questions out of order, out of shape, beyond the login's rights

@pytest.mark.parametrize("record", [
    lambda w: w.start_request(), lambda w: e.close(0), lambda w: e.activity(0, 0, 0),
    lambda w: w.auth_request("dev", "ssh-ed25519", b"", b""),
    lambda w: bytes([e.QUERY]) + e.string("dev") + e.string(b""), lambda w: bytes([e.READY]) + e.u32(1),
], ids=["start", "close", "activity", "auth", "query", "ready"])
def test_before_the_exchange(worker, record):
    assert worker.outcome(record(worker)) == "killed"
    assert ORDER in worker.ended()


@pytest.mark.parametrize("record", [b"\xff" * 64, b"\x00", bytes([200]), bytes([e.ANS_AUTH, 1]),
                                    bytes([e.NOTICE])],
                         ids=["junk", "zero", "no-such-id", "an-answer", "a-notice"])
def test_no_message(worker, record):
    assert worker.outcome(record) == "killed"
    assert "unknown message" in worker.ended()


def long_start(worker):
    return worker.start_request(command="x" * 49153)


def env_start(*env):
    return lambda w: w.start_request(env=env)


MALFORMED = {
    "trailing-byte": lambda w: w.start_request() + b"\0",
    "one-byte-short": lambda w: w.start_request()[:-1],
    "only-an-id": lambda w: bytes([e.START]),
    "channel-64": lambda w: w.start_request(channel=64),
    "channel-huge": lambda w: w.start_request(channel=0xffffffff),
    "kind-0": lambda w: w.start_request(kind=0),
    "kind-4": lambda w: w.start_request(kind=4),
    "subsystem-without-a-name": lambda w: w.start_request(kind=e.SUBSYSTEM, command=""),
    "subsystem-too-long": lambda w: w.start_request(kind=e.SUBSYSTEM, command="x" * 65),
    "bool-2": lambda w: w.start_request().replace(b"sleep 1000\0", b"sleep 1000\2"),
    "command-with-nul": lambda w: w.start_request(command="id\0; rm"),
    "command-too-long": long_start,
    "command-for-a-shell": lambda w: w.start_request(kind=e.SHELL),
    "length-beyond-the-end": lambda w: bytes([e.START]) + e.u32(0) + bytes([e.EXEC]) + b"\x7f" * 4,
    "length-negative": lambda w: bytes([e.START]) + e.u32(0) + bytes([e.EXEC]) + b"\xff" * 4,
    "term-too-long": lambda w: w.start_request(pty=("x" * 65, 80, 24, 0, 0)),
    "term-with-nul": lambda w: w.start_request(pty=("a\0b", 80, 24, 0, 0)),
    "display-of-channel-64": lambda w: w.start_request(display=(64, 10, 0)),
    "display-9": lambda w: w.start_request(display=(0, 9, 0)),
    "display-1010": lambda w: w.start_request(display=(0, 1010, 0)),
    "display-huge": lambda w: w.start_request(display=(0, 0xffffffff, 0)),
    "display-cut": lambda w: w.start_request(display=(0, 10)),
    "env-65": env_start(*[("A", "b")] * 65),
    "env-without-a-name": env_start(("", "c")),
    "env-with-equals": env_start(("A=B", "c")),
    "env-with-nul": env_start(("A\0", "c")),
    "env-name-too-long": env_start(("A" * 129, "c")),
    "env-value-too-long": env_start(("A", "c" * 4097)),
    "env-too-much": env_start(*[("A", "c" * 4000)] * 4),
    "forward-channel-64": lambda w: w.forward_request(channel=64),
    "forward-nowhere": lambda w: w.forward_request(host=""),
    "forward-host-too-long": lambda w: w.forward_request(host="x" * 256),
    "forward-host-with-nul": lambda w: w.forward_request(host="127.0.0.1\0"),
    "forward-port-0": lambda w: w.forward_request(port=0),
    "forward-port-65536": lambda w: w.forward_request(port=65536),
    "forward-trailing-byte": lambda w: w.forward_request() + b"\0",
    "listen-channel-64": lambda w: w.listen_request(channel=64),
    "listen-kind-0": lambda w: w.listen_request(kind=0),
    "listen-kind-4": lambda w: w.listen_request(kind=4),
    "listen-host-too-long": lambda w: w.listen_request(host="x" * 256),
    "listen-host-with-nul": lambda w: w.listen_request(host="127.0.0.1\0"),
    "listen-port-65536": lambda w: w.listen_request(port=65536),
    "listen-trailing-byte": lambda w: w.listen_request() + b"\0",
    "listen-agent-trailing-byte": lambda w: w.listen_request(kind=e.LISTEN_AGENT) + b"\0",
    "listen-x11-trailing-byte": lambda w: w.listen_request(kind=e.LISTEN_X11) + b"\0",
    "listen-x11-name-with-nul": lambda w: w.listen_request(kind=e.LISTEN_X11, name="MIT\0"),
    "listen-x11-name-too-long": lambda w: w.listen_request(kind=e.LISTEN_X11, name="x" * 65),
    "listen-x11-cookie-too-long": lambda w: w.listen_request(kind=e.LISTEN_X11, cookie=bytes(129)),
    "listen-x11-bool-2": lambda w: w.listen_request(kind=e.LISTEN_X11, only_one=b"\2"),
    "accepted-channel-64": lambda w: w.accepted(channel=64),
    "accepted-listener-64": lambda w: w.accepted(listener=64),
    "accepted-address-too-long": lambda w: w.accepted(address="1" * 65),
    "accepted-trailing-byte": lambda w: w.accepted() + b"\0",
    "activity-trailing-byte": lambda w: e.activity(1, 1, 0) + b"\0",
    "activity-one-byte-short": lambda w: e.activity(1, 1, 0)[:-1],
    "activity-too-many-bytes": lambda w: e.activity(0, 1 << 63, 0),
    "close-channel-64": lambda w: e.close(64),
    "close-trailing-byte": lambda w: e.close(0) + b"\0",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(worker, user, case):
    worker.login("lost", user)
    assert worker.outcome(MALFORMED[case](worker)) == "killed"
    assert "malformed message" in worker.ended()


@pytest.mark.parametrize("size", [e.RECORD_MAX + 1, e.RECORD_MAX + 1000])
def test_record_too_long(worker, size):
    assert worker.outcome(bytes([e.SIGN]) + bytes(size - 1)) == "killed"
    assert "a record is too long" in worker.ended()


def test_record_as_long_as_may_be(worker):
    assert worker.outcome(bytes([e.SIGN]) + bytes(e.RECORD_MAX - 1)) == "killed"
    assert "malformed message" in worker.ended()


def test_empty_record_is_the_end(worker, user):
    worker.login("lost", user)
    assert worker.outcome(b"") == "killed"
    assert "ended: connection closed" in worker.ended()


def test_second_program_on_a_channel(worker, user):
    worker.login("dev", user)
    assert worker.start()[0] == e.OK
    assert worker.outcome(worker.start_request()) == "killed"
    assert "a second program on one channel" in worker.ended()


def test_more_channels_than_allowed(worker, user):
    worker.login("small", user)
    for channel in range(2):
        assert worker.start(channel)[0] == e.OK
    assert worker.outcome(worker.start_request(2)) == "killed"
    assert "more channels than allowed" in worker.ended()


def test_close_of_a_channel_that_was_never_opened(worker, user):
    worker.login("lost", user)
    assert worker.outcome(e.close(5)) == "killed"
    assert "a channel that has no program is closed" in worker.ended()


def test_fewer_bytes_than_before(worker, user):
    worker.login("lost", user)
    worker.send(e.activity(7, 9, 0))
    assert worker.outcome(e.activity(7, 8, 0)) == "killed"
    assert "fewer bytes have passed than before" in worker.ended()


@pytest.mark.parametrize("login, request_, words", [
    ("noshell", {"kind": e.SHELL, "command": ""}, "Shells are not allowed"),
    ("noexec", {"kind": e.EXEC}, "Commands are not allowed"),
    ("nopty", {"kind": e.EXEC, "pty": ("xterm", 80, 24, 0, 0)}, "Terminals are not allowed"),
    ("dev", {"kind": e.SUBSYSTEM, "command": "sftp"}, "This subsystem is not allowed"),
    ("files", {"kind": e.SUBSYSTEM, "command": "sftp "}, "This subsystem is not allowed"),
    ("files", {"kind": e.SUBSYSTEM, "command": "/bin/sh"}, "This subsystem is not allowed"),
    ("justfiles", {"kind": e.EXEC}, "Commands are not allowed"),
    ("justfiles", {"kind": e.SUBSYSTEM, "command": "sftp", "pty": ("xterm", 80, 24, 0, 0)},
     "Terminals are not allowed"),
], ids=["shell", "exec", "pty", "subsystem", "subsystem-blank", "subsystem-path", "exec-beside-sftp",
        "pty-with-sftp"])
def test_what_the_login_may_not(worker, user, login, request_, words):
    """An honest worker would not even ask: the broker decides again."""
    worker.login(login, user)
    result, text = worker.start(**request_)
    assert result == e.REFUSED
    assert words in text


@pytest.mark.parametrize("login, host, port", [
    ("dev", "127.0.0.1", 8080), ("narrow", "127.0.0.1", 8081), ("narrow", "127.0.0.1", 22),
    ("narrow", "10.0.0.1", 8080), ("narrow", "0.0.0.0", 8081), ("narrow", "example.org", 8080),
    ("narrow", "0.0.0.0", 7), ("narrow", "::", 7), ("narrow", "LOCALHOST", 22),
    ("narrow", "127.0.0.1/8", 8080), ("narrow", "169.254.169.254", 7),
    ("soloforward", "127.0.0.1", 8080)])
def test_where_the_login_may_not_go(worker, user, login, host, port):
    worker.login(login, user)
    result, text = worker.forward(host=host, port=port)
    assert result == e.REFUSED
    assert "not allowed" in text or "neither an address" in text or "whole connection" in text


@pytest.mark.parametrize("login, kind, host, port", [
    ("dev", e.LISTEN_TCP, "localhost", 0), ("dev", e.LISTEN_AGENT, "", 0), ("dev", e.LISTEN_X11, "", 0),
    ("narrow", e.LISTEN_TCP, "localhost", 0), ("narrow", e.LISTEN_TCP, "0.0.0.0", 22),
    ("narrow", e.LISTEN_TCP, "10.0.0.1", 8080), ("narrow", e.LISTEN_TCP, "example.org", 8080),
    ("narrow", e.LISTEN_TCP, "::/0", 9100), ("narrow", e.LISTEN_AGENT, "", 0),
    ("narrow", e.LISTEN_X11, "", 0), ("soloforward", e.LISTEN_TCP, "localhost", 8080),
    ("soloforward", e.LISTEN_AGENT, "", 0), ("soloforward", e.LISTEN_X11, "", 0)])
def test_where_the_login_may_not_listen(worker, user, login, kind, host, port):
    worker.login(login, user)
    result, text = worker.listen(kind=kind, host=host, port=port)
    assert result == e.REFUSED
    assert "not allowed" in text or "not offered" in text or "whole connection" in text


@pytest.mark.parametrize("record, words", [
    (e.Worker.accepted(channel=1, listener=2), "a listener that there is not"),
    (e.Worker.accepted(channel=1, listener=1), "a listener that there is not"),
    (e.Worker.accepted(channel=2, listener=1), "a listener that there is not"),
    (e.Worker.accepted(channel=0, listener=0), "a second program on one channel"),
], ids=["none", "itself", "program", "taken"])
def test_connections_that_nobody_accepted(worker, user, record, words):
    """Channel 0 is a listener, channel 1 in one case a program."""
    worker.login("forward", user)
    assert worker.listen(0)[0] == e.OK
    if words.startswith("a listener") and record[4] == 2:
        assert worker.start(1)[0] == e.OK
    assert worker.outcome(record) == "killed"
    assert words in worker.ended()


@pytest.mark.parametrize("listener", [0, 1, 2, 3, 5], ids=["tcp", "agent", "program", "itself", "none"])
def test_displays_that_there_are_not(worker, user, listener):
    """A program gets a display from a listener that is one and runs, or its worker is no worker of ours."""
    worker.login("forward", user)
    assert worker.listen(0)[0] == e.OK
    assert worker.listen(1, kind=e.LISTEN_AGENT)[0] == e.OK
    assert worker.start(2)[0] == e.OK
    assert worker.outcome(worker.start_request(3, display=(listener, 10, 0))) == "killed"
    assert "a display that there is not" in worker.ended()


def test_display_that_was_closed(worker, user):
    worker.login("forward", user)
    assert worker.listen(0, kind=e.LISTEN_X11)[0] == e.OK
    worker.send(e.close(0))
    assert worker.outcome(worker.start_request(1, display=(0, 10, 0))) == "killed"
    assert "a display that there is not" in worker.ended()


def test_display_is_a_number(worker, user):
    """Whatever a worker says of it, what its program is told is a display of the loopback, and a file."""
    worker.login("forward", user)
    env = [("DISPLAY", "evil:0"), ("XAUTHORITY", "/evil")]
    for channel, name in ((0, "MIT-MAGIC-COOKIE-1"), (1, "`id`;\n")):
        assert worker.listen(channel, kind=e.LISTEN_X11, name=name)[0] == e.OK
    assert worker.start(2, command="echo $DISPLAY $XAUTHORITY", env=env, display=(1, 1009, 0xffffffff))[0] == e.OK
    display, path = worker.read_to_end(4).split()
    assert display == b"localhost:1009.4294967295"
    assert re.fullmatch(rb"/dev/shm/ssh-[0-9a-f]{16}/Xauthority", path)


def test_more_connections_than_channels(worker, user):
    """Three: listeners are none of them, and what connects to them is."""
    worker.login("narrow", user)
    for channel in range(48):
        assert worker.listen(channel, port=8080)[0] == e.OK
    for channel in (60, 61, 62):
        got, r, _ = worker.ask(worker.accepted(channel))
        assert (got, r.u32(), r.u8()) == (e.ANS_ACCEPTED, channel, e.OK)
    assert worker.outcome(worker.accepted(63)) == "killed"
    assert "more channels than allowed" in worker.ended()


def test_no_place_is_free_when_a_listener_ends(worker, user):
    worker.login("narrow", user)
    for channel in (0, 1, 2):
        assert worker.start(channel)[0] == e.OK
    for channel in (3, 4):
        assert worker.listen(channel, port=8080)[0] == e.OK
        worker.send(e.close(channel))
    assert worker.outcome(worker.start_request(5)) == "killed"
    assert "more channels than allowed" in worker.ended()


@pytest.mark.parametrize("channel, words", [
    (47, "a second program on one channel"), (48, "more channels than allowed"), (64, "malformed message")],
                         ids=["taken", "too-many", "no-number"])
def test_more_listeners_than_there_may_be(worker, user, channel, words):
    worker.login("narrow", user)
    for number in range(48):
        assert worker.listen(number, port=8080)[0] == e.OK
    assert worker.outcome(worker.listen_request(channel, port=8080)) == "killed"
    assert words in worker.ended()


HOSTILE_ENV = ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "SHELLOPTS", "PS4",
               "IFS", "PATH", "HOME", "PYTHONPATH", "GIT_SSH_COMMAND", "GREETINGS", "greeting"]


def test_environment_is_the_profile_s(worker, user):
    worker.login("envs", user)
    env = [(name, "evil") for name in HOSTILE_ENV]
    env += [("GREETING", "hi"), ("SET_BY_POLICY", "evil"), ("USER", "root"), ("SSH_CLIENT", "evil")]
    assert worker.start(command="exec env", env=env)[0] == e.OK
    got = dict(line.split("=", 1) for line in worker.read_to_end(2).decode().splitlines())
    assert got["GREETING"] == "hi" and got["SET_BY_POLICY"] == "yes" and got["USER"] == "envs"
    assert "evil" not in got.values()


@pytest.mark.parametrize("modes", [b"\1", b"\0", b"\xa0\0\0\0\1", b"\1\0\0\0\1" * 2],
                         ids=["cut", "end", "none", "twice"])
def test_modes_of_a_terminal_in_another_form(worker, user, modes):
    """There is one form in which an honest worker says them, whatever its client has sent."""
    worker.login("dev", user)
    assert worker.outcome(worker.start_request(pty=("xterm", 80, 24, 0, 0), modes=modes)) == "killed"
    assert "malformed message" in worker.ended()


@pytest.mark.parametrize("size", [(0, 0, 0, 0), (0xffffffff,) * 4, (1, 65536, 65535, 65537)],
                         ids=["zero", "huge", "odd"])
def test_terminal_of_any_size(worker, user, size):
    """Numbers that no terminal has cost nobody anything."""
    worker.login("dev", user)
    result, _ = worker.start(command="stty size", pty=("x;$(reboot)\x1b[2J", *size))
    assert result in (e.OK, e.REFUSED, e.FAILED)
    assert worker.start(1, command="true")[0] == e.OK


def test_command_is_one_argument(worker, user):
    worker.login("busy", user)
    assert worker.start(command="printf '%s\\n' \"$0\"; id -u 0</dev/null")[0] == e.OK
    assert worker.read_to_end(2).endswith(b"\n1000\n")


@pytest.mark.parametrize("data", [b"", b"\0", b"\4" + e.u32(0), b"\4" + e.u32(65), b"\4\0\0\0\xff\xff",
                                  b"\1", b"\3\1\0\0\0\x09\1", b"\xff" * 200, bytes(60000)],
                         ids=["empty", "zero", "signal-0", "signal-65", "cut", "its-own", "exited",
                              "junk", "big"])
def test_guest_does_not_mind(worker, user, data):
    """What a worker writes to the guest ends that channel at most: the next program starts."""
    worker.login("dev", user)
    assert worker.start()[0] == e.OK
    worker.write(0, data)
    assert worker.start(1, command="echo well")[0] == e.OK
    assert worker.read_to_end(6) == b"well\n"


# ----- too much

@pytest.fixture(scope="module")
def unfiltered(keys, engine):
    """The filter has no sendmsg(2): here it is left out."""
    with e.evil_broker(keys, engine, "sallyportd-unfiltered") as b:
        yield b


@pytest.mark.parametrize("n", [1, 253])
def test_smuggled_descriptors(unfiltered, user, n):
    """They are not even taken: the kernel drops them, the broker calls it a violation."""
    def theirs():
        """What is sent is the worker's descriptor 0, which is /dev/null."""
        return list(fds(unfiltered.pid).values()).count("/dev/null")

    before = theirs()
    with unfiltered.worker() as w:
        w.login("noshell", user)
        harmless = w.start_request(kind=e.SHELL, command="")
        assert w.ask(harmless)[0] == e.ANS_START
        with pytest.raises(e.Ended):
            for _ in range(1000):
                w.tell("F", bytes([n]) + harmless)
                w.answer()
                assert theirs() == before
        assert "carries descriptors" in w.ended()
    assert theirs() == before


def test_no_descriptor_is_left(broker, user):
    """Connections of every bad kind leave the broker's table alone."""
    def some():
        with broker.worker() as w:
            w.login("dev", user)
            assert w.start()[0] == e.OK
            w.outcome(b"\xff")
            w.ended()
        for case in ("old-exchange", "hash-of-32-bytes"):
            with broker.worker() as w:
                w.outcome(SIGNED[case][0](w))
                w.ended()

    def settled():
        return len(broker.workers()) == 2

    some()
    wait_for(settled, 20 * PATIENCE, "the workers have ended")
    before = len(fds(broker.pid))
    for _ in range(3):
        some()
    wait_for(settled, 20 * PATIENCE, "the workers have ended")
    # The engine's connection may be open or not, and a container of these may be on its way out.
    wait_for(lambda: len(fds(broker.pid)) <= before + 2, 20 * PATIENCE, "descriptors are as before")


def test_never_reads(broker, worker, user):
    """Answers that are not read are kept nowhere: the worker is ended when its buffer is full."""
    worker.login("noshell", user)
    memory = rss(broker.pid)
    worker.tell("D")
    try:
        for _ in range(3000):
            worker.send(worker.start_request(kind=e.SHELL, command=""))
    except e.Ended:
        pass
    assert "it does not read its answers" in worker.ended()
    assert rss(broker.pid) < memory + (4 << 20)


def test_descriptors_that_are_never_taken(broker, worker, user):
    """
    Each answer to a start carries four, and the kernel counts those that nobody has taken for all processes of
    the broker's user: one worker cannot keep many, by closing channels of which it has not read the answer.
    """
    worker.login("dev", user)
    assert worker.start(command="true")[0] == e.OK  # the container is up
    worker.send(e.close(0))
    worker.tell("D")
    with contextlib.suppress(e.Ended):
        for _ in range(500):
            worker.send(worker.start_request(command="true"))
            worker.send(e.close(0))
    assert "it does not read its answers" in worker.ended()
    begun = worker.log().count("started: exec")
    print(f"\n{begun} answers were left unread")
    assert 10 < begun < 100
    with broker.worker() as other:
        other.login("dev", user)
        assert other.start(command="true")[0] == e.OK


def test_output_does_not_pass_the_broker(broker, worker, user):
    """A program that prints for ever, and a worker that does not read: nobody holds the bytes."""
    worker.login("dev", user)
    assert worker.start(command="yes")[0] == e.OK
    time.sleep(1)
    memory, cpu = rss(broker.pid), cpu_seconds(broker.pid)
    time.sleep(2)
    assert rss(broker.pid) < memory + (1 << 20)
    assert cpu_seconds(broker.pid) - cpu < 0.5


@pytest.mark.parametrize("said", [b"x" * 100 + b"\n", b"\n" * 4096, b"\0" * 4096],
                         ids=["lines", "empty lines", "NULs"])
def test_flood(broker, user, said):
    """Workers that say as much as they can cost the broker little, and the others next to nothing."""
    with contextlib.ExitStack() as stack:
        honest, asks, logs = (stack.enter_context(broker.worker()) for _ in range(3))
        for w in (honest, asks, logs):
            w.login(broker.copy_of("noshell"), user)
        refused = honest.start_request(kind=e.SHELL, command="")
        asks.tell("B", refused)
        logs.tell("K", said)
        time.sleep(1.5)  # their first thousand records
        cpu, start, waits = cpu_seconds(broker.pid), time.monotonic(), []
        while time.monotonic() - start < 3:
            before = time.monotonic()
            assert honest.ask(refused)[0] == e.ANS_START
            waits.append(time.monotonic() - before)
            time.sleep(0.02)
        share = (cpu_seconds(broker.pid) - cpu) / (time.monotonic() - start)
        # They are there to the end.
        assert asks.log().count("refused: ") > 200 and "violation" not in asks.log()
        assert said[0] < ord("x") or "lines were not logged" in logs.log()
    waits.sort()
    print(f"\nbroker's CPU under two floods: {share:.0%}; an honest request: "
          f"p50 {waits[len(waits) // 2] * 1000:.1f} ms, p99 {waits[len(waits) * 99 // 100] * 1000:.1f} ms")
    assert share < 0.15
    assert waits[len(waits) // 2] < 0.2 * PATIENCE


def told(detail):
    return bytes([e.TOLD, 3]) + e.string(detail)


@pytest.mark.parametrize("login, record, least, most", [
    # Six bytes in the audit log for each of these: four or five of them take the whole credit.
    ("noexec", e.Worker.start_request(command=b"\1" * 49152), 4, 20),
    # 256 at once, and sixteen in a second.
    ("dev", e.Worker.forward_request(), 200, 400),
], ids=["commands", "forwards"])
def test_what_is_written_has_a_bound(broker, user, login, record, least, most):
    """As much as it can be, by somebody who is logged in: of both logs, and no line is missing."""
    def size():
        return sum(os.stat(f"{broker.dir}/{name}").st_size for name in ("log", "audit.log"))

    with broker.worker() as w, broker.worker() as honest:
        for one in (w, honest):
            one.login(broker.copy_of(login), user)
        before, start = size(), time.monotonic()
        w.tell("B", record)
        waits = []
        while time.monotonic() - start < 6:
            asked = time.monotonic()
            assert honest.ask(e.Worker.forward_request())[0] in (e.ANS_FORWARD, e.ANS_START)
            waits.append(time.monotonic() - asked)
            time.sleep(0.1)
        grown, seconds = size() - before, time.monotonic() - start
    mine = len(broker.audit(**{"from": w.source}))
    print(f"\n{grown / seconds / 1024:.0f} KiB/s in {seconds:.1f} s, {mine} lines of its own; "
          f"another's refusal takes at most {max(waits) * 1000:.0f} ms")
    # What may be written at once, what may be written in that time, the last record; and the neighbour.
    assert grown < (1 << 20) + 65536 * seconds + 7 * 49152 + (1 << 16)
    assert least <= mine <= most + 20 * max(0, seconds - 6)
    assert max(waits) < 1 * PATIENCE
    numbers = [event["number"] for event in broker.audit()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_host_is_one_word_of_the_log(broker, user):
    """As the name of a user is: whatever a client puts into it says nothing in the line's own words."""
    with broker.worker() as w:
        w.login("dev", user)
        assert w.ask(w.forward_request(host='x port 22 allowed "y'))[0] == e.ANS_FORWARD
    assert "forward to x?port?22?allowed??y port " in broker.log()


def test_what_is_told_is_counted(broker, user):
    """A hundred lines of one connection, and how many there were when it ends."""
    with broker.worker() as w:
        w.login("dev", user)
        w.burst(*[told(b"true")] * 250)
        assert w.forward()[0] == e.REFUSED  # they are all read by then
        assert "violation" not in w.ended()
    lines = broker.audit(event="request.refused", **{"from": w.source})
    assert [(line["kind"], line["detail"]) for line in lines[:-1]] == [("exec", "true")] * 100
    assert lines[-1]["left_out"] == 150


@pytest.mark.parametrize("record", [
    bytes([e.TOLD, 0]) + e.string("x"), bytes([e.TOLD, 200]) + e.string("x"), told("x" * 257), told("a\0b"),
    told("x") + b"x", bytes([e.TOLD])], ids=["kind 0", "kind 200", "long", "NUL", "more", "nothing"])
def test_told_nonsense(worker, user, record):
    worker.login("dev", user)
    assert worker.outcome(record) == "killed"
    assert "violation" in worker.ended()
