# SPDX-License-Identifier: Apache-2.0
"""sallyport doctor: what it says of hosts and engines that are well, and of those that are not."""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

import pytest

from kit.broker import BUILD, MISSING_IMAGE, PROGRAM, TREE, profile
from kit.fake_engine import FakeEngine
from kit.hung import hung
from kit.target import PATIENCE

SALLYPORT = f"{BUILD}/admin/sallyport"
STRANGER = 65533  # nobody's


def examine(b, *args):
    """The findings, by check; and the exit code has to fit."""
    r = subprocess.run([SALLYPORT, "doctor", "--json", "--broker", PROGRAM, "--config",
                        f"{b.dir}/broker.json", *args], capture_output=True, text=True, check=False,
                       timeout=120 * PATIENCE)
    findings = json.loads(r.stdout)
    assert r.returncode == any(f["level"] == "error" for f in findings), r.stderr
    by_check = {}
    for f in findings:
        assert f["level"] in ("ok", "note", "warning", "error") and f["text"]
        assert f["level"] in ("ok", "note") or f["advice"], f
        by_check.setdefault(f["check"], []).append(f)
    return by_check


def level(found, check):
    """The worst that is said under this name."""
    order = ["ok", "note", "warning", "error"]
    return max((f["level"] for f in found[check]), key=order.index)


def text(found, check, wanted):
    return " | ".join(f["text"] for f in found[check] if f["level"] == wanted)


def without_missing(b):
    """The policy without the profile whose image is missing on purpose."""
    for part in ("users", "profiles"):
        b.policy[part].pop("lost", None)
    b.policy["rules"] = [r for r in b.policy["rules"] if r["id"] != "lost"]
    return b


def test_all_is_well(fresh_broker):
    b = without_missing(fresh_broker).start()
    found = examine(b)
    errors = [f for fs in found.values() for f in fs if f["level"] == "error"]
    assert errors == []
    for check in ("configuration", "kernel.namespaces", "kernel.pidfd", "kernel.seccomp", "files.guest",
                  "files.host-key", "files.worker", "worker.uids", "engine.api", "engine.responds",
                  "engine.memory", "engine.pids", "policy.image", "broker.running"):
        assert level(found, check) == "ok", found[check]
    assert level(found, "engine.icc") in ("ok", "note", "warning") and "CIS 2.2" in found["engine.icc"][0]["text"]
    r = subprocess.run([SALLYPORT, "doctor", "--broker", PROGRAM, "--config", f"{b.dir}/broker.json"],
                       capture_output=True, text=True, check=False, timeout=120 * PATIENCE)
    assert r.returncode == 0 and r.stdout.splitlines()[-1].startswith("0 errors, ")


def test_terminals_of_this_host(fresh_broker):
    """The number is the kernel's: what doctor says is true of it, on whatever host this is."""
    numbers = {}
    for name in ("max", "reserve"):
        with open(f"/proc/sys/kernel/pty/{name}", encoding="ascii") as f:
            numbers[name] = int(f.read())
    found = examine(without_missing(fresh_broker))
    enough = numbers["max"] - numbers["reserve"] >= 256 * 1024
    assert level(found, "kernel.terminals") == ("ok" if enough else "warning")
    assert enough or "kernel.pty.max=1048576" in found["kernel.terminals"][0]["advice"]


def test_a_reload_that_was_refused(fresh_broker):
    b = without_missing(fresh_broker).start()
    b.policy["rulez"] = []
    b.write()
    assert b.ask("reload")["reloaded"] is False
    found = examine(b)
    assert level(found, "broker.running") == "warning"
    assert "was refused: policy generation 1 stays in force" in text(found, "broker.running", "warning")


def test_broken_files(fresh_broker):
    """The broker does not run here: what is wrong is said all the same."""
    b = without_missing(fresh_broker)
    b.policy["profiles"]["dev"]["container"]["image"] = MISSING_IMAGE
    b.write()
    os.chmod(f"{b.dir}/host_rsa_key", 0o644)
    found = examine(b)
    assert level(found, "files.host-key") == "error"
    assert "host_rsa_key" in text(found, "files.host-key", "error")
    assert MISSING_IMAGE in text(found, "policy.image", "error")
    assert level(found, "broker.running") == "warning" and level(found, "engine.responds") == "ok"
    b.config["listen"] = "everywhere"
    b.write()
    found = examine(b)
    assert level(found, "configuration") == "error" and "engine.api" not in found
    assert "engine are not examined" in text(found, "configuration", "note")
    b.config["listen"] = []
    b.policy["rulez"] = []
    b.write()
    found = examine(b)
    assert level(found, "policy") == "error" and "policy.image" not in found and "engine.api" in found
    assert "is not examined" in text(found, "policy", "note")


