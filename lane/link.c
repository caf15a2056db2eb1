/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's port to the peer's lane; see link.h. What is decided by numbers is in ftcore/queue/lanelink.c;
 * here are the seal, the log ring that is sent from, the ring that is stored in, and when.
 *
 * Live. A record leaves in the turn that made it; several go in one frame where the port took none before,
 * and one that is larger than a frame in pieces. Where a record begins in the log is remembered for
 * FT_LINK_WINDOW of them, so that it can be sent again from there; the replicator frees nothing of the log
 * that is not known to be stored. Times are those of the turn.
 *
 * Standby. What came is stored in `direct`, a ring of the lane's own, behind what the replicator brought: a
 * record that follows neither is not taken. Each lane adds what it stores to the group's closed set
 * (ftcore/order/closed.h), and computes it where no other lane does at the moment. Closed is stable
 * (docs/ARCHITECTURE.md, "A port of the lanes' own"), so it is acknowledged at once, before any of it is
 * replayed. A record that comes by both ways is the same one, and the lane replays it once.
 */
#include "lane/link.h"

#include "ftcore/base/check.h"
#include "ftcore/base/plant.h"
#include "ftcore/order/closed.h"
#include "ftcore/queue/lanelink.h"
#include "lane/parts.h"

#include <intel-ipsec-mb.h>
#include <stdlib.h>
#include <string.h>

#define LOOK       8u /* frames taken in one look */
#define BUSY_NS    1000000u
#define AWAKE_NS   300000000u /* longer than a port carries a stream without packets */
#define LAG_SAY    100u       /* us of lag that are reported again without being asked */
#define LAG_OLD_NS 50000000u  /* a report so old counts no more: the port may be dead */
#define SAY_NS     100000u    /* reports come no more often than this */
#define SECRET     4u         /* words of 64 bits */
#ifndef ND_LINK_EPOCH
#define ND_LINK_EPOCH 22u /* bits of the numbers that have one key: fewer frames than AES-GCM permits */
#endif

/* To all lanes at the other end: nobody need know an address. Locally administered, a group's. */
static const uint8_t everybody[6] = {0x03, 'u', 's', 'l', 'n', 'k'};

/* A key of one direction, and the numbers that it is for: those of the same number >> ND_LINK_EPOCH. */
struct sealing {
    _Alignas(64) struct gcm_key_data key;
    uint64_t epoch;
};

struct nd_link {
    const struct nd_link_port *wire;
    IMB_MGR *crypto;
    struct sealing to_seal, to_open, to_try; /* to_try: by the number of a frame that nobody has proven yet */
    struct gcm_context_data context;

    /* As the replicator published it last. */
    uint64_t generation; /* 0: the port does not count */
    uint64_t secret[SECRET];
    struct ft_link_head own, peer; /* number: not used */
    uint64_t carry;                /* serial number; 0: the connection carries the stream */

    struct ft_link_sender sender;
    struct ft_link_receiver receiver;
    uint64_t probe_at, came; /* when an empty frame is due; the last frame with something new, ns */

    /* Live. Where records begin in the log, by burst; `known` is the first of which that is not known. */
    uint64_t at[FT_LINK_WINDOW], known, known_at;
    uint64_t stable_at;      /* the first byte of the log that is not known to be stored */
    uint64_t lag_ns, lag_at; /* as the standby reported it, and when */
    uint32_t fill, most;     /* bytes of records in `frame`; room for them */
    uint64_t first;          /* its first burst */
    uint8_t *frame;          /* body and payload of the frame that gathers */
    uint8_t *piece;          /* an encoded record that fits no frame; standby: one that comes in pieces */

    /* Standby. */
    uint64_t stored; /* the last burst that the closed set has; what the link brought may be more */
    uint64_t took;   /* the last one of them that came by the port */
    uint64_t closed; /* the last one that was acknowledged as closed */
    uint64_t released;
    uint64_t scanned;       /* of `replay`: bytes before this are in the closed set, or were not to be */
    uint64_t mark, mark_ns; /* when `direct` had been filled up to there */
    uint64_t lag_us, said;  /* reported last, and when */
    uint8_t *opened;        /* body and payload of a frame */
};

