/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that says anything about any shard, in its own key: no server is believed about another one's
 * node. What is true is written here as keys; a lie is drawn, and changes neither the shards' keys, nor what
 * is planned, nor what people are told. Beside that, whose word has to count: else nobody would follow the
 * nodes where the leader was away, etcd was restored, or a lie stands in a key.
 */
#include "fleet/picture.h"
#include "ftcore/record/message.h"
#include "tests/help/config.h"
#include "tests/help/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { A, B, C, D, E, F, SERVERS };

#define NOW 5000u

static const char text[] = "fleet: f\n"
                           "arbiter: {etcd: [\"http://192.0.2.9:2379\"]}\n"
                           "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3},\n"
                           "          d: {host: 192.0.2.4}, e: {host: 192.0.2.5}, f: {host: 192.0.2.6}}\n"
                           "shards: {east: {port: 1}}\n"
                           "pair: {}\n"
                           "node: {}\n";

static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
static struct fl_file *file;
static struct nd_keys keys;

static int make_file(void **state)
{
    struct ft_fault fault = {""};

    return fl_file_read(&file, help_config_file("f.yaml", text, sizeof(text) - 1), &fault);
}

static int free_file(void **state)
{
    nd_keys_clear(&keys);
    fl_file_free(file);
    return help_config_clean(state);
}

static void put_leased(const char *key, const char *value, int64_t lease)
{
    char whole[128];
    struct ft_fault fault = {""};
    struct nd_entry *e;

    snprintf(whole, sizeof(whole), "understudy/f/%s", key);
    e = nd_entry_make(whole, value, strlen(value));
    assert_non_null(e);
    e->changed = 1;
    e->lease = lease;
    assert_int_equal(nd_keys_reserve(&keys, 1, 1000, &fault), 0);
    nd_keys_put(&keys, e);
}

static void put(const char *key, const char *value)
{
    put_leased(key, value, 0);
}

/* ---- what is true ---- */

/* What the node of a server says of shard east; state NULL: it has no node. */
struct word {
    const char *state;
    uint64_t view;
    uint32_t members[2];
};

struct truth {
    const char *what;
    bool key; /* of the shard: members and view */
    uint32_t member[2];
    uint64_t view;
    bool lease[SERVERS];
    struct word says[SERVERS];
    struct {
        uint64_t view; /* 0: there is no arbiter's key */
        uint32_t members[2];
        const char *winner; /* of an era in that view; NULL: nobody has won one */
    } arbiter;
    /* What is to be believed. */
    uint64_t then;
    uint32_t members[2];
};

#define ALL                                                                                                  \
    {                                                                                                        \
        true, true, true, true, true, true                                                                   \
    }
#define PAIR(x, y)                                                                                           \
    {                                                                                                        \
        x, y                                                                                                 \
    }

