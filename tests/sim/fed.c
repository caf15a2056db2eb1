/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle of seeds with an input keeper: what the keeper took reached the surviving log once and in order,
 * and of what a chain makes of that log each output left once, in order and whole, whatever died.
 *
 * It knows what hosts sent and got, and which records survive; of the keeper's own numbers only where they
 * began and how far they were when it died. A run of numbers is a stretch: it ends when the keeper dies, or
 * begins its numbers anew. What may be lost is told with each rule below, and nothing else may be.
 */
#include "tests/sim/keeper.h"

#include "logger/capture.h"

#include <string.h>

struct input {
    uint32_t len;
    uint8_t port;
    const uint8_t *frame;
};

struct left {
    uint32_t len;
    uint8_t port;
    uint64_t at;
    const uint8_t *frame;
};

/* The frames of one stretch, which grow. */
#define LIST(type)                                                                                           \
    struct {                                                                                                 \
        struct type *list;                                                                                   \
        uint64_t count, room;                                                                                \
    }

/* Whose state is fed in a stretch, since when. */
struct primary {
    const struct sim_history *history;
    uint64_t since;
    const struct primary *before;
};

struct stretch {
    const struct primary *primaries; /* the last one first */
    uint64_t view, begun;            /* begun: world ns */
    unsigned node;
    uint64_t burst, seq, outputs;  /* that it begins behind */
    uint64_t next_burst, next_seq; /* not confirmed when it ended */
    bool over, died;               /* died: with the keeper */
    LIST(input) taken;             /* from seq on */
    LIST(left) left;
    struct stretch *next;
};

/* What a chain makes of the surviving log, by number from 1. */
struct made {
    uint64_t burst, seq;
    uint32_t len, have;
    uint8_t port;
    const uint8_t *frame;
};

/* A lane that is live in a view. */
struct reign {
    unsigned node;
    const struct sim_history *history;
    uint64_t view, since;
    uint64_t snapshot; /* of a successor: the burst that it was resynced with */
    struct reign *next;
};

/* A successor was believed. */
struct change {
    uint64_t epoch, left, snapshot; /* outputs that had left */
    struct change *next;
};

static struct {
    struct stretch *first, **last, *latest;
    struct stretch *now[SIM_KEEPERS];
    struct reign *reigns;
    struct change *changes;
    LIST(made) made;
} fed;

#define ADD(to, value)                                                                                       \
    do {                                                                                                     \
        if ((to)->count == (to)->room) {                                                                     \
            uint64_t room_ = (to)->room ? 2 * (to)->room : 256;                                              \
            void *list_ = sim_alloc(room_ * sizeof((to)->list[0]));                                          \
            if ((to)->count)                                                                                 \
                memcpy(list_, (to)->list, (to)->count * sizeof((to)->list[0]));                              \
            (to)->list = list_;                                                                              \
            (to)->room = room_;                                                                              \
        }                                                                                                    \
        (to)->list[(to)->count++] = (value);                                                                 \
    } while (0)

static const uint8_t *keep(const uint8_t *frame, uint32_t len)
{
    uint8_t *copy = sim_alloc(len);

    memcpy(copy, frame, len);
    return copy;
}

/* A pair that splits, or forgets a view, has two states, and the keeper follows one of them. */
static bool is_excused(void)
{
    return sim.split || sim.count.forgotten;
}

/* ---- what happens --------------------------------------------------------------------------------- */

void sim_fed_begin(void)
{
    memset(&fed, 0, sizeof(fed));
    fed.last = &fed.first;
}

void sim_fed_lives(struct sim_node *n, uint64_t view)
{
    struct reign *r = fed.reigns;

    while (r && r->node != n->index)
        r = r->next;
    if (!n->history || (r && r->view == view && r->history == n->history))
        return;
    r = sim_alloc(sizeof(*r));
    *r = (struct reign){.node = n->index,
                        .view = view,
                        .history = n->history,
                        .since = sim.now,
                        .snapshot = n->history->parent ? n->snapshot : 0,
                        .next = fed.reigns};
    fed.reigns = r;
}

static const struct reign *reign_of(unsigned node, uint64_t view)
{
    for (const struct reign *r = fed.reigns; r; r = r->next)
        if (r->node == node && r->view == view)
            return r;
    sim_fail("keeper: %s says that it is primary in view %lu, and its lane never was", sim.node[node].name,
             view);
    return NULL;
}

