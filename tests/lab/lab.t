#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lab makes what it says and removes exactly that, also after a crash half-way.
. "$(dirname "$0")/lib.sh"
need_lab
plan 24

spaces() { ip netns list | grep "^$LAB_PREFIX" | sort; }
before=$(spaces)
was_there() { [ -d "$LAB_DIR" ] && echo yes || echo no; }
dir_before=$(was_there)

ok "the network comes up without nodes" "$lab" up --no-nodes
ok "client and fabric are there" ip netns exec "${LAB_PREFIX}client" true
ok "a pair file that check accepts" "$UNDERSTUDY" check -c "$pair"
"$lab" status >"$work/status"
is "status names the missing nodes, and only them" "$(grep -c missing "$work/status")" 2
is "no offload is left that would put unfinished packets on the wire" \
    "$(for s in client a b server fabric; do
        ip -n "$LAB_PREFIX$s" -o link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/' | while read -r dev; do
            "$lab" exec $s ethtool -k "$dev" |
                grep -E '^(tx-checksumming|scatter-gather|tcp-segmentation-offload|generic-segmentation-offload|generic-receive-offload): on'
        done
    done)" ""
"$lab" exec a ip address add 10.0.0.1/24 dev a-in
"$probe" run 10.0.0.1 7007 --seconds 1 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}a" -o json >"$work/probe.json"
ok "client and a's inner port are one wire" jq -e '.received > 0 and .lost == 0' "$work/probe.json"
"$lab" up --no-nodes >"$work/again" 2>&1
is "a second up refuses" $? 1
ok "and says how to remove the first" grep -q "down" "$work/again"

"$lab" exec b sleep 1000 &
inside() { [ "$(ip netns pids "${LAB_PREFIX}b" | xargs -rI{} cat /proc/{}/comm)" = sleep ]; }
soon inside
ok "down with a process inside" "$lab" down
is "nothing is left of it" "$(spaces) $(was_there)" "$before $dir_before"

# A crash: killed half-way through up.
mkfifo "$work/under-way"
"$lab" up --no-nodes 8>"$work/under-way" &
up=$!
exec 7<"$work/under-way"
for ((i = 0; i < 200; i++)); do
    [ -e "/run/netns/${LAB_PREFIX}b" ] && break
    sleep 0.005
done
kill -KILL $up 2>/dev/null
wait $up 2>/dev/null
cat <&7 # until the command that it was at has ended, too: that one would make things behind the back of down
exec 7<&-
ok "down after a crash" "$lab" down
is "nothing is left after that either" "$(spaces) $(was_there)" "$before $dir_before"
ok "down again is no error" "$lab" down

# What docs/writing-an-nf.md tells an author to run: a chain without a NAT, and the server answers.
LAB_NFS='forward: {}' "$lab" up >"$work/forward" 2>&1
ok "an NF alone comes up, and the server's answers find their way" "$lab" exec client ping -c 3 -i 0.2 -W 2 203.0.113.100
ok "and goes" "$lab" down

# Nodes that end at once are not waited for.
LAB_LANES=99 LAB_WAIT=100 "$lab" up >"$work/bad" 2>&1
is "up with a bad setting fails" $? 1
is "and says what the nodes said, and how to remove it" \
    "$(sed 's/;.*//' "$work/bad" | head -n 1) $(grep -c 'lanes is 99, expected a number from 1 to 16' "$work/bad") $(grep -c "down' removes" "$work/bad")" \
    "lab: both nodes have ended 2 1"
ok "which it does" "$lab" down

# A step that fails is not passed over: here one of the commands that make the network.
mkdir -p "$work/bin"
printf '#!/bin/sh\ncase "$*" in *-batch*) sed "s|address add 203.0.113.100/24|& nonsense|" | %s "$@" ;; *) exec %s "$@" ;; esac\n' \
    "$(command -v ip)" "$(command -v ip)" >"$work/bin/ip"
chmod +x "$work/bin/ip"
PATH="$work/bin:$PATH" "$lab" up --no-nodes >"$work/half" 2>&1
is "up whose network cannot be made fails and names the step" "$? $(grep -c 'the network of server cannot be made' "$work/half") $(grep -c nonsense "$work/half")" "1 1 1"
ok "what there is of it goes" "$lab" down

export LAB_KEEPER=two LAB_WAYS=2 LAB_SPARES=c LAB_PROTECT="strict: true"
"$lab" up --no-nodes
"$lab" status >"$work/status"
is "of a lab with keepers, two ways and a spare only those are missing that do not run" "$(sed -n 's/: missing//p' "$work/status" | xargs)" \
    "keeper k keeper l node a node b node c"
is_like "check names them" "$("$UNDERSTUDY" check -c "$pair" 2>/dev/null)" "*, nodes a, b, spare c, behind keepers k, l; none is of this server*"
is "for programs, too" "$("$UNDERSTUDY" check -o json -c "$pair" 2>/dev/null | jq -c '[.nodes, .spares, .keepers]')" '[["a","b","c"],["c"],["k","l"]]'

# Tests run at the same time, and some of them in the machine's own network: no port of its loopback is of two.
ports() { grep -oE 'replication: "?127\.0\.0\.[^"]*:[0-9]{4,5}\b' "$root"/tests/lab/*.t "$root"/tests/lab/long/*.t | sed -E 's/:.*:/ /' | sort -u; }
is "no two tests have a port of 127.0.0.0/8 in common" "$(ports | cut -d' ' -f2 | sort | uniq -d)" ""
