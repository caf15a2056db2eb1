/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NF that dies of its state. An operator's command that only the world knows, "damage NF", is recorded as
 * any other is; at the end of its burst the NF's state is such that whoever runs the NF on it dies: live, in
 * the next burst, with a crash notice before its death notice. Who replays the record has that state, too,
 * and so has the reference. What the successor does about it is the product's own:
 * understudy/crash/quarantine.c, the lane, the chain. A slot that the NF's check refuses is damaged where
 * there is one, else a counter says so.
 *
 * In seeds with an input keeper, some packets kill: who is PROTECTED, when it gets one for the first time.
 * The keeper feeds it again; who has heard the notice may not have the chain get it. Who has not is spared.
 */
#include "understudy/crash/fingerprint.h"
#include "tests/sim/sim.h"

#include "nflib/chain/parts.h"
#include "understudy/crash/crash.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CURSED  0xdeadull << 48 /* in a counter of the NF: its state kills, and passes its check */
#define PENDING 8u
#define DEADLY  64u  /* packets of a seed that kill */
#define RARE    300u /* one of so many packets */

static struct nd_crash_page page[SIM_NODES];
static struct nd_crash crashes[SIM_NODES] = {
    {.page = &page[0]}, {.page = &page[1]}, {.page = &page[2]}, {.page = &page[3]}};
static const struct nf_chain *pending[PENDING]; /* in a burst that damages it at its end */

static struct {
    uint32_t count;
    struct ft_fingerprint killed[DEADLY]; /* those that have */
    uint64_t known[SIM_NODES];            /* bits of `killed`: the node was told */
} deadly;

/* ---- what the product asks ---------------------------------------------------------------------- */

void __wrap_nd_crash_save_quarantine(struct nd_crash *crash);
void __wrap_nd_crash_save_quarantine(struct nd_crash *crash)
{
    (void)crash;
}

/* ---- the state that kills ------------------------------------------------------------------------ */

static struct nf *crasher_of(const struct nf_chain *chain)
{
    struct nf *nf;

    for (unsigned i = 1; (nf = (struct nf *)(uintptr_t)nf_chain_nf(chain, i)); i++)
        if (strcmp(nf->module->name, sim.plan.crasher) == 0)
            return nf;
    return NULL;
}

static bool is_bypassed(const struct nf_chain *chain)
{
    return nf_is_bypassed(nf_chain_state(chain), crasher_of(chain)->index);
}

static bool is_unsound(const struct nf_chain *chain)
{
    struct ft_fault fault;

    return nf_chain_check_nf(chain, crasher_of(chain)->index, &fault) != 0;
}

/*
 * With several lanes no slot is damaged: what they share is not sound while one of them is at it. Nor is it
 * where this burst's command has been at it already: state is checked between bursts.
 */
static bool kills(const struct nf_chain *chain)
{
    return !is_bypassed(chain) &&
           (crasher_of(chain)->counters[0] >= CURSED ||
            (sim.plan.lanes == 1 && chain->sections.next == chain->state->access && is_unsound(chain)));
}

static bool is_constant(const struct nf_content *content, const uint8_t *at)
{
    uint32_t i = nf_content_from(content, at);

    return i < content->kepts && content->kept[i].at < at + 4;
}

/* A word of `n` bytes from `at` that the NF's check refuses when it is another one. False: there is none. */
static bool damage_word(const struct nf_chain *chain, const uint8_t *at, uint64_t n)
{
    for (uint64_t i = 0; i + 4 <= n; i += 4) {
        uint32_t *word = (uint32_t *)(uintptr_t)(at + i);

        if (is_constant(&chain->content, at + i))
            continue;
        *(uint32_t *)ft_edit(chain->region, word, sizeof(*word)) ^= 1u << 31;
        if (is_unsound(chain))
            return true;
        *word ^= 1u << 31;
    }
    return false;
}

