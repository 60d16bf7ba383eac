# SPDX-License-Identifier: Apache-2.0
"""Manual pages, README.md and PROTOCOL.md against what the programs read, take, write and end with, both ways."""
import fnmatch
import glob
import json
import os
import re
import subprocess

import pytest

from kit.broker import BUILD, TREE
from kit.broker import PROGRAM as BROKER
from kit.target import PATIENCE

pytestmark = pytest.mark.quick
PROGRAM = f"{BUILD}/admin/sallyport"


def run(*args):
    return subprocess.run(args, capture_output=True, text=True, check=False, timeout=30 * PATIENCE)


def source(path):
    with open(f"{TREE}/{path}", encoding="utf-8") as f:
        return f.read()


# ----- pages -----

def plain(line):
    """A line of mdoc as text, near enough to look for words in it."""
    if line.startswith("."):
        macro = line[1:3]
        line = " ".join(word for word in line[1:].split() if not re.fullmatch(r"[A-Z][a-z]", word))
        if macro == "Pq":
            line = re.sub(r"^(.*?)( [.,:;])?$", r"(\1)\2", line)
    return line.replace(r"\&", "").replace(r"\(dq", '"')


class Item:
    """One .It: the macro that its names have (Cm, Fl, ...), these, its own text, and the items of the lists in it."""

    def __init__(self, head, above=None):
        self.kind, _, names = head.partition(" ")
        self.names = re.split(r"\s*,\s*(?:Fl -?)?", names)
        self.text = ""
        self.above = above
        self.items = []

    def default(self):
        """What the text says of it, or which value it calls the default."""
        text = " ".join(self.text.split())
        return " ".join(re.findall(r"Default: (.*?)(?:\.(?: |$)|$)", text) + re.findall(r"(\S+) \(default\)", text) +
                        re.findall(r"\(default: (.*?)\)", text) +
                        [i.names[0] for i in self.items if i.text.endswith("\nDefault.\n")])

    def whole(self):
        return self.text + "".join(i.whole() for i in self.items)


def section_source(page, name):
    return re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", source(page), re.S | re.M).group(1)


def section(page, name):
    """A section of a page as an Item that has all of it."""
    root = Item(f"Sh {name}")
    at = [root]
    for line in section_source(page, name).splitlines():
        if line.startswith(".Bl "):
            at.append(None)
        elif line.startswith(".El"):
            at.pop()
        elif line.startswith(".It"):
            at[-1] = Item(line[4:], at[-2])
            at[-2].items.append(at[-1])
        else:
            at[-1].text += plain(line) + "\n"
    return root


def paths(item, kind="Cm", above=()):
    """Each name of that kind with those above it."""
    for i in item.items:
        for name in i.names if i.kind == kind else []:
            yield (*above, name), i
            yield from paths(i, kind, (*above, name))


# ----- what is configured -----

def config_keys():
    """{path: member of struct config, or None}, by the tables."""
    text = re.sub(r'PENALTY\("(\w+)", (\w+)\)', r'{ .key = "\1", AT(admission.penalty_ms.\2) }',
                  source("broker/config_keys.c"))
    tables = {}
    for body in re.split(r"^\}\n", text, flags=re.M):
        name = re.search(r"^(read_\w+)\(", body, re.M)
        fields = re.search(r"static const struct json_field \w+\[\] = \{\n(.*?)\n\t?\};", body, re.S)
        if fields:
            tables["" if "top_fields[] =" in body else name.group(1)] = re.findall(
                r'\.key = "(\w+)"(.*?)(?=\.key = |\Z)', fields.group(1), re.S)
    found = {}

    def walk(table, above):
        for key, rest in tables[table]:
            reader = re.search(r"\.read = (\w+)", rest)
            reader = reader.group(1) if reader else "none"
            member = re.search(r"AT\(([\w.]+)\)", rest)
            if reader == "json_read_unavailable":
                continue
            found[(*above, key)] = member.group(1) if member else None
            if reader in tables:
                walk(reader, (*above, key))
    walk("", ())
    return found


