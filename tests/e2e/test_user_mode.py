# SPDX-License-Identifier: Apache-2.0
"""Mode "user": one container for a user, which stays when its connections have gone, for "keep"."""
import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.broker import BUILD, DATA_PATH, Broker, direct_only, profile
from kit.proc import alive, wait_for
from kit.target import PATIENCE
from test_bad_days import fake  # noqa: F401 (a fixture)

WHERE = "cat /proc/sys/kernel/hostname"
IMAGE = "sallyport-test/busybox:latest"
TAG = "sallyport-test/kept:latest"
KEPT = f"7{os.getpid():07d}"
DAEMON = f"setsid sleep {KEPT} >/dev/null 2>&1 </dev/null & sleep 0.3"
COUNT = f"ps w | grep -c '[s]leep {KEPT}'"


def prepare(broker, **container):
    container = {"mode": "user", "keep": "10m", **container}
    broker.policy["profiles"] = dict(broker.policy["profiles"], busy=profile(IMAGE, **container))
    # Somebody else with the same profile.
    others = [r for r in broker.policy["rules"] if r["id"] not in ("busy", "onebin", "shared")]
    broker.policy["rules"] = [*others, {"id": "shared", "if": {"user": ["busy", "onebin"]},
                                        "use": "busy"}]


def finish(broker):
    """What is kept on purpose goes, and is seen to go."""
    if broker.process is None or broker.process.poll() is not None:
        broker.start()
    for user in ("busy", "onebin"):
        broker.ask("kill", user=user)
    wait_for(lambda: not broker.ask("status")["kept"], 30 * PATIENCE, "nothing is kept")


@pytest.fixture
def kept(fresh_broker):
    prepare(fresh_broker)
    yield fresh_broker
    finish(fresh_broker)


def run(broker, command, user="busy"):
    r = broker.target.ssh(command, user=user)
    assert r.returncode == 0, r.stderr
    return r.stdout.decode().strip()


def idle(broker):
    """The one container that nobody is in, as the broker shows it."""
    [c] = wait_for(lambda: [c for c in broker.ask("status")["kept"] if c["sessions"] == 0],
                   20 * PATIENCE, "the connection has ended")
    return c


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_next_connection_finds_what_the_last_one_left(kept, engine):
    kept.start()
    where = run(kept, f"{WHERE}; echo mine >/tmp/f; {DAEMON}")
    first = idle(kept)
    assert (first["user"], first["profile"]) == ("busy", "busy")
    assert 500 < first["seconds_left"] <= 600
    r = subprocess.run([f"{BUILD}/admin/sallyport", "status", "--config", f"{kept.dir}/broker.json"],
                       capture_output=True, text=True, timeout=30 * PATIENCE, check=True)
    assert re.search(f"{first['container']['name']}  user busy, profile busy, ends in 00:0[89]:[0-9][0-9]\n",
                     r.stdout), r.stdout
    assert run(kept, f"{WHERE}; cat /tmp/f; {COUNT}").split() == [where, "mine", "1"]
    assert len(engine.containers()) == 1
    [again] = kept.audit(event="container.handout")
    assert (again["user"], again["source"], again["container"]) == \
        ("busy", "user", first["container"]["name"])


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_programs_end_with_their_connection(kept, engine):
    """As in the other modes: a hang-up, then SIGKILL, for what is left of the channel's session."""
    kept.start()
    p = kept.target.popen(f"trap '' HUP TERM; {DAEMON}; echo up; sleep 7654321", user="busy")
    assert p.stdout.readline() == b"up\n"
    p.kill()
    p.communicate(timeout=10)
    idle(kept)
    wait_for(lambda: run(kept, "ps w | grep -c '[s]leep 7654321'; true") == "0", 20 * PATIENCE,
             "the program of the connection is gone")
    assert run(kept, COUNT) == "1", "what left its session lives on"


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_logins_at_the_same_time_share_one(kept, engine):
    kept.start()
    with ThreadPoolExecutor(8) as some:
        got = set(some.map(lambda _: run(kept, WHERE), range(8)))
    assert len(got) == 1
    assert len(engine.containers()) == 1
    assert len(kept.audit(event="container.create")) == 1


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_another_user_never_gets_it(kept, engine):
    kept.start()
    one = run(kept, f"{WHERE}; echo secret >/tmp/f")
    idle(kept)
    two = run(kept, f"{WHERE}; cat /tmp/f 2>/dev/null; true", user="onebin")
    assert two != one and "secret" not in two
    assert {c["user"] for c in kept.ask("status")["kept"]} == {"busy", "onebin"}


