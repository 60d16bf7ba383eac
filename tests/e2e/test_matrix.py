# SPDX-License-Identifier: Apache-2.0
"""The matrix of clients shows what failed, what is empty, and what holds in a way of its own."""
import os
import re
import subprocess
import sys

import pytest

from kit.matrix import CLIENTS, IMAGES, Matrix

HERE = os.path.dirname(os.path.abspath(__file__))
CONFTEST = f"""
import sys
sys.path.insert(0, {HERE!r})
import pytest
from kit.matrix import IMAGES, Matrix, Same

@pytest.fixture(params=IMAGES)
def same(request):
    return Same(request.param, (1, 1))

def pytest_configure(config):
    config.addinivalue_line("markers", "cell(client, work): as in pytest.ini")
    config.pluginmanager.register(Matrix("table"), "matrix")
"""
TESTS = """
import pytest
from kit.matrix import cell
tries = []

@cell("curl", "sftp put", "sftp get")
def test_good(same):
    assert same(lambda target: target) == 1

@cell("lftp", "sftp put")
def test_different(same):
    same.targets = (1, 2)
    same(lambda target: target)

@cell("lftp", "sftp get")
@pytest.mark.parametrize("part", [1, 2])
def test_one_of_two(same, part):
    assert part == 1

@cell("sshfs", "sftp put")
def test_skipped(same):
    pytest.skip("no such device")

@cell("sshfs", "sftp get")
def test_noted(same):
    same.note = "in its own way"

@cell("curl", "sftp rename")
def test_second_try(same):
    tries.append(same.image)
    assert tries.count(same.image) == 2
"""


def rows(text):
    """{image: {work: {client: outcome}}} of a printed table."""
    found = {}
    for line in text.splitlines():
        if line.startswith("as with sshd, in the image "):
            mine = found.setdefault(line.split()[-1], {})
        elif re.match(r"\S.{17}\S", line) and found:
            cells = [line[18 + 10 * i:28 + 10 * i].strip() for i in range(len(CLIENTS))]
            mine[line[:18].strip()] = dict(zip(CLIENTS, cells))
    return found


def run(path, tests):
    (path / "conftest.py").write_text(CONFTEST)
    (path / "test_them.py").write_text(tests)
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reruns",
                           "1"], cwd=path, capture_output=True, text=True, timeout=60, check=False)


def test_table(tmp_path):
    r = run(tmp_path, TESTS)
    assert r.returncode == 1, r.stdout + r.stderr
    text = (tmp_path / "table").read_text()
    table = rows(text)
    assert list(table) == IMAGES
    for image in IMAGES:
        put, get, rename = (table[image][w] for w in ("sftp put", "sftp get", "sftp rename"))
        assert (put["curl"], get["curl"], rename["curl"]) == ("ok", "ok", "ok")
        assert (put["lftp"], get["lftp"]) == ("FAILED", "FAILED")
        assert (put["sshfs"], get["sshfs"]) == ("[1]", "[2]")
        assert (put["OpenSSH"], rename["lftp"]) == ("EMPTY", "EMPTY")
        assert (put["Dropbear"], table[image]["shell"]["curl"]) == (".", ".")
    assert "[1] no such device\n[2] in its own way\n" in text
    assert re.search(r"^\d+ cells are EMPTY", text, re.M)


def test_an_empty_cell_fails_the_run(tmp_path):
    """Though all of its tests pass."""
    r = run(tmp_path, TESTS[:TESTS.index('@cell("lftp", "sftp put")')])
    assert "2 passed" in r.stdout and "failed" not in r.stdout
    assert r.returncode == 1


@pytest.mark.parametrize("marker", ['"curl", "sftp putt"', '"crul", "sftp put"', '"curl", "shell"', '"curl"'])
def test_a_cell_that_there_is_not(tmp_path, marker):
    r = run(tmp_path, f"from kit.matrix import cell\n@cell({marker})\ndef test(same): pass\n")
    assert r.returncode == 4 and "no such cells" in r.stderr + r.stdout


def test_not_compared(tmp_path):
    r = run(tmp_path, 'from kit.matrix import cell\n@cell("curl", "sftp put")\ndef test(): pass\n')
    assert r.returncode == 4 and "not compared with sshd" in r.stderr + r.stdout


def test_full():
    """A matrix without an empty cell has none."""
    full = Matrix(None)
    full.cells = {(i, c, w): {"t": ("ok", None)} for i in IMAGES for c in CLIENTS for w in CLIENTS[c]}
    assert full.table()[1] == 0
