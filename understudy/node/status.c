/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to "status": where this node stands, as one object. Its fields are the rows of
 * understudy/metrics/fields.def; here is what their values are made of.
 */
#include "understudy/node/running.h"
#include "understudy/config/peer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"
#include "understudy/ports/fed.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STALE_TEXT      (48u * (FT_LANES_MAX + 2))
#define RUNNER_STALE_NS 5000000000ull

/* ---- values ------------------------------------------------------------------------------------ */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* NULL becomes null. */
static json_t *text(const char *value)
{
    return value ? json_string(value) : json_null();
}

/* "" becomes null. */
static json_t *words(const char *value)
{
    return *value ? json_string(value) : json_null();
}

static json_t *ms(uint64_t ns)
{
    return json_real((double)ns / 1e6);
}

static json_t *seconds(uint64_t ns)
{
    return json_real((double)ns / 1e9);
}

struct back_off {
    unsigned count;
    uint64_t left; /* ns */
};

static struct back_off back_off(const struct ft_core *core)
{
    struct back_off b;

    b.count = ft_core_back_off(core, &b.left);
    return b;
}

static uint64_t span(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* A time of the past as its distance; null: it never was. */
static json_t *age_ms(uint64_t now, uint64_t then)
{
    return then ? ms(span(then, now)) : json_null();
}

/* Wall-clock time, RFC 3339 with milliseconds, UTC. */
static json_t *wall(uint64_t ns)
{
    char out[ND_WALL_TEXT];

    return json_string(nd_wall_text(out, ns));
}

/* The fields of an object are rows of their own; it may be null, and has none. */
static json_t *object(bool is_there)
{
    return is_there ? json_object() : json_null();
}

static json_t *list(size_t objects)
{
    json_t *all = json_array();

    while (objects--)
        json_array_append_new(all, json_object());
    return all;
}

enum over { OVER_SUM, OVER_FIRST, OVER_LAST }; /* FIRST: the smallest that is not 0 */

/* Of all lanes' values of the atomic uint64_t at this offset of struct ft_lane_shared. */
static uint64_t over_lanes(const struct nd_running *r, size_t at, enum over over)
{
    uint64_t result = 0;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        const char *lane = (const char *)&r->shared[l];
        uint64_t value = atomic_load_explicit((const _Atomic uint64_t *)(lane + at), memory_order_relaxed);

        if (over == OVER_SUM)
            result += value;
        else if (value && (result == 0 || (value > result) == (over == OVER_LAST)))
            result = value;
    }
    return result;
}

/* ---- what rows ask for -------------------------------------------------------------------------- */

static json_t *doing(uint64_t order)
{
    static const char *const names[] = {
        [FT_LANE_WAIT] = "wait",    [FT_LANE_REPLAY] = "replay",   [FT_LANE_FRESH] = "live",
        [FT_LANE_LIVE] = "live",    [FT_LANE_OWN_MAC] = "own-mac", [FT_LANE_DRAIN] = "drain",
        [FT_LANE_FENCED] = "fenced"};
    enum ft_order kind = ft_order_kind(order);

    return json_string(kind <= FT_LANE_FENCED ? names[kind] : "start");
}

static uint64_t waited_ns(const struct ft_lane_shared *lane)
{
    uint64_t sum = 0;

    for (unsigned w = 0; w < FT_WAITS; w++)
        sum += atomic_load_explicit(&lane->count.waited_ns[w], memory_order_relaxed);
    return sum;
}

/* Since when all of the state is known to be equal: as the standby has found, or, on a primary, has reported.
 * 0: not since the standby got it. */
static uint64_t verified_at(const struct nd_running *r, const struct rp_status *s)
{
    bool primary = ft_core_primary(&s->core);
    uint64_t first = UINT64_MAX;

    for (unsigned l = 0; l < nd_verification_lanes(&r->lanes[0]); l++) {
        uint64_t at = primary ? s->verdicts.round_at[l] : FT_REPORT_GET(&r->shared[l], round_ns);

        first = at < first ? at : first;
    }
    return first;
}

/* The lane's state lies first in its arena. Its chain may be made anew meanwhile, by the lane. */
unsigned nd_lanes_without(const struct nd_running *r, unsigned nf)
{
    unsigned lanes = 0;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        const void *state = r->region->base + ft_region_arena(r->region, l, 0)->offset;

        lanes += nf_is_bypassed(state, nf);
    }
    return lanes;
}

