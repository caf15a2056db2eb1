/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the keys of a fleet hold: what is written is read the same, and what nobody of the fleet wrote is
 * refused whole, whatever it is. Values are handed over in memory of their very length, so that a read behind
 * one is seen by the sanitizers.
 */
#include "fleet/entry.h"
#include "ftcore/record/message.h"
#include "understudy/etcd/keys.h"
#include "tests/help/keys.h"
#include "tests/help/test.h"

#include <math.h>

enum { A, B, C }; /* servers, and shards east, north, west */

static int make_file(void **state)
{
    return keys_begin("servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}}\n"
                      "shards: {east: {port: 1}, north: {port: 2}, west: {port: 3}}\n");
}

static char *copy_of(const char *value, size_t len)
{
    char *copy = malloc(len + !len);

    assert_non_null(copy);
    for (size_t i = 0; i < len; i++)
        copy[i] = value[i] == '\'' ? '"' : value[i];
    return copy;
}

/* ---- shards ---- */

static int read_shard(struct fl_placement *out, const char *value, size_t len, struct ft_fault *fault)
{
    char *copy = copy_of(value, len);
    int error;

    memset(out, 0xa5, sizeof(*out));
    error = fl_placement_read(out, keys_file, copy, len, fault);
    free(copy);
    return error;
}

static void expect_shard(const struct fl_placement *p, const char *expected)
{
    const char *value = plain_json(fl_placement_write(keys_file, p), 0);
    struct fl_placement again;
    struct ft_fault fault = {""};

    assert_string_equal(value, expected);
    assert_int_equal(read_shard(&again, value, strlen(value), &fault), 0);
    assert_string_equal(fault.text, "");
    assert_true(fl_placement_same(p, &again));
    if (!p->failed.count)
        assert_int_equal(again.failed.to, FL_NONE);
}

TEST(a_shard_is_read_as_it_is_written)
{
    struct fl_placement p = {.first = {B, A}, .member = {B, A}, .failed.to = FL_NONE};

    expect_shard(&p, "{'first':['b','a'],'members':['b','a'],'view':0,'moved':0}");
    p.member[0] = C;
    p.view = FT_VIEW_MAX;
    p.moved = 1700000000;
    p.order = (struct fl_order){.kind = FL_REPAIR, .cause = FL_HEAL, .to = B, .since = 1700000001};
    expect_shard(&p, "{'first':['b','a'],'members':['c','a'],'view':4611686018427387904,"
                     "'moved':1700000000,'order':{'kind':'re-pair','cause':'heal','to':'b',"
                     "'since':1700000001}}");
    p.order.there = true;
    expect_shard(&p, "{'first':['b','a'],'members':['c','a'],'view':4611686018427387904,"
                     "'moved':1700000000,'order':{'kind':'re-pair','cause':'heal','to':'b',"
                     "'since':1700000001,'there':true}}");
    p.order.there = false;
    p.view = 3;
    p.order.kind = FL_HANDOVER;
    p.order.cause = FL_BALANCE;
    p.order.to = A;
    p.failed = (struct fl_failed){.count = UINT32_MAX, .when = 5, .to = FL_NONE};
    expect_shard(&p, "{'first':['b','a'],'members':['c','a'],'view':3,'moved':1700000000,"
                     "'order':{'kind':'hand over','cause':'balance','to':'a',"
                     "'since':1700000001},'failed':{'count':4294967295,'when':5,'to':null}}");
    p.failed.count = 0;
    p.order.kind = FL_RESTART;
    p.order.cause = FL_UPGRADE;
    p.order.incarnation = 4294967295;
    expect_shard(&p, "{'first':['b','a'],'members':['c','a'],'view':3,'moved':1700000000,"
                     "'order':{'kind':'restart','cause':'upgrade','to':'a',"
                     "'since':1700000001,'incarnation':4294967295}}");
    p.left.server = B;
    p.left.when = 11;
    expect_shard(&p, "{'first':['b','a'],'members':['c','a'],'view':3,'moved':1700000000,"
                     "'order':{'kind':'restart','cause':'upgrade','to':'a',"
                     "'since':1700000001,'incarnation':4294967295},'left':{'server':'b','when':11}}");
    p.left.when = 0;
    p.failed.count = UINT32_MAX;
    p.failed.to = C;
    p.alone = 9;
    p.order.kind = FL_LEAVE;
    expect_shard(&p, "{'first':['b','a'],'members':['c','a'],'view':3,'moved':1700000000,"
                     "'alone':9,'failed':{'count':4294967295,'when':5,'to':'c'}}");
}

