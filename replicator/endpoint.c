/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends of a link's life: its sockets and buffers, and what seals its connections, made and given back.
 * Called by who owns the link; what happens in between is in link.c.
 */
#include "replicator/connection.h"

#include <stdlib.h>
#include <unistd.h>

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Connections that have not shown yet who they are. */
static void close_unproven(struct rp_link *link)
{
    rp_stream_close(link->attempt.stream, false);
    link->attempt.stream = NULL;
    rp_handshakes_close(&link->handshakes);
}

void rp_link_close(struct rp_link *link)
{
    if (!link)
        return;
    close_one(&link->listener);
    close_one(&link->datagrams);
    rp_stream_close(link->stream, true);
    rp_stream_close(link->next, false);
    close_unproven(link);
    rp_seal_close(link->seal);
    free(link->in.bytes);
    free(link->in.bulk);
    free(link->out.bytes);
    free(link);
}

static int open_sockets(struct rp_link *link, const struct rp_link_config *config, struct ft_fault *fault)
{
    int rc;

    if ((rc = rp_seal_open(&link->seal, &config->seal, fault)))
        return rc;
    if ((rc = rp_address(&link->local, config->local_host, config->local_port, fault)) ||
        (rc = rp_address(&link->peer, config->peer_host, config->peer_port, fault)))
        return rc;
    rp_device(&link->local, link->device);
    if ((link->datagrams = rp_datagrams(&link->local, link->device, fault)) < 0)
        return link->datagrams;
    if (link->listens && (link->listener = rp_listen(&link->local, link->device, fault)) < 0)
        return link->listener;
    return 0;
}

int rp_link_open(struct rp_link **out, const struct rp_link_config *config, struct ft_fault *fault)
{
    struct rp_link *link = calloc(1, sizeof(*link));
    int rc;

    *out = NULL;
    if (!link)
        return ft_fail(fault, FT_ENOMEM, "no memory for the link");
    link->listens = config->listens;
    link->attempt.retry_ns = config->retry_ms * 1000000ull;
    link->listener = link->datagrams = -1;
    link->in.bytes = malloc(IN_CAP);
    link->in.bulk = malloc(FT_BULK_MAX);
    link->out.bytes = malloc(OUT_CAP);
    if (!link->in.bytes || !link->in.bulk || !link->out.bytes)
        rc = ft_fail(fault, FT_ENOMEM, "no memory for the link's buffers");
    else
        rc = open_sockets(link, config, fault);
    if (rc) {
        rp_link_close(link);
        return rc;
    }
    *out = link;
    return 0;
}

/* A handshake under way is by what sealed the link before: it is begun again, and a stream that has ended its
 * own needs the seal no more. */
void rp_link_reseal(struct rp_link *link, struct rp_seal *seal)
{
    close_unproven(link);
    rp_seal_close(link->seal);
    link->seal = seal;
}
