/* SPDX-License-Identifier: Apache-2.0 */
/* A value that one thread writes all the time: every copy of it is one that was written, and none is older
 * than the copy before. */
#include "tests/help/test.h"
#include "ftcore/base/seqlock.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define VALUES 2000u /* that are seen */
#define WORDS  512u

static _Atomic uint64_t serial;
static uint64_t value[WORDS];
static _Atomic bool stop;

static void *write_values(void *arg)
{
    for (uint64_t n = 1; !atomic_load(&stop); n++) {
        ft_seqlock_begin(&serial);
        for (unsigned i = 0; i < WORDS; i++)
            ((volatile uint64_t *)value)[i] = n;
        ft_seqlock_end(&serial);
        nanosleep(&(struct timespec){0, 1000}, NULL);
    }
    return arg;
}

TEST(copies_are_whole_and_in_order)
{
    uint64_t copy[WORDS], torn = 0, older = 0, last = 0, different = 0, odd = 0;
    pthread_t writer;

    assert_int_equal(pthread_create(&writer, NULL, write_values, NULL), 0);
    while (different < VALUES) {
        uint64_t at;

        while (!ft_seqlock_copy(&serial, &at, copy, value, sizeof(copy)))
            sched_yield();
        for (unsigned i = 1; i < WORDS; i++)
            torn += copy[i] != copy[0];
        odd += at % 2 != 0 || at / 2 != copy[0];
        older += copy[0] < last;
        different += copy[0] != last;
        last = copy[0];
    }
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
    assert_int_equal(torn, 0);
    assert_int_equal(odd, 0);
    assert_int_equal(older, 0);
}
