# SPDX-License-Identifier: Apache-2.0
"""
Forwards, jumps, the agent and X11: by clients that others wrote, in each image, as under sshd. What is peculiar
to them is in test_forward.py and test_remote_forward.py, with OpenSSH's client.
"""
import asyncio
import os
import re
import shutil
import socket
import subprocess
import threading

import asyncssh
import paramiko
import pytest
from paramiko.agent import AgentRequestHandler

from kit.clients import clients, environment, fingerprint, plink, run
from kit.held import Held
from kit.matrix import cell
from kit.proc import free_port, wait_for
from kit.service import Service, connect, echo, exchange
from kit.target import PATIENCE
from kit.x11 import DRAW, XServer, serve_channel

BLOCKS = [bytes([i]) * 5000 + os.urandom(200_000) for i in range(5)]
PAGE = r"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"


def until_listening(port):
    """A script that waits until somebody listens at a port of the other side's."""
    return f"until busybox netstat -ltn | busybox grep -q ':{port} '; do busybox sleep 0.1; done"


class Backend:
    """
    A port of the other side's loopback where each connection gets a command, while the script runs there: from the
    moment on when it says that it is up. The oracle's loopback is this machine's.
    """

    def __init__(self, target, command="cat"):
        self.service = None
        if target.name == "sshd":
            def serve(s):
                s.settimeout(None)
                subprocess.run(["sh", "-c", command], stdin=s, stdout=s, check=False)
            self.service = Service(serve)
        self.port = self.service.port if self.service else free_port()
        self.script = "echo up; read x"
        if not self.service:
            self.script = (f"busybox nc -ll -p {self.port} -e {command} & {until_listening(self.port)}; "
                           f"{self.script}; kill $!")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.service:
            self.service.__exit__()


class Running:
    """A client with a forward, whose session is the service that is forwarded to."""

    def __init__(self, target, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env=environment(target))

    def __enter__(self):
        assert self.process.stdout.readline() == b"up\n"
        return self

    def __exit__(self, *_):
        try:
            self.process.communicate(b"\n", timeout=20 * PATIENCE)
        except subprocess.TimeoutExpired:  # some wait for their forwarded connections
            self.process.kill()
            self.process.communicate()


def five_at_once(port):
    """Five connections to a local port, each with its own bytes: what came back."""
    sockets = [wait_for(lambda: try_connect(port), 20 * PATIENCE, "the forward works")
               for _ in BLOCKS]
    got = [None] * len(BLOCKS)

    def work(i):
        got[i] = exchange(sockets[i], BLOCKS[i])
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(BLOCKS))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return got


def with_backend(target, work, command="cat"):
    """The coroutine function's result for a connection of asyncssh and a service over there."""
    with Backend(target, command) as b:
        return target.asyncssh(lambda connection: work(connection, b))


def try_connect(port):
    try:
        return connect(port)
    except (OSError, AssertionError):
        return None


@clients("-L")
def test_local(same, client):
    def work(target):
        local = free_port()
        with Backend(target) as b, Running(target, client(target, b.script, options=[
                "-L", f"{local}:127.0.0.1:{b.port}"])):
            return five_at_once(local)
    assert same(work) == BLOCKS


@cell("asyncssh", "-L")
def test_local_asyncssh(same):
    async def work(connection, b):
        p = await connection.create_process(b.script)
        assert await p.stdout.readline() == "up\n"
        listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", b.port)
        got = await asyncio.get_running_loop().run_in_executor(None, five_at_once,
                                                               listener.get_port())
        listener.close()
        p.stdin.write("\n")
        return got
    assert same(lambda t: with_backend(t, work)) == BLOCKS


def reach(port):
    """A script that sends its input to such a port."""
    return f"{until_listening(port)}; exec busybox nc 127.0.0.1 {port}"


@clients("-R")
def test_remote(same, client):
    def work(target):
        with Service(echo) as s:
            port = free_port()
            return run(target, client(target, reach(port),
                                      options=["-R", f"{port}:127.0.0.1:{s.port}"]), BLOCKS[0])
    code, out, _ = same(work)
    assert (code, out) == (0, BLOCKS[0])


def pump(channel, port):
    """A channel's bytes to a port of ours and back."""
    with socket.create_connection(("127.0.0.1", port), 20 * PATIENCE) as s:
        def forth():
            while data := channel.recv(1 << 15):
                s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        t = threading.Thread(target=forth)
        t.start()
        try:
            while data := s.recv(1 << 15):
                channel.sendall(data)
            channel.shutdown_write()
        except OSError:
            pass
        t.join()
        channel.close()


