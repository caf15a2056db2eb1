/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node does when its peer tells what it crashed on: the log has it, and frames like those are dropped
 * for a while (node/crash/quarantine.h). Heard by the replicator's thread, which begins the quarantine before
 * it takes over, or just behind it where the first notice was lost; all else is the main thread's. That of a
 * primary tells the standby what it drops, so that a quarantine goes over with the role, also where nothing
 * crashes.
 */
#include "node/quarantine.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "node/base/clock.h"
#include "node/crash/reporter.h"
#include "nflib/chain/chain.h"

#define AGAIN_NS 1000000000ull /* after which the peer is told again what this node drops */

/* What the file says of such an NF, before the first burst of this node's: it takes over when it has heard.
 * True: the NF's state does no more harm. */
static bool apply_on_crash(struct nd_peer_crashes *all, const struct ft_crash_notice *notice)
{
    const struct nf_chain_config *chain = &all->config->chain;

    if (FT_PLANTED("no-remedy"))
        return false;
    for (unsigned i = 0; i < chain->count; i++) {
        bool reset = chain->nfs[i].on_crash == NF_CRASH_RESET;

        if (strcmp(chain->nfs[i].module->name, notice->nf) != 0 || chain->nfs[i].on_crash == NF_CRASH_STOP ||
            !nd_crash_is_remedied(notice))
            continue;
        snprintf(all->remedy.text, sizeof(all->remedy.text), reset ? "reset %s" : "set %s bypass=on",
                 notice->nf);
        atomic_fetch_add(&all->remedy.serial, 1);
        ft_log_event(
            FT_LEVEL_ERROR, FT_SAYS_CRASH,
            reset
                ? "if this node takes over, the state of NF %s begins anew, since on_crash says so: node %s "
                  "died of it"
                : "if this node takes over, NF %s is bypassed, since on_crash says so: node %s died in it",
            notice->nf, all->config->node[!all->self].name);
        return true;
    }
    return false;
}

/* What a primary that lives drops its standby is to drop as well, for as long, once it is primary. */
static void take_quarantine(struct nd_peer_crashes *all, const struct ft_crash_notice *notice)
{
    const struct nd_protect *p = &all->config->protect;
    struct nd_quarantine *q = &nd_crash_page(all->crash)->quarantine;
    uint64_t now = nd_now(), most = p->quarantine_s * 1000ull,
             left = notice->burst < most ? notice->burst : most;
    struct ft_crash_notice empty = {.fingerprints = 1}; /* which no frame has */
    bool on, known;

    if (!most)
        return;
    memcpy(empty.before, notice->before, sizeof(empty.before));
    pthread_mutex_lock(&all->lock);
    on = nd_quarantine_on(q);
    known = on && atomic_load(&q->count) == notice->fingerprints &&
            memcmp(q->fingerprint, notice->fingerprint, sizeof(q->fingerprint)) == 0;
    if (!notice->fingerprints && !notice->before[0])
        nd_quarantine_end(q);
    else if (!known && (notice->fingerprints || !on))
        nd_quarantine_begin(q, notice->fingerprints ? notice : &empty, now, p->quarantine_s,
                            p->quarantine_max);
    if (!notice->fingerprints)
        nd_quarantine_clear(q);
    atomic_store(&q->until, now + left * FT_MS);
    pthread_mutex_unlock(&all->lock);
    if (!on && notice->fingerprints)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
                     "node %s drops frames of %u fingerprints for crashes in NF %s: so would this node",
                     all->config->node[!all->self].name, notice->fingerprints, notice->before);
}

void nd_quarantine_hear(struct nd_peer_crashes *all, const struct ft_crash_notice *notice, bool primary)
{
    const struct nd_protect *p = &all->config->protect;
    struct ft_log_field fields[ND_CRASH_FIELDS];
    struct nd_quarantine *q = &nd_crash_page(all->crash)->quarantine;
    const char *peer = all->config->node[!all->self].name;
    char line[ND_CRASH_LINE];
    uint32_t freed, held;
    bool harmless, begun;

    if (!notice->signal) {
        if (!primary)
            take_quarantine(all, notice);
        return;
    }
    nd_crash_line(line, notice);
    nd_crash_fields(fields, notice, NULL);
    if (primary) { /* what a standby died of has not harmed who has the same state and lives */
        ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_CRASH, fields, "node %s %s", peer, line);
        return;
    }
    harmless = apply_on_crash(all, notice);
    pthread_mutex_lock(&all->lock);
    begun = nd_quarantine_begin(q, notice, nd_now(), p->quarantine_s, p->quarantine_max);
    /* Where a packet is known it was the cause, and so may be those that are suspected be. */
    freed = harmless && !notice->packet ? nd_quarantine_let_go(q, notice->nf, false) : 0;
    if (harmless)
        nd_quarantine_doubt(q);
    held = nd_quarantine_held(q);
    pthread_mutex_unlock(&all->lock);
    ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_CRASH, fields,
                  !begun || !held ? "node %s %s"
                  : atomic_load(&q->suspects) & ~atomic_load(&q->cleared)
                      ? "node %s %s; frames of %u fingerprints are dropped for %u s, those that are only "
                        "suspected until the node is PROTECTED"
                      : "node %s %s; frames of %u fingerprints are dropped for %u s",
                  peer, line, held, p->quarantine_s);
    if (freed)
        ft_log_event(
            FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
            "frames of %u fingerprints that were only suspected are let go: it was the state of NF %s", freed,
            notice->nf);
}

