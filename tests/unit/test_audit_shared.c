/* SPDX-License-Identifier: Apache-2.0 */
/* Audit of what lanes share: it changes in a stay alone, and who breaks that is named. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/audit.h"
#include "tests/help/death.h"

#include <pthread.h>
#include <stdio.h>

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

static void what_lanes_share_changes_in_a_stay_alone(void **unused)
{
    struct ft_region *region = help_audit_open(1);

    (void)unused;
    assert_dies(
        write_shared_unmarked, region,
        "written\nunderstudy: audit: lane 0 changed offset 0x0 of the shared arena without an edit\n");
    assert_dies(edit_shared_outside, region,
                "understudy: audit: NF 'nat' (lane 0) edited offset 0x1000 of the shared arena outside of "
                "its section\n");
    assert_dies(
        peek_while_it_runs, region,
        "understudy: audit: NF 'firewall' (lane 0) peeked at the thing at 128 while it processes, expected a "
        "section\n");
    assert_dies(
        write_others_arena, region,
        "understudy: audit: NF 'firewall' (lane 0) changed offset 0x7 of the arena of NF 'nat' without an "
        "edit\n");
    ft_region_close(region);
}

static void write_shared_after_a_stay(void *arg)
{
    struct ft_region *region = arg;

    help_audit_set_shared(region, 0, 4096, 1);
    *help_audit_shared(region, 4096) = 2;
    ft_audit_check(region, 1);
}

/* Another lane ends bursts and stays between a lane's edit and its write. */
static void a_mark_in_the_shared_arena_lasts_its_stay(void **unused)
{
    struct ft_region *region = help_audit_open(2);
    uint8_t *p;

    (void)unused;
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
    ft_region_close(region);
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
static void lanes_check_at_the_same_time(void **unused)
{
    struct ft_region *region = help_audit_open(2);
    pthread_t thread;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, busy_lane, region), 0);
    for (unsigned burst = 0; burst < 3000; burst++) {
        help_audit_set(region, help_audit_nat(region, 0, burst % 100 * 100), 200, (int)burst);
        help_audit_set_shared(region, 0, burst % 64 * 128, (int)burst);
        ft_audit_check(region, 0);
    }
    pthread_join(thread, NULL);
    ft_region_close(region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lanes_share_changes_in_a_stay_alone),
        cmocka_unit_test(a_mark_in_the_shared_arena_lasts_its_stay),
        cmocka_unit_test(lanes_check_at_the_same_time),
    };
    return cmocka_run_group_tests_name("audit_shared", tests, NULL, NULL);
}
