# SPDX-License-Identifier: Apache-2.0
"""Sizes of a terminal in a hurry, of nothing, and of too much: as under sshd."""
import pytest

from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]

ASK = "stty -echo; echo ready; while read x; do stty size; done"


def line(channel):
    got = b""
    while not got.endswith(b"\n"):
        piece = channel.recv(1)
        assert piece, got
        got += piece
    return got.strip()


class Sizes:
    """A program on a terminal that says its size for each line it gets."""

    def __init__(self, target, columns, rows, before=()):
        self.transport = target.paramiko()
        self.channel = self.transport.open_session()
        self.channel.settimeout(30 * PATIENCE)
        self.channel.get_pty("vt100", columns, rows)
        for size in before:
            self.channel.resize_pty(*size)
        self.channel.exec_command(ASK)
        assert line(self.channel) == b"ready"

    def size(self):
        self.channel.sendall(b"\n")
        return line(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.transport.close()


def same(both, columns, rows, before=(), after=()):
    """What both say at the beginning, and after each change."""
    said = []
    for target in both:
        with Sizes(target, columns, rows, before) as s:
            mine = [s.size()]
            for size in after:
                s.channel.resize_pty(*size)
                mine.append(s.size())
            said.append(mine)
    assert said[0] == said[1]
    return said[1]


@pytest.mark.parametrize("columns, rows", [(0, 0), (1, 1), (80, 0), (65535, 65535), (500, 200)])
def test_first_size(both, columns, rows):
    assert same(both, columns, rows)[-1] == f"{rows} {columns}".encode()


def test_sizes_before_the_start(both):
    """The last one before the program counts."""
    before = [(10 + n, 20 + n) for n in range(50)]
    assert same(both, 80, 24, before=before)[-1] == b"69 59"


def test_to_nothing_and_back(both):
    assert same(both, 80, 24, after=[(0, 0), (132, 50), (0, 10)])[-3:] == [b"0 0", b"50 132", b"10 0"]


def test_a_thousand_at_once(target):
    """Faster than anything can follow: nothing is lost of the bytes around, and the last one holds."""
    with Sizes(target, 80, 24) as s:
        for n in range(1000):
            s.channel.resize_pty(10 + n, 20 + n)
        assert s.size() == b"1019 1009"
        s.channel.sendall(b"\n" * 100)
        assert [line(s.channel) for _ in range(100)] == [b"1019 1009"] * 100
