/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an agent takes what it has read of etcd for what is there now: the leader plans, and orders are
 * carried out, by nothing older.
 */
#include "fleet/agent.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define S 1000000000ull

static void keys_count_once_the_stream_has_settled(void **state)
{
    static const struct {
        uint64_t connected, answered, lease_until; /* 100 s is now */
        int64_t lease;
        uint64_t failures;
        bool fresh;
        const char *what;
    } rows[] = {
        {50 * S, 100 * S, 101 * S, 7, 1, true, "all is well"},
        {50 * S, 97 * S + 1, 101 * S, 7, 1, true, "a beat that is late"},
        {50 * S, 97 * S, 101 * S, 7, 1, false, "the agent was stopped"},
        {0, 100 * S, 101 * S, 7, 1, false, "the stream is broken"},
        {99 * S + 1, 100 * S, 101 * S, 7, 1, false, "the stream has just begun"},
        {99 * S, 100 * S, 101 * S, 7, 1, true, "it has settled"},
        {99 * S + 1, 100 * S, 101 * S, 7, 0, true, "it is the first one, begun behind what was read"},
        {50 * S, 100 * S, 100 * S, 7, 1, false, "the lease is over"},
        {50 * S, 100 * S, 101 * S, 0, 1, false, "its key is not there"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct nd_mirror_status s = {.connected_since = rows[i].connected,
                                           .failures = rows[i].failures,
                                           .answered = rows[i].answered,
                                           .lease = rows[i].lease,
                                           .lease_until = rows[i].lease_until};

        if (is_fresh(&s, 100 * S) != rows[i].fresh)
            fail_msg("%s: expected %d", rows[i].what, rows[i].fresh);
    }
}

static void an_agents_clock_is_that_of_its_beginning(void **state)
{
    struct agent a = {.wall = nd_wall() - nd_now()};
    uint64_t wall = nd_wall() / S, at = clock_of(&a);

    (void)state;
    assert_in_range(at, wall - 1, wall + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_count_once_the_stream_has_settled),
                                       cmocka_unit_test(an_agents_clock_is_that_of_its_beginning)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
