/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay --crash: what a node died of, executed again. Reads what its reporter wrote (understudy/crash),
 * executes the node's recording to the burst that it crashed in, and that one, in a process of its own, and
 * compares the two deaths. Where no recording reaches the crash, the inputs that the reporter saved, from a
 * fresh state.
 *
 * And --gdb: the same command line under gdb, with commands that stop before the packet. An NF gets a burst
 * as a list of pointers to packets, so the moment before it works on one of them is when it reads that one's
 * pointer: a hardware watchpoint for reading, set when its function is entered (nd_stop_before). Nothing of
 * it needs the NF to have symbols.
 */
#include "understudy/base/text.h"
#include "understudy/crash/report.h"
#include "understudy/recording/recording.h"
#include "understudy/base/given.h"
#include "understudy/config/options.h"
#include "understudy/crash/handler.h"
#include "nflib/chain/chain.h"
#include "understudy/pair/child.h"
#include "understudy/pair/tape.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANGS_NS    2000000000ull /* a burst that has not ended when it was given so long hangs */
#define DEATH_BYTES 640u

/* How a process died: as a report has it, or as its handler of fatal signals described it here. */
struct death {
    char signal[16], nf[FT_CRASH_NAME], doing[16]; /* signal "": none; nf "": none */
    bool hangs, overflow;
    char symbol[128], object[256]; /* of the instruction; "": not known */
    uint64_t offset;               /* in the object */
};

/* What is taken from report.json. */
struct incident {
    char directory[256], line[LG_LINE_MAX], node[64], recording[256], build[64];
    struct death death;
    int lane; /* -1: none */
    uint64_t burst, wall;
    unsigned packet; /* of the burst, from 1; 0: not known */
};

/* ---- what a reporter wrote ------------------------------------------------------------------- */

/* It is printed: whoever may write there may not write on a terminal. */
static void copy_text(char *out, size_t size, const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    nd_printable(text ? text : "", out, size);
}

static uint64_t number_of(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);
    const char *hex = json_string_value(value);

    return hex ? strtoull(hex, NULL, 16) : (uint64_t)json_integer_value(value);
}

/* The innermost frame is where it died, unless the process jumped to an address outside of any object. */
static void read_place(struct death *d, const json_t *report)
{
    uint64_t ip = number_of(json_object_get(report, "registers"), "rip");
    const json_t *frame = json_array_get(json_object_get(report, "backtrace"), 0);

    d->offset = ip;
    snprintf(d->object, sizeof(d->object), "?");
    if (!json_is_true(json_object_get(frame, "sure")) || number_of(frame, "address") != ip)
        return;
    copy_text(d->symbol, sizeof(d->symbol), frame, "symbol");
    copy_text(d->object, sizeof(d->object), frame, "object");
    d->offset = number_of(frame, "offset");
}

static int check_report(const struct incident *r, const char *how, const char *file, struct ft_fault *fault)
{
    if (strcmp(how, "killed") == 0)
        return ft_fail(fault, FT_EMALFORMED, "%.160s: the node was killed, expected one that crashed", file);
    if (strcmp(how, "crashed") != 0 && strcmp(how, "hung") != 0)
        return ft_fail(fault, FT_EMALFORMED, "%.160s: no report of a node's end, expected one", file);
    if (r->lane < 0 || r->packet > FT_BURST_MAX)
        return ft_fail(fault, FT_EMALFORMED, "%.160s: it crashed outside of its lanes, expected a burst",
                       file);
    return 0;
}

