# SPDX-License-Identifier: Apache-2.0
"""
Logins into the example policies: as they stand, but for the keys, which are ours here, and the images,
which are a test image in the place of a registry's, and no more processors than there are.
"""
import json
import os
import subprocess

import pytest

from kit.broker import BUILD, TREE, Broker
from kit.target import PATIENCE

IMAGE = "sallyport-test/oracle:latest"  # bash, and git
RELAY = f"{TREE}/tests/e2e/kit/from_address.py"
INSIDE, OUTSIDE = "10.1.2.3", "203.0.113.5"


def networks_of(policy):
    names = {p.get("container", {}).get("network") for p in policy["profiles"].values()}
    return names - {None, "none", "bridge"}


def volumes_of(engine):
    return set(engine.run("volume", "ls", "-q").split())


@pytest.fixture(scope="module")
def running(engine, keys):
    """One broker for each example, behind a balancer: the examples ask where somebody comes from."""
    made, before, brokers = [], volumes_of(engine), {}

    def start(name):
        if name in brokers:
            return brokers[name]
        b = brokers[name] = Broker(keys, engine.socket)
        with open(f"{TREE}/policy/examples/{name}.json", encoding="utf-8") as f:
            b.policy = json.load(f)
        for user in b.policy["users"].values():
            user["keys"] = keys.public()
        b.policy["images"] = {image: IMAGE for image in b.policy["images"]}
        for rule in b.policy["rules"]:
            # An engine refuses more processors than the machine has.
            if "container.limits.cpus" in rule.get("set", {}):
                rule["set"]["container.limits.cpus"] = min(4, os.cpu_count())
        for network in networks_of(b.policy):
            engine.run("network", "create", "--internal", network)
            made.append(network)
        b.config["proxy_protocol"] = ["127.0.0.1/32"]
        b.config["limits"]["per_source"] = {"exempt": ["0.0.0.0/0", "::/0"]}  # many mean to fail
        return b.start()

    yield start
    for b in brokers.values():
        b.close()
    for network in made:
        engine.run("network", "rm", network)
    for volume in volumes_of(engine) - before:
        engine.run("volume", "rm", volume)


def hand_over(engine, volume):
    """
    What whoever runs such a service does once: a new volume belongs to root, and Docker gives an empty
    one the owner of the image's directory again each time.
    """
    engine.run("run", "--rm", "--network", "none", "--user", "0:0", "-v", f"{volume}:/v",
               "sallyport-test/busybox:latest", "sh", "-c", "touch /v/.here && chown -R 1000:1000 /v")


def proxy(b, address):
    return ["-o", f"ProxyCommand=/usr/bin/python3 {RELAY} {b.port} {address}"]


