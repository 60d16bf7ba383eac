# SPDX-License-Identifier: Apache-2.0
"""
Random policies and random questions: the program and an oracle that was written from the manual page
have to give the same answers. What the oracle expects is a file of cases for `sallyport policy test`.
"""
import base64
import hashlib
import json
import os
import random
import struct
import subprocess

import pytest

from kit import policy_oracle as oracle
from kit.broker import BUILD, profile as plain_profile
from kit.fake_engine import FakeEngine
from kit.target import PATIENCE

pytestmark = pytest.mark.quick

PROGRAM = f"{BUILD}/admin/sallyport"
SANITIZED = os.path.basename(BUILD) != "release"
SEED = int(os.environ.get("SP_TEST_SEED", random.SystemRandom().randrange(2 ** 32)))
CASES = 400


def blob(kind, index):
    parts = [kind, bytes([index]) * 32] + ([b"ssh:"] if kind.startswith(b"sk-") else [])
    return b"".join(struct.pack(">I", len(p)) + p for p in parts)


def key(index):
    kind = b"ssh-ed25519" if index % 3 else b"sk-ssh-ed25519@openssh.com"
    return f"{kind.decode()} {base64.b64encode(blob(kind, index)).decode()} key{index}"


def fingerprint(line):
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


USERS = ["alice", "bob", "carol", "dave", "_x", "z" * 40]
GROUPS = ["dev", "ops", "night"]
KEYS = [key(i) for i in range(9)]
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "0.0.0.0/0", "2001:db8::/32", "::/0",
            "203.0.113.128/25"]
ADDRESSES = ["10.1.2.3", "10.200.0.1", "192.0.2.7", "192.0.2.8", "2001:db8::1", "::ffff:10.1.2.3",
             "203.0.113.127", "203.0.113.128", "2002::1"]
WINDOWS = ["mon-fri 08:00-18:00 +01:00", "22:00-06:00 Z", "sat,sun Z", "sun-tue 23:00-01:30 -05:30",
           "2026-06-01T00:00Z/2026-12-01T00:00Z", "/2026-07-01T12:00+02:00", "2026-11-11T11:11:11Z/",
           "wed 00:00-24:00 +14:00"]
HOSTS = ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "10.1.2.3", "[2001:db8::7]", "example.org",
         "0.0.0.0", "[::]", "LocalHost", "[::ffff:10.1.2.3]", "[::ffff:127.0.0.1]", "localhost.", "web_1", "-",
         "example..org", "127.1", "0x7f.1", "2130706433", "10.1.2.3.", "1.2.3.4.5", "0x7g", "a b", "x" * 64,
         "x." * 100, "[fe80::1%eth0]", "."]
FORWARDS = ["container:80", "container:1-100", "10.0.0.0/8:80-8080", "2001:db8::/32:81",
            "10.1.2.3:65535", "0.0.0.0/0:8080", "0.0.0.0:81", "127.0.0.1:8080"]
LISTEN_AT = ["localhost", "*", "0.0.0.0", "[::]", "127.0.0.1", "127.9.9.9", "[::1]", "172.18.0.2",
             "[2001:db8::7]", "example.org", "[::ffff:127.0.0.1]", "LocalHost", "x" * 100]
LISTENS = ["container:8080", "container:0", "container:80-81", "0.0.0.0:8080", "0.0.0.0:0", "[::]:80-8080",
           "172.18.0.0/16:1-65535", "[2001:db8::7]:81", "127.0.0.1:65535", "0.0.0.0/0:81", "172.18.0.2:0"]
ROOTS = {"homes": "/srv/homes", "shared": "/srv/shared/here"}
TARGETS = ["web", "web-1", "db", "none", "proc", "7", "x" * 60]
PATTERNS = ["*", "web*", "d?", "none", "x*"]
COMMANDS = [["git-upload-pack", "*"], ["git-receive-pack", "?*"], ["rsync", "--server", "**"],
            ["true"], ["echo", "-?", "a*b"], ["ls", "**"]]


def available():
    """The keys that this build has, by its own schema: "container.pool", and modes as "mode=user"."""
    r = subprocess.run([PROGRAM, "policy", "schema"], capture_output=True, text=True, check=True,
                       timeout=30 * PATIENCE)
    profile = json.loads(r.stdout)["properties"]["profiles"]["additionalProperties"]["properties"]
    keys = {f"{section}.{key}" for section in ("container", "session")
            for key, value in profile[section]["properties"].items() if value is not False}
    return keys | {f"mode={m}" for m in profile["container"]["properties"]["mode"]["enum"]}


