/* SPDX-License-Identifier: Apache-2.0 */
/* Time, connections and processes around two cores, and what a node does for its core. See world.h. */
#include "ftcore/base/check.h"
#include "tests/unit/world.h"

#include <stdarg.h>
#include <string.h>

#define IDENTITY   "nf 0: nat external=203.0.113.1\n"
#define BEAT_EVERY (10 * FT_MS) /* on data ports */

void world_begin(struct world *w, FILE *out)
{
    memset(w, 0, sizeof(*w));
    w->out = out;
    for (unsigned i = 0; i < 2; i++) {
        struct world_node *n = &w->node[i];

        n->clock = i * 1000 * FT_MS;
        n->config = (struct ft_core_config){.lanes = 1,
                                            .role = (uint8_t)i,
                                            .incarnation = 100 * (i + 1),
                                            .heartbeat_ms = 10,
                                            .lease_ms = 20,
                                            .detect_ms = 50,
                                            .promote_within_ms = 100,
                                            .solo_after_ms = 200,
                                            .resync_deadline_ms = 400,
                                            .start_alone_ms = 300,
                                            .drain_ms = 60,
                                            .identity = IDENTITY,
                                            .identity_len = sizeof(IDENTITY) - 1};
        n->config.name[0] = (char)('a' + i);
    }
}

static uint64_t clock_of(const struct world *w, unsigned i)
{
    return w->now + w->node[i].clock;
}

static bool runs(const struct world *w, unsigned i)
{
    return w->node[i].alive && w->now >= w->node[i].asleep_until;
}

/* ---- what happens, as lines: only news is printed ----------------------------------------------------- */

const char *const world_duty_name[WORLD_DUTIES] = {
    [WORLD_CUT] = "cut",         [WORLD_SNAPSHOT] = "snapshot", [WORLD_HELD] = "held",
    [WORLD_DRAINED] = "drained", [WORLD_STEERED] = "steered",   [WORLD_LOG] = "log",
    [WORLD_REPLAY] = "replay",   [WORLD_DISK] = "disk",
};

static const char *const message_name[FT_MSG_TYPES] = {
    [FT_MSG_HELLO] = "HELLO",       [FT_MSG_HEARTBEAT] = "HEARTBEAT",
    [FT_MSG_SNAPSHOT] = "SNAPSHOT", [FT_MSG_SNAPSHOT_BEGIN] = "SNAPSHOT_BEGIN",
    [FT_MSG_LOG] = "LOG",           [FT_MSG_SNAPSHOT_END] = "SNAPSHOT_END",
    [FT_MSG_ACK] = "ACK",           [FT_MSG_HOLDING] = "HOLDING",
    [FT_MSG_STEER] = "STEER",       [FT_MSG_STEERED] = "STEERED",
    [FT_MSG_HANDOVER] = "HANDOVER", [FT_MSG_ASK] = "ASK",
    [FT_MSG_ABANDON] = "ABANDON",   [FT_MSG_ABANDONED] = "ABANDONED",
    [FT_MSG_REFUSE] = "REFUSE",     [FT_MSG_VERDICT] = "VERDICT",
    [FT_MSG_DRILL] = "DRILL",       [FT_MSG_DELTA] = "DELTA",
    [FT_MSG_COUNTER] = "COUNTER",   [FT_MSG_PUSH] = "PUSH",
    [FT_MSG_PUSHED] = "PUSHED",
};

const char *world_message_name(unsigned type)
{
    return type < FT_MSG_TYPES && message_name[type] ? message_name[type] : "";
}

void world_note(struct world *w, unsigned i, const char *fmt, ...)
{
    va_list ap;

    if (w->muted)
        return;
    fprintf(w->out, "%5llu ms  %c  ", w->now / FT_MS, "ab"[i]);
    va_start(ap, fmt);
    vfprintf(w->out, fmt, ap);
    va_end(ap);
    fputc('\n', w->out);
}

/* ---- messages ------------------------------------------------------------------------------------ */

