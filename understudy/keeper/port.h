/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's end, without I/O: one lane that gets its inputs from a keeper and gives its outputs to it. Owned
 * and used by the lane's thread (understudy/ports/fed.c). It has no clock: it speaks when a keeper has
 * spoken, and when something of its own has changed.
 *
 * A lane that is not live only answers. From when it is live, bursts are put together from datagrams in any
 * order and given in order of their numbers, each once; outputs are sent and kept until the keeper reports
 * that they have left. A keeper is believed by its incarnation: the highest that has named this process.
 *
 * Where there are two, a live lane is fed by the keeper that has its word (word.h), once that keeper has
 * reported that it has it: before, the lane hands over no output, since the keeper that gets one has to begin
 * behind it.
 *
 * Rings. Bursts: KP_WINDOW behind the last one given; what is beyond is dropped, and comes again. Outputs:
 * KP_SENT that have not left; when all are in use none is taken, so the lane holds them, and takes no bursts
 * when its hold is full.
 */
#ifndef KEEPER_PORT_H
#define KEEPER_PORT_H

#include "understudy/keeper/front.h"
#include "understudy/keeper/message.h"
#include "understudy/keeper/word.h"

#define KP_SENT       1024u /* a power of two */
#define KP_SENT_AGAIN 32u   /* that are sent again at once, the oldest */

/* An input of a burst, with the buffer it lies in. */
struct kp_frame {
    void *owner;
    uint32_t len;
    uint8_t port;
};

/* An output, with the buffer it lies in: `have` bytes of `len`. */
struct kp_output {
    uint64_t number, burst, seq;
    void *owner;
    uint32_t len, have;
    uint8_t port;
};

/* What the lane reports of itself, between bursts. */
struct kp_progress {
    uint64_t burst, seq, time; /* the last burst executed; the next input; chain time */
    uint64_t outputs;          /* number of the last one made */
    uint64_t settled;          /* bursts up to here are stable, and their outputs were handed over */
};

struct kp_port {
    void *ctx;
    void (*send)(void *ctx, unsigned keeper, const struct kp_message *m);
    const uint8_t *(*bytes)(void *ctx, void *owner);
    void (*drop)(void *ctx, void *owner);

    uint64_t self, serial; /* incarnation; of its messages */
    uint64_t view;         /* in which the lane is live; 0: it is not */
    unsigned keepers;      /* 1 … KP_KEEPERS */
    unsigned ports;        /* of the chain: a frame of another one is refused */
    struct kp_peer {
        uint64_t incarnation; /* 0: not heard yet */
        uint64_t serial;      /* the highest of its messages to this process */
        uint64_t heard;       /* when that came, ns; what a stranger sends again is no sign of life */
        uint64_t asked; /* serial of its last question: that question again, or an earlier one, is dropped */
        uint64_t own;   /* the same of what it passes on */
        bool answer;    /* it has spoken */
    } peer[KP_KEEPERS];
    unsigned active; /* the keeper that feeds it */
    uint64_t keeper; /* its incarnation; 0: none yet, or none that has reported that it is active */
    struct kp_progress progress;

    uint64_t given, seq; /* last burst given to the lane; the sequence number behind it */
    uint64_t time;       /* of that burst, chain time */
    struct kp_slot {
        uint64_t number, time, seq; /* number 0: empty */
        uint32_t count, there;
        struct kp_frame frame[KP_BURST];
    } * slot;         /* [KP_WINDOW], by number */
    uint64_t missing; /* first burst that is not there whole */

    struct kp_sent {
        struct kp_output output;
        uint64_t before;
    } * sent;         /* [KP_SENT] */
    uint64_t in, out; /* ever put in and taken out */
    uint64_t handed;  /* number of the last one sent; 0: none */
    uint64_t begins;  /* outputs up to here may have been sent by the primary before */
    uint64_t said;    /* `settled`, as last sent to the keeper */

    bool open; /* set by the caller, before each take and report: the lane's own outputs may leave now */

    /* Of two keepers. */
    struct kp_giver giver;
    uint64_t fed_view;  /* the keeper view that `active` is of */
    bool parted;        /* the last keeper gave back its word, and the next one has fed nothing yet */
    uint64_t parted_at; /* of outputs behind this number none had left by it */
    uint64_t parted_to; /* incarnation of the next one, which may begin there; 0: none yet */
    uint64_t moved;     /* times that another keeper feeds it, or another process of the only one */

    uint64_t refused; /* datagrams of another keeper, or to another process; bursts that are not the next */
    uint64_t beyond;  /* inputs behind the window */
    uint64_t again;   /* outputs sent again */
};

/* `ctx` and the calls are set. FT_ENOMEM. */
int kp_port_open(struct kp_port *port, uint64_t self);
/* Drops what it has. */
void kp_port_close(struct kp_port *port);

/* The lane is live in `view` from now on, and has executed and made what `progress` states. `now`: monotonic
 * ns, as everywhere. */
void kp_port_begin(struct kp_port *port, uint64_t view, const struct kp_progress *progress, uint64_t now);
/* It is live no longer: what was there is dropped. */
void kp_port_end(struct kp_port *port);

enum kp_taken {
    KP_DONE, /* the buffer is free */
    KP_KEPT, /* the port has it now */
    KP_OWNS  /* it has a frame of the other node's own */
};
/* A message of that keeper's, decoded, whose frame lies in the buffer `owner`. */
enum kp_taken kp_port_take(struct kp_port *port, unsigned keeper, const struct kp_message *m, void *owner,
                           uint64_t now);
/* A keeper's process has ended, as its guardian reports. */
void kp_port_ended(struct kp_port *port, uint64_t process, uint64_t now);

/* The burst behind the last one given, whose frames are the caller's then. NULL: it is not there. Valid until
 * the next call. */
const struct kp_slot *kp_port_give(struct kp_port *port);

/* Sends an output, and keeps its buffer until it has left. False: all KP_SENT are in use. */
bool kp_port_hand(struct kp_port *port, const struct kp_output *output);
/* A frame of the node's own, to the other node, by each keeper. `by_port`: it is to leave by that port of the
 * active keeper's, from a live lane alone. */
void kp_port_own(struct kp_port *port, uint8_t number, const uint8_t *frame, uint32_t len, bool by_port);

/* Between bursts: reports how far the lane is, if that is new or the keeper has sent something. Returns how
 * many outputs were sent and are not known to have left. */
uint32_t kp_port_report(struct kp_port *port, const struct kp_progress *progress);
/* The same of a lane that is not live: answers. */
void kp_port_answer(struct kp_port *port);

#endif
