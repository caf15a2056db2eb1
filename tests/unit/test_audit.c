/* SPDX-License-Identifier: Apache-2.0 */
/* Audit: a write that went past ft_edit ends the process with a name and a place; everything else goes on. */
#include "ftcore/region/audit.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/* A small region with audit, and edits in it, for the audit's tests. */

#define HELP_AUDIT_USED 20000u /* bytes handed out of each arena */

static const char *const names[] = {"lane", "nat", "firewall"};

/* Not a setup of cmocka's: its own handlers come after those. */
static struct ft_region *help_audit_open(unsigned lanes)
{
    const uint64_t sizes[] = {0, 100000, 0};
    struct ft_region_config config = {.lanes = (uint16_t)lanes,
                                      .nfs = 3,
                                      .arena_size = sizes,
                                      .nf_name = names,
                                      .shared_size = 1 << 20,
                                      .audit = true,
                                      .huge = true};
    struct ft_region *region = help_region(&config);

    for (unsigned i = 0; i <= lanes * 3; i++)
        assert_non_null(ft_arena_alloc(&region->arenas[i], HELP_AUDIT_USED));
    return region;
}

static uint8_t *help_audit_at(const struct ft_arena *arena, uint64_t byte)
{
    return arena->region->base + arena->offset + byte;
}

static uint8_t *help_audit_nat(struct ft_region *region, unsigned lane, uint64_t byte)
{
    return help_audit_at(ft_region_arena(region, lane, 1), byte);
}

static uint8_t *help_audit_shared(struct ft_region *region, uint64_t byte)
{
    return help_audit_at(ft_region_shared(region), byte);
}

static void help_audit_set(struct ft_region *region, uint8_t *p, size_t n, int value)
{
    memset(ft_edit(region, p, n), value, n);
}

/* in a stay */
static void help_audit_set_shared(struct ft_region *region, unsigned lane, uint64_t byte, int value)
{
    ft_audit_enter(region, lane);
    help_audit_set(region, help_audit_shared(region, byte), 64, value);
    ft_audit_leave(region, lane);
}

TEST(edited_bytes_pass_the_audit)
{
    struct ft_region *region = help_audit_open(2);

    for (unsigned burst = 1; burst <= 300; burst++) {
        unsigned lane = burst % 2;

        help_audit_set(region, help_audit_nat(region, lane, burst * 17), 150, (int)burst);
        help_audit_set(region, help_audit_nat(region, lane, 0), HELP_AUDIT_USED,
                       (int)burst); /* over many pages */
        ft_audit_enter(region, lane);
        help_audit_set(region, help_audit_shared(region, burst * 31), 1, (int)burst);
        ft_audit_leave(region, lane);
        ft_edit(region, help_audit_nat(region, lane, 5), 1); /* announced, not made */
        ft_audit_check(region, lane);
        ft_audit_check(region, lane); /* an empty burst */
    }
    assert_int_equal(*help_audit_nat(region, 0, 19999), 300 % 256);
    assert_int_equal(*help_audit_nat(region, 1, 0), 299 % 256);
}

/* The process dies of the act, on a region of so many lanes, and says so. */
static void dies(unsigned lanes, void (*act)(void *region), const char *text)
{
    assert_dies(act, help_audit_open(lanes), text);
}

static void write_unmarked(void *arg)
{
    struct ft_region *region = arg;

    help_audit_set(region, help_audit_nat(region, 1, 64), 64, 1);
    *help_audit_nat(region, 1, 0x1085) = 1; /* a page that also holds edits, */
    help_audit_set(region, help_audit_nat(region, 1, 0x1040), 64, 1);
    help_audit_set(region, help_audit_nat(region, 1, 0x10c0), 64, 1); /* between two of them */
    ft_audit_check(region, 0);                                        /* not this lane's */
    fputs("lane 0 passes\n", stderr);
    ft_audit_check(region, 1);
}

TEST(an_unmarked_write_is_named)
{
    dies(2, write_unmarked,
         "lane 0 passes\n"
         "understudy: audit: NF 'nat' (lane 1) changed offset 0x1085 of its arena without an edit\n");
}

static void write_a_burst_later(void *arg)
{
    struct ft_region *region = arg;
    struct ft_arena *arena = ft_region_arena(region, 0, 2);

    help_audit_set(region, help_audit_at(arena, 128), 64, 1);
    ft_audit_check(region, 0);
    fputs("marked passes\n", stderr);
    *help_audit_at(arena, 130) = 2;
    ft_audit_check(region, 0);
}