@pytest.mark.data_path
@pytest.mark.quick
def test_it_ends_when_it_was_kept_long_enough(kept, engine):
    prepare(kept, keep="3s")
    kept.start()
    where = run(kept, f"{WHERE}; {DAEMON}")
    idle(kept)
    for _ in range(3):  # each connection makes it begin anew
        time.sleep(1.5)
        assert run(kept, WHERE) == where
    wait_for(lambda: not engine.containers(), 15 * PATIENCE, "it is removed")
    assert not kept.ask("status")["kept"]
    assert not os.listdir(f"{kept.dir}/state/kept")
    assert run(kept, f"{WHERE}; {COUNT}; true").split() != [where, "1"]


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_without_keep_it_goes_with_the_last(kept, engine):
    prepare(kept, keep="0")
    kept.start()
    first, second = (kept.target.popen(f"{WHERE}; read x", user="busy") for _ in range(2))
    assert first.stdout.readline() == second.stdout.readline()
    first.communicate(b"\n", timeout=20)
    time.sleep(1)
    assert len(engine.containers()) == 1
    second.communicate(b"\n", timeout=20)
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "it is removed")


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_survives_the_broker(kept, engine, how):
    kept.start()
    where = run(kept, f"{WHERE}; echo mine >/tmp/f; {DAEMON}")
    idle(kept)
    [container] = engine.containers()
    getattr(kept, how)()
    assert engine.containers() == [container]
    kept.start()
    assert run(kept, f"{WHERE}; cat /tmp/f; {COUNT}").split() == [where, "mine", "1"]
    left = idle(kept)["seconds_left"]
    assert 500 < left <= 600
    assert engine.containers() == [container]
    # Once more, and nobody comes in between: its time runs on.
    time.sleep(2)
    getattr(kept, how)()
    kept.start()
    assert idle(kept)["seconds_left"] <= left - 2
    assert run(kept, WHERE) == where


@pytest.mark.data_path
@pytest.mark.quick
@pytest.mark.parametrize("waited_for", [False, True], ids=["idle", "waited-for"])
@pytest.mark.parametrize("answer", [{"action": "delay", "seconds": 3}, {"action": "hang"}], ids=["late", "never"])
def test_stop_before_it_is_found_again(fake, kept, engine, answer, waited_for):  # noqa: F811
    """Two restarts in a row: the engine has not said yet what the first has found, and the second has it."""
    kept.start()
    where = run(kept, f"{WHERE}; echo mine >/tmp/f; {DAEMON}")
    idle(kept)
    [container] = engine.containers()
    kept.stop()
    fake.rules([{"method": "GET", "path": "/containers/[^/]+/json", **answer}])
    since = kept.log_size()
    kept.start()
    wait_for(lambda: "of an earlier run is found again" in kept.log(since), 20 * PATIENCE, "it is found")
    if waited_for:
        p = kept.target.popen(WHERE, user="busy")
        wait_for(lambda: "is there already" in kept.log(since), 20 * PATIENCE, "a login waits for it")
    assert kept.stop() == 0
    if waited_for:
        assert p.communicate(timeout=20 * PATIENCE)[0] == b""
    assert engine.containers() == [container]
    fake.rules([])
    kept.start()
    assert run(kept, f"{WHERE}; cat /tmp/f; {COUNT}").split() == [where, "mine", "1"]
    assert engine.containers() == [container]


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_broker_is_killed_under_a_session(kept, engine):
    kept.start()
    p = kept.target.popen(f"{WHERE}; {DAEMON}; sleep 7654321", user="busy")
    where = p.stdout.readline().decode().strip()
    time.sleep(1)
    kept.kill()
    assert p.wait(10 * PATIENCE) == 255
    p.communicate()
    kept.start()
    assert run(kept, f"{WHERE}; {COUNT}").split() == [where, "1"]
    wait_for(lambda: run(kept, "ps w | grep -c '[s]leep 7654321'; true") == "0", 20 * PATIENCE,
             "the program of the session that was lost is gone")
    assert len(engine.containers()) == 1


