/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay --crash: what a node died of, executed again. Reads what its reporter wrote (node/crash), executes
 * the node's recording to the burst that it crashed in, and that one, in a process of its own, and compares
 * the two deaths. Where no recording reaches the crash, the inputs that the reporter saved, from a fresh
 * state.
 */
#ifndef TOOLS_RECORDING_CRASH_H
#define TOOLS_RECORDING_CRASH_H

#include "tools/recording/recording.h"

/* How a process died: as a report tells it, or as its handler of fatal signals told here. */
struct nd_death {
    char signal[16], nf[FT_CRASH_NAME], doing[16]; /* signal "": none; nf "": none */
    bool hangs, overflow;
    char symbol[128], object[256]; /* of the instruction; "": not known */
    uint64_t offset;               /* in the object */
};

/* What is taken from report.json. */
struct nd_incident {
    char directory[256], line[LG_LINE_MAX], node[64], recording[256], build[64];
    struct nd_death death;
    int lane; /* -1: none */
    uint64_t burst, wall;
    unsigned packet; /* of the burst, from 1; 0: not known */
};

/* 0, or FT_ENOENT, FT_EPERM, FT_EMALFORMED with one line; a node that was killed crashed in nothing. */
int nd_incident_read(struct nd_incident *out, const char *directory, struct ft_fault *fault);
/* Opens the recording that ends with this crash, and what leads to it: in `paths`, which ends with NULL, or
 * when that is empty where the node recorded. 0, or with one line. */
int nd_incident_recording(struct nd_log_files *files, const struct nd_incident *report,
                          const char *const paths[], struct ft_fault *fault);
/* It crashed between bursts, in an answer to `show`. */
bool nd_incident_is_show(const struct nd_incident *report);
/* Whether the burst is among what the recording ends with; of `show`: whether the burst before it is its
 * last. */
bool nd_incident_has_burst(const struct nd_log_files *files, const struct nd_incident *report);
/* The whole command; an exit code. */
int nd_replay_crash(const struct nd_log_options *options);

/* ---- gdb.c ---- */

/* The same command line under gdb, stopped before the packet. Comes back only when there is no gdb: an exit
 * code. */
int nd_replay_gdb(const struct nd_log_options *options, int argc, char **argv);

#endif
