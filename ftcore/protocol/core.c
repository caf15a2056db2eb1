/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core: dispatch of events, messages to the peer, and what belongs to no role: the arbiter's
 * answer, an operator's word, the invariants. The five files of this directory are one state machine: they
 * own struct ft_core, which nobody else writes, and call each other (parts.h), since a role ends where the
 * next one begins. join.c decides who is primary; primary.c and standby.c are the two roles.
 *
 * The arbiter is asked by a node that has lost the other one without a certain word of its end: where a pair
 * without an arbiter decides by elapsed time. One decision for each era, made once: there is no lease at the
 * arbiter and no clock, and nobody asks while the pair is well. Who has asked has left the era: it goes on by
 * the answer or, when the two have met again, by a new snapshot and so a new era. A primary that asks takes
 * its standby for cut off; a standby that asks echoes nothing more, so no lease runs on when the answer makes
 * it primary. An answer of another era is nobody's.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VIEW_STEP 2u /* the most that a view is above those that its node has heard of */
#define SILENCES  4u /* times solo_after_ms: a peer that only slept is to find the connection as it was */
#define DECIDED   "the arbiter decided for"

struct ft_action *ft_act(struct ft_actions *actions, enum ft_action_kind kind)
{
    FT_CHECK(actions->count < FT_ACTIONS_MAX, "a step wants more than %u actions", FT_ACTIONS_MAX);
    struct ft_action *action = &actions->list[actions->count++];

    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

void ft_report(struct ft_core *core, struct ft_actions *actions, const char *text)
{
    struct ft_action *action = ft_act(actions, FT_ACT_STATE);

    action->view = core->view;
    action->event = core->event;
    action->flag = core->planned;
    core->event = FT_SAYS_STATE;
    core->planned = false;
    action->send.state = core->state;
    snprintf(action->send.text, sizeof(action->send.text), "%s", text);
}

void ft_become(struct ft_core *core, struct ft_actions *actions, enum ft_state state, const char *fmt, ...)
{
    char why[sizeof(core->why)] = "";
    va_list ap;

    if (core->state != state)
        core->since = core->now;
    core->state = state;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap); /* what it was may be part of what it is */
    va_end(ap);
    memcpy(core->why, why, sizeof(core->why));
    ft_report(core, actions, core->why);
}

void ft_write_view(struct ft_actions *actions, enum ft_action_kind kind, uint64_t view,
                   const struct ft_members *members)
{
    struct ft_action *action = ft_act(actions, kind);

    action->view = view;
    action->members = *members;
}

void ft_order(struct ft_core *core, struct ft_actions *actions, enum ft_order order)
{
    struct ft_action *action = ft_act(actions, FT_ACT_ORDER);

    action->order = order;
    memcpy(action->vector, core->closed, sizeof(action->vector));
}

const uint64_t *ft_counts(const struct ft_core *core, const uint64_t closed[], const uint64_t replayed[])
{
    return core->config.warm ? closed : replayed;
}

void ft_aim(struct ft_core *core, const char *name, struct ft_actions *actions)
{
    if (core->members.name[0][0] || !core->member) /* else there is but one that can come */
        snprintf(ft_act(actions, FT_ACT_AIM)->name, FT_NAME_MAX, "%s", name);
}

void ft_peer_gone(struct ft_core *core)
{
    core->peer.up = core->peer.known = core->peer.agreed = false;
    core->alone = core->now;
}

void ft_forget_peer(struct ft_core *core)
{
    core->peer.incarnation = core->peer.secret[0] = core->peer.secret[1] = 0;
    core->peer.view = core->peer.heartbeat_view = core->peer.port_heartbeat = 0;
    core->peer.name[0] = core->partner[0] = core->peer.program[0] = core->differs[0] = '\0';
    core->refused = false;
    core->ready_echo = 0;
}

bool ft_reached(const struct ft_core *core, const uint64_t have[], const uint64_t want[])
{
    for (unsigned l = 0; l < core->config.lanes; l++)
        if (have[l] < want[l])
            return false;
    return true;
}

/* ---- heads of messages -------------------------------------------------------------------------- */

