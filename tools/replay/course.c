/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of a replay run, in the tool's own process, which is the input keeper: feeds bursts, takes what
 * is released, kills when it is time, and after a takeover feeds the successor from the first burst that did
 * not survive (without an input keeper: from the first that the dead primary had not taken).
 *
 * A kill waits until the pair is protected. While a new standby is brought up to date the feeding goes on,
 * but not further than a seeded fraction of the way to the next kill: so a kill finds some of its bursts in
 * the snapshot and some in the log.
 */
#include "tools/replay/replay.h"
#include "ftcore/base/draw.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef UNDERSTUDY_PLANT
#define PATIENCE 10000000000ull /* a planted bug may stop all progress */
#else
#define PATIENCE 60000000000ull /* ns without any progress: something is broken */
#endif
#define PAUSE_NS   100000u
#define LAST_DOUBT 2000000u /* ns: most that a kill comes after its packet */
#define CHECK_EACH 64u      /* rounds between two looks at the processes */

static struct nd_slot *primary_slot(struct nd_replay *r)
{
    return r->node[r->primary].slot;
}

static uint64_t drain_outputs(struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        n += nd_keeper_drain(&r->keeper[l], &primary_slot(r)->lanes[l]);
    return n;
}

static bool protected_by_both(struct nd_replay *r)
{
    return atomic_load(&primary_slot(r)->status.state) == FT_PROTECTED &&
           atomic_load(&r->node[!r->primary].slot->status.state) == FT_READY;
}

/* Bursts of all lanes' tapes that were taken. */
static uint64_t count_taken(struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t asked = atomic_load(&primary_slot(r)->lanes[l].asked);

        n += (asked ? asked - 1 : 0) + r->keeper[l].shift;
    }
    return n;
}

/* Turns until `when`: takes outputs, looks after the processes. FT_EDIVERGED: no burst further on was taken
 * for long; a node that loses its state and begins again comes no further. */
static int wait_until(struct nd_replay *r, bool (*when)(struct nd_replay *r), const char *what,
                      struct ft_fault *fault)
{
    uint64_t moved = nd_now(), most = 0;
    unsigned round = 0;
    int error = 0;

    while (!error && !when(r)) {
        uint64_t now = nd_now(), taken = count_taken(r);

        if (drain_outputs(r) == 0)
            nd_sleep(PAUSE_NS);
        if (round++ % CHECK_EACH == 0)
            error = nd_nodes_check(r, fault);
        if (taken > most) {
            most = taken;
            moved = now;
        }
        if (nd_interrupted())
            error = ft_fail(fault, FT_EIO, "interrupted");
        if (!error && now > moved + PATIENCE)
            error = ft_fail(fault, FT_EDIVERGED, "%s: no progress at burst %lu; node %c is %s: %.100s", what,
                            taken, 'a' + (int)r->primary,
                            ft_state_name((enum ft_state)atomic_load(&primary_slot(r)->status.state)),
                            primary_slot(r)->status.why);
    }
    return error;
}

/* ---- kills ------------------------------------------------------------------------------------- */

/* The link delivers in batches from now on, or no longer. */
static void set_fits(struct nd_replay *r, bool fits)
{
    for (unsigned n = 0; n < ND_NODES; n++)
        atomic_store(&r->node[n].slot->fits, fits);
}

/* The primary's lane may take bursts up to this one of its tape. */
static void feed_lane(struct nd_replay *r, unsigned l, uint64_t to)
{
    struct nd_slot_lane *lane = &primary_slot(r)->lanes[l];
    struct nd_keeper *keeper = &r->keeper[l];

    /* Without an input keeper the successor may begin behind the next kill's packet. */
    to = to > keeper->shift ? to - keeper->shift : 0;
    nd_keeper_know(keeper, to);
    lane->shift = keeper->shift;
    if (to > atomic_load_explicit(&lane->fed, memory_order_relaxed))
        atomic_store_explicit(&lane->fed, to, memory_order_release);
}

static bool took_all(struct nd_replay *r)
{
    for (unsigned l = 0; l < r->lanes; l++) {
        struct nd_slot_lane *lane = &primary_slot(r)->lanes[l];

        if (atomic_load(&lane->asked) <= atomic_load(&lane->fed) && /* has not executed it */
            atomic_load(&lane->taken) < atomic_load(&lane->fed))
            return false;
    }
    return true;
}

static bool is_live(struct nd_replay *r)
{
    for (unsigned l = 0; l < r->lanes; l++)
        if (atomic_load(&primary_slot(r)->lanes[l].asked) == 0)
            return false;
    return true;
}

/* The standby has taken over, or has dropped what it knew and never will. */
static bool has_answered(struct nd_replay *r)
{
    return is_live(r) || atomic_load(&primary_slot(r)->status.state) == FT_JOINING;
}

/* At once, or a seeded moment later, so that a kill finds bursts in every stage; outputs go on leaving. */
static void wait_seeded(struct nd_replay *r)
{
    uint64_t late = ft_draw(&r->random) % 2 ? ft_draw(&r->random) % LAST_DOUBT : 0, until = nd_now() + late;

    while (nd_now() < until)
        if (drain_outputs(r) == 0)
            nd_sleep(PAUSE_NS / 10);
}

