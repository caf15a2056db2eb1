/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to "status": where this node stands, as one object. A field is its declaration, its line here
 * and its word in docs/reference.md (tests/lab/docs.t looks); status and top print every number of a lane
 * that is not zero. All times are this machine's monotonic clock, ns.
 */
#include "node/running.h"
#include "ftcore/base/event_log.h"
#include "node/base/clock.h"
#include "node/base/event_format.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LANE(member)    offsetof(struct ft_lane, member)
#define STALE_TEXT      (48u * (FT_LANES_MAX + 2))
#define RUNNER_STALE_NS 5000000000ull

/* What each lane tells, beside what it does. */
static const struct {
    const char *name;
    size_t at; /* of an atomic uint64_t */
} of_lane[] = {
    {"burst", LANE(report.executed)},
    {"received", LANE(count.received)},
    {"dropped", LANE(count.dropped)},
    {"made", LANE(count.emitted)},
    {"released", LANE(report.released)},
    {"held", LANE(count.held)},
    {"replayed", LANE(count.replayed_packets)},
    {"ring_full", LANE(count.ring_full)},
    {"hold_full", LANE(count.hold_full)},
    {"lag_full", LANE(count.lag_full)},
    {"waiting_full", LANE(count.waiting_full)},
    {"fragments_without_first", LANE(count.fragments_without_first)},
    {"tx_refused", LANE(count.tx_refused)},
    {"no_buffer", LANE(count.no_buffer)},
    {"lease_held", LANE(count.lease_held)},
    {"quarantined", LANE(count.quarantined)},
    {"claims", LANE(count.claims)},
    {"heartbeats_refused", LANE(count.heartbeats_refused)},
    {"empty_bursts", LANE(count.empty_bursts)},
    {"logged", LANE(log.head)},
};

/* ---- fields ------------------------------------------------------------------------------------ */

static void add_number(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

/* NULL becomes null. */
static void add_text(json_t *o, const char *name, const char *text)
{
    json_object_set_new(o, name, text ? json_string(text) : json_null());
}

/* A time of the past as its distance, ms; null: it never was. */
static void add_age(json_t *o, const char *name, uint64_t now, uint64_t then)
{
    json_object_set_new(o, name, then ? json_real(now > then ? (double)(now - then) / 1e6 : 0) : json_null());
}

static uint64_t load_field(const struct ft_lane *lane, size_t at)
{
    return atomic_load_explicit((const _Atomic uint64_t *)((const char *)lane + at), memory_order_relaxed);
}

enum over { SUM, FIRST, LAST }; /* FIRST: the smallest that is not 0 */

/* Of all lanes' values of the atomic uint64_t at this offset of struct ft_lane. */
static uint64_t over_lanes(const struct nd_running *r, size_t at, enum over over)
{
    uint64_t result = 0;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        uint64_t value = load_field(&r->words[l], at);

        if (over == SUM)
            result += value;
        else if (value && (result == 0 || (value > result) == (over == LAST)))
            result = value;
    }
    return result;
}

/* ---- sections ---------------------------------------------------------------------------------- */

/* Of the life of a thread. */
static json_t *turns_status(const struct ft_turns *t)
{
    json_t *o = json_object();

    json_object_set_new(o, "useful_s", json_real((double)atomic_load(&t->ns[FT_SPENT_USEFUL]) / 1e9));
    json_object_set_new(o, "empty_s", json_real((double)atomic_load(&t->ns[FT_SPENT_EMPTY]) / 1e9));
    json_object_set_new(o, "asleep_s", json_real((double)atomic_load(&t->ns[FT_SPENT_ASLEEP]) / 1e9));
    json_object_set_new(o, "longest_ms", json_real((double)atomic_load(&t->longest) / 1e6));
    add_number(o, "long_turns", atomic_load(&t->longs));
    return o;
}