def serve_port(transport, port):
    """Have a port listened at over there, whose connections come to this one of ours."""
    def handler(channel, *_):
        threading.Thread(target=pump, args=(channel, port), daemon=True).start()
    return transport.request_port_forward("localhost", 0, handler)


@cell("paramiko", "-R")
def test_remote_paramiko(same):
    def work(target):
        transport = target.paramiko()
        try:
            with Service(echo) as s:
                channel = transport.open_session()
                channel.settimeout(30 * PATIENCE)
                channel.exec_command(reach(serve_port(transport, s.port)))
                channel.sendall(BLOCKS[0])
                channel.shutdown_write()
                return channel.makefile("rb").read(), channel.recv_exit_status()
        finally:
            transport.close()
    assert same(work) == (BLOCKS[0], 0)


@cell("asyncssh", "-R")
def test_remote_asyncssh(same):
    def work(target):
        with Service(echo) as s:
            async def there(connection):
                listener = await connection.forward_remote_port("localhost", 0, "127.0.0.1", s.port)
                r = await connection.run(reach(listener.get_port()), input=BLOCKS[0], encoding=None)
                return r.exit_status, r.stdout
            return target.asyncssh(there)
    assert same(work) == (0, BLOCKS[0])


def pages(socks, port):
    """What a browser would see through the proxy, by each of the protocols."""
    said = []
    for scheme, host in (("socks5", "127.0.0.1"), ("socks5h", "localhost"), ("socks4", "127.0.0.1")):
        r = subprocess.run(["curl", "-sS", "--noproxy", "", "--retry", "5", "--retry-connrefused", "-x",
                            f"{scheme}://127.0.0.1:{socks}", f"http://{host}:{port}/"],
                           capture_output=True, check=False, timeout=60 * PATIENCE)
        said.append((r.returncode, r.stdout))
    return said


@clients("-D", "OpenSSH", "PuTTY")
def test_dynamic(same, client):
    def work(target):
        socks = free_port()
        with Backend(target, f"printf '{PAGE}'") as b, Running(target, client(
                target, b.script, options=["-D", f"127.0.0.1:{socks}"])):
            return pages(socks, b.port)
    assert same(work) == [(0, b"hello\n")] * 3


@cell("asyncssh", "-D")
def test_dynamic_asyncssh(same):
    async def work(connection, b):
        p = await connection.create_process(b.script)
        assert await p.stdout.readline() == "up\n"
        listener = await connection.forward_socks("127.0.0.1", 0)
        said = await asyncio.get_running_loop().run_in_executor(None, pages, listener.get_port(),
                                                                b.port)
        listener.close()
        p.stdin.write("\n")
        return said
    assert same(lambda t: with_backend(t, work, f"printf '{PAGE}'")) == [(0, b"hello\n")] * 3


# Each as its client spells it.
STDIO = {"OpenSSH": ["-W", "127.0.0.1:{}"], "PuTTY": ["-nc", "127.0.0.1:{}"],
         "Dropbear": ["-B", "127.0.0.1:{}"]}


@clients("-W")
def test_stdio(same, client, request):
    words = STDIO[request.node.callspec.id.split("-", 1)[1]]

    def work(target):
        with Backend(target) as b, Held(target) as held:
            channel = held.start(b.script)
            assert channel.recv(3) == b"up\n"
            argv = client(held.target, options=[w.format(b.port) for w in words])
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, env=environment(target)) as p:
                feeder = threading.Thread(target=p.stdin.write, args=(BLOCKS[0],))
                feeder.start()
                got = p.stdout.read(len(BLOCKS[0]))
                feeder.join()
                p.stdin.close()
                p.wait(30 * PATIENCE)
            channel.sendall(b"\n")
            return got
    assert same(work) == BLOCKS[0]


@cell("paramiko", "-W")
def test_stdio_paramiko(same):
    def work(target):
        with Backend(target) as b, Held(target) as held:
            session = held.start(b.script)
            assert session.recv(3) == b"up\n"
            channel = held.transport.open_channel("direct-tcpip", ("127.0.0.1", b.port),
                                                  ("127.0.0.1", 1))
            channel.settimeout(30 * PATIENCE)
            feeder = threading.Thread(target=lambda: (channel.sendall(BLOCKS[0]),
                                                      channel.shutdown_write()))
            feeder.start()
            got = channel.makefile("rb").read()
            feeder.join()
            session.sendall(b"\n")
            return got
    assert same(work) == BLOCKS[0]