/* 0, or FT_ENOENT, FT_EPERM, FT_EMALFORMED with one line; a node that was killed crashed in nothing. */
static int read_incident(struct incident *out, const char *directory, struct ft_fault *fault)
{
    char file[300], how[16];
    const json_t *lane;
    json_t *report;
    uint64_t packet;
    int error;

    *out = (struct incident){.lane = -1};
    snprintf(out->directory, sizeof(out->directory), "%s", directory);
    if (strlen(directory) >= sizeof(out->directory))
        return ft_fail(fault, FT_EMALFORMED, "%.160s…: %zu characters, expected fewer than %zu", directory,
                       strlen(directory), sizeof(out->directory));
    error = nd_crash_read(directory, &report, fault);
    if (error)
        return error;
    snprintf(file, sizeof(file), "%s/report.json", out->directory);
    copy_text(how, sizeof(how), report, "how");
    copy_text(out->line, sizeof(out->line), report, "line");
    copy_text(out->node, sizeof(out->node), report, "node");
    copy_text(out->recording, sizeof(out->recording), report, "recording");
    copy_text(out->build, sizeof(out->build), report, "build_id");
    copy_text(out->death.signal, sizeof(out->death.signal), report, "signal");
    copy_text(out->death.nf, sizeof(out->death.nf), report, "nf");
    copy_text(out->death.doing, sizeof(out->death.doing), report, "doing");
    out->death.hangs = strcmp(how, "hung") == 0;
    out->death.overflow = json_is_true(json_object_get(report, "stack_overflow"));
    out->burst = number_of(report, "burst");
    out->wall = number_of(report, "time_ns");
    packet = number_of(report, "packet");
    out->packet = packet <= FT_BURST_MAX ? (unsigned)packet : FT_BURST_MAX + 1;
    lane = json_object_get(report, "lane");
    if (json_is_integer(lane) && json_integer_value(lane) >= 0 && json_integer_value(lane) < FT_LANES_MAX)
        out->lane = (int)json_integer_value(lane);
    read_place(&out->death, report);
    json_decref(report);
    return check_report(out, how, file, fault);
}

/* Opens the recording that ends with this crash, and what leads to it: in `paths`, which ends with NULL, or
 * when that is empty where the node recorded. 0, or with one line. */
static int open_recording(struct nd_log_files *files, const struct incident *report,
                          const char *const paths[], struct ft_fault *fault)
{
    const char *const own[] = {report->recording, NULL};
    int error;

    if (!paths[0] && !report->recording[0])
        return ft_fail(fault, FT_ENOENT, "the node recorded nothing");
    error = nd_log_files_open(files, paths[0] ? paths : own, fault);
    if (!error)
        error = nd_log_files_choose_end(files, report->node, report->wall, fault);
    if (!error && files->count == 0)
        error = ft_fail(fault, FT_ENOENT, "%.120s: no recording that reaches this end",
                        paths[0] ? paths[0] : report->recording);
    return error;
}

/* It crashed between bursts, in an answer to `show`. */
static bool is_show(const struct incident *report)
{
    return strcmp(report->death.doing, "show") == 0;
}

/* Whether the burst is among what the recording ends with; of `show`: whether the burst before it is its
 * last. */
static bool has_burst(const struct nd_log_files *files, const struct incident *report)
{
    const struct lg_recording *last = files->list[files->count - 1];
    unsigned lane = (unsigned)report->lane;

    if (lane >= last->head.lanes)
        return false;
    if (is_show(report))
        return !last->begun[lane].content && last->end[lane].burst == report->burst;
    return last->begun[lane].content && last->end[lane].burst + 1 == report->burst;
}

struct again {
    struct incident report;
    struct nd_log log;
    struct nd_tape tape;
    bool fresh;          /* there is no recording that has the burst */
    struct ft_fault why; /* the reason */
    struct death here;   /* what came of it */
};

/* ---- the process that dies ---- */

/* What an operator asked for when the node died, all of it. */
static void show_again(const struct again *a, struct nf_chain *chain)
{
    static char page[256u << 10];
    const struct nf *nf = nf_chain_find(chain, a->report.death.nf);
    struct nf_show *out = NULL;
    uint64_t cursor = 0;
    bool more = nf && nf->module->show;

    nd_crash_thread(a->fresh ? 0 : (int)a->log.crash_lane);
    nd_stop_before(a->log.crash_entry, NULL);
    while (more && (out = nf_show_begin(page, sizeof(page)))) {
        more = nf_chain_show(chain, nf, out, &cursor);
        nf_show_end(out);
    }
}

