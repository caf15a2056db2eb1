/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of the log record: encode and decode. Written by the replicator thread that drains the
 * rings and by the logger's files; read by the standby's receiver and by whatever opens such a file.
 *
 * One record is one msgpack array of 16 elements, `dc 00 10` first. Numbers are unsigned: in msgpack's
 * shortest form when written, in any unsigned form when read.
 *
 *      0  version    1. First, so that a reader of another version stops before it misreads the rest.
 *      1  lane       0 to 15 (below FT_LANES_MAX).
 *      2  flags      enum ft_record_flags. An unknown bit may change what the body means: refused.
 *      3  burst      1 to 2^64-1. 0 means "before the first burst" everywhere else.
 *      4  seq        of the first input; sequence number + inputs must not wrap.
 *      5  time       chain time, ns.
 *      6  released   outputs released by this lane since it began.
 *      7  access     number of the burst's first access; access + accesses must not wrap.
 *      8  accesses   0 to 2^32-1.
 *      9  digest     any with FT_REC_DIGEST, else 0, so that a record has one shortest form.
 *     10  inputs     0 to 32 (FT_BURST_MAX).
 *     11  bytes      0 to 32 * 9216: the sum of what the inputs have taken; 0 with FT_REC_BY_SEQ.
 *     12  dependencies      0 to 1024 (FT_DEPENDENCIES_MAX).
 *     13  values     0 to 65536 (FT_DETERMINANTS_MAX), the lengths in front of them included.
 *     14  body       bin, see below. Its length is there so that any msgpack reader can skip it.
 *     15  checksum   XXH3-64, no seed, of all bytes of the record before this element: from `dc` to the
 *                    body's last byte. Always nine bytes, `cf` and the value in big-endian order, so that
 *                    where the bytes it covers end is known.
 *
 * The body is four parts without padding, and nothing after them. A varint has seven bits in a byte, the low
 * ones first, and the top bit set in all bytes but its last.
 *
 *     inputs   Absent with FT_REC_BY_SEQ. Each input is
 *                  varint (wire - 14) * 2 + other
 *                  and when other is 1:  varint taken, byte port, byte flags.
 *              When other is 0, port and flags are those of the input before, and so is the cut: whole
 *              frames, or the first so many bytes of them. Before the first: port 0, outside, whole. A
 *              64-byte frame like the one before costs one byte; no input costs more than seven.
 *     bytes    What was captured of the inputs, one after the other.
 *     dependencies    Each is
 *                  varint (own - least) * 16 + lane
 *                  varint zigzag(access - last access in a dependency to that lane)
 *              where least is the head's access, and after a dependency one more than its own. The head's
 *              access stands for the last one before a lane's first edge: lanes run about alike.
 *     values   As in memory: each a u32 length, little-endian, and so many bytes.
 *
 * Nothing is compressed here. The message layer compresses whole batches and finds more repetition there.
 */
#include "ftcore/record/record.h"

#include "ftcore/record/body.h"
#include "ftcore/base/check.h"
#include "ftcore/record/head.h"
#include "ftcore/record/rules.h"
#include "ftcore/base/out.h"

#include <msgpack/pack.h>
#include <stdbool.h>
#include <string.h>

#define INPUT_BOUND      7u  /* 3 wire, 2 taken, port, flags */
#define DEPENDENCY_BOUND 16u /* 36 bits of own and lane, 64 of access */
#define HEAD_BOUND       (3u + 14u * 9u + 5u)

_Static_assert(FT_LANES_MAX <= 16, "a dependency gives its lane four bits");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are little-endian in memory too");

/* What inputs and dependencies are written relative to; both directions move it alike. */

struct input_base {
    uint16_t cut; /* captured at most */
    uint8_t port, flags;
};

static const struct input_base first_input = {FT_FRAME_MAX, 0, FT_IN_OUTSIDE};

static uint16_t usual_taken(const struct input_base *base, uint32_t wire)
{
    return wire < base->cut ? (uint16_t)wire : base->cut;
}

static struct input_base next_input(const struct ft_input *in)
{
    return (struct input_base){in->taken < in->wire ? in->taken : FT_FRAME_MAX, in->port, in->flags};
}

static bool same_input(const struct ft_input *a, const struct ft_input *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}
_Static_assert(sizeof(struct ft_input) == 8, "no padding in an input");

struct dependency_base {
    uint64_t own;
    uint64_t access[FT_LANES_MAX];
};

static void first_dependency(struct dependency_base *base, const struct ft_record *r)
{
    base->own = r->access;
    for (unsigned i = 0; i < FT_LANES_MAX; i++)
        base->access[i] = r->access;
}

static void next_dependency(struct dependency_base *base, const struct ft_dependency *dependency)
{
    base->own = dependency->own + 1;
    base->access[dependency->lane] = dependency->access;
}

/* Encode. */

/* The writer checks what it codes as differences: an impossible part could come out as another, possible one.
 */
