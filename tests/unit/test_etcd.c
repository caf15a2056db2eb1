/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arbiter's client makes of an etcd: users and tokens, servers that are not there, or of another
 * cluster, others who write. The server stands here; the real one is in
 * tests/lab/arbiter*.t.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "understudy/arbiter/arbiter.c"
#include "tests/help/config.h"
#include "tests/help/etcd.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

/*
 * A server on the loopback that answers as etcd's JSON gateway does (version 3.4, as it was seen to): one
 * key, a user with a password, tokens. Its own thread serves; fields are set and read while no request is
 * under way, but for those that are atomic.
 */

struct MHD_Daemon;

struct help_etcd {
    struct MHD_Daemon *daemon;
    char url[64];
    unsigned cluster;            /* as it calls itself; 1 */
    const char *user, *password; /* NULL: users are switched off */
    unsigned token;              /* the one that is good is "token.N"; 0: none is */
    bool refuses;                /* every token */
    _Atomic unsigned delay_ms;   /* of each answer but to a login */
    unsigned others;             /* so often somebody else changes the key before a put */
    _Atomic unsigned swallows;   /* so many puts are made, and their answers are lost */
    char value[128];             /* at the key, base64; "": there is none */
    uint64_t revision;
    _Atomic unsigned logins, looks, puts; /* that were asked for */
};

#define HEADER "\"header\":{\"cluster_id\":\"%u\",\"member_id\":\"2\",\"revision\":\"9\",\"raft_term\":\"2\"}"
#define KEY    "dW5kZXJzdHVkeS9hLWI=" /* understudy/a-b */

struct body {
    char text[1024];
    size_t len;
};

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(connection, status, response);

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, unsigned code,
                              const char *words)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"error\":\"etcdserver: %s\",\"message\":\"etcdserver: %s\",\"code\":%u}",
             words, words, code);
    return respond(connection, status, text);
}

static enum MHD_Result serve_login(struct help_etcd *e, struct MHD_Connection *connection, const char *body)
{
    char expected[256], text[256];

    e->logins++;
    if (!e->user)
        return refuse(connection, 412, 9, "authentication is not enabled");
    snprintf(expected, sizeof(expected), "{\"name\":\"%s\",\"password\":\"%s\"}", e->user, e->password);
    if (strcmp(body, expected) != 0)
        return refuse(connection, 400, 3, "authentication failed, invalid user ID or password");
    e->token++;
    snprintf(text, sizeof(text), "{" HEADER ",\"token\":\"token.%u\"}", e->cluster, e->token);
    return respond(connection, 200, text);
}

static enum MHD_Result serve_range(struct help_etcd *e, struct MHD_Connection *connection)
{
    char text[512];

    e->looks++;
    if (e->value[0])
        snprintf(text, sizeof(text),
                 "{" HEADER ",\"kvs\":[{\"key\":\"" KEY "\",\"mod_revision\":\"%lu\",\"value\":\"%s\"}]}",
                 e->cluster, e->revision, e->value);
    else
        snprintf(text, sizeof(text), "{" HEADER "}", e->cluster);
    return respond(connection, 200, text);
}

static enum MHD_Result put(struct help_etcd *e, struct MHD_Connection *connection, const char *body)
{
    char text[256];
    const char *compared = strstr(body, "\"mod_revision\":\""), *value = strstr(body, "\"value\":\"");

    e->puts++;
    if (!compared || !value)
        return refuse(connection, 400, 3, "no transaction");
    if (e->others) {
        e->others--;
        e->revision++;
    }
    snprintf(text, sizeof(text), "{" HEADER "}", e->cluster);
    if (strtoull(compared + 16, NULL, 10) != e->revision)
        return respond(connection, 200, text);
    snprintf(e->value, sizeof(e->value), "%.*s", (int)strcspn(value + 9, "\""), value + 9);
    e->revision++;
    if (e->swallows) {
        e->swallows--;
        return respond(connection, 503, "");
    }
    snprintf(text, sizeof(text), "{" HEADER ",\"succeeded\":true,\"responses\":[{}]}", e->cluster);
    return respond(connection, 200, text);
}

