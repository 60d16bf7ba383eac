# SPDX-License-Identifier: Apache-2.0
"""The audit log: every decision is in it, before its effect, and nothing raw from strangers."""
import gzip
import json
import os
import re
import signal
import socket
import subprocess

import paramiko
import pytest

from kit.broker import BUILD, PROGRAM, TREE
from kit.proc import wait_for
from kit.raw import DISCONNECT, USERAUTH_FAILURE, RawClient, message
from kit.target import PATIENCE
from test_forward import Master
from test_remote_forward import Service, echo, listen

pytestmark = pytest.mark.quick


def events_of(broker, connection):
    return [e["event"] for e in broker.audit(connection=connection)]


def test_a_login_from_its_beginning_to_its_end(fresh_broker):
    b = fresh_broker.start()
    assert b.target.ssh("exit 7").returncode == 7
    login, = b.audit(event="login")
    assert (login["outcome"], login["user"], login["rule"], login["profile"]) == (
        "accepted", "dev", "dev", "dev")
    assert login["key"].startswith("SHA256:") and login["method"] == "publickey"
    assert login["generation"] == 1 and len(login["sha256"]) == 64
    connection = login["connection"]
    wait_for(lambda: "container.remove" in events_of(b, connection), 15 * PATIENCE,
             "the container is gone")
    # The container is begun while the client still opens its channel: its events may come between.
    seen = events_of(b, connection)
    order = ["connect", "login", "request", "channel.closed", "disconnect"]
    assert [e for e in seen if e in order] == order
    assert seen.index("login") < seen.index("container.create") < seen.index("container.up")
    request, = b.audit(event="request")
    assert (request["kind"], request["command"], request["pty"], request["outcome"]) == (
        "exec", "exit 7", False, "allowed")
    assert request["user"] == "dev" and request["from"].startswith("127.0.0.1,")
    b.stop()
    numbers = [e["number"] for e in b.audit()]
    assert numbers == list(range(len(numbers)))
    assert [e["event"] for e in b.audit()][:2] == ["service.start", "policy.loaded"]
    assert b.audit(event="service.stop")


def test_the_end_of_the_service_is_told_from_a_client_that_leaves(fresh_broker):
    b = fresh_broker.start()
    with b.target.popen("echo; exec sleep 1000") as p:
        assert p.stdout.readline() == b"\n"
        b.stop()
        p.wait(20 * PATIENCE)
    ended, = b.audit(event="disconnect")
    assert ended["reason"] == "service stopped"


def test_refusals_have_their_reason(fresh_broker):
    b = fresh_broker.start()
    b.target.ssh("true", user="refused")
    b.target.ssh("true", user="nobody-at-all")
    b.target.ssh("true", key=b.target.keys.stranger)
    denied, = b.audit(event="login", claimed="refused")
    assert denied["outcome"] == "refused" and denied["rule"] == "no-entry"
    assert "user" not in denied, "whoever was refused has proven nothing that counts"
    assert not b.audit(event="login", outcome="accepted")
    assert not b.audit(event="container.create")
    assert "offered" not in denied and denied["key"].startswith("SHA256:")


def fingerprint(public):
    r = subprocess.run(["ssh-keygen", "-l", "-f", public], capture_output=True, check=True, text=True)
    return r.stdout.split()[1]


