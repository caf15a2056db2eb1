/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall's connections: making, ageing and removing them, and an operator's changes; see
 * firewall_table.h. */
#include "nfs/firewall_table.h"

#include <string.h>

#define FW_TICK   (NF_SECOND / 10)
#define FW_DUE    64u
#define FW_ROUNDS 16u /* of FW_DUE timers in one burst; the rest in the next */

static uint64_t fw_life(const struct fw *fw, uint8_t class)
{
    return fw->timeouts[class] * NF_SECOND;
}
uint64_t fw_arena(const void *c)
{
    const struct fw_config *config = c;
    return sizeof(struct fw) + FT_LINE + (config->rules.count + 2) * sizeof(struct fw_rule) +
           nf_map_bytes(config->max_flows, sizeof(struct nf_flow_key), sizeof(struct fw_conn)) +
           nf_wheel_bytes(config->max_flows + config->max_fragments) +
           nf_fragments_bytes(config->max_fragments);
}

int fw_make(struct nf *nf, struct ft_fault *fault)
{
    const struct fw_config *config = nf->config;
    uint64_t bytes = (config->rules.count + 2) * sizeof(struct fw_rule);
    struct fw *fw = ft_arena_alloc(nf->arena, sizeof(*fw));
    if (!fw)
        return ft_fail(fault, FT_EFULL, "firewall: arena full");
    fw = NF_EDIT(nf, fw);
    fw->conns = nf_map_make(nf, config->max_flows, sizeof(struct nf_flow_key), sizeof(struct fw_conn));
    fw->wheel = nf_wheel_make(nf, config->max_flows + config->max_fragments, FW_TICK);
    fw->fragments = nf_fragments_make(nf, config->max_fragments, fw->wheel, config->max_flows);
    fw->rules = ft_arena_alloc(nf->arena, bytes);
    if (!fw->conns || !fw->wheel || !fw->fragments || !fw->rules)
        return ft_fail(fault, FT_EFULL, "firewall: arena full");
    memcpy(nf_edit(nf, fw->rules, bytes), config->rules.list, bytes);
    fw->count = config->rules.count;
    memcpy(fw->timeouts, config->timeouts, sizeof(fw->timeouts));
    nf->state = fw;
    return FT_OK;
}

void fw_remove(const struct nf *nf, uint32_t slot)
{
    struct fw *fw = nf->state;
    nf_wheel_cancel(nf, fw->wheel, slot);
    nf_map_remove(nf, fw->conns, slot);
}

/* False: the table is full. */
bool fw_create(const struct nf *nf, const struct nf_packet *p, const struct fw_look *look, uint32_t rule,
               uint64_t now)
{
    struct fw *fw = nf->state;
    uint32_t slot = nf_map_add(nf, fw->conns, &look->key);
    if (slot == NF_NONE)
        return false;
    struct fw_conn *conn = NF_EDIT_VALUE(nf, struct nf_flow_key, fw_conn_of(fw, slot));
    conn->seen = now;
    conn->packets[0] = 1;
    conn->rule = (uint16_t)rule;
    conn->tcp = p->proto == NF_PROTO_TCP ? nf_tcp_first(p->tcp_flags) : NF_TCP_NONE;
    conn->class = nf_timeout_class(p->proto, conn->tcp);
    conn->swapped = look->swapped;
    conn->side = p->side;
    nf_wheel_set(nf, fw->wheel, slot, now + fw_life(fw, conn->class));
    nf_count(nf, FW_CREATED, 1);
    return true;
}

/* One more packet. The timer is moved only when it would fire too late; early is harmless. */
void fw_touch(const struct nf *nf, const struct nf_packet *p, bool swapped, uint32_t slot, uint64_t now)
{
    struct fw *fw = nf->state;
    struct fw_conn *conn = NF_EDIT_VALUE(nf, struct nf_flow_key, fw_conn_of(fw, slot));
    bool reply = swapped != conn->swapped;
    conn->seen = now;
    conn->packets[reply]++;
    if (p->proto != NF_PROTO_TCP)
        return;
    conn->tcp = nf_tcp_next(conn->tcp, p->tcp_flags, reply);
    uint8_t class = nf_timeout_class(NF_PROTO_TCP, conn->tcp);
    if (class != conn->class) {
        conn->class = class;
        nf_wheel_set(nf, fw->wheel, slot, now + fw_life(fw, class));
    }
}

void fw_timers(struct nf *nf, uint64_t now)
{
    const struct fw_config *config = nf->config;
    struct fw *fw = nf->state;
    uint32_t due[FW_DUE];

    for (unsigned round = 0; round < FW_ROUNDS; round++) {
        uint32_t n = nf_wheel_due(nf, fw->wheel, now, due, FW_DUE);
        for (uint32_t i = 0; i < n; i++) {
            if (due[i] >= config->max_flows) {
                nf_fragments_due(nf, fw->fragments, due[i]);
                continue;
            }
            const struct fw_conn *conn = fw_conn_of(fw, due[i]);
            uint64_t end = conn->seen + fw_life(fw, conn->class);
            if (end > now) {
                nf_wheel_set(nf, fw->wheel, due[i], end);
            } else {
                nf_map_remove(nf, fw->conns, due[i]);
                nf_count(nf, FW_EXPIRED, 1);
            }
        }
        if (n < FW_DUE)
            break;
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
    int class = nf_timeout_set(nf, fw->timeouts, key, value, fault);
    if (class < 0)
        return class;
    /* It holds for all connections from now on, so their timers are set anew. */
    for (uint32_t slot = 0; (slot = nf_map_next(fw->conns, slot)) != NF_NONE; slot++) {
        const struct fw_conn *conn = fw_conn_of(fw, slot);
        uint64_t end = conn->seen + fw_life(fw, conn->class);
        if (conn->class == class)
            nf_wheel_set(nf, fw->wheel, slot, end > now ? end : now);
    }
    return FT_OK;
}

int fw_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct fw *fw = nf->state;
    (void)now;
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all connections are cleared", key);
    for (uint32_t slot = 0; (slot = nf_map_next(fw->conns, slot)) != NF_NONE; slot++)
        fw_remove(nf, slot);
    nf_fragments_clear(nf, fw->fragments);
    return FT_OK;
}
