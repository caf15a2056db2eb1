/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions one by one: beginning, ageing and ending them, and an operator's view of them; see session.h. */
#include "nflib/module/heap.h"
#include "nflib/session/table.h"
#include "nflib/shared/shared.h"
#include "nflib/state/watch.h"

#include <string.h>

#define SHOW_LOOKS 1024u /* sessions looked at in a call, the NF's or not */
/* Sections that a burst must have left where a session is displaced, since NFs that hear of it enter some. */
#define DISPLACE_LEFT (NF_SHARED_RESERVE / 2 + NF_BURST_MAX)

static struct nf_session *edit_head(const struct nf *nf, const struct nf_session *s)
{
    return ft_edit_in_line(nf->region, s, sizeof(*s));
}

/* For those that are in it now. */
static void set_timer(const struct nf *nf, const struct nf_session *s, uint64_t now)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint64_t end = s->members ? s->seen + nf_session_timeout(t, s) : now;

    nf_wheel_set(&nf_sessions_lane(nf)->nfs[0], t->wheel, nf_session_number(t, s), end > now ? end : now);
}

/* ---- joining and leaving ----------------------------------------------------------------------- */

/* NULL: the table is full. With its first key and without a timer, which it gets when a packet passes. */
static const struct nf_session *begin_session(struct nf_sessions_lane *lane, const struct nf_tuple *key,
                                              struct nf_packet *p, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    uint32_t record = nf_session_take(nf, t);
    struct nf_session *s;

    if (record == NF_NONE)
        return NULL;
    *NF_EDIT(nf, &t->serial) += 1;
    s = edit_head(nf, nf_session_at(t, record));
    *s = (struct nf_session){.seen = now, .serial = t->serial};
    s->key[0] = *key;
    s->key[0].own[0] =
        p->proto == NF_PROTO_TCP && p->flags & NF_P_L4 ? nf_tcp_first(p->tcp_flags) : NF_TCP_NONE;
    s->key[0].own[1] = nf_timeout_class(p->proto, s->key[0].own[0]);
    s->key[1].own[0] = NF_SESSION_NEW;
    if (key->ipv6)
        *NF_EDIT(nf, &nf_session_addresses(t, record)->key[0]) = lane->addresses[p - lane->packets];
    nf_session_use(nf, t, record);
    nf_session_host_begin(nf, t, record);
    nf_session_enter(nf, t, record << 1, &s->key[0]);
    NF_WATCH(changed, t, &s->key[0]);
    lane->beginner[lane->burst.fresh] = p;
    lane->begun[lane->burst.fresh++] = record;
    return s;
}

static bool is_full(const struct nf *nf, bool begins)
{
    const struct nf_sessions *t = nf->env->sessions->table;

    return t->in_use[nf->index] >= t->max_flows[nf->index] || (begins && t->count == t->capacity);
}

/* Which session ends for the packet's; NF_NONE: none may, or the burst may not enter `sections` more. */
static uint32_t find_room(const struct nf *nf, const struct nf_packet *p, const struct nf_session_need *need,
                          uint32_t sections)
{
    return nf_shared_left(nf) < sections ? NF_NONE : nf_session_displaceable(nf, p, need);
}

static bool has_room(const struct nf *nf, const struct nf_packet *p)
{
    return !is_full(nf, !p->session) && !nf_session_host_full(nf, p);
}

/* What an NF does between this and its join may enter up to NF_BURST_MAX sections. */
bool nf_session_room(const struct nf *nf, const struct nf_packet *p)
{
    return ft_likely(has_room(nf, p)) || find_room(nf, p, NULL, DISPLACE_LEFT + NF_BURST_MAX) != NF_NONE;
}

static void displace_session(const struct nf *nf, uint32_t record, uint64_t now)
{
    nf_session_pass_on(&nf_sessions_lane(nf)->nfs[0], nf->env->sessions->table, record);
    nf_session_finish(nf, record, NF_SESSION_DISPLACED, now);
}

static bool make_room(const struct nf *nf, const struct nf_packet *p, uint64_t now)
{
    uint32_t record;

    if (ft_likely(has_room(nf, p)))
        return true;
    record = find_room(nf, p, NULL, DISPLACE_LEFT);
    if (record != NF_NONE)
        displace_session(nf, record, now);
    return record != NF_NONE;
}

bool nf_session_displace(const struct nf *nf, const struct nf_packet *p, const struct nf_session_need *need,
                         uint64_t now)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    uint32_t record = NF_NONE;
    bool of_host = nf_session_host_full(nf, p); /* which has none of its own: others may have some */

    if (lane->vain_nf != nf->index)
        lane->vain = 0;
    lane->vain_nf = nf->index;
    if (of_host || !(lane->vain >> need->kind & 1))
        record = find_room(nf, p, need, DISPLACE_LEFT + NF_BURST_MAX);
    if (record != NF_NONE)
        displace_session(nf, record, now);
    else if (!of_host)
        lane->vain |= 1u << need->kind;
    return record != NF_NONE;
}

