/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys to a picture, and steps to keys. The keys are written here as text, as they stand in etcd; what is to
 * come of them is said beside, by the rules of docs/fleet.md. What a step writes is held against a model that
 * is as plain as can be, over all kinds of steps and many pictures.
 */
#include "tests/help/keys.h"
#include "tests/help/test.h"

enum { A, B, C, D, SERVERS }; /* servers */
enum { EAST, NORTH, SHARDS }; /* shards */

#define NOW 5000u

static int make_file(void **state)
{
    return keys_begin(
        "heals: 7\n"
        "hold_down_s: 61\n"
        "servers: {a: {host: 192.0.2.1, zone: right},\n"
        "          b: {host: 192.0.2.2, zone: left, nodes: 3, cores: 2, mpps: 5, memory_mb: 6},\n"
        "          c: {host: 192.0.2.3}, d: {host: 192.0.2.4, zone: left}}\n"
        "shards: {east: {port: 1}, north: {port: 2, on: [d, c]}}\n");
}

static struct fl_picture picture;

static int forget(void **state)
{
    if (picture.file)
        fl_picture_free(&picture);
    return keys_forget(state);
}

static void paint_at(uint64_t now, const uint64_t gone[])
{
    if (picture.file)
        fl_picture_free(&picture);
    assert_int_equal(fl_picture_make(&picture, keys_file, &keys, gone, now, &help_fault), 0);
}

static void paint(void)
{
    paint_at(NOW, NULL);
}

/* Of a server: each node, {} for none, without the braces. */
static void put_server(const char *server, const char *nodes, const char *kept)
{
    const char *key = help_print("servers/%s", server);
    put(key, help_print("{'nodes':{%s},'kept':[%s]}", nodes, kept), 1);
}

/* The same, and the picture is painted of it. */
static void hear(const char *server, const char *nodes, const char *kept)
{
    put_server(server, nodes, kept);
    paint();
}

static void learn(const char *key, const char *value, int64_t changed)
{
    put(key, value, changed);
    paint();
}

#define NODE(shard, state, primary, member, view, a, b)                                                      \
    "'" shard "':{'state':'" state "','primary':" primary ",'member':" member ",'view':" view                \
    ",'members':['" shard "-" a "','" shard "-" b "']}"

#define EAST_AB                SHARD("a", "b", "7", "")
#define STEP(what, why, where) ((struct fl_step){.kind = what, .cause = why, .to = {where, FL_NONE}})

static struct fl_plan *plan_of(void)
{
    struct fl_plan *plan;

    help_done(fl_plan_make(&plan, &picture.fleet, &help_fault));
    return HELP_OWNED(plan, fl_plan_free);
}

/* What the leader says of leases. */
static void expect_gone(const char *expected)
{
    assert_string_equal(HELP_OWNED(plain_quotes(fl_picture_gone(&picture)), free), expected);
}

static void put_all_servers(void)
{
    put_server("a", "", "");
    put_server("b", "", "");
    put_server("c", "", "");
    put_server("d", "", "");
}

/* ---- servers ---- */

TEST_WITH(a_server_is_as_the_file_and_the_keys_say, NULL, forget)
{
    static const uint64_t gone[] = {11, 12, 13, 14};

    put_server("b", "", "");
    put("wishes/drain/c", "1", 2);
    put_leased("leader", "b", 3, 9);
    paint_at(NOW, gone);
    assert_int_equal(picture.fleet.servers, SERVERS);
    assert_int_equal(picture.fleet.shards, SHARDS);
    assert_int_equal(picture.fleet.settings.heals, 7);
    assert_int_equal(picture.fleet.settings.hold_down, 61);
    assert_int_equal(picture.fleet.settings.patience, 120);
    assert_true(picture.fleet.now == NOW);
    assert_string_equal(picture.leader, "b");
    assert_string_equal(picture.server[B].name, "b");
    assert_true(picture.server[B].lease && !picture.server[A].lease);
    assert_int_equal(picture.server[A].gone, 11);
    assert_int_equal(picture.server[B].gone, 0);
    assert_true(picture.server[C].drained && !picture.server[B].drained);
    assert_true(picture.server[B].capacity.of[FL_PROCESSOR] == 2 &&
                picture.server[B].capacity.of[FL_PACKETS] == 5e6);
    assert_true(picture.server[B].capacity.of[FL_MEMORY] == 6 &&
                picture.server[B].capacity.of[FL_NODES] == 3);
    /* b and d are in one zone, a in another one, c in one of its own. */
    assert_int_equal(picture.server[B].zone, picture.server[D].zone);
    assert_int_not_equal(picture.server[A].zone, picture.server[B].zone);
    assert_int_not_equal(picture.server[A].zone, picture.server[C].zone);
    assert_int_not_equal(picture.server[B].zone, picture.server[C].zone);
}

