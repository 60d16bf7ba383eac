# SPDX-License-Identifier: Apache-2.0
"""
An engine that hangs at each of its endpoints, answers nonsense, lies about ids, or answers when nobody
waits any more: the person gets a sentence, the sessions of others go on, and nothing is left.
"""
import time

import pytest

from kit.proc import wait_for
from kit.target import PATIENCE
from test_bad_days import fails, fake  # noqa: F401 (a fixture)

ID = "f" * 64


def body(text, kind="application/json", status="200 OK", extra=""):
    return (f"HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Type: {kind}\r\n{extra}"
            f"Content-Length: {len(text)}\r\n\r\n{text}")


def well_again(b, engine):
    wait_for(lambda: b.target.ssh("echo again").stdout == b"again\n", 40 * PATIENCE,
             "the next login works")
    wait_for(lambda: not engine.containers(), 40 * PATIENCE, "nothing is left")


class Neighbour:
    """Somebody whose session was there before, and who must not notice."""

    def __init__(self, target):
        self.p = target.popen("while read x; do echo $x; done")
        self.says("here")

    def says(self, word):
        self.p.stdin.write(word.encode() + b"\n")
        self.p.stdin.flush()
        assert self.p.stdout.readline() == word.encode() + b"\n"

    def leaves(self):
        self.p.stdin.close()
        assert self.p.wait(20 * PATIENCE) == 0
        self.p.stdout.close()
        self.p.stderr.close()


def test_out_of_reach(fresh_broker, fake, engine):  # noqa: F811
    """For whom the direct data path leads nowhere is said before somebody logs in, and once; others get what reaches."""
    b = fresh_broker
    for name, path in (("dev", "direct"), ("busy", "engine"), ("nopty", "auto")):
        b.policy["profiles"][name]["container"]["data_path"] = path
    fake.rules([{"path": "^/info", "action": "lie", "set": {"Name": "far\x1baway", "MemTotal": 1024}}])
    b.start()
    wait_for(lambda: 'profile "dev": the engine runs on "far?away"' in b.log(), 20 * PATIENCE, "it is said")
    assert 'take "data_path" out of the profile' in b.log()
    assert 'profile "busy"' not in b.log() and 'profile "nopty"' not in b.log()
    assert 'the data path is "engine" where a profile does not say: the engine runs on "far?away"' in b.log()
    fake.rules([{"path": "/networks", "action": "drop"}])
    wait_for(lambda: "is not responding" in b.log(), 30 * PATIENCE, "the engine is away")
    fake.rules([{"path": "^/info", "action": "garble"}])
    wait_for(lambda: "the engine does not say what it is" in b.log(), 30 * PATIENCE, "it is asked again")
    assert b.log().count('profile "dev": the engine runs on') == 1
    assert b.target.ssh("echo there").stdout == b"there\n"


@pytest.mark.parametrize("method, path", [
    ("GET", "/_ping"),
    ("POST", "/containers/create"),
    ("GET", "/containers/[^/]+/json"),
    ("POST", "/start"),
])
def test_hangs_at(fresh_broker, fake, engine, method, path):  # noqa: F811
    b = fresh_broker.start()
    neighbour = Neighbour(b.target)
    if path == "/_ping":  # asked anew when a connection was lost
        fake.rules([{"method": method, "path": path, "action": "hang"},
                    {"path": "/networks", "action": "drop"}])
        wait_for(lambda: "is not responding" in b.log(), 30 * PATIENCE, "the broker has noticed")
    else:
        fake.rules([{"method": method, "path": path, "action": "hang"}])
    fails(b.target, b"container", seconds=40 * PATIENCE)
    neighbour.says("unharmed")
    fake.rules([])
    neighbour.leaves()
    well_again(b, engine)


def test_hangs_at_removal(fresh_broker, fake, engine):  # noqa: F811
    """Nobody who logs in waits for what somebody else has left, and it goes when the engine can."""
    b = fresh_broker.start()
    fake.rules([{"method": "DELETE", "path": "/containers/", "action": "hang"}])
    for _ in range(2):
        assert b.target.ssh("echo ok").stdout == b"ok\n"
    fake.rules([])
    well_again(b, engine)


