/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_balancer: TCP and UDP to one service address go to one of several backends, by least connections,
 * consistent hashing or at random; answers come back from the service address. A connection stays with its
 * backend. With `vip: 0.0.0.0` every address is the service (a transparent balancer, in front of proxies or
 * caches), and answers get back the address that was asked for.
 *
 * `vip6` is the same service over IPv6, with backends of IPv6. What is not for the service passes as it is.
 * State: the backends, those of IPv4 and those of IPv6, shared by all lanes, each kind behind one section:
 * its state, how many connections it has. Of this instance: its slots in the chain's sessions.
 */
#include "nfs/load_balancer.h"

#include <arpa/inet.h>
#include <string.h>

#define LB_SWEEP 512u  /* flows of dead backends in one burst */
#define LB_LOOKS 4096u /* sessions looked at for them */

#define LB_COUNTERS(X)                                                                                       \
    X(LB_FORWARD, "forwarded")                                                                               \
    X(LB_RETURNED, "returned")                                                                               \
    X(LB_ERRORS, "icmp_errors_translated")                                                                   \
    X(LB_CREATED, "flows_created")                                                                           \
    X(LB_EXPIRED, "flows_expired")                                                                           \
    X(LB_DISPLACED, "flows_displaced")     /* a new one has its place in a full table */                     \
    X(LB_CUT, "flows_cut")                 /* their backend went down */                                     \
    X(LB_OTHER, "other")                   /* passed as it is: nothing of the service's */                   \
    X(LB_FRAGMENTS_FULL, "fragments_full") /* not dropped: the oldest datagram gave way */                   \
    X(LB_MALFORMED, "malformed")           /* dropped, as all that follow */                                 \
    X(LB_NO_BACKEND, "no_backend")         /* none is up */                                                  \
    X(LB_NO_FLOW, "no_flow")               /* a reset, or an error, about nothing known */                   \
    X(LB_CONFLICT, "conflict")             /* answers of every backend that is up would be another flow's */ \
    X(LB_TABLE_FULL, "table_full")                                                                           \
    X(LB_FRAGMENT_UNKNOWN, "fragment_unknown") /* later fragment to the service, first one not seen */
enum lb_counter { LB_COUNTERS(NF_COUNTER) };
static const char *const lb_counters[] = {LB_COUNTERS(NF_COUNTER_NAME) NULL};
static const char *const lb_state_names[] = {"up", "drain", "down", "gone", NULL};

/* ---- backends, which all lanes share ------------------------------------------------------------------- */

/* "A.B.C.D", "A.B.C.D:PORT", an address of IPv6, or "[ADDRESS]:PORT". */
static bool lb_end_parse(const char *text, struct lb_end *end)
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

/* The configuration lists it. */
static bool lb_lists(const struct lb_config *config, const struct lb_end *end)
{
    bool ipv6 = nf_addr_is_ipv6(&end->addr);

    for (uint32_t i = 0; i < config->count[ipv6]; i++)
        if (memcmp(&config->list[ipv6][i], end, sizeof(*end)) == 0)
            return true;
    return false;
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

/* The side on which the backend's answers come in: by the chain's routes, perhaps that of the client. */
static uint8_t lb_answers_side(const struct nf *nf, const struct nf_packet *p, const struct lb_end *end)
{
    uint8_t header[40] = {0};
    struct nf_packet to = {.data = header, .flags = p->flags, .side = p->side};

    if (p->flags & NF_P_IPV6_READ)
        memcpy(header + 24, end->addr.byte, 16);
    else
        to.daddr = nf_addr_ipv4(&end->addr);
    return nf_out_side(nf, &to);
}

/* No session of this lane may have the backend's answers already. */
static bool lb_is_free(const struct nf *nf, const struct nf_packet *p, const struct nf_map *part,
                       uint32_t number)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    const struct lb_end *end = lb_end_at(part, number);
    struct nf_tuple answer = {.sport = end->port ? end->port : p->dport,
                              .dport = p->sport,
                              .proto = p->proto,
                              .side = lb_answers_side(nf, p, end) & 1};
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
    for (uint32_t i = 1; i < n; i++) {
        const struct lb_backend *is = lb_backend_at(part, list[i]), *was = lb_backend_at(part, list[best]);

        if (config->policy == LB_CONSISTENT
                ? lb_weight(part, list[i], p) > lb_weight(part, list[best], p)
                : is->connections < was->connections ||
                      (is->connections == was->connections && is->total < was->total))
            best = i;
    }
    return list[best];
}

