# SPDX-License-Identifier: Apache-2.0
"""
A worker that has been taken over holds a connection to the engine on the data path "engine": the stream of an
exec that the engine has upgraded. Whatever it writes there is the guest's to read, and nobody else's: no answer
of the engine comes back, nothing is made, and a guest that hears no protocol ends its program and itself.
The frames are those of common/PROTOCOL.md; tests/unit/test_guest_stream.c and test_guest_stream_listener.c have more
of them.
"""
import contextlib
import os
import struct

import pytest

from kit import evil as e
from kit.broker import profile
from kit.proc import wait_for, with_command
from kit.target import PATIENCE

MARK = f"7{os.getpid():08d}"
# Its ends of ctl and pipes as on the direct path, and then the stream.
STREAM, FDS = 4, 9
HELLO, CTL, INPUT, INPUT_END, OUTPUT, ERRORS, OUTPUT_END, ERRORS_END, MORE, SIZE = range(1, 11)
OF_CONNECTION = 128
STARTED, EXITED, LISTENING, ACCEPTED, TAKEN = b"\1", b"\3", b"\6", b"\7", b"\x08"
EXIT_0, KILLED = EXITED + bytes(6), EXITED + b"\1\0\0\0\x09\0"
CREDIT = 262144
SLEEPS = f"echo up; exec sleep {MARK}"


def frame(kind, data=b""):
    return struct.pack(">BI", kind, len(data)) + data


def of(kind, connection, data=b""):
    """The same of a listener's connection."""
    return frame(OF_CONNECTION + kind, struct.pack(">I", connection) + data)


GREETING = frame(HELLO, struct.pack(">II", 1, CREDIT))
MADE_BY_NOBODY = b'{"Image": "sallyport-test/busybox:latest", "Cmd": ["true"]}'
REQUESTS = {
    "ping": b"GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n",
    "create": b"POST /v1.41/containers/create?name=made-by-nobody HTTP/1.1\r\nHost: engine\r\n"
              b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(MADE_BY_NOBODY),
                                                                                MADE_BY_NOBODY),
    "list": b"GET /containers/json?all=1 HTTP/1.0\r\n\r\n" * 50,
    "chunk": b"0\r\n\r\nGET /info HTTP/1.1\r\nHost: engine\r\n\r\n",
}
FRAMES = {
    "no-kind": frame(0), "unknown-kind": frame(11), "endless": b"\xff" * 5,
    "giant-input": struct.pack(">BI", INPUT, 0xffffffff) + b"x" * 40000,
    "giant-ctl": struct.pack(">BI", CTL, 0x7fffffff) + b"x" * 40000,
    "long-input": struct.pack(">BI", INPUT, 32769) + b"x" * 32769,
    "of-the-guest": frame(OUTPUT, b"x"), "of-the-guest-too": frame(ERRORS, b"x"),
    "started": frame(CTL, STARTED), "exited": frame(CTL, EXIT_0),
    "no-signal": frame(CTL, b"\4\0\0\0\x41"),
    "too-much-credit": frame(MORE, struct.pack(">I", CREDIT)),
    "size-of-no-terminal": frame(SIZE, struct.pack(">IIII", 1, 1, 1, 1)),
    "two-ends": frame(INPUT_END) + frame(INPUT_END), "after-the-end": frame(INPUT_END) + frame(INPUT, b"x"),
    "of-no-listener": of(INPUT, 0, b"x"), "more-of-no-listener": of(MORE, 0, struct.pack(">I", 1)),
}
MORE_1 = struct.pack(">I", 1)
# To a listener that has accepted one connection, taken and given credit for one byte.
LISTENERS_FRAMES = {
    "input-of-its-own": frame(INPUT, b"x"), "credit-of-its-own": frame(MORE, MORE_1),
    "signal": frame(CTL, b"\4\0\0\0\x09"), "taken-twice": frame(CTL, TAKEN), "accepted": frame(CTL, ACCEPTED + b"\0"),
    "another": of(INPUT, 1, b"x"), "the-last": of(INPUT_END, 0xffffffff), "credit-of-another": of(MORE, 1, MORE_1),
    "of-the-guest": of(OUTPUT, 0, b"x"), "no-such-kind": of(ERRORS, 0, b"x"), "ctl-of-one": of(CTL, 0, TAKEN),
    "too-much-credit": of(MORE, 0, struct.pack(">I", CREDIT)) * 2, "two-ends": of(INPUT_END, 0) + of(INPUT_END, 0),
    "after-the-end": of(INPUT_END, 0) + of(INPUT, 0, b"x"), "no-number": frame(OF_CONNECTION + INPUT_END, b"abc"),
    "too-long": of(INPUT, 0, b"x" * 32769), "nothing": of(INPUT, 0), "request": REQUESTS["create"],
}


