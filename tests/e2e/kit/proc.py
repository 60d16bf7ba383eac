# SPDX-License-Identifier: Apache-2.0
"""Processes as /proc shows them, and waiting with an end."""
import itertools
import os
import socket
import time

PORTS, BLOCK = range(16384, 32768), 128  # below those that the kernel chooses, for who binds to 0 and for who connects


def wait_for(condition, seconds, what):
    """Poll until condition() is true and return its value; fail with what it was about."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def own_ports():
    """A block that no other process of tests has, of this run or another, while the socket is there that holds its name."""
    for first in PORTS[::BLOCK]:
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0sallyport-tests-ports-{first}")
            return held, itertools.cycle(range(first, first + BLOCK))
        except OSError:
            held.close()
    raise RuntimeError("all blocks of ports are taken")


OWN_PORTS = own_ports()


def free_port():
    """Nothing listens there, and as long as this process lives it is no other's. It is given again after all others."""
    for port in itertools.islice(OWN_PORTS[1], BLOCK):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass  # somebody else's, or it was used a moment ago
    raise RuntimeError("each of this process's ports is in use")


def alive(pid):
    """Running, as far as anybody could still be hurt by it: zombies do not count."""
    try:
        return stat_fields(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def status(pid):
    """/proc/PID/status as a dict of strings."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return {k: v.strip() for k, _, v in (line.partition(":") for line in f)}


def rss(pid):
    """Resident memory in bytes."""
    return int(status(pid)["VmRSS"].split()[0]) * 1024


def stat_fields(pid):
    """/proc/PID/stat, from the state on."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


def cpu_seconds(pid):
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nice(pid):
    return int(stat_fields(pid)[16])


def fds(pid):
    """Descriptors of a process: number to what it is."""
    result = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            result[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return result


def with_command(words):
    """Pids of the host's processes, those in containers too, that run exactly these words."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read() == b"".join(word.encode() + b"\0" for word in words):
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def processes():
    """Every process but zombies: {pid: (its parent's, command name)}."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                head, _, tail = f.read().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = tail.split()
        if fields[0] not in "ZX":
            found[int(entry)] = (int(fields[1]), head.partition("(")[2])
    return found


def children(pid):
    """Those that pid has started itself, as {pid: command name}."""
    return {child: name for child, (parent, name) in processes().items() if parent == pid}


def descendants(pid):
    """Every process below pid, as {pid: command name}."""
    below = {}
    for child, (parent, name) in processes().items():
        below.setdefault(parent, []).append((child, name))
    found = {}
    todo = [pid]
    while todo:
        for child, name in below.get(todo.pop(), []):
            found[child] = name
            todo.append(child)
    return found