@pytest.mark.data_path
@pytest.mark.quick
def test_broker_is_killed_at_any_moment(kept, engine):
    """While the container is made, and while it is found again: there is one in the end, and it works."""
    for moment in (0.05, 0.2, 0.4, 0.7, 1.0):
        kept.start()
        p = kept.target.popen(WHERE, user="busy")
        time.sleep(moment)
        kept.kill()
        p.communicate(timeout=20 * PATIENCE)
    kept.start()
    where = run(kept, WHERE)
    wait_for(lambda: len(engine.containers()) == 1, 30 * PATIENCE, "there is one")
    assert run(kept, WHERE) == where


@pytest.mark.data_path
@pytest.mark.quick
def test_time_that_ran_out_while_no_broker_was_there(kept, engine):
    """The guest ends by itself, where it can notice; the next start removes what is left."""
    prepare(kept, keep="3s")
    kept.start()
    run(kept, DAEMON)
    idle(kept)
    [container] = engine.containers()
    guest = engine.inspect(container)["State"]["Pid"]
    kept.kill()
    if DATA_PATH == "direct":
        wait_for(lambda: not alive(guest), 15 * PATIENCE, "the guest has ended")
    else:
        time.sleep(4)
        assert alive(guest), "nobody told it"
    kept.start()
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the container is removed")
    wait_for(lambda: not os.listdir(f"{kept.dir}/state/kept"), 20 * PATIENCE, "and its mark")


@pytest.mark.quick
@pytest.mark.parametrize("marks", ["none", "past", "future", "junk", "cut"])
def test_marks_that_are_not_what_they_were(kept, engine, marks):
    """Whatever became of the state, the container is neither lost nor kept for longer than it may be."""
    kept.start()
    where = run(kept, WHERE)
    name = idle(kept)["container"]["name"]
    kept.kill()
    place = f"{kept.dir}/state/kept"
    [mark] = os.listdir(place)
    assert mark.startswith(f"{name}.")
    os.rmdir(f"{place}/{mark}")
    for entry in {"none": [], "past": [f"{name}.1"], "future": [f"{name}.99999999999999999"],
                  "junk": [f"{name}.x", f"{name}.", "sallyport-0000000000000000.99999999999", "x"],
                  "cut": [mark[:n] for n in range(1, len(mark) - 8)]}[marks]:
        os.mkdir(f"{place}/{entry}")
    kept.start()
    if marks == "past":
        wait_for(lambda: not engine.containers(), 20 * PATIENCE, "its time was over")
    else:
        assert idle(kept)["seconds_left"] <= 600
        assert run(kept, WHERE) == where
    wait_for(lambda: all(m.startswith(f"{name}.") for m in os.listdir(place)), 20 * PATIENCE,
             "what is no mark is gone")


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_labels_do_not_make_a_container_ours(kept, engine):
    """The labels of a kept container under another name, also with the user exchanged: left alone."""
    kept.start()
    where = run(kept, WHERE)
    name = idle(kept)["container"]["name"]
    labels = engine.inspect(name)["Config"]["Labels"]
    kept.kill()

    def copy(of, **other):
        flags = [x for k, v in {**labels, **other}.items() for x in ("--label", f"{k}={v}")]
        return engine.run("run", "-d", *flags, "--name", of, IMAGE, "sleep", "600")

    foreign = [copy("not-of-sallyport"),
               copy("sallyport-0123456789abcdef", **{"sallyport.user": "onebin"})]
    try:
        kept.start()
        assert [c["container"]["name"] for c in kept.ask("status")["kept"]] in ([name], [])
        assert run(kept, WHERE) == where
        assert run(kept, WHERE, user="onebin") != where
        assert all(engine.inspect(f)["State"]["Running"] for f in foreign)
    finally:
        engine.run("rm", "-f", *foreign)