/* A plan of who does not lead stops where the leader's does. */
TEST_WITH(what_the_leader_says_of_leases_is_known_to_all, NULL, forget)
{
    static const uint64_t gone[SERVERS] = {11, 12, 13, 14};
    struct fl_plan *plan;

    put_server("d", "", "");
    learn("leader/gone", "{'a':94,'b':95,'c':-1,'d':96,'x':97}", 3);
    assert_int_equal(picture.server[A].gone, 94);
    assert_int_equal(picture.server[B].gone, 95);
    assert_int_equal(picture.server[C].gone, 0);
    assert_int_equal(picture.server[D].gone, 0); /* it has its lease again */
    assert_int_equal(picture.unreadable, 0);
    plan = plan_of();
    assert_true(plan->stopped);
    assert_int_equal(plan->gone, 2);
    assert_int_equal(plan->were, 3);
    expect_gone("{'a':94,'b':95,'c':0}");
    /* The leader goes by what it knows itself. */
    paint_at(NOW, gone);
    assert_int_equal(picture.server[A].gone, 11);
    expect_gone("{'a':11,'b':12,'c':13}");
    learn("leader/gone", "[90]", 4);
    assert_int_equal(picture.server[A].gone, 0);
    assert_int_equal(picture.unreadable, 1);
    assert_string_equal(picture.why, "understudy/f/leader/gone: no JSON object, expected times by servers");
}

/* Whoever leads next orders nothing that the leader before it did not; and a lease that went with that one's
 * is of the same moment. */
TEST_WITH(who_leads_next_knows_of_leases_by_the_leader, NULL, forget)
{
    static const char *const last = "{\"a\":94,\"c\":0,\"d\":96,\"x\":97}";
    uint64_t gone[SERVERS] = {[B] = 7};

    put_server("d", "", "");
    fl_gone_read(keys_file, &keys, last, 99, gone);
    assert_int_equal(gone[A], 94);
    assert_int_equal(gone[B], 99); /* nobody has said so: it went with the leader's */
    assert_int_equal(gone[C], 0);  /* it never had one */
    assert_int_equal(gone[D], 0);  /* it has its lease */
    fl_gone_read(keys_file, &keys, "spoilt", 99, gone);
    assert_int_equal(gone[A], 99);
    assert_int_equal(gone[D], 0);
    fl_gone_read(keys_file, &keys, NULL, 99, gone); /* there was no leader that anybody knows of */
    assert_int_equal(gone[A], 0);
}

TEST_WITH(without_keys_there_is_a_fleet_in_which_nobody_leads, NULL, forget)
{
    paint();
    assert_string_equal(picture.leader, "");
    for (uint32_t i = 0; i < SERVERS; i++)
        assert_false(picture.server[i].lease || picture.server[i].drained || picture.server[i].gone);
    assert_false(picture.shard[EAST].known);
    assert_int_equal(picture.shard[EAST].found, FL_NONE);
    assert_int_equal(picture.shard[EAST].failed.to, FL_NONE);
    assert_int_equal(picture.unreadable, 0);
}

/* ---- shards ---- */

TEST_WITH(a_key_without_nodes_is_believed, NULL, forget)
{
    const struct fl_shard *s;

    put("shards/east", SHARD("c", "b", "7", ORDER("re-pair", "drain", "d", "90") FAILED("2", "80", "a")), 42);
    learn("wishes/pin/east", "b", 2);
    s = &picture.shard[EAST];
    assert_true(s->known && s->view == 7 && s->moved == 100);
    assert_int_equal(picture.revision[EAST], 42);
    assert_int_equal(picture.revision[NORTH], 0);
    assert_int_equal(s->member[0], C);
    assert_int_equal(s->member[1], B);
    assert_int_equal(s->says[0], FL_SAYS_NOTHING);
    assert_int_equal(s->primary, FL_NONE);
    assert_int_equal(s->pin, B);
    assert_int_equal(s->order.kind, FL_REPAIR);
    assert_int_equal(s->order.cause, FL_DRAIN);
    assert_int_equal(s->order.to, D);
    assert_int_equal(s->order.since, 90);
    assert_int_equal(s->failed.count, 2);
    assert_int_equal(s->failed.when, 80);
    assert_int_equal(s->failed.to, A);
}

