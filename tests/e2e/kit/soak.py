# SPDX-License-Identifier: Apache-2.0
"""
Sessions of mixed work in mixed modes with mixed ends, many at once, and what there is of everything before
and after them.
"""
import os
import random
import signal
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from kit.broker import profile
from kit.proc import descendants, fds, rss, wait_for
from kit.target import PATIENCE

IMAGE = "sallyport-test/busybox:latest"
MARK = f"7{os.getpid():07d}"
CLING = (f"nohup sleep {MARK} >/dev/null 2>&1 & setsid sleep {MARK} >/dev/null 2>&1 </dev/null & "
         f"(setsid sh -c '(trap \"\" HUP TERM; sleep {MARK}) &' >/dev/null 2>&1 </dev/null &); ")
POOL = 4
ENGINE_CONNECTIONS = 6
# User and the mode of its profile.
MODES = {"dev": "connection", "solo": "session", "busy": "pool", "onebin": "user"}
ENDS = ["clean", "data", "clinging", "client killed", "worker killed", "guest killed"]


def prepare(broker):
    broker.config["log"]["level"] = "info"
    broker.policy["profiles"].update(
        dev=profile(IMAGE), solo=profile(IMAGE, mode="session"), busy=profile(IMAGE, pool=POOL),
        onebin=profile(IMAGE, mode="user", keep="3s"))


class Session:
    """One of them. seed says which."""

    def __init__(self, broker, engine, seed):
        self.broker = broker
        self.engine = engine
        self.random = random.Random(seed)
        self.user = self.random.choice(list(MODES))
        self.end = self.random.choice(ENDS)
        # Whoever shares a container with others does not end theirs.
        if self.end == "guest killed" and self.user == "onebin":
            self.end = "clean"

    def run(self):
        getattr(self, self.end.replace(" ", "_"))()
        return MODES[self.user], self.end

    def clean(self):
        code = self.random.randrange(200)
        r = self.broker.target.ssh(f"echo out; echo err >&2; exit {code}", user=self.user, seconds=90)
        assert (r.returncode, r.stdout, r.stderr) == (code, b"out\n", b"err\n"), r

    def data(self):
        sent = self.random.randbytes(self.random.randrange(1 << 18))
        r = self.broker.target.ssh("cat", user=self.user, stdin=sent, seconds=90)
        assert (r.returncode, r.stdout) == (0, sent), (r.returncode, len(sent), r.stderr)

    def clinging(self):
        r = self.broker.target.ssh(f"{CLING} exit 5", user=self.user, seconds=90)
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

    def worker_killed(self):
        transport = self.broker.target.paramiko(user=self.user)
        try:
            c = transport.open_session()
            c.settimeout(90 * PATIENCE)
            c.exec_command(f"{CLING} echo up; sleep {MARK}")
            assert c.recv(10) == b"up\n"
            os.kill(self.broker.worker_of(transport.sock), signal.SIGKILL)
            assert c.recv(10) == b""
        finally:
            transport.close()


def sleepers():
    """How many processes of the sessions there are on this host."""
    r = subprocess.run(["pgrep", "-f", "-c", f"^sleep {MARK}$"], stdout=subprocess.PIPE, text=True,
                       check=False)
    return int(r.stdout)


class Books:
    """What there is of everything: when it is made, and in the end."""

    def __init__(self, broker, engine):
        self.broker = broker
        self.engine = engine
        self.spawner = broker.spawner()
        self.first = self.count()
        self.memory = self.resident()

    def _mounts(self):
        with open("/proc/self/mounts", encoding="utf-8") as f:
            return sum(self.engine.directory in line or "sallyport" in line for line in f)

    def count(self):
        b = self.broker
        return {"containers": len(self.engine.listed()),
                "networks": len(self.engine.run("network", "ls", "-q").split()),
                "volumes": len(self.engine.run("volume", "ls", "-q").split()),
                "mounts": self._mounts(),
                "processes of users": sleepers(),
                "workers and spawner": len(descendants(b.pid)),
                "rendezvous directories": len(os.listdir(f"{b.dir}/run/rendezvous")),
                "marks of kept containers": len(os.listdir(f"{b.dir}/state/kept")),
                "descriptors of the spawner": len(fds(self.spawner)),
                "descriptors of the broker": len(fds(b.pid))}

    def grown(self):
        """What there is more of than there was, or less: {} in the end."""
        now = self.count()
        changed = {what: (was, now[what]) for what, was in self.first.items() if now[what] != was}
        # Connections to the engine are kept for the next call; how many there are is the engine's pace.
        was, is_now = changed.get("descriptors of the broker", (0, 0))
        if abs(is_now - was) <= ENGINE_CONNECTIONS:
            changed.pop("descriptors of the broker", None)
        return changed

    def resident(self):
        return {"broker": rss(self.broker.pid), "spawner": rss(self.spawner)}

    def settled(self):
        status = self.broker.ask("status")
        return self.broker.settled() and not status["kept"] and status["pool"]["ready"] == POOL and \
            len(self.engine.listed()) == POOL


def soak(broker, engine, sessions, at_once, seed):
    """
    The books of a broker that runs, and what was done: {(mode, end): how often}. The first sessions, a tenth
    and at least as many as there are at once, fill whatever is made once and kept.
    """
    def one(n):
        return Session(broker, engine, f"{seed} {n}").run()

    def settle(books):
        wait_for(books.settled, 60 * PATIENCE, "every session has ended")

    with ThreadPoolExecutor(at_once) as some:
        list(some.map(one, range(-max(sessions // 10, at_once), 0)))
        settle(Books(broker, engine))
        books = Books(broker, engine)
        done = Counter(some.map(one, range(sessions)))
    settle(books)
    return books, done