static json_t *lane_status(const struct ft_lane *l, unsigned index, uint64_t now)
{
    static const char *const doing[] = {
        [FT_LANE_WAIT] = "wait",    [FT_LANE_REPLAY] = "replay", [FT_LANE_FRESH] = "live",
        [FT_LANE_LIVE] = "live",    [FT_LANE_ASIDE] = "aside",   [FT_LANE_DRAIN] = "drain",
        [FT_LANE_FENCED] = "fenced"};
    enum ft_order order = ft_order_kind(load_field(l, LANE(report.done)));
    json_t *o = json_object();

    add_number(o, "lane", index);
    add_text(o, "doing", order <= FT_LANE_FENCED ? doing[order] : "start");
    add_age(o, "turn_ms", now, load_field(l, LANE(count.turn_ns)));
    for (size_t i = 0; i < sizeof(of_lane) / sizeof(of_lane[0]); i++)
        add_number(o, of_lane[i].name, load_field(l, of_lane[i].at));
    json_object_set_new(o, "turns", turns_status(&l->count.turns));
    return o;
}

static json_t *peer_status(const struct rp_status *s, uint64_t now)
{
    const struct ft_core *c = &s->core;
    json_t *o = json_object();

    add_text(o, "node", c->peer.known ? c->peer.name : NULL);
    json_object_set_new(o, "connected", json_boolean(s->link_up));
    add_text(o, "state", c->peer.known ? ft_state_name(c->peer.state) : "UNKNOWN");
    add_number(o, "view", c->peer.view);
    add_text(o, "version", c->peer.program[0] ? c->peer.program : NULL);
    json_object_set_new(o, "format", c->peer.known ? json_integer(c->peer.version) : json_null());
    add_age(o, "silent_ms", now, c->peer.known ? c->peer.heard : 0);
    add_text(o, "differs", c->differs[0] ? c->differs : NULL);
    return o;
}

static json_t *resync_status(const struct rp_status *s)
{
    static const char *const phase[] = {
        [FT_RESYNC_NONE] = "none",        [FT_RESYNC_CUT] = "cut",       [FT_RESYNC_SNAPSHOT] = "snapshot",
        [FT_RESYNC_CATCHUP] = "catch-up", [FT_RESYNC_SWITCH] = "switch", [FT_RESYNC_HOLD] = "hold"};
    json_t *o = json_object();

    add_text(o, "phase", phase[s->core.resync]);
    add_text(o, "outcome", s->core.resync_outcome);
    add_number(o, "done", s->core.resyncs);
    add_number(o, "failed", s->core.resyncs_failed);
    add_number(o, "lines_left", s->snapshot_left);
    add_number(o, "snapshot_bytes", s->snapshot_bytes);
    return o;
}

/* Since when all of the state is known to be equal: as the standby has found, or, on a primary, has said. 0:
 * not since the standby got it. */
static uint64_t verified_at(const struct nd_running *r, const struct rp_status *s)
{
    bool primary = ft_core_primary(&s->core);
    uint64_t first = UINT64_MAX;

    for (unsigned l = 0; l < nd_verification_lanes(&r->lanes[0]); l++) {
        uint64_t at = primary ? s->verdicts.round_at[l] : FT_REPORT_GET(&r->words[l], round_ns);

        first = at < first ? at : first;
    }
    return first;
}

static json_t *verified_status(const struct nd_running *r, const struct rp_status *s, uint64_t now)
{
    uint64_t at = verified_at(r, s);
    json_t *o = json_object();

    json_object_set_new(o, "age_s", at ? json_real(now > at ? (double)(now - at) / 1e9 : 0) : json_null());
    add_number(o, "arenas", ft_region_arenas(r->region));
    add_number(o, "slices", ft_slice_count(r->region, FT_SLICES_ALL));
    add_number(o, "equal", over_lanes(r, LANE(count.slices_equal), SUM) + s->verdicts.slices_equal);
    add_number(o, "different", over_lanes(r, LANE(count.slices_different), SUM) + s->verdicts.different);
    return o;
}

