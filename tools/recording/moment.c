/* SPDX-License-Identifier: Apache-2.0 */
/* See moment.h. */
#define _GNU_SOURCE /* timegm */
#include "tools/recording/moment.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND   1000000000ull
#define YEAR_END (2500 - 1900) /* ns since 1970 come to their end in 2554 */

/* ".123" as nanoseconds, up to nine digits; NULL: something else follows than `end`. */
static const char *read_fraction(const char *at, uint64_t *ns)
{
    uint64_t digit = SECOND / 10;

    *ns = 0;
    if (*at != '.')
        return at;
    for (at++; *at >= '0' && *at <= '9' && digit; at++, digit /= 10)
        *ns += (uint64_t)(*at - '0') * digit;
    return at;
}

static bool read_wall(struct nd_moment *out, const char *text)
{
    struct tm tm = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t ns;

    if (!at || tm.tm_year < 70 || tm.tm_year >= YEAR_END)
        return false;
    at = read_fraction(at, &ns);
    out->time = (uint64_t)timegm(&tm) * SECOND + ns;
    out->kind = ND_MOMENT_WALL;
    return strcmp(at, "Z") == 0;
}

static bool read_chain_time(struct nd_moment *out, const char *text)
{
    const char *point = strchr(text, '.'), *end;
    char seconds[16];
    uint64_t ns;

    if (!point || (size_t)(point - text) >= sizeof(seconds))
        return false;
    snprintf(seconds, sizeof(seconds), "%.*s", (int)(point - text), text);
    end = read_fraction(point, &ns);
    if (!nd_options_number(seconds, &out->time) || *end || end == point + 1 || out->time > UINT32_MAX)
        return false;
    out->time = out->time * SECOND + ns;
    out->kind = ND_MOMENT_CHAIN;
    return true;
}

static bool read_input(struct nd_moment *out, const char *text)
{
    const char *colon = strchr(text, ':');
    char lane[8];

    if (!colon || (size_t)(colon - text) >= sizeof(lane))
        return false;
    snprintf(lane, sizeof(lane), "%.*s", (int)(colon - text), text);
    out->kind = ND_MOMENT_INPUT;
    return nd_options_number(lane, &out->lane) && nd_options_number(colon + 1, &out->seq);
}

bool nd_moment_read(struct nd_moment *out, const char *text)
{
    *out = (struct nd_moment){.text = text};
    return strchr(text, 'T')   ? read_wall(out, text)
           : strchr(text, ':') ? read_input(out, text)
                               : read_chain_time(out, text);
}

/* By how much the wall clock was ahead of chain times between clock `i` - 1 and clock `i` of the file. */
static uint64_t ahead_of(const struct lg_recording *file, uint64_t i)
{
    const struct lg_clock *before = &file->clock[i ? i - 1 : 0], *behind = &file->clock[i];
    uint64_t least = before->wall - before->time;

    return i < file->clocks && behind->wall - behind->time < least ? behind->wall - behind->time : least;
}

/* The first of the file's clocks that is at this chain time or later; their number: none is. */
static uint64_t clock_at(const struct lg_recording *file, uint64_t time)
{
    uint64_t from = 0, to = file->clocks;

    while (from < to) {
        uint64_t middle = (from + to) / 2;

        if (file->clock[middle].time < time)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

bool nd_moment_is_known(const struct nd_moment *m, const struct lg_recording *file)
{
    return m->kind != ND_MOMENT_WALL || file->clocks;
}

uint64_t nd_moment_time(const struct nd_moment *m, const struct lg_recording *file)
{
    if (m->kind == ND_MOMENT_CHAIN || !file->clocks)
        return m->kind == ND_MOMENT_CHAIN ? m->time : 0;
    for (uint64_t i = 0;; i++) {
        uint64_t ahead = ahead_of(file, i), from = i ? file->clock[i - 1].time : 0,
                 time = m->time > ahead + from ? m->time - ahead : from;

        if (i == file->clocks || time <= file->clock[i].time)
            return time;
    }
}

uint64_t nd_moment_wall(const struct lg_recording *file, uint64_t time)
{
    return file->clocks ? time + ahead_of(file, clock_at(file, time)) : 0;
}

/* A lane that has executed nothing yet has the chain time 0, at which its machine began. */
uint64_t nd_moment_begin(const struct lg_recording *file)
{
    uint64_t time = nd_moment_latest(file->at, file->head.lanes);

    return time && file->clocks ? nd_moment_wall(file, time) : file->head.wall;
}

uint64_t nd_moment_end(const struct lg_recording *file)
{
    uint64_t time = nd_moment_latest(file->end, file->head.lanes);

    return file->clocks ? nd_moment_wall(file, time) : file->head.wall;
}

uint64_t nd_moment_latest(const struct lg_position at[], unsigned lanes)
{
    uint64_t last = 0;

    for (unsigned l = 0; l < lanes; l++)
        last = at[l].time > last ? at[l].time : last;
    return last;
}

bool nd_moment_is_before(const struct nd_moment *m, const struct lg_recording *file,
                         const struct lg_position end[])
{
    if (m->kind == ND_MOMENT_INPUT)
        return m->seq < end[m->lane].seq;
    return nd_moment_is_known(m, file) && nd_moment_time(m, file) < nd_moment_latest(end, file->head.lanes);
}

bool nd_moment_is_in(const struct nd_moment *m, const struct lg_recording *file)
{
    bool begun;

    if (m->kind == ND_MOMENT_INPUT)
        begun = m->lane < file->head.lanes && m->seq >= file->at[m->lane].seq;
    else if (m->kind == ND_MOMENT_CHAIN)
        begun = m->time >= nd_moment_latest(file->at, file->head.lanes);
    else
        begun = m->time >= nd_moment_begin(file);
    return begun && nd_moment_is_before(m, file, file->end);
}

void nd_moment_settle(const struct nd_moment *m, struct nd_index *index)
{
    if (m->kind == ND_MOMENT_INPUT)
        nd_index_until(index, (unsigned)m->lane, m->seq);
    else
        nd_index_until_time(index, nd_moment_time(m, index->file));
}
