#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tests: SSH clients that break rules, against the worker behind fake_broker.

hostile_client.py PORT KEY CASE: exits 0 when the server did what it should.
How the worker ended is checked by whoever started this.
"""
import os
import socket
import sys
import threading
import time

import paramiko
from paramiko.message import Message

PORT = int(sys.argv[1])
KEY = paramiko.Ed25519Key.from_private_key_file(sys.argv[2])
# Resident memory of one worker, whatever its client does. Sanitizers keep what is freed for a while.
LIMIT_KB = 40000 + int(os.environ.get("SALLYPORT_SANITIZER_KB", "0"))
IGNORE, KEXINIT = 2, 20
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS = 50, 51, 52
GLOBAL_REQUEST, CHANNEL_OPEN, CHANNEL_DATA = 80, 90, 94
CHANNEL_REQUEST, CHANNEL_FAILURE = 98, 100
paramiko.util.logging.getLogger("paramiko").setLevel("CRITICAL")


def message(kind, *fields):
    m = Message()
    m.add_byte(bytes([kind]))
    for f in fields:
        if isinstance(f, bool):
            m.add_boolean(f)
        elif isinstance(f, int):
            m.add_int(f)
        else:
            m.add_string(f)
    return m


def note_messages(t):
    """t.seen: the kind of each message that paramiko has dealt with, so that one can wait for it."""
    t.seen, last = [], []
    read = t.packetizer.read_message

    def noting():
        t.seen.extend(last)
        last.clear()
        kind, m = read()
        last.append(kind)
        return kind, m

    t.packetizer.read_message = noting


def connect(user="u", receive_buffer=None):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(("127.0.0.1", PORT))
    t = paramiko.Transport(s)
    note_messages(t)
    t.start_client(timeout=60)
    if user:
        t.auth_publickey(user, KEY)
    return t


def service(t):
    t._send_message(message(5, "ssh-userauth"))


def worker_pid(t):
    """The process at the other end of the connection."""
    port = t.sock.getsockname()[1]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/comm").read().strip() != "sallyportd":
                continue
            for fd in os.listdir(f"/proc/{pid}/fd"):
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
                if link.startswith("socket:") and link[8:-1] in inodes(port):
                    return pid
        except OSError:
            continue
    raise AssertionError("no worker")


def inodes(port):
    rows = [line.split() for line in open("/proc/net/tcp")][1:]
    return [r[9] for r in rows if int(r[2].split(":")[1], 16) == port]


def memory(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def await_messages(t, number, *kinds):
    """Until so many messages of these kinds have been dealt with; returns them in their order."""
    stop = time.time() + 60
    while True:
        got = [kind for kind in t.seen if kind in kinds]
        if len(got) >= number:
            return got
        assert time.time() < stop, got
        time.sleep(0.02)


def ended(t, seconds=60):
    stop = time.time() + seconds
    while t.is_active() and time.time() < stop:
        time.sleep(0.05)
    return not t.is_active()


def line(c):
    """What the program writes up to the end of a line, in however many pieces."""
    got = b""
    while not got.endswith(b"\n"):
        piece = c.recv(1)
        if not piece:
            break
        got += piece
    return got


def stop_reading(t):
    """From its next message on, the client reads nothing more. Returns what is set once it has come to that."""
    stopped = threading.Event()

    def stop():
        stopped.set()
        time.sleep(3600)

    t.packetizer.read_message = stop
    return stopped


def request(c, name, *fields):
    """success, failure or none: what a channel request with want_reply was answered."""
    c.event.clear()
    c.event_ready = False
    c.transport._send_user_message(message(CHANNEL_REQUEST, c.remote_chanid, name, True, *fields))
    if not c.event.wait(60):
        return "none"
    return "success" if c.event_ready else "failure"


def gssapi():
    """Methods that were not announced must not reach a Kerberos library. The second is libssh 0.12's."""
    t = connect(None)
    service(t)
    for _ in range(3):
        oid = bytes.fromhex("06092a864886f712010202")
        t._send_message(message(USERAUTH_REQUEST, "u", "ssh-connection", "gssapi-with-mic", 1, oid))
    t._send_message(message(USERAUTH_REQUEST, "u", "ssh-connection", "gssapi-keyex", b"mic"))
    await_messages(t, 4, USERAUTH_FAILURE)
    t.auth_publickey("u", KEY)
    assert t.is_authenticated()
    t.close()


