#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An upgrade under downloads, from this program to the one of the next format (tests/next.h).
. "$(dirname "$0")/lib.sh"
need_lab
[ -x "$BUILD/understudy-next" ] || skip_all "$BUILD/understudy-next is not built"
. "$root/tests/lab/versions.sh" "$UNDERSTUDY" "$BUILD/understudy-next" 4 5
