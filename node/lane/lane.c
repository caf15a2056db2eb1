/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: what it owns, and its turns. What it does in a turn is in live.c (with inputs.c, cut.c, outputs.c)
 * and replay.c (with apply.c); how it follows orders in orders.c. All runs on the lane's own thread.
 */
#include "node/lane/change.h"
#include "node/lane/lane.h"
#include "ftcore/base/plant.h"
#include "node/base/clock.h"
#include "node/crash/handler.h"
#include "nflib/chain/chain.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#define REPLAYED_BYTES (4u << 20)
#define STANDS_S       3 /* planted */

/* Linux: both are of the calling thread alone. */
bool nd_priority_raise(void)
{
    return setpriority(PRIO_PROCESS, 0, -10) == 0;
}

bool nd_priority_realtime(void)
{
    return sched_setscheduler(0, SCHED_FIFO, &(const struct sched_param){.sched_priority = 10}) == 0;
}

int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault)
{
    /* Half the buffers stay for the ports, or a full hold would starve reception for good. */
    uint32_t hold = ft_hold_fit(lane->config->protect.hold_packets, lane->io->buffers / 2);

    if (hold < NF_BURST_MAX + NF_EMIT_MAX)
        return ft_fail(fault, FT_EINVAL, "lane %u: %u packet buffers are too few to hold a burst's outputs",
                       lane->index, lane->io->buffers);
    lane->by_seq = lane->io->input && lane->config->protect.capture == ND_CAPTURE_AUTO;
    lane->burst.frames = lane->by_seq ? aligned_alloc(64, (size_t)NF_BURST_MAX * lane->io->frame_max) : NULL;
    if (lane->by_seq && !lane->burst.frames)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for a burst's frames", lane->index);
    if (nd_verification_make(lane) != 0)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory to keep slices", lane->index);
    lane->capture.lane = lane->words;
    lane->delta = (struct lg_delta){.lane = lane->words,
                                    .region = lane->region,
                                    .hold = &lane->hold,
                                    .carry = nd_lane_carry,
                                    .arg = lane};
    if (ft_hold_init(&lane->hold, hold) != 0 || nd_waiting_make(&lane->waiting, lane->io->buffers) != 0 ||
        lg_replayed_init(&lane->replayed,
                         lane->setup.replayed_bytes ? lane->setup.replayed_bytes : REPLAYED_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for %u held packets", lane->index, hold);
    return nd_lane_make_chain(lane, fault);
}

void nd_lane_free(struct nd_lane *lane)
{
    nf_chain_free(lane->chain);
    ft_hold_free(&lane->hold);
    nd_waiting_free(&lane->waiting);
    nd_verification_free(lane);
    lg_replayed_free(&lane->replayed);
    free(lane->burst.frames);
}

/* The gate changed between SOLO and guarded: what left under the old one is at most what is executed now. */
static void follow_gate(struct nd_lane *lane)
{
    uint64_t gate = FT_ORDER_GET(lane->words, gate);

    if (gate == lane->seen.gate)
        return;
    lane->seen.gate = gate;
    FT_REPORT_SET(lane->words, hold_from, nf_chain_state(lane->chain)->burst);
    FT_REPORT_SET(lane->words, gate_seen, gate);
}

static bool turn_live(struct nd_lane *lane)
{
    nd_lane_snapshot_orders(lane);
    nd_lane_want_slice(lane);
    if (nd_lane_digest_due(lane) || nd_lane_changes_alone(lane))
        nd_lane_quiesce(lane);
    nd_lane_send_announcements(lane);
    bool worked = nd_lane_live(lane), beside = nd_lane_snapshot_copy(lane) | nd_lane_recorder_turn(lane);

    lane->turn.gathers &= !beside;
    return worked | beside;
}

static bool turn_replay(struct nd_lane *lane)
{
    bool worked = nd_lane_replay(lane, FT_ORDER_GET(lane->words, closed_to));

    worked |= nd_lane_recorder_turn(lane);
    if (!nd_lane_steer(lane))
        nd_lane_listen(lane);
    return worked;
}

/* True if there was work. */
static bool run_turn(struct nd_lane *lane)
{
    uint64_t order = FT_ORDER_GET(lane->words, order);
    bool worked = false;

    lane->turn.gathers = false;
    if (order != lane->seen.order)
        nd_lane_follow(lane, order);
    follow_gate(lane);
    if (nd_lane_is_live(lane))
        worked = turn_live(lane);
    else if (lane->doing == FT_LANE_REPLAY)
        worked = turn_replay(lane);
    else
        nd_lane_listen(lane);
    nd_lane_answer(lane);
    return worked;
}

int nd_lane_run(void *arg)
{
    struct nd_lane *lane = arg;

    prctl(PR_SET_TIMERSLACK, 1000ul);
    nd_crash_thread((int)lane->index);
    /* Before ordinary work, where permitted; a lane with a core to itself does not notice. */
    if (lane->setup.urgent)
        nd_priority_raise();
    if (lane->setup.guardian)
        nd_guardian_hold(lane->setup.guardian, lane->index);
    lane->seen.order = FT_ALL; /* unlike any order, so that the first one is followed */
    while (!nd_lane_is_to_end(lane)) {
        if (FT_PLANTED_AT_SIGNAL("lane-stands"))
            nanosleep(&(struct timespec){STANDS_S, 0}, NULL);
        lane->before = lane->now;
        lane->now = nd_now();
        FT_NOTE(lane->words, turn_ns, lane->now);
        ft_turns_spent(&lane->words->count.turns, lane->turn.spent, lane->now);
        if (lane->turn.sent) /* outputs of the turn before had left by now */
            FT_NOTE(lane->words, last_sent_ns, lane->now);
        lane->turn.sent = false;
        nd_lane_send_heartbeats(lane);
        nd_lane_ask_gateways(lane);
        bool worked = run_turn(lane);

        lane->turn.spent = worked && !lane->turn.gathers ? FT_SPENT_USEFUL : FT_SPENT_EMPTY;
        nd_lane_wait(lane, worked);
    }
    nd_lane_end(lane);
    return 0;
}