def check(b):
    return subprocess.run([PROGRAM, "-t", "-c", f"{b.dir}/broker.json"], capture_output=True, text=True,
                          check=False, timeout=60 * PATIENCE)


@pytest.mark.parametrize("name, finding", [("broker.json", "configuration"), ("policy.json", "policy"),
                                           ("host_ed25519_key", "files.host-key")])
def test_what_root_can_read_and_the_broker_cannot(fresh_broker, name, finding):
    """The state is the broker's user's: root is told what that user would be told at a start."""
    b = without_missing(fresh_broker)
    b.config["audit"] = {"file": "log/audit.log"}
    b.write()
    os.chmod(b.dir, 0o755)
    for directory in ("state", "log"):
        os.mkdir(f"{b.dir}/{directory}", 0o700)
        os.chown(f"{b.dir}/{directory}", STRANGER, STRANGER)
    for path in ("broker.json", "policy.json"):
        os.chmod(f"{b.dir}/{path}", 0o644)
    for path in b.config["host_keys"]:
        os.chown(f"{b.dir}/{os.path.basename(path)}", STRANGER, -1)
    r = check(b)
    assert r.returncode == 0 and f"checked as user uid {STRANGER}, the owner of state_dir {b.dir}/state" in r.stderr, r.stderr
    found = examine(b)
    for one in ("configuration", "policy", "files.host-key", "audit.file"):
        assert level(found, one) in ("ok", "warning") and text(found, one, "ok"), found[one]

    os.chown(f"{b.dir}/{name}", 0, 0)
    os.chmod(f"{b.dir}/{name}", 0o600)
    words = f"{name}: {'error: ' if 'json' in name else ''}Permission denied for uid {STRANGER}, who has to read it"
    r = check(b)
    assert r.returncode == 1 and words in r.stderr, r.stderr
    assert ("chmod 640" if "json" in name else "LoadCredential=") in r.stderr
    found = examine(b)
    assert words.replace("error: ", "") in text(found, finding, "error")
    assert "broker.json can be used" not in text(found, finding, "ok")

    # What is the broker's user's own is fine, as it will be at the start.
    if name == "policy.json":
        os.chown(f"{b.dir}/{name}", STRANGER, -1)
        assert check(b).returncode == 0 and level(examine(b), "policy") != "error"


def test_engine_socket_that_the_broker_may_not_use(fresh_broker):
    """Root may, which says nothing of a broker that is another user."""
    b = without_missing(fresh_broker)
    os.mkdir(f"{b.dir}/state", 0o700)
    b.config["engine"]["socket"] = f"{b.dir}/engine.sock"
    b.write()
    os.chmod(b.dir, 0o755)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f"{b.dir}/engine.sock")
        os.chmod(f"{b.dir}/engine.sock", 0o660)
        assert "is root's alone" in text(examine(b), "files.engine-socket", "ok")
        os.chown(f"{b.dir}/state", STRANGER, STRANGER)
        [found] = examine(b)["files.engine-socket"]
        assert found["level"] == "error" and f"may not be used by user uid {STRANGER}" in found["text"]
        assert "SupplementaryGroups=" in found["advice"]
        # The group that it has, the unit can give.
        os.chown(f"{b.dir}/engine.sock", 0, STRANGER + 1)
        assert level(examine(b), "files.engine-socket") == "note"


def test_host_keys_that_are_not_there_yet(fresh_broker):
    """What the broker makes is nothing to repair, and nothing that can be used either."""
    b = without_missing(fresh_broker)
    b.config["make_host_keys"] = True
    os.unlink(f"{b.dir}/host_ecdsa_key")
    b.write()
    found = examine(b)
    assert level(found, "files.host-key") == "note"
    assert text(found, "files.host-key", "note") == \
        f"host key {b.dir}/host_ecdsa_key is not there yet: the broker makes it at its start"
    assert "ecdsa" not in text(found, "files.host-key", "ok") and not os.path.exists(f"{b.dir}/host_ecdsa_key")
    b.config["host_keys"][1] = "none/host_ecdsa_key"
    b.write()
    found = examine(b)
    assert "none: No such file" in text(found, "files.host-key", "error")
    assert "make its directory" in found["files.host-key"][1]["advice"]
    b.config["host_keys"][1] = "another_rsa_key"
    b.write()
    assert "second one of its type" in text(examine(b), "files.host-key", "error")


