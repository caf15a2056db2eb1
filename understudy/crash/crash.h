/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node does so that its end explains itself: memory that outlives it, in which lanes and the handler
 * of fatal signals (handler.h) leave what they were doing; and the reporter, a small process forked beside
 * it, that waits for the node's end and then writes its report into STATE/NODE.crash-TIME/, and finishes the
 * node's recording. It has no capability, none of the node's sockets, and no key; nothing of a takeover waits
 * for it. It also writes the frames that a quarantine kept. All by the main thread, unless a comment names
 * another.
 */
#ifndef NODE_CRASH_CRASH_H
#define NODE_CRASH_CRASH_H

#include "understudy/config/config.h"
#include "understudy/crash/report.h"

struct lg_recorder;

struct nd_crash {
    struct nd_crash_page *page;
    struct ft_lane_shared *shared; /* [lanes] */
    struct lg_recorder *recorder;  /* not opened yet; NULL: nothing is recorded */
    /* The reporter. */
    pid_t pid;
    int feed;   /* the node's end; closed on exec */
    bool ended; /* it has been waited for */
};

/* Makes the memory, with the words and rings of all lanes and the recorder's, and the reporter. Before
 * anything is opened and before there are threads, keys or regions: the reporter keeps a copy of what there
 * is. FT_ENOMEM, FT_EIO.
 */
int nd_crash_open(struct nd_crash **out, const struct nd_config *config, unsigned self,
                  struct ft_fault *fault);
/* Where the chain's modules lie, which the reporter cannot ask: before a chain runs whose modules have been
 * loaded since the start. Beyond ND_CRASH_MODULES their functions have no names in a report. */
void nd_crash_add_modules(struct nd_crash_page *page, const struct nf_chain_config *chain);
/* The chain that runs from here on: by whoever makes it so, while no lane runs one. NULL: nobody looks. */
void nd_crash_name_chain(struct nd_crash_page *page, const struct nf_chain_config *chain);

/* Each turn: how the node stands. False: the reporter has ended, which was not known before. */
bool nd_crash_turn(struct nd_crash *crash, int state, uint64_t view, uint64_t chain);
/* The frames that a quarantine kept are to be written. */
void nd_crash_save_quarantine(struct nd_crash *crash);

/* The node ends in order: nothing is to be reported. NULL: nothing. */
void nd_crash_close(struct nd_crash *crash);

#endif
