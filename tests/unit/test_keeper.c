/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a keeper against a plain model: a chain that passes, drops and makes packets by the sequence
 * number of the input alone, and a network that loses, doubles and reorders datagrams. Nodes die and come
 * back, one at a time: every output of the model leaves once, in order, with the model's bytes. Bugs that are
 * planted in the keeper's end are each found.
 */
#include "tests/help/test.h"

#define UNDERSTUDY_PLANT
#include "keeper/front.c"

#include "ftcore/base/draw.h"
#include "keeper/port.h"

#include <sys/wait.h>

#define NODES   2u
#define QUEUE   4096u
#define FRAME   200u
#define INPUTS  100000u
#define BURSTS  100000u
#define STEP_NS 50000u

/* ---- the model ------------------------------------------------------------------------------- */

static uint32_t write_input(uint8_t *frame, uint64_t id)
{
    uint32_t len = 60 + (uint32_t)(id * 7919 % 120);

    for (uint32_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(id * 31 + i * 7);
    memcpy(frame + 14, &id, 8);
    return len;
}

static bool passes(uint64_t seq)
{
    return seq % 7 != 3;
}

static bool makes(uint64_t seq)
{
    return seq % 11 == 5;
}

/* What the chain makes of the input's headers. */
static void translate(uint8_t *frame)
{
    for (unsigned i = 0; i < 12; i++)
        frame[i] ^= 0x5a;
}

static uint32_t write_made(uint8_t *frame, uint64_t seq)
{
    memset(frame, 0xee, 64);
    memcpy(frame + 14, &seq, 8);
    return 64;
}

/* ---- the world ------------------------------------------------------------------------------- */

struct datagram {
    bool to_keeper;
    unsigned node;
    uint32_t len;
    uint8_t bytes[KP_HEAD_BYTES + FRAME];
};

struct buffer {
    uint8_t bytes[FRAME];
};

struct node {
    struct world *world;
    unsigned number;
    struct kp_port port;
    bool alive, live, ready;
    struct kp_progress at;
    uint64_t hold_in, hold_out;
    struct kp_output hold[8192];
    uint64_t waits; /* steps until a dead one is back, or one that is back is ready */
};

struct world {
    uint64_t random, now, incarnation;
    unsigned loss; /* of 1000 */
    struct kp_front front;
    struct kp_keys keys;
    struct node node[NODES];
    struct datagram queue[QUEUE];
    unsigned queued;
    uint64_t view, primary;
    /* The log: what each burst was, and how many outputs had left when its record was made. */
    struct record {
        uint64_t seq, time, released;
        uint32_t count;
    } record[BURSTS];
    uint64_t stable; /* last burst that the standby has */
    uint64_t released;
    long buffers; /* in use */
    /* The inputs as they were given, and what left. */
    uint64_t id[INPUTS]; /* by sequence number */
    uint64_t next_id;
    uint64_t leaves_seq; /* the model: where the next output comes from */
    bool leaves_made;
    uint64_t left, wrong, kills;
    bool quiet, shut; /* no more faults; the port takes nothing now and then */
    bool gaps;        /* outputs may be missing: a keeper has died */
    uint64_t last_seq;
};

static unsigned roll(struct world *w, unsigned n)
{
    return (unsigned)(ft_draw(&w->random) % n);
}

static void post(struct world *w, bool to_keeper, unsigned node, const struct kp_message *m)
{
    for (unsigned copies = w->quiet                  ? 1
                           : roll(w, 1000) < w->loss ? 0
                           : roll(w, 50)             ? 1
                                                     : 2;
         copies > 0; copies--) {
        struct datagram *d = &w->queue[w->queued];

        if (w->queued == QUEUE)
            return;
        w->queued++;
        d->to_keeper = to_keeper;
        d->node = node;
        d->len = (uint32_t)kp_encode(m, &w->keys, d->bytes);
    }
}

static void send_to_node(void *ctx, unsigned node, const struct kp_message *m)
{
    post(ctx, false, node, m);
}

static void send_to_keeper(void *ctx, unsigned keeper, const struct kp_message *m)
{
    const struct node *n = ctx;

    post(n->world, true, n->number, m);
}

static const uint8_t *bytes_of(void *ctx, void *owner)
{
    return owner;
}

static void drop(void *ctx, void *owner)
{
    ((struct node *)ctx)->world->buffers--;
    free(owner);
}

static uint8_t *new_buffer(struct world *w)
{
    w->buffers++;
    return calloc(1, FRAME);
}

/* The next output of the model, as it has to be. */
static bool model_next(struct world *w, uint8_t *frame, uint32_t *len)
{
    for (; w->leaves_seq < INPUTS; w->leaves_seq++, w->leaves_made = false) {
        if (!w->leaves_made) {
            w->leaves_made = true;
            if (passes(w->leaves_seq)) {
                *len = write_input(frame, w->id[w->leaves_seq]);
                translate(frame);
                return true;
            }
        }
        if (makes(w->leaves_seq)) {
            *len = write_made(frame, w->leaves_seq);
            w->leaves_seq++;
            w->leaves_made = false;
            return true;
        }
    }
    return false;
}

static bool leave(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    struct world *w = ctx;
    uint8_t expected[FRAME];
    uint32_t wanted = 0;

    if (w->shut && roll(w, 20) == 0)
        return false;
    w->left++;
    do {
        if (!model_next(w, expected, &wanted)) {
            w->wrong++;
            break;
        }
    } while (w->gaps && (len != wanted || memcmp(frame, expected, len) != 0));
    w->wrong += len != wanted || memcmp(frame, expected, len) != 0;
    return true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void open_port(struct world *w, unsigned n)
{
    struct node *node = &w->node[n];

    *node = (struct node){
        .world = w,
        .number = n,
        .alive = true,
        .port = {.ctx = node, .ports = 2, .send = send_to_keeper, .bytes = bytes_of, .drop = drop}};
    assert_int_equal(kp_port_open(&node->port, ++w->incarnation), 0);
}

static void put_held(struct node *n, uint8_t *buffer, uint64_t burst, uint64_t seq, uint32_t len,
                     uint32_t have)
{
    n->hold[n->hold_in++ % 8192] = (struct kp_output){
        .number = ++n->at.outputs, .burst = burst, .seq = seq, .owner = buffer, .len = len, .have = have};
}

/* The burst through the chain; outputs up to `upto` are known to have left. */
static void execute(struct node *n, uint64_t burst, const struct kp_frame *frames, uint64_t upto, bool heads)
{
    struct world *w = n->world;
    const struct record *r = &w->record[burst];

    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t seq = r->seq + i;
        uint8_t *buffer = frames ? frames[i].owner : new_buffer(w);
        uint32_t len = frames ? frames[i].len : write_input(buffer, w->id[seq]), whole = len;

        if (passes(seq)) {
            translate(buffer);
            if (heads) { /* a standby has headers only */
                len = 34;
                memset(buffer + len, 0, FRAME - len);
            }
            put_held(n, buffer, burst, seq, whole, len);
        } else {
            drop(n, buffer);
        }
        if (makes(seq)) {
            uint8_t *made = new_buffer(w);
            uint32_t bytes = write_made(made, seq);

            put_held(n, made, burst, 0, bytes, bytes);
        }
    }
    while (n->hold_out < n->hold_in && n->hold[n->hold_out % 8192].number <= upto)
        drop(n, n->hold[n->hold_out++ % 8192].owner);
    n->at.burst = burst;
    n->at.seq = r->seq + r->count;
    n->at.time = r->time;
}

static void run_live(struct world *w, struct node *n)
{
    const struct kp_slot *slot;
    const struct kp_output *front;
    bool solo = !w->node[!n->number].ready;
    uint64_t stable = solo ? UINT64_MAX : w->stable;

    while (n->hold_in - n->hold_out < 900 && n->at.burst - (solo ? n->at.burst : stable) < 100 &&
           roll(w, 8) && (slot = kp_port_give(&n->port))) {
        uint64_t burst = n->at.burst + 1;

        w->wrong += slot->seq != n->at.seq || slot->time < n->at.time;
        w->record[burst] = (struct record){slot->seq, slot->time, w->released, slot->count};
        for (uint32_t i = 0; i < slot->count; i++) {
            uint8_t expected[FRAME];
            uint32_t len = write_input(expected, w->id[slot->seq + i]);

            w->wrong += len != slot->frame[i].len || memcmp(expected, slot->frame[i].owner, len) != 0;
        }
        execute(n, burst, slot->frame, 0, false);
    }
    while (n->hold_out < n->hold_in && (front = &n->hold[n->hold_out % 8192])->burst <= stable &&
           kp_port_hand(&n->port, front))
        n->hold_out++;
    n->at.settled = n->hold_out < n->hold_in ? n->hold[n->hold_out % 8192].burst - 1 : n->at.burst;
    if (n->at.settled > stable)
        n->at.settled = stable;
    w->released = n->at.outputs - (n->hold_in - n->hold_out) - kp_port_tell(&n->port, &n->at);
}

static void drop_held(struct node *n)
{
    while (n->hold_out < n->hold_in)
        drop(n, n->hold[n->hold_out++ % 8192].owner);
}

static void kill_node(struct world *w, struct node *n)
{
    drop_held(n);
    kp_port_close(&n->port);
    n->alive = n->live = n->ready = false;
    n->waits = 20 + roll(w, 200);
    w->kills++;
}

/* The standby has bursts up to `stable`, and of the last record how many outputs had left. */
static void take_over(struct world *w, struct node *n)
{
    uint64_t from = w->stable, released = w->record[w->stable].released;

    n->at = (struct kp_progress){.seq = 1};
    n->hold_in = n->hold_out = 0;
    for (uint64_t b = 1; b <= from; b++)
        execute(n, b, NULL, released, true);
    n->live = true;
    n->ready = false;
    kp_port_begin(&n->port, ++w->view, &n->at, w->now);
    w->primary = n->number;
    w->released = released;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void deliver(struct world *w)
{
    for (unsigned i = w->queued / 2 + 1; i > 0 && w->queued > 0; i--) {
        unsigned at = roll(w, 10) ? 0 : roll(w, w->queued < 8 ? w->queued : 8);
        struct datagram d = w->queue[at];
        struct kp_message m;

        memmove(&w->queue[at], &w->queue[at + 1], (--w->queued - at) * sizeof(d));
        assert_int_equal(kp_decode(d.bytes, d.len, &w->keys, &m), 0);
        if (d.to_keeper) {
            if (w->front.burst)
                kp_front_take(&w->front, d.node, &m, w->now);
        } else if (w->node[d.node].alive) {
            uint8_t *buffer = new_buffer(w);

            memcpy(buffer, m.frame, m.have);
            if (kp_port_take(&w->node[d.node].port, 0, &m, buffer, w->now) != KP_KEPT)
                drop(&w->node[d.node], buffer);
        }
    }
}

static void feed_inputs(struct world *w)
{
    uint32_t n = roll(w, 3) ? roll(w, 6) : roll(w, KP_BURST + 1);

    if (!kp_front_has_room(&w->front))
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t frame[FRAME];
        uint64_t seq = w->front.seq_next + w->front.open;

        if (seq >= INPUTS - 1 || w->front.next >= BURSTS - 1)
            return;
        w->id[seq] = ++w->next_id;
        kp_front_add(&w->front, (uint8_t)(seq % 2), frame, write_input(frame, w->next_id));
    }
    kp_front_cut(&w->front, w->now);
}

static void turn_nodes(struct world *w, bool faults)
{
    struct node *p = &w->node[w->primary], *s = &w->node[!w->primary];

    for (unsigned n = 0; n < NODES; n++) {
        struct node *node = &w->node[n];

        if (!node->alive && node->waits-- == 0)
            open_port(w, n), node->waits = 20 + roll(w, 100);
        else if (node->alive && !node->live && !node->ready && node->waits-- == 0) {
            node->ready = true; /* a snapshot of all that the primary has executed */
            w->stable = p->at.burst;
            w->record[w->stable].released = w->released;
        }
        if (node->alive && !node->live)
            kp_port_answer(&node->port);
    }
    run_live(w, p);
    if (s->ready && w->stable < p->at.burst && roll(w, 3))
        w->stable += 1 + roll(w, (unsigned)(p->at.burst - w->stable));
    if (!faults || !s->ready)
        return;
    if (roll(w, 300) == 0) {
        kill_node(w, p);
        take_over(w, s);
    } else if (roll(w, 300) == 0) {
        kill_node(w, s);
    }
}

static void open_front(struct world *w)
{
    const struct kp_front_config config = {.inputs = 2048,
                                           .bursts = 1024,
                                           .frame_max = FRAME,
                                           .nodes = NODES,
                                           .incarnation = ++w->incarnation,
                                           .ctx = w,
                                           .send = send_to_node,
                                           .leave = leave};

    assert_int_equal(kp_front_open(&w->front, &config), 0);
}

static struct world *make_world(uint64_t seed, unsigned loss)
{
    struct world *w = calloc(1, sizeof(*w));

    w->random = seed;
    w->loss = loss;
    w->now = 1000000000;
    w->leaves_seq = 1;
    w->shut = true;
    kp_keys_add(&w->keys, (const uint8_t *)"a secret of the pair's, which is long enough", 32);
    open_front(w);
    for (unsigned n = 0; n < NODES; n++)
        open_port(w, n);
    w->node[0].live = true;
    w->node[1].waits = 5;
    w->node[0].at.seq = 1;
    kp_port_begin(&w->node[0].port, ++w->view, &w->node[0].at, w->now);
    return w;
}

static void turn(struct world *w, bool inputs, bool faults)
{
    w->now += 1 + roll(w, STEP_NS);
    if (inputs)
        feed_inputs(w);
    kp_front_turn(&w->front, w->now);
    deliver(w);
    turn_nodes(w, faults);
}

/* All inputs are settled, nothing is on its way. */
static bool is_over(const struct world *w)
{
    return w->front.first == w->front.next && w->front.handed <= w->front.outputs.left;
}

/* How many buffers nobody has given back. */
static long free_world(struct world *w)
{
    long buffers;

    for (unsigned n = 0; n < NODES; n++)
        if (w->node[n].alive) {
            drop_held(&w->node[n]);
            kp_port_close(&w->node[n].port);
        }
    kp_front_close(&w->front);
    buffers = w->buffers;
    free(w);
    return buffers;
}

/* What is wrong with it: "" or a text. */
static const char *run_world(uint64_t seed, unsigned loss, unsigned steps)
{
    static char text[256];
    struct world *w = make_world(seed, loss);
    uint8_t frame[FRAME];
    uint32_t len;
    uint64_t expected;

    for (unsigned i = 0; i < steps; i++)
        turn(w, true, true);
    w->quiet = true;
    w->shut = false;
    for (unsigned i = 0; i < 4000 && !(is_over(w) && i > 500); i++)
        turn(w, false, false);
    expected = w->front.seq_next;
    text[0] = '\0';
    if (w->wrong)
        snprintf(text, sizeof(text), "%lu outputs are not the model's next", w->wrong);
    else if (!is_over(w))
        snprintf(text, sizeof(text), "bursts %lu to %lu are not settled, the primary has executed %lu",
                 w->front.first, w->front.next, w->node[w->primary].at.burst);
    else if (model_next(w, frame, &len) && w->leaves_seq < expected)
        snprintf(text, sizeof(text), "an output of input %lu has not left", w->leaves_seq);
    else if (w->front.outputs.lost || w->front.count.begun != 1 || w->front.count.incomplete)
        snprintf(text, sizeof(text), "%lu outputs lost, begun %lu times", w->front.outputs.lost,
                 w->front.count.begun);
    else if (w->left < steps / 4 || w->kills == 0)
        snprintf(text, sizeof(text), "the world did nothing: %lu left, %lu kills", w->left, w->kills);
    if (free_world(w) != 0 && !text[0])
        snprintf(text, sizeof(text), "buffers are missing");
    return text;
}

/* The first one: this process has not asked its environment yet. */
static void planted_bugs_are_found(void **state);
TEST_LIST(planted_bugs_first, "planted_bugs_are_found", planted_bugs_are_found, NULL, NULL, NULL)

TEST(everything_leaves_once_and_in_order)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        const char *wrong = run_world(seed, seed % 3 == 0 ? 0 : seed % 3 == 1 ? 20 : 150, 1500);

        if (wrong[0])
            fail_msg("seed %lu: %s", seed, wrong);
    }
}

