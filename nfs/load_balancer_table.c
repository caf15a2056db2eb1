/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's flows: making, ageing and removing them; see load_balancer_table.h. */
#include "nfs/load_balancer_table.h"

#include <string.h>

#define LB_SWEEP 512u  /* flows of dead backends in one burst */
#define LB_LOOKS 4096u /* sessions looked at for them */

/* ---- making ------------------------------------------------------------------------------------ */

static int lb_add(struct lb_config *config, const char *one, struct ft_fault *fault)
{
    struct lb_end end;
    bool ipv6;

    if (!lb_end_parse(one, &end))
        return ft_fail(fault, FT_EINVAL, "backend \"%s\", expected ADDRESS or ADDRESS:PORT", one);
    ipv6 = nf_addr_is_ipv6(&end.addr);
    if (ipv6 && !config->ipv6)
        return ft_fail(fault, FT_EINVAL, "backend %s is of IPv6, expected vip6 beside it", one);
    if (config->count[ipv6] == LB_BACKENDS)
        return ft_fail(fault, FT_EINVAL, "more than %u backends", LB_BACKENDS);
    if (lb_lists(config, &end))
        return ft_fail(fault, FT_EINVAL, "backend %s again, expected each once", one);
    config->list[ipv6][config->count[ipv6]++] = end;
    return FT_OK;
}

/* The list of backends in the configuration, and the service's address of IPv6. */
int lb_check(void *c, struct ft_fault *fault)
{
    struct lb_config *config = c;
    const char *at = config->backends;
    int error = FT_OK;
    char one[56];

    config->ipv6 = *config->vip6_text;
    config->service[NF_IP4] = nf_addr_of_ipv4(config->vip);
    config->any[NF_IP4] = !config->vip;
    if (config->ipv6 && (!nf_addr_parse(config->vip6_text, &config->service[NF_IP6]) ||
                         !nf_addr_is_ipv6(&config->service[NF_IP6])))
        return ft_fail(fault, FT_EINVAL, "vip6 is %.60s, expected an address of IPv6", config->vip6_text);
    config->any[NF_IP6] = !(config->service[NF_IP6].half[0] | config->service[NF_IP6].half[1]);
    config->count[NF_IP4] = config->count[NF_IP6] = 0;
    while (error == FT_OK && *(at += strspn(at, " ,"))) {
        size_t len = strcspn(at, " ,");

        memcpy(one, at, len < sizeof(one) ? len : sizeof(one) - 1);
        one[len < sizeof(one) ? len : sizeof(one) - 1] = 0;
        error = lb_add(config, one, fault);
        at += len;
    }
    return error;
}

bool lb_ipv6(const void *config)
{
    return ((const struct lb_config *)config)->ipv6;
}

void lb_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct lb_config *)config)->flows;
}

uint64_t lb_shared(const void *config, unsigned lanes)
{
    (void)lanes;
    return (lb_ipv6(config) ? 2 : 1) *
           nf_shared_map_bytes(LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
}

bool lb_make(struct nf *nf)
{
    const struct lb_config *config = nf->config;
    struct lb *lb = nf->state;

    lb->look = UINT64_MAX;
    for (unsigned ipv6 = 0; ipv6 <= config->ipv6; ipv6++) {
        struct nf_map *part;

        lb->backends[ipv6] =
            nf_shared_map_make(nf, LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
        if (!lb->backends[ipv6])
            return false;
        part = nf_shared_map_part(lb->backends[ipv6], 0);
        for (uint32_t i = 0; i < config->count[ipv6]; i++) /* the first lane enters them, others find them */
            if (nf_map_find(part, &config->list[ipv6][i]) == NF_NONE)
                nf_map_add(nf, part, &config->list[ipv6][i]);
    }
    NF_CONSTANT(nf, &lb->backends);
    return true;
}

/* What an operator has added or taken away by hand stays so, unless the file says of it another thing than
 * before. */
bool lb_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    if (!was->same) {
        ft_fail(fault, FT_EINVAL, "load_balancer: its backends would lie in memory in another way");
        return false;
    }
    if (nf->lane || lb_change_all(nf, was->config, nf->config))
        return true;
    ft_fail(fault, FT_EFULL, "load_balancer backends: there are %u already", LB_BACKENDS);
    return false;
}

/* ---- flows ------------------------------------------------------------------------------------- */

/* The first flow: from now on the backends are looked at. */
static void lb_begin_looking(const struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;
    if (lb->look != UINT64_MAX)
        return;
    *NF_EDIT(nf, &lb->look) = now + NF_SECOND;
    nf_wake(nf, lb->look);
}

const struct nf_session *lb_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    struct lb_flow flow;

    if (p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST) {
        nf_drop(nf, p, LB_NO_FLOW);
        return NULL;
    }
    if (!nf_session_room(nf, p)) {
        nf_drop(nf, p, LB_TABLE_FULL);
        return NULL;
    }
    enum lb_counter against = lb_choose(nf, p, &flow);
    if (against != LB_CREATED) {
        nf_drop(nf, p, against);
        return NULL;
    }
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "load_balancer: no slot with %u of %u flows", nf_sessions_count(nf), nf_sessions_max(nf));
    *NF_SESSION_EDIT(nf, s, struct lb_flow) = flow;
    lb_begin_looking(nf, now);
    nf_count(nf, LB_CREATED, 1);
    return s;
}

