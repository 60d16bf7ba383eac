# SPDX-License-Identifier: Apache-2.0
"""The control socket: who may ask, what is told, and what a bad request costs."""
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from kit.broker import PROGRAM
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.quick


def session(broker, command="echo in; exec cat", **how):
    """A client whose program runs: its first line of output has come."""
    client = broker.target.popen(command, **how)
    assert client.stdout.readline() == b"in\n"
    return client


def end(client):
    client.stdin.close()
    client.wait(20 * PATIENCE)
    client.stdout.close()
    client.stderr.close()


def test_sessions_are_listed(broker):
    client = session(broker)
    try:
        mine, = broker.ask("sessions")["sessions"]
        assert (mine["user"], mine["rule"], mine["profile"], mine["state"]) == (
            "dev", "dev", "dev", "logged-in")
        assert mine["from"].startswith("127.0.0.1,") and mine["key"].startswith("SHA256:")
        assert mine["generation"] == 1 and mine["seconds"] >= 0
        channel, = mine["channels"]
        assert channel["state"] == "running" and channel["container"]["state"] == "up"
        assert channel["container"]["name"].startswith("sallyport-")
    finally:
        end(client)
    wait_for(lambda: broker.ask("sessions")["sessions"] == [], 10 * PATIENCE, "nobody is in")


def test_one_that_has_not_logged_in_is_nobody(broker):
    with socket.create_connection(("127.0.0.1", broker.port)):
        wait_for(lambda: broker.ask("sessions")["sessions"], 10 * PATIENCE, "it is seen")
        mine, = broker.ask("sessions")["sessions"]
        assert (mine["state"], mine["user"], mine["rule"]) == ("exchange", None, None)
        assert broker.ask("kill", connection=mine["connection"]) == {"killed": 1, "containers": 0}
        wait_for(lambda: not broker.ask("sessions")["sessions"], 10 * PATIENCE, "it is gone")


