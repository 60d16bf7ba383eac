# SPDX-License-Identifier: Apache-2.0
"""A server to talk to: sallyport or the oracle. Knows how to be reached by each client."""
import asyncio
import copy
import os
import socket
import subprocess

import asyncssh
import paramiko

# With sanitizers everything is slower, and nothing here is about speed.
PATIENCE = float(os.environ.get("SALLYPORT_PATIENCE", "1"))


class Keys:
    """
    Key pairs of a user, a stranger and our hosts, in the forms that the clients want. A directory that
    has them already is used as it is.
    """

    def __init__(self, directory):
        self.directory = directory
        for kind, bits in (("ed25519", "256"), ("ecdsa", "256"), ("rsa", "3072")):
            self._make(f"user_{kind}", kind, bits)
            self._make(f"host_{kind}", kind, bits)
        self._make("stranger", "ed25519", "256")
        self.user = f"{directory}/user_ed25519"
        self.stranger = f"{directory}/stranger"
        self.putty = f"{directory}/user.ppk"
        self.dropbear = f"{directory}/user.dropbear"
        if not os.path.exists(self.putty):
            subprocess.run(["puttygen", self.user, "-O", "private", "-o", self.putty], check=True)
        if not os.path.exists(self.dropbear):
            subprocess.run(["dropbearconvert", "openssh", "dropbear", self.user, self.dropbear],
                           check=True, capture_output=True)

    def _make(self, name, kind, bits):
        if os.path.exists(f"{self.directory}/{name}"):
            return
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", name, "-f",
                        f"{self.directory}/{name}"], check=True)

    def public(self):
        """Public lines of all of the user's keys."""
        lines = []
        for kind in ("ed25519", "ecdsa", "rsa"):
            with open(f"{self.directory}/user_{kind}.pub", encoding="ascii") as f:
                lines.append(f.read().strip())
        return lines


class Target:
    """name is "sallyport" or "sshd"; user is the login that gives Debian's bash in /home/dev."""

    def __init__(self, name, port, keys, host_key, directory):
        self.name = name
        self.port = port
        self.keys = keys
        self.user = "dev"
        self.known_hosts = f"{directory}/known_hosts"
        with open(f"{host_key}.pub", encoding="ascii") as f:
            self.host_key = " ".join(f.read().split()[:2])
        with open(self.known_hosts, "w", encoding="ascii") as f:
            f.write(f"[127.0.0.1]:{port} {self.host_key}\n")
        # For clients that look nowhere else; Dropbear's knows no ports.
        self.home = f"{directory}/home"
        os.makedirs(f"{self.home}/.ssh", 0o700)
        with open(f"{self.home}/.ssh/known_hosts", "w", encoding="ascii") as f:
            f.write(f"[127.0.0.1]:{port} {self.host_key}\n127.0.0.1 {self.host_key}\n")

    def of(self, user):
        """The same for this user."""
        other = copy.copy(self)
        other.user = user
        return other

    def kept(self):
        """
        The same for the login whose connections find each other's files, of a test with the fixture
        `same`: with the oracle all do.
        """
        return self.of(f"{self.user}-kept") if self.name == "sallyport" else self

    # ----- OpenSSH -----

    def options(self, key=None):
        """What ssh, sftp and scp all take."""
        return ["-F", "none", "-o", f"Port={self.port}", "-i", key or self.keys.user,
                "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "GlobalKnownHostsFile=none",
                "-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no",
                "-o", "ConnectTimeout=30", "-o", "LogLevel=INFO"]

    def argv(self, *args, user=None, options=(), key=None):
        """The command line of a stock ssh; args are what follows the host."""
        return ["ssh", *self.options(key), *options, f"{user or self.user}@127.0.0.1", *args]

    def login(self, profile):
        """The login for that profile's kind of session; the oracle has one for all."""
        return profile if self.name == "sallyport" else self.user

    def sftp(self, script, user=None, options=(), seconds=60, cwd=None):
        """Run the lines of script with a stock sftp -b; its own paths are below cwd."""
        argv = ["sftp", "-q", "-b", "-", *self.options(), *options,
                f"{user or self.user}@127.0.0.1"]
        return subprocess.run(argv, input=script.encode(), capture_output=True, cwd=cwd,
                              timeout=seconds * PATIENCE, check=False)

    def scp(self, *args, options=(), seconds=60):
        """Run scp; "HOST" in an argument becomes this target's address."""
        argv = ["scp", "-q", *self.options(), *options,
                *(a.replace("HOST", "127.0.0.1") for a in args)]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=seconds * PATIENCE, check=False)

    def ssh(self, *args, user=None, options=(), key=None, stdin=b"", seconds=30, env=None):
        """Run ssh to its end. stdin: bytes, or an open file."""
        how = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        return subprocess.run(self.argv(*args, user=user, options=options, key=key), env=env,
                              capture_output=True, timeout=seconds * PATIENCE, check=False, **how)

    def popen(self, *args, user=None, options=(), **how):
        how.setdefault("stdin", subprocess.PIPE)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.argv(*args, user=user, options=options), **how)

    # ----- libraries -----

    def paramiko(self, user=None):
        """A paramiko transport, authenticated."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20 * PATIENCE)
        transport = paramiko.Transport(sock)
        transport.auth_timeout = 30 * PATIENCE
        transport.banner_timeout = 30 * PATIENCE
        transport.start_client(timeout=30 * PATIENCE)
        assert transport.get_remote_server_key().get_base64() == self.host_key.split()[1]
        transport.auth_publickey(user or self.user, paramiko.Ed25519Key(filename=self.keys.user))
        return transport

    def asyncssh(self, work, user=None, seconds=30):
        """Run the coroutine function work(connection) on a connection and return its result."""
        async def run():
            known = asyncssh.import_known_hosts(f"[127.0.0.1]:{self.port} {self.host_key}\n")
            async with asyncssh.connect("127.0.0.1", self.port, username=user or self.user,
                                        client_keys=[self.keys.user], known_hosts=known,
                                        agent_path=None, config=None) as connection:
                return await work(connection)
        return asyncio.run(asyncio.wait_for(run(), seconds * PATIENCE))
