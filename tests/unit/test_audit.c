/* SPDX-License-Identifier: Apache-2.0 */
/* Audit: a write that went past ft_edit ends the process with a name and a place; everything else goes on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ftcore/region/audit.h"
#include "tests/help/audit.h"
#include "tests/help/death.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void edited_bytes_pass_the_audit(void **unused)
{
    struct ft_region *region = help_audit_open(2);

    (void)unused;
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
    ft_region_close(region);
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

static void an_unmarked_write_is_named(void **unused)
{
    struct ft_region *region = help_audit_open(2);

    (void)unused;
    assert_dies(write_unmarked, region,
                "lane 0 passes\n"
                "understudy: audit: NF 'nat' (lane 1) changed offset 0x1085 of its arena without an edit\n");
    ft_region_close(region);
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

static void a_mark_lasts_one_burst(void **unused)
{
    struct ft_region *region = help_audit_open(1);

    (void)unused;
    assert_dies(
        write_a_burst_later, region,
        "marked passes\n"
        "understudy: audit: NF 'firewall' (lane 0) changed offset 0x82 of its arena without an edit\n");
    ft_region_close(region);
}

static void writes_during_a_suspension_pass(void **unused)
{
    struct ft_region *region = help_audit_open(1);

    (void)unused;
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
    ft_region_close(region);
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

static void writes_after_a_suspension_are_named(void **unused)
{
    struct ft_region *region = help_audit_open(1);

    (void)unused;
    assert_dies(write_after_suspension, region, "audit: NF 'nat' (lane 0) changed offset 0x2 of its arena");
    ft_region_close(region);
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
    (void)arg;
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
    (void)arg;
    signal(SIGSEGV, SIG_DFL);
    write_between_arenas(help_audit_open(1));
}

static void say(int number)
{
    (void)number;
    if (write(STDERR_FILENO, "the earlier handler\n", 20) == 20)
        abort();
}

static void handler_then_elsewhere(void *arg)
{
    signal(SIGSEGV, say);
    help_audit_open(1);
    write_elsewhere(arg);
}

static void other_faults_are_passed_on(void **unused)
{
    struct ft_region *region;

    (void)unused;
    assert_dies_by(SIGSEGV, default_then_elsewhere, NULL, NULL);
    assert_dies_by(SIGSEGV, default_then_between_arenas, NULL, NULL);
    assert_dies(handler_then_elsewhere, NULL, "the earlier handler");
    region = help_audit_open(1);
    assert_dies(edit_across, region, "not inside what one arena has handed out");
    ft_region_close(region);
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

static void whoever_touches_a_forbidden_place_is_told(void **unused)
{
    (void)unused;
    assert_dies(touch_place, (void *)(uintptr_t)0, "place 0 of them");
    assert_dies(touch_place, (void *)(uintptr_t)(PLACES - 1), "place 63 of them");
}

static void closing_gives_the_handler_back(void **unused)
{
    struct sigaction old = {.sa_handler = earlier_handler}, now;
    struct sigaction saved;

    (void)unused;
    sigaction(SIGSEGV, &old, &saved);
    ft_region_close(help_audit_open(1));
    sigaction(SIGSEGV, NULL, &now);
    assert_ptr_equal(now.sa_handler, earlier_handler);
    sigaction(SIGSEGV, &saved, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edited_bytes_pass_the_audit),
        cmocka_unit_test(an_unmarked_write_is_named),
        cmocka_unit_test(a_mark_lasts_one_burst),
        cmocka_unit_test(writes_during_a_suspension_pass),
        cmocka_unit_test(writes_after_a_suspension_are_named),
        cmocka_unit_test(other_faults_are_passed_on),
        cmocka_unit_test(whoever_touches_a_forbidden_place_is_told),
        cmocka_unit_test(closing_gives_the_handler_back),
    };

    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
