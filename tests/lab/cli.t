#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line without a pair: usage, check, exit codes, one line for each mistake; and who may act on a node. As TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
understudy=${UNDERSTUDY:-build/understudy}
dir=$(mktemp -d) || exit 1
node=
finish() {
    # shellcheck disable=SC2086 # processes
    [ -z "$node" ] || kill -KILL $node
    rm -rf "$dir"
}
trap finish EXIT

number=0
as=() # who asks, if it is somebody else
# t NAME CODE OUT ERR ARGUMENTS...: the exit code, and patterns (grep -E) for stdout and stderr. "" is: nothing at all.
t() {
    local name=$1 code=$2 out=$3 err=$4 got problem=
    shift 4
    "${as[@]}" "$understudy" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" = "$code" ] || problem="exit code $got, expected $code"
    match out "$out" || problem="$problem; stdout does not match $out"
    match err "$err" || problem="$problem; stderr does not match $err"
    if [ "$code" -ge 64 ] && [ "$(wc -l <"$dir/err")" != 1 ]; then
        problem="$problem; not one line on stderr"
    fi
    number=$((number + 1))
    if [ -z "$problem" ]; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        echo "# $problem"
        sed 's/^/# stdout: /' "$dir/out" | head -n 5
        sed 's/^/# stderr: /' "$dir/err" | head -n 5
    fi
}
match() {
    if [ -z "$2" ]; then
        [ ! -s "$dir/$1" ]
    else
        grep -qE -- "$2" "$dir/$1"
    fi
}

[ -x "$understudy" ] || { echo "1..0 # SKIP no $understudy: make"; exit 0; }

cp nfs/chains/edge.yaml nfs/chains/*.rules "$dir/" 2>/dev/null
cat >"$dir/pair.yaml" <<END
chain: {name: edge, nfs: [monitor]}
interfaces:
  - {name: in, side: inside, address: 10.0.0.1/24}
  - {name: out, side: outside, address: 198.51.100.2/24}
link: {insecure: true}
nodes:
  a: {role: primary, ports: {in: net_null0, out: net_null1}, replication: "127.0.0.1:7001", control: a.sock}
  b: {role: standby, ports: {in: net_null0, out: net_null1}, replication: "127.0.0.1:7002", control: b.sock}
END
sed 's/role: standby/role: standbye/' "$dir/pair.yaml" >"$dir/bad.yaml"
pair=$dir/pair.yaml

hint='see understudy --help\)$'
t "no subcommand" 64 "" "^understudy: no subcommand \($hint"
t "unknown subcommand" 64 "" "unknown subcommand \"frobnicate\" \($hint" frobnicate
t "a subcommand of another version" 64 "" 'unknown subcommand "predict"' predict -c "$pair"
t "help" 0 '^usage: understudy SUBCOMMAND' "" --help
t "help of a subcommand" 0 '^usage: understudy status \[-c FILE\] \[-n NAME\] \[-o json\]$' "" status --help
t "version" 0 '^understudy [0-9]+\.[0-9]+\.[0-9]+$' "" --version
t "version as a subcommand: what two programs compare, and DPDK's" 0 '^DPDK: [0-9]+\.[0-9]+' "" version
t "version, JSON" 0 '"formats":\{"oldest":[0-9]+,"newest":[0-9]+\},"build":\{"library":[0-9]+,"burst":32,"nfs":\{.*"nat":[0-9]+.*"dpdk":"[0-9.]+"' "" version -o json
t "of arguments that are long nothing is cut" 0 "^  understudy clear    \[OPTION\]... NF\|counters\|quarantine \[KEY\|NF\]$" "" --help
t "and their summaries stand under the others'" 0 '^ {64} forget an entry of an NF' "" --help
t "behind an argument" 0 '^usage: understudy show ' "" show nat --help
t "a subcommand with a slip" 64 "" "unknown subcommand \"drian\", did you mean drain\? \($hint" drian
t "and after help" 64 "" "unknown subcommand \"stauts\", did you mean status\? \($hint" help stauts
for word in why drops stop state; do t "$word is near to no subcommand" 64 "" "unknown subcommand \"$word\" \($hint" $word; done
t "an option with a slip" 64 "" "^understudy check: unknown option --ouput=json, did you mean --output\? \($hint" check -c "$pair" --ouput=json
helps() { # of each subcommand, help NAME is what NAME --help says: the usage line, a summary, and a line for each option
    local name bad=0 count=0
    while read -r name; do
        count=$((count + 1))
        "$understudy" help "$name" >"$dir/one" 2>&1 && "$understudy" "$name" --help >"$dir/two" 2>&1 && cmp -s "$dir/one" "$dir/two" ||
            { echo "# help $name is not $name --help"; bad=1; }
        [ "$(sed -n '1s/^usage: understudy \([a-z-]*\).*/\1/p' "$dir/one")" = "$name" ] || { echo "# $name: no usage"; bad=1; }
        sed -n '2{/^[a-z]/p}' "$dir/one" | grep -q . || { echo "# $name: no summary"; bad=1; }
        # Each option of the usage line has its own line, and each line its place in the usage.
        diff <(head -n 1 "$dir/one" | grep -oE '(^|[ [])-(-[a-z-]+|[a-zE])' | tr -d ' [' | sort -u) \
            <(sed -nE '3,$s/^  (-(.), |    )--([a-z-]+).*/\2 \3/p' "$dir/one" | awk 'NF == 2 { print "-" $1 } NF == 1 { print "--" $1 }' | sort -u) >"$dir/diff" ||
            { echo "# $name: options of the usage, and the lines below"; sed 's/^/# /' "$dir/diff"; bad=1; }
    done < <("$understudy" --help | sed -n 's/^  understudy \([a-z-]*\) .*/\1/p' | grep -v '^help$')
    [ $count -ge 24 ] || bad=1
    return $bad
}
number=$((number + 1))
if helps; then echo "ok $number - help of each subcommand is its --help, and complete"; else echo "not ok $number - help of each subcommand is its --help, and complete"; fi

