/* SPDX-License-Identifier: Apache-2.0 */
/* Makes records and chunks from the bytes of an input. Owns the buffer they are encoded into. */
#include "tests/help/record.h"
#include "tests/fuzz/received_make.h"
#include "tests/fuzz/received.h"

#include <string.h>

uint8_t received_wire[1u << 16];

bool received_make_record(struct fuzz_input *in, size_t *len, struct ft_record *out,
                          struct ft_dependency dependencies[])
{
    static _Alignas(8) uint8_t room[1024];
    struct ft_record *r = (struct ft_record *)room;
    uint8_t how = fuzz_u8(in);
    unsigned lane = how & 3, known = lane < received_rp->lanes ? received_count[lane] : 0;
    uint64_t last = lane < received_rp->lanes ? received_access(lane, known) : 0;
    unsigned want = how >> 2 & 3;

    memset(room, 0, sizeof(room));
    *r = (struct ft_record){.lane = (uint16_t)lane, .seq = 1, .time = fuzz_u8(in)};
    r->burst = lane < received_rp->lanes ? received_end(lane, known).burst + 1 : 1;
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
        uint64_t access = of < received_rp->lanes
                              ? received_access(of, received_count[of]) + (uint64_t)(int8_t)fuzz_u8(in)
                              : 1;

        if (access == 0 || of == lane)
            continue;
        dependency[r->dependencies] = dependencies[r->dependencies] =
            (struct ft_dependency){.own = own++, .access = access, .lane = (uint16_t)of};
        r->dependencies++;
    }
    r->size = (uint32_t)ft_record_size(r);
    struct ft_fault fault;

    if (record_check(r, r->size, &fault) != 0)
        return false; /* what no encoder takes; the decoder has a target of its own */
    long n = ft_record_encode(r, FT_FORMAT_NEWEST, true, received_wire + *len, sizeof(received_wire) - *len);

    if (n < 0)
        return false;
    *len += (size_t)n;
    *out = *r;
    return true;
}

#define RUN 16u /* bytes of a run of zero lines */

/* What a delta's first chunk says of it: a segment, or again all since the last delta. */
static void new_delta(struct fuzz_input *in, uint8_t how, const struct received_held *end, struct ft_chunk *p)
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
    uint64_t line = where % RECEIVED_LINES;

    if (!(where & 0x80)) { /* usually where it may be */
        uint64_t first = p->lane * RECEIVED_STRIDE;

        line = p->lane < RECEIVED_LANES && received_delta[p->lane].line > first ? received_delta[p->lane].line
                                                                                : first;
        line += where & 3;
    }
    for (unsigned i = 0; i < 1u + (where >> 5 & 1) && line < RECEIVED_LINES; i++, line += 1 + (where & 1)) {
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

bool received_make_chunk(struct fuzz_input *in, size_t *len, struct ft_chunk *out, uint64_t runs[2],
                         struct ft_chunk_output *held_one)
{
    static _Alignas(8) uint8_t room[1024];
    struct ft_chunk *p = (struct ft_chunk *)room;
    uint8_t how = fuzz_u8(in);
    unsigned lane = how & 3, real = lane < received_rp->lanes ? lane : 0;
    struct received_held end = received_end(real, received_count[real]);

    memset(room, 0, sizeof(room));
    runs[0] = runs[1] = 0;
    if (received_delta[real].open) {
        *p = received_delta[real].head;
        p->number++;
        p->lines = p->held = p->bytes = 0;
        p->digest = p->slice = 0;
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
    long n = ft_chunk_encode(p, FT_FORMAT_NEWEST, true, received_wire + *len, sizeof(received_wire) - *len);

    if (n < 0)
        return false;
    *len += (size_t)n;
    *out = *p;
    *held_one = *(const struct ft_chunk_output *)(const void *)ft_chunk_held(p);
    return true;
}
