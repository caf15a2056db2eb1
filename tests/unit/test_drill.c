/* SPDX-License-Identifier: Apache-2.0 */
/* What a drill makes of what a woken node says: against nodes that tell of a release too late, or tell
 * nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/base/clock.h"
#include "tests/help/drill.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void judge(const char *line)
{
    drill_begin(line);
    nd_drill_judge_fenced(&drill_under_test, 0, &drill_run);
}

static void a_release_before_the_takeover_is_allowed(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":4960000000,\"last_sent_ns\":4960010000,\"dropped\":7}}"
          "\n");
    assert_string_equal(drill_run.failure, "");
    assert_false(drill_run.released_after);
    assert_false(drill_run.burst_in_flight);
    assert_float_equal(drill_run.fenced_before_ms, 40, 0.001);
    assert_int_equal(drill_run.fenced_dropped, 7);
}

static void a_release_after_the_takeover_fails_the_run(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":5002500000,\"last_sent_ns\":5002510000,\"dropped\":0}}"
          "\n");
    assert_true(drill_run.released_after);
    assert_string_equal(drill_run.failure, "a released outputs 2.500 ms after b had taken over");
}

/* Checked before it was stopped, the send returned when it was woken: allowed, and told. */
static void one_burst_in_flight_is_allowed_and_told(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":4960000000,\"last_sent_ns\":5500000000,\"dropped\":0}}"
          "\n");
    assert_string_equal(drill_run.failure, "");
    assert_false(drill_run.released_after);
    assert_true(drill_run.burst_in_flight);
}

static void a_node_that_released_nothing_is_no_failure(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":0,\"last_sent_ns\":0,\"dropped\":0}}\n");
    assert_string_equal(drill_run.failure, "");
    assert_true(drill_run.fenced_before_ms < 0);
}

static void a_status_without_a_number_fails_the_run(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_sent_ns\":0,\"dropped\":0}}\n");
    assert_string_equal(drill_run.failure, "a node's status has no number \"last_release_ns\"");
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":0,\"dropped\":0}}\n");
    assert_string_equal(drill_run.failure, "a node's status has no number \"last_sent_ns\"");
    judge("{\"fenced\":null}\n");
    assert_string_equal(drill_run.failure, "a node's status has no number \"last_release_ns\"");
    judge("no status\n");
    assert_string_equal(drill_run.failure, "a does not answer after it was fenced");
}

static void a_takeover_without_its_fields_fails_the_run(void **state)
{
    (void)state;
    drill_begin("{\"fenced\":{\"view\":4,\"last_release_ns\":1,\"last_sent_ns\":1,\"dropped\":0}}\n");
    drill_run.decided_ns = 0;
    nd_drill_judge_fenced(&drill_under_test, 0, &drill_run);
    assert_string_equal(drill_run.failure, "it is not known when b took over");
}

/* A fencing of an earlier run is not this one's. */
static void a_fencing_of_an_earlier_run_does_not_count(void **state)
{
    (void)state;
    drill_begin("{\"fenced\":{\"count\":1,\"view\":4}}\n");
    nd_drill_await_fenced(&drill_under_test, 0, &drill_run);
    assert_true(drill_run.was_fenced);
    drill_begin("{\"fenced\":{\"count\":1,\"view\":3}}\n");
    nd_drill_await_fenced(&drill_under_test, 0, &drill_run);
    assert_false(drill_run.was_fenced);
    assert_string_equal(drill_run.failure, "a was woken and did not say that it is fenced");
}

#define TAKEOVER(fields) "{\"role\":\"primary\",\"view\":4,\"takeover\":{" fields "}}\n"

static void the_fields_of_a_takeover_are_read(void **state)
{
    (void)state;
    drill_begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":4999000000,\"decided_ns\":5000000000,"
                         "\"replay_done_ns\":5000500000,\"first_release_ns\":5001000000,\"tail_emitted\":1,"
                         "\"tail_suppressed\":2"));
    drill_run.at_ns = nd_now();
    drill_run.outage_ms = -1;
    assert_int_equal(nd_drill_await_takeover(&drill_under_test, 0, &drill_run), 5001000000);
    assert_string_equal(drill_run.failure, "");
    assert_float_equal(drill_run.outage_ms, -1, 0); /* which the probe alone knows */
    assert_string_equal(drill_run.reason, "silence");
    assert_float_equal(drill_run.first_packet_ms, 2, 0.001);
    drill_begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":4999000000,\"decided_ns\":5000000000,"
                         "\"replay_done_ns\":5000500000,\"first_release_ns\":5001000000,\"tail_emitted\":1"));
    drill_run.at_ns = nd_now();
    nd_drill_await_takeover(&drill_under_test, 0, &drill_run);
    assert_string_equal(drill_run.failure, "a node's status has no number \"tail_suppressed\"");
}

