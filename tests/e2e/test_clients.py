# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote, unchanged, against the oracle and against us."""
import os
import re
import subprocess

import paramiko
import pytest

from kit.target import PATIENCE
from kit.terminal import Terminal

pytestmark = pytest.mark.quick

SCRIPT = "echo out; echo err >&2; cat; exit 3"


def check(result):
    assert (result.returncode, result.stdout, result.stderr) == (3, b"out\ninput\n", b"err\n")


def test_openssh(target):
    check(target.ssh(SCRIPT, stdin=b"input\n"))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_openssh_user_key_types(target, kind):
    check(target.ssh(SCRIPT, stdin=b"input\n", key=f"{target.keys.directory}/user_{kind}"))


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256",
                                       "rsa-sha2-512"])
def test_host_key_algorithms(broker, tmp_path, algorithm):
    known = tmp_path / "known_hosts"
    lines = []
    for kind in ("ed25519", "ecdsa", "rsa"):
        with open(f"{broker.dir}/host_{kind}_key.pub", encoding="ascii") as f:
            lines.append(f"[127.0.0.1]:{broker.port} {' '.join(f.read().split()[:2])}\n")
    known.write_text("".join(lines))
    # The first of two values counts for ssh, so ask with the second file only.
    argv = [a if not a.startswith("UserKnownHostsFile=") else f"UserKnownHostsFile={known}"
            for a in broker.target.argv("echo in", options=["-v", "-o",
                                                            f"HostKeyAlgorithms={algorithm}"])]
    r = subprocess.run(argv, capture_output=True, timeout=30 * PATIENCE, check=False,
                       stdin=subprocess.DEVNULL)
    assert r.stdout == b"in\n", r.stderr
    assert f"host key algorithm: {algorithm}".encode() in r.stderr


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-ctr", "aes128-ctr",
                                    "aes256-gcm@openssh.com"])
@pytest.mark.parametrize("kex", ["curve25519-sha256", "diffie-hellman-group16-sha512"])
def test_openssh_algorithms(target, cipher, kex):
    check(target.ssh(SCRIPT, stdin=b"input\n",
                     options=["-o", f"Ciphers={cipher}", "-o", f"KexAlgorithms={kex}"]))


def test_openssh_with_terminal(target):
    with Terminal(target.argv("-tt", "test -t 0 && test -t 1 && tty; exit 3")) as t:
        seen, code = t.finish()
    assert code == 3
    assert re.match(rb"/dev/pts/\d+\r\n", seen)


def test_openssh_interactive_shell(target):
    with Terminal(target.argv()) as t:
        t.expect(rb"\$ ")
        t.send(b"echo $((6 * 7)) $0\r")
        t.expect(rb"\n42 -bash\r\n")
        t.send(b"exit 5\r")
        _, code = t.finish()
    assert code == 5


def test_shell_without_terminal(target):
    r = target.ssh("-T", stdin=b"echo $0; exit 4\n")
    assert (r.returncode, r.stdout) == (4, b"-bash\n")


def test_openssh_control_master_ten_channels(target, control):
    master = target.popen("-M", "-N", options=["-S", control], stdin=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if os.path.exists(control):
                break
            assert master.poll() is None, master.stderr.read()
            subprocess.run(["sleep", "0.1"], check=True)
        # All ten are open before the first may end: each waits for its own line of input.
        clients = [target.popen("echo ready; read x; echo got $x; exit $x", options=["-S", control])
                   for _ in range(10)]
        for c in clients:
            assert c.stdout.readline() == b"ready\n", c.stderr.read()
        for i, c in enumerate(clients):
            out, err = c.communicate(f"{i}\n".encode(), timeout=20 * PATIENCE)
            assert (c.returncode, out, err) == (i, f"got {i}\n".encode(), b"")
    finally:
        master.kill()
        master.wait(10)


def test_too_many_channels(target, control):
    """sshd's MaxSessions is 10, and so is our default."""
    transport = target.paramiko()
    try:
        held = [transport.open_session() for _ in range(10)]
        with pytest.raises(paramiko.ChannelException):
            transport.open_session()
        for c in held:
            c.close()
    finally:
        transport.close()


def test_rekey(target):
    r = target.ssh("head -c 20000000 /dev/zero | tr '\\0' x; cat | wc -c",
                   options=["-o", "RekeyLimit=1M"], stdin=b"y" * 20000000, seconds=60)
    assert r.returncode == 0, r.stderr
    assert r.stdout == b"x" * 20000000 + b"20000000\n"


def plink(target, *args, **how):
    digest = subprocess.run(["ssh-keygen", "-lf", target.known_hosts], check=True,
                            capture_output=True, text=True).stdout.split()[1]
    return subprocess.run(["plink", "-batch", "-ssh", "-P", str(target.port), "-i",
                           target.keys.putty, "-hostkey", digest, f"{target.user}@127.0.0.1",
                           *args], capture_output=True, timeout=30 * PATIENCE, check=False, **how)


def test_plink(target):
    check(plink(target, SCRIPT, input=b"input\n"))


def test_plink_with_terminal(target):
    r = plink(target, "-t", "tty; exit 3", input=b"")
    assert r.returncode == 3, r.stderr
    assert re.search(rb"/dev/pts/\d+\r\n", r.stdout)


def dbclient(target, tmp_path, *args, **how):
    return subprocess.run(["dbclient", "-y", "-y", "-i", target.keys.dropbear, "-p",
                           str(target.port), f"{target.user}@127.0.0.1", *args],
                          env=dict(os.environ, HOME=str(tmp_path)), capture_output=True,
                          timeout=30 * PATIENCE, check=False, **how)


def test_dbclient(target, tmp_path):
    r = dbclient(target, tmp_path, SCRIPT, input=b"input\n")
    assert (r.returncode, r.stdout) == (3, b"out\ninput\n"), r.stderr
    assert r.stderr.endswith(b"err\n")


def test_dbclient_with_terminal(target, tmp_path):
    argv = ["dbclient", "-y", "-y", "-t", "-i", target.keys.dropbear, "-p", str(target.port),
            f"{target.user}@127.0.0.1", "tty; stty size; exit 3"]
    with Terminal(argv, rows=31, columns=97, env={"HOME": str(tmp_path)}) as t:
        seen, code = t.finish()
    assert code == 3, seen
    assert re.search(rb"/dev/pts/\d+\r\n31 97\r\n", seen)


def test_paramiko(target):
    transport = target.paramiko()
    try:
        channel = transport.open_session()
        channel.exec_command(SCRIPT)
        channel.sendall(b"input\n")
        channel.shutdown_write()
        out = channel.makefile("rb").read()
        err = channel.makefile_stderr("rb").read()
        assert (channel.recv_exit_status(), out, err) == (3, b"out\ninput\n", b"err\n")
    finally:
        transport.close()


def test_asyncssh(target):
    async def work(connection):
        return await connection.run(SCRIPT, input="input\n")
    r = target.asyncssh(work)
    assert (r.exit_status, r.stdout, r.stderr) == (3, "out\ninput\n", "err\n")


def test_keepalives_from_the_client(target):
    r = target.ssh("sleep 4; echo still here",
                   options=["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"])
    assert (r.returncode, r.stdout) == (0, b"still here\n")
