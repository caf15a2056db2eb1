/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture and cursor against a model that stores what was given, part by part, in arrays of its own. The ring
 * is filled with ff bytes first, so that what capture leaves unwritten shows.
 */
#include "tests/help/record.h"
#include "logger/capture.h"
#include "tests/help/test.h"

#define VALUES 8u

struct input {
    uint32_t wire, take;
    unsigned port;
    bool outside;
    uint8_t bytes[FT_FRAME_MAX];
};

/* What one burst was given. */
struct burst {
    uint64_t number, seq, time, released, digest;
    bool digested;
    unsigned inputs, values;
    struct input input[FT_BURST_MAX];
    uint32_t value_len[VALUES];
    uint8_t value[VALUES][300];
};

static struct ft_lane_shared lane;
static struct lg_capture capture;
static struct burst *model;

static int setup(void **state)
{
    model = calloc(1, sizeof(*model));
    assert_non_null(model);
    assert_int_equal(ft_lane_init(&lane, 1u << 20, 4096), 0);
    memset(lane.log.data, 0xff, lane.log.capacity);
    capture = (struct lg_capture){.lane = &lane};
    draw_seed = 1;
    return 0;
}

static int teardown(void **state)
{
    ft_lane_free(&lane);
    free(model);
    return 0;
}

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)draw();
}

static void invent(struct burst *b, uint64_t number, uint64_t seq, unsigned inputs, uint32_t most)
{
    b->number = number;
    b->seq = seq;
    b->time = number * 1000 + draw_below(1000);
    b->released = draw_below(1u << 30);
    b->digested = draw_below(4) == 0;
    b->digest = draw();
    b->inputs = inputs;
    b->values = (unsigned)draw_below(VALUES + 1);
    for (unsigned i = 0; i < inputs; i++) {
        struct input *in = &b->input[i];

        in->wire = 14 + (uint32_t)draw_below(most - 13);
        in->take = draw_below(3) ? (uint32_t)draw_below(in->wire + 1) : in->wire;
        in->port = (unsigned)draw_below(2);
        in->outside = draw_below(2);
        fill(in->bytes, in->wire);
    }
    for (unsigned i = 0; i < b->values; i++) {
        b->value_len[i] = (uint32_t)draw_below(sizeof(b->value[0]));
        fill(b->value[i], b->value_len[i]);
    }
}

static void input(const void *frame, uint32_t wire, uint32_t take, unsigned port, bool outside)
{
    struct lg_inputs inputs = lg_capture_inputs(&capture);

    lg_inputs_add(&inputs, frame, wire, take, port, outside);
    lg_capture_inputs_end(&capture, &inputs);
}

static void record(const struct burst *b)
{
    lg_capture_begin(&capture, 3, b->number, b->seq, b->time, b->inputs);
    for (unsigned i = 0; i < b->inputs; i++)
        input(b->input[i].bytes, b->input[i].wire, b->input[i].take, b->input[i].port, b->input[i].outside);
    for (unsigned i = 0; i < b->values; i++)
        assert_int_equal(lg_capture_determinant(&capture, b->value[i], b->value_len[i]), 0);
    if (b->digested)
        lg_capture_digest(&capture, FT_REC_DIGEST, 0, b->digest);
    lg_capture_end(&capture, b->released);
}

static const struct ft_record *next_record(void)
{
    uint64_t there;

    return ft_ring_peek(&lane.log, &there);
}

static void drop_record(const struct ft_record *r)
{
    ft_ring_advance(&lane.log, r->size);
    ft_ring_consume(&lane.log);
}

static void compare_inputs(struct lg_cursor *cursor, const struct burst *b)
{
    const struct ft_input *in;
    uint8_t *bytes;

    for (unsigned i = 0; i < b->inputs; i++) {
        assert_false(lg_cursor_done(cursor));
        in = lg_cursor_input(cursor, &bytes);
        assert_non_null(in);
        assert_int_equal(in->wire, b->input[i].wire);
        assert_int_equal(in->taken, b->input[i].take);
        assert_int_equal(in->port, b->input[i].port);
        assert_int_equal(in->flags, b->input[i].outside ? FT_IN_OUTSIDE : 0);
        assert_memory_equal(bytes, b->input[i].bytes, b->input[i].take);
    }
    assert_null(lg_cursor_input(cursor, &bytes));
}

static void compare(const struct ft_record *r, const struct burst *b)
{
    struct lg_cursor cursor = {.record = r};
    const void *value;
    uint32_t len;

    assert_int_equal(r->lane, 3);
    assert_int_equal(r->burst, b->number);
    assert_int_equal(r->seq, b->seq);
    assert_int_equal(r->time, b->time);
    assert_int_equal(r->released, b->released);
    assert_int_equal(r->flags, b->digested ? FT_REC_DIGEST : 0);
    assert_int_equal(r->digest, b->digested ? b->digest : 0);
    compare_inputs(&cursor, b);
    for (unsigned i = 0; i < b->values; i++) {
        assert_false(lg_cursor_done(&cursor));
        value = lg_cursor_determinant(&cursor, &len);
        assert_non_null(value);
        assert_int_equal(len, b->value_len[i]);
        assert_memory_equal(value, b->value[i], len);
    }
    assert_null(lg_cursor_determinant(&cursor, &len));
    assert_true(lg_cursor_done(&cursor));
}

