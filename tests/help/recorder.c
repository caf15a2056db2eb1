/* SPDX-License-Identifier: Apache-2.0 */
/* See recorder.h. */
#define _GNU_SOURCE /* nftw */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/recorder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig rig;

static int forget(const char *name, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    return remove(name);
}

void rig_make(uint16_t lanes, uint64_t words, uint64_t shared)
{
    static const char *const names[] = {"lane", "nat"};
    const uint64_t sizes[] = {0, words * 8 + 4096};
    struct ft_region_config config = {
        .lanes = lanes, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = shared};

    snprintf(rig.directory, sizeof(rig.directory), "/tmp/recorder.XXXXXX");
    assert_non_null(mkdtemp(rig.directory));
    assert_int_equal(ft_region_open(&rig.region, &config, NULL), 0);
}

int rig_remove(void)
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