@pytest.mark.parametrize("rules, check, words", [
    ([{"path": "^/networks", "action": "hang"}], "engine.responds", "answers a ping and then nothing"),
    ([{"path": "_ping", "action": "hang"}], "engine.reachable", "does not answer"),
    ([{"path": "_ping", "action": "raw", "bytes":
       "HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\nContent-Length: 2\r\n\r\nOK"}], "engine.api", "1.40"),
    ([{"path": "^/info", "action": "lie", "set": {"MemoryLimit": False}}], "engine.memory", "memory"),
    ([{"path": "^/info", "action": "lie", "set": {"SecurityOptions": ["name=seccomp,profile=unconfined"]}}],
     "engine.seccomp", "CIS 5.22"),
    ([{"path": "^/info", "action": "garble"}], "engine.info", "not as it should"),
    ([{"path": "^/info", "action": "lie", "set": {"DefaultRuntime": "runsc"}}], "policy.data-path", '"runsc"'),
    ([{"path": "^/info", "action": "lie", "set": {"Name": "far-away", "MemTotal": 1024}}], "policy.data-path",
     'the engine runs on "far-away"'),
], ids=["locked-up", "hangs", "too-old", "no-memory-limit", "no-seccomp", "garbled", "own-kernel", "elsewhere"])
def test_engine_with_faults(fresh_broker, engine, rules, check, words):
    b = without_missing(fresh_broker)
    b.policy["profiles"]["dev"]["container"]["data_path"] = "direct"
    b.policy["profiles"]["busy"]["container"]["data_path"] = "auto"
    fake = FakeEngine(b.dir, engine)
    try:
        fake.rules(rules)
        b.config["engine"]["socket"] = fake.socket
        b.write()
        found = examine(b)
        assert level(found, check) == "error" and words in text(found, check, "error"), found[check]
        if check == "policy.data-path":
            assert 'profile "dev"' in text(found, check, "error")
            assert 'profile "busy": its data path is "engine": ' in text(found, check, "ok") and \
                words in text(found, check, "ok")
    finally:
        fake.stop()


@pytest.mark.parametrize("minor, used", [(40, None), (41, 41), (43, 43), (44, 44), (53, 44)])
def test_engine_of_another_version(fresh_broker, engine, minor, used):
    """Asked in its own, or in the newest that we know; one that is too old is refused by its version's name."""
    b = without_missing(fresh_broker)
    fake = FakeEngine(b.dir, engine)
    try:
        fake.rules([{"action": "speak", "minor": minor}])
        b.config["engine"]["socket"] = fake.socket
        b.start()
        r = b.target.ssh("echo hello")
        status = b.ask("status")["engine"]
        found = examine(b)
        if used is not None:
            assert r.stdout == b"hello\n", r.stderr
            assert status["state"] == "ok"
            assert text(found, "engine.api", "ok") == f"the engine speaks API 1.{minor}; 1.{used} is used"
        else:
            assert r.returncode == 255 and b"container engine is not responding" in r.stderr
            says = f"the engine speaks API 1.{minor}; at least 1.41 is needed (Docker 20.10)"
            assert status["state"] == "not responding" and says in status["reason"] and says in b.log()
            assert level(found, "engine.api") == "error"
            assert text(found, "engine.api", "error") == \
                f'the engine speaks API "1.{minor}", and at least 1.41 is needed: no container can be made'
            assert found["engine.api"][0]["advice"] == "use Docker 20.10 or newer"
        assert b.stop() == 0
        versions = {q["path"].split("/")[1] for q in fake.requests() if not q["path"].startswith("/_ping")}
        assert versions == ({f"v1.{used}"} if used is not None else set())
    finally:
        fake.stop()


