#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a running pair says to people: plain lines and tables whose columns stand under their names.
. "$(dirname "$0")/lib.sh"
need_lab
plan 18

# Every column of the lines of a table is as wide as its header says: words begin or end where the header's do.
aligned() { # FILE FROM-PATTERN: the table that begins with that header, up to an empty line
    awk -v from="$2" '
        function dependencies(s, all,    i, k) {
            delete all
            for (i = 1; i <= length(s); i++)
                if (substr(s, i, 1) != " ") {
                    if (i == 1 || substr(s, i - 1, 1) == " ") all["begin " i] = 1
                    if (i == length(s) || substr(s, i + 1, 1) == " ") all["end " i] = 1
                }
        }
        /^$/ { inside = 0 }
        $0 ~ from { inside = 1; columns = NF; dependencies($0, head); next }
        inside {
            rows++
            if (NF != columns) { print "another number of columns: " $0; bad = 1 }
            dependencies($0, row)
            at = 1
            for (i = 1; i <= NF; i++) {
                while (substr($0, at, 1) == " ") at++
                if (!(("begin " at) in head) && !(("end " at + length($i) - 1) in head)) { print "out of line: " $i ": " $0; bad = 1 }
                at += length($i)
            }
        }
        END { if (!rows) print "no table"; exit bad || !rows }' "$1"
}
no_json() { ! grep -q '[{}"]' "$1"; }

ok "the pair is PROTECTED" "$lab" up || exit 1
"$probe" run 203.0.113.100 7007 --seconds 1 --flows 2 --from "${LAB_PREFIX}client" --to "${LAB_PREFIX}server" -o json \
    >"$work/probe.json"
looked() { us status >"$work/status"; } # and found it PROTECTED
soon looked
is "the verdict" "$(head -n 1 "$work/status")" "PROTECTED  chain lab, node a is PROTECTED, mode log"
ok "lanes in columns" aligned "$work/status" '^node +lane '
is "each lane once" "$(awk '/^node +lane/ { t = 1; next } t { print $1 $2 $3 }' "$work/status" | xargs)" "a0live b0replay"
ok "with what they counted" grep -qE '^node +lane +doing .* received .* released ' "$work/status"
is "and no column of zeros" "$(awk '/^node +lane/ { t = 1; n = NF; next } t { for (i = 4; i <= n; i++) sum[i] += $i }
    END { for (i = 4; i <= n; i++) if (!sum[i]) print i }' "$work/status")" ""

us show monitor >"$work/show"
diag "$(head -n 5 "$work/show")"
ok "totals and flows are tables of their own" test "$(grep -c '^$' "$work/show")" -ge 1
is "without cells that mean nothing" "$(awk '{ for (i = 1; i <= NF; i++) if ($i == "-") n++ } END { print n + 0 }' "$work/show")" 0

said() { us "$@" >"$work/said" 2>&1; cat "$work/said"; }
like() { grep -qE "$2" <<<"$1" || { echo "$1"; return 1; }; }
ok "set" like "$(said set monitor timeout=120)" '^set monitor timeout=120: done$'
ok "clear" like "$(said clear monitor)" '^clear monitor: done$'
compared() { said verify; ! grep -q 'not protected' "$work/said"; }
soon compared
ok "verify" like "$(cat "$work/said")" '^EQUAL  after burst [0-9]+$'
ok "drain" like "$(said drain)" '^drain: node a has handed over to node b, view [0-9]+$'
ok "PROTECTED again" is_protected
ok "failback" like "$(said failback)" '^failback: node b has handed over to node a, view [0-9]+$'
is "the view is the new one" "$(sed 's/.* //' "$work/said")" "$(await a role primary && field a view)"
ok "PROTECTED again" is_protected
before=$(field a resync.done)
ok "resync" like "$(said resync)" '^resync: node a sends node b the whole state again$'
ok "it was resynced" await a resync.done $((before + 1))
