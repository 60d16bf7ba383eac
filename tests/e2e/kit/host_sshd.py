# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's sshd on the host, as root and on loopback, for what is measured side by side."""
import os
import shutil
import subprocess
import tempfile

from kit.proc import free_port, wait_for
from kit.target import Target


class HostSshd:
    """extra is what its configuration has beside what lets the keys of `keys` in as root."""

    def __init__(self, keys, extra=""):
        self.dir = tempfile.mkdtemp(prefix="sp-sshd-", dir="/tmp")
        host_key = f"{self.dir}/host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
        with open(f"{self.dir}/authorized_keys", "w", encoding="ascii") as f:
            f.write("\n".join(keys.public()) + "\n")
        os.makedirs("/run/sshd", exist_ok=True)
        self.port = free_port()
        with open(f"{self.dir}/config", "w", encoding="ascii") as f:
            f.write(f"ListenAddress 127.0.0.1:{self.port}\nHostKey {host_key}\n"
                    f"AuthorizedKeysFile {self.dir}/authorized_keys\nStrictModes no\nUsePAM no\n"
                    "PermitRootLogin yes\nAllowTcpForwarding no\nPidFile none\n"
                    "PrintMotd no\nPrintLastLog no\n"
                    # What this machine's root has for his shells to read is not sshd's doing.
                    "SetEnv HOME=/nonexistent\n" + extra)
        with open(f"{self.dir}/log", "wb") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", f"{self.dir}/config"], stderr=log)
        wait_for(self.listens, 30, "sshd says that it listens")
        self.target = Target("sshd", self.port, keys, host_key, self.dir).of("root")

    def listens(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
            return "Server listening on" in f.read()

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)
