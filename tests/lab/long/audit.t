#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tables of replay tests with the audit in each cell; `make check-more` audits one cell of a kind. As TAP.
cd "$(dirname "$0")/.." || exit 1
set -- digests dpi inspect large-frames nfs
echo "1..$#"
number=0
for name; do
    number=$((number + 1))
    out=$(AUDIT_ALL=1 bash "$name.t" 2>&1) && ! grep -q '^not ok' <<<"$out" && grep -q '^1\.\.' <<<"$out" && state=ok || state="not ok"
    echo "$state $number - $name, audited in $(grep -c '^ok' <<<"$out") cells and checks"
    [ "$state" = ok ] || grep -A 12 '^not ok' <<<"$out" | sed 's/^/# /'
done
