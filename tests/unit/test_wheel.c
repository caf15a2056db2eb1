/* SPDX-License-Identifier: Apache-2.0 */
/* wheel: against a plain array of ticks, sorted when timers come due. */
#include "tests/help/test.h"

#include "tests/help/program.h"
#include "tests/help/nf.h"

static struct help_nf h;

#define COUNT_MAX 6000u

/* A timer that is set: its tick, and a number that grows with every setting. */
struct timer {
    uint64_t tick, order;
    uint32_t number;
    bool set;
};

struct model {
    struct timer timers[COUNT_MAX];
    uint32_t count;
    uint64_t tick;    /* ns */
    uint64_t current; /* what is set for earlier ticks counts as set for this one */
    uint64_t orders;
};

static struct model m;

/* The NF's wake time, and what the runner does to it before `timers`. */
static uint64_t wake_of(void)
{
    return nf_chain_state(h.chain)->wake[1];
}

static void wake_none(void)
{
    const uint64_t *wake = &nf_chain_state(h.chain)->wake[1];

    *(uint64_t *)ft_edit(h.region, wake, sizeof(*wake)) = UINT64_MAX;
}

static void begin(uint32_t count, uint64_t tick)
{
    memset(&m, 0, sizeof(m));
    m.count = count;
    m.tick = tick;
}

static uint64_t tick_of(uint64_t at)
{
    uint64_t tick = at / m.tick;

    return at % m.tick ? tick + 1 : tick;
}

static void set(struct nf_wheel *wheel, uint32_t number, uint64_t at)
{
    struct timer *timer = &m.timers[number];
    uint64_t tick = tick_of(at) < m.current ? m.current : tick_of(at);

    nf_wheel_set(h.nf, wheel, number, at);
    if (!timer->set || timer->tick != tick)
        *timer = (struct timer){.tick = tick, .order = m.orders++, .number = number, .set = true};
}

static void cancel(struct nf_wheel *wheel, uint32_t number)
{
    nf_wheel_cancel(h.nf, wheel, number);
    m.timers[number].set = false;
}

static int by_tick(const void *a, const void *b)
{
    const struct timer *x = a, *y = b;

    if (x->tick != y->tick)
        return x->tick < y->tick ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* All that is due at `now`, in order. */
static uint32_t expect(uint64_t now, struct timer list[])
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m.count; i++)
        if (m.timers[i].set && m.timers[i].tick <= now / m.tick)
            list[n++] = m.timers[i];
    qsort(list, n, sizeof(list[0]), by_tick);
    return n;
}

/* The tick of the timer that comes first; UINT64_MAX: none is set. */
static uint64_t first_tick(void)
{
    uint64_t first = UINT64_MAX;

    for (uint32_t i = 0; i < m.count; i++)
        if (m.timers[i].set && m.timers[i].tick < first)
            first = m.timers[i].tick;
    return first;
}

static uint64_t time_of(uint64_t tick)
{
    return tick > UINT64_MAX / m.tick ? UINT64_MAX : tick * m.tick;
}

/* The NF is woken in time. */
static void compare_wake(uint64_t now)
{
    assert_true(wake_of() <= now || wake_of() <= time_of(first_tick()));
}

/* After a call that has given all that was due: to the tick, for what is near. */
static void compare_next(void)
{
    uint64_t first = first_tick();

    if (first == UINT64_MAX || first >> 8 == m.current >> 8)
        assert_true(wake_of() == time_of(first));
}

/* One call; what it gives is the beginning of what is expected. Returns how many. */
static uint32_t due(struct nf_wheel *wheel, uint64_t now, uint32_t max)
{
    static struct timer list[COUNT_MAX];
    static uint32_t out[COUNT_MAX];
    uint32_t expected = expect(now, list), n;

    wake_none();
    n = nf_wheel_due(h.nf, wheel, now, out, max);
    assert_true(n <= max && n <= expected);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(out[i], list[i].number);
        m.timers[out[i]].set = false;
        m.current = list[i].tick;
    }
    if (n < expected || n == max)
        assert_true(wake_of() <= now);
    else
        m.current = now / m.tick > m.current ? now / m.tick : m.current;
    return n;
}

static uint64_t delay(uint64_t *sequence)
{
    uint32_t bits = help_below(sequence, 44);

    return ft_draw(sequence) & ((1ull << bits) - 1);
}

