#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another node takes a standby's place, and then a dead one's, with a real etcd: clients keep their connections, and who was
# removed stays so, whatever it remembers and whoever is gone when it comes back.
export LAB_SPARES="c"
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
plan 49

LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
for n in a b c; do "$lab" start $n; done
ok "the pair is PROTECTED" is_protected || exit 1
ok "the spare waits" await c state JOINING
is "and is no member" "$(field c member)" false
ok "a has heard it" await a visitor.node c
is "a spare that waits is not one that was removed" "$(field a former_member.count)" 0
is "the pair are a and b" "$(field a members | jq -c .)" '["a","b"]'
timeout 300 "$UNDERSTUDY" watch -c "$pair" >"$work/watch" 2>&1 9>&- &
watcher=$!
soon grep -q "watching node c" "$work/watch" # what c says from here on is shown
probing 7007 4

# ── another standby, while the one there is well ─────────────────────────────────────────────────

refused() { us re-pair "$@" 2>&1 >/dev/null | tail -n 1; }
is_like "in another view than is expected nothing happens" "$(refused c --view 7)" "*another view than the command expects"
is_like "a node that the file does not have is refused" "$(refused x)" "*no node \"x\" in this file, expected a, b or c*"
is_like "a primary is not its own standby" "$(refused a -n a)" "*expected the name of another node"
is_like "a standby takes nobody" "$(refused c -n b)" "*only a primary gets another standby"
ok "c takes b's place" us re-pair c --view 1
ok "the pair is PROTECTED" is_protected
is "it is a and c, in the next view" "$(field a 'members | tostring') $(field a view)" '["a","c"] 2'
is "c is ready" "$(field c state)" READY
ok "b knows that it is no member" await b member false
is "what it had is gone" "$(field b state)" JOINING
ok "a says that b comes by" await a visitor.node b
ok "once more is no harm" us re-pair c --view 1
is "the view is the same" "$(field a view)" 2

ip -n "${LAB_PREFIX}fabric" link set c-in down
named() {
    local left=$(polls) said
    until said=$(field a not_whole) && [[ $said = *"node c"* ]]; do
        poll || { echo "$said"; return 1; }
    done
}
ok "a says of whose data port it is that carries nothing" named
ip -n "${LAB_PREFIX}fabric" link set c-in up
ok "the pair is PROTECTED" is_protected

# A removed node whose disk is of another shard believes nobody that it was removed. It comes again and again, as its unit
# starts it.
kill -KILL "$(field b pid)"
printf 'understudy view 9\nshard %032x of a and b\n' 77 >"$LAB_DIR/b/b.view"
former=$(field a former_member.count)
"$lab" start b
has_come() { [ "$(field a former_member.node)" = b ] && [ "$(field a former_member.view)" = 9 ] && [ "$(field a former_member.count)" -gt "$former" ]; }
heard() {
    local left=$(polls)
    until has_come; do
        poll || { field a former_member; return 1; }
    done
}
ok "a hears of a node that was removed and says that it is a member" heard
ended() { [ -z "$(ip netns pids "${LAB_PREFIX}b")" ]; }
soon ended
rm "$LAB_DIR/b/b.view"
"$lab" start b
ok "b is a spare" await b member false

ok "watch shows what c said as it became a member" soon grep -q '^[^ ]* *[a-z]* *[^ ]* *c.*READY' "$work/watch"
kill -TERM $watcher
wait $watcher

# ── a death, and another node in the dead one's place ────────────────────────────────────────────

kill -KILL "$(field a pid)"
ok "a dies: c goes on" await c state SOLO
ok "b takes a's place" us re-pair b -n c
ok "the pair is PROTECTED" is_protected
is "it is b and c" "$(field c 'members | tostring')" '["b","c"]'
"$lab" start a
ok "a comes back, and is no member" await a member false
is "it holds nothing" "$(field a state)" JOINING

# ── asleep, while others take its place, and they are gone when it wakes ─────────────────────────

sleeper=$(field c pid)
kill -STOP "$sleeper"
ok "c sleeps: b goes on" await b state SOLO
ok "a takes its place" us re-pair a -n b
ok "the pair is PROTECTED" await b state PROTECTED
kill -KILL "$(field b pid)"
ok "b dies: a goes on" await a state SOLO
last=$(field a pid)
kill -STOP "$last"
kill -CONT "$sleeper"
await c stale null # until its threads have run it says what it was
ok "c wakes while nobody speaks: it releases nothing" quiet c
ok "it learns from the arbiter that it is no member" await c member false
kill -CONT "$last"
asks() { [ "$(field a '| .arbiter | .answers and .answered_ms < 4000')" = true ]; } # it slept for longer: since it woke
soon asks
ok "a goes on" await a state SOLO
sleeper=$(field c pid)
kill -STOP "$sleeper" # and is asked for while it sleeps: its view begins, and it is not ready
us re-pair c -n a >/dev/null 2>&1 9>&- &
asked=$!
ok "c's view begins while it sleeps" await a 'members[1]' c
ok "who waits for c holds up no other command" timeout 25 "$UNDERSTUDY" pin a -n a -c "$pair"
kill -CONT "$sleeper"
wait $asked
is "c is a's standby" $? 0
us unpin -n a >/dev/null
ok "the pair is PROTECTED" is_protected
ok "a drill knows that the pair are a and c" us drill planned --no-probe --repeat 2
ok "the pair is PROTECTED" is_protected

# ── no arbiter ───────────────────────────────────────────────────────────────────────────────────

view=$(field a view)
end_etcd
is_like "etcd dies, and at once no node takes another one's place" "$(refused b -n a)" "*the arbiter does not answer*"
ok "status says so" await a arbiter.answers false
is "and the pair is as it was" "$(is_protected && field a 'members | tostring') $(field a view)" "[\"a\",\"c\"] $view"
probing_ends
is "nothing that clients saw is contradicted" "$(seen .contradicted)" 0
kill -KILL "$(field c pid)"
told() {
    local left=$(polls)
    until us incidents -o json | jq -e '.incidents[] | select(.node == "c")' >/dev/null; do
        poll || { us incidents; return 1; }
    done
}
ok "c dies, and incidents has it" told
