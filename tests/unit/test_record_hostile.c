/* SPDX-License-Identifier: Apache-2.0 */
/* Records built by hand with msgpack, so that the encoder has no say: what decoding must refuse, and how. */
#include "ftcore/record/delta.h"
#include "ftcore/record/record.h"
#include "ftcore/region/region.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

enum {
    VERSION,
    LANE,
    FLAGS,
    BURST,
    SEQ,
    TIME,
    RELEASED,
    ACCESS,
    ACCESSES,
    DIGEST,
    SLICE,
    INPUTS,
    BYTES,
    DEPENDENCIES,
    DETERMINANTS
};

static uint64_t *const head = forge.head;
static uint8_t *const body = forge.body;

static void plain_head(void)
{
    static const uint64_t plain[15] = {
        [VERSION] = FT_FORMAT_NEWEST, [LANE] = 2, [BURST] = 7, [ACCESS] = 100, [ACCESSES] = 10};

    forge_begin(plain, 15, record_decode_exact);
}

static void good(void)
{
    forge_good();
    assert_int_equal(record_check(back, back->size, &help_fault), 0);
}

TEST(impossible_heads_are_refused_by_name)
{
    plain_head();
    good();
    forge_number_refused(VERSION, 2, FT_EVERSION, "offset 3: version is 2, expected 3 to 4");
    forge_number_refused(VERSION, 0, FT_EVERSION, "version is 0");
    forge_number_refused(LANE, FT_LANES_MAX, FT_EMALFORMED, "offset 4: lane is 16, expected 0 to 15");
    forge_number_refused(LANE, 65536 + 2, FT_EMALFORMED, "lane is 65538");
    forge_number_refused(FLAGS, 16, FT_EMALFORMED, "flags is 16, expected 0 to 15");
    forge_number_refused(FLAGS, 1u << 16, FT_EMALFORMED, "flags is 65536");
    forge_number_refused(BURST, 0, FT_EMALFORMED, "burst is 0, expected 1");
    forge_number_refused(ACCESSES, 1ull << 32, FT_EMALFORMED, "accesses is 4294967296");
    forge_number_refused(ACCESS, UINT64_MAX, FT_EMALFORMED, "access wraps");
    forge_number_refused(DIGEST, 5, FT_EMALFORMED, "digest without its flag");
    forge_number_refused(SLICE, 5, FT_EMALFORMED, "slice without its flag");
    forge_number_refused(SLICE, 1u << 20, FT_EMALFORMED, "slice is 1048576, expected 0 to 1048575");
    forge_number_refused(INPUTS, FT_BURST_MAX + 1, FT_EMALFORMED, "inputs is 33, expected 0 to 32");
    forge_number_refused(INPUTS, 65536, FT_EMALFORMED, "inputs is 65536");
    forge_number_refused(BYTES, FT_BURST_MAX * FT_FRAME_MAX + 1, FT_EMALFORMED, "bytes is 294913");
    forge_number_refused(BYTES, UINT64_MAX, FT_EMALFORMED, "bytes is 18446744073709551615");
    forge_number_refused(DEPENDENCIES, FT_DEPENDENCIES_MAX + 1, FT_EMALFORMED,
                         "dependencies is 1025, expected 0 to 1024");
    forge_number_refused(DEPENDENCIES, 65536, FT_EMALFORMED, "dependencies is 65536");
    forge_number_refused(DETERMINANTS, FT_DETERMINANTS_MAX + 1, FT_EMALFORMED,
                         "determinants is 65537, expected 0 to 65536");
    forge_number_refused(DETERMINANTS, 1ull << 32, FT_EMALFORMED, "determinants is 4294967296");

    /* Offsets count numbers of all lengths. */
    plain_head();
    head[SEQ] = 1ull << 40;
    head[TIME] = 70000;
    head[RELEASED] = 300;
    head[DIGEST] = 200;
    forge_refused(FT_EMALFORMED, "offset 26: digest without its flag");
    head[DIGEST] = 0;
    head[DEPENDENCIES] = FT_DEPENDENCIES_MAX + 1;
    forge_refused(FT_EMALFORMED, "offset 30: dependencies is 1025");
    plain_head();
    head[SEQ] = UINT64_MAX;
    head[INPUTS] = 1;
    FORGE_PUT(0);
    forge_refused(FT_EMALFORMED, "sequence number wraps");
    plain_head();
    head[FLAGS] = FT_REC_BY_SEQ;
    head[INPUTS] = 32;
    good();
    head[BYTES] = 1;
    FORGE_PUT(0);
    forge_refused(FT_EMALFORMED, "bytes is 1 in a burst by sequence number, expected 0");
    plain_head();
    head[FLAGS] = FT_REC_DIGEST;
    head[DIGEST] = UINT64_MAX;
    good();
    head[SLICE] = 3;
    forge_refused(FT_EMALFORMED, "slice without its flag");
    head[FLAGS] = FT_REC_SLICE;
    good();
}

