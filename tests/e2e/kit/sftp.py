# SPDX-License-Identifier: Apache-2.0
"""SFTP packet by packet, for what no client sends, and for answers that clients hide."""
import struct

from kit.target import PATIENCE

INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = 1, 3, 4, 5, 6, 7, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME = 11, 12, 13, 14, 15, 16, 17, 18
READLINK, SYMLINK, EXTENDED = 19, 20, 200
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
FLAG_READ, FLAG_WRITE, FLAG_APPEND, FLAG_CREATE, FLAG_TRUNC, FLAG_EXCL = 1, 2, 4, 8, 16, 32


def text(s):
    data = s.encode() if isinstance(s, str) else s
    return struct.pack(">I", len(data)) + data


def attrs(size=None, ids=None, mode=None, times=None):
    flags, body = 0, b""
    if size is not None:
        flags, body = flags | 1, body + struct.pack(">Q", size)
    if ids is not None:
        flags, body = flags | 2, body + struct.pack(">II", *ids)
    if mode is not None:
        flags, body = flags | 4, body + struct.pack(">I", mode)
    if times is not None:
        flags, body = flags | 8, body + struct.pack(">II", *times)
    return struct.pack(">I", flags) + body


class Sftp:
    """The subsystem on a channel of its own of a paramiko transport."""

    def __init__(self, transport, greet=True):
        self.channel = transport.open_session()
        self.channel.settimeout(30 * PATIENCE)
        self.channel.invoke_subsystem("sftp")
        self.id = 0
        if greet:
            self.raw(struct.pack(">BI", INIT, 3))
            kind, self.version = self.packet()
            assert kind == 2

    def raw(self, packet):
        self.channel.sendall(struct.pack(">I", len(packet)) + packet)

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.channel.recv(n - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

    def packet(self):
        """The next one: its type and the rest."""
        body = self._exactly(struct.unpack(">I", self._exactly(4))[0])
        return body[0], body[1:]

    def ask(self, kind, body=b""):
        """One request; returns the type of the reply and what stands behind its id."""
        self.id += 1
        self.raw(struct.pack(">BI", kind, self.id) + body)
        kind, rest = self.packet()
        assert struct.unpack(">I", rest[:4])[0] == self.id
        return kind, rest[4:]

    def status(self, kind, body=b""):
        """The status code of a request that has nothing else to tell."""
        kind, rest = self.ask(kind, body)
        assert kind == STATUS, kind
        return struct.unpack(">I", rest[:4])[0]

    def handle(self, kind, body):
        kind, rest = self.ask(kind, body)
        assert kind == HANDLE, (kind, rest)
        return rest[4:]

    def open(self, path, flags, **how):
        return self.handle(OPEN, text(path) + struct.pack(">I", flags) + attrs(**how))

    def extended(self, name, body=b""):
        return self.ask(EXTENDED, text(name) + body)
