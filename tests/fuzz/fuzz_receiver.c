/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver: LOG messages with records of several lanes and DELTA messages with chunks of their deltas,
 * through the real message decoder, into the real closed set and replay rings. The input says, entry by
 * entry, what numbers they have; most fit, so that sets close, some do not. After each message what may be
 * replayed is compared with a closed set computed the simple way: start from all that is held, take items
 * away until nothing changes.
 */
#include "ftcore/record/delta.h"
#include "ftcore/record/record.h"
#include "replicator/parts.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define LANES_MOST 4u
#define KEPT       256u
#define RING       (2u << 20)
#define STRIDE     16u /* lines from one lane's arena to the next … */
#define USED       8u  /* … of which so many are handed out */
#define LINES      ((LANES_MOST + 1) * STRIDE)

/* What was taken in so far, as the test understands it: a burst, or a lane's whole delta of a delta. */
struct held {
    uint64_t burst, access;           /* where the lane is after it */
    uint64_t cut, cut_burst, covered; /* its last delta; up to where deltas tell everything */
    unsigned dependencies;
    struct ft_dependency dependency[4];
};
static struct rp_replicator *rp;
static struct ft_lane *lanes;
static struct held held[LANES_MOST][KEPT];
static unsigned count[LANES_MOST];
static struct ft_message begin;
static struct { /* the delta that a lane is in the midst of */
    bool open;
    struct ft_chunk head;
    uint64_t line, output, burst; /* what the next chunk may begin with */
} delta[LANES_MOST];
static struct { /* every entry kept, of which there may be more than items */
    bool chunk;
    uint64_t number; /* of the burst, or of the chunk */
} kept[LANES_MOST][4 * KEPT];
static unsigned replayed_count[LANES_MOST];
static struct ft_region region;
static struct ft_arena arenas[LANES_MOST + 1];

static uint8_t wire[1u << 16], frame[(1u << 16) + 2048], *bulk;

static struct held end_of(unsigned lane, unsigned n)
{
    return n ? held[lane][n - 1]
             : (struct held){.burst = begin.burst[lane],
                             .access = begin.access[lane],
                             .cut_burst = begin.burst[lane],
                             .covered = begin.burst[lane]};
}

static uint64_t reach(unsigned lane, unsigned n)
{
    return end_of(lane, n).access;
}

/* The cut that all lanes have passed. */
static uint64_t passed(const unsigned n[])
{
    uint64_t cut = UINT64_MAX;

    for (unsigned l = 0; l < rp->lanes; l++)
        cut = end_of(l, n[l]).cut < cut ? end_of(l, n[l]).cut : cut;
    return cut;
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
            for (unsigned b = 0; b < n[l]; b++) {
                if (held[l][b].cut > passed(n)) {
                    n[l] = b;
                    again = true;
                    break;
                }
                for (unsigned e = 0; e < held[l][b].dependencies; e++) {
                    const struct ft_dependency *dependency = &held[l][b].dependency[e];

                    if (reach(dependency->lane, n[dependency->lane]) >= dependency->access)
                        continue;
                    n[l] = b;
                    again = true;
                    break;
                }
            }
    }
}

static void look(void)
{
    unsigned n[LANES_MOST];

    closed_set(n);
    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t to = atomic_load(&lanes[l].orders.closed_to);

        struct held end = end_of(l, n[l]);

        FUZZ_MUST(to == end.burst, "lane %u may replay to %lu, expected %lu", l, to, end.burst);
        FUZZ_MUST(atomic_load(&lanes[l].orders.cut_to) == passed(n),
                  "lane %u may apply cut %lu, expected %lu", l, atomic_load(&lanes[l].orders.cut_to),
                  passed(n));
        FUZZ_MUST(atomic_load(&lanes[l].orders.covered) == end.covered,
                  "lane %u is covered to %lu, expected %lu", l, atomic_load(&lanes[l].orders.covered),
                  end.covered);
    }
}

/* Every entry of the rings, in order, whole, as its decoder left it. */
static void look_at_rings(void)
{
    struct ft_fault fault;

    for (unsigned l = 0; l < rp->lanes; l++) {
        const struct ft_record *r;
        uint64_t there;
        unsigned at = 0;

        while ((r = ft_ring_peek(&lanes[l].replay, &there))) {
            bool chunk = ft_entry_kind(r) == FT_ENTRY_CHUNK;
            uint64_t number = chunk ? ft_chunk_of(r)->number : r->burst;

            FUZZ_MUST(there >= r->size, "an entry is cut short");
            FUZZ_MUST(chunk || ft_record_check(r, r->size, &fault) == 0, "a bad record was kept");
            FUZZ_MUST(at < replayed_count[l] && r->lane == l && chunk == kept[l][at].chunk &&
                          number == kept[l][at].number,
                      "number %lu of lane %u in the ring of lane %u", number, r->lane, l);
            at++;
            ft_ring_advance(&lanes[l].replay, r->size);
        }
        FUZZ_MUST(at == replayed_count[l], "lane %u: the ring has %u entries, expected %u", l, at,
                  replayed_count[l]);
        ft_ring_consume(&lanes[l].replay);
    }
}

