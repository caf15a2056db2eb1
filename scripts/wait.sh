# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Waits, for the lab, the demos and the lab tests; sourced. A wait of N seconds is over when the machine has run us for so long: polls are
# counted, 10 to a second, so that a machine that stands still for a second costs one of them. A test names no seconds: what has not come
# after a minute and a half never comes, and how quick it was is not judged.

# `local left=$(polls [N])` before a loop and `poll || …` in it, which sleeps, or fails with none left.
polls() { echo $((10 * ${1:-90})); }
poll() { [ $((left--)) -gt 0 ] && sleep 0.1; }

# Waits for a command to succeed; else prints what it said last. Needs $work, a directory.
soon() { # COMMAND…
    local left=$(polls)
    until "$@" >"$work/soon" 2>&1; do
        poll || { cat "$work/soon"; return 1; }
    done
}
