# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What supervisor.py has heard; sourced. $says is its file.

heard() { # WORDS (a pattern of a whole line): waits for them
    local left=$(polls)
    until grep -qxE -- "$1" "$says"; do
        poll || { echo "no $1:"; tail -n 15 "$says"; return 1; }
    done
}
fed() { grep -cx WATCHDOG=1 "$says"; }
feeds() { # N: waits for so many more
    local left=$(polls) from
    from=$(fed)
    until [ "$(fed)" -ge $((from + $1)) ]; do
        poll || { echo "$(($(fed) - from)) of $1:"; tail -n 15 "$says"; return 1; }
    done
}
# One that was on its way when the thread stopped may still be read.
fed_since() { awk -v from="$1" '$0 == from { on = 1; n = 0 } /^WATCHDOG=1$/ && on { n++ } END { print (on && n <= 1 ? 0 : n) }' "$says"; }
