/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the running of a chain: order of NFs, timers, packets made by NFs, and the lane's own state in arena
 * (lane, 0). Run by one thread, the lane's, live and in replay alike. Everything that outlives a burst is in
 * the region; what is here (instances, buffers of made packets) is rebuilt from the configuration.
 */
#include "ftcore/region/audit.h"
#include "ftcore/base/cpu.h"
#include "nflib/chain/l3_parts.h"
#include "nflib/chain/mark.h"
#include "nflib/chain/parts.h"
#include "nflib/chain/payload_guard.h"
#include "nflib/module/heap.h"
#include "nflib/net/packet.h"
#include "nflib/shared/shared.h"
#include "nflib/state/watch.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- NFs that change the family of packets ----------------------------------------------------- */

/*
 * What a chain does for an NF that changes the family of packets (NF_FAMILY): those of IPv4 from outside,
 * which may grow, get headroom, and UDP's checksum, which IPv6 does not do without. Owns the frames that
 * have headroom, in memory of the process, of one burst.
 */

bool nf_chain_moves_frames(const struct nf_chain *chain)
{
    return chain->headroom;
}

/* Of UDP in IPv4 with all of its bytes there. */
static uint16_t sum_udp(const struct nf_packet *p)
{
    const uint8_t *udp = p->data + p->l4;
    uint16_t sum = nf_ipv4_checksum(p->data + p->l3 + 12, NF_PROTO_UDP, udp, ntohs(nf_get16(udp + 4)));

    return sum ? sum : 0xffff;
}

/* The payload is no part of a record of headers: what is made of it is one. */
static void complete_sum(const struct nf_chain *chain, const struct nf_packet *p)
{
    uint8_t *at = p->data + p->l4 + 6;
    uint16_t sum;

    if ((p->flags & (NF_P_L4 | NF_P_FRAGMENT)) != NF_P_L4 || p->proto != NF_PROTO_UDP || nf_get16(at))
        return;
    sum = p->have == p->len ? sum_udp(p) : 0;
    nf_determinant(&chain->nfs[0], &sum, sizeof(sum));
    nf_put16(at, sum);
}

static void give_headroom(struct nf_chain *chain, struct nf_packet *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = &packets[i];
        uint8_t *to = chain->headroom + (size_t)i * NF_HEADROOM_FRAME + NF_HEADROOM;

        if (p->side != NF_OUTSIDE || !(p->flags & NF_P_IPV4))
            continue;
        memcpy(to, p->data, p->have);
        p->data = to;
        complete_sum(chain, p);
    }
}

/* ---- the chain ----------------------------------------------------------------------------------- */

#define AHEAD 4u /* packets between prefetch and parse */

/* ---- looking ---- */

const struct nf_lane_state *nf_chain_state(const struct nf_chain *chain)
{
    return chain->state;
}

const struct nf_tables *nf_chain_tables(const struct nf_chain *chain)
{
    return &chain->env.tables;
}

const struct nf_log *nf_chain_log(const struct nf_chain *chain)
{
    return chain->env.log ? chain->env.log->state : NULL;
}

void nf_chain_log_told(struct nf_chain *chain, struct nf_log_told told)
{
    chain->env.log_told = told;
}

uint64_t nf_chain_wake(const struct nf_chain *chain)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i <= chain->count; i++)
        if (chain->state->wake[i] < first)
            first = chain->state->wake[i];
    return first;
}

bool nf_chain_due(const struct nf_chain *chain, uint64_t now)
{
    uint64_t wake = nf_chain_wake(chain);
    return wake != UINT64_MAX && wake <= now;
}

const struct nf *nf_chain_any(const struct nf_chain *chain, unsigned index)
{
    return index <= chain->count ? &chain->nfs[index] : NULL;
}

static void add_tally(uint64_t *to, uint32_t n)
{
    __atomic_store_n(to, *to + n, __ATOMIC_RELAXED);
}

void nf_chain_tally(struct nf_chain *chain, struct nf_tally tally[])
{
    memset(tally, 0, FT_NFS_MAX * sizeof(*tally));
    chain->tally = tally;
}

struct nf_tally nf_tally_read(const struct nf_tally *t)
{
    return (struct nf_tally){.packets = __atomic_load_n(&t->packets, __ATOMIC_RELAXED),
                             .dropped = __atomic_load_n(&t->dropped, __ATOMIC_RELAXED)};
}

struct nf *nf_chain_nf(const struct nf_chain *chain, unsigned index)
{
    return index >= 1 && index <= chain->count ? (struct nf *)(uintptr_t)&chain->nfs[index] : NULL;
}

