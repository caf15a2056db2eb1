/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A moment of a recording, as an operator names it: an input of a lane by its number, or a time. Where it is
 * in the files, and which bursts had been executed by then. Owns nothing.
 */
#ifndef TOOLS_RECORDING_MOMENT_H
#define TOOLS_RECORDING_MOMENT_H

#include "tools/recording/index.h"

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
