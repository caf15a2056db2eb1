/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections: what lanes did to shared objects in any order is done again in the same order by following the
 * recorded dependencies, whatever threads do meanwhile. The history of each object is its own witness: a list
 * of who was inside.
 */
#include "ftcore/order/section.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <sched.h>

#define LANES   3u
#define OBJECTS 4u
#define BURSTS  300u
#define VISITS  8u /* a burst */
#define HISTORY (LANES * BURSTS * VISITS)

struct object {
    struct ft_shared head;
    uint64_t count;
    uint64_t pad[7];
    uint16_t who[HISTORY];
};

struct burst {
    uint64_t access;
    uint32_t count;
    struct ft_dependency dependencies[VISITS];
};

struct lane {
    struct ft_sections sections;
    struct object *const *objects;
    uint64_t seed;
    uint32_t yields; /* one in how many visits lets others run */
    unsigned index;
    struct burst *bursts;
    bool replay;
};

static uint64_t draw(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void visit(struct lane *lane, uint64_t *path, uint64_t *contention)
{
    struct object *o = lane->objects[draw(path) % OBJECTS];

    ft_section_enter(&lane->sections, &o->head);
    uint64_t at = o->count;

    if (draw(contention) % lane->yields == 0)
        sched_yield();
    o->who[at] = (uint16_t)(lane->index + 1);
    o->count = at + 1;
    ft_section_leave(&lane->sections, &o->head);
}

static void *run(void *arg)
{
    struct lane *lane = arg;
    uint64_t path = 77 + lane->index, contention = lane->seed;

    for (unsigned b = 0; b < BURSTS; b++) {
        struct burst *burst = &lane->bursts[b];

        if (lane->replay)
            ft_sections_begin_replay(&lane->sections, burst->access, burst->dependencies, burst->count);
        else
            ft_sections_begin(&lane->sections, lane->sections.next);
        uint64_t first = lane->sections.next;

        for (unsigned v = 0; v < VISITS; v++)
            visit(lane, &path, &contention);
        if (lane->replay) {
            if (!ft_sections_used(&lane->sections, burst->access, VISITS))
                abort();
            continue;
        }
        burst->access = first;
        burst->count = lane->sections.count;
        if (burst->count > VISITS)
            abort();
        memcpy(burst->dependencies, lane->sections.dependencies, burst->count * sizeof(struct ft_dependency));
    }
    return NULL;
}

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
    struct ft_region *region;

    assert_int_equal(ft_region_open(&region, &config, NULL), 0);
    return region;
}

static void run_all(struct ft_region *region, struct object *objects[], struct burst *bursts[], bool replay,
                    uint64_t seed)
{
    struct ft_published published[LANES] = {{0}};
    struct lane *lanes = calloc(LANES, sizeof(*lanes));
    pthread_t threads[LANES];

    assert_non_null(lanes);
    for (unsigned l = 0; l < LANES; l++) {
        ft_sections_init(&lanes[l].sections, region, published, l, LANES);
        lanes[l].objects = objects;
        lanes[l].seed = seed * 31 + l + 1;
        lanes[l].yields = replay ? 3 : 2;
        lanes[l].index = l;
        lanes[l].bursts = bursts[l];
        lanes[l].replay = replay;
        assert_int_equal(pthread_create(&threads[l], NULL, run, &lanes[l]), 0);
    }
    for (unsigned l = 0; l < LANES; l++)
        pthread_join(threads[l], NULL);
    free(lanes);
}

TEST(replay_gives_each_object_its_history)
{
    struct ft_region *region = open_region();
    struct object *objects[OBJECTS];
    struct object *before = calloc(OBJECTS, sizeof(*before));
    struct burst *bursts[LANES];
    uint64_t switches = 0, dependencies = 0;

    for (unsigned l = 0; l < LANES; l++)
        bursts[l] = calloc(BURSTS, sizeof(struct burst));
    for (unsigned round = 1; round <= 5; round++) {
        ft_region_wipe(region);
        for (unsigned i = 0; i < OBJECTS; i++)
            objects[i] = ft_arena_alloc(ft_region_shared(region), sizeof(struct object));
        run_all(region, objects, bursts, false, round);
        uint64_t digest = ft_region_digest(region);

        for (unsigned i = 0; i < OBJECTS; i++) {
            before[i] = *objects[i];
            for (uint64_t k = 1; k < before[i].count; k++)
                switches += before[i].who[k] != before[i].who[k - 1];
        }
        for (unsigned l = 0; l < LANES; l++)
            for (unsigned b = 0; b < BURSTS; b++)
                dependencies += bursts[l][b].count;
        ft_region_wipe(region);
        for (unsigned i = 0; i < OBJECTS; i++)
            objects[i] = ft_arena_alloc(ft_region_shared(region), sizeof(struct object));
        run_all(region, objects, bursts, true, round + 1000);
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_memory_equal(objects[i]->who, before[i].who, sizeof(before[i].who));
        assert_true(ft_region_digest(region) == digest);
    }
    /* One dependency for each time an object changed hands, and none else. */
    assert_int_equal(dependencies, switches);
    assert_true(switches > 100);
    for (unsigned l = 0; l < LANES; l++)
        free(bursts[l]);
    free(before);
    ft_region_close(region);
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
    ft_region_close(region);
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
    ft_region_close(region);
}
