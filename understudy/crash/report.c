/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a node's end, its writer, and the reports that there are; see report.h. */
#define _GNU_SOURCE
#include "understudy/crash/report.h"
#include "ftcore/base/durable.h"
#include "ftcore/base/event_log.h"
#include "ftcore/protocol/core.h"
#include "logger/recorder/recorder.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"
#include "understudy/base/pcapng_file.h"
#include "understudy/base/process.h"
#include "understudy/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

const char *nd_crash_signal(char out[16], int number)
{
    const char *name = sigabbrev_np(number);

    if (name)
        snprintf(out, 16, "SIG%s", name);
    else
        snprintf(out, 16, "signal %d", number);
    return out;
}

/* When the node ended, as near as is known: wall clock, ns. */
static uint64_t wall_of_end(const struct nd_crash_case *c)
{
    return c->page->told.wall ? c->page->told.wall : c->now;
}

const char *const nd_crash_registers[ND_CRASH_REGISTERS] = {"r8",  "r9",  "r10", "r11", "r12", "r13",
                                                            "r14", "r15", "rdi", "rsi", "rbp", "rbx",
                                                            "rdx", "rax", "rcx", "rsp", "rip"};

#define DESCRIBED 160u /* bytes of what a lane is at */
#define COMMENT   160u /* of a packet in a pcapng file */

/* The lane that described its end, -1: none. The page is what a process left whose NFs may have written
 * anywhere. */
static int described_lane(const struct nd_crash_case *c)
{
    int lane = c->page->told.lane;

    return lane >= 0 && (unsigned)lane < c->config->chain.lanes ? lane : -1;
}

/* ---- one line ---- */

/* "NF nat", "the timers of NF nat", "the chain's sessions", "the sessions of NF nat": one ends. */
static void name_place(char out[96], const char *nf, unsigned doing)
{
    static const char *const of[NF_DOINGS] = {
        [NF_DOING_TIMERS] = "the timers of ", [NF_DOING_SESSIONS] = "the sessions of ",
        [NF_DOING_SHOW] = "show of ",         [NF_DOING_SET] = "set of ",
        [NF_DOING_CLEAR] = "clear of ",       [NF_DOING_MAKE] = "make of ",
        [NF_DOING_CHECK] = "check_state of "};

    if (doing == NF_DOING_SESSIONS && strcmp(nf, "l3") == 0)
        snprintf(out, 96, "the chain's sessions");
    else if (doing == NF_DOING_NOTHING || doing >= NF_DOINGS)
        snprintf(out, 96, "no NF");
    else
        snprintf(out, 96, "%s%s%s", of[doing] ? of[doing] : "", strcmp(nf, "l3") == 0 ? "" : "NF ", nf);
}

const char *nd_crash_line(char out[ND_CRASH_LINE], const struct ft_crash_notice *notice)
{
    char place[96], name[16], packet[32] = "";

    name_place(place, notice->nf, notice->doing);
    nd_crash_signal(name, (int)notice->signal);
    if (notice->packet)
        snprintf(packet, sizeof(packet), ", packet %u", notice->packet);
    if (notice->lane == FT_CRASH_NO_LANE)
        snprintf(out, ND_CRASH_LINE, "crashed outside of its lanes: %s", name);
    else if (notice->hung)
        snprintf(out, ND_CRASH_LINE, "hung in %s, lane %u, burst %lu%s", place, notice->lane, notice->burst,
                 packet);
    else
        snprintf(out, ND_CRASH_LINE, "crashed in %s, lane %u, burst %lu%s: %s", place, notice->lane,
                 notice->burst, packet, name);
    return out;
}

void nd_crash_fields(struct ft_log_field out[ND_CRASH_FIELDS], const struct ft_crash_notice *notice,
                     const char *directory)
{
    unsigned n = 0;

    if (notice->nf[0])
        out[n++] = (struct ft_log_field){"nf", .text = notice->nf};
    if (notice->signal && notice->lane != FT_CRASH_NO_LANE)
        out[n++] = (struct ft_log_field){"lane", .number = notice->lane};
    if (notice->signal)
        out[n++] = (struct ft_log_field){"signal", .number = notice->signal};
    if (directory)
        out[n++] = (struct ft_log_field){"directory", .text = directory};
    out[n] = (struct ft_log_field){0};
}

/* The first lane that was at work for an NF when the node was killed; -1: none. */
static int find_busy(const struct nd_crash_case *c)
{
    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        if (atomic_load(&c->page->lane[l].mark.doing) != NF_DOING_NOTHING)
            return (int)l;
    return -1;
}

