/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of sessions: records, the index that leads to them by either key, timers. Owns the one object
 * that it allocates in the lane's arena; the lane writes and reads it.
 *
 *     struct nf_sessions          shape and seed, then counts
 *     struct nf_session_bucket[]  one line each: 8 tags, 8 references, how many passed over it
 *     used[]                      one bit a record, for walking them in order
 *     records                     whole lines each: struct nf_session, then the slots. A free one holds the
 *                                 number of the next free one + 1
 *     struct nf_session_link[]    8 bytes each: those that may give way, in order
 *     struct nf_session_addresses[]    one line each, where an NF wants IPv6: the addresses of each key
 *     uint32_t[]                  the host that began each, where an NF limits flows of a host (hosts.c)
 *
 * A look-up reads one bucket and one record, whichever side the packet came in on. Buckets work as those of a
 * map (nflib/state/map.c): no tombstones, and nothing ever moves.
 */
#include "nflib/module/module.h"
#include "nflib/session/index.h"
#include "nflib/state/watch.h"

#include <string.h>

#define TICK          (NF_SECOND / 10) /* of a timer */
#define PLACES_FILLED 5u               /* of a bucket at capacity, on average */

/* ---- shape ------------------------------------------------------------------------------------- */

static uint64_t round_up_to_line(uint64_t bytes)
{
    return (bytes + FT_LINE - 1) & ~(uint64_t)(FT_LINE - 1);
}

/* The first place of `size` bytes that is not taken and lies in one line, or begins one. `taken`: a bit for
 * each 8 bytes of up to 4 KiB. */
static uint32_t place_slot(uint8_t taken[512], uint32_t size)
{
    uint32_t words = (size + 7) / 8;

    for (uint32_t at = sizeof(struct nf_session) / 8;; at++) {
        uint32_t n = 0;

        FT_CHECK(at + words <= 512, "slots of more than 4 KiB in a session");
        if (at % 8 && at % 8 + words > 8)
            continue;
        while (n < words && !taken[at + n])
            n++;
        if (n < words)
            continue;
        memset(taken + at, 1, words);
        return at * 8;
    }
}

/* Larger slots first, so that small ones fill the lines. Returns the bytes of a record. */
static uint32_t place_slots(struct nf_sessions *t, const struct nf_sessions_wants *wants)
{
    uint8_t taken[512] = {0};
    uint32_t end = sizeof(struct nf_session);

    for (;;) {
        uint32_t next = 0;

        for (uint32_t i = 1; i <= wants->nfs; i++)
            if (wants->module[i]->session_size && !t->slot_at[i] &&
                (!next || wants->module[i]->session_size > wants->module[next]->session_size))
                next = i;
        if (!next)
            return (uint32_t)round_up_to_line(end);
        t->slot_size[next] = wants->module[next]->session_size;
        t->slot_at[next] = (uint16_t)place_slot(taken, t->slot_size[next]);
        if (t->slot_at[next] + (uint32_t)t->slot_size[next] > end)
            end = t->slot_at[next] + t->slot_size[next];
    }
}

/* Fills what is constant but for pointers; returns the bytes of the table without wheel and fragments. */
static uint64_t shape_table(struct nf_sessions *t, const struct nf_sessions_wants *wants)
{
    bool serves = false;
    uint64_t end;

    memset(t, 0, sizeof(*t));
    t->capacity = wants->capacity;
    t->nfs = (uint16_t)wants->nfs;
    t->stride = place_slots(t, wants);
    t->buckets = (uint32_t)((2ull * t->capacity + PLACES_FILLED - 1) / PLACES_FILLED);
    t->used_at = sizeof(*t) + (uint64_t)t->buckets * sizeof(struct nf_session_bucket);
    t->records_at = t->used_at + round_up_to_line(((uint64_t)t->capacity + 63) / 64 * 8);
    t->links_at = t->records_at + (uint64_t)t->capacity * t->stride;
    end = t->links_at + round_up_to_line((uint64_t)t->capacity * sizeof(struct nf_session_link));
    t->addresses_at = wants->ipv6 ? end : 0;
    for (uint32_t i = 1; i <= wants->nfs; i++) {
        t->max_flows[i] = wants->flows[i].max_flows;
        t->max_flows_per_host[i] = wants->flows[i].max_flows_per_host;
        if (t->max_flows_per_host[i] > t->host_limit[NF_INSIDE])
            t->host_limit[NF_INSIDE] = t->max_flows_per_host[i];
        serves |= wants->module[i]->serves_outside;
        if (wants->module[i]->translates & NF_FAMILY)
            t->family = (uint16_t)i;
        memcpy(t->timeouts[i], wants->flows[i].timeouts, sizeof(t->timeouts[i]));
    }
    t->host_limit[NF_OUTSIDE] = serves ? 0 : t->host_limit[NF_INSIDE];
    end += wants->ipv6 ? (uint64_t)t->capacity * sizeof(struct nf_session_addresses) : 0;
    t->host_of_at = wants->hosts ? end : 0;
    return wants->hosts ? end + round_up_to_line((uint64_t)t->capacity * sizeof(uint32_t)) : end;
}

/* ---- fragments and hosts, which a table has if an NF asks for them ------------------------------- */

static uint64_t fragments_bytes(uint32_t datagrams, bool ipv6)
{
    return nf_map_bytes(datagrams, nf_datagram_bytes(ipv6), sizeof(struct nf_noted)) +
           nf_lists_bytes(datagrams, 0);
}

/* Fills the pointers of `shape`. So make_hosts. */
static bool make_fragments(struct nf *nf, struct nf_sessions *shape, uint32_t datagrams, bool ipv6)
{
    shape->fragments = nf_map_make(nf, datagrams, nf_datagram_bytes(ipv6), sizeof(struct nf_noted));
    shape->by_arrival = nf_lists_make(nf, datagrams, 0);
    if (!shape->fragments || !shape->by_arrival)
        return false;
    nf_lists_take_all(nf, shape->by_arrival);
    return true;
}

