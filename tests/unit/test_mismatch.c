/* SPDX-License-Identifier: Apache-2.0 */
/* Two nodes that differ meet: a core refuses the other one, and says in what. Or they speak the same format.
 */
#include "ftcore/protocol/core.h"
#include "tests/help/message.h"
#include "tests/help/test.h"

#define IDENTITY "chain edge\nnat 203.0.113.1\n"

static struct ft_core core;
static struct ft_actions did; /* of the last step */
static struct ft_core_config ours, theirs;
static uint64_t now; /* ns */

static void step(struct ft_event event)
{
    event.now = event.came = now;
    ft_step(&core, &event, &did);
}

static const struct ft_message *said(enum ft_message_type type)
{
    for (uint32_t i = 0; i < did.count; i++)
        if (did.list[i].kind == FT_ACT_SEND && did.list[i].send.type == type)
            return &did.list[i].send;
    fail_msg("message %d was not sent (%s)", type, core.why);
    return NULL;
}

static void because(const char *text)
{
    if (!strstr(core.why, text))
        fail_msg("why is '%s', expected '%s'", core.why, text);
}

static void begin(void)
{
    ours = (struct ft_core_config){.lanes = 1,
                                   .incarnation = 100,
                                   .heartbeat_ms = 10,
                                   .lease_ms = 20,
                                   .detect_ms = 50,
                                   .promote_within_ms = 100,
                                   .solo_after_ms = 200,
                                   .name = "left",
                                   .identity = IDENTITY,
                                   .identity_len = sizeof(IDENTITY) - 1};
    theirs = ours;
    theirs.role = 1, theirs.incarnation = 200;
    strcpy(theirs.name, "right");
}

/* We hear the other one's hello, which answers ours. */
static void hears(uint64_t sent, struct ft_message hello)
{
    hello.type = FT_MSG_HELLO, hello.state = FT_JOINING, hello.sent = 5000, hello.echo = sent;
    step((struct ft_event){.kind = FT_EV_MESSAGE, .message = &hello});
}

static uint64_t connects(void)
{
    now = 0;
    ft_core_init(&core, &ours, now, &did);
    step((struct ft_event){.kind = FT_EV_CONNECTED});
    return said(FT_MSG_HELLO)->sent;
}

/* ---- what their files say ------------------------------------------------------------------------ */

static void refuses(const char *text)
{
    struct ft_message hello = {0};

    message_hello(&hello, &theirs);
    hears(connects(), hello);
    if (!strstr(said(FT_MSG_REFUSE)->text, text))
        fail_msg("refused with '%s', expected '%s'", said(FT_MSG_REFUSE)->text, text);
    assert_int_equal(core.state, FT_JOINING);
    because(text);
    begin();
}

TEST(a_peer_that_differs_is_refused_by_name)
{
    static const char other[] = "chain edge\nnat 203.0.113.2\n";

    begin();
    theirs.lanes = 2;
    refuses("lanes: left 1, right 2");
    theirs.identity = other;
    refuses("nat: left 203.0.113.1, right 203.0.113.2");
    theirs.identity_len = 11;
    refuses("left nat 203.0.113.1, right nothing");
    theirs.strict = true;
    refuses("strict: left false, right true");
    theirs.warm = true;
    refuses("standby: left hot, right warm");
    strcpy(theirs.name, "left");
    refuses("both nodes are called 'left'");
    theirs.detect_ms = 20; /* our lease would outlast its patience */
    refuses("lease_ms must be below the other's detect_ms: left 20 and 50, right 20 and 20");
    theirs.lease_ms = 50;
    refuses("left 20 and 50, right 50 and 50");
    theirs.promote_within_ms = 200; /* it could promote itself when we go on alone */
    refuses("promote_within_ms");
    theirs.solo_after_ms = 100;
    refuses("promote_within_ms");
}

#define FILE_CHANGES "; change the file of the node that is not primary, and restart it, or push"
#define ONE_PROGRAM  "; one program on both: its state does not pass to another version"

