/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall's connections: a 5-tuple, the same for both directions, to all that a packet touches.
 *
 * State, written by this instance alone: the connections, the rules with their hits.
 */
#ifndef NFS_FIREWALL_TABLE_H
#define NFS_FIREWALL_TABLE_H

#include "nflib/nf.h"
#include "nfs/firewall_rules.h"

struct fw_config {
    const char *path;
    struct nf_flows_config flows;
    bool loose;
    uint32_t unsupported;  /* enum nf_policy */
    struct fw_rules rules; /* made by check from the file */
};

struct fw_conn {
    struct nf_flow flow; /* swapped: the originator is end 1 of the key; own: the rule that let it in */
    uint64_t packets[2]; /* from the originator, to it */
};

struct fw {
    struct nf_flows conns;
    struct fw_rule *rules; /* [count + 2] */
    uint32_t count;
};

enum fw_counter {
    FW_CREATED,
    FW_EXPIRED,
    FW_KNOWN,
    FW_ALLOWED,
    FW_RELATED,
    FW_ARP,
    FW_UNSUPPORTED,
    FW_DENIED,
    FW_INVALID,
    FW_MALFORMED,
    FW_FRAGMENT_UNKNOWN,
    FW_FRAGMENTS_FULL,
    FW_TABLE_FULL,
};

static inline const struct nf_flow_key *fw_key_of(const struct fw *fw, uint32_t slot)
{
    return nf_map_key(fw->conns.map, slot);
}
static inline const struct fw_conn *fw_conn_of(const struct fw *fw, uint32_t slot)
{
    return nf_map_value(fw->conns.map, slot);
}

uint64_t fw_arena(const void *config);
int fw_make(struct nf *nf, struct ft_fault *fault);

/* A connection for the packet that begins it, let in by `rule`. False: the table is full. */
bool fw_create(const struct nf *nf, const struct nf_packet *p, const struct nf_look *look, uint32_t rule,
               uint64_t now);
/* One more packet of a connection. */
void fw_touch(const struct nf *nf, const struct nf_packet *p, bool swapped, uint32_t slot, uint64_t now);
void fw_remove(const struct nf *nf, uint32_t slot);

/* Of the module. */
void fw_timers(struct nf *nf, uint64_t now);
int fw_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);

#endif