int nd_link_make(struct nd_link **out, const struct nd_link_port *wire, struct ft_fault *fault)
{
    struct nd_link *link;
    IMB_ARCH arch;

    *out = NULL;
    if (wire->longest < FT_LINK_LEAST || wire->longest > FT_LINK_MOST)
        return ft_fail(fault, FT_EINVAL, "the link's port has frames of %u bytes, expected %u to %u",
                       wire->longest, FT_LINK_LEAST, FT_LINK_MOST);
    link = aligned_alloc(64, (sizeof(*link) + 63) & ~(size_t)63);
    if (!link)
        return ft_fail(fault, FT_ENOMEM, "no memory for the link's port");
    memset(link, 0, sizeof(*link));
    link->wire = wire;
    link->most = wire->longest - FT_LINK_OVERHEAD;
    link->crypto = alloc_mb_mgr(0);
    link->frame = malloc(FT_LINK_MOST);
    link->opened = malloc(FT_LINK_MOST);
    link->piece = malloc(FT_RECORD_MAX);
    if (!link->crypto || !link->frame || !link->opened || !link->piece) {
        nd_link_free(link);
        return ft_fail(fault, FT_ENOMEM, "no memory for the link's port");
    }
    init_mb_mgr_auto(link->crypto, &arch);
    *out = link;
    return 0;
}

void nd_link_free(struct nd_link *link)
{
    if (!link)
        return;
    free_mb_mgr(link->crypto);
    free(link->frame);
    free(link->opened);
    free(link->piece);
    free(link);
}

/* ---- what the replicator publishes --------------------------------------------------------------- */

static void forget_stream(struct nd_link *link)
{
    link->sender.next = link->sender.stored = link->sender.stable = link->sender.most = 0;
    link->carry = 0;
    link->fill = 0;
    link->lag_ns = 0;
    link->receiver.part = 0;
    link->receiver.missing = false;
}

/* HKDF-Expand with SHA-256 (RFC 5869, 2.3): its one block has both directions' keys of the lane, that of 0
 * first. */
static void derive_key(struct nd_link *link, struct sealing *to, uint8_t direction, uint64_t epoch)
{
    static const char label[] = "understudy lane";
    uint8_t block[128] = {0}, hash[32], *at = block + 64;

    memcpy(block, link->secret, sizeof(link->secret));
    for (unsigned i = 0; i < 64; i++)
        block[i] ^= 0x36; /* HMAC's inner hash */
    memcpy(at, label, sizeof(label) - 1);
    at += sizeof(label) - 1;
    *at++ = (uint8_t)link->own.lane;
    for (unsigned i = 0; i < 8; i++)
        *at++ = (uint8_t)(epoch >> 8 * i);
    *at++ = 1;
    IMB_SHA256(link->crypto, block, (uint64_t)(at - block), hash);
    for (unsigned i = 0; i < 64; i++)
        block[i] ^= 0x36 ^ 0x5c; /* the outer one */
    memcpy(block + 64, hash, sizeof(hash));
    IMB_SHA256(link->crypto, block, 64 + sizeof(hash), hash);
    IMB_AES128_GCM_PRE(link->crypto, hash + 16 * direction, &to->key);
    to->epoch = epoch;
}

static void take_secret(struct nd_link *link, const uint64_t secret[SECRET])
{
    if (memcmp(link->secret, secret, sizeof(link->secret)) == 0)
        return; /* its numbers go on */
    memcpy(link->secret, secret, sizeof(link->secret));
    derive_key(link, &link->to_seal, link->own.direction, 0);
    derive_key(link, &link->to_open, link->peer.direction, 0);
    link->to_try = link->to_open;
    link->sender = (struct ft_link_sender){.number = 0};
    link->receiver = (struct ft_link_receiver){.number = 0};
}

