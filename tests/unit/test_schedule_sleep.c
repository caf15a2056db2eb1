/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the replicator's thread sleeps between its turns, and when it only gives way: of a real one whose lane
 * and standby are the test. While it runs, the test is the clock and the scheduler as well: it stands in for
 * the system's calls, each of which takes the time that it is asked for.
 */
#define _GNU_SOURCE /* ppoll */
#include "tests/help/primary.h"
#include "tests/help/test.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#define US   1000u
#define TURN 10000u /* ns that a turn takes after which the thread gives way */

/* What passes while the replicator runs. Times in ns. */
static struct {
    bool runs;
    int policy; /* of its thread */
    uint64_t now, end;
    uint64_t every, next; /* when the lane puts a record */
    unsigned left;        /* records to come */
    unsigned entries, gave_way, rested, waited;
} w;
static bool restless; /* something is always there to be read, and is nothing to the thread */

static void passes(uint64_t ns)
{
    w.now += ns;
    for (; w.left && w.now >= w.next; w.left--, w.entries++) {
        assert_true(primary_put_packets(1));
        w.next += w.every;
    }
    if (w.now >= w.end)
        rp_stop(primary.replicator);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!w.runs)
        return (int)syscall(SYS_clock_gettime, id, t);
    *t = (struct timespec){(time_t)(w.now / 1000000000u), (long)(w.now % 1000000000u)};
    return 0;
}

int sched_yield(void)
{
    if (!w.runs)
        return (int)syscall(SYS_sched_yield);
    w.gave_way++;
    passes(TURN);
    return 0;
}

int nanosleep(const struct timespec *time, struct timespec *rest)
{
    if (!w.runs)
        return (int)syscall(SYS_nanosleep, time, rest);
    w.rested++;
    passes((uint64_t)time->tv_nsec);
    return 0;
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    struct timespec none = {0, 0};

    w.waited++;
    if (w.runs && restless) {
        passes(US);
        return 1;
    }
    if (syscall(SYS_ppoll, fds, n, &none, NULL, 0) == 0) /* nobody wakes it */
        passes((uint64_t)time->tv_nsec);
    return 0;
}

int sched_getscheduler(pid_t pid)
{
    return w.policy;
}

static int teardown(void **state)
{
    w.runs = restless = false;
    primary_close();
    return 0;
}

/* The replicator runs for so long, with so many records, one every so many ns. */
static void run(int policy, uint64_t every, unsigned records, uint64_t ns)
{
    memset(&w, 0, sizeof(w));
    w.policy = policy;
    w.now = primary.now;
    w.end = w.now + ns;
    w.every = every;
    w.next = w.now;
    w.left = records;
    w.runs = true;
    rp_run(primary.replicator);
    w.runs = false;
    assert_int_equal(w.left, 0);
}

TEST_WITH(it_stays_awake_while_entries_come_densely, primary_setup, teardown)
{
    run(SCHED_OTHER, 150 * US, 100, 100 * 150 * US);
    assert_in_range(w.waited, 1, 10); /* before the second, which told how dense they are */
    assert_true(w.gave_way > 98 * 150 * US / TURN);
}

TEST_WITH(it_sleeps_two_hundred_microseconds_after_the_last, primary_setup, teardown)
{
    run(SCHED_OTHER, 100 * US, 11, 50 * 1000 * US);
    assert_in_range(w.gave_way, (9 * 100 + 200) * US / TURN, (10 * 100 + 250) * US / TURN);
    assert_true(w.waited > 10);
}

TEST_WITH(sparse_entries_leave_it_asleep, primary_setup, teardown)
{
    run(SCHED_OTHER, 300 * US, 100, 100 * 300 * US + 1000 * US);
    assert_in_range(w.gave_way, 100, 210); /* after turns with work alone */
    assert_true(w.waited > 100);
}

/* Nobody else would run on its processor. */
TEST_WITH(with_real_time_priority_it_sleeps_after_each_turn_with_work, primary_setup, teardown)
{
    run(SCHED_FIFO, 100 * US, 100, 100 * 100 * US + 1000 * US);
    assert_int_equal(w.gave_way, 0);
    assert_in_range(w.rested, 100, 110);
    assert_true(w.waited >= 100);
}

TEST_WITH(with_real_time_priority_it_sleeps_though_something_wakes_it_for_nothing, primary_setup, teardown)
{
    restless = true;
    run(SCHED_FIFO, 100 * US, 0, 5000 * US);
    assert_int_equal(w.gave_way, 0);
    assert_in_range(w.rested, 5000 / 54, 5000 / 50); /* 50 us each, behind two looks of 1 us */
}

/* Here turns take no time, and between them all of it passes: until the first of the last millisecond, of
 * which status does not tell yet. */
TEST_WITH(what_passes_between_turns_is_no_turn, primary_setup, teardown)
{
    struct rp_status s;

    run(SCHED_OTHER, 150 * US, 100, 100 * 150 * US);
    rp_status(primary.replicator, &s);
    assert_int_equal(s.turns.ns[FT_SPENT_USEFUL] + s.turns.ns[FT_SPENT_EMPTY] + s.turns.longest, 0);
    assert_in_range(s.turns.ns[FT_SPENT_ASLEEP], 100 * 150 * US - 2 * 1000 * US, 100 * 150 * US);
}