/* Up to 100 timers: every call is complete unless `max` ends it. */
static void churn(uint32_t count, uint64_t tick, uint64_t start, uint32_t steps, uint64_t seed)
{
    struct nf_wheel *wheel;
    uint64_t sequence = seed, now = start;

    help_nf_open(&h, nf_wheel_bytes(count), seed);
    wheel = nf_wheel_make(h.nf, count, tick);
    assert_non_null(wheel);
    begin(count, tick);
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t number = help_below(&sequence, count), kind = help_below(&sequence, 10);

        if (kind < 5) {
            set(wheel, number, now + delay(&sequence));
        } else if (kind == 5) {
            set(wheel, number,
                help_below(&sequence, 2) ? now - delay(&sequence) % (now + 1) : m.timers[number].tick * tick);
        } else if (kind == 6) {
            cancel(wheel, number);
        } else {
            uint32_t max = 1 + help_below(&sequence, count);

            now += delay(&sequence) >> help_below(&sequence, 20);
            if (due(wheel, now, max) < max) {
                assert_true(wake_of() > now); /* nothing left */
                compare_next();
            }
        }
        compare_wake(now);
        help_model_audit(&h, i);
    }
    help_nf_audit(&h);
}

TEST(wheel_agrees_with_the_model)
{
    uint64_t seed = help_model_seed();

    churn(100, 1000000, 0, HELP_MODEL_STEPS / 4, seed);
    churn(100, 10000000, 1700000000000000000ull, HELP_MODEL_STEPS / 4, seed + 1); /* time of day, 10 ms */
    churn(60, 1, 123456789, HELP_MODEL_STEPS / 4, seed + 2);
    churn(7, 3333, 77, HELP_MODEL_STEPS / 8, seed + 3);
    churn(1, 1000000000, 0, HELP_MODEL_STEPS / 8, seed + 4);
}

/* More timers in one far slot than one call spreads; new ones are set in its range meanwhile. */
TEST(a_full_slot_is_emptied_over_several_calls)
{
    struct nf_wheel *wheel;
    uint64_t sequence = 11, now = 1000, start = 1ull << 24;
    uint32_t calls = 0, left = COUNT_MAX - 500;

    help_nf_open(&h, nf_wheel_bytes(COUNT_MAX), 1);
    wheel = nf_wheel_make(h.nf, COUNT_MAX, 1);
    begin(COUNT_MAX, 1);
    assert_int_equal(due(wheel, now, 10), 0);
    for (uint32_t i = 0; i < left; i++)
        set(wheel, i, start + help_below(&sequence, 300));
    now = start + 100;
    for (uint32_t i = 0; wake_of() <= now && calls < 200; calls++) {
        left -= due(wheel, now, COUNT_MAX);
        help_nf_audit(&h);
        for (uint32_t j = 0; j < 100 && i < 500; j++, i++) {
            set(wheel, COUNT_MAX - 500 + i, now + help_below(&sequence, 200)), left++;
            cancel(wheel, COUNT_MAX - 500 + help_below(&sequence, 500));
        }
        compare_wake(now);
    }
    assert_in_range(calls, 6, 40);
    assert_true(wake_of() > now);
    while (wake_of() != UINT64_MAX) { /* the rest, at its own times */
        now = wake_of() > now ? wake_of() : now;
        due(wheel, now, 64);
        help_nf_audit(&h);
    }
    for (uint32_t i = 0; i < COUNT_MAX; i++)
        assert_false(m.timers[i].set);
}

/* A slot half spread is emptied by cancelling: what was set after it still comes in its time. */
static void half_spread(bool call_between)
{
    struct nf_wheel *wheel;
    uint64_t start = 1ull << 16;

    help_nf_open(&h, nf_wheel_bytes(3000), 1);
    wheel = nf_wheel_make(h.nf, 3000, 1);
    begin(3000, 1);
    for (uint32_t i = 0; i < 2000; i++)
        set(wheel, i, start + 1000);
    assert_int_equal(due(wheel, start, 10), 0);
    for (uint32_t i = 2000; i-- > 0;) { /* from the end: those not yet spread go first */
        cancel(wheel, i);
        compare_wake(start);
    }
    if (call_between)
        assert_int_equal(due(wheel, start, 10), 0);
    set(wheel, 2500, start + 30);
    compare_wake(start);
    set(wheel, 2501, start + 20);
    set(wheel, 2502, start + 256);
    assert_int_equal(due(wheel, start + 20, 10), 1);
    set(wheel, 2503, start + 20);
    assert_int_equal(due(wheel, start + 20, 10), 1);
    set(wheel, 2504, start + 25);
    compare_wake(start + 20);
    assert_int_equal(due(wheel, start + 300, 10), 3);
    help_nf_audit(&h);
}

