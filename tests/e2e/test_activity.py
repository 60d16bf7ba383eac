# SPDX-License-Identifier: Apache-2.0
"""How much has passed and how long nothing has: in `sallyport sessions`, and in the audit log at the end."""
import json
import subprocess
import time

import pytest

from kit.broker import BUILD
from kit.proc import wait_for
from kit.target import PATIENCE

PROGRAM = f"{BUILD}/admin/sallyport"


def only_session(broker):
    mine, = broker.ask("sessions")["sessions"]
    return mine


def ended(broker, connection):
    wait_for(lambda: broker.audit(event="disconnect", connection=connection), 20 * PATIENCE,
             "the end is in the audit log")
    event, = broker.audit(event="disconnect", connection=connection)
    return event


@pytest.fixture
def echo(broker):
    """A client whose bytes come back."""
    client = broker.target.popen("echo in; exec cat")
    assert client.stdout.readline() == b"in\n"
    yield client
    client.stdin.close()
    client.wait(20 * PATIENCE)
    client.stdout.close()
    client.stderr.close()


def test_bytes_in_both_directions(broker, echo):
    echo.stdin.write(b"x" * 1000)
    echo.stdin.flush()
    assert len(echo.stdout.read(1000)) == 1000
    wait_for(lambda: only_session(broker)["bytes_in"] == 1000, 10 * PATIENCE, "they are told")
    mine = only_session(broker)
    assert mine["bytes_out"] == 1000 + len("in\n")
    table = subprocess.run([PROGRAM, "sessions", "--socket", f"{broker.dir}/run/control.sock"],
                           capture_output=True, check=True, text=True, timeout=60 * PATIENCE).stdout
    head, row = (line.split() for line in table.splitlines())
    assert (row[head.index("IN")], row[head.index("OUT")]) == ("1000", "1003")


def test_idle_time_is_since_the_last_data(broker, echo):
    time.sleep(4)
    assert only_session(broker)["idle_seconds"] >= 3
    echo.stdin.write(b"x")
    echo.stdin.flush()
    assert echo.stdout.read(1) == b"x"
    wait_for(lambda: only_session(broker)["idle_seconds"] <= 2, 10 * PATIENCE, "it is not idle")


def test_keepalives_are_no_activity(fresh_broker):
    """Of the server and of the client, each second."""
    b = fresh_broker
    b.config["login"] = {**b.config.get("login", {}), "keepalive": "1s"}
    b.start()
    client = b.target.popen("echo in; exec cat", options=("-o", "ServerAliveInterval=1"))
    try:
        assert client.stdout.readline() == b"in\n"
        time.sleep(6)
        assert only_session(b)["idle_seconds"] >= 5
    finally:
        client.stdin.close()
        client.wait(20 * PATIENCE)
        client.stdout.close()
        client.stderr.close()


def test_who_has_not_logged_in_has_no_numbers(broker):
    silent = subprocess.Popen(["/bin/bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{broker.port}; sleep 60"])
    try:
        wait_for(lambda: broker.ask("sessions")["sessions"], 10 * PATIENCE, "it is seen")
        mine = only_session(broker)
        assert (mine["bytes_in"], mine["bytes_out"], mine["idle_seconds"]) == (None, None, None)
    finally:
        silent.kill()
        silent.wait()
    wait_for(lambda: not broker.ask("sessions")["sessions"], 10 * PATIENCE, "it is gone")
    assert not any("bytes_in" in e for e in broker.audit(connection=mine["connection"]))


@pytest.mark.quick
def test_the_end_has_all_the_bytes(broker):
    """A session that is over before anything is told in between, too."""
    before = {e["connection"] for e in broker.audit(event="login")}
    assert broker.target.ssh("head -c 200000 /dev/zero; wc -c", stdin=b"y" * 50000).returncode == 0
    mine, = {e["connection"] for e in broker.audit(event="login")} - before
    event = ended(broker, mine)
    assert event["bytes_in"] == 50000 and event["bytes_out"] == 200000 + len("50000\n")
    closed, = broker.audit(event="channel.closed", connection=mine)
    assert (closed["bytes_in"], closed["bytes_out"]) == (event["bytes_in"], event["bytes_out"])


def test_a_client_that_is_killed_leaves_its_bytes(broker):
    client = broker.target.popen("head -c 5000 /dev/zero; exec cat")
    try:
        assert len(client.stdout.read(5000)) == 5000
        mine = only_session(broker)["connection"]
    finally:
        client.kill()
        client.wait()
        for stream in client.stdin, client.stdout, client.stderr:
            stream.close()
    assert ended(broker, mine)["bytes_out"] == 5000
    closed, = broker.audit(event="channel.closed", connection=mine)
    assert closed["bytes_out"] == 5000


def test_json_and_watch_have_the_same(broker, echo):
    watch = subprocess.Popen([PROGRAM, "sessions", "--watch", "--json", "--socket",
                              f"{broker.dir}/run/control.sock"], stdout=subprocess.PIPE, text=True)
    try:
        text = ""
        while text.count("\n}\n") < 2:
            text += watch.stdout.readline()
        first, _ = json.JSONDecoder().raw_decode(text)
        assert first["sessions"][0]["bytes_out"] in (0, len("in\n"))
        assert first["sessions"][0]["idle_seconds"] >= 0
    finally:
        watch.terminate()
        watch.wait(10)
        watch.stdout.close()