unset UNDERSTUDY_CONFIG
if [ -e /etc/understudy/pair.yaml ]; then
    number=$((number + 1))
    echo "ok $number - check without a file # SKIP this host has one"
else
    t "check without a file" 64 "" "^understudy check: no configuration, expected -c FILE or UNDERSTUDY_CONFIG; there is no /etc/understudy/pair.yaml \($hint" check
fi
if [ ! -e /etc/understudy/fleet.yaml ]; then
    t "nor fleet without its own" 64 "" "^understudy fleet: no fleet's file, expected -c FILE or UNDERSTUDY_CONFIG; there is no /etc/understudy/fleet.yaml \($hint" fleet check
fi
t "as its help says" 0 "^  -c, --config FILE  .* \(default UNDERSTUDY_CONFIG, else /etc/understudy/fleet.yaml\)$" "" fleet --help
cat >"$dir/fleet.yaml" <<END
fleet: f
arbiter: {etcd: ["http://127.0.0.1:9"]}
servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}}
shards: {east: {port: 1}}
pair: {}
node: {}
END
t "an option of another verb" 64 "" "^understudy fleet: -n with drain, expected it with agent, upgrade or unupgrade \($hint" fleet drain a -c "$dir/fleet.yaml" -n a
t "a node where the machine is judged" 64 "" '^understudy check: --host with -c, -n or --try, expected it without them ' check --host -n a
t "a file where the machine is judged" 64 "" '^understudy check: --host with -c, -n or --try, expected it without them ' check --host -c "$pair"
t "a verb that is near another one" 64 "" '^understudy fleet: unknown verb "statsu", did you mean status\? ' fleet statsu -c "$dir/fleet.yaml"
t "a shard that is near another one" 64 "" '^understudy: no shard "esat" in this file, did you mean east\?$' fleet pin esat a -c "$dir/fleet.yaml"
t "JSON of a verb that prints none" 64 "" '-o json with check, expected it with status or plan ' fleet check -c "$dir/fleet.yaml" -o json
as=(env "UNDERSTUDY_CONFIG=$dir/none.yaml")
t "the file that the environment names is not there" 65 "" "^understudy check: $dir/none.yaml \(by UNDERSTUDY_CONFIG\): No such file or directory, expected a file that can be read, or -c FILE$" check
t "-c wins" 0 "^$dir/pair.yaml: ok" "" check -c "$pair"
as=(env "UNDERSTUDY_CONFIG=$dir/bad.yaml")
t "a mistake in it is told by file and line" 65 "" "^$dir/bad.yaml:8: node b role is standbye" status
as=(env "UNDERSTUDY_CONFIG=$pair")
t "the file that the environment names is taken" 0 "^$dir/pair.yaml: ok" "" check
as=()
t "option without its value" 64 "" 'option -c without a value' check -c
t "unknown option" 64 "" 'unknown option --colour' check -c "$pair" --colour
t "one letter of several" 64 "" 'understudy top: unknown option -x ' top -c "$pair" -xq
t "option of another subcommand" 64 "" 'unknown option -n' version -n a
t "option twice" 64 "" 'option -c twice' check -c "$pair" -c "$pair"
t "another output" 64 "" '-o xml, expected -o json' check -c "$pair" -o xml
t "argument too many" 64 "" 'unexpected argument "more"' check -c "$pair" more
t "show without NF" 64 "" 'too few arguments, expected NF' show -c "$pair"
t "set without a value" 64 "" 'packets, expected KEY=VALUE' set -c "$pair" monitor packets
t "set without a key" 64 "" 'expected KEY=VALUE' set -c "$pair" monitor =1
t "a node that is not in the file" 64 "" 'no node "c" in this file, expected a or b' status -c "$pair" -n c

