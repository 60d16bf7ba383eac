# SPDX-License-Identifier: Apache-2.0
"""
Every file that the broker reads, and every directory that it writes to, as an attacker on the same host would
like to have it: the broker does not start and names the file and the reason.
"""
import json
import os
import shutil
import subprocess

import pytest

from kit.broker import PROGRAM

STRANGER = 64300  # a uid that nobody has
READ = ["broker.json", "policy.json", "host_ed25519_key"]


def refuses(b, *words):
    r = subprocess.run([PROGRAM, "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                       timeout=60, check=False)
    assert r.returncode != 0, r.stderr
    for word in words:
        assert word in r.stderr, r.stderr


@pytest.fixture
def b(fresh_broker):
    fresh_broker.write()
    return fresh_broker


@pytest.mark.parametrize("name", READ)
def test_symbolic_link(b, name):
    os.rename(f"{b.dir}/{name}", f"{b.dir}/real")
    os.symlink("real", f"{b.dir}/{name}")
    refuses(b, name, "is a symbolic link")


@pytest.mark.parametrize("name", READ)
def test_fifo(b, name):
    """Nobody waits for whoever might write into it."""
    os.unlink(f"{b.dir}/{name}")
    os.mkfifo(f"{b.dir}/{name}", 0o600)
    refuses(b, name, "is not a regular file")


@pytest.mark.parametrize("name", ["broker.json", "host_ed25519_key"])
def test_directory(b, name):
    os.unlink(f"{b.dir}/{name}")
    os.mkdir(f"{b.dir}/{name}", 0o700)
    refuses(b, name, "is not a regular file")


@pytest.mark.parametrize("name", READ)
def test_four_gigabytes_of_nothing(b, name):
    os.truncate(f"{b.dir}/{name}", 4 << 30)
    refuses(b, name, "is too large")


@pytest.mark.parametrize("name", READ)
def test_of_another_user(b, name):
    os.chown(f"{b.dir}/{name}", STRANGER, -1)
    refuses(b, name, "belongs to another user")


@pytest.mark.parametrize("name", READ)
def test_in_a_directory_of_another_user(b, name):
    """A hard link there is as good as the file, and they can put another one in its place."""
    os.mkdir(f"{b.dir}/theirs", 0o755)
    os.link(f"{b.dir}/{name}", f"{b.dir}/theirs/{name}")
    os.chown(f"{b.dir}/theirs", STRANGER, -1)
    if name == "broker.json":
        r = subprocess.run([PROGRAM, "-t", "-c", f"{b.dir}/theirs/{name}"], capture_output=True,
                           text=True, timeout=60, check=False)
        assert r.returncode != 0
        assert "theirs belongs to another user" in r.stderr, r.stderr
        return
    if name == "policy.json":
        b.config["policy"] = f"theirs/{name}"
    else:
        b.config["host_keys"] = [f"theirs/{name}"]
    b.write()
    refuses(b, name, "theirs belongs to another user")


def test_directory_that_others_can_write(b):
    os.chmod(b.dir, 0o775)
    refuses(b, "broker.json", f"its directory {b.dir} can be written by group or others")


@pytest.mark.parametrize("name", ["run", "state"])
def test_own_directory_that_others_can_write(b, name):
    os.mkdir(f"{b.dir}/{name}", 0o700)
    os.chmod(f"{b.dir}/{name}", 0o777)
    refuses(b, f"{b.dir}/{name}", "can be written by group or others")


@pytest.mark.parametrize("name", ["run", "state"])
def test_own_directory_of_another_user(b, name):
    os.mkdir(f"{b.dir}/{name}", 0o700)
    os.chown(f"{b.dir}/{name}", STRANGER, -1)
    refuses(b, f"{b.dir}/{name}", "belongs to another user")


@pytest.mark.parametrize("deed, words", [
    ("link", "instance.key"),
    ("fifo", "instance.key must be a regular file"),
    ("readable", "instance.key must be a regular file of this user with mode 0600"),
    ("theirs", "instance.key must be a regular file of this user with mode 0600"),
])
def test_secret(b, deed, words):
    os.mkdir(f"{b.dir}/state", 0o700)
    path = f"{b.dir}/state/instance.key"
    if deed == "fifo":
        os.mkfifo(path, 0o600)
    else:
        with open(f"{b.dir}/elsewhere" if deed == "link" else path, "wb") as f:
            f.write(b"x" * 32)
            os.fchmod(f.fileno(), 0o644 if deed == "readable" else 0o600)
    if deed == "link":
        os.symlink("../elsewhere", path)
    elif deed == "theirs":
        os.chown(path, STRANGER, -1)
    refuses(b, words)


@pytest.mark.parametrize("deed, words", [
    ("theirs", "belongs to another user"),
    ("writable", "can be written by group or others; remove that with chmod go-w"),
    ("linked", "has another name"),
    ("fifo", "is not a regular file"),
])
def test_audit_log(b, deed, words):
    path = f"{b.dir}/audit.log"
    if deed == "fifo":
        os.mkfifo(path, 0o600)
        held = os.open(path, os.O_RDWR)  # without a reader it cannot be opened at all
    else:
        held = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    if deed == "theirs":
        os.chown(path, STRANGER, -1)
    elif deed == "writable":
        os.fchmod(held, 0o620)
    elif deed == "linked":
        os.link(path, f"{b.dir}/another")
    refuses(b, f"the audit log {path} {words}")
    os.close(held)


@pytest.mark.parametrize("program, words", [
    ("/nonexistent", "cannot run /nonexistent (worker.program): No such file or directory"),
    ("/bin/true", "it exited with 0 before it was locked down"),
    ("/bin/ls", "Try 'sallyportd --help'"),
])
def test_worker_program(b, program, words):
    """The line that ends it names what is wrong."""
    b.config["worker"]["program"] = program
    b.write()
    r = subprocess.run([PROGRAM, "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                       timeout=60, check=False)
    assert r.returncode != 0
    [line] = [line for line in r.stderr.splitlines() if "cannot go on" in line]
    assert "error: cannot go on: no worker came up: " in line and words in line, r.stderr
    assert line.endswith("; sallyport doctor says what is wrong with this host"), line


def test_no_socket(b):
    b.config["listen"] = []
    b.write()
    refuses(b, 'error: no socket to listen on: "listen" is empty', "not started")


def test_links_to_directories_are_fine(b):
    """As a Kubernetes volume has them: ..data is a link to the version in force."""
    os.mkdir(f"{b.dir}/..2026", 0o755)
    os.symlink("..2026", f"{b.dir}/..data")
    shutil.move(f"{b.dir}/policy.json", f"{b.dir}/..2026/policy.json")
    b.config["policy"] = "..data/policy.json"
    with open(f"{b.dir}/broker.json", "w", encoding="utf-8") as f:
        json.dump(b.config, f)
    r = subprocess.run([PROGRAM, "-t", "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                       timeout=60, check=False)
    assert r.returncode == 0, r.stderr


def test_spellings_of_directories(b):
    """Engines clean the paths of mounts and are compared letter by letter: each spelling lets people in."""
    b.config["runtime_dir"] = f"../{os.path.basename(b.dir)}//run/"
    b.config["state_dir"] = f"{b.dir}/./state/."
    guest = b.config["engine"]["guest_dir"]
    b.config["engine"]["guest_dir"] = guest.replace("/", "//") + "/"
    b.start()
    assert b.target.ssh("echo in").stdout == b"in\n", b.log()
    b.stop()
    b.config["engine"]["guest_dir"] = f"{guest}/../bundle"
    b.write()
    refuses(b, "\"guest_dir\" has a \"..\" behind a name")
