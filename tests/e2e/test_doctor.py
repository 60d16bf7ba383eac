# SPDX-License-Identifier: Apache-2.0
"""sallyport doctor: what it says of hosts and engines that are well, and of those that are not."""
import json
import os
import subprocess

import pytest

from kit.broker import BUILD, MISSING_IMAGE, PROGRAM
from kit.fake_engine import FakeEngine
from kit.target import PATIENCE

SALLYPORT = f"{BUILD}/admin/sallyport"


def examine(b, *args):
    """The findings, by check; and the exit code has to fit."""
    r = subprocess.run([SALLYPORT, "doctor", "--json", "--broker", PROGRAM, "--config",
                        f"{b.dir}/broker.json", *args], capture_output=True, text=True, check=False,
                       timeout=120 * PATIENCE)
    findings = json.loads(r.stdout)
    assert r.returncode == any(f["level"] == "error" for f in findings), r.stderr
    by_check = {}
    for f in findings:
        assert f["level"] in ("ok", "note", "warning", "error") and f["text"]
        assert f["level"] in ("ok", "note") or f["advice"], f
        by_check.setdefault(f["check"], []).append(f)
    return by_check


def level(found, check):
    """The worst that is said under this name."""
    order = ["ok", "note", "warning", "error"]
    return max((f["level"] for f in found[check]), key=order.index)


def text(found, check, wanted):
    return " | ".join(f["text"] for f in found[check] if f["level"] == wanted)


def without_missing(b):
    """The policy without the profile whose image is missing on purpose."""
    for part in ("users", "profiles"):
        b.policy[part].pop("lost", None)
    b.policy["rules"] = [r for r in b.policy["rules"] if r["id"] != "lost"]
    return b


def test_all_is_well(fresh_broker):
    b = without_missing(fresh_broker).start()
    found = examine(b)
    errors = [f for fs in found.values() for f in fs if f["level"] == "error"]
    assert errors == []
    for check in ("configuration", "kernel.namespaces", "kernel.pidfd", "kernel.seccomp", "files.guest",
                  "files.host-key", "files.worker", "worker.uids", "engine.api", "engine.responds",
                  "engine.memory", "engine.pids", "policy.image", "broker.running"):
        assert level(found, check) == "ok", found[check]
    assert level(found, "engine.icc") in ("ok", "note", "warning") and "CIS 2.2" in found["engine.icc"][0]["text"]
    r = subprocess.run([SALLYPORT, "doctor", "--broker", PROGRAM, "--config", f"{b.dir}/broker.json"],
                       capture_output=True, text=True, check=False, timeout=120 * PATIENCE)
    assert r.returncode == 0 and r.stdout.splitlines()[-1].startswith("0 errors, ")


def test_broken_files(fresh_broker):
    """The broker does not run here: what is wrong is said all the same."""
    b = without_missing(fresh_broker)
    b.policy["profiles"]["dev"]["container"]["image"] = MISSING_IMAGE
    b.write()
    os.chmod(f"{b.dir}/host_rsa_key", 0o644)
    found = examine(b)
    assert level(found, "files.host-key") == "error"
    assert "host_rsa_key" in text(found, "files.host-key", "error")
    assert MISSING_IMAGE in text(found, "policy.image", "error")
    assert level(found, "broker.running") == "warning" and level(found, "engine.responds") == "ok"
    b.config["listen"] = "everywhere"
    b.write()
    found = examine(b)
    assert level(found, "configuration") == "error" and "engine.api" not in found


@pytest.mark.parametrize("rules, check, words", [
    ([{"path": "^/networks", "action": "hang"}], "engine.responds", "answers a ping and then nothing"),
    ([{"path": "_ping", "action": "hang"}], "engine.reachable", "does not answer"),
    ([{"path": "_ping", "action": "raw", "bytes":
       "HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\nContent-Length: 2\r\n\r\nOK"}], "engine.api", "1.40"),
    ([{"path": "^/info", "action": "lie", "set": {"MemoryLimit": False}}], "engine.memory", "memory"),
    ([{"path": "^/info", "action": "lie", "set": {"SecurityOptions": ["name=seccomp,profile=unconfined"]}}],
     "engine.seccomp", "CIS 5.22"),
    ([{"path": "^/info", "action": "garble"}], "engine.info", "not as it should"),
], ids=["locked-up", "hangs", "too-old", "no-memory-limit", "no-seccomp", "garbled"])
def test_engine_with_faults(fresh_broker, engine, rules, check, words):
    b = without_missing(fresh_broker)
    fake = FakeEngine(b.dir, engine)
    try:
        fake.rules(rules)
        b.config["engine"]["socket"] = fake.socket
        b.write()
        found = examine(b)
        assert level(found, check) == "error" and words in text(found, check, "error"), found[check]
    finally:
        fake.stop()


def test_engine_is_not_there(fresh_broker):
    b = without_missing(fresh_broker)
    b.config["engine"]["socket"] = f"{b.dir}/nobody.sock"
    b.write()
    found = examine(b)
    assert level(found, "engine.reachable") == level(found, "files.engine-socket") == "error"
    assert "policy.image" not in found


def test_wrong_usage():
    for args in (["x"], ["--nonsense"], ["--broker", "/bin/false"]):
        r = subprocess.run([SALLYPORT, "doctor", *args], capture_output=True, text=True, check=False,
                           timeout=20 * PATIENCE)
        assert r.returncode == 2