/* The words belong together where the generation is the same before and after. */
static void follow_port(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    struct ft_lane_shared *shared = lane->shared;
    uint64_t generation = FT_ORDER_GET(shared, port), secret[SECRET];
    struct ft_link_head own = {.lane = (uint16_t)lane->index}, peer = own;

    if (ft_likely(generation == link->generation))
        return;
    link->generation = 0;
    forget_stream(link);
    if (generation == 0)
        return;
    for (unsigned i = 0; i < SECRET; i++)
        secret[i] = FT_ORDER_GET(shared, port_secret[i]);
    own.view = peer.view = FT_ORDER_GET(shared, port_view);
    own.incarnation = FT_ORDER_GET(shared, port_own);
    peer.incarnation = FT_ORDER_GET(shared, port_peer);
    own.direction = FT_ORDER_GET(shared, port_connects) != 0;
    peer.direction = !own.direction;
    if (FT_ORDER_GET(shared, port) != generation)
        return; /* other words are on their way */
    link->own = own;
    link->peer = peer;
    take_secret(link, secret);
    link->generation = generation;
    link->probe_at = 0;
}

void nd_link_forget(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;

    if (!link)
        return;
    link->generation = 0;
    forget_stream(link);
    link->stored = link->released = link->took = link->closed = link->scanned = 0;
    link->mark = link->mark_ns = 0;
}

/* ---- frames -------------------------------------------------------------------------------------- */

/* Seals `link->frame` with so many bytes of payload. False: the port takes none now. */
static bool send_frame(struct nd_lane *lane, struct ft_link_body *body, uint32_t payload)
{
    struct nd_link *link = lane->link;
    uint8_t *to = link->wire->place(link->wire->ctx), nonce[FT_LINK_NONCE];
    struct ft_link_head head = link->own;
    uint32_t sealed = FT_LINK_BODY + payload;

    if (!to)
        return false;
    head.number = ++link->sender.number;
    if (ft_unlikely(head.number >> ND_LINK_EPOCH != link->to_seal.epoch))
        derive_key(link, &link->to_seal, head.direction, head.number >> ND_LINK_EPOCH);
    body->heard = link->receiver.number;
    ft_link_put_body(link->frame, body);
    ft_link_nonce(nonce, &head);
    memcpy(to, everybody, 6);
    memcpy(to + 6, link->wire->mac, 6);
    to[12] = FT_LINK_TYPE >> 8;
    to[13] = FT_LINK_TYPE & 0xff;
    to += FT_LINK_ETHERNET;
    ft_link_put_head(to, &head);
    IMB_AES128_GCM_ENC(link->crypto, &link->to_seal.key, &link->context, to + FT_LINK_HEAD, link->frame,
                       sealed, nonce, to, FT_LINK_HEAD, to + FT_LINK_HEAD + sealed, FT_LINK_TAG);
    link->wire->send(link->wire->ctx, FT_LINK_OVERHEAD + payload);
    FT_COUNTER_ADD(lane->shared, port_sent, 1);
    FT_COUNTER_ADD(lane->shared, port_log, payload);
    return true;
}

static bool same_tag(const uint8_t *a, const uint8_t *b)
{
    uint8_t other = 0;

    for (unsigned i = 0; i < FT_LINK_TAG; i++)
        other |= a[i] ^ b[i];
    return other == 0;
}

/* Of this port's own kind, and no echo of what this process sent: what an interface brings beside it, and the
 * kernel of what leaves, is nobody's affair. */
static bool is_counted(const struct nd_link *link, const uint8_t *frame, uint32_t len)
{
    struct ft_link_head head;

    if (len < FT_LINK_ETHERNET || frame[12] != FT_LINK_TYPE >> 8 || frame[13] != (FT_LINK_TYPE & 0xff))
        return false;
    return !ft_link_get_head(frame, len, &head) || head.incarnation != link->own.incarnation;
}

/* What is in the frame. False: it is not the peer's, not new, or contradicts itself. A frame whose tag does
 * not fit has cost as much as a genuine one, and ends the look: who floods the port gets one a look. */
static bool open_frame(struct nd_link *link, const uint8_t *frame, uint32_t len, unsigned *looks,
                       struct ft_link_body *body, uint32_t *payload)
{
    struct sealing *by = &link->to_open;
    uint8_t nonce[FT_LINK_NONCE], tag[FT_LINK_TAG];
    struct ft_link_head head;
    uint32_t sealed;

