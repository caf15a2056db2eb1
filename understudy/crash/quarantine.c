/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that the peer crashed on, which are dropped for a while, and what the log has of that; see
 * quarantine.h. */
#include "understudy/crash/quarantine.h"
#include "understudy/config/peer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/mark.h"
#include "ftcore/base/clock.h"
#include "understudy/crash/fingerprint.h"
#include "understudy/crash/report.h"

#include <string.h>
#include <time.h>

static uint64_t bits_of(const struct ft_fingerprint *fingerprint, uint32_t count, enum ft_suspicion suspect)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < count; i++)
        bits |= (uint64_t)(fingerprint[i].suspect == suspect) << i;
    return bits;
}

/* Whether it is for on_crash: it died in the NF's timers, or in the NF of the crash before it, within the
 * quarantine for that. */
static bool is_remedied(const struct ft_crash_notice *notice)
{
    return notice->doing == NF_DOING_TIMERS || (nf_doing_has_packets(notice->doing) && notice->before[0] &&
                                                strcmp(notice->before, notice->nf) == 0);
}

/* Sets `asked`. Whoever changes `count` or `cleared` calls it afterwards; where several do so at once, the
 * last store is right. */
static void settle(struct nd_quarantine *q)
{
    uint32_t held;

    do {
        held = nd_quarantine_held(q);
        atomic_store(&q->asked, held);
    } while (held != nd_quarantine_held(q));
}

static void end_quarantine(struct nd_quarantine *q)
{
    atomic_store(&q->count, 0);
    settle(q);
}

/* Those of the notice that were in force already for a crash in another NF than this. */
static uint64_t bits_of_others(const struct nd_quarantine *q, const struct ft_crash_notice *notice,
                               const char *nf)
{
    uint32_t count = atomic_load(&q->count);
    uint64_t bits = 0;

    for (uint32_t i = 0; i < notice->fingerprints; i++)
        for (uint32_t j = 0; j < count; j++)
            if (nd_fingerprint_is_again(&q->fingerprint[j], &notice->fingerprint[i]) &&
                (atomic_load(&q->others) >> j & 1 || strcmp(q->nf, nf) != 0))
                bits |= 1ull << i;
    return bits;
}

/* For `seconds`, 0: never one. False: the notice names no frame, and one that is on goes on; or the file has
 * none. */
static bool begin_quarantine(struct nd_quarantine *q, const struct ft_crash_notice *notice, uint64_t now,
                             uint32_t seconds, uint32_t most)
{
    const char *nf = nf_doing_has_packets(notice->doing) ? notice->nf : notice->before;
    uint64_t others;

    if (!notice->fingerprints || !seconds)
        return false;
    /* By a lane, for some instructions; it may want this processor. */
    while (atomic_exchange(&q->changing, true))
        nanosleep(&(struct timespec){0, 10000}, NULL);
    others = bits_of_others(q, notice, nf);
    end_quarantine(q);
    memcpy(q->fingerprint, notice->fingerprint, sizeof(q->fingerprint));
    memcpy(q->nf, nf, sizeof(q->nf));
    atomic_store(&q->others, others);
    q->lasts = seconds * 1000000000ull;
    q->began = now;
    atomic_store(&q->until, now + q->lasts);
    atomic_store(&q->most, most);
    atomic_store(&q->suspects, bits_of(q->fingerprint, notice->fingerprints, FT_SUSPECT) |
                                   bits_of(q->fingerprint, notice->fingerprints, FT_BESIDE));
    atomic_store(&q->cleared, 0);
    atomic_store(&q->dropped, 0);
    for (uint32_t i = 0; i < ND_QUARANTINE_KEPT; i++)
        atomic_store(&q->whole[i], false);
    atomic_store(&q->claimed, 0);
    atomic_store(&q->count, notice->fingerprints);
    settle(q);
    atomic_store(&q->changing, false);
    return true;
}

/* The quarantine stays on for its time, so that the next crash in its NF is known to be a second one. */
static void clear(void *of, uint64_t bits)
{
    struct nd_quarantine *q = of;

    atomic_fetch_or(&q->cleared, bits);
    settle(q);
}

/* What was in one burst with what is taken for the killer passes from now on. */
static void pass_beside(struct nd_quarantine *q)
{
    clear(q, bits_of(q->fingerprint, atomic_load(&q->count), FT_BESIDE));
}

/* Of deaths in that NF: suspects are let go where its state was the cause, and on_crash has made it harmless;
 * `known`: what is known to kill as well, where no packet comes to that NF any more. What is there for a
 * death in another NF is not. How many. */