TEST(a_mark_lasts_one_burst)
{
    dies(1, write_a_burst_later,
         "marked passes\n"
         "understudy: audit: NF 'firewall' (lane 0) changed offset 0x82 of its arena without an edit\n");
}

TEST(writes_during_a_suspension_pass)
{
    struct ft_region *region = help_audit_open(1);

    ft_audit_suspend(region);
    ft_audit_suspend(region);
    *help_audit_nat(region, 0, 1) = 1;
    ft_audit_resume(region);
    ft_audit_check(region, 0);
    *help_audit_nat(region, 0, 2) = 1;
    ft_audit_resume(region);
    ft_audit_check(region, 0);
    help_audit_set(region, help_audit_nat(region, 0, 64), 64, 1);
    ft_audit_check(region, 0);
    ft_region_wipe(region);
    assert_int_equal(*help_audit_nat(region, 0, 1), 0);
    ft_audit_check(region, 0);
}

static void write_after_suspension(void *arg)
{
    struct ft_region *region = arg;

    ft_audit_suspend(region);
    *help_audit_nat(region, 0, 1) = 1;
    ft_audit_resume(region);
    *help_audit_nat(region, 0, 2) = 1;
    ft_audit_check(region, 0);
}

TEST(writes_after_a_suspension_are_named)
{
    dies(1, write_after_suspension, "audit: NF 'nat' (lane 0) changed offset 0x2 of its arena");
}

static void edit_across(void *arg)
{
    struct ft_region *region = arg;

    ft_edit(region, help_audit_nat(region, 0, HELP_AUDIT_USED), 64); /* its last line, and one more */
}

static void write_between_arenas(void *arg)
{
    struct ft_region *region = arg;

    region->base[ft_region_arena(region, 0, 0)->size] = 1;
}

static void earlier_handler(int number)
{
    _exit(number);
}

