# SPDX-License-Identifier: Apache-2.0
"""
The oracle: Debian's sshd, in a container of the same image that sallyport's logins get, so that the
same shell and the same files answer. It listens on the host's loopback.
"""
import os
import shutil
import socket
import subprocess
import tempfile

from kit.proc import free_port, wait_for
from kit.target import Target

# What sallyport does not offer is off here as well: refusals are compared, too.
CONFIG = """
ListenAddress 127.0.0.1:{port}
ListenAddress 127.0.0.1:{forwarding}
HostKey /oracle/host_key
AuthorizedKeysFile /oracle/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
KexAlgorithms +diffie-hellman-group16-sha512
AcceptEnv LANG LC_*
AllowTcpForwarding no
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
Subsystem sftp /usr/lib/openssh/sftp-server
PermitRootLogin no
PrintMotd no
PrintLastLog no
PidFile none
MaxStartups 100
{more}
Match LocalPort {forwarding}
	AllowTcpForwarding yes
	AllowAgentForwarding yes
	X11Forwarding yes
"""


# Tests are rude to it, and from 9.8 on it would not talk to this machine for a while.
MORE = "PerSourcePenalties no" if os.path.exists("/usr/lib/openssh/sshd-session") else ""


class Oracle:
    def __init__(self, engine, keys, image="oracle"):
        self.engine = engine
        self.dir = tempfile.mkdtemp(prefix="sp-oracle-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        port, forwarding = free_port(), free_port()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                        f"{self.dir}/host_key"], check=True)
        with open(f"{self.dir}/authorized_keys", "w", encoding="ascii") as f:
            f.write("\n".join(keys.public()) + "\n")
        with open(f"{self.dir}/sshd_config", "w", encoding="ascii") as f:
            f.write(CONFIG.format(port=port, forwarding=forwarding, more=MORE))
        self.container = engine.run(
            "run", "-d", "--network", "host", "-v", f"{self.dir}:/oracle:ro",
            "--tmpfs", "/tmp:exec", f"sallyport-test/{image}:latest", "/usr/sbin/sshd", "-D", "-e",
            "-f", "/oracle/sshd_config")
        self.target = Target("sshd", port, keys, f"{self.dir}/host_key", self.dir)
        # The same server on a port where it lets forwards through.
        os.mkdir(f"{self.dir}/forwarding")
        self.forwarding = Target("sshd", forwarding, keys, f"{self.dir}/host_key",
                                 f"{self.dir}/forwarding")
        wait_for(self._answers, 60, "the oracle answers")

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.target.port), 1) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return False

    def log(self):
        return self.engine.run("logs", self.container, check=False)

    def close(self):
        self.engine.run("rm", "-f", "-v", self.container, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
