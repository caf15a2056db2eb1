/* SPDX-License-Identifier: Apache-2.0 */
/* The page of metrics, of statuses that are written here: what is on it, in what unit, and what is left out.
 */
#include "understudy/metrics/metrics.c"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

static char *page_of(const char *status)
{
    json_t *o = json_loads(status, 0, NULL);
    size_t size;
    char *page;

    assert_non_null(o);
    page = nd_page_make(&nd_node_page, o, &size);
    json_decref(o);
    assert_non_null(page);
    assert_int_equal(size, strlen(page));
    return page;
}

#define SILENCE "{\"peer\": {\"silent_ms\": 0.25, \"connected\": true}}"
#define NEVER   "{\"verified\": {\"age_s\": null}}"
/* A table of each lane has its label; one of all has none. */
#define TABLES                                                                                               \
    "{\"tables\": {\"nat.flows\": {\"entries\": 12, \"limit\": 40, \"lanes\": [{\"entries\": 5, \"limit\": " \
    "20},"                                                                                                   \
    " {\"entries\": 7, \"limit\": 20}]}, \"nat.tcp_ports\": {\"entries\": 11, \"limit\": 64512}}}"
#define READY "{\"state\": \"READY\"}"
#define LANES                                                                                                \
    "{\"lanes\": [{\"lane\": 0, \"held\": 1, \"ring_full\": 5, \"turn_ms\": null},"                          \
    "{\"lane\": 1, \"held\": 3, \"turn_ms\": 2}]}"
#define PORTS                                                                                                \
    "{\"ports\": [{\"port\": \"in\", \"whole\": true, \"peer_heard\": null, \"mtu\": 1500, \"tx_lost\": 4}," \
    "{\"port\": \"out\", \"whole\": false, \"peer_heard\": false}]}"
/* Takeovers of 3, 3 and 2000 ms: the format counts each in all buckets that are large enough. */
#define TAKEOVERS "{\"takeovers\": {\"count\": 3, \"sum_s\": 2.006, \"buckets\": [0,0,0,2,0,0,0,0,0,0]}}"
/* Outputs of 4 us, 4 us and 2 s, of one lane. */
#define WAITS                                                                                                \
    "{\"lanes\": [{\"lane\": 1, \"output_wait\": {\"count\": 3, \"sum_s\": 2.000008, "                       \
    "\"buckets\": [2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}]}"

