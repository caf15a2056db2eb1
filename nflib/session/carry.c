/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that go on in another table, since their chain was changed: the records of NFs that stay, with
 * their keys, times and slots. Index, timers and places are made anew. By the lane that works for all, while
 * no lane runs; owns nothing.
 */
#include "nflib/session/index.h"

#include <stdlib.h>
#include <string.h>

/* A move under way. */
struct carrying {
    const struct nf_sessions_lane *to;
    const struct nf *nf; /* the lane's own */
    const struct nf_sessions *t;
    const struct nf_sessions_carry *how;
    uint32_t *places; /* [capacity of the old table] where its records are now + 1; 0: they are not */
};

/* Its NFs, by their places in the new chain. */
static uint32_t members_now(const struct carrying *c, const struct nf_session *s)
{
    uint32_t members = 0;

    for (uint32_t i = 1; i <= c->t->nfs; i++)
        members |= (c->how->was[i] ? s->members >> c->how->was[i] & 1 : 0u) << i;
    return members;
}

static void carry_slots(const struct carrying *c, const struct nf_session *old, struct nf_session *s)
{
    for (uint32_t i = 1; i <= c->t->nfs; i++)
        if (s->members >> i & 1)
            memcpy((uint8_t *)s + c->t->slot_at[i],
                   (const uint8_t *)old + c->how->old->slot_at[c->how->was[i]], c->t->slot_size[i]);
}

static void enter_keys(const struct carrying *c, uint32_t record, const struct nf_session *s)
{
    nf_session_use(c->nf, c->t, record);
    nf_session_enter(c->nf, c->t, record << 1, &s->key[0]);
    if (!(nf_session_flags(s) & NF_SESSION_ONE_KEY))
        nf_session_enter(c->nf, c->t, record << 1 | 1, &s->key[1]);
}

static bool carry_session(struct carrying *c, uint32_t number, uint64_t now)
{
    const struct nf_session *old = nf_session_at(c->how->old, number);
    uint32_t members = members_now(c, old), record;
    struct nf_session *s;
    uint64_t end;

    if (!members)
        return true; /* of NFs alone that were taken out */
    record = nf_session_take(c->nf, c->t);
    if (record == NF_NONE)
        return false;
    s = (struct nf_session *)(uintptr_t)nf_session_at(c->t, record);
    memset(s, 0, c->t->stride);
    *s = *old;
    s->members = members;
    carry_slots(c, old, s);
    if (s->key[0].ipv6 || s->key[1].ipv6) /* then some NF that stays joins them */
        *(struct nf_session_addresses *)(uintptr_t)nf_session_addresses(c->t, record) =
            *nf_session_addresses(c->how->old, number);
    enter_keys(c, record, s);
    nf_session_host_begin(c->nf, c->t, record);
    if (nf_session_is_listed(s)) /* in the order of records: how old each is was not kept */
        nf_session_host_list(c->nf, c->t, record);
    end = s->seen + nf_session_timeout(c->t, s);
    nf_wheel_set(c->nf, c->t->wheel, record, end > now ? end : now);
    for (; members; members &= members - 1)
        ((struct nf_sessions *)(uintptr_t)c->t)->in_use[__builtin_ctz(members)]++;
    c->places[number] = record + 1;
    return true;
}

/* As they were. */
static void carry_orders(const struct carrying *c)
{
    const struct nf_sessions *old = c->how->old;

    for (uint32_t order = 0; order < NF_SESSION_ORDERS; order++)
        for (uint32_t at = old->order[order].oldest; at; at = nf_session_link(old, at - 1)->younger)
            if (c->places[at - 1])
                nf_session_put_in_order(c->nf, c->t, c->places[at - 1] - 1);
}

/* In the order of arrival: in a smaller table the oldest give way. What is not carried is later fragments of
 * datagrams under way, where the table of those is another. */
static void carry_fragments(const struct carrying *c, uint64_t now)
{
    const struct nf_map *from = c->how->old_fragments;

    if (!from || !c->t->fragments || !c->how->old->addresses_at != !c->t->addresses_at)
        return;
    for (uint32_t i = nf_list_first(&c->how->old->arrived); i != NF_NONE;
         i = nf_list_next(c->how->old_arrival, i)) {
        struct nf_noted noted = *(const struct nf_noted *)nf_map_value(from, i);

        if (noted.record != NF_NONE && !c->places[noted.record])
            continue;
        noted.record = noted.record == NF_NONE ? NF_NONE : c->places[noted.record] - 1;
        nf_fragments_note(c->nf, c->t, nf_map_key(from, i), noted, now);
    }
}

/* An operator's live timeouts stay, unless the file sets another one than before. */
static void carry_timeouts(const struct carrying *c, struct nf_sessions *t)
{
    for (uint32_t i = 1; i <= t->nfs; i++)
        for (unsigned class = 0; c->how->was[i] && class < NF_TIMEOUT_COUNT; class ++)
            if (t->timeouts[i][class] == c->how->from->flows[c->how->was[i]].timeouts[class])
                t->timeouts[i][class] = c->how->old->timeouts[c->how->was[i]][class];
}

static int check_room(const struct carrying *c, struct ft_fault *fault)
{
    const struct nf_sessions *t = c->t;

    for (uint32_t i = 1; i <= t->nfs; i++)
        if (t->max_flows[i] && t->in_use[i] > t->max_flows[i])
            return ft_fail(fault, FT_EFULL,
                           "nf %u: %s max_flows: it has %u flows in lane %u, expected at most %u", i,
                           c->to->nfs[i].module->name, t->in_use[i], c->nf->lane, t->max_flows[i]);
    return FT_OK;
}

static int carry_all(struct carrying *c, uint64_t now, struct ft_fault *fault)
{
    const struct nf_sessions *old = c->how->old;

    for (uint32_t number = 0; (number = nf_session_next(old, number)) != NF_NONE; number++)
        if (!carry_session(c, number, now))
            return ft_fail(fault, FT_EFULL, "sessions: there are %u in lane %u, expected at most %u",
                           old->count, c->nf->lane, c->t->capacity);
    carry_orders(c);
    carry_fragments(c, now);
    return check_room(c, fault);
}

int nf_sessions_carry(const struct nf_sessions_lane *to, const struct nf_sessions_carry *how, uint64_t now,
                      struct ft_fault *fault)
{
    struct nf_sessions *t = (struct nf_sessions *)(uintptr_t)to->burst.table;
    struct carrying c = {.to = to, .nf = &to->nfs[0], .t = t, .how = how};
    uint32_t due;
    int error;

    c.places = calloc(how->old->capacity, sizeof(*c.places)); /* lint: config-time */
    if (!c.places)
        return ft_fail(fault, FT_ENOMEM, "no memory to move %u sessions", how->old->count);
    t->seed = how->old->seed; /* keys of IPv6 are made with it */
    t->serial = how->old->serial;
    t->conflicts = how->old->conflicts;
    carry_timeouts(&c, t);
    nf_wheel_due(c.nf, t->wheel, now, &due, 1); /* it is empty: its time is this now */
    error = carry_all(&c, now, fault);
    free(c.places); /* lint: config-time */
    return error;
}
