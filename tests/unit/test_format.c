/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of the formats, in the program of the next one (tests/next.h): it reads and writes both, and what
 * it writes in version 4 are the golden files of version 4.
 */
#include "tests/help/test.h"

#include <msgpack.h>

#include "ftcore/record/datagram.h"
#include "ftcore/record/delta.h"
#include "ftcore/record/message.h"
#include "ftcore/record/record.h"

static uint8_t wire[8192], again[8192], bulk[FT_BULK_MAX];
static _Alignas(8) uint8_t memory[FT_RECORD_MAX];

static size_t golden(const char *name)
{
    FILE *f;
    size_t len;

    assert_non_null(f = fopen(help_print("tests/golden/%s", name), "rb"));
    len = fread(wire, 1, sizeof(wire), f);
    fclose(f);
    assert_in_range(len, 1, sizeof(wire) - 1);
    return len;
}

TEST(the_next_program_speaks_the_version_before)
{
    struct ft_compressor compressor = {0};
    struct ft_message m;
    size_t len = golden("messages-v4.bin"), at = 0;
    unsigned messages = 0;

    for (long used; at < len; at += (size_t)used, messages++) {
        used = ft_message_decode(wire + at, len - at, 0, &m, bulk, &help_fault);
        if (used <= 0)
            fail_msg("message %u: %s", messages + 1, help_fault.text);
        assert_int_equal(m.version, m.type == FT_MSG_HELLO || m.type == FT_MSG_REFUSE ? 0 : 4);
        assert_int_equal(m.next, 0);
        if (at + (size_t)used == len) /* the last is compressed */
            compressor.skip = 0;
        assert_int_equal(ft_message_encode(&m, 3, at + (size_t)used == len ? &compressor : NULL, true, again,
                                           sizeof(again)),
                         used);
        assert_memory_equal(again, wire + at, (size_t)used);
    }
    assert_int_equal(messages, FT_MSG_NEXT);
    len = golden("record-v4.bin");
    assert_int_equal(ft_record_decode(wire, len, (struct ft_record *)memory, sizeof(memory), &help_fault),
                     len);
    assert_int_equal(((struct ft_record *)memory)->next, 0);
    assert_int_equal(ft_record_encode((struct ft_record *)memory, 4, true, again, sizeof(again)), len);
    assert_memory_equal(again, wire, len);
    len = golden("delta-v4.bin");
    long used = ft_chunk_decode(wire, len, 1u << 20, (struct ft_chunk *)memory, FT_CHUNK_MAX, &help_fault);
    if (used <= 0)
        fail_msg("chunk: %s", help_fault.text);
    assert_int_equal(ft_chunk_encode((struct ft_chunk *)memory, 4, true, again, sizeof(again)), used);
    assert_memory_equal(again, wire, (size_t)used);
}