TEST(two_shards_are_the_same_or_not)
{
    const struct fl_placement p = {.first = {A, B},
                                   .member = {A, B},
                                   .view = 3,
                                   .moved = 4,
                                   .order = {FL_REPAIR, FL_HEAL, C, 5},
                                   .failed = {2, B, 6}};
    struct fl_placement q;

#define DIFFERS(member_, value)                                                                              \
    do {                                                                                                     \
        q = p;                                                                                               \
        q.member_ = value;                                                                                   \
        assert_false(fl_placement_same(&p, &q));                                                             \
    } while (0)
    assert_true(fl_placement_same(&p, &p));
    DIFFERS(alone, 1);
    DIFFERS(first[0], C);
    DIFFERS(first[1], C);
    DIFFERS(member[0], C);
    DIFFERS(member[1], C);
    DIFFERS(view, 4);
    DIFFERS(moved, 5);
    DIFFERS(order.kind, FL_HANDOVER);
    DIFFERS(order.kind, FL_LEAVE);
    DIFFERS(order.cause, FL_DRAIN);
    DIFFERS(order.to, B);
    DIFFERS(order.since, 6);
    DIFFERS(order.incarnation, 7);
    DIFFERS(order.there, true);
    DIFFERS(failed.count, 1);
    DIFFERS(failed.to, C);
    DIFFERS(failed.when, 7);
    DIFFERS(left.when, 8);
#undef DIFFERS
    /* What is of no order, or of no failure, is nothing. */
    struct fl_placement none = {.view = 3};

    q = none;
    q.order.to = C;
    q.order.since = 7;
    q.failed.when = 8;
    assert_true(fl_placement_same(&none, &q));
}

TEST(a_server_runs_what_a_shard_says)
{
    struct fl_placement p = {.first = {A, B}, .member = {B, C}, .order = {FL_HANDOVER, FL_DRAIN, A, 0}};

    assert_false(fl_placement_has(&p, A));
    assert_true(fl_placement_has(&p, B));
    assert_true(fl_placement_has(&p, C));
    p.order.kind = FL_REPAIR;
    assert_true(fl_placement_has(&p, A));
}

#define MEMBERS    "'first':['a','b'],'members':['a','b'],"
#define SERVERS    "its first and members are not two servers each"
#define NUMBERS    "its view, moved or alone is no number, expected one from 0 on"
#define NO_ORDER   "its order is none, expected a kind that is known, to a server"
#define NO_FAILURE "its failed is none, expected a count and when"
#define NOT_LEFT   "what it left is none, expected a server and when"

