# SPDX-License-Identifier: Apache-2.0
"""
A worker that has been taken over holds a connection to the engine on the data path "engine": the stream of an
exec that the engine has upgraded. Whatever it writes there is the guest's to read, and nobody else's: no answer
of the engine comes back, nothing is made, and a guest that hears no protocol ends its program and itself.
The frames are those of common/PROTOCOL.md; tests/unit/test_guest_stream.c has more of them.
"""
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
STARTED, EXITED = b"\1", b"\3"
EXIT_0, KILLED = EXITED + bytes(6), EXITED + b"\1\0\0\0\x09\0"
CREDIT = 262144
SLEEPS = f"echo up; exec sleep {MARK}"


def frame(kind, data=b""):
    return struct.pack(">BI", kind, len(data)) + data


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
        assert HELLO <= kind <= MORE and length <= 32768, guest[:200]
        if len(guest) < 5 + length:
            break
        frames.append((kind, guest[5:5 + length]))
        guest = guest[5 + length:]
    return frames, stream + guest


class Program:
    """What the worker was given for one: the stream, and what it has said."""

    def __init__(self, worker, command, channel=0):
        got, r, n_fds = worker.ask(worker.start_request(channel, command))
        assert (got, n_fds) == (e.ANS_START, FDS)
        r.u32()
        assert r.u8() == e.OK
        self.worker = worker
        self.stream = channel * FDS + STREAM
        self.said = b""

    def write(self, data):
        self.worker.write(self.stream, data)

    def until(self, frame_):
        """What the guest has said, when it has said this."""
        while frame_ not in split(self.said)[0]:
            more = self.worker.read_some(self.stream)
            assert more, self.said
            self.said += more
        return split(self.said)[0]

    def to_end(self):
        """All that it has said, when that is over."""
        frames, rest = split(self.said + self.worker.read_to_end(self.stream))
        assert rest == b""
        return frames


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
    b.policy["profiles"].update(dev=profile(image, data_path="engine"), busy=profile(image, data_path="engine"))
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


@pytest.fixture
def program(broker, engine, user, neighbour):
    """One that does not end by itself. Afterwards everything else is as it was."""
    neighbour.times = getattr(neighbour, "times", 0) + 1
    before = all_of(engine)
    with broker.worker() as w:
        w.login("dev", user)
        p = Program(w, SLEEPS)
        [mine] = all_of(engine) - before
        yield p
        wait_for(lambda: not engine.inspect(mine)["ExecIDs"], 20 * PATIENCE, "its exec has ended")
        assert not with_command(["sleep", MARK])
        neighbour.write(frame(INPUT, b"unharmed\n"))
        assert all_of(engine) == before | {mine}
    wait_for(lambda: all_of(engine) == before, 30 * PATIENCE, "its container is gone")
    assert engine.healthy()
    assert broker.process.poll() is None


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
