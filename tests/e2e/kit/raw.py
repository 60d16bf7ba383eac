# SPDX-License-Identifier: Apache-2.0
"""
An SSH client that sends whatever it is told to, in any state. It knows one algorithm of each kind,
does no more by itself than it must to be able to send the next packet, and keeps every byte.
"""
import base64
import hashlib
import hmac
import os
import socket
import struct
import time

import paramiko
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kit.target import PATIENCE

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT = range(1, 7)
EXT_INFO, KEXINIT, NEWKEYS, ECDH_INIT, ECDH_REPLY = 7, 20, 21, 30, 31
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_BANNER, USERAUTH_PK_OK = \
    50, 51, 52, 53, 60
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
CHANNEL_OPEN, OPEN_CONFIRMATION, OPEN_FAILURE, WINDOW_ADJUST, CHANNEL_DATA, EXTENDED_DATA, \
    CHANNEL_EOF, CHANNEL_CLOSE, CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_FAILURE = range(90, 101)

KEX, HOST_KEY, CIPHER, MAC = \
    "curve25519-sha256", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256-etm@openssh.com"
STRICT = "kex-strict-c-v00@openssh.com"
MAC_LEN = 32
SECONDS = 20 * PATIENCE


class Gone(Exception):
    """The server has closed the connection."""


def string(data):
    if isinstance(data, str):
        data = data.encode()
    return struct.pack(">I", len(data)) + data


def mpint(data):
    data = data.lstrip(b"\0")
    return string(b"\0" + data if data and data[0] & 0x80 else data)


def message(kind, *fields):
    """A payload: bool, int (uint32) and strings are encoded, a tuple is what it says raw."""
    out = bytes([kind])
    for f in fields:
        if isinstance(f, bool):
            out += bytes([f])
        elif isinstance(f, int):
            out += struct.pack(">I", f)
        elif isinstance(f, tuple):
            out += f[0]
        else:
            out += string(f)
    return out


class Reader:
    """The fields of a payload that came, one after the other."""

    def __init__(self, payload):
        self.data = payload[1:]

    def take(self, n):
        assert len(self.data) >= n, "short packet from the server"
        head, self.data = self.data[:n], self.data[n:]
        return head

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.u32())


def kexinit(kex=(KEX, STRICT), host_key=(HOST_KEY,), cipher=(CIPHER,), mac=(MAC,),
            compression=("none",), follows=False):
    """A KEXINIT; lists as tuples of names, or as bytes that are sent as they are."""
    def names(value):
        return value if isinstance(value, bytes) else ",".join(value).encode()
    lists = [kex, host_key, cipher, cipher, mac, mac, compression, compression, (), ()]
    return (bytes([KEXINIT]) + os.urandom(16) + b"".join(string(names(v)) for v in lists) +
            bytes([follows]) + b"\0\0\0\0")


class Keys:
    """One direction's cipher and MAC."""

    def __init__(self, derive, letters, encrypt):
        iv, key, self.mac_key = derive(letters[0], 16), derive(letters[1], 16), derive(letters[2], 32)
        cipher = Cipher(algorithms.AES(key), modes.CTR(iv))
        self.crypt = (cipher.encryptor() if encrypt else cipher.decryptor()).update

    def mac(self, sequence, data):
        return hmac.digest(self.mac_key, struct.pack(">I", sequence) + data, "sha256")


