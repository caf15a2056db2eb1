/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that reads and writes a chain's files while the node runs, and does nothing else: a disk that is
 * slow or frozen keeps it, and nobody else. One job at a time: the main thread, its only caller, gives one
 * when there is none, and takes the outcome before it gives the next.
 */
#ifndef NODE_CONFIG_FILES_THREAD_H
#define NODE_CONFIG_FILES_THREAD_H

#include "node/config/files.h"

enum nd_files_work {
    ND_FILES_READ,    /* this node's own */
    ND_FILES_TAKE,    /* a set of the peer's: reads the configuration that it makes here, and stages it */
    ND_FILES_INSTALL, /* what was staged */
    ND_FILES_DROP,
};

struct nd_files_job {
    enum nd_files_work work;
    char file[256], chain_file[256]; /* of this node's configuration */
    /* For TAKE: a set as nd_files_pack makes it, the job's to free; and whether it may be written here. */
    uint8_t *bytes;
    uint32_t len;
    bool permit;
    /*
     * The outcome; nd_files_job_end frees what is left of it. READ, TAKE: `next`, which whoever wants to keep
     * it sets to NULL. TAKE: `staged`, it is of the set, which is staged; else of this node's own files,
     * and `same`: they are those of the set. `travels`: the chain stands in no pair file, here and there.
     */
    int error;
    struct ft_fault fault;
    struct nd_config *next;
    bool staged, same, travels;
};

struct nd_files_thread;

/* FT_ENOMEM. */
int nd_files_thread_open(struct nd_files_thread **out, struct ft_fault *fault);
/* Waits for the disk for a second at most, then leaves the thread there. NULL is nothing. */
void nd_files_thread_close(struct nd_files_thread *thread);

/* Takes what `job` owns. False, and the job stays the caller's: there is one already. Never waits. */
bool nd_files_give(struct nd_files_thread *thread, const struct nd_files_job *job);
/* A job is under way, or its outcome is not taken. */
bool nd_files_busy(const struct nd_files_thread *thread);
/* True: here is the outcome, the caller's. */
bool nd_files_outcome(struct nd_files_thread *thread, struct nd_files_job *out);

void nd_files_job_end(struct nd_files_job *job);

#endif
