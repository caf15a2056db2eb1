/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limiter's clients: making, charging, ageing; see rate_limiter_table.h. */
#include "nfs/rate_limiter_table.h"

#include <stdlib.h>
#include <string.h>

#define RL_DUE    256u  /* clients that come due in one burst at most; the rest in the next */
#define RL_FEW    1024u /* clients up to which one shard is enough, and the limit exact */
#define RL_SHARDS 64u

static uint32_t rl_shards(const struct rl_config *config)
{
    return config->max_clients <= RL_FEW ? 1 : RL_SHARDS;
}

/* Bytes of arena: a shard of a map takes a little more than its part. */
uint64_t rl_arena(const void *c)
{
    const struct rl_config *config = c;
    uint32_t part = (config->max_clients + rl_shards(config) - 1) / rl_shards(config);

    return nf_wheel_bytes(rl_shards(config) * (part + part / 8 + 8));
}

uint64_t rl_shared(const void *c, unsigned lanes)
{
    const struct rl_config *config = c;
    (void)lanes;
    return nf_shared_map_bytes(config->max_clients, rl_key_bytes(config), sizeof(struct rl_client),
                               rl_shards(config));
}

void rl_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct rl_config *)config)->flows;
}

bool rl_make(struct nf *nf)
{
    const struct rl_config *config = nf->config;
    struct rl *rl = nf->state;
    rl->clients = nf_shared_map_make(nf, config->max_clients, rl_key_bytes(config), sizeof(struct rl_client),
                                     rl_shards(config));
    if (!rl->clients)
        return false;
    nf_table_add_shared_map(nf, "clients", rl->clients);
    rl->part = nf_map_capacity(nf_shared_map_part(rl->clients, 0));
    rl->idle = nf_wheel_make(nf, rl_shards(config) * rl->part, NF_SECOND / 10);
    rl->timeout = config->timeout;
    rl->packets = (struct nf_rate){config->pps, config->burst_packets};
    rl->bits = (struct nf_rate){config->bps, config->burst_bits};
    rl->max_connections = config->max_connections;
    nf_constant(nf, rl, offsetof(struct rl, timeout));
    return rl->idle;
}

/* A live setting stays, unless the file says another one than before. */
bool rl_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct rl_config *from = was->config, *to = nf->config;
    struct rl *rl = nf->state;

    if (!was->same) {
        ft_fail(fault, FT_EINVAL, "rate_limiter: its clients would lie in memory in another way");
        return false;
    }
    rl->timeout = to->timeout == from->timeout ? rl->timeout : to->timeout;
    rl->packets.rate = to->pps == from->pps ? rl->packets.rate : to->pps;
    rl->packets.burst = to->burst_packets == from->burst_packets ? rl->packets.burst : to->burst_packets;
    rl->bits.rate = to->bps == from->bps ? rl->bits.rate : to->bps;
    rl->bits.burst = to->burst_bits == from->burst_bits ? rl->bits.burst : to->burst_bits;
    if (to->max_connections != from->max_connections)
        rl->max_connections = to->max_connections;
    return true;
}

int rl_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct rl *rl = nf->state;
    const struct rl_config *config = nf->config;
    const struct nf_session *s;

    if (rl->timeout > NF_TIMEOUT_MAX)
        return nf_check_failed(c, "timeout is %u seconds, expected at most %u", rl->timeout, NF_TIMEOUT_MAX);
    for (uint32_t at = 0; config->ipv6 && (s = nf_sessions_next(nf, &at)); at++) {
        uint32_t client = ((const struct rl_conn *)nf_session_slot(nf, s))->client;

        nf_check_step(c);
        if (client >= rl_shards(config) * rl->part)
            return nf_check_failed(c, "session %u is of client %u, expected one below %u", at, client,
                                   rl_shards(config) * rl->part);
    }
    return 0;
}

/* ---- clients, inside the section of a shard ---------------------------------------------------- */

void rl_key(const struct rl_config *config, const struct nf_addr *source, uint8_t key[RL_KEY_BYTES])
{
    uint32_t whole = config->ipv6 / 8;

    if (!config->ipv6) {
        memcpy(key, &source->word[3], sizeof(uint32_t));
        return;
    }
    memcpy(key, source->byte, RL_KEY_BYTES);
    if (nf_addr_is_ipv6(source) && whole < RL_KEY_BYTES) {
        key[whole] &= (uint8_t)(0xff00 >> config->ipv6 % 8);
        memset(key + whole + 1, 0, RL_KEY_BYTES - 1 - whole);
    }
}

