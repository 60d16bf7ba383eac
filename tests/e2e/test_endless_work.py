# SPDX-License-Identifier: Apache-2.0
"""
A client that makes one step of its worker's work endless. libssh 0.10 writes a channel's data in pieces
of the client's maximum packet size less ten bytes: a client that announces ten makes pieces of nothing,
for ever. The client here reads all of them, so that no bound on memory ends it. From 0.11 on libssh takes nothing
off, and no channel whose client announces nothing at all.
"""
import threading
import time

import paramiko
import pytest

from kit.libssh import KEEPS_WINDOWS
from kit.proc import alive, cpu_seconds, rss, wait_for
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick,
              pytest.mark.skipif(KEEPS_WINDOWS, reason="no size makes this libssh's work endless")]

SECONDS = 3  # WORKER_TURN_SECONDS of common/worker_exit.h


class Watch(threading.Thread):
    """The most memory and processor time that a process was seen with."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.rss, self.cpu = pid, 0, 0.0
        self.start()

    def run(self):
        while alive(self.pid):
            try:
                self.rss = max(self.rss, rss(self.pid))
                self.cpu = max(self.cpu, cpu_seconds(self.pid))
            except (OSError, KeyError):
                break
            time.sleep(0.05)


@pytest.fixture
def endless(broker):
    """The worker's pid and a watch: its client has just asked for a program's output in such pieces."""
    transport = broker.target.paramiko()
    try:
        [worker] = wait_for(lambda: [p for p in broker.workers() if broker.has_client(p)],
                            20 * PATIENCE, "a worker has the client")
        transport._sanitize_packet_size = lambda _: 10
        c = transport.open_session(max_packet_size=10, timeout=20 * PATIENCE)
        watch = Watch(worker)
        c.exec_command("echo up; exec sleep 1000")
        yield worker, watch
    finally:
        transport.close()


def test_endless_work_is_ended(broker, endless):
    since = broker.log_size()
    worker, watch = endless
    # Nobody else notices.
    assert broker.target.ssh("echo fine").stdout == b"fine\n"
    wait_for(lambda: not alive(worker), 60 * PATIENCE, "the worker is gone")
    watch.join(20)
    assert watch.cpu < SECONDS + 2
    assert watch.rss < 64 << 20 or PATIENCE > 1, watch.rss
    said = f"worker pid={worker} gave up: one step of its work took more than {SECONDS} s"
    wait_for(lambda: said in broker.log(since), 20 * PATIENCE, "the broker's log says so")
    assert broker.target.ssh("echo fine").stdout == b"fine\n"


def test_long_work_is_not(broker):
    """A connection that keeps its worker busy for longer than that, in many steps, goes on."""
    transport = broker.target.paramiko()
    try:
        [worker] = wait_for(lambda: [p for p in broker.workers() if broker.has_client(p)],
                            20 * PATIENCE, "a worker has the client")
        c = transport.open_session(timeout=20 * PATIENCE)
        c.settimeout(20 * PATIENCE)
        c.exec_command("exec cat /dev/zero")
        end = time.monotonic() + 120 * PATIENCE
        while cpu_seconds(worker) < SECONDS + 1:
            assert c.recv(1 << 20), "it was ended"
            assert time.monotonic() < end
        assert c.recv(1)
    except paramiko.SSHException as error:
        raise AssertionError(broker.log()[-2000:]) from error
    finally:
        transport.close()
