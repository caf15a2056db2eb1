/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two small formats beside the messages: runs of lines, the bulk of a snapshot (written by the primary's
 * resync, read by the standby's), and the death notice (written by a guardian, read by the peer's link).
 *
 * A run is u64 first line | u32 count | u32 flags, little-endian, then count * 64 bytes unless flags is 1:
 * all zero. The order of runs means nothing.
 *
 * A word is 40 bytes: "understu" | u32 version | u32 zero | u64 incarnation | u64 view | u64 XXH3-64 of what
 * is before. The incarnation is what a stranger cannot know; the receiver compares it with the peer's.
 */
#include "ftcore/record/message.h"

#include "ftcore/base/check.h"

#include <string.h>
#include <xxhash.h>

#define RUN_HEAD         16u
#define RUN_ZERO         1u
#define DEATH_NOTICE_SUM (FT_DEATH_NOTICE_BYTES - 8u)

static const uint8_t death_notice_magic[16] = {'u', 'n', 'd', 'e', 'r', 's', 't', 'u', FT_STREAM_VERSION};

/* A run's head; where its bytes go, or NULL: no room for both. */
static uint8_t *put_run(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count,
                        uint32_t flags)
{
    uint64_t bytes = flags & RUN_ZERO ? 0 : (uint64_t)count * FT_LINE;

    FT_CHECK(count && *len <= cap, "run of %u lines at %u of %u", count, *len, cap);
    if (cap - *len < RUN_HEAD + bytes)
        return NULL;
    out += *len;
    memcpy(out, &line, 8);
    memcpy(out + 8, &count, 4);
    memcpy(out + 12, &flags, 4);
    *len += RUN_HEAD + (uint32_t)bytes;
    return out + RUN_HEAD;
}

uint8_t *ft_run_room(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count)
{
    return put_run(out, len, cap, line, count, 0);
}

bool ft_run_append(uint8_t *out, uint32_t *len, uint32_t cap, const struct ft_line_run *run)
{
    uint8_t *room = put_run(out, len, cap, run->line, run->count, run->zero ? RUN_ZERO : 0);

    if (room && !run->zero)
        memcpy(room, run->bytes, (size_t)run->count * FT_LINE);
    return room;
}

int ft_run_next(const uint8_t *in, uint32_t len, uint32_t *at, uint64_t lines, struct ft_line_run *run)
{
    uint32_t flags;

    if (*at == len)
        return 0;
    if (*at > len || len - *at < RUN_HEAD)
        return FT_EMALFORMED;
    in += *at;
    memcpy(&run->line, in, 8);
    memcpy(&run->count, in + 8, 4);
    memcpy(&flags, in + 12, 4);
    run->zero = flags == RUN_ZERO;
    run->bytes = run->zero ? NULL : in + RUN_HEAD;
    if (flags > RUN_ZERO || run->count == 0 || run->count > lines || run->line > lines - run->count)
        return FT_EMALFORMED;
    uint64_t bytes = run->zero ? 0 : (uint64_t)run->count * FT_LINE;
    if (len - *at - RUN_HEAD < bytes)
        return FT_EMALFORMED;
    *at += RUN_HEAD + (uint32_t)bytes;
    return 1;
}

void ft_death_notice_encode(const struct ft_death_notice *word, uint8_t out[FT_DEATH_NOTICE_BYTES])
{
    memcpy(out, death_notice_magic, 16);
    memcpy(out + 16, &word->incarnation, 8);
    memcpy(out + 24, &word->view, 8);
    uint64_t sum = XXH3_64bits(out, DEATH_NOTICE_SUM);
    memcpy(out + DEATH_NOTICE_SUM, &sum, 8);
}

int ft_death_notice_decode(const uint8_t *in, size_t len, struct ft_death_notice *word)
{
    uint64_t sum;

    if (len != FT_DEATH_NOTICE_BYTES || memcmp(in, death_notice_magic, 16))
        return FT_EMALFORMED;
    memcpy(&sum, in + DEATH_NOTICE_SUM, 8);
    if (sum != XXH3_64bits(in, DEATH_NOTICE_SUM))
        return FT_ECHECKSUM;
    memcpy(&word->incarnation, in + 16, 8);
    memcpy(&word->view, in + 24, 8);
    return 0;
}
