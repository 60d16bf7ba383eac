# SPDX-License-Identifier: Apache-2.0
"""
A client that is logged in and breaks the rules: its worker stays under one stated size, and a
neighbour's session does not notice.
"""
import itertools
import socket
import struct
import time

import pytest

from kit.libssh import KEEPS_WINDOWS
from kit.neighbour import Memory, Neighbour
from kit.proc import alive, cpu_seconds
from kit.raw import (CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_OPEN,
                     CHANNEL_REQUEST, CHANNEL_SUCCESS, EXTENDED_DATA, GLOBAL_REQUEST, IGNORE, KEX,
                     KEXINIT, OPEN_CONFIRMATION, OPEN_FAILURE, REQUEST_FAILURE,
                     WINDOW_ADJUST, ECDH_INIT, NEWKEYS, Gone, RawClient, Reader, kexinit,
                     message)
from kit.target import PATIENCE

pytestmark = pytest.mark.quick

# Resident memory of the worker of one connection with the default of ten channels, whatever its client
# does: SECURITY.md states it.
LIMIT = 48 << 20

SLEEP = "exec sleep 1000"


@pytest.fixture
def attack(broker, request):
    """A client that is logged in, watched, with a neighbour at work."""
    narrow = "without_reading" in request.node.name
    since = broker.log_size()
    with Neighbour(broker.target):
        with RawClient(broker.target, login="dev", narrow=narrow) as c:
            c.worker = broker.worker_of(c.sock)
            with Memory(c.worker) as memory:
                yield c
    assert memory.peak < LIMIT, f"the worker has had {memory.peak >> 10} KiB"
    print(f"peak {memory.peak >> 10} KiB")
    log = broker.log(since)
    for bad in ("SIGSEGV", "SIGABRT", "SIGSYS", "violation"):
        assert bad not in log, log


def run(c, command, ours=0, window=1 << 20, packet=32768):
    """Start a program on a channel of its own; the server's number of it."""
    channel = c.open(ours, window, packet)
    assert channel is not None and c.request(channel, "exec", command)
    return channel


def about(c, ours, *kinds):
    """The next message of one of these kinds about a channel of ours; all others are passed over."""
    while True:
        m = c.receive()
        r = Reader(m)
        if m[0] in kinds and r.u32() == ours:
            return m[0], r


def works(c, ours=1000):
    """The connection is as good as new: another program runs on it and ends."""
    c.send(message(CHANNEL_OPEN, "session", ours, 1 << 20, 32768))
    kind, r = about(c, ours, OPEN_CONFIRMATION, OPEN_FAILURE)
    assert kind == OPEN_CONFIRMATION
    channel = r.u32()
    c.send(message(CHANNEL_REQUEST, channel, "exec", False, "echo fine; exit 3"))
    got, status = b"", None
    while kind != CHANNEL_CLOSE:
        kind, r = about(c, ours, CHANNEL_DATA, CHANNEL_REQUEST, CHANNEL_CLOSE)
        if kind == CHANNEL_DATA:
            got += r.string()
        elif kind == CHANNEL_REQUEST and r.string() == b"exit-status":
            r.take(1)
            status = r.u32()
    c.send(message(CHANNEL_CLOSE, channel))
    assert (got, status) == (b"fine\n", 3)


# ----- windows -----

@pytest.mark.memory
@pytest.mark.parametrize("channels", [1, 10])
def test_window_ignored(attack, channels):
    """64 MiB into programs that read nothing: the worker hangs up."""
    numbers = [run(attack, SLEEP, n) for n in range(channels)]
    with pytest.raises(Gone):
        for _, n in zip(range(64 << 20 >> 15), itertools.cycle(numbers)):
            attack.send(message(CHANNEL_DATA, n, b"w" * 32768))
        attack.last_words()
        raise Gone


@pytest.mark.memory
def test_windows_filled_everywhere(attack):
    """What is allowed, on all channels at once: every window full before programs that stall."""
    numbers = {n: run(attack, f"head -c 700000 >/dev/null; {SLEEP}", n) for n in range(10)}
    room = {n: 32000 for n in numbers}
    sent = 0
    attack.sock.settimeout(20 * PATIENCE)
    while True:
        for n, channel in numbers.items():
            while room[n] >= 30000:
                attack.send(message(CHANNEL_DATA, channel, b"w" * 30000))
                room[n] -= 30000
                sent += 30000
        try:
            m = attack.receive(2 * PATIENCE)
        except socket.timeout:
            break
        if m[0] == WINDOW_ADJUST:
            r = Reader(m)
            n = r.u32()
            room[n] += r.u32()
    assert 10 * 1000000 < sent < 10 * 6000000, sent
    assert alive(attack.worker)


