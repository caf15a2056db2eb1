/* SPDX-License-Identifier: Apache-2.0 */
/* Dealing the bench's traffic out to lanes, by the same hash as a node's ports; see bench/load.h. */
#include "tools/bench/load.h"
#include "nflib/flow/flow.h"

#include <stdlib.h>

unsigned nd_load_lane(const uint8_t *frame, uint32_t wire, uint32_t have, unsigned lanes)
{
    struct nf_packet p = {.data = (uint8_t *)(uintptr_t)frame, .len = wire, .have = have};

    if (lanes == 1)
        return 0;
    nf_packet_parse(&p);
    return nf_flow_lane(&p, lanes);
}

/* A side's frames, in order; each goes to one lane. */
static int deal_side(struct nd_load *load, unsigned side, unsigned lanes)
{
    const struct nd_load_side *all = &load->side[side];

    for (unsigned l = 0; l < lanes; l++) {
        struct nd_load_side *to = &load->lane[l][side];

        *to = (struct nd_load_side){.frames = malloc((all->count + 1) * sizeof(*to->frames))};
        if (!to->frames)
            return FT_ENOMEM;
    }
    for (uint64_t i = 0; i < all->count; i++) {
        const struct nd_load_frame *f = &all->frames[i];
        const uint8_t *bytes = load->bytes + (uint64_t)f->line * ND_LOAD_LINE;
        struct nd_load_side *to = &load->lane[nd_load_lane(bytes, f->wire, f->have, lanes)][side];

        to->frames[to->count++] = *f;
        to->opening += i < all->opening;
    }
    for (unsigned l = 0; l < lanes;
         l++) /* Zipf: a lane's flows may all be rare. Then they are opened again */
        if (load->lane[l][side].opening == load->lane[l][side].count)
            load->lane[l][side].opening = 0;
    return 0;
}

int nd_load_deal(struct nd_load *load, unsigned lanes, struct ft_fault *fault)
{
    int error = 0;

    load->lanes = lanes;
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
        if (lanes == 1)
            load->lane[0][s] = load->side[s];
        else if (!error)
            error = deal_side(load, s, lanes);
    return error ? ft_fail(fault, error, "no memory for the traffic of %u lanes", lanes) : 0;
}
