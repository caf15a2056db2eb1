/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that outlives a node, the reporter's process, and what that writes; see crash.h. */
#define _GNU_SOURCE /* renameat */
#include "node/crash/crash.h"
#include "ftcore/base/event_log.h"
#include "logger/recorder/recorder.h"
#include "nflib/module/module.h"
#include "node/base/clock.h"
#include "node/base/event_writer.h"
#include "node/base/pcapng_file.h"
#include "node/base/process.h"
#include "node/base/text.h"
#include "node/config/setup.h"
#include "node/crash/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_MS      1000        /* for the reporter to write what a quarantine kept */
#define QUEUE_BYTES (16u << 20) /* between each lane and the flight recorder */
#define COMMENT     160u        /* of a packet in a pcapng file */

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

    while (ports < NF_PORTS_MAX && c->config->node[c->self].port[ports][0])
        ports++;
    return ports;
}

static bool begin_file(FILE *out, const struct nd_crash_case *c)
{
    const char *names[NF_PORTS_MAX] = {"inside", "outside"};

    for (unsigned p = 0; p < ports_of(c) && c->config->chain.l3; p++)
        names[p] = c->config->l3.port[p].name;
    return nd_pcapng_begin(out, c->config->node[c->self].name, names, ports_of(c));
}

/* Wall clock of something that was at this monotonic time. Chain time is that on the node that began it, and
 * goes on from there on others; so what is long ago there is only about right. */
static uint64_t wall_of(const struct nd_crash_case *c, uint64_t monotonic)
{
    const struct nd_crash_told *told = &c->page->told;

    return told->wall ? told->wall - (told->monotonic - monotonic) : c->now - (c->monotonic - monotonic);
}

/* When the lane's burst under way began: with its turn, but for what it waited for more packets. Others were
 * as much before as their chain times say. */
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
    out = nd_crash_file(dir, "burst.pcapng");
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
    out = nd_crash_file(dir, "inputs.pcapng");
    if (!out)
        return false;
    whole = begin_file(out, c);
    for (unsigned l = 0; l < c->config->chain.lanes && whole; l++)
        whole = write_past(out, c, l);
    return end_file(out, whole);
}

/* STATE/NODE.quarantine.pcapng, replaced as a whole, or left as it is: what is dropped is told of in the log
 * whether or not a disk takes it. */
