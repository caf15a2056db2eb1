/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lanes' ports to the peer's lanes: whether they count, and whether they carry the lanes' streams in
 * place of the connection; all of them, or none. The lanes seal, send and store (lane/link.c); the core stays
 * the one that knows rights, and everything but records goes by the connection.
 *
 * They count between a PROTECTED primary and its READY standby, in one view, for two processes, with a key of
 * the connection that stands (RFC 8446, 7.5): another connection is another key. A standby whose view is not
 * on its disk acknowledges nothing, here as there.
 *
 * The primary decides which way carries the streams, and the standby need not know: a lane takes the record
 * that follows what it has, by whichever way it comes. What comes by both is the same record of the same
 * stream. The connection stops at a place of each lane's log, and the port goes on from there; the log is
 * freed up to what the standby reported as closed. When no more has been closed in one lane for half of
 * slow_ms, or for detect_ms if that is less, the connection goes on from there in all, before the waiting
 * counts against the standby.
 *
 * While packets come less than densely, or not at all, the connection carries: lanes can sleep then.
 */
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <string.h>

#define ALIVE_BEATS 5u              /* heartbeats without a gap before it carries */
#define GAP_BEATS   3u              /* heartbeats without a word that are a gap */
#define SILENT_NS   (1000 * FT_MS)  /* without a word, or detect_ms: reported as silent, as data ports are */
#ifndef RP_PORT_QUIET_NS            /* the simulation's runs are shorter */
#define RP_PORT_QUIET_NS 200000000u /* without packets */
#define RP_PORT_AGAIN_NS (1000 * FT_MS) /* behind one that fell silent */
#endif

static void end_carrying(struct rp_replicator *rp)
{
    rp->port.carry = 0;
    RP_ORDER_ALL(rp, carry, 0);
}

void rp_port_off(struct rp_replicator *rp)
{
    if (!rp->config.by_port || !rp->port.on)
        return;
    end_carrying(rp);
    rp->port.on = false;
    rp->port.alive = 0;
    RP_ORDER_ALL(rp, port, 0);
}

/* The last word by the lanes' ports, by that one where it is oldest. */
static uint64_t oldest_heard(struct rp_replicator *rp)
{
    uint64_t heard = UINT64_MAX;

    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t by = FT_REPORT_GET(rp_lane(rp, l), port_heard);

        heard = by < heard ? by : heard;
    }
    return heard;
}

/* Bytes of records that have come by them. */
static uint64_t all_that_came(struct rp_replicator *rp)
{
    uint64_t came = 0;

    for (unsigned l = 0; l < rp->lanes; l++)
        came += atomic_load_explicit(&rp_lane(rp, l)->direct.head, memory_order_relaxed);
    return came;
}

enum rp_port_state rp_port_state(const struct rp_replicator *rp)
{
    const struct rp_port *p = &rp->port;
    uint64_t heard = p->heard > p->since ? p->heard : p->since, within = rp->core.config.detect_ms * FT_MS;

    if (!p->on)
        return RP_PORT_OFF;
    if (p->carry || (p->came_at && rp->now - p->came_at < RP_PORT_QUIET_NS))
        return RP_PORT_CARRIES;
    if (within < SILENT_NS)
        within = SILENT_NS;
    return rp->now < p->again || rp->now > heard + within ? RP_PORT_SILENT : RP_PORT_OPEN;
}

/* The secret of the connection that stands, asked for once. */
static bool find_secret(struct rp_replicator *rp)
{
    struct rp_port *p = &rp->port;
    uint64_t connects = rp_link_stats(rp->link)->connects;

    if (connects != p->connects) {
        rp_port_off(rp);
        p->has_secret = rp_link_secret(rp->link, &p->secret);
        p->connects = connects;
    }
    return p->has_secret && rp_link_up(rp->link);
}

/* Between which two it counts now. */
static bool counts(const struct rp_replicator *rp)
{
    const struct ft_core *core = &rp->core;

    if (!core->peer.known || core->hand || core->resync || core->arbiter.asking)
        return false;
    if (ft_core_primary(core))
        return core->state == FT_PROTECTED && rp->sender.on && !rp->snapshot.cutting &&
               core->peer.state == FT_READY;
    return core->state == FT_READY && ft_core_acknowledges(core);
}

static void begin(struct rp_replicator *rp)
{
    struct rp_port *p = &rp->port;
    uint64_t secret[4];

    memcpy(secret, p->secret.bytes, sizeof(secret));
    p->serial++;
    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);

        for (unsigned i = 0; i < 4; i++)
            FT_ORDER_SET(lane, port_secret[i], secret[i]);
        FT_ORDER_SET(lane, port_view, rp->core.view);
        FT_ORDER_SET(lane, port_own, rp->core.config.incarnation);
        FT_ORDER_SET(lane, port_peer, rp->core.peer.incarnation);
        FT_ORDER_SET(lane, port_connects, !p->secret.accepted);
        FT_ORDER_SET(lane, port, p->serial);
    }
    p->view = rp->core.view;
    p->peer = rp->core.peer.incarnation;
    p->on = true;
    p->since = rp->now;
    p->alive = 0;
    p->heard = oldest_heard(rp);
    p->came = all_that_came(rp);
    p->came_at = 0;
}

