/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent makes of a node's answers: its load, of the times and packets that the answers tell. The
 * process is this one, so that its processor time is known.
 */
#include "fleet/local.c"
#include "tests/help/test.h"

#define S 1000000000ull

static struct fl_local local;
static bool all_in_one_turn;

static void hear_turns(struct local_node *n, double useful, double asleep, int packets, uint64_t now)
{
    json_t *status =
        json_pack("{s:i, s:{s:f, s:f, s:f}, s:[{s:i, s:i, s:{s:f}}]}", "pid", (int)getpid(),
                  "replicator_turns", "useful_s", useful / 2, "empty_s", 0.0, "asleep_s", asleep - useful / 2,
                  "lanes", "received", packets, "replayed", packets, "turns", "useful_s", useful / 2);

    assert_non_null(status);
    measure(n, status, all_in_one_turn ? measures_all(&local, now) : true, now);
    json_decref(status);
}

/* This process has had some ms of its processor; 0.001 s are less than that, and 1000 s more. */
static void burn(void)
{
    while (clock() < CLOCKS_PER_SEC / 50)
        ;
}

TEST(an_agent_that_is_new_knows_a_node_by_all_its_life)
{
    struct local_node n = {.told = true};

    burn();
    hear_turns(&n, 0.001, 100, 50, 7 * S);
    assert_true(n.said.measured);
    assert_float_equal(n.said.load.of[FL_PROCESSOR], 0.00001, 1e-9);
    assert_float_equal(n.said.load.of[FL_PACKETS], 1, 1e-9);
    assert_true(n.said.load.of[FL_MEMORY] > 0.5);
}

TEST(a_node_that_is_new_is_measured_after_five_seconds)
{
    struct local_node n = {.told = true};

    hear_turns(&n, 0.001, 4, 50, 7 * S);
    assert_false(n.said.measured);
    hear_turns(&n, 0.002, 8, 500, 11 * S);
    assert_false(n.said.measured);
    hear_turns(&n, 0.006, 9.1, 1050, 12 * S);
    assert_true(n.said.measured);
    assert_float_equal(n.said.load.of[FL_PACKETS], 400, 1e-9);
}

TEST(a_load_is_of_the_last_five_seconds)
{
    struct local_node n = {.told = true};

    hear_turns(&n, 0.001, 100, 1000, 7 * S);
    hear_turns(&n, 5.001, 105, 1050, 12 * S);
    assert_float_equal(n.said.load.of[FL_PACKETS], 20, 1e-9);
    assert_int_equal(n.said.busy, 50); /* its one lane has half of the 5 s, the replicator the rest */
    /* Started anew: what it counts begins again. */
    hear_turns(&n, 0.0005, 1, 10, 17 * S);
    assert_false(n.said.measured);
    hear_turns(&n, 0.0006, 6, 60, 22 * S);
    assert_true(n.said.measured);
    assert_float_equal(n.said.load.of[FL_PACKETS], 20, 1e-9);
}

/* Two lanes, of which `packets` is the first one's. */
static void hear_lanes(struct local_node *n, const double useful[2], int packets, int resyncs, uint64_t now)
{
    json_t *status = json_pack("{s:i, s:{s:f, s:f, s:f}, s:[{s:i, s:{s:f}}, {s:{s:f}}], s:{s:i}}", "pid",
                               (int)getpid(), "replicator_turns", "useful_s", 1.0, "empty_s", 0.0, "asleep_s",
                               100.0, "lanes", "received", packets, "turns", "useful_s", useful[0], "turns",
                               "useful_s", useful[1], "resync", "done", resyncs);

    assert_non_null(status);
    measure(n, status, true, now);
    json_decref(status);
}

TEST(lanes_are_busy_for_their_part_of_the_time)
{
    static const struct {
        double from[2], to[2]; /* useful seconds of two lanes at 7 s and at 12 s */
        uint32_t busy;
    } rows[] = {{{100, 20}, {105, 20}, 50}, {{100, 20}, {104, 24}, 80}, {{100, 20}, {106, 26}, 100}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct local_node n = {.told = true};

        hear_lanes(&n, rows[i].from, 10, 1, 7 * S);
        assert_false(n.said.timed); /* of all its life nobody wants to know it */
        hear_lanes(&n, rows[i].to, 11, 1, 12 * S);
        assert_true(n.said.timed);
        assert_int_equal(n.said.busy, rows[i].busy);
    }
}

TEST(it_is_not_known_of_lanes_without_packets_or_that_did_something_else)
{
    static const struct {
        int packets, resyncs;
        const char *state;
        bool known;
    } rows[] = {{11, 1, "PROTECTED", true},
                {10, 1, "PROTECTED", false},
                {11, 2, "PROTECTED", false},
                {11, 1, "SOLO", false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct local_node n = {.told = true, .said.state = "PROTECTED"};

        hear_lanes(&n, (const double[]){10, 10}, 10, 1, 7 * S);
        strcpy(n.said.state, rows[i].state);
        hear_lanes(&n, (const double[]){12, 12}, rows[i].packets, rows[i].resyncs, 12 * S);
        assert_true(n.said.measured);
        assert_int_equal(n.said.timed, rows[i].known);
    }
}

/* Nodes that began at different times: each change is a write in etcd. */
TEST(all_nodes_are_measured_in_one_turn)
{
    struct local_node n[8] = {{.told = true}};
    double was[8] = {0};
    int changes = 0;

    all_in_one_turn = true;
    for (int i = 0; i < 500; i++) { /* turns of 0.2 s; 100 s */
        uint64_t now = 7 * S + (uint64_t)i * S / 5;
        bool changed = false;

        local.measured = measures_all(&local, now) ? now : local.measured;
        for (int k = 0; k < 8; k++) {
            double age = i / 5.0 - k * 0.6;

            if (age <= 0)
                continue;
            hear_turns(&n[k], age / 1e6, age, i * i, now);
            changed |= n[k].said.measured && n[k].said.load.of[FL_PACKETS] != was[k];
            was[k] = n[k].said.load.of[FL_PACKETS];
        }
        changes += i >= 100 && changed; /* all have begun */
    }
    all_in_one_turn = false;
    assert_true(changes >= 15 && changes <= 17); /* in 80 s */
}

/* A thread that waits for its processor in a turn is not the busier for it. */
TEST(a_load_is_no_more_than_the_processor_time)
{
    struct local_node n = {.told = true};
    struct timespec spent;

    hear_turns(&n, 1000, 2000, 50, 7 * S);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    assert_true(n.said.measured);
    assert_true(n.said.load.of[FL_PROCESSOR] > 0);
    assert_true(n.said.load.of[FL_PROCESSOR] <= ((double)spent.tv_sec + (double)spent.tv_nsec / 1e9) / 1500);
}