@pytest.mark.memory
@pytest.mark.parametrize("window", [0, 1, 0xffffffff])
def test_output_never_read(attack, window):
    """No window at all, or one without end, and nobody reads the socket."""
    for n in range(10):
        run(attack, "exec yes", n, window)
    if window > 1:
        attack.sock.settimeout(3)
    time.sleep(2)
    used = cpu_seconds(attack.worker)
    time.sleep(2)
    assert cpu_seconds(attack.worker) - used < 1, "it spins"
    assert alive(attack.worker)


@pytest.mark.memory
def test_window_overflow(attack):
    """WINDOW_ADJUST beyond 2^32, and many of them."""
    channel = run(attack, "read x; exec yes", window=0xffffffff)

    try:
        for _ in range(3):
            attack.send(*[message(WINDOW_ADJUST, channel, 0xffffffff)] * 3)
            attack.send(message(WINDOW_ADJUST, channel + 7, 1000), message(WINDOW_ADJUST, 0xffffffff, 1))
        attack.send(message(CHANNEL_DATA, channel, b"\n"))
        time.sleep(1)
        hung_up = attack.flood(message(WINDOW_ADJUST, channel, 1), 20000)
    except Gone:
        hung_up = True
    # sshd hangs up, and so does a libssh that keeps account.
    assert hung_up == KEEPS_WINDOWS
    assert hung_up or alive(attack.worker)


@pytest.mark.parametrize("packet", [0x80000000, 0xffffffff])
def test_huge_maximum_packet(attack, packet):
    run(attack, "head -c 1000000 /dev/zero; exit 0", packet=packet)
    got = 0
    while got < 1000000:
        r = Reader(attack.expect(CHANNEL_DATA, passing=[CHANNEL_REQUEST]))
        r.u32()
        got += len(r.string())
    assert got == 1000000


# ----- channels -----

@pytest.mark.memory
def test_ten_thousand_opens(attack):
    held = [attack.open(n) for n in range(10)]
    assert None not in held
    for first in range(0, 10000, 500):
        attack.send(*[message(CHANNEL_OPEN, "session", first + n, 1 << 20, 32768)
                      for n in range(500)])
        for _ in range(500):
            attack.expect(OPEN_FAILURE)
    attack.send(*[message(CHANNEL_CLOSE, n) for n in held])
    for _ in held:
        attack.expect(CHANNEL_CLOSE, passing=[CHANNEL_EOF])
    works(attack)


@pytest.mark.memory
def test_churn(attack):
    """Opened and closed a thousand times: numbers are used again, and nothing is kept."""
    for n in range(1000):
        channel = attack.open(n)
        attack.send(message(CHANNEL_CLOSE, channel))
        attack.expect(CHANNEL_CLOSE, passing=[CHANNEL_EOF])
    works(attack)


@pytest.mark.memory
def test_channels_that_are_never_closed(attack):
    """Their programs end, and the client does not answer CLOSE: such channels count as open."""
    opened = []
    pieces = 1 if KEEPS_WINDOWS else 30
    while len(opened) < 100:
        channel = attack.open(len(opened))
        if channel is None:
            break
        opened.append(channel)
        attack.request(channel, "exec", "exit 0")
        attack.expect(CHANNEL_CLOSE, passing=[CHANNEL_EOF, CHANNEL_REQUEST])
        attack.send(*[message(CHANNEL_DATA, channel, b"x" * 30000)] * pieces)
    assert len(opened) == 10
    attack.send(*[message(CHANNEL_CLOSE, n) for n in opened], GLOBAL)
    attack.expect(REQUEST_FAILURE)
    works(attack)


AFTER = {
    "request": message(CHANNEL_REQUEST, 0, "exec", True, "echo x"),
    "unknown-request": message(CHANNEL_REQUEST, 0, "nonsense@example.org", True),
    "data": message(CHANNEL_DATA, 0, b"x" * 1000),
    "stderr": message(EXTENDED_DATA, 0, 1, b"x" * 1000),
    "eof": message(CHANNEL_EOF, 0),
    "close": message(CHANNEL_CLOSE, 0),
    "window": message(WINDOW_ADJUST, 0, 1000),
    "signal": message(CHANNEL_REQUEST, 0, "signal", False, "TERM"),
    "confirmation": message(OPEN_CONFIRMATION, 0, 0, 1000, 1000),
    "failure": message(OPEN_FAILURE, 0, 1, "no", ""),
    "success": message(CHANNEL_SUCCESS, 0),
}


