#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Metrics of a pair: what is scraped is what status says, through a takeover. The shipped alerts and the dashboard ask for
# what there is. Bad requests, and clients that say nothing, keep nobody from being answered.
. "$(dirname "$0")/lib.sh"
need_lab
command -v promtool >/dev/null || skip_all "promtool is not installed"
plan 34

at=127.0.0.1:9470
export LAB_TIMING="detect_ms: 500" # a busy machine is to raise no false alarm of its own
export LAB_NODE="mbufs: 32768, memory_mb: 512, realtime: true, metrics: $at, export: { udp: 127.0.0.1:4739 }"
# All NFs of the tree that keep state, so that their counters are there.
export LAB_NFS="rate_limiter: { clients: inside, pps: 1000000, burst_packets: 100000, max_clients: 1000, max_flows: 20000 } },
           { nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } },
           { firewall: { rules: firewall.rules, max_flows: 20000 } },
           { monitor: { max_flows: 20000 } },
           { load_balancer: { vip: 203.0.113.10, port: 80, backends: \"10.0.0.11\", max_flows: 20000 } },
           { flow_log: { events: 100000 }"
in_a() { "$lab" exec a timeout 20 "$@"; }
scrape() { "$lab" exec "$1" curl -sf --max-time 10 "http://$at/metrics"; } # NODE
code() { in_a curl -s -o /dev/null -w '%{http_code}' "$@"; }
value() { awk -v metric="$2" '$1 == metric { print $2 }' "$work/$1"; } # NODE METRIC{LABELS}

# A node that is not protected has other labels. Its page is kept for what the alerts ask of it.
alone() {
    local left=$(polls)
    LAB_PROTECT="mode: off" "$lab" up --no-nodes && "$lab" start a || return
    until scrape a >"$work/off" && grep -q '^understudy_role{role="primary"} 1' "$work/off"; do
        poll || { echo "no page of a primary after 20 s"; return 1; }
    done
    "$lab" down
}
ok "a node without protection says so" alone

# A node that has just begun, without its peer, of a file with all that alerts ask for: each metric of theirs is there, with a
# value, before anything has happened. (So is each counter at 0: an increase is seen from the first one on.)
fresh() {
    local metric bad=0 left=$(polls) node
    LAB_ARBITER="etcd: [ http://127.0.0.1:1 ]" LAB_RECORD="dir: $work/fresh-rec, file_mb: 4, files: 4" "$lab" up --no-nodes || return
    ip netns exec "${LAB_PREFIX}a" "$UNDERSTUDY" run -c "$pair" -n a </dev/null >"$work/fresh.log" 2>&1 &
    node=$!
    until scrape a >"$work/fresh"; do
        poll || { tail -n 3 "$work/fresh.log"; return 1; }
    done
    kill $node
    wait $node
    for metric in $(sed -n 's/^ *expr: //p' "$root/docs/examples/alerts.yml" | grep -oE 'understudy_[a-z_]+' | grep -vE '^understudy_(fleet|inputs|keeper)_' | sort -u); do
        grep -qE "^$metric(\{[^}]*\})? [0-9+]" "$work/fresh" || { echo "no value of $metric"; bad=1; }
    done
    "$lab" down
    return $bad
}
ok "metrics that alerts name are there from the start" fresh
is "and it had not met its peer" "$(grep -c '^understudy_state{state="JOINING"} 1' "$work/fresh")" 1
ok "the pair is PROTECTED" "$lab" up || exit 1
ok "packets pass" "$lab" exec client ping -q -c 20 -i 0.01 203.0.113.100

# ── values ───────────────────────────────────────────────────────────────────────────────────────

# Whatever counts packets comes to rest, since only pings were sent; what changes always is not compared.
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
    ok "node $node: metrics are what status says" soon check_values $node
    ok "node $node: promtool has nothing to say" test -z "$(promtool check metrics <"$work/$node" 2>&1)"
done
is "the roles" "$(value a 'understudy_role{role="primary"}') $(value b 'understudy_role{role="primary"}')" "1 0"
is "the states" "$(value a 'understudy_state{state="PROTECTED"}') $(value b 'understudy_state{state="READY"}')" "1 1"
ok "the NAT translated the pings on both" test "$(value a 'understudy_nf_events_total{nf="nat",counter="translated_outward"}')" -ge 20 \
    -a "$(value b 'understudy_nf_events_total{nf="nat",counter="translated_outward"}')" -ge 20
is "the version is the program's" "$(value a "understudy_build_info{version=\"$("$UNDERSTUDY" version -o json | jq -r .version)\"}")" 1

no_capability() { ! grep -E '^Cap(Prm|Eff):.*[1-9a-f]' /proc/"$(field a pid)"/task/*/status; }
ok "no thread of the node has a capability" no_capability

# ── alerts and dashboard ─────────────────────────────────────────────────────────────────────────

ok "the rules are well formed" promtool check rules "$root/docs/examples/alerts.yml"
ok "each alert is raised when it should be, and not before" promtool test rules "$root/tests/lab/alerts.test.yml"
every_alert_is_tested() {
    local name bad=0
    for name in $(sed -n 's/.*- alert: //p' "$root/docs/examples/alerts.yml"); do
        grep -q "\<$name\>" "$root/tests/lab/alerts.test.yml" || { echo "$name is in no test"; bad=1; }
        grep -qx "### $name" "$root/docs/operating.md" || { echo "$name has no runbook in operating.md"; bad=1; }
    done
    return $bad
}
ok "each alert has a test and its runbook" every_alert_is_tested
# Those of a fleet's agents: fleet-metrics.t; of input keepers: keeper.t.
expressions() {
    sed -n 's/^ *expr: //p' "$root/docs/examples/alerts.yml" | grep -vE 'understudy_(fleet|keeper)_'
    jq -r '.panels[].targets[].expr' "$root/docs/examples/dashboard.json" | grep -v understudy_keeper_
}
# The values that a selector's LABEL="VALUE" or LABEL=~"VALUE" stands for: alternatives with | and one level of ().
values() { # VALUE
    [[ $1 =~ ^[A-Za-z0-9_\|\(\)]+$ ]] || { echo "cannot-be-read:$1"; return; }
    eval "printf '%s\n' {$(tr '(|)' '{,}' <<<"$1"),}" | grep .
}
only_what_is_there() {
    local word metric label value bad=0
    [ "$(expressions | wc -l)" -ge 42 ] || { echo "too few expressions are found"; return 1; }
    for word in $(expressions | grep -oE 'understudy_[a-z_]+'); do
        grep -qE "^# TYPE ${word%_bucket} |^$word " "$work/a" || { echo "$word is no metric"; bad=1; }
    done
    while IFS= read -r word; do # METRIC{LABEL="VALUE",LABEL=~"VALUE"}
        metric=${word%%\{*}
        while IFS='=' read -r label value; do
            for value in $(values "$(cut -d'"' -f2 <<<"$value")"); do
                cat "$work/a" "$work/off" | grep -E "^$metric\{" | grep -qF "$label=\"$value\"" || { echo "no $metric has $label=\"$value\""; bad=1; }
            done
        done < <(grep -oE '[a-z_]+=~?"[^"]*"' <<<"$word" | grep -v '^pair=')
    done < <(expressions | grep -oE 'understudy_[a-z_]+\{[^}]*\}')
    return $bad
}
ok "alerts and dashboard ask for metrics and labels that there are" only_what_is_there
# fragments_full refuses no flow: the datagram that found no room passes as far as its first fragment.
every_full_table_is_told() {
    local pattern found missed
    pattern=$(sed -n '/alert: UnderstudyTableFull/,/expr:/ s/.*counter=~"\([^"]*\)".*/\1/p' "$root/docs/examples/alerts.yml")
    found=$(grep -oE 'counter="[a-z0-9_]+_(full|exhausted)"' "$work/a" | cut -d'"' -f2 | sort -u)
    [ "$(wc -l <<<"$found")" = 7 ] || { echo "expected seven counters of what is full, found: $found"; return 1; }
    missed=$(grep -vxE "$pattern|fragments_full" <<<"$found")
    [ -z "$missed" ] || { echo "UnderstudyTableFull does not look at $missed"; return 1; }
}
ok "an alert is raised for each table that is full" every_full_table_is_told

# ── requests ─────────────────────────────────────────────────────────────────────────────────────

url=http://$at/metrics
is "another path" "$(code "http://$at/")" 404
is "another method" "$(code -d x=1 "$url")" 405
is "a HEAD" "$(code -I "$url")" 200
is "a header that is too large" "$(code -H "X: $(head -c 20000 /dev/zero | tr '\0' x)" "$url")" 431
pid=$(field a pid)
# What is sent is no request. It is answered with an error or not at all, and the connection ends.
garbage() { # BYTES, as printf has them
    local answer code
    answer=$(in_a bash -c "trap '' PIPE; exec 3<>/dev/tcp/${at/://} || exit 99; printf '$1' >&3; cat <&3" 2>&1)
    code=$?
    echo "exit $code: ${answer:0:200}"
    [ $code != 99 ] && [ $code != 124 ] && ! grep -qE '^HTTP/1.[01] [^4]|understudy_' <<<"$answer"
}
ok "bytes that are no request" garbage '\377\000\376\r\n\r\n'
ok "as many as there is no room for" garbage '%0100000d'
unharmed() { scrape a >"$work/a" && [ "$(value a understudy_view)" = "$(field a view)" ] && [ "$(field a pid)" = "$pid" ]; }
ok "the node is unharmed" unharmed
# 200 connections that say nothing, held by one process until it is ended.
in_a bash -c 'for i in {1..200}; do exec {fd}<>/dev/tcp/'"${at/://}"' || exit; done; echo held; sleep 15' >"$work/idle" 2>&1 &
disown
held() {
    local left=$(polls)
    until grep -qx held "$work/idle"; do
        poll || { echo "not connected: $(cat "$work/idle")"; return 1; }
    done
}
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
