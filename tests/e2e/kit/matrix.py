# SPDX-License-Identifier: Apache-2.0
"""
The matrix of clients and work: tests say with the marker "cell" which of its cells they fill, and the run
ends with it as a table for each image. Such a test compares us with sshd: it uses the fixture `same`.
"""
import pytest

from kit.broker import DATA_PATH

IMAGES = ["debian", "busybox"]
FILES = ["sftp put", "sftp get", "sftp rename", "sftp resume"]
WORKS = ["shell", "exec", "pty resize", *FILES, "scp old", "scp new", "rsync", "git",
         "ansible ping", "ansible playbook", "-L", "-R", "-D", "-W", "-J", "agent", "X11",
         "many sessions"]
LIBRARY = ["shell", "exec", "pty resize", *FILES, "-R", "-W", "-J", "agent", "X11", "many sessions"]

# Those with which the data path "engine" is tried in a whole run.
BY_ENGINE = ["OpenSSH", "PuTTY"]

# What each client is able to do at all.
CLIENTS = {
    "OpenSSH": WORKS,
    "PuTTY": [w for w in WORKS if not w.startswith("ansible")],
    "Dropbear": ["shell", "exec", "pty resize", "rsync", "git", "-L", "-R", "-W", "-J", "agent"],
    "paramiko": LIBRARY,
    "asyncssh": [*LIBRARY, "scp old", "-L", "-D"],
    "curl": [*FILES, "scp old"],
    "lftp": FILES,
    "sshfs": FILES,
    "rclone": ["sftp put", "sftp get", "sftp rename"],
}


def cell(client, *works):
    """The marker for a test that has this client do these kinds of work."""
    return pytest.mark.cell(client, *works)


def possible(markers):
    """Whether there are such cells."""
    return all(len(m.args) > 1 and set(m.args[1:]) <= set(CLIENTS.get(m.args[0], ())) for m in markers)


def difference(theirs, ours):
    """Where two results differ first, in words that fit on a screen."""
    if isinstance(theirs, (tuple, list)) and type(theirs) is type(ours) and len(theirs) == len(ours):
        return next(difference(a, b) for a, b in zip(theirs, ours) if a != b)
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        return next(f"{k!r}: {difference(theirs[k], ours[k])}" for k in theirs if theirs[k] != ours[k])
    return f"sshd:\n{repr(theirs)[:2000]}\nsallyport:\n{repr(ours)[:2000]}"


class Same:
    """
    Work that has to end alike on both sides: called with a function of a target, it returns what both
    have said. `note` is for a cell that holds in a way of its own: the table tells of it.
    """

    def __init__(self, image, targets, broker=None):
        self.image = image
        self.targets = targets
        self.broker = broker
        self.note = None

    def __call__(self, work):
        theirs, ours = [work(t) for t in self.targets]
        assert ours == theirs, f"{difference(theirs, ours)}\nof\n{repr(theirs)[:2000]}\n{repr(ours)[:2000]}"
        return ours


class Matrix:
    """The plugin that collects what became of the tests of each cell."""

    def __init__(self, path):
        self.path = path
        self.cells = {}  # (image, client, work): {test: (outcome, why)}

    @staticmethod
    def cells_of(item):
        """Those that a test fills: its markers in the image that it runs in."""
        markers = list(item.iter_markers("cell"))
        if not markers:
            return []
        callspec = getattr(item, "callspec", None)
        if not possible(markers) or not callspec or "same" not in callspec.params:
            raise pytest.UsageError(f"{item.nodeid}: no such cells, or not compared with sshd")
        return [(callspec.params["same"], m.args[0], w) for m in markers for w in m.args[1:]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        """Before others choose by markers: some tests of the matrix have one more."""
        for item in items:
            cells = self.cells_of(item)
            if any(client in BY_ENGINE for _, client, _ in cells):
                item.add_marker("data_path")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item):
        """The report brings it along: with pytest-xdist the table is made in another process than the tests."""
        report = (yield).get_result()
        note = item.funcargs["same"].note if report.when == "call" and report.passed and self.cells_of(item) else None
        report.cells = self.cells_of(item), note

    def pytest_runtest_logreport(self, report):
        keys, note = getattr(report, "cells", ((), None))
        for key in keys:
            tests = self.cells.setdefault(tuple(key), {})
            if report.when == "setup":  # another try forgets the first
                tests.pop(report.nodeid, None)
            if report.failed:
                tests[report.nodeid] = ("failed", None)
            elif report.skipped:
                reason = report.longrepr[2] if isinstance(report.longrepr, (tuple, list)) else "skipped"
                tests[report.nodeid] = ("noted", reason.partition("Skipped: ")[2] or reason)
            elif report.when == "call":
                tests[report.nodeid] = ("noted", note) if note else ("ok", None)

    def outcome(self, key, notes):
        """What stands in a cell."""
        image, client, work = key
        if work not in CLIENTS[client]:
            return "."
        tests = list(self.cells.get(key, {}).values())
        if not tests:
            return "EMPTY"
        if any(o == "failed" for o, _ in tests):
            return "FAILED"
        reasons = [why for o, why in tests if o == "noted"]
        if not reasons:
            return "ok"
        if reasons[0] not in notes:
            notes.append(reasons[0])
        return f"[{notes.index(reasons[0]) + 1}]"

    def table(self):
        """The lines to print, and how many cells are empty."""
        lines, notes, empty = [], [], 0
        for image in IMAGES:
            lines += ["", "as with sshd, in the image " + image,
                      f"{'':18}" + "".join(f"{c:10}" for c in CLIENTS)]
            for work in WORKS:
                row = [self.outcome((image, client, work), notes) for client in CLIENTS]
                empty += row.count("EMPTY")
                lines.append(f"{work:18}" + "".join(f"{o:10}" for o in row))
        lines += [""] + [f"[{i}] {note}" for i, note in enumerate(notes, 1)]
        lines += [".  not something that this client does"]
        if empty:
            lines.append(f"{empty} cells are EMPTY: no test has run for them")
        return [line.rstrip() for line in lines], empty

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        """A run that was to fill the whole matrix fails where a cell is empty."""
        if self.path and not hasattr(session.config, "workerinput"):
            lines, empty = self.table()
            with open(self.path, "w", encoding="utf-8") as f:
                f.write("\n".join(lines) + "\n")
            if empty and session.exitstatus == 0:
                session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter):
        if self.cells and not self.path and DATA_PATH == "direct":
            terminalreporter.section("clients and their work")
            for line in self.table()[0]:
                terminalreporter.write_line(line)