struct nf *nf_chain_find(const struct nf_chain *chain, const char *name)
{
    for (uint32_t i = 0; i <= chain->count; i++)
        if (chain->nfs[i].module && strcmp(chain->nfs[i].module->name, name) == 0)
            return (struct nf *)(uintptr_t)&chain->nfs[i];
    return NULL;
}

uint32_t nf_chain_emitted(const struct nf_chain *chain, const struct nf_emitted **list)
{
    *list = chain->list;
    return chain->listed;
}

void nf_chain_trace(struct nf_chain *chain, struct nf_trace *trace, unsigned lane, uint64_t time)
{
    nf_tracing_join(&chain->tracing, trace, lane, time);
}

void nf_chain_mark(struct nf_chain *chain, struct nf_mark *mark)
{
    chain->mark = mark;
    chain->sessions.running = &mark->nf;
    chain->sessions.ends = &mark->ends;
}

/* ---- running ---- */

static void open_burst(struct nf_chain *chain)
{
    chain->listed = 0;
    if (chain->open)
        return;
    chain->env.emitted = 0;
    if (!chain->follow) {
        ft_sections_begin(&chain->sections, chain->state->access);
        nf_determinants_begin(&chain->determinants, false);
    }
    chain->follow = false;
    chain->open = true;
}

void nf_chain_open(struct nf_chain *chain)
{
    FT_CHECK(!chain->open, "two commands in one burst");
    open_burst(chain);
}

/* What an NF does is audited by itself, so that a breach has its name. */
static void begin_nf(const struct nf_chain *chain, const struct nf *nf)
{
    if (ft_unlikely(nf->heap != NULL))
        nf_heap_enter(nf);
    if (ft_unlikely(chain->guard != NULL))
        ft_audit_running(nf->module->name, nf->lane);
}

static void end_nf(struct nf_chain *chain, const struct nf *nf)
{
    if (ft_unlikely(nf->heap != NULL))
        nf_heap_leave(NULL);
    if (ft_likely(!chain->guard))
        return;
    ft_audit_check_nf(chain->region, nf->lane);
    ft_audit_running(NULL, nf->lane);
}

/* The wake time is reset first, so that what the timers ask for remains. */
static void run_timers(struct nf_chain *chain, uint64_t now)
{
    for (uint32_t i = 0; i <= chain->count; i++) {
        const uint64_t *wake = &chain->state->wake[i];
        if (*wake == UINT64_MAX || *wake > now)
            continue;
        *(uint64_t *)ft_edit(chain->region, wake, sizeof(*wake)) = UINT64_MAX;
        nf_mark(chain->mark, NF_DOING_TIMERS, i);
        if (i == 0 && chain->env.sessions)
            nf_sessions_timers(&chain->sessions, now);
        if (!chain->nfs[i].module || !chain->nfs[i].module->timers || nf_is_bypassed(chain->state, i))
            continue;
        begin_nf(chain, &chain->nfs[i]);
        chain->nfs[i].module->timers(&chain->nfs[i], now);
        end_nf(chain, &chain->nfs[i]);
    }
}

/* Makes packet `i` of the burst of what identifies it. One that names no session is a frame of which nothing
 * is there, and makes the burst one that cannot be replayed. */
static void restore(struct nf_chain *chain, struct nf_packet *p, uint32_t i)
{
    uint8_t *frame = chain->restored[i];

    p->data = frame;
    if (chain->env.sessions && nf_session_restore(&chain->sessions, &chain->session_input[i], p, frame)) {
        if (chain->l3 && p->in_port < chain->l3->config->ports)
            memcpy(frame, chain->l3->config->port[p->in_port].mac, 6);
        return;
    }
    chain->names_none = true;
    memset(frame, 0, NF_RESTORED_BYTES);
    p->have = 0;
    nf_packet_parse(p);
    p->parsed = 0;
}

static __attribute__((noinline)) void restore_by_session(struct nf_chain *chain)
{
    const struct nf_session_input *input = chain->session_input;
    uint32_t n = chain->burst.n;

    chain->sessions.packets = chain->env.inputs;
    for (uint32_t i = 0; i < n + AHEAD; i++) {
        if (i < n && input[i].key != NF_NONE && chain->env.sessions)
            nf_session_expect(&chain->sessions, &input[i]);
        if (i >= AHEAD && input[i - AHEAD].key != NF_NONE)
            restore(chain, &chain->env.inputs[i - AHEAD], i - AHEAD);
    }
}

