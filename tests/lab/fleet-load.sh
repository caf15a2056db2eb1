# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Downloads through the shards of a fleet, and what is noted meanwhile for scripts/fleet-picture; sourced behind fleet.sh, which
# sources nothing of it. nginx sends WEB_RATE bytes a second for each download (unlimited unless said), so that load is what a
# test asks for.

lab=fleet_lab
fleet_lab() { in_space "${@:2}"; } # what web.sh calls: exec SPACE CMD…
through() { echo "203.0.113.$((100 + $(number "$1")))"; } # SHARD: the address that the client reaches by it

load_serve() { # SIZE…
    web_files "$work/web" "$@" && WEB_HOST=0.0.0.0 web_serve "$work/web"
}
load_begin() { # SHARD COUNT AT_A_TIME: in the background, until they have ended
    mkdir -p "$work/web-$1"
    cp "$work/web/sums" "$work/web-$1/"
    WEB_HOST=$(through "$1") web_fetch "$work/web-$1" "$work/out/$1" "$2" "$3" 2>"$work/web-$1/why" 9>&- &
    loads+=($!)
}
loads=()
load_end() { # waits until all have ended; says what is broken
    local p
    for p in "${loads[@]}"; do wait "$p"; done
    loads=()
    cat "$work"/web-*/why >&2
}
load_count() { cat "$work"/web-*/results 2>/dev/null | grep -c "^${1:-}"; } # [intact|broken]

# What a picture is made of, into $work/picture.
now() { date +%s.%N; }
noting=()
note_begin() {
    mkdir -p "$work/picture"
    rm -f "$work/picture"/*
    ip netns exec "${LAB_PREFIX}fabric" python3 "$root/scripts/fleet-picture" watch "$work/picture/carried" 9>&- &
    noting=($!)
    while sleep 0.5; do
        echo "$(now) $(fleet status -o json 2>/dev/null)" >>"$work/picture/where"
    done 9>&- &
    noting+=($!)
}
note_event() { echo "$(now) $*" >>"$work/picture/events"; }
end_all() { [ $# = 0 ] || { kill -TERM "$@" && wait "$@"; } 2>/dev/null; } # PIDS…
note_end() { # [SVG]
    end_all "${noting[@]}"
    noting=()
    [ -z "${1:-}" ] || python3 "$root/scripts/fleet-picture" draw "$work/picture" "$1"
}

# An echo probe through a shard, every PROBE_US (5 ms unless said); in $work/probe-SHARD.json when it has ended.
probes=()
probe_begin() { # SHARD
    "$probe" run "$(through "$1")" 7008 --seconds 3000 --interval-us ${PROBE_US:-5000} --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
        >"$work/probe-$1.json" 2>"$work/probe-$1.err" 9>&- &
    probes+=($!)
}
probe_end() {
    end_all "${probes[@]}"
    probes=()
}
# The longest silence, in ms, that began within so many seconds of a time of /proc/uptime.
probe_pause() { # SHARD TIME SECONDS
    jq -r --argjson t "$2" --argjson s "$3" '[.gaps[] | select(.at_ns >= ($t - 0.2) * 1e9 and .at_ns <= ($t + $s) * 1e9) | .ms] | max // 5' "$work/probe-$1.json"
}
load_down() {
    note_end
    probe_end
    fleet_down
    load_end 2>/dev/null
}
trap load_down EXIT
uptime_s() { cut -d' ' -f1 /proc/uptime; }
