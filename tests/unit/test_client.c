/* SPDX-License-Identifier: Apache-2.0 */
/* One question, one answer, a deadline: against a node that behaves, and against several that do not. */
#include "tests/help/test.h"
#include "understudy/control/client.h"
#include "understudy/config/options.h"
#include "understudy/config/schema.h"
#include "ftcore/base/clock.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A node for one connection: reads a line, sends `pieces` with a pause between them, hangs up. */
struct node {
    char path[64];
    int fd;
    const char *const *pieces;
    size_t padding; /* blanks sent first */
    bool silent;    /* says nothing until the client is gone */
    char heard[256];
    pthread_t thread;
};

static void say(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        bytes += sent;
        len -= (size_t)sent;
    }
}

static void *serve(void *arg)
{
    struct node *node = arg;
    int fd = accept(node->fd, NULL, NULL);
    size_t used = 0;
    char *blanks = malloc(1 << 20), end;

    while (used < sizeof(node->heard) - 1 && read(fd, node->heard + used, 1) == 1 &&
           node->heard[used] != '\n')
        used++;
    node->heard[used] = 0;
    memset(blanks, ' ', 1 << 20);
    for (size_t left = node->padding; left; left -= left < (1 << 20) ? left : 1 << 20)
        say(fd, blanks, left < (1 << 20) ? left : 1 << 20);
    for (const char *const *piece = node->pieces; piece && *piece; piece++) {
        say(fd, *piece, strlen(*piece));
        usleep(2000);
    }
    if (node->silent && read(fd, &end, 1) < 0)
        used = 0;
    free(blanks);
    close(fd);
    return NULL;
}

static void start(struct node *node)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(node->path, sizeof(node->path), "/tmp/client.%d", (int)getpid());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", node->path);
    unlink(node->path);
    node->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(node->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(node->fd, 1), 0);
    assert_int_equal(pthread_create(&node->thread, NULL, serve, node), 0);
}

static void stop(struct node *node)
{
    pthread_join(node->thread, NULL);
    close(node->fd);
    unlink(node->path);
}

static int ask(struct node *node, int timeout_ms, json_t **answer, struct ft_fault *fault)
{
    json_t *request = json_pack("{s:s}", "cmd", "status");
    int error;

    start(node);
    error = nd_ask(node->path, request, timeout_ms, answer, NULL, fault);
    stop(node);
    json_decref(request);
    return error;
}

TEST(an_answer_may_come_in_pieces)
{
    static const char *const pieces[] = {"{\"state\":", "\"PROTECTED\"", "}\n", NULL};
    struct node node = {.pieces = pieces};
    json_t *answer;

    help_done(ask(&node, 2000, &answer, &help_fault));
    assert_string_equal(node.heard, "{\"cmd\":\"status\"}");
    assert_string_equal(json_string_value(json_object_get(answer, "state")), "PROTECTED");
    json_decref(answer);
}

TEST(a_large_answer_is_read_whole)
{
    static const char *const pieces[] = {"{}\n", NULL};
    struct node node = {.pieces = pieces, .padding = 5u << 20};
    json_t *answer;

    assert_int_equal(ask(&node, 5000, &answer, &help_fault), 0);
    json_decref(answer);
    node.padding = 65u << 20;
    assert_int_equal(ask(&node, 20000, &answer, &help_fault), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "more than 64 MiB"));
}

