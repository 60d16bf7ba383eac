# SPDX-License-Identifier: Apache-2.0
"""
A second opinion on what a broker asked of the engine, from the record of fake_engine.py: no request
but the few kinds below, and no container but those that the policy gives to a login that was made.
Written from common/PROTOCOL.md and the policy, not from the broker's code.
"""
import json
import re
from collections import Counter

ID = "[0-9a-f]{64}"
NAME = "sallyport-[0-9a-f]{16}"
ALLOWED = [re.compile(rf"{method} (/v1\.\d+)?{path}$") for method, path in (
    ("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/version"), ("GET", "/info"),
    ("GET", r"/containers/json\?all=1&filters=[^&]*"),
    ("GET", "/networks"),
    ("GET", "/images/[A-Za-z0-9%._:@-]+/json"),
    ("POST", rf"/containers/create\?name={NAME}"),
    ("POST", f"/containers/{ID}/start"),
    ("POST", rf"/containers/{ID}/kill\?signal=(9|15|SIGKILL)"),
    ("POST", rf"/containers/{ID}/wait\?condition=not-running"),
    ("GET", f"/containers/({ID}|{NAME})/json"),
    ("DELETE", rf"/containers/({ID}|{NAME})\?(force=1&v=1|v=1&force=1)"),
)]
LOGGED_IN = re.compile(r"connection=(\w+) .* user=(\S+) logged in: .* profile (\w+),")

# Never set, or set to just this, whatever a profile says.
CONFINED = {
    "Privileged": False, "CapAdd": [], "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
    "Binds": [], "Devices": [], "PortBindings": {}, "PublishAllPorts": False, "IpcMode": "private",
    "PidMode": "", "UTSMode": "", "UsernsMode": "", "CgroupnsMode": "private", "AutoRemove": False,
    "NetworkMode": "none", "ReadonlyRootfs": True,
}
KNOWN = {*CONFINED, "Mounts", "Memory", "MemorySwap", "NanoCpus", "PidsLimit", "Ulimits", "LogConfig",
         "RestartPolicy"}


def check_create(broker, body, login):
    """One create body against the profile of the login that caused it."""
    asked = broker.policy["profiles"][login["profile"]]["container"]
    host = body["HostConfig"]
    assert body["Image"] == asked["image"], body["Image"]
    assert body["User"] == asked["user"]
    assert body["NetworkDisabled"] is True
    assert body["Env"] == [] and body["Cmd"] == [] and len(body["Entrypoint"]) == 1
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert set(host) <= KNOWN, set(host) - KNOWN
    for name, value in CONFINED.items():
        assert host[name] == value, (name, host[name])
    assert 0 < host["PidsLimit"] <= 1 << 20 and 0 < host["Memory"] and host["NanoCpus"] > 0
    tmpfs = {m["Target"] for m in host["Mounts"] if m["Type"] == "tmpfs"}
    assert tmpfs == {m["tmpfs"] for m in asked.get("mounts", [])}
    for mount in host["Mounts"]:
        if mount["Type"] == "bind":
            assert mount["ReadOnly"] is True
            assert mount["Source"] == broker.config["engine"]["guest_dir"] or \
                re.fullmatch(f"{re.escape(broker.dir)}/run/rendezvous/{NAME}", mount["Source"])
        else:
            assert mount["Type"] == "tmpfs"


def check_requests(broker, requests):
    """Every request in the record was one that this broker's policy allowed somebody to cause."""
    assert requests, "the record is empty: nothing was watched"
    for r in requests:
        line = f"{r['method']} {r['path']}"
        assert any(p.match(line) for p in ALLOWED), f"the engine was asked: {line}"
    logins = {c: {"user": u, "profile": p} for c, u, p in LOGGED_IN.findall(broker.log())}
    made = Counter()
    for body in (json.loads(r["body"]) for r in requests if "/containers/create" in r["path"]):
        connection = body["Labels"]["sallyport.connection"]
        assert connection in logins, f"a container for nobody: connection {connection}"
        assert body["Labels"]["sallyport.user"] == logins[connection]["user"]
        check_create(broker, body, logins[connection])
        made[connection] += 1
    for connection, n in made.items():
        profile = broker.policy["profiles"][logins[connection]["profile"]]
        assert n == 1 or profile["container"].get("mode") == "session", (connection, n)
