#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which node is to be primary: a data port of the primary that loses its link, a script, a gateway, a route; the role moves by a
# planned handover, not too often, and stays when all is well again, or goes back as failback says. Pins and holds, across
# the death of a node. Hooks that take events, and hooks that take none.
. "$(dirname "$0")/lib.sh"
need_lab
plan 59

mkdir -p "$work/hooks"
chmod 755 "$work" "$work/hooks"
mkfifo "$work/hooks/silent" # nobody ever reads it
cat >"$work/check" <<END
#!/bin/sh
test ! -e "$work/bad-\$UNDERSTUDY_NODE"
END
cat >"$work/hang" <<END
#!/bin/sh
test ! -e "$work/hang-\$UNDERSTUDY_NODE" || exec sleep 1000
END
cat >"$work/tell" <<END
#!/bin/sh
exec cat >>"$work/hooks/\$UNDERSTUDY_NODE"
END
cat >"$work/never" <<END
#!/bin/sh
exec sleep 1000
END
chmod 755 "$work"/{check,hang,tell,never}

# A node's part: what it tracks, and its hooks.
part() { # NODE
    cat <<END
    track:
      - { script: $work/check, weight: 10, every_ms: 100, rise: 2, fall: 2 }
      - { script: $work/hang, weight: 5, every_ms: 200, rise: 1, fall: 1 }
      - { gateway: 203.0.113.100, weight: 20, rise: 2, fall: 2 }
      - { gateway: 10.0.0.100, weight: 15, every_ms: 500, rise: 2, fall: 3 }
      - { route: 198.51.100.0/24, weight: 30, every_ms: 100, rise: 1, fall: 1 }
      - { interface: $1-repl, weight: 40, every_ms: 100 }
    hooks:
      - { command: $work/tell, events: [state, takeover, standby_lost, fenced, authority, track] }
      - { fifo: $work/hooks/silent }
      - { socket: $work/hooks/nobody }
      - { command: $work/never }
END
}
configure() { # TOP-LEVEL LINES: in the place of what was there
    part a >"$work/part-a"
    part b >"$work/part-b"
    sed -i -e '/^    track:/,/^      - { command: .*never }/d' -e '/^\(prefer\|failback\|hold_down_s\)/d' "$pair"
    sed -i -e "/^    state: .*\/a\$/r $work/part-a" -e "/^    state: .*\/b\$/r $work/part-b" "$pair"
    printf '%s\n' "$@" >>"$pair"
}
routed() { ip -n "$LAB_PREFIX$1" route "$2" 198.51.100.0/24 dev "$1-repl"; } # NODE add|del
leads() { # NODE: and the pair is whole in the end
    await "$1" role primary && await "$1" state PROTECTED
}
remains() { # NODE: for 2 s
    local left=$(polls 2)
    while poll; do
        [ "$(field "$1" role)" = primary ] || { us status; return 1; }
    done
}
says() { # LINE: status has it
    local left=$(polls)
    until us status 2>&1 | grep -qF -- "$1"; do
        poll || { us status; return 1; }
    done
}
moves() { field "$1" takeovers.count; }

ok "a lab" env LAB_TIMING="detect_ms: 300" "$lab" up --no-nodes || exit 1
configure "hold_down_s: 1"
ok "the file is good" us check
routed a add
routed b add
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected
ok "nothing fails" says "counter 0 (a) 0 (b)"
is "nor is anything said to stay" "$(field a authority.stays) $(field a authority.maintenance)" "null free"

# One download of 60 MB in 15 s; a port of the primary loses its link under it.
web_files "$work" 60000000
chmod -R a+rX "$work/files"
ok "a web server behind the chain" web_serve "$work"
"$lab" exec client curl -q -sS --limit-rate 4M -o "$work/got" http://203.0.113.100/0 2>"$work/curl.err" 9>&- &
fetch=$!
sleep 1
took() { # NODE FILE: ms from the time in the file to the node's takeover, by its log
    local at
    at=$(grep -a ' takeover ' "$LAB_DIR/$1.log" | tail -n 1 | cut -d' ' -f1)
    echo $((($(date -d "$at" +%s%N) - $(cat "$2")) / 1000000))
}
date +%s%N >"$work/down"
ip -n "${LAB_PREFIX}fabric" link set a-out down
ok "the standby becomes primary when a port of the primary has no carrier" await b role primary
diag "ms from no carrier to the new primary: $(took b "$work/down")"
is "by a planned handover" "$(field b takeover.reason)" planned
ok "both counters are told" says "(a: port outside: no carrier"
is "in one line of the log" "$(grep -c ' authority .* a: hands over to b: its counter is lower; counter 10[0-9]* (port outside: no carrier.*) here, 0 there' "$LAB_DIR/a.log")" 1
ip -n "${LAB_PREFIX}fabric" link set a-out up
ok "the pair is whole again" is_protected
ok "and the role stays" remains b
ok "the same with the port itself down" ip -n "${LAB_PREFIX}b" link set b-in down
ok "the other node is primary" await a role primary
ip -n "${LAB_PREFIX}b" link set b-in up
ok "and the pair is whole" is_protected
wait $fetch
is "the download is intact" "$? $(sha256sum <"$work/got" | cut -d' ' -f1)" "0 $(awk '{ print $2 }' "$work/sums")"

