# SPDX-License-Identifier: Apache-2.0
"""The broker under test, with a configuration, policy and host keys of its own."""
import contextlib
import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from kit.proc import alive, children, descendants, fds, free_port, wait_for
from kit.target import PATIENCE, Target

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SALLYPORT_BUILD", f"{TREE}/build/release")
SANITIZERS = os.path.basename(BUILD) == "dev"  # they keep what was freed, and are slow
PROGRAM = f"{BUILD}/broker/sallyport-broker"
WORKER_UIDS = range(1900000000, 1900131072)  # the default
PRESPAWN = 2
MISSING_IMAGE = "sallyport-test/not-there:latest"
DATA_PATH = os.environ.get("SALLYPORT_DATA_PATH", "direct")


def direct_only(why):
    """The marker for a test of what the data path "engine" does not have: sallyport-policy(5) lists it."""
    return pytest.mark.skipif(DATA_PATH != "direct", reason=f"the data path \"engine\": {why}")


def profile(image="sallyport-test/bash:latest", session=None, **container):
    base = {"image": image, "user": "1000:1000", "workdir": "/home/dev", "stop_grace": "2s",
            "mounts": [{"tmpfs": "/tmp", "size": "64M"}]}
    if DATA_PATH != "direct":
        base["data_path"] = DATA_PATH
    base.update(container)
    return {"container": base, "session": session or {}}


BASH = {"shell": ["/bin/bash"], "exec": ["/bin/bash", "-c", "${command}"]}
SFTP = {"subsystems": {"sftp": True}}
ROOM = {"mounts": [{"tmpfs": "/tmp", "size": "1G"}], "limits": {"memory": "1536M"}}
# For the matrix of clients: everything is allowed, and the home directory can be written.
ALL = {"read_only_root": False, "mounts": [{"tmpfs": "/tmp", "size": "1200M"}],
       "limits": {"memory": "1536M"}, "session": dict(SFTP, channels=64, forward={
           "local": ["container:1-65535"], "remote": ["container:0", "container:1-65535"],
           "agent": True, "x11": True})}
DEBIAN = profile("sallyport-test/oracle:latest", argv=BASH, **ALL)
BUSYBOX = profile("sallyport-test/busybox:latest", **ALL)


def kept(base):
    """The profile with one container for all connections of a user."""
    return dict(base, container=dict(base["container"], mode="user"))


PROFILES = {
    "debian": DEBIAN,
    "debian-kept": kept(DEBIAN),
    "busybox": BUSYBOX,
    "busybox-kept": kept(BUSYBOX),
    "dev": profile(argv=BASH),
    "dev-kept": kept(profile(argv=BASH)),
    "solo": profile(argv=BASH, mode="session"),
    "busy": profile("sallyport-test/busybox:latest"),
    "onebin": profile("sallyport-test/onebinary:latest", workdir="/",
                      argv={"shell": ["/prog"], "exec": ["/prog", "${command}"]}),
    "files": profile(argv=BASH, session=SFTP, **ROOM),
    "busyfiles": profile("sallyport-test/busybox:latest", session=SFTP, **ROOM),
    "onefiles": profile("sallyport-test/onebinary:latest", session=SFTP,
                        argv={"shell": ["/prog"], "exec": ["/prog", "${command}"]},
                        **dict(ROOM, user="4242:4243", workdir="/")),
    "justfiles": profile(session=dict(SFTP, shell=False, exec=False, pty=False)),
    "readfiles": profile(session={"subsystems": {"sftp": "read-only"}}),
    "theirfiles": profile("sallyport-test/oracle:latest", session={"subsystems": {
        "sftp": ["/usr/lib/openssh/sftp-server"], "hello": ["printf", "%s|", "$(id)", "a  b"]}}),
    "nofiles": profile(session={"subsystems": {"sftp": ["/no/such/server"]}}),
    "forward": profile("sallyport-test/oracle:latest", argv=BASH, session={
        "channels": 64, "forward": {"local": ["container:1-65535"],
                                    "remote": ["container:0", "container:1-65535"], "agent": True,
                                    "x11": True}}),
    "narrow": profile(argv=BASH, session={"channels": 3, "forward": {
        "local": ["container:8080", "container:9000-9010", "192.0.2.0/24:7", "[2001:db8::1]:7"],
        "remote": ["container:8080", "container:9000-9010", "192.0.2.0/24:7000", "[::]:9100"]}}),
    "soloforward": profile(argv=BASH, mode="session", session={
        "forward": {"local": ["container:1-65535"], "remote": ["container:8080"], "agent": True,
                    "x11": True}}),
    "nopty": profile(argv=BASH, session={"pty": False}),
    "noshell": profile(argv=BASH, session={"shell": False}),
    "noexec": profile(argv=BASH, session={"exec": False}),
    "lost": profile(MISSING_IMAGE),
    "noshellthere": profile(argv={"shell": ["/bin/nosh"], "exec": ["/bin/nosh", "${command}"]}),
    "small": profile(argv=BASH, session={"channels": 2}),
    "envs": profile(argv=BASH, session={"env": ["GREETING"]}, env={"SET_BY_POLICY": "yes"}),
}
REFUSED_SENTENCE = "Not today, the gate is shut."


