# SPDX-License-Identifier: Apache-2.0
"""What people use of OpenSSH's client beside a shell and a command: in the background, by its escapes, by its master."""
import os
import re
import signal
import socket
import subprocess

import pytest

from kit.held import Held
from kit.proc import free_port, wait_for
from kit.target import PATIENCE
from kit.terminal import Terminal

pytestmark = pytest.mark.quick


@pytest.fixture(params=["sallyport", "sshd"])
def forwarding(request):
    """The oracle, or us, with a login that may forward."""
    if request.param == "sshd":
        return request.getfixturevalue("oracle").forwarding
    t = request.getfixturevalue("broker").target
    return t.of(t.login("forward"))


@pytest.fixture
def master(control):
    """Options for a client that shares a connection, which is ended here if it still is there."""
    yield ["-o", f"ControlPath={control}"]
    if os.path.exists(control):
        subprocess.run(["ssh", "-o", f"ControlPath={control}", "-O", "exit", "x"], capture_output=True, check=False)


def comes_back(port):
    """What somebody says who listens behind that port of this machine; None: nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10 * PATIENCE) as s:
            s.settimeout(10 * PATIENCE)
            return s.recv(100) or None
    except OSError:
        return None


# ----- a master that is told what to do -----

def told(target, master, word, *options):
    return target.ssh(options=[*master, "-O", word, *options])


def test_a_master_that_persists(forwarding, master):
    t = forwarding
    assert told(t, master, "check").returncode == 255
    first = t.ssh("echo $SSH_CONNECTION", options=[*master, "-o", "ControlMaster=auto", "-o", "ControlPersist=60"])
    assert first.returncode == 0, first.stderr
    check = told(t, master, "check")
    assert (check.returncode, check.stdout) == (0, b"")
    pid = int(re.search(rb"Master running \(pid=(\d+)\)", check.stderr).group(1))
    assert t.ssh("echo $SSH_CONNECTION", options=master).stdout == first.stdout, "another connection"
    assert told(t, master, "exit").returncode == 0
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 20 * PATIENCE, "the master is gone")


def test_forwards_by_the_master(forwarding, master):
    """-O forward and -O cancel, there and back: a session of the same connection serves and asks."""
    t = forwarding
    there, back = free_port(), free_port()
    serve = t.popen(f"echo up; busybox nc -ll -p {there} -e echo in there", options=[
        *master, "-o", "ControlMaster=auto", "-o", "ControlPersist=60"])
    with socket.create_server(("127.0.0.1", back)) as s:
        s.settimeout(20 * PATIENCE)
        try:
            assert serve.stdout.readline() == b"up\n", serve.stderr.read()
            here = free_port()
            local = ["-L", f"{here}:127.0.0.1:{there}"]
            assert told(t, master, "forward", *local).returncode == 0
            assert wait_for(lambda: comes_back(here), 20 * PATIENCE, "it serves") == b"in there\n"
            assert told(t, master, "cancel", *local).returncode == 0
            assert comes_back(here) is None

            remote = told(t, master, "forward", "-R", f"0:127.0.0.1:{back}")
            port = int(remote.stdout)
            ask = t.popen(f"busybox nc 127.0.0.1 {port}", options=master)
            conn, _ = s.accept()
            with conn:
                conn.sendall(b"out here\n")
            assert ask.communicate(timeout=20 * PATIENCE)[0] == b"out here\n"
            assert told(t, master, "cancel", "-R", f"0:127.0.0.1:{back}").returncode == 0
            again = t.ssh(f"busybox nc 127.0.0.1 {port}", options=master)
            assert (again.returncode, again.stdout) == (1, b"")
        finally:
            told(t, master, "exit")  # which holds what the first client has written to
            serve.kill()
            serve.communicate(timeout=20 * PATIENCE)


def test_a_master_that_takes_nobody_else(forwarding, master):
    """-O stop: what runs goes on, and its connection ends with it."""
    t = forwarding
    p = t.popen("echo up; cat", options=[*master, "-M"])
    try:
        assert p.stdout.readline() == b"up\n", p.stderr.read()
        assert told(t, master, "stop").returncode == 0
        assert told(t, master, "check").returncode == 255
        assert p.communicate(b"to the end\n", timeout=20 * PATIENCE)[0] == b"to the end\n"
        assert p.returncode == 0
    finally:
        p.kill()


# ----- in the background -----

def test_in_the_background_after_the_login(target, tmp_path):
    """-f: the caller goes on when the login is through, and the program runs."""
    with open(tmp_path / "out", "wb") as out:
        r = subprocess.run(target.argv("sleep 1; echo from behind", options=["-f"]), stdin=subprocess.DEVNULL,
                           stdout=out, stderr=subprocess.PIPE, timeout=30 * PATIENCE, check=False)
    assert r.returncode == 0
    wait_for(lambda: (tmp_path / "out").read_bytes() == b"from behind\n", 20 * PATIENCE, "it has run")


def test_only_a_forward_in_the_background(forwarding, control):
    """-f -N with ExitOnForwardFailure: it is there when the caller goes on."""
    port = free_port()
    r = subprocess.run(forwarding.argv(options=["-f", "-N", "-M", "-o", f"ControlPath={control}", "-o",
                                                "ExitOnForwardFailure=yes", "-D", f"127.0.0.1:{port}"]),
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=30 * PATIENCE, check=False)
    assert r.returncode == 0
    socket.create_connection(("127.0.0.1", port), 10 * PATIENCE).close()
    assert told(forwarding, ["-o", f"ControlPath={control}"], "exit").returncode == 0
    wait_for(lambda: not os.path.exists(control), 20 * PATIENCE, "it has gone")


# ----- what the configuration says in a command's place -----

@pytest.mark.parametrize("options, said", [
    (["RemoteCommand=echo $((6 * 7))"], b"42\n"),
    (["RemoteCommand=tty", "RequestTTY=force"], b"/dev/pts/"),
    (["RemoteCommand=echo $LC_ONE", "SetEnv=LC_ONE=1"], b"1\n"),
    (["RemoteCommand=echo quiet", "LogLevel=QUIET", "Compression=yes"], b"quiet\n"),
    (["RemoteCommand=echo rekeyed", "RekeyLimit=default 1s"], b"rekeyed\n"),
], ids=["command", "terminal", "variable", "compression", "rekey"])
def test_configured(target, options, said):
    r = target.ssh(options=[word for o in options for word in ("-o", o)])
    assert r.returncode == 0, r.stderr
    assert r.stdout.startswith(said), r.stdout


# ----- escapes -----

def test_escapes(target):
    """New keys, a list of connections, the line of commands, a break, a tilde; and the end."""
    with Terminal(target.argv(options=["-o", "EscapeChar=~", "-o", "EnableEscapeCommandline=yes"])) as t:
        t.expect(rb"[$] ")
        t.send(b"~R")
        t.send(b"echo new $((1 + 1)) keys\r")
        t.expect(rb"\nnew 2 keys\r\n")
        t.send(b"\r~#")
        t.expect(rb"The following connections are open:")
        t.expect(rb"#0 client-session")
        t.send(b"\r~C")
        t.expect(rb"ssh> ")
        t.send(b"help\r")
        t.expect(rb"Request local forward")
        t.send(b"\r~B")
        t.send(b"echo still $((2 + 2)) here\r")
        t.expect(rb"\nstill 4 here\r\n")
        t.send(b"echo a~~b\r")
        t.expect(rb"\na~~b\r\n")
        t.send(b"\r~.")
        seen, code = t.finish()
        assert code == 255 and b"Connection to 127.0.0.1 closed." in seen


def test_suspended(target):
    """A client that is stopped for a while has missed nothing."""
    p = target.popen("for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done")
    try:
        assert p.stdout.readline() == b"1\n"
        p.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            p.wait(2)
        p.send_signal(signal.SIGCONT)
        assert p.communicate(timeout=20 * PATIENCE)[0] == b"2\n3\n4\n5\n6\n"
        assert p.returncode == 0
    finally:
        p.kill()


# ----- files between two others, and a key -----

def test_scp_from_there_to_there(same, tmp_path):
    """By way of this machine (-3), and from the source itself (-R), which has no key for the other end."""
    data = bytes(range(256)) * 1000
    (tmp_path / "f").write_bytes(data)

    def work(target):
        with Held(target) as held:
            t = held.target
            assert t.scp(str(tmp_path / "f"), f"{t.user}@HOST:/tmp/from").returncode == 0
            r = t.scp("-3", f"{t.user}@HOST:/tmp/from", f"{t.user}@HOST:/tmp/to")
            assert r.returncode == 0, r.stderr
            assert t.scp(f"{t.user}@HOST:/tmp/to", str(tmp_path / "g")).returncode == 0
            assert (tmp_path / "g").read_bytes() == data
            return t.scp("-R", f"{t.user}@HOST:/tmp/from", f"{t.user}@HOST:/tmp/other").returncode
    assert same(work) != 0


def test_host_keys_are_seen(target):
    r = subprocess.run(["ssh-keyscan", "-T", "20", "-p", str(target.port), "-t", "ed25519,ecdsa,rsa", "127.0.0.1"],
                       capture_output=True, timeout=60 * PATIENCE, check=True, text=True)
    keys = {" ".join(line.split()[1:]) for line in r.stdout.splitlines() if not line.startswith("#")}
    assert target.host_key in keys


def test_key_is_brought(same, keys, tmp_path):
    """ssh-copy-id does its work in there, whoever looks at the file afterwards."""
    with open(f"{keys.stranger}.pub", encoding="ascii") as f:
        line = f.read().strip().encode()

    def work(target):
        with Held(target) as held:
            t = held.target
            options = ["-o", f"IdentityFile={keys.user}", "-o", f"UserKnownHostsFile={t.known_hosts}", "-o", "BatchMode=yes"]
            r = subprocess.run(["ssh-copy-id", "-f", "-i", f"{keys.stranger}.pub", "-p", str(t.port), *options,
                                f"{t.user}@127.0.0.1"], stdin=subprocess.DEVNULL, capture_output=True,
                               env=dict(os.environ, HOME=str(tmp_path)), timeout=60 * PATIENCE, check=False)
            assert r.returncode == 0, r.stderr
            brought = t.ssh("cat ~/.ssh/authorized_keys && rm ~/.ssh/authorized_keys")
            assert line in brought.stdout
            return brought.returncode
    (tmp_path / ".ssh").mkdir(mode=0o700)
    assert same(work) == 0
