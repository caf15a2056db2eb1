/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of a live lane: which kind its segments have, and the cuts between them (design §4).
 *
 * When a cut is due in one lane, all meet between bursts; the last to come decides for all. What a cut then
 * asks of a lane, its share of the delta, is done by the lane itself, in its own turns: it runs no burst
 * before, but releases, listens and obeys orders. Lane 0 copies the shared arena, and nobody runs before
 * that. A checkpoint between two log segments is copied beside bursts instead: lane_checkpoint.c.
 *
 * Time of cuts is the chain's where a gate stamps it (so that a capture gives the same stream at any speed),
 * else the clock's. Dirty marks are kept in delta segments, for a warm standby's checkpoints, and for a
 * sample now and then; else an edit costs one branch.
 */
#include "node/lane.h"
#include "ftcore/frozen.h"
#include "nflib/chain.h"

#include <string.h>

#define LOOK_EVERY   50u /* commit intervals of a log segment between two samples */
#define PACKET_LINES 8u  /* that a packet changes, five NFs' entries and their lists */
#define WORTH        16u /* times what each delta has again that an early one carries of outputs */

/* ---- what the configuration says --------------------------------------------------------------- */

static uint64_t interval(const struct nd_lane *lane)
{
    return lane->config->protect.commit_interval_us * 1000ull;
}

static bool warm(const struct nd_lane *lane)
{
    return lane->config->protect.standby == ND_STANDBY_WARM;
}

static bool chooses(const struct nd_lane *lane)
{
    return lane->config->protect.mode == ND_MODE_AUTO;
}

static uint64_t pending_bytes(const struct nd_lane *lane)
{
    return (uint64_t)lane->config->protect.pending_mb << 20;
}

/* ---- state ------------------------------------------------------------------------------------- */

static bool logging(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->logging, memory_order_relaxed) && lane->group->stream.on;
}

bool nd_lane_logs(const struct nd_lane *lane)
{
    return logging(lane) && lane->group->stream.segment == FT_SEGMENT_LOG;
}

bool nd_lane_deltas(const struct nd_lane *lane)
{
    return logging(lane) && lane->group->stream.segment == FT_SEGMENT_DELTA;
}

bool nd_lane_digest_wanted(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->digest, memory_order_acquire) != lane->digest;
}

bool nd_lane_digest_by_delta(const struct nd_lane *lane)
{
    return warm(lane) || nd_lane_deltas(lane);
}

static uint64_t cut_clock(const struct nd_lane *lane)
{
    return lane->io->burst ? nf_chain_state(lane->chain)->time : lane->now;
}

bool nd_lane_uncut(const struct nd_lane *lane)
{
    return logging(lane) && atomic_load_explicit(&lane->shared->recorded, memory_order_relaxed) !=
                                nf_chain_state(lane->chain)->burst;
}

static void mark(struct ft_region *region, bool on)
{
    ft_thaw(region);
    if (!on) {
        atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_DIRTY);
        return;
    }
    ft_lines_clear(&region->dirty);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
}

static bool marking(const struct ft_region *region)
{
    return atomic_load_explicit(&region->tracking, memory_order_relaxed) & FT_TRACK_DIRTY;
}

/* Somebody needs marks while the segment lasts. */
static bool needs_marks(const struct nd_lane *lane)
{
    const struct nd_stream *s = &lane->group->stream;

    return s->on && (s->segment == FT_SEGMENT_DELTA || s->sampling || warm(lane));
}

/* ---- tally ------------------------------------------------------------------------------------- */

void nd_lane_tally(struct nd_lane *lane, const struct ft_record *record)
{
    size_t bytes = 0;

    if (lane->n && lane->tally.bursts++ == 0)
        lane->tally_clock = cut_clock(lane);
    if (record) {
        lane->tally.log_bytes += record->size;
        lane->uncovered += record->size;
        return;
    }
    if (!chooses(lane))
        return;
    /* As capture would have: NFs rewrite headers, they do not change how long they are. */
    for (uint32_t i = 0; i < lane->n && !lane->by_clock; i++)
        bytes += lane->whole_capture ? lane->packets[i].len : nf_packet_header_bytes(&lane->packets[i]);
    lane->tally.log_bytes += sizeof(struct ft_record) + FT_ALIGN8(bytes) +
                             (lane->by_clock ? 0 : lane->n * sizeof(struct ft_input)) +
                             nf_chain_sections(lane->chain)->count * sizeof(struct ft_edge);
}

