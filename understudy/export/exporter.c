/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the queues between lanes and itself, the connection or file, and what is under way on it. See
 * exporter.h. */
#define _GNU_SOURCE /* close_range, for ftcore/base/disk_thread.h */
#include "understudy/export/exporter.h"
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/worker.h"
#include "ftcore/base/clock.h"
#include "understudy/export/encode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#define FLIGHTS      64u          /* messages that a collector has not acknowledged yet */
#define BATCH        512u         /* events that are looked at for a message */
#define SOON_NS      1000000u     /* to the next look, while events come */
#define LATE_NS      50000000u    /* while none do */
#define AGAIN_NS     1000000000u  /* between two attempts to open; and to look whether a file was moved */
#define TEMPLATES_NS 60000000000u /* between two times that templates are sent over UDP */
#define UDP_BYTES    1400u
#define TCP_BYTES    16384u
#define USER_TIMEOUT 10000 /* ms without an acknowledgement, until a connection counts as broken */

struct flight {
    unsigned lane;
    uint64_t upto; /* position in the lane's queue */
    uint64_t end;  /* bytes ever given to this connection, with this message */
};

struct nd_exporter {
    struct ft_worker worker;
    struct nd_export_to to;
    struct ft_lane_shared *shared;
    unsigned lanes;
    struct nd_export_queue *queue; /* [lanes] */
    uint64_t at[FT_LANES_MAX];     /* position of the next event to be encoded */
    int fd;                        /* -1: there is none */
    uint64_t again;                /* when it is opened again, or the file's place is looked at */
    struct nd_ipfix *ipfix;        /* NULL: JSON */
    uint64_t templates;            /* when they are due again */
    struct flight flight[FLIGHTS];
    uint32_t first, flights;
    uint64_t given; /* bytes, to this connection */
    struct {
        uint8_t bytes[ND_ENCODED_MAX];
        size_t len, at;
    } message;
    const char *said; /* why it is closed, as it was logged; NULL: it is open */
    _Atomic bool open;
    _Atomic uint64_t events, failures;
};

/* ---- opening and closing ------------------------------------------------------------------------- */

/* -1 with errno, and closed: it does not fit. */
static int keep(int fd, bool fits)
{
    int why = errno;

    if (fits)
        return fd;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

static int open_collector(const struct nd_exporter *x)
{
    bool tcp = x->to.kind == ND_EXPORT_TCP;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(x->to.port)};
    const struct timeval most = {.tv_sec = 1};
    const int user = USER_TIMEOUT, on = 1;
    int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, x->to.host, &to.sin_addr);
    return keep(fd, fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) == 0 &&
                        (!tcp || (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof(user)) == 0 &&
                                  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0)) &&
                        connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0);
}

/* What a full disk, or a death, cut off its last line becomes a line of its own. */
static int open_file(const struct nd_exporter *x)
{
    int fd = open(x->to.path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0640);
    struct stat is;
    char last = '\n';

    errno = fd >= 0 ? EINVAL : errno; /* what is no file */
    return keep(fd, fd >= 0 && fstat(fd, &is) == 0 && S_ISREG(is.st_mode) &&
                        (is.st_size == 0 || pread(fd, &last, 1, is.st_size - 1) == 1) &&
                        (last == '\n' || write(fd, "\n", 1) == 1));
}

/* Where events go, for people. */
static const char *place(const struct nd_exporter *x, char out[ND_PATH_MAX + 32])
{
    if (x->to.kind == ND_EXPORT_FILE)
        snprintf(out, ND_PATH_MAX + 32, "file %s", x->to.path);
    else
        snprintf(out, ND_PATH_MAX + 32, "%s %s:%u", nd_export_kinds[x->to.kind - 1], x->to.host, x->to.port);
    return out;
}

/* What is not acknowledged is sent again, from each queue's tail on. */
static void forget_flights(struct nd_exporter *x)
{
    for (unsigned l = 0; l < x->lanes; l++)
        x->at[l] = atomic_load_explicit(&x->queue[l].tail, memory_order_relaxed);
    x->first = x->flights = 0;
    x->message.len = x->message.at = 0;
    x->given = 0;
}

static void close_place(struct nd_exporter *x, int why, uint64_t now)
{
    char text[ND_PATH_MAX + 32];

    if (x->fd >= 0)
        close(x->fd);
    x->fd = -1;
    x->again = now + AGAIN_NS;
    atomic_store(&x->open, false);
    atomic_fetch_add(&x->failures, 1);
    forget_flights(x);
    if (x->said != strerrordesc_np(why))
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_EXPORT, "%s: %s: events wait in the log of flows",
                     place(x, text), strerrordesc_np(why));
    x->said = strerrordesc_np(why);
}

