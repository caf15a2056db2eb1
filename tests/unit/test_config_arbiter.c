/* SPDX-License-Identifier: Apache-2.0 */
/* What a pair file says of an arbiter, and what it may not say. */
#include "tests/help/config.h"
#include "tests/help/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A pair with `line` as line 7, and `more` lines behind it. */
#define WITH(line, more)                                                                                     \
    "chain: {name: x, nfs: [bare]}\n"                                                                        \
    "link: {insecure: true}\n"                                                                               \
    "nodes:\n"                                                                                               \
    "  b: {role: standby, ports: {inside: i, outside: o}, replication: \"1.0.0.2:1\", control: b}\n"         \
    "  a: {role: primary, ports: {inside: i, outside: o}, replication: \"1.0.0.1:1\", control: a}\n"         \
    "\n" line "\n" more
#define ARBITER(text) WITH("arbiter: {" text "}", "")
#define T31           "0123456789abcdef0123456789abcde"
#define T63           T31 "-" T31
#define T127          T63 "-" T63

static struct nd_config *read_text(const char *text)
{
    struct nd_config *config;
    struct ft_fault fault;

    if (nd_config_read(&config, help_config_file("t.yaml", text, strlen(text)), ND_CONFIG_NODES, &fault) != 0)
        fail_msg("%s", fault.text);
    return config;
}

static void everything_that_may_be_said_is_read(void **state)
{
    struct nd_config *c = read_text(
        ARBITER("etcd: [ https://one.example:2379, 'https://[2001:db8::1]:2379/' ], key: pairs/7, ca: ca.pem,"
                " cert: /etc/n.pem, cert_key: n.key, user: pair, password_file: secrets/etcd"));
    const struct nd_etcd_config *a = &c->arbiter;
    char beside[256];

    (void)state;
    assert_int_equal(a->urls, 2);
    assert_string_equal(a->url[0], "https://one.example:2379");
    assert_string_equal(a->url[1], "https://[2001:db8::1]:2379"); /* paths are ours */
    assert_string_equal(a->key, "pairs/7");
    assert_string_equal(a->cert, "/etc/n.pem");
    assert_string_equal(a->user, "pair");
    snprintf(beside, sizeof(beside), "%s/secrets/etcd", help_config_dir());
    assert_string_equal(a->password_file, beside);
    snprintf(beside, sizeof(beside), "%s/ca.pem", help_config_dir());
    assert_string_equal(a->ca, beside);
    snprintf(beside, sizeof(beside), "%s/n.key", help_config_dir());
    assert_string_equal(a->cert_key, beside);
    nd_config_free(c);
}

static void what_is_not_said_has_its_default(void **state)
{
    struct nd_config *c = read_text(ARBITER("etcd: [ http://10.0.0.1:2379 ]"));

    (void)state;
    assert_string_equal(c->arbiter.key, "understudy/x/a-b"); /* whatever the order in the file */
    assert_string_equal(c->arbiter.ca, "");
    assert_string_equal(c->arbiter.cert, "");
    assert_string_equal(c->arbiter.user, "");
    assert_string_equal(c->arbiter.password_file, "");
    nd_config_free(c);
    c = read_text(WITH("", ""));
    assert_int_equal(c->arbiter.urls, 0);
    nd_config_free(c);
}

#define URL "etcd: [ https://h:1 ]"

