/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of lines: writing and reading; see runs.h. */
#include "ftcore/record/runs.h"

#include "ftcore/base/check.h"
#include "ftcore/base/error.h"
#include "ftcore/region/region.h"

#include <string.h>

#define RUN_ZERO 1u

struct ft_line_run ft_line_run_at(const uint8_t *memory, uint64_t line, uint64_t most)
{
    static const uint8_t zero[FT_LINE];
    const uint8_t *at = memory + (line << FT_LINE_SHIFT);
    struct ft_line_run run = {.line = line, .count = 1, .zero = memcmp(at, zero, FT_LINE) == 0};

    while (run.count < most && (memcmp(at + (size_t)run.count * FT_LINE, zero, FT_LINE) == 0) == run.zero)
        run.count++;
    run.bytes = run.zero ? NULL : at;
    return run;
}

/* A run's head; where its bytes go, or NULL: no room for both. */
static uint8_t *put_run(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count,
                        uint32_t flags)
{
    uint64_t bytes = flags & RUN_ZERO ? 0 : (uint64_t)count * FT_LINE;

    FT_CHECK(count && *len <= cap, "run of %u lines at %u of %u", count, *len, cap);
    if (cap - *len < FT_LINE_RUN_HEAD + bytes)
        return NULL;
    out += *len;
    memcpy(out, &line, 8);
    memcpy(out + 8, &count, 4);
    memcpy(out + 12, &flags, 4);
    *len += FT_LINE_RUN_HEAD + (uint32_t)bytes;
    return out + FT_LINE_RUN_HEAD;
}

uint8_t *ft_line_run_room(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count)
{
    return put_run(out, len, cap, line, count, 0);
}

bool ft_line_run_append(uint8_t *out, uint32_t *len, uint32_t cap, const struct ft_line_run *run)
{
    uint8_t *room = put_run(out, len, cap, run->line, run->count, run->zero ? RUN_ZERO : 0);

    if (room && !run->zero)
        memcpy(room, run->bytes, (size_t)run->count * FT_LINE);
    return room;
}

int ft_line_run_next(const uint8_t *in, uint32_t len, uint32_t *at, uint64_t lines, struct ft_line_run *run)
{
    uint32_t flags;

    if (*at == len)
        return 0;
    if (*at > len || len - *at < FT_LINE_RUN_HEAD)
        return FT_EMALFORMED;
    in += *at;
    memcpy(&run->line, in, 8);
    memcpy(&run->count, in + 8, 4);
    memcpy(&flags, in + 12, 4);
    run->zero = flags == RUN_ZERO;
    run->bytes = run->zero ? NULL : in + FT_LINE_RUN_HEAD;
    if (flags > RUN_ZERO || run->count == 0 || run->count > lines || run->line > lines - run->count)
        return FT_EMALFORMED;
    uint64_t bytes = run->zero ? 0 : (uint64_t)run->count * FT_LINE;
    if (len - *at - FT_LINE_RUN_HEAD < bytes)
        return FT_EMALFORMED;
    *at += FT_LINE_RUN_HEAD + (uint32_t)bytes;
    return 1;
}
