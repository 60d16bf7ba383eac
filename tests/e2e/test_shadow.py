# SPDX-License-Identifier: Apache-2.0
"""The shadow policy: it says what it would have done, and never does it."""
import copy
import json
import os
import subprocess

import pytest

from kit.broker import BUILD, PROGRAM
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.quick


def put(broker, shadow):
    """shadow: a policy, or text."""
    path = f"{broker.dir}/shadow.json"
    with open(path, "w", encoding="utf-8") as f:
        f.write(shadow if isinstance(shadow, str) else json.dumps(shadow))
    os.chmod(path, 0o600)


@pytest.fixture
def shadowed(fresh_broker):
    """Its shadow is a copy of the policy, to be changed before start()."""
    fresh_broker.config["policy_shadow"] = "shadow.json"
    fresh_broker.shadow = copy.deepcopy(fresh_broker.policy)
    return fresh_broker


def differences(broker):
    return broker.ask("status")["shadow"]["differences"]


def test_the_same_policy_has_no_differences(shadowed):
    b = shadowed
    put(b, b.shadow)
    b.start()
    assert b.target.ssh("true").returncode == 0
    assert b.target.ssh("true", user="refused").returncode == 255
    assert b.target.ssh("true", user="noexec").returncode != 0
    assert b.target.ssh("true", user="nobody-at-all").returncode == 255
    state = b.ask("status")["shadow"]
    assert (state["generation"], state["differences"], state["failed"]) == (1, 0, False)
    assert state["sha256"] and state["file"] == f"{b.dir}/shadow.json"
    assert not b.audit(event="shadow") and b.audit(event="shadow.loaded", generation=1)


def test_a_login_that_it_would_refuse_is_let_in(shadowed):
    b = shadowed
    b.shadow["rules"].insert(0, {"id": "freeze", "if": {"user": ["dev"]}, "deny": "Frozen."})
    put(b, b.shadow)
    b.start()
    assert b.target.ssh("echo in; exit 3").returncode == 3
    event, = b.audit(event="shadow")
    assert (event["about"], event["outcome"], event["rule"], event["generation"], event["user"]) == (
        "login", "would-be-refused", "freeze", 1, "dev")
    login, = b.audit(event="login")
    assert login["outcome"] == "accepted" and login["connection"] == event["connection"]
    assert event["number"] < login["number"], "it is in the log before anything happens"
    # One difference, and not one more for what is asked for on it.
    assert differences(b) == 1
    assert "shadow: this login would-be-refused: a rule denies this login, rule freeze" in b.log()


def test_a_login_that_it_would_let_in_is_refused(shadowed):
    b = shadowed
    b.shadow["rules"] = [r for r in b.shadow["rules"] if r["id"] != "no-entry"]
    b.shadow["rules"].append({"id": "everybody", "use": "dev"})
    put(b, b.shadow)
    b.start()
    result = b.target.ssh("echo in", user="refused")
    assert result.returncode == 255 and b"in\n" not in result.stdout
    event, = b.audit(event="shadow")
    assert (event["outcome"], event["rule"], "reason" in event) == ("would-be-allowed", "everybody", False)
    assert not b.audit(event="login", outcome="accepted") and not b.audit(event="container.create")


def test_who_proves_nothing_is_not_judged(shadowed):
    """A key that only the shadow knows opens nothing, and nothing is said of it."""
    b = shadowed
    with open(f"{b.target.keys.stranger}.pub", encoding="ascii") as f:
        b.shadow["users"]["dev"]["keys"] = [f.read().strip()]
    put(b, b.shadow)
    b.start()
    assert b.target.ssh("true", key=b.target.keys.stranger).returncode == 255
    assert differences(b) == 0
    assert b.target.ssh("true").returncode == 0
    event, = b.audit(event="shadow")
    assert (event["outcome"], event["reason"]) == ("would-be-refused", "unknown user or key")