TEST(what_is_no_shards_key_is_refused)
{
    static const struct {
        const char *value, *expected;
    } rows[] = {
        {"", "a shard's key of 0 bytes is no JSON object"},
        {"{", "a shard's key of 1 bytes is no JSON object"},
        {"[]", "a shard's key of 2 bytes is no JSON object"},
        {"null", "a shard's key of 4 bytes is no JSON object"},
        {"{} {}", "a shard's key of 5 bytes is no JSON object"},
        {"{'view':1,'view':2}", "a shard's key of 19 bytes is no JSON object"},
        {"{'view':NaN}", "a shard's key of 12 bytes is no JSON object"},
        {"{'view':1e999}", "a shard's key of 14 bytes is no JSON object"},
        {"{'view':9223372036854775808}", "a shard's key of 28 bytes is no JSON object"},
        {"{'\\u0000':1}", "a shard's key of 12 bytes is no JSON object"},
        {"{'x':'\xff'}", "a shard's key of 9 bytes is no JSON object"},
        {"{}", SERVERS},
        {"{'first':['a','b'],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':['a','a'],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':['a'],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':['a','b','c'],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':['a','d/e'],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':['d','d'],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':[0,1],'view':1}", SERVERS},
        {"{'first':['a','b'],'members':{'a':1,'b':2},'view':1}", SERVERS},
        {"{'first':['a','a'],'members':['a','b'],'view':1}", SERVERS},
        {"{'first':['a',1],'members':['a','b'],'view':1}", SERVERS},
        {"{'first':['a',''],'members':['a','b'],'view':1}", SERVERS},
        {"{'first':['a','b/c'],'members':['a','b'],'view':1}", SERVERS},
        {"{'first':'ab','members':['a','b'],'view':1}", SERVERS},
        {"{'members':['a','b'],'view':1}", SERVERS},
        /* It has not begun: who is to begin it has to be there. */
        {"{'first':['a','d'],'members':['a','b'],'view':0}", SERVERS},
        {"{" MEMBERS "'view':-1}", NUMBERS},
        {"{" MEMBERS "'view':'7'}", NUMBERS},
        {"{" MEMBERS "'view':7.5}", NUMBERS},
        {"{" MEMBERS "'view':null}", NUMBERS},
        {"{" MEMBERS "'view':true}", NUMBERS},
        {"{" MEMBERS "'moved':-1}", NUMBERS},
        {"{" MEMBERS "'alone':-1}", NUMBERS},
        {"{" MEMBERS "'moved':[]}", NUMBERS},
        {"{" MEMBERS "'order':null}", NO_ORDER},
        {"{" MEMBERS "'order':[]}", NO_ORDER},
        {"{" MEMBERS "'order':{}}", NO_ORDER},
        {"{" MEMBERS "'order':'re-pair'}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'create','cause':'new','to':'c','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'none','cause':'heal','to':'c','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'withdraw','cause':'heal','to':'c','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'mischief','cause':'heal','to':'c','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':2,'cause':'heal','to':'c','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'re-pair','to':'c','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'re-pair','cause':'heal','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'re-pair','cause':'heal','to':2,'since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'re-pair','cause':'heal','to':'','since':1}}", NO_ORDER},
        {"{" MEMBERS "'order':{'kind':'re-pair','cause':'heal','to':'c','since':-1}}", NO_ORDER},
        {"{" MEMBERS "'failed':7}", NO_FAILURE},
        {"{" MEMBERS "'failed':{'count':-1}}", NO_FAILURE},
        {"{" MEMBERS "'failed':{'count':4294967296}}", NO_FAILURE},
        {"{" MEMBERS "'failed':{'count':1,'when':-1}}", NO_FAILURE},
        {"{" MEMBERS "'failed':{'count':1,'when':'now'}}", NO_FAILURE},
        {"{" MEMBERS "'left':7}", NOT_LEFT},
        {"{" MEMBERS "'left':{'server':'a','when':-1}}", NOT_LEFT},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fl_placement p;
        struct ft_fault fault = {""};

        if (read_shard(&p, rows[i].value, strlen(rows[i].value), &fault) != FT_EMALFORMED)
            fail_msg("%s was read", rows[i].value);
        assert_string_equal(fault.text, rows[i].expected);
        /* Nothing of it counts. */
        assert_int_equal(p.member[0] + p.member[1] + p.first[0] + p.first[1], 0);
        assert_true(p.view == 0 && p.moved == 0);
        assert_int_equal(p.order.kind, FL_LEAVE);
        assert_int_equal(p.failed.count, 0);
        assert_int_equal(p.failed.to, FL_NONE);
    }
}

