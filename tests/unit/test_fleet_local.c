/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent does on its server: which orders its node is given and when, which node is ended, what is
 * said of nodes. The node is this program, which answers in place of the client: at once, however busy the
 * machine is. The steward is the real one; systemctl is a script that notes what it is told.
 */
#include "understudy/control/client.h"

static int ask_node(const char *socket, const json_t *request, int timeout_ms, json_t **answer,
                    struct nd_listener *listener, struct ft_fault *fault);
#define nd_ask ask_node
#include "fleet/local.c"
#include "tests/help/config.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <sys/stat.h>

#define S 1000000000ull
enum { A, B, C };

/* The node. `asked`: what it was told, but for questions. */
static struct {
    char status[512], asked[1024];
    unsigned takes_ms; /* to answer */
} node;

/* Six nodes, of shards a to f: which were asked; if they are, they hang. */
static struct {
    bool are, hang;
    char asked[100];
} six;

static bool west_runs; /* a node of a shard that the file does not have */

static struct fl_file *file;
static struct fl_local *local;
static uint64_t now;

static const char *path(const char *name)
{
    static char out[100];

    snprintf(out, sizeof(out), "%s/%s", help_config_dir(), name);
    return out;
}

static int ask_node(const char *socket, const json_t *request, int timeout_ms, json_t **answer,
                    struct nd_listener *listener, struct ft_fault *fault)
{
    char *text = json_dumps(request, JSON_COMPACT);
    bool asks = strstr(text, "\"status\"");

    if (six.are) {
        strncat(six.asked, strrchr(socket, '/') + 1, 1);
        free(text);
        *answer = NULL;
        return six.hang ? FT_EIO : FT_ENOENT;
    }
    if (strcmp(socket, path("west-a.sock")) == 0) {
        free(text);
        *answer = west_runs ? json_pack("{s:s, s:s, s:i}", "node", "west-a", "state", "PROTECTED", "view", 3)
                            : NULL;
        return west_runs ? 0 : FT_ENOENT;
    }
    help_sleep_ms(node.takes_ms);
    assert_string_equal(socket, path("east-a.sock"));
    if (!asks)
        snprintf(node.asked + strlen(node.asked), sizeof(node.asked) - strlen(node.asked), "%s", text);
    free(text);
    *answer = json_loads(asks ? node.status : "{}", 0, NULL);
    return *answer ? 0 : FT_EMALFORMED;
}

static void put(const char *name, const char *text, mode_t mode)
{
    help_config_file(name, text, strlen(text));
    chmod(path(name), mode);
}

static int open_all(void **state)
{
    put("f.yaml",
        help_print("fleet: f\narbiter: {etcd: [\"http://192.0.2.9:2379\"]}\nstate: %s\nrun: %s\n"
                   "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}}\n"
                   "shards: {east: {port: 1}}\npair: {}\nnode: {}\n",
                   help_config_dir(), help_config_dir()),
        0644);
    put("systemctl", help_print("#!/bin/sh\necho \"$2 $3\" >>%s/units\n", help_config_dir()), 0755);
    setenv("PATH", help_config_dir(), 1);
    assert_int_equal(fl_file_read(&file, path("f.yaml"), &help_fault), 0);
    return 0;
}

static int close_all(void **state)
{
    fl_file_free(file);
    rmdir(path("east-a"));
    return help_config_clean(state);
}

/* With a steward of its own, which ends with it. */
static int open_local(struct fl_local **out, const struct fl_file *of)
{
    const struct fl_steward_config config = {.file = of->path, .server = "a", .user = ""};
    int steward;
    int error = fl_steward_start(&steward, &config, &help_fault);

    error = error ? error : fl_local_open(out, of, A, steward, &help_fault);
    help_done(error);
    return error;
}

/* All that the steward was asked is done. */
static void settle(struct fl_local *l, uint32_t shard)
{
    UNTIL(!l->node[shard].task) receive_done(l, 20);
}

static int begin(void **state)
{

    now = 100 * S;
    node.asked[0] = '\0';
    unlink(path("units"));
    unlink(path("east.told"));
    return open_local(&local, file);
}