TEST_WITH(nodes_of_the_view_are_heard, NULL, forget)
{
    static const struct {
        const char *state;
        enum fl_says says;
    } rows[] = {
        {"JOINING", FL_SAYS_JOINING}, {"SYNCING", FL_SAYS_SYNCING},     {"READY", FL_SAYS_READY},
        {"SOLO", FL_SAYS_SOLO},       {"PROTECTED", FL_SAYS_PROTECTED}, {"DEGRADED", FL_SAYS_DEGRADED},
        {"FENCED", FL_SAYS_FENCED},   {"protected", FL_SAYS_NOTHING},   {"", FL_SAYS_NOTHING}};
    const struct fl_shard *s = NULL;

    put("shards/east", EAST_AB, 42);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear("b",
             help_print("'east':{'state':'%s','primary':true,'member':true,'view':7,"
                        "'members':['east-a','east-b'],'load':[1,2,3],'busy':50}",
                        rows[i].state),
             "");
        s = &picture.shard[EAST];
        assert_int_equal(s->says[1], rows[i].says);
        assert_int_equal(s->says[0], FL_SAYS_NOTHING);
        assert_int_equal(s->primary, 1);
    }
    /* Loads are of the role: b is the primary. */
    assert_true(s->measured[0] && !s->measured[1]);
    assert_true(s->load[0].of[FL_PACKETS] == 2 && s->busy[0] == 50 && s->busy[1] == FL_NONE);
    hear("a",
         "'east':{'state':'READY','primary':false,'member':true,'view':7,"
         "'members':['east-a','east-b'],'load':[4,5,6]}",
         "");
    assert_true(picture.shard[EAST].measured[1] && picture.shard[EAST].load[1].of[FL_PACKETS] == 5);
    assert_int_equal(picture.shard[EAST].says[0], FL_SAYS_READY);
}

TEST_WITH(a_later_view_of_nodes_goes_before_the_key_and_ends_an_order, NULL, forget)
{
    const struct fl_shard *s;

    put("shards/east", SHARD("a", "b", "7", ORDER("re-pair", "heal", "c", "90")), 42);
    put_server("a", NODE("east", "SOLO", "true", "true", "8", "a", "c"), "");
    put_server("b", NODE("east", "READY", "false", "true", "7", "a", "b"), "");
    hear("c", NODE("east", "SYNCING", "false", "true", "8", "a", "c"), "");
    s = &picture.shard[EAST];
    assert_true(s->known && s->view == 8);
    assert_int_equal(s->member[0], A);
    assert_int_equal(s->member[1], C);
    assert_int_equal(s->says[0], FL_SAYS_SOLO);
    assert_int_equal(s->says[1], FL_SAYS_SYNCING);
    assert_int_equal(s->primary, 0);
    assert_int_equal(s->order.kind, FL_LEAVE);
    assert_int_equal(s->moved, 100);
}

TEST_WITH(a_node_of_another_view_says_nothing, NULL, forget)
{
    put("shards/east", EAST_AB, 42);
    /* b lives on in an earlier view, in which it was the primary's standby; a is dead. */
    hear("b", NODE("east", "READY", "true", "true", "6", "b", "a"), "");
    assert_true(picture.shard[EAST].view == 7);
    assert_int_equal(picture.shard[EAST].says[1], FL_SAYS_NOTHING);
    assert_int_equal(picture.shard[EAST].primary, FL_NONE);
    /* The same in this view: what it says counts, though the key of a's server is gone. */
    hear("b", NODE("east", "READY", "false", "true", "7", "a", "b"), "");
    assert_int_equal(picture.shard[EAST].says[0], FL_SAYS_NOTHING);
    assert_int_equal(picture.shard[EAST].says[1], FL_SAYS_READY);
    assert_int_equal(picture.shard[EAST].primary, FL_NONE);
}

/* Only a member of a view tells of it. */
TEST_WITH(whose_word_does_not_count, NULL, forget)
{
    static const char *const rows[] = {
        NODE("east", "SOLO", "true", "false", "9", "a", "c"), /* is none, as it says itself */
        NODE("east", "SOLO", "true", "true", "9", "b", "c"),  /* is not among them */
        NODE("east", "SOLO", "true", "true", "9", "a", "a"),
        NODE("east", "SOLO", "true", "true", "0", "a", "c"),
        "'east':{'state':'SOLO','primary':true,'member':true,'view':9}",
        "'east':{'state':'SOLO','primary':true,'member':true,'view':9,"
        "'members':['north-a','north-c']}",
    };

    put("shards/east", EAST_AB, 42);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear("a", rows[i], "");
        assert_true(picture.shard[EAST].view == 7);
        assert_int_equal(picture.shard[EAST].member[1], B);
        assert_int_equal(picture.shard[EAST].primary, FL_NONE);
    }
}

