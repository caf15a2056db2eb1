/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which copies of the shards' keys the leader writes for agents: an agent reads no other key of a shard. Keys
 * are written here as text, as they stand in etcd; the copies that are to be written are said beside. And
 * which view the leader goes by where two lives of a shard are told of.
 */
#include "fleet/stray.h"
#include "tests/help/keys.h"
#include "tests/help/test.h"

static int64_t copied[2];
static char found[1000]; /* "KEY=VALUE@REVISION " and "-KEY@REVISION " */

static int make_file(void **state)
{
    return keys_begin(
        "servers: {a: {host: 192.0.2.1}, b: {host: 192.0.2.2}, c: {host: 192.0.2.3}, d: {host: 192.0.2.4}}\n"
        "shards: {east: {port: 1}, north: {port: 2}}\n");
}

static int forget(void **state)
{
    memset(copied, 0, sizeof(copied));
    return keys_forget(state);
}

/* A server with its lease, and a node of the shard on it; "": none. */
static void put_server(const char *server, const char *shard)
{
    const char *key = help_print("servers/%s", server);
    put(key,
        help_print(*shard ? "{'nodes':{'%s':{'state':'READY','primary':false,'member':false,'view':7}"
                            "},'kept':[],'strays':true}"
                          : "{'nodes':{},'kept':[],'strays':true}",
                   shard),
        1);
}

static const char *find(bool all)
{
    struct fl_picture picture;
    struct fl_copies copies;

    assert_int_equal(fl_picture_make(&picture, keys_file, &keys, NULL, 5000, &help_fault), 0);
    assert_int_equal(picture.unreadable, 0);
    assert_int_equal(fl_copies_find(&copies, &picture, &keys, copied, all, &help_fault), 0);
    found[0] = '\0';
    for (size_t i = 0; i < copies.count; i++) {
        size_t at = strlen(found);
        const struct fl_copy *copy = &copies.at[i];

        snprintf(found + at, sizeof(found) - at, "%s%s%s%.9s@%ld ", copy->value ? "" : "-",
                 copy->key + sizeof("understudy/f/agents/") - 1, copy->value ? "=" : "",
                 copy->value ? strstr(copy->value, "view") : "", copy->revision);
    }
    fl_copies_free(&copies);
    fl_picture_free(&picture);
    return plain_quotes(found);
}

#define TO_C ORDER("re-pair", "drain", "c", "90")

TEST_WITH(members_are_told, NULL, forget)
{
    assert_string_equal(find(true), "");
    put("shards/east", SHARD("a", "b", "7", ""), 3);
    assert_string_equal(find(true), "a/east=view':7,'@0 b/east=view':7,'@0 ");
    assert_string_equal(find(false), ""); /* they are on their way */
    put("shards/east", SHARD("a", "b", "7", TO_C), 4);
    assert_string_equal(find(false), "a/east=view':7,'@0 b/east=view':7,'@0 c/east=view':7,'@0 ");
}

/* One that began to lead does not know of them; what is there is not written again. */
TEST_WITH(what_is_there_is_left, NULL, forget)
{
    put("shards/east", SHARD("a", "b", "7", ""), 3);
    put("agents/a/east", SHARD("a", "b", "7", ""), 4);
    put("agents/b/east", SHARD("a", "b", "6", ""), 5);
    assert_string_equal(find(true), "b/east=view':7,'@5 ");
}

/* Two changes of one key are no transaction, and without one nothing is ordered. */
TEST_WITH(a_stray_is_told_once, NULL, forget)
{
    put("shards/east", SHARD("a", "c", "8", ""), 9);
    put("agents/a/east", SHARD("a", "c", "8", ""), 9);
    put("agents/c/east", SHARD("a", "c", "8", ""), 9);
    put("agents/b/east", SHARD("a", "b", "7", ""), 5);
    put_server("b", "east");
    assert_string_equal(find(true), "b/east=view':8,'@5 ");
    assert_string_equal(find(false), ""); /* it is on its way */
    assert_string_equal(find(true), "b/east=view':8,'@5 ");
}

