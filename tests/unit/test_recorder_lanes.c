/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder of several lanes: a file's snapshot is one moment of all of them and the shared arena,
 * what was queued before it goes to the file before it, a gap in one lane ends the file for all, a resync's
 * need goes first.
 */
#include "ftcore/record/message.h"
#include "ftcore/record/delta.h"
#include "tests/help/record.h"
#include "tests/help/recorder.h"
#include "understudy/recording/recording.h"
#include "tests/help/test.h"

static void until_snapshot_is_whole(void)
{
    for (int i = 0; i < 5000; i++) {
        lanes_turns();
        if (!lg_recorder_owes(rig.recorder))
            return;
        usleep(1000); /* the writer has a queue to work off */
    }
    fail_msg("the snapshot is not whole");
}

static void lanes_burst(unsigned lane, uint16_t taken)
{
    record_begin((uint16_t)lane, 0, lanes_at[lane].burst + 1);
    record_add_input(taken < 60 ? 60 : taken, taken, 0, 0);
    record_add_bytes();
    lanes_end_record(0);
}

/* Every word of every arena is as it was made, plus `add` in the first one of each. */
static void snapshot_is(const struct lg_recording *r, uint64_t add)
{
    struct ft_line_run run;
    struct lg_frame f;
    uint64_t in_file = 0, notices_seen = 0;

    while (lg_recording_next(r, &in_file, &f)) {
        uint32_t in = 0;

        while (f.type == LG_LINES &&
               ft_line_run_next(f.content, f.len, &in, rig.region->size / FT_LINE, &run) > 0)
            for (uint64_t i = 0; i < run.count * 8ull; i++) {
                const uint64_t *word = (const uint64_t *)(rig.region->base + run.line * FT_LINE) + i;
                uint64_t got = 0;

                if (!run.zero)
                    memcpy(&got, run.bytes + i * 8, 8);
                for (unsigned l = 0; l <= LANES; l++)
                    if (word >= lanes_words[l] && word < lanes_words[l] + LANES_WORDS) {
                        uint64_t n = (uint64_t)(word - lanes_words[l]);

                        assert_int_equal(got, 1000 * l + n + (n == 0 ? add : 0));
                        notices_seen++;
                    }
            }
    }
    assert_int_equal(notices_seen, (LANES + 1) * LANES_WORDS);
}

static void change(uint64_t add)
{
    for (unsigned l = 0; l <= LANES; l++)
        *(uint64_t *)ft_edit(rig.region, lanes_words[l], 8) += add;
}

TEST_WITH(a_snapshot_is_one_moment_of_all_lanes, lanes_setup, lanes_teardown)
{
    struct lg_recording r[2];

    lanes_open(1u << 30);
    lanes_burst(1, 10); /* before any snapshot: known to no file */
    lanes_begin(1);
    change(7); /* before anything is copied */
    lanes_burst(2, 10);
    lanes_burst(0, 10);
    lg_recorder_turn(rig.recorder, 1);
    change(1);
    lanes_burst(2, 10);
    lanes_turns();
    assert_true(lg_recorder_listens(rig.recorder) && !lg_recorder_owes(rig.recorder));
    assert_false(lg_recorder_due(rig.recorder, 2));
    lanes_burst(1, 10);
    lg_recorder_rotate(rig.recorder);
    lanes_begin(3);
    change(100);
    lanes_burst(1, 10);
    lanes_turns();
    rig_stop(1);

    rig_read(&r[0], 1);
    assert_true(r[0].snapshot_whole && r[0].ended);
    assert_int_equal(r[0].head.lanes, LANES);
    assert_memory_equal(r[0].identity, IDENTITY, sizeof(IDENTITY) - 1);
    assert_int_equal(r[0].records, 4);
    assert_int_equal(r[0].at[1].burst, 11);
    assert_int_equal(r[0].at[2].burst, 20);
    assert_int_equal(r[0].end[0].burst, 1);
    assert_int_equal(r[0].end[1].burst, 12);
    assert_int_equal(r[0].end[2].burst, 22);
    snapshot_is(&r[0], 0);
    rig_read(&r[1], 2);
    assert_true(r[1].snapshot_whole && r[1].ended);
    assert_int_equal(r[1].records, 1);
    snapshot_is(&r[1], 8);
    assert_true(lg_recording_follows(&r[0], &r[1]));
    /* A lane that stands elsewhere, or came there otherwise, is no continuation; a takeover is one. */
    r[1].head.view = 4;
    assert_true(lg_recording_follows(&r[0], &r[1]));
    r[1].at[2].time++;
    assert_false(lg_recording_follows(&r[0], &r[1]));
    r[1].at[2].time--;
    r[1].at[1].burst++;
    assert_false(lg_recording_follows(&r[0], &r[1]));
    lg_recording_close(&r[0]);
    lg_recording_close(&r[1]);
}

