/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an agent takes what it has read of etcd for what is there now: the leader plans, and orders are
 * carried out, by nothing older.
 */
#include "fleet/agent.c"
#include "tests/help/config.h"
#include "tests/help/etcd.h"
#include "tests/help/program.h"
#include "tests/help/test.h"
#include "fleet/steward.h"

#include <sys/socket.h>

#define S 1000000000ull

TEST(keys_count_while_the_stream_stands)
{
    static const struct {
        uint64_t connected, answered, lease_until; /* 100 s is now */
        int64_t lease;
        uint64_t unsaid;
        bool fresh;
        const char *what;
    } rows[] = {
        {50 * S, 100 * S, 101 * S, 7, 0, true, "all is well"},
        {50 * S, 97 * S + 1, 101 * S, 7, 0, true, "a beat that is late"},
        {50 * S, 97 * S, 101 * S, 7, 0, false, "the agent was stopped"},
        {0, 100 * S, 101 * S, 7, 0, false, "the stream is broken"},
        {100 * S, 100 * S, 101 * S, 7, 0, true, "the stream has just begun, behind what was read"},
        {50 * S, 100 * S, 100 * S, 7, 0, false, "the lease is over"},
        {50 * S, 100 * S, 101 * S, 0, 0, false, "its key is not there"},
        {50 * S, 100 * S, 101 * S, 7, 98 * S + 1, true, "a word is on its way"},
        {50 * S, 100 * S, 101 * S, 7, 98 * S, false, "its word is not taken"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct nd_mirror_status s = {.connected_since = rows[i].connected,
                                           .answered = rows[i].answered,
                                           .lease = rows[i].lease,
                                           .lease_until = rows[i].lease_until,
                                           .unsaid_since = rows[i].unsaid};

        if (is_fresh(&s, 100 * S) != rows[i].fresh)
            fail_msg("%s: expected %d", rows[i].what, rows[i].fresh);
    }
}

TEST(an_agents_clock_is_that_of_its_beginning)
{
    struct agent a = {.wall = ft_wall() - ft_now()};
    uint64_t wall = ft_wall() / S, at = clock_of(&a);

    assert_in_range(at, wall - 1, wall + 1);
}

/* As long as a lease that a backup had may last, and what it says is of when the backup was taken. */
TEST(nothing_is_created_behind_a_stream_that_has_just_begun)
{
    struct nd_mirror_status s = {.connected_since = 50 * S};

    assert_false(may_create(&s, 50 * S));
    assert_false(may_create(&s, 54 * S - 1));
    assert_true(may_create(&s, 54 * S));
    s.connected_since = 0;
    assert_false(may_create(&s, 54 * S));
}

/* Whether it ever plans is not known yet. */
TEST(who_begins_to_lead_tells_the_age_of_a_plan)
{
    struct agent a = {.wall = ft_wall() - ft_now()};
    uint64_t before = ft_now();

    begin_to_lead(&a);
    assert_in_range(a.tally.planned, before, ft_now());
}

TEST(why_keys_are_not_heard_is_told_once)
{
    struct nd_mirror_status s = {.connected_since = 0, .why = "no route"};
    struct agent a = {.leads = 0};
    struct silence *told = &a.silence[0];
    uint64_t at;

    report_mirror(&a, &s);
    assert_true(told->is);
    assert_string_equal(told->why, "no route");
    at = told->at;
    snprintf(s.why, sizeof(s.why), "the next server");
    report_mirror(&a, &s);
    assert_string_equal(told->why, "no route"); /* servers take turns: not each of them five times a second */
    told->at = at -= REPEAT_NS;
    report_mirror(&a, &s);
    assert_string_equal(told->why, "the next server");
    assert_false(a.unsaid.is);
    s = (struct nd_mirror_status){.connected_since = 1, .unsaid_since = 1, .lease_why = "full"};
    report_mirror(&a, &s);
    assert_false(told->is);
    assert_true(a.unsaid.is);
    assert_string_equal(a.unsaid.why, "full");
    s.unsaid_since = ft_now();
    report_mirror(&a, &s);
    assert_false(a.unsaid.is);
}

/* A leader hears hundreds of events a second, and each would be a plan and a question to each of its nodes.
 */
TEST(a_leader_rests_behind_a_plan_and_a_turn)
{
    struct agent a = {.turned = 100 * S};

    assert_int_equal(rest_until(100 * S, 1000), 100 * S + S / 20);
    assert_int_equal(rest_until(100 * S, S / 10), 100 * S + S / 5);
    assert_false(is_turn_due(&a, 100 * S + S / 10));
    assert_int_equal(pause_ms(&a, 100 * S + S / 10), 101);
    assert_true(is_turn_due(&a, 100 * S + S / 5));
    assert_int_equal(pause_ms(&a, 100 * S + S / 5), 0);
}

static struct fl_file *file;

static uint32_t busy = 40; /* of the first node */

static void says(struct word *out, const char *state, double cores, double packets)
{
    struct fl_node_said node[] = {{.shard = 0,
                                   .view = 7,
                                   .measured = true,
                                   .load = {{cores, packets, 26}},
                                   .timed = true,
                                   .busy = busy},
                                  {.shard = 1, .view = 7, .measured = true, .load = {{0.5, 1000, 26}}}};
    const struct fl_server_said said = {.node = node, .nodes = 2};

    snprintf(node[0].state, sizeof(node[0].state), "%s", state);
    snprintf(node[1].state, sizeof(node[1].state), "READY");
    assert_true(make_word(out, file, &said));
}

/* A word that is written is kept by etcd until it is compacted, and loads are never the same twice. */
TEST(loads_that_change_a_little_are_said_once_a_minute)
{
    static const struct {
        const char *what, *state;
        double cores, packets;
        uint64_t after_s;
        bool said;
    } rows[] = {
        {"the same", "PROTECTED", 0.123456, 12345, 1000, false},
        {"the same in two digits", "PROTECTED", 0.1235, 12300, 1000, false},
        {"a tenth less of all", "PROTECTED", 0.07, 12345, 5, false},
        {"the same later", "PROTECTED", 0.07, 12345, 59, false},
        {"a minute is over", "PROTECTED", 0.07, 12345, 60, true},
        {"much for that node, and little for the server", "PROTECTED", 0.16, 12345, 5, false},
        {"a fifth more of the server's cores", "PROTECTED", 0.25, 12345, 0, true},
        {"a fifth less of its packets", "PROTECTED", 0.123456, 9500, 0, true},
        {"a state", "SOLO", 0.123456, 12345, 0, true},
    };
    struct word last = {.text = NULL}, next;

    says(&last, "PROTECTED", 0.123456, 12345);
    assert_non_null(strstr(last.text, "\"load\":[0.12,1.2e4,26.0]"));
    assert_true(is_news(&(struct word){.text = NULL}, &last)); /* the first one */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        says(&next, rows[i].state, rows[i].cores, rows[i].packets);
        last.at = 100 * S;
        next.at = (100 + rows[i].after_s) * S;
        if (is_news(&last, &next) != rows[i].said)
            fail_msg("%s: expected %d", rows[i].what, rows[i].said);
        free_word(&next);
    }
    free_word(&last);
}

