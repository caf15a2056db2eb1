/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that the peer crashed on; see quarantine.h. */
#include "node/crash/quarantine.h"
#include "nflib/chain/mark.h"
#include "node/base/clock.h"

#include <string.h>
#include <time.h>

static uint64_t bits_of(const struct ft_fingerprint *fingerprint, uint32_t count, enum ft_suspicion suspect)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < count; i++)
        bits |= (uint64_t)(fingerprint[i].suspect == suspect) << i;
    return bits;
}

bool nd_crash_is_remedied(const struct ft_crash_notice *notice)
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

void nd_quarantine_end(struct nd_quarantine *q)
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

bool nd_quarantine_begin(struct nd_quarantine *q, const struct ft_crash_notice *notice, uint64_t now,
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
    nd_quarantine_end(q);
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

void nd_quarantine_pass_beside(struct nd_quarantine *q)
{
    clear(q, bits_of(q->fingerprint, atomic_load(&q->count), FT_BESIDE));
}

void nd_quarantine_clear(struct nd_quarantine *q)
{
    clear(q, UINT64_MAX);
}

uint32_t nd_quarantine_let_go(struct nd_quarantine *q, const char *nf, bool known)
{
    uint32_t before = nd_quarantine_held(q), count = atomic_load(&q->count);

    for (uint32_t i = 0; i < count && strcmp(q->nf, nf) == 0; i++)
        if ((known || q->fingerprint[i].suspect == FT_SUSPECT || q->fingerprint[i].suspect == FT_BESIDE) &&
            !(atomic_load(&q->others) >> i & 1))
            clear(q, 1ull << i);
    return before - nd_quarantine_held(q);
}

static void doubt(struct nd_quarantine *q, uint64_t bits)
{
    atomic_fetch_or(&q->suspects, bits_of(q->fingerprint, atomic_load(&q->count), FT_KILLED) & bits);
}

void nd_quarantine_doubt(struct nd_quarantine *q)
{
    doubt(q, ~atomic_load(&q->others));
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

static void keep_frame(struct nd_quarantine *q, const void *bytes, uint32_t have, uint32_t wire, uint8_t port)
{
    uint32_t at = atomic_load_explicit(&q->claimed, memory_order_relaxed);
    struct nd_crash_frame *f;

    do
        if (at >= ND_QUARANTINE_KEPT)
            return;
    while (!atomic_compare_exchange_weak(&q->claimed, &at, at + 1));
    f = &q->frame[at];
    f->time = nd_wall();
    f->wire = wire;
    f->have = have < ND_CRASH_BYTES ? have : ND_CRASH_BYTES;
    f->port = port;
    memcpy(f->bytes, bytes, f->have);
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

static enum nd_verdict look(void *of, const void *frame, uint32_t taken, uint32_t wire, uint8_t port,
                            bool guarded, uint64_t *bits)
{
    struct nd_quarantine *q = of;
    struct ft_fingerprint own = nd_fingerprint(frame, taken, wire);

    *bits = find(q, &own);
    if (!*bits)
        return ND_PASSES;
    if (guarded && !(*bits & ~atomic_load(&q->suspects)) && atomic_load(&q->judging))
        return ND_JUDGES;
    learn(q, own);
    keep_frame(q, frame, wire, wire, port);
    atomic_store(&q->until, nd_now() + q->lasts); /* TCP sends again after ever longer times */
    if (atomic_fetch_add(&q->dropped, 1) + 1 == atomic_load(&q->most)) /* it is doubted that they all kill */
        doubt(q, UINT64_MAX);
    return ND_DROPS;
}

struct nd_suspects nd_quarantine_suspects(struct nd_quarantine *q)
{
    return (struct nd_suspects){.count = &q->asked, .of = q, .look = look, .clear = clear};
}