@pytest.mark.data_path
@pytest.mark.quick
def test_policy_change_makes_a_new_one(kept, engine):
    """Whoever is in the old one stays in it; who comes now gets what the policy says now."""
    kept.start()
    p = kept.target.popen(f"{WHERE}; read x; echo still $x", user="busy")
    old = p.stdout.readline().decode().strip()
    prepare(kept, limits={"pids": 99})
    kept.write()
    assert kept.ask("reload")["reloaded"]
    new = run(kept, WHERE)
    assert new != old
    p.stdin.write(b"here\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"still here\n"
    assert p.wait(10 * PATIENCE) == 0
    wait_for(lambda: len(engine.containers()) == 1, 20 * PATIENCE,
             "the old one has ended with the last who was in it")
    assert run(kept, WHERE) == new
    [container] = engine.containers()
    assert engine.inspect(container)["HostConfig"]["PidsLimit"] == 99


@pytest.mark.quick
def test_policy_without_the_profile_ends_it(kept, engine):
    kept.start()
    run(kept, DAEMON)
    idle(kept)
    prepare(kept, mode="connection", keep="0")
    kept.write()
    assert kept.ask("reload")["reloaded"]
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "it is removed")


def nobody(broker):
    broker.policy["rules"][-1]["if"] = {"user": ["onebin"]}


def denied_first(broker):
    broker.policy["rules"].insert(0, {"id": "no", "if": {"user": ["busy"]}, "deny": "Not you."})


def over(broker):
    broker.policy["rules"][-1]["if"]["time"] = "/2020-01-01T00:00Z"


def another_memory(broker):
    broker.policy["rules"][-1]["set"] = {"container.limits.memory": "300M"}


def without_keys(broker):
    broker.policy["users"]["busy"] = dict(broker.policy["users"]["busy"], keys=[])


def made_of_more(broker):
    prepare(broker, limits={"pids": 99})


def somewhere_else(broker):
    broker.policy["rules"][-1]["if"]["from"] = ["192.0.2.0/24"]


def at_night(broker):
    broker.policy["rules"][-1]["if"]["time"] = "mon 00:00-00:01 Z"


def denied_elsewhere(broker):
    broker.policy["rules"].insert(0, {"id": "no", "if": {"user": ["busy"], "from": ["192.0.2.0/24"]},
                                      "deny": "Not from there."})


@pytest.mark.quick
@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
@pytest.mark.parametrize("change", [nobody, denied_first, over, another_memory, without_keys, made_of_more],
                         ids=lambda f: f.__name__)
def test_nobody_could_come_back_to_it(kept, engine, change, restart):
    """By the policy after a reload, or at the next start: it goes at once, and others' stay."""
    kept.start()
    run(kept, DAEMON)
    other = run(kept, WHERE, user="onebin")
    wait_for(lambda: [c["sessions"] for c in kept.ask("status")["kept"]] == [0, 0], 20 * PATIENCE,
             "nobody is in them")
    if restart:
        kept.stop()
    kept.policy["users"] = dict(kept.policy["users"])
    change(kept)
    kept.write()
    if restart:
        kept.start()
    else:
        assert kept.ask("reload")["reloaded"]
    wait_for(lambda: "busy" not in [c["user"] for c in kept.ask("status")["kept"]], 20 * PATIENCE,
             "it is not kept any more")
    both = change in (over, another_memory, made_of_more)
    wait_for(lambda: len(engine.containers()) == (0 if both else 1), 20 * PATIENCE, "it is removed")
    if not both:
        assert run(kept, WHERE, user="onebin") == other


