/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate_limiter: for each client address so many packets and bits a second, over all lanes, and so many
 * connections at once. What goes over is dropped and counted. Clients are on one side, or on both; what comes
 * from the other side is not limited. A client is the source address of its packets as this NF gets them:
 * where an NF that translates comes before it, the translated one.
 *
 * A connection is a TCP, UDP or ICMP echo flow; fragments behind the first, ICMP errors and other protocols
 * count in the rates alone. A client of IPv6 is a prefix, as many bits of it as `ipv6` says. What has no
 * client passes.
 */
#include "nfs/rate_limiter_table.h"

#define RL_ROWS 256u /* of a show, in a call */

static const char *const rl_counters[] = {RL_COUNTERS(NF_COUNTER_NAME) NULL};

/* A connection, in packets of a flow that is none yet: a reset or an answer opens nothing. */
static bool rl_opens(const struct nf_packet *p)
{
    if (p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST)
        return false;
    if (p->flags & NF_P_IPV6)
        return nf_packet_has_ends_ipv6(p) &&
               (p->proto != NF_PROTO_ICMPV6 || p->icmp_type == NF_ICMPV6_ECHO_REQUEST);
    return nf_packet_has_ends(p) && (p->proto != NF_PROTO_ICMP || p->icmp_type == NF_ICMP_ECHO_REQUEST);
}

static void rl_open(const struct nf *nf, struct nf_packet *p, uint32_t client, uint64_t now)
{
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "rate_limiter: no slot for a connection with %u of %u", nf_sessions_count(nf),
             nf_sessions_max(nf));
    NF_SESSION_EDIT(nf, s, struct rl_conn)->client = client;
    nf_count(nf, RL_CONNECTIONS_NEW, 1);
}

/* True: it passes. */
static bool rl_client_packet(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct rl *rl = nf->state;
    bool opens = rl->max_connections && !nf_session_mine(nf, p) && rl_opens(p);
    if (opens && !nf_session_room(nf, p)) {
        nf_drop(nf, p, RL_FLOWS_FULL);
        return false;
    }
    uint32_t client;
    enum rl_counter against = rl_admit(nf, p, opens, now, &client);
    if (against != RL_PASSED) {
        nf_drop(nf, p, against);
        return false;
    }
    if (opens)
        rl_open(nf, p, client, now);
    return true;
}

static void rl_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct rl_config *config = nf->config;
    uint32_t passed = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        if (p->flags & NF_P_BAD)
            nf_drop(nf, p, RL_MALFORMED);
        else if ((p->flags & NF_P_IPV4 || (config->ipv6 && p->flags & NF_P_IPV6_READ)) &&
                 nf_sides_has(config->clients, p))
            passed += rl_client_packet(nf, p, now);
    }
    if (passed)
        nf_count(nf, RL_PASSED, passed);
}

/* ---- showing ----------------------------------------------------------------------------------- */

static void rl_show_client(const struct rl_config *config, struct nf_show *out, const struct nf_map *part,
                           uint32_t slot)
{
    const struct rl_client *client = nf_map_value(part, slot);
    const void *key = nf_map_key(part, slot);
    struct nf_addr addr = config->ipv6 ? nf_addr_of_ipv6(key) : nf_addr_of_ipv4(*(const uint32_t *)key);
    char text[NF_ADDR_TEXT];
    nf_addr_text(&addr, text);
    nf_row(out);
    if (nf_addr_is_ipv6(&addr))
        nf_row_text(out, "client", "%s/%u", text, config->ipv6);
    else
        nf_row_text(out, "client", "%s", text);
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
            rl_show_client(nf->config, out, part, slot);
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

static bool rl_joins_ipv6(const void *config)
{
    return ((const struct rl_config *)config)->ipv6;
}

static const struct nf_param rl_params[] = {
    NF_ONE_OF(struct rl_config, clients, nf_sides_names, "outside", "where the sources that are limited are"),
    NF_NUMBER(struct rl_config, pps, NF_U64, 0, 1000000000, "0", "packets a second of a client; 0: any",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct rl_config, burst_packets, NF_U64, 1, 1000000000, "100", "packets at once",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct rl_config, bps, NF_U64, 0, 1000000000000, "0", "bits a second of a client; 0: any",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct rl_config, burst_bits, NF_U64, RL_FRAME_BITS, 1000000000000, "1000000", "bits at once",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct rl_config, max_connections, NF_U32, 0, 1000000, "0",
              "connections of a client at once; 0: any", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct rl_config, max_clients, NF_U32, 1, 1u << 22, "65536", "clients at most"),
    NF_MAX_FLOWS_PARAM(struct rl_config, flows, "connections of a lane at most"),
    NF_NUMBER(struct rl_config, timeout, NF_SECONDS, 1, NF_TIMEOUT_MAX, "60",
              "idle seconds until a client is forgotten", .marks = NF_PARAM_LIVE),
    NF_TCP_UDP_PARAMS(struct rl_config, flows),
    NF_ICMP_PARAM(struct rl_config, flows),
    NF_PARAM(struct rl_config, ipv6, NF_U32, "0",
             "bits of the prefix that is a client of IPv6; 0: not limited", .max = 128,
             .marks = NF_PARAM_ADDED),
    {0},
};

static const struct nf_module rl_module = {
    .name = "rate_limiter",
    .version = 1,
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
    .session_size = sizeof(struct rl_conn),
    .flows = rl_flows,
    .ipv6 = rl_joins_ipv6,
    .session_end = rl_session_end,
    .expired = RL_CONNECTIONS_EXPIRED + 1,
    .displaced = RL_CONNECTIONS_DISPLACED + 1,
    .session_idle = rl_session_idle,
    .settings = "pps, bps, burst_packets, burst_bits, max_connections",
    .carry = rl_carry,
};
NF_MODULE(rl_module)
