/* SPDX-License-Identifier: Apache-2.0 */
/* What status makes of the nodes' own words: exit code, verdict, and the lines below it. Facts from
 * docs/reference.md. */
#include "understudy/cli/pair.h"
#include "tests/help/test.h"

#define STUCK "no turn of lane 3 for 99 ms"

static struct nd_config config = {.chain = {.name = "c"}, .nodes = 2, .node = {{.name = "a"}, {.name = "b"}}};

/* NULL: it does not answer. */
static json_t *node(const char *role, const char *state, const char *stale, const char *peer,
                    const char *sealed)
{
    json_t *status =
        json_pack("{s:s,s:s?,s:i,s:s?,s:{s:s,s:b},s:{s:s}}", "role", role, "state", state, "view", 1, "stale",
                  stale, "peer", "state", peer, "connected", 1, "link", "sealed", sealed);

    HELP_OWNED(status, json_decref);
    return state ? status : NULL;
}

/* A primary that is protected, and its standby. */
static struct nd_pair protected_pair(void)
{
    return (struct nd_pair){.config = &config,
                            .only = -1,
                            .status = {node("primary", "PROTECTED", NULL, "READY", "key"),
                                       node("standby", "READY", NULL, "PROTECTED", "key")}};
}

static const struct {
    int only; /* the node of -n, or -1 */
    const char *a, *b, *stale_a, *stale_b;
    int code;
    const char *verdict;
} cases[] = {
    {-1, "PROTECTED", "READY", NULL, NULL, 0, "PROTECTED "},
    {-1, "PROTECTED", "READY", STUCK, NULL, 1, "STALE "},
    {-1, "PROTECTED", "READY", NULL, STUCK, 1, "STALE "}, /* a takeover would not come to its end */
    {-1, "PROTECTED", NULL, NULL, NULL, 0, "PROTECTED "},
    {-1, "PROTECTED", NULL, STUCK, NULL, 1, "STALE "},
    {-1, NULL, "READY", NULL, NULL, 0, "PROTECTED "}, /* the primary is elsewhere, and its standby knows */
    {-1, NULL, "READY", NULL, STUCK, 1, "STALE "},
    {-1, "SOLO", "JOINING", STUCK, NULL, 2, "STALE "}, /* nothing passes */
    {-1, "SOLO", "JOINING", NULL, STUCK, 2, "NOT PROTECTED "},
    {-1, "SOLO", "SOLO", NULL, NULL, 2, "TWO PRIMARIES "},
    {-1, "DEGRADED", "READY", STUCK, NULL, 1, "STALE "},
    {0, "PROTECTED", NULL, STUCK, NULL, 1, "STALE "},
    {1, NULL, "READY", NULL, NULL, 0, "PROTECTED "},
    {1, NULL, "READY", NULL, STUCK, 1, "STALE "},
    {1, NULL, "SYNCING", NULL, STUCK, 1, "NOT PROTECTED "},
};

/* Until the next call. */
static const char *print(const struct nd_pair *pair)
{
    static char text[4096];
    FILE *out = fmemopen(text, sizeof(text), "w");

    assert_non_null(out);
    nd_pair_print(pair, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

TEST(a_thread_that_stands_makes_protected_stale_and_is_named)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool stale = cases[i].stale_a || cases[i].stale_b;
        const char *line = cases[i].stale_a ? "\nnode a: " STUCK "\n" : "\nnode b: " STUCK "\n";
        struct nd_pair pair = {
            .config = &config,
            .only = cases[i].only,
            .status = {node("primary", cases[i].a, cases[i].stale_a, "READY", "key"),
                       node(cases[i].b && strcmp(cases[i].b, "SOLO") == 0 ? "primary" : "standby", cases[i].b,
                            cases[i].stale_b, "PROTECTED", "key")}};
        const char *text = print(&pair);

        if (nd_pair_exit(&pair) != cases[i].code ||
            strncmp(text, cases[i].verdict, strlen(cases[i].verdict)) != 0 || !strstr(text, STUCK) == stale ||
            (stale && !strstr(text, line)) || strstr(text, "INSECURE"))
            fail_msg("case %zu: exit %d, \"%s\"", i, nd_pair_exit(&pair), text);
    }
}