def config_defaults():
    """{member: value as the page writes it}, of those that are not zero."""
    text = source("broker/config.c")
    body = re.search(r"static const struct config defaults = \{\n(.*?)\n\};", text, re.S).group(1)
    found = {}
    above = []
    body = re.sub(r"\{ (\.\w+ = \w+) \},", r"{\n\1,\n},", body)
    for line in body.splitlines():
        line = line.strip()
        opened = re.fullmatch(r"\.(\w+) = \{", line)
        leaf = re.fullmatch(r"[.\[](\w+)\]? = (.*),", line)
        if opened:
            above.append(opened.group(1))
        elif line == "},":
            above.pop()
        else:
            found[".".join([*above, leaf.group(1)])] = leaf.group(2)
    return found


def as_written(value):
    amount = re.fullmatch(r"(\d+) \* (SECOND|MIB)", value)
    if amount and amount.group(2) == "MIB":
        return f"{amount.group(1)}M"
    if amount:
        seconds = int(amount.group(1))
        return f"{seconds // 60}m" if seconds >= 300 else f"{seconds}s"
    return value.strip('"')


CONFIG_PAGE = "broker/sallyport-broker.json.5"


def test_every_key_of_the_configuration():
    page = dict(paths(section(CONFIG_PAGE, "DESCRIPTION")))
    keys = config_keys()
    # Of what is in these two objects the page tells in a sentence.
    spoken = {p for p in keys if p[:-1] in {("engine", "host_view"), ("login", "max_startups")}}
    assert len(keys) > 60 and len(spoken) == 5
    assert set(page) == set(keys) - spoken
    for path in spoken:
        assert re.search(rf"\b{path[-1]}\b", page[path[:-1]].text), path


def says(text, word):
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text) is not None


def test_every_default_of_the_configuration():
    page = dict(paths(section(CONFIG_PAGE, "DESCRIPTION")))
    values = config_defaults()
    named = {**{name: re.findall(r'"(.*?)"', body) for name, body in re.findall(
        r"static const char \*const (default_\w+)\[\] = \{(.*?)\};", source("broker/config.c"), re.S)},
        "SP_RUNTIME_DIR": re.findall(r'define SP_RUNTIME_DIR\s+"(.*?)"', source("common/control_path.h")),
        "SP_GUEST_DIR": ["where it was installed"], "SP_WORKER_PATH": ["where it was installed"],
        "LOG_LEVEL_INFO": ["info"], '""': ["none"]}
    compared = set()
    for path, member in config_keys().items():
        item = page.get(path) or page[path[:-1]]
        said = item.default()
        if member in values:
            value = values[member]
            wanted = named.get(value) or ["required" if path == ("worker", "sandbox") else as_written(value)]
            assert all(says(said, w) for w in wanted), (path, wanted, said)
            compared.add(member)
        elif said:
            # Zero, or made later: of what else the file says, or of this host.
            assert re.match(r'none|false|0\b|"0"|permissive|control\.sock|19|\{', said), (path, said)
    assert compared == set(values)
    first, count = re.search(r"default_uids = \{ (\d+), (\d+) \}", source("broker/config_worker.c")).groups()
    assert f"{first}-{int(first) + int(count) - 1}" in page["worker", "uids"].default()


