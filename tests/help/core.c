/* SPDX-License-Identifier: Apache-2.0 */
/* One protocol core and a peer played by the test. See core.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

#include <string.h>

#define IDENTITY "chain edge\nnat 203.0.113.1\n"

void tale_begin(struct tale *t, unsigned role, uint64_t view, bool strict)
{
    memset(t, 0, sizeof(*t));
    t->config = (struct ft_core_config){.lanes = 1,
                                        .role = (uint8_t)role,
                                        .strict = strict,
                                        .incarnation = 100 + role,
                                        .view = view,
                                        .heartbeat_ms = 10,
                                        .lease_ms = 20,
                                        .detect_ms = 50,
                                        .promote_within_ms = 100,
                                        .solo_after_ms = 200,
                                        .resync_deadline_ms = 2000,
                                        .start_alone_ms = 300,
                                        .drain_ms = 500,
                                        .identity = IDENTITY,
                                        .identity_len = sizeof(IDENTITY) - 1};
    strcpy(t->config.name, role ? "right" : "left");
    t->hello = (struct ft_message){.type = FT_MSG_HELLO,
                                   .newest = FT_FORMAT_NEWEST,
                                   .oldest = FT_FORMAT_OLDEST,
                                   .incarnation = 200,
                                   .role = !role,
                                   .strict = strict,
                                   .lanes = 1,
                                   .lease_ms = 20,
                                   .detect_ms = 50,
                                   .promote_within_ms = 100,
                                   .solo_after_ms = 200,
                                   .identity_len = sizeof(IDENTITY) - 1,
                                   .bulk = (const uint8_t *)IDENTITY,
                                   .bulk_len = sizeof(IDENTITY) - 1};
    strcpy(t->hello.name, role ? "left" : "right");
    t->peer_now = 5000 * FT_MS;
    tale_begin_anew(t);
}

void tale_begin_anew(struct tale *t)
{
    ft_core_init(&t->core, &t->config, t->now, &t->did);
}

void event_happens(struct tale *t, struct ft_event *event)
{
    event->now = t->now;
    event->came = event->came ? event->came : t->now;
    ft_step(&t->core, event, &t->did);
    for (uint32_t i = 0; i < t->did.count; i++)
        if (t->did.list[i].kind == FT_ACT_SEND)
            t->sent = t->did.list[i].send.sent;
}

static void hear(struct tale *t, struct ft_message *m)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = m};

    m->sent = t->peer_now += 1000;
    event_happens(t, &event);
}

void connects(struct tale *t)
{
    happens(t, FT_EV_CONNECTED);
    assert_int_equal(said(t, FT_MSG_HELLO)->incarnation, t->config.incarnation);
}

void hello_from(struct tale *t, enum ft_state state, uint64_t view)
{
    struct ft_message m = t->hello;

    m.state = state;
    m.view = view;
    m.echo = t->sent;
    hear(t, &m);
}

void hello_of_old(struct tale *t, enum ft_state state, uint64_t view)
{
    struct ft_message m = t->hello;
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &m};

    m.state = state;
    m.view = view;
    m.sent = 77;
    event_happens(t, &event);
}

void hears_at(struct tale *t, enum ft_message_type type, enum ft_state state, uint64_t burst, uint64_t echo)
{
    struct ft_message m = {.type = type, .state = state, .view = t->core.view, .echo = echo};

    m.burst[0] = m.replayed[0] = burst;
    hear(t, &m);
}

void hears(struct tale *t, enum ft_message_type type, enum ft_state state)
{
    hears_at(t, type, state, 0, t->sent);
}

void hears_view(struct tale *t, enum ft_state state, uint64_t view)
{
    struct ft_message m = {.type = FT_MSG_HEARTBEAT, .state = state, .view = view, .echo = t->sent};

    hear(t, &m);
}

void loses(struct tale *t, enum ft_lost how)
{
    struct ft_event event = {.kind = FT_EV_LOST, .how = how};

    event_happens(t, &event);
}

void happens(struct tale *t, enum ft_event_kind kind)
{
    struct ft_event event = {.kind = kind, .text = "replay differs at burst 7"};

    event.closed[0] = t->closed;
    event.replayed[0] = t->replayed;
    event_happens(t, &event);
}

void heartbeats(struct tale *t, uint64_t view)
{
    struct ft_event event = {.kind = FT_EV_PORT_HEARTBEAT, .view = view};

    event_happens(t, &event);
}

void reaches(struct tale *t, enum ft_event_kind kind, uint64_t closed)
{
    t->closed = t->replayed = closed;
    happens(t, kind);
}

void word_of(struct tale *t, uint64_t incarnation)
{
    struct ft_event event = {.kind = FT_EV_DEATH_NOTICE, .incarnation = incarnation};

    event_happens(t, &event);
}

void request(struct tale *t, enum ft_request what)
{
    struct ft_event event = {.kind = FT_EV_REQUEST, .request = what};

    event_happens(t, &event);
}

void malformed(struct tale *t)
{
    struct ft_event event = {.kind = FT_EV_MALFORMED, .text = "frame checksum differs"};

    event_happens(t, &event);
}

void ticks(struct tale *t)
{
    happens(t, FT_EV_TIME);
}

/* Ends with the step in which the state changed, if that comes first: what it did can then be looked at. */
void waits(struct tale *t, unsigned ms)
{
    enum ft_state before = t->core.state;
    uint64_t until = t->now + ms * FT_MS;

    while (t->now < until && t->core.state == before) {
        t->now += FT_MS;
        ticks(t);
    }
}