void sim_crash_damage(const struct nf_chain *chain)
{
    struct nf *nf = crasher_of(chain);
    bool damaged = false;

    for (unsigned i = 0; i < PENDING; i++) {
        if (pending[i] != chain)
            continue;
        pending[i] = NULL;
        if (kills(chain) || is_bypassed(chain))
            return;
        for (uint32_t o = 0; o < chain->content.count && !sim.plan.in_packets && !damaged; o++)
            if (chain->content.objects[o].nf == nf->index && sim.plan.lanes == 1)
                damaged = damage_word(chain, chain->content.objects[o].at, 128);
        if (!damaged)
            *(uint64_t *)ft_edit(chain->region, nf->counters, sizeof(uint64_t)) |= CURSED;
    }
}

void sim_crash_forget(const struct nf_chain *chain)
{
    for (unsigned i = 0; i < PENDING; i++)
        if (pending[i] == chain)
            pending[i] = NULL;
}

int __real_nf_chain_command(struct nf_chain *chain, const char *text, uint32_t len, uint64_t now,
                            struct ft_fault *fault);
int __wrap_nf_chain_command(struct nf_chain *chain, const char *text, uint32_t len, uint64_t now,
                            struct ft_fault *fault);
int __wrap_nf_chain_command(struct nf_chain *chain, const char *text, uint32_t len, uint64_t now,
                            struct ft_fault *fault)
{
    struct sim_node *n = sim_current();
    bool live = n && sim_running->number < SIM_LANES && n->lane[sim_running->number].chain == chain &&
                n->lane[sim_running->number].capture.record,
         before;
    int error;

    if (!sim.plan.crasher)
        return __real_nf_chain_command(chain, text, len, now, fault);
    if (len >= 7 && memcmp(text, "damage ", 7) == 0) {
        for (unsigned i = 0; i < PENDING; i++)
            if (!pending[i]) {
                pending[i] = chain;
                break;
            }
        if (live)
            n->owes = false; /* of the damage before */
        return 0;
    }
    before = is_bypassed(chain);
    error = __real_nf_chain_command(chain, text, len, now, fault);
    if (live && before != is_bypassed(chain))
        sim_tell(n->index, "lane %u: %.*s: %s", sim_running->number, (int)len, text,
                 before ? "the NF takes part again" : "the NF is bypassed");
    else if (live && error)
        sim_tell(n->index, "lane %u: %.*s: %s", sim_running->number, (int)len, text, fault->text);
    else if (live && memcmp(text, "reset", 5) == 0)
        sim_tell(n->index, "lane %u: %.*s: its state begins anew", sim_running->number, (int)len, text);
    if (before && !is_bypassed(chain)) {
        if (live)
            n->owes = false;
        if (is_unsound(chain))
            sim_fail("NF %s takes part again, and nobody has checked its state", sim.plan.crasher);
    }
    return error;
}

/* ---- deaths -------------------------------------------------------------------------------------- */

void sim_crash_begin(void)
{
    memset(pending, 0, sizeof(pending));
    memset(&deadly, 0, sizeof(deadly));
    sim.crash_at = sim.script ? SIM_NEVER : 30 * SIM_MS + sim_draw(&sim.crash, 60 * SIM_MS);
}

/* What it drops, while it lives. */
static void say_quarantine(void *node, const struct ft_crash_notice *notice)
{
    struct sim_node *n = node;

    if (sim_peer(n))
        sim_net_crash_notice(n->index, sim_peer(n)->index, notice, &n->datagram_key, sim.now);
}

/* As the node's (understudy/node/run.c): its region is shown. */
static bool executes_nf(void *node, const char *name)
{
    const struct sim_node *n = node;
    const struct nf *nf;
    unsigned without = 0;

    sim_show(&sim.node[n->index].window);
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        nf = n->lane[l].chain ? nf_chain_find(n->lane[l].chain, name) : NULL;
        without += nf && nf->index && nf_is_bypassed(nf_chain_state(n->lane[l].chain), nf->index);
    }
    return without < sim.plan.lanes;
}