TEST_WITH(a_shard_without_key_and_nodes_is_new, NULL, forget)
{
    put_all_servers();
    learn("wishes/pin/east", "c", 2);
    assert_false(picture.shard[EAST].known);
    assert_int_equal(picture.shard[EAST].found, FL_NONE);
    assert_int_equal(picture.shard[EAST].pin, C);
}

TEST_WITH(a_shard_without_key_that_has_nodes_is_known, NULL, forget)
{
    put_all_servers();
    hear("c", NODE("east", "PROTECTED", "true", "true", "9", "c", "d"), "");
    assert_true(picture.shard[EAST].known && picture.shard[EAST].view == 9);
    assert_int_equal(picture.shard[EAST].member[0], C);
    assert_int_equal(picture.shard[EAST].member[1], D);
    assert_int_equal(picture.shard[EAST].primary, 0);
    assert_int_equal(picture.shard[EAST].says[0], FL_SAYS_PROTECTED);
    assert_int_equal(picture.shard[EAST].failed.to, FL_NONE);
    assert_int_equal(picture.shard[EAST].moved, NOW); /* else it would be balanced at once */
}

/* What is said of the shard; and what the plan does with it. */
static enum fl_kind expect_east(const char *why)
{
    struct fl_plan *plan;
    char is[FL_WHY_MAX];

    paint();
    plan = plan_of();
    assert_string_equal(fl_plan_explain(plan, &picture.fleet, EAST, is), why);
    return plan->step[EAST].kind;
}

static void expect_kept_from(const char *why)
{
    assert_int_equal(expect_east(why), FL_LEAVE);
}

TEST_WITH(what_keeps_a_shard_from_being_created, NULL, forget)
{
    static const char found[] = "not created: c may have a node of that shard, or a view that it kept";

    put_all_servers();
    put_server("c", "", "'east'");
    expect_kept_from(found);
    put_server("c", NODE("east", "FENCED", "false", "false", "3", "a", "b"), "");
    expect_kept_from(found);
    /* Of several servers the first one is told, whatever it has. */
    put_server("d", NODE("east", "FENCED", "false", "false", "3", "a", "b"), "'north'");
    put_server("c", NODE("north", "FENCED", "false", "false", "3", "a", "b"), "'east'");
    expect_kept_from(found);
    put_server("d", "", "");
    /* What cannot be read may be anything, and is said. */
    put("servers/c", "{}", 3);
    expect_kept_from(found);
    assert_int_equal(picture.unreadable, 1);
    assert_string_equal(picture.why,
                        "understudy/f/servers/c: what a server says has no nodes, or no kept, expected both");
    put("servers/c", "{'nodes':{'north':{}},'kept':[]}", 3);
    expect_kept_from(found);
    /* Nor is one begun beside a key that cannot be read. */
    put_server("c", "", "");
    put("shards/east", "{'first':['a','b'],'members':['a','a'],'view':7}", 42);
    expect_kept_from("not created: its key shards/east is there, and cannot be read");
    struct fl_plan *plan = plan_of();

    assert_int_equal(plan->step[NORTH].kind, FL_CREATE);
    assert_int_equal(picture.unreadable, 1);
    assert_string_equal(picture.why,
                        "understudy/f/shards/east: its first and members are not two servers each");
}