/* A disk that comes back, after people began the shard anew without it. */
TEST_WITH(a_view_of_another_life_is_not_followed_while_the_shard_is_served, NULL, forget)
{
    static const char form[] = "{'nodes':{'east':{'state':'%s','primary':false,'member':true,"
                               "'view':%u,'members':['east-%c','east-%c']}},'kept':[]}";
    static const struct {
        const char *served, *later;
        uint64_t view;
    } rows[] = {
        {"PROTECTED", "JOINING", 7}, {"SOLO", "FENCED", 7},      {"DEGRADED", "SYNCING", 7},
        {"SOLO", "READY", 300},      {"PROTECTED", "SOLO", 300}, {"SOLO", "DEGRADED", 300},
        {"JOINING", "JOINING", 300}, {"READY", "JOINING", 300},
    };

    put("shards/east", SHARD("a", "b", "7", ""), 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fl_picture picture;

        put("servers/a", help_print(form, rows[i].served, 7, 'a', 'b'), 1);
        put("servers/b", help_print(form, rows[i].later, 300, 'b', 'd'), 1);
        assert_int_equal(fl_picture_make(&picture, keys_file, &keys, NULL, 5000, &help_fault), 0);
        if (picture.shard[0].view != rows[i].view)
            fail_msg("%s and %s: view %lu", rows[i].served, rows[i].later, picture.shard[0].view);
        assert_int_equal(picture.shard[0].member[0], rows[i].view == 7 ? 0 : 1);
        fl_picture_free(&picture);
    }
}

/* It has to stop its node, and may be away until it can: so it is told until it has none. */
TEST_WITH(who_was_a_member_is_told_until_its_node_is_gone, NULL, forget)
{
    put("shards/east", SHARD("a", "c", "8", ""), 9);
    put("agents/a/east", SHARD("a", "c", "8", ""), 9);
    put("agents/c/east", SHARD("a", "c", "8", ""), 9);
    put("agents/b/east", SHARD("a", "b", "7", ""), 5);
    assert_string_equal(find(false), "");                   /* b is dead */
    assert_string_equal(find(true), "b/east=view':8,'@5 "); /* and is told for when it returns */
    put("agents/b/east", SHARD("a", "c", "8", ""), 10);
    assert_string_equal(find(true), "");
    put_server("b", "east"); /* it is back */
    assert_string_equal(find(true), "");
    put_server("b", "");
    assert_string_equal(find(false), "");
    assert_string_equal(find(true), "-b/east@10 ");
}

/* An order that was withdrawn before its node was there: who was not told so would start it for ever. */
TEST_WITH(a_copy_goes_only_once_it_says_that_no_node_is_to_run, NULL, forget)
{
    put("shards/east", SHARD("a", "b", "7", ""), 9);
    put("agents/a/east", SHARD("a", "b", "7", ""), 9);
    put("agents/b/east", SHARD("a", "b", "7", ""), 9);
    put("agents/c/east", SHARD("a", "b", "7", TO_C), 8);
    put_server("c", "");
    assert_string_equal(find(true), "c/east=view':7,'@8 ");
    put("agents/c/east", SHARD("a", "b", "7", ""), 10);
    assert_string_equal(find(true), "-c/east@10 ");
    drop("agents/c/east");
    assert_string_equal(find(true), "");
    put_server("c", "east"); /* it was started all the same */
    assert_string_equal(find(true), "c/east=view':7,'@0 ");
}

/* A server that the agents' files differ about, or that was told by nobody: it has a node, so it hears. */
TEST_WITH(who_tells_of_a_node_is_told, NULL, forget)
{
    put_server("d", "east");
    put("shards/east", SHARD("a", "b", "7", ""), 3);
    assert_string_equal(find(false), "a/east=view':7,'@0 b/east=view':7,'@0 d/east=view':7,'@0 ");
}

/* A shard that was taken out of the file, one whose key is lost, and what no leader wrote. */
TEST_WITH(of_what_is_not_known_nothing_is_written, NULL, forget)
{
    put_server("b", "");
    put("agents/b/west", "{}", 5);
    put("agents/b/north", "{}", 5);
    put("agents/b", "{}", 5);
    put("agents/b/north/x", "{}", 5);
    put("agentsx", "{}", 5);
    assert_string_equal(find(true), "");
}

/* What the leader writes of strays: "KEY=VALUE " and "-KEY ". */
static const char *follow(bool all)
{
    struct fl_picture picture;
    struct fl_copies copies = {.at = NULL};

    assert_int_equal(fl_picture_make(&picture, keys_file, &keys, NULL, 5000, &help_fault), 0);
    assert_int_equal(fl_stray_follow(&copies, &picture, &keys, all, &help_fault), 0);
    found[0] = '\0';
    for (size_t i = 0; i < copies.count; i++) {
        size_t at = strlen(found);
        const struct fl_copy *copy = &copies.at[i];

        snprintf(found + at, sizeof(found) - at, "%s%s%s%s ", copy->value ? "" : "-",
                 copy->key + sizeof("understudy/f/") - 1, copy->value ? "=" : "",
                 copy->value ? copy->value : "");
    }
    fl_copies_free(&copies);
    fl_picture_free(&picture);
    return plain_quotes(found);
}

