# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The table: configurations by faults; sourced, behind lib.sh. A configuration is a pair that is brought up once, with traffic through all
# its rows: TCP flows and datagrams of the prober, rounds of downloads, and one download that lasts. A row makes a fault and judges its
# own facts; after each the flows are whole, the digests equal and the pair PROTECTED.

# The configuration's name, and the server's addresses, of one family or of both, which rounds of downloads ask in turn.
configuration=
hosts=(203.0.113.100)

other() { [ "$1" = a ] && echo b || echo a; }

# ── traffic ──────────────────────────────────────────────────────────────────────────────────────

# A download of 32 MB, a piece each 200 ms at most, whose last half waits for the end of the configuration.
lasting() {
    "$lab" exec client python3 -c 'import hashlib, os, sys, time, urllib.request
answer, whole, got, over = urllib.request.urlopen("http://203.0.113.100/lasting", timeout=120), hashlib.sha256(), 0, sys.argv[1]
while data := answer.read(65536):
    whole.update(data)
    got += len(data)
    while not os.path.exists(over) and got > 16000000: # the sockets between hold far less than what is left
        time.sleep(0.01)
    if not os.path.exists(over):
        time.sleep(0.2)
print(whole.hexdigest())' "$work/over-all" >"$work/lasting.sum" 2>"$work/lasting.err"
}

# Rounds of twelve downloads, of which $work/rounds has a line each: how many were intact.
rounds() {
    local host
    while [ -e "$work/on" ]; do
        for host in "${hosts[@]}"; do
            WEB_HOST=$host web_fetch "$work" "$work/out" 12 4
            web_count "$work" intact
        done
    done >"$work/rounds"
}

traffic_begins() {
    rm -f "$work/over-all" "$work/ended"
    touch "$work/on"
    lasting & lasting=$!
    rounds 2>"$work/rounds.err" & rounding=$!
    probing 7017 4 --interval-us 20000 --flow-interval-us 20000
    answers=0
    ok "$configuration: traffic begins" goes_on
}

answered() { ask_prober && [ "$(seen .received)" -gt $((answers + 5)) ]; }
goes_on() { soon answered; }

whole() { # ROW: behind each
    ok "$configuration, $1: the pair is PROTECTED again" is_protected || return
    ask_prober
    answers=$(seen .received)
    ok "$configuration, $1: traffic goes on" goes_on
    is "$configuration, $1: four flows, none broken, nothing contradicted" "$(seen '[.flows, .flows_broken, .contradicted] | join(" ")')" "4 0 0"
    ok "$configuration, $1: digests equal" equal
}

# ── configurations ───────────────────────────────────────────────────────────────────────────────

begins() { # CONFIGURATION: LAB_* say which
    configuration=$1
    ok "$configuration: the pair is PROTECTED" "$lab" up || exit 1
}

