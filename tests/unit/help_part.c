/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: builds parts of deltas. Owns the buffers. */
#include "tests/unit/help_part.h"
#include "ftcore/record/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(8) uint8_t memory[FT_PART_MAX], again[FT_PART_MAX];
struct ft_part *const part = (struct ft_part *)memory, *const part_back = (struct ft_part *)again;

void part_begin(uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst)
{
    memset(memory, 0, sizeof(memory));
    part->lane = lane;
    part->flags = FT_REC_DELTA;
    part->cut = cut;
    part->from = from;
    part->burst = burst;
}

bool part_add_run(uint64_t line, uint32_t count, bool zero)
{
    static uint8_t bytes[FT_PART_LINES];
    const struct ft_line_run run = {.line = line, .count = count, .zero = zero, .bytes = bytes};

    if (count > sizeof(bytes) / FT_LINE)
        return false;
    for (uint32_t i = 0; i < count * FT_LINE; i++)
        bytes[i] = (uint8_t)(line + i * 11);
    return ft_run_append(ft_part_lines(part), &part->lines, FT_PART_LINES, &run);
}

void part_end_runs(void)
{
    assert_int_equal(part->lines % 8, 0);
}

void part_add_output(uint64_t number, uint64_t burst, uint64_t seq, uint32_t len, uint32_t have, uint8_t port)
{
    struct ft_part_output *o = (void *)(ft_part_held(part) + part->bytes);
    uint8_t *bytes = (uint8_t *)(o + 1);

    *o = (struct ft_part_output){number, burst, seq, len, have, port, {0}};
    for (uint32_t i = 0; i < have; i++)
        bytes[i] = (uint8_t)(number + i * 5);
    part->held++;
    part->bytes += (uint32_t)(sizeof(*o) + FT_ALIGN8(have));
}

void part_finish(void)
{
    part->size = ft_part_size(part->lines, part->bytes);
    assert_true(part->size <= sizeof(memory));
}

void part_sample(void)
{
    part_begin(3, 7, 1000, 1100);
    part->flags |= FT_PART_LAST | FT_REC_DIGEST;
    part->seq = 35000;
    part->access = 510;
    part->released = 34000;
    part->outputs = 34010;
    part->digest = 0x0123456789abcdefull;
    part->number = 2;
    part_add_run(4096, 2, false);
    part_add_run(5000, 300, true);
    part_end_runs();
    part_add_output(34001, 1098, 34100, 64, 0, 1);
    part_add_output(34002, 1098, 34101, 64, 0, 1);
    part_add_output(34004, 1099, 34090, 1500, 54, 0);
    part_add_output(34005, 1100, 0, 42, 42, 0);
    part_add_output(34006, 1100, 34091, 60, 60, 0);
    part_finish();
}

long part_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, bytes, len);
    fault->text[0] = '\0';
    long used = ft_part_decode(copy, len, PART_LINES, part_back, sizeof(again), fault);
    free(copy);
    if (used < 0 && strncmp(fault->text, "offset ", 7) != 0)
        fail_msg("fault without an offset: '%s'", fault->text);
    return used;
}