TEST_WITH(a_shard_out_of_the_file_is_ended_by_a_person_alone, NULL, forget)
{
    put_server("a", "west");
    put_server("b", "");
    put_server("c", "");
    put("shards/west", SHARD("a", "b", "7", ""), 3);
    put("agents/a/west", SHARD("a", "b", "7", ""), 3);
    put("wishes/pin/west", "a", 3);
    put("wishes/pin/north", "a", 3);
    assert_string_equal(follow(true), "");
    put("wishes/remove/west", "1", 4);
    assert_string_equal(follow(false), "agents/a/west={'remove':true} agents/b/west={'remove':true} ");
    put("agents/a/west", FL_STRAY_ENDS, 5);
    put("agents/b/west", FL_STRAY_ENDS, 5);
    assert_string_equal(follow(true), "");
    /* One of both is gone: its node may run. */
    put_server("a", "");
    drop("servers/b");
    assert_string_equal(follow(true), "");
    put_server("b", "");
    assert_string_equal(follow(true),
                        "-agents/a/west -agents/b/west -shards/west -wishes/pin/west -wishes/remove/west ");
    /* What cannot be read may tell of it, where it may have it. */
    put("servers/b", "spoilt", 6);
    assert_string_equal(follow(true), "");
    put_server("b", "");
    put("servers/c", "spoilt", 6);
    put("shards/east", "spoilt", 6);
    assert_string_equal(follow(true),
                        "-agents/a/west -agents/b/west -shards/west -wishes/pin/west -wishes/remove/west ");
    /* An agent that is older than strays has some and tells of none. */
    put("servers/b", "{'nodes':{},'kept':[]}", 6);
    assert_string_equal(follow(true), "");
    put_server("b", "");
    /* Who was not told does not know what it is asked for. */
    put("agents/b/west", SHARD("a", "b", "7", ""), 5);
    assert_string_equal(follow(true), "agents/b/west={'remove':true} ");
    put("agents/b/west", FL_STRAY_ENDS, 5);
    drop("wishes/remove/west");
    assert_string_equal(follow(true), "-agents/a/west -agents/b/west ");
}

/* Which strays there are, as `fleet status` and the leader find them: "NAME ". */
static const char *strays(void)
{
    struct fl_picture picture;

    assert_int_equal(fl_picture_make(&picture, keys_file, &keys, NULL, 5000, &help_fault), 0);
    found[0] = '\0';
    for (uint32_t i = keys_file->shards; i < fl_file_all_shards(keys_file); i++)
        if (fl_stray_is(&picture, &keys, i))
            snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s ", keys_file->shard[i].name);
    fl_picture_free(&picture);
    return found;
}

/* The liar, who is heard first, says other names in each word. Shard lost has no key any more. */
TEST_WITH(a_liars_shards_hide_none_that_runs, NULL, forget)
{
    char lie[16 * FL_UNLISTED_MAX + 64];

    for (unsigned word = 0; word < 3; word++) {
        size_t at = (size_t)snprintf(lie, sizeof(lie), "{'nodes':{},'kept':['none'");

        for (unsigned i = 0; i < FL_UNLISTED_MAX; i++)
            at += (size_t)snprintf(lie + at, sizeof(lie) - at, ",'lie_%u_%u'", word, i);
        snprintf(lie + at, sizeof(lie) - at, "],'strays':true}");
        put("servers/a", lie, word + 1);
        (void)strays();
    }
    put_server("b", "lost");
    put_server("c", "lost");
    assert_non_null(strstr(strays(), "lost "));
    put("wishes/remove/lost", "1", 4);
    assert_string_equal(follow(false), "agents/b/lost={'remove':true} agents/c/lost={'remove':true} ");
}

TEST_WITH(a_shard_of_the_file_is_not_removed, NULL, forget)
{
    put_server("a", "east");
    put("shards/east", SHARD("a", "b", "7", ""), 3);
    put("wishes/remove/east", "1", 4);
    assert_string_equal(follow(true), "-wishes/remove/east ");
}

TESTS_SHARE(make_file, keys_end)
