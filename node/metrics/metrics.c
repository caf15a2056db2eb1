/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves /metrics by libmicrohttpd, whose one thread owns the connections and waits for the main thread's
 * page, PAGE_MS at most. Between the two threads lies `stage` and what it guards; each is moved on by one of
 * them alone.
 *
 * A connection is closed behind its answer. Whoever comes when all PLACES are taken takes the place of the
 * connection that has been there for the longest. So idle connections keep nobody out.
 */
#define _GNU_SOURCE
#include "node/metrics/metrics.h"
#include "ftcore/base/thread.h"
#include "node/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the page: of each field of "status" that is a metric (fields.def) its samples, as the answer has them.
 *      Samples of one metric stand together, behind its HELP and TYPE ---- */

enum samples {
    ONE,     /* of the field; through a list one of each element, by lane or by port */
    CHOICE,  /* the field is a text: 1 for the one of `names` that it is, 0 for the others, by `label` */
    MAP,     /* of a map, or of a map of maps, of numbers: for each; the keys' labels are `names` */
    INFO,    /* always 1: `names` are its labels, and the fields that these tell */
    BUCKETS, /* of a histogram */
    TABLES,  /* `label` of each table, by lane where it is a lane's */
};

struct metric {
    const char *path;
    const char *name, *type, *help; /* NULL: the field is no metric */
    enum samples samples;
    const char *label;        /* ONE: as it is written */
    const char *const *names; /* NULL at the end */
    const char *absent;       /* what a gauge is without a number; NULL: it is left out */
};

#define G          "gauge"
#define C          "counter"
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define STATES     NAMES("JOINING", "SYNCING", "READY", "PROTECTED", "DEGRADED", "SOLO", "FENCED")
#define TURN_AGE   "understudy_thread_turn_age_seconds", G, "Age of the thread's last turn"
#define SPENT      "understudy_thread_seconds_total", C, "How the thread spent its time since it began"
#define LONG_TURNS "understudy_thread_long_turns_total", C, "Turns longer than 1 ms"
#define WAITS      "understudy_lane_waits_total", C, "Times that the lane or an output waited, by what for"
#define RESYNCS    "understudy_resyncs_total", C, "Resyncs that ended, by how"
#define COMPARED   "understudy_verified_slices_total", C, "Slices of the state compared, by outcome"

#define FIELD(path, value, ...) AGAIN(path, __VA_ARGS__)
#define AGAIN(at, ...)          {.path = (at), __VA_ARGS__},
static const struct metric fields[] = {
#include "node/metrics/fields.def"
};
static const struct metric *const end = fields + sizeof(fields) / sizeof(fields[0]);

#undef G
#undef C

const double nd_takeover_bounds[ND_TAKEOVER_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                        0.025,  0.05,  0.1,    0.25,  1};

/* A label's value, with what the format wants escaped. */
static void write_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    fputc('"', out);
}

