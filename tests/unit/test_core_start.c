/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: starting, and who reigns. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/help_core.h"

#include <string.h>

static struct tale a;

static void the_files_role_counts_when_nobody_ever_served(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 0, false);
    is(&a, FT_JOINING);
    gate_is(&a, FT_GATE_SHUT);
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    is(&a, FT_SOLO);
    because(&a, "first start");
    assert_int_equal(did(&a, FT_ACT_VIEW)->view, 1);
    gate_is(&a, FT_GATE_SOLO);
    ordered(&a, FT_LANE_FRESH);

    tale_begin(&a, 1, 0, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    waits(&a, 1000);
    is(&a, FT_JOINING);
}

static void later_the_higher_view_counts(void **unused)
{
    (void)unused;
    tale_begin(&a, 1, 3, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 2);
    is(&a, FT_SOLO);
    assert_int_equal(a.core.view, 4);

    tale_begin(&a, 0, 2, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 3);
    waits(&a, 1000);
    is(&a, FT_JOINING);
}

static void both_are_empty_after_a_power_loss(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 3, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 3);
    is(&a, FT_SOLO);
    because(&a, "both nodes are empty");
    assert_int_equal(a.core.view, 4);
    ordered(&a, FT_LANE_FRESH);
}

static void a_first_node_starts_alone(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 0, false);
    waits(&a, 299);
    is(&a, FT_JOINING);
    waits(&a, 1);
    is(&a, FT_SOLO);
    because(&a, "started alone");

    tale_begin(&a, 0, 0, true); /* strict: it reigns, and releases nothing */
    waits(&a, 300);
    is(&a, FT_DEGRADED);
    gate_is(&a, FT_GATE_SHUT);

    tale_begin(&a, 0, 1, false); /* it has served: somebody else may hold the state */
    waits(&a, 1000);
    is(&a, FT_JOINING);

    tale_begin(&a, 1, 0, false);
    waits(&a, 1000);
    is(&a, FT_JOINING);
}

static void refused(const char *text)
{
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    if (!strstr(said(&a, FT_MSG_REFUSE)->text, text))
        fail_msg("refused with '%s', expected '%s'", said(&a, FT_MSG_REFUSE)->text, text);
    is(&a, FT_JOINING);
    because(&a, text);
    tale_begin(&a, 0, 0, false);
}

static void a_peer_that_differs_is_refused_by_name(void **unused)
{
    static const char other[] = "chain edge\nnat 203.0.113.2\n";

    (void)unused;
    tale_begin(&a, 0, 0, false);
    a.hello.lanes = 2;
    refused("lanes: here 1, there 2");
    a.hello.bulk = (const uint8_t *)other;
    refused("here 'nat 203.0.113.1', there 'nat 203.0.113.2'");
    a.hello.bulk_len = 11;
    refused("here 'nat 203.0.113.1', there ''");
    a.hello.strict = true;
    refused("strict: here false, there true");
    strcpy(a.hello.name, "left");
    refused("both nodes are called 'left'");
    a.hello.detect_ms = 20; /* our lease would outlast its patience */
    refused("lease_ms 20 and 20 must be below detect_ms 50 and 20");
    a.hello.lease_ms = 50;
    refused("lease_ms 20 and 50");
    a.hello.promote_within_ms = 200; /* it could promote itself when we go on alone */
    refused("promote_within_ms");
    a.hello.solo_after_ms = 100;
    refused("promote_within_ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_role_counts_when_nobody_ever_served),
        cmocka_unit_test(later_the_higher_view_counts),
        cmocka_unit_test(both_are_empty_after_a_power_loss),
        cmocka_unit_test(a_first_node_starts_alone),
        cmocka_unit_test(a_peer_that_differs_is_refused_by_name),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_start", tests, NULL, NULL);
}
