/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be executed of a recording, and what has to be for a certain input. Made anew for each file; the
 * lanes of replay --log read it.
 */
#ifndef TOOLS_RECORDING_INDEX_H
#define TOOLS_RECORDING_INDEX_H

#include "logger/recorder/recording.h"

struct nd_index_burst {
    const uint8_t *content; /* the record in its wire form, in the mapped file */
    uint32_t len;
    uint32_t dependency, dependencies; /* of struct nd_index_lane.dependencies */
    uint64_t seq;                      /* of the first input after this burst */
    uint64_t time;                     /* chain time, ns */
    uint64_t access;                   /* number of the first shared access after this burst */
    uint64_t digest;
    bool has_digest, comparable; /* comparable: all lanes execute theirs of this digest */
};

struct nd_index_lane {
    struct nd_index_burst *burst;
    struct ft_dependency *dependencies;
    uint32_t count, dependencies_count;
    uint64_t room, dependencies_room;
    uint32_t upto; /* of `count`, how many are executed next */
    uint32_t done; /* how many have been, at an earlier moment */
};

struct nd_index {
    const struct lg_recording *file;
    unsigned lanes;
    struct nd_index_lane lane[FT_LANES_MAX];
};

/*
 * Reads all records. `upto` of every lane: the largest set of bursts of which none has a dependency to an
 * access outside it. A recording that was cut off has some that do. FT_ENOMEM.
 */
int nd_index_make(struct nd_index *index, const struct lg_recording *file, struct ft_fault *fault);
void nd_index_free(struct nd_index *index);

/* Sequence number of the lane's next input behind what is executed. */
uint64_t nd_index_seq(const struct nd_index *index, unsigned lane);
/*
 * Sets `upto` of every lane to what the burst with this input depends on, itself included: its past, and
 * nothing beside it but what is done. So the state that one comes to is the same every time. The input must
 * be within the set.
 */
void nd_index_until(struct nd_index *index, unsigned lane, uint64_t seq);
/* The same, of what another recording begins with: at[lanes]. False: these lanes do not come to it, together
 * and by the same numbers. */
bool nd_index_until_position(struct nd_index *index, const struct lg_position at[]);
/* The same, of all bursts up to a chain time, and what they depend on. */
void nd_index_until_time(struct nd_index *index, uint64_t time);
/* Which digests can be compared: `upto` is final. */
void nd_index_settle(struct nd_index *index);

#endif
