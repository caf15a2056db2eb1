/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate_limiter: for each client address so many packets and bits a second, over all lanes, and so many
 * connections at once. What goes over is dropped and counted. Clients are on one side, or on both; what comes
 * from the other side is not limited. A client is the source address of its packets as this NF gets them:
 * where an NF that translates comes before it, the translated one.
 *
 * A connection is a TCP, UDP or ICMP echo flow; fragments behind the first, ICMP errors and other protocols
 * count in the rates alone. A client of IPv6 is a prefix, as many bits of it as `ipv6` sets. What has no
 * client passes.
 *
 * A full table: of a few clients without connections the one whose rates are full, or will be soonest, makes
 * room for a new client, since its record is worth least. So sources that are seen once keep nobody out, and
 * a client over its limit stays known.
 *
 * State: clients, shared by all lanes, in shards by address: what is left of their rates and how many
 * connections they have. Of this instance: the connections whose packets come to this lane, and a wheel, for
 * connections first, then for the clients that this lane saw first.
 */
#include "nflib/nf.h"

#include <string.h>

#define RL_ROWS       256u  /* of a show, in a call */
#define RL_FEW        1024u /* clients up to which one shard is enough, and the limit exact */
#define RL_SHARDS     64u
#define RL_LOOKS      16u         /* slots of a full shard that are looked at for one that makes room */
#define RL_FRAME_BITS (9216u * 8) /* the largest frame: a lesser burst would never let it pass */

struct rl_config {
    uint64_t pps, bps, burst_packets, burst_bits;
    uint32_t max_connections;
    uint32_t max_clients;
    uint32_t clients; /* enum nf_sides */
    uint32_t timeout; /* seconds: of an idle client */
    uint32_t ipv6;    /* bits of a client's prefix; 0: IPv6 is not limited */
    struct nf_flows_config flows;
};

struct rl_client {
    struct nf_bucket packets, bits;
    uint64_t seen; /* chain time of the last packet or of the last connection's end */
    uint64_t connections;
};

/* In a session, which is a connection of the client's. */
struct rl_conn {
    /* Its address, as this NF saw it in the packet that opened the connection. Where IPv6 is limited, its
     * number in the table, which it keeps as long as it has connections. */
    uint32_t client;
};

struct rl {
    struct nf_shared_map *clients;
    struct nf_wheel *idle; /* clients that this lane saw first */
    uint32_t part;         /* clients of a shard; release 0.3 looks for it here */
    uint32_t timeout;
    /* Live settings. 0: no limit. */
    struct nf_rate packets, bits;
    uint64_t max_connections;
};

#define RL_COUNTERS(X)                                                                                       \
    X(RL_PASSED, "passed")                                                                                   \
    X(RL_CLIENTS_NEW, "clients_new")                                                                         \
    X(RL_CLIENTS_EXPIRED, "clients_expired")                                                                 \
    X(RL_CLIENTS_DISPLACED, "clients_displaced") /* a new one has its place in a full table */               \
    X(RL_CONNECTIONS_NEW, "connections_new")                                                                 \
    X(RL_CONNECTIONS_EXPIRED, "connections_expired")                                                         \
    X(RL_CONNECTIONS_DISPLACED, "connections_displaced") /* a new one has its place in a full table */       \
    X(RL_OVER_PACKETS, "over_packets")                   /* dropped, as all that follow */                   \
    X(RL_OVER_BITS, "over_bits")                                                                             \
    X(RL_OVER_CONNECTIONS, "over_connections")                                                               \
    X(RL_CLIENTS_FULL, "clients_full")                                                                       \
    X(RL_FLOWS_FULL, "flows_full")                                                                           \
    X(RL_MALFORMED, "malformed")
enum rl_counter { RL_COUNTERS(NF_COUNTER) };

