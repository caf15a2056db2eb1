#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the docs say is what the program has. Configuration: every number of docs/pair-file.md's tables at both ends of its
# range and one beyond, every default that is a number, each parameter of each NF, the example pair. Names: fields of
# status, subcommands, messages, files, links; and one name for one thing. No
# root, no network.
. "$(dirname "$0")/lib.sh"

doc=$root/docs/pair-file.md
reference=$root/docs/reference.md
mkdir -p "$work" || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
plan 30

takes() { "$UNDERSTUDY" check -c "$1" >"$work/out" 2>"$work/err"; }
# This machine may have an address of the examples, and is none of their servers.
elsewhere() { sed -i 's/192\.0\.2\./198.18.255./g' "$1"; }

mkdir "$work/example" && cp "$root"/docs/examples/pair.* "$work/example" && "$UNDERSTUDY" key "$work/example/pair.key" && elsewhere "$work/example/pair.yaml"
ok "the example pair is accepted" takes "$work/example/pair.yaml"
ok "with a key without a warning" test ! -s "$work/err"

# A piece of a pair file in the operator's page, in the example's file. Nobody is asked.
check_piece() {
    sed -n '/^```yaml$/,/^```$/{/^```/!p}' "$root/docs/operating.md" | sed 's/198\.51\.100\.9:2379/127.0.0.1:9/' >"$work/piece"
    [ -s "$work/piece" ] && cp "$root"/docs/examples/pair.* "$work" && cat "$work/piece" >>"$work/pair.yaml" && elsewhere "$work/pair.yaml" && takes "$work/pair.yaml" ||
        { cat "$work/piece" "$work/err"; return 1; }
}
ok "so is what the operator's page adds to it" check_piece

# A pair file with one key set. The times of `timing` depend on each other: the others are put out of the way.
pair_with() { # SECTION KEY VALUE
    local detect=4 section key=$2 value=$3 timing=
    case $1 in
    timing)
        case $key in
        heartbeat_ms) detect=$((value + 2)) ;;
        lease_ms) detect=$((value + 1)) ;;
        detect_ms) detect= ;;
        promote_within_ms) detect=$((value > 4 ? 4 : 3)) ;;
        esac
        # At the ends of a range the order of the times may be broken: that is another complaint.
        timing="${detect:+detect_ms: $detect, }$key: $value"
        ;;
    esac
    section() { [ "$1" = "$2" ] && echo "$key: $value"; }
    [ "$1" != keepers ] || { fed_pair; return; }
    cat <<END
chain: { name: x, $([ "$1" = chain ] && echo "$key: $value, ") nfs: [ monitor ] }
protect: { $(section protect "$1") }
$([ "$1" != record ] || echo "record: { dir: r, $key: $value }")
timing: { $timing }
link: { insecure: true }
nodes:
  a: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:1", control: a $([ "$1" = nodes ] && echo ", $key: $value") }
  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:2", control: b }
END
}

# The same behind a keeper, whose the key is.
fed_pair() {
    cat <<END
chain: { name: x, nfs: [ monitor ] }
link: { key: $work/example/pair.key }
nodes:
  a: { role: primary, inputs: "127.0.0.1:3", replication: "127.0.0.1:1", control: a }
  b: { role: standby, inputs: "127.0.0.1:4", replication: "127.0.0.1:2", control: b }
keepers:
  k: { inputs: "127.0.0.1:5", ports: { inside: net_null0, outside: net_null1 }, control: k, $key: $value }
END
}

