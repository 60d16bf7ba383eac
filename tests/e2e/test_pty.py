# SPDX-License-Identifier: Apache-2.0
"""Terminals: the shell on the other side must not be able to tell us from sshd."""
import re

import pytest

from kit.proc import wait_for
from kit.target import PATIENCE
from kit.terminal import Terminal
from test_protocol import Conversation

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]


def start_shell(target, **how):
    t = Terminal(target.argv(), **how)
    t.expect(rb"\$ ")
    t.send(b"PS1='> '; echo sh''ell ready\r")
    t.expect(rb"shell ready\r\n> ")
    return t


def test_tty_and_size(target):
    with Terminal(target.argv("-t", "tty; stty size; echo $TERM; echo $SSH_TTY"), rows=37,
                  columns=121) as t:
        seen, code = t.finish()
    assert code == 0
    m = re.match(rb"(/dev/pts/\d+)\r\n37 121\r\nxterm\r\n(/dev/pts/\d+)\r\n", seen)
    assert m and m.group(1) == m.group(2), seen


def test_no_terminal_unless_asked(target):
    r = target.ssh("tty; echo \"[$SSH_TTY]\"")
    assert r.stdout == b"not a tty\n[]\n"


def test_stderr_goes_to_the_terminal(target):
    r = target.ssh("-tt", "echo out; echo err >&2")
    assert r.stdout == b"out\r\nerr\r\n"


def test_exit_code_with_terminal(target):
    for code in (0, 1, 77, 255):
        assert target.ssh("-tt", f"exit {code}").returncode == code


def test_end_of_client_input_with_terminal(target):
    """As with sshd, the client's EOF is not the terminal's."""
    with open("/dev/null", "rb") as null:
        r = target.ssh("-tt", "sleep 1; echo ok; exit 2", stdin=null)
    assert (r.returncode, r.stdout) == (2, b"ok\r\n")


def test_end_of_file_typed(target):
    with Terminal(target.argv("-t", "cat; echo done; exit 8")) as t:
        t.send(b"line\r")
        t.expect(rb"line\r\nline\r\n")
        t.send(b"\x04")
        seen, code = t.finish()
    assert code == 8
    assert b"done\r\n" in seen


def test_everything_before_the_end_arrives(target):
    for _ in range(10):
        with Terminal(target.argv("-t", "seq 1 5000; exit 3")) as t:
            seen, code = t.finish()
        assert code == 3
        assert seen.startswith(b"".join(b"%d\r\n" % n for n in range(1, 5001)))


def test_window_change_while_running(target):
    with start_shell(target, rows=24, columns=80) as t:
        t.send(b"stty size\r")
        t.expect(rb"\n24 80\r\n")
        t.send(b"trap 'echo WINCH' WINCH; until read -t 0.1 x; do stty size; done\r")
        t.expect(rb"24 80\r\n")
        t.resize(51, 133)
        t.expect(rb"51 133\r\n")
        assert b"WINCH" in t.seen
        t.send(b"enough\r")
        t.expect(rb"> ")
        t.send(b"exit 0\r")
        _, code = t.finish()
    assert code == 0


def test_window_change_before_start(target):
    """The size asked for last is the one that the program sees first."""
    transport = target.paramiko()
    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.get_pty("vt100", 80, 24)
        c.resize_pty(99, 44)
        c.exec_command("stty size; echo $TERM")
        assert c.makefile("rb").read() == b"44 99\r\nvt100\r\n"
    finally:
        transport.close()


def test_interrupt(target):
    with start_shell(target) as t:
        # It says when it is in the foreground: a Ctrl-C before that would be the shell's own.
        t.send(b"sh -c 'echo go''ing; exec sleep 100'\r")
        t.expect(rb"\ngoing\r\n")
        t.send(b"\x03")
        t.expect(rb"\^C\r\n> ")
        t.send(b"echo code $?\r")
        t.expect(rb"\ncode 130\r\n")
        t.send(b"exit\r")
        _, code = t.finish()
    assert code == 0


def test_interrupt_of_a_command(target):
    """Ctrl-C ends what has no shell of its own, and the client sees a death by signal."""
    with Terminal(target.argv("-t", "echo go; exec sleep 100")) as t:
        t.expect(rb"go\r\n")
        t.send(b"\x03")
        _, code = t.finish()
    assert code == 255


