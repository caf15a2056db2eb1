/* SPDX-License-Identifier: Apache-2.0 */
/* What several threads ask of the replicator in one turn: none takes the place of another. */
#include "tests/help/primary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int setup(void **state)
{
    (void)state;
    primary_open((struct primary_options){.compress = RP_COMPRESS_NEVER});
    primary_protect();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    primary_close();
    return 0;
}

/* `apply` has asked for a resync when tracking asks for a handover, which can wait. */
static void a_resync_is_not_lost_for_a_handover(void **state)
{
    (void)state;
    assert_int_equal(primary_status().core.state, FT_PROTECTED);
    rp_request(primary.replicator, FT_REQUEST_RESYNC);
    rp_request(primary.replicator, FT_REQUEST_HANDOVER);
    primary_turn();
    assert_int_not_equal(primary_status().core.state, FT_PROTECTED);
    assert_int_equal(primary_status().core.hand, FT_HAND_NONE);
}

static void each_alone_is_done(void **state)
{
    (void)state;
    rp_request(primary.replicator, FT_REQUEST_HANDOVER);
    primary_turn();
    assert_int_equal(primary_status().core.state, FT_PROTECTED);
    assert_int_equal(primary_status().core.hand, FT_HAND_STEER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_resync_is_not_lost_for_a_handover, setup, teardown),
        cmocka_unit_test_setup_teardown(each_alone_is_done, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
