# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Waits, for the lab, the demos and the lab tests; sourced. A wait of N seconds is over when the machine has run us for so long: polls are
# counted, 10 to a second, so that a machine that stands still for a second costs one of them.

# `local left=$(polls N)` before a loop and `poll || …` in it, which sleeps, or fails with none left.
polls() { echo $((10 * $1)); }
poll() { [ $((left--)) -gt 0 ] && sleep 0.1; }

# Waits up to SECONDS for a command to succeed; else prints what it said last. Needs $work, a directory.
soon() { # SECONDS COMMAND…
    local left=$(polls "$1")
    until "${@:2}" >"$work/soon" 2>&1; do
        poll || { cat "$work/soon"; return 1; }
    done
}
