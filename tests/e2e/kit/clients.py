# SPDX-License-Identifier: Apache-2.0
"""The command lines of clients that others wrote, each with the host key pinned and nobody to ask."""
import functools
import os
import subprocess

import pytest

from kit.matrix import cell
from kit.target import PATIENCE


def openssh(target, *args, options=()):
    return target.argv(*args, options=options)


@functools.lru_cache
def fingerprint(known_hosts):
    return subprocess.run(["ssh-keygen", "-lf", known_hosts], check=True, capture_output=True,
                          text=True).stdout.split()[1]


def putty_options(target):
    """What plink, pscp and psftp all take."""
    return ["-batch", "-P", str(target.port), "-i", target.keys.putty, "-hostkey",
            fingerprint(target.known_hosts)]


def plink(target, *args, options=()):
    return ["plink", "-ssh", *putty_options(target), *options, f"{target.user}@127.0.0.1", *args]


def dbclient(target, *args, options=()):
    return ["dbclient", "-i", target.keys.dropbear, "-p", str(target.port), *options,
            f"{target.user}@127.0.0.1", *args]


COMMANDS = {"OpenSSH": openssh, "PuTTY": plink, "Dropbear": dbclient}


def clients(work, *names):
    """The test once for each of these programs, as `client`; it fills their cells of this work."""
    return pytest.mark.parametrize("client", [
        pytest.param(COMMANDS[n], id=n, marks=cell(n, work)) for n in names or COMMANDS])


def environment(target, **more):
    """With a home of the target's own, where its host key is known."""
    env = {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"}
    return {**env, "HOME": target.home, **more}


def run(target, argv, stdin=b"", seconds=60, cwd=None, **env):
    """A client to its end: exit code, output, errors."""
    try:
        r = subprocess.run(argv, input=stdin, capture_output=True, env=environment(target, **env),
                           cwd=cwd, timeout=seconds * PATIENCE, check=False)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"with {target.name}, {argv[0]} does not end; so far it has said "
                             f"{(late.stdout or b'')[-500:]!r} and {(late.stderr or b'')[-500:]!r}") from late
    # Dropbear's from 2025 on, when the last program's end is not the last channel's.
    return r.returncode, r.stdout, r.stderr.replace(b"dbclient: Waiting for other channels to close...\n", b"")
