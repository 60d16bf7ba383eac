# SPDX-License-Identifier: Apache-2.0
"""Bytes in, bytes out: none lost, none added, ends where they belong."""
import hashlib
import os
import subprocess
import threading
import time

import pytest

from kit.proc import rss
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]

GIB = 1 << 30
BLOCK = bytes(os.urandom(1 << 20))


def test_echo_into_cat(target):
    r = target.ssh("cat", stdin=b"x\n")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"x\n", b"")


def test_cat_of_nothing_ends(target):
    with open("/dev/null", "rb") as null:
        r = target.ssh("cat", stdin=null, seconds=10)
    assert (r.returncode, r.stdout) == (0, b"")


def test_without_input(target):
    r = target.ssh("cat; echo done", options=["-n"], seconds=10)
    assert (r.returncode, r.stdout) == (0, b"done\n")


def test_client_half_close(target):
    """The end of input reaches the program while its output goes on."""
    r = target.ssh("cat; sleep 1; echo after", stdin=b"before\n")
    assert (r.returncode, r.stdout) == (0, b"before\nafter\n")


def test_program_half_close(target):
    """The end of output reaches the client while input goes on."""
    transport = target.paramiko()
    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command("exec >&- 2>&-; read x; [ \"$x\" = late ] && exit 17")
        assert c.recv(100) == b""
        c.sendall(b"late\n")
        assert c.recv_exit_status() == 17
    finally:
        transport.close()


def test_program_that_closes_its_input(target):
    """Input that nobody reads any more is dropped, and the rest goes on."""
    r = target.ssh("exec <&-; sleep 1; echo alive; exit 5", stdin=b"z" * 5000000)
    assert (r.returncode, r.stdout) == (5, b"alive\n")


def test_stderr_apart(target):
    r = target.ssh("for i in 1 2 3; do echo o$i; echo e$i >&2; done")
    assert (r.stdout, r.stderr) == (b"o1\no2\no3\n", b"e1\ne2\ne3\n")


def test_much_on_both_at_once(target):
    r = target.ssh("(head -c 20000000 /dev/zero | tr '\\0' o) & "
                   "head -c 20000000 /dev/zero | tr '\\0' e >&2; wait", seconds=60)
    assert r.stdout == b"o" * 20000000
    assert r.stderr == b"e" * 20000000


def test_every_byte_value(target):
    data = bytes(range(256)) * 64
    r = target.ssh("cat", stdin=data)
    assert r.stdout == data


def test_background_process_keeps_the_channel(both):
    """As with sshd: the session lasts until its output has no writer."""
    for t in both:
        start = time.monotonic()
        r = t.ssh("sleep 2 & echo started")
        assert (r.returncode, r.stdout) == (0, b"started\n")
        assert time.monotonic() - start > 1.8, t.name


def test_background_process_with_other_output(target):
    start = time.monotonic()
    r = target.ssh("sleep 20 >/dev/null 2>&1 </dev/null & echo started")
    assert (r.returncode, r.stdout) == (0, b"started\n")
    assert time.monotonic() - start < 10 * PATIENCE


def test_yes_head(target):
    """`ssh host yes | head -1` ends."""
    p = target.popen("yes", stdin=subprocess.DEVNULL)
    assert p.stdout.readline() == b"y\n"
    p.stdout.close()
    assert p.wait(10 * PATIENCE) != 0
    p.stderr.close()


def test_slow_reader_loses_nothing(target):
    p = target.popen("seq 1 3000000", stdin=subprocess.DEVNULL)
    digest = hashlib.sha256()
    for n in range(1000000):
        data = p.stdout.read1(32768)
        if not data:
            break
        digest.update(data)
        if n < 60:
            time.sleep(0.03)
    want = hashlib.sha256("".join(f"{n}\n" for n in range(1, 3000001)).encode())
    assert p.wait(10) == 0
    assert digest.hexdigest() == want.hexdigest()
    p.stderr.close()


@pytest.mark.memory
def test_slow_program_bounds_memory(broker):
    """A program that does not read stops the client; what waits in the worker is bounded."""
    target = broker.target
    p = target.popen("echo ready; sleep 5; wc -c")
    worker, line = broker.busy_worker(p.stdout.readline)
    assert line == b"ready\n"
    before = rss(worker)
    feeder = threading.Thread(target=lambda: (p.stdin.write(b"f" * 30000000), p.stdin.close()))
    feeder.start()
    peak = 0
    while p.poll() is None and feeder.is_alive():
        try:
            peak = max(peak, rss(worker))
        except (FileNotFoundError, KeyError):
            break
        time.sleep(0.05)
    feeder.join(20)
    assert p.stdout.read() == b"30000000\n"
    assert p.wait(10) == 0
    assert peak - before < 12 << 20, f"grew by {(peak - before) >> 10} KiB"
    p.stderr.close()


