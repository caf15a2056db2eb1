/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor: packets and bytes per flow and direction, and totals by protocol. Drops nothing itself. A flow is
 * a 5-tuple, the same for both directions; what carries no ports (other protocols, ICMP other than echo,
 * later fragments whose first one was not seen) counts under port 0. Bytes are those of the frame on the
 * wire.
 *
 * State, written by this instance alone: its slots in the chain's sessions. Totals are the counters.
 */
#include "nflib/nf.h"

#include <string.h>

#define MON_DATAGRAMS 4096u /* datagrams under way, whose later fragments count in their flow */

struct mon_config {
    uint32_t max_flows;
    uint32_t timeout;
    bool ipv6;
};

/* In a session. Direction 0 is that of its first packet. */
struct mon_flow {
    uint64_t packets[2], bytes[2];
    uint64_t first; /* chain time of the first packet */
};

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
    X(MON_IPV6, "ipv6") /* with `ipv6` among the packets above */                                            \
    X(MON_OTHER, "other")                                                                                    \
    X(MON_MALFORMED, "malformed")                                                                            \
    X(MON_CREATED, "flows_created")                                                                          \
    X(MON_EXPIRED, "flows_expired")                                                                          \
    X(MON_DISPLACED, "flows_displaced") /* a new one has its place in a full table */                        \
    X(MON_FLOWS_FULL, "flows_full")     /* packets of flows that found no room; they pass */                 \
    X(MON_HOST_FULL, "host_full")       /* dropped by sessions: their host begins no more */
enum mon_counter { MON_NAMES(NF_COUNTER) MON_COUNTERS };
static const char *const mon_counters[] = {MON_NAMES(NF_COUNTER_NAME) NULL};

/* By what it is. Adds to sums[MON_COUNTERS]; written to the region once a burst. True: the packet belongs to
 * a flow. */
static bool mon_classify(const struct nf_packet *p, bool ipv6, uint64_t sums[])
{
    uint8_t icmp = p->flags & NF_P_IPV6 ? NF_PROTO_ICMPV6 : NF_PROTO_ICMP;

    if (p->flags & NF_P_BAD) {
        sums[MON_MALFORMED]++;
        return false;
    }
    sums[MON_IPV6] += (p->flags & NF_P_IPV6) != 0;
    if (!(p->flags & NF_P_IPV4) && !(ipv6 && p->flags & NF_P_IPV6_READ)) {
        if (!(p->flags & NF_P_IPV6))
            sums[p->flags & NF_P_ARP ? MON_ARP : MON_OTHER]++;
        else if (ipv6)
            sums[MON_MALFORMED]++;
        return false;
    }
    unsigned class = p->proto == NF_PROTO_TCP   ? MON_TCP
                     : p->proto == NF_PROTO_UDP ? MON_UDP
                     : p->proto == icmp         ? MON_ICMP
                                                : MON_OTHER_IP;
    sums[class]++;
    sums[class + 1] += p->len;
    sums[MON_FRAGMENTS] += (p->flags & NF_P_FRAGMENT) != 0;
    return true;
}

static inline __attribute__((always_inline)) void mon_count(const struct nf *nf, const struct nf_packet *p,
                                                            const struct nf_session *s)
{
    struct mon_flow *flow = NF_SESSION_EDIT(nf, s, struct mon_flow);
    unsigned reply = (p->flow & NF_FLOW_REPLY) != 0;

    flow->packets[reply]++;
    flow->bytes[reply] += p->len;
}

static void mon_flow(const struct nf *nf, struct nf_packet *p, uint64_t now, uint64_t sums[])
{
    const struct nf_session *s = nf_session_mine(nf, p);

    if (!s) {
        s = nf_session_join(nf, p, now);
        if (!s) {
            sums[MON_FLOWS_FULL] += !p->drop;
            return;
        }
        NF_SESSION_EDIT(nf, s, struct mon_flow)->first = now;
        sums[MON_CREATED]++;
    }
    mon_count(nf, p, s);
}

