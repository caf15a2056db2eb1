/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being standby: taking in a snapshot and the log, becoming READY, acknowledging, and the right to promote
 * itself.
 *
 * The right comes from the primary's own answers: it ends promote_within_ms after we sent the last message
 * that the primary answered. A standby that slept, or only lost its link, finds its right gone and joins
 * again; it never promotes a stale state.
 *
 * An ACK reports which bursts the standby holds (the closed set), which it has replayed, and how many bytes
 * of entries (records and chunks) it has taken out of its rings: replayed, applied, or skipped as covered.
 * The primary's credit follows from that.
 *
 * How long a primary has to be silent before its standby suspects it: silence is what neither the link nor a
 * data port ends. The file may state how long (detect_ms). Else the node measures it: a standby suspects its
 * primary after SILENCES_MAX times the longest silence that it has heard a living primary end in the last ten
 * minutes; never sooner than this node itself had to wait for its processor in that time, since the other
 * one's machine is mostly such a machine; never before twice the primary's lease, and never after
 * detect_most_ms. Before it has listened for listen_ms as READY, it is detect_ms at least; and while only one
 * of the two still speaks, the link or the data ports, since what was measured is how long both are silent at
 * once. Each takeover from a primary that turns out to be alive doubles both of these bounds for an hour, on
 * both nodes, so a pair that flaps waits longer. Safety rests on the lower bound alone: the lease counts from
 * a message that the primary sent before the standby answered it, the silence from that answer or later.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#include <stdio.h>
#include <string.h>

/* The standby acknowledges at once when so many bytes were taken out of its rings: they are the primary's
 * credit. */
#define ACK_TAKEN (256u << 10)
/* ns after an ACK from which replay progress alone justifies another: a primary that waits for us to catch up
 * has nothing else to hear. */
#define ACK_SOON 250000u

#define SILENCES_MAX 3u
#define LATE_NS      FT_MS /* a step that comes later behind ft_core_due than this comes after a stall */
#define MINUTE_NS    (60000 * FT_MS)
#define DOUBLED_MAX  8u

/* ---- silence ------------------------------------------------------------------------------------ */

/* Silence counts from our own last answer, since the primary's lease may run on from there; and not while we
 * slept for long. */
static uint64_t primary_silent_since(const struct ft_core *core)
{
    uint64_t heard = ft_later(core->peer.heard, core->peer.port_heartbeat);

    return ft_later(ft_later(core->answered, heard), core->awake);
}

/* The same without our own stalls. */
static uint64_t silent_since(const struct ft_core *core)
{
    return ft_later(primary_silent_since(core), core->silence.not_before);
}

static uint64_t longest_of(const uint64_t of[FT_SILENCE_MINUTES])
{
    uint64_t longest = 0;

    for (unsigned i = 0; i < FT_SILENCE_MINUTES; i++)
        longest = ft_later(longest, of[i]);
    return longest;
}

/* Forgets the minutes that are too long ago. */
void ft_silence_pass(struct ft_core *core)
{
    struct ft_silence *s = &core->silence;
    uint64_t minute = core->now / MINUTE_NS, past = minute - s->minute;

    if (past == 0)
        return;
    s->minute = minute;
    for (uint64_t i = 0; i < past && i < FT_SILENCE_MINUTES; i++)
        s->of[(minute - i) % FT_SILENCE_MINUTES] = s->stall_of[(minute - i) % FT_SILENCE_MINUTES] = 0;
    s->longest = longest_of(s->of);
    s->longest_stall = longest_of(s->stall_of);
}

static void note_longer(uint64_t *of, uint64_t *longest, uint64_t ns)
{
    *of = ft_later(*of, ns);
    *longest = ft_later(*longest, ns);
}

static void note_silence(struct ft_core *core, uint64_t silence)
{
    struct ft_silence *s = &core->silence;

    ft_silence_pass(core);
    note_longer(&s->of[s->minute % FT_SILENCE_MINUTES], &s->longest, silence);
}

/* The most that is waited for. */
static uint64_t detect_limit(const struct ft_core *core)
{
    const struct ft_core_config *c = &core->config;

    return ft_ms(c->listen_ms && c->detect_most_ms > c->detect_ms ? c->detect_most_ms : c->detect_ms);
}

