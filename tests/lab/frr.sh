# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# FRR in namespaces of the lab, each with sockets and files of its own in $LAB_DIR/frr-SPACE; sourced behind what has in_space and
# go_first.

frr=/usr/lib/frr
for tool in zebra bgpd bfdd; do [ -x $frr/$tool ] || skip_all "frr is not installed"; done

frr_start() { # SPACE CONFIGURATION
    local dir=$LAB_DIR/frr-$1 what left=$(polls)
    mkdir -p "$dir" && cp "$2" "$dir/frr.conf" && : >"$dir/vtysh.conf" && chown -R frr:frr "$dir" || return 1
    for what in zebra bgpd bfdd; do frr_daemon "$1" $what; done
    for what in zebra bgpd bfdd; do
        until in_space "$1" vtysh --vty_socket "$dir" -d $what -c 'show version' >/dev/null 2>&1; do poll || return 1; done
    done
    in_space "$1" vtysh --vty_socket "$dir" --config_dir "$dir" -b
}
frr_daemon() { # SPACE DAEMON
    local dir=$LAB_DIR/frr-$1 more=
    [ "$2" != bfdd ] || more="--bfdctl $dir/bfdd.sock"
    ip netns exec "$LAB_PREFIX$1" $frr/"$2" -f /dev/null -i "$dir/$2.pid" -z "$dir/zserv.api" --vty_socket "$dir" --limit-fds 256 \
        $more >>"$work/frr-$1.log" 2>&1 9>&- &
    go_first $!
}
vty() { in_space "$1" vtysh --vty_socket "$LAB_DIR/frr-$1" -c "$2"; } # SPACE COMMAND
