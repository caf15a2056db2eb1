/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the replicator against a peer that lies: one node is real (twin.h), the other one is the
 * test, on a plain socket. What the test says are well-formed frames. A failed assertion ends the test that
 * calls.
 */
#ifndef TESTS_HELP_PEER_H
#define TESTS_HELP_PEER_H

#include "ftcore/record/delta.h"
#include "ftcore/base/clock.h"
#include "tests/help/twin.h"

#define PEER_VIEW  5                                 /* of a primary that the test plays */
#define PEER_LANE  6u                                /* lines of the lane's state, the first of the region */
#define PEER_TABLE (FT_ARENA_ALIGN >> FT_LINE_SHIFT) /* first line of the NF's arena */
#define PEER_LINES (2 + TWIN_STATE / FT_LINE) /* of that arena: its counters, its table, its constant */

/* What the test has and has heard as a peer. */
struct peer {
    struct twin *node; /* the real one */
    bool warm;         /* both are */
    bool port;         /* the node's lane has a port to its peer's; set before it is started */
    bool deltas;       /* the pair's stream consists of them; set before the node is started */
    int listener, fd;  /* -1: none */
    uint8_t *in, *bulk;
    size_t in_len;
    uint64_t heard, last_sent; /* newest `sent` of the node; the test's own */
    uint64_t view;             /* that the test speaks in */
    uint64_t chain;            /* its chain, as its hello names it */
    enum ft_state state;       /* that the test says it is in */
    unsigned seen[FT_MSG_TYPES];
    struct ft_message last[FT_MSG_TYPES];
    bool ended;                   /* the node has closed the connection */
    uint8_t content[FT_BULK_MAX]; /* bulk of the message to come */
    uint32_t content_len;
};
extern struct twin peer_twin[2];
extern struct peer peer;

/* Of a cmocka test. */
int peer_setup(void **state);
int peer_teardown(void **state);

void peer_connect(void); /* to the node, or the next connection from it */
void peer_hang_up(void);
void peer_hello(unsigned self);
struct ft_message peer_head(enum ft_message_type type); /* echoes the newest that was heard */
void peer_say(struct ft_message m);
void peer_say_raw(const void *bytes, size_t len);
void peer_hear(void); /* reads what is there, and answers as one that joins */

#define PEER_UNTIL(cond) TWIN_UNTIL(peer.node, (peer_hear(), (cond)))

/* Bulk, added to `content`: a run of a snapshot's lines; a record; then the message that carries it. Nothing
 * has ever come in where the peer is primary. */
void peer_add_run(uint64_t line, uint32_t count, bool zero);
void peer_add_record(uint16_t lane, uint64_t burst);
void peer_end_record(void); /* the one that the test has put together (tests/help/record.h) */
void peer_say_content(enum ft_message_type type);

/* The run of the lane's state after `burst`, with so many outputs made, added to out[*len..cap). */
void peer_add_lane(uint64_t burst, uint64_t outputs, uint8_t *out, uint32_t *len, uint32_t cap);

void peer_start_standby(bool warm); /* the real node, b */
/* The standby has begun to take a snapshot, and with `whole` has it: a lane's first state, and its own table.
 */
void peer_synchronise(bool whole);
uint64_t peer_region(void); /* a digest of the node's region */
/* `content` is refused because of `text`, the region is as before, and a new connection has its snapshot. */
void peer_is_refused(enum ft_message_type type, const char *text);

#endif
