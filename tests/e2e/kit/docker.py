# SPDX-License-Identifier: Apache-2.0
"""The private engine, through Docker's own command line."""
import contextlib
import http.client
import json
import os
import socket
import subprocess
import urllib.parse

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LABEL = "sallyport.instance"


class Engine:
    """options: more words for its command line."""

    def __init__(self, directory, options=""):
        self.directory = directory
        self.options = options
        self.socket = None
        self.shared = False  # other runs have containers in it

    def _script(self, verb, seconds):
        return subprocess.run([f"{HERE}/engine", verb, self.directory], stdout=subprocess.PIPE,
                              env=dict(os.environ, ENGINE_OPTIONS=self.options), text=True, timeout=seconds,
                              check=False)

    def start(self):
        """Start it; one that runs but is wedged is replaced."""
        r = self._script("start", 120)
        assert r.returncode == 0, "no Docker Engine: see stderr"
        self.socket = r.stdout.strip()

    def resume(self):
        """One that has ended, over what it has left, as a service manager does."""
        assert self._script("resume", 120).returncode == 0, "no Docker Engine: see stderr"

    @property
    def pid(self):
        with open(f"{os.path.dirname(self.socket)}/docker.pid", encoding="ascii") as f:
            return int(f.read())

    def lock(self):
        """A file for whoever uses this engine alone: tests count all containers that are there."""
        os.makedirs(self.directory, exist_ok=True)
        return f"{self.directory}/lock"

    def healthy(self):
        """Also for the question that a wedged engine does not answer. Before each test: no program is started for it."""
        try:
            return self.get("/networks", 5) is not None
        except (OSError, http.client.HTTPException):
            return False

    def stop(self):
        self._script("stop", 120)

    def empty(self, label=None):
        """Of all containers, or of those with the label: what is left of a run that was cut short, or of a test."""
        if self.shared:
            return
        for left in self.run("ps", "-aq", *(["--filter", f"label={label}"] if label else [])).split():
            self.run("rm", "-f", "-v", left)

    def images(self, *names):
        """Those, or all."""
        subprocess.run([f"{HERE}/images", self.socket, *names], timeout=300, check=True)

    def run(self, *args, check=True, seconds=30):
        """docker ARGS; returns its standard output without the last newline."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        r = subprocess.run(["docker", "-H", f"unix://{self.socket}", *args], text=True, env=env,
                           capture_output=True, timeout=seconds, check=False)
        assert not check or r.returncode == 0, f"docker {' '.join(args)}: {r.stderr}"
        return r.stdout.rstrip("\n")

    @contextlib.contextmanager
    def image_made_of(self, base, *changes, program=("/bin/true",)):
        """A name for what root's program makes of base, with these changes as of a Dockerfile, as long as it is needed."""
        container = self.run("create", "--network", "none", "--user", "0", base, *program)
        image = f"sallyport-test/made-{container[:12]}:latest"
        try:
            self.run("start", "-a", container)
            self.run("commit", *(word for change in changes for word in ("--change", change)), container, image)
        finally:
            self.run("rm", "-f", container)
        try:
            yield image
        finally:
            self.run("rmi", "-f", image)

    def get(self, path, seconds=30):
        """What it answers, or None when there is no such thing: without the start of a program."""
        connection = http.client.HTTPConnection("engine", timeout=seconds)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(seconds)
        connection.sock.connect(self.socket)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status in (200, 404), f"{path}: {answer.status}"
            return json.load(answer) if answer.status == 200 else None
        finally:
            connection.close()

    def _there(self, label):
        """
        Docker 20.10 sometimes goes on to list one that it has removed ("Removal In Progress", without a name)
        and knows nothing of it when asked.
        """
        filters = urllib.parse.quote(json.dumps({"label": [label]}))
        return [c for c in self.get(f"/containers/json?all=1&filters={filters}")
                if c["Names"] or self.get(f"/containers/{c['Id']}/json") is not None]

    def containers(self, label=LABEL):
        """Ids of every container, running or not, that carries the label."""
        return [c["Id"] for c in self._there(label)]

    def listed(self, label=LABEL):
        """As containers(): their names, with what the engine says of their states."""
        return {(c["Names"] or [c["Id"]])[0].lstrip("/"): c["State"] for c in self._there(label)}

    def described(self):
        """As listed(): for a person who wants to know whose they are."""
        return [" ".join([*c["Names"], c["Status"], *(f"{k}={v}" for k, v in c["Labels"].items())])
                for c in self._there(LABEL)]

    def inspect(self, container):
        return json.loads(self.run("inspect", container))[0]
