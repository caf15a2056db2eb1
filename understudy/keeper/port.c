/* SPDX-License-Identifier: Apache-2.0 */
/* A node's end: bursts put together, outputs kept until they have left; see port.h. */
#include "understudy/keeper/port.h"
#include "ftcore/base/check.h"
#include "ftcore/base/plant.h"

#include <stdlib.h>
#include <string.h>

int kp_port_open(struct kp_port *port, uint64_t self)
{
    port->self = self;
    if (port->keepers == 0)
        port->keepers = 1;
    port->slot = calloc(KP_WINDOW, sizeof(*port->slot));
    port->sent = calloc(KP_SENT, sizeof(*port->sent));
    if (port->slot && port->sent)
        return 0;
    kp_port_close(port);
    return FT_ENOMEM;
}

static struct kp_slot *slot_at(const struct kp_port *port, uint64_t burst)
{
    return &port->slot[burst & (KP_WINDOW - 1)];
}

static struct kp_sent *sent_at(const struct kp_port *port, uint64_t index)
{
    return &port->sent[index & (KP_SENT - 1)];
}

static void empty_slot(struct kp_port *port, struct kp_slot *slot)
{
    for (uint32_t i = 0; slot->number && i < slot->count; i++)
        if (slot->frame[i].owner)
            port->drop(port->ctx, slot->frame[i].owner);
    *slot = (struct kp_slot){.number = 0};
}

static void empty_slots(struct kp_port *port)
{
    for (uint32_t i = 0; port->slot && i < KP_WINDOW; i++)
        empty_slot(port, &port->slot[i]);
}

void kp_port_end(struct kp_port *port)
{
    port->view = 0;
    empty_slots(port);
    for (; port->out < port->in; port->out++)
        port->drop(port->ctx, sent_at(port, port->out)->output.owner);
}

void kp_port_close(struct kp_port *port)
{
    if (port->slot && port->sent)
        kp_port_end(port);
    free(port->slot);
    free(port->sent);
    port->slot = NULL;
    port->sent = NULL;
}

/* Nobody has its word yet, as far as it knows. */
static void begin_giver(struct kp_port *port, uint64_t now)
{
    kp_giver_begin(&port->giver, now);
    port->keeper = port->fed_view = 0;
    port->parted = false;
}

void kp_port_begin(struct kp_port *port, uint64_t view, const struct kp_progress *progress, uint64_t now)
{
    bool goes_on = port->view && progress->burst == port->given;

    empty_slots(port);
    if (!goes_on) { /* else what it has sent, and is not known to have left, is sent again */
        kp_port_end(port);
        port->handed = 0;
        port->begins = progress->outputs;
        if (port->keepers > 1)
            begin_giver(port, now);
    }
    port->view = view;
    port->progress = *progress;
    port->given = progress->burst;
    port->seq = progress->seq;
    port->time = progress->time;
    port->missing = progress->burst + 1;
    port->said = 0;
    for (unsigned k = 0; k < port->keepers; k++)
        port->peer[k].answer = true;
}

/* ---- what the keeper sends -------------------------------------------------------------------- */

static void find_missing(struct kp_port *port)
{
    for (; port->missing <= port->given + KP_WINDOW; port->missing++) {
        const struct kp_slot *slot = slot_at(port, port->missing);

        if (slot->number != port->missing || slot->there < slot->count)
            return;
    }
}

static bool take_input(struct kp_port *port, const struct kp_message *m, void *owner)
{
    struct kp_slot *slot = slot_at(port, m->burst);

    if (m->burst <= port->given || m->burst > port->given + KP_WINDOW) {
        port->beyond += m->burst > port->given;
        return false;
    }
    if (slot->number != m->burst) {
        empty_slot(port, slot);
        slot->number = m->burst;
        slot->time = m->time;
        slot->seq = m->seq - m->index;
        slot->count = m->count;
    }
    if (m->count == 0) {
        find_missing(port);
        return false;
    }
    if (m->count != slot->count || m->seq - m->index != slot->seq || m->time != slot->time) {
        port->refused++;
        return false;
    }
    if (slot->frame[m->index].owner)
        return false;
    slot->frame[m->index] = (struct kp_frame){.owner = owner, .len = m->len, .port = m->port};
    slot->there++;
    find_missing(port);
    return true;
}

/* Outputs up to this number have left. */
static void confirm(struct kp_port *port, uint64_t number)
{
    for (; port->out < port->in && sent_at(port, port->out)->output.number <= number; port->out++)
        port->drop(port->ctx, sent_at(port, port->out)->output.owner);
}

static void say(struct kp_port *port, unsigned keeper, struct kp_message *m)
{
    m->from = port->self;
    m->to = port->peer[keeper].incarnation;
    m->serial = ++port->serial;
    m->view = port->view;
    port->send(port->ctx, keeper, m);
}