class RawClient:
    """
    Connected, with the identification exchanged unless banner is None. With login=, key exchange
    and login are done too. narrow: the kernels' buffers on the way back are soon full.
    """

    def __init__(self, target, banner=b"SSH-2.0-raw\r\n", login=None, strict=True, narrow=False,
                 source="127.0.0.1"):
        self.target = target
        self.strict = strict
        self.sock = socket.socket()
        self.sock.settimeout(SECONDS)
        if narrow:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", target.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.out = self.in_ = None
        self.out_sequence = self.in_sequence = 0
        self.session_id = None
        self.banner = self.server_banner = None
        if banner is not None:
            self.identify(banner)
        if login is not None:
            self.exchange()
            self.log_in(login)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # ----- bytes -----

    def send_bytes(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionError, BrokenPipeError) as e:
            raise Gone from e

    def _fill(self, n, seconds):
        end = time.monotonic() + seconds
        while len(self.buffer) < n:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError as e:
                raise Gone from e
            finally:
                self.sock.settimeout(SECONDS)
            if not data:
                raise Gone
            self.buffer += data

    def _take(self, n):
        head, self.buffer = self.buffer[:n], self.buffer[n:]
        return head

    def identify(self, banner):
        self.banner = banner.rstrip(b"\r\n")
        self.send_bytes(banner)
        while b"\n" not in self.buffer:
            self._fill(len(self.buffer) + 1, SECONDS)
        line, _, self.buffer = self.buffer.partition(b"\n")
        self.server_banner = line.rstrip(b"\r")

    def is_closed(self, seconds=SECONDS):
        """Whether the server hangs up within that time; what it still says is thrown away."""
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.buffer = b""
                self._fill(1, max(0.001, end - time.monotonic()))
        except Gone:
            return True
        except socket.timeout:
            pass
        return False

    # ----- packets -----

    def seal(self, payload):
        """The packet as it travels."""
        if self.out is None:
            pad = 8 - (len(payload) + 5) % 8
            pad += 8 if pad < 4 else 0
            packet = struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)
        else:
            pad = 16 - (len(payload) + 1) % 16
            pad += 16 if pad < 4 else 0
            length = struct.pack(">I", len(payload) + pad + 1)
            packet = length + self.out.crypt(bytes([pad]) + payload + bytes(pad))
            packet += self.out.mac(self.out_sequence, packet)
        self.out_sequence = (self.out_sequence + 1) & 0xffffffff
        return packet

    def send(self, *payloads):
        self.send_bytes(b"".join([self.seal(p) for p in payloads]))

    def flood(self, payload, count, stuck=1):
        """
        Send so many copies and look at no answer, until the server hangs up or does not read on
        for `stuck` seconds. Whether it hung up.
        """
        self.sock.settimeout(stuck * PATIENCE)
        try:
            for _ in range(0, count, 1000):
                self.send(*[payload] * 1000)
        except socket.timeout:
            pass
        except Gone:
            return True
        finally:
            self.sock.settimeout(SECONDS)
        return False

    def receive(self, seconds=SECONDS):
        """The next payload. Gone when there is none any more, socket.timeout when it does not come."""
        self._fill(4, seconds)
        n = struct.unpack(">I", self.buffer[:4])[0]
        assert n <= 1 << 18, "no packet length"
        mac = 0 if self.in_ is None else MAC_LEN
        self._fill(4 + n + mac, seconds)
        length, body, tag = self._take(4), self._take(n), self._take(mac)
        if self.in_ is not None:
            assert self.in_.mac(self.in_sequence, length + body) == tag, "wrong MAC from the server"
            body = self.in_.crypt(body)
        self.in_sequence = (self.in_sequence + 1) & 0xffffffff
        return body[1:n - body[0]]

    def expect(self, *kinds, seconds=SECONDS, passing=()):
        """The next payload of one of these kinds; what answers nothing, and passing, is passed over."""
        passed = {IGNORE, DEBUG, EXT_INFO, USERAUTH_BANNER, WINDOW_ADJUST, *passing}
        if GLOBAL_REQUEST not in kinds:
            passed.add(GLOBAL_REQUEST)
        while True:
            payload = self.receive(seconds)
            if payload[0] in kinds:
                return payload
            assert payload[0] in passed, f"message {payload[0]} instead of {kinds}: {payload[:200]}"

    def drain(self):
        """Throw away what the server has said up to now."""
        self.send(message(GLOBAL_REQUEST, "drain@example.org", True))
        while self.receive()[0] != REQUEST_FAILURE:
            pass

    def last_words(self, seconds=SECONDS):
        """The text of the server's DISCONNECT, or None when it hangs up without."""
        try:
            while True:
                payload = self.receive(seconds)
                if payload[0] == DISCONNECT:
                    r = Reader(payload)
                    r.u32()
                    return r.string()
        except Gone:
            return None

    # ----- key exchange -----

    def exchange(self, ours=None, before_reply=(), before_newkeys=(), theirs=None):
        """
        A whole key exchange, the first or another one. ours: the KEXINIT; theirs: the server's, if it
        was read already; the others are packets that are sent in between.
        """
        ours = ours or kexinit(kex=(KEX, STRICT) if self.strict else (KEX,))
        self.send(ours)
        if theirs is None:
            theirs = self.wait_for_kexinit()
        self.finish_exchange(ours, theirs, before_reply, before_newkeys)

    def wait_for_kexinit(self):
        """The server's KEXINIT; what was on its way before it is thrown away."""
        while True:
            payload = self.receive()
            if payload[0] == KEXINIT:
                return payload

    def finish_exchange(self, ours, theirs, before_reply=(), before_newkeys=()):
        secret = X25519PrivateKey.generate()
        public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.send(*before_reply, message(ECDH_INIT, public))
        r = Reader(self.expect(ECDH_REPLY, passing=[UNIMPLEMENTED]))
        host_key, server_public = r.string(), r.string()
        assert host_key == base64.b64decode(self.target.host_key.split()[1])
        k = mpint(secret.exchange(X25519PublicKey.from_public_bytes(server_public)))
        h = hashlib.sha256(string(self.banner) + string(self.server_banner) + string(ours) +
                           string(theirs) + string(host_key) + string(public) +
                           string(server_public) + k).digest()
        self.session_id = self.session_id or h

        def derive(letter, n):
            return hashlib.sha256(k + h + letter + self.session_id).digest()[:n]

        self.expect(NEWKEYS, passing=[UNIMPLEMENTED])
        self.in_ = Keys(derive, (b"B", b"D", b"F"), False)
        self.send(*before_newkeys, bytes([NEWKEYS]))
        self.out = Keys(derive, (b"A", b"C", b"E"), True)
        if self.strict:
            self.out_sequence = self.in_sequence = 0

    # ----- login -----

    def service(self):
        self.send(message(SERVICE_REQUEST, "ssh-userauth"))
        self.expect(SERVICE_ACCEPT)

    def offer(self, user, key):
        return message(USERAUTH_REQUEST, user, "ssh-connection", "publickey", False, key.get_name(),
                       key.asbytes())

    def signed(self, user, key, signer=None, session_id=None):
        """A request that claims key and is signed by signer (by default the same)."""
        m = message(USERAUTH_REQUEST, user, "ssh-connection", "publickey", True, key.get_name(),
                    key.asbytes())
        data = string(session_id or self.session_id) + m
        return m + string((signer or key).sign_ssh_data(data).asbytes())

    def user_key(self):
        return paramiko.Ed25519Key(filename=self.target.keys.user)

    def log_in(self, user):
        self.service()
        self.send(self.signed(user, self.user_key()))
        self.expect(USERAUTH_SUCCESS)

    # ----- channels -----

    def open(self, ours=0, window=1 << 20, packet=32768):
        """Open a session channel; the server's number for it, or None when it refuses."""
        self.send(message(CHANNEL_OPEN, "session", ours, window, packet))
        answer = self.expect(OPEN_CONFIRMATION, OPEN_FAILURE)
        r = Reader(answer)
        r.u32()
        return r.u32() if answer[0] == OPEN_CONFIRMATION else None

    def request(self, channel, name, *fields, seconds=SECONDS):
        """Whether a channel request with want_reply succeeds."""
        self.send(message(CHANNEL_REQUEST, channel, name, True, *fields))
        return self.expect(CHANNEL_SUCCESS, CHANNEL_FAILURE, seconds=seconds,
                           passing=(EXTENDED_DATA,))[0] == CHANNEL_SUCCESS

    def open_other(self, kind, *fields):
        """Whether a channel of any type is opened."""
        self.send(message(CHANNEL_OPEN, kind, 7, 1 << 20, 32768, *fields))
        return self.expect(OPEN_CONFIRMATION, OPEN_FAILURE)[0] == OPEN_CONFIRMATION

    def ask_globally(self, name, *fields):
        """Whether a global request with want_reply succeeds."""
        self.send(message(GLOBAL_REQUEST, name, True, *fields))
        return self.expect(REQUEST_SUCCESS, REQUEST_FAILURE)[0] == REQUEST_SUCCESS
