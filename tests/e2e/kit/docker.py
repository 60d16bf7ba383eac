# SPDX-License-Identifier: Apache-2.0
"""The private engine, through Docker's own command line."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LABEL = "sallyport.instance"


class Engine:
    def __init__(self, directory):
        self.directory = directory
        self.socket = None

    def _script(self, verb, seconds):
        return subprocess.run([f"{HERE}/engine", verb, self.directory], stdout=subprocess.PIPE,
                              text=True, timeout=seconds, check=False)

    def start(self):
        """Start it; one that runs but is wedged is replaced."""
        r = self._script("start", 120)
        assert r.returncode == 0, "no Docker Engine: see stderr"
        self.socket = r.stdout.strip()

    def lock(self):
        """A file for whoever uses this engine alone: tests count all containers that are there."""
        os.makedirs(self.directory, exist_ok=True)
        return f"{self.directory}/lock"

    def healthy(self):
        return self._script("check", 20).returncode == 0

    def stop(self):
        self._script("stop", 120)

    def images(self):
        subprocess.run([f"{HERE}/images", self.socket], timeout=300, check=True)

    def run(self, *args, check=True, seconds=30):
        """docker ARGS; returns its standard output without the last newline."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        r = subprocess.run(["docker", "-H", f"unix://{self.socket}", *args], text=True, env=env,
                           capture_output=True, timeout=seconds, check=False)
        assert not check or r.returncode == 0, f"docker {' '.join(args)}: {r.stderr}"
        return r.stdout.rstrip("\n")

    def containers(self, label=LABEL):
        """Ids of every container, running or not, that carries the label."""
        return self.run("ps", "-aq", "--no-trunc", "--filter", f"label={label}").split()

    def inspect(self, container):
        return json.loads(self.run("inspect", container))[0]