static enum MHD_Result serve(struct help_etcd *e, struct MHD_Connection *connection, const char *path,
                             const char *body)
{
    const char *token = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    unsigned ms = e->delay_ms;
    char good[32];

    if (strcmp(path, "/v3/auth/authenticate") == 0)
        return serve_login(e, connection, body);
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
    snprintf(good, sizeof(good), "token.%u", e->token);
    if (e->user && !token)
        return refuse(connection, 400, 3, "user name is empty");
    if (e->user && (e->refuses || strcmp(token, good) != 0))
        return refuse(connection, 401, 16, "invalid auth token");
    if (!e->user && token)
        return refuse(connection, 401, 16, "invalid auth token");
    return strcmp(path, "/v3/kv/range") == 0 ? serve_range(e, connection)
           : strcmp(path, "/v3/kv/txn") == 0 ? put(e, connection, body)
                                             : respond(connection, 404, "Not Found");
}

static enum MHD_Result take(void *etcd, struct MHD_Connection *connection, const char *path,
                            const char *method, const char *version, const char *data, size_t *len,
                            void **of_request)
{
    struct body *body = *of_request;

    if (!body) {
        *of_request = calloc(1, sizeof(*body));
        return *of_request ? MHD_YES : MHD_NO;
    }
    if (*len) {
        if (body->len + *len >= sizeof(body->text))
            return MHD_NO;
        memcpy(body->text + body->len, data, *len);
        body->len += *len;
        *len = 0;
        return MHD_YES;
    }
    return serve(etcd, connection, path, body->text);
}

static void end_request(void *etcd, struct MHD_Connection *connection, void **of_request,
                        enum MHD_RequestTerminationCode code)
{
    free(*of_request);
    *of_request = NULL;
}

static void help_etcd_open(struct help_etcd *e)
{
    memset(e, 0, sizeof(*e));
    e->cluster = 1;
    e->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, take, e,
                                 MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL, MHD_OPTION_END);
    assert_non_null(e->daemon);
    snprintf(e->url, sizeof(e->url), "http://127.0.0.1:%u",
             (unsigned)MHD_get_daemon_info(e->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
}

static void help_etcd_close(struct help_etcd *e)
{
    MHD_stop_daemon(e->daemon);
}

#define SECRET "a \"quoted\" pass\\word"
#define JSON   "a \\\"quoted\\\" pass\\\\word"

static struct help_etcd server;
static struct nd_arbiter_config config;
static struct rp_arbiter calls;
static struct nd_etcd *etcd;
static struct ft_decision kept, decided;
static char put_last[VALUE_MAX];
static struct ft_fault fault;

static void use_password(const char *text, size_t len, mode_t mode)
{
    const char *path = help_config_file("password", text, len);

    assert_int_equal(chmod(path, mode), 0);
    snprintf(config.etcd.password_file, sizeof(config.etcd.password_file), "%s", path);
}

static int begin(void **state)
{
    help_etcd_open(&server);
    config = (struct nd_arbiter_config){.etcd = {.urls = 1}, .key = "understudy/a-b"};
    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "%s", server.url);
    fault.text[0] = '\0';
    return open_etcd(&etcd, &config, NULL, NULL, &fault);
}

static int tear_down(void **state)
{
    nd_etcd_close(etcd);
    help_etcd_close(&server);
    return 0;
}

static void have_user(void)
{
    server.user = "pair";
    server.password = JSON;
    snprintf(config.etcd.user, sizeof(config.etcd.user), "pair");
    use_password(SECRET "\n", sizeof(SECRET), 0600);
}

static int decides(uint64_t view, uint64_t number, const char *who)
{
    const struct ft_question asked = {.era = {view, number}};

    return decide(etcd, config.key, &asked, who, &kept, put_last, &fault);
}

static int looks(void)
{
    return decide(etcd, config.key, NULL, "", &kept, put_last, &fault);
}

/* The fault, without the server's name before it. */
static const char *said(void)
{
    size_t len = strlen(server.url);

    return strncmp(fault.text, server.url, len) == 0 ? fault.text + len : fault.text;
}

#define WITH_SERVER(test) TEST_WITH(test, begin, tear_down)

