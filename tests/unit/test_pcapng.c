/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as a pcapng file: its blocks, read here by the format's own rules, and answers that are not to be
 * believed. What readers of such files make of it, tests/lab/trace.t asks them.
 */
#define _GNU_SOURCE
#include "understudy/cli/trace.c"
#include "understudy/pair/tape.c"
#include "tests/help/test.h"

#include <pcap/dlt.h>

static json_t *read_answer(const char *text)
{
    json_error_t error;
    json_t *answer = json_loads(text, 0, &error);

    if (!answer)
        fail_msg("%s: %s", text, error.text);
    return answer;
}

/* Of these bytes the file is allocated, *size long. NULL: it was refused. */
static uint8_t *write_answer(const char *text, size_t *size)
{
    json_t *answer = read_answer(text);
    char *bytes = NULL;
    FILE *out = open_memstream(&bytes, size);
    bool done = write_pcapng(out, "a", answer);

    fclose(out);
    json_decref(answer);
    if (done)
        return (uint8_t *)bytes;
    free(bytes);
    return NULL;
}

static uint32_t number_at(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* The next block, whose two lengths agree; *at moves behind it. */
static const uint8_t *take_block(const uint8_t *file, size_t size, size_t *at, uint32_t type)
{
    const uint8_t *block = file + *at;

    assert_true(*at + 12 <= size);
    assert_int_equal(number_at(block), type);
    assert_int_equal(number_at(block + 4) % 4, 0);
    assert_true(number_at(block + 4) <= size - *at);
    assert_int_equal(number_at(block + number_at(block + 4) - 4), number_at(block + 4));
    *at += number_at(block + 4);
    return block;
}

/* Option `code` among those that begin at `at`, of `len` bytes. */
static const uint8_t *find_option(const uint8_t *at, uint16_t code, uint16_t *len)
{
    uint16_t head[2];

    for (memcpy(head, at, 4); head[0]; memcpy(head, at, 4)) {
        if (head[0] == code) {
            *len = head[1];
            return at + 4;
        }
        at += 4 + (head[1] + 3) / 4 * 4;
    }
    return NULL;
}

static void assert_text(const uint8_t *options, uint16_t code, const char *text)
{
    uint16_t len = 0;
    const uint8_t *value = find_option(options, code, &len);

    assert_non_null(value);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(value, text, len);
}

#define ANSWER(packets) "{\"ports\": [\"inside\", \"dmz\", \"outside\"], \"packets\": [" packets "]}"

#define PACKET(in, more)                                                                                     \
    "{\"time_ns\": 4294967297, \"lane\": 1, \"burst\": 2, \"input\": 3, \"in\": \"dmz\", \"out\": "          \
    "\"outside\", "                                                                                          \
    "\"source\": \"10.0.0.5:1\", \"destination\": \"10.0.0.6:2\", \"frame_in\": " in more "}"

#define STEPS                                                                                                \
    ", \"outcome\": \"dropped\", \"steps\": [{\"nf\": \"one\", \"source\": \"10.0.0.5:1\", \"destination\""  \
    ": \"10.0.0.7:2\", \"drop\": null}, {\"nf\": \"two\", \"source\": \"10.0.0.5:1\", \"destination\": "     \
    "\"10.0.0.7:2\", \"drop\": \"denied\"}]"

/* "foob" with all its paddings: base64's test vectors (RFC 4648). */
TEST(blocks_are_whole)
{
    static const struct {
        const char *in;
        uint32_t bytes, have;
    } rows[] = {
        {"{\"bytes\": 60, \"base64\": \"Zg==\"}", 60, 1},
        {"{\"bytes\": 2, \"base64\": \"Zm8=\"}", 2, 2},
        {"{\"bytes\": 3, \"base64\": \"Zm9v\"}", 3, 3},
        {"{\"bytes\": 4, \"base64\": \"Zm9vYg==\"}", 4, 4},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = 0, at = 0;
        uint8_t *file;
        const uint8_t *b;

        file = write_answer(help_print(ANSWER(PACKET("%s", STEPS)), rows[i].in), &size);
        assert_non_null(file);
        b = take_block(file, size, &at, 0x0A0D0D0A);
        assert_int_equal(number_at(b + 8), 0x1A2B3C4D);
        assert_text(take_block(file, size, &at, 1) + 16, 2, "inside");
        assert_text(take_block(file, size, &at, 1) + 16, 2, "dmz");
        assert_text(take_block(file, size, &at, 1) + 16, 2, "outside");
        b = take_block(file, size, &at, 6);
        assert_int_equal(number_at(b + 8), 1);
        assert_int_equal(number_at(b + 12), 1); /* 2^32 + 1 ns */
        assert_int_equal(number_at(b + 16), 1);
        assert_int_equal(number_at(b + 20), rows[i].have);
        assert_int_equal(number_at(b + 24), rows[i].bytes);
        assert_memory_equal(b + 28, "foob", rows[i].have);
        assert_text(
            b + 28 + 4, 1,
            "one 10.0.0.5:1 > 10.0.0.7:2; verdict: dropped by two, denied (lane 1, burst 2, input 3)");
        assert_int_equal(at, size);
        free(file);
    }
}

TEST(what_is_no_trace_is_refused)
{
#define GOOD "{\"bytes\": 3, \"base64\": \"Zm9v\"}"
    static const char *const rows[] = {
        "{}",
        "{\"ports\": [], \"packets\": []}",
        "{\"ports\": [7], \"packets\": []}",
        "{\"ports\": [\"inside\"]}",
        "{\"ports\": [\"0123456789012345678901234567890123456789012345678901234567890123\"], "
        "\"packets\": []}", /* 64 bytes: no port has such a name */
        "{\"ports\": [\"inside\"], \"packets\": [" PACKET(GOOD, "") "]}", /* in by none of them */
        ANSWER("7"),
        ANSWER(PACKET("null", "")),
        ANSWER(PACKET("{\"bytes\": 3}", "")),
        ANSWER(PACKET("{\"bytes\": 3, \"base64\": \"\"}", "")),
        ANSWER(PACKET("{\"bytes\": 3, \"base64\": \"Zm9\"}", "")),
        ANSWER(PACKET("{\"bytes\": 3, \"base64\": \"Z*9v\"}", "")),
        ANSWER(PACKET(GOOD, ", \"frame_out\": {\"bytes\": 3, \"base64\": \"Zm9\"}")),
        ANSWER(PACKET("{\"bytes\": 2, \"base64\": \"Zm9v\"}", "")), /* more than there were */
    };
    size_t size = 0;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (write_answer(rows[i], &size))
            fail_msg("taken for a trace: %s", rows[i]);
}

/* 64 KiB and one byte: no frame is so large. */
TEST(a_frame_has_an_end)
{
    static char text[100000], long_one[87384 + 1];
    size_t size = 0;

    for (unsigned bytes = 65535; bytes <= 65538; bytes += 3) {
        uint8_t *file;

        memset(long_one, 'A', sizeof(long_one));
        long_one[bytes / 3 * 4] = '\0';
        snprintf(text, sizeof(text), ANSWER(PACKET("{\"bytes\": %u, \"base64\": \"%s\"}", "")), bytes,
                 long_one);
        file = write_answer(text, &size);
        assert_int_equal(file != NULL, bytes == 65535);
        free(file);
    }
}

/* Steps without end: the comment is cut, the file whole. */
TEST(a_comment_has_an_end)
{
    static char text[200000];
    size_t size = 0, at = 0, len;
    uint8_t *file;

    len = (size_t)snprintf(text, sizeof(text), "{\"ports\": [\"dmz\"], \"packets\": [");
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", PACKET(GOOD, ", \"steps\": ["));
    len -= 1;
    for (unsigned i = 0; i < 2000; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s{\"nf\": \"a-long-name-of-an-nf\"}",
                                i ? "," : "");
    snprintf(text + len, sizeof(text) - len, "]}]}");
    file = write_answer(text, &size);
    assert_non_null(file);
    take_block(file, size, &at, 0x0A0D0D0A);
    take_block(file, size, &at, 1);
    take_block(file, size, &at, 6);
    assert_int_equal(at, size);
    assert_true(size < 10000);
    free(file);
}