def blocks(n):
    for _ in range(n):
        yield BLOCK


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_gib_in(target):
    want = hashlib.sha256()
    p = target.popen("sha256sum")
    for block in blocks(GIB >> 20):
        want.update(block)
        p.stdin.write(block)
    out, err = p.communicate(timeout=60)
    assert (p.returncode, out.split()[0].decode(), err) == (0, want.hexdigest(), b"")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_gib_out(target):
    line = b"".join(b"%015d\n" % n for n in range(65536))
    want = hashlib.sha256()
    for _ in range(GIB // len(line)):
        want.update(line)
    # Made once, then written again and again: the generator must not be what is measured.
    p = target.popen("seq -f %015.0f 0 65535 >/tmp/block; i=0; "
                     "while [ $i -lt 64 ]; do set -- \"$@\" /tmp/block; i=$((i + 1)); done; "
                     "i=0; while [ $i -lt 16 ]; do cat \"$@\"; i=$((i + 1)); done; exit 3",
                     stdin=subprocess.DEVNULL)
    got = hashlib.sha256()
    size = 0
    while True:
        data = p.stdout.read(1 << 20)
        if not data:
            break
        size += len(data)
        got.update(data)
    assert p.wait(10) == 3
    assert (size, got.hexdigest()) == (GIB, want.hexdigest())
    p.stderr.close()


# What a shell on the other side makes of a command line is sshd's business and ours to repeat.
QUOTING = [
    "echo a; echo b",
    "echo 'single  quoted' \"double  quoted\"",
    "echo \"it's\" 'say \"hi\"'",
    "printf '%s\\n' one two | sed s/o/0/ 2>/dev/null || printf '%s\\n' one two | tr o 0",
    "echo $HOME ~ `echo sub` $(echo sub2) ${USER:-none}x",
    "echo first\necho second\n\necho third",
    "echo \\$NOT \\\\ \\` \\\"",
    "echo * 'a*b' [x]",
    "  echo   leading and   inner",
    "echo -n no newline",
    "cat <<EOF\nhere $((1 + 1))\nEOF",
    "exit 3 # comment",
    "false && echo no || echo yes",
    "echo tab\there",
    "echo \u00fcmlaut \u4e2d\u6587 \U0001f6aa",
    "(exit 4)",
    "echo a > /dev/null 2>&1; echo $?",
    "set -- 'a b' c; echo $# \"$1\"",
    "echo !! !$ ^a^b",
    "echo \x01\x7f",
    "eval 'echo nested \"quotes $((3))\"'",
    "!",
    "if",
    "echo 'unclosed",
]


@pytest.mark.parametrize("line", QUOTING)
def test_quoting(both, line):
    """Every command line reaches the shell byte for byte."""
    def run(target):
        async def work(connection):
            return await connection.run(line, encoding=None, input=b"")
        r = target.asyncssh(work)
        return r.exit_status, r.stdout, r.stderr
    theirs, ours = (run(t) for t in both)
    assert ours == theirs


def test_empty_command_line(target):
    """An exec request without a command is not a request for a shell."""
    transport = target.paramiko()
    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command("")
        assert c.makefile("rb").read() == b""
        assert c.recv_exit_status() == 0
    finally:
        transport.close()


def test_bytes_that_are_no_text(both):
    """A command line need not be UTF-8 for sshd, so it need not for us."""
    line = os.fsdecode(b"printf %s '\xff\xfe\x80' | od -An -tx1")
    theirs, ours = (t.ssh(line) for t in both)
    assert theirs.stdout == b" ff fe 80\n"
    assert ours.stdout == theirs.stdout


def test_long_command_line(both):
    line = "echo " + "x" * 30000
    theirs, ours = (t.ssh(line) for t in both)
    assert len(theirs.stdout) == 30001
    assert ours.stdout == theirs.stdout


def test_streams_can_be_opened_again(target):
    """By their names under /dev, as programs do that want a file."""
    r = target.ssh("cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr", stdin=b"in\n")
    assert (r.stdout, r.stderr, r.returncode) == (b"in\nout\n", b"err\n", 0)