# A port of the primary whose MTU is smaller than the peer's drops what is longer: as one without carrier.
sleep 1.2 # hold_down_s
date +%s%N >"$work/down"
ip -n "${LAB_PREFIX}a" link set a-out mtu 1400
ok "the standby becomes primary when a port of the primary has a smaller MTU" await b role primary
diag "ms from the smaller MTU to the new primary: $(took b "$work/down")"
is "by a planned handover" "$(field b takeover.reason)" planned
ok "it is told why" says "(a: port outside: MTU 1400, expected 1500 as node b has)"
ip -n "${LAB_PREFIX}a" link set a-out mtu 1500
ok "the pair is whole again" is_protected
ok "and the role stays" remains b
sleep 1.2
ok "back to a, from where the rest begins" us drain
is_protected

# Things that are tracked.
touch "$work/bad-a"
ok "a script that fails moves the role" leads b
ok "it is named" says "10 (a: script $work/check: exit 1)"
rm "$work/bad-a"
ok "well again" says "counter 0 (b) 0 (a)"
ok "the role stays" remains b
touch "$work/hang-b"
ok "a script that hangs is killed, and moves it" leads a
rm "$work/hang-b"
routed a del
ok "a route that is gone moves it" leads b
routed a add
ip -n "${LAB_PREFIX}server" link set eth0 down
ok "a gateway that neither node reaches fails for both" says "counter 20 (b: gateway 203.0.113.100: does not answer ARP) 20 (a: gateway 203.0.113.100: does not answer ARP)"
ok "and moves nothing" remains b
ip -n "${LAB_PREFIX}server" link set eth0 up
ok "it answers again" says "counter 0 (b) 0 (a)"

# A port that has carrier, and whose frames the switch drops: within 1 s the nodes find that they do not hear each other by it,
# and cannot know whose fault that is. Half a second later the gateway by that port, which answers one of them alone, tells.
passes() { ip netns exec "${LAB_PREFIX}fabric" bridge link set dev "$1-in" state "$2"; } # NODE 0|3: disabled, forwarding
deaf() { # NODE OTHER
    passes "$1" 0
    ok "a port of $1 that passes nothing: the gateway by it moves the role" leads "$2"
    ok "it is named" says "counter 0 ($2) 15 ($1: gateway 10.0.0.100: does not answer ARP)"
    ok "the pair is not whole" says "port inside: does not hear node"
    passes "$1" 3
    ok "and whole again" is_protected
}
deaf b a
deaf a b

# A thing that flaps on both nodes in turn: the role moves at most once in hold_down_s.
before=$(($(moves a) + $(moves b))) start=$SECONDS
for _ in 1 2 3 4; do
    touch "$work/bad-b"; sleep 1; rm "$work/bad-b"
    touch "$work/bad-a"; sleep 1; rm "$work/bad-a"
done
ok "flapping is over" says " 0 (b)"
flapped=$(($(moves a) + $(moves b) - before))
ok "a flapping thing moved the role, at most once in hold_down_s ($flapped times in $((SECONDS - start)) s)" test $flapped -ge 1 -a $flapped -le $((SECONDS - start + 1))
ok "PROTECTED" is_protected

# Pins and holds.
is "a pin of no node" "$(us pin c 2>&1; echo $?)" "$(printf 'understudy pin: no node "c" in this file, expected a or b (see understudy --help)\n64')"
ok "pin" us pin b
ok "the pinned node is primary" leads b
ok "both know" says "pinned to b since "
touch "$work/bad-b"
ok "what fails does not move the role" says "counter 10 (b: script $work/check: exit 1) 0 (a); the role stays: an operator has pinned the role to this node"
ok "which stays" remains b
rm "$work/bad-b"
kill -KILL "$(field b pid)"
ok "the other node takes over from one that dies" await a role primary
is "and knows of the pin" "$(field a authority.pinned_to)" b
"$lab" start b
ok "the node that was dead learns it again, and gets the role" leads b
is "hold" "$(us hold)" "hold: the role is held; both nodes know it"
kill -KILL "$(field a pid)"
"$lab" start a
ok "PROTECTED, after the standby was killed" is_protected
touch "$work/bad-b"
ok "held, as both know" says "the role stays: an operator holds the role where it is"
is "unpin" "$(us unpin)" "unpin: the role is free; both nodes know it"
ok "and what fails moves the role" leads a
rm "$work/bad-b"

# Hooks: one that takes all, and three that take nothing, under which nothing waited.
is "the command was told of every takeover of b, in the order of the log" \
    "$(jq -r 'select(.event == "takeover") | .message' "$work/hooks/b" | sort | uniq -c)" \
    "$(grep -a ' takeover ' "$LAB_DIR/b.log" | sed 's/.* b: //' | sort | uniq -c)"
is "the others wait" "$(field a 'hooks | map(.waiting > 0) | map(tostring) | join(" ")')" "false true true true"

# Back to the node that the file prefers.
kill -KILL "$(field b pid)"
kill -KILL "$(field a pid)"
configure "hold_down_s: 1" "prefer: b" "failback: { after: 2 }"
"$lab" start a
"$lab" start b
ok "the preferred node gets the role when the pair has been well for so long" leads b
