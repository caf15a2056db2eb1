/* SPDX-License-Identifier: Apache-2.0 */
/* A node's end: bursts put together, outputs kept until they have left; see port.h. */
#include "keeper/port.h"
#include "ftcore/base/check.h"
#include "ftcore/base/plant.h"

#include <stdlib.h>
#include <string.h>

int kp_port_open(struct kp_port *port, uint64_t self)
{
    port->self = self;
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

void kp_port_begin(struct kp_port *port, uint64_t view, const struct kp_progress *progress)
{
    bool goes_on = port->view && progress->burst == port->given;

    empty_slots(port);
    if (!goes_on) { /* else what it has sent, and is not known to have left, is sent again */
        kp_port_end(port);
        port->handed = 0;
        port->begins = progress->outputs;
    }
    port->view = view;
    port->progress = *progress;
    port->given = progress->burst;
    port->seq = progress->seq;
    port->missing = progress->burst + 1;
    port->said = 0;
    port->answer = true;
}

/* ---- what the keeper says -------------------------------------------------------------------- */

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

static void say(struct kp_port *port, struct kp_message *m)
{
    m->from = port->self;
    m->to = port->keeper;
    m->serial = ++port->serial;
    m->view = port->view;
    port->send(port->ctx, m);
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

    say(port, &m);
}

/* A keeper that began after the one before: it has other inputs of the same numbers. */
static void take_keeper(struct kp_port *port, uint64_t incarnation)
{
    port->keeper = incarnation;
    empty_slots(port);
    port->missing = port->given + 1;
}

enum kp_taken kp_port_take(struct kp_port *port, const struct kp_message *m, void *owner)
{
    bool kept = false;

    if (m->to > port->self) /* this process began by a clock that was put back */
        port->self = m->to + 1;
    if (m->from < port->keeper || m->lane != 0) {
        port->refused++;
        return KP_DONE;
    }
    if (m->to != port->self) {
        /* Who asks is told who this is; a question that names it is of a keeper that lives now. */
        struct kp_message state = {.kind = KP_STATE};
        uint64_t keeper = port->keeper, view = port->view;

        port->refused += m->to != 0;
        port->keeper = m->from;
        port->view = 0;
        if (m->kind == KP_ASK)
            say(port, &state);
        port->keeper = keeper;
        port->view = view;
        return KP_DONE;
    }
    if (m->from != port->keeper)
        take_keeper(port, m->from);
    if (m->kind == KP_OWN)
        return KP_OWNS;
    port->answer = true;
    if (m->view != port->view || port->view == 0)
        return KP_DONE;
    confirm(port, m->number);
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
    if (slot->seq != port->seq) { /* it would be executed under other numbers than the keeper's */
        empty_slot(port, slot);
        port->missing = port->given + 1;
        port->refused++;
        return NULL;
    }
    slot->number = 0; /* its frames are the lane's now */
    port->given++;
    port->seq += slot->count;
    find_missing(port);
    return slot;
}

bool kp_port_hand(struct kp_port *port, const struct kp_output *output)
{
    struct kp_sent *sent = sent_at(port, port->in);

    if (port->in - port->out == KP_SENT)
        return false;
    *sent = (struct kp_sent){.output = *output, .before = port->handed};
    port->in++;
    port->handed = output->number;
    send_output(port, sent);
    return true;
}

void kp_port_own(struct kp_port *port, uint8_t number, const uint8_t *frame, uint32_t len)
{
    struct kp_message m = {.kind = KP_OWN, .port = number, .len = (uint16_t)len, .frame = frame, .have = len};

    if (port->keeper)
        say(port, &m);
}

static void say_state(struct kp_port *port)
{
    const struct kp_progress *p = &port->progress;
    uint64_t settled = p->settled;
    struct kp_message m = {.kind = KP_STATE};

    port->answer = false;
    port->said = p->settled;
    if (port->in > port->out && sent_at(port, port->out)->output.burst <= settled &&
        !FT_PLANTED("settles-early"))
        settled = sent_at(port, port->out)->output.burst - 1;
    if (port->view) {
        m.burst = p->burst;
        m.number = port->handed;
        m.before = settled;
        m.seq = p->seq;
        m.time = p->time;
        m.missing = port->missing;
        m.begins = port->handed > port->begins && !FT_PLANTED("begins-behind") ? port->handed : port->begins;
    }
    say(port, &m);
}

uint32_t kp_port_tell(struct kp_port *port, const struct kp_progress *progress)
{
    port->progress = *progress;
    if (port->keeper && (port->answer || progress->settled != port->said))
        say_state(port);
    return (uint32_t)(port->in - port->out);
}

void kp_port_answer(struct kp_port *port)
{
    if (port->answer && port->keeper)
        say_state(port);
    port->answer = false;
}
