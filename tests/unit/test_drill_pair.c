/* SPDX-License-Identifier: Apache-2.0 */
/* What a drill makes of a primary that is asked to compare both states and refuses, and of a pair of which
 * one node can be asked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/base/clock.h"
#include "tests/help/drill.h"
#include "tools/pair/child.h"

#include <pthread.h>
#include <string.h>

/* ---- comparing --------------------------------------------------------------------------------- */

#define BUSY(text) "{\"error\":{\"code\":\"busy\",\"text\":\"" text "\"}}\n"
#define EQUAL      "{\"equal\":true,\"digests\":{\"a\":\"01\",\"b\":\"01\"},\"at\":7}\n"
#define DIFFERENT  "{\"equal\":false,\"digests\":{\"a\":\"01\",\"b\":\"02\"},\"at\":7}\n"

static void compare(const char *status, const char *const *verdicts)
{
    drill_begin(status);
    drill_node.verdicts = verdicts;
    drill_under_test.wait_ms = 400;
    nd_drill_compare(&drill_under_test, 0, &drill_run);
}

static void equal_digests_are_equal(void **state)
{
    static const char *const says[] = {EQUAL, NULL};

    (void)state;
    compare("{\"diverged\":null}\n", says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_EQUAL);
    assert_string_equal(drill_run.failure, "");
    assert_string_equal(drill_run.digest[1], "01");
}

static void digests_that_differ_are_both_told(void **state)
{
    static const char *const says[] = {DIFFERENT, NULL};

    (void)state;
    compare("{\"diverged\":null}\n", says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_DIFFERENT);
    assert_string_equal(drill_run.failure, "the digests of the two regions differ: a 01, b 02");
    assert_int_equal(drill_node.asked, 1);
}

/* Refused while the pair resyncs: asked again. */
static void a_refusal_is_no_difference(void **state)
{
    static const char *const says[] = {BUSY("not protected any more: the pair resyncs"), BUSY("no"), EQUAL,
                                       NULL};

    (void)state;
    compare("{\"diverged\":null}\n", says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_EQUAL);
    assert_string_equal(drill_run.failure, "");
    assert_string_equal(drill_run.not_compared, "");
    assert_int_equal(drill_node.asked, 3);
}

static void what_is_refused_to_the_end_was_not_compared(void **state)
{
    static const char *const says[] = {BUSY("not protected (SOLO)"), NULL};
    uint64_t began = nd_now();

    (void)state;
    compare("{\"diverged\":null}\n", says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_NOT_COMPARED);
    assert_string_equal(drill_run.not_compared, "verify: not protected (SOLO)");
    assert_string_equal(drill_run.failure, "the states were not compared: verify: not protected (SOLO)");
    assert_true(drill_node.asked > 1 && nd_now() - began < 3000 * ND_MS);
}

static void a_node_that_cannot_be_asked_compares_nothing(void **state)
{
    (void)state;
    drill_begin("{}\n");
    drill_under_test.wait_ms = 100;
    nd_drill_compare(&drill_under_test, 1, &drill_run);
    assert_int_equal(drill_run.digests, ND_DIGESTS_NOT_COMPARED);
    assert_non_null(strstr(drill_run.failure, "the states were not compared: verify: "));
    assert_non_null(strstr(drill_run.failure, "no node listens"));
}

/* A difference ends the pair before verify is told of it, and the resync makes the states equal. */
static void *diverge_later(void *arg)
{
    nd_sleep(150 * ND_MS);
    drill_node.line = "{\"diverged\":{\"count\":1,\"last\":\"nat, lane 0\"}}\n";
    return arg;
}

static void a_difference_that_a_resync_removed_is_told(void **state)
{
    static const char *const says[] = {BUSY("not protected any more: it diverged"),
                                       BUSY("resync"),
                                       BUSY("resync"),
                                       BUSY("resync"),
                                       EQUAL,
                                       NULL};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, diverge_later, NULL), 0);
    compare("{\"diverged\":null}\n", says);
    pthread_join(thread, NULL);
    assert_int_equal(drill_run.digests, ND_DIGESTS_DIFFERENT);
    assert_string_equal(drill_run.failure, "the states differed before a resync: nat, lane 0");
}

/* ---- one node is on another server, or is down ------------------------------------------------- */