static json_t *bypassed_nfs(const struct nd_running *r)
{
    json_t *names = json_array();

    for (unsigned i = 0; i < r->config->chain.count && !nd_is_changing(&r->changing); i++)
        if (nd_lanes_without(r, i + 1))
            json_array_append_new(names, json_string(r->config->chain.nfs[i].module->name));
    return names;
}

/* The last `n` buckets; shorter times are in the first of them. */
static json_t *buckets(const struct ft_histogram *h, unsigned n)
{
    json_t *all = json_array();
    uint64_t shorter = 0;

    for (unsigned i = 0; i < FT_HISTOGRAM_BUCKETS; i++) {
        shorter += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        if (i + n < FT_HISTOGRAM_BUCKETS)
            continue;
        json_array_append_new(all, number(shorter));
        shorter = 0;
    }
    return all;
}

/* A time of the last takeover; 0: it has not come to that yet. */
static uint64_t since_decided(const struct ft_core *c, uint64_t time)
{
    return time >= c->takeover.decided ? time : 0;
}

static const char *pinned_to(const struct nd_running *r)
{
    return r->standing.maintenance == FT_MAINTENANCE_PIN_OWN     ? r->config->node[r->self].name
           : r->standing.maintenance == FT_MAINTENANCE_PIN_OTHER ? nd_peer_name(r->config, r->self)
                                                                 : NULL;
}

/* Their names; NULL: not known. */
static json_t *members(const struct ft_members *m)
{
    return m->name[0][0] ? json_pack("[s,s]", m->name[0], m->name[1]) : json_null();
}

static json_t *shard(const struct ft_members *m)
{
    char out[FT_SHARD_TEXT];

    return ft_has_shard(m) ? json_string(ft_shard_text(out, m)) : json_null();
}

/* Events that all hooks have lost. */
static uint64_t hooks_lost(const struct nd_running *r)
{
    uint64_t lost = 0;

    for (unsigned i = 0; i < r->config->node[r->self].hooks; i++)
        lost += nd_runner_hook(r->standing.runner, i).lost;
    return lost;
}

/* What seals the link, by the file; NULL: there is none. */
static const char *sealed_by(const struct nd_config *config)
{
    return !config->protect.pair         ? NULL
           : config->link.key[0]         ? "key"
           : config->link.certificate[0] ? "certificate"
                                         : "no";
}

/* Ways between the nodes that this one has addresses for. */
static size_t own_ways(const struct nd_running *r)
{
    return !r->config->protect.pair ? 0 : r->config->node[r->self].second_port ? RP_WAYS : 1;
}

/* The node's own address there: that of the cable that a person looks for. */
static const char *way_address(const struct nd_node *node, size_t way)
{
    return way ? node->second_host : node->host;
}

/* Their names. `heard`: a bit for each that is. */
static json_t *silent_keepers(const struct nd_config *config, unsigned heard)
{
    json_t *names = json_array();

    for (unsigned i = 0; i < config->keepers; i++)
        if (!(heard >> i & 1))
            json_array_append_new(names, json_string(config->keeper[i].name));
    return names;
}

/* Frames that broke their format; datagrams and connections that are not the peer's. */
static json_t *turned_away(const struct rp_link_stats *link)
{
    json_t *o = json_object();

    for (int i = 1; i < 16; i++)
        if (link->refused[i])
            json_object_set_new(o, i == -FT_EPERM ? "unproven" : ft_error_name(-i), number(link->refused[i]));
    return o;
}

static uint64_t ports_scaled(const struct nd_ports *ports)
{
    uint64_t scaled = 0;

    for (unsigned i = 0; i < ports->io.devices; i++)
        scaled += ports->deal.device[i].scaled;
    return scaled;
}

/*
 * Each thread takes turns, at the latest every millisecond, the runner every second. Of a thread whose last
 * turn is older than `most`, what this node reports is old.
 */
static void name_stale(const char *thread, uint64_t now, uint64_t turn, uint64_t most, char out[STALE_TEXT])
{
    size_t at = strlen(out);

    if (turn && now > turn + most)
        snprintf(out + at, STALE_TEXT - at, "%sno turn of %s for %llu ms", at ? ", " : "", thread,
                 (now - turn) / FT_MS);
}

/* Their names, in words; "" when there are none. By detect_ms, the silence that the file calls a failure.
 * Without the runner what is tracked is old. */
