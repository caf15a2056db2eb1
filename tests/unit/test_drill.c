/* SPDX-License-Identifier: Apache-2.0 */
/* What a drill makes of what a woken node says: against nodes that tell of a release too late, or tell
 * nothing. */
#include "understudy/drill/drill.c"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* For tests of drills: a drill, a run of it, and a pair of which the first node, "a", can be asked. */

/* Node "a": it says `line` and hangs up, and `then`, if that is set, once it was asked to verify. A request
 * to verify gets the next of `verdicts`, the last one for ever; NULL: `line`. */
struct drill_node {
    char path[64];
    int fd;
    const char *line, *then;
    const char *const *verdicts;
    unsigned asked, looked_at; /* to verify; for its line */
};

static struct drill_node drill_node;
static struct nd_config drill_config;
static struct nd_drill drill_under_test = {.config = &drill_config};
static struct nd_drill_run drill_run;
static pthread_t serving;

static const char *answer_to(const char *request)
{
    const char *line;

    if (!drill_node.verdicts || !strstr(request, "verify")) {
        drill_node.looked_at++;
        return drill_node.line;
    }
    drill_node.asked++;
    if (drill_node.then)
        drill_node.line = drill_node.then;
    line = *drill_node.verdicts;
    if (drill_node.verdicts[1])
        drill_node.verdicts++;
    return line;
}

