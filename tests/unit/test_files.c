/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files on their way: what is read, what a peer may name, and what travels. */
#include "tests/help/files.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Then what it makes of its own files is the answer, and nothing is written. */
static void test_without_a_permit(void **state)
{
    struct nd_files_job job;

    (void)state;
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(false, &job), 0);
    assert_true(job.next && !job.staged && !job.same);
    nd_files_job_end(&job);
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/sub/fw.rules"));
}

/* Where the chain stands in the pair file none travels, in neither direction. */
static void test_chain_in_the_pair_file(void **state)
{
    char text[1024];
    struct nd_files_job job;
    struct nd_files files;
    struct ft_fault fault;
    uint32_t len;
    uint8_t *bytes, set[512] = {0};

    (void)state;
    snprintf(text, sizeof(text), "%s%s", HELP_FILES_CHAIN, strchr(HELP_FILES_PAIR, '\n') + 1);
    help_files_write(help_files_dir[0], "pair.yaml", text);
    bytes = help_files_pack(0, &len);
    assert_int_equal(len, 1);
    assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(files.count, 0);
    assert_int_equal(help_files_do(ND_FILES_TAKE, bytes, len, true, &job), 0);
    assert_true(job.next && !job.staged && !job.same && !job.travels);
    nd_files_job_end(&job);

    help_files_write(help_files_dir[0], "pair.yaml", HELP_FILES_PAIR);
    help_files_write(help_files_dir[1], "pair.yaml", text);
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    assert_int_equal(help_files_take(true, &job), 0);
    assert_true(job.next && !job.staged && !job.travels);
    nd_files_job_end(&job);

    set[0] = 1; /* of one that lies: a pair file with hooks and another user */
    len = 1;
    help_files_add(set, &len, "pair.yaml", "evil");
    assert_string_equal(help_files_why_not(set, len), "");
    assert_string_equal(help_files_text(help_files_dir[1], "pair.yaml"), text);
}

/* One file by this path. */
static int unpack_path(const char *path)
{
    uint8_t bytes[512] = {0};
    uint32_t lengths[2] = {(uint32_t)strlen(path), 1};
    struct ft_fault fault = {""};
    struct nd_files files;

    memcpy(bytes + 1, lengths, sizeof(lengths));
    memcpy(bytes + 1 + sizeof(lengths), path, lengths[0]);
    return nd_files_unpack(&files, bytes, (uint32_t)(1 + sizeof(lengths)) + lengths[0] + 1, &fault);
}

/* Nothing that would be loaded as a module, whatever it is called. */
static void test_modules(void **state)
{
    static const char *const names[] = {"evil.so", "sub/fw.rules", "x"};
    uint8_t bytes[512] = {0};
    struct ft_fault fault = {""};
    struct nd_files files;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint32_t len = 1;

        help_files_add(bytes, &len, "chain.yaml",
                       "chain: { name: x, modules: [ evil.so ], nfs: [ evil ] }\n");
        help_files_add(bytes, &len, names[i], "\177ELF\2\1\1");
        assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), FT_EMALFORMED);
        assert_non_null(strstr(fault.text, "is a module or a program"));
    }
}

/* What was read is what counts: rules, their hash and what travels are of the same bytes. */
static void test_file_changed_behind_it(void **state)
{
    struct nd_config *config = help_files_pair(0);
    struct ft_fault fault;
    struct nd_files files;
    char before[2048], after[2048];

    (void)state;
    nf_chain_identity(&config->chain, before, sizeof(before));
    help_files_write(help_files_dir[0], "sub/fw.rules", "default deny\n");
    help_files_write(help_files_dir[0], "chain.yaml", "another one");
    nf_chain_identity(&config->chain, after, sizeof(after));
    assert_string_equal(before, after);
    assert_int_equal(nd_files_of(&files, config, &fault), 0);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.list[0].path, "chain.yaml");
    assert_memory_equal(files.list[0].bytes, HELP_FILES_CHAIN, sizeof(HELP_FILES_CHAIN) - 1);
    assert_string_equal(files.list[1].path, "sub/fw.rules");
    assert_memory_equal(files.list[1].bytes, "default allow\n", files.list[1].len);
    nd_config_free(config);
}

