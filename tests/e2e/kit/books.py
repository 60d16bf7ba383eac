# SPDX-License-Identifier: Apache-2.0
"""Counts of everything that sessions make and that has to be gone after them."""
import os

from kit.proc import descendants, fds, processes, rss, with_command

# Connections to the engine are kept for the next call; how many there are is the engine's pace.
ENGINE_CONNECTIONS = 6
# Empty networks and roots of workers that are gone are kept for those that come, and no more (broker/worker_space.h).
SPARE_SPACES = 32
LISTENS = "0A"


def _rows(path):
    """The lines of a table of /proc, without its head."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return [line.split() for line in f][1:]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _sockets(pid):
    """Inodes of a process's sockets."""
    try:
        return {link[8:-1] for link in fds(pid).values() if link.startswith("socket:[")}
    except FileNotFoundError:
        return set()


class Books:
    """What there is of everything: when it is made, and in the end. mark: the sessions' processes sleep so long."""

    def __init__(self, broker, engine, pool, mark):
        self.broker = broker
        self.engine = engine
        self.pool = pool
        self.mark = mark
        self.spawner = broker.side_process("sp-spawner")
        self.first = self.count()
        self.memory = self.resident()

    def _mounts(self):
        """The engine's and the broker's own: others may work beside them."""
        ours = tuple(f"{path}/" for path in (self.engine.directory, os.path.dirname(self.engine.socket), self.broker.dir))
        with open("/proc/self/mounts", encoding="utf-8") as f:
            return sum(line.split()[1].startswith(ours) for line in f)

    def _shims(self):
        """What holds a container of this engine, or an exec in one."""
        home = f"{os.path.dirname(self.engine.socket)}/exec/containerd/containerd.sock".encode()
        found = []
        for pid, (_, name) in processes().items():
            if name.startswith("containerd-shim"):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        found += [pid] if home in f.read().split(b"\0") else []
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return found

    def _listening(self):
        """Sockets that wait for somebody: of the broker and all that it has started, and what has a name in its directory."""
        ours = set().union(*map(_sockets, [self.broker.pid, *descendants(self.broker.pid)]))
        tcp = [row for name in ("tcp", "tcp6") for row in _rows(f"/proc/self/net/{name}")]
        return (len([row for row in tcp if row[3] == LISTENS and row[9] in ours]),
                len([row for row in _rows("/proc/self/net/unix") if row[-1].startswith(f"{self.broker.dir}/")]))

    def _in_containers(self):
        """Execs that the engine remembers, and the sockets of their namespaces."""
        execs = sockets = 0
        for name in self.engine.listed():
            seen = self.engine.get(f"/containers/{name}/json")
            if seen is None:
                continue
            execs += len(seen["ExecIDs"] or [])
            net = f"/proc/{seen['State']['Pid']}/net"
            sockets += sum(len(_rows(f"{net}/{kind}")) for kind in ("tcp", "tcp6", "udp", "udp6", "unix"))
        return execs, sockets

    def count(self):
        b = self.broker
        tcp, unix = self._listening()
        execs, sockets = self._in_containers()
        shims = self._shims()
        open_files = list(fds(b.pid).values())
        its_sockets = sum(link.startswith("socket:[") for link in open_files)
        of_spawner = list(fds(self.spawner).values())
        spaces = [sum(link.startswith(kind) for link in of_spawner) for kind in ("net:[", "mnt:[")]
        return {"containers": len(self.engine.listed()),
                "networks": len(self.engine.run("network", "ls", "-q").split()),
                "volumes": len(self.engine.run("volume", "ls", "-q").split()),
                "mounts": self._mounts(),
                "execs": execs,
                "sockets in containers": sockets,
                "shims": len(shims),
                "processes in containers": sum(len(descendants(pid)) for pid in shims),
                "processes of users": len(with_command(["sleep", self.mark])),
                "workers and spawner": len(descendants(b.pid)),
                "listening sockets": tcp,
                "names of sockets": unix,
                "rendezvous directories": len(os.listdir(f"{b.dir}/run/rendezvous")),
                "marks of kept containers": len(os.listdir(f"{b.dir}/state/kept")),
                "networks and roots that no worker needs": max(0, max(spaces) - len(b.workers()) - SPARE_SPACES),
                "descriptors of the spawner": len(of_spawner) - sum(spaces),
                "sockets of the broker": its_sockets,
                "other descriptors of the broker": len(open_files) - its_sockets}

    def grown(self):
        """What there is more of than there was, or less: {} in the end."""
        now = self.count()
        changed = {what: (was, now[what]) for what, was in self.first.items() if now[what] != was}
        was, is_now = changed.get("sockets of the broker", (0, 0))
        if abs(is_now - was) <= ENGINE_CONNECTIONS:
            changed.pop("sockets of the broker", None)
        return changed

    def resident(self):
        return {"broker": rss(self.broker.pid), "spawner": rss(self.spawner)}

    def settled(self):
        status = self.broker.ask("status")
        return self.broker.settled() and not status["kept"] and status["pool"]["ready"] == self.pool and \
            len(self.engine.listed()) == self.pool
