/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections: a lane's stay inside a shared object, and the order between lanes that they leave behind.
 *
 * Live, a section is a short lock. Each lane numbers its accesses; the number is given and published at
 * leave, and the object remembers its last lane and that lane's number. Entering an object last used by
 * another lane notes one dependency: (own number, other lane, its number). Entering one's own notes nothing.
 * Replay takes no lock and no idea of its own: at an access that has a dependency it waits until the other
 * lane has published that number. A partial order, so lanes replay in parallel.
 *
 * Owned by the lane (struct ft_sections) and the region (struct ft_shared, in the shared arena). Sections do
 * not nest.
 */
#ifndef FTCORE_ORDER_SECTION_H
#define FTCORE_ORDER_SECTION_H

#include "ftcore/record/record.h"
#include "ftcore/region/region.h"

#include <setjmp.h>

/* The head of a shared object; what it guards lies behind it, in lines of its own. One line, at a multiple of
 * FT_LINE. */
struct ft_shared {
    _Atomic uint32_t lock; /* 0 between bursts: part of the digest, and always 0 there */
    uint32_t last;         /* lane that left last, plus 1; 0: nobody yet */
    uint64_t access;       /* its number */
    uint64_t unused[6];
};

enum { FT_ABORTED = 1, FT_DEADLOCK }; /* what a wait that ends otherwise jumps with */

#define FT_ACCESSES_MAX 512u /* kept of a burst, where all are; what is beyond is left out */

/* Access numbers that lanes have published, one line each; all lanes of a node share the array. In replay
 * also what each waits for, see below. */
struct ft_published {
    _Alignas(64) _Atomic uint64_t access;
    _Atomic uint64_t wait, needs;
    _Atomic bool locked_out; /* live: another lane is inside an object that this one wants */
};

struct ft_sections {
    struct ft_region *region;
    struct ft_published *published; /* [lanes] */
    uint16_t lane, lanes;
    bool replaying;
    bool inside;
    bool alone;    /* in this burst: live, and there is no other lane to be in order with */
    uint64_t next; /* number of the next access, from 1 */

    /* Live: noted in this burst. Replay: those of the record, followed in order; where it waits, or waited
     * when it jumped, is dependencies[at]. */
    struct ft_dependency dependencies[FT_DEPENDENCIES_MAX];
    uint32_t count, at;

    uint64_t noted, waits; /* ever; waits: times replay had to wait */

    /*
     * Replay that is aborted: when another lane has stopped for good, what it was to do never comes. A
     * wait that finds *off at or above `life` jumps to `escape`, out of the middle of a burst, with
     * FT_ABORTED: whoever set it gives up the lane's state, calls ft_sections_abandon, and nothing else. A
     * wait that is deadlocked (see below) jumps there with FT_DEADLOCK, and has then noted in `cycle` who
     * waits for whom. NULL: waits have no other end.
     */
    const _Atomic uint64_t *off;
    uint64_t life;
    jmp_buf *escape;
    unsigned cycle[FT_LANES_MAX + 1], cycle_length;

    /* For comparison alone: every access of the burst, as a log that is not reduced would have it. */
    bool unreduced;
    uint32_t accesses;
    struct ft_access {
        uint64_t object; /* its offset in the region */
        uint64_t before; /* number of the access to it before this one */
        uint64_t own;    /* number of this one */
    } access[FT_ACCESSES_MAX];
};

void ft_sections_init(struct ft_sections *s, struct ft_region *region, struct ft_published *published,
                      unsigned lane, unsigned lanes);

/* `access`: the number the burst's first access will get. Live notes dependencies anew; replay follows those
 * given (at most FT_DEPENDENCIES_MAX). */
void ft_sections_begin(struct ft_sections *s, uint64_t access);
void ft_sections_begin_replay(struct ft_sections *s, uint64_t access,
                              const struct ft_dependency dependencies[], uint32_t count);
/* Whether the burst used up exactly what was recorded: its dependencies, and `accesses` accesses. Replay
 * only. */
bool ft_sections_used(const struct ft_sections *s, uint64_t access, uint32_t accesses);
/* After a jump to `escape`: the burst is over, inside or not, and so is the wait. */
void ft_sections_abandon(struct ft_sections *s);

/* Of ft_section_enter and ft_section_leave: what a lane does that is not alone. */
void ft_section_enter_ordered(struct ft_sections *s, const struct ft_shared *object);
void ft_section_leave_ordered(struct ft_sections *s, const struct ft_shared *object);

/* The object's own state may be read and edited in between. Entering while inside aborts. A lane that is
 * alone has nobody to lock out and nothing to note, but its accesses are numbered as any lane's are. */
static inline void ft_section_enter(struct ft_sections *s, const struct ft_shared *constant)
{
    if (ft_unlikely(!s->alone)) {
        ft_section_enter_ordered(s, constant);
        return;
    }
    FT_CHECK(!s->inside, "lane %u: sections do not nest", s->lane);
    s->inside = true;
    ft_edit_in_line(s->region, constant, sizeof(*constant));
}

/* Gives the access its number. Release: what was done inside is there for whoever sees the number. */
static inline uint64_t ft_section_number(struct ft_sections *s)
{
    uint64_t access = s->next++;

    atomic_store_explicit(&s->published[s->lane].access, access, memory_order_release);
    return access;
}

static inline void ft_section_leave(struct ft_sections *s, const struct ft_shared *constant)
{
    struct ft_shared *object = (struct ft_shared *)(uintptr_t)constant;

    if (ft_unlikely(!s->alone)) {
        ft_section_leave_ordered(s, constant);
        return;
    }
    FT_CHECK(s->inside, "lane %u: left a section it is not in", s->lane);
    /* The word in the object and the number in the record are the same by construction. */
    object->last = s->lane + 1u;
    object->access = ft_section_number(s);
    s->inside = false;
}

/*
 * An access that depends on another lane's without an object: reading what `lane` had published as `access`
 * (a merged counter). Notes a dependency live, waits in replay. Takes a number of its own.
 */
void ft_section_depend(struct ft_sections *s, unsigned lane, uint64_t access);
/* An access that others may depend on; returns its number. */
uint64_t ft_section_mark(struct ft_sections *s);

/*
 * Who waits for whom while lanes replay, and whether lanes are deadlocked. What lanes recorded has no
 * cycle (section.c), but a log may be damaged, or come from a peer that is.
 *
 * A lane that has to wait publishes what it waits for, beside its access number in struct ft_published: an
 * access of another lane, or for all lanes (at a barrier, which nobody leaves before all have come). So each
 * waits for one thing at most, and it is deadlocked when going from one to the next leads into a cycle, or to
 * a lane that waits for all. Every wait has a number, and all that was seen on the way must be the same when
 * it is seen again: then all of them waited at the moment in between, and from there on none of them moves.
 *
 * Written by the lane that waits; a wait for all also by the lane that ends it. Read by lanes that wait.
 */

/* The lane waits until all lanes have come to where it is, the lanes that wait for an access among them. */
void ft_wait_for_all(struct ft_published *own);
void ft_wait_over(struct ft_published *own);
/* In replay: the lane waits. */
bool ft_wait_is_on(const struct ft_published *of);

#endif
