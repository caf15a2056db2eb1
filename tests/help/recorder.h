/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the flight recorder: a region, a directory and a recorder that writes files there. One at a
 * time. */
#ifndef TESTS_HELP_RECORDER_H
#define TESTS_HELP_RECORDER_H

#include "logger/recorder/recorder.h"
#include "logger/recorder/recording.h"

struct rig {
    char directory[64], path[160]; /* path: the file last named */
    struct ft_region *region;
    struct lg_recorder *recorder; /* NULL: none is open */
};
extern struct rig rig;

/* Directory and region: each lane has an arena for `words` numbers, as NF 1; `shared`: bytes of the shared
 * one. */
void rig_make(uint16_t lanes, uint64_t words, uint64_t shared);
/* All of it, the recorder too, if it is open. */
int rig_remove(void);

void rig_open(const char *node, const char *identity, uint64_t file_bytes, uint32_t files);
void rig_close(void);
/* The recorder's memory alone, before a process is forked that opens it; it goes without being closed. */
void rig_share(void);
void rig_forget(void);

/* Path of the file with that serial number, until the next call. */
const char *rig_file(unsigned serial);
/* Fails the test when it cannot be read. */
void rig_read(struct lg_recording *r, unsigned serial);

#endif