TEST(broken_answers_are_refused)
{
    static const struct {
        const char *piece;
        int error;
        const char *why;
    } cases[] = {
        {"[1]\n", FT_EMALFORMED, "no JSON object"},   {"{\"a\":\n", FT_EMALFORMED, "no JSON object"},
        {"\n", FT_EMALFORMED, "no JSON object"},      {"{\"a\":1}", FT_EIO, "hung up before the end"},
        {"{} {}\n", FT_EMALFORMED, "no JSON object"}, {"", FT_EIO, "hung up before the end"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const pieces[] = {cases[i].piece, NULL};
        struct node node = {.pieces = pieces};
        struct ft_fault fault = {""};
        json_t *answer;

        assert_int_equal(ask(&node, 2000, &answer, &fault), cases[i].error);
        assert_null(answer);
        assert_non_null(strstr(fault.text, cases[i].why));
    }
}

TEST(silence_ends_at_the_deadline)
{
    struct node node = {.silent = true};
    uint64_t before = ft_now();
    json_t *answer;

    assert_int_equal(ask(&node, 100, &answer, &help_fault), FT_EIO);
    assert_true(ft_now() - before >= 99000000);
    assert_non_null(strstr(help_fault.text, "no answer in time"));
}

TEST(where_no_node_listens_the_path_is_named)
{
    json_t *request = json_object(), *answer;
    char path[200];

    assert_int_equal(nd_ask("/nonexistent/x", request, 100, &answer, NULL, &help_fault), FT_ENOENT);
    assert_string_equal(help_fault.text, "/nonexistent/x: no node listens (No such file or directory)");
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    assert_int_equal(nd_ask(path, request, 100, &answer, NULL, &help_fault), FT_EINVAL);
    json_decref(request);
}

/* A process that asks whoever may listen there sets a limit. */
TEST(an_answer_above_the_limit_is_refused)
{
    static const char *const pieces[] = {"{}\n", NULL};
    struct node node = {.pieces = pieces, .padding = 1u << 20};
    json_t *answer;

    nd_ask_limit(1);
    assert_int_equal(ask(&node, 20000, &answer, &help_fault), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, "an answer of more than 1 MiB"));
    node.padding -= 3;
    assert_int_equal(ask(&node, 20000, &answer, &help_fault), 0);
    json_decref(answer);
    nd_ask_limit(64);
}

TEST(options_in_any_order)
{
    char *argv[] = {"clear", "nat", "-o", "json", "--config", "f.yaml", "-nb", NULL};
    struct nd_options options;

    assert_int_equal(nd_options_read(&options, 7, argv), 0);
    assert_string_equal(options.file, "f.yaml");
    assert_string_equal(options.node, "b");
    assert_true(options.json);
    assert_int_equal(options.argc, 1);
    assert_string_equal(options.argv[0], "nat");
}

struct values {
    bool flag;
    uint32_t small;
    double real;
    int choice;
};

TEST(a_table_of_options_sets_presets_and_refuses_what_its_rows_do_not_allow)
{
    static const char *const choices[] = {"red", "green", NULL}, *const words[] = {"none", NULL};
    static const struct nd_option rows[] = {
        {"flag", 'f', ND_OPTION_FLAG, offsetof(struct values, flag), .help = ""},
        {"small", 0, ND_OPTION_U32, offsetof(struct values, small), 2, 9, "5", words, .value = "N",
         .help = ""},
        {"real", 0, ND_OPTION_REAL, offsetof(struct values, real), 0.5, 2, "1", .value = "X", .help = ""},
        {"choice", 0, ND_OPTION_CHOICE, offsetof(struct values, choice), .choices = choices, .value = "C",
         .help = ""},
        {.name = NULL},
    };
    const struct nd_syntax syntax = {"test", rows, "NAME", 0, 1};
    const char *const refused[][3] = {{"--small", "1"},  {"--small", "10"},    {"--small", "5x"},
                                      {"--real", "0.4"}, {"--choice", "blue"}, {"-f", "-f"},
                                      {"a", "b"},        {"--small"}};
    char *good[] = {"test", "--small", "none", "a", "-f", "--choice=green", NULL}, *none[] = {"test", NULL};
    struct nd_arguments rest;
    struct values v = {.flag = false};

    assert_int_equal(nd_syntax_read(&syntax, &v, 1, none, &rest), 0);
    assert_true(!v.flag && v.small == 5 && v.real > 0.99 && v.choice == -1 && rest.given == 0);
    assert_int_equal(nd_syntax_read(&syntax, &v, 6, good, &rest), 0);
    assert_true(v.flag && v.small == 0 && v.choice == 1 && rest.given == 11 && rest.argc == 1);
    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *argv[] = {"test", (char *)(uintptr_t)refused[i][0], (char *)(uintptr_t)refused[i][1], NULL};

        assert_int_equal(nd_syntax_read(&syntax, &v, refused[i][1] ? 3 : 2, argv, &rest), ND_USAGE);
    }
}

