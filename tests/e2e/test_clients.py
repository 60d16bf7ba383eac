# SPDX-License-Identifier: Apache-2.0
"""
Clients that others wrote, unchanged, against the oracle and against us: programs with and without a
terminal.
"""
import os
import re
import subprocess

import asyncssh
import paramiko
import pytest

from kit.clients import clients, environment, plink, run
from kit.matrix import cell
from kit.proc import wait_for
from kit.target import PATIENCE
from kit.terminal import Terminal

SCRIPT = "echo out; echo err >&2; cat; exit 3"


SAID = (3, b"out\ninput\n", b"err\n")


def check(result):
    assert (result.returncode, result.stdout, result.stderr) == SAID


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_openssh_user_key_types(target, kind):
    check(target.ssh(SCRIPT, stdin=b"input\n", key=f"{target.keys.directory}/user_{kind}"))


@pytest.mark.quick
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


@pytest.mark.quick
@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-ctr", "aes128-ctr",
                                    "aes256-gcm@openssh.com"])
@pytest.mark.parametrize("kex", ["curve25519-sha256", "diffie-hellman-group16-sha512"])
def test_openssh_algorithms(target, cipher, kex):
    check(target.ssh(SCRIPT, stdin=b"input\n",
                     options=["-o", f"Ciphers={cipher}", "-o", f"KexAlgorithms={kex}"]))


@pytest.mark.quick
def test_shell_without_terminal(target):
    r = target.ssh("-T", stdin=b"echo $0; exit 4\n")
    assert (r.returncode, r.stdout) == (4, b"-bash\n")


@pytest.mark.quick
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


@pytest.mark.quick
def test_rekey(target):
    r = target.ssh("head -c 20000000 /dev/zero | tr '\\0' x; cat | wc -c",
                   options=["-o", "RekeyLimit=1M"], stdin=b"y" * 20000000, seconds=60)
    assert r.returncode == 0, r.stderr
    assert r.stdout == b"x" * 20000000 + b"20000000\n"


@pytest.mark.quick
def test_keepalives_from_the_client(target):
    r = target.ssh("sleep 4; echo still here",
                   options=["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"])
    assert (r.returncode, r.stdout) == (0, b"still here\n")


# ----- each client, in each image -----

@clients("exec")
def test_exec(same, client):
    assert same(lambda t: run(t, client(t, SCRIPT), b"input\n")) == SAID


@cell("paramiko", "exec")
def test_exec_paramiko(same):
    def work(target):
        transport = target.paramiko()
        try:
            channel = transport.open_session()
            channel.exec_command(SCRIPT)
            channel.sendall(b"input\n")
            channel.shutdown_write()
            out = channel.makefile("rb").read()
            err = channel.makefile_stderr("rb").read()
            return channel.recv_exit_status(), out, err
        finally:
            transport.close()
    assert same(work) == SAID


@cell("asyncssh", "exec")
def test_exec_asyncssh(same):
    async def work(connection):
        r = await connection.run(SCRIPT, input=b"input\n", encoding=None)
        return r.exit_status, r.stdout, r.stderr
    assert same(lambda t: t.asyncssh(work)) == SAID


# busybox asks the terminal where its cursor is; from 1.36 on when nothing has been typed yet.
QUESTION = b"\x1b[6n"
PROMPT = re.compile(rb"[$] (\x1b\[6n)?$")
TYPED = [b"echo $((6 * 7)) $0\r", b"tty >/dev/null && echo $TERM\r", b"no-such-command\r", b"exit 5\r"]


def check_shell(seen, code):
    assert code == 5
    for wanted in (b"\n42 -", b"\nxterm\r\n", b"not found\r\n"):
        assert wanted in seen, seen


@clients("shell")
def test_shell(same, client):
    """Somebody types, waits for each answer, and leaves."""
    def work(target):
        with Terminal(client(target), env=environment(target)) as t:
            for line in TYPED:
                t.expect(PROMPT.pattern)
                t.send(line)
            seen, code = t.finish()
            # The oracle's name for the login is another one, and PuTTY says it.
            return seen.replace(f'"{target.user}"'.encode(), b'"USER"').replace(QUESTION, b""), code
    check_shell(*same(work))


def until_prompt(channel):
    """What comes up to the next prompt, or the end."""
    got = b""
    while not PROMPT.search(got):
        more = channel.recv(1000)
        if not more:
            break
        got += more
    return got


@cell("paramiko", "shell")
def test_shell_paramiko(same):
    def work(target):
        transport = target.paramiko()
        try:
            channel = transport.open_session()
            channel.settimeout(30 * PATIENCE)
            channel.get_pty("xterm")
            channel.invoke_shell()
            seen = b""
            for line in TYPED:
                seen += until_prompt(channel)
                channel.sendall(line)
            seen += until_prompt(channel)
            return seen.replace(QUESTION, b""), channel.recv_exit_status()
        finally:
            transport.close()
    check_shell(*same(work))