t "the NFs that there are" 0 '^nat +source NAT of TCP' "" nfs
t "one of them: what a parameter may be" 0 '^ +\* max_flows +number, 1 to 16777216; default 100000$' "" nfs nat
t "and that it has to be given" 0 '^ +outside +addresses; required$' "" nfs nat
t "its state and flags" 0 '^state: [0-9]+ bytes of its own; objects of each lane; objects that lanes share; [0-9]+ bytes of each flow$' "" nfs nat
t "what its packets are dealt to lanes by" 0 '^lanes: by flow$' "" nfs monitor
t "JSON" 0 '"name":"nat","summary":"source.*"reads":"flow","replayable":true.*"name":"unsupported","type":"choice","default":"drop","required":false,"live":true,"help":"[^"]+","choices":\["drop","pass","by_address"\]' "" nfs -o json nat
t "no such NF" 64 "" 'no NF called "natt", did you mean nat\? ' nfs natt
number=$((number + 1))
told=$("$understudy" nfs -o json | jq -c '.nfs | [(map(.summary == "") | any), length, (map(select(.module).name) | join(","))]')
want="[false,$(grep -l '^NF_MODULE' nfs/*.c nfs/*/*.c | wc -l),\"dns_guard,dpi,ips,nptv6,portscan,syn_proxy,trojan\"]"
if [ "$told" = "$want" ]; then
    echo "ok $number - all NFs of the tree are told, each with a summary, and which are modules"
else
    echo "not ok $number - all NFs of the tree are told, each with a summary, and which are modules: $told, expected $want"
fi
# One that the program does not have is found by its name, from beside the program; its file is judged as modules are.
printf 'chain: { name: x, nfs: [ ips: { rules: x.rules } ] }\n' >"$dir/ips.yaml"
echo 'alert tcp any any -> any any (msg:"a page"; content:"HTTP/1."; sid:1;)' >"$dir/x.rules"
t "an NF in a module is found by its name" 0 'ok: chain x \(ips\)' "" check -c "$dir/ips.yaml"
printf 'chain: { name: x, modules: [ dpi.so ], nfs: [ dpi: {} ] }\n' >"$dir/dpi.yaml"
t "and may be named as a file, from beside the program" 0 'ok: chain x \(dpi\)' "" check -c "$dir/dpi.yaml"
mkdir -p "$dir/there/bin" "$dir/there/lib/understudy" && cp "$understudy" "$dir/there/bin"
beside() { (understudy=$dir/there/bin/understudy && t "$@"); number=$((number + 1)); }
beside "where its file is missing" 65 "" '^[^ ]*ips.yaml:1: no NF called "ips", expected the name of an NF of this program, or of one in lib/understudy/NAME.so, where modules are installed$' check -c "$dir/ips.yaml"
cp "$(dirname "$understudy")/lib/understudy/ips.so" "$dir/there/lib/understudy"
beside "where the program was moved with its file" 0 'ok: chain x \(ips\)' "" check -c "$dir/ips.yaml"
sed 's/ips:/ipss:/' "$dir/ips.yaml" >"$dir/near.yaml"
beside "a name that is nearly a module's" 65 "" 'no NF called "ipss", expected ips\?$' check -c "$dir/near.yaml"
chmod o+w "$dir/there/lib/understudy/ips.so"
beside "where others may write to its file" 65 "" 'ips.yaml:1: .*ips.so: .*expected .*nobody else may write' check -c "$dir/ips.yaml"
t "new-nf begins none of that name" 64 "" 'there is an NF ips, expected another name' new-nf ips "$dir/new-ips"
t "version tells those of modules, too" 0 '^build: library .*, ips [0-9]' "" version
t "an end that is none" 64 "" 'show: -s 10.0.0.300, expected ADDRESS, NETWORK/N or ADDRESS:PORT' show -c "$pair" -s 10.0.0.300 nat
t "events and a count" 64 "" 'show: -E and --count, expected one of them' show -c "$pair" -E --count nat

t "check a pair" 0 "^$dir/pair.yaml: ok: chain edge \(monitor\), 1 lane, mode log \(auto: every NF can be replayed\), nodes a, b$" "" check -c "$pair"
t "check a pair, JSON" 0 '"ok":true,"chain":"edge".*"mode":"log","mode_asked":"auto","mode_decided_by":null.*"nodes":\["a","b"\]' "" check -c "$pair" -o json
t "check the edge chain" 0 "ok: chain edge \(nat, firewall, monitor\), 1 lane, mode log \(auto: every NF can be replayed\)$" "" check -c "$dir/edge.yaml"
t "check what is not there" 65 "" "^$dir/none.yaml: cannot be opened" check -c "$dir/none.yaml"
t "check a mistake" 65 "" "^$dir/bad.yaml:8: node b role is standbye, expected primary or standby or spare$" check -c "$dir/bad.yaml"
t "check a mistake, JSON" 65 '"ok":false,"error":".*bad.yaml:8: ' "^$dir/bad.yaml:8: " check -c "$dir/bad.yaml" -o json
mkfifo "$dir/pipe"
t "check a pipe" 65 "" "^$dir/pipe: not a regular file" check -c "$dir/pipe"
sed 's/^interfaces:/protect: {mode: off}\n&/' "$dir/pair.yaml" >"$dir/off.yaml"
t "check a pair without protection" 0 "off.yaml: ok" "warning: protect mode is off: .*node a alone can run$" check -c "$dir/off.yaml"
sed '/^interfaces:/,/name: out/d' "$dir/pair.yaml" | sed 's/in: net/inside: net/; s/out: net/outside: net/' >"$dir/wire.yaml"
t "check a pair that is a wire" 0 "wire.yaml: ok" "wire.yaml: warning: without interfaces nothing is announced " check -c "$dir/wire.yaml"
cat >"$dir/six.yaml" <<END
chain: { name: six, nfs: [ monitor: {}, firewall: { rules: six.rules } ] }
interfaces:
  - { name: inside, side: inside, address: 10.0.0.1/8, address6: "2001:db8::1/64", mac: "02:00:00:00:00:01" }
  - { name: outside, side: outside, address: 203.0.113.20/24, mac: "02:00:00:00:00:11" }