/* Of several letters in one argument the line has the one that there is none of, or that has no value. */
TEST(a_letter_among_others_is_named)
{
    static const struct nd_option rows[] = {
        {"flag", 'f', ND_OPTION_FLAG, offsetof(struct values, flag), .help = ""},
        {"small", 's', ND_OPTION_U32, offsetof(struct values, small), 2, 9, "5", .value = "N", .help = ""},
        {.name = NULL},
    };
    static const struct {
        const char *given, *told;
    } cases[] = {{"-fxq", "unknown option -x "},
                 {"-fs", "option -s without a value "},
                 {"--colour", "unknown option --colour "},
                 {"--small", "option --small without a value "},
                 {"-x", "unknown option -x "}};
    const struct nd_syntax syntax = {"test", rows, "", 0, 0};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *argv[] = {"test", (char *)(uintptr_t)cases[i].given, NULL};
        int err = dup(STDERR_FILENO), code;
        struct nd_arguments rest;
        struct values v;
        FILE *said = tmpfile();
        char line[256] = "";

        assert_non_null(said);
        dup2(fileno(said), STDERR_FILENO);
        code = nd_syntax_read(&syntax, &v, 2, argv, &rest);
        dup2(err, STDERR_FILENO);
        close(err);
        rewind(said);
        assert_non_null(fgets(line, sizeof(line), said));
        fclose(said);
        assert_int_equal(code, ND_USAGE);
        if (!strstr(line, cases[i].told))
            fail_msg("%s: \"%s\", expected \"%s\" in it", cases[i].given, line, cases[i].told);
    }
}

TEST(each_error_has_its_exit_code)
{
    assert_int_equal(nd_exit_of(FT_ENOENT), 69);
    assert_int_equal(nd_exit_of(FT_EIO), 69);
    assert_int_equal(nd_exit_of(FT_EPERM), 77);
    assert_int_equal(nd_exit_of(FT_ENOMEM), 70);
    assert_int_equal(nd_exit_of_file(FT_ENOENT), 65);
    assert_int_equal(nd_exit_of_file(FT_EMALFORMED), 65);
    assert_int_equal(nd_exit_of_file(FT_EPERM), 77);
    assert_int_equal(nd_exit_of_start(FT_EPERM), 77);
    assert_int_equal(nd_exit_of_start(FT_EBUSY), 69);
    assert_int_equal(nd_exit_of_start(FT_ENOENT), 69);
    assert_int_equal(nd_exit_of_start(FT_EIO), 70);
    assert_int_equal(nd_exit_of_start(FT_ENOMEM), 65);
    assert_int_equal(nd_exit_of_start(FT_EINVAL), 65);
}

/* Near is what begins alike and has one slip for three letters: a letter more, less, another one, or two in
 * the wrong order. */
TEST(what_is_far_is_not_suggested)
{
    static const char *const names[] = {
        "key", "top", "show", "status", "drill", "drain", "pair", "keep", "nat", "max_flows_per_host", NULL};
    static const struct {
        const char *typed, *meant;
    } cases[] = {
        {"why", NULL},      {"drops", NULL},      {"stop", NULL},
        {"start", NULL},    {"state", NULL},      {"", NULL},
        {"x", NULL},        {"keys", "key"},      {"stauts", "status"},
        {"drian", "drain"}, {"natt", "nat"},      {"max_flow_per_hots", "max_flows_per_host"},
        {"showw", "show"},  {"statsu", "status"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *near = nd_schema_nearest(cases[i].typed, names);

        if (!near != !cases[i].meant || (near && strcmp(near, cases[i].meant) != 0))
            fail_msg("%s: %s", cases[i].typed, near ? near : "nothing");
    }
}
