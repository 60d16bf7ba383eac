# SPDX-License-Identifier: Apache-2.0
"""What is refused, is refused as sshd refuses it: same words, same codes, no hint of why."""
import os
import socket
import subprocess
import time

import paramiko
import pytest

from kit.broker import REFUSED_SENTENCE
from kit.proc import wait_for
from kit.raw import USERAUTH_FAILURE, USERAUTH_PK_OK, USERAUTH_REQUEST, USERAUTH_SUCCESS, RawClient, Reader, message, string
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, pytest.mark.data_path]


def same(both, *args, **how):
    theirs, ours = (t.ssh(*args, **how) for t in both)
    assert (ours.returncode, ours.stdout, ours.stderr) == \
        (theirs.returncode, theirs.stdout, theirs.stderr)
    return theirs


# ----- who -----

def test_wrong_key(both):
    r = same(both, "true", key=both[0].keys.stranger)
    assert r.returncode == 255
    assert r.stderr == b"dev@127.0.0.1: Permission denied (publickey).\r\n"


@pytest.mark.parametrize("user", ["nobodyknows", "root", "x" * 300, "../etc/passwd", "dev ", "Dev"])
def test_unknown_user(both, user):
    r = same(both, "true", user=user)
    assert r.returncode == 255
    assert r.stderr.endswith(b"Permission denied (publickey).\r\n")


def test_no_key_at_all(both):
    r = same(both, "true", options=["-o", "PubkeyAuthentication=no"])
    assert r.returncode == 255


# What clients name as a key's algorithm, and its blob; "rsa" and "ed25519" are keys of the user.
OFFERS = {
    "sha-1": ("ssh-rsa", "rsa"),
    "dsa": ("ssh-dss", string("ssh-dss") + 4 * string(b"\x7f" * 20)),
    "ed448": ("ssh-ed448", string("ssh-ed448") + string(bytes(57))),
    "of-a-browser": ("webauthn-sk-ecdsa-sha2-nistp256@openssh.com", string("sk-ecdsa-sha2-nistp256@openssh.com") +
                     string("nistp256") + string(b"\4" + bytes(64)) + string("ssh:")),
    "not-invented-yet": ("ssh-mldsa65", string("ssh-mldsa65") + string(bytes(1952))),
    "certificate": ("ssh-ed25519-cert-v01@openssh.com", string("ssh-ed25519-cert-v01@openssh.com") + string(bytes(32))),
    "another-key": ("rsa-sha2-256", "ed25519"),
    "no-key": ("ssh-ed25519", b""),
}


def offered(raw, algorithm, blob, *signature):
    """What comes of that offer; of one with a signature, whatever that is worth."""
    if isinstance(blob, str):
        kind = {"rsa": paramiko.RSAKey, "ed25519": paramiko.Ed25519Key}[blob]
        blob = kind(filename=f"{raw.target.keys.directory}/user_{blob}").asbytes()
    raw.send(message(USERAUTH_REQUEST, raw.target.user, "ssh-connection", "publickey", bool(signature), algorithm, blob,
                     *signature))
    return raw.expect(USERAUTH_FAILURE, USERAUTH_PK_OK, USERAUTH_SUCCESS)


@pytest.mark.parametrize("name", OFFERS)
def test_algorithm_that_is_not_accepted(target, name):
    """The answer comes at once, with a signature too, and the next key gets its turn: an agent may hold all kinds of them."""
    algorithm, blob = OFFERS[name]
    with RawClient(target) as c:
        c.exchange()
        c.service()
        for signature in ((), (string(algorithm) + string(bytes(64)),)):
            r = Reader(offered(c, algorithm, blob, *signature))
            assert (r.string(), r.take(1)) == (b"publickey", b"\0")
        assert offered(c, "ssh-ed25519", "ed25519")[0] == USERAUTH_PK_OK
        assert offered(c, "rsa-sha2-512", "rsa")[0] == USERAUTH_PK_OK
        c.send(c.signed(target.user, c.user_key()))
        c.expect(USERAUTH_SUCCESS)


@pytest.mark.parametrize("kind", ["ssh-rsa", "ssh-mldsa65", ""])
def test_signature_of_another_algorithm(target, kind):
    with RawClient(target) as c:
        c.exchange()
        c.service()
        assert offered(c, "ssh-ed25519", "ed25519", string(kind) + string(bytes(64)))[0] == USERAUTH_FAILURE
        c.send(c.signed(target.user, c.user_key()))
        c.expect(USERAUTH_SUCCESS)


@pytest.mark.parametrize("method", ["password", "keyboard-interactive", "hostbased"])
def test_method_that_breaks_off(target, method):
    """Refused is the method, whatever follows its name."""
    with RawClient(target) as c:
        c.exchange()
        c.service()
        c.send(message(USERAUTH_REQUEST, target.user, "ssh-connection", method))
        c.expect(USERAUTH_FAILURE)


