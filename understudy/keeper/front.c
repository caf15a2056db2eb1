/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's end: inputs kept and fed, outputs let out once; see front.h. */
#include "understudy/keeper/front.h"
#include "ftcore/base/check.h"
#include "ftcore/base/plant.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is kept ---------------------------------------------------------------------------- */

static bool is_power_of_two(uint32_t n)
{
    return n && (n & (n - 1)) == 0;
}

int kp_front_open(struct kp_front *front, const struct kp_front_config *config)
{
    *front = (struct kp_front){
        .config = *config, .primary = -1, .word = {.process = config->incarnation ? config->incarnation : 1}};
    if (!is_power_of_two(config->inputs) || !is_power_of_two(config->bursts) ||
        config->inputs < 2 * KP_BURST || config->bursts < 2 || config->frame_max < 14 ||
        config->frame_max > UINT16_MAX || config->nodes == 0 || config->nodes > KP_NODES ||
        config->keepers > KP_KEEPERS)
        return FT_EINVAL;
    front->burst = calloc(config->bursts, sizeof(*front->burst));
    front->input = calloc(config->inputs, sizeof(*front->input));
    front->bytes = malloc((size_t)config->inputs * config->frame_max);
    front->whole = malloc(config->frame_max);
    front->early_bytes = malloc((size_t)KP_EARLY * config->frame_max);
    if (front->burst && front->input && front->bytes && front->whole && front->early_bytes)
        return 0;
    kp_front_close(front);
    return FT_ENOMEM;
}

void kp_front_close(struct kp_front *front)
{
    free(front->burst);
    free(front->input);
    free(front->bytes);
    free(front->whole);
    free(front->early_bytes);
    front->burst = NULL;
    front->input = NULL;
    front->bytes = front->whole = front->early_bytes = NULL;
}

static struct kp_burst *burst_at(const struct kp_front *front, uint64_t number)
{
    return &front->burst[number & (front->config.bursts - 1)];
}

static struct kp_input *input_at(const struct kp_front *front, uint64_t seq)
{
    return &front->input[seq & (front->config.inputs - 1)];
}

static uint8_t *bytes_at(const struct kp_front *front, uint64_t seq)
{
    return front->bytes + (seq & (front->config.inputs - 1)) * (size_t)front->config.frame_max;
}

bool kp_front_has_room(struct kp_front *front)
{
    bool room = front->next - front->first < front->config.bursts &&
                front->seq_next - front->seq_first + KP_BURST <= front->config.inputs;

    if (!front->begun || front->leaves)
        return false;
    front->count.full += !room;
    return room;
}

void kp_front_add(struct kp_front *front, uint8_t port, const uint8_t *frame, uint32_t len)
{
    uint64_t seq = front->seq_next + front->open;

    FT_CHECK(front->open < KP_BURST && seq - front->seq_first < front->config.inputs &&
                 len <= front->config.frame_max,
             "no room for input %lu of %u bytes", seq, len);
    *input_at(front, seq) = (struct kp_input){.len = len, .port = port};
    memcpy(bytes_at(front, seq), frame, len);
    front->open++;
}

void kp_front_cut(struct kp_front *front, uint64_t now)
{
    uint64_t time = now + front->offset;

    FT_CHECK(front->next - front->first < front->config.bursts, "no room for burst %lu", front->next);
    if (time < front->time_last)
        time = front->time_last;
    *burst_at(front, front->next++) =
        (struct kp_burst){.time = time, .seq = front->seq_next, .count = front->open};
    front->time_last = time;
    front->seq_next += front->open;
    front->count.inputs += front->open;
    front->count.bursts++;
    front->count.empty_bursts += front->open == 0;
    front->open = 0;
}

/* Bursts up to this one, which is kept. */
static void forget(struct kp_front *front, uint64_t burst)
{
    const struct kp_burst *last = burst_at(front, burst);

    front->first = burst + 1;
    front->seq_first = last->seq + last->count;
    front->time_before = last->time;
}

