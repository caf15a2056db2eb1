/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core, called directly. One core, and a peer played by the test: what the core hears, what it
 * says, what becomes of it. Timing, ms: heartbeat 10, lease 20, detect 50, promote within 100, solo after
 * 200, resync deadline 2000, start alone 300, drain 500. One thread.
 */
#ifndef TESTS_HELP_TALE_H
#define TESTS_HELP_TALE_H

#include "ftcore/protocol/core.h"
#include "tests/help/message.h"
#include "tests/help/test.h"

#define IDENTITY "chain edge\nnat 203.0.113.1\n"

static struct {
    struct ft_core core;
    struct ft_core_config config;
    struct ft_actions did;   /* of the last step */
    uint64_t now, peer_now;  /* clocks of the two, ns */
    struct ft_message hello; /* the peer's, to be bent by the test */
    uint64_t closed, replayed;
    uint64_t sent; /* `sent` of the node's newest message */
} t;

/* The tale begins anew, with what the test has changed in its config. */
static inline void tale_begin_anew(void)
{
    ft_core_init(&t.core, &t.config, t.now, &t.did);
}

/* A node with the file's role and the view of its view file. The clock begins at 0. */
static inline void tale_begin(unsigned role, uint64_t view, bool strict)
{
    memset(&t, 0, sizeof(t));
    t.config = (struct ft_core_config){.lanes = 1,
                                       .role = (uint8_t)role,
                                       .strict = strict,
                                       .incarnation = 100 + role,
                                       .view = view,
                                       .identity = IDENTITY,
                                       .identity_len = sizeof(IDENTITY) - 1};
    t.config.heartbeat_ms = 10, t.config.lease_ms = 20, t.config.detect_ms = 50;
    t.config.promote_within_ms = 100, t.config.solo_after_ms = 200, t.config.resync_deadline_ms = 2000;
    t.config.start_alone_ms = 300, t.config.drain_ms = 500;
    strcpy(t.config.name, role ? "right" : "left");
    struct ft_core_config peer = t.config;

    strcpy(peer.name, role ? "left" : "right");
    peer.role = !role, peer.incarnation = 200;
    t.hello.type = FT_MSG_HELLO;
    message_hello(&t.hello, &peer);
    t.peer_now = 5000 * FT_MS;
    tale_begin_anew();
}

static inline void event_happens(struct ft_event *event)
{
    event->now = t.now;
    event->came = event->came ? event->came : t.now;
    ft_step(&t.core, event, &t.did);
    for (uint32_t i = 0; i < t.did.count; i++)
        if (t.did.list[i].kind == FT_ACT_SEND)
            t.sent = t.did.list[i].send.sent;
}

#define EVENT(...) event_happens(&(struct ft_event){__VA_ARGS__})

static inline void happens(enum ft_event_kind kind)
{
    EVENT(.kind = kind, .text = "replay differs at burst 7", .closed = {t.closed}, .replayed = {t.replayed});
}

static inline void reaches(enum ft_event_kind kind, uint64_t closed)
{
    t.closed = t.replayed = closed;
    happens(kind);
}

static inline void loses(enum ft_lost how)
{
    EVENT(.kind = FT_EV_LOST, .how = how);
}

static inline void heartbeats(uint64_t view)
{
    EVENT(.kind = FT_EV_PORT_HEARTBEAT, .view = view);
}

static inline void hear(struct ft_message m)
{
    m.sent = t.peer_now += 1000;
    EVENT(.kind = FT_EV_MESSAGE, .message = &m);
}

static inline void hears_at(enum ft_message_type type, enum ft_state state, uint64_t burst, uint64_t echo)
{
    hear((struct ft_message){.type = type,
                             .state = state,
                             .view = t.core.view,
                             .echo = echo,
                             .burst = {burst},
                             .replayed = {burst}});
}

/* A message of the peer in our view that echoes our newest one. */
static inline void hears(enum ft_message_type type, enum ft_state state)
{
    hears_at(type, state, 0, t.sent);
}

static inline void hears_view(enum ft_state state, uint64_t view)
{
    hear((struct ft_message){.type = FT_MSG_HEARTBEAT, .state = state, .view = view, .echo = t.sent});
}