static void describe_lane(char out[DESCRIBED], const struct nd_crash_case *c, unsigned lane)
{
    const struct nf_mark *mark = &c->page->lane[lane].mark;
    uint32_t nf = atomic_load(&mark->nf);
    char place[96];

    name_place(place, nf < FT_NFS_MAX ? c->page->nf[nf] : "?", atomic_load(&mark->doing));
    snprintf(out, DESCRIBED, "lane %u in %s, burst %lu", lane, place, atomic_load(&mark->burst));
}

/* "killed in lane 0 …" where no handler described anything. */
static const char *describe_case(char out[ND_CRASH_LINE], const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    char text[DESCRIBED], name[16];
    int busy = find_busy(c);

    if (told->owner && told->whole) {
        nd_crash_line(out, &told->notice);
    } else if (told->owner && told->hangs && described_lane(c) >= 0) {
        describe_lane(text, c, (unsigned)described_lane(c));
        snprintf(out, ND_CRASH_LINE, "hung: %s", text);
    } else if (told->owner) {
        snprintf(out, ND_CRASH_LINE, "crashed: %s", nd_crash_signal(name, told->number));
    } else if (busy >= 0) {
        describe_lane(text, c, (unsigned)busy);
        snprintf(out, ND_CRASH_LINE, "was killed with %s", text);
    } else {
        snprintf(out, ND_CRASH_LINE, "was killed; no lane was in an NF");
    }
    return out;
}

/* ---- JSON ---- */

static json_t *make_time(uint64_t wall)
{
    char out[64];

    return json_string(nd_wall_format(out, sizeof(out), "%Y-%m-%dT%H:%M:%S", 6, wall));
}

static json_t *make_hex(uint64_t value)
{
    char out[24];

    snprintf(out, sizeof(out), "0x%lx", value);
    return json_string(out);
}

static json_t *make_text(const char *text)
{
    json_t *o = json_string(text);

    return o ? o : json_string("?"); /* a name that is no UTF-8 */
}

/* `sure`: it is known to be one. Otherwise it is, if it is known to be in a function. A return address is
 * behind its call, which may be the last instruction of its function. */
static void add_frame(json_t *list, struct nd_crash_symbols *symbols, const struct nd_crash_page *page,
                      uint64_t address, bool returns, bool sure)
{
    struct nd_crash_place place;

    nd_crash_symbol(symbols, page, address - returns, &place);
    if (!sure && !place.symbol[0])
        return;
    json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o*, s:o*, s:b}", "address", make_hex(address),
                                          "object", make_text(place.object), "offset",
                                          make_hex(place.offset + returns), "symbol",
                                          place.symbol[0] ? make_text(place.symbol) : NULL, "source",
                                          place.source[0] ? make_text(place.source) : NULL, "sure", sure));
}

static json_t *make_backtrace(const struct nd_crash_page *page)
{
    const struct nd_crash_told *told = &page->told;
    struct nd_crash_symbols symbols = {.count = 0};
    json_t *list = json_array();
    uint32_t n = atomic_load(&told->frames);

    for (uint32_t i = 0; i < n && i < ND_CRASH_FRAMES; i++)
        add_frame(list, &symbols, page, told->frame[i], i > 0, true);
    for (uint32_t i = 0; n <= 1 && i < told->words && i < ND_CRASH_WORDS; i++)
        add_frame(list, &symbols, page, told->word[i], true, false);
    nd_crash_symbols_end(&symbols);
    return list;
}

static json_t *make_registers(const struct nd_crash_told *told)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < ND_CRASH_REGISTERS; i++)
        json_object_set_new(o, nd_crash_registers[i], make_hex(told->reg[i]));
    return o;
}

static json_t *make_lane(const struct nd_crash_case *c, unsigned l)
{
    const struct nf_mark *mark = &c->page->lane[l].mark;
    uint64_t turn = atomic_load(&c->shared[l].count.turn_ns);
    uint64_t at = c->page->told.monotonic ? c->page->told.monotonic : c->monotonic;
    uint32_t nf = atomic_load(&mark->nf), doing = atomic_load(&mark->doing);

    return json_pack("{s:i, s:i, s:s, s:o*, s:I, s:I, s:I, s:I, s:I, s:I}", "lane", (int)l, "thread",
                     (int)c->page->lane[l].thread, "doing", nf_doing_name(doing), "nf",
                     doing != NF_DOING_NOTHING && nf < FT_NFS_MAX ? make_text(c->page->nf[nf]) : NULL,
                     "burst", (json_int_t)atomic_load(&mark->burst), "chain_time_ns",
                     (json_int_t)atomic_load(&mark->time), "seq", (json_int_t)atomic_load(&mark->seq),
                     "executed", (json_int_t)FT_REPORT_GET(&c->shared[l], executed), "stable",
                     (json_int_t)FT_ORDER_GET(&c->shared[l], stable), "turn_age_ns",
                     (json_int_t)(turn && at > turn ? at - turn : 0));
}

