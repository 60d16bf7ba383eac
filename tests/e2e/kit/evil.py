# SPDX-License-Identifier: Apache-2.0
"""
The test's side of sallyportd-evil (tests/support/evil_worker.c): a worker that has been taken over does
what the test says. Here is what it needs to speak to the broker: records, key exchanges, signatures.
"""
import base64
import contextlib
import hashlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding

from kit.broker import BUILD, PROGRAM, Broker
from kit.engine_watch import check_requests
from kit.fake_engine import FakeEngine
from kit.proc import descendants, wait_for
from kit.target import PATIENCE

# common/PROTOCOL.md
READY, SIGN, QUERY, AUTH, START, CLOSE, FORWARD, TOLD, ACTIVITY = 2, 4, 6, 8, 10, 12, 14, 16, 18
ANS_SIGN, ANS_QUERY, ANS_AUTH, ANS_START, NOTICE, ANS_FORWARD = 5, 7, 9, 11, 13, 15
LISTEN, ANS_LISTEN, ACCEPTED, ANS_ACCEPTED = 20, 21, 22, 23
LISTEN_TCP, LISTEN_AGENT, LISTEN_X11 = 1, 2, 3
SHELL, EXEC, SUBSYSTEM = 1, 2, 3
OK, REFUSED, FAILED = 0, 1, 2
RECORD_MAX = 65536

FIRST = "curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com"
AGAIN = "curve25519-sha256"
SK_TOUCHED, SK_VERIFIED = 1, 4


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def close(channel):
    return bytes([CLOSE]) + u32(channel) + u64(0) + u64(0)


def activity(bytes_in, bytes_out, idle):
    return bytes([ACTIVITY]) + u64(bytes_in) + u64(bytes_out) + u32(idle)


def string(value):
    data = value.encode() if isinstance(value, str) else value
    return u32(len(data)) + data


class Reader:
    def __init__(self, data):
        self.left = data

    def take(self, n):
        assert len(self.left) >= n
        data, self.left = self.left[:n], self.left[n:]
        return data

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.u32())


class Ended(Exception):
    """The broker has ended the pair, or the worker is gone."""


