/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a crash notice, which are for ever, since it has no version: made by another program. What is
 * not one is refused, byte by byte and value by value.
 */
#include "ftcore/record/crash_notice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct ft_datagram_key key = {0x0102030405060708, {0x1112131415161718, 0x2122232425262728}};
static const struct ft_crash_notice notice = {.signal = 11,
                                              .lane = 1,
                                              .burst = 0x123456789a,
                                              .packet = 5,
                                              .doing = 4,
                                              .nf = "crasher",
                                              .before = "monitor",
                                              .fingerprints = 2,
                                              .fingerprint = {{1, 2}, {0xfffffffffffffffe, 4}}};
static const uint8_t golden[] = {
    0x75, 0x6e, 0x64, 0x65, 0x72, 0x73, 0x74, 0x75, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
    0x0b, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x9a, 0x78, 0x56, 0x34, 0x12, 0x00, 0x00, 0x00,
    0x05, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x63, 0x72, 0x61, 0x73, 0x68, 0x65, 0x72, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6d, 0x6f, 0x6e, 0x69, 0x74, 0x6f, 0x72, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x9b, 0x94, 0xf9, 0x83, 0x6e, 0x6b, 0x47, 0x05, 0x46, 0x92, 0x76, 0x92, 0x24, 0xba, 0x7b, 0x07,
};

static void its_bytes_are_for_ever(void **state)
{
    uint8_t out[FT_CRASH_BYTES];
    struct ft_crash_notice back;

    (void)state;
    assert_int_equal(ft_crash_notice_encode(&notice, &key, out), sizeof(golden));
    assert_memory_equal(out, golden, sizeof(golden));
    assert_int_equal(ft_crash_notice_decode(golden, sizeof(golden), &key, &back), 0);
    assert_memory_equal(&back, &notice, sizeof(back));
}

