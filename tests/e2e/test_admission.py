# SPDX-License-Identifier: Apache-2.0
"""
Who is let in: floods, slow clients, sources that misbehave, load balancers, too few descriptors. The
clients have many addresses: all of 127.0.0.0/8 is ours.
"""
import os
import re
import resource
import selectors
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time

import paramiko
import pytest

from kit.broker import TREE, Broker
from kit.exchange_flood import Strangers
from kit.host_sshd import HostSshd
from kit.proc import cpu_seconds, descendants, fds, nice, rss, wait_for, with_command
from kit.raw import RawClient
from kit.target import PATIENCE

SSH = b"SSH-2.0-OpenSSH_9.2p1\r\n"
PENALISED = b"too many failed connections from your address"
CROWDED = b"too many connections from your address"


def shipped(broker, login=None, per_source=None, **config):
    """The defaults as they are shipped, beside what the test is about."""
    broker.config["login"] = login or {}
    broker.config["limits"]["per_source"] = per_source or {}
    broker.config.update(config)
    return broker


def connect(broker, source="127.0.0.2", seconds=20):
    s = socket.create_connection(("127.0.0.1", broker.port), seconds * PATIENCE, (source, 0))
    return s


def first_word(s):
    """What the server says first; nothing: it hung up."""
    try:
        return s.recv(200)
    except ConnectionError:
        return b""


def closes(s, seconds):
    """Seconds until the server hangs up."""
    start = time.monotonic()
    s.settimeout(seconds * PATIENCE)
    try:
        while s.recv(4096):
            pass
    except ConnectionError:
        pass
    s.close()
    return time.monotonic() - start


def login(broker, source, text="in", **how):
    return broker.target.ssh(f"echo {text}", options=["-b", source], **how)


# ----- floods -----

class Flood(threading.Thread):
    """So many connections that say nothing, from many addresses; what is closed comes back."""

    PAUSE = 2.0

    def __init__(self, port, sources, number):
        super().__init__(daemon=True)
        self.port = port
        self.wanted = [sources[i % len(sources)] for i in range(number)]
        self.over = threading.Event()
        self.opened = 0
        self.turned_away = 0

    def open(self, selector, source):
        s = socket.socket()
        s.setblocking(False)
        s.bind((source, 0))
        s.connect_ex(("127.0.0.1", self.port))
        selector.register(s, selectors.EVENT_READ, source)
        self.opened += 1

    def run(self):
        later = []
        with selectors.DefaultSelector() as selector:
            for source in self.wanted:
                self.open(selector, source)
            while not self.over.is_set():
                for key, _ in selector.select(0.1):
                    try:
                        gone = not key.fileobj.recv(4096)
                    except OSError:
                        gone = True
                    if gone:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        later.append((time.monotonic() + self.PAUSE, key.data))
                        self.turned_away += 1
                while later and later[0][0] < time.monotonic():
                    self.open(selector, later.pop(0)[1])
            for key in list(selector.get_map().values()):
                key.fileobj.close()


class Honest(threading.Thread):
    """Logins in a steady rhythm, whether the last one has come to its end or not."""

    def __init__(self, broker, logins, source, pause=1):
        super().__init__(daemon=True)
        self.broker = broker
        self.logins = logins
        self.source = source
        self.pause = pause
        self.results = []
        self.start()

    def one(self, n):
        start = time.monotonic()
        r = login(self.broker, self.source(n), seconds=60)
        self.results.append((n, r.stdout == b"in\n", time.monotonic() - start))

    def run(self):
        begin = time.monotonic()
        threads = []
        for n in range(self.logins):
            time.sleep(max(0, begin + n * self.pause - time.monotonic()))
            threads.append(threading.Thread(target=self.one, args=(n,)))
            threads[-1].start()
        for t in threads:
            t.join()
        self.results.sort()

    def well(self):
        self.join()
        return sum(ok for _, ok, _ in self.results)