static void write_elsewhere(void *arg)
{
    *(volatile char *)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

/* The region opens over the default action: a fault elsewhere is a plain death. */
static void default_then_elsewhere(void *arg)
{
    signal(SIGSEGV, SIG_DFL);
    help_audit_open(1);
    write_elsewhere(arg);
}

static void default_then_between_arenas(void *arg)
{
    signal(SIGSEGV, SIG_DFL);
    write_between_arenas(help_audit_open(1));
}

static void say(int number)
{
    if (write(STDERR_FILENO, "the earlier handler\n", 20) == 20)
        abort();
}

static void handler_then_elsewhere(void *arg)
{
    signal(SIGSEGV, say);
    help_audit_open(1);
    write_elsewhere(arg);
}

TEST(other_faults_are_passed_on)
{
    assert_dies_by(SIGSEGV, default_then_elsewhere, NULL, NULL);
    assert_dies_by(SIGSEGV, default_then_between_arenas, NULL, NULL);
    assert_dies(handler_then_elsewhere, NULL, "the earlier handler");
    dies(1, edit_across, "not inside what one arena has handed out");
}

#define PLACES (4u * FT_LANES_MAX)

static void say_place(void *arg, const void *touched)
{
    fprintf(stderr, "place %td of them\n", ((const char *)touched - (char *)arg) / 4096);
    abort();
}

/* As many places as there may be, each a page; the argument says which one is touched. */
static void touch_place(void *arg)
{
    volatile char *places = mmap(NULL, PLACES * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    help_audit_open(1);
    for (unsigned i = 0; i < PLACES; i++)
        ft_audit_forbid((const char *)places + i * 4096, 4096, say_place, (void *)(uintptr_t)places);
    places[(uintptr_t)arg * 4096] = 1;
}

TEST(whoever_touches_a_forbidden_place_is_told)
{
    assert_dies(touch_place, (void *)(uintptr_t)0, "place 0 of them");
    assert_dies(touch_place, (void *)(uintptr_t)(PLACES - 1), "place 63 of them");
}

TEST(closing_gives_the_handler_back)
{
    struct sigaction old = {.sa_handler = earlier_handler}, now;
    struct sigaction saved;

    sigaction(SIGSEGV, &old, &saved);
    help_end(help_audit_open(1));
    sigaction(SIGSEGV, NULL, &now);
    assert_ptr_equal(now.sa_handler, earlier_handler);
    sigaction(SIGSEGV, &saved, NULL);
}

/* Audit of what lanes share: it changes in a stay alone, and who breaks that is named. */

static void write_shared_unmarked(void *arg)
{
    struct ft_region *region = arg;

    help_audit_set_shared(region, 0, 0, 1);
    *help_audit_shared(region, 0) = 2; /* in the same burst, behind the stay */
    fputs("written\n", stderr);
    ft_audit_check(region, 0);
}

static void edit_shared_outside(void *arg)
{
    struct ft_region *region = arg;

    help_audit_set_shared(region, 0, 4096, 1);
    ft_audit_running("nat", 0);
    help_audit_set(region, help_audit_shared(region, 4096), 64, 2);
}

static void name_place(void *arg, uint64_t offset, char *text, size_t cap)
{
    struct ft_region *region = arg;

    snprintf(text, cap, "the thing at %lu", offset - ft_region_shared(region)->offset);
}

static void peek_while_it_runs(void *arg)
{
    struct ft_region *region = arg;

    ft_audit_name_places(region, name_place, region);
    ft_audit_peeked(help_audit_shared(region, 128)); /* nobody runs: it is shown */
    ft_audit_running("firewall", 0);
    ft_audit_peeked(help_audit_shared(region, 128));
}

static void write_others_arena(void *arg)
{
    struct ft_region *region = arg;

    ft_audit_running("firewall", 0);
    *help_audit_nat(region, 0, 7) = 1;
    ft_audit_check(region, 0);
}

TEST(what_lanes_share_changes_in_a_stay_alone)
{
    dies(1, write_shared_unmarked,
         "written\nunderstudy: audit: lane 0 changed offset 0x0 of the shared arena without an edit\n");
    dies(1, edit_shared_outside,
         "understudy: audit: NF 'nat' (lane 0) edited offset 0x1000 of the shared arena outside of "
         "its section\n");
    dies(
        1, peek_while_it_runs,
        "understudy: audit: NF 'firewall' (lane 0) peeked at the thing at 128 while it processes, expected a "
        "section\n");
    dies(1, write_others_arena,
         "understudy: audit: NF 'firewall' (lane 0) changed offset 0x7 of the arena of NF 'nat' without an "
         "edit\n");
}

static void write_shared_after_a_stay(void *arg)
{
    struct ft_region *region = arg;

    help_audit_set_shared(region, 0, 4096, 1);
    *help_audit_shared(region, 4096) = 2;
    ft_audit_check(region, 1);
}

/* Another lane ends bursts and stays between a lane's edit and its write. */
TEST(a_mark_in_the_shared_arena_lasts_its_stay)
{
    struct ft_region *region = help_audit_open(2);
    uint8_t *p;

    ft_audit_enter(region, 0);
    p = ft_edit(region, help_audit_shared(region, 4096), 64);
    for (unsigned i = 0; i < 10; i++) {
        *p = (uint8_t)(i + 1);
        ft_audit_check(region, 1);
        help_audit_set_shared(region, 1, 4096 + 64, (int)i);
        ft_audit_enter(region, 0);
    }
    *p = 77;
    ft_audit_leave(region, 0);
    ft_audit_check(region, 0);
    assert_dies(write_shared_after_a_stay, region,
                "understudy: audit: lane 1 changed offset 0x1000 of the shared arena without an edit\n");
}

static void *busy_lane(void *arg)
{
    struct ft_region *region = arg;

    for (unsigned burst = 0; burst < 3000; burst++) {
        help_audit_set(region, help_audit_nat(region, 1, burst % 100 * 100), 200, (int)burst);
        help_audit_set_shared(region, 1, burst % 64 * 128 + 64, (int)burst);
        ft_audit_check(region, 1);
    }
    return NULL;
}

/* Two lanes, their lines side by side in the same pages of the shared arena. */
TEST(lanes_check_at_the_same_time)
{
    struct ft_region *region = help_audit_open(2);
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, busy_lane, region), 0);
    for (unsigned burst = 0; burst < 3000; burst++) {
        help_audit_set(region, help_audit_nat(region, 0, burst % 100 * 100), 200, (int)burst);
        help_audit_set_shared(region, 0, burst % 64 * 128, (int)burst);
        ft_audit_check(region, 0);
    }
    pthread_join(thread, NULL);
}