/* Null: never. */
static json_t *diverged_status(const struct nd_running *r, const struct rp_status *s)
{
    uint64_t count = over_lanes(r, LANE(count.divergences), SUM) + s->verdicts.different;
    json_t *o;

    if (count == 0)
        return json_null();
    o = json_object();
    add_number(o, "count", count);
    add_text(o, "last", r->differences.last[0] ? r->differences.last : NULL);
    add_text(o, "file",
             atomic_load(&r->differences.saving) == ND_SAVED && !r->differences.missed ? r->differences.file
                                                                                       : NULL);
    return o;
}

/* What the file says that the link is sealed by; NULL: there is none. */
static const char *sealed_by(const struct nd_config *config)
{
    return !config->protect.pair         ? NULL
           : config->link.key[0]         ? "key"
           : config->link.certificate[0] ? "certificate"
                                         : "no";
}

static json_t *link_status(const struct nd_config *config, const struct rp_status *s)
{
    json_t *o = json_object(), *turned_away = json_object();

    /* Frames that broke their format; datagrams and connections that are not the peer's. */
    for (int i = 1; i < 16; i++)
        if (s->link.refused[i])
            add_number(turned_away, i == -FT_EPERM ? "unproven" : ft_error_name(-i), s->link.refused[i]);
    add_text(o, "sealed", sealed_by(config));
    add_number(o, "bytes_out", s->link.bytes_out);
    add_number(o, "bytes_in", s->link.bytes_in);
    add_number(o, "connects", s->link.connects);
    add_number(o, "refused", s->refused);
    add_number(o, "credit_waits", s->credit_waits);
    add_number(o, "compressed", s->compressed);
    add_text(o, "last_refused", s->last_refused[0] ? s->last_refused : NULL);
    json_object_set_new(o, "compressing", json_boolean(s->compressing));
    json_object_set_new(o, "turned_away", turned_away);
    return o;
}

static json_t *recorder_status(struct lg_recorder *recorder)
{
    struct lg_recorder_counts counts;
    json_t *o;

    if (!recorder)
        return json_null();
    lg_recorder_counts(recorder, &counts);
    o = json_object();
    add_number(o, "files", counts.files);
    add_number(o, "records", counts.records);
    add_number(o, "bytes", counts.bytes);
    add_number(o, "gaps", counts.gaps);
    add_number(o, "failures", counts.failures);
    return o;
}

static json_t *chain_status(const struct nd_running *r, const struct rp_status *s)
{
    json_t *o = json_object();
    char hash[24];

    snprintf(hash, sizeof(hash), "%016lx", s->core.config.chain);
    add_text(o, "hash", hash);
    add_text(o, "change", r->changing.told[0] ? r->changing.told : NULL);
    add_number(o, "changes", r->changing.count);
    json_object_set_new(o, "changing", json_boolean(nd_is_changing(&r->changing)));
    return o;
}

/* ---- how soon a silence counts ------------------------------------------------------------------ */

static double to_ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static json_t *detection_status(const struct ft_core *c)
{
    json_t *o;

    if (c->state != FT_READY)
        return json_null();
    o = json_object();
    json_object_set_new(o, "ms", json_real(to_ms(ft_core_detects(c))));
    json_object_set_new(o, "measured", json_boolean(ft_core_listened(c)));
    json_object_set_new(o, "longest_silence_ms", json_real(to_ms(c->silence.longest)));
    return o;
}

static json_t *damping_status(const struct ft_core *c)
{
    unsigned doubled = ft_core_doubled(c);
    uint64_t until = doubled ? c->silence.doubled_at + FT_DOUBLED_NS : 0;
    json_t *o = json_object();

    json_object_set_new(o, "doubled", json_integer((json_int_t)doubled));
    json_object_set_new(o, "left_s", json_real(until > c->now ? (double)(until - c->now) / 1e9 : 0));
    json_object_set_new(o, "longest_stall_ms", json_real(to_ms(c->silence.longest_stall)));
    return o;
}

