/* SPDX-License-Identifier: Apache-2.0 */
/* The reporter's process, the directory that it writes, and the end of the node's recording; see reporter.h.
 */
#define _GNU_SOURCE /* close_range, renameat */
#include "node/crash/reporter.h"
#include "ftcore/base/event_log.h"
#include "logger/recorder/recorder.h"
#include "node/base/clock.h"
#include "node/base/event_writer.h"
#include "node/base/text.h"
#include "node/base/process.h"
#include "node/crash/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

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
                 nd_crash_pcaps(c, dir) && nd_crash_report(c, dir);

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
    struct lg_node_end end = {.wall = nd_crash_wall(c), .how = LG_KILLED, .lane = FT_CRASH_NO_LANE};
    int lane = nd_crash_lane(c);
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

void nd_crash_end_recording(const struct nd_crash_case *c)
{
    struct lg_position at[FT_LANES_MAX];
    uint64_t ended[FT_LANES_MAX];
    struct lg_node_end end = describe_end(c);
    char line[ND_CRASH_LINE];

    if (!c->recorder || !lg_recorder_drain(c->recorder, at))
        return;
    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        ended[l] = end_lane(c, l, at[l].burst);
    lg_recorder_end(c->recorder, &end, ended, nd_crash_case_line(line, c));
}

/* ---- the process ---- */

/* Of the node it keeps nothing open but its end of the feed, and stderr, to which it says one line. */
static void detach_process(int *feed)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGABRT, SIGUSR1, SIGUSR2};
    const struct rlimit none = {0, 0};
    int null = open("/dev/null", O_RDWR);

    setsid();
    prctl(PR_SET_NAME, "us-reporter");
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    for (int fd = 0; null >= 0 && fd < 2; fd++)
        dup2(null, fd);
    *feed = dup2(*feed, 3);
    close_range(4, ~0u, 0);
    setrlimit(RLIMIT_CORE, &none); /* it would have frames in it */
}

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

static void save_quarantine(const struct nd_crash_case *c)
{
    struct ft_fault fault;

    if (atomic_load(&c->page->quarantine.claimed))
        nd_crash_write_quarantine(c, &fault); /* it is told of in the log whether or not a disk takes it */
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

_Noreturn void nd_reporter_run(struct nd_crash_case *c, int feed)
{
    struct ft_fault fault;
    char what;
    ssize_t n;

    detach_process(&feed);
    if (feed < 0 || nd_privilege_drop_thread() != 0 || nd_privilege_refuse_calls(&fault) != 0)
        _exit(1);
    while ((n = recv(feed, &what, 1, 0)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            save_quarantine(c);
    save_quarantine(c);
    if (!atomic_load(&c->page->stopped))
        report_end(c);
    _exit(0);
}
