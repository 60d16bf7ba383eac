# SPDX-License-Identifier: Apache-2.0
"""The package and its units, on a Debian that has booted systemd: no part of it is played."""
import hashlib
import json
import re
import subprocess
import time

import pytest

from kit.broker import TREE
from kit.machine import IMAGE, Machine, build_package
from kit.podman import files as podman_files
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.timeout(400)

UNITS = ["sallyport.service", "sallyport.socket", "sallyport-spawner.socket",
         "sallyport-spawner@.service"]
# In tenths. What each point of it is for is said in systemd/README.md.
EXPOSURE = {"sallyport.service": 7, "sallyport-spawner@.service": 18}
CONFIG = {"host_keys": ["credential:host_ed25519_key"], "policy": "policy.json",
          # What the broker itself does about a flood is another test's matter.
          "limits": {"drain": "20s", "per_source": {"exempt": ["127.0.0.1"]}}, "audit": {"file": "/var/log/sallyport/audit.log"}}
# Shorter than as shipped, so that the tests are: the manager's patience with a broker that hangs, and
# with one that stops, which has to ask for more.
DROP_IN = "[Service]\nWatchdogSec=4\nTimeoutStopSec=1\nRestartSec=200ms\n"
POLICY, CONFIGURATION = "/etc/sallyport/policy.json", "/etc/sallyport/broker.json"


@pytest.fixture(scope="module")
def package():
    return build_package()


@pytest.fixture(scope="module")
def machine(engine, package):
    """Installed, set up by hand as the README says, and switched on."""
    m = Machine(engine)
    try:
        m.boot()
        m.install(package)
        m.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
        m.sh("echo 127.0.0.1 $(cut -d' ' -f1,2 /etc/sallyport/host_ed25519_key.pub)"
             " >/root/.ssh/known_hosts")
        m.put_json(CONFIGURATION, CONFIG)
        m.put_json(POLICY, policy(m))
        m.sh("mkdir -p /run/systemd/system/sallyport.service.d")
        m.put("/run/systemd/system/sallyport.service.d/test.conf", DROP_IN)
        m.run("systemctl", "daemon-reload")
        yield m
    finally:
        m.close()


def answers(m):
    """After a flood others may be served first, and some be turned away."""
    wait_for(lambda: m.ssh("echo fine").stdout == "fine\n", 40 * PATIENCE,
             f"a login works; the journal:\n{m.journal()}")


def policy(m, users=("dev",)):
    key = m.out("cat", "/root/.ssh/id_ed25519.pub")
    return {
        "sallyport_policy": 1,
        "users": {name: {"keys": [key]} for name in ("dev", "late")},
        "profiles": {"p": {"container": {"image": IMAGE, "user": "1000:1000",
                                         "workdir": "/home/dev", "stop_grace": "1s"}}},
        "rules": [{"id": "r", "if": {"user": list(users)}, "use": "p"}],
    }


@pytest.fixture
def service(machine):
    """The service answers, before the test and after it, and then nothing of a session is left."""
    machine.run("systemctl", "start", "sallyport.socket", "sallyport.service", seconds=60)
    yield machine
    machine.run("systemctl", "start", "sallyport.socket", "sallyport.service", seconds=60)
    answers(machine)
    wait_for(lambda: not machine.containers(), 30 * PATIENCE, "the containers are gone")


# ----- as installed -----

def test_nothing_is_switched_on_by_the_package(machine):
    """Port 22 has an owner on most hosts."""
    for unit in ("sallyport.socket", "sallyport.service"):
        assert machine.run("systemctl", "is-enabled", unit, check=False).stdout == "disabled\n"
        assert machine.show(unit, "ActiveState") == "inactive"


def test_units_are_correct(machine):
    r = machine.run("systemd-analyze", "verify", "--man=no",
                    *(u.replace("@.", "@x.") for u in UNITS))
    assert r.stdout + r.stderr == ""


@pytest.mark.parametrize("unit", EXPOSURE)
def test_exposure(machine, unit):
    """As systemd counts it; the bound is exact, so that a lost line of the unit is noticed."""
    name = unit.replace("@.", "@x.")
    r = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager",
                    f"--threshold={EXPOSURE[unit]}", f"/lib/systemd/system/{name.replace('@x.', '@.')}",
                    check=False)
    print(r.stdout[-400:])
    assert r.returncode == 0, r.stdout
    over = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager",
                       f"--threshold={EXPOSURE[unit] - 1}", f"/lib/systemd/system/{unit}",
                       check=False)
    assert over.returncode != 0, "it has become better: lower the bound"


