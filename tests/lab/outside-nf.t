#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An NF from outside the tree: the code in docs/writing-an-nf.md is of docs/examples/hello, which builds against
# build/include alone, loads, refuses bad settings, limits real packets, and can be looked at and changed.
# No root: a node without protection on capture files, with the audit on.
. "$(dirname "$0")/lib.sh"
plan 25

doc=$root/docs/writing-an-nf.md hello=$root/docs/examples/hello
need_work

# The fences of one language in the doc, a blank line between them, against a file.
same() { # LANGUAGE FILE
    awk -v open="^\`\`\`$1\$" '$0 ~ open { on = 1; if (n++) print ""; next } /^```/ { on = 0 } on' "$doc" |
        diff -u "$2" - && [ -s "$2" ]
}
# Each piece of code in the doc stands so in a file, at least six of them.
pieces() { # FILE
    python3 - "$doc" "$1" <<'END'
import re, sys

page, file = (open(name).read() for name in sys.argv[1:])
shown = re.findall(r"^```c\n(.*?)^```", page, re.M | re.S)
strange = [piece for piece in shown if piece not in file]
print("\n".join(strange) or f"{len(shown)} pieces")
sys.exit(bool(strange) or len(shown) < 6)
END
}
ok "the code that the doc shows is limiter.c's" pieces "$hello/limiter.c"
ok "so is its test" same "c test" "$hello/test_limiter.c"
ok "and its chain file" same yaml "$hello/chain.yaml"

# The modules of the tree, each with its own files and what an author has.
as_authors() {
    for module in dns_guard dpi ips nptv6 portscan syn_proxy trojan; do
        mkdir -p "$work/$module/nfs" && cp -r $(compgen -G "$root/nfs/$module*") "$work/$module/nfs" &&
            (cd "$work/$module" && gcc -std=gnu11 -fsyntax-only -Wall -Wextra -Werror -I "$BUILD/include" -I . $(find nfs -name '*.c')) || return 1
    done
}
ok "modules of the tree build against build/include" as_authors
# As the page says it: the Makefile knows where the tree's build directory is.
is "its Makefile finds the tree" "$(cd "$hello" && readlink -m "$(sed -n 's/^BUILD ?= //p' Makefile)")" "$root/build"
ok "it builds against build/include" make -C "$hello" BUILD="$BUILD" OUT="$work"
cp "$hello/chain.yaml" "$work/"
# Its test, as printed; then with mistakes in the NF, which it has to find: a count that is no state, a change without an
# edit (of a line that nothing else edits in the burst: not in the first one, in which the source is new).
cp -r "$hello" "$work/hello"
ok "its test passes" make -C "$work/hello" check BUILD="$BUILD"
mistaken() { # CODE: in place of the edit
    sed "s|NF_EDIT(nf, source_at(l, slot))->packets++;|$1|" "$hello/limiter.c" >"$work/hello/limiter.c"
    make -C "$work/hello" check BUILD="$BUILD" 2>&1
}
is "it names a count in a static variable" "$(mistaken 'static uint64_t all; NF_EDIT(nf, source_at(l, slot))->packets = ++all;' | grep -c 'limiter.so has a variable "all"')" 1
# Each node that goes on dies of the next packet in the same way: the first death is looked at.
is "and a change without an edit, and where the test was then" \
    "$(mistaken '((struct source *)(uintptr_t)source_at(l, slot))->packets++;' | grep -oE "NF 'limiter' .* without an edit|burst [0-9]+: the primary died" | sed 's/ (lane.*its arena//' | head -n 2 | xargs -d'\n')" \
    "NF 'limiter' without an edit burst 2: the primary died"

# What the page tells an author to run first, as it is printed.
mkdir -p "$work/bin" && ln -sf "$UNDERSTUDY" "$work/bin/understudy"
awk '/^```sh run$/ { on = 1; next } /^```/ { on = 0 } on' "$doc" >"$work/first.sh"
first() { (cd "$work" && PATH=$work/bin:$PATH bash -e first.sh) >"$work/first" 2>&1 || { cat "$work/first"; return 1; }; }
ok "the page says how to begin" grep -qx 'understudy new-nf mine mine' "$work/first.sh"
ok "and that builds, passes its test and is replayed with kills" first
is "to the same outputs" "$(grep -cE 'EQUIVALENT$|failovers +2$' "$work/first")" 2
(cd "$work" && "$UNDERSTUDY" new-nf mine mine) >/dev/null 2>"$work/again"
is "a second time it replaces nothing" "$? $(cat "$work/again")" \
    "65 understudy new-nf: mine/mine.c is there, expected a new directory, or one without it"
