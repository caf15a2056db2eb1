/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What NFs that keep flows share: their configuration of flows, the classes of timeouts with their live
 * settings, and how flows are written for people.
 */
#ifndef NFLIB_FLOW_FLOW_H
#define NFLIB_FLOW_FLOW_H

#include "nflib/module/module.h"
#include "nflib/state/state.h"

/* ---- timeouts ---------------------------------------------------------------------------------- */

enum nf_timeout {
    NF_TIMEOUT_TCP_ESTABLISHED,
    NF_TIMEOUT_TCP_TRANSITORY, /* being opened, finished by both sides and not yet acknowledged, or reset */
    NF_TIMEOUT_TCP_CLOSED,     /* finished by both sides and acknowledged */
    NF_TIMEOUT_UDP,
    NF_TIMEOUT_ICMP,
    NF_TIMEOUT_OTHER,
    NF_TIMEOUT_COUNT,
    /* Without settings of their own, by those of UDP and of others: of UDP, not answered, NF_UDP_UNANSWERED
     * at most; answered and not yet assured; of other protocols, not yet assured. */
    NF_TIMEOUT_UDP_UNANSWERED = NF_TIMEOUT_COUNT,
    NF_TIMEOUT_UDP_ANSWERED,
    NF_TIMEOUT_OTHER_OPENING,
    NF_TIMEOUT_CLASSES
};
#define NF_UDP_UNANSWERED 30u     /* seconds */
#define NF_TIMEOUT_MAX    604800u /* seconds: a week */
/* By class, as an operator sets them. */
extern const char *const nf_timeout_names[];

/* State of a flow that is neither TCP nor ICMP. Assured: who began it has sent again after an answer, so that
 * both ends want it. */
enum nf_assurance { NF_UNANSWERED, NF_ANSWERED, NF_ASSURED };
/* True: one more packet, `reply` or not, takes such a flow from `state` to the next one. */
static inline bool nf_assures(uint8_t state, uint8_t reply)
{
    return (state ^ reply) == 1;
}

/* Class of a flow; `state` is TCP's, or enum nf_assurance; of ICMP it is 0. */
uint8_t nf_timeout_class(uint8_t proto, uint8_t state);
/* The class whose setting is its timeout. */
static inline uint8_t nf_timeout_setting(uint8_t class)
{
    return class < NF_TIMEOUT_COUNT            ? class
           : class == NF_TIMEOUT_OTHER_OPENING ? NF_TIMEOUT_OTHER
                                               : NF_TIMEOUT_UDP;
}
/* Of flows that one end alone may have made up: a new flow may take their place in a full table. */
static inline bool nf_timeout_is_transitory(uint8_t class)
{
    return class != NF_TIMEOUT_TCP_ESTABLISHED && class != NF_TIMEOUT_UDP && class != NF_TIMEOUT_OTHER;
}

/*
 * An operator's change, "udp" = "120", of the seconds in a region's `timeouts`. Returns the class that
 * changed; FT_ENOENT for a key that is no timeout of the NF, FT_EINVAL for a value outside 1 …
 * NF_TIMEOUT_MAX.
 */
int nf_timeout_set(const struct nf *nf, const uint32_t timeouts[NF_TIMEOUT_COUNT], const char *key,
                   const char *value, struct ft_fault *fault);

/* ---- configuration ----------------------------------------------------------------------------- */

/* What an NF asks of the chain's sessions; in the NF's config struct. */
struct nf_flows_config {
    uint32_t max_flows;                  /* at least 1 */
    uint32_t max_flows_per_host;         /* 0: as many as there is room for */
    uint32_t max_fragments;              /* datagrams under way; 0: the NF looks at none */
    uint32_t timeouts[NF_TIMEOUT_COUNT]; /* seconds, by class; 0: the NF has no such flows */
};

/* Idle seconds of a closed TCP flow: four retransmissions of a last FIN with an RTO of 1 s fall into them. */
#define NF_TCP_CLOSED_SECONDS     "10"
#define NF_TCP_TRANSITORY_SECONDS 240u
/* Of an NF that has one timeout for all classes: flows that are closed, reset or being opened go as soon as
 * elsewhere. */
static inline void nf_timeouts_fill(uint32_t timeouts[NF_TIMEOUT_COUNT], uint32_t seconds)
{
    for (unsigned class = 0; class < NF_TIMEOUT_COUNT; class ++)
        timeouts[class] = seconds;
    if (seconds > 10)
        timeouts[NF_TIMEOUT_TCP_CLOSED] = 10;
    if (seconds > NF_TCP_TRANSITORY_SECONDS)
        timeouts[NF_TIMEOUT_TCP_TRANSITORY] = NF_TCP_TRANSITORY_SECONDS;
}
/* Rows of the NF's table of parameters; `field`: the struct nf_flows_config in the config struct `type`. */
#define NF_MAX_FLOWS_PARAM(type, field, text)                                                                \
    NF_PARAM_AT(type, "max_flows", field.max_flows, NF_U32, "100000", text, .min = 1, .max = 16u << 20,      \
                .marks = NF_PARAM_LIVE)
