# SPDX-License-Identifier: Apache-2.0
"""A connection that stays, so that one client after the other finds the same container."""
from kit.target import PATIENCE

DIRECTORY = "/tmp/here"


class Held:
    """
    Where sallyport is the target the login is one of mode "user". In there is an empty directory for the
    test to work in.
    """

    def __init__(self, target):
        self.target = target.kept()
        self.transport = self.target.paramiko()
        self.sh(f"rm -rf {DIRECTORY}; mkdir {DIRECTORY}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run(f"rm -rf {DIRECTORY}")
        self.transport.close()

    def start(self, script):
        channel = self.transport.open_session()
        channel.settimeout(60 * PATIENCE)
        channel.exec_command(script)
        return channel

    def run(self, script):
        """A script of the image's shell to its end: exit code, output, errors."""
        channel = self.start(script)
        channel.shutdown_write()
        out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
        return channel.recv_exit_status(), out, err

    def sh(self, script):
        """The output of a script that has to succeed."""
        code, out, err = self.run(script)
        assert code == 0, (script, out, err)
        return out

    def files(self):
        """What is in the directory: names, modes, sizes and sums."""
        return self.sh(f"cd {DIRECTORY} && for f in $(busybox find . | busybox sort); do "
                       "busybox stat -c '%n %A %s' $f; test -d $f || busybox sha256sum <$f; done")
