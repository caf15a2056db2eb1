/* SPDX-License-Identifier: Apache-2.0 */
/* Takes lines from the event log's queue and writes them; see event_writer.h. */
#include "understudy/base/event_writer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/worker.h"
#include "ftcore/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
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
#define JOURNAL_MAX    4096u /* bytes of a datagram */

/* ---- lines that come again --------------------------------------------------------------------- */

/*
 * A line with the message of the last line of its event is written when it comes first, and then once a
 * minute with how often it has come meanwhile. After another line of its event it is news: the last line that
 * is written is what holds. A notice is always news: something became better, or somebody asked for it.
 */
#define REPEAT_NS 60000000000ull

struct repeats {
    struct repeat_row {
        bool used;
        uint64_t written; /* ns */
        uint64_t missed;  /* lines like it since then that were not written */
        struct ft_event_line last;
    } row[FT_EVENT_NAMES_END]; /* by event; all that report the node's state have the row of FT_SAYS_STATE */
};

/* The row of the line's event. Five events report the node's state, and each ends the state of another. */
static struct repeat_row *find_row(struct repeats *repeats, const struct ft_event_line *line)
{
    switch (line->event) {
    case FT_SAYS_TAKEOVER:
    case FT_SAYS_STANDBY_LOST:
    case FT_SAYS_FENCED:
    case FT_SAYS_REFUSED:
        return &repeats->row[FT_SAYS_STATE];
    default:
        return &repeats->row[line->event];
    }
}

static bool is_over(const struct repeat_row *row, uint64_t now)
{
    return now - row->written >= REPEAT_NS;
}

static bool is_same(const struct repeat_row *row, const struct ft_event_line *line)
{
    return line->level != FT_LEVEL_NOTICE && row->used && row->last.event == line->event &&
           strcmp(row->last.text, line->text) == 0;
}

/* `now`: ns, of a clock that does not go back. False: the line is counted, and not to be written now. */
static bool take_repeat(struct repeats *repeats, const struct ft_event_line *line, uint64_t now)
{
    struct repeat_row *row = find_row(repeats, line);
    bool counts = is_same(row, line) && (row->missed || !is_over(row, now));

    row->last = *line;
    if (counts) {
        row->missed++;
        return false;
    }
    row->used = true;
    row->written = now;
    row->missed = 0;
    return true;
}

/* What has to be written before `line`, which is another of its event: the last line that was counted,
 * *missed of them. NULL: none. Called before take_repeat; the line returned is there until then. */
static const struct ft_event_line *find_before(struct repeats *repeats, const struct ft_event_line *line,
                                               uint64_t *missed)
{
    struct repeat_row *row = find_row(repeats, line);

    if (!row->missed || is_same(row, line))
        return NULL;
    *missed = row->missed;
    row->missed = 0;
    return &row->last;
}

/* A line whose minute is over and that has come again meanwhile, *missed times; the last of them. Of several
 * the one that came first. NULL: none. */
static const struct ft_event_line *find_due(struct repeats *repeats, uint64_t now, uint64_t *missed)
{
    struct repeat_row *due = NULL;

    for (struct repeat_row *row = repeats->row; row < repeats->row + FT_EVENT_NAMES_END; row++)
        if (row->missed && is_over(row, now) && (!due || row->last.time < due->last.time))
            due = row;
    if (!due)
        return NULL;
    *missed = due->missed;
    due->missed = 0;
    due->written = now;
    return &due->last;
}

/* When find_due is wanted next, ns; UINT64_MAX: nothing is counted. */
static uint64_t next_due(const struct repeats *repeats)
{
    uint64_t next = UINT64_MAX;

    for (const struct repeat_row *row = repeats->row; row < repeats->row + FT_EVENT_NAMES_END; row++)
        if (row->missed && row->written + REPEAT_NS < next)
            next = row->written + REPEAT_NS;
    return next;
}

/* ---- the last lines ---------------------------------------------------------------------------- */

/* The ring of the last lines. The lock is held for the copy of a line, and never by a lane. */

static struct {
    pthread_mutex_t lock;
    uint64_t count;
    struct nd_recent_line ring[ND_RECENT];
} recent = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void add_recent(const struct ft_event_line *line, uint64_t more)
{
    pthread_mutex_lock(&recent.lock);
    recent.ring[recent.count % ND_RECENT] = (struct nd_recent_line){.line = *line, .more = more};
    recent.count++;
    pthread_mutex_unlock(&recent.lock);
}

