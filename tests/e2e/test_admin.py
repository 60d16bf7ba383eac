# SPDX-License-Identifier: Apache-2.0
"""The administrator's commands against a running broker."""
import json
import re
import signal
import socket
import subprocess

import pytest

from kit.broker import BUILD, TREE
from kit.broker import PROGRAM as BROKER
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = pytest.mark.quick
PROGRAM = f"{BUILD}/admin/sallyport"


def sallyport_command(broker, command, *args):
    return subprocess.run([PROGRAM, command, "--socket", f"{broker.dir}/run/control.sock", *args],
                          capture_output=True, check=False, text=True, timeout=60 * PATIENCE)


@pytest.fixture
def client(broker):
    c = broker.target.popen("echo in; exec cat")
    assert c.stdout.readline() == b"in\n"
    yield c
    c.stdin.close()
    c.wait(20 * PATIENCE)
    c.stdout.close()
    c.stderr.close()


def test_sessions_for_people_and_for_programs(broker, client):
    result = sallyport_command(broker, "sessions", "--json")
    assert result.returncode == 0 and client.poll() is None
    mine, = json.loads(result.stdout)["sessions"]
    table = sallyport_command(broker, "sessions").stdout.splitlines()
    assert table[0].split() == ["CONNECTION", "STATE", "USER", "FROM", "RULE", "AGE", "IDLE", "IN",
                                "OUT", "CHANNELS", "CONTAINER"]
    row, = table[1:]
    assert row.split()[:5] == [mine["connection"], "logged-in", "dev", mine["from"], "dev"]
    assert row.split()[-2:] == ["1", mine["channels"][0]["container"]["name"]]


def test_sessions_tell_listeners_from_channels(broker):
    """What a policy's "channels" does not count is not counted here."""
    with broker.target.of("forward").popen(
            "echo in; exec cat", options=["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"]) as c:
        assert c.stdout.readline() == b"in\n"
        mine, = json.loads(sallyport_command(broker, "sessions", "--json").stdout)["sessions"]
        row, = sallyport_command(broker, "sessions").stdout.splitlines()[1:]
        c.stdin.close()
    assert sorted(channel["kind"] for channel in mine["channels"]) == ["listener", "program"]
    assert row.split()[-2] == "1"


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_what_is_for_programs_is_in_the_manual(broker, client):
    """Each key of the two answers that have the most, but the names of what was refused, which the policy has."""
    with open(f"{TREE}/admin/sallyport.1", encoding="utf-8") as f:
        manual = f.read().partition(".Sh JSON")[2].partition("\n.Sh ")[0]
    for command in "sessions", "status":
        answer = json.loads(sallyport_command(broker, command, "--json").stdout)
        if command == "status":
            answer["ceilings"]["refused"] = None
            answer["admission"]["refused"] = None
        assert {key for key in keys_of(answer) if not re.search(rf"\b{key}\b", manual)} == set()
    assert client.poll() is None


def test_watch_goes_on_until_it_is_stopped(broker):
    watch = subprocess.Popen([PROGRAM, "sessions", "--watch", "--socket",
                              f"{broker.dir}/run/control.sock"], stdout=subprocess.PIPE, text=True)
    try:
        assert [watch.stdout.readline().split()[0] for _ in range(2)] == ["CONNECTION"] * 2
    finally:
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(10) == -signal.SIGTERM
        watch.stdout.close()


def test_kill(broker, client):
    result = sallyport_command(broker, "kill", "--user", "nobody")
    assert (result.returncode, result.stdout) == (1, "0 ended\n") and "sallyport sessions lists" in result.stderr
    result = sallyport_command(broker, "kill", "--json", "--user", "nobody")
    assert (result.returncode, json.loads(result.stdout)) == (1, {"killed": 0, "containers": 0})
    result = sallyport_command(broker, "kill", "--user", "dev", "--message", "Time to go.")
    assert (result.returncode, result.stdout) == (0, "1 ended\n")
    assert client.wait(20 * PATIENCE) == 255
    assert b"Time to go." in client.stderr.read()


