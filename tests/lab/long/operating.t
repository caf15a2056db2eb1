#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The operator's day: the commands of docs/operating.md, in their order, on two servers alpha and beta, which are namespaces with a
# network and files of their own, on which `make install` has put the program. What a block's info string says:
#   sh run alpha|beta|both [protected]   run there, as root by bash -e; with `protected` once the pair is
#   sh elsewhere                         not run here: the page may say so of the commands in `elsewhere` below alone
#   yaml                                 a piece of a pair file, at which docs.t looks; `yaml part`: not whole
#   printed                              what the block before it prints: a number stands for any, … for anything
# What a heading's runbook is for is done to the pair before it (`before`). Clients have flows through the pair meanwhile.
. "$(dirname "$0")/../lib.sh"
need_lab
for tool in setpriv adduser python3; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done

page=$root/docs/operating.md
elsewhere="apt clear keeper scp watch journalctl diff promote re-pair etcd etcdctl make incidents replay nfcapd nfdump"
declare -A server=([alpha]=a [beta]=b)

# ── the page ─────────────────────────────────────────────────────────────────────────────────────

# $work/blocks/N: line, heading, info string, then the commands. N.printed: what they print.
read_page() {
    mkdir -p "$work/blocks" && awk -v to="$work/blocks/" '
        /^ *```/ && !inside {
            inside = 1; info = $0; match(info, /^ */); indent = RLENGTH; sub(/^ *```/, "", info)
            if (info ~ /^yaml( part)?$/) file = "/dev/null"
            else file = info == "printed" ? sprintf("%s%03d.printed", to, n) : sprintf("%s%03d", to, ++n)
            if (info != "printed") print NR "\n" heading "\n" info > file
            else printf "" > file
            next
        }
        /^ *```/ { inside = 0; close(file); next }
        inside { print substr($0, indent + 1) > file; next }
        /^#+ / { heading = $0; sub(/^#+ /, "", heading); print NR, heading > (to "../headings") }' "$page"
}
line_of() { sed -n 1p "$1"; }
heading_of() { sed -n 2p "$1"; }
info_of() { sed -n 3p "$1"; }
commands_of() { sed 1,3d "$1"; }

check_markers() {
    local block bad=0
    for block in "$work"/blocks/[0-9][0-9][0-9]; do
        case $(info_of "$block") in
        "sh run alpha" | "sh run beta" | "sh run both" | "sh run alpha protected" | "sh run beta protected" | "sh run both protected" | "sh elsewhere") ;;
        *) echo "operating.md:$(line_of "$block"): a block is marked '$(info_of "$block")'"; bad=1 ;;
        esac
    done
    return $bad
}
# The command of a line: its first word, or the subcommand of understudy. A line that begins with a blank goes on with the one before.
check_elsewhere() {
    local block
    for block in "$work"/blocks/[0-9][0-9][0-9]; do
        [ "$(info_of "$block")" != "sh elsewhere" ] || commands_of "$block" | sed '/^ /d; s/^understudy //' | cut -d' ' -f1
    done | sort -u >"$work/elsewhere"
    diff <(tr ' ' '\n' <<<"$elsewhere" | sort) "$work/elsewhere"
}

# ── the servers ──────────────────────────────────────────────────────────────────────────────────

mounts='mount --make-rprivate / && mount -t tmpfs none "$0/tmp" && mkdir "$0"/tmp/{etc,lib,log,usr,work}{,.work} &&
    over() { mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$2.work" "$3"; } &&
    over /etc "$0/tmp/etc" /etc && over /var/lib "$0/tmp/lib" /var/lib && over /var/log "$0/tmp/log" /var/log &&
    over "$0/../stand:$0/../dest/usr:/usr" "$0/tmp/usr" /usr && mount -t tmpfs none /run && touch "$0/ready" && exec sleep 1000'
server_up() { # NAME
    local ns=$LAB_PREFIX${server[$1]} dir=$work/$1 left=$(polls)
    mkdir -p "$dir/tmp" && rm -f "$dir/ready"
    ip netns exec "$ns" unshare -m bash -c "$mounts" "$dir" >"$dir/up" 2>&1 9>&- &
    echo $! >"$dir/pid"
    until [ -e "$dir/ready" ]; do
        poll && kill -0 "$(cat "$dir/pid")" 2>/dev/null || { cat "$dir/up"; return 1; }
    done
}
on() { # SERVER COMMAND…
    nsenter -t "$(cat "$work/$1/pid")" -m -n env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root timeout 60 "${@:2}"
}
lose() { # SERVER: its node dies, and nobody starts it
    on "$1" sh -c 'kill -KILL $(sed -n "s/^pid //p" /run/units/*) && until grep -q ^ended /run/units/*; do sleep 0.05; done'
}
pair_of() { on "$1" understudy status -c /etc/understudy/pair.yaml -n "$1" -o json 2>/dev/null | jq -r ".$2"; }
field_is() { # SERVER FIELD VALUE
    local left=$(polls)
    until [ "$(pair_of "$1" "$2")" = "$3" ]; do
        poll || { echo "$1 is $(pair_of "$1" state): $(pair_of "$1" why)"; return 1; }
    done
}
state_is() { field_is "$1" state "$2"; }
protected() {
    local left=$(polls)
    until [ "$(pair_of alpha state) $(pair_of beta state)" = "PROTECTED READY" ] || [ "$(pair_of alpha state) $(pair_of beta state)" = "READY PROTECTED" ]; do
        poll || { on alpha understudy status -c /etc/understudy/pair.yaml; on beta understudy status -c /etc/understudy/pair.yaml; return 1; }
    done
}
primary_is() { # SERVER
    protected >/dev/null || return 1
    [ "$(pair_of "$1" role)" = primary ] || on "$([ "$1" = alpha ] && echo beta || echo alpha)" understudy drain -c /etc/understudy/pair.yaml
    protected >/dev/null
}
link() { ip -n "${LAB_PREFIX}a" link set a-repl "$1"; }
fabric() { ip -n "${LAB_PREFIX}fabric" link set a-in "$1" && ip -n "${LAB_PREFIX}fabric" link set a-out "$1"; }

# Since what `ok` and a hook run is a subshell, the prober's process is kept in a file.
flows_begin() {
    "$probe" run 203.0.113.100 7007 --seconds 900 --interval-us 10000 --flows 4 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
        >"$work/probe.json" 2>"$work/probe.err" 9>&- &
    echo $! >"$work/prober"
    sleep 0.5
}
flows_lived() { # no flow broken, no answer wrong
    kill -TERM "$(cat "$work/prober")" || { cat "$work/probe.json" "$work/probe.err"; return 1; }
    while kill -0 "$(cat "$work/prober")" 2>/dev/null; do sleep 0.1; done
    rm "$work/prober"
    [ "$(jq '.flows_broken + .contradicted' "$work/probe.json")" = 0 ] && [ "$(jq .flows "$work/probe.json")" = 4 ] ||
        { cat "$work/probe.json" "$work/probe.err"; return 1; }
}

# ── what the page's reader has done or met where a heading begins ────────────────────────────────

# shellcheck disable=SC2046
before() { # HEADING
    case $1 in
    "The daily look") flows_begin ;;
    "UnderstudyDown") lose beta && state_is alpha SOLO ;;
    "Other addresses, lanes, settings") protected && flows_lived ;;
    "A new key") protected && flows_begin ;;
    "Disaster") protected && flows_lived ;;
    "Both nodes were down") lose alpha; lose beta ;;
    "One server alone, after both were down") lose beta; lose alpha; on alpha systemctl start understudy@alpha; sleep 9 ;;
    "A server or its disk is gone")
        on beta systemctl start understudy@beta && primary_is alpha && lose beta && state_is alpha SOLO &&
            on beta sh -c 'rm -rf /var/lib/understudy /etc/understudy/*' &&
            copied $(on alpha find /etc/understudy -type f -printf '%P ')
        ;;
    "The view file is unreadable") primary_is alpha && lose beta && on beta sh -c ': >/var/lib/understudy/beta.view' && ! on beta systemctl start understudy@beta ;;
    "Two primaries") protected && link down && fabric down && state_is alpha SOLO && state_is beta SOLO && fabric up && link up && protected ;;
    "The standby's right has ended") primary_is alpha && link down && state_is beta JOINING && lose alpha && link up && field_is beta peer.connected false && sleep 9 ;;
    "The key is lost") protected && on alpha rm /etc/understudy/pair.key && on beta rm /etc/understudy/pair.key ;;
    "The key has leaked") protected ;;
    esac
}
# What an editor or scp does between two blocks.
copied() { # FILES: from alpha to beta, as scp -p copies them: they keep their modes, and are of whom their directory makes them
    on alpha tar -C /etc/understudy -cf - "$@" | on beta tar -C /etc/understudy --no-same-owner -xpf -
}
# The example's pair, with ports that this lab has, and times for a machine that is busy. The ports' rings fit into the memory that a user may lock without the unit's limits.
edited() {
    local ring="blocksz=65536,framesz=2048,framecnt=512,qpairs=1" name s
    for name in alpha beta; do
        s=${server[$name]}
        on alpha sed -i "/^  $name:/,/^  [a-z]*:\$/{s|inside: \"0000:.*|inside: \"net_af_packet0,iface=$s-in,$ring\"|; s|outside: \"0000:.*|outside: \"net_af_packet1,iface=$s-out,$ring\"|}" \
            /etc/understudy/pair.yaml
    done
    on alpha sed -i '/hugepages: true/d; /eal:/d; s/mbufs: 65536/mbufs: 32768/; s/memory_mb: 1024/memory_mb: 256/; s/^timing:.*/&\n  detect_ms: 2000/' /etc/understudy/pair.yaml &&
        on alpha grep -q '^  detect_ms: 2000$' /etc/understudy/pair.yaml
}
after() { # the first line of a block
    case $1 in
    "install -m 640"*) edited && copied pair.yaml pair.rules pair.key ;;
    "understudy key /etc/understudy/new.key") copied new.key ;;
    # A thread of the standby's puts them into their places, soon after the answer.
    "echo "*"chain/pair.rules") on beta timeout 5 sh -c 'until grep -q "port 465" /etc/understudy/chain/pair.rules; do sleep 0.05; done' ;;
    "understudy key /etc/understudy/pair.key") copied pair.key ;;
    esac
}

# ── run ──────────────────────────────────────────────────────────────────────────────────────────

# Does FILE have what PATTERN says, whole?
printed() { # PATTERN FILE
    python3 -c '
import re, sys
def words(text):
    text = re.sub(r"[ \t]+", " ", re.sub(r" +$", "", text.strip("\n"), flags=re.M))
    return text
want = re.escape(words(open(sys.argv[1]).read())).replace("…", ".*")
want = re.sub(r"\d+(?:\\\.\d+)*", lambda m: r"\d+(?:\.\d+)*", want).replace("\\ ", " *")
# A standby may have answered late meanwhile, as on a busy machine.
got = words(open(sys.argv[2]).read()).replace("the standby answers again", "the standby is ready")
if not re.fullmatch(want, got, flags=re.S):
    print("the page says:"); print(open(sys.argv[1]).read()); print("printed is:"); print(got); sys.exit(1)
' "$1" "$2"
}
run_block() { # BLOCK
    local name names code
    read -r _ _ names _ < <(info_of "$1")
    [ "$names" != both ] || names="alpha beta"
    [ -z "$failed" ] || { echo "$failed"; return 1; }
    case $(info_of "$1") in *" protected") protected >/dev/null || { echo "not PROTECTED"; protected; return 1; } ;; esac
    commands_of "$1" >"$work/commands"
    for name in $names; do
        on "$name" bash -e -s <"$work/commands" >"$work/out" 2>&1
        code=$?
        [ $code = 0 ] || { echo "on $name, exit $code:"; cat "$work/commands" "$work/out"; on "$name" tail -n 3 "/var/log/$name.log"; return 1; }
        [ ! -e "$1.printed" ] || printed "$1.printed" "$work/out" || return 1
    done
    after "$(head -n 1 "$work/commands")"
}

finish() {
    [ ! -e "$work/prober" ] || kill "$(cat "$work/prober")" 2>/dev/null
    for name in alpha beta; do
        [ ! -e "$work/$name/pid" ] || { lose "$name"; kill "$(cat "$work/$name/pid")"; } 2>/dev/null
    done
    cleanup
}
trap finish EXIT

read_page
runs=$(grep -l '^sh run' "$work"/blocks/[0-9][0-9][0-9] | wc -l)
plan $((runs + 4))
ok "each block of commands is marked" check_markers
ok "and those that are not run are known" check_elsewhere

prepare() {
    "$lab" up --no-nodes && make -C "$root" install DESTDIR="$work/dest" PREFIX=/usr || return 1
    ip -n "${LAB_PREFIX}a" address add 192.0.2.1/30 dev a-repl && ip -n "${LAB_PREFIX}b" address add 192.0.2.2/30 dev b-repl &&
        ip -n "${LAB_PREFIX}server" address add 203.0.113.254/24 dev eth0 || return 1
    install -D "$root/tests/lab/systemctl.sh" "$work/stand/bin/systemctl" && install -D "$root/tests/lab/supervisor.py" "$work/stand/lib/supervisor.py" || return 1
    server_up alpha && server_up beta
}
ok "two servers" prepare || exit 1
ip netns exec "${LAB_PREFIX}client" ping -q -i 0.5 203.0.113.100 >/dev/null 2>&1 9>&- & # what trace shows
ran=0 at= failed=
for block in "$work"/blocks/[0-9][0-9][0-9]; do
    while IFS= read -r heading; do # those since the last block
        [ -n "$heading" ] || continue
        out=$(before "$heading" 2>&1) || failed="before the heading $heading: $out"
    done < <(awk -v from="${at:-0}" -v to="$(line_of "$block")" '$1 > from && $1 < to { sub(/^[0-9]+ /, ""); print }' "$work/headings")
    at=$(line_of "$block")
    [[ $(info_of "$block") = "sh run "* ]] || continue
    read -r _ _ names _ < <(info_of "$block")
    ok "$(heading_of "$block"): on $names: $(commands_of "$block" | head -n 1)" run_block "$block" || break
    ran=$((ran + 1))
done
ok "at the end the pair is PROTECTED" protected
diag "$ran blocks ran, $(grep -l '^sh elsewhere' "$work"/blocks/[0-9][0-9][0-9] | wc -l) did not: $(xargs <"$work/elsewhere")"
