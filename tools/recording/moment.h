/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index says what can be executed of a recording, and what has to be for a certain input: made anew for
 * each file, read by the lanes of replay --log. A moment is a place in a recording as an operator names it:
 * an input of a lane by its number, or a time; it owns nothing.
 */
#ifndef TOOLS_RECORDING_MOMENT_H
#define TOOLS_RECORDING_MOMENT_H

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
/* Which digests can be compared: `upto` is final. */
void nd_index_settle(struct nd_index *index);

enum nd_moment_kind {
    ND_MOMENT_NONE,
    ND_MOMENT_INPUT, /* "LANE:SEQ": up to the burst with this input, and what that depends on */
    ND_MOMENT_CHAIN, /* "SECONDS.NANOSECONDS" of chain time: every burst up to then */
    ND_MOMENT_WALL,  /* "2026-11-22T07:48:25.123Z" */
};

struct nd_moment {
    enum nd_moment_kind kind;
    const char *text; /* as it was written; borrowed */
    uint64_t lane, seq;
    uint64_t time; /* ns, of chain time or since 1970 */
};

/* False: none of the three. */
bool nd_moment_read(struct nd_moment *out, const char *text);

/* False: a moment of the wall clock, which a file without clocks does not know. */
bool nd_moment_is_known(const struct nd_moment *m, const struct lg_recording *file);
/* The chain time that a file tells for a moment of ND_MOMENT_CHAIN or ND_MOMENT_WALL: the first at which the
 * wall clock, which may have been set meanwhile, said that or later. 0: not known. */
uint64_t nd_moment_time(const struct nd_moment *m, const struct lg_recording *file);
/* The wall clock at a chain time, ns since 1970; 0: not known. */
uint64_t nd_moment_wall(const struct lg_recording *file, uint64_t time);

/* The wall clock where a file begins and where its last burst is, ns since 1970: nearly, in a file without
 * clocks. */
uint64_t nd_moment_begin(const struct lg_recording *file);
uint64_t nd_moment_end(const struct lg_recording *file);

/* The latest chain time of the lanes, at[lanes]. */
uint64_t nd_moment_latest(const struct lg_position at[], unsigned lanes);
/* Whether the moment is in what a file's lanes came to, `end`[lanes]; else it is in a later file, or nowhere.
 */
bool nd_moment_is_before(const struct nd_moment *m, const struct lg_recording *file,
                         const struct lg_position end[]);
/* Whether it is neither that, nor earlier than where the file begins. */
bool nd_moment_is_in(const struct nd_moment *m, const struct lg_recording *file);

/* Sets `upto` of every lane to what the moment comes to: a closed set, with all that was executed already. */
void nd_moment_settle(const struct nd_moment *m, struct nd_index *index);

#endif
