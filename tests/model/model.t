#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The protocol's models, searched by spin: each variant whole and without an error, each planted mistake found, each
# thing that must be able to happen found. As TAP. With MODEL_LONG=1 the larger bounds too: minutes, and gigabytes.
# Searches are exhaustive with every state stored: no bitstate, no hash compaction, no depth cut off.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
command -v spin >/dev/null || { echo "1..0 # SKIP no spin: make deps"; exit 0; }

# As many searches at once as there are processors, of the long ones one, for their memory. Each has a directory of its own.
searches=0
slots=$(nproc)
[ "${MODEL_LONG:-0}" = 1 ] && slots=1

# begin FUNCTION ARGUMENTS...: it runs beside the others, and what it says is printed in the order of the calls.
begin() {
    [ "$(jobs -pr | wc -l)" -lt "$slots" ] || wait -n
    searches=$((searches + 1))
    mkdir "$dir/$searches"
    ("$@" "$searches" >"$dir/$searches.tap" 2>&1) &
}

# search MODEL FLAGS...: leaves spin's report in the directory of this search.
search() {
    local model=$1 root=$PWD
    shift
    (cd "$own" && spin "$@" -a "$root/tests/model/$model.pml" >spin.out 2>&1 && [ ! -s spin.out ] &&
        gcc "$optimise" -w -DSAFETY -DNOCLAIM -DNOREDUCE -DVECTORSZ=1024 -DMEMLIM="${MEMORY:-3800}" -o pan pan.c 2>gcc.out &&
        ./pan -E -m1000000 -w22 >report 2>&1)
    [ -s "$own/report" ] || cat "$own"/spin.out "$own"/gcc.out >"$own/report" 2>/dev/null
}

# tell OK NAME: the line of a search, and what the search was.
tell() {
    [ "$1" = 0 ] || printf 'not '
    echo "ok $number - $2"
    awk '/states, stored/ {s = $1} /depth reached/ {sub(/.*depth reached /, ""); sub(/,.*/, ""); d = $0}
         /actual memory|total actual/ {m = $1} /elapsed time/ {t = $4} /assertion violated/ {sub(/pan:1: /, ""); a = $0}
         END {printf "# %d states, depth %d, %d MB, %s s%s\n", s, d, m, t, a == "" ? "" : "; " substr(a, 1, 140)}' "$own/report"
}

# holds NAME MODEL FLAGS...: searched to the end, no error.
holds() { begin is_whole "$@"; }
is_whole() {
    local number=${*: -1} name=$1 ok=0
    own=$dir/$number optimise=-O2
    search "${@:2:$#-2}"
    grep -q 'errors: 0$' "$own/report" || ok=1
    grep -q '^Full statespace search for:' "$own/report" || ok=1
    grep -qiE 'search not completed|max search depth too small|out of memory|reached -DMEMLIM|truncated|hash-compact|bit ?state' \
        "$own/report" && ok=1
    tell $ok "$name"
    [ $ok = 0 ] || head -n 20 "$own/report" | sed 's/^/# /'
    rm -rf "$own"
}

# found NAME WHERE MODEL FLAGS...: spin finds an assertion of the model itself that is broken, at a line that reads WHERE.
found() { begin is_broken "$@"; }
is_broken() {
    local number=${*: -1} name=$1 where=$2 ok=0
    own=$dir/$number optimise=-O0 # found soon; the compiler is what takes long
    search "${@:3:$#-3}"
    grep -q 'errors: 1$' "$own/report" && grep -qE "assertion violated.*($where)" "$own/report" || ok=1
    tell $ok "$name"
    rm -rf "$own"
}

STABLE='acked'               # G1: what is stable
ALONE='gate==2|gate!=2|st!=3' # G1: SOLO, and only when the other has no right
TWICE='tails|left2| 0 ' # G4
VIEW='reign|aview|late'      # G5
SEEN='seen'                  # nothing that the world has seen is contradicted
BOTH='s==5'                  # decision: two that release
PAIRS='lease|lview'          # members: two that release, or one in a view that is over
WHOLE='whole'                # members: a state is taken for whole that is not; empty beside one that is
FORK='o==n'                  # members: two sets of members in one view
FOR_NOBODY='v<=reign'        # members: a state is given up for a view that nobody has begun
GONE='gone'                  # lanes, G1: what was released is replayed
CLOSED='need.*(end|at)'      # lanes: what is replayed, or stopped at, needs nothing else
ANY='.'