END
echo "default allow" >"$dir/six.rules"
t "check warns of addresses that no packet can pass to" 0 "six.yaml: ok" \
    "six.yaml: warning: interface inside has an address of IPv6, and nf 2, firewall, drops all of IPv6 as it is configured$" check -c "$dir/six.yaml"
sed -i 's/six.rules }/six.rules, ipv6: true }/' "$dir/six.yaml"
t "and not where they can" 0 "six.yaml: ok" "" check -c "$dir/six.yaml"
chain() { # NFS
    echo "chain: { name: seen, nfs: [ $1 ] }" >"$dir/seen.yaml"
}
balancer='load_balancer: { vip: 203.0.113.2, vip6: "2001:db8:1::80", backends: "10.0.0.1:80 [fd00:1:2::1]:80" }'
prefix='nptv6: { inside: "fd00:1:2::/48", outside: "2001:db8:1::/48" }'
chain "$balancer, $prefix"
t "check warns of a service that a prefix hides" 0 "seen.yaml: ok" \
    "seen.yaml: warning: nf 1, load_balancer: nobody outside reaches vip6 2001:db8:1::80, which nf 2, nptv6, maps to the inside; expected one that is not of 2001:db8:1::/48$" check -c "$dir/seen.yaml"
chain "$balancer, ${prefix/8:1/8:2}"
t "and not beside it" 0 "seen.yaml: ok" "" check -c "$dir/seen.yaml"
echo "example.com" >"$dir/seen.domains"
nat="nat: { inside: [10.0.0.0/8], outside: 203.0.113.1 }" guard="dns_guard: { list: seen.domains"
chain "$nat, $guard }"
t "check warns of answers that their clients do not know" 0 "seen.yaml: ok" \
    "seen.yaml: warning: nf 2, dns_guard: clients inside get no answer to what nf 1, nat, translates; expected dns_guard before it$" check -c "$dir/seen.yaml"
chain "$guard, clients: outside }, $nat"
t "outside too" 0 "seen.yaml: ok" \
    "seen.yaml: warning: nf 1, dns_guard: clients outside get no answer to what nf 2, nat, translates; expected dns_guard behind it$" check -c "$dir/seen.yaml"
for nfs in "$guard }, $nat" "$nat, $guard, clients: outside }" "$nat, $guard, action: drop }"; do
    chain "$nfs"
    t "and of none that they know" 0 "seen.yaml: ok" "" check -c "$dir/seen.yaml"
done
resets() { # LANES RATE-LIMITER
    echo "chain: { name: resets, lanes: $1, nfs: [ ${2}syn_proxy: { servers: [ 10.0.0.0/8 ], ports: 80, on_crash: reset } ] }" >"$dir/resets.yaml"
}
resets 2 "rate_limiter: { pps: 9 }, "
t "an NF that translates begins anew beside none whose lanes share state" 65 "" \
    "resets.yaml:1: syn_proxy: on_crash: reset of an NF that translates flows, beside rate_limiter whose lanes share state, in a chain of several lanes; expected stop$" check -c "$dir/resets.yaml"
resets 2 ""
t "but alone" 0 "resets.yaml: ok" "" check -c "$dir/resets.yaml"
resets 1 "rate_limiter: { pps: 9 }, "
t "and in one lane" 0 "resets.yaml: ok" "" check -c "$dir/resets.yaml"
hints() { # NAT'S-SETTINGS ADDRESS-INSIDE PROTECT
    sed "s|nfs: .*|nfs: [ nat: { outside: 198.51.100.2, $1 } ]}|; s|10.0.0.1/24|$2|; s|^interfaces:|protect: { $3 }\n&|" "$pair" >"$dir/hints.yaml"
}
hints "inside: [10.0.0.0/8], max_flows: 1000, max_flows_per_host: 1000" 10.1.0.1/16 "hold_packets: 8192"
t "check of a nat that translates what is inside, and whose limits hold" 0 "hints.yaml: ok" "" check -c "$dir/hints.yaml"
hints "inside: [10.0.0.0/8], max_flows: 1000, max_flows_per_host: 1001" 192.168.4.1/22 "hold_packets: 8193"
t "check warns of hosts that a nat drops" 0 "hints.yaml: ok" \
    'hints.yaml: warning: in: nothing of 192.168.4.0/22 is in `inside` of nf 1, nat, which drops what its hosts send out$' check -c "$dir/hints.yaml"
