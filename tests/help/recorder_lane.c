/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: one lane that a flight recorder records. Owns its state and position. */
#include "tests/help/recorder_lane.h"
#include "tests/help/record.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

uint64_t *recorder_words, *recorder_model;
struct lg_position recorder_now;

int recorder_setup(void **state)
{
    (void)state;
    rig_make(1, RECORDER_WORDS, 65536);
    recorder_words = ft_arena_alloc(ft_region_arena(rig.region, 0, 1), RECORDER_WORDS * 8);
    assert_non_null(recorder_words);
    recorder_model = calloc(RECORDER_WORDS, sizeof(*recorder_model));
    recorder_now = (struct lg_position){.seq = 1, .access = 1};
    return 0;
}

int recorder_teardown(void **state)
{
    (void)state;
    free(recorder_model);
    return rig_remove();
}

void recorder_open(uint64_t file_bytes, uint32_t files)
{
    rig_open("b", RECORDER_IDENTITY, file_bytes, files);
}

uint64_t recorder_place(uint64_t burst, unsigned i)
{
    return (burst * 0x9e3779b97f4a7c15ull + i * 0x5851f42d4c957f2dull) >> 20;
}

void recorder_turn(uint64_t view, uint64_t at)
{
    if (lg_recorder_due(rig.recorder, at))
        lg_recorder_begin(rig.recorder, &recorder_now, view, at);
    lg_recorder_turn(rig.recorder, 0);
}

void recorder_burst(uint16_t taken, uint64_t at)
{
    record_begin(0, 0, recorder_now.burst + 1);
    rec->seq = recorder_now.seq;
    rec->time = recorder_now.time + 1000;
    rec->access = recorder_now.access;
    for (unsigned i = 0; i < RECORDER_INPUTS; i++)
        record_add_input(taken < 60 ? 60 : taken, taken, 0, 0);
    record_add_bytes();
    record_finish();
    lg_recorder_record(rig.recorder, 0, rec);
    recorder_now.burst++;
    recorder_now.seq += RECORDER_INPUTS;
    recorder_now.time += 1000;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t *word = &recorder_words[recorder_place(recorder_now.burst, i) % RECORDER_WORDS];

        *(uint64_t *)ft_edit(rig.region, word, 8) += recorder_now.burst;
    }
    recorder_turn(7, at);
}
