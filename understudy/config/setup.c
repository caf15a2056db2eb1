/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration means for rings, replicator and core; see setup.h. */
#include "understudy/config/setup.h"
#include "understudy/base/interface.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SPARE_BYTES (2u * FT_RECORD_MAX) /* of a replay ring, above the credit */
#define LARGE_BYTES (8u * SPARE_BYTES)
#define DRAIN_MS    1000u
/* The standby's lane fills this ring and empties it, so it lies in the cache of its processor as long as it
 * is small. What is not replayed yet needs no more room: the primary waits after recovery_budget_ms of it. */
#define DIRECT_BYTES (2u * FT_RECORD_MAX)

/* Of a large ring the spare is a part, since its memory is a power of two; a small one has it beside. */
static uint64_t credit_of(uint64_t pending_bytes)
{
    return pending_bytes < LARGE_BYTES ? pending_bytes : pending_bytes - SPARE_BYTES;
}

int nd_setup_rings(struct ft_lane_shared *lane, uint64_t log_bytes, uint64_t pending_bytes, bool stores,
                   struct ft_fault *fault)
{
    if (ft_lane_init(lane, log_bytes, credit_of(pending_bytes) + SPARE_BYTES) == 0) {
        if (!stores || ft_ring_init(&lane->checkpoint, pending_bytes) == 0)
            return 0;
        ft_lane_free(lane);
    }
    return ft_fail(fault, FT_ENOMEM, "no memory for rings of %lu + %lu MB", log_bytes >> 20,
                   pending_bytes >> 20);
}

int nd_setup_direct(struct ft_lane_shared *lane, uint64_t pending_bytes, struct ft_fault *fault)
{
    uint64_t bytes = pending_bytes < DIRECT_BYTES ? pending_bytes : DIRECT_BYTES;

    return ft_ring_init(&lane->direct, bytes) == 0
               ? 0
               : ft_fail(fault, FT_ENOMEM, "no memory for a ring of %lu KiB", bytes >> 10);
}

void nd_setup_replicator(struct rp_config *out, const struct nd_config *config,
                         const struct nd_timing *timing, char identity[FT_IDENTITY_MAX])
{
    struct ft_core_config *core = &out->core;
    bool deltas = config->protect.deltas || config->protect.stores;
    uint32_t own = (uint32_t)snprintf(identity, FT_IDENTITY_MAX, "pending_mb=%u\nmode=%s\n",
                                      config->protect.pending_mb, config->protect.deltas ? "delta" : "log");

    if (config->protect.audit) /* it changes what lies in the heaps of NFs */
        own += (uint32_t)snprintf(identity + own, FT_IDENTITY_MAX - own, "audit=true\n");
    if (config->arbiter.etcd.urls)
        own += (uint32_t)snprintf(identity + own, FT_IDENTITY_MAX - own, "arbiter=%s\n", config->arbiter.key);

    core->lanes = config->chain.lanes;
    core->strict = config->protect.strict;
    core->warm = config->protect.stores;
    core->heartbeat_ms = timing->heartbeat_ms;
    core->lease_ms = timing->lease_ms;
    core->detect_ms = timing->detect_ms;
    core->listen_ms = timing->listen_ms;
    core->detect_most_ms = timing->detect_most_ms;
    core->degrade_ms = timing->degrade_ms;
    core->promote_within_ms = timing->promote_within_ms;
    core->solo_after_ms = timing->solo_after_ms;
    core->resync_deadline_ms = timing->resync_deadline_ms;
    core->start_alone_ms = timing->start_alone_ms;
    core->drain_ms = DRAIN_MS;
    core->arbiter = config->arbiter.etcd.urls && config->protect.pair;
    /* A connection that broke must be there again before silence looks like a death. */
    out->link.retry_ms = timing->detect_ms < 8 ? 1 : timing->detect_ms < 80 ? timing->detect_ms / 4 : 20;
    /* Both nodes must have the same chain; and credit: the primary's is its own file's, the ring the
     * standby's. */
    snprintf(core->program, sizeof(core->program), "%s", UNDERSTUDY_VERSION);
    core->identity = identity;
    core->identity_len = own + nf_chain_identity(&config->chain, identity + own, FT_IDENTITY_MAX - own);
    core->chain = rp_chain_hash(identity, core->identity_len);
    out->pending_bytes = credit_of((uint64_t)config->protect.pending_mb << 20);
    out->resync_mbps = timing->resync_mbps;
    out->compress = (enum rp_compress)config->protect.compress;
    out->protect = config->protect.pair;
    out->log_only = !deltas;
}