def user_change():
    t = connect(None)
    try:
        t.auth_none("a")
    except paramiko.BadAuthenticationType:
        pass
    try:
        t.auth_publickey("b", KEY)
    except paramiko.SSHException:
        pass
    assert not t.is_authenticated() and ended(t)


def password():
    t = connect(None)
    try:
        t.auth_password("u", "secret")
        raise AssertionError("logged in")
    except paramiko.BadAuthenticationType as e:
        assert e.allowed_types == ["publickey"]
    t.close()


def none_again():
    """The first "none" asks for the methods; the others are tries."""
    t = connect(None)
    service(t)
    for _ in range(7):
        t._send_message(message(USERAUTH_REQUEST, "u", "ssh-connection", "none"))
    assert ended(t)


def pipelined_logins():
    """A bad signature and a good one without waiting: each request is judged by its own."""
    t = connect(None)
    service(t)
    for flip in (1, 0):
        m = message(USERAUTH_REQUEST, "u", "ssh-connection", "publickey", True, "ssh-ed25519",
                    KEY.asbytes())
        signed = Message()
        signed.add_string(t.session_id)
        sig = KEY.sign_ssh_data(signed.asbytes() + m.asbytes()).asbytes()
        m.add_string(sig[:-1] + bytes([sig[-1] ^ flip]))
        t._send_message(m)
    answers = await_messages(t, 2, USERAUTH_FAILURE, USERAUTH_SUCCESS)
    assert answers == [USERAUTH_FAILURE, USERAUTH_SUCCESS]
    c = t.open_session(timeout=60)
    c.exec_command("echo in")
    assert line(c) == b"in\n"
    t.close()


def channel_before_login():
    t = connect(None)
    service(t)
    t._send_message(message(CHANNEL_OPEN, "session", 0, 1 << 20, 32768))
    assert ended(t)


def channel_flood():
    t = connect()
    kept = []
    try:
        while len(kept) < 100:
            kept.append(t.open_session(timeout=60))
    except paramiko.ChannelException as e:
        assert (e.code, e.text) == (2, "Connect failed")  # sshd's reason
    assert len(kept) == 10, len(kept)
    kept.pop().close()
    time.sleep(0.3)
    c = t.open_session(timeout=60)
    c.exec_command("echo again")
    assert line(c) == b"again\n"
    t.close()


def unknown_requests():
    t = connect()
    for fields in (("break", 500), ("xon-xoff", True), ("winadj@putty.projects.tartarus.org",),
                   ("auth-agent-req@openssh.com",), ("subsystem", "sftp"),
                   ("x11-req", False, "MIT-MAGIC-COOKIE-1", "00", 0)):
        # paramiko closes a channel on which something failed
        assert request(t.open_session(), *fields) == "failure", fields
    c = t.open_session()
    assert request(c, "exec", "echo fine") == "success"
    assert line(c) == b"fine\n"
    t.close()


def no_more_sessions():
    """Who has said it and asks for one all the same is put out, as by sshd."""
    t = connect()
    c = t.open_session()
    assert request(c, "exec", "sleep 60") == "success"
    assert t.global_request("no-more-sessions@openssh.com", wait=True) is not None
    try:
        t.open_session(timeout=60)
        raise AssertionError("a session was opened")
    except (paramiko.SSHException, EOFError):
        assert ended(t)
    t.close()


def second_program():
    t = connect()
    for fields in (("exec", "echo two"), ("shell",), ("pty-req", "vt100", 80, 24, 0, 0, "")):
        c = t.open_session()
        assert request(c, "exec", "sleep 5; echo one") == "success"
        assert request(c, *fields) == "failure", fields
    t.close()


def variables_without_end():
    t = connect()
    c = t.open_session()
    taken = 0
    while taken < 1000 and request(c, "env", f"LC_{taken}", "v" * 100) == "success":
        taken += 1
    assert taken == 64, taken
    for name, value in (("LC_" + "A" * 200, "v"), ("LC_A", "v" * 5000), ("LC_A=B", "v"),
                        ("LD_PRELOAD", "v"), ("", "v")):
        assert request(t.open_session(), "env", name, value) == "failure", name
    assert request(t.open_session(), "env", "LC_B", "v" * 4096) == "success"
    t.close()


