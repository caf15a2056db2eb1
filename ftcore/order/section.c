/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections: the lock live, the recorded order in replay. Written by lanes; what they note is taken by capture
 * when the burst ends.
 *
 * Why replay is right: the accesses to one object form a chain. Neighbours in it are of one lane (ordered by
 * its numbers) or have a dependency, so waiting for dependencies gives every object the order it had, and
 * nothing more.
 *
 * Why it ends: every dependency points to an access that had been left when its own was entered, so
 * dependencies and lanes' own orders are both consistent with the time of the recording, and there is no
 * cycle. A log that was not made so is found out by the lanes that wait.
 */
#include "ftcore/order/section.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/plant.h"
#include "ftcore/region/audit.h"

#include <sched.h>
#include <string.h>

#define SPINS 256u /* until a waiting lane lets others run: there may be fewer cores than lanes */

/* Of the word: above, the number of the wait; below, for whom. */
#define WHOM   8
#define NOBODY 0u
#define ALL    0xffu /* else a lane, plus 1 */

static void publish_wait(struct ft_published *own, unsigned whom)
{
    uint64_t number = (atomic_load_explicit(&own->wait, memory_order_relaxed) >> WHOM) + 1;

    atomic_store_explicit(&own->wait, number << WHOM | whom, memory_order_release);
}

/* The lane waits until `other` has published `access`. */
static void wait_for(struct ft_published *own, unsigned other, uint64_t access)
{
    /* Release: who reads this finds the wait before it to be over. */
    atomic_store_explicit(&own->needs, access, memory_order_release);
    publish_wait(own, other + 1);
}

void ft_wait_for_all(struct ft_published *own)
{
    publish_wait(own, ALL);
}

void ft_wait_over(struct ft_published *own)
{
    publish_wait(own, NOBODY);
}

bool ft_wait_is_on(const struct ft_published *of)
{
    return (atomic_load_explicit(&of->wait, memory_order_acquire) & ((1u << WHOM) - 1)) != NOBODY;
}

struct path {
    uint64_t seen[FT_LANES_MAX + 1]; /* words, in order */
    unsigned lane[FT_LANES_MAX + 1];
    unsigned count;
};

/* Goes from `self` to whom it waits for, and on. False: somebody does not wait. */
static bool follow_waits(const struct ft_published published[], unsigned lanes, unsigned self,
                         struct path *path)
{
    unsigned lane = self;

    for (path->count = 0; path->count <= lanes; path->count++) {
        uint64_t word = atomic_load_explicit(&published[lane].wait, memory_order_acquire);
        unsigned whom = word & 0xff;

        path->lane[path->count] = lane;
        path->seen[path->count] = word;
        if (whom == ALL) {
            path->count++;
            return true;
        }
        if (whom == NOBODY || whom > lanes ||
            atomic_load_explicit(&published[whom - 1].access, memory_order_acquire) >=
                atomic_load_explicit(&published[lane].needs, memory_order_acquire))
            return false;
        /* The access read in `needs` may belong to a later wait; then the lane's wait word has changed
         * meanwhile. */
        if (atomic_load_explicit(&published[lane].wait, memory_order_acquire) != word)
            return false;
        lane = whom - 1;
    }
    return true; /* more steps than lanes: a cycle */
}

/* In a cycle, and no lane before it is. */
static bool is_lowest(const struct path *path, unsigned lanes)
{
    unsigned again = 0;

    if (path->count <= lanes) /* it ends at one that waits for all */
        return true;
    for (unsigned i = 1; i < path->count; i++) {
        if (path->lane[i] == path->lane[0])
            again = i;
        if (!again && path->lane[i] < path->lane[0])
            return false;
    }
    return again != 0;
}

/*
 * The lane waits for an access that cannot come. In a cycle this is true for the lowest lane only. The lanes
 * on the way, its own first, are written to `cycle`. The last one is itself again, or waits for all.
 */
static bool is_deadlocked(struct ft_sections *s)
{
    struct path first, second;

    if (!follow_waits(s->published, s->lanes, s->lane, &first) ||
        !follow_waits(s->published, s->lanes, s->lane, &second) || first.count != second.count ||
        memcmp(first.seen, second.seen, first.count * sizeof(first.seen[0])) || !is_lowest(&second, s->lanes))
        return false;
    s->cycle_length = second.count;
    for (unsigned i = 1; i < s->cycle_length; i++) /* a cycle ends where it began */
        if (second.lane[i] == s->lane)
            s->cycle_length = i + 1;
    memcpy(s->cycle, second.lane, s->cycle_length * sizeof(s->cycle[0]));
    return true;
}

static void spin_or_yield(uint32_t *spins)
{
    if (++*spins % SPINS == 0)
        sched_yield();
    else
        ft_pause();
}

void ft_sections_init(struct ft_sections *s, struct ft_region *region, struct ft_published *published,
                      unsigned lane, unsigned lanes)
{
    memset(s, 0, sizeof(*s));
    s->region = region;
    s->published = published;
    s->lane = (uint16_t)lane;
    s->lanes = (uint16_t)lanes;
    s->next = 1;
}

void ft_sections_begin(struct ft_sections *s, uint64_t access)
{
    FT_CHECK(!s->inside, "a burst begins inside a section");
    s->replaying = false;
    s->alone = s->lanes == 1 && !s->unreduced && !s->region->audit;
    s->next = access;
    s->count = s->at = s->accesses = 0;
}