static void add_packets(json_t *o, const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    json_t *list = json_array();

    for (unsigned i = 0; i < FT_BURST_MAX; i++)
        if (told->found >> i & 1)
            json_array_append_new(list, json_integer(i + 1));
    json_object_set_new(o, "packets", list);
    json_object_set_new(o, "packet", told->notice.packet ? json_integer(told->notice.packet) : json_null());
    json_object_set_new(o, "captured", json_boolean(told->captured));
}

static void add_crash(json_t *o, const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    const struct ft_crash_notice *notice = &told->notice;
    char name[16];

    json_object_set_new(o, "signal", json_string(nd_crash_signal(name, told->number)));
    json_object_set_new(o, "code", json_integer(told->code));
    json_object_set_new(o, "sender", json_integer(told->sender));
    json_object_set_new(o, "address", told->located ? make_hex(told->address) : json_null());
    json_object_set_new(o, "stack_overflow", json_boolean(told->overflow));
    json_object_set_new(o, "invariant", told->text[0] ? make_text(told->text) : json_null());
    json_object_set_new(o, "thread", make_text(told->name));
    json_object_set_new(o, "lane", described_lane(c) < 0 ? json_null() : json_integer(told->lane));
    json_object_set_new(o, "nf", notice->nf[0] ? make_text(notice->nf) : json_null());
    json_object_set_new(o, "doing", json_string(nf_doing_name(notice->doing)));
    json_object_set_new(o, "burst", json_integer((json_int_t)notice->burst));
    add_packets(o, c);
    json_object_set_new(o, "backtrace", make_backtrace(c->page));
    json_object_set_new(o, "registers", make_registers(told));
    json_object_set_new(o, "handler_us", json_integer((json_int_t)(told->took / 1000)));
}

static json_t *make_report(const struct nd_crash_case *c)
{
    const struct nd_crash_page *page = c->page;
    const struct nd_crash_told *told = &page->told;
    const struct nd_config *config = c->config;
    static char identity[1u << 16];
    char line[ND_CRASH_LINE], build[64];
    json_t *lanes = json_array(), *o = json_object();
    uint64_t wall = wall_of_end(c);
    uint32_t len = nf_chain_identity(&config->chain, identity, sizeof(identity) - 1);

    identity[len < sizeof(identity) ? len : sizeof(identity) - 1] = '\0';
    json_object_set_new(o, "line", make_text(describe_case(line, c)));
    json_object_set_new(o, "how", json_string(!told->owner ? "killed" : told->hangs ? "hung" : "crashed"));
    json_object_set_new(o, "time", make_time(wall));
    json_object_set_new(o, "time_ns", json_integer((json_int_t)wall));
    json_object_set_new(o, "node", make_text(config->node[c->self].name));
    json_object_set_new(o, "process", json_integer(c->pid));
    json_object_set_new(o, "state", json_string(ft_state_name((enum ft_state)page->state)));
    json_object_set_new(o, "view", json_integer((json_int_t)page->view));
    if (told->owner)
        add_crash(o, c);
    for (unsigned l = 0; l < config->chain.lanes; l++)
        json_array_append_new(lanes, make_lane(c, l));
    json_object_set_new(o, "lanes", lanes);
    json_object_set_new(o, "version", json_string(UNDERSTUDY_VERSION));
    json_object_set_new(o, "build_id", json_string(nd_crash_build_id(build)));
    json_object_set_new(o, "file", make_text(config->file));
    json_object_set_new(o, "chain", make_text(config->chain.name));
    json_object_set_new(o, "chain_hash", make_hex(page->chain));
    json_object_set_new(o, "identity", make_text(identity)); /* as at the start of the process */
    json_object_set_new(o, "recording", config->record.dir[0] ? make_text(config->record.dir) : json_null());
    return o;
}

/* ---- text ---- */

