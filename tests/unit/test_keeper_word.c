/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two keepers is active, against a plain model of what may go wrong: questions and words that are
 * lost, late, doubled and out of order, cut in one direction; keepers that stand, die and come back, whose
 * clocks are apart and run up to 5 % fast or slow; primaries that are replaced while they stand, and wake
 * later. At no moment do two words run, and when all is quiet one does. Bugs that are planted are found.
 */
#include "tests/help/test.h"

#define UNDERSTUDY_PLANT
#include "understudy/keeper/word.c"

#include "ftcore/base/draw.h"
#include "understudy/keeper/front.h"

#include <sys/wait.h>

#define NODES 3u
#define QUEUE 512u
#define MS    1000000ull
#define ASK   (5 * MS)

struct letter {
    uint64_t at; /* when it arrives */
    bool to_keeper;
    unsigned node, keeper;
    uint64_t process; /* of the receiver */
    struct kp_message m;
};

struct world {
    uint64_t random, now, processes;
    bool quiet;
    struct keeper {
        bool alive;
        uint64_t stands, back; /* until */
        uint64_t apart;        /* its clock */
        unsigned rate;         /* of 1000 */
        uint64_t asks, view;   /* next; of the primary that it believes */
        unsigned primary;
        struct kp_word word;
    } keeper[KP_KEEPERS];
    struct node {
        bool live; /* it thinks so */
        uint64_t view, open_until, stands, process;
        uint64_t from[KP_KEEPERS]; /* the latest process that was heard: as understudy/keeper/port.c has it */
        struct kp_giver giver;
    } node[NODES];
    unsigned primary;
    uint64_t view, cut[NODES][KP_KEEPERS][2]; /* until; to the keeper, from it */
    struct letter queue[QUEUE];
    unsigned queued;
    uint64_t both, gains, deaths, takeovers, runs;
};

static uint64_t roll(struct world *w, uint64_t n)
{
    return ft_draw(&w->random) % n;
}

static uint64_t clock_of(const struct world *w, const struct keeper *k)
{
    return k->apart + w->now / 1000 * k->rate;
}

static void post(struct world *w, bool to_keeper, unsigned node, unsigned keeper, const struct kp_message *m)
{
    unsigned copies = w->quiet ? 1 : roll(w, 100) < 15 ? 0 : roll(w, 20) ? 1 : 2;

    for (; copies > 0 && w->queued < QUEUE && w->now >= w->cut[node][keeper][!to_keeper]; copies--)
        w->queue[w->queued++] =
            (struct letter){.at = w->now + roll(w, w->quiet || roll(w, 10) ? MS / 2 : 150 * MS),
                            .to_keeper = to_keeper,
                            .node = node,
                            .keeper = keeper,
                            .process = to_keeper ? w->keeper[keeper].word.process : w->node[node].process,
                            .m = *m};
}

static void ask_all(struct world *w, unsigned k, bool returns)
{
    struct keeper *keeper = &w->keeper[k];

    for (unsigned n = 0; n < NODES; n++) {
        struct kp_message m = {.kind = KP_ASK, .from = keeper->word.process, .view = keeper->view};

        if (returns && n != keeper->primary)
            continue;
        if (returns)
            kp_word_return(&keeper->word, &m, clock_of(w, keeper));
        else
            kp_word_ask(&keeper->word, &m, true, 0, clock_of(w, keeper));
        post(w, false, n, k, &m);
    }
}

/* The node is who it says: its view is the highest that was heard. */
static void hear_word(struct world *w, const struct letter *l)
{
    struct keeper *k = &w->keeper[l->keeper];

    if (!k->alive || l->process != k->word.process)
        return;
    if (l->m.view > k->view) {
        k->view = l->m.view;
        k->primary = l->node;
        k->asks = clock_of(w, k);
    }
    if (l->m.kind == KP_WORD && l->m.view == k->view)
        w->gains += kp_word_take(&k->word, &l->m, clock_of(w, k)) == KP_GAINED;
}