/* A node waited for its processor. A gap longer than any silence may be is no measure of how long one should
 * be; and a node that joins has work that takes long. */
static void note_stall(struct ft_core *core, uint64_t gap)
{
    struct ft_silence *s = &core->silence;

    if (gap >= detect_limit(core) || (core->state != FT_READY && !core->guarded))
        return;
    ft_silence_pass(core);
    note_longer(&s->stall_of[s->minute % FT_SILENCE_MINUTES], &s->longest_stall, gap);
}

/*
 * We slept: SIGSTOP, a paused machine, others on our processor. What we have not heard meanwhile is no news
 * of the peer. A gap between two steps that ends before the next one was due is none of these: a message of
 * the peer ends a rest. After a gap longer than the lease, silence counts from now, since the peer may have
 * slept with us. Where silences are measured a shorter gap is taken out of the silence that it is a part of,
 * or the standby would measure itself. Gaps delay a takeover to detect_ms at most, or to what is measured
 * where that is more: a standby that gets its processor in pieces has read, between any two of them, what had
 * come.
 */
void ft_silence_step(struct ft_core *core, uint64_t now)
{
    uint64_t gap = now - core->now;

    if (now <= ft_core_due(core) + LATE_NS || FT_PLANTED("never-slept"))
        return;
    note_stall(core, gap);
    ft_slow_stood(core, gap, now);
    if (gap > ft_ms(core->config.lease_ms)) {
        core->awake = now;
        core->silence.slept = gap;
    } else if (core->config.listen_ms) {
        core->silence.not_before = silent_since(core) + gap;
    }
}

bool ft_core_listened(const struct ft_core *core)
{
    return core->config.listen_ms && core->state == FT_READY &&
           core->now - core->since >= ft_ms(core->config.listen_ms);
}

unsigned ft_core_doubled(const struct ft_core *core)
{
    const struct ft_silence *s = &core->silence;

    return s->doubled && core->config.listen_ms && core->now < s->doubled_at + FT_DOUBLED_NS ? s->doubled : 0;
}

uint64_t ft_core_detects(const struct ft_core *core)
{
    uint64_t most = detect_limit(core), limit = SILENCES_MAX * core->silence.longest;
    uint64_t least =
        ft_core_listened(core) ? 2 * ft_ms(core->silence.lease_ms) : ft_ms(core->config.detect_ms);

    if (!core->config.listen_ms)
        return most;
    if (FT_PLANTED("impatient") && ft_core_listened(core))
        return core->silence.longest;
    limit = ft_later(limit, ft_later(least << ft_core_doubled(core), core->silence.longest_stall));
    return limit < most ? limit : most;
}

/* The two fell silent further apart than the silence that was measured. A pair that hears no heartbeats on
 * data ports has measured the link alone. */
static bool one_fell_silent(const struct ft_core *core)
{
    uint64_t link = core->peer.heard, ports = core->peer.port_heartbeat;

    return ports && (link > ports ? link - ports : ports - link) > ft_core_detects(core);
}

uint64_t ft_standby_suspects_at(const struct ft_core *core)
{
    uint64_t by_measure = silent_since(core) + ft_core_detects(core);
    uint64_t latest =
        primary_silent_since(core) + ft_later(ft_ms(core->config.detect_ms), ft_core_detects(core));

    return by_measure < latest && !one_fell_silent(core) ? by_measure : latest;
}

/* Both nodes note that a live primary was replaced, and double the bounds. */
static void double_bounds(struct ft_core *core)
{
    struct ft_silence *s = &core->silence;

    s->doubled = ft_core_doubled(core);
    s->doubled += s->doubled < DOUBLED_MAX;
    s->doubled_at = core->now;
}

void ft_silence_fenced(struct ft_core *core)
{
    bool slept = core->silence.slept >= detect_limit(core) &&
                 core->now < core->awake + ft_ms(core->config.solo_after_ms);

    if (core->guarded && !slept)
        double_bounds(core);
}

/*
 * A process that was taken over from, and speaks sooner after it fell silent than the longest silence may be,
 * had not failed, whether it still takes itself for the primary or not: the takeover was a false alarm. A
 * heartbeat that came before the takeover and was read after it proves nothing.
 */