/* Keepers die, too: outputs may be missing, none is twice or out of order, and each keeper goes on where the
 * primary is. */
TEST(a_keeper_that_comes_back_lets_nothing_leave_twice)
{
    uint64_t left = 0, kills = 0;

    for (uint64_t seed = 100; seed < 110; seed++) {
        struct world *w = make_world(seed, 20);

        w->gaps = true;
        for (unsigned i = 0; i < 3000; i++) {
            turn(w, true, i % 300 < 250);
            if (i % 300 != 250)
                continue;
            kp_front_close(&w->front);
            open_front(w);
        }
        for (unsigned i = 0; i < 4000 && !(is_over(w) && i > 500); i++)
            turn(w, false, false);
        assert_int_equal(w->wrong, 0);
        assert_true(is_over(w));
        assert_int_equal(w->front.count.begun, 1);
        left += w->left;
        kills += w->kills;
        assert_int_equal(free_world(w), 0);
    }
    assert_true(left > 2000 && kills > 10);
}

static void say_nothing(void *ctx, unsigned keeper, const struct kp_message *m) {}

static void count_drop(void *ctx, void *owner)
{
    ++*(unsigned *)ctx;
}

/* Messages that share a datagram come out as they went in, as many as fit; no other kind, view or process is
 * among them. Cut short or altered, it is refused. */