@pytest.mark.parametrize("name", [socket.gethostname(), "another-host"])
def test_apparmor_without_its_parser(fresh_broker, engine, name):
    """Docker's package recommends it; without it each start fails. An engine of another host has its own."""
    b = without_missing(fresh_broker)
    fake = FakeEngine(b.dir, engine)
    here = name == socket.gethostname() and shutil.which("apparmor_parser", path="/usr/sbin:/sbin") is None
    try:
        fake.rules([{"path": "^/info", "action": "lie", "set": {
            "Name": name, "SecurityOptions": ["name=seccomp,profile=default", "name=apparmor"]}}])
        b.config["engine"]["socket"] = fake.socket
        b.write()
        found = examine(b)
        assert level(found, "engine.lsm") == ("error" if here else "ok"), found["engine.lsm"]
        assert ("apparmor_parser is not there" in found["engine.lsm"][0]["text"]) == here
    finally:
        fake.stop()


def test_profiles_that_let_nobody_in(fresh_broker, engine):
    """Each of them passes every other check; what the engine refuses at a login is said before."""
    b = without_missing(fresh_broker)
    b.policy["runtimes"] = ["gone", "runc", "io.containerd.kata.v2"]
    b.policy["bind_roots"] = {"homes": "/srv/sallyport-test-none"}
    mounts = [{"tmpfs": "/tmp", "size": "64M"}]
    for name, container in (
            ("fine", {"runtime": "runc", "mounts": [*mounts, {"tmpfs": "/vv", "size": "1M"}]}),
            ("gone", {"runtime": "gone"}), ("shim", {"runtime": "io.containerd.kata.v2"}),
            ("big", {"limits": {"cpus": 2.5}}),
            ("home", {"mounts": [*mounts, {"bind": "homes/${user}", "to": "/home/me"}]}),
            ("shared", {"mounts": [*mounts, {"bind": "homes/all/of/us", "to": "/us", "read_only": True}]})):
        b.policy["profiles"][name] = profile(**container)
    fake = FakeEngine(b.dir, engine)
    try:
        fake.rules([{"path": "^/info", "action": "lie", "set": {"Runtimes": {"runc": {}}, "NCPU": 2}},
                    {"path": "^/images/", "action": "lie",
                     "set": {"Config.Volumes": {"/tmp": {}, "/vv/": {}}}}])
        b.config["engine"]["socket"] = fake.socket
        b.write()
        found = examine(b)
        assert text(found, "policy.runtime", "ok") == 'profile "fine": the engine has runtime runc'
        assert text(found, "policy.runtime", "error") == \
            'profile "gone": the engine has no runtime gone: its logins fail'
        assert "io.containerd.kata.v2 is a shim" in text(found, "policy.runtime", "note")
        assert text(found, "policy.cpus", "error") == \
            'profile "big": "cpus" is 2.5, and the engine\'s machine has 2: its logins fail'
        undone = text(found, "policy.image-volume", "error")
        assert 'profile "dev"' in undone and "at /vv/, where the profile mounts nothing" in undone
        assert 'profile "fine"' not in undone and "/tmp" not in undone
        assert text(found, "policy.bind", "error").count("/srv/sallyport-test-none does not exist") == 2
    finally:
        fake.stop()


def test_bind_roots(fresh_broker):
    b = without_missing(fresh_broker)
    root = tempfile.mkdtemp(prefix="sallyport-test-", dir="/srv")
    try:
        b.policy["bind_roots"] = {"homes": root}
        b.policy["profiles"]["home"] = profile(mounts=[{"bind": "homes/${user}", "to": "/home/me"}])
        b.write()
        assert text(examine(b), "policy.bind", "ok") == f'profile "home": {root} can be mounted'
        os.chown(root, 1234, 0)
        os.mkdir(f"{root}/all")
        b.policy["profiles"]["home"]["container"]["mounts"][0]["bind"] = "homes/all"
        b.write()
        # The broker has no capability to look into it.
        assert "all: Permission denied" in text(examine(b), "policy.bind", "error")
        os.chmod(root, 0o755)
        assert "could be replaced by others" in text(examine(b), "policy.bind", "error")
        os.chown(root, 0, 0)
        b.config["engine"]["call_timeout"] = "1s"
        b.write()
        with hung(f"{root}/all"):
            assert "all: its file system does not answer" in text(examine(b), "policy.bind", "error")
        assert text(examine(b), "policy.bind", "ok") == f'profile "home": {root}/all can be mounted'
    finally:
        shutil.rmtree(root)