static const char *const rl_counters[] = {RL_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- making -------------------------------------------------------------------------------------------- */

/* A client's key in the table: an address of IPv4 where IPv6 is not limited; else a prefix of IPv6, or an
 * address of IPv4 as ::ffff:A.B.C.D. */
#define RL_KEY_BYTES 16u
static uint32_t rl_key_bytes(const struct rl_config *config)
{
    return config->ipv6 ? RL_KEY_BYTES : sizeof(uint32_t);
}
static uint32_t rl_shards(const struct rl_config *config)
{
    return config->max_clients <= RL_FEW ? 1 : RL_SHARDS;
}

static uint64_t rl_arena(const void *c)
{
    const struct rl_config *config = c;

    return nf_shared_map_wheel_bytes(config->max_clients, rl_shards(config));
}

static uint64_t rl_shared(const void *c, unsigned lanes)
{
    const struct rl_config *config = c;
    (void)lanes;
    return nf_shared_map_bytes(config->max_clients, rl_key_bytes(config), sizeof(struct rl_client),
                               rl_shards(config));
}

static void rl_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct rl_config *)config)->flows;
}

static bool rl_make(struct nf *nf)
{
    const struct rl_config *config = nf->config;
    struct rl *rl = nf->state;
    rl->clients = nf_shared_map_make(nf, config->max_clients, rl_key_bytes(config), sizeof(struct rl_client),
                                     rl_shards(config));
    if (!rl->clients)
        return false;
    nf_table_add_shared_map(nf, "clients", rl->clients);
    rl->part = nf_shared_map_numbers(rl->clients) / rl_shards(config);
    rl->idle = nf_shared_map_wheel_make(nf, rl->clients, NF_SECOND / 10);
    rl->timeout = config->timeout;
    rl->packets = (struct nf_rate){config->pps, config->burst_packets};
    rl->bits = (struct nf_rate){config->bps, config->burst_bits};
    rl->max_connections = config->max_connections;
    nf_constant(nf, rl, offsetof(struct rl, timeout));
    return rl->idle;
}

/* A live setting stays, unless the file sets another one than before. */
static bool rl_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
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

static int rl_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct rl *rl = nf->state;
    const struct rl_config *config = nf->config;
    const struct nf_session *s;

    if (rl->timeout > NF_TIMEOUT_MAX)
        return nf_check_failed(c, "timeout is %u seconds, expected at most %u", rl->timeout, NF_TIMEOUT_MAX);
    for (uint32_t at = 0; config->ipv6 && (s = nf_sessions_next(nf, &at)); at++) {
        uint32_t client = ((const struct rl_conn *)nf_session_slot(nf, s))->client;

        nf_check_step(c);
        if (client >= nf_shared_map_numbers(rl->clients))
            return nf_check_failed(c, "session %u is of client %u, expected one below %u", at, client,
                                   nf_shared_map_numbers(rl->clients));
    }
    return 0;
}

/* ---- clients, inside the section of a shard ---------------------------------------------------- */

static void rl_key(const struct rl_config *config, const struct nf_addr *source, uint8_t key[RL_KEY_BYTES])
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

/* Until when the bucket is full again; 0: it is, or has no rate. */
static uint64_t rl_full_in(struct nf_bucket bucket, const struct nf_rate *rate, uint64_t now)
{
    uint64_t level = rate->rate ? nf_bucket_fill(&bucket, rate, now) : rate->burst;
    uint64_t missing = level < rate->burst ? rate->burst - level : 0;

    return missing < UINT64_MAX / NF_SECOND ? missing * NF_SECOND / (rate->rate ? rate->rate : 1)
                                            : UINT64_MAX - 1;
}

/* False: all that are looked at have connections. From a drawn slot on, since there is no order of clients.
 */
static bool rl_make_room(const struct nf *nf, struct nf_map *part, uint64_t now)
{
    const struct rl *rl = nf->state;
    uint32_t capacity = nf_map_capacity(part), slot = (uint32_t)(nf_random(nf) % capacity), found = NF_NONE;
    uint64_t soonest = UINT64_MAX;

    for (unsigned i = 0; i < RL_LOOKS && soonest; i++, slot = slot + 1 < capacity ? slot + 1 : 0) {
        const struct rl_client *client = nf_map_value(part, slot);
        uint64_t packets, bits;

        if (!nf_map_has(part, slot) || client->connections)
            continue;
        packets = rl_full_in(client->packets, &rl->packets, now);
        bits = rl_full_in(client->bits, &rl->bits, now);
        if ((packets > bits ? packets : bits) < soonest) {
            soonest = packets > bits ? packets : bits;
            found = slot;
        }
    }
    if (found == NF_NONE)
        return false;
    nf_map_remove(nf, part, found); /* the timer of the lane that has added it finds another one, or none */
    nf_count(nf, RL_CLIENTS_DISPLACED, 1);
    return true;
}