def too_large(value):
    """A value of the same kind that no key takes, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return 4294967295
    if isinstance(value, str) and re.fullmatch(r"\d+(ms|s|m|h|d)|0", value):
        return "40d"
    return "9999T" if isinstance(value, str) and re.fullmatch(r"\d+[KMGT]", value) else None


def scalars(value, above=()):
    if isinstance(value, dict):
        for key, v in value.items():
            yield from scalars(v, (*above, key))
    else:
        yield above, value


def put(value, path, what):
    for key in path[:-1]:
        value = value.setdefault(key, {})
    value[path[-1]] = what


def bounds_of(said):
    """Of a complaint: the first and the last value that may be."""
    return re.search(r"must be (\S+) to (\S+?)(?:,| \[)", said).groups()


def has_bounds(text, least, most):
    """Nothing is said of what begins with 0."""
    words = re.findall(r"[\w.]+\w|\w", text)
    return most in words and (least in words or least == "0")


def test_every_range_of_the_configuration(tmp_path):
    page = dict(paths(section(CONFIG_PAGE, "DESCRIPTION")))
    with open(f"{TREE}/tests/data/config/good/every-key.json", encoding="utf-8") as f:
        good = json.load(f)
    asked = 0
    for path, value in scalars(good):
        value = too_large(value)
        if value is None:
            continue
        config = json.loads(json.dumps(good))
        put(config, path, value)
        with open(tmp_path / "broker.json", "w", encoding="utf-8") as f:
            json.dump(config, f)
        r = run(BROKER, "-t", "-c", str(tmp_path / "broker.json"))
        least, most = bounds_of(r.stderr)
        item = page.get(path) or page[path[:-1]]
        assert has_bounds(item.text + item.above.text, least, most), (path, least, most)
        asked += 1
    assert asked > 25


# ----- policies -----

POLICY_PAGE = "policy/sallyport-policy.5"


def schema_paths(schema, above=()):
    for name, value in schema.get("properties", {}).items():
        if value is False:
            continue
        yield (*above, name), value
        for inner in (value, value.get("additionalProperties"), value.get("items")):
            if isinstance(inner, dict):
                yield from schema_paths(inner, (*above, name))


def policy_page():
    """{path: item} of all sections that have keys."""
    found = dict(paths(section(POLICY_PAGE, "TOP LEVEL")))
    for above in "users", "rules", "profiles":
        found.update(paths(section(POLICY_PAGE, above.upper()), above=(above,)))
    for above in ("ceilings", "global"), ("ceilings", "per_user"), ("rules", "ceilings"):
        found.update({p: i for p, i in paths(section(POLICY_PAGE, "CEILINGS"), above=above)
                      if p[-1] != "memory" or "global" in p})
    found.update({p[:1] + ("if", "not") + p[2:]: i for p, i in found.items()
                  if p[:2] == ("rules", "if") and p[2:] and p[2] != "not"})
    return found


def policy_keys():
    return dict(schema_paths(json.loads(run(PROGRAM, "policy", "schema").stdout)))


def test_every_key_of_the_policy():
    page = policy_page()
    keys = policy_keys()
    assert len(keys) > 100
    assert set(page) - set(keys) == set()
    for path in sorted(set(keys) - set(page)):
        spoken = page[path[:-1]].text
        if path[0] == "ceilings":
            spoken = section(POLICY_PAGE, "CEILINGS").text
        assert re.search(rf"\b{path[-1]}\b", spoken), path


def keys_in(value, schema, above=()):
    """The keys that a policy has, as schema_paths() writes them."""
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            for v in value.values() if isinstance(value, dict) else value:
                yield from keys_in(v, inner, above)
    for name in schema.get("properties", {}).keys() & (value if isinstance(value, dict) else {}):
        yield (*above, name)
        yield from keys_in(value[name], schema["properties"][name], (*above, name))


def test_every_key_is_in_a_good_policy():
    """These are what units, fuzzers and the schema are tried on. What is in "not" is what is beside it."""
    schema = json.loads(run(PROGRAM, "policy", "schema").stdout)
    seen = set()
    for path in glob.glob(f"{TREE}/tests/data/policy/good/*.json"):
        with open(path, encoding="utf-8") as f:
            seen.update(keys_in(json.load(f), schema))
    assert {p for p in dict(schema_paths(schema)) if p[2:3] != ("not",)} - seen == set()


def test_every_default_of_a_profile(tmp_path):
    with open(tmp_path / "p.json", "w", encoding="utf-8") as f:
        json.dump({"sallyport_policy": 1, "users": {"a": {}}, "rules": [{"id": "a", "use": "p"}],
                   "profiles": {"p": {"container": {"image": "debian:12"}}}}, f)
    shown, = json.loads(run(PROGRAM, "policy", "show", "--effective", "--json", str(tmp_path / "p.json")).stdout)
    page = policy_page()
    compared = 0
    for setting in shown["settings"]:
        path = ("profiles", *setting["name"].split("."))
        value = setting["value"]
        said = page[path].default() if path in page else ""
        if setting["from"] != "default" or value is None:
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = [word for element in value for word in element.values() if isinstance(word, str)]
        if value in ([], {}):
            assert re.match("none|nowhere|those that the engine knows|$", said), (path, said)
        else:
            words = [json.dumps(v).strip('"') for v in (value if isinstance(value, list) else [value])]
            assert all(says(said, w) for w in words), (path, value, said)
        compared += 1
    assert compared > 30


def test_every_range_of_a_profile(tmp_path):
    page = policy_page()
    path = str(tmp_path / "p.json")
    asked = 0
    for setting, schema in policy_keys().items():
        number = {"integer": 4294967295}.get(schema.get("type"))
        value = number or ("40d" if "(ms|s|m|h|d)" in schema.get("pattern", "") else
                           "9999T" if "[KMGT]" in json.dumps(schema.get("anyOf", "")) else None)
        if value is None or "mounts" in setting:
            continue
        policy = {"sallyport_policy": 1, "users": {"a": {}}, "rules": [{"id": "a", "use": "p"}],
                  "profiles": {"p": {"container": {"image": "debian:12"}}}}
        at, rest = {"profiles": (policy["profiles"]["p"], setting[1:]), "rules": (policy["rules"][0], setting[1:])}.get(
            setting[0], (policy, setting))
        put(at, rest, value)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(policy, f)
        least, most = bounds_of(run(PROGRAM, "policy", "check", path).stdout)
        assert has_bounds(page[setting].text, least, most), (setting, least, most)
        asked += 1
    assert asked > 20


def test_where_no_root_lies():
    """But for the state directories, which the page names by whose they are."""
    listed = re.search(r"guarded\[\] = \{(.*?)NULL", source("policy/policy_bind.c"), re.S).group(1)
    said = re.search(r"\.Pa (/proc.*)", section_source(POLICY_PAGE, "DIRECTORIES OF THE HOST")).group(1).split(" , ")
    assert set(said) == {p for p in re.findall(r'"(.*?)"', listed) if not p.startswith("/var/lib/")}


# ----- the audit log -----

def audit_events():
    """{event: names of its own fields}, by the calls that write them."""
    found = {}
    for path in glob.glob(f"{TREE}/broker/*.c"):
        text = source(os.path.relpath(path, TREE))
        fields = {"audit_event": set(), "audit_note": set(), "write_event": set()}
        # Functions that are given the name of the event write the fields that they have.
        for name, body in re.findall(r"^(\w+)\([^;{]*?const char \*event[^;{]*\{(.*?)^\}", text, re.S | re.M):
            fields.setdefault(name, set(re.findall(r'AUDIT_[A-Z]+\("(\w+)"', body)))
        for call, event, rest in re.findall(rf'\b({"|".join(fields)})\([^,;]+, "([a-z.]+)"([^;]*);', text):
            found.setdefault(event, set()).update(fields[call], re.findall(r'AUDIT_[A-Z]+\("(\w+)"', rest))
    return found


def test_every_event_of_the_audit_log():
    page = {}
    for item in section("broker/sallyport-audit.5", "DESCRIPTION").items:
        page.update(dict.fromkeys(item.names, item))
    events = audit_events()
    assert len(events) > 25 and {"outcome", "claimed", "rule", "left_out"} <= events["login"]
    common = {"time", "number", "event", "connection", "from", "user"}
    assert set(page) - common == set(events)
    for event, fields in events.items():
        missing = {f for f in fields if not re.search(rf"\b{f}\b", page[event].whole())}
        assert missing == set(), event


# ----- how programs are called -----

def synopsis():
    """{command of sallyport: its options}, by the page."""
    found = {}
    for block in re.split(r"^\.Nm\n", section_source("admin/sallyport.1", "SYNOPSIS"), flags=re.M)[1:]:
        command = re.match(r"\.Cm (.*)\n", block)
        if command:
            found[command.group(1)] = set(re.findall(r"Fl (?:-|Fl )(\w+)", block))
    return found


def bash_words():
    """{command: words} of the completion."""
    text = source("admin/completion/sallyport.bash")
    said = re.findall(r'^\t+([a-z |]+)\) words="(--.*?)" ;;', text, re.M)
    return {name: set(words.split()) for names, words in said for name in names.split(" | ")}


def zsh_words():
    text = source("admin/completion/_sallyport")
    facts = re.search(r"^facts=\((.*?)^\)", text, re.S | re.M).group(1)
    said = {}
    for names, words in re.findall(r"^\t*([a-z |]+)\) _arguments (.*?) ;;", text, re.M):
        words = words.replace("$facts", facts)
        # What is in the first brackets are options that exclude this one.
        options = set(re.findall(r"'(?:\([^)]*\))?\*?(--\w+)", words))
        said.update({name: options for name in names.split(" | ")})
    return said


def test_every_option_of_the_commands():
    page = synopsis()
    bash, zsh = bash_words(), zsh_words()
    assert len(page) == 11 and "policy schema" in page
    for command, options in page.items():
        said = run(PROGRAM, *command.split(), "--help").stdout
        assert set(re.findall(r"--(\w+)", said)) == options, command
        if command == "policy schema":
            continue
        name = command.split()[-1]
        assert {f"--{o}" for o in options | {"help"}} == bash[name] == zsh[name], command


def test_every_option_of_the_broker_and_the_worker():
    page = section("broker/sallyport-broker.8", "DESCRIPTION")
    said = run(BROKER, "-h").stdout
    letters = {n.split()[0] for i in page.items if i.kind == "Fl" for n in i.names if not n.startswith("-")}
    assert set(re.findall(r"^  -(\w)\b", said, re.M)) == {n for n in letters if len(n) == 1}
    page = section("daemon/sallyportd.8", "DESCRIPTION")
    named = {re.sub(r"^-", "", n.split()[0]) for i in page.items for n in i.names}
    assert set(re.findall(r'strcmp\(argv\[i\], "--([\w-]+)"\)', source("daemon/main.c"))) == named


def test_every_exit_code_of_the_worker():
    page = {int(i.kind) for i in section("daemon/sallyportd.8", "EXIT STATUS").items}
    assert page == set(map(int, re.findall(r"WORKER_EXIT_\w+ = (\d+)", source("common/worker_exit.h"))))


def test_what_the_broker_hears():
    """Variables of its environment and signals. What a sanitizer wants is no part of it."""
    page = section("broker/sallyport-broker.8", "ENVIRONMENT")
    asked = set()
    for path in glob.glob(f"{TREE}/broker/*.c"):
        asked |= set(re.findall(r'getenv\("(\w+)"\)', source(os.path.relpath(path, TREE))))
    assert {n for i in page.items for n in i.names} == asked - {"ASAN_OPTIONS"}
    page = section("broker/sallyport-broker.8", "SIGNALS")
    taken = re.search(r"numbers\[\] = \{ (.*?) \}", source("broker/service_run.c")).group(1)
    assert {n for i in page.items for n in i.names} == set(taken.split(", "))


# ----- the protocols -----

def numbers(path, enum):
    body = re.search(rf"^enum {enum} \{{\n(.*?)^\}};", source(path), re.S | re.M).group(1)
    return {name: int(number) for name, number in re.findall(r"^\t(\w+) =\s+(\d+),", body, re.M)}


@pytest.mark.parametrize("parts, path, enum, prefix", [
    ("Worker to broker|Broker to worker", "common/ipc.h", "ipc_id", "IPC_"),
    ("Broker to guest: order", "common/guest_msg.h", "guest_order_id", "GUEST_"),
    ("Guest and worker: ctl", "common/guest_msg.h", "guest_ctl_id", "GUEST_CTL_"),
    ("Guest and worker: stream", "common/stream_msg.h", "stream_kind", "STREAM_"),
])
def test_every_message_of_the_protocols(parts, path, enum, prefix):
    text = "".join(re.findall(rf"^## (?:{parts})\n(.*?)(?=^## |\Z)", source("common/PROTOCOL.md"), re.S | re.M))
    said = re.findall(r"^(?:\| |\*\*)([A-Z_]+)(?: \| |\*\* \()(\d+)(?: \||\))", text, re.M)
    assert {prefix + name: int(number) for name, number in said} == {
        name: number for name, number in numbers(path, enum).items() if not name.endswith("_ID_END")}


# ----- names of files -----

def our_files():
    for at, directories, names in os.walk(TREE):
        directories[:] = [d for d in directories if d not in (".git", ".dev", "build", "corpus", "__pycache__")]
        yield from (os.path.relpath(f"{at}/{name}", TREE) for name in names)


def test_the_files_that_texts_name():
    """In the backquotes of a text and the comments of the sources, whatever folder is said to be before them."""
    files = list(our_files())
    ends = {path.split("/", n)[-1] for path in files for n in range(path.count("/") + 1)}
    made = {"sandbox_filter.c"}  # when this is built
    named = set()
    for path in files:
        if path.endswith(".md"):
            named |= {(n, path) for n in re.findall(r"`((?:[\w.-]+/)*[\w*]+\.(?:c|h|py|sh|md))`", source(path))}
        elif path.endswith((".c", ".h")):
            for comment in re.findall(r"/\*.*?\*/", source(path), re.S):
                named |= {(n, path) for n in re.findall(r"(?<![\w.])(?:\w+/)*\w+\.(?:c|py|sh|md)\b(?!\.\w)", comment)}
    assert len(named) > 150
    assert sorted((n, path) for n, path in named
                  if n not in made and not any(fnmatch.fnmatch(e, n.removeprefix("../")) for e in ends)) == []


# ----- examples -----

KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcNXmfMghzQoN/u3Aq15PWg9acIe9mN8ibMaMXoUVqS",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK7Fp+S7zJ6PexE+JdYbu8NkXhqWKKYZVaIL9vhO7aL/"]


def example(page):
    return re.search(r"^\.Bd -literal -offset indent\n(\{\n.*?^\})\n\.Ed", source(page), re.S | re.M).group(1)


def readme():
    """Its configuration and its policy."""
    return re.findall(r"```json\n(.*?)```", source("README.md"), re.S)


def filled_in(policy):
    """With something in the place of what the reader has to put in."""
    for key in KEYS:
        policy = re.sub(r"ssh-ed25519 AAAA(…|\.\.\.)", key, policy, count=1)
    return policy.replace("sha256:…", f"sha256:{64 * '0'}")


@pytest.mark.parametrize("policy", [readme()[1], example(POLICY_PAGE)], ids=["readme", "page"])
def test_the_policies_that_are_shown(policy, tmp_path):
    (tmp_path / "p.json").write_text(filled_in(policy), encoding="utf-8")
    r = run(PROGRAM, "policy", "check", str(tmp_path / "p.json"))
    assert r.returncode == 0 and "E-" not in r.stdout, r.stdout
    assert run(PROGRAM, "policy", "explain", str(tmp_path / "p.json"), "--user", "alice").returncode == 0


@pytest.mark.parametrize("config", [readme()[0], example(CONFIG_PAGE)], ids=["readme", "page"])
def test_the_configurations_that_are_shown(config, tmp_path):
    """As far as they are read: what they name is not there."""
    config = config.replace("/etc/sallyport/policy.json", "policy.json")
    (tmp_path / "broker.json").write_text(config, encoding="utf-8")
    (tmp_path / "policy.json").write_text(filled_in(readme()[1]), encoding="utf-8")
    r = run(BROKER, "-t", "-c", str(tmp_path / "broker.json"))
    assert "[E-" not in r.stderr, r.stderr


def test_the_cases_and_the_message_that_are_shown(tmp_path):
    (tmp_path / "p.json").write_text(filled_in(example(POLICY_PAGE)), encoding="utf-8")
    (tmp_path / "cases.json").write_text(example("admin/sallyport.1"), encoding="utf-8")
    r = run(PROGRAM, "policy", "test", str(tmp_path / "p.json"), "--cases", str(tmp_path / "cases.json"))
    assert r.returncode == 1 and "0 passed, 1 failed" in r.stdout and 'expected "readers"' in r.stdout
    shown = re.search(r"\.Bd -literal\n(.*?)\.Ed", section_source(POLICY_PAGE, "DIAGNOSTICS"), re.S).group(1)
    policy = '{\n"sallyport_policy": 1,\n"rules": [{"id": "a", "use": "p"}],\n"profiles": {"p": {"container": {\n'
    policy = policy.ljust(len(policy) + 18 - policy.count("\n"), "\n")
    (tmp_path / "policy.json").write_text(policy + '        "privledged": true,\n"image": "a"}}}}\n', encoding="utf-8")
    r = subprocess.run([PROGRAM, "policy", "check", "policy.json"], capture_output=True, text=True, check=False,
                       cwd=tmp_path, timeout=30 * PATIENCE)
    assert shown in r.stdout
