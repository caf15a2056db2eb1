/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client of etcd makes of answers: those that a server of version 3.4 gave, and those that are cut,
 * of wrong types, too large, of an earlier revision, of other keys, or damaged in any bit. And the requests,
 * as etcd's JSON gateway takes them.
 */
#include "understudy/etcd/etcd.c"
#include "understudy/etcd/store.c"
#include "tests/help/test.h"

#define HEADER "\"header\":{\"cluster_id\":\"1\",\"member_id\":\"2\",\"revision\":\"9\",\"raft_term\":\"2\"}"
#define P      "/f/"
#define A64    "L2YvYQ==" /* /f/a */
#define B64    "L2YvYg==" /* /f/b */
#define KV(key, more)                                                                                        \
    "{\"key\":\"" key "\",\"create_revision\":\"4\",\"mod_revision\":\"7\",\"version\":\"2\"" more "}"
#define A KV(A64, ",\"value\":\"b25l\"")
#define B KV(B64, ",\"value\":\"dHdv\",\"lease\":\"12\"")

static struct ft_fault fault;

/* ---- base64 ---- */

TEST(bytes_are_what_they_were)
{
    unsigned char bytes[300], back[400];
    char text[ND_ETCD_CODED(sizeof(bytes))];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        nd_etcd_encode(bytes, len, text);
        assert_int_equal(strlen(text) + 1, ND_ETCD_CODED(len));
        assert_int_equal(nd_etcd_decode(text, strlen(text), back), len);
        assert_memory_equal(back, bytes, len);
    }
}

TEST(what_is_no_base64_is_refused)
{
    static const char *const bad[] = {"YQ",         "YQ=",      "YQ==\n", " YQ=", "=QQQ",
                                      "Y=QQ",       "YQ==YQ==", "====",   "Y===", "YQ-_",
                                      "YQ\xc3\xa9", "YQ==YQ",   "\nYQ=",  "YQ .", "Y\tQ="};
    unsigned char out[64];

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (nd_etcd_decode(bad[i], strlen(bad[i]), out) != -1)
            fail_msg("taken for base64: %s", bad[i]);
}

/* ---- logins ---- */

TEST(a_login_is_json)
{
    char out[LOGIN_BODY_MAX], name[ND_ETCD_NAME_MAX], password[PASS_MAX];

    make_login("pair", "a \"b\\c", out);
    assert_string_equal(out, "{\"name\":\"pair\",\"password\":\"a \\\"b\\\\c\"}");
    memset(name, '"', sizeof(name) - 1);
    memset(password, '\\', sizeof(password) - 1);
    name[sizeof(name) - 1] = password[sizeof(password) - 1] = '\0';
    make_login(name, password, out); /* the longest fits */
    assert_int_equal(strlen(out), strlen("{\"name\":\"\",\"password\":\"\"}") + 2 * (63 + 255));
}

TEST(a_token_is_read)
{
    static const char *const bad[] = {
        "{" HEADER "}",
        "{" HEADER ",\"token\":7}",
        "{" HEADER ",\"token\":\"\"}",
        "{" HEADER ",\"token\":\"a\\r\\nHost: b\"}",
        "{" HEADER ",\"token\":\"a\\u007f\"}",
        "{\"token\":\"a.1\"}",
        "{\"error\":\"x\"}",
        "",
    };
    char token[TOKEN_MAX], text[TOKEN_MAX + 200], longest[TOKEN_MAX + 1];

    /* As a server of version 3.4 answered. */
    snprintf(text, sizeof(text), "{" HEADER ",\"token\":\"uGHBudmJRgEPEJYu.12\"}");
    assert_int_equal(read_token(text, strlen(text), token, &fault), 0);
    assert_string_equal(token, "uGHBudmJRgEPEJYu.12");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fault.text[0] = '\0';
        if (read_token(bad[i], strlen(bad[i]), token, &fault) != FT_EMALFORMED || !fault.text[0])
            fail_msg("taken for a token: %s", bad[i]);
    }
    memset(longest, 'x', sizeof(longest));
    for (unsigned over = 0; over < 2; over++) {
        snprintf(text, sizeof(text), "{" HEADER ",\"token\":\"%.*s\"}", (int)(TOKEN_MAX - 1 + over), longest);
        assert_int_equal(read_token(text, strlen(text), token, &fault), over ? FT_EMALFORMED : 0);
    }
}