/* Taken out before it was empty: it is emptied while it answers, and dead by the rule of every server. */
TEST_WITH(a_server_that_the_file_has_no_more_is_emptied, NULL, forget)
{
    struct fl_plan *plan;

    put_all_servers();
    put("shards/east", "{'first':['a','old'],'members':['a','old'],'view':7,'moved':100}", 42);
    put_server("old", NODE("east", "READY", "false", "true", "7", "a", "old"), "");
    put_server("a", NODE("east", "PROTECTED", "true", "true", "7", "a", "old"), "");
    expect_east("re-pair with c: old is not in the fleet's file any more");
    assert_int_equal(picture.fleet.servers, SERVERS + 1);
    assert_string_equal(picture.server[SERVERS].name, "old");
    assert_true(picture.server[SERVERS].unlisted && picture.server[SERVERS].lease);
    assert_true(!picture.server[A].unlisted && !picture.unreadable);
    assert_int_equal(picture.shard[EAST].says[1], FL_SAYS_READY);
    put_server("old", NODE("east", "PROTECTED", "true", "true", "7", "a", "old"), "");
    put_server("a", NODE("east", "READY", "false", "true", "7", "a", "old"), "");
    expect_east("hand over to a: old is not in the fleet's file any more");
    drop("servers/old");
    expect_east("no agent speaks for old: nothing is ordered until one does");
    put_server("a", NODE("east", "SOLO", "true", "true", "8", "a", "old"), "");
    expect_east("re-pair with c: old is dead, the other member is alone");
    /* That it is away keeps no other shard from being created, and it gets none. */
    plan = plan_of();
    assert_int_equal(plan->step[NORTH].kind, FL_CREATE);
    /* By a node's word alone, its key is lost. */
    drop("shards/east");
    put_server("a", NODE("east", "PROTECTED", "true", "true", "9", "a", "older"), "");
    put_server("older", NODE("east", "READY", "false", "true", "9", "a", "older"), "");
    expect_east("re-pair with c: older is not in the fleet's file any more");
}

TEST_WITH(a_pin_that_names_no_server_is_none, NULL, forget)
{
    static const char *const rows[] = {"", "e", "a\n", "a1234567890123456789012345678901234567890"};

    put("shards/east", EAST_AB, 42);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        learn("wishes/pin/east", rows[i], 2);
        assert_int_equal(picture.shard[EAST].pin, FL_NONE);
    }
}

TEST_WITH(a_move_goes_before_a_pin_and_is_over_once_the_primary_is_there, NULL, forget)
{
    const struct fl_shard *s;

    put_all_servers();
    put("shards/east", EAST_AB, 42);
    put("wishes/pin/east", "c", 2);
    hear("a", NODE("east", "PROTECTED", "true", "true", "7", "a", "b"), "");
    s = &picture.shard[EAST];
    assert_true(s->pin == C && !s->moves && !fl_picture_moved(&picture, EAST));
    learn("wishes/move/east", "b", 9);
    s = &picture.shard[EAST];
    assert_true(s->pin == B && s->moves && !fl_picture_moved(&picture, EAST));
    assert_int_equal(picture.move[EAST], 9);
    assert_int_equal(picture.move[NORTH], 0);
    assert_false(fl_picture_moved(&picture, NORTH));
    /* It has taken over; what nobody says is not so. */
    hear("a", "", "");
    assert_false(fl_picture_moved(&picture, EAST));
    hear("b", NODE("east", "SOLO", "true", "true", "8", "a", "b"), "");
    assert_true(fl_picture_moved(&picture, EAST));
    /* To no server of the file: there is no such move, and nobody may think so later. */
    learn("wishes/move/east", "x", 10);
    s = &picture.shard[EAST];
    assert_true(s->pin == C && !s->moves && fl_picture_moved(&picture, EAST));
}

#define PROCESS(shard, incarnation)                                                                          \
    "'" shard "':{'state':'READY','primary':false,'member':true,'view':7,"                                   \
    "'incarnation':" incarnation ",'members':['" shard "-a','" shard "-b']}"

TEST_WITH(nodes_that_an_upgrade_names_are_old_and_it_is_over_without_them, NULL, forget)
{
    put_all_servers();
    put("shards/east", EAST_AB, 42);
    put_server("a", PROCESS("east", "98"), "");
    hear("b", PROCESS("east", "99"), "");
    assert_false(picture.shard[EAST].old[0] || picture.shard[EAST].old[1]);
    assert_false(fl_picture_upgraded(&picture, A)); /* nobody wants it */
    char *named = HELP_OWNED(plain_quotes(fl_picture_upgrade(&picture, B)), free);
    assert_string_equal(named, "{'east':99}");
    learn("wishes/upgrade/b", named, 8);
    assert_true(!picture.shard[EAST].old[0] && picture.shard[EAST].old[1]);
    assert_false(fl_picture_upgraded(&picture, B));
    assert_int_equal(picture.upgrade[B].revision, 8);
    /* Another process, whatever its number. */
    hear("b", PROCESS("east", "7"), "");
    assert_false(picture.shard[EAST].old[1]);
    assert_true(fl_picture_upgraded(&picture, B));
    /* An agent that does not know which process it is says nothing of it, and an order of no process is none.
     */
    hear("b", PROCESS("east", "0"), "");
    assert_false(picture.shard[EAST].old[1]);
    learn("wishes/upgrade/b", "{'east':0}", 8);
    assert_false(picture.shard[EAST].old[1]);
    /* A node that is away may come back, or not. */
    put("wishes/upgrade/b", "{'east':99}", 8);
    hear("b", "", "'east'");
    assert_false(fl_picture_upgraded(&picture, B));
    /* Of a server that is away nobody knows. */
    drop("servers/b");
    paint();
    assert_false(fl_picture_upgraded(&picture, B));
    /* What names no nodes is no order, and goes. */
    const char *none[] = {"100", "{", "['east',99]", ""};
    put_server("b", PROCESS("east", "99"), "");
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        learn("wishes/upgrade/b", none[i], 9);
        assert_true(!picture.shard[EAST].old[1] && fl_picture_upgraded(&picture, B));
    }
}

