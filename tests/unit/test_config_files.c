/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are no configuration, or a damaged one, are refused with their position, and nothing stays
 * allocated.
 */
#include "tests/help/refusal.h"
#include "tests/help/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A mistake in a file that is referred to is named there. */
static void a_mistake_in_a_file_referred_to_is_named_there(void **state)
{
    static const struct refusal cases[] = {
        {"chain: {file: other.yaml}\n", "other.yaml:3: chain lanes is 0, expected a number from 1 to 16"},
        {"chain:\n  file: none.yaml\n",
         "t.yaml:2: chain file is none.yaml (No such file or directory), expected a readable file"},
        {"chain:\n  file: other.yaml\n  name: x\n",
         "t.yaml:3: unknown key \"name\" in chain, expected one of file"},
        {"chain: {file: circle.yaml}\n",
         "circle.yaml:2: a second reference to a chain file, expected the chain itself"},
        {"chain: {file: rules.yaml}\n", "the.rules:7: no rule, expected one"},
    };
    static const char other[] = "chain:\n  name: x\n  lanes: 0\n  nfs: [bare]\n";
    static const char circle[] = "chain:\n  file: circle.yaml\n";
    static const char rules[] = "chain: {name: x, nfs: [probe: {number: 14, rules: the.rules}]}\n";
    char text[300];

    (void)state;
    help_config_file("other.yaml", other, strlen(other));
    help_config_file("circle.yaml", circle, strlen(circle));
    help_config_file("rules.yaml", rules, strlen(rules));
    help_config_file("the.rules", "x", 1);
    REFUSE_ALL(cases);
    snprintf(text, sizeof(text), "chain:\n  name: x\n  nfs: [bare]\n  modules:\n  - the.rules\n");
    assert_non_null(strstr(help_config_refusal(help_config_file("t.yaml", text, strlen(text)), false),
                           "t.yaml:5: cannot load the module ("));
}

static void what_is_not_yaml_is_refused(void **state)
{
    static const struct refusal cases[] = {
        {"chain:\n\tname: x\n",
         "t.yaml:2: not YAML: found character that cannot start any token (while scanning for "
         "the next token)"},
        {"a: [1, 2\nb: 3\n",
         "t.yaml:2: not YAML: did not find expected ',' or ']' (while parsing a flow sequence)"},
        {"a: &x 1\n", "t.yaml:1: an anchor, alias or tag, expected a plain value"},
        {"a: 1\nb: *x\n", "t.yaml:2: an anchor, alias or tag, expected a plain value"},
        {"a: !!str 1\n", "t.yaml:1: an anchor, alias or tag, expected a plain value"},
        {CHAIN "---\n" CHAIN, "t.yaml:2: a second document, expected one"},
        {"a: \"x\\ny\"\n", "t.yaml:1: text with a line end or control character, expected one line"},
        {"a: \"x\\0y\"\n", "t.yaml:1: text with a line end or control character, expected one line"},
        {"a: 1\nb: \xff\n", "t.yaml:2: not YAML: invalid leading UTF-8 octet, expected UTF-8 text"},
        {"a:\n [[[[[[[[[[[[[[[[[[[[[[[[", "t.yaml:2: nested more than 16 deep, expected less"},
    };
    const char *dir = help_config_dir();
    char *large = malloc((1u << 20) + 1);

    (void)state;
    REFUSE_ALL(cases);
    assert_non_null(large);
    memset(large, '#', (1u << 20) + 1);
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", large, (1u << 20) + 1), false),
                        "t.yaml: larger than 1 MiB, expected a configuration");
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", large, 1u << 20), false),
                        "t.yaml:1: empty file, expected a configuration");
    free(large);
    assert_string_equal(
        help_config_refusal("/nonexistent/x.yaml", false),
        "/nonexistent/x.yaml: cannot be opened (No such file or directory), expected a readable file");
    assert_non_null(strstr(help_config_refusal(dir, false), "not a regular file, expected a configuration"));
}

/* Nodes compare chains by their text, and what it has no room for would be no difference. */
static void a_chain_that_is_too_long_to_compare_is_refused(void **state)
{
    static char text[9000];
    int n = snprintf(text, sizeof(text), "chain: {name: x, nfs: [probe: {text: ");

    (void)state;
    memset(text + n, 'x', 7000);
    snprintf(text + n + 7000, sizeof(text) - (size_t)n - 7000, "}]}\n");
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", text, strlen(text)), false), "");
    memset(text + n, 'x', 8000);
    snprintf(text + n + 8000, sizeof(text) - (size_t)n - 8000, "}]}\n");
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", text, strlen(text)), false),
                        "t.yaml:1: chain has settings of 7680 bytes as text, expected fewer");
}