uint64_t nd_recent_count(void)
{
    uint64_t count;

    pthread_mutex_lock(&recent.lock);
    count = recent.count;
    pthread_mutex_unlock(&recent.lock);
    return count;
}

static bool copy_next(uint64_t *next, uint64_t *lost, struct nd_recent_line *out)
{
    uint64_t first;
    bool there;

    pthread_mutex_lock(&recent.lock);
    first = recent.count > ND_RECENT ? recent.count - ND_RECENT : 0;
    if (*next < first) {
        *lost += first - *next;
        *next = first;
    }
    there = *next < recent.count;
    if (there)
        *out = recent.ring[(*next)++ % ND_RECENT];
    pthread_mutex_unlock(&recent.lock);
    return there;
}

unsigned nd_recent_read(uint64_t *next, uint64_t *lost, struct nd_recent_line *out, unsigned max)
{
    unsigned n = 0;

    while (n < max && copy_next(next, lost, &out[n]))
        n++;
    return n;
}

/* ---- lines as text, as JSON, for the journal ------------------------------------------------ */

/* A text may have been cut inside a character, and a peer or a file may have sent anything. */
static json_t *make_text(const char *text)
{
    char plain[FT_EVENT_LINE];
    json_t *o = json_string(text);

    if (o)
        return o;
    snprintf(plain, sizeof(plain), "%s", text);
    for (char *c = plain; *c; c++)
        if (*c & 0x80)
            *c = '?';
    return json_string(plain);
}

json_t *nd_event_json(const struct ft_event_line *line, const char *node, uint64_t more)
{
    char time[ND_WALL_TEXT];
    json_t *fields = json_object();

    for (unsigned i = 0; i < line->fields; i++) {
        const struct ft_event_field *f = &line->field[i];

        json_object_set_new(fields, f->name,
                            f->is_text ? make_text(f->text) : json_integer((json_int_t)f->number));
    }
    if (more)
        json_object_set_new(fields, "repeated", json_integer((json_int_t)more));
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "time", nd_wall_text(time, line->time), "level",
                     ft_level_name(line->level), "event", ft_event_name(line->event), "node", make_text(node),
                     "message", make_text(line->text), "fields", fields);
}

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text ? text : "-";
}

static size_t make_line(char out[ND_EVENT_TEXT], const char *time, const char *level, const char *event,
                        const char *node, const char *message, uint64_t more)
{
    char times[40] = "";

    if (more)
        snprintf(times, sizeof(times), " (%lu more times)", more);
    return (size_t)snprintf(out, ND_EVENT_TEXT, "%.40s %-7.10s %-12.20s %.60s: %.700s%s\n", time, level,
                            event, node, message, times);
}

/* "TIME LEVEL EVENT NODE: MESSAGE\n", with how many more there were; without memory of its own. Bytes. */
static size_t make_text_line(char out[ND_EVENT_TEXT], const struct ft_event_line *line, const char *node,
                             uint64_t more)
{
    char time[ND_WALL_TEXT];

    return make_line(out, nd_wall_text(time, line->time), ft_level_name(line->level),
                     ft_event_name(line->event), node, line->text, more);
}

size_t nd_event_text_of(char out[ND_EVENT_TEXT], const json_t *event)
{
    const json_t *more = json_object_get(json_object_get(event, "fields"), "repeated");

    return make_line(out, text_of(event, "time"), text_of(event, "level"), text_of(event, "event"),
                     text_of(event, "node"), text_of(event, "message"), (uint64_t)json_integer_value(more));
}

/* ---- the journal ------------------------------------------------------------------------------- */

/* No value has a line end (event_log.h), so each fits on a line. */
static size_t add_value(char *out, size_t at, const char *prefix, const char *name, const char *value)
{
    size_t room = JOURNAL_MAX - at;
    int n = snprintf(out + at, room, "%s%s=%s\n", prefix, name, value);

    if (n < 0 || (size_t)n >= room)
        return at; /* does not fit: left out whole */
    for (size_t i = at + strlen(prefix); out[i] != '='; i++)
        out[i] = (char)toupper((unsigned char)out[i]);
    return at + (size_t)n;
}

static size_t add_count(char *out, size_t at, const char *prefix, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", value);
    return add_value(out, at, prefix, name, text);
}

/* In the journal's native protocol, one line a field: PRIORITY, SYSLOG_IDENTIFIER, MESSAGE, UNDERSTUDY_EVENT,
 * UNDERSTUDY_NODE, and UNDERSTUDY_ with each field's name in capitals. Bytes. */