static void add_alarms(json_t *o, const struct ft_core *c)
{
    add_number(o, "degradations", c->degradations);
    add_number(o, "solos", c->solos);
    add_number(o, "false_alarms", c->false_alarms);
    add_number(o, "false_takeovers", c->silence.false_takeovers);
    json_object_set_new(o, "detection", detection_status(c));
    json_object_set_new(o, "damping", damping_status(c));
}

/* ---- what the peer crashed on ------------------------------------------------------------------- */

/* The lane's state lies first in its arena. Its chain may be made anew meanwhile, by the lane. */
static bool is_bypassed(const struct nd_running *r, unsigned nf)
{
    bool bypassed = false;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        const void *state = r->region->base + ft_region_arena(r->region, l, 0)->offset;

        bypassed |= nf_is_bypassed(state, nf);
    }
    return bypassed;
}

static json_t *bypassed_status(const struct nd_running *r)
{
    json_t *names = json_array();

    for (unsigned i = 0; i < r->config->chain.count && !nd_is_changing(&r->changing); i++)
        if (is_bypassed(r, i + 1))
            json_array_append_new(names, json_string(r->config->chain.nfs[i].module->name));
    return names;
}

static json_t *quarantine_status(const struct nd_running *r)
{
    const struct nd_quarantine *q = r->crash ? &nd_crash_page(r->crash)->quarantine : NULL;
    uint64_t now = nd_now(), until;

    if (!q || !nd_quarantine_held(q))
        return json_null();
    until = atomic_load(&q->until);
    return json_pack("{s:s, s:f, s:I}", "nf", q->nf, "left_s",
                     now < until ? (double)(until - now) / 1e9 : 0.0, "dropped",
                     (json_int_t)atomic_load(&q->dropped));
}

/* ---- what has been: until the next of its kind --------------------------------------------------- */

static json_t *takeovers_status(const struct nd_running *r)
{
    json_t *buckets = json_array();

    for (unsigned i = 0; i < ND_TAKEOVER_BUCKETS; i++)
        json_array_append_new(buckets, json_integer((json_int_t)r->counts.takeovers.buckets[i]));
    return json_pack("{s:I,s:f,s:o}", "count", (json_int_t)r->counts.takeovers.count, "sum_s",
                     r->counts.takeovers.sum_s, "buckets", buckets);
}

/* Wall-clock time, RFC 3339 with milliseconds, UTC. */
static void add_wall(json_t *o, const char *name, uint64_t wall)
{
    char text[ND_WALL_TEXT];

    add_text(o, name, nd_wall_text(text, wall));
}

/* The last takeover by this node; null when it has made none. */
static json_t *takeover_status(const struct nd_running *r, const struct rp_status *s)
{
    uint64_t decided = s->core.takeover.decided, replayed = over_lanes(r, LANE(count.replay_done_ns), LAST),
             first = over_lanes(r, LANE(count.first_release_ns), FIRST);
    json_t *o;

    if (s->core.takeover.view == 0)
        return json_null();
    o = json_object();
    add_number(o, "view", s->core.takeover.view);
    add_text(o, "reason", s->core.takeover.reason);
    json_object_set_new(o, "planned", json_boolean(s->core.takeover.planned));
    add_text(o, "why", s->core.takeover.why);
    add_wall(o, "at", s->past.takeover);
    add_number(o, "suspected_ns", s->core.takeover.suspected);
    add_number(o, "decided_ns", decided);
    add_number(o, "replay_done_ns", replayed >= decided ? replayed : 0);
    add_number(o, "first_release_ns", first >= decided ? first : 0);
    add_number(o, "tail_emitted", over_lanes(r, LANE(count.tail_emitted), SUM));
    add_number(o, "tail_suppressed", over_lanes(r, LANE(count.tail_suppressed), SUM));
    return o;
}