static uint8_t *put_inputs(uint8_t *p, const struct ft_record *r)
{
    const struct ft_input *in = ft_record_inputs(r);
    struct input_base base = first_input;
    struct ft_fault why;

    for (unsigned i = 0; i < r->inputs; i++, in++) {
        if (i > 0 && same_input(in, in - 1)) { /* nothing is other then, and all is checked */
            p = ft_put_varint(p, (uint64_t)(in->wire - FT_FRAME_MIN) << 1);
            continue;
        }
        FT_CHECK(!ft_rule_input(in, i, &why), "%s", why.text);
        bool other =
            in->port != base.port || in->flags != base.flags || in->taken != usual_taken(&base, in->wire);

        p = ft_put_varint(p, (uint64_t)(in->wire - FT_FRAME_MIN) << 1 | other);
        if (other) {
            p = ft_put_varint(p, in->taken);
            *p++ = in->port;
            *p++ = in->flags;
            base = next_input(in);
        }
    }
    return p;
}

static uint8_t *put_dependencies(uint8_t *p, const struct ft_record *r)
{
    const struct ft_dependency *dependency =
        (const void *)((const uint8_t *)r + ft_record_dependencies_at(r));
    struct dependency_base base;
    struct ft_fault why;

    first_dependency(&base, r);
    for (unsigned i = 0; i < r->dependencies; i++, dependency++) {
        FT_CHECK(!ft_rule_dependency(r, dependency, i, base.own, &why), "%s", why.text);
        uint64_t step = dependency->access - base.access[dependency->lane];

        p = ft_put_varint(p, (dependency->own - base.own) << 4 | dependency->lane);
        p = ft_put_varint(p, ft_zigzag(step));
        next_dependency(&base, dependency);
    }
    return p;
}

static void put_head(msgpack_packer *pk, const struct ft_record *r)
{
    msgpack_pack_array(pk, FT_FIELDS);
    msgpack_pack_uint64(pk, FT_RECORD_VERSION);
    msgpack_pack_uint64(pk, r->lane);
    msgpack_pack_uint64(pk, r->flags);
    msgpack_pack_uint64(pk, r->burst);
    msgpack_pack_uint64(pk, r->seq);
    msgpack_pack_uint64(pk, r->time);
    msgpack_pack_uint64(pk, r->released);
    msgpack_pack_uint64(pk, r->access);
    msgpack_pack_uint64(pk, r->accesses);
    msgpack_pack_uint64(pk, r->flags & FT_REC_DIGEST ? r->digest : 0);
    msgpack_pack_uint64(pk, r->inputs);
    msgpack_pack_uint64(pk, r->bytes);
    msgpack_pack_uint64(pk, r->dependencies);
    msgpack_pack_uint64(pk, r->determinants);
}

size_t ft_record_bound(const struct ft_record *r)
{
    return HEAD_BOUND + r->inputs * INPUT_BOUND + r->bytes + r->dependencies * DEPENDENCY_BOUND +
           r->determinants + FT_CHECKSUM_LEN;
}

long ft_record_encode(const struct ft_record *r, uint8_t *out, size_t cap)
{
    uint8_t inputs[FT_BURST_MAX * INPUT_BOUND], dependencies[FT_DEPENDENCIES_MAX * DEPENDENCY_BOUND];
    struct ft_out to = {out, out + cap, false};
    msgpack_packer pk;

    FT_CHECK(!(r->flags & FT_REC_DELTA), "a chunk of a delta is no record");
    FT_CHECK(r->inputs <= FT_BURST_MAX && r->dependencies <= FT_DEPENDENCIES_MAX,
             "%u inputs, %u dependencies", r->inputs, r->dependencies);
    /* The small chunks first, aside: the body's length goes in front of it. */
    size_t inputs_len = r->flags & FT_REC_BY_SEQ ? 0 : (size_t)(put_inputs(inputs, r) - inputs);
    size_t dependencies_len = (size_t)(put_dependencies(dependencies, r) - dependencies);
    size_t body_len = inputs_len + r->bytes + dependencies_len + r->determinants;

    msgpack_packer_init(&pk, &to, ft_out_write);
    put_head(&pk, r);
    msgpack_pack_bin(&pk, body_len);
    ft_out_write(&to, (const char *)inputs, inputs_len);
    ft_out_write(&to, (const char *)r + ft_record_bytes_at(r), r->bytes);
    ft_out_write(&to, (const char *)dependencies, dependencies_len);
    ft_out_write(&to, (const char *)r + ft_record_determinants_at(r), r->determinants);
    return ft_head_seal(&to, out);
}

/* Decode. */

