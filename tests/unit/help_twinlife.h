/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the lane of help_twin.h only: what help_twinlane.c (orders, live) and help_twinreplay.c (replay)
 * share. */
#ifndef TESTS_UNIT_HELP_TWINLIFE_H
#define TESTS_UNIT_HELP_TWINLIFE_H

#include "ftcore/queue/hold.h"
#include "logger/capture.h"
#include "tests/unit/help_twin.h"

struct twin_life {
    struct twin_worker *w;
    struct twin_box *box;
    struct ft_lane *shared;
    struct ft_region *region;
    struct twin_lane_state *state; /* in the region, as are words */
    uint64_t *words;
    struct ft_hold hold;
    struct lg_capture capture;
    struct twin_delta delta;
    enum { TWIN_LOG, TWIN_DELTA } segment;
    bool stalled; /* a delta was left half: nothing more before the next snapshot */
    uint64_t order, gate, cut, snapshot_release, digest, quiet_since, burst_at, cut_due, now, copied;
    enum ft_order doing;
};

/* ---- help_twinlane.c ---- */
void twin_apply_input(struct twin_life *life, const uint8_t *bytes, uint32_t len, uint64_t time);
void twin_end_burst(struct twin_life *life, uint64_t time, unsigned n);
void twin_tell_executed(struct twin_life *life);
void twin_note_most(_Atomic uint64_t *word, uint64_t value); /* the largest value ever */

/* ---- help_twinreplay.c ---- */
/* Up to `most_records` records or chunks of bursts up to `upto`. False: there was nothing to do. */
bool twin_replay(struct twin_life *life, uint64_t upto, uint32_t most_records);
void twin_take_over(struct twin_life *life); /* all that is there, and drops the rest */

#endif