static json_t *fenced_status(const struct nd_running *r, const struct rp_status *s)
{
    json_t *o;

    if (s->core.fenced.count == 0)
        return json_null();
    o = json_object();
    add_number(o, "count", s->core.fenced.count);
    add_number(o, "view", s->core.fenced.view);
    add_text(o, "by", s->core.fenced.by);
    add_wall(o, "at", s->past.fence);
    add_number(o, "at_ns", s->core.fenced.at);
    add_number(o, "dropped", over_lanes(r, LANE(count.fenced_dropped), SUM));
    add_number(o, "last_release_ns", over_lanes(r, LANE(count.last_release_ns), LAST));
    add_number(o, "last_sent_ns", over_lanes(r, LANE(count.last_sent_ns), LAST));
    return o;
}

/* The last standby that this node, as primary, lost; null when it has lost none. */
static json_t *loss_status(const struct rp_status *s)
{
    json_t *o;

    if (s->core.loss.count == 0)
        return json_null();
    o = json_object();
    add_number(o, "count", s->core.loss.count);
    add_number(o, "view", s->core.loss.view);
    add_text(o, "why", s->core.loss.why);
    add_wall(o, "at", s->past.loss);
    return o;
}

static void add_past(json_t *o, const struct nd_running *r, const struct rp_status *s)
{
    json_object_set_new(o, "takeover", takeover_status(r, s));
    json_object_set_new(o, "fenced", fenced_status(r, s));
    json_object_set_new(o, "standby_lost", loss_status(s));
}

/* ---- data ports -------------------------------------------------------------------------------- */

static void add_ports(const struct nd_running *r, json_t *status)
{
    const struct nd_port_watch *watch = &r->port_watch;
    json_t *ports = json_array();
    uint64_t now = nd_now();

    for (unsigned i = 0; i < watch->health.ports; i++) {
        const struct nd_port_health *p = &watch->health.port[i];
        json_t *o = json_object();

        json_object_set_new(o, "port", json_string(p->name));
        json_object_set_new(o, "whole", json_boolean(!p->fault && !p->theirs));
        json_object_set_new(o, "up", json_boolean(p->carrier));
        json_object_set_new(o, "mtu", p->mtu ? json_integer(p->mtu) : json_null());
        json_object_set_new(o, "peer_heard",
                            p->judged && watch->health.meets ? json_boolean(p->hears) : json_null());
        json_object_set_new(o, "peer_heard_ms",
                            p->heard ? json_real(now > p->heard ? (double)(now - p->heard) / 1e6 : 0)
                                     : json_null());
        json_object_set_new(o, "tx_lost", json_integer((json_int_t)watch->frames[i].tx_lost));
        json_object_set_new(o, "rx_missed", json_integer((json_int_t)watch->frames[i].rx_missed));
        json_array_append_new(ports, o);
    }
    json_object_set_new(status, "ports", ports);
    json_object_set_new(status, "not_whole", watch->faults[0] ? json_string(watch->faults) : json_null());
}

/* ---- which node is to be primary ---------------------------------------------------------------- */

static json_t *authority_status(const struct nd_running *r, const struct rp_status *s)
{
    static const char *const words[] = {"free", "held", "pinned", "pinned"};
    const struct nd_standing *st = &r->standing;
    const struct nd_config *c = r->config;
    char wall[ND_WALL_TEXT];
    json_t *o = json_object();

    add_number(o, "counter", st->counter);
    add_text(o, "counter_why", st->why[0] ? st->why : NULL);
    json_object_set_new(o, "peer_counter",
                        s->peer_told ? json_integer(s->peer_standing.counter) : json_null());
    add_text(o, "peer_counter_why", s->peer_told && s->peer_standing.why[0] ? s->peer_standing.why : NULL);
    add_text(o, "maintenance", words[st->maintenance]);
    add_text(o, "pinned_to",
             st->maintenance == FT_MAINTENANCE_PIN_OWN     ? c->node[r->self].name
             : st->maintenance == FT_MAINTENANCE_PIN_OTHER ? c->node[!r->self].name
                                                           : NULL);
    add_text(o, "maintenance_since", st->maintained ? nd_wall_text(wall, st->maintained) : NULL);
    json_object_set_new(o, "peer_knows", json_boolean(nd_standing_known(&r->standing, s)));
    add_text(o, "prefer", c->authority.prefer < 0 ? NULL : c->node[c->authority.prefer].name);
    add_text(o, "failback", nd_failbacks[c->authority.failback]);
    add_text(o, "stays", st->stays);
    return o;
}