t "of a host's limit that is none" 0 "hints.yaml: ok" \
    "hints.yaml: warning: nf 1, nat: max_flows_per_host 1001 is above max_flows 1000: no host is limited$" check -c "$dir/hints.yaml"
t "and of a hold without buffers" 0 "hints.yaml: ok" \
    "hints.yaml: warning: node b: hold_packets 8193: 16384 mbufs have room for 8192 in each lane, expected mbufs of 32768 or more$" check -c "$dir/hints.yaml"
hints "inside: [10.0.0.0/8], unsupported: pass" 192.168.4.1/22 ""
t "and not where such hosts may be meant to pass" 0 "hints.yaml: ok" "" check -c "$dir/hints.yaml"
hints "inside: [10.0.0.0/8]" 10.0.0.1/24 ""
sed -i '/^interfaces/i routes: [ { to: 192.168.0.0/16, via: 10.0.0.254 } ]' "$dir/hints.yaml"
t "check warns of routed hosts that a nat drops, and of no hold that the file does not ask for" 0 "hints.yaml: ok" \
    'hints.yaml: warning: route: nothing of 192.168.0.0/16 is in `inside` of nf 1, nat, ' check -c "$dir/hints.yaml"
hints "inside: [10.0.0.0/8]" 10.0.0.1/24 ""
sed -i 's/outside: 198.51.100.2/outside: 10.0.0.77/' "$dir/hints.yaml"
t "check warns of an outside address in a network of the inside" 0 "hints.yaml: ok" \
    "hints.yaml: warning: nf 1, nat: outside 10.0.0.77 is in the network of in, an interface of the inside$" check -c "$dir/hints.yaml"
