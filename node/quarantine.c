/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node does when its peer tells what it crashed on: the log has it, and frames like those are dropped
 * for a while (node/crash/quarantine.h). Heard by the replicator's thread, which begins the quarantine before
 * it takes over; all else is the main thread's.
 */
#include "node/crash/reporter.h"
#include "ftcore/base/event_log.h"
#include "node/base/clock.h"
#include "node/running.h"
#include "nflib/chain/chain.h"

/* What the file says of such an NF, before the first burst of this node's: it takes over when it has heard.
 */
static void apply_on_crash(struct nd_running *r, const struct ft_crash_notice *notice)
{
    const struct nf_chain_config *chain = &r->config->chain;

    for (unsigned i = 0; i < chain->count; i++) {
        bool reset = chain->nfs[i].on_crash == NF_CRASH_RESET;

        if (strcmp(chain->nfs[i].module->name, notice->nf) != 0 || chain->nfs[i].on_crash == NF_CRASH_STOP ||
            !nd_crash_is_of_state(notice, reset))
            continue;
        snprintf(r->remedy.text, sizeof(r->remedy.text), reset ? "reset %s" : "set %s bypass=on", notice->nf);
        atomic_fetch_add(&r->remedy.serial, 1);
        ft_log_event(
            FT_LEVEL_ERROR, FT_SAYS_CRASH,
            reset
                ? "if this node takes over, the state of NF %s begins anew, since on_crash says so: node %s "
                  "died of it"
                : "if this node takes over, packets pass by NF %s, since on_crash says so: node %s died of "
                  "its state",
            notice->nf, r->config->node[!r->self].name);
    }
}

void nd_quarantine_hear(void *running, const struct ft_crash_notice *notice, bool primary)
{
    struct nd_running *r = running;
    const struct nd_protect *p = &r->config->protect;
    struct ft_log_field fields[ND_CRASH_FIELDS];
    struct nd_quarantine *q = &nd_crash_page(r->crash)->quarantine;
    const char *peer = r->config->node[!r->self].name;
    char line[ND_CRASH_LINE];

    nd_crash_line(line, notice);
    nd_crash_fields(fields, notice, NULL);
    if (primary) { /* what a standby died of has not harmed who has the same state and lives */
        ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_CRASH, fields, "node %s %s", peer, line);
        return;
    }
    apply_on_crash(r, notice);
    switch (nd_quarantine_begin(q, notice, nd_now(), p->quarantine_s, p->quarantine_max)) {
    case ND_QUARANTINE_BEGUN:
        ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_CRASH, fields,
                      atomic_load(&q->suspects)
                          ? "node %s %s; frames of %u fingerprints are dropped for %u s, those that are only "
                            "suspected until the node is PROTECTED"
                          : "node %s %s; frames of %u fingerprints are dropped for %u s",
                      peer, line, notice->fingerprints, p->quarantine_s);
        break;
    case ND_QUARANTINE_ENDED:
        ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_CRASH, fields, "node %s %s", peer, line);
        ft_log_event(
            FT_LEVEL_WARNING, FT_SAYS_QUARANTINE,
            "no quarantine: node %s kept frames from NF %s, and crashed in another; the cause is not a "
            "packet",
            peer, notice->before);
        break;
    default:
        ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_CRASH, fields, "node %s %s", peer, line);
    }
}

static void tell_end(struct nd_running *r, uint64_t dropped)
{
    const struct nd_quarantine *q = &nd_crash_page(r->crash)->quarantine;
    bool full = dropped >= atomic_load(&q->most);
    bool cleared = atomic_load(&q->suspects) && atomic_load(&q->cleared) == atomic_load(&q->suspects);

    if (full)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_QUARANTINE,
                     "the quarantine for NF %s has ended: %lu frames were dropped, as many as quarantine_max "
                     "allows; the next one passes",
                     q->nf, dropped);
    else
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
                     "the quarantine for NF %s has ended: %lu frames were dropped%s", q->nf, dropped,
                     cleared ? "; what was suspected has passed and did no harm" : "");
    nd_crash_save_quarantine(r->crash);
}

void nd_quarantine_turn(struct nd_running *r, const struct rp_status *s)
{
    struct nd_quarantine *q = &nd_crash_page(r->crash)->quarantine;
    uint64_t dropped = atomic_load(&q->dropped);
    bool on = nd_quarantine_on(q);

    atomic_store(&q->judging, s->core.state == FT_PROTECTED);
    if (on && nd_now() >= atomic_load(&q->until)) {
        atomic_store_explicit(&q->count, 0, memory_order_release);
        on = false;
    }
    if (!dropped) /* of this one */
        r->quarantine.dropped = false;
    if (dropped && !r->quarantine.dropped && (on || r->quarantine.on)) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_QUARANTINE,
                     "frames that node %s crashed on in NF %s come again, and are dropped",
                     r->config->node[!r->self].name, q->nf);
        r->quarantine.dropped = true;
        nd_crash_save_quarantine(r->crash);
    }
    if (!on && r->quarantine.on)
        tell_end(r, dropped);
    r->quarantine.on = on;
}

/* The lane's state lies first in its arena. Its chain may be made anew meanwhile, by the lane. */
static bool is_bypassed(const struct nd_running *r, unsigned nf)
{
    bool bypassed = false;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        const void *state = r->region->base + ft_region_arena(r->region, l, 0)->offset;

        bypassed |= nf_is_bypassed(state, nf);
    }
    return bypassed;
}

json_t *nd_bypassed_status(const struct nd_running *r)
{
    json_t *names = json_array();

    for (unsigned i = 0; i < r->config->chain.count && !nd_is_changing(r); i++)
        if (is_bypassed(r, i + 1))
            json_array_append_new(names, json_string(r->config->chain.nfs[i].module->name));
    return names;
}

json_t *nd_quarantine_status(const struct nd_running *r)
{
    const struct nd_quarantine *q = r->crash ? &nd_crash_page(r->crash)->quarantine : NULL;
    uint64_t now = nd_now(), until;

    if (!q || !nd_quarantine_on(q))
        return json_null();
    until = atomic_load(&q->until);
    return json_pack("{s:s, s:f, s:I}", "nf", q->nf, "left_s",
                     now < until ? (double)(until - now) / 1e9 : 0.0, "dropped",
                     (json_int_t)atomic_load(&q->dropped));
}
