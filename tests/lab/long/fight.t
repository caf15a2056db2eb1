#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lab/fight.t with 100 kills for each policy and number of lanes.
export MATRIX_SEED=${MATRIX_SEED:-$((RANDOM * 32768 + RANDOM))}
FIGHT_KILLS=${FIGHT_KILLS:-100} exec bash "$(dirname "$0")/../fight.t"