static void tell(struct world *w, unsigned n, unsigned keepers)
{
    for (unsigned k = 0; k < KP_KEEPERS; k++) {
        struct kp_message m = {.view = w->node[n].view};

        if (!(keepers & 1u << k))
            continue;
        kp_giver_word(&w->node[n].giver, k, &m);
        post(w, true, n, k, &m);
    }
}

static void hear_question(struct world *w, const struct letter *l)
{
    struct node *n = &w->node[l->node];
    struct kp_message state = {.kind = KP_STATE, .view = n->view};

    if (!n->live || l->process != n->process || l->m.from < n->from[l->keeper])
        return;
    n->from[l->keeper] = l->m.from;
    post(w, true, l->node, l->keeper, &state);
    if (l->m.view == n->view && w->now < n->open_until)
        tell(w, l->node, kp_giver_take(&n->giver, l->keeper, &l->m, w->now));
}

static bool stands(const struct world *w, const struct letter *l)
{
    return w->now < (l->to_keeper ? w->keeper[l->keeper].stands : w->node[l->node].stands);
}

static void deliver(struct world *w)
{
    for (unsigned i = 0; i < w->queued;) {
        struct letter l = w->queue[i];

        if (l.at > w->now || stands(w, &l)) {
            i++;
            continue;
        }
        w->queue[i] = w->queue[--w->queued];
        if (l.to_keeper)
            hear_word(w, &l);
        else
            hear_question(w, &l);
        i = 0;
    }
}

static void start_keeper(struct world *w, struct keeper *k)
{
    k->alive = true;
    k->view = k->asks = 0;
    k->word = (struct kp_word){.process = ++w->processes};
    if (roll(w, 2)) /* another machine's, or that of one that was started anew */
        return;
    k->apart = roll(w, 1000000 * MS);
    k->rate = 950 + (unsigned)roll(w, 101);
}

/* The old one does not know yet, unless its process ends; its outputs may leave until then. */
static void take_over(struct world *w)
{
    unsigned next = (w->primary + 1 + (unsigned)roll(w, NODES - 1)) % NODES;

    w->node[w->primary].open_until = w->now;
    if (roll(w, 2))
        w->node[w->primary].live = false;
    w->primary = next;
    w->node[next] =
        (struct node){.live = true, .view = ++w->view, .open_until = UINT64_MAX, .process = ++w->processes};
    kp_giver_begin(&w->node[next].giver, w->now);
    w->takeovers++;
}

static void die(struct world *w, unsigned k)
{
    struct keeper *keeper = &w->keeper[k];
    uint64_t process = keeper->word.process;

    keeper->alive = false;
    keeper->back = w->now + roll(w, roll(w, 2) ? 5 * MS : 400 * MS);
    w->deaths++;
    for (unsigned n = 0; n < NODES && roll(w, 2); n++) /* a notice */
        if (w->node[n].live && w->now >= w->node[n].stands && w->now < w->node[n].open_until)
            tell(w, n, kp_giver_ended(&w->node[n].giver, process, w->now));
}

static void upset(struct world *w)
{
    unsigned k = (unsigned)roll(w, KP_KEEPERS), n = (unsigned)roll(w, NODES);

    switch (roll(w, 9)) {
    case 0:
        if (w->keeper[k].alive)
            die(w, k);
        break;
    case 1:
    case 2:
        w->keeper[k].stands = w->now + roll(w, 300 * MS);
        break;
    case 3:
        take_over(w);
        break;
    case 4:
        w->node[n].stands = w->now + roll(w, 300 * MS);
        if (roll(w, 2) && n == w->primary)
            take_over(w);
        break;
    case 5:
        if (w->keeper[k].alive && w->now >= w->keeper[k].stands && w->keeper[k].word.holds)
            ask_all(w, k, true);
        break;
    default:
        w->cut[n][k][roll(w, 2)] = w->now + roll(w, 400 * MS);
    }
}

