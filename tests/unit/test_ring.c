/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: its boundaries, and a writer against a reader over contents that both can compute. */
#include "tests/help/test.h"
#include "ftcore/queue/ring.h"
#include "tests/help/program.h"

#include <pthread.h>

static void put(struct ft_ring *ring, uint64_t size, int fill)
{
    void *p = ft_ring_reserve(ring, size);

    assert_non_null(p);
    memset(p, fill, size);
    ft_ring_publish(ring, size);
}

static uint64_t there(struct ft_ring *ring)
{
    uint64_t size = 77;

    if (!ft_ring_peek(ring, &size))
        assert_int_equal(size, 0);
    return size;
}

TEST(a_rings_capacity_is_rounded_up)
{
    struct ft_ring ring;

    assert_int_equal(ft_ring_init(&ring, 1), 0);
    assert_int_equal(ring.capacity, 4096);
    ft_ring_free(&ring);
    assert_int_equal(ft_ring_init(&ring, 4097), 0);
    assert_int_equal(ring.capacity, 8192);
    ft_ring_free(&ring);
    assert_int_equal(ft_ring_init(&ring, UINT64_MAX), FT_ENOMEM);
    assert_null(ring.data);
    ft_ring_free(&ring);
}

TEST(a_full_ring_takes_nothing_and_an_empty_one_has_nothing)
{
    struct ft_ring ring;

    assert_int_equal(ft_ring_init(&ring, 4096), 0);
    assert_int_equal(there(&ring), 0);
    assert_int_equal(ft_ring_room(&ring), 4096);
    assert_null(ft_ring_reserve(&ring, 4097));
    assert_null(ft_ring_reserve(&ring, UINT64_MAX));
    put(&ring, 4096, 1);
    assert_int_equal(there(&ring), 4096);
    assert_int_equal(ft_ring_used(&ring), 4096);
    assert_int_equal(ft_ring_room(&ring), 0);
    assert_null(ft_ring_reserve(&ring, 1));
    ft_ring_advance(&ring, 4096);
    assert_int_equal(there(&ring), 0);
    assert_null(ft_ring_reserve(&ring, 1)); /* read, but not consumed */
    ft_ring_consume(&ring);
    assert_int_equal(ft_ring_used(&ring), 0);
    assert_non_null(ft_ring_reserve(&ring, 4096));
    ft_ring_free(&ring);
}

TEST(sizes_are_rounded_to_8)
{
    struct ft_ring ring;

    assert_int_equal(ft_ring_init(&ring, 4096), 0);
    assert_non_null(ft_ring_reserve(&ring, 100));
    assert_int_equal(there(&ring), 0); /* reserved, not published */
    ft_ring_publish(&ring, 9);         /* shortened */
    assert_int_equal(there(&ring), 16);
    put(&ring, 4096 - 16 - 7, 1);
    assert_int_equal(ft_ring_room(&ring), 0);
    ft_ring_advance(&ring, 9);
    ft_ring_consume(&ring);
    assert_int_equal(ft_ring_room(&ring), 16);
    assert_null(ft_ring_reserve(&ring, 17));
    assert_non_null(ft_ring_reserve(&ring, 16));
    ft_ring_free(&ring);
}

TEST(a_record_is_never_split)
{
    struct ft_ring ring;
    const uint8_t *p;
    uint64_t size;

    assert_int_equal(ft_ring_init(&ring, 4096), 0);
    put(&ring, 4000, 1);
    ft_ring_peek(&ring, &size);
    ft_ring_advance(&ring, 4000);
    ft_ring_consume(&ring);
    put(&ring, 1000, 2); /* 96 bytes before the end, 904 after */
    put(&ring, 8, 3);
    p = ft_ring_peek(&ring, &size);
    assert_int_equal(size, 1008);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(p[i], 2);
    assert_int_equal(p[1000], 3);
    ft_ring_free(&ring);
}