/* Gives one of them one more connection, for a client's packet and by the policy: which one, in *flow, with
 * the packet's own port where it names none. LB_CREATED, or the counter of the reason why not. */
static enum lb_counter lb_choose(const struct nf *nf, const struct nf_packet *p, struct lb_flow *flow)
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

/* Bit i: number i is down or gone and still has flows, in some lane. */
static uint64_t lb_dead(const struct nf *nf, bool ipv6)
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

/* What one list has and the other has not, while the chain is changed and no lane runs. False: there are too
 * many. */
static bool lb_change_all(const struct nf *nf, const struct lb_config *from, const struct lb_config *to)
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

/* "+ADDRESS:PORT" or "-…". It may be done again, since every lane gets the command; so lb_state_set. */
static int lb_change(const struct nf *nf, const char *value, struct ft_fault *fault)
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

/* "up", "drain" or "down" for all backends of an address, or for one of its ports. */
static int lb_state_set(const struct nf *nf, const char *name, const char *value, struct ft_fault *fault)
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
static int lb_check(void *c, struct ft_fault *fault)
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

static bool lb_ipv6(const void *config)
{
    return ((const struct lb_config *)config)->ipv6;
}

static void lb_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct lb_config *)config)->flows;
}

static uint64_t lb_shared(const void *config, unsigned lanes)
{
    (void)lanes;
    return (lb_ipv6(config) ? 2 : 1) *
           nf_shared_map_bytes(LB_BACKENDS, sizeof(struct lb_end), sizeof(struct lb_backend), 1);
}

static bool lb_make(struct nf *nf)
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

/* What an operator has added or taken away by hand stays so, unless the file sets another thing for it than
 * before. */
static bool lb_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
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

/* A flow for a client's packet, its first packet counted; or the packet dropped and NULL. */
static const struct nf_session *lb_create(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct lb *lb = nf->state;
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
    if (lb->look == UINT64_MAX) { /* the first flow: from now on the backends are looked at */
        *NF_EDIT(nf, &lb->look) = now + NF_SECOND;
        nf_wake(nf, lb->look);
    }
    nf_count(nf, LB_CREATED, 1);
    return s;
}

/* All flows that end are taken off the backends' counts together: by lb_timers, in this burst or the next. */
static void lb_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    struct lb *lb = nf->state;
    uint32_t number = lb_flow_of(nf, s)->number;

    (void)why;
    FT_CHECK(number < LB_BACKENDS, "load_balancer: a flow of backend %u", number);
    *NF_EDIT(nf, &lb->ended[nf_session_sees_ipv6(nf, s)][number]) += 1;
    nf_wake(nf, now);
}

static void lb_subtract_ended(const struct nf *nf)
{
    const struct lb *lb = nf->state;

    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++) {
        struct nf_map *part = NULL;

        for (uint32_t i = 0; i < LB_BACKENDS; i++) {
            uint32_t count = lb->ended[ipv6][i];

            if (!count)
                continue;
            if (!part)
                part = nf_shared_map_enter(nf, lb_backends(nf, ipv6), 0);
            lb_backend_edit(nf, part, i)->connections -= count;
            *NF_EDIT(nf, &lb->ended[ipv6][i]) = 0;
        }
        if (part)
            nf_shared_map_leave(nf, lb_backends(nf, ipv6), 0);
    }
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
    lb_subtract_ended(nf);
    return at == NF_NONE;
}