/* Each beginning of a key, as when a write was cut. */
TEST(a_key_that_was_cut_is_refused)
{
    static const char whole[] =
        "{" MEMBERS "'view':7,'order':{'kind':'re-pair','cause':'heal','to':'c','since':1}}";
    struct fl_placement p;

    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        assert_int_equal(read_shard(&p, whole, len, &help_fault), FT_EMALFORMED);
    assert_int_equal(read_shard(&p, whole, sizeof(whole) - 1, &help_fault), 0);
    assert_int_equal(p.order.to, C);
}

static void read_well(struct fl_placement *out, const char *value)
{
    if (read_shard(out, value, strlen(value), &help_fault))
        fail_msg("%s: %s", value, help_fault.text);
}

/* An operator empties a server and takes it out of the file: the shards that it once had are read. */
TEST(a_server_that_the_file_has_no_more_is_no_matter_once_nothing_is_there)
{
    struct fl_placement p;
    uint32_t all = fl_file_all(keys_file);

    read_well(&p, "{'first':['gone','b'],'members':['c','b'],'view':7}");
    assert_int_equal(p.first[0], C);
    assert_int_equal(p.first[1], B);
    read_well(&p, "{'first':['gone','lost'],'members':['c','b'],'view':7}");
    assert_int_equal(p.first[0], C);
    assert_int_equal(p.first[1], B);
    read_well(&p, "{" MEMBERS "'view':7,'order':{'kind':'re-pair','cause':'heal','to':'gone',"
                  "'since':1}}");
    assert_int_equal(p.order.kind, FL_LEAVE);
    read_well(&p, "{" MEMBERS "'view':7,'failed':{'count':3,'when':1,'to':'gone'}}");
    assert_int_equal(p.failed.count, 3);
    assert_int_equal(p.failed.to, FL_NONE);
    assert_int_equal(fl_file_all(keys_file), all);
}

TEST(what_later_versions_add_is_left_out)
{
    struct fl_placement p;

    read_well(&p, "{" MEMBERS "'view':7,'colour':'red','order':{'kind':'hand over','cause':'mood',"
                  "'to':'b','since':1,'how':[1]}}");
    assert_int_equal(p.order.kind, FL_HANDOVER);
    assert_int_equal(p.order.cause, FL_NO_CAUSE);
    read_well(&p, "{" MEMBERS "'view':7,'order':{'kind':'restart','cause':'upgrade','to':'b',"
                  "'since':1}}");
    assert_int_equal(p.order.kind, FL_RESTART);
    assert_int_equal(p.order.cause, FL_UPGRADE);
}

/* ---- servers ---- */

static int read_server(struct fl_server_said *out, const char *value, size_t len, struct ft_fault *fault)
{
    char *copy = copy_of(value, len);
    int error;

    memset(out, 0xa5, sizeof(*out));
    error = fl_server_said_read(out, keys_file, A, copy, len, fault);
    free(copy);
    return error;
}

