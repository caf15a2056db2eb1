/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_balancer: TCP and UDP to one service address go to one of several backends, by least connections,
 * consistent hashing or at random; answers come back from the service address. A connection stays with its
 * backend. With `vip: 0.0.0.0` every address is the service (a transparent balancer, in front of proxies or
 * caches), and answers get back the address that was asked for.
 *
 * What is not for the service passes as it is. The choice is made by flows in this lane and by backends that
 * all lanes share; see load_balancer_table.h.
 */
#include "nfs/load_balancer_table.h"

#include <arpa/inet.h>
#include <string.h>

static const char *const lb_counters[] = {LB_COUNTERS(NF_COUNTER_NAME) NULL};

static bool lb_may_answer(const struct lb_config *config, const struct nf_packet *p)
{
    return config->clients == NF_SIDES_BOTH || !nf_sides_has(config->clients, p);
}

/* By address alone: later fragments and errors have no ports of their own. */
static bool lb_is_vip(const struct lb_config *config, uint32_t addr)
{
    return !config->vip || addr == config->vip;
}

static bool lb_is_service(const struct lb_config *config, const struct nf_packet *p)
{
    bool proto = (p->proto == NF_PROTO_TCP && config->proto != LB_UDP) ||
                 (p->proto == NF_PROTO_UDP && config->proto != LB_TCP);
    return proto && lb_is_vip(config, p->daddr) && (!config->port || ntohs(p->dport) == config->port);
}

/* The word for later fragments of a datagram: its flow's slot, and 1 for what goes to the client. */
#define LB_TO_CLIENT 1u

/* ---- packets ----------------------------------------------------------------------------------- */

/* What most packets count, added up over a burst. */
struct lb_sums {
    uint32_t forwarded, returned;
};

static void lb_to_backend(const struct nf *nf, struct nf_packet *p, uint32_t slot, uint64_t now,
                          struct lb_sums *sums)
{
    const struct lb *lb = nf->state;
    const struct lb_flow *flow = lb_flow_of(lb, slot);
    nf_flows_note(nf, &lb->flows, p, slot << 1, now, LB_FRAGMENTS_FULL);
    nf_packet_set_daddr(p, flow->backend.addr);
    nf_packet_set_dport(p, flow->backend.port);
    sums->forwarded++;
}

static void lb_to_client(const struct nf *nf, struct nf_packet *p, uint32_t slot, uint64_t now,
                         struct lb_sums *sums)
{
    const struct lb *lb = nf->state;
    const struct lb_key *key = lb_key_of(lb, slot);
    lb_touch(nf, p, slot, true, now);
    nf_flows_note(nf, &lb->flows, p, slot << 1 | LB_TO_CLIENT, now, LB_FRAGMENTS_FULL);
    nf_packet_set_saddr(p, key->near);
    nf_packet_set_sport(p, key->nport);
    sums->returned++;
}

/* Where a packet may belong to a flow: as an answer, and as a client's. Found out for a whole burst first. */
struct lb_look {
    bool answer, client;
    struct lb_key back_key, key;
    uint64_t back_hash, hash;
};

static void lb_flow_packet(const struct nf *nf, struct nf_packet *p, const struct lb_look *look, uint64_t now,
                           struct lb_sums *sums)
{
    const struct lb *lb = nf->state;
    uint32_t slot = NF_NONE;

    if (look->answer) {
        slot = lb_find_back(lb, &look->back_key, look->back_hash);
        if (slot != NF_NONE) {
            lb_to_client(nf, p, slot, now, sums);
            return;
        }
    }
    if (!look->client) {
        nf_count(nf, LB_OTHER, 1);
        return;
    }
    struct lb_key key = look->key;
    slot = nf_map_find_hashed(lb->flows.map, &key, look->hash);
    if (slot != NF_NONE)
        lb_touch(nf, p, slot, false, now);
    else if ((slot = lb_create(nf, p, &key, now)) == NF_NONE)
        return;
    lb_to_backend(nf, p, slot, now, sums);
}

/* The flow may have ended meanwhile, and its slot be another's. */
static bool lb_later_of(const struct lb *lb, const struct nf_packet *p, uint32_t slot, bool reply)
{
    if (nf_map_next(lb->flows.map, slot) != slot)
        return false;
    const struct lb_key *key = lb_key_of(lb, slot);
    if (reply)
        return p->daddr == key->far && p->saddr == lb_flow_of(lb, slot)->backend.addr;
    return p->saddr == key->far && p->daddr == key->near;
}

