#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pipe, a directory or a device in place of a file, and limits that are too low: one line and an exit code, nothing
# hangs, no program aborts, and nothing is left behind. No root, no lab. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
chains
chain=$dir/chain/monitor.yaml
made=$dir/made.pcap
python3 tests/lab/mkpcap.py "$made" 200 20
mkfifo "$dir/pipe"

# NAME CODE PATTERN COMMAND…: soon, one line on stderr.
refused() {
    local name=$1 code=$2 pattern=$3 got
    shift 3
    timeout 100 "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" = "$code" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qE -- "$pattern" "$dir/err"
    ok "$name" $? "exit $got, expected $code and $pattern"
}
# The same of a node of its own directory, which leaves nothing there, nor in DPDK's directory.
node_refused() { # NAME CODE PATTERN SED-SCRIPT [COMMAND…]
    local name=$1 code=$2 pattern=$3 script=$4 before
    shift 4
    mkdir "$dir/node"
    [ -z "${owner:-}" ] || chown "$owner" "$dir/node"
    cat >"$dir/node.yaml" <<END
chain: { name: monitor, nfs: [ monitor ] }
link: { insecure: true }
nodes:
  limited: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4705", control: node/one.sock }
  two: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: "127.0.0.1:4706", control: node/two.sock }
END
    sed -i "$script" "$dir/node.yaml"
    before=$(runtime)
    refused "$name" "$code" "$pattern" "$@" "$understudy" run -c "$dir/node.yaml" -n limited
    [ -z "$(ls -A "$dir/node")" ] && [ "$(runtime)" = "$before" ]
    ok "$name: nothing is left" $? "$(ls -lA "$dir/node"; runtime)"
    rm -rf "$dir/node"
}
runtime() { find /run/dpdk /tmp/dpdk "$dir/run" -name 'us_limited_*' 2>/dev/null | sort; }
# What to put before a command that shall have a low limit.
files() { echo "prlimit --nofile=$1:$1"; }
addresses() { echo "prlimit --as=$(($1 << 10))"; }

# ── files ────────────────────────────────────────────────────────────────────────────────────────

replay=("$understudy" replay -c "$chain")
refused "a pipe for a capture" 65 "pipe: not a regular file, expected a capture" "${replay[@]}" "$dir/pipe"
refused "a device for a capture" 65 "zero: not a regular file, expected a capture" "${replay[@]}" /dev/zero
refused "a directory for a capture" 65 "not a regular file, expected a capture" "${replay[@]}" "$dir"
refused "a pipe to write to" 65 "pipe: not a regular file, expected a file to write to" "${replay[@]}" -w "$dir/pipe" "$made"
refused "a device to write to" 65 "null: not a regular file, expected a file to write to" "${replay[@]}" -w /dev/null "$made"
refused "a directory to write to" 65 "not a regular file, expected a file to write to" "${replay[@]}" -w "$dir" "$made"
mkfifo "$dir/out.pcap.part"
timeout 900 "${replay[@]}" -w "$dir/out.pcap" "$made" >/dev/null 2>"$dir/err" && [ -f "$dir/out.pcap" ]
ok "a pipe where the output is put together is no reader" $?
refused "a pipe for a recording" 65 "pipe:offset 0: no file, expected a recording" "${replay[@]}" --log "$dir/pipe"
mkdir "$dir/rec"
mkfifo "$dir/rec/00000001.rec"
refused "a pipe among recordings" 65 "00000001.rec:offset 0: no file, expected a recording" "${replay[@]}" --log "$dir/rec"
refused "a pipe for a configuration" 65 "pipe: not a regular file" "$understudy" check -c "$dir/pipe"
echo "chain: { name: x, modules: [ pipe ], nfs: [ monitor ] }" >"$dir/module.yaml"
refused "a pipe for a module" 65 "module.yaml:1: .*pipe \(not a regular file\)" "$understudy" check -c "$dir/module.yaml"
echo "chain: { name: x, nfs: [ firewall: { rules: pipe } ] }" >"$dir/rules.yaml"
refused "a pipe for rules" 65 "rules.yaml:1: .*pipe \(not a regular file\)" "$understudy" check -c "$dir/rules.yaml"
refused "a pipe for a new key" 65 "pipe: File exists, expected a name that is free" "$understudy" key "$dir/pipe"

node_refused "a pipe for a key" 65 "pipe: not a regular file, expected a key file" 's/insecure: true/key: pipe/'
node_refused "a pipe for a certificate" 65 "pipe: not a regular file" \
    "s|insecure: true|tls: { cert: pipe, key: $made, ca: $made }|"
node_refused "a pipe for the directory of recordings" 65 "pipe: a file, expected a directory" '1i record: pipe'
node_refused "a file for the directory of the view" 65 "made.pcap: a file, expected a directory" "s|control|state: $made, control|"

# ── limits, and starts that fail ─────────────────────────────────────────────────────────────────

node_refused "an option that EAL does not know" 65 "DPDK does not start" 's/control/eal: [--no-such], control/'
node_refused "a port that is not there" 65 "port inside" 's/net_null0/net_no0/'
node_refused "a user that is not there" 65 "user no-such-user: not known here" 's/control/user: no-such-user, control/'
node_refused "12 open files" 77 "at most 12 open files are permitted, expected 190" '' $(files 12)
for n in 70000 100000 400000 800000; do
    node_refused "$n KiB of addresses" 65 "" '' $(addresses $n)
done
# A user that nobody has: main thread, guardian, reporter, and a thread of DPDK's; it panics when it gets no other.
if [ "$(id -u)" = 0 ] && mkdir "$dir/run" && chown 64999 "$dir/run" && chmod 711 "$dir"; then
    owner=64999 node_refused "no thread for DPDK" 65 "DPDK does not start: Cannot create thread" '' env XDG_RUNTIME_DIR="$dir/run" \
        setpriv --reuid 64999 --regid 64999 --clear-groups prlimit --nproc=4:4
fi
refused "6 open files for replay" 77 "at most 6 open files are permitted, expected 190" $(files 6) "${replay[@]}" "$made"
refused "6 open files for the bench" 77 "at most 6 open files are permitted, expected 190" $(files 6) "$understudy" bench
refused "100000 KiB of addresses for replay" 70 "no memory" $(addresses 100000) "${replay[@]}" "$made"
echo "1..$tests"
