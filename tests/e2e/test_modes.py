# SPDX-License-Identifier: Apache-2.0
"""Containers: one for each connection, or one for each session."""
import json
import time

import pytest

from kit.podman import docker_only
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = [pytest.mark.quick, pytest.mark.data_path, pytest.mark.podman]


def run(transport, command):
    c = transport.open_session()
    c.settimeout(20 * PATIENCE)
    c.exec_command(command)
    out = c.makefile("rb").read().decode()
    return out, c.recv_exit_status()


def test_connection_mode_shares_one_container(sallyport, engine):
    transport = sallyport.paramiko()
    try:
        first, _ = run(transport, "hostname 2>/dev/null || cat /proc/sys/kernel/hostname; echo x >/tmp/f")
        second, code = run(transport, "cat /proc/sys/kernel/hostname /tmp/f")
        assert code == 0
        assert second == first.rstrip("\n") + "\nx\n"
        assert len(engine.containers()) == 1
    finally:
        transport.close()


@pytest.mark.parametrize("how", ["sleep 1234 >/dev/null 2>&1 &",
                                 "setsid sleep 1234 >/dev/null 2>&1 </dev/null & sleep 0.5"])
def test_processes_outlive_their_channel_in_one_connection(target, how):
    """What a command without a terminal leaves in the background runs on, as under sshd."""
    transport = target.paramiko()
    try:
        run(transport, how)
        time.sleep(3)  # longer than the grace time of a hang-up
        out, code = run(transport, "pgrep -fc 'sleep 123[4]' && kill $(pgrep -f 'sleep 123[4]')")
        assert (out, code) == ("1\n", 0)
    finally:
        transport.close()


def test_a_terminal_s_background_outlives_it(target):
    """Who does not listen to a hang-up, once the shell has ended by itself; as under sshd."""
    transport = target.paramiko()
    try:
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.get_pty()
        c.exec_command("nohup sleep 1234 >/dev/null 2>&1 & sleep 4321 & sleep 0.5; exit 3")
        assert c.recv_exit_status() == 3
        c.close()
        time.sleep(3)  # longer than the grace time of a hang-up
        out, code = run(transport, "pgrep -fc 'sleep 432[1]'; pgrep -fc 'sleep 123[4]' && kill $(pgrep -f 'sleep 123[4]')")
        assert (out, code) == ("0\n1\n", 0)
    finally:
        transport.close()


def test_session_mode_gives_each_channel_its_own(sallyport, engine):
    transport = sallyport.paramiko(user="solo")
    try:
        channels = []
        names = set()
        for _ in range(3):
            c = transport.open_session()
            c.settimeout(20 * PATIENCE)
            c.exec_command("cat /proc/sys/kernel/hostname; ls /tmp; touch /tmp/mine; read x")
            channels.append(c)
            names.add(c.makefile("rb").readline())
        assert len(names) == 3
        assert len(engine.containers()) == 3
        channels[0].close()
        wait_for(lambda: len(engine.containers()) == 2, 15 * PATIENCE,
                 "the container of the closed channel is gone")
        channels[1].sendall(b"go\n")
        assert channels[1].recv_exit_status() == 0
    finally:
        transport.close()


def test_two_connections_never_share(sallyport):
    one, two = sallyport.paramiko(), sallyport.paramiko()
    try:
        a, _ = run(one, "cat /proc/sys/kernel/hostname; echo secret >/tmp/f")
        b, code = run(two, "cat /proc/sys/kernel/hostname; cat /tmp/f 2>/dev/null")
        assert code == 1
        assert a != b
    finally:
        one.close()
        two.close()


@docker_only("it describes containers otherwise, and the kernel is asked instead: test_podman.py")
def test_what_the_container_is_made_of(sallyport, engine):
    """The engine's own word on a running container: every limit is there."""
    p = sallyport.popen("echo up; read x")
    try:
        assert p.stdout.readline() == b"up\n"
        [cid] = engine.containers()
        c = engine.inspect(cid)
        host, config = c["HostConfig"], c["Config"]
        assert config["User"] == "1000:1000"
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"]
        assert any(o.startswith("no-new-privileges") for o in host["SecurityOpt"])
        assert host["Privileged"] is False and host["ReadonlyRootfs"] is True
        assert host["NetworkMode"] == "none" and config["NetworkDisabled"] is True
        assert host["PidsLimit"] == 256 and host["Memory"] == 512 << 20
        assert host["MemorySwap"] == host["Memory"] and host["NanoCpus"] == 10 ** 9
        assert host["LogConfig"]["Type"] == "none"
        assert host["RestartPolicy"]["Name"] in ("no", "")
        assert host["AutoRemove"] is False and not host["Binds"] and not host["Devices"]
        assert host["PidMode"] == "" and host["IpcMode"] in ("private", "none")
        assert config["Healthcheck"]["Test"] == ["NONE"]
        for mount in c["Mounts"]:
            assert mount["Type"] != "bind" or mount["RW"] is False, json.dumps(mount)
    finally:
        p.communicate(b"\n", timeout=20)


def test_what_it_looks_like_inside(sallyport):
    r = sallyport.ssh("id -u; id -g; pwd; echo $FROM_IMAGE; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "
                      "/proc/self/status; touch /nope 2>&1; ls /sys/class/net")
    lines = r.stdout.decode().splitlines()
    assert lines[:4] == ["1000", "1000", "/home/dev", "yes"]
    got = dict(line.split(":") for line in lines[4:8])
    assert int(got["CapEff"], 16) == 0 and int(got["CapBnd"], 16) == 0
    assert got["NoNewPrivs"].strip() == "1" and got["Seccomp"].strip() == "2"
    assert "Read-only file system" in lines[8]
    assert lines[9:] == ["lo"]


def test_nothing_of_ours_leaks_into_a_program(both):
    """No descriptor but 0 to 2, default signals, the usual mask: as under sshd."""
    script = ("ls -l /proc/self/fd | wc -l; umask; "
              "grep -E '^(SigBlk|SigIgn|ShdPnd):' /proc/self/status; ulimit -c")
    theirs, ours = (t.ssh(script).stdout.decode().splitlines() for t in both)
    assert ours[:-1] == theirs[:-1]
    assert ours[-1] == "0"
