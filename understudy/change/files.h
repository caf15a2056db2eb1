/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a chain that has one of its own: the chain file, and what its NFs name. How they travel to the
 * peer, are staged there, and take the place of those that were there. Pair files are a node's own, and
 * modules are code: neither travels. Files are read and written by a start, and while the node runs by a
 * thread that does nothing else: a disk that is slow or frozen keeps it, and nobody else. One job at a time,
 * and one that waits behind it: the main thread, its only caller, takes the outcome before the next begins.
 */
#ifndef NODE_CHANGE_FILES_H
#define NODE_CHANGE_FILES_H

#include "understudy/config/config.h"
#include "understudy/change/kept.h"
#include "understudy/config/yaml.h"

#define ND_FILES_SIZE (1u << 20) /* bytes of a set at most */

/* Those of a configuration, as they were when it was read. FT_EINVAL: one lies elsewhere, or they are too
 * large. */
int nd_files_of(struct nd_files *files, const struct nd_config *config, struct ft_fault *fault);

/* Into a new buffer, the caller's to free; NULL: no memory. */
uint8_t *nd_files_pack(const struct nd_files *files, uint32_t *len);

/*
 * Below the directory of `pair`: files that are decided to be installed take their places, and what was there
 * is kept as NAME.before, for which it returns 1; what was only staged goes: 0. By root it is done as the
 * user whose staged files they are, for all threads: before there are others. FT_EPERM, FT_EIO, FT_EINVAL.
 */
int nd_files_finish(const char *pair, struct ft_fault *fault);

enum nd_files_work {
    ND_FILES_READ,    /* this node's own */
    ND_FILES_TAKE,    /* a set of the peer's: reads the configuration that it makes here, and stages it */
    ND_FILES_BACK,    /* a set that was kept here: as one of the peer's */
    ND_FILES_INSTALL, /* what was staged; then as KEEP */
    ND_FILES_KEEP,    /* `bytes`, if there are any, with `note`; and what waits for a confirm */
    ND_FILES_DROP,
};

struct nd_files_job {
    enum nd_files_work work;
    char file[256], chain_file[256]; /* of this node's configuration */
    char sets[256];                  /* where sets are kept (understudy/change/kept.h) */
    /* For TAKE: a set as nd_files_pack makes it, the job's to free; and whether it may be written here. */
    uint8_t *bytes;
    uint32_t len;
    bool permit;
    uint64_t number;            /* BACK: of the set */
    struct nd_note note, waits; /* INSTALL, KEEP */
    uint64_t waits_until;       /* wall clock, ns; 0: nothing waits */
    /*
     * The outcome; nd_files_job_end frees what is left of it. READ, TAKE, BACK: `next`, which whoever wants
     * to keep it sets to NULL. TAKE, BACK: `staged`, it is of the set, which is staged; else of this node's
     * own files, and `same`: they are those of the set. `travels`: the chain stands in no pair file, here and
     * there.
     */
    int error;
    struct ft_fault fault;
    struct nd_config *next;
    bool staged, same, travels;
    char differs[200]; /* TAKE: names of what is staged and is not the same here; cut where they are many */
    /* INSTALL, KEEP: what is kept then; and whether it could not be written, which is no error of the job,
     * and is logged. */
    struct nd_note kept[ND_KEPT_SETS];
    unsigned kept_count;
    int unkept;
};

struct nd_files_thread;

/* FT_ENOMEM. */
int nd_files_thread_open(struct nd_files_thread **out, struct ft_fault *fault);
/* Waits for the disk for a second at most, then leaves the thread there. NULL is nothing. */
void nd_files_thread_close(struct nd_files_thread *thread);

/* Takes what `job` owns. False, and the job stays the caller's: there is one already. Never waits. */
bool nd_files_give(struct nd_files_thread *thread, const struct nd_files_job *job);
/* The same, and where there is one already it is begun behind that, in place of another one that waited. */
void nd_files_order(struct nd_files_thread *thread, const struct nd_files_job *job);
/* A job is under way, or its outcome is not taken, or one waits. */
bool nd_files_busy(const struct nd_files_thread *thread);
/* True: here is the outcome, the caller's. */
bool nd_files_outcome(struct nd_files_thread *thread, struct nd_files_job *out);

void nd_files_job_end(struct nd_files_job *job);

#endif