def policy(keys):
    """One user for each profile, and some that policy does not let in."""
    everybody = [*PROFILES, "refused", "ruleless", "elsewhere"]
    return {
        "sallyport_policy": 1,
        "users": {name: {"keys": keys.public()} for name in everybody},
        "profiles": copy.deepcopy(PROFILES),  # a test may change its own
        "rules": [
            {"id": "no-entry", "if": {"user": ["refused"]}, "deny": REFUSED_SENTENCE},
            {"id": "from-afar", "if": {"user": ["elsewhere"], "from": ["192.0.2.0/24"]},
             "use": "dev"},
            *({"id": name, "if": {"user": [name]}, "use": name} for name in PROFILES),
        ],
    }


class Broker:
    """start() it, stop() it or kill() it, close() it. Nothing of it survives close()."""

    def __init__(self, keys, engine_socket):
        # Short, because the rendezvous sockets' paths are limited to 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="sp-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.process = None
        for kind in ("ed25519", "ecdsa", "rsa"):
            for end in ("", ".pub"):
                shutil.copy(f"{keys.directory}/host_{kind}{end}", f"{self.dir}/host_{kind}_key{end}")
        self.port = free_port()
        self.config = {
            "listen": [f"127.0.0.1:{self.port}"],
            "host_keys": [f"host_{kind}_key" for kind in ("ed25519", "ecdsa", "rsa")],
            "policy": "policy.json",
            "engine": {"socket": engine_socket, "guest_dir": f"{BUILD}/guest/bundle"},
            "worker": {"program": f"{BUILD}/daemon/sallyportd", "prespawn": PRESPAWN},
            # All of our clients share an address, and many of them mean to fail.
            "login": {"max_startups": 100},
            "limits": {"drain": "2s", "per_source": {"exempt": ["127.0.0.0/8"]}},
            "log": {"level": "debug"},
            "audit": {"file": "audit.log"},
            "runtime_dir": "run",
            "state_dir": "state",
        }
        self.policy = policy(keys)
        self.target = Target("sallyport", self.port, keys, f"{self.dir}/host_ed25519_key", self.dir)

    def write(self):
        for name, value in (("broker.json", self.config), ("policy.json", self.policy)):
            path = f"{self.dir}/{name}"
            with open(path, "w", encoding="utf-8") as f:
                json.dump(value, f, indent=2)
            os.chmod(path, 0o600)

    def start(self):
        self.write()
        with open(f"{self.dir}/log", "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen([PROGRAM, "-c", f"{self.dir}/broker.json"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        wait_for(lambda: self.process.poll() is not None or "ready: policy" in self.log(before),
                 20 * PATIENCE, "the broker becomes ready")
        assert self.process.poll() is None, f"the broker ended:\n{self.log(before)}"
        return self

    @property
    def pid(self):
        return self.process.pid

    def log(self, since=0):
        with open(f"{self.dir}/log", "rb") as f:
            f.seek(since)
            return f.read().decode(errors="replace")

    def audit(self, **wanted):
        """Events of the audit log whose fields have these values; every line has to be one."""
        with open(f"{self.dir}/audit.log", "rb") as f:
            raw = f.read()
        assert all(b == 10 or 32 <= b < 127 for b in raw), "the audit log holds raw bytes"
        events = [json.loads(line) for line in raw.splitlines()]
        return [e for e in events if all(e.get(k) == v for k, v in wanted.items())]

    def ask(self, do, **keys):
        """What the control socket answers to this request."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20 * PATIENCE)
            s.connect(f"{self.dir}/run/control.sock")
            s.sendall(json.dumps({"do": do, **keys}).encode() + b"\n")
            with s.makefile("rb") as f:
                return json.loads(f.read())

    def log_size(self):
        return os.stat(f"{self.dir}/log").st_size

    def side_process(self, name):
        """The broker's own child; a worker that a spawner has just begun has its name until its program starts."""
        [pid] = [pid for pid, called in children(self.pid).items() if called == name]
        return pid

    def workers(self):
        return sorted(pid for pid, name in descendants(self.pid).items() if name == "sallyportd")

    def busy_worker(self, action):
        """The worker that serves the connection which action() makes, with action's result."""
        before = set(self.workers())
        result = action()
        # A client takes one of the waiting workers and a new one is started for the next.
        served = self.with_client(pid for pid in before if alive(pid))
        assert len(served) == 1, f"{len(served)} workers have a client"
        return served[0], result

    @staticmethod
    def _other_end(sock):
        """The row of /proc/net/tcp about the other end of a client's socket, or None."""
        ours, theirs = sock.getsockname()[1], sock.getpeername()[1]
        with open("/proc/self/net/tcp", encoding="ascii") as f:
            for row in [line.split() for line in f][1:]:
                if (int(row[1].split(":")[1], 16), int(row[2].split(":")[1], 16)) == (theirs, ours):
                    return row
        return None

    def worker_of(self, sock):
        """The worker at the other end of a client's socket."""
        def found():
            row = self._other_end(sock)
            return row and [pid for pid in self.workers()
                            if alive(pid) and f"socket:[{row[9]}]" in fds(pid).values()]

        return wait_for(found, 10 * PATIENCE, "a worker has this client")[0]

    def unread(self, sock):
        """How many bytes of a client wait for its worker to read them."""
        row = self._other_end(sock)
        return 0 if row is None else int(row[4].split(":")[1], 16)

    def reads_no_more(self, sock, seconds=10):
        """Whether a client's worker has stopped to read what has arrived."""
        end = time.monotonic() + seconds * PATIENCE
        before = 0
        while time.monotonic() < end:
            now = self.unread(sock)
            if 0 < now == before:
                return True
            if now == 0 == before:
                return False
            before = now
            time.sleep(0.5)
        return False

    @staticmethod
    def with_client(pids):
        """Those workers that hold a TCP connection: their network namespaces have none, their fds do."""
        sockets = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError):
                sockets[pid] = {link[8:-1] for link in fds(pid).values() if link.startswith("socket:[")}
        # The connection belongs to the namespace in which it was accepted: the host's. The kernel takes long for these.
        with open("/proc/self/net/tcp", encoding="ascii") as f:
            inodes = {line.split()[9] for line in f}
        return [pid for pid, held in sockets.items() if held & inodes]

    def has_client(self, pid):
        return bool(self.with_client([pid]))

    def settled(self):
        """No connection is being served, and the pool is full again."""
        workers = self.workers()
        return len(workers) == PRESPAWN and not self.with_client(workers)

    def calm(self):
        """One connection is being served, and the pool is full again."""
        workers = self.workers()
        return len(workers) == PRESPAWN + 1 and len(self.with_client(workers)) == 1

    def stop(self, seconds=40):
        """SIGTERM and wait; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        below = descendants(self.pid)
        self.process.kill()
        self.process.wait(10)
        return below

    def close(self):
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        shutil.rmtree(self.dir, ignore_errors=True)
