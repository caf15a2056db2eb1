/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sets of chain files that ran here, and a change that waits for a confirm: what both nodes of a pair
 * know, so that a successor takes back what nobody has confirmed. All of it is the main thread's; the disk is
 * the thread of files' (understudy/change/kept.h).
 *
 * Each change has a note, and each word on it (a confirm) is a note with a later number. A node believes the
 * note with the latest one, of its own and its peer's. A note carries the time that is left, not when it
 * ends: each node counts it by its own monotonic clock, so that neither a clock that is set nor two that
 * differ move it.
 */
#ifndef NODE_CHANGE_CONFIRM_H
#define NODE_CHANGE_CONFIRM_H

#include "understudy/change/kept.h"

#include <jansson.h>
#include <stddef.h>

struct rp_replicator;
struct rp_status;

struct nd_confirm {
    char sets[256]; /* the directory of the sets */
    struct nd_note kept[ND_KEPT_SETS];
    unsigned count;       /* of `kept`, the newest first: as the disk had them last */
    struct nd_note order; /* the latest note; number 0: none yet */
    uint64_t until;       /* ns, monotonic: when it is to be taken back; 0: nothing waits for a confirm */
    uint64_t again;       /* ns: not to be tried before, since it failed */
    bool unwritten;       /* the disk has not been given it */
    uint64_t telling;     /* the number of what is on its way to the peer; 0: nothing is */
    uint64_t told, told_to, given_up; /* number of what the peer knows, on which connection; ns */
};

/* At a start, which may wait for the disk. `state`: the node's directory of state. */
void nd_confirm_open(struct nd_confirm *c, const char *state, const char *node, uint64_t now, uint64_t wall);

/* A number for the next note. */
uint64_t nd_confirm_number(const struct nd_confirm *c, uint64_t wall);
/* Takes what is later than all that it knows; true then. */
bool nd_confirm_take(struct nd_confirm *c, const struct nd_note *note, uint64_t now);
/* What waits is due, and is to be tried now. */
bool nd_confirm_is_due(const struct nd_confirm *c, uint64_t now);
/* The latest note as it is sent now, with what is left of the time, 1 ms where it is over. */
struct nd_note nd_confirm_note(const struct nd_confirm *c, uint64_t now);
/* The newest set that is kept of that chain, as an index into `kept`; -1: none is. */
int nd_confirm_find(const struct nd_confirm *c, uint64_t chain);

/* In each turn: sends the peer what it does not know yet, unless it runs another program or something else
 * goes to it (not `idle`). */
void nd_confirm_send(struct nd_confirm *c, struct rp_replicator *rp, const struct rp_status *s, bool idle);
/* The peer knows the latest note. */
bool nd_confirm_is_known(const struct nd_confirm *c, const struct rp_status *s);
/* The peer runs this program, so it understands notes. */
bool nd_confirm_speaks(const struct rp_status *s);
/* It runs another one, and `what` takes one on both: a new reference. */
json_t *nd_refuse_version(const struct rp_status *s, const char *what);

/*
 * To the peer: a note goes before the set that it is of, or alone (`set` NULL). A new buffer, the caller's;
 * NULL: no memory. Back: what is behind the note, and what is in it, if there is one. FT_EMALFORMED.
 */
uint8_t *nd_note_pack(const struct nd_note *note, const uint8_t *set, uint32_t len, uint32_t *size);
int nd_note_unpack(const uint8_t **bytes, uint32_t *len, struct nd_note *note, struct ft_fault *fault);

#endif