def renumber(payload, channel):
    """The same message for another channel."""
    return payload[:1] + struct.pack(">I", channel) + payload[5:]


@pytest.mark.parametrize("when", ["never-opened", "after-eof", "with-close", "after-close", "ended"])
def test_messages_out_of_place(broker, attack, when):
    """On channels that are not, or no longer, there. Whether the connection ends or goes on: it is well."""
    c = attack
    for payload in AFTER.values():
        try:
            if when == "never-opened":
                c.send(*[renumber(payload, n) for n in (99, 100, 0xffffffff)])
            else:
                channel = run(c, "exit 0" if when == "ended" else "exec cat")
                payload = renumber(payload, channel)
                if when == "ended":
                    about(c, 0, CHANNEL_CLOSE)
                elif when == "after-eof":
                    c.send(message(CHANNEL_EOF, channel))
                elif when == "after-close":
                    c.send(message(CHANNEL_CLOSE, channel))
                    about(c, 0, CHANNEL_CLOSE)
                # In one go with CLOSE: what is queued about a channel outlives it.
                c.send(*[payload] * 20, message(CHANNEL_CLOSE, channel), *[payload] * 20)
            works(c)
            # What was said about a channel that is gone is answered by now, or never.
            c.drain()
        except Gone:
            c.sock.close()
            c = RawClient(broker.target, login="dev")
    c.sock.close()


# ----- requests without end -----

GLOBAL = message(GLOBAL_REQUEST, "nonsense@example.org", True)


@pytest.mark.memory
def test_global_requests(attack):
    """65 536, of which each eighth wants an answer and gets it."""
    silent = message(GLOBAL_REQUEST, "nonsense@example.org", False)
    for _ in range(64):
        attack.send(*[*[silent] * 7, GLOBAL] * 128)
        for _ in range(128):
            attack.expect(REQUEST_FAILURE)
    works(attack)


REQUESTS = {
    "global": GLOBAL,
    "env": message(CHANNEL_REQUEST, 0, "env", True, "NOT_THIS", "x"),
    "open": message(CHANNEL_OPEN, "nonsense", 0, 1000, 32768),
    "unknown-message": message(200, "x"),
}


@pytest.mark.memory
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_without_reading(broker, attack, name):
    """The worker stops to read a client that asks and asks and takes no answer."""
    channel = attack.open()
    payload = REQUESTS[name]
    if payload[0] == CHANNEL_REQUEST:
        payload = renumber(payload, channel)
    attack.flood(payload, 60000)
    assert broker.reads_no_more(attack.sock)


# ----- strings -----

# Each with want_reply: refused, and the connection goes on.
GIANTS = {
    "exec": ("exec", b"x" * 250000),
    "env-name": ("env", b"LC_" + b"n" * 250000, b"v"),
    "env-value": ("env", b"LC_X", b"v" * 250000),
    "subsystem": ("subsystem", b"s" * 250000),
    "term": ("pty-req", b"t" * 10000, 80, 24, 0, 0, b"\0"),
    "type": (b"r" * 250000,),
    "x11": ("x11-req", False, b"p" * 100000, b"c" * 100000, 0),
    "subsystem-nul": ("subsystem", b"sftp\0"),
}


@pytest.mark.memory
def test_giant_strings(attack):
    for name, (kind, *fields) in GIANTS.items():
        channel = attack.open()
        attack.send(*[message(CHANNEL_REQUEST, channel, kind, True, *fields)] * 10, GLOBAL)
        while (m := attack.receive())[0] != REQUEST_FAILURE:
            assert m[0] != CHANNEL_SUCCESS, f"{name} was taken"
        attack.send(message(CHANNEL_CLOSE, channel))
        about(attack, 0, CHANNEL_CLOSE)
    works(attack)


@pytest.mark.memory
def test_hundred_terminal_modes(attack):
    """Opcodes that nobody knows, all sixty that are known, and a string without its end."""
    modes = b"".join(struct.pack(">BI", n, 0xffffffff) for n in range(1, 101))
    for payload in (modes, modes + b"\0", b"\xff" * 30000, b"\1"):
        channel = attack.open()
        assert attack.request(channel, "pty-req", "xterm", 80, 24, 0, 0, payload)
        assert attack.request(channel, "exec", "exit 0")
        attack.expect(CHANNEL_CLOSE, passing=[CHANNEL_EOF, CHANNEL_REQUEST, CHANNEL_DATA])
        attack.send(message(CHANNEL_CLOSE, channel))
    works(attack)