@pytest.mark.parametrize("option", ["--user", "--message", None])
def test_kill_of_what_cannot_be_asked_for(broker, client, option):
    """A word that does not get to the broker must not leave the others, who mean more people."""
    words = [b"m\xfcller"] if option is None else [option, b"m\xfcller"]
    result = sallyport_command(broker, "kill", "--rule", "dev", *words)
    assert (result.returncode, result.stdout) == (2, "") and "UTF-8" in result.stderr
    assert client.poll() is None and len(broker.ask("sessions")["sessions"]) == 1


def test_kill_by_connection(broker, client):
    mine, = broker.ask("sessions")["sessions"]
    result = sallyport_command(broker, "kill", "--json", mine["connection"])
    assert (result.returncode, json.loads(result.stdout)) == (0, {"killed": 1, "containers": 0})
    assert client.wait(20 * PATIENCE) == 255
    wait_for(lambda: not broker.ask("sessions")["sessions"], 10 * PATIENCE, "nobody is in")


def test_status(broker):
    text = sallyport_command(broker, "status").stdout
    assert f"process {broker.pid}," in text and "engine       ok, 0 failures, API 1." in text
    assert f"generation 1, {broker.dir}/policy.json\n" in text
    assert f"\naudit        {broker.dir}/audit.log\n" in text
    assert f"listens on   127.0.0.1:{broker.port}\n" in text
    answer = json.loads(sallyport_command(broker, "status", "--json").stdout)
    assert answer["pid"] == broker.pid and answer["policy"] == broker.ask("status")["policy"]


def test_reload_shows_what_is_wrong(fresh_broker):
    b = fresh_broker.start()
    result = sallyport_command(b, "reload")
    assert (result.returncode, result.stdout) == (0, "policy generation 2 is in force\n")
    b.policy["rulez"] = []
    b.write()
    result = sallyport_command(b, "reload")
    assert result.returncode == 1 and 'unknown key "rulez"' in result.stderr
    assert "generation 2 stays in force" in result.stderr
    line = sallyport_command(b, "status").stdout.splitlines()[1]
    assert line.startswith("policy       generation 2, ") and line.endswith("Z was refused (see the log)")


@pytest.mark.parametrize("args, sentence", [
    (["kill"], "whom?"), (["sessions", "--user", "x"], "an option of another command"),
    (["sessions", "x"], "one word too many"), (["sesions"], "there is no command"),
    (["status", "--nonsense"], "sallyport status: unrecognized option"), ([], "usage:"),
    (["policy", "check", "--nonsense"], "sallyport policy check: unrecognized option"),
    (["policy", "chekc"], 'sallyport policy: there is no command "chekc"\nusage:'), (["policy"], "usage:"),
    (["status", "--config", "/nonexistent"], "cannot read the configuration /nonexistent"),
    (["status", "--config", "/nonexistent"], "sallyport-broker -t -c FILE says more"),
    (["kill", "a", "b"], "one word too many"),
    (["status", "--watch"], "--watch is an option of another command"),
    (["policy", "show"], "sallyport policy show: a policy is missing\nusage:"),
    (["policy", "show", "a", "b"], 'sallyport policy show: "b" is one word too many\nusage:'),
    (["policy", "explain"], "sallyport policy explain: a policy is missing\nusage:"),
    (["policy", "diff", "a"], "sallyport policy diff: a policy is missing\nusage:"),
    (["policy", "diff"], "sallyport policy diff: the policies are missing\nusage:"),
    (["policy", "test", "a"], "sallyport policy test: --cases names the cases, 1 to 64 times\nusage:"),
    (["policy", "test", *["--cases=x"] * 65, "a"], "--cases names the cases, 1 to 64 times")])