@cell("asyncssh", "shell")
def test_shell_asyncssh(same):
    async def work(connection):
        p = await connection.create_process(term_type="xterm", encoding=None)
        seen = b""
        for line in TYPED:
            while not PROMPT.search(seen):
                seen += await p.stdout.read(1000)
            p.stdin.write(line)
            seen += await p.stdout.read(1)  # its echo: the prompt is not the end any more
        seen += await p.stdout.read()
        return seen.replace(QUESTION, b""), (await p.wait()).exit_status
    check_shell(*same(lambda t: t.asyncssh(work)))


# Says the size that it begins with and the one that it was told to wait for.
SIZES = 'stty size; until [ "$(stty size)" = "51 133" ]; do busybox sleep 0.05; done; stty size; exit 6'


@clients("pty resize")
def test_resize(same, client):
    def work(target):
        argv = client(target, SIZES, options=["-t"])
        with Terminal(argv, rows=37, columns=121, env=environment(target)) as t:
            t.expect(rb"37 121\r\n")
            t.resize(51, 133)
            return t.finish()
    seen, code = same(work)
    assert code == 6 and seen.startswith(b"37 121\r\n51 133\r\n")


@cell("paramiko", "pty resize")
def test_resize_paramiko(same):
    def work(target):
        transport = target.paramiko()
        try:
            channel = transport.open_session()
            channel.settimeout(30 * PATIENCE)
            channel.get_pty("vt100", 121, 37)
            channel.exec_command(SIZES)
            assert channel.recv(100) == b"37 121\r\n"
            channel.resize_pty(133, 51)
            return channel.makefile("rb").read(), channel.recv_exit_status()
        finally:
            transport.close()
    assert same(work) == (b"51 133\r\n", 6)


@cell("asyncssh", "pty resize")
def test_resize_asyncssh(same):
    async def work(connection):
        p = await connection.create_process(SIZES, term_type="vt100", term_size=(121, 37))
        assert await p.stdout.readline() == "37 121\r\n"
        p.change_terminal_size(133, 51)
        return await p.stdout.read(), (await p.wait()).exit_status
    assert same(lambda t: t.asyncssh(work)) == ("51 133\r\n", 6)


TEN = "echo ready; read x; echo got $x; exit $x"
GOT_TEN = [(i, f"got {i}\n".encode()) for i in range(10)]


def ten_programs(target, argv):
    """Ten clients of one connection; all are open before the first may end."""
    running = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=environment(target))
               for _ in range(10)]
    for p in running:
        assert p.stdout.readline() == b"ready\n", p.stderr.read()
    said = []
    for i, p in enumerate(running):
        out, _ = p.communicate(f"{i}\n".encode(), timeout=20 * PATIENCE)
        said.append((p.returncode, out))
    return said


@cell("OpenSSH", "many sessions")
def test_control_master(same, tmp_path):
    def work(target):
        options = ["-o", f"ControlPath={tmp_path}/{target.port}"]
        master = target.popen("-M", "-N", options=options, stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists(f"{tmp_path}/{target.port}") or master.poll(),
                     30 * PATIENCE, "the master is connected")
            return ten_programs(target, target.argv(TEN, options=options))
        finally:
            master.kill()
            master.communicate()
    assert same(work) == GOT_TEN


@cell("PuTTY", "many sessions")
def test_sharing_of_putty(same):
    def work(target):
        upstream = subprocess.Popen(plink(target, options=["-share", "-N"]), stdin=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, env=environment(target))
        try:
            exists = plink(target, options=["-shareexists"])
            wait_for(lambda: run(target, exists)[0] == 0, 30 * PATIENCE, "the connection is shared")
            return ten_programs(target, plink(target, TEN, options=["-share"]))
        finally:
            upstream.kill()
            upstream.communicate()
    assert same(work) == GOT_TEN


@cell("paramiko", "many sessions")
def test_many_sessions_paramiko(same):
    def work(target):
        transport = target.paramiko()
        try:
            channels = [transport.open_session() for _ in range(10)]
            for c in channels:
                c.settimeout(30 * PATIENCE)
                c.exec_command(TEN)
            files = [c.makefile("rb") for c in channels]
            assert [f.readline() for f in files] == [b"ready\n"] * 10
            for i, c in enumerate(channels):
                c.sendall(f"{i}\n".encode())
            return [(c.recv_exit_status(), f.read()) for c, f in zip(channels, files)]
        finally:
            transport.close()
    assert same(work) == GOT_TEN


@cell("asyncssh", "many sessions")
def test_many_sessions_asyncssh(same):
    async def work(connection):
        processes = [await connection.create_process(TEN, encoding=None) for _ in range(10)]
        for p in processes:
            assert await p.stdout.readline() == b"ready\n"
        said = []
        for i, p in enumerate(processes):
            p.stdin.write(f"{i}\n".encode())
            r = await p.wait()
            said.append((r.exit_status, r.stdout))
        with pytest.raises(asyncssh.ChannelOpenError):
            for _ in range(65):
                await connection.create_process("read x")
        return said
    assert same(lambda t: t.asyncssh(work)) == GOT_TEN
