/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane takes from its ports: the frames of a burst, put into lane->burst.packets; heartbeats, answers
 * of tracked gateways and claims of the chain's addresses, which are no input; frames that wait for room, and
 * later fragments that wait for their first one (io.h). All of it is the lane's own, written by its thread
 * alone. With several lanes, fragments that wait for their first one are kept by who deals frames out.
 */
#include "lane/parts.h"
#include "nflib/net/packet.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/clock.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEATS_MAX 4           /* heartbeats of a port that are looked at in a heartbeat's time */
#define CLAIM_NS       10000000ull /* between two answers to another's claim */

/* After a turn longer than a heartbeat's time, what waited is looked at beside those, as far as one turn
 * takes it. */
static bool too_many_heartbeats(struct nd_lane *lane, unsigned port)
{
    uint64_t time = lane->setup.heartbeat_ms * 1000000ull;
    uint8_t *heard = &lane->timers.heartbeats_heard[port];

    if (lane->now >= lane->timers.heartbeats_until) {
        lane->timers.heartbeats_until = lane->now + time;
        memset(lane->timers.heartbeats_heard, 0, sizeof(lane->timers.heartbeats_heard));
    }
    if (lane->now - lane->before >= time)
        return false;
    *heard += *heard < UINT8_MAX;
    return *heard > HEARTBEATS_MAX;
}

/*
 * When a heartbeat came. The lane may have had no processor since the turn before, and the frame waited in
 * the port's queue meanwhile. It came after that turn, and after the heartbeat before it by the time between
 * both on its sender's clock (`sent`). If a heartbeat counted from when it is read, the end of a primary that
 * fell silent while this lane did not run would be taken for later, and the standby's right would end first.
 */
static uint64_t arrival(const struct nd_lane *lane, uint64_t sent, uint64_t now)
{
    uint64_t since = sent - FT_REPORT_GET(lane->shared, heartbeat_sent);
    uint64_t last = FT_REPORT_GET(lane->shared, heartbeat_ns);
    uint64_t came = since < now - last ? last + since : now;

    return came < lane->before ? lane->before : came;
}

/* One that is no newer than the last was recorded and sent again. */
static void note_port(struct nd_lane *lane, unsigned port, uint64_t from, const uint8_t mac[6],
                      const struct ft_datagram *heartbeat)
{
    struct nd_port_heard *heard = &lane->heard[port][heartbeat->port != port];
    uint64_t faults;

    if (atomic_load(&heard->from) == from && atomic_load(&heard->sent) >= heartbeat->sent)
        return;
    memcpy(&faults, heartbeat->fault, sizeof(faults));
    if (heartbeat->port == port)
        memcpy(lane->peer_mac[port], mac, sizeof(lane->peer_mac[port]));
    atomic_store(&heard->from, from);
    atomic_store(&heard->sent, heartbeat->sent);
    atomic_store(&heard->port, heartbeat->port);
    atomic_store(&heard->mtu, heartbeat->mtu);
    atomic_store(&heard->faults, faults);
    atomic_store(&heard->came, ft_now());
}

/*
 * A frame of a heartbeat's type: of the peer, of this node, or of anybody who reaches the port. To look at
 * one costs a microsecond, so of more than HEARTBEATS_MAX on a port in a heartbeat's time the rest is dropped
 * unseen (too_many_heartbeats). One that is no newer than the last was recorded and sent again, or came by
 * another port as well.
 */
static void receive_heartbeat(struct nd_lane *lane, const struct nd_frame *f, unsigned port)
{
    struct ft_datagram_key peer = {
        .incarnation = FT_ORDER_GET(lane->shared, peer_incarnation),
        .secret = {FT_ORDER_GET(lane->shared, peer_secret[0]), FT_ORDER_GET(lane->shared, peer_secret[1])}};
    struct ft_datagram heartbeat;
    uint64_t came;

    for (unsigned own = 0; own < lane->io->ports; own++)
        if (memcmp(f->data + 6, lane->io->own[own], 6) == 0)
            return;
    if (!peer.incarnation)
        return;
    if (too_many_heartbeats(lane, port) || nd_heartbeat_read(f->data, f->len, &peer, &heartbeat) != 0) {
        FT_COUNTER_ADD(lane->shared, heartbeats_refused, 1);
        return;
    }
    note_port(lane, port, peer.incarnation, f->data + 6, &heartbeat);
    came = ft_now();
    if (FT_REPORT_GET(lane->shared, heartbeat_from) == peer.incarnation) {
        if (FT_REPORT_GET(lane->shared, heartbeat_sent) >= heartbeat.sent)
            return;
        came = arrival(lane, heartbeat.sent, came);
    }
    FT_REPORT_SET(lane->shared, heartbeat_from, peer.incarnation);
    FT_REPORT_SET(lane->shared, heartbeat_sent, heartbeat.sent);
    FT_REPORT_SET(lane->shared, heartbeat_view, heartbeat.view);
    FT_REPORT_SET(lane->shared, heartbeat_ns, came);
}

