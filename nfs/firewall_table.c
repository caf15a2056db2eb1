/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall's connections: making, ageing and removing them, and an operator's changes; see
 * firewall_table.h. */
#include "nfs/firewall_table.h"

#include <string.h>

uint64_t fw_arena(const void *c)
{
    const struct fw_config *config = c;
    return sizeof(struct fw) + FT_LINE + (config->rules.count + 2) * sizeof(struct fw_rule) +
           nf_flows_bytes(&config->flows, sizeof(struct fw_conn), 0);
}

int fw_make(struct nf *nf, struct ft_fault *fault)
{
    const struct fw_config *config = nf->config;
    uint64_t bytes = (config->rules.count + 2) * sizeof(struct fw_rule);
    struct fw *fw = nf_make_state(nf, sizeof(*fw), fault);
    if (!fw)
        return FT_EFULL;
    bool whole = nf_flows_make(nf, &fw->conns, &config->flows, sizeof(struct fw_conn), 0);
    fw->rules = ft_arena_alloc(nf->arena, bytes);
    if (fw->rules)
        memcpy(nf_edit(nf, fw->rules, bytes), config->rules.list, bytes);
    fw->count = config->rules.count;
    return nf_made(nf, whole && fw->rules, fault);
}

void fw_remove(const struct nf *nf, uint32_t slot)
{
    struct fw *fw = nf->state;
    nf_flow_remove(nf, &fw->conns, slot);
}

bool fw_create(const struct nf *nf, const struct nf_packet *p, const struct nf_look *look, uint32_t rule,
               uint64_t now)
{
    struct fw *fw = nf->state;
    uint32_t slot = nf_map_add(nf, fw->conns.map, &look->key);
    if (slot == NF_NONE)
        return false;
    struct fw_conn *conn = NF_EDIT_VALUE(nf, struct nf_flow_key, fw_conn_of(fw, slot));
    conn->packets[0] = 1;
    conn->flow.own = rule;
    conn->flow.swapped = look->swapped;
    nf_flow_begin(nf, &fw->conns, slot, &conn->flow, p, now);
    nf_count(nf, FW_CREATED, 1);
    return true;
}

void fw_touch(const struct nf *nf, const struct nf_packet *p, bool swapped, uint32_t slot, uint64_t now)
{
    struct fw *fw = nf->state;
    struct fw_conn *conn = NF_EDIT_VALUE(nf, struct nf_flow_key, fw_conn_of(fw, slot));
    bool reply = swapped != conn->flow.swapped;
    conn->packets[reply]++;
    nf_flow_touch(nf, &fw->conns, slot, &conn->flow, p, reply, now);
}

void fw_timers(struct nf *nf, uint64_t now)
{
    struct fw *fw = nf->state;
    struct nf_flows_due due = {.rounds = NF_FLOWS_ROUNDS};

    while (nf_flows_due(nf, &fw->conns, now, &due))
        for (uint32_t i = 0; i < due.count; i++) {
            fw_remove(nf, due.slots[i]);
            nf_count(nf, FW_EXPIRED, 1);
        }
}

/* "rule.3", "default.in", "default.out"; NF_NONE for anything else. */
static uint32_t fw_named(const struct fw *fw, const char *key)
{
    uint32_t n;
    if (strcmp(key, "default.in") == 0)
        return fw->count;
    if (strcmp(key, "default.out") == 0)
        return fw->count + 1;
    if (strncmp(key, "rule.", 5) == 0 && nf_number_parse(key + 5, 1, fw->count, &n))
        return n - 1;
    return NF_NONE;
}

int fw_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    uint32_t rule = fw_named(fw, key);
    if (rule != NF_NONE) {
        bool allow = strcmp(value, "allow") == 0;
        if (!allow && strcmp(value, "deny") != 0)
            return ft_fail(fault, FT_EINVAL, "%s=%s: expected allow or deny", key, value);
        *NF_EDIT(nf, &fw->rules[rule].action) = allow ? FW_ALLOW : FW_DENY;
        return FT_OK;
    }
    return nf_flows_set(nf, &fw->conns, key, value, now, fault);
}

int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    (void)now;
    return nf_flows_clear(nf, &fw->conns, key, fw_remove, fault);
}
