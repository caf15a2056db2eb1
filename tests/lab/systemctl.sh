#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Stands in for systemctl on a server of the lab, where there is no systemd: runs what the installed unit says, as the unit's user,
# with its capabilities, and with /etc as it may write there, but without its limits. `start` returns when the node has told that it is ready. A dead node is not started again.
#   systemctl start|stop|restart|reload UNIT, systemctl enable --now UNIT. UNIT may be a pattern, of units that run.
set -u
unit_file=/usr/lib/systemd/system/understudy@.service
here=/run/units
polls() { echo 1800; } # a minute and a half; nothing of scripts/wait.sh is on the server
poll() { [ $((left--)) -gt 0 ] && sleep 0.05; }
of_unit() { sed -n "s/^$1=-\{0,1\}//p" "$unit_file" | head -n 1; }
of_node() { of_unit "$1" | sed "s|\${PAIR}|$(of_unit Environment | sed 's/^PAIR=//')|; s|%i|$2|"; }
node_pid() { sed -n 's/^pid //p' "$here/$1" 2>/dev/null; }
runs() { kill -0 "$(node_pid "$1")" 2>/dev/null; }

# ProtectSystem=strict, as far as /etc goes: all of it can be read, and what ReadWritePaths has can be written.
strict='mount --make-rprivate / && mount --bind /etc /etc && mount -o remount,bind,ro /etc || exit
    for place in $0; do
        place=${place#-}
        [ ! -d "$place" ] || { mount --bind "$place" "$place" && mount -o remount,bind,rw "$place"; } || exit
    done
    exec "$@"'
start() { # NODE
    local caps left=$(polls)
    ! runs "$1" || return 0
    caps=$(of_unit AmbientCapabilities | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
    install -d "$here"
    install -d -o "$(of_unit User)" -g "$(of_unit Group)" "/run/$(of_unit RuntimeDirectory)" "/var/lib/$(of_unit StateDirectory)"
    [ "$(of_unit ProtectSystem)" = strict ] || strict='exec "$@"'
    : >"$here/$1"
    # shellcheck disable=SC2046
    setsid /usr/lib/supervisor.py "$here/$1" "$(of_unit WatchdogSec)000" \
        unshare -m bash -c "$strict" "$(of_unit ReadWritePaths)" setpriv --reuid "$(of_unit User)" --regid "$(of_unit Group)" \
        --init-groups --no-new-privs --bounding-set "-all,$caps" --inh-caps "$caps" --ambient-caps "$caps" $(of_node ExecStart "$1") \
        </dev/null >/dev/null 2>>"/var/log/$1.log" 9>&- &
    until grep -qx READY=1 "$here/$1"; do
        ! grep -q '^ended' "$here/$1" || { echo "understudy@$1 failed" >&2; return 1; }
        poll || return 1
    done
}
stop() { # NODE
    local pid left=$(polls)
    runs "$1" || return 0
    pid=$(node_pid "$1")
    $(of_node ExecStop "$1") >/dev/null 2>&1
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null; do
        poll || return 1
    done
}
reload() { # NODE
    runs "$1" && MAINPID=$(node_pid "$1") bash -c "$(of_unit ExecReload)"
}

verb=$1
shift
[ "$verb" != enable ] || { [ "${1:-}" = --now ] || exit 0; shift; verb=start; }
units=("$@") nodes=()
for unit in "${units[@]}"; do
    case $unit in
    understudy@\*) for file in "$here"/*; do [ ! -e "$file" ] || nodes+=("$(basename "$file")"); done ;;
    understudy@*) nodes+=("${unit#understudy@}") ;;
    *) echo "no unit $unit" >&2; exit 5 ;;
    esac
done
[ ${#nodes[@]} -gt 0 ] || exit 5
for node in "${nodes[@]}"; do
    case $verb in
    start | stop | reload) "$verb" "$node" || exit 1 ;;
    restart) stop "$node" && start "$node" || exit 1 ;;
    *) echo "no verb $verb" >&2; exit 1 ;;
    esac
done