static void judge_takeover(struct ft_core *core, uint64_t at)
{
    uint64_t since = core->silence.taken_since;

    if (at <= core->takeover.decided)
        return;
    core->silence.taken_since = 0;
    if (at >= since + detect_limit(core))
        return;
    core->silence.false_takeovers++;
    note_silence(core, at - since);
    double_bounds(core);
}

void ft_silence_ends(struct ft_core *core, uint64_t at)
{
    uint64_t since = silent_since(core);

    if (core->state == FT_READY || core->state == FT_SYNCING) {
        if (at > since)
            note_silence(core, at - since);
    } else if (core->silence.taken_since) {
        judge_takeover(core, at);
    }
}

/* ---- acknowledgement ---------------------------------------------------------------------------- */

/*
 * Without a view of these members on its disk a node may come back as one that has never served, and so one
 * that may be promoted must not. Before that it acknowledges nothing, and its primary goes on alone.
 */
bool ft_core_acknowledges(const struct ft_core *core)
{
    return ft_is_stored(core, FT_PLANTED("acks-unstored") ? 0 : core->first_view);
}

static void send_ack(struct ft_core *core, struct ft_actions *actions)
{
    bool counts = ft_core_acknowledges(core);
    struct ft_message *m = ft_say(core, actions, counts ? FT_MSG_ACK : FT_MSG_HEARTBEAT);

    if (!counts)
        return;
    memcpy(m->burst, core->closed, sizeof(m->burst));
    memcpy(m->replayed, core->replayed, sizeof(m->replayed));
    memcpy(m->taken, core->taken, sizeof(m->taken));
    memcpy(core->acked, core->closed, sizeof(core->acked));
    memcpy(core->acked_replayed, core->replayed, sizeof(core->acked_replayed));
    memcpy(core->acked_taken, core->taken, sizeof(core->acked_taken));
    core->acked_at = core->now;
}

static bool replay_is_unreported(const struct ft_core *core)
{
    for (unsigned l = 0; l < core->config.lanes; l++)
        if (core->replayed[l] != core->acked_replayed[l] || core->taken[l] != core->acked_taken[l])
            return true;
    return false;
}

/* A burst was replayed some time ago, and no ACK has reported it. */
static bool ack_is_late(const struct ft_core *core)
{
    return core->now - core->acked_at >= ACK_SOON && replay_is_unreported(core);
}

/*
 * When ack_is_late will hold, if all that is stored has been replayed by then. It may not be, where the lane
 * waits for a processor: then after as long again as that has taken, so that looks do not take the processor
 * from it. FT_ALL: all of it was reported.
 */
uint64_t ft_standby_reports_at(const struct ft_core *core)
{
    bool replays = core->state == FT_READY && core->peer.known && !core->config.warm;

    uint64_t waited = core->now - core->acked_at;

    if (!replays || ft_reached(core, core->acked_replayed, core->closed))
        return FT_ALL;
    return waited < ACK_SOON ? core->acked_at + ACK_SOON : core->now + waited;
}

/*
 * Each step counts while catching up, since the primary waits to see the standby close. What came and closed
 * nothing is acknowledged as well: the primary may hold its next message until this one has been received.
 */
static void consider_ack(struct ft_core *core, struct ft_actions *actions)
{
    bool due = core->state == FT_SYNCING || core->peer.newest > core->echoed || ack_is_late(core);

    if (!core->snapshot_whole || (core->state != FT_SYNCING && core->state != FT_READY))
        return;
    for (unsigned l = 0; l < core->config.lanes; l++)
        due |= core->closed[l] != core->acked[l] || core->taken[l] - core->acked_taken[l] >= ACK_TAKEN;
    if (due)
        send_ack(core, actions);
}

bool ft_standby_right(const struct ft_core *core)
{
    if (FT_PLANTED("endless-right"))
        return core->own_echoed;
    return core->own_echoed && core->now < core->own_echoed + ft_ms(core->config.promote_within_ms);
}

/* ---- takeover ----------------------------------------------------------------------------------- */

bool ft_standby_certain(const struct ft_core *core)
{
    return ft_standby_right(core) && (!core->arbiter.lapsed || FT_PLANTED("right-again"));
}

#define SILENCE "silence"

static uint64_t quiet_for(const struct ft_core *core)
{
    return core->now - ft_later(ft_later(core->peer.heard, core->peer.port_heartbeat), core->awake);
}

