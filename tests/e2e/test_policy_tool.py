# SPDX-License-Identifier: Apache-2.0
"""`sallyport policy`: what it prints, how it ends, and that the broker does what it says."""
import glob
import json
import os
import re
import subprocess

import jsonschema
import pytest

from kit.broker import BASH, BUILD, TREE, Broker, profile
from kit.target import PATIENCE

pytestmark = pytest.mark.quick

PROGRAM = f"{BUILD}/admin/sallyport"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcNXmfMghzQoN/u3Aq15PWg9acIe9mN8ibMaMXoUVqS alice@laptop"
SK_KEY = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAABHNzaDo= alice@token"
DATA = f"{TREE}/tests/data/policy"
EXAMPLES = ["hoster", "bastion", "git-only"]


def tool(*args, cwd=None):
    r = subprocess.run([PROGRAM, "policy", *args], capture_output=True, text=True, cwd=cwd,
                       errors="surrogateescape", timeout=30 * PATIENCE, check=False)
    assert "Sanitizer" not in r.stderr and "runtime error" not in r.stderr, r.stderr
    return r


def write(directory, name, value):
    path = f"{directory}/{name}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(value if isinstance(value, str) else json.dumps(value))
    os.chmod(path, 0o644)
    return path


def fingerprint_of(line):
    r = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=line, capture_output=True, text=True,
                       check=True)
    return r.stdout.split()[1]


def all_codes():
    with open(f"{TREE}/policy/diag.h", encoding="utf-8") as f:
        return set(re.findall(r'X\(DIAG_\w+, "([EW]-[a-z-]+)"\)', f.read()))


# ----- check -----

def test_check_prints_every_known_message():
    """The same words as in the golden files, a code that there is, and a place."""
    codes = all_codes()
    names = sorted(os.path.basename(p) for p in glob.glob(f"{DATA}/bad/*.json"))
    assert len(names) > 150 and len(codes) > 50
    for part in (names[i:i + 20] for i in range(0, len(names), 20)):
        r = tool("check", *part, cwd=f"{DATA}/bad")
        wanted = ""
        for name in part:
            with open(f"{DATA}/bad/{name[:-5]}.err", encoding="utf-8", errors="surrogateescape") as f:
                wanted += f.read()
        assert r.returncode == 1
        printed, _, last = r.stdout.rstrip("\n").rpartition("\n")
        assert printed + "\n" == wanted
        assert re.fullmatch(r"[0-9]+ errors?, [0-9]+ warnings?", last)
        files = json.loads(tool("check", "--json", *part, cwd=f"{DATA}/bad").stdout)
        assert [f["policy"] for f in files] == part
        for f in files:
            assert any(m["severity"] == "error" for m in f["messages"])
            for m in f["messages"]:
                assert m["code"] in codes and m["line"] > 0 and m["column"] > 0 and m["width"] > 0
                assert (m["code"][0] == "E") == (m["severity"] == "error")


def test_check_exit_codes(tmp_path):
    assert tool("check", f"{DATA}/lint/nothing.json").returncode == 0
    assert tool("check", "--strict", f"{DATA}/lint/nothing.json").returncode == 0
    assert tool("check", f"{DATA}/lint/image-tag.json").returncode == 0
    assert tool("check", "--strict", f"{DATA}/lint/image-tag.json").returncode == 1
    r = tool("check", f"{DATA}/bad/key-cut.json")
    assert r.returncode == 1 and r.stdout.endswith("\n1 error, 0 warnings\n")
    assert tool("check", f"{tmp_path}/none.json").returncode == 2
    r = tool("check", write(tmp_path, "large.json", " " * ((4 << 20) + 1)))
    assert r.returncode == 2 and "is too large: 4194305 bytes, at most 4194304 are read" in r.stdout
    assert "help: a policy may be a directory of files" in r.stdout
    assert tool("check").returncode == 2
    assert tool("check", "--nonsense", f"{DATA}/lint/nothing.json").returncode == 2
    assert tool("chekc").returncode == 2
    assert tool().returncode == 2
    full = subprocess.run(f"'{PROGRAM}' policy schema >/dev/full", shell=True, check=False)
    assert full.returncode == 2


def test_templates_have_no_meaning_elsewhere(tmp_path):
    """A root of that name was filled in by nobody: each login failed."""
    container = {"image": "debian", "mounts": [{"bind": "workdir/${user}", "to": "/home"}], "workdir": "/${user}"}
    policy = {"sallyport_policy": 1, "bind_roots": {"workdir": "/srv/homes"}, "users": {"alice": {"keys": [KEY]}},
              "profiles": {"p": {"container": container}},
              "rules": [{"id": "all", "use": "p", "set": {"container": {"workdir": "/w/${user}"}}}]}
    assert tool("check", write(tmp_path, "p.json", policy)).returncode == 0
    for name in ("workdir", "network", "greeting", "homes"):
        policy["bind_roots"] = {"workdir": "/srv/homes", name: "/srv/${user}"}
        r = tool("check", write(tmp_path, "p.json", policy))
        assert r.returncode == 1 and "templates have no meaning here [E-template]" in r.stdout, name


def test_settings_of_rules_are_judged_however_they_are_written(tmp_path):
    settings = {"container.image": "@dev", "container.user": "0", "container.mounts": [{"bind": "r/x", "to": "/x"}],
                "session.exec": [["/bin/sh", "-c", "*"]]}
    policy = {"sallyport_policy": 1, "unsafe": ["root-user"], "images": {"dev": "debian:12"},
              "bind_roots": {"r": "/srv/r"}, "users": {"alice": {"keys": [KEY]}},
              "profiles": {"p": {"container": {"image": "debian@sha256:" + "ab" * 32,
                                               "limits": {"memory": "1G", "cpus": 1, "pids": 64}}}}}
    spellings = [settings,
                 {"container": {k: settings[f"container.{k}"] for k in ("image", "user", "mounts")},
                  "session": {"exec": settings["session.exec"]}},
                 {**settings, "container": {"image": "@dev"}}]
    for spelling in spellings:
        policy["rules"] = [{"id": "all", "use": "p", "set": spelling}]
        said, = json.loads(tool("check", "--json", write(tmp_path, "p.json", policy)).stdout)
        assert sorted(m["code"] for m in said["messages"]) == [
            "W-allow-list-shell", "W-image-tag", "W-root-user", "W-shared-bind", "W-unsafe"], spelling
    policy["images"] = {}
    policy["rules"] = [{"id": "all", "use": "p", "set": {"container.image": "debian:12"}}]
    said, = json.loads(tool("check", "--json", write(tmp_path, "p.json", policy)).stdout)
    assert [m["code"] for m in said["messages"]] == ["W-unsafe", "W-image-tag"]


