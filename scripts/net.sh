# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Devices of network namespaces, for the lab and a fleet's; sourced. They are gathered first and then made at once, so that a namespace is entered
# three times however many it has: a process is dear on some machines. A SPACE is the namespace $LAB_PREFIX$SPACE, which must exist.

declare -A net_made net_dressed net_ends # of a namespace: commands of ip that make devices, and that configure them; ends of cables

net_make() { net_made[$1]+="${*:2}"$'\n'; }     # SPACE WORD…
net_dress() { net_dressed[$1]+="${*:2}"$'\n'; } # SPACE WORD…

net_cable() { # SPACE DEV SPACE DEV
    net_make "$1" link add "$2" type veth peer name "$4" netns "$LAB_PREFIX$3"
    net_dress "$1" link set "$2" txqueuelen 10000 up
    net_dress "$3" link set "$4" txqueuelen 10000 up
    net_ends[$1]+=" $2"
    net_ends[$3]+=" $4"
}

net_bridge() { # SPACE NAME
    net_make "$1" link add "$2" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    net_dress "$1" link set "$2" up
}

# Makes and configures what is gathered. Checksums and segments have to be real on the wire: nobody behind a DPDK port finishes them. Some devices
# have no VLAN offload, some kernels no IPv6.
net_lay() {
    local s
    for s in "${!net_made[@]}"; do
        ip -n "$LAB_PREFIX$s" -batch - <<<"${net_made[$s]}" || { echo "the network of $s cannot be made" >&2; return 1; }
    done
    for s in "${!net_dressed[@]}"; do
        # shellcheck disable=SC2016,SC2086
        ip netns exec "$LAB_PREFIX$s" sh -c '
            sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
            off="tx off rx off sg off tso off gso off gro off"
            for dev; do ethtool -K "$dev" $off txvlan off rxvlan off || ethtool -K "$dev" $off || exit; done' sh ${net_ends[$s]:-} >/dev/null 2>&1 &&
            ip -n "$LAB_PREFIX$s" -batch - <<<"${net_dressed[$s]}" || { echo "the network of $s cannot be made" >&2; return 1; }
    done
    net_made=() net_dressed=() net_ends=()
}