/* True when the frame is a heartbeat, and no input. */
static inline __attribute__((always_inline)) bool take_heartbeat(struct nd_lane *lane,
                                                                 const struct nd_frame *f)
{
    if (ft_likely(f->len < ND_HEARTBEAT_HEAD || nf_get16(f->data + 12) != htobe16(ND_HEARTBEAT_TYPE)))
        return false;
    receive_heartbeat(lane, f, f->port);
    return true;
}

/*
 * True for a frame from the chain's own MAC, and no input: the other node claims the addresses. While this
 * node is primary that is a stale one, and it claims them again; during a handover it is what it asked for.
 */
static inline __attribute__((always_inline)) bool take_claim(struct nd_lane *lane, const struct nd_frame *f,
                                                             const struct nf_l3_config *l3)
{
    if (!l3 || memcmp(f->data + 6, l3->port[f->port].mac, 6) != 0)
        return false;
    FT_COUNTER_ADD(lane->shared, claims, 1);
    if (lane->doing == FT_LANE_LIVE && lane->now - lane->timers.claimed_at > CLAIM_NS) {
        lane->timers.claimed_at = lane->now;
        nd_lane_announce(lane, true);
    }
    return true;
}

/* True for the answer to a question of this node's to a gateway that it tracks, and no input. */
static bool take_answer(struct nd_lane *lane, const struct nd_frame *f)
{
    unsigned port = f->port;
    uint32_t address;

    if (ft_likely(f->len < ND_ARP_LEN || nf_get16(f->data + 12) != htobe16(ND_ARP_TYPE)) ||
        !nd_gateway_read(f->data, f->len, lane->io->own[port], &address))
        return false;
    for (unsigned i = 0; i < lane->setup.gateways->count; i++) {
        struct nd_gateway *g = &lane->setup.gateways->of[i];

        if (g->port == port && g->address == address)
            atomic_store_explicit(&g->answered, ft_now(), memory_order_release);
    }
    return true;
}

/* Once for each packet, so never a call. */
static inline __attribute__((always_inline)) bool takes_frame(struct nd_lane *lane, const struct nd_frame *f,
                                                              const struct nf_l3_config *l3)
{
    return take_heartbeat(lane, f) || take_claim(lane, f, l3) ||
           ft_unlikely(lane->setup.gateways != NULL && take_answer(lane, f));
}

/* ---- frames that wait ---------------------------------------------------------------------------- */

int nd_waiting_make(struct nd_waiting *waiting, uint32_t buffers)
{
    *waiting = (struct nd_waiting){.room = buffers / 4};
    waiting->frames = calloc(waiting->room + 1, sizeof(*waiting->frames));
    return waiting->frames ? 0 : FT_ENOMEM;
}

void nd_waiting_free(struct nd_waiting *waiting)
{
    free(waiting->frames);
    *waiting = (struct nd_waiting){.room = 0};
}

static void put_waiting(struct nd_lane *lane, const struct nd_frame *frame)
{
    struct nd_waiting *waiting = &lane->waiting;

    if (waiting->count == waiting->room) {
        lane->io->drop(lane->io->ctx, frame->owner);
        FT_COUNTER_ADD(lane->shared, waiting_full, 1);
        return;
    }
    waiting->frames[(waiting->first + waiting->count++) % waiting->room] = *frame;
}

