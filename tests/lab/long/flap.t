#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair with the default file where processors are shared: beside a neighbour pair with `realtime: true` that carries four
# TCP flows, and 15 busy loops. Nothing fails, so each takeover is false, and each loss of the standby is a stall's. At most one takeover
# in all, at most one loss in five minutes, no request that waits for longer than a second; then a primary that is killed is
# told of by its guardian, and one that stands for a moment makes both nodes more patient. FLAP_MINUTES (30) says for how long, FLAP_BUSY how many loops.
. "$(dirname "$0")/../lib.sh"
need_lab
command -v iperf3 >/dev/null || skip_all "iperf3 is not installed"
plan 15
minutes=${FLAP_MINUTES:-30} busy=${FLAP_BUSY:-15}
pids=()

# The neighbour's lab has names of its own.
neighbour() { LAB_PREFIX=ut-flapn- LAB_DIR=$BUILD/lab-flapn "$lab" "$@"; }
end_load() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
    pids=()
}
trap 'end_load; neighbour down 2>/dev/null; cleanup' EXIT
neighbour down 2>/dev/null

# Requests one after the other, each a connection: its seconds and its answer a line.
ask_for() { # SECONDS
    "$lab" exec client timeout $(($1 + 30)) python3 - "$1" >"$work/requests" 2>"$work/asker" <<'END'
import http.client, sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    begun = time.monotonic()
    try:
        one = http.client.HTTPConnection("203.0.113.100", timeout=10)
        one.request("GET", "/0")
        answer = one.getresponse()
        what = answer.status if len(answer.read()) == 2000 else "short"
        one.close()
    except OSError as error:
        what = type(error).__name__
    print("%.4f %s" % (time.monotonic() - begun, what), flush=True)
    time.sleep(0.05)
END
}

# Lines of both logs that have EVENT and, where one is given, a state behind it.
lines() { cat "$LAB_DIR"/[ab].log | grep -cE "$1"; }

ok "the neighbour is PROTECTED" neighbour up || exit 1
export LAB_NODE="${FLAP_NODE:-mbufs: 32768, memory_mb: 512}" LAB_PROTECT="mode: auto"
ok "the pair is PROTECTED, with a default file" "$lab" up || exit 1
web_files "$work" 2000
ok "a web server behind it" web_serve "$work"
sleep 12 # it has measured
neighbour exec server iperf3 -s -D -I "$work/iperf3.pid" >/dev/null
sleep 0.5
neighbour exec client setsid iperf3 -c 203.0.113.100 -P 4 -t $((minutes * 60 + 60)) >"$work/iperf3.out" 2>&1 &
pids+=($!)
for ((i = 0; i < busy; i++)); do
    setsid sh -c 'while :; do :; done' & # each a session, and so a scheduling group, of its own, as builds of several people are
    pids+=($!)
done
sleep 2
takeovers=$(lines ' takeover +[ab]:') losses=$(lines ' standby_lost +[ab]:') degraded=$(lines ': DEGRADED')
ask_for $((minutes * 60))
takeovers=$(($(lines ' takeover +[ab]:') - takeovers)) losses=$(($(lines ' standby_lost +[ab]:') - losses))
degraded=$(($(lines ': DEGRADED') - degraded))
asked=$(wc -l <"$work/requests")
worst=$(sort -rn "$work/requests" | head -n 1)
diag "$minutes minutes: $takeovers takeovers, $losses losses of the standby, $degraded lines of DEGRADED, $asked requests, worst $worst," \
    "$(awk '$1 > 0.2' "$work/requests" | wc -l) above 200 ms"
diag "$(us status | head -n 5)"
diag "load $(cut -d' ' -f1-3 /proc/loadavg); $(tail -n 4 "$work/iperf3.out" | head -n 1)"
ok "at most one takeover, which is false" test "$takeovers" -le 1
ok "at most one loss of the standby in five minutes" test "$losses" -le $(((minutes + 4) / 5))
ok "requests were made" test "$asked" -ge $((minutes * 60))
is "each was answered" "$(awk '$2 != 200' "$work/requests" | wc -l)" 0
ok "none waited for longer than a second" awk -v w="${worst%% *}" 'BEGIN { exit !(w <= 1) }'
is_protected
ok "a kill beside all that" drill kill
ok "is told by the guardian within 20 ms" jq -e '.runs[0] | .reason == "the death notice" and .detect_ms < 20' "$work/drill.json"
diag "$(jq -c '.runs[0] | {reason, detect_ms, outage_ms}' "$work/drill.json")"
[ -z "${FLAP_KEEP:-}" ] || cp "$LAB_DIR"/[ab].log "$work/requests" "$FLAP_KEEP"
end_load

# A primary that stands for longer than silence may last, and for less than the most: taken over from while it was alive.
stand() { # NODE OTHER
    local before
    await "$2" detection.measured true || return 1
    before=$(field "$2" false_takeovers)
    python3 -c 'import os, signal, sys, time
os.kill(int(sys.argv[1]), signal.SIGSTOP); time.sleep(0.075); os.kill(int(sys.argv[1]), signal.SIGCONT)' "$(field "$1" pid)"
    sleep 1
    [ "$(field "$2" false_takeovers)" -gt "$before" ]
}
stand_until_false() { # it may stand for longer than it was told to, and then had failed: again
    local try
    for try in 1 2 3 4 5; do
        is_protected || return 1
        if [ "$(field a role)" = primary ]; then stand a b; else stand b a; fi && return 0
    done
    echo "no takeover of $try was false"
    return 1
}
more_patient() { jq -e '.damping.doubled >= 1 and .damping.left_s > 3500' <(us status -n "$1" -o json); }
ok "a primary that stood for 75 ms is taken over from, falsely" stand_until_false
ok "the successor is more patient for an hour" more_patient a
ok "and so is the other one" more_patient b
ok "status says so" grep -q 'a primary that was alive was taken over from: the shortest silence that counts is [0-9]* times as long for' <(us status)
is "both logs, too" "$(grep -l 'detection.*for an hour the shortest silence that counts here is [0-9]* times as long' "$LAB_DIR"/[ab].log | wc -l)" 2