static const struct truth truths[] = {
    {"all is well",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"PROTECTED", 7, {A, B}}, [B] = {"READY", 7, {A, B}}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
    {"the standby's server is dead",
     true,
     {A, B},
     7,
     {[A] = true, [C] = true, [D] = true, [E] = true, [F] = true},
     {[A] = {"SOLO", 7, {A, B}}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
    {"both are dead",
     true,
     {A, B},
     7,
     {[C] = true, [D] = true, [E] = true, [F] = true},
     {{0}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
    {"power was gone",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"JOINING", 7, {A, B}}, [B] = {"JOINING", 7, {A, B}}},
     {7, {A, B}, NULL},
     7,
     {A, B}},
    {"it is not there yet", true, {A, B}, 0, ALL, {{0}}, {0, {0, 0}, NULL}, 0, {A, B}},
    {"it has begun",
     true,
     {A, B},
     0,
     ALL,
     {[A] = {"SOLO", 1, {A, B}}, [B] = {"SYNCING", 1, {A, B}}},
     {0, {0, 0}, NULL},
     1,
     {A, B}},
    {"a takeover",
     true,
     {A, B},
     7,
     {[B] = true, [C] = true, [D] = true, [E] = true, [F] = true},
     {[B] = {"SOLO", 8, {A, B}}},
     {8, {A, B}, NULL},
     8,
     {A, B}},
    {"a re-pair",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"SOLO", 8, {A, C}}, [B] = {"JOINING", 7, {A, B}}, [C] = {"SYNCING", 8, {A, C}}},
     {8, {A, C}, NULL},
     8,
     {A, C}},
    {"a re-pair with one that has died",
     true,
     {A, B},
     7,
     {[A] = true, [D] = true, [E] = true, [F] = true},
     {[A] = {"SOLO", 8, {A, C}}},
     {8, {A, C}, NULL},
     8,
     {A, C}},
    {"both were replaced in turn",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"JOINING", 8, {A, C}}, [C] = {"PROTECTED", 9, {C, D}}, [D] = {"READY", 9, {C, D}}},
     {9, {C, D}, NULL},
     9,
     {C, D}},
    {"and the last one is alone",
     true,
     {A, B},
     7,
     {[A] = true, [C] = true, [E] = true, [F] = true},
     {[A] = {"JOINING", 8, {A, C}}, [C] = {"SOLO", 9, {C, D}}},
     {0, {0, 0}, NULL},
     9,
     {C, D}},
    {"an etcd that was restored",
     true,
     {A, B},
     7,
     ALL,
     {[C] = {"PROTECTED", 12, {C, D}}, [D] = {"READY", 12, {C, D}}},
     {7, {A, B}, NULL},
     12,
     {C, D}},
    {"an etcd that was restored, and a node of then",
     true,
     {A, B},
     7,
     ALL,
     {[B] = {"JOINING", 7, {A, B}}, [C] = {"PROTECTED", 12, {C, D}}, [D] = {"READY", 12, {C, D}}},
     {0, {0, 0}, NULL},
     12,
     {C, D}},
    {"an etcd that was restored, and one that is alone",
     true,
     {A, B},
     7,
     {[A] = true, [B] = true, [C] = true, [F] = true},
     {[C] = {"SOLO", 12, {C, D}}},
     {12, {C, D}, NULL},
     12,
     {C, D}},
    {"a key that is lost",
     false,
     {0, 0},
     0,
     ALL,
     {[A] = {"PROTECTED", 7, {A, B}}, [B] = {"READY", 7, {A, B}}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
    {"a key that is lost, and one that is alone",
     false,
     {0, 0},
     0,
     {[A] = true, [C] = true, [F] = true},
     {[A] = {"SOLO", 8, {A, B}}},
     {7, {A, B}, NULL},
     8,
     {A, B}},
    {"a key in which a lie stands",
     true,
     {C, B},
     FT_VIEW_MAX,
     ALL,
     {[A] = {"SOLO", 7, {A, B}}, [B] = {"SYNCING", 7, {A, B}}},
     {7, {A, B}, NULL},
     7,
     {A, B}},
    {"a key in which a lie of a member stands",
     true,
     {B, F},
     99,
     ALL,
     {[A] = {"PROTECTED", 7, {A, B}}, [B] = {"READY", 7, {A, B}}, [F] = {"JOINING", 0, {A, B}}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
    {"both lost their disks",
     true,
     {A, B},
     9,
     ALL,
     {[A] = {"PROTECTED", 1, {A, B}}, [B] = {"READY", 1, {A, B}}},
     {9, {A, B}, NULL},
     1,
     {A, B}},
    {"a disk of another life comes back",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"PROTECTED", 7, {A, B}}, [B] = {"JOINING", 50, {B, C}}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
    {"a standby that lies beside its primary",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"PROTECTED", 7, {A, B}}, [B] = {"SOLO", 99, {B, F}}},
     {7, {A, B}, NULL},
     7,
     {A, B}},
    {"a primary that lies beside its standby",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"PROTECTED", 99, {A, F}}, [B] = {"READY", 7, {A, B}}},
     {7, {A, B}, NULL},
     7,
     {A, B}},
    {"a takeover beside a primary whose agent is late",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"DEGRADED", 7, {A, B}}, [B] = {"SOLO", 8, {A, B}}},
     {8, {A, B}, NULL},
     8,
     {A, B}},
    {"a re-pair of which the arbiter does not know yet",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"SOLO", 8, {A, C}}, [B] = {"JOINING", 7, {A, B}}, [C] = {"SYNCING", 8, {A, C}}},
     {7, {A, B}, NULL},
     8,
     {A, C}},
    {"a standby that lies beside its primary, which has won an era",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"PROTECTED", 7, {A, B}}, [B] = {"SOLO", 8, {B, F}}},
     {7, {A, B}, "east-a"},
     7,
     {A, B}},
    {"a primary that lies beside its standby, which has won an era",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"PROTECTED", 8, {A, F}}, [B] = {"READY", 7, {A, B}}},
     {7, {A, B}, "east-b"},
     7,
     {A, B}},
    {"a takeover by the arbiter, beside a primary whose agent is late",
     true,
     {A, B},
     7,
     ALL,
     {[A] = {"DEGRADED", 7, {A, B}}, [B] = {"SOLO", 8, {A, B}}},
     {7, {A, B}, "east-b"},
     8,
     {A, B}},
    {"two disks of another life come back",
     true,
     {A, B},
     7,
     ALL,
     {[C] = {"JOINING", 50, {C, D}}, [D] = {"JOINING", 50, {C, D}}},
     {0, {0, 0}, NULL},
     7,
     {A, B}},
};

