/* SPDX-License-Identifier: Apache-2.0 */
/* What replay says of a run that is over. */
#include "tools/replay/replay.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

static struct nd_replay run;

/* The report as JSON, which is one line on stdout; the table on stderr is not wanted. */
static json_t *report(void)
{
    FILE *said = tmpfile(), *table = tmpfile();
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    json_t *object;

    assert_true(said && table && out >= 0 && err >= 0);
    fflush(NULL);
    dup2(fileno(said), STDOUT_FILENO);
    dup2(fileno(table), STDERR_FILENO);
    nd_replay_report(&run);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(said);
    object = json_loadf(said, 0, NULL);
    fclose(said);
    fclose(table);
    assert_non_null(object);
    return object;
}

/* What sessions dropped for no NF was counted by nobody else. */
static void conflicts_of_sessions_are_counted_by_their_drops(void **state)
{
    static const struct nd_replay_options options = {.input = "x.pcap", .common.json = true};
    static struct nd_config config;
    json_t *object, *nfs;
    int counted, dropped;

    (void)state;
    run.options = &options;
    run.config = &config;
    run.reference.chain.nf[0].dropped[0] = 5;
    object = report();
    nfs = json_object_get(object, "nfs");
    assert_int_equal(json_unpack(nfs, "{s:{s:{s:i},s:{s:i}}}", "sessions", "counters", "conflicts", &counted,
                                 "drops", "conflicts", &dropped),
                     0);
    assert_int_equal(counted, 5);
    assert_int_equal(dropped, 5);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conflicts_of_sessions_are_counted_by_their_drops),
    };

    return cmocka_run_group_tests_name("replay_report", tests, NULL, NULL);
}