/* What a message says beside its head. */
static void describe(const struct ft_message *m, char *text, size_t cap)
{
    text[0] = '\0';
    if (m->type == FT_MSG_SNAPSHOT_BEGIN || m->type == FT_MSG_HOLDING || m->type == FT_MSG_HANDOVER)
        snprintf(text, cap, " after burst %lu", m->burst[0]);
    else if (m->type == FT_MSG_ACK && m->replayed[0] == m->burst[0])
        snprintf(text, cap, " up to burst %lu", m->burst[0]);
    else if (m->type == FT_MSG_ACK)
        snprintf(text, cap, " up to burst %lu, replayed %lu", m->burst[0], m->replayed[0]);
    else if (m->type == FT_MSG_STEER)
        snprintf(text, cap, m->number ? " to you" : " back to me");
    else if (m->type == FT_MSG_STEERED && m->number)
        snprintf(text, cap, " back to you");
    else if (m->type == FT_MSG_LOG)
        snprintf(text, cap, " to burst %lu", m->burst[0]);
    else if (m->type == FT_MSG_REFUSE || m->type == FT_MSG_ABANDON)
        snprintf(text, cap, ": %s", m->text);
}

/* A heartbeat tells something when state or view have changed; an answer when what it acknowledges has. */
static bool is_news(const struct world_node *n, const struct ft_message *m)
{
    bool same = n->printed.state == m->state && n->printed.view == m->view;

    if (m->type == FT_MSG_ACK)
        return !same || n->printed_ack.burst[0] != m->burst[0] ||
               n->printed_ack.replayed[0] != m->replayed[0] || n->printed_ack.state != m->state;
    return !same || m->type != FT_MSG_HEARTBEAT;
}

static void print_message(struct world *w, unsigned i, const struct ft_message *m)
{
    struct world_node *n = &w->node[i];
    char text[FT_REASON_MAX + 32];

    if (!w->verbose && !is_news(n, m))
        return;
    n->printed = *m;
    if (m->type == FT_MSG_ACK)
        n->printed_ack = *m;
    describe(m, text, sizeof(text));
    world_note(w, i, "says %s%s (%s, view %lu)", message_name[m->type], text,
               ft_state_name((enum ft_state)m->state), m->view);
}

/* ---- actions --------------------------------------------------------------------------------------- */

static void print_gate(struct world *w, unsigned i, const struct ft_action *a)
{
    struct world_node *n = &w->node[i];
    uint64_t clock = w->now + n->clock;
    bool leased = a->lease_until > clock;
    bool same = n->gate == a->gate && n->stable == a->vector[0] && n->lease_printed == leased;

    n->lease_printed = leased;
    if (same && !w->verbose)
        return;
    if (a->gate != FT_GATE_GUARDED)
        world_note(w, i, "gate: %s", a->gate == FT_GATE_SOLO ? "open, SOLO" : "shut");
    else if (leased)
        world_note(w, i, "gate: guarded, stable up to burst %lu, lease until %llu ms", a->vector[0],
                   (a->lease_until - n->clock) / FT_MS);
    else
        world_note(w, i, "gate: guarded, stable up to burst %lu, no lease", a->vector[0]);
}

static void print_order(struct world *w, unsigned i, const struct ft_action *a)
{
    static const char *const text[] = {
        [FT_LANE_WAIT] = "wait",
        [FT_LANE_REPLAY] = "replay what arrives",
        [FT_LANE_FRESH] = "take packets, on a new state",
        [FT_LANE_OWN_MAC] = "answer from the node's own MAC",
        [FT_LANE_DRAIN] = "work off what the ports still hold",
        [FT_LANE_FENCED] = "send nothing",
    };

    if (a->order == FT_LANE_LIVE)
        world_note(w, i, "lanes: replay up to burst %lu, then take packets", a->vector[0]);
    else
        world_note(w, i, "lanes: %s", text[a->order]);
}

