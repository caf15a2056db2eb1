#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two ways between nodes that have a certificate each: the one that carries the stream is cut, then the other one in turn. The
# pair stays PROTECTED, nobody is resynced, and both ways come back by new handshakes.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ways.sh"
need_lab
command -v nft >/dev/null || skip_all "nftables is not installed"
command -v openssl >/dev/null || skip_all "openssl is not installed"
plan 12
export LAB_TIMING="heartbeat_ms: 2, detect_ms: 2000"

make() { openssl "$@" 2>>"$work/openssl.log"; }
certificates() {
    local n
    make req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/ca.key" -subj /CN=ours -days 2 -out "$work/ca.pem" || return
    for n in a b; do
        make req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/$n.key" -subj "/CN=$n" -out "$work/$n.csr" &&
            make x509 -req -in "$work/$n.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 -out "$work/$n.pem" || return
    done
    chmod 600 "$work"/*.key
}
begin() { # NODE
    sed "s|key: pair.key|tls: { cert: $work/$1.pem, key: $work/$1.key, ca: $work/ca.pem }|; s|rules: firewall|rules: $LAB_DIR/firewall|" \
        "$pair" >"$work/$1.yaml"
    ip netns exec "${LAB_PREFIX}$1" setsid nohup "$UNDERSTUDY" run -c "$work/$1.yaml" -n "$1" </dev/null >>"$LAB_DIR/$1.log" 2>&1 9>&- &
    disown
}

env LAB_WAYS=2 "$lab" up --no-nodes || exit 1
filters
ok "certificates" certificates || exit 1
begin a
begin b
ok "the pair is PROTECTED" is_protected
is "sealed by certificates" "$(field a link.sealed) $(field b link.sealed)" "certificate certificate"
ok "both ways stand" both_stand
before="$(course a) $(course b)"
for turn in first second; do
    way=$(carrier a)
    cut "$way"
    sleep 1
    ok "the $turn cut: the pair stays PROTECTED, nobody is resynced" unchanged
    is "the other way carries" "$(carrier a)" $((1 - way))
    mend "$way"
    ok "both stand again" both_stand
    ok "and nothing has changed" unchanged
done