static void mon_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct mon_config *config = nf->config;
    uint64_t sums[MON_COUNTERS] = {0}, bytes = 0, settled = 0, settled_bytes = 0, tcp = 0, tcp_bytes = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_session *s = nf_session_settled(nf, packets[i]);
        uint32_t len = packets[i]->len;

        bytes += len;
        if (ft_likely(s)) {
            settled++;
            settled_bytes += len;
            tcp += packets[i]->proto == NF_PROTO_TCP;
            tcp_bytes += packets[i]->proto == NF_PROTO_TCP ? len : 0;
            mon_count(nf, packets[i], s);
        } else if (mon_classify(packets[i], config->ipv6, sums)) {
            mon_flow(nf, packets[i], now, sums);
        }
    }
    sums[MON_PACKETS] = n;
    sums[MON_BYTES] = bytes;
    sums[MON_TCP] += tcp;
    sums[MON_TCP_BYTES] += tcp_bytes;
    sums[MON_UDP] += settled - tcp;
    sums[MON_UDP_BYTES] += settled_bytes - tcp_bytes;
    nf_count_all(nf, sums, MON_COUNTERS);
}

/* For the log of flows: the ends that the first packet came to the chain with, whatever is translated in
 * front of this NF, so that it names the host. */
static void mon_log(const struct nf *nf, const struct nf_session *s, bool over, enum nf_session_why why,
                    uint64_t now)
{
    const struct mon_flow *flow = nf_session_slot(nf, s);
    struct nf_log_event event = {
        .kind = NF_LOG_FLOW, .why = (uint8_t)why, .time = s->seen, .first = flow->first};
    const struct nf_tuple ends = s->key[0];
    struct nf_addresses addresses;

    if (!over)
        return;
    event.proto = ends.proto;
    event.sport = ends.sport;
    event.dport = nf_proto_is_of_icmp(ends.proto) ? 0 : ends.dport;
    event.ipv6 = ends.ipv6;
    if (event.ipv6) {
        nf_session_key_ipv6(nf, s, 0, &addresses);
        memcpy(event.source, addresses.source, sizeof(event.source));
        memcpy(event.destination, addresses.destination, sizeof(event.destination));
    } else {
        memcpy(event.source, &ends.saddr, sizeof(ends.saddr));
        memcpy(event.destination, &ends.daddr, sizeof(ends.daddr));
    }
    memcpy(event.packets, flow->packets, sizeof(event.packets));
    memcpy(event.bytes, flow->bytes, sizeof(event.bytes));
    nf_log_add(nf, &event, now);
}

static void mon_flows(const void *c, struct nf_flows_config *flows)
{
    const struct mon_config *config = c;

    flows->max_flows = config->max_flows;
    flows->max_fragments = MON_DATAGRAMS;
    nf_timeouts_fill(flows->timeouts, config->timeout);
}

static bool mon_joins_ipv6(const void *config)
{
    return ((const struct mon_config *)config)->ipv6;
}

static void mon_show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct mon_flow *flow = nf_session_slot(nf, s);
    nf_row(out);
    nf_row_proto(out, nf_session_proto(nf, s));
    nf_session_row_ends(nf, out, s, "from", "to");
    nf_row_u64(out, "packets", flow->packets[0]);
    nf_row_u64(out, "bytes", flow->bytes[0]);
    nf_row_u64(out, "back_packets", flow->packets[1]);
    nf_row_u64(out, "back_bytes", flow->bytes[1]);
    nf_row_u64(out, "first_ns", flow->first);
    nf_row_u64(out, "last_ns", s->seen);
}

static bool mon_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_sessions_show(nf, 0, out, cursor, mon_show_flow);
}

static const struct nf_param mon_params[] = {
    NF_NUMBER(struct mon_config, max_flows, NF_U32, 1, 16u << 20, "100000", "flows at most",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct mon_config, timeout, NF_SECONDS, 1, NF_TIMEOUT_MAX, "300",
              "idle seconds until a flow is forgotten", .marks = NF_PARAM_LIVE),
    NF_YES_NO(struct mon_config, ipv6, "false", "flows of IPv6 are counted as well; false: packets alone",
              .marks = NF_PARAM_ADDED),
    {0},
};

static const struct nf_module mon_module = {
    .name = "monitor",
    .version = 2,
    .summary = "counts packets and bytes per flow",
    .reads = NF_READS_FLOW,
    .params = mon_params,
    .config_size = sizeof(struct mon_config),
    .counters = mon_counters,
    .process = mon_process,
    .show = mon_show,
    .set = nf_sessions_set_all,
    .clear = nf_sessions_clear_all, /* flows alone: totals only ever grow */
    .session_size = sizeof(struct mon_flow),
    .flows = mon_flows,
    .session_tell = mon_log,
    .ipv6 = mon_joins_ipv6,
    .host_full = MON_HOST_FULL + 1,
    .expired = MON_EXPIRED + 1,
    .displaced = MON_DISPLACED + 1,
};
NF_MODULE(mon_module)