AVAILABLE = available()


class Maker:
    """One random policy, and questions to it."""

    def __init__(self, rng):
        self.rng = rng

    def some(self, words, least=1):
        return self.rng.sample(words, self.rng.randint(least, min(3, len(words))))

    def maybe(self, chance=0.3):
        return self.rng.random() < chance

    def container(self):
        c = {}
        choices = {
            "mode": [m for m in ("session", "connection", "user") if f"mode={m}" in AVAILABLE],
            "user": ["1000", "5:7", "2000:0"],
            "workdir": ["/srv", "/home/${user}", "/${target}"], "login_shell": [True, False],
            "read_only_root": [True, False], "stop_grace": ["1s", "250ms", "2m"],
            "network": ["none", "bridge", "tenants", "net-${user}", "${target}"],
            "env": [{"A": "${user}"}, {"B": "b", "A": "x"}, {}],
            "argv": [{"shell": ["/bin/bash", "-l"]}, {"exec": ["/x", "${command}"]}],
            "mounts": [[], [{"tmpfs": "/run", "size": "1M"}],
                       [{"volume": "v-${user}", "to": "/home/${user}"},
                        {"volume": "shared.${target}", "to": "/${target}", "read_only": True}],
                       [{"tmpfs": "/data", "size": "64K"}, {"volume": "vv", "to": "/dat${user}"}],
                       [{"bind": "homes/${user}/x", "to": "/home/${user}"},
                        {"bind": "shared/${target}", "to": "/${target}", "read_only": True}]],
            "dns": [["192.0.2.53"], ["2001:db8::53", "192.0.2.1", "192.0.2.2"], []],
            "runtime": ["runsc", "kata"],
            "data_path": ["auto", "direct", "engine"],
            "limits": [{"memory": "1G"}, {"pids": 77, "cpus": 2.5}, {"swap": "64M", "nofile": 99}],
        }
        for name, values in choices.items():
            if self.maybe():
                c[name] = self.rng.choice(values)
        return c

    def together(self, own):
        """What goes with the rest of a profile only, as the page says."""
        c = own["container"]
        profile = oracle.merge(
            oracle.profile_of({"profiles": self.profiles}, own["extends"])
            if "extends" in own else oracle.DEFAULTS, own)
        whole = profile["container"]
        user = whole["mode"] == "user"
        personal = "${" in json.dumps([whole[k] for k in ("network", "workdir", "mounts")])
        if "container.keep" in AVAILABLE:
            c["keep"] = self.rng.choice(["0", "90s", "8h"]) if user else "0"
        if whole["network"] == "none" and whole["dns"]:
            c["dns"] = []
        if "container.pool" in AVAILABLE:
            c["pool"] = 0 if user or personal else self.rng.choice([0, 1, 64])

    def session(self):
        s = {}
        for name in ("pty", "shell"):
            if self.maybe():
                s[name] = self.maybe(0.5)
        if self.maybe(0.5):
            s["exec"] = self.rng.choice([True, False, self.some(COMMANDS, 0), self.some(COMMANDS)])
        if self.maybe():
            s["subsystems"] = self.rng.choice([{}, {"sftp": True}, {"sftp": "read-only"},
                                               {"sftp": False, "x": ["/x"]}, {"x": ["/x", "-y"]}])
        if self.maybe():
            s["max"] = self.rng.choice(["8h", "90s", "250ms"])
        if self.maybe():
            listens = [l for l in LISTENS if l.startswith(("container:", "127."))] if self.maybe() else LISTENS
            s["forward"] = {"local": self.some(FORWARDS, 0), "remote": self.some(listens, 0),
                            "agent": self.maybe(0.5), "x11": self.maybe(0.5)}
        if "session.idle" in AVAILABLE and self.maybe():
            s["idle"] = self.rng.choice(["20m", "90s", "250ms"])
        if "session.greeting" in AVAILABLE and self.maybe():
            s["greeting"] = self.rng.choice(["Hello ${user}!\n", "${target}", "${user}" * 100])
        if self.maybe():
            s["channels"] = self.rng.randint(1, 64)
        if self.maybe():
            s["env"] = self.some(["TZ", "LC_*", "*"], 0)
        return s

    def conditions(self, nested=False):
        c = {}
        if self.maybe():
            c["user"] = self.some(list(self.users))
        if self.maybe():
            c["group"] = self.some(GROUPS)
        if self.maybe():
            c["from"] = self.some(NETWORKS)
        if self.maybe(0.15):
            c["key"] = [fingerprint(k) for k in self.some(KEYS)]
        if self.maybe(0.15):
            c["auth"] = {"any": self.some(["key", "sk-key"])}
        if self.maybe(0.25):
            c["time"] = self.rng.choice([self.rng.choice(WINDOWS), self.some(WINDOWS)])
        if self.maybe(0.4):
            c["target"] = self.some(PATTERNS)
        if not nested and self.maybe(0.2):
            c["not"] = self.conditions(True) or {"group": ["dev"]}
        return c

    def rule(self, index):
        rule = {"id": f"r{index}", "if": self.conditions()}
        if self.maybe(0.3):
            rule["deny"] = f"Refused by {index}."
            return rule
        rule["use"] = self.rng.choice(list(self.profiles))
        settings = {"container.limits.memory": "300M", "session.pty": False, "container.network": "none",
                    "session.exec": [["id"]], "container.env": {"SET": "${user}"},
                    "container.workdir": "/w", "container.data_path": self.rng.choice(["auto", "direct", "engine"])}
        if self.maybe(0.3):
            rule["set"] = {k: settings[k] for k in self.some(list(settings))}
            if "container.network" in rule["set"]:
                rule["set"]["container.dns"] = []
        # As the page says: who fills in a target asks for one.
        profile = oracle.profile_of({"profiles": self.profiles}, rule["use"])
        for way, value in rule.get("set", {}).items():
            profile = oracle.put(profile, way, value)
        if "${target}" in json.dumps(profile):
            rule["if"].setdefault("target", ["*"])
        return rule

    def policy(self):
        self.users = {}
        for name in self.some(USERS, 1) + self.some(USERS, 1):
            user = {"keys": self.some(KEYS)}
            if self.maybe(0.7):
                user["groups"] = self.some(GROUPS)
            if self.maybe(0.15):
                user["expires"] = self.rng.choice(["2026-06-15T00:00Z", "2099-01-01T00:00:01+01:00"])
            if self.maybe(0.15):
                user["verify_required"] = self.maybe(0.8)
            self.users[name] = user
        self.profiles = {}
        for i in range(self.rng.randint(1, 5)):
            own = {"container": self.container(), "session": self.session()}
            if self.profiles and self.maybe(0.5):
                own["extends"] = self.rng.choice(list(self.profiles))
            own["container"]["image"] = f"debian:{i}"
            self.together(own)
            self.profiles[f"p{i}"] = own
        rules = [self.rule(i) for i in range(self.rng.randint(1, 12))]
        policy = {"sallyport_policy": 1, "users": self.users, "profiles": self.profiles, "rules": rules,
                  "bind_roots": ROOTS, "runtimes": ["kata", "runsc"]}
        if self.maybe(0.5):
            policy["messages"] = {name: f"{name}!" for name in self.some(["refused", "expired"])}
        return policy

    def command(self):
        words = self.rng.choice([["git-upload-pack", "'/a b.git'"], ["git-receive-pack", "x"],
                                 ["rsync", "--server", "-v", ".", "a"], ["true"], ["echo", "-n", "a;b"],
                                 ["id"], ["ls"]])
        line = self.rng.choice([" ", "  ", "\t"]).join(words)
        for _ in range(self.rng.choice([0, 0, 1, 2, 5])):
            at = self.rng.randrange(len(line) + 1)
            line = line[:at] + self.rng.choice(list("'\"\\ \t$`;&|<>()*?[]{}~#!=-ab\n\rä")) + line[at:]
        return line

    def facts(self, keys):
        user = self.rng.choice(USERS)
        f = {"user": user, "auth": self.rng.choice(["key", "sk-key"])}
        if self.maybe(0.4):
            f["user"] += "+" + self.rng.choice(TARGETS)
        if self.maybe(0.8):
            f["from"] = self.rng.choice(ADDRESSES)
        if self.maybe(0.6):
            own = keys.get(user, [])
            f["key"] = fingerprint(self.rng.choice(KEYS)) if self.maybe(0.1) or not own \
                else self.rng.choice(own)
        if self.maybe(0.5) and ("key" in f or f["auth"] == "sk-key"):
            f["verified"] = True
        if self.maybe(0.2):
            f["groups"] = self.some(GROUPS)
        f["time"] = (f"2026-{self.rng.randint(1, 12):02}-{self.rng.randint(1, 28):02}"
                     f"T{self.rng.randint(0, 23):02}:{self.rng.randint(0, 59):02}Z")
        if self.maybe(0.7):
            f["request"] = self.rng.choice(["shell", "exec", "exec", "exec", "subsystem", "forward",
                                            "listen", "listen", "agent", "x11"])
            if f["request"] == "exec":
                f["command"] = self.command()
            if f["request"] == "subsystem":
                f["command"] = self.rng.choice(["sftp", "x", "", "sftp "])
            if f["request"] == "forward":
                f["to"] = self.rng.choice(HOSTS) + ":" + str(self.rng.choice([80, 81, 1, 65535, 8080]))
            elif f["request"] == "listen":
                f["to"] = (self.rng.choice(LISTEN_AT) + ":" +
                           str(self.rng.choice([0, 80, 81, 1, 65535, 8080])))
            elif f["request"] in ("agent", "x11"):
                pass
            elif self.maybe(0.2):
                f["pty"] = True
        return f


