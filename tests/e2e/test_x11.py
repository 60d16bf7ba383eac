# SPDX-License-Identifier: Apache-2.0
"""
x11-req: what draws in the container is shown at the client, if the policy says so. Held against sshd; the X
server is one of ours (kit/x11.py), in front of a stock client that checks and replaces the cookie.
"""
import re

import pytest

from kit.proc import wait_for
from kit.raw import RawClient
from kit.target import PATIENCE
from kit.x11 import DRAW, NAME, TRUSTED, XServer, serve_channel
from test_forward import Master, forwarding  # noqa: F401  pylint: disable=unused-import

pytestmark = [pytest.mark.quick, pytest.mark.data_path]

X11 = ("MIT-MAGIC-COOKIE-1", "0123456789abcdef" * 2, 0)


@pytest.fixture
def screen(tmp_path):
    with XServer(tmp_path) as server:
        yield server


def drawn(r):
    """The display of a program that has drawn."""
    display, *said = r.stdout.decode().splitlines()
    assert said == ["in", "hello"], (r.stdout, r.stderr)
    assert re.fullmatch(r"localhost:\d+\.\d+", display), display
    return display


def test_a_program_draws(forwarding, screen):
    """The X server sees its own cookie, the container has another one."""
    r = forwarding.ssh(DRAW + 'busybox tail -c 16 "$f" | busybox hexdump -v -e \'1/1 "%02x"\' >&2',
                       user=forwarding.login("forward"), options=TRUSTED, env=screen.environment)
    drawn(r)
    assert screen.shown == [(NAME, screen.cookie)]
    theirs = r.stderr.decode().splitlines()[-1]  # sshd's xauth may say that it makes a new file
    assert re.fullmatch("[0-9a-f]{32}", theirs) and theirs != screen.cookie.hex()


def test_with_a_terminal(forwarding, screen):
    r = forwarding.ssh(DRAW, user=forwarding.login("forward"), options=[*TRUSTED, "-tt"], env=screen.environment)
    assert b"in\r\nhello\r\n" in r.stdout, (r.stdout, r.stderr)


def test_untrusted(forwarding, screen, tmp_path):
    """-X as OpenSSH has it: the client has a cookie made for it. That takes more of an X server than we have."""
    tool = tmp_path / "xauth"
    tool.write_text('#!/bin/sh\n[ "$3" = generate ] && set -- -q -f "$2" add "$4" . ' + screen.cookie.hex() +
                    '\nexec /usr/bin/xauth "$@"\n')
    tool.chmod(0o755)
    r = forwarding.ssh(DRAW, user=forwarding.login("forward"), env=screen.environment,
                       options=["-X", "-o", "ForwardX11Trusted=no", "-o", f"XAuthLocation={tool}"])
    drawn(r)


def test_a_client_without_a_cookie(forwarding, screen):
    """It makes one up, which goes as far as the X server."""
    r = forwarding.ssh(DRAW, user=forwarding.login("forward"), env=screen.environment,
                       options=["-Y", "-o", "XAuthLocation=/bin/false"])
    assert r.stdout.splitlines()[1:] == [b"out"], (r.stdout, r.stderr)
    assert len(screen.shown) == 1 and len(screen.shown[0][1]) == 16


def test_whoever_does_not_know_the_cookie(forwarding, screen):
    r = forwarding.ssh(DRAW.replace('busybox tail -c 16 "$f"', "printf 0123456789abcdef"),
                       user=forwarding.login("forward"), options=TRUSTED, env=screen.environment)
    assert r.stdout.splitlines()[1:] == [], r.stdout
    assert all(len(shown) == 1 for shown in screen.shown), "the client has let it through"


def test_not_there_unasked(forwarding):
    r = forwarding.ssh('echo "[$DISPLAY][$XAUTHORITY]"', user=forwarding.login("forward"))
    assert r.stdout == b"[][]\n"


def test_many_windows(forwarding, screen):
    r = forwarding.ssh(f"for i in 1 2 3 4 5 6 7 8; do ({DRAW}) & done; wait", user=forwarding.login("forward"),
                       options=TRUSTED, env=screen.environment)
    assert r.stdout.count(b"in\n") == r.stdout.count(b"hello\n") == 8, (r.stdout, r.stderr)


def test_sessions_of_one_connection(forwarding, screen, control):
    """Each has a display of its own."""
    with Master(forwarding, control, options=TRUSTED, env=screen.environment) as m:
        running = [forwarding.popen(DRAW + "read x", user=m.user, options=[*m.options, *TRUSTED],
                                    env=screen.environment) for _ in range(3)]
        displays = {p.stdout.readline() for p in running}
        assert len(displays) == 3, displays
        for p in running:
            assert [p.stdout.readline(), p.stdout.readline()] == [b"in\n", b"hello\n"]
        for p in running:
            p.communicate(b"\n", timeout=30 * PATIENCE)


