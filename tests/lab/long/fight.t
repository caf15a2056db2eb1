#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lab/fight.t with 100 kills for each policy and number of lanes.
FIGHT_KILLS=${FIGHT_KILLS:-100} exec bash "$(dirname "$0")/../fight.t"
