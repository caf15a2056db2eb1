/* SPDX-License-Identifier: Apache-2.0 */
/* See recorder.h. */
#define _GNU_SOURCE /* nftw */
#include "tests/help/record.h"
#include "tests/help/recorder.h"
#include "tests/help/test.h"

#include <ftw.h>

struct rig rig;

static int forget(const char *name, const struct stat *s, int kind, struct FTW *where)
{
    return remove(name);
}

/* Directory and region: each lane has an arena for `words` numbers, as NF 1; `shared`: bytes of the shared
 * one. */
static void rig_make(uint16_t lanes, uint64_t words, uint64_t shared)
{
    static const char *const names[] = {"lane", "nat"};
    const uint64_t sizes[] = {0, words * 8 + 4096};
    struct ft_region_config config = {
        .lanes = lanes, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = shared};

    snprintf(rig.directory, sizeof(rig.directory), "/tmp/recorder.XXXXXX");
    assert_non_null(mkdtemp(rig.directory));
    assert_int_equal(ft_region_open(&rig.region, &config, NULL), 0);
}

/* All of it, the recorder too, if it is open. */
static int rig_remove(void)
{
    rig_close();
    ft_region_close(rig.region);
    return nftw(rig.directory, forget, 8, FTW_DEPTH | FTW_PHYS);
}

void rig_open(const char *node, const char *identity, uint64_t file_bytes, uint32_t files)
{
    struct lg_recorder_config config = {.directory = rig.directory,
                                        .node = node,
                                        .identity = identity,
                                        .identity_len = (uint32_t)strlen(identity),
                                        .region = rig.region,
                                        .file_bytes = file_bytes,
                                        .files = files};
    struct ft_fault fault = {""};

    if (!rig.recorder)
        rig_share();
    if (lg_recorder_open(rig.recorder, &config, &fault) != 0)
        fail_msg("%s", fault.text);
}

void rig_share(void)
{
    struct ft_fault fault = {""};

    if (lg_recorder_make(&rig.recorder, rig.region->lanes, 4u * FT_RECORD_MAX, &fault) != 0)
        fail_msg("%s", fault.text);
}

void rig_close(void)
{
    lg_recorder_close(rig.recorder);
    rig_forget();
}

void rig_stop(unsigned lane)
{
    lg_recorder_stop(rig.recorder, lane);
    rig_close();
}

void rig_forget(void)
{
    lg_recorder_free(rig.recorder);
    rig.recorder = NULL;
}

const char *rig_file(unsigned serial)
{
    snprintf(rig.path, sizeof(rig.path), "%s/%08u.rec", rig.directory, serial);
    return rig.path;
}

void rig_read(struct lg_recording *r, unsigned serial)
{
    struct ft_fault fault = {""};

    if (lg_recording_open(r, rig_file(serial), &fault) != 0)
        fail_msg("%s", fault.text);
}

/* ---- the one lane of a node --------------------------------------------------------------------------- */

uint64_t *recorder_words, *recorder_model;
struct lg_position recorder_now;

int recorder_setup(void **state)
{
    rig_make(1, RECORDER_WORDS, 65536);
    recorder_words = ft_arena_alloc(ft_region_arena(rig.region, 0, 1), RECORDER_WORDS * 8);
    assert_non_null(recorder_words);
    recorder_model = calloc(RECORDER_WORDS, sizeof(*recorder_model));
    recorder_now = (struct lg_position){.seq = 1, .access = 1};
    return 0;
}

int recorder_teardown(void **state)
{
    free(recorder_model);
    return rig_remove();
}

void recorder_open(uint64_t file_bytes, uint32_t files)
{
    rig_open("b", RECORDER_IDENTITY, file_bytes, files);
}

void recorder_begin(uint64_t file_bytes, uint32_t files)
{
    recorder_open(file_bytes, files);
    recorder_turn(7, 0);
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

void recorder_bursts(unsigned count, uint16_t taken, uint64_t at)
{
    for (unsigned i = 0; i < count; i++)
        recorder_burst(taken, at);
}

/* ---- three lanes of a node ---------------------------------------------------------------------------- */

uint64_t *lanes_words[LANES + 1]; /* of each lane's arena; the last: of the shared one */
struct lg_position lanes_at[LANES];

int lanes_setup(void **state)
{
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
