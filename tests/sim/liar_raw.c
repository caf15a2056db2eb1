/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bold liar says beside its other lies: chunks that no encoder would write, byte by byte, each right
 * in all but one thing; a hello said again in the midst of a connection. And doubts: a record is altered in
 * memory and held against its rules; what they let pass must be the same after encoding and decoding.
 */
#include "tests/help/record.h"
#include "tests/sim/liar.h"

#include "ftcore/record/delta.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

long __real_ft_record_encode(const struct ft_record *r, unsigned version, bool summed, uint8_t *out,
                             size_t cap);

static uint64_t pick(uint64_t below)
{
    return sim_draw(&sim.width, below);
}

bool sim_bold(unsigned per_mille)
{
    return sim.plan.bold && !sim.faults_over && sim_running && sim_running->node < 2 &&
           sim_running->number == SIM_REPLICATOR && sim_chance(&sim.width, per_mille);
}

/* ---- hellos ------------------------------------------------------------------------------------------ */

static struct {
    struct ft_message hello;
    uint8_t identity[FT_IDENTITY_MAX];
    uint64_t seed;
} said[SIM_NODES];

void sim_lie_heard(const struct ft_message *hello)
{
    unsigned node = sim_running->node;

    if (!sim.plan.bold || hello->bulk_len > FT_IDENTITY_MAX)
        return;
    said[node].hello = *hello;
    said[node].seed = sim.seed + 1;
    memcpy(said[node].identity, hello->bulk, hello->bulk_len);
    said[node].hello.bulk = said[node].identity;
}

bool sim_lie_again(struct ft_message *hello)
{
    if (said[sim_running->node].seed != sim.seed + 1)
        return false;
    *hello = said[sim_running->node].hello;
    return true;
}

/* ---- chunks ------------------------------------------------------------------------------------------- */

struct bytes {
    uint8_t at[512];
    size_t len;
};

static void put(struct bytes *b, uint8_t byte)
{
    b->at[b->len++] = byte;
}

static void put_varint(struct bytes *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put(b, (uint8_t)(v | 0x80));
    put(b, (uint8_t)v);
}

static void put_number(struct bytes *b, uint64_t v)
{
    put(b, 0xcf);
    for (unsigned i = 0; i < 8; i++)
        put(b, (uint8_t)(v >> (56 - 8 * i)));
}

/* One line of zeros. */
static void put_run(struct bytes *b, uint64_t line)
{
    const uint32_t count = 1, zero = 1;

    memcpy(b->at + b->len, &line, sizeof(line));
    memcpy(b->at + b->len + 8, &count, sizeof(count));
    memcpy(b->at + b->len + 12, &zero, sizeof(zero));
    b->len += 16;
}

enum { STEP = 1, MADE = 2, OTHER = 4, PORT = 8 };

static void put_output(struct bytes *b, uint64_t number, uint64_t burst)
{
    put_varint(b, (60 - FT_FRAME_MIN) << 4 | STEP | MADE | OTHER);
    put_varint(b, number);
    put_varint(b, burst);
    put_varint(b, 0);
}

/* An arena that the lane does not write; or what no arena has handed out. */
static uint64_t foreign_line(struct ft_region *region, unsigned lane)
{
    const struct ft_arena *a = ft_region_arena(region, (lane + 1) % region->lanes, 0);

    return region->lanes > 1 ? a->offset / FT_LINE : region->size / FT_LINE - 1;
}

/* The numbers of a chunk, up to its body. */
enum {
    LANE = 1,
    FLAGS,
    CUT,
    FROM,
    BURSTS,
    CLOCK,
    ACCESS,
    RELEASED,
    OUTPUTS,
    DIGEST,
    SLICE,
    NUMBER,
    LINES,
    HELD,
    BYTES
};

static void alter(uint64_t n[], struct bytes *body, struct ft_region *region)
{
    const uint32_t output = sizeof(struct ft_chunk_output);

    switch (pick(11)) {
    case 0:
        n[LANE] = region->lanes + pick(FT_LANES_MAX - region->lanes);
        break;
    case 1:
        n[FLAGS] = FT_REC_DIGEST;
        break;
    case 2:
        n[FROM] = UINT64_MAX - pick(4);
        n[BURSTS] = 5;
        break;
    case 3: /* the same line twice */
        put_run(body, ft_region_arena(region, (unsigned)n[LANE], 0)->offset / FT_LINE);
        put_run(body, ft_region_arena(region, (unsigned)n[LANE], 0)->offset / FT_LINE);
        break;
    case 4:
        put_run(body, foreign_line(region, (unsigned)n[LANE]));
        break;
    case 5:
        n[ACCESS] -= n[ACCESS] ? 1 : 0;
        break;
    case 6: /* outputs whose numbers, or bursts, go back */
    case 7:
        n[HELD] = 2;
        n[BYTES] = 2 * output;
        n[BURSTS] = 5;
        n[OUTPUTS] = n[RELEASED] + 5;
        put_output(body, 1, 2);
        put_output(body, pick(2) ? UINT64_MAX : 0, UINT64_MAX);
        break;
    case 8: /* a head of an output that ends in its midst */
        n[HELD] = 1;
        n[BYTES] = output;
        put_varint(body, (60 - FT_FRAME_MIN) << 4 | STEP | (pick(2) ? MADE : 0));
        for (unsigned i = (unsigned)pick(3); i > 0; i--)
            put_varint(body, 1);
        break;
    case 9:
        n[HELD] = 1;
        n[BYTES] = output;
        put_varint(body, (60 - FT_FRAME_MIN) << 4 | (pick(2) ? OTHER : PORT));
        break;
    default:
        n[NUMBER] += pick(2);
    }
    n[LINES] = n[HELD] ? 0 : body->len;
}