class Key:
    """A user's key: signs what an SSH client signs."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.private = serialization.load_ssh_private_key(f.read(), None)
        with open(f"{path}.pub", encoding="ascii") as f:
            self.algorithm, text = f.read().split()[:2]
        self.blob = base64.b64decode(text)

    def sign(self, data, digest=None):
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, padding.PKCS1v15(), digest or hashes.SHA256())


class SecurityKey:
    """A FIDO key in software: flags and counter are what the test wants them to be."""
    algorithm = "sk-ssh-ed25519@openssh.com"
    application = b"ssh:"

    def __init__(self):
        self.private = ed25519.Ed25519PrivateKey.generate()
        raw = self.private.public_key().public_bytes(serialization.Encoding.Raw,
                                                     serialization.PublicFormat.Raw)
        self.blob = string(self.algorithm) + string(raw) + string(self.application)

    def sign(self, data, flags, counter=1):
        return self.private.sign(hashlib.sha256(self.application).digest() + bytes([flags]) +
                                 u32(counter) + hashlib.sha256(data).digest())


def kexinit(exchanges, host_key="ssh-ed25519"):
    lists = [exchanges, host_key, *["chacha20-poly1305@openssh.com"] * 2, *["hmac-sha2-256"] * 2,
             "none", "none", "", ""]
    return bytes([20]) + bytes(16) + b"".join(map(string, lists)) + bytes(5)


class Worker:
    """One connection whose worker is ours. Use with "with"."""

    def __init__(self, broker, source="127.0.0.1"):
        self.broker = broker
        self.sock = socket.create_connection(("127.0.0.1", broker.port), 60 * PATIENCE, (source, 0))
        self.source = "{},{}".format(*self.sock.getsockname())
        kind, body = self.frame()
        assert kind == "H", kind
        r = Reader(body)
        assert (r.u8(), r.u32()) == (1, 1)
        self.nonce = r.take(16)
        r.take(4 * 4 + 1)
        r.string()
        self.host_keys = [r.string() for _ in range(r.u32())]
        self.session_id = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # ----- the frames

    def exactly(self, n):
        data = b""
        while len(data) < n:
            try:
                chunk = self.sock.recv(n - len(data))
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise Ended
            data += chunk
        return data

    def frame(self):
        head = self.exactly(5)
        return chr(head[0]), self.exactly(struct.unpack(">I", head[1:])[0])

    def tell(self, kind, data=b""):
        try:
            self.sock.sendall(kind.encode() + string(data))
        except ConnectionError:
            raise Ended from None

    def send(self, record):
        self.tell("R", record)

    def burst(self, *records):
        """Send all of them as fast as it goes."""
        self.sock.sendall(b"".join(b"R" + string(record) for record in records))

    def answer(self):
        """The broker's next record: its id, a reader of the rest, how many descriptors came."""
        kind, body = self.frame()
        if kind == "E":
            raise Ended
        assert kind == "A", kind
        return body[1], Reader(body[2:]), body[0]

    def ask(self, record):
        self.send(record)
        return self.answer()

    def outcome(self, *records):
        """Send all of them: "killed" when the broker ended it, else the id of its last answer."""
        try:
            for record in records:
                got = self.ask(record)
            return got[0]
        except Ended:
            return "killed"

    def call(self, name, argument=""):
        """What came of a system call; "killed" when the worker did not live to say so."""
        try:
            self.tell("C", f"{name} {argument}".strip())
            kind, body = self.frame()
        except Ended:
            return "killed"
        assert kind == "C", kind
        return body.decode()

    def write(self, descriptor, data):
        self.tell("W", bytes([descriptor]) + data)

    def shut(self, descriptor):
        self.tell("S", bytes([descriptor]))

    def _bytes(self):
        """The next piece of what is read."""
        while True:
            kind, body = self.frame()
            if kind == "I":
                return body
            assert kind == "A", kind

    def read_some(self, descriptor):
        """What there is of it, when there is something; nothing at its end."""
        self.tell("G", bytes([descriptor]))
        return self._bytes()

    def read_to_end(self, descriptor):
        self.tell("I", bytes([descriptor]))
        return b"".join(iter(self._bytes, b""))

    # ----- what an honest worker would ask

    def transcript(self, nonce=None, exchanges=FIRST, host_key=None, names="ssh-ed25519",
                   client="SSH-2.0-OpenSSH_9.2p1", version=None):
        """The input of the exchange hash, as honest as the arguments leave it."""
        if version is None:
            version = "SSH-2.0-" + self.version(nonce or self.nonce)
        key = self.host_keys[0] if host_key is None else host_key
        return b"".join(map(string, [client, version, kexinit(exchanges, names),
                                     kexinit(AGAIN, "ssh-ed25519,rsa-sha2-512"), key,
                                     b"\1" * 32, b"\2" * 32, b"\3" * 32]))

    @staticmethod
    def version(nonce):
        """The rest of the server's version string: common/ssh_version.c."""
        release = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, check=True)
        return f"OpenSSH_9.2 sallyport_{release.stdout.split()[1]} {nonce.hex()}"

    def sign_request(self, transcript, algorithm="ssh-ed25519"):
        return bytes([SIGN]) + string(algorithm) + string(transcript)

    def exchange(self):
        """The first key exchange, as an honest worker asks for it."""
        transcript = self.transcript()
        assert self.ask(self.sign_request(transcript))[0] == ANS_SIGN
        self.session_id = hashlib.sha256(transcript).digest()

    @staticmethod
    def signed_data(session_id, user, key, algorithm=None, service="ssh-connection",
                    method="publickey", message=50, tail=b""):
        return (string(session_id) + bytes([message]) + string(user) + string(service) +
                string(method) + b"\1" + string(algorithm or key.algorithm) + string(key.blob) + tail)

    @staticmethod
    def auth_request(user, algorithm, blob, signature, flags=0, counter=0):
        return (bytes([AUTH]) + string(user) + string(algorithm) + string(blob) +
                string(signature) + bytes([flags]) + u32(counter))

    def auth(self, *args, **kwargs):
        """"accepted", "refused" or "killed"."""
        try:
            got, r, _ = self.ask(self.auth_request(*args, **kwargs))
        except Ended:
            return "killed"
        assert got == ANS_AUTH
        return "accepted" if r.u8() else "refused"

    def login(self, user, key):
        """The exchange, and a login with the user's own signature."""
        self.exchange()
        signature = key.sign(self.signed_data(self.session_id, user, key))
        assert self.auth(user, key.algorithm, key.blob, signature) == "accepted"

    @staticmethod
    def start_request(channel=0, command="sleep 1000", kind=EXEC, pty=None, env=(), display=None, modes=b""):
        """display: the listener's channel, the display's number, the screen's; modes: of the terminal."""
        record = bytes([START]) + u32(channel) + bytes([kind]) + string(command)
        record += b"\0" if pty is None else b"\1" + string(pty[0]) + b"".join(map(u32, pty[1:])) + string(modes)
        record += b"\0" if display is None else b"\1" + b"".join(map(u32, display))
        return record + u32(len(env)) + b"".join(string(n) + string(v) for n, v in env)

    @staticmethod
    def forward_request(channel=0, host="127.0.0.1", port=8080):
        return bytes([FORWARD]) + u32(channel) + string(host) + u32(port)

    @staticmethod
    def listen_request(channel=0, kind=LISTEN_TCP, host="localhost", port=0, name="MIT-MAGIC-COOKIE-1",
                       cookie=b"0123456789abcdef", only_one=b"\0"):
        record = bytes([LISTEN]) + u32(channel) + bytes([kind])
        if kind == LISTEN_X11:
            return record + string(name) + string(cookie) + only_one
        return record + (string(host) + u32(port) if kind == LISTEN_TCP else b"")

    @staticmethod
    def accepted(channel=1, listener=0, address="127.0.0.1", port=4242):
        return bytes([ACCEPTED]) + u32(channel) + u32(listener) + string(address) + u32(port)

    def listen(self, *args, **kwargs):
        """Result of a listener, and its sentence."""
        got, r, _ = self.ask(self.listen_request(*args, **kwargs))
        assert got == ANS_LISTEN
        r.u32()
        return r.u8(), r.string().decode()

    def forward(self, *args, **kwargs):
        """Result of a forward, and its sentence."""
        got, r, _ = self.ask(self.forward_request(*args, **kwargs))
        assert got == ANS_FORWARD
        r.u32()
        return r.u8(), r.string().decode()

    def start(self, *args, **kwargs):
        """Result of a start, and its sentence."""
        got, r, _ = self.ask(self.start_request(*args, **kwargs))
        assert got == ANS_START
        r.u32()
        result = r.u8()
        r.u8()
        return result, r.string().decode()

    # ----- what the broker says of it

    def log(self):
        """The broker's lines about this connection, the last one from its address: an earlier one had the same port."""
        text = self.broker.log()
        names = [word for line in text.splitlines() if f"from={self.source} " in line
                 for word in line.split() if word.startswith("connection=")]
        return "\n".join(line for line in text.splitlines() if names and f" {names[-1]} " in f"{line} ")

    def ended(self):
        """Close our end, wait until the broker has said how it ended, and return its lines."""
        self.sock.close()
        wait_for(lambda: " ended: " in self.log() or "was killed" in self.log(), 30 * PATIENCE,
                 "the broker says how the connection ended")
        return self.log()


