/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: one timer per number. Owns one object in the NF's arena; the NF's lane writes and reads it.
 *
 * Time is counted in ticks, a timer's rounded up, so it never fires early. Eight levels of 256 slots: a
 * timer lies at the level of the highest byte in which its tick differs from `current`, in the slot of that
 * byte. So any delay has a place, level 0 holds the exact ticks of the current 256, and a lower level is
 * always due before a higher one. When `current` enters a slot of a higher level, that slot's timers are
 * spread over the levels below it, in their order. A slot is a ring of nodes, in the order they were set,
 * with a bit for whether it has any: gaps, however long, are skipped by looking at bits.
 *
 *     struct nf_wheel | node unused | 8 * 256 nodes, one per slot | node of number 0 | number 1 | …
 *
 * A link is a node's place; 0 in a number's node: no timer.
 *
 * Spreading is bounded per call like delivery is. A slot half spread is `spreading`: nothing is delivered
 * until it is done, and what is set in its range meanwhile queues behind what is there, so the order holds.
 *
 * The wake time. An NF has one wake time and may have several wheels (and times of its own): nf_wake only
 * ever brings it forward, and the earliest wins. The runner puts it to "none" before it calls `timers`, and
 * `timers` calls nf_wheel_due of every wheel of the NF, which asks again for what that wheel needs next. The
 * wheel asks for the time at which a slot is to be spread, too: `timers` may run with nothing due. Cancelling
 * does not take the wake time back; that is at most one more such run.
 */
#include "nflib/module/content.h"
#include "nflib/state/watch.h"
#include "nflib/state/state.h"

#define LEVEL_BITS 8u
#define LEVELS     8u
#define SLOTS      256u
#define FIRST      (1u + LEVELS * SLOTS) /* link to number 0 */
#define SPREAD_MAX 1024u                 /* timers moved down in one call */

struct node {
    uint64_t due; /* tick; numbers only */
    uint32_t next, prev;
};

struct nf_wheel {
    uint64_t tick;    /* ns */
    uint64_t current; /* every earlier tick has been delivered */
    uint32_t count;
    uint32_t spreading; /* level whose slot at `current` is being spread; 0: none */
    _Alignas(FT_LINE) uint64_t occupied[LEVELS][SLOTS / 64];
    struct node nodes[];
};

static inline uint32_t digit_of(uint64_t tick, uint32_t level)
{
    return tick >> level * LEVEL_BITS & (SLOTS - 1);
}

static inline uint32_t level_of(uint64_t differ)
{
    return differ ? (63 - (uint32_t)__builtin_clzll(differ)) / LEVEL_BITS : 0;
}

static inline uint32_t slot_link(uint32_t level, uint32_t slot)
{
    return 1 + level * SLOTS + slot;
}

/* First tick of a slot that lies ahead of `current`, or is at it. */
static uint64_t slot_start(const struct nf_wheel *wheel, uint32_t level, uint32_t slot)
{
    uint32_t shift = level * LEVEL_BITS;
    uint64_t above =
        shift + LEVEL_BITS < 64 ? wheel->current >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS) : 0;

    return above | (uint64_t)slot << shift;
}

/* Chain time of a tick; one beyond the end of time is never reached. */
static uint64_t time_of(const struct nf_wheel *wheel, uint64_t tick)
{
    uint64_t at;

    return __builtin_mul_overflow(tick, wheel->tick, &at) ? UINT64_MAX : at;
}

/* A slot is half spread. (Cancelling may have emptied it since.) */
static inline bool is_spreading(const struct nf_wheel *wheel)
{
    uint32_t slot = digit_of(wheel->current, wheel->spreading);

    return wheel->spreading && wheel->occupied[wheel->spreading][slot / 64] >> slot % 64 & 1;
}

/* The slot to look at next; false when no timer is set. */
static bool find_earliest(const struct nf_wheel *wheel, uint32_t *level, uint32_t *slot)
{
    for (uint32_t l = is_spreading(wheel) ? wheel->spreading : 0; l < LEVELS; l++)
        for (uint32_t w = 0; w < SLOTS / 64; w++)
            if (wheel->occupied[l][w]) {
                *level = l;
                *slot = w * 64 + (uint32_t)__builtin_ctzll(wheel->occupied[l][w]);
                return true;
            }
    return false;
}

uint64_t nf_wheel_bytes(uint32_t count)
{
    uint64_t bytes = sizeof(struct nf_wheel) + ((uint64_t)FIRST + count) * sizeof(struct node);

    return (bytes + FT_LINE - 1) & ~(uint64_t)(FT_LINE - 1);
}

bool nf_wheel_has(const struct nf_wheel *wheel, uint32_t number)
{
    return wheel->nodes[FIRST + number].next != 0;
}

