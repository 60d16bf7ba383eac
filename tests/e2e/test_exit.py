# SPDX-License-Identifier: Apache-2.0
"""How programs end, and what the client learns of it."""
import asyncio

import pytest

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]

SIGNALS = ["HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "PIPE", "ALRM", "TERM",
           "USR1", "USR2", "BUS", "SYS"]


def test_every_exit_code(target):
    """All 256 in one connection; what we see are the codes themselves, not their number."""
    async def work(connection):
        codes = []
        # sshd counts those of the last batch until it has read their CLOSE: with them there are ten at most.
        for first in range(0, 256, 5):
            batch = [connection.run(f"exit {n}") for n in range(first, min(first + 5, 256))]
            codes += [r.exit_status for r in await asyncio.gather(*batch)]
        return codes
    assert target.asyncssh(work, seconds=60) == list(range(256))


@pytest.mark.parametrize("code", [0, 1, 127, 128, 254, 255])
def test_exit_code_of_the_stock_client(target, code):
    assert target.ssh(f"exit {code}").returncode == code


def test_shell_says_command_not_found(both):
    theirs, ours = (t.ssh("no-such-command-at-all") for t in both)
    assert theirs.returncode == 127
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr)


def death(target, signal):
    async def work(connection):
        # Not the shell itself: it has ideas of its own about some signals.
        return await connection.run(f"(sleep 0.2; kill -{signal} $$) & exec sleep 9")
    r = target.asyncssh(work)
    return r.exit_status, r.exit_signal and tuple(r.exit_signal[:2])


@pytest.mark.parametrize("signal", SIGNALS)
def test_death_by_signal(both, signal):
    """exit-signal with the name that sshd gives, and no exit-status. Core dumps are off with us."""
    theirs, ours = (death(t, signal) for t in both)
    assert theirs[1] is not None
    assert ours[0] == theirs[0]
    assert ours[1] is not None and ours[1][0] == theirs[1][0]


def test_death_by_signal_in_a_pipeline(both):
    theirs, ours = (t.ssh("yes | head -1; sh -c 'kill -9 $$'; echo $?") for t in both)
    assert theirs.stdout == b"y\n137\n"
    assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)


def test_signal_from_the_client(target):
    async def work(connection):
        process = await connection.create_process("trap 'echo got it; exit 9' USR1; echo ready; "
                                                  "while :; do sleep 0.1; done")
        assert await process.stdout.readline() == "ready\n"
        process.send_signal("USR1")
        rest = await process.stdout.read()
        await process.wait()
        return rest, process.exit_status
    assert target.asyncssh(work) == ("got it\n", 9)


def test_kill_from_the_client(target):
    async def work(connection):
        process = await connection.create_process("echo ready; exec sleep 100")
        assert await process.stdout.readline() == "ready\n"
        process.send_signal("KILL")
        await process.wait()
        return process.exit_status, process.exit_signal[0]
    assert target.asyncssh(work) == (-1, "KILL")


def test_unknown_signal_is_ignored(target):
    async def work(connection):
        process = await connection.create_process("echo ready; sleep 1; exit 6")
        assert await process.stdout.readline() == "ready\n"
        process.send_signal("BOGUS")
        await process.wait()
        return process.exit_status
    assert target.asyncssh(work) == 6


def test_exit_status_long_after_end_of_input(target):
    assert target.ssh("cat >/dev/null; sleep 3; exit 9").returncode == 9


def test_exit_status_long_after_end_of_output(target):
    r = target.ssh("exec >&- 2>&-; sleep 3; exit 9")
    assert (r.returncode, r.stdout, r.stderr) == (9, b"", b"")


def test_last_words_are_not_lost(target):
    """Output written just before the end arrives, every time."""
    async def work(connection):
        for n in range(50):
            r = await connection.run(f"head -c 300000 /dev/zero | tr '\\0' a; echo end >&2; exit {n}")
            assert (len(r.stdout), r.stderr, r.exit_status) == (300000, "end\n", n)
    target.asyncssh(work, seconds=45)


def test_one_binary_image(sallyport):
    r = sallyport.ssh("exit 42", user="onebin")
    assert r.returncode == 42
    assert r.stdout == b"argv[0]=prog\nargv[1]=exit 42\npid>1=1 uid=1000 tty=0\n"
    assert r.stderr == b"this is stderr\n"


def test_one_binary_image_copies(sallyport):
    r = sallyport.ssh("a b  c;'d", user="onebin", stdin=b"\0\1\2\xff" * 1000)
    assert r.returncode == 0
    assert r.stdout.endswith(b"tty=0\n" + b"\0\1\2\xff" * 1000)
    assert b"argv[1]=a b  c;'d\n" in r.stdout


def test_program_that_is_not_there(sallyport):
    r = sallyport.ssh("anything", user="noshellthere")
    assert r.returncode == 127
    assert b"/bin/nosh" in r.stderr and b"No such file or directory" in r.stderr


@pytest.mark.parametrize("terminal", [False, True], ids=["plain", "terminal"])
def test_environment(both, terminal):
    """By sshd's names: it has one more, of a mailbox, and the image's own are there as well."""
    seen = []
    for target in both:
        r = target.ssh("env", options=["-tt"] if terminal else [])
        seen.append(dict(line.split("=", 1) for line in r.stdout.decode().splitlines()))
    sshd, ours = seen
    assert set(sshd) - set(ours) <= {"MAIL"}, sshd
    assert set(ours) - set(sshd) <= {"HOSTNAME", "FROM_IMAGE"}, ours
    same = {"HOME", "LOGNAME", "PWD", "SHELL", "SHLVL", "USER", *(["TERM"] if terminal else [])}
    assert {name: sshd[name] for name in same} == {name: ours[name] for name in same}
    for name in ("SSH_CLIENT", "SSH_CONNECTION"):
        assert len(sshd[name].split()) == len(ours[name].split()) and ours[name].startswith("127.0.0.1 ")


def test_client_that_would_compress(both):
    """sshd can, we cannot: the client goes on without."""
    for target in both:
        r = target.ssh("seq 100000", options=["-C"])
        assert (r.returncode, len(r.stdout)) == (0, 588895), r.stderr