TEST(messages_share_a_datagram)
{
    static uint8_t key[32] = {7}, datagram[KP_HEAD_BYTES + 2048], copy[sizeof(datagram)], frames[20][100];
    struct kp_keys keys = {.count = 0};
    struct kp_message m = {.kind = KP_INPUT,
                           .from = 5,
                           .to = 9,
                           .serial = 3,
                           .view = 2,
                           .len = 100,
                           .have = 100,
                           .burst = 8,
                           .count = 20,
                           .seq = 40,
                           .time = 77,
                           .number = 6};
    struct kp_message other, got;
    size_t len = 0, room = 1600;
    unsigned n = 0, out = 1;

    kp_keys_add(&keys, key, sizeof(key));
    for (; n < 20; n++) {
        memset(frames[n], (int)n + 1, sizeof(frames[n]));
        m.frame = frames[n];
        m.index = (uint8_t)n;
        m.port = n % 2;
        if (n == 0)
            len = kp_begin(&m, datagram);
        else if (!kp_add(&m, datagram, &len, room))
            break;
        m.seq++;
    }
    assert_int_equal(n, 1 + (room - KP_HEAD_BYTES - 100) / (KP_PART_BYTES + 100)); /* as many as fit */
    room = sizeof(datagram);
    other = m;
    other.view++;
    assert_false(kp_add(&other, datagram, &len, room));
    other = m;
    other.to++;
    assert_false(kp_add(&other, datagram, &len, room));
    other = m;
    other.kind = KP_OUTPUT;
    assert_false(kp_add(&other, datagram, &len, room));
    other = (struct kp_message){.kind = KP_ASK, .from = 5, .to = 9, .view = 2};
    assert_false(kp_add(&other, datagram, &len, room));
    kp_sign(datagram, len, &keys);

    memcpy(copy, datagram, len);
    assert_int_equal(kp_decode(copy, len, &keys, &got), 0);
    assert_int_equal(got.have, 100);
    do {
        assert_int_equal(got.index, out - 1);
        assert_int_equal(got.port, (out - 1) % 2);
        assert_true(got.from == 5 && got.to == 9 && got.view == 2 && got.burst == 8 && got.time == 77);
        assert_true(got.number == 6 && got.seq == 39 + out && got.count == 20 && got.len == 100);
        assert_memory_equal(got.frame, frames[out - 1], 100);
    } while (kp_next(&got) && ++out);
    assert_int_equal(out, n);
    for (size_t cut = KP_HEAD_BYTES; cut < len; cut++) { /* signed by who has the key, and malformed */
        memcpy(copy, datagram, cut);
        kp_sign(copy, cut, &keys);
        if (kp_decode(copy, cut, &keys, &got) != 0)
            continue;
        for (out = 1; kp_next(&got); out++)
            assert_true(got.frame + got.have <= copy + cut);
        assert_true(out < n);
    }
    memcpy(copy, datagram, len);
    copy[len - 1] ^= 1;
    assert_int_equal(kp_decode(copy, len, &keys, &got), FT_EPERM);
}

