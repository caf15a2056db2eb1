#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet over an etcd with certificates of both sides and a user for each server and each shard, as docs/fleet.md says it and `fleet
# rights` makes them: a node's user reaches no other shard; a server dies and is replaced; tokens expire; passwords are others;
# agents may not read any more. What passes goes on, and no log has a password.
FLEET_SERVERS=3 FLEET_SHARDS=2 FLEET_HOLD_DOWN=86400 FLEET_SCHEME=https
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/pki.sh"
plan 26

fleet_network || exit 1
certificates() {
    mkdir -p "$pki" && authority ours && certificate etcd /CN=etcd 10.97.0.100 && certificate node /O=fleet && certificate named /CN=person
}
FLEET_ARBITER="ca: $pki/ours.pem, cert: $pki/node.pem, cert_key: $pki/node.key, user: lab-\$(server), password_file: '$pki/lab-\$(server).password'"
FLEET_SHARD_ETCD="user: lab-\$(shard), password_file: $pki/lab-\$(shard).password"
fleet_files || exit 1
ok "certificates" certificates
# A token ends 3 s after its last use. Checks of passwords are as cheap as etcd makes them.
etcd_args=(--cert-file "$pki/etcd.pem" --key-file "$pki/etcd.key" --trusted-ca-file "$pki/ours.pem" --client-cert-auth
    --auth-token-ttl 3 --bcrypt-cost 4)
export ETCDCTL_CACERT=$pki/ours.pem ETCDCTL_CERT=$pki/named.pem ETCDCTL_KEY=$pki/named.key
as_root() { in_etcd --user root:rootpw "$@" >/dev/null; }
speakers=$(printf 'lab-%s ' $servers operator) # who reads all of the fleet's keys
users() {
    fleet rights >"$work/rights.sh" && (cd "$pki" && PATH="$(dirname "$UNDERSTUDY"):$PATH" in_space w env ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://10.97.0.100:2379 sh -e "$work/rights.sh") &&
        in_etcd user add root:rootpw && in_etcd user grant-role root root && in_etcd auth enable
}
may() { in_etcd --user "lab-$1:$(cat "$pki/lab-$1.password")" "${@:2}" >/dev/null 2>&1; } # USER COMMAND…
may_not() { ! may "$@"; }
etcd_start
ok "etcd answers" etcd_answers || exit 1
ok "and has users" users || exit 1
ok "nodes of n1 have the arbiter's key of their shard" may n1 get understudy/lab/arbiter/n1
ok "and no other one" may_not n1 put understudy/lab/arbiter/n2 x
ok "nor the shards' keys, or a wish" may_not n1 put understudy/lab/shards/n1 x
ok "an agent says nothing in another one's name" may_not s1 put understudy/lab/servers/s2 x
for s in $servers; do agent_start "$s"; done
ok "both shards are PROTECTED" all_protected || exit 1
status_is() { fleet status >"$work/status" 2>&1; [ $? = "$1" ] || { cat "$work/status"; return 1; }; } # CODE
ok "nothing more is to be done" soon status_is 0
for n in $shards; do speak "$n"; done
nodes() { # the process of each
    local n s
    for n in $shards; do for s in $servers; do node_says "$n" "$s" pid; done; done
}
logs() { cat "$work"/agent-*.log | grep -c -- "$1"; } # TEXT
as_before() { [ "$(nodes)" = "$before" ] || { diff <(echo "$before") <(nodes); return 1; }; }

# ── tokens expire ────────────────────────────────────────────────────────────────────────────────

before=$(nodes) lost=$(logs 'lease of server .* is gone')
sleep 10
ok "after three lives of a token no node has ended, and none has begun" as_before
is "no lease was lost" "$(logs 'lease of server .* is gone')" "$lost"
ok "status reads with a token of its own" status_is 0

# ── another password ─────────────────────────────────────────────────────────────────────────────

other_passwords() {
    local u
    for u in $speakers; do
        password "next-$u" "the-second-one-of-$u"
        as_root user passwd --interactive=false "$u" <"$pki/next-$u" || return 1
    done
}
ok "etcd has other passwords" other_passwords
refused() { [ "$(cat "$work"/agent-*.log | grep -c 'authentication failed')" -gt 0 ]; }
ok "agents say that theirs is refused" soon refused
ok "no node has ended, and none has begun" as_before
for u in $speakers; do mv "$pki/next-$u" "$pki/$u.password"; done
ok "the file has it as well: all is well without a restart" soon status_is 0
ok "no node has ended, and none has begun" as_before

# ── agents may not read any more ───────────────────────────────────────────────────────────────

roles() { # COMMAND… %: of each role that reads all
    local u
    for u in $speakers; do as_root role "${@//%/$u}" || return 1; done
}
ok "roles lose their keys" roles revoke-permission --prefix % understudy/lab/
denied() { fleet status 2>&1 | grep -q 'permission denied'; }
ok "status says so" soon denied
sleep 12 # longer than a lease
ok "no node has ended, and none has begun" as_before
ok "they have them again" roles grant-permission --prefix % read understudy/lab/
ok "all is well without a restart" soon status_is 0

# ── a server dies ────────────────────────────────────────────────────────────────────────────────

victim=$(said '.shards[0].primary')
server_dies "$victim"
ok "$victim dies, which had a primary: both shards are PROTECTED again" all_protected
for n in $shards; do ends_intact "the connection through $n is intact" "$n"; done
is "no log and no file of the agents has a password" "$(grep -rlF -f <(cat "$pki"/lab-*.password) "$work"/*.log "$LAB_DIR"/s? "$LAB_DIR"/units 2>/dev/null)" ""
