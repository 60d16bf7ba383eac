# SPDX-License-Identifier: Apache-2.0
"""Before the login: whatever is sent, in whatever order, there is no login but by a signature."""
import contextlib
import socket
import struct
import subprocess

import paramiko
import pytest

from kit.broker import SANITIZERS
from kit.neighbour import Memory, Neighbour
from kit.proc import wait_for
from kit.raw import (CHANNEL_DATA, CHANNEL_OPEN, CHANNEL_REQUEST, DEBUG, DISCONNECT, ECDH_INIT,
                     GLOBAL_REQUEST, IGNORE, KEX, KEXINIT, NEWKEYS, SERVICE_ACCEPT, SERVICE_REQUEST,
                     STRICT, UNIMPLEMENTED, USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_PK_OK,
                     USERAUTH_REQUEST, USERAUTH_SUCCESS, Gone, RawClient, Reader, kexinit, message)
from kit.target import PATIENCE

pytestmark = pytest.mark.quick

# Resident memory of a worker that nobody has logged in to: SECURITY.md states it.
LIMIT = (64 if SANITIZERS else 10) << 20

OPEN = message(CHANNEL_OPEN, "session", 0, 1 << 20, 32768)
EXEC = message(CHANNEL_REQUEST, 0, "exec", True, "echo never > /tmp/never; echo never")
SERVICE = message(SERVICE_REQUEST, "ssh-userauth")


@pytest.fixture
def stranger(broker):
    """A client with a key exchange and nothing else. Whatever it does is no login."""
    since = broker.log_size()
    with RawClient(broker.target) as c:
        c.exchange()
        yield c
    assert "logged in" not in broker.log(since)
    assert "violation" not in broker.log(since)


def answers(client, seconds=2):
    """What the server says until it hangs up, or falls silent."""
    found = []
    try:
        while True:
            found.append(client.receive(seconds * PATIENCE))
    except (Gone, socket.timeout):
        return found


def refuses(client, *payloads):
    """Send these; the server hangs up, and lets nobody in before."""
    try:
        client.send(*payloads)
    except Gone:
        pass
    kinds = {p[0] for p in answers(client)}
    assert kinds <= {DISCONNECT, UNIMPLEMENTED, USERAUTH_FAILURE, SERVICE_ACCEPT}, kinds
    assert client.is_closed()


# ----- steps that are left out -----

# What a client sends before it has any keys.
UNENCRYPTED = {
    "channel": [OPEN, EXEC],
    "service": [SERVICE],
    "login": [message(USERAUTH_REQUEST, "dev", "ssh-connection", "none")],
    "success": [bytes([USERAUTH_SUCCESS])],
    "newkeys": [bytes([NEWKEYS])],
    "exchange-without-init": [message(ECDH_INIT, bytes(32))],
    "two-inits": [kexinit(), kexinit()],
    "newkeys-after-init": [kexinit(), bytes([NEWKEYS])],
    "channel-after-init": [kexinit(), OPEN, EXEC],
    "login-after-init": [kexinit(), message(USERAUTH_REQUEST, "dev", "ssh-connection", "none")],
}


@pytest.mark.parametrize("name", UNENCRYPTED)
def test_before_keys(broker, name):
    since = broker.log_size()
    with RawClient(broker.target) as c:
        c.send(*UNENCRYPTED[name])
        assert {p[0] for p in answers(c)} <= {KEXINIT, DISCONNECT, UNIMPLEMENTED}
        assert c.is_closed()
    assert "logged in" not in broker.log(since)


# What a client sends with keys, and without a login.
SKIPS = {
    "channel": [OPEN],
    "channel-and-exec": [OPEN, EXEC],
    "channel-after-service": [SERVICE, OPEN, EXEC],
    "forward": [message(CHANNEL_OPEN, "direct-tcpip", 0, 1 << 20, 32768, "127.0.0.1", 22,
                        "127.0.0.1", 1)],
    "global-request": [message(GLOBAL_REQUEST, "tcpip-forward", True, "", 0)],
    "data": [message(CHANNEL_DATA, 0, "x")],
    "service-connection": [message(SERVICE_REQUEST, "ssh-connection"), OPEN, EXEC],
    "service-empty": [message(SERVICE_REQUEST, "")],
    "success": [SERVICE, bytes([USERAUTH_SUCCESS]), OPEN, EXEC],
    "success-before-service": [bytes([USERAUTH_SUCCESS]), OPEN, EXEC],
    "failure": [SERVICE, message(USERAUTH_FAILURE, "publickey", True), OPEN],
    "banner": [SERVICE, message(USERAUTH_BANNER, "hello", ""), OPEN],
    "pk-ok": [SERVICE, message(USERAUTH_PK_OK, "ssh-ed25519", "x"), OPEN],
    "info-response": [SERVICE, message(61, 1, "secret"), OPEN],
    "service-accept": [message(SERVICE_ACCEPT, "ssh-userauth"), OPEN],
    "newkeys": [bytes([NEWKEYS])],
    "rekey": [kexinit(), OPEN],
    "login-without-service": [message(USERAUTH_REQUEST, "dev", "ssh-connection", "none"), OPEN],
    "gssapi-mic": [SERVICE, message(66, "mic"), OPEN],
}


