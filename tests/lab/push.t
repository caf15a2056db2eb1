#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each node has files of its own, in two directories: a changed chain's files come to the standby by the link, where
# its file permits it, and stand in place of what was there; a standby that missed the change gets them by `push`. A
# pipe below its directory, a disk that takes nothing and a death in the midst of it hold nobody up and mix nothing.
. "$(dirname "$0")/lib.sh"
need_lab

mine=$LAB_DIR/pair.yaml theirs=$work/b/pair.yaml
start_b() {
    ip netns exec "${LAB_PREFIX}b" setsid nohup "$UNDERSTUDY" run -c "$theirs" -n b </dev/null >>"$work/b.log" 2>&1 &
    b=$!
}
stop_b() { kill "$b" 2>/dev/null; wait "$b" 2>/dev/null; }
# What was decided on is done by a thread of the standby's, soon.
gets() { soon "$@"; }
taken() { [ "$(grep -c "checked, and taken" "$work/b.log")" -ge "$1" ]; }
rule() { echo "deny out tcp from any to any port $1" | cat - "$work/rules.first" >"$LAB_DIR/firewall.rules"; }
# The pair file without its rules' line, so that a difference of nodes' own settings shows.
in_both() { sed -i "$1" "$mine" && sed -i "$1" "$theirs"; }

b= frozen=
thaw() { [ -z "$frozen" ] || fsfreeze -u "$work/b"; frozen=; }
release() { # cleanup ends the nodes
    thaw
    [ $bad = 0 ] || diag "b.log: $(tail -n 25 "$work/b.log")"
    [ -z "$b" ] || stop_b
    mountpoint -q "$work/b" && umount -l "$work/b"
    cleanup
}
trap release EXIT

"$lab" up --no-nodes || exit 1
mkdir -p "$work/b"
{ truncate -s 16M "$work/b.disk" && mkfs.ext4 -q "$work/b.disk" && mount -o loop "$work/b.disk" "$work/b" &&
    fsfreeze -f "$work/b" && fsfreeze -u "$work/b"; } 2>"$work/mount.err" ||
    skip_all "no loop mounts or no fsfreeze here: $(tail -n 1 "$work/mount.err")"
plan 48
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
ok "PROTECTED as ever" is_protected
cp "$work/b/firewall.rules" "$work/rules.first"

stop_b
await a state SOLO
in_both 's/^drill:$/push: { permit: true }\ndrill:/'
cp "$work/b/firewall.rules" "$LAB_DIR/firewall.rules"
start_b
ok "PROTECTED, with a standby that permits it" is_protected
cp "$work/rules" "$LAB_DIR/firewall.rules"
ok "a rule is added" us apply
ok "the standby gets the file" gets cmp "$LAB_DIR/firewall.rules" "$work/b/firewall.rules"
ok "and the one before beside it" cmp "$work/rules.first" "$work/b/firewall.rules.before"
ok "nothing is left over" gets [ ! -e "$work/b/.understudy-push" ]
ok "digests are equal" equal

stop_b
ok "without its standby" await a state SOLO
sed -i 's/{ monitor: {/{ rate_limiter: { pps: 1000000, burst_packets: 1000000 } }, { monitor: {/' "$LAB_DIR/chain.yaml"
us apply >"$work/out" 2>&1
is "the chain is changed, and who asks is told what is left to do" "$? $(grep -c 'node b was not connected: push the files to it once it is' "$work/out")" "0 1"
is "it is there" "$(field a 'nfs.rate_limiter != null')" true
said=$(wc -l <"$work/b.log")
start_b
differs() { [ "$(times)" -gt 0 ]; }
times() { sed -n "$((said + 1)),\$p" "$work/b.log" | grep -c 'the peer differs'; }
soon differs
sleep 3
is "the standby does not fit, and stays" "$(kill -0 "$b" 2>/dev/null && echo yes) $(field a state)" "yes SOLO"
is "and says so once" "$(times)" 1
ls -A --full-time "$work/b" >"$work/listed"
is "what a push would write there" "$(us push --diff 2>&1)" "push: node a: node b would get chain.yaml"
ok "it writes nothing" gets eval 'ls -A --full-time "$work/b" | cmp - "$work/listed"'
ok "its files are pushed" us push
ok "PROTECTED" is_protected
ok "the standby has the file" gets cmp "$LAB_DIR/chain.yaml" "$work/b/chain.yaml"
ok "and the one before beside it" grep -q monitor "$work/b/chain.yaml.before"
is "which has no limiter" "$(grep -c rate_limiter "$work/b/chain.yaml.before")" 0
ok "digests are equal" equal
ok "again: nothing is written" us push
is "it has them" "$(us push --diff 2>&1)" "push: node a: node b has the chain's files"
stop_b
await a state SOLO
start_b
ok "it starts with what was pushed" is_protected
sed -i 's/lanes: 1/lanes: 1 # as ever/' "$LAB_DIR/chain.yaml"
ok "a comment is no change of the chain, and travels" us push

