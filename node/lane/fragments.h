/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Later fragments that come before the first one of their datagram (RFC 4787, REQ-14). NFs know a datagram's
 * flow by its first fragment alone, so what comes before that waits here, in its buffer, before anything is
 * recorded: a replay finds fragments in the order in which they went on.
 *
 * A lane keeps its own (inputs.c). With several lanes who deals frames out does (ports/deal.c), one for each
 * queue, since only the first fragment tells whose the others are; lanes then keep none.
 *
 * Capacity: ND_FRAGMENTS_WAIT frames, for ND_FRAGMENTS_NS each. When the time is over, or there is no room,
 * the oldest goes on without its first one. What is known to have passed is ND_FRAGMENTS_SETS sets of
 * ND_FRAGMENTS_WAYS datagrams, of which a new one takes the place of the oldest in its set.
 */
#ifndef NODE_LANE_FRAGMENTS_H
#define NODE_LANE_FRAGMENTS_H

#include "nflib/net/bytes.h"
#include "nflib/net/ipv6.h"
#include "nflib/net/packet.h"
#include "nflib/net/vlan.h"
#include "node/lane/io.h"

#include <endian.h>

#define ND_FRAGMENTS_WAIT 64u
#define ND_FRAGMENTS_NS   100000000ull
#define ND_FRAGMENTS_SETS 256u
#define ND_FRAGMENTS_WAYS 4u

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