/* Who was primary last is so yet. */
static bool reigns_yet(const struct stretch *s)
{
    const struct sim_node *n = &sim.node[s->node];

    return n->alive && n->history && sim_core(n)->view == s->view;
}

/*
 * Of the same state the keeper has all that a successor lacks; but for what came before this keeper, whose
 * predecessor is dead, or before a primary that it took for the present one when it began. A primary that had
 * been replaced is followed where the one in its place is gone.
 */
static bool may_begin_anew(const struct stretch *s, const struct reign *r, const struct kp_message *m)
{
    return s->primaries->history->epoch != r->history->epoch || is_excused() || m->burst < s->burst ||
           (r->view < s->view ? !reigns_yet(s) : r->since < s->begun);
}

static void add_primary(struct stretch *s, const struct reign *r)
{
    struct primary *p = sim_alloc(sizeof(*p));

    *p = (struct primary){.history = r->history, .since = sim.now, .before = s->primaries};
    s->primaries = p;
}

static void change_to(const struct reign *r, uint64_t left)
{
    struct change *c = sim_alloc(sizeof(*c));

    *c = (struct change){
        .epoch = r->history->epoch, .left = left, .snapshot = r->snapshot, .next = fed.changes};
    fed.changes = c;
}

static void add_stretch(unsigned k, struct stretch *s)
{
    *fed.last = s;
    fed.last = &s->next;
    fed.now[k] = fed.latest = s;
}

/* What it keeps is lost with it. */
static void end_stretch(struct stretch *s, const struct kp_front *front)
{
    s->over = s->died = true;
    s->next_burst = front->first;
    s->next_seq = front->seq_first;
}

/* The word of another keeper, or its life, has ended, whether it knows or not. */
static void end_others(unsigned k)
{
    for (unsigned other = 0; other < sim.plan.keepers; other++)
        if (other != k && fed.now[other] && !fed.now[other]->over)
            end_stretch(fed.now[other], sim_keeper_front(other));
}

void sim_fed_begins(unsigned k, unsigned node, const struct kp_message *m, const struct kp_front *before)
{
    const struct reign *r = reign_of(node, m->view);
    struct stretch *s = sim_alloc(sizeof(*s)), *now = fed.now[k];

    if (!r)
        return;
    if (now && !now->over && !may_begin_anew(now, r, m))
        sim_fail("keeper: %s goes on behind burst %lu, and the keeper, which has %lu to %lu, begins its "
                 "numbers anew",
                 sim.node[node].name, m->burst, before->first, before->next - 1);
    if (now && !now->over) {
        now->over = true;
        now->next_burst = before->first;
        now->next_seq = before->seq_first;
    }
    end_others(k);
    *s = (struct stretch){.node = node,
                          .view = m->view,
                          .begun = sim.now,
                          .burst = m->burst,
                          .seq = m->seq,
                          .outputs = m->begins};
    add_primary(s, r);
    change_to(r, m->begins);
    add_stretch(k, s);
    sim_tell(node, "is fed in view %lu, from burst %lu on, by keeper %u; outputs up to %lu have left",
             m->view, m->burst + 1, k, m->begins);
}

/* A lane without a past gets all that the keeper has taken since it began in front of another such. */
static void begin_with_all(unsigned k)
{
    struct stretch *s = sim_alloc(sizeof(*s));

    *s = *fed.now[k];
    s->primaries = NULL;
    s->begun = sim.now;
    s->left.count = s->left.room = 0;
    s->taken.room = s->taken.count;
    s->next = NULL;
    fed.now[k]->over = true;
    fed.now[k]->next_burst = fed.now[k]->next_seq = 1;
    add_stretch(k, s);
}

/* Another keeper may have been active since, of which nothing has survived: what may have left does not leave
 * by this one, which has the inputs behind those. */
static void go_back(unsigned k, const struct kp_message *m, const struct kp_front *before)
{
    struct stretch *s = sim_alloc(sizeof(*s)), *now = fed.now[k];

    end_others(k);
    if (!now->over)
        end_stretch(now, before);
    *s = *now;
    s->primaries = NULL;
    s->begun = sim.now;
    s->burst = m->burst;
    s->seq = m->seq;
    s->outputs = m->begins;
    s->over = s->died = false;
    s->left.count = s->left.room = 0;
    s->taken.list += m->seq - now->seq;
    s->taken.count -= m->seq - now->seq;
    s->taken.room = s->taken.count;
    s->next = NULL;
    add_stretch(k, s);
}

