#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A container engine with faults: passes requests on to a real one, except where a rule says otherwise.

    fake_engine.py --listen SOCKET --engine SOCKET [--rules FILE] [--log FILE]

The rules file is JSON, read again for every request; without it everything is passed on:

    [{"method": "POST", "path": "/start$", "action": "hang", "times": 1}, ...]

"path" is a regular expression searched in the path without "/v1.NN", query included; "method" may be
left out. The first rule that matches and has "times" left is used, after "skip" requests that match went
by. Actions:

    pass        as if there were no rule
    delay       wait "seconds", then pass, also when nobody waits for it any more
    hang        never answer, and ask the engine nothing
    hang_after  ask the engine, never answer
    hold        wait until the rule is taken out of the file, then pass
    hold_after  ask the engine, wait for that, then answer
    drop        close the connection, ask the engine nothing
    drop_after  ask the engine, then close the connection without an answer
    status      answer "status" with "body" (any JSON), ask the engine nothing
    meddle      ask the engine with the values in "ask" changed, as with lie
    lie         ask the engine, answer with the values in "set" ({"HostConfig.Privileged": true}) changed
    speak       be one of the API 1."minor": the engine is asked in the version that it has itself
    garble      ask the engine, answer with a body that is no JSON
    truncate    ask the engine, stop in the middle of the body
    slow        ask the engine, answer one byte every "seconds" (0.05)
    endless     answer with a body that does not end
    raw         answer with "bytes" as they are, ask the engine nothing
    junk        answer with bytes that are no HTTP
    die         exit at once; die_after: ask the engine first

Each request is one line of JSON in the log: time, method, path, body, action, status.
Exits 0 on SIGTERM and removes its socket.
"""

import argparse
import http.client
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time

HEAD_MAX = 65536
GONE = "(gone)"  # a value that takes the old one away


class EngineConnection(http.client.HTTPConnection):
    """http.client over the engine's Unix socket."""

    def __init__(self, path):
        super().__init__("engine")
        self.unix_path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.unix_path)


