/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's demotion counter, made of its data ports and of what it tracks; an operator's orders, of which
 * both nodes keep the newest; on the primary, the handovers that follow; and what is logged of how soon a
 * silent primary is taken over from. See standing.h.
 */
#include "understudy/watch/standing.h"
#include "understudy/config/peer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/clock.h"
#include "understudy/base/text.h"

#include <stdio.h>
#include <string.h>

#define AGAIN_NS 60000000000ull /* between two lines on how soon a silent primary is suspected */

_Static_assert(ND_GATEWAYS_MAX >= ND_TRACKED_MAX, "each tracked thing may be a gateway");

void nd_standing_place(struct nd_standing *st)
{
    struct nd_config *config = st->config;
    struct nd_gateway *asked = st->gateways.of;

    for (unsigned n = 0; n < config->nodes; n++)
        for (unsigned i = 0; i < config->node[n].tracks; i++) {
            struct nd_track *track = &config->node[n].track[i];

            if (track->kind != ND_TRACK_GATEWAY)
                continue;
            track->port = (uint32_t)nd_gateway_interface(config->chain.l3, track->gateway);
            if (n == st->self)
                asked++->port = track->port;
        }
}

void nd_standing_begin(struct nd_standing *st)
{
    const struct nd_node *self = &st->config->node[st->self];

    for (unsigned i = 0; i < self->tracks; i++) {
        const struct nd_track *track = &self->track[i];
        unsigned k = st->gateways.count;

        if (track->kind != ND_TRACK_GATEWAY)
            continue;
        st->gateways.of[k].address = track->gateway;
        st->gateways.of[k].every_ns = track->every_ms * FT_MS;
        st->gateway[k].tracked = (struct nd_tracked){.rise = track->rise, .fall = track->fall};
        st->gateways.count++;
    }
    nd_standing_place(st);
}

/* ---- the counter ----------------------------------------------------------------------------------- */

/* The question before the newest one had until then for its answer. */
static void judge_gateways(struct nd_standing *st)
{
    for (unsigned k = 0; k < st->gateways.count; k++) {
        uint64_t asked = atomic_load(&st->gateways.of[k].asked), before = st->gateway[k].asked;

        if (asked == before)
            continue;
        if (before)
            nd_tracked_note(&st->gateway[k].tracked, atomic_load(&st->gateways.of[k].answered) >= before);
        st->gateway[k].asked = asked;
    }
}

bool nd_standing_failed(const struct nd_standing *st, unsigned index, char why[ND_RUNNER_TEXT])
{
    const struct nd_track *track = st->config->node[st->self].track;
    unsigned k = 0;

    if (track[index].kind != ND_TRACK_GATEWAY)
        return nd_runner_failed(st->runner, index, why);
    for (unsigned i = 0; i < index; i++)
        k += track[i].kind == ND_TRACK_GATEWAY;
    snprintf(why, ND_RUNNER_TEXT, "%s",
             atomic_load(&st->gateways.of[k].answered) >= st->gateway[k].asked ? "well"
                                                                               : "does not answer ARP");
    return st->gateway[k].tracked.failed;
}

/* What two nodes track they look at in turns of their own: when it fails for both, the other one finds it so
 * much later at most, and as much later that it is well. A program's end comes later than its beginning. */
static uint64_t find_later(const struct nd_track *track)
{
    return track->every_ms * FT_MS * (track->kind >= ND_TRACK_SCRIPT ? 2 : 1);
}

