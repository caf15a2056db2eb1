# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A pair of two versions of the program, $1 the older and $2 the newer one, which speak format $3 with each other;
# two of the newer one speak $4. Sourced, after lib.sh. The lab's nodes begin with the older one and end with the
# newer one, under downloads: the standby first, then a planned handover, then the other node, as
# docs/operating.md has it; and between, each is killed as primary once.
older=$1 newer=$2 format=$3 newest=$4

starts_again_after() { # SIGNAL NODE PROGRAM
    local pid
    pid=$(field "$2" pid)
    kill "-$1" "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
    UNDERSTUDY=$3 "$lab" start "$2"
}
# Takes the node out, as its operator does, and starts it as the program.
run_as() { starts_again_after TERM "$@"; }           # NODE PROGRAM
dies_and_returns() { starts_again_after KILL "$@"; } # NODE PROGRAM

spoken() { echo "$(field a peer.format) $(field b peer.format)"; }
hands_over_to() { us drain && await "$1" role primary && is_protected; } # NODE
# Heartbeats of the other version count on every port.
heard() { await a 'ports | map(.peer_heard) | all' true && await b 'ports | map(.peer_heard) | all' true; }

# Downloads, one after the other, until $work/enough is there.
download() { # NUMBER
    local sum
    sum=$(awk '{ print $2; exit }' "$work/sums")
    while [ ! -e "$work/enough" ]; do
        if "$lab" exec client curl -q -sS --limit-rate 2M -o "$work/got.$1" http://203.0.113.100/0 2>>"$work/curl.err" &&
            [ "$(sha256sum <"$work/got.$1" | cut -d' ' -f1)" = "$sum" ]; then
            echo intact
        else
            echo broken
        fi
    done >"$work/ended.$1"
}

plan 26
UNDERSTUDY=$older ok "two of the older program are PROTECTED" "$lab" up || exit 1
export UNDERSTUDY=$newer # the commands are the newer program's
old=$("$older" --version | head -n 1) new=$("$newer" --version | head -n 1)
old=${old#understudy } new=${new#understudy }
web_files "$work" 6000000
ok "a web server behind the chain" web_serve "$work"
for i in 1 2 3; do download $i & fetches+=" $!"; done
probing 7007 4

run_as b "$newer"
ok "the standby is upgraded: PROTECTED" is_protected
is "they speak the format of the older one" "$(spoken)" "$format $format"
is "each knows the other's program" "$(field a peer.version) $(field b peer.version)" "$new $old"
[ "$old" = "$new" ] || ok "status tells it" sh -c "'$newer' status -c '$pair' | grep -q 'speak format $format'"
[ "$old" != "$new" ] || skip "status tells it" "both programs are called $old"
ok "each hears the other's heartbeats on every port" heard

dies_and_returns a "$older"
ok "the newer one takes over from the older one" await b role primary
is "by its death notice" "$(field b takeover.reason)" "the death notice"
ok "PROTECTED again" is_protected
is "in the format of the older one" "$(spoken)" "$format $format"

dies_and_returns b "$newer"
ok "the older one takes over from the newer one" await a role primary
is "by its death notice, too" "$(field a takeover.reason)" "the death notice"
ok "PROTECTED again" is_protected
is "digests equal" "$(us verify -o json 2>/dev/null | jq .equal)" true
ok "a planned handover to the newer one" hands_over_to b
ok "and back" hands_over_to a
ok "heartbeats are heard" heard

ok "drain" us drain
ok "the newer one is primary" await b role primary
run_as a "$newer"
ok "the other node is upgraded: PROTECTED" is_protected
is "they speak the newest format" "$(spoken)" "$newest $newest"
dies_and_returns b "$newer"
ok "a takeover in it" await a role primary
ok "PROTECTED" is_protected

: >"$work/enough"
# shellcheck disable=SC2086
wait $fetches
probing_ends
is "no download is broken" "$(cat "$work"/ended.* | sort | uniq -c | awk '{ print $2 }' | xargs)" intact
is "no flow of the prober's is broken" "$(seen '.flows_broken + .contradicted')" 0
diag "$(cat "$work"/ended.* | wc -l) downloads; longest silence $(seen .silence_ms) ms"