WITH_SERVER(an_era_has_one_winner)
{
    assert_int_equal(looks(), 0);
    assert_false(kept.any);
    assert_int_equal(decides(3, 50, "b"), 0);
    assert_string_equal(kept.winner, "b");
    assert_int_equal(decides(3, 50, "a"), 0); /* the same era: the answer is the first one's */
    assert_string_equal(kept.winner, "b");
    assert_int_equal(decides(3, 49, "a"), 0); /* an older one: its time is over */
    assert_string_equal(kept.winner, "b");
    assert_int_equal(kept.era.number, 50);
    assert_int_equal(server.puts, 1);
    assert_int_equal(decides(4, 1, "a"), 0);
    assert_string_equal(kept.winner, "a");
}

WITH_SERVER(who_is_overtaken_looks_again)
{
    assert_int_equal(decides(3, 49, "a"), 0);
    server.others = 2;
    assert_int_equal(decides(3, 50, "b"), 0);
    assert_string_equal(kept.winner, "b");
    assert_int_equal(server.puts, 4);
    server.others = 1000;
    assert_int_equal(decides(3, 51, "b"), FT_EIO);
    assert_string_equal(said(), ": understudy/a-b was changed by others 5 times while it was read");
}

WITH_SERVER(a_user_logs_in_once)
{
    have_user();
    assert_int_equal(decides(3, 50, "b"), 0);
    assert_int_equal(looks(), 0);
    assert_string_equal(kept.winner, "b");
    assert_int_equal(server.logins, 1);
}

WITH_SERVER(a_token_that_has_expired_is_renewed)
{
    have_user();
    assert_int_equal(looks(), 0);
    server.token += 7;
    assert_int_equal(decides(3, 50, "b"), 0);
    assert_int_equal(server.logins, 2);
    assert_string_equal(kept.winner, "b");
}

WITH_SERVER(a_new_token_that_is_refused_is_not_renewed)
{
    have_user();
    assert_int_equal(looks(), 0);
    server.refuses = true;
    assert_int_equal(looks(), FT_EIO);
    assert_string_equal(said(), "/v3/kv/range: status 401 (etcdserver: invalid auth token), expected 200");
    assert_int_equal(server.logins, 2);
    assert_int_equal(looks(), FT_EIO); /* has none to begin with */
    assert_int_equal(server.logins, 3);
    server.refuses = false;
    assert_int_equal(looks(), 0);
}

static unsigned asked;

/* The first time is before a request, the second one in it. */
static bool stops_in_midst(void *arg)
{
    return ++asked == 2;
}

WITH_SERVER(a_token_stays_when_a_request_is_given_up)
{
    have_user();
    nd_etcd_close(etcd);
    asked = 1000;
    assert_int_equal(open_etcd(&etcd, &config, stops_in_midst, NULL, &fault), 0);
    assert_int_equal(looks(), 0);
    asked = 0;
    server.delay_ms = 200; /* so that there is a middle */
    assert_int_equal(looks(), FT_EBUSY);
    server.delay_ms = 0;
    assert_int_equal(looks(), 0);
    assert_int_equal(server.logins, 1);
}

/* Of a token that etcd cannot judge it does not answer at all. */
WITH_SERVER(a_token_that_gets_no_answer_goes)
{
    have_user();
    assert_int_equal(looks(), 0);
    server.delay_ms = 1300;
    assert_int_equal(looks(), FT_EIO);
    server.delay_ms = 0;
    assert_int_equal(looks(), 0);
    assert_int_equal(server.logins, 2);
}

WITH_SERVER(what_etcd_says_of_a_login_is_said)
{
    have_user();
    use_password("wrong", 5, 0400);
    assert_int_equal(looks(), FT_EIO);
    assert_string_equal(said(),
                        "/v3/auth/authenticate: status 400 (etcdserver: authentication failed, invalid "
                        "user ID or password), expected 200");
    assert_int_equal(server.logins, 1);
    use_password(SECRET, sizeof(SECRET) - 1, 0600); /* the file is read each time; no line end is needed */
    assert_int_equal(looks(), 0);
    server.user = NULL; /* users are switched off */
    assert_int_equal(looks(), FT_EIO);
    assert_string_equal(said(),
                        "/v3/auth/authenticate: status 412 (etcdserver: authentication is not enabled), "
                        "expected 200");
}

static int judge(void)
{
    fault.text[0] = '\0';
    return nd_etcd_judge(&config.etcd, &fault);
}