/* Without -n by either node's word, with it by that node's. */
TEST(ports_that_carry_no_traffic_leave_a_pair_unprotected)
{
    static const char here[] = "node a: port in: does not hear node b",
                      there[] = "node b: port in: no carrier";

    for (int faults = 0; faults < 4; faults++) {
        struct nd_pair pair = protected_pair();
        const char *text;

        if (faults & 1)
            json_object_set_new(pair.status[0], "not_whole", json_string(here));
        if (faults & 2)
            json_object_set_new(pair.status[1], "not_whole", json_string(there));
        text = print(&pair);
        assert_int_equal(nd_pair_exit(&pair), faults ? 1 : 0);
        assert_int_equal(strncmp(text, "NOT PROTECTED ", 14) == 0, faults != 0);
        assert_int_equal(strstr(text, "chain c, node a is primary, data ports are not whole, ") != NULL,
                         faults != 0);
        assert_int_equal(strstr(text, here) != NULL, faults & 1);
        assert_int_equal(strstr(text, there) != NULL, faults >> 1);
    }
}

/* With and without -n, as a node on its own server is asked. */
TEST(a_ready_standby_answers_for_its_primary_and_not_for_itself)
{
    static const struct {
        const char *peer;
        int connected, code;
        const char *line;
    } of[] = {
        {"PROTECTED", 1, 0, "PROTECTED  chain c, node b is READY, "},
        {"DEGRADED", 1, 1, "NOT PROTECTED  chain c, node b is READY and its primary DEGRADED, "},
        {"PROTECTED", 0, 2, "NOT PROTECTED  chain c, node b is READY and does not reach its primary, "}};

    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        struct nd_pair pair = {.config = &config,
                               .only = 1,
                               .status = {NULL, node("standby", "READY", NULL, of[i].peer, "key")}};

        json_object_set_new(json_object_get(pair.status[1], "peer"), "connected",
                            json_boolean(of[i].connected));
        if (strncmp(print(&pair), of[i].line, strlen(of[i].line)) != 0)
            fail_msg("case %zu: %s", i, print(&pair));
        assert_int_equal(nd_pair_exit(&pair), of[i].code);
        pair.only = -1;
        assert_int_equal(nd_pair_exit(&pair), of[i].code);
    }
}

/* A firewall that is bypassed protects nobody, however well the pair does. */
TEST(an_nf_that_is_bypassed_is_said_first)
{
    for (int who = 0; who < 4; who++) {
        struct nd_pair pair = protected_pair();

        for (int i = 0; i < 2; i++)
            json_object_set_new(pair.status[i], "bypassed",
                                who >> i & 1 ? json_pack("[s]", "firewall") : json_array());
        assert_int_equal(nd_pair_exit(&pair), who ? 1 : 0);
        assert_int_equal(strncmp(print(&pair), "BYPASSED  chain c, node a is PROTECTED, ", 40) == 0,
                         who != 0);
        json_object_set_new(pair.status[0], "not_whole", json_string("port inside: no carrier"));
        assert_int_equal(strncmp(print(&pair), "NOT PROTECTED  ", 15), 0);
    }
}

/* Then nothing passes, and ports that do not hear each other are what comes of it. */
TEST(what_is_worst_is_said_first)
{
    struct nd_pair pair = {.config = &config,
                           .only = -1,
                           .status = {node("primary", "PROTECTED", STUCK, "READY", "key"),
                                      node("standby", "READY", NULL, "PROTECTED", "key")}};

    json_object_set_new(pair.status[0], "not_whole", json_string("port inside: does not hear node b"));
    assert_int_equal(
        strncmp(print(&pair), "STALE  chain c, node a is primary, a thread of node a is stuck, ", 63), 0);
    assert_non_null(strstr(print(&pair), "\na           primary   STALE "));
    assert_non_null(strstr(print(&pair), "\nport inside: does not hear node b\n"));
}