TEST(timers_of_a_slot_half_emptied_can_be_cancelled)
{
    half_spread(false);
    half_spread(true);
}

TEST(rounding_and_ends_of_time)
{
    struct nf_wheel *wheel, *fine;

    help_nf_open(&h, nf_wheel_bytes(10) * 2, 1);
    wheel = nf_wheel_make(h.nf, 10, 1000);
    fine = nf_wheel_make(h.nf, 10, 1);
    begin(10, 1000);
    set(wheel, 0, 5000);
    set(wheel, 1, 5001);
    set(wheel, 2, UINT64_MAX);
    set(wheel, 3, 0);
    assert_int_equal(due(wheel, 0, 10), 1);
    assert_true(wake_of() == 5000);
    assert_int_equal(due(wheel, 4999, 10), 0);
    assert_int_equal(due(wheel, 5000, 10), 1);
    assert_int_equal(due(wheel, 5999, 10), 0);
    assert_int_equal(due(wheel, 6000, 10), 1);
    assert_int_equal(due(wheel, UINT64_MAX, 10), 0); /* its tick begins after the end of time */
    begin(10, 1);
    set(fine, 0, UINT64_MAX);
    assert_int_equal(due(fine, UINT64_MAX - 1, 10), 0);
    assert_int_equal(due(fine, UINT64_MAX, 10), 1);
    assert_true(wake_of() == UINT64_MAX);
    help_nf_audit(&h);
}

/* ---- two wheels, run by the chain's own wake times alone ----------------------------------------- */

static struct nf_wheel *pair[2];
static uint64_t set_for[2][100]; /* 0: not set */
static uint32_t left;

static void both(struct nf *nf, uint64_t now)
{
    static const uint64_t ticks[2] = {1000, 1500};

    for (uint32_t w = 0; w < 2; w++) {
        uint32_t out[4], n = nf_wheel_due(nf, pair[w], now, out, 4);

        for (uint32_t i = 0; i < n; i++) {
            uint64_t *at = &set_for[w][out[i]];

            assert_true(*at && now >= *at);
            assert_true(now - *at < ticks[w]); /* less than a tick late, on a chain that wakes in time */
            *at = 0;
            left--;
        }
    }
}

TEST(the_earliest_of_several_wheels_wakes)
{
    uint64_t sequence = 3, now = 1000000, burst = 0;

    help_nf_open(&h, nf_wheel_bytes(100) * 2, 1);
    pair[0] = nf_wheel_make(h.nf, 100, 1000);
    pair[1] = nf_wheel_make(h.nf, 100, 1500);
    help_nf_timers = both;
    for (left = 0; left < 200; left++) {
        uint64_t at = now + 1 + delay(&sequence);

        set_for[left % 2][left / 2] = at;
        nf_wheel_set(h.nf, pair[left % 2], left / 2, at);
    }
    while (nf_chain_wake(h.chain) != UINT64_MAX) {
        if (nf_chain_wake(h.chain) > now)
            now = nf_chain_wake(h.chain);
        assert_true(nf_chain_due(h.chain, now));
        nf_chain_run(h.chain, ++burst, now, NULL, 0);
        help_nf_audit(&h);
    }
    assert_int_equal(left, 0);
    assert_in_range(burst, 100, 1500);
}

/* ---- misuse -------------------------------------------------------------------------------------- */

static void set_beyond(void *arg)
{
    nf_wheel_set(h.nf, nf_wheel_make(h.nf, 4, 1), 4, 100);
}

TEST(misuse_aborts)
{
    uint64_t used;

    help_nf_open(&h, 1 << 18, 1);
    assert_dies(set_beyond, NULL, "timer 4 of 4");
    used = h.nf->arena->used;
    assert_null(nf_wheel_make(h.nf, 1000000, 1));
    assert_non_null(nf_wheel_make(h.nf, 1000, 1));
    assert_int_equal(h.nf->arena->used - used, nf_wheel_bytes(1000));
}
