#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A primary that is stopped and wakes up later: replaced, fenced, standby again, and it released nothing meanwhile. A
# drill that is ended in the middle leaves no node stopped and no link down.
. "$(dirname "$0")/lib.sh"
need_lab
plan 16

ok "the pair is PROTECTED" env LAB_TIMING="detect_ms: 50" "$lab" up || exit 1
ok "hang" drill hang
is "the woken node found itself fenced" "$(drilled '.runs[0].fenced != null')" true
is "and released nothing after it was replaced" "$(drilled '.runs[0].fenced.released_after')" false
is "its last release was before that" "$(drilled '.runs[0].fenced.before_ms > 0')" true
diag "$(drilled '.runs[0].fenced | tojson')"
is "digests equal" "$(drilled '.runs[0].digests_equal')" true
is "the roles have changed" "$(field a role) $(field b role)" "standby primary"

process_state() { sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null; }

# Ends a drill once a condition holds; the victim may not stay hurt. A drill that was over before anybody looked is begun again.
end_drill() { # SIGNAL KIND CONDITION…
    local signal=$1 kind=$2 tries=0 pid=
    shift 2
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 2000 ] || { echo "$kind: nothing was hurt"; kill -KILL $pid; return 1; }
        if [ -z "$pid" ] || ! kill -0 $pid 2>/dev/null; then
            [ -z "$pid" ] || is_protected
            "$UNDERSTUDY" drill "$kind" -c "$pair" --no-probe -o json >"$work/ended.json" 2>"$work/ended.err" &
            pid=$!
        fi
        sleep 0.005
    done
    kill "-$signal" $pid
    wait $pid
    [ $? -lt 128 ] || { echo "$kind: ended by the signal"; return 1; }
}
is_stopped() { for victim in "${nodes[@]}"; do [ "$(process_state "$victim")" != T ] || return 0; done; return 1; } # whichever is primary when it begins
links_down() { for s in a b; do "$lab" exec $s ip -o link show "$s-in" | grep -q 'state DOWN' && return 0; done; return 1; }

for signal in TERM HUP; do
    nodes=("$(field a pid)" "$(field b pid)")
    ok "SIG$signal in the middle of hang" end_drill $signal hang is_stopped
    if is_stopped; then kill -CONT "$victim"; false; fi
    is "nobody is stopped, the pair is PROTECTED" "$? $(is_protected && echo yes)" "0 yes"
done
ok "SIGTERM in the middle of server-loss" end_drill TERM server-loss links_down
links_down
is "no link is down" $? 1
ok "the pair is PROTECTED again" is_protected

# ---- a standby that is stopped owes a digest ---------------------------------------------------------------------------

# Straight to the sockets: it is to be asked while the pair is PROTECTED yet, and of the node that is standby in that moment.
python3 - "$LAB_DIR" >"$work/pending.json" <<'END'
import json, os, signal, socket, sys, time

def dial(node):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{sys.argv[1]}/{node}.sock")
    return s.makefile("rw")

def ask(file, cmd):
    file.write(json.dumps({"cmd": cmd}) + "\n")
    file.flush()
    return json.loads(file.readline())

nodes = {name: dial(name) for name in "ab"}
said = {name: ask(nodes[name], "status") for name in nodes}
standby = "b" if said["b"]["role"] == "standby" else "a"

def stands(pid): # each of its threads: they take the signal one after another, and until then one may answer
    return all(open(f"/proc/{pid}/task/{t}/stat").read().rsplit(")", 1)[1].split()[0] == "T" for t in os.listdir(f"/proc/{pid}/task"))

os.kill(said[standby]["pid"], signal.SIGSTOP)
try:
    while not stands(said[standby]["pid"]):
        time.sleep(0.0005)
    print(json.dumps(ask(nodes["a" if standby == "b" else "b"], "verify") | {"standby": standby}))
finally:
    os.kill(said[standby]["pid"], signal.SIGCONT)
END
ok "who asks for it hears that the pair is not protected" grep -q '"text": "not protected' "$work/pending.json"
diag "$(cat "$work/pending.json")"
ok "the pair is PROTECTED then" await 20 "$(jq -r .standby "$work/pending.json")" state READY