def split(stream):
    """
    The guest's frames, as (kind, data), out of the engine's, and what is not complete yet. There may be nothing
    else.
    """
    guest, frames = b"", []
    while len(stream) >= 8:
        which, zeros, length = stream[0], stream[1:4], int.from_bytes(stream[4:8], "big")
        assert (which, zeros) == (1, bytes(3)), stream[:200]
        if len(stream) < 8 + length:
            break
        guest, stream = guest + stream[8:8 + length], stream[8 + length:]
    while len(guest) >= 5:
        kind, length = struct.unpack(">BI", guest[:5])
        assert HELLO <= kind % OF_CONNECTION <= MORE and length <= 32772, guest[:200]
        if len(guest) < 5 + length:
            break
        frames.append((kind, guest[5:5 + length]))
        guest = guest[5 + length:]
    return frames, stream + guest


class Stream:
    """What the worker was given for a request of its: the stream, and what it has said."""

    def __init__(self, worker, request, answer, nth):
        got, r, n_fds = worker.ask(request)
        assert (got, n_fds) == (answer, FDS)
        r.u32()
        assert r.u8() == e.OK
        self.worker = worker
        self.stream = nth * FDS + STREAM
        self.said = b""

    def write(self, data):
        self.worker.write(self.stream, data)

    def until(self, *wanted):
        """What the guest has said, when it has said one of these."""
        while not set(wanted) & set(split(self.said)[0]):
            self.more()
        return split(self.said)[0]

    def more(self):
        more = self.worker.read_some(self.stream)
        assert more, self.said
        self.said += more

    def to_end(self):
        """All that it has said, when that is over."""
        frames, rest = split(self.said + self.worker.read_to_end(self.stream))
        assert rest == b""
        return frames


class Program(Stream):
    def __init__(self, worker, command, channel=0):
        super().__init__(worker, worker.start_request(channel, command), e.ANS_START, channel)


class Listener(Stream):
    """At a port of the kernel's choice."""

    def __init__(self, worker, channel=0):
        super().__init__(worker, worker.listen_request(channel), e.ANS_LISTEN, channel)
        self.write(GREETING)
        self.port = int.from_bytes(self.ctl(LISTENING)[1:], "big")

    def ctl(self, first):
        """The last record so far that begins with this."""
        while True:
            records = [data for kind, data in split(self.said)[0] if kind == CTL and data[:1] == first]
            if records:
                return records[-1]
            self.more()


def output(frames):
    return b"".join(data for kind, data in frames if kind == OUTPUT)


def all_of(engine):
    """Names of all containers there are, with labels or without."""
    return {c["Id"] for c in engine.get("/containers/json?all=1")}


@pytest.fixture(scope="module")
def user(keys):
    return e.Key(keys.user)


@pytest.fixture(scope="module")
def broker(keys, engine):
    b = e.EvilBroker(keys, engine.socket)
    image = "sallyport-test/busybox:latest"
    forward = {"remote": ["container:0"], "agent": True}
    b.policy["profiles"].update(dev=profile(image, data_path="engine", session={"forward": forward, "channels": 64}),
                                busy=profile(image, data_path="engine"))
    try:
        yield b.start()
        assert b.stop() == 0
        wait_for(lambda: not engine.containers(), 20 * PATIENCE, "no container is left")
    finally:
        b.close()


@pytest.fixture(scope="module")
def neighbour(broker, user):
    """Another session by the same engine, which says everything back."""
    with broker.worker() as w:
        w.login("busy", user)
        p = Program(w, "cat")
        p.write(GREETING)
        yield p
        p.write(frame(INPUT_END))
        assert output(p.until((CTL, EXIT_0))).splitlines() == [b"unharmed"] * p.times


@contextlib.contextmanager
def harmless(broker, engine, user, neighbour):
    """A worker that is logged in. Afterwards nothing runs for it, and everything else is as it was."""
    neighbour.times = getattr(neighbour, "times", 0) + 1
    before = all_of(engine)
    with broker.worker() as w:
        w.login("dev", user)
        yield w
        [mine] = all_of(engine) - before
        wait_for(lambda: not engine.inspect(mine)["ExecIDs"], 20 * PATIENCE, "its execs have ended")
        assert not with_command(["sleep", MARK])
        neighbour.write(frame(INPUT, b"unharmed\n"))
        assert all_of(engine) == before | {mine}
    wait_for(lambda: all_of(engine) == before, 30 * PATIENCE, "its container is gone")
    assert engine.healthy()
    assert broker.process.poll() is None


@pytest.fixture
def program(broker, engine, user, neighbour):
    """One that does not end by itself."""
    with harmless(broker, engine, user, neighbour) as worker:
        yield Program(worker, SLEEPS)


