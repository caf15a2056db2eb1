/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of flows that age; see table.h. No state of its own. */
#include "nflib/flow/table.h"

#include "nflib/module/content.h"
#include "nflib/shared/shared.h"

#include <string.h>

#define TICK          (NF_SECOND / 10) /* of a flow's timer */
#define FRAGMENT_LIFE (30 * NF_SECOND)

/* What a datagram's fragments have in common as they arrive. 12 bytes, no padding. */
struct nf_fragment_key {
    uint32_t saddr, daddr;
    uint16_t id;
    uint8_t proto;
    uint8_t side;
};

static struct nf_fragment_key key_of(const struct nf_packet *p)
{
    return (struct nf_fragment_key){p->saddr, p->daddr, p->frag_id, p->proto, p->side};
}

bool nf_fragments_note(const struct nf *nf, const struct nf_flows *flows, const struct nf_packet *p,
                       uint32_t word, uint64_t now)
{
    struct nf_fragment_key key = key_of(p);
    uint32_t slot = nf_map_find(flows->fragments, &key);
    if (slot == NF_NONE)
        slot = nf_map_add(nf, flows->fragments, &key);
    if (slot == NF_NONE)
        return false;
    *NF_EDIT(nf, (const uint32_t *)nf_map_value(flows->fragments, slot)) = word;
    nf_wheel_set(nf, flows->wheel, flows->max_flows + slot, now + FRAGMENT_LIFE);
    return true;
}

bool nf_fragments_find(const struct nf_flows *flows, const struct nf_packet *p, uint32_t *word)
{
    struct nf_fragment_key key = key_of(p);
    uint32_t slot = nf_map_find(flows->fragments, &key);
    if (slot == NF_NONE)
        return false;
    *word = *(const uint32_t *)nf_map_value(flows->fragments, slot);
    return true;
}

void nf_fragments_clear(const struct nf *nf, const struct nf_flows *flows)
{
    for (uint32_t slot = 0; (slot = nf_map_next(flows->fragments, slot)) != NF_NONE; slot++) {
        nf_wheel_cancel(nf, flows->wheel, flows->max_flows + slot);
        nf_map_remove(nf, flows->fragments, slot);
    }
}

static uint64_t end_of(const struct nf_flows *flows, const struct nf_flow *flow)
{
    return flow->seen + flows->timeouts[flow->class] * NF_SECOND;
}

uint64_t nf_flows_bytes(const struct nf_flows_config *config, uint32_t value_size, uint32_t timers)
{
    uint64_t bytes = nf_map_bytes(config->max_flows, sizeof(struct nf_flow_key), value_size) +
                     nf_wheel_bytes(config->max_flows + config->max_fragments + timers);
    if (config->max_fragments)
        bytes += nf_map_bytes(config->max_fragments, sizeof(struct nf_fragment_key), sizeof(uint32_t));
    return bytes;
}

bool nf_flows_make(struct nf *nf, struct nf_flows *flows, const struct nf_flows_config *config,
                   uint32_t value_size, uint32_t timers)
{
    flows->map = nf_map_make(nf, config->max_flows, sizeof(struct nf_flow_key), value_size);
    flows->wheel = nf_wheel_make(nf, config->max_flows + config->max_fragments + timers, TICK);
    if (config->max_fragments)
        flows->fragments =
            nf_map_make(nf, config->max_fragments, sizeof(struct nf_fragment_key), sizeof(uint32_t));
    flows->max_flows = config->max_flows;
    memcpy(flows->timeouts, config->timeouts, sizeof(flows->timeouts));
    nf_constant(nf, flows, offsetof(struct nf_flows, timeouts));
    return flows->map && flows->wheel && (flows->fragments || !config->max_fragments);
}

/* ---- checking ---- */

static int check_flow(struct nf_check *c, const struct nf_flows *flows, uint32_t slot)
{
    const struct nf_flow *flow = nf_flow_at(flows, slot);

    if (flow->seen > c->time)
        return nf_check_failed(c, "flow %u was seen at %lu, expected %lu, the chain's time, at most", slot,
                               flow->seen, c->time);
    if (flow->tcp >= NF_TCP_STATES || flow->class >= NF_TIMEOUT_COUNT || flow->swapped > 1 ||
        flow->side > NF_OUTSIDE)
        return nf_check_failed(c,
                               "flow %u has TCP state %u, timeout %u, swapped %u, side %u, which no flow has",
                               slot, flow->tcp, flow->class, flow->swapped, flow->side);
    return 0;
}