def test_check_does_not_show_keys(tmp_path):
    secret = "AAAAC3NzaC1lZDI1NTE5AAAAsecret"
    path = write(tmp_path, "p.json", {"sallyport_policy": 1, "users": {
        "a": {"keys": [f"ssh-ed25519 {secret}"]}}})
    for args in ((), ("--json",)):
        assert secret not in tool("check", *args, path).stdout


def test_the_page_explains_every_code():
    with open(f"{TREE}/admin/sallyport.1", encoding="utf-8") as f:
        page = f.read()
    assert [c for c in sorted(all_codes()) if not re.search(rf"{c}\b(?!-)", page)] == []


# ----- explain -----

def test_explain_names_each_place():
    path = f"{DATA}/good/language.json"
    r = tool("explain", path, "--user", "alice", "--at", "2026-12-24T00:00Z", "--request", "shell")
    assert r.returncode == 0
    lines = r.stdout.splitlines()
    assert lines[0] == f'ALLOW  rule "set" ({path}:35:5), profile "p"'
    assert re.search(r"freeze +no +not: all of its conditions hold", r.stdout)
    assert re.search(r"hours +no +key: no key is known", r.stdout)
    assert re.search(r"set +YES +no conditions", r.stdout)
    assert re.search(rf'container.limits.memory +"1G" +{path}:38:36 rule "set"', r.stdout)
    assert re.search(rf'container.image +"debian:12" +{path}:21:36 profile "p"', r.stdout)
    assert re.search(r'container.stop_grace +"10s" +default', r.stdout)
    assert 'would run: "/bin/sh"' in lines
    assert '"Memory":1073741824' in lines[-1]
    # Every place that is named holds what is said to be there.
    with open(path, encoding="utf-8") as f:
        text = f.read().splitlines()
    said = json.loads(tool("explain", "--json", path, "--user", "alice").stdout)
    placed = [s for s in said["settings"] if s["from"] != "default"]
    assert len(placed) >= 6
    for s in placed:
        rest = text[s["line"] - 1][s["column"] - 1:]
        assert json.JSONDecoder().raw_decode(rest)[0] == s["value"], s


@pytest.mark.parametrize("args, why", [
    ([], "a user is needed"),
    (["--user", "alice", "--request", "exec"], '"exec" needs a command'),
    (["--user", "alice", "--command", "id"], "goes with the request"),
    (["--user", "Alice"], "is no name"),
    (["--user", "alice", "--from", "10.0.0"], "is no address"),
    (["--user", "alice", "--at", "yesterday"], "is no point in time"),
    (["--user", "alice", "--auth", "magic"], "is no way to log in"),
    (["--user", "alice", "--key", "MD5:1"], "is no fingerprint"),
    (["--user", "alice", "--verified"], "only a security key verifies its user"),
    (["--user", "alice", "--auth", "key", "--verified"], "only a security key verifies its user"),
    (["--user", "alice", "--request", "x"], "is no request"),
    (["--user", "alice", "--request", "forward"], "needs a host and port"),
    (["--user", "alice", "--request", "shell", "--to", "localhost:1"], "go with the request"),
    (["--user", "alice", "--to", "localhost:1"], "go with the request"),
    (["--user", "alice", "--request", "forward", "--to", "localhost"], "is no host and port"),
    (["--user", "alice", "--request", "forward", "--to", "localhost:65536"], "is no host and port"),
    (["--user", "alice", "--request", "forward", "--to", "localhost:0"], "port 0 is no port to go to"),
    (["--user", "alice", "--request", "forward", "--to", "localhost:"], "is no host and port"),
    (["--user", "alice", "--request", "listen"], "needs a host and port to listen at"),
    (["--user", "alice", "--request", "agent", "--to", "localhost:80"], "a host and port go with"),
    (["--user", "alice", "--request", "listen", "--to", "*:0", "--command", "id"], "a command goes with"),
    (["--user", "alice", "--request", "forward", "--to", "localhost:8x"], "has no port"),
    (["--user", "alice", "--request", "forward", "--to", ":80"], "is no host and port"),
    (["--user", "alice", "--request", "forward", "--to", "a:80", "--pty"], "a terminal goes with"),
])
def test_explain_wrong_facts(args, why):
    r = tool("explain", f"{DATA}/good/language.json", *args)
    assert r.returncode == 2 and r.stdout == "" and why in r.stderr


def test_explain_refusals():
    path = f"{DATA}/good/language.json"
    for args, why in ((["--user", "mallory"], "there is no such user"),
                      (["--user", "alice", "--key", "SHA256:x"], "does not have this key"),
                      (["--user", "alice", "--at", "2040-01-01T00:00Z"], "has expired"),
                      (["--user", "alice", "--request", "exec", "--command", "id"], "not allowed"),
                      (["--user", "alice", "--request", "forward", "--to", "localhost:80"],
                       "Forwarding is not allowed")):
        r = tool("explain", path, *args)
        assert r.returncode == 1 and r.stdout.startswith("DENY") and why in r.stdout.splitlines()[0]
    assert tool("explain", f"{DATA}/bad/key-cut.json", "--user", "alice").returncode == 2


def test_explain_forward(tmp_path):
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEY]}},
              "profiles": {"p": {"container": {"image": "debian"},
                                 "session": {"forward": {"local": ["container:8080", "10.0.0.0/8:1-9"]}}}},
              "rules": [{"id": "all", "use": "p"}]}
    path = write(tmp_path, "policy.json", policy)
    for to, goes in (("localhost:8080", ["::1", "127.0.0.1"]), ("[::1]:8080", ["::1"]),
                     ("10.2.3.4:9", ["10.2.3.4"]), ("10.2.3.4:10", None), ("localhost:1", None),
                     ("example.org:10", None), ("[fd00::1]:8080", None), ("10.2.515:9", None)):
        args = ["--user", "alice", "--request", "forward", "--to", to]
        said = json.loads(tool("explain", "--json", path, *args).stdout)
        r = tool("explain", path, *args)
        assert said["allowed"] is (goes is not None) and said.get("connect") == goes, (to, said["why"])
        assert r.returncode == (goes is None)
        if goes:
            assert f"to port {to.rpartition(':')[2]} of {', else '.join(goes)}\n" in r.stdout
        else:
            assert said["why"].startswith(("Forwarding to", "This is neither an address")) and \
                "would connect" not in r.stdout


