/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane does when there is nothing to do: answers questions, and backs off. Two nodes may share two
 * cores, so an idle lane must not burn one; a lane that holds outputs spins a bounded while first, since what
 * it waits for is near.
 */
#include "node/lane/lane.h"
#include "nflib/chain/chain.h"
#include "node/base/clock.h"

#include <immintrin.h>

#include <time.h>

#define SPIN_HELD    400u /* turns: some tens of microseconds */
#define SPIN_IDLE    50u
#define SLEEP_HELD   10000u /* ns */
#define SLEEP_FIRST  20000u
#define SLEEP_LAST   250000u
#define SLEEP_DOUBLE 200u /* turns until a sleep doubles */

/* How long to sleep after so many turns without work. 0: not yet. */
static uint64_t sleep_ns(const struct nd_lane *lane)
{
    bool held = ft_hold_count(&lane->hold) > 0;
    unsigned doubled = lane->turn.idle / SLEEP_DOUBLE;
    uint64_t ns = (uint64_t)SLEEP_FIRST << (doubled < 4 ? doubled : 4);

    /* Nobody waits for a warm standby's lane; waking would take the processor from who is waited for. */
    if (lane->doing == FT_LANE_REPLAY && lane->config->protect.stores)
        return SLEEP_LAST;
    if (lane->turn.idle < (held ? SPIN_HELD : SPIN_IDLE))
        return 0;
    return held ? SLEEP_HELD : ns < SLEEP_LAST ? ns : SLEEP_LAST;
}

void nd_lane_wait(struct nd_lane *lane, bool worked)
{
    struct timespec pause = {0, 0};

    lane->turn.idle = worked ? 0 : lane->turn.idle + 1;
    if (worked)
        return;
    pause.tv_nsec = (long)sleep_ns(lane);
    if (pause.tv_nsec == 0) {
        _mm_pause();
        return;
    }
    ft_turns_spent(&lane->words->count.turns, FT_SPENT_EMPTY, nd_now());
    lane->turn.spent = FT_SPENT_ASLEEP;
    nanosleep(&pause, NULL);
}

static void show_rows(struct nd_lane *lane, struct nd_question *q)
{
    struct nf *nf = nf_chain_find(lane->chain, q->text);
    struct nf_show *out;

    if (!nf || !nf->module->show) {
        q->error = ft_fail(&q->fault, FT_ENOENT, "no NF called '%s' in this chain", q->text);
        return;
    }
    out = nf_show_begin(q->out, q->cap);
    if (!out) {
        q->error = ft_fail(&q->fault, FT_ENOMEM, "no memory to show '%s'", q->text);
        return;
    }
    q->more = nf_chain_show(lane->chain, nf, out, &q->cursor);
    q->len = nf_show_end(out);
    q->error = 0;
}

bool nd_lane_claim_question(const struct nd_lane *lane, enum nd_ask_kind kind)
{
    struct nd_question *q = lane->setup.question;
    int expected = (int)kind;

    if (!atomic_compare_exchange_strong(&q->asked, &expected, ND_ASK_TAKEN))
        return false;
    if (q->lane == lane->index)
        return true;
    /* Between the look and the claim it was taken back, and another lane was asked. */
    atomic_store_explicit(&q->asked, (int)kind, memory_order_release);
    return false;
}

void nd_lane_answer(struct nd_lane *lane)
{
    struct nd_question *q = lane->setup.question;
    int asked = atomic_load_explicit(&q->asked, memory_order_acquire);
    bool live = nd_lane_is_live(lane);

    if (asked == ND_ASK_NONE || q->lane != lane->index || (asked == ND_ASK_COMMAND && live))
        return; /* a command becomes part of the next burst */
    if (asked == ND_ASK_TAKEN || !nd_lane_claim_question(lane, (enum nd_ask_kind)asked))
        return;
    if (asked == ND_ASK_COMMAND)
        q->error = ft_fail(&q->fault, FT_EBUSY, "only the primary changes state");
    else if (live || lane->doing == FT_LANE_REPLAY)
        show_rows(lane, q);
    else
        q->error = ft_fail(&q->fault, FT_EBUSY, "this node holds no state yet");
    atomic_store_explicit(&q->asked, ND_ASK_NONE, memory_order_release);
}