class Rules:
    """The rules file, how often each rule has been used, and how many requests it has let by."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.used = {}
        self.skipped = {}

    def read(self):
        try:
            with open(self.path, encoding="utf-8") as f:
                return json.load(f)
        except (FileNotFoundError, TypeError):
            return []
        except ValueError as e:
            # Half-written: whoever writes it should rename it into place.
            print(f"fake_engine: {self.path}: {e}", file=sys.stderr)
            return []

    def wait_until_gone(self, rule):
        while rule in self.read():
            time.sleep(0.02)

    def choose(self, method, path):
        rules = self.read()
        plain = re.sub(r"^/v1\.\d+", "", path)
        with self.lock:
            for rule in rules:
                key = json.dumps(rule, sort_keys=True)
                if "method" in rule and rule["method"] != method:
                    continue
                if not re.search(rule.get("path", ""), plain):
                    continue
                if "times" in rule and self.used.get(key, 0) >= rule["times"]:
                    continue
                if self.skipped.get(key, 0) < rule.get("skip", 0):
                    self.skipped[key] = self.skipped.get(key, 0) + 1
                    continue
                self.used[key] = self.used.get(key, 0) + 1
                return rule
        return {"action": "pass"}


class Log:
    def __init__(self, path):
        self.lock = threading.Lock()
        self.file = open(path, "a", encoding="utf-8") if path else None

    def write(self, **fields):
        if self.file is None:
            return
        with self.lock:
            self.file.write(json.dumps({"time": time.time(), **fields}) + "\n")
            self.file.flush()


class Gone(Exception):
    """The client, or the rule, has ended this connection."""


def set_path(document, dotted, value):
    """Change one value: keys and list positions are separated by dots. Behind the end of a list it is added."""
    *parents, last = dotted.split(".")
    for part in parents:
        document = document[int(part)] if isinstance(document, list) else document[part]
    if value == GONE:
        del document[int(last) if isinstance(document, list) else last]
    elif isinstance(document, list):
        document[int(last):int(last) + 1] = [value]
    else:
        document[last] = value


class Handler(socketserver.BaseRequestHandler):
    def setup(self):
        self.file = self.request.makefile("rb")
        self.speaks = None

    def read_head(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline(HEAD_MAX)
            if not line or len(head) > HEAD_MAX:
                raise Gone
            head += line
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            if ":" in line:
                name, value = line.split(":", 1)
                headers[name.strip().lower()] = value.strip()
        return head, method, path, headers

    def read_body(self, headers):
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.file.read(int(headers.get("content-length", 0)))
        body = b""
        while True:
            size = int(self.file.readline(64).split(b";")[0], 16)
            body += self.file.read(size)
            self.file.readline(8)
            if size == 0:
                return body

    def handle(self):
        try:
            while True:
                head, method, path, headers = self.read_head()
                body = self.read_body(headers)
                rule = self.server.rules.choose(method, path)
                self.log = dict(method=method, path=path, action=rule["action"],
                                body=body.decode("utf-8", "replace"))
                if "upgrade" in headers and rule["action"] in ("pass", "hold", "hold_after"):
                    self.relay(head + body, rule)
                getattr(self, "do_" + rule["action"])(rule, method, path, headers, body)
        except (Gone, OSError, http.client.HTTPException):
            pass

    # -- towards the engine

    def relay(self, data, rule):
        """A hijacked connection: bytes both ways until one side ends. What is held after is all that the engine says."""
        if rule["action"] != "hold_after":
            self.server.log.write(status=101, **self.log)
        if rule["action"] == "hold":
            self.server.rules.wait_until_gone(rule)
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(self.server.engine)
        engine.sendall(data)

        def back():
            try:
                if rule["action"] == "hold_after":
                    engine.recv(1, socket.MSG_PEEK)
                    self.server.log.write(status=101, **self.log)
                    self.server.rules.wait_until_gone(rule)
                while chunk := engine.recv(65536):
                    self.request.sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.request.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=back, daemon=True).start()
        while chunk := self.file.read1(65536):
            engine.sendall(chunk)
        engine.shutdown(socket.SHUT_WR)
        raise Gone

    def ask(self, method, path, headers, body):
        connection = EngineConnection(self.server.engine)
        kept = {k: v for k, v in headers.items()
                if k not in ("host", "connection", "transfer-encoding", "content-length")}
        connection.request(method, path, body=body or None, headers=kept)
        return connection.getresponse()

    def ask_all(self, method, path, headers, body):
        answer = self.ask(method, path, headers, body)
        return answer, answer.read()

    # -- towards the client

    def head_of(self, answer, extra):
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{k}: {v}" for k, v in answer.getheaders()
                  if k.lower() not in ("connection", "transfer-encoding", "content-length")
                  and not (self.speaks and k.lower() == "api-version")]
        lines += [f"Api-Version: {self.speaks}"] * bool(self.speaks)
        return ("\r\n".join(lines + extra) + "\r\n\r\n").encode("latin-1")

    def send_answer(self, answer, body):
        self.server.log.write(status=answer.status, **self.log)
        extra = [] if answer.status in (204, 304) else [f"Content-Length: {len(body)}"]
        self.request.sendall(self.head_of(answer, extra) + body)

    def end(self, status=0):
        self.server.log.write(status=status, **self.log)
        raise Gone

    def wait_for_the_end(self):
        self.server.log.write(status=0, **self.log)
        while self.request.recv(4096):
            pass
        raise Gone

    def do_pass(self, rule, method, path, headers, body):
        answer = self.ask(method, path, headers, body)
        if answer.length is not None or answer.status in (204, 304) or method == "HEAD":
            self.send_answer(answer, answer.read())
            return
        # Of unknown length, perhaps long in coming (wait, events): as it comes.
        self.server.log.write(status=answer.status, **self.log)
        self.request.sendall(self.head_of(answer, ["Transfer-Encoding: chunked"]))
        while chunk := answer.read1(65536):
            self.request.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.request.sendall(b"0\r\n\r\n")

    def do_delay(self, rule, *request):
        time.sleep(rule.get("seconds", 1))
        self.do_pass(rule, *request)

    def do_speak(self, rule, method, path, headers, body):
        asked = re.match(r"/v1\.(\d+)(/.*)", path)
        if asked and int(asked[1]) > rule["minor"]:
            self.do_status({"status": 400, "body": {"message": f"client version 1.{asked[1]} is too new"}})
            return
        self.speaks = f"1.{rule['minor']}"
        self.do_pass(rule, method, asked[2] if asked else path, headers, body)
        self.speaks = None

    def do_hold(self, rule, *request):
        self.server.log.write(status=0, **self.log)
        self.server.rules.wait_until_gone(rule)
        self.do_pass(rule, *request)

    def do_hold_after(self, rule, *request):
        answer, body = self.ask_all(*request)
        self.server.log.write(status=0, **self.log)
        self.server.rules.wait_until_gone(rule)
        self.send_answer(answer, body)

    def do_hang(self, rule, *request):
        self.wait_for_the_end()

    def do_hang_after(self, rule, *request):
        self.ask_all(*request)
        self.wait_for_the_end()

    def do_drop(self, rule, *request):
        self.end()

    def do_drop_after(self, rule, *request):
        answer, _ = self.ask_all(*request)
        self.end(answer.status)

    def do_status(self, rule, *request):
        body = json.dumps(rule.get("body", {"message": "fault"})).encode()
        status = rule.get("status", 500)
        self.server.log.write(status=status, **self.log)
        self.request.sendall(b"HTTP/1.1 %d Fault\r\nApi-Version: 1.41\r\nContent-Length: %d\r\n\r\n%s"
                             % (status, len(body), body))

    def do_lie(self, rule, *request):
        answer, body = self.ask_all(*request)
        try:
            document = json.loads(body)
            for dotted, value in rule["set"].items():
                set_path(document, dotted, value)
            body = json.dumps(document).encode()
        except (ValueError, KeyError, IndexError, TypeError):
            self.log["action"] = "lie (nothing to change)"
        self.send_answer(answer, body)

    def do_meddle(self, rule, method, path, headers, body):
        document = json.loads(body)
        for dotted, value in rule["ask"].items():
            set_path(document, dotted, value)
        self.do_pass(rule, method, path, headers, json.dumps(document).encode())

    def do_garble(self, rule, *request):
        answer, body = self.ask_all(*request)
        self.send_answer(answer, bytes(b ^ 0x5A for b in body) or b"\x5a")

    def do_truncate(self, rule, *request):
        answer, body = self.ask_all(*request)
        head = self.head_of(answer, [f"Content-Length: {max(len(body), 2)}"])
        self.request.sendall(head + body[:len(body) // 2])
        self.end(answer.status)

    def do_slow(self, rule, *request):
        answer, body = self.ask_all(*request)
        self.server.log.write(status=answer.status, **self.log)
        for byte in self.head_of(answer, [f"Content-Length: {len(body)}"]) + body:
            self.request.sendall(bytes([byte]))
            time.sleep(rule.get("seconds", 0.05))

    def do_endless(self, rule, *request):
        self.server.log.write(status=200, **self.log)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            self.request.sendall(b"1000\r\n" + b"[" * 4096 + b"\r\n")

    def do_raw(self, rule, *request):
        self.request.sendall(rule["bytes"].encode("latin-1"))
        self.end()

    def do_junk(self, rule, *request):
        self.request.sendall(b"\x16\x03\x01\x02\x00 no http here\r\n\r\n")
        self.end()

    def do_die(self, rule, *request):
        self.server.log.write(status=0, **self.log)
        self.server.remove_socket()
        os._exit(0)

    def do_die_after(self, rule, *request):
        self.ask_all(*request)
        self.do_die(rule, *request)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, options):
        self.engine = options.engine
        self.rules = Rules(options.rules)
        self.log = Log(options.log)
        self.remove_socket(options.listen)
        super().__init__(options.listen, Handler)

    def remove_socket(self, path=None):
        try:
            os.unlink(path or self.server_address)
        except FileNotFoundError:
            pass


def main():
    parser = argparse.ArgumentParser(description="A container engine with faults.")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--rules")
    parser.add_argument("--log")
    server = Server(parser.parse_args())

    def stop(*_):
        server.remove_socket()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever()


if __name__ == "__main__":
    main()