# Every behaviour within the bounds.
holds "no arbiter, strict: one fault and a planned handover" pair -DSTRICT -DFAULTS=1 -DHANDOVERS=1
holds "no arbiter, strict: one fault, silences of any length among them" pair -DSTRICT -DSILENCE -DFAULTS=1 -DBURSTS=1
holds "no arbiter, not strict: one fault" pair -DFAULTS=1
holds "no arbiter, not strict: a planned handover" pair -DFAULTS=0 -DHANDOVERS=1
holds "no arbiter, not strict: a planned handover and one fault, one burst" pair -DFAULTS=1 -DHANDOVERS=1 -DBURSTS=1
holds "the gate decides: one fault" arbiter -DGATE -DFAULTS=1
holds "an arbiter elsewhere: one fault" arbiter -DFAULTS=1 -DBURSTS=1
holds "one decision for an era: three faults" decision
holds "members, an arbiter: one fault, three views" members -DFAULTS=1 -DVIEWS=3 -DROOM=1
holds "members, strict: two faults, four views" members -DSTRICT -DFAULTS=2 -DROOM=1
holds "members, an arbiter: no dead end" members -DCALM -DDISKS_LAST -DFAULTS=1 -DVIEWS=3 -DROOM=1
holds "members, strict: no dead end" members -DSTRICT -DCALM -DDISKS_LAST -DFAULTS=2 -DROOM=1
holds "lanes: two bursts and one, by ports and connection" lanes
holds "lanes: one burst each, that stop together" lanes -DSTOPS -DBURSTS=1
holds "lanes: one lane's log, which the ports carry twice" lanes -DLOG -DOTHERS=0
if [ "${MODEL_LONG:-0}" = 1 ]; then
    MEMORY=16000
    holds "long: lanes, two bursts and one, that stop together" lanes -DSTOPS
    holds "long: lanes, three bursts in one lane's log" lanes -DLOG -DOTHERS=0 -DBURSTS=3
    holds "long: lanes, two lanes' logs" lanes -DLOG -DBURSTS=1
    holds "long: members, an arbiter, two messages under way" members -DFAULTS=1 -DVIEWS=3
    holds "long: members, an arbiter, four views" members -DFAULTS=1 -DROOM=1
    holds "long: members, strict, two messages under way" members -DSTRICT -DFAULTS=2
    holds "long: strict, two messages under way" pair -DSTRICT -DFAULTS=1 -DROOM=2
    holds "long: strict, silences, two bursts" pair -DSTRICT -DSILENCE -DFAULTS=1
    holds "long: strict, two faults, one burst: a forgotten view among them" pair -DSTRICT -DFAULTS=2 -DBURSTS=1
    holds "long: not strict, a handover and one fault" pair -DFAULTS=1 -DHANDOVERS=1
    holds "long: the gate, two faults" arbiter -DGATE -DFAULTS=2
    holds "long: an arbiter elsewhere, two bursts" arbiter -DFAULTS=1
fi