/* Behind the labels. What status has in ms the page has in seconds. */
static void write_value(FILE *out, const struct metric *f, const json_t *value)
{
    size_t len = strlen(f->path);
    bool ms = len > 3 && strcmp(f->path + len - 2, "ms") == 0 && strchr("._", f->path[len - 3]);

    if (json_is_integer(value) && !ms)
        fprintf(out, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    else
        fprintf(out, " %.15g\n", json_is_true(value) ? 1 : json_number_value(value) * (ms ? 1e-3 : 1));
}

/* `element`: of a list of lanes or ports, that the value is in; NULL: it is in none. A counter without a
 * value is 0, anything else is left out. */
static void write_one(FILE *out, const struct metric *f, const json_t *value, const json_t *element)
{
    const char *port = json_string_value(json_object_get(element, "port"));

    if (strcmp(f->type, "counter") != 0 && !json_is_number(value) && !json_is_boolean(value)) {
        if (f->absent)
            fprintf(out, "%s %s\n", f->name, f->absent);
        return;
    }
    fprintf(out, element || f->label ? "%s{" : "%s", f->name);
    if (port)
        write_label(out, "port", port);
    else if (element)
        fprintf(out, "lane=\"%" JSON_INTEGER_FORMAT "\"",
                json_integer_value(json_object_get(element, "lane")));
    if (f->label)
        fprintf(out, element ? ",%s" : "%s", f->label);
    if (element || f->label)
        fputc('}', out);
    write_value(out, f, value);
}

static void write_choice(FILE *out, const struct metric *f, const char *chosen)
{
    for (const char *const *name = f->names; *name; name++) {
        fprintf(out, "%s{", f->name);
        write_label(out, f->label, *name);
        fprintf(out, "} %d\n", chosen && strcmp(*name, chosen) == 0);
    }
}

/* `outer`: the key of this map in a map of maps; NULL: there is none. */
static void write_map(FILE *out, const struct metric *f, const json_t *map, const char *outer)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (json_is_object(value)) {
            write_map(out, f, value, key);
            continue;
        }
        fprintf(out, "%s{", f->name);
        if (outer) {
            write_label(out, f->names[0], outer);
            fputc(',', out);
        }
        write_label(out, f->names[outer != NULL], key);
        fputc('}', out);
        write_value(out, f, value);
    }
}

/* Of a table of all lanes, or of each lane's part. */
static void write_tables(FILE *out, const struct metric *f, const json_t *tables)
{
    const char *name;
    json_t *table;

    json_object_foreach((json_t *)(uintptr_t)tables, name, table)
    {
        const json_t *lanes = json_object_get(table, "lanes");

        for (size_t l = 0; l < (lanes ? json_array_size(lanes) : 1); l++) {
            fprintf(out, "%s{", f->name);
            write_label(out, "table", name);
            if (lanes)
                fprintf(out, ",lane=\"%zu\"", l);
            fputc('}', out);
            write_value(out, f, json_object_get(lanes ? json_array_get(lanes, l) : table, f->label));
        }
    }
}

static void write_info(FILE *out, const struct metric *f, const json_t *status)
{
    for (const char *const *name = f->names; *name; name++) {
        const char *text = json_string_value(json_object_get(status, *name));

        fputs(name == f->names ? f->name : "", out);
        fputc(name == f->names ? '{' : ',', out);
        write_label(out, *name, text ? text : "");
    }
    fputs("} 1\n", out);
}

/* Status has how many fell in each bucket; the format has how many were no longer. */
static void write_buckets(FILE *out, const struct metric *f, const json_t *histogram)
{
    json_int_t below = 0, count = json_integer_value(json_object_get(histogram, "count"));

    for (unsigned i = 0; i < ND_TAKEOVER_BUCKETS; i++) {
        below += json_integer_value(json_array_get(json_object_get(histogram, "buckets"), i));
        fprintf(out, "%s_bucket{le=\"%g\"} %" JSON_INTEGER_FORMAT "\n", f->name, nd_takeover_bounds[i],
                below);
    }
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" JSON_INTEGER_FORMAT "\n", f->name, count);
    fprintf(out, "%s_sum %.15g\n", f->name, json_number_value(json_object_get(histogram, "sum_s")));
    fprintf(out, "%s_count %" JSON_INTEGER_FORMAT "\n", f->name, count);
}

/* Of the field that `path` leads to from `at`. */
static void write_field(FILE *out, const struct metric *f, const json_t *at, const char *path,
                        const json_t *element)
{
    size_t len = strcspn(path, "."), i;
    const json_t *value = json_object_getn(at, path, len), *one;

    if (path[len]) {
        if (!json_is_array(value))
            write_field(out, f, value, path + len + 1, element);
        json_array_foreach(value, i, one) write_field(out, f, one, path + len + 1, one);
        return;
    }
    switch (f->samples) {
    case ONE:
        write_one(out, f, value, element);
        break;
    case CHOICE:
        write_choice(out, f, json_string_value(value));
        break;
    case MAP:
        write_map(out, f, value, NULL);
        break;
    case INFO:
        write_info(out, f, at);
        break;
    case BUCKETS:
        write_buckets(out, f, value);
        break;
    case TABLES:
        write_tables(out, f, value);
        break;
    }
}