static void tell_end(struct nd_peer_crashes *all, uint64_t dropped)
{
    const struct nd_quarantine *q = &nd_crash_page(all->crash)->quarantine;
    bool cleared = atomic_load(&q->suspects) && nd_now() < atomic_load(&q->until);

    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
                 "the quarantine for NF %s has ended: %lu frames were dropped%s", all->nf, dropped,
                 cleared ? "; nothing is suspected any more" : "");
    nd_crash_save_quarantine(all->crash);
}

/* Whether there is one, and its time is not over. One may begin meanwhile, by the replicator's thread. */
static bool is_on(struct nd_peer_crashes *all, struct nd_quarantine *q)
{
    bool on;

    pthread_mutex_lock(&all->lock);
    on = nd_quarantine_on(q);
    if (on && nd_now() >= atomic_load(&q->until)) {
        nd_quarantine_end(q);
        on = false;
    }
    if (on && nd_now() - q->began >= ND_BESIDE_NS)
        nd_quarantine_pass_beside(q);
    memcpy(all->nf, q->nf, sizeof(all->nf));
    pthread_mutex_unlock(&all->lock);
    return on;
}

/* Before whatever may make the standby take over: at once, also that nothing is dropped; and each second
 * again for as long as the quarantine lasts, since a datagram may be lost. */
static void tell_peer(struct nd_peer_crashes *all, const struct nd_quarantine *q, bool protected)
{
    struct ft_crash_notice notice = {.lane = FT_CRASH_NO_LANE};
    uint32_t held = nd_quarantine_held(q);
    uint64_t now = nd_now(), until = atomic_load(&q->until);

    if (!protected || !all->tell) {
        all->told = UINT32_MAX;
        return;
    }
    if (all->told == held && (until <= now || now - all->told_at < AGAIN_NS))
        return;
    if (until > now) {
        notice.burst = (until - now) / FT_MS;
        nd_quarantine_add_all(q, &notice);
    }
    notice.packet = ++all->number;
    all->tell(all->arg, &notice);
    all->told = held;
    all->told_at = now;
}

/* A primary whose packets do not come to that NF any more, since it is bypassed or not in the chain, has
 * nothing to fear of them. */
static void let_go(struct nd_peer_crashes *all, struct nd_quarantine *q)
{
    uint32_t freed = 0;

    pthread_mutex_lock(&all->lock);
    if (nd_quarantine_on(q) && !all->executes(all->arg, q->nf))
        freed = nd_quarantine_let_go(q, q->nf, true);
    pthread_mutex_unlock(&all->lock);
    if (freed)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
                     "frames of %u fingerprints are let go: no packet comes to NF %s any more", freed, q->nf);
}

bool nd_quarantine_lift(struct nd_peer_crashes *all)
{
    struct nd_quarantine *q = &nd_crash_page(all->crash)->quarantine;
    bool on;

    pthread_mutex_lock(&all->lock);
    on = nd_quarantine_on(q);
    nd_quarantine_end(q);
    pthread_mutex_unlock(&all->lock);
    return on;
}

void nd_quarantine_turn(struct nd_peer_crashes *all, const struct rp_status *s)
{
    struct nd_quarantine *q = &nd_crash_page(all->crash)->quarantine;
    uint64_t dropped = atomic_load(&q->dropped);
    bool on;

    if (ft_core_primary(&s->core))
        let_go(all, q);
    on = is_on(all, q) && nd_quarantine_held(q);
    atomic_store(&q->judging, s->core.state == FT_PROTECTED);
    if (!dropped) /* of this one */
        all->dropped = false;
    if (dropped && !all->dropped && (on || all->on)) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_QUARANTINE,
                     "frames that a node crashed on in NF %s come again, and are dropped", all->nf);
        all->dropped = true;
        nd_crash_save_quarantine(all->crash);
    }
    if (!on && all->on)
        tell_end(all, dropped);
    all->on = on;
    tell_peer(all, q, s->core.state == FT_PROTECTED);
}
