/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that says anything about any shard, in its own key: no server is believed about another one's
 * node. What is true is written here as keys; a lie is drawn, and changes neither the shards' keys, nor what
 * is planned, nor what people are told. Beside that, whose word has to count: else nobody would follow the
 * nodes where the leader was away, etcd was restored, or a lie stands in a key.
 */
#include "ftcore/record/message.h"
#include "tests/help/keys.h"
#include "tests/help/test.h"

enum { A, B, C, D, E, F, SERVERS };

#define NOW 5000u

static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
/* ---- what is true ---- */

/* What the node of a server says of shard east; without a state it has no node. */
struct word {
    char state[12];
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
        char winner; /* of an era in that view; 0: nobody has won one */
    } arbiter;
    /* What is to be believed. */
    uint64_t then;
    uint32_t members[2];
};

/* Shard east: its key; servers with a lease; what their nodes say; the arbiter's key, and who has won an era
 * in its view; and what is to be believed. */
static const struct row {
    const char *what, *key, *alive, *says, *arbiter, *then;
} told[] = {
    {"all is well", "7 ab", "abcdef", "a PROTECTED 7 ab, b READY 7 ab", "", "7 ab"},
    {"the standby's server is dead", "7 ab", "acdef", "a SOLO 7 ab", "", "7 ab"},
    {"both are dead", "7 ab", "cdef", "", "", "7 ab"},
    {"power was gone", "7 ab", "abcdef", "a JOINING 7 ab, b JOINING 7 ab", "7 ab", "7 ab"},
    {"it is not there yet", "0 ab", "abcdef", "", "", "0 ab"},
    {"it has begun", "0 ab", "abcdef", "a SOLO 1 ab, b SYNCING 1 ab", "", "1 ab"},
    {"a takeover", "7 ab", "bcdef", "b SOLO 8 ab", "8 ab", "8 ab"},
    {"a re-pair", "7 ab", "abcdef", "a SOLO 8 ac, b JOINING 7 ab, c SYNCING 8 ac", "8 ac", "8 ac"},
    {"a re-pair with one that has died", "7 ab", "adef", "a SOLO 8 ac", "8 ac", "8 ac"},
    {"both were replaced in turn", "7 ab", "abcdef", "a JOINING 8 ac, c PROTECTED 9 cd, d READY 9 cd", "9 cd",
     "9 cd"},
    {"and the last one is alone", "7 ab", "acef", "a JOINING 8 ac, c SOLO 9 cd", "", "9 cd"},
    {"an etcd that was restored", "7 ab", "abcdef", "c PROTECTED 12 cd, d READY 12 cd", "7 ab", "12 cd"},
    {"an etcd that was restored, and a node of then", "7 ab", "abcdef",
     "b JOINING 7 ab, c PROTECTED 12 cd, d READY 12 cd", "", "12 cd"},
    {"an etcd that was restored, and one that is alone", "7 ab", "abcf", "c SOLO 12 cd", "12 cd", "12 cd"},
    {"a key that is lost", "", "abcdef", "a PROTECTED 7 ab, b READY 7 ab", "", "7 ab"},
    {"a key that is lost, and one that is alone", "", "acf", "a SOLO 8 ab", "7 ab", "8 ab"},
    {"a key in which a lie stands", "4611686018427387904 cb", "abcdef", "a SOLO 7 ab, b SYNCING 7 ab", "7 ab",
     "7 ab"},
    {"a key in which a lie of a member stands", "99 bf", "abcdef",
     "a PROTECTED 7 ab, b READY 7 ab, f JOINING 0 ab", "", "7 ab"},
    {"both lost their disks", "9 ab", "abcdef", "a PROTECTED 1 ab, b READY 1 ab", "9 ab", "1 ab"},
    {"a disk of another life comes back", "7 ab", "abcdef", "a PROTECTED 7 ab, b JOINING 50 bc", "", "7 ab"},
    {"a standby that lies beside its primary", "7 ab", "abcdef", "a PROTECTED 7 ab, b SOLO 99 bf", "7 ab",
     "7 ab"},
    {"a primary that lies beside its standby", "7 ab", "abcdef", "a PROTECTED 99 af, b READY 7 ab", "7 ab",
     "7 ab"},
    {"a takeover beside a primary whose agent is late", "7 ab", "abcdef", "a DEGRADED 7 ab, b SOLO 8 ab",
     "8 ab", "8 ab"},
    {"a re-pair of which the arbiter does not know yet", "7 ab", "abcdef",
     "a SOLO 8 ac, b JOINING 7 ab, c SYNCING 8 ac", "7 ab", "8 ac"},
    {"a standby that lies beside its primary, which has won an era", "7 ab", "abcdef",
     "a PROTECTED 7 ab, b SOLO 8 bf", "7 ab a", "7 ab"},
    {"a primary that lies beside its standby, which has won an era", "7 ab", "abcdef",
     "a PROTECTED 8 af, b READY 7 ab", "7 ab b", "7 ab"},
    {"a takeover by the arbiter, beside a primary whose agent is late", "7 ab", "abcdef",
     "a DEGRADED 7 ab, b SOLO 8 ab", "7 ab b", "8 ab"},
    {"two disks of another life come back", "7 ab", "abcdef", "c JOINING 50 cd, d JOINING 50 cd", "", "7 ab"},
};