/* All of the head but the echo. `said` remembers since when messages carry this state and view. */
static void fill_head(struct ft_core *core, enum ft_message_type type, uint64_t now, struct ft_message *m)
{
    memset(m, 0, sizeof(*m));
    m->type = type;
    if (type != FT_MSG_HELLO && type != FT_MSG_REFUSE) {
        m->version = core->peer.version;
        FT_NEXT_HEAD(m)
    }
    m->state = core->state;
    m->view = core->member || FT_PLANTED("joiner-view") ? core->view : 0;
    m->sent = core->sent = now > core->sent ? now : core->sent + 1;
    if (core->said.since && core->said.state == core->state && core->said.view == core->view)
        return;
    core->said.state = core->state;
    core->said.view = core->view;
    core->said.since = m->sent;
}

void ft_core_head(struct ft_core *core, enum ft_message_type type, uint64_t now, struct ft_message *m)
{
    fill_head(core, type, now, m);
    m->echo = core->peer.newest;
    /* An answer is a message that echoes something new: from here the other side's lease can run on. */
    if (core->peer.newest > core->echoed) {
        core->echoed = core->peer.newest;
        core->answered = now;
    }
}

/*
 * After so many ns without a message to the peer a heartbeat is sent. A standby answers each of the primary's
 * heartbeats at once, and so is woken once for both; it sends one by itself only when the primary's is late.
 */
static uint64_t period_of(const struct ft_core *core)
{
    uint64_t period = ft_ms(core->config.heartbeat_ms);

    return ft_core_primary(core) ? period : period + period / 2;
}

/* The message is discarded (`actions->unsaid`) while there is no connection or the peer's version is unknown.
 */
struct ft_message *ft_say(struct ft_core *core, struct ft_actions *actions, enum ft_message_type type)
{
    bool heard = core->peer.agreed || (core->peer.up && type == FT_MSG_REFUSE);
    struct ft_message *m = heard ? &ft_act(actions, FT_ACT_SEND)->send : &actions->unsaid;

    ft_core_head(core, type, core->now, m);
    core->heartbeat_due = core->now + period_of(core);
    return m;
}

/* A hello echoes nothing, so it is no answer that a lease could rest on. */
void ft_core_hello(struct ft_core *core, uint64_t now, struct ft_message *m)
{
    fill_head(core, FT_MSG_HELLO, now, m);
    m->newest = core->config.newest;
    m->oldest = core->config.oldest;
    memcpy(m->program, core->config.program, sizeof(m->program));
    m->incarnation = core->config.incarnation;
    memcpy(m->secret, core->config.secret, sizeof(m->secret));
    memcpy(m->name, core->config.name, sizeof(m->name));
    m->role = core->config.role;
    m->strict = core->config.strict;
    m->warm = core->config.warm;
    m->lanes = core->config.lanes;
    m->lease_ms = core->config.lease_ms;
    m->detect_ms = core->config.detect_ms;
    m->promote_within_ms = core->config.promote_within_ms;
    m->solo_after_ms = core->config.solo_after_ms;
    m->members = core->members;
    m->joins = ft_joins(core);
    if (!core->member)
        memset(m->members.name, 0, sizeof(m->members.name));
    m->bulk = (const uint8_t *)core->config.identity;
    m->bulk_len = m->identity_len = core->config.identity_len;
}

/* ---- the arbiter -------------------------------------------------------------------------------- */

void ft_arbiter_ask(struct ft_core *core, const struct ft_question *question, const char *why,
                    struct ft_actions *actions)
{
    struct ft_action *action;

    if (core->arbiter.asking)
        return;
    core->arbiter.asking = true;
    core->arbiter.heard = core->arbiter.silent = false;
    core->arbiter.asked = *question;
    core->arbiter.since = core->now;
    snprintf(core->arbiter.why, sizeof(core->arbiter.why), "%s", why);
    action = ft_act(actions, FT_ACT_ASK);
    action->flag = true;
    action->question = *question;
}

void ft_arbiter_ask_who(struct ft_core *core, struct ft_era era, const char *why, struct ft_actions *actions)
{
    struct ft_question question = {.era = era};

    if (ft_has_shard(&core->members))
        question.members = core->members;
    ft_arbiter_ask(core, &question, why, actions);
}