/* What the reporter saved of the lanes' last inputs, in order, as bursts of one lane. */
static int run_fresh(const struct again *a, struct ft_fault *fault)
{
    static const struct ft_region_config how = {.name = "understudy replay"};
    static struct ft_published published[1];
    const struct nf_chain_config *config = &a->log.config->chain;
    struct nf_packet packets[NF_BURST_MAX];
    uint8_t *frames;
    struct ft_region *region;
    struct nf_chain *chain;
    int error = nf_chain_region(&region, config, &how, fault);

    if (error || (error = nf_chain_make(&chain, config, region, 0, 1, fault)))
        return error;
    frames = malloc(nd_tape_frames_bytes(&a->tape));
    if (!frames)
        return ft_fail(fault, FT_ENOMEM, "no memory for frames");
    nf_chain_share(chain, published);
    nf_chain_mark(chain, &a->log.page->lane[0].mark);
    nd_crash_thread(0);
    for (uint64_t b = 0; b < a->tape.burst_count; b++) {
        const struct nd_tape_burst *burst = &a->tape.bursts[b];

        nd_tape_packets(&a->tape, burst, frames, packets);
        nf_chain_run(chain, b + 1, burst->time, packets, burst->n);
    }
    if (is_show(&a->report))
        show_again(a, chain);
    free(frames);
    return 0;
}

static _Noreturn void run_child(struct again *a)
{
    static const struct ft_datagram_key nobody;
    const struct rlimit none = {0, 0};
    struct ft_fault fault = {""};
    int error;

    setrlimit(RLIMIT_CORE, &none);
    nd_crash_catch(a->log.page, a->log.shared, a->log.config->chain.lanes, &nobody);
    error = a->fresh ? run_fresh(a, &fault) : nd_log_run_crash(&a->log, &fault);
    if (!error && !a->fresh && is_show(&a->report))
        show_again(a, a->log.node.lane[a->log.crash_lane].chain);
    if (error)
        fprintf(stderr, "%s\n", fault.text);
    _exit(error ? nd_log_exit_of(error) : ND_DONE);
}

/* A debugger is attached: no time limit. */
static bool is_traced(pid_t child)
{
    char name[64], line[128];
    int tracer = 0;
    FILE *in;

    snprintf(name, sizeof(name), "/proc/%d/status", (int)child);
    in = fopen(name, "re");
    while (in && !tracer && fgets(line, sizeof(line), in))
        sscanf(line, "TracerPid: %d", &tracer);
    if (in)
        fclose(in);
    return tracer != 0;
}

/* The burst in question, or any of a fresh state, has made no progress for HANGS_NS. `time`: what it was
 * given; `since`: when it last moved. */
static bool stands(const struct again *a, uint64_t time, uint64_t before[2], uint64_t *since)
{
    const struct nf_mark *mark = &a->log.page->lane[a->fresh ? 0 : a->log.crash_lane].mark;
    uint64_t now[2] = {atomic_load(&mark->burst), atomic_load(&mark->nf)};
    bool at = atomic_load(&mark->doing) != NF_DOING_NOTHING && (a->fresh || now[0] == a->report.burst);

    if (!at || memcmp(now, before, sizeof(now)) != 0)
        *since = time;
    memcpy(before, now, sizeof(now));
    return time - *since > HANGS_NS;
}

/* Its status; *traced: a debugger had it. */
static int wait_child(struct again *a, pid_t child, bool *traced)
{
    uint64_t before[2] = {0}, since = 0;
    struct nd_given given = {0};
    int status = 0;

    while (waitpid(child, &status, WNOHANG) == 0) {
        *traced |= is_traced(child);
        if (*traced || !stands(a, nd_given_look(&given, &child, 1), before, &since)) {
            nd_sleep(10000000);
            continue;
        }
        a->here.hangs = true;
        nd_child_kill(&child);
        break;
    }
    return status;
}