static void lb_timers(struct nf *nf, uint64_t now)
{
    struct lb *lb = nf->state;

    lb_subtract_ended(nf);
    if (lb->look <= now) { /* the operator's change of a backend may have come through another lane */
        uint64_t dead[NF_FAMILIES] = {lb_dead(nf, false), lb->backends[NF_IP6] ? lb_dead(nf, true) : 0};
        bool whole = !(dead[0] | dead[1]) || lb_sweep(nf, dead, now);
        *NF_EDIT(nf, &lb->look) = !whole ? now : nf_sessions_count(nf) ? now + NF_SECOND : UINT64_MAX;
    }
    if (lb->look != UINT64_MAX)
        nf_wake(nf, lb->look);
}

/* ---- packets ----------------------------------------------------------------------------------- */

/* The address of a flow's backend. */
static struct nf_addr lb_address(const struct nf *nf, const struct lb_flow *flow, bool ipv6)
{
    const struct lb *lb = nf->state;
    return ipv6 ? lb->addr[flow->number] : nf_addr_of_ipv4(flow->addr);
}

/* By address alone. */
static bool lb_is_to_service(const struct lb_config *config, const struct nf_packet *p, bool ipv6)
{
    struct nf_addr to = nf_packet_to(p, ipv6);
    return nf_addr_same(&config->service[ipv6], &to);
}

static bool lb_has_proto(const struct lb_config *config, uint8_t proto)
{
    return (proto == NF_PROTO_TCP && config->proto != LB_UDP) ||
           (proto == NF_PROTO_UDP && config->proto != LB_TCP);
}
static bool lb_has_port(const struct lb_config *config, uint16_t port)
{
    return !config->port || ntohs(port) == config->port;
}

static bool lb_is_service(const struct lb_config *config, const struct nf_packet *p, bool ipv6)
{
    return lb_has_proto(config, p->proto) && lb_has_port(config, p->dport) &&
           (config->any[ipv6] || lb_is_to_service(config, p, ipv6));
}

/* From a client to the one service address. */
static bool lb_is_for_service(const struct lb_config *config, const struct nf_packet *p)
{
    bool ipv6 = p->flags & NF_P_IPV6;

    return nf_sides_has(config->clients, p) && !config->any[ipv6] && lb_is_to_service(config, p, ipv6);
}

/* Other NFs may have other protocols and ports of that address: `proto` is that of the flow, for a packet
 * that has no ports of its own. */
static bool lb_is_asked(const struct lb_config *config, const struct nf_packet *p, uint8_t proto)
{
    return lb_has_proto(config, proto) && lb_is_for_service(config, p);
}

/* What most packets count, added up over a burst. */
struct lb_sums {
    uint32_t forwarded, returned, other;
};

/* An end of the packet, or of the one that it quotes; its port where TCP's or UDP's header is there. */
static void lb_set_source(struct nf_packet *p, const struct nf_addr *addr, uint16_t port)
{
    if (p->flags & NF_P_IPV6)
        nf_packet_set_source_ipv6(p, addr->byte, port);
    else
        nf_packet_set_source(p, nf_addr_ipv4(addr), port);
}

static void lb_set_destination(struct nf_packet *p, const struct nf_addr *addr, uint16_t port)
{
    if (p->flags & NF_P_IPV6)
        nf_packet_set_destination_ipv6(p, addr->byte, port);
    else
        nf_packet_set_destination(p, nf_addr_ipv4(addr), port);
}

/* The address that the client asked, and its port. */
static struct nf_addr lb_asked(const struct nf *nf, const struct nf_session *s, bool ipv6, uint16_t *port)
{
    struct nf_addresses addresses;
    struct nf_tuple ends;

    nf_session_view(nf, s, &ends);
    *port = ends.dport;
    if (!ipv6)
        return nf_addr_of_ipv4(ends.daddr);
    nf_session_view_ipv6(nf, s, &addresses);
    return nf_addr_of_ipv6(addresses.destination);
}

static void lb_to_backend(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                          struct lb_sums *sums)
{
    const struct lb_flow *flow = lb_flow_of(nf, s);
    struct nf_addr addr = lb_address(nf, flow, p->flags & NF_P_IPV6);

    lb_set_destination(p, &addr, flow->port);
    sums->forwarded++;
}