TEST(a_refusal_is_said_as_far_as_it_is_text)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"{\"error\":\"e\",\"message\":\"etcdserver: permission denied\",\"code\":7}",
         "etcdserver: permission denied"},
        {"CommonName of client sending\n", "CommonName of client sending"},
        {"{\"message\":\"one\\u001b[2Jtwo\"}", "one"},
        {"{\"message\":7}", "{\"message\":7}"},
        {"\x01", ""},
        {"", ""},
    };
    char words[ND_ETCD_WORDS_MAX], text[1000];

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        nd_etcd_refusal(rows[i].text, strlen(rows[i].text), words);
        assert_string_equal(words, rows[i].words);
    }
    memset(text, 'x', sizeof(text));
    nd_etcd_refusal(text, sizeof(text), words);
    assert_int_equal(strlen(words), ND_ETCD_WORDS_MAX - 1);
}

/* ---- keys ---- */

static struct nd_keys keys;
static int64_t revision;
static bool more;
static struct key last; /* of the page before */

static int page(const char *text, int64_t at)
{
    json_t *o;
    int error;

    revision = at;
    last.len = at ? last.len : 0;
    error = nd_etcd_load(&o, text, strlen(text), false, &fault);
    if (!error)
        error = read_page(o, P, &keys, &last, &revision, &more, &fault);
    json_decref(o);
    return error;
}

/* The next page is asked for from that key on. */
static void expect_next(const char *coded)
{
    json_t *o = make_page(P, &last, ND_STORE_PAGE, 9);

    assert_string_equal(json_string_value(json_object_get(o, "key")), coded);
    json_decref(o);
}

TEST(a_page_is_read)
{
    assert_int_equal(page("{" HEADER ",\"kvs\":[" A "," B "],\"more\":true,\"count\":\"3\"}", 0), 0);
    assert_int_equal(revision, 9);
    assert_true(more);
    assert_int_equal(keys.count, 2);
    assert_string_equal(keys.at[0]->key, "/f/a");
    assert_string_equal(keys.at[0]->value, "one");
    assert_int_equal(keys.at[0]->created, 4);
    assert_int_equal(keys.at[0]->changed, 7);
    assert_int_equal(keys.at[0]->lease, 0);
    assert_int_equal(keys.at[1]->lease, 12);
    assert_int_equal(page("{" HEADER ",\"kvs\":[" KV("L2YvYw==", "") "]}", 8), 0); /* no value: it is empty */
    assert_int_equal(revision, 8);
    assert_false(more);
    assert_int_equal(keys.count, 3);
    assert_string_equal(keys.at[2]->value, "");
    nd_keys_clear(&keys);
    assert_int_equal(page("{" HEADER "}", 0), 0);
    assert_int_equal(keys.count, 0);
    assert_false(more);
}

