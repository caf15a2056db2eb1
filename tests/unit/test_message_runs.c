/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of lines, which are the bulk of a snapshot, and the death notice: what comes back, and what is
 * refused.
 */
#include "tests/unit/help_record.h"
#include "ftcore/record/datagram.h"
#include "ftcore/record/delta.h"
#include "tests/unit/help_message.h"
#include "ftcore/record/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void runs_come_back(void **state)
{
    static uint8_t out[1000];
    uint8_t lines[3 * FT_LINE];
    struct ft_line_run a = {.line = 5, .count = 3, .bytes = lines},
                       z = {.line = 1000, .count = 24, .zero = true};
    struct ft_line_run got;
    uint32_t len = 0, at = 0;

    (void)state;
    draw_seed = 3;
    message_fill(lines, sizeof(lines), false);
    assert_true(ft_line_run_append(out, &len, sizeof(out), &a));
    assert_int_equal(len, 16 + 192);
    assert_true(ft_line_run_append(out, &len, sizeof(out), &z));
    assert_int_equal(len, 16 + 192 + 16);
    assert_int_equal(ft_line_run_next(out, len, &at, 1024, &got), 1);
    assert_true(got.line == 5 && got.count == 3 && !got.zero);
    assert_memory_equal(got.bytes, lines, sizeof(lines));
    assert_int_equal(ft_line_run_next(out, len, &at, 1024, &got), 1);
    assert_true(got.line == 1000 && got.count == 24 && got.zero && !got.bytes);
    assert_int_equal(ft_line_run_next(out, len, &at, 1024, &got), 0);
    len = 0;
    assert_false(ft_line_run_append(out, &len, 16 + 191, &a));
    assert_int_equal(len, 0);
    assert_true(ft_line_run_append(out, &len, 16 + 192, &a));
    assert_false(ft_line_run_append(out, &len, 16 + 192 + 15, &z));
}

static int one_run(uint64_t line, uint32_t count, uint32_t flags, uint32_t bytes, uint64_t lines)
{
    uint8_t *in = calloc(1, 16 + bytes + 1);
    struct ft_line_run run;
    uint32_t at = 0;

    memcpy(in, &line, 8);
    memcpy(in + 8, &count, 4);
    memcpy(in + 12, &flags, 4);
    int rc = ft_line_run_next(in, 16 + bytes, &at, lines, &run);
    free(in);
    return rc;
}

static void impossible_runs_are_refused(void **state)
{
    struct ft_line_run run;
    uint32_t at = 0;

    (void)state;
    assert_int_equal(one_run(0, 2, 0, 128, 2), 1);
    assert_int_equal(one_run(0, 2, 0, 127, 2), FT_EMALFORMED);
    assert_int_equal(one_run(1, 2, 0, 128, 2), FT_EMALFORMED);
    assert_int_equal(one_run(0, 0, 0, 0, 2), FT_EMALFORMED);
    assert_int_equal(one_run(0, 1, 2, 64, 2), FT_EMALFORMED);
    assert_int_equal(one_run(UINT64_MAX, 2, 1, 0, 100), FT_EMALFORMED);
    assert_int_equal(one_run(0, UINT32_MAX, 1, 0, 100), FT_EMALFORMED);
    assert_int_equal(one_run(0, 1u << 26, 0, 64, UINT64_MAX), FT_EMALFORMED); /* 4 GiB: must not wrap */
    assert_int_equal(one_run(0, UINT32_MAX, 1, 0, UINT32_MAX), 1);
    assert_int_equal(ft_line_run_next((const uint8_t *)"0123456789abcde", 15, &at, 10, &run), FT_EMALFORMED);
}

/* The tag was computed by Python's hmac. */
static void a_datagram_comes_back_and_its_damage_is_refused(void **state)
{
    static const char expected[] = "understu\3\0\0\0\2\0\0\0\x2a\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0"
                                   "\1\0\0\0\xdc\5\0\0\0\4\0\0\0\0\0\0"
                                   "\x84\x0e\x7a\x2e\xd2\x4a\x35\xbe\xd6\x0f\x0d\x4e\x07\x7e\x8d\xef";
    /* Of no version: these bytes are for ever. */
    static const char notice[FT_DATAGRAM_BYTES] =
        "understu\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\x9f\x96\x9d\x5e\xad\x62\x81\x79\xe9\x15\x9b\x26\xbe\xe3\xa8\x90";
    struct ft_datagram_key key = {0x0102030405060708, {0x1112131415161718, 0x2122232425262728}}, other = key;
    struct ft_datagram heartbeat = {0, FT_HEARTBEAT, 42, 7, 1, 1500, {0, FT_PORT_UNHEARD}}, got;
    uint8_t out[FT_DATAGRAM_BYTES + 1] = {0};

    (void)state;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_memory_equal(out, expected, FT_DATAGRAM_BYTES);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), 0);
    assert_true(got.kind == FT_HEARTBEAT && got.view == 42 && got.sent == 7 && got.port == 1 &&
                got.mtu == 1500);
    assert_memory_equal(got.fault, heartbeat.fault, sizeof(got.fault));
    for (size_t len = 0; len <= FT_DATAGRAM_BYTES + 1; len++)
        if (len != FT_DATAGRAM_BYTES)
            assert_int_equal(ft_datagram_decode(out, len, &key, &got), FT_EMALFORMED);
    for (unsigned bit = 0; bit < FT_DATAGRAM_BYTES * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), bit < 64   ? FT_EMALFORMED
                                                                                 : bit < 96 ? FT_EVERSION
                                                                                            : FT_EPERM);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    heartbeat.view = FT_VIEW_MAX;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), 0);
    heartbeat.view++;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), FT_EMALFORMED);
    heartbeat.view = 1;
    heartbeat.port = FT_DATAGRAM_PORTS;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), FT_EMALFORMED);
    heartbeat.port = 0;
    heartbeat.fault[7] = FT_PORT_FAULTS;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), FT_EMALFORMED);
    assert_int_equal(ft_datagram_encode(&(struct ft_datagram){.kind = FT_DEATH_NOTICE}, &key, out), 64);
    assert_memory_equal(out, notice, sizeof(notice));
    assert_int_equal(ft_datagram_decode(out, 64, &key, &got), 0);
    assert_int_equal(got.kind, FT_DEATH_NOTICE);
    other.incarnation++;
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &other, &got), FT_EPERM);
    other = key;
    other.secret[1]++;
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &other, &got), FT_EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_come_back),
        cmocka_unit_test(impossible_runs_are_refused),
        cmocka_unit_test(a_datagram_comes_back_and_its_damage_is_refused),
    };

    return cmocka_run_group_tests_name("message_runs", tests, NULL, NULL);
}
