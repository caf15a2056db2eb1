/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's flows: making, ageing and removing them; see load_balancer_table.h. */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

#define LB_SWEEP 512u /* flows of dead backends in one burst */

/* ---- making ------------------------------------------------------------------------------------ */

/* The list of backends in the configuration. */
int lb_check(void *c, struct ft_fault *fault)
{
    struct lb_config *config = c;
    const char *at = config->backends;
    char one[24];

    config->count = 0;
    while (*(at += strspn(at, " ,"))) {
        size_t len = strcspn(at, " ,");
        if (config->count == LB_BACKENDS)
            return ft_fail(fault, FT_EINVAL, "more than %u backends", LB_BACKENDS);
        memcpy(one, at, len < sizeof(one) ? len : sizeof(one) - 1);
        one[len < sizeof(one) ? len : sizeof(one) - 1] = 0;
        if (len >= sizeof(one) || !lb_end_parse(one, &config->list[config->count]))
            return ft_fail(fault, FT_EINVAL, "backend \"%s\", expected ADDRESS or ADDRESS:PORT", one);
        for (uint32_t i = 0; i < config->count; i++)
            if (memcmp(&config->list[i], &config->list[config->count], sizeof(struct lb_end)) == 0)
                return ft_fail(fault, FT_EINVAL, "backend %s again, expected each once", one);
        config->count++;
        at += len;
    }
    return FT_OK;
}

uint64_t lb_arena(const void *c)
{
    const struct lb_config *config = c;
    return nf_flows_bytes(&config->flows, sizeof(struct lb_flow), 0) +
           nf_map_bytes(config->flows.max_flows, sizeof(struct lb_key), sizeof(uint32_t));
}

