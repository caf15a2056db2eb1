/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane that dies beside a guardian: the peer hears what it died of before it hears that it is dead, each
 * time; of one that is killed it hears the death alone. And the whole of it through the reporter's process.
 */
#include "logger/recorder/recorder.h"
#include "logger/recorder/recording.h"
#include "understudy/crash/crash.h"
#include "understudy/crash/guardian.h"
#include "tests/help/config.h"
#include "tests/help/lane.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define NOTICES 7 /* death notices, in front of each of which a crash notice comes */

static int peer = -1;
static uint16_t port;
static bool killed;

static void die_beside_a_guardian(void)
{
    struct nd_guardian *g;

    if (nd_guardian_start(&g, 1, "127.0.0.1", NULL, &crash_key, crash_world.page, &help_fault) ||
        nd_guardian_aim(g, 0, "127.0.0.2", port, &help_fault))
        _exit(90);
    nd_guardian_hold(g, 0);
    crash_arrives(CRASH_HARM);
    if (killed) {
        crash_turns(1);
        raise(SIGKILL);
    }
    crash_arrives(CRASH_PORT);
    crash_turns(1);
}

static size_t hear(uint8_t bytes[FT_CRASH_BYTES])
{
    struct pollfd p = {peer, POLLIN, 0};

    assert_int_equal(poll(&p, 1, 10000), 1);
    ssize_t n = recv(peer, bytes, FT_CRASH_BYTES, 0);

    assert_true(n > 0);
    return (size_t)n;
}

static void listen_as_peer(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);

    peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.2", &at.sin_addr);
    assert_int_equal(bind(peer, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(peer, (struct sockaddr *)&at, &len), 0);
    port = ntohs(at.sin_port);
}

TEST(the_peer_hears_of_what_before_it_hears_that)
{
    struct ft_crash_notice crash;
    struct ft_datagram death;
    uint8_t bytes[FT_CRASH_BYTES];

    killed = false;
    crash_begin(NULL);
    crash_logs();
    listen_as_peer();
    assert_true(WTERMSIG(crash_run(die_beside_a_guardian)) == SIGSEGV);
    for (unsigned i = 0; i < NOTICES; i++) {
        assert_int_equal(ft_crash_notice_decode(bytes, hear(bytes), &crash_key, &crash), 0);
        assert_string_equal(crash.nf, "crasher");
        assert_int_equal(crash.packet, 2);
        assert_int_equal(crash.fingerprints, 2); /* and the one that was beside it */
        assert_int_equal(ft_datagram_decode(bytes, hear(bytes), &crash_key, &death), 0);
        assert_int_equal(death.kind, FT_DEATH_NOTICE);
    }
    close(peer);
    crash_end(NULL);
}

TEST(of_one_that_is_killed_it_hears_the_death_alone)
{
    struct ft_datagram death;
    uint8_t bytes[FT_CRASH_BYTES];

    killed = true;
    crash_begin(NULL);
    crash_logs();
    listen_as_peer();
    assert_true(WTERMSIG(crash_run(die_beside_a_guardian)) == SIGKILL);
    for (unsigned i = 0; i < NOTICES; i++)
        assert_int_equal(ft_datagram_decode(bytes, hear(bytes), &crash_key, &death), 0);
    close(peer);
    crash_end(NULL);
}

/* ---- the reporter's process ---- */