static void find_stale(const struct nd_running *r, const struct rp_status *s, uint64_t now,
                       char out[STALE_TEXT])
{
    uint64_t most = r->config->timing.detect_ms * FT_MS;
    char name[16];

    out[0] = '\0';
    name_stale("the replicator", now, s->at, most, out);
    if (r->standing.runner)
        name_stale("the runner", now, nd_runner_turn(r->standing.runner), RUNNER_STALE_NS, out);
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        snprintf(name, sizeof(name), "lane %u", l);
        name_stale(name, now, atomic_load(&r->shared[l].count.turn_ns), most, out);
    }
}

/* ---- the answer -------------------------------------------------------------------------------- */

/* The object of the field at *path, which becomes its key there: through a list that of the element `i`.
 * NULL: there is none, or no such element. */
static json_t *reach(json_t *o, const char **path, size_t i)
{
    const char *dot;
    bool listed = false;

    while ((dot = strchr(*path, '.'))) {
        o = json_object_getn(o, *path, (size_t)(dot - *path));
        if (json_is_array(o)) {
            o = json_array_get(o, i);
            listed = true;
        }
        *path = dot + 1;
    }
    return json_is_object(o) && (listed || i == 0) ? o : NULL;
}

/* What rows are written in, beside the names of nd_answer_status. LANE, PORT and WAY are of the list's
 * element. */
#define LANE(member)  atomic_load_explicit(&r->shared[i].member, memory_order_relaxed)
#define SUM(member)   over_lanes(r, offsetof(struct ft_lane_shared, member), OVER_SUM)
#define FIRST(member) over_lanes(r, offsetof(struct ft_lane_shared, member), OVER_FIRST)
#define LAST(member)  over_lanes(r, offsetof(struct ft_lane_shared, member), OVER_LAST)
#define PORT          watch->health.port[i]
#define WAY           s->link.ways.way[i]
#define AGAIN(path, ...)
#define WORDS(paths, text)
#define FIELD(path, value, ...)                                                                              \
    for (i = 0, key = path; (at = reach(o, &key, i)); i++, key = path)                                       \
        json_object_set_new(at, key, value);

json_t *nd_answer_status(struct nd_running *r)
{
    static const char *const phases[] = {
        [FT_RESYNC_NONE] = "none",        [FT_RESYNC_CUT] = "cut",       [FT_RESYNC_SNAPSHOT] = "snapshot",
        [FT_RESYNC_CATCHUP] = "catch-up", [FT_RESYNC_SWITCH] = "switch", [FT_RESYNC_HOLD] = "hold"};
    static const char *const port_states[] = {[RP_PORT_OFF] = "off",
                                              [RP_PORT_SILENT] = "silent",
                                              [RP_PORT_OPEN] = "open",
                                              [RP_PORT_CARRIES] = "carries"};
    static const char *const orders[] = {"free", "held", "pinned", "pinned"};
    static const char version[] = UNDERSTUDY_VERSION; /* here, where the Makefile looks for its name */
    const struct nd_node *self = &r->config->node[r->self];
    const struct nd_standing *st = &r->standing;
    const struct nd_port_watch *watch = &r->port_watch;
    const struct nd_quarantine *q = r->crash ? &r->crash->page->quarantine : NULL;
    struct lg_recorder_counts recorder = {0};
    struct nd_arbiter_status arbiter = {0};
    struct nd_export_counts exported = {0};
    struct nd_fed_counts fed;
    struct rp_status status, *s = &status;
    const struct ft_core *c = &status.core;
    uint64_t now = ft_now(); /* before what it is compared with: no age is too large */
    uint64_t verified, diverged;
    json_t *o = json_object(), *at;
    char stale[STALE_TEXT], found[ND_RUNNER_TEXT];
    const char *key;
    size_t i;

    rp_status(r->replicator, s);
    find_stale(r, s, now, stale);
    verified = verified_at(r, s);
    diverged = SUM(count.divergences) + s->verdicts.different;
    if (r->recorder)
        lg_recorder_counts(r->recorder, &recorder);
    if (r->arbiter)
        nd_arbiter_status(r->arbiter, &arbiter);
    if (r->exporter)
        nd_exporter_counts(r->exporter, &exported);
    nd_fed_counts(&r->ports, &fed);
#include "understudy/metrics/fields.def"
    return o;
}