void sim_fed_goes_on(unsigned k, unsigned node, const struct kp_message *m, const struct kp_front *before,
                     const struct kp_front *front)
{
    const struct reign *r = reign_of(node, m->view);
    struct stretch *now = fed.now[k];

    if (!r)
        return;
    if (now != fed.latest || front->unsure) {
        go_back(k, m, before);
        add_primary(fed.now[k], r);
        now = fed.now[k];
    }
    now->view = m->view;
    now->node = node;
    if (r->history->epoch != now->primaries->history->epoch && m->burst == 0 && now->burst == 0)
        begin_with_all(k);
    else if (r->history->epoch != now->primaries->history->epoch && !is_excused())
        sim_fail("keeper: %s has another state in view %lu, and the keeper goes on", sim.node[node].name,
                 m->view);
    add_primary(fed.now[k], r);
    change_to(r, front->outputs.left);
    sim_tell(node, "is fed in view %lu, from burst %lu on, by keeper %u that has %lu to %lu", m->view,
             m->burst + 1, k, front->first, front->next - 1);
}

void sim_fed_dies(unsigned k, const struct kp_front *front)
{
    if (fed.now[k] && !fed.now[k]->over)
        end_stretch(fed.now[k], front);
    fed.now[k] = NULL;
}

void sim_fed_took(unsigned k, uint8_t port, const uint8_t *frame, uint32_t len)
{
    const struct input in = {.len = len, .port = port, .frame = keep(frame, len)};

    ADD(&fed.now[k]->taken, in);
}

void sim_fed_words(void)
{
    for (unsigned k = 1; k < sim.plan.keepers && !is_excused(); k++)
        if (sim_keeper_may_leave(k) && sim_keeper_may_leave(k - 1))
            sim_fail("keeper: outputs may leave by keeper %u, and by keeper %u", k - 1, k);
}

void sim_fed_left(unsigned k, unsigned port, const uint8_t *frame, uint32_t len)
{
    const struct left l = {.len = len, .port = (uint8_t)port, .at = sim.now, .frame = keep(frame, len)};

    sim_fed_words();
    if (fed.now[k] != fed.latest && !is_excused())
        sim_fail("keeper: an output leaves by keeper %u, and another one feeds already", k);
    ADD(&fed.now[k]->left, l);
}

void sim_fed_makes(uint64_t burst, uint64_t seq, const uint8_t *frame, uint32_t have, uint32_t len,
                   unsigned port)
{
    const struct made m = {.burst = burst,
                           .seq = seq,
                           .len = len,
                           .have = have,
                           .port = (uint8_t)port,
                           .frame = keep(frame, have)};

    ADD(&fed.made, m);
}

/* ---- inputs --------------------------------------------------------------------------------------- */

/* The stretch's primary made a part of that history: not beside it, as one that had been replaced. */
static bool is_of(const struct stretch *s, const struct sim_history *h)
{
    for (uint64_t until = SIM_NEVER; h; until = h->since, h = h->parent)
        for (const struct primary *p = s->primaries; p; p = p->before)
            if (p->history == h && p->since <= until)
                return true;
    return false;
}

/* The last one of that state which may have cut the burst. */
static const struct stretch *stretch_of(const struct sim_history *h, uint64_t burst)
{
    const struct stretch *last = NULL;

    for (const struct stretch *s = fed.first; s; s = s->next)
        if (is_of(s, h) && s->burst < burst)
            last = s;
    return last;
}

static const struct input *input_of(const struct sim_history *h, uint64_t burst, uint64_t seq)
{
    const struct stretch *s = stretch_of(h, burst);

    return s && seq >= s->seq && seq - s->seq < s->taken.count ? &s->taken.list[seq - s->seq] : NULL;
}

static void compare_inputs(const struct sim_history *h, const struct ft_record *record)
{
    struct lg_cursor cursor = {.record = record};
    uint64_t seq = record->seq;
    const struct ft_input *in;
    uint8_t *bytes;

    for (; (in = lg_cursor_input(&cursor, &bytes)) && !sim.failed[0]; seq++) {
        const struct input *taken = input_of(h, record->burst, seq);

        if (!taken || taken->len != in->wire || taken->port != in->port ||
            memcmp(taken->frame, bytes, in->taken) != 0)
            sim_fail("keeper: input %lu of the surviving log, in burst %lu, is not the one that the keeper "
                     "took",
                     seq, record->burst);
    }
}

