/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: builds chunks of deltas. Owns the buffers. */
#include "tests/help/chunk.h"
#include "ftcore/record/message.h"
#include "ftcore/record/delta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(8) uint8_t memory[FT_CHUNK_MAX], again[FT_CHUNK_MAX];
struct ft_chunk *const chunk = (struct ft_chunk *)memory, *const chunk_back = (struct ft_chunk *)again;

void chunk_begin(uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst)
{
    memset(memory, 0, sizeof(memory));
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

void chunk_end_runs(void)
{
    assert_int_equal(chunk->lines % 8, 0);
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
    assert_true(chunk->size <= sizeof(memory));
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
    chunk_end_runs();
    chunk_add_output(34001, 1098, 34100, 64, 0, 1);
    chunk_add_output(34002, 1098, 34101, 64, 0, 1);
    chunk_add_output(34004, 1099, 34090, 1500, 54, 0);
    chunk_add_output(34005, 1100, 0, 42, 42, 0);
    chunk_add_output(34006, 1100, 34091, 60, 60, 0);
    chunk_finish();
}

long chunk_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault)
{
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, bytes, len);
    fault->text[0] = '\0';
    long used = ft_chunk_decode(copy, len, CHUNK_LINES, chunk_back, sizeof(again), fault);
    free(copy);
    if (used < 0 && strncmp(fault->text, "offset ", 7) != 0)
        fail_msg("fault without an offset: '%s'", fault->text);
    return used;
}
