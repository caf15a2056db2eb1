/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's backends, which all lanes share: choosing one, and an operator's changes. */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

const char *const lb_state_names[] = {"up", "drain", "down", "gone", NULL};

bool lb_end_parse(const char *text, struct lb_end *end)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    char addr[16];
    uint32_t port = 0;
    if (len >= sizeof(addr) || (colon && !nf_number_parse(colon + 1, 1, 65535, &port)))
        return false;
    memcpy(addr, text, len);
    addr[len] = 0;
    *end = (struct lb_end){.port = htons((uint16_t)port)};
    return inet_pton(AF_INET, addr, &end->addr) == 1;
}

static const struct lb_end *lb_end_at(const struct nf_map *part, uint32_t number)
{
    return nf_map_key(part, number);
}
static const struct lb_backend *lb_backend_at(const struct nf_map *part, uint32_t number)
{
    return nf_map_value(part, number);
}
static struct lb_backend *lb_backend_edit(const struct nf *nf, const struct nf_map *part, uint32_t number)
{
    return nf_edit(nf, nf_map_value(part, number), sizeof(struct lb_backend));
}

/* ---- choosing ---------------------------------------------------------------------------------- */

static uint64_t lb_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/*
 * Highest random weight: each client's order of backends is its own, and a backend that comes or goes moves
 * only the flows that it gets or had. The map's hash is seeded once for all lanes and nodes, so nobody
 * outside can aim at one backend.
 */
static uint64_t lb_weight(const struct nf_map *part, const struct lb_end *end, const struct nf_packet *p)
{
    uint64_t client = (uint64_t)p->saddr << 16 | p->sport;
    return lb_mix(nf_map_hash(part, end) ^ lb_mix(client + 0x9e3779b97f4a7c15u));
}

/* No session of this lane may have the backend's answers already. */
static bool lb_is_free(const struct nf *nf, const struct nf_packet *p, const struct lb_end *end)
{
    struct nf_tuple answer = {.saddr = end->addr,
                              .daddr = p->saddr,
                              .sport = end->port ? end->port : p->dport,
                              .dport = p->sport,
                              .proto = p->proto,
                              .side = !p->side};
    return !nf_session_known(nf, &answer);
}

/* Of two backends, whether `a` is the better one. */
static bool lb_better(const struct nf_map *part, uint32_t policy, const struct nf_packet *p, uint32_t a,
                      uint32_t b)
{
    const struct lb_backend *is = lb_backend_at(part, a), *was = lb_backend_at(part, b);
    if (policy == LB_CONSISTENT)
        return lb_weight(part, lb_end_at(part, a), p) > lb_weight(part, lb_end_at(part, b), p);
    return is->connections < was->connections ||
           (is->connections == was->connections && is->total < was->total);
}

static uint32_t lb_choose_here(const struct nf *nf, const struct nf_map *part, const struct nf_packet *p,
                               enum lb_counter *against)
{
    const struct lb_config *config = nf->config;
    uint32_t list[LB_BACKENDS], n = 0, best = 0;

    *against = LB_NO_BACKEND;
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        if (lb_backend_at(part, number)->state != LB_UP)
            continue;
        if (lb_is_free(nf, p, lb_end_at(part, number)))
            list[n++] = number;
        else
            *against = LB_CONFLICT;
    }
    if (n == 0)
        return NF_NONE;
    if (config->policy == LB_RANDOM)
        return list[nf_random(nf) % n];
    for (uint32_t i = 1; i < n; i++)
        if (lb_better(part, config->policy, p, list[i], list[best]))
            best = i;
    return list[best];
}

enum lb_counter lb_choose(const struct nf *nf, const struct nf_packet *p, struct lb_end *end,
                          uint32_t *number)
{
    const struct lb *lb = nf->state;
    enum lb_counter against;
    struct nf_map *part = nf_shared_map_enter(nf, lb->backends, 0);

    *number = lb_choose_here(nf, part, p, &against);
    if (*number != NF_NONE) {
        struct lb_backend *backend = lb_backend_edit(nf, part, *number);
        backend->connections++;
        backend->total++;
        *end = *lb_end_at(part, *number);
        against = LB_CREATED;
    }
    nf_shared_map_leave(nf, lb->backends, 0);
    return against;
}

void lb_ended(const struct nf *nf, const uint32_t count[LB_BACKENDS])
{
    const struct lb *lb = nf->state;
    bool any = false;
    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        any |= count[i] > 0;
    if (!any)
        return;
    struct nf_map *part = nf_shared_map_enter(nf, lb->backends, 0);
    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        if (count[i])
            lb_backend_edit(nf, part, i)->connections -= count[i];
    nf_shared_map_leave(nf, lb->backends, 0);
}