# SECTION KEY MIN MAX DEFAULT, for each row whose range is MIN … MAX
numbers() {
    sed -n 's/^| `\([a-z]*\)\(\.\*\)\{0,1\}\.\([a-z_]*\)` | \([0-9]*\) … \([0-9]*\) | \([^|]*\) |.*/\1 \3 \4 \5 \6/p' "$doc"
}
check_ranges() {
    local section key min max preset bad=0
    while read -r section key min max preset; do
        # In range: any complaint is about another rule (the order of times), not the range.
        for value in "$min" "$max"; do
            pair_with "$section" "$key" "$value" >"$work/pair.yaml"
            takes "$work/pair.yaml" || ! grep -q "$key is $value, expected a number from" "$work/err" ||
                { echo "$section.$key: $value is refused: $(cat "$work/err")"; bad=1; }
            ! grep -q 'unknown' "$work/err" || { echo "$section.$key: $(cat "$work/err")"; bad=1; }
        done
        for value in $((min - 1)) $((max + 1)); do
            [ "$value" -ge 0 ] || continue
            pair_with "$section" "$key" "$value" >"$work/pair.yaml"
            if takes "$work/pair.yaml" || ! grep -q "$key is $value, expected a number from $min to $max" "$work/err"; then
                echo "$section.$key: $value is not refused as out of $min to $max: $(cat "$work/err")"
                bad=1
            fi
        done
    done < <(numbers)
    return $bad
}
ok "the tables have their numbers" test "$(numbers | wc -l)" -ge 18
ok "every range is the program's" check_ranges

check_defaults() {
    local section key min max preset bad=0
    while read -r section key min max preset; do
        case $preset in '' | *[!0-9]*) continue ;; esac
        grep -qE "^    \{\"$key\", NF_U32, .* \"$preset\"," "$root"/understudy/config/*.c ||
            { echo "$section.$key: the program's default is not $preset"; bad=1; }
    done < <(numbers)
    return $bad
}
ok "every default that is a number is the program's" check_defaults

# The program's keys, from the tables it reads by, are all in the doc.
all_keys() {
    local key bad=0
    while read -r key; do
        grep -qE "(\.|]|\`)$key\`" "$doc" || { echo "$key is not in the doc"; bad=1; }
    done < <(sed -n 's/^    {"\([a-z_]*\)", .*/\1/p' $(find "$root/understudy/config" -name '*.c' ! -name options.c) | grep -vE '^(chain|protect|redis|timing|link|interfaces|routes|next_hops|neighbours|nodes|drill|probe)$')
    return $bad
}
ok "every key of the program is in the doc" all_keys

# The fleet's page has the keys of the fleet's file, with their ranges and defaults, and the verbs.
check_fleet() {
    python3 - "$root"/fleet/{file.h,file.c,command.c} "$root/docs/fleet.md" <<'END'
import re, sys

header, tables, command, page = (open(name).read() for name in sys.argv[1:])
known = dict(re.findall(r"#define (\w+) +(\d+)u", header))
rows = {name: (range, preset) for name, range, preset in re.findall(r"^\| `([\w.]+)` \| ([^|]*) \| ([^|]*) \|", page, re.M)}
keys, bad, numbers = set(), [], ("NF_U32", "ND_KIND(ND_PORT)")
for table, before in ("fleet", ""), ("server", "servers.NAME."), ("shard", "shards.NAME."):
    body = re.search(rf"{table}_keys\[\] = {{(.*?)\n}};", tables, re.S)[1]
    for name, kind, least, most, preset in re.findall(r'{"(\w+)", ([\w()]+), (?:AT\([\w.]+\)|ND_UNKEPT), ([^,]+),\s+([^,]+),\s+(NULL|"[^"]*"),', body):
        if name in ("servers", "shards"):  # whose keys have their own rows
            continue
        keys.add(before + name)
        range, said = rows.get(before + name, ("no row", "no row"))
        most = known.get(most) or eval(most.replace("u", "")) if kind in numbers else ""
        if kind in numbers and range != f"{least} … {most}":
            bad.append(f"{before}{name}: {range}, expected {least} … {most}")
        if preset != '""' and said != ("required" if preset == "NULL" else preset.strip('"')):
            bad.append(f"{before}{name}: default {said}, expected {preset}")
verbs = set(re.findall(r'{"(\w+)", \d, ', re.search(r"verbs\[\] = (.*?)};", command, re.S)[1]))
for what, has, wanted in (
    ("keys", set(rows), keys),
    ("verbs", set(re.findall(r"`(?:understudy fleet )?([a-z]+)", "".join(re.findall(r"^\| `understudy fleet .*?\|", page, re.M)))), verbs),
    ("verbs of the usage", set(re.findall(r"[a-z]+", re.search(r'"fleet", rows,\n(.*?),\n', command, re.S)[1])), verbs),
):
    if has != wanted:
        bad.append(f"{what}: {sorted(has ^ wanted)}")
if len(keys) < 18 or len(verbs) < 12:
    bad.append(f"only {len(keys)} keys and {len(verbs)} verbs are found")
print("\n".join(bad))
sys.exit(bool(bad))
END
}
ok "the fleet's keys and verbs are those of its page" check_fleet

