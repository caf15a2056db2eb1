# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A primary that is killed in the midst of `apply`, and the pair that is made of what is left; sourced, behind lib.sh.

# The one that is primary, by what it says.
primary() { local n; for n in a b; do [ "$(field $n role)" = primary ] && echo $n && return; done; }
# A pair, or two that have each other's hello and differ: of a node that does not answer yet `field` prints an empty line.
fits_or_not() { us status >/dev/null 2>&1 || for n in a b; do field $n peer.differs; done | grep -qvxE 'null|'; }
has_primary() { [ -n "$(primary)" ]; }
# A pair with one set: the node that was killed starts by the file, and does not fit one that has the set before: that one applies the file.
mend() { # NODE
    "$lab" start "$1"
    soon has_primary && soon fits_or_not || return 1
    us status >/dev/null 2>&1 && return
    us apply || return 1
    local left=$(polls)
    until us status >/dev/null 2>&1; do
        poll || { us status; return 1; }
        # One that did not fit ends when it finds that out. Who was started last is known by its number, whether it answers or not.
        [ -e "/proc/$(sed -n "s/^process \([0-9]*\) .* $1\$/\1/p" "$LAB_DIR/made" | tail -n 1)/exe" ] || "$lab" start "$1"
    done
}
kill_at() { # NODE PID "TEXT[, SECONDS]" LINES: as soon as its log says so behind so many lines, or later
    local line delay=
    case $3 in *", "*) delay=${3##*, } ;; esac
    while read -r line; do
        case $line in *"${3%, *}"*) [ -z "$delay" ] || sleep "$delay"; kill -KILL "$2" && : >"$work/killed"; break ;; esac
    done < <(exec timeout 60 tail -n +$(($4 + 1)) --pid="$2" -F "$LAB_DIR/$1.log" 2>/dev/null)
}