void ft_arbiter_forget(struct ft_core *core, struct ft_actions *actions)
{
    if (!core->arbiter.asking)
        return;
    core->arbiter.asking = false;
    ft_act(actions, FT_ACT_ASK)->question = core->arbiter.asked;
}

/* A standby that asks: the primary has spoken. */
static void note_primary(struct ft_core *core, struct ft_actions *actions)
{
    if (!core->arbiter.asking || core->state != FT_READY)
        return;
    core->arbiter.heard = true;
    if (core->arbiter.silent)
        ft_standby_keep(core, "the primary is heard again, and the arbiter does not answer", actions);
}

/* It is asked again all the time: what changes is what people read, once. */
static void no_answer(struct ft_core *core, struct ft_actions *actions)
{
    bool first = !core->arbiter.silent;

    core->arbiter.silent = true;
    if (core->repair.step == FT_REPAIR_ASK)
        ft_repair_unanswered(core, actions, first);
    else if (core->state == FT_READY && core->arbiter.heard)
        ft_standby_keep(core, "the primary is heard again, and the arbiter does not answer", actions);
    else if (first)
        ft_become(core, actions, core->state, "%s" FT_UNANSWERED, core->arbiter.why);
}

static void won(struct ft_core *core, const struct ft_decision *kept, struct ft_actions *actions)
{
    char by[FT_NAME_MAX + sizeof("; " DECIDED " ")];

    snprintf(by, sizeof(by), "; " DECIDED " %.31s", core->config.name);
    if (ft_has_shard(&kept->members) &&
        (core->repair.step == FT_REPAIR_ASK || ft_same_members(&kept->members, &core->members)))
        memcpy(core->members.shard, kept->members.shard, sizeof(core->members.shard));
    if (core->repair.step == FT_REPAIR_ASK) {
        ft_repair_granted(core, actions);
    } else if (ft_core_primary(core)) {
        ft_primary_decided(core, by, actions);
    } else if (core->state == FT_READY) {
        ft_standby_decided(core, by, actions);
    } else if (core->arbiter.asked.era.view) { /* ft_step asks ft_join_consider next */
        core->arbiter.granted = core->arbiter.asked.era.view;
    } else {
        core->arbiter.alone = true;
    }
}

/* A view of it is neither later nor earlier than this node's, which may not go on alone. */
static void another_shard(struct ft_core *core, const struct ft_members *kept, struct ft_actions *actions)
{
    char shard[2][FT_SHARD_TEXT], why[FT_REASON_MAX];

    core->arbiter.other = true;
    core->arbiter.again = ft_later(core->arbiter.again, core->now + ft_ms(core->config.solo_after_ms));
    core->arbiter.lost = core->state != FT_READY;
    snprintf(why, sizeof(why), "the arbiter keeps shard %s, and this node's view is of shard %s",
             ft_shard_text(shard[0], kept), ft_shard_text(shard[1], &core->members));
    if (core->state == FT_READY)
        ft_standby_keep(core, why, actions);
    else if (ft_core_primary(core))
        ft_become(core, actions, FT_DEGRADED, "%s", why);
    else if (strcmp(why, core->why) != 0)
        ft_become(core, actions, core->state, "%s", why);
}

/* A node that a person let begin while it was empty never heard its shard's name, by which alone another node
 * can be taken in. */
static bool learn_shard(struct ft_core *core, const struct ft_decision *kept, struct ft_actions *actions)
{
    if (ft_has_shard(&core->members) || !ft_has_shard(&kept->members) || kept->era.view > core->view ||
        !ft_same_members(&kept->members, &core->members))
        return false;
    ft_join_shard(core, &kept->members, actions);
    return true;
}

/* `kept`: the decision that was lost to. From it this node learns the members of that view, where no other
 * node reports them. */
