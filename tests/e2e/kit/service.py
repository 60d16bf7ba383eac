# SPDX-License-Identifier: Apache-2.0
"""What listens on the client's side, and connections that are made there."""
import socket
import threading

from kit.target import PATIENCE


class Service:
    """What listens on the client's side: each connection is handed to a function, in a thread."""

    def __init__(self, serve, family=socket.AF_INET):
        self.serve = serve
        self.seen = []
        self.sock = socket.socket(family)
        self.sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.sock.listen(64)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, peer = self.sock.accept()
            except OSError:
                return
            self.seen.append(peer)
            threading.Thread(target=self.run, args=(s,), daemon=True).start()

    def run(self, s):
        with s:
            s.settimeout(60 * PATIENCE)
            self.serve(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def echo(s):
    while True:
        data = s.recv(1 << 16)
        if not data:
            return
        s.sendall(data)


def connect(port):
    """A connection to a local port, once the service at the other end has answered a first byte."""
    s = socket.create_connection(("127.0.0.1", port), 20 * PATIENCE)
    s.sendall(b"!")
    assert s.recv(1) == b"!"
    return s


def connected(path):
    """As connect(), to a socket with a name; None while nobody serves it."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.settimeout(20 * PATIENCE)
        s.connect(path)
        s.sendall(b"!")
        if s.recv(1) == b"!":
            return s
    except OSError:
        pass
    s.close()
    return None


def exchange(s, data):
    """What comes back for data and its end."""
    with s:
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b""
        while True:
            more = s.recv(1 << 16)
            if not more:
                break
            got += more
        sender.join()
        return got
