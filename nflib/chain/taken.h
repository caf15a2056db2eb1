/* SPDX-License-Identifier: Apache-2.0 */
/* What ends at the chain's L3 because it was said between stations of a link: ARP and neighbour discovery. It
 * has a reason as drops have, and no packet was lost. */
#ifndef NFLIB_CHAIN_TAKEN_H
#define NFLIB_CHAIN_TAKEN_H

#include "nflib/chain/l3.h"

/* `drop`: as in a packet; `nf`: who dropped it. */
static inline bool nf_l3_takes_in(uint8_t drop, uint8_t nf)
{
    return nf == 0 && (drop == NF_L3_ARP + 1 || drop == NF_L3_ND + 1);
}

#endif
