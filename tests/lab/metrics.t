#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Metrics of a pair: what is scraped is what status says, through a takeover. The shipped alerts and the dashboard ask for
# what there is. Bad requests, and clients that say nothing, keep nobody from being answered.
. "$(dirname "$0")/lib.sh"
need_lab
command -v promtool >/dev/null || skip_all "promtool is not installed"
plan 29

at=127.0.0.1:9470
export LAB_TIMING="detect_ms: 500" # a busy machine is to raise no false alarm of its own
export LAB_NODE="mbufs: 32768, memory_mb: 512, realtime: true, metrics: $at"
in_a() { "$lab" exec a timeout 20 "$@"; }
scrape() { "$lab" exec "$1" curl -s --max-time 10 "http://$at/metrics"; } # NODE
code() { in_a curl -s -o /dev/null -w '%{http_code}' "$@"; }
value() { awk -v metric="$2" '$1 == metric { print $2 }' "$work/$1"; } # NODE METRIC{LABELS}

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "packets pass" "$lab" exec client ping -q -c 20 -i 0.01 203.0.113.100

# ── values ───────────────────────────────────────────────────────────────────────────────────────

# Whatever counts packets stands still between the two readings: only pings were sent. What changes is not compared.
same() { # NODE METRIC{LABELS} PATH
    local status
    status=$(field "$1" "$3")
    [ "$(value "$1" "$2")" = "$status" ] || { echo "$2 is '$(value "$1" "$2")', .$3 is '$status'"; return 1; }
}
check_values() { # NODE
    scrape "$1" >"$work/$1" || return
    same "$1" understudy_view view &&
        same "$1" 'understudy_received_packets_total{lane="0"}' 'lanes[0].received' &&
        same "$1" 'understudy_replayed_packets_total{lane="0"}' 'lanes[0].replayed' &&
        same "$1" 'understudy_lane_waits_total{lane="0",reason="hold_full"}' 'lanes[0].hold_full' &&
        same "$1" 'understudy_nf_events_total{nf="nat",counter="translated_outward"}' 'nfs.nat.translated_outward' &&
        same "$1" 'understudy_resyncs_total{outcome="done"}' resync.done &&
        same "$1" understudy_guardian_pid guardian_pid &&
        same "$1" understudy_takeover_seconds_count takeovers.count &&
        same "$1" understudy_link_connects_total link.connects
}
for node in a b; do
    ok "node $node: metrics are what status says" check_values $node
    ok "node $node: promtool has nothing to say" test -z "$(promtool check metrics <"$work/$node" 2>&1)"
done
is "the roles" "$(value a 'understudy_role{role="primary"}') $(value b 'understudy_role{role="primary"}')" "1 0"
is "the states" "$(value a 'understudy_state{state="PROTECTED"}') $(value b 'understudy_state{state="READY"}')" "1 1"
ok "the NAT translated the pings on both" test "$(value a 'understudy_nf_events_total{nf="nat",counter="translated_outward"}')" -ge 20 \
    -a "$(value b 'understudy_nf_events_total{nf="nat",counter="translated_outward"}')" -ge 20
is "the version is the program's" "$(value a "understudy_build_info{version=\"$("$UNDERSTUDY" --version | cut -d' ' -f2)\"}")" 1

no_capability() { ! grep -E '^Cap(Prm|Eff):.*[1-9a-f]' /proc/"$(field a pid)"/task/*/status; }
ok "no thread of the node has a capability" no_capability

# ── alerts and dashboard ─────────────────────────────────────────────────────────────────────────

ok "the rules are well formed" promtool check rules "$root/examples/alerts.yml"
ok "each alert is raised when it should be, and not before" promtool test rules "$root/tests/lab/alerts.test.yml"
every_alert_is_tested() {
    local name bad=0
    for name in $(sed -n 's/.*- alert: //p' "$root/examples/alerts.yml"); do
        grep -q "\<$name\>" "$root/tests/lab/alerts.test.yml" || { echo "$name is in no test"; bad=1; }
        grep -q "\`$name\`" "$root/docs/operating.md" || { echo "$name is not in operating.md"; bad=1; }
    done
    return $bad
}
ok "each alert has a test and its line in the docs" every_alert_is_tested
expressions() {
    sed -n 's/^ *expr: //p' "$root/examples/alerts.yml"
    jq -r '.panels[].targets[].expr' "$root/examples/dashboard.json"
}
only_what_is_there() {
    local word bad=0
    [ "$(expressions | wc -l)" -ge 28 ] || { echo "too few expressions are found"; return 1; }
    for word in $(expressions | grep -oE 'understudy_[a-z_]+'); do
        grep -qE "^# TYPE ${word%_bucket} |^$word " "$work/a" || { echo "$word is no metric"; bad=1; }
    done
    # label="value" of each; a value with | is several.
    for word in $(expressions | grep -oE '\<(role|state|protection|outcome|mode|spent|reason)=~?"[a-zA-Z_|]+"' | grep -v '^mode'); do
        for choice in $(cut -d'"' -f2 <<<"$word" | tr '|' ' '); do
            grep -qE "[{,]${word%%[=~]*}=\"$choice\"" "$work/a" || { echo "no ${word%%[=~]*} is $choice"; bad=1; }
        done
    done
    return $bad
}
ok "alerts and dashboard ask for metrics and labels that there are" only_what_is_there

# ── requests ─────────────────────────────────────────────────────────────────────────────────────

url=http://$at/metrics
is "another path" "$(code "http://$at/")" 404
is "another method" "$(code -d x=1 "$url")" 405
is "a HEAD" "$(code -I "$url")" 200
is "a header that is too large" "$(code -H "X: $(head -c 20000 /dev/zero | tr '\0' x)" "$url")" 431
garbage() { in_a bash -c "exec 3<>/dev/tcp/${at/://}; head -c 100000 /dev/urandom >&3; cat <&3 >/dev/null" 2>/dev/null; true; }
ok "bytes that are no request" garbage
ok "the node is unharmed" scrape a
# 200 connections that say nothing, held by one process until it is ended.
in_a bash -c 'for i in {1..200}; do exec {fd}<>/dev/tcp/'"${at/://}"'; done 2>/dev/null; echo held; sleep 15' >"$work/idle" 2>/dev/null &
disown
held() { until [ -s "$work/idle" ]; do sleep 0.05; done; }
ok "200 idle connections are there" held
ok "a scrape is answered all the same" timeout 4 "$lab" exec a curl -sf --max-time 3 -o "$work/a" "$url"
is "and the pair is as it was" "$(field a state) $(field b state) $(field a false_alarms)" "PROTECTED READY 0"

# ── takeover ─────────────────────────────────────────────────────────────────────────────────────

ok "the primary is killed" drill kill
ok "the pair is PROTECTED again" is_protected
scraped() { # NODE METRIC{LABELS} VALUE
    scrape "$1" >"$work/$1" && [ "$(value "$1" "$2")" = "$3" ] || { echo "$2 is $(value "$1" "$2")"; return 1; }
}
ok "the other node says that it is primary" scraped b 'understudy_role{role="primary"}' 1
ok "and that it took over once" scraped b understudy_takeover_seconds_count 1
ok "node a is back, and says that it has not" scraped a understudy_takeover_seconds_count 0
diag "$(value b understudy_takeover_seconds_sum) s, $(wc -l <"$work/b") lines, $(wc -c <"$work/b") bytes"