/* A packet with ports, or a later fragment, which has the address alone changed, of a flow. */
static void lb_known(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                     struct lb_sums *sums)
{
    struct nf_addr asked;
    uint16_t port;

    NF_SESSION_EDIT(nf, s, struct lb_flow)->packets++;
    if (!(p->flow & NF_FLOW_REPLY)) {
        lb_to_backend(nf, p, s, sums);
        return;
    }
    asked = lb_asked(nf, s, p->flags & NF_P_IPV6, &port);
    lb_set_source(p, &asked, port);
    sums->returned++;
}

/* The same of a packet of IPv4 whose flow the chain has found. */
static inline __attribute__((always_inline)) void lb_settled(const struct nf *nf, struct nf_packet *p,
                                                             const struct nf_session *s, struct lb_sums *sums)
{
    struct lb_flow *flow = NF_SESSION_EDIT(nf, s, struct lb_flow);
    struct nf_tuple ends;

    flow->packets++;
    if (p->flow & NF_FLOW_REPLY) {
        nf_session_view(nf, s, &ends);
        nf_packet_set_source(p, ends.daddr, ends.dport);
        sums->returned++;
    } else {
        nf_packet_set_destination(p, flow->addr, flow->port);
        sums->forwarded++;
    }
}

static void lb_flow_packet(const struct nf *nf, struct nf_packet *p, uint64_t now, struct lb_sums *sums)
{
    const struct lb_config *config = nf->config;
    const struct nf_session *s = nf_session_mine(nf, p);

    if (s) {
        lb_known(nf, p, s, sums);
        return;
    }
    if (!nf_sides_has(config->clients, p) || !lb_is_service(config, p, p->flags & NF_P_IPV6) ||
        (p->session && !(nf_session_flags(p->session) & NF_SESSION_NEW)))
        sums->other++; /* or of a flow that is known, and not balanced */
    else if ((s = lb_create(nf, p, now)))
        lb_to_backend(nf, p, s, sums);
}

static void lb_later(const struct nf *nf, struct nf_packet *p, struct lb_sums *sums)
{
    const struct nf_session *s = nf_session_mine(nf, p);
    bool passed = nf_session_later(nf, p); /* its first one has, and so do the others */

    if (s && passed)
        lb_known(nf, p, s, sums);
    else if (!passed && lb_is_asked(nf->config, p, p->proto))
        nf_drop(nf, p, LB_FRAGMENT_UNKNOWN);
    else
        sums->other++;
}

/* `reply`: the error is about a packet to a backend, and comes from the backend or a router before it. The
 * client knows the service alone, so the error gets the service's address as its source (RFC 5508, 4.2). Else
 * the error is about a packet to a client, and goes to the backend. */
static void lb_translate_error(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                               bool reply)
{
    bool ipv6 = p->flags & NF_P_IPV6;
    const struct lb_flow *flow = lb_flow_of(nf, s);
    struct nf_addr backend = lb_address(nf, flow, ipv6), to = nf_packet_to(p, ipv6);
    uint16_t port;
    struct nf_addr asked = lb_asked(nf, s, ipv6, &port);

    if (reply) {
        if (ipv6)
            nf_packet_set_inner_dst_ipv6(p, asked.byte, port);
        else
            nf_packet_set_inner_dst(p, nf_addr_ipv4(&asked), port);
        lb_set_source(p, &asked, 0);
    } else {
        if (ipv6)
            nf_packet_set_inner_src_ipv6(p, backend.byte, flow->port);
        else
            nf_packet_set_inner_src(p, nf_addr_ipv4(&backend), flow->port);
        if (nf_addr_same(&to, &asked))
            lb_set_destination(p, &backend, 0);
    }
}

/* What an error quotes is of the service, by its protocol and port. */
static bool lb_is_quoted(const struct lb_config *config, const struct nf_packet *p)
{
    struct nf_inner in;

    nf_packet_inner(p, &in);
    return lb_is_asked(config, p, in.proto) && lb_has_port(config, in.sport);
}