def test_explain_forward_to_a_name(tmp_path):
    """What it may stand for; what it does is the container's to say."""
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEY]}},
              "profiles": {"p": {"container": {"image": "debian"}, "session": {"forward": {
                  "local": ["container:1-99", "10.0.0.0/8:9", "[2001:db8::7]:9-10"]}}}},
              "rules": [{"id": "all", "use": "p"}]}
    path = write(tmp_path, "policy.json", policy)
    container = ["127.0.0.0/8", "::1"]
    for to, networks in (("web_1:9", [*container, "10.0.0.0/8", "2001:db8::7"]), ("web_1:10", [*container, "2001:db8::7"]),
                         ("localhost.:10", [*container, "2001:db8::7"])):
        args = ["--user", "alice", "--request", "forward", "--to", to]
        said = json.loads(tool("explain", "--json", path, *args).stdout)
        assert said["allowed"] and said["lookup"] == networks and "connect" not in said
        r = tool("explain", path, *args)
        name, _, port = to.rpartition(":")
        assert r.returncode == 0
        assert (f"would look up {name} in the container and connect, in its network, to port {port} of what is in "
                f"{' or '.join(networks)}\n") in r.stdout
    r = tool("explain", path, "--user", "alice", "--request", "forward", "--to", "web_1:100")
    assert r.returncode == 1 and "would look up" not in r.stdout
    for case, allow in (("web_1:9", True), ("web_1:99", False), ("localhost.:1", False), ("web_1:100", False), ("127.1:9", False), ("web 1:9", False)):
        cases = {"sallyport_cases": 1, "cases": [
            {"user": "alice", "request": "forward", "to": case, "expect": {"allow": allow}}]}
        assert tool("test", path, "--cases", write(tmp_path, "cases.json", cases)).returncode == 0, case


@pytest.mark.parametrize("beyond", [[], ["172.18.0.2:9"]], ids=["loopback-alone", "and-more"])
def test_explain_listeners(tmp_path, beyond):
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEY]}},
              "profiles": {"p": {"container": {"image": "debian"}, "session": {"forward": {
                  "remote": ["container:8080", "container:0", *beyond], "agent": True, "x11": True}}}},
              "rules": [{"id": "all", "use": "p"}]}
    path = write(tmp_path, "policy.json", policy)
    loopback = ["::1", "127.0.0.1"]
    other = None if beyond else loopback
    for to, at in (("localhost:8080", loopback), ("[::1]:8080", ["::1"]), ("*:8080", loopback),
                   ("localhost:0", loopback), ("localhost:8081", None), ("10.2.3.4:8080", other),
                   ("example.org:8080", other), ("10.2.3.4:8081", None), ("example.org:8081", None)):
        args = ["--user", "alice", "--request", "listen", "--to", to]
        said = json.loads(tool("explain", "--json", path, *args).stdout)
        r = tool("explain", path, *args)
        assert said["allowed"] is (at is not None) and said.get("listen") == at, (to, said["why"])
        assert "connect" not in said and r.returncode == (at is None)
        if at:
            port = to.rpartition(":")[2]
            where = "any port" if port == "0" else f"port {port}"
            assert f"would listen, in the container's network, at {where} of {' and '.join(at)}\n" in r.stdout
        else:
            assert said["why"].startswith("Listening at") and "would listen" not in r.stdout
    r = tool("explain", path, "--user", "alice", "--request", "agent")
    assert r.returncode == 0 and "would listen in the container for the client's agent\n" in r.stdout
    r = tool("explain", path, "--user", "alice", "--request", "x11")
    assert r.returncode == 0 and "would listen in the container for the client's X display\n" in r.stdout
    cases = {"sallyport_cases": 1, "cases": [
        {"user": "alice", "request": "listen", "to": "localhost:8080", "expect": {"allow": True}},
        {"user": "alice", "request": "listen", "to": "localhost:8081", "expect": {"allow": False}},
        {"user": "alice", "request": "agent", "expect": {"allow": True}},
        {"user": "alice", "request": "x11", "expect": {"allow": True}}]}
    r = tool("test", path, "--cases", write(tmp_path, "cases.json", cases))
    assert r.returncode == 0 and r.stdout.splitlines()[-1] == "4 passed, 0 failed"
    policy["profiles"]["p"]["session"] = {}
    path = write(tmp_path, "none.json", policy)
    r = tool("explain", path, "--user", "alice", "--request", "agent")
    assert r.returncode == 1 and "Forwarding of an agent is not allowed" in r.stdout.splitlines()[0]
    r = tool("explain", path, "--user", "alice", "--request", "x11")
    assert r.returncode == 1 and "X11 forwarding is not allowed" in r.stdout.splitlines()[0]
    assert tool("test", path, "--cases", f"{tmp_path}/cases.json").stdout.splitlines()[-1] == "1 passed, 3 failed"


# ----- users who have to be verified -----

UNVERIFIED = "the security key did not verify its user"


def verifying(tmp_path, name, required):
    policy = {"sallyport_policy": 1,
              "users": {n: {"keys": [KEY, SK_KEY], "verify_required": required} for n in ("alice", "bob")},
              "profiles": {"p": {"container": {"image": "debian"}}}, "rules": [{"id": "all", "use": "p"}]}
    return write(tmp_path, name, policy)


# What proves the login, and whether that is enough for who has to be verified.
PROOFS = [([], False), (["--key", fingerprint_of(KEY)], False), (["--key", fingerprint_of(KEY), "--verified"], False),
          (["--key", fingerprint_of(SK_KEY)], False), (["--key", fingerprint_of(SK_KEY), "--verified"], True),
          (["--auth", "sk-key"], False), (["--auth", "sk-key", "--verified"], True)]


@pytest.mark.parametrize("proof, enough", PROOFS)
def test_explain_who_has_to_be_verified(tmp_path, proof, enough):
    path = verifying(tmp_path, "p.json", True)
    r = tool("explain", path, "--user", "alice", *proof)
    assert r.returncode == (not enough)
    assert r.stdout.startswith('ALLOW  rule "all"' if enough else f"DENY  {UNVERIFIED}\n"), r.stdout
    said = json.loads(tool("explain", "--json", path, "--user", "alice", *proof).stdout)
    assert (said["allowed"], said["why"], said["rule"]) == ((True, None, "all") if enough else (False, UNVERIFIED, None))
    path = verifying(tmp_path, "any.json", False)
    assert tool("explain", path, "--user", "alice", *proof).returncode == 0


