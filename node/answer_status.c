/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to "status": where this node stands, as one object. All times are this machine's monotonic
 * clock, ns. */
#include "nflib/chain/chain.h"
#include "node/running.h"
#include "node/base/clock.h"

#include <time.h>
#include <unistd.h>

#define READ(lane, field) ((json_int_t)atomic_load_explicit(&(lane)->field, memory_order_relaxed))

static void number(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

static const char *role_of(enum ft_state state)
{
    if (state == FT_SOLO || state == FT_PROTECTED || state == FT_DEGRADED)
        return "primary";
    return state == FT_SYNCING || state == FT_READY ? "standby" : "none";
}

static json_t *lane_status(const struct ft_lane *l, unsigned index)
{
    static const char *const doing[] = {"wait", "replay", "live", "live", "aside", "drain", "fenced"};
    enum ft_order order = ft_order_kind(atomic_load(&l->report.done));
    json_t *o = json_object();

    number(o, "lane", index);
    json_object_set_new(o, "doing", json_string(order < 7 ? doing[order] : "start"));
    number(o, "burst", (uint64_t)READ(l, report.executed));
    number(o, "received", (uint64_t)READ(l, count.received));
    number(o, "dropped", (uint64_t)READ(l, count.dropped));
    number(o, "made", (uint64_t)READ(l, count.emitted));
    number(o, "released", (uint64_t)READ(l, report.released));
    number(o, "held", (uint64_t)READ(l, count.held));
    number(o, "replayed", (uint64_t)READ(l, count.replayed_packets));
    number(o, "ring_full", (uint64_t)READ(l, count.ring_full));
    number(o, "hold_full", (uint64_t)READ(l, count.hold_full));
    number(o, "lag_full", (uint64_t)READ(l, count.lag_full));
    number(o, "waiting_full", (uint64_t)READ(l, count.waiting_full));
    number(o, "tx_refused", (uint64_t)READ(l, count.tx_refused));
    number(o, "no_buffer", (uint64_t)READ(l, count.no_buffer));
    number(o, "lease_held", (uint64_t)READ(l, count.lease_held));
    number(o, "claims", (uint64_t)READ(l, count.claims));
    number(o, "empty_bursts", (uint64_t)READ(l, count.empty_bursts));
    return o;
}

static json_t *peer_status(const struct rp_status *s, uint64_t now)
{
    const struct ft_core *c = &s->core;
    json_t *o = json_object();

    json_object_set_new(o, "node", c->peer.known ? json_string(c->peer.name) : json_null());
    json_object_set_new(o, "connected", json_boolean(s->link_up));
    json_object_set_new(o, "state", json_string(c->peer.known ? ft_state_name(c->peer.state) : "UNKNOWN"));
    number(o, "view", c->peer.view);
    json_object_set_new(o, "silent_ms",
                        c->peer.known && now > c->peer.heard ? json_real((double)(now - c->peer.heard) / 1e6)
                                                             : json_null());
    return o;
}

/* The last takeover by this node; null when it has made none. */
static json_t *takeover_status(struct nd_running *r, const struct rp_status *s)
{
    const struct ft_core *c = &s->core;
    uint64_t replayed = 0, first = 0, emitted = 0, suppressed = 0;
    json_t *o;

    if (c->takeover.view == 0)
        return json_null();
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        uint64_t done = (uint64_t)READ(&r->shared[l], count.replay_done_ns);
        uint64_t release = (uint64_t)READ(&r->shared[l], count.first_release_ns);

        replayed = done > replayed ? done : replayed;
        first = release && (first == 0 || release < first) ? release : first;
        emitted += (uint64_t)READ(&r->shared[l], count.tail_emitted);
        suppressed += (uint64_t)READ(&r->shared[l], count.tail_suppressed);
    }
    o = json_object();
    number(o, "view", c->takeover.view);
    json_object_set_new(o, "reason", json_string(c->takeover.reason));
    number(o, "suspected_ns", c->takeover.suspected);
    number(o, "decided_ns", c->takeover.decided);
    number(o, "replay_done_ns", replayed >= c->takeover.decided ? replayed : 0);
    number(o, "first_release_ns", first >= c->takeover.decided ? first : 0);
    number(o, "tail_emitted", emitted);
    number(o, "tail_suppressed", suppressed);
    return o;
}

static json_t *fenced_status(struct nd_running *r, const struct rp_status *s)
{
    uint64_t dropped = 0, last = 0, gone = 0;
    json_t *o;

    if (s->core.fenced.count == 0)
        return json_null();
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        uint64_t at = (uint64_t)READ(&r->shared[l], count.last_release_ns);
        uint64_t sent = (uint64_t)READ(&r->shared[l], count.last_sent_ns);

        dropped += (uint64_t)READ(&r->shared[l], count.fenced_dropped);
        last = at > last ? at : last;
        gone = sent > gone ? sent : gone;
    }
    o = json_object();
    number(o, "count", s->core.fenced.count);
    number(o, "view", s->core.fenced.view);
    number(o, "at_ns", s->core.fenced.at);
    number(o, "dropped", dropped);
    number(o, "last_release_ns", last);
    number(o, "last_sent_ns", gone);
    return o;
}