static void lost(struct ft_core *core, const struct ft_decision *kept, struct ft_actions *actions)
{
    bool later = kept->any && kept->era.view > core->view;
    /* Two empty nodes pass over a view that nobody serves in. Where one may serve, a later view than its own
     * would fence it. */
    uint64_t reached = !kept->any ? 0 : core->arbiter.asked.empty ? ft_decided_view(kept) : kept->era.view;
    /* A view of no known shard is none of this one. */
    bool foreign = !ft_has_shard(&core->members) && ft_has_shard(&kept->members) &&
                   kept->members.name[0][0] && core->members.name[0][0] &&
                   !ft_same_members(&kept->members, &core->members);

    if (core->repair.step == FT_REPAIR_ASK) { /* by its name it asks once more (ft_repair_consider) */
        if (!learn_shard(core, kept, actions))
            ft_repair_refused(core, kept);
        return;
    }
    if (ft_other_shard(&core->members, &kept->members)) {
        another_shard(core, &kept->members, actions);
        return;
    }
    if (core->state == FT_JOINING && core->arbiter.asked.era.view) {
        core->arbiter.again = ft_later(core->arbiter.again, core->now + ft_ms(core->config.solo_after_ms));
        if (reached > core->view || foreign)
            ft_join_view(core, kept, reached, actions);
        else if (core->arbiter.silent) /* its silence was reported */
            ft_become(core, actions, FT_JOINING, "%s; the arbiter keeps view %lu", core->arbiter.why,
                      kept->era.view);
        return;
    }
    if (later && kept->members.name[0][0] && !ft_same_members(&kept->members, &core->members)) {
        ft_join_removed(core, kept->era.view, &kept->members, actions);
        return;
    }
    core->arbiter.lost = core->state != FT_READY;
    if (ft_core_primary(core))
        ft_become(core, actions, FT_DEGRADED, "%.70s; " DECIDED " %s: holding", core->loss.why,
                  ft_peer_name(core));
    else if (core->state == FT_READY)
        ft_standby_keep(core, "the arbiter decided for the primary: it may have gone on alone", actions);
    else
        ft_become(core, actions, FT_JOINING,
                  "the arbiter knows of a pair that has served: waits for its peer, or promote");
}

static void receive_decision(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    bool ours = core->arbiter.asking && ft_era_compare(&event->era, &core->arbiter.asked.era) == 0;

    if (!ours && !(FT_PLANTED("any-answer") && core->arbiter.asking))
        return;
    if (event->answer == FT_ANSWER_SILENT) {
        no_answer(core, actions);
        return;
    }
    core->arbiter.asking = core->arbiter.other = false;
    core->arbiter.decision.era = event->era;
    core->arbiter.decision.answer = event->answer;
    core->arbiter.decision.at = core->now;
    if (event->answer == FT_ANSWER_WON)
        won(core, event->decision, actions);
    else
        lost(core, event->decision, actions);
}

/* A person decides in the arbiter's place. True: this node goes on. What is asked stays asked: the arbiter is
 * to hear of it, so that the other node loses when it asks. */
static bool overrule_arbiter(struct ft_core *core, struct ft_actions *actions)
{
    bool held = core->arbiter.asking || core->arbiter.lost || (core->arbiter.open && !core->peer.known);

    if (!held || (core->state != FT_DEGRADED && core->state != FT_READY))
        return false;
    core->arbiter.asking = false;
    if (core->state == FT_DEGRADED)
        ft_primary_goes_on(core, "; an operator's promote", actions);
    else
        ft_standby_promote(core, "an operator's promote, without the arbiter", actions);
    return true;
}

/* ---- an operator -------------------------------------------------------------------------------- */

/* Nobody has answered for longer than any lease runs, and the operator has decided. */
static void begin_without_peer(struct ft_core *core, struct ft_actions *actions)
{
    if (core->kept)
        ft_standby_promote(core, "an operator's promote, with the state that was kept", actions);
    else
        core->alone_requested = true; /* ft_step asks ft_join_consider next */
}

static void handle_request(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    enum ft_request what = event->request;

    if (what == FT_REQUEST_REPAIR) {
        ft_repair_asked(core, event->text, event->lost, actions);
    } else if (what == FT_REQUEST_HANDOVER && ft_core_primary(core)) {
        ft_handover_begin(core, actions);
    } else if (what == FT_REQUEST_RESYNC && ft_core_primary(core)) {
        ft_resync_asked(core, event->text ? event->text : "resync asked for", actions);
    } else if (what == FT_REQUEST_PROMOTE && core->hand == FT_HAND_GIVEN) {
        ft_handover_reclaim(core, actions);
    } else if (what == FT_REQUEST_PROMOTE && overrule_arbiter(core, actions)) {
        return;
    } else if (what == FT_REQUEST_PROMOTE && core->state == FT_READY) {
        if (core->peer.known)
            ft_say(core, actions, FT_MSG_ASK);
        else if ((ft_standby_right(core) || core->config.arbiter) &&
                 core->now - core->answered >= ft_ms(core->config.detect_ms))
            ft_standby_promote(core, "an operator's promote", actions);
    } else if (what == FT_REQUEST_PROMOTE && core->state == FT_JOINING && core->member &&
               (ft_join_meets_blank(core) ||
                (!core->peer.known && core->now - core->alone >= ft_ms(core->config.solo_after_ms)))) {
        begin_without_peer(core, actions);
    }
}