sed 's/role: primary,/role: primary, user: nosuchuser,/' "$dir/pair.yaml" >"$dir/user.yaml"
sed 's/out: net_null1/out: net_null0/' "$dir/pair.yaml" >"$dir/twice.yaml"
t "check a device that two ports have" 65 "" "twice.yaml:[0-9]*: node a ports out is net_null0, as in, expected a device or interface of its own$" check -c "$dir/twice.yaml"
t "run the standby without protection" 65 "" "^understudy: node b: protect mode is off, expected node a" run -c "$dir/off.yaml" -n b
sed 's/127.0.0.1:7001/192.0.2.1:7001/' "$dir/pair.yaml" >"$dir/far.yaml"
t "run without -n where both nodes are of this host" 64 "" 'which node\? Not just one of a \(127.0.0.1\) and b \(127.0.0.1\) has an address of this host, expected -n NAME' run -c "$pair"
t "run with an address of another host" 69 "" "192.0.2.1" run -c "$dir/far.yaml" -n a
sed -i 's/replication: "127.0.0.1:7001"/replication: "203.0.113.250:7001"/' "$dir/off.yaml"
t "run without -n takes the node whose address is this host's" 65 "" "^understudy: node b: protect mode is off, expected node a" run -c "$dir/off.yaml"
sed -i 's/replication: "203.0.113.250:7001"/replication: "127.0.0.1:7001"/' "$dir/off.yaml"
sed 's/insecure: true/key: none.key/' "$dir/pair.yaml" >"$dir/key.yaml"
sed 's/insecure: true/tls: {cert: a.pem, key: a.key, ca: ca.pem}/' "$dir/pair.yaml" >"$dir/tls.yaml"
gone='No such file or directory, expected'
sed 's/127.0.0.1:/192.0.2.1:/' "$dir/key.yaml" >"$dir/elsewhere.yaml"
t "a file of other servers alone is judged alone" 0 "elsewhere.yaml: ok: .*, nodes a, b; none is of this server, so no start was judged \(-n NAME judges that one's\)$" "" check -c "$dir/elsewhere.yaml"
sed 's/insecure: true/key: open.key/; s/127.0.0.1:7002/192.0.2.1:7002/' "$dir/pair.yaml" >"$dir/start.yaml"
"$understudy" key "$dir/open.key"
t "a node that would start" 0 "start.yaml: ok: .*, nodes a, b$" "" check -c "$dir/start.yaml"
# What the start on this server refuses check refuses: with the same words, and the same exit code.
starts() { # NAME CODE WHY SED
    sed "$4" "$dir/start.yaml" >"$dir/refused.yaml"
    t "check refuses $1" "$2" "" "^$dir/refused.yaml: node a does not start: $3$" check -c "$dir/refused.yaml"
    t "as run does" "$2" "" "$(sed -E 's/^(link|state|record|metrics|control socket): //' <<<"$3")|Cannot assign requested address" run -c "$dir/refused.yaml" -n a
}
starts "a key that is not there" 65 "link: $dir/refused.yaml:5: link key: $dir/none.key: $gone the pair's key \(understudy key FILE makes one\)" s/open.key/none.key/
echo garbage >"$dir/garbage.key" && chmod 600 "$dir/garbage.key"
starts "a key that is none" 65 "link: $dir/garbage.key:1: expected 64 hexadecimal digits, on at most 2 lines" s/open.key/garbage.key/
cp "$dir/open.key" "$dir/read.key" && chmod 644 "$dir/read.key"
starts "a key that others may read" 77 "link: $dir/read.key: mode 0644, expected 0600: nobody else may read a key" s/open.key/read.key/
starts "an interface that this server does not have" 65 "port out: 'net_af_packet1,iface=nonesuch' cannot be opened: No such device" 's/net_null1/"net_af_packet1,iface=nonesuch"/'
starts "a driver that there is not" 65 "port out: 'net_bogus1' cannot be opened: EAL: failed to parse device \"vdev:net_bogus1\"" 's/net_null1/net_bogus1/'
starts "a PCI device that this server does not have" 65 "port out: '0000:fe:1f.7' cannot be opened: No such device" 's/net_null1/"0000:fe:1f.7"/'
starts "more buffers than memory" 65 "no memory for 300000 packet buffers in 512 MB; lower mbufs or raise memory_mb" 's/role: primary/&, mbufs: 300000/'
starts "metrics at an address of another server" 69 "metrics: 203.0.113.9:9470: expected an address of this host" 's/role: primary/&, metrics: "203.0.113.9:9470"/'
starts "operators of no group" 65 "control socket: operators nosuchgroup: no such group on this system" 's/role: primary/&, operators: nosuchgroup/'
starts "a state's directory in /proc" 77 "state: /proc: Permission denied" "s|role: primary|&, state: /proc/none|"
starts "a record's directory that is a file" 65 "record: $dir/open.key: a file, expected a directory" "s|^nodes:|record: $dir/open.key\n&|"
starts "a state's directory that is a file" 65 "state: $dir/open.key: a file, expected a directory" "s|role: primary|&, state: $dir/open.key|"
if [ "$(id -u)" = 0 ] && getent passwd nobody >/dev/null && getent group daemon >/dev/null && mkdir "$dir/his" && chown nobody "$dir/his" && chmod 711 "$dir"; then
    cp "$dir/open.key" "$dir/his/key" && chown nobody "$dir/his/key"
    his="s|open.key|his/key|; s|control: a.sock|control: his/a.sock, state: his, user: nobody, operators: daemon|"
    echo secret >"$dir/etcd.password" && chmod 600 "$dir/etcd.password"
    sed "$his; s/, operators: daemon//; s|^nodes:|arbiter: {etcd: [\"https://127.0.0.1:9\"], user: e, password_file: etcd.password}\n&|" \
        "$dir/start.yaml" >"$dir/arbiter.yaml"
    t "check warns of a password of the arbiter that the node's user cannot read" 0 "arbiter.yaml: ok" \
        "arbiter.yaml: warning: node a has no arbiter: $dir/etcd.password: Permission denied$" check -c "$dir/arbiter.yaml"
    starts "operators of a group that is not the node's user's" 77 \
        "control socket .*: cannot be given to group daemon \(Operation not permitted\), expected a group of this node's user" "$his"
fi
if [ "$(id -u)" = 0 ] && mkdir "$dir/ro" && unshare -m mount -t tmpfs -o ro none "$dir/ro" 2>/dev/null; then
    as=(unshare -m sh -c "mount -t tmpfs -o ro none '$dir/ro' && exec \"\$0\" \"\$@\"")
    sed "s|role: primary|&, state: $dir/ro|" "$dir/start.yaml" >"$dir/disk.yaml"
    t "a state's directory on a read-only disk is refused by nobody" 0 "disk.yaml: ok" "" check -c "$dir/disk.yaml"
    sed "s|role: primary|&, state: $dir/ro/none|" "$dir/start.yaml" >"$dir/disk.yaml"
    t "but one that is not there" 70 "" "disk.yaml: node a does not start: state: $dir/ro: Read-only file system$" check -c "$dir/disk.yaml"
    t "as run does" 70 "" "$dir/ro: Read-only file system$" run -c "$dir/disk.yaml" -n a
    sed "s|control: a.sock|control: $dir/ro/a.sock|" "$dir/start.yaml" >"$dir/disk.yaml"
    t "and a control socket there" 70 "" "disk.yaml: node a does not start: control socket: $dir/ro: Read-only file system$" check -c "$dir/disk.yaml"
    t "as run does" 70 "" "$dir/ro: Read-only file system$" run -c "$dir/disk.yaml" -n a
    as=()
