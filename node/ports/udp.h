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

#include "node/ports/ports.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct nd_udp;
struct mmsghdr;

/* Opens `inputs_devices` of the node or keeper, as ports are opened; its address is that of `inputs`. DPDK
 * runs. FT_EPERM, FT_EINVAL: a device; FT_ENOMEM. */
int nd_udp_open(struct nd_udp **out, const struct nd_config *config, const struct nd_node *self,
                struct ft_fault *fault);
void nd_udp_close(struct nd_udp *udp);

/* There is room for PEERS of them, as many as a file may name. */
void nd_udp_add_peer(struct nd_udp *udp, const struct sockaddr_in *at);
/* Bytes of a datagram at most, by the MTU of the devices. */
size_t nd_udp_room(const struct nd_udp *udp);
/* What tells that something has come: a descriptor, where there is one device and its driver has one; else
 * -1. */
int nd_udp_descriptor(const struct nd_udp *udp);

/* As recvmmsg and MSG_DONTWAIT, each with one buffer: how many came. Datagrams of peers alone. */
unsigned nd_udp_receive(struct nd_udp *udp, struct mmsghdr *in, unsigned max);
/* A copy waits to be sent. `to`: a peer. */
void nd_udp_send(struct nd_udp *udp, const struct sockaddr_in *to, const uint8_t *bytes, size_t len);
void nd_udp_flush(struct nd_udp *udp);

#endif
