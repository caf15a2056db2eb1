/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the numbers of a record and of a chunk: every one comes back from the wire, and
 * docs/record-format.md lists them in their order. A number that is added to a table is tested here without a
 * further line.
 */
#include "ftcore/record/delta.h"
#include "ftcore/record/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int record_check(const struct ft_record *r, size_t size, struct ft_fault *fault); /* record_check.c */

/* A number of its own for every member that can hold one. */
#define FILL(type, member, name, min, max)                                                                   \
    entry->member = (__typeof__(entry->member))((max) > 1000 ? 100 + offsetof(type, member) : (min));
#define SAME(type, member, name, min, max)                                                                   \
    if (entry->member != back->member)                                                                       \
        fail_msg("%s is %llu, expected %llu", name, (unsigned long long)back->member,                        \
                 (unsigned long long)entry->member);
#define NAME(type, member, name, min, max) name,

static uint8_t wire[1024];
static _Alignas(8) uint8_t memory[1024];

static void test_numbers_of_a_record_come_back(void **state)
{
    struct ft_record filled, *entry = &filled, *back = (struct ft_record *)memory;
    struct ft_fault fault = {""};

    (void)state;
    memset(entry, 0, sizeof(*entry));
    FT_RECORD_NUMBERS(FILL)
    entry->flags = FT_REC_DIGESTS;
    entry->bytes = entry->determinants = entry->inputs = entry->dependencies = 0; /* no body */
    entry->size = sizeof(*entry);
    assert_int_equal(record_check(entry, sizeof(*entry), &fault), 0);

    long len = ft_record_encode(entry, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_in_range(len, 1, ft_record_bound(entry));
    if (ft_record_decode(wire, (size_t)len, back, sizeof(memory), &fault) != len)
        fail_msg("refused: %s", fault.text);
    FT_RECORD_NUMBERS(SAME)
    assert_memory_equal(entry, back, sizeof(*entry));
}

static void test_numbers_of_a_chunk_come_back(void **state)
{
    struct ft_chunk filled, *entry = &filled, *back = (struct ft_chunk *)memory;
    struct ft_fault fault = {""};

    (void)state;
    memset(entry, 0, sizeof(*entry));
    entry->kind = FT_ENTRY_CHUNK;
    FT_CHUNK_NUMBERS(FILL)
    entry->flags = FT_REC_DIGESTS | FT_CHUNK_LAST;
    entry->lines = entry->held = entry->bytes = 0; /* no body */
    entry->size = sizeof(*entry);

    long len = ft_chunk_encode(entry, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_in_range(len, 1, ft_chunk_bound(entry));
    if (ft_chunk_decode(wire, (size_t)len, 1, back, sizeof(memory), &fault) != len)
        fail_msg("refused: %s", fault.text);
    FT_CHUNK_NUMBERS(SAME)
    assert_memory_equal(entry, back, sizeof(*entry));
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

static void test_the_page_lists_them(void **state)
{
    const char *const record[] = {FT_RECORD_NUMBERS(NAME)}, *const chunk[] = {FT_CHUNK_NUMBERS(NAME)};

    (void)state;
    page_lists("The log record", record, sizeof(record) / sizeof(record[0]));
    page_lists("A chunk of a delta", chunk, sizeof(chunk) / sizeof(chunk[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_of_a_record_come_back),
        cmocka_unit_test(test_numbers_of_a_chunk_come_back),
        cmocka_unit_test(test_the_page_lists_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
