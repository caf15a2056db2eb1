/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of twin.h: started, watched, killed, ended. */
#include "tests/help/twin.h"
#include "node/config/setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct nd_loopback twin_place;

void twin_world(struct twin twin[2])
{
    struct ft_fault fault = {""};

    if (nd_loopback_open(&twin_place, false, &fault))
        fail_msg("%s", fault.text);
    for (unsigned i = 0; i < 2; i++) {
        twin[i] = (struct twin){.self = i};
        twin[i].box =
            mmap(NULL, sizeof(*twin[i].box), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(twin[i].box != MAP_FAILED);
        atomic_store(&twin[i].box->seed, 100 + i);
    }
}

void twin_world_end(struct twin twin[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (twin[i].pid)
            twin_kill(&twin[i]);
        munmap(twin[i].box, sizeof(*twin[i].box));
    }
    nd_loopback_close(&twin_place);
}

void twin_core_config(struct ft_core_config *c, unsigned self, const struct twin_options *options)
{
    static char identity[FT_IDENTITY_MAX];
    static struct nd_config config;
    struct rp_config replicator = {.core.role = (uint8_t)self};

    twin_config(&config, options);
    nd_setup_replicator(&replicator, &config, &config.timing, identity);
    *c = replicator.core;
    c->name[0] = (char)('a' + self);
}

void twin_start(struct twin *twin, const struct twin_options *options)
{
    struct twin_box *box = twin->box;
    pid_t parent = getpid();

    assert_int_equal(twin->pid, 0);
    atomic_store(&box->stop, false);
    memset(&box->by_node, 0, sizeof(box->by_node));
    atomic_store(&box->by_node.answered, atomic_load(&box->ask));
    twin->pid = fork();
    assert_true(twin->pid >= 0);
    if (twin->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        twin_node(twin, options);
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
        before = atomic_load(&twin->box->by_node.shown);
        s = twin->box->by_node.status;
        atomic_thread_fence(memory_order_seq_cst);
        after = atomic_load(&twin->box->by_node.shown);
    } while (twin->pid && (before != after || before & 1));
    return s;
}

enum ft_state twin_state(const struct twin *twin)
{
    return twin_status(twin).core.state;
}

uint64_t twin_executed(const struct twin *twin)
{
    return atomic_load(&twin->box->by_node.lane[0].report.executed);
}

bool twin_is_live(const struct twin *twin)
{
    return ft_order_kind(atomic_load(&twin->box->by_node.lane[0].report.done)) == FT_LANE_LIVE;
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

void twin_await_executed(struct twin *twin, uint64_t burst)
{
    TWIN_UNTIL(twin, twin_executed(twin) >= burst);
}

void twin_stall(struct twin *twin)
{
    atomic_store(&twin->box->stall, true);
    TWIN_UNTIL(twin, atomic_load(&twin->box->by_node.stalled));
}

uint64_t twin_digest(struct twin *twin, uint64_t *region, uint64_t *state)
{
    uint64_t ask = atomic_fetch_add(&twin->box->ask, 1) + 1;

    TWIN_UNTIL(twin, atomic_load(&twin->box->by_node.answered) == ask);
    *region = atomic_load(&twin->box->by_node.region_digest);
    *state = atomic_load(&twin->box->by_node.state_hash);
    return atomic_load(&twin->box->by_node.at);
}