def test_who_is_a_stranger_is_said(fresh_broker):
    """OpenSSH asks before it signs, and never signs with a key that is not wanted."""
    b = fresh_broker.start()
    stranger = b.target.keys.stranger
    assert b.target.ssh("true", user="mallory").returncode == 255
    assert b.target.ssh("true", user="dev+web", key=stranger).returncode == 255
    unknown, = b.audit(event="login", claimed="mallory")
    assert (unknown["outcome"], unknown["method"], unknown["reason"], unknown["offered"]) == (
        "refused", "publickey", "there is no such user", fingerprint(f"{b.target.keys.user}.pub"))
    assert unknown["from"].startswith("127.0.0.1,") and "user" not in unknown and "key" not in unknown
    other, = b.audit(event="login", claimed="dev+web")
    assert (other["reason"], other["offered"]) == (
        "the key is not one of the user's", fingerprint(f"{stranger}.pub"))
    log = b.log()
    assert (f"connection={unknown['connection']} from={unknown['from']} user=mallory login refused: "
            'there is no user "mallory"\n') in log
    assert f"user=dev+web login refused: key {other['offered']} is not one of \"dev\"'s\n" in log
    assert (b.ask("status")["counters"]["keys_refused"], b.ask("status")["counters"]["logins"]) == (2, 0)
    # A key before the right one: both are there, and nobody is held to have failed.
    assert b.target.ssh("true", key=stranger, options=["-i", b.target.keys.user]).returncode == 0
    assert [e["outcome"] for e in b.audit(event="login")[2:]] == ["refused", "accepted"]


@pytest.mark.parametrize("how", ["offer", "signed"])
def test_who_tries_and_tries_is_counted(fresh_broker, how):
    b = fresh_broker
    b.config["login"]["tries"] = 40
    b.start()
    stranger = paramiko.Ed25519Key(filename=b.target.keys.stranger)
    evil = "x logged in: key"
    with RawClient(b.target) as c:
        c.exchange()
        c.service()
        for _ in range(30):
            c.send(getattr(c, how)(evil, stranger))
            c.expect(USERAUTH_FAILURE)
    wait_for(lambda: b.audit(event="disconnect"), 15 * PATIENCE, "the connection has ended")
    wait_for(lambda: " ended: " in b.log(), 15 * PATIENCE, "and that is logged")
    refused = b.audit(event="login", outcome="refused")
    assert [e.get("left_out") for e in refused] == [None] * 6 + [24]
    assert refused[0]["claimed"] == evil and "claimed" not in refused[-1]
    assert b.log().count("login refused") == 7 and "login refused: 24 more times\n" in b.log()
    assert "user=x?logged?in:?key login refused" in b.log() and "user=x logged in" not in b.log()


TCPIP = ("127.0.0.1", 8080, "127.0.0.1", 40000)


@pytest.mark.parametrize("login, kind, detail, setting, ask", [
    ("nopty", "pty", "xterm", "pty", lambda c, ch: c.request(ch, "pty-req", "xterm", 80, 24, 0, 0, "")),
    ("noshell", "shell", None, "shell", lambda c, ch: c.request(ch, "shell")),
    ("noexec", "exec", "id; who", "exec", lambda c, ch: c.request(ch, "exec", "id; who")),
    ("noexec", "exec", "x" * 256, "exec", lambda c, ch: c.request(ch, "exec", "x" * 1000)),
    ("dev", "subsystem", "netconf", "subsystems", lambda c, ch: c.request(ch, "subsystem", "netconf")),
    ("dev", "x11", None, "forward.x11",
     lambda c, ch: c.request(ch, "x11-req", False, "MIT-MAGIC-COOKIE-1", "0" * 32, 0)),
    # A cookie that xauth would not take: that is not the profile.
    ("forward", "x11", None, None, lambda c, ch: c.request(ch, "x11-req", False, "MIT-MAGIC-COOKIE-1", "zz", 0)),
    ("dev", "channel", None, None, lambda c, ch: c.open_other("direct-streamlocal@openssh.com", "/run/x", "", 0)),
    ("dev", "channel", "x11", None, lambda c, ch: c.open_other("x11", "127.0.0.1", 6000)),
    ("dev", "channel", "forwarded-tcpip", None, lambda c, ch: c.open_other("forwarded-tcpip", *TCPIP)),
    ("small", "too-many-channels", "session", "channels",
     lambda c, ch: c.open(1) is not None and c.open(2) is not None),
    ("dev", "tcpip-forward", "h" * 200 + " port 8022", None,
     lambda c, ch: c.ask_globally("tcpip-forward", "h" * 300, 8022)),
], ids=lambda v: v if isinstance(v, str) and len(v) < 20 else "")
def test_what_the_worker_refuses_by_itself(broker, login, kind, detail, setting, ask):
    """The log names the key of the profile that does not allow it, where it is one."""
    with RawClient(broker.target, login=login) as client:
        assert not ask(client, client.open())
        source = "{},{}".format(*client.sock.getsockname())
    # The connection's last line: everything before it is written.
    wait_for(lambda: broker.audit(event="disconnect", **{"from": source}), 15 * PATIENCE,
             "the connection has ended")
    line, = broker.audit(event="request.refused", **{"from": source})
    [said] = re.findall(rf"connection={line['connection']} .*( refused by the worker.*)", broker.log())
    by = f" by session.{setting} of profile {login}" if setting else ""
    assert said == f" refused by the worker{by}: {kind}" + (f" {detail}" if detail else "")
    assert (line["kind"], line.get("detail"), line["user"]) == (kind, detail, login)


