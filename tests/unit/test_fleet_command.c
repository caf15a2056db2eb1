/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit code of `fleet status`, which scripts wait for: 0 says that nothing is to be done, nothing is
 * under way, nothing waits, and somebody would see to it. And what of a wish for a server that is no more in
 * the file can still be said, with a real etcd.
 */
#include "fleet/command.c"
#include "tests/help/config.h"
#include "tests/help/etcd.h"
#include "tests/help/keys.h"
#include "tests/help/test.h"

static struct command c;
static struct help_real_etcd real;

static int make_file(void **state)
{
    return keys_begin("servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3},\n"
                      "  d: {host: 192.0.2.4}, e: {host: 192.0.2.5}}\n"
                      "shards: {east: {port: 1}}\n");
}

/* A real etcd, and the file real.yaml of the fleet with it. */
static int begin_real(void **state)
{
    help_etcd_begin(&real, false);
    char *text = help_config_replace(keys_text, "http://192.0.2.9:2379", real.config.url[0]);

    help_config_file("real.yaml", text, strlen(text));
    return 0;
}

static int end_real(void **state)
{
    help_etcd_end(&real);
    return 0;
}

static void real_put(const char *key, const char *value)
{
    char *json = json_quotes(strdup(value));

    help_etcdctl(&real, "put understudy/f/%s '%s'", key, json);
    free(json);
}

static uint32_t unknown; /* shards, as expect() saw last */

static void expect(int code)
{
    c.file = keys_file;
    c.keys = keys;
    assert_int_equal(fl_picture_make(&c.picture, c.file, &c.keys, NULL, 5000, &help_fault), 0);
    assert_int_equal(fl_plan_make(&c.plan, &c.picture.fleet, &help_fault), 0);
    int is = judge(&c);

    unknown = count_unknown(&c);

    fl_plan_free(c.plan);
    fl_picture_free(&c.picture);
    assert_int_equal(is, code);
}

#define EMPTY "{'nodes':{},'kept':[]}"
#define NODE(state, primary, member)                                                                         \
    "{'nodes':{'east':{'state':'" state "','primary':" primary ",'member':" member                           \
    ",'view':7,'members':['east-a','east-b']}},'kept':[]}"
#define EAST "'first':['a','b'],'members':['a','b'],'view':7,'moved':100"

static void all_is_well(void)
{
    nd_keys_clear(&keys);
    put_leased("leader", "c", 1, 9);
    put("servers/a", NODE("PROTECTED", "true", "true"), 1);
    put("servers/b", NODE("READY", "false", "true"), 1);
    put("servers/c", EMPTY, 1);
    put("shards/east", "{" EAST "}", 1);
}

TEST(zero_says_that_all_is_as_it_should_be)
{
    all_is_well();
    expect(0);
    put("wishes/pin/east", "a", 1);
    expect(0);
    /* Nobody would see to what comes. */
    drop("leader");
    expect(1);
    put_leased("leader", "ghost", 1, 9);
    expect(1);
    all_is_well();
    put("servers/c", "spoilt", 1);
    expect(1);
}

TEST(what_is_to_be_done_is_one)
{
    all_is_well();
    put("wishes/drain/b", "1", 1);
    expect(1);
    /* It was ordered, and is not done. */
    put("shards/east", "{" EAST ",'order':{'kind':'re-pair','cause':'drain','to':'c','since':4990}}", 1);
    expect(1);
    /* It failed, and is tried again later. */
    put("shards/east", "{" EAST ",'failed':{'count':1,'when':4995,'to':'c'}}", 1);
    expect(1);
    /* There is nowhere to go. */
    put("wishes/drain/c", "1", 1);
    put("shards/east", "{" EAST "}", 1);
    expect(1);
    /* A pin, or a move, that waits. */
    all_is_well();
    put("wishes/drain/c", "1", 1);
    expect(0);
    put("wishes/pin/east", "c", 1);
    expect(1);
    drop("wishes/pin/east");
    put("wishes/move/east", "c", 1);
    expect(1);
    /* Nodes that are to be started anew, as soon as may be. */
    all_is_well();
    put("wishes/upgrade/a", "{'east':5}", 1);
    expect(1);
}

TEST(what_is_not_protected_is_two)
{
    all_is_well();
    put("servers/a", NODE("SOLO", "true", "true"), 1);
    put("servers/b", EMPTY, 1);
    expect(2);
    drop("servers/b");
    expect(2);
    assert_int_equal(unknown, 0);
    /* Without an agent nobody knows how it is; where both say that they have no node it is known. */
    drop("servers/a");
    expect(2);
    assert_int_equal(unknown, 1);
    put("servers/b", EMPTY, 1);
    expect(2);
    assert_int_equal(unknown, 1);
    put("servers/a", EMPTY, 1);
    expect(2);
    assert_int_equal(unknown, 0);
    all_is_well();
    drop("shards/east");
    put("servers/a", EMPTY, 1);
    put("servers/b", EMPTY, 1);
    expect(2);
}