TEST(an_arbiter_that_does_not_answer_is_told_and_the_pair_is_what_it_is)
{
    struct nd_pair pair = protected_pair();

    json_object_set_new(pair.status[0], "arbiter",
                        json_pack("{s:b,s:s,s:b}", "answers", 0, "last_failure", "refused", "later", 0));
    json_object_set_new(pair.status[1], "arbiter",
                        json_pack("{s:b,s:n,s:b}", "answers", 1, "last_failure", "later", 0));
    assert_int_equal(nd_pair_exit(&pair), 0);
    assert_non_null(strstr(print(&pair), "\nnode a: the arbiter does not answer: refused\n"));
    assert_null(strstr(print(&pair), "node b: the arbiter"));
    assert_non_null(strstr(print(&pair), "node a is PROTECTED, mode unknown, arbiter does not answer\n"));
    json_object_set_new(json_object_get(pair.status[1], "arbiter"), "later", json_true());
    assert_non_null(strstr(print(&pair), "\nnode b: the arbiter keeps a later view than this pair's\n"));
    pair.only = 1;
    assert_non_null(strstr(print(&pair), "node b is READY, mode unknown, arbiter keeps a later view\n"));
    json_object_set_new(
        pair.status[1], "arbiter",
        json_pack("{s:b,s:b,s:{s:i,s:s}}", "answers", 1, "later", 0, "kept", "view", 7, "winner", "b"));
    assert_non_null(strstr(print(&pair), "node b is READY, mode unknown, arbiter keeps view 7, won by b\n"));
}

TEST(a_peer_that_was_refused_is_told_of_beside_the_reason)
{
    struct nd_pair pair = {
        .config = &config, .only = 0, .status = {node("primary", "SOLO", NULL, "UNKNOWN", "key")}};

    json_object_set_new(pair.status[0], "why", json_string("standby b lost: the peer closed the connection"));
    json_object_set_new(json_object_get(pair.status[0], "peer"), "differs",
                        json_string("nf 1: nat udp: a 1, b 2"));
    assert_non_null(strstr(print(&pair), "closed the connection; b differs: nf 1: nat udp: a 1, b 2\n"));
    json_object_set_new(pair.status[0], "state", json_string("JOINING")); /* its reason says so */
    assert_null(strstr(print(&pair), "b differs"));
}

TEST(a_link_that_nothing_seals_is_in_every_verdict)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nd_pair pair = {.config = &config,
                               .only = cases[i].only,
                               .status = {node("primary", cases[i].a, NULL, "READY", "no"),
                                          node("standby", cases[i].b, NULL, "PROTECTED", "no")}};
        const char *text = print(&pair);
        const char *link = strstr(text, ", link INSECURE\n");

        if (!link || link > strchr(text, '\n')) /* at the end of the first line */
            fail_msg("case %zu: \"%s\"", i, text);
    }
}

TEST(which_way_the_log_goes_is_said_where_lanes_have_a_port)
{
    static const char *const of[][2] = {
        {"carries", "\nthe log goes by the lanes' port net_memif8\n"},
        {"open", "\nthe log goes by the link; the lanes' port net_memif8 is heard\n"},
        {"silent", "\nthe log goes by the link: the lanes' port net_memif8 is silent\n"},
        {"off", "\nthe lanes' port net_memif8 waits until the pair is PROTECTED\n"}};
    struct nd_config ported = config;
    struct nd_pair pair = protected_pair();

    pair.config = &ported;
    snprintf(ported.node[0].link_port, sizeof(ported.node[0].link_port), "net_memif8,role=server");
    assert_null(strstr(print(&pair), "lanes' port"));
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        json_object_set_new(json_object_get(pair.status[0], "link"), "port", json_string(of[i][0]));
        if (!strstr(print(&pair), of[i][1]))
            fail_msg("%s: %s", of[i][0], print(&pair));
    }
    json_object_set_new(pair.status[0], "role", json_string("none"));
    assert_null(strstr(print(&pair), "lanes' port")); /* no node is judged */
}
