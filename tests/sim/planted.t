#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the simulation's oracles are worth: each planted bug (ftcore/base/plant.h) is found by a seed, and that seed passes without the bug.
# tests/sim/planted-seeds has the seed that finds each one. A change of what seeds draw may lose some: those rows fail, and REWRITE=1 searches
# other seeds for them, 5,000 each, and writes the file again.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
JOBS=$(nproc)
seeds=tests/sim/planted-seeds

bugs=(
    # hold, release           # record, order              # takeover, fencing           # resync, core
    early-release one-too-many
    skip-record wrong-time drop-edge lost-edge open-set
    reuse-seq old-tail no-fence never-slept view-forgotten long-lease lease-from-answer endless-right
    skip-line edit-before-copy copy-late ready-early gate-unseen solo-early overslept stale-clock
    impatient
    # the sealed link
    believe-resets believe-ends
)
# With an arbiter: who goes on without asking, and a standby that takes over by its own word once its right has ended.
arbitrated=(takeover-unasked solo-unasked right-again)
# An NF that dies of its state: a standby that does nothing about it, a change that is not recorded, a state that comes
# back and was not checked.
of_state=(no-remedy remedy-unrecorded unchecked-return)
# Packets recorded by their sessions, or made again by them (planted_lane.c).
told=(told-neighbour told-reused told-ended told-other-key told-first-key told-fragment told-tagged told-marked)
# Members that change: a standby that is released by elapsed time, a view that begins without the arbiter, two empty nodes
# that ask nobody, what a node without a view says, acknowledgements before the members are on the disk, a joiner's view;
# and of strict pairs a silent standby in whose place another one comes though nobody says that it is lost.
members=(released-by-time repair-unasked empty-unasked@21000 blank-believed acks-unstored@52400 joiner-view lost-unsaid)
# Two ways between the nodes: the other one goes on one byte too late, or the last byte is taken twice, or the loss of one is
# taken for the loss of the peer.
ways=(way-late way-repeats way-is-death)
# An input keeper that forgets what is not stable, feeds a successor a burst too few, lets leave what has left; and a node
# that says less than it may have sent to a keeper that is dead, settles what has not left, drops what killed without its
# number, or takes it when it is fed again.
# Of two keepers: the word is given before the other one's has run out, or never runs out, or answers what the process before asked; who becomes active goes on with numbers
# of its own. The word of the process before is in test_keeper_word, whose worlds are of words alone.
keeper=(confirms-too-early feeds-too-few forgets-index begins-behind settles-early numbers-shift feeds-poison word-early word-endless numbers-kept)
# Ports of the lanes' own: one says that it has stored what it has not, or what it had before it gave up its state; the log is
# freed behind what was sent; a frame of the view before is taken, or one twice; what a record needs of another lane is forgotten.
port=(port-acks-unstored port-remembers port-frees-sent port-last-view port-twice port-drops-need)
# A slow standby that is kept; one that is given up though nobody waited for it.
slow=(slow-kept slow-hasty)
# Untouched pages: a line more than they have goes as zeros.
sparse=(hole-too-far)
echo "1..$((${#bugs[@]} + ${#arbitrated[@]} + ${#of_state[@]} + ${#told[@]} + ${#members[@]} + ${#ways[@]} + ${#keeper[@]} + ${#port[@]} + ${#slow[@]} + ${#sparse[@]} + 13))"
number=0
for bug in "${bugs[@]}" "${arbitrated[@]/#/arbiter:}" "${of_state[@]/#/crash:}" "${told[@]/#/told:}" "${members[@]/#/members:}" "${ways[@]/#/ways:}" "${keeper[@]/#/keeper:}" "${port[@]/#/port:}" "${slow[@]/#/slow:}" "${sparse[@]/#/sparse:}"; do
    number=$((number + 1))
    kind=()
    [ "${bug%:*}" = "$bug" ] || kind=(-k "${bug%:*}")
    bug=${bug#*:}
    begin=1 # of the search; another seed where the bug shows itself seldom
    [ "${bug%@*}" = "$bug" ] || begin=${bug#*@}
    bug=${bug%@*}
    found=
    known=$(sed -n "s/^$bug //p" "$seeds")
    for range in ${known:+"$known 1"} ${REWRITE:+"$begin 5000"}; do
        said=$(UNDERSTUDY_PLANT=$bug "$BUILD/simulate" -q -x "${kind[@]}" -f "${range% *}" -n "${range#* }" -j "$JOBS")
        [ $? -eq 1 ] && found=$(grep -m1 '^seed .* failed' <<<"$said") && break
        found=
    done
    seed=${found#seed }
    seed=${seed%% *}
    if [ -z "$found" ]; then
        echo "not ok $number - $bug: ${known:+seed $known of $seeds does not find it; }$([ -n "${REWRITE:-}" ] && echo "nor do 5000 from $begin on" || echo "REWRITE=1 $0 searches")"
    elif ! UNDERSTUDY_PLANT=none "$BUILD/simulate" -q "${kind[@]}" -f "$seed" -n 1 >/dev/null; then
        echo "not ok $number - $bug: without it fails as well: $found"
    else
        echo "ok $number - $bug: $found"
        [ "$seed" = "$known" ] || { sed -i "/^$bug /d" "$seeds" && echo "$bug $seed" >>"$seeds"; }
    fi
done
passes() { # KIND...: its seeds without any bug
    number=$((number + 1))
    said=$(UNDERSTUDY_PLANT=none "$BUILD/simulate" -q "$@" -f 1 -n 200 -j "$JOBS") || printf 'not '
    echo "ok $number - without any of them${*:+, $*}: $(tail -1 <<<"$said")"
}
passes
passes -k told
passes -k members
passes -k ways
passes -k keeper
passes -k port
# Those that need a chain of accidents have scenarios of their own: BUG SCENARIO WHAT-IS-SAID.
in_scenario() {
    number=$((number + 1))
    if said=$(UNDERSTUDY_PLANT=$1 "$BUILD/simulate" "tests/sim/scenarios/$2.sim") || ! grep -q "$3" <<<"$said"; then
        echo "not ok $number - $1, in the scenario $2"
    else
        echo "ok $number - $1, in the scenario $2: $(tail -1 <<<"$said" | cut -d: -f2-)"
    fi
}
in_scenario stale-clock sleeps-in-mid-turn ': G2: '
in_scenario one-era arbiter-second-era "was not told 'b (READY, view 2) is now SOLO"

said=$(UNDERSTUDY_PLANT=early-release "$BUILD/simulate" -s 1)
failed=$?
says() { # what is told of a seed that fails: WHAT, HOW OFTEN, HOW OFTEN IT WAS TOLD
    number=$((number + 1))
    [ "$2" = "$3" ] || printf 'not '
    echo "ok $number - a failed seed $1"
}
says "exits with 1" 1 $failed
says "names itself, the version and the guarantee" 1 "$(grep -c '^seed 1 failed (Understudy [0-9.]*): G1: ' <<<"$said")"
says "says how to see it again" 1 "$(grep -c 'make sim SEED=1 VERBOSE=1' <<<"$said")"
says "tells the story before" 1 "$(grep -c 'ms  .* is now PROTECTED in view 1' <<<"$said")"
says "ends with the count" "0 passed, 1 failed" "$(tail -1 <<<"$said")"