COPIES = 16


class EvilBroker(Broker):
    """A broker whose workers are sallyportd-evil, by this name."""

    def __init__(self, keys, socket_path, name="sallyportd-evil"):
        super().__init__(keys, socket_path)
        program = f"{self.dir}/{name}"
        shutil.copy(f"{BUILD}/tests/sallyportd-evil", program)
        self.config["worker"]["program"] = program
        self.program_name = name
        self.token = SecurityKey()
        self.policy["users"]["token"] = {"keys": [self.public_line(self.token)]}
        with open(f"{keys.stranger}.pub", encoding="ascii") as f:
            self.policy["users"]["victim"] = {"keys": [f.read().strip()]}
        for user in ("token", "victim"):
            self.policy["rules"].append({"id": user, "if": {"user": [user]}, "use": "dev"})
        self.copies = {}
        for user in ("dev", "noshell", "noexec"):
            self.copies[user] = [f"{user}-{i}" for i in range(COPIES)]
            self.policy["users"].update({copy: {"keys": keys.public()} for copy in self.copies[user]})
            self.policy["rules"].append({"id": f"{user}-copies", "if": {"user": list(self.copies[user])}, "use": user})

    def copy_of(self, user):
        """A user with the same profile that nobody has been yet: what one may make the broker write is counted."""
        return self.copies[user].pop()

    @staticmethod
    def public_line(key):
        return f"{key.algorithm} {base64.b64encode(key.blob).decode()} token"

    def worker(self, *args):
        return Worker(self, *args)

    def workers(self):
        return sorted(pid for pid, name in descendants(self.pid).items()
                      if name == self.program_name[:15])


def remove_what_is_left(engine, requests):
    """Of a broker that crashed: what it had asked for, and nothing of others that work on this engine."""
    asked = [re.search(r"/containers/create\?name=([^&]+)", r["path"]) for r in requests]
    for name in {m[1] for m in asked if m} & set(engine.listed()):
        engine.run("rm", "-f", "-v", name)


@contextlib.contextmanager
def evil_broker(keys, engine, name="sallyportd-evil", per_source=None):
    """
    A running EvilBroker whose engine is watched: at its end nothing may be left of it, and nothing in
    the record of the engine's side but what its policy gave to logins that were made.
    """
    with tempfile.TemporaryDirectory(prefix="sp-engine-", dir="/tmp") as directory:
        fake = FakeEngine(directory, engine)
        broker = EvilBroker(keys, fake.socket, name)
        if per_source is not None:
            broker.config["limits"]["per_source"] = per_source
        try:
            yield broker.start()
            assert broker.process.poll() is None, f"the broker ended:\n{broker.log()[-4000:]}"
            assert broker.stop() == 0
            wait_for(lambda: not engine.containers(), 20 * PATIENCE, "no container is left")
            check_requests(broker, fake.requests())
        finally:
            broker.close()
            fake.stop()
            remove_what_is_left(engine, fake.requests())
