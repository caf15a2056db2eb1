#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The chain of a running pair is changed beside downloads and idle connections: no flow breaks, the pair is PROTECTED
# again with equal states; and what cannot be changed is refused before it begins.
. "$(dirname "$0")/lib.sh"
need_lab
plan 35

# SED-EXPRESSION: the pair file as it is to be.
edit() { sed -i "$1" "$pair"; }
# What was fetched is what is served.
intact() { [ "$(sha256sum <"$work/$1" | cut -d' ' -f1)" = "$(awk -v n="${2:-0}" 'NR == n + 1 { print $2 }' "$work/sums")" ]; }
refusal() { ! us apply >"$work/refusal" 2>&1 && grep -q -- "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }; }
# A connection through the chain, in NAME, on which a line is echoed whenever one is written.
idle() { # NAME
    mkfifo "$work/$1.in"
    "$lab" exec client python3 - "$work/$1.in" "$work/$1.out" <<'PY' &
import socket, sys
s = socket.create_connection(("203.0.113.100", 7777), 10)
out = open(sys.argv[2], "wb", 0)
out.write(b"open\n")
for line in open(sys.argv[1], "rb"):
    s.sendall(line)
    out.write(s.recv(100))
PY
    eval "exec $2>\"$work/$1.in\""
}
# LINE: what was written comes back.
echoed() {
    echo "$1" >&8
    local left=$(polls)
    until [ "$(tail -n 1 "$work/one.out")" = "$1" ]; do
        poll || { cat "$work/one.out"; return 1; }
    done
}
fetch() { "$lab" exec client curl -q -sS --limit-rate "${2:-4M}" -o "$work/$1" http://203.0.113.100/0 2>"$work/$1.err" & }

ok "the pair is PROTECTED" "$lab" up || exit 1
web_files "$work" 60000000
ok "a web server behind the chain" web_serve "$work"
"$lab" exec server python3 -c '
import socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self):
        while (d := self.request.recv(100)): self.request.sendall(d)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("203.0.113.100", 7777), H).serve_forever()' &
echo_server=$!
listens server tcp 7777
idle one 8
idle two 7
fetch one.got
download=$!
sleep 1
ok "an idle connection" echoed hello
ok "nothing to change: says so" us apply
echo 'deny out tcp from any to any port 99' | cat - "$LAB_DIR/firewall.rules" >"$work/rules" && cp "$work/rules" "$LAB_DIR/firewall.rules"
ok "a rule is added" us apply
diag "$(us apply 2>&1)"
cp "$LAB_DIR/firewall.rules" "$work/good" && echo 'allow nonsense' >>"$LAB_DIR/firewall.rules"
is "rules that are none: apply ends as check does" "$(us check >/dev/null 2>&1; echo $?) $(us apply >/dev/null 2>&1; echo $?)" "65 65"
is "and a dry run" "$(us apply --dry-run >/dev/null 2>&1; echo $?)" 65
cp "$work/good" "$LAB_DIR/firewall.rules"
is "it is there" "$(us show firewall -o json | jq -r '[.rows[] | select(.line == 1)][0].action')" deny
ok "the idle connection goes on" echoed rule
ok "digests are equal" equal
edit 's/{ monitor: {/{ rate_limiter: { clients: inside, pps: 1000000, burst_packets: 1000000 } }, { monitor: {/'
ok "an NF is added in the middle" us apply
ok "the idle connection goes on" echoed added
ok "it works" [ "$(us status -o json | jq -r .nfs.rate_limiter.passed)" -gt 0 ]
ok "digests are equal" equal
ok "the standby has it, too" await b 'nfs.rate_limiter != null' true
edit 's/{ rate_limiter: {[^}]*} }, //'
datagram() { "$lab" exec client bash -c 'echo x >/dev/udp/203.0.113.100/9997'; }
timeout 30 "$UNDERSTUDY" trace -c "$pair" -o json --packets 2 --seconds 25 udp port 9997 >"$work/traced" &
tracing=$!
soon is_tracing $tracing
datagram
ok "it is taken out" us apply
datagram
wait $tracing
is "a trace meanwhile names the NFs that each packet passed" "$(jq -r '.packets[] | [.steps[].nf] | join(" ")' "$work/traced" | paste -sd,)" \
    "l3 nat firewall rate_limiter monitor l3,l3 nat firewall monitor l3"
ok "the idle connection goes on" echoed out
ok "digests are equal" equal
edit 's/{ monitor: {/{ monitor: { on_crash: bypass,/'
is "what is done when an NF dies is changed" "$(us apply 2>&1 | grep -o 'the chain is changed')" "the chain is changed"
ok "digests are equal" equal
wait $download
is "a download beside all that is whole" "$? $(intact one.got && echo intact)" "0 intact"
resyncs=$(field a resync.done)
edit 's/ports: 1024-65535/ports: 2000-60000/'
ok "other ports of the NAT: refused" refusal 'nat ports: 1024-65535, then 2000-60000'
edit 's/ports: 2000-60000/ports: 1024-65535/; s/lanes: 1/lanes: 2/'
ok "more lanes: refused" refusal 'lanes: 1, then 2'
edit 's/lanes: 2/lanes: 1/; s/nat: {\(.*\)max_flows: 20000/nat: {\1max_flows: 1/'
ok "a table smaller than its fill: refused" refusal 'nat max_flows: 1, and there are'
edit 's/nat: {\(.*\)max_flows: 1 /nat: {\1max_flows: 20000 /'
edit 's/^  name: lab/&\n  nonsense: 1/'
ok "a file with a mistake: refused" refusal nonsense
edit '/nonsense/d'
ok "the pair is PROTECTED as ever" is_protected
is "and nobody was resynced" "$(field a resync.done)" "$resyncs"
ok "the idle connection goes on" echoed refused
ok "a takeover with the changed chain" drill kill
ok "the idle connection goes on" echoed takeover
ok "PROTECTED again" is_protected
# Of 15 MB, nearly all of it comments, so that it takes long enough for others to meet it.
{ echo 'deny out tcp from any to any port 98'; cat "$LAB_DIR/firewall.rules"; yes "# $(printf '%0240d' 0)" | head -n 60000; } >"$work/rules" && cp "$work/rules" "$LAB_DIR/firewall.rules"
# Straight to the socket: a process for each question would come too late on a busy machine.
python3 - "$LAB_DIR/b.sock" >"$work/held" <<'END'
import json, select, socket, sys

def say(cmd):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(json.dumps({"cmd": cmd}).encode() + b"\n")
    return s

applying, refused = say("apply"), False
while not select.select([applying], [], [], 0)[0]:
    refused |= "apply is under way" in say("hold").makefile().readline()
print(json.loads(applying.makefile().readline()).get("done"), refused)
END
us unpin >/dev/null
is "a rule is added by the successor, and who acts meanwhile is refused at once" "$(cat "$work/held")" "True True"
ok "the idle connection goes on" echoed again
ok "digests are equal" equal
exec 8>&- 7>&-
kill $echo_server 2>/dev/null