TEST(a_server_is_read_as_it_is_written)
{
    struct fl_server_said said, again;

    assert_int_equal(fl_server_said_make(&said, keys_file->shards, &help_fault), 0);
    said.node[0] = (struct fl_node_said){.shard = C,
                                         .state = "PROTECTED",
                                         .primary = true,
                                         .member = true,
                                         .view = FT_VIEW_MAX,
                                         .slow = "it acknowledges late",
                                         .members = {"west-a", "west-b"},
                                         .measured = true,
                                         .load = {{0.25, 1e6, 512, 0}},
                                         .timed = true,
                                         .busy = 75};
    said.node[1] = (struct fl_node_said){.shard = A, .state = "JOINING", .incarnation = 77, .counter = 1010};
    said.nodes = 2;
    said.kept[said.kepts++] = B;
    const char *value = plain_json(fl_server_said_write(keys_file, &said), JSON_SORT_KEYS);

    assert_string_equal(
        value, "{'kept':['north'],'nodes':{"
               "'east':{'counter':1010,'incarnation':77,'member':false,'primary':false,'state':"
               "'JOINING','view':0},"
               "'west':{'busy':75,'load':[0.25,1000000.0,512.0],'member':true,'members':['west-a','west-b'],"
               "'primary':true,'slow':'it acknowledges late','state':'PROTECTED',"
               "'view':4611686018427387904}},"
               "'strays':true}");
    assert_int_equal(read_server(&again, value, strlen(value), &help_fault), 0);
    assert_int_equal(again.nodes, 2);
    assert_int_equal(again.kepts, 1);
    assert_int_equal(again.kept[0], B);
    assert_true(again.tells);
    /* They have no order. */
    const struct fl_node_said *west = &again.node[again.node[0].shard != C],
                              *east = &again.node[west == again.node];

    assert_int_equal(west->shard, C);
    assert_int_equal(east->shard, A);
    assert_true(east->incarnation == 77 && !west->incarnation);
    assert_true(east->counter == 1010 && !west->counter);
    assert_string_equal(west->state, "PROTECTED");
    assert_string_equal(west->slow, "it acknowledges late");
    assert_string_equal(east->slow, "");
    assert_true(west->primary && west->member && west->measured && west->busy == 75);
    assert_true(west->view == FT_VIEW_MAX);
    assert_string_equal(west->members[0], "west-a");
    assert_string_equal(west->members[1], "west-b");
    assert_true(west->load.of[FL_PROCESSOR] == 0.25 && west->load.of[FL_PACKETS] == 1e6 &&
                west->load.of[FL_MEMORY] == 512);
    assert_string_equal(east->state, "JOINING");
    assert_true(!east->primary && !east->member && !east->measured);
    assert_string_equal(east->members[0], "");
    fl_server_said_free(&again);
    fl_server_said_free(&said);
    fl_server_said_free(&said);
}

/* JSON has no number for it. */
TEST(a_load_that_is_no_number_is_not_written)
{
    struct fl_server_said said, again;

    assert_int_equal(fl_server_said_make(&said, keys_file->shards, &help_fault), 0);
    said.node[said.nodes++] =
        (struct fl_node_said){.shard = A, .state = "SOLO", .measured = true, .load = {{NAN, 1, 1, 0}}};
    const char *value = plain_json(fl_server_said_write(keys_file, &said), 0);

    assert_int_equal(read_server(&again, value, strlen(value), &help_fault), 0);
    assert_int_equal(again.nodes, 1);
    assert_false(again.node[0].measured);
    fl_server_said_free(&again);
    /* One that cannot be written is not left out: nobody would know of it. */
    strcpy(said.node[0].state, "\xff");
    assert_null(fl_server_said_write(keys_file, &said));
    fl_server_said_free(&said);
}

/* Whatever they are called, and whatever they say. */
TEST(as_many_nodes_as_a_server_may_run_fit_into_its_key)
{
    struct fl_shard_entry shard[FL_NODES_MAX] = {{.name = ""}};
    const struct fl_file most = {.shard = shard, .shards = FL_NODES_MAX};
    struct fl_server_said said;

    assert_int_equal(fl_server_said_make(&said, FL_NODES_MAX, &help_fault), 0);
    for (; said.nodes < FL_NODES_MAX; said.nodes++) {
        struct fl_node_said *n = &said.node[said.nodes];

        snprintf(shard[said.nodes].name, FL_NAME_MAX, "n%028u", said.nodes); /* and "-s" of a server */
        *n = (struct fl_node_said){
            .shard = said.nodes,
            .state = "a state of 15 b",
            .view = FT_VIEW_MAX,
            .incarnation = INT64_MAX,
            .counter = UINT32_MAX,
            .slow = "a cause of twenty seven let",
            .measured = true,
            .timed = true,
            .busy = 100,
            .load = {{1.2345678901234567e-100, 1.2345678901234567e-100, 1.2345678901234567e-100}}};
        snprintf(n->members[0], FL_NAME_MAX, "n%028u-a", said.nodes);
        snprintf(n->members[1], FL_NAME_MAX, "n%028u-b", said.nodes);
    }
    const char *value =
        plain_json(fl_server_said_write(&most, &said), JSON_REAL_PRECISION(2)); /* as the agent */

    assert_in_range(strlen(value), ND_VALUE_MAX - 8192, ND_VALUE_MAX);
    fl_server_said_free(&said);
}

