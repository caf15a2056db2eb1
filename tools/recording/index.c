/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what can be executed of a recording: records by lane, and closed sets of them. */
#include "tools/recording/index.h"
#include "tools/pair/tape.h"

#include <stdlib.h>

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

void nd_index_until_time(struct nd_index *index, uint64_t time)
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
