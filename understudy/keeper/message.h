/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between an input keeper and the nodes behind it: one for each frame, in GENEVE (RFC 8926) with
 * one option, which ends with a tag. Messages of one kind share a datagram, as many as fit. Encoded and
 * decoded by both ends; nothing here keeps state.
 *
 *     8 bytes GENEVE: version 0, critical option, Ethernet inside; a control message has O set and no frame
 *     4 bytes of the option: class KP_CLASS, type KP_TYPE (critical), its length
 *     kind, lane, port, flags, index, count: a byte each; u16 len; eleven u64, in the order of struct
 *     kp_message; 16 bytes of tag; the frame
 *
 * Inputs, or outputs, that share the datagram follow: port, index, count, 0: a byte each; u16 len; u16 have;
 * burst, number, before, seq, time: u64; the frame. What they lack is the first one's. Then `missing` of the
 * first is how many bytes of its frame are there.
 *
 * Numbers in the option are little endian. The tag is that of ftcore/record/datagram.h, over the whole
 * datagram with zeros in its place. Its key is made of the pair's key (kp_key). Both processes are named in
 * each datagram, by incarnations whose last digit is the place of the node or keeper in the file: so a
 * datagram of an earlier process, or from or to another address than that process's, is dropped.
 */
#ifndef KEEPER_MESSAGE_H
#define KEEPER_MESSAGE_H

#include "ftcore/record/datagram.h"
#include "ftcore/region/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KP_UDP_PORT   6081u   /* GENEVE's */
#define KP_CLASS      0xff75u /* of those for experiments */
#define KP_TYPE       0x81u   /* critical: who does not know it drops the datagram */
#define KP_HEAD_BYTES 124u    /* before the frame; in front of it are the headers of UDP and IP */
#define KP_PART_BYTES 48u     /* before the frame of one that shares the datagram */
#define KP_BURST      32u     /* inputs of a burst at most */

enum kp_kind {
    KP_ASK = 1, /* keeper to node: answer, and take notice of `number`. Control */
    KP_INPUT,   /* keeper to node: an input of a burst, or an empty burst. Control where `count` is 0 */
    KP_STATE,   /* node to keeper: how far it is. Control */
    KP_OUTPUT,  /* node to keeper: an output */
    KP_OWN,     /* a frame of a node's own, for the other node; both ways */
    KP_WORD,    /* primary to one of two keepers: which of them is active (word.h). Control */
    KP_ENDED,   /* of two keepers, to the primary: the process `seq` has ended. Control */
    KP_KINDS
};

enum {
    /* Of an ASK. */
    KP_AGAIN = 1,   /* outputs behind `number` are to be sent again */
    KP_WANTS = 2,   /* of two keepers: it may become, or stay, the active one */
    KP_RUNS = 4,    /* the word that it has runs */
    KP_RETURNS = 8, /* it gives back the word of keeper view `burst`: what has not left by it never will */
    /* Of a WORD. */
    KP_YOURS = 1,  /* the word is given to the receiver */
    KP_GO = 2,     /* and is to be given back: the other keeper is better */
    KP_UNSURE = 4, /* and another keeper may have been active since: what may have left has left */
    /* Of a STATE. */
    KP_MAY = 1, /* the outputs of who is primary may leave now */
    /* Of an OWN. */
    KP_BY_PORT = 1 /* it is to leave by the port, and is not for the other node */
};

struct kp_message {
    uint8_t kind; /* enum kp_kind */
    uint8_t lane;
    uint8_t port; /* INPUT, OUTPUT, OWN: of the chain's ports; ASK of two keepers: ports without carrier */
    uint8_t flags;
    uint8_t index, count; /* INPUT: of the burst's inputs, from 0; how many there are, 0 … KP_BURST */
    uint16_t len;         /* of the frame as it is or is to be; an OUTPUT may carry less of it */

    uint64_t from, to; /* incarnations: the sender's; the receiver's as the sender knows it, 0: not yet */
    uint64_t serial;   /* of the sender's messages, from 1: of two states the later one counts */
    uint64_t view;     /* of the present primary; STATE of a node that is not primary: 0 */
    uint64_t burst;    /* INPUT, OUTPUT: whose it is; STATE: the last one that the lane has executed */
    /* INPUT, ASK: outputs up to this number have left. OUTPUT: its number. STATE: of the last one sent. */
    uint64_t number;
    /* OUTPUT: the number of the one sent before it; STATE: bursts up to here may be forgotten. */
    uint64_t before;
    uint64_t seq;  /* INPUT: its own; OUTPUT: of its input, 0: none; STATE: of the next input */
    uint64_t time; /* INPUT: chain time of the burst; STATE: of `burst` */
    /* Of two keepers. ASK: `burst` is the keeper view in which it is active, 0: none; `before` the highest
     * that it knows of; `seq` its process; `time` when it asked, by its clock. WORD: `before` is the keeper
     * view, `time` that of the question that it answers. */

    /* STATE: the first burst that is not there whole, and where a keeper begins that has no memory: outputs
     * up to this number may have left. ASK: `begins` is a digest of the keeper's file. */
    uint64_t missing, begins;

    const uint8_t *frame; /* borrowed */
    uint32_t have;        /* bytes of it */
    uint32_t rest;        /* decoded: bytes behind it, of those that share the datagram */
};

/* An incarnation is a multiple of KP_PLACES, and the place in the file: of a node, or KP_NODES and a
 * keeper's. A process that takes a later one goes on by KP_PLACES. */
#define KP_NODES  8u
#define KP_PLACES 16u
static inline uint64_t kp_incarnation(uint64_t wall, unsigned place)
{
    return wall - wall % KP_PLACES + place;
}
/* It is from who is at the first place, and to nobody but who is at the second. */
static inline bool kp_is_between(const struct kp_message *m, unsigned from, unsigned to)
{
    return m->from % KP_PLACES == from && (m->to == 0 || m->to % KP_PLACES == to);
}

/* Of a keeper and its nodes, made of the pair's: the first is signed with, each is believed. */
#define KP_KEYS 2u
struct kp_keys {
    unsigned count;
    struct ft_datagram_key key[KP_KEYS];
};
/* Adds the key that is made of one of the pair's. There is room. */
void kp_keys_add(struct kp_keys *keys, const uint8_t *key, size_t bytes);

/* A datagram of this message, without its tag, into out[KP_HEAD_BYTES + m->have]; returns the length. */
size_t kp_begin(const struct kp_message *m, uint8_t *out);
/* The message behind what is there, `*len` bytes of at most `room`. False: it does not fit, or is not of the
 * kind, view and processes of the first. */
bool kp_add(const struct kp_message *m, uint8_t *out, size_t *len, size_t room);
void kp_sign(uint8_t *out, size_t len, const struct kp_keys *keys);
/* kp_begin and kp_sign. */
size_t kp_encode(const struct kp_message *m, const struct kp_keys *keys, uint8_t *out);

/* 0; FT_EMALFORMED: no such datagram; FT_EPERM: without any of these keys. in[0..len) is written to, and
 * borrowed by out->frame. */
int kp_decode(uint8_t *in, size_t len, const struct kp_keys *keys, struct kp_message *out);
/* The next one of the datagram, in place of the one decoded last. False: there is none, or it is malformed.
 */
bool kp_next(struct kp_message *m);

#endif
