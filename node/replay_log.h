/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay --log: what the flight recorder kept, executed again by a lane of its own, on one thread. Its files
 * (replay_files.c), the execution (replay_log.c), what is told of it (replay_log_print.c).
 */
#ifndef NODE_REPLAY_LOG_H
#define NODE_REPLAY_LOG_H

#include "logger/recording.h"
#include "node/lane.h"
#include "node/replay.h"

#define ND_LOG_LAST 8u

/* Files that belong together: each goes on where the one before it ends. */
struct nd_log_files {
    struct lg_recording *list;
    unsigned count, first; /* the first one has the base to begin from */
};

/* A directory (the newest recording in it that has a base) or a single file. 0, or with one line. What is
 * passed over, and where a torn file ends, is told on stderr. */
int nd_log_files_open(struct nd_log_files *files, const char *path, struct ft_fault *fault);
void nd_log_files_close(struct nd_log_files *files);

/* An input, and what became of it. */
struct nd_log_input {
    uint64_t clock, time;
    struct nf_packet in, out; /* data NULL */
};

struct nd_log {
    const struct nd_replay_options *options;
    struct nd_config *config;
    struct nd_log_files files;
    struct ft_region *region;
    struct ft_lane *shared;
    struct nd_lane lane;
    struct nd_group group;
    struct nd_io io;
    _Atomic uint64_t view;
    _Atomic bool stop;
    struct ft_record *record;
    pcap_dumper_t *dump;

    struct nd_log_input last[ND_LOG_LAST];
    uint64_t inputs, dropped, outputs, bursts, digests, bases;
    bool stopped;  /* at --until */
    bool diverged; /* told by then */
};

/* The whole command; an exit code. */
int nd_replay_log(const struct nd_replay_options *options);

/* ---- replay_log_print.c ---- */
int nd_log_print(const struct nd_log *log); /* an exit code: 0, or what printing came to */

#endif
