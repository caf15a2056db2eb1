/* SPDX-License-Identifier: Apache-2.0 */
/* What a drill makes of what a woken node says: against nodes that tell of a release too late, or tell
 * nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/drill/drill.h"
#include "node/base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Node 0: whatever is asked, it says `line` and hangs up. */
static struct {
    char path[64];
    int fd;
    const char *line;
    pthread_t thread;
} node;

static struct nd_config config;
static struct nd_drill drill = {.config = &config};
static struct nd_drill_run run;

static void *serve(void *arg)
{
    char request[256];
    ssize_t n;
    int fd;

    while ((fd = accept(node.fd, NULL, NULL)) >= 0) {
        do
            n = read(fd, request, sizeof(request));
        while (n > 0 && request[n - 1] != '\n');
        if (n > 0)
            (void)!send(fd, node.line, strlen(node.line), MSG_NOSIGNAL);
        close(fd);
    }
    return arg;
}

static int start(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(node.path, sizeof(node.path), "/tmp/drill.%d", (int)getpid());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", node.path);
    unlink(node.path);
    node.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(config.file, sizeof(config.file), "pair.yaml");
    snprintf(config.node[0].name, sizeof(config.node[0].name), "a");
    snprintf(config.node[0].control, sizeof(config.node[0].control), "%s", node.path);
    snprintf(config.node[1].control, sizeof(config.node[1].control), "%s.none", node.path);
    return bind(node.fd, (struct sockaddr *)&at, sizeof(at)) || listen(node.fd, 8) ||
           pthread_create(&node.thread, NULL, serve, NULL);
}

static int stop(void **state)
{
    (void)state;
    shutdown(node.fd, SHUT_RDWR);
    pthread_join(node.thread, NULL);
    close(node.fd);
    return unlink(node.path);
}

/* A run whose victim was replaced at 5 s, by view 4. */
static void begin(const char *line)
{
    node.line = line;
    memset(&run, 0, sizeof(run));
    snprintf(run.victim, sizeof(run.victim), "a");
    snprintf(run.survivor, sizeof(run.survivor), "b");
    run.view_before = 3;
    run.decided_ns = 5000000000ull;
}

static void judge(const char *line)
{
    begin(line);
    nd_drill_judge_fenced(&drill, 0, &run);
}

static void a_release_before_the_takeover_is_allowed(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":4960000000,\"last_sent_ns\":4960010000,\"dropped\":7}}"
          "\n");
    assert_string_equal(run.failure, "");
    assert_false(run.released_after);
    assert_false(run.burst_in_flight);
    assert_float_equal(run.fenced_before_ms, 40, 0.001);
    assert_int_equal(run.fenced_dropped, 7);
}

static void a_release_after_the_takeover_fails_the_run(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":5002500000,\"last_sent_ns\":5002510000,\"dropped\":0}}"
          "\n");
    assert_true(run.released_after);
    assert_string_equal(run.failure, "a released outputs 2.500 ms after b had taken over");
}

/* Checked before it was stopped, the send returned when it was woken: allowed, and told. */
static void one_burst_in_flight_is_allowed_and_told(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":4960000000,\"last_sent_ns\":5500000000,\"dropped\":0}}"
          "\n");
    assert_string_equal(run.failure, "");
    assert_false(run.released_after);
    assert_true(run.burst_in_flight);
}

static void a_node_that_released_nothing_is_no_failure(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":0,\"last_sent_ns\":0,\"dropped\":0}}\n");
    assert_string_equal(run.failure, "");
    assert_true(run.fenced_before_ms < 0);
}

