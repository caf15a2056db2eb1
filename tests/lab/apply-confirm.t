#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A change that can be taken back, on two nodes with files of their own: a dry run changes nothing and says what would
# change; an apply that nobody confirms goes back by itself on both, also when the successor has to do it; one that is
# confirmed stays; and a set of before comes back by its number. Both nodes keep the same sets, with time and user. Two bugs
# planted in nodes show that these rows see a wait that is lost: one not written to the disk, and one not heard of.
. "$(dirname "$0")/lib.sh"
need_lab
planted=$BUILD/understudy-planted
[ -x "$planted" ] || skip_all "understudy-planted is not built"
plan 58

mine=$LAB_DIR/pair.yaml theirs=$work/b/pair.yaml
start() { # NODE [PLANT]
    local file=$mine program=$UNDERSTUDY
    [ "$1" = a ] || file=$theirs
    [ -z "$2" ] || program=$planted
    UNDERSTUDY_PLANT=$2 ip netns exec "$LAB_PREFIX$1" setsid nohup "$program" run -c "$file" -n "$1" </dev/null >>"$work/$1.log" 2>&1 &
    eval "$1=\$!"
}
rule() { echo "deny out tcp from any to any port $1" | cat - "$work/rules.first" >"$LAB_DIR/firewall.rules"; }
dies() { kill -KILL "$(field "$1" pid)" && wait "${!1}" 2>/dev/null; } # NODE
is_field() { [ "$(field "$1" "$2")" = "$3" ] || { field "$1" "$2"; return 1; }; } # NODE PATH VALUE
# The first rule of a node's chain, as it runs.
runs() { us show -n "$1" firewall -o json 2>/dev/null | jq -r '[.rows[] | select(.rule == "1")][0].action'; }
same() { cmp "$LAB_DIR/firewall.rules" "$work/b/firewall.rules" && cmp "$LAB_DIR/firewall.rules" "$1"; }
# But for the sets of their starts, each of which is the node's own.
history() { us history -n "$1" -o json | jq -c '[.sets[] | select(.how != "start") | [.set, .time, .by, .how, .chain]]'; }
same_history() { [ "$(history a)" = "$(history b)" ] || { history a; history b; return 1; }; }
newest() { us history -n "$1" -o json | jq -r '.sets[0] | "\(.how), \(.by), \(.confirm_s)"'; }
waits() { local s; s=$(field "$1" chain.confirm_s) && [ "$s" != null ] && [ "$s" -le "$2" ] && [ "$s" -gt 0 ] || { echo "$s"; return 1; }; }
refusal() { ! us "${@:2}" >"$work/refusal" 2>&1 && grep -q -- "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }; }

a= b=
release() {
    local p
    [ $bad = 0 ] || diag "$(tail -n 30 "$work/a.log" "$work/b.log")"
    for p in $a $b; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
    cleanup
}
trap release EXIT

"$lab" up --no-nodes || exit 1
mkdir -p "$work/b"
sed -i 's/^chain:$/chain: { file: chain.yaml }\nmoved:/; s/^drill:$/push: { permit: true }\ndrill:/' "$mine"
{ echo 'chain:'; sed -n '/^moved:/,/^protect:/p' "$mine" | sed '1d;$d'; } >"$LAB_DIR/chain.yaml"
sed -i '/^moved:/,/^protect:/{/^protect:/!d}' "$mine"
cp "$mine" "$theirs"
cp "$LAB_DIR/chain.yaml" "$LAB_DIR/firewall.rules" "$LAB_DIR/pair.key" "$work/b"
cp "$LAB_DIR/firewall.rules" "$work/rules.first"
first=$(sed -n 's/^\(allow\|deny\) .*/\1/p' "$work/rules.first" | head -n 1)
start a
start b wait-unwritten
ok "PROTECTED" is_protected
ok "the set of the start is kept on both" soon eval '[ "$(newest a) $(newest b)" = "start, , null start, , null" ]'

rule 99
us apply --dry-run >"$work/out" 2>&1
is "a dry run names the NF and what changes" "$? $(grep -A1 '^firewall .*changes .*state kept' "$work/out" | grep -c 'rules: these lines go (-) and come (+)') $(grep -c '^nat .*stays .*state kept' "$work/out")" "0 1 1"
is "and the lines, as diff has them" "$(sed -n 's/^        \([-+]\) [0-9]*: /\1/p' "$work/out")" \
    "$(diff "$work/rules.first" "$LAB_DIR/firewall.rules" | sed -n 's/^< /-/p; s/^> /+/p')"
is "and how long packets wait" "$(grep -c 'packets would wait while the state moves, [0-9]* to [0-9]* ms' "$work/out")" 1
is "and no warning" "$(grep -c warning: "$work/out")" 0
sed -i 's/inside: \[10.0.0.0\/8\]/inside: [10.0.0.0\/8], max_flows_per_host: 20001/' "$LAB_DIR/chain.yaml"
is_like "a dry run warns as check does" "$(us apply --dry-run 2>&1 >/dev/null)" "apply: warning: nf 1, nat: max_flows_per_host 20001 is above max_flows 20000: no host is limited"
sed -i 's/, max_flows_per_host: 20001//' "$LAB_DIR/chain.yaml"
is "and changes nothing" "$(runs a) $(field a chain.changes) $(grep -c 99 "$work/b/firewall.rules")" "$first 0 0"
sed -i 's/{ monitor: {/{ rate_limiter: { pps: 1000000, burst_packets: 1000000 } }, { monitor: {/' "$LAB_DIR/chain.yaml"
is "an NF that would begin" "$(us apply --dry-run | grep -c '^rate_limiter .*begins .*state empty')" 1
sed -i 's/{ rate_limiter: {[^}]*} }, //' "$LAB_DIR/chain.yaml"
ok "what apply refuses a dry run refuses" refusal 'expected a number from 10 to 86400' apply --confirm 5
ok "nothing waits: confirm says so" refusal 'no change waits for a confirm' confirm

# Nobody confirms it, and both nodes die meanwhile: the standby first, so that of two equal views node a's is the primary's.
us apply --confirm 30 >"$work/out" 2>&1
is "a change that waits for a confirm" "$? $(grep -c 'it goes back in [0-9]* s, unless `confirm` is said' "$work/out")" "0 1"
is "runs" "$(runs a)" deny
ok "both know that it waits, on the primary" waits a 30
ok "and on the standby" soon waits b 30
ok "status says so" eval 'us status | grep -q "the chain, changed by $(id -un), goes back in"'
ok "another apply is refused meanwhile" refusal 'waits for a confirm' apply
soon grep -q apply "$LAB_DIR/a/a.sets/waits"
dies b
dies a
start b
ok "planted, wait-unwritten: a node that begins again alone does not know" soon is_field b chain.confirm_s null
start a
ok "the disk of the other one has it" soon waits a 30
ok "which tells its peer when they meet" soon waits b 30
ok "it goes back by itself" soon eval '[ "$(newest a)" = "went back, , null" ]'
ok "PROTECTED" is_protected
is "as it was" "$(runs a)" "$first"
ok "and so are the files, on both" soon same "$work/rules.first"
ok "digests are equal" equal
ok "both have the same history" soon same_history

# The primary dies meanwhile: its successor goes back.
rule 98
ok "another one" us apply --confirm 30
dies a
ok "a takeover" await b role primary
ok "the successor carries the deadline on" waits b 30
is "and has the chain that waits" "$(runs b)" deny
start a
ok "the other one is back, with that chain" is_protected
ok "it knows how long it waits" soon waits a 30
ok "it goes back by itself" soon eval '[ "$(newest b)" = "went back, , null" ]'
ok "PROTECTED" is_protected
is "as it was" "$(runs b)" "$first"
ok "and so are the files, on both" soon same "$work/rules.first"

# Confirmed, by the new primary; and back by a person.
echo "deny out tcp from any to any port 97" | cat - "$work/rules.first" >"$work/b/firewall.rules"
pair=$theirs
ok "a change by the successor" us apply --confirm 60
is "confirmed" "$(us confirm 2>&1)" "confirm: node b: the chain stays; both nodes know it"
is "and nothing waits on either" "$(field a chain.confirm_s) $(field b chain.confirm_s)" "null null"
cp "$work/b/firewall.rules" "$work/rules.97"
ok "its files are on both" soon same "$work/rules.97"
ok "the set before comes back" us rollback 1
is "as it was" "$(runs b)" "$first"
ok "and so are the files, on both" soon same "$work/rules.first"
ok "both have the same history" soon same_history
us watch --past --event command -n b >"$work/events" 2>/dev/null
is "who did it" "$(sed "s/.* b: //" "$work/events" | tail -n 3)" "$(printf '%s: apply --confirm 60: done\n%s: confirm: done\n%s: rollback 1: done' "$(id -un)" "$(id -un)" "$(id -un)")"

# The primary dies, and its successor hears that the change stays: the one that was away learns it.
sed 's/port 97/port 96/' "$work/rules.97" >"$work/b/firewall.rules"
ok "another one" us apply --confirm 60
soon grep -q apply "$LAB_DIR/b/b.sets/waits" # its disk has it: the thread of files writes it behind the answer
dies b
pair=$mine
ok "a takeover" await a role primary
is "confirmed at the successor" "$(us confirm 2>&1)" "confirm: node a: the chain stays; node b hears of it when they meet"
start b wait-unheard
ok "PROTECTED" is_protected
ok "planted, wait-unheard: a node that does not listen still waits" waits b 60
dies b
start b
ok "PROTECTED" is_protected
ok "one that listens knows that the chain stays" soon is_field b chain.confirm_s null

# Confirmed while the other one is away, whose disk says that it waits; then both begin again.
rule 95
ok "another one" us apply --confirm 60
soon grep -q apply "$LAB_DIR/a/a.sets/waits" # the disks have it; until then a's has the confirm of before
soon grep -q apply "$LAB_DIR/b/b.sets/waits"
dies b
is "confirmed" "$(us confirm 2>&1)" "confirm: node a: the chain stays; node b hears of it when they meet"
soon grep -q confirm "$LAB_DIR/a/a.sets/waits"
dies a
start a
start b
ok "both begin again: PROTECTED" is_protected
ok "who was told knows it still: nothing waits" soon is_field a chain.confirm_s null
ok "nor on the one that was away" soon is_field b chain.confirm_s null
is "the chain stays" "$(runs a)" deny
