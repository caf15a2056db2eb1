# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # `work` and `BUILD` are of lib.sh
#
# Numbered datagrams both ways through a chain (numbered.c), and what became of each; sourced, behind lib.sh. Who sources it may set the flows,
# how many datagrams each end sends a second, and how many it must have sent for the count to say something.
flows=${flows:-20} rate=${rate:-2000} enough=${enough:-2000}

begin() { # traffic both ways
    missed_from_now
    rm -f "$work/client.json" "$work/server.json"
    ip netns exec "${LAB_PREFIX}server" "$BUILD/numbered" serve 203.0.113.100 7000 "$flows" "$rate" "$work/server.json" &
    server=$!
    until ip netns exec "${LAB_PREFIX}server" ss -Huln sport = :7000 | grep -q .; do sleep 0.05; done
    ip netns exec "${LAB_PREFIX}client" "$BUILD/numbered" ask 203.0.113.100 7000 "$flows" "$rate" "$work/client.json" &
    client=$!
    sleep 1
}

# Nothing that is sent from one call to the next is to be lost (lost_marked).
mark() { kill -USR2 "$client" "$server"; }

# Each end writes its file once it has all that the other one has sent, however long that takes here; half a second more is for what might come
# twice.
end() {
    kill -USR1 "$client" "$server"
    soon test -s "$work/client.json" -a -s "$work/server.json"
    sleep 0.5
    kill "$client" "$server"
    wait "$client" "$server" 2>/dev/null
}

# Of one way: sent, and how many of them are lost, twice, reordered, altered.
way() { # FROM TO
    jq -rs --argjson enough "$enough" '[(.[0].sent | add) > $enough, (.[0].sent | add) - ([.[1].got[][0]] | add), ([.[1].got[][1]] | add), ([.[1].got[][2]] | add), ([.[1].got[][3]] | add)] | join(" ")' \
        "$work/$1.json" "$work/$2.json"
}

lost_marked() { jq -rs '(.[0].sent_marked - .[1].got_marked) + (.[1].sent_marked - .[0].got_marked)' "$work/client.json" "$work/server.json"; }

# Both ways: enough was sent, nothing came twice, reordered or altered, and none is lost but what rings had no room for.
each_once() { # [LOST | any]: so many of other traffic are lost; or loss is not judged
    local more=${1:-0} there back
    there=$(way client server) back=$(way server client)
    # shellcheck disable=SC2086 # words
    set -- $there $back
    if [ "$1 $3 $4 $5 $6 $8 $9 ${10}" = "true 0 0 0 true 0 0 0" ]; then
        [ "$more" = any ] || none_lost $((more + $2 + $7)) && return
    fi
    echo "enough, lost, twice, reordered, altered: $there, and back: $back"
    return 1
}
