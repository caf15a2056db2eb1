/* SPDX-License-Identifier: Apache-2.0 */
/* Tells who knocks beside a connection that lives from the peer's new process. See link.c for why. */
#include "replicator/connection.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO_MAX (FT_FRAME_HEAD + FT_IDENTITY_MAX + 1024u)
#define PEEK_MAX  (HELLO_MAX + 4096u) /* and the beats behind it */
#define HELLO_NS  1000000000ull       /* for a hello and its proof, while another connection lives */

static void close_newcomer(struct rp_newcomer *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

void rp_newcomer_accept(struct rp_newcomer *n, int listener, const struct sockaddr_in *peer, uint64_t now,
                        uint64_t refused[])
{
    int fd;

    while ((fd = rp_accept(listener, peer, &refused[-FT_EPERM])) >= 0) {
        close_newcomer(n);
        *n = (struct rp_newcomer){.fd = fd, .came = now};
    }
}

/* A hello, and behind it something that echoes ours. 1: both; 0: not yet; or what is wrong with them. */
static long read_proof(struct rp_newcomer *n, const uint8_t *said, size_t len, uint8_t *bulk)
{
    struct ft_message m;
    long used = ft_message_decode(said, len, 0, &m, bulk, NULL);

    if (used <= 0)
        return used;
    if (m.type != FT_MSG_HELLO)
        return FT_EMALFORMED;
    n->said = m.sent;
    for (size_t at = (size_t)used; n->greeted; at += (size_t)used) {
        if ((used = ft_message_decode(said + at, len - at, 0, &m, bulk, NULL)) <= 0)
            return used;
        if (m.echo == n->greeted)
            return 1;
    }
    return 0;
}

bool rp_newcomer_proven(struct rp_newcomer *n, uint64_t now, uint8_t *bulk, uint64_t refused[])
{
    uint8_t said[PEEK_MAX];
    ssize_t len = recv(n->fd, said, sizeof(said), MSG_PEEK);
    long rc = len > 0 ? read_proof(n, said, (size_t)len, bulk) : 0;

    if (rc > 0)
        return true;
    bool wait = rc == 0 && (len > 0 ? (size_t)len < sizeof(said) : len < 0 && errno == EAGAIN);

    if (!wait || now - n->came > HELLO_NS) {
        refused[rc < 0 ? -rc : -FT_EMALFORMED]++;
        close_newcomer(n);
    }
    return false;
}

void rp_newcomer_greet(struct rp_newcomer *n, const struct ft_message *m)
{
    uint8_t frame[HELLO_MAX];
    long len = ft_message_encode(m, 0, NULL, frame, sizeof(frame));

    FT_CHECK(len > 0, "a hello needs more than %zu bytes", sizeof(frame));
    /* Nothing was written there before, so it fits; else the connection is of no use. */
    if (send(n->fd, frame, (size_t)len, MSG_NOSIGNAL) == len)
        n->greeted = m->sent;
    else
        close_newcomer(n);
}
