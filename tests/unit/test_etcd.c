/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arbiter's client makes of an etcd: users and tokens, servers that are not there, or of another
 * cluster, others who write. The server is tests/help/etcd.h; the real one is in
 * tests/lab/arbiter*.t.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/arbiter/etcd.h"
#include "tests/help/config.h"
#include "tests/help/etcd.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECRET "a \"quoted\" pass\\word"
#define JSON   "a \\\"quoted\\\" pass\\\\word"

static struct help_etcd server;
static struct nd_etcd_config config;
static struct nd_etcd *etcd;
static struct ft_decision kept;
static struct ft_fault fault;

static void use_password(const char *text, size_t len, mode_t mode)
{
    const char *path = help_config_file("password", text, len);

    assert_int_equal(chmod(path, mode), 0);
    snprintf(config.password_file, sizeof(config.password_file), "%s", path);
}

static int set_up(void **state)
{
    (void)state;
    help_etcd_open(&server);
    config = (struct nd_etcd_config){.urls = 1, .key = "understudy/a-b"};
    snprintf(config.url[0], sizeof(config.url[0]), "%s", server.url);
    fault.text[0] = '\0';
    return nd_etcd_open(&etcd, &config, NULL, NULL, &fault);
}

static int tear_down(void **state)
{
    (void)state;
    nd_etcd_close(etcd);
    help_etcd_close(&server);
    return 0;
}

static void have_user(void)
{
    server.user = "pair";
    server.password = JSON;
    snprintf(config.user, sizeof(config.user), "pair");
    use_password(SECRET "\n", sizeof(SECRET), 0600);
}

static int decide(uint64_t view, uint64_t number, const char *who)
{
    const struct ft_era era = {view, number};

    return nd_etcd_decide(etcd, &era, who, &kept, &fault);
}

static int look(void)
{
    return nd_etcd_decide(etcd, NULL, "", &kept, &fault);
}

/* The fault, without the server's name before it. */
static const char *said(void)
{
    size_t len = strlen(server.url);

    return strncmp(fault.text, server.url, len) == 0 ? fault.text + len : fault.text;
}

static void an_era_has_one_winner(void **state)
{
    (void)state;
    assert_int_equal(look(), 0);
    assert_false(kept.any);
    assert_int_equal(decide(3, 50, "b"), 0);
    assert_string_equal(kept.winner, "b");
    assert_int_equal(decide(3, 50, "a"), 0); /* the same era: the answer is the first one's */
    assert_string_equal(kept.winner, "b");
    assert_int_equal(decide(3, 49, "a"), 0); /* an older one: its time is over */
    assert_string_equal(kept.winner, "b");
    assert_int_equal(kept.era.number, 50);
    assert_int_equal(server.puts, 1);
    assert_int_equal(decide(4, 1, "a"), 0);
    assert_string_equal(kept.winner, "a");
}

static void who_is_overtaken_looks_again(void **state)
{
    (void)state;
    assert_int_equal(decide(3, 49, "a"), 0);
    server.others = 2;
    assert_int_equal(decide(3, 50, "b"), 0);
    assert_string_equal(kept.winner, "b");
    assert_int_equal(server.puts, 4);
    server.others = 1000;
    assert_int_equal(decide(3, 51, "b"), FT_EIO);
    assert_string_equal(said(), ": understudy/a-b was changed by others 5 times while it was read");
}

static void a_user_logs_in_once(void **state)
{
    (void)state;
    have_user();
    assert_int_equal(decide(3, 50, "b"), 0);
    assert_int_equal(look(), 0);
    assert_string_equal(kept.winner, "b");
    assert_int_equal(server.logins, 1);
}

static void a_token_that_has_expired_is_renewed(void **state)
{
    (void)state;
    have_user();
    assert_int_equal(look(), 0);
    server.token += 7;
    assert_int_equal(decide(3, 50, "b"), 0);
    assert_int_equal(server.logins, 2);
    assert_string_equal(kept.winner, "b");
}