static void *serve(void *arg)
{
    char request[256];
    const char *line;
    ssize_t n;
    size_t used;
    int fd;

    while ((fd = accept(drill_node.fd, NULL, NULL)) >= 0) {
        used = 0;
        do {
            n = read(fd, request + used, sizeof(request) - 1 - used);
            used += n > 0 ? (size_t)n : 0;
        } while (n > 0 && request[used - 1] != '\n');
        request[used] = '\0';
        if (n > 0) {
            line = answer_to(request);
            (void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
        }
        close(fd);
    }
    return arg;
}

/* Of a group of tests. */
static int drill_node_start(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(drill_node.path, sizeof(drill_node.path), "/tmp/drill.%d", (int)getpid());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", drill_node.path);
    unlink(drill_node.path);
    drill_node.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(drill_config.file, sizeof(drill_config.file), "pair.yaml");
    snprintf(drill_config.node[0].name, sizeof(drill_config.node[0].name), "a");
    snprintf(drill_config.node[0].control, sizeof(drill_config.node[0].control), "%s", drill_node.path);
    snprintf(drill_config.node[1].name, sizeof(drill_config.node[1].name), "b");
    snprintf(drill_config.node[1].control, sizeof(drill_config.node[1].control), "%s.none", drill_node.path);
    return bind(drill_node.fd, (struct sockaddr *)&at, sizeof(at)) || listen(drill_node.fd, 8) ||
           pthread_create(&serving, NULL, serve, NULL);
}

static int drill_node_stop(void **state)
{
    shutdown(drill_node.fd, SHUT_RDWR);
    pthread_join(serving, NULL);
    close(drill_node.fd);
    return unlink(drill_node.path);
}

/* A run whose victim was replaced at 5 s, by view 4. */
static void drill_begin(const char *line)
{
    drill_node.line = line;
    drill_node.then = NULL;
    drill_node.verdicts = NULL;
    drill_node.asked = drill_node.looked_at = 0;
    memset(&drill_run, 0, sizeof(drill_run));
    snprintf(drill_run.victim, sizeof(drill_run.victim), "a");
    snprintf(drill_run.survivor, sizeof(drill_run.survivor), "b");
    drill_run.view_before = 3;
    drill_run.decided_ns = 5000000000ull;
}

#define FENCED(numbers) "{\"fenced\":{\"view\":4," numbers "}}\n"

TEST(a_fencing_is_judged_by_what_it_released_last)
{
    static const struct {
        const char *what, *line, *failure;
        bool after, in_flight;
    } fencings[] = {
        {"a release before the takeover is allowed",
         FENCED("\"last_release_ns\":4960000000,\"last_sent_ns\":4960010000,\"dropped\":7"), "", false,
         false},
        {"one after it is not",
         FENCED("\"last_release_ns\":5002500000,\"last_sent_ns\":5002510000,\"dropped\":0"),
         "a released outputs 2.500 ms after b had taken over", true, false},
        {"checked before it was stopped, the send returned when it was woken: allowed, and told",
         FENCED("\"last_release_ns\":4960000000,\"last_sent_ns\":5500000000,\"dropped\":0"), "", false, true},
        {"it released nothing", FENCED("\"last_release_ns\":0,\"last_sent_ns\":0,\"dropped\":0"), "", false,
         false},
        {"no release", FENCED("\"last_sent_ns\":0,\"dropped\":0"),
         "a node's status has no number \"last_release_ns\"", false, false},
        {"nothing sent", FENCED("\"last_release_ns\":0,\"dropped\":0"),
         "a node's status has no number \"last_sent_ns\"", false, false},
        {"no fencing", "{\"fenced\":null}\n", "a node's status has no number \"last_release_ns\"", false,
         false},
        {"no status", "no status\n", "a does not answer after it was fenced", false, false},
    };

    for (size_t i = 0; i < sizeof(fencings) / sizeof(fencings[0]); i++) {
        drill_begin(fencings[i].line);
        judge_fenced(&drill_under_test, 0, &drill_run);
        if (strcmp(drill_run.failure, fencings[i].failure) != 0 ||
            drill_run.released_after != fencings[i].after ||
            drill_run.burst_in_flight != fencings[i].in_flight)
            fail_msg("%s: \"%s\", %d, %d", fencings[i].what, drill_run.failure, drill_run.released_after,
                     drill_run.burst_in_flight);
        if (i == 0)
            assert_float_equal(drill_run.fenced_before_ms, 40, 0.001);
        if (i == 0)
            assert_int_equal(drill_run.fenced_dropped, 7);
        if (i == 3)
            assert_true(drill_run.fenced_before_ms < 0);
    }
}

TEST(a_takeover_without_its_fields_fails_the_run)
{
    drill_begin("{\"fenced\":{\"view\":4,\"last_release_ns\":1,\"last_sent_ns\":1,\"dropped\":0}}\n");
    drill_run.decided_ns = 0;
    judge_fenced(&drill_under_test, 0, &drill_run);
    assert_string_equal(drill_run.failure, "it is not known when b took over");
}

/* A fencing of an earlier run is not this one's. */
TEST(a_fencing_of_an_earlier_run_does_not_count)
{
    drill_begin("{\"fenced\":{\"count\":1,\"view\":4}}\n");
    await_fenced(&drill_under_test, 0, &drill_run);
    assert_true(drill_run.was_fenced);
    drill_begin("{\"fenced\":{\"count\":1,\"view\":3}}\n");
    await_fenced(&drill_under_test, 0, &drill_run);
    assert_false(drill_run.was_fenced);
    assert_string_equal(drill_run.failure, "a was woken and did not say that it is fenced");
}

#define TAKEOVER(fields) "{\"role\":\"primary\",\"view\":4,\"takeover\":{" fields "}}\n"

TEST(the_fields_of_a_takeover_are_read)
{
    drill_begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":4999000000,\"decided_ns\":5000000000,"
                         "\"replay_done_ns\":5000500000,\"first_release_ns\":5001000000,\"tail_emitted\":1,"
                         "\"tail_suppressed\":2"));
    drill_run.at_ns = ft_now();
    drill_run.outage_ms = -1;
    assert_int_equal(await_takeover(&drill_under_test, 0, &drill_run), 5001000000);
    assert_string_equal(drill_run.failure, "");
    assert_float_equal(drill_run.outage_ms, -1, 0); /* which the probe alone knows */
    assert_string_equal(drill_run.reason, "silence");
    assert_float_equal(drill_run.first_packet_ms, 2, 0.001);
    drill_begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":4999000000,\"decided_ns\":5000000000,"
                         "\"replay_done_ns\":5000500000,\"first_release_ns\":5001000000,\"tail_emitted\":1"));
    drill_run.at_ns = ft_now();
    await_takeover(&drill_under_test, 0, &drill_run);
    assert_string_equal(drill_run.failure, "a node's status has no number \"tail_suppressed\"");
}