static void step(struct world *w)
{
    unsigned running = 0;

    w->now += 1 + roll(w, MS);
    if (!w->quiet && roll(w, 60) == 0)
        upset(w);
    deliver(w);
    for (unsigned i = 0; i < KP_KEEPERS; i++) {
        struct keeper *k = &w->keeper[i];

        if (!k->alive && w->now >= k->back)
            start_keeper(w, k);
        if (k->alive && w->now >= k->stands && clock_of(w, k) >= k->asks) {
            k->asks = clock_of(w, k) + ASK;
            ask_all(w, i, false);
        }
        /* While it stands, too: it may do so at any moment, and wakes in the midst of what it did. */
        running += k->alive && kp_word_runs(&k->word, clock_of(w, k));
    }
    w->both += running > 1;
    w->runs += running == 1;
}

static struct {
    uint64_t runs, gains, deaths, takeovers;
} did; /* by all worlds */

/* What is wrong: "" or a text. */
static const char *run_world(uint64_t seed, unsigned steps)
{
    static char text[128];
    struct world *w = calloc(1, sizeof(*w));
    uint64_t runs;

    w->random = seed;
    w->now = 1000 * MS;
    for (unsigned k = 0; k < KP_KEEPERS; k++) {
        w->keeper[k].rate = 1000;
        start_keeper(w, &w->keeper[k]);
    }
    take_over(w);
    for (unsigned i = 0; i < steps; i++)
        step(w);
    w->quiet = true;
    memset(w->cut, 0, sizeof(w->cut));
    for (unsigned k = 0; k < KP_KEEPERS; k++) {
        w->keeper[k].stands = 0;
        if (!w->keeper[k].alive) /* perhaps one of them never comes back */
            w->keeper[k].back = k == seed % 2 ? UINT64_MAX : w->now;
    }
    for (unsigned n = 0; n < NODES; n++)
        w->node[n].stands = 0;
    for (unsigned i = 0; i < 1500; i++)
        step(w);
    runs = w->runs;
    for (unsigned i = 0; i < 500; i++)
        step(w);
    text[0] = '\0';
    if (w->both)
        snprintf(text, sizeof(text), "in %lu steps the words of both ran", w->both);
    else if ((w->keeper[0].alive || w->keeper[1].alive) && w->runs - runs != 500)
        snprintf(text, sizeof(text), "all is quiet, and a word ran in %lu of 500 steps", w->runs - runs);
    did.runs += runs;
    did.gains += w->gains;
    did.deaths += w->deaths;
    did.takeovers += w->takeovers;
    free(w);
    return text;
}

/* The first one: this process has not asked its environment yet. */
static void planted_bugs_are_found(void **state);
TEST_LIST(planted_bugs_first, "planted_bugs_are_found", planted_bugs_are_found, NULL, NULL, NULL)

TEST(never_two_and_at_last_one)
{
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        const char *wrong = run_world(seed, 3000);

        if (wrong[0])
            fail_msg("seed %lu: %s", seed, wrong);
    }
    assert_true(did.runs > 400000 && did.gains > 1500 && did.deaths > 1500 && did.takeovers > 1500);
}

/* ---- one rule at a time ---------------------------------------------------------------------- */

static struct kp_giver giver;
static struct kp_word word[KP_KEEPERS];

static void begin_alone(uint64_t now)
{
    kp_giver_begin(&giver, now);
    for (unsigned k = 0; k < KP_KEEPERS; k++)
        word[k] = (struct kp_word){.process = 100 + k};
}

static void answer(unsigned keepers, uint64_t now)
{
    for (unsigned k = 0; k < KP_KEEPERS; k++) {
        struct kp_message m = {.kind = 0};

        if (keepers & 1u << k) {
            kp_giver_word(&giver, k, &m);
            kp_word_take(&word[k], &m, now);
        }
    }
}

static void asks(unsigned k, unsigned faults, uint64_t now)
{
    struct kp_message m = {.kind = KP_ASK};

    kp_word_ask(&word[k], &m, true, faults, now);
    answer(kp_giver_take(&giver, k, &m, now), now);
}

static bool runs(unsigned k, uint64_t now)
{
    return kp_word_runs(&word[k], now);
}

