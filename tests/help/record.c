/* SPDX-License-Identifier: Apache-2.0 */
/* Records and chunks of deltas for tests, in buffers that lie here; see record.h. */
#include "ftcore/base/draw.h"
#include "ftcore/record/message.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <msgpack.h>
#include <xxhash.h>

static _Alignas(8) uint8_t memory[FT_RECORD_MAX], again[FT_RECORD_MAX];
struct ft_record *const rec = (struct ft_record *)memory, *const back = (struct ft_record *)again;

uint64_t draw_seed;

uint64_t draw(void)
{
    return ft_draw(&draw_seed);
}

uint64_t draw_below(uint64_t n)
{
    return draw() % n;
}

uint64_t draw_any_magnitude(void)
{
    return draw() >> draw_below(64);
}

static size_t filled;

void record_begin(uint16_t lane, uint16_t flags, uint64_t burst)
{
    memset(memory, 0, 4096);
    rec->lane = lane;
    rec->flags = flags;
    rec->burst = burst;
    filled = sizeof(*rec);
}

static void *add(size_t size)
{
    void *at = memory + filled;

    filled += size;
    return at;
}

void record_add_input(uint32_t on_wire, uint16_t taken, uint8_t port, uint8_t flags)
{
    *(struct ft_input *)add(sizeof(struct ft_input)) = (struct ft_input){on_wire, taken, port, flags};
    rec->inputs++;
    rec->bytes += taken;
}

void record_add_bytes(void)
{
    uint8_t *p = add(FT_ALIGN8(rec->bytes));

    memset(p, 0, FT_ALIGN8(rec->bytes));
    for (uint32_t i = 0; i < rec->bytes; i++)
        p[i] = (uint8_t)(i * 7 + 1);
}

void record_add_dependency(uint64_t own, uint16_t lane, uint64_t access)
{
    *(struct ft_dependency *)add(sizeof(struct ft_dependency)) =
        (struct ft_dependency){.own = own, .access = access, .lane = lane};
    rec->dependencies++;
}

void record_add_determinant(const void *bytes, uint32_t len)
{
    memcpy(add(sizeof(len)), &len, sizeof(len));
    memcpy(add(len), bytes, len);
    rec->determinants += (uint32_t)sizeof(len) + len;
}

void record_finish(void)
{
    size_t end = FT_ALIGN8(filled);

    memset(memory + filled, 0, end - filled);
    rec->size = (uint32_t)end;
    assert_int_equal(ft_record_size(rec), end);
}

void record_sample(void)
{
    record_begin(3, FT_REC_DIGEST | FT_REC_STAMPED, 1000);
    rec->seq = 32000;
    rec->time = 1700000000123456789ull;
    rec->released = 31990;
    rec->access = 500;
    rec->accesses = 20;
    rec->digest = 0x0123456789abcdefull;
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_input(1500, 54, 1, 0);
    record_add_input(1400, 54, 1, 0);
    record_add_bytes();
    record_add_dependency(500, 1, 490);
    record_add_dependency(507, 0, 9);
    record_add_dependency(519, 1, 700);
    record_add_determinant("limit=5", 7);
    record_add_determinant("", 0);
    record_finish();
}

/* From a copy of exactly `len` bytes, so that a sanitizer sees a step beyond; a failure must name its offset.
 */
static long decode_exact(long (*decode)(const uint8_t *bytes, size_t len, struct ft_fault *fault),
                         const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    uint8_t *copy = malloc(len ? len : 1);
    long used;

    memcpy(copy, bytes, len);
    fault->text[0] = '\0';
    used = decode(copy, len, fault);
    free(copy);
    if (used < 0 && strncmp(fault->text, "offset ", 7) != 0)
        fail_msg("fault without an offset: '%s'", fault->text);
    return used;
}

static long decode_record(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    return ft_record_decode(bytes, len, back, sizeof(again), fault);
}

long record_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    return decode_exact(decode_record, bytes, len, fault);
}

/* ---- chunks of deltas ---------------------------------------------------------------------------- */

static _Alignas(8) uint8_t chunk_memory[FT_CHUNK_MAX], chunk_again[FT_CHUNK_MAX];
struct ft_chunk *const chunk = (struct ft_chunk *)chunk_memory;
struct ft_chunk *const chunk_back = (struct ft_chunk *)chunk_again;

void chunk_begin(uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst)
{
    memset(chunk_memory, 0, sizeof(chunk_memory));
    chunk->lane = lane;
    chunk->kind = FT_ENTRY_CHUNK;
    chunk->cut = cut;
    chunk->from = from;
    chunk->burst = burst;
}

