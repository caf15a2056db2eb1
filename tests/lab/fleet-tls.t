#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A fleet over an etcd with certificates of both sides and a user, as docs/fleet.md says it: a server dies and is replaced; tokens
# expire; the password is another one; the user may not read any more. What passes goes on, and no log has a password.
FLEET_SERVERS=3 FLEET_SHARDS=2 FLEET_HOLD_DOWN=86400 FLEET_SCHEME=https
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/fleet.sh"
. "$root/tests/lab/pki.sh"
plan 22

fleet_network || exit 1
certificates() {
    mkdir -p "$pki" && authority ours && certificate etcd /CN=etcd 10.97.0.100 && certificate node /O=fleet && certificate named /CN=person
}
FLEET_ARBITER="ca: $pki/ours.pem, cert: $pki/node.pem, cert_key: $pki/node.key, user: fleet, password_file: $pki/password"
fleet_files || exit 1
ok "certificates" certificates
password password 'the-first-one'
# A token ends 3 s after its last use. Checks of passwords are as cheap as etcd makes them.
etcd_args=(--cert-file "$pki/etcd.pem" --key-file "$pki/etcd.key" --trusted-ca-file "$pki/ours.pem" --client-cert-auth
    --auth-token-ttl 3 --bcrypt-cost 4)
export ETCDCTL_CACERT=$pki/ours.pem ETCDCTL_CERT=$pki/named.pem ETCDCTL_KEY=$pki/named.key
as_root() { in_etcd --user root:rootpw "$@" >/dev/null; }
users() {
    in_etcd role add fleet && in_etcd role grant-permission --prefix fleet readwrite understudy/lab/ &&
        in_etcd user add --new-user-password='the-first-one' fleet && in_etcd user grant-role fleet fleet &&
        in_etcd user add root:rootpw && in_etcd user grant-role root root && in_etcd auth enable
}
etcd_start
ok "etcd answers" etcd_answers || exit 1
ok "and has users" users || exit 1
for s in $servers; do agent_start "$s"; done
ok "both shards are PROTECTED" all_protected 40 || exit 1
status_is() { fleet status >"$work/status" 2>&1; [ $? = "$1" ] || { cat "$work/status"; return 1; }; } # CODE
ok "nothing more is to be done" soon 30 status_is 0
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

ok "etcd has another password" as_root user passwd --interactive=false fleet <<<'the-second-one'
refused() { [ "$(cat "$work"/agent-*.log | grep -c 'authentication failed')" -gt 0 ]; }
ok "agents say that theirs is refused" soon 20 refused
ok "no node has ended, and none has begun" as_before
password password 'the-second-one'
ok "the file has it as well: all is well without a restart" soon 30 status_is 0
ok "no node has ended, and none has begun" as_before

# ── the user may not read any more ───────────────────────────────────────────────────────────────

ok "the role loses its keys" as_root role revoke-permission --prefix fleet understudy/lab/
denied() { fleet status 2>&1 | grep -q 'permission denied'; }
ok "status says so" soon 20 denied
sleep 12 # longer than a lease
ok "no node has ended, and none has begun" as_before
ok "the role has them again" as_root role grant-permission --prefix fleet readwrite understudy/lab/
ok "all is well without a restart" soon 40 status_is 0

# ── a server dies ────────────────────────────────────────────────────────────────────────────────

victim=$(said '.shards[0].primary')
server_dies "$victim"
ok "$victim dies, which had a primary: both shards are PROTECTED again" all_protected 40
for n in $shards; do ends_intact "the connection through $n is intact" "$n"; done
is "no log and no file of the agents has a password" "$(grep -rlE 'the-(first|second)-one' "$work"/*.log "$LAB_DIR"/s? "$LAB_DIR"/units 2>/dev/null)" ""