static void print_action(struct world *w, unsigned i, const struct ft_action *a)
{
    switch (a->kind) {
    case FT_ACT_SEND:
        print_message(w, i, &a->send);
        break;
    case FT_ACT_CLOSE:
        world_note(w, i, "closes the connection");
        break;
    case FT_ACT_GATE:
        print_gate(w, i, a);
        break;
    case FT_ACT_ORDER:
        print_order(w, i, a);
        break;
    case FT_ACT_CUT:
        world_note(w, i, "asks its lanes for a cut");
        break;
    case FT_ACT_NO_SNAPSHOT:
        world_note(w, i, "stops snapshot and log");
        break;
    case FT_ACT_VIEW:
        world_note(w, i, "writes view %lu to its view file", a->view);
        break;
    case FT_ACT_CLEAR:
        world_note(w, i, "clears what it holds");
        break;
    case FT_ACT_STEER:
        world_note(w, i, a->flag ? "draws the frames to itself" : "reads frames again");
        break;
    case FT_ACT_ANNOUNCE:
        world_note(w, i, "claims the addresses");
        break;
    case FT_ACT_ASK:
        world_note(w, i,
                   a->flag ? "asks the arbiter who goes on from view %lu, number %lu"
                           : "asks no more about view %lu, number %lu",
                   a->question.era.view, a->question.era.number);
        break;
    case FT_ACT_AIM:
        break; /* there are two */
    case FT_ACT_STORE:
        world_note(w, i, "waits until view %lu is on the disk", a->view);
        break;
    case FT_ACT_STATE:
        world_note(w, i, "%s, view %lu: %s", ft_state_name((enum ft_state)a->send.state), a->view,
                   a->send.text);
        break;
    }
}

void world_print_status(struct world *w, unsigned i)
{
    const struct world_node *n = &w->node[i];

    if (!n->alive)
        world_note(w, i, "is dead");
    else if (n->serving)
        world_note(w, i, "status: %s, view %lu, executed %lu, released %lu: %s", ft_state_name(n->core.state),
                   n->core.view, n->executed, n->released, n->core.why);
    else
        world_note(w, i, "status: %s, view %lu, stored %lu, replayed %lu: %s", ft_state_name(n->core.state),
                   n->core.view, n->stored, n->replayed, n->core.why);
}

/* What it has counted since its process began, as `status` of the program tells it. */
void world_print_counts(struct world *w, unsigned i)
{
    const struct ft_core *core = &w->node[i].core;

    world_note(w, i,
               "counts: resyncs %lu, of which failed %lu (%s), false alarms %lu, SOLO %lu, fenced %lu, false "
               "takeovers %lu, losses %lu",
               (uint64_t)core->resyncs, (uint64_t)core->resyncs_failed, core->resync_outcome,
               (uint64_t)core->false_alarms, (uint64_t)core->solos, (uint64_t)core->fenced.count,
               (uint64_t)core->silence.false_takeovers, (uint64_t)core->loss.count);
}

/* ---- connections --------------------------------------------------------------------------------- */

static struct world_envelope *post(struct world *w, unsigned to)
{
    struct world_pipe *pipe = &w->node[to].inbox;
    struct world_envelope *e = &pipe->list[pipe->tail % WORLD_PIPE];

    FT_CHECK(pipe->tail - pipe->head < WORLD_PIPE, "a transcript in which nobody reads for so long");
    pipe->tail++;
    *e = (struct world_envelope){.at = w->now + FT_MS};
    return e;
}

void world_post(struct world *w, unsigned to, const struct ft_message *m)
{
    struct world_envelope *e = post(w, to);

    e->kind = WORLD_MESSAGE;
    e->message = *m;
}

static void send_message(struct world *w, unsigned from, const struct ft_message *m)
{
    struct world_node *n = &w->node[from];

    n->last_sent = m->sent;
    if (!n->first[m->type].type)
        n->first[m->type] = *m;
    if (n->connected && w->node[!from].connected)
        world_post(w, !from, m);
}

static void post_lost(struct world *w, unsigned to, enum ft_lost how)
{
    struct world_envelope *e;

    if (!w->node[to].connected)
        return;
    if (how != FT_LOST_EOF) /* what is under way is lost */
        w->node[to].inbox.head = w->node[to].inbox.tail;
    e = post(w, to);
    e->kind = WORLD_LOST;
    e->how = how;
}

void world_break(struct world *w)
{
    for (unsigned i = 0; i < 2; i++)
        post_lost(w, i, FT_LOST_ERROR);
}