static uint32_t rl_client_add(const struct nf *nf, struct nf_map *part, uint32_t shard, const void *key,
                              uint64_t now)
{
    const struct rl *rl = nf->state;
    uint32_t slot = nf_map_add(nf, part, key);
    if (slot == NF_NONE)
        return NF_NONE;
    struct rl_client *client = nf_edit(nf, nf_map_value(part, slot), sizeof(*client));
    nf_bucket_full(&client->packets, &rl->packets, now);
    nf_bucket_full(&client->bits, &rl->bits, now);
    nf_wheel_set(nf, rl->idle, shard * rl->part + slot, now + rl->timeout * NF_SECOND);
    nf_count(nf, RL_CLIENTS_NEW, 1);
    return slot;
}

static enum rl_counter rl_charge(const struct nf *nf, struct rl_client *client, uint64_t bits, bool opens,
                                 uint64_t now)
{
    const struct rl *rl = nf->state;
    client->seen = client->seen > now ? client->seen : now; /* another lane may be ahead */
    if (rl->packets.rate && nf_bucket_fill(&client->packets, &rl->packets, now) < 1)
        return RL_OVER_PACKETS;
    if (rl->bits.rate && nf_bucket_fill(&client->bits, &rl->bits, now) < bits)
        return RL_OVER_BITS;
    if (opens && client->connections >= rl->max_connections)
        return RL_OVER_CONNECTIONS;
    client->packets.level -= rl->packets.rate != 0;
    client->bits.level -= rl->bits.rate ? bits : 0;
    client->connections += opens;
    return RL_PASSED;
}

enum rl_counter rl_admit(const struct nf *nf, const struct nf_packet *p, bool opens, uint64_t now,
                         uint32_t *client)
{
    const struct rl_config *config = nf->config;
    const struct rl *rl = nf->state;
    struct nf_addr from = nf_packet_from(p, p->flags & NF_P_IPV6);
    uint8_t key[RL_KEY_BYTES];
    enum rl_counter against = RL_CLIENTS_FULL;

    rl_key(config, &from, key);
    uint32_t shard = nf_shared_map_shard(rl->clients, key);
    struct nf_map *part = nf_shared_map_enter(nf, rl->clients, shard);
    uint32_t slot = nf_map_find(part, key);

    if (slot == NF_NONE)
        slot = rl_client_add(nf, part, shard, key, now);
    if (slot != NF_NONE)
        against = rl_charge(nf, nf_edit(nf, nf_map_value(part, slot), sizeof(struct rl_client)),
                            (uint64_t)p->len * 8, opens, now);
    nf_shared_map_leave(nf, rl->clients, shard);
    *client = config->ipv6 ? shard * rl->part + slot : p->saddr;
    return against;
}

static void rl_connection_ended(const struct nf *nf, uint32_t client, uint64_t now)
{
    const struct rl_config *config = nf->config;
    const struct rl *rl = nf->state;
    uint32_t shard = config->ipv6 ? client / rl->part : nf_shared_map_shard(rl->clients, &client);
    struct nf_map *part = nf_shared_map_enter(nf, rl->clients, shard);
    uint32_t slot = config->ipv6 ? client % rl->part : nf_map_find(part, &client);

    /* Not there, or none: an operator has cleared it. */
    if (slot != NF_NONE && nf_map_next(part, slot) == slot) {
        struct rl_client *of = nf_edit(nf, nf_map_value(part, slot), sizeof(*of));
        of->connections -= of->connections > 0;
        of->seen = of->seen > now ? of->seen : now;
    }
    nf_shared_map_leave(nf, rl->clients, shard);
}

void rl_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    (void)why;
    rl_connection_ended(nf, ((const struct rl_conn *)nf_session_slot(nf, s))->client, now);
}

/* Rates alone. */
bool rl_session_idle(const struct nf *nf)
{
    return !((const struct rl *)nf->state)->max_connections;
}

/* The lane that saw the client first has its timer; another lane's packets may have made it younger
 * meanwhile. */