/* ---- how it died ---- */

static void note_place(struct death *d, const struct nd_crash_page *page)
{
    const struct nd_crash_told *told = &page->told;
    struct nd_crash_symbols symbols = {.count = 0};
    struct nd_crash_place place;

    nd_crash_symbol(&symbols, page, told->reg[ND_CRASH_REGISTERS - 1], &place);
    nd_crash_symbols_end(&symbols);
    snprintf(d->symbol, sizeof(d->symbol), "%s", place.symbol);
    snprintf(d->object, sizeof(d->object), "%s", place.object);
    d->offset = place.offset;
    nd_crash_signal(d->signal, told->number);
    d->overflow = told->overflow;
}

static void note_death(struct again *a, int status)
{
    const struct nd_crash_told *told = &a->log.page->told;
    unsigned lane = a->fresh ? 0 : a->log.crash_lane;
    const struct nf_mark *mark =
        &a->log.page->lane[told->owner && told->lane >= 0 ? (unsigned)told->lane : lane].mark;
    uint32_t nf = atomic_load(&mark->nf), doing = atomic_load(&mark->doing);
    const struct nf_chain_config *chain = &a->log.config->chain;

    if (told->owner)
        note_place(&a->here, a->log.page);
    else if (WIFSIGNALED(status))
        nd_crash_signal(a->here.signal, WTERMSIG(status));
    snprintf(a->here.doing, sizeof(a->here.doing), "%s", nf_doing_name(doing));
    if (doing != NF_DOING_NOTHING && nf <= chain->count)
        snprintf(a->here.nf, sizeof(a->here.nf), "%s", nf ? chain->nfs[nf - 1].module->name : "l3");
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_in_c_library(const struct death *d)
{
    return strncmp(file_of(d->object), "libc.so", strlen("libc.so")) == 0;
}

/* Where a stack comes to its end is up to how much of it was there, and the instruction in the C library is
 * up to the addresses that it is given, which are others here: it copies forwards or backwards by them. */
static bool is_same_place(const struct death *a, const struct death *b)
{
    size_t len = strcspn(a->symbol, "+");
    bool function = a->symbol[0] && is_in_c_library(a) && is_in_c_library(b);

    if (function || (a->overflow && b->overflow))
        return len == strcspn(b->symbol, "+") && memcmp(a->symbol, b->symbol, len) == 0;
    if (a->symbol[0] && b->symbol[0])
        return strcmp(a->symbol, b->symbol) == 0;
    return strcmp(file_of(a->object), file_of(b->object)) == 0 && a->offset == b->offset;
}

static bool is_same_death(const struct death *a, const struct death *b)
{
    if (a->hangs != b->hangs || strcmp(a->nf, b->nf) != 0 || strcmp(a->doing, b->doing) != 0)
        return false;
    return a->hangs || (strcmp(a->signal, b->signal) == 0 && is_same_place(a, b));
}

static const char *describe_death(char out[DEATH_BYTES], const struct death *d)
{
    bool packets = strcmp(d->doing, "packets") == 0 || strcmp(d->doing, "nothing") == 0;
    char place[96], at[400];

    snprintf(place, sizeof(place), "%s%s%s%s", packets ? "" : d->doing, packets ? "" : " of ",
             d->nf[0] ? "NF " : "", d->nf[0] ? d->nf : "no NF");
    if (d->symbol[0])
        snprintf(at, sizeof(at), "%s", d->symbol);
    else
        snprintf(at, sizeof(at), "%s+0x%lx", d->object, d->offset);
    if (d->hangs)
        snprintf(out, DEATH_BYTES, "hangs in %s", place);
    else if (!d->signal[0])
        snprintf(out, DEATH_BYTES, "went on: nothing crashed");
    else
        snprintf(out, DEATH_BYTES, "%s in %s at %s", d->signal, place, at);
    return out;
}

static json_t *make_death(const struct death *d)
{
    return json_pack("{s:s?, s:s?, s:s, s:b, s:s?, s:s?, s:I}", "signal", d->signal[0] ? d->signal : NULL,
                     "nf", d->nf[0] ? d->nf : NULL, "doing", d->doing, "hangs", d->hangs, "symbol",
                     d->symbol[0] ? d->symbol : NULL, "object", d->object[0] ? d->object : NULL, "offset",
                     (json_int_t)d->offset);
}

/* ---- the command ---- */

static int print_outcome(const struct again *a)
{
    bool json = a->log.options->json, same = is_same_death(&a->report.death, &a->here);
    FILE *out = json ? stderr : stdout;
    char line[DEATH_BYTES], build[64];
    json_t *o;
    int code = same ? ND_DONE : ND_NOT_EQUAL;

    fprintf(out, "%s: %s\n", a->report.directory, same ? "reproduced" : "NOT REPRODUCED");
    if (a->fresh)
        fprintf(out, "  executed       inputs.pcapng, from a fresh state: %s\n", a->why.text);
    else
        fprintf(out, "  executed       %u files to %s, and %s: lane %d burst %lu\n", a->log.files.count,
                a->log.files.list[a->log.files.count - 1]->file,
                is_show(&a->report) ? "then `show`" : "the burst that it ends in", a->report.lane,
                a->report.burst);
    fprintf(out, "  the report     %s\n", describe_death(line, &a->report.death));
    fprintf(out, "  here           %s\n", describe_death(line, &a->here));
    if (!same && strcmp(a->report.build, nd_crash_build_id(build)) != 0)
        fprintf(out, "  other builds   the node was %s, this is %s\n", a->report.build, build);
    if (!json)
        return code;
    o = json_pack("{s:s, s:b, s:s, s:b, s:s?, s:o, s:o}", "directory", a->report.directory, "reproduced",
                  same, "line", a->report.line, "fresh", a->fresh, "why_fresh", a->fresh ? a->why.text : NULL,
                  "report", make_death(&a->report.death), "here", make_death(&a->here));
    code = o && nd_print_json(o) == 0 ? code : ND_SOFTWARE;
    json_decref(o);
    return code;
}

/* The recording, or else what stands in for it. */
static int choose_inputs(struct again *a, const struct nd_log_options *o, struct ft_fault *fault)
{
    char file[300];
    int error = open_recording(&a->log.files, &a->report, o->paths, &a->why);

    if (!error && has_burst(&a->log.files, &a->report))
        return nd_config_read(&a->log.config, o->config, 0, fault);
    if (!error)
        ft_fail(&a->why, FT_ENOENT, "%.160s ends before the burst",
                a->log.files.list[a->log.files.count - 1]->file);
    a->fresh = true;
    snprintf(file, sizeof(file), "%s/inputs.pcapng", a->report.directory);
    error = nd_config_read(&a->log.config, o->config, 0, fault);
    if (error)
        return error;
    a->log.config->chain.l3 = NULL;
    a->log.config->chain.lanes = 1;
    return nd_tape_read(&a->tape, file, &a->log.config->chain, NULL, fault);
}

/* What a debugger needs to know beforehand. */
static void find_entry(struct again *a)
{
    const struct nf_chain_config *chain = &a->log.config->chain;

    a->log.crash_lane = (unsigned)a->report.lane;
    a->log.crash_packet = a->report.packet;
    for (unsigned i = 0; i < chain->count; i++) {
        const struct nf_module *m = chain->nfs[i].module;

        if (strcmp(m->name, a->report.death.nf) != 0)
            continue;
        a->log.crash_entry = strcmp(a->report.death.doing, "timers") == 0  ? (uintptr_t)m->timers
                             : strcmp(a->report.death.doing, "show") == 0  ? (uintptr_t)m->show
                             : strcmp(a->report.death.doing, "set") == 0   ? (uintptr_t)m->set
                             : strcmp(a->report.death.doing, "clear") == 0 ? (uintptr_t)m->clear
                                                                           : (uintptr_t)m->process;
    }
}

static int die_again(struct again *a)
{
    bool traced = false;
    int status;
    pid_t child;

    fflush(NULL);
    child = nd_child();
    if (child == 0)
        run_child(a);
    if (child < 0) {
        fprintf(stderr, "understudy replay: no process\n");
        return ND_SOFTWARE;
    }
    status = wait_child(a, child, &traced);
    if (traced) /* whoever looked at it knows more than this program */
        return ND_DONE;
    if (!a->here.hangs && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    note_death(a, status);
    return print_outcome(a);
}

int nd_replay_crash(const struct nd_log_options *options)
{
    static struct again a;
    struct ft_fault fault = {""};
    int error = read_incident(&a.report, options->crash, &fault), code;

    a.log.options = options;
    a.log.page = nd_shared_memory(sizeof(*a.log.page));
    if (!error && !a.log.page)
        error = ft_fail(&fault, FT_ENOMEM, "understudy replay: no memory");
    if (!error)
        error = choose_inputs(&a, options, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        code = nd_log_exit_of(error);
    } else {
        find_entry(&a);
        code = die_again(&a);
    }
    nd_log_files_close(&a.log.files);
    nd_tape_free(&a.tape);
    nd_config_free(a.log.config);
    return code;
}

/* ---- under gdb ---- */

#define COMMANDS 16u

#define ENTRY "*(*(unsigned long *)&nd_stop_entry)"
#define SLOT  "((unsigned long (*)(unsigned long, unsigned))nd_stop_slot)($rsi, (unsigned)$rdx)"

/* gdb's arguments so far. */
struct commands {
    const char **args;
    unsigned count;
};

static void add(struct commands *c, const char *command)
{
    c->args[c->count++] = "-ex";
    c->args[c->count++] = command;
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
static void stop_in_crash(struct commands *c, const struct incident *r, bool fresh)
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
             strcmp(r->death.doing, "clear") == 0 || is_show(r)) {
        add(c, "tbreak " ENTRY);
        add(c, "continue");
    }
}

int nd_replay_gdb(const struct nd_log_options *o, int argc, char **argv)
{
    struct commands c = {.args = calloc(2 * COMMANDS + (size_t)argc + 8, sizeof(*c.args))};
    static char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    struct incident report;
    struct nd_log_files files = {.count = 0};
    struct ft_fault fault;
    int error;

    if (!c.args || len < 0) {
        fprintf(stderr, "understudy replay: no memory\n");
        free(c.args);
        return ND_SOFTWARE;
    }
    c.args[c.count++] = "gdb";
    c.args[c.count++] = "-q";
    add(&c, "set pagination off");
    add(&c, "set confirm off");
    if (o->crash) {
        error = read_incident(&report, o->crash, &fault);
        if (error) {
            fprintf(stderr, "%s\n", fault.text);
            free(c.args);
            return nd_exit_of_file(error);
        }
        error = open_recording(&files, &report, o->paths, &fault);
        stop_in_crash(&c, &report, error || !has_burst(&files, &report));
        nd_log_files_close(&files);
    } else {
        add(&c, "tbreak nd_stop_here");
        add(&c, "run");
        stop_before_packet(&c);
    }
    c.args[c.count++] = "--args";
    c.args[c.count++] = self;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "--g", 3) != 0) /* getopt knows it by its beginning, too */
            c.args[c.count++] = argv[i];
    fflush(NULL);
    execvp("gdb", (char *const *)(uintptr_t)c.args);
    fprintf(stderr, "understudy replay: gdb: %s, expected the package gdb\n", strerror(errno));
    free(c.args);
    return ND_NO_ANSWER;
}