/* The backends are told of all that end together: by lb_timers, in this burst or the next. */
void lb_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    struct lb *lb = nf->state;
    uint32_t number = lb_flow_of(nf, s)->number;

    (void)why;
    FT_CHECK(number < LB_BACKENDS, "load_balancer: a flow of backend %u", number);
    *NF_EDIT(nf, &lb->ended[nf_session_sees_ipv6(nf, s)][number]) += 1;
    nf_wake(nf, now);
}

static void lb_tell_ended(const struct nf *nf)
{
    const struct lb *lb = nf->state;

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++) {
        uint32_t count[LB_BACKENDS];

        memcpy(count, lb->ended[ipv6], sizeof(count));
        for (uint32_t i = 0; i < LB_BACKENDS; i++)
            if (count[i])
                *NF_EDIT(nf, &lb->ended[ipv6][i]) = 0;
        lb_ended(nf, count, ipv6);
    }
}

/* ---- checking one that came from a peer -------------------------------------------------------- */

/* `backends`: NULL where there is no service of the family. */
static int lb_check_kind(struct nf_check *c, const struct nf_shared_map *backends,
                         const uint32_t ended[LB_BACKENDS])
{
    const struct nf_map *part = backends ? nf_shared_map_part(backends, 0) : NULL;

    for (uint32_t i = 0; part && (i = nf_map_next(part, i)) != NF_NONE; i++)
        if (((const struct lb_backend *)nf_map_value(part, i))->state > LB_GONE)
            return nf_check_failed(c, "backend %u is in a state that there is not, expected at most %d", i,
                                   LB_GONE);
    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        if (ended[i] && (!part || !nf_map_has(part, i)))
            return nf_check_failed(c, "flows of backend %u have ended, expected one that is there", i);
    return 0;
}

/* Its backend is there, and has the address that the flow goes to. */
static bool lb_flow_leads(const struct nf *nf, const struct nf_session *s)
{
    const struct lb *lb = nf->state;
    const struct lb_flow *flow = lb_flow_of(nf, s);
    bool ipv6 = nf_session_sees_ipv6(nf, s);
    const struct nf_map *part;
    struct nf_addr addr;

    if (flow->number >= LB_BACKENDS || !lb->backends[ipv6])
        return false;
    part = nf_shared_map_part(lb->backends[ipv6], 0);
    addr = lb_address(nf, flow, ipv6);
    return nf_map_has(part, flow->number) &&
           nf_addr_same(&((const struct lb_end *)nf_map_key(part, flow->number))->addr, &addr);
}

int lb_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct lb *lb = nf->state;
    const struct nf_session *s;
    int error = 0;

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES && !error; ipv6++)
        error = lb_check_kind(c, lb->backends[ipv6], lb->ended[ipv6]);
    for (uint32_t at = 0; !error && (s = nf_sessions_next(nf, &at)); at++) {
        nf_check_step(c);
        if (!lb_flow_leads(nf, s))
            error = nf_check_failed(c, "session %u goes to backend %u, expected one that is there", at,
                                    (unsigned)lb_flow_of(nf, s)->number);
    }
    return error;
}

/* ---- timers ------------------------------------------------------------------------------------ */

/* Flows of dead backends end, a bounded number in a burst. True: all were looked at. */
static bool lb_sweep(const struct nf *nf, const uint64_t dead[NF_FAMILIES], uint64_t now)
{
    struct lb *lb = nf->state;
    const struct nf_session *s;
    uint32_t at = lb->sweep, left = LB_LOOKS;
    unsigned cut = 0;

    for (; cut < LB_SWEEP && nf_shared_left(nf) > NF_SHARED_RESERVE + FT_NFS_MAX &&
           (s = nf_sessions_next_near(nf, &at, &left));
         at++)
        if (dead[nf_session_sees_ipv6(nf, s)] >> lb_flow_of(nf, s)->number & 1) {
            nf_session_end(nf, s, now);
            cut++;
        }
    *NF_EDIT(nf, &lb->sweep) = at == NF_NONE ? 0 : at;
    nf_count(nf, LB_CUT, cut);
    lb_tell_ended(nf);
    return at == NF_NONE;
}

/* The operator's change of a backend may have come through another lane. */
static void lb_look(const struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;
    uint64_t dead[NF_FAMILIES] = {lb_dead(nf, false), lb->backends[NF_IP6] ? lb_dead(nf, true) : 0};
    bool whole = !(dead[0] | dead[1]) || lb_sweep(nf, dead, now);
    *NF_EDIT(nf, &lb->look) = !whole ? now : nf_sessions_count(nf) ? now + NF_SECOND : UINT64_MAX;
}

void lb_timers(struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;

    lb_tell_ended(nf);
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
    return nf_sessions_set(nf, key, value, now, fault);
}

/* A flow without its backend is nobody's: it ends for all NFs. */
int lb_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    nf_sessions_clear(nf, true, now);
    return FT_OK;
}
