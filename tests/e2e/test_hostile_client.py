# SPDX-License-Identifier: Apache-2.0
"""Clients that do not keep to the protocol: they may hurt themselves, and nobody else."""
import os
import socket
import struct
import threading
import time

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_DATA, cMSG_CHANNEL_REQUEST

from kit.proc import alive, cpu_seconds, rss, wait_for
from kit.target import PATIENCE

# Those that bound memory carry the mark "memory": with sanitizers a worker has no such bounds.
pytestmark = pytest.mark.quick

ROOM = 16 << 20


def worker_of(broker):
    return wait_for(lambda: [pid for pid in broker.workers() if broker.has_client(pid)], 20 * PATIENCE,
                    "a worker has the client")[0]


def well(broker):
    """Somebody else's login works meanwhile."""
    r = broker.target.ssh("echo fine")
    assert r.stdout == b"fine\n", r.stderr


def peak_rss(pid, seconds):
    peak = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive(pid):
        try:
            peak = max(peak, rss(pid))
        except (FileNotFoundError, KeyError, ProcessLookupError):
            break
        time.sleep(0.05)
    return peak


@pytest.mark.memory
def test_window_is_ignored(broker):
    """A program that never reads, and a client that sends all the same: it is shown the door."""
    transport = broker.target.paramiko()
    worker = worker_of(broker)
    c = transport.open_session()
    c.exec_command("echo up; exec sleep 1000")
    assert c.recv(10) == b"up\n"
    before = rss(worker)

    def flood():
        data = b"w" * 30000
        try:
            for _ in range(4000):
                m = paramiko.Message()
                m.add_byte(cMSG_CHANNEL_DATA)
                m.add_int(c.remote_chanid)
                m.add_string(data)
                transport._send_user_message(m)
        except (paramiko.SSHException, OSError, EOFError):
            pass

    sender = threading.Thread(target=flood, daemon=True)
    sender.start()
    peak = peak_rss(worker, 10 * PATIENCE)
    wait_for(lambda: not transport.is_active(), 20 * PATIENCE, "the worker has hung up")
    sender.join(10)
    assert peak - before < ROOM, f"grew by {(peak - before) >> 10} KiB"
    transport.close()
    well(broker)


@pytest.mark.memory
def test_huge_window_and_no_reader(broker):
    """The client promises to take two GiB and reads nothing."""
    transport = broker.target.paramiko()
    worker = worker_of(broker)
    try:
        c = transport.open_session(window_size=2 ** 31 - 1)
        hold = threading.Event()
        read = transport.packetizer.read_message

        def stuck():
            if c.active and transport.stop_reading:
                hold.wait(60)
            return read()

        transport.stop_reading = False
        transport.packetizer.read_message = stuck
        c.exec_command("yes")
        before = rss(worker)
        transport.stop_reading = True
        peak = peak_rss(worker, 5)
        assert alive(worker)
        assert peak - before < ROOM, f"grew by {(peak - before) >> 10} KiB"
        well(broker)
        transport.stop_reading = False
        hold.set()
    finally:
        transport.close()


@pytest.mark.memory
@pytest.mark.timeout(150)
@pytest.mark.parametrize("size", [0, 1, 10, 11, 64])
def test_tiny_maximum_packet(broker, size):
    """libssh 0.10 loops for ever on some of these. Such a worker must not stay."""
    transport = broker.target.paramiko()
    worker = worker_of(broker)
    transport._sanitize_packet_size = lambda _: size
    try:
        c = transport.open_session(max_packet_size=size, timeout=10 * PATIENCE)
        c.settimeout(5)
        c.exec_command("head -c 100000 /dev/zero; exec sleep 1000")
        c.recv(100)
    except (paramiko.SSHException, OSError, EOFError, socket.timeout):
        pass
    well(broker)
    transport.close()
    wait_for(lambda: not alive(worker), 60 * PATIENCE,
             f"the worker is gone after its client; it has used {cpu_seconds(worker):.1f} s"
             if alive(worker) else "the worker is gone")


def test_worker_of_an_idle_client_sleeps(broker):
    transport = broker.target.paramiko()
    try:
        worker = worker_of(broker)
        c = transport.open_session()
        c.exec_command("echo up; exec sleep 1000")
        assert c.recv(10) == b"up\n"
        # A program that does not read and has been sent something: no reason to spin, either.
        c.sendall(b"x" * 100000)
        time.sleep(0.5)
        mine, theirs = cpu_seconds(worker), cpu_seconds(broker.pid)
        time.sleep(3)
        assert cpu_seconds(worker) - mine < 0.2
        assert cpu_seconds(broker.pid) - theirs < 0.2
    finally:
        transport.close()


def test_no_spin_while_the_program_has_closed_its_input(broker):
    transport = broker.target.paramiko()
    try:
        worker = worker_of(broker)
        c = transport.open_session()
        c.exec_command("exec <&-; exec >&-; exec 2>&-; exec sleep 1000")
        time.sleep(0.5)
        c.sendall(b"x" * 10000)
        time.sleep(0.5)
        used = cpu_seconds(worker)
        time.sleep(3)
        assert cpu_seconds(worker) - used < 0.2
    finally:
        transport.close()