static int end(void **state)
{
    settle(local, 0);
    fl_local_close(local);
    return 0;
}

static void say(const char *state, const char *role, bool member, int view)
{
    snprintf(node.status, sizeof(node.status),
             "{\"node\":\"east-a\",\"state\":\"%s\",\"role\":\"%s\",\"member\":%s,\"view\":%d,"
             "\"members\":[\"east-a\",\"east-b\"],\"incarnation\":5}",
             state, role, member ? "true" : "false", view);
}

/* Turns go by until `systemctl` has ended, so that all of what was begun is seen. */
static void turn(bool fresh)
{
    fl_local_turn(local, fresh ? UINT64_MAX : 0, now += S);
    settle(local, 0);
}

/* The same once the shard is so. */
static void turn_with(bool fresh, struct fl_placement placement)
{
    fl_local_place(local, 0, &placement);
    turn(fresh);
}

static void expect_units(const char *expected)
{
    char is[1024] = "";

    if (!fl_read_whole(path("units"), is, sizeof(is)))
        is[0] = '\0';
    assert_string_equal(is, expected);
}

static const struct fl_placement protects = {
    .first = {A, B}, .member = {A, B}, .view = 7, .failed.to = FL_NONE};

static struct fl_placement ordered(enum fl_kind kind, uint32_t to)
{
    struct fl_placement p = protects;

    p.order = (struct fl_order){.kind = kind, .cause = FL_DRAIN, .to = to, .since = 50, .incarnation = 5};
    return p;
}

/* The standby is well, and C may never come: no disk, no interface, another program. */
TEST_WITH(a_standby_is_not_given_up_before_the_other_one_is_there, begin, end)
{
    struct fl_placement p = ordered(FL_REPAIR, C);

    say("PROTECTED", "primary", true, 7);
    fl_local_place(local, 0, &p);
    for (int i = 0; i < 5; i++)
        turn(true);
    assert_string_equal(node.asked, "");
    p.order.there = true;
    turn_with(true, p);
    assert_non_null(strstr(node.asked, "\"re-pair\""));
    assert_non_null(strstr(node.asked, "\"east-c\""));
    assert_non_null(strstr(node.asked, "\"192.0.2.3\""));
}

/* What it was told may be long over: the order was withdrawn, and the shard is as it was. */
TEST_WITH(who_does_not_know_what_is_told_now_starts_nodes_alone, begin, end)
{
    struct fl_placement p = ordered(FL_REPAIR, C);

    say("PROTECTED", "primary", true, 7);
    p.order.there = true;
    turn_with(false, p);
    turn_with(false, ordered(FL_HANDOVER, B));
    assert_string_equal(node.asked, "");
    say("READY", "standby", true, 7);
    turn_with(false, ordered(FL_RESTART, A));
    p = protects;
    p.member[0] = C;
    p.view = 8;
    turn_with(false, p);
    expect_units("");
    /* It knows. */
    turn(true);
    expect_units("stop understudy@east-a\n");
    turn_with(true, ordered(FL_RESTART, A));
    expect_units("stop understudy@east-a\nrestart understudy@east-a\n");
    say("PROTECTED", "primary", true, 7);
    turn_with(true, ordered(FL_HANDOVER, B));
    assert_non_null(strstr(node.asked, "\"drain\""));
}

/* A file of an order that stood when the agent ended. */
TEST_WITH(an_order_of_the_file_waits_as_well, begin, end)
{
    const struct fl_placement p = ordered(FL_HANDOVER, B);

    say("PROTECTED", "primary", true, 7);
    fl_local_place(local, 0, &p);
    fl_local_close(local);

    open_local(&local, file);
    assert_true(local->node[0].told);
    turn(false);
    assert_string_equal(node.asked, "");
    turn(true); /* it knows what etcd has now, and in that is no key of the shard */
    assert_string_equal(node.asked, "");
    turn_with(true, p);
    assert_non_null(strstr(node.asked, "\"drain\""));
}