@cell("asyncssh", "-W")
def test_stdio_asyncssh(same):
    async def work(connection, b):
        p = await connection.create_process(b.script)
        assert await p.stdout.readline() == "up\n"
        reader, writer = await connection.open_connection("127.0.0.1", b.port, encoding=None)
        writer.write(BLOCKS[0])
        writer.write_eof()
        got = await reader.read()
        p.stdin.write("\n")
        return got
    assert same(lambda t: with_backend(t, work)) == BLOCKS[0]


# ----- jumps: a port over there leads back to the oracle, which is where the jump goes -----

class Beyond:
    """What is reached over the jump, as a port of the other side's loopback; both are known in `home`."""

    def __init__(self, held, oracle, path):
        self.inner = oracle.target
        self.port = serve_port(held.transport, self.inner.port)
        home = f"{path}/{held.target.port}"
        os.makedirs(f"{home}/.ssh")
        outer = held.target
        with open(f"{home}/.ssh/known_hosts", "w", encoding="ascii") as f:
            f.write(f"[localhost]:{self.port} {self.inner.host_key}\nlocalhost {self.inner.host_key}\n"
                    f"[127.0.0.1]:{outer.port} {outer.host_key}\n127.0.0.1 {outer.host_key}\n")
        self.known_hosts = f"{home}/.ssh/known_hosts"
        self.home = home


OVER = "echo over there; exit 7"


def openssh_jump(outer, beyond):
    with open(f"{beyond.home}/config", "w", encoding="ascii") as f:
        f.write(f"IdentityFile {outer.keys.user}\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\n"
                f"UserKnownHostsFile {beyond.known_hosts}\nGlobalKnownHostsFile none\n"
                "StrictHostKeyChecking yes\nUpdateHostKeys no\nLogLevel ERROR\n")
    return ["ssh", "-F", f"{beyond.home}/config", "-J", f"{outer.user}@127.0.0.1:{outer.port}", "-p",
            str(beyond.port), "dev@localhost", OVER]


def putty_jump(outer, beyond):
    # To a host that is called localhost it would go by itself.
    first = plink(outer, options=["-nc", f"localhost:{beyond.port}"])
    return ["plink", "-ssh", "-batch", "-i", outer.keys.putty, "-hostkey",
            fingerprint(beyond.inner.known_hosts), "-proxycmd", " ".join(first), "dev@beyond", OVER]


def dropbear_jump(outer, beyond):
    # It runs itself for each hop, by this name.
    return [shutil.which("dbclient"), "-i", outer.keys.dropbear,
            f"{outer.user}@127.0.0.1/{outer.port},dev@localhost/{beyond.port}", OVER]


@pytest.mark.parametrize("jump", [pytest.param(j, id=n, marks=cell(n, "-J")) for n, j in (
    ("OpenSSH", openssh_jump), ("PuTTY", putty_jump), ("Dropbear", dropbear_jump))])
def test_jump(same, jump, oracle, tmp_path):
    def work(target):
        with Held(target) as held:
            beyond = Beyond(held, oracle, tmp_path)
            code, out, err = run(target, jump(held.target, beyond), HOME=beyond.home)
            return code, out, err if code != 7 else b""
    assert same(work) == (7, b"over there\n", b"")


@cell("paramiko", "-J")
def test_jump_paramiko(same, oracle):
    def work(target):
        transport = target.paramiko()
        try:
            port = serve_port(transport, oracle.target.port)
            way = transport.open_channel("direct-tcpip", ("localhost", port), ("127.0.0.1", 1))
            over = paramiko.Transport(way)
            over.start_client(timeout=30 * PATIENCE)
            over.auth_publickey("dev", paramiko.Ed25519Key(filename=target.keys.user))
            channel = over.open_session()
            channel.exec_command(OVER)
            said = channel.recv_exit_status(), channel.makefile("rb").read()
            over.close()
            return said
        finally:
            transport.close()
    assert same(work) == (7, b"over there\n")


@cell("asyncssh", "-J")
def test_jump_asyncssh(same, oracle):
    def work(target):
        async def there(connection):
            listener = await connection.forward_remote_port("localhost", 0, "127.0.0.1",
                                                            oracle.target.port)
            port = listener.get_port()
            known = asyncssh.import_known_hosts(f"[localhost]:{port} {oracle.target.host_key}\n")
            async with connection.connect_ssh("localhost", port, username="dev", known_hosts=known,
                                              client_keys=[target.keys.user], agent_path=None,
                                              config=None) as over:
                r = await over.run(OVER)
                return r.exit_status, r.stdout
        return target.asyncssh(there)
    assert same(work) == (7, "over there\n")