/* ---- invariants --------------------------------------------------------------------------------- */

/* What holds after every step, in any build: a broken one ends the process. */
static void check_invariants(const struct ft_core *core)
{
    bool primary = ft_core_primary(core);

    FT_CHECK(core->solo + core->guarded + core->unsettled <= 1, "the gate is in two positions");
    FT_CHECK(!core->solo || (core->state == FT_SOLO && !core->config.strict), "SOLO gate in state %s",
             ft_state_name(core->state));
    FT_CHECK(core->state != FT_SOLO || core->solo, "state SOLO with a shut gate");
    FT_CHECK(primary || !core->guarded, "state %s with an open gate", ft_state_name(core->state));
    FT_CHECK(core->state != FT_PROTECTED || (core->guarded && core->peer.known && !core->cut_off),
             "PROTECTED by nobody");
    FT_CHECK(core->state != FT_PROTECTED || !core->resync, "PROTECTED while a snapshot is on its way");
    FT_CHECK(core->guarded || !core->cut_off, "cut off from a standby that guards nothing");
    FT_CHECK(core->hand != FT_HAND_GIVEN || core->state == FT_FENCED, "handed over in state %s",
             ft_state_name(core->state));
    FT_CHECK(core->state != FT_FENCED || core->hand == FT_HAND_GIVEN, "FENCED for longer than a step");
    FT_CHECK(core->state != FT_READY || core->snapshot_whole, "READY without a whole snapshot");
    FT_CHECK(!primary || core->view > 0, "primary of view 0");
    FT_CHECK(core->resync == FT_RESYNC_NONE || primary, "a resync without a primary");
    FT_CHECK(!core->peer.known || core->peer.up, "a peer known without a connection");
    FT_CHECK(!core->peer.known || core->peer.agreed, "a peer known without a version");
    FT_CHECK(!core->solo || !core->arbiter.open, "SOLO in an era that the standby may hold");
    FT_CHECK(!core->arbiter.asking || core->config.arbiter, "asks an arbiter that there is not");
    FT_CHECK(core->member || core->state <= FT_JOINING, "state %s of no member", ft_state_name(core->state));
    FT_CHECK(!core->repair.step || primary, "a re-pair without a primary");
    FT_CHECK(core->repair.step < FT_REPAIR_ASK || ft_is_alone(core), "a re-pair beside a standby");
    FT_CHECK(!primary || !core->guarded || core->cut_off || core->right == FT_RIGHT_GIVEN,
             "a standby guards the gate, and was given no right");
}

/* ---- events ------------------------------------------------------------------------------------- */

void ft_core_init(struct ft_core *core, const struct ft_core_config *config, uint64_t now,
                  struct ft_actions *actions)
{
    memset(core, 0, sizeof(*core));
    actions->count = 0;
    core->config = *config;
    if (!config->degrade_ms)
        core->config.degrade_ms = config->lease_ms;
    if (!config->newest) {
        core->config.newest = FT_FORMAT_NEWEST;
        core->config.oldest = FT_NEXT_OLDEST;
    }
    core->view = core->stored = config->view;
    core->members = config->members;
    core->member =
        !config->spare && (!config->members.name[0][0] || ft_members_have(&core->members, config->name));
    core->first_view = config->view ? config->view : 1;
    core->now = core->started = core->awake = core->alone = core->heartbeat_due = now;
    ft_become(core, actions, FT_JOINING,
              core->member ? "started"
                           : "started as no member: waits until a primary takes it for its standby");
    ft_act(actions, FT_ACT_GATE)->gate = FT_GATE_SHUT;
    ft_aim(core, ft_other_member(core), actions);
    check_invariants(core);
}