static int kill_primary(struct nd_replay *r, struct ft_fault *fault)
{
    uint64_t taken[FT_LANES_MAX] = {0};
    unsigned dead = r->primary;
    int error;

    nd_nodes_kill(r, dead);
    while (drain_outputs(r)) /* what it had released has left */
        ;
    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t asked = atomic_load(&primary_slot(r)->lanes[l].asked);

        taken[l] = atomic_load(&primary_slot(r)->lanes[l].taken);
        if (asked > taken[l] + 1) /* it never took any: it took over and had nothing to do */
            taken[l] = asked - 1;
    }
    r->primary = !dead;
    /* Outputs and records come after the first burst is asked for: the successor's bursts are not fed yet. */
    error = wait_until(r, has_answered, "takeover", fault);
    if (error)
        return error;
    if (!is_live(r))
        return ft_fail(fault, FT_EDIVERGED, "nobody took over from node %c: node %c is JOINING: %.100s",
                       'a' + (int)dead, 'a' + (int)r->primary, primary_slot(r)->status.why);
    for (unsigned l = 0; l < r->lanes; l++)
        nd_keeper_takeover(&r->keeper[l], atomic_load(&primary_slot(r)->lanes[l].asked) - 1, taken[l]);
    r->failovers++;
    return nd_nodes_start(r, dead, fault);
}

static int kill_one(struct nd_replay *r, struct ft_fault *fault)
{
    const struct nd_kill *kill = &r->options->kills[r->next_kill++];
    unsigned standby = !r->primary;
    int error;

    wait_seeded(r);
    error = wait_until(r, protected_by_both, "protection", fault);
    if (error)
        return error;
    if (kill->primary)
        return kill_primary(r, fault);
    nd_nodes_kill(r, standby);
    return nd_nodes_start(r, standby, fault);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static bool has_begun(struct nd_replay *r)
{
    return r->alone ? atomic_load(&primary_slot(r)->status.state) == FT_SOLO : protected_by_both(r);
}

/*
 * A warm standby's state is that of its last checkpoint. Asked for a digest, the primary makes one more:
 * then the standby has all there is, and the digests of both can be compared.
 */
static void ask_checkpoint(struct nd_replay *r)
{
    if (!r->config->protect.stores || r->asked == primary_slot(r))
        return;
    r->asked = primary_slot(r);
    for (unsigned l = 0; l < r->lanes; l++)
        atomic_fetch_add(&primary_slot(r)->words[l].orders.digest, 1);
}

/* All bursts executed, all outputs out of the hold and out of the ring; the standby knows it all. */
static bool is_done(struct nd_replay *r)
{
    struct nd_slot *p = primary_slot(r), *s = r->node[!r->primary].slot;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t last = r->keeper[l].known;

        if (atomic_load(&p->lanes[l].asked) <= last || atomic_load(&p->words[l].count.held) != 0 ||
            ft_ring_used(&p->lanes[l].out) != 0 || (r->lanes > 1 && r->keeper[l].ledger.count < last))
            return false;
    }
    if (r->alone)
        return true;
    if (!protected_by_both(r))
        return false;
    ask_checkpoint(r);
    for (unsigned l = 0; l < r->lanes; l++)
        if (atomic_load(&s->words[l].report.executed) < r->keeper[l].known)
            return false;
    return true;
}

/* Feeds the lanes up to this burst of their tapes, and waits. */
static int feed_until(struct nd_replay *r, uint64_t to, bool (*when)(struct nd_replay *r),
                      struct ft_fault *fault)
{
    for (unsigned l = 0; l < r->lanes; l++)
        feed_lane(r, l, to);
    return wait_until(r, when, "feeding", fault);
}

static int start_pair(struct nd_replay *r, struct ft_fault *fault)
{
    int error = nd_nodes_start(r, 0, fault);

    if (!error && !r->alone)
        error = nd_nodes_start(r, 1, fault);
    return error ? error : wait_until(r, has_begun, "the first protection", fault);
}

/* Up to the packet of the next kill, the last of the way protected and with a link that hesitates. Bursts of
 * all lanes are those of the capture, so lanes are fed as far as each other. */
static int feed_to_kill(struct nd_replay *r, struct ft_fault *fault)
{
    uint64_t to = nd_tape_burst_of(&r->tape, r->options->kills[r->next_kill].at - 1), half = to;
    int error;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t from = atomic_load(&primary_slot(r)->lanes[l].asked) - 1 + r->keeper[l].shift;

        half = from < half ? from : half;
    }
    half += ft_draw(&r->random) % ((to - half) / 2 + 1);
    set_fits(r, false);
    error = feed_until(r, half, protected_by_both, fault);
    if (!error)
        error = feed_until(r, half, took_all, fault);
    set_fits(r, true);
    return error ? error : feed_until(r, to, took_all, fault);
}

int nd_replay_run(struct nd_replay *r, struct ft_fault *fault)
{
    int error;

    nd_catch_ends();
    r->random = r->options->seed;
    r->alone = !r->config->protect.pair;
    error = nd_nodes_open(r, fault);
    if (!error)
        error = start_pair(r, fault);
    r->began = nd_now();
    while (!error && r->next_kill < r->options->kill_count - r->kills_beyond) {
        error = feed_to_kill(r, fault);
        if (!error)
            error = kill_one(r, fault);
    }
    if (!error) {
        set_fits(r, false);
        error = feed_until(r, r->tape.burst_count, is_done, fault);
    }
    r->ended = nd_now();
    if (error == FT_EDIVERGED) {
        fprintf(stderr, "understudy replay: %s\n", fault->text);
        r->broken = true;
        error = 0;
    } else if (!error) {
        bool rested;

        /* The standby first: it would take over from a primary that ends. */
        if (!r->alone)
            r->standby_digest = nd_nodes_rest(r, !r->primary, &r->standby_rested);
        r->primary_digest = nd_nodes_rest(r, r->primary, &rested);
        if (!rested || (!r->alone && !r->standby_rested))
            error = ft_fail(fault, FT_EIO, "a node did not come to rest");
    }
    return error;
}