fi
starts "a user that this server does not have" 65 ".*nosuchuser.*" 's/role: primary/&, user: nosuchuser/'
sed 's/^nodes:/protect: {hold_packets: 65536}\n&/; s/control: [ab].sock/&, mbufs: 8192/' "$dir/pair.yaml" >"$dir/hold.yaml"
t "check warns of both nodes" 0 "hold.yaml: ok" "warning: node b: hold_packets" check -c "$dir/hold.yaml"
of_one() { "$understudy" check -c "$dir/hold.yaml" -n b 2>&1 >/dev/null | grep -o 'node [ab]: hold_packets' | xargs; }
t "and with -n of the one that is named" 0 "hold.yaml: ok" "warning: node b: hold_packets" check -c "$dir/hold.yaml" -n b
number=$((number + 1))
if [ "$(of_one)" = "node b: hold_packets" ]; then echo "ok $number - of no other"; else echo "not ok $number - of no other: $(of_one)"; fi
t "check -n of a node that is not of this server" 69 "" "start.yaml: node b does not start: replication: 192.0.2.1:7002: expected an address of this host$" check -c "$dir/start.yaml" -n b
sed '/^nodes:/,$d' "$dir/start.yaml" >"$dir/kept.yaml"
cat >>"$dir/kept.yaml" <<END
nodes:
  a: { role: primary, inputs: "203.0.113.1:6081", replication: "203.0.113.1:7001", control: a.sock }
  b: { role: standby, inputs: "203.0.113.2:6081", replication: "203.0.113.2:7002", control: b.sock }
keepers:
  k: { inputs: "127.0.0.1:6081", ports: { in: net_null0, out: "net_af_packet1,iface=nonesuch" }, control: k.sock }
END
t "check refuses ports of a keeper that this server does not have" 65 "" "kept.yaml: keeper k does not start: port out: 'net_af_packet1,iface=nonesuch' cannot be opened: No such device$" check -c "$dir/kept.yaml"
t "as the keeper does" 65 "" "port out: 'net_af_packet1,iface=nonesuch' cannot be opened: No such device" keeper -c "$dir/kept.yaml"
t "run without the pair's key" 65 "" \
    "^understudy: $dir/key.yaml:5: link key: $dir/none.key: $gone the pair's key \(understudy key FILE makes one\)$" run -c "$dir/key.yaml" -n a
ln -s pair.yaml "$dir/none.key"
t "run with a link in the key's place" 65 "" "key.yaml:5: link key: $dir/none.key: is a link, expected the pair's key" run -c "$dir/key.yaml" -n a
t "run without the certificate" 65 "" "tls.yaml:5: link tls cert: $dir/a.pem: $gone the node's certificate$" run -c "$dir/tls.yaml" -n a
echo >"$dir/a.pem"
t "run without the certificate's key" 65 "" "tls.yaml:5: link tls key: $dir/a.key: $gone the certificate's key$" run -c "$dir/tls.yaml" -n a
echo >"$dir/a.key"
t "run without the authority's certificate" 65 "" "tls.yaml:5: link tls ca: $dir/ca.pem: $gone the authority's certificate$" run -c "$dir/tls.yaml" -n a
t "status with a mistake in the file" 65 "" "^$dir/bad.yaml:8: " status -c "$dir/bad.yaml"
t "status of a chain file" 65 "" 'no nodes in this file, expected a pair file' status -c "$dir/edge.yaml"

t "status of one node, nobody answers" 69 "" "node a: $dir/a.sock: no node listens" status -c "$pair" -n a
t "status, nobody answers" 69 "" "^understudy: no node answers: node a: .*; node b: .*no node listens" status -c "$pair"
for command in verify promote drain resync failback; do
    t "$command, nobody answers" 69 "" 'no node listens' $command -c "$pair"
done
t "show, nobody answers" 69 "" 'no node listens' show -c "$pair" monitor
t "set, nobody answers" 69 "" 'no node listens' set -c "$pair" monitor a=b
t "clear, nobody answers" 69 "" 'no node listens' clear -c "$pair" monitor
t "clear at one node, nobody answers" 69 "" 'node b: .*no node listens' clear -c "$pair" -n b monitor key

# A node without protection, and somebody who is neither root nor of its group.
sed 's/net_null\([01]\)/"net_null\1,no-rx=1"/g; s/control: a.sock/&, mbufs: 2048, memory_mb: 128/' "$dir/off.yaml" >"$dir/alone.yaml"
"$understudy" run -c "$dir/alone.yaml" -n a 2>"$dir/log" &
node=$!
for _ in {1..400}; do
    [ -S "$dir/a.sock.look" ] && "$understudy" status -c "$dir/alone.yaml" -n a 2>/dev/null | grep -q SOLO && break
    sleep 0.05
done
t "status of a node that runs" 2 '^a +primary +SOLO' "" status -c "$dir/alone.yaml" -n a
t "status of the pair is one object, of the primary, with what it knows of its peer" 2 \
    '^\{"node":"a","role":"primary",.*"peer":\{"node":null,"connected":false,"state":"UNKNOWN","view":0,"version":null,"format":null,"silent_ms":null,"differs":null\}.*,"other":null\}$' \
    '^understudy: node b: .*no node listens' status -c "$dir/alone.yaml" -o json
