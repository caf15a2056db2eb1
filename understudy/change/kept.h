/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last sets of chain files that ran on a node, kept in a directory of its own, STATE/NODE.sets: one file
 * each, which begins with a note of when it began to run, who started it, and its chain. And the change that
 * waits for a confirm, if there is one. Read by a start, written by the thread of files
 * (understudy/change/files.h) alone. All calls may wait for the disk.
 */
#ifndef NODE_CHANGE_KEPT_H
#define NODE_CHANGE_KEPT_H

#include "ftcore/base/error.h"
#include "understudy/control/commands.h"

#include <stdbool.h>
#include <stdint.h>

#define ND_KEPT_SETS 10u /* more than these are not kept: the oldest goes */
#define ND_HOW_MAX   24u
#define ND_KEPT_PATH 320u
#define ND_HOW_DIFF  "diff" /* of a set that the peer only looks at: it answers which files it would write */

/* What goes with a set of files, on the disk and to the peer; its bytes are the same there. */
struct nd_note {
    uint64_t number;      /* wall clock, ns since 1970, later than of any note before: of two the later one
                             holds. 0: none */
    uint64_t chain;       /* the hash of the chain that the files make */
    uint64_t back;        /* of the one before, to go back to */
    uint64_t confirm_ms;  /* for how long it waits for a confirm, from now on; 0: it does not */
    char by[ND_BY_MAX];   /* the user who asked for it; "": the node itself */
    char how[ND_HOW_MAX]; /* "start", "apply", "rollback 2", "push", "confirm", "not confirmed" */
};

/* Texts end, and are printable. */
bool nd_note_is_sound(const struct nd_note *note);

/* One more set, unless it is that of the newest, byte for byte; then those beyond ND_KEPT_SETS go. FT_EIO,
 * FT_EPERM. */
int nd_kept_add(const char *dir, const struct nd_note *note, const uint8_t *bytes, uint32_t len,
                struct ft_fault *fault);

/* Their notes, the newest first; how many there are. */
unsigned nd_kept_list(const char *dir, struct nd_note out[ND_KEPT_SETS]);

/* The file of the set whose note has that number. */
void nd_kept_name(char out[ND_KEPT_PATH], const char *dir, uint64_t number);

/* The bytes of the set whose note has that number; the caller's to free. FT_ENOENT, FT_EMALFORMED, FT_ENOMEM.
 */
int nd_kept_read(const char *dir, uint64_t number, uint8_t **bytes, uint32_t *len, struct ft_fault *fault);

/* The last word on the change that waits, and until when, by the wall clock, ns. 0: none waits any more, and
 * the word stays, for a peer that was away when it was sent. A note without a number: there is no word. */
int nd_kept_wait(const char *dir, const struct nd_note *note, uint64_t until, struct ft_fault *fault);
/* False: there is no word. *until: as above. */
bool nd_kept_waits(const char *dir, struct nd_note *note, uint64_t *until);

#endif