static void another_length_or_byte_is_refused(void **state)
{
    uint8_t bytes[sizeof(golden) + 16] = {0};
    struct ft_crash_notice back;

    (void)state;
    memcpy(bytes, golden, sizeof(golden));
    for (size_t len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(ft_crash_notice_decode(bytes, len, &key, &back),
                         len == sizeof(golden) ? 0 : FT_EMALFORMED);
    for (unsigned bit = 0; bit < 8 * sizeof(golden); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(ft_crash_notice_decode(bytes, sizeof(golden), &key, &back) < 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* By a peer that has the key. */
static int decode_changed(void (*change)(struct ft_crash_notice *n))
{
    struct ft_crash_notice n = notice, back;
    uint8_t out[FT_CRASH_BYTES];

    change(&n);
    return ft_crash_notice_decode(out, ft_crash_notice_encode(&n, &key, out), &key, &back);
}

static void no_signal(struct ft_crash_notice *n)
{
    n->signal = 0;
}

static void high_signal(struct ft_crash_notice *n)
{
    n->signal = 65;
}

static void wrong_lane(struct ft_crash_notice *n)
{
    n->lane = 16;
}

static void no_lane(struct ft_crash_notice *n)
{
    n->lane = FT_CRASH_NO_LANE;
}

static void packet_33(struct ft_crash_notice *n)
{
    n->packet = 33;
}

static void doing_16(struct ft_crash_notice *n)
{
    n->doing = 16;
}

static void name_without_end(struct ft_crash_notice *n)
{
    memset(n->nf, 'a', sizeof(n->nf));
}

static void name_of_a_terminal(struct ft_crash_notice *n)
{
    n->before[2] = '\033';
}

static void bytes_behind_a_name(struct ft_crash_notice *n)
{
    n->nf[20] = 'x';
}

static void a_peer_that_lies_is_refused(void **state)
{
    (void)state;
    assert_int_equal(decode_changed(no_lane), 0);
    assert_int_equal(decode_changed(no_signal), FT_EMALFORMED);
    assert_int_equal(decode_changed(high_signal), FT_EMALFORMED);
    assert_int_equal(decode_changed(wrong_lane), FT_EMALFORMED);
    assert_int_equal(decode_changed(packet_33), FT_EMALFORMED);
    assert_int_equal(decode_changed(doing_16), FT_EMALFORMED);
    assert_int_equal(decode_changed(name_without_end), FT_EMALFORMED);
    assert_int_equal(decode_changed(name_of_a_terminal), FT_EMALFORMED);
    assert_int_equal(decode_changed(bytes_behind_a_name), FT_EMALFORMED);
}

/* A program that does not know it refuses it, and goes by the death notice. */
static void who_does_not_know_it_takes_it_for_no_datagram(void **state)
{
    struct ft_datagram other;

    (void)state;
    assert_int_equal(ft_datagram_decode(golden, sizeof(golden), &key, &other), FT_EMALFORMED);
}

/* XXH3-128 as its authors publish it, of nothing and without a seed; and what is in it. */
static void a_fingerprint_is_of_bytes_and_length(void **state)
{
    const struct ft_fingerprint none = ft_fingerprint("", 0, 0), one = ft_fingerprint("abcd", 4, 60),
                                other = ft_fingerprint("abcd", 4, 61);

    (void)state;
    assert_true(none.low == 0x6001c324468d497f && none.high == 0x99aa06d3014798d8);
    assert_true(one.low != other.low && one.high != other.high);
}

/* UDP of 60 bytes, and the same sent again: another way, a hop later, with another identification. */
static void a_packet_that_is_sent_again_is_known(void **state)
{
    static const uint8_t sent[] = {2,    0,    0,    0,  0,    1,    2,    0,    0,    0,   0,  2,
                                   8,    0,    0x45, 0,  0,    46,   0x12, 0x34, 0x40, 0,   64, 17,
                                   0xab, 0xcd, 10,   0,  0,    9,    192,  0,    2,    1,   4,  0,
                                   26,   4,    0,    26, 0x77, 0x88, 'd',  'e',  'a',  't', 'h'};
    static const unsigned same[] = {0, 11, 18, 19, 22, 24, 25};
    struct ft_fingerprint first = ft_fingerprint(sent, sizeof(sent), 60);

    (void)state;
    for (unsigned i = 0; i < sizeof(sent); i++) {
        uint8_t again[sizeof(sent)];
        struct ft_fingerprint other;
        bool known = false;

        memcpy(again, sent, sizeof(sent));
        again[i] ^= 1;
        other = ft_fingerprint(again, sizeof(again), 60);
        for (unsigned k = 0; k < sizeof(same) / sizeof(same[0]); k++)
            known |= i == same[k];
        known |= i < 12;
        assert_int_equal(other.low == first.low && other.high == first.high, known);
    }
}

/* A long frame that is captured whole: each byte of its beginning counts. */
static void the_beginning_of_a_long_frame_counts(void **state)
{
    uint8_t frame[1000] = {0};
    struct ft_fingerprint first = ft_fingerprint(frame, sizeof(frame), sizeof(frame));

    (void)state;
    for (unsigned i = 12; i < sizeof(frame); i++) {
        frame[i] ^= 1;
        struct ft_fingerprint other = ft_fingerprint(frame, sizeof(frame), sizeof(frame));

        frame[i] ^= 1;
        assert_int_equal(other.low != first.low && other.high != first.high, i < 128);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_bytes_are_for_ever),
        cmocka_unit_test(another_length_or_byte_is_refused),
        cmocka_unit_test(a_peer_that_lies_is_refused),
        cmocka_unit_test(who_does_not_know_it_takes_it_for_no_datagram),
        cmocka_unit_test(a_fingerprint_is_of_bytes_and_length),
        cmocka_unit_test(a_packet_that_is_sent_again_is_known),
        cmocka_unit_test(the_beginning_of_a_long_frame_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