/* ---- what is written ---- */

/* What `step` of shard east writes; "": nothing. */
static const char *written(struct fl_step step)
{
    struct fl_step steps[SHARDS] = {[EAST] = step};
    struct fl_plan plan = {.step = steps};
    struct fl_placement next;

    paint();
    if (!fl_picture_next(&picture, &plan, EAST, &next)) {
        assert_true(fl_placement_same(&next, &picture.placement[EAST]));
        return "";
    }
    return plain_json(fl_placement_write(keys_file, &next), 0);
}

/* A restart is of the process that runs when it is ordered. */
TEST_WITH(a_restart_names_the_process, NULL, forget)
{
    put_all_servers();
    put("shards/east", EAST_AB, 42);
    put_server("b", PROCESS("east", "99"), "");
    assert_non_null(
        strstr(written(STEP(FL_RESTART, FL_UPGRADE, B)), "'to':'b','since':5000,'incarnation':99}"));
}

static const struct fl_step leave;

TEST_WITH(a_new_shard_is_written, NULL, forget)
{
    const struct fl_step create = {.kind = FL_CREATE, .cause = FL_NEW, .to = {C, A}};
    struct fl_plan *plan;
    struct fl_placement next;
    char why[FL_WHY_MAX];

    put_all_servers();
    assert_string_equal(written(create), "{'first':['c','a'],'members':['c','a'],'view':0,'moved':5000}");
    assert_string_equal(written(leave), "");
    /* The file says where north is begun, and so does the plan. */
    plan = plan_of();
    assert_string_equal(fl_plan_explain(plan, &picture.fleet, NORTH, why),
                        "create, primary on d, standby on c: it has no node yet");
    assert_true(fl_picture_next(&picture, plan, NORTH, &next));
    assert_int_equal(next.first[0], D);
    assert_int_equal(next.first[1], C);
    assert_int_equal(next.member[0], D);
    assert_int_equal(next.member[1], C);
    assert_int_equal(plan->step[EAST].kind, FL_CREATE);
    /* A drained server gets nothing. */
    learn("wishes/drain/c", "1", 2);
    plan = plan_of();
    assert_int_equal(plan->step[NORTH].wait, FL_NO_ROOM);
}

TEST_WITH(a_lost_key_is_written_as_its_nodes_say, NULL, forget)
{
    static const char expected[] = "{'first':['c','d'],'members':['c','d'],'view':9,'moved':5000}";

    put_server("c", NODE("east", "PROTECTED", "true", "true", "9", "c", "d"), "");
    assert_string_equal(written(leave), expected);
    /* The same where somebody has spoilt it. */
    put("shards/east", "spoilt", 42);
    assert_string_equal(written(leave), expected);
    assert_int_equal(picture.revision[EAST], 42);
}

TEST_WITH(a_first_view_that_has_begun_is_written, NULL, forget)
{
    put("shards/east", SHARD_AT("a", "b", "0", "0", ""), 42);
    assert_string_equal(written(leave), "");
    put_server("a", NODE("east", "PROTECTED", "true", "true", "1", "a", "b"), "");
    assert_string_equal(written(leave), SHARD_AT("a", "b", "1", "5000", ""));
}

TEST_WITH(orders_are_written_and_withdrawn, NULL, forget)
{
    static const char order[] = SHARD("a", "b", "7", ORDER("re-pair", "heal", "c", "90"));

    put("shards/east", EAST_AB, 42);
    assert_string_equal(written(STEP(FL_REPAIR, FL_ZONE, D)),
                        SHARD("a", "b", "7", ORDER("re-pair", "zone", "d", "5000")));
    assert_string_equal(written(STEP(FL_HANDOVER, FL_DRAIN, B)),
                        SHARD("a", "b", "7", ORDER("hand over", "drain", "b", "5000")));
    put("shards/east", order, 43);
    assert_string_equal(written(leave), "");
    assert_string_equal(written(STEP(FL_WITHDRAW, FL_NEEDLESS, C)), EAST_AB);
    assert_string_equal(written(STEP(FL_WITHDRAW, FL_FAILED, C)),
                        SHARD("a", "b", "7", FAILED("1", "5000", "c")));
}

