/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arbiter's thread and its client make of an etcd: users and tokens, servers that are not there,
 * others who write, answers that come late. The server is tests/unit/help_etcd.h; the real one is in
 * tests/lab/arbiter*.t.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/arbiter/arbiter.h"
#include "tests/unit/help_config.h"
#include "tests/unit/help_etcd.h"

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
static const _Atomic bool ends;
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
    return nd_etcd_open(&etcd, &config, &ends, &fault);
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
    assert_int_equal(look(), FT_EIO);
    assert_string_equal(fault.text + strlen(config.password_file),
                        ": not a file, expected the arbiter's password in one");
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

/* ---- the thread ---------------------------------------------------------------------------------- */

static bool heard(struct nd_arbiter *a, unsigned ms, struct ft_era *era, enum ft_answer *answer)
{
    for (; ms; ms--) {
        if (nd_arbiter_answer(a, era, answer))
            return true;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return false;
}

static void await_puts(unsigned puts)
{
    while (server.puts < puts)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* Each put takes 300 ms here: its question is another one, or none any more, when it is done. */
static void an_answer_to_an_earlier_question_is_nobodys(void **state)
{
    struct ft_era first = {3, 50}, second = {3, 51}, era = {0, 0};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct nd_arbiter *a;

    (void)state;
    assert_int_equal(nd_arbiter_start(&a, &config, "a", &fault), 0);
    nd_arbiter_ask(a, &first);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_WON);
    assert_false(nd_arbiter_answer(a, &era, &answer)); /* once */
    server.delay_ms = 300;
    second.number = 60;
    nd_arbiter_ask(a, &second);
    while (server.looks < 3)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    nd_arbiter_ask(a, NULL);
    await_puts(2);
    assert_false(heard(a, 700, &era, &answer));

    first.number = 70;
    second.number = 65; /* an era that is over by then */
    nd_arbiter_ask(a, &first);
    await_puts(3);
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* the answer, WON, lies there */
    nd_arbiter_ask(a, &second);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(era.number, 65);
    assert_int_equal(answer, FT_ANSWER_LOST);
    nd_arbiter_stop(a);
}

static void silence_is_an_answer_and_the_thread_asks_on(void **state)
{
    struct ft_era era = {3, 50};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct nd_arbiter_status status;
    struct nd_arbiter *a;

    (void)state;
    snprintf(config.url[0], sizeof(config.url[0]), "http://127.0.0.1:1");
    assert_int_equal(nd_arbiter_start(&a, &config, "a", &fault), 0);
    nd_arbiter_ask(a, &era);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_SILENT);
    nd_arbiter_status(a, &status);
    assert_false(status.answers);
    assert_non_null(strstr(status.why, "http://127.0.0.1:1: "));
    nd_arbiter_stop(a);
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
        WITH_SERVER(what_etcd_says_of_a_login_is_said),
        WITH_SERVER(a_password_that_is_none_is_not_sent),
        WITH_SERVER(servers_are_asked_in_turn),
        WITH_SERVER(an_answer_to_an_earlier_question_is_nobodys),
        WITH_SERVER(silence_is_an_answer_and_the_thread_asks_on),
    };

    return cmocka_run_group_tests_name("etcd", tests, NULL, help_config_clean);
}
