/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay --gdb: the same command line under gdb, with commands that stop before the packet. An NF gets a
 * burst as a list of pointers to packets, so the moment before it works on one of them is when it reads that
 * one's pointer: a hardware watchpoint for reading, set when its function is entered (nd_stop_before).
 * Nothing of it needs the NF to have symbols.
 */
#include "cli/options.h"
#include "tools/recording/crash.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMANDS 16u

#define ENTRY "*(*(unsigned long *)&nd_stop_entry)"
#define SLOT  "((unsigned long (*)(unsigned long, unsigned))nd_stop_slot)($rsi, (unsigned)$rdx)"

struct commands {
    const char *list[COMMANDS];
    unsigned count;
};

static void add(struct commands *c, const char *command)
{
    if (c->count < COMMANDS)
        c->list[c->count++] = command;
}

static void stop_before_packet(struct commands *c)
{
    add(c, "tbreak " ENTRY " if " SLOT " != 0");
    add(c, "continue");
    add(c, "set $slot = " SLOT);
    add(c, "rwatch -l *(unsigned long *)$slot");
    add(c, "continue");
    add(c, "delete");
}

/* A packet that is not known, or what is no packet: before the NF's function; outside of NFs: before the
 * burst. A fresh state comes to the burst somewhere: where it dies. */
static void stop_in_crash(struct commands *c, const struct nd_incident *r, bool fresh)
{
    bool packets = strcmp(r->death.doing, "packets") == 0;

    add(c, "set follow-fork-mode child");
    if (!fresh)
        add(c, "tbreak nd_stop_here");
    add(c, "run");
    if (fresh)
        return;
    if (packets && r->packet)
        stop_before_packet(c);
    else if (packets || strcmp(r->death.doing, "timers") == 0 || strcmp(r->death.doing, "set") == 0 ||
             strcmp(r->death.doing, "clear") == 0 || nd_incident_is_show(r)) {
        add(c, "tbreak " ENTRY);
        add(c, "continue");
    }
}

static int run_gdb(const struct commands *c, int argc, char **argv)
{
    const char **args = calloc(2 * COMMANDS + (size_t)argc + 8, sizeof(*args));
    static char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    unsigned n = 0;

    if (!args || len < 0) {
        fprintf(stderr, "understudy replay: no memory\n");
        free(args);
        return ND_SOFTWARE;
    }
    args[n++] = "gdb";
    args[n++] = "-q";
    for (unsigned i = 0; i < c->count; i++) {
        args[n++] = "-ex";
        args[n++] = c->list[i];
    }
    args[n++] = "--args";
    args[n++] = self;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "--g", 3) != 0) /* getopt knows it by its beginning, too */
            args[n++] = argv[i];
    fflush(NULL);
    execvp("gdb", (char *const *)(uintptr_t)args);
    fprintf(stderr, "understudy replay: gdb: %s, expected the package gdb\n", strerror(errno));
    free(args);
    return ND_NO_ANSWER;
}

int nd_replay_gdb(const struct nd_log_options *o, int argc, char **argv)
{
    struct commands c = {.count = 0};
    struct nd_incident report;
    struct nd_log_files files = {.count = 0};
    struct ft_fault fault;
    int error;

    add(&c, "set pagination off");
    add(&c, "set confirm off");
    if (o->crash) {
        error = nd_incident_read(&report, o->crash, &fault);
        if (error) {
            fprintf(stderr, "%s\n", fault.text);
            return nd_exit_of_file(error);
        }
        error = nd_incident_recording(&files, &report, o->paths, &fault);
        stop_in_crash(&c, &report, error || !nd_incident_has_burst(&files, &report));
        nd_log_files_close(&files);
    } else {
        add(&c, "tbreak nd_stop_here");
        add(&c, "run");
        stop_before_packet(&c);
    }
    return run_gdb(&c, argc, argv);
}