TEST(a_page_has_these_lines_and_not_those)
{
    static const struct {
        const char *status, *line;
        bool there; /* exactly so */
    } rows[] = {
        {"{\"view\": 9007199254740993}", "understudy_view 9007199254740993", true},
        {"{\"view_unwritten_ms\": 1500}", "understudy_view_unwritten_seconds 1.5", true},
        {SILENCE, "understudy_peer_silence_seconds 0.00025", true},
        {SILENCE, "understudy_peer_connected 1", true},
        {"{\"peer\": {\"connected\": false}}", "understudy_peer_connected 0", true},
        /* Who waits for a counter to grow must see it at 0 before. An age that there is not is no 0. */
        {"{\"diverged\": null}", "understudy_divergences_total 0", true},
        {"{\"diverged\": {\"count\": 2}}", "understudy_divergences_total 2", true},
        {NEVER, "understudy_verified_age_seconds 0", false},
        {NEVER, "understudy_verified_age_seconds +Inf", true}, /* never: an alert asks for it */
        {"{\"verified\": {\"age_s\": 0}}", "understudy_verified_age_seconds 0", true},
        {TABLES, "understudy_table_entries{table=\"nat.flows\",lane=\"0\"} 5", true},
        {TABLES, "understudy_table_entries{table=\"nat.flows\",lane=\"1\"} 7", true},
        {TABLES, "understudy_table_limit{table=\"nat.flows\",lane=\"1\"} 20", true},
        {TABLES, "understudy_table_entries{table=\"nat.flows\"} 12", false},
        {TABLES, "understudy_table_entries{table=\"nat.tcp_ports\"} 11", true},
        {TABLES, "understudy_table_limit{table=\"nat.tcp_ports\"} 64512", true},
        {READY, "understudy_state{state=\"READY\"} 1", true},
        {READY, "understudy_state{state=\"PROTECTED\"} 0", true},
        {"{\"peer\": {\"state\": \"UNKNOWN\"}}", "understudy_peer_state{state=\"READY\"} 0", true},
        {LANES, "understudy_held_packets{lane=\"0\"} 1", true},
        {LANES, "understudy_held_packets{lane=\"1\"} 3", true},
        {LANES, "understudy_lane_waits_total{lane=\"0\",reason=\"ring_full\"} 5", true},
        {LANES, "understudy_thread_turn_age_seconds{lane=\"1\",thread=\"lane\"} 0.002", true},
        {LANES, "understudy_thread_turn_age_seconds{lane=\"0\",thread=\"lane\"} 0", false},
        {PORTS, "understudy_port_whole{port=\"in\"} 1", true},
        {PORTS, "understudy_port_whole{port=\"out\"} 0", true},
        {PORTS, "understudy_port_mtu_bytes{port=\"in\"} 1500", true},
        {PORTS, "understudy_port_tx_lost_frames_total{port=\"in\"} 4", true},
        {PORTS, "understudy_port_peer_heard{port=\"out\"} 0", true},
        {PORTS, "understudy_port_peer_heard{port=\"in\"} 0", false}, /* no peer is there to be heard */
        /* The names of NFs and of their counters are their authors'. */
        {"{\"nfs\": {\"nat\": {\"table_full\": 7}}}",
         "understudy_nf_events_total{nf=\"nat\",counter=\"table_full\"} 7", true},
        {"{\"nfs\": {\"a\\\"\\\\\": {\"x\\ny\": 1}}}",
         "understudy_nf_events_total{nf=\"a\\\"\\\\\",counter=\"x\\ny\"} 1", true},
        {"{\"link\": {\"turned_away\": {\"stale\": 4}}}",
         "understudy_link_turned_away_total{reason=\"stale\"} 4", true},
        {TAKEOVERS, "understudy_takeover_seconds_bucket{le=\"0.0025\"} 0", true},
        {TAKEOVERS, "understudy_takeover_seconds_bucket{le=\"0.005\"} 2", true},
        {TAKEOVERS, "understudy_takeover_seconds_bucket{le=\"1\"} 2", true},
        {TAKEOVERS, "understudy_takeover_seconds_bucket{le=\"+Inf\"} 3", true},
        {TAKEOVERS, "understudy_takeover_seconds_sum 2.006", true},
        {TAKEOVERS, "understudy_takeover_seconds_count 3", true},
        {WAITS, "understudy_output_wait_seconds_bucket{lane=\"1\",le=\"5e-06\"} 2", true},
        {WAITS, "understudy_output_wait_seconds_bucket{lane=\"1\",le=\"1\"} 2", true},
        {WAITS, "understudy_output_wait_seconds_bucket{lane=\"1\",le=\"+Inf\"} 3", true},
        {WAITS, "understudy_output_wait_seconds_sum{lane=\"1\"} 2.000008", true},
        {WAITS, "understudy_output_wait_seconds_count{lane=\"1\"} 3", true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *page = page_of(rows[i].status);

        if ((strstr(page, help_print("\n%s\n", rows[i].line)) != NULL) != rows[i].there)
            fail_msg("of %s: %s: %s", rows[i].status, rows[i].line,
                     rows[i].there ? "is not there" : "is there");
        free(page);
    }
}

/* HELP and TYPE stand once, before the first sample of a metric, and no other metric is between its samples.
 */
TEST(test_each_metric_once)
{
    char *page = page_of("{\"lanes\": [{}]}"), *rest = page, *line, seen[1 << 16] = "";

    while ((line = strsep(&rest, "\n"))) {
        char name[128];

        if (sscanf(line, "# TYPE %127s", name) != 1)
            continue;
        strcat(name, " ");
        if (strstr(seen, name))
            fail_msg("%s: twice", line);
        strcat(seen, name);
    }
    assert_true(strlen(seen) > 1000);
    free(page);
}

/*
 * Who serves metrics, without a node: this thread plays the main one, and clients are sockets of the
 * loopback. A main thread that answers in time, late, or never; and the end while somebody waits.
 */

#define HOST "127.0.0.91" /* nobody else's */
#define PORT 9470

static void ask(int fd)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
}