static void tell_apart(const char *name, const char *mine, const char *peer, const char *other)
{
    struct ft_message hello = {0};

    begin();
    snprintf(ours.name, sizeof(ours.name), "%s", name);
    snprintf(theirs.name, sizeof(theirs.name), "%s", peer);
    ours.identity = mine, ours.identity_len = (uint32_t)strlen(mine);
    theirs.identity = other, theirs.identity_len = (uint32_t)strlen(other);
    message_hello(&hello, &theirs);
    hears(connects(), hello);
}

static void differ(const char *name, const char *mine, const char *peer, const char *other,
                   const char *expected)
{
    tell_apart(name, mine, peer, other);
    const char *text = said(FT_MSG_REFUSE)->text, *rest = text + strlen(expected);

    assert_true(strncmp(text, expected, strlen(expected)) == 0);
    assert_string_equal(rest, strstr(expected, " version:") ? ONE_PROGRAM : FILE_CHANGES);
}

#define NAT  "lanes 1\nburst 32\nnf 1: nat inside=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16 outside=203.0.113.1 "
#define PORT "port 0: in inside 02:00:00:00:00:07 10.0.0.1/24"
#define LONG "a-name-as-long-as-names-may-be-"

/* A setting is found wherever it stands in its line, and both nodes read the same text. */
TEST(the_refusal_shows_what_differs)
{
    differ("a", NAT "max_flows=20000 udp=300\n", "b", NAT "max_flows=30000 udp=300\n",
           "nf 1: nat max_flows: a 20000, b 30000");
    differ("a", "nf 1: nat\nnf 2: monitor timeout=3\n", "b", "nf 1: nat\nnf 2: firewall udp=3\n",
           "nf 2: a monitor, b firewall");
    differ("a", "nf 1: nat udp=3\n", "b", "nf 1: nat icmp=3\n", "nf 1: nat: a udp=3, b icmp=3");
    differ("a", "nf 1: nat\n", "b", "nf 1: nat udp=3\n", "nf 1: nat: a nothing, b udp=3");
    differ("a", "nf 1: nat\n", "b", "nf 1: nat\nnf 2: monitor timeout=3\n",
           "a nothing, b nf 2: monitor timeout=3");
    differ("a", PORT "\n", "b", PORT " 10.0.0.9\n", "port 0: a nothing, b 10.0.0.9");
    differ("a", PORT "\n", "b", "port 0: in inside 02:00:00:00:00:08 10.0.0.1/24\n",
           "port 0: a 02:00:00:00:00:07, b 02:00:00:00:00:08");
    differ("a", "nf 1: x s=one\n", "b", "nf 1: x s=\n", "nf 1: x s: a one, b nothing");
    differ("a", "", "b", "lanes 1\n", "a nothing, b lanes 1");
    differ("a", "lanes 1\n", "b", "lanes 2\n", "lanes: a 1, b 2");
    differ("a", "nf 1: nat version=3 udp=3\n", "b", "nf 1: nat version=4 icmp=3\n",
           "nf 1: nat version: a 3, b 4");
    differ("a", "library version=1\n", "b", "library version=2\n", "library version: a 1, b 2");
    differ("alpha", "mode=log\nlanes 1\nnf 1: nat\n", "beta",
           "mode=log\narbiter=u/edge/k\nlanes 1\nnf 1: nat\n", "arbiter: alpha nothing, beta u/edge/k");
    differ("a", "mode=log\narbiter=k\nlanes 1\n", "b", "mode=log\nlanes 1\n", "arbiter: a k, b nothing");
    differ("a", "mode=log\narbiter=k\nlanes 1\n", "b", "mode=log\narbiter=l\nlanes 1\n", "arbiter: a k, b l");
    differ("a", "port 0: x\nroute 0: y\n", "b", "port 0: x\nport 1: z\nroute 0: y\n",
           "a nothing, b port 1: z");
    differ("a", "pending_mb=64\nlanes 1\n", "b", "pending_mb=32\nlanes 1\n", "pending_mb: a 64, b 32");
}

