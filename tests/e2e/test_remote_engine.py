# SPDX-License-Identifier: Apache-2.0
"""
An engine that is reached over TLS, with certificates on both sides: socat is the broker's socket, as the manual
page of the configuration has it, and programs take the data path "engine".
"""
import os
import subprocess

import pytest

from kit.broker import Broker, profile
from kit.docker import Engine
from kit.proc import free_port, wait_for
from kit.target import PATIENCE


class Certificates:
    """An authority, and one that nobody asked for, with a certificate of each for whoever is named."""

    def __init__(self, directory):
        self.directory = directory
        for ca in ("ca", "stranger-ca"):
            self.openssl("req", "-x509", "-newkey", "ed25519", "-noenc", "-days", "2", "-subj", f"/CN={ca}",
                         "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
        self.sign("server", "ca", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth")
        self.sign("client", "ca", "extendedKeyUsage=clientAuth")
        self.sign("stranger", "stranger-ca", "extendedKeyUsage=clientAuth")

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.directory, check=True, capture_output=True)

    def sign(self, name, ca, extensions):
        with open(f"{self.directory}/{name}.ext", "w", encoding="ascii") as f:
            f.write(extensions)
        self.openssl("req", "-newkey", "ed25519", "-noenc", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                     "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", "2",
                     "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def __getitem__(self, name):
        return f"{self.directory}/{name}"


class Tunnel:
    """The broker's end of it."""

    def __init__(self, certificates, directory, port, who):
        self.socket = f"{directory}/{who}.sock"
        tls = f"OPENSSL:127.0.0.1:{port},cafile={certificates['ca.pem']}," \
              f"cert={certificates[who + '.pem']},key={certificates[who + '.key']}"
        self.process = subprocess.Popen(["socat", f"UNIX-LISTEN:{self.socket},fork,mode=600", tls],
                                        stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.socket), 20 * PATIENCE, "the tunnel listens")

    def close(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def remote(engine, certificates):
    """An engine with a second door, for whoever has a certificate of its authority, and that door's port."""
    port = free_port()
    e = Engine(f"{engine.directory}-remote")
    os.environ["ENGINE_OPTIONS"] = f"--host tcp://127.0.0.1:{port} --tlsverify --tlscacert {certificates['ca.pem']} " \
                                   f"--tlscert {certificates['server.pem']} --tlskey {certificates['server.key']}"
    try:
        e.start()
    finally:
        del os.environ["ENGINE_OPTIONS"]
    subprocess.run(f"docker -H unix://{engine.socket} save sallyport-test/bash sallyport-test/busybox | "
                   f"docker -H unix://{e.socket} load", shell=True, check=True, capture_output=True)
    yield e, port
    e.stop()


@pytest.fixture
def broker_of(keys, remote, certificates):
    """A broker whose engine is behind a tunnel with this certificate."""
    made = []

    def make(who):
        b = Broker(keys, remote[0].socket)
        tunnel = Tunnel(certificates, b.dir, remote[1], who)
        made.extend([b, tunnel])
        b.config["engine"].update(socket=tunnel.socket, probe_interval="1s")
        b.policy["profiles"].update(dev=profile(data_path="engine", session={"subsystems": {"sftp": True}}),
                                    busy=profile("sallyport-test/busybox:latest", data_path="engine", mode="user",
                                                 keep="10m"))
        return b.start()

    yield make
    for one in made:
        one.close()


@pytest.mark.timeout(400)
def test_over_tls(broker_of, remote, tmp_path):
    b = broker_of("client")
    data = os.urandom(3_000_000)
    assert b.target.ssh("cat", user="dev", stdin=data).stdout == data
    r = b.target.ssh("echo out; echo err >&2; exit 7", user="dev")
    assert (r.returncode, r.stdout, r.stderr) == (7, b"out\n", b"err\n")
    assert b"pts" in b.target.ssh("-tt", "tty; stty size", user="dev").stdout
    (tmp_path / "file").write_bytes(data)
    b.target.sftp("put file /tmp/x\nget /tmp/x back\n", user="dev", cwd=tmp_path)
    assert (tmp_path / "back").read_bytes() == data
    where = "cat /proc/sys/kernel/hostname"
    assert b.target.ssh(where, user="busy").stdout == b.target.ssh(where, user="busy").stdout
    assert len(remote[0].containers()) >= 1
    b.stop()
    b.policy["profiles"]["busy"] = profile()
    b.start()
    wait_for(lambda: not remote[0].containers(), 60 * PATIENCE, "nothing is left")


def test_a_certificate_of_somebody_else(broker_of, remote):
    b = broker_of("stranger")
    r = b.target.ssh("true", user="dev")
    assert r.returncode == 255 and b"container engine is not responding" in r.stderr
    assert not remote[0].containers()