/* One record as the input wants it; appended to the bulk. False: no room for more. */
static bool make_record(struct fuzz_input *in, size_t *len, struct ft_record *out,
                        struct ft_dependency dependencies[])
{
    static _Alignas(8) uint8_t room[1024];
    struct ft_record *r = (struct ft_record *)room;
    uint8_t how = fuzz_u8(in);
    unsigned lane = how & 3, known = lane < rp->lanes ? count[lane] : 0;
    uint64_t last = lane < rp->lanes ? reach(lane, known) : 0;
    unsigned want = how >> 2 & 3;

    memset(room, 0, sizeof(room));
    *r = (struct ft_record){.lane = (uint16_t)lane, .seq = 1, .time = fuzz_u8(in)};
    r->burst = lane < rp->lanes ? end_of(lane, known).burst + 1 : 1;
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
    struct ft_dependency *dependency = (struct ft_dependency *)(room + ft_record_dependencies_at(r));
    uint64_t own = r->access;

    for (unsigned i = 0; i < want && own < r->access + r->accesses; i++) {
        unsigned of = fuzz_u8(in) & 3;
        uint64_t access = of < rp->lanes ? reach(of, count[of]) + (uint64_t)(int8_t)fuzz_u8(in) : 1;

        if (access == 0 || of == lane)
            continue;
        dependency[r->dependencies] = dependencies[r->dependencies] =
            (struct ft_dependency){.own = own++, .access = access, .lane = (uint16_t)of};
        r->dependencies++;
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
static bool fits(const struct ft_record *r, const struct ft_dependency dependencies[])
{
    if (r->lane >= rp->lanes || r->burst != end_of(r->lane, count[r->lane]).burst + 1 || delta[r->lane].open)
        return false;
    if (r->accesses && r->access != reach(r->lane, count[r->lane]) + 1)
        return false;
    for (unsigned i = 0; i < r->dependencies; i++)
        if (dependencies[i].lane >= rp->lanes)
            return false;
    return true;
}

static void note(const struct ft_record *r, const struct ft_dependency dependencies[])
{
    struct held *h = &held[r->lane][count[r->lane]];

    *h = end_of(r->lane, count[r->lane]);
    h->burst++;
    h->access += r->accesses;
    h->dependencies = r->dependencies;
    memcpy(h->dependency, dependencies, r->dependencies * sizeof(dependencies[0]));
    count[r->lane]++;
    kept[r->lane][replayed_count[r->lane]].chunk = false;
    kept[r->lane][replayed_count[r->lane]++].number = r->burst;
}

/* ---- chunks ------------------------------------------------------------------------------------------- */

#define RUN 16u /* bytes of a run of zero lines */

/* What a delta's first chunk says of it: a segment, or again all since the last delta. */
static void new_delta(struct fuzz_input *in, uint8_t how, const struct held *end, struct ft_chunk *p)
{
    bool again = how & 0x10;

    p->cut = end->cut + 1;
    p->from = again ? end->cut_burst : end->burst;
    p->burst = again ? end->burst : end->burst + (fuzz_u8(in) & 7);
    p->access = again ? end->access : end->access + (p->burst - p->from);
    p->seq = p->burst;
    p->outputs = fuzz_u8(in);
}

/* Something that its decoder takes and the receiver must not. */
static void spoil(struct fuzz_input *in, struct ft_chunk *p)
{
    uint8_t what = fuzz_u8(in);
    uint64_t by = 1 + (what >> 4 & 3);

    switch (what & 7) {
    case 0:
        p->cut += by;
        break;
    case 1:
        p->burst += by;
        break;
    case 2:
        p->from = p->from > by ? p->from - by : 0;
        break;
    case 3:
        p->access = what & 8 ? p->access + by : 0;
        break;
    case 4:
        p->number += (uint32_t)by;
        break;
    case 5:
        p->outputs += by;
        break;
    case 6:
        p->seq += by;
        break;
    default:
        p->lane = (uint16_t)((p->lane + by) & 3);
    }
}

static void add_runs(struct fuzz_input *in, struct ft_chunk *p, uint64_t runs[2])
{
    uint8_t *to = ft_chunk_lines(p);
    uint8_t where = fuzz_u8(in);
    uint64_t line = where % LINES;

    if (!(where & 0x80)) { /* usually where it may be */
        uint64_t first = p->lane * STRIDE;

        line = p->lane < LANES_MOST && delta[p->lane].line > first ? delta[p->lane].line : first;
        line += where & 3;
    }
    for (unsigned i = 0; i < 1u + (where >> 5 & 1) && line < LINES; i++, line += 1 + (where & 1)) {
        memcpy(to, &line, 8);
        memcpy(to + 8, &(uint32_t){1}, 4);
        memcpy(to + 12, &(uint32_t){1}, 4);
        to += RUN;
        p->lines += RUN;
        runs[i] = line + 1;
    }
}

static void add_output(struct fuzz_input *in, struct ft_chunk *p)
{
    struct ft_chunk_output *o = (void *)(ft_chunk_held(p));
    uint8_t how = fuzz_u8(in);

    if (p->outputs == 0 || p->burst == p->from)
        return;
    *o = (struct ft_chunk_output){.number = 1 + how % p->outputs,
                                  .burst = p->from + 1 + (how >> 4) % (p->burst - p->from),
                                  .seq = how & 1,
                                  .len = 64,
                                  .port = how & 1};
    p->held = 1;
    p->bytes = sizeof(*o);
}

/* One part as the input wants it; appended to the bulk. `runs`: where its lines end, 0 where there are none.
 */
static bool make_chunk(struct fuzz_input *in, size_t *len, struct ft_chunk *out, uint64_t runs[2],
                       struct ft_chunk_output *held_one)
{
    static _Alignas(8) uint8_t room[1024];
    struct ft_chunk *p = (struct ft_chunk *)room;
    uint8_t how = fuzz_u8(in);
    unsigned lane = how & 3, real = lane < rp->lanes ? lane : 0;
    struct held end = end_of(real, count[real]);

    memset(room, 0, sizeof(room));
    runs[0] = runs[1] = 0;
    if (delta[real].open) {
        *p = delta[real].head;
        p->number++;
        p->lines = p->held = p->bytes = 0;
        p->digest = 0;
    } else {
        new_delta(in, how, &end, p);
    }
    p->lane = (uint16_t)lane;
    p->kind = FT_ENTRY_CHUNK;
    p->flags = how & 4 ? FT_CHUNK_LAST : 0;
    if (how & 8)
        spoil(in, p);
    if (p->burst < p->from)
        return false;
    if (how & 0x20)
        add_runs(in, p, runs);
    if (how & 0x40)
        add_output(in, p);
    p->size = ft_chunk_size(p->lines, p->bytes);
    long n = ft_chunk_encode(p, wire + *len, sizeof(wire) - *len);

    if (n < 0)
        return false;
    *len += (size_t)n;
    *out = *p;
    *held_one = *(const struct ft_chunk_output *)(const void *)ft_chunk_held(p);
    return true;
}

/* Lines are in order within a delta, those of the shared arena, which is the last, first. */
static uint64_t rank(uint64_t line)
{
    uint64_t first = rp->lanes * STRIDE;

    return line >= first ? line - first : line + LINES;
}

static bool chunk_fits(const struct ft_chunk *p, const uint64_t runs[2], const struct ft_chunk_output *o)
{
    if (p->lane >= rp->lanes)
        return false;
    const struct ft_chunk *h = &delta[p->lane].head;
    struct held end = end_of(p->lane, count[p->lane]);
    bool open = delta[p->lane].open;
    uint64_t next = open && delta[p->lane].line ? rank(delta[p->lane].line - 1) + 1 : 0;

    if (p->number != (open ? h->number + 1 : 0))
        return false;
    if (open && (p->cut != h->cut || p->from != h->from || p->burst != h->burst || p->seq != h->seq ||
                 p->access != h->access || p->outputs != h->outputs))
        return false;
    if (!open && (p->cut != end.cut + 1 ||
                  !((p->from == end.burst && p->access >= end.access) ||
                    (p->from == end.cut_burst && p->burst == end.burst && p->access == end.access))))
        return false;
    for (unsigned i = 0; i < 2 && runs[i]; i++) {
        uint64_t at = runs[i] - 1, owner = at / STRIDE;

        if (at % STRIDE >= USED || rank(at) < next ||
            (owner != p->lane && !(p->lane == 0 && owner == rp->lanes)))
            return false;
        next = rank(at) + 1;
    }
    return !p->held || !open || (o->number > delta[p->lane].output && o->burst >= delta[p->lane].burst);
}

static void note_chunk(const struct ft_chunk *p, const uint64_t runs[2], const struct ft_chunk_output *o)
{
    unsigned l = p->lane;
    struct held *h = &held[l][count[l]];

    kept[l][replayed_count[l]].chunk = true;
    kept[l][replayed_count[l]++].number = p->number;
    if (!delta[l].open)
        delta[l].line = delta[l].output = delta[l].burst = 0;
    for (unsigned i = 0; i < 2 && runs[i]; i++)
        delta[l].line = runs[i];
    if (p->held) {
        delta[l].output = o->number;
        delta[l].burst = o->burst;
    }
    delta[l].head = *p;
    delta[l].open = !(p->flags & FT_CHUNK_LAST);
    if (delta[l].open)
        return;
    *h = end_of(l, count[l]);
    h->covered = p->from <= h->covered ? p->burst : h->covered;
    h->burst = h->cut_burst = p->burst;
    h->access = p->access;
    h->cut = p->cut;
    h->dependencies = 0;
    count[l]++;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

static int deliver(enum ft_message_type type, size_t len)
{
    static struct ft_packer compressor;
    struct ft_message m = {
        .type = (uint8_t)type, .state = FT_SOLO, .view = 1, .bulk = wire, .bulk_len = (uint32_t)len};
    struct ft_fault fault = {""};
    long n;

    compressor = (struct ft_packer){.skip = 0};
    n = ft_message_encode(&m, rp->lanes, &compressor, frame, sizeof(frame));
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
    rp->config.region = &region;
    rp->snapshot.lines = LINES;
}

/* Arenas of one NF for each lane, and the shared one behind them; of each the first half is handed out. */
static void lay_out(void)
{
    region = (struct ft_region){.lanes = (uint16_t)rp->lanes, .nfs = 1, .arenas = arenas};
    for (unsigned i = 0; i <= rp->lanes; i++)
        arenas[i] = (struct ft_arena){.offset = (uint64_t)i * STRIDE * FT_LINE,
                                      .size = STRIDE * FT_LINE,
                                      .used = USED * FT_LINE,
                                      .lane = (uint16_t)(i < rp->lanes ? i : FT_LANES_MAX),
                                      .region = &region};
}

static bool one_record(struct fuzz_input *in, size_t *len, bool *refused)
{
    struct ft_dependency dependencies[4];
    struct ft_record r;

    if (!make_record(in, len, &r, dependencies))
        return false;
    if (fits(&r, dependencies))
        note(&r, dependencies);
    else
        *refused = true;
    return true;
}

static bool one_chunk(struct fuzz_input *in, size_t *len, bool *refused)
{
    struct ft_chunk_output output;
    struct ft_chunk p;
    uint64_t runs[2];

    if (!make_chunk(in, len, &p, runs, &output))
        return false;
    if (chunk_fits(&p, runs, &output))
        note_chunk(&p, runs, &output);
    else
        *refused = true;
    return true;
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
    memset(replayed_count, 0, sizeof(replayed_count));
    memset(delta, 0, sizeof(delta));
    lay_out();
    for (unsigned l = 0; l < rp->lanes; l++) {
        begin.burst[l] = fuzz_u8(&in);
        begin.access[l] = fuzz_u8(&in);
        ft_ring_reset(&lanes[l].replay);
    }
    rp_receiver_reset(rp, &begin);
    while (fuzz_left(&in) && !refused) {
        uint8_t what = fuzz_u8(&in);
        bool chunks = what & 0x80;
        unsigned wanted = 1 + what % 8, made = 0;
        size_t len = 0;

        for (;
             made < wanted &&
             replayed_count[0] + replayed_count[1] + replayed_count[2] + replayed_count[3] < KEPT && !refused;
             made++)
            if (!(chunks ? one_chunk(&in, &len, &refused) : one_record(&in, &len, &refused)))
                break;
        if (made == 0)
            break;
        FUZZ_MUST((deliver(chunks ? FT_MSG_DELTA : FT_MSG_LOG, len) != 0) == refused,
                  "a message that %s was %s", refused ? "does not fit" : "fits",
                  refused ? "taken" : "refused");
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

    /* one lane: a delta of three chunks with lines and outputs, then a burst, then what tells it again */
    static const uint8_t chunks[] = {0,    0,    0, 0x82, 0x60, 3, 9,    2,    0x11, 0x60, 1,
                                     0x32, 0x24, 2, 0,    0,    1, 0x81, 0x34, 5,    0x14};
    /* two lanes: the delta of one, then of the other, and only then the cut counts */
    static const uint8_t both[] = {1, 3, 0,    4,    0, 0x80, 0x04, 2, 5, 0x80, 0x05,
                                   1, 5, 0x80, 0x04, 0, 0,    0x80, 5, 0, 0};
    static const uint8_t between[] = {0, 0, 0, 0x80, 0x00, 3, 9, 0, 0, 1, 1};

    fuzz_seed("chunks", chunks, sizeof(chunks));
    fuzz_seed("both-deltas", both, sizeof(both));
    fuzz_seed("burst-between-chunks", between, sizeof(between));
    fuzz_seed("one-lane", one, sizeof(one));
    fuzz_seed("two-lanes", two, sizeof(two));
    fuzz_seed("gap", gap, sizeof(gap));
}

FUZZ_TARGET(receiver, "records and chunks of deltas of several lanes to the receiver", 1024)