static void lb_later(const struct nf *nf, struct nf_packet *p)
{
    const struct lb_config *config = nf->config;
    const struct lb *lb = nf->state;
    uint32_t word;

    if (!nf_fragments_find(&lb->flows, p, &word) || !lb_later_of(lb, p, word >> 1, word & 1)) {
        if (config->vip && nf_sides_has(config->clients, p) && p->daddr == config->vip)
            nf_drop(nf, p, LB_FRAGMENT_UNKNOWN);
        else
            nf_count(nf, LB_OTHER, 1);
    } else if (word & 1) {
        nf_packet_set_saddr(p, lb_key_of(lb, word >> 1)->near);
        nf_count(nf, LB_RETURNED, 1);
    } else {
        nf_packet_set_daddr(p, lb_flow_of(lb, word >> 1)->backend.addr);
        nf_count(nf, LB_FORWARD, 1);
    }
}

/* About a packet that went to a client: it is the backend that must hear of it. */
static bool lb_error_inward(const struct nf *nf, struct nf_packet *p, const struct nf_inner *in)
{
    const struct lb *lb = nf->state;
    struct lb_key key = lb_key(in->proto, in->daddr, in->dport, in->saddr, in->sport);
    uint32_t slot = nf_map_find(lb->flows.map, &key);
    if (slot == NF_NONE)
        return false;
    const struct lb_end *backend = &lb_flow_of(lb, slot)->backend;
    nf_packet_set_inner_src(p, backend->addr, backend->port);
    if (p->daddr == key.near)
        nf_packet_set_daddr(p, backend->addr);
    return true;
}

/* About a packet that went to a backend, from it or from a router before it: the client asked the service. */
static bool lb_error_outward(const struct nf *nf, struct nf_packet *p, const struct nf_inner *in)
{
    const struct lb *lb = nf->state;
    struct lb_key back = lb_key(in->proto, in->saddr, in->sport, in->daddr, in->dport);
    uint32_t slot = lb_find_back(lb, &back, nf_map_hash(lb->back, &back));
    if (slot == NF_NONE)
        return false;
    const struct lb_key *key = lb_key_of(lb, slot);
    nf_packet_set_inner_dst(p, key->near, key->nport);
    if (p->saddr == back.near)
        nf_packet_set_saddr(p, key->near);
    return true;
}

static void lb_error(const struct nf *nf, struct nf_packet *p)
{
    const struct lb_config *config = nf->config;
    bool client = nf_sides_has(config->clients, p), known = false;
    struct nf_inner in;

    nf_packet_inner(p, &in);
    if (in.proto == NF_PROTO_TCP || in.proto == NF_PROTO_UDP)
        known = (lb_may_answer(config, p) && lb_error_outward(nf, p, &in)) ||
                (client && lb_error_inward(nf, p, &in));
    if (known)
        nf_count(nf, LB_ERRORS, 1);
    else if (client && config->vip && p->daddr == config->vip)
        nf_drop(nf, p, LB_NO_FLOW);
    else
        nf_count(nf, LB_OTHER, 1);
}

static bool lb_is_flow(const struct nf_packet *p)
{
    return nf_packet_has_ends(p) && p->proto != NF_PROTO_ICMP;
}

static void lb_one(const struct nf *nf, struct nf_packet *p, const struct lb_look *look, uint64_t now,
                   struct lb_sums *sums)
{
    if (p->flags & NF_P_BAD)
        nf_drop(nf, p, LB_MALFORMED);
    else if (!(p->flags & NF_P_IPV4))
        nf_count(nf, LB_OTHER, 1);
    else if (p->flags & NF_P_LATER)
        lb_later(nf, p);
    else if (p->flags & NF_P_ICMP_ERROR)
        lb_error(nf, p);
    else if (lb_is_flow(p))
        lb_flow_packet(nf, p, look, now, sums);
    else
        nf_count(nf, LB_OTHER, 1);
}

static void lb_look_up(const struct nf *nf, const struct nf_packet *p, struct lb_look *look)
{
    const struct lb_config *config = nf->config;
    const struct lb *lb = nf->state;

    look->answer = lb_may_answer(config, p);
    look->client = nf_sides_has(config->clients, p) && lb_is_service(config, p);
    if (look->answer) {
        look->back_key = lb_key(p->proto, p->daddr, p->dport, p->saddr, p->sport);
        look->back_hash = nf_map_hash(lb->back, &look->back_key);
        nf_map_prefetch(lb->back, look->back_hash);
    }
    if (look->client) {
        look->key = lb_key(p->proto, p->saddr, p->sport, p->daddr, p->dport);
        look->hash = nf_map_hash(lb->flows.map, &look->key);
        nf_map_prefetch(lb->flows.map, look->hash);
    }
}