/* What was read stays where it is until it is consumed, however much is written behind it. */
TEST(read_bytes_stay_until_consumed)
{
    struct ft_ring ring;
    const uint8_t *first, *second;
    uint64_t size;

    assert_int_equal(ft_ring_init(&ring, 4096), 0);
    put(&ring, 2048, 1);
    first = ft_ring_peek(&ring, &size);
    ft_ring_advance(&ring, 2048);
    put(&ring, 1024, 2);
    second = ft_ring_peek(&ring, &size);
    assert_int_equal(size, 1024);
    assert_ptr_equal(second, first + 2048);
    ft_ring_advance(&ring, 512);
    put(&ring, 1024, 3);
    assert_null(ft_ring_reserve(&ring, 8));
    assert_int_equal(first[0], 1);
    assert_int_equal(first[2047], 1);
    assert_int_equal(second[511], 2);
    ft_ring_consume(&ring);
    assert_int_equal(ft_ring_room(&ring), 2560);
    assert_int_equal(there(&ring), 512 + 1024);
    ft_ring_reset(&ring);
    assert_int_equal(there(&ring), 0);
    assert_int_equal(ft_ring_room(&ring), 4096);
    ft_ring_free(&ring);
}

static void publish_unreserved(void *ring)
{
    ft_ring_publish(ring, 4097);
}

static void advance_unseen(void *ring)
{
    ft_ring_advance(ring, 24);
}

TEST(misuse_is_a_broken_invariant)
{
    struct ft_ring ring;

    assert_int_equal(ft_ring_init(&ring, 4096), 0);
    put(&ring, 16, 1);
    there(&ring);
    assert_dies(publish_unreserved, &ring, "4097 bytes published that were not reserved");
    assert_dies(advance_unseen, &ring, "advance by 24 bytes, 16 seen");
    ft_ring_free(&ring);
}

#define RECORDS 200000u

struct item {
    uint32_t size; /* of all of it */
    uint32_t number;
    uint8_t bytes[];
};

static uint32_t size_of(uint32_t number)
{
    uint32_t mixed = (number * 2654435761u) >> 8;

    return mixed % 97 == 0 ? 3000 + mixed % 1000 : 8 + mixed % 200;
}

static uint8_t byte_of(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 31 + at * 7);
}

static void *writer(void *ring)
{
    for (uint32_t number = 0; number < RECORDS; number++) {
        uint32_t size = size_of(number);
        struct item *item;

        while (!(item = ft_ring_reserve(ring, size)))
            ;
        item->size = size;
        item->number = number;
        for (uint32_t i = 0; i < size - sizeof(*item); i++)
            item->bytes[i] = byte_of(number, i);
        ft_ring_publish(ring, size);
    }
    return NULL;
}

static void check_item(const struct item *item, uint32_t number)
{
    uint32_t wrong = 0;

    assert_int_equal(item->number, number);
    assert_int_equal(item->size, size_of(number));
    for (uint32_t i = 0; i < item->size - sizeof(*item); i++)
        wrong += item->bytes[i] != byte_of(number, i);
    assert_int_equal(wrong, 0);
}

/* The reader runs ahead of what it consumes and looks a second time before it does. */
TEST(all_arrives_whole_and_in_order)
{
    const struct item *kept = NULL;
    uint32_t number = 0, replayed_number = 0;
    struct ft_ring ring;
    pthread_t thread;

    assert_int_equal(ft_ring_init(&ring, 8192), 0);
    assert_int_equal(pthread_create(&thread, NULL, writer, &ring), 0);
    while (number < RECORDS) {
        uint64_t size;
        const struct item *item = ft_ring_peek(&ring, &size);

        if (item) {
            check_item(item, number);
            if (!kept) {
                kept = item;
                replayed_number = number;
            }
            ft_ring_advance(&ring, item->size);
            number++;
        }
        if (kept && (!item || number - replayed_number == 9)) {
            check_item(kept, replayed_number);
            ft_ring_consume(&ring);
            kept = NULL;
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(there(&ring), 0);
    ft_ring_free(&ring);
}