/* Without a server: what `check` says is what a request would meet. */
WITH_SERVER(files_that_requests_read_are_judged_without_one)
{
    const char *text = "no PEM";

    assert_int_equal(judge(), 0);
    have_user();
    use_password(SECRET, sizeof(SECRET) - 1, 0600);
    assert_int_equal(judge(), 0);
    use_password(SECRET, sizeof(SECRET) - 1, 0640);
    assert_int_equal(judge(), FT_EPERM);
    assert_non_null(strstr(fault.text, ": mode 0640, expected 0600: nobody else may read a password"));
    use_password("", 0, 0600);
    assert_int_equal(judge(), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, ": no password, expected one line of 1 to 254 bytes"));
    unlink(config.etcd.password_file);
    assert_int_equal(judge(), FT_EINVAL);
    assert_non_null(strstr(fault.text, "/password: No such file or directory"));
    config.etcd.user[0] = '\0';
    assert_int_equal(judge(), 0);
    snprintf(config.etcd.ca, sizeof(config.etcd.ca), "%s", help_config_file("ca.pem", text, strlen(text)));
    assert_int_equal(judge(), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, "/ca.pem: no certificate of an authority, expected PEM"));
    unlink(config.etcd.ca);
    assert_int_equal(judge(), FT_EINVAL);
    assert_non_null(strstr(fault.text, "/ca.pem: No such file or directory"));
    assert_int_equal(mkfifo(config.etcd.ca, 0600), 0);
    assert_int_equal(judge(), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, "/ca.pem: not a regular file"));
    unlink(config.etcd.ca);
    assert_int_equal(server.logins + server.looks, 0);
}

/* As an agent of a fleet, which is root's, reads what belongs to the user of its nodes. */
WITH_SERVER(a_password_of_another_user_counts_if_that_one_is_said)
{
    have_user();
    use_password(SECRET, sizeof(SECRET) - 1, 0600);
    if (chown(config.etcd.password_file, getpwnam("daemon")->pw_uid, (gid_t)-1) != 0) /* root alone may */
        skip();
    assert_int_equal(looks(), FT_EPERM);
    assert_non_null(strstr(fault.text, ": owner 1, mode 0600, expected owner root"));
    assert_int_equal(server.logins, 0);
    snprintf(config.etcd.owner, sizeof(config.etcd.owner), "daemon");
    assert_int_equal(looks(), 0);
    unlink(config.etcd.password_file);
}

WITH_SERVER(a_password_that_is_none_is_not_sent)
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

    memset(long_one, 'x', sizeof(long_one));
    have_user();
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        use_password(rows[i].text, rows[i].len, rows[i].mode);
        assert_true(looks() < 0);
        assert_string_equal(fault.text + strlen(config.etcd.password_file), rows[i].said);
        assert_null(strstr(fault.text, "ret"));
    }
    unlink(config.etcd.password_file);
    assert_int_equal(looks(), FT_EIO);
    assert_string_equal(fault.text + strlen(config.etcd.password_file), ": No such file or directory");
    assert_int_equal(mkdir(config.etcd.password_file, 0700), 0);
    assert_int_equal(looks(), FT_EMALFORMED);
    assert_string_equal(fault.text + strlen(config.etcd.password_file),
                        ": not a regular file, expected the password of etcd's user in one");
    rmdir(config.etcd.password_file);
    assert_int_equal(server.logins, 0);
}

WITH_SERVER(servers_are_asked_in_turn)
{
    struct help_etcd second;

    help_etcd_open(&second);
    config.etcd.urls = 2;
    snprintf(config.etcd.url[1], sizeof(config.etcd.url[1]), "%s", second.url);
    assert_int_equal(looks(), 0);
    assert_int_equal(second.looks, 0);
    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "http://127.0.0.1:1");
    assert_int_equal(looks(), 0);
    assert_string_equal(nd_etcd_server(etcd), second.url);
    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "%s", server.url);
    assert_int_equal(looks(), 0); /* who answered last is asked first */
    assert_int_equal(second.looks, 2);
    help_etcd_close(&second);
}

