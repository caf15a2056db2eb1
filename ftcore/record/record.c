/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form of the log record: encode and decode. Encoded by the replicator thread that drains the rings
 * and by the flight recorder; decoded by the standby's receiver and by whatever opens a recording.
 *
 * One record is one msgpack array. Numbers are unsigned: in msgpack's shortest form when written, in any
 * unsigned form when read. The elements are
 *
 *     version    of the format. First, so that a reader of another version stops before it misreads the rest.
 *     numbers    Those of FT_RECORD_NUMBERS, in its order and ranges. An unknown flag may change what the
 *                body means, so it is refused. `digest` is 0 without FT_REC_DIGESTS, `slice` without
 *                FT_REC_SLICE.
 *     body       bin, see below. Its length is there so that any msgpack reader can skip it.
 *     checksum   XXH3-64, no seed, of all bytes of the record before this element. Always nine bytes, `cf`
 *                and the value in big-endian order, so that where the bytes it covers end is known. 0: none,
 *                as on the link: there a message's checksum or the seal covers the same bytes.
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
 *              access stands for the last one before a lane's first dependency: lanes run about alike.
 *     determinants    As in memory: each a u32 length, little-endian, and so many bytes.
 *
 * Nothing is compressed here. The message layer compresses whole batches and finds more repetition there.
 */
#include "ftcore/record/record.h"
#include "ftcore/base/check.h"
#include "ftcore/record/body.h"
#include "ftcore/record/head.h"
#include "ftcore/record/rules.h"
#include "ftcore/region/region.h"
#include "ftcore/region/slice.h"

#include <stdbool.h>
#include <string.h>

#define INPUT_BOUND      7u  /* 3 wire, 2 taken, port, flags */
#define DEPENDENCY_BOUND 16u /* 36 bits of own and lane, 64 of access */

FT_HEAD_CODEC(struct ft_record, FT_RECORD_NUMBERS);

_Static_assert(sizeof(struct ft_input) == 8 && sizeof(struct ft_dependency) == 24,
               "without padding, and at multiples of 8");
_Static_assert(sizeof(struct ft_record) + FT_BURST_MAX * (sizeof(struct ft_input) + FT_FRAME_MAX) +
                       FT_DEPENDENCIES_MAX * sizeof(struct ft_dependency) + FT_DETERMINANTS_MAX + 32 <=
                   FT_RECORD_MAX,
               "counts within their ranges cannot make a record that is too large, nor one being captured");
_Static_assert(FT_LANES_MAX <= 16, "a dependency gives its lane four bits");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "determinants are little-endian in memory too");

/* The struct alone, without a digest that means nothing. */
static struct ft_record numbers_of(const struct ft_record *r)
{
    struct ft_record numbers = *r;

    if (!(r->flags & FT_REC_DIGESTS))
        numbers.digest = 0;
    FT_NEXT_RECORD(numbers)
    return numbers;
}

/* What inputs and dependencies are written relative to; both directions advance it alike. */

struct input_origin {
    uint16_t cut; /* captured at most */
    uint8_t port, flags;
};

static const struct input_origin first_input = {FT_FRAME_MAX, 0, FT_IN_OUTSIDE};

static uint16_t usual_taken(const struct input_origin *origin, uint32_t wire)
{
    return wire < origin->cut ? (uint16_t)wire : origin->cut;
}

static struct input_origin next_input(const struct ft_input *in)
{
    return (struct input_origin){in->taken < in->wire ? in->taken : FT_FRAME_MAX, in->port, in->flags};
}