#define TRUTHS (sizeof(told) / sizeof(told[0]))

static struct truth truths[TRUTHS];

/* "7 ab": a view, and two servers. */
static bool read_members(const char *from, uint64_t *view, uint32_t members[2])
{
    char name[2];

    if (sscanf(from, "%lu %c%c", view, &name[0], &name[1]) != 3)
        return false;
    members[0] = (uint32_t)(name[0] - 'a');
    members[1] = (uint32_t)(name[1] - 'a');
    return true;
}

static void read_truths(void)
{
    for (size_t i = 0; i < TRUTHS; i++) {
        const struct row *r = &told[i];
        struct truth *t = &truths[i];

        t->what = r->what;
        t->key = read_members(r->key, &t->view, t->member);
        for (const char *s = r->alive; *s; s++)
            t->lease[*s - 'a'] = true;
        for (const char *at = r->says; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 2 : NULL) {
            struct word *w = &t->says[*at - 'a'];

            assert_int_equal(sscanf(at + 2, "%11s", w->state), 1);
            assert_true(read_members(strchr(at + 2, ' '), &w->view, w->members));
        }
        if (read_members(r->arbiter, &t->arbiter.view, t->arbiter.members))
            (void)sscanf(r->arbiter, "%*u %*s %c", &t->arbiter.winner);
        assert_true(read_members(r->then, &t->then, t->members));
    }
}

static int make_file(void **state)
{
    read_truths();
    return keys_begin("servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3},\n"
                      "          d: {host: 192.0.2.4}, e: {host: 192.0.2.5}, f: {host: 192.0.2.6}}\n"
                      "shards: {east: {port: 1}}\n");
}

static void write_word(const struct word *w, char *out, size_t cap)
{
    bool primary = strcmp(w->state, "PROTECTED") == 0 || strcmp(w->state, "SOLO") == 0;

    out[0] = '\0';
    if (w->state[0])
        snprintf(out, cap,
                 "'east':{'state':'%s','primary':%s,'member':%s,'view':%lu,"
                 "'members':['east-%s','east-%s']}",
                 w->state, primary ? "true" : "false", w->view ? "true" : "false", w->view,
                 names[w->members[0]], names[w->members[1]]);
}

static void put_server(uint32_t server, const struct word *w)
{
    char key[64], node[512], value[600];

    write_word(w, node, sizeof(node));
    snprintf(key, sizeof(key), "servers/%s", names[server]);
    snprintf(value, sizeof(value), "{'nodes':{%s},'kept':[]}", node);
    put(key, value, 1);
}