/* Its host begins no more: without a session its answer would begin one, as another host's. */
static void refuse_host(const struct nf *nf, struct nf_packet *p)
{
    if (nf->module->host_full) {
        nf_drop(nf, p, nf->module->host_full - 1u);
        return;
    }
    p->drop = NF_SESSIONS_HOST_FULL;
    p->drop_nf = NF_DROP_SESSIONS;
}

const struct nf_session *nf_session_join(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_sessions *t = lane->burst.table;
    const struct nf_session *s = nf_session_of(nf, p);

    if (!(p->flow & NF_FLOW_KEYED))
        return NULL;
    if (ft_unlikely(!make_room(nf, p, now))) {
        if (!s && nf_session_host_full(nf, p))
            refuse_host(nf, p);
        return NULL;
    }
    if (!s)
        s = p->session = begin_session(lane, &lane->look[p - lane->packets].key, p, now);
    if (!s)
        return NULL;
    FT_CHECK(!nf_session_has(nf, s), "%s joins a session again", nf->module->name);
    edit_head(nf, s)->members |= 1u << nf->index;
    memset(nf_edit(nf, nf_session_slot(nf, s), t->slot_size[nf->index]), 0, t->slot_size[nf->index]);
    (*NF_EDIT(nf, &t->in_use[nf->index]))++;
    return s;
}

void nf_session_leave(const struct nf *nf, const struct nf_session *s, uint64_t now)
{
    const struct nf_sessions *t = nf->env->sessions->table;

    FT_CHECK(nf_session_has(nf, s), "%s leaves a session that it is not in", nf->module->name);
    edit_head(nf, s)->members &= ~(1u << nf->index);
    (*NF_EDIT(nf, &t->in_use[nf->index]))--;
    /* What nobody is in ends by its timer, soon, and not now: packets of this burst may point to it. */
    if (!(nf_session_flags(s) & NF_SESSION_NEW))
        set_timer(nf, s, now);
}

/* ---- ending ------------------------------------------------------------------------------------ */

/* The NF is notified, and what it does then is known to be its doing. */
static void notify_end(const struct nf_sessions_lane *lane, struct nf *nf, const struct nf_session *s,
                       enum nf_session_why why, uint64_t now)
{
    uint32_t before = atomic_load_explicit(lane->running, memory_order_relaxed);
    uint8_t counter = why == NF_SESSION_IDLE        ? nf->module->expired
                      : why == NF_SESSION_DISPLACED ? nf->module->displaced
                                                    : 0;
    const struct nf *caller;

    if (nf_is_bypassed(nf->env->state, nf->index))
        return;
    if (counter)
        nf_count(nf, counter - 1u, 1);
    if (ft_unlikely(nf->env->log != NULL) && nf->module->session_tell && why != NF_SESSION_REFUSED)
        nf->module->session_tell(nf, s, true, why, now);
    if (!nf->module->session_end)
        return;
    atomic_store_explicit(lane->running, nf->index, memory_order_relaxed);
    caller = nf->heap ? nf_heap_enter(nf) : NULL;
    nf->module->session_end(nf, s, why, now);
    if (nf->heap)
        nf_heap_leave(caller);
    atomic_store_explicit(lane->running, before, memory_order_relaxed);
}

void nf_session_finish(const struct nf *nf, uint32_t record, enum nf_session_why why, uint64_t now)
{
    struct nf_sessions_lane *lane = nf_sessions_lane(nf);
    const struct nf_sessions *t = lane->burst.table;
    const struct nf_session *s = nf_session_at(t, record);
    const struct nf *own = &lane->nfs[0];

    for (uint32_t left = s->members; left; left &= left - 1) {
        struct nf *member = &lane->nfs[__builtin_ctz(left)];

        notify_end(lane, member, s, why, now);
        (*NF_EDIT(own, &t->in_use[member->index]))--;
    }
    NF_WATCH(changed, t, &s->key[0]);
    nf_session_take_from_order(own, t, record);
    if (nf_session_is_listed(s))
        nf_session_host_unlist(own, t, record);
    nf_session_host_end(own, t, record);
    nf_session_forget(own, t, record << 1, &s->key[0]);
    if (!(nf_session_flags(s) & (NF_SESSION_NEW | NF_SESSION_ONE_KEY)))
        nf_session_forget(own, t, record << 1 | 1, &s->key[1]);
    nf_wheel_cancel(own, t->wheel, record);
    nf_session_give(own, t, record);
}

