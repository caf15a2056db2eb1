/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger is the surviving log of one lane: every record of a burst that a live lane executed, as its node
 * gave it to the gate before anybody else could act on it; what did not survive a takeover is cut off. Inputs
 * are kept by number alone (FT_REC_BY_SEQ): the tape has them. Written by the tool's own process; read by it
 * and, after the fork, by the reference.
 */
#ifndef TOOLS_REPLAY_LEDGER_H
#define TOOLS_REPLAY_LEDGER_H

#include "ftcore/record/record.h"
#include "ftcore/queue/ring.h"

#include <stdbool.h>

struct nd_ledger {
    uint8_t *bytes;
    uint64_t *at; /* [burst - 1] where its record lies */
    uint64_t count, used, byte_room, room;
    uint64_t dependencies; /* in the surviving records */
    bool broken;           /* a record did not follow the one before, or there was no memory */
};

void nd_ledger_free(struct nd_ledger *ledger);

/* What a record takes of the ring at most; a lane writes it there in its short form. */
#define ND_LEDGER_RECORD                                                                                     \
    (sizeof(struct ft_record) + FT_DEPENDENCIES_MAX * sizeof(struct ft_dependency) + FT_DETERMINANTS_MAX + 8)
void nd_ledger_put(struct ft_ring *ring, const struct ft_record *record);

/* Takes all that is in the ring; how many records. */
uint64_t nd_ledger_drain(struct nd_ledger *ledger, struct ft_ring *ring);
/* Bursts behind `burst` did not survive. */
void nd_ledger_cut(struct nd_ledger *ledger, uint64_t burst);
const struct ft_record *nd_ledger_record(const struct nd_ledger *ledger, uint64_t burst); /* 1 … count */

#endif