#define NODE(role, state, peer)                                                                              \
    "{\"role\":\"" role "\",\"state\":\"" state                                                              \
    "\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":5,\"view\":3,\"why\":\"so it is\",\"peer\":" peer      \
    "}\n"

static int ready(const char *line, enum nd_drill_kind kind, struct nd_sight *sight, struct ft_fault *fault)
{
    int error;

    drill_begin(line);
    drill_config.drill_permit = true;
    drill_under_test.wait_ms = 100;
    drill_under_test.kind = kind;
    error = nd_drill_ready(&drill_under_test, sight, fault);
    drill_under_test.kind = ND_DRILL_KILL;
    return error;
}

static void a_primary_elsewhere_is_known_by_its_standby(void **state)
{
    const char *standby = NODE("standby", "READY", "{\"connected\":true,\"state\":\"PROTECTED\"}");
    struct ft_fault fault = {""};
    struct nd_sight sight;

    (void)state;
    assert_int_equal(ready(standby, ND_DRILL_KILL, &sight, &fault), FT_OK);
    assert_int_equal(sight.primary, 1);
    assert_int_equal(sight.standby, 0);
    assert_int_equal(sight.view, 3);
    assert_true(sight.held < 0);
    assert_false(sight.seen[1]);
    assert_int_equal(ready(standby, ND_DRILL_STANDBY_KILL, &sight, &fault), FT_ENOENT);
    assert_non_null(strstr(fault.text, "a drill \"standby-kill\" has to reach node b, which is to go on: "));
    assert_int_equal(ready(standby, ND_DRILL_HANG, &sight, &fault), FT_ENOENT);
    assert_non_null(strstr(fault.text, "a drill \"hang\" has to reach node b, which it hurts: "));
    standby = NODE("standby", "READY", "{\"connected\":false,\"state\":\"PROTECTED\"}");
    assert_int_equal(ready(standby, ND_DRILL_KILL, &sight, &fault), FT_EIO);
}

static void a_standby_elsewhere_can_be_killed_and_not_watched(void **state)
{
    const char *primary = NODE("primary", "PROTECTED", "{\"connected\":true,\"state\":\"READY\"}");
    struct ft_fault fault = {""};
    struct nd_sight sight;

    (void)state;
    assert_int_equal(ready(primary, ND_DRILL_STANDBY_KILL, &sight, &fault), FT_OK);
    assert_int_equal(ready(primary, ND_DRILL_KILL, &sight, &fault), FT_ENOENT);
    assert_non_null(strstr(fault.text, "has to reach node b, which is to go on: "));
    assert_non_null(strstr(fault.text, "no node listens"));
    assert_int_equal(ready(primary, ND_DRILL_PLANNED, &sight, &fault), FT_ENOENT);
    drill_begin(primary);
    drill_config.drill_permit = false;
    drill_under_test.kind = ND_DRILL_STANDBY_KILL;
    assert_int_equal(nd_drill_ready(&drill_under_test, &sight, &fault), FT_ENOENT);
    assert_non_null(strstr(fault.text, "drill: { permit: true }"));
}

static void a_pair_that_is_not_protected_says_of_whom(void **state)
{
    struct ft_fault fault = {""};
    struct nd_sight sight;

    (void)state;
    assert_int_equal(ready(NODE("primary", "SOLO", "{}"), ND_DRILL_KILL, &sight, &fault), FT_EIO);
    assert_string_equal(fault.text,
                        "pair.yaml: the pair is not PROTECTED within 100 ms: a SOLO (so it is), b no answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_digests_are_equal),
        cmocka_unit_test(digests_that_differ_are_both_told),
        cmocka_unit_test(a_refusal_is_no_difference),
        cmocka_unit_test(what_is_refused_to_the_end_was_not_compared),
        cmocka_unit_test(a_node_that_cannot_be_asked_compares_nothing),
        cmocka_unit_test(a_difference_that_a_resync_removed_is_told),
        cmocka_unit_test(a_primary_elsewhere_is_known_by_its_standby),
        cmocka_unit_test(a_standby_elsewhere_can_be_killed_and_not_watched),
        cmocka_unit_test(a_pair_that_is_not_protected_says_of_whom),
    };

    return cmocka_run_group_tests(tests, drill_node_start, drill_node_stop);
}
