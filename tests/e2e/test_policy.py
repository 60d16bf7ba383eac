# SPDX-License-Identifier: Apache-2.0
"""The policy language, as a stock client meets it. tests/unit/test_policy_language.c has the corners."""
import subprocess

import pytest

from kit.broker import BASH, Broker, profile
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.quick

PAST, FUTURE = "2001-01-01T00:00Z", "2901-01-01T00:00Z"


@pytest.fixture(scope="module")
def target(engine, keys):
    b = Broker(keys, engine.socket)
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", f"{keys.user}.pub"], check=True,
                                 capture_output=True, text=True).stdout.split()[1]
    b.policy["users"] = {name: {"keys": keys.public()}
                         for name in ("alice", "bob", "git", "expired", "_", "brief")}
    b.policy["users"]["expired"]["expires"] = PAST
    b.policy["users"]["alice"]["expires"] = FUTURE
    b.policy["messages"] = {"refused": "Nothing is meant for you here."}
    b.policy["profiles"] = {
        "dev": profile(argv=BASH),
        "mine": profile(argv=BASH, workdir="/home/${user}", env={"WHO": "${user}, ${target}"}, mounts=[
            {"tmpfs": "/home/${user}", "size": "1M"},
            {"volume": "sp-test-${user}.${target}", "to": "/data/${target}"}]),
        "words": profile("sallyport-test/busybox:latest", session={
            "shell": False, "pty": False,
            "exec": [["echo", "*", "*"], ["printf", "%s|", "**"], ["no-such-program"]]}),
    }
    b.policy["rules"] = [
        {"id": "over", "if": {"time": f"/{PAST}"}, "deny": "It is too early."},
        {"id": "mine", "if": {"target": ["web-*"], "user": ["alice", "_"]}, "use": "mine"},
        {"id": "brief", "if": {"user": ["brief"]}, "use": "dev",
         "set": {"session.max": "4s", "session.warn": "2s"}},
        {"id": "git", "if": {"user": ["git"]}, "use": "words"},
        {"id": "other-key", "if": {"not": {"key": [fingerprint]}}, "deny": "With another key."},
        {"id": "device", "if": {"auth": {"any": ["sk-key"]}}, "deny": "With a device."},
        {"id": "dev", "if": {"auth": {"any": ["key"]}, "time": f"{PAST}/{FUTURE}"}, "use": "dev",
         "set": {"container.limits.memory": "100M", "session.pty": False}},
    ]
    b.start()
    yield b.target
    b.close()
    for volume in engine.run("volume", "ls", "-q").split():
        if volume.startswith("sp-test-"):
            engine.run("volume", "rm", volume)


def test_target_and_templates(target, engine):
    p = target.popen("pwd; echo $WHO $USER; read x",
                     user="alice+web-1")
    lines = [p.stdout.readline().decode() for _ in range(2)]
    made = {m["Destination"]: m.get("Name") for c in engine.containers()
            for m in engine.inspect(c)["Mounts"] if m["Type"] != "bind"}
    p.communicate(b"\n", 30)
    assert lines == ["/home/alice\n", "alice, web-1 alice\n"]
    assert made == {"/home/alice": None, "/data/web-1": "sp-test-alice.web-1"}


@pytest.mark.parametrize("name", ["alice+db", "bob+web-1", "alice+", "alice+web-1+x", "alice+../x"])
def test_target_that_nobody_gives(target, name):
    r = target.ssh("echo never", user=name)
    assert r.returncode == 255 and r.stdout == b""
    # A name that is none is nobody's, and nobody is told anything.
    told = b"Nothing is meant for you here." in r.stderr
    assert told == (name in ("alice+db", "bob+web-1"))


def test_without_a_target_it_is_the_other_rule(target):
    r = target.ssh("echo $WHO.; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes",
                   user="alice")
    assert r.stdout.decode().split() == [".", str(100 << 20)]
    r = target.ssh("tty", user="alice", options=["-tt"])
    assert b"Terminals are not allowed" in r.stderr + r.stdout or b"PTY allocation request failed" in r.stderr


def test_a_login_ends_after_its_longest_time(target, engine):
    r = target.ssh("echo begun; trap '' HUP TERM; sleep 100; echo never", user="brief")
    assert (r.returncode, r.stdout) == (255, b"begun\n")
    assert b"This session ends in 2s." in r.stderr
    assert b"This session has lasted its longest time, 4s." in r.stderr
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "its container is gone")


def test_expired(target):
    r = target.ssh("echo never", user="expired")
    assert r.returncode == 255 and r.stdout == b""
    assert b"This account has expired." in r.stderr


@pytest.mark.parametrize("command, out", [
    ("echo 'a  b' c", b"a  b c\n"),
    ("echo '$HOME' \"\\$x;\"", b"$HOME $x;\n"),
    ("printf '%s|' '' -n 'it'\\''s'", b"|-n|it's|"),
])
def test_words_run_without_a_shell(target, command, out):
    r = target.ssh(command, user="git")
    assert (r.returncode, r.stdout, r.stderr) == (0, out, b"")


@pytest.mark.parametrize("command, why", [
    ("echo a; id", b"needs a shell"),
    ("echo $HOME x", b"needs a shell"),
    ("echo `id` x", b"needs a shell"),
    ("echo a b\nid", b"needs a shell"),
    ("echo -n x", b"not among those"),
    ("echo a", b"not among those"),
    ("id", b"not among those"),
    ("/bin/echo a b", b"not among those"),
])
def test_other_commands_are_refused(target, command, why):
    r = target.ssh(command, user="git")
    assert r.returncode != 0 and r.stdout == b""
    assert why in r.stderr


def test_no_program_of_that_name(target):
    r = target.ssh("no-such-program", user="git")
    assert r.returncode == 127 and b"no-such-program" in r.stderr


def test_no_shell_for_words(target):
    r = target.ssh(user="git", stdin=b"id\n")
    assert r.returncode != 0 and r.stdout == b""
