/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of flows that age; see table.h. No state of its own. */
#include "nflib/flow/table.h"

#include "nflib/module/content.h"
#include "nflib/shared/shared.h"

#include <string.h>

#define TICK (NF_SECOND / 10) /* of a flow's timer */

static uint64_t end_of(const struct nf_flows *flows, const struct nf_flow *flow)
{
    return flow->seen + flows->timeouts[flow->class] * NF_SECOND;
}

uint64_t nf_flows_bytes(const struct nf_flows_config *config, uint32_t value_size, uint32_t timers)
{
    return nf_map_bytes(config->max_flows, sizeof(struct nf_flow_key), value_size) +
           nf_wheel_bytes(config->max_flows + timers);
}

bool nf_flows_make(struct nf *nf, struct nf_flows *flows, const struct nf_flows_config *config,
                   uint32_t value_size, uint32_t timers)
{
    flows->map = nf_map_make(nf, config->max_flows, sizeof(struct nf_flow_key), value_size);
    flows->wheel = nf_wheel_make(nf, config->max_flows + timers, TICK);
    flows->max_flows = config->max_flows;
    memcpy(flows->timeouts, config->timeouts, sizeof(flows->timeouts));
    nf_constant(nf, flows, offsetof(struct nf_flows, timeouts));
    return flows->map && flows->wheel;
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

static int check_timers(struct nf_check *c, const struct nf_flows *flows)
{
    for (uint32_t slot = 0; slot < nf_map_capacity(flows->map); slot++) {
        nf_check_step(c);
        if (nf_map_has(flows->map, slot) != nf_wheel_has(flows->wheel, slot))
            return nf_check_failed(c, "flow %u %s", slot,
                                   nf_map_has(flows->map, slot) ? "has no timer" : "has a timer and is none");
    }
    return 0;
}

int nf_flows_check(struct nf_check *c, const struct nf_flows *flows,
                   int (*check)(struct nf_check *c, uint32_t slot))
{
    int error = check_timers(c, flows);

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

/* One part: flows that were seen meanwhile get another timer, the rest is the NF's. */
static void sort_due(const struct nf *nf, const struct nf_flows *flows, uint64_t now,
                     struct nf_flows_due *due, uint32_t n)
{
    due->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = due->slots[i];
        uint64_t end = number < flows->max_flows ? end_of(flows, nf_flow_at(flows, number)) : 0;
        if (end > now)
            nf_wheel_set(nf, flows->wheel, number, end);
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
