#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# DPDK's telemetry of a live pair, asked by DPDK's own dpdk-telemetry.py: what it says is what status says, through a takeover.
# Its socket is where it was before, nothing is left of nodes that were killed, other users stay out, and whoever is in
# holds up nobody. A node whose directory cannot be had starts without it.
. "$(dirname "$0")/lib.sh"
export UNDERSTUDY=$BUILD/understudy-planted UNDERSTUDY_PLANT=main-stands
need_lab
[ -x "$UNDERSTUDY" ] || skip_all "understudy-planted is not built"
command -v dpdk-telemetry.py >/dev/null || skip_all "dpdk-telemetry.py is not installed"
command -v ping >/dev/null || skip_all "ping is not installed"
plan 33

export LAB_TIMING="detect_ms: 500" # a busy machine is to raise no false alarm of its own
dir=$LAB_DIR/dpdk
# What a node says to a command: the value of its one member.
ask() { # NODE COMMAND [FILTER]
    echo "$2" | RUNTIME_DIRECTORY=$LAB_DIR timeout 10 dpdk-telemetry.py -f "$1.sock" | jq -r ".[\"${2%%,*}\"]${3:-}"
}
# Connections that say nothing, until the reader of its output ends it.
hold() { # COUNT
    exec python3 - "$dir/a.sock/dpdk_telemetry.v2" "$1" <<'END'
import socket, sys, time
held = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(int(sys.argv[2]))]
for s in held:
    try: s.connect(sys.argv[1])
    except OSError: pass
print("held", flush=True)
time.sleep(30)
END
}
await_text() { # TEXT COMMAND…: its output, within 10 s
    local end=$((SECONDS + 10)) text=$1
    shift
    until [ "$("$@" 2>/dev/null)" = "$text" ]; do
        [ $SECONDS -lt $end ] || { echo "got: $("$@" 2>&1), expected: $text"; return 1; }
        sleep 0.1
    done
}

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "packets pass" "$lab" exec client ping -q -c 20 -i 0.01 203.0.113.100
is "the nodes are found by their control sockets' names" \
    "$(RUNTIME_DIRECTORY=$LAB_DIR dpdk-telemetry.py -l | grep -x '[ab].sock' | sort | xargs)" "a.sock b.sock"

# ── values: what counts packets stands still between two readings, for only pings were sent ──────

same() { # NODE COMMAND FILTER PATH-IN-STATUS
    local said status
    said=$(ask "$1" "$2" "$3") status=$(field "$1" "$4")
    [ "$said" = "$status" ] && [ "$said" != null ] || { echo "$2 $3 is '$said', .$4 is '$status'"; return 1; }
}
values() { # NODE
    same "$1" /understudy/status .node node && same "$1" /understudy/status .role role &&
        same "$1" /understudy/status .state state && same "$1" /understudy/status .view view &&
        same "$1" /understudy/status .pid pid && same "$1" /understudy/status .why why &&
        same "$1" /understudy/status .resync.done resync.done && same "$1" /understudy/status .peer.node peer.node &&
        same "$1" /understudy/status .ports.outside.mtu 'ports[1].mtu' &&
        same "$1" /understudy/lanes '["0"].received' 'lanes[0].received' &&
        same "$1" /understudy/lanes,0 .replayed 'lanes[0].replayed' &&
        same "$1" /understudy/nf,nat .counters.translated_outward nfs.nat.translated_outward &&
        same "$1" /understudy/nf,nat .tables.flows.entries 'tables["nat.flows"].entries'
}
for node in a b; do ok "node $node: telemetry says what status says" values $node; done
is "the NAT translated the pings, and none was lost" "$(ask a /understudy/nf,nat .counters.translated_outward)" 20
is "the NFs by name" "$(ask a /understudy/nf '|join(" ")')" "l3 nat firewall monitor"
is "yes is 1" "$(ask a /understudy/status .peer.connected)" 1
is "DPDK's own: the ports" "$(ask a /ethdev/list '|join(" ")')" "0 1"
ok "their counters" test "$(ask a /ethdev/stats,1 .opackets)" -ge 20
ok "the arguments" grep -q -- '--file-prefix=a.sock' <<<"$(ask a /eal/params '|join(" ")')"
is "an NF that is not there" "$(ask a /understudy/nf,nonsense .error)" "no NF nonsense"
is "a lane that is not there" "$(ask a /understudy/lanes,1 .error) $(ask a /understudy/lanes,-1 .error) $(ask a /understudy/lanes,0x .error)" \
    "no lane 1 no lane -1 no lane 0x"

