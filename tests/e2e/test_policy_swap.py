# SPDX-License-Identifier: Apache-2.0
"""
A policy that changes all the time while people come in: each session is of one generation, whole, and a
file with errors changes nothing.
"""
import copy
import hashlib
import json
import os
import signal
import threading
import time

from kit.broker import BASH, profile
from kit.target import PATIENCE

LOGINS = 60
EACH = 0.05  # seconds: twenty logins a second, and as long until the next policy


def make(base, name, workdir):
    policy = copy.deepcopy(base)
    policy["profiles"] = {f"profile-{name}": profile(argv=BASH, workdir=workdir, env={"MARK": name})}
    policy["rules"] = [{"id": f"rule-{name}", "use": f"profile-{name}"}]
    return json.dumps(policy)


class Swapper(threading.Thread):
    """Puts one text after the other in the policy's place, and tells the broker."""

    def __init__(self, broker, texts):
        super().__init__()
        self.broker, self.texts, self.over, self.n = broker, texts, threading.Event(), 0

    def run(self):
        while not self.over.wait(EACH):
            path = f"{self.broker.dir}/policy.json"
            with open(f"{path}.new", "w", encoding="utf-8") as f:
                f.write(self.texts[self.n % len(self.texts)])
            os.chmod(f"{path}.new", 0o600)
            os.rename(f"{path}.new", path)
            os.kill(self.broker.pid, signal.SIGHUP)
            self.n += 1


def test_one_generation_for_each_session(fresh_broker, keys):
    b = fresh_broker
    b.policy["users"] = {"dev": {"keys": keys.public()}}
    places = {"a": "/tmp", "b": "/home/dev"}
    good = {name: make(b.policy, name, place) for name, place in places.items()}
    digests = {hashlib.sha256(text.encode()).hexdigest(): name for name, text in good.items()}
    broken = good["a"].replace('"profile-a"', '"profile-c"', 1)
    b.policy = json.loads(good["a"])
    b.start()
    swapper = Swapper(b, [good["b"], broken, good["a"], broken])
    swapper.start()
    try:
        clients = []
        for _ in range(LOGINS):
            # A second command in the same session: what it gets is of the same generation.
            clients.append(b.target.popen("echo $MARK $PWD $SSH_CONNECTION", user="dev"))
            time.sleep(EACH)
        printed = [c.communicate(timeout=120 * PATIENCE) for c in clients]
    finally:
        swapper.over.set()
        swapper.join()
    assert all(c.returncode == 0 for c in clients), [p[1] for p in printed if p[1]][:3]
    logins = {e["from"].split(",")[1]: e for e in b.audit(event="login", outcome="accepted")}
    assert len(logins) == LOGINS
    marks = set()
    for out, _ in printed:
        mark, place, _, port, *_ = out.decode().split()
        login = logins.pop(port)
        assert place == places[mark]
        assert (login["rule"], login["profile"]) == (f"rule-{mark}", f"profile-{mark}")
        assert digests.get(login["sha256"]) == mark or login["generation"] == 1
        marks.add(mark)
    assert marks == {"a", "b"}, "no policy ever changed: nothing was shown"
    # Errors leave the last good one in force, generation and all; the others follow each other.
    generation, sha256 = 1, None
    seen = {"policy.loaded": 0, "policy.rejected": 0}
    for e in b.audit():
        if e["event"] == "policy.loaded":
            assert e["generation"] >= generation
            generation, sha256 = e["generation"], e["sha256"]
        elif e["event"] == "policy.rejected":
            assert (e["generation"], e["sha256"]) == (generation, sha256)
        elif e["event"] == "login":
            assert (e["generation"], e["sha256"]) == (generation, sha256)
        if e["event"] in seen:
            seen[e["event"]] += 1
    assert min(seen.values()) > 5, seen
