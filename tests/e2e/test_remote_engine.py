# SPDX-License-Identifier: Apache-2.0
"""
An engine that is reached over TLS, with certificates on both sides: socat is the broker's socket, as the manual
page of the configuration has it, and programs take the data path "engine".
"""
import os
import signal
import subprocess

import pytest

from kit.broker import Broker, profile
from kit.docker import Engine
from kit.proc import free_port, wait_for
from kit.service import exchange
from kit.target import PATIENCE
from test_client_forwards import try_connect
from test_doctor import examine
from test_ends import all_gone, cling

WHERE = "cat /proc/sys/kernel/hostname"
SAYS_ENGINE = b"container engine is not responding"


class Certificates:
    """An authority, and one that nobody asked for, with a certificate of each for whoever is named."""

    def __init__(self, directory):
        self.directory = directory
        for ca in ("ca", "stranger-ca"):
            self.openssl("req", "-x509", "-newkey", "ed25519", "-noenc", "-days", "2", "-subj", f"/CN={ca}",
                         "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
        server = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"
        self.sign("server", "ca", server)
        self.sign("expired-server", "ca", server, days=-1)
        self.sign("stranger-server", "stranger-ca", server)
        self.sign("client", "ca", "extendedKeyUsage=clientAuth")
        self.sign("stranger", "stranger-ca", "extendedKeyUsage=clientAuth")

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.directory, check=True, capture_output=True)

    def sign(self, name, ca, extensions, days=2):
        with open(f"{self.directory}/{name}.ext", "w", encoding="ascii") as f:
            f.write(extensions)
        self.openssl("req", "-newkey", "ed25519", "-noenc", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                     "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", str(days),
                     "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def __getitem__(self, name):
        return f"{self.directory}/{name}"


class Tunnel:
    """
    The broker's end of it, by the client's certificate; cut() and lay() it, or silence() and heal() it. What socat has
    to say is in its log.
    """

    def __init__(self, certificates, directory, port, who):
        self.socket = f"{directory}/{who}.sock"
        self.log = f"{directory}/{who}.socat"
        self.port = port
        self.tls = f"OPENSSL:127.0.0.1:{port},cafile={certificates['ca.pem']}," \
                   f"cert={certificates[who + '.pem']},key={certificates[who + '.key']}," \
                   "connect-timeout=5,keepalive,keepidle=1,keepintvl=1,keepcnt=3,setsockopt-int=6:18:5000"
        self.rules = f"sallyport_test_{port}"
        self.silent = False
        self.process = None
        self.lay()

    def lay(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["socat", f"UNIX-LISTEN:{self.socket},fork,mode=600", self.tls],
                                            stderr=log, start_new_session=True)
        wait_for(lambda: os.path.exists(self.socket), 20 * PATIENCE, "the tunnel listens")

    def cut(self):
        """With all connections that are in it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        os.unlink(self.socket)

    def silence(self):
        """Nothing arrives any more, and nobody is told."""
        dropped = "".join(f"add rule inet {self.rules} silent tcp {side} {self.port} drop\n" for side in ("sport", "dport"))
        subprocess.run(["nft", "-f", "-"], check=True, text=True, input=f"add table inet {self.rules}\n"
                       f"add chain inet {self.rules} silent {{ type filter hook input priority 0; }}\n{dropped}")
        self.silent = True

    def heal(self):
        subprocess.run(["nft", "delete", "table", "inet", self.rules], check=True)
        self.silent = False

    def close(self):
        if self.silent:
            self.heal()
        self.process.terminate()
        self.process.wait(20)


class Front:
    """The other end with another certificate, in front of the real engine: its port."""

    def __init__(self, certificates, engine, name):
        self.port = free_port()
        tls = f"OPENSSL-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork,cafile={certificates['ca.pem']}," \
              f"cert={certificates[name + '.pem']},key={certificates[name + '.key']}"
        self.process = subprocess.Popen(["socat", tls, f"UNIX-CONNECT:{engine.socket}"], stderr=subprocess.DEVNULL)

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
    e = Engine(f"{engine.directory}-remote",
               f"--host tcp://127.0.0.1:{port} --tlsverify --tlscacert {certificates['ca.pem']} "
               f"--tlscert {certificates['server.pem']} --tlskey {certificates['server.key']}")
    e.start()
    subprocess.run(f"docker -H unix://{engine.socket} save sallyport-test/bash sallyport-test/busybox | "
                   f"docker -H unix://{e.socket} load", shell=True, check=True, capture_output=True)
    yield e, port
    e.stop()


@pytest.fixture
def broker_of(keys, remote, certificates):
    """
    A broker whose engine is behind a tunnel, here by a client's certificate and there by the engine's own or another
    one's. The user "busy" has a container that is kept.
    """
    made = []

    def make(who, server=None):
        b = Broker(keys, remote[0].socket)
        made.append(b)
        port = remote[1]
        if server is not None:
            made.append(Front(certificates, remote[0], server))
            port = made[-1].port
        b.tunnel = Tunnel(certificates, b.dir, port, who)
        made.append(b.tunnel)
        b.config["engine"].update(socket=b.tunnel.socket, probe_interval="1s")
        b.policy["profiles"].update(
            dev=profile(data_path="engine", session={"subsystems": {"sftp": True},
                                                     "forward": {"local": ["container:8080"]}}),
            busy=profile("sallyport-test/busybox:latest", data_path="engine", mode="user", keep="10m"))
        return b.start()

    yield make
    for one in made:
        one.close()
    assert not remote[0].containers()


def end_kept(broker, engine):
    broker.ask("kill", user="busy")
    wait_for(lambda: not engine.containers(), 60 * PATIENCE, "nothing is left")


def where(broker):
    r = broker.target.ssh(WHERE, user="busy")
    assert r.returncode == 0, r.stderr
    return r.stdout


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
    assert where(b) == where(b)
    assert len(remote[0].containers()) >= 1
    b.stop()
    b.policy["profiles"]["busy"] = profile()
    b.start()
    wait_for(lambda: not remote[0].containers(), 60 * PATIENCE, "nothing is left")


def test_forward_over_tls(broker_of):
    """Into the container over there; where the policy has no leave for, and where nobody listens, as ever."""
    b = broker_of("client")
    port = free_port()
    data = os.urandom(300_000)
    with b.target.popen("busybox nc -ll -p 8080 -e cat & echo up; read x; kill $!", user="dev",
                        options=["-L", f"127.0.0.1:{port}:127.0.0.1:8080"]) as p:
        assert p.stdout.readline() == b"up\n"
        assert exchange(wait_for(lambda: try_connect(port), 20 * PATIENCE, "it listens"), data) == data
        p.communicate(b"\n", timeout=30 * PATIENCE)
    for there, outcome in ((8081, "refused"), (8080, "allowed")):
        r = b.target.ssh(user="dev", options=["-W", f"127.0.0.1:{there}"])
        assert r.returncode == 255 and b"open failed" in r.stderr
        assert b.audit(event="forward")[-1]["outcome"] == outcome


def test_ends_over_tls(broker_of, remote):
    """The client is killed: what it left behind goes with its container, on a host that is not this one's."""
    b = broker_of("client")
    p = cling(b.target, "dev")
    p.kill()
    p.communicate(timeout=20)
    all_gone(remote[0])


def test_broker_is_killed(broker_of, remote):
    """What is kept is found again, and what was a connection's goes."""
    b = broker_of("client")
    mine = where(b)
    p = b.target.popen("echo up; sleep 1000", user="dev")
    assert p.stdout.readline() == b"up\n"
    assert len(remote[0].containers()) == 2
    b.kill()
    p.communicate(timeout=20 * PATIENCE)
    assert p.returncode == 255
    b.start()
    assert where(b) == mine
    wait_for(lambda: len(remote[0].containers()) == 1, 60 * PATIENCE, "the connection's container is removed")
    end_kept(b, remote[0])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("end, back", [("cut", "lay"), ("silence", "heal")])
def test_tunnel_is_cut(broker_of, remote, end, back):
    """
    In the middle of a session, with a sign or, as the tunnel's options see to it, without one: it is told, and so are
    those who come meanwhile. Back again, all is as it was.
    """
    b = broker_of("client")
    mine = where(b)
    p = b.target.popen("echo up; trap '' HUP; sleep 1000", user="dev")
    assert p.stdout.readline() == b"up\n"
    getattr(b.tunnel, end)()
    _, err = p.communicate(timeout=60 * PATIENCE)
    assert p.returncode == 255 and b"The connection to the container has ended." in err, err
    r = b.target.ssh("true", user="dev")
    assert r.returncode == 255 and SAYS_ENGINE in r.stderr
    wait_for(lambda: b.ask("status")["engine"]["state"] == "not responding", 30 * PATIENCE, "the status has it")
    getattr(b.tunnel, back)()
    wait_for(lambda: b.ask("status")["engine"]["state"] == "ok", 30 * PATIENCE, "it is found again")
    assert where(b) == mine
    assert b.target.ssh("echo again", user="dev").stdout == b"again\n"
    wait_for(lambda: len(remote[0].containers()) == 1, 60 * PATIENCE, "nothing else is left of what was cut")
    end_kept(b, remote[0])


@pytest.mark.parametrize("who, server", [("stranger", None), ("client", "stranger-server"),
                                         ("client", "expired-server")])
def test_a_certificate_that_is_not_good(broker_of, remote, who, server):
    """The client's, of another authority; the server's, of another authority, and one whose time is over."""
    b = broker_of(who, server)
    why = "the connection ended without an answer; if a tunnel listens on the engine's socket, its log says why"
    wait_for(lambda: b.ask("status")["engine"]["reason"] == f"ping: {why}", 20 * PATIENCE, "the status has it")
    assert f"container engine is not responding: ping: {why}" in b.log()
    r = b.target.ssh("true", user="dev")
    assert r.returncode == 255 and SAYS_ENGINE in r.stderr
    [found] = examine(b)["engine.reachable"]
    assert found["level"] == "error" and f"({why})" in found["text"] and "certificate" in found["advice"]
    # It was the certificate.
    log = f"{remote[0].directory}/dockerd.log" if server is None else b.tunnel.log
    with open(log, encoding="utf-8") as f:
        said = f.read()[-2000:]
    assert ("failed to verify client" if server is None else "certificate verify failed") in said, said
    assert not remote[0].containers()
