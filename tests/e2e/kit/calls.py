# SPDX-License-Identifier: Apache-2.0
"""
The system calls by which a process changes something outside of it, as strace counts them, and its death by
SIGKILL right before one of them. The binaries are those that are shipped.
"""
import re
import signal
import subprocess
from collections import Counter

from kit.proc import alive, status, wait_for
from kit.target import PATIENCE

# Files and names, what is said to others, processes.
CALLS = """openat mkdir mkdirat chmod fchmod fchmodat rmdir unlink unlinkat rename renameat renameat2 link linkat
    pwrite64 ftruncate fsync bind listen connect accept4 shutdown sendto sendmsg
    clone clone3 fork vfork kill pidfd_send_signal setpriority mount umount2""".split()
# What else there is of it in who does not write logs all the time.
WRITES = ["write", "writev"]


def _strace(log, names, point):
    """Up to what it is to trace. point: (name of a call, its number); there the process dies."""
    argv = ["strace", "-qq", "-s", "40", "-o", log, "-e", f"trace={','.join(names)}", "-e", "signal=none"]
    if point is not None:
        argv += ["-e", f"inject={point[0]}:signal=KILL:when={point[1]}"]
    return argv


def through(log, point=None):
    """What stands before the command of a process that is to be traced from its start; the pid is its own."""
    return [*_strace(log, CALLS, point), "-D"]


def _lines(log, pid):
    with open(log, encoding="ascii", errors="replace") as f:
        for line in f:
            match = re.match(r"(?:(\d+) +)?((\w+)\(.*)", line)
            if match and (pid is None or match[1] in (None, str(pid))):
                yield match[3], match[2]


def points(log, pid=None):
    """Every call of the process, in order, as points; names are opened all the time, and seldom made."""
    counts = Counter()
    found = []
    for name, text in _lines(log, pid):
        counts[name] += 1
        if name != "openat" or "O_CREAT" in text:
            found.append((name, counts[name]))
    return found


def last(log):
    """The last call that was begun."""
    return [text.strip() for _, text in _lines(log, None)][-1]


def reached(log):
    """Whether the only process that was traced has died in its last call."""
    return last(log).endswith("= ?")


class Attached:
    """strace on processes that run already. Use with "with"."""

    def __init__(self, log, pids, point=None):
        self.pids = pids
        which = [word for pid in pids for word in ("-p", str(pid))]
        self.process = subprocess.Popen([*_strace(log, CALLS + WRITES, point), *which], stderr=subprocess.DEVNULL)

    def __enter__(self):
        wait_for(lambda: all(int(status(pid)["TracerPid"]) == self.process.pid for pid in self.pids),
                 20 * PATIENCE, "strace watches")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20 * PATIENCE)

    def died(self):
        return not all(map(alive, self.pids))
