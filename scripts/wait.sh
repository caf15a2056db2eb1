# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Waits, for the lab, the demos and the lab tests; sourced. A wait of N seconds is over when the machine has run us for so long: polls are
# counted, 10 to a second, so that a machine that stands still for a second costs one of them. Tests name no seconds: what has not come
# after two minutes never comes, and no test judges how soon it came. $patience is another number of seconds.

# `local left=$(polls [N])` before a loop and `poll || …` in it, which sleeps, or fails with none left.
polls() { echo $((10 * ${1:-${patience:-120}})); }
poll() { [ $((left--)) -gt 0 ] && sleep 0.1; }

# Waits for a command to succeed; else prints what it said last. Needs $work, a directory.
soon() { # COMMAND…
    local left=$(polls)
    until "$@" >"$work/soon" 2>&1; do
        poll || { cat "$work/soon"; return 1; }
    done
}