static size_t make_journal_line(char out[JOURNAL_MAX], const struct ft_event_line *line, const char *node,
                                uint64_t more)
{
    static const char ours[] = "UNDERSTUDY_";
    char message[FT_EVENT_LINE + 40];
    size_t at = 0;

    snprintf(message, sizeof(message), "%s", line->text);
    if (more)
        snprintf(message, sizeof(message), "%s (%lu more times)", line->text, more);
    at = add_count(out, at, "", "PRIORITY", line->level);
    at = add_value(out, at, "", "SYSLOG_IDENTIFIER", "understudy");
    at = add_value(out, at, "", "MESSAGE", message);
    at = add_value(out, at, ours, "EVENT", ft_event_name(line->event));
    at = add_value(out, at, ours, "NODE", node);
    for (unsigned i = 0; i < line->fields; i++) {
        const struct ft_event_field *f = &line->field[i];

        at = f->is_text ? add_value(out, at, ours, f->name, f->text)
                        : add_count(out, at, ours, f->name, f->number);
    }
    return more ? add_count(out, at, ours, "REPEATED", more) : at;
}

/* ---- where lines go ---------------------------------------------------------------------------- */

static struct {
    struct ft_worker worker; /* woken for each line */
    bool started;
    char node[ND_EVENT_NODE]; /* its own: the configuration goes before the writer does */
    bool json;
    void (*offer)(void *arg, enum ft_event_name event, const char *line, size_t len);
    void *arg;
    int journal; /* -1: lines go to stderr */
    struct repeats repeats;
} writer;

/* The supervisor names the journal's stream that it made; stderr may have become another since. */
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
    char text[JOURNAL_MAX > ND_EVENT_TEXT ? JOURNAL_MAX : ND_EVENT_TEXT];

    add_recent(line, more);
    offer_line(line, more);
    if (writer.journal >= 0) {
        size_t len = make_journal_line(text, line, writer.node, more);

        if (send(writer.journal, text, len, MSG_NOSIGNAL) == (ssize_t)len)
            return true;
    }
    if (writer.json)
        return write_json(line, more);
    return write_bytes(text, make_text_line(text, line, writer.node, more));
}

/* ---- what is written --------------------------------------------------------------------------- */

/* Of this thread itself, which must not wait for its own queue. */
static bool say(enum ft_level level, const struct ft_log_field *fields, const char *fmt, ...)
{
    struct ft_event_line line;
    va_list ap;

    va_start(ap, fmt);
    ft_event_line_fill(&line, ft_wall(), level, FT_SAYS_LOG, fields, fmt, ap);
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

static void write_queued(void)
{
    const struct ft_event_line *line, *before;
    uint64_t missed;

    while ((line = ft_event_log_first())) {
        before = find_before(&writer.repeats, line, &missed);
        if (before)
            write_repeated(before, missed);
        ft_event_log_release(!take_repeat(&writer.repeats, line, ft_now()) || write_line(line, 0));
    }
}

static void *write_events(void *arg)
{
    const struct ft_event_line *line;
    uint64_t reported = 0, missed;
    bool last;

    ft_thread_begin("us-events");
    do {
        last = ft_worker_ends(&writer.worker);
        write_queued();
        /* At the end all that was counted. */
        while ((line = find_due(&writer.repeats, ft_now() + (last ? REPEAT_NS : 0), &missed)))
            write_repeated(line, missed);
        report_lost(&reported);
        if (!last)
            ft_worker_wait(&writer.worker, next_due(&writer.repeats));
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
    static const struct ft_event_writer queue = {.wall = ft_wall, .wake = wake_writer, .flush = flush_events};
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
    if (!ft_worker_end(&writer.worker, ft_now() + EVENT_END_NS))
        return false; /* it stays in its write, and lines stay in the queue, until the process ends */
    ft_event_log_attach(NULL);
    if (writer.journal >= 0)
        close(writer.journal);
    writer.started = false;
    return true;
}

const char *nd_wall_format(char *out, size_t cap, const char *format, int digits, uint64_t wall)
{
    time_t seconds = (time_t)(wall / 1000000000u);
    char second[20], rest[10];
    struct tm t;

    strftime(second, sizeof(second), format, gmtime_r(&seconds, &t));
    snprintf(rest, sizeof(rest), "%09u", (unsigned)(wall % 1000000000u));
    snprintf(out, cap, "%s.%.*sZ", second, digits, rest);
    return out;
}