static bool open_place(struct nd_exporter *x, uint64_t now)
{
    bool ipfix = x->to.kind != ND_EXPORT_FILE;
    uint16_t most = x->to.kind == ND_EXPORT_UDP ? UDP_BYTES : TCP_BYTES;
    struct ft_fault fault;
    char text[ND_PATH_MAX + 32];

    if (x->fd >= 0 || now < x->again)
        return x->fd >= 0;
    x->fd = ipfix ? open_collector(x) : open_file(x);
    if (x->fd >= 0 && ipfix) { /* a session has numbers and templates of its own */
        nd_ipfix_close(x->ipfix);
        if (nd_ipfix_open(&x->ipfix, x->message.bytes, most, &fault)) {
            close_place(x, ENOMEM, now);
            return false;
        }
        x->templates = now + TEMPLATES_NS;
    }
    if (x->fd < 0) {
        close_place(x, errno, now);
        return false;
    }
    forget_flights(x);
    x->again = now + AGAIN_NS;
    atomic_store(&x->open, true);
    if (x->said)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_EXPORT, "%s takes events", place(x, text));
    x->said = NULL;
    return true;
}

/* A file that was moved away, as those that rotate logs do, is begun anew. A collector that has closed its
 * end takes no more. */
static void look_at_place(struct nd_exporter *x, uint64_t now)
{
    struct stat is, there;
    ssize_t n;
    char byte;

    if (x->to.kind == ND_EXPORT_FILE) {
        if (now < x->again)
            return;
        x->again = now + AGAIN_NS;
        if (fstat(x->fd, &is) == 0 && stat(x->to.path, &there) == 0 && is.st_ino == there.st_ino &&
            is.st_dev == there.st_dev)
            return;
        close(x->fd);
        x->fd = -1;
        x->again = 0;
    } else if (x->to.kind == ND_EXPORT_TCP) {
        n = recv(x->fd, &byte, 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            close_place(x, n ? errno : ECONNRESET, now);
    }
}

/* ---- sending ------------------------------------------------------------------------------------- */

static void settle(struct nd_exporter *x, uint64_t upto)
{
    while (x->flights && x->flight[x->first].end <= upto) {
        const struct flight *f = &x->flight[x->first];
        struct nd_export_queue *q = &x->queue[f->lane];

        if (f->upto > atomic_load_explicit(&q->tail, memory_order_relaxed))
            atomic_store_explicit(&q->tail, f->upto, memory_order_release);
        x->first = (x->first + 1) % FLIGHTS;
        x->flights--;
    }
}

/* What the collector's kernel has acknowledged, or who else takes it has taken. */
static void acknowledge(struct nd_exporter *x, uint64_t now)
{
    int waiting = 0;

    if (x->to.kind == ND_EXPORT_TCP && x->flights && ioctl(x->fd, SIOCOUTQ, &waiting) != 0)
        close_place(x, errno, now);
    else
        settle(x, x->given - (uint64_t)waiting - (x->message.len - x->message.at));
}

/* False: it has not all left, or there is no place any more. */
static bool flush(struct nd_exporter *x, uint64_t now)
{
    while (x->message.at < x->message.len) {
        const uint8_t *from = x->message.bytes + x->message.at;
        size_t left = x->message.len - x->message.at;
        ssize_t n =
            x->ipfix ? send(x->fd, from, left, MSG_DONTWAIT | MSG_NOSIGNAL) : write(x->fd, from, left);

        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
            return false;
        if (n < 0) {
            close_place(x, errno, now);
            return false;
        }
        x->message.at += (size_t)n;
    }
    x->message.at = x->message.len = 0;
    return true;
}

/* Positions of a queue from which on events may be encoded; how many there are. */
static uint32_t find_events(struct nd_exporter *x, unsigned lane, const struct nf_log_event *events[BATCH])
{
    struct nd_export_queue *q = &x->queue[lane];
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t floor = atomic_load_explicit(&q->floor, memory_order_acquire);
    uint32_t n = 0;

    if (atomic_load_explicit(&q->tail, memory_order_relaxed) < floor)
        atomic_store_explicit(&q->tail, floor, memory_order_release);
    x->at[lane] = x->at[lane] < floor ? floor : x->at[lane];
    while (n < BATCH && x->at[lane] + n < head) {
        events[n] = &q->event[(x->at[lane] + n) % ND_EXPORT_EVENTS];
        n++;
    }
    return n;
}

/* A message of a lane's events is on its way. */
static bool export_lane(struct nd_exporter *x, unsigned lane, uint64_t now)
{
    const struct nf_log_event *events[BATCH];
    uint32_t n = find_events(x, lane, events), done;
    size_t len;

    if (!n || x->flights == FLIGHTS || ft_now() >= FT_ORDER_GET(&x->shared[lane], lease_until))
        return false;
    done = x->ipfix ? nd_ipfix_encode(x->ipfix, events, n, (uint32_t)(ft_wall() / 1000000000u), &len)
                    : nd_json_encode(events, n, (char *)x->message.bytes, sizeof(x->message.bytes), &len);
    if (!len) {
        close_place(x, EIO, now);
        return false;
    }
    x->message.len = len;
    x->given += len;
    x->at[lane] += done; /* none: the message has the templates */
    x->flight[(x->first + x->flights++) % FLIGHTS] =
        (struct flight){.lane = lane, .upto = x->at[lane], .end = x->given};
    atomic_fetch_add(&x->events, done);
    return flush(x, now);
}

/* What to add to monotonic time, for lanes. */
static void publish_wall(struct nd_exporter *x)
{
    int64_t wall = (int64_t)(ft_wall() - ft_now());

    for (unsigned l = 0; l < x->lanes; l++)
        atomic_store(&x->queue[l].wall, wall);
}

static bool turn(struct nd_exporter *x, uint64_t now)
{
    bool moved = false;

    publish_wall(x);
    if (x->fd >= 0)
        look_at_place(x, now);
    if (!open_place(x, now))
        return false;
    acknowledge(x, now);
    if (x->ipfix && x->to.kind == ND_EXPORT_UDP && now >= x->templates) {
        nd_ipfix_templates(x->ipfix);
        x->templates = now + TEMPLATES_NS;
    }
    for (bool more = x->fd >= 0 && flush(x, now); more;) {
        more = false;
        for (unsigned l = 0; l < x->lanes && x->fd >= 0 && !x->message.len; l++)
            more |= export_lane(x, l, now);
        moved |= more;
        if (x->fd >= 0)
            acknowledge(x, now);
    }
    return moved || x->flights;
}

static void *run(void *arg)
{
    struct nd_exporter *x = arg;
    uint64_t wait = SOON_NS;

    if (x->to.kind == ND_EXPORT_FILE)
        ft_disk_thread_begin("us-export", x->to.path);
    else
        ft_thread_begin("us-export");
    while (!ft_worker_ends(&x->worker)) {
        wait = turn(x, ft_now()) ? SOON_NS : 2 * wait < LATE_NS ? 2 * wait : LATE_NS;
        ft_worker_wait(&x->worker, ft_now() + wait);
    }
    turn(x, ft_now()); /* what lanes gave before they ended */
    if (x->fd >= 0)
        close(x->fd); /* here: a disk's thread has descriptors of its own */
    return NULL;
}

/* ---- for the node -------------------------------------------------------------------------------- */

int nd_exporter_start(struct nd_exporter **out, const struct nd_export_to *to, struct ft_lane_shared *shared,
                      unsigned lanes, struct ft_fault *fault)
{
    struct nd_exporter *x = aligned_alloc(64, (sizeof(*x) + 63) / 64 * 64);
    size_t bytes = lanes * sizeof(*x->queue);
    int error;

    *out = NULL;
    if (!x)
        return ft_fail(fault, FT_ENOMEM, "no memory for the exporter");
    memset(x, 0, sizeof(*x));
    x->to = *to;
    x->shared = shared;
    x->lanes = lanes;
    x->fd = -1;
    x->queue = aligned_alloc(64, bytes);
    if (!x->queue) {
        free(x);
        return ft_fail(fault, FT_ENOMEM, "no memory for events of %u lanes", lanes);
    }
    memset(x->queue, 0, bytes);
    publish_wall(x);
    error = ft_worker_start(&x->worker, run, x, "the exporter", fault);
    if (error) {
        free(x->queue);
        free(x);
        return error;
    }
    *out = x;
    return 0;
}

struct nd_export_queue *nd_exporter_queue(struct nd_exporter *x, unsigned lane)
{
    return x ? &x->queue[lane] : NULL;
}

void nd_exporter_counts(const struct nd_exporter *x, struct nd_export_counts *out)
{
    *out = (struct nd_export_counts){.open = atomic_load(&x->open),
                                     .events = atomic_load(&x->events),
                                     .failures = atomic_load(&x->failures)};
}

void nd_exporter_stop(struct nd_exporter *x)
{
    if (!x || !ft_worker_end(&x->worker, ft_now() + FT_WORKER_DISK_NS))
        return;
    nd_ipfix_close(x->ipfix);
    free(x->queue);
    free(x);
}
