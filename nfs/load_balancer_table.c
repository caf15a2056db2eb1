/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's flows: making, ageing and removing them; see load_balancer_table.h. */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

#define LB_TICK   (NF_SECOND / 10)
#define LB_DUE    64u
#define LB_ROUNDS 16u  /* of LB_DUE timers in one burst; the rest in the next */
#define LB_SWEEP  512u /* flows of dead backends in one burst */

static uint64_t lb_life(const struct lb *lb, uint8_t class)
{
    return lb->timeouts[class] * NF_SECOND;
}

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
    return sizeof(struct lb) + FT_LINE +
           nf_map_bytes(config->max_flows, sizeof(struct lb_key), sizeof(struct lb_flow)) +
           nf_map_bytes(config->max_flows, sizeof(struct lb_key), sizeof(uint32_t)) +
           nf_wheel_bytes(config->max_flows + config->max_fragments) +
           nf_fragments_bytes(config->max_fragments);
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

int lb_make(struct nf *nf, struct ft_fault *fault)
{
    const struct lb_config *config = nf->config;
    struct lb *lb = ft_arena_alloc(nf->arena, sizeof(*lb));
    if (!lb)
        return ft_fail(fault, FT_EFULL, "load_balancer: arena full");
    lb = NF_EDIT(nf, lb);
    lb->backends = nf_shared_map_make(nf, LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
    lb->flows = nf_map_make(nf, config->max_flows, sizeof(struct lb_key), sizeof(struct lb_flow));
    lb->back = nf_map_make(nf, config->max_flows, sizeof(struct lb_key), sizeof(uint32_t));
    lb->wheel = nf_wheel_make(nf, config->max_flows + config->max_fragments, LB_TICK);
    lb->fragments = nf_fragments_make(nf, config->max_fragments, lb->wheel, config->max_flows);
    if (!lb->backends || !lb->flows || !lb->back || !lb->wheel || !lb->fragments)
        return ft_fail(fault, FT_EFULL, "load_balancer: arena full");
    memcpy(lb->timeouts, config->timeouts, sizeof(lb->timeouts));
    lb->look = UINT64_MAX;
    lb_make_backends(nf, lb);
    nf->state = lb;
    return FT_OK;
}

/* ---- flows ------------------------------------------------------------------------------------- */

static struct lb_key lb_back_key(const struct lb_key *key, const struct lb_end *backend)
{
    return lb_key(key->proto, key->far, key->fport, backend->addr, backend->port);
}

uint32_t lb_find_back(const struct lb *lb, const struct lb_key *key, uint64_t hash)
{
    uint32_t at = nf_map_find_hashed(lb->back, key, hash), slot;
    if (at == NF_NONE)
        return NF_NONE;
    memcpy(&slot, nf_map_value(lb->back, at), sizeof(slot));
    return slot;
}

static void lb_fill(const struct nf *nf, const struct nf_packet *p, uint32_t slot, const struct lb_end *end,
                    uint32_t number, uint64_t now)
{
    struct lb *lb = nf->state;
    struct lb_flow *flow = NF_EDIT_VALUE(nf, struct lb_key, lb_flow_of(lb, slot));
    flow->seen = now;
    flow->packets = 1;
    flow->backend = *end;
    flow->number = number;
    flow->tcp = p->proto == NF_PROTO_TCP ? nf_tcp_first(p->tcp_flags) : NF_TCP_NONE;
    flow->class = nf_timeout_class(p->proto, flow->tcp);
    nf_wheel_set(nf, lb->wheel, slot, now + lb_life(lb, flow->class));
    if (lb->look == UINT64_MAX) {
        *NF_EDIT(nf, &lb->look) = now + NF_SECOND;
        nf_wake(nf, lb->look);
    }
    nf_count(nf, LB_CREATED, 1);
}

uint32_t lb_create(const struct nf *nf, struct nf_packet *p, const struct lb_key *key, uint64_t now)
{
    const struct lb_config *config = nf->config;
    struct lb *lb = nf->state;
    struct lb_end end;
    uint32_t number;

    if (p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST) {
        nf_drop(nf, p, LB_NO_FLOW);
        return NF_NONE;
    }
    if (nf_map_count(lb->flows) == config->max_flows) {
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
    uint32_t slot = nf_map_add(nf, lb->flows, key), at = nf_map_add(nf, lb->back, &back);
    FT_CHECK(slot != NF_NONE && at != NF_NONE, "load_balancer: no slot with %u of %u flows",
             nf_map_count(lb->flows), config->max_flows);
    memcpy(nf_edit(nf, nf_map_value(lb->back, at), sizeof(slot)), &slot, sizeof(slot));
    lb_fill(nf, p, slot, &end, number, now);
    return slot;
}

void lb_touch(const struct nf *nf, const struct nf_packet *p, uint32_t slot, bool reply, uint64_t now)
{
    struct lb *lb = nf->state;
    struct lb_flow *flow = NF_EDIT_VALUE(nf, struct lb_key, lb_flow_of(lb, slot));
    flow->seen = now;
    flow->packets++;
    if (p->proto != NF_PROTO_TCP)
        return;
    flow->tcp = nf_tcp_next(flow->tcp, p->tcp_flags, reply);
    uint8_t class = nf_timeout_class(NF_PROTO_TCP, flow->tcp);
    if (class != flow->class) {
        flow->class = class;
        nf_wheel_set(nf, lb->wheel, slot, now + lb_life(lb, class));
    }
}

/* The backend's count is the caller's: he tells of many at once. */
static void lb_remove(const struct nf *nf, uint32_t slot, uint32_t ended[LB_BACKENDS])
{
    struct lb *lb = nf->state;
    const struct lb_flow *flow = lb_flow_of(lb, slot);
    struct lb_key back = lb_back_key(lb_key_of(lb, slot), &flow->backend);
    ended[flow->number]++;
    nf_map_remove(nf, lb->back, nf_map_find(lb->back, &back));
    nf_map_remove(nf, lb->flows, slot);
}

/* ---- timers ------------------------------------------------------------------------------------ */

static void lb_expire(const struct nf *nf, const uint32_t due[], uint32_t n, uint64_t now)
{
    const struct lb_config *config = nf->config;
    struct lb *lb = nf->state;
    uint32_t ended[LB_BACKENDS] = {0};

    for (uint32_t i = 0; i < n; i++) {
        if (due[i] >= config->max_flows) {
            nf_fragments_due(nf, lb->fragments, due[i]);
            continue;
        }
        const struct lb_flow *flow = lb_flow_of(lb, due[i]);
        uint64_t end = flow->seen + lb_life(lb, flow->class);
        if (end > now) {
            nf_wheel_set(nf, lb->wheel, due[i], end);
        } else {
            lb_remove(nf, due[i], ended);
            nf_count(nf, LB_EXPIRED, 1);
        }
    }
    lb_ended(nf, ended);
}

/* Flows of dead backends end, a bounded number in a burst. True: all were looked at. */
static bool lb_sweep(const struct nf *nf, uint64_t dead)
{
    struct lb *lb = nf->state;
    uint32_t ended[LB_BACKENDS] = {0}, slot = lb->sweep;
    unsigned cut = 0;

    while ((slot = nf_map_next(lb->flows, slot)) != NF_NONE && cut < LB_SWEEP) {
        if (dead >> lb_flow_of(lb, slot)->number & 1) {
            nf_wheel_cancel(nf, lb->wheel, slot);
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

/* Another lane may have been told that a backend is down. */
static void lb_look(const struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;
    uint64_t dead = lb_dead(nf);
    bool whole = !dead || lb_sweep(nf, dead);
    *NF_EDIT(nf, &lb->look) = !whole ? now : nf_map_count(lb->flows) ? now + NF_SECOND : UINT64_MAX;
}

void lb_timers(struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;
    uint32_t due[LB_DUE];

    for (unsigned round = 0; round < LB_ROUNDS; round++) {
        uint32_t n = nf_wheel_due(nf, lb->wheel, now, due, LB_DUE);
        lb_expire(nf, due, n, now);
        if (n < LB_DUE)
            break;
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
    int class = nf_timeout_set(nf, lb->timeouts, key, value, fault);
    if (class < 0)
        return class;
    for (uint32_t slot = 0; (slot = nf_map_next(lb->flows, slot)) != NF_NONE; slot++) {
        const struct lb_flow *flow = lb_flow_of(lb, slot);
        uint64_t end = flow->seen + lb_life(lb, flow->class);
        if (flow->class == class)
            nf_wheel_set(nf, lb->wheel, slot, end > now ? end : now);
    }
    return FT_OK;
}

int lb_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct lb *lb = nf->state;
    uint32_t ended[LB_BACKENDS] = {0};
    (void)now;
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    for (uint32_t slot = 0; (slot = nf_map_next(lb->flows, slot)) != NF_NONE; slot++) {
        nf_wheel_cancel(nf, lb->wheel, slot);
        lb_remove(nf, slot, ended);
    }
    lb_ended(nf, ended);
    nf_fragments_clear(nf, lb->fragments);
    return FT_OK;
}