/* A strict successor holds: its role is all that is waited for. */
static void a_strict_successor_is_waited_for_by_its_role(void **state)
{
    uint64_t now = nd_now();

    (void)state;
    drill_begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":1,\"decided_ns\":2,\"replay_done_ns\":3,"
                         "\"first_release_ns\":0,\"tail_emitted\":0,\"tail_suppressed\":0"));
    drill_run.at_ns = now;
    drill_config.protect.strict = true;
    assert_true(nd_drill_await_takeover(&drill_under_test, 0, &drill_run) >= now);
    drill_config.protect.strict = false;
    assert_string_equal(drill_run.failure, "");
    assert_true(nd_now() - now < 1000000000ull);
}

/* The victim of such a run was hurt so long ago that nothing is waited for. */
static void a_takeover_that_does_not_come_says_what_both_nodes_say(void **state)
{
    (void)state;
    drill_begin("{\"role\":\"standby\",\"state\":\"SYNCING\",\"why\":\"a resync is under way\",\"pid\":1,"
                "\"guardian_pid\":2,\"held_packets\":7,\"view\":3}\n");
    drill_run.at_ns = 1;
    assert_int_equal(nd_drill_await_takeover(&drill_under_test, 0, &drill_run), 0);
    assert_string_equal(drill_run.failure,
                        "b did not take over within 5000 ms: a SYNCING (a resync is under way), "
                        "b no answer");
}

#define HOSTILE "</p><script>alert(1)</script>"

/* Names of nodes and paths cannot hold this, what a peer says can. */
static void what_nodes_say_is_text_in_the_report(void **state)
{
    char path[64], page[65536];
    FILE *f;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/drill.%d.html", (int)getpid());
    drill_begin("");
    snprintf(drill_config.file, sizeof(drill_config.file), "%s", HOSTILE);
    for (unsigned i = 0; i < 4; i++) {
        char *const texts[] = {drill_run.failure, drill_run.reason, drill_run.not_compared, drill_run.victim};

        snprintf(texts[i], 32, "%s", HOSTILE);
    }
    drill_run.ended_ns = drill_run.at_ns = 1000000000;
    assert_int_equal(nd_report_open(&drill_under_test.report, "drill", path), 0);
    assert_int_equal(nd_drill_report(&drill_under_test, &drill_run, 1, HOSTILE), 0);
    snprintf(drill_config.file, sizeof(drill_config.file), "pair.yaml");
    f = fopen(path, "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    fclose(f);
    unlink(path);
    assert_null(strstr(page, "<script>alert"));
    assert_non_null(
        strstr(page, "\"lines\":[\"1 of 1 run failed.\",\"No further run: \\u003c/p>\\u003cscript>"));
    assert_non_null(strstr(page, "\"failure\":\"\\u003c/p>\\u003cscript>"));
}

static void a_status_that_is_not_whole_is_malformed(void **state)
{
    struct ft_fault fault = {""};
    struct nd_sight sight;

    (void)state;
    drill_begin(
        "{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0}\n");
    drill_config.drill_permit = true;
    drill_under_test.wait_ms = 100;
    assert_int_equal(nd_drill_settle(&drill_under_test, &sight, &fault), FT_EMALFORMED);
    assert_string_equal(fault.text, "pair.yaml: a node's status lacks what a drill reads");
    drill_node.line =
        "{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0,"
        "\"view\":3}\n";
    assert_int_equal(nd_drill_settle(&drill_under_test, &sight, &fault), FT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_before_the_takeover_is_allowed),
        cmocka_unit_test(a_release_after_the_takeover_fails_the_run),
        cmocka_unit_test(one_burst_in_flight_is_allowed_and_told),
        cmocka_unit_test(a_node_that_released_nothing_is_no_failure),
        cmocka_unit_test(a_status_without_a_number_fails_the_run),
        cmocka_unit_test(a_takeover_without_its_fields_fails_the_run),
        cmocka_unit_test(the_fields_of_a_takeover_are_read),
        cmocka_unit_test(a_strict_successor_is_waited_for_by_its_role),
        cmocka_unit_test(a_takeover_that_does_not_come_says_what_both_nodes_say),
        cmocka_unit_test(what_nodes_say_is_text_in_the_report),
        cmocka_unit_test(a_status_that_is_not_whole_is_malformed),
        cmocka_unit_test(a_fencing_of_an_earlier_run_does_not_count),
    };

    return cmocka_run_group_tests(tests, drill_node_start, drill_node_stop);
}
