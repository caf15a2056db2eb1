#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Planned handovers, there and back: no packet lost, no flow broken.
. "$(dirname "$0")/lib.sh"
need_lab
plan 6

ok "the pair is PROTECTED" "$lab" up || exit 1
ok "there and back" drill planned --repeat 2
is "no probe lost" "$(drilled '[.runs[].lost] | add')" 0
is "nothing contradicted, no flow broken" "$(drilled '[.runs[] | .contradicted + .flows_broken] | add')" 0
is "digests equal" "$(drilled '[.runs[].digests_equal] | all')" true
is "the first is primary again" "$(field a role)" primary
diag "$(drilled '.median | to_entries | map("\(.key) \(.value)") | join(", ")')"