/* The connection is gone, by the peer's doing or ours. */
static void handle_lost(struct ft_core *core, enum ft_lost how, struct ft_actions *actions)
{
    static const char *const text[] = {"", "the peer closed the connection",
                                       "the peer's kernel reset the connection", "the connection broke"};

    if (!core->peer.up)
        return; /* we closed it ourselves */
    /* The other end never proved its identity: the end of the connection is no news of the peer. */
    if (!core->peer.known)
        how = FT_LOST_ERROR;
    ft_peer_gone(core);
    if (core->hand == FT_HAND_GIVEN)
        ft_become(core, actions, FT_FENCED, "handed over, then %s: waiting to know", text[how]);
    else if (ft_core_primary(core))
        ft_primary_lost(core, text[how], how != FT_LOST_ERROR, actions);
    else
        ft_standby_lost(core, how, actions);
}

/*
 * The right of a standby (own_echoed) and its promise (answered) run on: they were given by a node, not by a
 * connection. So do the times of what we heard, or a reconnect would look like silence.
 */
static void handle_connected(struct ft_core *core, uint64_t greeted, struct ft_actions *actions)
{
    if (core->peer.up)
        handle_lost(core, FT_LOST_ERROR, actions);
    core->peer = (__typeof__(core->peer)){.up = true,
                                          .asked = greeted,
                                          .version = core->peer.version,
                                          .incarnation = core->peer.incarnation,
                                          .secret = {core->peer.secret[0], core->peer.secret[1]},
                                          .heard = core->peer.heard,
                                          .met = core->now,
                                          .answered = core->answered,
                                          .port_heartbeat = core->peer.port_heartbeat,
                                          .heartbeat_view = core->peer.heartbeat_view};
    core->ready_echo = core->echoed = 0;
    if (greeted)
        return;
    struct ft_message *m = &ft_act(actions, FT_ACT_SEND)->send;

    ft_core_hello(core, core->now, m);
    core->heartbeat_due = core->now + period_of(core);
    core->peer.asked = m->sent;
}

/* The connection gave what cannot be: whoever is at its other end is not believed any more. */
static void give_up_connection(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    if (ft_core_primary(core)) {
        ft_primary_gives_up(core, text, core->now, actions);
        return;
    }
    /* The other end never proved its identity: this is no news of the peer, and costs no state. */
    if (!core->peer.known) {
        ft_peer_gone(core);
        ft_act(actions, FT_ACT_CLOSE);
        return;
    }
    /* Rights first, then the connection: a primary that sees it closed may believe we are gone. */
    ft_peer_gone(core);
    ft_join_again(core, actions, text);
    ft_act(actions, FT_ACT_CLOSE);
}

static void handle_malformed(struct ft_core *core, const char *text, struct ft_actions *actions)
{
    actions->malformed = true;
    core->malformed.count++;
    snprintf(core->malformed.text, sizeof(core->malformed.text), "%.127s", text);
    give_up_connection(core, text, actions);
}

/* Standby: it has left the era that it asks for, so its messages must not prolong a lease. */
static bool is_mute(const struct ft_core *core)
{
    return core->arbiter.asking && core->state == FT_READY && !FT_PLANTED("asks-aloud");
}

/* What every message means, whatever its type. False: it ends here. */
static bool read_head(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    if (core->peer.known) /* the process that it was, and no other */
        ft_silence_ends(core, core->now);
    ft_slow_note_heard(core, false);
    core->peer.heard = core->now;
    core->peer.state = m->state;
    core->peer.view = m->view;
    if (!is_mute(core))
        core->peer.newest = ft_later(core->peer.newest, m->sent);
    core->own_echoed = ft_later(core->own_echoed, m->echo);
    core->peer.echoed = ft_later(core->peer.echoed, m->echo);
    if (m->view > core->view && !FT_PLANTED("no-fence") &&
        (ft_core_primary(core) || core->hand == FT_HAND_GIVEN)) {
        ft_join_fence(core, m->view, actions);
        return true;
    }
    if (!ft_is_primary(m->state)) {
        ft_standby_receive(core, m, actions);
        return true;
    }
    if (ft_joins(core) && !ft_join_admitted(core, m, actions))
        return false;
    if (m->view < core->view) {
        /* A primary of the past. It learns of our view from any message. */
        ft_say(core, actions, FT_MSG_HEARTBEAT);
        return false;
    }
    if (m->view > core->view) {
        if (core->state == FT_READY || core->state == FT_SYNCING || core->kept)
            ft_join_again(core, actions, "another view has begun");
        core->view = m->view;
        ft_write_view(actions, FT_ACT_VIEW, core->view, &core->members);
    }
    if (m->type != FT_MSG_SNAPSHOT_BEGIN)
        ft_standby_receive(core, m, actions);
    note_primary(core, actions);
    return true;
}

