# SPDX-License-Identifier: Apache-2.0
"""
Integrity: one bit of an encrypted packet is turned on its way, with each cipher and MAC that we offer.
The connection ends, and what was in the packet reaches nobody.
"""
import subprocess

import pytest

from kit.broker import BASH, Broker, profile
from kit.flipper import Flipper
from kit.target import PATIENCE, Target

MACS = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256"]
WAYS = [("chacha20-poly1305@openssh.com", None), ("aes256-gcm@openssh.com", None),
        ("aes128-gcm@openssh.com", None), ("aes192-ctr", MACS[0]), ("aes128-ctr", MACS[0]),
        *(("aes256-ctr", mac) for mac in MACS)]
# Into the ciphertext, and into the tag or MAC, which is last.
PLACES = {"text": 0.5, "tag": 1.0}
VOLUME = "sallyport-test-flips"
FIXED = "0.10.6-0+deb12u3"


def libssh_version():
    r = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "libssh-4"], capture_output=True,
                       text=True, check=False)
    return r.stdout if r.returncode == 0 else None


def check_gcm(cipher):
    """Older libraries do not look at the tags of AES-GCM: with one of those this test would fail."""
    version = libssh_version()
    if "gcm" not in cipher or version is None:
        return
    old = subprocess.run(["dpkg", "--compare-versions", version, "lt", FIXED], check=False).returncode == 0
    if old:
        pytest.skip(f"NOT SHOWN: libssh {version} does not verify AES-GCM; {FIXED} or later does")


@pytest.fixture(scope="module")
def volume(engine):
    engine.run("volume", "create", VOLUME)
    yield
    engine.run("volume", "rm", "-f", VOLUME)


@pytest.fixture(scope="module")
def server(engine, keys, volume):
    """A broker whose one user keeps files: what a program has received can be read by the next login."""
    b = Broker(keys, engine.socket)
    b.policy.update(
        users={"keeper": {"keys": keys.public()}},
        profiles={"keeper": profile(argv=BASH, mounts=[{"volume": VOLUME, "to": "/home/dev"}])},
        rules=[{"id": "keeper", "if": {"user": ["keeper"]}, "use": "keeper"}])
    yield b.start()
    b.close()


@pytest.fixture
def flipper(server, tmp_path):
    f = Flipper(server.port)
    f.dir = str(tmp_path)
    yield f
    f.close()


def start(server, flipper, way, command):
    cipher, mac = way
    target = Target("flipper", flipper.port, server.target.keys, f"{server.dir}/host_ed25519_key",
                    flipper.dir)
    return target.popen(command, user="keeper", options=["-c", cipher, *(["-m", mac] if mac else [])])


def kept(server):
    return server.target.ssh("cat got; rm -f got", user="keeper").stdout


def name(way):
    return "+".join(part.partition("@")[0] for part in way if part)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS, ids=name)
def test_to_the_server(server, flipper, way, place):
    check_gcm(way[0])
    kept(server)
    since = server.log_size()
    p = start(server, flipper, way, "echo up; exec cat >got")
    assert p.stdout.readline() == b"up\n", p.stderr.read()
    flipper.arm("up", PLACES[place])
    p.stdin.write(b"what nobody may get, and long enough to be most of its packet\n")
    p.stdin.flush()
    assert flipper.flipped.wait(20 * PATIENCE)
    out, _ = p.communicate(timeout=30 * PATIENCE)
    assert (p.returncode, out) == (255, b"")
    assert kept(server) == b""
    assert "the client broke the protocol" in server.log(since)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS, ids=name)
def test_to_the_client(server, flipper, way, place):
    """What we send carries a tag or MAC that a client can check."""
    check_gcm(way[0])
    p = start(server, flipper, way, "echo up; exec cat")
    assert p.stdout.readline() == b"up\n", p.stderr.read()
    flipper.arm("down", PLACES[place])
    p.stdin.write(b"what comes back, and long enough to be most of its packet\n")
    p.stdin.flush()
    assert flipper.flipped.wait(20 * PATIENCE)
    out, err = p.communicate(timeout=30 * PATIENCE)
    assert (p.returncode, out) == (255, b""), err


@pytest.mark.parametrize("way", WAYS, ids=name)
def test_without_a_flip(server, flipper, way):
    """The control: the same way, untouched, delivers."""
    check_gcm(way[0])
    kept(server)
    p = start(server, flipper, way, "echo up; exec tee got")
    assert p.stdout.readline() == b"up\n", p.stderr.read()
    out, err = p.communicate(b"all of it\n", timeout=30 * PATIENCE)
    assert (p.returncode, out) == (0, b"all of it\n"), err
    assert kept(server) == b"all of it\n"