def test_broken_request_to_log_in(fresh_broker):
    """Of an algorithm that would do: libssh does not tell of it, and nobody waits for an answer. (sshd calls it a failure.)"""
    b = fresh_broker.start()
    for blob, signature in ((string("ssh-ed25519") + string(bytes(31)), ()),
                            ("ed25519", (string("ssh-ed25519") + string(bytes(63)),))):
        with RawClient(b.target) as c:
            c.exchange()
            c.service()
            with pytest.raises(AssertionError, match="broken request to log in"):
                offered(c, "ssh-ed25519", blob, *signature)
            assert c.is_closed()
    wait_for(lambda: b.log().count("the client broke the protocol: a broken request to log in") == 2,
             20 * PATIENCE, "the log says why")
    assert "violation" not in b.log()


def test_password_is_not_offered(both):
    for t in both:
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", t.port), 20))
        try:
            transport.start_client(timeout=20 * PATIENCE)
            with pytest.raises(paramiko.BadAuthenticationType) as refused:
                transport.auth_password("dev", "dev")
            assert refused.value.allowed_types == ["publickey"]
        finally:
            transport.close()


def test_known_and_unknown_users_take_the_same_time(sallyport):
    def once(user):
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", sallyport.port), 20))
        try:
            transport.start_client(timeout=20 * PATIENCE)
            stranger = paramiko.Ed25519Key(filename=sallyport.keys.stranger)
            start = time.monotonic()
            with pytest.raises(paramiko.AuthenticationException):
                transport.auth_publickey(user, stranger)
            return time.monotonic() - start
        finally:
            transport.close()

    times = {"dev": [], "nobodyknows": []}
    for _ in range(12):
        for user, found in times.items():
            found.append(once(user))
    # The least of each: a busy machine only ever adds.
    known, unknown = (min(found) for found in times.values())
    # Far coarser than what a patient attacker measures, and fine enough to see a skipped step of
    # the sort that leaks: an early return saves the whole delay.
    assert abs(known - unknown) < 0.3 * max(known, unknown) + 0.005, (known, unknown)


def test_too_many_tries(sallyport, tmp_path):
    names = []
    for n in range(8):
        names.append(f"{tmp_path}/k{n}")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", names[-1]], check=True)
    options = [o for name in names[1:] for o in ("-i", name)]
    r = sallyport.ssh("true", key=names[0], options=options)
    assert r.returncode == 255
    assert b"Too many authentication failures" in r.stderr


# ----- where to -----

def test_policy_denies_with_its_sentence(sallyport):
    r = sallyport.ssh("echo never", user="refused")
    assert r.returncode != 0 and r.stdout == b""
    assert REFUSED_SENTENCE.encode() in r.stderr


@pytest.mark.parametrize("user", ["ruleless", "elsewhere"])
def test_policy_without_a_rule_denies(sallyport, user):
    r = sallyport.ssh("echo never", user=user)
    assert r.returncode != 0 and r.stdout == b""


# ----- what -----

def test_remote_forward(both):
    r = same(both, "echo no", options=["-o", "ExitOnForwardFailure=yes", "-R", "7777:127.0.0.1:1"])
    assert r.returncode == 255
    assert b"remote port forwarding failed for listen port 7777" in r.stderr


def test_remote_forward_is_only_a_warning_by_default(both):
    r = same(both, "echo still", options=["-R", "7777:127.0.0.1:1"])
    assert (r.returncode, r.stdout) == (0, b"still\n")


def test_direct_forward(both):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        for t in both:
            r = t.ssh(options=["-W", f"127.0.0.1:{s.getsockname()[1]}"])
            assert r.returncode == 255
            assert b"channel 0: open failed: administratively prohibited: open failed" in r.stderr
        # Nobody got through to it.
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.accept()


def test_streamlocal_forward(both):
    for t in both:
        r = t.ssh("echo no", options=["-o", "ExitOnForwardFailure=yes", "-R", "/tmp/sock:/tmp/x"])
        assert r.returncode == 255, t.name


@pytest.mark.parametrize("name", ["no-such-thing", "sftp "])
def test_subsystem(both, name):
    r = same(both, name, options=["-s"])
    assert r.returncode == 255
    assert b"subsystem request failed on channel 0" in r.stderr


def test_x11(both):
    env = dict(os.environ, DISPLAY="127.0.0.1:77")
    r = same(both, "echo [$DISPLAY]", options=["-Y", "-o", "XAuthLocation=/bin/false"], env=env)
    assert r.stdout == b"[]\n"
    assert b"X11 forwarding request failed on channel 0" in r.stderr