@pytest.mark.quick
@pytest.mark.parametrize("change", [somewhere_else, at_night, denied_elsewhere], ids=lambda f: f.__name__)
def test_somebody_could_come_back_to_it(kept, engine, change):
    """From there, or then: what is known only of a login does not end it."""
    kept.start()
    where = run(kept, WHERE)
    idle(kept)
    [container] = engine.containers()
    rule = dict(kept.policy["rules"][-1])
    change(kept)
    kept.write()
    assert kept.ask("reload")["reloaded"]
    time.sleep(2)
    assert engine.containers() == [container] and idle(kept)["user"] == "busy"
    kept.policy["rules"] = [r for r in kept.policy["rules"] if r["id"] not in ("no", "shared")]
    kept.policy["rules"].append(dict(rule, **{"if": {"user": ["busy", "onebin"]}}))
    kept.write()
    assert kept.ask("reload")["reloaded"]
    assert run(kept, WHERE) == where


@pytest.mark.data_path
@pytest.mark.quick
def test_in_use_it_ends_with_its_last_session(kept, engine):
    kept.start()
    p = kept.target.popen(f"{WHERE}; read x; echo still $x", user="busy")
    assert p.stdout.readline()
    nobody(kept)
    kept.write()
    assert kept.ask("reload")["reloaded"]
    time.sleep(1)
    assert len(engine.containers()) == 1
    p.stdin.write(b"here\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"still here\n" and p.wait(10 * PATIENCE) == 0
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "it ended with the last session")


@pytest.mark.quick
@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
def test_a_target_that_is_gone(kept, engine, restart):
    """One target's container goes, another's stays, also when only the label knows which it was for."""
    kept.policy["rules"][-1]["if"] = {"user": ["busy", "onebin"], "target": ["web*", "db"]}
    kept.start()
    web = [run(kept, WHERE, user=f"busy+{t}") for t in ("web1", "db")][0]
    wait_for(lambda: [c["sessions"] for c in kept.ask("status")["kept"]] == [0, 0], 20 * PATIENCE,
             "nobody is in them")
    if restart:
        kept.stop()
    kept.policy["rules"][-1]["if"]["target"] = ["w*"]
    kept.write()
    if restart:
        kept.start()
    else:
        assert kept.ask("reload")["reloaded"]
    wait_for(lambda: len(engine.containers()) == 1, 20 * PATIENCE, "one is removed")
    assert run(kept, WHERE, user="busy+web1") == web


@pytest.mark.quick
def test_policy_changes_while_no_broker_is_there(kept, engine):
    kept.start()
    run(kept, DAEMON)
    idle(kept)
    kept.stop()
    prepare(kept, mode="connection", keep="0")
    kept.start()
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the next start has removed it")


def test_new_image_makes_a_new_one(kept, engine):
    engine.run("tag", IMAGE, TAG)
    try:
        kept.policy["profiles"]["busy"]["container"]["image"] = TAG
        kept.start()
        run(kept, DAEMON)
        idle(kept)
        [old] = engine.containers()
        engine.run("tag", "sallyport-test/bash:latest", TAG)
        wait_for(lambda: old not in engine.containers(), 30 * PATIENCE, "the old one has ended")
        assert run(kept, "test -x /bin/bash && echo new") == "new"
        finish(kept)
        wait_for(lambda: not engine.containers(), 20 * PATIENCE, "it is gone")
    finally:
        engine.run("rmi", TAG, check=False)


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_administrator_ends_it(kept, engine):
    kept.start()
    run(kept, DAEMON)
    idle(kept)
    p = kept.target.popen(f"{WHERE}; sleep 1000", user="busy")
    assert p.stdout.readline()
    answer = kept.ask("kill", user="busy")
    assert (answer["killed"], answer["containers"]) == (1, 1)
    assert p.wait(10 * PATIENCE) == 255
    p.communicate()
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "it is removed")


@pytest.mark.data_path
@pytest.mark.quick
def test_administrator_ends_it_and_the_broker_dies(kept, engine):
    """What was to end with the last who is in it is not found again, although policy and time would have it."""
    kept.start()
    p = kept.target.popen(f"{WHERE}; sleep 1000", user="busy")
    where = p.stdout.readline().decode().strip()
    for pid in kept.workers():
        os.kill(pid, signal.SIGSTOP)  # its connection does not end yet
    assert kept.ask("kill", user="busy")["containers"] == 1
    [old] = engine.containers()
    kept.kill()
    assert os.listdir(f"{kept.dir}/state/kept") == [f"{engine.inspect(old)['Name'].lstrip('/')}.1"]
    p.communicate(timeout=20 * PATIENCE)
    kept.start()
    assert run(kept, WHERE) != where
    wait_for(lambda: old not in engine.containers(), 20 * PATIENCE, "the old one is removed")
    wait_for(lambda: os.listdir(f"{kept.dir}/state/kept") != [] and not [
        m for m in os.listdir(f"{kept.dir}/state/kept") if m.endswith(".1")], 20 * PATIENCE, "and its mark")