/* Somebody deleted it, or garbled it; or etcd has lost its data, and the order was withdrawn before. */
TEST_WITH(an_order_whose_key_is_gone_is_not_carried_out, begin, end)
{
    struct fl_placement p = ordered(FL_HANDOVER, B);

    say("PROTECTED", "primary", true, 7);
    fl_local_place(local, 0, &p);
    fl_local_place(local, 0, NULL);
    turn(true);
    assert_string_equal(node.asked, "");
    say("READY", "standby", true, 7);
    p = ordered(FL_RESTART, A);
    fl_local_place(local, 0, &p);
    fl_local_place(local, 0, NULL);
    turn(true);
    expect_units("");
    snprintf(node.status, sizeof(node.status), "{}"); /* what is to run goes on to be started */
    turn(true);
    expect_units("start understudy@east-a\n");
}

/* A view of another life of the shard, or whatever else stands in the key. */
TEST_WITH(a_primary_is_not_ended_by_a_key, begin, end)
{
    say("PROTECTED", "primary", true, 7);
    turn_with(true, protects);
    turn_with(true,
              (struct fl_placement){.first = {B, C}, .member = {B, C}, .view = 300, .failed.to = FL_NONE});
    expect_units("");
    /* It was replaced, and knows. */
    say("JOINING", "none", false, 7);
    turn(true);
    expect_units("stop understudy@east-a\n");
    turn(true); /* it takes its time, and is not told again at once */
    expect_units("stop understudy@east-a\n");
    now += 3 * S;
    turn(true);
    expect_units("stop understudy@east-a\nstop understudy@east-a\n");
}

/* A wrong interface, another program: its unit starts it again and again, and nobody wants it any more. */
TEST_WITH(a_node_that_never_came_up_is_stopped_once, begin, end)
{
    const struct fl_placement asked = ordered(FL_REPAIR, A);
    struct fl_placement p = asked;

    snprintf(node.status, sizeof(node.status), "{}");
    p.member[0] = C;
    p.member[1] = B;
    turn_with(true, p);
    expect_units("start understudy@east-a\n");
    p.order.kind = FL_LEAVE;
    turn_with(false, p); /* it may be wanted again */
    expect_units("start understudy@east-a\n");
    put("east-a/east-a.view", "1\n", 0644); /* it has been in a view, and may be the only one that was */
    turn(true);
    expect_units("start understudy@east-a\n");
    unlink(path("east-a/east-a.view"));
    for (int i = 0; i < 8; i++)
        turn(true);
    expect_units("start understudy@east-a\nstop understudy@east-a\n");
    /* The agent was started anew in between. */
    unlink(path("units"));
    p.order = asked.order;
    fl_local_place(local, 0, &p);
    fl_local_close(local);
    open_local(&local, file);
    p.order.kind = FL_LEAVE;
    turn_with(true, p);
    turn(true);
    expect_units("stop understudy@east-a\n");
}

/* One node's word that cannot be read would make all of the server's silent. */
TEST_WITH(what_a_node_says_can_be_read_by_others, begin, end)
{
    static const char *const rows[] = {"[\"east-a\",\"\"]", "[\"east-a\"]", "[\"a b\",\"c\"]",
                                       "[\"east-a\",7]",    "\"east-a\"",   "[\"\\u0007\",\"x\"]"};
    struct fl_server_said read;

    fl_local_place(local, 0, &protects);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(node.status, sizeof(node.status),
                 "{\"node\":\"east-a\",\"state\":\"SOLO\",\"role\":\"primary\",\"member\":true,\"view\":7,"
                 "\"members\":%s,\"incarnation\":-3,\"authority\":{\"counter\":1010},"
                 "\"slow\":{\"cause\":\"%s\"}}",
                 rows[i], i ? "it is SLOW" : "its process stands at times");
        turn(true);
        assert_int_equal(fl_local_said(local)->nodes, 1);
        json_t *o = fl_server_said_write(file, fl_local_said(local));
        char *text = json_dumps(o, JSON_COMPACT);

        if (fl_server_said_read(&read, file, 0, text, strlen(text), &help_fault) != 0)
            fail_msg("%s: %s", text, help_fault.text);
        assert_string_equal(read.node[0].members[0], "");
        assert_string_equal(read.node[0].slow, i ? "" : "its process stands at times");
        assert_true(read.node[0].primary && read.node[0].incarnation == 0 && read.node[0].counter == 1010);
        fl_server_said_free(&read);
        free(text);
        json_decref(o);
    }
}