static void lb_error(const struct nf *nf, struct nf_packet *p, struct lb_sums *sums)
{
    bool reply;
    const struct nf_session *s = nf_session_quoted(nf, p, &reply);

    if (s && nf_session_has(nf, s)) {
        lb_translate_error(nf, p, s, reply);
        nf_count(nf, LB_ERRORS, 1);
    } else if (!s && lb_is_quoted(nf->config, p)) { /* else of a flow that is known, and not balanced */
        nf_drop(nf, p, LB_NO_FLOW);
    } else {
        sums->other++;
    }
}

/* An error to the service's address that does not identify the flow it is about, unless it is about one of a
 * protocol that the service does not have. */
static bool lb_is_unread(const struct lb_config *config, const struct nf_packet *p)
{
    uint8_t proto;

    return nf_packet_is_unread_error(p, &proto) && (!proto || lb_has_proto(config, proto)) &&
           lb_is_for_service(config, p);
}

static void lb_one(const struct nf *nf, struct nf_packet *p, uint64_t now, struct lb_sums *sums)
{
    const struct lb_config *config = nf->config;

    if (p->flags & NF_P_BAD)
        nf_drop(nf, p, LB_MALFORMED);
    else if (!(p->flags & NF_P_IPV4) && !(p->flags & NF_P_IPV6_READ && config->ipv6))
        sums->other++;
    else if (p->flags & NF_P_LATER)
        lb_later(nf, p, sums);
    else if (p->flags & NF_P_ICMP_ERROR)
        lb_error(nf, p, sums);
    else if (p->flags & NF_P_L4 && nf_proto_is_ported(p->proto))
        lb_flow_packet(nf, p, now, sums);
    else if (lb_is_unread(config, p))
        nf_drop(nf, p, LB_NO_FLOW);
    else
        sums->other++;
}

static void lb_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct lb_sums sums = {0, 0, 0};

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (ft_unlikely(!(p->flow & NF_FLOW_SETTLED)))
            lb_one(nf, p, now, &sums);
        else if (nf_session_has(nf, p->session))
            lb_settled(nf, p, p->session, &sums);
        else
            sums.other++; /* its flow began without this NF */
    }
    if (sums.forwarded)
        nf_count(nf, LB_FORWARD, sums.forwarded);
    if (sums.returned)
        nf_count(nf, LB_RETURNED, sums.returned);
    if (sums.other)
        nf_count(nf, LB_OTHER, sums.other);
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

static int lb_check_state(const struct nf *nf, struct nf_check *c)
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

static int lb_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
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
static int lb_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    nf_sessions_clear(nf, true, now);
    return FT_OK;
}

/* ---- showing ----------------------------------------------------------------------------------- */

static void lb_show_backends(struct nf_show *out, const struct nf_map *part)
{
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        const struct lb_backend *backend = nf_map_value(part, number);
        const struct lb_end *end = nf_map_key(part, number);

        nf_row(out);
        nf_row_addr(out, "backend", &end->addr, end->port);
        nf_row_text(out, "state", "%s", lb_state_names[backend->state % (LB_GONE + 1)]);
        nf_row_u64(out, "connections", backend->connections);
        nf_row_u64(out, "total", backend->total);
    }
}

static void lb_show_flow(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct lb_flow *flow = lb_flow_of(nf, s);
    struct nf_addr backend = lb_address(nf, flow, nf_session_sees_ipv6(nf, s));
    uint8_t proto = nf_session_proto(nf, s);

    nf_row(out);
    nf_row_proto(out, proto);
    nf_session_row_ends(nf, out, s, "client", "service");
    nf_row_addr(out, "to", &backend, flow->port);
    nf_row_text(out, "state", "%s", proto == NF_PROTO_TCP ? nf_tcp_state_name(nf_session_tcp(s)) : "open");
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "last_ns", s->seen);
}