static void a_new_token_that_is_refused_is_not_renewed(void **state)
{
    (void)state;
    have_user();
    assert_int_equal(look(), 0);
    server.refuses = true;
    assert_int_equal(look(), FT_EIO);
    assert_string_equal(said(), "/v3/kv/range: status 401 (etcdserver: invalid auth token), expected 200");
    assert_int_equal(server.logins, 2);
    assert_int_equal(look(), FT_EIO); /* has none to begin with */
    assert_int_equal(server.logins, 3);
    server.refuses = false;
    assert_int_equal(look(), 0);
}

static unsigned asked;

/* The first time is before a request, the second one in it. */
static bool stops_in_midst(void *arg)
{
    (void)arg;
    return ++asked == 2;
}

static void a_token_stays_when_a_request_is_given_up(void **state)
{
    (void)state;
    have_user();
    nd_etcd_close(etcd);
    asked = 1000;
    assert_int_equal(nd_etcd_open(&etcd, &config, stops_in_midst, NULL, &fault), 0);
    assert_int_equal(look(), 0);
    asked = 0;
    server.delay_ms = 200; /* so that there is a middle */
    assert_int_equal(look(), FT_EBUSY);
    server.delay_ms = 0;
    assert_int_equal(look(), 0);
    assert_int_equal(server.logins, 1);
}

/* Of a token that etcd cannot judge it does not answer at all. */
static void a_token_that_gets_no_answer_goes(void **state)
{
    (void)state;
    have_user();
    assert_int_equal(look(), 0);
    server.delay_ms = 1300;
    assert_int_equal(look(), FT_EIO);
    server.delay_ms = 0;
    assert_int_equal(look(), 0);
    assert_int_equal(server.logins, 2);
}

static void what_etcd_says_of_a_login_is_said(void **state)
{
    (void)state;
    have_user();
    use_password("wrong", 5, 0400);
    assert_int_equal(look(), FT_EIO);
    assert_string_equal(said(),
                        "/v3/auth/authenticate: status 400 (etcdserver: authentication failed, invalid "
                        "user ID or password), expected 200");
    assert_int_equal(server.logins, 1);
    use_password(SECRET, sizeof(SECRET) - 1, 0600); /* the file is read each time; no line end is needed */
    assert_int_equal(look(), 0);
    server.user = NULL; /* users are switched off */
    assert_int_equal(look(), FT_EIO);
    assert_string_equal(said(),
                        "/v3/auth/authenticate: status 412 (etcdserver: authentication is not enabled), "
                        "expected 200");
}

static void a_password_that_is_none_is_not_sent(void **state)
{
    static char long_one[300];
    const struct {
        const char *text;
        size_t len;
        mode_t mode;
        const char *said;
    } rows[] = {
        {"secret\n", 7, 0640, ": mode 0640, expected 0600: nobody else may read a password"},
        {"secret\n", 7, 0604, ": mode 0604, expected 0600: nobody else may read a password"},
        {"", 0, 0600, ": no password, expected one line of 1 to 254 bytes"},
        {"\n", 1, 0600, ": no password, expected one line of 1 to 254 bytes"},
        {"one\ntwo\n", 8, 0600, ": no password, expected one line of 1 to 254 bytes"},
        {"sec\0ret\n", 8, 0600, ": no password, expected one line of 1 to 254 bytes"},
        {"secret\r\n", 8, 0600, ": no password, expected one line of 1 to 254 bytes"},
        {long_one, sizeof(long_one), 0600, ": no password, expected one line of 1 to 254 bytes"},
        {long_one, 256, 0600, ": no password, expected one line of 1 to 254 bytes"},
    };

    (void)state;
    memset(long_one, 'x', sizeof(long_one));
    have_user();
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        use_password(rows[i].text, rows[i].len, rows[i].mode);
        assert_true(look() < 0);
        assert_string_equal(fault.text + strlen(config.password_file), rows[i].said);
        assert_null(strstr(fault.text, "ret"));
    }
    unlink(config.password_file);
    assert_int_equal(look(), FT_EIO);
    assert_string_equal(fault.text + strlen(config.password_file), ": No such file or directory");
    assert_int_equal(mkdir(config.password_file, 0700), 0);
    assert_int_equal(look(), FT_EMALFORMED);
    assert_string_equal(fault.text + strlen(config.password_file),
                        ": not a regular file, expected the arbiter's password in one");
    rmdir(config.password_file);
    assert_int_equal(server.logins, 0);
}