@pytest.mark.parametrize("key, value", [("user", "dev"), ("rule", "dev"), ("connection", None)])
def test_kill_says_why(broker, key, value):
    client, other = session(broker), session(broker, user="busy")
    try:
        everybody = {s["user"]: s for s in broker.ask("sessions")["sessions"]}
        wanted = {key: value or everybody["dev"]["connection"]}
        earlier = len(broker.audit(event="control"))  # other files' as well
        assert broker.ask("kill", message="Lunch is ready.", **wanted) == {"killed": 1, "containers": 0}
        assert client.wait(20 * PATIENCE) == 255
        assert b"Lunch is ready." in client.stderr.read()
        other.stdin.write(b"still here\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"still here\n"
        wait_for(lambda: broker.audit(event="disconnect",
                                      connection=everybody["dev"]["connection"]),
                 10 * PATIENCE, "the end is in the audit log")
        [asked] = [e for e in broker.audit(event="control")[earlier:] if e["command"] == "kill"]
        assert (asked[f"wanted_{key}"], asked["uid"]) == (wanted[key], os.getuid())
    finally:
        end(client)
        end(other)


def test_kill_takes_only_who_matches_all(broker):
    client = session(broker)
    try:
        assert broker.ask("kill", user="dev", rule="busy") == {"killed": 0, "containers": 0}
        assert broker.ask("kill", user="nobody") == {"killed": 0, "containers": 0}
        assert "kill whom" in broker.ask("kill")["error"]
        assert "kill whom" in broker.ask("kill", message="all of you")["error"]
        # A word that is misspelt must not make it everybody.
        assert "cannot have" in broker.ask("kill", user="dev", rulee="busy")["error"]
        assert "too long" in broker.ask("kill", user="dev", message="x" * 1025)["error"]
        assert "a control character" in broker.ask("kill", user="dev", message="\x1b[2Jgone")["error"]
        assert client.poll() is None
    finally:
        end(client)


def test_a_worker_that_does_not_leave_is_ended(broker):
    """A worker that is stopped hears no notice: the broker does not wait for its goodbye."""
    worker, client = broker.busy_worker(lambda: session(broker))
    os.kill(worker, signal.SIGSTOP)
    try:
        assert broker.ask("kill", user="dev") == {"killed": 1, "containers": 0}
        wait_for(lambda: not os.path.exists(f"/proc/{worker}"), 20 * PATIENCE, "the worker is gone")
    finally:
        end(client)


def test_status(broker):
    status = broker.ask("status")
    assert status["pid"] == broker.pid and status["stopping"] is False
    assert status["policy"]["generation"] == 1 and len(status["policy"]["sha256"]) == 64
    assert status["policy"]["file"] == f"{broker.dir}/policy.json"
    assert status["policy"]["rejected_at"] is None
    assert status["audit"] == {"file": f"{broker.dir}/audit.log", "required": True,
                               "failing_since": None, "reason": None, "lost": 0}
    assert status["engine"]["state"] == "ok" and status["engine"]["api"].startswith("1.")
    assert status["connections"] == 0 and status["containers"] == 0
    assert status["listen"] == [f"127.0.0.1:{broker.port}"]
    assert f"info: listening on 127.0.0.1:{broker.port}\n" in broker.log()


def test_reload(fresh_broker):
    b = fresh_broker.start()
    b.policy["rules"].pop()
    b.write()
    answer = b.ask("reload")
    assert answer["reloaded"] is True and answer["generation"] == 2
    assert "is used by no rule" in answer["messages"] and "error" not in answer["messages"]
    digest = answer["sha256"]
    b.policy["rulez"] = []
    b.write()
    answer = b.ask("reload")
    assert answer["reloaded"] is False and answer["generation"] == 2
    assert answer["sha256"] == digest
    assert 'unknown key "rulez"' in answer["messages"] and "policy.json:" in answer["messages"]
    assert b.audit(event="policy.rejected")
    policy = b.ask("status")["policy"]
    assert policy["generation"] == 2 and re.fullmatch(r"[-0-9]{10}T[:0-9]{8}Z", policy["rejected_at"])
    assert b.log().count('unknown key "rulez"') == 1, "whoever asked for it: the log has what is wrong"
    del b.policy["rulez"]
    b.write()
    assert b.ask("reload")["reloaded"] is True
    assert b.ask("status")["policy"]["rejected_at"] is None


def fill(pipe):
    """Not a byte more goes into it; whoever has it as stderr, and does not look first, waits."""
    fd = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with os.fdopen(fd, "wb", buffering=0) as f:
        while f.write(bytes(4096)) is not None:
            pass


def drain(pipe):
    os.set_blocking(pipe, False)
    got = b""
    try:
        while True:
            got += os.read(pipe, 65536)
    except BlockingIOError:
        return got


def test_reload_with_a_log_that_nobody_reads(fresh_broker):
    """What is wrong with the policy is lost from the log, and nobody waits for whoever should read it."""
    b = fresh_broker
    unread, log = os.pipe()
    b.write()
    with open(f"{b.dir}/log", "wb"):
        pass  # nothing is in the one that the fixture looks at
    b.process = subprocess.Popen([PROGRAM, "-c", f"{b.dir}/broker.json"], stdin=subprocess.DEVNULL,
                                 stderr=log)
    seen = b""
    while b"ready: policy" not in seen:
        seen = seen[-100:] + os.read(unread, 65536)
    fill(log)
    b.policy.update({f"rulez{i}": [] for i in range(150)})
    b.write()
    for _ in range(3):
        answer = b.ask("reload")
        assert answer["reloaded"] is False and "rulez149" in answer["messages"]
    assert b.target.ssh("echo in").stdout == b"in\n"
    text = drain(unread)
    assert b.ask("reload")["reloaded"] is False
    text = (text + drain(unread)).decode(errors="replace")
    assert "lines are lost: who reads this log was too slow" in text
    assert text.count('error: ') >= 100 and re.search(r"policy\.json:\d+:\d+: unknown key \"rulez0\"", text)
    os.close(unread)
    os.close(log)


def raw(broker, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30 * PATIENCE)
        s.connect(f"{broker.dir}/run/control.sock")
        s.sendall(data)
        with s.makefile("rb") as f:
            return f.read()


@pytest.mark.parametrize("request_line", [
    b"\n", b"sessions\n", b"[]\n", b"{}\n", b'{"do":7}\n', b'{"do":"format"}\n',
    b'{"do":"status","do":"sessions"}\n', b'{"do":"sessions"} x\n', b"\xff\xfe\n",
    b'{"do":"sess\\u0000ions"}\n', b"[" * 4000 + b"\n"])
def test_bad_requests_get_a_sentence(broker, request_line):
    assert "error" in json.loads(raw(broker, request_line))


def test_a_request_without_end(broker):
    assert "too long" in json.loads(raw(broker, b"x" * 4096))["error"]


def test_silent_clients_cost_nobody_else(broker):
    before = len(os.listdir(f"/proc/{broker.pid}/fd"))
    silent = []
    for _ in range(40):
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{broker.dir}/run/control.sock")
        s.settimeout(40 * PATIENCE)
        silent.append(s)
    # Sixteen are waited for and the rest is turned away at once; logins are not their concern.
    assert len(os.listdir(f"/proc/{broker.pid}/fd")) <= before + 20
    assert broker.target.ssh("echo in").stdout == b"in\n"
    for s in silent:
        assert s.recv(1) == b""
        s.close()
    assert "version" in broker.ask("status")


ASK = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
       "s.sendall(b'{\"do\":\"status\"}\\n'); print(s.makefile().read())")


def ask_as(broker, uid, gid, groups=()):
    def become():
        os.setgroups(list(groups))
        os.setgid(gid)
        os.setuid(uid)
    return subprocess.run([sys.executable, "-c", ASK, f"{broker.dir}/run/control.sock"],
                          preexec_fn=become, capture_output=True, check=False, timeout=30 * PATIENCE)


def test_only_root_unless_a_group_is_named(fresh_broker):
    b = fresh_broker.start()
    assert stat.S_IMODE(os.stat(f"{b.dir}/run/control.sock").st_mode) == 0o600
    assert b"PermissionError" in ask_as(b, 64301, 64301).stderr
    # Also whoever gets past the file's mode: the kernel's word decides.
    os.chmod(f"{b.dir}/run/control.sock", 0o666)
    assert b"only root" in ask_as(b, 64301, 64301).stdout
    b.stop()
    assert not os.path.exists(f"{b.dir}/run/control.sock")
    b.config["control"] = {"group": "staff"}
    b.start()
    staff = os.stat(f"{b.dir}/run/control.sock").st_gid
    assert b"version" in ask_as(b, 64301, 64301, [staff]).stdout
    assert b"version" in ask_as(b, 64301, staff).stdout
    assert b"PermissionError" in ask_as(b, 64301, 64301).stderr


def test_a_second_broker_does_not_take_the_socket(fresh_broker):
    b = fresh_broker.start()
    b.kill()
    assert os.path.exists(f"{b.dir}/run/control.sock"), "it was killed"
    b.start()
    assert "version" in b.ask("status")