def input_never_read():
    """The window is the limit when a program does not read."""
    t = connect()
    c = t.open_session()
    c.exec_command("sleep 60")
    pid = worker_pid(t)
    time.sleep(0.3)
    c.settimeout(1)
    sent = 0
    try:
        while sent < 50_000_000:
            sent += c.send(b"x" * 32000)
    except socket.timeout:
        pass
    assert sent < 5_000_000 and memory(pid) < LIMIT_KB, (sent, memory(pid))
    t.close()


def end_right_behind_the_data():
    """Everything in one piece, and then nobody is there any more: the program gets what was for it."""
    t = connect()
    c = t.open_session()
    there = f"/tmp/behind.{os.getpid()}"
    # In a session of its own: fake_broker ends the program's group as soon as the worker is gone.
    c.exec_command("exec setsid -w sh -c "
                   f"'read x; echo up; cat >{there}.new; mv {there}.new {there}'")
    # Only then is the window as large as what follows.
    c.sendall(b"\n")
    assert line(c) == b"up\n"
    stop = time.time() + 60
    while c.out_window_size < 60000:
        assert time.time() < stop, c.out_window_size
        time.sleep(0.02)
    packets = []
    t.packetizer.write_all = packets.append
    for _ in range(3):
        t._send_message(message(CHANNEL_DATA, c.remote_chanid, b"x" * 20000))
    for _ in range(2):
        t._send_message(message(IGNORE, b"y" * 30000))
    t.sock.sendall(b"".join(packets))
    t.sock.shutdown(socket.SHUT_WR)
    stop = time.time() + 30
    while not os.path.exists(there) and time.time() < stop:
        time.sleep(0.05)
    size = os.path.getsize(there)
    os.unlink(there)
    assert size == 60000, size


def window_ignored():
    t = connect()
    c = t.open_session()
    c.exec_command("sleep 60")
    time.sleep(0.3)
    sent = 0
    try:
        while sent < 60_000_000 and t.is_active():
            t._send_user_message(message(CHANNEL_DATA, c.remote_chanid, b"y" * 30000))
            sent += 30000
    except (EOFError, OSError):
        pass
    assert ended(t) and sent < 60_000_000


def output_never_read():
    """A window of two GiB, and nobody who reads."""
    t = connect()
    c = t.open_channel("session", window_size=2**31 - 1)
    pid = worker_pid(t)
    c.exec_command("cat /dev/zero")
    stop_reading(t)
    worst = 0
    for _ in range(15):
        time.sleep(0.1)
        worst = max(worst, memory(pid))
    t.sock.close()
    assert worst < LIMIT_KB, worst


def queue(t, end, which):
    """Bytes in a queue of the kernel's, of our end (1) or the worker's (2): to be sent (0) or read (1)."""
    ours, workers = t.sock.getsockname()[1], t.sock.getpeername()[1]
    # Both ports: connections to others, and what is left of those that have ended, may have the same one here.
    ends = [ours, workers] if end == 1 else [workers, ours]
    rows = [line.split() for line in open("/proc/net/tcp")][1:]
    # The kernel may list one twice while others come and go.
    return max(int(r[4].split(":")[which], 16) for r in rows
               if [int(r[i].split(":")[1], 16) for i in (1, 2)] == ends)


def unread(t):
    """Bytes of ours that the worker's kernel has and the worker has not read."""
    return queue(t, 2, 1)


def waiting(t):
    """All of ours that has not been read yet. What moves between the two looks is seen by both, not by none."""
    to_be_sent = queue(t, 1, 0)
    return to_be_sent + unread(t)


def ask_and_never_read(t, question):
    """Requests without end whose replies are not read: their own are not read either, sooner or later."""
    stop_reading(t)
    packets = []
    t.packetizer.write_all = packets.append
    for _ in range(20000):
        t._send_message(question)
    threading.Thread(target=t.sock.sendall, args=(b"".join(packets),), daemon=True).start()
    left = []
    while len(left) < 4 or left[-4:] != left[-1:] * 4:
        time.sleep(0.5)
        left.append(unread(t))
    assert left[-1] > 0, "the worker has read all of it"
    t.sock.close()


def replies_never_read():
    t = connect(receive_buffer=4096)
    c = t.open_session()
    # paramiko closes a channel on which something failed
    t._channel_handler_table = {**t._channel_handler_table, CHANNEL_FAILURE: lambda c, m: None}
    ask_and_never_read(t, message(CHANNEL_REQUEST, c.remote_chanid, "env", True, "NO", "x"))


