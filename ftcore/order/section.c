/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections: the lock live, the recorded order in replay. Written by lanes; what they note is taken by capture
 * when the burst ends.
 *
 * Why replay is right: the accesses to one object form a chain, since each enters after the one before left.
 * Neighbours in that chain are of one lane (ordered by its numbers) or have a dependency. So waiting where a
 * dependency says so gives every object the order it had, and nothing more: objects that were never shared
 * between two accesses order nothing.
 *
 * Why it ends: every dependency points to an access that had been left when its own was entered, so
 * dependencies and lanes' own orders are both consistent with the time of the recording, and there is no
 * circle. A log that was not made so is found out by the lanes that wait (ftcore/order/waits.h).
 */
#include "ftcore/order/section.h"
#include "ftcore/base/plant.h"
#include "ftcore/order/waits.h"

#include <immintrin.h>
#include <sched.h>
#include <string.h>

#define SPINS 256u /* until a waiting lane lets others run: there may be fewer cores than lanes */

static void spin_or_yield(uint32_t *spins)
{
    if (++*spins % SPINS == 0)
        sched_yield();
    else
        _mm_pause();
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
    s->next = access;
    s->count = s->at = s->accesses = 0;
}

void ft_sections_begin_replay(struct ft_sections *s, uint64_t access,
                              const struct ft_dependency dependencies[], uint32_t count)
{
    FT_CHECK(!s->inside && count <= FT_DEPENDENCIES_MAX, "%u dependencies to follow", count);
    s->replaying = true;
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

/* What this lane waits for cannot come: the log is not one that lanes have made. */
static void leave_when_in_vain(struct ft_sections *s)
{
    if (s->escape && ft_waits_in_vain(s->published, s->lanes, s->lane, s->via, &s->vias))
        longjmp(*s->escape, FT_IN_VAIN);
}

const struct ft_dependency *ft_sections_at(const struct ft_sections *s)
{
    return &s->dependencies[s->at];
}

void ft_sections_abandon(struct ft_sections *s)
{
    ft_wait_over(&s->published[s->lane]);
    s->inside = false;
    s->count = s->at = 0;
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
            ft_wait_for(&s->published[s->lane], dependency->lane, dependency->access);
        s->waits += spins == 0;
        leave_when_off(s);
        spin_or_yield(&spins);
        if (spins % SPINS == 0)
            leave_when_in_vain(s);
    }
    if (spins)
        ft_wait_over(&s->published[s->lane]);
    s->at++;
}

/* Gives the access its number. Release: what was done inside is there for whoever sees the number. */
static uint64_t give_number(struct ft_sections *s)
{
    uint64_t access = s->next++;

    atomic_store_explicit(&s->published[s->lane].access, access, memory_order_release);
    return access;
}

static void lock_object(struct ft_shared *object)
{
    uint32_t spins = 0, free = 0;

    while (!atomic_compare_exchange_weak_explicit(&object->lock, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
        free = 0;
        spin_or_yield(&spins);
    }
}

void ft_section_enter(struct ft_sections *s, const struct ft_shared *constant)
{
    struct ft_shared *object;

    FT_CHECK(!s->inside, "lane %u: sections do not nest", s->lane);
    s->inside = true;
    /* Before the lock: what a resync copies out must be the unlocked word of the cut. */
    object = ft_edit_in_line(s->region, constant, sizeof(*object));
    if (s->replaying) {
        follow_dependency(s);
        return;
    }
    if (s->lanes > 1) /* alone there is nobody to lock out */
        lock_object(object);
    if (object->last && object->last != s->lane + 1u)
        note_dependency(s, object->last - 1, object->access);
}

void ft_section_leave(struct ft_sections *s, const struct ft_shared *constant)
{
    struct ft_shared *object = (struct ft_shared *)(uintptr_t)constant;

    FT_CHECK(s->inside, "lane %u: left a section it is not in", s->lane);
    if (ft_unlikely(s->unreduced) && s->accesses < FT_ACCESSES_MAX)
        s->access[s->accesses++] =
            (struct ft_access){.object = (uint64_t)((const uint8_t *)object - s->region->base),
                               .before = object->access,
                               .own = s->next};
    /* The word in the object and the number in the record are the same by construction: both come from
     * s->next. */
    object->last = s->lane + 1u;
    object->access = s->next;
    give_number(s);
    s->inside = false;
    if (!s->replaying && s->lanes > 1)
        atomic_store_explicit(&object->lock, 0, memory_order_release);
}

void ft_section_depend(struct ft_sections *s, unsigned lane, uint64_t access)
{
    FT_CHECK(!s->inside && lane != s->lane && lane < s->lanes, "lane %u depends on lane %u", s->lane, lane);
    if (s->replaying)
        follow_dependency(s);
    else if (access)
        note_dependency(s, lane, access);
    give_number(s);
}

uint64_t ft_section_mark(struct ft_sections *s)
{
    FT_CHECK(!s->inside, "lane %u: a mark inside a section", s->lane);
    return give_number(s);
}