def test_cases_of_who_has_to_be_verified(tmp_path):
    facts = [({}, False), ({"key": fingerprint_of(KEY)}, False), ({"auth": "sk-key"}, False),
             ({"auth": "sk-key", "verified": True}, True), ({"key": fingerprint_of(SK_KEY), "verified": True}, True)]
    cases = write(tmp_path, "cases.json", {"sallyport_cases": 1, "cases": [
        {"user": "alice", **f, "expect": {"allow": allow, "rule": "all" if allow else "", "message": ""}}
        for f, allow in facts]})
    r = tool("test", verifying(tmp_path, "p.json", True), "--cases", cases)
    assert r.returncode == 0 and r.stdout.splitlines()[-1] == "5 passed, 0 failed", r.stdout
    r = tool("test", verifying(tmp_path, "any.json", False), "--cases", cases)
    assert r.stdout.splitlines()[-1] == "2 passed, 3 failed", r.stdout


def test_diff_of_who_has_to_be_verified(tmp_path):
    """Without having verified its user no key lets in any more; with, nothing changes."""
    before, after = verifying(tmp_path, "before.json", False), verifying(tmp_path, "after.json", True)
    for old, new in ((before, after), (after, before)):
        r = tool("diff", "--json", old, new)
        assert r.returncode == 1
        change, = json.loads(r.stdout)
        assert (change["user"], change["users"], change["verified"]) == ("alice", 2, False)
        assert {s["allowed"]: (s["rule"], s["why"]) for s in (change["before"], change["after"])} == {
            True: ("all", None), False: (None, UNVERIFIED)}
        assert tool("diff", old, old).returncode == 0
    assert tool("diff", before, after).stdout.startswith(
        f'alice and 1 more: ALLOW rule "all" profile "p" -> DENY: {UNVERIFIED}\n    for example from ')
    # Who is verified is asked about as well.
    with open(after, encoding="utf-8") as f:
        policy = json.load(f)
    policy["rules"] = [{"id": "device", "if": {"auth": {"any": ["sk-key"]}}, "deny": "No device."}, *policy["rules"]]
    r = tool("diff", "--json", after, write(tmp_path, "denied.json", policy))
    change, = json.loads(r.stdout)
    assert change["verified"] and change["key"] == fingerprint_of(SK_KEY) and change["after"]["rule"] == "device"
    assert ", verified by a security key\n" in tool("diff", after, f"{tmp_path}/denied.json").stdout


def test_diff_tells_apart_who_has_to_be_verified(tmp_path):
    """One of two who are alike in everything else stands for nobody but herself."""
    before, after = verifying(tmp_path, "before.json", False), verifying(tmp_path, "after.json", True)
    with open(after, encoding="utf-8") as f:
        policy = json.load(f)
    policy["users"]["alice"]["verify_required"] = False
    change, = json.loads(tool("diff", "--json", before, write(tmp_path, "bob.json", policy)).stdout)
    assert (change["user"], change["users"]) == ("bob", 1)


def test_replay_of_who_has_to_be_verified(tmp_path):
    before, after = verifying(tmp_path, "before.json", False), verifying(tmp_path, "after.json", True)
    login = {"outcome": "accepted", "user": "alice"}
    request = {"kind": "exec", "command": "id", "pty": False, "outcome": "allowed"}
    log = write(tmp_path, "audit.log", "".join([
        event("login", 1, **login, key=fingerprint_of(KEY), verified=False),  # changes
        event("request", 2, **request),  # changes
        event("login", 3, **login, key=fingerprint_of(SK_KEY), verified=False),  # changes
        event("login", 4, **login, key=fingerprint_of(SK_KEY), verified=True),
        event("request", 5, **request)]))
    r = tool("diff", "--replay", log, before, after)
    assert r.returncode == 1 and "3 of 5 logins and requests would change; 0 cannot" in r.stderr
    assert all(line.endswith(f"-> DENY: {UNVERIFIED}") for line in r.stdout.splitlines())
    assert tool("diff", "--replay", log, after, after).returncode == 0


# ----- diff --replay -----

def event(name, number=0, **fields):
    return json.dumps({"time": f"2026-11-23T09:00:{number:02}.123456Z", "number": number, "event": name,
                       "connection": "0badcafe", "from": "192.0.2.7,50022", **fields}) + "\n"


def replay_policy(**session):
    return {"sallyport_policy": 1, "users": {"alice": {"keys": [KEY]}, "bob": {"keys": [KEY]}},
            "profiles": {"p": {"container": {"image": "debian"}, "session": session}},
            "rules": [{"id": "web", "if": {"target": ["web"]}, "use": "p"}, {"id": "all", "use": "p"}]}


def test_explain_whose_container(tmp_path):
    """Word for word: for modes and pools, and a rule's "set"."""
    profiles = {"kept": {"container": {"image": "debian", "mode": "user", "keep": "90m"}},
                "gone": {"container": {"image": "debian", "mode": "user"}},
                "pool": {"container": {"image": "debian", "pool": 4}},
                "own": {"container": {"image": "debian", "mode": "session"}}}
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEY]}}, "profiles": profiles,
              "rules": [{"id": "t", "if": {"target": ["web"]}, "use": "kept"},
                        {"id": "set", "if": {"target": ["set"]}, "use": "kept", "set": {"container.keep": "8h"}},
                        *({"id": name, "if": {"target": [name]}, "use": name} for name in profiles),
                        {"id": "plain", "use": "kept"}]}
    path = write(tmp_path, "policy.json", policy)
    enter = "would enter the container of alice"
    for user, line, handout in (
            ("alice", f"{enter}, a new one if there is none; it stays for 90m when its last connection has ended",
             {"source": "user", "keep": "90m"}),
            ("alice+web", f"{enter} for target web, a new one if there is none; it stays for 90m when its last "
             "connection has ended", {"source": "user", "keep": "90m"}),
            ("alice+set", f"{enter} for target set, a new one if there is none; it stays for 8h when its last "
             "connection has ended", {"source": "user", "keep": "8h"}),
            ("alice+gone", f"{enter} for target gone, a new one if there is none; it goes with its last connection",
             {"source": "user", "keep": "0"}),
            ("alice+pool", "would get one of the pool of 4 that are started ahead, or a new one when none is ready",
             {"source": "pool"}),
            ("alice+own", None, {"source": "new"})):
        text = tool("explain", path, "--user", user).stdout.splitlines()
        said = [t for t in text if t.startswith(("would enter", "would get"))]
        assert said == ([line] if line else []), (user, said)
        assert json.loads(tool("explain", "--json", path, "--user", user).stdout)["handout"] == handout
    r = tool("explain", path, "--user", "bob")
    assert "would" not in r.stdout
    assert "handout" not in json.loads(tool("explain", "--json", path, "--user", "bob").stdout)