/*
 * On a new connection the peer may claim any view up to the limit: it may have served without us. On an
 * established connection views follow each other: a node that begins a view takes the next after all that it
 * has heard of, or the one after that (resume_as_primary in primary.c), and announces it at once.
 */
static int check_view(const struct ft_core *core, uint64_t view, struct ft_fault *fault)
{
    uint64_t last = ft_later(core->view, core->peer.view);

    if (view > FT_VIEW_MAX)
        return ft_fail(fault, FT_EMALFORMED, "view %lu is beyond any that a pair reaches", view);
    if (core->peer.known && view > last + VIEW_STEP)
        return ft_fail(fault, FT_EMALFORMED, "view %lu does not follow view %lu", view, last);
    return 0;
}

static void handle_message(struct ft_core *core, const struct ft_message *m, struct ft_actions *actions)
{
    struct ft_fault why = {""};

    if (m->version && core->peer.agreed && m->version != core->peer.version)
        ft_fail(&why, FT_EMALFORMED, "it speaks version %u, agreed on is %u", m->version, core->peer.version);
    else if (!check_view(core, m->view, &why) && m->echo > core->sent)
        ft_fail(&why, FT_EMALFORMED, "it echoes %lu, and the last we said is %lu", m->echo, core->sent);
    if (why.text[0]) {
        handle_malformed(core, why.text, actions);
        return;
    }
    if (!core->peer.known && m->type != FT_MSG_HELLO && m->type != FT_MSG_REFUSE) {
        if (core->peer.greeted)
            ft_join_prove(core, m, actions);
        else if (!core->refused)
            give_up_connection(core, "a message before the hello", actions); /* a stranger's: not counted */
        return;
    }
    if (m->type == FT_MSG_HELLO || m->type == FT_MSG_REFUSE) {
        ft_join_hello(core, m, actions);
        return;
    }
    if (!read_head(core, m, actions))
        return;
    if (ft_core_primary(core) || core->hand == FT_HAND_GIVEN)
        ft_primary_message(core, m, actions);
    else
        ft_standby_message(core, m, actions);
}

/*
 * A connection on which nothing arrives any more though it stands: damage to a frame's length makes the link
 * wait for bytes that nobody sends, and the peer may hear us all the time. So a primary first has the standby
 * give up what it holds, as with a connection that gives what cannot be; by time alone it does not know that
 * its standby has no right any more, since its own clock may have run ahead of time. A READY standby may
 * close once its primary's lease is over, which is not counted while it slept. Who has handed over has no
 * right, and has to hear what became of it. A node that is held up again and again closes as well: what came
 * while it slept it has heard by now.
 */
static void drop_silent_connection(struct ft_core *core, struct ft_actions *actions)
{
    bool ready = core->state == FT_READY;
    bool may_take_over = ready && (!core->config.arbiter || ft_standby_right(core)); /* else it only asks */
    uint64_t since = ft_later(core->peer.heard, core->peer.met);
    uint64_t silent = core->now - (ready ? ft_later(since, core->awake) : since);

    if (!core->peer.up || core->abandoning || may_take_over ||
        silent < SILENCES * ft_ms(core->config.solo_after_ms) ||
        core->now - core->awake < ft_ms(core->config.detect_ms))
        return;
    if (ft_core_primary(core) && core->hand != FT_HAND_GIVEN) {
        ft_primary_gives_up(core, "nothing arrives on it", since, actions);
        return;
    }
    handle_lost(core, FT_LOST_ERROR, actions);
    ft_act(actions, FT_ACT_CLOSE);
}