TEST(what_is_no_page_is_refused)
{
    static const char *const bad[] = {
        "",
        "{",
        "null",
        "[]",
        "{}",
        "\"header\"",
        "{\"header\":7}",
        "{\"header\":{\"cluster_id\":\"1\"}}",
        "{\"header\":{\"revision\":9}}",
        "{\"header\":{\"revision\":\"-9\"}}",
        "{\"header\":{\"revision\":\"9223372036854775807\"}}",
        "{\"header\":{\"revision\":\"99999999999999999999\"}}",
        "{" HEADER "} trailing",
        "{" HEADER ",\"kvs\":7}",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[7]}",
        "{" HEADER ",\"kvs\":[null]}",
        "{" HEADER ",\"kvs\":[" A "],\"kvs\":[]}",
        "{" HEADER ",\"kvs\":[" A "],\"more\":\"true\"}",
        "{" HEADER ",\"more\":true}",
        "{" HEADER ",\"kvs\":[],\"more\":true}",
        "{" HEADER ",\"kvs\":[" A "," A "]}",
        "{" HEADER ",\"kvs\":[" B "," A "]}",
        "{" HEADER ",\"kvs\":[" A "," B ",7]}",
        "{" HEADER ",\"kvs\":[" KV("", "") "]}",
        "{" HEADER ",\"kvs\":[" KV("L2Yv", ",\"key\":\"\"") "]}",
        "{" HEADER ",\"kvs\":[" KV("L2cvYQ==", "") "]}", /* /g/a */
        "{" HEADER ",\"kvs\":[" KV("L2YvYQ", "") "]}",
        "{" HEADER ",\"kvs\":[" KV(A64, ",\"value\":7") "]}",
        "{" HEADER ",\"kvs\":[" KV(A64, ",\"value\":null") "]}",
        "{" HEADER ",\"kvs\":[" KV(A64, ",\"value\":\"b25\"") "]}",
        "{" HEADER ",\"kvs\":[" KV(A64, ",\"value\":\"b2\\u0000l\"") "]}",
        "{" HEADER ",\"kvs\":[" KV(A64, ",\"lease\":12") "]}",
        "{" HEADER ",\"kvs\":[" KV(A64, ",\"lease\":\"-12\"") "]}",
        "{" HEADER ",\"kvs\":[{\"create_revision\":\"4\",\"mod_revision\":\"7\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" A64 "\",\"create_revision\":\"4\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" A64 "\",\"mod_revision\":\"7\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" A64 "\",\"create_revision\":\"8\",\"mod_revision\":\"7\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"" A64 "\",\"create_revision\":\"4\",\"mod_revision\":\"10\"}]}",
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fault.text[0] = '\0';
        if (page(bad[i], 0) != FT_EMALFORMED || !fault.text[0])
            fail_msg("taken for a page: %s", bad[i]);
        nd_keys_clear(&keys);
    }
}

/* It may be the last of its page, and the first of the next, whose first 255 bytes are the same. */
TEST(a_key_that_is_too_long_is_passed_over)
{
    char bytes[300], coded_name[ND_ETCD_CODED(sizeof(bytes))], text[1000], next[ND_KEY_MAX];
    static const size_t lens[] = {255, 256, 300};

    memset(bytes, 'f', sizeof(bytes));
    memcpy(bytes, P, strlen(P));
    for (size_t i = 0; i < 3; i++) {
        nd_etcd_encode(bytes, lens[i], coded_name);
        snprintf(text, sizeof(text), "{" HEADER ",\"kvs\":[" KV("%s", "") "],\"more\":true}", coded_name);
        assert_int_equal(page(text, i ? 9 : 0), 0);
        assert_int_equal(keys.count, 1);
    }
    assert_int_equal(strlen(keys.at[0]->key), 255);
    assert_int_equal(keys.passed, 2);
    memcpy(next, bytes, 255);
    next[254] = 'g';
    nd_etcd_encode(next, 255, coded_name);
    expect_next(coded_name);
    memset(last.bytes + 200, 0xff, 55);
    next[199] = 'g';
    nd_etcd_encode(next, 200, coded_name);
    expect_next(coded_name);
    nd_keys_clear(&keys);
}

/* With a NUL, and not in UTF-8: /f/a NUL; /f/a NUL b; /f/b; /f/b 0xff. Each is in its order, and may be the
 * last of its page. */
TEST(a_key_that_is_no_text_is_passed_over)
{
    static const char *const next[] = {"L2YvYQAA", "L2YvYQBiAA==", "L2YvYgA=", "L2Yvyv8A"},
                             *const is[] = {"L2YvYQA=", "L2YvYQBi", B64, "L2Yvyv8="};

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(
            page(help_print("{" HEADER ",\"kvs\":[" KV("%s", "") "],\"more\":true}", is[i]), i ? 9 : 0), 0);
        expect_next(next[i]);
    }
    assert_int_equal(keys.count, 1);
    assert_string_equal(keys.at[0]->key, "/f/b");
    assert_int_equal(keys.passed, 3);
    assert_int_equal(page("{" HEADER ",\"kvs\":[" KV("L2YvYQBi", "") "]}", 9),
                     FT_EMALFORMED); /* it was before */
    nd_keys_clear(&keys);
    assert_int_equal(keys.passed, 0);
    assert_int_equal(page("{" HEADER ",\"kvs\":[" KV("L2cvAGE=", "") "]}", 0), FT_EMALFORMED); /* /g/ NUL a */
    nd_keys_clear(&keys);
}