web_begins() { # behind what a configuration's hosts need
    local listen=${hosts[0]}
    [ -e "$work/files/lasting" ] || {
        web_files "$work" 4000 200000 1000000
        "$probe" bytes 99 32000000 >"$work/files/lasting"
        lasting_sum=$(sha256sum <"$work/files/lasting" | cut -d' ' -f1)
    }
    [ ${#hosts[@]} = 1 ] || listen+=":80; listen ${hosts[1]}"
    WEB_RATE=500000 WEB_HOST=$listen ok "$configuration: a web server behind the chain" web_serve "$work" || exit 1
    traffic_begins
}

ends() {
    rm -f "$work/on"
    touch "$work/over-all"
    wait "$lasting"
    is "$configuration: the download that was under way through all rows is intact" "$? $(cat "$work/lasting.sum" "$work/lasting.err")" "0 $lasting_sum"
    wait "$rounding"
    is "$configuration: all downloads of all rounds are intact" "$(sort -u "$work/rounds") $(cat "$work/rounds.err")" "12 "
    diag "$(wc -l <"$work/rounds") rounds"
    probing_ends
    is "$configuration: no flow broken, nothing contradicted" "$(seen '.flows_broken + .contradicted')" 0
    diag "longest silence $(seen .silence_ms) ms"
    [ $bad = 0 ] || diag "$("$root/scripts/log-end" 200 "$LAB_DIR/a.log" "$LAB_DIR/b.log")"
    "$lab" down
}

# ── rows ─────────────────────────────────────────────────────────────────────────────────────────

# A drill, which has no prober of its own; what each run has to say beside equal digests.
drill_row() { # KIND TIMES
    ok "$configuration, $1: drill" drill "$1" --repeat "$2" --no-probe
    is "$configuration, $1: digests equal each time, no takeover that nobody asked for" \
        "$(drilled '[.runs[] | [.digests_equal, .false_takeovers]] | unique | tojson')" '[[true,0]]'
    diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
}

# Primaries die one after the other, each time the other one.
kill_row() { # TIMES
    local first second
    first=$(primary) second=$(standby)
    drill_row kill "$1"
    is "$configuration, kill: another node each time" "$(drilled '[.runs[].victim] | join(" ")')" \
        "$(for ((i = 0; i < $1; i++)); do ((i % 2)) && echo "$second" || echo "$first"; done | xargs)"
    is "$configuration, kill: by a certain word each time" "$(uncertain)" ""
    whole kill
}

# There and back: no probe is lost, so this one has the drill's prober. The drill fails for a lost probe as well: that alone is left to the
# row behind it, which excuses a loss that full rings explain.
there_and_back() {
    drill planned --repeat 2 ||
        jq -e '(.runs | length) == 2 and ([.runs[].failure // empty] | length > 0 and all(test("were lost in a planned handover$")))' "$work/drill.json"
}
planned_row() {
    local first
    first=$(primary)
    missed_from_now
    ok "$configuration, planned: there and back" there_and_back
    ok "$configuration, planned: no probe lost" none_lost "$(drilled '[.runs[].lost] | add')"
    is "$configuration, planned: digests equal, nothing contradicted, no flow broken" \
        "$(drilled '[.runs[] | [.digests_equal, .contradicted, .flows_broken]] | unique | tojson')" '[[true,0,0]]'
    is "$configuration, planned: the first is primary again" "$(primary)" "$first"
    whole planned
}

# Once, with all that the configuration's traffic sees of it.
handover_row() {
    local first
    first=$(primary)
    ok "$configuration, handover: drain" drain
    ok "$configuration, handover: the other one is primary" await "$(other "$first")" role primary
    whole handover
}

standby_kill_row() {
    local first
    first=$(primary)
    drill_row standby-kill 1
    is "$configuration, standby-kill: the primary stayed the primary" "$(primary)" "$first"
    whole standby-kill
}

# The victim sleeps until it was replaced, and a while longer.
hang_row() {
    local first
    first=$(primary)
    drill_row hang 1
    is "$configuration, hang: the woken node found itself fenced" "$(drilled '.runs[0].fenced != null')" true
    is "$configuration, hang: and released nothing after it was replaced" "$(drilled '.runs[0].fenced.released_after')" false
    is "$configuration, hang: its last release was before that" "$(drilled '.runs[0].fenced.before_ms > 0')" true
    diag "$(drilled '.runs[0].fenced | tojson')"
    is "$configuration, hang: the roles have changed" "$(standby)" "$first"
    whole hang
}

# The primary is stopped, its links go, then its processes: no closing packet gets out.
server_loss_row() {
    local first
    first=$(primary)
    drill_row server-loss 1
    is "$configuration, server-loss: noticed by silence" "$(drilled '.runs[0].reason')" silence
    is "$configuration, server-loss: the roles have changed" "$(standby)" "$first"
    whole server-loss
}

# ── a policy's configuration ─────────────────────────────────────────────────────────────────────

# With NAT, firewall and dpi; two kills and a handover.
policy() { # CONFIGURATION PROTECT LANES [OF NAT]
    export LAB_MODULES=$BUILD/lib/understudy/dpi.so
    export LAB_PROTECT=$2 LAB_LANES=$3
    export LAB_NFS="nat: { inside: [10.0.0.0/8], ${4:-outside: 203.0.113.1}, ports: 1024-65535, max_flows: 4000 } },
      { firewall: { rules: firewall.rules, max_flows: 40000 } }, { dpi: { heap_mb: 4, max_flows: 4000 } }, { monitor: { max_flows: 4000 }"
    begins "$1"
    web_begins
    kill_row 2
    us show dpi -o json >"$work/shown" 2>/dev/null
    ok "$1, kill: flows of HTTP are known" grep -q '"protocol": *"HTTP"' "$work/shown"
    handover_row
}