def test_who_may_not_ask_the_broker(fresh_broker):
    """It runs, and who cannot know says nothing of it."""
    b = without_missing(fresh_broker).start()
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    if subprocess.run(["test", "-x", SALLYPORT, "-a", "-x", PROGRAM], check=False, **nobody).returncode != 0:
        pytest.skip("others cannot run what was built here")
    r = subprocess.run([SALLYPORT, "doctor", "--json", "--broker", PROGRAM, "--config", f"{b.dir}/none.json",
                        "--socket", f"{b.dir}/run/control.sock"], capture_output=True, text=True,
                       check=False, timeout=120 * PATIENCE, **nobody)
    [of_broker] = [f for f in json.loads(r.stdout) if f["check"] == "broker.running"]
    assert of_broker["level"] == "note" and "control.group may" in of_broker["text"], of_broker
    assert "nobody can log in" not in r.stdout
    of_file, left_out = [f for f in json.loads(r.stdout) if f["check"] == "configuration"]
    assert left_out["level"] == "note" and "are not examined" in left_out["text"]
    assert of_file["text"] == f"{b.dir}/none.json: No such file or directory [E-file]"
    assert "let the file be there" in of_file["advice"]


def test_advice_has_the_words_to_write(fresh_broker):
    b = without_missing(fresh_broker)
    b.write()
    advice = " | ".join(f["advice"] or "" for f in examine(b)["policy"])
    assert "NAME@sha256:DIGEST" in advice and "pulled from a registry" in advice
    [words] = {line for line in advice.split(" | ") if "these are the defaults: " in line}
    words = json.loads("{" + words.partition("these are the defaults: ")[2] + "}")
    for one in b.policy["profiles"].values():
        one["container"].setdefault("limits", {})
        one["container"]["limits"] = dict(words["container"]["limits"], **one["container"]["limits"])
    b.write()
    assert "these are the defaults" not in str(examine(b)["policy"])


def test_the_page_names_every_check():
    names = set()
    for path in (*glob.glob(f"{TREE}/broker/doctor*.c"), f"{TREE}/admin/doctor.c"):
        with open(path, encoding="utf-8") as f:
            names |= set(re.findall(
                r'"((?:audit|broker|engine|files|kernel|policy|worker)\.[a-z-]{2,})"', f.read()))
    with open(f"{TREE}/admin/sallyport.1", encoding="utf-8") as f:
        page = f.read()
    assert len(names) > 30
    assert [n for n in sorted(names) if not re.search(rf"{re.escape(n)}(?![a-z-])", page)] == []


def test_engine_is_not_there(fresh_broker):
    b = without_missing(fresh_broker)
    b.config["engine"]["socket"] = f"{b.dir}/nobody.sock"
    b.write()
    found = examine(b)
    assert level(found, "engine.reachable") == level(found, "files.engine-socket") == "error"
    assert "nobody.sock: No such file" in text(found, "files.engine-socket", "error")
    assert "policy.image" not in found
    # A broker that runs has its own reason, as another user may have another.
    b.start()
    assert "engine not responding: ping: cannot connect to the engine's socket" in \
        text(examine(b), "broker.running", "error")


@pytest.mark.parametrize("plugins", [[], None, ["opa", "\x1b]0;x\x07" + "long" * 100]])
def test_authorization_plugins(fresh_broker, engine, plugins):
    b = without_missing(fresh_broker)
    fake = FakeEngine(b.dir, engine)
    try:
        fake.rules([{"path": "^/info", "action": "lie", "set": {"Plugins": {"Authorization": plugins}}}])
        b.config["engine"]["socket"] = fake.socket
        b.write()
        found = examine(b)["engine.authorization"]
        assert {f["level"] for f in found} == {"note"} and "CIS 2.12" in found[0]["text"]
        assert len(found) == len(plugins or [1])
        assert not plugins or ("plugin opa" in found[0]["text"] and len(found[1]["text"]) < 300)
        r = subprocess.run([SALLYPORT, "doctor", "--broker", PROGRAM, "--config", f"{b.dir}/broker.json"],
                           capture_output=True, text=True, check=False, timeout=120 * PATIENCE)
        assert "\x1b" not in r.stdout
    finally:
        fake.stop()


# ----- the audit log -----

def test_no_audit_log(fresh_broker):
    b = without_missing(fresh_broker)
    b.config.pop("audit")
    b.write()
    found = examine(b)
    assert level(found, "audit.file") == "note" and "audit.room" not in found


def nowhere(b, log):
    del log
    b.config["audit"]["file"] = "not/there/audit.log"