static json_t *track_status(const struct nd_running *r)
{
    const struct nd_node *self = &r->config->node[r->self];
    json_t *list = json_array();

    for (unsigned i = 0; i < self->tracks; i++) {
        char name[ND_PATH_MAX + 16], found[ND_RUNNER_TEXT];
        json_t *o = json_object();
        bool failed = nd_standing_failed(&r->standing, i, found);

        snprintf(name, sizeof(name), "%s %s", nd_track_kinds[self->track[i].kind], self->track[i].what);
        add_text(o, "thing", name);
        add_number(o, "weight", self->track[i].weight);
        json_object_set_new(o, "failed", json_boolean(failed));
        add_text(o, "found", found);
        json_array_append_new(list, o);
    }
    return list;
}

/* And the events that all of them have lost. */
static json_t *hooks_status(const struct nd_running *r, uint64_t *lost)
{
    const struct nd_node *self = &r->config->node[r->self];
    json_t *list = json_array();

    *lost = 0;
    for (unsigned i = 0; i < self->hooks; i++) {
        char name[ND_PATH_MAX + 16];
        struct nd_hook_counts counts;
        json_t *o = json_object();

        nd_runner_hook(r->standing.runner, i, &counts);
        snprintf(name, sizeof(name), "%s %s", nd_hook_kinds[self->hook[i].kind], self->hook[i].path);
        add_text(o, "hook", name);
        add_number(o, "delivered", counts.delivered);
        add_number(o, "waiting", counts.waiting);
        add_number(o, "lost_events", counts.lost);
        json_array_append_new(list, o);
        *lost += counts.lost;
    }
    return list;
}

static void add_authority(struct nd_running *r, const struct rp_status *s, json_t *status)
{
    uint64_t lost;

    json_object_set_new(status, "authority", authority_status(r, s));
    json_object_set_new(status, "track", track_status(r));
    json_object_set_new(status, "hooks", hooks_status(r, &lost));
    add_number(status, "hooks_lost", lost);
    json_object_set_new(status, "runner_pid",
                        r->standing.runner ? json_integer(nd_runner_pid(r->standing.runner)) : json_null());
}

/* ---- the arbiter ------------------------------------------------------------------------------- */

static json_t *kept_status(const struct ft_decision *d)
{
    if (!d->any)
        return json_null();
    return json_pack("{s:I,s:I,s:s?}", "view", (json_int_t)d->era.view, "era", (json_int_t)d->era.number,
                     "winner", d->winner[0] ? d->winner : NULL);
}

/* The last answer to a question of this node; null: it has asked nothing yet. */
static json_t *decision_status(const struct rp_status *s, uint64_t wall)
{
    char text[ND_WALL_TEXT];

    if (s->core.arbiter.decision.answer == FT_ANSWER_NONE)
        return json_null();
    return json_pack("{s:I,s:I,s:b,s:s}", "view", (json_int_t)s->core.arbiter.decision.era.view, "era",
                     (json_int_t)s->core.arbiter.decision.era.number, "won",
                     s->core.arbiter.decision.answer == FT_ANSWER_WON, "at", nd_wall_text(text, wall));
}