static void parse_all(struct nf_packet *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n && i < AHEAD; i++)
        __builtin_prefetch(packets[i].data);
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = &packets[i];
        p->out_port = p->in_port ^ 1;
        p->drop = p->drop_nf = p->flow = 0;
        p->session = NULL;
        if (!p->parsed) { /* capture has not looked at it */
            if (i + AHEAD < n)
                __builtin_prefetch(p[AHEAD].data);
            nf_packet_parse(p);
        }
        p->parsed = 0; /* NFs rewrite */
    }
}

static void read_unsummed(struct nf_packet *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (packets[i].flags & NF_P_BAD && packets[i].bad == NF_BAD_CHECKSUM) {
            nf_packet_parse_unsummed(&packets[i]);
            packets[i].parsed = 0;
        }
}

static uint32_t keep_passing(struct nf_packet *list[], uint32_t n)
{
    uint32_t kept = 0;
    uint8_t dropped = 0;
    for (uint32_t i = 0; i < n; i++)
        dropped |= list[i]->drop;
    if (ft_likely(!dropped))
        return n;
    for (uint32_t i = 0; i < n; i++)
        if (!list[i]->drop)
            list[kept++] = list[i];
    return kept;
}

/* False: there are no sessions, and no NF will begin one. */
static bool looks_up(const struct nf_chain *chain)
{
    if (!chain->env.sessions)
        return false;
    if (ft_likely(chain->env.sessions->table->count))
        return true;
    for (uint32_t i = 1; i <= chain->count; i++) {
        const struct nf_module *module = chain->nfs[i].module;
        if (module->session_size && !(module->session_idle && module->session_idle(&chain->nfs[i])))
            return true;
    }
    return false;
}

static void prepare(struct nf_chain *chain, uint8_t side)
{
    chain->sessions.packets = chain->env.inputs;
    nf_sessions_prepare(&chain->sessions, chain->burst.side[side], chain->burst.count[side],
                        chain->session_input != NULL);
    chain->burst.prepared[side] = true;
}

/* What came in on one side and is to pass the NFs. How many do. */
static uint32_t run_side(struct nf_chain *chain, uint8_t side)
{
    struct nf_packet *all[NF_BURST_MAX], **list = chain->burst.side[side], *packets = chain->env.inputs;
    uint32_t n = chain->burst.count[side], left = n;
    uint64_t now = chain->burst.now;
    bool looked = n && looks_up(chain);

    if (looked) {
        memcpy(all, list, n * sizeof(*all));
        if (ft_unlikely(!chain->burst.prepared[side])) /* the other side has begun the first session */
            prepare(chain, side);
        nf_mark(chain->mark, NF_DOING_SESSIONS, 0);
        nf_sessions_look_up(&chain->sessions, all, n, now);
    }
    NF_MARK(chain->mark, list, list);
    for (uint32_t step = 1; step <= chain->count && left; step++) {
        struct nf *nf = &chain->nfs[side == NF_INSIDE ? step : chain->count + 1 - step];
        struct nf_tally *tally = &chain->tally[nf - chain->nfs];
        uint32_t got = left;
        if (nf_is_bypassed(chain->state, nf->index))
            continue;
        if (ft_unlikely(chain->guard))
            nf_payload_guard_begin(chain->guard, nf, list, left, packets, chain->state->seq);
        list[left] = NULL; /* ends the NF's packets, also for the report of a crash */
        nf_mark(chain->mark, NF_DOING_PACKETS, nf->index);
        begin_nf(chain, nf);
        ft_clear_registers();
        nf->module->process(nf, list, left, now);
        if (ft_unlikely(chain->guard))
            nf_payload_guard_end(chain->guard);
        end_nf(chain, nf);
        if (ft_unlikely(chain->tracing.trace != NULL))
            nf_tracing_step(&chain->tracing, chain->nfs, (uint8_t)(nf - chain->nfs), side);
        left = keep_passing(list, left);
        add_tally(&tally->packets, got);
        add_tally(&tally->dropped, got - left);
    }
    if (looked)
        nf_mark(chain->mark, NF_DOING_SESSIONS, 0);
    if (looked && nf_sessions_confirm(&chain->sessions, all, n, now)) {
        if (ft_unlikely(chain->tracing.trace != NULL))
            nf_tracing_step(&chain->tracing, chain->nfs, NF_DROP_SESSIONS, side);
        left = keep_passing(list, left);
    }
    return left;
}