/* Names may be long, and values: what differs stays in sight. */
TEST(the_refusal_fits)
{
    char mine[600], other[600], text[FT_REASON_MAX];

    snprintf(mine, sizeof(mine), "nf 3: load_balancer tcp_established=%0200u vip=1\n", 1u);
    snprintf(other, sizeof(other), "nf 3: load_balancer tcp_established=%0200u vip=1\n", 2u);
    for (int names = 0; names < 2; names++) {
        tell_apart(names ? LONG : "a", mine, names ? "b" LONG : "b", other);
        snprintf(text, sizeof(text), "%s", said(FT_MSG_REFUSE)->text);
        assert_non_null(strstr(text, "nf 3: load_balancer tcp_established: a"));
        assert_non_null(strstr(text, "01, b"));
        assert_string_equal(strstr(text, "02; "), "02" FILE_CHANGES);
        assert_true(strlen(text) < FT_REASON_MAX - 1);
    }
}

/* ---- which formats their programs know --------------------------------------------------------------- */

static void speaks(uint16_t newest, uint16_t oldest, const char *program)
{
    struct ft_message hello = {0};
    uint64_t sent;

    begin();
    ours.newest = 5, ours.oldest = 4;
    strcpy(ours.program, "0.5.0");
    sent = connects();
    assert_int_equal(said(FT_MSG_HELLO)->newest * 10 + said(FT_MSG_HELLO)->oldest, 54);
    now = 15 * FT_MS; /* a heartbeat would be due */
    step((struct ft_event){.kind = FT_EV_TIME});
    assert_int_equal(did.count, 0);
    message_hello(&hello, &theirs);
    hello.newest = newest, hello.oldest = oldest;
    strcpy(hello.program, program);
    hears(sent, hello);
}

TEST(both_speak_the_newest_that_both_know)
{
    struct ft_message m = {.type = FT_MSG_HEARTBEAT, .version = 5, .state = FT_JOINING, .sent = 1ull << 50};

    speaks(5, 4, "0.5.0");
    assert_int_equal(said(FT_MSG_HEARTBEAT)->version, 5);
    speaks(4, 3, "0.4.0");
    assert_int_equal(said(FT_MSG_HEARTBEAT)->version, 4);
    assert_string_equal(core.peer.program, "0.4.0");
    assert_true(core.peer.known);
    hears(0, (struct ft_message){.newest = 9, .oldest = 9}); /* who is known has said what it is */
    assert_int_equal(core.peer.version, 4);
    step((struct ft_event){.kind = FT_EV_MESSAGE, .message = &m});
    assert_true(did.malformed);
    assert_string_equal(core.malformed.text, "it speaks version 5, agreed on is 4");
    speaks(6, 5, "0.6.0");
    assert_int_equal(said(FT_MSG_HEARTBEAT)->version, 5);
}

TEST(without_a_format_that_both_know_they_say_which_program_is_behind)
{
    speaks(3, 2, "0.3.0");
    because("formats: left (understudy 0.5.0) speaks 4 to 5, right (understudy 0.3.0) 2 to 3; upgrade right, "
            "one release after the other");
    now = 30 * FT_MS; /* it would understand nothing */
    step((struct ft_event){.kind = FT_EV_TIME});
    assert_int_equal(did.count, 0);
    speaks(7, 7, "0.8.0");
    because("formats: left (understudy 0.5.0) speaks 4 to 5, right (understudy 0.8.0) 7; upgrade left, one "
            "release after the other");
    assert_non_null(said(FT_MSG_REFUSE));
    assert_false(core.peer.known);
}

TEST(a_shard_with_a_name_needs_a_format_that_can_say_it)
{
    struct ft_message hello = {0};

    begin();
    ours.newest = 4, ours.oldest = 3;
    ours.members = (struct ft_members){{7, 8}, {"left", "right"}};
    strcpy(ours.program, "0.4.0");
    message_hello(&hello, &theirs);
    hello.newest = hello.oldest = 3; /* which cannot */
    strcpy(hello.program, "0.2.0");
    hears(connects(), hello);
    because("formats: left (understudy 0.4.0) speaks 3 to 4, right (understudy 0.2.0) 3; upgrade right, one "
            "release after the other");
}