void sleeps(struct tale *t, unsigned ms)
{
    t->now += ms * FT_MS;
}

void is(struct tale *t, enum ft_state state)
{
    if (t->core.state != state)
        fail_msg("state %d (%s), expected %d", t->core.state, t->core.why, state);
}

void because(struct tale *t, const char *text)
{
    if (!strstr(t->core.why, text))
        fail_msg("why is '%s', expected '%s'", t->core.why, text);
}

static const struct ft_action *find(const struct tale *t, enum ft_action_kind kind)
{
    const struct ft_action *last = NULL;

    for (uint32_t i = 0; i < t->did.count; i++)
        if (t->did.list[i].kind == kind)
            last = &t->did.list[i];
    return last;
}

const struct ft_action *did(struct tale *t, enum ft_action_kind kind)
{
    const struct ft_action *action = find(t, kind);

    if (!action)
        fail_msg("action %d was not done (%s)", kind, t->core.why);
    return action;
}

void did_not(struct tale *t, enum ft_action_kind kind)
{
    if (find(t, kind))
        fail_msg("action %d was done (%s)", kind, t->core.why);
}

unsigned position(struct tale *t, enum ft_action_kind kind)
{
    return (unsigned)(did(t, kind) - t->did.list);
}

const struct ft_message *said(struct tale *t, enum ft_message_type type)
{
    for (uint32_t i = t->did.count; i-- > 0;)
        if (t->did.list[i].kind == FT_ACT_SEND && t->did.list[i].send.type == type)
            return &t->did.list[i].send;
    fail_msg("message %d was not sent (%s)", type, t->core.why);
    return NULL;
}

void gate_is(struct tale *t, enum ft_gate gate)
{
    assert_int_equal(did(t, FT_ACT_GATE)->gate, gate);
}

void ordered(struct tale *t, enum ft_order order)
{
    assert_int_equal(did(t, FT_ACT_ORDER)->order, order);
}

void reach_protected(struct tale *t, bool strict)
{
    tale_begin(t, 0, 0, strict);
    connects(t);
    hello_from(t, FT_JOINING, 0);
    is(t, strict ? FT_DEGRADED : FT_SOLO);
    did(t, FT_ACT_CUT);
    reaches(t, FT_EV_CUT, 5);
    assert_int_equal(said(t, FT_MSG_SNAPSHOT_BEGIN)->burst[0], 5);
    hears(t, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(t, FT_EV_SNAPSHOT_SENT);
    said(t, FT_MSG_SNAPSHOT_END);
    reaches(t, FT_EV_LANES, 8);
    hears_at(t, FT_MSG_ACK, FT_SYNCING, 8, t->sent);
    is(t, FT_DEGRADED);
    gate_is(t, FT_GATE_GUARDED);
    assert_int_equal(did(t, FT_ACT_GATE)->lease_until, 0);
    reaches(t, FT_EV_GUARDED, 10);
    assert_int_equal(said(t, FT_MSG_HOLDING)->burst[0], 10);
    hears_at(t, FT_MSG_ACK, FT_READY, 10, t->sent);
    is(t, FT_PROTECTED);
}

void reach_ready(struct tale *t, bool strict)
{
    tale_begin(t, 1, 0, strict);
    connects(t);
    hello_from(t, FT_JOINING, 0);
    is(t, FT_JOINING);
    hears_view(t, strict ? FT_DEGRADED : FT_SOLO, 1);
    assert_int_equal(did(t, FT_ACT_VIEW)->view, 1);
    hears_at(t, FT_MSG_SNAPSHOT_BEGIN, strict ? FT_DEGRADED : FT_SOLO, 5, t->sent);
    is(t, FT_SYNCING);
    did(t, FT_ACT_CLEAR);
    hears(t, FT_MSG_SNAPSHOT_END, strict ? FT_DEGRADED : FT_SOLO);
    ordered(t, FT_LANE_REPLAY);
    said(t, FT_MSG_ACK);
    hears_at(t, FT_MSG_HOLDING, FT_DEGRADED, 10, t->sent);
    is(t, FT_SYNCING);
    reaches(t, FT_EV_LANES, 10);
    is(t, FT_READY);
    assert_int_equal(said(t, FT_MSG_ACK)->state, FT_READY);
    hears(t, FT_MSG_HEARTBEAT, FT_PROTECTED);
}