def flat(settings, before=""):
    result = {}
    for name, value in settings.items():
        if isinstance(value, dict) and before + name not in ("container.env", "session.subsystems"):
            result.update(flat(value, f"{before}{name}."))
        else:
            result[before + name] = value
    return result


def full_user(text):
    return text if ":" in text else f"{text}:{text}"


def case(policy, facts, keys, index):
    known = dict(facts, keys=keys)
    if "key" in facts:
        of = {fingerprint(k): "sk-key" if k.startswith("sk-") else "key" for k in KEYS}
        known["auth"] = of[facts["key"]]
    rule, profile, message = oracle.decide(policy, known)
    allow, words = (False, None) if profile is None else oracle.judge_request(profile, facts)
    expect = {"allow": allow, "rule": rule, "profile": profile["name"] if profile else "",
              "message": message, "argv": words or []}
    if profile:
        profile["container"]["user"] = full_user(profile["container"]["user"])
        expect["settings"] = {
            k: v for k, v in flat({k: profile[k] for k in ("container", "session")}).items()
            if not isinstance(v, (list, dict))}
    return {"name": str(index), **facts, "expect": expect}


def write(directory, name, value):
    path = f"{directory}/{name}"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False)
    os.chmod(path, 0o600)
    return path


def run(*args):
    r = subprocess.run([PROGRAM, "policy", *args], capture_output=True, text=True,
                       timeout=30 * PATIENCE, check=False)
    assert "Sanitizer" not in r.stderr and "runtime error" not in r.stderr, r.stderr
    return r


