#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The chain inspect through understudy replay, with kills: by log and by deltas, hot and warm, in 1, 2 and 4 lanes, over a
# capture that is made here and over others' captures, whose matches tshark has counted. As TAP.
set -u
# shellcheck source=tests/lab/replay.sh
. "$(dirname "$0")/replay.sh"
mkdir "$dir/chain"
cp nfs/chains/inspect.* "$dir/chain/"

# The sample rules, and some of each kind more.
cat >>"$dir/chain/inspect.rules" <<'END'
alert tcp any any -> any 80 (msg:"requests"; content:"GET "; threshold:type both, track by_src, count 3, seconds 60; sid:1;)
reject tcp any any -> any any (msg:"refused"; content:"GNUTELLA/0.6 503"; sid:2;)
reject udp any any -> any any (msg:"lime"; content:"LIME"; sid:3;)
drop tcp any any -> any 443 (msg:"made"; content:"yyyy"; content:"y"; distance:1; within:9; sid:4;)
alert tcp any any -> any 21 (msg:"password"; content:"PASS "; pcre:"/^[^\r\n]{1,20}\r\n/R"; sid:5;)
END
sed -i 's/inspect.rules, max_flows: 100000/inspect.rules, checksums: false, max_tracked: 8/' "$dir/chain/inspect.yaml"

verdict() { # NAME FAILOVERS
    [ "$(fact '"\(.equivalent) \(.failovers) \(.lost) \(.duplicated) \(.altered)"')" = "true $2 0 0 0" ]
    ok "$1" $? "$(cat "$dir/json")"
}
counted() { fact ".nfs.ips.counters.$1"; }

python3 tests/lab/mkpcap.py "$dir/made.pcap" 4000 600
for lanes in 1 2 4; do
    for how in log:hot log:warm delta:hot; do
        run_cell "$lanes $how" "1 log:hot" -c "$dir/chain/inspect.yaml" --lanes "$lanes" --mode "${how%:*}" --standby "${how#*:}" --kill "primary@$((300 * lanes))" \
            --kill standby@1500 --kill primary@3000 "$dir/made.pcap"
        verdict "made, $lanes lanes, $how" 2
        [ "$(counted dropped)" -gt 0 ] && [ "$(counted blocked)" -gt 0 ]
        ok "rules have dropped" $? "$(counted dropped), $(counted blocked)"
    done
done

# CAPTURE RULE-MATCHES: what tshark counts with -Y 'tcp contains "..."' of each rule, added up.
if compgen -G "$pcaps/*.pcap" >/dev/null; then
    while read -r file matches; do
        for how in log delta; do
            run_cell "$how" log -c "$dir/chain/inspect.yaml" --mode "$how" --kill primary@100 --kill primary@250 "$pcaps/$file.pcap"
            verdict "$file, $how" 2
            [ "$(counted matches)" = "$matches" ]
            ok "$file, $how: $matches matches" $? "$(counted matches)"
        done
    done <<<"ftp-bruteforce 60
gnutella 40"
else
    skip_without_captures "others' captures"
fi

# What is refused is said in one line, with its place.
sed 's/content:"OPTIONS/dsize:3; &/' nfs/chains/inspect.rules >"$dir/chain/inspect.rules"
line=$(grep -n dsize "$dir/chain/inspect.rules" | cut -d: -f1)
"$understudy" check -c "$dir/chain/inspect.yaml" >"$dir/out" 2>"$dir/err"
[ $? != 0 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "inspect.rules:$line: option 'dsize', expected msg, content" "$dir/err"
ok "an option that there is not" $? "$(cat "$dir/err")"

echo "1..$tests"