void nd_lane_put_back(struct nd_lane *lane, uint32_t from)
{
    struct nd_waiting *waiting = &lane->waiting;

    while (lane->burst.n > from) {
        const struct nf_packet *p = &lane->burst.packets[--lane->burst.n];

        if (waiting->count == waiting->room) {
            lane->io->drop(lane->io->ctx, p->owner);
            FT_COUNTER_ADD(lane->shared, waiting_full, 1);
            continue;
        }
        waiting->first = (waiting->first + waiting->room - 1) % waiting->room;
        waiting->frames[waiting->first] =
            (struct nd_frame){.data = p->data, .len = p->len, .port = p->in_port, .owner = p->owner};
        waiting->count++;
    }
}

bool nd_lane_listen(struct nd_lane *lane)
{
    struct nd_frame in[NF_BURST_MAX];
    bool more = false;

    for (unsigned device = 0; lane->io->receive && device < lane->io->devices; device++) {
        uint32_t n = lane->io->receive(lane->io->ctx, lane->index, device, in, NF_BURST_MAX);

        for (uint32_t i = 0; i < n; i++) {
            if (!take_heartbeat(lane, &in[i]) && lane->setup.gateways)
                take_answer(lane, &in[i]);
            lane->io->drop(lane->io->ctx, in[i].owner);
        }
        more |= n == NF_BURST_MAX;
    }
    return more;
}

/* ---- fragments ----------------------------------------------------------------------------------- */

static uint64_t *set_of(struct nd_fragments *fragments, uint64_t datagram)
{
    return fragments->passed[(datagram >> 32) % ND_FRAGMENTS_SETS];
}

static bool has_passed(struct nd_fragments *fragments, uint64_t datagram)
{
    const uint64_t *set = set_of(fragments, datagram);
    bool passed = false;

    for (unsigned way = 0; way < ND_FRAGMENTS_WAYS; way++)
        passed |= set[way] == datagram;
    return passed;
}

static void note_passed(struct nd_fragments *fragments, uint64_t datagram)
{
    uint64_t *set = set_of(fragments, datagram);

    if (has_passed(fragments, datagram))
        return;
    memmove(&set[1], &set[0], (ND_FRAGMENTS_WAYS - 1) * sizeof(set[0]));
    set[0] = datagram;
}

static struct nd_fragment *at(struct nd_fragments *fragments, uint32_t number)
{
    return &fragments->waiting[(fragments->first + number) % ND_FRAGMENTS_WAIT];
}

/* Those of the datagram go on, the others close up. */
static void take_waiting(struct nd_fragments *fragments, uint64_t datagram, struct nd_fragments_out *out)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < fragments->count; i++) {
        const struct nd_fragment *waiting = at(fragments, i);

        if (waiting->datagram == datagram)
            out->frames[out->n++] = waiting->frame;
        else
            *at(fragments, left++) = *waiting;
    }
    fragments->count = left;
}

void nd_fragments_take(struct nd_fragments *fragments, const struct nd_frame *frame,
                       const struct nf_packet *p, uint64_t now, struct nd_fragments_out *out)
{
    uint64_t datagram = nf_datagram_hash(p);

    out->n = out->without_first = 0;
    if (!(p->flags & NF_P_LATER)) {
        out->frames[out->n++] = *frame;
        note_passed(fragments, datagram);
        take_waiting(fragments, datagram, out);
        return;
    }
    if (has_passed(fragments, datagram)) {
        out->frames[out->n++] = *frame;
        return;
    }
    if (fragments->count == ND_FRAGMENTS_WAIT)
        out->without_first = out->n = nd_fragments_over(fragments, UINT64_MAX, &out->frames[0]);
    *at(fragments, fragments->count++) =
        (struct nd_fragment){.frame = *frame, .datagram = datagram, .until = now + ND_FRAGMENTS_NS};
}

bool nd_fragments_over(struct nd_fragments *fragments, uint64_t now, struct nd_frame *out)
{
    if (!fragments->count || at(fragments, 0)->until > now)
        return false;
    *out = at(fragments, 0)->frame;
    fragments->first = (fragments->first + 1) % ND_FRAGMENTS_WAIT;
    fragments->count--;
    return true;
}

/*
 * The frame `f`, which may be a fragment, and those that it sets free: what goes on now, in order. Not with
 * several lanes, whose frames have been dealt out by now; and a lane that drains lets nothing wait.
 */
