/* SPDX-License-Identifier: Apache-2.0 */
/* One live lane without a network, and one that dies in a process of its own; see lane.h. */
#include "tests/help/lane.h"

#include "ftcore/record/message.h"
#include "ftcore/base/clock.h"
#include "tests/help/config.h"
#include "tests/help/frame.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

struct lane_world lane_world;
static struct lane_world *const w = &lane_world;
static struct ft_lane_shared own;

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    uint32_t n = 0;

    for (; port == 0 && n < max && w->first < w->last; w->first++) {
        struct lane_frame *f = w->queue[w->first];

        frames[n++] = (struct nd_frame){.data = f->data, .len = f->len, .owner = f};
    }
    return n;
}

static void io_drop(void *ctx, void *owner)
{
    w->free[(w->taken + w->frees++) % LANE_FRAMES] = owner;
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        w->left[w->lefts++] = ((struct lane_frame *)held[i].packet)->number;
        io_drop(NULL, held[i].packet);
    }
    return n;
}

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    return NULL;
}

static uint8_t *io_data(void *owner)
{
    return ((struct lane_frame *)owner)->data;
}

const struct nd_io lane_ports = {.ports = 2,
                                 .devices = 2,
                                 .side = {NF_INSIDE, NF_OUTSIDE},
                                 .buffers = LANE_BUFFERS,
                                 .receive = io_receive,
                                 .send = io_send,
                                 .make = io_make,
                                 .data = io_data,
                                 .drop = io_drop};

/* A lane of w->config, whose words lie in `shared`. What else it is to have may be set before it is made. */
static void begin(const struct ft_region_config *how, const struct nd_io *io, struct ft_lane_shared *shared)
{
    struct ft_fault fault = {""};

    if (nf_chain_region(&w->region, &w->config->chain, how, &fault))
        fail_msg("%s", fault.text);
    for (w->frees = 0; w->frees < LANE_FRAMES; w->frees++)
        w->free[w->frees] = &w->pool[w->frees];
    nd_group_init(&w->group, &w->lane, 1);
    w->shared = shared;
    assert_int_equal(ft_lane_init(shared, 4 << 20, 1 << 20), 0);
    w->lane = (struct nd_lane){.config = &w->config->chain,
                               .protect = &w->config->protect,
                               .setup.heartbeat_ms = w->config->timing.heartbeat_ms,
                               .io = io,
                               .region = w->region,
                               .shared = shared,
                               .group = &w->group,
                               .setup.question = &w->question,
                               .setup.seed = 7,
                               .setup.self = {5, {6, 7}},
                               .setup.view = &w->view,
                               .setup.stop = &w->stop,
                               .doing = FT_LANE_LIVE};
}

static void make(void)
{
    struct ft_fault fault = {""};

    if (nd_lane_make(&w->lane, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
}

void lane_open(const struct nd_io *io)
{
    static const char text[] = "chain: { name: test, nfs: [ forward: { merged: false } ] }\n";
    static const struct ft_region_config how = {.name = "test", .shared_size = FT_ARENA_MIN};

    memset(w, 0, sizeof(*w));
    w->config = help_config_of(text, 0);
    begin(&how, io, &own);
    make();
}

int lane_setup(void **state)
{
    lane_open(&lane_ports);
    return 0;
}

int lane_teardown(void **state)
{
    nd_lane_free(&w->lane);
    ft_lane_free(w->shared);
    ft_region_close(w->region);
    return 0;
}

struct lane_frame *lane_take_frame(void)
{
    w->frees--;
    return w->free[w->taken++ % LANE_FRAMES];
}

struct lane_frame *lane_arrives(uint32_t len)
{
    struct lane_frame *f = lane_take_frame();

    memset(f, 0, sizeof(*f));
    f->len = len;
    f->number = w->came++;
    return w->queue[w->last++] = f;
}

/* ---- a lane that dies ---------------------------------------------------------------------------- */

#define ETHER 14u
#define IP    20u

struct crash_world crash_world;
const struct ft_datagram_key crash_key = {0xc0ffee, {5, 6}};

static void *share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(at != MAP_FAILED);
    return at;
}

int crash_begin(void **state)
{
    static const struct ft_region_config how = {.name = "test"}; /* as large as a node makes it */
    struct nd_crash_page *page = share(sizeof(*page));

    memset(w, 0, sizeof(*w));
    crash_world = (struct crash_world){.page = page};
    w->config =
        help_config_pair("chain: { name: test, nfs: [ { monitor: { max_flows: 4096 } }, { crasher: {} } ] }\n"
                         "link: { insecure: true }\n");
    nd_crash_name_chain(page, &w->config->chain);
    begin(&how, &lane_ports, share(sizeof(*w->shared)));
    w->lane.setup.mark = &page->lane[0].mark;
    w->lane.setup.suspects = nd_quarantine_suspects(&page->quarantine);
    make();
    atomic_store(&w->shared->orders.stable, FT_ALL);
    w->config->protect.gather_us = 0;
    return 0;
}

int crash_end(void **state)
{
    lane_teardown(state);
    lg_recorder_free(crash_world.recorder);
    munmap(w->shared, sizeof(*w->shared));
    munmap(crash_world.page, sizeof(*crash_world.page));
    return 0;
}

int crash_clean(void **state)
{
    char line[400];

    snprintf(line, sizeof(line), "rm -rf %s/state", help_config_dir());
    assert_int_equal(system(line), 0);
    return help_config_clean(state);
}

void crash_arrives(unsigned port)
{
    unsigned number = w->last;
    uint8_t *frame = lane_arrives(CRASH_BYTES)->data, *ip = frame + ETHER, *udp = ip + IP;

    frame[5] = 1, frame[11] = 2, frame[12] = 8;
    ip[0] = 0x45, ip[8] = 64, ip[9] = 17, ip[12] = 10, ip[15] = 9, ip[16] = 192, ip[18] = 2, ip[19] = 1;
    help_put16(ip + 4, number + 1); /* the identification */
    /* No two have a port in common: the chain reads headers alone, so that would make them the same. */
    help_put16(udp, 1024 + number + (port >= CRASH_PORT ? 1000 : 0));
    help_put16(udp + 2, port >= CRASH_PORT ? port : port + 8 * number);
    help_put16(udp + 4, CRASH_BYTES - ETHER - IP);
    help_seal_ipv4(ip, CRASH_BYTES - ETHER - IP);
}

void crash_logs(void)
{
    w->group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w->shared->orders.logging, true);
}