/* The number of elements, and the first one, of the msgpack array in[0..len). */
static unsigned elements(const uint8_t *in, size_t len, uint64_t *first)
{
    msgpack_unpacked object;
    size_t off = 0;

    msgpack_unpacked_init(&object);
    assert_int_equal(msgpack_unpack_next(&object, (const char *)in, len, &off), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(off, len);
    unsigned n = object.data.via.array.size;
    *first = object.data.via.array.ptr[0].via.u64;
    msgpack_unpacked_destroy(&object);
    return n;
}

static struct ft_message message_of(unsigned type, unsigned version)
{
    struct ft_message m = {
        .type = (uint8_t)type, .version = (uint16_t)version, .state = FT_READY, .next = 4711};

    if (type == FT_MSG_HELLO) {
        m.newest = 5, m.oldest = 4, m.lanes = 3;
        m.lease_ms = 1, m.detect_ms = 2, m.promote_within_ms = 3, m.solo_after_ms = 4;
        strcpy(m.program, "0.3.0");
        strcpy(m.name, "north");
    }
    return m;
}

/* Of each type, in each version, and what is different: a field of HEARTBEAT and all of NEXT. */
TEST(every_message_in_every_version)
{
    struct ft_message m, back;
    unsigned count[2];
    uint64_t first;

    for (unsigned type = 1; type < FT_MSG_TYPES; type++)
        for (unsigned version = 4; version <= 5; version++) {
            bool none = type == FT_MSG_HELLO || type == FT_MSG_REFUSE;

            if (type == FT_MSG_NEXT && version == 4)
                continue; /* what has no such message is not sent one: encoding it aborts */
            m = message_of(type, none ? 0 : version);
            long len = ft_message_encode(&m, 3, NULL, true, wire, sizeof(wire));
            assert_true(len > 0);
            if (ft_message_decode(wire, (size_t)len, 3, &back, bulk, &help_fault) != len)
                fail_msg("type %u in version %u: %s", type, version, help_fault.text);
            assert_int_equal(back.version, none ? 0 : version);
            assert_int_equal(back.next,
                             (type == FT_MSG_HEARTBEAT && version == 5) || type == FT_MSG_NEXT ? 4711 : 0);
            count[version - 4] = elements(wire + FT_FRAME_HEAD, (size_t)len - FT_FRAME_HEAD, &first);
            assert_int_equal(first, none ? 0 : version);
            if (version == 5 && type != FT_MSG_NEXT)
                assert_int_equal(count[1] - count[0], type == FT_MSG_HEARTBEAT);
        }
}

/* ---- by hand ----------------------------------------------------------------------------------- */

static msgpack_sbuffer content;
static msgpack_packer packer;

static void begin(unsigned size, unsigned version, unsigned type)
{
    msgpack_sbuffer_destroy(&content);
    msgpack_sbuffer_init(&content);
    msgpack_packer_init(&packer, &content, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, size);
    msgpack_pack_uint64(&packer, version);
    msgpack_pack_uint64(&packer, type);
    for (unsigned i = 0; i < 3; i++)
        msgpack_pack_uint64(&packer, 7);
    msgpack_pack_uint64(&packer, FT_JOINING);
}

static void put(uint64_t v)
{
    msgpack_pack_uint64(&packer, v);
}

static void put_text(const char *text)
{
    msgpack_pack_str(&packer, strlen(text));
    msgpack_pack_str_body(&packer, text, strlen(text));
}

static long judge(struct ft_message *m, struct ft_fault *why)
{
    uint32_t head[2] = {(uint32_t)content.size, 0};

    memcpy(wire, head, sizeof(head));
    memcpy(wire + sizeof(head), content.data, content.size);
    return ft_message_decode(wire, sizeof(head) + content.size, 0, m, bulk, why);
}

static void refused(int error, const char *text)
{
    struct ft_message m;
    struct ft_fault why = {""};

    assert_int_equal(judge(&m, &why), error);
    if (!strstr(why.text, text))
        fail_msg("'%s', expected '%s'", why.text, text);
}

TEST(a_field_is_in_its_versions_only)
{
    struct ft_message m;

    begin(7, 5, FT_MSG_HEARTBEAT);
    put(4711);
    assert_true(judge(&m, NULL) > 0);
    begin(6, 5, FT_MSG_HEARTBEAT);
    refused(FT_EMALFORMED, "HEARTBEAT is an array of 6, expected 7");
    begin(7, 4, FT_MSG_HEARTBEAT);
    put(4711);
    refused(FT_EMALFORMED, "HEARTBEAT is an array of 7, expected 6");
    begin(7, 5, FT_MSG_NEXT);
    put(4711);
    assert_true(judge(&m, NULL) > 0);
    begin(7, 4, FT_MSG_NEXT);
    put(4711);
    refused(FT_EMALFORMED, "message type is "); /* there is no such */
    begin(6, 6, FT_MSG_HEARTBEAT);
    refused(FT_EVERSION, "version is 6, expected 4 to 5");
    begin(6, 3, FT_MSG_HEARTBEAT);
    refused(FT_EVERSION, "version is 3, expected 4 to 5");
    begin(6, 0, FT_MSG_HEARTBEAT); /* nothing else is of no version */
    refused(FT_EMALFORMED, "in version 0");
    begin(22, 5, FT_MSG_HELLO);
    refused(FT_EMALFORMED, "in version 5");
}

/* A hello of a program that speaks `newest` to `oldest`, and its `more` elements that nobody knows yet. */
static void hello(unsigned newest, unsigned oldest, unsigned more)
{
    begin(27 + more, 0, FT_MSG_HELLO);
    put(newest), put(oldest);
    put_text("9.9.0");
    put_text("south");
    for (unsigned i = 0; i < 3; i++)
        put(1);
    put(0), put(0), put(1), put(1), put(25), put(50), put(100), put(300);
    msgpack_pack_bin(&packer, 4);
    msgpack_pack_bin_body(&packer, "nat\n", 4);
    put(1), put(2); /* the shard, its members, and whether this is one */
    put_text("north"), put_text("south");
    put(0);
    for (unsigned i = 0; i < more; i++)
        put_text("what a later version says");
}

TEST(a_hello_of_any_program_is_read)
{
    struct ft_message m;

    hello(4, 3, 0); /* older */
    assert_true(judge(&m, NULL) > 0);
    assert_int_equal(m.newest * 10 + m.oldest, 43);
    assert_int_equal(m.identity_len, 4);
    hello(6, 5, 3); /* later, and with more to say: passed over */
    assert_true(judge(&m, NULL) > 0);
    assert_string_equal(m.program, "9.9.0");
    assert_int_equal(m.solo_after_ms, 300);
    assert_int_equal(m.identity_len, 4);
    assert_int_equal(m.members.shard[1], 2);
    assert_string_equal(m.members.name[0], "north");
    hello(5, 4, 1); /* we would know of it */
    refused(FT_EMALFORMED, "HELLO is an array of 28, expected 27");
    hello(4, 5, 0);
    refused(FT_EMALFORMED, "speaks versions 5 to 4");
    begin(12, 0, FT_MSG_HELLO); /* no version in common: what follows the name may be anything */
    put(8), put(7);
    put_text("9.9.0");
    put_text("south");
    put_text("?"), put_text("?");
    assert_true(judge(&m, NULL) > 0);
    assert_string_equal(m.name, "south");
    assert_string_equal(m.program, "9.9.0");
    assert_int_equal(m.lanes, 0);
    begin(8, 0, FT_MSG_REFUSE);
    put_text("because");
    put(99);
    assert_true(judge(&m, NULL) > 0);
    assert_string_equal(m.text, "because");
}

TEST(a_version_is_agreed_on)
{
    assert_int_equal(ft_format_common(4, 3, 4, 3), 4);
    assert_int_equal(ft_format_common(4, 3, 3, 2), 3);
    assert_int_equal(ft_format_common(3, 2, 4, 3), 3);
    assert_int_equal(ft_format_common(4, 4, 3, 3), 0);
    assert_int_equal(ft_format_common(3, 3, 5, 4), 0);
    assert_int_equal(ft_format_common(9, 3, 5, 5), 5);
}

TEST(a_record_has_the_numbers_of_its_version)
{
    struct ft_record r = {.size = sizeof(r), .burst = 1, .next = 1}, *back = (struct ft_record *)memory;
    uint64_t first;

    for (unsigned version = 4; version <= 5; version++) {
        long len = ft_record_encode(&r, version, true, wire, sizeof(wire));

        assert_int_equal(elements(wire, (size_t)len, &first), version == 4 ? 17 : 18);
        assert_int_equal(first, version);
        if (ft_record_decode(wire, (size_t)len, back, sizeof(memory), &help_fault) != len)
            fail_msg("version %u: %s", version, help_fault.text);
        assert_int_equal(back->next, version == 4 ? 0 : 4711);
        len = ft_record_encode(&r, version, false, wire, sizeof(wire));
        wire[3] = (uint8_t)(9 - version); /* the other one */
        assert_int_equal(ft_record_decode(wire, (size_t)len, back, sizeof(memory), &help_fault),
                         FT_EMALFORMED);
        wire[3] = 6;
        assert_int_equal(ft_record_decode(wire, (size_t)len, back, sizeof(memory), &help_fault), FT_EVERSION);
    }
    /* A rule of a later number names its place behind those that are there. */
    long len = ft_record_encode(&r, 5, false, wire, sizeof(wire));
    wire[len - 9 - 2 - 1]++;
    assert_int_equal(ft_record_decode(wire, (size_t)len, back, sizeof(memory), &help_fault), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "next is 4712, expected 4711 to 4711"));
}

