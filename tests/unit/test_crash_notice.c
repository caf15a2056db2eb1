/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a crash notice, which are for ever, since it has no version: made by another program. What is
 * not one is refused, byte by byte and value by value.
 */
#include "ftcore/record/crash_notice.h"
#include "tests/help/test.h"

static const struct ft_datagram_key key = {0x0102030405060708, {0x1112131415161718, 0x2122232425262728}};
static const struct ft_crash_notice notice = {
    .signal = 11,
    .lane = 1,
    .burst = 0x123456789a,
    .packet = 5,
    .doing = 4,
    .nf = "crasher",
    .before = "monitor",
    .fingerprints = 2,
    .hung = 1,
    .fingerprint = {{1, 2, 3, 4, 0, 0}, {0xfffffffffffffffe, 6, 7, 8, 1, 0}}};
static const uint8_t golden[] = {
    0x75, 0x6e, 0x64, 0x65, 0x72, 0x73, 0x74, 0x75, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,
    0x0b, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x9a, 0x78, 0x56, 0x34, 0x12, 0x00, 0x00, 0x00,
    0x05, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x63, 0x72, 0x61, 0x73, 0x68, 0x65, 0x72, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6d, 0x6f, 0x6e, 0x69, 0x74, 0x6f, 0x72, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x03, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x07, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xdc, 0x14, 0xc9, 0x01, 0x4a, 0xfe, 0x0d, 0xf8, 0x14, 0xf8, 0x24, 0x8f, 0x9f, 0x37, 0xd3, 0x71,
};

TEST(its_bytes_are_for_ever)
{
    uint8_t out[FT_CRASH_BYTES];
    struct ft_crash_notice back;

    assert_int_equal(ft_crash_notice_encode(&notice, &key, out), sizeof(golden));
    assert_memory_equal(out, golden, sizeof(golden));
    assert_int_equal(ft_crash_notice_decode(golden, sizeof(golden), &key, &back), 0);
    assert_memory_equal(&back, &notice, sizeof(back));
}

TEST(another_length_or_byte_is_refused)
{
    uint8_t bytes[sizeof(golden) + 16] = {0};
    struct ft_crash_notice back;

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
static int decode_of(const struct ft_crash_notice *n, struct ft_crash_notice *back)
{
    uint8_t out[FT_CRASH_BYTES];

    return ft_crash_notice_decode(out, ft_crash_notice_encode(n, &key, out), &key, back);
}

static void refuse_all(const struct ft_crash_notice wrong[], unsigned count)
{
    struct ft_crash_notice back;

    for (unsigned i = 0; i < count; i++)
        if (decode_of(&wrong[i], &back) != FT_EMALFORMED)
            fail_msg("number %u is not refused", i);
}

TEST(a_peer_that_lies_is_refused)
{
    struct ft_crash_notice wrong[11], right = notice, back;

    for (unsigned i = 0; i < 11; i++)
        wrong[i] = notice;
    wrong[0].signal = 0;
    wrong[1].signal = 65;
    wrong[2].lane = 16;
    wrong[3].packet = 33;
    wrong[4].doing = 16;
    memset(wrong[5].nf, 'a', sizeof(wrong[5].nf)); /* it does not end */
    wrong[6].before[2] = '';
    wrong[7].nf[20] = 'x'; /* behind its end */
    wrong[8].hung = 2;
    wrong[9].fingerprint[1].suspect = 4;
    wrong[10].fingerprint[0].zero = 1;
    refuse_all(wrong, 11);
    right.lane = FT_CRASH_NO_LANE;
    assert_int_equal(decode_of(&right, &back), 0);
}

/* A program that does not know it refuses it, and goes by the death notice. */
TEST(who_does_not_know_it_takes_it_for_no_datagram)
{
    struct ft_datagram other;

    assert_int_equal(ft_datagram_decode(golden, sizeof(golden), &key, &other), FT_EMALFORMED);
}

/* Of a node that lives nothing is told but what it drops, and until when. */
TEST(one_that_lives_says_what_it_drops)
{
    static const struct ft_crash_notice lives = {.lane = FT_CRASH_NO_LANE,
                                                 .burst = 60000,
                                                 .packet = 7,
                                                 .before = "nat",
                                                 .fingerprints = 1,
                                                 .fingerprint = {{1, 2, 3, 4, 0, 0}}};
    struct ft_crash_notice wrong[] = {lives, lives, lives, lives, lives, lives}, nothing = lives, back;

    assert_int_equal(decode_of(&lives, &back), 0);
    assert_memory_equal(&back, &lives, sizeof(back));
    wrong[0].lane = 0;
    wrong[1].packet = 0;
    wrong[2].doing = 1;
    wrong[3].hung = 1;
    wrong[4].nf[0] = 'n';
    wrong[5].before[0] = '\0';
    refuse_all(wrong, 6);
    nothing.fingerprints = 0;
    memset(nothing.before, 0, sizeof(nothing.before));
    memset(nothing.fingerprint, 0, sizeof(nothing.fingerprint));
    assert_int_equal(decode_of(&nothing, &back), 0);
    assert_memory_equal(&back, &nothing, sizeof(back));
}