TEST_WITH(a_later_view_ends_an_order_and_what_failed_before, NULL, forget)
{
    put("shards/east", SHARD("a", "b", "7", ORDER("re-pair", "heal", "c", "90") FAILED("2", "80", "d")), 42);
    put_server("a", NODE("east", "SOLO", "true", "true", "8", "a", "c"), "");
    assert_string_equal(written(leave), SHARD_AT("a", "c", "8", "5000", ",'alone':5000"));
    /* The next order is of the later view. */
    assert_string_equal(
        written(STEP(FL_HANDOVER, FL_PIN, C)),
        SHARD_AT("a", "c", "8", "5000", ",'alone':5000" ORDER("hand over", "pin", "c", "5000")));
}

/* Since when its primary says that it is alone: for the plan, which heals one that is so for long. */
TEST_WITH(a_primary_that_is_alone_is_noted_once, NULL, forget)
{
    static const char alone[] = SHARD("a", "b", "7", ",'alone':200");

    learn("shards/east", alone, 42);
    assert_int_equal(picture.shard[EAST].alone, 200);
    fl_picture_free(&picture);
    assert_string_equal(written(leave), ""); /* its agent is silent */
    put_server("a", NODE("east", "SOLO", "true", "true", "7", "a", "b"), "");
    assert_string_equal(written(leave), "");
    put_server("a", NODE("east", "PROTECTED", "true", "true", "7", "a", "b"), "");
    assert_string_equal(written(leave), EAST_AB);
    /* Another view's is another time. */
    hear("a", NODE("east", "SOLO", "true", "true", "8", "a", "b"), "");
    assert_int_equal(picture.shard[EAST].alone, 0);
}

TEST_WITH(failures_are_counted_no_further_than_there_are_numbers, NULL, forget)
{
    put("shards/east",
        SHARD("a", "b", "7", ORDER("re-pair", "heal", "c", "90") FAILED("4294967295", "80", "d")), 42);
    assert_string_equal(written(STEP(FL_WITHDRAW, FL_FAILED, C)),
                        SHARD("a", "b", "7", FAILED("4294967295", "5000", "c")));
}

/* An order that stands is not taken for one that has failed. */
TEST_WITH(a_time_that_is_to_come_is_now, NULL, forget)
{
    put("shards/east",
        SHARD_AT("a", "b", "7", "5001",
                 ORDER("re-pair", "heal", "c", "9223372036854775807") FAILED("1", "5002", "d")),
        42);
    assert_string_equal(
        written(leave),
        SHARD_AT("a", "b", "7", "5000", ORDER("re-pair", "heal", "c", "5000") FAILED("1", "4999", "d")));
}

/* ---- a model ---- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* What is in the keys, as the model has it. */
struct model {
    bool key;
    uint32_t first[2], member[2];
    uint64_t view, moved, alone;
    const char *order; /* NULL: none */
    uint32_t to;
    uint64_t since;
    uint32_t failed, failed_to;
    bool tells; /* `teller` is a member of view `later`, with `members` */
    uint32_t teller, members[2];
    uint64_t later;
    bool there; /* a node, where the order leads */
};

static const char *const names[] = {"a", "b", "c", "d"};

static void draw_two(uint32_t two[2])
{
    two[0] = draw(SERVERS);
    two[1] = (two[0] + 1 + draw(SERVERS - 1)) % SERVERS;
}

static struct model draw_model(void)
{
    struct model m = {.key = draw(4)};

    draw_two(m.first);
    draw_two(m.member);
    m.view = draw(10) ? 5 + draw(3) : 0;
    m.moved = draw(100);
    m.order = draw(2) ? NULL : draw(2) ? "re-pair" : "hand over";
    m.to = draw(SERVERS);
    m.since = draw(100);
    m.failed = draw(3);
    m.failed_to = draw(SERVERS);
    m.tells = draw(3);
    draw_two(m.members);
    m.teller = m.members[draw(2)];
    m.later = 4 + draw(5);
    return m;
}

