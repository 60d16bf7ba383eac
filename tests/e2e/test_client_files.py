# SPDX-License-Identifier: Apache-2.0
"""Files: clients that others wrote, in each image, and what they leave there, as under sshd."""
import os
import shutil
import signal
import subprocess
import time

import asyncssh
import pytest
from paramiko import SFTPClient

from kit.clients import COMMANDS, clients, environment, putty_options, run
from kit.held import DIRECTORY, Held
from kit.libssh import KEEPS_WINDOWS
from kit.matrix import CLIENTS, cell
from kit.proc import wait_for
from kit.target import PATIENCE

OLD = 1_000_000_000
MIB = 1 << 20
GIB = 1 << 30
TAIL = 3 * MIB + 13
NO_PROGRAM = "the image has no such program: both answer alike"
SPARSE = 64 * MIB  # on a disk or in a tmpfs: what was not written takes no room


class Place:
    """A folder of the client's with files to send, and the one of the other side."""

    def __init__(self, target, path):
        self.target = target
        self.path = str(path / f"{target.name}-{target.port}")
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(f"{self.path}/tree/sub")
        for name, size in (("one", 300_000), ("tree/a", 5000), ("tree/sub/b", 100_000)):
            self.write(name, bytes(range(256)) * (size // 256) + b"\0\r\n\xff")

    def write(self, name, data, mode=0o640):
        with open(f"{self.path}/{name}", "wb") as f:
            f.write(data)
        os.chmod(f"{self.path}/{name}", mode)
        os.utime(f"{self.path}/{name}", (OLD, OLD))

    def files(self):
        """Everything in the folder, by name."""
        found = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                with open(f"{folder}/{name}", "rb") as f:
                    found[os.path.relpath(f"{folder}/{name}", self.path)] = f.read()
        return found

    def run(self, argv, stdin=b"", **env):
        """A client to its end, without what is this folder's own in its words."""
        code, out, err = run(self.target, argv, stdin, cwd=self.path, **env)
        mine = ((self.path, "LOCAL"), (str(self.target.port), "PORT"),
                (f'"{self.target.user}"', '"USER"'), (f"{self.target.user}@", "USER@"))
        for text, name in mine:
            out, err = (s.replace(text.encode(), name.encode()) for s in (out, err))
        return code, out, err


def ssh_command(target, user=False):
    words = ["ssh", "-a", "-x", *target.options()]
    return " ".join([*words, "-l", target.user] if user else words)


# ----- what each client is told for: put, get, rename; and to go on where it was interrupted -----

def openssh(place, lines):
    argv = ["sftp", "-q", "-b", "-", *place.target.options(), f"{place.target.user}@127.0.0.1"]
    words = {"put": "put {0} {1}", "get": "get {0} {1}", "rename": "rename {0} {1}",
             "put on": "reput {0} {1}", "get on": "reget {0} {1}"}
    script = "".join(words[w].format(*files) + "\n" for w, *files in lines)
    return place.run(argv, f"cd {DIRECTORY}\n{script}".encode())


def psftp(place, lines):
    argv = ["psftp", *putty_options(place.target), "-b", "script", f"{place.target.user}@127.0.0.1"]
    words = {"put": "put {0} {1}", "get": "get {0} {1}", "rename": "mv {0} {1}",
             "put on": "reput {0} {1}", "get on": "reget {0} {1}"}
    with open(f"{place.path}/script", "w", encoding="ascii") as f:
        f.writelines(line + "\n" for line in [f"cd {DIRECTORY}"] + [
            words[w].format(*files) for w, *files in lines])
    return place.run(argv)


def lftp(place, lines):
    words = {"put": "put {0} -o {1}", "get": "get {0} -o {1}", "rename": "mv {0} {1}",
             "put on": "put -c {0} -o {1}", "get on": "get -c {0} -o {1}"}
    target = place.target
    script = [f'set sftp:connect-program "{ssh_command(target)}"', "set sftp:auto-confirm yes",
              "set net:max-retries 1", "set cmd:fail-exit yes",
              f"open -u {target.user}, sftp://127.0.0.1:{target.port}", f"cd {DIRECTORY}"]
    return place.run(["lftp", "-c", "; ".join(script + [words[w].format(*f) for w, *f in lines])])


def rclone(place, lines):
    """Go's SSH. It asks for the kind of host key that it likes best, whichever is known."""
    target = place.target
    known = f"{target.home}/all_known"
    with open(known, "w", encoding="ascii") as f:
        subprocess.run(["ssh-keyscan", "-p", str(target.port), "127.0.0.1"], check=True, timeout=30 * PATIENCE, stdout=f,
                       stderr=subprocess.DEVNULL)
    remote = (f":sftp,host=127.0.0.1,port={target.port},user={target.user},key_file={target.keys.user},"
              f"known_hosts_file={known}:{DIRECTORY}/")
    words = {"put": ["copyto", "{0}", remote + "{1}"], "get": ["copyto", remote + "{0}", "{1}"],
             "rename": ["moveto", remote + "{0}", remote + "{1}"]}
    return [place.run(["rclone", "--config", "/dev/null", "--retries", "1", *(part.format(*files) for part in words[w])])
            for w, *files in lines]


def curl_options(target):
    return ["curl", "-sS", "--key", target.keys.user, "--pubkey", f"{target.keys.user}.pub",
            "-u", f"{target.user}:"]


def curl(place, lines):
    base = [*curl_options(place.target)]
    url = f"sftp://127.0.0.1:{place.target.port}{DIRECTORY}/"
    said = []
    for w, *files in lines:
        a, b = files
        said.append(place.run(base + {
            "put": ["-T", a, url + b], "get": ["-o", b, url + a],
            "rename": ["-I", "-Q", f"-rename {DIRECTORY}/{a} {DIRECTORY}/{b}", url],
            "put on": ["-C", "-", "-T", a, url + b], "get on": ["-C", "-", "-o", b, url + a],
        }[w]))
    return said


def paramiko(place, lines):
    transport = place.target.paramiko()
    try:
        sftp = SFTPClient.from_transport(transport)
        sftp.chdir(DIRECTORY)
        for w, a, b in lines:
            local = f"{place.path}/{a if w.startswith('put') else b}"
            if w == "put on":
                with open(local, "rb") as source, sftp.open(b, "r+b") as f:
                    f.seek(source.seek(f.stat().st_size))
                    f.write(source.read())
            elif w == "get on":
                with open(local, "ab") as f, sftp.open(a, "rb") as source:
                    source.seek(f.tell())
                    f.write(source.read())
            else:
                {"put": lambda: sftp.put(local, b), "get": lambda: sftp.get(a, local),
                 "rename": lambda: sftp.rename(a, b)}[w]()
        return sorted(sftp.listdir())
    finally:
        transport.close()


def asynchronous(place, lines):
    async def work(connection):
        async with connection.start_sftp_client() as sftp:
            await sftp.chdir(DIRECTORY)
            for w, a, b in lines:
                local = f"{place.path}/{a if w.startswith('put') else b}"
                if w == "put on":
                    size = (await sftp.stat(b)).size
                    with open(local, "rb") as source:
                        source.seek(size)
                        async with sftp.open(b, "r+b") as f:
                            await f.write(source.read(), size)
                elif w == "get on":
                    with open(local, "ab") as f:
                        async with sftp.open(a, "rb") as source:
                            f.write(await source.read(-1, f.tell()))
                else:
                    await {"put": sftp.put, "get": sftp.get, "rename": sftp.rename}[w](
                        *{"put": (local, b), "get": (a, local), "rename": (a, b)}[w])
            return sorted(await sftp.listdir())
    return place.target.asyncssh(work)


def sshfs(place, lines):
    target = place.target
    mount = f"{place.path}.mnt"
    os.makedirs(mount, exist_ok=True)
    said = place.run(["sshfs", f"{target.user}@127.0.0.1:{DIRECTORY}", mount, "-o",
                      f"ssh_command={ssh_command(target)}"])
    try:
        for w, a, b in lines:
            if w == "rename":
                os.rename(f"{mount}/{a}", f"{mount}/{b}")
                continue
            source, to = ((place.path, mount) if w.startswith("put") else (mount, place.path))
            with open(f"{source}/{a}", "rb") as s, open(f"{to}/{b}", "ab" if " on" in w else "wb") as f:
                s.seek(f.tell())
                f.write(s.read())
        return said, sorted(os.listdir(mount))
    finally:
        subprocess.run(["fusermount3", "-u", mount], check=True, timeout=30 * PATIENCE)
        os.rmdir(mount)


def no_fuse():
    """Why nothing can be mounted here, or None."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"sshfs: /dev/fuse cannot be opened on the machine of this run: {error.strerror}"
    return None


PROGRAMS = {"OpenSSH": openssh, "PuTTY": psftp, "paramiko": paramiko, "asyncssh": asynchronous,
            "curl": curl, "lftp": lftp, "sshfs": sshfs, "rclone": rclone}


def programs(*works):
    marks = lambda n: [cell(n, *works)] + [pytest.mark.skipif(no_fuse() is not None,
                                                              reason=str(no_fuse()))] * (n == "sshfs")
    return pytest.mark.parametrize("program", [
        pytest.param(p, id=n, marks=marks(n)) for n, p in PROGRAMS.items() if set(works) <= set(CLIENTS[n])])


@programs("sftp put", "sftp get", "sftp rename")
def test_sftp(same, program, tmp_path):
    """A file goes there, gets another name, comes back: the same words, files and modes."""
    def work(target):
        place = Place(target, tmp_path)
        with Held(target) as held:
            place.target = held.target
            said = program(place, [("put", "one", "there"), ("rename", "there", "renamed"),
                                   ("put", "tree/a", "other"), ("get", "renamed", "back")])
            return said, held.files(), place.files()
    _, there, here = same(work)
    assert here["back"] == here["one"]
    assert b"./renamed" in there and b"./there" not in there and b"./other" in there


def make_sparse(path, tail):
    """A GiB of which only the end takes room."""
    with open(path, "wb") as f:
        f.truncate(GIB - len(tail))
        f.seek(0, 2)
        f.write(tail)


@pytest.mark.slow
@programs("sftp resume")
def test_resume(same, program, tmp_path):
    """
    A transfer of 1 GiB that was interrupted shortly before its end, both ways: what is there already is
    not sent again, and so holes stay holes.
    """
    tail = os.urandom(TAIL)

    def work(target):
        place = Place(target, tmp_path)
        make_sparse(f"{place.path}/big", tail)
        with open(f"{place.path}/part", "wb") as f:
            f.truncate(GIB - TAIL)
        with Held(target) as held:
            place.target = held.target
            held.sh(f"busybox truncate -s {GIB - TAIL} {DIRECTORY}/big")
            said = program(place, [("put on", "big", "big"), ("get on", "big", "part")])
            size, blocks, block = map(int, held.sh(f"busybox stat -c '%s %b %B' {DIRECTORY}/big").split())
            assert (size, blocks * block < SPARSE) == (GIB, True), said
            end = held.sh(f"busybox tail -c {TAIL} {DIRECTORY}/big")
        part = os.stat(f"{place.path}/part")
        assert (part.st_size, part.st_blocks * 512 < SPARSE) == (GIB, True), said
        with open(f"{place.path}/part", "rb") as f:
            f.seek(GIB - TAIL)
            assert f.read() == tail == end
        shutil.rmtree(place.path)
        return said
    same(work)


# ----- scp -----

def scp(target, old):
    return ["scp", "-q", *(["-O"] if old else []), *target.options()]


def pscp(target, old):
    return ["pscp", "-q", "-scp" if old else "-sftp", *putty_options(target)]


def copy_programs(work):
    return pytest.mark.parametrize("program", [
        pytest.param(p, id=n, marks=cell(n, work)) for n, p in (("OpenSSH", scp), ("PuTTY", pscp))])


def there_and_back(target, path, argv):
    """A tree goes there and comes back, and something that is not there does not."""
    place = Place(target, path)
    with Held(target) as held:
        place.target = held.target
        os.mkdir(f"{place.path}/back")
        host = f"{held.target.user}@127.0.0.1:{DIRECTORY}"
        said = [place.run([*argv, *more]) for more in (
            ["-r", "-p", "tree", host], ["-r", "-p", f"{host}/tree", "back"],
            [f"{host}/nothing", "nothing"])]
        return said, held.files(), place.files()


@copy_programs("scp new")
def test_scp_of_today(same, program, tmp_path):
    """scp that speaks SFTP, which is what OpenSSH 9 does."""
    said, _, here = same(lambda t: there_and_back(t, tmp_path, program(t.kept(), False)))
    assert [code for code, _, _ in said] == [0, 0, 1], said
    assert here["back/tree/sub/b"] == here["tree/sub/b"] and here["back/tree/a"] == here["tree/a"]


@copy_programs("scp old")
def test_scp_of_old(same, program, tmp_path):
    def work(target):
        said, there, here = there_and_back(target, tmp_path, program(target.kept(), True))
        if same.image == "busybox" and program is pscp:
            # Where no scp answers pscp ends its download with 0 or with 1, as it happens, with sshd as with us.
            said[1:] = [(code in (0, 1), out, err) for code, out, err in said[1:]]
        return said, there, here
    said, there, here = same(work)
    if same.image == "busybox":
        same.note = NO_PROGRAM
        assert not any(n.startswith("back") for n in here) and b"tree" not in there, said
        return
    assert [code for code, _, _ in said] == [0, 0, 1], said
    assert here["back/tree/sub/b"] == here["tree/sub/b"] and here["back/tree/a"] == here["tree/a"]


@cell("curl", "scp old")
def test_scp_of_curl(same, tmp_path):
    if same.image == "busybox" and KEEPS_WINDOWS:
        pytest.skip("libssh2 goes on after the end of a program, up to the window: libssh opens 32000 bytes, sshd 2 MiB")

    def work(target):
        place = Place(target, tmp_path)
        with Held(target) as held:
            place.target = held.target
            url = f"scp://127.0.0.1:{target.port}{DIRECTORY}/there"
            base = curl_options(held.target)
            said = [place.run([*base, "-T", "one", url]), place.run([*base, "-o", "back", url])]
            return said, held.files(), place.files()
    said, there, here = same(work)
    if same.image == "busybox":
        same.note = NO_PROGRAM
        # curl says that it worked.
        assert not here.get("back") and b"there" not in there, said
        return
    assert said == [(0, b"", b"")] * 2 and here["back"] == here["one"]


@cell("asyncssh", "scp old")
def test_scp_of_asyncssh(same, tmp_path):
    def work(target):
        place = Place(target, tmp_path)

        async def copy(connection):
            try:
                await asyncssh.scp(f"{place.path}/tree", (connection, f"{DIRECTORY}/copy"),
                                   recurse=True, preserve=True)
                await asyncssh.scp((connection, f"{DIRECTORY}/copy"), f"{place.path}/back",
                                   recurse=True, preserve=True)
            except (OSError, asyncssh.Error) as error:
                return str(error)
            return None
        with Held(target) as held:
            return held.target.asyncssh(copy), held.files(), place.files()
    said, _, here = same(work)
    if same.image == "busybox":
        same.note = NO_PROGRAM
        assert said is not None
        return
    assert said is None, said
    assert here["back/sub/b"] == here["tree/sub/b"] and here["back/a"] == here["tree/a"]


# ----- programs that run another one over there -----

def as_command(client, target):
    """The client's command line up to the host, for those who put the rest behind it themselves."""
    argv = client(target)
    return " ".join(argv[:argv.index(f"{target.user}@127.0.0.1")])


@clients("rsync")
def test_rsync(same, client, tmp_path):
    """A tree there, again with a change and something less, and back."""
    def work(target):
        place = Place(target, tmp_path)
        with Held(target) as held:
            place.target = held.target
            remote = f"{held.target.user}@127.0.0.1:{DIRECTORY}/"
            # Not the times of directories: whether they differ depends on when a container was made.
            rsync = ["rsync", "-aiO", "-e", as_command(client, held.target)]
            said = [place.run([*rsync, "tree/", remote])]
            place.write("tree/sub/b", b"changed")
            os.remove(f"{place.path}/tree/a")
            said += [place.run([*rsync, "--checksum", "--delete", "tree/", remote]),
                     place.run([*rsync, remote, "back/"])]
            if same.image == "busybox":
                # How rsync sees the end of its ssh is a race of its own.
                said = [(code != 0, out, err.splitlines()[0]) for code, out, err in said]
            return said, held.files(), place.files()
    said, there, here = same(work)
    if same.image == "busybox":
        same.note = NO_PROGRAM
        assert said == [(True, b"", b"sh: rsync: not found")] * 3
        return
    assert [code for code, _, _ in said] == [0, 0, 0], said
    assert here["back/sub/b"] == b"changed" and "back/a" not in here and b"./a " not in there


@clients("git")
def test_git(same, client, tmp_path):
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
           "GIT_SSH_VARIANT": "ssh" if client is COMMANDS["OpenSSH"] else "simple",
           **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
              (("NAME", "t"), ("EMAIL", "t@example.org"), ("DATE", "@1000000000 +0000"))}}

    def work(target):
        place = Place(target, tmp_path)
        with Held(target) as held:
            place.target = held.target
            remote = f"{held.target.user}@127.0.0.1:{DIRECTORY}/project"
            env["GIT_SSH_COMMAND"] = as_command(client, held.target)
            said = [held.run(f"git init -q --bare {DIRECTORY}/project")]
            said += [place.run(["git", *args], **env) for args in (
                ["init", "-q", "-b", "main", "tree"], ["-C", "tree", "add", "."],
                ["-C", "tree", "commit", "-qm", "one"], ["-C", "tree", "push", remote, "HEAD:main"],
                ["clone", "-b", "main", remote, "back"],
                ["-C", "back", "log", "--format=%H %s"])]
            heads = held.run(f"cat {DIRECTORY}/project/refs/heads/main")
            here = {n: data for n, data in place.files().items() if ".git/" not in n}
            return said, heads, here
    said, heads, here = same(work)
    if same.image == "busybox":
        same.note = NO_PROGRAM
        push, clone = said[4:6]
        assert push[0] == clone[0] == 128 and b"not found" in push[2], said
        return
    assert all(code == 0 for code, _, _ in said), said
    assert said[-1][1] == heads[1].strip() + b" one\n"
    assert here["back/sub/b"] == here["tree/sub/b"]