@pytest.mark.memory
def test_giant_signals(attack):
    channel = run(attack, "exec cat")
    for name in (b"S" * 250000, b"", b"\xff\xfe", b"KILL; rm", b"SIGKILL", b"9"):
        attack.send(message(CHANNEL_REQUEST, channel, "signal", False, name))
    attack.send(message(CHANNEL_DATA, channel, b"still here"))
    r = Reader(attack.expect(CHANNEL_DATA))
    r.u32()
    assert r.string() == b"still here"


def test_bytes_that_are_not_text(broker, attack):
    """Bytes above 127 reach the program as they are; the log holds none of them."""
    since = broker.log_size()
    word = bytes(range(0x80, 0x100))
    channel = attack.open()
    assert attack.request(channel, "env", "LC_X", word)
    assert attack.request(channel, "exec", b"printf %s '" + word + b"' \"$LC_X\"")
    kind, got = None, b""
    while kind != CHANNEL_CLOSE:
        kind, r = about(attack, 0, CHANNEL_DATA, CHANNEL_CLOSE)
        got += r.string() if kind == CHANNEL_DATA else b""
    assert got == word + word
    assert broker.log(since).isascii()


# ----- key exchanges -----

@pytest.mark.memory
def test_rekey_without_end(attack):
    """A key exchange with each packet: they work, and from some number on they have to wait."""
    channel = run(attack, "exec cat")
    start = time.monotonic()
    for n in range(60):
        attack.exchange()
        attack.send(message(CHANNEL_DATA, channel, b"%04d" % n))
        r = Reader(attack.expect(CHANNEL_DATA))
        r.u32()
        assert r.string() == b"%04d" % n
    assert time.monotonic() - start > 2
    works(attack)


@pytest.mark.memory
def test_wrong_guesses_without_end(attack):
    """CVE-2025-8277: memory of each wrong guess was lost."""
    for _ in range(40):
        attack.exchange(kexinit(kex=("diffie-hellman-group1-sha1", KEX), follows=True),
                        before_reply=[message(ECDH_INIT, bytes(100))])
    works(attack)


@pytest.mark.memory
@pytest.mark.parametrize("after", [[], [message(CHANNEL_DATA, 0, b"x")], [kexinit()],
                                   [message(ECDH_INIT, bytes(5))], [bytes([NEWKEYS])]],
                         ids=["data-only", "data", "second-init", "short-init", "newkeys"])
def test_exchange_gone_wrong(attack, after):
    """Nothing but the exchange may follow its beginning."""
    run(attack, "exec yes")
    attack.send(kexinit(kex=(KEX,)), *(after or [message(GLOBAL_REQUEST, "x", True)]))
    assert attack.is_closed()


def test_rekey_while_a_program_starts(attack):
    channel = attack.open()
    attack.send(message(CHANNEL_REQUEST, channel, "exec", True, "echo in; exit 5"))
    ours = kexinit(kex=(KEX,))
    attack.send(ours)
    seen = []
    while not seen or seen[-1][0] != KEXINIT:
        seen.append(attack.receive())
    attack.finish_exchange(ours, seen.pop())
    while not seen or seen[-1][0] != CHANNEL_CLOSE:
        seen.append(attack.receive())
    kinds = [m[0] for m in seen]
    assert kinds.count(CHANNEL_SUCCESS) == 1
    assert any(m[0] == CHANNEL_DATA and m.endswith(b"in\n") for m in seen)
    assert any(m[0] == CHANNEL_REQUEST and b"exit-status" in m and m[-1] == 5 for m in seen)


# ----- clients that do not go on -----

@pytest.mark.memory
@pytest.mark.parametrize("how", ["silent", "never-reads", "exchange", "exchange-and-ignore"])
def test_stalled_client_is_ended(fresh_broker, how):
    """With keepalives, who neither answers nor goes on with an exchange is gone, and small until then."""
    fresh_broker.config["login"] = {"keepalive": "1s", "keepalive_count": 2}
    b = fresh_broker.start()
    with RawClient(b.target, login="dev", narrow=True) as c:
        run(c, "exec cat" if how == "silent" else "exec yes", window=0xffffffff)
        worker = b.worker_of(c.sock)
        with Memory(worker) as memory:
            if how.startswith("exchange"):
                c.send(kexinit(kex=(KEX,)))
            end = time.monotonic() + 20 * PATIENCE
            while alive(worker) and time.monotonic() < end:
                try:
                    if how in ("exchange-and-ignore", "never-reads"):
                        c.send(message(IGNORE, "x"))
                except Gone:
                    pass
                time.sleep(0.2)
        assert not alive(worker)
    assert memory.peak < LIMIT
    assert b.target.ssh("echo fine").stdout == b"fine\n"