    if (!ft_link_get_head(frame, len, &head) || head.direction != link->peer.direction ||
        head.lane != link->peer.lane || head.incarnation != link->peer.incarnation ||
        (head.view != link->peer.view && !FT_PLANTED("port-last-view")) ||
        (!ft_link_is_new(&link->receiver, head.number) && !FT_PLANTED("port-twice")))
        return false;
    if (ft_unlikely(head.number >> ND_LINK_EPOCH != by->epoch)) {
        by = &link->to_try;
        if (head.number >> ND_LINK_EPOCH != by->epoch)
            derive_key(link, by, head.direction, head.number >> ND_LINK_EPOCH);
    }
    sealed = len - FT_LINK_ETHERNET - FT_LINK_HEAD - FT_LINK_TAG;
    frame += FT_LINK_ETHERNET;
    ft_link_nonce(nonce, &head);
    IMB_AES128_GCM_DEC(link->crypto, &by->key, &link->context, link->opened, frame + FT_LINK_HEAD, sealed,
                       nonce, frame, FT_LINK_HEAD, tag, FT_LINK_TAG);
    if (!same_tag(tag, frame + FT_LINK_HEAD + sealed)) {
        *looks = 0;
        return false;
    }
    if (by == &link->to_try)
        link->to_open = *by;
    link->receiver.number = head.number;
    *payload = sealed - FT_LINK_BODY;
    return ft_link_get_body(link->opened, *payload, body);
}

/* The next frame that is the peer's and new, opened. False: none came, or `*looks` are used up. */
static bool receive_frame(struct nd_lane *lane, unsigned *looks, struct ft_link_body *body, uint32_t *payload)
{
    struct nd_link *link = lane->link;
    const uint8_t *frame;
    uint32_t len;

    while (*looks && (frame = link->wire->receive(link->wire->ctx, &len))) {
        --*looks;
        if (open_frame(link, frame, len, looks, body, payload))
            return true;
        if (is_counted(link, frame, len))
            FT_COUNTER_ADD(lane->shared, port_refused, 1);
    }
    return false;
}

/* ---- live ---------------------------------------------------------------------------------------- */

static const struct ft_record *log_at(const struct nd_lane *lane, uint64_t at)
{
    const struct ft_ring *log = &lane->shared->log;

    return (const void *)(log->data + (at & (log->capacity - 1)));
}

static uint64_t log_head(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed);
}

/* The port carries from here on, or not any more. */
static void follow_carry(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    uint64_t carry = link->generation ? FT_ORDER_GET(lane->shared, carry) : 0, from, burst;

    if (ft_likely(carry == link->carry))
        return;
    link->carry = carry;
    link->fill = 0;
    link->sender.next = 0;
    if (carry == 0)
        return;
    from = FT_ORDER_GET(lane->shared, carry_from);
    burst = from < log_head(lane) ? log_at(lane, from)->burst : nf_chain_state(lane->chain)->burst + 1;
    ft_link_begin(&link->sender, burst - 1, lane->now);
    link->known = burst;
    link->known_at = link->stable_at = from;
    link->lag_ns = 0;
    FT_REPORT_SET(lane->shared, port_stable, burst - 1);
    FT_REPORT_SET(lane->shared, port_stable_at, from);
    FT_REPORT_SET(lane->shared, carry_seen, carry);
}

/* Where that burst's record begins; it is in the window. */
static uint64_t place_of(struct nd_lane *lane, uint64_t burst)
{
    struct nd_link *link = lane->link;
    const struct ft_record *r;

    while (link->known <= burst && link->known_at < log_head(lane)) {
        r = log_at(lane, link->known_at);
        FT_CHECK(r->burst == link->known, "burst %lu in the log, expected %lu", r->burst, link->known);
        link->at[link->known++ % FT_LINK_WINDOW] = link->known_at;
        link->known_at += r->size;
    }
    return burst < link->known ? link->at[burst % FT_LINK_WINDOW] : link->known_at;
}

static bool flush(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    struct ft_link_body body = {.burst = link->first};

    if (link->fill == 0 || !send_frame(lane, &body, link->fill))
        return false;
    link->fill = 0;
    return true;
}

