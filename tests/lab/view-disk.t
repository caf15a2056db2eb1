#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Disks that take nothing: each node's view file is on a file system of its own, which is frozen as a virtual machine's
# snapshot does it. Takeover and handover do not wait; status says what is not on the disk; after the thaw it is. Nor
# does anybody wait while what differs between the nodes is to be saved there. And a symbolic link at the place of the
# new view file is not written through.
. "$(dirname "$0")/lib.sh"
need_lab

frozen=
thaw() {
    local s
    for s in $frozen; do fsfreeze -u "$LAB_DIR/$s"; done
    frozen=
}
freeze() { # NODES…
    local s
    for s in "$@"; do fsfreeze -f "$LAB_DIR/$s" && frozen+=" $s"; done
}
release() {
    local s
    thaw
    for s in a b; do mountpoint -q "$LAB_DIR/$s" && umount -l "$LAB_DIR/$s"; done
    cleanup
}
disk() { # NODE: a file system of its own where its view file goes
    truncate -s 16M "$work/$1.disk" && mkfs.ext4 -q "$work/$1.disk" && mount -o loop "$work/$1.disk" "$LAB_DIR/$1"
}
trap release EXIT

export LAB_PROTECT="mode: log, verify_every_s: 3"
"$lab" up --no-nodes || exit 1
{ disk a && disk b && freeze a; } 2>"$work/mount.err" || skip_all "no loop mounts or no fsfreeze here: $(tail -n 1 "$work/mount.err")"
thaw
plan 39

echo precious >"$work/victim"
ln -s "$work/victim" "$LAB_DIR/a/a.view.new"
"$lab" start a
"$lab" start b
ok "the pair is PROTECTED" is_protected
is "what a link at the new view file names is untouched" "$(cat "$work/victim")" precious
is "and the view file is a file" "$(stat -c '%F %a' "$LAB_DIR/a/a.view")" "regular file 640"
is "the views are on the disks" "$(field a 'view_on_disk') $(field b 'view_on_disk')" "$(field a view) $(field b view)"

probing 7007 4
view=$(field b view)
freeze b
kill -KILL "$(field a pid)"
ok "b takes over with its disk frozen" await b role primary
is "its view is not on its disk" "$(field b view) $(field b view_on_disk)" "$((view + 1)) $view"
ok "status says for how long" sh -c "'$UNDERSTUDY' status -c '$pair' | grep 'its view has not been on the disk for [1-9][0-9]* ms'"
"$lab" start a
ok "the pair is PROTECTED beside a frozen disk" is_protected
reports() { echo "$(find "$LAB_DIR/a" -name 'a.crash-*' | wc -l) $(grep -c 'no report: .*expected 32 MiB of free space' "$LAB_DIR/a.log")"; }
refused() { [ "$(reports)" = "0 1" ] || { reports; return 1; }; } # by a process that outlives the node
ok "a report of the node that was killed does not fill a small disk" soon refused
thaw
ok "after the thaw it is on the disk" await b view_on_disk $((view + 1))
is "in the file, too" "$(cat "$LAB_DIR/b/b.view")" "understudy view $((view + 1))"
ok "and status says no more of it" await b view_unwritten_ms 0

freeze a b
ok "a bit flips in the standby's memory" python3 "$root/tests/lab/flip.py" "$(field a pid)" lowest
ok "the primary hears of it, and has answers while no disk takes its bytes" await b verified.different 1
ok "so does the standby, which is brought up to date" is_protected
is "no file is said to be there" "$(field a diverged.file) $(field b diverged.file)" "null null"
ok "a handover while no disk takes anything" drain
ok "is done" await a role primary
ok "and the pair is PROTECTED again" is_protected
# The writer of a node that dies is kept by its disk; the node's sockets are not.
kill -KILL "$(field a pid)"
ok "the next takeover, from a node whose writer hangs" await b role primary
left_alone() { [ "$("$lab" exec a ss -Htn state established | wc -l)" = 0 ]; } # the notice comes first
ok "which has no connection any more" soon left_alone
thaw
ok "after the thaw what differed is on the disk" await b diverged.file "$LAB_DIR/b/b.diverged"
probing_ends
is "no flow broken, nothing contradicted" "$(seen '.flows_broken + .contradicted')" 0

# A disk that takes nothing keeps no node from starting, either. a is primary's peer: b is primary here.
starts() { # HOW: a starts on such a disk, is the standby, and says what its disk has not taken
    "$lab" start a
    ok "$1: a starts, and the pair is PROTECTED" is_protected
    ok "$1: it says that its disk has not taken its view" test "$(field a view_unwritten_ms)" -gt 0
    is "$1: and what its file has is believed" "$(field a view_on_disk)" "$(cut -d' ' -f3 "$LAB_DIR/a/a.view")"
}
ok "the pair is PROTECTED again" sh -c "'$lab' start a" && ok "before a start on such a disk" is_protected
freeze a
kill -KILL "$(field a pid)"
await b state SOLO # until then the pair is what it was
starts frozen
thaw
ok "after the thaw it has" await a view_unwritten_ms 0
kill -KILL "$(field a pid)"
await b state SOLO
mount -o remount,ro "$LAB_DIR/a"
starts read-only
ok "its log says so" soon grep -q 'Read-only file system; tried again each second' "$LAB_DIR/a.log"
kill -KILL "$(field b pid)"
ok "it takes over" await a role primary
nsenter -t "$(field a pid)" -m mount -o remount,rw "$LAB_DIR/a" # ip netns exec has given it mounts of its own
mount -o remount,rw "$LAB_DIR/a"
ok "and when its disk takes writes the view is on it" await a view_unwritten_ms 0
"$lab" start b
is_protected
drain
await b role primary
is_protected
kill -KILL "$(field a pid)"
await b state SOLO
dd if=/dev/zero of="$LAB_DIR/a/fill" bs=64k 2>/dev/null
while dd if=/dev/zero of="$LAB_DIR/a/fill.$((++n))" bs=1k count=1 2>/dev/null; do [ "$n" -lt 2000 ] || break; done
starts full
rm -f "$LAB_DIR"/a/fill*
ok "and when there is room the view is on it" await a view_unwritten_ms 0