/* A strict successor holds: its role is all that is waited for. */
TEST(a_strict_successor_is_waited_for_by_its_role)
{
    uint64_t now = ft_now();

    drill_begin(TAKEOVER("\"reason\":\"silence\",\"suspected_ns\":1,\"decided_ns\":2,\"replay_done_ns\":3,"
                         "\"first_release_ns\":0,\"tail_emitted\":0,\"tail_suppressed\":0"));
    drill_run.at_ns = now;
    drill_config.protect.strict = true;
    assert_true(await_takeover(&drill_under_test, 0, &drill_run) >= now);
    drill_config.protect.strict = false;
    assert_string_equal(drill_run.failure, "");
    assert_int_equal(drill_node.looked_at, 1);
}

/* The victim of such a run was hurt so long ago that nothing is waited for. */
TEST(a_takeover_that_does_not_come_says_what_both_nodes_say)
{
    drill_begin("{\"role\":\"standby\",\"state\":\"SYNCING\",\"why\":\"a resync is under way\",\"pid\":1,"
                "\"guardian_pid\":2,\"held_packets\":7,\"view\":3}\n");
    drill_run.at_ns = 1;
    assert_int_equal(await_takeover(&drill_under_test, 0, &drill_run), 0);
    assert_string_equal(drill_run.failure,
                        "b did not take over within 5000 ms: a SYNCING (a resync is under way), "
                        "b no answer");
}

#define HOSTILE "</p><script>alert(1)</script>"

/* Names of nodes and paths cannot hold this, what a peer says can. */
TEST(what_nodes_say_is_text_in_the_report)
{
    const char *path = help_print("%s/it.html", help_directory()), *page;

    drill_begin("");
    snprintf(drill_config.file, sizeof(drill_config.file), "%s", HOSTILE);
    for (unsigned i = 0; i < 4; i++) {
        char *const texts[] = {drill_run.failure, drill_run.reason, drill_run.not_compared, drill_run.victim};

        snprintf(texts[i], 32, "%s", HOSTILE);
    }
    drill_run.ended_ns = drill_run.at_ns = 1000000000;
    assert_int_equal(nd_report_open(&drill_under_test.report, "drill", path), 0);
    assert_int_equal(nd_drill_report(&drill_under_test, &drill_run, 1, HOSTILE), 0);
    snprintf(drill_config.file, sizeof(drill_config.file), "pair.yaml");
    page = help_text(path);
    assert_null(strstr(page, "<script>alert"));
    assert_non_null(
        strstr(page, "\"lines\":[\"1 of 1 run failed.\",\"No further run: \\u003c/p>\\u003cscript>"));
    assert_non_null(strstr(page, "\"failure\":\"\\u003c/p>\\u003cscript>"));
}

TEST(a_status_that_is_not_whole_is_malformed)
{
    struct nd_sight sight;

    drill_begin(
        "{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0}\n");
    drill_config.drill_permit = true;
    drill_under_test.wait_ms = 100;
    assert_int_equal(settle(&drill_under_test, &sight, &help_fault), FT_EMALFORMED);
    assert_string_equal(help_fault.text, "pair.yaml: a node's status lacks what a drill reads");
    drill_node.line =
        "{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0,"
        "\"view\":3}\n";
    assert_int_equal(settle(&drill_under_test, &sight, &help_fault), FT_OK);
}

/* What a drill makes of a primary that is asked to compare both states and refuses, and of a pair of which
 * one node can be asked. */

/* ---- comparing --------------------------------------------------------------------------------- */

#define BUSY(text) "{\"error\":{\"code\":\"busy\",\"text\":\"" text "\"}}\n"
#define EQUAL      "{\"equal\":true,\"digests\":{\"a\":\"01\",\"b\":\"01\"},\"at\":7}\n"
#define DIFFERENT  "{\"equal\":false,\"digests\":{\"a\":\"01\",\"b\":\"02\"},\"at\":7}\n"

static void compare_within(unsigned ms, const char *const *verdicts, const char *then)
{
    drill_begin("{\"diverged\":null}\n");
    drill_node.then = then;
    drill_node.verdicts = verdicts;
    drill_under_test.wait_ms = ms;
    compare_states(&drill_under_test, 0, &drill_run);
}