void ft_sections_begin_replay(struct ft_sections *s, uint64_t access,
                              const struct ft_dependency dependencies[], uint32_t count)
{
    FT_CHECK(!s->inside && count <= FT_DEPENDENCIES_MAX, "%u dependencies to follow", count);
    s->replaying = true;
    s->alone = false;
    s->next = access;
    memcpy(s->dependencies, dependencies, count * sizeof(dependencies[0]));
    s->count = count;
    s->at = s->accesses = 0;
}

bool ft_sections_used(const struct ft_sections *s, uint64_t access, uint32_t accesses)
{
    return s->at == s->count && s->next == access + accesses;
}

static void note_dependency(struct ft_sections *s, unsigned lane, uint64_t access)
{
    if (FT_PLANTED("lost-edge") && s->next % 16 == 7)
        return;
    FT_CHECK(s->count < FT_DEPENDENCIES_MAX, "lane %u: more than %u dependencies in a burst", s->lane,
             FT_DEPENDENCIES_MAX);
    s->dependencies[s->count++] =
        (struct ft_dependency){.own = s->next, .access = access, .lane = (uint16_t)lane};
    s->noted++;
}

/* Another lane has stopped for good. The region is void by then, so that nothing needs to be put in order. */
static void leave_when_off(struct ft_sections *s)
{
    if (s->escape && s->off && atomic_load_explicit(s->off, memory_order_acquire) >= s->life)
        longjmp(*s->escape, FT_ABORTED);
}

void ft_sections_abandon(struct ft_sections *s)
{
    ft_wait_over(&s->published[s->lane]);
    s->inside = false;
    s->count = s->at = 0;
    ft_audit_abandon(s->region, s->lane);
}

/* Replay: if this access has a dependency, wait for what it names. */
static void follow_dependency(struct ft_sections *s)
{
    const struct ft_dependency *dependency = &s->dependencies[s->at];
    uint32_t spins = 0;

    if (s->at == s->count || dependency->own != s->next)
        return;
    while (atomic_load_explicit(&s->published[dependency->lane].access, memory_order_acquire) <
           dependency->access) {
        if (spins == 0)
            wait_for(&s->published[s->lane], dependency->lane, dependency->access);
        s->waits += spins == 0;
        leave_when_off(s);
        spin_or_yield(&spins);
        /* What this lane waits for cannot come: the log is not one that lanes have made. */
        if (spins % SPINS == 0 && s->escape && is_deadlocked(s))
            longjmp(*s->escape, FT_DEADLOCK);
    }
    if (spins)
        ft_wait_over(&s->published[s->lane]);
    s->at++;
}

static void lock_object(struct ft_shared *object, struct ft_published *own)
{
    uint32_t spins = 0, free = 0;

    while (!atomic_compare_exchange_weak_explicit(&object->lock, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
        free = 0;
        spin_or_yield(&spins);
        if (spins == SPINS)
            atomic_store_explicit(&own->locked_out, true, memory_order_relaxed);
    }
    if (ft_unlikely(spins >= SPINS))
        atomic_store_explicit(&own->locked_out, false, memory_order_relaxed);
}

void ft_section_enter_ordered(struct ft_sections *s, const struct ft_shared *constant)
{
    struct ft_shared *object;

    FT_CHECK(!s->inside, "lane %u: sections do not nest", s->lane);
    s->inside = true;
    ft_audit_enter(s->region, s->lane);
    /* Before the lock: what a resync copies out must be the unlocked word of the cut. */
    object = ft_edit_in_line(s->region, constant, sizeof(*object));
    if (s->replaying) {
        follow_dependency(s);
        ft_audit_enter(s->region, s->lane); /* while it waited, its thread may have been another lane's */
        return;
    }
    if (s->lanes > 1) /* alone there is nobody to lock out */
        lock_object(object, &s->published[s->lane]);
    ft_audit_enter(s->region, s->lane);
    if (object->last && object->last != s->lane + 1u)
        note_dependency(s, object->last - 1, object->access);
}

void ft_section_leave_ordered(struct ft_sections *s, const struct ft_shared *constant)
{
    struct ft_shared *object = (struct ft_shared *)(uintptr_t)constant;

    FT_CHECK(s->inside, "lane %u: left a section it is not in", s->lane);
    if (ft_unlikely(s->unreduced) && s->accesses < FT_ACCESSES_MAX)
        s->access[s->accesses++] =
            (struct ft_access){.object = (uint64_t)((const uint8_t *)object - s->region->base),
                               .before = object->access,
                               .own = s->next};
    ft_audit_sum_stay(s->region, s->lane, object);
    object->last = s->lane + 1u;
    /* Before the number is given, since in replay the next lane needs no more than that to go on. */
    object->access = s->next;
    ft_section_number(s);
    s->inside = false;
    if (!s->replaying && s->lanes > 1)
        atomic_store_explicit(&object->lock, 0, memory_order_release);
    ft_audit_leave(s->region, s->lane);
}

void ft_section_depend(struct ft_sections *s, unsigned lane, uint64_t access)
{
    FT_CHECK(!s->inside && lane != s->lane && lane < s->lanes, "lane %u depends on lane %u", s->lane, lane);
    if (s->replaying)
        follow_dependency(s);
    else if (access)
        note_dependency(s, lane, access);
    ft_section_number(s);
}

uint64_t ft_section_mark(struct ft_sections *s)
{
    FT_CHECK(!s->inside, "lane %u: a mark inside a section", s->lane);
    return ft_section_number(s);
}