/* The first of the file, when both are there; the second, when the first one has been silent for long. */
TEST(the_first_one_begins)
{
    begin_alone(0);
    asks(1, 0, 5 * MS);
    assert_false(runs(1, 5 * MS));
    asks(0, 0, 6 * MS);
    assert_true(runs(0, 6 * MS));
    assert_int_equal(word[0].holds, 1);
    begin_alone(0);
    for (uint64_t now = MS; now < 100 * MS; now += 5 * MS) {
        asks(1, 0, now);
        assert_false(runs(1, now));
    }
    asks(1, 0, 101 * MS);
    assert_true(runs(1, 101 * MS));
}

/* A silent one: its word has run out when the other gets it. One that ends: at once. */
TEST(a_silent_keepers_word_runs_out_first)
{
    begin_alone(0);
    asks(1, 0, MS);
    asks(0, 0, 2 * MS);
    for (uint64_t now = 3 * MS; now < 102 * MS; now += 5 * MS) {
        asks(1, 0, now);
        assert_false(runs(1, now));
        assert_int_equal(runs(0, now), now < 82 * MS);
    }
    asks(1, 0, 102 * MS);
    assert_true(runs(1, 102 * MS));
    assert_int_equal(word[1].holds, 2);
    answer(kp_giver_ended(&giver, 99, 103 * MS), 103 * MS); /* nobody's */
    assert_false(runs(0, 103 * MS));
    asks(0, 0, 104 * MS);
    answer(kp_giver_ended(&giver, 101, 105 * MS), 105 * MS);
    assert_true(runs(0, 105 * MS));
    assert_int_equal(word[0].holds, 3);
}

/* It has a port without carrier, and gives its word back when it is told to. */
TEST(the_one_with_more_carriers_is_active)
{
    struct kp_message m = {.kind = KP_ASK};

    begin_alone(0);
    asks(1, 0, MS);
    asks(0, 0, MS);
    asks(0, 1, 2 * MS);
    assert_true(runs(0, 2 * MS) && word[0].go);
    kp_word_return(&word[0], &m, 3 * MS);
    m.kind = KP_ASK;
    assert_false(runs(0, 3 * MS));
    answer(kp_giver_take(&giver, 0, &m, 3 * MS), 3 * MS);
    assert_true(runs(1, 3 * MS));
    asks(0, 1, 4 * MS);
    asks(1, 1, 5 * MS); /* as bad as the other: nothing moves */
    assert_true(runs(1, 5 * MS) && !word[1].go);
}

/* A successor that hears its question: the same keeper goes on, in the same keeper view, at once. */
TEST(a_word_that_runs_goes_on_over_a_takeover)
{
    begin_alone(0);
    asks(1, 0, MS);
    asks(0, 0, MS);
    kp_giver_begin(&giver, 10 * MS);
    asks(0, 0, 11 * MS);
    assert_int_equal(giver.holder, 0);
    assert_int_equal(word[0].holds, 1);
    assert_true(runs(0, 90 * MS));
    /* It has run out, and both say so: nobody had it later. */
    kp_giver_begin(&giver, 200 * MS);
    asks(0, 0, 201 * MS);
    assert_false(runs(0, 201 * MS));
    asks(1, 0, 202 * MS);
    asks(0, 0, 203 * MS);
    assert_true(runs(0, 203 * MS));
    assert_int_equal(word[0].holds, 1);
}

/* The process before asked, died, and the primary answers now, to the address that both have. */
TEST(an_answer_to_the_process_before_is_no_word)
{
    struct kp_word next = {.process = 8};
    struct kp_message ask = {.kind = KP_ASK}, answer = {.flags = KP_YOURS, .before = 2, .time = 10 * MS};

    kp_word_ask(&next, &ask, true, 0, 50 * MS);
    assert_int_equal(kp_word_take(&next, &answer, 51 * MS), KP_SAME);
    assert_false(kp_word_runs(&next, 51 * MS));
    answer.time = 50 * MS;
    assert_int_equal(kp_word_take(&next, &answer, 52 * MS), KP_GAINED);
    assert_true(kp_word_runs(&next, 52 * MS));
}