void world_connect(struct world *w, unsigned i)
{
    struct ft_event event = {.kind = FT_EV_CONNECTED};

    w->node[i].connected = true;
    world_note(w, i, "connected");
    world_step(w, i, &event);
}

static void connect_both(struct world *w)
{
    bool free = !w->node[0].connected && !w->node[1].connected;

    if (w->manual || !free || !runs(w, 0) || !runs(w, 1) || w->now < w->link_cut[0] ||
        w->now < w->link_cut[1])
        return;
    for (unsigned i = 0; i < 2; i++)
        w->node[i].inbox.head = w->node[i].inbox.tail;
    for (unsigned i = 0; i < 2; i++)
        w->node[i].connected = true;
    for (unsigned i = 0; i < 2; i++)
        world_connect(w, i);
}

/* ---- processes ------------------------------------------------------------------------------------- */

static void clear_lane(struct world_node *n)
{
    n->order = FT_LANE_WAIT;
    n->serving = n->logging = false;
    n->wanted = n->executed = n->logged = n->released = n->stored = n->replayed = 0;
    for (unsigned d = 0; d < WORLD_DUTIES; d++)
        n->due[d] = d == WORLD_DISK ? n->due[d] : 0;
}

void world_start(struct world *w, unsigned i)
{
    static struct ft_actions actions;
    struct world_node *n = &w->node[i];

    if (n->gone)
        post_lost(w, !i, FT_LOST_RESET); /* a machine that is up again resets what it does not know */
    n->gone = n->connected = false;
    n->alive = true;
    n->config.incarnation++;
    n->config.view = n->view_file;
    n->inbox.head = n->inbox.tail;
    n->gate = FT_GATE_SHUT;
    n->stable = n->lease_until = n->asked_at = 0;
    n->lease_printed = false;
    memset(&n->printed, 0, sizeof(n->printed));
    memset(&n->printed_ack, 0, sizeof(n->printed_ack));
    clear_lane(n);
    ft_core_init(&n->core, &n->config, clock_of(w, i), &actions);
    for (uint32_t k = 0; k < actions.count; k++)
        print_action(w, i, &actions.list[k]);
}

void world_kill(struct world *w, unsigned i, bool reset, bool machine)
{
    struct world_node *n = &w->node[i];

    world_note(w, i, machine ? "its machine loses power" : "its process is killed");
    n->alive = false;
    n->due[WORLD_DISK] = 0;
    n->gone = machine;
    if (!machine && n->connected)
        post_lost(w, !i, reset ? FT_LOST_RESET : FT_LOST_EOF);
    n->connected = false;
}

/* ---- what a node does for its core ----------------------------------------------------------------- */

static void obey(struct world *w, unsigned i, const struct ft_action *a)
{
    struct world_node *n = &w->node[i];
    bool held = n->executed > n->released;

    n->order = a->order;
    if (a->order == FT_LANE_DRAIN)
        n->due[WORLD_DRAINED] = w->now + FT_MS;
    if (a->order == FT_LANE_FENCED && held) {
        world_note(w, i, "drops the outputs that it holds, bursts %lu to %lu", n->released + 1, n->executed);
        n->released = n->executed;
    }
    if (n->serving || (a->order != FT_LANE_FRESH && a->order != FT_LANE_LIVE))
        return;
    n->serving = true;
    n->executed = n->released = a->order == FT_LANE_LIVE ? a->vector[0] : 0;
}

static void set_gate(struct world *w, unsigned i, const struct ft_action *a)
{
    struct world_node *n = &w->node[i];

    if (a->gate == FT_GATE_GUARDED && n->gate != FT_GATE_GUARDED)
        n->due[WORLD_HELD] = w->now + FT_MS;
    n->gate = a->gate;
    n->stable = a->vector[0];
    n->lease_until = a->lease_until;
}

