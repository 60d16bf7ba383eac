# SPDX-License-Identifier: Apache-2.0
"""
Sessions of mixed work in mixed modes with mixed ends, many at once, and what there is of everything before
and after them.
"""
import os
import random
import signal
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from kit.books import Books
from kit.broker import SFTP, profile
from kit.proc import free_port, wait_for
from kit.service import Service, connected, echo, exchange
from kit.target import PATIENCE
from kit.x11 import DRAW, TRUSTED, XServer

# With python and ssh-add, and without.
IMAGE, SMALL = "sallyport-test/oracle:latest", "sallyport-test/busybox:latest"
MARK = f"7{os.getpid():07d}"
CLING = (f"nohup sleep {MARK} >/dev/null 2>&1 & setsid sleep {MARK} >/dev/null 2>&1 </dev/null & "
         f"(setsid sh -c '(trap \"\" HUP TERM; sleep {MARK}) &' >/dev/null 2>&1 </dev/null &); ")
SIZES = "stty -echo; echo ready; while read x; do stty size; done; "
# User: the mode of its profile. With "far" in front, by the engine's data path.
MODES = {"dev": "connection", "solo": "session", "busy": "pool", "onebin": "user"}
MODES.update({f"far-{user}": mode for user, mode in MODES.items()})
POOLS = {"busy": 4, "far-busy": 2}
POOL = sum(POOLS.values())
KEPT, ALONE = "user", "session"

EVERYWHERE = ["clean", "data", "clinging", "client killed", "worker killed", "guest killed", "terminal", "files",
              "master", "local forward"]
DIRECT = ["remote forward", "agent", "x11"]
KINDS = EVERYWHERE + DIRECT


def can(user, kind):
    """Whether the user's profile has this kind of work."""
    if kind in DIRECT and user.startswith("far-"):
        return False
    if kind in DIRECT or kind == "local forward":
        # Nobody else is where it would lead to.
        return MODES[user] != ALONE
    # Whoever shares a container with others does not end theirs.
    return kind != "guest killed" or MODES[user] != KEPT


def prepare(broker):
    broker.config["log"]["level"] = "info"
    own = {"connection": {}, "session": {"mode": "session"}, "user": {"mode": "user", "keep": "3s"}}
    keys = broker.policy["users"]["dev"]["keys"]
    for user, mode in MODES.items():
        how = own[mode] if mode in own else {"pool": POOLS[user]}
        forward = {"local": ["container:1-65535"]}
        if user.startswith("far-"):
            how = dict(how, data_path="engine")
            broker.policy["users"][user] = {"keys": keys}
            broker.policy["rules"].append({"id": user, "if": {"user": [user]}, "use": user})
        elif mode != ALONE:
            forward.update(remote=["container:1-65535"], agent=True, x11=True)
        broker.policy["profiles"][user] = profile(
            SMALL if user == "solo" else IMAGE, session=dict(SFTP, channels=16, forward=forward), **how)


class Around:
    """What the clients' side has for all sessions together. agent: its socket and the fingerprint of its key."""

    def __init__(self, directory, agent):
        self.agent, self.fingerprint = agent
        self.screen = XServer(directory)
        self.echo = Service(echo)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.screen.__exit__()
        self.echo.__exit__()