def a_link(b, log):
    os.rename(log, f"{b.dir}/elsewhere")
    os.symlink(f"{b.dir}/elsewhere", log)


def two_names(b, log):
    os.link(log, f"{b.dir}/again")


def writable(b, log):
    os.chmod(log, 0o620)
    del b


def somebody_elses(b, log):
    os.chown(log, 1234, 0)
    del b


def a_directory(b, log):
    os.unlink(log)
    os.mkdir(log)
    del b


@pytest.mark.parametrize("spoil, words", [
    (nowhere, "No such file"), (a_link, "not a regular file"), (two_names, "another name"),
    (writable, "written by group"), (somebody_elses, "another user"), (a_directory, "not a regular file"),
], ids=lambda v: getattr(v, "__name__", ""))
def test_audit_log_that_the_broker_would_not_take(fresh_broker, spoil, words):
    """What doctor calls an error is one: the broker does not start."""
    b = without_missing(fresh_broker)
    b.start()
    b.stop()
    found = examine(b)
    assert level(found, "audit.file") == level(found, "audit.readers") == "ok", found["audit.file"]
    spoil(b, f"{b.dir}/audit.log")
    b.write()
    found = examine(b)
    assert words in text(found, "audit.file", "error"), found["audit.file"]
    with pytest.raises(AssertionError):
        b.start()
    assert "audit log" in b.log()


def test_who_can_read_the_audit_log(fresh_broker):
    b = without_missing(fresh_broker)
    directory = f"{b.dir}/audit"
    log = f"{directory}/audit.log"
    os.mkdir(directory, 0o755)
    b.config["audit"]["file"] = log
    b.start()
    b.stop()
    for mode, wanted, words in ((0o644, "warning", "everybody on this host"), (0o640, "note", "group"),
                                (0o600, "ok", "only its owner")):
        os.chmod(log, mode)
        found = examine(b)
        assert words in text(found, "audit.readers", wanted), found["audit.readers"]
        assert level(found, "audit.file") == "ok"
    os.chmod(log, 0o644)
    os.chmod(directory, 0o700)
    assert level(examine(b), "audit.readers") == "ok", "nobody else gets to it"
    os.chmod(directory, 0o777)
    found = examine(b)
    assert "in its place" in text(found, "audit.file", "warning")


@pytest.mark.parametrize("size, options, required, wanted, words", [
    ("64k", "", True, "ok", ""), ("64k", "full", True, "error", "nobody is let in"),
    ("64k", "full", False, "warning", "not written down"),
    ("64m", "", True, "warning", "nobody is let in"), ("64m", "ro", True, "error", "read only")])
def test_room_for_the_audit_log(fresh_broker, size, options, required, wanted, words):
    b = without_missing(fresh_broker)
    directory = f"{b.dir}/audit"
    os.mkdir(directory)
    if size == "64k" and not options:
        directory = b.dir  # the host's own
    else:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", directory], check=True)
    b.config["audit"] = {"file": f"{directory}/audit.log", "required": required}
    b.write()
    try:
        if options == "ro":
            subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
        found = examine(b)
        room = os.statvfs(directory)
        if wanted == "ok" and room.f_bavail * room.f_frsize < 256 << 20:
            wanted = "warning"
        assert level(found, "audit.room") == wanted, found["audit.room"]
        assert words in text(found, "audit.room", wanted)
        assert level(found, "audit.file") == ("error" if options == "ro" else "ok")
    finally:
        if directory != b.dir:
            subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("says", [
    "yes", "yes '{\"findings\": [], '", "head -c 5000000 /dev/zero", "printf '{\"findings\": [] '", "true",
    "echo '{\"findings\": 1}'", "echo '[]'"])
def test_a_program_that_says_anything(tmp_path, says):
    """What runs in the broker's place is read up to a bound, and is no finding."""
    program = tmp_path / "broker"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    r = subprocess.run(["prlimit", f"--as={256 << 20}", SALLYPORT, "doctor", "--broker", str(program)],
                       capture_output=True, text=True, check=False, timeout=20 * PATIENCE)
    assert r.returncode == 2 and "this host was not examined" in r.stderr


def test_wrong_usage():
    for args in (["x"], ["--nonsense"], ["--broker", "/bin/false"]):
        r = subprocess.run([SALLYPORT, "doctor", *args], capture_output=True, text=True, check=False,
                           timeout=20 * PATIENCE)
        assert r.returncode == 2