/* A burst is given under the numbers that the lane goes on with, or not at all. */
TEST(a_burst_of_other_numbers_is_not_given)
{
    const struct kp_progress at = {.burst = 7, .seq = 40, .time = 1000};
    struct kp_message m = {.kind = KP_INPUT,
                           .from = 5,
                           .to = 9,
                           .view = 3,
                           .len = 60,
                           .have = 60,
                           .burst = 8,
                           .count = 2,
                           .seq = 41,
                           .time = 1100};
    unsigned drops = 0;
    struct kp_port port = {
        .ctx = &drops, .ports = 2, .send = say_nothing, .bytes = bytes_of, .drop = count_drop};
    const struct kp_slot *slot;
    char frame[2];

    assert_int_equal(kp_port_open(&port, 9), 0);
    kp_port_begin(&port, 3, &at, 0);
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[0], 0), KP_KEPT); /* it begins at 41 */
    m.index = 1;
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[1], 0), KP_DONE); /* at 40 */
    assert_int_equal(port.refused, 1);
    m.seq = 42;
    m.time++;
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[1], 0), KP_DONE); /* another time */
    assert_int_equal(port.refused, 2);
    m.time--;
    assert_int_equal(kp_port_take(&port, 0, &m, &frame[1], 0), KP_KEPT);
    assert_null(kp_port_give(&port));
    assert_true(port.refused == 3 && drops == 2 && port.missing == 8);
    for (m.index = 0; m.index < 2; m.index++) { /* it comes again, and rightly */
        m.seq = 40 + m.index;
        assert_int_equal(kp_port_take(&port, 0, &m, &frame[m.index], 0), KP_KEPT);
    }
    assert_true((slot = kp_port_give(&port)) && slot->seq == 40);
    assert_int_equal(port.seq, 42);
    kp_port_close(&port);
}