def test_agent(both, tmp_path):
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", f"{tmp_path}/agent"],
                             stdout=subprocess.DEVNULL)
    try:
        while not os.path.exists(f"{tmp_path}/agent"):
            time.sleep(0.05)
        env = dict(os.environ, SSH_AUTH_SOCK=f"{tmp_path}/agent")
        for t in both:
            argv = [a.replace("IdentityAgent=none", f"IdentityAgent={tmp_path}/agent")
                    for a in t.argv("echo [$SSH_AUTH_SOCK]", options=["-A"])]
            r = subprocess.run(argv, env=env, capture_output=True, check=False,
                               stdin=subprocess.DEVNULL, timeout=30 * PATIENCE)
            assert (r.returncode, r.stdout) == (0, b"[]\n")
    finally:
        agent.terminate()
        agent.wait(10)


def test_environment(both):
    for t in both:
        r = t.ssh("echo \"[$LC_FINE][$LANG][$EVIL][$LD_AUDIT][$BASH_ENV]\"",
                  options=["-o", "SetEnv=LC_FINE=yes LANG=C EVIL=no LD_AUDIT=/x BASH_ENV=/y"])
        assert r.stdout == b"[yes][C][][][]\n", t.name


def test_environment_of_policy(sallyport):
    r = sallyport.ssh("echo \"[$GREETING][$LC_ALL][$SET_BY_POLICY]\"", user="envs",
                      options=["-o", "SetEnv=GREETING=hello LC_ALL=C SET_BY_POLICY=no"])
    assert r.stdout == b"[hello][][yes]\n"


def test_environment_values_arrive_whole(both):
    value = "a b  'c' \"d\" $e `f` \\ ;|&"
    for t in both:
        async def work(connection):
            return await connection.run("printf %s \"$LC_X\"", env={"LC_X": value})
        assert t.asyncssh(work).stdout == value


def test_shell_and_exec_switches(sallyport):
    r = sallyport.ssh("-T", user="noshell", stdin=b"echo in\n")
    assert r.returncode == 255 and b"in\n" not in r.stdout
    assert sallyport.ssh("echo in", user="noshell").stdout == b"in\n"
    r = sallyport.ssh("echo in", user="noexec")
    assert r.returncode == 255 and b"in\n" not in r.stdout
    assert sallyport.ssh("-T", user="noexec", stdin=b"echo in\n").stdout == b"in\n"


@pytest.mark.parametrize("user, args, words", [
    ("noshell", ["-T"], b"Shells are not allowed for this login.\n"),
    ("noexec", ["echo in"], b"Commands are not allowed for this login.\n"),
])
def test_why_there_is_no_shell_is_seen(sallyport, user, args, words):
    """OpenSSH drops what it reads together with the answer; on a busy machine it may do so now and then."""
    seen = [words in sallyport.ssh(*args, user=user, stdin=b"").stderr for _ in range(8)]
    assert seen.count(True) >= 6, seen


def test_channels_of_the_profile(sallyport):
    transport = sallyport.paramiko(user="small")
    try:
        held = [transport.open_session() for _ in range(2)]
        with pytest.raises(paramiko.ChannelException):
            transport.open_session()
        held[0].exec_command("true")
        assert held[0].recv_exit_status() == 0
        held[0].close()
        # The number is free again.
        end = time.monotonic() + 10
        while True:
            try:
                transport.open_session().close()
                break
            except paramiko.ChannelException:
                assert time.monotonic() < end
    finally:
        transport.close()


def test_second_program_on_one_channel(both):
    """RFC 4254: one program for each channel. sshd refuses the second, and so do we."""
    for t in both:
        transport = t.paramiko()
        try:
            c = transport.open_session()
            c.settimeout(20 * PATIENCE)
            c.exec_command("sleep 1; echo first")
            with pytest.raises((paramiko.SSHException, EOFError)):
                c.exec_command("echo second")
        finally:
            transport.close()


def test_unknown_global_and_channel_requests(both):
    """Refused when an answer is wanted, ignored when not; the connection goes on."""
    for t in both:
        transport = t.paramiko()
        try:
            assert transport.global_request("bogus@example.org", wait=True) is None
            transport.global_request("bogus@example.org", wait=False)
            c = transport.open_session()
            c.settimeout(20 * PATIENCE)
            c.exec_command("echo fine")
            assert c.makefile("rb").read() == b"fine\n"
        finally:
            transport.close()


@pytest.mark.parametrize("kind", ["x11", "forwarded-tcpip", "auth-agent@openssh.com", "bogus"])
def test_channel_types_that_clients_do_not_open(both, kind):
    for t in both:
        transport = t.paramiko()
        try:
            with pytest.raises(paramiko.ChannelException):
                transport.open_channel(kind, dest_addr=("127.0.0.1", 1), src_addr=("127.0.0.1", 2))
            assert transport.is_active()
        finally:
            transport.close()
