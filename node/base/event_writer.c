/* SPDX-License-Identifier: Apache-2.0 */
/* Takes lines from the event log's queue and writes them; see event_writer.h. */
#include "node/base/event_writer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/worker.h"
#include "node/base/clock.h"
#include "node/base/event_format.h"
#include "node/base/event_recent.h"
#include "node/base/event_repeat.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENT_FLUSH_MS 50           /* before an abort: a lane or the replicator waits */
#define EVENT_END_NS   500000000ull /* at an orderly end */
#define LOOK_NS        100000
#define JOURNAL        "/run/systemd/journal/socket"

static struct {
    struct ft_worker worker; /* woken for each line */
    bool started;
    char node[ND_EVENT_NODE]; /* its own: the configuration goes before the writer does */
    bool json;
    void (*offer)(void *arg, enum ft_event_name event, const char *line, size_t len);
    void *arg;
    int journal; /* -1: lines go to stderr */
    struct nd_repeats repeats;
} writer;

/* ---- where lines go ---------------------------------------------------------------------------- */

/* Who runs us says so of the stream that it made; stderr may have become another since. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long device, inode;
    struct stat is;

    return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 && fstat(STDERR_FILENO, &is) == 0 &&
           is.st_dev == device && is.st_ino == inode;
}

/* Where it cannot be reached, lines go to stderr, from where it takes them as text. */
static int open_journal(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = is_journal() ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path ? path : JOURNAL);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* False: stderr takes nothing any more. */
static bool write_bytes(const char *line, size_t len)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, line, len);

        if (n < 0 && errno == EAGAIN) /* another process made it non-blocking */
            poll(&room, 1, -1);
        else if (n < 0 && errno != EINTR)
            return false;
        line += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The line with its line end, for the caller to free; NULL: no memory. */
static char *make_json(const struct ft_event_line *line, uint64_t more, size_t *len)
{
    json_t *o = nd_event_json(line, writer.node, more);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    if (!text)
        return NULL;
    *len = strlen(text) + 1;
    text[*len - 1] = '\n'; /* in the place of its end */
    return text;
}

static bool write_json(const struct ft_event_line *line, uint64_t more)
{
    size_t len;
    char *text = make_json(line, more, &len);
    bool written = text && write_bytes(text, len);

    free(text);
    return written;
}

/* To the hooks; before stderr, which may take nothing. */
static void offer_line(const struct ft_event_line *line, uint64_t more)
{
    size_t len;
    char *text = writer.offer ? make_json(line, more, &len) : NULL;

    if (text)
        writer.offer(writer.arg, line->event, text, len);
    free(text);
}

static bool write_line(const struct ft_event_line *line, uint64_t more)
{
    char text[ND_EVENT_JOURNAL > ND_EVENT_TEXT ? ND_EVENT_JOURNAL : ND_EVENT_TEXT];

    nd_recent_add(line, more);
    offer_line(line, more);
    if (writer.journal >= 0) {
        size_t len = nd_event_journal(text, line, writer.node, more);

        if (send(writer.journal, text, len, MSG_NOSIGNAL) == (ssize_t)len)
            return true;
    }
    if (writer.json)
        return write_json(line, more);
    return write_bytes(text, nd_event_text(text, line, writer.node, more));
}

/* ---- what is written --------------------------------------------------------------------------- */

/* Of this thread itself, which must not wait for its own queue. */
static bool say(enum ft_level level, const struct ft_log_field *fields, const char *fmt, ...)
{
    struct ft_event_line line;
    va_list ap;

    va_start(ap, fmt);
    ft_event_line_fill(&line, nd_wall(), level, FT_SAYS_LOG, fields, fmt, ap);
    va_end(ap);
    return write_line(&line, 0);
}

static void report_lost(uint64_t *reported)
{
    uint64_t lost = ft_event_log_lost();
    const struct ft_log_field fields[] = {{"lost", .number = lost - *reported}, {0}};

    if (lost != *reported &&
        say(FT_LEVEL_WARNING, fields, "%lu lines of this log were lost before this one", lost - *reported))
        *reported = lost;
}

static void write_repeated(const struct ft_event_line *line, uint64_t missed)
{
    if (!write_line(line, missed))
        ft_event_log_lose(missed);
}

static void report_repeats(uint64_t now)
{
    const struct ft_event_line *line;
    uint64_t missed;

    while ((line = nd_repeats_due(&writer.repeats, now, &missed)))
        write_repeated(line, missed);
}

static void write_queued(void)
{
    const struct ft_event_line *line, *before;
    uint64_t missed;

    while ((line = ft_event_log_first())) {
        before = nd_repeats_before(&writer.repeats, line, &missed);
        if (before)
            write_repeated(before, missed);
        ft_event_log_release(!nd_repeats_take(&writer.repeats, line, nd_now()) || write_line(line, 0));
    }
}

static void *write_events(void *arg)
{
    uint64_t reported = 0;
    bool last;

    ft_thread_begin("us-events");
    do {
        last = ft_worker_ends(&writer.worker);
        write_queued();
        report_repeats(nd_now() + (last ? ND_REPEAT_NS : 0)); /* at the end all that was counted */
        report_lost(&reported);
        if (!last)
            ft_worker_wait(&writer.worker, nd_repeats_next(&writer.repeats));
    } while (!last);
    return arg;
}

static void wake_writer(void)
{
    ft_worker_wake(&writer.worker);
}

/*
 * The process is about to end, and this may be the handler of a fault. Whatever stderr is, this thread writes
 * nothing itself: a pipe that is full is not waited for, a disk that stands for EVENT_FLUSH_MS at most.
 */
static void flush_events(void)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

    for (long waited = 0; waited < EVENT_FLUSH_MS * 1000000l; waited += LOOK_NS) {
        if (ft_event_log_pending() == 0 || poll(&room, 1, 0) == 0)
            return;
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    }
}

int nd_event_writer_start(const struct nd_event_writer_config *config, struct ft_fault *fault)
{
    static const struct ft_event_writer queue = {.wall = nd_wall, .wake = wake_writer, .flush = flush_events};
    int error;

    snprintf(writer.node, sizeof(writer.node), "%s", config->node);
    writer.json = config->json;
    writer.offer = config->offer;
    writer.arg = config->arg;
    writer.journal = open_journal(config->journal);
    memset(&writer.repeats, 0, sizeof(writer.repeats));
    ft_event_log_attach(&queue);
    error = ft_worker_start(&writer.worker, write_events, NULL, "the event log", fault);
    if (error) {
        ft_event_log_attach(NULL);
        return error;
    }
    writer.started = true;
    return 0;
}

bool nd_event_writer_stop(void)
{
    if (!writer.started)
        return true;
    if (!ft_worker_end(&writer.worker, nd_now() + EVENT_END_NS))
        return false; /* it stays in its write, and lines stay in the queue, until the process ends */
    ft_event_log_attach(NULL);
    if (writer.journal >= 0)
        close(writer.journal);
    writer.started = false;
    return true;
}
