/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves /metrics by libmicrohttpd, whose one thread owns the connections and waits for the main thread's
 * page, PAGE_MS at most. Between the two threads lies `stage` and what it guards; each is moved on by one of
 * them alone.
 *
 * A connection is closed behind its answer. Whoever comes when all PLACES are taken takes the place of the
 * connection that has been there for the longest. So idle connections keep nobody out. All that were there
 * when the main thread was asked have the one answer, for a second. So many that ask at once cost no more of
 * its turns, nor of the time of who comes behind them, than a few.
 */
#define _GNU_SOURCE
#include "understudy/metrics/metrics.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/clock.h"
#include "understudy/base/late.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the library, loaded by a daemon that has metrics: ten libraries hang on it ---- */

#define CALLS(X)                                                                                             \
    X(add_response_header)                                                                                   \
    X(create_response_from_buffer)                                                                           \
    X(destroy_response)                                                                                      \
    X(get_connection_info)                                                                                   \
    X(queue_response)                                                                                        \
    X(start_daemon)                                                                                          \
    X(stop_daemon)

#define POINTER(name) __typeof__(&MHD_##name) name;
static struct {
    CALLS(POINTER)
} mhd;

static int load_library(struct ft_fault *fault)
{
#define ROW(name) {"MHD_" #name, &mhd.name},
    static const struct nd_late_call calls[] = {CALLS(ROW)};

    return nd_late_load("libmicrohttpd.so.12", calls, sizeof(calls) / sizeof(calls[0]), fault);
}

/* ---- who waits for it ---------------------------------------------------------------------------- */

#define PLACES     24u
#define MORE       12u   /* beside them: the library takes at most 10 connections in a round */
#define MEMORY     8192u /* bytes for a connection's request */
#define IDLE_S     5u
#define PAGE_MS    1000u
#define FRESH_NS   1000000000ull /* so old is a page at most */
#define BACKLOG    128
#define TEXT       "text/plain; charset=utf-8"
#define EXPOSITION "text/plain; version=0.0.4; charset=utf-8"

enum stage {
    FREE,  /* to ASKED by the thread */
    ASKED, /* to READY by the main thread */
    READY, /* to FREE by the thread, which takes the page */
};

struct nd_metrics {
    struct MHD_Daemon *daemon;
    _Atomic enum stage stage;
    _Atomic bool closing;
    sem_t answered;
    char *page; /* READY */
    size_t size;
    struct place {
        int fd; /* 0: free */
        uint64_t since;
    } place[PLACES];           /* the thread's, and so is what follows */
    unsigned next;             /* the place of the oldest */
    uint64_t asked, came;      /* the main thread, when last; ns */
    struct MHD_Response *last; /* what came of it; NULL: it gave no page */
};

bool nd_metrics_asked(const struct nd_metrics *m)
{
    return m && atomic_load(&m->stage) == ASKED;
}

/* `page` NULL: there is none. */
static void hand_over(struct nd_metrics *m, char *page, size_t size)
{
    m->page = page;
    m->size = size;
    atomic_store(&m->stage, READY);
    sem_post(&m->answered);
}

void nd_metrics_answer(struct nd_metrics *m, const struct nd_page *of, const json_t *status)
{
    size_t size = 0;
    char *page = nd_page_make(of, status, &size);

    hand_over(m, page, size);
}

static char *take_page(struct nd_metrics *m, size_t *size)
{
    char *page = m->page;

    *size = m->size;
    m->page = NULL;
    atomic_store(&m->stage, FREE);
    return page;
}

/* NULL: the main thread gave none in time, or has no memory for one. Its page may come yet, for whom nobody
 * waits any more. */
static char *wait_for_page(struct nd_metrics *m, size_t *size)
{
    enum stage stage = FREE;
    struct timespec until;

    /* A page that comes for who waited in vain is an old one; one that is asked for still is a new one. */
    if (!atomic_compare_exchange_strong(&m->stage, &stage, ASKED) && stage == READY) {
        free(take_page(m, size));
        atomic_store(&m->stage, ASKED);
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PAGE_MS / 1000;
    while (atomic_load(&m->stage) != READY)
        if (atomic_load(&m->closing) ||
            (sem_clockwait(&m->answered, CLOCK_MONOTONIC, &until) != 0 && errno != EINTR))
            return NULL;
    return take_page(m, size);
}

/* ---- HTTP -------------------------------------------------------------------------------------- */

/* NULL: no memory. Takes over a `body` that is to be freed, then as well. */
static struct MHD_Response *make_response(const char *type, char *body, size_t size,
                                          enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = mhd.create_response_from_buffer(size, body, mode);

    if (!response) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(body);
        return NULL;
    }
    mhd.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    mhd.add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned code, char *why)
{
    struct MHD_Response *response = make_response(TEXT, why, strlen(why), MHD_RESPMEM_PERSISTENT);

    if (!response)
        return MHD_NO;
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        mhd.add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result done = mhd.queue_response(c, code, response);

    mhd.destroy_response(response);
    return done;
}