/* ---- one end at a time ----------------------------------------------------------------------- */

static unsigned asked[NODES], fed[NODES]; /* what the keeper sent */

static void count_said(void *ctx, unsigned node, const struct kp_message *m)
{
    asked[node] += m->kind == KP_ASK;
    fed[node] += m->kind == KP_INPUT;
}

static bool leave_nowhere(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    return true;
}

#define KEEPER 77u /* its incarnation */
#define MS     1000000u

static void open_alone(struct kp_front *front)
{
    const struct kp_front_config config = {.inputs = 2048,
                                           .bursts = 1024,
                                           .frame_max = FRAME,
                                           .nodes = NODES,
                                           .incarnation = KEEPER,
                                           .send = count_said,
                                           .leave = leave_nowhere};

    assert_int_equal(kp_front_open(front, &config), 0);
    memset(asked, 0, sizeof(asked));
    memset(fed, 0, sizeof(fed));
}

/* A node's process says that it is primary in `view`, behind burst `burst` without inputs; its `right`. */
static uint8_t right = KP_MAY;
static void says_primary(struct kp_front *front, unsigned node, uint64_t process, uint64_t view,
                         uint64_t burst, uint64_t now)
{
    static uint64_t serial;

    kp_front_take(front, node,
                  &(struct kp_message){.kind = KP_STATE,
                                       .from = process,
                                       .to = front->config.incarnation,
                                       .serial = ++serial,
                                       .view = view,
                                       .flags = right,
                                       .burst = burst,
                                       .seq = 1,
                                       .missing = burst + 1},
                  now);
}