# What must be found.
found "the split of two nodes that are not strict, in a long silence" "$ANY" pair -DPARTITION -DSILENCE -DFAULTS=1
found "a paused primary, replaced, whose link stays silent after it woke: not strict, it goes SOLO" "$VIEW" pair -DPORTS_ONLY -DFAULTS=2
found "released before it is acknowledged" "$STABLE" pair -DBUG_EARLY -DSTRICT -DFAULTS=1
found "acknowledged before it is in the closed set" "$STABLE" pair -DBUG_ACK -DSTRICT -DFAULTS=1
found "after a break the log goes on without a new snapshot" closed pair -DBUG_GAP -DSTRICT -DFAULTS=1
found "a lease as long as detect_ms" "$VIEW" pair -DBUG_LEASE -DSTRICT -DSILENCE -DFAULTS=1
found "a lease that runs from the answer's arrival" "$VIEW" pair -DBUG_HEARD -DSTRICT -DSILENCE -DFAULTS=1
found "a right to promote that outlasts solo_after_ms" "$ALONE" pair -DBUG_RIGHT -DFAULTS=1
found "time slept counted as silence" "$VIEW" pair -DBUG_AWAKE -DFAULTS=1
found "a higher view that does not fence" "$VIEW" pair -DBUG_FENCE -DFAULTS=1
found "SOLO that is not announced" "$ALONE" pair -DBUG_UNANNOUNCED -DFAULTS=0
found "a tail that begins before what is known to have left" "$TWICE" pair -DBUG_TAIL -DSTRICT -DFAULTS=1
found "a view that is not on the disk, when a handover releases in it" "$SEEN|$VIEW|$TWICE" pair -DBUG_HANDOVER_FORGOTTEN -DFAULTS=1 -DHANDOVERS=1
found "a view that is not on the disk, when it begins with an empty state" "READY|st" pair -DBUG_START_FORGOTTEN -DFAULTS=1
found "a handover taken back by silence" "$VIEW" pair -DBUG_SILENT_RESUME -DFAULTS=0 -DHANDOVERS=1
found "arbiter: a lease as long as its patience" "$VIEW" arbiter -DBUG_LEASE -DFAULTS=1
found "arbiter: a lease that runs from the answer's arrival" "$VIEW" arbiter -DBUG_HEARD -DFAULTS=1
found "arbiter: acknowledged before it is held" "$STABLE" arbiter -DBUG_ACK -DFAULTS=1
found "arbiter: SOLO that it was not told of" aready arbiter -DBUG_UNANNOUNCED -DFAULTS=1
found "decision: the standby takes over on silence without asking" "$BOTH" decision -DBUG_UNASKED_TAKEOVER
found "decision: the primary goes on after a silence without asking" "$BOTH|stale" decision -DBUG_UNASKED_SOLO
found "decision: two winners of one era" "$BOTH" decision -DBUG_SAME_ERA
found "decision: an answer of another era is believed" "$BOTH|stale" decision -DBUG_ANY_ANSWER
found "decision: a standby that asks prolongs the lease" "$BOTH" decision -DBUG_ASKS_ALOUD
found "decision: the primary asks while the standby has its right" stale decision -DBUG_ASKS_EARLY
found "decision: a right that had ended is worth as much as before" stale decision -DBUG_RIGHT_AGAIN
found "gate: one clock for two packets" stamped arbiter -DGATE -DBUG_CLOCK -DFAULTS=1
found "gate: what left already passes again" "$TWICE" arbiter -DGATE -DBUG_TWICE -DFAULTS=1
found "gate: outputs of an older view pass" "$VIEW" arbiter -DGATE -DBUG_VIEW -DFAULTS=1
found "gate: sent is taken for left" passed arbiter -DGATE -DBUG_SENT -DFAULTS=1
found "gate: a standby counts before the snapshot's outputs have left" passed arbiter -DGATE -DBUG_CUT -DFAULTS=1
found "members: a standby is released by time, and takes over" "$PAIRS|$WHOLE|$FORK" members -DBUG_TIMEOUT -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: the same, strict" "$PAIRS|$WHOLE|$FORK" members -DBUG_TIMEOUT -DSTRICT -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: the new standby holds before the disk has its members" "$PAIRS|$WHOLE|$FORK" members -DBUG_DISK -DSTRICT -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: the new standby holds before the arbiter has its members" "$PAIRS|$WHOLE|$FORK" members -DBUG_ARBITER -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: a joiner's view is believed" "$FOR_NOBODY" members -DBUG_JOINER_VIEW -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: a death notice goes to the old peer, which takes it for its own peer's" "$PAIRS" members -DBUG_OLD_NOTICE -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: a foreign incarnation promotes" "$PAIRS|$WHOLE|$FORK" members -DBUG_FOREIGN -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: the same, strict" "$PAIRS|$WHOLE|$FORK" members -DBUG_FOREIGN -DSTRICT -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: a node without a file follows whoever speaks" "$PAIRS|$WHOLE|$FORK" members -DBUG_BLANK -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: the same, strict" "$PAIRS|$WHOLE|$FORK" members -DBUG_BLANK -DSTRICT -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: a member that hears nobody begins empty" "$PAIRS|$WHOLE|$FORK" members -DBUG_EMPTY -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "members: a takeover whose view is forgotten" "$WHOLE" members -DFORGOTTEN -DFAULTS=1 -DVIEWS=3 -DROOM=1
found "lanes: a standby says that it has stored what is missing" "$GONE" lanes -DBUG_UNSTORED
found "lanes: what was sent is released" "$GONE" lanes -DBUG_COUNTS
found "lanes: a takeover replays what lanes were told before it, not what is stored" "$GONE" lanes -DBUG_VECTOR -DSTOPS -DBURSTS=1
found "lanes: a takeover does not shut the set" "$CLOSED" lanes -DBUG_SHUT
found "lanes: what the connection brought is known with all accesses" "$CLOSED" lanes -DBUG_NEED
found "lanes: a burst is closed without what it needs of the other lane" "$CLOSED" lanes -DBUG_ALONE
found "lanes: what the burst before needs is forgotten" "$CLOSED" lanes -DBUG_FORGETS
found "lanes: the set moves while lanes come to a stop point" "$CLOSED" lanes -DBUG_STOP -DSTOPS -DBURSTS=1
found "lanes: two lanes compute at once" "n[01]>=" lanes -DBUG_CLAIM
found "lanes: the log is freed by what was sent" "last.*1" lanes -DBUG_FREES
found "lanes: the same, and it is to be sent again" "carry!=" lanes -DBUG_FREES -DLOG -DOTHERS=0
found "lanes: a word of the carrying before frees the log" "freed<=.*from" lanes -DBUG_EARLIER -DLOG -DOTHERS=0
found "lanes: the connection goes on, and what came by the port is not known" "last.*1" lanes -DBUG_UNKNOWN

