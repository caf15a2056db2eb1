/* SPDX-License-Identifier: Apache-2.0 */
/* What can be executed of a recording of several lanes: dependencies decide. */
#include "tests/help/recorder_lanes.h"
#include "tests/help/record.h"
#include "tests/help/recorder.h"
#include "tools/recording/index.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

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
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
}

static void what_waits_for_nothing_recorded_is_left_out(void **state)
{
    struct lg_recording r;
    struct nd_index index;

    (void)state;
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

static void an_input_has_its_past_and_no_more(void **state)
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

    (void)state;
    record_fight();
    rig_read(&r, 1);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(nd_index_make(&index, &r, NULL), 0);
        nd_index_until(&index, cases[i].lane, cases[i].seq);
        for (unsigned l = 0; l < LANES; l++)
            if (index.lane[l].upto != cases[i].upto[l])
                fail_msg("case %u: lane %u up to %u", i, l, index.lane[l].upto);
        nd_index_free(&index);
    }
    lg_recording_close(&r);
}

/* A digest is compared when the records of all lanes that carry it are executed. */
static void digests_are_compared_by_all_or_none(void **state)
{
    struct lg_recording r;
    struct nd_index index;

    (void)state;
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
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
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
static void a_torn_file_is_read_to_its_last_whole_record(void **state)
{
    static uint8_t bytes[1u << 20];
    struct lg_recording r;
    struct nd_index index;
    struct ft_fault fault;
    size_t size, least = 0;
    FILE *f;

    (void)state;
    record_fight();
    f = fopen(rig_file(1), "rb");
    size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    for (size_t cut = 1; cut < 1200; cut++) {
        uint32_t records = 0;

        f = fopen(rig_file(9), "wb");
        assert_int_equal(fwrite(bytes, 1, size - cut, f), size - cut);
        fclose(f);
        assert_int_equal(lg_recording_open(&r, rig.path, &fault), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_for_nothing_recorded_is_left_out, lanes_setup,
                                        lanes_teardown),
        cmocka_unit_test_setup_teardown(an_input_has_its_past_and_no_more, lanes_setup, lanes_teardown),
        cmocka_unit_test_setup_teardown(digests_are_compared_by_all_or_none, lanes_setup, lanes_teardown),
        cmocka_unit_test_setup_teardown(a_torn_file_is_read_to_its_last_whole_record, lanes_setup,
                                        lanes_teardown),
    };

    return cmocka_run_group_tests_name("recording_index", tests, NULL, NULL);
}