/* ---- who is primary -------------------------------------------------------------------------- */

/* Numbers are as the primary sets them; what was kept is lost. Nodes may have bursts of the numbers before,
 * which they drop when they hear of another incarnation. */
static void begin(struct kp_front *front, const struct kp_message *m, uint64_t now)
{
    if (front->begun) {
        front->config.incarnation += KP_PLACES;
        front->node[front->primary].asked = 0;
    }
    front->count.begun++;
    front->count.lost_inputs += front->seq_next - front->seq_first + front->open;
    front->open = 0;
    front->first = front->next = m->burst + 1;
    front->seq_first = front->seq_next = m->seq;
    front->time_before = front->time_last = m->time;
    /* Modulo 2^64: so far it was counted by another server's clock, perhaps. */
    front->offset = m->burst ? m->time - now : 0;
    front->outputs.left = m->begins;
    front->begun = true;
}

/* The primary's last burst is one of those kept, or the one before, as it was stamped here. */
static bool goes_on(const struct kp_front *front, const struct kp_message *m)
{
    uint64_t time = front->time_before, seq = front->seq_first;

    if (!front->begun || m->burst + 1 < front->first || m->burst >= front->next ||
        m->begins < front->outputs.left)
        return false;
    if (m->burst >= front->first) {
        const struct kp_burst *b = burst_at(front, m->burst);

        time = b->time;
        seq = b->seq + b->count;
    }
    return m->time == time && m->seq == seq;
}

static void believe(struct kp_front *front, unsigned node, const struct kp_message *m)
{
    front->count.takeovers +=
        front->primary >= 0 && ((int)node != front->primary || m->from != front->process);
    front->view = m->view;
    front->primary = (int)node;
    front->process = m->from;
    front->follows = false;
    if (front->config.keepers > 1) {
        front->worded = false;
        front->node[node].asked = 0; /* at once: it does not know yet who is active */
    }
}

/* The primary is fed from where it is. */
static void follow(struct kp_front *front, const struct kp_message *m, uint64_t now)
{
    front->follows = true;
    if (!goes_on(front, m))
        begin(front, m, now);
    else if (front->unsure)
        kp_outputs_skip(&front->outputs, m->begins);
    front->executed = m->burst;
    front->sent = m->burst;
    front->missing = m->burst + 1;
    front->moved = front->outputs_moved = now;
    front->again = KP_AGAIN_NS;
    front->handed = 0;
    front->confirm = true;
    memset(front->early, 0, sizeof(front->early));
}

/* Who is believed: its next process is primary in that view, or it has been silent for long and this one has
 * the right to release. One that had been replaced, and does not know, has it not. */
static bool is_gone(const struct kp_front *front, unsigned node, const struct kp_message *m)
{
    return (front->unanswered >= KP_UNANSWERED && m->flags & KP_MAY) ||
           ((int)node == front->primary && m->view == front->view && m->from != front->process);
}

