/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate_limiter: for each client address so many packets and bits a second, over all lanes, and so many
 * connections at once. What goes over is dropped and counted. Clients are on one side, or on both; what comes
 * from the other side is not limited, but ages connections.
 *
 * A connection is a TCP, UDP or ICMP echo flow; fragments behind the first, ICMP errors and other protocols
 * count in the rates alone. What is no IPv4 has no client and passes.
 */
#include "nfs/rate_limiter_table.h"

#define RL_ROWS 256u /* of a show, in a call */

static const char *const rl_counters[] = {RL_COUNTERS(NF_COUNTER_NAME) NULL};

/* A reset or an answer opens nothing. */
static bool rl_opens(const struct nf_packet *p)
{
    if (p->proto == NF_PROTO_TCP)
        return !(p->tcp_flags & NF_TCP_RST);
    return p->proto != NF_PROTO_ICMP || p->icmp_type == NF_ICMP_ECHO_REQUEST;
}

static void rl_client_packet(const struct nf *nf, struct nf_packet *p, const struct nf_look *look,
                             uint32_t slot, uint64_t now)
{
    const struct rl *rl = nf->state;
    bool opens = look->keyed && slot == NF_NONE && rl->max_connections && rl_opens(p);
    if (opens && nf_map_count(rl->conns.map) == rl->conns.max_flows) {
        nf_drop(nf, p, RL_FLOWS_FULL);
        return;
    }
    enum rl_counter against = rl_admit(nf, p, opens, now);
    if (against != RL_PASSED) {
        nf_drop(nf, p, against);
        return;
    }
    if (opens)
        rl_conn_open(nf, p, look, now);
    else if (slot != NF_NONE)
        rl_conn_touch(nf, p, look->swapped, slot, now);
    nf_count(nf, RL_PASSED, 1);
}

static void rl_one(const struct nf *nf, struct nf_packet *p, const struct nf_look *look, uint64_t now)
{
    const struct rl_config *config = nf->config;
    const struct rl *rl = nf->state;
    uint32_t slot = look->keyed ? nf_map_find_hashed(rl->conns.map, &look->key, look->hash) : NF_NONE;

    if (p->flags & NF_P_BAD)
        nf_drop(nf, p, RL_MALFORMED);
    else if (p->flags & NF_P_IPV4 && nf_sides_has(config->clients, p))
        rl_client_packet(nf, p, look, slot, now);
    else if (slot != NF_NONE)
        rl_conn_touch(nf, p, look->swapped, slot, now);
}

static void rl_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct rl *rl = nf->state;
    struct nf_look look[NF_BURST_MAX];

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = packets[i];
        look[i].keyed = nf_map_count(rl->conns.map) + rl->max_connections && nf_packet_has_ends(p);
        if (!look[i].keyed)
            continue;
        nf_look_up(rl->conns.map, p, &look[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        rl_one(nf, packets[i], &look[i], now);
}

/* ---- showing ----------------------------------------------------------------------------------- */

static void rl_show_client(struct nf_show *out, const struct nf_map *part, uint32_t slot)
{
    const struct rl_client *client = nf_map_value(part, slot);
    nf_row(out);
    nf_row_ipv4(out, "client", *(const uint32_t *)nf_map_key(part, slot));
    nf_row_u64(out, "packets_left", client->packets.level);
    nf_row_u64(out, "bits_left", client->bits.level);
    nf_row_u64(out, "connections", client->connections);
    nf_row_u64(out, "last_ns", client->seen);
}

static bool rl_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct rl *rl = nf->state;
    unsigned rows = 0;
    for (; *cursor >> 32 < nf_shared_map_shards(rl->clients); *cursor = ((*cursor >> 32) + 1) << 32) {
        const struct nf_map *part = nf_shared_map_part(rl->clients, (uint32_t)(*cursor >> 32));
        uint32_t slot;
        while ((slot = nf_map_next(part, (uint32_t)*cursor)) != NF_NONE) {
            if (rows++ == RL_ROWS || nf_show_full(out))
                return true;
            rl_show_client(out, part, slot);
            *cursor = (*cursor & ~(uint64_t)UINT32_MAX) | (slot + 1);
        }
    }
    return false;
}

/* ---- the module -------------------------------------------------------------------------------- */

static int rl_check(void *c, struct ft_fault *fault)
{
    const struct rl_config *config = c;
    if (!config->pps && !config->bps && !config->max_connections)
        return ft_fail(fault, FT_EINVAL, "nothing is limited, expected pps, bps or max_connections");
    return FT_OK;
}

static const struct nf_param rl_params[] = {
    NF_ONE_OF(struct rl_config, clients, nf_sides_names, "outside", "where the sources that are limited are"),
    NF_NUMBER(struct rl_config, pps, NF_U64, 0, 1000000000, "0", "packets a second of a client; 0: any"),
    NF_NUMBER(struct rl_config, burst_packets, NF_U64, 1, 1000000000, "100", "packets at once"),
    NF_NUMBER(struct rl_config, bps, NF_U64, 0, 1000000000000, "0", "bits a second of a client; 0: any"),
    NF_NUMBER(struct rl_config, burst_bits, NF_U64, RL_FRAME_BITS, 1000000000000, "1000000", "bits at once"),
    NF_NUMBER(struct rl_config, max_connections, NF_U32, 0, 1000000, "0",
              "connections of a client at once; 0: any"),
    NF_NUMBER(struct rl_config, max_clients, NF_U32, 1, 1u << 22, "65536", "clients at most"),
    NF_MAX_FLOWS_PARAM(struct rl_config, flows, "connections of a lane at most"),
    NF_NUMBER(struct rl_config, timeout, NF_SECONDS, 1, NF_TIMEOUT_MAX, "60",
              "idle seconds until a client is forgotten"),
    NF_TCP_UDP_PARAMS(struct rl_config, flows),
    NF_ICMP_PARAM(struct rl_config, flows),
    {0},
};

static const struct nf_module rl_module = {
    .name = "rate_limiter",
    .summary = "packets, bits and connections of each client, over all lanes",
    .reads = NF_READS_HEADERS,
    .params = rl_params,
    .config_size = sizeof(struct rl_config),
    .state_size = sizeof(struct rl),
    .counters = rl_counters,
    .check = rl_check,
    .arena = rl_arena,
    .shared = rl_shared,
    .make = rl_make,
    .process = rl_process,
    .timers = rl_timers,
    .show = rl_show,
    .set = rl_set,
    .clear = rl_clear,
    .check_state = rl_check_state,
};
NF_MODULE(rl_module)
