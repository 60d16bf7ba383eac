# SPDX-License-Identifier: Apache-2.0
"""A man in the middle who understands nothing and turns one bit."""
import socket
import threading


class Flipper:
    """Passes connections on to a port. arm() a direction, and its next bytes are not as they were."""

    def __init__(self, port):
        self.to = port
        self.armed = {}
        self.flipped = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, direction, place):
        """direction: "up" to the server or "down"; place: a fraction of the piece, 0 to 1."""
        self.flipped.clear()
        self.armed[direction] = place

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # nobody is there any more, as the client is to find out
                client.close()
                continue
            for direction, a, b in (("up", client, server), ("down", server, client)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(direction, a, b), daemon=True).start()

    def _pass(self, direction, a, b):
        try:
            while data := a.recv(65536):
                place = self.armed.pop(direction, None)
                if place is not None:
                    piece = bytearray(data)
                    piece[int(place * (len(piece) - 1))] ^= 0x10
                    data = bytes(piece)
                    self.flipped.set()
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
