/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor: packets and bytes per flow and direction, and totals by protocol. Drops nothing. A flow is a
 * 5-tuple, the same for both directions; what carries no ports (other protocols, later fragments, ICMP other
 * than echo) counts under port 0. Bytes are those of the frame on the wire.
 *
 * State, written by this instance alone: the flow map, one line a flow, and a wheel for idle flows. Totals
 * are the counters.
 */
#include "nflib/nf.h"

#include <string.h>

#define MON_TICK   (NF_SECOND / 10)
#define MON_DUE    64u
#define MON_ROUNDS 16u /* of MON_DUE timers in one burst; the rest in the next */

struct mon_config {
    uint32_t max_flows;
    uint32_t timeout;
};

/* Direction 0 goes from end 0 of the key to end 1. With the key one line. */
struct mon_flow {
    uint64_t packets[2], bytes[2];
    uint64_t seen;        /* chain time of the last packet */
    uint64_t first : 63;  /* of the first */
    uint64_t swapped : 1; /* which went from end 1 to end 0 */
};
_Static_assert(sizeof(struct nf_flow_key) + sizeof(struct mon_flow) == FT_LINE, "a flow is one line");

struct mon {
    struct nf_map *flows;
    struct nf_wheel *wheel;
    uint32_t timeout; /* seconds */
};

/* The counters, with their names. */
#define MON_NAMES(X)                                                                                         \
    X(MON_PACKETS, "packets")                                                                                \
    X(MON_BYTES, "bytes")                                                                                    \
    X(MON_TCP, "tcp_packets")                                                                                \
    X(MON_TCP_BYTES, "tcp_bytes")                                                                            \
    X(MON_UDP, "udp_packets")                                                                                \
    X(MON_UDP_BYTES, "udp_bytes")                                                                            \
    X(MON_ICMP, "icmp_packets")                                                                              \
    X(MON_ICMP_BYTES, "icmp_bytes")                                                                          \
    X(MON_OTHER_IP, "other_ip_packets")                                                                      \
    X(MON_OTHER_IP_BYTES, "other_ip_bytes")                                                                  \
    X(MON_FRAGMENTS, "fragments") /* among the packets above */                                              \
    X(MON_ARP, "arp")                                                                                        \
    X(MON_IPV6, "ipv6")                                                                                      \
    X(MON_OTHER, "other")                                                                                    \
    X(MON_MALFORMED, "malformed")                                                                            \
    X(MON_CREATED, "flows_created")                                                                          \
    X(MON_EXPIRED, "flows_expired")                                                                          \
    X(MON_FLOWS_FULL, "flows_full") /* packets of flows that found no room; they pass */
enum mon_counter { MON_NAMES(NF_COUNTER) MON_COUNTERS };
static const char *const mon_counters[] = {MON_NAMES(NF_COUNTER_NAME) NULL};

static const struct mon_flow *mon_flow_of(const struct mon *mon, uint32_t slot)
{
    return nf_map_value(mon->flows, slot);
}

/* Adds to sums[MON_COUNTERS]; written to the region once a burst. True: the packet belongs to a flow. */
static bool mon_classify(const struct nf_packet *p, uint64_t sums[])
{
    sums[MON_PACKETS]++;
    sums[MON_BYTES] += p->len;
    if (p->flags & NF_P_BAD) {
        sums[MON_MALFORMED]++;
        return false;
    }
    if (!(p->flags & NF_P_IPV4)) {
        sums[p->flags & NF_P_ARP ? MON_ARP : p->flags & NF_P_IPV6 ? MON_IPV6 : MON_OTHER]++;
        return false;
    }
    unsigned class = p->proto == NF_PROTO_TCP    ? MON_TCP
                     : p->proto == NF_PROTO_UDP  ? MON_UDP
                     : p->proto == NF_PROTO_ICMP ? MON_ICMP
                                                 : MON_OTHER_IP;
    sums[class]++;
    sums[class + 1] += p->len;
    sums[MON_FRAGMENTS] += (p->flags & NF_P_FRAGMENT) != 0;
    return true;
}

