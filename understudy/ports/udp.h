/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP over IPv4 by DPDK devices, in place of a socket of the kernel's, for datagrams between a keeper and its
 * nodes (`inputs_devices`): Ethernet, ARP, IPv4 without fragments, no checksum of UDP, since datagrams carry
 * a tag. All peers are on the networks of the devices: there are no routes. A kernel's socket understands it.
 *
 * Owned and used by one thread. Where a peer is, is learnt by ARP, asked for once a second, of all devices;
 * who answered last is believed, as by any host. What is to be sent meanwhile is lost, and so is what finds
 * a device's queue full: who uses this sends again.
 */
#ifndef NODE_PORTS_UDP_H
#define NODE_PORTS_UDP_H

#include "understudy/ports/datagrams.h"

/* Opens `inputs_devices` of the node or keeper, as ports are opened, with the address of `inputs`. DPDK runs.
 * FT_EPERM, FT_EINVAL: a device; FT_ENOMEM; then nothing is left to close. There is room for as many peers as
 * a file may name. */
int nd_udp_open(struct nd_carrier *out, const struct nd_config *config, const struct nd_node *self,
                struct ft_fault *fault);

#endif
