/* SPDX-License-Identifier: Apache-2.0 */
/* The worker: what was given before its end is done, a wait has a bound, and one that stands is given up. */
#include "ftcore/base/worker.h"
#include "tests/help/test.h"

#include <time.h>

#define MS 1000000ull

struct user {
    struct ft_worker worker;
    _Atomic int given, done;
    _Atomic bool woke;
    int disk; /* the read end of a pipe: a thread that reads it stands as one in a frozen disk does */
};

static uint64_t now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000 * MS + (uint64_t)at.tv_nsec;
}

static void *count_jobs(void *arg)
{
    struct user *u = arg;

    for (;;) {
        bool ends = ft_worker_ends(&u->worker);

        while (u->done < u->given)
            u->done++;
        if (ends)
            return NULL;
        ft_worker_wait(&u->worker, UINT64_MAX);
    }
}

TEST(jobs_given_before_the_end_are_done)
{
    struct user u = {.given = 0};

    for (int i = 0; i < 100; i++) {
        u.given = u.done = 0;
        assert_int_equal(ft_worker_start(&u.worker, count_jobs, &u, "a test", NULL), 0);
        u.given += 3;
        ft_worker_wake(&u.worker);
        u.given += 4; /* told by the end alone */
        assert_true(ft_worker_end(&u.worker, UINT64_MAX));
        assert_int_equal(u.done, 7);
    }
}

static void *wait_a_while(void *arg)
{
    struct user *u = arg;

    ft_worker_wait(&u->worker, now() + 50 * MS);
    u->woke = true;
    return NULL;
}

TEST(a_wait_ends_by_itself)
{
    struct user u = {.given = 0};
    uint64_t began = now();

    assert_int_equal(ft_worker_start(&u.worker, wait_a_while, &u, "a test", NULL), 0);
    while (!u.woke)
        usleep(1000);
    assert_true(now() - began >= 50 * MS);
    assert_true(ft_worker_end(&u.worker, UINT64_MAX));
}

static void *stand_in_a_disk(void *arg)
{
    struct user *u = arg;
    char byte;

    u->done = read(u->disk, &byte, 1) == 1;
    return NULL;
}

TEST(one_that_stands_is_given_up)
{
    struct user u = {.given = 0};
    uint64_t began;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    u.disk = ends[0];
    assert_int_equal(ft_worker_start(&u.worker, stand_in_a_disk, &u, "a test", NULL), 0);
    began = now();
    assert_false(ft_worker_end(&u.worker, began + 100 * MS));
    assert_true(now() - began >= 100 * MS);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_true(ft_worker_end(&u.worker, UINT64_MAX));
    assert_int_equal(u.done, 1);
    close(ends[0]);
    close(ends[1]);
}
