# SPDX-License-Identifier: Apache-2.0
"""
A Debian that has booted systemd, with engines of its own and our package installed: a container
of the private engine, in which everything is as on a host. No network but its own loopback.
"""
import json
import subprocess
import uuid

from kit.broker import TREE
from kit.proc import wait_for
from kit.target import PATIENCE

# Shared mounts, as a host has them: systemd hands credentials to a unit over them.
INIT = "mount --make-rshared / && exec /sbin/init"
SANDBOX = ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add",
           "SYS_PTRACE", "--cap-add", "SYS_NICE", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--tmpfs", "/run",
           "--tmpfs", "/tmp", "-v", "/var/lib/docker", "-v", "/var/lib/containerd", "-v", "/var/lib/containers", "-v",
           "/sys/fs/cgroup:/sys/fs/cgroup", "--cgroupns=host", "--network", "none",
           "-e", "container=docker"]
IMAGE = "sallyport-test/busybox:latest"


def build_package():
    """`./dev package`, as anybody would; returns the path that it prints."""
    r = subprocess.run(["./dev", "package"], cwd=TREE, capture_output=True, text=True,
                       timeout=400, check=False)
    assert r.returncode == 0, r.stderr[-4000:]
    return r.stdout.split()[-1]


class Machine:
    def __init__(self, engine):
        self.engine = engine
        self.name = f"sp-machine-{uuid.uuid4().hex[:8]}"

    def boot(self):
        subprocess.run([f"{TREE}/tests/e2e/images", self.engine.socket, "machine"], timeout=300,
                       check=True)
        self.engine.run("run", "-d", "--name", self.name, *SANDBOX,
                        "sallyport-test/machine:latest", "/bin/sh", "-c", INIT, seconds=60)
        wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                 in ("running", "degraded"), 60 * PATIENCE, "systemd has booted")
        self.load("docker")
        return self

    def load(self, engine):
        """The test image, into one of its own engines."""
        image = subprocess.run(["docker", "-H", f"unix://{self.engine.socket}", "save", IMAGE],
                               capture_output=True, timeout=60, check=True).stdout
        self.run(engine, "load", stdin=image, seconds=60)

    def install(self, package):
        with open(package, "rb") as f:
            self.run("sh", "-c", "cat >/tmp/sallyport.deb", stdin=f.read())
        return self.run("dpkg", "-i", "/tmp/sallyport.deb", seconds=120)

    def argv(self, *argv):
        return ["docker", "-H", f"unix://{self.engine.socket}", "exec", "-i", self.name, *argv]

    def run(self, *argv, check=True, seconds=30, stdin=b""):
        """Run a program in it, as root; output as text."""
        r = subprocess.run(self.argv(*argv), input=stdin, capture_output=True,
                           timeout=seconds * PATIENCE, check=False)
        r.stdout, r.stderr = r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace")
        assert not check or r.returncode == 0, \
            f"{' '.join(argv)}: {r.returncode}\n{r.stdout}{r.stderr}\n{self.journal()}"
        return r

    def out(self, *argv, **how):
        return self.run(*argv, **how).stdout.strip()

    def sh(self, script, **how):
        return self.run("bash", "-c", script, **how)

    def put(self, path, text):
        """Keep the file, so that its owner and mode stay."""
        self.run("sh", "-c", f"cat >{path}", stdin=text.encode())

    def put_json(self, path, value):
        self.put(path, json.dumps(value, indent=2) + "\n")

    def journal(self, lines=60):
        r = subprocess.run(self.argv("journalctl", "--no-pager", "-o", "cat", "-n", str(lines),
                                     "-u", "sallyport*"),
                           capture_output=True, timeout=30, check=False)
        return r.stdout.decode(errors="replace")

    def show(self, unit, name):
        return self.out("systemctl", "show", "-P", name, unit)

    def main_pid(self):
        """The broker's, as the manager knows it; 0: none."""
        return int(self.show("sallyport.service", "MainPID"))

    def pids(self, name):
        """Of processes of ours with this name, outside of containers."""
        return [int(p) for p in self.run("pgrep", "-x", name, check=False).stdout.split()]

    def status(self, pid):
        text = self.out("cat", f"/proc/{pid}/status")
        return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}

    def ssh_argv(self, command, user="dev"):
        return self.argv("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o",
                         "StrictHostKeyChecking=yes", f"{user}@127.0.0.1", command)

    def ssh(self, command, user="dev", seconds=40):
        return subprocess.run(self.ssh_argv(command, user), capture_output=True, text=True,
                              timeout=seconds * PATIENCE, stdin=subprocess.DEVNULL, check=False)

    def containers(self):
        return self.out("docker", "ps", "-aq", "--filter", "label=sallyport.instance").split()

    def close(self):
        self.engine.run("rm", "-f", "-v", self.name, check=False, seconds=90)