/* One more than was asked for. */
TEST(a_page_has_its_limit)
{
    static char text[200 * (ND_STORE_PAGE + 1)];
    size_t at = 0;

    for (unsigned n = ND_STORE_PAGE; n <= ND_STORE_PAGE + 1; n++) {
        at = (size_t)snprintf(text, sizeof(text), "{" HEADER ",\"kvs\":[");
        for (unsigned i = 0; i < n; i++) {
            char name[16], coded_name[32];

            snprintf(name, sizeof(name), P "%05u", i);
            nd_etcd_encode(name, strlen(name), coded_name);
            at += (size_t)snprintf(text + at, sizeof(text) - at,
                                   "%s{\"key\":\"%s\",\"create_revision\":\"4\",\"mod_revision\":\"7\"}",
                                   i ? "," : "", coded_name);
        }
        snprintf(text + at, sizeof(text) - at, "]}");
        assert_int_equal(page(text, 0), n > ND_STORE_PAGE ? FT_EMALFORMED : 0);
        nd_keys_clear(&keys);
    }
}

TEST(a_table_has_its_limit)
{
    struct nd_keys full = {.count = ND_KEYS_MAX - 1, .size = 10};

    assert_int_equal(nd_keys_reserve(&full, 2, 10, &fault), FT_EFULL);
    assert_int_equal(nd_keys_reserve(&full, 1, ND_KEYS_SIZE, &fault), FT_EFULL);
    assert_null(full.at);
    assert_int_equal(nd_keys_reserve(&full, 1, 10, &fault), 0);
    full.count = full.size = 0;
    nd_keys_clear(&full);
}

/* ---- transactions and leases ---- */

static bool done;

static int txn(const char *text)
{
    json_t *o;
    int error = nd_etcd_load(&o, text, strlen(text), false, &fault);

    if (!error)
        error = read_done(o, &done, &revision, &fault);
    json_decref(o);
    return error;
}

TEST(a_transaction_is_done_only_if_etcd_says_so)
{
    assert_int_equal(txn("{" HEADER ",\"succeeded\":true,\"responses\":[{}]}"), 0);
    assert_true(done);
    assert_int_equal(txn("{" HEADER "}"), 0);
    assert_false(done);
    assert_int_equal(txn("{" HEADER ",\"succeeded\":false}"), 0);
    assert_false(done);
    assert_int_equal(txn("{" HEADER ",\"succeeded\":\"true\"}"), FT_EMALFORMED);
    assert_int_equal(txn("{" HEADER ",\"succeeded\":1}"), FT_EMALFORMED);
    assert_int_equal(txn("{\"succeeded\":true}"), FT_EMALFORMED);
    assert_int_equal(txn("{\"header\":{},\"succeeded\":true}"), FT_EMALFORMED);
}

static struct nd_lease lease;

static int lease_of(const char *text, bool streamed)
{
    json_t *o;
    int error = nd_etcd_load(&o, text, strlen(text), streamed, &fault);

    if (!error)
        error = read_lease(o, 1000, &lease, &fault);
    json_decref(o);
    return error;
}

