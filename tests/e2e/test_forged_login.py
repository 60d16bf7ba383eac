# SPDX-License-Identifier: Apache-2.0
"""
A worker that has been taken over: tests/support/evil_worker.c runs in sallyportd's place and forges
logins. The real broker must refuse each of them, end that connection and nothing else.
"""
import shutil
import socket

import pytest
from cryptography.hazmat.primitives import serialization

from kit.broker import BUILD, Broker
from kit.proc import fds, wait_for

KILLED = "was killed"

# case: what the worker sees, and what the broker says (None: nothing special)
CASES = {
    # positive controls: the same program, doing what an honest worker does
    "honest": ("started", None),
    "honest-rekey": ("signed", None),
    # the ways that a design with an opaque hash, or with trust in the worker, falls to
    "never-asked": ("killed", "message not allowed in this state"),
    "start-at-once": ("killed", "message not allowed in this state"),
    "invented-signature": ("killed", "the signature is wrong"),
    "replayed-login": ("refused", "the signature is wrong"),
    "other-user": ("refused", "the signature is wrong"),
    "second-signature": ("killed", "message not allowed in this state"),
    "old-exchange": ("killed", "the server version is not this connection's"),
    "rekey-oracle": ("killed", "rekey with the KEXINIT of a first exchange"),
    # and more of the same kind
    "opaque-hash": ("killed", "violation"),
    "sha1-exchange": ("killed", "not one that is allowed"),
    "other-algorithm": ("killed", "violation"),
    "auth-before-exchange": ("killed", "message not allowed in this state"),
    "blob-with-trailing-byte": ("refused", "unknown user or key"),
    "wrong-algorithm": ("refused", "does not fit the key"),
    "many-attempts": ("killed", "too many login attempts"),
    "second-login": ("killed", "message not allowed in this state"),
    "too-many-channels": ("killed", "more channels than allowed"),
    "smuggled-descriptors": ("ignored", None),
    "never-reads": ("killed", "violation"),
    "garbage": ("killed", "unknown message"),
    "record-too-long": ("killed", "a record is too long"),
}


@pytest.fixture(scope="module")
def evil(engine, keys):
    b = Broker(keys, engine.socket)
    program = f"{b.dir}/sallyportd-evil"
    shutil.copy(f"{BUILD}/tests/sallyportd-evil", program)
    b.config["worker"]["program"] = program
    with open(keys.user, "rb") as f:
        key = serialization.load_ssh_private_key(f.read(), None)
    with open(f"{b.dir}/user.pem", "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))
    with open(f"{keys.user}.pub", encoding="ascii") as f, \
            open(f"{b.dir}/user.blob", "w", encoding="ascii") as out:
        out.write(f.read().split()[1])
    b.start()
    yield b
    b.close()


def run(broker, case):
    """
    Connect once; what the worker said and what the broker logged. A worker that was killed for what
    it did seldom lives to say so.
    """
    with open(f"{broker.dir}/evil.conf", "w", encoding="ascii") as f:
        f.write(f"{case} dev {broker.dir}/user.blob {broker.dir}/user.pem\n")
    since = broker.log_size()
    word = f"evil {case}: "
    with socket.create_connection(("127.0.0.1", broker.port)):
        wait_for(lambda: word in broker.log(since) or KILLED in broker.log(since), 20, case)
    wait_for(lambda: "ended: " in broker.log(since) or KILLED in broker.log(since), 10, "the end")
    log = broker.log(since)
    said = [line.partition(word)[2] for line in log.splitlines() if word in line]
    return said[0] if said else "killed", log


@pytest.mark.parametrize("case", CASES)
def test_forged(evil, engine, case):
    expected, reason = CASES[case]
    seen, log = run(evil, case)
    assert seen == expected
    if reason is not None:
        assert reason in log
    if expected == "killed":
        assert KILLED in log
    if case not in ("honest", "smuggled-descriptors", "too-many-channels", "never-reads",
                    "honest-rekey", "rekey-oracle", "second-login"):
        assert "logged in" not in log
    # It cost its own connection, and nothing is left of it.
    assert evil.process.poll() is None
    wait_for(lambda: not engine.containers(), 20, "no container is left")


def test_no_descriptor_is_left(evil):
    """Records with descriptors, and connections of every bad kind, leave the broker's table alone."""
    run(evil, "honest")
    before = len(fds(evil.pid))
    for case in ("smuggled-descriptors", "garbage", "old-exchange"):
        run(evil, case)
    wait_for(lambda: len(fds(evil.pid)) <= before + 2, 10, "the descriptors are as before")