uint64_t lb_dead(const struct nf *nf)
{
    const struct lb *lb = nf->state;
    const struct nf_map *part = nf_shared_map_enter(nf, lb->backends, 0);
    uint64_t dead = 0;
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++)
        if (lb_backend_at(part, number)->state >= LB_DOWN && lb_backend_at(part, number)->connections)
            dead |= 1ull << number;
    nf_shared_map_leave(nf, lb->backends, 0);
    return dead;
}

/* ---- an operator's changes --------------------------------------------------------------------- */

/* A place for a new one, of one that is gone if need be. */
static uint32_t lb_place(const struct nf *nf, struct nf_map *part, const struct lb_end *end)
{
    uint32_t number = 0;
    if (nf_map_count(part) == LB_BACKENDS) {
        for (; (number = nf_map_next(part, number)) != NF_NONE; number++)
            if (lb_backend_at(part, number)->state == LB_GONE && !lb_backend_at(part, number)->connections)
                break;
        if (number == NF_NONE)
            return NF_NONE;
        nf_map_remove(nf, part, number);
    }
    return nf_map_add(nf, part, end);
}

static int lb_change_here(const struct nf *nf, struct nf_map *part, const struct lb_end *end, bool add)
{
    uint32_t number = nf_map_find(part, end);
    if (number == NF_NONE && !add)
        return FT_ENOENT;
    if (number == NF_NONE && (number = lb_place(nf, part, end)) == NF_NONE)
        return FT_EFULL;
    struct lb_backend *backend = lb_backend_edit(nf, part, number);
    if (!add)
        backend->state = LB_GONE;
    else if (backend->state == LB_GONE)
        backend->state = LB_UP;
    return FT_OK;
}

static bool lb_lists(const struct lb_config *config, const struct lb_end *end)
{
    for (uint32_t i = 0; i < config->count; i++)
        if (memcmp(&config->list[i], end, sizeof(*end)) == 0)
            return true;
    return false;
}

bool lb_change_all(const struct nf *nf, const struct lb_config *from, const struct lb_config *to)
{
    const struct lb *lb = nf->state;
    struct nf_map *part = nf_shared_map_part(lb->backends, 0);
    int error = FT_OK;

    for (uint32_t i = 0; i < from->count; i++)
        if (!lb_lists(to, &from->list[i]))
            lb_change_here(nf, part, &from->list[i], false);
    for (uint32_t i = 0; i < to->count && error == FT_OK; i++)
        if (!lb_lists(from, &to->list[i]))
            error = lb_change_here(nf, part, &to->list[i], true);
    return error == FT_OK;
}

int lb_change(const struct nf *nf, const char *value, struct ft_fault *fault)
{
    const struct lb *lb = nf->state;
    struct lb_end end;
    if ((*value != '+' && *value != '-') || !lb_end_parse(value + 1, &end))
        return ft_fail(fault, FT_EINVAL, "backends=%s: expected + or - and ADDRESS or ADDRESS:PORT", value);
    struct nf_map *part = nf_shared_map_enter(nf, lb->backends, 0);
    int error = lb_change_here(nf, part, &end, *value == '+');
    nf_shared_map_leave(nf, lb->backends, 0);
    if (error == FT_ENOENT)
        return ft_fail(fault, error, "backends=%s: there is no such backend", value);
    if (error == FT_EFULL)
        return ft_fail(fault, error, "backends=%s: there are %u already", value, LB_BACKENDS);
    return error;
}

int lb_state_set(const struct nf *nf, const char *name, const char *value, struct ft_fault *fault)
{
    const struct lb *lb = nf->state;
    struct lb_end end;
    unsigned state = LB_UP, found = 0;
    while (state < LB_GONE && strcmp(value, lb_state_names[state]) != 0)
        state++;
    if (!lb_end_parse(name, &end) || state == LB_GONE)
        return ft_fail(fault, FT_EINVAL, "backend.%s=%s: expected backend.ADDRESS[:PORT]=up, drain or down",
                       name, value);
    struct nf_map *part = nf_shared_map_enter(nf, lb->backends, 0);
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        const struct lb_end *there = lb_end_at(part, number);
        if (there->addr != end.addr || (end.port && there->port != end.port) ||
            lb_backend_at(part, number)->state == LB_GONE)
            continue;
        lb_backend_edit(nf, part, number)->state = state;
        found++;
    }
    nf_shared_map_leave(nf, lb->backends, 0);
    return found ? FT_OK : ft_fail(fault, FT_ENOENT, "backend.%s: there is no such backend", name);
}
