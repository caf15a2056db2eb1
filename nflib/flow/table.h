/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an NF's configuration says of flows; and a table of flows that age, for an NF that keeps its own
 * beside the chain's sessions (nflib/session/session.h): map and wheel. An idle flow ends after the timeout
 * of its class (flow.h). The struct lies in the NF's state; what it points to lies in the NF's arena. The
 * NF's lane writes it.
 *
 * A flow's key has 16 bytes, as struct nf_flow_key; its value begins with a struct nf_flow.
 */
#ifndef NFLIB_FLOW_TABLE_H
#define NFLIB_FLOW_TABLE_H

#include "nflib/flow/flow.h"
#include "nflib/net/tcp.h"

/* ---- flows ------------------------------------------------------------------------------------- */

/* In the NF's config struct. */
struct nf_flows_config {
    uint32_t max_flows;                  /* at least 1 */
    uint32_t max_fragments;              /* datagrams under way, of sessions; 0: the NF looks at none */
    uint32_t timeouts[NF_TIMEOUT_COUNT]; /* seconds, by class; 0: the NF has no such flows */
};

/* Rows of the NF's table of parameters; `field`: the struct nf_flows_config in the config struct `type`. */
#define NF_MAX_FLOWS_PARAM(type, field, text)                                                                \
    NF_PARAM_AT(type, "max_flows", field.max_flows, NF_U32, "100000", text, .min = 1, .max = 16u << 20)
#define NF_MAX_FRAGMENTS_PARAM(type, field)                                                                  \
    NF_PARAM_AT(type, "max_fragments", field.max_fragments, NF_U32, "4096",                                  \
                "fragmented datagrams under way at most", .min = 1, .max = 1u << 20)
#define NF_TIMEOUT_PARAM(type, field, key, class, seconds)                                                   \
    NF_PARAM_AT(type, key, field.timeouts[class], NF_SECONDS, seconds,                                       \
                "idle seconds until a flow of this class goes", .min = 1, .max = NF_TIMEOUT_MAX)
#define NF_TCP_UDP_PARAMS(type, field)                                                                       \
    NF_TIMEOUT_PARAM(type, field, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),                    \
        NF_TIMEOUT_PARAM(type, field, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),                   \
        NF_TIMEOUT_PARAM(type, field, "udp", NF_TIMEOUT_UDP, "300")
#define NF_ICMP_PARAM(type, field) NF_TIMEOUT_PARAM(type, field, "icmp", NF_TIMEOUT_ICMP, "60")

struct nf_flow {
    uint64_t seen;   /* chain time of the last packet */
    uint32_t own;    /* for the NF */
    uint8_t tcp;     /* enum nf_tcp_state */
    uint8_t class;   /* enum nf_timeout that the timer was last set for */
    uint8_t swapped; /* for the NF: the first packet went from end 1 of the key to end 0 */
    uint8_t side;    /* enum nf_side of the first packet */
};

struct nf_flows {
    struct nf_map *map;
    struct nf_wheel *wheel; /* flows by slot, then what the NF sets */
    uint32_t max_flows;
    uint32_t timeouts[NF_TIMEOUT_COUNT]; /* seconds; operators change them */
};

/* Bytes of arena. `timers`: more numbers in the wheel, from max_flows on, for the NF. */
uint64_t nf_flows_bytes(const struct nf_flows_config *config, uint32_t value_size, uint32_t timers);
/* Fills `flows`, which the NF has been given to write to, and lies in the region. False: the arena is full.
 */
bool nf_flows_make(struct nf *nf, struct nf_flows *flows, const struct nf_flows_config *config,
                   uint32_t value_size, uint32_t timers);
/*
 * For module->check_state: settings, each flow, and that a flow has a timer and nobody else.
 * `check`, for what the NF keeps of a flow: 0, or an error; NULL: nothing.
 */
int nf_flows_check(struct nf_check *c, const struct nf_flows *flows,
                   int (*check)(struct nf_check *c, uint32_t slot));

static inline const struct nf_flow *nf_flow_at(const struct nf_flows *flows, uint32_t slot)
{
    return nf_map_value(flows->map, slot);
}

/* Begins the flow that was just added as `slot`, with the packet `p`; `flow`: its value, to be written. */
void nf_flow_begin(const struct nf *nf, const struct nf_flows *flows, uint32_t slot, struct nf_flow *flow,
                   const struct nf_packet *p, uint64_t now);

/* Another class has another timeout. A timer that fires early is set again, so it is left alone otherwise. */
void nf_flow_reclass(const struct nf *nf, const struct nf_flows *flows, uint32_t slot, struct nf_flow *flow,
                     uint8_t class, uint64_t now);

/* One more packet of a flow; `reply`: it comes from the side that did not begin the flow. */
static inline void nf_flow_touch(const struct nf *nf, const struct nf_flows *flows, uint32_t slot,
                                 struct nf_flow *flow, const struct nf_packet *p, bool reply, uint64_t now)
{
    flow->seen = now;
    if (p->proto != NF_PROTO_TCP)
        return;
    flow->tcp = nf_tcp_next(flow->tcp, p->tcp_flags, reply);
    uint8_t class = nf_timeout_class(NF_PROTO_TCP, flow->tcp);
    if (class != flow->class)
        nf_flow_reclass(nf, flows, slot, flow, class, now);
}

/* Forgets a flow and its timer. */
void nf_flow_remove(const struct nf *nf, const struct nf_flows *flows, uint32_t slot);

/*
 * What came due, a part at a time. The NF sets `rounds`, parts in a burst at most, and `shared` when it
 * enters a section for each flow that ends; then, in `timers`, while nf_flows_due returns true, it removes
 * the `count` flows in `slots`, whose timers are not set any more. Numbers of the wheel that are the NF's own
 * are among them. What is left comes due in the next burst.
 */
#define NF_FLOWS_DUE 64u
struct nf_flows_due {
    uint32_t rounds;
    bool shared;
    uint32_t count;
    uint32_t slots[NF_FLOWS_DUE];
    bool last; /* nothing is left for this burst */
};
#define NF_FLOWS_ROUNDS 16u
bool nf_flows_due(const struct nf *nf, const struct nf_flows *flows, uint64_t now, struct nf_flows_due *due);

/* ---- looking up a burst ------------------------------------------------------------------------ */

/* Where a packet's flow would be: found out for a whole burst first, so that cache misses overlap. */
struct nf_look {
    struct nf_flow_key key;
    uint64_t hash;
    bool keyed, swapped; /* keyed: the NF sets it, and looks up no other packets */
};
static inline void nf_look_up(const struct nf_map *map, const struct nf_packet *p, struct nf_look *look)
{
    look->swapped = nf_flow_key_make(&look->key, p->proto, p->saddr, p->sport, p->daddr, p->dport);
    look->hash = nf_map_hash(map, &look->key);
    nf_map_prefetch(map, look->hash);
}

#endif