def explained(b, keys, user, address, command):
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", f"{keys.user}.pub"], check=True,
                                 capture_output=True, text=True).stdout.split()[1]
    r = subprocess.run([f"{BUILD}/admin/sallyport", "policy", "explain", "--json",
                        f"{b.dir}/policy.json", "--user", user, "--from", address, "--key", fingerprint,
                        "--request", "exec", "--command", command],
                       capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    return json.loads(r.stdout)


def login(b, keys, user, command, address=INSIDE):
    """What the login printed, or None when it was refused; the policy's own word on it has to agree."""
    said = explained(b, keys, user, address, command)
    r = b.target.ssh(command, user=user, options=proxy(b, address), seconds=60)
    if not said["login"]:
        assert r.returncode == 255, r.stderr
        assert said["message"] is None or said["message"].encode() in r.stderr
        return None
    assert b"denied" not in r.stderr.lower(), r.stderr
    [*_, request] = b.audit(event="request")
    [*_, entry] = b.audit(event="login", outcome="accepted")
    assert (entry["rule"], entry["profile"]) == (said["rule"], said["profile"])
    assert (request["outcome"] == "allowed") == said["allowed"], (said["why"], request)
    return r.stdout.decode() if said["allowed"] else None


def test_hoster(running, keys):
    b = running("hoster")
    assert login(b, keys, "alice", "echo $SITE; pwd; id -u") == "alice\n/home/web\n1000\n"
    assert login(b, keys, "bob", "echo $SITE; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/"
                 "memory.limit_in_bytes 2>/dev/null") == f"bob\n{4 << 30}\n"
    assert login(b, keys, "bob+stage-1", "pwd") == "/home/web\n"
    assert login(b, keys, "alice+stage-1", "pwd") is None
    assert login(b, keys, "mallory", "pwd") is None


def test_hosters_sites_stay_apart(running, keys, engine):
    b = running("hoster")
    # A volume's owner is the image's; the hoster hands it over once.
    login(b, keys, "alice", "true")
    login(b, keys, "bob+stage-1", "true")
    for volume in ("site-alice", "staging-bob.T.stage-1"):
        assert volume in volumes_of(engine)
        hand_over(engine, volume)
    assert login(b, keys, "alice", "echo mine > index; ls") == "index\n"
    assert login(b, keys, "alice", "cat index") == "mine\n"
    assert login(b, keys, "bob+stage-1", "ls") == ""
    assert login(b, keys, "bob+stage-2", "ls") == ""
    assert login(b, keys, "carol", "ls /home/web") == ""


def test_bastion(running, keys):
    """By day or by night: what the policy says of this hour is what happens."""
    b = running("bastion")
    for user in ("erin", "frank", "contractor"):
        assert login(b, keys, user, "echo in", OUTSIDE) is None
        assert login(b, keys, user, "echo in", INSIDE) in ("in\n", None)
    assert login(b, keys, "frank", "echo in", "2001:db8:10::7") in ("in\n", None)
    assert login(b, keys, "nobody", "echo in", INSIDE) is None
    assert b.audit(event="login", rule="only-from-inside", outcome="refused")


def test_bastion_by_day(running, keys):
    """The same at an hour when everybody may: only the windows are others."""
    b = running("bastion")
    for rule in b.policy["rules"]:
        rule.get("if", {}).pop("time", None)
    b.write()
    assert b.ask("reload")["reloaded"] is True
    assert login(b, keys, "erin", "echo in; ls /sys/class/net") == "in\neth0\nlo\n"
    assert login(b, keys, "frank", "nproc > /dev/null; echo in") == "in\n"
    assert login(b, keys, "contractor", "uptime") is not None
    assert login(b, keys, "contractor", "uptime; id") is None
    assert login(b, keys, "contractor", "cat /etc/passwd") is None


def test_git_only(running, keys, engine, tmp_path):
    b = running("git-only")
    hand_over(engine, "repositories")
    engine.run("run", "--rm", "--network", "none", "--user", "1000:1000", "-v", "repositories:/srv/git",
               IMAGE, "git", "init", "-q", "--bare", "/srv/git/x.git")
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
               GIT_SSH_COMMAND=" ".join(["ssh", *b.target.options(), "-o", f"'{proxy(b, INSIDE)[1]}'"]))

    def git(*args, fails=False):
        r = subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org",
                            "-c", "init.defaultBranch=main", *args], env=env, capture_output=True,
                           timeout=60 * PATIENCE, check=False)
        assert (r.returncode != 0) == fails, r.stderr
        return r.stdout

    def url(user):
        return f"{user}@127.0.0.1:/srv/git/x.git"

    git("init", "-q", f"{tmp_path}/a")
    git("-C", f"{tmp_path}/a", "commit", "-q", "--allow-empty", "-m", "one")
    git("-C", f"{tmp_path}/a", "push", "-q", url("dev"), "HEAD:main")
    git("clone", "-q", "-b", "main", url("mirror"), f"{tmp_path}/b")
    assert git("-C", f"{tmp_path}/b", "log", "--format=%s") == b"one\n"
    git("-C", f"{tmp_path}/b", "commit", "-q", "--allow-empty", "-m", "two")
    git("-C", f"{tmp_path}/b", "push", "-q", url("mirror"), "HEAD:main", fails=True)
    assert login(b, keys, "dev", "id") is None
    assert login(b, keys, "dev", "git-upload-pack '/srv/git/x.git'; id") is None
    assert login(b, keys, "mirror", "git-receive-pack '/srv/git/x.git'") is None