static const struct metric *next_of(const struct metric *f, const char *metric)
{
    while (f < end && !(f->name && strcmp(f->name, metric) == 0))
        f++;
    return f;
}

/* For a status, allocated; *size without the final NUL. NULL: no memory. A number that status does not have,
 * or has as null, is 0 where it counts events, and is left out where it is a level or an age. */
static char *make_page(const json_t *status, size_t *size)
{
    char *page = NULL;
    FILE *out = open_memstream(&page, size);

    if (!out)
        return NULL;
    for (const struct metric *f = fields; f < end; f++) {
        if (!f->name || next_of(fields, f->name) != f)
            continue;
        fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
        for (const struct metric *same = f; same < end; same = next_of(same + 1, f->name))
            write_field(out, same, status, same->path, NULL);
    }
    if (fclose(out) == 0)
        return page;
    free(page);
    return NULL;
}

/* ---- who waits for it ---------------------------------------------------------------------------- */

#define PLACES     12u
#define MORE       12u   /* beside them: the library takes at most 10 connections in a round */
#define MEMORY     8192u /* bytes for a connection's request */
#define IDLE_S     5u
#define PAGE_MS    1000u
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
    int place[PLACES]; /* sockets, 0: free; the thread's */
    unsigned next;     /* the place of the oldest */
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

void nd_metrics_answer(struct nd_metrics *m, const json_t *status)
{
    size_t size = 0;
    char *page = make_page(status, &size);

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

/* NULL: the main thread gave none in time. Its page may come yet, for whom nobody waits any more. */
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

/* Takes over `body`, which is not NULL. */
static enum MHD_Result respond(struct MHD_Connection *c, unsigned code, const char *type, char *body,
                               size_t size, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, body, mode);
    enum MHD_Result done;

    if (!response) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    done = MHD_queue_response(c, code, response);
    MHD_destroy_response(response);
    return done;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned code, char *why)
{
    return respond(c, code, TEXT, why, strlen(why), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer_request(void *arg, struct MHD_Connection *c, const char *url,
                                      const char *method, const char *version, const char *upload,
                                      size_t *upload_size, void **seen)
{
    static char no_method[] = "expected GET\n", no_path[] = "expected /metrics\n",
                no_page[] = "the node's main thread does not answer\n";
    struct nd_metrics *m = arg;
    size_t size;
    char *page;

    (void)version, (void)upload, (void)upload_size, (void)seen;
    ft_thread_begin("us-metrics"); /* the library's thread, with each request anew */
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, no_method);
    if (strcmp(url, "/metrics") != 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, no_path);
    page = wait_for_page(m, &size);
    return page ? respond(c, MHD_HTTP_OK, EXPOSITION, page, size, MHD_RESPMEM_MUST_FREE)
                : refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, no_page);
}

/* Who loses its place is shut down, and the library closes it. */
static void give_place(void *arg, struct MHD_Connection *c, void **of,
                       enum MHD_ConnectionNotificationCode what)
{
    struct nd_metrics *m = arg;
    int *place = *of;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (place && *place == MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd)
            *place = 0;
        return;
    }
    place = &m->place[m->next++ % PLACES];
    if (*place)
        shutdown(*place, SHUT_RDWR);
    *place = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
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
    struct nd_metrics *m = calloc(1, sizeof(*m));
    int fd = -1, error;

    *out = NULL;
    if (!m)
        return ft_fail(fault, FT_ENOMEM, "no memory for metrics");
    error = open_listener(&fd, host, port, fault);
    if (error) {
        free(m);
        return error;
    }
    sem_init(&m->answered, 0, 0);
    m->daemon = MHD_start_daemon(
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
    MHD_stop_daemon(m->daemon);
    sem_destroy(&m->answered);
    free(m->page);
    free(m);
}
