#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/lab/rules.t with all numbers of lanes, modes and kills. As TAP.
RULES_ALL=1 exec bash "$(dirname "$0")/../rules.t"