TEST(datagrams_have_their_version)
{
    const struct ft_datagram_key key = {1, {2, 3}};
    struct ft_datagram d = {.kind = FT_HEARTBEAT, .view = 5, .next = 77}, back;

    for (unsigned version = 4; version <= 5; version++) {
        size_t len = version == 4 ? 64 : 72;

        d.version = version;
        assert_int_equal(ft_datagram_encode(&d, &key, wire), len);
        assert_int_equal(ft_datagram_length(wire, len), len);
        assert_int_equal(ft_datagram_decode(wire, len, &key, &back), 0);
        assert_int_equal(back.version, version);
        assert_int_equal(back.next, version == 4 ? 0 : 77);
        wire[8] = (uint8_t)(9 - version);
        assert_true(ft_datagram_decode(wire, 64, &key, &back) < 0 &&
                    ft_datagram_decode(wire, 72, &key, &back) < 0);
        wire[8] = 0; /* a heartbeat is not of no version */
        assert_true(ft_datagram_decode(wire, 64, &key, &back) < 0);
    }
    d = (struct ft_datagram){.kind = FT_DEATH_NOTICE};
    assert_int_equal(ft_datagram_encode(&d, &key, wire), 64);
    assert_int_equal(wire[8], 0);
    assert_int_equal(ft_datagram_decode(wire, 64, &key, &back), 0);
}