/* The peer's hello, after it has had ours; `hello_of_old` echoes nothing. */
static inline void hello_from(enum ft_state state, uint64_t view)
{
    struct ft_message m = t.hello;

    m.state = state, m.view = view, m.echo = t.sent;
    hear(m);
}

static inline void hello_of_old(enum ft_state state, uint64_t view)
{
    struct ft_message m = t.hello;

    m.state = state, m.view = view, m.sent = 77;
    EVENT(.kind = FT_EV_MESSAGE, .message = &m);
}

static inline void hears_of_old(void)
{
    hear((struct ft_message){.type = FT_MSG_HEARTBEAT, .state = FT_PROTECTED, .view = 1});
}

static inline void sleeps(unsigned ms)
{
    t.now += ms * FT_MS;
}

/* Ends with the step in which the state changed, if that comes first: what it did can then be looked at. */
static inline void waits(unsigned ms)
{
    enum ft_state before = t.core.state;
    uint64_t until = t.now + ms * FT_MS;

    while (t.now < until && t.core.state == before) {
        sleeps(1);
        happens(FT_EV_TIME);
    }
}

/* ---- what came of the last step ------------------------------------------------------------------------ */

static inline void is(enum ft_state state)
{
    if (t.core.state != state)
        fail_msg("state %d (%s), expected %d", t.core.state, t.core.why, state);
}

static inline void because(const char *text)
{
    if (!strstr(t.core.why, text))
        fail_msg("why is '%s', expected '%s'", t.core.why, text);
}

static inline const struct ft_action *find(enum ft_action_kind kind, unsigned message)
{
    for (uint32_t i = t.did.count; i-- > 0;)
        if (t.did.list[i].kind == kind && (!message || t.did.list[i].send.type == message))
            return &t.did.list[i];
    return NULL;
}

static inline const struct ft_action *did(enum ft_action_kind kind)
{
    const struct ft_action *action = find(kind, 0);

    if (!action)
        fail_msg("action %d was not done (%s)", kind, t.core.why);
    return action;
}

static inline void did_not(enum ft_action_kind kind)
{
    if (find(kind, 0))
        fail_msg("action %d was done (%s)", kind, t.core.why);
}

static inline const struct ft_message *said(enum ft_message_type type)
{
    const struct ft_action *action = find(FT_ACT_SEND, type);

    if (!action)
        fail_msg("message %d was not sent (%s)", type, t.core.why);
    return &action->send;
}

static inline void gate_is(enum ft_gate gate)
{
    assert_int_equal(did(FT_ACT_GATE)->gate, gate);
}

static inline void connects(void)
{
    happens(FT_EV_CONNECTED);
    said(FT_MSG_HELLO);
}

/* A primary of view 1, PROTECTED: all up to burst 10 is stable. */
static inline void reach_protected(bool strict)
{
    tale_begin(0, 0, strict);
    connects();
    hello_from(FT_JOINING, 0);
    is(strict ? FT_DEGRADED : FT_SOLO);
    reaches(FT_EV_CUT, 5);
    hears(FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(FT_EV_SNAPSHOT_SENT);
    reaches(FT_EV_LANES, 8);
    hears_at(FT_MSG_ACK, FT_SYNCING, 8, t.sent);
    is(FT_DEGRADED);
    assert_int_equal(did(FT_ACT_GATE)->lease_until, 0);
    reaches(FT_EV_GUARDED, 10);
    hears_at(FT_MSG_ACK, FT_READY, 10, t.sent);
    is(FT_PROTECTED);
}

/* A standby of view 1, READY: it holds, and has replayed, all up to burst 10. */
static inline void reach_ready(bool strict)
{
    enum ft_state primary = strict ? FT_DEGRADED : FT_SOLO;

    tale_begin(1, 0, strict);
    connects();
    hello_from(FT_JOINING, 0);
    hears_view(primary, 1);
    hears_at(FT_MSG_SNAPSHOT_BEGIN, primary, 5, t.sent);
    hears(FT_MSG_SNAPSHOT_END, primary);
    hears_at(FT_MSG_HOLDING, FT_DEGRADED, 10, t.sent);
    is(FT_SYNCING);
    reaches(FT_EV_LANES, 10);
    is(FT_READY);
    hears(FT_MSG_HEARTBEAT, FT_PROTECTED);
}

#endif