@pytest.fixture
def listener(broker, engine, user, neighbour):
    """One that a program of the same container is connected to, and hears of its end."""
    with harmless(broker, engine, user, neighbour) as worker:
        here = Listener(worker)
        there = Program(worker, f"echo up | nc 127.0.0.1 {here.port}; echo over", channel=1)
        there.write(GREETING)
        here.ctl(ACCEPTED)
        here.write(frame(CTL, TAKEN) + of(MORE, 0, MORE_1))
        here.until((OF_CONNECTION + OUTPUT, bytes(4) + b"u"))
        yield here
        assert b"over" in output(there.until((OUTPUT, b"over\n"), (OUTPUT, b"xover\n")))
        there.until((CTL, EXIT_0))
        there.worker.shut(there.stream)
        there.to_end()


REQUEST = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


@REQUEST
def test_request_instead_of_a_frame(program, request_):
    program.write(request_)
    assert program.to_end() == []


@REQUEST
def test_request_while_a_program_runs(program, request_):
    program.write(GREETING)
    program.until((OUTPUT, b"up\n"))
    program.write(request_)
    assert (CTL, EXITED) not in [(kind, data[:1]) for kind, data in program.to_end()]


@REQUEST
def test_request_after_the_exit(program, request_):
    """The exec goes on until its worker lets go of it, or says something."""
    program.write(GREETING)
    program.until((OUTPUT, b"up\n"))
    program.write(frame(CTL, b"\4\0\0\0\x09"))
    before = program.until((CTL, KILLED))
    program.write(request_)
    assert program.to_end()[:len(before)] == before


@REQUEST
def test_request_behind_the_end(program, request_):
    """An end that the worker has sent is one: the engine closes what it had."""
    program.write(GREETING)
    program.until((OUTPUT, b"up\n"))
    program.worker.shut(STREAM)
    program.write(request_)
    assert output(program.to_end()) == b"up\n"


@REQUEST
def test_request_in_one_piece_with_frames(program, request_):
    program.write(GREETING + frame(INPUT, b"x") + request_ + GREETING)
    program.to_end()


@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES)
def test_frames(program, data):
    program.write(GREETING)
    program.until((OUTPUT, b"up\n"))
    program.write(data)
    program.to_end()


def test_frames_of_one_channel(program):
    """Whatever is said on one stream is about its own program: there is no word for another one."""
    program.write(GREETING)
    program.until((OUTPUT, b"up\n"))
    other = Program(program.worker, "cat", channel=1)
    other.write(GREETING)
    for data in (frame(CTL, b"\4\0\0\0\x09"), frame(INPUT_END), frame(INPUT, b"for nobody")):
        program.write(data)
    program.to_end()
    other.write(frame(INPUT, b"mine") + frame(INPUT_END))
    assert output(other.until((CTL, EXIT_0))) == b"mine"
    other.worker.shut(other.stream)
    other.to_end()


@pytest.mark.parametrize("data", LISTENERS_FRAMES.values(), ids=LISTENERS_FRAMES)
def test_frames_to_a_listener(listener, data):
    """What breaks the protocol ends the listener and its connections, and nothing else."""
    listener.write(data)
    listener.to_end()


def test_listener_without_end(listener):
    """The worker is gone without a word."""
    listener.worker.shut(listener.stream)
    listener.to_end()


def test_what_is_behind_the_last(listener):
    """Of one that has ended there is nothing more to say, and it is no offence: the other side may not know yet."""
    listener.write(of(INPUT, 0, b"x") + of(INPUT_END, 0) + of(OUTPUT_END, 0))
    listener.write(of(INPUT, 0, b"late") + of(MORE, 0, MORE_1))
    other = Program(listener.worker, f"nc 127.0.0.1 {listener.port}; echo done", channel=2)
    other.write(GREETING)
    while [data[:1] for kind, data in split(listener.said)[0] if kind == CTL].count(ACCEPTED) < 2:
        listener.more()
    listener.write(frame(CTL, TAKEN) + of(INPUT, 1, b"second ") + of(INPUT_END, 1) + of(OUTPUT_END, 1))
    other.until((CTL, EXIT_0))
    assert output(other.until((OUTPUT, b"done\n"), (OUTPUT, b"second done\n"))) == b"second done\n"
    other.worker.shut(other.stream)
    other.to_end()
    listener.write(frame(INPUT_END))
    listener.to_end()


def test_listeners_of_a_worker(broker, engine, user, neighbour):
    """As many as it has numbers, none of which the worker reads: their guests end with it."""
    with harmless(broker, engine, user, neighbour) as worker:
        all_ = [Listener(worker, channel) for channel in range(6)]
        assert len({one.port for one in all_}) == len(all_)
        for one in all_:
            worker.shut(one.stream)
            one.to_end()