void sim_crash_start(struct sim_node *n)
{
    memset(&page[n->index], 0, sizeof(page[0]));
    deadly.known[n->index] = 0;
    memset(&n->crashes, 0, sizeof(n->crashes));
    n->crashes.config = sim.config;
    n->crashes.self = n->index;
    n->crashes.crash = &crashes[n->index];
    n->crashes.tell = say_quarantine;
    n->crashes.executes = executes_nf;
    n->crashes.arg = n;
    n->last.signal = 0;
    n->owes = false;
}

void sim_crash_snapshot(struct sim_node *n)
{
    n->owes = false;
}

/* What the file says of that NF is to be done before the first burst of this node's; the rule is written
 * down here once more. */
void sim_crash_hear(void *node, const struct ft_crash_notice *notice, bool primary)
{
    struct sim_node *n = node;

    if (notice->signal)
        sim_tell(n->index, "hears that its peer died of NF %s", notice->nf);
    if (notice->signal && !primary && n->state == FT_READY && sim.plan.crash != NF_CRASH_STOP &&
        (notice->doing == NF_DOING_TIMERS || strcmp(notice->before, notice->nf) == 0))
        n->owes = true;
    nd_quarantine_receive(&n->crashes, notice, primary);
    for (uint32_t k = 0; k < deadly.count && !primary; k++)
        for (uint32_t i = 0; i < notice->fingerprints; i++)
            if (notice->fingerprint[i].flow == deadly.killed[k].flow &&
                notice->fingerprint[i].content == deadly.killed[k].content)
                deadly.known[n->index] |= 1ull << k;
}

static void suspect_burst(struct ft_crash_notice *notice, const struct nd_lane *lane,
                          const struct nf_packet *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n && i < FT_CRASH_FINGERPRINTS; i++) {
        struct nf_packet p = packets[i];

        nf_packet_parse(&p);
        notice->fingerprint[i] =
            nd_fingerprint(p.data, lane->whole_capture ? p.len : nf_packet_header_bytes(&p), p.len);
        notice->fingerprint[i].suspect = 1;
        notice->fingerprints++;
    }
}

void sim_crash_look(struct nd_lane *lane, const struct nf_packet *packets, uint32_t n)
{
    struct sim_node *node = sim_current();
    const struct nd_quarantine *q = &page[node->index].quarantine;

    if (!kills(lane->chain) || (sim.plan.in_packets && (!n || node->state != FT_PROTECTED)))
        return;
    if (node->owes) {
        sim_fail("%s dies of the state of NF %s, which it was told to %s", node->name, sim.plan.crasher,
                 sim.plan.crash == NF_CRASH_RESET ? "reset" : "bypass");
        return;
    }
    node->last = (struct ft_crash_notice){.signal = SIGSEGV,
                                          .lane = lane->index,
                                          .burst = nf_chain_state(lane->chain)->burst + 1,
                                          .doing = sim.plan.in_packets ? NF_DOING_PACKETS : NF_DOING_TIMERS};
    snprintf(node->last.nf, sizeof(node->last.nf), "%s", sim.plan.crasher);
    if (nd_quarantine_on(q))
        memcpy(node->last.before, q->nf, sizeof(q->nf));
    if (sim.plan.in_packets)
        suspect_burst(&node->last, lane, packets, n);
    if (sim.script || sim_chance(&sim.crash, 800)) /* meanwhile its standby gets the record */
        sim_sleep(3 * SIM_MS, false);
    sim_tell(node->index, "dies in NF %s, of its state, lane %u", sim.plan.crasher, lane->index);
    sim_die();
}

/* The number of what killed; DEADLY: it has not. */
static uint32_t find_deadly(const struct ft_fingerprint *f)
{
    for (uint32_t k = 0; k < deadly.count; k++)
        if (memcmp(&deadly.killed[k], f, sizeof(*f)) == 0)
            return k;
    return DEADLY;
}

