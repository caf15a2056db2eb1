/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the flight recorder kept, executed again by lanes of its own (replay --log): which files, and what is
 * in them (files.c); the execution, and the captures of what came in and left (execute.c); what is printed of
 * it (print.c). Bursts that had not ended when the node did are listed; replay --crash (crash.c) executes the
 * burst that the node crashed in.
 *
 * Every lane but the first is a thread: the first runs on the caller's, so one lane alone is one thread, for
 * a debugger. Threads follow the dependencies as a standby's lanes do, with the same code; their order beyond
 * that makes no difference. (One thread for all lanes would have to change lanes within bursts: two bursts
 * may each wait for an access of the other.)
 *
 * Where one file ends and the next begins all lanes are quiesced: they are joined there, and the snapshot is
 * compared.
 */
#ifndef TOOLS_RECORDING_RECORDING_H
#define TOOLS_RECORDING_RECORDING_H

#include "understudy/config/options.h"
#include "logger/recorder/recording.h"
#include "understudy/crash/page.h"
#include "lane/lane.h"
#include "nflib/chain/trace.h"
#include "understudy/pair/member.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>

#define ND_LOG_LAST 8u
#define ND_LOGS_MAX 8u

/* ---- files.c ---- */

/* What can be executed of a file: made anew for each, read by the lanes. */

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
/* Sets `upto` of every lane to what another recording begins with: at[lanes]. False: these lanes do not come
 * to it, together and by the same numbers. */
bool nd_index_until_position(struct nd_index *index, const struct lg_position at[]);
/* Which digests can be compared: `upto` is final. */
void nd_index_settle(struct nd_index *index);

/* A moment is a place in a recording as an operator names it: an input of a lane by its number, or a time; it
 * owns nothing. */

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

/* The wall clock at a chain time, ns since 1970; 0: not known. */
uint64_t nd_moment_wall(const struct lg_recording *file, uint64_t time);

/* Whether the moment is in what a file's lanes came to, `end`[lanes]; else it is in a later file, or nowhere.
 */
bool nd_moment_is_before(const struct nd_moment *m, const struct lg_recording *file,
                         const struct lg_position end[]);
/* Sets `upto` of every lane to what the moment comes to: a closed set, with all that was executed already. */
void nd_moment_settle(const struct nd_moment *m, struct nd_index *index);

/* What an operator asks of a recording. `config`, `output`, `show` and `json` have a meaning with a capture,
 * too. */
struct nd_log_options {
    const char *config, *output;        /* output NULL: none */
    const char *show, *inputs;          /* an NF whose rows are wanted; a file for what came in; NULL: none */
    const char *paths[ND_LOGS_MAX + 1]; /* --log; NULL ends it */
    const char *crash;                  /* --crash: a reporter's directory; NULL: none */
    struct nd_log_flow { /* --flow: packets that have all of these ends, coming in or leaving */
        uint32_t count;
        struct nf_addr addr[2];
        uint16_t port[2]; /* network order; 0: any */
    } flow;
    bool drops; /* --drops: those that the chain dropped; with a flow, of it */
    struct nd_moment at,
        until; /* with both `at` is the earlier one: what is written and compared begins there */
    bool diff, gdb, json;
};

struct nd_log_unread {
    char file[512];
    int error;
    struct ft_fault why;
};

struct nd_log_files {
    struct lg_recording *all; /* what was found, by when it ends */
    uint64_t found, room;
    struct nd_log_unread *unread; /* what was found and cannot be read */
    uint64_t unread_count, unread_room;
    /* Those that are executed: each begins at a moment that the one before it has, and the first has the
     * snapshot to begin from. */
    struct lg_recording **list;
    unsigned count;
};

/* Of each path its recordings (it is a node's directory), those of the directories in it, or itself (a file).
 * `paths` ends with NULL. 0, or with one line, as for a path of which nothing can be read. */
int nd_log_files_open(struct nd_log_files *files, const char *const paths[], struct ft_fault *fault);
void nd_log_files_close(struct nd_log_files *files);
/* `list`: up to the newest file that has the moment `to` and is led to by way of `from`. NULL: anything. A
 * count of 0: there is none. FT_ENOMEM, or the error of a newer file of the same directory that cannot be
 * read, when no moment is given. What is passed over, and where a torn file ends, is printed on stderr.
 */
int nd_log_files_choose(struct nd_log_files *files, const struct nd_moment *from, const struct nd_moment *to,
                        struct ft_fault *fault);
/* The same, up to the file that records that this node ended at this moment, ns since 1970. FT_ENOMEM. */
int nd_log_files_choose_end(struct nd_log_files *files, const char *node, uint64_t wall,
                            struct ft_fault *fault);

/* All that was found, oldest first, and what is missing in between: for people on `out`, and for JSON. */
json_t *nd_log_print_recordings(const struct nd_log_files *files, FILE *out);
/* The newest file of the recording that `file` is of: of one node, without a gap. */
const struct lg_recording *nd_log_last_of(const struct nd_log_files *files, const struct lg_recording *file);
/* The usage error for moments that cannot be reached: one line, which names what the files hold. An exit
 * code. */
int nd_log_refuse_moments(const struct nd_log_files *files, const struct nd_moment *from,
                          const struct nd_moment *to);

