#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An upgrade under downloads, from the program of the last release's tag, built from its own sources, to this one.
. "$(dirname "$0")/../lib.sh"
need_lab
tag=${RELEASE:-v0.2}
git -C "$root" rev-parse -q --verify "$tag^{commit}" >/dev/null 2>&1 || skip_all "the tag $tag is not in this history"
tree=$BUILD/release-$tag
trap 'cleanup; git -C "$root" worktree remove --force "$tree" 2>/dev/null' EXIT
git -C "$root" worktree add --detach "$tree" "$tag" >"$work/tree.log" 2>&1 || { echo "1..0"; cat "$work/tree.log"; exit 1; }
make -C "$tree" -j"$(nproc)" LTO= LTOLINK= build/understudy >"$work/make.log" 2>&1 ||
    { echo "1..1"; echo "not ok 1 - $tag builds"; tail -n 20 "$work/make.log" | sed 's/^/# /'; exit 1; }
speaks() { sed -n 's/^#define FT_FORMAT_NEWEST *\([0-9]*\)u.*/\1/p' "$1/ftcore/record/format.h"; }
. "$root/tests/lab/versions.sh" "$tree/build/understudy" "$UNDERSTUDY" "$(speaks "$tree")" "$(speaks "$root")"