@pytest.mark.podman
@pytest.mark.data_path
@pytest.mark.quick
def test_its_first_process_is_killed(kept, engine):
    kept.start()
    where = run(kept, WHERE)
    idle(kept)
    [container] = engine.containers()
    os.kill(engine.inspect(container)["State"]["Pid"], signal.SIGKILL)
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "it is removed")
    assert run(kept, WHERE) != where


@direct_only("nothing reports anywhere")
@pytest.mark.quick
def test_tenant_that_reports_in_its_guest_s_place(kept, engine):
    """After a restart another process of the container is the first to connect: it is nobody's any more."""
    bundle = f"{kept.dir}/guest"
    shutil.copytree(f"{BUILD}/guest/bundle", bundle)
    source = f"{kept.dir}/reporter.c"
    with open(source, "w", encoding="ascii") as f:
        f.write('#include <sys/socket.h>\n#include <sys/un.h>\n#include <unistd.h>\n'
                'int main(void) { struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = '
                '"/.sallyport-rendezvous/socket" }; if (fork() > 0) return 0; setsid(); for (;;) { '
                'int s = socket(AF_UNIX, SOCK_SEQPACKET, 0); '
                'if (connect(s, (struct sockaddr *)&a, sizeof(a)) == 0) sleep(1000); '
                'close(s); usleep(500); } }\n')
    subprocess.run(["cc", "-static", "-o", f"{bundle}/reporter", source], check=True)
    kept.config["engine"]["guest_dir"] = bundle
    kept.start()
    where = run(kept, f"{WHERE}; /.sallyport/reporter >/dev/null 2>&1 </dev/null")
    idle(kept)
    [old] = engine.containers()
    kept.kill()
    kept.start()
    wait_for(lambda: old not in engine.containers(), 30 * PATIENCE, "it is removed")
    assert "another process than the container's first one reported" in kept.log()
    assert run(kept, WHERE) != where


@pytest.mark.data_path
def test_two_targets_are_two(kept, engine):
    kept.policy["profiles"]["busy"]["container"]["mounts"] = [
        {"tmpfs": "/tmp", "size": "64M"}, {"tmpfs": "/${target}", "size": "1M"}]
    kept.policy["rules"][-1]["if"] = {"user": ["busy", "onebin"], "target": ["web", "db"]}
    kept.start()
    web, db = (run(kept, WHERE, user=f"busy+{t}") for t in ("web", "db"))
    assert web != db
    assert [run(kept, WHERE, user=f"busy+{t}") for t in ("web", "db")] == [web, db]


@pytest.mark.data_path
@pytest.mark.timeout(600)
def test_engine_restart(own_engine, keys):
    """Its containers end with it: the next login gets a new one, and nothing of the old is left."""
    engine = own_engine
    broker = Broker(keys, engine.socket)
    broker.config["engine"].update(probe_interval="1s")
    prepare(broker)
    try:
        broker.start()
        where = run(broker, WHERE)
        idle(broker)
        pid = engine.pid
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not alive(pid), 60 * PATIENCE, "the engine has ended")
        r = broker.target.ssh(WHERE, user="busy")
        assert r.returncode == 255 and b"engine is not responding" in r.stderr
        engine.start()
        wait_for(lambda: broker.target.ssh("true", user="busy").returncode == 0, 60 * PATIENCE,
                 "logins work again")
        assert run(broker, WHERE) != where
        wait_for(lambda: len(engine.containers()) == 1, 60 * PATIENCE, "there is one")
        finish(broker)
        wait_for(lambda: not engine.containers(), 60 * PATIENCE, "nothing is left")
    finally:
        broker.close()