/* An input, and what became of it. */
struct nd_log_input {
    unsigned lane;
    uint64_t seq, time, wall; /* ns; wall 0: not known */
    struct nf_packet in, out; /* data NULL */
    char why[NF_TRACE_WHY];   /* of a drop, as its NF explains it; "": it does not */
    struct nd_log_ends {      /* of an IP packet */
        struct nf_addr from, to;
    } came, left;
    /* --flow with --show: texts of rows that came with it ("+ …") or went ("- …"); else NULL. */
    json_t *changes;
};

/* Inputs of a lane that --flow or --drops ask for, in order; of ND_LOG_TOLD at most, the rest are counted. */
#define ND_LOG_TOLD 100000u
struct nd_log_told {
    struct nd_log_input *list;
    uint64_t count, room, more;
    json_t *rows; /* the texts that --show had last of the flow, as keys; NULL: not looked yet */
};

/* "ADDRESS[:PORT]", "[ADDRESS]:PORT" of IPv6, or two with a comma between. False: neither. */
bool nd_log_flow_read(struct nd_log_flow *out, const char *text);

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
    struct nd_log_told told;
    pthread_t thread;
    struct nd_log_input last[ND_LOG_LAST];
    uint64_t inputs, dropped, taken, outputs, bursts, digests; /* taken: by L3, not in dropped */
};

struct nd_log {
    const struct nd_log_options *options;
    struct nd_config *config;
    struct nd_log_files files;
    struct nd_index index; /* of the file that is executed */
    unsigned lanes;
    struct ft_lane_shared shared[FT_LANES_MAX];
    struct nd_lanes node;
    struct nd_log_lane of_lane[FT_LANES_MAX];
    struct nd_io io;
    const struct nd_moment *from, *to; /* NULL: the recording's begin, its end */
    bool begun;                        /* `from` has been reached: frames are kept */
    json_t *before, *after;            /* --diff: what the NFs showed then and at the end; else NULL */
    json_t *rows;                      /* of --show, at the end */
    uint64_t snapshots;
    bool stopped;               /* at `to` */
    bool diverged;              /* reported by then */
    struct nd_crash_page *page; /* --crash: marks of lanes, and what a process dies of; else NULL */
    unsigned crash_lane;        /* whose burst that had not ended is executed last */
    uintptr_t crash_entry;      /* for a debugger: the function that it died in or below; 0: not known */
    unsigned crash_packet;      /* and the packet of that burst, from 1; 0: not known */
};

/* Rows that are there by a snapshot, or from before the moments that are printed, are no packet's. */
void nd_log_note_rows(struct nd_log *log);
/* The rows of NF --show of the lane that name an address of --flow; what changed of them since the last call,
 * a new array, NULL: nothing, or no memory. By the lane's thread, between two bursts. */
json_t *nd_log_changes(struct nd_log_lane *l);

/* The exit code for an error of a file, or of what is executed of it. */
int nd_log_exit_of(int error);
/* The whole command; an exit code. */
int nd_replay_log(const struct nd_log_options *options);
/* Of a crash: executes log->files with log->config and log->options, then the burst that had not ended. 0:
 * that one ended. */
int nd_log_run_crash(struct nd_log *log, struct ft_fault *fault);

/*
 * Where a debugger stops before a packet. Who replays comes to nd_stop_here before the burst, and leaves here
 * what the debugger's commands (crash.c) need to go on from there: to the NF's function, and in it to the
 * moment at which it takes the packet. Without a debugger nobody reads it.
 */
extern uintptr_t nd_stop_entry;                /* the NF's function; 0: not known */
extern const struct nf_packet *nd_stop_packet; /* NULL: not known */

void nd_stop_here(void);
void nd_stop_before(uintptr_t entry, const struct nf_packet *packet);
/* By the debugger: where list[0..n), the packets that an NF is given, has nd_stop_packet; NULL: nowhere. */
const void *nd_stop_slot(struct nf_packet *const list[], uint32_t n);

/* ---- crash.c: whole commands; exit codes ---- */

int nd_replay_crash(const struct nd_log_options *options);
/* The same command line under gdb, stopped before the packet. Comes back only when there is no gdb. */
int nd_replay_gdb(const struct nd_log_options *options, int argc, char **argv);

/* ---- print.c ---- */

/* What `show NF` would print of a chain in which nothing runs any more: all rows of the NF in one lane's
 * chain, appended to `rows`, with the lane if there are several. FT_ENOMEM; FT_EMALFORMED: what it shows is
 * no JSON.
 */
int nd_shown_add(json_t *rows, const struct nf_chain *chain, const char *name, unsigned lane, unsigned lanes,
                 struct ft_fault *fault);
/* The NF's name and its rows, for people. */
void nd_shown_print(const json_t *rows, const char *name, FILE *out);

/* What the NFs show and count now, of all lanes. FT_EMALFORMED: one shows what is no JSON; FT_ENOMEM. */
int nd_log_state(const struct nd_log *log, json_t **out, struct ft_fault *fault);
/* At the end: takes what --show and --diff ask for into the log. Fails as nd_log_state does. */
int nd_log_look(struct nd_log *log, struct ft_fault *fault);

int nd_log_print(const struct nd_log *log); /* an exit code: 0, or what printing came to */

#endif