static void print_backtrace(FILE *out, const json_t *report)
{
    const json_t *list = json_object_get(report, "backtrace"), *frame;
    size_t i;

    json_array_foreach(list, i, frame)
    {
        const char *symbol = json_string_value(json_object_get(frame, "symbol"));
        const char *source = json_string_value(json_object_get(frame, "source"));

        fprintf(out, "  #%-2zu %s %s%s%s%s (%s+%s)\n", i,
                json_string_value(json_object_get(frame, "address")), symbol ? symbol : "?",
                source ? " at " : "", source ? source : "",
                json_is_true(json_object_get(frame, "sure")) ? "" : ", from the stack",
                json_string_value(json_object_get(frame, "object")),
                json_string_value(json_object_get(frame, "offset")));
    }
}

static void print_packet(FILE *out, const struct nd_crash_told *told)
{
    if (!told->found && told->captured)
        fprintf(out, "packet     none of the burst's is pointed to by registers or stack\n");
    for (unsigned i = 0; i < FT_BURST_MAX; i++)
        if (told->found >> i & 1)
            fprintf(out, "packet     %u of the burst, %s in burst.pcapng\n", i + 1,
                    __builtin_popcount(told->found) == 1 ? "marked" : "one of several that are marked");
    if (told->n)
        fprintf(out, "frames     as the NFs had left them%s\n",
                told->begun ? ", but for what was captured of each: addresses and ports, or its beginning"
                            : ": nothing captured this burst");
}

static void print_crash(FILE *out, const struct nd_crash_case *c, const json_t *report)
{
    const struct nd_crash_told *told = &c->page->told;
    char name[16];

    fprintf(out, "signal     %s, code %d", nd_crash_signal(name, told->number), told->code);
    if (told->located)
        fprintf(out, ", address 0x%lx%s", told->address, told->overflow ? ": the stack is at its end" : "");
    else if (told->code > 0)
        fprintf(out, ", address not known: not a canonical one");
    if (told->sender)
        fprintf(out, ", sent by process %d", told->sender);
    fprintf(out, "\n");
    if (told->text[0])
        fprintf(out, "invariant  %s\n", told->text);
    fprintf(out, "thread     %s (%d)\n", told->name, told->thread);
    print_packet(out, told);
    fprintf(out, "backtrace\n");
    print_backtrace(out, report);
    fprintf(out, "registers\n");
    for (unsigned i = 0; i < ND_CRASH_REGISTERS; i++)
        fprintf(out, "  %-4s %016lx%s", nd_crash_registers[i], told->reg[i],
                i % 4 == 3 || i + 1 == ND_CRASH_REGISTERS ? "\n" : "");
}

static void print_text(FILE *out, const struct nd_crash_case *c, const json_t *report)
{
    char line[ND_CRASH_LINE];
    const json_t *lane;
    size_t l;

    fprintf(out, "node %s %s\n\n", c->config->node[c->self].name, describe_case(line, c));
    fprintf(out, "time       %s\n", json_string_value(json_object_get(report, "time")));
    fprintf(out, "state      %s, view %lu\n", json_string_value(json_object_get(report, "state")),
            (uint64_t)c->page->view);
    if (c->page->told.owner)
        print_crash(out, c, report);
    fprintf(out, "lanes\n");
    json_array_foreach(json_object_get(report, "lanes"), l, lane)
    {
        describe_lane(line, c, (unsigned)l);
        fprintf(out, "  %s, chain time %lu, input %lu, turn %.3f ms before\n", line,
                (uint64_t)json_integer_value(json_object_get(lane, "chain_time_ns")),
                (uint64_t)json_integer_value(json_object_get(lane, "seq")),
                (double)json_integer_value(json_object_get(lane, "turn_age_ns")) / 1e6);
    }
    fprintf(out, "program    understudy %s, build %s\n", UNDERSTUDY_VERSION,
            json_string_value(json_object_get(report, "build_id")));
    fprintf(out, "chain      %s of %s, hash %s\n", c->config->chain.name, c->config->file,
            json_string_value(json_object_get(report, "chain_hash")));
    if (c->config->record.dir[0])
        fprintf(out, "recording  %s\n", c->config->record.dir);
}

/* A file in `dir` that is to be written; NULL: errno. */
static FILE *make_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

    if (fd >= 0 && !out)
        close(fd);
    return out;
}

/* report.json and report.txt; false: no memory, or an error of the files. `dir`: an open directory. */
static bool write_report(const struct nd_crash_case *c, int dir)
{
    json_t *report = make_report(c);
    FILE *text = make_file(dir, "report.txt"), *json = make_file(dir, "report.json");
    bool whole = report && text && json;

    if (whole) {
        print_text(text, c, report);
        whole = json_dumpf(report, json, JSON_INDENT(2)) == 0 && fputc('\n', json) != EOF;
        whole &= !ferror(text) && !ferror(json);
    }
    if (text)
        whole &= fclose(text) == 0;
    if (json)
        whole &= fclose(json) == 0;
    json_decref(report);
    return whole;
}

