# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A pair with an NF that dies or hangs of what it is sent, a module of the test's own; sourced behind lib.sh.

# A test for each source, which is built, and one that the pair is PROTECTED.
dying_pair() { # NF QUARANTINE_S SOURCE…
    local source modules=()
    for source in "${@:3}"; do
        modules+=("$work/$(basename "$source" .c).so")
        ok "$source builds" gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -I"$BUILD/include" -shared -o "${modules[-1]}" "$root/$source"
    done
    export LAB_MODULES="${modules[*]}" LAB_PROTECT="mode: log, quarantine_s: $2"
    export LAB_NFS="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-65535, max_flows: 20000 } }, { $1 }, { monitor: { max_flows: 20000 }"
    ok "the pair is PROTECTED" "$lab" up || exit 1
}

# Rounds of downloads, of which $work/rounds has a line each, how many were intact: from one call to the other.
downloads() {
    while [ -e "$work/on" ]; do
        web_fetch "$work" "$work/out" 40 20
        web_count "$work" intact
    done >"$work/rounds"
}
downloads_begin() { rm -f "$work/ended"; touch "$work/on"; downloads & fetch=$!; under_way; }
downloads_end() { rm "$work/on"; wait $fetch; }

# A request that kills, on one connection, on which the kernel sends it again as often as it likes until so many copies were dropped by NODE.
deadly_until_dropped() { # WORD NODE COUNT
    local request many
    "$lab" exec client curl -q --silent --max-time 120 -H "X-Word: $1" http://203.0.113.100/0 >"$work/answer" &
    request=$!
    many() { [ "$(field "$1" quarantine.dropped)" -ge "$2" ]; }
    soon many "$2" "$3"
    many=$?
    kill $request
    wait $request 2>/dev/null
    return $many
}