bool chunk_add_run(uint64_t line, uint32_t count, bool zero)
{
    static uint8_t bytes[FT_CHUNK_LINES];
    const struct ft_line_run run = {.line = line, .count = count, .zero = zero, .bytes = bytes};

    if (count > sizeof(bytes) / FT_LINE)
        return false;
    for (uint32_t i = 0; i < count * FT_LINE; i++)
        bytes[i] = (uint8_t)(line + i * 11);
    return ft_line_run_append(ft_chunk_lines(chunk), &chunk->lines, FT_CHUNK_LINES, &run);
}

void chunk_add_output(uint64_t number, uint64_t burst, uint64_t seq, uint32_t len, uint32_t have,
                      uint8_t port)
{
    struct ft_chunk_output *o = (void *)(ft_chunk_held(chunk) + chunk->bytes);
    uint8_t *bytes = (uint8_t *)(o + 1);

    *o = (struct ft_chunk_output){number, burst, seq, len, have, port, {0}};
    for (uint32_t i = 0; i < have; i++)
        bytes[i] = (uint8_t)(number + i * 5);
    chunk->held++;
    chunk->bytes += (uint32_t)(sizeof(*o) + FT_ALIGN8(have));
}

void chunk_finish(void)
{
    chunk->size = ft_chunk_size(chunk->lines, chunk->bytes);
    assert_int_equal(chunk->lines % 8, 0);
    assert_true(chunk->size <= sizeof(chunk_memory));
}

void chunk_sample(void)
{
    chunk_begin(3, 7, 1000, 1100);
    chunk->flags |= FT_CHUNK_LAST | FT_REC_DIGESTS;
    chunk->seq = 35000;
    chunk->access = 510;
    chunk->released = 34000;
    chunk->outputs = 34010;
    chunk->digest = 0x0123456789abcdefull;
    chunk->slice = 0x1234;
    chunk->number = 2;
    chunk_add_run(4096, 2, false);
    chunk_add_run(5000, 300, true);
    chunk_add_output(34001, 1098, 34100, 64, 0, 1);
    chunk_add_output(34002, 1098, 34101, 64, 0, 1);
    chunk_add_output(34004, 1099, 34090, 1500, 54, 0);
    chunk_add_output(34005, 1100, 0, 42, 42, 0);
    chunk_add_output(34006, 1100, 34091, 60, 60, 0);
    chunk_finish();
}

static long decode_chunk(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    return ft_chunk_decode(bytes, len, CHUNK_LINES, chunk_back, sizeof(chunk_again), fault);
}

long chunk_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    return decode_exact(decode_chunk, bytes, len, fault);
}

/* ---- put together by hand ------------------------------------------------------------------------ */

struct forge forge;

void forge_begin(const uint64_t numbers[], unsigned count,
                 long (*decode)(const uint8_t *bytes, size_t len, struct ft_fault *fault))
{
    assert_true(count <= FORGE_NUMBERS);
    memcpy(forge.head, numbers, count * sizeof(numbers[0]));
    forge.plain = numbers;
    forge.numbers = count;
    forge.body_len = 0;
    forge.decode = decode;
}

void forge_put(const void *bytes, size_t len)
{
    assert_true(forge.body_len + len <= sizeof(forge.body));
    memcpy(forge.body + forge.body_len, bytes, len);
    forge.body_len += len;
}

static long try(struct ft_fault *fault)
{
    msgpack_sbuffer sb;
    msgpack_packer pk;

    msgpack_sbuffer_init(&sb);
    msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, forge.numbers + 2);
    for (unsigned i = 0; i < forge.numbers; i++)
        msgpack_pack_uint64(&pk, forge.head[i]);
    msgpack_pack_bin(&pk, forge.body_len);
    msgpack_pack_bin_body(&pk, forge.body, forge.body_len);
    uint64_t sum = XXH3_64bits(sb.data, sb.size);
    msgpack_pack_fix_uint64(&pk, sum);
    long used = forge.decode((uint8_t *)sb.data, sb.size, fault);
    if (used >= 0)
        assert_int_equal(used, sb.size);
    msgpack_sbuffer_destroy(&sb);
    return used;
}

void forge_refused(int error, const char *text)
{
    struct ft_fault fault = {""};
    long used = try(&fault);

    if (used != error || !strstr(fault.text, text))
        fail_msg("got %ld '%s', expected %d '%s'", used, fault.text, error, text);
}

void forge_number_refused(unsigned field, uint64_t value, int error, const char *text)
{
    assert_non_null(forge.plain);
    forge_begin(forge.plain, forge.numbers, forge.decode);
    forge.head[field] = value;
    forge_refused(error, text);
}

void forge_good(void)
{
    struct ft_fault fault = {""};

    if (try(&fault) < 0)
        fail_msg("refused: %s", fault.text);
}
