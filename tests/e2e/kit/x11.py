# SPDX-License-Identifier: Apache-2.0
"""The two ends of X11 forwarding: an X server on the client's side, and what draws in there."""
import os
import struct
import subprocess
import threading

from kit.service import Service, echo

NAME = b"MIT-MAGIC-COOKIE-1"
# The client's options.
TRUSTED = ["-Y", "-o", "XAuthLocation=/usr/bin/xauth"]


def exactly(s, n):
    data = b""
    while len(data) < n:
        chunk = s.recv(n - len(data))
        if not chunk:
            raise EOFError(data)
        data += chunk
    return data


class XServer(Service):
    """
    As much of an X server as is needed to see who comes: it says "in" to whom shows the cookie, and sends
    everything back that follows; it says "out" to others.
    """

    def __init__(self, directory):
        self.cookie = os.urandom(16)
        self.shown = []
        super().__init__(self.greet)
        self.display = f"127.0.0.1:{self.port - 6000}"
        self.authority = f"{directory}/Xauthority"
        subprocess.run(["xauth", "-q", "-f", self.authority, "add", self.display, ".", self.cookie.hex()],
                       check=True, stderr=subprocess.DEVNULL)
        # The same for whatever host: asyncssh knows nothing of the names that xauth has for this one.
        with open(self.authority, "ab") as f:
            f.write(b"\xff\xff" + b"".join(struct.pack(">H", len(field)) + field for field in (
                b"", self.display.partition(":")[2].encode(), NAME, self.cookie)))
        self.environment = dict(os.environ, DISPLAY=self.display, XAUTHORITY=self.authority)

    def greet(self, s):
        try:
            order, _, _, name, data = struct.unpack("<BxHHHHxx", exactly(s, 12))
            assert order == ord("l")
            shown = tuple(exactly(s, n + -n % 4)[:n] for n in (name, data))
        except EOFError as early:
            shown = early.args
        self.shown.append(shown)
        if shown == (NAME, self.cookie):
            s.sendall(b"in\n")
            echo(s)
        else:
            s.sendall(b"out\n")


# A program in there, for any shell, with what a library does: it connects, then it looks for the cookie, and it
# waits for the answer (asyncssh loses what comes with the cookie). It says the display, and what the server says.
DRAW = r"""
echo "$DISPLAY"
n=${DISPLAY#localhost:}
export f="${XAUTHORITY:-$HOME/.Xauthority}"
busybox nc 127.0.0.1 $((6000 + ${n%.*})) -e sh -c '
	printf "l\0\013\0\0\0\022\0\020\0\0\0MIT-MAGIC-COOKIE-1\0\0"
	busybox tail -c 16 "$f"
	read -r line && echo "$line" >&3 && echo hello && read -r line && echo "$line" >&3' 3>&1
"""


def serve_channel(channel, cookie):
    """The client's side of one connection, for a library that leaves it to us: "in" and the rest, or "out"."""
    def run():
        name, data = struct.unpack("<HH", exactly(channel, 12)[6:10])
        shown = tuple(exactly(channel, n + -n % 4)[:n] for n in (name, data))
        channel.sendall(b"in\n" if shown == (NAME, cookie) else b"out\n")
        echo(channel)
        channel.close()
    threading.Thread(target=run, daemon=True).start()
