/* SPDX-License-Identifier: Apache-2.0 */
/* See moment.h. */
#define _GNU_SOURCE
#include "tools/pair/tape.h"
#include "tools/recording/moment.h"
#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ==== what can be executed: records by lane, and closed sets of them =================================== */

/* ---- reading ----------------------------------------------------------------------------------- */

static bool add_burst(struct nd_index_lane *lane, const struct lg_frame *f, const struct ft_record *r)
{
    const struct ft_dependency *dependencies =
        (const void *)((const uint8_t *)r + ft_record_dependencies_at(r));

    if (!nd_grow((void **)&lane->burst, &lane->room, lane->count + 1, sizeof(lane->burst[0]), 256) ||
        !nd_grow((void **)&lane->dependencies, &lane->dependencies_room,
                 lane->dependencies_count + r->dependencies, sizeof(dependencies[0]), 256))
        return false;
    lane->burst[lane->count++] = (struct nd_index_burst){.content = f->content,
                                                         .len = f->len,
                                                         .dependency = lane->dependencies_count,
                                                         .dependencies = r->dependencies,
                                                         .seq = r->seq + r->inputs,
                                                         .time = r->time,
                                                         .access = r->access + r->accesses,
                                                         .digest = r->digest,
                                                         .has_digest = (r->flags & FT_REC_DIGEST) != 0};
    for (unsigned i = 0; i < r->dependencies; i++)
        lane->dependencies[lane->dependencies_count++] = dependencies[i];
    return true;
}

static int read_records(struct nd_index *index, struct ft_record *room, struct ft_fault *fault)
{
    struct lg_frame f;
    uint64_t at = 0;

    while (lg_recording_next(index->file, &at, &f)) {
        if (f.type != LG_RECORD)
            continue;
        FT_CHECK(ft_record_decode(f.content, f.len, room, FT_RECORD_MAX, fault) > 0,
                 "a record that was read before: %s", fault->text);
        if (room->burst > index->file->end[room->lane].burst) /* it had not ended when the node did */
            continue;
        if (!add_burst(&index->lane[room->lane], &f, room))
            return ft_fail(fault, FT_ENOMEM, "no memory for the index of %.160s", index->file->file);
    }
    return 0;
}

/* ---- sets of bursts ---------------------------------------------------------------------------- */

/* The lane's next access behind its first `count` bursts. */
static uint64_t access_after(const struct nd_index *index, unsigned lane, uint32_t count)
{
    return count ? index->lane[lane].burst[count - 1].access : index->file->at[lane].access;
}

static bool depends_inside(const struct nd_index *index, const struct nd_index_lane *lane, uint32_t burst)
{
    const struct nd_index_burst *b = &lane->burst[burst];

    for (uint32_t i = 0; i < b->dependencies; i++) {
        const struct ft_dependency *e = &lane->dependencies[b->dependency + i];

        if (e->lane >= index->lanes || e->access >= access_after(index, e->lane, index->lane[e->lane].upto))
            return false;
    }
    return true;
}

/* Takes away what has a dependency out of the set, until nothing has. */
static void close_set(struct nd_index *index)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned l = 0; l < index->lanes; l++) {
            struct nd_index_lane *lane = &index->lane[l];
            uint32_t n = 0;

            while (n < lane->upto && depends_inside(index, lane, n))
                n++;
            changed |= n < lane->upto;
            lane->upto = n;
        }
    }
}

/* How many of the lane's bursts it takes until `access` has been made. */
static uint32_t bursts_to(const struct nd_index *index, unsigned lane, uint64_t access)
{
    uint32_t low = 0, high = index->lane[lane].count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (access_after(index, lane, middle) > access)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Adds what the set's dependencies name, until nothing is missing. `seen`: bursts whose dependencies were
 * followed. */
static void add_past(struct nd_index *index)
{
    uint32_t seen[FT_LANES_MAX] = {0};

    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned l = 0; l < index->lanes; l++) {
            const struct nd_index_lane *lane = &index->lane[l];

            for (; seen[l] < lane->upto; seen[l]++)
                for (uint32_t i = 0; i < lane->burst[seen[l]].dependencies; i++) {
                    const struct ft_dependency *e = &lane->dependencies[lane->burst[seen[l]].dependency + i];
                    uint32_t needed = bursts_to(index, e->lane, e->access);

                    if (needed > index->lane[e->lane].upto)
                        index->lane[e->lane].upto = needed;
                    changed = true;
                }
        }
    }
}

