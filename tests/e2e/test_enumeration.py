# SPDX-License-Identifier: Apache-2.0
"""Whoever cannot sign learns nothing about who exists: not from what is said, not from how fast."""
import json
import math
import signal
import statistics
import time

import paramiko
import pytest

from kit.broker import Broker
from kit.proc import wait_for
from kit.raw import USERAUTH_FAILURE, USERAUTH_REQUEST, Gone, RawClient, message
from kit.target import PATIENCE

# Known, unknown, denied by a rule, without a rule, with an image that is not there.
USERS = ["dev", "nobodyknows", "refused", "ruleless", "elsewhere", "lost", "root", "Dev", "dev ",
         "../dev", "u" * 64, "\u0434ev", "-l", "$(id)", "a;b"]
PLAIN = set(map(chr, range(32, 127))) | {"\n"}
SAMPLES = 300  # of each kind, so many of them on one connection:
BATCH = 15


@pytest.fixture(scope="module")
def stranger(keys):
    return paramiko.Ed25519Key(filename=keys.stranger)


# ----- content -----

def transcript(target, user, key):
    """Everything that the server says to one who tries all there is, to the end."""
    with RawClient(target) as c:
        c.exchange()
        c.service()
        said = []
        try:
            for request in (
                    message(USERAUTH_REQUEST, user, "ssh-connection", "none"),
                    c.offer(user, key),
                    c.signed(user, key),
                    message(USERAUTH_REQUEST, user, "ssh-connection", "password", False, "secret"),
                    message(USERAUTH_REQUEST, user, "ssh-connection", "keyboard-interactive", "", ""),
                    c.signed(user, c.user_key(), signer=key),
                    c.offer(user, key)):
                c.send(request)
                said.append(c.receive())
            said.append(c.receive())
        except Gone:
            pass
        return said


@pytest.mark.quick
def test_transcripts_are_the_same(broker, stranger):
    said = {user: transcript(broker.target, user, stranger) for user in USERS}
    assert [m[0] for m in said["dev"]] == [USERAUTH_FAILURE] * 6 + [1]
    for user, theirs in said.items():
        assert theirs == said["nobodyknows"], user


NAMES = ["", "x" * 65, "x" * 300, "x" * 200000, "dev\0", "dev\0x", "root%00", "\u202edev", "%s%n",
         "dev\nsallyport-broker: info: x", "\x1b]0;owned\x07", "e\u0301", "\u00e9", "user+target",
         "user:target", b"\xff\xfe"]


@pytest.mark.quick
def test_names(broker, stranger):
    """No such user: no login, also with a good key, and nothing raw in the log."""
    since = broker.log_size()
    for user in NAMES:
        with RawClient(broker.target) as c:
            c.exchange()
            c.service()
            c.send(message(USERAUTH_REQUEST, user, "ssh-connection", "none"))
            if user == "dev\0x":  # not what the signature would be over, as sshd has it
                assert c.is_closed()
                continue
            c.expect(USERAUTH_FAILURE)
            for key in (stranger, c.user_key()):
                c.send(c.signed(user, key))
                # One NUL at a name's end libssh drops: then the signature is over other bytes.
                c.expect(USERAUTH_FAILURE)
    log = broker.log(since)
    assert "logged in" not in log
    assert set(log) <= PLAIN
    assert not any(line.startswith("sallyport-broker: info: x") for line in log.splitlines())


@pytest.mark.quick
def test_what_clients_say_is_not_logged_raw(broker):
    """Identification, lists, commands, variables, last words."""
    evil = "\x1b[2J\r\nsallyport-broker: info: forged \u202e\u009b \x07"
    since = broker.log_size()
    with RawClient(broker.target, banner=f"SSH-2.0-{evil[:4]}\r\n".encode()) as c:
        c.exchange()
        c.log_in("dev")
        channel = c.open()
        c.request(channel, "env", "LC_X", evil)
        c.request(channel, "exec", f"exit 0 # {evil}")
        c.send(message(1, 11, evil, ""))
        assert c.is_closed()
    with RawClient(broker.target) as c:
        c.send_bytes(c.seal(b"\x14" + bytes(16) + b"\0\0\0\x20" + evil.encode()[:32]))
        c.is_closed(2)
    log = broker.log(since)
    assert set(log) <= PLAIN
    assert not any("forged" in line and line.startswith("sallyport-broker: info: forged")
                   for line in log.splitlines())


