# SPDX-License-Identifier: Apache-2.0
"""A rootful Podman of our own: its compatible API answers Docker's command line, so it is an Engine like the other."""
import os
import shutil
import subprocess
import tempfile

import pytest

from kit.docker import HERE, Engine
from kit.proc import wait_for
from kit.target import PATIENCE

PODMAN = os.environ.get("SALLYPORT_ENGINE") == "podman"

CONFIG = """
[engine]
runtime = "limited"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
limited = ["{home}/runtime"]
"""
# Podman asks for as many processes, and files, as it can have; who has no CAP_SYS_RESOURCE may not raise a limit.
RUNTIME = """#!/bin/sh
for word; do
	case $before in
	--bundle) file=$word/config.json ;;
	--process) file=$word ;;
	esac
	before=$word
done
[ -z "$file" ] || sed -i -E 's/("RLIMIT_[A-Z]*","hard":)1048576,"soft":1048576/\\18192,"soft":8192/g' "$file"
exec runc "$@"
"""


def docker_only(why):
    """The marker for a test of what Podman has not, or says in other words."""
    return pytest.mark.skipif(PODMAN, reason=f"Podman: {why}")


def files(home):
    """What a Podman needs in there, by name, to work in a container."""
    return {"containers.conf": CONFIG.format(home=home), "runtime": RUNTIME}


class Podman(Engine):
    """start() it, with these images in it; stop() leaves nothing of it."""

    def __init__(self, *images):
        # It takes no path of more than 50 characters for its state.
        super().__init__(tempfile.mkdtemp(prefix="sp-", dir="/tmp"))
        os.chmod(self.directory, 0o755)
        self.wanted = images
        self.process = None

    def start(self):
        home = self.directory
        for name, text in files(home).items():
            with open(f"{home}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        os.chmod(f"{home}/runtime", 0o755)
        self.socket = f"{home}/podman.sock"
        self.serve()
        subprocess.run([f"{HERE}/images", self.socket, *self.wanted], timeout=300, check=True)

    def serve(self):
        """Its service alone: containers do not end with it."""
        home = self.directory
        with open(f"{home}/log", "ab") as log:
            self.process = subprocess.Popen(
                ["podman", "--root", f"{home}/storage", "--runroot", f"{home}/run", "system", "service", "-t", "0",
                 f"unix://{self.socket}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, CONTAINERS_CONF=f"{home}/containers.conf"), start_new_session=True)
        wait_for(lambda: os.path.exists(self.socket) and self.healthy(), 30 * PATIENCE, "Podman answers")

    def end_service(self):
        self.process.terminate()
        self.process.wait(20)

    def stop(self):
        ids = self.run("ps", "-aq", check=False).split()
        if ids:
            self.run("rm", "-f", *ids, check=False, seconds=120)
        self.end_service()
        with open("/proc/self/mounts", encoding="utf-8") as f:
            below = [line.split()[1] for line in f if line.split()[1].startswith(f"{self.directory}/")]
        for point in sorted(below, reverse=True):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
