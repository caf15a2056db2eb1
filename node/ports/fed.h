/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's ports where keepers have them: one UDP socket to them, behind the same struct nd_io. Opened
 * by nd_ports_open for a node with `inputs`; used by lane 0, on whose thread keeper/port.h works. Every
 * buffer has room for what the keeper writes in front of a frame, so the first frame of a datagram is
 * received where it lies; what shares the datagram, and what is sent, is copied.
 *
 * Buffers: `mbufs` of the file, and IN_TURN more to receive into. When fewer than a quarter are free only the
 * burst that is due next is kept, when few are, nothing is; it comes again.
 */
#ifndef NODE_PORTS_FED_H
#define NODE_PORTS_FED_H

#include "keeper/message.h"
#include "node/ports/ports.h"

#include <netinet/in.h>
#include <sys/uio.h>

/* The ports are numbered. FT_EBUSY, FT_ENOENT: the address; FT_EPERM, FT_EINVAL: the key; FT_ENOMEM. */
int nd_fed_open(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                struct ft_fault *fault);
void nd_fed_close(struct nd_ports *ports);

/* Lane 0's orders are there, before it begins. */
void nd_fed_serve(struct nd_ports *ports, const struct ft_lane_shared *lane);

/* By any thread: a keeper has been heard within the last second. */
bool nd_fed_hears(const struct nd_ports *ports, uint64_t now);

/* For both ends: where a node, or the keeper, has its socket; the keys, as nd_fed_open. */
void nd_fed_address(const struct nd_node *node, struct sockaddr_in *out);
int nd_fed_keys(struct kp_keys *out, const struct nd_config *config, struct ft_fault *fault);

/* The socket of either end, its keys, and the datagrams that wait to be sent, one batch at most. */
#define ND_FED_BATCH 32u
struct nd_fed_socket {
    int fd;
    struct kp_keys keys;
    unsigned outs;
    const struct sockaddr_in *to[ND_FED_BATCH]; /* NULL: whom it is connected to */
    struct iovec out[ND_FED_BATCH];
    uint8_t said[ND_FED_BATCH][KP_HEAD_BYTES + FT_FRAME_MAX];
};

/* Bound where the file has `self`, "node" or "keeper" by `kind`, with buffers of `room` bytes, of which the
 * kernel grants what it permits. FT_EBUSY, FT_ENOENT: the address; FT_EIO. `fd` is -1 before; closed by the
 * caller, also after a failure. */
int nd_fed_socket_open(struct nd_fed_socket *s, const char *kind, const struct nd_node *self, int room,
                       struct ft_fault *fault);
/* A copy of the message waits, in a datagram with those before it as long as that has `room` bytes at most; a
 * whole batch is sent. */
void nd_fed_socket_add(struct nd_fed_socket *s, const struct sockaddr_in *to, size_t room,
                       const struct kp_message *m);
/* What the kernel does not take is lost, as on the network, and comes again. */
void nd_fed_socket_flush(struct nd_fed_socket *s);
/* Bytes of a datagram that several messages may share, by a socket that is connected: the MTU's, and no more
 * than one frame of frame_max may have. */
size_t nd_fed_room(int fd, uint32_t frame_max);
/* Whose address that is, of `count`; -1: nobody's. */
int nd_fed_place(const struct sockaddr_in *at, unsigned count, const struct sockaddr_in *from);

/* By the control thread: reads the keys again, which the lane takes in its next turn. As nd_fed_keys. */
int nd_fed_renew(struct nd_ports *ports, const struct nd_config *config, struct ft_fault *fault);

/* What status tells; zeros where no keeper has the ports. */
struct nd_fed_counts {
    uint64_t strangers; /* datagrams without the key, or malformed */
    uint64_t refused;   /* of another keeper, to another process, or not the burst that is next */
    uint64_t crowded;   /* inputs dropped for want of a buffer, which come again */

    unsigned keepers, heard; /* in the file; those heard within the last second, as bits */
    int active;           /* by which this node's live lane is fed; -1: it is not, or there is one keeper */
    uint64_t keeper_view; /* in which it is active */
};
void nd_fed_counts(const struct nd_ports *ports, struct nd_fed_counts *out);

#endif