static void note_takeover(struct ft_core *core, const char *reason, const char *by)
{
    uint64_t quiet = by[0] ? core->arbiter.quiet : quiet_for(core);
    char after[32] = "";

    core->takeover.quiet = quiet;
    if (strcmp(reason, SILENCE) == 0)
        snprintf(after, sizeof(after), " for %llu ms", quiet / FT_MS);
    snprintf(core->takeover.reason, sizeof(core->takeover.reason), "%s", reason);
    snprintf(core->takeover.why, sizeof(core->takeover.why), "took over from %s: %.64s%s%s",
             ft_peer_name(core), reason, after, by);
}

/* Holds until the view cannot be forgotten. Not strict. */
static void settle(struct ft_core *core, struct ft_actions *actions, const char *why)
{
    core->guarded = core->solo = core->cut_off = false;
    core->ready_echo = 0;
    core->unsettled = true;
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_become(core, actions, FT_DEGRADED,
              "%s; holds until view %lu is on the disk, or the peer has heard of it", why, core->view);
}

/*
 * A takeover waits for no disk. A successor that dies before its view is on its disk comes back in an older
 * one; the peer knows better, unless it is alive, holds the state of the view before, and has not heard of
 * the new one: two faults (docs/guarantees.md, "Views and the disk"). A planned handover would need only the
 * second of them: there the peer is alive and holds the state, on purpose. So there nothing leaves until one
 * of the two nodes cannot forget.
 */
static void promote_standby(struct ft_core *core, const char *reason, const char *by, bool planned,
                            struct ft_actions *actions)
{
    const char *why = core->takeover.why;

    core->takeover.suspected = by[0] ? core->arbiter.since : core->now;
    core->takeover.decided = core->now;
    note_takeover(core, reason, by);
    ft_arbiter_forget(core, actions);
    core->view = ft_later(core->peer.view, core->view) + 1;
    core->takeover.view = core->view;
    core->event = FT_SAYS_TAKEOVER;
    core->planned = planned;
    core->takeover.planned = planned;
    core->hand = FT_HAND_NONE;
    core->resync_again = 0;
    ft_write_view(actions, FT_ACT_VIEW, core->view, &core->members);
    if (planned && !core->config.strict && !ft_is_stored(core, core->view))
        settle(core, actions, why);
    else
        ft_primary_alone(core, actions, why);
    if (core->kept) /* the right had ended: a person decided */
        core->right = FT_RIGHT_UNKNOWN;
    core->kept = false;
    /* The gate opens for lanes that replay first; the new view is on its way before anything leaves. */
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    ft_order(core, actions, FT_LANE_LIVE);
    ft_act(actions, FT_ACT_ANNOUNCE);
    core->steered = false; /* live lanes read */
}

void ft_standby_promote(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    promote_standby(core, why, "", false, actions);
}

void ft_standby_decided(struct ft_core *core, const char *by, struct ft_actions *actions)
{
    promote_standby(core, core->arbiter.why, by, false, actions);
}

/*
 * Who goes on? With an arbiter the right of a standby does not end by time: its primary cannot go on alone in
 * this era without the arbiter's word, either. Certain words do depend on time: they report that the primary
 * has ended, not that it did not go on alone before.
 */
static void ask_arbiter(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    if (core->arbiter.asking)
        return;
    core->arbiter.quiet = quiet_for(core);
    ft_arbiter_ask_who(core, core->arbiter.era, why, actions);
    ft_become(core, actions, FT_READY, "%s; asks the arbiter", why);
}

void ft_standby_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions)
{
    if (core->state == FT_READY && how != FT_LOST_ERROR && ft_standby_certain(core)) {
        ft_standby_promote(core,
                           how == FT_LOST_EOF ? "the peer closed its connection"
                                              : "the peer's kernel reset its connection",
                           actions);
        return;
    }
    if (core->state == FT_READY && how != FT_LOST_ERROR && core->config.arbiter)
        ask_arbiter(core, "the connection was closed after the right had ended", actions);
    if (core->state == FT_READY && (ft_standby_right(core) || core->config.arbiter))
        return; /* we do not know yet; silence will decide */
    if (core->state != FT_JOINING || core->snapshot_whole)
        ft_join_again(core, actions, "lost the primary before being ready");
}

