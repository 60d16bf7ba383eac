# SPDX-License-Identifier: Apache-2.0
"""
The policy language once more, written from sallyport-policy(5) and from nothing else: what a policy says
to a login and to a request, and what no engine request may ever hold.
"""
import copy
import datetime
import ipaddress
import re

DEFAULTS = {
    "container": {
        "mode": "connection", "user": "1000:1000", "workdir": None, "network": "none",
        "argv": {"shell": ["/bin/sh"], "exec": ["/bin/sh", "-c", "${command}"]},
        "login_shell": True, "env": {}, "read_only_root": True,
        "mounts": [{"tmpfs": "/tmp", "size": "64M"}], "stop_grace": "10s",
        "keep": "0", "pool": 0, "dns": [], "runtime": None, "data_path": "auto",
        "limits": {"memory": "512M", "swap": "0", "cpus": 1, "pids": 256, "nofile": 1024},
    },
    "session": {"pty": True, "shell": True, "exec": True, "env": ["LANG", "LC_*"], "channels": 10,
                "subsystems": {}, "forward": {"local": [], "remote": [], "agent": False, "x11": False},
                "max": "0", "warn": "1m", "idle": "0", "greeting": None},
}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EXPIRED = "This account has expired."
OWN = ["/.sallyport", "/.sallyport-rendezvous"]  # the latter with the direct data path only


# ----- values -----

def instant(text):
    form = "%Y-%m-%dT%H:%M:%S%z" if text.count(":") > (1 + (text[-1] != "Z")) else "%Y-%m-%dT%H:%M%z"
    return datetime.datetime.strptime(text.replace("Z", "+0000"), form)


def days_of(text):
    days = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        day = DAYS.index(first)
        days.add(day)
        while last and DAYS[day] != last:
            day = (day + 1) % 7
            days.add(day)
    return days


def zone(text):
    if text == "Z":
        return datetime.timedelta(0)
    hours, minutes = text[1:].split(":")
    delta = datetime.timedelta(hours=int(hours), minutes=int(minutes))
    return -delta if text[0] == "-" else delta


def seconds(text):
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def in_window(text, now):
    if "/" in text:
        start, end = text.split("/")
        return (not start or now >= instant(start)) and (not end or now < instant(end))
    *parts, offset = text.split(" ")
    days, hours = set(range(7)), "00:00-24:00"
    for part in parts:
        if part[0].isdigit():
            hours = part
        else:
            days = days_of(part)
    local = now.astimezone(datetime.timezone(zone(offset)))
    begin, end = (seconds(h) for h in hours.split("-"))
    second = local.hour * 3600 + local.minute * 60 + local.second
    today = local.weekday()
    if begin < end:
        return today in days and begin <= second < end
    return (today in days and second >= begin) or ((today - 1) % 7 in days and second < end)


def fits(pattern, text):
    regex = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def in_network(network, address):
    net, ip = ipaddress.ip_network(network), ipaddress.ip_address(address)
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.version == net.version and ip in net


# ----- profiles -----

def merge(base, over):
    """Objects merge, everything else replaces."""
    result = dict(base)
    for key, value in over.items():
        # Programs by name are a list of things, as arrays are.
        both = key != "subsystems" and isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merge(base[key], value) if both else copy.deepcopy(value)
    return result


def profile_of(policy, name):
    own = dict(policy["profiles"][name])
    parent = own.pop("extends", None)
    return merge(profile_of(policy, parent) if parent else DEFAULTS, own)


def put(profile, way, value):
    for key in reversed(way.split(".")):
        value = {key: value}
    return merge(profile, value)


def expand(value, user, target):
    if isinstance(value, str):
        return value.replace("${user}", user).replace("${target}", target or "")
    if isinstance(value, list):
        return [expand(v, user, target) for v in value]
    if isinstance(value, dict):
        return {k: expand(v, user, target) for k, v in value.items()}
    return value


NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,63}")


def good_path(path, guarded):
    parts = path.split("/")[1:]
    return path.startswith("/") and all(p not in ("", ".", "..") for p in parts) and \
        not any(path == g or path.startswith(g + "/") for g in guarded)


