/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of help_twin.h: started, watched, killed, ended. */
#define _GNU_SOURCE /* nftw */
#include "tests/unit/help_twin.h"
#include "ftcore/base/check.h"
#include "tests/unit/help_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_RING (2u << 20)

static char directory[64];
static uint16_t ports[2];

const char *twin_host(unsigned self)
{
    return self ? "127.0.0.2" : "127.0.0.1";
}

uint16_t twin_port(unsigned self)
{
    return ports[self];
}

void twin_world(struct twin twin[2])
{
    snprintf(directory, sizeof(directory), "/tmp/twin.XXXXXX");
    assert_non_null(mkdtemp(directory));
    for (unsigned i = 0; i < 2; i++) {
        ports[i] = help_free_port(twin_host(i));
        twin[i] = (struct twin){.self = i};
        twin[i].box =
            mmap(NULL, sizeof(*twin[i].box), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(twin[i].box != MAP_FAILED);
        atomic_store(&twin[i].box->seed, 100 + i);
        atomic_store(&twin[i].box->per_turn, 64);
    }
}

static int forget(const char *name, const struct stat *s, int kind, struct FTW *where)
{
    (void)s, (void)kind, (void)where;
    return remove(name);
}

void twin_world_end(struct twin twin[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (twin[i].pid)
            twin_kill(&twin[i]);
        munmap(twin[i].box, sizeof(*twin[i].box));
    }
    nftw(directory, forget, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- in the node's process: no assertion of the test's may be used here -------------------------- */

/* Generous times: a loaded machine must not look like a dead peer. Deaths are told by the kernel at once. */
void twin_core_config(struct ft_core_config *c, unsigned self)
{
    *c = (struct ft_core_config){.lanes = 1,
                                 .role = (uint8_t)self,
                                 .incarnation = (uint64_t)getpid() << 16 | self,
                                 .heartbeat_ms = 10,
                                 .lease_ms = 1500,
                                 .detect_ms = 2000,
                                 .promote_within_ms = 3000,
                                 .solo_after_ms = 4000,
                                 .resync_deadline_ms = 25000,
                                 .drain_ms = 5000,
                                 .identity = "twin\n",
                                 .identity_len = 5};
    c->name[0] = (char)('a' + self);
}

static void tell(void *arg, enum ft_state state, uint64_t view, const char *why)
{
    if (getenv("TWIN_TELL"))
        fprintf(stderr, "# %s: %s, view %lu: %s\n", (const char *)arg, ft_state_name(state), view, why);
}

static void *replicate(void *rp)
{
    rp_run(rp);
    return NULL;
}

static void publish(struct twin_box *box, struct rp_replicator *rp)
{
    static struct rp_status s;

    rp_status(rp, &s);
    atomic_fetch_add(&box->shown, 1);
    atomic_thread_fence(memory_order_seq_cst);
    box->status = s;
    atomic_fetch_add(&box->shown, 1);
}

static _Noreturn void node(const struct twin *twin, const struct twin_options *options)
{
    static const uint64_t sizes[2] = {4096, TWIN_WORDS * sizeof(uint64_t)};
    static const char *const names[2] = {"lane", "table"};
    static _Alignas(64) struct ft_lane lane;
    static _Atomic bool lane_stop;
    struct ft_region_config rc = {
        .name = "twin", .lanes = 1, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = 65536};
    struct twin_worker worker = {
        .box = twin->box, .shared = &lane, .salt = 1 + twin->self, .warm = options->warm, .stop = &lane_stop};
    struct rp_replicator *rp;
    struct ft_fault fault = {"no memory"};
    pthread_t threads[2];
    char view_file[100], name[2] = {(char)('a' + twin->self)};
    struct rp_config config = {.link = {.local_host = twin_host(twin->self),
                                        .peer_host = twin_host(!twin->self),
                                        .local_port = ports[twin->self],
                                        .peer_port = ports[!twin->self],
                                        .listens = twin->self == 0},
                               .lanes = &lane,
                               .pending_bytes = TWIN_PENDING,
                               .resync_mbps = options->resync_mbps ? options->resync_mbps : 1000,
                               .protect = true,
                               .view_file = view_file,
                               .told = tell,
                               .arg = name};

    snprintf(view_file, sizeof(view_file), "%s/%s.view", directory, name);
    twin_core_config(&config.core, twin->self);
    config.core.start_alone_ms = options->start_alone_ms;
    config.core.strict = options->strict;
    config.core.warm = options->warm;
    FT_CHECK(ft_region_open(&worker.region, &rc, &fault) == 0, "%s", fault.text);
    config.region = worker.region;
    FT_CHECK(ft_lane_init(&lane, LOG_RING, TWIN_PENDING + 2 * FT_RECORD_MAX) == 0, "no memory for rings");
    twin_lane_make(&worker);
    FT_CHECK(rp_open(&rp, &config, &fault) == 0, "%s", fault.text);
    FT_CHECK(pthread_create(&threads[0], NULL, twin_lane_run, &worker) == 0 &&
                 pthread_create(&threads[1], NULL, replicate, rp) == 0,
             "no threads");
    while (!atomic_load(&twin->box->stop)) {
        uint32_t told = atomic_exchange(&twin->box->told, 0);

        if (told)
            rp_tell(rp, (enum ft_told)told);
        publish(twin->box, rp);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    atomic_store(&lane_stop, true);
    rp_stop(rp);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    rp_close(rp);
    ft_lane_free(&lane);
    ft_region_close(worker.region);
    _exit(0);
}

/* ---- in the test's process ----------------------------------------------------------------------- */

void twin_start(struct twin *twin, const struct twin_options *options)
{
    struct twin_box *box = twin->box;
    pid_t parent = getpid();

    assert_int_equal(twin->pid, 0);
    atomic_store(&box->stop, false);
    atomic_store(&box->closed, 0);
    atomic_store(&box->answered, atomic_load(&box->ask));
    atomic_store(&box->shown, 0);
    memset(&box->status, 0, sizeof(box->status));
    twin->pid = fork();
    assert_true(twin->pid >= 0);
    if (twin->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        node(twin, options ? options : &(struct twin_options){0});
    }
}

void twin_kill(struct twin *twin)
{
    int status;

    kill(twin->pid, SIGKILL);
    waitpid(twin->pid, &status, 0);
    twin->pid = 0;
}

void twin_wait(struct twin *twin, uint64_t *waited, const char *what)
{
    int status;

    if (twin && twin->pid && waitpid(twin->pid, &status, WNOHANG) == twin->pid) {
        twin->pid = 0;
        fail_msg("node %c died (status 0x%x) before: %s", 'a' + (int)twin->self, (unsigned)status, what);
    }
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    if (++*waited > TWIN_LIMIT)
        fail_msg("never: %s", what);
}

void twin_end(struct twin *twin)
{
    int status;
    pid_t pid = twin->pid, got;

    atomic_store(&twin->box->stop, true);
    TWIN_UNTIL(NULL, (got = waitpid(pid, &status, WNOHANG)) != 0);
    twin->pid = 0;
    assert_int_equal(got, pid);
    if (status)
        fail_msg("node %c ended with status 0x%x", 'a' + (int)twin->self, (unsigned)status);
}

struct rp_status twin_status(const struct twin *twin)
{
    static struct rp_status s;
    uint64_t before, after = 0;

    do {
        before = atomic_load(&twin->box->shown);
        s = twin->box->status;
        atomic_thread_fence(memory_order_seq_cst);
        after = atomic_load(&twin->box->shown);
    } while (twin->pid && (before != after || before & 1));
    return s;
}

enum ft_state twin_state(const struct twin *twin)
{
    return twin_status(twin).core.state;
}

void twin_await(struct twin *twin, enum ft_state state)
{
    uint64_t waited = 0;

    while (twin_state(twin) != state) {
        char text[300];
        struct rp_status s = twin_status(twin);

        snprintf(text, sizeof(text), "%c is %s, it is %s: %s", 'a' + (int)twin->self, ft_state_name(state),
                 ft_state_name(s.core.state), s.core.why);
        twin_wait(twin, &waited, text);
    }
}

void twin_await_closed(struct twin *twin, uint64_t burst)
{
    TWIN_UNTIL(twin, atomic_load(&twin->box->closed) >= burst);
}

uint64_t twin_digest(struct twin *twin, uint64_t *region, uint64_t *state)
{
    uint64_t ask = atomic_fetch_add(&twin->box->ask, 1) + 1;

    TWIN_UNTIL(twin, atomic_load(&twin->box->answered) == ask);
    *region = atomic_load(&twin->box->region_digest);
    *state = atomic_load(&twin->box->state_hash);
    return atomic_load(&twin->box->at);
}
