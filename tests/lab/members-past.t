#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Nodes that were members once, with what they remember: a standby that slept while its pair was healed, two of an old view
# that come back together, and the files of a shard that was deleted and made again under its name. With a real etcd, which
# is cut off from those who come back.
export LAB_SPARES="c d" LAB_TIMING="detect_ms: 500, start_alone_ms: 1000"
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
plan 38

LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
for n in a b c d; do "$lab" start $n; done
ok "the pair is PROTECTED" is_protected || exit 1
keep() { mkdir -p "$work/$1" && cp "$LAB_DIR/a/a.view" "$LAB_DIR/b/b.view" "$work/$1"; }
ok "both members have a view on their disk" keep old
probing 7007 4

# A re-pair waits for 30 s by the clock until the pair is PROTECTED, which a busy machine may need longer for: the row behind it judges that.
takes() { # NODE AT
    us re-pair "$1" -n "$2" >"$work/repair" 2>&1 || grep -q "view [0-9]* has begun with node $1, which is not ready yet" "$work/repair" ||
        { cat "$work/repair"; return 1; }
}
is_whole() { # AT
    await "$1" state PROTECTED || { for n in a b c d; do echo "$n $(field "$n" '| [.state, .view, .why, .peer.node, .link] | tostring')"; done; return 1; }
}

# ── the old standby sleeps, and etcd is cut off from it ──────────────────────────────────────────

old=$(field b pid)
kill -STOP "$old"
ok "b sleeps: a goes on" await a state SOLO
ok "c takes its place" takes c a
ok "the pair is PROTECTED" is_whole a
kill -KILL "$(field a pid)"
ok "a dies: c goes on" await c state SOLO
last=$(field c pid)
way b down
kill -STOP "$last"
kill -CONT "$old"
await b stale null # until its threads have run it says what it was
ok "b wakes, hears nobody, and etcd does not answer it: it releases nothing" quiet b
is "it is no member yet, as far as it knows" "$(field b member)" true
kill -CONT "$last"
ok "c goes on" await c state SOLO
ok "b learns from c that it is no member" await b member false
is "what it had is gone" "$(field b state)" JOINING
way b up

# ── both members of the first view come back together, as their disks were then ──────────────────

ok "d takes a's place" takes d c
ok "c and d are PROTECTED" is_whole c
is "it is c and d" "$(field c 'members | tostring')" '["c","d"]'
view=$(field c view)
away=$(field b guardian_pid)
kill -KILL "$(field b pid)"
[ "$away" = null ] || kill -KILL "$away" 2>/dev/null
both="$(field c pid) $(field d pid)"
come_back() {
    cp "$work/old/a.view" "$LAB_DIR/a/" && cp "$work/old/b.view" "$LAB_DIR/b/" && "$lab" start a && "$lab" start b && soon up a && soon up b
}
up() { [ -n "$(field "$1" role)" ]; }
kill -STOP $both
ok "a and b come back with the disks of view 1" come_back
ok "c and d are silent, etcd answers: neither begins" quiet a b
for n in a b; do kill -KILL "$(field $n pid)"; way $n down; done
ok "and once more" come_back
ok "etcd cut off from both: neither begins" quiet a b
kill -CONT $both
for n in a b; do way $n up; done
releasing() { local left=$(polls); until releases c || releases d; do poll || return 1; done; }
ok "one of c and d goes on" releasing
ok "a learns that it is no member" await a member false
ok "b learns that it is no member" await b member false
paired() { local left=$(polls); until [ "$(field c state) $(field d state)" = "PROTECTED READY" ] || [ "$(field d state) $(field c state)" = "PROTECTED READY" ]; do poll || { echo "$(field c why); $(field d why)"; return 1; }; done; }
ok "c and d are a pair" paired
is "of one view" "$(field c view)" "$(field d view)"
probing_ends
is "nothing that clients saw is contradicted" "$(seen .contradicted)" 0

# ── the shard is deleted, and made again under its name ──────────────────────────────────────────

shard=$(field c shard)
for n in a b c d; do kill -KILL "$(field $n pid)"; done
sleep 1
in_etcd del --prefix "" >/dev/null
rm -f "$LAB_DIR/a/a.view" "$LAB_DIR/b/b.view"
"$lab" start a
ok "a begins anew, alone" await a state SOLO || exit 1
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
for n in c d; do "$lab" start $n; done
soon up c
soon up d
ok "c and d come with the files of the shard that was: they release nothing" quiet c d
as_ever() { [ "$(field a state) $(field b state)" = "PROTECTED READY" ]; }
ok "nobody else has noticed" soon as_ever
kill -KILL "$(field a pid)"
ok "a dies: b goes on, since the arbiter knows this shard" await b state SOLO
ok "c and d still release nothing" quiet c d
"$lab" start a
ok "the pair is PROTECTED" is_protected
is_like "c says whose the arbiter is" "$(field c why)" "the arbiter keeps shard *, and this node's view is of shard $shard"
kill -KILL "$(field c pid)"
kill -KILL "$(field d pid)"
rm "$LAB_DIR/d/d.view"
"$lab" start d
ok "d without its file is a spare" await d member false
ok "and takes a's place" takes d b
ok "the pair is PROTECTED" is_whole b
is_like "it is a shard of its own" "$(field b shard)" "[0-9a-f]*[0-9a-f]"
differs() { [ "$(field b shard)" != "$shard" ]; }
ok "and not the one that was" differs