static void write_word(const struct word *w, char *out, size_t cap)
{
    bool primary = w->state && (strcmp(w->state, "PROTECTED") == 0 || strcmp(w->state, "SOLO") == 0);

    out[0] = '\0';
    if (w->state)
        snprintf(out, cap,
                 "\"east\":{\"state\":\"%s\",\"primary\":%s,\"member\":%s,\"view\":%lu,"
                 "\"members\":[\"east-%s\",\"east-%s\"]}",
                 w->state, primary ? "true" : "false", w->view ? "true" : "false", w->view,
                 names[w->members[0]], names[w->members[1]]);
}

static void put_server(uint32_t server, const struct word *w)
{
    char key[64], node[512], value[600];

    write_word(w, node, sizeof(node));
    snprintf(key, sizeof(key), "servers/%s", names[server]);
    snprintf(value, sizeof(value), "{\"nodes\":{%s},\"kept\":[]}", node);
    put(key, value);
}

static void put_truth(const struct truth *t)
{
    char value[256];

    nd_keys_clear(&keys);
    snprintf(value, sizeof(value),
             "{\"first\":[\"%s\",\"%s\"],\"members\":[\"%s\",\"%s\"],\"view\":%lu,\"moved\":100}",
             names[t->member[0]], names[t->member[1]], names[t->member[0]], names[t->member[1]], t->view);
    if (t->key)
        put("shards/east", value);
    snprintf(value, sizeof(value), "understudy %lu %u %s 0123456789abcdef0123456789abcdef east-%s east-%s",
             t->arbiter.view, t->arbiter.winner ? 5 : 0, t->arbiter.winner ? t->arbiter.winner : "-",
             names[t->arbiter.members[0]], names[t->arbiter.members[1]]);
    if (t->arbiter.view)
        put("arbiter/east", value);
    for (uint32_t i = 0; i < SERVERS; i++)
        if (t->lease[i])
            put_server(i, &t->says[i]);
}

/* ---- what comes of it ---- */

/* Of shard east: its key, what is planned, what people are told. */
struct outcome {
    bool known, unprotected;
    struct fl_placement next;
    char why[FL_WHY_MAX];
    enum fl_says says[2];
    enum fl_kind kind;
    uint32_t servers;
};

static struct outcome look(void)
{
    struct outcome out = {.known = false};
    struct fl_picture p;
    struct fl_plan *plan;
    struct ft_fault fault = {""};

    if (fl_picture_make(&p, file, &keys, NULL, NOW, &fault) || fl_plan_make(&plan, &p.fleet, &fault))
        fail_msg("%s", fault.text);
    out.known = p.shard[0].known;
    (void)fl_picture_next(&p, plan, 0, &out.next);
    fl_plan_explain(plan, &p.fleet, 0, out.why);
    memcpy(out.says, p.shard[0].says, sizeof(out.says));
    out.kind = plan->step[0].kind;
    out.unprotected = plan->step[0].unprotected;
    out.servers = p.fleet.servers;
    fl_plan_free(plan);
    fl_picture_free(&p);
    return out;
}