def filled_in(profile, user, target):
    """The profile with its templates filled in, or None when a value is none of the language."""
    result = copy.deepcopy(profile)
    c = result["container"]
    for key in ("network", "workdir", "env", "mounts"):
        c[key] = expand(c[key], user, target)
    session = result["session"]
    session["greeting"] = expand(session["greeting"], user, target)
    if session["greeting"] is not None and len(session["greeting"].encode()) > 1024:
        return None
    if "${" in str(profile["container"]["network"]) and c["network"] in ("none", "bridge"):
        return None
    if not NAME.fullmatch(c["network"]) or c["network"] in ("host", "default"):
        return None
    if c["workdir"] not in (None, "/") and not good_path(c["workdir"], ["/proc", *OWN]):
        return None
    places = [m.get("tmpfs", m.get("to")) for m in c["mounts"]]
    if len(set(places)) != len(places) or not all(
            good_path(p, ["/proc", "/sys", "/dev", *OWN]) for p in places):
        return None
    outer = [m["to"] + "/" for m in c["mounts"] if "to" in m]
    if any(place.startswith(o) for place in places for o in outer):
        return None
    if not all(good_path("/" + m["bind"], []) for m in c["mounts"] if "bind" in m):
        return None
    if not all(NAME.fullmatch(m["volume"]) for m in c["mounts"] if "volume" in m):
        return None
    return result


# ----- logins -----

def holds(conditions, user, groups, facts, target):
    for key, wanted in conditions.items():
        if key == "user":
            ok = user in wanted
        elif key == "group":
            ok = bool(set(groups) & set(wanted))
        elif key == "from":
            ok = "from" in facts and any(in_network(n, facts["from"]) for n in wanted)
        elif key == "key":
            ok = facts.get("key") in wanted
        elif key == "auth":
            ok = facts["auth"] in wanted["any"]
        elif key == "time":
            windows = [wanted] if isinstance(wanted, str) else wanted
            ok = any(in_window(w, instant(facts["time"])) for w in windows)
        elif key == "target":
            ok = target is not None and any(fits(p, target) for p in wanted)
        elif key == "not":
            ok = not holds(wanted, user, groups, facts, target)
        else:
            raise KeyError(key)
        if not ok:
            return False
    return True


def decide(policy, facts):
    """What is said to a login: a rule's id or "", a profile with a name or None, a message or ""."""
    name, _, target = facts["user"].partition("+")
    target = target or None
    user = policy["users"].get(name)
    if user is None or ("key" in facts and facts["key"] not in facts["keys"].get(name, [])):
        return "", None, ""
    if user.get("verify_required") and not (facts["auth"] == "sk-key" and facts.get("verified")):
        return "", None, ""
    messages = policy.get("messages", {})
    if "expires" in user and instant(facts["time"]) >= instant(user["expires"]):
        return "", None, messages.get("expired", EXPIRED)
    groups = user.get("groups", []) + facts.get("groups", [])
    for rule in policy["rules"]:
        conditions = rule.get("if", {})
        if target is not None and "target" not in conditions and "use" in rule:
            continue
        if not holds(conditions, name, groups, facts, target):
            continue
        if "deny" in rule:
            return rule["id"], None, rule["deny"]
        profile = profile_of(policy, rule["use"])
        for way, value in rule.get("set", {}).items():
            profile = put(profile, way, value)
        filled = filled_in(profile, name, target)
        return rule["id"], filled and {"name": rule["use"], **filled}, ""
    return "", None, messages.get("refused", "")


# ----- requests -----

def split(line):
    """The words of a line that means the same to a shell and to everybody; None: there is more to it."""
    words, word, quote, i = [], None, "", 0
    while i < len(line):
        c = line[i]
        i += 1
        if quote == "'":
            if c == "'":
                quote = ""
            else:
                word += c
        elif quote == '"':
            if c == '"':
                quote = ""
            elif c in "$`":
                return None
            elif c == "\\" and i < len(line) and line[i] in '"\\$`':
                word += line[i]
                i += 1
            elif c == "\\" and i < len(line) and line[i] == "\n":
                return None
            else:
                word += c
        elif c in " \t":
            if word is not None:
                words.append(word)
            word = None
        elif c in "$`;&|<>()*?[]{}\n\r" or (word is None and c in "~#!"):
            return None
        elif c == "\\":
            if i == len(line) or line[i] == "\n":
                return None
            word = (word or "") + line[i]
            i += 1
        else:
            word = word or ""
            if c in "'\"":
                quote = c
            else:
                word += c
    if quote:
        return None
    if word is not None:
        words.append(word)
    if not words or not words[0] or "=" in words[0] or len(words) > 128:
        return None
    return words


