/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a primary has to be silent before its standby suspects it. Silence is what neither the link nor a
 * data port ends. The file may say how long (detect_ms). Else the node measures it: a standby suspects its
 * primary after SILENCES_MAX times the longest silence that it has heard a living primary end in the last ten
 * minutes; never sooner than this node itself had to wait for its processor in that time, since the other
 * one's machine is mostly such a machine; never before twice the primary's lease, and never after
 * detect_most_ms.
 * Before it has listened for listen_ms as READY, it is detect_ms at least; and while only one of the two
 * still speaks, the link or the data ports, since what was measured is how long both are silent at once. Each
 * takeover from a primary that turns out to be alive doubles both of these bounds for an hour, on both nodes:
 * who flaps becomes patient.
 *
 * Safety rests on the lower bound alone: the lease counts from a message that the primary sent before the
 * standby answered it, the silence from that answer or later.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#define SILENCES_MAX 3u
#define GAP_NS       (2 * FT_MS) /* between two steps: whoever has a processor takes one a millisecond */
#define MINUTE_NS    (60000 * FT_MS)
#define DOUBLED_MAX  8u

/* Silence counts from our own last answer, since the primary's lease may run on from there; and not while we
 * slept for long. */
static uint64_t unheard_since(const struct ft_core *core)
{
    uint64_t heard = ft_later(core->peer.heard, core->peer.port_heartbeat);

    return ft_later(ft_later(core->answered, heard), core->awake);
}

/* The same without the gaps between our own steps. */
static uint64_t silent_since(const struct ft_core *core)
{
    return ft_later(unheard_since(core), core->silence.not_before);
}

static uint64_t later_of(const uint64_t of[FT_SILENCE_MINUTES])
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
    s->longest = later_of(s->of);
    s->longest_stall = later_of(s->stall_of);
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
static uint64_t at_most(const struct ft_core *core)
{
    const struct ft_core_config *c = &core->config;

    return ft_ms(c->listen_ms && c->detect_most_ms > c->detect_ms ? c->detect_most_ms : c->detect_ms);
}

/* A node waited for its processor. What is longer than any silence may be says nothing of how long one should
 * be; and a node that joins has work that takes long. */
static void note_stall(struct ft_core *core, uint64_t gap)
{
    struct ft_silence *s = &core->silence;

    if (gap >= at_most(core) || (core->state != FT_READY && !core->guarded))
        return;
    ft_silence_pass(core);
    note_longer(&s->stall_of[s->minute % FT_SILENCE_MINUTES], &s->longest_stall, gap);
}

/*
 * We slept: SIGSTOP, a paused machine, others on our processor. What we have not heard meanwhile says nothing
 * about the peer. After a gap longer than the lease, silence counts from now, since the peer may have slept
 * with us. Where silences are measured a shorter gap is taken out of the silence that it is a part of, or the
 * standby would measure itself. Gaps delay a takeover to detect_ms at most, or to what is measured where that
 * is more: a standby that gets its processor in pieces has read, between any two of them, what had come.
 */
void ft_silence_step(struct ft_core *core, uint64_t now)
{
    uint64_t gap = now - core->now;

    if (FT_PLANTED("never-slept"))
        return;
    if (gap > GAP_NS)
        note_stall(core, gap);
    if (gap > ft_ms(core->config.lease_ms)) {
        core->awake = now;
        core->silence.slept = gap;
    } else if (gap > GAP_NS && core->config.listen_ms) {
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
    uint64_t most = at_most(core), limit = SILENCES_MAX * core->silence.longest;
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
    uint64_t latest = unheard_since(core) + ft_later(ft_ms(core->config.detect_ms), ft_core_detects(core));

    return by_measure < latest && !one_fell_silent(core) ? by_measure : latest;
}

void ft_silence_is_death(struct ft_core *core)
{
    core->silence.taken_since = silent_since(core);
}

/* A primary that was alive was taken over from: known to who took over, and to it. */
static void double_bounds(struct ft_core *core)
{
    struct ft_silence *s = &core->silence;

    s->doubled = ft_core_doubled(core);
    s->doubled += s->doubled < DOUBLED_MAX;
    s->doubled_at = core->now;
}

void ft_silence_fenced(struct ft_core *core)
{
    bool slept =
        core->silence.slept >= at_most(core) && core->now < core->awake + ft_ms(core->config.solo_after_ms);

    if (core->guarded && !slept)
        double_bounds(core);
}

/*
 * A process that was taken over from, and speaks sooner after it fell silent than the longest silence may be,
 * had not failed, whether it still takes itself for the primary or not: the takeover was a false alarm. A
 * heartbeat that came before the takeover and was read after it tells nothing.
 */
static void judge_takeover(struct ft_core *core, uint64_t at)
{
    uint64_t since = core->silence.taken_since;

    if (at <= core->takeover.decided)
        return;
    core->silence.taken_since = 0;
    if (at >= since + at_most(core))
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

void ft_silence_port(struct ft_core *core, const struct ft_event *event)
{
    uint64_t came = event->came < core->now ? event->came : core->now;

    ft_silence_ends(core, came);
    core->peer.port_heartbeat = ft_later(core->peer.port_heartbeat, came);
    core->peer.heartbeat_view = event->view;
}