TEST(a_lease_is_read)
{
    static const char *const bad[] = {
        "{" HEADER "}",
        "{" HEADER ",\"ID\":7,\"TTL\":\"2\"}",
        "{" HEADER ",\"ID\":\"0\",\"TTL\":\"2\"}",
        "{" HEADER ",\"ID\":\"7\",\"TTL\":2}",
        "{" HEADER ",\"ID\":\"7\",\"TTL\":\"-2\"}",
        "{" HEADER ",\"ID\":\"7\",\"TTL\":\"00\"}",
        "{" HEADER ",\"ID\":\"7\",\"TTL\":\"1000001\"}",
        "{" HEADER ",\"ID\":\"7\",\"TTL\":\"2\",\"error\":\"no\"}",
        "{\"ID\":\"7\",\"TTL\":\"2\"}",
        "{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"2\"}}",
    };

    assert_int_equal(lease_of("{" HEADER ",\"ID\":\"7587848390264577546\",\"TTL\":\"2\"}", false), 0);
    assert_int_equal(lease.id, 7587848390264577546);
    assert_int_equal(lease.ttl_s, 2);
    assert_int_equal(lease.until, 2000001000);
    assert_int_equal(lease_of("{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"3\"}}\n", true), 0);
    assert_int_equal(lease.until, 3000001000);
    assert_int_equal(lease_of("{\"result\":{" HEADER ",\"ID\":\"7\"}}\n", true), FT_ENOENT);
    assert_int_equal(lease_of("{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"0\"}}", true), FT_ENOENT);
    assert_int_equal(lease.until, 3000001000);
    assert_int_equal(lease_of("{\"error\":{\"message\":\"etcdserver: no leader\\nx\"}}", true), FT_EIO);
    assert_string_equal(fault.text, "it ended the stream (etcdserver: no leader)");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (lease_of(bad[i], false) != FT_EMALFORMED)
            fail_msg("taken for a lease: %s", bad[i]);
}

/* ---- a watch ---- */

static const struct nd_etcd_config config = {.url = {"http://h:1"}, .urls = 1};
static const struct nd_etcd_limits limits = {.reply = 1024, .request_ms = 1000};
static struct nd_watch watched;
static struct watching watching;
static char seen[300];

static int see(void *arg, struct nd_event *events, size_t count, struct ft_fault *why)
{
    for (size_t i = 0; i < count; i++)
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s%s=%s@%ld ",
                 events[i].deleted ? "-" : "", events[i].entry->key, events[i].entry->value,
                 events[i].entry->changed);
    if (!count)
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), ". ");
    return 0;
}

static int line(const char *text, size_t len)
{
    seen[0] = '\0';
    fault.text[0] = '\0';
    watched.next = 5;
    watching.created = false;
    return take_line(&watching, text, len, &fault);
}

static int begin_watch(void **state)
{
    watched = (struct nd_watch){.prefix = P, .take = see};
    watching = (struct watching){.server = config.url[0], .watch = &watched};
    return nd_etcd_open(&watching.e, &config, &limits, NULL, NULL, &fault);
}

static int end_watch(void **state)
{
    nd_etcd_close(watching.e);
    return 0;
}

#define LINE(more)  "{\"result\":{" HEADER more "}}"
#define GONE(r, k)  "{\"type\":\"DELETE\",\"kv\":{\"key\":\"" k "\",\"mod_revision\":\"" r "\"}}"
#define PUT(kv)     "{\"kv\":" kv "}"
#define EVENTS(...) LINE(",\"events\":[" __VA_ARGS__ "]")

TEST_WITH(lines_of_a_watch_are_read, begin_watch, end_watch)
{
    static const struct {
        const char *text, *seen;
        int64_t next;
        bool created;
    } rows[] = {
        {LINE(",\"created\":true"), ". ", 5, true},
        {LINE(""), ". ", 5, false},
        {EVENTS(PUT(A)), "/f/a=one@7 ", 8, false},
        {EVENTS("{\"type\":\"PUT\",\"kv\":" A "}"), "/f/a=one@7 ", 8, false},
        {EVENTS(GONE("6", A64) "," PUT(A) "," PUT(B) "," GONE("9", A64)),
         "-/f/a=@6 /f/a=one@7 /f/b=two@7 -/f/a=@9 ", 10, false},
        {EVENTS(PUT(KV("L2YvYQBi", "")) "," PUT(B) "," PUT(KV("L2Yvyv8=", ""))), "/f/b=two@7 ", 8, false},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(line(rows[i].text, strlen(rows[i].text)), 0);
        assert_string_equal(seen, rows[i].seen);
        assert_int_equal(watched.next, rows[i].next);
        assert_int_equal(watching.created, rows[i].created);
    }
    assert_int_equal(watched.passed, 2);
}

