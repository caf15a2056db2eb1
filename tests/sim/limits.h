/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capacities of the replicator, in place of its own (tests/sim/seam.h): those of the program, and in narrow
 * seeds smaller ones, so that buffers run full of kilobytes as the program's do of megabytes. Set when a seed
 * begins (trouble.c), read by replicator/.
 */
#ifndef TESTS_SIM_LIMITS_H
#define TESTS_SIM_LIMITS_H

struct sim_limits {
    unsigned out_cap, link_out, link_reserve, link_in, read_budget, notices, drain_rounds, batch, run_lines,
        send_least, pending, read_ns;
};
extern struct sim_limits sim_limits;

#ifdef SIM_MEMORY
#define RP_LINK_OUT     sim_limits.link_out
#define RP_LINK_RESERVE sim_limits.link_reserve
#define OUT_CAP         sim_limits.out_cap /* what is allocated: twice the most of a seed */
#define IN_CAP          sim_limits.link_in
#define READ_BUDGET     sim_limits.read_budget
#define NOTICES_MAX     (int)sim_limits.notices
#define READ_ROUNDS     sim_limits.drain_rounds
#define READ_NS         sim_limits.read_ns
#define RP_BATCH        sim_limits.batch
#define RUN_MAX         sim_limits.run_lines
#define SEND_LEAST      sim_limits.send_least
#define RP_PENDING      sim_limits.pending
#define RETRY_MOST_NS   16000000ull /* the world's times are as much shorter */
#define VISIT_NS        4000000ull
#endif

#endif
