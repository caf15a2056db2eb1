/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver: LOG messages with records of several lanes, through the real message decoder, into the real
 * closed set and replay rings. The input says, record by record, what numbers they have; most fit, so that
 * sets close, some do not. After each message what may be replayed is compared with a closed set computed the
 * simple way: start from all that is held, take bursts away until nothing changes.
 */
#include "ftcore/record.h"
#include "replicator/parts.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define LANES_MOST 4u
#define KEPT       256u
#define RING       (2u << 20)

/* What was taken in so far, as the test understands it. */
struct held {
    uint64_t access, accesses; /* last access after it */
    unsigned edges;
    struct ft_edge edge[4];
};
static struct rp_replicator *rp;
static struct ft_lane *lanes;
static struct held held[LANES_MOST][KEPT];
static unsigned count[LANES_MOST];
static struct ft_message begin;

static uint8_t wire[1u << 16], frame[(1u << 16) + 2048], *bulk;

static uint64_t reach(unsigned lane, unsigned n)
{
    return n ? held[lane][n - 1].access : begin.access[lane];
}

/* The simple way. */
static void closed_set(unsigned n[])
{
    bool again = true;

    for (unsigned l = 0; l < rp->lanes; l++)
        n[l] = count[l];
    while (again) {
        again = false;
        for (unsigned l = 0; l < rp->lanes; l++)
            for (unsigned b = 0; b < n[l]; b++)
                for (unsigned e = 0; e < held[l][b].edges; e++) {
                    const struct ft_edge *edge = &held[l][b].edge[e];

                    if (reach(edge->lane, n[edge->lane]) >= edge->access)
                        continue;
                    n[l] = b;
                    again = true;
                    break;
                }
    }
}

static void look(void)
{
    unsigned n[LANES_MOST];

    closed_set(n);
    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t to = atomic_load(&lanes[l].closed_to);

        FUZZ_MUST(to == begin.burst[l] + n[l], "lane %u may replay to %lu, expected %lu", l, to,
                  begin.burst[l] + n[l]);
    }
}

/* Every record of the rings, in order, whole, as its decoder left it. */
static void look_at_rings(void)
{
    struct ft_fault fault;

    for (unsigned l = 0; l < rp->lanes; l++) {
        const struct ft_record *r;
        uint64_t there, burst = begin.burst[l];

        while ((r = ft_ring_peek(&lanes[l].replay, &there))) {
            FUZZ_MUST(there >= r->size && ft_record_check(r, r->size, &fault) == 0, "a bad record was kept");
            FUZZ_MUST(r->lane == l && r->burst == ++burst, "burst %lu of lane %u in the ring of lane %u",
                      r->burst, r->lane, l);
            ft_ring_advance(&lanes[l].replay, r->size);
        }
        FUZZ_MUST(burst == begin.burst[l] + count[l], "lane %u: the ring ends at %lu", l, burst);
        ft_ring_consume(&lanes[l].replay);
    }
}

/* One record as the input wants it; appended to the bulk. False: no room for more. */
static bool make_record(struct fuzz_input *in, size_t *len, struct ft_record *out, struct ft_edge edges[])
{
    static _Alignas(8) uint8_t room[1024];
    struct ft_record *r = (struct ft_record *)room;
    uint8_t how = fuzz_u8(in);
    unsigned lane = how & 3, known = lane < rp->lanes ? count[lane] : 0;
    uint64_t last = lane < rp->lanes ? reach(lane, known) : 0;
    unsigned want = how >> 2 & 3;

    memset(room, 0, sizeof(room));
    *r = (struct ft_record){.lane = (uint16_t)lane, .clock = 1, .time = fuzz_u8(in)};
    r->burst = lane < rp->lanes ? begin.burst[lane] + known + 1 : 1;
    r->access = last + 1;
    if (how & 0x80) /* not the next one */
        r->burst = r->burst + (uint64_t)(int8_t)fuzz_u8(in);
    if (r->burst == 0)
        r->burst = 1;
    if (how & 0x40)
        r->access = fuzz_u64(in);
    r->accesses = fuzz_u8(in);
    if (r->access > UINT64_MAX - r->accesses)
        r->accesses = 0;
    struct ft_edge *edge = (struct ft_edge *)(room + ft_record_edges_at(r));
    uint64_t own = r->access;

    for (unsigned i = 0; i < want && own < r->access + r->accesses; i++) {
        unsigned of = fuzz_u8(in) & 3;
        uint64_t access = of < rp->lanes ? reach(of, count[of]) + (uint64_t)(int8_t)fuzz_u8(in) : 1;

        if (access == 0 || of == lane)
            continue;
        edge[r->edges] = edges[r->edges] =
            (struct ft_edge){.own = own++, .access = access, .lane = (uint16_t)of};
        r->edges++;
    }
    r->size = (uint32_t)ft_record_size(r);
    struct ft_fault fault;

    if (ft_record_check(r, r->size, &fault) != 0)
        return false; /* what no encoder takes; the decoder has a target of its own */
    long n = ft_record_encode(r, wire + *len, sizeof(wire) - *len);

    if (n < 0)
        return false;
    *len += (size_t)n;
    *out = *r;
    return true;
}