TEST_WITH(what_ends_a_watch_is_said, begin_watch, end_watch)
{
    static const struct {
        const char *text;
        int error;
        const char *said;
    } rows[] = {
        {LINE(",\"canceled\":true,\"compact_revision\":\"8\""), FT_ENOENT,
         "http://h:1: revision 5 was compacted: it has those from 8 on"},
        {LINE(",\"created\":true,\"canceled\":true,\"cancel_reason\":\"etcdserver: permission denied\""),
         FT_EIO, "http://h:1: it ended the watch (etcdserver: permission denied)"},
        {LINE(",\"canceled\":true,\"events\":[" PUT(A) "]"), FT_EIO, "http://h:1: it ended the watch"},
        {"{\"error\":{\"grpc_code\":14,\"message\":\"no leader\"}}", FT_EIO,
         "http://h:1: it ended the stream (no leader)"},
        {"{\"result\":{\"header\":{\"cluster_id\":\"2\",\"revision\":\"9\"},\"events\":[" PUT(A) "]}}",
         FT_EIO, "http://h:1: of cluster 2, expected 1: all URLs of all nodes name one cluster"},
    };

    nd_etcd_expect(watching.e, 1);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(line(rows[i].text, strlen(rows[i].text)), rows[i].error);
        assert_string_equal(fault.text, rows[i].said);
        assert_string_equal(seen, "");
        assert_int_equal(watched.next, 5);
    }
}

/* Of a line with one bad event no event is taken. */
TEST_WITH(what_is_no_line_of_a_watch_is_refused, begin_watch, end_watch)
{
    static const char *const bad[] = {
        "x",
        "{}",
        "null",
        "{" HEADER "}",
        "{\"result\":7}",
        "{\"result\":{}}",
        "{\"error\":7}",
        "{\"error\":{\"message\":7}}",
        "{\"result\":{\"header\":{\"cluster_id\":\"1\"}}}",
        "{\"result\":{\"header\":{\"revision\":\"9\"}}}",
        LINE(",\"events\":7"),
        LINE(",\"events\":{}"),
        EVENTS("7"),
        EVENTS("{}"),
        EVENTS("{\"kv\":7}"),
        EVENTS(PUT(A) ",null"),
        EVENTS(PUT(A) ",{\"type\":\"GONE\",\"kv\":" A "}"),
        EVENTS(PUT(A) ",{\"type\":0,\"kv\":" A "}"),
        EVENTS(PUT(A) "," GONE("6", A64)),        /* the order */
        EVENTS(GONE("4", A64)),                   /* earlier than what was taken */
        EVENTS(PUT(A) "," GONE("10", A64)),       /* later than the header */
        EVENTS(PUT(A) "," GONE("8", "L2cvYQ==")), /* elsewhere */
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (line(bad[i], strlen(bad[i])) != FT_EMALFORMED || seen[0] || watched.next != 5)
            fail_msg("taken for a line: %s (%s)", bad[i], seen);
        assert_non_null(strstr(fault.text, "http://h:1: "));
    }
}

/* Every end and every bit of good answers: nothing reads past them, and a line counts whole or not at all. */
TEST_WITH(damage_crashes_nothing, begin_watch, end_watch)
{
    static const char good[] = EVENTS(GONE("6", A64) "," PUT(A) "," PUT(B)),
                      good_page[] = "{" HEADER ",\"kvs\":[" A "," B "],\"more\":true,\"count\":\"3\"}";
    char bent[sizeof(good) + sizeof(good_page)];

    for (size_t len = 0; len + 1 < sizeof(good); len++)
        assert_int_equal(line(good, len), FT_EMALFORMED);
    for (size_t at = 0; at + 1 < sizeof(good); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bent, good, sizeof(good));
            bent[at] = (char)(bent[at] ^ 1u << bit);
            nd_etcd_expect(watching.e, 1);
            assert_true((line(bent, sizeof(good) - 1) == 0) == (watched.next != 5 || seen[0]));
        }
    for (size_t at = 0; at + 1 < sizeof(good_page); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bent, good_page, sizeof(good_page));
            bent[at] = (char)(bent[at] ^ 1u << bit);
            page(bent, 0);
            nd_keys_clear(&keys);
        }
}