FORGED = "x from=192.0.2.7,22 user=root login refused: there is no user"


def test_no_fields_of_others_in_the_log(broker):
    """What a client says, logged in or not, is words of its line, and no field that a reader of the log would take."""
    with RawClient(broker.target) as stranger:
        stranger.send(message(DISCONNECT, 11, FORGED, ""))
        source = "{},{}".format(*stranger.sock.getsockname())
        wait_for(lambda: broker.audit(event="disconnect", **{"from": source}), 15 * PATIENCE, "it is gone")
    with RawClient(broker.target, login="noexec") as client:
        assert not client.request(client.open(), "exec", FORGED)
    said = FORGED.replace("=", "?")
    wait_for(lambda: broker.log().count(said) == 2, 15 * PATIENCE, "both are written down")
    assert "192.0.2.7" in broker.log() and "from=192.0.2.7" not in broker.log()
    assert "exec " + said in broker.log()


def test_what_is_not_asked_for_is_not_refused(broker):
    """What an ordinary client asks for along the way makes no such line."""
    t, before = broker.target, len(broker.audit(event="request.refused"))
    assert t.ssh("true", options=["-o", "SendEnv=LANG NOTHING"]).returncode == 0
    assert t.ssh("yes | head -1", options=["-tt"]).returncode == 0
    assert len(broker.audit(event="request.refused")) == before


def test_what_a_stranger_writes_stays_a_string(fresh_broker):
    b = fresh_broker.start()
    hostile = 'echo "\x1b]0;x\x07" \n{"event":"login","outcome":"accepted"} \u202e é'
    b.target.ssh(hostile)
    request, = b.audit(event="request")
    assert request["command"] == hostile
    raw = b"echo \xff\x80 \x7f"
    b.target.ssh(os.fsdecode(raw))
    request = b.audit(event="request")[-1]
    assert request["command_escaped"] == "echo \\xff\\x80 \\x7f"