void crash_deltas(void)
{
    w->config->protect.deltas = true;
    nd_stream_begin(&w->group);
    atomic_store(&w->shared->orders.logging, true);
}

void crash_turns(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        w->lane.now = ft_now();
        FT_GAUGE_SET(w->shared, turn_ns, w->lane.now);
        nd_lane_live(&w->lane);
        nd_lane_answer(&w->lane);
    }
}

/* Processor time of that process, ns; its end: more than any. */
static uint64_t spent_by(pid_t pid)
{
    struct timespec spent;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &spent))
        return UINT64_MAX;
    return (uint64_t)spent.tv_sec * 1000000000u + (uint64_t)spent.tv_nsec;
}

/* By its processor time: on a busy machine it may come to its endless loop much later. */
void crash_ends_later(void)
{
    pid_t me = getpid();
    uint64_t enough = spent_by(me) + 400000000;

    if (fork() == 0) {
        while (getppid() == me && spent_by(me) < enough)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        if (getppid() == me)
            kill(me, SIGABRT);
        _exit(0);
    }
}

void crash_will_show(void)
{
    static char out[4096];
    struct nd_question *q = &w->question;

    q->out = out;
    q->cap = sizeof(out);
    snprintf(q->text, sizeof(q->text), "crasher");
    atomic_store(&q->asked, ND_ASK_SHOW);
}

static void *run_thread(void *work)
{
    nd_crash_thread(0);
    (*(void (**)(void))work)();
    return NULL;
}

int crash_run(void (*work)(void))
{
    pid_t child = fork();
    int how;

    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;

        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        freopen("/dev/null", "w", stderr);
        nd_crash_catch(crash_world.page, w->shared, 1, &crash_key);
        if (pthread_create(&thread, NULL, run_thread, &work) == 0)
            pthread_join(thread, NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    return how;
}

json_t *crash_report(char path[ND_CRASH_PATH])
{
    const struct nd_crash_case c = {.page = crash_world.page,
                                    .shared = w->shared,
                                    .recorder = crash_world.recorder,
                                    .config = w->config,
                                    .now = ft_wall(),
                                    .monotonic = ft_now(),
                                    .pid = 1};
    struct ft_fault fault = {""};
    char file[ND_CRASH_PATH + 16];
    json_t *report;

    if (nd_crash_report(&c, path, &fault))
        fail_msg("%s", fault.text);
    snprintf(file, sizeof(file), "%s/report.json", path);
    report = json_load_file(file, 0, NULL);
    assert_non_null(report);
    return HELP_OWNED(report, json_decref);
}

void crash_records(void)
{
    static char identity[FT_IDENTITY_MAX], directory[300];
    struct lg_recorder_config config = {.directory = directory,
                                        .node = "a",
                                        .identity = identity,
                                        .region = w->region,
                                        .file_bytes = 1u << 30,
                                        .files = 4};
    struct ft_fault fault;

    config.identity_len = nf_chain_identity(&w->config->chain, identity, sizeof(identity));
    snprintf(directory, sizeof(directory), "%s/a", w->config->record.dir);
    if (lg_recorder_open(crash_world.recorder, &config, &fault))
        _exit(91);
    w->lane.setup.recorder = crash_world.recorder;
    w->lane.seen.order = 1; /* later than the last replay that was aborted */
    do {
        w->lane.now = ft_now();
        nd_lane_live(&w->lane);
    } while (!lg_recorder_listens(crash_world.recorder) || lg_recorder_owes(crash_world.recorder));
}