static void consider_ready(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state == FT_SYNCING && core->snapshot_whole && core->hold_known &&
        (FT_PLANTED("ready-early") ||
         (ft_reached(core, ft_counts(core, core->closed, core->replayed), core->hold) &&
          ft_reached(core, core->closed, core->hold)))) {
        ft_become(core, actions, FT_READY, "%s all that left before outputs were held",
                  core->config.warm ? "stored" : "replayed");
        send_ack(core, actions);
    }
}

static void consider_taking(struct ft_core *core, struct ft_actions *actions)
{
    /* Without the right: we slept, and the primary may have stopped waiting for us. */
    if (core->hand == FT_HAND_TAKING && core->state == FT_READY && ft_standby_right(core) &&
        ft_reached(core, ft_counts(core, core->closed, core->replayed), core->final)) {
        promote_standby(core, "planned", "", true, actions);
    }
}

static void begin_snapshot(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    ft_join_again(core, actions, "a snapshot begins");
    ft_join_shard(core, &m->members, actions);
    core->snapshots++;
    memcpy(core->closed, m->burst, sizeof(core->closed));
    memcpy(core->replayed, m->burst, sizeof(core->replayed));
    memset(core->taken, 0, sizeof(core->taken));
    ft_become(core, actions, FT_SYNCING, "a snapshot arrives from view %lu", m->view);
    ft_say(core, actions, FT_MSG_HEARTBEAT); /* the primary may be waiting for us to forget */
}

/*
 * What the state of the primary means for our rights. A primary that releases without a standby does not
 * count on us: we may not hold what it released since. One that has dropped its state leaves ours as the only
 * one.
 */
void ft_standby_receive(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    bool ready = core->state == FT_READY;

    if (m->state == FT_SOLO && (ready || core->kept || (core->state == FT_SYNCING && core->hold_known))) {
        ft_join_again(core, actions, "the primary goes on alone");
        ft_say(core, actions, FT_MSG_HEARTBEAT);
    } else if (m->state == FT_JOINING && ready && ft_standby_certain(core)) {
        ft_standby_promote(core, "the primary has dropped its state", actions);
    } else if (m->state == FT_JOINING && ready && core->config.arbiter) {
        ask_arbiter(core, "the primary has dropped its state", actions);
    }
}

bool ft_core_ends_snapshot(const struct ft_core *core, const struct ft_message *m)
{
    return m->type == FT_MSG_SNAPSHOT_END && core->state == FT_SYNCING && !core->snapshot_whole &&
           ft_is_primary(m->state) && core->peer.known && m->view == core->view && m->echo <= core->sent;
}

void ft_standby_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    switch (m->type) {
    case FT_MSG_SNAPSHOT_BEGIN:
        if (m->state != FT_SOLO && m->state != FT_DEGRADED)
            break;
        if (m->members.name[0][0] && core->members.name[0][0] &&
            !ft_same_members(&m->members, &core->members))
            break; /* it is for another node */
        begin_snapshot(core, m, actions);
        break;
    case FT_MSG_SNAPSHOT_END:
        if (!ft_core_ends_snapshot(core, m))
            break;
        core->snapshot_whole = true;
        ft_order(core, actions, FT_LANE_REPLAY);
        send_ack(core, actions);
        break;
    case FT_MSG_HOLDING:
        if (core->state != FT_SYNCING)
            break;
        memcpy(core->hold, m->burst, sizeof(core->hold));
        core->hold_known = true;
        core->arbiter.lapsed = false;
        core->arbiter.era = (struct ft_era){m->view, FT_PLANTED("one-era") ? 1 : m->sent};
        consider_ready(core, actions);
        break;
    case FT_MSG_HEARTBEAT:
        /* The last of the replay is worth no message of its own, and must not stay untold. */
        if (core->snapshot_whole && replay_is_unreported(core))
            send_ack(core, actions);
        else if (core->state == FT_READY || core->state == FT_SYNCING)
            ft_say(core, actions, FT_MSG_HEARTBEAT);
        break;
    case FT_MSG_STEER:
        if (core->state != FT_READY && m->number)
            break;
        core->steered = m->number != 0;
        ft_act(actions, FT_ACT_STEER)->flag = core->steered;
        if (!core->steered)
            ft_say(core, actions, FT_MSG_STEERED)->number = 1;
        break;
    case FT_MSG_HANDOVER:
        if (core->state != FT_READY)
            break;
        memcpy(core->final, m->burst, sizeof(core->final));
        core->hand = FT_HAND_TAKING;
        consider_taking(core, actions);
        break;
    case FT_MSG_ABANDON:
        ft_join_again(core, actions, m->text);
        ft_say(core, actions, FT_MSG_ABANDONED);
        /* It reads nothing of ours any more, so this, too, may go unheard. Our closing will not. */
        ft_peer_gone(core);
        ft_act(actions, FT_ACT_CLOSE);
        break;
    default:
        break;
    }
}

