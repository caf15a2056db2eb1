/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's end, without I/O: the inputs of one lane, cut into bursts, stamped, numbered and kept until
 * the present primary reports that they may be forgotten; which of its outputs leave; and who is primary.
 * Owned and used by one thread, which passes it what comes in and sends what it asks for.
 *
 *   ports ─ add, cut ─▶ ring of inputs ─ turn ─▶ the primary        the primary ─ take ─▶ ports
 *
 * A primary is believed by its view: the highest that any node has reported as primary. Messages of a node of
 * a lower view are dropped, until the believed primary has left KP_UNANSWERED questions without an answer:
 * nodes may forget a view, and machines are lost. Even then a node of a lower view is believed only while its
 * outputs may leave (KP_MAY): a node that holds them may have been replaced by one that stands and will wake.
 * A successor is fed from the first burst that it has not executed. It goes on where its predecessor was if
 * its last burst is one that is kept here, with the same time and sequence number and with all outputs that
 * have left; else the state is lost, and with it what was kept: then numbers begin anew as the primary sets
 * them, and so they do for a keeper that begins. Numbers that begin anew are of another incarnation of the
 * keeper, so that no node has bursts of both.
 *
 * One of two keepers is active while it holds the primary's word (word.h). The other one waits: it asks,
 * knows who is primary, and neither takes inputs nor lets anything leave. A keeper that becomes active begins
 * anew as one that comes back, under another incarnation. A keeper whose word has run out and that has not
 * heard of another keeper goes on but for `leave`, which its process refuses then (kp_front_may_leave). A
 * primary is fed once it has given its word itself: before that nobody knows that this keeper has not been
 * left out. A keeper begins to feed it while its word runs, and not later: by then another one may feed.
 *
 * Rings. Inputs: when `inputs` or `bursts` are kept, none is taken (kp_front_has_room), and frames wait in
 * the ports. To the primary: at most KP_WINDOW bursts that it has not executed are under way. Outputs: of
 * those that come before their turn KP_EARLY wait; what finds its place taken is dropped, and comes again.
 */
#ifndef KEEPER_FRONT_H
#define KEEPER_FRONT_H

#include "ftcore/base/error.h"
#include "understudy/keeper/message.h"
#include "understudy/keeper/outputs.h"
#include "understudy/keeper/word.h"

#define KP_WINDOW    256u      /* bursts under way to a node; a power of two */
#define KP_EARLY     1024u     /* a power of two */
#define KP_AGAIN_NS  1000000u  /* without progress until what is missing is sent, or asked for, again */
#define KP_SLOW_NS   8000000u  /* the same at most, of inputs: twice as long after each time in vain */
#define KP_AGAIN_MAX 16u       /* bursts that are sent again at once */
#define KP_ASK_NS    5000000u  /* between two questions to a node */
#define KP_MOVE_NS   50000000u /* for what is kept, until the word is given back */
#ifndef KP_UNANSWERED
#define KP_UNANSWERED 200u /* questions: a second */
#endif

struct kp_front_config {
    uint32_t inputs, bursts; /* that are kept at most; powers of two, inputs at least 2 * KP_BURST */
    uint32_t frame_max;      /* bytes of an input at most */
    unsigned nodes;          /* 1 … KP_NODES */
    unsigned keepers;        /* this one and others: 1, which 0 is as well, or KP_KEEPERS */
    uint64_t incarnation;    /* of this process: higher than that of one before it */
    uint64_t file;           /* a digest of what the nodes' file must have as well; sent in each ASK */
    void *ctx;
    void (*send)(void *ctx, unsigned node, const struct kp_message *m);
    /* False: the port does not take it now, and it comes again. */
    bool (*leave)(void *ctx, unsigned port, const uint8_t *frame, uint32_t len);
};

struct kp_front_counts {
    uint64_t inputs, bursts, empty_bursts;
    uint64_t sent_again;  /* bursts */
    uint64_t asked_again; /* times that outputs were asked for again */
    uint64_t early;       /* outputs that came before their turn */
    uint64_t late_view;   /* messages of a node that was primary before */
    uint64_t incomplete;  /* outputs whose input was not there any more, and did not leave */
    uint64_t takeovers;   /* changes of the primary */
    uint64_t begun;       /* times that numbers began as a primary set them */
    uint64_t lost_inputs; /* kept when they began anew, and not fed */
    uint64_t gained;      /* times that this keeper became the active one of two */
    uint64_t full;        /* turns in which there was no room for a burst */
};

