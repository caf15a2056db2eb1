/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set: the greatest set of per-lane burst prefixes that the standby holds such that no
 * burst in it depends on an access outside it. A greatest fixed point: start from everything held, and cut a
 * lane back to before the first burst with an unmet dependency until nothing changes. Owned by the receiver.
 * Bursts are added in order per lane; those already inside the acknowledged set are forgotten.
 */
#ifndef FTCORE_ORDER_CLOSED_H
#define FTCORE_ORDER_CLOSED_H

#include "ftcore/record/delta.h"
#include "ftcore/record/record.h"
#include "ftcore/region/region.h"

struct ft_closed;

/* `pending` bounds bursts and deltas held per lane and not yet closed; adding more fails with FT_EFULL. NULL:
 * no memory. */
struct ft_closed *ft_closed_new(unsigned lanes, uint32_t pending);
void ft_closed_free(struct ft_closed *set);

/* One thread at a time may compute, and shut. False: another one does. Nobody waits to claim. */
bool ft_closed_claim(struct ft_closed *set);
void ft_closed_release(struct ft_closed *set);
/* From here on nothing moves, until the set starts over: who takes over replays what is inside now. Waits for
 * who computes. */
void ft_closed_shut(struct ft_closed *set);

/* Start over: per lane, burst and access number up to which everything is inside already. Nobody else uses
 * the set. */
void ft_closed_reset(struct ft_closed *set, const uint64_t burst[], const uint64_t access[]);

/* The lane's bursts up to this one are known to be inside, and its accesses up to that one: what is added
 * next follows them. Its deltas stay as they are: a burst that no delta covers is still to be replayed. */
void ft_closed_advance(struct ft_closed *set, unsigned lane, uint64_t burst, uint64_t access);

/* A burst now held. FT_EORDER unless it is its lane's next; FT_EMALFORMED for a dependency that names an
 * impossible lane. */
int ft_closed_add(struct ft_closed *set, const struct ft_record *record);

/*
 * A lane's delta is now held whole; `last` is its last chunk. `cut` must be the one after the lane's last
 * delta, and `from` where that ended, or the snapshot. Either no record is held since (a delta segment:
 * `burst` and `access` are any from there on), or the delta covers all of them again (a checkpoint: `burst`
 * and `access` are the last ones held, or were when the first chunk of an incremental one came). Else
 * FT_EORDER. FT_EMALFORMED for an impossible lane, FT_EFULL as for a burst. The delta is inside only together
 * with those of all lanes with the same cut.
 */
int ft_closed_fits(const struct ft_closed *set, const struct ft_chunk *chunk); /* would it be taken? */
int ft_closed_add_delta(struct ft_closed *set, const struct ft_chunk *last);

/* Number of the last delta inside, 0: none since the reset; and per lane the burst at which it ends (the
 * snapshot's: none), up to which deltas cover everything, so that no record is needed. */
uint64_t ft_closed_cut(const struct ft_closed *set, uint64_t burst[]);

/* What is known to be recoverable of a lane though the set does not hold it: each word by itself is true. */
struct ft_known {
    uint64_t burst, access;
};

/* Computes with what is known, NULL: nothing. True if any lane moved since last time, be it by a delta of no
 * burst. */
bool ft_closed_compute(struct ft_closed *set, const struct ft_known known[]);

/* The lane's last burst and access inside, as computed last; any thread may ask. */
uint64_t ft_closed_burst(const struct ft_closed *set, unsigned lane);
uint64_t ft_closed_access(const struct ft_closed *set, unsigned lane);

#endif