static void look_at_fragment(struct nd_lane *lane, const struct nd_frame *f, struct nd_fragments_out *out)
{
    struct nf_packet p = {.data = f->data, .len = f->len, .have = f->len, .in_port = f->port};

    out->frames[0] = *f;
    out->n = 1;
    if (lane->group->lanes > 1 || nd_lane_draining(lane))
        return;
    nf_packet_parse(&p);
    if (!(p.flags & NF_P_FRAGMENT))
        return;
    nd_fragments_take(&lane->fragments, f, &p, lane->now, out);
    FT_COUNTER_ADD(lane->shared, fragments_without_first, out->without_first);
}

/* True: *f goes on now, or what has taken its place; what goes on behind it waits for room. */
static __attribute__((noinline)) bool take_fragment(struct nd_lane *lane, struct nd_frame *f)
{
    struct nd_fragments_out out;

    look_at_fragment(lane, f, &out);
    for (uint32_t i = 1; i < out.n; i++)
        put_waiting(lane, &out.frames[i]);
    *f = out.frames[0];
    return out.n;
}

static void fragment_waits(struct nd_lane *lane, const struct nd_frame *f)
{
    struct nd_fragments_out out;

    look_at_fragment(lane, f, &out);
    for (uint32_t i = 0; i < out.n; i++)
        put_waiting(lane, &out.frames[i]);
}

/* Those go on whose time is over. */
static void end_fragments(struct nd_lane *lane)
{
    uint64_t now = nd_lane_draining(lane) ? FT_ALL : lane->now;
    struct nd_frame f;

    while (ft_unlikely(nd_fragments_over(&lane->fragments, now, &f))) {
        FT_COUNTER_ADD(lane->shared, fragments_without_first, 1);
        put_waiting(lane, &f);
    }
}

/* ---- other interfaces ----------------------------------------------------------------------------- */

/* False: the interface is gone, and so is the packet. */
static bool renumber(struct nd_lane *lane, uint8_t *port, void *packet, const uint8_t to[NF_PORTS_MAX])
{
    *port = *port < NF_PORTS_MAX ? to[*port] : NF_PORTS_MAX;
    if (*port == NF_PORTS_MAX)
        lane->io->drop(lane->io->ctx, packet);
    return *port != NF_PORTS_MAX;
}

static void renumber_inputs(struct nd_lane *lane, const uint8_t to[NF_PORTS_MAX])
{
    struct nd_waiting *waiting = &lane->waiting;
    struct nd_fragments all = lane->fragments;
    uint32_t n = lane->burst.n, left = waiting->count;
    struct nd_frame frame;

    for (; left && nd_waiting_take(waiting, &frame); left--)
        if (renumber(lane, &frame.port, frame.owner, to))
            put_waiting(lane, &frame);
    lane->fragments.count = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        struct nd_fragment *f = at(&all, i);

        if (renumber(lane, &f->frame.port, f->frame.owner, to))
            *at(&lane->fragments, lane->fragments.count++) = *f;
    }
    lane->burst.n = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = &lane->burst.packets[i];

        if (renumber(lane, &p->in_port, p->owner, to))
            lane->burst.packets[lane->burst.n++] = *p;
    }
}

void nd_lane_renumber(struct nd_lane *lane, const uint8_t to[NF_PORTS_MAX])
{
    struct ft_hold *hold = &lane->hold;
    uint64_t kept = hold->in;

    renumber_inputs(lane, to);
    for (uint64_t i = hold->in; i-- > hold->out;) {
        struct ft_held *held = ft_hold_slot(hold, i);
        uint8_t port = (uint8_t)held->port;

        if (renumber(lane, &port, held->packet, to)) {
            held->port = port;
            *ft_hold_slot(hold, --kept) = *held;
        }
    }
    hold->out = kept;
    for (unsigned i = 0; i < NF_PORTS_MAX * 2; i++)
        atomic_store(&lane->heard[i / 2][i % 2].came, 0);
}

/* ---- receiving ----------------------------------------------------------------------------------- */

/* In SOLO the lease has no end; a gate that is shut has none that runs. */
static bool may_release(const struct nd_lane *lane)
{
    return lane->now < FT_ORDER_GET(lane->shared, lease_until);
}