/* What L3 has neither dropped nor kept for itself (NF_P_LOCAL). */
static uint32_t keep_for_nfs(struct nf_packet *list[], uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!list[i]->drop && !(list[i]->flags & NF_P_LOCAL))
            list[kept++] = list[i];
    return kept;
}

/* Split before any NF runs: before that L3 alone drops packets, or keeps them for itself. */
static void split_sides(struct nf_chain *chain)
{
    struct nf_packet **inside = chain->burst.side[NF_INSIDE], **outside = chain->burst.side[NF_OUTSIDE];
    struct nf_packet *packets = chain->env.inputs;
    uint32_t ins = 0, outs = 0, n = chain->burst.n;
    for (uint32_t i = 0; i < n; i++) {
        inside[ins] = outside[outs] = &packets[i];
        outs += packets[i].side != NF_INSIDE;
        ins = i + 1 - outs;
    }
    if (chain->l3 || ft_unlikely(chain->aside)) {
        ins = keep_for_nfs(inside, ins);
        outs = keep_for_nfs(outside, outs);
    }
    chain->burst.count[NF_INSIDE] = ins;
    chain->burst.count[NF_OUTSIDE] = outs;
}

/* Packets made while these leave (ARP requests) join the end and leave too. */
static void send_made(struct nf_chain *chain, uint64_t now)
{
    for (uint32_t i = 0; i < chain->env.emitted; i++) {
        struct nf_packet *p = &chain->made[i];
        if (chain->l3)
            nf_l3_out(chain->l3, &p, 1, now);
        if (!p->drop)
            chain->list[chain->listed++] =
                (struct nf_emitted){.port = p->out_port, .len = p->len, .frame = p->data};
    }
}

/* All that is done with packets before an NF gets one; no frame is changed. */
static void look_at_packets(struct nf_chain *chain)
{
    struct nf_packet *packets = chain->env.inputs, *all[NF_BURST_MAX];
    struct nf_tracing *tracing = ft_unlikely(chain->tracing.trace != NULL) ? &chain->tracing : NULL;
    uint32_t n = chain->burst.n;
    parse_all(packets, n);
    for (uint32_t bits = chain->aside; ft_unlikely(bits); bits &= bits - 1)
        packets[__builtin_ctz(bits)].drop = NF_SET_ASIDE;
    if (ft_unlikely(chain->session_input != NULL))
        restore_by_session(chain);
    if (ft_unlikely(chain->unsummed))
        read_unsummed(packets, n);
    if (tracing)
        nf_tracing_claim(tracing, packets, n, chain->burst.number, chain->state->seq);
    if (chain->l3) {
        for (uint32_t i = 0; i < n; i++)
            all[i] = &packets[i];
        nf_mark(chain->mark, NF_DOING_L3, 0);
        nf_l3_in(chain->l3, all, chain->aside ? keep_passing(all, n) : n, chain->burst.now);
        if (tracing)
            nf_tracing_step(tracing, chain->nfs, 0, NF_TRACING_SIDES);
    }
    split_sides(chain);
    if (!looks_up(chain))
        return;
    nf_mark(chain->mark, NF_DOING_SESSIONS, 0);
    prepare(chain, NF_INSIDE);
    prepare(chain, NF_OUTSIDE);
}

/* Inside first. How many leave. */
static uint32_t run_packets(struct nf_chain *chain)
{
    struct nf_packet *packets = chain->env.inputs, *all[NF_BURST_MAX];
    struct nf_tracing *tracing = ft_unlikely(chain->tracing.trace != NULL) ? &chain->tracing : NULL;
    uint32_t left = 0, n = chain->burst.n;
    if (ft_unlikely(chain->headroom != NULL))
        give_headroom(chain, packets, n);
    left = run_side(chain, NF_INSIDE);
    left += run_side(chain, NF_OUTSIDE);
    if (!chain->l3)
        return left;
    for (uint32_t i = 0; i < n; i++)
        all[i] = &packets[i];
    left = keep_passing(all, n);
    if (left) {
        nf_mark(chain->mark, NF_DOING_L3, 0);
        nf_l3_out(chain->l3, all, left, chain->burst.now);
        if (tracing)
            nf_tracing_step(tracing, chain->nfs, 0, NF_TRACING_SIDES);
        left = keep_passing(all, left);
    }
    return left;
}

/* As determinants, which replay must find to be its own. */
static void note_accesses(struct nf_chain *chain)
{
    struct ft_access noted[FT_ACCESSES_MAX];
    const struct ft_sections *s = &chain->sections;
    uint16_t size = (uint16_t)(s->accesses * sizeof(noted[0]));
    if (!size)
        return;
    memcpy(noted, s->access, size);
    nf_determinant(&chain->nfs[0], noted, size);
    if (memcmp(noted, s->access, size) != 0)
        chain->determinants.wrong = true;
}

