# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: a program on a pty of ours, typed at and looked at."""
import errno
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time

from kit.target import PATIENCE


class Terminal:
    def __init__(self, argv, rows=24, columns=80, env=None, modes=()):
        """modes: as for stty, set before the program begins."""
        self.master, slave = os.openpty()
        if modes:
            subprocess.run(["stty", *modes], stdin=slave, check=True)
        self._resize(rows, columns)
        self.seen = b""
        self.at = 0
        full = dict(env or os.environ, TERM="xterm")
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=full,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def _resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self._resize(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def send(self, data):
        os.write(self.master, data)

    def _read(self, seconds):
        """More of its output into seen. False: it has ended."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        self.seen += data
        return data != b""

    def expect(self, pattern, seconds=15):
        """Read until pattern (a regular expression over bytes) has come; returns the match."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            match = re.compile(pattern).search(self.seen, self.at)
            if match:
                self.at = match.end()
                return match
            if time.monotonic() > end or not self._read(0.2):
                match = re.compile(pattern).search(self.seen, self.at)
                if match:
                    continue
                raise AssertionError(f"no {pattern!r} after {self.seen[:self.at][-200:]!r} "
                                     f"in {self.seen[self.at:]!r}")

    def finish(self, seconds=15):
        """Read to the end; returns everything that came and the exit code."""
        end = time.monotonic() + seconds * PATIENCE
        while self._read(0.2):
            if time.monotonic() > end:
                raise AssertionError(f"does not end; so far {self.seen!r}")
        return self.seen, self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)