/* Cache misses first: the buckets of the whole burst, then its entries, are under way before the first one is
 * needed. */
static void lb_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct lb *lb = nf->state;
    struct lb_look look[NF_BURST_MAX];
    struct lb_sums sums = {0, 0};

    for (uint32_t i = 0; i < n; i++) {
        look[i].answer = look[i].client = false;
        if (lb_is_flow(packets[i]))
            lb_look_up(nf, packets[i], &look[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (look[i].answer)
            nf_map_prefetch_entry(lb->back, look[i].back_hash);
        if (look[i].client)
            nf_map_prefetch_entry(lb->flows.map, look[i].hash);
    }
    for (uint32_t i = 0; i < n; i++)
        lb_one(nf, packets[i], &look[i], now, &sums);
    if (sums.forwarded)
        nf_count(nf, LB_FORWARD, sums.forwarded);
    if (sums.returned)
        nf_count(nf, LB_RETURNED, sums.returned);
}

/* ---- showing ----------------------------------------------------------------------------------- */

static void lb_show_backends(const struct nf *nf, struct nf_show *out)
{
    const struct lb *lb = nf->state;
    const struct nf_map *part = nf_shared_map_part(lb->backends, 0);
    for (uint32_t number = 0; (number = nf_map_next(part, number)) != NF_NONE; number++) {
        const struct lb_backend *backend = nf_map_value(part, number);
        const struct lb_end *end = nf_map_key(part, number);
        nf_row(out);
        nf_row_end(out, "backend", end->addr, end->port);
        nf_row_text(out, "state", "%s", lb_state_names[backend->state % (LB_GONE + 1)]);
        nf_row_u64(out, "connections", backend->connections);
        nf_row_u64(out, "total", backend->total);
    }
}

static void lb_show_flow(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct lb_key *key = lb_key_of(nf->state, slot);
    const struct lb_flow *flow = lb_flow_of(nf->state, slot);
    nf_row(out);
    nf_row_proto(out, key->proto);
    nf_row_end(out, "client", key->far, key->fport);
    nf_row_end(out, "service", key->near, key->nport);
    nf_row_end(out, "to", flow->backend.addr, flow->backend.port);
    nf_row_text(out, "state", "%s", key->proto == NF_PROTO_TCP ? nf_tcp_state_name(flow->flow.tcp) : "open");
    nf_row_u64(out, "packets", flow->packets);
    nf_row_u64(out, "last_ns", flow->flow.seen);
}

/* Backends, then the flows of this lane. */
static bool lb_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct lb *lb = nf->state;
    if (*cursor == 0) {
        lb_show_backends(nf, out);
        *cursor = 1;
    }
    return nf_show_slots(nf, lb->flows.map, 1, out, cursor, lb_show_flow);
}

/* ---- the module -------------------------------------------------------------------------------- */

static const char *const lb_policies[] = {"least_connections", "consistent", "random", NULL};
static const char *const lb_protos[] = {"tcp", "udp", "both", NULL};
static const struct nf_param lb_params[] = {
    NF_PARAM(struct lb_config, vip, NF_IPV4, NULL, "the service's address; 0.0.0.0: any", .own = true),
    NF_NUMBER(struct lb_config, port, NF_U32, 0, 65535, "0", "its port; 0: any"),
    NF_ONE_OF(struct lb_config, proto, lb_protos, "tcp", "its protocol"),
    NF_PARAM(struct lb_config, backends, NF_STRING, "",
             "ADDRESS or ADDRESS:PORT, with blanks or commas between them"),
    NF_ONE_OF(struct lb_config, policy, lb_policies, "least_connections", "who gets a new flow"),
    NF_ONE_OF(struct lb_config, clients, nf_sides_names, "outside", "where clients are"),
    NF_MAX_FLOWS_PARAM(struct lb_config, flows, "flows at most"),
    NF_MAX_FRAGMENTS_PARAM(struct lb_config, flows),
    NF_TCP_UDP_PARAMS(struct lb_config, flows),
    {0},
};

static const struct nf_module lb_module = {
    .name = "load_balancer",
    .summary = "one service address, several backends",
    .reads = NF_READS_HEADERS,
    .params = lb_params,
    .config_size = sizeof(struct lb_config),
    .state_size = sizeof(struct lb),
    .counters = lb_counters,
    .check = lb_check,
    .arena = lb_arena,
    .shared = lb_shared,
    .make = lb_make,
    .process = lb_process,
    .timers = lb_timers,
    .show = lb_show,
    .set = lb_set,
    .clear = lb_clear,
    .check_state = lb_check_state,
};
NF_MODULE(lb_module)