/* ---- reports that there are ----------------------------------------------------------------- */

#define REPORT_MAX (4u << 20) /* bytes of report.json; one of 16 lanes has some ten KiB */

int nd_crash_list(const char *state, const char *node, char ***names, unsigned *count)
{
    struct dirent **found;
    int n = scandir(state, &found, NULL, alphasort), len;
    char prefix[64];

    *count = 0;
    *names = NULL;
    if (n < 0)
        return errno == ENOMEM ? FT_ENOMEM : FT_ENOENT;
    len = snprintf(prefix, sizeof(prefix), "%s.crash-", node);
    *names = calloc((size_t)n + 1, sizeof(**names));
    for (int i = n - 1; i >= 0; i--) { /* the time is in the name */
        if (*names && strncmp(found[i]->d_name, prefix, (size_t)len) == 0 &&
            ((*names)[*count] = strdup(found[i]->d_name)))
            ++*count;
        free(found[i]);
    }
    free(found);
    return *names ? 0 : FT_ENOMEM;
}

/* All of a regular file; another may keep a reader waiting. FT_EPERM, FT_ENOENT, FT_EMALFORMED. */
static int read_file(const char *file, char **text, size_t *len, struct ft_fault *fault)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    struct stat is;
    ssize_t n;

    *text = NULL;
    *len = 0;
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_ENOENT,
                       "%.160s: %s, expected a directory that `incidents` lists", file, strerror(errno));
    if (fstat(fd, &is) == 0 && S_ISREG(is.st_mode) && is.st_size <= REPORT_MAX)
        *text = malloc((size_t)is.st_size + 1);
    while (*text && *len < (size_t)is.st_size && (n = read(fd, *text + *len, (size_t)is.st_size - *len)) > 0)
        *len += (size_t)n;
    close(fd);
    return *text ? 0 : ft_fail(fault, FT_EMALFORMED, "%.160s: no file of %u bytes at most", file, REPORT_MAX);
}

int nd_crash_read(const char *directory, json_t **report, struct ft_fault *fault)
{
    char file[ND_CRASH_PATH + 16], *text;
    json_error_t why;
    size_t len;
    int error;

    *report = NULL;
    snprintf(file, sizeof(file), "%s/report.json", directory);
    error = read_file(file, &text, &len, fault);
    if (!error)
        *report = json_loadb(text, len, 0, &why);
    if (!error && !*report) /* jansson's own words quote the file */
        error = ft_fail(fault, FT_EMALFORMED, "%.160s:%d: no JSON, expected a report", file, why.line);
    free(text);
    return error;
}