def test_explain_which_data_path(tmp_path):
    """The container that the path needs, for every mode, and where the profile's own mounts begin."""
    mounts = [{"tmpfs": "/t", "size": "1M"}]
    rest = {"image": "debian", "stop_grace": "250ms", "mounts": mounts}
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEY]}}, "runtimes": ["runsc"],
              "profiles": {"near": {"container": {**rest, "mode": "user", "keep": "1m"}},
                           "apart": {"extends": "near", "container": {"runtime": "runsc"}},
                           "far": {"extends": "near", "container": {"data_path": "engine"}},
                           "each": {"extends": "far", "container": {"mode": "connection", "keep": "0", "pool": 2}}},
              "rules": [{"id": "set", "if": {"target": ["set"]}, "use": "near",
                         "set": {"container.data_path": "engine"}},
                        *({"id": name, "if": {"target": [name]}, "use": name} for name in ("near", "apart", "far", "each"))]}
    path = write(tmp_path, "policy.json", policy)
    guest, rendezvous = "/.sallyport", "/.sallyport-rendezvous"
    hold = ["--hold", "250"]
    for target, value, options, binds, origin in (
            ("near", "auto", ["--keep", "61"], [guest, rendezvous], ("default", None)),
            ("apart", "auto", hold, [guest], ("default", None)),
            ("far", "engine", hold, [guest], ("profile", "far")),
            ("each", "engine", hold, [guest], ("profile", "far")),
            ("set", "engine", hold, [guest], ("rule", "set"))):
        said = json.loads(tool("explain", "--json", path, "--user", f"alice+{target}").stdout)
        setting = next(s for s in said["settings"] if s["name"] == "container.data_path")
        assert (setting["value"], setting["from"], setting.get("by")) == (value, *origin)
        assert said["create"]["Entrypoint"] == [f"{guest}/sallyport-guest", *options]
        assert [m["Target"] for m in said["create"]["HostConfig"]["Mounts"]] == [*binds, "/t"]


def test_replay(tmp_path):
    """Each kind of decision, once changed and once not; and what cannot be asked again is counted."""
    old = replay_policy(forward={"local": ["container:80"]}, subsystems={"sftp": True})
    new = replay_policy(exec=[["id"]], pty=False)
    new["rules"][1]["if"] = {"from": ["192.0.2.0/24"], "time": "2026-11-23T09:00Z/2026-11-23T09:00:30Z"}
    before, after = write(tmp_path, "old.json", old), write(tmp_path, "new.json", new)
    key = fingerprint_of(KEY)
    login = {"outcome": "accepted", "user": "alice", "key": key}
    log = write(tmp_path, "audit.log", "".join([
        event("service.start"), event("connect"), event("login", 1, **login),
        event("request", 2, kind="shell", pty=False, outcome="allowed"),
        event("request", 3, kind="shell", pty=True, outcome="allowed"),  # changes
        event("request", 4, kind="exec", command="id", pty=False, outcome="allowed"),
        event("request", 5, kind="exec", command="\x1b[2J", pty=False, outcome="allowed"),  # changes
        event("request", 6, kind="exec", command_escaped="\\xff", pty=False, outcome="allowed"),
        event("request", 7, kind="subsystem", command="sftp", pty=False, outcome="allowed"),  # changes
        event("forward", 8, host="localhost", port=80, outcome="allowed"),  # changes
        event("forward", 9, host="localhost", port=81, outcome="refused"),
        event("disconnect", 10),
        event("request", 11, kind="exec", command="x", pty=False, outcome="allowed"),
        event("login", 12, outcome="refused", claimed="alice", offered=key, reason="the key is not one"),
        event("login", 12, outcome="refused", left_out=3),
        event("login", 13, outcome="refused", claimed="bob+web", key=key, reason="no rule allows it"),
        event("login", 40, **login),  # changes: too late
        event("login", 14, **{**login, "from": "198.51.100.1,1"}),  # changes
        "half a li"]))
    r = tool("diff", "--replay", log, before, after)
    assert r.returncode == 1, r.stderr
    lines = r.stdout.splitlines()
    assert [line.split(": ", 1)[1].split(" -> ")[0].split(": ")[0] for line in lines] == \
        ["shell", "exec \\x1b[2J", "subsystem sftp", "forward [localhost]:80", "login", "login"]
    assert lines[0].startswith("2026-11-23T09:00:01Z 0badcafe alice from 192.0.2.7: shell: ALLOW ")
    assert lines[0].endswith("DENY rule \"all\" profile \"p\": Terminals are not allowed for this login.")
    assert lines[4].endswith('ALLOW rule "all" profile "p" -> DENY: no rule matches')
    assert "6 of 11 logins and requests would change; 4 cannot be asked again, 1 lines" in r.stderr
    changes = json.loads(tool("diff", "--json", "--replay", log, before, after).stdout)
    assert [c["kind"] for c in changes] == ["shell", "exec", "subsystem", "forward", "login", "login"]
    assert changes[1]["what"] == "\x1b[2J" and changes[5]["from"] == "198.51.100.1"
    assert changes[5]["before"] == {"allowed": True, "rule": "all", "profile": "p", "why": None}
    assert changes[5]["after"]["allowed"] is False
    r = tool("diff", "--replay", log, before, before)
    assert r.returncode == 0 and r.stdout == "" and "0 of 11" in r.stderr
    assert tool("diff", "--replay", f"{tmp_path}/nothing", before, after).returncode == 2
    assert tool("diff", "--replay", log, before, f"{DATA}/bad/key-cut.json").returncode == 2


# ----- the rest -----

@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    path = f"{TREE}/policy/examples/{name}"
    r = tool("check", "--strict", f"{path}.json")
    assert r.returncode == 0, r.stdout
    r = tool("test", f"{path}.json", "--cases", f"{path}.cases.json")
    assert r.returncode == 0, r.stdout
    assert r.stdout.splitlines()[-1] in ("8 passed, 0 failed", "9 passed, 0 failed")