static void handle_time(struct ft_core *core, struct ft_actions *actions)
{
    ft_silence_pass(core);
    if (ft_core_primary(core))
        ft_primary_time(core, actions);
    else if (core->hand != FT_HAND_GIVEN)
        ft_standby_time(core, actions);
    if (core->state == FT_JOINING)
        ft_join_consider(core, actions);
    drop_silent_connection(core, actions);
    if (core->peer.up && core->now >= core->heartbeat_due)
        ft_say(core, actions, FT_MSG_HEARTBEAT);
}

/* FT_EV_PORT_HEARTBEAT */
static void receive_port_heartbeat(struct ft_core *core, const struct ft_event *event)
{
    uint64_t came = event->came < core->now ? event->came : core->now;

    ft_silence_ends(core, came);
    ft_slow_note_heard(core, true);
    core->peer.port_heartbeat = ft_later(core->peer.port_heartbeat, came);
    core->peer.heartbeat_view = event->view;
}

void ft_step(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions)
{
    FT_CHECK(event->now >= core->now, "time goes back from %lu to %lu", core->now, event->now);
    actions->count = 0;
    actions->malformed = false;
    ft_silence_step(core, event->now);
    core->now = event->now;
    if (core->config.arbiter && core->state == FT_READY && !ft_standby_right(core))
        core->arbiter.lapsed = true;
    if (event->reached || event->kind == FT_EV_LANES)
        ft_standby_reached(core, event, actions);
    switch (event->kind) {
    case FT_EV_TIME:
        handle_time(core, actions);
        break;
    case FT_EV_CONNECTED:
        handle_connected(core, event->greeted, actions);
        break;
    case FT_EV_LOST:
        handle_lost(core, event->how, actions);
        break;
    case FT_EV_MESSAGE:
        handle_message(core, event->message, actions);
        break;
    case FT_EV_MALFORMED:
        handle_malformed(core, event->text, actions);
        break;
    case FT_EV_PORT_HEARTBEAT: /* it puts off what silence would do, and changes no state */
        receive_port_heartbeat(core, event);
        break;
    case FT_EV_ANSWER:
        receive_decision(core, event, actions);
        break;
    case FT_EV_REQUEST:
        handle_request(core, event, actions);
        break;
    default:
        if (ft_core_primary(core))
            ft_primary_event(core, event, actions);
        else
            ft_standby_event(core, event, actions);
    }
    if (core->state == FT_JOINING)
        ft_join_consider(core, actions);
    if (core->repair.step)
        ft_repair_consider(core, actions);
    if (ft_core_primary(core))
        ft_resync_consider(core, actions);
    check_invariants(core);
}

bool ft_core_accepts(const struct ft_core *core, const struct ft_message *m)
{
    if (!core->peer.known || m->view != core->view || m->echo > core->sent ||
        (core->state != FT_SYNCING && core->state != FT_READY))
        return false;
    return m->type != FT_MSG_SNAPSHOT || !core->snapshot_whole;
}

bool ft_core_visits(const struct ft_core *core)
{
    bool given = core->config.strict ? core->right == FT_RIGHT_GIVEN : core->arbiter.open;
    bool waits = core->state == FT_JOINING || core->state == FT_SOLO || core->hand == FT_HAND_GIVEN ||
                 (core->state == FT_DEGRADED && given);

    return ft_core_repairs(core) && waits && !core->peer.known &&
           core->now - ft_later(core->alone, core->peer.heard) >= ft_ms(core->config.solo_after_ms);
}

uint64_t ft_core_due(const struct ft_core *core)
{
    uint64_t due = core->now + (period_of(core) < FT_LOOK_NS ? period_of(core) : FT_LOOK_NS);

    if (core->peer.up && core->heartbeat_due < due)
        due = core->heartbeat_due;
    if (core->state == FT_READY && !core->arbiter.asking && ft_standby_suspects_at(core) < due)
        due = ft_standby_suspects_at(core);
    if (ft_standby_reports_at(core) < due)
        due = ft_standby_reports_at(core);
    if (core->state == FT_PROTECTED && ft_primary_degrades_at(core) < due)
        due = ft_primary_degrades_at(core);
    return ft_later(due, core->now);
}
