#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The smaller NFs through understudy replay: captures, 1 to 4 lanes, the log and deltas, hot and warm standbys, and
# kills of both nodes. What each must have done is known by tshark. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
compgen -G "$pcaps/*.pcap" >/dev/null || { echo "1..0 # SKIP no captures in $pcaps"; exit 0; }
mkdir -p "$dir/chain"
cp nfs/chains/*.rules nfs/chains/campus.* "$dir/chain/"
# Small tables: a region is cleared at every start.
sed -i "s/max_flows: 100000/max_flows: 4096/; s/action: drop/&, max_hosts: 4096, max_contacts: 8192/" "$dir/chain/campus.yaml"

base= # options of runs without kills
one() { # NAME SETTINGS
    printf 'chain: { name: %s, nfs: [ %s: { %s } ] }\n' "$1" "$1" "$2" >"$dir/chain/$1.yaml"
}

# One capture through one chain, with the audit, and in several shapes, with three kills; COUNTERS (a jq object of what the NF counted) are the
# same in each. With an input keeper nothing may be lost, and the file that leaves is the same; of a NAT with one lane,
# since the ports that several lanes draw are others.
shapes() { # CHAIN CAPTURE COUNTERS SHAPES…
    local chain=$1 file=$pcaps/$2 counters=$3 shape n code name=${2%.pcap}
    shift 3
    # shellcheck disable=SC2086
    run -c "$dir/chain/$chain.yaml" $base -w "$dir/a.pcap" "$file"
    code=$?
    n=$(fact .input)
    [ "$code" = 0 ] && [ "$(fact ".nfs.${chain}.counters | contains($counters)")" = true ]
    ok "$chain, $name: $n packets without kills, and it counts $counters" $? "exit $code, $(fact ".nfs.${chain}")" || return
    for shape in "$@"; do
        # shellcheck disable=SC2086
        run_fast -c "$dir/chain/$chain.yaml" $shape -w "$dir/b.pcap" --kill "primary@$((n / 4))" --kill "standby@$((n / 2))" \
            --kill "primary@$((n * 3 / 4))" "$file"
        code=$?
        [ "$code" = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.altered)"')" = "true 2 0 0" ] &&
            [ "$(fact ".nfs.${chain}.counters | contains($counters)")" = true ] &&
            { [[ $shape == *"lanes 1"* || $chain == nat* ]] || sorted; } && { [[ $shape != *"lanes 1"* ]] || cmp -s "$dir/a.pcap" "$dir/b.pcap"; }
        ok "$chain, $name, $shape, with kills: as without" $? "exit $code, $(cat "$dir/json")"
    done
}
# Lanes release in an order of their own: as many bytes have left.
sorted() { [ "$(stat -c %s "$dir/a.pcap")" = "$(stat -c %s "$dir/b.pcap")" ]; }

all=("--lanes 1" "--lanes 2" "--lanes 4" "--lanes 2 --standby warm" "--lanes 1 --mode delta" "--lanes 2 --mode delta --standby warm")

one portscan "watch: inside, action: drop, max_hosts: 1024, max_contacts: 4096"
shapes portscan gnutella.pcap '{"contacts":69,"successes":19,"refused":5,"unanswered":45,"scanners":1}' "${all[@]}"
one portscan "watch: inside, destinations: ports, max_hosts: 1024, max_contacts: 4096"
shapes portscan synscan.pcap '{"contacts":1000,"successes":3,"refused":4,"unanswered":993,"scanners":1}' "--lanes 4"

# What nat64 makes of the addresses of a prefix: of a capture as it is, whose answers are of IPv6 and are not translated.
one nat64 'prefix: "2606:4700::/96", outside: 203.0.113.1, max_flows: 4096, max_flows_per_host: 4096'
shapes nat64 mixed.pcap '{"mappings_created":1,"translated_outward":6}' "--lanes 1" "--lanes 2 --mode delta"
if command -v tshark >/dev/null; then
    run_fast -c "$dir/chain/nat64.yaml" -w "$dir/a.pcap" --kill primary@60 "$pcaps/mixed.pcap"
    # The same segments, by another program: sequence numbers of the capture in IPv6, and of what left in IPv4.
    segments() { tshark -r "$1" -o tcp.relative_sequence_numbers:FALSE -Y "$2" -T fields -e tcp.seq -e tcp.len -e tcp.flags 2>/dev/null; }
    [ "$(segments "$dir/a.pcap" "ip.src==203.0.113.1")" = "$(segments "$pcaps/mixed.pcap" "ipv6.dst==2606:4700::6812:69c")" ] &&
        [ "$(segments "$dir/a.pcap" "ip.dst==104.18.6.156" | wc -l)" = 6 ]
    ok "nat64, mixed: the segments to a server are there, of IPv4, by tshark" $? "$(segments "$dir/a.pcap" "ip.src==203.0.113.1")"
fi
# And of one that is made, both ways: with one lane it knows every answer.
python3 tests/lab/mknat64.py "$dir/made.pcap" 12000 900
one nat64 'outside: 203.0.113.1, max_flows: 4096, max_flows_per_host: 4096'
pcaps=$dir shapes nat64 made.pcap '{"mappings_created":900,"translated_outward":6167,"ports_exhausted":0}' \
    "--lanes 1" "--lanes 1 --mode delta" "--lanes 1 --standby warm"
# With several it is a race which port is given out next, so what comes from inside is looked at alone.
python3 tests/lab/mknat64.py "$dir/out.pcap" 8000 900 1 inside
pcaps=$dir shapes nat64 out.pcap '{"translated_outward":7123,"icmp_errors_translated":876}' "--lanes 2" "--lanes 4" "--lanes 4 --mode delta" "--lanes 2 --mode delta --standby warm"
one nat64 'outside: 203.0.113.1, max_flows: 4096, max_flows_per_host: 4096, mapping: endpoint_independent'
pcaps=$dir shapes nat64 out.pcap '{"mappings_created":900,"icmp_errors_translated":876}' "--lanes 1" "--lanes 4"
one nat64 'outside: 203.0.113.1, max_flows: 4096, max_flows_per_host: 4096'
if command -v tshark >/dev/null; then
    run_fast -c "$dir/chain/nat64.yaml" -w "$dir/a.pcap" --kill primary@6000 "$dir/made.pcap"
    # tshark takes an end of a quoted segment for the segment's: those of which all was quoted are looked at.
    wrong() { tshark -r "$dir/a.pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE -Y "$1" 2>/dev/null | wc -l; }
    [ "$(wrong 'ip.checksum.status==0 || udp.checksum.status==0 || icmp.checksum.status==0 || icmpv6.checksum.status==0')" = 0 ] &&
        [ "$(wrong 'tcp.checksum.status==0 && !icmp && !icmpv6')" = 0 ] && [ "$(wrong 'tcp.checksum.status==0 && (frame.len==122 || frame.len==162)')" = 0 ] &&
        [ "$(wrong 'tcp.checksum.status==1 && ip && icmp')" -gt 50 ]
    ok "nat64: every checksum of what leaves is right, by tshark" $?
fi

# A pool of outside addresses does not change what is translated; another program sees what address each source got.
one nat 'inside: [0.0.0.0/0], outside: [203.0.113.1, 203.0.113.2, 203.0.113.7], ports: 1024-9215, max_flows: 4096, max_flows_per_host: 4096'
shapes nat gnutella.pcap '{"translated_outward":3773,"ports_exhausted":0}' "${all[@]}"
if command -v tshark >/dev/null; then
    run_fast -c "$dir/chain/nat.yaml" -w "$dir/a.pcap" --lanes 2 --kill primary@1000 "$pcaps/gnutella.pcap"
    # A packet is found again by identification and destination, if it is the only one of both.
    ends() { tshark -r "$1" -Y 'ip && !icmp' -T fields -E separator=, -e ip.id -e ip.dst -e ip.proto -e ip.src | sort -t, -k1,3 | awk -F, '{ k = $1 $2 $3; n[k]++; s[k] = $4 } END { for (k in n) if (n[k] == 1) print k, s[k] }' | sort; }
    join <(ends "$pcaps/gnutella.pcap") <(ends "$dir/a.pcap") 2>/dev/null | awk '$3 ~ /^203\.0\.113\./ { print $2, $3 }' | sort -u >"$dir/pairs"
    [ "$(wc -l <"$dir/pairs")" -gt 100 ] && [ "$(cut -d' ' -f1 "$dir/pairs" | sort | uniq -d | wc -l)" = 0 ] && [ "$(cut -d' ' -f2 "$dir/pairs" | sort -u | wc -l)" = 3 ]
    ok "nat, gnutella: each source has one of three addresses, through a kill, by tshark" $? "$(head "$dir/pairs")"
fi
one nat64 'outside: [203.0.113.1, 203.0.113.2, 203.0.113.7], max_flows: 4096, max_flows_per_host: 4096'
pcaps=$dir shapes nat64 out.pcap '{"translated_outward":7123,"icmp_errors_translated":876}' "--lanes 1" "--lanes 2" "--lanes 4 --mode delta" "--lanes 2 --standby warm"

echo slashdot.org >"$dir/chain/list"
one dns_guard "list: list, clients: both"
shapes dns_guard mixed.pcap '{"queries":14,"listed":12,"answered":12}' "${all[@]}"
if command -v tshark >/dev/null; then
    run_fast -c "$dir/chain/dns_guard.yaml" -w "$dir/a.pcap" --kill primary@60 "$pcaps/mixed.pcap"
    names() { tshark -r "$dir/a.pcap" -Y "$1 && dns.qry.name contains slashdot" -T fields -e dns.qry.name 2>/dev/null | wc -l; }
    # Another program reads the answers: twelve say that there is no such name, and the capture's own do not.
    [ "$(names "dns.flags.response==0")" = 0 ] && [ "$(names "dns.flags.rcode==3")" = 12 ] &&
        [ "$(tshark -r "$dir/a.pcap" -o udp.check_checksum:TRUE -Y "dns.flags.rcode==3 && (_ws.malformed || ip.checksum.status==0 || udp.checksum.status==0)" 2>/dev/null | wc -l)" = 0 ]
    ok "dns_guard: no query for a listed name leaves, each is answered with NXDOMAIN, by tshark" $? \
        "$(tshark -r "$dir/a.pcap" -Y dns 2>&1)"
fi

# Connections to port 80 and to port 21, by tshark: 49 of the one capture, 30 of the other. A made one has 80 trojans.
python3 tests/lab/mktrojan.py "$dir/trojans.pcap"
one trojan "irc: 80, max_hosts: 1024, max_flows: 4096"
shapes trojan http-methods.pcap '{"irc":49,"ssh":0,"files":0,"trojans":0,"gaps":0}' "--lanes 1" "--lanes 2"
shapes trojan ftp-bruteforce.pcap '{"irc":0,"ssh":0,"files":0,"trojans":0,"gaps":0}' "--lanes 1"
one trojan "ipv6: true, max_hosts: 1024, max_flows: 4096"
own=$pcaps pcaps=$dir
shapes trojan trojans.pcap '{"irc":240,"ssh":240,"files":720,"trojans":80,"gaps":0,"hosts_displaced":0,"flows_full":0}' "${all[@]}"
pcaps=$own

# SYNs with right checksums, by tshark: 1,994 of the one capture, 6 of the other, of which one is of IPv6.
one syn_proxy "clients: inside, servers: [0.0.0.0/0, \"::/0\"], ports: 1-65535, max_flows: 4096"
shapes syn_proxy synscan.pcap '{"answered":1994,"opened":0,"invalid":0,"malformed":0,"martian":0}' "${all[@]}"
shapes syn_proxy mixed.pcap '{"answered":6,"opened":0,"malformed":0,"martian":0}' "--lanes 1" "--lanes 2 --mode delta"
# DSCPs by tshark: 516 packets of 4 and 90 of 0 in 30 connections; 56 of 8 and one of 48. VLAN 77: all 402. With what is over
# marked and not dropped as many bytes leave, whatever packets of several lanes are over.
printf '%s\n' "class four dscp 4 rate 1000000 pps burst 1000000" "class zero dscp 0 rate 1 pps burst 1 peak 1 burst 2 exceed dscp 1 violate dscp 2" \
    "class eight dscp cs1,cs6 rate 1000000 pps burst 1000000" >"$dir/chain/police"
one policer "classes: police"
shapes policer ftp-bruteforce.pcap '{"malformed":0,"dropped":0,"other":0}' "${all[@]}"
run_fast -c "$dir/chain/policer.yaml" --lanes 2 --kill primary@100 --kill primary@400 "$pcaps/ftp-bruteforce.pcap" &&
    [ "$(fact '.nfs.policer.counters | "\(.conformed + .exceeded + .violated) \(.conformed > 516) \(.exceeded > 0) \(.violated > 0)"')" = "606 true true true" ]
ok "policer: each packet of the two DSCPs has a color" $? "$(cat "$dir/json")"
printf '%s\n' "class seen dscp cs2 pcp 6" "match seen vlan 77" "match seen tcp to any port 21" >"$dir/chain/qos"
one vlan_qos "rules: qos, max_flows: 4096"
shapes vlan_qos bot.pcap '{"classified":402,"unclassified":0,"marked_pcp":402,"marked_dscp":402}' "${all[@]}"
shapes vlan_qos ftp-bruteforce.pcap '{"classified":606,"marked_dscp":606,"marked_pcp":0,"flows_created":30}' "--lanes 1" "--lanes 4"
if command -v tshark >/dev/null; then
    run_fast -c "$dir/chain/vlan_qos.yaml" -w "$dir/a.pcap" --kill primary@60 --kill primary@300 "$pcaps/bot.pcap"
    [ "$(tshark -r "$dir/a.pcap" -o ip.check_checksum:TRUE -T fields -e vlan.id -e vlan.priority -e ip.dsfield.dscp -e ip.checksum.status 2>/dev/null | sort -u)" = "$(printf '77\t6\t16\t1')" ]
    ok "vlan_qos: each frame that left has PCP 6 in its VLAN and DSCP 16, by tshark" $? \
        "$(tshark -r "$dir/a.pcap" -T fields -e vlan.id -e vlan.priority -e ip.dsfield.dscp -e ip.checksum.status 2>&1 | sort | uniq -c)"
fi

# Cookies depend on the seed and the lane alone, so a first run without them tells those that the second one's clients
# acknowledge.
one syn_proxy "clients: inside, servers: [203.0.113.100/32, \"2001:db8:9::100/128\"], ports: 80, max_flows: 4096"
python3 tests/lab/mksyn.py "$dir/syns.pcap"
own=$pcaps pcaps=$dir
for lanes in 4 2 1; do
    base="--lanes $lanes"
    # shellcheck disable=SC2086
    run -c "$dir/chain/syn_proxy.yaml" $base -w "$dir/left.pcap" "$dir/syns.pcap" &&
        python3 tests/lab/mksyn.py "$dir/connections.pcap" "$dir/left.pcap"
    ok "$lanes lanes: a capture in which clients acknowledge the cookies of the chain" $?
    shapes syn_proxy connections.pcap '{"answered":1560,"opened":120,"connected":120,"invalid":240,"malformed":0,"challenged":0}' "$base" "$base --standby warm" "$base --mode delta"
done
if command -v tshark >/dev/null; then
    run_fast -c "$dir/chain/syn_proxy.yaml" -w "$dir/a.pcap" --kill primary@1000 --kill primary@2500 "$dir/connections.pcap"
    # By another program, which follows the numbers: no client and no server saw a gap, and each got its 12 answers or words.
    seen() { tshark -r "$dir/a.pcap" -o tcp.check_checksum:TRUE -o tcp.relative_sequence_numbers:FALSE -Y "$1" 2>/dev/null | wc -l; }
    [ "$(seen "tcp.flags.syn==1 && tcp.flags.ack==0")" = 120 ] && [ "$(seen "tcp.flags.syn==1 && tcp.flags.ack==1")" = 1560 ] &&
        [ "$(seen "tcp.len>1")" = 1440 ] && [ "$(seen "tcp.flags.reset==1")" = 0 ] && [ "$(seen "tcp.checksum.status==0 || _ws.malformed")" = 0 ]
    ok "syn_proxy: what left is 1,560 answers, 120 SYNs and 1,440 segments of data, checksums right, by tshark" $? \
        "$(seen "tcp.flags.syn==1 && tcp.flags.ack==0") $(seen "tcp.flags.syn==1 && tcp.flags.ack==1") $(seen "tcp.len>1") $(seen "tcp.checksum.status==0 || _ws.malformed")"
fi
pcaps=$own base=

# The campus: behind the NAT scanners outside are told by who sends what nobody asked for.
for capture in gnutella synscan mixed; do
    run_fast -c "$dir/chain/campus.yaml" --lanes 2 --kill primary@50 --kill primary@120 "$pcaps/$capture.pcap"
    code=$?
    [ "$code" = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers)"')" = "true 2" ]
    ok "campus, $capture: two kills" $? "exit $code, $(cat "$dir/json")"
done

# Chains for sites with IPv6 and with servers, as they are but for small tables.
for name in nat64 ipv6-edge guarded; do
    sed "s/max_flows: 100000/max_flows: 4096/" "nfs/chains/$name.yaml" >"$dir/chain/$name.yaml"
    cp nfs/chains/*.rules "$dir/chain/"
    run_fast -c "$dir/chain/$name.yaml" --lanes 2 --kill primary@50 --kill primary@120 "$pcaps/mixed.pcap"
    code=$?
    [ "$code" = 0 ] && [ "$(fact '"\(.equivalent) \(.failovers)"')" = "true 2" ]
    ok "$name, mixed: two kills" $? "exit $code, $(cat "$dir/json")"
done

echo "1..$tests"