def explained(path, c, *more):
    """What is said to the login of a case, and the exit code."""
    args = ["--user", c["user"], "--at", c["time"], *more]
    for option in ("from", "key", "auth"):
        if option in c:
            args += [f"--{option}", c[option]]
    if c.get("verified"):
        args.append("--verified")
    for group in c.get("groups", []):
        args += ["--group", group]
    r = run("explain", "--json", path, *args)
    said = json.loads(r.stdout)
    assert said["rule"] == (c["expect"]["rule"] or None)
    return said, r.returncode


def profile_of_case(policy, c):
    name, _, target = c["user"].partition("+")
    used = next(r for r in policy["rules"] if r["id"] == c["expect"]["rule"])
    profile = oracle.profile_of(policy, used["use"])
    for way, value in used.get("set", {}).items():
        profile = oracle.put(profile, way, value)
    return oracle.filled_in(profile, name, target or None)


def expected_handout(container):
    if container["mode"] == "user":
        return {"source": "user", "keep": container["keep"]}
    return {"source": "pool" if container["pool"] > 0 else "new"}


def compare_listener(path, policy, c):
    """The addresses, in their order."""
    said, code = explained(path, c, "--request", "listen", "--to", c["to"])
    at = oracle.listeners(profile_of_case(policy, c), c["to"])
    assert said.get("listen", []) == at and code == (not at), (c, said["why"])
    return 1 if at else 0


def places_of(body, container):
    """Where the profile's mounts are."""
    return {m["Target"] for m in body["HostConfig"]["Mounts"][len(oracle.own_binds(container)):]}


