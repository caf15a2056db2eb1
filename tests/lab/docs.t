#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the docs say is what the program has. Configuration: every number of docs/pair-file.md's tables at both ends of its
range and one beyond, every default that is a number, each parameter of each NF, the example pair. Names: fields of
status, subcommands, messages, files, links; and one name for one thing. No root, no network.

A check yields what is wrong, and is ok if nothing is. Each file is read once, and no process is started but `understudy`
and the lab's help: thousands of small ones would take minutes. Files are named from the root."""
import json, os, re, shutil, signal, subprocess, sys, textwrap, traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / (os.environ.get("BUILD") or "build")
UNDERSTUDY = ROOT / (os.environ.get("UNDERSTUDY") or BUILD / "understudy")
WORK = BUILD / "lab-docs.work"
CODE = ("ftcore", "nflib", "nfs", "logger", "replicator", "lane", "understudy", "fleet", "tests")
DOC, REFERENCE, OPERATING = "docs/pair-file.md", "docs/reference.md", "docs/operating.md"
tests = bad = 0

def check(what, function):
    global tests, bad
    try:
        wrong = list(function())
    except Exception:
        wrong = [traceback.format_exc()]
    tests, bad = tests + 1, bad + bool(wrong)
    print(f"{'not ' if wrong else ''}ok {tests} - {what}", *"\n".join(map(str.strip, wrong)).splitlines(), sep="\n# ", flush=True)

@cache
def read(name):
    return (ROOT / name).read_text("utf-8", "replace")

@cache
def files(*patterns):
    return [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]

def text(*patterns):
    return "".join(map(read, files(*patterns)))

@cache
def words(name):
    return frozenset(re.findall(r"\w+", read(name), re.A))

def words_below(*directories):  # of code
    return frozenset().union(*(words(file) for directory in directories for file in files(f"{directory}/**/*.[ch]")))

# The lines from one that begins with FIRST to the next that begins with LAST, or to the end; wherever there are such.
def part(page, first, last="(?!)"):
    return "".join(re.findall(rf"^{first}.*\n(?:(?!{last}).*\n)*", page, re.M))

# The cells of the rows of tables, the first of which is [1].
def rows(page):
    return [line.split("|") for line in page.split("\n") if line.startswith("|")]

def bare(cell):
    return re.sub("[ `]", "", cell)

def few(names, least, what):
    if len(names) < least:
        yield f"only {len(names)} {what} are found, {least} are the least"

# Names, LEAST of which have to be found, and each of which is there.
def missing(names, least, is_there, where):
    yield from (f"{name} is not in {where}" for name in names if not is_there(name))
    yield from few(names, least, f"names that {where} should have")

# Two lists that have to be the same in any order, each name as often.
def differ(one, has, other, also):
    for here, there, more in (one, other, Counter(has) - Counter(also)), (other, one, Counter(also) - Counter(has)):
        yield from (f"{name} is once more in {here} than in {there}" for name in sorted(more.elements()))