static void what_is_wrong_is_refused_by_position(void **state)
{
    static const struct refusal cases[] = {
        {CHAIN "arbiter: {" URL "}\n", "t.yaml:2: arbiter in a file without nodes, expected a pair file"},
        {WITH("arbiter: {" URL "}", "protect: {strict: true}\n"),
         "t.yaml:7: arbiter beside strict: true, expected one of them: a strict pair never releases alone, "
         "so there is nothing to decide"},
        {WITH("arbiter: https://h:1", ""), "t.yaml:7: arbiter is https://h:1, expected a map of settings"},
        {ARBITER(""), "t.yaml:7: arbiter etcd is missing, expected a list of at most 5 entries"},
        {ARBITER("key: k"), "t.yaml:7: arbiter etcd is missing, expected a list of at most 5 entries"},
        {ARBITER("etcd: https://h:1"),
         "t.yaml:7: arbiter etcd is https://h:1, expected a list of at most 5 entries"},
        {ARBITER("etcd: []"), "t.yaml:7: arbiter etcd is empty, expected 1 to 5 URLs"},
        {ARBITER("etcd: [http://a, http://b, http://c, http://d, http://e, http://f]"),
         "t.yaml:7: arbiter etcd is a list, expected a list of at most 5 entries"},
        {ARBITER("etcd: [ h:1 ]"),
         "t.yaml:7: arbiter etcd \"h:1\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'ftp://h' ]"),
         "t.yaml:7: arbiter etcd \"ftp://h\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'https://' ]"),
         "t.yaml:7: arbiter etcd \"https:/\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'https://h:1/v3' ]"),
         "t.yaml:7: arbiter etcd \"https://h:1/v3\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ 'https://user:secret@h:1' ]"),
         "t.yaml:7: arbiter etcd has a user, expected https://HOST:PORT: names go into user, passwords into "
         "a "
         "file (password_file)"},
        {WITH("arbiter:\n  etcd:\n  - https://h:1\n  - 'https://h:1?x'", ""),
         "t.yaml:10: arbiter etcd \"https://h:1?x\", expected http://HOST:PORT or https://HOST:PORT"},
        {ARBITER("etcd: [ {} ]"),
         "t.yaml:7: arbiter etcd entry is a map, expected text of 1 to 191 characters"},
        {ARBITER("etcd: [ https://" T127 T63 " ]"),
         "t.yaml:7: arbiter etcd entry is https://" T31 "-0123456789abcdef0123, expected text of 1 to 191 "
         "characters"},
    };

    (void)state;
    REFUSE_ALL(cases);
}

static void settings_that_do_not_fit_are_refused(void **state)
{
    static const struct refusal cases[] = {
        {ARBITER(URL ", key: " T127 "-"),
         "t.yaml:7: arbiter key is " T31
         "-0123456789abcdef0123456789ab, expected text of 1 to 127 characters"},
        {ARBITER(URL ", cert: c.pem"),
         "t.yaml:7: arbiter has one of cert and cert_key, expected both or none"},
        {ARBITER(URL ", cert_key: c.key"),
         "t.yaml:7: arbiter has one of cert and cert_key, expected both or none"},
        {ARBITER(URL ", user: pair"),
         "t.yaml:7: arbiter has one of user and password_file, expected both or none"},
        {ARBITER(URL ", password_file: f"),
         "t.yaml:7: arbiter has one of user and password_file, expected both or none"},
        {ARBITER(URL ", user: pair, password: secret"),
         "t.yaml:7: unknown key \"password\" in arbiter, expected one of etcd, key, ca, cert, cert_key, "
         "user, "
         "password_file"},
        {ARBITER(URL ", user: \"p\\ta\", password_file: f"),
         "t.yaml:7: text with a line end or control character, expected one line"},
        {ARBITER(URL ", user: " T63 "x, password_file: f"),
         "t.yaml:7: arbiter user is " T31
         "-0123456789abcdef0123456789ab, expected text of 1 to 63 characters"},
        {ARBITER("etcd: [ https://h:1, http://h:1 ], user: pair, password_file: f"),
         "t.yaml:7: arbiter etcd \"http://h:1\" with a user, expected https://HOST:PORT: else whoever is on "
         "the "
         "way reads the password"},
        {ARBITER(URL ", ca: ''"), "t.yaml:7: arbiter ca is \"\", expected text of 1 to 191 characters"},
    };

    (void)state;
    REFUSE_ALL(cases);
}

/* Of a path that is too long with its directory before it, each is named. */
static void a_path_that_is_too_long_is_refused(void **state)
{
    static const char *const keys[] = {"ca", "cert", "cert_key", "password_file"};
    char text[2048], expected[128];

    (void)state;
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *with = i == 1 ? ", cert_key: k" : i == 2 ? ", cert: c" : i == 3 ? ", user: u" : "";

        snprintf(text, sizeof(text), ARBITER("etcd: [ https://h:1 ], %s: %s%s"), keys[i], T127 T63, with);
        snprintf(expected, sizeof(expected), "t.yaml:7: arbiter %s is a path of ", keys[i]);
        const char *said = help_config_refusal(help_config_file("t.yaml", text, strlen(text)), true);

        assert_non_null(strstr(said, expected));
        assert_non_null(strstr(said, " bytes, expected less than 192"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_may_be_said_is_read),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(what_is_wrong_is_refused_by_position),
        cmocka_unit_test(settings_that_do_not_fit_are_refused),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests_name("config_arbiter", tests, NULL, help_config_clean);
}
