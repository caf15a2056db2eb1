/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a debugger stops before a packet. Who replays comes to nd_stop_here before the burst, and leaves here
 * what the debugger's commands (gdb.c) need to go on from there: to the NF's function, and in it to
 * the moment at which it takes the packet. Without a debugger nobody reads it.
 */
#ifndef TOOLS_RECORDING_GDB_H
#define TOOLS_RECORDING_GDB_H

#include "nflib/net/packet.h"

#include <stdint.h>

extern uintptr_t nd_stop_entry;                /* the NF's function; 0: not known */
extern const struct nf_packet *nd_stop_packet; /* NULL: not known */

void nd_stop_before(uintptr_t entry, const struct nf_packet *packet);
void nd_stop_here(void);
/* By the debugger: where list[0..n), the packets that an NF is given, has nd_stop_packet; NULL: nowhere. */
const void *nd_stop_slot(struct nf_packet *const list[], uint32_t n);

#endif