/* Bursts that nobody answers are sent again and again; a process that begins in the primary's place is
 * asked all the same, and does not speak before. */
TEST(a_node_that_is_fed_is_asked_as_well)
{
    struct kp_front front;

    open_alone(&front);
    says_primary(&front, 0, 10, 1, 0, MS);
    for (unsigned i = 0; i < 300; i++)
        kp_front_cut(&front, MS);
    for (uint64_t now = MS; now < 101 * MS; now += MS / 2)
        kp_front_turn(&front, now);
    assert_true(fed[0] > 400);
    assert_true(asked[0] >= 19 && asked[0] <= 21 && asked[1] >= 19 && asked[1] <= 21);
    kp_front_close(&front);
}

/* Each ms until then node 0 says that it is primary in view 1. */
static void hears_view_1(struct kp_front *front, uint64_t *now, uint64_t until)
{
    for (; *now < until; *now += MS) {
        kp_front_turn(front, *now);
        says_primary(front, 0, 20, 1, 0, *now);
    }
}

/* Nodes have forgotten view 2, or its machine is lost; not before the one of view 1 has the right to release.
 */
TEST(a_lower_view_is_believed_after_a_long_silence)
{
    struct kp_front front;
    uint64_t now = MS;

    open_alone(&front);
    says_primary(&front, 1, 10, 2, 0, now);
    hears_view_1(&front, &now, 990 * MS);
    says_primary(&front, 1, 10, 2, 0, now); /* there it is */
    hears_view_1(&front, &now, 1980 * MS);
    assert_int_equal(front.primary, 1);
    right = 0;
    hears_view_1(&front, &now, 3000 * MS);
    assert_int_equal(front.primary, 1);
    right = KP_MAY;
    hears_view_1(&front, &now, 3002 * MS);
    assert_true(front.primary == 0 && front.view == 1);
    kp_front_close(&front);
}