bool nd_lane_receive_to_wait(struct nd_lane *lane)
{
    const struct nd_io *io = lane->io;
    struct nd_frame in[NF_BURST_MAX];
    bool any = false;

    if (!io->receive || io->burst || may_release(lane))
        return false;
    for (unsigned device = 0; device < io->devices; device++) {
        uint32_t n = io->receive(io->ctx, lane->index, device, in, NF_BURST_MAX);

        for (uint32_t i = 0; i < n; i++) {
            if (takes_frame(lane, &in[i], lane->config->l3))
                io->drop(io->ctx, in[i].owner);
            else if (!nd_frame_is_usual(&in[i]) && nd_fragment_is_possible(&in[i]))
                fragment_waits(lane, &in[i]);
            else
                put_waiting(lane, &in[i]);
        }
        any |= n > 0;
    }
    return any;
}

/* What capture and the chain do not fill. */
static inline __attribute__((always_inline)) void fill_packet(struct nf_packet *p, const struct nd_frame *f,
                                                              const struct nd_io *io)
{
    p->data = f->data;
    p->len = f->len;
    p->have = f->len;
    p->in_port = f->port;
    p->side = io->side[f->port];
    p->parsed = 0;
    p->owner = f->owner;
}

static void add_packet(struct nd_lane *lane, const struct nd_frame *f)
{
    fill_packet(&lane->burst.packets[lane->burst.n++], f, lane->io);
}

/* False: it is no input, or a fragment that waits. */
static __attribute__((noinline)) bool take_unusual(struct nd_lane *lane, struct nd_frame *f)
{
    if (takes_frame(lane, f, lane->config->l3)) {
        lane->io->drop(lane->io->ctx, f->owner);
        return false;
    }
    return !nd_fragment_is_possible(f) || take_fragment(lane, f);
}

static void add_frames(struct nd_lane *lane, struct nd_frame in[], uint32_t n)
{
    const struct nf_l3_config *l3 = lane->config->l3;
    struct nf_packet *p = &lane->burst.packets[lane->burst.n];
    const struct nd_io *io = lane->io;

    for (struct nd_frame *f = in; f < in + n; f++) {
        if (ft_unlikely(!nd_frame_is_usual(f)) && !take_unusual(lane, f))
            continue;
        if (ft_unlikely(take_claim(lane, f, l3)))
            io->drop(io->ctx, f->owner);
        else
            fill_packet(p++, f, io);
    }
    lane->burst.n = (uint32_t)(p - lane->burst.packets);
}

static void add_waiting(struct nd_lane *lane)
{
    struct nd_frame first;

    while (lane->burst.n < NF_BURST_MAX && nd_waiting_take(&lane->waiting, &first))
        add_packet(lane, &first);
}

void nd_lane_receive(struct nd_lane *lane)
{
    struct nd_frame in[NF_BURST_MAX];
    unsigned devices = lane->io->devices;
    bool more = true;

    if (ft_unlikely(lane->fragments.count))
        end_fragments(lane);
    if (ft_unlikely(lane->waiting.count))
        add_waiting(lane);
    /* The first device may not starve the second when both are busy; when the others have little, it is asked
     * once more. */
    for (unsigned k = 0; k <= devices && lane->burst.n < NF_BURST_MAX; k++) {
        unsigned device = (lane->burst.next_device + k) % devices;
        uint32_t want = NF_BURST_MAX - lane->burst.n;
        uint32_t most = k == 0 && want > NF_BURST_MAX / 2 ? NF_BURST_MAX / 2 : want;
        uint32_t n = lane->io->receive(lane->io->ctx, lane->index, device, in, most);

        add_frames(lane, in, n);
        if (k == 0 && n < most) /* it has no more */
            more = false;
        if (k + 1 == devices && !more)
            break;
    }
    if (ft_unlikely(lane->waiting.count))
        add_waiting(lane);
    lane->burst.next_device++;
}

bool nd_lane_receive_burst(struct nd_lane *lane, uint64_t *time)
{
    struct nd_frame in[NF_BURST_MAX];
    uint32_t n = 0;

    nd_lane_listen(lane); /* heartbeats come beside the bursts */
    if (!lane->io->burst(lane->io->ctx, lane->index, nf_chain_state(lane->chain)->burst, in, &n, time))
        return false;
    for (uint32_t i = 0; i < n; i++)
        add_packet(lane, &in[i]);
    return true;
}