static void a_status_without_a_number_fails_the_run(void **state)
{
    (void)state;
    judge("{\"fenced\":{\"view\":4,\"last_sent_ns\":0,\"dropped\":0}}\n");
    assert_string_equal(run.failure, "a node's status has no number \"last_release_ns\"");
    judge("{\"fenced\":{\"view\":4,\"last_release_ns\":0,\"dropped\":0}}\n");
    assert_string_equal(run.failure, "a node's status has no number \"last_sent_ns\"");
    judge("{\"fenced\":null}\n");
    assert_string_equal(run.failure, "a node's status has no number \"last_release_ns\"");
    judge("no status\n");
    assert_string_equal(run.failure, "a does not answer after it was fenced");
}

static void a_takeover_without_its_fields_fails_the_run(void **state)
{
    (void)state;
    begin("{\"fenced\":{\"view\":4,\"last_release_ns\":1,\"last_sent_ns\":1,\"dropped\":0}}\n");
    run.decided_ns = 0;
    nd_drill_judge_fenced(&drill, 0, &run);
    assert_string_equal(run.failure, "it is not known when b took over");
}

/* A fencing of an earlier run is not this one's. */
static void a_fencing_of_an_earlier_run_does_not_count(void **state)
{
    (void)state;
    begin("{\"fenced\":{\"count\":1,\"view\":4}}\n");
    nd_drill_await_fenced(&drill, 0, &run);
    assert_true(run.was_fenced);
    begin("{\"fenced\":{\"count\":1,\"view\":3}}\n");
    nd_drill_await_fenced(&drill, 0, &run);
    assert_false(run.was_fenced);
    assert_string_equal(run.failure, "a was woken and did not say that it is fenced");
}

#define TAKEOVER(fields) "{\"role\":\"primary\",\"view\":4,\"takeover\":{" fields "}}\n"

static void the_fields_of_a_takeover_are_read(void **state)
{
    (void)state;
    begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":4999000000,\"decided_ns\":5000000000,"
                   "\"replay_done_ns\":5000500000,\"first_release_ns\":5001000000,\"tail_emitted\":1,"
                   "\"tail_suppressed\":2"));
    run.at_ns = nd_now();
    assert_int_equal(nd_drill_await_takeover(&drill, 0, &run), 5001000000);
    assert_string_equal(run.failure, "");
    assert_string_equal(run.reason, "silence");
    assert_float_equal(run.first_packet_ms, 2, 0.001);
    begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":4999000000,\"decided_ns\":5000000000,"
                   "\"replay_done_ns\":5000500000,\"first_release_ns\":5001000000,\"tail_emitted\":1"));
    run.at_ns = nd_now();
    nd_drill_await_takeover(&drill, 0, &run);
    assert_string_equal(run.failure, "a node's status has no number \"tail_suppressed\"");
}

/* A strict successor holds: its role is all that is waited for. */
static void a_strict_successor_is_waited_for_by_its_role(void **state)
{
    uint64_t now = nd_now();

    (void)state;
    begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":1,\"decided_ns\":2,\"replay_done_ns\":3,"
                   "\"first_release_ns\":0,\"tail_emitted\":0,\"tail_suppressed\":0"));
    run.at_ns = now;
    config.protect.strict = true;
    assert_true(nd_drill_await_takeover(&drill, 0, &run) >= now);
    config.protect.strict = false;
    assert_string_equal(run.failure, "");
    assert_true(nd_now() - now < 1000000000ull);
}

static void a_status_that_is_not_whole_is_malformed(void **state)
{
    struct ft_fault fault = {""};
    struct nd_sight sight;

    (void)state;
    begin("{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0}\n");
    config.drill_permit = true;
    drill.wait_ms = 100;
    assert_int_equal(nd_drill_settle(&drill, &sight, &fault), FT_EMALFORMED);
    assert_string_equal(fault.text, "pair.yaml: a node's status lacks what a drill reads");
    node.line =
        "{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0,"
        "\"view\":3}\n";
    assert_int_equal(nd_drill_settle(&drill, &sight, &fault), FT_OK);
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
        cmocka_unit_test(a_status_that_is_not_whole_is_malformed),
        cmocka_unit_test(a_fencing_of_an_earlier_run_does_not_count),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
