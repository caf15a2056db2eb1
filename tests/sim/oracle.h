/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the oracles keep of a seed: from which records a state came to be (histories), and which outputs left.
 * Written by oracle.c and history.c, to which the hooks and the ports tell what happens.
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include "ftcore/queue/hold.h"
#include "ftcore/record/message.h"
#include "ftcore/record/record.h"

#include <stdbool.h>

#define SIM_LANES 4u

struct sim_node;

/*
 * What a state came to be from: the records of every lane, from a fresh start on. A takeover branches off;
 * nothing is ever taken away from a branch.
 */
struct sim_history {
    struct sim_history *parent;
    uint64_t cut[SIM_LANES]; /* bursts taken over from the parent */
    uint64_t epoch;          /* number of the fresh start */
    uint64_t seed[SIM_LANES];
    struct {
        const struct ft_record **list; /* [count], burst b at b - 1 */
        uint64_t count, room;
    } lane[SIM_LANES];
    uint64_t stored[SIM_LANES]; /* last burst ever held by a standby that follows it */
    uint64_t alone[SIM_LANES];  /* last burst that left without a standby */
    uint64_t hold[SIM_LANES];   /* that one, when HOLDING was said last */
    uint64_t view, since;       /* since: world ns */
    bool trimmed;
    bool forgotten;           /* its view was, and somebody holds the state of the one before */
    struct sim_history *next; /* all of the world */
};

/* An output that left. */
struct sim_left {
    const struct sim_history *history;
    uint64_t number, burst, at, view;
    uint16_t lane, port;
    uint8_t node;
    bool aside, apart; /* with its own MAC; of a pair that had split */
    bool alone;        /* its node had announced that it goes on alone, as a split pair's may */
    uint32_t len;
    const uint8_t *frame;
    const struct sim_left *same; /* another time that the same one left */
    struct sim_left *next;
};

/* ---- oracle.c ---- */
void sim_saw_return(struct sim_node *node, uint64_t view); /* a process begins, in the view of its file */
void sim_saw_state(struct sim_node *node, enum ft_state state, uint64_t view, const char *why);
void sim_saw_snapshot(struct sim_node *node, const struct ft_message *begin);
void sim_saw_gift(struct sim_node *node, const struct ft_message *begin); /* a snapshot is said to begin */
void sim_saw_holding(struct sim_node *node, const struct ft_message *holding);
void sim_saw_ack(struct sim_node *node, const struct ft_message *ack);
/* By its lane's port it says that it has stored up to `said`, and holds up to `held`. */
void sim_saw_stored(struct sim_node *node, unsigned lane, uint64_t said, uint64_t held);
void sim_saw_fresh(struct sim_node *node);
void sim_saw_record(struct sim_node *node, unsigned lane, const struct ft_record *record);
void sim_saw_lease_check(struct sim_node *node, unsigned lane); /* outputs go to a port next */
void sim_saw_release(struct sim_node *node, unsigned lane, unsigned port, const struct ft_held held[],
                     uint32_t n);
void sim_watch(void);
void sim_judge(void); /* at the end: both nodes rest */

/* ---- history.c ---- */
struct sim_history *sim_history_new(struct sim_history *parent, const uint64_t cut[]);
void sim_history_put(struct sim_history *h, unsigned lane, const struct ft_record *record);
/* Executes it from nothing and compares what left in its epoch. `died`: nobody holds that state any more. The
 * digest, in *digest; failures are told. */
void sim_history_execute(struct sim_history *h, bool died, uint64_t *digest);

#endif