/* The same of one that is held; of those that NFs made, all. */
static uint32_t carry(void *arg, const struct ft_held *held, const uint8_t **frame)
{
    struct nd_lane *lane = arg;
    struct nf_packet p = {.data = lane->io->data(held->packet), .len = held->len, .have = held->len};

    *frame = p.data;
    if (lane->config->protect.tail != ND_TAIL_SUPPRESS) {
        if (held->clock == 0)
            return held->len;
        if (!lane->whole_capture)
            nf_packet_parse(&p);
    }
    return nd_lane_weight(lane, &p);
}

bool nd_lane_weighs(const struct nd_lane *lane)
{
    return needs_marks(lane);
}

static uint64_t dearer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Sums up and clears what lanes counted. */
static struct ft_stretch measure(struct nd_group *group, bool sampled)
{
    struct ft_stretch sum = {.sampled = sampled};

    for (unsigned l = 0; l < group->lanes; l++) {
        struct nd_lane *lane = &group->lane[l];

        sum.bursts += lane->tally.bursts;
        sum.log += lane->tally.log_bytes;
        if (sampled)
            sum.delta += sizeof(struct ft_part) + lg_share_lines(lane->region, l) + lane->tally.out_bytes;
        lane->busy_ns += lane->tally.busy_ns;
        lane->busy_bytes += lane->tally.busy_ns ? lane->tally.log_bytes : 0;
        sum.replay_ns = dearer(sum.replay_ns, nd_lane_lag(lane));
        sum.log_cost = dearer(sum.log_cost, nd_lane_cost(lane, FT_SEGMENT_LOG));
        sum.delta_cost = dearer(sum.delta_cost, nd_lane_cost(lane, FT_SEGMENT_DELTA));
        lane->tally = (struct nd_tally){0};
    }
    return sum;
}

void nd_lane_cut_init(struct nd_lane *lane)
{
    lane->share = (struct lg_share){
        .lane = lane->shared, .region = lane->region, .hold = &lane->hold, .carry = carry, .arg = lane};
}

/* ---- meetings ---------------------------------------------------------------------------------- */

/* While one is still copied the standby keeps, beside all else, what is logged meanwhile. */
static uint64_t most_uncovered(const struct nd_lane *lane)
{
    const struct nd_stream *s = &lane->group->stream;
    bool beside = s->spread && atomic_load_explicit(&s->copying, memory_order_relaxed);

    return pending_bytes(lane) / (beside ? 8 : 4);
}

static double share_of(uint64_t part, uint64_t all)
{
    return all ? (double)part / (double)all : 1;
}

double nd_lane_checkpoint_way(const struct nd_lane *lane)
{
    const struct nd_protect *p = &lane->config->protect;
    double time = share_of(cut_clock(lane) - lane->base_clock, p->checkpoint_ms * 1000000ull);
    double kept = share_of(lane->uncovered, most_uncovered(lane));
    double replay =
        chooses(lane) ? share_of(nd_lane_replay_ns(lane, lane->uncovered), p->recovery_budget_ms * 500000ull)
                      : 0;

    if (lane->share_grown)
        return 1;
    time = time > kept ? time : kept;
    return time > replay ? time : replay;
}

/*
 * A log segment to a warm standby has gone on for long enough: by the clock, by what a takeover would have to
 * replay, or by what the standby may keep, of records or of the checkpoint itself.
 */
static bool checkpoint_due(const struct nd_lane *lane)
{
    return warm(lane) && (nd_lane_digest_wanted(lane) || nd_lane_checkpoint_way(lane) >= 1);
}

/* Memory that a share would take now: its lines, and what it carries of the outputs still held. */
static uint64_t share_bytes(const struct nd_lane *lane)
{
    uint64_t made = lane->hold.in - lane->hold_from, from = lane->hold_from;

    if (from < lane->hold.out)
        from = lane->hold.out;
    return lg_share_lines(lane->region, lane->index) +
           (made ? lane->weighed * (lane->hold.in - from) / made : 0);
}