/* What the product must say about it. */
static bool fits(const struct ft_record *r, const struct ft_edge edges[])
{
    if (r->lane >= rp->lanes || r->burst != begin.burst[r->lane] + count[r->lane] + 1)
        return false;
    if (r->accesses && r->access != reach(r->lane, count[r->lane]) + 1)
        return false;
    for (unsigned i = 0; i < r->edges; i++)
        if (edges[i].lane >= rp->lanes)
            return false;
    return true;
}

static void note(const struct ft_record *r, const struct ft_edge edges[])
{
    struct held *h = &held[r->lane][count[r->lane]];

    h->access = reach(r->lane, count[r->lane]) + r->accesses;
    h->edges = r->edges;
    memcpy(h->edge, edges, r->edges * sizeof(edges[0]));
    count[r->lane]++;
}

static int deliver(size_t len)
{
    static struct ft_packer packer;
    struct ft_message m = {
        .type = FT_MSG_LOG, .state = FT_SOLO, .view = 1, .bulk = wire, .bulk_len = (uint32_t)len};
    struct ft_fault fault = {""};
    long n;

    packer = (struct ft_packer){.skip = 0};
    n = ft_message_encode(&m, rp->lanes, &packer, frame, sizeof(frame));
    FUZZ_MUST(n > 0, "the message does not fit");
    FUZZ_MUST(ft_message_decode(frame, (size_t)n, rp->lanes, &m, bulk, &fault) == n, "%s", fault.text);
    int error = rp_receiver_take(rp, &m, &fault);

    FUZZ_MUST(!error || fault.text[0], "no line about error %d", error);
    return error;
}

static void open_once(void)
{
    if (rp)
        return;
    rp = calloc(1, sizeof(*rp));
    lanes = aligned_alloc(64, LANES_MOST * sizeof(*lanes));
    bulk = malloc(FT_BULK_MAX);
    FUZZ_MUST(rp && lanes && bulk, "no memory");
    memset(lanes, 0, LANES_MOST * sizeof(*lanes));
    for (unsigned l = 0; l < LANES_MOST; l++)
        FUZZ_MUST(ft_lane_init(&lanes[l], 4096, RING) == 0, "no memory");
    rp->config.lanes = lanes;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    bool refused = false;

    open_once();
    rp->lanes = 1 + fuzz_u8(&in) % LANES_MOST;
    rp->receiver.closed = ft_closed_new(rp->lanes, KEPT);
    rp->receiver.scratch = aligned_alloc(64, FT_RECORD_MAX);
    FUZZ_MUST(rp->receiver.closed && rp->receiver.scratch, "no memory");
    memset(&begin, 0, sizeof(begin));
    memset(count, 0, sizeof(count));
    for (unsigned l = 0; l < rp->lanes; l++) {
        begin.burst[l] = fuzz_u8(&in);
        begin.access[l] = fuzz_u8(&in);
        ft_ring_reset(&lanes[l].replay);
    }
    rp_receiver_reset(rp, &begin);
    while (fuzz_left(&in) && !refused) {
        unsigned records = 1 + fuzz_u8(&in) % 8, made = 0;
        struct ft_edge edges[4];
        struct ft_record r;
        size_t len = 0;

        for (; made < records && count[0] + count[1] + count[2] + count[3] < KEPT && !refused; made++) {
            if (!make_record(&in, &len, &r, edges))
                break;
            if (fits(&r, edges))
                note(&r, edges);
            else
                refused = true;
        }
        if (made == 0)
            break;
        FUZZ_MUST((deliver(len) != 0) == refused, "a message that %s was %s",
                  refused ? "does not fit" : "fits", refused ? "taken" : "refused");
        if (!refused)
            look();
    }
    look_at_rings();
    rp_receiver_free(rp);
}

static void seeds(void)
{
    static const uint8_t one[] = {0, 5, 9, 3, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
    /* two lanes, each waiting for the other's first access; then it closes */
    static const uint8_t two[] = {1, 0, 0, 0, 0, 0, 0x04, 1, 1, 1, 1, 0, 0x05, 1, 1, 0, 0};
    static const uint8_t gap[] = {0, 0, 0, 1, 0, 1, 1, 0x80, 1, 2, 3};

    fuzz_seed("one-lane", one, sizeof(one));
    fuzz_seed("two-lanes", two, sizeof(two));
    fuzz_seed("gap", gap, sizeof(gap));
}

FUZZ_TARGET(receiver, "records of several lanes to the receiver", 1024)
