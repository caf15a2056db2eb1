#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pair whose arbiter is an etcd as operators run it: https, certificates of both sides, users with passwords, tokens that
# expire. What can be wrong with any of it is one clear line of check and of the log; no line has the password.
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
. "$root/tests/lab/pki.sh"
plan 30

# ── certificates and passwords ───────────────────────────────────────────────────────────────────

secret='a "quoted" pass\word, 47 Bytes'
certificates() {
    mkdir -p "$pki" && authority ours && authority other && certificate etcd /CN=etcd 10.98.0.1 && certificate node /O=pair &&
        certificate named /CN=pair
}
ok "certificates" certificates
password right "$secret"
password wrong "wrong"
password readable "$secret" && chmod 640 "$pki/readable"

scheme=https
# Checks of passwords are as cheap as etcd makes them (--bcrypt-cost), since the processors here are the pair's as well.
# A token lives for 3 s after its last use, and a node that is not in need looks every 5 s.
etcd_args=(--cert-file "$pki/etcd.pem" --key-file "$pki/etcd.key" --trusted-ca-file "$pki/ours.pem" --client-cert-auth
    --auth-token-ttl 3 --bcrypt-cost 4 --listen-client-urls https://10.98.0.1:2379,https://10.98.1.1:2379)
export ETCDCTL_CACERT=$pki/ours.pem ETCDCTL_CERT=$pki/named.pem ETCDCTL_KEY=$pki/named.key
as_root() { in_etcd --user root:rootpw "$@" >/dev/null; }
users() {
    in_etcd user add root:rootpw && in_etcd user grant-role root root && in_etcd role add pair &&
        in_etcd role grant-permission pair readwrite understudy/lab/a-b && in_etcd user add --new-user-password="$secret" pair &&
        in_etcd user grant-role pair pair && in_etcd user add stranger:stranger && in_etcd auth enable
}
password stranger stranger

at=https://10.98.0.1:2379
LAB_ARBITER="etcd: [ $at ], ca: $pki/ours.pem, cert: $pki/node.pem, cert_key: $pki/node.key, user: pair, password_file: $pki/right"
LAB_ARBITER=$LAB_ARBITER "$lab" up --no-nodes && ways || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
ok "and has users" users || exit 1

# ── what is wrong with it, in one line ───────────────────────────────────────────────────────────

# What check warns of, as from node a, of the pair's file with one thing changed.
warns() { # SED
    sed "$1" "$pair" >"$LAB_DIR/other.yaml"
    ip netns exec "${LAB_PREFIX}a" "${as[@]}" "$UNDERSTUDY" check -c "$LAB_DIR/other.yaml" 2>&1 >/dev/null | grep -v ' detect_ms \|: node '
}
as=()
says="$LAB_DIR/other.yaml: warning: from here the arbiter does not answer:"
is "all is well: check has no word of it" "$(warns '')" ""
is "another authority" "$(warns "s|ours.pem|other.pem|")" "$says $at: SSL certificate problem: unable to get local issuer certificate"
as=(unshare -m sh -c "mount -t tmpfs none /etc/ssl/certs && cp '$pki/ours.pem' /etc/ssl/certs && openssl rehash /etc/ssl/certs && exec \"\$@\"" as)
is "which is alone, whatever the system's authorities are" "$(warns "s|pki/ours.pem|pki/other.pem|")" \
    "$says $at: SSL certificate problem: unable to get local issuer certificate"
as=()
is "an authority's file that is not there" "$(warns "s|ours.pem|none.pem|")" "$says $at: error setting certificate file: $pki/none.pem"
# An alert, or a connection that broke before it was read.
is_like "no certificate of the node's" "$(warns "s|cert: [^,]*, cert_key: [^,]*, ||")" \
    "$says $at: * (it asked for a certificate, expected one in \`cert\`)"
is "a certificate with a name, which the gateway takes for nobody" "$(warns "s|/node\\.|/named.|g")" \
    "$says $at/v3/auth/authenticate: status 400 (CommonName of client sending a request against gateway will be ignored and not used as expected), expected 200"
is "another host's certificate" "$(warns "s|https://10.98.0.1|https://10.98.1.1|")" \
    "$says https://10.98.1.1:2379: SSL: no alternative certificate subject name matches target host name '10.98.1.1'"
is "a wrong password" "$(warns "s|/right|/wrong|")" \
    "$says $at/v3/auth/authenticate: status 400 (etcdserver: authentication failed, invalid user ID or password), expected 200"
is "no user" "$(warns "s|, user: .*/right||")" "$says $at/v3/kv/range: status 400 (etcdserver: user name is empty), expected 200"
is "a user who may not" "$(warns "s|user: pair|user: stranger|; s|/right|/stranger|")" \
    "$says $at/v3/kv/range: status 403 (etcdserver: permission denied), expected 200"
is "a password that others may read" "$(warns "s|/right|/readable|")" "$says $pki/readable: mode 0640, expected 0600: nobody else may read a password"
is "no password" "$(warns "s|/right|/none|")" "$says $pki/none: No such file or directory"
is_like "nobody listens" "$(warns "s|:2379|:2378|")" "$says https://10.98.0.1:2378: Failed to connect to 10.98.0.1 port 2378 after * ms: Couldn't connect to server"

# ── a pair that uses it ──────────────────────────────────────────────────────────────────────────

"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected || exit 1
ok "the arbiter answers a" await a arbiter.answers true
ok "the arbiter answers b" await b arbiter.answers true
looked() { # NODE: twice more, each time with a token that has expired
    local first last seen=0 left=$(polls)
    first=$(field "$1" arbiter.answered_ms)
    while [ $seen -lt 2 ]; do
        poll || { field "$1" arbiter; return 1; }
        last=$(field "$1" arbiter.answered_ms)
        [ "${last%.*}" -ge "${first%.*}" ] || seen=$((seen + 1))
        first=$last
    done
}
ok "it answers again and again" looked a
is "with tokens that have expired meanwhile, and no failure" "$(field a arbiter.failures) $(field b arbiter.failures)" "0 0"

as_root user passwd --interactive=false pair <<<"Anew-9"
ok "the password was changed in etcd alone: it does not answer" await a arbiter.answers false
is "as status says" "$(field a arbiter.last_failure)" \
    "$at/v3/auth/authenticate: status 400 (etcdserver: authentication failed, invalid user ID or password), expected 200"
lines() { grep -c " warning arbiter *a: the arbiter does not answer: $at/v3/auth/authenticate: status 400 (etcdserver: authentication failed, " "$LAB_DIR/a.log"; }
is "and the log, once" "$(lines)" 1
password right Anew-9
ok "the file is read again: it answers a" await a arbiter.answers true
ok "and b" await b arbiter.answers true

part
ok "a full partition: exactly one goes on" one_of_two
is "clients go on" "$(answers && echo yes)" yes
heal
ok "the pair is PROTECTED again" is_protected

# ── secrets ──────────────────────────────────────────────────────────────────────────────────────

shown() {
    us status; us status -o json; us check -o json
    cat "$LAB_DIR"/[ab].log "$pair"
    tr '\0' ' ' <"/proc/$(field a pid)/cmdline"
}
is "nothing shows a password or a token" "$(shown 2>&1 | grep -acE 'quoted|Anew|Authorization|[A-Za-z]{16}\.[0-9]')" 0
