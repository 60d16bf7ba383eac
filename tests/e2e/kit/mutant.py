# SPDX-License-Identifier: Apache-2.0
"""
The tree with one protection taken out. What was changed lies over the tree, in a mount namespace that
ends with the command: all paths stay as they are, so that building it means compiling what was changed,
and nobody else ever sees it. What is written there is written to memory.
"""
import glob
import os
import shutil
import subprocess
import tempfile

from kit.broker import BUILD, TREE

SOURCES = ["broker", "common", "daemon", "policy"]
TARGETS = ["sallyport-broker", "sallyportd", "sallyportd-evil"]

# In the namespace: mount, change, build, run. 99: the mutant does not even build.
SCRIPT = """
mkdir "$1/layer" && mount -t tmpfs tmpfs "$1/layer" && mkdir "$1/layer/upper" "$1/layer/work" &&
	mount -t overlay -o "lowerdir=$2,upperdir=$1/layer/upper,workdir=$1/layer/work" overlay "$2" &&
	cp -r "$1/changed/." "$2" && cd "$2" || exit 98
cmake --build "$3" --target $4 >build.log 2>&1 || { cat build.log; exit 99; }
shift 4
exec "$@"
"""


class Mutant:
    """changes: {text that is in exactly one source file: what stands there instead}."""

    def __init__(self, changes):
        self.directory = tempfile.mkdtemp(prefix="sp-mutant-", dir="/tmp")
        os.mkdir(f"{self.directory}/changed")
        self.changed = {}  # path in the tree: its text
        for old, new in changes.items():
            self.change(old, new)
        for path, text in self.changed.items():
            os.makedirs(os.path.dirname(f"{self.directory}/changed/{path}"), exist_ok=True)
            with open(f"{self.directory}/changed/{path}", "w", encoding="utf-8") as f:
                f.write(text)

    def change(self, old, new):
        """Exactly one place must have this text: else the sources have moved on, and so must we."""
        found = []
        for path in (p for part in SOURCES for p in glob.glob(f"{part}/**/*.c", root_dir=TREE, recursive=True)):
            with open(f"{TREE}/{path}", encoding="utf-8") as f:
                text = self.changed.get(path) or f.read()
            found += [(path, text)] * text.count(old)
        assert len(found) == 1, f"{len(found)} places in the sources have this text: {old!r}"
        path, text = found[0]
        self.changed[path] = text.replace(old, new)

    def run(self, *command, seconds, env):
        """Build it and run the command in it; exit code and all that was printed."""
        r = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh",
                            self.directory, TREE, BUILD, " ".join(TARGETS), *command], env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=seconds, check=False)
        return r.returncode, r.stdout

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
