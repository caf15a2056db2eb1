/* SPDX-License-Identifier: Apache-2.0 */
/* What happens in a transcript's world, as lines: `TIME ms  NODE  what`. Only news is printed: heartbeats,
 * answers and gates that merely prolong a lease are left out unless the transcript asks for everything. See
 * world.h. */
#include "tests/help/world.h"

#include <stdarg.h>
#include <string.h>

const char *const world_duty_name[WORLD_DUTIES] = {
    [WORLD_CUT] = "cut",         [WORLD_SNAPSHOT] = "snapshot", [WORLD_HELD] = "held",
    [WORLD_DRAINED] = "drained", [WORLD_STEERED] = "steered",   [WORLD_LOG] = "log",
    [WORLD_REPLAY] = "replay",
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

void world_print_action(struct world *w, unsigned i, const struct ft_action *a)
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
                   a->era.view, a->era.number);
        break;
    case FT_ACT_STORE:
        break; /* its files are written at once */
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
