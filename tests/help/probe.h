/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the chain: three NFs that note what they are given and do what the frame tells them, and a
 * chain of them. One chain at a time; it owns its region.
 */
#ifndef TESTS_HELP_PROBE_H
#define TESTS_HELP_PROBE_H

#include "nflib/chain/chain.h"

enum {
    FRAME = 60,
    ID = 20,
    DROP_AT = 21,
    EMIT_AT = 22
}; /* bytes of a frame: its name, the indices of the NFs that drop it and that emit packets */

enum { SEEN, DROPPED };

#define PROBE_SEED 99u /* of the chain */

struct probe_config {
    uint32_t limit;
    bool loud;
    uint32_t mode;
    struct nf_file file;
    struct nf_prefixes inside;
    struct nf_range ports;
};

struct probe {
    uint64_t packets, limit;
};

/* What the next NF that is made returns. */
extern bool probe_make_fails;

/* What the NFs noted since the last call: "2:ab" is NF 2 with packets a and b, "t2@10" its timers at 10. */
const char *probe_trace(void);

extern const struct nf_module probe_a;
extern const struct nf_module probe_b;
extern const struct nf_module probe_c;

/* The NFs a_probe, b_probe and c_probe, in this order. */
extern struct nf_chain_config probe_chain_config;
extern struct ft_region *probe_region;
extern struct nf_chain *probe_chain;

void probe_open_region(const struct nf_chain_config *config);
void probe_end(void);

/* Called inside the tests: audit and cmocka both want SIGSEGV, and the later one has it. */
void probe_begin(void);

/* The frames of the last burst. */
extern uint8_t probe_frames[NF_BURST_MAX][FRAME];

/* Packets named by letters: lower case from inside (port 0), upper case from outside (port 1). */
uint32_t probe_burst(const char *ids, struct nf_packet packets[]);
void probe_run(uint64_t burst, uint64_t now, struct nf_packet packets[], uint32_t n);

#endif
