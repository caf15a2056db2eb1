/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arbiter says to etcd and reads from it: requests as etcd's JSON gateway takes them (golden, from
 * its own documentation and as a server of version 3.4 answered), and answers that are cut, of wrong types,
 * of another key, too large, or nobody's.
 */
#include "understudy/arbiter/arbiter.c"
#include "tests/help/test.h"

#define KEY   "understudy/a-b"
#define KEY64 "dW5kZXJzdHVkeS9hLWI="
/* understudy 3 4711 b */
#define VALUE64 "dW5kZXJzdHVkeSAzIDQ3MTEgYg=="
#define HEADER  "\"header\":{\"cluster_id\":\"1\",\"member_id\":\"2\",\"revision\":\"9\",\"raft_term\":\"2\"}"
#define KV                                                                                                   \
    "{\"key\":\"" KEY64                                                                                      \
    "\",\"create_revision\":\"4\",\"mod_revision\":\"7\",\"version\":\"2\",\"value\":\"" VALUE64 "\"}"

static int reads(const char *text, struct kept *kept, struct ft_fault *fault)
{
    return read_range(text, strlen(text), KEY, kept, fault);
}

TEST(what_stands_at_the_key_is_read)
{
    struct kept kept;

    assert_int_equal(reads("{" HEADER ",\"kvs\":[" KV "],\"count\":\"1\"}", &kept, &help_fault), 0);
    assert_int_equal(kept.revision, 7);
    assert_true(kept.decision.any);
    assert_int_equal(kept.decision.era.view, 3);
    assert_int_equal(kept.decision.era.number, 4711);
    assert_string_equal(kept.decision.winner, "b");
}

TEST(a_key_that_is_not_there_is_no_decision)
{
    struct kept kept;

    assert_int_equal(reads("{" HEADER "}", &kept, &help_fault), 0);
    assert_int_equal(kept.revision, 0);
    assert_false(kept.decision.any);
}

TEST(requests_are_what_etcd_takes)
{
    const struct kept kept = {.revision = 7};
    const struct ft_decision wanted = {.any = true, .era = {3, 4711}, .winner = "b"};
    char out[BODY_MAX];

    make_range(KEY, out);
    assert_string_equal(out, "{\"key\":\"" KEY64 "\"}");
    make_put(KEY, &kept, &wanted, out);
    assert_string_equal(out,
                        "{\"compare\":[{\"key\":\"" KEY64
                        "\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"7\"}],"
                        "\"success\":[{\"request_put\":{\"key\":\"" KEY64 "\",\"value\":\"" VALUE64 "\"}}]}");
}

/* What is put is what is read, for every length of what base64 fills up, and for nobody. */
TEST(members_are_behind_the_winner)
{
    static const char *const wrong[] = {
        "understudy 3 0 a 0000000000000001000000000000002 a c",
        "understudy 3 0 a 00000000000000010000000000000002 a",
        "understudy 3 0 a 00000000000000010000000000000002 c a",
        "understudy 3 0 a 00000000000000010000000000000002 -a c",
        "understudy 3 0 a 00000000000000010000000000000002 a c.d",
        "understudy 3 0 -a 00000000000000010000000000000002 a c",
        "understudy 3 0 a 00000000000000010000000000000002 a a",
        "understudy 3 0 a 00000000000000000000000000000000 a c",
        "understudy 3 0 a 00000000000000010000000000000002 a c ",
        "understudy 3 0 a 0000000000000001000000000000000G a c",
        "understudy 3 0 a ",
        "understudy 3 0 a 00000000000000010000000000000002 a c d",
    };
    const struct ft_decision put = {
        .any = true, .era = {3, 0}, .winner = "a", .members = {{1, 2}, {"a", "c"}}};
    struct ft_decision got;
    char text[VALUE_MAX];

    write_value(&put, text);
    assert_string_equal(text, "understudy 3 0 a 00000000000000010000000000000002 a c");
    assert_true(nd_arbiter_read(text, &got));
    assert_int_equal(ft_era_compare(&got.era, &put.era), 0);
    assert_string_equal(got.winner, "a");
    assert_memory_equal(&got.members, &put.members, sizeof(put.members));
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(nd_arbiter_read(wrong[i], &got));
}