# A name is text in C: it may be a word of the language, or what the template itself calls something.
named() {
    for name in counters switch; do
        "$UNDERSTUDY" new-nf $name "$work/new-$name" && make -C "$work/new-$name" $name.so BUILD="$BUILD" || return 1
    done >/dev/null
}
ok "any name builds" named
# On a full disk neither files nor the directory stay, so that it can be tried again.
(trap '' XFSZ; ulimit -f 3; "$UNDERSTUDY" new-nf part "$work/part") >/dev/null 2>"$work/full"
is "what cannot be written is not left there" "$? $(grep -c 'part/part.c: File too large' "$work/full") $(ls -d "$work/part" 2>/dev/null)" "65 1 "

ok "check accepts a chain with it" "$UNDERSTUDY" check -c "$work/chain.yaml"
sed 's/packets: 5/packets: 0/' "$hello/chain.yaml" >"$work/bad.yaml"
is "check refuses a bad setting of it, by line" "$("$UNDERSTUDY" check -c "$work/bad.yaml" 2>&1)" \
    "$work/bad.yaml:7: limiter packets is 0, expected a number from 1 to 1000000"
sed 's/limiter.so/limited.so/' "$hello/chain.yaml" >"$work/none.yaml"
is "and a module that is not there" "$("$UNDERSTUDY" check -c "$work/none.yaml" 2>&1 | grep -c "none.yaml:5: .*limited.so")" 1

# Ten packets of one source and three of another, over and over.
perl -e 'print pack("LSSlLLL", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1);
    for my $i (1 .. 13) {
        my $ip = pack("CCnnnCCnC8", 0x45, 0, 46, $i, 0, 64, 17, 0, 10, 0, 0, $i > 10 ? 2 : 1, 192, 0, 2, 1);
        my $sum = 0;
        $sum += $_ for unpack("n*", $ip);
        $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
        substr($ip, 10, 2) = pack("n", ~$sum & 0xffff);
        my $frame = pack("H*", "0200000000aa0200000000bb0800") . $ip . pack("nnnn", 1000, 7, 26, 0) . "x" x 18;
        print pack("LLLL", $i, 0, length $frame, length $frame) . $frame;
    }' >"$work/in.pcap"
head -c 24 "$work/in.pcap" >"$work/none.pcap"
cat >"$work/pair.yaml" <<END
chain: { file: chain.yaml }
protect: { mode: off, audit: true }
nodes:
  one:
    role: primary
    ports:
      inside: "net_pcap0,rx_pcap=in.pcap,infinite_rx=1,tx_pcap=inside.pcap"
      outside: "net_pcap1,rx_pcap=none.pcap,tx_pcap=outside.pcap"
    replication: 127.0.0.1:4751
    control: one.sock
    mbufs: 2048
    memory_mb: 128
  two:
    role: standby
    ports: { inside: net_null0, outside: net_null1 }
    replication: 127.0.0.1:4752
    control: two.sock
END
pair=$work/pair.yaml
(cd "$work" && exec "$UNDERSTUDY" run -c "$pair" -n one 2>log) & # a device is at most 127 bytes: short paths
node=$!
rows() { us show limiter -o json 2>/dev/null | jq -r "$1"; }
seen() { # JQ-EXPRESSION VALUE: waits for it
    local left=$(polls)
    until [ "$(rows "$1")" = "$2" ]; do
        poll || { echo "$1 is $(rows "$1"), expected $2"; cat "$work/log"; return 1; }
    done
}
ok "the node runs it, and each source gets its five" seen '[.rows[] | select(.source) | .packets] | join(" ")' "5 5"
ok "the rest is dropped and counted" seen '.rows[0] | .passed == 10 and .limited > 100' true
ok "set raises the limit" us set limiter packets=7
ok "and more packets pass" seen '.rows[0] | "\(.limit) \(.passed)"' "7 14"
us set limiter packets=none >/dev/null 2>&1
is "a bad value is bad data" $? 65
ok "clear ends the windows" us clear limiter
passed=$(seen '.rows[0] | "\(.passed) \(.windows)"' "28 4" && rows '.rows[0].passed')
kill -TERM $node
wait $node
node=
# Released frames are in the capture of the outer port, heartbeats beside them.
frames=$(perl -0777 -ne 'my $at = 24;
    while ($at < length) {
        my $n = unpack("L", substr($_, $at + 8, 4));
        $ip++ if substr($_, $at + 28, 2) eq "\x08\x00";
        $at += 16 + $n;
    }
    print $ip + 0' "$work/outside.pcap")
is "what left is what the NF says it passed" "$frames" "$passed"
