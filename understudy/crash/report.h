/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a node's end: a line, and STATE/NODE.crash-TIME/ with report.json, report.txt and packets;
 * the process that writes it; and the reports that there are, as `incidents` reads them. No state.
 */
#ifndef NODE_CRASH_REPORT_H
#define NODE_CRASH_REPORT_H

#include "ftcore/base/event_log.h"
#include "understudy/config/config.h"
#include "understudy/crash/page.h"
#include "understudy/crash/symbols.h"

#include <jansson.h>

struct lg_recorder;

/* What a report is made of. Of a process of its own, or of a test's. */
struct nd_crash_case {
    const struct nd_crash_page *page;
    struct ft_lane_shared *shared; /* [lanes] */
    const struct nd_config *config;
    unsigned self;
    struct lg_recorder *recorder; /* NULL: none */
    uint64_t now, monotonic;      /* when the end was noticed: wall clock and monotonic, ns */
    int pid;                      /* of the node */
};

/* "crashed in NF nat, lane 0, burst 7, packet 3: SIGSEGV" of what a handler or a peer reported. */
#define ND_CRASH_LINE 256u
const char *nd_crash_line(char out[ND_CRASH_LINE], const struct ft_crash_notice *notice);
/* The event's: NF, lane, signal and directory, without those that are not known. */
#define ND_CRASH_FIELDS 5u
void nd_crash_fields(struct ft_log_field out[ND_CRASH_FIELDS], const struct ft_crash_notice *notice,
                     const char *directory);
/* "SIGSEGV". */
const char *nd_crash_signal(char out[16], int number);
#define ND_CRASH_KEPT 16u         /* directories of a node; the oldest goes */
#define ND_CRASH_FREE (32u << 20) /* bytes that must be free: the node's view is on that disk, too */

/* Reports the end: writes the whole directory, under another name first, whose path goes to `path`, while
 * those that are too many go; logs a line; finishes the recording, if there is one. What a disk refuses is
 * logged. FT_EIO; FT_EFULL: the disk has less than ND_CRASH_FREE, and no report is written. */
int nd_crash_report(const struct nd_crash_case *c, char path[ND_CRASH_PATH], struct ft_fault *fault);

/* The life of the reporter's process: `feed` ends with the node, whose end it then reports; each byte of it
 * asks for the frames that a quarantine kept to be written. */
_Noreturn void nd_crash_run_reporter(struct nd_crash_case *c, int feed);

/* The names of struct nd_crash_told.reg. */
extern const char *const nd_crash_registers[ND_CRASH_REGISTERS];

/* The directories of a node, the newest first: names, allocated, of [*count]. 0, FT_ENOENT: `state` cannot be
 * read; FT_ENOMEM. */
int nd_crash_list(const char *state, const char *node, char ***names, unsigned *count);
void nd_crash_list_free(char **names, unsigned count);
/* The report.json of such a directory (a new reference), in which the node's user may have put anything. 0,
 * or with one line FT_EPERM, FT_ENOENT, FT_EMALFORMED. */
int nd_crash_read(const char *directory, json_t **report, struct ft_fault *fault);

#endif