static uint32_t let_go_of(struct nd_quarantine *q, const char *nf, bool known)
{
    uint32_t before = nd_quarantine_held(q), count = atomic_load(&q->count);

    for (uint32_t i = 0; i < count && strcmp(q->nf, nf) == 0; i++)
        if ((known || q->fingerprint[i].suspect == FT_SUSPECT || q->fingerprint[i].suspect == FT_BESIDE) &&
            !(atomic_load(&q->others) >> i & 1))
            clear(q, 1ull << i);
    return before - nd_quarantine_held(q);
}

/* What killed alone is not doubted. */
static void doubt(struct nd_quarantine *q, uint64_t bits)
{
    atomic_fetch_or(&q->suspects, bits_of(q->fingerprint, atomic_load(&q->count), FT_KILLED) & bits);
}

/* The notice names that frame already: one with the same sequence numbers, or a datagram of any port. */
static bool names(const struct ft_crash_notice *notice, const struct ft_fingerprint *f)
{
    for (uint32_t i = 0; i < notice->fingerprints; i++) {
        const struct ft_fingerprint *has = &notice->fingerprint[i];

        if (nd_fingerprint_is_again(has, f) && (!f->flow || (has->seq == f->seq && has->bytes == f->bytes)))
            return true;
    }
    return false;
}

void nd_quarantine_add(const struct nd_quarantine *q, struct ft_crash_notice *notice,
                       enum nd_quarantine_part part)
{
    static const struct {
        uint32_t most, of; /* places, and bits of enum ft_suspicion */
    } parts[] = {[ND_ADD_SAME] = {FT_CRASH_COPIES, 1u << FT_KILLED | 1u << FT_SUSPECT | 1u << FT_BESIDE},
                 [ND_ADD_KNOWN] = {FT_CRASH_KNOWN, 1u << FT_KILLED | 1u << FT_KILLED_ALONE},
                 [ND_ADD_SUSPECTS] = {FT_CRASH_FINGERPRINTS, 1u << FT_SUSPECT},
                 [ND_ADD_REST] = {FT_CRASH_FINGERPRINTS, 1u << FT_KILLED | 1u << FT_KILLED_ALONE},
                 [ND_ADD_BESIDE] = {FT_CRASH_FINGERPRINTS, 1u << FT_BESIDE}};
    uint32_t count = atomic_load_explicit(&q->count, memory_order_acquire), *n = &notice->fingerprints;
    uint64_t cleared = atomic_load(&q->cleared);

    for (uint32_t i = 0; i < count && *n < parts[part].most; i++) {
        struct ft_fingerprint f = q->fingerprint[i];

        if (cleared >> i & 1 || !(parts[part].of >> f.suspect & 1) || names(notice, &f) ||
            (part == ND_ADD_SAME && !nd_fingerprint_is_another(notice->fingerprint, *n, &f)))
            continue;
        if (part == ND_ADD_SAME)
            f.suspect = FT_KILLED_ALONE;
        notice->fingerprint[(*n)++] = f;
    }
    if (!count)
        return;
    memset(notice->before, 0, FT_CRASH_NAME);
    memcpy(notice->before, q->nf, strnlen(q->nf, FT_CRASH_NAME - 1));
}

void nd_quarantine_add_all(const struct nd_quarantine *q, struct ft_crash_notice *notice)
{
    for (enum nd_quarantine_part part = ND_ADD_KNOWN; part <= ND_ADD_BESIDE; part++)
        nd_quarantine_add(q, notice, part);
}

uint32_t nd_quarantine_held(const struct nd_quarantine *q)
{
    uint32_t count = atomic_load_explicit(&q->count, memory_order_acquire);

    return count ? (uint32_t)__builtin_popcountll(~atomic_load(&q->cleared) & UINT64_MAX >> (64 - count)) : 0;
}

/* Bits of the fingerprints that the frame has; several where suspects were sent again in one segment. What
 * TCP sends behind a segment that killed counts as that one: a file of equal records kills with each of them.
 */
static uint64_t find(const struct nd_quarantine *q, const struct ft_fingerprint *own)
{
    uint32_t count = atomic_load_explicit(&q->count, memory_order_acquire);
    uint64_t suspects = atomic_load_explicit(&q->suspects, memory_order_relaxed), bits = 0;

    for (uint32_t i = 0; i < count; i++)
        if (nd_fingerprint_is_again(&q->fingerprint[i], own) ||
            (!(suspects >> i & 1) && nd_fingerprint_is_behind(&q->fingerprint[i], own)))
            bits |= 1ull << i;
    return bits & ~atomic_load_explicit(&q->cleared, memory_order_relaxed);
}