/* ---- checking one that came from a peer ---- */

/* A number's node in the ring of a slot lies where its tick belongs. */
static int check_node(struct nf_check *c, const struct nf_wheel *wheel, uint32_t level, uint32_t slot,
                      uint32_t link)
{
    uint64_t due = wheel->nodes[link].due, now = wheel->current;
    uint32_t above = (level + 1) * LEVEL_BITS;
    bool same = above >= 64 || due >> above == now >> above;
    /* Only a slot that is half spread is current at a level above the lowest. */
    bool ahead = level == 0 ? due >= now : slot > digit_of(now, level);
    bool spread = level == wheel->spreading && slot == digit_of(now, level) && due >= now;

    if (digit_of(due, level) != slot || !same || !(ahead || (level && spread)))
        return nf_check_failed(
            c, "timer %u of tick %lu is at level %u, slot %u, which is not its place at tick %lu",
            link - FIRST, due, level, slot, now);
    return 0;
}

/* Adds the ring's timers to *set. Each node's successor names it as its predecessor: so rings share no node,
 * and end. */
static int check_ring(struct nf_check *c, const struct nf_wheel *wheel, uint32_t level, uint32_t slot,
                      uint32_t *set)
{
    uint32_t ring = slot_link(level, slot), at = ring, next;
    bool occupied = wheel->occupied[level][slot / 64] >> slot % 64 & 1;
    int error;

    do {
        nf_check_step(c);
        next = wheel->nodes[at].next;
        if (next != ring && (next < FIRST || next - FIRST >= wheel->count))
            return nf_check_failed(c, "level %u, slot %u leads to %u, expected a timer or itself", level,
                                   slot, next);
        if (wheel->nodes[next].prev != at)
            return nf_check_failed(c, "level %u, slot %u: the ring is not the same in both directions", level,
                                   slot);
        if (next == ring)
            break;
        if (*set == wheel->count)
            return nf_check_failed(c, "more timers are set than there are, %u", wheel->count);
        (*set)++;
        error = check_node(c, wheel, level, slot, next);
        if (error)
            return error;
        at = next;
    } while (true);
    if (occupied != (at != ring))
        return nf_check_failed(c, "level %u, slot %u is marked as %s and is not", level, slot,
                               occupied ? "taken" : "empty");
    return 0;
}