void nf_chain_look(struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets,
                   uint32_t n)
{
    const struct nf_lane_state *state = chain->state;
    FT_CHECK(n <= NF_BURST_MAX, "%u packets in a burst", n);
    FT_CHECK(burst == state->burst + 1, "burst %llu after %llu", (unsigned long long)burst,
             (unsigned long long)state->burst);
    FT_CHECK(now >= state->time, "time %llu after %llu", (unsigned long long)now,
             (unsigned long long)state->time);
    chain->burst.number = chain->env.runs = burst;
    chain->burst.now = now;
    chain->env.inputs = packets;
    chain->burst.n = n;
    chain->burst.prepared[NF_INSIDE] = chain->burst.prepared[NF_OUTSIDE] = false;
    nf_mark_burst(chain->mark, burst, now, state->seq, packets, n);
    open_burst(chain);
    run_timers(chain, now);
    if (n)
        look_at_packets(chain);
}

const struct nf_sessions_lane *nf_chain_prepared(const struct nf_chain *chain)
{
    return chain->burst.prepared[NF_INSIDE] ? &chain->sessions : NULL;
}

void nf_chain_pass(struct nf_chain *chain)
{
    const struct nf_lane_state *state = chain->state;
    uint32_t n = chain->burst.n;
    uint64_t now = chain->burst.now;
    uint32_t passed = n ? run_packets(chain) : 0;
    if (ft_unlikely(chain->tracing.trace != NULL))
        nf_tracing_leave(&chain->tracing);
    send_made(chain, now);
    nf_merged_publish(&chain->env);
    if (ft_unlikely(chain->sections.unreduced))
        note_accesses(chain);
    struct nf_lane_state *edit = ft_edit(chain->region, state, offsetof(struct nf_lane_state, random));
    edit->burst = chain->burst.number;
    edit->seq += n;
    edit->time = now;
    edit->access = chain->sections.next;
    edit->outputs += passed + chain->listed;
    chain->open = false;
    chain->session_input = NULL;
    chain->aside = 0;
    nf_mark_end(chain->mark);
    NF_WATCH(burst, chain->burst.number);
}

void nf_chain_run(struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets, uint32_t n)
{
    nf_chain_look(chain, burst, now, packets, n);
    nf_chain_pass(chain);
}

void nf_chain_restore_from(struct nf_chain *chain, const struct nf_session_input *inputs)
{
    chain->session_input = inputs;
    chain->names_none = false;
}

void nf_chain_set_aside(struct nf_chain *chain, uint32_t bits)
{
    chain->aside = bits;
}

bool nf_chain_restored(const struct nf_chain *chain)
{
    return !chain->names_none;
}

bool nf_chain_ends(const struct nf_chain *chain, const struct nf_session_input *input, struct nf_packet *p)
{
    return chain->env.sessions && nf_session_ends(&chain->sessions, input, p);
}

struct ft_sections *nf_chain_sections(struct nf_chain *chain)
{
    return &chain->sections;
}

struct nf_determinants *nf_chain_determinants(struct nf_chain *chain)
{
    return &chain->determinants;
}

void nf_chain_share(struct nf_chain *chain, struct ft_published *published)
{
    chain->sections.published = published;
}

void nf_chain_follow(struct nf_chain *chain, const struct ft_dependency dependencies[], uint32_t count)
{
    ft_sections_begin_replay(&chain->sections, chain->state->access, dependencies, count);
    nf_determinants_begin(&chain->determinants, true);
    chain->follow = true;
}

void nf_chain_abandon(struct nf_chain *chain)
{
    nf_mark_end(chain->mark);
    ft_sections_abandon(&chain->sections);
    nf_heap_leave(NULL); /* an NF was left in the middle */
    chain->open = chain->follow = false;
    chain->session_input = NULL;
    chain->listed = 0;
}

/* ---- what a chain is at: mark.h ---------------------------------------------------------------- */

_Thread_local struct nf_mark *nf_thread_mark;

const char *nf_doing_name(unsigned doing)
{
    static const char *const names[NF_DOINGS] = {"nothing", "timers", "l3",    "sessions", "packets",
                                                 "show",    "set",    "clear", "make",     "check"};

    return names[doing < NF_DOINGS ? doing : NF_DOING_NOTHING];
}
