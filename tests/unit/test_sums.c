/* SPDX-License-Identifier: Apache-2.0 */
/* What replay notes of bursts under the audit: how much memory it takes, and which NF a burst differs in. */
#include "tools/replay/sums.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t resident(void)
{
    unsigned long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "re");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &pages), 2);
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A burst of a chain of two NFs: four numbers, whatever the most is that a chain may have. */
static void a_burst_takes_as_much_as_its_chain_has_nfs(void **state)
{
    uint64_t of[FT_AUDIT_SUMS] = {1}, before;
    const uint64_t bursts = 100000, bytes = bursts * 4 * sizeof(uint64_t);
    struct ft_fault fault;
    struct nd_sums sums;

    (void)state;
    assert_int_equal(nd_sums_open(&sums, bursts, 1, 2, &fault), 0);
    before = resident();
    for (uint64_t b = 0; b < bursts; b++)
        nd_sums_note(&sums, false, 0, b, of);
    assert_in_range(resident() - before, bytes / 2, bytes + (1u << 20));
}

/* Three quarters of the machine's memory: the kernel would give it, and take back something else. */
static void what_takes_most_of_the_memory_is_refused_with_what_helps(void **state)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t each =
        2 * 4 * sizeof(uint64_t); /* of a burst: live and replayed, the lane's, two NFs', the shared */
    struct ft_fault fault = {""};
    struct nd_sums sums;
    char text[64];

    (void)state;
    snprintf(text, sizeof(text), "of %lu bursts", memory / 4 * 3 / each);
    assert_int_equal(nd_sums_open(&sums, memory / 4 * 3 / each, 1, 2, &fault), FT_ENOMEM);
    assert_non_null(strstr(fault.text, text));
    assert_non_null(strstr(fault.text, "--fast"));
}

/* Whoever executes a burst edits what is the lane's own; NFs come first, then what lanes share. */
static void the_first_nf_that_differs_is_told(void **state)
{
    uint64_t noted[FT_AUDIT_SUMS] = {10, 11, 12, [FT_NFS_MAX] = 13}, other[FT_AUDIT_SUMS];
    struct ft_fault fault;
    struct nd_sums sums;
    uint16_t nf;

    (void)state;
    assert_int_equal(nd_sums_open(&sums, 8, 2, 2, &fault), 0);
    assert_false(nd_sums_differ(&sums, false, 1, 7, noted, &nf)); /* nobody has */
    nd_sums_note(&sums, false, 1, 7, noted);
    nd_sums_note(&sums, true, 1, 8, noted); /* beyond: of no burst */
    assert_false(nd_sums_differ(&sums, true, 1, 7, noted, &nf));
    assert_false(nd_sums_differ(&sums, false, 0, 7, noted, &nf));
    assert_false(nd_sums_differ(&sums, false, 1, 7, noted, &nf));
    memcpy(other, noted, sizeof(other));
    other[0]++;
    assert_true(nd_sums_differ(&sums, false, 1, 7, other, &nf));
    assert_int_equal(nf, 0);
    other[FT_NFS_MAX]++;
    assert_true(nd_sums_differ(&sums, false, 1, 7, other, &nf));
    assert_int_equal(nf, FT_NFS_MAX);
    other[2]++;
    assert_true(nd_sums_differ(&sums, false, 1, 7, other, &nf));
    assert_int_equal(nf, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_takes_as_much_as_its_chain_has_nfs),
        cmocka_unit_test(what_takes_most_of_the_memory_is_refused_with_what_helps),
        cmocka_unit_test(the_first_nf_that_differs_is_told),
    };

    return cmocka_run_group_tests_name("sums", tests, NULL, NULL);
}