# What the program says of a topic, by the names: a line of them, and a text below, indented.
words() { "$UNDERSTUDY" help "$1" | sed '/^ /d'; }
names_of() { words "$1" | tr ',' '\n' | tr -d ' '; }

# The fields of status, each by its whole name in a second column. What `turns` of a lane has is told where the replicator's is.
status_fields() { sed -nE 's/^FIELD\("([a-z_.]+)", .*/\1/p' "$root/understudy/metrics/fields.def" | grep -v '^lanes\.turns\.'; }
status_rows() { # a.{b,c} is a.b and a.c
    sed -n '/^### Fields of status/,/^### Tables/p' "$reference" | grep '^|' | cut -d'|' -f3 | grep -oE '`[^`]+`' | tr -d '`[]' | awk -F'[{}]' '
        NF < 2 { print; next } { n = split($2, last, ","); for (i = 1; i <= n; i++) print $1 last[i] }'
}
check_status() {
    [ "$(status_fields | wc -l)" -ge 200 ] || { echo "too few fields are found in understudy/metrics/fields.def"; return 1; }
    diff <(status_fields | sort) <(status_rows | sort) && diff <(status_fields | sort) <(names_of fields | sort)
}
ok "the fields of status are those of the doc, and of help" check_status

# Lists of names, one a line, each of which a doc must have between the given two texts.
all_named() { # BEFORE AFTER DOC LEAST < names
    local name count=0 bad=0
    while read -r name; do
        count=$((count + 1))
        grep -qF -- "$1$name$2" "$3" || { echo "$name is not in $(basename "$3")"; bad=1; }
    done
    [ "$count" -ge "$4" ] || { echo "only $count names are found"; bad=1; }
    return $bad
}
messages() { sed -n 's/^ *FT_MSG_\([A-Z_]*\)\( = [0-9]*\)\{0,1\},.*/\1/p' "$root/ftcore/record/message.h" | grep -vx TYPES; }
in_table() { # DOC: words of the table rows' first column
    grep "^| [A-Z]" "$1" | cut -d'|' -f2 | tr -d ' ' | tr ',' '\n'
}
check_messages() {
    in_table "$root/docs/record-format.md" >"$work/types"
    [ "$(messages | wc -l)" -ge 18 ] || { echo "too few messages are found"; return 1; }
    messages | grep -vxFf "$work/types" && return 1
    return 0
}
ok "every type of message is in the formats' table" check_messages

events() { sed -n 's/^    X([A-Z_]*, "\([a-z_]*\)").*/\1/p' "$root/ftcore/base/event_log.h"; }
check_events() { # of the first columns of the tables before the messages
    sed -n '/^### Events/,/^### watch/p' "$reference" | grep '^|' | cut -d'|' -f2 >"$work/events"
    all_named '`' '`' "$work/events" 15 < <(events) && diff <(events | sort) <(names_of events | sort)
}
ok "every event of the log is in the reference, and in help" check_events

# A_{B,C} is A_B and A_C.
braces() { perl -pe '1 while s/`(\w+)\{(\w+),([^}]*)\}`/`$1$2`, `$1\{$3\}`/; s/`(\w+)\{(\w+)\}`/`$1$2`/g'; }