def row(name, honest):
    well = sorted(seconds for _, ok, seconds in honest.results if ok) or [0]
    return (f"{name:<34} {honest.well():>3}/{honest.logins:<3} {1000 * well[len(well) // 2]:7.0f} "
            f"{1000 * well[-1]:7.0f}")


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_flood_of_half_open_connections(fresh_broker, capsys):
    """
    Attack row A8, with the shipped defaults: 500 connections from 250 addresses that say nothing and
    come back when they are closed. Who has logged in from an address before still does; a new address
    has to be lucky, as under sshd, until the flood has earned its penalties.
    """
    b = shipped(fresh_broker).start()
    assert login(b, "127.0.1.1").stdout == b"in\n"
    quiet = Honest(b, 6, lambda n: "127.0.1.1")
    assert quiet.well() == 6
    wait_for(b.settled, 30 * PATIENCE, "quiet before the flood")
    usage = [(rss(b.pid), len(fds(b.pid)))]
    flood = Flood(b.port, [f"127.0.0.{n}" for n in range(2, 252)], 500)
    flood.start()
    wait_for(lambda: flood.turned_away > 300, 30 * PATIENCE, "the flood is there")
    people = Honest(b, 18, lambda n: "127.0.1.1")
    strangers = Honest(b, 6, lambda n: f"127.0.2.{n + 1}", pause=3)
    while people.is_alive() or strangers.is_alive():
        usage.append((rss(b.pid), len(fds(b.pid))))
        time.sleep(0.1)
    flood.over.set()
    flood.join()
    # Connections to the engine are kept for a while.
    wait_for(lambda: b.settled() and len(fds(b.pid)) <= usage[0][1] + 8, 60 * PATIENCE,
             "the flood has gone, and its descriptors with it")
    usage.append((rss(b.pid), len(fds(b.pid))))
    before, peak, after = usage[0], [max(column) for column in zip(*usage)], usage[-1]
    with capsys.disabled():
        print("\n".join([
            f"\n{'login and command, each second':<34} {'done':>7} {'p50 ms':>7} {'max ms':>7}",
            row("no flood", quiet), row("flood, an address that logged in", people),
            row("flood, a new address every 3 s", strangers),
            f"flood: {flood.opened} connections, {flood.turned_away} turned away",
            f"broker before, at most, after: RSS {before[0] >> 10}, {peak[0] >> 10}, "
            f"{after[0] >> 10} KiB; {before[1]}, {peak[1]}, {after[1]} descriptors"]))
    assert people.well() == people.logins, people.results
    # At most 100 that have not logged in, four descriptors each for a moment, and what logins take.
    assert peak[1] < before[1] + 4 * 100 + 10 * (people.logins + strangers.logins)
    assert peak[0] < before[0] + (16 << 20)
    assert after[0] < before[0] + (4 << 20)
    assert "connections refused" in b.log()


# ----- the processor -----

