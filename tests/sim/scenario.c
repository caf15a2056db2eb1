/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios: a failure that somebody has met or thought of, as a file to be read from top to bottom. What is
 * done, and what the transcript must say, in that order:
 *
 *   set chain edge                     set lanes 2      set strict yes      set guardian silent|late|twice
 *   10 kill a [a step's text]          at 10 ms, or from then on as soon as it comes to that step
 *   10 power b                         its machine loses power
 *   10 start a                         a process that died is started again
 *   10 sleep a 30 [a step's text]      stopped for 30 ms
 *   10 preempt a 30 [a step's text]    the thread that comes there is preempted for 30 ms
 *   10 silence links both 20           ports, or links; towards a, b, or both; for 20 ms
 *   10 arbiter a|b|both 20             it is out of reach (set arbiter yes)
 *   10 way 0 a|b|both 20               nothing reaches them by that way (set ways yes)
 *   10 break | 10 flip                 the connection times out; a bit of the next bytes flips
 *   10 slow b 20                       its replay is held up for 20 ms
 *   10 freeze b 20                     its disk takes nothing for 20 ms
 *   10 jump a 500                      its clock, by 500 ms
 *   10 tell a promote|handover|resync
 *   10 ask a clear nat                 an operator's command; with `set crasher monitor`, `damage monitor` as
 *                                      well: whoever runs the NF on that state dies of it (crash.c)
 *   set crasher monitor                set on_crash stop|bypass|reset      set dies_in timers|packets
 *   40 end                             faults end; the pair must be PROTECTED again, and is judged as a seed
 * is > text                             the next lines of the transcript that contain these texts, in order
 *   ! text                             no line does
 *
 * '>' and '!' look at the whole transcript, whatever the times beside them.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 128u
#define LINE_MAX  200u

struct sim_script {
    struct line {
        uint64_t at;
        char what[16], rest[LINE_MAX];
        unsigned number;
        bool done;
    } line[LINES_MAX];
    unsigned lines, notices; /* notices: death notices that a guardian sends */
    uint64_t notice_delay;
    const char *path;
    char crasher[64], wrong[300];
};

static struct sim_script script;

static void wrong(const struct line *l, const char *expected)
{
    if (!script.wrong[0])
        snprintf(script.wrong, sizeof(script.wrong), "%s:%u: %s %.60s: expected %s", script.path, l->number,
                 l->what, l->rest, expected);
}

/* ---- reading --------------------------------------------------------------------------------------- */

static bool set_plan(struct sim_plan *p, const char *key, const char *value)
{
    bool yes = strcmp(value, "yes") == 0;
    uint64_t number = strtoull(value, NULL, 0);

    if (strcmp(key, "chain") == 0) {
        for (p->chain = 0; p->chain < 4; p->chain++)
            if (strcmp(sim_chain_name[p->chain], value) == 0)
                return true;
        return false;
    }
    if (strcmp(key, "lanes") == 0)
        return (p->lanes = (unsigned)number) >= 1 && number <= SIM_LANES;
    if (strcmp(key, "crasher") == 0) {
        snprintf(script.crasher, sizeof(script.crasher), "%s", value);
        p->crasher = script.crasher;
        return true;
    }
    if (strcmp(key, "on_crash") == 0)
        p->crash = strcmp(value, "bypass") == 0  ? NF_CRASH_BYPASS
                   : strcmp(value, "reset") == 0 ? NF_CRASH_RESET
                                                 : NF_CRASH_STOP;
    else if (strcmp(key, "dies_in") == 0)
        p->in_packets = strcmp(value, "packets") == 0;
    else if (strcmp(key, "strict") == 0)
        p->strict = yes;
    else if (strcmp(key, "arbiter") == 0)
        p->arbitrated = yes;
    else if (strcmp(key, "ways") == 0)
        p->ways = p->sealed = yes;
    else if (strcmp(key, "partitions") == 0)
        p->wild = strcmp(value, "last") == 0 ? p->strict ? SIM_STRICT : SIM_SPLITS : SIM_HEALS;
    else if (strcmp(key, "tail") == 0)
        p->suppress_tail = strcmp(value, "suppress") == 0;
    else if (strcmp(key, "capture") == 0)
        p->full_capture = strcmp(value, "full") == 0;
    else if (strcmp(key, "hold") == 0)
        p->hold_packets = (uint32_t)number;
    else if (strcmp(key, "pending") == 0)
        p->pending_bytes = number;
    else if (strcmp(key, "resync_mbps") == 0)
        p->resync_mbps = (uint32_t)number;
    else if (strcmp(key, "gap_us") == 0)
        p->gap = number * SIM_US;
    else if (strcmp(key, "guardian") == 0) {
        script.notices = strcmp(value, "silent") == 0 ? 0 : strcmp(value, "twice") == 0 ? 2 : 1;
        script.notice_delay = strcmp(value, "late") == 0 ? 15 * SIM_MS : 0;
    } else
        return false;
    return true;
}

static void usual(struct sim_plan *p)
{
    *p = (struct sim_plan){.chain = 1,
                           .lanes = 1,
                           .mode = ND_MODE_LOG,
                           .commit_us = 1000,
                           .checkpoint_ms = 10,
                           .budget_ms = 2,
                           .hold_packets = 1024,
                           .log_bytes = 2u << 20,
                           .pending_bytes = 1u << 20,
                           .resync_mbps = 400,
                           .quiet_at = SIM_NEVER,
                           .flows = 16,
                           .gap = 300 * SIM_US,
                           .tick = 200 * SIM_US,
                           .delay = 100 * SIM_US,
                           .faults_end = SIM_NEVER};
}

static bool read_line(char *text, unsigned number, struct sim_plan *plan)
{
    struct line *l = &script.line[script.lines];
    double ms;
    char key[32], value[64];
    int used = 0;

    text[strcspn(text, "\n")] = '\0';
    if (!text[0] || text[0] == '#')
        return true;
    memset(l, 0, sizeof(*l));
    l->number = number;
    if (script.lines == LINES_MAX)
        return false;
    if (text[0] == '>' || text[0] == '!') {
        l->what[0] = text[0];
        snprintf(l->rest, sizeof(l->rest), "%.190s", text + 1 + strspn(text + 1, " "));
        script.lines++;
        return true;
    }
    if (sscanf(text, "set %31s %63s", key, value) == 2)
        return set_plan(plan, key, value);
    if (sscanf(text, "%lf %15s%n", &ms, l->what, &used) != 2)
        return false;
    l->at = (uint64_t)(ms * 1e6);
    snprintf(l->rest, sizeof(l->rest), "%.190s", text + used + strspn(text + used, " "));
    if (strcmp(l->what, "end") == 0)
        plan->faults_end = l->at;
    script.lines++;
    return true;
}

static int read_script(const char *path, struct sim_plan *plan)
{
    FILE *f = fopen(path, "r");
    char text[LINE_MAX];
    unsigned number = 0;
    int error = 0;

    memset(&script, 0, sizeof(script));
    script.path = path;
    script.notices = 1;
    usual(plan);
    if (!f) {
        printf("%s: %s\n", path, strerror(errno));
        return 65;
    }
    while (!error && fgets(text, sizeof(text), f))
        if (!read_line(text, ++number, plan)) {
            printf("%s:%u: '%.60s', expected a line of a scenario\n", path, number, text);
            error = 65;
        }
    fclose(f);
    if (!error && plan->faults_end == SIM_NEVER) {
        printf("%s: has no end\n", path);
        error = 65;
    }
    return error;
}

/* ---- doing ------------------------------------------------------------------------------------------- */

void sim_script_buried(struct sim_node *n)
{
    n->restart_at = sim.faults_over ? sim.now + SIM_MS : SIM_NEVER;
    for (unsigned k = 0; k < script.notices && n->powered; k++) {
        uint64_t at = sim.now + script.notice_delay + k * 200 * SIM_US;

        sim_crash_tell(n, at);
        sim_net_death_notice(n->index, !n->index, &n->datagram_key, at);
    }
}

/* A line that begins with a node: the node, and what follows. */
static struct sim_node *node_of(const struct line *l, const char **rest)
{
    if ((l->rest[0] != 'a' && l->rest[0] != 'b') || (l->rest[1] != ' ' && l->rest[1])) {
        wrong(l, "a or b");
        return &sim.node[0];
    }
    *rest = l->rest + 1 + strspn(l->rest + 1, " ");
    return &sim.node[l->rest[0] == 'b'];
}

static void catch_node(const struct line *l, bool sleeps)
{
    const char *rest = "";
    struct sim_node *n = node_of(l, &rest);
    struct sim_catch c = {.armed = true,
                          .node = n->index,
                          .step = SIM_STEPS,
                          .until = SIM_NEVER,
                          .machine = strcmp(l->what, "power") == 0,
                          .task = strcmp(l->what, "preempt") == 0};

    if (sleeps) {
        char *end;

        c.sleep = (uint64_t)(strtod(rest, &end) * 1e6);
        rest = end + strspn(end, " ");
    }
    if (rest[0] && !sim_step_named(rest, &c.step))
        wrong(l, "a step's text");
    sim.caught = c;
}

static void silence_paths(const struct line *l)
{
    char what[16], who[16];
    double ms;
    unsigned bits;

    if (sscanf(l->rest, "%15s %15s %lf", what, who, &ms) != 3) {
        wrong(l, "links|ports|all a|b|both MS");
        return;
    }
    bits = strcmp(who, "both") == 0 ? 3 : who[0] == 'a' ? 1 : 2;
    sim_partition(what[0] == 'p' ? 0 : bits, what[0] == 'l' ? 0 : bits, sim.now + (uint64_t)(ms * 1e6));
}

static void cut_arbiter(const struct line *l)
{
    char who[16];
    double ms;

    if (sscanf(l->rest, "%15s %lf", who, &ms) == 2)
        sim_arbiter_cut(strcmp(who, "both") == 0 ? 3 : who[0] == 'a' ? 1 : 2, sim.now + (uint64_t)(ms * 1e6));
    else
        wrong(l, "a|b|both MS");
}

static void cut_way(const struct line *l)
{
    unsigned way;
    char who[16];
    double ms;

    if (sscanf(l->rest, "%u %15s %lf", &way, who, &ms) == 3 && way < 2)
        sim_way_cut(way,
                    strcmp(who, "both") == 0 ? 3
                    : who[0] == 'a'          ? 1
                                             : 2,
                    sim.now + (uint64_t)(ms * 1e6));
    else
        wrong(l, "0|1 a|b|both MS");
}

static void operator_says(const struct line *l, struct sim_node *n, const char *rest)
{
    if (strcmp(l->what, "tell") == 0) {
        sim_tell(n->index, "is told to %s", rest);
        rp_request(n->replicator, rest[0] == 'p'   ? FT_REQUEST_PROMOTE
                                  : rest[0] == 'h' ? FT_REQUEST_HANDOVER
                                                   : FT_REQUEST_RESYNC);
        return;
    }
    sim_tell(n->index, "is asked to %s", rest);
    n->question.lane = 0;
    snprintf(n->question.text, sizeof(n->question.text), "%s", rest);
    atomic_store(&n->question.asked, ND_ASK_COMMAND);
}

static void act_on_line(const struct line *l)
{
    const char *rest = "";
    struct sim_node *n;

    if (strcmp(l->what, "kill") == 0 || strcmp(l->what, "power") == 0) {
        catch_node(l, false);
    } else if (strcmp(l->what, "sleep") == 0 || strcmp(l->what, "preempt") == 0) {
        catch_node(l, true);
    } else if (strcmp(l->what, "silence") == 0) {
        silence_paths(l);
    } else if (strcmp(l->what, "arbiter") == 0) {
        cut_arbiter(l);
    } else if (strcmp(l->what, "way") == 0) {
        cut_way(l);
    } else if (strcmp(l->what, "break") == 0) {
        sim_tell(SIM_NOBODY, "the connection breaks");
        sim_net_break();
    } else if (strcmp(l->what, "flip") == 0) {
        sim.flips++;
    } else {
        n = node_of(l, &rest);
        if (strcmp(l->what, "start") == 0) {
            n->restart_at = sim.now;
        } else if (strcmp(l->what, "slow") == 0) {
            n->stalled_until = sim.now + (uint64_t)(strtod(rest, NULL) * 1e6);
            sim_tell(n->index, "its replay is slow until %.3f ms", (double)n->stalled_until / 1e6);
        } else if (strcmp(l->what, "freeze") == 0) {
            sim_disk_freeze(n, sim.now + (uint64_t)(strtod(rest, NULL) * 1e6));
        } else if (strcmp(l->what, "jump") == 0) {
            n->clock_base = sim_clock(n) + (uint64_t)(strtod(rest, NULL) * 1e6);
            n->clock_at = sim.now;
            sim_tell(n->index, "its clock jumps by %s ms", rest);
        } else if ((strcmp(l->what, "tell") == 0 || strcmp(l->what, "ask") == 0) && n->alive) {
            operator_says(l, n, rest);
        } else {
            wrong(l, "something that can be done now");
        }
    }
}

/* In the order of the file; a kill that waits for its step holds up the next. */
void sim_script_tick(void)
{
    for (unsigned i = 0; i < script.lines; i++) {
        struct line *l = &script.line[i];
        bool catches = l->what[0] == 'k' || strcmp(l->what, "power") == 0 || strcmp(l->what, "sleep") == 0 ||
                       strcmp(l->what, "preempt") == 0;

        if (l->done || l->what[0] == '>' || l->what[0] == '!' || l->at > sim.now ||
            strcmp(l->what, "end") == 0)
            continue;
        if (catches && sim.caught.armed)
            return;
        l->done = true;
        act_on_line(l);
    }
}

/* ---- what was to be told --------------------------------------------------------------------------------
 */

static const char *find_line(const char *from, const char *text)
{
    const char *at = strstr(from, text);

    return at ? at + strlen(text) : NULL;
}

static void compare(void)
{
    const char *at = sim_story();

    for (unsigned i = 0; i < script.lines && !sim.failed[0]; i++) {
        const struct line *l = &script.line[i];

        if (l->what[0] == '!' && strstr(sim_story(), l->rest))
            sim_fail("%s:%u: was told '%s'", script.path, l->number, l->rest);
        if (l->what[0] != '>')
            continue;
        at = find_line(at, l->rest);
        if (!at)
            sim_fail("%s:%u: was not told '%s'", script.path, l->number, l->rest);
    }
}

int sim_scenario(const char *path, bool aloud)
{
    struct sim_plan plan;
    int error = read_script(path, &plan);

    if (error)
        return error;
    sim_story_begin(aloud);
    sim_begin(1, &plan);
    sim.script = &script;
    sim.long_partition = plan.wild == SIM_SPLITS;
    sim_run();
    if (script.wrong[0])
        sim_fail("%s", script.wrong);
    for (unsigned i = 0; i < script.lines && !sim.failed[0]; i++)
        if (script.line[i].at && script.line[i].at < plan.faults_end && !script.line[i].done)
            sim_fail("%s:%u: never came to it", path, script.line[i].number);
    if (sim.caught.armed && !sim.failed[0])
        sim_fail("%s: nobody came to the step '%s'", path, sim_step_text[sim.caught.step]);
    if (!sim.failed[0])
        compare();
    sim_end();
    return sim.failed[0] != 0;
}
