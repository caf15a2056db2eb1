/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: builds log records. Owns the buffers. */
#include "tests/help/record.h"
#include "ftcore/base/draw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

long record_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, bytes, len);
    fault->text[0] = '\0';
    long used = ft_record_decode(copy, len, back, sizeof(again), fault);
    free(copy);
    if (used < 0 && strncmp(fault->text, "offset ", 7) != 0)
        fail_msg("fault without an offset: '%s'", fault->text);
    return used;
}