bool nd_quarantine_is_judged(const struct nd_quarantine *q, const struct ft_fingerprint *frame)
{
    return (find(q, frame) & atomic_load(&q->suspects)) != 0;
}

static void keep_frame(struct nd_quarantine *q, const struct nd_suspect *s)
{
    uint32_t at = atomic_load_explicit(&q->claimed, memory_order_relaxed);
    struct nd_crash_frame *f;

    do
        if (at >= ND_QUARANTINE_KEPT)
            return;
    while (!atomic_compare_exchange_weak(&q->claimed, &at, at + 1));
    f = &q->frame[at];
    f->time = ft_wall();
    f->lane = s->lane;
    f->burst = s->burst;
    f->seq = s->seq;
    f->wire = s->wire;
    f->have = s->wire < ND_CRASH_BYTES ? s->wire : ND_CRASH_BYTES;
    f->port = s->port;
    memcpy(f->bytes, s->frame, f->have);
    atomic_store_explicit(&q->whole[at], true, memory_order_release);
}

/* A segment that is the same again as others, and has a fingerprint of its own, is added to them as long as
 * there is room, and is as suspect as they are. By a lane; of two at a time one leaves it. */
static void learn(struct nd_quarantine *q, struct ft_fingerprint own)
{
    static const enum ft_suspicion surest[] = {FT_KILLED_ALONE, FT_KILLED, FT_SUSPECT};
    uint32_t count, held;
    uint64_t bits;

    if (atomic_exchange(&q->changing, true))
        return;
    count = held = atomic_load(&q->count);
    bits = find(q, &own);
    own.suspect = FT_BESIDE; /* it is as suspect as the surest of those */
    for (unsigned i = 0; i < sizeof(surest) / sizeof(surest[0]); i++)
        if (bits & bits_of(q->fingerprint, count, surest[i])) {
            own.suspect = surest[i];
            break;
        }
    if (bits && count < FT_CRASH_FINGERPRINTS && nd_fingerprint_is_another(q->fingerprint, count, &own)) {
        q->fingerprint[count] = own;
        atomic_fetch_or(&q->suspects, (uint64_t) !(bits & ~atomic_load(&q->suspects)) << count);
        atomic_fetch_or(&q->others, (uint64_t) !(bits & ~atomic_load(&q->others)) << count);
        atomic_compare_exchange_strong(&q->count, &held, count + 1); /* it may have ended */
        settle(q);
    }
    atomic_store(&q->changing, false);
}

static enum nd_verdict look(void *of, const struct nd_suspect *s, bool may_judge, uint64_t *bits)
{
    struct nd_quarantine *q = of;
    struct ft_fingerprint own = nd_fingerprint(s->frame, s->taken, s->wire);

    *bits = find(q, &own);
    if (!*bits)
        return ND_PASSES;
    if (may_judge && !(*bits & ~atomic_load(&q->suspects)) && atomic_load(&q->judging))
        return ND_JUDGES;
    learn(q, own);
    keep_frame(q, s);
    atomic_store(&q->until, ft_now() + q->lasts); /* TCP sends again after ever longer times */
    if (atomic_fetch_add(&q->dropped, 1) + 1 == atomic_load(&q->most)) /* it is doubted that they all kill */
        doubt(q, UINT64_MAX);
    return ND_DROPS;
}

struct nd_suspects nd_quarantine_suspects(struct nd_quarantine *q)
{
    return (struct nd_suspects){.count = &q->asked, .of = q, .look = look, .clear = clear};
}

/* ---- what the peer crashed on --------------------------------------------------------------- */

#define AGAIN_NS  1000000000ull  /* after which what this node drops is sent to the peer again */
#define BESIDE_NS 10000000000ull /* for which what was beside a killer waits */

/* What the file asks for such an NF, before the first burst of this node: it takes over when it has the
 * notice. True: the NF's state does no more harm. */
static bool apply_on_crash(struct nd_peer_crashes *all, const struct ft_crash_notice *notice)
{
    const struct nf_chain_config *chain = &all->config->chain;

    if (FT_PLANTED("no-remedy"))
        return false;
    for (unsigned i = 0; i < chain->count; i++) {
        bool reset = chain->nfs[i].on_crash == NF_CRASH_RESET;

        if (strcmp(chain->nfs[i].module->name, notice->nf) != 0 || chain->nfs[i].on_crash == NF_CRASH_STOP ||
            !is_remedied(notice))
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
            notice->nf, nd_peer_name(all->config, all->self));
        return true;
    }
    return false;
}