def fits_words(pattern, words):
    if pattern and pattern[-1] == "**":
        words = words[:len(pattern) - 1]
        pattern = pattern[:-1]
    return len(words) == len(pattern) and all(
        fits(p, w) and (not w.startswith("-") or p.startswith("-")) for p, w in zip(pattern, words))


def in_target(target, address, port, listening=False):
    host, _, ports = target.rpartition(":")
    first, _, last = ports.partition("-")
    networks = ["127.0.0.0/8", "::1"] if host == "container" else [host.strip("[]")]
    if listening:  # "any address of the container, or all of IPv4"
        networks = [{"0.0.0.0": "0.0.0.0/0", "::": "::/0"}.get(n, n) for n in networks]
    return int(first) <= port <= int(last or first) and any(in_network(n, address) for n in networks)


def is_name(host):
    """"letters, digits, '-' and '_' with dots between them", and not numbers alone."""
    parts = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(re.fullmatch("[A-Za-z0-9_-]{1,63}", p) for p in parts) and not all(
        re.fullmatch("[0-9]+|0[xX][0-9a-fA-F]*", p) for p in parts)


def in_ports(target, port):
    first, _, last = target.rpartition(":")[2].partition("-")
    return int(first) <= port <= int(last or first)


def is_its_own(target):
    """"beyond its loopback": whether there is nothing but that behind it."""
    host = target.rpartition(":")[0].strip("[]")
    return host == "container" or any(
        ipaddress.ip_network(host).version == own.version and ipaddress.ip_network(host).subnet_of(own)
        for own in (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")))


def judge_forward(profile, to):
    host, _, port = to.rpartition(":")
    host = host.strip("[]")
    try:
        addresses = (["::1", "127.0.0.1"] if host.lower() == "localhost" else
                     [str(ipaddress.ip_address(host))])
    except ValueError:
        # A name: the port decides whether it is looked up, of targets that are more than the loopback.
        return profile["container"]["mode"] != "session" and is_name(host) and any(
            in_ports(t, int(port)) and not is_its_own(t) for t in profile["session"]["forward"]["local"])
    # "the loopback's address of their family"
    addresses += {"0.0.0.0": ["127.0.0.1"], "::": ["::1"]}.get(addresses[0], [])
    return profile["container"]["mode"] != "session" and any(
        in_target(t, a, int(port)) for t in profile["session"]["forward"]["local"] for a in addresses)


def listeners(profile, to):
    """The addresses at which would be listened; none: it is refused."""
    host, _, port = to.rpartition(":")
    host = host.strip("[]")
    loopback, every = ["::1", "127.0.0.1"], ["::", "0.0.0.0"]
    remote = profile["session"]["forward"]["remote"]
    if profile["container"]["mode"] == "session":
        return []
    if host in ("localhost", "*"):
        wanted = loopback if host == "localhost" else every
    else:
        try:
            ip = ipaddress.ip_address(host)
            wanted = [str(getattr(ip, "ipv4_mapped", None) or ip)]
        except ValueError:
            wanted = []  # a name
    own = [t for t in remote if t.startswith(("container:", "127.", "[::1]:"))]
    other = not any(in_network(n, a) for n in ("127.0.0.0/8", "::1") for a in wanted)

    def allowed(addresses):
        return [a for a in addresses if any(in_target(t, a, int(port), True) for t in remote)]

    # Who asks for all addresses gets the loopback's where the list has not more, and so does who asks for any other
    # where "the whole list has nothing beyond the loopback".
    return allowed(wanted) or (
        allowed(loopback) if (wanted and set(wanted) <= set(every)) or (other and own == remote) else [])


def judge_request(profile, facts):
    """(allowed, the words that run without a shell or None)"""
    session, kind = profile["session"], facts.get("request")
    if kind is None:
        return True, None
    if kind == "forward":
        return judge_forward(profile, facts["to"]), None
    if kind == "listen":
        return bool(listeners(profile, facts["to"])), None
    if kind in ("agent", "x11"):
        return session["forward"][kind] and profile["container"]["mode"] != "session", None
    if kind == "shell" and not session["shell"]:
        return False, None
    if kind == "subsystem" and not session["subsystems"].get(facts["command"]):
        return False, None
    if facts.get("pty") and not session["pty"]:
        return False, None
    if kind in ("shell", "subsystem") or session["exec"] is True:
        return True, None
    if session["exec"] is False:
        return False, None
    words = split(facts["command"])
    if words is not None and any(fits_words(p, words) for p in session["exec"]):
        return True, words
    return False, None


# ----- engine requests -----

def data_path(container):
    """The one that it has with an engine of which nothing is known."""
    if container["data_path"] != "auto":
        return container["data_path"]
    return "engine" if container["runtime"] in ("runsc", "kata") else "direct"


def own_binds(container):
    """Where the data path puts what it needs, before all mounts of the profile."""
    return OWN[:2 if data_path(container) == "direct" else 1]


def guardrail_faults(body, profile, roots=None):
    """What a create request has that restricted-2026.1 does not allow, or lacks."""
    host, faults = body["HostConfig"], []

    def must(name, ok):
        if not ok:
            faults.append(name)

    for key in ("Privileged", "PublishAllPorts", "AutoRemove"):
        must(key, host[key] is False)
    for key in ("CapAdd", "Binds", "Devices"):
        must(key, host[key] == [])
    for key in ("PidMode", "UTSMode", "UsernsMode"):
        must(key, host[key] == "")
    must("CapDrop", host["CapDrop"] == ["ALL"])
    must("SecurityOpt", host["SecurityOpt"] == ["no-new-privileges"])
    must("namespaces", host["IpcMode"] == "private" and host["CgroupnsMode"] == "private")
    must("PortBindings", host["PortBindings"] == {} and "ExposedPorts" not in body)
    must("NetworkMode", host["NetworkMode"] == profile["network"])
    must("NetworkDisabled", body["NetworkDisabled"] == (profile["network"] == "none"))
    must("limits", all(host[k] > 0 for k in ("Memory", "NanoCpus", "PidsLimit")))
    must("MemorySwap", host["MemorySwap"] >= host["Memory"])
    must("Ulimits", {u["Name"] for u in host["Ulimits"]} == {"nofile", "core"})
    must("LogConfig", host["LogConfig"]["Type"] == "none")
    must("RestartPolicy", host["RestartPolicy"]["Name"] == "no")
    must("User", re.fullmatch(r"[1-9][0-9]*:[0-9]+", body["User"]))
    must("Healthcheck", body["Healthcheck"] == {"Test": ["NONE"]})
    guest, *options = body["Entrypoint"]
    must("Entrypoint", guest == "/.sallyport/sallyport-guest")
    wanted = "--hold [0-9]+" if data_path(profile) == "engine" else \
        "--keep [0-9]+" if profile["mode"] == "user" else ""
    must("options of the guest", re.fullmatch(wanted, " ".join(options)))
    must("keys", not set(host) & {"Sysctls", "VolumesFrom", "Links", "CgroupParent", "OomKillDisable",
                                  "MaskedPaths", "ReadonlyPaths", "DeviceCgroupRules", "ExtraHosts"})
    binds = [m for m in host["Mounts"] if m["Type"] == "bind"]
    n_own = len(own_binds(profile))
    own, given = binds[:n_own], binds[n_own:]
    must("own binds", [m["Target"] for m in own] == own_binds(profile))
    must("first binds", host["Mounts"][:n_own] == own)
    must("read-only binds", all(m["ReadOnly"] for m in own))
    must("binds", all(m["BindOptions"] == {"Propagation": "rprivate", "NonRecursive": True}
                      for m in binds))
    must("binds below roots", all(
        good_path(m["Source"], []) and any(m["Source"].startswith(root + "/")
                                           for root in (roots or {}).values()) for m in given))
    must("binds as asked", sorted((m["Target"], m["ReadOnly"]) for m in given) == sorted(
        (m["to"], m.get("read_only", False)) for m in profile["mounts"] if "bind" in m))
    must("Dns", host.get("Dns", []) == profile["dns"])
    must("Runtime", host.get("Runtime") == profile["runtime"])
    must("mounts", {m["Type"] for m in host["Mounts"]} <= {"bind", "volume", "tmpfs"})
    must("tmpfs", all(m["TmpfsOptions"]["SizeBytes"] > 0 for m in host["Mounts"]
                      if m["Type"] == "tmpfs"))
    must("volumes", all("VolumeOptions" not in m and NAME.fullmatch(m["Source"])
                        for m in host["Mounts"] if m["Type"] == "volume"))
    return faults
