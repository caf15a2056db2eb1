#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# check --try: what a node's file names is opened, as its start would, and closed again: ports of both kernel drivers, key, addresses, a
# real etcd. Each wrong one is one line with its reason, all of them in one go, and the exit code is the start's.
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
plan 48

LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" LAB_NODE="mbufs: 8192, memory_mb: 256, metrics: \"0.0.0.0:9470\"" "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1

# On a's server: the exit code in $code, what was said in $work/out and $work/err.
try() { # FILE [OPTION…]
    "$lab" exec a timeout 60 "$UNDERSTUDY" check --try -c "$1" "${@:2}" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}
lines() { grep -c ': try: ' "$work/err"; }
told() { grep -E ": try: $1\$" "$work/err" || { cat "$work/err"; return 1; }; }
wrong() { sed "$1" "$pair" >"$LAB_DIR/wrong.yaml"; try "$LAB_DIR/wrong.yaml" "${@:2}"; }
left() { (cd "$LAB_DIR" && find . ! -name wrong.yaml | sort); ip -n "${LAB_PREFIX}a" -o link | grep -c prog/xdp; }

left >"$work/before"
try "$pair"
is "what is right can be opened" "$code $(wc -l <"$work/err")" "0 0"
ok "the node of this server is meant, and it says what it opened" grep -q \
    'pair.yaml: try: node a: opened control socket .*a.sock, link .*pair.key, state .*/a, replication 10.99.0.1:4700, metrics 0.0.0.0:9470, arbiter http://10.98.0.1:2379, ports 2$' "$work/out"
is "nothing of it is left" "$(left | diff "$work/before" -)" ""
try "$pair" -o json
is "as JSON" "$(jq -r '"\(.ok) \(.tried.node) \([.tried.opened[].ok] | all) \(.tried.opened | length)"' "$work/out")" "true a true 7"
"$lab" exec a timeout 60 "$UNDERSTUDY" check -c "$pair" -o json >"$work/out"
is "without the option nothing is tried" "$(jq -r .tried "$work/out")" null

if is_root && python3 -c 'import socket; socket.socket(44, socket.SOCK_RAW)' 2>/dev/null; then
    wrong 's/net_af_packet0,iface=a-in[^"]*/net_af_xdp0,iface=a-in/'
    is "an af_xdp port" "$code $(lines)" "0 0"
    is "its program is taken off again" "$(left | diff "$work/before" -)" ""
    wrong 's/net_af_packet0,iface=a-in[^"]*/net_af_xdp0,iface=nonesuch/'
    is "an af_xdp port without an interface" "$code $(lines)" "65 1"
    ok "by its reason" told "node a: port inside: 'net_af_xdp0,iface=nonesuch' cannot be opened: No such device"
else
    for i in 1 2 3 4; do skip "an af_xdp port" "this kernel has no AF_XDP for us"; done
fi

# What no port has to be opened for is refused by check, in the same words as by the start.
refused() { # WHAT SED EXPECTED
    sed "$2" "$pair" >"$LAB_DIR/wrong.yaml"
    "$lab" exec a timeout 60 "$UNDERSTUDY" check -c "$LAB_DIR/wrong.yaml" >"$work/out" 2>&1 </dev/null
    code=$?
    "$lab" exec a timeout 60 "$UNDERSTUDY" run -n a -c "$LAB_DIR/wrong.yaml" >"$work/run" 2>&1 </dev/null
    is "$1" "$code $? $(grep -c "$3\$" "$work/out") $(grep -c "$3\$" "$work/run")" "65 65 1 1"
}
refused "a port without an interface" 's/net_af_packet0,iface=a-in[^"]*/net_af_packet0/' "port inside: 'net_af_packet0' cannot be opened: no interface, expected iface=NAME, of up to 15 characters"
refused "an argument that its driver does not know" 's/iface=a-in[^"]*/iface=a-in,frames=2/' '"frames=2" is no argument of net_af_packet, which has iface qpairs blocksz framesz framecnt qdisc_bypass fanout_mode'
refused "a ring that the kernel does not make" 's/iface=a-in[^"]*/iface=a-in,framesz=1000/' 'framesz=1000, expected a multiple of 16, of more than 66'
refused "a link_port without its interface" 's/mbufs: 8192/mbufs: 8192\n    link_port: "net_af_packet2,iface=nonesuch"/' "link_port 'net_af_packet2,iface=nonesuch' cannot be opened: No such device"
refused "a link_port of no driver" 's/mbufs: 8192/mbufs: 8192\n    link_port: "net_nonesuch2"/' 'link_port .net_nonesuch2. cannot be opened: EAL: failed to parse device "vdev:net_nonesuch2"'
refused "a link_port that is a data port" 's/mbufs: 8192/mbufs: 8192\n    link_port: "net_af_packet2,iface=a-in"/' 'node a link_port is net_af_packet2,iface=a-in, as port inside, expected a device or interface of its own'
refused "more memory than the machine has" 's/memory_mb: 256/memory_mb: 1048576/' 'memory_mb is 1048576, expected at most the [0-9]* MB that this machine has'
mkdir -p "$LAB_DIR/a"
echo junk >"$LAB_DIR/a/a.view"
refused "a view file that is none" 's/^$//' "a/a.view:1: expected 'understudy view N'; remove it only if its peer holds the state"
rm "$LAB_DIR/a/a.view"
sed 's/iface=a-in/iface=a-repl/' "$pair" >"$LAB_DIR/wrong.yaml"
"$lab" exec a timeout 60 "$UNDERSTUDY" check -c "$LAB_DIR/wrong.yaml" >"$work/out" 2>&1
is_like "a port at the link's interface is told of" "$(cat "$work/out")" '*warning: node a: a-repl: it has the replication address 10.99.0.1, expected an interface of its own*'
refused "more huge pages than there are" 's/memory_mb: 256/memory_mb: 1000000\n    hugepages: true/' 'MB of huge pages, expected 1000000 for memory_mb, or hugepages: false'
pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages # DPDK takes those as well
if [ -e $pages ]; then
    sed 's/memory_mb: 256/memory_mb: 1000000\n    hugepages: true/' "$pair" >"$LAB_DIR/wrong.yaml"
    echo 500000 >"$work/pages"
    ok "huge pages that the kernel makes when they are asked for count" "$lab" exec a sh -c "mount --bind '$work/pages' $pages && exec '$UNDERSTUDY' check -c '$LAB_DIR/wrong.yaml'"
