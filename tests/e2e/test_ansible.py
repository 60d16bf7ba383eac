# SPDX-License-Identifier: Apache-2.0
"""
Ansible, which by default runs everything over a shared connection of OpenSSH's client: its words and
what it leaves are the same as with sshd. Where the image has no python, only what needs none works.
"""
import subprocess

import pytest

from kit.clients import environment
from kit.matrix import cell
from kit.target import PATIENCE

pytestmark = pytest.mark.slow

PLAYBOOK = {
    "debian": """
- hosts: all
  gather_facts: true
  gather_subset: ["!all", "min"]
  tasks:
    - debug: {msg: "{{ ansible_distribution }} {{ ansible_user_uid }}"}
    - copy: {src: FILE, dest: /tmp/ansible/FILE, mode: "0640"}
      register: failed
      ignore_errors: true
    - file: {path: /tmp/ansible, state: directory, mode: "0750"}
    - copy: {src: FILE, dest: /tmp/ansible/FILE, mode: "0640"}
    - copy: {src: FILE, dest: /tmp/ansible/FILE, mode: "0640"}
    - lineinfile: {path: /tmp/ansible/FILE, line: "one more"}
    - command: cat /tmp/ansible/FILE
      register: text
    - debug: {var: text.stdout_lines}
    - shell: "echo out; echo err >&2; exit 3"
      register: shell
      failed_when: shell.rc != 3 or shell.stderr != "err"
    - script: script.sh first
      register: script
    - debug: {var: script.stdout_lines}
    - fetch: {src: /tmp/ansible/FILE, dest: fetched, flat: true}
    - file: {path: /tmp/ansible, state: absent}
""",
    "busybox": """
- hosts: all
  gather_facts: false
  tasks:
    - raw: "mkdir /tmp/ansible; echo out; echo err >&2"
      register: raw
    - debug: {var: raw.stdout_lines}
    - script: script.sh first
      register: script
    - debug: {var: script.stdout_lines}
    - raw: "rm -r /tmp/ansible; exit 3"
      register: raw
      failed_when: raw.rc != 3
    - command: "true"
      ignore_errors: true
"""}
WORDS = {"debian": [b'"one more"', b"debian 1000"], "busybox": [b"/usr/bin/python3: not found"]}


class Ansible:
    """Its folder, with an inventory of the one host that is called so on both sides."""

    def __init__(self, target, path, image):
        self.path = path / f"{target.name}-{target.port}"
        self.path.mkdir()
        # Its default is ~LOGIN/.ansible/tmp: the images know the login of the oracle, not ours.
        self.env = environment(target, ANSIBLE_REMOTE_TMP="/home/dev/.ansible", ANSIBLE_NOCOLOR="1",
                               ANSIBLE_DEPRECATION_WARNINGS="False",
                               ANSIBLE_SSH_CONTROL_PATH=f"{target.home}/.ssh/%%h-%%r", LC_ALL="C.UTF-8")
        arguments = " ".join(a for a in target.options() if "=" in a or a == "-o")
        (self.path / "hosts").write_text(
            f"host ansible_host=127.0.0.1 ansible_port={target.port} ansible_user={target.user} "
            f"ansible_ssh_private_key_file={target.keys.user} ansible_python_interpreter=/usr/bin/python3 "
            f"ansible_ssh_common_args='-F none {arguments}'\n")
        (self.path / "FILE").write_text("first\n")
        (self.path / "script.sh").write_text("#!/bin/sh\necho script $1\nid -u\n")
        (self.path / "play.yml").write_text(PLAYBOOK[image])
        self.user = target.user

    def run(self, *argv):
        r = subprocess.run([*argv, "-i", "hosts"], cwd=self.path, env=self.env, check=False,
                           capture_output=True, stdin=subprocess.DEVNULL, timeout=150 * PATIENCE)
        out, err = (s.replace(str(self.path).encode(), b"HERE") for s in (r.stdout, r.stderr))
        return r.returncode, out, err

    def close(self):
        """The shared connection, which would stay for a minute."""
        subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={self.env['HOME']}/.ssh/%h-%r", "-F",
                        "none", f"{self.user}@127.0.0.1"], capture_output=True, check=False,
                       timeout=30 * PATIENCE)


def same_words(same, tmp_path, *argv):
    def work(target):
        a = Ansible(target, tmp_path, same.image)
        try:
            said = a.run(*argv)
            fetched = a.path / "fetched"
            return said, fetched.read_bytes() if fetched.exists() else None
        finally:
            a.close()
    return same(work)


@cell("OpenSSH", "ansible ping")
def test_ping(same, tmp_path):
    (code, out, _), _ = same_words(same, tmp_path, "ansible", "all", "-m", "ping")
    if same.image == "busybox":
        same.note = "the image has no python: both answer alike"
        assert code == 2 and b"not found" in out
    else:
        assert code == 0 and b'"ping": "pong"' in out


@cell("OpenSSH", "ansible playbook")
@pytest.mark.timeout(400)
def test_playbook(same, tmp_path):
    (code, out, err), fetched = same_words(same, tmp_path, "ansible-playbook", "play.yml")
    assert code == 0, out + err
    assert b'"script first"' in out and all(w.lower() in out.lower() for w in WORDS[same.image]), out
    assert fetched == (b"first\none more\n" if same.image == "debian" else None)
    if same.image == "busybox":
        same.note = "of raw and script, which need no python there"