void nd_crash_list_free(char **names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* ---- the node's recording (logger/recorder): what its lanes had handed over, the bursts that had begun,
 *      and how it ended; in the recorder's memory, which outlives the node as the page does ---- */

/* The lane was executing the burst that its mark names. */
static bool is_in_burst(const struct nf_mark *mark)
{
    uint32_t doing = atomic_load(&mark->doing);

    return doing != NF_DOING_NOTHING && doing != NF_DOING_SHOW;
}

/* A lane that executes live hands a record over when the burst has ended, and has captured it when it begins:
 * the record lies in its log ring. One that replays hands it over first. The last burst that ended. */
static uint64_t end_lane(const struct nd_crash_case *c, unsigned lane, uint64_t last)
{
    const struct nf_mark *mark = &c->page->lane[lane].mark;
    uint64_t burst = atomic_load(&mark->burst);
    const struct ft_record *r;

    if (burst == last + 1 && (r = nd_crash_record(&c->shared[lane], burst)))
        lg_recorder_begun(c->recorder, r);
    return burst == last && is_in_burst(mark) ? last - 1 : last;
}

static struct lg_node_end describe_end(const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    struct lg_node_end end = {.wall = wall_of_end(c), .how = LG_KILLED, .lane = FT_CRASH_NO_LANE};
    int lane = described_lane(c);
    const struct nf_mark *mark;
    uint32_t nf;

    if (!told->owner)
        return end;
    end.how = told->hangs && lane >= 0 ? LG_HUNG : LG_CRASHED;
    end.signal = told->number > 0 && told->number < NSIG ? (uint32_t)told->number : 0;
    end.packet = told->notice.packet <= FT_BURST_MAX ? told->notice.packet : 0;
    if (lane < 0)
        return end;
    mark = &c->page->lane[lane].mark;
    nf = atomic_load(&mark->nf);
    end.lane = (uint32_t)lane;
    end.burst = atomic_load(&mark->burst);
    end.time = atomic_load(&mark->time);
    if (atomic_load(&mark->doing) != NF_DOING_NOTHING && nf < FT_NFS_MAX)
        nd_printable(c->page->nf[nf], end.nf, sizeof(end.nf)); /* an NF may have written over it */
    return end;
}

static void end_recording(const struct nd_crash_case *c)
{
    struct lg_position at[FT_LANES_MAX];
    uint64_t ended[FT_LANES_MAX];
    struct lg_node_end end = describe_end(c);
    char line[ND_CRASH_LINE];

    if (!c->recorder || !lg_recorder_drain(c->recorder, at))
        return;
    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        ended[l] = end_lane(c, l, at[l].burst);
    lg_recorder_end(c->recorder, &end, ended, describe_case(line, c));
}

/* ---- what lanes had taken in, as pcapng files: the burst that the node died of, with the packet marked, and
 * the inputs of the last FT_PAST_BURSTS bursts of each lane. They lie in the lanes' log rings, which outlive
 * the process; a burst of which nothing was captured was kept by the handler of the signal ---- */

static bool end_file(FILE *out, bool whole)
{
    bool failed = ferror(out) != 0;

    return fclose(out) == 0 && whole && !failed;
}

static unsigned ports_of(const struct nd_crash_case *c)
{
    unsigned ports = 0;

    while (ports < NF_PORTS_MAX && c->page->interface[ports][0])
        ports++;
    return ports;
}

static bool begin_file(FILE *out, const struct nd_crash_case *c)
{
    const char *names[NF_PORTS_MAX];

    for (unsigned p = 0; p < ports_of(c); p++)
        names[p] = c->page->interface[p];
    return nd_pcapng_begin(out, c->config->node[c->self].name, names, ports_of(c));
}

/* Wall clock of something that was at this monotonic time. Chain time is that on the node that began it, and
 * goes on from there on others; so what is long ago there is only about right. */
static uint64_t wall_of(const struct nd_crash_case *c, uint64_t monotonic)
{
    const struct nd_crash_told *told = &c->page->told;

    return told->wall ? told->wall - (told->monotonic - monotonic) : c->now - (c->monotonic - monotonic);
}

/* When the lane's burst under way began: with its turn, but for what it waited for more packets. Other bursts
 * began as much before as their chain times are. */
static uint64_t burst_wall(const struct nd_crash_case *c, unsigned lane, uint64_t time)
{
    uint64_t turn = atomic_load(&c->shared[lane].count.turn_ns);
    uint64_t present = atomic_load(&c->page->lane[lane].mark.time);

    return wall_of(c, turn) - (present > time ? present - time : 0);
}

static const char *describe(char out[COMMENT], const struct nd_crash_case *c, unsigned lane, uint64_t burst,
                            uint64_t seq, unsigned i, bool present)
{
    const struct nd_crash_told *told = &c->page->told;
    bool marked = present && (int)lane == told->lane && told->found >> i & 1;
    bool alone = __builtin_popcount(told->found) == 1;

    snprintf(out, COMMENT, "%slane %u, burst %lu, packet %u, input %lu",
             !marked ? ""
             : alone ? "THE PACKET: "
                     : "PERHAPS THE PACKET: ",
             lane, burst, i + 1, seq + i);
    return out;
}

static bool write_record(FILE *out, const struct nd_crash_case *c, unsigned lane, const struct ft_record *r,
                         bool present)
{
    const uint8_t *bytes = (const uint8_t *)r + ft_record_bytes_at(r);
    unsigned ports = ports_of(c);
    char comment[COMMENT];
    bool whole = true;

    for (unsigned i = 0; i < r->inputs && r->bytes && whole && !(r->flags & FT_REC_BY_SEQ); i++) {
        const struct ft_input *in = ft_record_inputs(r) + i;

        if (bytes + in->taken > (const uint8_t *)r + ft_record_bytes_at(r) + FT_BYTES_MAX ||
            in->port >= ports)
            break;
        whole = nd_pcapng_packet(
            out,
            &(struct nd_pcapng_packet){.port = in->port,
                                       .time = burst_wall(c, lane, r->time),
                                       .bytes = bytes,
                                       .have = in->flags & FT_IN_SESSION ? 0 : in->taken,
                                       .wire = in->wire,
                                       .comment = describe(comment, c, lane, r->burst, r->seq, i, present)});
        bytes += in->taken;
    }
    return whole;
}

static bool write_kept(FILE *out, const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    unsigned lane = (unsigned)told->lane, ports = ports_of(c);
    const struct nf_mark *mark = &c->page->lane[lane].mark;
    char comment[COMMENT];
    bool whole = true;

    for (unsigned i = 0; i < told->n && i < FT_BURST_MAX && whole; i++) {
        const struct nd_crash_frame *f = &told->packet[i];

        whole = f->port >= ports || f->have > ND_CRASH_BYTES ||
                nd_pcapng_packet(out, &(struct nd_pcapng_packet){
                                          .port = f->port,
                                          .time = burst_wall(c, lane, atomic_load(&mark->time)),
                                          .bytes = f->bytes,
                                          .have = f->have,
                                          .wire = f->wire,
                                          .comment = describe(comment, c, lane, atomic_load(&mark->burst),
                                                              atomic_load(&mark->seq), i, true)});
    }
    return whole;
}

static bool write_burst(const struct nd_crash_case *c, int dir)
{
    const struct nd_crash_told *told = &c->page->told;
    const struct ft_record *r;
    FILE *out;

    if (told->lane < 0 || (unsigned)told->lane >= c->config->chain.lanes || !told->owner)
        return true;
    r = told->captured
            ? nd_crash_record(&c->shared[told->lane], atomic_load(&c->page->lane[told->lane].mark.burst))
            : NULL;
    if (!(r && r->inputs) && !told->n)
        return true;
    out = make_file(dir, "burst.pcapng");
    if (!out)
        return false;
    return end_file(out, begin_file(out, c) &&
                             (r ? write_record(out, c, (unsigned)told->lane, r, true) : write_kept(out, c)));
}

static bool write_past(FILE *out, const struct nd_crash_case *c, unsigned lane)
{
    uint64_t last = atomic_load(&c->page->lane[lane].mark.burst);
    bool whole = true;

    for (uint64_t before = last < FT_PAST_BURSTS ? last : FT_PAST_BURSTS; before-- > 0 && whole;) {
        const struct ft_record *r = nd_crash_record(&c->shared[lane], last - before);

        whole = !r || write_record(out, c, lane, r, before == 0);
    }
    return whole;
}

/* burst.pcapng and inputs.pcapng, where there are any; false: no memory, or an error of the files. */
static bool write_pcaps(const struct nd_crash_case *c, int dir)
{
    FILE *out;
    bool whole;

    if (!write_burst(c, dir))
        return false;
    out = make_file(dir, "inputs.pcapng");
    if (!out)
        return false;
    whole = begin_file(out, c);
    for (unsigned l = 0; l < c->config->chain.lanes && whole; l++)
        whole = write_past(out, c, l);
    return end_file(out, whole);
}

/* STATE/NODE.quarantine.pcapng, replaced as a whole, or left as it is: what is dropped is logged whether or
 * not a disk takes it. */
static void save_quarantine(const struct nd_crash_case *c)
{
    const struct nd_node *node = &c->config->node[c->self];
    const struct nd_quarantine *q = &c->page->quarantine;
    char path[ND_CRASH_PATH];
    struct ft_durable file;
    bool whole;

    if (!atomic_load(&q->claimed))
        return;
    snprintf(path, sizeof(path), "%s/%s.quarantine.pcapng", node->state, node->name);
    if (ft_durable_begin(&file, path, NULL, 0666, NULL) != 0)
        return;
    whole = begin_file(file.out, c);
    for (uint32_t i = 0; i < ND_QUARANTINE_KEPT && whole; i++) {
        const struct nd_crash_frame *f = &q->frame[i];
        char comment[COMMENT];
        int n = snprintf(comment, sizeof(comment), "dropped in lane %u, burst %lu", f->lane, f->burst);

        if (f->seq)
            snprintf(comment + n, sizeof(comment) - (size_t)n, ", input %lu", f->seq);
        whole = !atomic_load_explicit(&q->whole[i], memory_order_acquire) || f->port >= ports_of(c) ||
                f->have > ND_CRASH_BYTES ||
                nd_pcapng_packet(file.out, &(struct nd_pcapng_packet){f->port, false, f->time, f->bytes,
                                                                      f->have, f->wire, comment});
    }
    (void)ft_durable_end(&file, whole, NULL);
}

/* ---- the directory ---- */

static void remove_directory(int state, const char *name)
{
    static const char *const files[] = {"report.txt", "report.json", "burst.pcapng", "inputs.pcapng"};
    int dir = openat(state, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    for (size_t i = 0; dir >= 0 && i < sizeof(files) / sizeof(files[0]); i++)
        unlinkat(dir, files[i], 0);
    if (dir >= 0)
        close(dir);
    unlinkat(state, name, AT_REMOVEDIR);
}

/* The oldest by the clock at which they were written, which may have been set back: `own` stays. */
static void remove_oldest(int state, const struct nd_node *node, const char *own)
{
    char **names;
    unsigned count;

    if (nd_crash_list(node->state, node->name, &names, &count) != 0)
        return;
    for (unsigned i = ND_CRASH_KEPT; i < count; i++)
        if (strcmp(names[i], own) != 0)
            remove_directory(state, names[i]);
    nd_crash_list_free(names, count);
}

static bool fill_directory(const struct nd_crash_case *c, int state, const char *name)
{
    int dir = -1;
    bool whole = mkdirat(state, name, 0777) == 0 &&
                 (dir = openat(state, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0 &&
                 write_pcaps(c, dir) && write_report(c, dir);

    if (dir >= 0)
        close(dir);
    return whole;
}

static int write_directory(const struct nd_crash_case *c, char path[ND_CRASH_PATH], struct ft_fault *fault)
{
    const struct nd_node *node = &c->config->node[c->self];
    int state = open(node->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char time[32], name[96], fresh[104];
    struct statvfs disk;

    nd_wall_format(time, sizeof(time), "%Y%m%dT%H%M%S", 3, wall_of_end(c));
    snprintf(name, sizeof(name), "%s.crash-%s", node->name, time); /* alpha.crash-20261122T184402.123Z */
    snprintf(path, ND_CRASH_PATH, "%s/%s", node->state, name);
    snprintf(fresh, sizeof(fresh), ".%s.new", name);
    if (state < 0)
        return ft_fail(fault, FT_EIO, "%s: %s", node->state, strerror(errno));
    if (fstatvfs(state, &disk) == 0 && disk.f_bavail * disk.f_frsize < ND_CRASH_FREE) {
        close(state);
        return ft_fail(fault, FT_EFULL, "%s: expected %u MiB of free space", node->state,
                       ND_CRASH_FREE >> 20);
    }
    if (!fill_directory(c, state, fresh) || renameat(state, fresh, state, name) != 0) {
        int why = errno;

        remove_directory(state, fresh);
        close(state);
        return ft_fail(fault, FT_EIO, "%s: cannot be written: %s", path, strerror(why));
    }
    remove_oldest(state, node, name);
    close(state);
    return 0;
}

/* ---- the process ---- */

static void log_report(const struct nd_crash_case *c, const char *path, const char *why)
{
    struct ft_log_field fields[ND_CRASH_FIELDS];
    bool killed = !atomic_load(&c->page->told.owner); /* by whoever wanted that */
    enum ft_level level = killed ? FT_LEVEL_NOTICE : FT_LEVEL_ERROR;
    char line[ND_CRASH_LINE];

    describe_case(line, c);
    nd_crash_fields(fields, &c->page->told.notice, path);
    if (why[0])
        ft_log_event(level, FT_SAYS_CRASH, "%s; no report: %s", line, why);
    else
        ft_log_fields(level, FT_SAYS_CRASH, killed ? NULL : fields, "%s; see %s", line, path);
}

int nd_crash_report(const struct nd_crash_case *c, char path[ND_CRASH_PATH], struct ft_fault *fault)
{
    int error = write_directory(c, path, fault);

    log_report(c, path, error ? fault->text : "");
    end_recording(c);
    return error;
}

static void report_end(struct nd_crash_case *c)
{
    const struct nd_event_writer_config config = {.node = c->config->node[c->self].name,
                                                  .json = c->config->log_json};
    char path[ND_CRASH_PATH];
    struct ft_fault fault;
    bool heard = nd_event_writer_start(&config, &fault) == 0;

    c->now = ft_wall();
    c->monotonic = ft_now();
    nd_crash_report(c, path, &fault);
    if (heard)
        nd_event_writer_stop();
}

_Noreturn void nd_crash_run_reporter(struct nd_crash_case *c, int feed)
{
    struct ft_fault fault;
    char what;
    ssize_t n;

    /* To stderr it writes one line. A core of it would have frames in it. */
    if (!nd_process_detach("us-reporter", true, &feed, 1) ||
        setrlimit(RLIMIT_CORE, &(const struct rlimit){0, 0}) != 0 || nd_privilege_drop_thread() != 0 ||
        nd_privilege_refuse_calls(&fault) != 0)
        _exit(1);
    while ((n = recv(feed, &what, 1, 0)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            save_quarantine(c);
    save_quarantine(c);
    if (!atomic_load(&c->page->stopped))
        report_end(c);
    _exit(0);
}