static void servers_are_asked_in_turn(void **state)
{
    struct help_etcd second;

    (void)state;
    help_etcd_open(&second);
    config.urls = 2;
    snprintf(config.url[1], sizeof(config.url[1]), "%s", second.url);
    assert_int_equal(look(), 0);
    assert_int_equal(second.looks, 0);
    snprintf(config.url[0], sizeof(config.url[0]), "http://127.0.0.1:1");
    assert_int_equal(look(), 0);
    assert_string_equal(nd_etcd_server(etcd), second.url);
    snprintf(config.url[0], sizeof(config.url[0]), "%s", server.url);
    assert_int_equal(look(), 0); /* who answered last is asked first */
    assert_int_equal(second.looks, 2);
    help_etcd_close(&second);
}

/* Two servers that are no cluster would each let another node go on. */
static void servers_of_another_cluster_are_not_believed(void **state)
{
    struct help_etcd second;
    char expected[200];

    (void)state;
    help_etcd_open(&second);
    second.cluster = 2;
    config.urls = 2;
    snprintf(config.url[1], sizeof(config.url[1]), "%s", second.url);
    assert_int_equal(nd_etcd_cluster(etcd), 0);
    assert_int_equal(decide(3, 50, "a"), 0);
    assert_int_equal(nd_etcd_cluster(etcd), 1);
    snprintf(config.url[0], sizeof(config.url[0]), "http://127.0.0.1:1");
    assert_int_equal(decide(3, 51, "a"), FT_EIO);
    snprintf(expected, sizeof(expected),
             "%s: of cluster 2, expected 1: all URLs of both nodes name one cluster", second.url);
    assert_string_equal(fault.text, expected);
    assert_int_equal(second.puts, 0);
    nd_etcd_expect(etcd, 2); /* as the primary's */
    assert_int_equal(decide(3, 51, "a"), 0);
    snprintf(config.url[1], sizeof(config.url[1]), "%s", server.url);
    assert_int_equal(look(), FT_EIO);
    nd_etcd_expect(etcd, 0);
    assert_int_equal(look(), 0);
    assert_int_equal(nd_etcd_cluster(etcd), 1);
    help_etcd_close(&second);
}

/* ---- names ----------------------------------------------------------------------------------------- */

static _Atomic bool resolves, resolved;

/* In place of the C library's: the name is not found before the test lets it, or a long time is over. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    if (!node || strcmp(node, "slow.test") != 0) {
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        return real(node, service, hints, out);
    }
    for (unsigned ms = 0; ms < 20000 && !resolves; ms++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    resolved = true;
    return EAI_NONAME;
}

static void let_resolve(void)
{
    resolves = true;
    while (!resolved)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void a_name_that_is_not_found_keeps_nobody(void **state)
{
    (void)state;
    resolves = resolved = false;
    config.urls = 2;
    snprintf(config.url[0], sizeof(config.url[0]), "http://slow.test:2379");
    snprintf(config.url[1], sizeof(config.url[1]), "%s", server.url);
    assert_int_equal(look(), 0);
    assert_false(resolved);
    assert_string_equal(nd_etcd_server(etcd), server.url);
    let_resolve();
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(an_era_has_one_winner),
        WITH_SERVER(who_is_overtaken_looks_again),
        WITH_SERVER(a_user_logs_in_once),
        WITH_SERVER(a_token_that_has_expired_is_renewed),
        WITH_SERVER(a_new_token_that_is_refused_is_not_renewed),
        WITH_SERVER(a_token_that_gets_no_answer_goes),
        WITH_SERVER(a_token_stays_when_a_request_is_given_up),
        WITH_SERVER(what_etcd_says_of_a_login_is_said),
        WITH_SERVER(a_password_that_is_none_is_not_sent),
        WITH_SERVER(servers_are_asked_in_turn),
        WITH_SERVER(servers_of_another_cluster_are_not_believed),
        WITH_SERVER(a_name_that_is_not_found_keeps_nobody),
    };

    return cmocka_run_group_tests_name("etcd", tests, NULL, help_config_clean);
}
