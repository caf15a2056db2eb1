# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A process that stands again and again; sourced behind lib.sh.

# PID stops for MS, and goes on for as long, or for the second MS, until `stutter_ends`; then it goes on.
stutter() { # PID MS [MS]
    python3 -c '
import os, signal, sys, time
pid, stands, runs, on = int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) / 1000, [True]
signal.signal(signal.SIGTERM, lambda *_: on.clear())
try:
    while on:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(stands)
        os.kill(pid, signal.SIGCONT)
        time.sleep(runs)
except ProcessLookupError:
    pass' "$1" "$2" "${3:-$2}" 9>&- &
    stuttering=$!
}
stutter_ends() {
    kill $stuttering 2>/dev/null # it ended with its process
    wait $stuttering
}
