/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's flows: making, ageing and removing them; see load_balancer_table.h. */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

#define LB_SWEEP 512u  /* flows of dead backends in one burst */
#define LB_LOOKS 4096u /* sessions looked at for them */

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

void lb_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct lb_config *)config)->flows;
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
    struct lb *lb = nf->state;
    lb->backends = nf_shared_map_make(nf, LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
    lb->look = UINT64_MAX;
    if (lb->backends)
        lb_make_backends(nf, lb);
    NF_CONSTANT(nf, &lb->backends);
    return lb->backends;
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
    struct lb_end end;
    uint32_t number;

    if (p->proto == NF_PROTO_TCP && p->tcp_flags & NF_TCP_RST) {
        nf_drop(nf, p, LB_NO_FLOW);
        return NULL;
    }
    if (!nf_session_room(nf, p)) {
        nf_drop(nf, p, LB_TABLE_FULL);
        return NULL;
    }
    enum lb_counter against = lb_choose(nf, p, &end, &number);
    if (against != LB_CREATED) {
        nf_drop(nf, p, against);
        return NULL;
    }
    if (!end.port)
        end.port = p->dport;
    const struct nf_session *s = nf_session_join(nf, p, now);
    FT_CHECK(s, "load_balancer: no slot with %u of %u flows", nf_sessions_count(nf), nf_sessions_max(nf));
    *NF_SESSION_EDIT(nf, s, struct lb_flow) =
        (struct lb_flow){.packets = 1, .number = number & 0xff, .backend = end};
    lb_begin_looking(nf, now);
    nf_count(nf, LB_CREATED, 1);
    return s;
}

/* The backends are told of all that end together: by lb_timers, in this burst or the next. */
void lb_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    struct lb *lb = nf->state;
    uint32_t number = lb_flow_of(nf, s)->number;
    FT_CHECK(number < LB_BACKENDS, "load_balancer: a flow of backend %u", number);
    *NF_EDIT(nf, &lb->ended[number]) += 1;
    nf_wake(nf, now);
    if (why == NF_SESSION_IDLE || why == NF_SESSION_DISPLACED)
        nf_count(nf, why == NF_SESSION_IDLE ? LB_EXPIRED : LB_DISPLACED, 1);
}

static void lb_tell_ended(const struct nf *nf)
{
    struct lb *lb = nf->state;
    uint32_t ended[LB_BACKENDS];
    memcpy(ended, lb->ended, sizeof(ended));
    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        if (ended[i])
            *NF_EDIT(nf, &lb->ended[i]) = 0;
    lb_ended(nf, ended);
}

/* ---- checking one that came from a peer -------------------------------------------------------- */

int lb_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct lb *lb = nf->state;
    const struct nf_map *part = nf_shared_map_part(lb->backends, 0);
    const struct nf_session *s;

    for (uint32_t i = 0; (i = nf_map_next(part, i)) != NF_NONE; i++)
        if (((const struct lb_backend *)nf_map_value(part, i))->state > LB_GONE)
            return nf_check_failed(c, "backend %u is in a state that there is not, expected at most %d", i,
                                   LB_GONE);
    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        if (lb->ended[i] && !nf_map_has(part, i))
            return nf_check_failed(c, "flows of backend %u have ended, expected one that is there", i);
    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        const struct lb_flow *flow = lb_flow_of(nf, s);

        nf_check_step(c);
        if (!nf_map_has(part, flow->number) ||
            ((const struct lb_end *)nf_map_key(part, flow->number))->addr != flow->backend.addr)
            return nf_check_failed(c, "session %u goes to backend %u, expected one that is there", at,
                                   (unsigned)flow->number);
    }
    return 0;
}

/* ---- timers ------------------------------------------------------------------------------------ */

/* Flows of dead backends end, a bounded number in a burst. True: all were looked at. */
static bool lb_sweep(const struct nf *nf, uint64_t dead, uint64_t now)
{
    struct lb *lb = nf->state;
    const struct nf_session *s;
    uint32_t at = lb->sweep, left = LB_LOOKS;
    unsigned cut = 0;

    for (; cut < LB_SWEEP && nf_shared_left(nf) > NF_SHARED_RESERVE + FT_NFS_MAX &&
           (s = nf_sessions_next_near(nf, &at, &left));
         at++)
        if (dead >> lb_flow_of(nf, s)->number & 1) {
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
    uint64_t dead = lb_dead(nf);
    bool whole = !dead || lb_sweep(nf, dead, now);
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
