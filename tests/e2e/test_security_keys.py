# SPDX-License-Identifier: Apache-2.0
"""
Logins with security keys, by the stock client. The device is software (tests/support/sk_provider.c)
that claims what SP_SK_FLAGS tells it to: whether it was touched, whether it asked for a PIN.
"""
import json
import os
import subprocess

import pytest

from kit.broker import BUILD, Broker
from kit.target import PATIENCE

pytestmark = pytest.mark.quick

PROVIDER = f"{BUILD}/tests/libsk_provider.so"
NOTHING, TOUCHED, PIN, BOTH = "0", "1", "4", "5"
DENIED = b"Permission denied (publickey).\r\n"


@pytest.fixture(scope="module", params=["ed25519-sk", "ecdsa-sk"])
def sk(request, tmp_path_factory):
    """Path of a security key's private half, which only refers to the device."""
    path = f"{tmp_path_factory.mktemp('sk')}/id"
    r = subprocess.run(["ssh-keygen", "-q", "-t", request.param, "-N", "", "-w", PROVIDER, "-f", path],
                       capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert r.returncode == 0, r.stderr
    return path


@pytest.fixture(scope="module")
def broker(engine, keys, sk):
    b = Broker(keys, engine.socket)
    with open(f"{sk}.pub", encoding="ascii") as f:
        public = f.read().strip()
    b.policy["users"]["toucher"] = {"keys": [public]}
    b.policy["users"]["careful"] = {"keys": [public, *keys.public()], "verify_required": True}
    b.policy["rules"].append({"id": "sk", "if": {"user": ["toucher", "careful"]}, "use": "dev"})
    yield b.start()
    b.close()


def log_in(broker, sk, user, flags):
    return broker.target.ssh("echo in", user=user, key=sk, seconds=60,
                             options=["-o", f"SecurityKeyProvider={PROVIDER}"],
                             env=dict(os.environ, SP_SK_FLAGS=flags))


@pytest.mark.parametrize("flags", [TOUCHED, BOTH])
def test_touched(broker, sk, flags):
    r = log_in(broker, sk, "toucher", flags)
    assert (r.returncode, r.stdout) == (0, b"in\n"), r.stderr


@pytest.mark.parametrize("flags", [NOTHING, PIN])
def test_not_touched(broker, sk, flags):
    """A signature that is good in every other way."""
    since = broker.log_size()
    r = log_in(broker, sk, "toucher", flags)
    assert (r.returncode, r.stdout) == (255, b"") and r.stderr.endswith(DENIED)
    assert "nobody touched the security key" in broker.log(since)


def test_verified(broker, sk):
    r = log_in(broker, sk, "careful", BOTH)
    assert (r.returncode, r.stdout) == (0, b"in\n"), r.stderr


def test_not_verified(broker, sk):
    """The policy wants a PIN for this user: a touch is not enough, nor is a key without a device."""
    since = broker.log_size()
    r = log_in(broker, sk, "careful", TOUCHED)
    assert (r.returncode, r.stdout) == (255, b"") and r.stderr.endswith(DENIED)
    assert "the security key did not verify its user" in broker.log(since)
    r = broker.target.ssh("echo in", user="careful")
    assert (r.returncode, r.stdout) == (255, b"") and r.stderr.endswith(DENIED)


@pytest.mark.parametrize("user", ["toucher", "careful"])
@pytest.mark.parametrize("flags", [TOUCHED, BOTH])
def test_as_the_tool_explains_it(broker, sk, user, flags):
    """Also afterwards: the log says whether the user was verified."""
    login = ["--user", user, "--auth", "sk-key", "--from", "127.0.0.1"] + ["--verified"] * (flags == BOTH)
    policy = f"{broker.dir}/policy.json"
    r = subprocess.run([f"{BUILD}/admin/sallyport", "policy", "explain", "--json", policy, *login],
                       capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    said = json.loads(r.stdout)
    assert (log_in(broker, sk, user, flags).returncode == 0) == said["allowed"]
    event = broker.audit(event="login")[-1]
    assert event.get("reason") == said["why"]
    assert event["verified"] == (said["allowed"] and flags == BOTH)


def test_somebody_elses_device(broker, tmp_path):
    """A security key that the policy does not know."""
    other = f"{tmp_path}/other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519-sk", "-N", "", "-w", PROVIDER, "-f", other],
                   capture_output=True, timeout=60 * PATIENCE, check=True)
    r = log_in(broker, other, "toucher", BOTH)
    assert (r.returncode, r.stdout) == (255, b"") and r.stderr.endswith(DENIED)
