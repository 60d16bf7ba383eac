# SPDX-License-Identifier: Apache-2.0
"""A real Podman behind the socket: it is told apart from Docker, and nothing is made with it."""
import subprocess
import tempfile

import pytest

from kit.broker import PROGRAM, Broker
from kit.docker import Engine
from kit.proc import wait_for
from kit.target import PATIENCE

SENTENCE = "the engine is Podman, which does not tell enough about a container"


@pytest.fixture
def podman():
    """An Engine that answers on Podman's socket. It takes no path of more than 50 characters for its state."""
    with tempfile.TemporaryDirectory(prefix="sp-", dir="/tmp") as home:
        e = Engine(home)
        e.socket = f"{home}/podman.sock"
        with open(f"{home}/log", "wb") as log:
            p = subprocess.Popen(["podman", "--root", f"{home}/storage", "--runroot", f"{home}/run",
                                  "system", "service", "-t", "0", f"unix://{e.socket}"],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: e.run("version", "--format", "{{.Server.Version}}", check=False),
                     20 * PATIENCE, "Podman answers")
            yield e
        finally:
            p.terminate()
            p.wait(20)
            subprocess.run(["umount", "-l", f"{home}/storage/overlay"], stderr=subprocess.DEVNULL, check=False)


def test_podman_is_refused(podman, keys):
    b = Broker(keys, podman.socket)
    try:
        b.start()
        r = b.target.ssh("true")
        assert (r.returncode, r.stdout) == (255, b"")
        assert b"The container engine is not responding. Try again later." in r.stderr
        assert SENTENCE in b.log()
        assert SENTENCE in b.ask("status")["engine"]["reason"]
        assert not podman.run("ps", "-aq"), "something was made"
        doctor = subprocess.run([PROGRAM, "-D", "-c", f"{b.dir}/broker.json"], capture_output=True, check=False,
                                text=True, timeout=60 * PATIENCE)
        assert "engine.podman" in doctor.stdout and SENTENCE in doctor.stdout
    finally:
        b.close()
