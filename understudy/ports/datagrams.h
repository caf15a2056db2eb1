/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end's socket between keepers and nodes (understudy/keeper/message.h), or the devices in its place:
 * whose datagrams are known by which keys, and those that wait to be sent, in which messages share as many
 * bytes as fit. Owned by the process of that end, used by its packet thread alone, but for
 * nd_datagrams_renew.
 */
#ifndef NODE_PORTS_DATAGRAMS_H
#define NODE_PORTS_DATAGRAMS_H

#include "understudy/keeper/message.h"
#include "understudy/config/config.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct mmsghdr;

/* What carries datagrams in place of a socket of the kernel's: understudy/ports/udp.h. */
struct nd_carrier {
    void *ctx;      /* NULL: a socket of the kernel's does */
    size_t room;    /* bytes of a datagram at most */
    int descriptor; /* readable while something has come; -1: there is none */
    /* As recvmmsg and MSG_DONTWAIT, each with one buffer and a name: how many came, from whomever. */
    int (*receive)(void *ctx, struct mmsghdr *in, unsigned max);
    void (*send)(void *ctx, const struct sockaddr_in *to, const uint8_t *bytes, size_t len); /* a copy */
    void (*flush)(void *ctx);
    void (*add_peer)(void *ctx, const struct sockaddr_in *at); /* that is spoken to */
    void (*close)(void *ctx);
};

/* Where a node, or a keeper, has its socket. The keys that are made of the file's: FT_EPERM, FT_EINVAL: it.
 */
void nd_datagrams_address(const struct nd_node *node, struct sockaddr_in *out);
int nd_datagrams_keys(struct kp_keys *out, const struct nd_config *config, struct ft_fault *fault);

/* A digest of what keepers and nodes must have alike in their files: ports, in their order, what
 * distinguishes interfaces, the longest frame, how many keepers there are. Not 0. */
uint64_t nd_datagrams_file(const struct nd_config *config);

/* The socket of an end, its keys, and the datagrams that wait to be sent, one batch at most. */
#define ND_DATAGRAMS_BATCH 32u
struct nd_datagrams {
    int fd;               /* the kernel's; -1: there is none */
    struct nd_carrier by; /* in its place */
    struct kp_keys keys;
    _Atomic(struct kp_keys *) renewed; /* that were read again, for the packet thread; NULL: none */
    unsigned outs;
    const struct sockaddr_in *to[ND_DATAGRAMS_BATCH]; /* NULL: whom it is connected to */
    struct iovec out[ND_DATAGRAMS_BATCH];
    uint8_t said[ND_DATAGRAMS_BATCH][KP_HEAD_BYTES + FT_FRAME_MAX];
};

/* Without a carrier, which is set before: bound where the file has `self`, "node" or "keeper" by `kind`, with
 * buffers of `room` bytes, of which the kernel grants what it permits. FT_EBUSY, FT_ENOENT: the address;
 * FT_EIO. `fd` is -1 before; closed by the caller, also after a failure. */
int nd_datagrams_open(struct nd_datagrams *s, const char *kind, const struct nd_node *self, int room,
                      struct ft_fault *fault);
void nd_datagrams_close(struct nd_datagrams *s);
/* By another thread: reads the keys again. As nd_datagrams_keys; FT_ENOMEM. */
int nd_datagrams_renew(struct nd_datagrams *s, const struct nd_config *config, struct ft_fault *fault);
/* They have been, and are to be taken: then they are the keys. */
static inline bool nd_datagrams_is_renewed(const struct nd_datagrams *s)
{
    return atomic_load_explicit(&s->renewed, memory_order_relaxed) != NULL;
}
void nd_datagrams_take_renewed(struct nd_datagrams *s);
/* As recvmmsg and MSG_DONTWAIT, each with one buffer: how many came; negative: none. */
int nd_datagrams_receive(struct nd_datagrams *s, struct mmsghdr *in, unsigned max);
/* Readable while something has come; -1: it has none, and is looked at. */
int nd_datagrams_descriptor(const struct nd_datagrams *s);
/* A copy of the message waits, in a datagram with those before it as long as that has `room` bytes at most; a
 * whole batch is sent. */
void nd_datagrams_add(struct nd_datagrams *s, const struct sockaddr_in *to, size_t room,
                      const struct kp_message *m);
/* What the kernel does not take is lost, as on the network, and comes again. */
void nd_datagrams_flush(struct nd_datagrams *s);
/* Bytes of a datagram that several messages may share: the carrier's, or those of the path of `fd`, a
 * socket of the kernel's that is connected, and no more than one frame of frame_max may have. */
size_t nd_datagrams_room(const struct nd_datagrams *s, int fd, uint32_t frame_max);
/* Whose address that is, of `count`; -1: nobody's. */
int nd_datagrams_place(const struct sockaddr_in *at, unsigned count, const struct sockaddr_in *from);

#endif