def start(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")

# Whether `check` takes the file, and what it complains of.
def takes(file):
    done = start(UNDERSTUDY, "check", "-c", file)
    return done.returncode == 0, done.stderr

def refused(file, content=""):
    taken, said = takes(file)
    if not taken:
        yield f"{file} is refused: {said}{content}"

# What the program says of a topic, by the names: a line of them, and a text below, indented.
@cache
def told(topic):
    return start(UNDERSTUDY, "help", topic).stdout

def names_of(topic):
    lines = [line for line in told(topic).rstrip("\n").split("\n") if not line.startswith(" ")]
    return [bare(name) for line in lines for name in line.split(",")]

# The example's files, where more may be added. This machine may have an address of the examples, and is none of their servers.
def copy_example(directory, more=""):
    directory.mkdir()
    for file in files("docs/examples/pair.*"):
        shutil.copy(ROOT / file, directory)
    pair = directory / "pair.yaml"
    pair.write_text((read("docs/examples/pair.yaml") + more).replace("192.0.2.", "198.18.255."), "utf-8")
    return pair

def check_example():
    pair = copy_example(WORK / "example")
    key = start(UNDERSTUDY, "key", pair.with_name("pair.key"))
    return refused(pair) if key.returncode == 0 else [f"no key is made: {key.stderr}"]

def check_warnings():
    return takes(WORK / "example/pair.yaml")[1].splitlines()

# A piece of a pair file in the operator's page, in the example's file. Nobody is asked.
def check_piece():
    piece = re.sub("^```.*\n", "", part(read(OPERATING), "```yaml$", "```$"), flags=re.M)
    yield from few(piece, 1, f"letters of a piece in {OPERATING}")
    yield from refused(copy_example(WORK / "piece", piece.replace("198.51.100.9:2379", "127.0.0.1:9")), piece)

# A pair file with one key set. The times of `timing` depend on each other: the others are put out of the way. At the ends
# of a range the order of the times may be broken: that is another complaint.
def pair_with(section, key, value):
    if section == "keepers":
        return fed_pair(f"{key}: {value}")
    detect = {"heartbeat_ms": value + 2, "lease_ms": value + 1, "promote_within_ms": 4 if value > 4 else 3}.get(key, 4)
    before = f"detect_ms: {detect}, " if section == "timing" and key != "detect_ms" else ""
    chain, protect, record, timing, nodes = (
        f"{before}{key}: {value}" if section == name else "" for name in ("chain", "protect", "record", "timing", "nodes"))
    return f"""\
chain: {{ name: x, {chain and chain + ","} nfs: [ monitor ] }}
protect: {{ {protect} }}
{record and "record: { dir: r, " + record + " }"}
timing: {{ {timing} }}
link: {{ insecure: true }}
nodes:
  a: {{ role: primary, ports: {{ inside: net_null0, outside: net_null1 }}, replication: "127.0.0.1:1", control: a {nodes and ", " + nodes} }}
  b: {{ role: standby, ports: {{ inside: net_null0, outside: net_null1 }}, replication: "127.0.0.1:2", control: b }}
"""

# The same behind a keeper, whose the key is.
def fed_pair(said):
    return f"""\
chain: {{ name: x, nfs: [ monitor ] }}
link: {{ key: {WORK}/example/pair.key }}
nodes:
  a: {{ role: primary, inputs: "127.0.0.1:3", replication: "127.0.0.1:1", control: a }}
  b: {{ role: standby, inputs: "127.0.0.1:4", replication: "127.0.0.1:2", control: b }}
keepers:
  k: {{ inputs: "127.0.0.1:5", ports: {{ inside: net_null0, outside: net_null1 }}, control: k, {said} }}
"""

# SECTION KEY MIN MAX DEFAULT, for each row whose range is MIN … MAX
def numbers():
    row = r"^\| `([a-z]*)(?:\.\*)?\.([a-z_]*)` \| ([0-9]*) … ([0-9]*) \| ([^|\n]*) \|"
    return [(s, key, int(least), int(most), preset.strip()) for s, key, least, most, preset in re.findall(row, read(DOC), re.M)]

def check_range(row):
    section, key, least, most, _ = row
    for value in [least, most] + [beyond for beyond in (least - 1, most + 1) if beyond >= 0]:
        file = WORK / f"{section}.{key}.{value}.yaml"
        file.write_text(pair_with(section, key, value), "utf-8")
        taken, said = takes(file)
        if least <= value <= most:  # any complaint is about another rule, the order of times, and not the range
            if not taken and f"{key} is {value}, expected a number from" in said:
                yield f"{section}.{key}: {value} is refused: {said}"
            if "unknown" in said:
                yield f"{section}.{key}: {said}"
        elif taken or f"{key} is {value}, expected a number from {least} to {most}" not in said:
            yield f"{section}.{key}: {value} is not refused as out of {least} to {most}: {said}"

def check_ranges():
    with ThreadPoolExecutor(2) as two:
        return sum(two.map(lambda row: list(check_range(row)), numbers()), [])

def check_defaults():
    tables = text("understudy/config/*.c")
    for section, key, _, _, preset in numbers():
        if re.fullmatch("[0-9]+", preset) and not re.search(rf'^    {{"{key}", NF_U32, .* "{preset}",', tables, re.M):
            yield f"{section}.{key}: the program's default is not {preset}"

# The program's keys, from the tables it reads by, are all in the doc.
def all_keys():
    sections = "chain protect redis timing link interfaces routes next_hops neighbours nodes drill probe".split()
    tables = "".join(read(file) for file in files("understudy/config/**/*.c") if Path(file).name != "options.c")
    for key in re.findall(r'^    {"([a-z_]*)", ', tables, re.M):
        if key not in sections and not re.search(rf"[.\]`]{key}`", read(DOC)):
            yield f"{key} is not in the doc"

# The fleet's page has the keys of the fleet's file, with their ranges and defaults, and the verbs.
def check_fleet():
    header, tables, command, page = map(read, ("fleet/file.h", "fleet/file.c", "fleet/command.c", "docs/fleet.md"))
    known = dict(re.findall(r"#define (\w+) +(\d+)u", header))
    on_page = {name: rest for name, *rest in re.findall(r"^\| `([\w.]+)` \| ([^|]*) \| ([^|]*) \|", page, re.M)}
    row = r'{"(\w+)", ([\w()]+), (?:AT\([\w.]+\)|ND_UNKEPT), ([^,]+),\s+([^,]+),\s+(NULL|"[^"]*"),'
    keys = set()
    for table, before in ("fleet", ""), ("server", "servers.NAME."), ("shard", "shards.NAME."):
        body = re.search(rf"{table}_keys\[\] = {{(.*?)\n}};", tables, re.S)[1]
        for name, kind, least, most, preset in re.findall(row, body):
            if name in ("servers", "shards"):  # whose keys have their own rows
                continue
            name = before + name
            keys.add(name)
            limits, said = on_page.get(name, ("no row", "no row"))
            if kind in ("NF_U32", "ND_KIND(ND_PORT)"):
                expected = f"{least} … {known.get(most) or eval(most.replace('u', ''))}"
                if limits != expected:
                    yield f"{name}: {limits}, expected {expected}"
            if preset != '""' and said != ("required" if preset == "NULL" else preset.strip('"')):
                yield f"{name}: default {said}, expected {preset}"
    verbs = set(re.findall(r'{"(\w+)", \d, ', re.search(r"verbs\[\] = (.*?)};", command, re.S)[1]))
    table = "".join(re.findall(r"^\| `understudy fleet .*?\|", page, re.M))
    usage = re.search(r'"fleet", rows,\n(.*?),\n', command, re.S)[1]
    yield from differ("fleet/file.c", keys, "the page", set(on_page))
    yield from differ("verbs", verbs, "the page", set(re.findall(r"`(?:understudy fleet )?([a-z]+)", table)))
    yield from differ("verbs", verbs, "the usage", set(re.findall(r"[a-z]+", usage)))
    yield from few(keys, 18, "keys")
    yield from few(verbs, 12, "verbs")

# The fields of status, each by its whole name in a second column. What `turns` of a lane has is told where the replicator's is.
def check_status():
    fields = re.findall(r'^FIELD\("((?!lanes\.turns\.)[a-z_.]+)", ', read("understudy/metrics/fields.def"), re.M)
    on_page = []
    for row in rows(part(read(REFERENCE), "### Fields of status", "### Tables")):
        for name in re.findall("`[^`]+`", row[2]):  # a.{b,c} is a.b and a.c
            before, *ends = re.split("[{}]", re.sub(r"[][`]", "", name))
            on_page += [before + end for end in ends[0].split(",")] if ends else [before]
    yield from few(fields, 200, "fields of understudy/metrics/fields.def")
    yield from differ("fields.def", fields, REFERENCE, on_page)
    yield from differ("fields.def", fields, "help", names_of("fields"))

def check_messages():
    messages = re.findall(r"^ *FT_MSG_(?!TYPES\b)([A-Z_]*)(?: = [0-9]*)?,", read("ftcore/record/message.h"), re.M)
    page = "docs/record-format.md"
    types = {name for row in rows(read(page)) if re.match(" [A-Z]", row[1]) for name in bare(row[1]).split(",")}
    return missing(messages, 18, types.__contains__, f"the table of {page}")

def check_events():
    events = re.findall(r'^    X\([A-Z_]*, "([a-z_]*)"\)', read("ftcore/base/event_log.h"), re.M)
    column = "\n".join(row[1] for row in rows(part(read(REFERENCE), "### Events", "### watch")))
    yield from missing(events, 15, lambda name: f"`{name}`" in column, REFERENCE)
    yield from differ("event_log.h", events, "help", names_of("events"))

COUNTERS = dict(
    l3="NF_L3_COUNTER_LIST", nat="NAT_COUNTERS", nat64="NAT64_COUNTERS", nptv6="NPT_COUNTERS", dpi="DPI_NAMES",
    firewall="FW_COUNTERS", ips="IPS_COUNTERS", monitor="MON_NAMES", flow_log="NF_LOG_COUNTERS", rate_limiter="RL_COUNTERS",
    load_balancer="LB_COUNTERS", portscan="PS_COUNTERS", dns_guard="DG_COUNTERS", syn_proxy="SP_COUNTERS", trojan="TJ_COUNTERS",
    vlan_qos="VQ_COUNTERS", policer="POL_COUNTERS")

# NF COUNTER of each counter of the tree's NFs and of L3
def counters():
    source, found = text("nfs/*.[ch]", "nfs/*/*.[ch]", "nflib/chain/*.h", "nflib/flow/*.h"), []
    for nf, name in COUNTERS.items():
        for body in re.findall(rf"define {name}\(X\)(?:.*\\\n)*.*", source):
            found += [f"{nf} {counter}" for counter in re.findall(r'X\([A-Z0-9_]+,[ \n\\]*"([a-z0-9_]+)"', body)]
    for names in re.findall(r"fwd_counters\[\] = {(.*), NULL};", read("nfs/forward.c")):
        found += [f"forward {name}" for name in re.sub('[ "]', "", names).split(",")]
    return found

# NF DROPS OTHERS of each row of the reference, both lists whole: `a_{b,c}` is `a_b`, `a_c`. A row without an NF is of that above.
def counter_rows():
    page, nf = part(read(REFERENCE), "### Counters of NFs", "### Heartbeats"), ""
    page = re.sub(r"`(\w+)\{([\w,]+)\}`", lambda m: ",".join(f"`{m[1]}{end}`" for end in m[2].split(",")), page)
    for row in rows(page):
        nf = bare(row[1]) if "`" in row[1] else nf
        yield nf, row[2], row[3]

# NF NAMES TEXT as help has them, but for what is of every NF
def told_counters():
    found = re.findall(r"^(\S.*?): (.*)\n((?: .*\n)*)", told("counters"), re.M)
    return [(nf, names.split(", "), said) for nf, names, said in found if nf != "every NF"]

def check_counters():
    on_page = [f"{nf} {bare(name)}" for nf, *lists in counter_rows() for name in ",".join(lists).split(",") if "`" in name]
    yield from few(counters(), 95, "counters")
    yield from differ("the NFs", counters(), REFERENCE, on_page)
    yield from differ("the NFs", counters(), "help", [f"{nf} {name}" for nf, names, _ in told_counters() for name in names])

# A text that begins with "drop" is of the column of drops. Those whose parameter decides stand there, too.
def check_drops():
    column = {f"{nf} {bare(name)}" for nf, drops, _ in counter_rows() for name in drops.split(",")}
    drops = [f"{nf} {name}" for nf, names, said in told_counters() if re.search("^    drop:", said, re.M) for name in names]
    return missing(drops, 50, column.__contains__, "the column of drops")

# A runbook for each alert, under its name.
def check_runbooks():
    runbooks = re.findall("^### (.*)", part(read(OPERATING), "## Alerts", "## Maintenance"), re.M)
    return differ("alerts.yml", re.findall("- alert: (.*)", read("docs/examples/alerts.yml")), OPERATING, runbooks)

def check_subcommands():
    names = re.findall("^  understudy ([a-z-]*) ", start(UNDERSTUDY, "--help").stdout, re.M)
    pages = read(REFERENCE) + read(OPERATING)
    return missing(names, 15, lambda name: re.search(rf"(`|understudy ){name}\b", pages), "the operator's pages")

# Functions, structs and constants that a doc names are in the code; file names that stand alone are in the tree.
def check_code_names():
    known = words_below(*CODE)
    there = {path.name for directory in (*CODE, "docs/examples") for path in ROOT.glob(f"{directory}/**/*")}
    named = re.findall(r"`(?:struct )?((?:ft|nf|lg|rp|nd|FT|NF|LG|RP|ND)_[A-Za-z0-9_]+)[`(]", text("docs/*.md", "README.md"))
    yield from (f"{name} is named and not in the code" for name in sorted(set(named) - known))
    named = re.findall(r"`([a-z0-9_]+\.(?:[ch]|pml|t))`", text("docs/*.md"))
    yield from (f"{name} is named and not there" for name in sorted(set(named) - there))

NF_NAME = re.compile(r'^    \.name = "([a-z0-9_]+)"', re.M)

@cache
def modules():
    return sorted(NF_NAME.findall(text("nfs/**/*.c")))

# All of the directory, if no other NF is there; else what has the NF's name in front, and what is behind a header of those.
def sources(nf):
    mains = [file for file in files("nfs/**/*.c") if nf in NF_NAME.findall(read(file))]
    if len(mains) != 1:
        raise LookupError(f"the source of {nf} is not found, or twice: {mains}")
    directory = os.path.dirname(mains[0])
    if sum(bool(NF_NAME.search(read(file))) for file in files(f"{directory}/*.c")) == 1:
        return files(f"{directory}/*.c")
    own = files(f"{directory}/{nf}.[ch]", f"{directory}/{nf}_*.[ch]")
    return own + files(*(f"{header}.c" for file in own for header in re.findall(r'^#include "(nfs/.*)\.h"$', read(file), re.M)))

def users(pattern):
    return [nf for nf in modules() if any(re.fullmatch(pattern, word) for file in sources(nf) for word in words(file))]

STATE_TYPES = dict(
    nf_map="nf_map_make", nf_list="nf_lists_make", nf_wheel="nf_(shared_map_)?wheel_make", nf_bucket="nf_bucket_fill",
    nf_shared_word="nf_shared_word_make", nf_shared_map="nf_shared_map_make", nf_shared_pool="nf_shared_pool_make",
    nf_merged="nf_merged_make")

# Each function of the state types is called by an NF, or by the library; and the page's table says which NFs use a type.
def check_state_types():
    yield from few(modules(), 10, "NFs")
    called = words_below("nfs", "docs/examples", "understudy", "tests/bench", *(
        f"nflib/{directory}" for directory in ("session", "stream", "chain", "module")))
    own = Counter(word for file in files("nflib/state/*.c", "nflib/shared/*.c") for word in words(file))
    for name in sorted(set(re.findall(r"\b(nf_[a-z_]+)\(", text("nflib/state/state.h", "nflib/shared/shared.h")))):
        if name not in called and own[name] < 2:
            yield f"nobody calls {name}"
    table = part(read("docs/writing-an-nf.md"), "## State types", "## State that")
    for name, made in STATE_TYPES.items():
        says = " ".join(re.findall(rf"^\| .{name}. \|.* \| ([^|\n]*) \|$", table, re.M))
        says = bare(says.partition(";")[0]).split(",")
        if says != users(made):
            yield f"{name} is used by {users(made)}, the page says {says}"
    says = part(read("docs/ARCHITECTURE.md"), "## Sections: state that lanes share").partition("use them.\n")[0].split("\n")[-1]
    says, made = re.findall("`([a-z0-9_]+)`", says), users("nf_shared_(word|map|pool)_make|nf_merged_make")
    if says != made:
        yield f"state that lanes share is used by {made}, ARCHITECTURE.md says {says}"

# Parameters of an NF by name, each its range and default: those of its section, and of flows in a table of all NFs.
def parameters_on_page(nf):
    section = re.search(rf"^### {nf}\n(.*?)^##", read(DOC), re.M | re.S)
    own = re.search(r"^Parameters: (.*)$", section[1], re.M) if section else None
    found = {name: rest for name, *rest in re.findall(r"`(\w+)` \(([^;]*); (.*?)\)(?=, `|\.$)", own[1] if own else "")}
    for row in rows(re.search(r"^### Parameters of flows\n(.*?)^###", read(DOC), re.M | re.S)[1]):
        if row[1].startswith(" `") and nf in row[4].strip().split(", "):
            found[row[1].split("`")[1]] = [row[2].strip(), row[3].strip()]
    return found

# Each NF has a section of its own, which has the parameters that the program tells.
def check_parameters():
    for nf in modules():
        done = start(UNDERSTUDY, "nfs", "-o", "json", nf)
        if done.returncode != 0:
            yield f"understudy nfs {nf}: {done.stderr}"
            continue
        page, program = parameters_on_page(nf), {}
        for p in json.loads(done.stdout)["parameters"]:
            known = ", ".join(p["choices"]) if "choices" in p else f"{p['min']} … {p['max']}" if "min" in p else \
                "true, false" if p["type"] == "true or false" else page.get(p["name"], ["a text"])[0] or "a text"
            program[p["name"]] = [known, "required" if p["required"] else p["default"] or "none"]
        for name in sorted(set(page) | set(program)):
            if page.get(name) != program.get(name):
                yield f"{nf}: {name}: the page has {page.get(name)}, the program {program.get(name)}"

# A chain file of each example of an NF, beside the files that NFs read: a list of NFs alone gets the chain around it.
def write_examples(directory):
    shutil.copytree(ROOT / "nfs/chains", directory, ignore=shutil.ignore_patterns("*.yaml"))
    blocks = re.findall("^```([^\n]*)\n(.*?)^```", part(read(DOC), "## NFs$", "## "), re.M | re.S)
    for number, block in enumerate(block for kind, block in blocks if "yaml" in kind):
        before, *nfs = re.split("^(?=- )", block, 1, re.M)
        chain = "".join("chain:\n  name: site\n  nfs:\n" + textwrap.indent(nf, "    ") for nf in nfs)
        (directory / f"{number}.yaml").write_text(before + chain, "utf-8")
    return sorted(directory.glob("*.yaml"))

def in_none(chains):
    return [nf for nf in modules() if not any(re.search(f"^    - {nf}:", chain, re.M) for chain in chains)]

def check_examples():
    examples = write_examples(WORK / "nfs")
    yield from (f"{nf} has no example" for nf in in_none([file.read_text("utf-8") for file in examples]))
    for file in examples:
        yield from refused(file, file.read_text("utf-8"))

# The README lists the chains that there are; each is accepted, and each NF is in one.
def check_chains():
    chains = files("nfs/chains/*.yaml")
    listed = "\n".join(re.findall("^Chains made of them are in [^:]*: (.*)", read("README.md"), re.M))
    yield from differ("the README", re.sub("[` .]", "", listed).split(","), "nfs/chains", [Path(file).stem for file in chains])
    for file in chains:
        if not re.search("^  modules:", read(file), re.M):
            yield from refused(ROOT / file)
    yield from (f"{nf} is in no chain" for nf in in_none([read(file) for file in chains]))

def check_lab_help():
    done = start(ROOT / "scripts/lab", "--help")
    if done.returncode != 0:
        yield f"scripts/lab --help: {done.stderr}"
    variables = sorted(set(re.findall(r"\$\{(LAB_[A-Z]+)", read("scripts/lab"))))
    yield from missing(variables, 14, lambda name: f"  {name}  " in done.stdout, "what scripts/lab --help prints")

def check_targets():
    targets = re.findall(r"^(?:FUZZ|STREAM)_TARGET\(([a-z0-9_]*),", text("tests/fuzz/*.c"), re.M)
    column = "\n".join(row[1] for row in rows(part(read("docs/testing.md"), r"\| target \|", "$")))
    return missing(targets, 25, lambda name: f"`{name}`" in column, "docs/testing.md")

# One name for one thing: names that the glossary's terms have replaced.
OLD_NAMES = "|".join((
    "shares? of (a|the|its|their) deltas?", "parts? of (a|the)? ?(deltas?|checkpoints?|shares?)", "outside values?", "kept outputs?",
    "aside ring", "clocks? of (a|the) packets?", "records? (hold|with) (its |a )?clocks?", "stands? still", "guardian's word",
    "word of (a|the|its) guardian", "spread checkpoints?", "edges/record", "edges per (record|thousand packets)", "shadow",
    "(a|an|old|new|whole|the) bases?", "BASE, SNAPSHOT", "DELTA, BASE"))

def check_old_names():
    for file in files("README.md", "docs/*.md", "docs/examples/*.yaml"):
        for number, line in enumerate(read(file).split("\n"), 1):
            if re.search(rf"(?<!\w)({OLD_NAMES})(?!\w)", line, re.I):
                yield f"{file}:{number}:{line}"

def check_names():
    named = re.findall(rf"`((?:{'|'.join(CODE)}|scripts|docs)/[A-Za-z0-9_./-]+[a-z0-9])`", text("docs/*.md", "README.md"))
    for name in sorted(set(named)):
        if "NAME" not in name and "FLEET" not in name and not (ROOT / name).exists():
            yield f"{name} is named and not there"

# PAGE FILE HEADING of each link that is no address. What is left out is "".
def links():
    for page in files("*.md", "docs/*.md"):
        for link in re.findall(r"\]\(([^)\n]+)\)", read(page)):
            if not re.match("[a-z]+:", link):
                to, _, at = link.partition("#")
                yield page, os.path.normpath(os.path.join(os.path.dirname(page), to)) if to else "", at

def check_links():
    return (f"{page}: {to} is linked and not there" for page, to, _ in links() if to and not (ROOT / to).exists())

# A heading as links name it.
def anchor(heading):
    return re.sub("[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")

@cache
def anchors(page):
    return {anchor(heading) for heading in re.findall("^#+ (.*)", read(page), re.M)} if (ROOT / page).is_file() else set()

def check_anchors():
    printed = re.findall(r"(docs/[a-z-]+\.md)#([a-z0-9_-]+)", read("understudy/words.def"))  # by help
    for page, to, at in [*links(), *(("words.def", to, at) for to, at in printed)]:
        if at and at not in anchors(to or page):
            yield f"{page}: no heading for {to}#{at}"

# Each section of the two long pages is in their contents, or below one that is; and what a reader looks for, by the words
# that he has, is found by the contents alone.
def contents(page):
    return re.findall("^ *- .*", part(read(page), "## Contents", "## [^C]"), re.M)

def check_contents():
    for page in DOC, REFERENCE:
        for at in map(anchor, re.findall("^## (.*)", read(page), re.M)):
            if at != "contents" and not any(f"(#{at})" in line for line in contents(page)):
                yield f"{page}: the contents do not lead to {at}"

# What stands below a heading, to the next one.
def section_at(page, at):
    found = re.findall("^(#+ (.*)\n(?:(?!#+ ).*\n)*)", read(page), re.M)
    return "".join(whole for whole, heading in found if anchor(heading) == at)

def check_reader():
    for page, sought, at, answer in (  # where words in a line of the contents lead, and what stands there
        (DOC, "NFs](#nfs): [flows, limits of a host", "parameters-of-flows", "`max_flows` | 1 … 16777216 | 100000 | nat"),
        (REFERENCE, "what is held", "lanes", "What the primary *holds*"),
        (REFERENCE, "a rule of the firewall", "live-changes", "`rule.N`"),
        (DOC, "the port of `metrics`", "nodes", "address and port where [Prometheus]"),
        (REFERENCE, "Exit codes", "exit-codes", "No command ends with any other code"),
        (DOC, "rate_limiter](#rate_limiter) (of a client)", "rate_limiter", "`pps` and `bps` are packets and bits a second of a client"),
    ):
        if not any(sought in line and f"(#{at})" in line for line in contents(page)):
            yield f'{page}: the contents do not lead from "{sought}" to {at}'
        if answer not in section_at(page, at):
            yield f"{page}: {at} does not say {answer}"

# What is said of exit codes: each code that the program has, and no other.
def check_codes():
    codes = re.findall(r"^.* = ([0-9]*),", part(read("understudy/config/options.h"), "enum nd_exit", "};"), re.M)
    on_page = set(re.findall(r"^\| ([0-9]*) \|", part(read(REFERENCE), "## Exit codes", "## The"), re.M))
    return differ("options.h", codes, REFERENCE, on_page)

# The example of docs/two-servers.md, computed again by its own formulas. A number of the file is the node's default or range.
def check_sizing():
    known, formulas = {}, []
    row = r"^\| `(\w+)` \| (?:`([^\n]+?)`)? *\| ([\d.]+) \|"
    for name, formula, said in re.findall(row, part(read("docs/two-servers.md"), "## Sizing"), re.M):
        known[name] = float(said)
        if formula:
            formulas.append(formula)
            got = eval(formula, {"__builtins__": {}}, known)
            if round(got, len(said.partition(".")[2])) != float(said):
                yield f"{name}: {said} is said, {formula} is {got}"
    yield from few(formulas, 10, "formulas")

for ending in signal.SIGINT, signal.SIGTERM:
    signal.signal(ending, lambda *_: sys.exit(1))
shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
try:
    print("1..30", flush=True)
    check("the example pair is accepted", check_example)
    check("with a key without a warning", check_warnings)
    check("so is what the operator's page adds to it", check_piece)
    check("the tables have their numbers", lambda: few(numbers(), 18, f"ranges of {DOC}"))
    check("every range is the program's", check_ranges)
    check("every default that is a number is the program's", check_defaults)
    check("every key of the program is in the doc", all_keys)
    check("the fleet's keys and verbs are those of its page", check_fleet)
    check("the fields of status are those of the doc, and of help", check_status)
    check("every type of message is in the formats' table", check_messages)
    check("every event of the log is in the reference, and in help", check_events)
    check("the counters of NFs are those of the reference, and of help", check_counters)
    check("each reason to drop is in the column of drops", check_drops)
    check("each alert has its runbook, and no other thing has one", check_runbooks)
    check("every subcommand is in the operator's pages", check_subcommands)
    check("every name of the code in a doc is in the code", check_code_names)
    check("state types are used, and by the NFs that the pages name", check_state_types)
    check("each NF's section has its parameters, with their ranges and defaults", check_parameters)
    check("each NF has an example, and check takes it", check_examples)
    check("the chains of the tree are listed and accepted, and have every NF", check_chains)
    check("each variable of the lab is in its help", check_lab_help)
    check("every fuzzing target is in the page on testing", check_targets)
    check("no page has a second name for a term of the glossary", check_old_names)
    check("every file that a doc names is there", check_names)
    check("every file that a doc links to is there", check_links)
    check("every heading that a link names is there", check_anchors)
    check("the contents of the long pages lead to all their parts", check_contents)
    check("a reader finds six things by the contents alone", check_reader)
    check("every exit code is in the reference", check_codes)
    check("the sizes of the example are those of its formulas", check_sizing)
finally:
    shutil.rmtree(WORK, ignore_errors=True)
sys.exit(bad > 0)
