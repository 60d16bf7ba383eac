#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Strangers who have the server compute: each connection is one key exchange, for which they themselves compute
nothing (D(HE)at: the public value is a constant), and goes when the server has signed. A program of its own,
for it stands for other machines: it takes of this one's processor only what nobody else wants.

    exchange_flood.py PORT NAME CONNECTIONS ADDRESS...

NAME is the key exchange. For each byte on stdin it says how many exchanges were done and how many connections
were turned away up to now; with a "b" it begins, with an "r" it rests, as it does at first. It ends with stdin.
"""
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

SSH = b"SSH-2.0-flood\r\n"
KEXINIT, NEWKEYS, INIT, REPLY = 20, 21, 30, 31
PAUSE = 0.2  # before somebody who was turned away tries again


def packet(payload):
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)


def string(data):
    return struct.pack(">I", len(data)) + data


def first_words(name):
    """All that such a client ever says. A public value is just a number, of the size that is usual."""
    lists = [name.encode(), b"ssh-ed25519", b"aes128-ctr", b"aes128-ctr", b"hmac-sha2-256",
             b"hmac-sha2-256", b"none", b"none", b"", b""]
    public = b"\x09" + bytes(31) if name.startswith("curve25519") else b"\x55" * 512
    return (SSH + packet(bytes([KEXINIT]) + os.urandom(16) + b"".join(map(string, lists)) + bytes(5)) +
            packet(bytes([INIT]) + string(public)))


class Stranger:
    """One connection after the other from one address."""

    def __init__(self, selector, port, source, words):
        self.selector, self.port, self.source, self.words = selector, port, source, words
        self.sock = None
        self.heard = b""

    def open(self):
        self.heard = b""
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.bind((self.source, 0))
        self.sock.connect_ex(("127.0.0.1", self.port))
        self.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def close(self):
        if self.sock is not None:
            self.selector.unregister(self.sock)
            self.sock.close()
            self.sock = None

    def signed(self):
        """Whether the answer to the exchange is there."""
        line, newline, rest = self.heard.partition(b"\n")
        if not newline or not line.startswith(b"SSH-"):
            return False
        while len(rest) >= 6:
            length = struct.unpack(">I", rest[:4])[0]
            if rest[5] == REPLY:
                return len(rest) >= 4 + length
            rest = rest[4 + length:]
        return False

    def turn(self, events):
        """None: it goes on; else whether the exchange was done. Then it is closed."""
        try:
            if events & selectors.EVENT_WRITE:
                self.sock.send(self.words)
                self.selector.modify(self.sock, selectors.EVENT_READ, self)
                return None
            data = self.sock.recv(4096)
        except OSError:
            data = b""
        self.heard += data
        if data and not self.signed():
            return None
        self.close()
        return bool(data)


class Flood:
    def __init__(self, port, name, number, addresses):
        self.selector = selectors.DefaultSelector()
        words = first_words(name)
        self.waiting = [(0, Stranger(self.selector, port, addresses[i % len(addresses)], words))
                        for i in range(number)]
        self.strangers = [s for _, s in self.waiting]
        self.done = self.turned_away = 0
        self.active = False

    def obey(self, word):
        print(self.done, self.turned_away, flush=True)
        if word == b"c":
            return
        self.active = word == b"b"
        for s in self.strangers:
            s.close()
        self.waiting = [(0, s) for s in self.strangers]

    def turn(self):
        """One turn; false: nobody listens any more."""
        for key, events in self.selector.select(0.05):
            if key.data is None:
                word = os.read(0, 1)
                if word:
                    self.obey(word)
                return bool(word)
            if key.data.sock is None:
                continue
            done = key.data.turn(events)
            if done is not None:
                self.done += done
                self.turned_away += not done
                self.waiting.append((0 if done else time.monotonic() + PAUSE, key.data))
        now = time.monotonic()
        if self.active:
            for when, s in self.waiting:
                if when <= now:
                    s.open()
            self.waiting = [(when, s) for when, s in self.waiting if when > now]
        return True

    def run(self):
        self.selector.register(0, selectors.EVENT_READ, None)
        while self.turn():
            pass


class Strangers:
    """The program, for a test: in a session of its own, with the lowest priority there is."""

    def __init__(self, port, name, number, addresses):
        self.process = subprocess.Popen([sys.executable, __file__, str(port), name, str(number), *addresses],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        start_new_session=True, text=True)

    def say(self, word):
        self.process.stdin.write(word)
        self.process.stdin.flush()
        return tuple(map(int, self.process.stdout.readline().split()))

    def begin(self):
        return self.say("b")

    def rest(self):
        return self.say("r")

    def count(self):
        """How many exchanges were done and connections turned away up to now; the others say it too."""
        return self.say("c")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def be_modest():
    """Nothing that anybody else wants: neither within our session nor, where sessions count, among them."""
    os.nice(19)
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as f:
            f.write("19")
    except OSError:
        pass


if __name__ == "__main__":
    be_modest()
    Flood(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]).run()