static uint64_t hosts_bytes(uint32_t capacity, bool ipv6)
{
    return nf_map_bytes(capacity, ipv6 ? 16 : 4, sizeof(struct nf_session_host)) +
           (ipv6 ? nf_map_bytes(capacity, 8, sizeof(struct nf_session_network)) : 0) +
           2 * nf_lists_bytes(capacity, 0);
}

static bool make_hosts(struct nf *nf, struct nf_sessions *shape, bool ipv6)
{
    shape->hosts = nf_map_make(nf, shape->capacity, ipv6 ? 16 : 4, sizeof(struct nf_session_host));
    if (ipv6 && !(shape->networks = nf_map_make(nf, shape->capacity, 8, sizeof(struct nf_session_network))))
        return false;
    shape->of_hosts = nf_lists_make(nf, shape->capacity, 0);
    shape->ranks = nf_lists_make(nf, shape->capacity, 0);
    if (!shape->hosts || !shape->of_hosts || !shape->ranks)
        return false;
    nf_lists_take_all(nf, shape->of_hosts);
    nf_lists_take_all(nf, shape->ranks);
    return true;
}

/* ---- making ------------------------------------------------------------------------------------ */

void nf_sessions_want(struct nf_sessions_wants *wants, uint32_t index, const struct nf_module *module,
                      const void *config)
{
    struct nf_flows_config *flows = &wants->flows[index];

    wants->nfs = index;
    wants->module[index] = module;
    memset(flows, 0, sizeof(*flows));
    if (!module->session_size)
        return;
    module->flows(config, flows);
    wants->ipv6 |= module->ipv6 && module->ipv6(config);
    wants->hosts |= flows->max_flows_per_host != 0;
    if (flows->max_flows > wants->capacity)
        wants->capacity = flows->max_flows;
    if (flows->max_fragments > wants->fragments)
        wants->fragments = flows->max_fragments;
}

uint64_t nf_sessions_bytes(const struct nf_sessions_wants *wants)
{
    struct nf_sessions t;
    uint64_t bytes;

    if (!wants->capacity)
        return 0;
    bytes = shape_table(&t, wants) + nf_wheel_bytes(wants->capacity + wants->fragments);
    if (wants->fragments)
        bytes += fragments_bytes(wants->fragments, wants->ipv6);
    if (wants->hosts)
        bytes += hosts_bytes(wants->capacity, wants->ipv6);
    return bytes;
}

/* Which NFs translate an end of a packet before NF i gets it. */
static void order_nfs(struct nf_sessions_lane *lane, uint32_t nfs)
{
    for (uint32_t i = 1; i <= nfs; i++)
        for (uint32_t other = 1; other <= nfs; other++) {
            const struct nf_module *module = lane->nfs[other].module;
            unsigned side = other < i ? NF_INSIDE : NF_OUTSIDE;
            uint8_t source = NF_SOURCE | (side == NF_INSIDE ? NF_INSIDE_END : 0);
            uint8_t destination = NF_DESTINATION | (side == NF_OUTSIDE ? NF_INSIDE_END : 0);

            if (other == i)
                continue;
            lane->burst.before[i][side][0] |= (uint32_t)((module->translates & source) != 0) << other;
            lane->burst.before[i][side][1] |= (uint32_t)((module->translates & destination) != 0) << other;
            lane->burst.stateless |= (uint32_t)!module->session_size << other;
        }
}

/* For operators: the table as such, and what each NF may have of it. */
static void register_tables(const struct nf_sessions_lane *lane, const struct nf_sessions_wants *wants)
{
    const struct nf_sessions *t = lane->burst.table;

    nf_table_add(&lane->nfs[0],
                 (struct nf_table){.name = "sessions", .count = &t->count, .parts = 1, .limit = t->capacity});
    if (t->fragments)
        nf_table_add_map(&lane->nfs[0], "fragments", t->fragments);
    for (uint32_t i = 1; i <= wants->nfs; i++)
        if (t->max_flows[i])
            nf_table_add(&lane->nfs[i],
                         (struct nf_table){
                             .name = "flows", .count = &t->in_use[i], .parts = 1, .limit = t->max_flows[i]});
}

bool nf_sessions_make(struct nf_sessions_lane *lane, const struct nf_sessions_wants *wants)
{
    struct nf *nf = &lane->nfs[0];
    struct nf_sessions shape, *t;
    uint64_t bytes = shape_table(&shape, wants);
    bool whole;

    t = ft_arena_alloc(nf->arena, bytes);
    if (!t)
        return false;
    shape.seed = nf_random(nf);
    shape.wheel = nf_wheel_make(nf, wants->capacity + wants->fragments, TICK);
    whole = shape.wheel && (!wants->fragments || make_fragments(nf, &shape, wants->fragments, wants->ipv6)) &&
            (!wants->hosts || make_hosts(nf, &shape, wants->ipv6));
    if (!whole)
        return false;
    *NF_EDIT(nf, t) = shape;
    nf_constant(nf, t, offsetof(struct nf_sessions, slot_size) + sizeof(t->slot_size));
    nf_object(nf, t, "sessions", nf_sessions_check);
    NF_WATCH(table, t, bytes);
    lane->burst.table = t;
    lane->burst.family = t->family ? 1u << t->family : 0;
    for (uint32_t i = 1; i <= wants->nfs; i++)
        lane->nfs[i].session_at = t->slot_at[i];
    order_nfs(lane, wants->nfs);
    register_tables(lane, wants);
    return true;
}