def test_requests_are_compared(shadowed):
    b = shadowed
    b.shadow["profiles"]["dev"]["session"] = {"exec": False}
    b.shadow["profiles"]["noexec"]["session"] = {}
    b.shadow["profiles"]["forward"]["session"]["forward"] = {"local": ["container:1-7999"]}
    put(b, b.shadow)
    b.start()
    assert b.target.ssh("exit 3").returncode == 3
    event, = b.audit(event="shadow", user="dev")
    assert (event["about"], event["kind"], event["outcome"], event["rule"], event["channel"]) == (
        "request", "exec", "would-be-refused", "dev", 0)
    assert "not allowed" in event["reason"]
    # What the worker refuses by itself, a program, is judged as well.
    assert b.target.ssh("true", user="noexec").returncode != 0
    event, = wait_for(lambda: b.audit(event="shadow", user="noexec"), 20 * PATIENCE, "the worker has said so")
    assert (event["about"], event["kind"], event["outcome"], "channel" in event) == (
        "request", "exec", "would-be-allowed", False)
    assert b.ask("status")["counters"]["requests_refused"] == 1
    # Nobody listens on either: whether they may be tried is what is decided.
    for port in 7000, 8000:
        b.target.ssh("-W", f"localhost:{port}", user="forward", seconds=20)
    event, = b.audit(event="shadow", user="forward")
    assert (event["about"], event["port"], event["outcome"]) == ("forward", 8000, "would-be-refused")


@pytest.mark.parametrize("text", ["", "{", '{"sallyport_policy": 1, "rulez": []}'])
def test_a_bad_one_stops_nothing(shadowed, text):
    b = shadowed
    put(b, text)
    b.start()
    assert b.target.ssh("exit 3").returncode == 3
    state = b.ask("status")["shadow"]
    assert (state["generation"], state["sha256"], state["failed"]) == (0, None, True)
    assert "shadow.json" in b.log() and "has errors and is not used" in b.log()
    assert b.audit(event="shadow.rejected")
    check = subprocess.run([PROGRAM, "-t", "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                           check=False, timeout=30 * PATIENCE)
    assert check.returncode == 0 and "the shadow policy has errors" in check.stderr
    status = subprocess.run([f"{BUILD}/admin/sallyport", "status", "--socket", f"{b.dir}/run/control.sock"],
                            capture_output=True, text=True, check=True, timeout=30 * PATIENCE).stdout
    assert "shadow       generation 0" in status and "has errors now, not used" in status


def test_one_that_is_not_there_stops_nothing(shadowed):
    b = shadowed.start()
    assert b.target.ssh("exit 3").returncode == 3
    assert b.ask("status")["shadow"]["failed"] is True


def test_both_are_reloaded_and_neither_waits_for_the_other(shadowed):
    b = shadowed
    put(b, b.shadow)
    b.start()
    put(b, "{")
    answer = b.ask("reload")
    assert answer["reloaded"] is True and answer["generation"] == 2
    assert "shadow.json" in answer["messages"]
    state = b.ask("status")["shadow"]
    assert (state["generation"], state["failed"]) == (1, True)
    b.shadow["rules"].insert(0, {"id": "freeze", "deny": "Frozen."})
    put(b, b.shadow)
    b.policy["rulez"] = []
    b.write()
    answer = b.ask("reload")
    assert answer["reloaded"] is False and answer["generation"] == 2
    state = b.ask("status")["shadow"]
    assert (state["generation"], state["failed"]) == (2, False)
    assert b.target.ssh("exit 3").returncode == 3
    event, = b.audit(event="shadow")
    assert (event["generation"], event["rule"]) == (2, "freeze")


def test_a_login_keeps_its_shadow(shadowed):
    b = shadowed
    put(b, b.shadow)
    b.start()
    control = f"{b.dir}/mux"
    client = b.target.popen(options=("-M", "-N", "-S", control))
    try:
        wait_for(lambda: os.path.exists(control), 20 * PATIENCE, "it is in")
        b.shadow["profiles"]["dev"]["session"] = {"exec": False}
        put(b, b.shadow)
        assert b.ask("reload")["reloaded"] is True
        assert b.target.ssh("exit 3", options=("-S", control)).returncode == 3
        assert differences(b) == 0
        assert b.target.ssh("exit 3").returncode == 3
        assert differences(b) == 1
    finally:
        client.kill()
        client.wait()
        for stream in client.stdin, client.stdout, client.stderr:
            stream.close()