void nf_session_end(const struct nf *nf, const struct nf_session *s, uint64_t now)
{
    nf_session_finish(nf, nf_session_number(nf->env->sessions->table, s), NF_SESSION_CLEARED, now);
}

void nf_sessions_leave(struct nf_sessions_lane *lane, const struct nf *nf, uint64_t now)
{
    const struct nf_sessions *t = lane->burst.table;
    const struct nf *own = &lane->nfs[0];

    memset(NF_EDIT(own, &t->walks[nf->index]), 0, sizeof(t->walks[nf->index]));
    for (uint32_t n = nf_session_next(t, 0); n != NF_NONE; n = nf_session_next(t, n + 1)) {
        const struct nf_session *s = nf_session_at(t, n);

        if (!nf_session_has(nf, s))
            continue;
        edit_head(own, s)->members &= ~(1u << nf->index);
        (*NF_EDIT(own, &t->in_use[nf->index]))--;
        if (!s->members || nf->module->translates)
            nf_session_finish(own, n, NF_SESSION_CLEARED, now);
    }
}

/* ---- timers ------------------------------------------------------------------------------------ */

static void one_due(struct nf_sessions_lane *lane, uint32_t number, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    uint64_t end;

    if (number >= t->capacity) {
        nf_fragments_remove(nf, t, number - t->capacity);
        return;
    }
    end = nf_session_at(t, number)->seen + nf_session_timeout(t, nf_session_at(t, number));
    if (end > now && nf_session_at(t, number)->members)
        nf_wheel_set(nf, t->wheel, number, end);
    else
        nf_session_finish(nf, number, NF_SESSION_IDLE, now);
}

/* The operator's change of the NF, for a session that it is in. */
static void change_session(const struct nf *nf, const struct nf_session *s, uint64_t now)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    const struct nf_session_walk *walk = &t->walks[nf->index];
    bool clear = walk->what & (NF_SESSION_LEAVE | NF_SESSION_END) && (int32_t)(walk->serial - s->serial) >= 0;

    if (clear && (walk->what & NF_SESSION_END || s->members == 1u << nf->index)) {
        nf_session_end(nf, s, now);
        return;
    }
    if (clear) {
        notify_end(nf_sessions_lane(nf), (struct nf *)(uintptr_t)nf, s, NF_SESSION_CLEARED, now);
        nf_session_leave(nf, s, now);
    } else {
        set_timer(nf, s, now);
    }
}

/* A part of an operator's change. NFs that hear of an end may enter sections. */
static void walk_on(const struct nf *nf, uint64_t now)
{
    const struct nf *own = &nf_sessions_lane(nf)->nfs[0];
    const struct nf_session_walk *walk = &nf->env->sessions->table->walks[nf->index];
    uint32_t at = walk->at, looks = NF_SESSION_LOOKS, most = NF_SESSION_ROUNDS * NF_SESSION_DUE;
    const struct nf_session *s;

    for (; most && nf_shared_left(nf) >= NF_SHARED_RESERVE + FT_NFS_MAX &&
           (s = nf_sessions_next_near(nf, &at, &looks));
         at++, most--)
        change_session(nf, s, now);
    NF_EDIT(own, walk)->at = at;
    if (at == NF_NONE)
        NF_EDIT(own, walk)->what = 0;
    else
        nf_wake(own, now);
}

/* NFs that hear of an end may enter sections of what they share, each once. */
void nf_sessions_timers(struct nf_sessions_lane *lane, uint64_t now)
{
    const struct nf *nf = &lane->nfs[0];
    const struct nf_sessions *t = lane->burst.table;
    uint32_t due[NF_SESSION_DUE], n = NF_SESSION_DUE;

    for (uint32_t i = 1; i <= t->nfs; i++)
        if (t->walks[i].what)
            walk_on(&lane->nfs[i], now);
    for (unsigned round = 0; round < NF_SESSION_ROUNDS && n == NF_SESSION_DUE; round++) {
        if (nf_shared_left(nf) < 2 * NF_SESSION_DUE + NF_SHARED_RESERVE) {
            nf_wake(nf, now);
            return;
        }
        n = nf_wheel_due(nf, t->wheel, now, due, NF_SESSION_DUE);
        for (uint32_t i = 0; i < n; i++)
            one_due(lane, due[i], now);
    }
}

/* ---- for operators ----------------------------------------------------------------------------- */

uint32_t nf_sessions_count(const struct nf *nf)
{
    return nf->env->sessions->table->in_use[nf->index];
}