def test_ends_with_its_session(forwarding, screen, control):
    """Nobody listens there any more, its cookie is gone, and the next one gets the same display."""
    with Master(forwarding, control, options=TRUSTED, env=screen.environment) as m:
        first = None
        for _ in range(3):
            r = m.ssh(DRAW + 'echo "${XAUTHORITY%/*}"', options=TRUSTED, env=screen.environment)
            display, in_, hello, directory = r.stdout.decode().splitlines()
            assert (in_, hello) == ("in", "hello")
            assert first in (None, display)
            first = display
            port = 6000 + int(display.split(":")[1].split(".")[0])
            wait_for(lambda port=port: not m.listening(port), 10 * PATIENCE, "nobody listens")
            if directory:
                assert m.ssh(f"test ! -e {directory}").returncode == 0


def test_windows_outlive_the_session(forwarding, screen, control):
    """A window that is open stays so when the session has ended: the client waits for it."""
    late = DRAW.replace("echo hello", "busybox sleep 3; echo hello")
    with Master(forwarding, control, options=TRUSTED, env=screen.environment) as m:
        m.ssh("rm -f /tmp/drawn")
        r = m.ssh(f"{{ {late} }} >/tmp/drawn 2>/dev/null </dev/null & busybox sleep 1; cat /tmp/drawn",
                  options=TRUSTED, env=screen.environment)
        assert r.stdout.endswith(b".0\n") or r.stdout.endswith(b"in\n"), r.stdout
        wait_for(lambda: m.ssh("cat /tmp/drawn").stdout.endswith(b"in\nhello\n"), 20 * PATIENCE, "it has drawn on")


# ----- paramiko: the client's part is ours -----

def taken(transport, script, **how):
    """What a program has said, whose connections show COOKIE to nobody but us."""
    def on_window(channel, _):
        serve_channel(channel, bytes.fromhex(X11[1]))
    channel = transport.open_session()
    channel.settimeout(30 * PATIENCE)
    channel.request_x11(auth_protocol=X11[0], auth_cookie=X11[1], handler=on_window, **how)
    channel.exec_command(script)
    return channel.makefile("rb").read()


def test_the_screen_s_number(forwarding):
    transport = forwarding.paramiko(forwarding.login("forward"))
    try:
        out = taken(transport, DRAW, screen_number=4294967295)
        assert re.fullmatch(rb"localhost:\d+\.4294967295\nin\nhello\n", out), out
    finally:
        transport.close()


def test_a_single_connection(forwarding):
    """Nobody listens after it."""
    transport = forwarding.paramiko(forwarding.login("forward"))
    try:
        out = taken(transport, DRAW + "busybox sleep 1" + DRAW, single_connection=True)
        lines = out.splitlines()
        assert lines[1:3] == [b"in", b"hello"] and lines[3:] == lines[:1], out
    finally:
        transport.close()


# ----- packet by packet -----

@pytest.fixture
def raw(forwarding):
    with RawClient(forwarding, login=forwarding.login("forward")) as client:
        yield client


def test_once_on_a_channel(raw):
    channel = raw.open()
    assert raw.request(channel, "x11-req", False, *X11)
    assert not raw.request(channel, "x11-req", False, *X11)
    other = raw.open(1)
    assert raw.request(other, "x11-req", False, *X11)


def test_before_the_program(raw):
    channel = raw.open()
    assert raw.request(channel, "exec", "sleep 100")
    assert not raw.request(channel, "x11-req", False, *X11)


@pytest.mark.parametrize("name, cookie", [
    ("MIT MAGIC", "00"), ("a;b", "00"), ("$(id)", "00"), ("a\n", "00"), ("\xe9", "00"), ("M", "0 "), ("M", "'0"),
    ("M", "\t")])
def test_what_is_no_cookie(raw, name, cookie):
    """Refused, and another one is taken then."""
    channel = raw.open()
    assert not raw.request(channel, "x11-req", False, name, cookie, 0)
    assert raw.request(channel, "x11-req", False, *X11)


# ----- what is ours -----

@pytest.mark.parametrize("name, cookie", [("x" * 65, "00"), ("M", "0"), ("M", "0g"), ("M", "ab" * 129)])
def test_what_we_do_not_take(sallyport, name, cookie):
    """sshd would run xauth with it, which would take none of the cookies: nothing could be drawn."""
    with RawClient(sallyport, login="forward") as client:
        channel = client.open()
        assert not client.request(channel, "x11-req", False, name, cookie, 0)
        assert client.request(channel, "x11-req", False, "x" * 64, "ab" * 128, 0)