# ── who gets in ──────────────────────────────────────────────────────────────────────────────────

is "the directories are the node's user's alone" "$(stat -c '%a %U' "$dir" "$dir/a.sock" | xargs)" "700 root 700 root"
# The other user gets as far as the directory, and no further: the socket that looks is beside it.
connects() { # TYPE PATH [AS…]
    "${@:3}" perl -MSocket -e 'socket(S, PF_UNIX, eval $ARGV[0], 0) && connect(S, sockaddr_un($ARGV[1])) or die "$!\n"' "$1" "$2"
}
other=(setpriv --reuid 64999 --regid 64999 --clear-groups)
ok "its user connects" connects SOCK_SEQPACKET "$dir/a.sock/dpdk_telemetry.v2"
is "another user does not, who may look at the node" \
    "$(connects SOCK_STREAM "$LAB_DIR/a.sock.look" "${other[@]}" 2>&1; connects SOCK_SEQPACKET "$dir/a.sock/dpdk_telemetry.v2" "${other[@]}" 2>&1)" \
    "Permission denied"
no_capability() { ! grep -E '^Cap(Prm|Eff):.*[1-9a-f]' /proc/"$(field a pid)"/task/*/status; }
exec 3< <(hold 32)
read -r -t 10 line <&3
holder=$!
is "32 connections that say nothing are there" "$line" held
ok "status is answered all the same" test "$(field a state)" = PROTECTED
is "DPDK serves ten of them" "$(grep -lx telemetry-v2 /proc/"$(field a pid)"/task/*/comm | wc -l)" 11
ok "no thread of the node has a capability" no_capability
ok "packets pass" "$lab" exec client ping -q -c 20 -i 0.01 203.0.113.100
kill $holder
exec 3<&-
ok "when they are gone, telemetry answers" await_text a ask a /understudy/status .node

# ── the main thread stands for 3 s ───────────────────────────────────────────────────────────────

# Asked by a client that is there already: on a busy machine another one needs too long to begin.
exec 4> >(PYTHONUNBUFFERED=1 RUNTIME_DIRECTORY=$LAB_DIR timeout 30 dpdk-telemetry.py -f a.sock >"$work/told")
echo /info >&4
ok "a client is connected" await_text 1 grep -c max_output_len "$work/told"
kill -USR1 "$(field a pid)"
sleep 0.3
printf '%s\n' /ethdev/list /understudy/status >&4
told() { sed 1d "$work/told" | jq -c '.[] | .error? // .'; }
ok "while the main thread stands DPDK's commands are answered, the node's by an error within a second" await_text \
    $'[0,1]\n"the node\'s main thread does not answer"' told
exec 4>&-
ok "then the node answers again" await_text PROTECTED ask a /understudy/status .state

# ── takeover ─────────────────────────────────────────────────────────────────────────────────────

killed=$(field a pid)
ok "the primary is killed" drill kill
ok "the pair is PROTECTED again" is_protected
is "the other node says that it is primary, after one takeover" \
    "$(ask b /understudy/status '| [.role, .state, .takeovers.count] | join(" ")')" "primary PROTECTED 1"
is "node a says where it was before that it is another process, and standby" \
    "$(ask a /understudy/status "| [.role, .pid != $killed] | map(tostring) | join(\" \")")" "standby true"
is "nothing is left of the process that was killed" "$(find "$dir" -type s -printf '%P\n' | sort | xargs)" \
    "a.sock/dpdk_telemetry.v2 b.sock/dpdk_telemetry.v2"

# ── the end, and a directory that cannot be had ──────────────────────────────────────────────────

kill "$(field b pid)"
ok "a node that ends removes its own" await_text a.sock ls "$dir"
"$lab" down
odd() { mkdir -m 777 "$dir" && "$lab" start a && "$lab" start b; }
"$lab" up --no-nodes && odd
ok "with a directory that is open to others, the pair is PROTECTED all the same" is_protected
is "without telemetry, in a line" "$(grep -o 'no telemetry: .*' "$LAB_DIR/a.log" | sed "s|$LAB_DIR/||") $(ls "$dir")" \
    "no telemetry: dpdk: expected a directory of this user's alone (mode 0700) "