static void mon_flow(const struct nf *nf, const struct nf_packet *p, const struct nf_look *look, uint64_t now,
                     uint64_t sums[])
{
    struct mon *mon = nf->state;
    uint32_t slot = nf_map_find_hashed(mon->flows, &look->key, look->hash);
    bool fresh = slot == NF_NONE;
    if (fresh) {
        slot = nf_map_add(nf, mon->flows, &look->key);
        if (slot == NF_NONE) {
            sums[MON_FLOWS_FULL]++;
            return;
        }
        nf_wheel_set(nf, mon->wheel, slot, now + mon->timeout * NF_SECOND);
        sums[MON_CREATED]++;
    }
    struct mon_flow *flow = NF_EDIT_VALUE(nf, struct nf_flow_key, mon_flow_of(mon, slot));
    if (fresh) {
        flow->first = now;
        flow->swapped = look->swapped;
    }
    flow->packets[look->swapped]++;
    flow->bytes[look->swapped] += p->len;
    flow->seen = now;
}

/* Cache misses first: the buckets of the whole burst, then its entries, are under way before the first one is
 * needed. */
static void mon_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct mon *mon = nf->state;
    struct nf_look look[NF_BURST_MAX];
    uint64_t sums[MON_COUNTERS] = {0};

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = packets[i];
        look[i].keyed = mon_classify(p, sums);
        if (!look[i].keyed)
            continue;
        nf_look_up(mon->flows, p, &look[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        if (look[i].keyed)
            nf_map_prefetch_entry(mon->flows, look[i].hash);
    for (uint32_t i = 0; i < n; i++)
        if (look[i].keyed)
            mon_flow(nf, packets[i], &look[i], now, sums);
    nf_count_all(nf, sums, MON_COUNTERS);
}

static void mon_timers(struct nf *nf, uint64_t now)
{
    struct mon *mon = nf->state;
    uint32_t due[MON_DUE];

    for (unsigned round = 0; round < MON_ROUNDS; round++) {
        uint32_t n = nf_wheel_due(nf, mon->wheel, now, due, MON_DUE);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t end = mon_flow_of(mon, due[i])->seen + mon->timeout * NF_SECOND;
            if (end > now) {
                nf_wheel_set(nf, mon->wheel, due[i], end);
            } else {
                nf_map_remove(nf, mon->flows, due[i]);
                nf_count(nf, MON_EXPIRED, 1);
            }
        }
        if (n < MON_DUE)
            break;
    }
}

static uint64_t mon_arena(const void *c)
{
    const struct mon_config *config = c;
    return nf_map_bytes(config->max_flows, sizeof(struct nf_flow_key), sizeof(struct mon_flow)) +
           nf_wheel_bytes(config->max_flows);
}

static bool mon_make(struct nf *nf)
{
    const struct mon_config *config = nf->config;
    struct mon *mon = nf->state;
    mon->flows = nf_map_make(nf, config->max_flows, sizeof(struct nf_flow_key), sizeof(struct mon_flow));
    mon->wheel = nf_wheel_make(nf, config->max_flows, MON_TICK);
    mon->timeout = config->timeout;
    nf_constant(nf, mon, offsetof(struct mon, timeout));
    return mon->flows && mon->wheel;
}

static int mon_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct mon *mon = nf->state;
    if (mon->timeout > NF_TIMEOUT_MAX)
        return nf_check_failed(c, "timeout is %u seconds, expected at most %u", mon->timeout, NF_TIMEOUT_MAX);
    for (uint32_t slot = 0; slot < nf_map_capacity(mon->flows); slot++) {
        bool flow = nf_map_has(mon->flows, slot);
        nf_check_step(c);
        if (flow != nf_wheel_has(mon->wheel, slot))
            return nf_check_failed(c, "flow %u %s", slot, flow ? "has no timer" : "has a timer and is none");
        if (flow && mon_flow_of(mon, slot)->seen > c->time)
            return nf_check_failed(c, "flow %u was seen later than at %lu, the chain's time", slot, c->time);
    }
    return 0;
}