def compare_whole(path, policy, c):
    """One login in full: every setting, and the engine's request against the guardrails."""
    said, code = explained(path, c)
    if c["expect"]["profile"] == "":
        assert code == 1 and "create" not in said
        return 0
    assert code == 0
    profile = profile_of_case(policy, c)
    assert said["handout"] == expected_handout(profile["container"])
    wanted = flat({k: profile[k] for k in ("container", "session")})
    wanted["container.user"] = full_user(wanted["container.user"])
    found = {s["name"]: s["value"] for s in said["settings"]}
    # What is false is not there.
    wanted["session.subsystems"] = {k: v for k, v in wanted["session.subsystems"].items() if v}
    for m in wanted["container.mounts"]:
        if "tmpfs" not in m:
            m.setdefault("read_only", False)
    order = lambda mounts: sorted(mounts, key=json.dumps)  # noqa: E731
    assert order(found.pop("container.mounts")) == order(wanted.pop("container.mounts"))
    assert found == wanted
    body = said["create"]
    assert oracle.guardrail_faults(body, profile["container"], ROOTS) == []
    assert body["Image"] == profile["container"]["image"]
    assert body["User"] == full_user(profile["container"]["user"])
    assert body["HostConfig"]["ReadonlyRootfs"] == profile["container"]["read_only_root"]
    assert places_of(body, profile["container"]) == \
        {m.get("tmpfs", m.get("to")) for m in profile["container"]["mounts"]}
    return 1


@pytest.mark.timeout(600)
def test_random_policies(tmp_path):
    print(f"SP_TEST_SEED={SEED}")
    make = Maker(random.Random(SEED))
    total = allowed = whole = refusals = listening = 0
    policies = 25 if SANITIZED else 250

    def shows_something():
        """A generator that asks nothing that is ever granted, or ever refused, would show nothing."""
        return allowed > total / 20 and refusals > total / 20 and whole > 0 and listening > 0

    for i in range(10 * policies):
        # What is rare may not be among the first few: its turn comes in more of them.
        if i >= policies and shows_something():
            break
        policy = make.policy()
        keys = {name: [fingerprint(k) for k in u["keys"]] for name, u in policy["users"].items()}
        cases = [case(policy, make.facts(keys), keys, i) for i in range(CASES)]
        path = write(tmp_path, "policy.json", policy)
        r = run("test", "--json", path, "--cases",
                write(tmp_path, "cases.json", {"sallyport_cases": 1, "cases": cases}))
        assert r.returncode in (0, 1), f"seed {SEED}: {r.stderr}\n{json.dumps(policy)}"
        result = json.loads(r.stdout)
        wrong = [c for c in result["cases"] if not c["passed"]]
        assert not wrong, (f"seed {SEED}: {wrong[0]}\n{json.dumps(cases[int(wrong[0]['name'])])}\n"
                           f"{json.dumps(policy)}")
        assert result["passed"] == CASES
        total += CASES
        allowed += sum(c["expect"]["allow"] for c in cases)
        refusals += sum(c["expect"]["rule"] != "" and not c["expect"]["allow"] for c in cases)
        whole += compare_whole(path, policy, cases[0])
        asked = [c for c in cases if c.get("request") == "listen" and c["expect"]["profile"]]
        asked.sort(key=lambda c: not c["expect"]["allow"])
        listening += sum(compare_listener(path, policy, c) for c in asked[:1] + asked[-1:])
    assert shows_something(), (total, allowed, refusals, whole, listening)
    print(f"{total} questions, {allowed} allowed, {refusals} refused by a rule or a profile, "
          f"{whole} compared in full, {listening} listeners by their addresses")