static void die_of(struct sim_node *node, const struct nd_lane *lane, const struct ft_fingerprint *f)
{
    deadly.killed[deadly.count++] = *f;
    node->last = (struct ft_crash_notice){.signal = SIGSEGV,
                                          .lane = lane->index,
                                          .burst = nf_chain_state(lane->chain)->burst + 1,
                                          .doing = NF_DOING_PACKETS,
                                          .packet = 1,
                                          .fingerprints = 1,
                                          .fingerprint = {*f}};
    snprintf(node->last.nf, sizeof(node->last.nf), "poison");
    nd_quarantine_add_all(&page[node->index].quarantine, &node->last);
    sim_tell(node->index, "dies of a packet, the %u. of this seed", deadly.count);
    sim_die();
}

void sim_crash_poison(struct nd_lane *lane, const struct nf_packet *packets, uint32_t n)
{
    struct sim_node *node = sim_current();

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet p = packets[i];
        struct ft_fingerprint f;
        uint32_t k;

        if (lane->chain->aside >> i & 1)
            continue;
        nf_packet_parse(&p);
        f = nd_fingerprint(p.data, lane->whole_capture ? p.len : nf_packet_header_bytes(&p), p.len);
        if ((f.content ^ f.seq) % RARE)
            continue;
        k = find_deadly(&f);
        if (k < DEADLY && deadly.known[node->index] >> k & 1) {
            sim_fail("%s has its chain get a packet that it was told kills", node->name);
            return;
        }
        if (k == DEADLY && deadly.count < DEADLY && node->state == FT_PROTECTED && !sim.faults_over) {
            die_of(node, lane, &f);
            return;
        }
    }
}

void sim_crash_tell(const struct sim_node *n, uint64_t at)
{
    if (n->last.signal && sim_peer(n))
        sim_net_crash_notice(n->index, sim_peer(n)->index, &n->last, &n->datagram_key, at);
}

/* ---- in time ------------------------------------------------------------------------------------- */

static void ask_for(struct sim_node *n, const char *fmt)
{
    if (atomic_load(&n->question.asked) != ND_ASK_NONE)
        return;
    n->question.lane = (unsigned)sim_draw(&sim.crash, sim.plan.lanes);
    snprintf(n->question.text, sizeof(n->question.text), fmt, sim.plan.crasher);
    sim_tell(n->index, "lane %u is asked to %s", n->question.lane, n->question.text);
    atomic_store(&n->question.asked, ND_ASK_COMMAND);
}

/* As a node's main thread does; and by chance the state is damaged, or an operator has the NF take part
 * again. */
void sim_crash_tick(void)
{
    struct rp_status status;

    for (unsigned i = 0; i < sim.nodes; i++)
        if (sim_runs(&sim.node[i])) {
            rp_status(sim.node[i].replicator, &status);
            nd_quarantine_turn(&sim.node[i].crashes, &status.core);
        }
    if (sim.faults_over || sim.script || sim.plan.poison || sim.now < sim.crash_at)
        return;
    sim.crash_at = sim.now + sim_draw(&sim.crash, 80 * SIM_MS);
    for (unsigned i = 0; i < sim.nodes; i++)
        if (sim_runs(&sim.node[i]) && sim.node[i].state >= FT_READY && sim.node[i].history)
            ask_for(&sim.node[i], sim_chance(&sim.crash, 600) ? "damage %s" : "set %s bypass=off");
}

/* Both made the same decision, which the regions have said already; and no packet was set aside for a death
 * that no packet was the cause of. */
void sim_crash_judge(void)
{
    if (!sim.plan.crasher)
        return;
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        uint64_t bypassed[SIM_NODES] = {0}, quarantined = 0;

        for (unsigned i = 0; i < sim.nodes; i++) {
            sim_show(&sim.node[i].window);
            bypassed[i] = nf_chain_state(sim.node[i].lane[l].chain)->bypassed;
            quarantined += atomic_load(&sim.node[i].shared[l].count.quarantined);
        }
        if (bypassed[0] != bypassed[1])
            sim_fail("a bypasses NFs %lx in lane %u, and b %lx", bypassed[0], l, bypassed[1]);
        if (quarantined && !sim.plan.in_packets)
            sim_fail("%lu frames were set aside, and the deaths were in timers", quarantined);
    }
    sim_show(NULL);
}
