#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pair's key is changed under traffic, without a pause and without a new connection. A node that has only the old key
# is refused when it comes back, and heard when it has read the new one.
. "$(dirname "$0")/lib.sh"
need_lab
plan 28

export LAB_TIMING="detect_ms: 1000" # a machine that stands still is to cost no connection
key=$LAB_DIR/pair.key
log_of() { echo "$LAB_DIR/$1.log"; }
says() { grep -c -- "$2" "$(log_of "$1")"; } # NODE TEXT: how often
reload() { # NODE TEXT: until its log says TEXT once more
    local before left=$(polls)
    before=$(says "$1" "$2")
    kill -HUP "$(field "$1" pid)"
    while [ "$(says "$1" "$2")" = "$before" ]; do
        poll || { tail -n 3 "$(log_of "$1")"; return 1; }
    done
}
reads_it() { reload "$1" "new connections are sealed by $key as it is now"; }
as_before() {
    local now
    now="$(field a '| [.state, .view, .link.connects, .degradations, (.link.turned_away | add // 0)] | join(" ")') $(field b state)"
    [ "$now" = "$before" ] || { echo "$now"; echo "$before"; return 1; }
}
refused() { field a "link.turned_away | add // 0"; }
start_again() { # b, with what the key file holds now
    kill -KILL "$(field b pid)"
    await a state SOLO && "$lab" start b
}
is_refused() {
    local count left=$(polls)
    count=$(refused)
    until [ "$(refused)" -gt "$count" ]; do
        poll || { echo "nobody was refused"; return 1; }
    done
    [ "$(field a state) $(field b state) $(field b peer.connected)" = "SOLO JOINING false" ]
}
few_attempts() { # some ten in three seconds, not a hundred
    local count
    count=$(refused)
    sleep 3
    count=$(($(refused) - count))
    [ $count -ge 1 ] && [ $count -le 15 ] || { echo "$count"; return 1; }
}

ok "the pair is PROTECTED" "$lab" up || exit 1
missed_from_now
probing 7007 8
sleep 1
before="$(field a '| [.state, .view, .link.connects, .degradations, (.link.turned_away | add // 0)] | join(" ")') READY"
cp "$key" "$work/old.key"
ok "a new key" "$UNDERSTUDY" key "$work/new.key"
cat "$work/new.key" >>"$key"
ok "a reads both" reads_it a
ok "b reads both" reads_it b
ok "nothing else happens" as_before
cat "$work/new.key" >"$key"
ok "a reads the new one" reads_it a
ok "b reads the new one" reads_it b
ok "nothing else happens" as_before
ok "digests equal" test "$(us verify -o json | jq .equal)" = true
probing_ends
is "no flow broken" "$(seen '.flows_broken + .contradicted')" 0
ok "no packet lost" none_lost "$(seen .lost)"
diag "longest silence $(seen .silence_ms) ms"

echo "no key" >"$key"
ok "a file that is no key is refused by name" reload a "$key:1: expected 64 hexadecimal digits.*stays as it was"
rm "$key"
ok "and so is one that is not there" reload a "$key: No such file or directory; what seals the link stays as it was"
install -m 644 "$work/new.key" "$key"
ok "and one that others may read" reload a "$key: mode 0644, expected 0600.*stays as it was"
ok "nothing else happens" as_before

install -m 600 "$work/old.key" "$key"
ok "b starts with the old key" start_again
ok "it is refused" is_refused
ok "and does not try all the time" few_attempts
echo "no key" >"$key"
ok "it reads a file that is no key" reload b "stays as it was"
ok "and is refused as before" is_refused
ok "status of both says so" sh -c "[ \$('$UNDERSTUDY' status -c '$pair' | grep -c 'did not prove that they are ..s: do both nodes have one key') = 2 ]"
install -m 600 "$work/new.key" "$key"
ok "it reads the new key" reads_it b
ok "and is heard" is_protected
ok "digests equal" test "$(us verify -o json | jq .equal)" = true
cat "$work/old.key" "$work/new.key" >"$key"
ok "b starts with the old key and the new one" start_again
ok "and is heard" is_protected
cat "$work/new.key" "$work/old.key" "$work/new.key" >"$key"
ok "three keys are too many" reload b "$key:3: expected 64 hexadecimal digits, on at most 2 lines"
ok "the pair is PROTECTED" is_protected
