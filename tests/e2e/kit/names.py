# SPDX-License-Identifier: Apache-2.0
"""A name server that says what a test wants, as often as the test wants, or nothing; and a client of a SOCKS proxy."""
import ipaddress
import socket
import struct
import threading
import time

from kit.target import PATIENCE

TYPES = {4: 1, 6: 28}  # A, AAAA


def name_of(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1


class NameServer:
    """On port 53 of this address. answers: addresses by name, or a function of how often it was asked before."""

    def __init__(self, address):
        self.answers = {}
        self.silent = set()  # names to which nothing is said
        self.delay = 0
        self.asked = []  # (name, type)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 53))
        self.sock.settimeout(0.2)
        self.over = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.over:
            try:
                query, peer = self.sock.recvfrom(2048)
            except TimeoutError:
                continue
            threading.Thread(target=self.answer, args=(query, peer), daemon=True).start()

    def answer(self, query, peer):
        name, at = name_of(query)
        kind, = struct.unpack("!H", query[at:at + 2])
        before = self.asked.count((name, kind))
        self.asked.append((name, kind))
        if name in self.silent:
            return
        time.sleep(self.delay)
        addresses = self.answers.get(name)
        known = addresses is not None
        if callable(addresses):
            addresses = addresses(before)
        found = [a.packed for a in map(ipaddress.ip_address, addresses or []) if TYPES[a.version] == kind]
        reply = query[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, len(found), 0, 0)
        reply += query[12:at + 4]
        for packed in found:
            reply += struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(packed)) + packed
        try:
            self.sock.sendto(reply, peer)
        except OSError:
            pass  # closed meanwhile

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
        self.sock.close()


def socks(proxy_port, host, port):
    """A connection through the proxy of ssh -D to a host by its name; None: the proxy says that it fails."""
    s = socket.create_connection(("127.0.0.1", proxy_port), 30 * PATIENCE)
    s.sendall(b"\5\1\0")
    assert s.recv(2) == b"\5\0"
    s.sendall(b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack("!H", port))
    reply = s.recv(10)
    if reply[:2] == b"\5\0":
        return s
    s.close()
    return None