/*
 * A checkpoint comes before a share is larger than what the standby may keep. It is looked at each time that
 * packets may have changed a sixteenth of that since, were each lane's packets to change PACKET_LINES lines.
 * Lane 0's share has the shared arena, which all lanes change, so each looks at that one too.
 */
static void watch_share(struct nd_lane *lane)
{
    uint64_t clock = nf_chain_state(lane->chain)->clock, room = pending_bytes(lane) / 16;

    if (!warm(lane) || clock < lane->share_look_at)
        return;
    lane->share_look_at = clock + room / (PACKET_LINES * FT_LINE * lane->group->lanes);
    lane->share_grown =
        share_bytes(lane) > 7 * room || (lane->index != 0 && lg_share_lines(lane->region, 0) > 7 * room);
}

/* `digest`: one was taken here, and goes with the shares of all lanes. `spread`: it is copied beside bursts.
 */
static void begin_share(struct nd_lane *lane, bool digest, bool spread)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct ft_part head = {.lane = (uint16_t)lane->index,
                           .flags = spread ? FT_PART_SPREAD : 0,
                           .cut = lane->group->stream.number,
                           .from = lane->cut_from,
                           .burst = state->burst,
                           .clock = state->clock,
                           .access = state->access - 1,
                           .released = atomic_load_explicit(&lane->shared->released, memory_order_relaxed),
                           .outputs = state->outputs};

    if (digest) {
        head.flags |= FT_REC_DIGEST;
        head.digest = lane->group->digest;
        lane->digest = lane->group->digest_met;
        atomic_store_explicit(&lane->shared->digest_at, head.burst, memory_order_relaxed);
        atomic_store_explicit(&lane->shared->digest_seen, lane->digest, memory_order_release);
    }
    lg_share_begin(&lane->share, &head, lane->hold_from);
    lane->told_released = head.released;
    lane->base_clock = cut_clock(lane);
    FT_COUNT(lane->shared, cuts, 1);
}

/* A new segment is based on what all lanes have closed now. */
static void base_here(struct nd_group *group, bool other_kind)
{
    for (unsigned l = 0; l < group->lanes; l++) {
        struct nd_lane *lane = &group->lane[l];

        lane->cut_from = nf_chain_state(lane->chain)->burst;
        lane->hold_from = lane->hold.in;
        if (other_kind)
            lane->kind_from = atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed);
        lane->uncovered = lane->weighed = lane->share_look_at = lane->early_at = 0;
        lane->share_grown = false;
    }
}

static void show_segment(struct nd_group *group)
{
    for (unsigned l = 0; l < group->lanes; l++)
        atomic_store_explicit(&group->lane[l].shared->segment, (int)group->stream.segment,
                              memory_order_relaxed);
}

/* No standby could keep a delta as large as the next one: only a base helps, and until then all lanes stand.
 */
static bool too_large(struct nd_group *group)
{
    bool large = false;

    for (unsigned l = 0; l < group->lanes; l++)
        large |= share_bytes(&group->lane[l]) > pending_bytes(&group->lane[l]) / 2;
    for (unsigned l = 0; large && l < group->lanes; l++)
        atomic_store_explicit(&group->lane[l].shared->overrun, true, memory_order_release);
    return large;
}

/* Marks for what comes; `on`: those of before still count, as far as no share has taken them. */
static void remark(struct nd_lane *lane, bool on)
{
    bool copying = atomic_load_explicit(&lane->group->stream.copying, memory_order_relaxed) != 0;

    if (needs_marks(lane) && !(on && marking(lane->region)))
        mark(lane->region, true);
    else if (!needs_marks(lane) && !copying && marking(lane->region))
        mark(lane->region, false);
}

/* Every lane has closed a burst since the last cut. A verdict on a digest is told by the burst where its
 * share ends, so no two of a lane may end at the same one; lanes that are asked for a digest close one (due).
 */
static bool all_moved(const struct nd_group *group)
{
    bool moved = true;

    for (unsigned l = 0; l < group->lanes; l++)
        moved &= nf_chain_state(group->lane[l].chain)->burst > group->lane[l].cut_from;
    return moved;
}