class Session:
    """One of them. seed says what is random in it."""

    def __init__(self, broker, engine, around, kind, seed):
        self.broker = broker
        self.engine = engine
        self.around = around
        self.random = random.Random(seed)
        self.kind = kind
        self.user = self.random.choice([user for user in MODES if can(user, kind)])

    def run(self):
        getattr(self, self.kind.replace(" ", "_"))()
        return self.user, self.kind

    def ssh(self, *args, **how):
        return self.broker.target.ssh(*args, user=self.user, seconds=90, **how)

    def some(self, most):
        return self.random.randbytes(self.random.randrange(1, most))

    def clean(self):
        code = self.random.randrange(200)
        r = self.ssh(f"echo out; echo err >&2; exit {code}")
        assert (r.returncode, r.stdout, r.stderr) == (code, b"out\n", b"err\n"), r

    def data(self):
        sent = self.some(1 << 18)
        r = self.ssh("cat", stdin=sent)
        assert (r.returncode, r.stdout) == (0, sent), (r.returncode, len(sent), r.stderr)

    def clinging(self):
        r = self.ssh(f"{CLING} exit 5")
        assert r.returncode == 5, r

    def _up(self, client):
        assert client.stdout.readline() == b"up\n", client.stderr.read()

    def client_killed(self):
        p = self.broker.target.popen(f"{CLING} echo up; sleep {MARK}", user=self.user)
        if self.random.random() < 0.7:
            self._up(p)
        p.kill()
        p.communicate(timeout=30 * PATIENCE)

    def guest_killed(self):
        p = self.broker.target.popen(f"{CLING} echo up; cat /proc/sys/kernel/hostname; sleep {MARK}",
                                     user=self.user)
        self._up(p)
        host = p.stdout.readline().decode().strip()
        pid = int(self.engine.run("inspect", "--format", "{{.State.Pid}}", host))
        os.kill(pid, signal.SIGKILL)
        p.communicate(timeout=90 * PATIENCE)
        assert p.returncode == 255

    def _channel(self):
        """A session of a connection of its own, and the connection."""
        transport = self.broker.target.paramiko(user=self.user)
        channel = transport.open_session()
        channel.settimeout(90 * PATIENCE)
        return transport, channel

    def worker_killed(self):
        transport, c = self._channel()
        try:
            c.exec_command(f"{CLING} echo up; sleep {MARK}")
            assert c.recv(10) == b"up\n"
            os.kill(self.broker.worker_of(transport.sock), signal.SIGKILL)
            assert c.recv(10) == b""
        finally:
            transport.close()

    def terminal(self):
        """The last of many sizes holds. Then the program ends, or the connection does under it."""
        transport, c = self._channel()
        try:
            c.get_pty("vt100", 80, 24)
            c.exec_command(f"{CLING} {SIZES}")
            lines = c.makefile("rb")
            assert lines.readline() == b"ready\r\n"
            for _ in range(self.random.randrange(1, 30)):
                columns, rows = self.random.randrange(1, 500), self.random.randrange(1, 500)
                c.resize_pty(columns, rows)
            c.sendall(b"\n")
            said = lines.readline()
            assert said == f"{rows} {columns}\r\n".encode(), (self.user, said, rows, columns)
            if self.random.random() < 0.5:
                c.sendall(b"\4")
                assert c.recv_exit_status() == 0
        finally:
            transport.close()

    def files(self):
        """There and back; or one after the other until the client is killed."""
        name = f"/tmp/{self.random.randrange(1 << 60)}"
        with tempfile.TemporaryDirectory() as here:
            sent = self.some(1 << 20)
            with open(f"{here}/sent", "wb") as f:
                f.write(sent)
            if self.random.random() < 0.7:
                r = self.broker.target.sftp(f"put sent {name}\nrename {name} {name}.\nget {name}. got\nrm {name}.\n",
                                            user=self.user, cwd=here, seconds=90)
                assert r.returncode == 0, r.stderr
                with open(f"{here}/got", "rb") as f:
                    assert f.read() == sent
                return
            argv = ["sftp", "-q", "-b", "-", *self.broker.target.options(), f"{self.user}@127.0.0.1"]
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=here) as p:
                p.stdin.write(f"put sent {name}\nget {name} got\n".encode() * 200)
                p.stdin.flush()
                wait_for(lambda: os.path.exists(f"{here}/got"), 90 * PATIENCE, "a file comes back")
                p.kill()

    def master(self):
        """Several channels of one connection, which ends when they have, or under one that goes on."""
        with tempfile.TemporaryDirectory(prefix="sp-cm-", dir="/tmp") as here:
            options = ["-o", f"ControlPath={here}/s"]
            master = self.broker.target.popen("-M", "-N", user=self.user, options=options, stdin=subprocess.DEVNULL)
            try:
                wait_for(lambda: os.path.exists(f"{here}/s") or master.poll() is not None, 90 * PATIENCE,
                         "the master is connected")
                sent = self.some(1 << 16)
                together = [self.broker.target.popen(f"{CLING} cat; exit {n}", user=self.user, options=options)
                            for n in range(1, 5)]
                for n, client in enumerate(together, 1):
                    out, err = client.communicate(sent, timeout=90 * PATIENCE)
                    assert (client.returncode, out) == (n, sent), err
                if self.random.random() < 0.5:
                    last = self.broker.target.popen(f"{CLING} echo up; sleep {MARK}", user=self.user, options=options)
                    self._up(last)
                    master.kill()
                    last.communicate(timeout=90 * PATIENCE)
                else:
                    subprocess.run(self.broker.target.argv(user=self.user, options=[*options, "-O", "exit"]),
                                   check=True, capture_output=True, timeout=90 * PATIENCE)
            finally:
                master.kill()
                master.communicate(timeout=30 * PATIENCE)

    def local_forward(self):
        """Some connections at once; then the session ends, or the client is killed with another one open."""
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="sp-l-", dir="/tmp") as here:
            p = self.broker.target.popen(f"busybox nc -ll -p {port} -e cat & echo up; read x; kill $!", user=self.user,
                                         options=["-L", f"{here}/s:127.0.0.1:{port}"])
            try:
                self._up(p)
                where = f"{here}/s"
                for s in [wait_for(lambda: connected(where), 90 * PATIENCE, "the forward works") for _ in range(3)]:
                    sent = self.some(1 << 17)
                    assert exchange(s, sent) == sent
                if self.random.random() < 0.5:
                    p.communicate(b"\n", timeout=90 * PATIENCE)
                    assert p.returncode in (0, 143), p.returncode
                else:
                    with connected(where) as s:
                        s.sendall(b"x")
                        p.kill()
            finally:
                p.kill()
                p.communicate(timeout=30 * PATIENCE)

    def remote_forward(self):
        """A program in there is served by the client's side; nobody listens any more when the client has gone."""
        port = free_port()
        listens = f"busybox netstat -ltn | busybox grep -q ':{port} '"
        sent = self.some(1 << 17)
        there = ["-R", f"{port}:127.0.0.1:{self.around.echo.port}"]
        wait = f"until {listens}; do busybox sleep 0.1; done; "
        if self.random.random() < 0.7:
            r = self.ssh(f"{wait} exec busybox nc 127.0.0.1 {port}", options=there, stdin=sent)
            assert (r.returncode, r.stdout) == (0, sent), r.stderr
        else:
            p = self.broker.target.popen(f"{CLING} {wait} echo up; exec busybox nc 127.0.0.1 {port}", user=self.user,
                                         options=there)
            self._up(p)
            p.kill()
            p.communicate(timeout=30 * PATIENCE)
        if MODES[self.user] == KEPT:
            wait_for(lambda: self.ssh(f"{listens} || echo none").stdout == b"none\n", 30 * PATIENCE, "nobody listens")

    def agent(self):
        argv = [word.replace("IdentityAgent=none", f"IdentityAgent={self.around.agent}")
                for word in self.broker.target.argv("ssh-add -l; ssh-add -l", user=self.user, options=["-A"])]
        r = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=90 * PATIENCE, check=False)
        assert r.returncode == 0 and r.stdout.count(self.around.fingerprint) == 2, r

    def x11(self):
        r = self.ssh(DRAW, options=TRUSTED, env=self.around.screen.environment)
        assert r.stdout.endswith(b"in\nhello\n"), r


def soak(broker, engine, around, sessions, at_once, seed):
    """
    The books of a broker that runs, and what was done: {(user, kind): how often}. The first sessions, a tenth
    and at least as many as there are at once, fill whatever is made once and kept.
    """
    def one(n):
        return Session(broker, engine, around, KINDS[n % len(KINDS)], f"{seed} {n}").run()

    def books():
        return Books(broker, engine, POOL, MARK)

    def settle():
        now = books()
        wait_for(now.settled, 60 * PATIENCE, "every session has ended")

    with ThreadPoolExecutor(at_once) as some:
        list(some.map(one, range(-max(sessions // 10, at_once), 0)))
        settle()
        before = books()
        done = Counter(some.map(one, range(sessions)))
    settle()
    return before, done