# ----- time -----

def mann_whitney(a, b):
    """Two-sided p that two samples are of one distribution (normal approximation, many samples)."""
    ranked = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    total = sum(i + 1 for i, (_, which) in enumerate(ranked) if which == 0)
    n, m = len(a), len(b)
    z = (total - n * (n + m + 1) / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def tells_apart(a, b):
    """Whether an attacker can: the difference is no accident, and large enough to be measured."""
    return mann_whitney(a, b) < 0.001 and abs(statistics.median(a) - statistics.median(b)) > 0.0002


def measure(target, user, request, count):
    """Seconds that a refusal takes, count times on one connection."""
    found = []
    with RawClient(target) as c:
        c.exchange()
        c.service()
        payload = request(c, user)
        for _ in range(count + 1):
            start = time.monotonic()
            c.send(payload)
            c.expect(USERAUTH_FAILURE)
            found.append(time.monotonic() - start)
    return found[1:]  # the first one finds everything cold


REQUESTS = {
    "none": lambda c, user, key: message(USERAUTH_REQUEST, user, "ssh-connection", "none"),
    "offer": lambda c, user, key: c.offer(user, key),
    "signature": lambda c, user, key: c.signed(user, key),
    "known-key-signed-by-another": lambda c, user, key: c.signed(user, c.user_key(), signer=key),
}


class Changing:
    """
    A broker whose policy knows a name or does not, from one moment to the next. What a refusal takes
    depends on the name, too, and on nothing else: so it is one name that is measured as both.
    """
    NAME = "sometimes"

    def __init__(self, keys, socket):
        self.broker = Broker(keys, socket)
        self.broker.config["login"] = {"tries": 100, "max_startups": 200}
        self.public = keys.public()
        self.generation = 1
        self.broker.start()
        self.target = self.broker.target

    def know(self, known):
        users = self.broker.policy["users"]
        users.pop(self.NAME, None)
        if known:
            users[self.NAME] = {"keys": self.public}
        self.broker.write()
        self.broker.process.send_signal(signal.SIGHUP)
        self.generation += 1
        wait_for(lambda: f"policy generation {self.generation} " in self.broker.log(), 20 * PATIENCE,
                 "the policy is swapped")


@pytest.fixture(scope="module")
def changing(engine, keys):
    c = Changing(keys, engine.socket)
    yield c
    c.broker.close()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("name", REQUESTS)
def test_time(changing, stranger, name):
    """A name that is known, and the same one unknown, in turns."""
    def request(c, user):
        return REQUESTS[name](c, user, stranger)

    def both():
        known, unknown = [], []
        for _ in range(SAMPLES // BATCH):
            for yes, found in ((True, known), (False, unknown)):
                changing.know(yes)
                found += measure(changing.target, Changing.NAME, request, BATCH)
        print(json.dumps({"p": mann_whitney(known, unknown), "known": statistics.median(known),
                          "unknown": statistics.median(unknown)}))
        return known, unknown

    # What the machine's other work makes of it comes in waves: a difference that is there comes back.
    for _ in range(3):
        known, unknown = both()
        if not tells_apart(known, unknown):
            break
    else:
        pytest.fail("a known name answers in another time than an unknown one")
    # The control: the same measurement sees it when one of them takes a millisecond more.
    assert tells_apart([t + 0.001 for t in known], unknown)
    # And a refusal takes the time that it is meant to take.
    if name != "none":
        assert min(*known, *unknown) > 0.0045