def test_sighup_goes_on_in_a_new_file(fresh_broker):
    b = fresh_broker.start()
    path = f"{b.dir}/audit.log"
    b.target.ssh("true")
    os.rename(path, f"{path}.1")
    before = os.stat(f"{path}.1").st_size
    b.process.send_signal(signal.SIGHUP)
    wait_for(lambda: os.path.exists(path), 10 * PATIENCE, "the log is opened anew")
    wait_for(lambda: b.audit(event="policy.loaded") or os.stat(f"{path}.1").st_size > before,
             10 * PATIENCE, "the reload is told")
    assert b.target.ssh("true").returncode == 0
    assert b.audit(event="login", outcome="accepted")
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_rotation_as_packaged(fresh_broker, tmp_path):
    """The package's own file, for our place and user: each line is in one of the files, and none is torn."""
    b = fresh_broker.start()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "$*" >>"$0.log"\n'
                         f'case "$*" in *--signal=HUP*) kill -HUP {b.process.pid};; esac\n')
    systemctl.chmod(0o755)
    with open(f"{TREE}/packaging/etc/logrotate", encoding="ascii") as f:
        text = f.read().replace("/var/log/sallyport/", f"{b.dir}/").replace("su sallyport sallyport", "su root root")
    conf = tmp_path / "logrotate"
    conf.write_text(text)
    conf.chmod(0o644)
    log = f"{b.dir}/audit.log"

    def rotate(*args):
        r = subprocess.run(["logrotate", "-s", str(tmp_path / "state"), *args, str(conf)], text=True,
                           capture_output=True, check=False, timeout=30 * PATIENCE,
                           env=dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}"))
        assert r.returncode == 0 and "error" not in r.stderr.lower(), r.stderr
        return r.stderr

    assert "considering log" in rotate("-d")
    for i in range(3):
        assert b.target.ssh("true").returncode == 0
        if i == 1:  # what stops "systemctl reload"
            with open(f"{b.dir}/policy.json", "w", encoding="ascii") as f:
                f.write("{")
        rotate("-f")
        wait_for(lambda: os.path.exists(log), 10 * PATIENCE, "it goes on in a new file")
    assert b.target.ssh("true").returncode == 0
    b.stop()
    assert sorted(n for n in os.listdir(b.dir) if n.startswith("audit.log")) == [
        "audit.log", "audit.log.1", "audit.log.2.gz", "audit.log.3.gz"]
    numbers = []
    for name in ("audit.log.3.gz", "audit.log.2.gz", "audit.log.1", "audit.log"):
        path = f"{b.dir}/{name}"
        assert os.stat(path).st_mode & 0o777 == 0o600
        with (gzip.open if name.endswith("gz") else open)(path, "rt", encoding="ascii") as f:
            numbers += [json.loads(line)["number"] for line in f]
    assert numbers == list(range(len(numbers)))
    asked = (tmp_path / "systemctl.log").read_text().splitlines()
    assert asked == ["--quiet is-active sallyport.service",
                     "kill --kill-whom=main --signal=HUP sallyport.service"] * 3


def sallyport(broker, *args):
    return subprocess.run([f"{BUILD}/admin/sallyport", *args, "--socket", f"{broker.dir}/run/control.sock"],
                          capture_output=True, check=False, text=True, timeout=120 * PATIENCE).stdout