@pytest.mark.parametrize("user", ["dev", "soloforward", "narrow"])
def test_not_allowed(sallyport, screen, user):
    r = sallyport.ssh('echo "[$DISPLAY][$XAUTHORITY]"', user=user, options=TRUSTED, env=screen.environment)
    assert r.stdout == b"[][]\n"
    assert b"X11 forwarding request failed on channel 0" in r.stderr


def test_the_file(sallyport, screen):
    """As xauth reads it; and nobody else gets there."""
    r = sallyport.ssh('xauth -n list; busybox stat -c "%a %F" "$XAUTHORITY" "${XAUTHORITY%/*}"; '
                      'busybox od -An -tx1 "$XAUTHORITY" | busybox tr -d " \\n"', user="forward",
                      options=TRUSTED, env=screen.environment)
    assert r.stdout.count(b"\n") == 3, (r.stdout, r.stderr)
    listed, file, directory, content = r.stdout.decode().splitlines()
    cookie = content[-32:]
    assert listed.split() == ["#ffff##:10", NAME.decode(), cookie]
    assert (file, directory) == ("600 regular file", "700 directory")
    assert content == "ffff0000" + "0002" + b"10".hex() + "0012" + NAME.hex() + "0010" + cookie


def test_displays_that_are_taken(sallyport, screen, control):
    """The first one at which nobody else listens, at either address."""
    taken_ports = ("import socket as s; at = [s.create_server(('127.0.0.1', 6010)), s.create_server(('0.0.0.0', 6011)), "
                   "s.create_server(('::1', 6012), family=s.AF_INET6)]; print(flush=True); input()")
    with Master(sallyport, control, options=TRUSTED, env=screen.environment) as m:
        p = sallyport.popen(f'exec python3 -c "{taken_ports}"', user="forward", options=m.options)
        m.close.append(p.kill)
        assert p.stdout.readline() == b"\n", p.stderr.read()
        assert drawn(m.ssh(DRAW, options=TRUSTED, env=screen.environment)) == "localhost:13.0"


def test_in_a_container_that_cannot_be_written(fresh_broker, screen):
    """It needs nothing of the image but a place for the file, which the engine makes."""
    forward = fresh_broker.policy["profiles"]["forward"]
    forward["container"].update(mounts=[], read_only_root=True)
    drawn(fresh_broker.start().target.ssh(DRAW, user="forward", options=TRUSTED, env=screen.environment))


def test_no_room_for_another_connection(fresh_broker, screen):
    """It does not count as a channel, but its connections do: the session has the only place."""
    fresh_broker.policy["profiles"]["forward"]["session"]["channels"] = 1
    b = fresh_broker.start()
    r = b.target.ssh(f"({DRAW}) >/tmp/drawn 2>&1 & sleep 3; cat /tmp/drawn", user="forward", options=TRUSTED,
                     env=screen.environment)
    assert (r.returncode, r.stdout) == (0, b"localhost:10.0\n")
    assert b"X11 forwarding request failed" not in r.stderr
    assert not b.audit(event="accepted")


def test_no_room_for_another_listener(sallyport, screen):
    """There are no more than 48 of them, so that sessions and what comes have numbers."""
    options = [*TRUSTED, *(f"-R0:127.0.0.1:{i}" for i in range(1, 49))]
    r = sallyport.ssh('echo "[$DISPLAY]"', user="forward", options=options, env=screen.environment)
    assert (r.returncode, r.stdout) == (0, b"[]\n")
    assert b"X11 forwarding request failed" in r.stderr
    r = sallyport.ssh(DRAW, user="forward", options=options[:-1], env=screen.environment)
    assert drawn(r) == "localhost:10.0"


def test_what_is_written_down(fresh_broker, screen):
    b = fresh_broker.start()
    drawn(b.target.ssh(DRAW, user="forward", options=TRUSTED, env=screen.environment))
    listen, = b.audit(event="listen")
    assert (listen["kind"], listen["outcome"], listen.get("host")) == ("x11", "allowed", None)
    accepted, = b.audit(event="accepted")
    assert (accepted["listener"], accepted["peer"]) == (listen["channel"], "127.0.0.1")
    wait_for(lambda: len(b.audit(event="channel.closed")) == 3, 15 * PATIENCE, "all of it is closed")
    with RawClient(b.target, login="forward") as client:
        assert client.request(client.open(), "x11-req", False, *X11)
    assert len(b.audit(event="listen")) == 2
    for name in ("audit.log", "log"):
        with open(f"{b.dir}/{name}", encoding="utf-8") as f:
            assert X11[1] not in f.read()