long sim_raw_chunk(const struct ft_chunk *p, struct ft_region *region, uint8_t *out, size_t cap)
{
    uint64_t n[] = {1,          p->lane,   p->flags & FT_CHUNK_LAST,
                    p->cut,     p->from,   p->burst - p->from,
                    p->seq,     p->access, p->released,
                    p->outputs, 0,         0,
                    p->number,  0,         0,
                    0};
    struct bytes body = {.len = 0}, all = {.len = 0};
    uint64_t sum;

    alter(n, &body, region);
    put(&all, 0xdc);
    put(&all, 0);
    put(&all, sizeof(n) / sizeof(n[0]) + 2);
    for (unsigned i = 0; i < sizeof(n) / sizeof(n[0]); i++)
        put_number(&all, n[i]);
    put(&all, 0xc4);
    put(&all, (uint8_t)body.len);
    memcpy(all.at + all.len, body.at, body.len);
    all.len += body.len;
    sum = XXH3_64bits(all.at, all.len);
    put_number(&all, sum);
    if (all.len > cap)
        return -1;
    memcpy(out, all.at, all.len);
    return (long)all.len;
}

/* ---- doubts ------------------------------------------------------------------------------------------ */

static uint64_t other(uint64_t was)
{
    static const uint64_t known[] = {0,    1,          13,         16,         33,
                                     9217, UINT16_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX - 1};

    return pick(2) ? known[pick(sizeof(known) / sizeof(known[0]))] : was + 1 - 2 * pick(2);
}

static void alter_head(struct ft_record *r)
{
    switch (pick(11)) {
    case 0:
        r->lane = (uint16_t)other(r->lane);
        break;
    case 1:
        r->flags ^= (uint16_t)(1u << pick(5));
        break;
    case 2:
        r->burst = other(0);
        break;
    case 3:
        r->seq = other(UINT64_MAX);
        break;
    case 4:
        r->access = UINT64_MAX - pick(3);
        break;
    case 5:
        r->accesses = (uint32_t)other(r->accesses);
        break;
    case 6:
        r->digest = other(0);
        break;
    case 7:
        r->inputs = (uint16_t)other(r->inputs);
        break;
    case 8:
        r->bytes = (uint32_t)other(r->bytes);
        break;
    case 9:
        r->dependencies = (uint16_t)other(r->dependencies);
        break;
    default:
        r->size = (uint32_t)other(r->size);
    }
}

static void alter_list(struct ft_record *r)
{
    struct ft_input *in = (struct ft_input *)(r + 1) + (r->inputs ? pick(r->inputs) : 0);
    struct ft_dependency *dependency = (void *)((uint8_t *)r + ft_record_dependencies_at(r));

    if (r->dependencies && pick(2)) {
        dependency += pick(r->dependencies);
        if (pick(2))
            dependency->lane = pick(2) ? r->lane : (uint16_t)other(dependency->lane);
        else
            dependency->own = pick(2) ? r->access - 1 : other(dependency->own);
    } else if (r->determinants && pick(2)) {
        ((uint8_t *)r)[ft_record_determinants_at(r) + pick(4)] ^= (uint8_t)(1u << pick(8));
    } else if (r->inputs) {
        if (pick(3) == 0)
            in->wire = (uint32_t)other(in->wire);
        else if (pick(2))
            in->taken = (uint16_t)other(in->taken);
        else
            in->flags ^= (uint8_t)(1u << pick(8));
    } else if (r->bytes == 0) { /* a burst of no packet, as a gate would have it */
        r->flags |= FT_REC_BY_SEQ;
    }
}

void sim_doubt_record(const struct ft_record *was)
{
    static union {
        struct ft_record record;
        uint8_t room[FT_RECORD_MAX];
    } doubted, again;
    static uint8_t wire[FT_RECORD_MAX], once_more[FT_RECORD_MAX];
    struct ft_record *r = &doubted.record;
    struct ft_fault fault;
    size_t size = was->size;
    long len, got;

    if (size > sizeof(doubted) / 2)
        return;
    memset((uint8_t *)r + size, 0, 64);
    memcpy(r, was, size);
    if (pick(8) == 0)
        size = (size_t)pick(2 * sizeof(*r));
    else if (pick(3))
        alter_list(r);
    else
        alter_head(r);
    if (record_check(r, size, &fault))
        return;
    len = __real_ft_record_encode(r, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    got = len > 0 ? ft_record_decode(wire, (size_t)len, &again.record, sizeof(again), &fault) : -1;
    if (got != len ||
        __real_ft_record_encode(&again.record, FT_FORMAT_NEWEST, true, once_more, sizeof(once_more)) != len ||
        memcmp(wire, once_more, (size_t)len) != 0)
        sim_fail("G6: a record that its rules let pass is another one after encoding and decoding: %s",
                 got < 0 ? fault.text : "");
}
