# SPDX-License-Identifier: Apache-2.0
"""fake_engine.py between a broker and the real engine: it makes faults, and it keeps a record."""
import json
import os
import subprocess
import sys

from kit.broker import HERE
from kit.proc import wait_for
from kit.target import PATIENCE


class FakeEngine:
    """rules() changes what it does; requests() is what has been asked through it."""

    def __init__(self, directory, engine):
        self.socket = f"{directory}/engine.sock"
        self.rules_file = f"{directory}/rules.json"
        self.log_file = f"{directory}/requests"
        self.rules([])
        self.process = subprocess.Popen(
            [sys.executable, f"{HERE}/fake_engine.py", "--listen", self.socket, "--engine",
             engine.socket, "--rules", self.rules_file, "--log", self.log_file])
        wait_for(lambda: os.path.exists(self.socket), 20 * PATIENCE, "the fake engine listens")

    def rules(self, rules):
        with open(f"{self.rules_file}.new", "w", encoding="utf-8") as f:
            json.dump(rules, f)
        os.rename(f"{self.rules_file}.new", self.rules_file)

    def requests(self):
        with open(self.log_file, encoding="utf-8") as f:
            # The last one may still be being written.
            return [json.loads(line) for line in f if line.endswith("\n")]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