static json_t *arbiter_status(const struct nd_running *r, const struct rp_status *s, uint64_t now)
{
    struct nd_arbiter_status a;
    json_t *o;

    if (!r->arbiter)
        return json_null();
    nd_arbiter_status(r->arbiter, &a);
    o = json_object();
    add_text(o, "key", r->config->arbiter.key);
    add_text(o, "server", a.server[0] ? a.server : NULL);
    json_object_set_new(o, "answers", json_boolean(a.answers));
    add_age(o, "answered_ms", now, a.answered);
    json_object_set_new(o, "took_ms", json_real((double)a.took / 1e6));
    add_number(o, "failures", a.failures);
    add_text(o, "last_failure", a.why[0] ? a.why : NULL);
    json_object_set_new(o, "asking", json_boolean(s->core.arbiter.asking));
    json_object_set_new(o, "lost", json_boolean(s->core.arbiter.lost));
    json_object_set_new(o, "later", json_boolean(a.later));
    json_object_set_new(o, "kept", kept_status(&a.kept));
    json_object_set_new(o, "decision", decision_status(s, a.decided));
    return o;
}

/* ---- the process ------------------------------------------------------------------------------- */

/* What the process itself knows. */
static void add_process(json_t *o, struct nd_running *r, const struct rp_status *s)
{
    const struct nd_protect *p = &r->config->protect;
    uint64_t scaled = 0;

    add_text(o, "version", UNDERSTUDY_VERSION);
    add_text(o, "mode", p->mode);
    add_text(o, "mode_asked", nd_modes[p->asked]);
    add_text(o, "mode_decided_by", *p->decided_by ? p->decided_by : NULL);
    add_number(o, "pid", (uint64_t)getpid());
    add_number(o, "guardian_pid",
               r->guardian && nd_guardian_alive(r->guardian) ? (uint64_t)nd_guardian_pid(r->guardian) : 0);
    add_number(o, "incarnation", r->datagram_key.incarnation >> 32); /* half: it is told to the peer alone */
    json_object_set_new(o, "realtime", json_boolean(atomic_load(&r->realtime)));
    add_number(o, "log_lost", ft_event_log_lost());
    add_number(o, "frames_refused", r->ports.refused);
    for (unsigned i = 0; i < r->ports.io.devices; i++)
        scaled += r->ports.deal.device[i].scaled;
    add_number(o, "ports_scaled", scaled);
    add_number(o, "frames_not_dealt", atomic_load(&r->ports.deal.full));
    add_number(o, "frames_unknown_vlan", atomic_load(&r->ports.deal.unknown_vlan));
    json_object_set_new(o, "chain", chain_status(r, s));
    add_number(o, "region_bytes", nd_is_changing(&r->changing) ? 0 : ft_region_used(r->region));
}

/* ---- threads that stand ------------------------------------------------------------------------ */

/*
 * Each thread takes turns, at the latest every millisecond. Of one whose last turn is older than detect_ms,
 * the silence that the file calls a failure, what this node says is old.
 */
static void name_stale(const struct nd_running *r, const char *thread, uint64_t now, uint64_t turn, char *out,
                       size_t cap)
{
    size_t at = strlen(out);

    if (turn && now > turn + r->config->timing.detect_ms * FT_MS)
        snprintf(out + at, cap - at, "%sno turn of %s for %llu ms", at ? ", " : "", thread,
                 (now - turn) / FT_MS);
}

/* The runner has a turn each second. Without it what is tracked is old. */
static void name_stale_runner(struct nd_running *r, uint64_t now, char *out, size_t cap)
{
    uint64_t turn = r->standing.runner ? nd_runner_turn(r->standing.runner) : 0;
    size_t at = strlen(out);

    if (turn && now > turn + RUNNER_STALE_NS)
        snprintf(out + at, cap - at, "%sno turn of the runner for %llu ms", at ? ", " : "",
                 (now - turn) / FT_MS);
}

