/* SPDX-License-Identifier: Apache-2.0 */
/* Held outputs: nothing leaves before its burst is stable, and everything leaves in order. */
#include "tests/help/test.h"

#include "ftcore/queue/hold.h"
#include "tests/help/program.h"

static char packets[64]; /* only their addresses matter */

/* Copies of what ft_hold_ready gives, and of what it would give then, for the same port. */
static uint32_t peek(const struct ft_hold *hold, uint64_t stable, uint32_t max, struct ft_held out[])
{
    struct ft_hold rest = *hold;
    const struct ft_held *at;
    uint32_t count = 0, n;

    while ((n = ft_hold_ready(&rest, stable, max - count, &at)) && (count == 0 || at->port == out[0].port)) {
        memcpy(&out[count], at, n * sizeof(*at));
        count += n;
        rest.out += n;
    }
    return count;
}

TEST(capacity_is_rounded_up)
{
    struct ft_hold hold;

    assert_int_equal(ft_hold_init(&hold, 5), 0);
    assert_int_equal(ft_hold_room(&hold), 8);
    assert_int_equal(ft_hold_count(&hold), 0);
    ft_hold_free(&hold);
    assert_int_equal(ft_hold_init(&hold, 0), 0);
    assert_int_equal(ft_hold_room(&hold), 1);
    ft_hold_free(&hold);
    assert_int_equal(ft_hold_init(&hold, UINT32_MAX), FT_ENOMEM);
    ft_hold_free(&hold);
}

/* Output `number` and those behind it, `count`: one by one, or into slots in a row. */
static void put_some(struct ft_hold *hold, uint64_t number, unsigned count, bool in_a_row)
{
    struct ft_held *slot = ft_hold_slot(hold, hold->in);

    for (unsigned i = 0; i < count; i++, number++) {
        const struct ft_held output = {.burst = number / 3,
                                       .port = (uint16_t)(number / 5 % 2),
                                       .packet = &packets[number % 64],
                                       .number = number};

        if (in_a_row) {
            *slot = output;
            slot = ft_hold_next(hold, slot);
        } else {
            ft_hold_put(hold, &output);
        }
    }
    if (in_a_row)
        ft_hold_added(hold, count);
}

/* Many times around, at all fillings: packets come out as they went in, never from an unstable burst. */
TEST(packets_come_out_in_order_at_all_fillings)
{
    struct ft_hold hold;
    struct ft_held out[5];
    uint64_t in = 0, released = 0;

    assert_int_equal(ft_hold_init(&hold, 16), 0);
    for (unsigned round = 0; round < 10000; round++) {
        uint64_t stable = in / 3 - (in > 6 ? 2 : 0); /* output i is of burst i / 3 */
        const struct ft_held *at;
        uint32_t count, there, room = ft_hold_room(&hold), more = round % 7 < room ? round % 7 : room,
                               expected = 0;

        put_some(&hold, in, more, round % 2);
        in += more;
        assert_int_equal(ft_hold_room(&hold), 16 - (in - released));
        count = peek(&hold, stable, 5, out);
        there = ft_hold_ready(&hold, stable, 5, &at);
        /* Where they lie: all of them, or those up to the end of the 16 slots. */
        assert_int_equal(there, count < 16 - released % 16 ? count : 16 - released % 16);
        for (uint32_t i = 0; i < there; i++)
            assert_int_equal(at[i].number, released + i);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(out[i].number, released + i);
            assert_int_equal(out[i].port, out[0].port);
            assert_ptr_equal(out[i].packet, &packets[out[i].number % 64]);
            assert_true(out[i].burst <= stable);
        }
        for (uint64_t i = released; i < in && expected < 5; i++, expected++) /* those of one port, stable */
            if (i / 3 > stable || i / 5 % 2 != released / 5 % 2)
                break;
        assert_int_equal(count, expected);
        assert_int_equal(ft_hold_count(&hold), in - released); /* looking removes nothing */
        ft_hold_drop(&hold, count);
        released += count;
    }
    assert_true(released > 10000);
    ft_hold_free(&hold);
}

static void put_one(void *hold)
{
    ft_hold_put(hold, &(struct ft_held){.burst = 4, .port = 0, .packet = packets});
}

static void drop_three(void *hold)
{
    ft_hold_drop(hold, 3);
}

static void expect_two(void *hold)
{
    ft_hold_expect(hold, 5, 2);
}

TEST(misuse_is_a_broken_invariant)
{
    struct ft_hold hold;

    assert_int_equal(ft_hold_init(&hold, 2), 0);
    ft_hold_put(&hold, &(struct ft_held){.burst = 5, .port = 0, .packet = packets});
    assert_dies(put_one, &hold, "an output of burst 4 after one of burst 5");
    assert_dies(expect_two, &hold, "all 2 held outputs are in use but 1, expected room for 2");
    ft_hold_put(&hold, &(struct ft_held){.burst = 5, .port = 0, .packet = packets});
    assert_dies(put_one, &hold, "all 2 held outputs are in use");
    assert_dies(drop_three, &hold, "3 outputs dropped, 2 held");
    ft_hold_drop(&hold, 2);
    ft_hold_put(&hold, &(struct ft_held){.burst = 4,
                                         .port = 0,
                                         .packet = packets}); /* emptied: a new view may count from lower */
    ft_hold_free(&hold);
}

TEST(fits_what_there_is)
{
    assert_int_equal(ft_hold_fit(128, 512), 128);
    assert_int_equal(ft_hold_fit(129, 512), 256);
    assert_int_equal(ft_hold_fit(16384, 16384), 16384);
    assert_int_equal(ft_hold_fit(16384, 8192), 8192);
    assert_int_equal(ft_hold_fit(16384, 10000), 8192); /* down: the other half stays for the ports */
    assert_int_equal(ft_hold_fit(10000, 10000), 8192);
    assert_int_equal(ft_hold_fit(1048576, UINT32_MAX), 1048576);
    assert_int_equal(ft_hold_fit(1, 1), 1);
    assert_int_equal(ft_hold_fit(5, 0), 0);
}
