# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one engine, one oracle and one broker for the whole run; a fresh broker where asked."""
import fcntl
import os
import re
import subprocess
import tempfile

import pytest

from kit.broker import BUILD, TREE, Broker
from kit.docker import LABEL, Engine
from kit.matrix import IMAGES, Matrix, Same
from kit.oracle import Oracle
from kit.podman import PODMAN, Podman
from kit.proc import wait_for
from kit.target import PATIENCE, Keys

# The search for leaks at the end of a process does not get along with our filters, and would hang: the
# unit tests do that.
os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")

# What a sanitizer or an assertion of ours says when a process of ours was wrong.
ALARMS = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed|"
                    r"stack smashing|buffer overflow detected")

BROKER_LOG = "the broker's log"


@pytest.fixture(scope="session")
def build():
    """Where the binaries under test are."""
    return BUILD


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(os.environ.get("SALLYPORT_KEYS_DIR") or str(tmp_path_factory.mktemp("keys")))


@pytest.fixture(scope="session")
def engine():
    """
    A private Docker Engine with our images, one for each process of pytest-xdist. `./dev test` stops
    it at its end; when pytest was started by hand it stops here. Or, with SALLYPORT_ENGINE=podman, a Podman.
    """
    if PODMAN:
        e = Podman("busybox", "bash", "onebinary", "oracle")
        try:
            e.start()
            yield e
        finally:
            e.stop()
        return
    given = os.environ.get("SALLYPORT_ENGINE_DIR")
    process = os.environ.get("PYTEST_XDIST_WORKER")
    e = Engine((given or f"{TREE}/.dev/engine") + (f"-{process}" if process else ""))
    if "SALLYPORT_ENGINE_SOCKET" in os.environ:
        # A run inside of a test of another run (kit/mutant.py): the engine is that one's, and others work on it.
        e.socket = os.environ["SALLYPORT_ENGINE_SOCKET"]
        e.shared = True
        yield e
        return
    with open(e.lock(), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit(f"another run uses the engine in {e.directory}: wait for it, or set "
                        "SALLYPORT_ENGINE_DIR to a directory of your own", 2)
        e.start()
        e.images()
        e.empty()  # what an earlier run has left would be held against this one
        yield e
        if not given:
            e.stop()


@pytest.fixture(scope="module")
def own_engine(engine):
    """Not the one that the other tests use: this one may be stopped."""
    e = Engine(f"{engine.directory}-restart")
    e.start()
    e.images()
    e.empty()
    yield e
    e.stop()


@pytest.fixture(autouse=True)
def engine_works(request):
    """Docker 20.10 can wedge for good: one that did is replaced before it fails every test."""
    if "engine" in request.fixturenames:
        e = request.getfixturevalue("engine")
        if not e.healthy():
            e.stop()
            e.start()
            pytest.fail("the Docker Engine hung and was replaced")
    yield


@pytest.fixture(scope="session")
def oracle(engine, keys):
    o = Oracle(engine, keys)
    yield o
    o.close()


@pytest.fixture(scope="session")
def busyoracle(engine, keys):
    """Where everything but sshd itself is busybox."""
    o = Oracle(engine, keys, "busyoracle")
    yield o
    o.close()


def check_log(broker, since):
    alarm = ALARMS.search(broker.log(since))
    assert alarm is None, f"{alarm.group()} in the broker's log:\n{broker.log(since)[-4000:]}"


def nothing_is_left(engine):
    """Of a test that is over. If something is, this test alone has failed: the later ones find the engine empty."""
    try:
        wait_for(lambda: not engine.containers(), 20 * PATIENCE, "the containers of this test are gone")
    except AssertionError as e:
        left = engine.described()
        engine.empty(LABEL)
        raise AssertionError(f"{e}: {left}") from None


@pytest.fixture(scope="session")
def shared_broker(engine, keys):
    b = Broker(keys, engine.socket)
    b.start()
    yield b
    b.close()


@pytest.fixture
def broker(shared_broker, engine):
    """The broker that most tests share. Whatever a test did, nothing may be left of it."""
    assert shared_broker.process.poll() is None, "the broker is gone"
    since = shared_broker.log_size()
    yield shared_broker
    assert shared_broker.process.poll() is None, f"the broker ended:\n{shared_broker.log(since)}"
    wait_for(shared_broker.settled, 15 * PATIENCE, "the workers of this test have ended")
    nothing_is_left(engine)
    check_log(shared_broker, since)


@pytest.fixture
def fresh_broker(engine, keys):
    """A broker that is not started yet: for tests that change, stop or kill it."""
    b = Broker(keys, engine.socket)
    yield b
    try:
        if b.process is not None:
            code = b.stop() if b.process.poll() is None else 0  # a test may have ended it, however
            check_log(b, 0)
            assert code == 0, f"the broker was told to stop, and ended with {code}"
    finally:
        b.close()
        nothing_is_left(engine)


@pytest.fixture
def sallyport(broker):
    return broker.target


@pytest.fixture(params=["sshd", "sallyport"])
def target(request):
    """The same test against the oracle and against us."""
    if request.param == "sshd":
        return request.getfixturevalue("oracle").target
    return request.getfixturevalue("broker").target


@pytest.fixture
def both(oracle, request):
    """
    Oracle and us, for tests that compare the two. SALLYPORT_ORACLE_TWICE=1 puts the oracle into both
    places: a comparison that fails then is the test's own fault.
    """
    if os.environ.get("SALLYPORT_ORACLE_TWICE"):
        return oracle.target, oracle.target
    return oracle.target, request.getfixturevalue("broker").target


@pytest.fixture(params=[pytest.param(IMAGES[0], marks=pytest.mark.quick), *IMAGES[1:]])
def same(request):
    """
    Oracle and us in the same image, everything allowed: see kit/matrix.py. With sanitizers the first image
    will do.
    """
    oracle = request.getfixturevalue({"debian": "oracle", "busybox": "busyoracle"}[request.param])
    if os.environ.get("SALLYPORT_ORACLE_TWICE"):
        return Same(request.param, (oracle.forwarding, oracle.forwarding))
    broker = request.getfixturevalue("broker")
    return Same(request.param, (oracle.forwarding, broker.target.of(request.param)), broker)


@pytest.fixture
def control(tmp_path):
    """Path for a ControlMaster's socket, short enough for one."""
    with tempfile.TemporaryDirectory(prefix="sp-cm-", dir="/tmp") as d:
        yield f"{d}/s"


@pytest.fixture
def agent(tmp_path):
    """An agent with one key: its socket, and the key's fingerprint."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    path = tmp_path / "a"
    p = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    env = dict(os.environ, SSH_AUTH_SOCK=str(path))
    try:
        wait_for(path.exists, 10 * PATIENCE, "the agent listens")
        subprocess.run(["ssh-add", "-q", key], env=env, check=True, stderr=subprocess.DEVNULL)
        r = subprocess.run(["ssh-add", "-l"], env=env, check=True, capture_output=True)
        yield str(path), r.stdout.split()[1]
    finally:
        p.kill()
        p.wait()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what its broker had to say."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        found = getattr(item, "funcargs", {}).values()
        found = [getattr(v, "broker", v) for v in found]
        for value in {id(v): v for v in found if isinstance(v, Broker)}.values():
            if os.path.exists(f"{value.dir}/log"):
                lines = value.log().splitlines()[-40:]
                report.sections.append((BROKER_LOG, "\n".join(lines)))


def pytest_terminal_summary(terminalreporter):
    """What the first try of an unsteady test had to say: it passed the second time, and is not forgotten."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}", sep="_")
        terminalreporter.write_line(report.longreprtext)
        for title, text in report.sections:
            if title == BROKER_LOG:
                terminalreporter.section(title, sep="-")
                terminalreporter.write_line(text)


def pytest_collection_modifyitems(items):
    """With pytest-xdist whole files are handed out in this order: what takes minutes must not come last."""
    longest = ["test_systemd.py", "test_user_mode.py", "test_client_files.py", "test_waiting_listener.py",
               "test_memory.py", "test_pool.py"]
    if PODMAN:
        # The oracle is made with Docker's command line, in ways that are Docker's.
        items[:] = [i for i in items if "oracle" not in i.fixturenames and "[sshd" not in i.name]
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


def pytest_addoption(parser):
    parser.addoption("--matrix", metavar="FILE", help="write the matrix of clients into FILE, and "
                     "fail when one of its cells is empty")


def pytest_configure(config):
    config.pluginmanager.register(Matrix(config.getoption("--matrix")), "matrix")


def pytest_report_header():
    return [f"binaries under test: {BUILD}"]