/* What a checkpoint takes now, its head and that of its last part. Of outputs it carries none
 * (lane_checkpoint.c). */
static uint64_t checkpoint_bytes(const struct nd_group *group)
{
    uint64_t bytes = 0;

    for (unsigned l = 0; l < group->lanes; l++)
        bytes += 2 * sizeof(struct ft_part) + lg_share_lines(group->lane[l].region, l);
    return bytes;
}

/*
 * What the log would need beside it is not forgotten while deltas are sent: what they take anew again and
 * again is in a checkpoint once. 0: none would be due.
 */
static uint64_t would_be_checkpoint(struct nd_group *group)
{
    struct ft_region *region = group->lane[0].region;
    uint64_t now = cut_clock(&group->lane[0]), bytes;

    if (!group->lane[0].share.sums ||
        now - group->stream.would_clock < group->lane[0].config->protect.checkpoint_ms * 1000000ull)
        return 0;
    bytes = ft_lines_count(&region->taken, 0, region->taken.lines) * FT_LINE +
            2 * group->lanes * sizeof(struct ft_part);
    ft_lines_clear(&region->taken);
    group->stream.would_clock = now;
    return bytes;
}

/* All stand. The present segment ends with a delta, or goes on, or the next kind begins. */
static void decide(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    enum ft_segment was = s->segment;
    bool checkpoint = false, digest = false, spread = false;
    struct ft_stretch last;

    for (unsigned l = 0; l < group->lanes; l++) {
        checkpoint |= was == FT_SEGMENT_LOG && checkpoint_due(&group->lane[l]);
        digest |= nd_lane_digest_wanted(&group->lane[l]);
    }
    digest = digest && all_moved(group);
    if (((was == FT_SEGMENT_DELTA || checkpoint) && too_large(group)) || nd_group_owes_digest(group))
        return;
    last = measure(group, was == FT_SEGMENT_DELTA || (s->sampling && !s->sampled));
    s->sampled = false;
    if (checkpoint)
        last.checkpoint = checkpoint_bytes(group);
    if (was == FT_SEGMENT_DELTA)
        last.checkpoint = would_be_checkpoint(group);
    s->segment = ft_policy_next(&s->policy, &last);
    if (was == FT_SEGMENT_LOG && s->segment == FT_SEGMENT_DELTA) {
        s->would_clock = cut_clock(&group->lane[0]);
        if (group->lane[0].share.sums)
            ft_lines_clear(&group->lane[0].region->taken);
    }
    /* What the log told of must be covered before a delta segment begins, or a warm standby would lack it. */
    checkpoint |= was == FT_SEGMENT_LOG && s->segment == FT_SEGMENT_DELTA && warm(&group->lane[0]);
    if (was == FT_SEGMENT_DELTA || checkpoint) {
        s->number++;
        if (digest)
            nd_group_take_digest(group);
        atomic_store_explicit(&s->copying, group->lanes, memory_order_relaxed);
        s->spread = false;
        if (was == FT_SEGMENT_LOG &&
            s->segment == FT_SEGMENT_LOG) /* else outputs wait for the delta anyway */
            spread = nd_checkpoint_spread(group);
        for (unsigned l = 0; l < group->lanes; l++)
            begin_share(&group->lane[l], digest, spread);
    }
    if (was == FT_SEGMENT_DELTA || checkpoint || s->segment != was)
        base_here(group, s->segment != was);
    /* A sample follows a stretch without; beside checkpoints, where marks are on anyway, a checkpoint. */
    s->sampling = s->segment == FT_SEGMENT_LOG && chooses(&group->lane[0]) &&
                  (warm(&group->lane[0]) ? checkpoint : !s->sampling && was == FT_SEGMENT_LOG);
    remark(&group->lane[0], was == FT_SEGMENT_DELTA || warm(&group->lane[0]));
    show_segment(group);
}