/* *why gets what is in the counter, the data ports first. */
static uint32_t count_failures(const struct nd_standing *st, char why[FT_REASON_MAX], uint64_t *looks_ns)
{
    const struct nd_node *self = &st->config->node[st->self];
    const struct nd_health *health = st->health;
    char found[ND_RUNNER_TEXT];
    uint32_t counter = 0;

    why[0] = '\0';
    *looks_ns = 0;
    for (unsigned i = 0; i < health->ports; i++) {
        const struct nd_port_health *p = &health->port[i];

        if (p->fault == FT_PORT_NO_CARRIER)
            nd_phrases_add(why, FT_REASON_MAX, "port %s: %s", p->name, nd_health_no_carrier(p));
        else if (p->fault == FT_PORT_SMALL_MTU)
            nd_phrases_add(why, FT_REASON_MAX, "port %s: MTU %u, expected %u as node %s has", p->name, p->mtu,
                           p->peer_mtu, health->peer);
        else
            continue;
        counter += ND_PORT_WEIGHT;
    }
    for (unsigned i = 0; i < self->tracks; i++)
        if (nd_standing_failed(st, i, found)) {
            counter += self->track[i].weight;
            *looks_ns = find_later(&self->track[i]) > *looks_ns ? find_later(&self->track[i]) : *looks_ns;
            nd_phrases_add(why, FT_REASON_MAX, "%s %s: %s", nd_track_kinds[self->track[i].kind],
                           self->track[i].what, found);
        }
    return counter;
}

static void update_counter(struct nd_standing *st)
{
    char why[FT_REASON_MAX];
    uint32_t counter;

    judge_gateways(st);
    counter = count_failures(st, why, &st->looks_ns);
    if (counter != st->counter) {
        const struct ft_log_field fields[] = {{"counter", .number = counter}, {"reason", .text = why}, {0}};

        ft_log_fields(counter > st->counter ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE, FT_SAYS_TRACK, fields,
                      "the demotion counter is %u%s%s", counter, why[0] ? ": " : "", why);
    }
    st->counter = counter;
    memcpy(st->why, why, sizeof(why));
}

/* ---- orders, and the peer's standing ---------------------------------------------------------------- */

const char *nd_standing_text(const struct nd_standing *st, char out[64])
{
    enum ft_maintenance what = st->maintenance;
    bool own = what == FT_MAINTENANCE_PIN_OWN;

    if (own || what == FT_MAINTENANCE_PIN_OTHER)
        snprintf(out, 64, "pinned to %.50s",
                 own ? st->config->node[st->self].name : nd_peer_name(st->config, st->self));
    else
        snprintf(out, 64, "%s", what == FT_MAINTENANCE_HOLD ? "held" : "free");
    return out;
}

bool nd_standing_known(const struct nd_standing *st, const struct rp_status *s)
{
    return s->peer_told && s->peer_standing.maintained == st->maintained;
}

static void keep_order(struct nd_standing *st, enum ft_maintenance what, uint64_t since, const char *by)
{
    char text[64];

    st->maintenance = what;
    st->maintained = since;
    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_AUTHORITY, "the role is %s, by %s", nd_standing_text(st, text), by);
}

int nd_standing_order(struct nd_standing *st, enum ft_maintenance what)
{
    uint64_t since = ft_wall(), last = st->maintained;

    since = since > last ? since : last + 1;
    if (since > INT64_MAX)
        return FT_EINVAL;
    keep_order(st, what, since, "an operator");
    return 0;
}

static void send_standing(struct nd_standing *st)
{
    struct rp_standing own = {.counter = st->counter,
                              .maintenance = (uint8_t)st->maintenance,
                              .maintained = st->maintained,
                              .cluster = nd_arbiter_cluster(st->arbiter)};

    memcpy(own.why, st->why, sizeof(own.why));
    if (st->is_told && own.counter == st->told.counter && own.maintained == st->told.maintained &&
        own.cluster == st->told.cluster && strcmp(own.why, st->told.why) == 0)
        return;
    if (rp_give_standing(st->replicator, &own)) {
        st->told = own;
        st->is_told = true;
    }
}

/* A gateway by that port answers this node no more, and answers the peer each that it tracks by it: the
 * weight of one that fails would be in its counter. */
