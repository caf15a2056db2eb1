/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of lines of the region: the bulk of a snapshot, the lines of a delta, and those of a recording.
 *
 * A run is u64 first line | u32 count | u32 flags, little-endian, then count * 64 bytes unless flags is 1:
 * all zero. Of a snapshot the order of runs means nothing; those of a chunk of a delta rise. Runs are written
 * by whoever copies lines (the primary's lanes and its resync, the flight recorder) and read by whoever
 * applies them.
 */
#ifndef FTCORE_RECORD_RUNS_H
#define FTCORE_RECORD_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#define FT_LINE_RUN_HEAD 16u /* bytes before the lines of a run */

struct ft_line_run {
    uint64_t line;
    uint32_t count; /* at least 1 */
    bool zero;
    const uint8_t *bytes; /* NULL for zero */
};

/* The lines of `memory` from `line` on that are all zero or all not, as a run: at least one, at most `most`.
 */
struct ft_line_run ft_line_run_at(const uint8_t *memory, uint64_t line, uint64_t most);
/* Appends a run to out[0..*len). False: it would exceed `cap`, and nothing is written. */
bool ft_line_run_append(uint8_t *out, uint32_t *len, uint32_t cap, const struct ft_line_run *run);
/* The same of a run that is not zero: where its bytes are to be written, or NULL. */
uint8_t *ft_line_run_room(uint8_t *out, uint32_t *len, uint32_t cap, uint64_t line, uint32_t count);
/* Reads the run at *at of in[0..len) and steps over it; the region has `lines` lines. 1: a run, 0: the end,
 * FT_EMALFORMED: cut short or outside the region. */
int ft_line_run_next(const uint8_t *in, uint32_t len, uint32_t *at, uint64_t lines, struct ft_line_run *run);

#endif