TEST(a_value_survives_its_way)
{
    static const char *const names[] = {"", "a", "bc", "def", "a-b_c.", "0123456789012345678901234567890"};
    char body[BODY_MAX], reply[BODY_MAX * 2];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ft_decision wanted = {.any = true, .era = {i * 1000003, UINT64_MAX >> (i + 4)}};
        struct kept kept = {.revision = 0};
        bool plain = !strchr(names[i], '.');

        snprintf(wanted.winner, sizeof(wanted.winner), "%s", names[i]);
        make_put(KEY, &kept, &wanted, body);
        const char *value = strstr(body, "\"value\":\"") + 9;

        snprintf(reply, sizeof(reply),
                 "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":\"1\",\"value\":\"%.*s\"}]}",
                 (int)strcspn(value, "\""), value);
        assert_int_equal(reads(reply, &kept, &help_fault) == 0, plain); /* no node is called so */
        if (!plain)
            continue;
        assert_string_equal(kept.decision.winner, names[i]);
        assert_int_equal(ft_era_compare(&kept.decision.era, &wanted.era), 0);
    }
}

TEST(what_is_no_answer_is_refused)
{
    static const char *const bad[] = {
        "",
        "{",
        "null",
        "[]",
        "{}",
        "\"header\"",
        "{\"header\":7}",
        "{" HEADER "} trailing",
        "{" HEADER ",\"kvs\":7}",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[7]}",
        "{" HEADER ",\"kvs\":[null]}",
        "{" HEADER ",\"kvs\":[" KV "," KV "]}",
        "{" HEADER ",\"kvs\":[" KV "],\"kvs\":[]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"YQ==\",\"mod_revision\":\"7\",\"value\":\"" VALUE64 "\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":7,\"value\":\"" VALUE64 "\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":\"0\",\"value\":\"" VALUE64 "\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":\"-7\",\"value\":\"" VALUE64 "\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":\"7x\",\"value\":\"" VALUE64 "\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64
        "\",\"mod_revision\":\"99999999999999999999\",\"value\":\"" VALUE64 "\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":\"7\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64 "\",\"mod_revision\":\"7\",\"value\":\"!!!!\"}]}",
        /* "understudy", "understudy 3 4711 ", "understudy 3 4711 b\n", "other 3 4711 b", with a NUL */
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64
        "\",\"mod_revision\":\"7\",\"value\":\"dW5kZXJzdHVkeQ==\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64
        "\",\"mod_revision\":\"7\",\"value\":\"dW5kZXJzdHVkeSAzIDQ3MTEg\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64
        "\",\"mod_revision\":\"7\",\"value\":\"dW5kZXJzdHVkeSAzIDQ3MTEgYgo=\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64
        "\",\"mod_revision\":\"7\",\"value\":\"b3RoZXIgMyA0NzExIGI=\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" KEY64
        "\",\"mod_revision\":\"7\",\"value\":\"dW5kZXJzdHVkeSAzIDQ3MTEgYgA=\"}]}",
    };
    struct kept kept;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        help_fault.text[0] = '\0';
        if (reads(bad[i], &kept, &help_fault) != FT_EMALFORMED || !help_fault.text[0])
            fail_msg("taken for an answer: %s", bad[i]);
    }
}

TEST(a_put_is_done_only_if_etcd_says_so)
{
    static const struct {
        const char *text;
        int error;
        bool done;
    } rows[] = {
        {"{" HEADER ",\"succeeded\":true,\"responses\":[{}]}", 0, true},
        {"{" HEADER "}", 0, false},
        {"{" HEADER ",\"succeeded\":false}", 0, false},
        {"{" HEADER ",\"succeeded\":\"true\"}", FT_EMALFORMED, false},
        {"{" HEADER ",\"succeeded\":1}", FT_EMALFORMED, false},
        {"{\"succeeded\":true}", FT_EMALFORMED, false},
        {"{\"error\":\"etcdserver: request timed out\",\"code\":14}", FT_EMALFORMED, false},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool done = true;

        assert_int_equal(read_put(rows[i].text, strlen(rows[i].text), &done, &help_fault), rows[i].error);
        assert_int_equal(done && !rows[i].error, rows[i].done);
    }
}

/* Every end and every byte of a good answer: nothing reads past it, and no other decision comes of it unseen.
 */
TEST(a_damaged_answer_crashes_nothing)
{
    static const char good[] = "{" HEADER ",\"kvs\":[" KV "],\"count\":\"1\"}";
    struct kept kept;
    char bent[sizeof(good)];

    for (size_t len = 0; len + 1 < sizeof(good); len++)
        assert_int_equal(read_range(good, len, KEY, &kept, &help_fault), FT_EMALFORMED);
    for (size_t at = 0; at + 1 < sizeof(good); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bent, good, sizeof(good));
            bent[at] = (char)(bent[at] ^ 1u << bit);
            read_range(bent, sizeof(good) - 1, KEY, &kept, &help_fault);
        }
}