/* Two servers that are no cluster would each let another node go on. */
WITH_SERVER(servers_of_another_cluster_are_not_believed)
{
    struct help_etcd second;

    help_etcd_open(&second);
    second.cluster = 2;
    config.etcd.urls = 2;
    snprintf(config.etcd.url[1], sizeof(config.etcd.url[1]), "%s", second.url);
    assert_int_equal(nd_etcd_cluster(etcd), 0);
    assert_int_equal(decides(3, 50, "a"), 0);
    assert_int_equal(nd_etcd_cluster(etcd), 1);
    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "http://127.0.0.1:1");
    assert_int_equal(decides(3, 51, "a"), FT_EIO);
    assert_string_equal(
        fault.text,
        help_print("%s: of cluster 2, expected 1: all URLs of all nodes name one cluster", second.url));
    assert_int_equal(second.puts, 0);
    nd_etcd_expect(etcd, 2); /* as the primary's */
    assert_int_equal(decides(3, 51, "a"), 0);
    snprintf(config.etcd.url[1], sizeof(config.etcd.url[1]), "%s", server.url);
    assert_int_equal(looks(), FT_EIO);
    nd_etcd_expect(etcd, 0);
    assert_int_equal(looks(), 0);
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

WITH_SERVER(a_name_that_is_not_found_keeps_nobody)
{
    resolves = resolved = false;
    config.etcd.urls = 2;
    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "http://slow.test:2379");
    snprintf(config.etcd.url[1], sizeof(config.etcd.url[1]), "%s", server.url);
    assert_int_equal(looks(), 0);
    assert_false(resolved);
    assert_string_equal(nd_etcd_server(etcd), server.url);
    let_resolve();
}

/* What the arbiter's thread makes of questions that come one after the other, and of an etcd that is late. */

static int set_up_arbiter(void **state)
{
    help_etcd_open(&server);
    config = (struct nd_arbiter_config){.etcd = {.urls = 1}, .key = "understudy/a-b"};
    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "%s", server.url);
    return 0;
}

static int tear_down_arbiter(void **state)
{
    help_etcd_close(&server);
    return 0;
}

static void ask_for(struct nd_arbiter *a, struct ft_era era)
{
    calls.ask(a, &(struct ft_question){.era = era});
}

static bool heard(struct nd_arbiter *a, unsigned ms, struct ft_era *era, enum ft_answer *answer)
{
    for (; ms; ms--) {
        if (calls.answer(a, era, answer, &decided))
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
TEST_WITH(an_answer_to_an_earlier_question_is_nobodys, set_up_arbiter, tear_down_arbiter)
{
    struct ft_era first = {3, 50}, second = {3, 51}, era = {0, 0};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct nd_arbiter *a;

    assert_int_equal(nd_arbiter_start(&a, &calls, &config, "a", &fault), 0);
    ask_for(a, first);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_WON);
    assert_false(calls.answer(a, &era, &answer, &decided)); /* once */
    server.delay_ms = 300;
    second.number = 60;
    ask_for(a, second);
    while (server.looks < 3)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    calls.ask(a, NULL);
    await_puts(2);
    assert_false(heard(a, 700, &era, &answer));

    first.number = 70;
    second.number = 65; /* an era that is over by then */
    ask_for(a, first);
    await_puts(3);
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* the answer, WON, lies there */
    ask_for(a, second);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(era.number, 65);
    assert_int_equal(answer, FT_ANSWER_LOST);
    nd_arbiter_stop(a);
}

static enum ft_answer answer_to(struct nd_arbiter *a, uint64_t view, bool empty)
{
    struct ft_era era;
    enum ft_answer answer = FT_ANSWER_NONE;

    calls.ask(a, &(struct ft_question){.era = {view, 0}, .empty = empty});
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(era.view, view);
    return answer;
}

/* The process before may have begun that view, and its peer have taken over by a certain word since. */
TEST_WITH(what_begins_without_a_state_begins_by_its_own_question, set_up_arbiter, tear_down_arbiter)
{
    struct nd_arbiter *a;
    struct ft_era era;
    enum ft_answer answer = FT_ANSWER_NONE;

    assert_int_equal(nd_arbiter_start(&a, &calls, &config, "a", &fault), 0);
    server.swallows = 1;
    answer = answer_to(a, 1, true);
    if (answer == FT_ANSWER_SILENT) /* unless it has asked again already, and found what it has put */
        assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_WON);
    assert_int_equal(server.puts, 1);
    assert_int_equal(answer_to(a, 1, true), FT_ANSWER_WON);
    nd_arbiter_stop(a);

    assert_int_equal(nd_arbiter_start(&a, &calls, &config, "a", &fault), 0);
    assert_int_equal(answer_to(a, 1, true), FT_ANSWER_LOST);
    assert_int_equal(answer_to(a, 1, false), FT_ANSWER_WON); /* a state that it has is the node's */
    assert_int_equal(answer_to(a, 2, true), FT_ANSWER_WON);
    nd_arbiter_stop(a);
}