/* ---- lines of a stream ---- */

static char took[200];

static int take_one(void *arg, const char *text, size_t len, struct ft_fault *why)
{
    snprintf(took + strlen(took), sizeof(took) - strlen(took), "<%.*s>", (int)len, text);
    return *(int *)arg && strlen(took) > 8 ? 7 : 0;
}

/* Whatever pieces they come in; empty ones are none. */
TEST(lines_are_taken_whole)
{
    static const char text[] = "one\n\ntwo, long\nthree\nrest";
    struct transfer t = {.max = sizeof(text)};
    int stops = 0;
    const struct nd_etcd_stream s = {.take = take_one, .arg = &stops};

    for (size_t piece = 1; piece < sizeof(text); piece++) {
        size_t looked = 0;

        took[0] = '\0';
        t.len = 0;
        for (size_t at = 0; at + 1 < sizeof(text); at += piece) {
            size_t len = sizeof(text) - 1 - at < piece ? sizeof(text) - 1 - at : piece;

            assert_int_equal(take_text((char *)(uintptr_t)text + at, 1, len, &t), len);
            assert_int_equal(take_lines(&t, &s, &looked, &fault), 0);
        }
        assert_string_equal(took, "<one><two, long><three>");
        assert_int_equal(t.len, 4);
    }
    t.len = 0;
    stops = 1;
    took[0] = '\0';
    size_t looked = 0;

    assert_int_equal(take_text((char *)(uintptr_t)text, 1, sizeof(text) - 1, &t), sizeof(text) - 1);
    assert_int_equal(take_text((char *)(uintptr_t)text, 1, 2, &t), 0); /* more than it may hold */
    assert_true(t.too_long);
    assert_int_equal(take_lines(&t, &s, &looked, &fault), 7);
    assert_string_equal(took, "<one><two, long>");
    free(t.text);
}

/* ---- requests ---- */

static void is_text(json_t *o, const char *expected)
{
    char *text = json_dumps(o, JSON_COMPACT);

    assert_string_equal(text, expected);
    free(text);
    json_decref(o);
}

TEST(requests_are_what_etcd_takes)
{
    static const struct nd_compare compares[] = {{"/f/a", ND_CREATED, 0}, {"/f/b", ND_CHANGED, 7}};
    static const struct nd_change changes[] = {{"/f/a", "one", 3, 12}, {"/f/b", NULL, 0, 0}};

    is_text(make_page(P, &(struct key){"", 0}, ND_STORE_PAGE, 0),
            "{\"key\":\"L2Yv\",\"range_end\":\"L2Yw\",\"limit\":\"128\"}");
    is_text(make_page(P, &(struct key){"/f/a", 4}, ND_STORE_PAGE, 9),
            "{\"key\":\"L2YvYQA=\",\"range_end\":\"L2Yw\",\"limit\":\"128\",\"revision\":\"9\"}");
    is_text(make_txn(compares, 2, changes, 2),
            "{\"compare\":[{\"key\":\"" A64
            "\",\"target\":\"CREATE\",\"result\":\"EQUAL\",\"create_revision\":"
            "\"0\"},{\"key\":\"" B64 "\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"7\"}],"
            "\"success\":[{\"request_put\":{\"key\":\"" A64 "\",\"value\":\"b25l\",\"lease\":\"12\"}},"
            "{\"request_delete_range\":{\"key\":\"" B64 "\"}}]}");
    is_text(make_watch(P, 10),
            "{\"create_request\":{\"key\":\"L2Yv\",\"range_end\":\"L2Yw\",\"start_revision\":\"10\"}}");
}