static void mon_show_totals(const struct nf *nf, struct nf_show *out)
{
    const struct mon *mon = nf->state;
    nf_row(out);
    nf_row_u64(out, "flows", nf_map_count(mon->flows));
    for (unsigned i = 0; i < MON_COUNTERS; i++)
        nf_row_u64(out, mon_counters[i], nf->counters[i]);
}

static void mon_show_flow(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct mon *mon = nf->state;
    const struct nf_flow_key *key = nf_map_key(mon->flows, slot);
    const struct mon_flow *flow = mon_flow_of(mon, slot);
    unsigned from = flow->swapped;
    nf_row(out);
    nf_row_proto(out, key->proto);
    nf_row_end(out, "from", key->addr[from], key->port[from]);
    nf_row_end(out, "to", key->addr[!from], key->port[!from]);
    nf_row_u64(out, "packets", flow->packets[from]);
    nf_row_u64(out, "bytes", flow->bytes[from]);
    nf_row_u64(out, "back_packets", flow->packets[!from]);
    nf_row_u64(out, "back_bytes", flow->bytes[!from]);
    nf_row_u64(out, "first_ns", flow->first);
    nf_row_u64(out, "last_ns", flow->seen);
}

/* Totals, then flows. */
static bool mon_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct mon *mon = nf->state;
    if (*cursor == 0) {
        mon_show_totals(nf, out);
        *cursor = 1;
    }
    return nf_show_slots(nf, mon->flows, 1, out, cursor, mon_show_flow);
}

static int mon_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct mon *mon = nf->state;
    uint32_t seconds;
    if (strcmp(key, "timeout") != 0)
        return ft_fail(fault, FT_ENOENT, "%s: no such setting, expected timeout", key);
    if (!nf_number_parse(value, 1, NF_TIMEOUT_MAX, &seconds))
        return ft_fail(fault, FT_EINVAL, "timeout=%s: expected seconds from 1 to %u", value, NF_TIMEOUT_MAX);
    *NF_EDIT(nf, &mon->timeout) = seconds;
    for (uint32_t slot = 0; (slot = nf_map_next(mon->flows, slot)) != NF_NONE; slot++) {
        uint64_t end = mon_flow_of(mon, slot)->seen + seconds * NF_SECOND;
        nf_wheel_set(nf, mon->wheel, slot, end > now ? end : now);
    }
    return FT_OK;
}

/* Flows alone: totals only ever grow. */
static int mon_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct mon *mon = nf->state;
    (void)now;
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    for (uint32_t slot = 0; (slot = nf_map_next(mon->flows, slot)) != NF_NONE; slot++) {
        nf_wheel_cancel(nf, mon->wheel, slot);
        nf_map_remove(nf, mon->flows, slot);
    }
    return FT_OK;
}

static const struct nf_param mon_params[] = {
    NF_NUMBER(struct mon_config, max_flows, NF_U32, 1, 16u << 20, "100000", "flows at most"),
    NF_NUMBER(struct mon_config, timeout, NF_SECONDS, 1, NF_TIMEOUT_MAX, "300",
              "idle seconds until a flow is forgotten"),
    {0},
};

static const struct nf_module mon_module = {
    .name = "monitor",
    .summary = "counts packets and bytes per flow",
    .reads = NF_READS_HEADERS,
    .params = mon_params,
    .config_size = sizeof(struct mon_config),
    .state_size = sizeof(struct mon),
    .counters = mon_counters,
    .arena = mon_arena,
    .make = mon_make,
    .process = mon_process,
    .timers = mon_timers,
    .show = mon_show,
    .set = mon_set,
    .clear = mon_clear,
    .check_state = mon_check_state,
};
NF_MODULE(mon_module)
