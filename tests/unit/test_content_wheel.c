/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wheel that came from a peer: one of every age passes the chain's check; damage of each kind is refused,
 * and the line says what. Where things lie is known here as the head of wheel.c states it.
 */
#include "tests/help/content.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static struct help_nf h;

#define TIMERS 50u
#define SLOTS  256u
#define FIRST  (1 + 8 * SLOTS) /* node of number 0 */

struct node {
    uint64_t due;
    uint32_t next, prev;
};
struct wheel {
    uint64_t tick, current;
    uint32_t count, spreading, unused[10];
    uint64_t occupied[8][4];
    struct node node[];
};

static struct wheel *wheel;
static struct nf_wheel *timers;

static void run_to(uint64_t now)
{
    nf_chain_run(h.chain, nf_chain_state(h.chain)->burst + 1, now, NULL, 0);
}

static void take_due(struct nf *nf, uint64_t now)
{
    uint32_t due[4];

    nf_wheel_due(nf, timers, now, due, 4);
}

static void open_wheel(uint32_t count)
{
    help_nf_open(&h, nf_wheel_bytes(count), 5);
    content_of(&h);
    timers = nf_wheel_make(h.nf, count, 1000);
    wheel = (struct wheel *)(void *)timers;
    help_nf_timers = take_due;
    content_passes();
}

/* At tick 1000: timers 0 and 1 in 5 ticks, 2 in 2000, and 3 in 200,000. */
static void set_four(void)
{
    open_wheel(TIMERS);
    nf_wheel_set(h.nf, timers, 9, 1000 * 1000);
    run_to(1000 * 1000);
    assert_int_equal(wheel->current, 1000);
    nf_wheel_set(h.nf, timers, 0, 1005 * 1000);
    nf_wheel_set(h.nf, timers, 1, 1005 * 1000);
    nf_wheel_set(h.nf, timers, 2, 3000 * 1000);
    nf_wheel_set(h.nf, timers, 3, 201000 * 1000);
    content_passes();
}

static void rings_of_a_wheel_end(void **unused)
{
    struct node *zero, *one, *head;

    (void)unused;
    set_four();
    zero = &wheel->node[FIRST];
    one = &wheel->node[FIRST + 1];
    head = &wheel->node[1 + 1005 % SLOTS];
    assert_int_equal(head->next, FIRST);
    assert_int_equal(zero->next, FIRST + 1);
    DAMAGED(&wheel->tick, 0, "constant");
    DAMAGED(&wheel->count, UINT32_MAX, "constant");
    DAMAGED(&zero->next, UINT32_MAX, "wheel at line ");
    DAMAGED(&zero->next, UINT32_MAX, "leads to 4294967295, expected a timer or itself");
    DAMAGED(&zero->next, FIRST + TIMERS, "expected a timer or itself");
    DAMAGED(&zero->next, 7, "expected a timer or itself"); /* another slot */
    DAMAGED(&zero->next, FIRST, "the ring is not the same in both directions");
    DAMAGED(&zero->next, 0, "expected a timer or itself");
    DAMAGED(&one->prev, UINT32_MAX, "in both directions");
    DAMAGED(&head->next, FIRST + 1, "in both directions");
    DAMAGED(&head->next, FIRST + 2, "in both directions");
    DAMAGED(&wheel->node[FIRST + 20].next, FIRST + 20, "5 timers are set, expected 4, as lie in slots");
    help_nf_close(&h);
}

static void timers_lie_where_their_tick_belongs(void **unused)
{
    struct node *zero, *two;

    (void)unused;
    set_four();
    zero = &wheel->node[FIRST];
    two = &wheel->node[FIRST + 2];
    DAMAGED(&zero->due, 1006,
            "timer 0 of tick 1006 is at level 0, slot 237, which is not its place at tick 1000");
    DAMAGED(&zero->due, 1005 + SLOTS, "is not its place");
    DAMAGED(&two->due, 3000 + SLOTS, "timer 2 of tick 3256 is at level 1, slot 11");
    DAMAGED(&two->due, UINT64_MAX, "is not its place");
    DAMAGED(&wheel->current, 1001, "tick 1001 has come, expected at most 1000");
    DAMAGED(&wheel->current, 3 * SLOTS - 1, "is not its place");
    DAMAGED(&wheel->occupied[0][0], 1, "level 0, slot 0 is marked as taken and is not");
    DAMAGED(&wheel->occupied[7][3], 1ull << 63, "level 7, slot 255 is marked as taken and is not");
    DAMAGED(&wheel->occupied[0][3], 0, "slot 237 is marked as empty and is not");
    DAMAGED(&wheel->spreading, 8, "level 8 is being spread");
    DAMAGED(&wheel->spreading, UINT32_MAX, "is being spread");
    help_nf_close(&h);
}

/* A slot with more timers than one call moves is half spread; then some are cancelled, and others set. */
static void a_wheel_that_is_half_spread_passes(void **unused)
{
    unsigned half = 0;

    (void)unused;
    open_wheel(5000);
    for (uint32_t n = 0; n < 4000; n++)
        nf_wheel_set(h.nf, timers, n, (70000 + n % 200) * 1000ull);
    for (uint64_t now = 60000; now < 71000 && half < 3; now += 100) {
        run_to(now * 1000);
        content_passes();
        if (wheel->spreading == 0)
            continue;
        half++;
        nf_wheel_set(h.nf, timers, 4500 + half, (now + 3) * 1000);
        nf_wheel_set(h.nf, timers, 4600 + half, (now + 300) * 1000);
        nf_wheel_cancel(h.nf, timers, half);
        content_passes();
        if (half == 2) {
            for (uint32_t n = 0; n < 4000; n++)
                nf_wheel_cancel(h.nf, timers, n);
            content_passes();
        }
    }
    assert_true(half >= 2);
    help_nf_close(&h);
}

static void wheels_of_every_age_pass(void **unused)
{
    uint64_t sequence = 3, now = 0;

    (void)unused;
    open_wheel(300);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t number = help_nf_below(&sequence, 300);

        if (help_nf_below(&sequence, 4))
            nf_wheel_set(h.nf, timers, number,
                         now + (help_nf_draw(&sequence) >> help_nf_below(&sequence, 60)) % (now + 1));
        else
            nf_wheel_cancel(h.nf, timers, number);
        if (i % 8 == 0)
            run_to(now += 1ull << help_nf_below(&sequence, 34));
        if (i % 16 == 0)
            content_passes();
    }
    help_nf_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_of_a_wheel_end),
        cmocka_unit_test(timers_lie_where_their_tick_belongs),
        cmocka_unit_test(a_wheel_that_is_half_spread_passes),
        cmocka_unit_test(wheels_of_every_age_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
