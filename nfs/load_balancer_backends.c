/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer's backends, which all lanes share: choosing one, and an operator's changes. */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

const char *const lb_state_names[] = {"up", "drain", "down", "gone", NULL};

/* "[ADDRESS]:PORT", or an address of IPv6 alone. */
static bool parse_ipv6(const char *text, struct lb_end6 *end)
{
    bool brackets = *text == '[';
    const char *from = text + brackets, *until = brackets ? strchr(from, ']') : from + strlen(from);
    size_t len = until ? (size_t)(until - from) : 0;
    char addr[INET6_ADDRSTRLEN];
    uint32_t port = 0;

    if (!until || len >= sizeof(addr) ||
        (brackets && (until[1] != ':' || !nf_number_parse(until + 2, 1, 65535, &port))))
        return false;
    memcpy(addr, from, len);
    addr[len] = 0;
    end->port = htons((uint16_t)port);
    return inet_pton(AF_INET6, addr, end->addr) == 1;
}

static bool parse_ipv4(const char *text, struct lb_end *end)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    char addr[INET_ADDRSTRLEN];
    uint32_t port = 0;

    if (len >= sizeof(addr) || (colon && !nf_number_parse(colon + 1, 1, 65535, &port)))
        return false;
    memcpy(addr, text, len);
    addr[len] = 0;
    end->port = htons((uint16_t)port);
    return inet_pton(AF_INET, addr, &end->addr) == 1;
}

bool lb_end_parse(const char *text, struct lb_named *end)
{
    const char *colon = strchr(text, ':');

    *end = (struct lb_named){.ipv6 = *text == '[' || (colon && strchr(colon + 1, ':'))};
    return end->ipv6 ? parse_ipv6(text, &end->v6) : parse_ipv4(text, &end->v4);
}

static const void *lb_key(const struct lb_named *end)
{
    return end->ipv6 ? (const void *)&end->v6 : &end->v4;
}
static uint16_t lb_port_at(const struct nf_map *part, uint32_t number, bool ipv6)
{
    const void *key = nf_map_key(part, number);
    return ipv6 ? ((const struct lb_end6 *)key)->port : ((const struct lb_end *)key)->port;
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
    uint64_t client = (uint64_t)p->saddr << 16 | p->sport, words[2];

    if (p->flags & NF_P_IPV6_READ) {
        memcpy(words, nf_packet_ipv6_addresses(p), sizeof(words));
        client = lb_mix(words[0] ^ lb_mix(words[1])) ^ p->sport;
    }
    return lb_mix(nf_map_hash(part, nf_map_key(part, number)) ^ lb_mix(client + 0x9e3779b97f4a7c15u));
}

/* No session of this lane may have the backend's answers already. */
static bool lb_is_free(const struct nf *nf, const struct nf_packet *p, const struct nf_map *part,
                       uint32_t number)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    uint16_t port = lb_port_at(part, number, ipv6);
    struct nf_tuple answer = {
        .sport = port ? port : p->dport, .dport = p->sport, .proto = p->proto, .side = !p->side};
    struct nf_addresses addresses;

    if (ipv6) {
        memcpy(addresses.source, ((const struct lb_end6 *)nf_map_key(part, number))->addr, 16);
        memcpy(addresses.destination, nf_packet_ipv6_addresses(p), 16);
        return !nf_session_known_ipv6(nf, &answer, &addresses);
    }
    answer.saddr = ((const struct lb_end *)nf_map_key(part, number))->addr;
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

/* A number is another backend's only when nobody has a flow of it any more. */
static void lb_note_ipv6(const struct nf *nf, const struct lb_end6 *is, uint32_t number, struct lb_end *end)
{
    const struct lb *lb = nf->state;
    const uint8_t *noted = lb->six->addr[number];

    *end = (struct lb_end){.port = is->port};
    if (memcmp(noted, is->addr, 16) != 0)
        memcpy(nf_edit(nf, noted, 16), is->addr, 16);
}

enum lb_counter lb_choose(const struct nf *nf, const struct nf_packet *p, struct lb_end *end,
                          uint32_t *number)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    struct nf_shared_map *backends = lb_backends(nf, ipv6);
    enum lb_counter against;
    struct nf_map *part = nf_shared_map_enter(nf, backends, 0);

    *number = lb_choose_here(nf, part, p, &against);
    if (*number != NF_NONE) {
        struct lb_backend *backend = lb_backend_edit(nf, part, *number);
        backend->connections++;
        backend->total++;
        if (ipv6)
            lb_note_ipv6(nf, nf_map_key(part, *number), *number, end);
        else
            *end = *(const struct lb_end *)nf_map_key(part, *number);
        against = LB_CREATED;
    }
    nf_shared_map_leave(nf, backends, 0);
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
static uint32_t lb_place(const struct nf *nf, struct nf_map *part, const void *key)
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
    return nf_map_add(nf, part, key);
}

