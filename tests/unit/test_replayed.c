/* SPDX-License-Identifier: Apache-2.0 */
/* Replayed outputs against a model that stores them in a queue of its own. */
#include "tests/help/record.h"
#include "logger/replayed.h"
#include "tests/help/test.h"

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)draw();
}

#define REPLAYED_RING 16384u

struct replayed_model {
    uint64_t number;
    uint32_t len, size;
    uint8_t port;
    bool whole;
    uint8_t bytes[2000];
};

static struct replayed_model *queue; /* [4096], from `first`, `queued` of them */
static uint64_t first, queued, queued_bytes;

static void forget_oldest(void)
{
    queued_bytes -= queue[first % 4096].size;
    first++;
    queued--;
}

/* Returns how many had to be forgotten. */
static uint64_t queue_put(const struct replayed_model *m)
{
    uint64_t gone = 0;

    for (; queued_bytes + m->size > REPLAYED_RING; gone++)
        forget_oldest();
    queue[(first + queued++) % 4096] = *m;
    queued_bytes += m->size;
    return gone;
}

static void taken_is_the_oldest(struct lg_replayed *replayed)
{
    const struct lg_output *out = lg_replayed_take(replayed);
    const struct replayed_model *m = &queue[first % 4096];

    if (!queued) {
        assert_null(out);
        return;
    }
    assert_non_null(out);
    assert_int_equal(out->number, m->number);
    assert_int_equal(out->port, m->port);
    assert_int_equal(out->len, m->len);
    assert_int_equal(out->burst, m->number / 3);
    assert_int_equal(out->seq, m->number * 2);
    assert_int_equal(out->have, m->whole ? m->len : m->len / 4);
    assert_memory_equal(out + 1, m->bytes, out->have);
    forget_oldest();
}

TEST(replayed_outputs_agree_with_the_model)
{
    struct replayed_model m;
    struct lg_replayed replayed;
    uint64_t number = 0, overflows = 0;

    queue = calloc(4096, sizeof(*queue));
    first = queued = queued_bytes = 0;
    assert_int_equal(lg_replayed_init(&replayed, REPLAYED_RING), 0);
    for (unsigned step = 0; step < 60000; step++) {
        unsigned what = (unsigned)draw_below(100);

        if (what < (step / 5000 % 2 ? 80 : 40)) {
            m = (struct replayed_model){.number = ++number,
                                        .len = 14 + (uint32_t)draw_below(1500),
                                        .port = (uint8_t)draw_below(4),
                                        .whole = draw_below(3) == 0};
            m.size = (uint32_t)sizeof(struct lg_output) + ((m.whole ? m.len : m.len / 4) + 7) / 8 * 8;
            fill(m.bytes, m.len);
            overflows += queue_put(&m);
            lg_replayed_put(&replayed,
                            &(struct lg_output){.number = m.number,
                                                .burst = m.number / 3,
                                                .seq = m.number * 2,
                                                .len = m.len,
                                                .have = m.whole ? m.len : m.len / 4,
                                                .port = m.port},
                            m.bytes);
        } else if (what < 97) {
            taken_is_the_oldest(&replayed);
        } else if (number) {
            uint64_t released = number - draw_below(number < 20 ? number : 20);

            while (queued && queue[first % 4096].number <= released)
                forget_oldest();
            lg_replayed_released(&replayed, released);
        }
    }
    assert_true(overflows > 100);
    while (queued)
        taken_is_the_oldest(&replayed);
    assert_null(lg_replayed_take(&replayed));
    lg_replayed_free(&replayed);
    free(queue);
}

static void put_whole(struct lg_replayed *replayed, uint64_t number, const uint8_t *frame, uint32_t len)
{
    struct lg_output output = {.number = number, .len = len, .have = len};

    lg_replayed_put(replayed, &output, frame);
}

/* What was forgotten counts as suppressed only while the primary may not have released it. */
TEST(forgotten_outputs_are_counted)
{
    static const uint8_t frame[984];
    struct lg_replayed replayed;

    assert_int_equal(lg_replayed_init(&replayed, 4096), 0);
    for (uint64_t n = 1; n <= 10; n++)
        put_whole(&replayed, n, frame, sizeof(frame)); /* 1024 bytes each: four fit */
    assert_int_equal(replayed.forgotten, 6);
    lg_replayed_released(&replayed, 2);
    assert_int_equal(replayed.forgotten, 4); /* 3, 4, 5, 6 */
    lg_replayed_released(&replayed, 7);
    assert_int_equal(replayed.forgotten, 0);
    assert_int_equal(lg_replayed_take(&replayed)->number, 8);
    for (uint64_t n = 11; n <= 20; n++)
        put_whole(&replayed, n, frame, sizeof(frame));
    assert_true(replayed.forgotten > 0);
    lg_replayed_clear(&replayed);
    assert_int_equal(replayed.forgotten, 0);
    assert_null(lg_replayed_take(&replayed));
    lg_replayed_free(&replayed);
}

/* One output fills the ring; it is out, and the next needs its room. */
TEST(an_output_that_was_taken_leaves_its_room)
{
    static const uint8_t frame[4000];
    struct lg_replayed replayed;

    assert_int_equal(lg_replayed_init(&replayed, 4096), 0);
    put_whole(&replayed, 1, frame, sizeof(frame));
    assert_int_equal(lg_replayed_take(&replayed)->number, 1);
    put_whole(&replayed, 2, frame, sizeof(frame));
    assert_int_equal(replayed.forgotten, 0);
    assert_int_equal(lg_replayed_take(&replayed)->number, 2);
    assert_null(lg_replayed_take(&replayed));
    lg_replayed_free(&replayed);
}