else
    skip "huge pages that the kernel makes" "this kernel has none of 2 MB"
fi
mkdir "$LAB_DIR/a.sock.look"
refused "a control socket's path where a directory is" 's/^$//' 'control socket .*a.sock.look: a file is there that is no socket'
rmdir "$LAB_DIR/a.sock.look"

wrong 's/iface=a-out/iface=nonesuch/'
is "a port without its interface: the code of a file that is wrong" "$code $(lines)" "65 1"
ok "with DPDK's reason in one line" told "node a: port outside: 'net_af_packet1,iface=nonesuch.*' cannot be opened: .*No such device"
wrong 's/net_af_packet1,iface=a-out[^"]*/net_nonesuch0/'
is "a driver that is not there" "$code $(lines)" "65 1"
wrong 's/memory_mb: 256/memory_mb: 256\n    eal: ["-l", "0"]/'
is "fewer lcores than lanes" "$code $(lines)" "65 1"
ok "names the key" told "node a: eal gives 0 lcores beside the main one, expected 1, one for each of chain.lanes: .*"
wrong 's/memory_mb: 256/memory_mb: 256\n    eal: ["--nonesuch"]/'
ok "an option that DPDK does not know is named" told "node a: DPDK does not start: .*unrecognized option '--nonesuch'"
wrong 's/mbufs: 8192/mbufs: 1000000/'
is "more buffers than memory" "$code $(lines)" "65 1"
ok "says what to lower" told "node a: no memory for 1000000 packet buffers in 256 MB; lower mbufs or raise memory_mb"
try "$pair" -n b
is "the other node's address is not of this server" "$code $(lines)" "69 2"
ok "is said of it" told "node b: replication: 10.99.0.2:4700: expected an address of this host"
ok "and its port is told as well" told "node b: port inside: .*"
try "$pair" -n c
is "a node that is not in the file" "$code" 64
ok "is said" grep -q "no node 'c', expected a or b" "$work/err"

"$lab" exec a timeout 60 python3 -c '
import socket, time
one, two = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
one.bind(("10.99.0.1", 4700)); two.bind(("0.0.0.0", 9470)); two.listen()
print("held", flush=True); time.sleep(50)' >"$work/held" &
holder=$!
soon grep -q held "$work/held"
try "$pair"
is "addresses that somebody has" "$code $(lines)" "69 2"
ok "the link's" told "node a: replication: 10.99.0.1:4700: UDP: Address already in use"
ok "and that of the metrics" told "node a: metrics: 0.0.0.0:9470: TCP: Address already in use"
kill $holder
wait $holder 2>/dev/null

chmod 644 "$LAB_DIR/pair.key"
try "$pair"
chmod 600 "$LAB_DIR/pair.key"
is "a key that others may read" "$code $(lines)" "77 1"
ok "is told as a start tells it" told "node a: link: .*pair.key.*"
wrong 's/pair\.key/none.key/'
is "a key that is not there: the code that a start ends with" "$code $(lines) $("$lab" exec a timeout 60 "$UNDERSTUDY" run -c "$LAB_DIR/wrong.yaml" -n a >"$work/run" 2>&1; echo $?)" "65 1 65"
ok "and its line" told "node a: link: .*wrong.yaml:[0-9]*: link key: .*none.key: No such file or directory, expected the pair's key .*"
end_etcd
try "$pair"
is "an arbiter that does not answer" "$code $(lines)" "69 1"
ok "is told with its address" told "node a: arbiter: .*10.98.0.1:2379.*"
etcd_up
etcd_answers >/dev/null
touch "$LAB_DIR/plain"
wrong "s|state: .*/a\$|state: $LAB_DIR/plain/a|; s/iface=a-out/iface=nonesuch/"
is "two things that are wrong are told in one go" "$code $(lines)" "65 2"
rm -f "$LAB_DIR/plain"

"$lab" start a
"$lab" start b
is_protected
try "$pair"
is "of a node that runs nothing is tried" "$code $(lines)" "69 1"
ok "and why is said" told "node a: control socket .*a.sock: a node already listens there"
is "it is well" "$(field a state) $(field b state)" "PROTECTED READY"
rm -f "$LAB_DIR/wrong.yaml"