static bool is_deaf(const struct nd_standing *st, unsigned port, const struct rp_status *s)
{
    const struct nd_node *self = &st->config->node[st->self], *peer = nd_peer_node(st->config, st->self);
    char why[ND_RUNNER_TEXT];
    bool fails = false, answers = false;

    for (unsigned i = 0; i < self->tracks; i++)
        fails |= self->track[i].kind == ND_TRACK_GATEWAY && self->track[i].port == port &&
                 nd_standing_failed(st, i, why);
    for (unsigned i = 0; peer && i < peer->tracks; i++) {
        if (peer->track[i].kind != ND_TRACK_GATEWAY || peer->track[i].port != port)
            continue;
        answers = true;
        if (!s->peer_told || s->peer_standing.counter >= peer->track[i].weight)
            return false;
    }
    return fails && answers;
}

/* ---- the decision ---------------------------------------------------------------------------------- */

static void note_times(struct nd_standing *st, const struct rp_status *s, uint64_t now)
{
    bool protected = s->core.state == FT_PROTECTED && s->peer_told;

    if (!protected || st->counter <= s->peer_standing.counter)
        st->higher_since = 0;
    else if (!st->higher_since)
        st->higher_since = now;
    if (!protected || st->counter != s->peer_standing.counter)
        st->equal_since = 0;
    else if (!st->equal_since)
        st->equal_since = now;
}

static void consider_handover(struct nd_standing *st, const struct rp_status *s)
{
    const struct nd_authority_settings *file = &st->config->authority;
    char faults[ND_HEALTH_TEXT];
    struct nd_authority a = {
        .now = ft_now(),
        .serves = s->core.state == FT_PROTECTED && s->core.hand == FT_HAND_NONE,
        .whole = !nd_health_standby(st->health, true, faults),
        .told = s->peer_told,
        .own = st->counter,
        .other = s->peer_standing.counter,
        .moved = s->core.takeover.view ? s->core.takeover.decided : 0,
        .tried = st->tried,
        /* Carrier is seen at once, so a data port's weight stands for itself. */
        .settle_ns =
            ND_SETTLE_NS + (st->counter >= s->peer_standing.counter + ND_PORT_WEIGHT ? 0 : st->looks_ns),
        .hold_down_ns = file->hold_down_s * 1000 * FT_MS,
        .held = st->maintenance == FT_MAINTENANCE_HOLD,
        .pinned = st->maintenance == FT_MAINTENANCE_PIN_OWN     ? ND_WANTED_OWN
                  : st->maintenance == FT_MAINTENANCE_PIN_OTHER ? ND_WANTED_OTHER
                                                                : ND_WANTED_ANY,
        .preferred = file->prefer < 0                                                        ? ND_WANTED_ANY
                     : (unsigned)file->prefer == st->self                                    ? ND_WANTED_OWN
                     : &st->config->node[file->prefer] == nd_peer_node(st->config, st->self) ? ND_WANTED_OTHER
                                                                                             : ND_WANTED_ANY,
        .returns = file->failback == ND_FAILBACK_AFTER,
        .return_after_ns = file->after_s * 1000 * FT_MS,
    };
    const char *why;

    note_times(st, s, a.now);
    a.higher_since = st->higher_since;
    a.equal_since = st->equal_since;
    st->stays = NULL;
    if (!ft_core_primary(&s->core))
        return;
    if (nd_authority_decide(&a, &why) == ND_STAY) {
        st->stays = why;
        return;
    }
    st->tried = a.now;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_AUTHORITY, "hands over to %s: %s; counter %u%s%s%s here, %u there",
                 nd_peer_name(st->config, st->self), why, a.own, st->why[0] ? " (" : "", st->why,
                 st->why[0] ? ")" : "", a.other);
    rp_request(st->replicator, FT_REQUEST_HANDOVER);
}

/* ---- the runner ------------------------------------------------------------------------------------ */

/* Once when a hook's command is not believed any more; once when a hook begins to lose events, and once when
 * it takes them again: its queue is empty. */
