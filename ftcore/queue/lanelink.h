/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two lanes send each other by a port of the link: the layout of a frame, and the two ends of its stream
 * of records. Numbers in, decisions out: no port, key or clock here (lane/link.c has them). Owned by the
 * lane.
 *
 *     Ethernet, FT_LINK_TYPE | head | sealed: body, payload | tag
 *
 * A frame is sealed by AES-128-GCM with the head as associated data; the nonce is direction, lane and number.
 * Numbers begin at 1 with a connection and only rise, through its keys, so none is used twice under one, and
 * one that is not above all that were opened is nobody's: what is sent again is sent in a new frame. A frame
 * of another version, direction, lane, view or process is nobody's either.
 *
 * The sender's window is the lane's log ring: a record is read from there, however often it is sent. The
 * receiver takes records in their order alone. It reports back up to which burst it has stored, and up to
 * which of that is closed, the newest frame it opened, how much room it has, and whether something is
 * missing: then the sender goes back to the first record that is not stored (go-back-N), once for all frames
 * that were under way. So it does, too, when nothing moved for FT_LINK_AGAIN_NS.
 */
#ifndef FTCORE_QUEUE_LANELINK_H
#define FTCORE_QUEUE_LANELINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FT_LINK_TYPE     0x88b6u /* IEEE's second one for local experiments */
#define FT_LINK_VERSION  1u
#define FT_LINK_ETHERNET 14u
#define FT_LINK_HEAD     32u
#define FT_LINK_BODY     56u
#define FT_LINK_TAG      16u
#define FT_LINK_NONCE    12u
#define FT_LINK_OVERHEAD (FT_LINK_ETHERNET + FT_LINK_HEAD + FT_LINK_BODY + FT_LINK_TAG)
#define FT_LINK_LEAST    (FT_LINK_OVERHEAD + 64u) /* bytes of the longest frame, at least */
#define FT_LINK_MOST     9216u
#define FT_LINK_AGAIN_NS 1000000u /* and twice as long each time that nothing came of it, up to: */
#define FT_LINK_PATIENCE (64u * FT_LINK_AGAIN_NS)
#define FT_LINK_WINDOW   1024u /* records that are not known to be closed, at most */

struct ft_link_head {
    uint8_t direction; /* 0: from the node that accepted the link's connection */
    uint16_t lane;
    uint64_t view, incarnation; /* of its sender */
    uint64_t number;
};

struct ft_link_body {
    uint64_t stored; /* standby: the last burst that it has stored, with all before it */
    uint64_t closed; /* standby: the last one that is in the closed set, and so is stable */
    uint64_t heard;  /* the newest number opened */
    uint64_t room;   /* standby: bytes of records that it can store */
    uint64_t burst;  /* of the first record of the payload; 0: none follows */
    uint32_t offset; /* the payload is a piece of that record, from here on */
    uint32_t whole;  /* of so many bytes; 0: the payload is whole records */
    uint32_t lag_us; /* standby: for how long its oldest record waits to be replayed */
    uint8_t missing; /* standby: something came that does not follow what is stored */
};

/* `to` has FT_LINK_HEAD, FT_LINK_BODY, FT_LINK_NONCE bytes. */
void ft_link_put_head(uint8_t *to, const struct ft_link_head *head);
void ft_link_put_body(uint8_t *to, const struct ft_link_body *body);
void ft_link_nonce(uint8_t *to, const struct ft_link_head *head);
/* Of a frame of `len` bytes, from its Ethernet header on. False: it is none. */
bool ft_link_get_head(const uint8_t *frame, size_t len, struct ft_link_head *head);
/* Of what was opened. False: it contradicts itself, or `payload` bytes behind it do not fit. */
bool ft_link_get_body(const uint8_t *from, size_t payload, struct ft_link_body *body);

/* ---- the side that sends records ------------------------------------------------------------------ */

struct ft_link_sender {
    uint64_t number; /* of the last frame sent */
    uint64_t stable; /* the peer has acknowledged this as closed; 0: nothing in this stream */
    uint64_t closed; /* that, or what began before */
    uint64_t stored; /* what need not be sent again */
    uint64_t next;   /* burst to be sent next; 0: nothing is to be sent */
    uint64_t most;   /* the last burst ever sent */
    uint64_t room;   /* as the peer reported last */
    uint64_t heard;  /* of our numbers: the newest that it has opened */
    uint64_t backed; /* our last number when it went back: what the peer had missed before is sent again */
    uint64_t moved;  /* when something was stored last, or nothing was under way, ns */
    uint64_t wait;   /* until it goes back unasked, ns; 0: FT_LINK_AGAIN_NS */
    uint64_t again;  /* times it went back */
};

/* Records behind `burst` are to be sent. Earlier reports of them count no more. */
void ft_link_begin(struct ft_link_sender *s, uint64_t burst, uint64_t now);
/* The next burst may go: it is below the window's end. */
bool ft_link_may_send(const struct ft_link_sender *s);
void ft_link_sent(struct ft_link_sender *s, uint64_t burst, uint64_t now);
enum ft_link_said {
    FT_LINK_LIES,  /* it has stored or opened what was never sent: nobody's */
    FT_LINK_SAID,  /* nothing new */
    FT_LINK_MOVED, /* it has stored more, or more is closed */
};
/* `last`: the last burst recorded, which another way may have brought. Goes back where something is missing.
 */
enum ft_link_said ft_link_take_ack(struct ft_link_sender *s, const struct ft_link_body *body, uint64_t last,
                                   uint64_t now);
/* Goes back when nothing has moved for long. True: it did. */
bool ft_link_late(struct ft_link_sender *s, uint64_t now);

/* ---- the side that stores them -------------------------------------------------------------------- */

struct ft_link_receiver {
    uint64_t number;    /* the newest opened */
    uint64_t part;      /* burst of which pieces have come; 0: none */
    uint32_t have, all; /* bytes of it, from the first on */
    bool missing;       /* since the last report */
};

/* Not one that was opened before, nor older. */
static inline bool ft_link_is_new(const struct ft_link_receiver *r, uint64_t number)
{
    return number > r->number;
}

enum ft_link_take {
    FT_LINK_TAKE, /* it is the next one */
    FT_LINK_HAD,  /* it is stored */
    FT_LINK_GAP,  /* something before it is missing */
};
enum ft_link_take ft_link_take(struct ft_link_receiver *r, uint64_t burst, uint64_t stored);
/* A piece: TAKE: its bytes follow those that are there; the record is whole when r->have is r->all. */
enum ft_link_take ft_link_take_piece(struct ft_link_receiver *r, const struct ft_link_body *body,
                                     uint32_t bytes, uint64_t stored);

#endif
