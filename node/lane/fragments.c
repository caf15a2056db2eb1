/* SPDX-License-Identifier: Apache-2.0 */
/* Later fragments that wait for their first one; see fragments.h. */
#include "node/lane/fragments.h"
#include "nflib/chain/chain.h"

#include <string.h>

static uint64_t *set_of(struct nd_fragments *fragments, uint64_t datagram)
{
    return fragments->passed[(datagram >> 32) % ND_FRAGMENTS_SETS];
}

static bool has_passed(struct nd_fragments *fragments, uint64_t datagram)
{
    const uint64_t *set = set_of(fragments, datagram);
    bool passed = false;

    for (unsigned way = 0; way < ND_FRAGMENTS_WAYS; way++)
        passed |= set[way] == datagram;
    return passed;
}

static void note_passed(struct nd_fragments *fragments, uint64_t datagram)
{
    uint64_t *set = set_of(fragments, datagram);

    if (has_passed(fragments, datagram))
        return;
    memmove(&set[1], &set[0], (ND_FRAGMENTS_WAYS - 1) * sizeof(set[0]));
    set[0] = datagram;
}

static struct nd_fragment *at(struct nd_fragments *fragments, uint32_t number)
{
    return &fragments->waiting[(fragments->first + number) % ND_FRAGMENTS_WAIT];
}

/* Those of the datagram go on, the others close up. */
static void take_waiting(struct nd_fragments *fragments, uint64_t datagram, struct nd_fragments_out *out)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < fragments->count; i++) {
        const struct nd_fragment *waiting = at(fragments, i);

        if (waiting->datagram == datagram)
            out->frames[out->n++] = waiting->frame;
        else
            *at(fragments, left++) = *waiting;
    }
    fragments->count = left;
}

void nd_fragments_take(struct nd_fragments *fragments, const struct nd_frame *frame,
                       const struct nf_packet *p, uint64_t now, struct nd_fragments_out *out)
{
    uint64_t datagram = nf_datagram_hash(p);

    out->n = out->without_first = 0;
    if (!(p->flags & NF_P_LATER)) {
        out->frames[out->n++] = *frame;
        note_passed(fragments, datagram);
        take_waiting(fragments, datagram, out);
        return;
    }
    if (has_passed(fragments, datagram)) {
        out->frames[out->n++] = *frame;
        return;
    }
    if (fragments->count == ND_FRAGMENTS_WAIT)
        out->without_first = out->n = nd_fragments_over(fragments, UINT64_MAX, &out->frames[0]);
    *at(fragments, fragments->count++) =
        (struct nd_fragment){.frame = *frame, .datagram = datagram, .until = now + ND_FRAGMENTS_NS};
}

bool nd_fragments_over(struct nd_fragments *fragments, uint64_t now, struct nd_frame *out)
{
    if (!fragments->count || at(fragments, 0)->until > now)
        return false;
    *out = at(fragments, 0)->frame;
    fragments->first = (fragments->first + 1) % ND_FRAGMENTS_WAIT;
    fragments->count--;
    return true;
}