# NF COUNTER of each counter of the tree's NFs and of L3, and of each that the reference has: drops and others.
counters() {
    local nf list
    while read -r nf list; do
        sed -n "/define ${list}(X)/,/[^\\\\]\$/p" "$root"/nfs/*.[ch] "$root"/nfs/*/*.[ch] "$root"/nflib/chain/*.h "$root"/nflib/flow/*.h | tr '\n\\' '  ' | grep -oE 'X\([A-Z0-9_]+, *"[a-z0-9_]+"' |
            sed "s/.*\"\([a-z0-9_]*\)\"/$nf \1/"
    done <<<"l3 NF_L3_COUNTER_LIST
nat NAT_COUNTERS
nat64 NAT64_COUNTERS
nptv6 NPT_COUNTERS
dpi DPI_NAMES
firewall FW_COUNTERS
ips IPS_COUNTERS
monitor MON_NAMES
flow_log NF_LOG_COUNTERS
rate_limiter RL_COUNTERS
load_balancer LB_COUNTERS
portscan PS_COUNTERS
dns_guard DG_COUNTERS
syn_proxy SP_COUNTERS
trojan TJ_COUNTERS
vlan_qos VQ_COUNTERS
policer POL_COUNTERS"
    sed -n 's/.*fwd_counters\[\] = {\(.*\), NULL};/\1/p' "$root/nfs/forward.c" | tr ',' '\n' | tr -d ' "' | sed 's/^/forward /'
}
counter_rows() {
    sed -n '/^### Counters of NFs/,/^### Heartbeats/p' "$reference" | grep '^|' | braces | awk -F'|' '
        $2 ~ /`/ { gsub(/[ `]/, "", $2); nf = $2 }
        { n = split($3 "," $4, words, ","); for (i = 1; i <= n; i++) if (words[i] ~ /`/) { gsub(/[ `]/, "", words[i]); print nf, words[i] } }'
}
check_counters() {
    [ "$(counters | wc -l)" -ge 95 ] || { echo "only $(counters | wc -l) counters are found"; return 1; }
    diff <(counters | sort) <(counter_rows | sort) && diff <(counters | sort) <(words counters | awk -F': ' '
        $1 != "every NF" { n = split($2, names, ", "); for (i = 1; i <= n; i++) print $1, names[i] }' | sort)
}
ok "the counters of NFs are those of the reference, and of help" check_counters

# A text that begins with "drop" is of the column of drops. Those whose parameter decides stand there, too.
drops() { sed -n '/^### Counters of NFs/,/^### Heartbeats/p' "$reference" | grep '^|' | braces | awk -F'|' '$2 ~ /`/ {
    gsub(/[ `]/, "", $2); gsub(/`/, "", $3); n = split($3, names, ","); for (i = 1; i <= n; i++) { gsub(/ /, "", names[i]); print $2, names[i] } }'; }
check_drops() {
    drops >"$work/drops"
    all_named "" "" "$work/drops" 50 < <("$UNDERSTUDY" help counters | awk -F': ' '
        /^[a-z]/ { nf = $1; names = $2; next }
        /^    drop:/ && nf != "every NF" { n = split(names, each, ", "); for (i = 1; i <= n; i++) print nf, each[i] }')
}
ok "each reason to drop is in the column of drops" check_drops

# A runbook for each alert, under its name.
check_runbooks() {
    diff <(sed -n 's/.*- alert: //p' "$root/docs/examples/alerts.yml" | sort) \
        <(sed -n '/^## Alerts/,/^## Maintenance/s/^### //p' "$root/docs/operating.md" | sort)
}
ok "each alert has its runbook, and no other thing has one" check_runbooks

subcommands() { "$UNDERSTUDY" --help | sed -n 's/^  understudy \([a-z-]*\) .*/\1/p'; }
check_subcommands() {
    local name bad=0
    [ "$(subcommands | wc -l)" -ge 15 ] || { echo "too few subcommands are found"; bad=1; }
    while read -r name; do
        grep -qE "(\`|understudy )$name\>" "$reference" "$root/docs/operating.md" || { echo "$name is in no operator's page"; bad=1; }
    done < <(subcommands)
    return $bad
}
ok "every subcommand is in the operator's pages" check_subcommands

# Functions, structs and constants that a doc names are in the code; file names that stand alone are in the tree.
check_code_names() {
    local name bad=0
    while read -r name; do
        grep -rqw --include='*.[ch]' "$name" "$root"/{ftcore,nflib,nfs,logger,replicator,lane,understudy,fleet,tests} ||
            { echo "$name is named and not in the code"; bad=1; }
    done < <(cat "$root"/docs/*.md "$root/README.md" | grep -oE '`(struct )?(ft|nf|lg|rp|nd|FT|NF|LG|RP|ND)_[A-Za-z0-9_]+[`(]' |
        tr -d '`(' | sed 's/^struct //' | sort -u)
    while read -r name; do
        [ -n "$(find "$root"/{ftcore,nflib,nfs,logger,replicator,lane,understudy,fleet,tests,docs/examples} -name "$name" -print -quit)" ] ||
            { echo "$name is named and not there"; bad=1; }
    done < <(cat "$root"/docs/*.md | grep -oE '`[a-z0-9_]+\.([ch]|pml|t)`' | tr -d '`' | sort -u)
    return $bad
}
ok "every name of the code in a doc is in the code" check_code_names

# Each function of the state types is called by an NF, or by the library; and the page's table says which NFs use a type.
modules() { grep -rhoE --include='*.c' '^    \.name = "[a-z0-9_]+"' "$root/nfs" | cut -d'"' -f2 | sort; }
# All of the directory, if no other NF is there; else what has the NF's name in front, and what is behind a header of those.
sources() { # NF
    local main dir file header
    main=$(grep -rlE --include='*.c' "^    \.name = \"$1\"" "$root/nfs")
    [ -f "$main" ] || { echo "the source of $1 is not found" >&2; return 1; }
    dir=${main%/*}
    [ "$(grep -lE '^    \.name = "[a-z0-9_]+"' "$dir"/*.c | wc -l)" -gt 1 ] || { echo "$dir"/*.c; return; }
    for file in "$dir/$1".[ch] "$dir/$1"_*.[ch]; do
        [ ! -f "$file" ] || echo "$file"
        for header in $(sed -n 's/^#include "\(nfs\/.*\)\.h"$/\1/p' "$file" 2>/dev/null); do
            [ ! -f "$root/$header.c" ] || echo "$root/$header.c"
        done
    done
}
users() { # PATTERN
    local nf files
    for nf in $(modules); do
        files=$(sources "$nf") || echo "?"
        # shellcheck disable=SC2086
        cat $files </dev/null | grep -qwE "$1" && echo "$nf"
    done
}
check_state_types() {
    local name made says bad=0
    [ "$(modules | wc -l)" -ge 10 ] || { echo "too few NFs are found"; bad=1; }
    while read -r name; do
        grep -rqw --include='*.[ch]' "$name" "$root"/{nfs,docs/examples,understudy,tests/bench} "$root"/nflib/{session,stream,chain,module} ||
            [ "$(grep -rlw "$name" "$root"/nflib/{state,shared}/*.c | wc -l)" -ge 2 ] || { echo "nobody calls $name"; bad=1; }
    done < <(cat "$root/nflib/state/state.h" "$root/nflib/shared/shared.h" | grep -oE '\<nf_[a-z_]+\(' | tr -d '(' | sort -u)
    while read -r name made; do
        says=$(sed -n "/^## State types/,/^## State that/s/^| .$name. |.* | \([^|]*\) |\$/\1/p" "$root/docs/writing-an-nf.md" | sed 's/;.*//' | tr -d ' `' | tr ',' ' ')
        [ "$says" = "$(users "$made" | paste -sd' ')" ] || { echo "$name is used by $(users "$made" | paste -sd' '), the page says $says"; bad=1; }
    done <<<"nf_map nf_map_make
nf_list nf_lists_make
nf_wheel nf_(shared_map_)?wheel_make
nf_bucket nf_bucket_fill
nf_shared_word nf_shared_word_make
nf_shared_map nf_shared_map_make
nf_shared_pool nf_shared_pool_make
nf_merged nf_merged_make"
    says=$(sed -n '/^## Sections: state that lanes share/,/use them\.$/p' "$root/docs/ARCHITECTURE.md" | tail -n 1 | grep -oE '`[a-z0-9_]+`' | tr -d '`')
    made=$(users 'nf_shared_(word|map|pool)_make|nf_merged_make')
    [ "$says" = "$made" ] || { echo "state that lanes share is used by $made, ARCHITECTURE.md says $says"; bad=1; }
    return $bad
}
ok "state types are used, and by the NFs that the pages name" check_state_types

# Each NF has a section of its own, which has the parameters that the program tells, those of flows in a table of all
# NFs, and an example that `check` takes.
check_parameters() {
    local nf
    for nf in $(modules); do
        "$UNDERSTUDY" nfs -o json "$nf" || return 1
    done >"$work/nfs.json"
    python3 - "$doc" "$work/nfs.json" <<'END'
import json, re, sys

text, objects, bad = open(sys.argv[1]).read(), open(sys.argv[2]).read(), 0
rest = objects.lstrip()
table = lambda part: [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.split("\n") if line.startswith("| `")]
shared = {row[0].split("`")[1]: row for row in table(re.search(r"^### Parameters of flows\n(.*?)^###", text, re.M | re.S)[1])}
while rest:
    nf, end = json.JSONDecoder().raw_decode(rest)
    rest = rest[end:].lstrip()
    section = re.search(rf"^### {nf['name']}\n(.*?)^##", text, re.M | re.S)
    rows = {}
    found = re.search(r"^Parameters: (.*)$", section[1], re.M) if section else None
    for name, known, preset in re.findall(r"`(\w+)` \(([^;]*); (.*?)\)(?=, `|\.$)", found[1] if found else ""):
        rows[name] = [known, preset]
    for name, row in shared.items():
        if nf["name"] in row[3].split(", "):
            rows[name] = row[1:3]
    program = {}
    for p in nf["parameters"]:
        known = ", ".join(p["choices"]) if "choices" in p else f"{p['min']} … {p['max']}" if "min" in p else \
            "true, false" if p["type"] == "true or false" else rows.get(p["name"], ["a text"])[0] or "a text"
        program[p["name"]] = [known, "required" if p["required"] else p["default"] or "none"]
    for name in sorted(set(rows) | set(program)):
        if rows.get(name) != program.get(name):
            print(f"{nf['name']}: {name}: the page has {rows.get(name)}, the program {program.get(name)}")
            bad = 1
sys.exit(bad)
END
}
ok "each NF's section has its parameters, with their ranges and defaults" check_parameters

check_examples() {
    local nf file bad=0
    mkdir -p "$work/nfs" && cp "$root"/nfs/chains/* "$work/nfs" && rm -f "$work"/nfs/*.yaml || return 1
    awk -v dir="$work/nfs" '/^## /{ on = $0 == "## NFs" } /^```/{ if (name) close(name); name = on && /yaml/ ? dir "/" ++n ".yaml" : ""; next }
        name && /^- / && !headed[name]++ { print "chain:\n  name: site\n  nfs:" > name }
        name { print (headed[name] ? "    " : "") $0 > name }' "$doc"
    for nf in $(modules); do
        grep -qE "^    - $nf:" "$work"/nfs/*.yaml || { echo "$nf has no example"; bad=1; }
    done
    for file in "$work"/nfs/*.yaml; do
        takes "$file" || { cat "$file" "$work/err"; bad=1; }
    done
    return $bad
}
ok "each NF has an example, and check takes it" check_examples

# The README lists the chains that there are; each is accepted, and each NF is in one.
check_chains() {
    local file nf bad=0
    sed -n 's/^Chains made of them are in [^:]*: //p' "$root/README.md" >"$work/chains"
    [ "$(tr -d '` .' <"$work/chains" | tr ',' '\n' | sort)" = "$(basename -as .yaml "$root"/nfs/chains/*.yaml | sort)" ] ||
        { echo "the README lists $(cat "$work/chains")"; bad=1; }
    for file in "$root"/nfs/chains/*.yaml; do
        grep -q '^  modules:' "$file" || takes "$file" || { cat "$work/err"; bad=1; }
    done
    for nf in $(modules); do
        grep -qE "^    - $nf:" "$root"/nfs/chains/*.yaml || { echo "$nf is in no chain"; bad=1; }
    done
    return $bad
}
ok "the chains of the tree are listed and accepted, and have every NF" check_chains

lab_variables() { grep -oE '\$\{LAB_[A-Z]+' "$root/scripts/lab" | tr -d '${' | sort -u; }
check_lab_help() {
    "$root/scripts/lab" --help >"$work/lab" || return 1
    all_named '  ' '  ' "$work/lab" 14 < <(lab_variables)
}
ok "each variable of the lab is in its help" check_lab_help

testing=$root/docs/testing.md
targets() { sed -n 's/^\(FUZZ\|STREAM\)_TARGET(\([a-z0-9_]*\),.*/\2/p' "$root"/tests/fuzz/*.c; }
check_targets() { # of the first column of the table of targets
    sed -n '/^| target |/,/^$/p' "$testing" | cut -d'|' -f2 >"$work/targets"
    all_named '`' '`' "$work/targets" 25 < <(targets)
}
ok "every fuzzing target is in the page on testing" check_targets

# One name for one thing: names that the glossary's terms have replaced.
old_names() {
    ! grep -nEiw "$(tr '\n' '|' <<'END' | sed 's/|$//'
shares? of (a|the|its|their) deltas?
parts? of (a|the)? ?(deltas?|checkpoints?|shares?)
outside values?
kept outputs?
aside ring
clocks? of (a|the) packets?
records? (hold|with) (its |a )?clocks?
stands? still
guardian's word|word of (a|the|its) guardian
spread checkpoints?
edges/record|edges per (record|thousand packets)
shadow
(a|an|old|new|whole|the) bases?
BASE, SNAPSHOT|DELTA, BASE
END
)" "$@"
}
check_old_names() { old_names "$root/README.md" "$root"/docs/*.md "$root"/docs/examples/*.yaml; }
ok "no page has a second name for a term of the glossary" check_old_names

names() {
    local file bad=0
    while read -r file; do
        [ -e "$root/$file" ] || { echo "$file is named and not there"; bad=1; }
    done < <(cat "$root"/docs/*.md "$root/README.md" |
        grep -oE '`(ftcore|nflib|nfs|logger|replicator|lane|understudy|fleet|tests|scripts|docs)/[A-Za-z0-9_./-]+[a-z0-9]`' | grep -v 'NAME\|FLEET' | tr -d '`' | sort -u)
    return $bad
}
ok "every file that a doc names is there" names

links() {
    local doc link bad=0
    for doc in "$root"/*.md "$root"/docs/*.md; do
        while read -r link; do
            [ -e "$(dirname "$doc")/$link" ] || { echo "$(basename "$doc"): $link is linked and not there"; bad=1; }
        done < <(grep -oE '\]\([^)]+\)' "$doc" | sed 's/^](//; s/)$//; s/#.*//' | grep -vE '^$|^[a-z]+:')
    done
    return $bad
}
ok "every file that a doc links to is there" links

# Headings of a page as its links name them.
anchors() { grep -E '^#+ ' "$1" | sed -E 's/^#+ //' | tr 'A-Z' 'a-z' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'; }
check_anchors() {
    local doc link to at bad=0
    for doc in "$root"/*.md "$root"/docs/*.md; do
        while read -r link; do
            to=${link%%#*} at=${link#*#}
            to=${to:+$(dirname "$doc")/$to}
            anchors "${to:-$doc}" 2>/dev/null | grep -qxF -- "$at" || { echo "$(basename "$doc"): no heading for $link"; bad=1; }
        done < <(grep -oE '\]\([^)]*#[^)]+\)' "$doc" | sed 's/^](//; s/)$//' | grep -vE '^[a-z]+:')
    done
    while read -r link; do # in what help prints
        anchors "$root/${link%%#*}" 2>/dev/null | grep -qxF -- "${link#*#}" || { echo "words.def: no heading for $link"; bad=1; }
    done < <(grep -oE 'docs/[a-z-]+\.md#[a-z0-9_-]+' "$root/understudy/words.def")
    return $bad
}
ok "every heading that a link names is there" check_anchors

# Each section of the two long pages is in their contents, or below one that is; and what a reader looks for, by the words
# that he has, is found by the contents alone: PAGE|WORDS IN A LINE OF THE CONTENTS|WHERE IT LEADS|WHAT STANDS THERE.
contents() { sed -n '/^## Contents/,/^## [^C]/p' "$1" | grep '^ *- '; }
section() { # PAGE ANCHOR
    awk -v at="$2" '/^#+ / { h = tolower($0); sub(/^#+ /, "", h); gsub(/[^a-z0-9 _-]/, "", h); gsub(/ /, "-", h); on = h == at } on' "$1"
}
check_contents() {
    local page at bad=0
    for page in "$doc" "$reference"; do
        while read -r at; do
            contents "$page" | grep -qF "(#$at)" || { echo "$(basename "$page"): the contents do not lead to $at"; bad=1; }
        done < <(anchors <(grep '^## ' "$page") | grep -vx contents)
    done
    return $bad
}
ok "the contents of the long pages lead to all their parts" check_contents
check_reader() {
    local page words at answer bad=0
    while IFS='|' read -r page words at answer; do
        contents "$root/docs/$page" | grep -F -- "$words" | grep -qF "(#$at)" || { echo "$page: the contents do not lead from \"$words\" to $at"; bad=1; }
        section "$root/docs/$page" "$at" | grep -qF -- "$answer" || { echo "$page: $at does not say $answer"; bad=1; }
    done <<'END'
pair-file.md|NFs](#nfs): [flows, limits of a host|parameters-of-flows|`max_flows` | 1 … 16777216 | 100000 | nat
reference.md|what is held|lanes|What the primary *holds*
reference.md|a rule of the firewall|live-changes|`rule.N`
pair-file.md|the port of `metrics`|nodes|address and port where [Prometheus]
reference.md|Exit codes|exit-codes|No command ends with any other code
pair-file.md|rate_limiter](#rate_limiter) (of a client)|rate_limiter|`pps` and `bps` are packets and bits a second of a client
END
    return $bad
}
ok "a reader finds six things by the contents alone" check_reader

# What is said of exit codes: each code that the program has, and no other.
check_codes() {
    diff <(sed -n '/^enum nd_exit/,/^};/s/.* = \([0-9]*\),.*/\1/p' "$root/understudy/config/options.h" | sort -n) \
        <(sed -n '/^## Exit codes/,/^## The/p' "$reference" | sed -n 's/^| \([0-9]*\) |.*/\1/p' | sort -nu)
}
ok "every exit code is in the reference" check_codes

# The example of docs/two-servers.md, computed again by its own formulas. A number of the file is the node's default or range.
check_sizing() {
    sed -n '/^## Sizing/,$p' "$root/docs/two-servers.md" | python3 -c '
import re, sys
known, formulas = {}, 0
for line in sys.stdin:
    row = re.match(r"\| `(\w+)` \| (?:`(.+?)`)? *\| ([\d.]+) \|", line)
    if not row:
        continue
    name, formula, said = row[1], row[2], float(row[3])
    known[name] = said
    if formula:
        formulas += 1
        got = eval(formula, {"__builtins__": {}}, known)
        places = len(row[3].partition(".")[2])
        assert round(got, places) == said, f"{name}: {said} is said, {formula} is {got}"
assert formulas >= 10, formulas
'
}
ok "the sizes of the example are those of its formulas" check_sizing