/* A verdict ends it, however long the machine takes for that. */
static void compare(const char *const *verdicts)
{
    compare_within(30000, verdicts, NULL);
}

TEST(equal_digests_are_equal)
{
    static const char *const says[] = {EQUAL, NULL};

    compare(says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_EQUAL);
    assert_string_equal(drill_run.failure, "");
    assert_string_equal(drill_run.digest[1], "01");
}

TEST(digests_that_differ_are_both_told)
{
    static const char *const says[] = {DIFFERENT, NULL};

    compare(says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_DIFFERENT);
    assert_string_equal(drill_run.failure, "the digests of the two regions differ: a 01, b 02");
    assert_int_equal(drill_node.asked, 1);
}

/* Refused while the pair resyncs: asked again. */
TEST(a_refusal_is_no_difference)
{
    static const char *const says[] = {BUSY("not protected any more: the pair resyncs"), BUSY("no"), EQUAL,
                                       NULL};

    compare(says);
    assert_int_equal(drill_run.digests, ND_DIGESTS_EQUAL);
    assert_string_equal(drill_run.failure, "");
    assert_string_equal(drill_run.not_compared, "");
    assert_int_equal(drill_node.asked, 3);
}

TEST(what_is_refused_to_the_end_was_not_compared)
{
    static const char *const says[] = {BUSY("not protected (SOLO)"), NULL};
    uint64_t began = ft_now();

    compare_within(400, says, NULL);
    assert_int_equal(drill_run.digests, ND_DIGESTS_NOT_COMPARED);
    assert_string_equal(drill_run.not_compared, "verify: not protected (SOLO)");
    assert_string_equal(drill_run.failure, "the states were not compared: verify: not protected (SOLO)");
    assert_true(drill_node.asked > 1);
    assert_true(ft_now() - began < 30000 * ND_MS);
}

TEST(a_node_that_cannot_be_asked_compares_nothing)
{
    drill_begin("{}\n");
    drill_under_test.wait_ms = 100;
    compare_states(&drill_under_test, 1, &drill_run);
    assert_int_equal(drill_run.digests, ND_DIGESTS_NOT_COMPARED);
    assert_non_null(strstr(drill_run.failure, "the states were not compared: verify: "));
    assert_non_null(strstr(drill_run.failure, "no node listens"));
}

/* A difference ends the pair before verify is told of it, and the resync makes the states equal. */
TEST(a_difference_that_a_resync_removed_is_told)
{
    static const char *const says[] = {BUSY("not protected any more: it diverged"), BUSY("resync"), EQUAL,
                                       NULL};

    compare_within(30000, says, "{\"diverged\":{\"count\":1,\"last\":\"nat, lane 0\"}}\n");
    assert_int_equal(drill_run.digests, ND_DIGESTS_DIFFERENT);
    assert_string_equal(drill_run.failure, "the states differed before a resync: nat, lane 0");
}

/* ---- one node is on another server, or is down ------------------------------------------------- */

#define NODE(role, state, peer)                                                                              \
    "{\"role\":\"" role "\",\"state\":\"" state                                                              \
    "\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":5,\"view\":3,\"why\":\"so it is\",\"peer\":" peer      \
    "}\n"

static int ready(const char *line, enum nd_drill_kind kind, struct nd_sight *sight, struct ft_fault *fault)
{
    int error;

    drill_begin(line);
    drill_config.drill_permit = true;
    drill_under_test.wait_ms = 100;
    drill_under_test.kind = kind;
    error = await_ready(&drill_under_test, sight, fault);
    drill_under_test.kind = ND_DRILL_KILL;
    return error;
}