TEST(the_rule)
{
    const struct ft_question asked = {.era = {3, 50}};
    const struct {
        struct ft_decision kept;
        bool anew;
        enum ft_answer a;
    } rows[] = {
        {{.any = false}, true, FT_ANSWER_NONE},
        {{.any = true, .era = {2, 99}, .winner = "b"}, true, FT_ANSWER_NONE},
        {{.any = true, .era = {3, 49}, .winner = "a"}, true, FT_ANSWER_NONE},
        {{.any = true, .era = {3, 0}}, true, FT_ANSWER_NONE},
        {{.any = true, .era = {3, 50}, .winner = "a"}, false, FT_ANSWER_WON},
        {{.any = true, .era = {3, 50}, .winner = "b"}, false, FT_ANSWER_LOST},
        {{.any = true, .era = {3, 51}, .winner = "a"}, false, FT_ANSWER_LOST},
        {{.any = true, .era = {4, 0}}, false, FT_ANSWER_LOST},
    };
    const struct ft_members here = {{7, 8}, {"a", "b"}}, elsewhere = {{7, 9}, {"c", "d"}},
                            nowhere = {{0, 0}, {"a", "b"}};
    const struct {
        struct ft_question asked;
        struct ft_members kept; /* in view 3 */
        bool anew;
    } shards[] = {
        {{.era = {4, 0}, .members = elsewhere}, here, false},
        {{.era = {4, 0}, .members = elsewhere, .new_shard = true}, here, false},
        {{.era = {4, 0}, .members = {{7, 9}, {"a", "b"}}, .new_shard = true}, here, true},
        {{.era = {4, 0}, .members = elsewhere, .new_shard = true}, nowhere, true},
        {{.era = {4, 0}, .members = elsewhere}, nowhere, true},
        {{.era = {4, 0}, .members = nowhere}, here, true},
        {{.era = {4, 0}, .members = here}, here, true},
        {{.era = {3, 0}, .members = here}, here, false},
    };

    /* b won era 50 of view 3, and may have begun view 4, of which nobody knows when it is lost with its disk.
     */
    const struct ft_decision won = {.any = true, .era = {3, 50}, .winner = "b"},
                             looked = {.any = true, .era = {3, 0}};

    assert_false(ft_decides_anew(&won, &(struct ft_question){.era = {4, 0}, .empty = true}));
    assert_true(ft_decides_anew(&won, &(struct ft_question){.era = {5, 0}, .empty = true}));
    assert_true(ft_decides_anew(&won, &(struct ft_question){.era = {4, 0}}));
    assert_true(ft_decides_anew(&looked, &(struct ft_question){.era = {4, 0}, .empty = true}));
    assert_true(ft_decides_anew(&(struct ft_decision){.any = false}, &(struct ft_question){.empty = true}));
    assert_false(ft_decides_anew(&looked, &(struct ft_question){.era = {50, 0}, .look = true}));
    /* The process before may have begun it. */
    const struct ft_decision begun = {.any = true, .era = {4, 0}, .winner = "a"};

    assert_int_equal(ft_decided(&begun, &(struct ft_question){.era = {4, 0}, .empty = true}, "a", false),
                     FT_ANSWER_LOST);
    assert_int_equal(ft_decided(&begun, &(struct ft_question){.era = {4, 0}, .empty = true}, "a", true),
                     FT_ANSWER_WON);
    assert_int_equal(ft_decided(&begun, &(struct ft_question){.era = {4, 0}}, "a", false), FT_ANSWER_WON);
    for (unsigned i = 0; i < sizeof(shards) / sizeof(shards[0]); i++) {
        const struct ft_decision kept = {
            .any = true, .era = {3, 0}, .winner = "a", .members = shards[i].kept};

        assert_int_equal(ft_decides_anew(&kept, &shards[i].asked), shards[i].anew);
        if (shards[i].anew)
            assert_memory_equal(ft_decision_of(&kept, &shards[i].asked, "c").members.shard,
                                shards[i].kept.shard[0] ? here.shard : shards[i].asked.members.shard,
                                sizeof(here.shard));
        else
            assert_int_equal(ft_decided(&kept, &shards[i].asked, "a", false),
                             shards[i].asked.members.shard[1] == 8 ? FT_ANSWER_WON : FT_ANSWER_LOST);
    }
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(ft_decides_anew(&rows[i].kept, &asked), rows[i].anew);
        if (!rows[i].anew)
            assert_int_equal(ft_decided(&rows[i].kept, &asked, "a", false), rows[i].a);
    }
}