mkfifo "$work/b/pipe"
cp "$LAB_DIR/chain.yaml" "$work/chain.yaml"
sed -i 's/rules: firewall.rules/rules: pipe/' "$LAB_DIR/chain.yaml"
sed 's/port 99/port 97/' "$LAB_DIR/firewall.rules" >"$LAB_DIR/pipe"
us apply >"$work/out" 2>&1
is "rules where the standby has a pipe: refused" "$? $(grep -c 'not a regular file, so it is not replaced' "$work/out")" "1 1"
ok "and it has answers" await b state READY
cp "$work/chain.yaml" "$LAB_DIR/chain.yaml"

# Its disk takes nothing for as long as an apply waits: the thread of files stands, and nobody else.
rule 98
n=$(grep -c "checked, and taken" "$work/b.log")
fsfreeze -f "$work/b" && frozen=1
us apply >"$work/out" 2>&1 &
asked=$!
while answer=$(field b state) && kill -0 $asked 2>/dev/null; do # those that came while it waited
    echo "$answer"
    sleep 0.2
done >"$work/beside"
wait $asked
is "a disk of the standby that is frozen: refused" "$? $(grep -c "no answer about the chain's files" "$work/out")" "1 1"
is "it had answers all the while" "$(sort -u "$work/beside") $(($(wc -l <"$work/beside") > 3))" "READY 1"
ok "PROTECTED as ever" is_protected
thaw
ok "after the thaw it has taken them" gets taken $((n + 1))
ok "and they are applied" us apply
ok "the standby gets the file" gets cmp "$LAB_DIR/firewall.rules" "$work/b/firewall.rules"

# Killed when the files were decided on and one of them was in its place: the next start does the rest.
stop_b
await a state SOLO
mkdir "$work/b/.understudy-push"
cp "$work/b/firewall.rules" "$work/b/.understudy-push"
: >"$work/b/.understudy-push/.decided"
cp "$work/rules.first" "$work/b/firewall.rules"
start_b
ok "a standby that was killed while it installed files fits" is_protected
ok "and has them" cmp "$LAB_DIR/firewall.rules" "$work/b/firewall.rules"
is "nothing is left over" "$(ls -A "$work/b" | grep -c '^.understudy-push')" 0

# It hears the primary by the data ports and not by the link: its right ends, and it keeps what it has. The chain changes meanwhile.
ip -n "${LAB_PREFIX}a" link set a-repl down
ok "without the link the primary goes on alone" await a state SOLO
ok "and the standby keeps its state" await b state JOINING
ok "the connection is given up" await a peer.connected false
rule 96
ok "the chain is changed" us apply
said=$(wc -l <"$work/b.log")
ip -n "${LAB_PREFIX}a" link set a-repl up
ok "the standby does not fit" soon differs
us push >"$work/out" 2>&1
is "nor does a push reach it" "$? $(grep -c 'keeps the state of the chain before.*restart it, then push' "$work/out")" "1 1"
stop_b
await a state SOLO
start_b
ok "it does once it begins again" soon us push
ok "PROTECTED" is_protected
ok "and has the file" gets cmp "$LAB_DIR/firewall.rules" "$work/b/firewall.rules"
stop_b
await a state SOLO
