# SPDX-License-Identifier: Apache-2.0
"""
Files: the guest's own SFTP server held against OpenSSH's, by stock clients and packet by packet, in
images that have a shell, a busybox, or one static program; and scp, rsync and git where the image
has them.
"""
import hashlib
import os
import re
import struct
import subprocess

import asyncssh
import paramiko
import pytest

from kit.broker import DATA_PATH, SFTP, profile as container_profile
from kit.sftp import (ATTRS, CLOSE, DATA, EXTENDED_REPLY, FLAG_APPEND, FLAG_CREATE, FLAG_EXCL,
                      FLAG_READ, FLAG_TRUNC, FLAG_WRITE, FSETSTAT, FSTAT, LSTAT, MKDIR, NAME, OPEN,
                      OPENDIR, READ, READDIR, READLINK, REALPATH, REMOVE, RENAME, RMDIR, SETSTAT,
                      STAT, STATUS, SYMLINK, WRITE, Sftp, attrs, text)
from kit.podman import docker_only
from kit.proc import wait_for
from kit.target import PATIENCE

pytestmark = [pytest.mark.data_path, pytest.mark.podman]

OLD = 1_000_000_000  # 2001: listings show the year and no minute that may pass
MIB = 1 << 20
IMAGES = ["files", "busyfiles", "onefiles"]


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(f.read()).hexdigest()


