#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Any chain, 200 of them, from another seed each time: tests/lab/chains.t.
exec env CHAINS="${CHAINS:-200}" CHAINS_SEED="${CHAINS_SEED:-$((RANDOM * 1000))}" bash "$(dirname "$0")/../chains.t"
