# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What a real Prometheus says, asked by its API; sourced by tests that run one. `asks` is how a command is run where it listens.

api=http://127.0.0.1:9490/api/v1
query() { asks curl -s --max-time 10 --data-urlencode "query=$1" "$api/query"; }
result() { query "$1" | jq -r '[.data.result[] | .value[1]] | join(" ")'; }
await_result() { # QUERY VALUE
    local left=$(polls)
    until [ "$(result "$1")" = "$2" ]; do
        poll || { echo "$1 is '$(result "$1")'"; return 1; }
    done
}
fires() { await_result "count(ALERTS{alertname=\"$1\",alertstate=\"firing\"})" "$2"; } # ALERT COUNT