/* What a fast lane and a slow one have queued for one file goes there, however the writer comes by. */
TEST_WITH(records_stay_in_their_file, lanes_setup, lanes_teardown)
{
    struct lg_recording r;
    uint64_t all = 0;

    lanes_open(20000);
    lanes_begin(1);
    for (unsigned i = 0; i < 6000; i++) {
        lanes_burst(i % 7 < 5 ? 0 : i % 7 - 4, 80);
        lanes_turns();
        if (lg_recorder_due(rig.recorder, i))
            lg_recorder_begin(rig.recorder, lanes_at, 3, i);
        if (i % 100 == 0)
            usleep(1000);
    }
    until_snapshot_is_whole();
    rig_stop(2);
    for (unsigned serial = 1;; serial++) {
        if (access(rig_file(serial), F_OK) != 0 && all)
            break;
        if (access(rig_file(serial), F_OK) != 0)
            continue;
        rig_read(&r, serial); /* no gap in any lane, or it is refused */
        assert_true(r.snapshot_whole && r.ended);
        all += r.records;
        if (access(rig_file(serial + 1), F_OK) == 0) {
            struct lg_recording next;

            rig_read(&next, serial + 1);
            assert_true(lg_recording_follows(&r, &next));
            lg_recording_close(&next);
        } else {
            for (unsigned l = 0; l < LANES; l++)
                assert_int_equal(r.end[l].burst, lanes_at[l].burst);
        }
        lg_recording_close(&r);
    }
    assert_true(all > 500);
}

TEST_WITH(a_gap_in_one_lane_ends_the_file_for_all, lanes_setup, lanes_teardown)
{
    struct lg_recorder_counts counts = {0};
    struct lg_recording r;

    lanes_open(1u << 30);
    lanes_begin(1);
    lanes_turns();
    lanes_burst(2, 10);
    for (int i = 0; i < 100000 && counts.gaps == 0; i++) {
        lanes_burst(1, 9000);
        lg_recorder_counts(rig.recorder, &counts);
    }
    assert_int_equal(counts.gaps, 1);
    assert_false(lg_recorder_listens(rig.recorder));
    lanes_burst(2, 10); /* ignored */
    for (uint64_t now = 2; now < 5000 && !lg_recorder_listens(rig.recorder); now++) {
        lg_recorder_begin(rig.recorder, lanes_at, 3, now * 2000000); /* when the writer has caught up */
        usleep(1000);
    }
    until_snapshot_is_whole();
    lanes_burst(2, 10);
    rig_stop(0);
    rig_read(&r, 1);
    assert_int_equal(r.end[2].burst, 21);
    lg_recording_close(&r);
    rig_read(&r, 2);
    assert_int_equal(r.at[2].burst, 22);
    assert_int_equal(r.end[2].burst, 23);
    assert_int_equal(r.at[1].burst, lanes_at[1].burst);
    lg_recording_close(&r);
}

TEST_WITH(a_resync_goes_first, lanes_setup, lanes_teardown)
{
    struct lg_recorder_counts counts;

    lanes_open(1u << 30);
    lanes_begin(1);
    lg_recorder_turn(rig.recorder, 1);
    assert_true(lg_recorder_owes(rig.recorder));
    lg_recorder_yield(rig.recorder); /* a snapshot is under way: given up */
    assert_false(lg_recorder_owes(rig.recorder) || lg_recorder_listens(rig.recorder));
    assert_int_equal(ft_snapshot_begin(rig.region), 0);
    assert_false(lg_recorder_due(rig.recorder, 2));
    lg_recorder_begin(rig.recorder, lanes_at, 3, 2);
    lg_recorder_turn(rig.recorder, 0);
    assert_non_null(rig.region->snapshot_copy); /* it is not ours */
    assert_false(lg_recorder_owes(rig.recorder));
    lg_recorder_counts(rig.recorder, &counts);
    assert_int_equal(counts.gaps, 1);
    ft_snapshot_end(rig.region);
    lanes_begin(3);
    lanes_turns();
    lg_recorder_yield(rig.recorder); /* a whole snapshot is not given up */
    assert_true(lg_recorder_listens(rig.recorder));
    lg_recorder_counts(rig.recorder, &counts);
    assert_int_equal(counts.gaps, 1);
}

/* What can be executed of a recording of several lanes: dependencies decide. */

/* A burst of two accesses, with a dependency of its first one. lane == LANES: none. */
static void access_burst(unsigned own, unsigned lane, uint64_t access)
{
    record_begin((uint16_t)own, 0, lanes_at[own].burst + 1);
    record_add_input(60, 10, 0, 0);
    record_add_bytes();
    if (lane < LANES)
        record_add_dependency(lanes_at[own].access, (uint16_t)lane, access);
    lanes_end_record(2);
}