def test_files_of_the_package(machine):
    """The key is root's; the policy is readable for the broker and for nobody else."""
    modes = machine.out("stat", "-c", "%a %U %G %n", POLICY, CONFIGURATION,
                        "/etc/sallyport/host_ed25519_key", "/var/lib/sallyport")
    assert modes.splitlines() == [
        f"640 root sallyport {POLICY}", f"644 root root {CONFIGURATION}",
        "600 root root /etc/sallyport/host_ed25519_key", "700 sallyport sallyport /var/lib/sallyport"]
    for user, path in (("sallyport", "/etc/sallyport/host_ed25519_key"),
                       ("sallyport-spawner", POLICY), ("sallyport-net", POLICY)):
        r = machine.run("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "cat",
                        path, check=False)
        assert "Permission denied" in r.stderr, (user, path)
    # By hand, outside of the unit, the rest can be checked.
    r = machine.run("sallyport-broker", "-t")
    assert "is not checked" in r.stderr and "configuration and policy are fine" in r.stderr


# ----- started -----

def test_first_connection_starts_it(machine):
    machine.run("systemctl", "enable", "--now", "sallyport.socket")
    assert machine.show("sallyport.service", "ActiveState") == "inactive"
    assert machine.pids("sallyportd") == []
    r = machine.ssh("id -u; exit 7")
    assert (r.stdout, r.returncode) == ("1000\n", 7), r.stderr + machine.journal()
    assert machine.show("sallyport.service", "ActiveState") == "active"
    assert "policy generation 1, engine ok" in machine.show("sallyport.service", "StatusText")