def test_engine_requests_of_real_logins(fresh_broker, engine):
    """A login by each profile, of every kind: what the engine is really asked for, against the guardrails."""
    b = fresh_broker
    image = "sallyport-test/busybox:latest"
    b.policy["profiles"].update(
        busy=plain_profile(image, mode="user", keep="10s"), solo=plain_profile(image, mode="session", dns=[]),
        envs=plain_profile(image, pool=2, limits={"pids": 99}),
        small=plain_profile(image, network="bridge", dns=["192.0.2.53"],
                      mounts=[{"volume": "oracle-${user}", "to": "/data"}, {"tmpfs": "/tmp", "size": "1M"}]))
    b.policy["rules"].insert(0, {"id": "set", "if": {"user": ["dev"]}, "use": "dev",
                                 "set": {"container.limits.memory": "99M", "container.limits.swap": "1M"}})
    fake = FakeEngine(b.dir, engine)
    b.config["engine"]["socket"] = fake.socket
    keys = {name: [fingerprint(k) for k in u["keys"]] for name, u in b.policy["users"].items()}
    try:
        b.start()
        in_nobodys_name, seen = [], set()
        for user in b.policy["users"]:
            b.target.ssh("true", user=user)
        for body in (json.loads(r["body"]) for r in fake.requests() if "/containers/create" in r["path"]):
            user = body["Labels"].get("sallyport.user", "envs")
            in_nobodys_name += [body] if "sallyport.user" not in body["Labels"] else []
            seen.add(user)
            said, asked, _ = oracle.decide(b.policy, {
                "user": user, "from": "127.0.0.1", "auth": "key", "time": "2026-06-15T12:00Z", "keys": keys})
            assert said and asked, f"a container for {user}, whom no rule lets in"
            c = asked["container"]
            assert oracle.guardrail_faults(body, c) == [], (user, body)
            assert body["Image"] == c["image"] and body["User"] == full_user(c["user"])
            assert body["HostConfig"]["PidsLimit"] == c["limits"]["pids"]
            assert places_of(body, c) == {m.get("tmpfs", m.get("to")) for m in c["mounts"]}
        # Those whose profile has no image on the engine are not asked for twice, and nobody is left out.
        assert seen == {u for u in b.policy["users"] if u not in ("refused", "ruleless", "elsewhere")}
        assert len(in_nobodys_name) >= 2
        host = next(json.loads(r["body"])["HostConfig"] for r in fake.requests()
                    if "/containers/create" in r["path"] and '"sallyport.user":"dev"' in r["body"].replace(" ", ""))
        assert (host["Memory"], host["MemorySwap"]) == (99 << 20, 100 << 20)
    finally:
        b.ask("kill", user="busy")  # which would be kept
        b.stop()
        fake.stop()
        engine.run("volume", "rm", "-f", "oracle-small", check=False)


def test_the_oracle_is_heard(tmp_path):
    """An expectation that is wrong in any one point fails its case."""
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEYS[1]]}},
              "profiles": {"p": {"container": {"image": "debian"}, "session": {"exec": [["id"]]}}},
              "rules": [{"id": "r", "use": "p"}]}
    path = write(tmp_path, "policy.json", policy)
    good = {"user": "alice", "request": "exec", "command": "id",
            "expect": {"allow": True, "rule": "r", "profile": "p", "message": "", "argv": ["id"],
                       "settings": {"container.limits.pids": 256}}}
    wrong = [{"allow": False}, {"rule": "x"}, {"profile": ""}, {"message": "m"}, {"argv": []},
             {"argv": ["id", "x"]}, {"settings": {"container.limits.pids": 255}},
             {"settings": {"container.nothing": 1}}]
    cases = [good] + [dict(good, expect=dict(good["expect"], **w)) for w in wrong]
    r = run("test", path, "--cases",
            write(tmp_path, "cases.json", {"sallyport_cases": 1, "cases": cases}))
    assert r.returncode == 1
    lines = r.stdout.splitlines()
    assert [line[:4] for line in lines[:-1]] == ["PASS"] + ["FAIL"] * len(wrong)
    assert lines[-1] == f"1 passed, {len(wrong)} failed"


def test_words_are_those_of_a_shell(tmp_path):
    """Whatever is taken as words gives exactly these words to a real shell, too."""
    rng = random.Random(SEED)
    lines = []
    while len(lines) < (200 if SANITIZED else 2000):
        line = "p " + "".join(rng.choice("'\"\\ \tab=-~#!$;*x") for _ in range(rng.randint(0, 12)))
        if oracle.split(line) is not None:
            lines.append(line)
    policy = {"sallyport_policy": 1, "users": {"alice": {"keys": [KEYS[1]]}},
              "profiles": {"p": {"container": {"image": "debian"},
                                 "session": {"exec": [["p", "**"]]}}},
              "rules": [{"id": "r", "use": "p"}]}
    cases = []
    script = "p() { printf '%s\\0' \"$#\" \"$@\"; }\n" + "\n".join(lines) + "\n"
    out = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, check=True).stdout
    words = iter(out.split("\0")[:-1])
    for line in lines:
        own = [next(words) for _ in range(int(next(words)))]
        cases.append({"user": "alice", "request": "exec", "command": line,
                      "expect": {"allow": True, "argv": ["p"] + own}})
    r = run("test", "--quiet", write(tmp_path, "policy.json", policy), "--cases",
            write(tmp_path, "cases.json", {"sallyport_cases": 1, "cases": cases}))
    assert r.returncode == 0, f"seed {SEED}: {r.stdout}{r.stderr}"