/* A keeper that slept itself has asked nobody meanwhile. */
TEST(its_own_sleep_is_nobodys_silence)
{
    struct kp_front front;

    open_alone(&front);
    says_primary(&front, 1, 10, 2, 0, MS);
    kp_front_turn(&front, 2 * MS);
    kp_front_turn(&front, 5000ull * MS);
    says_primary(&front, 0, 20, 1, 0, 5000ull * MS);
    assert_int_equal(front.primary, 1);
    kp_front_close(&front);
}

/* Both nodes were empty, and the view that one of them had not stored begins once more. */
TEST(the_next_process_begins_the_same_view_anew)
{
    struct kp_front front;

    open_alone(&front);
    says_primary(&front, 1, 10, 2, 40, MS);
    assert_int_equal(front.next, 41);
    says_primary(&front, 1, 11, 2, 0, 2 * MS);
    assert_true(front.next == 1 && front.count.begun == 2);
    says_primary(&front, 0, 20, 2, 0, 3 * MS); /* no other node can have that view */
    assert_int_equal(front.primary, 1);
    kp_front_close(&front);
}

static struct kp_port *reached; /* a node's end that hears what the keeper says to node 0; NULL: none does */

static void say_to_reached(void *ctx, unsigned node, const struct kp_message *m)
{
    static uint8_t buffer;

    if (node == 0 && reached)
        kp_port_take(reached, 0, m, &buffer, 0);
}

static void cut_one(struct kp_front *front, uint64_t now)
{
    uint8_t frame[FRAME];

    kp_front_add(front, 0, frame, write_input(frame, now));
    kp_front_cut(front, now);
    kp_front_turn(front, now);
}

/* A node that was primary before, and is again, has bursts of the numbers that are over. */
TEST(numbers_that_begin_anew_are_not_mixed_with_those_before)
{
    const struct kp_progress at = {.burst = 0, .seq = 1};
    unsigned drops = 0;
    struct kp_port port = {
        .ctx = &drops, .ports = 2, .send = say_nothing, .bytes = bytes_of, .drop = count_drop};
    struct kp_front front;
    const struct kp_slot *slot;

    open_alone(&front);
    front.config.send = say_to_reached;
    assert_int_equal(kp_port_open(&port, 10), 0);
    kp_port_begin(&port, 1, &at, 0);
    says_primary(&front, 0, 10, 1, 0, 10 * MS);
    reached = &port;
    for (uint64_t now = 11; now < 13; now++)
        cut_one(&front, now * MS);
    assert_int_equal(port.missing, 3);
    reached = NULL;
    says_primary(&front, 1, 20, 2, 70, 20 * MS); /* another state, which is lost soon */
    assert_int_equal(front.count.begun, 2);
    for (uint64_t now = 30 * MS; now < 2000ull * MS; now += MS)
        kp_front_turn(&front, now);
    says_primary(&front, 0, 10, 1, 0, 2000ull * MS);
    assert_int_equal(front.count.begun, 3);
    reached = &port;
    for (uint64_t now = 2000; now < 2002; now++)
        cut_one(&front, now * MS);
    for (uint64_t now = 2000; now < 2002; now++)
        assert_true((slot = kp_port_give(&port)) && slot->time == now * MS);
    kp_front_close(&front);
    kp_port_close(&port);
}