def test_job_control(target):
    with start_shell(target) as t:
        # In the foreground, as in test_interrupt: until then the terminal is the shell's line editor's.
        t.send(b"sh -c 'echo go''ing; exec cat'\r")
        t.expect(rb"\ngoing\r\n")
        t.send(b"one\r")
        t.expect(rb"one\r\none\r\n")
        t.send(b"\x1a")
        t.expect(rb"Stopped +sh .*cat'\r\n> ")
        t.send(b"jobs\r")
        t.expect(rb"\[1\]\+ +Stopped +sh .*cat'\r\n> ")
        t.send(b"fg\r")
        t.expect(rb"\nsh .*cat'\r\n")
        t.send(b"two\r")
        t.expect(rb"two\r\ntwo\r\n")
        t.send(b"\x1a")
        t.expect(rb"Stopped +sh .*cat'\r\n> ")
        # In the background it is stopped again, by its wish to read, and a shell does not leave stopped jobs.
        t.send(b"bg; while kill -9 %1 2>/dev/null; do :; done; exit 9\r")
        seen, code = t.finish()
    assert code == 9
    assert b"no job control" not in seen


def test_ps_in_a_terminal(target):
    """Session, foreground group and terminal are what a login gives."""
    with start_shell(target) as t:
        t.send(b"ps -o pid=,ppid=,pgid=,sid=,tpgid=,tty=,args=; echo $$ end\r")
        m = t.expect(rb"\n((?: .*\r\n| *\d.*\r\n)+)(\d+) end\r\n")
        shell = m.group(2)
        rows = [row.split(None, 6) for row in m.group(1).decode().splitlines()]
        t.send(b"exit\r")
        t.finish()
    by_name = {row[6].split()[0]: row for row in rows}
    pid, _, pgid, sid, tpgid, tty, _ = by_name["-bash"]
    assert pid.encode() == shell
    assert pid == pgid == sid
    ps = by_name["ps"]
    assert ps[1] == pid and ps[3] == sid
    assert ps[0] == ps[2] == tpgid == ps[4]
    assert re.fullmatch(r"pts/\d+", tty) and ps[5] == tty
    assert len(rows) == 2


def test_detach_keys_pass_through(target):
    """Docker's own streams would eat Ctrl-P Ctrl-Q."""
    with Terminal(target.argv("-t", "stty -ixon raw -echo; echo go; head -c 4 | od -An -tx1")) as t:
        t.expect(rb"go")
        t.send(b"\x10\x11\x10\x10")
        t.expect(rb"10 11 10 10")
        _, code = t.finish()
    assert code == 0


def test_every_byte_through_a_raw_terminal(target):
    with Terminal(target.argv("-t", "-e", "none",
                              "stty raw -echo; echo go; head -c 256 | od -An -v -tx1")) as t:
        t.expect(rb"go")
        t.send(bytes(range(256)))
        seen, code = t.finish()
    assert code == 0
    words = re.sub(rb"^.*?go", b"", seen, count=1, flags=re.S).split()
    assert [int(w, 16) for w in words[:256]] == list(range(256))


# What a person may have set, or a program, on the terminal that a stock client is started at.
LOCAL = [(), ("erase", "^H", "intr", "^T", "kill", "undef"), ("-echo", "-icanon", "min", "1", "-isig"),
         ("-iutf8", "-ixon", "ixany", "-icrnl", "tostop", "noflsh"), ("iutf8", "-opost", "olcuc", "-echoctl"),
         ("9600", "eol", "^A", "eol2", "^B", "-echoke", "-echok", "istrip")]


def settings(target, local):
    with Terminal(target.argv("-t", "stty -a; stty -g"), modes=local) as t:
        seen, code = t.finish()
    assert code == 0
    return seen.split(b"Connection to")[0].split()


@pytest.mark.parametrize("local", LOCAL, ids=" ".join)
def test_terminal_settings(both, local):
    """The terminal there is as the client's own one is here: every character and every flag."""
    theirs, ours = (settings(t, local) for t in both)
    assert len(theirs) > 60
    assert ours == theirs


def mode(opcode, value=1):
    return bytes([opcode]) + value.to_bytes(4, "big")


CHARACTERS, FLAGS = range(1, 19), [*range(30, 43), *range(50, 63), *range(70, 76), *range(90, 94)]
ERASE, ECHO, CS7, CS8, ISPEED, OSPEED = 3, 53, 90, 91, 128, 129

