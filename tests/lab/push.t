#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each node has files of its own, in two directories: a changed chain's files come to the standby by the link, where
# its file permits it, and stand in place of what was there; a standby that missed the change gets them by `push`.
. "$(dirname "$0")/lib.sh"
need_lab
plan 24

mine=$LAB_DIR/pair.yaml theirs=$work/b/pair.yaml
start_b() {
    ip netns exec "${LAB_PREFIX}b" setsid nohup "$UNDERSTUDY" run -c "$theirs" -n b </dev/null >>"$work/b.log" 2>&1 &
    b=$!
}
stop_b() { kill "$b" 2>/dev/null; wait "$b" 2>/dev/null; }
# The pair file without its rules' line, so that a difference of nodes' own settings shows.
in_both() { sed -i "$1" "$mine" && sed -i "$1" "$theirs"; }

"$lab" up --no-nodes || exit 1
mkdir -p "$work/b"
sed -i 's/^chain:$/chain: { file: chain.yaml }\nmoved:/' "$mine"
{ echo 'chain:'; sed -n '/^moved:/,/^protect:/p' "$mine" | sed '1d;$d'; } >"$LAB_DIR/chain.yaml"
sed -i '/^moved:/,/^protect:/{/^protect:/!d}' "$mine"
cp "$mine" "$theirs"
cp "$LAB_DIR/chain.yaml" "$LAB_DIR/firewall.rules" "$LAB_DIR/pair.key" "$work/b"
ok "the file is right" us check
"$lab" start a
start_b
ok "PROTECTED" is_protected
echo 'deny out tcp from any to any port 99' | cat - "$LAB_DIR/firewall.rules" >"$work/rules" && cp "$work/rules" "$LAB_DIR/firewall.rules"
us apply >"$work/out" 2>&1
is "without the standby's permit it is refused" "$? $(grep -c 'push: {permit: true}' "$work/out")" "1 1"
is "and nothing is written there" "$(head -n 1 "$work/b/firewall.rules" | grep -c 99) $(ls -A "$work/b" | grep -c push)" "0 0"
ok "PROTECTED as ever" us status
cp "$work/b/firewall.rules" "$work/rules.first"

stop_b
in_both 's/^drill:$/push: { permit: true }\ndrill:/'
cp "$work/b/firewall.rules" "$LAB_DIR/firewall.rules"
start_b
ok "PROTECTED, with a standby that permits it" is_protected
cp "$work/rules" "$LAB_DIR/firewall.rules"
ok "a rule is added" us apply
ok "the standby has the file" cmp "$LAB_DIR/firewall.rules" "$work/b/firewall.rules"
ok "and the one before beside it" cmp "$work/rules.first" "$work/b/firewall.rules.before"
is "nothing is left over" "$(ls -A "$work/b" | grep -c '^.understudy-push')" 0
ok "digests are equal" us verify

stop_b
ok "without its standby" await 20 a state SOLO
sed -i 's/{ monitor: {/{ rate_limiter: { pps: 1000000, burst_packets: 1000000 } }, { monitor: {/' "$LAB_DIR/chain.yaml"
ok "the chain is changed" us apply
is "it is there" "$(field a 'nfs.rate_limiter != null')" true
start_b
sleep 3
is "the standby does not fit, and stays" "$(kill -0 "$b" 2>/dev/null && echo yes) $(field a state)" "yes SOLO"
ok "its files are pushed" us push
ok "PROTECTED" is_protected
ok "the standby has the file" cmp "$LAB_DIR/chain.yaml" "$work/b/chain.yaml"
ok "and the one before beside it" grep -q monitor "$work/b/chain.yaml.before"
is "which has no limiter" "$(grep -c rate_limiter "$work/b/chain.yaml.before")" 0
ok "digests are equal" us verify
ok "again: nothing is written" us push
stop_b
start_b
ok "it starts with what was pushed" is_protected
sed -i 's/lanes: 1/lanes: 1 # as ever/' "$LAB_DIR/chain.yaml"
ok "a comment is no change of the chain, and travels" us push
stop_b
