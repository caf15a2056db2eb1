/* SPDX-License-Identifier: Apache-2.0 */
/* Which packet the registers of a thread that dies name: of one that is at the second of three packets. */
#include "understudy/crash/handler.c"
#include "tests/help/test.h"

#define N 3u

static uint8_t frame[N][64];
static struct nf_packet packets[N];
static struct nf_packet *list[N + 1]; /* lies where the chain has its lists: above `limit` */
static struct nf_mark mark;
static struct nd_crash_told told;

static uint64_t address(const void *of)
{
    return (uint64_t)(uintptr_t)of;
}

/* The packets found, as bits, of a thread with these in its first registers. */
static uint32_t find(uint64_t one, uint64_t two, uint64_t three)
{
    for (unsigned i = 0; i < N; i++) {
        packets[i] = (struct nf_packet){.data = frame[i], .len = 64, .have = 64};
        list[i] = &packets[i];
    }
    memset(&told, 0, sizeof(told));
    atomic_store(&mark.packets, packets);
    atomic_store(&mark.n, N);
    atomic_store(&mark.doing, (uint32_t)NF_DOING_PACKETS);
    atomic_store(&mark.stack, address(list) - 64);
    atomic_store(&mark.list, list);
    told.reg[0] = one;
    told.reg[1] = two;
    told.reg[2] = three;
    told.reg[ND_CRASH_REGISTERS - 2] = address(list) - 64; /* nothing lies on its stack */
    walk(&told, &mark);
    return told.found;
}

TEST(a_packet_or_what_is_in_it_is_found)
{
    assert_int_equal(find(1, 2, address(&packets[1])), 2);
    assert_int_equal(find(1, address(&packets[1].saddr), 3), 2);
    assert_int_equal(find(address(frame[1]) + 14, 2, 3), 2);
    assert_int_equal(find(1, 2, 3), 0);
}

/* The source address of the one before is still in a register: an NF looked it up in a map. */
TEST(what_is_left_of_one_before_names_no_packet)
{
    assert_int_equal(find(address(&packets[0].saddr), address(&packets[1]), 0), 2);
    assert_int_equal(find(address(frame[0]), 0, address(&packets[1])), 2);
}

TEST(its_place_in_the_list_decides)
{
    assert_int_equal(find(address(&packets[0]), address(&packets[1]), 0), 3);
    assert_int_equal(find(address(&packets[0]), address(&packets[1]), address(&list[1])), 2);
    assert_int_equal(find(address(frame[0]), address(frame[1]), address(&list[1])), 2);
    assert_int_equal(find(0, 0, address(&list[1])), 2);
    assert_int_equal(find(address(&packets[0]), 0, address(&list[1])), 1); /* or else it says nothing */
}