static void send_output(struct kp_port *port, const struct kp_sent *sent)
{
    const struct kp_output *o = &sent->output;
    struct kp_message m = {.kind = KP_OUTPUT,
                           .port = o->port,
                           .len = (uint16_t)o->len,
                           .burst = o->burst,
                           .number = o->number,
                           .before = sent->before,
                           .seq = o->seq,
                           .frame = port->bytes(port->ctx, o->owner),
                           .have = o->have};

    say(port, port->active, &m);
}

/* Another keeper than before feeds it, or none yet (incarnation 0): it has other inputs of the same numbers.
 */
static void take_keeper(struct kp_port *port, uint64_t incarnation)
{
    port->keeper = incarnation;
    empty_slots(port);
    port->missing = port->given + 1;
}

/* A process that began after the one before, or became active: messages of the one before are dropped now. */
static void take_peer(struct kp_port *port, unsigned keeper, uint64_t incarnation)
{
    bool feeds = port->keeper == port->peer[keeper].incarnation && port->active == keeper;

    port->peer[keeper].incarnation = incarnation;
    port->peer[keeper].serial = port->peer[keeper].asked = port->peer[keeper].own = 0;
    if (feeds || port->keepers == 1)
        take_keeper(port, port->keepers == 1 ? incarnation : 0);
    port->moved += port->keepers == 1; /* it may be on another server */
}

/* ---- of two keepers -------------------------------------------------------------------------- */

static void say_words(struct kp_port *port, unsigned keepers)
{
    for (unsigned k = 0; k < port->keepers; k++) {
        struct kp_message m = {.kind = KP_WORD};

        if (!(keepers & 1u << k))
            continue;
        kp_giver_word(&port->giver, k, &m);
        say(port, k, &m);
    }
}

/* The word is another keeper's now, which feeds nothing before it has reported that it knows. */
static void follow_giver(struct kp_port *port)
{
    const struct kp_giver *g = &port->giver;

    if (g->holder < 0 || g->view == port->fed_view)
        return;
    port->active = (unsigned)g->holder;
    port->fed_view = g->view;
    take_keeper(port, 0);
}

static void take_question(struct kp_port *port, unsigned keeper, const struct kp_message *m, uint64_t now)
{
    bool feeds = port->keeper && keeper == port->active && m->from == port->keeper;

    if (!port->open)
        return;
    if (feeds && m->number && m->flags & KP_RETURNS && m->burst == port->fed_view) {
        confirm(port, m->number);
        port->parted = true;
        port->parted_at = m->number;
        port->parted_to = 0;
    }
    say_words(port, kp_giver_take(&port->giver, keeper, m, now));
    follow_giver(port);
    if (port->keeper || keeper != port->active || !port->fed_view || m->burst != port->fed_view ||
        m->flags & KP_RETURNS)
        return;
    port->parted &= !port->parted_to || port->parted_to == m->from;
    port->parted_to = m->from;
    take_keeper(port, m->from);
    port->moved++;
}

void kp_port_ended(struct kp_port *port, uint64_t process, uint64_t now)
{
    if (port->keepers == 1 || !port->view || !port->open)
        return;
    say_words(port, kp_giver_ended(&port->giver, process, now));
    follow_giver(port);
}

/* The keeper feeds this lane, and the message is for this lane. */
static bool is_feeder(struct kp_port *port, unsigned keeper, const struct kp_message *m, uint64_t now)
{
    if (port->keepers == 1)
        return true;
    if (m->kind == KP_ASK && m->seq)
        take_question(port, keeper, m, now);
    if (port->keeper && keeper == port->active && m->from == port->keeper)
        return true;
    port->refused += m->kind == KP_INPUT;
    return false;
}

/* A state for a process that does not know this one. A question that names this one is of a keeper that lives
 * now. */
static void report_who(struct kp_port *port, unsigned keeper, uint64_t incarnation)
{
    struct kp_message state = {.kind = KP_STATE};
    uint64_t known = port->peer[keeper].incarnation, view = port->view;

    port->peer[keeper].incarnation = incarnation;
    port->view = 0;
    say(port, keeper, &state);
    port->peer[keeper].incarnation = known;
    port->view = view;
}