class Stream:
    """
    Bytes that a session sends as fast as it can, by the client's own account of them: whoever reads them would
    want the processor too.
    """

    def __init__(self, target, source):
        self.process = target.popen("cat /dev/zero", options=["-b", source],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def work(self):
        """proc(5): what the client has written up to now, nearly all of it to /dev/null."""
        with open(f"/proc/{self.process.pid}/io", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("wchar:")) / 1e6

    def __enter__(self):
        wait_for(lambda: self.work() > 1, 30 * PATIENCE, "the session sends")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        self.process.stderr.close()


class Computing:
    """A session that has something to compute for each processor."""

    def __init__(self, target, source):
        mark = f"busy-{os.urandom(8).hex()}"
        self.command = ["sh", "-c", "while :; do :; done", mark]
        loop = f"sh -c 'while :; do :; done' {mark} & "
        self.process = target.popen(loop * os.cpu_count() + "wait", options=["-b", source],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pids = wait_for(self.loops, 30 * PATIENCE, "the session computes")

    def loops(self):
        assert self.process.poll() is None, self.process.stderr.read()
        pids = with_command(self.command)
        return pids if len(pids) == os.cpu_count() else None

    def work(self):
        return sum(cpu_seconds(pid) for pid in self.pids)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        self.process.stderr.close()
        wait_for(lambda: not with_command(self.command), 30 * PATIENCE, "nothing computes any more")


def pace(session, seconds):
    """How much of its work a session does in a second, over so many."""
    begin, start = session.work(), time.monotonic()
    time.sleep(seconds)
    return (session.work() - begin) / (time.monotonic() - start)


def under_flood(session, strangers, calm, rounds):
    """The work of a session alone and in the flood, medians of so many rounds; and the rows of a table."""
    rows, paces = [], []
    for _ in range(rounds):
        wait_for(calm, 30 * PATIENCE, "nobody but the session is there")
        quiet = pace(session, 3)
        before = strangers.begin()
        time.sleep(1)
        flooded = pace(session, 3)
        done, turned_away = (b - a for a, b in zip(before, strangers.rest()))
        rows.append(f"{quiet:9.2f} {flooded:9.2f} {done:10} {turned_away:12}")
        paces.append((quiet, flooded))
    return *map(statistics.median, zip(*paces)), rows


@pytest.mark.quick
@pytest.mark.alone
def test_strangers_have_what_is_left(fresh_broker):
    """
    Attack row A12: whose worker gets the processor. A stranger's is below everybody's; whoever has logged in,
    or comes from where somebody has, gets what the service has.
    """
    b = shipped(fresh_broker).start()
    stranger = connect(b, "127.0.1.1")
    assert first_word(stranger).startswith(b"SSH-")
    assert nice(b.worker_of(stranger)) == 19
    with RawClient(b.target) as c:
        c.exchange()
        assert nice(b.worker_of(c.sock)) == 19
        c.log_in("dev")
        worker = b.worker_of(c.sock)
        wait_for(lambda: nice(worker) == nice(b.pid), 10 * PATIENCE, "it is raised")
        assert nice(b.worker_of(stranger)) == 19
        known, other = connect(b, "127.0.0.1"), connect(b, "127.0.1.2")
        assert first_word(known).startswith(b"SSH-") and first_word(other).startswith(b"SSH-")
        wait_for(lambda: nice(b.worker_of(known)) == nice(b.pid), 10 * PATIENCE, "it is raised")
        assert nice(b.worker_of(other)) == 19
        assert all(nice(pid) == 19 for pid in b.workers() if not b.has_client(pid))
    for s in (stranger, known, other):
        s.close()


@pytest.fixture
def host_sshd(keys):
    sshd = HostSshd(keys)
    yield sshd
    sshd.close()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_flood_of_key_exchanges(fresh_broker, host_sshd, capsys):
    """
    Attack row A12, with the shipped defaults: from 250 addresses, 200 connections at a time have the server
    do the most expensive key exchange that it offers, and compute nothing themselves. A session that computes
    keeps at least half of what its limits give it, and known sources still get in. The attackers stand for other
    machines: of this one's processors they get what nobody wants.

    What a stream of bytes keeps, with its client on these processors too, is the machine's affair as much as
    ours; so sshd is given the same to do, and a stream carries at most half as much there.
    """
    b = shipped(fresh_broker, log={"level": "info"}).start()
    assert login(b, "127.0.1.1").stdout == b"in\n"
    group, sources = "diffie-hellman-group16-sha512", [f"127.0.0.{n}" for n in range(2, 252)]
    table = []

    def measured(name, begin, strangers, calm):
        wait_for(b.settled, 30 * PATIENCE, "the flood before has gone")
        with begin() as session:
            quiet, flooded, rows = under_flood(session, strangers, calm, 3)
        table.extend(f"{name:<28} {row}" for row in rows)
        return quiet, flooded

    with Strangers(host_sshd.port, group, 200, sources) as strangers:
        theirs = measured("sshd, MB/s", lambda: Stream(host_sshd.target, "127.0.1.1"), strangers,
                          lambda: len(descendants(host_sshd.process.pid)) <= 3)
    with Strangers(b.port, group, 200, sources) as strangers:
        # What they can do to a server that has nothing else to do: else it would be no flood.
        strangers.begin()
        start = time.monotonic()
        wait_for(lambda: strangers.count()[0] >= 50, 60 * PATIENCE, "50 exchanges were done")
        alone = strangers.rest()[0] / (time.monotonic() - start)
        ours = measured("sallyport, MB/s", lambda: Stream(b.target, "127.0.1.1"), strangers, b.calm)
        computing = measured("sallyport, processors", lambda: Computing(b.target, "127.0.1.1"), strangers,
                             b.calm)
        strangers.begin()
        people = Honest(b, 2, lambda n: "127.0.1.1", pause=3)
        people.join()
    with capsys.disabled():
        print(f"\n{'':<28} {'alone':>9} {'in flood':>9} {'exchanges':>10} {'turned away':>12}")
        print("\n".join(table))
        print(f"in the flood a stream carries {ours[1] / theirs[1]:.2f} of what it does with sshd; a computing "
              f"session keeps {computing[1] / computing[0]:.2f}; "
              f"{people.well()} of {people.logins} logins in the flood; without a session it has "
              f"{alone:.0f} exchanges done in a second")
    assert computing[1] >= 0.5 * computing[0]
    assert ours[1] >= 2 * theirs[1]
    assert people.well() == people.logins, people.results


@pytest.mark.quick
def test_strangers_who_sit_there_keep_nobody_out_who_is_known(fresh_broker):
    """They have exchanged keys and do not log in. Somebody known takes the newest one's place; a stranger none."""
    b = shipped(fresh_broker, login={"max_startups": 3}).start()
    assert login(b, "127.0.0.1").stdout == b"in\n"
    held = []
    for n in range(3):
        s = RawClient(b.target, source=f"127.0.0.{n + 2}")
        s.exchange()
        held.append(s)
    assert login(b, "127.0.0.9").returncode == 255
    assert login(b, "127.0.0.1").stdout == b"in\n"
    assert held[2].is_closed()
    for s in held[:2]:
        s.service()
        s.sock.close()


def test_one_source_does_not_crowd_out_another(fresh_broker):
    """Attack row A9: those who are refused hear why, others notice nothing, some are exempt."""
    b = shipped(fresh_broker, login={"penalties": False},
                per_source={"startups": 4, "exempt": ["127.0.0.9"]}).start()
    held = [connect(b) for _ in range(20)]
    words = [first_word(s) for s in held]
    assert sum(w.startswith(b"SSH-") for w in words) == 4, words
    assert sum(CROWDED in w for w in words) >= 15, words
    assert login(b, "127.0.0.3").stdout == b"in\n"
    exempt = [connect(b, "127.0.0.9") for _ in range(6)]
    assert all(first_word(s).startswith(b"SSH-") for s in exempt)
    assert "from=127.0.0.2," in b.log()
    assert "connection refused: limits.per_source.startups reached" in b.log()
    for s in held + exempt:
        s.close()
    wait_for(lambda: login(b, "127.0.0.2").stdout == b"in\n", 20 * PATIENCE, "there is room again")


def test_sources_are_networks(fresh_broker):
    b = shipped(fresh_broker, per_source={"connections": 2, "v4_bits": 24}).start()
    one, two = connect(b, "127.0.0.2"), connect(b, "127.0.0.3")
    assert first_word(one).startswith(b"SSH-") and first_word(two).startswith(b"SSH-")
    assert CROWDED in first_word(connect(b, "127.0.0.4"))
    assert login(b, "127.0.1.4").stdout == b"in\n"
    one.close()
    two.close()


def test_a_flood_of_lines(fresh_broker):
    """Attack row B18: the log stays short, and says what it left out."""
    b = shipped(fresh_broker, login={"max_startups": 1, "penalties": False},
                log={"level": "info"}).start()
    held = connect(b)
    assert first_word(held).startswith(b"SSH-")
    since = b.log_size()
    start = time.monotonic()
    for _ in range(3000):
        connect(b).close()
    # Whom the policy knows, and who did what, is never left out.
    held.close()
    wait_for(lambda: login(b, "127.0.0.3").stdout == b"in\n", 20 * PATIENCE, "there is room again")

    def refused():
        return sum(int(n) for n in re.findall(r"summary: (\d+) connections refused", b.log(since)))

    wait_for(lambda: refused() >= 3000, 25 * PATIENCE, "the summary is there")
    lines = len(b.log(since).splitlines())
    assert lines < 250 + 12 * (time.monotonic() - start), lines
    assert "logged in: key" in b.log(since)
    assert re.search(r"[1-9]\d* lines were not logged", b.log(since))


# ----- slow clients -----

def kexinit():
    """A KEXINIT that libssh likes, as a packet without encryption."""
    names = [b"curve25519-sha256", b"ssh-ed25519", b"aes256-ctr", b"aes256-ctr", b"hmac-sha2-256",
             b"hmac-sha2-256", b"none", b"none", b"", b""]
    body = b"\x14" + os.urandom(16) + b"".join(struct.pack(">I", len(n)) + n for n in names) + bytes(5)
    pad = 8 - (len(body) + 5) % 8 + 4
    return struct.pack(">IB", len(body) + pad + 1, pad) + body + bytes(pad)


def test_who_does_nothing_has_to_go(fresh_broker):
    """Attack row A7: whatever is sent, without a key exchange login.idle ends it."""
    b = shipped(fresh_broker, login={"idle": "2s", "grace": "60s", "penalties": False}).start()
    silent, trickle, half, banner = (connect(b, f"127.0.0.{n}") for n in range(2, 6))
    over = threading.Event()

    def drip():
        try:
            for n in range(1000):
                trickle.sendall(b"x")
                if over.wait(0.1):
                    break
        except OSError:
            pass

    dripping = threading.Thread(target=drip)
    dripping.start()
    banner.sendall(SSH)
    half.sendall(SSH + kexinit())
    assert all(closes(s, 15) < 12 * PATIENCE for s in (silent, half, banner, trickle))
    over.set()
    dripping.join()
    assert b.log().count("no key exchange within login.idle") >= 3


@pytest.mark.parametrize("stop_at", ["exchanged", "offered"])
def test_who_does_not_log_in_has_to_go(fresh_broker, stop_at):
    """The rest of A7: after the key exchange people have login.grace."""
    b = shipped(fresh_broker, login={"idle": "2s", "grace": "6s", "penalties": False}).start()
    start = time.monotonic()
    t = paramiko.Transport(connect(b))
    t.start_client(timeout=20 * PATIENCE)
    if stop_at == "offered":
        with pytest.raises(paramiko.SSHException):
            t.auth_publickey("dev", paramiko.Ed25519Key(filename=b.target.keys.stranger))
    wait_for(lambda: not t.is_active(), 15 * PATIENCE, "the server hung up")
    assert time.monotonic() - start > 4
    t.close()
    assert "login grace time is over" in b.log()
    assert "login.idle" not in b.log()


# ----- penalties -----

def worker_of(broker):
    return wait_for(lambda: [pid for pid in broker.workers() if broker.has_client(pid)],
                    10 * PATIENCE, "a worker has the client")[0]


def test_a_crash_is_held_against_its_source(fresh_broker):
    """Attack row A11: the first crash is the last for a while, and the others' logins work."""
    b = shipped(fresh_broker).start()
    s = connect(b)
    assert first_word(s).startswith(b"SSH-")
    os.kill(worker_of(b), signal.SIGKILL)  # the first of its namespace: others pass by
    wait_for(lambda: "source 127.0.0.2/32 is refused for 90 s: a worker crashed" in b.log(),
             10 * PATIENCE, "the crash is noticed")
    s.close()
    workers = b.workers()
    for _ in range(50):
        s = connect(b)
        assert PENALISED in first_word(s)
        s.close()
    assert b.workers() == workers, "no worker was spent on them"
    r = login(b, "127.0.0.2")
    assert r.returncode == 255 and r.stdout == b""
    assert login(b, "127.0.0.3").stdout == b"in\n"


def test_a_penalty_passes(fresh_broker):
    b = shipped(fresh_broker, login={"penalties": {"crash": "4s", "min": "1s"}}).start()
    s = connect(b)
    assert first_word(s).startswith(b"SSH-")
    os.kill(worker_of(b), signal.SIGKILL)  # the first of its namespace: others pass by
    wait_for(lambda: "is refused for" in b.log(), 10 * PATIENCE, "the crash is noticed")
    s.close()
    wait_for(lambda: login(b, "127.0.0.2").stdout == b"in\n", 30 * PATIENCE, "the penalty passed")


def failures_until_refused(b, source, user, key):
    for n in range(10):
        r = login(b, source, user=user, key=key)
        assert r.returncode == 255 and r.stdout == b""
        if b"Permission denied" not in r.stderr:
            return n
        # What it cost is known once the worker is reaped.
        wait_for(lambda: b.ask("status")["connections"] == 0, 20 * PATIENCE, "its worker is gone")
    return None


def penalised_sources(log):
    """Those that the filter for fail2ban finds which the manual page has."""
    with open(f"{TREE}/broker/sallyport-broker.8", encoding="utf-8") as f:
        [line] = re.findall(r"^failregex = (.*)$", f.read(), re.M)
    pattern = line.replace(r"\e", "\\").replace("<SUBNET>", r"([0-9a-f.:]+(?:/\d+)?)")
    return {found[1] for found in (re.search(pattern, line) for line in log.splitlines()) if found}


def test_failed_logins_are_held_against_their_source(fresh_broker):
    """
    After as many for a user that exists as for one that does not (attack row A17). For fail2ban as well: no other
    source is found in the log, whatever is in a name.
    """
    b = shipped(fresh_broker, login={"penalties": {"auth_failed": "100s", "min": "150s"}}).start()
    stranger = b.target.keys.stranger
    assert failures_until_refused(b, "127.0.0.2", "dev", stranger) == 2
    assert failures_until_refused(b, "127.0.0.3", "nobody-like-that", stranger) == 2
    assert PENALISED in first_word(connect(b, "127.0.0.2"))
    assert PENALISED in first_word(connect(b, "127.0.0.3"))
    # A key that fails before the right one is nothing.
    for _ in range(3):
        r = login(b, "127.0.0.4", key=stranger, seconds=60)
        assert r.returncode == 255
        break
    r = b.target.ssh("echo in", options=["-b", "127.0.0.5", "-i", stranger])
    assert r.stdout == b"in\n"
    assert "is refused for" in b.log() and "failed logins" in b.log()
    login(b, "127.0.0.6", user="connection=01234567 source 192.0.2.1/32 is refused for 9 s: x", key=stranger, seconds=60)
    wait_for(lambda: "?source?192.0.2.1/32?" in b.log(), 20 * PATIENCE, "that name is in the log")
    assert penalised_sources(b.log()) == {"127.0.0.2/32", "127.0.0.3/32"}


def test_tries_are_counted_in_the_broker_too(fresh_broker):
    b = shipped(fresh_broker, login={"tries": 2}).start()
    t = paramiko.Transport(connect(b))
    t.start_client(timeout=20 * PATIENCE)
    stranger = paramiko.Ed25519Key(filename=b.target.keys.stranger)
    with pytest.raises(paramiko.SSHException):
        for _ in range(5):
            try:
                t.auth_publickey("dev", stranger)
            except paramiko.AuthenticationException:
                if not t.is_active():
                    raise
    wait_for(lambda: not t.is_active(), 10 * PATIENCE, "the server hung up")
    assert b.log().count("login refused") <= 2
    assert "violation" not in b.log()


# ----- load balancers -----

BALANCER = "127.0.0.5"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, port=1000):
    return f"PROXY TCP4 {source} 198.51.100.7 {port} 2222\r\n".encode()


def v2(source, port=1000, tlvs=b""):
    body = (socket.inet_aton(source) + socket.inet_aton("198.51.100.7") +
            struct.pack(">HH", port, 2222) + tlvs)
    return V2 + b"\x21\x11" + struct.pack(">H", len(body)) + body


class Behind:
    """A broker behind a balancer, with a limit by which sources can be told apart; its log since now."""

    def __init__(self, broker):
        self.broker = broker
        self.since = broker.log_size()

    def log(self):
        return self.broker.log(self.since)

    def connect(self, source=BALANCER):
        return connect(self.broker, source)


@pytest.fixture(scope="module")
def balanced(engine, keys):
    b = Broker(keys, engine.socket)
    yield shipped(b, login={"penalties": False}, per_source={"startups": 1},
                  proxy_protocol=[f"{BALANCER}/32"]).start()
    b.close()


@pytest.fixture
def behind(balanced):
    yield Behind(balanced)
    wait_for(balanced.settled, 20 * PATIENCE, "the workers of this test have ended")


def transport(sock, user, keys):
    t = paramiko.Transport(sock)
    t.banner_timeout = t.auth_timeout = 30 * PATIENCE
    t.start_client(timeout=30 * PATIENCE)
    t.auth_publickey(user, paramiko.Ed25519Key(filename=keys.user))
    return t


@pytest.mark.parametrize("header", [v1("192.0.2.9"), v2("192.0.2.9"),
                                    v2("192.0.2.9", tlvs=b"\x04\0\x10" + bytes(16))],
                         ids=["v1", "v2", "v2-tlv"])
def test_the_balancer_says_whose_connection_it_is(behind, header):
    """Policy, log and program see the client's address; the client's own bytes are left alone."""
    s = behind.connect()
    s.sendall(header)
    t = transport(s, "elsewhere", behind.broker.target.keys)
    c = t.open_session()
    c.exec_command("echo $SSH_CONNECTION")
    assert c.makefile().read() == b"192.0.2.9 1000 198.51.100.7 2222\n"
    t.close()
    assert re.search(rf"from=192\.0\.2\.9,1000 via={re.escape(BALANCER)},\d+ accepted", behind.log())


def test_headers_come_as_they_like(behind):
    """In one piece with what the client sends, or byte for byte."""
    s = behind.connect()
    s.sendall(v1("192.0.2.10") + SSH + kexinit())
    assert first_word(s).startswith(b"SSH-")
    t = behind.connect()
    for byte in v2("192.0.2.11") + SSH:
        t.sendall(bytes([byte]))
        time.sleep(0.005)
    assert first_word(t).startswith(b"SSH-")
    # Limits are the client's, not the balancer's.
    u = behind.connect()
    u.sendall(v2("192.0.2.11", 1001))
    assert CROWDED in first_word(u)
    for x in (s, t, u):
        x.close()


def test_health_checks(behind):
    """The balancer for itself: connects and leaves, or says so."""
    behind.connect().close()
    for header in (V2 + b"\x20\0\0\0", b"PROXY UNKNOWN\r\n"):
        s = behind.connect()
        s.sendall(header)
        assert first_word(s).startswith(b"SSH-")
        s.close()
        # A source may have one at a time, and its place is free when the worker has gone: that it ends is said before.
        wait_for(lambda: behind.broker.ask("status")["connections"] == 0, 20 * PATIENCE, "the check is over")
    assert f"from={BALANCER}," in behind.log()
    assert "via=" not in behind.log()


@pytest.mark.parametrize("says", [SSH, b"PROXY TCP4 192.0.2.9 198.51.100.7 99999 22\r\n" + SSH,
                                  v2("192.0.2.9", tlvs=b"\x04\x10\0" + bytes(4096)) + SSH,
                                  V2 + b"\x21\x11\xff\xff" + bytes(70000)],
                         ids=["none", "malformed", "oversize", "huge"])
def test_a_balancer_without_a_header(behind, says):
    s = behind.connect()
    try:
        s.sendall(says)
        assert b"SSH-" not in first_word(s)
    except ConnectionError:
        pass
    s.close()
    wait_for(lambda: "connection refused: " in behind.log(), 10 * PATIENCE, "it is refused")
    assert f"from={BALANCER}," in behind.log()
    assert "accepted" not in behind.log()


def test_a_header_that_never_comes(behind):
    s = behind.connect()
    s.sendall(b"PROXY TCP4 ")
    assert 3 < closes(s, 20)
    assert "no PROXY header of this balancer in time" in behind.log()


@pytest.mark.parametrize("header", [v1("192.0.2.9"), v2("192.0.2.9")], ids=["v1", "v2"])
def test_a_forged_header(behind, header):
    """Attack row A21: from anybody else it is no header, but a bad beginning of SSH."""
    s = behind.connect("127.0.0.66")
    s.sendall(header + SSH)
    closes(s, 30)
    assert "from=192.0.2.9" not in behind.log() and "via=" not in behind.log()
    assert "from=127.0.0.66," in behind.log()
    u = behind.connect("127.0.0.66")
    u.sendall(header)
    with pytest.raises((paramiko.SSHException, OSError, EOFError)):
        transport(u, "elsewhere", behind.broker.target.keys)
    assert "logged in" not in behind.log()


# ----- descriptors -----

def test_out_of_descriptors(fresh_broker):
    """Attack row B15: who is in stays in, nothing spins, and it passes."""
    b = shipped(fresh_broker, login={"max_startups": 200, "penalties": False},
                log={"level": "info"}).start()
    p = b.target.popen("echo up; while read x; do echo $x; done")
    assert p.stdout.readline() == b"up\n"
    resource.prlimit(b.pid, resource.RLIMIT_NOFILE, (64, 64))
    since = b.log_size()
    held = [connect(b, f"127.0.0.{2 + n}") for n in range(100)]
    wait_for(lambda: len(fds(b.pid)) > 55, 30 * PATIENCE, "descriptors run out")
    busy = cpu_seconds(b.pid)
    time.sleep(3)
    assert cpu_seconds(b.pid) - busy < 1.5
    p.stdin.write(b"unharmed\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"unharmed\n"
    for s in held:
        s.close()
    wait_for(lambda: login(b, "127.0.0.2").stdout == b"in\n", 40 * PATIENCE, "logins work again")
    p.stdin.close()
    assert p.wait(20 * PATIENCE) == 0
    p.stdout.close()
    p.stderr.close()
    log = b.log(since)
    assert "Too many open files" in log or "no worker could be started" in log
    assert log.count("cannot accept connections") <= 2