/* A node that opens what outlives it, and ends in that way. */
static int run_node(void (*end)(struct nd_crash *crash))
{
    pid_t child = fork();
    int how;

    if (child == 0) {
        struct nd_crash *crash;
        struct ft_fault fault;

        if (nd_crash_open(&crash, lane_world.config, 0, &fault))
            _exit(90);
        nd_crash_catch(crash->page, crash->shared, 1, &crash_key);
        nd_crash_turn(crash, FT_SOLO, 7, 0xabc);
        end(crash);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    return how;
}

static void stop(struct nd_crash *crash)
{
    nd_crash_close(crash);
}

static void fault(struct nd_crash *crash)
{
    raise(SIGILL);
}

static void be_killed(struct nd_crash *crash)
{
    raise(SIGKILL);
}

/* The newest directory within 10 s, or false. */
static bool wait_for_report(const char *state, unsigned expected, int ms)
{
    for (int waited = 0; waited <= ms; waited++) {
        char **names;
        unsigned count;

        assert_int_equal(nd_crash_list(state, "a", &names, &count), 0);
        nd_crash_list_free(names, count);
        if (count == expected)
            return true;
        usleep(1000);
    }
    return false;
}

TEST(the_reporter_tells_of_every_end_but_an_orderly_one)
{
    const char *dir = help_print("%s/state", help_config_dir());

    crash_begin(NULL);
    help_run(help_print("rm -rf %s/*", dir));
    run_node(stop);
    assert_false(wait_for_report(dir, 1, 300));
    assert_int_equal(WTERMSIG(run_node(fault)), SIGILL);
    assert_true(wait_for_report(dir, 1, 10000));
    assert_int_equal(WTERMSIG(run_node(be_killed)), SIGKILL);
    assert_true(wait_for_report(dir, 2, 10000));
    help_run(help_print("! ls -A %s | grep -v '^a.crash-'", dir)); /* nothing that is half done */
    crash_end(NULL);
}

/* A clock that was set back: what is there is called newer than what is written now. And one of the names is
 * a link to somebody else's directory. */
TEST(the_own_directory_and_those_elsewhere_stay)
{
    const char *dir = help_config_dir();
    const char *report = help_print("ls %s/state/a.crash-2*/report.json >/dev/null 2>&1", dir);
    int missing = 1;

    crash_begin(NULL);
    help_run(help_print(
        "cd %s && rm -rf state/* && mkdir other && echo mine >other/report.json &&"
        "ln -s ../other state/a.crash-1 && for i in $(seq 100 %u); do mkdir state/a.crash-9$i; done",
        dir, 100 + ND_CRASH_KEPT));
    assert_int_equal(WTERMSIG(run_node(fault)), SIGILL);
    for (unsigned waited = 0; waited < 1000 && missing; waited++) {
        usleep(10000);
        missing = system(report);
    }
    usleep(100000); /* it may go again */
    help_run(report);
    assert_int_equal(access(help_print("%s/other/report.json", dir), R_OK), 0);
    help_run(help_print("rm -rf %s/state/* %s/other", dir, dir));
    crash_end(NULL);
}

/* ---- the recording ---- */

static void record_one(struct nd_crash *crash)
{
    crash_world.recorder = crash->recorder;
    crash_records();
    crash_arrives(CRASH_HARM);
    crash_turns(1);
}

static void stop_recorded(struct nd_crash *crash)
{
    record_one(crash);
    lg_recorder_close(crash_world.recorder);
    nd_crash_close(crash);
}

static void fault_recorded(struct nd_crash *crash)
{
    record_one(crash);
    raise(SIGILL);
}

static void be_killed_recorded(struct nd_crash *crash)
{
    record_one(crash);
    raise(SIGKILL);
}

/* The file that says how its node ended, within 10 s. */
static void read_end(struct lg_recording *r, unsigned serial)
{
    const char *file = help_print("%s/a/%08u.rec", lane_world.config->record.dir, serial);
    for (int waited = 0; waited <= 10000; waited++) {
        if (lg_recording_open(r, file, &help_fault) == 0) {
            if (r->node_end.how)
                return;
            lg_recording_close(r);
        }
        usleep(1000);
    }
    fail_msg("%s does not say how its node ended: %s", file, help_fault.text);
}

TEST(the_recording_says_how_its_node_ended)
{
    static const struct {
        void (*end)(struct nd_crash *crash);
        uint32_t how, signal;
        const char *line;
    } ends[] = {{stop_recorded, LG_STOPPED, 0, "stopped"},
                {fault_recorded, LG_CRASHED, SIGILL, "crashed outside of its lanes: SIGILL"},
                {be_killed_recorded, LG_KILLED, 0, "was killed; no lane was in an NF"}};
    char line[400];
    struct lg_recording r;

    crash_begin(NULL);
    snprintf(lane_world.config->record.dir, sizeof(lane_world.config->record.dir), "%s/state/rec",
             help_config_dir());
    snprintf(line, sizeof(line), "mkdir -p %s/a", lane_world.config->record.dir);
    assert_int_equal(system(line), 0);
    for (unsigned i = 0; i < 3; i++) {
        run_node(ends[i].end);
        read_end(&r, i + 1);
        assert_true(r.ended && r.whole == r.size);
        assert_int_equal(r.node_end.how, ends[i].how);
        assert_int_equal(r.node_end.signal, ends[i].signal);
        assert_string_equal(r.line, ends[i].line);
        /* The state is one that all of them share. */
        assert_int_equal(r.end[0].burst, nf_chain_state(lane_world.lane.chain)->burst);
        assert_null(r.begun[0].content);
        lg_recording_close(&r);
    }
    crash_end(NULL);
}

TESTS_SHARE(NULL, crash_clean)