def test_wrong_usage(args, sentence):
    result = subprocess.run([PROGRAM, *args], capture_output=True, check=False, text=True,
                            timeout=20 * PATIENCE)
    assert result.returncode == 2 and sentence in result.stderr


@pytest.mark.parametrize("answer, sentence", [
    (b"hello\n", "no sallyport-broker?"), (b"", "has it ended"), (None, "is sallyport-broker running?")])
def test_who_does_not_answer(tmp_path, answer, sentence):
    """What cannot be done, and what to do: whatever sits at the place of the socket."""
    path = f"{tmp_path}/control.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        if answer is not None:
            s.listen()
        with subprocess.Popen([PROGRAM, "status", "--socket", path], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as asking:
            if answer is not None:
                c, _ = s.accept()
                with c, c.makefile("rb") as asked:
                    assert asked.readline() == b'{"do":"status"}\n'
                    c.sendall(answer)
            out, err = asking.communicate(timeout=20 * PATIENCE)
    assert (asking.returncode, out) == (1, "")
    assert err.startswith(f"sallyport: cannot ask the broker on {path}: ")
    assert sentence in err and "--socket names another socket" in err


@pytest.mark.parametrize("args", [
    ["sessions"], ["kill"], ["status"], ["reload"], ["doctor"], ["policy"], *(["policy", name] for name in (
        "check", "explain", "test", "show", "schema", "diff")), []], ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(args, option):
    result = subprocess.run([PROGRAM, *args, option], capture_output=True, check=False, text=True,
                            timeout=20 * PATIENCE)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith(" ".join(["usage: sallyport", *args]))


@pytest.mark.parametrize("args, code, out, err", [
    (["--help"], 0, "usage: sallyport-broker", ""), (["-h"], 0, "usage: sallyport-broker", ""),
    (["--version"], 0, "sallyport-broker ", ""),
    (["extra"], 2, "", 'sallyport-broker: "extra" is one word too many\nusage:'),
    (["-w", "x", "-W"], 2, "", "sallyport-broker: -w and -W exclude each other"),
    (["-c", "/nonexistent"], 1, "", "/nonexistent: error: No such file or directory [E-file]\n-c FILE names another"),
])
def test_usage_of_the_broker(args, code, out, err):
    r = subprocess.run([BROKER, *args], capture_output=True, check=False, text=True, timeout=20 * PATIENCE)
    assert r.returncode == code
    assert r.stdout.startswith(out) and bool(r.stdout) == bool(out)
    assert r.stderr.startswith(err) and bool(r.stderr) == bool(err)


def test_the_socket_of_a_configuration(fresh_broker, tmp_path):
    """From its runtime_dir, or as it is named; a path is relative to its file."""
    b = fresh_broker.start()
    named = dict(b.config, control={"socket": "run/control.sock"}, runtime_dir="/nonexistent")
    with open(f"{b.dir}/named.json", "w", encoding="utf-8") as f:
        json.dump(named, f)
    for name, cwd in (("broker.json", b.dir), (f"{b.dir}/broker.json", tmp_path),
                      (f"{b.dir}/named.json", tmp_path)):
        r = subprocess.run([PROGRAM, "status", "--config", name], capture_output=True, check=False, text=True,
                           cwd=cwd, timeout=20 * PATIENCE)
        assert r.returncode == 0 and f"process {b.pid}," in r.stdout, r.stderr
    r = subprocess.run([PROGRAM, "sessions", "--config", f"{b.dir}/broker.json", "--socket", f"{tmp_path}/none"],
                       capture_output=True, check=False, text=True, timeout=20 * PATIENCE)
    assert r.returncode == 1 and f"{tmp_path}/none" in r.stderr


def test_nobody_answers(tmp_path):
    result = subprocess.run([PROGRAM, "status", "--socket", f"{tmp_path}/none"], check=False,
                            capture_output=True, text=True, timeout=20 * PATIENCE)
    assert result.returncode == 1 and "is sallyport-broker running?" in result.stderr
    assert "it starts when somebody connects" in result.stderr