TEST(whose_word_counts)
{
    for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++) {
        const struct truth *t = &truths[i];

        put_truth(t);
        struct outcome is = look();

        if (!is.known || is.next.view != t->then || is.next.member[0] != t->members[0] ||
            is.next.member[1] != t->members[1])
            fail_msg("%s: view %lu, members %u and %u", t->what, is.next.view, is.next.member[0],
                     is.next.member[1]);
    }
}

/* ---- lies ---- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static bool is_in(const uint32_t two[2], uint32_t server)
{
    return two[0] == server || two[1] == server;
}

/* It has to do with the shard, by the key, or by what others truly say. */
static bool has_part(const struct truth *t, uint32_t server)
{
    bool part = is_in(t->members, server) || (t->key && is_in(t->member, server)) || t->says[server].state;

    for (uint32_t i = 0; i < SERVERS; i++)
        part |= t->says[i].state && is_in(t->says[i].members, server);
    return part;
}

static void lie(uint32_t liar)
{
    static const char *const states[] = {"PROTECTED", "SOLO",    "READY",  "DEGRADED",
                                         "JOINING",   "SYNCING", "FENCED", "NONE"};
    static const uint64_t views[] = {0, 1, 6, 7, 8, 9, 12, 13, 1000, FT_VIEW_MAX, FT_VIEW_MAX - 1};
    struct word w = {states[draw(8)], views[draw(11)], {draw(SERVERS), draw(SERVERS)}};

    if (draw(4))
        w.members[draw(2)] = liar;
    put_server(liar, &w);
}

TEST(no_lie_of_another_server_moves_anything)
{
    for (uint64_t began = 1; began < 20000; began++) {
        seed = began;
        const struct truth *t = &truths[draw(sizeof(truths) / sizeof(truths[0]))];
        uint32_t liar = draw(SERVERS);

        if (!t->lease[liar] || has_part(t, liar))
            continue;
        put_truth(t);
        struct outcome true_one = look();

        lie(liar);
        struct outcome is = look();

        is.next.order.there = true_one.next.order.there; /* of its own node, where it is to have one */
        if (is.known != true_one.known || !fl_placement_same(&is.next, &true_one.next) ||
            strcmp(is.why, true_one.why) != 0 || is.unprotected != true_one.unprotected ||
            memcmp(is.says, true_one.says, sizeof(is.says)) != 0 || is.servers != true_one.servers)
            fail_msg("seed %lu, %s, %s lies: view %lu, members %u and %u; %s", began, t->what, names[liar],
                     is.next.view, is.next.member[0], is.next.member[1], is.why);
    }
}

/* Nor does a member's, while the other one is live and the arbiter has decided for no later view. */
TEST(no_lie_of_a_member_moves_a_shard_that_lives)
{
    for (uint64_t began = 1; began < 2000; began++) {
        struct truth t = truths[0];

        seed = began;
        t.arbiter.view = 7;
        t.arbiter.members[0] = A;
        t.arbiter.members[1] = B;
        put_truth(&t);
        uint32_t liar = draw(2);

        lie(liar);
        struct outcome is = look();

        if (is.next.view != 7 || is.next.member[0] != A || is.next.member[1] != B)
            fail_msg("seed %lu, %s lies: view %lu, members %u and %u", began, names[liar], is.next.view,
                     is.next.member[0], is.next.member[1]);
    }
}

/* Without the arbiter's word it may say what it likes of its own shard. Once it says the truth again, all is
 * as before. */
TEST(what_a_member_says_is_forgotten_when_it_is_over)
{
    for (uint64_t began = 1; began < 2000; began++) {
        seed = began;
        struct truth t = truths[0];
        uint32_t liar = draw(2);

        put_truth(&t);
        lie(liar);
        struct outcome lied = look();

        memcpy(t.member, lied.next.member, sizeof(t.member));
        t.view = lied.next.view;
        put_truth(&t);
        struct outcome is = look();

        if (is.next.view != 7 || is.next.member[0] != A || is.next.member[1] != B || is.unprotected)
            fail_msg("seed %lu: %s lied of view %lu, then view %lu, members %u and %u", began, names[liar],
                     lied.next.view, is.next.view, is.next.member[0], is.next.member[1]);
    }
}