static int write_order(char *out, size_t cap, const struct model *m)
{
    return snprintf(out, cap, ",'order':{'kind':'%s','cause':'drain','to':'%s','since':%lu%s}", m->order,
                    names[m->to], m->since, m->there ? ",'there':true" : "");
}

/* As it stands in etcd. */
static void write_model(const struct model *m, char *out, size_t cap)
{
    int at = snprintf(out, cap, "{'first':['%s','%s'],'members':['%s','%s'],'view':%lu,'moved':%lu",
                      names[m->first[0]], names[m->first[1]], names[m->member[0]], names[m->member[1]],
                      m->view, m->moved);

    if (m->alone)
        at += snprintf(out + at, cap - (size_t)at, ",'alone':%lu", m->alone);
    if (m->order)
        at += write_order(out + at, cap - (size_t)at, m);
    if (m->failed)
        at += snprintf(out + at, cap - (size_t)at, ",'failed':{'count':%u,'when':30,'to':'%s'}", m->failed,
                       names[m->failed_to]);
    snprintf(out + at, cap - (size_t)at, "}");
}

static void put_model(const struct model *m)
{
    char value[1024];

    nd_keys_clear(&keys);
    write_model(m, value, sizeof(value));
    if (m->key)
        put("shards/east", value, 42);
    snprintf(value, sizeof(value),
             "'east':{'state':'SOLO','primary':true,'member':true,'view':%lu,'members':['east-%s',"
             "'east-%s']}",
             m->later, names[m->members[0]], names[m->members[1]]);
    if (m->tells)
        put_server(names[m->teller], value, "");
}

/* The nodes' word, if it is later: an order is over, and was carried out. */
static void follow_model(struct model *m)
{
    bool member = m->teller == m->member[0] || m->teller == m->member[1];

    if (!m->tells || (m->key && (m->later <= m->view || !member)))
        return;
    if (!m->key) {
        memcpy(m->first, m->members, sizeof(m->first));
        m->order = NULL;
        m->failed = 0;
    }
    memcpy(m->member, m->members, sizeof(m->member));
    m->view = m->later;
    m->moved = NOW;
    if (m->order)
        m->failed = 0;
    m->order = NULL;
    m->key = true;
}

static void step_model(const struct model *m, char *expected, size_t cap)
{
    static const enum fl_kind kinds[] = {FL_LEAVE, FL_REPAIR, FL_HANDOVER, FL_WITHDRAW};
    struct model then = *m;
    struct fl_step step = {.kind = kinds[draw(4)], .cause = FL_DRAIN, .to = {draw(SERVERS), FL_NONE}};
    char before[1024], *end, *failed;
    bool fails = draw(2);

    write_model(m, before, sizeof(before));
    follow_model(&then);
    if (m->tells && m->later == then.view && (m->teller == then.member[0] || m->teller == then.member[1]))
        then.alone = NOW;
    if (step.kind == FL_WITHDRAW && !then.order)
        step.kind = FL_LEAVE; /* no plan withdraws what there is not */
    if (step.kind == FL_WITHDRAW) {
        step.cause = fails ? FL_FAILED : FL_NEEDLESS;
        then.order = NULL;
    } else if (step.kind != FL_LEAVE) {
        then.order = step.kind == FL_REPAIR ? "re-pair" : "hand over";
        then.to = step.to[0];
        then.since = NOW;
    }
    if (step.cause == FL_FAILED) {
        then.failed++;
        then.failed_to = then.to;
    }
    then.there = then.order && strcmp(then.order, "re-pair") == 0 && m->tells && m->teller == then.to;
    write_model(&then, expected, cap);
    /* The model's failures are all of second 30, but for this one. */
    failed = step.cause == FL_FAILED ? strstr(expected, "'when':30") : NULL;
    if (failed) {
        end = strdup(failed + strlen("'when':30"));
        assert_non_null(end);
        snprintf(failed, cap - (size_t)(failed - expected), "'when':%u%s", NOW, end);
        free(end);
    }
    if (m->key && strcmp(before, expected) == 0)
        expected[0] = '\0';
    assert_string_equal(written(step), expected);
}

TEST_WITH(every_step_writes_what_the_model_does, NULL, forget)
{
    for (seed = 1; seed < 20000;) {
        uint64_t began = seed;
        struct model m = draw_model();
        char expected[1024];

        if (m.key || m.tells) {
            put_model(&m);
            step_model(&m, expected, sizeof(expected));
        }
        seed = began + 1;
    }
}

TESTS_SHARE(make_file, keys_end)