static void set_head(struct ft_record *r, const uint64_t n[])
{
    *r = (struct ft_record){
        .lane = (uint16_t)n[FT_F_LANE],
        .flags = (uint16_t)n[FT_F_FLAGS],
        .burst = n[FT_F_BURST],
        .seq = n[FT_F_SEQ],
        .time = n[FT_F_TIME],
        .released = n[FT_F_RELEASED],
        .access = n[FT_F_ACCESS],
        .digest = n[FT_F_DIGEST],
        .accesses = (uint32_t)n[FT_F_ACCESSES],
        .bytes = (uint32_t)n[FT_F_BYTES],
        .determinants = (uint32_t)n[FT_F_DETERMINANTS],
        .inputs = (uint16_t)n[FT_F_INPUTS],
        .dependencies = (uint16_t)n[FT_F_DEPENDENCIES],
    };
    r->size = (uint32_t)ft_record_size(r);
}

static bool get_input(struct ft_body *b, struct input_base *base, struct ft_input *in)
{
    uint64_t wire, taken;

    if (!ft_get_varint(b, &wire) || wire >> 1 > UINT32_MAX - FT_FRAME_MIN)
        return false;
    in->wire = (uint32_t)(wire >> 1) + FT_FRAME_MIN;
    in->taken = usual_taken(base, in->wire);
    in->port = base->port;
    in->flags = base->flags;
    if (!(wire & 1))
        return true;
    if (!ft_get_varint(b, &taken) || taken > UINT16_MAX || b->end - b->at < 2)
        return false;
    in->taken = (uint16_t)taken;
    in->port = *b->at++;
    in->flags = *b->at++;
    *base = next_input(in);
    return true;
}

static int get_inputs(struct ft_body *b, struct ft_record *r, struct ft_fault *why)
{
    struct ft_input *in = (struct ft_input *)(r + 1);
    struct input_base base = first_input;
    struct ft_body next = *b;
    uint64_t taken = 0;
    int byte = -1; /* that the input before was all of, and said that nothing is other */

    for (unsigned i = 0; i < r->inputs; i++, in++) {
        if (next.at < next.end && *next.at == byte) { /* the same again, and checked */
            *in = in[-1];
            taken += in->taken;
            b->at = ++next.at;
            continue;
        }
        if (!get_input(&next, &base, in))
            return ft_body_ends(why, "an input");
        if (ft_rule_input(in, i, why))
            return FT_EMALFORMED;
        byte = next.at - b->at == 1 && !(*b->at & 1) ? *b->at : -1;
        taken += in->taken;
        b->at = next.at;
    }
    return ft_rule_taken(r, taken, why);
}

static int get_dependencies(struct ft_body *b, struct ft_record *r, struct ft_fault *why)
{
    struct ft_dependency *dependency = (void *)((uint8_t *)r + ft_record_dependencies_at(r));
    struct dependency_base base;
    struct ft_body next = *b;
    uint64_t own, step;

    first_dependency(&base, r);
    for (unsigned i = 0; i < r->dependencies; i++, dependency++) {
        if (!ft_get_varint(&next, &own) || !ft_get_varint(&next, &step))
            return ft_body_ends(why, "a dependency");
        *dependency = (struct ft_dependency){.own = base.own + (own >> 4), .lane = own & 15};
        dependency->access = base.access[dependency->lane] + ft_unzigzag(step);
        if (ft_rule_dependency(r, dependency, i, base.own, why))
            return FT_EMALFORMED;
        next_dependency(&base, dependency);
        b->at = next.at;
    }
    return 0;
}

static int get_body(struct ft_body *b, struct ft_record *r, struct ft_fault *why)
{
    size_t at;

    if (!(r->flags & FT_REC_BY_SEQ) && get_inputs(b, r, why))
        return FT_EMALFORMED;
    if (ft_get_bytes(b, (uint8_t *)r + ft_record_bytes_at(r), r->bytes, why) || get_dependencies(b, r, why))
        return FT_EMALFORMED;
    const uint8_t *values = b->at;
    if (ft_get_bytes(b, (uint8_t *)r + ft_record_determinants_at(r), r->determinants, why))
        return FT_EMALFORMED;
    if (ft_rule_determinants(values, r->determinants, &at, why)) {
        b->at = values + at;
        return FT_EMALFORMED;
    }
    if (b->at < b->end)
        return ft_fail(why, FT_EMALFORMED, "%td bytes more, expected the body's end", b->end - b->at);
    return 0;
}

long ft_record_decode(const uint8_t *in, size_t len, struct ft_record *out, size_t cap,
                      struct ft_fault *fault)
{
    struct ft_head head;
    struct ft_record r;
    struct ft_fault why;
    unsigned field;

    long used = ft_head_read(&head, &ft_record_layout, in, len, fault);
    if (used < 0)
        return used;
    if (ft_rule_head(head.number, &field, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_head_offset(in, field), &why);
    set_head(&r, head.number);
    if (r.size > cap)
        return ft_fail(fault, FT_EFULL, "offset 0: record of %u bytes, expected at most %zu", r.size, cap);
    *out = r;
    struct ft_body body = {head.body, head.body + head.body_len};
    if (get_body(&body, out, &why))
        return ft_fail_at(fault, FT_EMALFORMED, (size_t)(body.at - in), &why);
    return used;
}
