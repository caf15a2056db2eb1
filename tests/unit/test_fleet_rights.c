/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what with a fleet's keys: the commands that `fleet rights` prints are given to a real etcd, and
 * each user then tries what is his, and what is not. And what `fleet check` calls too wide.
 */
#include "understudy/control/client.h"
#include "fleet/rights.h"
#include "understudy/etcd/store.h"
#include "tests/help/config.h"
#include "tests/help/etcd.h"
#include "tests/help/test.h"

static const char text[] =
    "fleet: f\n"
    "arbiter: {etcd: [\"https://192.0.2.9:2379\"], user: f-$(server), password_file: f-$(server).password}\n"
    "shard_etcd: {user: f-$(shard), password_file: $(dir)/f-$(shard).password}\n"
    "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}}\n"
    "shards: {east: {port: 1}, north: {port: 2}}\n"
    "pair: {link: {key: $(dir)/$(node).key}}\n"
    "node: {}\n";

static struct fl_file *read_text(const char *what)
{
    struct fl_file *file = NULL;

    help_done(fl_file_read(&file, help_config_file("f.yaml", what, strlen(what)), &help_fault));
    return HELP_OWNED(file, fl_file_free);
}

static void run_script(const struct help_real_etcd *real, const struct fl_file *file)
{
    static const char key[] = "0123456789abcdef\n";

    help_config_file("east.key", key, sizeof(key) - 1); /* what is there is left */
    help_config_file("north.key", key, sizeof(key) - 1);
    FILE *out = fopen(help_print("%s/rights.sh", help_config_dir()), "w");

    assert_non_null(out);
    assert_int_equal(fl_rights_print(file, out, &help_fault), 0);
    assert_int_equal(fclose(out), 0);
    const char *command = help_print(
        "cd %s && ETCDCTL_API=3 ETCDCTL_CACERT=%s ETCDCTL_ENDPOINTS=%s sh -e rights.sh >rights.log 2>&1",
        help_config_dir(), real->config.ca, real->config.url[0]);
    if (system(command) != 0) // NOLINT: the command is this file's
        fail_msg("%s: see rights.log", command);
}

/* Does etcd let the user do that? */
static bool may(const struct help_real_etcd *real, const char *user, const char *what)
{
    const char *command = help_print(
        "cd %s && ETCDCTL_API=3 etcdctl --cacert %s --endpoints %s --user \"%s:$(cat %s.password)\" %s "
        ">may.log 2>&1",
        help_config_dir(), real->config.ca, real->config.url[0], user, user, what);
    return system(command) == 0; // NOLINT: the command is this file's
}

TEST(each_user_may_what_is_his)
{
    static const struct {
        const char *user, *what;
        bool may;
    } rows[] = {
        /* Nodes of a shard: its arbiter's key, and nothing else. */
        {"f-east", "put understudy/f/arbiter/east x", true},
        {"f-east", "get understudy/f/arbiter/east", true},
        {"f-east", "put understudy/f/arbiter/north x", false},
        {"f-north", "put understudy/f/arbiter/east x", false},
        {"f-east", "put understudy/f/arbiter/eastern x", false},
        {"f-east", "get understudy/f/arbiter/north", false},
        {"f-east", "get --prefix understudy/f/", false},
        {"f-east", "put understudy/f/servers/a x", false},
        {"f-east", "put understudy/f/shards/east x", false},
        {"f-east", "put understudy/f/leader x", false},
        {"f-east", "put understudy/f/wishes/drain/a x", false},
        /* An agent: its server's key, and what a leader writes. */
        {"f-a", "put understudy/f/servers/a x", true},
        {"f-a", "put understudy/f/servers/b x", false},
        {"f-a", "get --prefix understudy/f/", true},
        {"f-a", "put understudy/f/leader x", true},
        {"f-a", "put understudy/f/leader/gone x", true},
        {"f-a", "put understudy/f/shards/north x", true},
        {"f-a", "put understudy/f/agents/b/north x", true},
        {"f-a", "del understudy/f/wishes/move/north", true},
        {"f-a", "put understudy/f/arbiter/east x", false},
        {"f-a", "put understudy/other/leader x", false},
        {"f-a", "user list", false},
        /* Who gives commands: wishes. */
        {"f-operator", "get --prefix understudy/f/", true},
        {"f-operator", "put understudy/f/wishes/drain/a x", true},
        {"f-operator", "put understudy/f/servers/a x", false},
        {"f-operator", "put understudy/f/shards/east x", false},
        {"f-operator", "put understudy/f/arbiter/east x", false},
    };
    struct help_real_etcd real;
    struct fl_file *file;

    help_etcd_begin(&real, true);
    file = read_text(text);
    run_script(&real, file);
    help_etcdctl(&real, "user add root:root");
    help_etcdctl(&real, "user grant-role root root");
    help_etcdctl(&real, "auth enable");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (may(&real, rows[i].user, rows[i].what) != rows[i].may)
            fail_msg("%s: %s: expected %s", rows[i].user, rows[i].what, rows[i].may ? "yes" : "no");
    help_etcd_end(&real);
}