def test_cases_that_are_none(tmp_path):
    policy = f"{DATA}/lint/nothing.json"
    bad = write(tmp_path, "c.json", '{ "sallyport_cases": 1, "cases": [ { "usr": "a" } ] }')
    r = tool("test", policy, "--cases", bad)
    assert r.returncode == 2 and "did you mean" in r.stderr and "c.json:1:38" in r.stderr
    wrong = {"sallyport_cases": 1, "cases": [{"user": "A", "expect": {"allow": False}}]}
    r = tool("test", policy, "--cases", write(tmp_path, "d.json", wrong))
    assert r.returncode == 1 and "is no name" in r.stdout
    r = tool("test", policy, "--cases", write(tmp_path, "large.json", " " * ((4 << 20) + 1)))
    assert r.returncode == 2 and "is too large: 4194305 bytes, at most 4194304 are read" in r.stderr
    assert "help: cases may be in several files, each behind a --cases" in r.stderr


def test_schema():
    schema = json.loads(tool("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = glob.glob(f"{DATA}/good/*.json") + glob.glob(f"{DATA}/lint/*.json") + \
        [f"{TREE}/policy/examples/{n}.json" for n in EXAMPLES]
    assert len(good) > 10
    for path in good:
        with open(path, encoding="utf-8") as f:
            validator.validate(json.load(f))
    # A key that is not there, or missing, is wrong for an editor as well. "set" has its own way of keys.
    found = 0
    for path in glob.glob(f"{DATA}/bad/*.json"):
        with open(path[:-5] + ".err", encoding="utf-8", errors="replace") as f:
            codes = set(re.findall(r"\[(E-[a-z-]+)\]$", f.read(), re.M))
        if codes & {"E-unknown-key", "E-missing-key"} and "rule-set" not in path:
            with open(path, encoding="utf-8") as f:
                assert not validator.is_valid(json.load(f)), path
            found += 1
    assert found > 10


def test_show():
    path = f"{DATA}/good/language.json"
    short = tool("show", path).stdout
    assert "default" not in short and 'profile "p" as rule "set" sets it' in short
    profiles = json.loads(tool("show", "--json", "--effective", path).stdout)
    assert [(p["profile"], p["rule"]) for p in profiles] == [("base", None), ("p", None), ("p", "set")]
    settings = {s["name"]: s["value"] for s in profiles[0]["settings"]}
    assert settings["container.network"] == "tenant-${user}"
    assert settings["container.limits.memory"] == "512M"
    assert tool("show", path, "--profile", "nobody").returncode == 1


def test_diff(tmp_path):
    with open(f"{TREE}/policy/examples/bastion.json", encoding="utf-8") as f:
        policy = json.load(f)
    before = write(tmp_path, "before.json", policy)
    assert tool("diff", before, before).returncode == 0
    rules = {r["id"]: r for r in policy["rules"]}
    rules["engineers"]["if"]["time"] = "mon-fri 07:00-21:00 +01:00"
    policy["profiles"]["tools"]["container"]["limits"]["memory"] = "1G"
    rules["only-from-inside"]["if"]["not"]["from"].append("192.0.2.0/24")
    policy["users"]["contractor"]["keys"] = policy["users"]["erin"]["keys"][1:]
    after = write(tmp_path, "after.json", policy)
    r = tool("diff", "--json", before, after)
    assert r.returncode == 1
    changes = json.loads(r.stdout)

    def has(user, was, now, **facts):
        return any(c["user"] == user and (c["before"]["rule"], c["after"]["rule"]) == (was, now) and
                   all(c[k] == v for k, v in facts.items()) for c in changes)

    assert has("frank", "out-of-hours", "engineers")  # an hour later in the evening
    assert any(s == {"name": "container.limits.memory", "before": "256M", "after": "1G"}
               for c in changes if c["before"]["rule"] == c["after"]["rule"] == "oncall"
               for s in c["settings"])
    assert any(c["from"] == "192.0.2.0" and c["before"]["rule"] == "only-from-inside" for c in changes)
    assert has("contractor", "external", None)  # the old key
    assert has("contractor", None, "external")  # the new one
    people = tool("diff", before, after).stdout
    assert 'DENY rule "out-of-hours" -> ALLOW rule "engineers" profile "tools"' in people
    assert 'container.limits.memory "256M" -> "1G"' in people


CEILINGS = {
    "global": {"containers": 100, "memory": "64G"},
    "per_user": {"sessions": 8},
    "rules": {"engineers": {"creates_per_minute": 20}},
}


def limited(tmp_path, name, ceilings):
    """The bastion's example with these ceilings, a line for each."""
    with open(f"{TREE}/policy/examples/bastion.json", encoding="utf-8") as f:
        policy = json.load(f)
    for rule in policy["rules"]:
        if rule["id"] in ceilings["rules"]:
            rule["ceilings"] = ceilings["rules"][rule["id"]]
    policy["ceilings"] = {k: ceilings[k] for k in ("global", "per_user")}
    path = tmp_path / name
    path.write_text(json.dumps(policy, indent=1), encoding="utf-8")
    return str(path)


def test_ceilings_are_shown_with_their_place(tmp_path):
    path = limited(tmp_path, "p.json", CEILINGS)
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()

    def seen(settings):
        for s in settings:
            if s["from"] != "default":
                assert lines[s["line"] - 1][s["column"] - 1:].rstrip(",") == json.dumps(s["value"])
        return {s["name"]: (s["value"], s["from"], s["by"] if s["from"] == "rule" else None) for s in settings}

    said = {"ceilings.global.containers": (100, "policy", None),
            "ceilings.global.sessions": (None, "default", None),
            "ceilings.global.creates_per_minute": (None, "default", None),
            "ceilings.global.memory": ("64G", "policy", None),
            "ceilings.per_user.containers": (None, "default", None),
            "ceilings.per_user.sessions": (8, "policy", None),
            "ceilings.per_user.creates_per_minute": (None, "default", None)}
    rule = {"ceilings.per_rule.containers": (None, "default", None),
            "ceilings.per_rule.sessions": (None, "default", None),
            "ceilings.per_rule.creates_per_minute": (20, "rule", "engineers")}
    who = ("--user", "frank", "--from", "10.0.0.5", "--at", "2026-07-01T10:00Z")
    r = tool("explain", "--json", path, *who)
    told = json.loads(r.stdout)
    assert told["rule"] == "engineers", told["why"]
    assert seen(told["ceilings"]) == {**said, **rule}
    text = tool("explain", path, *who).stdout
    assert re.search(r"^  ceilings\.global\.memory +\"64G\" +\S+p\.json:\d+:\d+ policy$", text, re.M)
    assert re.search(r"^  ceilings\.per_rule\.creates_per_minute +20 +\S+p\.json:\d+:\d+ rule \"engineers\"$", text, re.M)
    tools = [p for p in json.loads(tool("show", "--json", path).stdout) if p["profile"] == told["profile"]]
    assert seen(tools[0]["ceilings"]) == {**said, **rule}
    assert "ceilings.global.sessions" not in tool("show", path).stdout
    assert re.search(r"ceilings\.global\.sessions +null +default", tool("show", "--effective", path).stdout)


def test_diff_of_ceilings(tmp_path):
    before = limited(tmp_path, "before.json", CEILINGS)
    assert tool("diff", before, before).returncode == 0
    everybody = limited(tmp_path, "all.json", {**CEILINGS, "global": {"containers": 50, "memory": "64G"},
                                               "per_user": {}})
    r = tool("diff", "--json", before, everybody)
    assert r.returncode == 1
    assert json.loads(r.stdout) == [{"user": None, "settings": [
        {"name": "ceilings.global.containers", "before": 100, "after": 50},
        {"name": "ceilings.per_user.sessions", "before": 8, "after": None}]}]
    assert tool("diff", before, everybody).stdout == \
        "everybody:\n    ceilings.global.containers 100 -> 50\n    ceilings.per_user.sessions 8 -> null\n"
    rule = limited(tmp_path, "rule.json", {**CEILINGS, "rules": {"engineers": {"sessions": 2}}})
    r = tool("diff", "--json", before, rule)
    assert r.returncode == 1
    changes = json.loads(r.stdout)
    assert changes and all(c["before"] == c["after"] and c["before"]["rule"] == "engineers" and c["settings"] == [
        {"name": "ceilings.per_rule.sessions", "before": None, "after": 2},
        {"name": "ceilings.per_rule.creates_per_minute", "before": 20, "after": None}] for c in changes)


def keys_of(value, ends=()):
    """Of everything in it, but for what is found below ends."""
    if isinstance(value, dict):
        return set(value).union(*(keys_of(v, ends) for k, v in value.items() if k not in ends))
    return set().union(*(keys_of(v, ends) for v in value)) if isinstance(value, list) else set()


def test_what_is_for_programs_is_in_the_manual(tmp_path):
    """Each key of an answer is where the page tells of that command, or of what a place and a setting is."""
    with open(f"{TREE}/admin/sallyport.1", encoding="utf-8") as f:
        page = f.read().partition(".Sh JSON")[2].partition("\n.Sh ")[0]
    items = {head: text for head, _, text in (item.partition("\n") for item in page.split("\n.It ")[1:])}
    ceilings = limited(tmp_path, "p.json", CEILINGS)
    other = limited(tmp_path, "q.json", {**CEILINGS, "per_user": {}})
    with open(ceilings, encoding="utf-8") as f:
        policy = json.load(f)
    policy["profiles"]["tools"]["container"]["mode"] = "connection"
    policy["profiles"]["tools"]["session"]["forward"] = {
        "local": ["container:80", "192.0.2.0/24:443"], "remote": ["container:0"]}
    asked = write(tmp_path, "asked.json", policy)
    who = ("explain", "--json", asked, "--user", "frank", "--from", "10.0.0.5", "--at", "2026-07-01T10:00Z")
    example = f"{TREE}/policy/examples/hoster"
    answers = [("check", "check", "--json", f"{DATA}/bad/key-cut.json"),
               ("explain", *who, "--request", "shell"),
               ("explain", *who, "--request", "forward", "--to", "localhost:80"),
               ("explain", *who, "--request", "forward", "--to", "db:443"),
               ("explain", *who, "--request", "listen", "--to", "localhost:0"),
               ("show", "show", "--json", ceilings), ("diff", "diff", "--json", ceilings, other),
               ("test", "test", "--json", f"{example}.json", "--cases", f"{example}.cases.json")]
    seen = set()
    for command, *args in answers:
        said = keys_of(json.loads(tool(*args).stdout), ends=("create", "value", "before", "after"))
        told = items[f"Cm policy {command}"] + (items["Em setting"] if "settings" in said else "") + " file line column"
        assert {key for key in said if not re.search(rf"\b{key}\b", told)} == set(), (command, args)
        seen |= said
    assert {"argv", "connect", "lookup", "listen", "settings", "before", "cases", "messages"} <= seen


def test_completion():
    script = f"source '{TREE}/admin/completion/sallyport.bash'; compopt() {{ :; }}\n" \
        "try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _sallyport; echo \"${COMPREPLY[*]}\"; }\n" \
        "try sallyport po; try sallyport policy e; try sallyport policy explain f --request s\n" \
        "try sallyport policy check --s; try sallyport kill --u; try sallyport kill --j\n"
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["policy", "explain", "shell subsystem", "--strict", "--user", "--json"]


def test_replay_of_what_the_worker_refused(tmp_path):
    """Programs and X11 are asked again; a terminal alone, what was cut and the rest of many cannot be."""
    before = write(tmp_path, "old.json", replay_policy(shell=False, exec=False))
    after = write(tmp_path, "new.json", replay_policy(exec=[["id"]], subsystems={"sftp": True}, forward={"x11": True}))
    refused = [("shell", ""), ("exec", "id"), ("exec", "rm"), ("subsystem", "sftp"), ("x11", ""), ("pty", "xterm"),
               ("exec", "x" * 256), ("channel", "tun@openssh.com")]
    log = write(tmp_path, "audit.log", "".join([
        event("login", outcome="accepted", user="alice", key=fingerprint_of(KEY)),
        *(event("request.refused", i, kind=kind, **({"detail": detail} if detail else {}))
          for i, (kind, detail) in enumerate(refused)),
        event("request.refused", 20, left_out=7), event("disconnect", 21),
        event("request.refused", 22, kind="shell")]))
    r = tool("diff", "--replay", log, before, after)
    assert [line.split(": ")[1] for line in r.stdout.splitlines()] == ["shell", "exec id", "subsystem sftp", "x11"]
    assert "4 of 6 logins and requests would change; 4 cannot be asked again, 0 lines" in r.stderr


def test_replay_of_listeners(tmp_path):
    old = replay_policy(forward={"remote": ["container:80", "container:0"], "agent": True, "x11": True})
    new = replay_policy(forward={"remote": ["container:81"]})
    before, after = write(tmp_path, "old.json", old), write(tmp_path, "new.json", new)
    log = write(tmp_path, "audit.log", "".join([
        event("login", 1, outcome="accepted", user="alice", key=fingerprint_of(KEY)),
        event("listen", 2, kind="tcp", host="localhost", port=80, outcome="allowed"),
        event("listen", 3, kind="tcp", host="", port=81, outcome="refused"),
        event("listen", 4, kind="tcp", host="127.0.0.1", port=0, outcome="allowed"),
        event("listen", 5, kind="tcp", host="localhost", port=99, outcome="refused"),  # in both
        event("listen", 6, kind="agent", port=0, outcome="allowed"),
        event("listen", 7, kind="tcp", host_escaped="\\xff", port=80, outcome="refused"),  # cannot be asked
        event("listen", 8, kind="x11", port=0, outcome="allowed"),
        event("disconnect", 9),
        event("listen", 10, kind="agent", port=0, outcome="allowed")]))  # the same
    r = tool("diff", "--replay", log, before, after)
    assert r.returncode == 1
    assert [line.split(": ", 1)[1].split(" -> ")[0].split(" rule ")[0] for line in r.stdout.splitlines()] == [
        "listen [localhost]:80: ALLOW", "listen [*]:81: DENY", "listen [127.0.0.1]:0: ALLOW", "agent: ALLOW", "x11: ALLOW"]
    assert "5 of 7 logins and requests would change; 2 cannot be asked again" in r.stderr


# ----- and the broker does what is said -----

@pytest.fixture(scope="module")
def running(engine, keys):
    b = Broker(keys, engine.socket)
    b.policy["users"] = {n: {"keys": keys.public(), "groups": g} for n, g in
                         {"ann": ["dev"], "ben": ["dev", "ops"], "cat": [], "dan": ["words"]}.items()}
    b.policy["profiles"] = {
        "dev": profile(argv=BASH, env={"WHO": "${user}"},
                       session={"forward": {"local": ["container:7000"]}}),
        "words": profile("sallyport-test/busybox:latest", session={"exec": [["echo", "*"], ["true"]], "shell": False}),
    }
    b.policy["rules"] = [
        {"id": "ops", "if": {"group": ["ops"], "from": ["127.0.0.0/8"]}, "use": "dev",
         "set": {"container.limits.memory": "99M", "container.limits.pids": 99}},
        {"id": "away", "if": {"group": ["dev"], "from": ["192.0.2.0/24"]}, "deny": "Away."},
        {"id": "dev", "if": {"group": ["dev"]}, "use": "dev"},
        {"id": "words", "if": {"group": ["words"], "not": {"user": ["ann"]}}, "use": "words"},
    ]
    b.start()
    yield b
    b.close()


def explained(b, keys, user, command):
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", f"{keys.user}.pub"], check=True,
                                 capture_output=True, text=True).stdout.split()[1]
    r = tool("explain", "--json", f"{b.dir}/policy.json", "--user", user, "--from", "127.0.0.1",
             "--key", fingerprint, "--request", "exec", "--command", command)
    return json.loads(r.stdout)


@pytest.mark.parametrize("user", ["ann", "ben", "cat", "dan", "eve", "ann+web"])
def test_logins_as_explained(running, keys, user):
    for command in ("echo a", "echo a b", "true", "true; true"):
        said = explained(running, keys, user, command)
        r = running.target.ssh(command, user=user)
        assert (r.returncode == 0) == said["allowed"], (command, said["why"], r.stderr)
        if said["allowed"]:
            assert r.stdout.decode() == {"echo a": "a\n", "echo a b": "a b\n"}.get(command, "")
        elif said["login"]:
            assert said["why"].encode() in r.stderr


@pytest.mark.parametrize("user", ["ann", "dan"])
def test_forwards_as_explained(running, keys, user):
    """Nobody listens: what was let through says so, and is told from what was not in the audit log."""
    for to in ("localhost:7000", "127.0.0.1:7000", "localhost:7001", "192.0.2.1:7000", "[::1]:7000",
               "ip6-localhost:7000", "ip6-localhost:7001", "127.1:7000"):
        r = tool("explain", "--json", f"{running.dir}/policy.json", "--user", user,
                 "--from", "127.0.0.1", "--request", "forward", "--to", to)
        said = json.loads(r.stdout)
        running.target.ssh(options=["-W", to], user=user)
        [*_, made] = running.audit(event="forward", user=user)
        assert (made["outcome"] == "allowed") == said["allowed"], (to, made, said["why"])
        assert made.get("reason") == said["why"]
        assert made["lookup"] == ("lookup" in said)


def test_the_log_of_real_logins_replayed(running, tmp_path):
    """Under its own policy nothing changes of what a broker has written down; under another one it does."""
    running.target.ssh("echo x", user="ann")
    running.target.ssh("true; true", user="dan")
    running.target.ssh("true", user="cat")
    own = f"{running.dir}/policy.json"
    log = f"{running.dir}/audit.log"
    r = tool("diff", "--replay", log, own, own)
    assert r.returncode == 0 and r.stdout == "", r.stdout
    assert re.search(r"0 of ([1-9][0-9]*) logins and requests would change", r.stderr), r.stderr
    other = json.loads(json.dumps(running.policy))
    other["rules"] = [r for r in other["rules"] if r["id"] != "words"]
    r = tool("diff", "--json", "--replay", log, own, write(tmp_path, "other.json", other))
    changes = json.loads(r.stdout)
    assert r.returncode == 1 and {c["user"] for c in changes} == {"dan"}
    assert all(not c["after"]["allowed"] for c in changes)


@pytest.mark.parametrize("user", ["ann", "ben"])
def test_containers_as_explained(running, keys, engine, user):
    body = explained(running, keys, user, "true")["create"]
    p = running.target.popen("echo up; read x", user=user)
    assert p.stdout.readline() == b"up\n"
    made = engine.inspect(engine.containers()[0])
    p.communicate(b"\n", 30)
    assert made["Config"]["Image"] == body["Image"] and made["Config"]["User"] == body["User"]
    for key in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit", "CapDrop", "SecurityOpt", "NetworkMode",
                "ReadonlyRootfs", "Privileged", "IpcMode", "CgroupnsMode"):
        assert made["HostConfig"][key] == body["HostConfig"][key], key
    assert made["Config"]["Labels"]["sallyport.user"] == body["Labels"]["sallyport.user"]
    own = [m for m in body["HostConfig"]["Mounts"] if m["Type"] != "bind"]
    assert [m for m in made["HostConfig"]["Mounts"] if m["Type"] != "bind"] == own