/* Its files are there: that no more can be written keeps it from nothing. */
TEST_WITH(a_disk_that_is_full_keeps_no_node_from_being_started, begin, end)
{
    struct fl_placement p = protects;

    snprintf(node.status, sizeof(node.status), "{}");
    turn_with(true, p);
    expect_units("start understudy@east-a\n");
    assert_int_equal(mkdir(path("east-a.env.new"), 0755), 0);
    assert_int_equal(mkdir(path("east-a.yaml.new"), 0755), 0);
    p.moved = 1; /* the files are looked at again */
    fl_local_place(local, 0, &p);
    now += 4 * S;
    turn(true);
    rmdir(path("east-a.env.new"));
    rmdir(path("east-a.yaml.new"));
    expect_units("start understudy@east-a\nstart understudy@east-a\n");
}

/* The directory may be the nodes' user's, and the agent is root. */
TEST_WITH(what_lies_in_the_way_of_a_file_is_not_written_to, begin, end)
{
    struct fl_placement p = protects;
    char is[64];

    put("victim", "whole", 0644);
    unlink(path("east.told.new"));
    assert_int_equal(symlink("victim", path("east.told.new")), 0);
    p.moved = 77;
    fl_local_place(local, 0, &p);
    UNTIL(access(path("east.told"), F_OK) == 0) help_sleep_ms(10); /* it is written all the same */
    assert_true(fl_read_whole(path("victim"), is, sizeof(is)));
    assert_string_equal(is, "whole");
}

/* Is there a view file, or not? Who cannot tell says so, and nothing is begun beside it. */
TEST_WITH(a_view_file_that_cannot_be_looked_for_may_be_there, begin, end)
{
    snprintf(node.status, sizeof(node.status), "{}");
    rmdir(path("east-a"));
    turn(true);
    assert_int_equal(fl_local_said(local)->kepts, 0);
    assert_int_equal(symlink("east-a", path("east-a")), 0);
    now += 5 * S; /* it is not looked for in each turn */
    turn(true);
    unlink(path("east-a"));
    assert_int_equal(fl_local_said(local)->kepts, 1);
}

/* Between what was told and the order other nodes took their time. */
TEST_WITH(a_turn_that_takes_long_carries_nothing_out_at_its_end, begin, end)
{
    struct fl_placement p = ordered(FL_HANDOVER, B);

    say("PROTECTED", "primary", true, 7);
    fl_local_place(local, 0, &p);
    node.takes_ms = 30;
    fl_local_turn(local, ft_now() + S / 100, now += S);
    assert_string_equal(node.asked, "");
    node.takes_ms = 0;
    fl_local_turn(local, ft_now() + 100 * S, now += S);
    assert_non_null(strstr(node.asked, "\"drain\""));
}

static const char *asked_in_a_turn(struct fl_local *l)
{
    six.asked[0] = '\0';
    fl_local_turn(l, 0, now += S / 5);
    return six.asked;
}