void nd_setup_link(struct rp_config *out, const struct nd_config *config, unsigned self)
{
    const struct nd_node *own = &config->node[self], *peer = self < ND_PAIR ? &config->node[!self] : NULL;
    struct rp_link_config *link = &out->link;
    struct ft_members *members = &out->core.members;
    bool spares = config->nodes > ND_PAIR, others = config->arbiter.etcd.urls || config->protect.strict;

    out->core.spares = spares;
    link->local_host = own->host;
    link->local_port = own->tcp_port;
    link->second.local_host = own->second_host;
    link->second.local_port = own->second_port;
    snprintf(link->name, sizeof(link->name), "%s", own->name);
    snprintf(out->core.name, sizeof(out->core.name), "%s", own->name);
    for (unsigned i = 0; others && i < config->nodes; i++) {
        struct rp_node *node = &link->node[link->nodes];

        if (i == self)
            continue;
        snprintf(node->name, sizeof(node->name), "%s", config->node[i].name);
        snprintf(node->host, sizeof(node->host), "%s", config->node[i].host);
        node->port = config->node[i].tcp_port;
        snprintf(node->second_host, sizeof(node->second_host), "%s", config->node[i].second_host);
        node->second_port = config->node[i].second_port;
        link->nodes++;
    }
    if (!peer)
        return;
    bool first = strcmp(own->name, peer->name) < 0;

    link->peer_host = peer->host;
    link->peer_port = peer->tcp_port;
    link->second.peer_host = peer->second_host;
    link->second.peer_port = peer->second_port;
    link->listens = first;
    memcpy(members->name[!first], own->name, sizeof(own->name));
    memcpy(members->name[first], peer->name, sizeof(peer->name));
}

/* A pipe would hold up the library that reads it. Whether there is a file, and what is in it, its reader
 * reports. */
static int refuse_odd_file(const char *path, struct ft_fault *fault)
{
    struct stat is;

    if (stat(path, &is) != 0 || S_ISREG(is.st_mode))
        return 0;
    return ft_fail(fault, FT_EINVAL, "%s: not a regular file, expected PEM", path);
}

int nd_setup_seal(struct rp_seal_config *seal, struct rp_keys *keys, const struct nd_config *config,
                  unsigned self, struct ft_fault *fault)
{
    const struct nd_link *link = &config->link;
    int error;

    *seal = (struct rp_seal_config){.peer_name = self < ND_PAIR ? config->node[!self].name : NULL};
    if (link->certificate[0]) {
        if ((error = refuse_odd_file(link->certificate, fault)) ||
            (error = refuse_odd_file(link->authority, fault)))
            return error;
        seal->certificate = link->certificate;
        seal->private_key = link->private_key;
        seal->authority = link->authority;
    }
    if (!link->key[0])
        return 0;
    seal->keys = keys;
    return rp_keys_read(keys, link->key, fault);
}

int nd_setup_judge_seal(const struct nd_config *config, unsigned self, struct ft_fault *fault)
{
    struct rp_seal_config how;
    struct rp_seal *seal = NULL;
    struct rp_keys keys = {.count = 0};
    int error = nd_config_find_link_files(config, fault);

    if (!error)
        error = nd_setup_seal(&how, &keys, config, self, fault);
    if (!error)
        error = rp_seal_open(&seal, &how, fault);
    if (!error)
        rp_seal_close(seal);
    explicit_bzero(&keys, sizeof(keys));
    return error;
}

int nd_setup_judge_devices(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault)
{
    struct ft_fault why;

    if (node->inputs_port && !nd_config_is_keeper(config, node))
        return 0;
    for (unsigned i = 0; i < config->ports; i++)
        if (nd_interface_judge(node->port[i], &why))
            return ft_fail(fault, FT_EINVAL, "port %s: '%s' cannot be opened: %s", config->port_name[i],
                           node->port[i], why.text);
    if (nd_interface_judge(node->link_port, &why))
        return ft_fail(fault, FT_EINVAL, "link_port '%s' cannot be opened: %s", node->link_port, why.text);
    return 0;
}
