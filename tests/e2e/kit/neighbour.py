# SPDX-License-Identifier: Apache-2.0
"""Somebody who works while others attack, and what their worker's memory does meanwhile."""
import os
import threading
import time

from kit.proc import alive, status
from kit.target import PATIENCE


class Neighbour:
    """
    Another login that echoes random bytes without a pause for as long as the block lasts. At its end
    it says what went wrong: a byte that changed, or a wait of more than `patience` seconds.
    """

    def __init__(self, target, patience=10):
        self.patience = patience * PATIENCE
        self.transport = target.paramiko()
        self.channel = self.transport.open_session()
        self.channel.settimeout(self.patience)
        self.channel.exec_command("cat")
        self.stop = threading.Event()
        self.rounds = 0
        self.error = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _echo(self):
        data = os.urandom(1000)
        self.channel.sendall(data)
        got = b""
        while len(got) < len(data):
            piece = self.channel.recv(len(data) - len(got))
            if not piece:
                raise EOFError("the neighbour's session has ended")
            got += piece
        if got != data:
            raise ValueError("the neighbour's bytes have changed")
        self.rounds += 1

    def _work(self):
        try:
            while not self.stop.is_set():
                self._echo()
                time.sleep(0.005)
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def __enter__(self):
        self._echo()
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop.set()
            self.thread.join(2 * self.patience)
            if kind is None:
                assert self.error is None, f"the neighbour noticed: {self.error!r}"
                before = self.rounds
                self._echo()
                assert before > 1, "the neighbour did not work meanwhile"
        finally:
            self.transport.close()


class Memory:
    """The most resident memory that a process has had while the block lasted, in bytes."""

    def __init__(self, pid):
        self.pid = pid
        self.peak = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _look(self):
        try:
            self.peak = max(self.peak, int(status(self.pid)["VmHWM"].split()[0]) << 10)
        except (FileNotFoundError, KeyError, ProcessLookupError):
            pass

    def _watch(self):
        while not self.stop.wait(0.02) and alive(self.pid):
            self._look()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(5)
        self._look()