static void report_hook(struct nd_standing *st, unsigned i)
{
    const struct nd_hook *hook = &st->config->node[st->self].hook[i];
    struct nd_hook_counts counts = nd_runner_hook(st->runner, i);

    if (counts.disbelieved && !st->disbelieved[i])
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_HOOK,
                     "%s %s is not run: others may write to it, or own it or what leads to it",
                     nd_hook_kinds[hook->kind], hook->path);
    st->disbelieved[i] = counts.disbelieved;
    if (counts.lost != st->lost[i] && !st->loses[i]) {
        st->loses[i] = true;
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_HOOK, "%s %s takes no events: they are lost",
                     nd_hook_kinds[hook->kind], hook->path);
    } else if (st->loses[i] && counts.lost == st->lost[i] && counts.waiting == 0) {
        st->loses[i] = false;
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_HOOK, "%s %s takes events again; %lu were lost",
                     nd_hook_kinds[hook->kind], hook->path, counts.lost);
    }
    st->lost[i] = counts.lost;
}

static void watch_runner(struct nd_standing *st)
{
    if (!st->runner)
        return;
    for (unsigned i = 0; i < st->config->node[st->self].hooks; i++)
        report_hook(st, i);
    if (st->runner_gone || nd_runner_pid(st->runner))
        return;
    st->runner_gone = true;
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_TRACK,
                 "the runner has ended: what it tracks stays as it was found, and hooks get nothing");
}

/* ---- how soon a silent primary is suspected --------------------------------------------------------- */

static double to_ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

/* On the node that took over, and on the one that was taken over from. */
static void log_false_takeover(struct nd_detection *d, const struct ft_core *c)
{
    bool own = c->silence.false_takeovers != d->false_takeovers;
    const char *who = own ? "the takeover was a false alarm: the old primary was alive"
                          : "taken over from while it was alive: a false alarm of the other node";

    if (!own && (c->silence.doubled_at == d->doubled_at || !ft_core_doubled(c)))
        return;
    d->false_takeovers = c->silence.false_takeovers;
    d->doubled_at = c->silence.doubled_at;
    if (ft_core_doubled(c))
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_DETECTION,
                     "%s; for an hour the shortest silence that counts here is %u times as long", who,
                     1u << ft_core_doubled(c));
    else
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_DETECTION, "%s", who);
}

/* What the core decides (ftcore/protocol), when it has changed by much. */
static void report_detection(struct nd_detection *d, const struct rp_status *s)
{
    const struct ft_core *c = &s->core;
    uint64_t ns = ft_core_detects(c);

    log_false_takeover(d, c);
    if (!ft_core_listened(c) || (2 * ns < 3 * d->said && 3 * ns > 2 * d->said) ||
        (d->said && s->at < d->said_at + AGAIN_NS))
        return;
    d->said = ns;
    d->said_at = s->at;
    ft_log_fields(FT_LEVEL_INFO, FT_SAYS_DETECTION,
                  (struct ft_log_field[]){{"detect_us", .number = ns / 1000},
                                          {"longest_silence_us", .number = c->silence.longest / 1000},
                                          {0}},
                  "a primary that is silent for %.1f ms is taken over from: the longest silence measured is "
                  "%.1f ms",
                  to_ms(ns), to_ms(c->silence.longest));
}

void nd_standing_turn(struct nd_standing *st, const struct rp_status *s)
{
    watch_runner(st);
    update_counter(st);
    if (s->peer_told && s->peer_standing.maintained > st->maintained)
        keep_order(st, (enum ft_maintenance)s->peer_standing.maintenance, s->peer_standing.maintained,
                   nd_peer_name(st->config, st->self));
    if (s->peer_told && s->peer_standing.cluster && !ft_core_primary(&s->core))
        nd_arbiter_expect(st->arbiter, s->peer_standing.cluster);
    send_standing(st);
    for (unsigned i = 0; i < st->health->ports; i++)
        st->health->port[i].deaf = is_deaf(st, i, s);
    consider_handover(st, s);
    report_detection(&st->detection, s);
}