static void take_state(struct kp_front *front, unsigned node, const struct kp_message *m, uint64_t now)
{
    uint64_t upto = m->before;
    bool other = m->view > front->view || is_gone(front, node, m);

    front->node[node].view = m->view;
    if (m->view == 0)
        return;
    if (!other && (m->view < front->view || (int)node != front->primary)) {
        front->count.late_view++;
        return;
    }
    if (other)
        believe(front, node, m);
    front->unanswered = 0;
    if (front->config.keepers > 1 && !front->worded)
        return;
    if (!front->follows && !kp_front_may_leave(front, now)) /* another keeper may have the word by now */
        return;
    if (!front->follows)
        follow(front, m, now);
    if (m->burst >= front->next || m->burst < front->executed)
        return;
    front->executed = m->burst;
    if (front->sent < m->burst)
        front->sent = m->burst;
    if (m->missing > front->missing) {
        front->moved = now;
        front->again -= (front->again - KP_AGAIN_NS) / 2;
    }
    /* Less than before where the lane has dropped what was there. */
    front->missing = m->missing > front->sent ? front->sent + 1 : m->missing;
    if (front->missing <= m->burst)
        front->missing = m->burst + 1;
    front->handed = m->number;
    if (FT_PLANTED("confirms-too-early"))
        upto = front->sent;
    if (upto >= front->next)
        upto = front->next - 1;
    if (upto >= front->first)
        forget(front, upto);
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* The whole frame; NULL: its input is not there, or it is longer than a frame may be. */
static const uint8_t *whole_frame(struct kp_front *front, const struct kp_message *m)
{
    if (m->len > front->config.frame_max)
        return NULL;
    if (m->have == m->len)
        return m->frame;
    if (m->seq < front->seq_first || m->seq >= front->seq_next)
        return NULL;
    memcpy(front->whole, m->frame, m->have);
    return kp_complete(front->whole, m->have, m->len, bytes_at(front, m->seq), input_at(front, m->seq)->len)
               ? front->whole
               : NULL;
}

/* Its turn has come. False: the port does not take it now. */
static bool let_out(struct kp_front *front, const struct kp_message *m)
{
    const uint8_t *frame = whole_frame(front, m);

    if (frame && !front->config.leave(front->config.ctx, m->port, frame, m->len))
        return false;
    kp_outputs_leave(&front->outputs, m->number);
    if (!frame) {
        front->outputs.released--;
        front->outputs.lost++;
        front->count.incomplete++;
    }
    return true;
}

static uint8_t *early_bytes(const struct kp_front *front, uint64_t before)
{
    return front->early_bytes + (before & (KP_EARLY - 1)) * front->config.frame_max;
}

static void keep_early(struct kp_front *front, const struct kp_message *m)
{
    struct kp_early *e = &front->early[m->before & (KP_EARLY - 1)];
    uint32_t have = m->have <= front->config.frame_max ? m->have : 0; /* it will not leave */

    front->count.early++;
    if (e->number > front->outputs.left) /* this one, or another in its place */
        return;
    *e = (struct kp_early){.number = m->number,
                           .before = m->before,
                           .seq = m->seq,
                           .len = m->len,
                           .have = have,
                           .port = m->port};
    memcpy(early_bytes(front, m->before), m->frame, have);
}

/* Those whose turn has come by now. */
static void let_early_out(struct kp_front *front)
{
    for (;;) {
        uint64_t left = front->outputs.left;
        struct kp_early *e = &front->early[left & (KP_EARLY - 1)];
        const struct kp_message m = {.number = e->number,
                                     .seq = e->seq,
                                     .port = e->port,
                                     .len = (uint16_t)e->len,
                                     .frame = early_bytes(front, left),
                                     .have = e->have};

        if (e->number <= left || e->before != left || !let_out(front, &m))
            return;
        e->number = 0;
    }
}

static void take_output(struct kp_front *front, unsigned node, const struct kp_message *m, uint64_t now)
{
    enum kp_verdict verdict = kp_outputs_judge(&front->outputs, m->number, m->before);

    if (m->view != front->view || (int)node != front->primary || !front->follows) {
        front->count.late_view++;
        return;
    }
    if (verdict == KP_TOO_EARLY) {
        keep_early(front, m);
        return;
    }
    front->confirm = true;
    if (verdict == KP_HAS_LEFT) {
        const uint8_t *again = FT_PLANTED("forgets-index") ? whole_frame(front, m) : NULL;

        front->outputs.repeated++;
        if (again)
            (void)front->config.leave(front->config.ctx, m->port, again, m->len);
        return;
    }
    if (!let_out(front, m))
        return;
    let_early_out(front);
    front->outputs_moved = now;
}

/* ---- of two keepers -------------------------------------------------------------------------- */

static void say(struct kp_front *front, unsigned node, struct kp_message *m)
{
    m->from = front->config.incarnation;
    m->to = front->node[node].incarnation;
    m->serial = ++front->serial;
    m->view = front->view;
    if (m->kind == KP_ASK)
        m->begins = front->config.file;
    if (m->kind != KP_OWN)
        m->number = front->follows ? front->outputs.left : 0; /* else it is of another state, perhaps */
    front->config.send(front->config.ctx, node, m);
}

/* What is kept is lost, and the numbers are not known any more. */
static void forget_all(struct kp_front *front)
{
    if (FT_PLANTED("numbers-kept"))
        return;
    front->count.lost_inputs += front->seq_next - front->seq_first + front->open;
    front->open = 0;
    front->first = front->next;
    front->seq_first = front->seq_next;
    front->handed = front->outputs.left = 0;
    front->begun = front->follows = front->confirm = front->leaves = false;
    memset(front->early, 0, sizeof(front->early));
}

static void take_word(struct kp_front *front, const struct kp_message *m, uint64_t now)
{
    enum kp_word_change change = kp_word_take(&front->word, m, now);

    if (m->flags & KP_YOURS && front->word.holds == m->before && kp_word_runs(&front->word, now)) {
        front->worded = true;
        front->unsure = m->flags & KP_UNSURE && !FT_PLANTED("sure-for-nothing");
    }
    if (change != KP_SAME)
        forget_all(front);
    if (change == KP_LOST)
        front->worded = false;
    if (change == KP_GAINED) {
        front->count.gained++;
        front->config.incarnation += KP_PLACES;
        front->node[front->primary].asked = 0;
    }
    if (front->word.go)
        kp_front_move(front, now);
}

void kp_front_move(struct kp_front *front, uint64_t now)
{
    if (front->leaves || !front->word.holds)
        return;
    if (front->open)
        kp_front_cut(front, now);
    front->leaves = true;
    front->leaves_since = now;
}

/* Sent more than once: it may be lost. */
static void return_word(struct kp_front *front, uint64_t now)
{
    struct kp_message m = {.kind = KP_ASK};

    kp_word_return(&front->word, &m, now);
    for (unsigned i = 0; i < 3; i++)
        say(front, (unsigned)front->primary, &m);
    forget_all(front);
    front->leaves = front->worded = false;
}

/* ---- messages -------------------------------------------------------------------------------- */

static bool is_primary(const struct kp_front *front, unsigned node, const struct kp_message *m)
{
    return (int)node == front->primary && m->view == front->view && m->from == front->process;
}

bool kp_front_take(struct kp_front *front, unsigned node, const struct kp_message *m, uint64_t now)
{
    struct kp_node *peer = &front->node[node];

    if (m->to > front->config.incarnation) /* this process began by a clock that was put back */
        front->config.incarnation = m->to + KP_PLACES;
    if (m->to != front->config.incarnation || m->from < peer->incarnation || m->lane != 0)
        return false;
    if (m->from > peer->incarnation)
        *peer = (struct kp_node){.incarnation = m->from}; /* asked by its name at once */
    if (m->kind == KP_OWN && m->serial <= peer->own)
        return false;
    if (m->kind == KP_OWN)
        peer->own = m->serial;
    if (m->serial > peer->newest) {
        peer->newest = m->serial;
        peer->heard = now;
    }
    if (m->kind == KP_STATE && m->serial > peer->serial) {
        peer->serial = m->serial;
        take_state(front, node, m, now);
    } else if (m->kind == KP_OUTPUT) {
        take_output(front, node, m, now);
    } else if (m->kind == KP_WORD && is_primary(front, node, m)) {
        take_word(front, m, now);
    } else if (m->kind == KP_OWN && m->flags & KP_BY_PORT) {
        if (is_primary(front, node, m) && (kp_front_is_active(front) || FT_PLANTED("waiting-answers")))
            (void)front->config.leave(front->config.ctx, m->port, m->frame, m->len);
        return false;
    }
    return m->kind == KP_OWN;
}

void kp_front_pass_on(struct kp_front *front, unsigned from, const struct kp_message *m)
{
    for (unsigned n = 0; n < front->config.nodes; n++) {
        struct kp_message own = {
            .kind = KP_OWN, .port = m->port, .len = m->len, .frame = m->frame, .have = m->have};

        if (n != from && front->node[n].incarnation)
            say(front, n, &own);
    }
}

/* ---- what is due ----------------------------------------------------------------------------- */

static void send_burst(struct kp_front *front, uint64_t number)
{
    bool skips = FT_PLANTED("feeds-too-few") && front->count.takeovers;
    const struct kp_burst *b = burst_at(front, number + skips);

    for (uint32_t i = 0; i < b->count || i == 0; i++) {
        struct kp_message m = {.kind = KP_INPUT,
                               .index = (uint8_t)i,
                               .count = (uint8_t)b->count,
                               .burst = number,
                               .seq = b->seq + i,
                               .time = b->time};

        if (b->count) {
            const struct kp_input *in = input_at(front, m.seq);

            m.port = in->port;
            m.len = (uint16_t)in->len;
            m.have = in->len;
            m.frame = bytes_at(front, m.seq);
        }
        say(front, (unsigned)front->primary, &m);
    }
    front->confirm = false;
}

static void ask(struct kp_front *front, unsigned node, uint8_t flags)
{
    struct kp_message m = {.kind = KP_ASK, .flags = flags};

    say(front, node, &m);
}

/* The question that is asked all the time, for the word as well. */
static void ask_regularly(struct kp_front *front, unsigned node, uint64_t now)
{
    struct kp_message m = {.kind = KP_ASK};

    front->node[node].asked = now;
    front->unanswered += (int)node == front->primary;
    if (front->config.keepers > 1)
        kp_word_ask(&front->word, &m, !front->unfit && !front->leaves, front->faults, now);
    say(front, node, &m);
}

/* Nothing is kept, and nothing that was made is on its way, or waits for its port. */
static bool is_settled(const struct kp_front *front)
{
    return front->first == front->next && front->handed <= front->outputs.left && front->waiting == 0;
}

static void feed(struct kp_front *front, uint64_t now)
{
    bool idle = front->missing > front->sent; /* nothing is under way */
    uint64_t last = front->executed + KP_WINDOW;

    while (front->sent + 1 < front->next && front->sent < last)
        send_burst(front, ++front->sent);
    if (idle)
        front->moved = now;
    if (front->missing > front->sent || now - front->moved < front->again)
        return;
    last = front->missing + KP_AGAIN_MAX - 1;
    for (uint64_t b = front->missing; b <= front->sent && b <= last; b++, front->count.sent_again++)
        send_burst(front, b);
    front->moved = now;
    front->again = front->again < KP_SLOW_NS / 2 ? 2 * front->again : KP_SLOW_NS;
}

void kp_front_turn(struct kp_front *front, uint64_t now)
{
    bool again = front->handed > front->outputs.left && now - front->outputs_moved >= KP_AGAIN_NS;

    /* In front of the bursts, which may fill the node's socket. */
    for (unsigned n = 0; n < front->config.nodes; n++)
        if (now - front->node[n].asked >= KP_ASK_NS)
            ask_regularly(front, n, now);
    if (front->leaves && (is_settled(front) || now - front->leaves_since >= KP_MOVE_NS))
        return_word(front, now);
    if (front->follows) {
        feed(front, now);
        if (again || front->confirm)
            ask(front, (unsigned)front->primary, again ? KP_AGAIN : 0);
        if (again) {
            front->outputs_moved = now;
            front->count.asked_again++;
        }
        front->confirm = false;
    }
}
