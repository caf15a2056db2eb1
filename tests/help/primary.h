/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of a primary's replicator: it is real, and takes its turns when the test says, at times that the
 * test gives. Its one lane and its standby, over a connection on the loopback, are the test. A failed
 * assertion ends the test that calls. One at a time.
 */
#ifndef TESTS_HELP_PRIMARY_H
#define TESTS_HELP_PRIMARY_H

#include "ftcore/record/record.h"
#include "replicator/replicator.h"
#include "tests/help/program.h"

#define PRIMARY_CUT 10u /* the snapshot that the standby has holds bursts up to this one */

struct primary_options {
    bool warm, real_time; /* real_time: `now` is the system's clock, at each turn */
    enum rp_compress compress;
};

struct primary {
    struct rp_replicator *replicator;
    struct ft_lane_shared lane;
    uint64_t now; /* that the next turn is told, ns; in the future of the system's clock, but for real_time */
    uint64_t burst, packets, bytes; /* of the lane: its last burst; packets and bytes of all records put */
    /* What the standby heard of the log. */
    unsigned messages;
    uint64_t bulk;
};
extern struct primary primary;

/* Until the standby is being brought up to date and has its snapshot, all at one time. The primary is SOLO.
 */
void primary_open(struct primary_options options);
/* Until it is PROTECTED: the standby is READY, with all that was put so far. All at one time. */
void primary_protect(void);
void primary_close(void);
/* Of a cmocka test: one that never compresses. */
int primary_setup(void **state);
int primary_teardown(void **state);

/* The record becomes the lane's next burst, whose numbers it gets. False: the ring has no room. */
bool primary_put(struct ft_record *record);
/* The same with a record of so many packets, by sequence number. */
bool primary_put_packets(uint16_t packets);
/* One turn, at `now`, after the lane has done what it is told. */
void primary_turn(void);
struct rp_status primary_status(void); /* a millisecond later */
/* The socket of its end of the connection. */
int primary_socket(void);

/* The standby says that it holds and has replayed these bursts, and has taken so many bytes; echoing what it
 * has heard last. The primary can read it when this returns, and has not. */
void standby_acks(uint64_t stored, uint64_t replayed, uint64_t taken);
void standby_answers(void); /* with a heartbeat */
void standby_reads(void);   /* what is there */
void standby_ends(void);    /* its end of the connection is closed */

#endif