uint32_t nf_sessions_max(const struct nf *nf)
{
    return nf->env->sessions->table->max_flows[nf->index];
}

const struct nf_session *nf_sessions_next_near(const struct nf *nf, uint32_t *at, uint32_t *left)
{
    const struct nf_sessions *t = nf->env->sessions->table;

    for (; *left && (*at = nf_session_next(t, *at)) != NF_NONE; ++*at) {
        --*left;
        if (nf_session_has(nf, nf_session_at(t, *at)))
            return nf_session_at(t, *at);
    }
    return NULL;
}

const struct nf_session *nf_sessions_next(const struct nf *nf, uint32_t *at)
{
    uint32_t left = UINT32_MAX;

    return nf_sessions_next_near(nf, at, &left);
}

bool nf_sessions_show(const struct nf *nf, uint64_t first, struct nf_show *out, uint64_t *cursor,
                      void (*row)(const struct nf *nf, struct nf_show *out, const struct nf_session *s))
{
    const struct nf_session *s;
    uint32_t at = (uint32_t)(*cursor - first), left = SHOW_LOOKS;

    for (; (s = nf_sessions_next_near(nf, &at, &left)); at++) {
        *cursor = first + at;
        if (nf_show_full(out))
            return true;
        row(nf, out, s);
    }
    *cursor = first + at;
    return at != NF_NONE;
}

void nf_session_row_ends(const struct nf *nf, struct nf_show *out, const struct nf_session *s,
                         const char *source, const char *destination)
{
    struct nf_addresses addresses;
    struct nf_addr from, to;
    struct nf_tuple ends;

    nf_session_view(nf, s, &ends);
    if (nf_session_of_errors(s))
        ends.sport = ends.dport = 0;
    from = nf_addr_of_ipv4(ends.saddr);
    to = nf_addr_of_ipv4(ends.daddr);
    if (nf_session_sees_ipv6(nf, s)) {
        nf_session_view_ipv6(nf, s, &addresses);
        from = nf_addr_of_ipv6(addresses.source);
        to = nf_addr_of_ipv6(addresses.destination);
    }
    nf_row_addr(out, source, &from, ends.sport);
    nf_row_addr(out, destination, &to, ends.dport);
}

/* An operator's change, for all sessions that the NF is in; another one that is under way begins again. */
static void begin_walk(const struct nf *nf, uint32_t what, uint64_t now)
{
    const struct nf *own = &nf_sessions_lane(nf)->nfs[0];
    struct nf_session_walk *walk = NF_EDIT(own, &nf->env->sessions->table->walks[nf->index]);

    walk->what |= what;
    walk->at = 0;
    if (what & (NF_SESSION_LEAVE | NF_SESSION_END))
        walk->serial = nf->env->sessions->table->serial;
    nf_wake(own, now);
}

int nf_sessions_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    int class = nf_timeout_set(nf, t->timeouts[nf->index], key, value, fault);

    if (class < 0)
        return class;
    begin_walk(nf, NF_SESSION_RETIME, now);
    return FT_OK;
}

uint32_t nf_sessions_timeout(const struct nf *nf, enum nf_timeout class)
{
    const struct nf_sessions_burst *sessions = nf->env->sessions;

    return sessions ? sessions->table->timeouts[nf->index][class] : 0;
}

int nf_sessions_set_all(struct nf *nf, const char *key, const char *value, uint64_t now,
                        struct ft_fault *fault)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    uint32_t seconds;

    if (strcmp(key, "timeout") != 0)
        return ft_fail(fault, FT_ENOENT, "%s: no such setting, expected timeout", key);
    if (!nf_number_parse(value, 1, NF_TIMEOUT_MAX, &seconds))
        return ft_fail(fault, FT_EINVAL, "%s=%s: expected seconds from 1 to %u", key, value, NF_TIMEOUT_MAX);
    nf_timeouts_fill(nf_edit(nf, t->timeouts[nf->index], sizeof(t->timeouts[0])), seconds);
    begin_walk(nf, NF_SESSION_RETIME, now);
    return FT_OK;
}

void nf_sessions_clear(const struct nf *nf, bool end, uint64_t now)
{
    const struct nf_sessions *t = nf->env->sessions->table;

    begin_walk(nf, end ? NF_SESSION_END : NF_SESSION_LEAVE, now);
    /* Fragments of all NFs: which of them let a datagram pass is not known. */
    while (nf->module->fragments_full && t->fragments && t->arrived.first)
        nf_fragments_remove(&nf_sessions_lane(nf)->nfs[0], t, nf_list_first(&t->arrived));
}

int nf_sessions_clear_all(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all flows are cleared", key);
    nf_sessions_clear(nf, false, now);
    return FT_OK;
}