uint64_t lb_shared(const void *config, unsigned lanes)
{
    (void)config;
    (void)lanes;
    return nf_shared_map_bytes(LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
}

/* The first lane enters them, the others find them there. */
static void lb_make_backends(const struct nf *nf, const struct lb *lb)
{
    const struct lb_config *config = nf->config;
    struct nf_map *part = nf_shared_map_part(lb->backends, 0);
    for (uint32_t i = 0; i < config->count; i++)
        if (nf_map_find(part, &config->list[i]) == NF_NONE)
            nf_map_add(nf, part, &config->list[i]);
}

bool lb_make(struct nf *nf)
{
    const struct lb_config *config = nf->config;
    struct lb *lb = nf->state;
    lb->backends = nf_shared_map_make(nf, LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
    bool whole = nf_flows_make(nf, &lb->flows, &config->flows, sizeof(struct lb_flow), 0);
    lb->back = nf_map_make(nf, config->flows.max_flows, sizeof(struct lb_key), sizeof(uint32_t));
    lb->look = UINT64_MAX;
    if (lb->backends)
        lb_make_backends(nf, lb);
    NF_CONSTANT(nf, &lb->backends);
    NF_CONSTANT(nf, &lb->back);
    return whole && lb->backends && lb->back;
}

/* ---- flows ------------------------------------------------------------------------------------- */

static struct lb_key lb_back_key(const struct lb_key *key, const struct lb_end *backend)
{
    return lb_key(key->proto, key->far, key->fport, backend->addr, backend->port);
}

uint32_t lb_find_back(const struct lb *lb, const struct lb_key *key, uint64_t hash)
{
    uint32_t at = nf_map_find_hashed(lb->back, key, hash);
    return at == NF_NONE ? NF_NONE : *(const uint32_t *)nf_map_value(lb->back, at);
}

static void lb_fill(const struct nf *nf, const struct nf_packet *p, uint32_t slot, const struct lb_end *end,
                    uint32_t number, uint64_t now)
{
    struct lb *lb = nf->state;
    struct lb_flow *flow = NF_EDIT_VALUE(nf, struct lb_key, lb_flow_of(lb, slot));
    flow->flow.own = number;
    flow->packets = 1;
    flow->backend = *end;
    nf_flow_begin(nf, &lb->flows, slot, &flow->flow, p, now);
    if (lb->look == UINT64_MAX) {
        *NF_EDIT(nf, &lb->look) = now + NF_SECOND;
        nf_wake(nf, lb->look);
    }
    nf_count(nf, LB_CREATED, 1);
}

uint32_t lb_create(const struct nf *nf, struct nf_packet *p, const struct lb_key *key, uint64_t now)
{
    struct lb *lb = nf->state;
    struct lb_end end;
    uint32_t number;

    if (p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST) {
        nf_drop(nf, p, LB_NO_FLOW);
        return NF_NONE;
    }
    if (nf_map_count(lb->flows.map) == lb->flows.max_flows) {
        nf_drop(nf, p, LB_TABLE_FULL);
        return NF_NONE;
    }
    enum lb_counter against = lb_choose(nf, key, &end, &number);
    if (against != LB_CREATED) {
        nf_drop(nf, p, against);
        return NF_NONE;
    }
    if (!end.port)
        end.port = key->nport;
    struct lb_key back = lb_back_key(key, &end);
    uint32_t slot = nf_map_add(nf, lb->flows.map, key), at = nf_map_add(nf, lb->back, &back);
    FT_CHECK(slot != NF_NONE && at != NF_NONE, "load_balancer: no slot with %u of %u flows",
             nf_map_count(lb->flows.map), lb->flows.max_flows);
    *NF_EDIT(nf, (const uint32_t *)nf_map_value(lb->back, at)) = slot;
    lb_fill(nf, p, slot, &end, number, now);
    return slot;
}

void lb_touch(const struct nf *nf, const struct nf_packet *p, uint32_t slot, bool reply, uint64_t now)
{
    struct lb *lb = nf->state;
    struct lb_flow *flow = NF_EDIT_VALUE(nf, struct lb_key, lb_flow_of(lb, slot));
    flow->packets++;
    nf_flow_touch(nf, &lb->flows, slot, &flow->flow, p, reply, now);
}

/* Counts the flow in `ended`; the caller takes the sums off the backends with lb_ended. */
static void lb_remove(const struct nf *nf, uint32_t slot, uint32_t ended[LB_BACKENDS])
{
    struct lb *lb = nf->state;
    const struct lb_flow *flow = lb_flow_of(lb, slot);
    struct lb_key back = lb_back_key(lb_key_of(lb, slot), &flow->backend);
    FT_CHECK(flow->flow.own < LB_BACKENDS, "load_balancer: flow %u of backend %u", slot, flow->flow.own);
    ended[flow->flow.own]++;
    nf_map_remove(nf, lb->back, nf_map_find(lb->back, &back));
    nf_flow_remove(nf, &lb->flows, slot);
}

/* ---- checking one that came from a peer -------------------------------------------------------- */

static int lb_check_flow(struct nf_check *c, uint32_t slot)
{
    const struct lb *lb = c->nf->state;
    const struct lb_flow *flow = lb_flow_of(lb, slot);
    struct lb_key back = lb_back_key(lb_key_of(lb, slot), &flow->backend);

    if (!nf_map_has(nf_shared_map_part(lb->backends, 0), flow->flow.own))
        return nf_check_failed(c, "flow %u goes to backend %u, expected one that is there", slot,
                               flow->flow.own);
    if (lb_find_back(lb, &back, nf_map_hash(lb->back, &back)) != slot)
        return nf_check_failed(c, "flow %u is not found by its backend's packets", slot);
    return 0;
}

int lb_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct lb *lb = nf->state;
    const struct nf_map *part = nf_shared_map_part(lb->backends, 0);

    for (uint32_t i = 0; (i = nf_map_next(part, i)) != NF_NONE; i++)
        if (((const struct lb_backend *)nf_map_value(part, i))->state > LB_GONE)
            return nf_check_failed(c, "backend %u is in a state that there is not, expected at most %d", i,
                                   LB_GONE);
    if (nf_map_count(lb->back) != nf_map_count(lb->flows.map))
        return nf_check_failed(c, "%u flows are known by their backends' packets, expected %u",
                               nf_map_count(lb->back), nf_map_count(lb->flows.map));
    return nf_flows_check(c, &lb->flows, lb_check_flow);
}

/* ---- timers ------------------------------------------------------------------------------------ */

/* Flows of dead backends end, a bounded number in a burst. True: all were looked at. */
static bool lb_sweep(const struct nf *nf, uint64_t dead)
{
    struct lb *lb = nf->state;
    uint32_t ended[LB_BACKENDS] = {0}, slot = lb->sweep;
    unsigned cut = 0;

    while ((slot = nf_map_next(lb->flows.map, slot)) != NF_NONE && cut < LB_SWEEP) {
        if (dead >> lb_flow_of(lb, slot)->flow.own & 1) {
            lb_remove(nf, slot, ended);
            cut++;
        }
        slot++;
    }
    *NF_EDIT(nf, &lb->sweep) = slot == NF_NONE ? 0 : slot;
    nf_count(nf, LB_CUT, cut);
    lb_ended(nf, ended);
    return slot == NF_NONE;
}

/* The operator's change of a backend may have come through another lane. */
static void lb_look(const struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;
    uint64_t dead = lb_dead(nf);
    bool whole = !dead || lb_sweep(nf, dead);
    *NF_EDIT(nf, &lb->look) = !whole ? now : nf_map_count(lb->flows.map) ? now + NF_SECOND : UINT64_MAX;
}

void lb_timers(struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;
    struct nf_flows_due due = {.rounds = NF_FLOWS_ROUNDS};

    while (nf_flows_due(nf, &lb->flows, now, &due)) {
        uint32_t ended[LB_BACKENDS] = {0};
        for (uint32_t i = 0; i < due.count; i++) {
            lb_remove(nf, due.slots[i], ended);
            nf_count(nf, LB_EXPIRED, 1);
        }
        lb_ended(nf, ended);
    }
    if (lb->look <= now)
        lb_look(nf, now);
    if (lb->look != UINT64_MAX)
        nf_wake(nf, lb->look);
}

/* ---- an operator's changes --------------------------------------------------------------------- */

int lb_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct lb *lb = nf->state;
    bool backends = strcmp(key, "backends") == 0;
    if (backends || strncmp(key, "backend.", 8) == 0) {
        int error = backends ? lb_change(nf, value, fault) : lb_state_set(nf, key + 8, value, fault);
        if (error == FT_OK && lb->look != UINT64_MAX) { /* its flows end in this very burst */
            *NF_EDIT(nf, &lb->look) = now;
            nf_wake(nf, now);
        }
        return error;
    }
    return nf_flows_set(nf, &lb->flows, key, value, now, fault);
}

/* One section for all of them. */
int lb_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct lb *lb = nf->state;
    uint32_t ended[LB_BACKENDS] = {0};
    (void)now;
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    for (uint32_t slot = 0; (slot = nf_map_next(lb->flows.map, slot)) != NF_NONE; slot++)
        lb_remove(nf, slot, ended);
    lb_ended(nf, ended);
    nf_fragments_clear(nf, &lb->flows);
    return FT_OK;
}