static void save_quarantine(const struct nd_crash_case *c)
{
    const struct nd_node *node = &c->config->node[c->self];
    const struct nd_quarantine *q = &c->page->quarantine;
    char path[ND_CRASH_PATH], fresh[ND_CRASH_PATH + 8];
    bool whole;
    FILE *out;

    if (!atomic_load(&q->claimed))
        return;
    snprintf(path, sizeof(path), "%s/%s.quarantine.pcapng", node->state, node->name);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    unlink(fresh);
    if (!(out = nd_crash_file(AT_FDCWD, fresh)))
        return;
    whole = begin_file(out, c);
    for (uint32_t i = 0; i < ND_QUARANTINE_KEPT && whole; i++) {
        const struct nd_crash_frame *f = &q->frame[i];

        whole = !atomic_load_explicit(&q->whole[i], memory_order_acquire) || f->port >= ports_of(c) ||
                f->have > ND_CRASH_BYTES ||
                nd_pcapng_packet(out, &(struct nd_pcapng_packet){f->port, false, f->time, f->bytes, f->have,
                                                                 f->wire, NULL});
    }
    if (!end_file(out, whole) || rename(fresh, path) != 0)
        unlink(fresh);
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

/* alpha.crash-20261122T184402.123Z */
static void name_directory(char out[96], const char *node, uint64_t wall)
{
    time_t seconds = (time_t)(wall / 1000000000u);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
    snprintf(out, 96, "%s.crash-%s.%03uZ", node, text, (unsigned)(wall / 1000000u % 1000u));
}

static bool fill_directory(const struct nd_crash_case *c, int state, const char *name)
{
    int dir = -1;
    bool whole = mkdirat(state, name, 0777) == 0 &&
                 (dir = openat(state, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0 &&
                 write_pcaps(c, dir) && nd_crash_report(c, dir);

    if (dir >= 0)
        close(dir);
    return whole;
}

int nd_crash_write(const struct nd_crash_case *c, char path[ND_CRASH_PATH], struct ft_fault *fault)
{
    const struct nd_node *node = &c->config->node[c->self];
    int state = open(node->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[96], fresh[104];
    struct statvfs disk;

    name_directory(name, node->name, nd_crash_wall(c));
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

    nd_crash_case_line(line, c);
    nd_crash_fields(fields, &c->page->told.notice, path);
    if (why[0])
        ft_log_event(level, FT_SAYS_CRASH, "%s; no report: %s", line, why);
    else
        ft_log_fields(level, FT_SAYS_CRASH, killed ? NULL : fields, "%s; see %s", line, path);
}

static void report_end(struct nd_crash_case *c)
{
    const struct nd_event_writer_config config = {.node = c->config->node[c->self].name,
                                                  .json = c->config->log_json};
    char path[ND_CRASH_PATH];
    struct ft_fault fault = {""}, unheard;
    bool heard = nd_event_writer_start(&config, &unheard) == 0;

    c->now = nd_wall();
    c->monotonic = nd_now();
    nd_crash_write(c, path, &fault);
    log_report(c, path, fault.text);
    nd_crash_end_recording(c);
    if (heard)
        nd_event_writer_stop();
}

/* The life of the process: `feed` ends with the node. */
static _Noreturn void run_reporter(struct nd_crash_case *c, int feed)
{
    struct ft_fault fault;
    char what;
    ssize_t n;

    /* To stderr it says one line. A core of it would have frames in it. */
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

/* ---- the node's side ---- */

static void *share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

static int make_memory(struct nd_crash *c, const struct nd_config *config, struct ft_fault *fault)
{
    const struct nd_protect *p = &config->protect;
    int error = 0;

    c->lanes = config->chain.lanes;
    c->page = share(sizeof(*c->page));
    c->shared = share(c->lanes * sizeof(*c->shared));
    if (!c->page || !c->shared)
        return ft_fail(fault, FT_ENOMEM, "no memory for what %u lanes share", c->lanes);
    for (unsigned l = 0; l < c->lanes && !error; l++)
        error = nd_setup_rings(&c->shared[l], (uint64_t)p->log_mb << 20, (uint64_t)p->pending_mb << 20,
                               p->stores, fault);
    if (!error && config->record.dir[0])
        error = lg_recorder_make(&c->recorder, c->lanes, QUEUE_BYTES, fault);
    return error;
}

static int start_reporter(struct nd_crash *c, const struct nd_config *config, unsigned self,
                          struct ft_fault *fault)
{
    struct nd_crash_case node = {.page = c->page,
                                 .shared = c->shared,
                                 .recorder = c->recorder,
                                 .config = config,
                                 .self = self,
                                 .pid = getpid()};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return ft_fail(fault, FT_EIO, "no socket to the reporter: %s", strerror(errno));
    c->pid = fork();
    if (c->pid == 0) {
        close(ends[0]);
        run_reporter(&node, ends[1]);
    }
    int why = errno;

    close(ends[1]);
    c->feed = ends[0];
    return c->pid < 0 ? ft_fail(fault, FT_EIO, "no process for the reporter: %s", strerror(why)) : 0;
}

int nd_crash_open(struct nd_crash **out, const struct nd_config *config, unsigned self,
                  struct ft_fault *fault)
{
    struct nd_crash *c = calloc(1, sizeof(*c));
    int error;

    *out = c;
    if (!c)
        return ft_fail(fault, FT_ENOMEM, "no memory for the reporter");
    c->feed = -1;
    error = make_memory(c, config, fault);
    if (error)
        return error;
    nd_crash_name_chain(c->page, &config->chain);
    return start_reporter(c, config, self, fault);
}

void nd_crash_add_modules(struct nd_crash_page *page, const struct nf_chain_config *chain)
{
    for (unsigned i = 0; i < chain->count; i++) {
        uint32_t n = atomic_load(&page->modules);
        struct nd_crash_module *m = &page->module[n];
        struct nf_object_file file;
        bool known = n == ND_CRASH_MODULES || !nf_object_file_of(&file, chain->nfs[i].module);

        for (uint32_t k = 0; k < n && !known; k++)
            known = page->module[k].base == (uint64_t)(uintptr_t)file.all.base;
        if (known)
            continue;
        m->base = (uint64_t)(uintptr_t)file.all.base;
        m->size = file.all.size;
        snprintf(m->path, sizeof(m->path), "%s", file.path);
        atomic_store_explicit(&page->modules, n + 1, memory_order_release);
    }
}

void nd_crash_name_chain(struct nd_crash_page *page, const struct nf_chain_config *chain)
{
    for (unsigned i = 0; page && i < FT_NFS_MAX; i++) {
        char *name = page->nf[i];
        const char *is = i == 0 ? "l3" : i <= chain->count ? chain->nfs[i - 1].module->name : "";

        memset(name, 0, FT_CRASH_NAME);
        memcpy(name, is, strnlen(is, FT_CRASH_NAME - 1));
    }
}

bool nd_crash_turn(struct nd_crash *crash, int state, uint64_t view, uint64_t chain)
{
    atomic_store(&crash->page->state, state);
    atomic_store(&crash->page->view, view);
    atomic_store(&crash->page->chain, chain);
    if (crash->ended || waitpid(crash->pid, NULL, WNOHANG) == 0)
        return true;
    crash->ended = true;
    return false;
}

void nd_crash_save_quarantine(struct nd_crash *crash)
{
    send(crash->feed, "q", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void nd_crash_close(struct nd_crash *crash)
{
    uint64_t until = nd_now() + END_MS * 1000000ull;

    if (!crash)
        return;
    if (crash->page)
        atomic_store(&crash->page->stopped, true);
    if (crash->feed >= 0)
        close(crash->feed);
    while (crash->pid > 0 && !crash->ended && nd_now() < until) {
        crash->ended = waitpid(crash->pid, NULL, WNOHANG) != 0;
        if (!crash->ended)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    if (crash->pid > 0 && !crash->ended)
        kill(crash->pid, SIGKILL); /* and no longer: it may hang in a disk */
    lg_recorder_free(crash->recorder);
    /* Page, words and rings stay mapped: a handler of a signal may look at them until the process has ended.
     */
    free(crash);
}