/* Every byte between the parts is zero: two equal bursts are two equal records. */
static void padding_is_zero(const struct ft_record *r)
{
    const uint8_t *bytes = (const uint8_t *)r;
    size_t after_bytes = ft_record_bytes_at(r) + r->bytes,
           after_values = ft_record_determinants_at(r) + r->determinants;

    for (size_t i = after_bytes; i < ft_record_dependencies_at(r); i++)
        assert_int_equal(bytes[i], 0);
    for (size_t i = after_values; i < r->size; i++)
        assert_int_equal(bytes[i], 0);
}

static void crosses_the_wire(const struct ft_record *r)
{
    size_t cap = ft_record_bound(r);
    uint8_t *wire = malloc(cap);
    long n = ft_record_encode(r, FT_FORMAT_NEWEST, true, wire, cap);

    assert_true(n > 0);
    memset(back, 0xee, FT_RECORD_MAX);
    help_done(ft_record_decode(wire, (size_t)n, back, FT_RECORD_MAX, &help_fault) != n);
    assert_memory_equal(back, r, r->size);
    free(wire);
}

TEST_WITH(captured_is_what_was_given, setup, teardown)
{
    uint64_t seq = 1;

    for (uint64_t burst = 1; burst <= 400; burst++) {
        const struct ft_record *r;

        invent(model, burst, seq, (unsigned)draw_below(FT_BURST_MAX + 1), 300);
        assert_null(next_record());
        record(model);
        r = next_record();
        assert_non_null(r);
        if (record_check(r, r->size, &help_fault))
            fail_msg("burst %lu: %s", burst, help_fault.text);
        compare(r, model);
        padding_is_zero(r);
        crosses_the_wire(r);
        seq += model->inputs;
        drop_record(r);
    }
}

TEST_WITH(the_largest_burst_fits, setup, teardown)
{
    static uint8_t value[FT_DETERMINANTS_MAX];
    const struct ft_record *r;

    fill(value, sizeof(value));
    lg_capture_begin(&capture, 3, 1, 1, 7, FT_BURST_MAX);
    for (unsigned i = 0; i < FT_BURST_MAX; i++)
        input(value + i, FT_FRAME_MAX, FT_FRAME_MAX, 0, false);
    assert_int_equal(lg_capture_determinant(&capture, value, FT_DETERMINANTS_MAX - 3), FT_EFULL);
    assert_int_equal(lg_capture_determinant(&capture, value, FT_DETERMINANTS_MAX - 100), 0);
    assert_int_equal(lg_capture_determinant(&capture, value, 93),
                     FT_EFULL); /* refused, and nothing of it remains */
    assert_int_equal(lg_capture_determinant(&capture, value, 92), 0);
    lg_capture_end(&capture, 0);
    r = next_record();
    assert_int_equal(r->determinants, FT_DETERMINANTS_MAX);
    assert_int_equal(r->bytes, FT_BURST_MAX * FT_FRAME_MAX);
    assert_int_equal(record_check(r, r->size, &help_fault), 0);
    padding_is_zero(r);
    crosses_the_wire(r);
}

TEST_WITH(nothing_is_seen_before_the_end, setup, teardown)
{
    lg_capture_begin(&capture, 0, 1, 1, 7, 1);
    assert_null(next_record());
    input("fourteen bytes", 14, 14, 0, false);
    assert_null(next_record());
    lg_capture_end(&capture, 0);
    assert_non_null(next_record());
}

/* Full: the lane is told to wait, what is there stays, and after reading it goes on. */
TEST_WITH(a_full_ring_loses_nothing, setup, teardown)
{
    struct burst *sent = calloc(256, sizeof(*sent));
    uint64_t written = 0, read = 0, seq = 1, read_clock = 1;
    unsigned fulls = 0;

    assert_non_null(sent);
    while (fulls < 20) {
        while (lg_capture_room(&lane)) {
            struct burst *b = &sent[written % 256];

            assert_true(written - read < 256);
            invent(b, ++written, seq, FT_BURST_MAX, 1500);
            seq += FT_BURST_MAX;
            record(b);
            assert_true(ft_ring_used(&lane.log) <= lane.log.capacity);
        }
        fulls++;
        assert_true(ft_ring_used(&lane.log) > lane.log.capacity - FT_RECORD_MAX);
        assert_false(lg_capture_room(&lane));
        for (uint64_t some = 1 + draw_below(written - read); some; some--) {
            const struct ft_record *r = next_record();

            assert_non_null(r);
            assert_int_equal(r->seq, read_clock);
            compare(r, &sent[read++ % 256]);
            read_clock += r->inputs;
            drop_record(r);
        }
    }
    assert_true(written > 256);
    free(sent);
}
