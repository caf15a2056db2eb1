/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the replicator's thread sleeps between its turns, by what the system counts: of a real one that runs
 * on a thread, whose lane and standby are the test. A machine that gives others the processor all the time
 * tells nothing; then a test is skipped.
 */
#define _GNU_SOURCE /* gettid */
#include "tests/unit/help_primary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <limits.h>
#include <stdio.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static int teardown(void **state)
{
    (void)state;
    primary_close();
    return 0;
}

static _Atomic int thread_id;

static void *run(void *unused)
{
    (void)unused;
    atomic_store(&thread_id, (int)gettid());
    rp_run(primary.replicator);
    return NULL;
}

/* False: the system does not permit a thread to have priority. */
static bool start(pthread_t *thread, bool realtime)
{
    struct sched_param param = {.sched_priority = 1};
    pthread_attr_t attr;
    int error;

    atomic_store(&thread_id, 0);
    pthread_attr_init(&attr);
    if (realtime) {
        pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
        pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
        pthread_attr_setschedparam(&attr, &param);
    }
    error = pthread_create(thread, &attr, run, NULL);
    pthread_attr_destroy(&attr);
    if (error)
        return false;
    PRIMARY_UNTIL(atomic_load(&thread_id));
    return true;
}

/* Of the replicator's thread, ever: how often it slept, and how often another had its processor. */
struct switches {
    unsigned long slept, gave_way;
};

static struct switches switches(void)
{
    struct switches n = {0, 0};
    char path[64], line[128];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", atomic_load(&thread_id));
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        sscanf(line, "voluntary_ctxt_switches: %lu", &n.slept);
        sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n.gave_way);
    }
    fclose(f);
    return n;
}

#define WINDOW  15u /* records */
#define WINDOWS 3u

/* Puts a record every so many ns. How often the thread slept meanwhile; -1: other work of the machine came
 * between, to it or to us. */
static long sleeps_between(uint64_t every)
{
    struct switches before = {0, 0}, after;
    uint64_t last = primary_clock(), longest = 0;

    for (unsigned i = 0; i < 5 + WINDOW; i++) {
        uint64_t now = primary_clock();

        while (now < last + every)
            now = primary_clock();
        assert_true(primary_put_packets(1));
        if (i < 5)
            before = switches(); /* by now it knows how dense they are */
        else
            longest = now - last > longest ? now - last : longest;
        last = primary_clock();
    }
    after = switches();
    standby_reads();
    return longest > every + 40000 || after.gave_way != before.gave_way ? -1
                                                                        : (long)(after.slept - before.slept);
}

/* Of some windows that nothing disturbed. False: the machine is too busy to tell. */
static bool measure(uint64_t every, long *least, long *most)
{
    uint64_t end = primary_clock() + PRIMARY_LIMIT;
    unsigned windows = 0;

    *least = LONG_MAX;
    *most = 0;
    while (windows < WINDOWS && primary_clock() < end) {
        long n = sleeps_between(every);

        if (n < 0)
            continue;
        windows++;
        *least = n < *least ? n : *least;
        *most = n > *most ? n : *most;
    }
    return windows == WINDOWS;
}

static void run_beside(bool realtime, pthread_t *thread)
{
    primary_open((struct primary_options){.compress = RP_COMPRESS_NEVER, .real_time = true});
    if (!start(thread, realtime))
        skip();
}

static void it_stays_awake_while_entries_come_densely(void **state)
{
    long least, most, sparse_least, sparse_most;
    pthread_t thread;
    bool told;

    (void)state;
    run_beside(false, &thread);
    told = measure(100000, &least, &most) && measure(400000, &sparse_least, &sparse_most);
    rp_stop(primary.replicator);
    pthread_join(thread, NULL);
    if (!told)
        skip();
    assert_int_equal(least, 0);
    assert_true(sparse_most >= (long)WINDOW * 5 / 2); /* it does not wait awake for 200 us first */
}

static void with_priority_it_sleeps_between_its_turns(void **state)
{
    long least, most;
    pthread_t thread;
    bool told;

    (void)state;
    run_beside(true, &thread);
    told = measure(150000, &least, &most);
    rp_stop(primary.replicator);
    pthread_join(thread, NULL);
    if (!told)
        skip();
    assert_true(least >= (long)WINDOW * 3 / 2); /* it does not wait awake: nobody else would run */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_stays_awake_while_entries_come_densely, teardown),
        cmocka_unit_test_teardown(with_priority_it_sleeps_between_its_turns, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("schedule_sleep", tests, NULL, NULL);
}
