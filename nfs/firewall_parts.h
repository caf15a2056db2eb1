/* SPDX-License-Identifier: Apache-2.0 */
/* What the firewall's files share: packets (firewall.c) and what operators do (firewall_commands.c). */
#ifndef NFS_FIREWALL_PARTS_H
#define NFS_FIREWALL_PARTS_H

#include "nfs/firewall_rules.h"

struct fw_config {
    struct nf_file rules;
    struct nf_flows_config flows;
    bool loose;
    bool ipv6;
    uint32_t unsupported; /* enum nf_policy */
    struct fw_rules read; /* made by check from the file */
};

/* In a session. */
struct fw_conn {
    uint64_t packets;       /* from the originator */
    uint64_t replies : 63;  /* to it */
    uint64_t by_answer : 1; /* the originator is the end that answers in the session */
};

struct fw {
    struct fw_rule *rules; /* [count + 2] */
    uint32_t count;
};

/* As struct nf_module has them. */
bool fw_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor);
int fw_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);

#endif