/* ---- digests ----------------------------------------------------------------------------------- */

static struct nd_index_burst *find_digest(const struct nd_index_lane *lane, uint64_t digest)
{
    for (uint32_t i = lane->done; i < lane->upto; i++)
        if (lane->burst[i].has_digest && lane->burst[i].digest == digest)
            return &lane->burst[i];
    return NULL;
}

void nd_index_settle(struct nd_index *index)
{
    for (uint32_t i = index->lane[0].done; i < index->lane[0].upto; i++) {
        const struct nd_index_burst *b = &index->lane[0].burst[i];
        bool all = b->has_digest;

        for (unsigned l = 0; all && l < index->lanes; l++)
            all = find_digest(&index->lane[l], b->digest) != NULL;
        for (unsigned l = 0; all && l < index->lanes; l++)
            find_digest(&index->lane[l], b->digest)->comparable = true;
    }
}

/* ---- the whole --------------------------------------------------------------------------------- */

int nd_index_make(struct nd_index *index, const struct lg_recording *file, struct ft_fault *fault)
{
    struct ft_record *room = aligned_alloc(64, FT_RECORD_MAX);
    int error;

    *index = (struct nd_index){.file = file, .lanes = file->head.lanes};
    error = room ? read_records(index, room, fault) : ft_fail(fault, FT_ENOMEM, "no memory for a record");
    free(room);
    for (unsigned l = 0; l < index->lanes; l++)
        index->lane[l].upto = index->lane[l].count;
    if (error)
        nd_index_free(index);
    else
        close_set(index);
    return error;
}

void nd_index_free(struct nd_index *index)
{
    for (unsigned l = 0; l < index->lanes; l++) {
        free(index->lane[l].burst);
        free(index->lane[l].dependencies);
    }
    *index = (struct nd_index){.lanes = 0};
}

uint64_t nd_index_seq(const struct nd_index *index, unsigned lane)
{
    const struct nd_index_lane *l = &index->lane[lane];

    return l->upto ? l->burst[l->upto - 1].seq : index->file->at[lane].seq;
}

void nd_index_until(struct nd_index *index, unsigned lane, uint64_t seq)
{
    uint32_t n = 0;

    while (n < index->lane[lane].upto && index->lane[lane].burst[n].seq <= seq)
        n++;
    for (unsigned l = 0; l < index->lanes; l++)
        index->lane[l].upto = index->lane[l].done;
    if (n + 1 > index->lane[lane].upto)
        index->lane[lane].upto = n + 1;
    add_past(index);
}

/* The lane's position behind its first `count` bursts; what it does not know is 0. */
static struct lg_position position_after(const struct nd_index *index, unsigned lane, uint64_t count)
{
    const struct lg_position *begin = &index->file->at[lane];
    const struct nd_index_burst *last = count ? &index->lane[lane].burst[count - 1] : NULL;

    return (struct lg_position){.burst = begin->burst + count,
                                .seq = last ? last->seq : begin->seq,
                                .time = last ? last->time : begin->time,
                                .access = last ? last->access : begin->access};
}

bool nd_index_until_position(struct nd_index *index, const struct lg_position at[])
{
    uint64_t count[FT_LANES_MAX];
    bool same = true;

    for (unsigned l = 0; l < index->lanes && same; l++) {
        struct lg_position own;

        count[l] = at[l].burst - index->file->at[l].burst;
        if (count[l] > index->lane[l].upto)
            return false;
        own = position_after(index, l, count[l]);
        same = own.seq == at[l].seq && own.time == at[l].time && own.access == at[l].access;
    }
    for (unsigned l = 0; l < index->lanes && same; l++)
        index->lane[l].upto = (uint32_t)count[l];
    close_set(index); /* of nodes that tell the truth it is closed already */
    for (unsigned l = 0; l < index->lanes && same; l++)
        same = index->lane[l].upto == count[l];
    return same;
}

/* The same, of all bursts up to a chain time, and what they depend on. */
static void index_until_time(struct nd_index *index, uint64_t time)
{
    for (unsigned l = 0; l < index->lanes; l++) {
        struct nd_index_lane *lane = &index->lane[l];
        uint32_t n = lane->done;

        while (n < lane->upto && lane->burst[n].time <= time)
            n++;
        lane->upto = n;
    }
    add_past(index);
}

/* ==== moments ========================================================================================== */

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
        index_until_time(index, nd_moment_time(m, index->file));
}