/* Names of servers that the file does not have are kept, and there is room for FL_UNLISTED_MAX: a member of
 * a shard takes none with names of nobody, nor does who is no member. So a key that names an unknown server
 * is read afterwards. */
TEST(names_of_nobody_take_no_room)
{
    for (int i = 0; i < 200; i++) {
        uint32_t liar = i % 4 < 2 ? F : A;
        char key[64], value[300];

        put_truth(&truths[i % 2 ? 0 : 14]);
        snprintf(value, sizeof(value),
                 "{\"nodes\":{\"east\":{\"state\":\"SOLO\",\"primary\":true,\"member\":true,\"view\":9,"
                 "\"members\":[\"east-%s\",\"east-nobody%d\"]}},\"kept\":[]}",
                 names[liar], i);
        snprintf(key, sizeof(key), "servers/%s", names[liar]);
        put(key, value);
        struct outcome is = look();

        assert_int_equal(is.servers, SERVERS);
        assert_int_equal(is.next.view, 7);
    }
    put_truth(&truths[0]);
    put("shards/east", "{\"first\":[\"a\",\"new\"],\"members\":[\"a\",\"new\"],\"view\":8,\"moved\":100}");
    put_server(A, &(struct word){0});
    struct outcome is = look();

    assert_int_equal(is.servers, SERVERS + 1);
    assert_int_equal(is.next.view, 8);
}

/* A view above a pair's own limit is nothing that a node is in. */
TEST(a_view_above_the_limit_is_no_view)
{
    put_truth(&truths[0]);
    put_server(A, &(struct word){"SOLO", FT_VIEW_MAX + 1, {A, C}});
    assert_int_equal(look().next.view, 7);
    put("shards/east",
        "{\"first\":[\"a\",\"b\"],\"members\":[\"a\",\"c\"],\"view\":4611686018427387905,\"moved\":100}");
    put_server(A, &truths[0].says[A]);
    assert_int_equal(look().next.view, 7);
}

/* The primary has taken one on a server that this leader's file does not have, which died before any key told
 * of it. Its own word is one, the arbiter's the second: else the shard would be silent for this leader. */
TEST(a_re_pair_with_a_server_that_is_not_listed_and_died_is_followed)
{
    static const char word[] =
        "{\"nodes\":{\"east\":{\"state\":\"SOLO\",\"primary\":true,\"member\":true,\"view\":8,"
        "\"members\":[\"east-a\",\"east-gone\"]}},\"kept\":[]}";

    uint32_t had = fl_file_all(file);

    put_truth(&truths[0]);
    put_server(B, &(struct word){0});
    put("servers/a", word);
    assert_int_equal(look().next.view, 7);
    put("arbiter/east", "understudy 8 0 - c9905f501f52166753acf68448078f97 east-a east-gone");
    struct outcome is = look();

    assert_int_equal(is.next.view, 8);
    assert_int_equal(is.servers, had + 1);
}

/* It is printed on terminals, and stands in JSON. Who is no server of the file cannot lead, and nobody keeps
 * a key without a lease. */
TEST(who_leads_is_a_server_with_a_lease)
{
    static const struct {
        const char *leader;
        int64_t lease;
        const char *told;
    } rows[] = {{"b", 9, "b"},   {"b", 0, ""}, {"ghost", 9, ""}, {"\033[2J", 9, ""}, {"a b", 9, ""},
                {"\xff", 9, ""}, {"", 9, ""},  {"-a", 9, ""},    {"bb", 9, ""}};

    put_truth(&truths[0]);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fl_picture p;
        struct ft_fault fault = {""};

        put_leased("leader", rows[i].leader, rows[i].lease);
        assert_int_equal(fl_picture_make(&p, file, &keys, NULL, NOW, &fault), 0);
        assert_string_equal(p.leader, rows[i].told);
        fl_picture_free(&p);
    }
}

TESTS_SHARE(make_file, free_file)