t "promote it" 1 "" 'node a is primary already' promote -c "$dir/alone.yaml" -n a
# A node that runs does not need its file again: what is wrong in the chain, or in a file of its, is said in one line.
sed 's/nfs: .*monitor[^]]*\]/nfs: [monitorr]/' "$dir/alone.yaml" >"$dir/typo.yaml"
sed "s/nfs: .*monitor[^]]*\]/nfs: [{firewall: {rules: $(basename "$dir").rules}}]/" "$dir/alone.yaml" >"$dir/rules.yaml"
echo "no rule" >"$dir/$(basename "$dir").rules"
t "status with a mistake in the chain of the file" 2 '^a +primary +SOLO' '^.*typo.yaml:[0-9]+: no NF called "monitorr".*; the running nodes are asked all the same$' \
    status -c "$dir/typo.yaml" -n a
t "status with a broken rules file" 2 '^a +primary +SOLO' '\.rules:1: .*; the running nodes are asked all the same$' status -c "$dir/rules.yaml" -n a
t "an act with a broken rules file" 1 "" 'node a is primary already' promote -c "$dir/rules.yaml" -n a
if [ "$(id -u)" = 0 ]; then
    chmod 755 "$dir"
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    t "a stranger asks for the status" 2 '^a +primary +SOLO' "" status -c "$dir/alone.yaml" -n a
    t "a stranger looks at an NF" 0 'packets' "" show -c "$dir/alone.yaml" -n a monitor
    t "and at the counters of all" 0 '^monitor +flows_created +0$' "" show -c "$dir/alone.yaml" -n a counters
    for command in promote drain failback resync verify; do
        t "a stranger may not $command" 77 "" "node a: $command acts: this socket only answers questions, $dir/a.sock acts, expected root or a member of group $(stat -c %G "$dir/a.sock")$" $command -c "$dir/alone.yaml" -n a
    done
    t "a stranger may not set" 77 "" 'node a: set acts: ' set -c "$dir/alone.yaml" -n a monitor timeout=9
    t "a stranger may not clear" 77 "" 'node a: clear acts: ' clear -c "$dir/alone.yaml" -n a monitor
    chmod o-w "$dir/a.sock.look"
    t "without the socket that looks he is told which one he may not open" 77 "" "node a: $dir/a.sock: no permission to talk to the node, expected user root or a member of group $(stat -c %G "$dir/a.sock")" status -c "$dir/alone.yaml" -n a
    as=()
fi
kill -TERM $node
wait $node
node=

# A pair, asked on its standby's server: the primary's socket is not here. And a file of rules that is changed.
mkdir "$dir/both"
echo 'chain: { name: two, nfs: [ firewall: { rules: fw.rules } ] }' >"$dir/both/chain.yaml"
printf 'allow out tcp from any to any port %s\n' 1 2 3 >"$dir/both/fw.rules"
sed 's/^chain: .*/chain: { file: chain.yaml }/; s/^link: .*/timing: { detect_ms: 5000 }\n&/; s/net_null\([01]\)/"net_null\1,no-rx=1"/g; s/control: [ab].sock/&, mbufs: 2048, memory_mb: 128/' "$pair" >"$dir/both/pair.yaml"
sed 's/control: a.sock/control: none.sock/; s/127.0.0.1:7001/203.0.113.7:7001/' "$dir/both/pair.yaml" >"$dir/both/of-b.yaml"
for n in a b; do "$understudy" run -c "$dir/both/pair.yaml" -n $n 2>"$dir/both/$n.log" & node+=" $!"; done
for ((i = 0; i < 600; i++)); do
    ! "$understudy" status -c "$dir/both/pair.yaml" >/dev/null 2>&1 || break
    sleep 0.05
done
for command in apply resync "set firewall rule.1=deny"; do
    # shellcheck disable=SC2086 # words
    t "$command, where the primary is on the other server" 1 "" "^understudy: node b: .*; node a is primary, on the other server: say it there$" $command -c "$dir/both/of-b.yaml"
done
sed -i '2s/2/22/; 3d' "$dir/both/fw.rules"
t "a dry run tells lines of a file" 0 "^        - 2: allow out tcp from any to any port 2$" "" apply --dry-run -c "$dir/both/pair.yaml"
is_told() { number=$((number + 1)); if [ "$2" = "$3" ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; sed 's/^/# /' <<<"$2"; fi; }
is_told "those that go and come, as diff has them" "$(sed -n 's/^        \([-+]\) [0-9]*: /\1/p' "$dir/out")" \
    "$(printf -- '%sallow out tcp from any to any port %s\n' - 2 - 3 + 22)"
# shellcheck disable=SC2086 # processes
kill -TERM $node
wait
node=

"$understudy" --help >/dev/full 2>"$dir/err"
code=$?
number=$((number + 1))
if [ "$code" = 70 ] && grep -q 'cannot write' "$dir/err"; then echo "ok $number - a full disk is noticed"; else echo "not ok $number - a full disk is noticed"; fi
echo "1..$number"