/* Backends, then the flows of this lane. */
static bool lb_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct lb *lb = nf->state;

    if (*cursor == 0) {
        for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
            if (lb->backends[ipv6])
                lb_show_backends(out, nf_shared_map_part(lb->backends[ipv6], 0));
        *cursor = 1;
    }
    return nf_sessions_show(nf, 1, out, cursor, lb_show_flow);
}

/* A client's packets and the answers to it have its address in common, and no other: a backend's is not known
 * before it is chosen. So packets are dealt by the side that clients are on. */
static enum nf_scope lb_scope(const void *config)
{
    switch (((const struct lb_config *)config)->clients) {
    case NF_SIDES_INSIDE:
        return NF_OF_INSIDE;
    case NF_SIDES_OUTSIDE:
        return NF_OF_OUTSIDE;
    default:
        return NF_OF_CHAIN;
    }
}

static bool lb_take_ports(const void *config, unsigned i, struct nf_ports *out)
{
    const struct lb_config *c = config;

    if (i || c->any[NF_IP4] || c->clients == NF_SIDES_INSIDE)
        return false;
    *out = (struct nf_ports){.addr = c->vip,
                             .first = (uint16_t)c->port,
                             .last = c->port ? (uint16_t)c->port : 65535,
                             .protos = (c->proto != LB_UDP ? NF_PORTS_TCP : 0) |
                                       (c->proto != LB_TCP ? NF_PORTS_UDP : 0),
                             .begins = true};
    return true;
}

/* ---- the module -------------------------------------------------------------------------------- */

static const char *const lb_policies[] = {"least_connections", "consistent", "random", NULL};
static const char *const lb_protos[] = {"tcp", "udp", "both", NULL};
static const struct nf_param lb_params[] = {
    NF_PARAM(struct lb_config, vip, NF_IPV4, NULL, "the service's address; 0.0.0.0: any",
             .marks = NF_PARAM_OWN),
    NF_NUMBER(struct lb_config, port, NF_U32, 0, 65535, "0", "its port; 0: any"),
    NF_ONE_OF(struct lb_config, proto, lb_protos, "tcp", "its protocol"),
    NF_PARAM(struct lb_config, backends, NF_STRING, "",
             "ADDRESS or ADDRESS:PORT, of IPv6 [ADDRESS]:PORT, with blanks or commas between them",
             .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct lb_config, policy, lb_policies, "least_connections", "who gets a new flow",
              .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct lb_config, clients, nf_sides_names, "outside", "where clients are"),
    NF_MAX_FLOWS_PARAM(struct lb_config, flows, "flows at most"),
    NF_MAX_FRAGMENTS_PARAM(struct lb_config, flows),
    NF_TCP_UDP_PARAMS(struct lb_config, flows),
    NF_PARAM_AT(struct lb_config, "vip6", vip6_text, NF_STRING, "",
                "the service's address of IPv6; \"::\": any", .marks = NF_PARAM_ADDED),
    {0},
};

static const struct nf_module lb_module = {
    .name = "load_balancer",
    .version = 4,
    .summary = "one service address, several backends",
    .reads = NF_READS_FLOW,
    .params = lb_params,
    .config_size = sizeof(struct lb_config),
    .state_size = sizeof(struct lb),
    .counters = lb_counters,
    .check = lb_check,
    .shared = lb_shared,
    .make = lb_make,
    .scope = lb_scope,
    .process = lb_process,
    .timers = lb_timers,
    .show = lb_show,
    .set = lb_set,
    .clear = lb_clear,
    .check_state = lb_check_state,
    .session_size = sizeof(struct lb_flow),
    .ipv6 = lb_ipv6,
    .translates = NF_DESTINATION,
    .serves_outside = true,
    .fragments_full = LB_FRAGMENTS_FULL + 1,
    .conflict = LB_CONFLICT + 1,
    .flows = lb_flows,
    .session_end = lb_session_end,
    .expired = LB_EXPIRED + 1,
    .displaced = LB_DISPLACED + 1,
    .settings = "backends, backend.ADDRESS[:PORT]",
    .carry = lb_carry,
    .ports = lb_take_ports,
};
NF_MODULE(lb_module)