static uint32_t rl_client_add(const struct nf *nf, struct nf_map *part, uint32_t shard, const void *key,
                              uint64_t now)
{
    const struct rl *rl = nf->state;
    uint32_t slot = nf_map_add(nf, part, key);
    if (slot == NF_NONE && rl_make_room(nf, part, now))
        slot = nf_map_add(nf, part, key);
    if (slot == NF_NONE)
        return NF_NONE;
    struct rl_client *client = nf_edit(nf, nf_map_value(part, slot), sizeof(*client));
    nf_bucket_full(&client->packets, &rl->packets, now);
    nf_bucket_full(&client->bits, &rl->bits, now);
    nf_wheel_set(nf, rl->idle, nf_shared_map_number(rl->clients, shard, slot), now + rl->timeout * NF_SECOND);
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

/* Takes the packet off its client's rates, with one more connection when `opens`; *client gets what a
 * connection keeps of it. RL_PASSED, or the counter of the reason why not, and nothing is taken. */
static enum rl_counter rl_admit(const struct nf *nf, const struct nf_packet *p, bool opens, uint64_t now,
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
    *client = config->ipv6 ? nf_shared_map_number(rl->clients, shard, slot) : p->saddr;
    return against;
}

static void rl_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    const struct rl_config *config = nf->config;
    const struct rl *rl = nf->state;
    uint32_t client = ((const struct rl_conn *)nf_session_slot(nf, s))->client;
    uint32_t slot = 0, shard = config->ipv6 ? nf_shared_map_shard_of(rl->clients, client, &slot)
                                            : nf_shared_map_shard(rl->clients, &client);
    struct nf_map *part = nf_shared_map_enter(nf, rl->clients, shard);

    (void)why;
    if (!config->ipv6)
        slot = nf_map_find(part, &client);
    /* Not there, or none: an operator has cleared it. */
    if (nf_map_has(part, slot)) {
        struct rl_client *of = nf_edit(nf, nf_map_value(part, slot), sizeof(*of));
        of->connections -= of->connections > 0;
        of->seen = of->seen > now ? of->seen : now;
    }
    nf_shared_map_leave(nf, rl->clients, shard);
}

/* Rates alone. */
static bool rl_session_idle(const struct nf *nf)
{
    return !((const struct rl *)nf->state)->max_connections;
}

/* Until when a client stays: any lane's packets may have made it younger. */
static uint64_t rl_client_until(const struct nf *nf, const void *value, uint64_t now)
{
    const struct rl_client *client = value;
    uint64_t life = ((const struct rl *)nf->state)->timeout * NF_SECOND, end = client->seen + life;

    if (end <= now && client->connections)
        return now + life;
    if (end <= now)
        nf_count(nf, RL_CLIENTS_EXPIRED, 1);
    return end;
}

static void rl_timers(struct nf *nf, uint64_t now)
{
    struct rl *rl = nf->state;

    nf_shared_map_due(nf, rl->clients, rl->idle, now, rl_client_until);
}

/* ---- packets ------------------------------------------------------------------------------------------- */

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
    if (opens) {
        const struct nf_session *s = nf_session_join(nf, p, now);
        FT_CHECK(s, "rate_limiter: no slot for a connection with %u of %u", nf_sessions_count(nf),
                 nf_sessions_max(nf));
        NF_SESSION_EDIT(nf, s, struct rl_conn)->client = client;
        nf_count(nf, RL_CONNECTIONS_NEW, 1);
    }
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

/* ---- an operator's changes --------------------------------------------------------------------- */

static int rl_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
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
    if (!nf_number64_parse(value, 0, UINT64_MAX, &n))
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
static int rl_clear(struct nf *nf, const char *name, uint64_t now, struct ft_fault *fault)
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
    .version = 2,
    .summary = "packets, bits and connections of each client, over all lanes",
    .reads = NF_READS_FLOW,
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
