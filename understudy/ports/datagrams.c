/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams between keepers and nodes, by the kernel's socket or a carrier; see datagrams.h. */
#define _GNU_SOURCE /* sendmmsg */
#include "understudy/ports/datagrams.h"
#include "ftcore/base/error.h"
#include "replicator/key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

int nd_datagrams_open(struct nd_datagrams *s, const char *kind, const struct nd_node *self, int room,
                      struct ft_fault *fault)
{
    struct sockaddr_in own;

    if (s->by.ctx)
        return 0;
    nd_datagrams_address(self, &own);
    if (s->fd < 0)
        s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd >= 0) {
        (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
        (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    if (s->fd >= 0 && bind(s->fd, (struct sockaddr *)&own, sizeof(own)) == 0)
        return 0;
    return ft_fail(fault,
                   errno == EADDRINUSE      ? FT_EBUSY
                   : errno == EADDRNOTAVAIL ? FT_ENOENT
                                            : FT_EIO,
                   "%s %s: inputs %s:%u: %s", kind, self->name, self->inputs_host, self->inputs_port,
                   strerror(errno));
}

void nd_datagrams_address(const struct nd_node *node, struct sockaddr_in *out)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(node->inputs_port)};
    inet_pton(AF_INET, node->inputs_host, &out->sin_addr);
}

int nd_datagrams_keys(struct kp_keys *out, const struct nd_config *config, struct ft_fault *fault)
{
    struct rp_keys keys;
    int error = rp_keys_read(&keys, config->link.key, fault);

    *out = (struct kp_keys){.count = 0};
    for (unsigned i = 0; !error && i < keys.count; i++)
        kp_keys_add(out, keys.key[i], sizeof(keys.key[i]));
    explicit_bzero(&keys, sizeof(keys));
    return error;
}

size_t nd_datagrams_room(const struct nd_datagrams *s, int fd, uint32_t frame_max)
{
    int mtu = 0;
    socklen_t size = sizeof(mtu);
    size_t most = KP_HEAD_BYTES + frame_max, room = 0;

    if (s->by.ctx)
        room = s->by.room;
    else if (getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &size) == 0 && mtu >= 576)
        room = (size_t)mtu - 28;
    return room < most ? room : most;
}

int nd_datagrams_place(const struct sockaddr_in *at, unsigned count, const struct sockaddr_in *from)
{
    for (unsigned i = 0; i < count; i++)
        if (from->sin_addr.s_addr == at[i].sin_addr.s_addr && from->sin_port == at[i].sin_port)
            return (int)i;
    return -1;
}

uint64_t nd_datagrams_file(const struct nd_config *config)
{
    struct {
        uint64_t interfaces;
        uint32_t ports, frame_max, keepers, reserved;
        char name[NF_PORTS_MAX][sizeof(config->port_name[0])];
    } alike = {.interfaces = nd_interfaces_digest(config->chain.l3),
               .ports = config->ports,
               .frame_max = config->chain.frame_max,
               .keepers = config->keepers};

    for (unsigned i = 0; i < config->ports; i++)
        memcpy(alike.name[i], config->port_name[i], strlen(config->port_name[i]));
    return XXH3_64bits(&alike, sizeof(alike)) | 1;
}

static void send_by_kernel(struct nd_datagrams *s)
{
    struct mmsghdr out[ND_DATAGRAMS_BATCH] = {0};
    unsigned sent = 0;

    for (unsigned i = 0; i < s->outs; i++)
        out[i].msg_hdr = (struct msghdr){.msg_name = (void *)(uintptr_t)s->to[i],
                                         .msg_namelen = s->to[i] ? sizeof(*s->to[i]) : 0,
                                         .msg_iov = &s->out[i],
                                         .msg_iovlen = 1};
    while (sent < s->outs) {
        int n = sendmmsg(s->fd, out + sent, s->outs - sent, MSG_DONTWAIT);

        sent += n > 0 ? (unsigned)n : 1;
    }
}

void nd_datagrams_flush(struct nd_datagrams *s)
{
    if (s->outs == 0)
        return;
    for (unsigned i = 0; i < s->outs; i++)
        kp_sign(s->said[i], s->out[i].iov_len, &s->keys);
    for (unsigned i = 0; s->by.ctx && i < s->outs; i++)
        s->by.send(s->by.ctx, s->to[i], s->said[i], s->out[i].iov_len);
    if (s->by.ctx)
        s->by.flush(s->by.ctx);
    else
        send_by_kernel(s);
    s->outs = 0;
}

int nd_datagrams_receive(struct nd_datagrams *s, struct mmsghdr *in, unsigned max)
{
    return s->by.ctx ? s->by.receive(s->by.ctx, in, max) : recvmmsg(s->fd, in, max, MSG_DONTWAIT, NULL);
}

int nd_datagrams_descriptor(const struct nd_datagrams *s)
{
    return s->by.ctx ? s->by.descriptor : s->fd;
}

static void free_keys(struct kp_keys *keys)
{
    if (keys)
        explicit_bzero(keys, sizeof(*keys));
    free(keys);
}

void nd_datagrams_close(struct nd_datagrams *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    if (s->by.ctx)
        s->by.close(s->by.ctx);
    s->by.ctx = NULL;
    free_keys(atomic_exchange(&s->renewed, NULL));
    explicit_bzero(&s->keys, sizeof(s->keys));
}

int nd_datagrams_renew(struct nd_datagrams *s, const struct nd_config *config, struct ft_fault *fault)
{
    struct kp_keys *keys = malloc(sizeof(*keys));
    int error =
        keys ? nd_datagrams_keys(keys, config, fault) : ft_fail(fault, FT_ENOMEM, "no memory for keys");

    free_keys(error ? keys : atomic_exchange(&s->renewed, keys));
    return error;
}

__attribute__((cold)) void nd_datagrams_take_renewed(struct nd_datagrams *s)
{
    struct kp_keys *keys = atomic_exchange(&s->renewed, NULL);

    if (keys)
        s->keys = *keys;
    free_keys(keys);
}

void nd_datagrams_add(struct nd_datagrams *s, const struct sockaddr_in *to, size_t room,
                      const struct kp_message *m)
{
    if (s->outs && s->to[s->outs - 1] == to &&
        kp_add(m, s->said[s->outs - 1], &s->out[s->outs - 1].iov_len, room))
        return;
    if (s->outs == ND_DATAGRAMS_BATCH)
        nd_datagrams_flush(s);
    s->to[s->outs] = to;
    s->out[s->outs] = (struct iovec){.iov_base = s->said[s->outs], .iov_len = kp_begin(m, s->said[s->outs])};
    s->outs++;
}