TEST(a_primary_elsewhere_is_known_by_its_standby)
{
    const char *standby = NODE("standby", "READY", "{\"connected\":true,\"state\":\"PROTECTED\"}");
    struct nd_sight sight;

    assert_int_equal(ready(standby, ND_DRILL_KILL, &sight, &help_fault), FT_OK);
    assert_int_equal(sight.primary, 1);
    assert_int_equal(sight.standby, 0);
    assert_int_equal(sight.view, 3);
    assert_true(sight.held < 0);
    assert_false(sight.seen[1]);
    assert_int_equal(ready(standby, ND_DRILL_STANDBY_KILL, &sight, &help_fault), FT_ENOENT);
    assert_non_null(
        strstr(help_fault.text, "a drill \"standby-kill\" has to reach node b, which is to go on: "));
    assert_int_equal(ready(standby, ND_DRILL_HANG, &sight, &help_fault), FT_ENOENT);
    assert_non_null(strstr(help_fault.text, "a drill \"hang\" has to reach node b, which it hurts: "));
    standby = NODE("standby", "READY", "{\"connected\":false,\"state\":\"PROTECTED\"}");
    assert_int_equal(ready(standby, ND_DRILL_KILL, &sight, &help_fault), FT_EIO);
}

TEST(a_standby_elsewhere_can_be_killed_and_not_watched)
{
    const char *primary = NODE("primary", "PROTECTED", "{\"connected\":true,\"state\":\"READY\"}");
    struct nd_sight sight;

    assert_int_equal(ready(primary, ND_DRILL_STANDBY_KILL, &sight, &help_fault), FT_OK);
    assert_int_equal(ready(primary, ND_DRILL_KILL, &sight, &help_fault), FT_ENOENT);
    assert_non_null(strstr(help_fault.text, "has to reach node b, which is to go on: "));
    assert_non_null(strstr(help_fault.text, "no node listens"));
    assert_int_equal(ready(primary, ND_DRILL_PLANNED, &sight, &help_fault), FT_ENOENT);
    drill_begin(primary);
    drill_config.drill_permit = false;
    drill_under_test.kind = ND_DRILL_STANDBY_KILL;
    assert_int_equal(await_ready(&drill_under_test, &sight, &help_fault), FT_ENOENT);
    assert_non_null(strstr(help_fault.text, "drill: { permit: true }"));
}

TEST(a_pair_that_is_not_protected_says_of_whom)
{
    struct nd_sight sight;

    assert_int_equal(ready(NODE("primary", "SOLO", "{}"), ND_DRILL_KILL, &sight, &help_fault), FT_EIO);
    assert_string_equal(help_fault.text,
                        "pair.yaml: the pair is not PROTECTED within 100 ms: a SOLO (so it is), b no answer");
}

/* The pair settles again with a survivor that is another process than the one the run began with. */
TEST(a_survivor_that_began_anew_fails_the_run)
{
#define SURVIVOR(number)                                                                                     \
    "{\"role\":\"primary\",\"state\":\"PROTECTED\",\"pid\":1,\"guardian_pid\":2,\"held_packets\":0,"         \
    "\"view\":4" number ",\"diverged\":null}\n"
    static const char *const says[] = {EQUAL, NULL};
    static const struct {
        const char *after, *failure;
    } cases[] = {
        {SURVIVOR(",\"incarnation\":77"), ""},
        {SURVIVOR(",\"incarnation\":78"), "a was started again meanwhile: no state outlived the run"},
        {SURVIVOR(""), "a did not say which process it is: whether state outlived the run is not known"},
    };
    struct nd_sight sight;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        drill_begin(SURVIVOR(",\"incarnation\":77"));
        drill_config.drill_permit = true;
        drill_under_test.wait_ms = 30000;
        assert_int_equal(settle(&drill_under_test, &sight, &help_fault), FT_OK);
        begin_run(&drill_under_test, &sight, 1, &drill_run);
        drill_run.view_before = 3;
        drill_node.line = cases[i].after;
        drill_node.verdicts = says;
        end_run(&drill_under_test, 1, ft_now(), &drill_run);
        assert_string_equal(drill_run.failure, cases[i].failure);
        assert_int_equal(drill_run.digests, ND_DIGESTS_EQUAL);
    }
}

/* Of a process that is another user's. */
TEST(who_may_not_look_at_a_process_is_told_who_may)
{
    struct ft_fault fault = {""};
    struct nd_process p;
    int error, status;
    pid_t child = fork();

    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(2);
        error = nd_process_read(&p, geteuid() == 65534 ? getppid() : 1, &fault);
        _exit(error != FT_EPERM ||
              !strstr(fault.text, "Permission denied, expected root or the node's user"));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

TESTS_SHARE(drill_node_start, drill_node_stop)
