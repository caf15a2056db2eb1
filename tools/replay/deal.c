/* SPDX-License-Identifier: Apache-2.0 */
/* Dealing a capture out to lanes; see replay/tape.h. The tape is read alone; the lanes' own are made. */
#include "tools/replay/tape.h"

#include <string.h>

int nd_tape_deal(const struct nd_tape *tape, unsigned lanes, struct nd_tape out[], struct ft_fault *fault)
{
    int error = 0;

    memset(out, 0, lanes * sizeof(out[0]));
    for (unsigned l = 0; l < lanes; l++) {
        out[l].bytes = tape->bytes;
        out[l].borrowed = true;
    }
    for (uint64_t i = 0; i < tape->count && !error; i++) {
        const struct nd_tape_input *in = &tape->inputs[i];
        struct nf_packet p = {.data = tape->bytes + in->at, .len = in->wire, .have = in->have};

        nf_packet_parse(&p);
        error = nd_tape_add(&out[nf_flow_lane(&p, lanes)], in);
    }
    for (unsigned l = 0; l < lanes; l++) {
        out[l].longest = tape->longest;
        if (error)
            nd_tape_free(&out[l]);
    }
    return error ? ft_fail(fault, FT_ENOMEM, "no memory for the lanes' packets") : 0;
}