/* Of a record that fits no frame. What the port does not take is lost, and sent again as such. */
static void send_pieces(struct nd_lane *lane, const struct ft_record *r, unsigned version)
{
    struct nd_link *link = lane->link;
    long whole = ft_record_encode(r, version, false, link->piece, FT_RECORD_MAX);
    struct ft_link_body body = {.burst = r->burst, .whole = (uint32_t)whole};

    FT_CHECK(whole > 0, "burst %lu cannot be encoded: %s", r->burst, ft_error_name((int)whole));
    for (uint32_t n; body.offset < body.whole; body.offset += n) {
        n = body.whole - body.offset < link->most ? body.whole - body.offset : link->most;
        memcpy(link->frame + FT_LINK_BODY, link->piece + body.offset, n);
        if (!send_frame(lane, &body, n))
            return;
    }
}

/* Puts the record into the frame, which leaves before where it does not fit. False: the port takes no more.
 */
static bool send_record(struct nd_lane *lane, const struct ft_record *r)
{
    struct nd_link *link = lane->link;
    unsigned version = (unsigned)FT_ORDER_GET(lane->shared, peer_version);
    size_t bound = ft_record_bound(r);

    if (link->fill + bound > link->most && link->fill && !flush(lane))
        return false;
    if (bound > link->most) {
        send_pieces(lane, r, version);
        ft_link_sent(&link->sender, r->burst, lane->now);
        return true;
    }
    long n =
        ft_record_encode(r, version, false, link->frame + FT_LINK_BODY + link->fill, link->most - link->fill);

    FT_CHECK(n > 0, "burst %lu cannot be encoded: %s", r->burst, ft_error_name((int)n));
    if (link->fill == 0)
        link->first = r->burst;
    link->fill += (uint32_t)n;
    ft_link_sent(&link->sender, r->burst, lane->now);
    return true;
}

static bool send_records(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    struct ft_link_sender *s = &link->sender;
    uint64_t head = log_head(lane), at;
    bool any = false;

    if (ft_link_late(s, lane->now))
        link->fill = 0;
    while (ft_link_may_send(s) && (at = place_of(lane, s->next)) < head) {
        const struct ft_record *r = log_at(lane, at);

        FT_CHECK(at >= atomic_load_explicit(&lane->shared->log.tail, memory_order_acquire) ||
                     FT_ORDER_GET(lane->shared, carry) != link->carry,
                 "burst %lu is to be sent from what was freed", s->next);
        if (at + r->size - link->stable_at > s->room || !send_record(lane, r))
            break;
        any = true;
    }
    return flush(lane) || any;
}

/* What is closed at the standby needs no place in the log. */
static void note_stable(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;

    if (!link->carry)
        return;
    link->stable_at = place_of(lane, link->sender.closed + 1);
    FT_REPORT_SET(lane->shared, port_stable_at, link->stable_at);
    FT_REPORT_SET(lane->shared, port_stable, link->sender.closed);
}

static bool receive_acks(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    uint64_t last = FT_REPORT_GET(lane->shared, recorded), again = link->sender.again;
    uint32_t payload;
    struct ft_link_body body;
    unsigned looks = LOOK;
    bool moved = false, heard = false;

    while (receive_frame(lane, &looks, &body, &payload)) {
        if (payload) /* who is primary takes no records */
            continue;
        enum ft_link_said said = ft_link_take_ack(&link->sender, &body, last, lane->now);

        if (said == FT_LINK_LIES) {
            FT_COUNTER_ADD(lane->shared, port_refused, 1);
            continue;
        }
        heard = true;
        moved |= said == FT_LINK_MOVED;
        link->lag_ns = body.lag_us * 1000ull;
        link->lag_at = lane->now;
    }
    if (link->sender.again != again) {
        link->fill = 0;
        FT_COUNTER_ADD(lane->shared, port_again, 1);
    }
    if (heard)
        FT_REPORT_SET(lane->shared, port_heard, lane->now);
    if (moved)
        note_stable(lane);
    if (moved)
        link->came = lane->now;
    return moved;
}

bool nd_link_turn(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    struct ft_link_body empty = {.burst = 0};
    bool any;

    uint32_t bytes;

    follow_port(lane);
    if (!link->generation) { /* what comes is nobody's */
        link->wire->receive(link->wire->ctx, &bytes);
        return false;
    }
    follow_carry(lane);
    any = link->carry && send_records(lane);
    if (lane->now >= link->probe_at && link->fill == 0 && send_frame(lane, &empty, 0))
        link->probe_at = lane->now + lane->setup.heartbeat_ms * 1000000ull;
    return receive_acks(lane) || any;
}