# What a scripted client says of the modes.
SAID = {
    "nothing": b"",
    "end": b"\0",
    "all-on": b"".join(map(mode, FLAGS)) + b"\0",
    "all-off": b"".join(mode(n, 0) for n in FLAGS) + b"\0",
    "values": b"".join(mode(n, 1 << n % 32) for n in FLAGS) + b"\0",
    "characters": b"".join(mode(n, n + 64) for n in CHARACTERS) + b"\0",
    "no-characters": b"".join(mode(n, 255) for n in CHARACTERS) + b"\0",
    "wide-characters": b"".join(mode(n, 255 + n) for n in CHARACTERS) + b"\0",
    "speed": mode(ISPEED, 115200) + mode(OSPEED, 115200) + b"\0",
    "two-speeds": mode(ISPEED, 115200) + mode(OSPEED, 4800) + b"\0",
    "no-speed": mode(ISPEED, 12345) + mode(OSPEED, 12345) + b"\0",
    "last-one-counts": mode(ECHO, 0) + mode(ERASE, 8) + mode(ECHO) + mode(ERASE, 9) + mode(ECHO, 0) + b"\0",
    "bits-of-two": mode(CS8, 0) + mode(CS7) + mode(CS8) + mode(CS7, 0) + b"\0",
    "without-end": mode(ECHO, 0) + mode(ERASE, 8),
    "nobodys": b"".join(mode(n, 0xffffffff) for n in (19, 29, 43, 76, 94, 127, 130, 159)) + mode(ERASE, 8) + b"\0",
    "nobodys-at-the-end": mode(ECHO, 0) + b"\xa0",
    "nobodys-with-a-value": mode(ECHO, 0) + mode(0xa0) + mode(ERASE, 8) + b"\0",
    "behind-the-end": mode(ECHO, 0) + b"\0" + mode(ERASE, 8) + b"\0",
    "thousand": b"".join(mode(ECHO, n % 2) + mode(ERASE, n) for n in range(1, 500)) + b"\0",
}


def told(target, *said):
    """What programs with terminals are told, of which each is asked for with these modes, all in one breath."""
    with Conversation(target) as c:
        c.begin(*range(len(said)))
        c.send(*(c.ask(n, "pty-req", True, "vt52", 80, 24, 0, 0, modes) for n, modes in enumerate(said)),
               *(c.ask(n, "exec", True, "stty -a; stty -g") for n in range(len(said))))
        c.finish(*range(len(said)))
        assert all(kind == "success" for kind, _ in c.answers)
        return [c.output[n].split() for n in range(len(said))]


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_modes_of_a_scripted_client(both, said):
    theirs, ours = (told(t, said) for t in both)
    assert len(theirs[0]) > 60
    assert ours == theirs


def test_modes_of_terminals_in_one_breath(both):
    """Each has those that were said with it."""
    said = [mode(ERASE, 65 + n) + mode(ECHO, n % 2) + b"\0" for n in range(8)]
    theirs, ours = (told(t, *said) for t in both)
    assert len({tuple(t) for t in theirs}) == len(said)
    assert ours == theirs


def test_modes_that_break_off(sallyport):
    """sshd ends the connection; here they mean nothing."""
    whole = mode(ECHO, 0) + mode(ERASE, 8)
    usual, *broken = told(sallyport, b"", *(whole[:n] for n in (1, 4, 6, 9)))
    assert all(b == usual for b in broken)


def test_hang_up_when_the_channel_closes(target):
    """What runs on the terminal hears of its end. A second channel looks for the traces."""
    transport = target.paramiko()

    def run(command):
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command(command)
        return c.recv_exit_status()

    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.get_pty()
        c.exec_command("trap 'touch /tmp/hung-up; exit' HUP; echo set; sleep 100 & wait")
        assert c.recv(100) == b"set\r\n"
        c.close()
        wait_for(lambda: run("test -e /tmp/hung-up && rm /tmp/hung-up") == 0, 10 * PATIENCE,
                 "the program was hung up")
    finally:
        transport.close()


def test_terminal_while_another_channel_closes(target):
    """Requests that arrive in the shadow of another channel's end are answered, too."""
    transport = target.paramiko()
    try:
        for _ in range(8):
            one = transport.open_session()
            one.exec_command("read x")
            two = transport.open_session()
            two.settimeout(10 * PATIENCE)
            one.close()
            two.get_pty()
            two.exec_command("echo up; exit 3")
            assert two.recv(10) == b"up\r\n"
            assert two.recv_exit_status() == 3
    finally:
        transport.close()


def test_terminal_without_size(target):
    """A client without a terminal of its own may ask for one all the same."""
    r = target.ssh("-tt", "stty size; test -t 0 && echo yes")
    assert r.returncode == 0
    assert r.stdout.endswith(b"yes\r\n")


def test_terminal_refused_by_policy(sallyport):
    """As with sshd's PermitTTY no, OpenSSH's client gives up; a command without one runs."""
    r = sallyport.ssh("-tt", "tty", user="nopty")
    assert b"PTY allocation request failed on channel 0" in r.stderr
    assert (r.returncode, r.stdout) == (255, b"")
    r = sallyport.ssh("tty", user="nopty")
    assert (r.returncode, r.stdout) == (1, b"not a tty\n")