NONSENSE = {
    "bad-chunk-size": "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunk-of-an-exabyte":
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n{}\r\n",
    "negative-length": "HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n{}",
    "length-of-an-exabyte": "HTTP/1.1 201 Created\r\nContent-Length: 999999999999999999\r\n\r\n{",
    "deep-json": body("[" * 100000 + "]" * 100000, status="201 Created"),
    "many-values": body("[" + "0," * 400000 + "0]", status="201 Created"),
    "giant-string": body('{"Id":"' + "x" * 3000000 + '"}', status="201 Created"),
    "html": body("<html><body>Bad gateway</body></html>", kind="text/html", status="201 Created"),
    "another-type": body('{"Id":"' + ID + '"}', kind="application/octet-stream", status="201 Created"),
    "endless-header": "HTTP/1.1 201 Created\r\nX-Long: " + "y" * 300000 + "\r\n\r\n{}",
    "switching-protocols": "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
    "redirect": "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "success-for-nothing": body("", status="201 Created"),
    "id-of-another-kind": body('{"Id":"../../images/x"}', status="201 Created"),
    "ids-twice": body('{"Id":"' + ID + '","Id":"' + "e" * 64 + '"}', status="201 Created"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_answers_nonsense(fresh_broker, fake, engine, name):  # noqa: F811
    b = fresh_broker.start()
    neighbour = Neighbour(b.target)
    fake.rules([{"path": "/containers/create", "action": "raw", "bytes": NONSENSE[name]}])
    fails(b.target, b"container", seconds=40 * PATIENCE)
    neighbour.says("unharmed")
    fake.rules([])
    neighbour.leaves()
    well_again(b, engine)


def test_answers_a_byte_a_second(fresh_broker, fake, engine):  # noqa: F811
    """The deadline is for the whole answer, not for the next byte."""
    b = fresh_broker.start()
    neighbour = Neighbour(b.target)
    fake.rules([{"path": "/containers/create", "action": "slow", "seconds": 1}])
    assert fails(b.target, b"container", seconds=40 * PATIENCE) < 25 * PATIENCE
    neighbour.says("unharmed")
    fake.rules([])
    neighbour.leaves()
    well_again(b, engine)


def test_create_answers_with_a_foreign_id(fresh_broker, fake, engine):  # noqa: F811
    """Somebody else's container is neither started nor touched."""
    foreign = engine.run("create", "--name", "not-ours", "sallyport-test/busybox:latest", "sh")
    try:
        b = fresh_broker.start()
        since = b.log_size()
        fake.rules([{"path": "/containers/create", "action": "lie", "set": {"Id": foreign}}])
        fails(b.target, b"container", seconds=40 * PATIENCE)
        assert "made something else" in b.log(since)
        fake.rules([])
        well_again(b, engine)
        assert engine.inspect(foreign)["State"]["Status"] == "created"
        assert not [r for r in fake.requests()
                    if r["method"] in ("POST", "DELETE") and foreign in r["path"]]
    finally:
        engine.run("rm", "-f", foreign)


@pytest.mark.parametrize("what", [{"Id": ID}, {"Name": "/another"}, {"State.Pid": 1},
                                  {"State.Pid": 0}, {"State.Running": False}],
                         ids=lambda what: next(iter(what)))
def test_inspect_lies_about(fresh_broker, fake, engine, what):  # noqa: F811
    """What it says of the container is not what was asked for, or not who reported as its guest."""
    b = fresh_broker.start()
    fake.rules([{"method": "GET", "path": "/containers/[^/]+/json", "action": "lie", "set": what}])
    fails(b.target, b"container", seconds=40 * PATIENCE)
    fake.rules([])
    well_again(b, engine)


@pytest.mark.parametrize("path", ["/containers/create", "/start", "/json"])
def test_answers_after_the_client_has_gone(fresh_broker, fake, engine, path):  # noqa: F811
    """What was made for nobody is removed, as soon as the engine says that it is there."""
    b = fresh_broker.start()
    assert b.target.ssh("echo first").stdout == b"first\n"
    wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the first container is gone")
    fake.rules([{"path": path, "action": "delay", "seconds": 2}])
    before = len(fake.requests())
    since = b.log_size()
    p = b.target.popen("echo never")
    wait_for(lambda: "logged in: key" in b.log(since), 20 * PATIENCE, "a login")
    time.sleep(0.5)
    p.kill()
    p.communicate()
    wait_for(lambda: len(fake.requests()) > before, 20 * PATIENCE, "the engine answers")
    fake.rules([])
    well_again(b, engine)


def test_start_fails_after_it_has_started(fresh_broker, fake, engine):  # noqa: F811
    """A start that the engine carried out and answered with 500 is not sent again (moby#34978)."""
    b = fresh_broker.start()
    fake.rules([{"path": "/start", "action": "drop_after"}])
    fails(b.target, b"container", seconds=40 * PATIENCE)
    fake.rules([])
    well_again(b, engine)
    starts = [r["path"] for r in fake.requests() if r["path"].endswith("/start")]
    assert len(starts) == len(set(starts)), "one container was started twice"


def test_answers_after_the_container_was_given_up(fresh_broker, fake, engine):  # noqa: F811
    """The last look, whose answer comes when the time to report is over: the container stays down."""
    fresh_broker.config["engine"]["call_timeout"] = "25s"
    b = fresh_broker.start()
    looks = {"method": "GET", "path": "/containers/[^/]+/json"}
    fake.rules([dict(looks, action="pass", times=2), dict(looks, action="delay", seconds=13)])
    p = b.target.popen("-N")
    wait_for(lambda: b.audit(event="container.down"), 30 * PATIENCE, "it is given up")
    assert "the guest did not report in time" in b.log()
    wait_for(lambda: "delay" in [r["action"] for r in fake.requests()], 30 * PATIENCE, "the engine answers")
    time.sleep(1)
    assert not b.audit(event="container.up")
    p.kill()
    p.communicate()
    fake.rules([])
    well_again(b, engine)
