/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of several lanes: real chains, one thread a lane, run live and recorded, then run again from the
 * record in a region that was wiped. What a lane's bursts are made of is the test's.
 */
#ifndef TESTS_HELP_RACE_H
#define TESTS_HELP_RACE_H

#include "nflib/chain/chain.h"

#define HELP_LANES 4u

struct help_burst {
    uint64_t access;
    uint32_t accesses, dependencies, values;
    struct ft_dependency *dependency;
    uint8_t *value;
};

struct help_race {
    struct nf_chain_config config;
    uint64_t seed; /* of the chains; what happens in a lane depends on it alone */
    uint32_t bursts, packets;
    bool audit;
    /* Fills the packets of a burst, live and in replay alike; called by the lane's thread. NULL: frames of 60
     * zero bytes. */
    void (*fill)(unsigned lane, uint32_t burst, struct nf_packet packets[], uint32_t n, void *ctx);
    void *ctx;
    uint64_t step; /* ns between bursts */

    struct ft_region *region;
    struct nf_chain *chains[HELP_LANES];
    struct ft_published published[HELP_LANES];
    struct help_burst *record[HELP_LANES];
    uint64_t dependencies; /* noted in all live runs */
};

/* Opens the region and makes the chains of `config.lanes` lanes. Fails the test. */
void help_race_open(struct help_race *r);
void help_race_close(struct help_race *r);
/* Live, from the beginning, `contention` giving how threads get in each other's way; the region's digest. */
uint64_t help_race_live(struct help_race *r, uint64_t contention);
/* The same bursts from the record, from an empty region. */
uint64_t help_race_replay(struct help_race *r, uint64_t contention);
/* Every lane in turn, one burst each, in this thread: the worst that lanes can do to each other. */
void help_race_in_turn(struct help_race *r);
/* Lets other threads run now and then; for the NF under test, between its operations. */
void help_race_pause(void);

#endif