/* Each silent one is 300 ms in which the others hear no order. */
TEST(a_turn_waits_for_three_silent_nodes)
{
    struct fl_file *of_six;
    struct fl_local *l;
    char text[1024];

    snprintf(text, sizeof(text),
             "fleet: f\narbiter: {etcd: [\"http://192.0.2.9:2379\"]}\nstate: %s\nrun: %s\n"
             "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}}\n"
             "shards: {a: {port: 1}, b: {port: 2}, c: {port: 3}, d: {port: 4}, e: {port: 5}, f: {port: 6}}\n"
             "pair: {}\nnode: {}\n",
             help_config_dir(), help_config_dir());
    put("six.yaml", text, 0644);
    unlink(path("east.told"));
    assert_int_equal(fl_file_read(&of_six, path("six.yaml"), &help_fault), 0);
    open_local(&l, of_six);
    for (int i = 0; i < 6; i++) {
        l->node[i].told = true; /* of one elsewhere: nothing is started */
        l->node[i].placement = protects;
        l->node[i].placement.member[0] = C;
    }
    six.are = six.hang = true;
    now = 100 * S;
    assert_string_equal(asked_in_a_turn(l), "abcdef"); /* nobody knew */
    assert_string_equal(asked_in_a_turn(l), "abc");
    assert_string_equal(asked_in_a_turn(l), "def");
    assert_string_equal(asked_in_a_turn(l), "abc");
    six.hang = false;
    assert_string_equal(asked_in_a_turn(l), "defabc");
    assert_string_equal(asked_in_a_turn(l), "abcdef");
    six.are = false;
    fl_local_close(l);
    fl_file_free(of_six);
}

static bool is_said_of_west(struct fl_local *l, const char *expected)
{
    json_t *o = fl_server_said_write(l->file, fl_local_said(l));
    char *said = json_dumps(o, JSON_COMPACT);
    bool is = strstr(said, expected) != NULL;

    free(said);
    json_decref(o);
    return is;
}

static void ten_turns(struct fl_local *l)
{
    for (int i = 0; i < 10; i++) {
        fl_local_turn(l, UINT64_MAX, now += S);
        settle(l, 1);
    }
}

/* A line that was lost from the file ends no shard; a person does. Its files go once nobody listens there. */
TEST(a_shard_that_is_not_in_the_file_is_said_and_ends_when_it_is_to)
{
    static const char *const left[] = {
        "west.told",          "west-a.yaml",           "west-a.env",
        "west-a/west-a.view", "west-a/west-a.sets/12", "west-a/.west-a.crash-9.new/report"};
    struct fl_local *l;

    unlink(path("units"));
    mkdir(path("west-a"), 0700);
    mkdir(path("west-a/west-a.sets"), 0700);
    mkdir(path("west-a/.west-a.crash-9.new"), 0700);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        put(left[i], "{}", 0600);
    put("not-a-shard.told", "{}", 0600);
    open_local(&l, file);
    assert_int_equal(fl_file_all_shards(file), 2);
    assert_string_equal(file->shard[1].name, "west");
    west_runs = true;
    now = 100 * S;
    for (int i = 0; i < 10; i++)
        fl_local_turn(l, UINT64_MAX, now += S);
    assert_true(is_said_of_west(l, "\"west\":{\"state\":\"PROTECTED\""));
    expect_units("");
    fl_local_remove(l, 1, true);
    fl_local_turn(l, 0, now += S); /* it may be over: the wish was taken back */
    expect_units("");
    ten_turns(l);
    assert_true(is_said_of_west(l, "\"west\":{\"state\":\"PROTECTED\""));
    expect_units("stop understudy@west-a\nstop understudy@west-a\nstop understudy@west-a\n");
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_int_equal(access(path(left[i]), F_OK), 0);
    west_runs = false;
    put("systemctl", "#!/bin/sh\nexit 1\n", 0755);
    l->node[1].stops = false;
    ten_turns(l);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_int_equal(access(path(left[i]), F_OK), 0);
    put("systemctl", "#!/bin/sh\nexit 0\n", 0755);
    ten_turns(l);
    assert_true(is_said_of_west(l, "{\"nodes\":{},\"kept\":[],\"strays\":true}"));
    fl_local_remove(l, 1, true); /* the leader has not deleted the copy yet */
    assert_false(l->node[1].removes);
    fl_local_remove(l, 1, false);
    fl_local_remove(l, 1, true);
    assert_true(l->node[1].removes);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_int_not_equal(access(path(left[i]), F_OK), 0);
    assert_int_not_equal(access(path("west-a"), F_OK), 0);
    fl_local_close(l);
    unlink(path("not-a-shard.told"));
}

TESTS_SHARE(open_all, close_all)