/* Standby: the primary does not announce by which way records come. */
static void look_what_came(struct rp_replicator *rp)
{
    struct rp_port *p = &rp->port;
    uint64_t came = all_that_came(rp);

    if (came > p->came)
        p->came_at = rp->now;
    p->came = came;
}

/* ---- primary: which way carries -------------------------------------------------------------------- */

/* Words come by all ports, and have come for a while. `moved`: the oldest last word is newer than a turn ago.
 */
static bool is_alive(struct rp_replicator *rp, bool moved)
{
    struct rp_port *p = &rp->port;
    uint64_t beat = rp->core.config.heartbeat_ms * FT_MS;

    if (moved && !p->alive)
        p->alive = rp->now;
    if (p->alive && rp->now > p->heard && rp->now - p->heard > GAP_BEATS * beat)
        p->alive = 0;
    return p->alive && rp->now - p->alive >= ALIVE_BEATS * beat;
}

/* What is closed at the standby, of what the port carries, leaves the log, as what was sent does. */
static void free_stable(struct rp_replicator *rp, unsigned l)
{
    struct ft_lane_shared *lane = rp_lane(rp, l);
    struct rp_sender *s = &rp->sender;
    const struct ft_record *r;
    uint64_t upto, there;

    if (FT_REPORT_GET(lane, carry_seen) != rp->port.carry) /* read first: the lane's report is older */
        return;
    upto = FT_PLANTED("port-frees-sent") ? lane->log.head : FT_REPORT_GET(lane, port_stable_at);
    while (lane->log.read < upto && (r = ft_ring_peek(&lane->log, &there))) {
        s->burst[l] = r->burst;
        s->seq[l] = r->seq + r->inputs;
        s->seq_of[l][r->burst % RP_SEQ_MEMORY] = s->seq[l];
        rp->schedule.packets += r->inputs;
        rp->shown.records_sent++;
        ft_ring_advance(&lane->log, r->size);
    }
    ft_ring_consume(&lane->log);
}

static void begin_carrying(struct rp_replicator *rp)
{
    struct rp_port *p = &rp->port;

    p->carry = ++p->carries;
    p->began = rp->now;
    for (unsigned l = 0; l < rp->lanes; l++) {
        p->stable[l] = 0;
        p->moved[l] = rp->now;
        FT_ORDER_SET(rp_lane(rp, l), carry_from, rp_lane(rp, l)->log.read);
        FT_ORDER_SET(rp_lane(rp, l), carry, p->carry);
    }
    rp->shown.port_switches++;
}

/* How long, in ns, nothing of what a lane's port carries may become closed. */
static uint64_t longest_silence(const struct rp_replicator *rp)
{
    const struct ft_core_config *config = &rp->core.config;
    uint64_t detect = config->detect_ms * FT_MS, slow = config->slow_ms * FT_MS / 2;

    return slow && slow < detect ? slow : detect;
}

/* False: of what the lane's port carries nothing has become closed for longest_silence(). */
static bool lane_moves(struct rp_replicator *rp, unsigned l)
{
    struct rp_port *p = &rp->port;
    struct ft_lane_shared *lane = rp_lane(rp, l);
    bool seen = FT_REPORT_GET(lane, carry_seen) == p->carry;
    uint64_t stable = seen ? FT_REPORT_GET(lane, port_stable) : 0, recorded = FT_REPORT_GET(lane, recorded);

    free_stable(rp, l);
    if (stable != p->stable[l] || (seen && stable >= recorded)) {
        p->stable[l] = stable;
        p->moved[l] = rp->now;
    }
    return rp->now - p->moved[l] < longest_silence(rp) || lane->log.read == lane->log.head;
}

static void carry_on(struct rp_replicator *rp)
{
    struct rp_port *p = &rp->port;
    bool moves = true, quiet = true;

    for (unsigned l = 0; l < rp->lanes; l++) {
        moves &= lane_moves(rp, l);
        quiet &= rp_lane(rp, l)->log.read == rp_lane(rp, l)->log.head;
    }
    if (!moves) {
        p->again = rp->now + RP_PORT_AGAIN_NS;
        p->alive = 0;
        rp->shown.port_losses++;
        end_carrying(rp);
    } else if (quiet && rp->now - rp->schedule.moved >= RP_PORT_QUIET_NS &&
               rp->now - p->began >= RP_PORT_QUIET_NS) {
        end_carrying(rp);
    }
}

/* What is before belongs to another stream. */
static bool all_in_stream(struct rp_replicator *rp)
{
    for (unsigned l = 0; l < rp->lanes; l++)
        if (rp_lane(rp, l)->log.read < rp->sender.start[l])
            return false;
    return true;
}

void rp_port_turn(struct rp_replicator *rp)
{
    struct rp_port *p = &rp->port;
    uint64_t before;

    if (!rp->config.by_port || !rp->link)
        return;
    if (!find_secret(rp) || !counts(rp)) {
        rp_port_off(rp);
        return;
    }
    if (p->on && (p->view != rp->core.view || p->peer != rp->core.peer.incarnation))
        rp_port_off(rp);
    if (!p->on)
        begin(rp);
    before = p->heard;
    p->heard = oldest_heard(rp);
    if (!ft_core_primary(&rp->core)) {
        look_what_came(rp);
        return;
    }
    bool alive = is_alive(rp, p->heard != before);

    if (p->carry)
        carry_on(rp);
    else if (alive && rp->now >= p->again && rp_is_dense(rp) && all_in_stream(rp))
        begin_carrying(rp);
}