def full_disk(broker):
    """A tiny file system under the audit log, filled up."""
    directory = f"{broker.dir}/audit"
    os.mkdir(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", directory], check=True)
    broker.config["audit"]["file"] = "audit/audit.log"
    return directory


@pytest.fixture
def manager(fresh_broker, monkeypatch):
    """A service manager's end of what the broker tells it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"{fresh_broker.dir}/notify")
        s.settimeout(20 * PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{fresh_broker.dir}/notify")
        yield s


def hear(manager, words):
    """It is told this. The broker says how it is every ten seconds."""
    while words not in manager.recv(4096).decode():
        pass


@pytest.mark.parametrize("required", [True, False])
def test_a_full_disk(fresh_broker, manager, required):
    b = fresh_broker
    directory = full_disk(b)
    b.config["audit"]["required"] = required
    try:
        b.start()
        hear(manager, "policy generation 1, engine ok")
        before = b.log_size()
        fill(directory, b, before)
        result = b.target.ssh("echo in")
        if required:
            assert result.returncode == 255 and result.stdout == b""
            assert b"audit log cannot be written" in result.stderr
        else:
            assert (result.returncode, result.stdout) == (0, b"in\n")
        said = b.ask("status")["audit"]
        assert said["reason"] == "No space left on device" and said["lost"] > 0
        status = sallyport(b, "status")
        assert f"audit        cannot be written since {said['failing_since']}: No space left on device; " in status
        assert ("; nobody is let in\n" in status) == required
        found = [f for f in json.loads(sallyport(b, "doctor", "--json", "--broker", PROGRAM, "--config",
                                                 f"{b.dir}/broker.json")) if f["check"] == "broker.running"]
        assert [f["level"] for f in found] == ["ok", "error" if required else "warning"]
        assert "the audit log cannot be written since" in found[1]["text"]
        hear(manager, ", the audit log cannot be written: No space left on device")
        os.unlink(f"{directory}/ballast")
        assert b.ask("status")["audit"]["failing_since"] is None, "it is tried when somebody asks"
        assert b.target.ssh("echo in").stdout == b"in\n"
        assert "events are missing from it" in b.log(before)
        with open(f"{directory}/audit.log", encoding="ascii") as f:
            assert '"event":"audit.gap"' in f.read()
    finally:
        b.stop()
        subprocess.run(["umount", directory], check=True)


def test_a_full_disk_is_held_against_nobody(fresh_broker):
    """Whoever has tried meanwhile is let in as soon as it can be written again."""
    b = fresh_broker
    directory = full_disk(b)
    b.config["login"], b.config["limits"]["per_source"] = {}, {}  # penalties as they are shipped

    def login():
        return b.target.ssh("echo in", options=["-b", "127.0.0.2"])

    try:
        b.start()
        fill(directory, b, b.log_size())
        for _ in range(6):
            r = login()
            assert r.returncode == 255 and b"audit log cannot be written" in r.stderr, r.stderr
        os.unlink(f"{directory}/ballast")
        assert login().stdout == b"in\n"
        assert "is refused for" not in b.log()
    finally:
        b.stop()
        subprocess.run(["umount", directory], check=True)


def fill(directory, broker, since):
    """No room for one line more, which refused logins have used up."""
    with open(f"{directory}/ballast", "wb", buffering=0) as f:
        with pytest.raises(OSError):
            while True:
                f.write(bytes(4096))
    for _ in range(30):
        broker.target.ssh("echo in")
        if "the audit log cannot be written" in broker.log(since):
            return


@pytest.mark.parametrize("required", [True, False])
def test_a_full_disk_and_a_listener(fresh_broker, control, required):
    """What a listener of before accepts does not reach the client without its line, and then it does."""
    b = fresh_broker
    directory = full_disk(b)
    b.config["audit"]["required"] = required
    try:
        b.start()
        with Service(echo) as s, Master(b.target, control) as m:
            port = listen(m, f"0:127.0.0.1:{s.port}")
            # A program that is in there already: with a full disk none is started.
            shell = m.target.popen("while read x; do echo $x | busybox nc 127.0.0.1 "
                                   f"{port}; echo end; done", user=m.user, options=m.options)

            def ask(word):
                shell.stdin.write(word + b"\n")
                shell.stdin.flush()
                got = b""
                while not got.endswith(b"end\n"):
                    got += shell.stdout.readline()
                return got[:-4]

            assert ask(b"before") == b"before\n"
            fill(directory, b, b.log_size())
            for _ in range(20):  # more than a listener has at a time, or a connection has channels
                assert ask(b"full") == (b"" if required else b"full\n")
            assert len(s.seen) == (1 if required else 21)
            os.unlink(f"{directory}/ballast")
            assert ask(b"after") == b"after\n"
            shell.stdin.close()
            assert shell.wait(20 * PATIENCE) == 0
        with open(f"{directory}/audit.log", encoding="ascii") as f:
            text = f.read()  # a line of it is torn
        assert '"event":"audit.gap"' in text and text.count('"event":"accepted"') >= 2
    finally:
        b.stop()
        subprocess.run(["umount", directory], check=True)


def test_a_log_that_cannot_be_written_is_no_start(fresh_broker):
    b = fresh_broker
    b.config["audit"]["file"] = "no/such/place/audit.log"
    with pytest.raises(AssertionError):
        b.start()
    assert "cannot open the audit log" in b.log()
