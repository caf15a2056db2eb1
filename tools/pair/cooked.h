/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link types of captures. A capture of Linux's `-i any` has "cooked" headers (LINUX_SLL, LINUX_SLL2), since
 * its interfaces may be of any kind; a synthetic Ethernet header takes their place. Pure functions, used
 * while a tape is read.
 */
#ifndef TOOLS_PAIR_COOKED_H
#define TOOLS_PAIR_COOKED_H

#include <stdbool.h>
#include <stdint.h>

#define ND_COOKED_HEAD 14u /* bytes of the header that is put in place */

/* A capture of this link type (DLT_…) can be read. */
bool nd_cooked_reads(int link);

/*
 * What Ethernet begins the frame with of whose `have` bytes the link type's own header is the first. How many
 * bytes of those it replaces: 0 for Ethernet itself, whose frames stay as they are and whose `head` is not
 * written. Negative: neither IP nor ARP, or the header is not whole.
 */
int nd_cooked_head(int link, const uint8_t *data, uint32_t have, uint8_t head[ND_COOKED_HEAD]);

/* The machine that captured has sent the packet. One that it forwards is in a cooked capture twice: as it
 * came in, and as it was sent. */
bool nd_cooked_sent(int link, const uint8_t *data, uint32_t have);

#endif
