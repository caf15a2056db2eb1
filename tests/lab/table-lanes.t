#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table (table.sh), of deltas, and of the log of two lanes behind ports with one queue: frames are dealt out in software, and answers find
# the lane whose NAT gave out the port. In each primaries are killed, hand over and hang; behind the NAT dpi knows flows on the node that has taken
# over. What operators ask of lanes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"
need_lab

refusal() { ! us apply >"$work/refusal" 2>&1 && grep -q -- "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }; }

# ── delta ────────────────────────────────────────────────────────────────────────────────────────

policy "delta" "mode: delta" 1
is "what goes to the standby are deltas" "$(field "$(primary)" mode)" delta
hang_row
# The heap of dpi goes on where it lies; a change that would move it is refused, and the pair goes on as it was.
sed -i 's/heap_mb: 4,/heap_mb: 4, packets: 8,/' "$pair"
ok "apply: another number of packets" us apply
whole "apply"
sed -i 's/monitor: { max_flows: 4000/monitor: { max_flows: 90000/' "$pair"
ok "apply: a change that would move the heap is refused" refusal "dpi: its heap would lie at another address"
sed -i 's/max_flows: 90000/max_flows: 4000/' "$pair"
whole "apply refused"
ends

# ── log, two lanes ───────────────────────────────────────────────────────────────────────────────

policy "log, two lanes" "mode: log" 2
moved() { # every lane of the primary has had packets
    [ "$(field "$1" 'lanes | map(select(.received > 20)) | length')" = 2 ] || { field "$1" lanes; return 1; }
}
ok "all lanes of the primary took part" soon moved "$(primary)"

# What operators ask of lanes.
ok "a change reaches every lane" us set nat udp=200
said() { cat "$LAB_DIR"/[ab].log | grep -c "an operator has said: set nat udp=200"; }
ok "the log says so" soon said
ok "and the standby goes along" equal
is "it was said once" "$(said)" 1
ok "show goes through every lane" us show nat -o json
is "and has the timeout as it is now" "$(us show nat -o json | jq .timeouts.udp)" 200
"$lab" exec client python3 -c 'import socket
for port in range(9000, 9016):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.0.0.100", port))
    s.sendto(b"x", ("203.0.113.100", 9))'
mapped() { # each of the sixteen, which lie in the port's ring until a lane reads them
    us show nat -o json | jq -r '.rows[] | select(.proto == "udp" and (.inside | tostring | test(":90[01][0-9]$"))) | "\(.proto)/\(.outside_port)"' >"$work/mappings"
    [ "$(wc -l <"$work/mappings")" = 16 ]
}
soon mapped
first=$(head -n 1 "$work/mappings") last=$(tail -n 1 "$work/mappings")
is "a mapping of the first lane is cleared" "$(us clear nat "$first" 2>&1)" "clear nat $first: done"
is "one of the last lane, too" "$(us clear nat "$last" 2>&1)" "clear nat $last: done"
us clear nat "$last" 2>/dev/null
is "then no lane has it" $? 65
whole "operators"
ends

plan $tests