static bool same_input(const struct ft_input *a, const struct ft_input *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

struct dependency_origin {
    uint64_t own;
    uint64_t access[FT_LANES_MAX];
};

static void first_dependency(struct dependency_origin *origin, const struct ft_record *r)
{
    origin->own = r->access;
    for (unsigned i = 0; i < FT_LANES_MAX; i++)
        origin->access[i] = r->access;
}

static void next_dependency(struct dependency_origin *origin, const struct ft_dependency *dependency)
{
    origin->own = dependency->own + 1;
    origin->access[dependency->lane] = dependency->access;
}

/* Encode. */

/* The writer checks what it codes as differences: an impossible part could come out as a possible one. */
static uint8_t *put_inputs(uint8_t *p, const struct ft_record *r, unsigned version)
{
    const struct ft_input *in = ft_record_inputs(r);
    struct input_origin origin = first_input;
    struct ft_fault why;

    for (unsigned i = 0; i < r->inputs; i++, in++) {
        if (i > 0 && same_input(in, in - 1)) { /* nothing is other then, and all is checked */
            p = ft_put_varint(p, (uint64_t)(in->wire - FT_FRAME_MIN) << 1);
            continue;
        }
        FT_CHECK(!ft_rule_input(in, i, &why), "%s", why.text);
        FT_CHECK(!(in->flags & (FT_IN_SESSION | FT_IN_ASIDE)) || version >= FT_FORMAT_SESSIONS,
                 "input %u has flags %u in version %u", i, in->flags, version);
        bool other = in->port != origin.port || in->flags != origin.flags ||
                     in->taken != usual_taken(&origin, in->wire);

        p = ft_put_varint(p, (uint64_t)(in->wire - FT_FRAME_MIN) << 1 | other);
        if (other) {
            p = ft_put_varint(p, in->taken);
            *p++ = in->port;
            *p++ = in->flags;
            origin = next_input(in);
        }
    }
    return p;
}

static uint8_t *put_dependencies(uint8_t *p, const struct ft_record *r)
{
    const struct ft_dependency *dependency = ft_record_dependencies(r);
    struct dependency_origin origin;
    struct ft_fault why;

    first_dependency(&origin, r);
    for (unsigned i = 0; i < r->dependencies; i++, dependency++) {
        FT_CHECK(!ft_rule_dependency(r, dependency, i, origin.own, &why), "%s", why.text);
        uint64_t step = dependency->access - origin.access[dependency->lane];

        p = ft_put_varint(p, (dependency->own - origin.own) << 4 | dependency->lane);
        p = ft_put_varint(p, ft_zigzag(step));
        next_dependency(&origin, dependency);
    }
    return p;
}

size_t ft_record_bound(const struct ft_record *r)
{
    return ft_head_bound(&layout) + r->inputs * INPUT_BOUND + r->bytes + r->dependencies * DEPENDENCY_BOUND +
           r->determinants;
}

long ft_record_encode(const struct ft_record *r, unsigned version, bool summed, uint8_t *out, size_t cap)
{
    uint8_t inputs[FT_BURST_MAX * INPUT_BOUND], dependencies[FT_DEPENDENCIES_MAX * DEPENDENCY_BOUND];
    struct ft_out to = {out, out + cap, false};
    const struct ft_record numbers = numbers_of(r);
    uint64_t n[FT_ELEMENTS_MAX];

    FT_CHECK(r->kind == FT_ENTRY_RECORD, "a chunk of a delta is no record");
    FT_CHECK(r->inputs <= FT_BURST_MAX && r->dependencies <= FT_DEPENDENCIES_MAX,
             "%u inputs, %u dependencies", r->inputs, r->dependencies);
    /* The small parts first, aside: the body's length goes in front of it. */
    size_t inputs_len = r->flags & FT_REC_BY_SEQ ? 0 : (size_t)(put_inputs(inputs, r, version) - inputs);
    size_t dependencies_len = (size_t)(put_dependencies(dependencies, r) - dependencies);
    size_t body_len = inputs_len + r->bytes + dependencies_len + r->determinants;

    FT_CHECK(FT_FORMAT_KNOWN(version), "a record in version %u", version);
    get_numbers(&numbers, version, n);
    ft_head_write(&to, &layout, n, body_len);
    ft_out_write(&to, (const char *)inputs, inputs_len);
    ft_out_write(&to, (const char *)r + ft_record_bytes_at(r), r->bytes);
    ft_out_write(&to, (const char *)dependencies, dependencies_len);
    ft_out_write(&to, (const char *)r + ft_record_determinants_at(r), r->determinants);
    return ft_head_finish(&to, summed, out);
}

/* Decode. */

static bool get_input(struct ft_body *b, struct input_origin *origin, struct ft_input *in)
{
    uint64_t wire, taken;

    if (!ft_get_varint(b, &wire) || wire >> 1 > UINT32_MAX - FT_FRAME_MIN)
        return false;
    in->wire = (uint32_t)(wire >> 1) + FT_FRAME_MIN;
    in->taken = usual_taken(origin, in->wire);
    in->port = origin->port;
    in->flags = origin->flags;
    if (!(wire & 1))
        return true;
    if (!ft_get_varint(b, &taken) || taken > UINT16_MAX || b->end - b->at < 2)
        return false;
    in->taken = (uint16_t)taken;
    in->port = *b->at++;
    in->flags = *b->at++;
    *origin = next_input(in);
    return true;
}

static int get_inputs(struct ft_body *b, struct ft_record *r, unsigned version, struct ft_fault *why)
{
    struct ft_input *in = (struct ft_input *)(r + 1);
    struct input_origin origin = first_input;
    struct ft_body next = *b;
    uint64_t taken = 0;
    int byte = -1; /* that was all of the input before, and means that nothing differs */

    for (unsigned i = 0; i < r->inputs; i++, in++) {
        if (next.at < next.end && *next.at == byte) { /* the same again, and checked */
            *in = in[-1];
            taken += in->taken;
            b->at = ++next.at;
            continue;
        }
        if (!get_input(&next, &origin, in))
            return ft_body_ends(why, "an input");
        if (ft_rule_input(in, i, why))
            return FT_EMALFORMED;
        if (in->flags & (FT_IN_SESSION | FT_IN_ASIDE) && version < FT_FORMAT_SESSIONS)
            return ft_fail(why, FT_EMALFORMED,
                           "input %u is told by its session, or set aside, which version %u has not", i,
                           version);
        byte = next.at - b->at == 1 && !(*b->at & 1) ? *b->at : -1;
        taken += in->taken;
        b->at = next.at;
    }
    return ft_rule_taken(r, taken, why);
}

static int get_dependencies(struct ft_body *b, struct ft_record *r, struct ft_fault *why)
{
    struct ft_dependency *dependency = (void *)((uint8_t *)r + ft_record_dependencies_at(r));
    struct dependency_origin origin;
    struct ft_body next = *b;
    uint64_t own, step;

    first_dependency(&origin, r);
    for (unsigned i = 0; i < r->dependencies; i++, dependency++) {
        if (!ft_get_varint(&next, &own) || !ft_get_varint(&next, &step))
            return ft_body_ends(why, "a dependency");
        *dependency = (struct ft_dependency){.own = origin.own + (own >> 4), .lane = own & 15};
        dependency->access = origin.access[dependency->lane] + ft_unzigzag(step);
        if (ft_rule_dependency(r, dependency, i, origin.own, why))
            return FT_EMALFORMED;
        next_dependency(&origin, dependency);
        b->at = next.at;
    }
    return 0;
}

static int get_body(struct ft_body *b, struct ft_record *r, unsigned version, struct ft_fault *why)
{
    size_t at;

    if (!(r->flags & FT_REC_BY_SEQ) && get_inputs(b, r, version, why))
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
    return ft_body_done(b, why);
}

/* The numbers of a head, within their ranges. */
static int take_head(struct ft_record *r, const struct ft_head *head, const uint8_t *in,
                     struct ft_fault *fault)
{
    struct ft_fault why;
    size_t at;

    set_numbers(r, head->number);
    r->size = (uint32_t)ft_record_size(r);
    return ft_rule_numbers(r, &at, &why)
               ? ft_fail_at(fault, FT_EMALFORMED, ft_head_offset(&layout, in, at), &why)
               : 0;
}

long ft_record_peek(const uint8_t *in, size_t len, struct ft_record *numbers, struct ft_fault *fault)
{
    struct ft_head head;
    long used = ft_head_peek(&head, &layout, in, len, fault);
    int error = used < 0 ? (int)used : take_head(numbers, &head, in, fault);

    return error ? error : used;
}

long ft_record_open(const uint8_t *in, size_t len, struct ft_opened *opened, struct ft_fault *fault)
{
    struct ft_head head;
    long used = ft_head_read(&head, &layout, in, len, fault);
    int error = used < 0 ? (int)used : take_head(&opened->numbers, &head, in, fault);

    if (error)
        return error;
    opened->in = in;
    opened->body = head.body;
    opened->body_len = head.body_len;
    opened->version = (unsigned)head.number[0];
    return used;
}

int ft_record_read(const struct ft_opened *opened, struct ft_record *out, struct ft_fault *fault)
{
    struct ft_body body = {opened->body, opened->body + opened->body_len};
    struct ft_fault why;

    *out = opened->numbers;
    return get_body(&body, out, opened->version, &why)
               ? ft_fail_at(fault, FT_EMALFORMED, (size_t)(body.at - opened->in), &why)
               : 0;
}

long ft_record_decode(const uint8_t *in, size_t len, struct ft_record *out, size_t cap,
                      struct ft_fault *fault)
{
    struct ft_opened opened;
    long used = ft_record_open(in, len, &opened, fault);

    if (used < 0)
        return used;
    if (opened.numbers.size > cap)
        return ft_fail(fault, FT_EFULL, "offset 0: record of %u bytes, expected at most %zu",
                       opened.numbers.size, cap);
    int error = ft_record_read(&opened, out, fault);

    return error ? error : used;
}

/* ---- the rules: rules.h ------------------------------------------------------------------------- */

_Static_assert(FT_REGION_MAX / FT_SLICE == FT_SLICE_LAST + 1,
               "every slice has a number that a record can say");

int ft_rule_numbers(const struct ft_record *r, size_t *at, struct ft_fault *why)
{
    *at = offsetof(struct ft_record, seq);
    if (r->seq + r->inputs < r->seq)
        return ft_fail(why, FT_EMALFORMED,
                       "sequence number wraps within the burst, expected room for its inputs");
    *at = offsetof(struct ft_record, access);
    if (r->access + r->accesses < r->access)
        return ft_fail(why, FT_EMALFORMED, "access wraps within the burst, expected room for its accesses");
    *at = offsetof(struct ft_record, digest);
    if (!(r->flags & FT_REC_DIGESTS) && r->digest)
        return ft_fail(why, FT_EMALFORMED, "digest without its flag, expected 0");
    *at = offsetof(struct ft_record, slice);
    if (!(r->flags & FT_REC_SLICE) && r->slice)
        return ft_fail(why, FT_EMALFORMED, "slice without its flag, expected 0");
    *at = offsetof(struct ft_record, bytes);
    if (r->flags & FT_REC_BY_SEQ && r->bytes)
        return ft_fail(why, FT_EMALFORMED, "bytes is %u in a burst by sequence number, expected 0", r->bytes);
    return 0;
}

int ft_rule_input(const struct ft_input *in, unsigned index, struct ft_fault *why)
{
    if (in->wire < FT_FRAME_MIN || in->wire > FT_FRAME_MAX)
        return ft_fail(why, FT_EMALFORMED, "input %u is %u bytes on the wire, expected %u to %u", index,
                       in->wire, FT_FRAME_MIN, FT_FRAME_MAX);
    if (in->taken > in->wire)
        return ft_fail(why, FT_EMALFORMED, "input %u has %u bytes taken, expected at most its %u", index,
                       in->taken, in->wire);
    if (in->flags & ~FT_IN_FLAGS)
        return ft_fail(why, FT_EMALFORMED, "input %u has flags %u, expected at most %u", index, in->flags,
                       FT_IN_FLAGS);
    if (in->flags & FT_IN_SESSION && in->taken != FT_SESSION_BYTES)
        return ft_fail(why, FT_EMALFORMED, "input %u has %u bytes that tell its session, expected %u", index,
                       in->taken, FT_SESSION_BYTES);
    if (in->flags & FT_IN_ASIDE && (in->taken || in->flags & FT_IN_SESSION))
        return ft_fail(why, FT_EMALFORMED, "input %u is set aside and has %u bytes taken, expected 0", index,
                       in->taken);
    return 0;
}

int ft_rule_taken(const struct ft_record *r, uint64_t taken, struct ft_fault *why)
{
    if (taken != r->bytes)
        return ft_fail(why, FT_EMALFORMED, "inputs have %lu bytes taken, expected %u as the head says", taken,
                       r->bytes);
    return 0;
}

int ft_rule_dependency(const struct ft_record *r, const struct ft_dependency *dependency, unsigned index,
                       uint64_t least, struct ft_fault *why)
{
    if (dependency->lane >= FT_LANES_MAX || dependency->lane == r->lane)
        return ft_fail(why, FT_EMALFORMED, "dependency %u names lane %u, expected another than %u below %u",
                       index, dependency->lane, r->lane, FT_LANES_MAX);
    if (dependency->own < least || dependency->own - r->access >= r->accesses)
        return ft_fail(why, FT_EMALFORMED,
                       "dependency %u is at access %lu, expected %lu or later, before %lu", index,
                       dependency->own, least, (r->access + r->accesses));
    return 0;
}

int ft_rule_determinants(const uint8_t *determinants, size_t len, size_t *at, struct ft_fault *why)
{
    for (*at = 0; *at < len;) {
        uint32_t size;
        size_t left = len - *at;

        if (left < sizeof(size))
            return ft_fail(why, FT_EMALFORMED, "%zu bytes left for a determinant, expected a length of %zu",
                           left, sizeof(size));
        memcpy(&size, determinants + *at, sizeof(size));
        if (size > left - sizeof(size))
            return ft_fail(why, FT_EMALFORMED, "value of %u bytes, expected at most the %zu left", size,
                           left - sizeof(size));
        *at += sizeof(size) + size;
    }
    return 0;
}
