/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that are no lanes: each of a node's begins as all do, under its name; so an overflow of its stack
 * is told like any crash, and what it was given for that goes with it.
 */
#include "ftcore/base/thread.h"
#include "logger/recorder/recorder.h"
#include "understudy/arbiter/arbiter.h"
#include "understudy/base/event_writer.h"
#include "understudy/change/files.h"
#include "understudy/etcd/mirror.h"
#include "understudy/metrics/metrics.h"
#include "replicator/view.h"
#include "tests/help/config.h"
#include "tests/help/lane.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define HOST "127.0.0.92" /* nobody else's */
#define PORT 9471

/* ---- those that a node has ---- */

static sem_t begun;
static char name[16]; /* of the thread that has begun */

static void note_begin(void)
{
    prctl(PR_GET_NAME, name);
    sem_post(&begun);
}

static void expect_begin(const char *expected)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    assert_int_equal(sem_timedwait(&begun, &until), 0);
    assert_string_equal(name, expected);
}

static int listen_for_begins(void **state)
{
    sem_init(&begun, 0, 0);
    ft_thread_begins = note_begin;
    return 0;
}

static int listen_no_more(void **state)
{
    ft_thread_begins = NULL;
    sem_destroy(&begun);
    return 0;
}

TEST_WITH(the_writers_begin_so, listen_for_begins, listen_no_more)
{
    static const uint64_t sizes[] = {0};
    static const char *const nfs[] = {"lane"};
    const struct ft_region_config how = {
        .lanes = 1, .nfs = 1, .arena_size = sizes, .nf_name = nfs, .shared_size = FT_ARENA_MIN};
    const struct nd_event_writer_config events = {.node = "a"};
    struct lg_recorder_config recording = {.directory = help_config_dir(), .node = "a", .files = 2};
    struct nd_files_thread *files;
    struct rp_view_writer *views;
    struct lg_recorder *recorder;
    char path[300];

    assert_int_equal(nd_event_writer_start(&events, &help_fault), 0);
    expect_begin("us-events");
    assert_true(nd_event_writer_stop());

    snprintf(path, sizeof(path), "%s/a.view", help_config_dir());
    assert_int_equal(rp_view_writer_open(&views, path, &(struct rp_view){.number = 0}, 0, &help_fault), 0);
    expect_begin("us-views");
    rp_view_writer_close(views);

    assert_int_equal(nd_files_thread_open(&files, &help_fault), 0);
    expect_begin("us-files");
    nd_files_thread_close(files);

    assert_int_equal(ft_region_open(&recording.region, &how, &help_fault), 0);
    assert_int_equal(lg_recorder_make(&recorder, 1, 4u * FT_RECORD_MAX, &help_fault), 0);
    assert_int_equal(lg_recorder_open(recorder, &recording, &help_fault), 0);
    expect_begin("us-recorder");
    lg_recorder_close(recorder);
    lg_recorder_free(recorder);
    ft_region_close(recording.region);
}

TEST_WITH(the_arbiter_begins_so, listen_for_begins, listen_no_more)
{
    const struct nd_arbiter_config config = {.etcd = {.url = {"http://127.0.0.1:1"}, .urls = 1}, .key = "k"};
    struct nd_arbiter *arbiter;
    struct rp_arbiter calls;

    assert_int_equal(nd_arbiter_start(&arbiter, &calls, &config, "a", &help_fault), 0);
    expect_begin("us-arbiter");
    nd_arbiter_stop(arbiter);
}

static _Atomic bool mirrors, keeps;

static void note_which(void)
{
    char this[16];

    prctl(PR_GET_NAME, this);
    mirrors |= strcmp(this, "us-mirror") == 0;
    keeps |= strcmp(this, "us-lease") == 0;
}

TEST_WITH(a_mirror_of_etcd_begins_so, listen_for_begins, listen_no_more)
{
    const struct nd_etcd_config etcd = {.url = {"http://127.0.0.1:1"}, .urls = 1};
    const struct nd_mirror_config config = {.etcd = &etcd, .prefix = "/f/", .key = "/f/k", .ttl_s = 2};
    struct nd_mirror *mirror;

    ft_thread_begins = note_which;
    assert_int_equal(nd_mirror_start(&mirror, &config, &help_fault), 0);
    UNTIL(mirrors && keeps) help_sleep_ms(1);
    nd_mirror_stop(mirror, false);
}

/* The library's thread: with its first request. */
TEST_WITH(who_serves_metrics_begins_so, listen_for_begins, listen_no_more)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct nd_metrics *metrics;

    assert_int_equal(nd_metrics_open(&metrics, HOST, PORT, &help_fault), 0);
    inet_pton(AF_INET, HOST, &at.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    expect_begin("us-metrics");
    nd_metrics_close(metrics);
    close(fd);
}

/* ---- what comes of it ---- */

static __attribute__((noinline)) uint64_t fill_stack(uint64_t depth)
{
    volatile char room[512];

    room[depth % sizeof(room)] = (char)depth;
    return (depth < UINT64_MAX ? fill_stack(depth + 1) : 0) + (uint64_t)room[0];
}

static void *overflow_in_a_thread(void *arg)
{
    ft_thread_begin("us-other");
    ft_thread_begin("us-test"); /* with another request, as those of libraries do */
    *(uint64_t *)arg = fill_stack(0);
    return NULL;
}

static void die_in_another_thread(void)
{
    pthread_t other;
    uint64_t sum;

    pthread_create(&other, NULL, overflow_in_a_thread, &sum);
    pthread_join(other, NULL);
}

TEST(an_overflow_in_any_thread_is_told)
{
    char path[ND_CRASH_PATH];
    json_t *report;

    crash_begin(NULL);
    crash_logs();
    assert_true(WTERMSIG(crash_run(die_in_another_thread)) == SIGSEGV);
    report = crash_report(path);
    assert_string_equal(json_string_value(json_object_get(report, "line")),
                        "crashed outside of its lanes: SIGSEGV");
    assert_string_equal(json_string_value(json_object_get(report, "thread")), "us-test");
    assert_true(json_is_true(json_object_get(report, "stack_overflow")));
    assert_int_equal(crash_world.page->told.notice.fingerprints, 0);
    crash_end(NULL);
}

static void *begin_and_end(void *arg)
{
    ft_thread_begin("us-test");
    return arg;
}

static uint64_t mapped_pages(void)
{
    FILE *in = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    if (!in || fscanf(in, "%lu", &pages) != 1)
        pages = 0;
    if (in)
        fclose(in);
    return pages;
}

static void begin_many_threads(void)
{
    uint64_t before = 0;
    pthread_t thread;

    for (unsigned i = 0; i < 1100; i++) {
        if (i == 100)
            before = mapped_pages();
        pthread_create(&thread, NULL, begin_and_end, NULL);
        pthread_join(thread, NULL);
    }
    _exit(before && mapped_pages() < before + 1000 * 32 / 2 ? 0 : 1); /* 32 pages each would be left */
}

/* Of a thousand threads, one after the other, nothing is left. */
TEST(the_stack_of_a_thread_goes_with_it)
{
    int how;

    crash_begin(NULL);
    how = crash_run(begin_many_threads);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    crash_end(NULL);
}

TESTS_SHARE(NULL, crash_clean)