TEST(how_busy_lanes_are_is_said_when_the_planner_makes_something_else_of_it)
{
    static const struct {
        uint32_t was, is;
        bool said;
    } rows[] = {{40, 41, false}, {0, 59, false},   {59, 60, true},  {60, 90, false},
                {90, 91, true},  {91, 100, false}, {100, 40, true}, {85, 59, true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct word last, next;

        busy = rows[i].was;
        says(&last, "PROTECTED", 0.5, 1000);
        busy = rows[i].is;
        says(&next, "PROTECTED", 0.5, 1000);
        next.at = last.at + 5 * S;
        if (is_news(&last, &next) != rows[i].said)
            fail_msg("%u to %u: expected %d", rows[i].was, rows[i].is, rows[i].said);
        free_word(&last);
        free_word(&next);
    }
}

/* ---- what is written, with a real etcd ---- */

static struct help_real_etcd real;
static struct agent leader;

static void put(const char *name, const char *value)
{
    char key[FL_KEY_MAX];

    fl_key(key, leader.file, name, "");
    assert_int_equal(nd_store_put(leader.etcd, key, value, strlen(value), 0, &help_fault), 0);
}

/* All keys that there are. */
static const struct nd_keys *all_keys(void)
{
    static struct nd_keys keys;
    char prefix[FL_KEY_MAX];
    int64_t revision;

    nd_keys_clear(&keys);
    assert_int_equal(
        nd_store_read(leader.etcd, fl_key(prefix, leader.file, "", ""), &keys, &revision, &help_fault), 0);
    return &keys;
}

static int read_file(void **state)
{
    static const char text[] = "fleet: f\narbiter: {etcd: [\"http://192.0.2.9:2379\"]}\n"
                               "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}}\n"
                               "shards: {east: {port: 1}, north: {port: 2}}\npair: {}\nnode: {}\n";

    return fl_file_read(&file, help_config_file("f.yaml", text, sizeof(text) - 1), &help_fault);
}

static int free_file(void **state)
{
    fl_file_free(file);
    return help_config_clean(state);
}

static int begin_leader(void **state)
{
    static const struct nd_etcd_limits limits = {.reply = ND_STORE_REPLY, .request_ms = 20000};

    help_etcd_begin(&real, false);
    snprintf(file->state, sizeof(file->state), "%s", help_config_dir());
    file->etcd = real.config;
    leader = (struct agent){.file = file, .copied = calloc(2, sizeof(int64_t))};
    assert_int_equal(fl_tally_make(&leader.tally, file->shards, &help_fault), 0);
    assert_int_equal(nd_etcd_open(&leader.etcd, &real.config, &limits, NULL, NULL, &help_fault), 0);
    put("leader", "a");
    leader.leads = all_keys()->at[0]->created;
    return 0;
}

static int end_leader(void **state)
{
    nd_mirror_stop(leader.mirror, false);
    nd_mirror_stop(leader.fleet, false);
    fl_local_close(leader.local);
    free_word(&leader.said);
    free(leader.gone_said);
    nd_etcd_close(leader.etcd);
    fl_tally_free(&leader.tally);
    free(leader.copied);
    help_etcd_end(&real);
    return 0;
}

static void carry(void)
{
    struct fl_picture picture;
    const uint64_t gone[] = {0, 900, 0};

    assert_int_equal(fl_picture_make(&picture, leader.file, all_keys(), gone, 1000, &help_fault), 0);
    carry_plan(&leader, &picture);
    fl_picture_free(&picture);
}

/* The revision in which the shard's key was written; 0: there is none. */
static int64_t written(const char *shard)
{
    const struct nd_entry *e = fl_key_find(all_keys(), leader.file, "shards/", shard);

    return e ? e->changed : 0;
}

#define SAYS(state, view) "{\"state\":\"" state "\",\"primary\":true,\"member\":true,\"view\":" view

/* After a power cut there may be thousands of keys to follow, and one shard that is alone. */
TEST_WITH(an_order_is_written_before_what_can_wait, begin_leader, end_leader)
{
    put("shards/east", "{\"first\":[\"a\",\"c\"],\"members\":[\"a\",\"c\"],\"view\":7,\"moved\":1}");
    put("shards/north", "{\"first\":[\"a\",\"b\"],\"members\":[\"a\",\"b\"],\"view\":7,\"moved\":1}");
    put("servers/a",
        "{\"nodes\":{\"east\":" SAYS(
            "PROTECTED", "8") ",\"members\":[\"east-a\",\"east-c\"]},"
                              "\"north\":" SAYS("SOLO",
                                                "7") ",\"members\":[\"north-a\",\"north-b\"]}},\"kept\":[]}");
    put("servers/c", "{\"nodes\":{},\"kept\":[]}");
    carry();
    assert_int_equal(leader.tally.given, 1);
    assert_true(written("north") < written("east"));
}

TEST_WITH(nothing_is_created_before_it_may_be, begin_leader, end_leader)
{
    put("servers/a", "{\"nodes\":{},\"kept\":[]}");
    put("servers/b", "{\"nodes\":{},\"kept\":[]}");
    put("servers/c", "{\"nodes\":{},\"kept\":[]}");
    carry();
    assert_int_equal(written("east"), 0);
    leader.creates = true;
    carry();
    assert_true(written("east") > 0);
}

static bool is_there(const char *name)
{
    return fl_key_find(all_keys(), leader.file, name, "") != NULL;
}

/* It is never asked. */
static int ready_steward(void)
{
    const struct fl_done ready = {.task = FL_TASK_NONE};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    assert_int_equal(send(ends[1], &ready, sizeof(ready), 0), sizeof(ready));
    return ends[0];
}

/* A server without nodes would say nothing new, and be gone until its agent is started anew. */
TEST_WITH(a_servers_key_that_was_deleted_is_said_again, begin_leader, end_leader)
{
    const struct nd_mirror_config config = {.etcd = &real.config,
                                            .prefix = "understudy/f/agents/a/",
                                            .key = "understudy/f/servers/a",
                                            .ttl_s = LEASE_S};
    const struct nd_change deleted = {.key = config.key};
    bool done;

    assert_int_equal(fl_local_open(&leader.local, leader.file, 0, ready_steward(), &help_fault), 0);
    assert_int_equal(nd_mirror_start(&leader.mirror, &config, &help_fault), 0);
    assert_int_equal(mirror_fleet(&leader, false, &help_fault), 0);
    say(&leader);
    UNTIL(is_there("servers/a")) help_sleep_ms(20);
    assert_int_equal(nd_store_txn(leader.etcd, NULL, 0, &deleted, 1, &done, NULL, &help_fault), 0);
    put("leader/gone", "{\"a\":1000}");
    UNTIL(is_there("servers/a"))
    {
        read_gone_leases(&leader);
        say(&leader);
        help_sleep_ms(20);
    }
}

/* Nobody keeps it, and with it there nobody could lead. */
TEST_WITH(a_leader_key_without_a_lease_is_deleted, begin_leader, end_leader)
{
    assert_int_equal(mirror_fleet(&leader, false, &help_fault), 0);
    UNTIL(!is_there("leader"))
    {
        bool somebody;
        int64_t ghost;

        assert_int_equal(own_leader_key(&leader, 0, &somebody, &ghost), 0);
        assert_false(somebody);
        if (ghost)
            ask_to_lead(&leader, 0, ghost);
        help_sleep_ms(20);
    }
}

TESTS_SHARE(read_file, free_file)
