# SPDX-License-Identifier: Apache-2.0
"""
No byte of a host's private key is in a worker's memory, while it serves a client and before. The
scan is proven by finding the same bytes in the broker.
"""
import pytest
from cryptography.hazmat.primitives import serialization

from kit.target import PATIENCE


def memory(pid):
    """Every readable private mapping, whole."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            where, flags, *_ = line.split()
            if flags[0] != "r" or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(x, 16) for x in where.split("-"))
            if end - start > 1 << 32:
                continue
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue


def secrets(path):
    """Byte strings that only somebody who holds the key has, in each form that libraries keep."""
    with open(path, "rb") as f:
        key = serialization.load_ssh_private_key(f.read(), None)
    if hasattr(key, "private_bytes_raw") or path.endswith("ed25519_key"):
        raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                serialization.NoEncryption())
        return [raw]
    numbers = key.private_numbers()
    values = [numbers.private_value] if hasattr(numbers, "private_value") else \
        [numbers.p, numbers.q, numbers.d]
    found = []
    for n in values:
        size = (n.bit_length() + 7) // 8
        found += [n.to_bytes(size, "big"), n.to_bytes(size, "little")]
    return found


def holds(pid, needles):
    return {n for chunk in memory(pid) for n in needles if n in chunk}


@pytest.mark.quick
def test_no_private_key_in_a_worker(broker):
    keys = {kind: secrets(f"{broker.dir}/host_{kind}_key") for kind in ("ed25519", "ecdsa", "rsa")}
    everything = [n for needles in keys.values() for n in needles]

    transport = broker.target.paramiko()
    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command("echo up; read x")
        assert c.recv(10) == b"up\n"
        # Signed once for the first exchange and again for this one.
        transport.renegotiate_keys()
        workers = broker.workers()
        assert len(workers) >= 2
        for pid in workers:
            assert sum(len(chunk) for chunk in memory(pid)) > 1 << 20, "the scan sees the worker"
            assert holds(pid, everything) == set(), f"worker {pid} holds key material"
        # Control: the public half is there, so the scan would have found the private one.
        with open(f"{broker.dir}/host_ed25519_key.pub", "rb") as f:
            public = serialization.load_ssh_public_key(f.read()).public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        [serving] = [pid for pid in workers if broker.has_client(pid)]
        assert holds(serving, [public])
    finally:
        transport.close()

    # Control: each key, in one of its forms, is found where it has to be.
    for kind, needles in keys.items():
        assert holds(broker.pid, needles), f"the scan does not find {kind} in the broker"


def test_no_instance_secret_in_a_worker(broker):
    with open(f"{broker.dir}/state/instance.key", "rb") as f:
        secret = f.read()
    assert len(secret) >= 32
    for pid in broker.workers():
        assert not holds(pid, [secret[:32]])
    assert holds(broker.pid, [secret[:32]])


def test_no_policy_in_a_worker(broker):
    """Other users' names and the rules are nobody's business out there."""
    for pid in broker.workers():
        assert not holds(pid, [b"sallyport-test/onebinary", b"noshellthere"])
    assert holds(broker.pid, [b"noshellthere"])