/* With room for so much that it has not read; 0: as the system has it. */
static int connected_with(int room)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (room)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    inet_pton(AF_INET, HOST, &at.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static int client_with(int room)
{
    int fd = connected_with(room);

    ask(fd);
    return fd;
}

static int client(void)
{
    return client_with(0);
}

/* All that the server says until it closes the connection, which has these two texts in it. */
static void expect(int fd, const char *head, const char *body)
{
    char got[4096] = "";
    size_t len = 0;

    for (ssize_t n; (n = read(fd, got + len, sizeof(got) - 1 - len)) > 0;)
        len += (size_t)n;
    close(fd);
    if (!strstr(got, head) || !strstr(got, body))
        fail_msg("expected %s and %s, got: %s", head, body, got);
}

static void await_asked(const struct nd_metrics *m)
{
    while (!nd_metrics_asked(m))
        sched_yield();
}

static void answer(struct nd_metrics *m, const char *page)
{
    await_asked(m);
    hand_over(m, strdup(page), strlen(page));
}

static struct nd_metrics *open_metrics(void)
{
    struct nd_metrics *m;

    help_done(nd_metrics_open(&m, HOST, PORT, &help_fault));
    return HELP_OWNED(m, nd_metrics_close);
}

TEST(test_pages)
{
    struct nd_metrics *m = open_metrics();

    assert_false(nd_metrics_asked(m));
    for (int i = 0; i < 3; i++) {
        int fd = client();

        const char *page = help_print("page %d\n", i);
        answer(m, page);
        expect(fd, "200 OK", page);
    }
    assert_false(nd_metrics_asked(m));
}

/* One page is for all that are there, and who asks a second later gets none that is as old. */
TEST(test_who_asks_late)
{
    struct nd_metrics *m = open_metrics();
    int early = connected_with(0), fd;

    while (!m->place[0].fd) /* it has its place, from before the first page */
        sched_yield();
    fd = client();
    answer(m, "first\n");
    expect(fd, "200 OK", "first\n");
    usleep(FRESH_NS / 1000 + 1000);
    ask(early);
    answer(m, "second\n");
    expect(early, "200 OK", "second\n");
}

/* The page that comes when its client has gone is nobody's: the next one gets a page of its own. */
TEST(test_late_main_thread)
{
    struct nd_metrics *m = open_metrics();
    int fd = client();

    expect(fd, "503", "main thread");
    answer(m, "late\n");
    fd = client();
    answer(m, "fresh\n");
    expect(fd, "200 OK", "fresh\n");
}

/* More than there are places for ask, and read nothing; the main thread looks five times a second, as an
 * agent's does. Who comes behind them has a page within a scrape's time. */
static void *scrape(void *answered)
{
    int fd = client();

    expect(fd, "200 OK", "page\n");
    atomic_store((_Atomic bool *)answered, true);
    return NULL;
}

TEST(test_many_that_do_not_read)
{
    struct nd_metrics *m = open_metrics();
    _Atomic bool answered = false;
    int fds[120];
    pthread_t scraper;
    uint64_t began;

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        fds[i] = client_with(2048);
    began = ft_now();
    assert_int_equal(pthread_create(&scraper, NULL, scrape, &answered), 0);
    while (!atomic_load(&answered)) {
        size_t size = 1 << 20;
        char *page = calloc(1, size);

        if (ft_now() - began > 10000000000ull)
            fail_msg("no page for 10 s");
        usleep(200000);
        memcpy(page, "page\n", 5);
        if (nd_metrics_asked(m))
            hand_over(m, page, size);
        else
            free(page);
    }
    pthread_join(scraper, NULL);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

TEST(test_no_memory_for_page)
{
    struct nd_metrics *m = open_metrics();
    int fd = client();

    await_asked(m);
    hand_over(m, NULL, 0);
    expect(fd, "503", "main thread");
}

TEST(test_end_while_somebody_waits)
{
    struct nd_metrics *m = open_metrics();
    int fd = client();

    await_asked(m);
    help_end(m);
    close(fd);
}

TEST(test_address)
{
    struct nd_metrics *m = open_metrics(), *second;

    assert_int_equal(nd_metrics_open(&second, HOST, PORT, &help_fault), FT_EBUSY);
    assert_string_equal(help_fault.text, "metrics " HOST ":9470: Address already in use");
    assert_null(second);
    help_end(m);
    assert_int_equal(nd_metrics_open(&m, "192.0.2.99", PORT, &help_fault), FT_ENOENT);
    assert_string_equal(help_fault.text, "metrics 192.0.2.99:9470: Cannot assign requested address");
    nd_metrics_close(NULL);
}