/* Entries of a map and the numbers of the wheel from `first` on are the same ones. */
static int check_timers(struct nf_check *c, const struct nf_flows *flows, const struct nf_map *map,
                        uint32_t first, const char *what)
{
    for (uint32_t slot = 0; slot < nf_map_capacity(map); slot++) {
        nf_check_step(c);
        if (nf_map_has(map, slot) != nf_wheel_has(flows->wheel, first + slot))
            return nf_check_failed(c, "%s %u %s", what, slot,
                                   nf_map_has(map, slot) ? "has no timer" : "has a timer and is none");
    }
    return 0;
}

int nf_flows_check(struct nf_check *c, const struct nf_flows *flows,
                   int (*check)(struct nf_check *c, uint32_t slot))
{
    int error = check_timers(c, flows, flows->map, 0, "flow");

    for (unsigned class = 0; class < NF_TIMEOUT_COUNT; class ++)
        if (flows->timeouts[class] > NF_TIMEOUT_MAX)
            return nf_check_failed(c, "timeout %u is %u seconds, expected at most %u", class,
                                   flows->timeouts[class], NF_TIMEOUT_MAX);
    for (uint32_t slot = 0; !error && (slot = nf_map_next(flows->map, slot)) != NF_NONE; slot++) {
        nf_check_step(c);
        error = check_flow(c, flows, slot);
        if (!error && check)
            error = check(c, slot);
    }
    if (!error && flows->fragments)
        error = check_timers(c, flows, flows->fragments, flows->max_flows, "fragment");
    return error;
}

void nf_flow_begin(const struct nf *nf, const struct nf_flows *flows, uint32_t slot, struct nf_flow *flow,
                   const struct nf_packet *p, uint64_t now)
{
    flow->seen = now;
    flow->tcp = p->proto == NF_PROTO_TCP ? nf_tcp_first(p->tcp_flags) : NF_TCP_NONE;
    flow->side = p->side;
    nf_flow_reclass(nf, flows, slot, flow, nf_timeout_class(p->proto, flow->tcp), now);
}

void nf_flow_reclass(const struct nf *nf, const struct nf_flows *flows, uint32_t slot, struct nf_flow *flow,
                     uint8_t class, uint64_t now)
{
    flow->class = class;
    nf_wheel_set(nf, flows->wheel, slot, now + flows->timeouts[class] * NF_SECOND);
}

void nf_flow_remove(const struct nf *nf, const struct nf_flows *flows, uint32_t slot)
{
    nf_wheel_cancel(nf, flows->wheel, slot);
    nf_map_remove(nf, flows->map, slot);
}

/* One part: fragments go, flows that were seen meanwhile get another timer, the rest is the NF's. */
static void sort_due(const struct nf *nf, const struct nf_flows *flows, uint64_t now,
                     struct nf_flows_due *due, uint32_t n)
{
    due->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = due->slots[i];
        uint64_t end = number < flows->max_flows ? end_of(flows, nf_flow_at(flows, number)) : 0;
        if (end > now)
            nf_wheel_set(nf, flows->wheel, number, end);
        else if (number >= flows->max_flows && flows->fragments)
            nf_map_remove(nf, flows->fragments, number - flows->max_flows);
        else
            due->slots[due->count++] = number;
    }
}

bool nf_flows_due(const struct nf *nf, const struct nf_flows *flows, uint64_t now, struct nf_flows_due *due)
{
    if (due->last)
        return false;
    if (due->shared && nf_shared_left(nf) < NF_FLOWS_DUE + NF_SHARED_RESERVE) {
        nf_wake(nf, now);
        return false;
    }
    uint32_t n = nf_wheel_due(nf, flows->wheel, now, due->slots, NF_FLOWS_DUE);
    due->last = n < NF_FLOWS_DUE || --due->rounds == 0;
    sort_due(nf, flows, now, due, n);
    return true;
}

int nf_flows_set(const struct nf *nf, const struct nf_flows *flows, const char *key, const char *value,
                 uint64_t now, struct ft_fault *fault)
{
    int class = nf_timeout_set(nf, flows->timeouts, key, value, fault);
    if (class < 0)
        return class;
    for (uint32_t slot = 0; (slot = nf_map_next(flows->map, slot)) != NF_NONE; slot++) {
        const struct nf_flow *flow = nf_flow_at(flows, slot);
        uint64_t end = end_of(flows, flow);
        if (flow->class == class)
            nf_wheel_set(nf, flows->wheel, slot, end > now ? end : now);
    }
    return FT_OK;
}

int nf_flows_clear(const struct nf *nf, const struct nf_flows *flows, const char *key,
                   void (*remove)(const struct nf *nf, uint32_t slot), struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    for (uint32_t slot = 0; (slot = nf_map_next(flows->map, slot)) != NF_NONE; slot++)
        remove(nf, slot);
    if (flows->fragments)
        nf_fragments_clear(nf, flows);
    return FT_OK;
}