static void carry_out(struct world *w, unsigned i, const struct ft_action *a)
{
    struct world_node *n = &w->node[i];

    print_action(w, i, a);
    switch (a->kind) {
    case FT_ACT_SEND:
        send_message(w, i, &a->send);
        break;
    case FT_ACT_CLOSE:
        post_lost(w, !i, FT_LOST_EOF);
        n->connected = false;
        break;
    case FT_ACT_GATE:
        set_gate(w, i, a);
        break;
    case FT_ACT_ORDER:
        obey(w, i, a);
        break;
    case FT_ACT_CUT:
        n->due[WORLD_CUT] = w->now + FT_MS;
        break;
    case FT_ACT_NO_SNAPSHOT:
        n->logging = false;
        n->due[WORLD_CUT] = n->due[WORLD_SNAPSHOT] = 0;
        break;
    case FT_ACT_VIEW:
    case FT_ACT_STORE:
        n->view_wanted = a->view;
        n->view_file = n->config.keeps_views ? n->view_file : a->view;
        n->due[WORLD_DISK] = n->config.keeps_views ? w->now + FT_MS : 0;
        break;
    case FT_ACT_CLEAR:
        clear_lane(n);
        break;
    case FT_ACT_STEER:
        n->due[WORLD_STEERED] = a->flag ? w->now + FT_MS : 0;
        break;
    case FT_ACT_ASK:
        n->asks = a->question;
        n->asked_at = a->flag ? w->now : 0;
        break;
    default:
        break;
    }
}

void world_step(struct world *w, unsigned i, struct ft_event *event)
{
    struct ft_actions actions;
    struct world_node *n = &w->node[i];

    event->now = event->came = clock_of(w, i);
    event->closed[0] = n->serving ? n->executed : n->stored;
    event->replayed[0] = n->replayed;
    event->taken[0] = n->replayed * 1000;
    ft_step(&n->core, event, &actions);
    for (uint32_t k = 0; k < actions.count; k++)
        carry_out(w, i, &actions.list[k]);
}

static void step(struct world *w, unsigned i, enum ft_event_kind kind)
{
    struct ft_event event = {.kind = kind};

    world_step(w, i, &event);
}

static bool is_due(struct world *w, unsigned i, enum world_duty duty)
{
    struct world_node *n = &w->node[i];

    if (!n->due[duty] || w->now < n->due[duty] || n->withheld[duty])
        return false;
    n->due[duty] = 0;
    return true;
}

static void do_duties(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];

    if (is_due(w, i, WORLD_CUT)) {
        n->logging = true;
        n->logged = n->executed;
        n->due[WORLD_SNAPSHOT] = w->now + FT_MS;
        step(w, i, FT_EV_CUT);
    } else if (is_due(w, i, WORLD_SNAPSHOT)) {
        step(w, i, FT_EV_SNAPSHOT_SENT);
    }
    if (is_due(w, i, WORLD_HELD))
        step(w, i, FT_EV_GUARDED);
    if (n->released == n->executed && is_due(w, i, WORLD_DRAINED))
        step(w, i, FT_EV_DRAINED);
    if (is_due(w, i, WORLD_STEERED))
        step(w, i, FT_EV_STEERED);
    if (is_due(w, i, WORLD_DISK)) {
        struct ft_event stored = {.kind = FT_EV_STORED, .view = n->view_file = n->view_wanted};

        world_step(w, i, &stored);
    }
}

static void send_log(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct ft_message m;

    if (!n->logging || n->logged == n->executed || n->withheld[WORLD_LOG])
        return;
    n->logged = n->executed;
    ft_core_head(&n->core, FT_MSG_LOG, clock_of(w, i), &m);
    m.burst[0] = n->logged; /* stands for the records */
    send_message(w, i, &m);
}

static void run_lane(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    bool live = n->order == FT_LANE_FRESH || n->order == FT_LANE_LIVE || n->order == FT_LANE_OWN_MAC;

    if (n->wanted && live) {
        n->executed += n->wanted;
        world_note(w, i, "executes bursts up to %lu", n->executed);
        n->wanted = 0;
        step(w, i, FT_EV_LANES);
    }
    send_log(w, i);
    if (!n->serving && n->replayed < n->stored && !n->withheld[WORLD_REPLAY]) {
        n->replayed = n->stored;
        step(w, i, FT_EV_LANES);
    }
}

/* ---- outside of the two: the arbiter, and outputs that leave ------------------------------------------ */

