/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a lane's packets come from and go to: DPDK ports in a node (understudy/ports), memory in the replay
 * tool. One call per burst and port. Owned by who made it; used by lanes, each with its own number. And what
 * both sides of it use: later fragments that wait for their first one (struct nd_fragments).
 */
#ifndef LANE_IO_H
#define LANE_IO_H

#include "ftcore/queue/hold.h"
#include "ftcore/record/record.h"
#include "nflib/chain/l3.h"
#include "nflib/net/packet.h"
#include "nflib/net/addr.h"
#include "nflib/net/vlan.h"

#include <endian.h>

struct nd_frame {
    uint8_t *data;
    uint32_t len;
    uint8_t port; /* where it came in */
    void *owner;  /* the buffer, for send and drop */
};

/* Of a live lane, between two bursts. */
struct nd_progress {
    uint64_t burst, seq, time; /* the last burst executed, the next input, chain time */
    uint64_t outputs;          /* number of the last one made */
    uint64_t settled;          /* bursts up to here are stable, and `send` took their outputs */
    bool moved; /* set by `tell`: another keeper has the ports now, whose switches do not know the chain's MAC
                 */
};

struct nd_io {
    void *ctx;
    uint16_t ports;               /* as the chain's interfaces are numbered */
    uint16_t devices;             /* to receive from: several ports may be behind one (VLANs) */
    uint8_t side[NF_PORTS_MAX];   /* enum nf_side */
    uint8_t own[NF_PORTS_MAX][6]; /* this node's own MAC, never the chain's: heartbeats, draining */
    uint32_t buffers;             /* packets that can be in flight */

    /* A descriptor of each device that can be read while frames are there; `waits`: all devices have one. */
    int descriptor[NF_PORTS_MAX];
    bool waits;

    /* At most `max` frames of a device, in one piece each; others (runts, scattered) are dropped. */
    uint32_t (*receive)(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[], uint32_t max);
    /* Offers outputs in order; how many the port took (a prefix), which are gone then. */
    uint32_t (*send)(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n);
    void *(*make)(void *ctx, unsigned lane, const void *frame, uint32_t len); /* NULL: no buffer */
    uint8_t *(*data)(void *owner);
    void (*drop)(void *ctx, void *owner);

    /* An input keeper in front: whole bursts, cut and stamped there, instead of receive. The burst after
     * number `last`: true, its frames and its chain time; false: none yet. NULL: there is none. */
    bool (*burst)(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                  uint64_t *time);

    /* An input keeper: a buffer with an output of `len` bytes, of which a record took `have`; the rest is the
     * end of the frame that came in with `seq`. NULL from it: no buffer, or no such frame. NULL: nobody keeps
     * frames. */
    void *(*rest)(void *ctx, unsigned lane, uint64_t seq, const void *head, uint32_t have, uint32_t len);
    /* The input keeper: the frame that came in with `seq`, whole, into `frame` (frame_max bytes), its length
     * and port. So records need not hold it (FT_REC_BY_SEQ). Beside `rest`; NULL: it is not to be had. */
    bool (*input)(void *ctx, unsigned lane, uint64_t seq, uint8_t *frame, uint32_t *len, uint8_t *port);
    uint32_t frame_max; /* with `input` or `tell`: no frame is longer */
    /* Reports to an input keeper, by a live lane in each turn, how far the lane is. Returns how many outputs
     * `send` took that are not known to have left: they do not count as released. NULL: what `send` took has
     * left. */
    uint32_t (*tell)(void *ctx, unsigned lane, struct nd_progress *progress);

    /* Who keeps the log: every record of a live lane is given to it, whole, before anybody else sees
     * it. `room`: whether it takes another. Both or neither; NULL: nobody keeps it. */
    bool (*room)(void *ctx, unsigned lane);
    void (*record)(void *ctx, unsigned lane, const struct ft_record *record);
};

#define ND_FRAGMENTS_WAIT 64u
#define ND_FRAGMENTS_NS   100000000ull
#define ND_FRAGMENTS_SETS 256u
#define ND_FRAGMENTS_WAYS 4u

/*
 * Later fragments that come before the first one of their datagram (RFC 4787, REQ-14). NFs know a datagram's
 * flow by its first fragment alone, so what comes before that waits here, in its buffer, before anything is
 * recorded: a replay finds fragments in the order in which they went on.
 *
 * A lane keeps its own (inputs.c). With several lanes the dealer of frames does (understudy/ports/ports.c),
 * one for each queue, since only the first fragment shows to which lane the others belong; lanes then keep
 * none.
 *
 * Capacity: ND_FRAGMENTS_WAIT frames, for ND_FRAGMENTS_NS each. When the time is over, or there is no room,
 * the oldest goes on without its first one. What is known to have passed is ND_FRAGMENTS_SETS sets of
 * ND_FRAGMENTS_WAYS datagrams, of which a new one takes the place of the oldest in its set.
 */
struct nd_fragments {
    struct nd_fragment {
        struct nd_frame frame;
        uint64_t datagram;        /* nf_datagram_hash */
        uint64_t until;           /* it goes on by then, ns */
    } waiting[ND_FRAGMENTS_WAIT]; /* a ring, from `first` on */
    uint32_t first, count;
    uint64_t passed[ND_FRAGMENTS_SETS][ND_FRAGMENTS_WAYS]; /* the newest first; 0: none */
};

/* What goes on for one frame, itself among it. */
struct nd_fragments_out {
    struct nd_frame frames[ND_FRAGMENTS_WAIT + 1]; /* in order */
    uint32_t n;
    uint32_t without_first; /* of them: later fragments whose first one has not come */
};

/* What nearly every frame is: untagged IPv4, and no fragment. */
static inline bool nd_frame_is_usual(const struct nd_frame *f)
{
    return f->len >= 34 && nf_get16(f->data + 12) == htobe16(0x0800) &&
           !(nf_get16(f->data + 20) & htobe16(0x3fff));
}

/* Of one that is not usual. False: certainly no fragment, so it need not be parsed to know. */
static inline bool nd_fragment_is_possible(const struct nd_frame *f)
{
    uint32_t at = 12; /* of the ethertype, behind two tags at most */

    for (unsigned tags = 0; tags < 2 && f->len >= at + 6; tags++, at += 4)
        if (nf_get16(f->data + at) != htobe16(NF_TPID_8021Q) &&
            nf_get16(f->data + at) != htobe16(NF_TPID_8021AD))
            break;
    if (nf_get16(f->data + at) == htobe16(0x0800))
        return f->len < at + 22 || nf_get16(f->data + at + 8) & htobe16(0x3fff);
    return nf_get16(f->data + at) == htobe16(0x86dd) &&
           (f->len < at + 42 || nf_ipv6_is_extension(f->data[at + 8]));
}

/* `p`: of the frame, parsed, with NF_P_FRAGMENT. */
void nd_fragments_take(struct nd_fragments *fragments, const struct nd_frame *frame,
                       const struct nf_packet *p, uint64_t now, struct nd_fragments_out *out);
/* The oldest, when its time is over by `now`. False: it may wait longer, or none does. UINT64_MAX: any. */
bool nd_fragments_over(struct nd_fragments *fragments, uint64_t now, struct nd_frame *out);

#endif
