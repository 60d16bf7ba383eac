# SPDX-License-Identifier: Apache-2.0
"""What is offered by default: what ssh-audit has nothing against, and what stock clients need."""
import re
import subprocess

import pytest

from kit.raw import RawClient, Reader
from kit.target import PATIENCE

# What it says all the same, and why it stays so. Nothing else is let pass.
EXCEPTIONS = {
    # Debian's libssh2 (curl's sftp:) knows neither encrypt-then-MAC nor a cipher that needs no MAC.
    ("hmac-sha2-256", "using encrypt-and-MAC mode"),
    # Not an algorithm: how strict key exchange is announced. Older than it are some versions.
    ("kex-strict-s-v00@openssh.com", "unknown algorithm"),
}

# Where libssh has them, and then before all others.
POST_QUANTUM = ["mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"]
EXCHANGES = ["curve25519-sha256", "curve25519-sha256@libssh.org", "diffie-hellman-group16-sha512"]
OLDER = ["ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group14-sha256"]


def complaints(port):
    """Every [warn] and [fail] of ssh-audit as (name, text)."""
    r = subprocess.run(["ssh-audit", "-n", "-b", "-l", "warn", "-p", str(port), "127.0.0.1"],
                       capture_output=True, text=True, timeout=120 * PATIENCE, check=False)
    lines = re.findall(r"^\((?:kex|key|enc|mac|aut|cve|sec)\) (\S+).*?\[(?:warn|fail)\] (.*)$",
                       r.stdout, re.M)
    assert "(gen)" in r.stdout or lines or r.returncode == 0, r.stdout + r.stderr
    return set(lines)


def test_ssh_audit(fresh_broker):
    # An ECDSA host key is not among the defaults of the manual: whoever adds one wants it.
    fresh_broker.config["host_keys"] = ["host_ed25519_key", "host_rsa_key"]
    b = fresh_broker.start()
    assert complaints(b.port) <= EXCEPTIONS


def offered(target):
    """The ten lists of names of the server's KEXINIT (RFC 4253 section 7.1)."""
    with RawClient(target) as c:
        r = Reader(c.wait_for_kexinit())
        r.take(16)
        return [r.string().decode().split(",") for _ in range(10)]


def test_older_clients(fresh_broker):
    """Behind what is better, and for who has nothing else; ssh-audit has something against the curves."""
    fresh_broker.config["login"]["older_clients"] = True
    b = fresh_broker.start()
    names = [name for name in offered(b.target)[0] if name not in POST_QUANTUM]
    assert names == [*EXCHANGES, *OLDER, "kex-strict-s-v00@openssh.com"]
    for name in OLDER:
        r = b.target.ssh("echo in", options=["-v", "-o", f"KexAlgorithms={name}"])
        assert r.stdout == b"in\n" and f"kex: algorithm: {name}\n" in r.stderr.decode().replace("\r", ""), r.stderr
    assert {name for name, _ in complaints(b.port) - EXCEPTIONS} >= set(OLDER[:3])


def test_ssh_audit_complains(oracle):
    """The control: it does about Debian's defaults, and this is how that is seen."""
    assert any(name.startswith("ecdh-sha2-nistp") for name, _ in complaints(oracle.target.port))


def test_offered(broker):
    """Exactly the names of sallyportd(8)."""
    kex, _, cipher_in, cipher_out, mac_in, mac_out, *_ = offered(broker.target)
    assert [name for name in kex if name not in POST_QUANTUM] == [*EXCHANGES, "kex-strict-s-v00@openssh.com"]
    assert cipher_in == cipher_out == [
        "chacha20-poly1305@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr",
        "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"]
    assert mac_in == mac_out == ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
                                 "hmac-sha2-256"]


@pytest.mark.parametrize("option", ["KexAlgorithms=ecdh-sha2-nistp256",
                                    "KexAlgorithms=diffie-hellman-group14-sha1",
                                    "Ciphers=aes128-cbc", "Ciphers=3des-cbc",
                                    "MACs=hmac-sha1"])
def test_not_offered(sallyport, option):
    extra = ["-o", "Ciphers=aes128-ctr"] if option.startswith("MACs") else []
    r = sallyport.ssh("true", options=["-o", option, *extra])
    assert r.returncode == 255
    assert b"no matching" in r.stderr or b"Connection closed" in r.stderr


@pytest.mark.parametrize("option", ["Ciphers=aes128-cbc", "KexAlgorithms=diffie-hellman-group14-sha1", "MACs=hmac-md5"])
def test_who_has_none_in_common_is_told_which(fresh_broker, option):
    """Each time: the server's list has to leave before the connection ends."""
    b = fresh_broker.start()
    what = "no matching (cipher|key exchange method|MAC) found. Their offer: "
    ciphers = ["-o", "Ciphers=aes128-ctr"] if option.startswith("MACs") else []
    for _ in range(40):
        r = b.target.ssh("true", options=["-o", option, *ciphers])
        assert r.returncode == 255 and re.search(what, r.stderr.decode()), r.stderr
    assert "Socket error: Success" not in b.log()