/* An arbiter that keeps one decision. Each way takes a millisecond, and so does the rule. */
static void ask_arbiter(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct ft_event event = {
        .kind = FT_EV_ANSWER, .era = n->asks.era, .answer = FT_ANSWER_SILENT, .decision = &w->decision};

    if (!n->asked_at || w->now < n->asked_at + 3 * FT_MS)
        return;
    n->asked_at = w->now;
    if (!w->arbiter_down && !w->arbiter_cut[i]) {
        n->asked_at = 0;
        if (ft_decides_anew(&w->decision, &n->asks)) {
            w->decision = ft_decision_of(&w->decision, &n->asks, n->config.name);
            w->decided_by = n->config.incarnation;
        }
        event.answer =
            ft_decided(&w->decision, &n->asks, n->config.name, w->decided_by == n->config.incarnation);
    }
    world_step(w, i, &event);
}

static void release(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    uint64_t to = n->executed;

    if (n->gate == FT_GATE_GUARDED)
        to = w->now + n->clock >= n->lease_until ? 0 : n->stable < to ? n->stable : to;
    if (!n->serving || n->gate == FT_GATE_SHUT || n->order == FT_LANE_FENCED || to <= n->released)
        return;
    n->released = to;
    world_note(w, i, "releases the outputs up to burst %lu", to);
}

/* Its lane runs all the time that the node does, and tells every 20 ms what it has waited. */
static void wait_for_standby(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct ft_event event = {.kind = FT_EV_COST, .cost = &n->cost};

    if (n->gate == FT_GATE_GUARDED) {
        n->cost.beside += FT_MS;
        n->cost.waited[n->what] += n->waits * FT_MS / 100;
    }
    if (n->serving && w->now % (20 * FT_MS) == 0)
        world_step(w, i, &event);
}

/* ---- time -------------------------------------------------------------------------------------------- */

static void take(struct world *w, unsigned i, const struct ft_message *m)
{
    struct world_node *n = &w->node[i];
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = m};
    bool stored = m->type == FT_MSG_LOG && ft_core_accepts(&n->core, m) && m->burst[0] > n->stored;

    if (stored)
        n->stored = m->burst[0];
    world_step(w, i, &event);
    if (m->type == FT_MSG_SNAPSHOT_BEGIN && n->core.state == FT_SYNCING)
        n->stored = n->replayed = m->burst[0];
    if (stored)
        step(w, i, FT_EV_LANES);
}

static void receive(struct world *w, unsigned i)
{
    static const char *const how[] = {"", "the peer's kernel has closed the connection",
                                      "the peer's kernel has reset the connection",
                                      "the connection is broken"};
    struct world_node *n = &w->node[i];

    while (n->inbox.head != n->inbox.tail) {
        struct world_envelope e = n->inbox.list[n->inbox.head % WORLD_PIPE];
        struct ft_event lost = {.kind = FT_EV_LOST, .how = e.how};
        bool own =
            e.kind == WORLD_LOST && e.how == FT_LOST_ERROR; /* its own kernel has waited for too long */

        if (e.at > w->now || (w->now < w->link_cut[i] && !own))
            return;
        n->inbox.head++;
        if (!n->connected)
            continue;
        if (e.kind == WORLD_MESSAGE) {
            take(w, i, &e.message);
            continue;
        }
        n->connected = false;
        world_note(w, i, "%s", how[e.how]);
        world_step(w, i, &lost);
    }
}

static void turn(struct world *w, unsigned i)
{
    struct ft_event heartbeat = {.kind = FT_EV_PORT_HEARTBEAT, .view = w->node[!i].core.view};

    receive(w, i);
    do_duties(w, i);
    run_lane(w, i);
    ask_arbiter(w, i);
    if (w->now % BEAT_EVERY == 0 && runs(w, !i) && w->now >= w->ports_cut[i])
        world_step(w, i, &heartbeat);
    wait_for_standby(w, i);
    step(w, i, FT_EV_TIME);
    release(w, i);
}

void world_run(struct world *w, uint64_t ms)
{
    for (uint64_t k = 0; k < ms; k++) {
        w->now += FT_MS;
        connect_both(w);
        for (unsigned i = 0; i < 2; i++)
            if (runs(w, i))
                turn(w, i);
    }
}