/* ---- standby ------------------------------------------------------------------------------------- */

/* Bursts up to here are held, whoever brought them. */
static uint64_t stored_to(const struct nd_lane *lane)
{
    uint64_t closed = FT_ORDER_GET(lane->shared, closed_to), stored = lane->link->stored;

    return closed > stored ? closed : stored;
}

/* The record follows what is held: the closed set has it now. 0, or why it is not taken. */
static int add_to_closed(struct nd_lane *lane, const struct ft_record *r)
{
    struct nd_link *link = lane->link;
    struct ft_closed *set = lane->group->by_port;
    int error;

    if (link->stored < r->burst - 1) { /* the link brought what is before, and no more accesses than it has */
        if (r->access - 1 > FT_ORDER_GET(lane->shared, closed_access))
            return FT_EORDER;
        ft_closed_advance(set, lane->index, r->burst - 1, r->access - 1);
    }
    error = ft_closed_add(set, r);
    if (!error)
        link->stored = r->burst;
    return error;
}

/* What the link has brought may lack, to be closed, what came by other lanes' ports, and they it: so it
 * belongs to the same set. */
static void add_from_connection(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    struct ft_ring *ring = &lane->shared->replay;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

    if (link->scanned < ring->read)
        link->scanned = ring->read;
    while (link->scanned < head) {
        const struct ft_record *r = (const void *)(ring->data + (link->scanned & (ring->capacity - 1)));

        if (r->burst == stored_to(lane) + 1 && add_to_closed(lane, r))
            return;
        link->scanned += FT_ALIGN8(r->size);
    }
}

/* An encoded record. Bytes that it took; 0: it is not taken. */
static uint32_t store_record(struct nd_lane *lane, const uint8_t *in, uint32_t len)
{
    struct nd_link *link = lane->link;
    struct ft_ring *ring = &lane->shared->direct;
    struct ft_opened opened;
    struct ft_fault fault;
    struct ft_record *room;
    long used = ft_record_open(in, len, &opened, &fault);
    int error = FT_EFULL;

    if (used <= 0 || opened.numbers.lane != lane->index) {
        FT_COUNTER_ADD(lane->shared, port_refused, 1);
        return 0;
    }
    switch (ft_link_take(&link->receiver, opened.numbers.burst, stored_to(lane))) {
    case FT_LINK_HAD:
        return (uint32_t)used;
    case FT_LINK_GAP:
        return 0;
    case FT_LINK_TAKE:
        break;
    }
    room = ft_ring_reserve(ring, opened.numbers.size);
    if (room && (error = ft_record_read(&opened, room, &fault)) == 0)
        error = add_to_closed(lane, room);
    if (error == FT_EFULL) /* it is to be sent again */
        link->receiver.missing = true;
    else if (error)
        FT_COUNTER_ADD(lane->shared, port_refused, 1);
    if (error)
        return 0;
    ft_ring_publish(ring, room->size);
    link->released = room->released;
    link->took = link->stored;
    return (uint32_t)used;
}

static void store_piece(struct nd_lane *lane, const struct ft_link_body *body, uint32_t payload)
{
    struct ft_link_receiver *r = &lane->link->receiver;

    if (ft_link_take_piece(r, body, payload, stored_to(lane)) != FT_LINK_TAKE)
        return;
    memcpy(lane->link->piece + r->have - payload, lane->link->opened + FT_LINK_BODY, payload);
    if (r->have == r->all && store_record(lane, lane->link->piece, r->all) == 0)
        r->part = 0;
}

static void store_payload(struct nd_lane *lane, const struct ft_link_body *body, uint32_t payload)
{
    const uint8_t *in = lane->link->opened + FT_LINK_BODY;
    uint32_t used;

    if (body->whole) {
        store_piece(lane, body, payload);
        return;
    }
    for (uint32_t at = 0; at < payload; at += used)
        if ((used = store_record(lane, in + at, payload - at)) == 0)
            return;
}

