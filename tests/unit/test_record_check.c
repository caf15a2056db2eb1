/* SPDX-License-Identifier: Apache-2.0 */
/* The log record in memory: what is impossible there is refused by name. */
#include "tests/help/record.h"
#include "ftcore/region/region.h"
#include "tests/help/test.h"

static void check_refuses(size_t size, const char *text)
{
    struct ft_fault fault = {""};

    assert_int_equal(record_check(rec, size, &fault), FT_EMALFORMED);
    if (!strstr(fault.text, text))
        fail_msg("got '%s', expected '%s'", fault.text, text);
    record_sample();
    assert_int_equal(record_check(rec, rec->size, &fault), 0);
}

TEST(impossible_sizes_and_numbers_are_refused_by_name)
{
    record_sample();
    const uint32_t size = rec->size;

    check_refuses(sizeof(*rec) - 8, "offset 0: 72 bytes, expected a record of at least 80");
    check_refuses(size - 8, "size is");
    rec->size -= 8;
    check_refuses(size, "offset 0: size is");
    rec->size += 8;
    check_refuses(size + 8, "offset 0: size is");
    rec->lane = FT_LANES_MAX;
    check_refuses(size, "offset 4: lane is 16");
    rec->flags = 16;
    check_refuses(size, "offset 6: flags is 16");
    rec->slice = 1;
    check_refuses(size, "slice without its flag");
    rec->burst = 0;
    check_refuses(size, "offset 8: burst is 0");
    rec->inputs = 33;
    check_refuses(size, "inputs is 33");
    rec->dependencies = 1025;
    check_refuses(size, "dependencies is 1025");
    rec->determinants = UINT32_MAX;
    check_refuses(size, "determinants is 4294967295");
    rec->bytes = UINT32_MAX;
    check_refuses(size, "bytes is 4294967295");
    rec->access = UINT64_MAX - 19;
    check_refuses(size, "access wraps");
    rec->seq = UINT64_MAX - 3;
    check_refuses(size, "sequence number wraps");
    rec->flags |= FT_REC_BY_SEQ;
    check_refuses(size, "in a burst by sequence number");
}

TEST(impossible_inputs_are_refused_by_name)
{
    record_sample();
    struct ft_input *in = (struct ft_input *)((uint8_t *)rec + sizeof(*rec));
    const uint32_t size = rec->size;

    in[2].wire = 13;
    check_refuses(size, "offset 96: input 2 is 13 bytes on the wire");
    in[2].wire = 53;
    check_refuses(size, "input 2 has 54 bytes taken, expected at most its 53");
    in[3].taken = 53;
    check_refuses(size, "inputs have 235 bytes taken, expected 236");
    in[0].flags = 0x80;
    check_refuses(size, "input 0 has flags 128");
}

TEST(impossible_dependencies_are_refused_by_name)
{
    record_sample();
    struct ft_dependency *dependency =
        (struct ft_dependency *)((uint8_t *)rec + ft_record_dependencies_at(rec));
    const uint32_t size = rec->size;
    char text[64];

    dependency[1].own = 500;
    snprintf(text, sizeof(text), "offset %zu: dependency 1 is at access 500, expected 501",
             ft_record_dependencies_at(rec) + 24);
    check_refuses(size, text);
    dependency[0].own = 499;
    check_refuses(size, "dependency 0 is at access 499");
    dependency[2].own = 520;
    check_refuses(size, "dependency 2 is at access 520");
    dependency[2].lane = 3;
    check_refuses(size, "dependency 2 names lane 3");
    dependency[2].lane = FT_LANES_MAX;
    check_refuses(size, "dependency 2 names lane 16");
}

TEST(impossible_determinants_are_refused_by_name)
{
    record_sample();
    uint8_t *values = (uint8_t *)rec + ft_record_determinants_at(rec);
    const uint32_t size = rec->size;

    values[0] = 12;
    check_refuses(size, "value of 12 bytes, expected at most the 11 left");
    values[0] = 8;
    check_refuses(size, "3 bytes left for a determinant");
}

/* The numbers of a record without its body, as who decodes it has them; where the next one begins. */
TEST(a_peek_tells_numbers_and_length_and_looks_at_nothing_else)
{
    static uint8_t wire[FT_RECORD_MAX];
    struct ft_record numbers;
    struct ft_fault fault = {""};

    record_sample();
    long len = ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_int_equal(ft_record_peek(wire, sizeof(wire), &numbers, &fault), len);
    assert_int_equal(ft_record_decode(wire, (size_t)len, back, FT_RECORD_MAX, &fault), len);
    assert_memory_equal(&numbers, back, sizeof(numbers));
    for (long n = 0; n < len; n++)
        assert_int_equal(ft_record_peek(wire, (size_t)n, &numbers, &fault), FT_ETRUNC);
    wire[len - 1] ^= 1;
    assert_int_equal(ft_record_peek(wire, (size_t)len, &numbers, &fault), len);
    wire[1] = 0x7f; /* where the version is, or the count */
    assert_true(ft_record_peek(wire, (size_t)len, &numbers, &fault) < 0);
}

/* A checksum of 0 says that there is none; any other is verified. */
TEST(a_record_on_the_link_has_no_checksum)
{
    static uint8_t wire[FT_RECORD_MAX], bare[FT_RECORD_MAX];
    struct ft_opened opened;
    struct ft_fault fault = {""};

    record_sample();
    long len = ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_int_equal(ft_record_encode(rec, FT_FORMAT_NEWEST, false, bare, sizeof(bare)), len);
    assert_memory_equal(bare, wire, (size_t)len - 9);
    assert_memory_equal(bare + len - 9, "\xcf\0\0\0\0\0\0\0", 9);
    assert_int_equal(ft_record_decode(bare, (size_t)len, back, FT_RECORD_MAX, &fault), len);
    assert_memory_equal(rec, back, rec->size);
    for (long at = len - 8; at < len; at++) {
        bare[at] = 1;
        assert_int_equal(ft_record_open(bare, (size_t)len, &opened, &fault), FT_ECHECKSUM);
        bare[at] = 0;
    }
    /* In two steps, for who learns from the head where the record is to lie. */
    memset(back, 0xee, rec->size);
    assert_int_equal(ft_record_open(bare, (size_t)len, &opened, &fault), len);
    assert_int_equal(opened.numbers.size, rec->size);
    assert_int_equal(ft_record_read(&opened, back, &fault), 0);
    assert_memory_equal(rec, back, rec->size);
}