#define NODE(more) "{'nodes':{'east':{'state':'SOLO'" more "}},'kept':[]}"
#define NO_NODE    "what a server says of shard east is no node's"
#define NO_LISTS   "what a server says has no nodes, or no kept, expected both"

TEST(what_is_no_servers_key_is_refused)
{
    static const struct {
        const char *value, *expected;
    } rows[] = {
        {"", "what a server says of 0 bytes is no JSON object"},
        {"7", "what a server says of 1 bytes is no JSON object"},
        {"{'nodes':{'east':{},'east':{}}}", "what a server says of 31 bytes is no JSON object"},
        /* Nothing would be a server without nodes, beside which shards are begun. */
        {"{}", NO_LISTS},
        {"{'nodes':{}}", NO_LISTS},
        {"{'kept':[]}", NO_LISTS},
        {"{'nodes':[],'kept':[]}", NO_LISTS},
        {"{'nodes':{},'kept':{}}", NO_LISTS},
        {"{'nodes':null,'kept':null}", NO_LISTS},
        {"{'nodes':{'east':null},'kept':[]}", NO_NODE},
        {"{'nodes':{'east':{}},'kept':[]}", NO_NODE},
        {"{'nodes':{'east':['SOLO']},'kept':[]}", NO_NODE},
        {"{'nodes':{'east':{'state':7}},'kept':[]}", NO_NODE},
        {"{'nodes':{'east':{'state':'0123456789012345'}},'kept':[]}", NO_NODE},
        {NODE(",'view':-1"), NO_NODE},
        {NODE(",'view':'1'"), NO_NODE},
        {NODE(",'view':1.0"), NO_NODE},
        {NODE(",'members':7"), NO_NODE},
        {NODE(",'members':[]"), NO_NODE},
        {NODE(",'members':['east-a']"), NO_NODE},
        {NODE(",'members':['east-a','east-b','east-c']"), NO_NODE},
        {NODE(",'members':['east-a',7]"), NO_NODE},
        {NODE(",'members':['east-a','']"), NO_NODE},
        {NODE(",'members':['east-a','a/b']"), NO_NODE},
        {NODE(",'members':['east-a','a1234567890123456789012345678901']"), NO_NODE},
        {"{'nodes':{'west':{'state':'SOLO'},'east':{}},'kept':['north']}", NO_NODE},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fl_server_said said;
        struct ft_fault fault = {""};

        if (read_server(&said, rows[i].value, strlen(rows[i].value), &fault) != FT_EMALFORMED)
            fail_msg("%s was read", rows[i].value);
        assert_string_equal(fault.text, rows[i].expected);
        assert_null(said.node);
        assert_null(said.kept);
        assert_int_equal(said.nodes + said.kepts, 0);
        fl_server_said_free(&said);
    }
}

static void read_server_well(struct fl_server_said *out, const char *value)
{
    if (read_server(out, value, strlen(value), &help_fault))
        fail_msg("%s: %s", value, help_fault.text);
}

TEST(what_is_no_load_was_not_measured)
{
    static const char *const rows[] = {
        NODE(""),
        NODE(",'load':7"),
        NODE(",'load':[]"),
        NODE(",'load':[1,2]"),
        NODE(",'load':[1,2,3,4]"),
        NODE(",'load':[1,2,'3']"),
        NODE(",'load':[-1,2,3]"),
        NODE(",'load':[1,2,-0.5]"),
        NODE(",'load':[1,1e300,3]"),
        NODE(",'load':{'a':1,'b':2,'c':3}"),
    };
    struct fl_server_said said;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        read_server_well(&said, rows[i]);
        assert_int_equal(said.nodes, 1);
        assert_false(said.node[0].measured);
        assert_true(said.node[0].load.of[FL_PROCESSOR] == 0 && said.node[0].load.of[FL_PACKETS] == 0);
        fl_server_said_free(&said);
    }
    read_server_well(&said, NODE(",'load':[0,1,2.5]"));
    assert_true(said.node[0].measured && said.node[0].load.of[FL_MEMORY] == 2.5);
    fl_server_said_free(&said);
}