#define NF_MAX_FLOWS_PER_HOST_PARAM(type, field)                                                             \
    NF_PARAM_AT(type, "max_flows_per_host", field.max_flows_per_host, NF_U32, "0",                           \
                "flows that one host may begin; 0: an eighth of max_flows or ports", .max = 16u << 20,       \
                .marks = NF_PARAM_ADDED | NF_PARAM_LIVE)
/* Where the file sets none: an eighth of `room`; 256 where that is less than those. */
static inline void nf_flows_limit_host(struct nf_flows_config *flows, uint32_t room)
{
    if (!flows->max_flows_per_host)
        flows->max_flows_per_host = room / 8 < 256 ? 256 : room / 8;
}
#define NF_MAX_FRAGMENTS_PARAM(type, field)                                                                  \
    NF_PARAM_AT(type, "max_fragments", field.max_fragments, NF_U32, "4096",                                  \
                "fragmented datagrams under way at most", .min = 1, .max = 1u << 20, .marks = NF_PARAM_LIVE)
#define NF_TIMEOUT_PARAM(type, field, key, class, seconds)                                                   \
    NF_PARAM_AT(type, key, field.timeouts[class], NF_SECONDS, seconds,                                       \
                "idle seconds until a flow of this class goes", .min = 1, .max = NF_TIMEOUT_MAX,             \
                .marks = NF_PARAM_LIVE)
#define NF_TCP_UDP_PARAMS(type, field)                                                                       \
    NF_TIMEOUT_PARAM(type, field, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),                    \
        NF_TIMEOUT_PARAM(type, field, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),                   \
        NF_TIMEOUT_PARAM(type, field, "tcp_closed", NF_TIMEOUT_TCP_CLOSED, NF_TCP_CLOSED_SECONDS),           \
        NF_TIMEOUT_PARAM(type, field, "udp", NF_TIMEOUT_UDP, "300")
#define NF_ICMP_PARAM(type, field) NF_TIMEOUT_PARAM(type, field, "icmp", NF_TIMEOUT_ICMP, "60")

/* ---- sides and policies ------------------------------------------------------------------------ */

/* Choices of a parameter: the sides of the chain on which clients are. */
enum nf_sides { NF_SIDES_OUTSIDE, NF_SIDES_INSIDE, NF_SIDES_BOTH };
extern const char *const nf_sides_names[];
static inline bool nf_sides_has(uint32_t sides, const struct nf_packet *p)
{
    return sides == NF_SIDES_BOTH || (sides == NF_SIDES_INSIDE) == (p->side == NF_INSIDE);
}

/* Choices of a parameter: what becomes of packets that the NF does not support. */
enum nf_policy { NF_POLICY_DROP, NF_POLICY_PASS };
extern const char *const nf_policy_names[];
static inline void nf_drop_or_pass(const struct nf *nf, struct nf_packet *p, uint32_t policy,
                                   unsigned counter)
{
    if (policy == NF_POLICY_DROP)
        nf_drop(nf, p, counter);
    else
        nf_count(nf, counter, 1);
}

/* ---- for operators ----------------------------------------------------------------------------- */

/* "tcp", "udp", "icmp", or NULL. */
const char *nf_proto_name(uint8_t proto);
/* Reads one of those or a number 0 … 255; -1 otherwise. */
int nf_proto_parse(const char *text);
void nf_row_proto(struct nf_show *out, uint8_t proto);
/* "A.B.C.D:PORT", or "[IPV6]:PORT"; the port is in network order. */
void nf_row_addr(struct nf_show *out, const char *name, const struct nf_addr *addr, uint16_t port);
void nf_row_end(struct nf_show *out, const char *name, uint32_t addr, uint16_t port);
/*
 * Shows the used slots of a map, `row` by row, a bounded number in a call; for `show`. The cursor is `first`
 * at the beginning and slot + `first` later. True while there is more.
 */
bool nf_show_slots(const struct nf *nf, const struct nf_map *map, uint64_t first, struct nf_show *out,
                   uint64_t *cursor, void (*row)(const struct nf *nf, struct nf_show *out, uint32_t slot));
/* A whole decimal number in min … max and nothing else; false otherwise. */
bool nf_number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *out);

#endif