static void rl_client_due(const struct nf *nf, uint32_t number, uint64_t now)
{
    struct rl *rl = nf->state;
    uint32_t shard = number / rl->part, slot = number % rl->part;
    struct nf_map *part = nf_shared_map_enter(nf, rl->clients, shard);

    if (nf_map_next(part, slot) == slot) {
        const struct rl_client *client = nf_map_value(part, slot);
        uint64_t life = rl->timeout * NF_SECOND, end = client->seen + life;
        if (client->connections || end > now) {
            nf_wheel_set(nf, rl->idle, number, end > now ? end : now + life);
        } else {
            nf_map_remove(nf, part, slot);
            nf_count(nf, RL_CLIENTS_EXPIRED, 1);
        }
    }
    nf_shared_map_leave(nf, rl->clients, shard);
}

void rl_timers(struct nf *nf, uint64_t now)
{
    struct rl *rl = nf->state;
    uint32_t due[RL_DUE], n;

    if (nf_shared_left(nf) < RL_DUE + NF_SHARED_RESERVE) {
        nf_wake(nf, now);
        return;
    }
    n = nf_wheel_due(nf, rl->idle, now, due, RL_DUE);
    for (uint32_t i = 0; i < n; i++)
        rl_client_due(nf, due[i], now);
}

/* ---- an operator's changes --------------------------------------------------------------------- */

static bool rl_number(const char *text, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9' || strlen(text) > 13)
        return false;
    *out = strtoull(text, &end, 10);
    return !*end;
}

int rl_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct rl *rl = nf->state;
    uint64_t n = 0, *field = strcmp(key, "pps") == 0               ? &rl->packets.rate
                             : strcmp(key, "bps") == 0             ? &rl->bits.rate
                             : strcmp(key, "burst_packets") == 0   ? &rl->packets.burst
                             : strcmp(key, "burst_bits") == 0      ? &rl->bits.burst
                             : strcmp(key, "max_connections") == 0 ? &rl->max_connections
                                                                   : NULL;
    if (!field)
        return nf_sessions_set(nf, key, value, now, fault);
    if (!rl_number(value, &n))
        return ft_fail(fault, FT_EINVAL, "%s=%s: expected a number", key, value);
    if (field == &rl->bits.burst && n < RL_FRAME_BITS)
        return ft_fail(fault, FT_EINVAL, "%s=%s: expected at least %u, one frame", key, value, RL_FRAME_BITS);
    if (field == &rl->packets.burst && n < 1)
        return ft_fail(fault, FT_EINVAL, "%s=%s: expected at least 1", key, value);
    *NF_EDIT(nf, field) = n;
    return FT_OK;
}

static bool rl_named(const struct rl_config *config, const char *text, uint8_t key[RL_KEY_BYTES])
{
    struct nf_addr addr;

    if (!nf_addr_parse(text, &addr) || (nf_addr_is_ipv6(&addr) && !config->ipv6))
        return false;
    rl_key(config, &addr, key);
    return true;
}

/* Rates alone: connections that there are stay, and count. */
int rl_clear(struct nf *nf, const char *name, uint64_t now, struct ft_fault *fault)
{
    const struct rl_config *config = nf->config;
    const struct rl *rl = nf->state;
    uint8_t key[RL_KEY_BYTES];
    if (name && !rl_named(config, name, key))
        return ft_fail(fault, FT_EINVAL, "%s: expected the address of a client", name);
    for (uint32_t shard = 0; shard < nf_shared_map_shards(rl->clients); shard++) {
        if (name && shard != nf_shared_map_shard(rl->clients, key))
            continue;
        struct nf_map *part = nf_shared_map_enter(nf, rl->clients, shard);
        for (uint32_t slot = 0; (slot = nf_map_next(part, slot)) != NF_NONE; slot++) {
            if (name && memcmp(nf_map_key(part, slot), key, rl_key_bytes(config)) != 0)
                continue;
            struct rl_client *client = nf_edit(nf, nf_map_value(part, slot), sizeof(*client));
            nf_bucket_full(&client->packets, &rl->packets, now);
            nf_bucket_full(&client->bits, &rl->bits, now);
        }
        nf_shared_map_leave(nf, rl->clients, shard);
    }
    return FT_OK;
}