def write(path, data, mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    os.utime(path, (OLD, OLD))
    return path


class Master:
    """A connection that stays, so that one tool after the other finds the same container."""

    def __init__(self, target, user, control):
        self.options = ["-o", f"ControlPath={control}"]
        self.process = target.popen("-M", "-N", user=user, options=self.options,
                                    stdin=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(control) or self.process.poll() is not None,
                 30 * PATIENCE, "the master is connected")
        assert self.process.poll() is None, self.process.stderr.read()

    def __enter__(self):
        return self.options

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


# ----- the same script, the same words -----

SCRIPT = """
cd /tmp/{d}
pwd
put -p one
put -p two "with blanks"
chmod 600 "with blanks"
ls -1
ls -l one "with blanks"
ls -n one
get one got
get -p "with blanks" got-blanks
-get nothing
-ls nothing
-rm nothing
-rmdir one
-mkdir one
mkdir dir
-mkdir dir
put -p one dir/inner
-rmdir dir
rename one three
-rename nothing four
ln three hard
symlink three soft
-ln nothing else
-symlink three soft
ls -1
ls -l three
get soft got-soft
rm hard
rm soft
-chown 0 three
-chgrp 0 three
-chmod 777 /tmp
-put one /proc/1/mem
-put one /nowhere/x
-get dir
get -r dir got-dir
put -r tree
ls -1 tree
ls -1 tree/a
-cd three
-cd nowhere
rm dir/inner
rmdir dir
!echo local
lpwd
"""


@pytest.mark.quick
def test_batch(both, tmp_path):
    """One long script of sftp -b: the same output, the same complaints, the same exit code."""
    results = []
    for t in both:
        here = tmp_path / t.name / "same"
        (here / "tree" / "a").mkdir(parents=True)
        write(here / "one", b"first\n")
        write(here / "two", b"second\n" * 1000)
        write(here / "tree" / "a" / "leaf", b"leaf\n")
        user = t.login("files")
        name = f"batch-{os.getpid()}"
        r = t.sftp(f"mkdir /tmp/{name}\n" + SCRIPT.format(d=name), user=user, cwd=here)
        left = sorted((str(p.relative_to(here)), p.is_file() and p.read_bytes())
                      for p in here.rglob("*"))
        out = (r.stdout + r.stderr).replace(str(tmp_path / t.name).encode(), b"")
        results.append((r.returncode, out.splitlines(), left))
    theirs, ours = results
    assert ours == theirs
    assert theirs[0] == 0 and (b"three" in theirs[1]), theirs


REQUESTS = [
    ("realpath of nothing", REALPATH, text("")),
    ("realpath", REALPATH, text("/tmp/{d}/../{d}/./dir//")),
    ("realpath to come", REALPATH, text("/tmp/{d}/new")),
    ("realpath too deep", REALPATH, text("/tmp/{d}/new/er")),
    ("realpath through a file", REALPATH, text("/tmp/{d}/file/x")),
    ("realpath of a link", REALPATH, text("/tmp/{d}/link")),
    ("realpath of a link to nothing", REALPATH, text("/tmp/{d}/dangling")),
    ("realpath in a circle", REALPATH, text("/tmp/{d}/circle")),
    ("realpath with a slash", REALPATH, text("/tmp/{d}/new/")),
    ("realpath of the root", REALPATH, text("/../..//")),
    ("realpath that is too long", REALPATH, text("/x" * 3000)),
    ("stat", STAT, text("/tmp/{d}/file")),
    ("stat of a link", STAT, text("/tmp/{d}/link")),
    ("lstat of a link", LSTAT, text("/tmp/{d}/link")),
    ("stat of nothing", STAT, text("/tmp/{d}/nothing")),
    ("stat of a link to nothing", STAT, text("/tmp/{d}/dangling")),
    ("stat in a circle", STAT, text("/tmp/{d}/circle")),
    ("stat through a file", STAT, text("/tmp/{d}/file/x")),
    ("stat of no name", STAT, text("")),
    ("readlink", READLINK, text("/tmp/{d}/link")),
    ("readlink of a file", READLINK, text("/tmp/{d}/file")),
    ("readlink of nothing", READLINK, text("/tmp/{d}/nothing")),
    ("remove a directory", REMOVE, text("/tmp/{d}/dir")),
    ("remove nothing", REMOVE, text("/tmp/{d}/nothing")),
    ("rmdir of a file", RMDIR, text("/tmp/{d}/file")),
    ("rmdir of a full one", RMDIR, text("/tmp/{d}")),
    ("mkdir again", MKDIR, text("/tmp/{d}/dir") + attrs()),
    ("mkdir in nothing", MKDIR, text("/tmp/{d}/nothing/x") + attrs()),
    ("mkdir not allowed", MKDIR, text("/proc/x") + attrs()),
    ("rename over a file", RENAME, text("/tmp/{d}/file") + text("/tmp/{d}/other")),
    ("rename over a directory", RENAME, text("/tmp/{d}/file") + text("/tmp/{d}/dir")),
    ("rename nothing", RENAME, text("/tmp/{d}/nothing") + text("/tmp/{d}/x")),
    ("rename a directory over a file", RENAME, text("/tmp/{d}/dir") + text("/tmp/{d}/file")),
    ("rename to itself", RENAME, text("/tmp/{d}/file") + text("/tmp/{d}/file")),
    ("rename a link", RENAME, text("/tmp/{d}/link") + text("/tmp/{d}/file")),
    ("rename to another file system", RENAME, text("/tmp/{d}/file") + text("/dev/shm/x")),
    ("symlink again", SYMLINK, text("file") + text("/tmp/{d}/link")),
    ("symlink to nothing", SYMLINK, text("") + text("/tmp/{d}/empty")),
    ("open nothing", OPEN, text("/tmp/{d}/nothing") + struct.pack(">I", FLAG_READ) + attrs()),
    ("open what is there", OPEN, text("/tmp/{d}/file") +
     struct.pack(">I", FLAG_WRITE | FLAG_CREATE | FLAG_EXCL) + attrs()),
    ("open a directory to write", OPEN, text("/tmp/{d}/dir") + struct.pack(">I", FLAG_WRITE) +
     attrs()),
    ("open not allowed", OPEN, text("/etc/shadow") + struct.pack(">I", FLAG_READ) + attrs()),
    ("opendir of a file", OPENDIR, text("/tmp/{d}/file")),
    ("opendir of nothing", OPENDIR, text("/tmp/{d}/nothing")),
    ("setstat of nothing", SETSTAT, text("/tmp/{d}/nothing") + attrs(mode=0o600)),
    ("chown not allowed", SETSTAT, text("/tmp/{d}/file") + attrs(ids=(0, 0))),
    ("truncate a directory", SETSTAT, text("/tmp/{d}/dir") + attrs(size=0)),
    ("two of which one fails", SETSTAT, text("/tmp/{d}/file") + attrs(ids=(0, 0), mode=0o640)),
    ("close of no handle", CLOSE, text("")),
    ("close of a strange handle", CLOSE, text("\0\0\0\x07")),
    ("read of a strange handle", READ, text("handle") + struct.pack(">QI", 0, 1)),
    ("write of a strange handle", WRITE, text("handle") + struct.pack(">Q", 0) + text("x")),
    ("fstat of a strange handle", FSTAT, text("handle")),
    ("fsetstat of a strange handle", FSETSTAT, text("handle") + attrs()),
    ("readdir of a strange handle", READDIR, text("handle")),
]
EXTENSIONS = [
    ("posix-rename of nothing", "posix-rename@openssh.com", text("/tmp/{d}/no") + text("/tmp/x")),
    ("posix-rename to a directory", "posix-rename@openssh.com",
     text("/tmp/{d}/file") + text("/tmp/{d}/dir")),
    ("hardlink again", "hardlink@openssh.com", text("/tmp/{d}/file") + text("/tmp/{d}/other")),
    ("hardlink of nothing", "hardlink@openssh.com", text("/tmp/{d}/no") + text("/tmp/{d}/x")),
    ("fsync of a strange handle", "fsync@openssh.com", text("handle")),
    ("lsetstat of a size", "lsetstat@openssh.com", text("/tmp/{d}/link") + attrs(size=1)),
    ("lsetstat of times", "lsetstat@openssh.com", text("/tmp/{d}/link") + attrs(times=(OLD, OLD))),
    ("lsetstat of a mode", "lsetstat@openssh.com", text("/tmp/{d}/link") + attrs(mode=0o600)),
    ("lsetstat of nothing", "lsetstat@openssh.com", text("/tmp/{d}/no") + attrs(times=(OLD, OLD))),
    ("expand-path of nothing", "expand-path@openssh.com", text("")),
    ("expand-path of ~root", "expand-path@openssh.com", text("~root/x")),
    ("expand-path of nobody's", "expand-path@openssh.com", text("~nosuchuser/x")),
    ("expand-path of a file", "expand-path@openssh.com", text("/tmp/{d}/file")),
    ("home-directory", "home-directory", text("dev")),
    ("home-directory of nobody", "home-directory", text("nosuchuser")),
    ("users and groups", "users-groups-by-id@openssh.com",
     text(struct.pack(">IIII", 0, 1000, 74, 4_000_000_000)) + text(struct.pack(">II", 1000, 55))),
    ("users and groups, none", "users-groups-by-id@openssh.com", text("") + text("")),
    ("statvfs of nothing", "statvfs@openssh.com", text("/tmp/{d}/nothing")),
    ("fstatvfs of a strange handle", "fstatvfs@openssh.com", text("handle")),
    ("copy-data of strange handles", "copy-data",
     text("a") + struct.pack(">QQ", 0, 1) + text("b") + struct.pack(">Q", 0)),
    ("no such extension", "no-such@example.org", text("x")),
]


def prepare(s, d):
    """The files that the requests are about; every time is the same on both sides."""
    assert s.status(MKDIR, text(f"/tmp/{d}") + attrs()) == 0
    assert s.status(MKDIR, text(f"/tmp/{d}/dir") + attrs(mode=0o750)) == 0
    for name in ("file", "other"):
        h = s.open(f"/tmp/{d}/{name}", FLAG_WRITE | FLAG_CREATE, mode=0o644)
        assert s.status(WRITE, text(h) + struct.pack(">Q", 0) + text(f"of {name}\n")) == 0
        assert s.status(CLOSE, text(h)) == 0
        assert s.status(SETSTAT, text(f"/tmp/{d}/{name}") + attrs(times=(OLD, OLD))) == 0
    for name, to in (("link", "file"), ("dangling", "nothing"), ("circle", "circle")):
        assert s.status(SYMLINK, text(to) + text(f"/tmp/{d}/{name}")) == 0
        assert s.extended("lsetstat@openssh.com", text(f"/tmp/{d}/{name}") +
                          attrs(times=(OLD, OLD)))[1][:4] == bytes(4)


def fill(body, d):
    """The directory's name, which has as many bytes as its placeholder, into a request."""
    return body.replace(b"{d}", d.encode())


def seen(kind, rest):
    """A reply as it is compared: of a status the code alone, of attributes all but the last look."""
    if kind == ATTRS:
        return kind, rest[:24] + rest[28:]
    return (kind, rest[:4]) if kind == STATUS else (kind, rest)


@pytest.mark.quick
def test_replies(both):
    """Requests with a wrong turn in them: the same reply, and the same status code in it."""
    replies = []
    for t in both:
        transport = t.paramiko(t.login("files"))
        try:
            s = Sftp(transport)
            d = f"{os.getpid() % 1000:03d}"
            # Gone before: the oracle's /tmp stays.
            prepare(s, d)
            got = {"version": s.version}
            for name, kind, body in REQUESTS:
                got[name] = seen(*s.ask(kind, fill(body, d)))
            for name, extension, body in EXTENSIONS:
                got[name] = seen(*s.extended(extension, fill(body, d)))
            replies.append(got)
            for name in ("file", "other", "link", "dangling", "circle"):
                assert s.status(REMOVE, text(f"/tmp/{d}/{name}")) == 0, name
            assert s.status(RMDIR, text(f"/tmp/{d}/dir")) == 0
            assert s.status(RMDIR, text(f"/tmp/{d}")) == 0
        finally:
            transport.close()
    theirs, ours = replies
    assert {k: v for k, v in ours.items() if v != theirs[k]} == \
        {k: theirs[k] for k, v in ours.items() if v != theirs[k]}
    assert theirs["stat"][0] == ATTRS and theirs["home-directory"][0] == NAME
    assert theirs["users and groups"][0] == EXTENDED_REPLY


@pytest.mark.quick
def test_reading_and_writing(target):
    """Offsets, ends, sizes, appending: what a resumed transfer is made of."""
    transport = target.paramiko(target.login("files"))
    try:
        s = Sftp(transport)
        path = f"/tmp/rw-{os.getpid()}"
        h = s.open(path, FLAG_READ | FLAG_WRITE | FLAG_CREATE | FLAG_TRUNC)
        at = lambda offset, length: s.ask(READ, text(h) + struct.pack(">QI", offset, length))
        put = lambda offset, data: s.status(WRITE, text(h) + struct.pack(">Q", offset) +
                                            text(data))
        assert at(0, 10)[1][:4] == b"\0\0\0\1"  # the end
        assert at(0, 0) == (DATA, text(b""))
        assert put(5, b"five") == 0
        assert at(0, 100) == (DATA, text(b"\0" * 5 + b"five"))
        assert at(7, 1) == (DATA, text(b"v"))
        assert at(9, 1)[1][:4] == b"\0\0\0\1"
        assert at(1 << 63, 1)[1][:4] == b"\0\0\0\5"
        assert put(0, b"x" * (255 * 1024)) == 0
        kind, rest = at(0, 1 << 31)
        assert kind == DATA and rest == text(b"x" * (255 * 1024))
        assert s.status(FSETSTAT, text(h) + attrs(size=3, mode=0o604, times=(OLD, OLD + 1))) == 0
        kind, rest = s.ask(FSTAT, text(h))
        assert (kind, rest) == (ATTRS, struct.pack(">IQIIIII", 15, 3, 1000, 1000, 0o100604, OLD,
                                                   OLD + 1))
        assert s.extended("fsync@openssh.com", text(h))[1][:4] == bytes(4)
        assert s.status(CLOSE, text(h)) == 0
        assert s.status(CLOSE, text(h)) == 2
        h = s.open(path, FLAG_WRITE | FLAG_APPEND)
        assert put(0, b"end") == 0
        other = s.open(path + "-copy", FLAG_READ | FLAG_WRITE | FLAG_CREATE)
        source = s.open(path, FLAG_READ)
        copy = lambda offset, length: s.extended("copy-data", text(source) + struct.pack(
            ">QQ", offset, length) + text(other) + struct.pack(">Q", 1))[1][:4]
        assert copy(2, 0) == bytes(4)
        if target.name == "sallyport":  # OpenSSH does not notice when the last part is short
            assert copy(2, 100) == b"\0\0\0\1"
        assert s.ask(READ, text(other) + struct.pack(">QI", 0, 99)) == (DATA, text(b"\0xend"))
        kind, rest = s.extended("statvfs@openssh.com", text("/tmp"))
        assert kind == EXTENDED_REPLY and len(rest) == 11 * 8
        kind, rest = s.extended("limits@openssh.com")
        assert struct.unpack(">QQQ", rest[:24]) == (262144, 261120, 261120)
        assert s.status(REMOVE, text(path)) == 0
        assert s.status(REMOVE, text(path + "-copy")) == 0
    finally:
        transport.close()


@pytest.mark.quick
@pytest.mark.parametrize("profile", IMAGES)
def test_listing(target, profile):
    """More entries than one reply holds, "." and "..", attributes, and ls -l lines beside them."""
    transport = target.paramiko(target.login(profile))
    try:
        s = Sftp(transport)
        d = f"/tmp/list-{profile}-{os.getpid()}"
        assert s.status(MKDIR, text(d) + attrs()) == 0
        for i in range(250):
            h = s.open(f"{d}/{i}", FLAG_WRITE | FLAG_CREATE, mode=0o640)
            assert s.status(FSETSTAT, text(h) + attrs(size=i, times=(OLD, OLD))) == 0
            assert s.status(CLOSE, text(h)) == 0
        h = s.handle(OPENDIR, text(d))
        entries = {}
        while True:
            kind, rest = s.ask(READDIR, text(h))
            if kind == STATUS:
                assert rest[:4] == b"\0\0\0\1"
                break
            m = paramiko.Message(rest)
            for _ in range(m.get_int()):
                name, line = m.get_text(), m.get_text()
                entries[name] = (line, paramiko.SFTPAttributes._from_msg(m))
        assert s.status(CLOSE, text(h)) == 0
        assert sorted(entries) == sorted([".", "..", *(str(i) for i in range(250))])
        line, a = entries["249"]
        assert (a.st_size, a.st_mode, a.st_mtime) == (249, 0o100640, OLD)
        owner = r"dev      dev     " if profile != "onefiles" or target.name == "sshd" \
            else r"4242     4243    "
        assert re.fullmatch(rf"-rw-r-----    1 {owner}      249 Sep  9  2001 249", line), line
        assert entries["."][0].startswith("drwxr-xr-x    2 ")
        for i in range(250):
            assert s.status(REMOVE, text(f"{d}/{i}")) == 0
        assert s.status(RMDIR, text(d)) == 0
    finally:
        transport.close()


# ----- other people's clients -----

@pytest.mark.slow
@pytest.mark.parametrize("profile", ["onefiles"])
def test_put_get_and_resume(sallyport, profile, tmp_path):
    """200 MiB there and back, and both halves of it resumed."""
    big = str(tmp_path / "big")
    with open("/dev/urandom", "rb") as f:
        write(big, f.read(200 * MIB))
    with open(big, "rb") as f:
        write(str(tmp_path / "half"), f.read(77 * MIB + 13))
    d = f"/tmp/big-{profile}-{os.getpid()}"
    r = sallyport.sftp(f"mkdir {d}\ncd {d}\nput big\nget big back\nput half up\nreput big up\n"
                       "get up up-back\nreget big half\n", user=profile, cwd=tmp_path,
                       seconds=100)
    assert r.returncode == 0, r.stderr
    for name in ("back", "up-back", "half"):
        assert digest(tmp_path / name) == digest(big), name


@pytest.mark.quick
def test_scp_where_nothing_is(sallyport, tmp_path, control):
    """scp of today needs no program there: a tree goes to an image of one static program and back."""
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    for name in ("tree/a", "tree/sub/b"):
        write(tmp_path / name, os.urandom(100_000), 0o640)
    with Master(sallyport, "onefiles", control) as options:
        r = sallyport.scp("-r", "-p", f"{tmp_path}/tree", "onefiles@HOST:/tmp/copy", options=options)
        assert r.returncode == 0, r.stderr
        r = sallyport.scp("-r", "-p", "onefiles@HOST:/tmp/copy", f"{tmp_path}/back", options=options)
        assert r.returncode == 0, r.stderr
        r = sallyport.scp("onefiles@HOST:/tmp/nothing", f"{tmp_path}/", options=options)
        assert r.returncode == 1 and b"No such file or directory" in r.stderr
    for name in ("a", "sub/b"):
        assert digest(tmp_path / "back" / name) == digest(tmp_path / "tree" / name)
        assert os.stat(tmp_path / "back" / name).st_mtime == OLD
        assert os.stat(tmp_path / "back" / name).st_mode & 0o777 == 0o640


@pytest.mark.quick
@pytest.mark.parametrize("command", ["scp -t /tmp", "rsync --server . /tmp", "git-upload-pack x"])
def test_where_the_image_has_no_such_program(sallyport, command):
    """The shell of the image says what is missing, and 127."""
    r = sallyport.ssh(command, user="busyfiles")
    assert r.returncode == 127
    assert re.search(rb"sh: .*not found", r.stderr), r.stderr


@pytest.mark.quick
@pytest.mark.parametrize("profile", IMAGES)
def test_paramiko(target, profile, tmp_path):
    transport = target.paramiko(target.login(profile))
    try:
        sftp = paramiko.SFTPClient.from_transport(transport)
        d = f"/tmp/paramiko-{profile}-{os.getpid()}"
        local = write(str(tmp_path / "f"), os.urandom(3 * MIB))
        sftp.mkdir(d)
        sftp.put(local, f"{d}/f")  # checks the size at the end
        sftp.get(f"{d}/f", f"{tmp_path}/back")
        assert digest(tmp_path / "back") == digest(local)
        sftp.rename(f"{d}/f", f"{d}/g")
        sftp.posix_rename(f"{d}/g", f"{d}/h")
        sftp.symlink("h", f"{d}/l")
        assert sftp.readlink(f"{d}/l") == "h"
        with pytest.raises(FileNotFoundError):
            sftp.stat(f"{d}/nothing")
        with pytest.raises(PermissionError):
            sftp.open("/proc/1/mem")
        with sftp.open(f"{d}/h", "a") as f:
            f.write(b"more")
        assert sftp.stat(f"{d}/h").st_size == 3 * MIB + 4
        assert sorted(sftp.listdir(d)) == ["h", "l"]
        for name in ("h", "l"):
            sftp.remove(f"{d}/{name}")
        sftp.rmdir(d)
    finally:
        transport.close()


@pytest.mark.quick
def test_asyncssh(target, tmp_path):
    local = write(str(tmp_path / "f"), os.urandom(3 * MIB))
    d = f"/tmp/asyncssh-{os.getpid()}"

    async def work(connection):
        async with connection.start_sftp_client() as sftp:
            await sftp.mkdir(d)
            await sftp.put(local, f"{d}/f", preserve=True)
            await sftp.get(f"{d}/f", f"{tmp_path}/back", preserve=True)
            with pytest.raises(asyncssh.SFTPError) as refused:
                await sftp.mkdir(d)
            await sftp.posix_rename(f"{d}/f", f"{d}/g")
            await sftp.link(f"{d}/g", f"{d}/h")
            vfs = await sftp.statvfs(d)
            names = await sftp.glob(f"{d}/*")
            await sftp.rmtree(d)
            return refused.value.code, vfs.namemax, sorted(names)
    code, namemax, names = target.asyncssh(work, user=target.login("files"))
    assert (code, namemax, names) == (4, 255, [f"{d}/g", f"{d}/h"])
    assert digest(tmp_path / "back") == digest(local)
    assert os.stat(tmp_path / "back").st_mtime == OLD


# ----- what the policy gives -----

@pytest.mark.quick
@pytest.mark.parametrize("profile", ["dev", "noexec", "noshell"])
def test_no_sftp_without_the_policys_word(sallyport, profile, tmp_path):
    write(tmp_path / "f", b"x")
    r = sallyport.ssh("sftp", user=profile, options=["-s"])
    assert r.returncode == 255 and b"subsystem request failed on channel 0" in r.stderr
    assert sallyport.sftp("ls", user=profile).returncode == 255
    assert sallyport.scp(f"{tmp_path}/f", f"{profile}@HOST:/tmp/f").returncode == 255


@pytest.mark.quick
def test_sftp_and_nothing_else(sallyport):
    """The same rule over every kind of request; and no way to a program by way of /proc."""
    assert sallyport.sftp("ls /", user="justfiles").returncode == 0
    for args, options in ((("true",), ()), ((), ("-T",)), (("hello",), ("-s",)),
                          ((), ("-o", "RequestTTY=force"))):
        assert sallyport.ssh(*args, user="justfiles", options=options).returncode == 255, args
    transport = sallyport.paramiko("justfiles")
    try:
        s = Sftp(transport)
        for path in ("/proc/self/mem", "/proc/1/mem"):
            assert s.status(OPEN, text(path) + struct.pack(">I", FLAG_WRITE) + attrs()) == 3, path
    finally:
        transport.close()


def test_nothing_in_proc_is_written(sallyport):
    """Not even where the kernel would allow it: another process of the same user, or a link to it."""
    transport = sallyport.paramiko("files")
    try:
        c = transport.open_session()
        c.exec_command("ln -s /proc/$$/mem /tmp/mem; echo $$; exec sleep 60")
        pid = c.makefile("rb").readline().decode().strip()
        s = Sftp(transport)
        for path in (f"/proc/{pid}/mem", f"/proc/{pid}/comm", "/tmp/mem"):
            for flags in (FLAG_WRITE, FLAG_READ | FLAG_WRITE):
                assert s.status(OPEN, text(path) + struct.pack(">I", flags) + attrs()) == 3, path
        assert s.ask(READ, text(s.open(f"/proc/{pid}/comm", FLAG_READ)) + struct.pack(">QI", 0, 99))[1] == text(b"sleep\n")
    finally:
        transport.close()


@docker_only("/ in its containers has the mode 0555")
def test_the_server_stays_where_it_is(fresh_broker):
    """Who may write the container's root, root for one, puts no program of theirs into its place."""
    fresh_broker.policy["unsafe"] = ["root-user"]
    fresh_broker.policy["profiles"]["justfiles"] = container_profile(
        "sallyport-test/busybox:latest", user="0:0", read_only_root=False,
        session=dict(SFTP, shell=False, exec=False, pty=False))
    transport = fresh_broker.start().target.paramiko("justfiles")
    try:
        s = Sftp(transport)
        assert s.status(MKDIR, text("/mine") + attrs()) == 0
        assert s.status(RENAME, text("/mine") + text("/renamed")) == 0
        for path in ("/.sallyport", "/.sallyport-rendezvous")[:1 if DATA_PATH == "engine" else 2]:
            two = text(path) + text("/moved")
            assert b"busy" in s.ask(RENAME, two)[1], path
            assert b"busy" in s.extended("posix-rename@openssh.com", two)[1], path
        assert b"Read-only" in s.ask(OPEN, text("/.sallyport/new") + struct.pack(
            ">I", FLAG_WRITE | FLAG_CREATE) + attrs())[1]
        assert Sftp(transport).status(STAT, text("/moved")) == 2
    finally:
        transport.close()


@pytest.mark.quick
def test_read_only(sallyport):
    transport = sallyport.paramiko("readfiles")
    try:
        s = Sftp(transport)
        h = s.open("/etc/passwd", FLAG_READ)
        assert s.ask(READ, text(h) + struct.pack(">QI", 0, 4))[1] == text(b"root")
        two = text("/tmp/x") + text("/tmp/y")
        for kind, body in ((OPEN, text("/tmp/x") + struct.pack(">I", FLAG_WRITE | FLAG_CREATE) +
                            attrs()),
                           (OPEN, text("/tmp/x") + struct.pack(">I", FLAG_READ | FLAG_CREATE) +
                            attrs()),
                           (WRITE, text(h) + struct.pack(">Q", 0) + text("x")),
                           (SETSTAT, text("/tmp") + attrs(mode=0o777)),
                           (FSETSTAT, text(h) + attrs(mode=0o777)),
                           (REMOVE, text("/tmp/x")), (MKDIR, text("/tmp/x") + attrs()),
                           (RMDIR, text("/tmp/x")), (RENAME, two), (SYMLINK, two)):
            assert s.status(kind, body) == 3, kind
        for name in ("posix-rename@openssh.com", "hardlink@openssh.com"):
            assert s.extended(name, two)[1][:4] == b"\0\0\0\3"
        assert s.status(STAT, text("/tmp/x")) != 3
    finally:
        transport.close()


@pytest.mark.quick
def test_a_server_of_the_image(sallyport):
    """The policy names a program and its arguments: nothing is split, replaced or added."""
    r = sallyport.sftp("pwd", user="theirfiles")
    assert (r.returncode, r.stdout) == (0, b"sftp> pwd\nRemote working directory: /home/dev\n")
    r = sallyport.ssh("hello", user="theirfiles", options=["-s"])
    assert (r.returncode, r.stdout) == (0, b"$(id)|a  b|")
    r = sallyport.ssh("sftp", user="nofiles", options=["-s"])
    assert r.returncode == 127
    assert r.stderr == (b"/no/such/server cannot be run in this container: "
                        b"No such file or directory\n")


# ----- bad days -----

@pytest.mark.quick
def test_disk_full(sallyport, tmp_path):
    """The profile's /tmp has 64 MiB: the client hears why, and the rest goes on."""
    big = write(str(tmp_path / "big"), bytes(70 * MIB))
    transport = sallyport.paramiko("justfiles")
    try:
        sftp = paramiko.SFTPClient.from_transport(transport)
        with pytest.raises(OSError, match="No space left on device"):
            sftp.put(big, "/tmp/big")
        sftp.remove("/tmp/big")
        assert sftp.listdir("/tmp") == []
    finally:
        transport.close()


HOSTILE = {
    "giant length": struct.pack(">I", 0xffffffff),
    "one more than allowed": struct.pack(">I", 256 * 1024 + 1),
    "nothing": struct.pack(">I", 0),
    "no id": struct.pack(">IB", 1, STAT),
}


@pytest.mark.quick
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_packets(sallyport, what):
    """What is no SFTP ends this one server, with a word on stderr; its neighbour does not notice."""
    transport = sallyport.paramiko("files")
    try:
        good = Sftp(transport)
        bad = Sftp(transport)
        bad.channel.sendall(HOSTILE[what])
        assert bad.channel.recv_exit_status() == 1
        assert b"not SFTP" in bad.channel.recv_stderr(1000)
        assert good.status(STAT, text("/nothing")) == 2
    finally:
        transport.close()


@pytest.mark.quick
def test_request_before_the_greeting(sallyport):
    transport = sallyport.paramiko("files")
    try:
        bad = Sftp(transport, greet=False)
        bad.raw(struct.pack(">BI", STAT, 1) + text("/"))
        assert bad.channel.recv_exit_status() == 1
    finally:
        transport.close()


@pytest.mark.quick
def test_the_server_ends_with_its_client(sallyport):
    """EOF ends it, status 0, as under sshd; and so does a client that just goes."""
    transport = sallyport.paramiko("files")
    try:
        s = Sftp(transport)
        s.channel.shutdown_write()
        assert s.channel.recv_exit_status() == 0
        Sftp(transport).channel.close()
        c = transport.open_session()
        c.settimeout(20 * PATIENCE)
        c.exec_command("for i in $(seq 100); do pgrep -x sallyport-sftp >/dev/null || exit 0; "
                       "sleep 0.1; done; exit 1")
        assert c.recv_exit_status() == 0
    finally:
        transport.close()
