/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's backends, which all lanes share: choosing one, and an operator's changes. */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

const char *const lb_state_names[] = {"up", "drain", "down", "gone", NULL};

bool lb_end_parse(const char *text, struct lb_end *end)
{
    bool brackets = *text == '[';
    const char *from = text + brackets, *colon = brackets ? strstr(from, "]:") : strchr(from, ':');
    bool ported = brackets || (colon && !strchr(colon + 1, ':'));
    size_t len = ported && colon ? (size_t)(colon - from) : strlen(from);
    char addr[NF_ADDR_TEXT];
    uint32_t port = 0;

    *end = (struct lb_end){.port = 0};
    if (len >= sizeof(addr) || (brackets && !colon) ||
        (ported && !nf_number_parse(colon + 1 + brackets, 1, 65535, &port)))
        return false;
    memcpy(addr, from, len);
    addr[len] = 0;
    end->port = htons((uint16_t)port);
    return nf_addr_parse(addr, &end->addr) && (!brackets || nf_addr_is_ipv6(&end->addr));
}

static const struct lb_end *lb_end_at(const struct nf_map *part, uint32_t number)
{
    return nf_map_key(part, number);
}
static struct nf_shared_map *lb_backends(const struct nf *nf, bool ipv6)
{
    return ((const struct lb *)nf->state)->backends[ipv6];
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
static uint64_t lb_weight(const struct nf_map *part, uint32_t number, const struct nf_packet *p)
{
    struct nf_addr from = nf_packet_from(p, p->flags & NF_P_IPV6_READ);
    uint64_t client = lb_mix(from.half[0] ^ lb_mix(from.half[1])) ^ p->sport;

    return lb_mix(nf_map_hash(part, nf_map_key(part, number)) ^ lb_mix(client + 0x9e3779b97f4a7c15u));
}

/* No session of this lane may have the backend's answers already. */
static bool lb_is_free(const struct nf *nf, const struct nf_packet *p, const struct nf_map *part,
                       uint32_t number)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    const struct lb_end *end = lb_end_at(part, number);
    struct nf_tuple answer = {
        .sport = end->port ? end->port : p->dport, .dport = p->sport, .proto = p->proto, .side = !p->side};
    struct nf_addresses addresses;

    if (ipv6) {
        memcpy(addresses.source, end->addr.byte, 16);
        memcpy(addresses.destination, nf_packet_ipv6_addresses(p), 16);
        return !nf_session_known_ipv6(nf, &answer, &addresses);
    }
    answer.saddr = nf_addr_ipv4(&end->addr);
    answer.daddr = p->saddr;
    return !nf_session_known(nf, &answer);
}

/* Of two backends, whether `a` is the better one. */
static bool lb_better(const struct nf_map *part, uint32_t policy, const struct nf_packet *p, uint32_t a,
                      uint32_t b)
{
    const struct lb_backend *is = lb_backend_at(part, a), *was = lb_backend_at(part, b);
    if (policy == LB_CONSISTENT)
        return lb_weight(part, a, p) > lb_weight(part, b, p);
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
        if (lb_is_free(nf, p, part, number))
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

enum lb_counter lb_choose(const struct nf *nf, const struct nf_packet *p, struct lb_flow *flow)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    const struct lb *lb = nf->state;
    struct nf_map *part = nf_shared_map_enter(nf, lb_backends(nf, ipv6), 0);
    enum lb_counter against;
    uint32_t number = lb_choose_here(nf, part, p, &against);

    if (number != NF_NONE) {
        struct lb_backend *backend = lb_backend_edit(nf, part, number);
        struct lb_end end = *lb_end_at(part, number);

        backend->connections++;
        backend->total++;
        *flow = (struct lb_flow){.packets = 1,
                                 .number = number & 0xff,
                                 .addr = ipv6 ? 0 : nf_addr_ipv4(&end.addr),
                                 .port = end.port ? end.port : p->dport};
        /* A number is another backend's only when nobody has a flow of it any more. */
        if (ipv6 && !nf_addr_same(&lb->addr[number], &end.addr))
            *NF_EDIT(nf, &lb->addr[number]) = end.addr;
        against = LB_CREATED;
    }
    nf_shared_map_leave(nf, lb_backends(nf, ipv6), 0);
    return against;
}