@pytest.mark.memory
def test_flood_of_channels(broker):
    """More channels than allowed, opened and closed for a while: refused, bounded, survived."""
    transport = broker.target.paramiko()
    try:
        worker = worker_of(broker)
        before = rss(worker)
        held = [transport.open_session() for _ in range(10)]
        for _ in range(500):
            with pytest.raises(paramiko.ChannelException):
                transport.open_session()
        assert rss(worker) - before < ROOM
        for c in held:
            c.close()
    finally:
        transport.close()
    well(broker)


@pytest.mark.memory
def test_flood_of_requests(broker):
    """Environment, window changes and terminals without end on one channel."""
    transport = broker.target.paramiko()
    try:
        worker = worker_of(broker)
        c = transport.open_session()
        before = rss(worker)
        for n in range(2000):
            m = paramiko.Message()
            m.add_byte(cMSG_CHANNEL_REQUEST)
            m.add_int(c.remote_chanid)
            m.add_string("env")
            m.add_boolean(False)
            m.add_string(f"LC_{n}")
            m.add_string("v" * 3000)
            transport._send_user_message(m)
        c.settimeout(20 * PATIENCE)
        c.exec_command("env | grep -c ^LC_; exit 3")
        count = int(c.makefile("rb").read())
        assert c.recv_exit_status() == 3
        assert 0 < count <= 64
        assert rss(worker) - before < ROOM
    finally:
        transport.close()
    well(broker)


# Payloads of channel requests that end too early, or are nonsense.
CRIPPLED = {
    "exec-without-command": ("exec", b""),
    "exec-length-beyond-end": ("exec", struct.pack(">I", 100) + b"ls"),
    "exec-length-4-gib": ("exec", struct.pack(">I", 0xffffffff) + b"ls"),
    "exec-with-nul": ("exec", struct.pack(">I", 9) + b"echo a\0;b"),
    "pty-without-size": ("pty-req", struct.pack(">I", 5) + b"xterm"),
    "pty-huge-term": ("pty-req", struct.pack(">I", 20000) + b"x" * 20000 + struct.pack(
        ">IIIII", 80, 24, 0, 0, 0)),
    "pty-huge-size": ("pty-req", struct.pack(">I", 1) + b"x" + struct.pack(
        ">IIIII", 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0)),
    "window-change-short": ("window-change", b"\0\0"),
    "env-without-value": ("env", struct.pack(">I", 4) + b"LC_A"),
    "env-equals-in-name": ("env", struct.pack(">I", 6) + b"LC_A=B" + struct.pack(">I", 1) + b"c"),
    "signal-empty": ("signal", b""),
    "subsystem-without-name": ("subsystem", b""),
}


@pytest.mark.parametrize("name", CRIPPLED)
def test_crippled_requests(broker, name):
    """Whatever becomes of this connection: nobody else notices, and no worker crashes."""
    kind, payload = CRIPPLED[name]
    since = broker.log_size()
    transport = broker.target.paramiko()
    try:
        c = transport.open_session()
        m = paramiko.Message()
        m.add_byte(cMSG_CHANNEL_REQUEST)
        m.add_int(c.remote_chanid)
        m.add_string(kind)
        m.add_boolean(True)
        m.add_bytes(payload)
        transport._send_user_message(m)
        time.sleep(0.3)
    finally:
        transport.close()
    well(broker)
    log = broker.log(since)
    for crash in ("SIGSEGV", "SIGABRT", "SIGSYS", "Segmentation", "Bad system call"):
        assert crash not in log


def test_bytes_that_are_not_ssh(broker):
    for data in (b"", b"\n" * 100, b"SSH-1.5-old\r\n", b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n",
                 b"A" * 100000, b"SSH-2.0-y\r\n" + struct.pack(">IB", 0xffffffff, 4) + b"z" * 1000,
                 b"SSH-2.0-y\r\n" + struct.pack(">IB", 12, 255) + b"z" * 1000,
                 b"SSH-2.0-y\r\n" + os.urandom(35000)):
        with socket.create_connection(("127.0.0.1", broker.port), 10) as s:
            s.settimeout(10 * PATIENCE)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:  # the server may be gone at any of these steps
                pass
    well(broker)


def test_login_takes_too_long(fresh_broker):
    fresh_broker.config["login"] = {"grace": "4s"}
    b = fresh_broker.start()
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", b.port), 10) as s:
        s.settimeout(20 * PATIENCE)
        assert s.recv(4) == b"SSH-"
        try:
            while s.recv(4096):
                pass
        except ConnectionError:
            pass
        assert 3 < time.monotonic() - start < 20 * PATIENCE
    assert b.target.ssh("sleep 5; echo slow but in").stdout == b"slow but in\n"


def test_too_many_that_do_not_log_in(fresh_broker):
    """A limit on those who have not proven who they are; it clears when they go."""
    fresh_broker.config["login"] = {"max_startups": 5, "grace": "30s"}
    b = fresh_broker.start()
    held = [socket.create_connection(("127.0.0.1", b.port), 10) for _ in range(12)]
    try:
        time.sleep(1)
        served = 0
        for s in held:
            s.settimeout(0.5)
            try:
                served += s.recv(4) == b"SSH-"
            except (socket.timeout, ConnectionError):
                pass
        assert served <= 5
    finally:
        for s in held:
            s.close()
    wait_for(lambda: b.target.ssh("echo in").stdout == b"in\n", 10 * PATIENCE, "there is room again")