/* The agent and the commands speak as themselves, and nodes as their shards'. */
TEST(each_one_speaks_as_himself)
{
    static const uint32_t on[] = {0, 1};
    struct fl_file *file = read_text(text);
    char expected[512], *pair;

    assert_int_equal(fl_file_speak_as(file, "b", &help_fault), 0);
    assert_string_equal(file->etcd.user, "f-b");
    snprintf(expected, sizeof(expected), "%s/f-b.password", help_config_dir());
    assert_string_equal(file->etcd.password_file, expected);
    assert_int_equal(fl_file_render(file, 1, on, 2, &pair, &help_fault), 0);
    snprintf(expected, sizeof(expected), "user: \"f-north\", password_file: \"%s/f-north.password\"",
             help_config_dir());
    assert_non_null(strstr(pair, expected));
    assert_null(strstr(pair, "f-b.password"));
    snprintf(expected, sizeof(expected), "%s/north-b.key", help_config_dir());
    assert_non_null(strstr(pair, expected)); /* of the node whose agent has made the file */
    free(pair);
    file = read_text(text);
    assert_int_equal(fl_file_speak_as(file, FL_OPERATOR, &help_fault), 0);
    assert_string_equal(file->etcd.user, "f-operator");
}

static void expect_refused(const char *what, const char *with, const char *why)
{
    struct ft_fault fault = {""};
    struct fl_file *file = NULL;
    char *of_it = help_config_replace(text, what, with);
    FILE *out = fopen("/dev/null", "w");
    int error = fl_file_read(&file, help_config_file("f.yaml", of_it, strlen(of_it)), &fault);

    if (!error)
        error = fl_rights_print(file, out, &fault);
    if (!error || !strstr(fault.text, why))
        fail_msg("expected %s, got %s", why, fault.text);
    fclose(out);
    fl_file_free(file);
}

TEST(what_is_no_user_for_each_is_refused)
{
    expect_refused("user: f-$(server)", "user: f", "expected one with $(server)");
    expect_refused(", user: f-$(server), password_file: f-$(server).password", "",
                   "f.yaml: arbiter has no user, expected arbiter.user with $(server)");
    expect_refused("user: f-$(shard)", "user: f", "expected $(shard) in shard_etcd");
    expect_refused("user: f-$(shard)", "user: f-operator", "expected ");
    expect_refused("user: f-$(shard), ", "", "expected both or none");
    expect_refused("{user: f-$(shard)", "{ca: x, user: f-$(shard)", "shard_etcd with ca");
    expect_refused("shard_etcd: {user: f-$(shard), password_file: $(dir)/f-$(shard).password}",
                   "shard_etcd: {}", "expected one for nodes in shard_etcd");
    expect_refused("a: {host: 192.0.2.1}", "east: {host: 192.0.2.1}", "have one user, f-east");
    expect_refused("a: {host: 192.0.2.1}", "operator: {host: 192.0.2.1}", "no server operator");
    expect_refused("f-$(shard), p", "\"f $(shard)\", p", "expected letters, digits");
}

static unsigned lines_of(const char *what, const char *with)
{
    char *of_it = help_config_replace(text, what, with);
    struct fl_file *file = read_text(of_it);
    FILE *out = fopen("/dev/null", "w");
    unsigned lines = fl_rights_judge(file, out);

    fclose(out);
    return lines;
}

TEST(what_is_too_wide_is_told)
{
    assert_int_equal(lines_of("", ""), 0);
    assert_int_equal(lines_of("$(node).key", "fleet.key"), 1);
    assert_int_equal(lines_of("user: f-$(server)", "user: f"), 1);
    assert_int_equal(lines_of("user: f-$(shard)", "user: nodes"), 1);
    assert_int_equal(lines_of(", user: f-$(server), password_file: f-$(server).password", ""), 1);
}

/* A node that reads its agent's password is the agent, and may lead. */
TEST(an_agents_password_is_not_the_nodes_users)
{
    char *of_it = help_config_replace(text, "servers:", "user: nobody\nservers:");
    struct fl_file *file = read_text(of_it);

    assert_string_equal(file->user, "nobody");
    assert_string_equal(file->etcd.owner, "");
}

TESTS_SHARE(NULL, help_config_clean)