void lb_ended(const struct nf *nf, const uint32_t count[LB_BACKENDS], bool ipv6)
{
    struct nf_map *part;
    bool any = false;

    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        any |= count[i] > 0;
    if (!any)
        return;
    part = nf_shared_map_enter(nf, lb_backends(nf, ipv6), 0);
    for (uint32_t i = 0; i < LB_BACKENDS; i++)
        if (count[i])
            lb_backend_edit(nf, part, i)->connections -= count[i];
    nf_shared_map_leave(nf, lb_backends(nf, ipv6), 0);
}

uint64_t lb_dead(const struct nf *nf, bool ipv6)
{
    const struct nf_map *part = nf_shared_map_enter(nf, lb_backends(nf, ipv6), 0);
    uint64_t dead = 0;

    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++)
        if (lb_backend_at(part, number)->state >= LB_DOWN && lb_backend_at(part, number)->connections)
            dead |= 1ull << number;
    nf_shared_map_leave(nf, lb_backends(nf, ipv6), 0);
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

bool lb_lists(const struct lb_config *config, const struct lb_end *end)
{
    bool ipv6 = nf_addr_is_ipv6(&end->addr);

    for (uint32_t i = 0; i < config->count[ipv6]; i++)
        if (memcmp(&config->list[ipv6][i], end, sizeof(*end)) == 0)
            return true;
    return false;
}

bool lb_change_all(const struct nf *nf, const struct lb_config *from, const struct lb_config *to)
{
    int error = FT_OK;

    for (unsigned ipv6 = 0; ipv6 <= to->ipv6; ipv6++) {
        struct nf_map *part = nf_shared_map_part(lb_backends(nf, ipv6), 0);

        for (uint32_t i = 0; i < from->count[ipv6]; i++)
            if (!lb_lists(to, &from->list[ipv6][i]))
                lb_change_here(nf, part, &from->list[ipv6][i], false);
        for (uint32_t i = 0; i < to->count[ipv6] && error == FT_OK; i++)
            if (!lb_lists(from, &to->list[ipv6][i]))
                error = lb_change_here(nf, part, &to->list[ipv6][i], true);
    }
    return error == FT_OK;
}

/* The backends that the text may be one of; NULL: it is no backend, or there is no service of its family. */
static struct nf_shared_map *lb_read_end(const struct nf *nf, const char *text, struct lb_end *end)
{
    return lb_end_parse(text, end) ? lb_backends(nf, nf_addr_is_ipv6(&end->addr)) : NULL;
}

int lb_change(const struct nf *nf, const char *value, struct ft_fault *fault)
{
    bool add = *value == '+';
    struct lb_end end;
    struct nf_shared_map *backends = add || *value == '-' ? lb_read_end(nf, value + 1, &end) : NULL;
    if (!backends)
        return ft_fail(fault, FT_EINVAL, "backends=%s: expected + or - and ADDRESS or ADDRESS:PORT", value);
    struct nf_map *part = nf_shared_map_enter(nf, backends, 0);
    int error = lb_change_here(nf, part, &end, add);
    nf_shared_map_leave(nf, backends, 0);
    if (error == FT_ENOENT)
        return ft_fail(fault, error, "backends=%s: there is no such backend", value);
    if (error == FT_EFULL)
        return ft_fail(fault, error, "backends=%s: there are %u already", value, LB_BACKENDS);
    return error;
}

int lb_state_set(const struct nf *nf, const char *name, const char *value, struct ft_fault *fault)
{
    struct lb_end end;
    struct nf_shared_map *backends = lb_read_end(nf, name, &end);
    unsigned state = LB_UP, found = 0;
    while (state < LB_GONE && strcmp(value, lb_state_names[state]) != 0)
        state++;
    if (!backends || state == LB_GONE)
        return ft_fail(fault, FT_EINVAL, "backend.%s=%s: expected backend.ADDRESS[:PORT]=up, drain or down",
                       name, value);
    struct nf_map *part = nf_shared_map_enter(nf, backends, 0);
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        const struct lb_end *is = lb_end_at(part, number);
        if (!nf_addr_same(&is->addr, &end.addr) || (end.port && is->port != end.port) ||
            lb_backend_at(part, number)->state == LB_GONE)
            continue;
        lb_backend_edit(nf, part, number)->state = state;
        found++;
    }
    nf_shared_map_leave(nf, backends, 0);
    return found ? FT_OK : ft_fail(fault, FT_ENOENT, "backend.%s: there is no such backend", name);
}
