# SPDX-License-Identifier: Apache-2.0
"""How long a session may be idle, and what it is greeted with."""
import time

import pytest

from kit.broker import BASH, profile
from kit.proc import wait_for
from kit.target import PATIENCE

GREETING = "Welcome.\n\tBe quick, ${user}."
SHOWN = b"Welcome.\r\n\tBe quick, waits.\r\n"


@pytest.fixture
def quick(fresh_broker):
    """The user "waits": eight seconds without data, a word four seconds before; and a greeting."""
    b = fresh_broker
    b.policy["profiles"] = dict(b.policy["profiles"], waits=profile(argv=BASH, session={
        "idle": "8s", "warn": "4s", "greeting": GREETING, "subsystems": {"sftp": True}}))
    b.policy["users"]["waits"] = dict(b.policy["users"]["dev"])
    b.policy["rules"].append({"id": "waits", "if": {"user": ["waits"]}, "use": "waits"})
    return b.start()


def ended(client):
    """Its exit code and what it was told, and how long that took."""
    begin = time.monotonic()
    code = client.wait(30 * PATIENCE)
    text = client.stderr.read()
    for stream in client.stdin, client.stdout, client.stderr:
        stream.close()
    return code, text, time.monotonic() - begin


def test_an_idle_session_is_warned_and_ended(quick):
    client = quick.target.popen("echo in; exec cat", user="waits")
    assert client.stdout.readline() == b"in\n"
    code, text, seconds = ended(client)
    assert code == 255 and 7.5 < seconds < 16 * PATIENCE
    warning = b"This session is not being used. It ends in 4s if nothing passes through it."
    goodbye = b"This session has not been used for 8s and is over."
    assert warning in text and goodbye in text and text.index(warning) < text.index(goodbye)
    wait_for(lambda: quick.audit(event="disconnect", user="waits"), 20 * PATIENCE, "its end is written")
    event, = quick.audit(event="disconnect", user="waits")
    assert event["milliseconds"] > 8000 and event["reason"] == "it was idle for too long"


def test_keepalives_do_not_keep_it(quick):
    client = quick.target.popen("echo in; exec cat", user="waits",
                                options=("-o", "ServerAliveInterval=1"))
    assert client.stdout.readline() == b"in\n"
    code, text, _ = ended(client)
    assert code == 255 and b"has not been used for 8s" in text


def test_a_session_that_nobody_opens_a_channel_on(quick):
    client = quick.target.popen(user="waits", options=("-N",))
    code, text, _ = ended(client)
    assert code == 255 and b"has not been used for 8s" in text


@pytest.mark.parametrize("command", ["while :; do echo .; sleep 1; done", "exec cat > /dev/null"],
                         ids=["output", "input"])
def test_data_in_either_direction_keeps_it(quick, command):
    client = quick.target.popen(command, user="waits")
    try:
        for _ in range(20):
            client.stdin.write(b"x" if "cat" in command else b"")
            client.stdin.flush()
            time.sleep(1)
            assert client.poll() is None
    finally:
        client.kill()
        client.wait()
        text = client.stderr.read()
        for stream in client.stdin, client.stdout, client.stderr:
            stream.close()
    assert b"not being used" not in text


def test_after_the_warning_it_can_go_on_and_is_warned_again(quick):
    client = quick.target.popen("echo in; exec cat", user="waits")
    assert client.stdout.readline() == b"in\n"
    for _ in range(2):
        line = client.stderr.readline()
        assert line.startswith(b"This session is not being used.")
        client.stdin.write(b"x\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"x\n"
    code, text, _ = ended(client)
    assert code == 255 and text.count(b"This session is not being used.") == 1
    assert b"has not been used for 8s" in text


# ----- the greeting

def shell(broker, *options):
    return broker.target.ssh(user="waits", options=options, stdin=b"echo out\nexit 7\n")


def test_a_shell_on_a_terminal_is_greeted_first(quick):
    result = shell(quick, "-tt")
    assert result.returncode == 7
    assert result.stdout.startswith(SHOWN) and result.stdout.count(b"Welcome.") == 1
    assert b"out\r\n" in result.stdout and b"Welcome" not in result.stderr


def test_what_programs_read_stays_as_it_is(quick):
    result = shell(quick, "-T")
    assert (result.returncode, result.stdout) == (7, b"out\n") and b"Welcome" not in result.stderr
    result = quick.target.ssh("printf raw", user="waits")
    assert result.stdout == b"raw" and b"Welcome" not in result.stderr
    result = quick.target.ssh("printf raw", user="waits", options=("-tt",))
    assert result.stdout == b"raw", "a command is no shell"
    result = quick.target.sftp("pwd\n", user="waits")
    assert result.returncode == 0 and b"Welcome" not in result.stdout + result.stderr


def test_no_greeting_where_none_is_set(quick):
    result = quick.target.ssh(options=("-tt",), stdin=b"exit 7\n")
    assert result.returncode == 7 and b"Welcome" not in result.stdout
