/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One protocol core and a peer played by the test, told like a story: what it hears, what it says, what
 * becomes of it. Timing, ms: heartbeat 10, lease 20, detect 50, promote within 100, solo after 200,
 * resync deadline 2000, start alone 300, drain 500. One lane.
 */
#ifndef TESTS_HELP_CORE_H
#define TESTS_HELP_CORE_H

#include "ftcore/protocol/core.h"

struct tale {
    struct ft_core core;
    struct ft_core_config config;
    struct ft_actions did;   /* of the last step */
    uint64_t now, peer_now;  /* clocks of the two, ns */
    struct ft_message hello; /* the peer's, to be bent by the test */
    uint64_t closed, replayed;
    uint64_t sent; /* `sent` of the node's newest message */
};

/* A node with the file's role and the view of its view file. The clock begins at 0. */
void tale_begin(struct tale *t, unsigned role, uint64_t view, bool strict);
/* The tale begins anew, with what the test has changed in its config. */
void tale_begin_anew(struct tale *t);

/* What happens. `hears` is a message of the peer in our view that echoes our newest one; so is its hello,
 * which comes after it has had ours. `hello_of_old` echoes nothing. */
void connects(struct tale *t);
void hello_from(struct tale *t, enum ft_state state, uint64_t view);
void hello_of_old(struct tale *t, enum ft_state state, uint64_t view);
void hears(struct tale *t, enum ft_message_type type, enum ft_state state);
void hears_at(struct tale *t, enum ft_message_type type, enum ft_state state, uint64_t burst, uint64_t echo);
void hears_view(struct tale *t, enum ft_state state, uint64_t view);
void loses(struct tale *t, enum ft_lost how);
void happens(struct tale *t, enum ft_event_kind kind);
void reaches(struct tale *t, enum ft_event_kind kind, uint64_t closed); /* replayed too */
void word_of(struct tale *t, uint64_t incarnation);
void request(struct tale *t, enum ft_request what);
void malformed(struct tale *t);
void waits(struct tale *t, unsigned ms);                    /* stepping every millisecond */
void sleeps(struct tale *t, unsigned ms);                   /* the clock goes on, no step */
void ticks(struct tale *t);                                 /* one FT_EV_TIME, now */
void event_happens(struct tale *t, struct ft_event *event); /* any other, now */

/* What was seen to come of the last step. Each fails the test if it was not so. */
/* A heartbeat on a data port that tells this view. */
void heartbeats(struct tale *t, uint64_t view);
void is(struct tale *t, enum ft_state state);
void because(struct tale *t, const char *text); /* `why` contains it */
const struct ft_action *did(struct tale *t, enum ft_action_kind kind);
void did_not(struct tale *t, enum ft_action_kind kind);
unsigned position(struct tale *t, enum ft_action_kind kind); /* among the actions; of the last of this kind */
const struct ft_message *said(struct tale *t, enum ft_message_type type);
void gate_is(struct tale *t, enum ft_gate gate);
void ordered(struct tale *t, enum ft_order order);

/* Chapters that many stories share. */
void reach_protected(struct tale *t,
                     bool strict);             /* a primary of view 1, PROTECTED, all up to burst 10 stable */
void reach_ready(struct tale *t, bool strict); /* a standby of view 1, READY, holds and has replayed 10 */

#endif