# ----- all of it, and a real interruption -----

@pytest.mark.slow
@cell("OpenSSH", "sftp resume")
@pytest.mark.parametrize("same", ["busybox"], indirect=True)
@pytest.mark.timeout(400)
def test_one_gib_in_two_goes(same, tmp_path):
    """The client is killed in the middle, both ways, and goes on the next time."""
    big = str(tmp_path / "big")
    with open(big, "wb") as f:
        for _ in range(GIB // (16 * MIB)):
            f.write(os.urandom(16 * MIB))

    def killed(place, word, size):
        target = place.target
        p = subprocess.Popen(["sftp", "-q", "-b", "-", *target.options(), f"{target.user}@127.0.0.1"],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=place.path,
                             env=environment(target), start_new_session=True)
        p.stdin.write(word.encode())
        p.stdin.flush()
        wait_for(lambda: size() > 200 * MIB, 60 * PATIENCE, "some of it has come")
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
        assert 200 * MIB < size() < GIB

    def work(target):
        place = Place(target, tmp_path)
        os.link(big, f"{place.path}/big")
        with Held(target) as held:
            place.target = held.target
            killed(place, f"put big {DIRECTORY}/big\n", lambda: int(held.run(
                f"busybox stat -c %s {DIRECTORY}/big")[1] or 0))
            time.sleep(1)
            said = [openssh(place, [("put on", "big", "big")])]
            killed(place, f"get {DIRECTORY}/big back\n",
                   lambda: os.path.exists(f"{place.path}/back") and os.stat(f"{place.path}/back").st_size)
            said.append(openssh(place, [("get on", "big", "back")]))
        r = subprocess.run(["cmp", big, f"{place.path}/back"], capture_output=True, check=False)
        assert r.returncode == 0, r.stdout + r.stderr
        shutil.rmtree(place.path)
        return said
    assert [code for code, _, _ in same(work)] == [0, 0]