/* Inputs that a keeper held as confirmed are in the state that goes on. */
static void look_for_confirmed(const struct sim_history *h)
{
    for (const struct stretch *s = fed.first; s; s = s->next)
        for (const struct stretch *t = s->next; t && is_of(s, h) && s->over; t = t->next)
            if (is_of(t, h) && t->seq < s->next_seq && s->seq < s->next_seq)
                sim_fail("keeper: inputs up to %lu were forgotten, and a state goes on that has those up to "
                         "%lu",
                         s->next_seq - 1, t->seq - 1);
}

/* ---- outputs -------------------------------------------------------------------------------------- */

/*
 * An output need not leave when the keeper died that had its burst, or when a successor was resynced behind
 * its burst before the output had left: it has the state, and no frames (docs/keeper.md).
 */
static bool may_be_lost(const struct sim_history *h, uint64_t number, uint64_t burst)
{
    for (const struct change *c = fed.changes; c; c = c->next)
        if (c->epoch == h->epoch && number > c->left && burst <= c->snapshot)
            return true;
    for (const struct stretch *s = fed.first; s; s = s->next) {
        const struct stretch *next = s->next;

        while (next && !is_of(next, h))
            next = next->next;
        if (is_of(s, h) && s->died && burst >= s->next_burst && (!next || burst <= next->burst))
            return true;
    }
    return false;
}

static bool is_output(const struct sim_history *h, const struct left *l, const struct made *m)
{
    const struct input *in = m->seq ? input_of(h, m->burst, m->seq) : NULL;
    uint32_t rest = m->len > m->have ? m->len - m->have : 0;

    if (l->len != m->len || l->port != m->port || memcmp(l->frame, m->frame, m->len - rest) != 0)
        return false;
    return rest == 0 ||
           (in && in->len >= rest && memcmp(l->frame + m->have, in->frame + in->len - rest, rest) == 0);
}

/* From *at, the number of the last one that left or was lost; false: what left is none of the next ones. */
static bool find_output(const struct sim_history *h, const struct left *l, uint64_t *at)
{
    for (; *at < fed.made.count; ++*at) {
        const struct made *m = &fed.made.list[*at];

        if (is_output(h, l, m)) {
            ++*at;
            return true;
        }
        if (!may_be_lost(h, *at + 1, m->burst))
            return false;
    }
    return false;
}

static void compare_outputs(const struct sim_history *h, bool died)
{
    uint64_t at = 0, left = 0;

    for (const struct stretch *s = fed.first; s; s = s->next)
        for (uint64_t i = 0; is_of(s, h) && i < s->left.count; i++, left++) {
            uint64_t from = at;

            if (find_output(h, &s->left.list[i], &at))
                continue;
            sim_fail("keeper: what left at %.3f ms, of %u bytes, is not output %lu of the surviving log%s",
                     (double)s->left.list[i].at / 1e6, s->left.list[i].len, from + 1,
                     from == fed.made.count ? ", which has no more" : ", nor one behind it");
            return;
        }
    for (; at < fed.made.count && !died && !sim.failed[0]; at++)
        if (!may_be_lost(h, at + 1, fed.made.list[at].burst))
            sim_fail("keeper: output %lu of the surviving log, of burst %lu, never left", at + 1,
                     fed.made.list[at].burst);
    if (!sim.failed[0])
        sim_tell(SIM_NOBODY, "of %lu outputs of epoch %lu %lu left, each once", fed.made.count, h->epoch,
                 left);
}

bool sim_fed_rests(void)
{
    for (unsigned k = 0; k < sim.plan.keepers; k++) {
        const struct kp_front *f = sim_keeper_front(k);

        if (f->begun && fed.now[k] == fed.latest)
            return f->seq_next - fed.latest->seq == fed.latest->taken.count;
    }
    return false;
}

/* `died`: nobody holds that state any more. */
void sim_fed_judge(const struct sim_history *h, bool died)
{
    const struct stretch *last = NULL;
    uint64_t inputs = 1;

    if (!is_excused() && !sim.failed[0]) {
        look_for_confirmed(h);
        for (uint64_t b = 0; b < h->lane[0].count; b++) {
            const struct ft_record *record = h->lane[0].list[b];

            inputs = record->seq + record->inputs;
            compare_inputs(h, record);
        }
        last = stretch_of(h, UINT64_MAX);
        if (!died && last && last->seq + last->taken.count != inputs)
            sim_fail("keeper: it took inputs up to %lu, and the surviving log has those up to %lu",
                     last->seq + last->taken.count - 1, inputs - 1);
        compare_outputs(h, died);
    }
    fed.made.count = 0;
}