/* Their names, in words; "" when there are none. */
static void find_stale(struct nd_running *r, const struct rp_status *s, uint64_t now, char *out, size_t cap)
{
    char name[16];

    out[0] = '\0';
    name_stale(r, "the replicator", now, s->at, out, cap);
    name_stale_runner(r, now, out, cap);
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        snprintf(name, sizeof(name), "lane %u", l);
        name_stale(r, name, now, load_field(&r->words[l], LANE(count.turn_ns)), out, cap);
    }
}

json_t *nd_answer_status(struct nd_running *r)
{
    struct rp_status status, *s = &status;
    json_t *o = json_object(), *lanes = json_array();
    uint64_t now = nd_now(); /* before what it is compared with: no age is too large */
    char stale[STALE_TEXT];
    rp_status(r->replicator, s);
    find_stale(r, s, now, stale, sizeof(stale));
    add_text(o, "node", r->config->node[r->self].name);
    add_text(o, "role",
             ft_core_primary(&s->core)                                  ? "primary"
             : s->core.state == FT_SYNCING || s->core.state == FT_READY ? "standby"
                                                                        : "none");
    add_text(o, "state", ft_state_name(s->core.state));
    add_text(o, "protection",
             s->core.state != FT_PROTECTED ? "UNPROTECTED"
             : stale[0]                    ? "STALE"
             : r->port_watch.faults[0]     ? "UNPROTECTED"
                                           : "PROTECTED");
    add_text(o, "stale", stale[0] ? stale : NULL);
    add_age(o, "replicator_turn_ms", now, s->at);
    json_object_set_new(o, "replicator_turns", turns_status(&s->turns));
    json_object_set_new(o, "since_s",
                        json_real(now > s->core.since ? (double)(now - s->core.since) / 1e9 : 0));
    add_text(o, "why", s->core.why);
    add_number(o, "view", s->core.view);
    if (r->config->protect.pair)
        add_number(o, "view_on_disk", s->core.stored);
    else
        json_object_set_new(o, "view_on_disk", json_null());
    add_number(o, "view_unwritten_ms", (s->view_behind + 999999) / 1000000);
    add_number(o, "lag_packets", s->lag_packets);
    add_number(o, "log_bytes", s->log_bytes_wire);
    add_number(o, "delta_bytes", s->delta_bytes_wire);
    add_number(o, "overruns", s->overruns);
    add_alarms(o, &s->core);
    json_object_set_new(o, "peer", peer_status(s, now));
    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        json_array_append_new(lanes, lane_status(&r->words[l], l, now));
    json_object_set_new(o, "lanes", lanes);
    add_number(o, "held_packets", over_lanes(r, LANE(count.held), SUM));
    add_number(o, "deltas",
               load_field(&r->words[0], LANE(count.cuts)) +
                   load_field(&r->words[0], LANE(count.deltas_applied)));
    add_number(o, "records", s->records_sent + s->records_stored);
    json_object_set_new(o, "resync", resync_status(s));
    json_object_set_new(o, "verified", verified_status(r, s, now));
    json_object_set_new(o, "diverged", diverged_status(r, s));
    json_object_set_new(o, "quarantine", quarantine_status(r));
    json_object_set_new(o, "bypassed", bypassed_status(r));
    add_number(o, "bypassed_nfs", json_array_size(json_object_get(o, "bypassed")));
    json_object_set_new(o, "takeovers", takeovers_status(r));
    json_object_set_new(o, "nfs", nd_counters_status(&r->counts, NULL));
    json_object_set_new(o, "tables", nd_tables_status(&r->counts, NULL));
    json_object_set_new(o, "passing", nd_passing_status(&r->counts));
    add_ports(r, o);
    add_past(o, r, s);
    add_authority(r, s, o);
    json_object_set_new(o, "arbiter", arbiter_status(r, s, now));
    json_object_set_new(o, "link", link_status(r->config, s));
    json_object_set_new(o, "recorder", recorder_status(r->recorder));
    add_process(o, r, s);
    return o;
}
