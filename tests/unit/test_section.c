/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections: what is noted when an object changes hands, and who waits in replay for good. That replay gives
 * each object its history, whatever threads do, is held by tests/unit/test_shared_lanes.c, byte for byte.
 */
#include "ftcore/order/section.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <pthread.h>

#define LANES 3u

static struct ft_region *open_region(void)
{
    static const uint64_t size[1] = {FT_ARENA_MIN};
    static const char *const name[1] = {"lane"};
    struct ft_region_config config = {.name = "test",
                                      .lanes = LANES,
                                      .nfs = 1,
                                      .arena_size = size,
                                      .nf_name = name,
                                      .shared_size = 1 << 20};

    return help_region(&config);
}

TEST(one_lane_notes_nothing)
{
    struct ft_region *region = open_region();
    struct ft_published published[LANES] = {{0}};
    struct ft_shared *o = ft_arena_alloc(ft_region_shared(region), sizeof(*o));
    static struct ft_sections a, b;

    ft_sections_init(&a, region, published, 0, LANES);
    ft_sections_init(&b, region, published, 2, LANES);
    ft_sections_begin(&a, 1);
    for (unsigned i = 0; i < 5; i++) {
        ft_section_enter(&a, o);
        ft_section_leave(&a, o);
    }
    assert_int_equal(a.count, 0);
    assert_int_equal(published[0].access, 5);
    ft_sections_begin(&b, 1);
    ft_section_enter(&b, o);
    ft_section_leave(&b, o);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.dependencies[0].own, 1);
    assert_int_equal(b.dependencies[0].lane, 0);
    assert_int_equal(b.dependencies[0].access, 5);
    ft_section_enter(&a, o); /* it was left */
    ft_section_leave(&a, o);
    assert_int_equal(a.count, 1);
}

static void enter_twice(void *arg)
{
    struct ft_region *region = open_region();
    struct ft_published published[LANES] = {{0}};
    struct ft_shared *o = ft_arena_alloc(ft_region_shared(region), sizeof(*o));
    static struct ft_sections a;

    ft_sections_init(&a, region, published, 0, LANES);
    ft_section_enter(&a, o);
    ft_section_enter(&a, o);
}

TEST(sections_do_not_nest)
{
    assert_dies(enter_twice, NULL, "do not nest");
}

/* A lane in the middle of a burst, waiting for an access of a lane that has stopped. */
struct waiting {
    struct ft_sections sections;
    struct ft_shared *object;
    jmp_buf escape;
    _Atomic bool jumped;
};

static void *wait_for_good(void *arg)
{
    struct waiting *w = arg;
    struct ft_dependency dependency = {.own = 1, .access = 7, .lane = 1};

    w->sections.escape = &w->escape;
    if (setjmp(w->escape) != 0) {
        ft_sections_abandon(&w->sections);
        atomic_store(&w->jumped, true);
        return NULL;
    }
    ft_sections_begin_replay(&w->sections, 1, &dependency, 1);
    ft_section_enter(&w->sections, w->object);
    ft_section_leave(&w->sections, w->object);
    return NULL;
}

static void start_waiting(struct waiting *w, pthread_t *thread)
{
    atomic_store(&w->jumped, false);
    assert_int_equal(pthread_create(thread, NULL, wait_for_good, w), 0);
}

TEST(a_wait_is_aborted)
{
    struct ft_region *region = open_region();
    static struct ft_published published[LANES];
    static struct waiting w;
    _Atomic uint64_t off = 0;
    pthread_t thread;

    w.object = ft_arena_alloc(ft_region_shared(region), sizeof(*w.object));
    ft_sections_init(&w.sections, region, published, 0, LANES);
    w.sections.off = &off;
    w.sections.life = 5;
    start_waiting(&w, &thread);
    atomic_store(&off, 5);
    pthread_join(thread, NULL); /* or the test hangs */
    assert_true(atomic_load(&w.jumped));
    assert_int_equal(published[0].access, 0);
    /* An earlier life that was aborted is not this one; and a burst may begin again. */
    w.sections.life = 6;
    atomic_store(&published[1].access, 7);
    start_waiting(&w, &thread);
    pthread_join(thread, NULL);
    assert_false(atomic_load(&w.jumped));
    assert_int_equal(published[0].access, 1);
}
