#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a fleet's agents tell Prometheus: that it is what `fleet status` says, that the shipped alerts ask for metrics that there
# are, and, with a real Prometheus, which of them fire when two of three servers go at once, when etcd does, and none before.
FLEET_SERVERS=3 FLEET_SHARDS=2 FLEET_METRICS=yes
. "$(dirname "$0")/lib.sh"
need_lab
for tool in prometheus promtool; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
. "$root/tests/lab/fleet.sh"
plan 20

fleet_network && fleet_files || exit 1
etcd_start
ok "etcd answers" etcd_answers || exit 1
{
    echo "global: { scrape_interval: 1s, evaluation_interval: 1s }"
    echo "rule_files: [ $root/docs/examples/alerts.yml ]"
    echo "scrape_configs: [ { job_name: understudy, static_configs: [ { targets: [ 10.97.0.1:9469, 10.97.0.2:9469, 10.97.0.3:9469 ], labels: { fleet: lab } } ] } ]"
} >"$work/prometheus.yml"
scrape() { in_space w curl -sf --max-time 5 "http://10.97.0.$(number "$1"):9469/metrics"; } # SERVER
value() { awk -v metric="$2" '$1 == metric { print $2 }' "$work/$1.page"; }                 # SERVER METRIC{LABELS}
asks() { in_space w "$@"; }
# shellcheck source=tests/lab/prometheus.sh
. "$root/tests/lab/prometheus.sh"

for s in $servers; do agent_start "$s"; done
ok "all shards are PROTECTED" all_protected || exit 1
in_space w prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:9490 >"$work/prometheus.log" 2>&1 &
disown # it ends with the lab
ok "all agents are scraped" await_result 'count(up == 1)' 3
is "one agent leads" "$(result 'sum(understudy_fleet_leads)')" 1

# ── values ───────────────────────────────────────────────────────────────────────────────────────

leader=$(said .leader)
for s in $servers; do scrape "$s" >"$work/$s.page"; done
is "it is the one that status names" "$(for s in $servers; do echo -n "$(value "$s" understudy_fleet_leads) "; done)" "$(for s in $servers; do [ "$s" = "$leader" ] && echo -n "1 " || echo -n "0 "; done)"
is "the shards are as status says" "$(value "$leader" 'understudy_fleet_shards{state="protected"}') $(value "$leader" 'understudy_fleet_shards{state="alone"}')" \
    "$(said '[.shards[] | select(.protected)] | length') 0"
is "its servers too" "$(value "$leader" 'understudy_fleet_servers{lease="held"}') $(value "$leader" 'understudy_fleet_servers{lease="gone"}')" "$(said '[.servers[] | select(.lease)] | length') 0"
is "who does not lead says nothing of the fleet" "$(for s in $servers; do [ "$s" = "$leader" ] || grep -c '^understudy_fleet_\(shards\|servers\|stopped\)' "$work/$s.page"; done | sort -u)" 0
is "each says how full its server is" "$(for s in $servers; do value "$s" 'understudy_fleet_capacity_used_ratio{measure="nodes"}'; done | jq -s add)" "$(said '[.servers[].full] | add')"
is "promtool has nothing to say" "$(promtool check metrics <"$work/$leader.page" 2>&1)" ""
# Each metric of an alert is on the leader's page, with the labels that it asks for.
alerts_have_metrics() {
    local metric bad=0 state
    for metric in $(sed -n 's/^ *expr: //p' "$root/docs/examples/alerts.yml" | grep -oE 'understudy_fleet_[a-z_]+' | sort -u); do
        grep -qE "^$metric(\{[^}]*\})? [0-9]" "$work/$leader.page" || { echo "no value of $metric"; bad=1; }
        grep -qF "| \`$metric" "$root/docs/reference.md" || { echo "$metric is not in reference.md"; bad=1; }
    done
    for state in nobody-serves both-silent; do grep -q "^understudy_fleet_shards{state=\"$state\"} 0" "$work/$leader.page" || { echo "no shards $state"; bad=1; }; done
    for metric in $(sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/$leader.page"); do
        grep -qF "| \`$metric" "$root/docs/reference.md" || { echo "$metric is not in reference.md"; bad=1; }
    done
    return $bad
}
ok "alerts and reference have the metrics that there are" alerts_have_metrics
sleep 5
is "no alert" "$(result 'count(ALERTS)')" ""

# ── an order, counted ────────────────────────────────────────────────────────────────────────────

before=$(result 'sum(understudy_fleet_orders_total{outcome="given"})')
to=$(said '.shards[0] | .members - [.primary] | .[0]')
fleet move n1 "$to" >/dev/null
await_fleet '.shards[0].primary' "$to" >/dev/null
ok "an order is counted" await_result 'sum(understudy_fleet_orders_total{outcome="given"})' $((before + 1))

# ── two of three servers at once ─────────────────────────────────────────────────────────────────

stays=$(said .leader)
for s in $servers; do [ "$s" = "$stays" ] || kill -KILL "${agent[$s]}"; done
ok "two of three leases go at once: told" fires UnderstudyFleetStopped 1
ok "and that agents are not heard" fires UnderstudyDown 2
for s in $servers; do [ "$s" = "$stays" ] || agent_start "$s"; done
back() { fires UnderstudyFleetStopped '' && await_result 'sum(understudy_fleet_leads)' 1; }
ok "they are back: it is over" back
is "one agent leads" "$(result 'sum(understudy_fleet_leads)')" 1

# ── etcd dies ────────────────────────────────────────────────────────────────────────────────────

kill -KILL $etcd
silent() { fires UnderstudyFleetEtcd 3 && fires UnderstudyFleetNoLeader 1; }
ok "etcd dies: each agent tells, and that nobody leads" silent
etcd_start
recovers() { fires UnderstudyFleetEtcd '' && fires UnderstudyFleetNoLeader ''; }
ok "it is back: it is over" recovers
is "no other alert has fired" "$(query 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[10m]))' | jq -r '[.data.result[].metric.alertname] | sort | join(" ")')" \
    "UnderstudyDown UnderstudyFleetEtcd UnderstudyFleetNoLeader UnderstudyFleetStopped"
[ $bad = 0 ]