static int lb_change_here(const struct nf *nf, struct nf_map *part, const void *key, bool add)
{
    uint32_t number = nf_map_find(part, key);
    if (number == NF_NONE && !add)
        return FT_ENOENT;
    if (number == NF_NONE && (number = lb_place(nf, part, key)) == NF_NONE)
        return FT_EFULL;
    struct lb_backend *backend = lb_backend_edit(nf, part, number);
    if (!add)
        backend->state = LB_GONE;
    else if (backend->state == LB_GONE)
        backend->state = LB_UP;
    return FT_OK;
}

struct lb_list lb_list_of(const struct lb_config *config, bool ipv6)
{
    return ipv6 ? (struct lb_list){(const uint8_t *)config->list6, sizeof(struct lb_end6), config->count6}
                : (struct lb_list){(const uint8_t *)config->list, sizeof(struct lb_end), config->count};
}

bool lb_lists(const struct lb_list *list, const void *key)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (memcmp(list->keys + i * list->size, key, list->size) == 0)
            return true;
    return false;
}

static int lb_change_kind(const struct nf *nf, const struct lb_list *from, const struct lb_list *to,
                          bool ipv6)
{
    struct nf_map *part = nf_shared_map_part(lb_backends(nf, ipv6), 0);
    int error = FT_OK;

    for (uint32_t i = 0; i < from->count; i++)
        if (!lb_lists(to, from->keys + i * from->size))
            lb_change_here(nf, part, from->keys + i * from->size, false);
    for (uint32_t i = 0; i < to->count && error == FT_OK; i++)
        if (!lb_lists(from, to->keys + i * to->size))
            error = lb_change_here(nf, part, to->keys + i * to->size, true);
    return error;
}

bool lb_change_all(const struct nf *nf, const struct lb_config *from, const struct lb_config *to)
{
    bool whole = true;

    for (unsigned ipv6 = 0; ipv6 <= to->ipv6 && whole; ipv6++) {
        struct lb_list was = lb_list_of(from, ipv6), is = lb_list_of(to, ipv6);

        whole = lb_change_kind(nf, &was, &is, ipv6) == FT_OK;
    }
    return whole;
}

/* False: it is no backend, or of IPv6, and there is no service of that. */
static bool lb_read_end(const struct nf *nf, const char *text, struct lb_named *end)
{
    return lb_end_parse(text, end) && (!end->ipv6 || ((const struct lb_config *)nf->config)->ipv6);
}

int lb_change(const struct nf *nf, const char *value, struct ft_fault *fault)
{
    struct lb_named end;
    if ((*value != '+' && *value != '-') || !lb_read_end(nf, value + 1, &end))
        return ft_fail(fault, FT_EINVAL, "backends=%s: expected + or - and ADDRESS or ADDRESS:PORT", value);
    struct nf_map *part = nf_shared_map_enter(nf, lb_backends(nf, end.ipv6), 0);
    int error = lb_change_here(nf, part, lb_key(&end), *value == '+');
    nf_shared_map_leave(nf, lb_backends(nf, end.ipv6), 0);
    if (error == FT_ENOENT)
        return ft_fail(fault, error, "backends=%s: there is no such backend", value);
    if (error == FT_EFULL)
        return ft_fail(fault, error, "backends=%s: there are %u already", value, LB_BACKENDS);
    return error;
}

/* The same address, and the same port where one is named. */
static bool lb_is_named(const struct nf_map *part, uint32_t number, const struct lb_named *end)
{
    uint16_t port = end->ipv6 ? end->v6.port : end->v4.port;

    return memcmp(nf_map_key(part, number), lb_key(end), end->ipv6 ? 16 : 4) == 0 &&
           (!port || lb_port_at(part, number, end->ipv6) == port);
}

int lb_state_set(const struct nf *nf, const char *name, const char *value, struct ft_fault *fault)
{
    struct lb_named end;
    unsigned state = LB_UP, found = 0;
    while (state < LB_GONE && strcmp(value, lb_state_names[state]) != 0)
        state++;
    if (!lb_read_end(nf, name, &end) || state == LB_GONE)
        return ft_fail(fault, FT_EINVAL, "backend.%s=%s: expected backend.ADDRESS[:PORT]=up, drain or down",
                       name, value);
    struct nf_map *part = nf_shared_map_enter(nf, lb_backends(nf, end.ipv6), 0);
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        if (!lb_is_named(part, number, &end) || lb_backend_at(part, number)->state == LB_GONE)
            continue;
        lb_backend_edit(nf, part, number)->state = state;
        found++;
    }
    nf_shared_map_leave(nf, lb_backends(nf, end.ipv6), 0);
    return found ? FT_OK : ft_fail(fault, FT_ENOENT, "backend.%s: there is no such backend", name);
}
