#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bugs planted in a node behind a keeper that drops a packet of death without its number, or takes what it is fed again:
# what tests/lab/keeper-poison.t asks finds each.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/keeper.sh"
need_lab
[ -x "$BUILD/understudy-planted" ] || skip_all "$BUILD/understudy-planted is not built"
plan 4

export UNDERSTUDY=$BUILD/understudy-planted UNDERSTUDY_PLANT=
export LAB_MODULES=$work/poison.so LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } }, { poison: {}"
ok "an NF that dies of a word" gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" -shared \
    -o "$work/poison.so" tests/lab/poison.c

# The keeper has the nodes' numbers after a death of a packet, and after a kill -9 behind that.
agrees() {
    local numbers
    "$lab" up || return 2
    "$lab" exec client python3 -c '
import socket, time
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for word in b"harmless", b"KILL-KNOWN", b"harmless":
    end.sendto(word, ("203.0.113.100", 53))
    time.sleep(0.5)'
    for n in a b; do "$lab" start $n >/dev/null 2>&1; done # whoever is dead
    is_protected
    kill_node primary
    numbers=$(us keeper status -o json | jq -r "[.begun, .lost, .lost_inputs] | join(\" \")")
    "$lab" down
    diag "$UNDERSTUDY_PLANT: begun, lost, lost inputs: $numbers"
    [ "$numbers" = "1 0 0" ]
}
ok "with no bug it does" agrees
for UNDERSTUDY_PLANT in numbers-shift feeds-poison; do
    is "$UNDERSTUDY_PLANT is caught" "$(agrees >"$work/said"; echo $?; cat "$work/said" >&2)" 1
done
