#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server of a fleet that says of a shard what is not so, in its own key: that its node is the shard's primary, in a view that is
# later than any. No node is stopped or started, no key moves, status goes on to tell the truth, also where the shard has lost its
# standby meanwhile; and once the lie is over all is as before. Values that are too long, and a leader key that nobody keeps. A server
# that says of its own node what the other member's contradicts, and a node whose socket answers without measure.
FLEET_SERVERS=3 FLEET_SHARDS=1 FLEET_HOLD_DOWN=86400 FLEET_ON="s1, s2"
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
plan 29

fleet_network && fleet_files || exit 1
etcd_start
ok "etcd answers" etcd_answers || exit 1
for s in $servers; do agent_start "$s"; done
ok "the shard is PROTECTED" all_protected || exit 1
status_is() { fleet status >"$work/status" 2>&1; [ $? = "$1" ] || { cat "$work/status"; return 1; }; } # CODE
ok "nothing more is to be done" soon status_is 0
speak n1
key() { in_etcd get --print-value-only understudy/lab/shards/n1 | jq -c '[.members, .view]'; }
nodes() { local s; for s in s1 s2; do node_says n1 "$s" pid; done; }
units() { cat "$work"/agent-s?.log | grep -c "systemctl \(stop\|restart\)"; }
before=$(nodes) held=$(key) stops=$(units)

# ── s3 lies ──────────────────────────────────────────────────────────────────────────────────────

kill -TERM "${agent[s3]}"
wait "${agent[s3]}" 2>/dev/null
lie() { # VIEW MEMBER STATE
    in_etcd put understudy/lab/servers/s3 "{\"kept\":[],\"nodes\":{\"n1\":{\"state\":\"$3\",\"primary\":true,\"member\":true,\"view\":$1,\"members\":[\"n1-s3\",\"n1-$2\"]}}}" >/dev/null
}
ok "s3 says that its node is the primary" lie 4611686018427387904 s2 SOLO
sleep 4
is "the shard's key is as it was" "$(key)" "$held"
is "status tells of the true one" "$(said '.shards[0] | [.primary, .state, .protected] | @csv')" '"s1","PROTECTED",true'
ok "and with the other member, as PROTECTED" lie 1000 s1 PROTECTED
sleep 3
is "the shard's key is as it was" "$(key)" "$held"
too_long() { head -c 70000 /dev/zero | tr '\0' x | in_etcd put "understudy/lab/$1" >/dev/null; } # KEY
ok "a word of s3 that is too long, and a decision of the shard's" too_long servers/s3
too_long arbiter/n1
in_etcd put "understudy/lab/wishes/$(printf '%0300d' 1)" 1 >/dev/null # passed over
is_cut() { fleet status | tee "$work/status" | grep -q 'servers/s3: a value of more than 65536 bytes' && [ "$(said '.shards[0].state')" = PROTECTED ]; }
ok "status says which, and tells of the others" soon is_cut
in_etcd put understudy/lab/wishes/remove/n1 1 >/dev/null
withdrawn() { [ -z "$(in_etcd get --keys-only understudy/lab/wishes/remove/n1)" ]; }
ok "the leader takes away a removal of a shard that the file has" soon withdrawn
is "it goes on hearing the fleet" "$(cat "$work"/agent-s?.log | grep -c 'keys are not heard')" 0
is "no node has ended, and none has begun" "$(nodes)" "$before"
is "no agent has stopped a node" "$(units)" "$stops"
in_etcd del understudy/lab/servers/s3 >/dev/null
in_etcd del understudy/lab/arbiter/n1 >/dev/null
in_etcd del "understudy/lab/wishes/$(printf '%0300d' 1)" >/dev/null
agent_start s3
ok "the lie is over: nothing is to be done" soon status_is 0
is "no node has ended, and none has begun" "$(nodes)" "$before"

# ── many megabytes, of keys that one may write each ──────────────────────────────────────────────

for i in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 1000000 /dev/zero | in_etcd put "understudy/lab/arbiter/x$i" >/dev/null; done
ok "values of 12 MB in all hide no other key" soon status_is 0
for s in s2 s3 s1; do agent_restart $s; done # whoever leads now has read them all
ok "and whoever comes to lead hears the fleet" soon status_is 0
is "no agent hears less than all of it" "$(cat "$work"/agent-s?.log | grep -c 'keys are not heard')" 0
in_etcd del --prefix understudy/lab/arbiter/x >/dev/null

# ── a node that answers anything ─────────────────────────────────────────────────────────────────

mv "$LAB_DIR/run/n1-s2.sock" "$LAB_DIR/run/true.sock"
python3 - "$LAB_DIR/run/n1-s2.sock" "$work/cut" 2>/dev/null 9>&- <<'END' &
import socket, sys

s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(8)
answer = b'{"state":[' + b"[]," * 20000000 + b"[]]}\n"
while True:
    c = s.accept()[0]
    try:
        c.recv(4096)
        c.sendall(answer)
    except OSError:
        with open(sys.argv[2], "a") as f:
            print(1, file=f)
    c.close()
END
fake=$!
cut_short() { [ "$(wc -l <"$work/cut")" -ge 5 ]; }
ok "an answer of 60 MB is not taken, again and again" soon cut_short
is "the agent has taken less than 200 MB for it" "$(($(awk '/VmHWM/ { print $2 }' "/proc/${agent[s2]}/status") < 200000))" 1
kill $fake
wait $fake 2>/dev/null
mv "$LAB_DIR/run/true.sock" "$LAB_DIR/run/n1-s2.sock"
ok "the node is heard again" soon status_is 0

# ── a member that says of its own node what the other one's contradicts ──────────────────────────

kill -TERM "${agent[s2]}"
wait "${agent[s2]}" 2>/dev/null
own() { # STATE PRIMARY
    in_etcd put understudy/lab/servers/s2 "{\"kept\":[],\"nodes\":{\"n1\":{\"state\":\"$1\",\"primary\":$2,\"member\":true,\"view\":1,\"members\":[\"n1-s1\",\"n1-s2\"]}}}" >/dev/null
}
own PROTECTED true
ok "two primaries of one view are not PROTECTED" soon status_is 2
own JOINING false
ok "nor is one whose standby could not take over" soon status_is 2
in_etcd del understudy/lab/servers/s2 >/dev/null
agent_start s2
ok "once the lie is over it is" soon status_is 0
is "no node has ended, and none has begun" "$(nodes)" "$before"

# ── nobody leads ─────────────────────────────────────────────────────────────────────────────────

led() { [ -n "$(said '.leader // empty')" ]; }
ok "a leader key without a lease, in place of the leader's" in_etcd put understudy/lab/leader s1
ok "another one leads" soon led
ends_intact "the connection through the shard is intact" n1