def test_rights_of_each_process(service):
    """What the kernel says of the processes that the units have started."""
    broker, [spawner] = service.main_pid(), [
        p for p in service.pids("sp-spawner")
        if service.status(p)["CapEff"] != f"{1 << 5:016x}"]
    wait_for(lambda: len(service.pids("sallyportd")) == 2, 20 * PATIENCE, "two workers wait")
    ids = {name: service.out("id", "-u", name) for name in ("sallyport", "sallyport-spawner")}
    s = service.status(broker)
    assert s["Uid"].split() == [ids["sallyport"]] * 4
    assert set(s["Groups"].split()) == {service.out("id", "-g", "sallyport"),
                                        service.out("stat", "-c", "%g", "/run/docker.sock")}
    for caps in ("CapPrm", "CapEff", "CapBnd"):
        assert int(s[caps], 16) == 1 << 5, "CAP_KILL and no other"
    assert (s["Seccomp"], s["NoNewPrivs"], int(s["CapAmb"], 16)) == ("2", "1", 0)

    s = service.status(spawner)
    assert s["Uid"].split() == [ids["sallyport-spawner"]] * 4
    assert s["Groups"] == ""
    assert int(s["CapBnd"], 16) == int(s["CapEff"], 16) == 1 << 6 | 1 << 7 | 1 << 23, \
        "SETGID, SETUID, SYS_NICE"
    # A worker that waits for somebody is below who has logged in, and will be raised then.
    assert {service.out("ps", "-o", "ni=", "-p", str(p)).strip() for p in service.pids("sallyportd")} == {"19"}
    assert (s["Seccomp"], s["NoNewPrivs"]) == ("2", "1")

    [binds] = service.pids("sp-binds")
    s = service.status(binds)
    assert s["Uid"].split() == [ids["sallyport"]] * 4
    assert int(s["CapPrm"], 16) == 1 << 5 and int(s["CapAmb"], 16) == 0, "CAP_KILL, without kill(2)"
    assert (s["Seccomp"], s["NoNewPrivs"]) == ("2", "1")

    own = [service.status(p) for p in service.pids("sallyportd")]
    assert len({w["Uid"] for w in own}) == 2, "a uid for each"
    for w in own:
        assert int(w["Uid"].split()[0]) >= 1900000000
        assert w["Groups"] == ""
        assert all(int(w[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
        assert (w["Seccomp"], w["NoNewPrivs"]) == ("2", "1")


def test_namespaces_of_each_process(service):
    broker, workers = service.main_pid(), service.pids("sallyportd")
    [spawner] = {int(service.status(w)["PPid"]) for w in workers}

    def links(pid):
        names = ("net", "mnt", "ipc", "uts", "pid", "user")
        text = service.out("readlink", *(f"/proc/{pid}/ns/{name}" for name in names))
        return dict(zip(names, text.splitlines()))

    init, own = links(1), [links(p) for p in workers]
    for name, link in init.items():
        assert all(w[name] != link for w in own), f"{name} is shared with the host"
        assert len({w[name] for w in own}) == len(own), f"{name} is shared by workers"
    for pid in workers:
        assert service.out("ls", "-A", f"/proc/{pid}/root/") == ""
    for pid in (broker, spawner):
        devices = service.out("cat", f"/proc/{pid}/net/dev").splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    # The engine's socket, the keys and the containers' sockets are not in the spawner's view.
    for path in ("/run/docker.sock", "/run/sallyport", "/run/credentials", "/var/lib/sallyport"):
        assert service.out("stat", "-c", "%a", f"/proc/{spawner}/root{path}") == "0", path


def test_host_key_is_a_credential(service):
    """The key of root's file is what clients see, and the unit's directory is where it is read."""
    [seen] = [line.split()[1:] for line in service.out("ssh-keyscan", "-t", "ed25519", "127.0.0.1").splitlines()
              if not line.startswith("#")]
    assert seen == service.out("cat", "/etc/sallyport/host_ed25519_key.pub").split()[:2]
    r = service.run("setpriv", "--reuid=sallyport-spawner", "--clear-groups", "ls",
                    "/run/credentials/sallyport.service", check=False)
    assert "Permission denied" in r.stderr


def test_bytes_go_straight_through(service):
    data = bytes(range(256)) * 40000
    r = subprocess.run(service.ssh_argv("sha256sum"), input=data, capture_output=True,
                       timeout=60 * PATIENCE, check=True)
    assert r.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_memory_that_has_run_out_is_told(service):
    """The kernel's counter of a container is in the unit's view."""
    changed = policy(service)
    changed["profiles"]["p"]["container"]["limits"] = {"memory": "48M", "swap": "0"}
    try:
        service.put_json(POLICY, changed)
        service.run("systemctl", "reload", "sallyport")
        assert service.ssh("dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?").stdout == "137\n"
        wait_for(lambda: "the memory limit of 48M was reached" in service.journal(), 20 * PATIENCE, "it is told")
        assert '"event":"container.oom"' in service.out("cat", "/var/log/sallyport/audit.log")
    finally:
        service.put_json(POLICY, policy(service))
        service.run("systemctl", "reload", "sallyport")


# ----- reload -----

def test_reload(service):
    """The new policy is in force when systemctl returns; a session goes on."""
    p = subprocess.Popen(service.ssh_argv("echo up; read x; echo $x"), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    assert service.ssh("true", user="late").returncode == 255
    pid = service.main_pid()
    service.put_json(POLICY, policy(service, ["dev", "late"]))
    service.run("systemctl", "reload", "sallyport")
    wait_for(lambda: service.ssh("echo now", user="late").stdout == "now\n", 10 * PATIENCE,
             "the new policy is in force")
    assert service.main_pid() == pid
    assert service.show("sallyport.service", "ActiveState") == "active"
    assert p.communicate(b"unharmed\n", timeout=20 * PATIENCE)[0] == b"unharmed\n"


def test_reload_of_a_broken_policy(service):
    """Said by systemctl itself, with the place; the old policy stays."""
    good = policy(service)
    service.put_json(POLICY, {**good, "rules": [{"id": "r", "use": "no-such-profile"}]})
    try:
        r = service.run("systemctl", "reload", "sallyport", check=False)
        assert r.returncode != 0
        assert "policy.json:" in service.journal() and "no-such-profile" in service.journal()
        assert service.ssh("echo still").stdout == "still\n"
        # Also a signal that does not ask first leaves the old one in force.
        service.run("systemctl", "kill", "-s", "HUP", "--kill-who=main", "sallyport")
        wait_for(lambda: "not reloaded" in service.journal(), 10 * PATIENCE, "it was tried")
        assert service.ssh("echo still").stdout == "still\n"
    finally:
        service.put_json(POLICY, good)
    service.run("systemctl", "reload", "sallyport")


@pytest.mark.parametrize("path, owner, mode, reader", [
    (POLICY, "root:root", "600", "sallyport"), (CONFIGURATION, "root:sallyport", "640", "sallyport-spawner"),
    (CONFIGURATION, "root:root", "600", "sallyport-spawner")])
def test_files_that_root_can_read_and_the_units_cannot(service, path, owner, mode, reader):
    """Told before a start fails of it, to root who asks."""
    before = service.out("stat", "-c", "%U:%G %a", path).split()
    try:
        service.run("chown", owner, path)
        service.run("chmod", mode, path)
        words = f"Permission denied for user {reader} (uid {service.out('id', '-u', reader)}), who has to read it"
        r = service.run("sallyport-broker", "-t", check=False)
        assert r.returncode == 1 and f"{path}: error: {words}" in r.stderr, r.stderr
        r = service.run("sallyport", "doctor", check=False)
        assert r.returncode == 1 and f"{path}: {words}" in r.stdout, r.stdout
    finally:
        service.run("chown", before[0], path)
        service.run("chmod", before[1], path)
    r = service.run("sallyport-broker", "-t")
    assert "checked as user sallyport, the owner of state_dir" in r.stderr


@pytest.mark.parametrize("change, said, drop_in", [
    ({"control": {"group": "adm"}}, r"cannot give /run/sallyport/control.sock to gid [0-9]+, the group of control.group: "
     r".*SupplementaryGroups=, and SystemCallFilter=chown", "SupplementaryGroups=adm\nSystemCallFilter=chown\n"),
    ({"audit": {"file": "/srv/log/audit.log"}}, "cannot open the audit log /srv/log/audit.log: Read-only file system; "
     ".*ReadWritePaths=", "ReadWritePaths=/srv/log\n"),
], ids=["control-group", "audit-elsewhere"])
def test_what_the_unit_has_to_allow_is_said(service, change, said, drop_in):
    """By the broker that does not start; and what it says is enough."""
    path = "/run/systemd/system/sallyport.service.d/more.conf"
    try:
        service.run("install", "-d", "-o", "sallyport", "-m", "700", "/srv/log")
        service.put_json(CONFIGURATION, {**CONFIG, **change})
        assert service.run("systemctl", "restart", "sallyport", check=False).returncode != 0
        wait_for(lambda: re.search(said, service.journal()), 10 * PATIENCE, "it is said")
        service.put(path, "[Service]\n" + drop_in)
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "restart", "sallyport")
        assert service.ssh("echo fine").stdout == "fine\n"
    finally:
        service.run("rm", "-rf", path, "/srv/log")
        service.run("systemctl", "daemon-reload")
        service.put_json(CONFIGURATION, CONFIG)
        service.run("systemctl", "restart", "sallyport")


@pytest.mark.parametrize("more", ["", "SystemCallFilter=~setns unshare\n"], ids=["as-said", "own-filter"])
def test_where_users_may_not_make_user_namespaces(service, more):
    """The capabilities that systemd/README.md names are enough, and workers are as much alone as with their own."""
    directory = "/run/systemd/system/sallyport-spawner@.service.d"
    path = f"{directory}/admin.conf"
    with open(f"{TREE}/systemd/README.md", encoding="utf-8") as f:
        capabilities = re.search(r"CapabilityBoundingSet=([A-Z_\s]+)`", f.read()).group(1).split()
    init = service.out("readlink", "/proc/1/ns/user", "/proc/1/ns/net").split()
    try:
        service.run("mkdir", directory)
        service.put(path, "[Service]\nRestrictNamespaces=~user\n")
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "restart", "sallyport", check=False)
        assert service.ssh("echo never").returncode == 255
        service.put(path, "[Service]\nRestrictNamespaces=~user\n" + more +
                    f"CapabilityBoundingSet={' '.join(capabilities)}\nAmbientCapabilities={' '.join(capabilities)}\n")
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "restart", "sallyport")
        for n in range(4):
            assert service.ssh(f"echo {n}").stdout == f"{n}\n"
        workers = wait_for(lambda: len(p := service.pids("sallyportd")) == 2 and p, 20 * PATIENCE, "two workers wait")
        links = [service.out("readlink", f"/proc/{p}/ns/user", f"/proc/{p}/ns/net").split() for p in workers]
        assert {user for user, _ in links} == {init[0]}
        assert len({net for _, net in links} | {init[1]}) == 3, "a network is shared"
        for p in workers:
            s = service.status(p)
            assert all(int(s[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
            assert s["Uid"].split() == s["Gid"].split() and int(s["Uid"].split()[0]) >= 1900000000
            assert service.out("ls", "-A", f"/proc/{p}/root/") == ""
    finally:
        service.run("rm", "-r", directory)
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "restart", "sallyport")


def test_the_kernel_is_asked_about_containers(service):
    """As shipped; and where a drop-in hides them, that is said, and the engine is believed."""
    path = "/run/systemd/system/sallyport.service.d/hidden.conf"
    linked = "sallyport-test/linked:latest"
    container = service.out("docker", "create", "--network", "none", "--user", "0", "--entrypoint", "/bin/busybox", IMAGE,
                            "ln", "-s", "/var", "/.sallyport")
    service.run("docker", "start", "-a", container)
    service.run("docker", "commit", container, linked)
    service.run("docker", "rm", container)
    changed = policy(service)
    changed["profiles"]["p"]["container"]["image"] = linked
    try:
        service.put_json(POLICY, changed)
        service.run("systemctl", "restart", "sallyport")
        assert service.ssh("echo never").returncode == 255
        assert "not confined as asked: nothing is mounted at /.sallyport" in service.journal()
        service.put(path, "[Service]\nProtectProc=invisible\n")
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "restart", "sallyport")
        assert service.ssh("echo trusting").stdout == "trusting\n"
        assert "users' processes are hidden from the broker" in service.journal()
    finally:
        service.run("rm", "-f", path)
        service.run("systemctl", "daemon-reload")
        service.put_json(POLICY, policy(service))
        service.run("systemctl", "restart", "sallyport")
        service.run("docker", "rmi", "-f", linked)


def test_audit_log_is_opened_anew(service):
    """The broker may not open files for writing, and its spawner may not see this one."""
    log = "/var/log/sallyport/audit.log"
    service.run("mv", log, f"{log}.1")
    service.run("systemctl", "reload", "sallyport")
    wait_for(lambda: service.run("test", "-e", log, check=False).returncode == 0, 10 * PATIENCE,
             "there is a new log")
    assert service.ssh("true").returncode == 0
    events = [json.loads(line) for line in service.out("cat", log).splitlines()]
    assert "login" in {e["event"] for e in events}
    assert service.out("stat", "-c", "%a %U", log) == "600 sallyport"


def test_audit_log_is_rotated(service):
    """The package's own file, by the real program, also while the policy has an error."""
    log, conf = "/var/log/sallyport/audit.log", "/etc/logrotate.d/sallyport"
    r = service.run("logrotate", "-d", conf)
    assert "error" not in r.stderr.lower(), r.stderr
    service.run("rm", "-f", f"{log}.1")
    good = service.out("cat", POLICY)
    service.put(POLICY, "{")
    try:
        assert service.ssh("true").returncode == 0
        service.run("logrotate", "-f", conf)
        wait_for(lambda: service.run("test", "-e", log, check=False).returncode == 0, 10 * PATIENCE,
                 "there is a new log")
        assert service.ssh("true").returncode == 0
    finally:
        service.put(POLICY, good)
    service.run("systemctl", "reload", "sallyport")
    assert "login" in service.out("cat", log)
    for path in (log, f"{log}.1"):
        assert service.out("stat", "-c", "%a %U", path) == "600 sallyport"
    # Not running, it is not started by this either.
    service.run("systemctl", "stop", "sallyport.socket", "sallyport.service", seconds=60)
    service.run("logrotate", "-f", conf)
    assert service.show("sallyport.service", "ActiveState") == "inactive"


# ----- the ends -----

def restarted(m, pid):
    wait_for(lambda: m.main_pid() not in (0, pid), 60 * PATIENCE, "the manager starts another")
    wait_for(lambda: m.show("sallyport.service", "ActiveState") == "active", 60 * PATIENCE,
             "it is ready")


def test_broker_that_hangs(service):
    """A process that was stopped does not say that it is alive, and takes no signal but one."""
    pid = service.main_pid()
    service.run("kill", "-STOP", str(pid))
    restarted(service, pid)
    assert "watchdog" in service.out("journalctl", "--no-pager", "-o", "cat", "-u",
                                     "sallyport.service").lower()


def test_spawner_that_hangs(service):
    """A broker that could serve nobody any more does not call itself well."""
    pid = service.main_pid()
    [spawner] = {int(service.status(w)["PPid"]) for w in service.pids("sallyportd")}
    service.run("kill", "-STOP", str(spawner))
    service.ssh("true")
    restarted(service, pid)
    assert "the spawner does not answer" in service.journal(200)
    assert service.ssh("echo again").stdout == "again\n"
    service.run("kill", "-CONT", str(spawner))
    wait_for(lambda: spawner not in service.pids("sp-spawner"), 20 * PATIENCE,
             "it ends when it hears that its broker has gone")


@pytest.mark.parametrize("what", ["broker", "spawner"])
def test_killed(service, what):
    """Sessions end, the service comes back, and nothing of before is left."""
    p = subprocess.Popen(service.ssh_argv("echo up; sleep 1000"), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    before = service.pids("sallyportd")
    pid = service.main_pid()
    [spawner] = {int(service.status(w)["PPid"]) for w in before}
    service.run("kill", "-KILL", str(pid if what == "broker" else spawner))
    assert p.wait(30 * PATIENCE) == 255
    restarted(service, pid)
    wait_for(lambda: not set(service.pids("sallyportd")) & set(before), 20 * PATIENCE,
             "the workers of before have ended")
    wait_for(lambda: not service.containers(), 30 * PATIENCE, "their containers are gone")


def test_stop_waits_for_sessions(service):
    """Longer than the manager would by itself: the broker knows limits.drain and asks for it."""
    p = subprocess.Popen(service.ssh_argv("echo up; sleep 4; echo done"), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    begin = time.monotonic()
    service.run("systemctl", "stop", "sallyport.socket", "sallyport.service", seconds=60)
    assert p.communicate(timeout=10)[0] == b"done\n"
    assert p.returncode == 0
    assert 2 < time.monotonic() - begin < 20 * PATIENCE
    assert service.show("sallyport.service", "Result") == "success"
    assert service.containers() == []
    wait_for(lambda: service.pids("sallyportd") + service.pids("sp-spawner") == [], 10 * PATIENCE,
             "spawner and workers have ended with it")


def flood(m, n):
    """n connections as fast as a shell makes them; how many of them found a listening socket."""
    r = m.sh(f"ok=0; for i in $(seq {n}); do if exec {{fd}}<>/dev/tcp/127.0.0.1/22; then"
             " ok=$((ok + 1)); exec {fd}>&-; fi; done 2>/dev/null; echo $ok", seconds=60)
    return int(r.stdout)


def starts(m):
    journal = m.out("journalctl", "--no-pager", "-o", "cat", "-u", "sallyport.service")
    return len(re.findall("Starting sallyport.service", journal))


def test_flood_of_connections(service):
    """Into a service that runs, and into one that the flood itself starts."""
    assert flood(service, 200) == 200
    answers(service)
    service.run("systemctl", "stop", "sallyport.service", check=False, seconds=60)
    assert flood(service, 200) == 200
    assert service.show("sallyport.socket", "ActiveState") == "active"


def test_flood_while_it_cannot_start(service):
    """Each connection starts it, and each start fails: that must not switch the socket off."""
    service.put(CONFIGURATION, "{")
    try:
        service.run("systemctl", "stop", "sallyport.service", seconds=60)
        # By default five starts in ten seconds are the end of it. Nobody accepts meanwhile: all of
        # these together have to fit into the socket's backlog.
        begin = starts(service)
        for _ in range(30):
            flood(service, 15)
            if starts(service) > begin + 8:
                break
            time.sleep(0.5)
        assert starts(service) > begin + 8, service.journal()
        assert "broker.json:" in service.journal()
        assert service.show("sallyport.socket", "ActiveState") == "active"
    finally:
        service.put_json(CONFIGURATION, CONFIG)
    answers(service)
    for unit in ("sallyport.socket", "sallyport-spawner.socket"):
        assert service.show(unit, "TriggerLimitIntervalUSec") == "0"


# ----- another engine -----

@pytest.fixture
def podman(service):
    """Podman's own units, started; the service is to use it from its next start on, and gets Docker back."""
    service.run("mkdir", "-p", "/etc/containers")
    for name, text in podman_files("/etc/containers").items():
        service.put(f"/etc/containers/{name}", text)
    service.run("chmod", "755", "/etc/containers/runtime")
    service.put_json(CONFIGURATION, {**CONFIG, "engine": {"socket": "/run/podman/podman.sock"}})
    try:
        yield service
    finally:
        service.put_json(CONFIGURATION, CONFIG)
        service.sh("rm -rf /run/systemd/system/{podman.socket,sallyport.service}.d/podman.conf")
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "stop", "podman.socket", "podman.service", seconds=60)
        service.run("systemctl", "restart", "sallyport.service", seconds=60)


def edit(m, *units):
    """As sallyport-broker.json(5) says, word by word."""
    with open(f"{TREE}/broker/sallyport-broker.json.5", encoding="utf-8") as f:
        said = dict(re.findall(r"^# systemctl edit (\S+)\n(.*?)(?=^# |^\.Ed)", f.read(), re.S | re.M))
    assert list(said) == ["podman.socket", "sallyport.service"]
    for unit in units:
        m.run("mkdir", "-p", f"/run/systemd/system/{unit}.d")
        m.put(f"/run/systemd/system/{unit}.d/podman.conf", said[unit])
    m.run("systemctl", "daemon-reload")
    m.run("systemctl", "restart", *units, "sallyport.service", seconds=60)


def test_podman_in_its_place(podman):
    """With its socket alone it is said what else is missing, and nobody gets a container; then all works."""
    edit(podman, "podman.socket")
    podman.load("podman")
    r = podman.ssh("true")
    assert r.returncode == 255 and "not responding" in r.stderr, r.stderr + podman.journal()
    assert re.search("Podman.*cannot read /proc", podman.journal()), podman.journal()
    edit(podman, "sallyport.service")
    r = podman.ssh("id -u; exit 7")
    assert (r.stdout, r.returncode) == ("1000\n", 7), r.stderr + podman.journal()
    assert "Podman" in podman.out("sallyport", "doctor", check=False)
    p = subprocess.Popen(podman.ssh_argv("echo up; read x"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    label = ["--filter", "label=sallyport.instance"]
    # The one before may still have to be removed.
    wait_for(lambda: len(podman.out("podman", "ps", "-q", *label).split()) == 1, 30 * PATIENCE, "its container is there")
    assert podman.containers() == []
    # Its service ends by itself when it has nothing to do, and is there again when it is asked.
    podman.run("systemctl", "stop", "podman.service", seconds=60)
    p.communicate(b"x\n", timeout=20 * PATIENCE)
    assert p.returncode == 0
    assert podman.ssh("echo again").stdout == "again\n"
    wait_for(lambda: podman.out("podman", "ps", "-aq", *label) == "", 30 * PATIENCE, "its containers are gone")


# ----- the package's own life -----

def test_what_is_in_the_package(package, tmp_path):
    """As it is shipped: an audit log in the unit's own directory, and policies to begin with."""
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    with open(f"{tmp_path}/etc/sallyport/broker.json", encoding="utf-8") as f:
        shipped = json.load(f)
    del shipped["// what"]
    assert shipped == {key: value for key, value in CONFIG.items() if key != "limits"}
    examples = f"{tmp_path}/usr/share/doc/sallyport/examples"
    for name in ("hoster", "bastion", "git-only"):
        subprocess.run([f"{tmp_path}/usr/bin/sallyport", "policy", "test", "--quiet", f"{examples}/{name}.json",
                        "--cases", f"{examples}/{name}.cases.json"], check=True)


def test_the_package_wants_the_libssh_that_the_worker_takes(package):
    with open(f"{TREE}/daemon/main.c", encoding="utf-8") as f:
        least, most = re.findall(r"LIBSSH_VERSION_INT (?:<|>=) SSH_VERSION_INT\((.*?)\)", f.read())
    depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r"libssh-\w+ \((.*?)\)", depends)
    assert wanted == [f">= {least.replace(', ', '.')}", f"<< {most.replace(', ', '.').removesuffix('.0')}~"]


def test_upgrade_keeps_the_configuration(service, package):
    pid = service.main_pid()
    service.install(package)
    restarted(service, pid)
    assert json.loads(service.out("cat", CONFIGURATION)) == CONFIG
    assert service.run("systemctl", "is-enabled", "sallyport.socket").stdout == "enabled\n"


def test_purge_leaves_nothing(machine):
    machine.run("dpkg", "--purge", "sallyport", seconds=60)
    assert machine.show("sallyport.service", "LoadState") == "not-found"
    assert machine.pids("sallyport-broke") + machine.pids("sallyportd") == []
    left = machine.run("find", "/etc", "/usr", "/var/lib", "/var/log", "-xdev", "-name",
                       "*sallyport*", "-not", "-path", "/var/lib/docker/*").stdout.split()
    assert left == [], left