/* What a primary that lives drops its standby is to drop as well, for as long, once it is primary. */
static void take_quarantine(struct nd_peer_crashes *all, const struct ft_crash_notice *notice)
{
    const struct nd_protect *p = &all->config->protect;
    struct nd_quarantine *q = &all->crash->page->quarantine;
    uint64_t now = ft_now(), most = p->quarantine_s * 1000ull,
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
        end_quarantine(q);
    else if (!known && (notice->fingerprints || !on))
        begin_quarantine(q, notice->fingerprints ? notice : &empty, now, p->quarantine_s, p->quarantine_max);
    if (!notice->fingerprints)
        clear(q, UINT64_MAX); /* in which NF the peer crashed stays known for its time */
    atomic_store(&q->until, now + left * FT_MS);
    pthread_mutex_unlock(&all->lock);
    if (!on && notice->fingerprints)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
                     "node %s drops frames of %u fingerprints for crashes in NF %s: so would this node",
                     nd_peer_name(all->config, all->self), notice->fingerprints, notice->before);
}

void nd_quarantine_receive(struct nd_peer_crashes *all, const struct ft_crash_notice *notice, bool primary)
{
    const struct nd_protect *p = &all->config->protect;
    struct ft_log_field fields[ND_CRASH_FIELDS];
    struct nd_quarantine *q = &all->crash->page->quarantine;
    const char *peer = nd_peer_name(all->config, all->self);
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
    begun = begin_quarantine(q, notice, ft_now(), p->quarantine_s, p->quarantine_max);
    /* Where a packet is known it was the cause, and so may be those that are suspected be. */
    freed = harmless && !notice->packet ? let_go_of(q, notice->nf, false) : 0;
    if (harmless) /* what killed with the NF's state may not kill now, so it is a suspect */
        doubt(q, ~atomic_load(&q->others));
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

static void report_end(struct nd_peer_crashes *all, uint64_t dropped)
{
    const struct nd_quarantine *q = &all->crash->page->quarantine;
    bool cleared = atomic_load(&q->suspects) && ft_now() < atomic_load(&q->until);

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
    if (on && ft_now() >= atomic_load(&q->until)) {
        end_quarantine(q);
        on = false;
    }
    if (on && ft_now() - q->began >= BESIDE_NS)
        pass_beside(q);
    memcpy(all->nf, q->nf, sizeof(all->nf));
    pthread_mutex_unlock(&all->lock);
    return on;
}

/* Before whatever may make the standby take over: at once, also that nothing is dropped; and each second
 * again for as long as the quarantine lasts, since a datagram may be lost. */
static void send_quarantine(struct nd_peer_crashes *all, const struct nd_quarantine *q, bool protected)
{
    struct ft_crash_notice notice = {.lane = FT_CRASH_NO_LANE};
    uint32_t held = nd_quarantine_held(q);
    uint64_t now = ft_now(), until = atomic_load(&q->until);

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
        freed = let_go_of(q, q->nf, true);
    pthread_mutex_unlock(&all->lock);
    if (freed)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_QUARANTINE,
                     "frames of %u fingerprints are let go: no packet comes to NF %s any more", freed, q->nf);
}

bool nd_quarantine_lift(struct nd_peer_crashes *all)
{
    struct nd_quarantine *q = &all->crash->page->quarantine;
    bool on;

    pthread_mutex_lock(&all->lock);
    on = nd_quarantine_on(q);
    end_quarantine(q);
    pthread_mutex_unlock(&all->lock);
    return on;
}

void nd_quarantine_turn(struct nd_peer_crashes *all, const struct ft_core *core)
{
    struct nd_quarantine *q = &all->crash->page->quarantine;
    uint64_t dropped = atomic_load(&q->dropped);
    bool on;

    if (ft_core_primary(core))
        let_go(all, q);
    on = is_on(all, q) && nd_quarantine_held(q);
    atomic_store(&q->judging, core->state == FT_PROTECTED);
    if (!dropped) /* of this one */
        all->dropped = false;
    if (dropped && !all->dropped && (on || all->on)) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_QUARANTINE,
                     "frames that a node crashed on in NF %s come again, and are dropped", all->nf);
        all->dropped = true;
        nd_crash_save_quarantine(all->crash);
    }
    if (!on && all->on)
        report_end(all, dropped);
    all->on = on;
    send_quarantine(all, q, core->state == FT_PROTECTED);
}