/* The pair file, with hooks of the peer's, and a key: neither is the chain's. */
static void test_what_the_chain_does_not_name(void **state)
{
    uint8_t bytes[1024] = {0};
    uint32_t len = 1;

    (void)state;
    help_files_add(bytes, &len, "chain.yaml", HELP_FILES_CHAIN);
    help_files_add(bytes, &len, "pair.yaml", HELP_FILES_PAIR "hold_down_s: 7\n");
    assert_non_null(strstr(help_files_why_not(bytes, len), "pair.yaml: it is this node's pair file"));

    len = 1;
    help_files_add(bytes, &len, "chain.yaml", HELP_FILES_CHAIN);
    help_files_add(bytes, &len, "sub/fw.rules", "default deny\n");
    assert_string_equal(help_files_why_not(bytes, len), "");
    help_files_add(bytes, &len, "pair.key", "another one");
    assert_non_null(strstr(help_files_why_not(bytes, len), "pair.key: the chain does not name it"));
    assert_null(help_files_text(help_files_dir[1], ".understudy-push/pair.key"));
}

static void test_paths(void **state)
{
    static const char *const bad[] = {"/etc/passwd", "../x",     "a/../x", "",    ".hidden", "a/.hidden",
                                      "a//b",        "a/",       "a b",    "a\n", "~",       "a/../../b",
                                      "..",          "x/..yaml", "$x",     "\xff"};

    (void)state;
    assert_int_equal(unpack_path("chain.yaml"), 0);
    assert_int_equal(unpack_path("sub/fw-1_2.rules"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (unpack_path(bad[i]) != FT_EMALFORMED)
            fail_msg("\"%s\" was taken", bad[i]);
}

/* Cut short anywhere, or with any byte another: it is taken or refused, and nothing is read beyond it. */
static void test_damage(void **state)
{
    struct ft_fault fault = {""};
    struct nd_files files;
    uint32_t len, taken = 0;
    uint8_t *bytes, *copy;

    (void)state;
    bytes = help_files_pack(0, &len);
    for (uint32_t n = 0; n < len; n++) {
        copy = malloc(n ? n : 1); /* so that a sanitizer sees its end */
        memcpy(copy, bytes, n);
        taken += nd_files_unpack(&files, copy, n, &fault) == 0;
        free(copy);
    }
    assert_int_equal(taken, 1); /* behind the first file */
    for (uint32_t n = 0; n < len; n++) {
        copy = malloc(len);
        memcpy(copy, bytes, len);
        copy[n] ^= 0x80;
        if (nd_files_unpack(&files, copy, len, &fault) == 0)
            for (uint32_t i = 0; i < files.count; i++)
                assert_true(files.list[i].bytes + files.list[i].len <= copy + len);
        free(copy);
    }
    free(bytes);
}

/* What lies elsewhere does not travel; nor does more than there is room for. */
static void test_what_does_not_travel(void **state)
{
    struct nd_config *config;
    struct ft_fault fault = {""};
    struct nd_files files;
    char chain[256], large[160];
    FILE *f;

    (void)state;
    snprintf(chain, sizeof(chain), "chain: { name: x, nfs: [ { firewall: { rules: %s/sub/fw.rules } } ] }\n",
             help_files_dir[1]);
    help_files_write(help_files_dir[0], "chain.yaml", chain);
    config = help_files_pair(0);
    assert_int_equal(nd_files_of(&files, config, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "not below the pair file's directory"));
    nd_config_free(config);
    help_files_write(help_files_dir[0], "chain.yaml", HELP_FILES_CHAIN);
    snprintf(large, sizeof(large), "%s/sub/fw.rules", help_files_dir[0]);
    f = fopen(large, "w");
    for (int i = 0; i < 40000; i++)
        fputs("# as long a line as it takes\n", f);
    fputs("default deny\n", f);
    fclose(f);
    config = help_files_pair(0);
    assert_int_equal(nd_files_of(&files, config, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "more than 1048576 bytes"));
    nd_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_FILES_CASE(test_without_a_permit),
        HELP_FILES_CASE(test_chain_in_the_pair_file),
        HELP_FILES_CASE(test_modules),
        HELP_FILES_CASE(test_file_changed_behind_it),
        HELP_FILES_CASE(test_what_the_chain_does_not_name),
        HELP_FILES_CASE(test_paths),
        HELP_FILES_CASE(test_damage),
        HELP_FILES_CASE(test_what_does_not_travel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