/* ---- what a keeper does with it --------------------------------------------------------------- */

static unsigned fed, returned; /* inputs, and words given back, that the keeper said */

static void count_said(void *ctx, unsigned node, const struct kp_message *m)
{
    fed += m->kind == KP_INPUT && m->count;
    returned += m->kind == KP_ASK && m->flags & KP_RETURNS;
}

static bool leave_nowhere(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    return true;
}

/* What node 0 says as primary in view 1. */
static void hears(struct kp_front *front, struct kp_message m, uint64_t now)
{
    static uint64_t serial;

    m.from = 10;
    m.to = front->config.incarnation;
    m.serial = ++serial;
    m.view = 1;
    kp_front_take(front, 0, &m, now);
}

static void gets_word(struct kp_front *front, uint64_t asked_at, uint64_t now)
{
    hears(front, (struct kp_message){.kind = KP_WORD, .flags = KP_YOURS, .before = 1, .time = asked_at}, now);
}

static void hears_state(struct kp_front *front, uint64_t now)
{
    hears(front, (struct kp_message){.kind = KP_STATE, .seq = 1, .missing = 1}, now);
}

/* The only node is primary, and has given its word. */
static struct kp_front *open_worded(void)
{
    const struct kp_front_config config = {.inputs = 2048,
                                           .bursts = 1024,
                                           .frame_max = 200,
                                           .nodes = 1,
                                           .keepers = KP_KEEPERS,
                                           .incarnation = 77,
                                           .send = count_said,
                                           .leave = leave_nowhere};
    struct kp_front *front = malloc(sizeof(*front));

    assert_int_equal(kp_front_open(front, &config), 0);
    hears_state(front, MS);
    gets_word(front, MS, 2 * MS);
    return front;
}

/* It has slept since it got its word, and what the primary said then is of a time before another keeper's
 * reign. */
TEST(a_keeper_whose_word_has_run_out_begins_nothing)
{
    struct kp_front *front = open_worded();

    assert_true(kp_front_is_active(front) && !front->begun);
    hears_state(front, 81 * MS);
    assert_false(front->begun || front->follows || kp_front_has_room(front));
    gets_word(front, 82 * MS, 83 * MS);
    hears_state(front, 84 * MS);
    assert_true(front->begun && front->follows && kp_front_has_room(front));
    hears_state(front, 800 * MS); /* and goes on */
    assert_true(front->follows);
    kp_front_close(front);
    free(front);
}

/* Inputs that are not cut yet are fed before the word is given back, and what waits for its port leaves. */
TEST(what_it_has_leaves_before_the_word_is_given_back)
{
    struct kp_front *front = open_worded();
    uint8_t frame[64] = {0};

    hears_state(front, 3 * MS);
    fed = returned = 0;
    kp_front_add(front, 0, frame, sizeof(frame));
    kp_front_move(front, 4 * MS);
    kp_front_turn(front, 4 * MS);
    assert_int_equal(fed, 1);
    hears(front,
          (struct kp_message){
              .kind = KP_STATE, .burst = 1, .before = 1, .number = 1, .begins = 1, .seq = 2, .missing = 2},
          5 * MS);
    front->outputs.left = 1;
    front->waiting = 1;
    kp_front_turn(front, 6 * MS);
    assert_int_equal(returned, 0);
    front->waiting = 0;
    kp_front_turn(front, 7 * MS);
    assert_true(returned > 0);
    kp_front_close(front);
    free(front);
}

/* In a process of its own, whose environment is asked once. */
static bool is_caught(const char *bug)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        setenv("UNDERSTUDY_PLANT", bug, 1);
        for (uint64_t seed = 1; seed <= 3000; seed++)
            if (run_world(seed, 3000)[0])
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
    assert_true(is_caught("word-early"));
    assert_true(is_caught("word-endless"));
    assert_true(is_caught("word-of-another"));
}