void nd_stream_begin(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;
    const struct nd_protect *p = &group->lane[0].config->protect;
    struct ft_policy_config config = {.log = p->mode != ND_MODE_DELTA,
                                      .delta = p->mode == ND_MODE_DELTA || p->mode == ND_MODE_AUTO,
                                      .warm = p->standby == ND_STANDBY_WARM,
                                      .budget_ns = p->recovery_budget_ms * 1000000ull,
                                      .packing = &group->lane[0].shared->packing};

    ft_policy_begin(&s->policy, &config);
    s->on = true;
    s->segment = s->policy.segment;
    s->sampling = p->mode == ND_MODE_AUTO;
    s->number = 0;
    s->held = atomic_load_explicit(&s->wanted, memory_order_acquire);
    atomic_store_explicit(&s->copying, 0, memory_order_relaxed);
    atomic_store_explicit(&s->hurry, false, memory_order_relaxed);
    atomic_store_explicit(&s->shared_copied, 0, memory_order_release);
    for (unsigned l = 0; l < group->lanes; l++) {
        struct nd_lane *lane = &group->lane[l];

        lg_share_drop(&lane->share);
        lane->cut_clock = lane->base_clock = cut_clock(lane);
        lane->tally = (struct nd_tally){0};
        lane->busy_ns = lane->busy_bytes = 0;
        atomic_store_explicit(&lane->shared->overrun, false, memory_order_release);
        atomic_store_explicit(&lane->shared->recorded, nf_chain_state(lane->chain)->burst,
                              memory_order_release);
        lane->met = s->held;
    }
    base_here(group, true);
    nd_checkpoint_forget(group);
    /* Without that room checkpoints are copied at once. */
    if (warm(&group->lane[0]) && ft_freeze_prepare(group->lane[0].region) == 0)
        for (unsigned l = 0; l < group->lanes; l++)
            group->lane[l].share.sums = chooses(&group->lane[l]);
    if (needs_marks(&group->lane[0]))
        mark(group->lane[0].region, true);
    show_segment(group);
}

/* ---- a lane's turn ----------------------------------------------------------------------------- */

/* From the first packet on: with a pause before it a sample would be one burst, and stand for many. */
static bool sample_due(const struct nd_lane *lane)
{
    return chooses(lane) && lane->tally.bursts &&
           cut_clock(lane) - lane->tally_clock >=
               interval(lane) * (lane->group->stream.sampling ? 1 : LOOK_EVERY);
}

/*
 * Of `auto`: nothing is under way, and outputs wait. A cut now costs the lines, which the next delta may have
 * again, and a head; outputs are carried once, whenever that is. So it comes when those are a sixteenth of
 * the delta at most, and auto sends hardly more than with a cut each interval. Not where a gate stamps time,
 * since then the stream is not to depend on how fast the standby answers; not with several lanes, which all
 * would have to stand.
 */
static bool early(struct nd_lane *lane)
{
    if (!chooses(lane) || lane->io->burst || lane->group->lanes > 1 || lane->weighed <= lane->early_at ||
        atomic_load_explicit(&lane->shared->stable, memory_order_relaxed) < lane->cut_from)
        return false;
    lane->early_at = WORTH * (lg_share_lines(lane->region, lane->index) + sizeof(struct ft_part));
    return lane->weighed > lane->early_at;
}

static bool due(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;
    uint64_t passed = cut_clock(lane) - lane->cut_clock;
    bool idle = lane->now - lane->busy_at >= interval(lane);

    if (atomic_load_explicit(&s->copying, memory_order_acquire)) {
        if (!s->spread)
            return false;
        watch_share(lane);
        if (nd_lane_checkpoint_way(lane) >= 1)
            atomic_store_explicit(&s->hurry, true, memory_order_relaxed);
        return s->sampling && !s->sampled && sample_due(lane);
    }
    if (s->segment == FT_SEGMENT_DELTA)
        return nd_lane_uncut(lane) &&
               (passed >= interval(lane) || idle || early(lane) || lane->draining || lane->short_of_room ||
                lane->weighed > pending_bytes(lane) / 8); /* or it grows beyond what the standby may keep */
    watch_share(lane);
    if (lane->cut_from != nf_chain_state(lane->chain)->burst && checkpoint_due(lane))
        return true;
    if (chooses(lane) && passed >= interval(lane) && ft_policy_presses(&s->policy, nd_lane_lag(lane)))
        return true;
    return s->sampled || sample_due(lane);
}

