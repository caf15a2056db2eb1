#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another node takes a standby's place where each node has a certificate of its own: the primary, which was started with
# another peer, wants the new one's name in it. What is amiss with the new node is said at once.
export LAB_SPARES="c"
. "$(dirname "$0")/lib.sh"
need_lab
. "$root/tests/lab/arbiter.sh"
command -v openssl >/dev/null || skip_all "openssl is not installed"
plan 24

# ── certificates, and a file for each node ───────────────────────────────────────────────────────

make() { openssl "$@" 2>>"$work/openssl.log"; }
certificate() { # NAME
    make req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/$1.key" -subj "/CN=$1" -out "$work/$1.csr" &&
        make x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 -out "$work/$1.pem"
}
certificates() {
    local n
    make req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/ca.key" -subj /CN=ours -days 2 -out "$work/ca.pem" || return
    for n in a b c; do certificate $n || return; done
    chmod 600 "$work"/*.key
}
begin() { # NODE CERTIFICATE
    sed "s|key: pair.key|tls: { cert: $work/$2.pem, key: $work/$2.key, ca: $work/ca.pem }|; s|rules: firewall|rules: $LAB_DIR/firewall|" \
        "$pair" >"$work/$1.yaml"
    ip netns exec "${LAB_PREFIX}$1" setsid nohup "$UNDERSTUDY" run -c "$work/$1.yaml" -n "$1" </dev/null >>"$LAB_DIR/$1.log" 2>&1 9>&- &
    disown
}
gone() { [ -z "$(ip netns pids "${LAB_PREFIX}$1")" ]; }
ends() { # NODE: what answers at its socket from now on is another process
    kill -TERM "$(field "$1" pid)"
    soon gone "$1"
}
LAB_ARBITER="etcd: [ http://10.98.0.1:2379 ]" "$lab" up --no-nodes && ways || exit 1
ok "certificates" certificates || exit 1
etcd_up
ok "etcd answers" etcd_answers || exit 1
begin a a
begin b b
ok "the pair is PROTECTED" is_protected || exit 1

# What is refused is said in one line, and as soon as it is known: a re-pair that is waited for takes 30 s.
refused() {
    local began=$SECONDS
    us re-pair "$@" 2>&1 >/dev/null | tail -n 1
    [ $((SECONDS - began)) -le 25 ] || echo "after $((SECONDS - began)) s"
}

# ── a spare takes the standby's place ────────────────────────────────────────────────────────────

begin c b
ok "a spare waits, with the standby's certificate" await c state JOINING
is_like "it cannot be the standby" "$(refused c)" "*no re-pair with node c (PROTECTED, view 1): it says no hello here*"
as_it_was() { [ "$(field a state) $(field b state)" = "PROTECTED READY" ]; }
ok "the pair is as it was" soon as_it_was
kill -KILL "$(field b pid)"
ok "b dies: a goes on" await a state SOLO
is_like "alone, a takes c all the same" "$(refused c)" "*view 2 has begun with node c, *: its connections do not prove that they are its own"
says_unproven() { grep -c "did not prove that they are c's: do both nodes' certificates name them" "$LAB_DIR/a.log"; }
soon says_unproven
is "the log says what to look at" "$(says_unproven)" 1
is "it is no standby" "$(field a state) $(field c state)" "SOLO JOINING"
ends c
begin c c
ok "with a certificate of its own it is" is_protected
begin b b
ok "b waits" await b state JOINING
is "the pair are a and c" "$(field a 'members | tostring') $(field a link.sealed)" '["a","c"] certificate'
ok "b takes c's place" us re-pair b
ok "the pair is PROTECTED" is_protected

# ── another chain ────────────────────────────────────────────────────────────────────────────────

ends c
sed -i 's/max_flows: 20000/max_flows: 10000/g' "$pair"
begin c c
sed -i 's/max_flows: 10000/max_flows: 20000/g' "$pair"
ok "a spare has another chain" await c state JOINING
is_like "it is refused by name" "$(refused c)" "*no re-pair with node c (PROTECTED, view 3): it differs: *max_flows: a 20000, c 10000*"
is "the pair is as it was" "$(field a 'members | tostring') $(field a state)" '["a","b"] PROTECTED'
is_like "status says so" "$(us status)" "*node c, which is no member, said hello*it differs: *max_flows*"
ends c
begin c c
ok "it begins with the primary's chain" await c state JOINING
ok "with it it is the standby" us re-pair c

# ── an arbiter that keeps a later view ───────────────────────────────────────────────────────────

kill -KILL "$(field c pid)"
ok "c dies: a goes on" await a state SOLO
key=$(in_etcd get --prefix understudy --keys-only | grep .)
in_etcd put "$key" "understudy 90 0 x" >/dev/null
is_like "nobody takes its place" "$(refused b)" "*no re-pair with node b*: the arbiter keeps *view 90*"
is "and the primary goes on" "$(field a state)" SOLO
