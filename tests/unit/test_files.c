/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's files on their way: what is read, what a peer may name, and where it is put. */
#include "node/config/files.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHAIN "chain: { name: x, nfs: [ { firewall: { rules: sub/fw.rules } }, monitor ] }\n"
#define PAIR                                                                                                 \
    "chain: { file: chain.yaml }\nlink: { insecure: true }\nnodes:\n"                                        \
    "  a: { role: primary, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:1, "     \
    "control: a }\n"                                                                                         \
    "  b: { role: standby, ports: { inside: net_null0, outside: net_null1 }, replication: 127.0.0.1:2, "     \
    "control: b }\n"

static char dirs[2][64];

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static const char *text_of(const char *dir, const char *name)
{
    static char text[4096];
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* Two directories, as of two servers. */
static int set_up(void **state)
{
    char path[160];

    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(dirs[i], sizeof(dirs[i]), "/tmp/test-files-XXXXXX");
        assert_non_null(mkdtemp(dirs[i]));
        snprintf(path, sizeof(path), "%s/sub", dirs[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        write_text(dirs[i], "pair.yaml", PAIR);
        write_text(dirs[i], "chain.yaml", CHAIN);
        write_text(dirs[i], "sub/fw.rules", "default allow\n");
    }
    return 0;
}

static int tear_down(void **state)
{
    char command[160];

    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "rm -r '%s'", dirs[i]);
        assert_int_equal(system(command), 0);
    }
    return 0;
}

static struct nd_config *read_pair(int which)
{
    struct ft_fault fault = {""};
    struct nd_config *config;
    char path[128];

    snprintf(path, sizeof(path), "%s/pair.yaml", dirs[which]);
    if (nd_config_read(&config, path, true, &fault))
        fail_msg("%s", fault.text);
    return config;
}

static uint8_t *pack_from(int which, uint32_t *len)
{
    struct nd_config *config = read_pair(which);
    struct ft_fault fault = {""};
    struct nd_files files;
    uint8_t *bytes;

    if (nd_files_read(&files, config, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.list[0].path, "chain.yaml");
    assert_string_equal(files.list[1].path, "sub/fw.rules");
    bytes = nd_files_pack(&files, len);
    nd_files_free(&files);
    nd_config_free(config);
    return bytes;
}

static void test_there_and_back(void **state)
{
    struct ft_fault fault = {""};
    struct nd_config *own, *staged;
    struct nd_files files;
    char path[ND_FILES_STAGED];
    uint32_t len;
    uint8_t *bytes;
    bool same;

    (void)state;
    own = read_pair(1);
    bytes = pack_from(0, &len);
    assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(nd_files_place(&files, own, &same, &fault), 0);
    assert_true(same);
    free(bytes);

    write_text(dirs[0], "sub/fw.rules", "default deny\n");
    bytes = pack_from(0, &len);
    assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(nd_files_place(&files, own, &same, &fault), 0);
    assert_false(same);
    assert_int_equal(nd_files_stage(&files, own, path, &fault), 0);
    assert_string_equal(text_of(dirs[1], "sub/fw.rules"), "default allow\n"); /* not yet */
    assert_int_equal(nd_config_read(&staged, path, true, &fault), 0);
    nd_config_free(staged);
    assert_int_equal(nd_files_install(own, &fault), 0);
    assert_string_equal(text_of(dirs[1], "sub/fw.rules"), "default deny\n");
    assert_string_equal(text_of(dirs[1], "sub/fw.rules.before"), "default allow\n");
    assert_string_equal(text_of(dirs[1], "pair.yaml"), PAIR);
    assert_null(text_of(dirs[1], ".understudy-push/pair.yaml"));
    free(bytes);
    nd_config_free(own);
}

static void test_given_up(void **state)
{
    struct nd_config *own = read_pair(1);
    struct ft_fault fault = {""};
    struct nd_files files;
    char path[ND_FILES_STAGED];
    uint32_t len;
    uint8_t *bytes;

    (void)state;
    write_text(dirs[0], "sub/fw.rules", "default deny\n");
    bytes = pack_from(0, &len);
    assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(nd_files_stage(&files, own, path, &fault), 0);
    nd_files_drop(own);
    assert_null(text_of(dirs[1], ".understudy-push/sub/fw.rules"));
    assert_string_equal(text_of(dirs[1], "sub/fw.rules"), "default allow\n");
    free(bytes);
    nd_config_free(own);
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

/* A set of the peer's, as it may be made by hand. */
static void add_file(uint8_t *bytes, uint32_t *len, const char *path, const char *content)
{
    uint32_t lengths[2] = {(uint32_t)strlen(path), (uint32_t)strlen(content)};

    memcpy(bytes + *len, lengths, sizeof(lengths));
    memcpy(bytes + *len + sizeof(lengths), path, lengths[0]);
    memcpy(bytes + *len + sizeof(lengths) + lengths[0], content, lengths[1]);
    *len += (uint32_t)sizeof(lengths) + lengths[0] + lengths[1];
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

        add_file(bytes, &len, "chain.yaml", "chain: { name: x, modules: [ evil.so ], nfs: [ evil ] }\n");
        add_file(bytes, &len, names[i], "\177ELF\2\1\1");
        assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), FT_EMALFORMED);
        assert_non_null(strstr(fault.text, "is a module or a program"));
    }
}

/* The pair file, with hooks of the peer's, and a key: neither is the chain's. */
static void test_what_the_chain_does_not_name(void **state)
{
    struct nd_config *own = read_pair(1), *staged;
    uint8_t bytes[1024] = {0};
    struct ft_fault fault = {""};
    struct nd_files files;
    char path[ND_FILES_STAGED];
    uint32_t len = 1;
    bool same;

    (void)state;
    add_file(bytes, &len, "chain.yaml", CHAIN);
    add_file(bytes, &len, "pair.yaml", PAIR "hold_down_s: 7\n");
    assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(nd_files_place(&files, own, &same, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "pair.yaml"));

    len = 1;
    add_file(bytes, &len, "chain.yaml", CHAIN);
    add_file(bytes, &len, "sub/fw.rules", "default deny\n");
    add_file(bytes, &len, "pair.key", "another one");
    assert_int_equal(nd_files_unpack(&files, bytes, len, &fault), 0);
    assert_int_equal(nd_files_place(&files, own, &same, &fault), 0);
    assert_int_equal(nd_files_stage(&files, own, path, &fault), 0);
    assert_int_equal(nd_config_read(&staged, path, true, &fault), 0);
    assert_int_equal(nd_files_check_named(&files, staged, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "pair.key"));
    files.count = 2;
    assert_int_equal(nd_files_check_named(&files, staged, &fault), 0);
    nd_files_drop(own);
    nd_config_free(staged);
    nd_config_free(own);
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
    bytes = pack_from(0, &len);
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
             dirs[1]);
    write_text(dirs[0], "chain.yaml", chain);
    config = read_pair(0);
    assert_int_equal(nd_files_read(&files, config, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "not below the pair file's directory"));
    nd_config_free(config);
    write_text(dirs[0], "chain.yaml", CHAIN);
    snprintf(large, sizeof(large), "%s/sub/fw.rules", dirs[0]);
    f = fopen(large, "w");
    for (int i = 0; i < 40000; i++)
        fputs("# as long a line as it takes\n", f);
    fputs("default deny\n", f);
    fclose(f);
    config = read_pair(0);
    assert_int_equal(nd_files_read(&files, config, &fault), FT_EINVAL);
    assert_non_null(strstr(fault.text, "more than 1048576 bytes"));
    nd_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_modules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_chain_does_not_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_does_not_travel, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