static uint64_t numbers[8]; /* of outputs that a node sent, in their views */
static unsigned sents;

static void note_sent(void *ctx, unsigned keeper, const struct kp_message *m)
{
    if (m->kind == KP_OUTPUT)
        numbers[sents++ % 8] = m->number + 100 * m->view;
}

static void drop_nothing(void *ctx, void *owner)
{
    ++*(unsigned *)ctx;
}

/* Another node becomes a member, or a handover is taken back: a view begins in the midst of a reign. */
TEST(a_lane_that_goes_on_in_another_view_sends_again_what_has_not_left)
{
    static uint8_t frame[FRAME];
    unsigned drops = 0;
    struct kp_port port = {
        .ctx = &drops, .ports = 2, .send = note_sent, .bytes = bytes_of, .drop = drop_nothing};
    struct kp_message ask = {
        .kind = KP_ASK, .flags = KP_AGAIN, .from = KEEPER, .to = 10, .serial = 1, .view = 1};
    struct kp_progress at = {.burst = 4, .seq = 9, .outputs = 6};

    sents = 0;
    assert_int_equal(kp_port_open(&port, 10), 0);
    kp_port_begin(&port, 1, &at, 0);
    kp_port_take(&port, 0, &ask, NULL, 0);
    for (uint64_t n = 5; n <= 6; n++)
        assert_true(kp_port_hand(
            &port, &(struct kp_output){.number = n, .burst = 4, .owner = frame, .len = 60, .have = 60}));
    kp_port_begin(&port, 2, &at, 0);
    assert_int_equal(drops, 0);
    ask.view = ask.serial = 2;
    ask.number = 5;
    kp_port_take(&port, 0, &ask, NULL, 0);
    assert_true(drops == 1 && sents == 3 && numbers[2] == 206);
    at.burst = 3; /* another state */
    kp_port_begin(&port, 3, &at, 0);
    assert_int_equal(drops, 2);
    kp_port_close(&port);
}

/* Of two: a successor gives its word on to a keeper, unsure whether the other one was active since. What may
 * have left by that one, outputs up to 6, does not leave by this one. */
static bool what_may_have_left_is_skipped(void)
{
    struct kp_front front;
    struct kp_message word = {
        .kind = KP_WORD, .from = 10, .view = 1, .before = 1, .time = MS, .flags = KP_YOURS};
    struct kp_message state = {.kind = KP_STATE, .view = 1, .seq = 1, .missing = 1};
    bool skipped;

    open_alone(&front);
    front.config.keepers = KP_KEEPERS;
    for (state.from = 10; state.from <= 11; state.from++, state.view++) {
        state.serial = 1;
        state.to = front.config.incarnation;
        kp_front_take(&front, (unsigned)state.view - 1, &state, MS);
        word.from = state.from;
        word.view = state.view;
        word.to = state.to;
        kp_front_take(&front, (unsigned)state.view - 1, &word, MS);
        state.serial++;
        state.to = front.config.incarnation;
        kp_front_take(&front, (unsigned)state.view - 1, &state, MS);
        word.flags |= KP_UNSURE;
        state.begins = 6;
    }
    skipped = front.count.begun == 1 && front.follows && front.outputs.left == 6;
    kp_front_close(&front);
    return skipped;
}

TEST(what_may_have_left_by_another_keeper_leaves_by_none)
{
    assert_true(what_may_have_left_is_skipped());
}

/* In a process of its own, whose environment is asked once. */
static bool is_caught(const char *bug)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        setenv("UNDERSTUDY_PLANT", bug, 1);
        if (!what_may_have_left_is_skipped())
            _exit(1);
        for (uint64_t seed = 1; seed <= 5; seed++)
            if (run_world(seed, 20, 1500)[0])
                _exit(1);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void planted_bugs_are_found(void **state)
{
    assert_false(is_caught("nothing"));
    assert_true(is_caught("confirms-too-early"));
    assert_true(is_caught("feeds-too-few"));
    assert_true(is_caught("forgets-index"));
    assert_true(is_caught("sure-for-nothing"));
}