static json_t *resync_status(const struct rp_status *s)
{
    static const char *const phase[] = {"none", "cut", "snapshot", "catch-up", "switch", "hold"};
    json_t *o = json_object();

    json_object_set_new(o, "phase", json_string(phase[s->core.resync]));
    json_object_set_new(o, "outcome", json_string(s->core.resync_outcome));
    number(o, "done", s->core.resyncs);
    number(o, "failed", s->core.resyncs_failed);
    number(o, "lines_left", s->snapshot_left);
    number(o, "snapshot_bytes", s->snapshot_bytes);
    return o;
}

static json_t *link_status(const struct rp_status *s)
{
    json_t *o = json_object(), *turned_away = json_object();

    /* Frames that broke their format; datagrams and connections that are not the peer's. */
    for (int i = 1; i < 16; i++)
        if (s->link.refused[i])
            number(turned_away, ft_error_name(-i), s->link.refused[i]);

    number(o, "bytes_out", s->link.bytes_out);
    number(o, "bytes_in", s->link.bytes_in);
    number(o, "connects", s->link.connects);
    number(o, "refused", s->refused);
    json_object_set_new(o, "last_refused", s->last_refused[0] ? json_string(s->last_refused) : json_null());
    json_object_set_new(o, "turned_away", turned_away);
    number(o, "credit_waits", s->credit_waits);
    json_object_set_new(o, "compressing", json_boolean(s->compressing));
    number(o, "compressed", s->compressed);
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
    number(o, "files", counts.files);
    number(o, "records", counts.records);
    number(o, "bytes", counts.bytes);
    number(o, "gaps", counts.gaps);
    number(o, "failures", counts.failures);
    return o;
}

static void add_mode(json_t *o, const struct nd_protect *p)
{
    json_object_set_new(o, "mode", json_string(p->mode));
    json_object_set_new(o, "mode_asked", json_string(nd_modes[p->asked]));
    json_object_set_new(o, "mode_decided_by", *p->decided_by ? json_string(p->decided_by) : json_null());
}

json_t *nd_answer_status(struct nd_running *r)
{
    struct rp_status *s = malloc(sizeof(*s));
    json_t *o = json_object(), *lanes = json_array();
    uint64_t now = nd_now(), held = 0, scaled = 0;

    if (!s)
        return o;
    rp_status(r->replicator, s);
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        json_array_append_new(lanes, lane_status(&r->shared[l], l));
        held += (uint64_t)READ(&r->shared[l], count.held);
    }
    json_object_set_new(o, "node", json_string(r->config->node[r->self].name));
    json_object_set_new(o, "role", json_string(role_of(s->core.state)));
    json_object_set_new(o, "state", json_string(ft_state_name(s->core.state)));
    json_object_set_new(o, "protection",
                        json_string(s->core.state == FT_PROTECTED ? "PROTECTED" : "UNPROTECTED"));
    json_object_set_new(o, "since_s",
                        json_real(now > s->core.since ? (double)(now - s->core.since) / 1e9 : 0));
    json_object_set_new(o, "why", json_string(s->core.why));
    number(o, "view", s->core.view);
    add_mode(o, &r->config->protect);
    json_object_set_new(o, "peer", peer_status(s, now));
    json_object_set_new(o, "lanes", lanes);
    number(o, "lag_packets", s->lag_packets);
    number(o, "held_packets", held);
    number(o, "log_bytes", s->log_bytes_wire);
    number(o, "delta_bytes", s->delta_bytes_wire);
    number(o, "deltas",
           (uint64_t)READ(&r->shared[0], count.cuts) + (uint64_t)READ(&r->shared[0], count.deltas_applied));
    number(o, "records", s->records_sent + s->records_stored);
    json_object_set_new(o, "resync", resync_status(s));
    json_object_set_new(o, "takeover", takeover_status(r, s));
    json_object_set_new(o, "fenced", fenced_status(r, s));
    json_object_set_new(o, "link", link_status(s));
    json_object_set_new(o, "recorder", recorder_status(r->recorder));
    number(o, "degradations", s->core.degradations);
    number(o, "solos", s->core.solos);
    number(o, "false_alarms", s->core.false_alarms);
    number(o, "pid", (uint64_t)getpid());
    number(o, "guardian_pid",
           r->guardian && nd_guardian_alive(r->guardian) ? (uint64_t)nd_guardian_pid(r->guardian) : 0);
    number(o, "incarnation", r->incarnation >> 32); /* the half that is no secret */
    json_object_set_new(o, "realtime", json_boolean(atomic_load(&r->realtime)));
    number(o, "frames_refused", r->ports.refused);
    for (unsigned i = 0; i < r->ports.count; i++)
        scaled += r->ports.deal.port[i].scaled;
    number(o, "ports_scaled", scaled);
    number(o, "frames_not_dealt", atomic_load(&r->ports.deal.full));
    number(o, "region_bytes", ft_region_used(r->region));
    free(s);
    return o;
}
