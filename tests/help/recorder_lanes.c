/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: lanes that a flight recorder records. Owns their state and positions. */
#include "tests/help/recorder_lanes.h"
#include "tests/help/record.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

uint64_t *lanes_words[LANES + 1]; /* of each lane's arena; the last: of the shared one */
struct lg_position lanes_at[LANES];

int lanes_setup(void **state)
{
    (void)state;
    rig_make(LANES, LANES_WORDS, 1u << 20);
    for (unsigned l = 0; l <= LANES; l++) {
        lanes_words[l] = ft_arena_alloc(
            l < LANES ? ft_region_arena(rig.region, l, 1) : ft_region_shared(rig.region), LANES_WORDS * 8);
        for (unsigned i = 0; i < LANES_WORDS; i++)
            lanes_words[l][i] = 1000 * l + i;
    }
    for (unsigned l = 0; l < LANES; l++)
        lanes_at[l] = (struct lg_position){.burst = 10 * l, .seq = 1 + l, .access = 1 + l, .time = 500};
    return 0;
}

int lanes_teardown(void **state)
{
    (void)state;
    return rig_remove();
}

void lanes_open(uint64_t file_bytes)
{
    rig_open("a", IDENTITY, file_bytes, 10);
}

void lanes_begin(uint64_t now)
{
    assert_true(lg_recorder_due(rig.recorder, now));
    lg_recorder_begin(rig.recorder, lanes_at, 3, now);
}

void lanes_turns(void)
{
    for (bool worked = true; worked;) {
        worked = false;
        for (unsigned l = 0; l < LANES; l++)
            worked |= lg_recorder_turn(rig.recorder, l);
    }
}

void lanes_end_record(uint32_t accesses)
{
    struct lg_position *p = &lanes_at[rec->lane];

    rec->seq = p->seq;
    rec->time = p->time += 10;
    rec->access = p->access;
    rec->accesses = accesses;
    record_finish();
    lg_recorder_record(rig.recorder, rec->lane, rec);
    p->burst++;
    p->seq += rec->inputs;
    p->access += accesses;
}