TEST(only_a_percentage_is_taken_for_busy)
{
    static const struct {
        const char *node;
        bool timed;
        uint32_t busy;
    } rows[] = {
        {NODE(",'load':[1,2,3],'busy':0"), true, 0},
        {NODE(",'load':[1,2,3],'busy':50"), true, 50},
        {NODE(",'load':[1,2,3],'busy':100"), true, 100},
        {NODE(",'load':[1,2,3],'busy':101"), false, 0},
        {NODE(",'load':[1,2,3],'busy':-5"), false, 0},
        {NODE(",'load':[1,2,3],'busy':'much'"), false, 0},
        {NODE(",'load':[1,2,3]"), false, 0},
        {NODE(",'busy':50"), false, 0},
    };
    struct fl_server_said said;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        read_server_well(&said, rows[i].node);
        assert_int_equal(said.node[0].timed, rows[i].timed);
        assert_int_equal(said.node[0].busy, rows[i].busy);
        fl_server_said_free(&said);
    }
}

TEST(shards_that_the_file_has_no_more_are_left_out)
{
    struct fl_server_said said;

    read_server_well(&said, "{'nodes':{'old':{'state':7},'west':{'state':'SOLO'}},"
                            "'kept':['older','east',7,null]}");
    assert_int_equal(said.nodes, 1);
    assert_int_equal(said.node[0].shard, C);
    assert_int_equal(said.kepts, 1);
    assert_int_equal(said.kept[0], A);
    fl_server_said_free(&said);
}

/* As many times as there is room, and one more that counts. */
TEST(a_shard_that_is_named_often_leaves_room_for_others)
{
    struct fl_server_said said;

    read_server_well(&said, "{'nodes':{},'kept':['east','east','east','east','west','west']}");
    assert_int_equal(said.kepts, 2);
    assert_int_equal(said.kept[1], C);
    fl_server_said_free(&said);
}

/* It was taken out too early. Who is a member is known by name, and written as it was read. The last test: it
 * fills the room of the file. */
TEST(a_member_on_a_server_that_the_file_has_no_more_is_one)
{
    struct fl_placement p;
    char value[128];
    uint32_t all = fl_file_all(keys_file);

    read_well(&p, "{'first':['a','lost'],'members':['lost','b'],'view':7}");
    assert_int_equal(p.member[0], all);
    assert_int_equal(p.member[1], B);
    assert_int_equal(p.first[0], all);
    assert_string_equal(keys_file->server[p.member[0]].name, "lost");
    json_t *o = fl_placement_write(keys_file, &p);

    assert_string_equal(plain_json(json_incref(json_object_get(o, "members")), 0), "['lost','b']");
    json_decref(o);
    /* The same one again, another one, and no more than there is room for. */
    read_well(&p, "{'first':['a','b'],'members':['gone','lost'],'view':7}");
    assert_int_equal(p.member[0], all + 1);
    assert_int_equal(p.member[1], all);
    assert_int_equal(fl_file_server(keys_file, "lost"), FL_NONE);
    for (uint32_t i = all + 2; i < keys_file->servers + FL_UNLISTED_MAX; i++) {
        snprintf(value, sizeof(value), "x%u", i);
        assert_int_equal(fl_file_member(keys_file, value), i);
    }
    assert_int_equal(fl_file_member(keys_file, "one-more"), FL_NONE);
    assert_int_equal(fl_file_member(keys_file, value), keys_file->servers + FL_UNLISTED_MAX - 1);
    assert_int_equal(fl_file_member(keys_file, "b"), B);
    assert_int_equal(fl_file_all(keys_file), keys_file->servers + FL_UNLISTED_MAX);
}

TESTS_SHARE(make_file, keys_end)