TEST(impossible_inputs_are_refused_by_name)
{
    static uint8_t frame[64];

    plain_head();
    head[INPUTS] = 1;
    head[BYTES] = 64;
    FORGE_PUT(100);
    forge_put(frame, 64);
    good();
    assert_int_equal(ft_record_inputs(back)->flags, FT_IN_OUTSIDE);
    head[BYTES] = 63;
    forge_refused(FT_EMALFORMED, "inputs have 64 bytes taken, expected 63");
    head[BYTES] = 65;
    forge_refused(FT_EMALFORMED, "inputs have 64 bytes taken, expected 65");
    head[BYTES] = 64;
    forge.body_len--;
    forge_refused(FT_EMALFORMED, "63 bytes left in the body, expected 64");
    forge.body_len += 2;
    forge_refused(FT_EMALFORMED, "1 bytes more, expected the body's end");
    head[INPUTS] = 2;
    forge.body_len = 1;
    forge_refused(FT_EMALFORMED, "body ends");

    plain_head();
    head[INPUTS] = 1;
    head[BYTES] = 64;
    FORGE_PUT(101, 64, 3, 1);
    forge_put(frame, 64);
    good();
    assert_int_equal(ft_record_inputs(back)->port, 3);
    body[1] = 65;
    forge_refused(FT_EMALFORMED, "offset 20: input 0 has 65 bytes taken, expected at most its 64");
    body[1] = 64;
    body[3] = 8;
    forge_refused(FT_EMALFORMED, "input 0 has flags 8, expected at most 7");
    body[3] = FT_IN_ASIDE;
    forge_refused(FT_EMALFORMED, "input 0 is set aside and has 64 bytes taken, expected 0");
    body[3] = FT_IN_SESSION;
    forge_refused(FT_EMALFORMED, "input 0 has 64 bytes that tell its session, expected 8");
    forge.body_len = 3;
    forge_refused(FT_EMALFORMED, "body ends");

    /* wire 9216 is (9216 - 14) * 2 = 18404: e4 8f 01; one byte more is e6 8f 01 */
    plain_head();
    head[INPUTS] = 1;
    FORGE_PUT(0xe5, 0x8f, 0x01, 0, 0, 0);
    good();
    body[0] = 0xe7;
    forge_refused(FT_EMALFORMED, "input 0 is 9217 bytes on the wire, expected 14 to 9216");
    /* as much as 64 bits of it, and more than that */
    plain_head();
    head[INPUTS] = 1;
    FORGE_PUT(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    forge_refused(FT_EMALFORMED, "expected an input");
    FORGE_PUT(0x01);
    body[9] = 0x81;
    forge_refused(FT_EMALFORMED, "expected an input");
    plain_head();
    head[INPUTS] = 1;
    FORGE_PUT(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02);
    forge_refused(FT_EMALFORMED, "expected an input");
}

TEST(impossible_dependencies_are_refused_by_name)
{
    plain_head();
    head[DEPENDENCIES] = 2;
    FORGE_PUT(0x03, 0, 0x13, 0x09); /* own 100 then 102, lane 3, access 100 then 95 */
    good();
    const struct ft_dependency *dependency =
        (const void *)((uint8_t *)back + ft_record_dependencies_at(back));
    assert_int_equal(dependency[0].own, 100);
    assert_int_equal(dependency[1].own, 102);
    assert_int_equal(dependency[1].access, 95);
    body[0] = 0x02;
    forge_refused(FT_EMALFORMED, "offset 20: dependency 0 names lane 2, expected another than 2");
    plain_head();
    head[DEPENDENCIES] = 1;
    FORGE_PUT(0x93, 0x01, 0); /* 100 + 9 is the last access */
    good();
    body[0] = 0xa3;
    forge_refused(FT_EMALFORMED, "dependency 0 is at access 110, expected 100 or later, before 110");
    head[ACCESSES] = 0;
    forge_refused(FT_EMALFORMED, "dependency 0 is at access 110");
    forge.body_len--;
    forge_refused(FT_EMALFORMED, "expected a dependency");

    /* Order cannot go back but by wrapping around. */
    plain_head();
    head[ACCESS] = UINT64_MAX - 10;
    head[DEPENDENCIES] = 2;
    FORGE_PUT(0x03, 0, 0xf3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0);
    forge_refused(FT_EMALFORMED, "dependency 1 is at access");
}

TEST(impossible_determinants_are_refused_by_name)
{
    plain_head();
    head[DETERMINANTS] = 9;
    FORGE_PUT(1, 0, 0, 0, 'x', 0, 0, 0, 0);
    good();
    body[5] = 1;
    forge_refused(FT_EMALFORMED, "offset 25: value of 1 bytes, expected at most the 0 left");
    body[0] = body[1] = body[2] = body[3] = 0xff;
    forge_refused(FT_EMALFORMED, "offset 20: value of 4294967295 bytes, expected at most the 5 left");
    plain_head();
    head[DETERMINANTS] = 3;
    FORGE_PUT(0, 0, 0);
    forge_refused(FT_EMALFORMED, "3 bytes left for a determinant, expected a length of 4");
    head[DETERMINANTS] = 4;
    forge_refused(FT_EMALFORMED, "3 bytes left in the body, expected 4");
}

TEST(what_is_no_such_array_is_refused_by_name)
{
    static const struct {
        const char *bytes;
        size_t len;
        int error;
        const char *text;
    } cases[] = {
#define BYTES(literal) literal, sizeof(literal) - 1
        {BYTES(""), FT_ETRUNC, "offset 0: entry ends, expected content as an array"},
        {BYTES("\x01"), FT_EMALFORMED,
         "offset 0: entry content begins with byte 01 and 0 follow, expected an array"},
        {BYTES("\x90"), FT_EMALFORMED, "offset 0: entry is an array of 0, expected 17"},
        {BYTES("\xc1"), FT_EMALFORMED, "offset 0: entry content begins with byte c1"},
        {BYTES("\xc4\x01x"), FT_EMALFORMED, "content begins with byte c4 and 2 follow, expected an array"},
        {BYTES("\xdf\xff\xff\xff\xff"), FT_EMALFORMED,
         "content begins with byte df and 4 follow, expected an array"},
        {BYTES("\x91\x03"), FT_EMALFORMED, "array of 1, expected 17"},
        {BYTES("\x91\x05"), FT_EVERSION, "version is 5, expected 3 to 4"},
        {BYTES("\xdd\xff\xff\xff\xff\x03"), FT_EMALFORMED,
         "offset 0: entry is an array of 4294967295, expected 17"},
        {BYTES("\xdc\x00\x10\x03"), FT_EMALFORMED, "array of 16, expected 17"},
        {BYTES("\xdc\x00\x11\x03\xdd\xff\xff\xff\xff"), FT_EMALFORMED,
         "offset 4: entry lane begins with byte dd"},
        {BYTES("\xdc\x00\x11\x03\xdf\xff\xff\xff\xff"), FT_EMALFORMED,
         "offset 4: entry lane begins with byte df"},
        {BYTES("\xdc\x00\x11\x03\x90"), FT_EMALFORMED, "offset 4: entry lane begins with byte 90"},
        {BYTES("\xdc\x00\x11\x03\xff"), FT_EMALFORMED,
         "entry lane begins with byte ff and 0 follow, expected an unsigned number"},
        {BYTES("\xdc\x00\x11\x03\xcc\x01\xc0"), FT_EMALFORMED, "offset 6: entry flags begins with byte c0"},
        {BYTES("\xdc\x00\x11\x03\xa1x"), FT_EMALFORMED, "offset 4: entry lane begins with byte a1"},
        {BYTES("\xdc\x00\x11\x03\xd4\x01x"), FT_EMALFORMED, "offset 4: entry lane begins with byte d4"},
        {BYTES("\xdc\x00\x11\x03\xc9\xff\xff\xff\xff\x00"), FT_EMALFORMED, "entry lane begins with byte c9"},
        {BYTES("\xdc\x00\x11\x03\xc4\x01x"), FT_EMALFORMED, "offset 4: entry lane begins with byte c4"},
        {BYTES("\xdc\x00\x11\x03\x02\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05"), FT_EMALFORMED,
         "offset 18: entry body begins with byte 05 and 0 follow, expected bytes"},
        {BYTES(
             "\xdc\x00\x11\x03\x02\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc6\xff\xff\xff\xff"),
         FT_ETRUNC, "offset 18: entry body has 0 bytes, expected 4294967295"},
        {BYTES("\xdc\x00\x11\x03\x02\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc4\x00\x05"),
         FT_EMALFORMED, "entry has a short checksum, expected cf and 8 bytes"},
        {BYTES("\xdc\x00\x11\x03\x02\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc4\x01x\x05"),
         FT_EMALFORMED, "entry has a short checksum, expected cf and 8 bytes"},
        {BYTES("\xdc\x00\x11\x03\x02\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc4\x00\xcf\1\1\1\1"
               "\1\1"
               "\1\1"),
         FT_ECHECKSUM, "offset 20: checksum is 0101010101010101, expected "},
#undef BYTES
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        long used = record_decode_exact((const uint8_t *)cases[i].bytes, cases[i].len, &help_fault);

        if (used != cases[i].error || !strstr(help_fault.text, cases[i].text))
            fail_msg("case %zu: %ld '%s', expected %d '%s'", i, used, help_fault.text, cases[i].error,
                     cases[i].text);
    }
}

/*
 * The tables of the numbers of a record and of a chunk: every one comes back from the wire, and
 * docs/record-format.md lists them in their order. A number that is added to a table is tested here without a
 * further line.
 */

int record_check(const struct ft_record *r, size_t size, struct ft_fault *fault); /* record_check.c */

/* A number of its own for every member that can hold one. */
#define FILL(type, member, name, min, max)                                                                   \
    entry->member = (__typeof__(entry->member))((max) > 1000 ? 100 + offsetof(type, member) : (min));

#define SAME(type, member, name, min, max)                                                                   \
    if (entry->member != decoded->member)                                                                    \
        fail_msg("%s is %llu, expected %llu", name, (unsigned long long)decoded->member,                     \
                 (unsigned long long)entry->member);

#define NAME(type, member, name, min, max) name,

static uint8_t wire[1024];

static _Alignas(8) uint8_t memory[1024];

TEST(test_numbers_of_a_record_come_back)
{
    struct ft_record filled, *entry = &filled, *decoded = (struct ft_record *)memory;

    memset(entry, 0, sizeof(*entry));
    FT_RECORD_NUMBERS(FILL)
    entry->flags = FT_REC_DIGESTS;
    entry->bytes = entry->determinants = entry->inputs = entry->dependencies = 0; /* no body */
    entry->size = sizeof(*entry);
    assert_int_equal(record_check(entry, sizeof(*entry), &help_fault), 0);

    long len = ft_record_encode(entry, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_in_range(len, 1, ft_record_bound(entry));
    if (ft_record_decode(wire, (size_t)len, decoded, sizeof(memory), &help_fault) != len)
        fail_msg("refused: %s", help_fault.text);
    FT_RECORD_NUMBERS(SAME)
    assert_memory_equal(entry, decoded, sizeof(*entry));
}

TEST(test_numbers_of_a_chunk_come_back)
{
    struct ft_chunk filled, *entry = &filled, *decoded = (struct ft_chunk *)memory;

    memset(entry, 0, sizeof(*entry));
    entry->kind = FT_ENTRY_CHUNK;
    FT_CHUNK_NUMBERS(FILL)
    entry->flags = FT_REC_DIGESTS | FT_CHUNK_LAST;
    entry->lines = entry->held = entry->bytes = 0; /* no body */
    entry->size = sizeof(*entry);

    long len = ft_chunk_encode(entry, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_in_range(len, 1, ft_chunk_bound(entry));
    if (ft_chunk_decode(wire, (size_t)len, 1, decoded, sizeof(memory), &help_fault) != len)
        fail_msg("refused: %s", help_fault.text);
    FT_CHUNK_NUMBERS(SAME)
    assert_memory_equal(entry, decoded, sizeof(*entry));
}

/* The page's table below `heading` has these names, then body and checksum. */
static void page_lists(const char *heading, const char *const names[], size_t count)
{
    FILE *page = fopen("docs/record-format.md", "r");
    char line[2048], found[512] = "", expected[512] = "version";
    bool in_section = false, in_table = false;

    assert_non_null(page);
    while (fgets(line, sizeof(line), page)) {
        if (strncmp(line, "## ", 3) == 0)
            in_section = strncmp(line + 3, heading, strlen(heading)) == 0;
        in_table = in_section && line[0] == '|' && (in_table || strncmp(line, "| version", 9) == 0);
        if (!in_table)
            continue;
        char *end = strstr(line + 2, " |");

        assert_non_null(end);
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%.*s", *found ? ", " : "",
                 (int)(end - line - 2), line + 2);
    }
    fclose(page);
    for (size_t i = 0; i < count; i++)
        snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), ", %s", names[i]);
    strcat(expected, ", body, checksum");
    assert_string_equal(found, expected);
}

TEST(test_the_page_lists_them)
{
    const char *const record[] = {FT_RECORD_NUMBERS(NAME)}, *const of_chunk[] = {FT_CHUNK_NUMBERS(NAME)};

    page_lists("The log record", record, sizeof(record) / sizeof(record[0]));
    page_lists("A chunk of a delta", of_chunk, sizeof(of_chunk) / sizeof(of_chunk[0]));
}