static unsigned lines(FILE *told)
{
    unsigned n = 0;

    rewind(told);
    for (int c; (c = getc(told)) != EOF;)
        n += c == '\n';
    return n;
}

/* A node that is alone for a day asks 43,200 times who the members are. */
TEST_WITH(the_same_answer_to_a_look_is_told_once, set_up_arbiter, tear_down_arbiter)
{
    struct ft_question look = {.era = {3, 0}, .look = true};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct ft_era era = {3, 50};
    struct nd_arbiter *a;
    FILE *told = tmpfile();
    int err = dup(STDERR_FILENO);

    assert_true(told && err >= 0);
    dup2(fileno(told), STDERR_FILENO);
    assert_int_equal(nd_arbiter_start(&a, &calls, &config, "a", &fault), 0);
    ask_for(a, era);
    assert_true(heard(a, 5000, &era, &answer));
    unsigned before = lines(told);

    for (unsigned i = 0; i < 3; i++) {
        calls.ask(a, &look);
        assert_true(heard(a, 5000, &era, &answer));
    }
    assert_int_equal(lines(told), before + 1);
    for (era.number = 51; era.number < 54;) { /* each era is a decision */
        ask_for(a, era);
        assert_true(heard(a, 5000, &era, &answer));
        assert_int_equal(lines(told), before + 1 + era.number - 50);
        era.number++;
    }
    nd_arbiter_stop(a);
    dup2(err, STDERR_FILENO);
    close(err);
    fclose(told);
}

TEST_WITH(silence_is_an_answer_and_the_thread_asks_on, set_up_arbiter, tear_down_arbiter)
{
    struct ft_era era = {3, 50};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct nd_arbiter_status status;
    struct nd_arbiter *a;

    snprintf(config.etcd.url[0], sizeof(config.etcd.url[0]), "http://127.0.0.1:1");
    assert_int_equal(nd_arbiter_start(&a, &calls, &config, "a", &fault), 0);
    ask_for(a, era);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_SILENT);
    nd_arbiter_status(a, &status);
    assert_false(status.answers);
    assert_non_null(strstr(status.why, "http://127.0.0.1:1: "));
    nd_arbiter_stop(a);
}

/* The server takes requests and never answers; a request that its client waited for to the end would be
 * counted. */
TEST_WITH(a_question_goes_before_what_is_under_way, set_up_arbiter, tear_down_arbiter)
{
    const struct ft_era era = {3, 50}, later = {3, 51};
    int fd = help_etcd_listen(config.etcd.url[0]), of[3];
    struct nd_arbiter_status status;
    struct nd_arbiter *a;
    char byte;

    assert_int_equal(nd_arbiter_start(&a, &calls, &config, "a", &fault), 0);
    of[0] = accept(fd, NULL, NULL);
    assert_int_equal(recv(of[0], &byte, 1, 0), 1); /* a look is under way */
    ask_for(a, era);
    of[1] = accept(fd, NULL, NULL);
    assert_int_equal(recv(of[1], &byte, 1, 0), 1);
    nd_arbiter_status(a, &status);
    assert_int_equal(status.failures, 0);
    ask_for(a, later); /* and before an earlier one */
    of[2] = accept(fd, NULL, NULL);
    assert_int_equal(recv(of[2], &byte, 1, 0), 1);
    nd_arbiter_status(a, &status);
    assert_int_equal(status.failures, 0);
    nd_arbiter_stop(a); /* with a request under way */
    for (unsigned i = 0; i < 3; i++)
        close(of[i]);
    close(fd);
}

TESTS_SHARE(NULL, help_config_clean)
