/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay --log: what the flight recorder kept, executed again by lanes of its own. Its files
 * (replay/files.c, replay/recordings.c), what of them can be executed (replay/index.c), the whole
 * (replay/log.c), one lane of it (replay/log_lane.c), what is told of it (replay/log_print.c).
 *
 * Every lane but the first is a thread: the first runs on the caller's, so one lane alone is one thread, for
 * a debugger. Threads follow the dependencies as a standby's lanes do, with the same code; their order beyond
 * that makes no difference. (One thread for all lanes would have to change lanes within bursts: two bursts
 * may each wait for an access of the other.)
 *
 * Where one file ends and the next begins all lanes are quiesced: they are joined there, and the snapshot is
 * compared.
 */
#ifndef TOOLS_REPLAY_LOG_H
#define TOOLS_REPLAY_LOG_H

#include "logger/recorder/recording.h"
#include "node/lane/lane.h"
#include "tools/replay/replay.h"
#include "tools/replay/index.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>

#define ND_LOG_LAST 8u

struct nd_log_files {
    struct lg_recording *all; /* what was found, by when it ends */
    uint64_t found, room;
    /* Those that are executed: each begins at a moment that the one before it has, and the first has the
     * snapshot to begin from. */
    struct lg_recording **list;
    unsigned count;
};

/* Of each path its recordings (it is a node's directory), those of the directories in it, or itself (a file).
 * `paths` ends with NULL. 0, or with one line. What is passed over is told on stderr. */
int nd_log_files_open(struct nd_log_files *files, const char *const paths[], struct ft_fault *fault);
void nd_log_files_close(struct nd_log_files *files);
/* `list`: up to the newest file that has the moment `to` and is led to by way of `from`. NULL: anything. A
 * count of 0: there is none. FT_ENOMEM. What is passed over, and where a torn file ends, is told on stderr.
 */
int nd_log_files_choose(struct nd_log_files *files, const struct nd_moment *from, const struct nd_moment *to,
                        struct ft_fault *fault);
/* Whether a file may have the moment at which `next` begins: by what is known without reading records. */
bool nd_log_may_have(const struct lg_recording *file, const struct lg_recording *next);

/* ---- replay/recordings.c ---- */

/* All that was found, oldest first, and what is missing in between: for people on `out`, and for JSON. */
json_t *nd_log_print_recordings(const struct nd_log_files *files, FILE *out);
/* The usage error for moments that cannot be come to: one line, which says what is there. An exit code. */
int nd_log_refuse_moments(const struct nd_log_files *files, const struct nd_moment *from,
                          const struct nd_moment *to);

/* An input, and what became of it. */
struct nd_log_input {
    unsigned lane;
    uint64_t seq, time, wall; /* ns; wall 0: not known */
    struct nf_packet in, out; /* data NULL */
};

/* Frames of a lane that are kept for -w or --inputs, in order. */
struct nd_log_frame {
    uint64_t time, at; /* wall clock where it is known, else chain time; at: of its bytes */
    uint32_t have, len;
};
struct nd_log_frames {
    struct nd_log_frame *list;
    uint8_t *bytes;
    uint64_t count, used, room, byte_room;
    bool lost; /* there was no memory for one */
};

struct nd_log;

struct nd_log_lane {
    struct nd_log *log;
    struct nd_lane *lane;
    struct ft_record *record;
    const struct nd_index_lane *index; /* of the file that is executed */
    struct nd_log_frames came, left;
    pthread_t thread;
    struct nd_log_input last[ND_LOG_LAST];
    uint64_t inputs, dropped, outputs, bursts, digests;
};

struct nd_log {
    const struct nd_replay_options *options;
    struct nd_config *config;
    struct nd_log_files files;
    struct nd_index index; /* of the file that is executed */
    unsigned lanes;
    struct ft_lane words[FT_LANES_MAX];
    struct nd_lanes node;
    struct nd_log_lane of_lane[FT_LANES_MAX];
    struct nd_io io;
    const struct nd_moment *from, *to; /* NULL: the recording's begin, its end */
    bool begun;                        /* `from` has been reached: frames are kept */
    json_t *before;                    /* --diff: what the NFs showed then (replay/log_state.c) */
    uint64_t snapshots;
    bool stopped;  /* at `to` */
    bool diverged; /* told by then */
};

/* The whole command; an exit code. */
int nd_replay_log(const struct nd_replay_options *options);

/* ---- replay/log_lane.c ---- */
/* Executes the lane's bursts of the present file, up to its `upto`. A thread's main function. */
void *nd_log_run(void *log_lane);
/* What -w and --inputs ask for: frames as a capture, by time, those of one time by lane. */
int nd_log_dump(struct nd_log *log, struct ft_fault *fault);

/* ---- replay/log_state.c ---- */

/* The NF's counters by name, of all lanes together. `nf`: of any lane. */
json_t *nd_log_counters(const struct nd_log *log, const struct nf *nf);
/* What the NFs show and count now, of all lanes; NULL: no memory, or an NF shows what is no JSON. */
json_t *nd_log_state(const struct nd_log *log);
/* The rows of --show, and what --diff found: for people on `out`, and for JSON. */
json_t *nd_log_print_rows(const struct nd_log *log, FILE *out);
json_t *nd_log_print_diff(const struct nd_log *log, FILE *out);

/* ---- replay/log_print.c ---- */
int nd_log_print(const struct nd_log *log); /* an exit code: 0, or what printing came to */

#endif