# What must be able to happen.
found "a takeover of two bursts" closed pair -DSEE_TAKEOVER -DSTRICT -DFAULTS=1
found "a handover that is taken back" over pair -DSEE_RESUME -DSTRICT -DFAULTS=1 -DHANDOVERS=1
found "an output that leaves twice" "$TWICE" pair -DSEE_TWICE -DFAULTS=1
found "decision: the standby wins while the primary asks" "p!=3" decision -DSEE_STANDBY_WINS
found "decision: the primary wins while the standby asks" "s!=4" decision -DSEE_PRIMARY_WINS
found "a takeover from a holder that is silent" rel arbiter -DSEE_TAKEOVER -DFAULTS=1
found "lanes: a burst waits for the other lane's" "n.*need" lanes -DSEE_WAITS
found "lanes: port and connection bring the same burst" "last==0" lanes -DSEE_BOTH
found "lanes: a burst that is stored is not in the closed set" "last>" lanes -DSEE_OUTSIDE
found "lanes: the port carries, hands over, and carries again" "carried==2" lanes -DSEE_AGAIN -DLOG -DOTHERS=0
for kind in "" -DSTRICT; do
    found "members $kind: a primary at work with a third node" out members -DSEE_HEALED -DFAULTS=0 -DVIEWS=3 -DROOM=1 $kind
    found "members $kind: that third node takes over" out members -DSEE_HEIR -DFAULTS=1 -DVIEWS=3 -DROOM=1 $kind
    found "members $kind: the first standby comes back" out members -DSEE_BACK -DFAULTS=0 -DROOM=1 $kind
    found "members $kind: a node that was removed gives up its state" st members -DSEE_REMOVED -DFAULTS=0 -DVIEWS=3 -DROOM=1 $kind
    found "members $kind: both have lost their state, and one begins empty" ask members -DSEE_EMPTY -DFAULTS=2 -DVIEWS=3 -DROOM=1 $kind
done

wait
for ((n = 1; n <= searches; n++)); do cat "$dir/$n.tap"; done
echo "1..$searches"
! grep -q '^not ok' "$dir"/*.tap
