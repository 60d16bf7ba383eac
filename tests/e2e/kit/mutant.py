# SPDX-License-Identifier: Apache-2.0
"""
The tree with one protection taken out. A copy of it is mounted over the tree, in a mount namespace that
ends with the command: all paths stay as they are, so that building it means compiling what was changed,
and nobody else ever sees it.
"""
import glob
import os
import shutil
import subprocess
import tempfile

from kit.broker import BUILD, TREE

NOT_COPIED = {".git", ".dev", "build"}
SOURCES = ["broker", "common", "daemon", "policy"]
TARGETS = ["sallyport-broker", "sallyportd", "sallyportd-evil"]

# In the namespace: mount, build, run. 99: the mutant does not even build.
SCRIPT = """
mount --bind "$1" "$2" && cd "$2" || exit 98
cmake --build "$3" --target $4 >build.log 2>&1 || { cat build.log; exit 99; }
shift 4
exec "$@"
"""


class Mutant:
    """changes: {text that is in exactly one source file: what stands there instead}."""

    def __init__(self, changes):
        self.directory = tempfile.mkdtemp(prefix="sp-mutant-", dir="/tmp")
        relative = os.path.relpath(BUILD, TREE)
        parts = [part for part in os.listdir(TREE) if part not in NOT_COPIED]
        subprocess.run(["cp", "-a", "--parents", *parts, relative, self.directory], cwd=TREE, check=True)
        for old, new in changes.items():
            self.change(old, new)

    def change(self, old, new):
        """Exactly one place must have this text: else the sources have moved on, and so must we."""
        files = [f for part in SOURCES for f in glob.glob(f"{self.directory}/{part}/**/*.c",
                                                          recursive=True)]
        found = []
        for path in files:
            with open(path, encoding="utf-8") as f:
                text = f.read()
            found += [(path, text)] * text.count(old)
        assert len(found) == 1, f"{len(found)} places in the sources have this text: {old!r}"
        path, text = found[0]
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))

    def run(self, *command, seconds, env):
        """Build it and run the command in it; exit code and all that was printed."""
        r = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh",
                            self.directory, TREE, BUILD, " ".join(TARGETS), *command], env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=seconds, check=False)
        return r.returncode, r.stdout

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