@pytest.mark.parametrize("name", SKIPS)
def test_skipped_steps(stranger, name):
    refuses(stranger, *SKIPS[name])


def test_every_number_of_the_connection_protocol(broker):
    """Messages of a session: without a login none is even looked at."""
    for number in (80, 81, 82, *range(90, 101)):
        with RawClient(broker.target) as c:
            c.exchange()
            refuses(c, message(number, 0, "x", True, 0, 0, 0))


def test_unknown_numbers(stranger):
    """What nobody knows is answered so, as the standard says, and changes nothing."""
    numbers = [8, 9, 15, 19, 22, 29, 70, 79, *range(101, 256, 7), 255]
    for number in numbers:
        stranger.send(message(number, "x"))
        assert stranger.expect(UNIMPLEMENTED)
    refuses(stranger, OPEN)


METHODS = {
    "none": ("none",),
    "empty": ("",),
    "nul": ("\0",),
    "none-with-nul": ("none\0",),
    "password": ("password", False, "dev"),
    "password-empty": ("password", False, ""),
    "password-long": ("password", False, "p" * 200000),
    "keyboard-interactive": ("keyboard-interactive", "", ""),
    "hostbased": ("hostbased", "ssh-ed25519", "k", "host", "dev", "s"),
    "gssapi": ("gssapi-with-mic", 1, b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"),
    "unknown": ("x" * 1000,),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(stranger, name):
    stranger.service()
    for _ in range(2):
        stranger.send(message(USERAUTH_REQUEST, "dev", "ssh-connection", *METHODS[name]))
        r = Reader(stranger.expect(USERAUTH_FAILURE))
        assert (r.string(), r.take(1)) == (b"publickey", b"\0")
    refuses(stranger, OPEN, EXEC)


@pytest.mark.parametrize("service", ["", "ssh-userauth", "ssh-connection\0", "x" * 300])
def test_login_for_another_service(stranger, service):
    """A signature counts for ssh-connection only, also when it covers what was asked."""
    key = stranger.user_key()
    stranger.service()
    m = message(USERAUTH_REQUEST, "dev", service, "publickey", True, key.get_name(), key.asbytes())
    signature = key.sign_ssh_data(struct.pack(">I", 32) + stranger.session_id + m).asbytes()
    refuses(stranger, m + struct.pack(">I", len(signature)) + signature, OPEN, EXEC)


# ----- an offer is not a login -----

def test_offer_and_go_on(stranger):
    stranger.service()
    stranger.send(stranger.offer("dev", stranger.user_key()))
    stranger.expect(USERAUTH_PK_OK)
    refuses(stranger, OPEN, EXEC)


def test_offer_one_key_and_sign_with_another(stranger):
    mine = stranger.user_key()
    other = paramiko.Ed25519Key(filename=stranger.target.keys.stranger)
    stranger.service()
    stranger.send(stranger.offer("dev", mine))
    stranger.expect(USERAUTH_PK_OK)
    for key, signer in ((mine, other), (other, other), (other, mine)):
        stranger.send(stranger.signed("dev", key, signer))
        stranger.expect(USERAUTH_FAILURE)
    stranger.send(stranger.signed("dev", mine, session_id=bytes(32)))
    stranger.expect(USERAUTH_FAILURE)
    refuses(stranger, OPEN, EXEC)


def test_signature_is_for_its_user_only(stranger):
    """A request for one name, signed for another."""
    stranger.service()
    request = stranger.signed("solo", stranger.user_key())
    stranger.send(request.replace(b"\0\0\0\x04solo", b"\0\0\0\x03dev", 1))
    stranger.expect(USERAUTH_FAILURE)
    refuses(stranger, OPEN)


def test_the_log_names_the_key_that_signed(broker):
    since = broker.log_size()
    ecdsa = paramiko.ECDSAKey(filename=f"{broker.target.keys.directory}/user_ecdsa")
    with RawClient(broker.target) as c:
        c.exchange()
        c.service()
        c.send(c.offer("dev", c.user_key()))
        c.expect(USERAUTH_PK_OK)
        c.send(c.signed("dev", ecdsa))
        c.expect(USERAUTH_SUCCESS)
    said = subprocess.run(["ssh-keygen", "-lf", f"{broker.target.keys.directory}/user_ecdsa.pub"],
                          check=True, capture_output=True, text=True).stdout.split()[1]
    assert f"logged in: key {said}," in broker.log(since)


def test_a_thousand_offers(stranger):
    """Offers of a good key are no failures, and have an end all the same."""
    stranger.service()
    good = 0
    try:
        for _ in range(1000):
            stranger.send(stranger.offer("dev", stranger.user_key()))
            stranger.expect(USERAUTH_PK_OK, seconds=5 * PATIENCE)
            good += 1
    except (Gone, AssertionError):
        pass
    assert 6 <= good <= 64
    assert stranger.is_closed()


# ----- identification and key exchange -----

def test_strict_key_exchange_is_offered(broker):
    with RawClient(broker.target) as c:
        r = Reader(c.wait_for_kexinit())
        r.take(16)
        assert b"kex-strict-s-v00@openssh.com" in r.string().split(b",")


@pytest.mark.parametrize("where", ["before_reply", "before_newkeys"])
@pytest.mark.parametrize("kind", [IGNORE, DEBUG, UNIMPLEMENTED, 200])
def test_terrapin(broker, where, kind):
    """With strict key exchange nothing but the exchange itself may travel unencrypted."""
    extra = message(kind, 0) if kind == UNIMPLEMENTED else message(kind, "x")
    with RawClient(broker.target) as c:
        with pytest.raises((Gone, AssertionError)):
            c.exchange(**{where: [extra]})
            c.service()
        assert c.is_closed()


def test_ignore_without_strict_key_exchange(broker):
    """The control: a client that does not ask for it may send what the standard allows."""
    with RawClient(broker.target, strict=False) as c:
        c.exchange(before_newkeys=[message(IGNORE, "x")])
        c.log_in("dev")
        assert c.open() is not None


def packet(length, rest):
    return struct.pack(">I", length) + rest


def flood_of_lists():
    names = ",".join(f"{'n' * 60}{i}" for i in range(500)).encode()
    return kexinit(kex=names, host_key=names, cipher=names, mac=names, compression=names)


# What is sent in place of, or after, a client's identification: (identification, bytes).
ODDITIES = {
    "banner-255": (None, b"SSH-2.0-" + b"b" * 245 + b"\r\n"),
    "banner-without-end": (None, b"SSH-2.0-" + b"b" * 1000000),
    "banner-nul": (None, b"SSH-2.0-a\0b\r\n" + bytes(1000)),
    "banner-cr-only": (None, b"SSH-2.0-a\r" + bytes(1000)),
    "banner-escapes": (None, b"SSH-2.0-\x1b]0;owned\x07\x1b[2J\xe2\x80\xae\r\n" + bytes(1000)),
    "thousand-lines": (None, b"hello\r\n" * 1000 + b"SSH-2.0-x\r\n"),
    "length-0": (b"SSH-2.0-x\r\n", packet(0, bytes(1000))),
    "length-1": (b"SSH-2.0-x\r\n", packet(1, bytes(1000))),
    "length-4": (b"SSH-2.0-x\r\n", packet(4, b"\xff" + bytes(1000))),
    "length-2-gib": (b"SSH-2.0-x\r\n", packet(0x7fffffff, bytes(1000))),
    "length-4-gib": (b"SSH-2.0-x\r\n", packet(0xffffffff, bytes(1000))),
    "padding-255": (b"SSH-2.0-x\r\n", packet(12, b"\xff" + bytes(1000))),
    "lists-of-64-kib": (b"SSH-2.0-x\r\n", flood_of_lists()),
    "lists-empty": (b"SSH-2.0-x\r\n", kexinit(kex=b"", host_key=b"", cipher=b"", mac=b"")),
    "lists-of-commas": (b"SSH-2.0-x\r\n", kexinit(kex=b"," * 60000)),
    "list-cut": (b"SSH-2.0-x\r\n", kexinit()[:60]),
    "list-longer-than-packet": (b"SSH-2.0-x\r\n", bytes([KEXINIT]) + bytes(16) + b"\xff" * 200),
    "nothing-in-common": (b"SSH-2.0-x\r\n", kexinit(kex=("diffie-hellman-group1-sha1",))),
    "zlib-only": (b"SSH-2.0-x\r\n", kexinit(compression=("zlib@openssh.com", "zlib"))),
    "sha1-only": (b"SSH-2.0-x\r\n", kexinit(kex=("diffie-hellman-group14-sha1",))),
    "cbc-only": (b"SSH-2.0-x\r\n", kexinit(cipher=("aes128-cbc", "3des-cbc"))),
    "md5-only": (b"SSH-2.0-x\r\n", kexinit(mac=("hmac-md5", "hmac-sha1"))),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_oddities(broker, name):
    """Odd beginnings end at once, and cost nothing."""
    banner, data = ODDITIES[name]
    with RawClient(broker.target, banner=banner) as c:
        with Memory(broker.worker_of(c.sock)) as memory:
            try:
                c.send_bytes(c.seal(data) if data[:1] == bytes([KEXINIT]) else data)
            except Gone:
                pass
            if "length" in name or "banner" in name:
                with contextlib.suppress(OSError):  # it may be gone already
                    c.sock.shutdown(socket.SHUT_WR)
            assert c.is_closed()
    assert memory.peak < LIMIT


def test_duplicate_names(broker):
    with RawClient(broker.target) as c:
        c.exchange(kexinit(kex=(KEX,) * 200 + (STRICT,) * 20))
        c.log_in("dev")


def test_nul_in_a_list(broker):
    """libssh reads a list up to its first NUL; nobody gets further with that than an exchange."""
    since = broker.log_size()
    with RawClient(broker.target) as c:
        try:
            c.exchange(kexinit(kex=b"curve25519-sha256\0,x"))
            c.log_in("dev")
        except Gone:
            pass
    assert "violation" not in broker.log(since)


# What the broker does not sign: an identification, KEXINITs that follow each other, and what the log says.
CLIENT_FAULTS = {
    "no-name": (b"SSH-2.0-\r\n", [kexinit()], "an identification without a name"),
    "many-names": (b"SSH-2.0-x\r\n", [kexinit(kex=(KEX, *["x"] * 1024))], "a KEXINIT that is none, or has too many names"),
    "first-again": (b"SSH-2.0-OpenSSH_9.9\r\n", [kexinit(), kexinit()], "new keys by the KEXINIT of a first exchange"),
}


@pytest.mark.parametrize("name", CLIENT_FAULTS)
def test_what_is_the_client_s_fault(fresh_broker, name):
    """It is held against the client, and no worker is suspected of an attack. (Of many strangers the log has not all.)"""
    b = fresh_broker.start()
    banner, exchanges, words = CLIENT_FAULTS[name]
    with RawClient(b.target, banner=banner) as c:
        for init in exchanges[:-1]:
            c.exchange(init)
            c.log_in("dev")
        with pytest.raises((Gone, AssertionError)):
            c.exchange(exchanges[-1])
        assert c.is_closed()
    wait_for(lambda: "exit=12" in b.log(), 20 * PATIENCE, "the worker has ended by itself")
    wait_for(lambda: f"the client broke the protocol: {words}" in b.log(), 20 * PATIENCE, "it is said why")
    assert "violation" not in b.log()


def test_no_compression(broker):
    """Offered is the literal "none" alone; a client that would like zlib gets none."""
    with RawClient(broker.target) as c:
        r = Reader(c.wait_for_kexinit())
        r.take(16)
        lists = [r.string() for _ in range(8)]
        assert lists[6:8] == [b"none", b"none"]
    with RawClient(broker.target) as c:
        c.exchange(kexinit(compression=("zlib@openssh.com", "zlib", "none")))
        c.log_in("dev")
        assert c.open() is not None


def test_wrong_guess(broker):
    """RFC 4253 section 7.1: the packet of a wrong guess is passed over, and that of a right one not."""
    with RawClient(broker.target, strict=False) as c:
        c.exchange(kexinit(kex=("diffie-hellman-group1-sha1", KEX), follows=True),
                   before_reply=[message(ECDH_INIT, bytes(100))])
        c.log_in("dev")
    with RawClient(broker.target, strict=False) as c:
        c.exchange(kexinit(kex=(KEX,), follows=True))
        c.log_in("dev")


@pytest.mark.memory
@pytest.mark.parametrize("kind", [IGNORE, 200, SERVICE_REQUEST])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_flood_without_reading(broker, kind, encrypted):
    """Packets without end from a client that reads no answer: bounded, and a neighbour works on."""
    payload = message(kind, "ssh-userauth")
    with RawClient(broker.target, strict=False, narrow=True) as c, Neighbour(broker.target):
        if encrypted:
            c.exchange()
        with Memory(broker.worker_of(c.sock)) as memory:
            ended = c.flood(payload, 60000)
            # Only what needs no answer may go on, and that not before there are keys.
            assert ended or (encrypted and (kind == IGNORE or broker.reads_no_more(c.sock)))
    assert memory.peak < LIMIT, f"{memory.peak >> 10} KiB"