/* A pipe without a writer, wherever a file is named. */
static void what_is_no_regular_file_is_refused(void **state)
{
    static const struct refusal cases[] = {
        {"chain: {name: x, nfs: [probe: {rules: pipe}]}\n",
         "t.yaml:1: probe rules is pipe (not a regular file), expected a readable file"},
        {"chain: {name: x, nfs: [probe: {rules: .}]}\n",
         "t.yaml:1: probe rules is . (not a regular file), expected a readable file"},
        {"chain: {file: pipe}\n",
         "t.yaml:1: chain file is pipe (not a regular file), expected a readable file"},
    };
    char path[300];

    (void)state;
    snprintf(path, sizeof(path), "%s/pipe", help_config_dir());
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    assert_string_equal(help_config_refusal(path, false),
                        "pipe: not a regular file, expected a configuration");
    REFUSE_ALL(cases);
    alarm(0);
}

/* What decides which packets pass is believed as the file that names it. */
static void rules_that_others_may_write_to_are_refused(void **state)
{
    static const char text[] = "chain: {name: x, nfs: [probe: {number: 14, rules: open.rules}]}\n";
    char path[300];
    const char *refusal;

    (void)state;
    snprintf(path, sizeof(path), "%s", help_config_file("open.rules", "x", 1));
    assert_int_equal(chmod(path, 0646), 0);
    refusal = help_config_refusal(help_config_file("t.yaml", text, strlen(text)), false);
    assert_non_null(strstr(refusal, "t.yaml:1: "));
    assert_non_null(strstr(refusal, "/open.rules: owner "));
    assert_non_null(strstr(refusal, ", mode 0646, expected owner root"));
}

static void too_many_entries_are_refused(void **state)
{
    size_t size = 5000 * 3 + 16, used = 0;
    char *text = malloc(size);

    (void)state;
    assert_non_null(text);
    used += (size_t)snprintf(text, size, "a: [");
    for (int i = 0; i < 5000; i++)
        used += (size_t)snprintf(text + used, size - used, "1, ");
    snprintf(text + used, size - used, "]\n");
    assert_string_equal(help_config_refusal(help_config_file("t.yaml", text, strlen(text)), false),
                        "t.yaml:1: more than 4096 entries, expected fewer");
    free(text);
}

/* A refusal has a position and a reason: "t.yaml:LINE: what", LINE within the file. */
static unsigned check_mutant(const char *text, size_t len, unsigned lines)
{
    const char *said = help_config_refusal(help_config_file("t.yaml", text, len), true);
    unsigned line = 0;

    assert_int_equal(help_probe_live, 0);
    if (!*said)
        return 0;
    if (sscanf(said, "t.yaml:%u: ", &line) != 1 || line < 1 || line > lines)
        fail_msg("no position: %s", said);
    return 1;
}

/* Every prefix of the sample, and the sample without any one of its bytes. */
static void each_mutant_is_read_or_refused_by_position(void **state)
{
    char *sample = help_config_slurp(SAMPLE), *text;
    size_t len = strlen(sample);
    unsigned lines = 0, refused = 0;

    (void)state;
    text = malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        lines += sample[i] == '\n';
    for (size_t cut = 0; cut < len; cut++)
        refused += check_mutant(sample, cut, lines);
    assert_true(refused > len * 9 / 10); /* the last section may be missing */
    for (size_t out = 0; out < len; out++) {
        memcpy(text, sample, out);
        memcpy(text + out, sample + out + 1, len - out - 1);
        refused += check_mutant(text, len - 1, lines);
    }
    free(text);
    free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_in_a_file_referred_to_is_named_there),
        cmocka_unit_test(what_is_not_yaml_is_refused),
        cmocka_unit_test(a_chain_that_is_too_long_to_compare_is_refused),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(rules_that_others_may_write_to_are_refused),
        cmocka_unit_test(too_many_entries_are_refused),
        cmocka_unit_test(each_mutant_is_read_or_refused_by_position),
    };

    return cmocka_run_group_tests_name("config_files", tests, NULL, help_config_clean);
}