/* What lanes reached counts before the event that carries it: a takeover goes on from there. */
void ft_standby_reached(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    if (core->state != FT_SYNCING && core->state != FT_READY)
        return;
    memcpy(core->closed, event->closed, sizeof(core->closed));
    memcpy(core->replayed, event->replayed, sizeof(core->replayed));
    memcpy(core->taken, event->taken, sizeof(core->taken));
    consider_ready(core, actions);
    consider_taking(core, actions);
}

void ft_standby_event(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    switch (event->kind) {
    case FT_EV_LANES:
        consider_ack(core, actions);
        break;
    case FT_EV_STORED:
        core->stored = event->view;
        consider_ack(core, actions);
        break;
    case FT_EV_STEERED:
        if (core->state == FT_READY && core->peer.known)
            ft_say(core, actions, FT_MSG_STEERED);
        break;
    case FT_EV_DEATH_NOTICE:
        if (core->state == FT_READY && event->incarnation == core->peer.incarnation &&
            (ft_standby_certain(core) || core->config.arbiter)) {
            bool connected = core->peer.up;

            ft_peer_gone(core);
            core->peer.incarnation = 0; /* the notice comes more than once */
            if (ft_standby_certain(core))
                ft_standby_promote(core, "the death notice", actions);
            else
                ask_arbiter(core, "the death notice, after the right had ended", actions);
            if (connected) /* it takes a while, and the lanes need not wait for it */
                ft_act(actions, FT_ACT_CLOSE);
        }
        break;
    case FT_EV_DIVERGED:
        if (core->state == FT_READY || core->state == FT_SYNCING || core->kept) {
            ft_join_again(core, actions, event->text);
            if (core->peer.up)
                ft_say(core, actions, FT_MSG_HEARTBEAT);
        }
        break;
    default:
        break;
    }
}

/*
 * The primary may go on alone from here on, and only by the link do we learn whether it does. Until then the
 * state held here may be the only one: it is kept, for a person to promote. A message of the primary that it
 * is SOLO, or a snapshot, ends that.
 */
void ft_standby_keep(struct ft_core *core, const char *why, struct ft_actions *actions)
{
    ft_arbiter_forget(core, actions);
    core->snapshot_whole = core->hold_known = false;
    core->hand = FT_HAND_NONE;
    core->kept = true;
    if (core->steered)
        ft_act(actions, FT_ACT_STEER)->flag = false;
    core->steered = false;
    ft_become(core, actions, FT_JOINING, "%s", why);
    if (core->peer.up)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

void ft_standby_time(struct ft_core *core, struct ft_actions *actions)
{
    if (core->state != FT_READY)
        return;
    /* With an arbiter the right has no end by time, unless by a data port the primary lives: then there is
     * nothing to ask, and a standby that gives up is sooner brought up to date. */
    bool lives =
        core->peer.port_heartbeat && core->now - core->peer.port_heartbeat < ft_ms(core->config.detect_ms);

    if (!ft_standby_right(core) && !core->arbiter.asking && (!core->config.arbiter || lives)) {
        ft_standby_keep(core, "the right to promote has ended: the primary did not answer", actions);
        return;
    }
    consider_taking(core, actions); /* when HANDOVER came we may have had no right, for a moment */
    if (core->state != FT_READY)
        return;
    if (core->now >= ft_standby_suspects_at(core)) {
        core->silence.taken_since = silent_since(core);
        if (core->config.arbiter && !FT_PLANTED("takeover-unasked"))
            ask_arbiter(core, SILENCE, actions);
        else
            ft_standby_promote(core, SILENCE, actions);
    } else if (core->peer.known && ack_is_late(core)) {
        send_ack(core, actions);
    }
}