# ----- the agent -----

def bring_ssh_add(held):
    """Into an image that has none: the program, its libraries and what loads them, and how to call it."""
    listed = subprocess.run(["ldd", "/usr/bin/ssh-add"], check=True, capture_output=True, text=True)
    libraries = re.findall(r"(/\S+)", listed.stdout)
    sftp = paramiko.SFTPClient.from_transport(held.transport)
    held.sh("rm -rf lib && mkdir lib")
    for path in ["/usr/bin/ssh-add", *libraries]:
        sftp.put(path, f"lib/{os.path.basename(path)}")
    loader = next(os.path.basename(p) for p in libraries if "/ld-linux" in p)
    held.sh("chmod 755 lib/*")
    return f"./lib/{loader} --library-path lib lib/ssh-add"


def with_agent(same, ask):
    """What ask(target, command) brings back of the keys that the other side sees."""
    def work(target):
        with Held(target) as held:
            add = "ssh-add" if same.image == "debian" else bring_ssh_add(held)
            said = ask(held.target, f'{add} -l; {add} -L; ls -ld "${{SSH_AUTH_SOCK%/*}}" | busybox cut -c-10')
            held.run("rm -rf lib")
            return said
    return same(work)


@clients("agent")
def test_agent(same, client, agent):
    path, known_key = agent
    code, out, err = with_agent(same, lambda t, command: run(
        t, [a.replace("IdentityAgent=none", f"IdentityAgent={path}") for a in
            client(t, command, options=["-A"])], SSH_AUTH_SOCK=path))
    assert code == 0 and known_key in out and b"\ndrwx------\n" in out, (out, err)


@cell("paramiko", "agent")
def test_agent_paramiko(same, agent, monkeypatch):
    path, known_key = agent
    monkeypatch.setenv("SSH_AUTH_SOCK", path)

    def ask(target, command):
        transport = target.paramiko()
        try:
            channel = transport.open_session()
            channel.settimeout(30 * PATIENCE)
            handler = AgentRequestHandler(channel)
            channel.exec_command(command)
            out = channel.makefile("rb").read()
            handler.close()
            return out
        finally:
            transport.close()
    out = with_agent(same, ask)
    assert known_key in out and b"\ndrwx------\n" in out, out


@cell("asyncssh", "agent")
def test_agent_asyncssh(same, agent):
    path, known_key = agent

    def ask(target, command):
        async def there():
            known = asyncssh.import_known_hosts(f"[127.0.0.1]:{target.port} {target.host_key}\n")
            async with asyncssh.connect("127.0.0.1", target.port, username=target.user, config=None,
                                        client_keys=[target.keys.user], known_hosts=known,
                                        agent_path=path, agent_forwarding=True) as connection:
                r = await connection.run(command, encoding=None)
                return r.stdout
        return asyncio.run(asyncio.wait_for(there(), 60 * PATIENCE))
    out = with_agent(same, ask)
    assert known_key in out and b"\ndrwx------\n" in out, out


# ----- X11 -----

@pytest.fixture
def screen(tmp_path):
    with XServer(tmp_path) as server:
        yield server


def with_screen(same, ask):
    """What ask(target, command) brings back of a program that draws, without its display's number."""
    out = same(lambda target: re.sub(rb"localhost:\d+\.0", b"localhost", ask(target, DRAW)))
    assert out == b"localhost\nin\nhello\n", out


@clients("X11", "OpenSSH", "PuTTY")
def test_x11(same, client, screen):
    def ask(target, command):
        code, out, err = run(target, client(target, command, options=["-X"]), DISPLAY=screen.display,
                             XAUTHORITY=screen.authority)
        assert code == 0, err
        return out
    with_screen(same, ask)


@cell("paramiko", "X11")
def test_x11_paramiko(same):
    cookie = os.urandom(16)

    def ask(target, command):
        transport = target.paramiko()
        try:
            channel = transport.open_session()
            channel.settimeout(30 * PATIENCE)
            channel.request_x11(auth_cookie=cookie.hex(), handler=lambda x, _: serve_channel(x, cookie))
            channel.exec_command(command)
            return channel.makefile("rb").read()
        finally:
            transport.close()
    with_screen(same, ask)


@cell("asyncssh", "X11")
def test_x11_asyncssh(same, screen):
    async def work(connection, command):
        r = await connection.run(command, encoding=None, x11_forwarding=True, x11_display=screen.display,
                                 x11_auth_path=screen.authority)
        return r.stdout
    with_screen(same, lambda target, command: target.asyncssh(lambda c: work(c, command)))