/* What the connection is answered that has been there since then: it may have asked long behind that. */
static void find_page(struct nd_metrics *m, uint64_t since)
{
    size_t size;
    char *page;

    if (since <= m->asked && ft_now() - m->came < FRESH_NS)
        return;
    if (m->last)
        mhd.destroy_response(m->last);
    m->asked = ft_now();
    page = wait_for_page(m, &size);
    m->came = ft_now();
    m->last = page ? make_response(EXPOSITION, page, size, MHD_RESPMEM_MUST_FREE) : NULL;
}

static enum MHD_Result answer_request(void *arg, struct MHD_Connection *c, const char *url,
                                      const char *method, const char *version, const char *upload,
                                      size_t *upload_size, void **seen)
{
    static char no_method[] = "expected GET\n", no_path[] = "expected /metrics\n",
                no_page[] = "the main thread does not answer\n";
    struct nd_metrics *m = arg;
    const union MHD_ConnectionInfo *of = mhd.get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    const struct place *place = of->socket_context;

    (void)version, (void)upload, (void)upload_size, (void)seen;
    ft_thread_begin("us-metrics"); /* the library's thread, with each request anew */
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, no_method);
    if (strcmp(url, "/metrics") != 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, no_path);
    if (place->fd != mhd.get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd)
        return MHD_NO; /* it has lost its place */
    find_page(m, place->since);
    return m->last ? mhd.queue_response(c, MHD_HTTP_OK, m->last)
                   : refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, no_page);
}

/* Who loses its place is shut down, and the library closes it. */
static void give_place(void *arg, struct MHD_Connection *c, void **of,
                       enum MHD_ConnectionNotificationCode what)
{
    struct nd_metrics *m = arg;
    int fd = mhd.get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    struct place *place = *of;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (place && place->fd == fd)
            place->fd = 0;
        return;
    }
    place = &m->place[m->next++ % PLACES];
    if (place->fd)
        shutdown(place->fd, SHUT_RDWR);
    *place = (struct place){fd, ft_now()};
    *of = place;
}

/* ---- life -------------------------------------------------------------------------------------- */

static int open_listener(int *out, const char *host, uint16_t port, struct ft_fault *fault)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1, why;

    inet_pton(AF_INET, host, &at.sin_addr);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0) {
        *out = fd;
        return 0;
    }
    why = errno;
    if (fd >= 0)
        close(fd);
    return ft_fail(fault,
                   why == EADDRINUSE      ? FT_EBUSY
                   : why == EADDRNOTAVAIL ? FT_ENOENT
                   : why == EACCES        ? FT_EPERM
                                          : FT_EIO,
                   "metrics %s:%u: %s", host, port, strerror(why));
}

int nd_metrics_open(struct nd_metrics **out, const char *host, uint16_t port, struct ft_fault *fault)
{
    struct nd_metrics *m;
    int fd = -1, error;

    *out = NULL;
    if (!port)
        return 0;
    error = load_library(fault);
    if (error)
        return error;
    m = calloc(1, sizeof(*m));
    if (!m)
        return ft_fail(fault, FT_ENOMEM, "no memory for metrics");
    error = open_listener(&fd, host, port, fault);
    if (error) {
        free(m);
        return error;
    }
    sem_init(&m->answered, 0, 0);
    m->daemon = mhd.start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD, port, NULL, NULL, answer_request, m, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, PLACES + MORE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_NOTIFY_CONNECTION, give_place, m, MHD_OPTION_END);
    if (!m->daemon) {
        close(fd);
        sem_destroy(&m->answered);
        free(m);
        return ft_fail(fault, FT_EIO, "metrics %s:%u: no thread", host, port);
    }
    *out = m;
    return 0;
}

void nd_metrics_close(struct nd_metrics *m)
{
    if (!m)
        return;
    atomic_store(&m->closing, true);
    sem_post(&m->answered);
    mhd.stop_daemon(m->daemon);
    if (m->last)
        mhd.destroy_response(m->last);
    sem_destroy(&m->answered);
    free(m->page);
    free(m);
}
