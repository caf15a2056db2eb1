#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real Prometheus, with the shipped alerts, scrapes a pair each second through a takeover and the loss of a standby: what
# it keeps, which alerts fire and which do not, and that every query of the dashboard has an answer. There is no input keeper.
. "$(dirname "$0")/../lib.sh"
need_lab
for tool in prometheus promtool; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
plan 17

export LAB_PROTECT="mode: log, verify_every_s: 2"
# A machine that is busy with other things is to raise no false alarm: the alert would be right.
export LAB_TIMING="detect_ms: 500"
export LAB_NODE="mbufs: 32768, memory_mb: 512, realtime: true, metrics: 0.0.0.0:9470"
in_b() { "$lab" exec b "$@"; }
asks() { in_b "$@"; }
# shellcheck source=tests/lab/prometheus.sh
. "$(dirname "$0")/../prometheus.sh"

ok "the pair is PROTECTED" "$lab" up || exit 1
cat >"$work/prometheus.yml" <<END
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ $root/docs/examples/alerts.yml ]
scrape_configs:
  - job_name: understudy
    static_configs: [ { targets: ["10.99.0.1:9470", "10.99.0.2:9470"], labels: { pair: lab } } ]
END
ok "its configuration is well formed" promtool check config "$work/prometheus.yml"
in_b prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address=127.0.0.1:9490 >"$work/prometheus.log" 2>&1 &
disown # it ends with the lab
ok "both nodes are scraped" await_result 'count(up{job="understudy"} == 1)' 2
"$lab" exec client ping -q -i 0.02 203.0.113.100 >/dev/null 2>&1 &
disown
ok "packets of the primary are counted" await_result 'sum(rate(understudy_received_packets_total[5s])) > bool 50' 1
await_result 'count(ALERTS)' '' >/dev/null # what the start raised
is "no alert" "$(result 'count(ALERTS)')" ""

# ── a takeover ───────────────────────────────────────────────────────────────────────────────────

ok "the primary is killed" drill kill
ok "the pair is PROTECTED again" is_protected
ok "the takeover is told of" fires UnderstudyTookOver 1
is "by the node that took over" "$(query 'ALERTS{alertname="UnderstudyTookOver"}' | jq -r '.data.result[].metric.instance')" "10.99.0.2:9470"
is "both nodes have been primary" "$(result 'count(max_over_time(understudy_role{role="primary"}[2m]) == 1)')" 2
ok "the buckets have it" await_result 'sum(increase(understudy_takeover_seconds_bucket{le="+Inf"}[1m])) > bool 0' 1

# ── a standby that is lost ───────────────────────────────────────────────────────────────────────

kill -KILL "$(field a pid)"
ok "a standby that stays away: its metrics are missed" fires UnderstudyDown 1
ok "and so is the protection" fires UnderstudyUnprotected 1
"$lab" start a
ok "it is back" is_protected
back() { fires UnderstudyDown '' && fires UnderstudyUnprotected ''; }
ok "and the alerts end" back
is "no other alert has been" "$(query 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[5m]))' |
    jq -r '[.data.result[].metric.alertname] | sort | join(" ")')" "UnderstudyDown UnderstudyTookOver UnderstudyUnprotected"

# ── the dashboard ────────────────────────────────────────────────────────────────────────────────

dashboard_answers() {
    local expr answer bad=0
    while read -r expr; do
        expr=${expr//\$pair/lab} expr=${expr//\$__rate_interval/10s} expr=${expr//\$__range/5m}
        answer=$(query "$expr")
        [ "$(jq '.status == "success" and (.data.result | length) > 0' <<<"$answer")" = true ] || { echo "$expr: $answer"; bad=1; }
    done < <(jq -r '.panels[].targets[].expr' "$root/docs/examples/dashboard.json" | grep -vE 'understudy_(keeper|inputs)_')
    return $bad
}
await_result 'count(understudy_verified_age_seconds < 1000) > bool 0' 1 >/dev/null # the new standby's first round
ok "every query of the dashboard has an answer, but those for input keepers" dashboard_answers