static int nf_wheel_check(struct nf_check *c, const void *object)
{
    const struct nf_wheel *wheel = object;
    uint32_t in_rings = 0, set = 0;
    int error;

    if (wheel->spreading >= LEVELS)
        return nf_check_failed(c, "level %u is being spread, expected one below %u", wheel->spreading,
                               LEVELS);
    if (wheel->current > c->time / wheel->tick)
        return nf_check_failed(c, "tick %lu has come, expected at most %lu, the chain's time", wheel->current,
                               c->time / wheel->tick);
    for (uint32_t level = 0; level < LEVELS; level++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if ((error = check_ring(c, wheel, level, slot, &in_rings)))
                return error;
    for (uint32_t number = 0; number < wheel->count; number++) {
        nf_check_step(c);
        set += nf_wheel_has(wheel, number);
    }
    if (set != in_rings)
        return nf_check_failed(c, "%u timers are set, expected %u, as lie in slots", set, in_rings);
    return 0;
}

struct nf_wheel *nf_wheel_make(struct nf *nf, uint32_t count, uint64_t tick)
{
    struct nf_wheel *wheel;

    FT_CHECK(tick > 0 && count < NF_NONE - FIRST, "a wheel of %u timers", count);
    wheel = ft_arena_alloc(nf->arena, nf_wheel_bytes(count));
    if (!wheel)
        return NULL;
    wheel = nf_edit(nf, wheel, sizeof(*wheel) + FIRST * sizeof(struct node));
    wheel->tick = tick;
    wheel->count = count;
    for (uint32_t link = 1; link < FIRST; link++)
        wheel->nodes[link] = (struct node){.next = link, .prev = link};
    NF_CONSTANT(nf, &wheel->tick);
    NF_CONSTANT(nf, &wheel->count);
    nf_object(nf, wheel, "wheel", nf_wheel_check);
    NF_WATCH(made, nf, NF_WATCH_DERIVED, wheel, nf_wheel_bytes(count));
    return wheel;
}

/* Takes a node out of its ring; its own links are the caller's to change. */
static void detach_node(const struct nf *nf, const struct nf_wheel *wheel, const struct node *node)
{
    uint32_t next = node->next, prev = node->prev;

    *NF_EDIT(nf, &wheel->nodes[prev].next) = next;
    *NF_EDIT(nf, &wheel->nodes[next].prev) = prev;
    if (next == prev && next < FIRST) /* only the slot itself is left */
        *NF_EDIT(nf, &wheel->occupied[(next - 1) / SLOTS][(next - 1) % SLOTS / 64]) &=
            ~(1ull << (next - 1) % 64);
}

/* Puts a node at the end of a slot's ring. */
static void append_node(const struct nf *nf, const struct nf_wheel *wheel, uint32_t link, uint64_t due,
                        uint32_t level, uint32_t slot)
{
    uint32_t ring = slot_link(level, slot), last = wheel->nodes[ring].prev;

    *NF_EDIT(nf, &wheel->nodes[link]) = (struct node){.due = due, .next = ring, .prev = last};
    *NF_EDIT(nf, &wheel->nodes[last].next) = link;
    *NF_EDIT(nf, &wheel->nodes[ring].prev) = link;
    if (last == ring)
        *NF_EDIT(nf, &wheel->occupied[level][slot / 64]) |= 1ull << slot % 64;
}

void nf_wheel_set(const struct nf *nf, struct nf_wheel *wheel, uint32_t number, uint64_t at)
{
    const struct node *node = &wheel->nodes[FIRST + number];
    uint64_t due = at / wheel->tick + (at % wheel->tick != 0);
    uint32_t level, slot;

    FT_CHECK(number < wheel->count, "timer %u of %u", number, wheel->count);
    if (due < wheel->current)
        due = wheel->current;
    if (node->next) {
        if (node->due == due)
            return;
        detach_node(nf, wheel, node);
    }
    level = level_of(due ^ wheel->current);
    if (level < wheel->spreading)
        level = wheel->spreading;
    slot = digit_of(due, level);
    append_node(nf, wheel, FIRST + number, due, level, slot);
    nf_wake(nf, time_of(wheel, slot_start(wheel, level, slot)));
}

void nf_wheel_cancel(const struct nf *nf, struct nf_wheel *wheel, uint32_t number)
{
    const struct node *node = &wheel->nodes[FIRST + number];

    FT_CHECK(number < wheel->count, "timer %u of %u", number, wheel->count);
    if (!node->next)
        return;
    detach_node(nf, wheel, node);
    *NF_EDIT(nf, node) = (struct node){0};
}

static void advance_to_tick(const struct nf *nf, struct nf_wheel *wheel, uint64_t tick)
{
    if (tick > wheel->current)
        *NF_EDIT(nf, &wheel->current) = tick;
}

/* Moves up to `*budget` timers of the slot entered to lower levels; true when all are. */
static bool spread_slot(const struct nf *nf, struct nf_wheel *wheel, uint32_t level, uint32_t slot,
                        uint32_t *budget)
{
    uint32_t ring = slot_link(level, slot), link;

    while ((link = wheel->nodes[ring].next) != ring) {
        uint64_t due = wheel->nodes[link].due;
        uint32_t lower = level_of(due ^ wheel->current);

        if (!*budget) {
            if (wheel->spreading != level)
                *NF_EDIT(nf, &wheel->spreading) = level;
            return false;
        }
        (*budget)--;
        detach_node(nf, wheel, &wheel->nodes[link]);
        append_node(nf, wheel, link, due, lower, digit_of(due, lower));
    }
    if (wheel->spreading)
        *NF_EDIT(nf, &wheel->spreading) = 0;
    return true;
}

/* No timer is due before; UINT64_MAX: none is set. */
static uint64_t next_due(const struct nf_wheel *wheel)
{
    uint32_t level, slot;

    return find_earliest(wheel, &level, &slot) ? time_of(wheel, slot_start(wheel, level, slot)) : UINT64_MAX;
}

uint32_t nf_wheel_due(const struct nf *nf, struct nf_wheel *wheel, uint64_t now, uint32_t out[], uint32_t max)
{
    uint64_t target = now / wheel->tick;
    uint32_t n = 0, budget = SPREAD_MAX, level, slot;

    if (wheel->spreading && !is_spreading(wheel))
        *NF_EDIT(nf, &wheel->spreading) = 0;
    while (n < max) {
        bool any = find_earliest(wheel, &level, &slot);
        uint64_t start = any ? slot_start(wheel, level, slot) : UINT64_MAX;

        if (!any || start > target) {
            advance_to_tick(nf, wheel, target);
            break;
        }
        advance_to_tick(nf, wheel, start);
        if (level > 0) {
            if (!spread_slot(nf, wheel, level, slot, &budget))
                break;
            continue;
        }
        out[n] = wheel->nodes[slot_link(0, slot)].next - FIRST;
        nf_wheel_cancel(nf, wheel, out[n++]);
    }
    nf_wake(nf, n == max ? now : next_due(wheel));
    return n;
}
