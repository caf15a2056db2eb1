/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that end at the chain's L3 because stations of a link exchange them: ARP and neighbour discovery.
 * They have a reason as drops have, and no packet was lost. */
#ifndef NFLIB_CHAIN_TAKEN_H
#define NFLIB_CHAIN_TAKEN_H

#include "nflib/chain/l3.h"

/* `drop`: as in a packet; `nf`: who dropped it. */
static inline bool nf_l3_takes_in(uint8_t drop, uint8_t nf)
{
    return nf == 0 && (drop == NF_L3_ARP + 1 || drop == NF_L3_ND + 1);
}

#endif