def replies_never_read_beside_a_program():
    """A program waits for input: the worker has a look at its channel all the time."""
    t = connect(receive_buffer=4096)
    c = t.open_session()
    c.exec_command("echo up; exec sleep 1000")
    assert line(c) == b"up\n"
    ask_and_never_read(t, message(GLOBAL_REQUEST, "keepalive@openssh.com", True))


def replies_read_slowly():
    """As much is asked as is answered and taken, and no more: what waits for a client has a bound."""
    t = connect(receive_buffer=4096)
    stopped = stop_reading(t)
    t._send_message(message(GLOBAL_REQUEST, "nothing@example.org", True))
    assert stopped.wait(30) and t.remote_mac == "hmac-sha2-256"
    packets = []
    t.packetizer.write_all = packets.append
    t._send_message(message(GLOBAL_REQUEST, "nothing@example.org", True))
    size, reply = len(packets[0]), 16 + 32  # a block and its hmac-sha2-256
    held = 131072 // size  # what the worker reads at a time has not been answered either
    for _ in range(60000):
        t._send_message(message(GLOBAL_REQUEST, "nothing@example.org", True))
    data, sent, taken, worst = memoryview(b"".join(packets)), 0, 0, 0
    s = socket.socket(fileno=os.dup(t.sock.fileno()))  # paramiko's own has a time-out, and another thread's eye on it
    stop = time.time() + 10
    while time.time() < stop:
        try:
            sent += s.send(data[sent:], socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        try:
            taken += len(s.recv(1500, socket.MSG_DONTWAIT))
        except BlockingIOError:
            pass
        worst = max(worst, (sent - waiting(t)) // size - taken // reply)
        time.sleep(0.002)
    s.close()
    t.close()
    assert taken > 40 * reply, taken
    assert worst < held + 2048, f"{worst} requests taken whose answers were not, {taken // reply} were"


def ignore_exchanges(t):
    """The server's own begin of an exchange is not answered. Returns what is set once it has come, and it."""
    came, kept = threading.Event(), []

    def keep(*args):  # of old the table's functions are the class's, and get the transport first
        kept.append(args[-1])
        came.set()

    t._handler_table = dict(t._handler_table)
    t._handler_table[KEXINIT] = keep
    return came, kept


def stays_small_until_it_ends(t, pid, meanwhile=lambda: None):
    worst, stop = 0, time.time() + 60
    while t.is_active() and time.time() < stop:
        meanwhile()
        try:
            worst = max(worst, memory(pid))
        except (FileNotFoundError, ProcessLookupError):
            break
    assert ended(t)
    assert worst < LIMIT_KB, worst


def exchange_never_answered():
    """A program that writes without end, and all of it is taken."""
    t = connect()
    c = t.open_channel("session", window_size=2**31 - 1)
    pid = worker_pid(t)
    came, _ = ignore_exchanges(t)
    c.exec_command("cat /dev/zero")
    assert came.wait(60)
    stays_small_until_it_ends(t, pid, lambda: time.sleep(0.05))


def exchange_never_answered_beside_requests():
    """Nothing is written any more, and answers are asked for without end."""
    t = connect()
    c = t.open_channel("session", window_size=2**31 - 1)
    pid = worker_pid(t)
    came, _ = ignore_exchanges(t)
    c.exec_command("head -c 3000000 /dev/zero; exec sleep 1000")
    assert came.wait(60)
    question = message(GLOBAL_REQUEST, "nothing@example.org", True)
    t.sock.settimeout(0.1)

    def ask():
        try:
            for _ in range(500):
                t._send_message(question)
        except (OSError, EOFError):
            time.sleep(0.05)
    stays_small_until_it_ends(t, pid, ask)


def exchange_answered_late():
    """After a while it goes on where it was, and nothing is lost."""
    t = connect()
    c = t.open_channel("session", window_size=2**31 - 1)
    handlers = t._handler_table
    came, kept = ignore_exchanges(t)
    c.exec_command("head -c 2500000 /dev/zero | tr '\\0' x; echo end")
    c.settimeout(60)
    assert came.wait(60)
    time.sleep(1)
    t._handler_table = handlers
    t._negotiate_keys(kept[0])
    got = b""
    while piece := c.recv(65536):
        got += piece
    assert got == b"x" * 2500000 + b"end\n", len(got)
    assert c.recv_exit_status() == 0
    t.close()


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def exchange_ended_late():
    """The client's own. A program writes and ends meanwhile: there is nothing to do until it goes on."""
    t = connect()
    c = t.open_session()
    c.settimeout(60)
    handlers = t._handler_table
    pid = worker_pid(t)
    there = f"/tmp/ended.{os.getpid()}"
    c.exec_command(f"echo up; until [ -e {there} ]; do sleep 0.05; done; rm {there}; echo late")
    assert line(c) == b"up\n"
    came, kept = ignore_exchanges(t)
    t._send_kex_init()
    assert came.wait(60)
    open(there, "w").close()
    stop = time.time() + 60
    while os.path.exists(there):
        assert time.time() < stop
        time.sleep(0.02)
    time.sleep(0.5)
    before = processor_seconds(pid)
    time.sleep(2)
    used = processor_seconds(pid) - before
    assert used < 0.1, f"{used} s of the processor in 2 s"
    t._handler_table = handlers
    t._negotiate_keys(kept[0])
    assert line(c) == b"late\n" and c.recv_exit_status() == 0
    t.close()


def had_at_exit(t, c):
    """How much of its output a client has when it hears of the exit. Nothing is taken from the channel meanwhile."""
    had = []
    table = t._channel_handler_table

    def note(channel, m):
        had.append(len(channel.in_buffer))
        table[CHANNEL_REQUEST](channel, m)

    t._channel_handler_table = {**table, CHANNEL_REQUEST: note}
    while not c.status_event.wait(0.1):
        assert len(c.in_buffer) < 50_000_000, "no exit status"
    t._channel_handler_table = table
    return had[0]


def exit_after_the_output():
    """Also when what the program left behind writes on, and that has no end."""
    t = connect()
    c = t.open_channel("session", window_size=2**31 - 1)
    c.exec_command("dd if=/dev/zero bs=1000000 count=1 2>/dev/null; exit 3")
    had = had_at_exit(t, c)
    assert (had, c.exit_status) == (1000000, 3), had
    c = t.open_channel("session", window_size=2**31 - 1)
    c.exec_command("cat /dev/zero & sleep 0.5; exit 4")
    assert had_at_exit(t, c) > 0 and c.exit_status == 4
    t.close()


def signals():
    t = connect()
    c = t.open_session()
    c.exec_command('trap "echo got; exit 5" USR1; sh -c "echo ready; exec sleep 1000" & wait')
    assert line(c) == b"ready\n"
    for name in ("", "NOSUCH", "USR1\0", "x" * 20000, "USR1"):
        t._send_user_message(message(CHANNEL_REQUEST, c.remote_chanid, "signal", False, name))
    assert line(c) == b"got\n" and c.recv_exit_status() == 5
    t.close()


def window_change():
    t = connect()
    c = t.open_session()
    c.get_pty("vt100", 80, 24)
    c.resize_pty(90, 30)
    c.exec_command("stty -echo; stty size; read x; stty size; read x; stty size")
    c.settimeout(60)
    assert line(c) == b"30 90\r\n"
    c.resize_pty(132, 50)
    c.send(b"\n")
    assert line(c) == b"50 132\r\n"
    c.resize_pty(4294967295, 70000)
    c.send(b"\n")
    assert line(c) == b"65535 65535\r\n"
    t.close()


def small_packets():
    t = connect()
    c = t.open_channel("session", max_packet_size=4096)
    c.exec_command("head -c 100000 /dev/zero")
    got = 0
    while True:
        data = c.recv(65536)
        if not data:
            break
        got += len(data)
    assert got == 100000, got
    t.close()


def raw(data):
    s = socket.create_connection(("127.0.0.1", PORT))
    s.settimeout(60)
    if data:
        s.sendall(data)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
    s.close()


def http():
    raw(b"GET / HTTP/1.0\r\n\r\n")


def giant_packet():
    raw(b"SSH-2.0-x\r\n" + b"\xff" * 5000)


def nothing():
    raw(b"")


CASES = [gssapi, user_change, password, none_again, pipelined_logins, channel_before_login,
         channel_flood, unknown_requests, no_more_sessions, second_program, variables_without_end,
         input_never_read, window_ignored, output_never_read, replies_never_read, replies_never_read_beside_a_program, replies_read_slowly, end_right_behind_the_data,
         exchange_never_answered, exchange_never_answered_beside_requests, exchange_answered_late, exchange_ended_late, exit_after_the_output, signals, window_change, small_packets, http, giant_packet, nothing]
{f.__name__: f for f in CASES}[sys.argv[3]]()