enum kp_taken kp_port_take(struct kp_port *port, unsigned keeper, const struct kp_message *m, void *owner,
                           uint64_t now)
{
    struct kp_peer *peer = &port->peer[keeper];
    uint64_t *last = m->kind == KP_OWN ? &peer->own : m->kind == KP_ASK ? &peer->asked : NULL;
    bool kept = false;

    if (m->to > port->self) /* this process began by a clock that was put back */
        port->self = m->to + KP_PLACES;
    if (m->from < peer->incarnation || m->lane != 0) {
        port->refused++;
        /* Of a process that began by a clock that was put back, perhaps: by the answer it learns so. */
        peer->answer |= m->kind == KP_ASK;
        return KP_DONE;
    }
    if (m->to != port->self) {
        port->refused += m->to != 0;
        if (m->kind == KP_ASK)
            report_who(port, keeper, m->from);
        return KP_DONE;
    }
    if (m->from != peer->incarnation)
        take_peer(port, keeper, m->from);
    if (m->serial > peer->serial) {
        peer->serial = m->serial;
        peer->heard = now;
    }
    if (m->port >= port->ports && (m->kind == KP_OWN || (m->kind == KP_INPUT && m->count))) {
        port->refused++; /* of a keeper that has another file */
        return KP_DONE;
    }
    if (last && m->serial <= *last) {
        port->refused++;
        return KP_DONE;
    }
    if (last)
        *last = m->serial;
    if (m->kind == KP_OWN)
        return KP_OWNS;
    peer->answer = true;
    if (m->view != port->view || port->view == 0 || !is_feeder(port, keeper, m, now))
        return KP_DONE;
    confirm(port, m->number);
    if (m->kind == KP_INPUT)
        port->parted = false;
    if (m->kind == KP_INPUT)
        kept = take_input(port, m, owner);
    else if (m->kind == KP_ASK && m->flags & KP_AGAIN)
        for (uint64_t i = port->out; i < port->in && i < port->out + KP_SENT_AGAIN; i++, port->again++)
            send_output(port, sent_at(port, i));
    return kept ? KP_KEPT : KP_DONE;
}

/* ---- what the lane does ---------------------------------------------------------------------- */

const struct kp_slot *kp_port_give(struct kp_port *port)
{
    struct kp_slot *slot = slot_at(port, port->given + 1);

    if (!port->view || port->missing <= port->given + 1)
        return NULL;
    /* It would be executed under other numbers than the keeper's, or at a time that is over. */
    if (slot->seq != port->seq || slot->time < port->time || slot->time > UINT64_MAX / 2) {
        empty_slot(port, slot);
        port->missing = port->given + 1;
        port->refused++;
        return NULL;
    }
    slot->number = 0; /* its frames are the lane's now */
    port->given++;
    port->seq += slot->count;
    port->time = slot->time;
    find_missing(port);
    return slot;
}

bool kp_port_hand(struct kp_port *port, const struct kp_output *output)
{
    struct kp_sent *sent = sent_at(port, port->in);

    if (port->in - port->out == KP_SENT || (port->keepers > 1 && !port->keeper))
        return false;
    *sent = (struct kp_sent){.output = *output, .before = port->handed};
    port->in++;
    port->handed = output->number;
    send_output(port, sent);
    return true;
}

void kp_port_own(struct kp_port *port, uint8_t number, const uint8_t *frame, uint32_t len, bool by_port)
{
    struct kp_message m = {.kind = KP_OWN,
                           .port = number,
                           .flags = by_port ? KP_BY_PORT : 0,
                           .len = (uint16_t)len,
                           .frame = frame,
                           .have = len};

    for (unsigned k = 0; k < port->keepers; k++)
        if (port->peer[k].incarnation && (!by_port || (port->view && port->keeper && k == port->active)))
            say(port, k, &m);
}

static void say_state(struct kp_port *port, unsigned keeper)
{
    const struct kp_progress *p = &port->progress;
    uint64_t settled = p->settled;
    struct kp_message m = {.kind = KP_STATE};

    port->peer[keeper].answer = false;
    port->said = p->settled;
    if (port->in > port->out && sent_at(port, port->out)->output.burst <= settled &&
        !FT_PLANTED("settles-early"))
        settled = sent_at(port, port->out)->output.burst - 1;
    if (port->view) {
        m.burst = p->burst;
        m.number = port->handed;
        m.before = settled;
        m.flags = port->open ? KP_MAY : 0;
        m.seq = p->seq;
        m.time = p->time;
        m.missing = port->missing;
        m.begins = port->handed > port->begins && !FT_PLANTED("begins-behind") ? port->handed : port->begins;
        if (port->parted)
            m.begins = port->parted_at;
    }
    say(port, keeper, &m);
}

uint32_t kp_port_report(struct kp_port *port, const struct kp_progress *progress)
{
    bool settled = progress->settled != port->said;

    port->progress = *progress;
    for (unsigned k = 0; k < port->keepers; k++)
        if (port->peer[k].incarnation && (port->peer[k].answer || (settled && k == port->active)))
            say_state(port, k);
    return (uint32_t)(port->in - port->out);
}

void kp_port_answer(struct kp_port *port)
{
    for (unsigned k = 0; k < port->keepers; k++) {
        if (port->peer[k].answer && port->peer[k].incarnation)
            say_state(port, k);
        port->peer[k].answer = false;
    }
}