static int say(const char *verb, const char *option, const char *name)
{
    char file[100];
    const char *words[] = {"fleet", verb, "-c", file, option ? option : name, name};

    snprintf(file, sizeof(file), "%s/real.yaml", help_config_dir());
    return fl_cmd_fleet(option ? 6 : 5, (char **)words);
}

TEST_WITH(a_wish_for_a_server_that_is_no_more_can_be_taken_back_once, begin_real, end_real)
{
    real_put("wishes/upgrade/old", "{}");
    real_put("wishes/drain/old", "1");
    assert_int_equal(say("upgrade", "-n", "old"), ND_USAGE);
    assert_int_equal(say("unupgrade", "-n", "old"), ND_DONE);
    assert_int_equal(say("unupgrade", "-n", "old"), ND_USAGE);
    assert_int_equal(say("undrain", NULL, "old"), ND_DONE);
    assert_int_equal(say("undrain", NULL, "old"), ND_USAGE);
    char *left = help_etcdctl(&real, "get --prefix --keys-only understudy/f/");

    assert_string_equal(left, "");
}

/* A wish is told in one line, and waited for as long as is asked. */
TEST_WITH(a_wish_is_waited_for, begin_real, end_real)
{
    static const struct {
        const char *verb, *of, *to, *wait;
        int code;
        const char *c; /* what that server says then; NULL: what it has said */
    } wishes[] = {
        {"pin", "east", "a", "5", ND_DONE, NULL},
        {"pin", "east", "b", "1", ND_NOT_EQUAL, NULL},
        {"move", "east", "a", "5", ND_DONE, NULL},
        {"drain", "c", NULL, "5", ND_DONE, NULL},
        {"drain", "a", NULL, "1", ND_NOT_EQUAL, NULL},
        {"undrain", "a", NULL, "1", ND_USAGE, NULL},
        {"drain", "d", NULL, "1", ND_NOT_EQUAL, NULL}, /* its node is no member any more, and runs */
        {"drain", "e", NULL, "1", ND_NOT_EQUAL, NULL}, /* nobody speaks for it */
        /* A node of a shard that the file does not have runs; then who knows. */
        {"drain", "c", NULL, "1", ND_NOT_EQUAL, "{'nodes':{'west':{'state':'SOLO'}},'kept':[]}"},
        {"drain", "c", NULL, "1", ND_NOT_EQUAL, "spoilt"},
    };

    const char *file_name = help_print("%s/real.yaml", help_config_dir());
    real_put("servers/a", NODE("PROTECTED", "true", "true"));
    real_put("servers/b", NODE("READY", "false", "true"));
    real_put("servers/c", EMPTY);
    real_put("servers/d", NODE("JOINING", "false", "false"));
    real_put("shards/east", "{" EAST "}");
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        const char *words[] = {"fleet",        wishes[i].verb, "-c",         file_name, "--wait",
                               wishes[i].wait, wishes[i].of,   wishes[i].to, NULL};

        if (wishes[i].c)
            real_put("servers/c", wishes[i].c);
        int code = fl_cmd_fleet(wishes[i].to ? 8 : 7, (char **)words);

        if (code != wishes[i].code)
            fail_msg("%s %s: %d, expected %d", wishes[i].verb, wishes[i].of, code, wishes[i].code);
    }
}

/* Nobody leads here, so it is not done; and what nobody knows of cannot be. */
TEST_WITH(a_shard_that_runs_and_is_not_in_the_file_is_shown_and_removed, begin_real, end_real)
{
    all_is_well();
    put("servers/c", "{'nodes':{'west':{'state':'SOLO'}},'kept':[]}", 1);
    expect(1);
    all_is_well();
    put("servers/c", "{'nodes':{},'kept':['west']}", 1);
    expect(1);
    real_put("servers/a", "{'nodes':{'west':{'state':'SOLO'}},'kept':[]}");
    assert_int_equal(say("remove", NULL, "east"), ND_USAGE); /* agents would start it again */
    assert_int_equal(say("remove", NULL, "south"), ND_USAGE);
    assert_int_equal(say("remove", NULL, "we-st"), ND_USAGE);
    assert_int_equal(say("unremove", NULL, "west"), ND_USAGE);
    assert_int_equal(say("remove", NULL, "west"), ND_DONE);
    char *left = help_etcdctl(&real, "get --prefix --keys-only understudy/f/wishes/");

    assert_non_null(strstr(left, "understudy/f/wishes/remove/west"));
    assert_int_equal(say("unremove", NULL, "west"), ND_DONE);
    left = help_etcdctl(&real, "get --prefix --keys-only understudy/f/wishes/");
    assert_string_equal(left, "");
}

TESTS_SHARE(make_file, keys_end)
