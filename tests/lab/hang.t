#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A primary that is stopped and wakes up later: replaced, fenced, standby again, and it released nothing meanwhile.
. "$(dirname "$0")/lib.sh"
need_lab
plan 6

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "hang" drill hang
is "the woken node found itself fenced" "$(drilled '.runs[0].fenced != null')" true
is "and released nothing in the other's view" "$(drilled '.runs[0].fenced.released_after')" 0
is "digests equal" "$(drilled '.runs[0].digests_equal')" true
is "the roles have changed" "$(field a role) $(field b role)" "standby primary"