static void put_truth(const struct truth *t)
{
    char value[256], winner[16] = "0 -";

    nd_keys_clear(&keys);
    snprintf(value, sizeof(value), "{'first':['%s','%s'],'members':['%s','%s'],'view':%lu,'moved':100}",
             names[t->member[0]], names[t->member[1]], names[t->member[0]], names[t->member[1]], t->view);
    if (t->key)
        put("shards/east", value, 1);
    if (t->arbiter.winner)
        snprintf(winner, sizeof(winner), "5 east-%c", t->arbiter.winner);
    snprintf(value, sizeof(value), "understudy %lu %s 0123456789abcdef0123456789abcdef east-%s east-%s",
             t->arbiter.view, winner, names[t->arbiter.members[0]], names[t->arbiter.members[1]]);
    if (t->arbiter.view)
        put("arbiter/east", value, 1);
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

    help_done(fl_picture_make(&p, keys_file, &keys, NULL, NOW, &help_fault) ||
              fl_plan_make(&plan, &p.fleet, &help_fault));
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
    for (size_t i = 0; i < TRUTHS; i++) {
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
    bool part = is_in(t->members, server) || (t->key && is_in(t->member, server)) || t->says[server].state[0];

    for (uint32_t i = 0; i < SERVERS; i++)
        part |= t->says[i].state[0] && is_in(t->says[i].members, server);
    return part;
}

static void lie(uint32_t liar)
{
    static const char *const states[] = {"PROTECTED", "SOLO",    "READY",  "DEGRADED",
                                         "JOINING",   "SYNCING", "FENCED", "NONE"};
    static const uint64_t views[] = {0, 1, 6, 7, 8, 9, 12, 13, 1000, FT_VIEW_MAX, FT_VIEW_MAX - 1};
    struct word w = {.state = ""};

    snprintf(w.state, sizeof(w.state), "%s", states[draw(8)]);
    w.view = views[draw(11)];
    w.members[0] = draw(SERVERS);
    w.members[1] = draw(SERVERS);

    if (draw(4))
        w.members[draw(2)] = liar;
    put_server(liar, &w);
}

TEST(no_lie_of_another_server_moves_anything)
{
    for (uint64_t began = 1; began < 20000; began++) {
        seed = began;
        const struct truth *t = &truths[draw(TRUTHS)];
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

/* Of two members that both say they are the primary of the view the worse word is told, and only the reason
 * of that one why its standby is slow. */
TEST(two_primaries_of_one_view_are_not_protected)
{
    static const struct {
        const char *a, *b, *told; /* states; of the primary that is told of, it and its place */
        uint32_t primary;
    } rows[] = {{"SOLO", "PROTECTED", "SOLO", 0},
                {"PROTECTED", "SOLO", "SOLO", 1},
                {"PROTECTED", "PROTECTED", "PROTECTED", 0},
                {"SOLO", "READY", "SOLO", 0},
                {"READY", "SOLO", "SOLO", 1},
                {"PROTECTED", "FENCED", "PROTECTED", 0},
                {"FENCED", "SOLO", "SOLO", 1},
                {"DEGRADED", "JOINING", "DEGRADED", 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *says[] = {rows[i].a, rows[i].b};
        struct fl_picture p;
        struct fl_plan *plan;

        put_truth(&truths[0]);
        for (uint32_t k = 0; k < 2; k++) {
            const char *key = help_print("servers/%s", names[k]);
            put(key,
                help_print("{'nodes':{'east':{'state':'%s','primary':true,'member':true,'view':7,%s"
                           "'members':['east-a','east-b']}},'kept':[]}",
                           says[k], k == rows[i].primary ? "" : "'slow':'it acknowledges late',"),
                1);
        }
        assert_int_equal(fl_picture_make(&p, keys_file, &keys, NULL, NOW, &help_fault), 0);
        assert_int_equal(fl_plan_make(&plan, &p.fleet, &help_fault), 0);
        assert_int_equal(p.shard[0].primary, rows[i].primary);
        assert_string_equal(fl_says_name(p.shard[0].says[rows[i].primary]), rows[i].told);
        assert_null(p.shard[0].slow);
        assert_true(plan->step[0].unprotected);
        fl_plan_free(plan);
        fl_picture_free(&p);
    }
}

/* It is printed on terminals. */
TEST(a_state_of_a_shard_out_of_the_file_is_a_word)
{
    static const char *const said[] = {"PROTECTED", "\\u001b[2J", "SOLO\\n", "a b", "", "NO\\u00c4"};

    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        struct fl_picture p;

        put_truth(&truths[0]);
        put("servers/f", help_print("{'nodes':{'west':{'state':'%s'}},'kept':[]}", said[i]), 1);
        assert_int_equal(fl_picture_make(&p, keys_file, &keys, NULL, NOW, &help_fault), 0);
        assert_int_equal(p.said[F].strays, 1);
        assert_string_equal(p.said[F].stray[0].state, i ? "" : "PROTECTED");
        fl_picture_free(&p);
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

        put_truth(&truths[i % 2 ? 0 : 14]);
        const char *value =
            help_print("{'nodes':{'east':{'state':'SOLO','primary':true,'member':true,'view':9,"
                       "'members':['east-%s','east-nobody%d']}},'kept':[]}",
                       names[liar], i);
        put(help_print("servers/%s", names[liar]), value, 1);
        struct outcome is = look();

        assert_int_equal(is.servers, SERVERS);
        assert_int_equal(is.next.view, 7);
    }
    put_truth(&truths[0]);
    put("shards/east", "{'first':['a','new'],'members':['a','new'],'view':8,'moved':100}", 1);
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
    put("shards/east", SHARD("a", "c", "4611686018427387905", ""), 1);
    put_server(A, &truths[0].says[A]);
    assert_int_equal(look().next.view, 7);
}

/* The primary has taken one on a server that this leader's file does not have, which died before any key told
 * of it. Its own word is one, the arbiter's the second: else the shard would be silent for this leader. */
TEST(a_re_pair_with_a_server_that_is_not_listed_and_died_is_followed)
{
    static const char word[] = "{'nodes':{'east':{'state':'SOLO','primary':true,'member':true,'view':8,"
                               "'members':['east-a','east-gone']}},'kept':[]}";

    uint32_t had = fl_file_all(keys_file);

    put_truth(&truths[0]);
    put_server(B, &(struct word){0});
    put("servers/a", word, 1);
    assert_int_equal(look().next.view, 7);
    put("arbiter/east", "understudy 8 0 - c9905f501f52166753acf68448078f97 east-a east-gone", 1);
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

        put_leased("leader", rows[i].leader, 1, rows[i].lease);
        assert_int_equal(fl_picture_make(&p, keys_file, &keys, NULL, NOW, &help_fault), 0);
        assert_string_equal(p.leader, rows[i].told);
        fl_picture_free(&p);
    }
}

TESTS_SHARE(make_file, keys_end)
