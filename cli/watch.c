/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy watch: what the nodes say, as they say it. Ten times a second each node is asked for the lines
 * of its event log since the last answer, so nothing waits for this command, however slowly its output is
 * read: then lines are gone from the node's memory (node/base/event_writer.h), and one line says how many.
 */
#include "cli/pair.h"
#include "node/base/clock.h"
#include "node/base/event_writer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_NS  100000000l
#define ANSWER_MS 500

static volatile sig_atomic_t stopped;

static void note_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

/* What has been seen of a node. */
struct watched {
    bool begun, answers;
    json_int_t of, next;
};

static void print_event(const struct nd_pair *pair, const json_t *event)
{
    char text[ND_EVENT_TEXT];

    if (pair->options.json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        fwrite(text, 1, nd_event_text_of(text, event), stdout);
    }
}

/* In the place of lines that are gone: of this command, in the form of the others. */
static void print_gap(const struct nd_pair *pair, unsigned i, json_int_t lost)
{
    char time[ND_WALL_TEXT], message[80];
    json_t *event;

    snprintf(message, sizeof(message),
             "%" JSON_INTEGER_FORMAT " lines before the next one were not read in time", lost);
    event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:{s:I}}", "time", nd_wall_text(time, nd_wall()), "level",
                      ft_level_name(FT_LEVEL_WARNING), "event", ft_event_name(FT_SAYS_LOG), "node",
                      pair->config->node[i].name, "message", message, "fields", "lost", lost);
    print_event(pair, event);
    json_decref(event);
}

/* On stderr, once each: whether a node can be asked is no event that it tells. */
static void tell_answering(const struct nd_pair *pair, unsigned i, struct watched *w, bool answers,
                           const char *why)
{
    if (w->begun && w->answers == answers)
        return;
    if (answers)
        fprintf(stderr, "understudy: watching node %s\n", pair->config->node[i].name);
    else
        fprintf(stderr, "understudy: node %s: %s\n", pair->config->node[i].name, why);
    w->begun = true;
    w->answers = answers;
}

/* True when there may be more at once. */
static bool take_answer(const struct nd_pair *pair, unsigned i, struct watched *w, const json_t *answer)
{
    const json_t *events = json_object_get(answer, "events"), *event;
    json_int_t lost = json_integer_value(json_object_get(answer, "lost"));
    size_t n;

    if (lost > 0)
        print_gap(pair, i, lost);
    json_array_foreach(events, n, event) print_event(pair, event);
    w->of = json_integer_value(json_object_get(answer, "of"));
    w->next = json_integer_value(json_object_get(answer, "next"));
    return json_array_size(events) > 0;
}

/* All that it has said since it was asked last. */
static void ask_node(const struct nd_pair *pair, unsigned i, struct watched *w)
{
    struct ft_fault fault = {""};
    const json_t *refusal;
    json_t *answer;
    bool more = true;
    int error = 0;

    while (more && !stopped && !ferror(stdout)) {
        /* Who did not answer at first is asked for all: "of" 0 is no process. */
        json_t *request = w->begun ? json_pack("{s:s,s:I,s:I}", "cmd", "watch", "of", w->of, "next", w->next)
                                   : json_pack("{s:s}", "cmd", "watch");

        error = nd_ask(pair->config->node[i].control, request, ANSWER_MS, &answer, &fault);
        json_decref(request);
        refusal = json_object_get(answer, "error");
        if (refusal)
            error = ft_fail(&fault, FT_EIO, "%s", nd_text(refusal, "text", "the node refused to answer"));
        tell_answering(pair, i, w, !error, fault.text);
        more = !error && take_answer(pair, i, w, answer);
        json_decref(answer);
        fflush(stdout);
    }
}

int nd_cmd_watch(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = note_signal};
    struct watched watched[ND_NODES] = {{.of = 0}};
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    while (!stopped && !ferror(stdout)) {
        for (unsigned i = 0; i < ND_NODES; i++)
            if (pair.only < 0 || pair.only == (int)i)
                ask_node(&pair, i, &watched[i]);
        nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
    nd_pair_close(&pair);
    return ND_DONE;
}