struct kp_front {
    struct kp_front_config config;
    struct kp_node {
        uint64_t incarnation, serial; /* of its last state */
        uint64_t newest;              /* the highest of its messages: that one again is no sign of life */
        uint64_t own;                 /* serial of the last frame of its own: that one again is nobody's */
        uint64_t heard, asked;        /* when, ns; 0: never */
        uint64_t view;                /* as primary; 0: it is not */
    } node[KP_NODES];
    uint64_t view;       /* highest of a primary */
    int primary;         /* -1: none yet */
    uint64_t process;    /* its incarnation */
    uint32_t unanswered; /* questions to it since it last reported that it is primary in this view */
    bool begun;          /* the numbers are known */
    bool follows;        /* and this primary is fed by them */

    /* Of two keepers. */
    struct kp_word word;
    bool worded;      /* this primary has given it its word */
    bool unsure;      /* and does not know whether another keeper was active since */
    bool unfit;       /* set by the process: it is not to become active */
    unsigned faults;  /* set by the process: its ports without carrier */
    unsigned waiting; /* set by the process: outputs that have left, and wait for their port */
    bool leaves;      /* it takes no inputs any more, and gives its word back when what it has is settled */
    uint64_t leaves_since; /* KP_MOVE_NS after that it does so in any case */

    /* Bursts first … next - 1 are kept; inputs seq_first … seq_next - 1, then those of the burst that is not
     * cut yet. */
    uint64_t first, next, seq_first, seq_next;
    uint32_t open;              /* inputs of the burst that is not cut yet */
    uint64_t time_before;       /* of burst first - 1 */
    uint64_t time_last, offset; /* chain time is monotonic time plus this: it goes on from where it stood */
    struct kp_burst {
        uint64_t time, seq;
        uint32_t count;
    } * burst; /* [config.bursts], by number */
    struct kp_input {
        uint32_t len;
        uint8_t port;
    } * input;      /* [config.inputs], by sequence number */
    uint8_t *bytes; /* [config.inputs] of frame_max */
    uint8_t *whole; /* an output that is made whole */

    /* To the present primary. */
    uint64_t executed, missing, sent; /* as the primary reports; the last burst sent */
    uint64_t moved;                   /* when it last came further or was sent something again */
    uint64_t again;                   /* KP_AGAIN_NS … KP_SLOW_NS */
    uint64_t handed, outputs_moved;   /* outputs as the primary reports; when one left or was asked for */
    bool confirm;                     /* outputs have left since their number was last sent to it */
    uint64_t serial;

    struct kp_outputs outputs;
    struct kp_early {
        uint64_t number, before, seq; /* number 0: none */
        uint32_t len, have;
        uint8_t port;
    } early[KP_EARLY];    /* by `before` */
    uint8_t *early_bytes; /* [KP_EARLY] of frame_max */
    struct kp_front_counts count;
};

/* FT_EINVAL: a number out of its range; FT_ENOMEM. Nothing is left to close then. */
int kp_front_open(struct kp_front *front, const struct kp_front_config *config);
void kp_front_close(struct kp_front *front);

/* This keeper is the active one, by what it has heard. */
static inline bool kp_front_is_active(const struct kp_front *front)
{
    return front->config.keepers < 2 || front->word.holds;
}
/* And nothing that leaves now can leave by another keeper as well. */
static inline bool kp_front_may_leave(const struct kp_front *front, uint64_t now)
{
    return front->config.keepers < 2 || kp_word_runs(&front->word, now);
}
/* Of two keepers, it is active: takes no more, and gives the word back when all that it has is settled. */
void kp_front_move(struct kp_front *front, uint64_t now);

/* There is a primary, and room for a burst of KP_BURST inputs. */
bool kp_front_has_room(struct kp_front *front);
/* An input of the burst that is cut next, copied. There is room. */
void kp_front_add(struct kp_front *front, uint8_t port, const uint8_t *frame, uint32_t len);
/* The burst is whole, perhaps without an input. `now`: monotonic ns. */
void kp_front_cut(struct kp_front *front, uint64_t now);

/* A message from `node`, decoded. True: it is one of KP_OWN, whose frame is for the other nodes. */
bool kp_front_take(struct kp_front *front, unsigned node, const struct kp_message *m, uint64_t now);
/* A frame of `from`'s own, to all other nodes that are known. */
void kp_front_pass_on(struct kp_front *front, unsigned from, const struct kp_message *m);
/* Sends what is due. */
void kp_front_turn(struct kp_front *front, uint64_t now);

#endif