/* Headers of `-i any`, as https://www.tcpdump.org/linktypes has them: who has sent what. */

/* Packet type, ARPHRD, address length, address, protocol; then a byte of IPv4. */
static const uint8_t sll[17] = {0, 4, 0, 1, 0, 6, 2, 3, 4, 5, 6, 7, 0, 0, 8, 0, 0x45};

/* Protocol, reserved, interface, ARPHRD, packet type, address length, address. */
static const uint8_t sll2[21] = {8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 3, 4, 5, 6, 7, 0, 0, 0x45};

TEST(a_sent_packet_is_told_from_a_received_one)
{
    uint8_t received[21];

    assert_true(cooked_sent(DLT_LINUX_SLL, sll, sizeof(sll)));
    assert_true(cooked_sent(DLT_LINUX_SLL2, sll2, sizeof(sll2)));
    for (uint8_t type = 0; type < 4; type++) { /* to us, to all, to some, to others */
        for (unsigned i = 0; i < sizeof(sll); i++)
            received[i] = i == 1 ? type : sll[i];
        assert_false(cooked_sent(DLT_LINUX_SLL, received, sizeof(sll)));
        for (unsigned i = 0; i < sizeof(sll2); i++)
            received[i] = i == 10 ? type : sll2[i];
        assert_false(cooked_sent(DLT_LINUX_SLL2, received, sizeof(sll2)));
    }
    assert_false(cooked_sent(DLT_LINUX_SLL, sll, 1)); /* cut */
    assert_false(cooked_sent(DLT_EN10MB, sll, sizeof(sll)));
}

TEST(the_header_that_is_put_in_place_has_the_sender)
{
    static const uint8_t ethernet[COOKED_HEAD] = {2, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0};
    uint8_t head[COOKED_HEAD];

    assert_int_equal(cooked_head(DLT_LINUX_SLL, sll, sizeof(sll), head), 16);
    assert_memory_equal(head, ethernet, sizeof(head));
    assert_int_equal(cooked_head(DLT_LINUX_SLL2, sll2, sizeof(sll2), head), 20);
    assert_memory_equal(head, ethernet, sizeof(head));
}
