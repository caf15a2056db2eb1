/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of a node's end: a line, report.json and report.txt, and where its instructions are; and the
 * reports that there are, as `incidents` reads them. No state.
 */
#ifndef NODE_CRASH_REPORT_H
#define NODE_CRASH_REPORT_H

#include "ftcore/base/event_log.h"
#include "node/config/config.h"
#include "node/crash/page.h"

#include <jansson.h>
#include <stdio.h>

struct lg_recorder;

#define ND_CRASH_PATH 320u /* bytes of such a directory's path */

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

/* When the node ended, as near as is known: wall clock, ns. */
uint64_t nd_crash_wall(const struct nd_crash_case *c);
/* "crashed in NF nat, lane 0, burst 7, packet 3: SIGSEGV" of what a handler or a peer told. */
#define ND_CRASH_LINE 256u
const char *nd_crash_line(char out[ND_CRASH_LINE], const struct ft_crash_notice *notice);
/* The same of a case: "killed in lane 0 …" where no handler told anything. */
const char *nd_crash_case_line(char out[ND_CRASH_LINE], const struct nd_crash_case *c);
/* The event's: NF, lane, signal and directory, without those that are not known. */
#define ND_CRASH_FIELDS 5u
void nd_crash_fields(struct ft_log_field out[ND_CRASH_FIELDS], const struct ft_crash_notice *notice,
                     const char *directory);
/* "SIGSEGV". */
const char *nd_crash_signal(char out[16], int number);
/* report.json and report.txt; false: no memory, or an error of the files. `dir`: an open directory. */
bool nd_crash_report(const struct nd_crash_case *c, int dir);

/* A file in `dir` that is to be written; NULL: errno. */
FILE *nd_crash_file(int dir, const char *name);

/* Where an instruction is. */
struct nd_crash_place {
    char symbol[128];   /* "nat_process+0x1c"; "": no symbol is known */
    char source[192];   /* "nfs/nat/nat.c:123"; "": there is no debug information */
    const char *object; /* the file; "?": none */
    uint64_t offset;    /* in that file; without a file the address */
};
/* Files that are open for look-ups, all zero at first; owned and ended by who looks up. What is in more than
 * ND_CRASH_OBJECTS of them has no names. */
#define ND_CRASH_OBJECTS 24u
struct nd_crash_symbols {
    struct Dwfl *dwfl; /* NULL: nothing was looked up, or no memory; then nothing has a name */
    struct Dwfl_Module *object[ND_CRASH_OBJECTS];
    char path[ND_CRASH_OBJECTS][ND_CRASH_PATH];
    unsigned count;
};
void nd_crash_symbols_end(struct nd_crash_symbols *symbols);
/* An instruction of this program or of a module. Of a module that the node has loaded since the reporter was
 * forked `page` says where it lies; `out->object` may point there. */
void nd_crash_symbol(struct nd_crash_symbols *symbols, const struct nd_crash_page *page, uint64_t address,
                     struct nd_crash_place *out);
/* Of this program, in hex; "": it has none. */
const char *nd_crash_build_id(char out[64]);

/* Finishes the recording, if there is one. What a disk refuses is logged. */
void nd_crash_end_recording(const struct nd_crash_case *c);

/* The directories of a node, the newest first: names, allocated, of [*count]. 0, FT_ENOENT: `state` cannot be
 * read; FT_ENOMEM. */
int nd_crash_list(const char *state, const char *node, char ***names, unsigned *count);
void nd_crash_list_free(char **names, unsigned count);
/* The report.json of such a directory (a new reference), in which the node's user may have put anything. 0,
 * or with one line FT_EPERM, FT_ENOENT, FT_EMALFORMED. */
int nd_crash_read(const char *directory, json_t **report, struct ft_fault *fault);

#endif