bool nd_stream_wanted(const struct nd_group *group)
{
    return atomic_load_explicit(&group->stream.wanted, memory_order_acquire) != group->stream.held;
}

/* Logging ends in one lane after the other; a stream that some have left is not worth a cut. */
static bool all_log(const struct nd_group *group)
{
    bool all = true;

    for (unsigned l = 0; l < group->lanes; l++)
        all &= atomic_load_explicit(&group->lane[l].shared->logging, memory_order_relaxed);
    return all;
}

void nd_stream_decide(struct nd_group *group)
{
    struct nd_stream *s = &group->stream;

    bool copying = atomic_load_explicit(&s->copying, memory_order_acquire) != 0;

    s->held = atomic_load_explicit(&s->wanted, memory_order_acquire);
    if (s->on && all_log(group) && !copying) {
        atomic_store_explicit(&s->hurry, false, memory_order_relaxed);
        decide(group);
    }
    /* A sample ends in time; what to make of it is decided when the checkpoint is whole. */
    if (s->on && copying && s->spread && s->sampling && !s->sampled) {
        struct ft_stretch sample = measure(group, true);

        ft_policy_learn(&s->policy, &sample);
        s->sampled = true;
    }
    for (unsigned l = 0; l < group->lanes; l++) {
        group->lane[l].cut_clock = cut_clock(&group->lane[l]);
        group->lane[l].met = s->held;
    }
}

/* Its share is whole: the stream accounts for what the lane did up to the cut. */
static void share_done(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (!s->spread) { /* else records tell of more already */
        atomic_store_explicit(&lane->shared->recorded, lane->share.head.burst, memory_order_release);
        if (s->segment == FT_SEGMENT_LOG)
            lane->kind_from = atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed);
    }
    if (lane->index == 0)
        atomic_store_explicit(&s->shared_copied, s->number, memory_order_release);
    if (atomic_fetch_sub_explicit(&s->copying, 1, memory_order_acq_rel) > 1)
        return;
    ft_thaw(lane->region);
    if (!needs_marks(lane))
        mark(lane->region, false);
}

/* The others still copy: a warm standby may keep only so much of what is logged behind their shares. */
static bool too_far_ahead(const struct nd_lane *lane)
{
    return lane->uncovered > most_uncovered(lane) &&
           atomic_load_explicit(&lane->group->stream.copying, memory_order_acquire) != 0;
}

bool nd_lane_cut(struct nd_lane *lane)
{
    struct nd_stream *s = &lane->group->stream;

    if (!atomic_load_explicit(&lane->shared->logging, memory_order_relaxed)) {
        lg_share_drop(&lane->share);
        ft_thaw(lane->region); /* each lane for itself, before it runs a burst: nobody wants the rest */
        if (lane->index == 0 && marking(lane->region))
            mark(lane->region, false);
        /* Logging ends in one lane after the other: one that still logged may be waiting for us. */
        return atomic_load_explicit(&s->wanted, memory_order_acquire) == lane->met || nd_lane_stand(lane);
    }
    if (due(lane)) { /* one of those who find so is enough */
        uint64_t met = lane->met;

        atomic_compare_exchange_strong_explicit(&s->wanted, &met, met + 1, memory_order_acq_rel,
                                                memory_order_relaxed);
    }
    if (atomic_load_explicit(&s->wanted, memory_order_acquire) != lane->met && !nd_lane_stand(lane))
        return false;
    if (lane->share.active) {
        if (!(s->spread ? nd_lane_checkpoint(lane) : lg_share_turn(&lane->share)))
            return false;
        if (!lane->share.active)
            share_done(lane);
        /* What made it hurry comes before the next burst, so that a gate's cuts do not depend on its speed.
         */
        if (nd_lane_hurries(lane))
            return false;
    }
    if (nd_lane_hurries(lane) && atomic_load_explicit(&s->copying, memory_order_acquire) != 0)
        return false;
    return atomic_load_explicit(&s->shared_copied, memory_order_acquire) == s->number &&
           !atomic_load_explicit(&lane->shared->overrun, memory_order_relaxed) && !too_far_ahead(lane);
}