/* For how long the oldest record that came by the port has been waiting. */
static uint64_t lag_us(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    struct ft_ring *ring = &lane->shared->direct;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (ring->read >= link->mark) { /* what was there then is replayed */
        link->mark = head;
        link->mark_ns = lane->now;
    }
    return ring->read == head ? 0 : (lane->now - link->mark_ns) / 1000;
}

/* Not while lanes come to a stop point; and what another lane is computing may lack what is new here: then it
 * is tried again in the next look. */
static void compute_closed(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;
    struct ft_known known[FT_LANES_MAX];

    if (!ft_closed_claim(group->by_port))
        return;
    if (FT_REPORT_GET(group->lane[0].shared, stop_point) == 0) {
        for (unsigned l = 0; l < group->lanes; l++) {
            const struct ft_lane_shared *of = group->lane[l].shared;

            known[l].burst = FT_ORDER_GET(of, closed_to); /* first: its accesses are there by then */
            known[l].access = FT_PLANTED("port-drops-need") ? FT_ALL : FT_ORDER_GET(of, closed_access);
        }
        ft_closed_compute(group->by_port, known);
    }
    ft_closed_release(group->by_port);
}

static void say_stored(struct nd_lane *lane, uint64_t lag)
{
    struct nd_link *link = lane->link;
    bool early = FT_PLANTED("port-acks-unstored") && link->receiver.missing;
    uint64_t closed = nd_lane_replays_to(lane);
    struct ft_link_body body = {.stored = stored_to(lane) + early,
                                .closed = closed + early,
                                .room = ft_ring_room(&lane->shared->direct),
                                .lag_us = (uint32_t)lag,
                                .missing = link->receiver.missing};

    if (!send_frame(lane, &body, 0))
        return;
    link->receiver.missing = false;
    link->closed = closed;
    link->lag_us = lag;
    link->said = lane->now;
}

bool nd_link_look(struct nd_lane *lane)
{
    struct nd_link *link = lane->link;
    uint64_t before = link->took, lag;
    struct ft_link_body body;
    uint32_t payload;
    unsigned looks = LOOK;
    bool came = false, closes;

    follow_port(lane);
    if (!link->generation || lane->doing != FT_LANE_REPLAY || nd_lane_replay_aborted(lane)) {
        link->wire->receive(link->wire->ctx, &payload); /* what comes is nobody's */
        return false;
    }
    if (lane->group->lanes > 1)
        add_from_connection(lane);
    while (receive_frame(lane, &looks, &body, &payload)) {
        came = true;
        if (payload)
            store_payload(lane, &body, payload);
    }
    if (came)
        FT_REPORT_SET(lane->shared, port_heard, lane->now);
    if (link->stored > nd_link_closed(lane))
        compute_closed(lane);
    closes = link->took > link->closed && nd_link_closed(lane) > link->closed;
    if (link->took != before || closes)
        link->came = lane->now;
    lag = lag_us(lane);
    if (came || closes || (link->lag_us >= LAG_SAY && lane->now - link->said >= SAY_NS))
        say_stored(lane, lag);
    return came || closes;
}

/* ---- what others ask ----------------------------------------------------------------------------- */

uint64_t nd_link_stable(const struct nd_lane *lane)
{
    return lane->link ? lane->link->sender.stable : 0;
}

uint64_t nd_link_closed(const struct nd_lane *lane)
{
    return lane->link ? ft_closed_burst(lane->group->by_port, lane->index) : 0;
}

void nd_link_shut(struct nd_lane *lane)
{
    if (lane->link)
        ft_closed_shut(lane->group->by_port);
}

uint64_t nd_link_released(const struct nd_lane *lane)
{
    return lane->link ? lane->link->released : 0;
}

bool nd_link_carries(const struct nd_lane *lane)
{
    return lane->link && lane->link->carry;
}

uint64_t nd_link_lag(const struct nd_lane *lane)
{
    return lane->now - lane->link->lag_at < LAG_OLD_NS ? lane->link->lag_ns : 0;
}

bool nd_link_is_busy(const struct nd_lane *lane)
{
    return lane->link && lane->link->generation && lane->now - lane->link->came < BUSY_NS;
}

bool nd_link_was_busy(const struct nd_lane *lane)
{
    return lane->link && lane->link->generation && lane->now - lane->link->came < AWAKE_NS;
}