/*
 *  lane 0:  a0 (1,2)        a1 (3,4) ← lane 1's 4     a2 (5,6) ← lane 2's 99, which nobody recorded
 *  lane 1:  b0 (2,3)        b1 (4,5) ← lane 2's 3     b2 (6,7) ← lane 0's 5
 *  lane 2:  c0 (3,4)        c1 (5,6)
 */
static void record_fight(void)
{
    lanes_open(1u << 30);
    lanes_begin(1);
    lanes_turns();
    access_burst(0, LANES, 0);
    access_burst(2, LANES, 0);
    access_burst(1, 0, 0);
    access_burst(1, 2, 3);
    access_burst(0, 1, 4);
    access_burst(2, LANES, 0);
    access_burst(0, 2, 99);
    access_burst(1, 0, 5);
    rig_stop(0);
}

TEST_WITH(what_waits_for_nothing_recorded_is_left_out, lanes_setup, lanes_teardown)
{
    struct lg_recording r;
    struct nd_index index;

    record_fight();
    rig_read(&r, 1);
    assert_int_equal(r.records, 8);
    assert_int_equal(nd_index_make(&index, &r, NULL), 0);
    assert_int_equal(index.lane[0].count, 3);
    assert_int_equal(index.lane[0].upto, 2); /* a2 */
    assert_int_equal(index.lane[1].upto, 2); /* and b2, which needs it */
    assert_int_equal(index.lane[2].upto, 2);
    assert_int_equal(nd_index_seq(&index, 0), 3);
    nd_index_free(&index);
    lg_recording_close(&r);
}

TEST_WITH(an_input_has_its_past_and_no_more, lanes_setup, lanes_teardown)
{
    static const struct {
        unsigned lane;
        uint64_t seq;
        uint32_t upto[LANES];
    } cases[] = {
        {0, 1, {1, 0, 0}}, /* a0 alone */
        {0, 2, {2, 2, 1}}, /* a1, for which b1, for which c0 */
        {1, 3, {0, 2, 1}}, /* b1 */
        {2, 4, {0, 0, 2}},
    };
    struct lg_recording r;
    struct nd_index index;

    record_fight();
    rig_read(&r, 1);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(nd_index_make(&index, &r, NULL), 0);
        nd_moment_settle(
            &(struct nd_moment){.kind = ND_MOMENT_INPUT, .lane = cases[i].lane, .seq = cases[i].seq}, &index);
        for (unsigned l = 0; l < LANES; l++)
            if (index.lane[l].upto != cases[i].upto[l])
                fail_msg("case %u: lane %u up to %u", i, l, index.lane[l].upto);
        nd_index_free(&index);
    }
    lg_recording_close(&r);
}

/* A digest is compared when the records of all lanes that carry it are executed. */
TEST_WITH(digests_are_compared_by_all_or_none, lanes_setup, lanes_teardown)
{
    struct lg_recording r;
    struct nd_index index;

    lanes_open(1u << 30);
    lanes_begin(1);
    lanes_turns();
    for (unsigned i = 0; i < 2 * LANES; i++) {
        if (i == 2 * LANES - 1)
            break; /* the last lane's second one was not recorded any more */
        record_begin((uint16_t)(i % LANES), FT_REC_DIGEST, lanes_at[i % LANES].burst + 1);
        record_add_bytes();
        rec->digest = 70 + i / LANES;
        lanes_end_record(0);
    }
    rig_stop(0);
    rig_read(&r, 1);
    assert_int_equal(nd_index_make(&index, &r, NULL), 0);
    nd_index_settle(&index);
    for (unsigned l = 0; l < LANES; l++)
        assert_true(index.lane[l].burst[0].comparable);
    assert_false(index.lane[0].burst[1].comparable || index.lane[1].burst[1].comparable);
    nd_index_free(&index);
    lg_recording_close(&r);
}

/* A file of several lanes, cut anywhere: what is read is closed and a part of what the whole file has. */
TEST_WITH(a_torn_file_is_read_to_its_last_whole_record, lanes_setup, lanes_teardown)
{
    static uint8_t bytes[1u << 20];
    struct lg_recording r;
    struct nd_index index;
    size_t size, least = 0;
    FILE *f;

    record_fight();
    f = fopen(rig_file(1), "rb");
    size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    for (size_t cut = 1; cut < 1200; cut++) {
        uint32_t records = 0;

        f = fopen(rig_file(9), "wb");
        assert_int_equal(fwrite(bytes, 1, size - cut, f), size - cut);
        fclose(f);
        assert_int_equal(lg_recording_open(&r, rig.path, &help_fault), 0);
        assert_int_equal(nd_index_make(&index, &r, NULL), 0);
        for (unsigned l = 0; l < LANES; l++) {
            records += index.lane[l].upto;
            assert_true(index.lane[l].upto <= 2);
        }
        assert_true(records <= 6 && (cut == 1 || records <= least));
        least = records;
        nd_index_free(&index);
        lg_recording_close(&r);
    }
    assert_int_equal(least, 0);
}
