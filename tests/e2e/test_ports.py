# SPDX-License-Identifier: Apache-2.0
"""Who wants a port for later gets one that nobody else gets meanwhile: files of tests run side by side."""
import os
import socket
import subprocess
import sys

from kit.proc import BLOCK, free_port

PROGRAM = "from kit.proc import free_port; print(*(free_port() for _ in range(100)), flush=True); input()"


def test_no_two_processes_have_the_same():
    others = [subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=os.path.dirname(os.path.abspath(__file__)), text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(8)]
    try:
        ports = [free_port() for _ in range(100)]
        for p in others:
            ports += map(int, p.stdout.readline().split())
        assert len(ports) == 900 and len(set(ports)) == 900
    finally:
        for p in others:
            p.communicate("\n")


def test_one_that_is_in_use():
    with socket.create_server(("127.0.0.1", free_port())) as s:
        assert s.getsockname()[1] not in [free_port() for _ in range(2 * BLOCK)]
