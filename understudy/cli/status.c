/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes report of themselves, with an exit code for scripts (status), their events as they are
 * logged (watch), and what they have left when they died (incidents); and what is one request to one node:
 * verify, promote, drain, resync, failback, apply, rollback, confirm, history, push; set and clear, changes
 * to the state of an NF; pin, hold and unpin, an operator's order to one node, which passes it to the other.
 */
#include "understudy/cli/pair.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"
#include "understudy/base/text.h"
#include "understudy/crash/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- status ------------------------------------------------------------------------------------- */

/* One object, of the node that counts. What it knows of the other node is in it as `peer`; without -n what
 * the other one reports of itself is `other`. */
static int print_json(const struct nd_pair *pair)
{
    int node = pair->only >= 0 ? pair->only : nd_pair_in_role(pair, "primary");
    json_t *other;

    if (node < 0)
        node = pair->status[0] ? 0 : 1;
    if (!pair->status[node])
        return ND_NO_ANSWER;
    other = pair->status[!node] ? json_incref(pair->status[!node]) : json_null();
    if (pair->only < 0)
        json_object_set_new(pair->status[node], "other", other);
    else
        json_decref(other);
    return nd_print_json(pair->status[node]);
}

static void print_silence(const struct nd_pair *pair)
{
    if (pair->error[0] && pair->error[1]) {
        fprintf(stderr, "understudy: no node answers: node %s: %s; node %s: %s\n", pair->config->node[0].name,
                pair->why[0].text, pair->config->node[1].name, pair->why[1].text);
        return;
    }
    for (unsigned i = 0; i < ND_PAIR; i++)
        if (pair->error[i])
            fprintf(stderr, "understudy: node %s: %s\n", pair->config->node[i].name, pair->why[i].text);
}

int nd_cmd_status(int argc, char **argv)
{
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    nd_pair_ask_status(&pair);
    code = nd_pair_exit(&pair);
    if (code == ND_NO_ANSWER || code == ND_NO_PERMISSION) {
        print_silence(&pair);
    } else if (pair.options.json) {
        print_silence(&pair);
        if (print_json(&pair))
            code = ND_SOFTWARE;
    } else {
        nd_pair_print(&pair, stdout);
    }
    nd_pair_close(&pair);
    return code;
}

/* ---- requests ----------------------------------------------------------------------------------- */

static void print_verdict(const json_t *answer)
{
    bool equal = nd_is_true(answer, "equal");
    json_t *digests = json_object_get(answer, "digests"), *digest;
    const char *node;

    printf("%s  after burst %" JSON_INTEGER_FORMAT, equal ? "EQUAL" : "DIFFERENT", nd_integer(answer, "at"));
    json_object_foreach(digests, node, digest)
    {
        if (!equal)
            printf(", node %s %s", node, json_is_string(digest) ? json_string_value(digest) : "-");
    }
    printf("\n");
}

/* An order is kept by both nodes. */
static void print_order(const struct nd_pair *pair, const char *command, const json_t *answer)
{
    const char *asked = pair->config->node[pair->only].name, *other = pair->config->node[!pair->only].name;

    printf("%s: the role is %s", command, nd_text(answer, "role", "?"));
    if (nd_is_true(answer, "peer_knows"))
        printf("; both nodes know it\n");
    else
        printf("; node %s knows it, and tells node %s when they meet\n", asked, other);
}

static void print_lines(const char *mark, const json_t *lines)
{
    const json_t *line;
    size_t i;

    json_array_foreach(lines, i, line) printf("        %s %s\n", mark, json_string_value(line));
}

/* Of a setting that is a file: the lines that go and come, or the sizes of what is no text. A node of a
 * release before this one has neither. */
static void print_file(const json_t *setting, const char *kept)
{
    const json_t *goes = json_object_get(setting, "goes"), *comes = json_object_get(setting, "comes");
    json_int_t more = nd_integer(setting, "more"), before = nd_integer(setting, "bytes_before"),
               after = nd_integer(setting, "bytes_after");

    if (!goes && !comes) {
        printf("binary or large, %" JSON_INTEGER_FORMAT " bytes, then %" JSON_INTEGER_FORMAT "%s%s\n", before,
               after, kept ? "; what runs is kept in " : "", kept ? kept : "");
        return;
    }
    if (!json_array_size(goes) && !json_array_size(comes)) {
        printf("the same lines in another order, or another end\n");
        return;
    }
    printf("these lines go (-) and come (+)\n");
    print_lines("-", goes);
    print_lines("+", comes);
    if (more)
        printf("        and %" JSON_INTEGER_FORMAT " more%s%s\n", more, kept ? "; what runs is kept in " : "",
               kept ? kept : "");
}

/* What a dry run has found: a line for each NF, for each thing about interfaces and routes that would be
 * another one, and one for the packets. */
static void print_plan(const char *node, const char *command, const json_t *plan)
{
    const json_t *nf, *setting, *row, *waits = json_object_get(plan, "waits_ms");
    const char *kept = nd_text(plan, "kept_in", NULL); /* the files of the chain that runs */
    size_t i, k;

    if (nd_is_true(plan, "same")) {
        printf("%s: node %s: that chain runs; nothing would change\n", command, node);
        return;
    }
    printf("%s: node %s: nothing is changed by a dry run; these would be\n", command, node);
    json_array_foreach(json_object_get(plan, "nfs"), i, nf)
    {
        printf("%-14s  %-7s  state %s\n", nd_text(nf, "nf", "?"), nd_text(nf, "does", "?"),
               nd_text(nf, "state", "?"));
        json_array_foreach(json_object_get(nf, "settings"), k, setting)
        {
            const char *before = nd_text(setting, "before", NULL), *after = nd_text(setting, "after", NULL);

            printf("    %s: ", nd_text(setting, "name", "?"));
            if (before && after)
                printf("%s, then %s\n", before, after);
            else
                print_file(setting, kept);
        }
    }
    json_array_foreach(json_object_get(plan, "interfaces"), i, row)
    {
        const char *before = nd_text(row, "before", NULL), *after = nd_text(row, "after", NULL);

        printf("%s  %s\n    %s%s%s\n", nd_text(row, "what", "?"), nd_text(row, "does", "?"),
               before ? before : "", before && after ? ", then " : "", after ? after : "");
    }
    printf(
        "packets would wait while the state moves, %.0f to %.0f ms on the test machine when it is idle, and "
        "a multiple on one that is busy; then the standby is resynced\n",
        json_number_value(json_array_get(waits, 0)), json_number_value(json_array_get(waits, 1)));
}

static void print_history(const json_t *answer)
{
    const json_t *set, *left;
    size_t i;

    json_array_foreach(json_object_get(answer, "sets"), i, set)
    {
        left = json_object_get(set, "confirm_s");
        printf("%2" JSON_INTEGER_FORMAT "  %s  %-16s  %s", nd_integer(set, "set"), nd_text(set, "time", "?"),
               nd_text(set, "how", ""), nd_text(set, "by", ""));
        if (json_is_integer(left))
            printf("; waits %" JSON_INTEGER_FORMAT " s more for a confirm", json_integer_value(left));
        printf("\n");
    }
}

/* One line, of the node that was asked; and what its chain asks for in vain. */
static void print_answer(const struct nd_pair *pair, const char *command, const json_t *answer)
{
    const json_t *line;
    size_t i;
    const char *node = pair->config->node[pair->only].name,
               *other = nd_text(answer, "peer", pair->config->node[!pair->only].name);
    json_int_t view = nd_integer(answer, "view");

    json_array_foreach(json_object_get(answer, "warnings"), i, line)
        fprintf(stderr, "%s: warning: %s\n", command, json_string_value(line));
    if (strcmp(command, "verify") == 0)
        print_verdict(answer);
    else if (strcmp(command, "resync") == 0)
        printf("resync: node %s sends node %s the whole state again\n", node, other);
    else if (json_object_get(answer, "waits_ms"))
        print_plan(node, command, answer);
    else if (json_object_get(answer, "sets"))
        print_history(answer);
    else if (json_object_get(answer, "text")) /* apply, rollback, confirm, push */
        printf("%s: node %s: %s\n", command, node, nd_text(answer, "text", "done"));
    else if (strcmp(command, "promote") == 0)
        printf("promote: node %s is primary, view %" JSON_INTEGER_FORMAT ": %s\n", node, view,
               nd_text(answer, "why", "promoted"));
    else if (strcmp(command, "re-pair") == 0)
        printf("re-pair: the pair is node %s and node %s, view %" JSON_INTEGER_FORMAT ": %s\n", node,
               pair->options.argv[0], view, nd_text(answer, "why", ""));
    else if (strcmp(command, "set") == 0 || strcmp(command, "clear") == 0)
        printf("%s: done\n", nd_text(answer, "change", "change"));
    else if (strcmp(command, "drain") == 0 || strcmp(command, "failback") == 0)
        printf("%s: node %s has handed over to node %s, view %" JSON_INTEGER_FORMAT "\n", command, node,
               other, view);
    else
        print_order(pair, command, answer);
}

/* The node of -n, else the primary, else any that answers. */
static const char *whom_to_order(struct nd_pair *pair)
{
    if (pair->only >= 0)
        return "primary";
    nd_pair_ask_status(pair);
    return nd_pair_in_role(pair, "primary") < 0 && nd_pair_in_role(pair, "standby") >= 0 ? "standby"
           : nd_pair_in_role(pair, "primary") < 0 && nd_pair_in_role(pair, "none") >= 0  ? "none"
                                                                                         : "primary";
}

/* Where the node is reached is this file's word: the primary may have been started before the file had it. */
static json_t *make_repair(const struct nd_pair *pair)
{
    const struct nd_node *node = &pair->config->node[nd_config_node(pair->config, pair->options.argv[0])];
    uint64_t view = pair->options.view;

    return json_pack("{s:s,s:s,s:s,s:i,s:s*,s:o*,s:s*,s:o*}", "cmd", "re-pair", "node", node->name, "host",
                     node->host, "port", (int)node->tcp_port, "second_host",
                     node->second_port ? node->second_host : NULL, "second_port",
                     node->second_port ? json_integer(node->second_port) : NULL, "lost", pair->options.lost,
                     "view", view ? json_integer((json_int_t)view) : NULL);
}

/* Of apply and rollback; `set`: taken over, of the latter. */
static json_t *make_change(const struct nd_pair *pair, const char *command, json_t *set)
{
    const struct nd_options *o = &pair->options;

    return json_pack("{s:s,s:o*,s:o*,s:o*}", "cmd", command, "set", set, "confirm",
                     o->confirm ? json_integer(o->confirm) : NULL, "dry_run", o->dry ? json_true() : NULL);
}

/* The request of a command line; NULL: there is none, with an exit code and its line in *code. */
static json_t *make_request(const struct nd_pair *pair, const char *command, int *code)
{
    const char *first = pair->options.argc > 0 ? pair->options.argv[0] : NULL,
               *key = pair->options.argc > 1 ? pair->options.argv[1] : NULL,
               *equals = key ? strchr(key, '=') : NULL;
    char names[ND_CHOICE_TEXT];
    json_t *request = NULL;
    uint64_t set;

    *code = 0;
    if ((strcmp(command, "pin") == 0 || strcmp(command, "re-pair") == 0) &&
        nd_config_node(pair->config, first) < 0)
        *code = nd_usage(command, "no node \"%.40s\" in this file, expected %s", first,
                         nd_node_names(pair->config, first, names));
    else if (strcmp(command, "re-pair") == 0)
        request = make_repair(pair);
    else if (strcmp(command, "pin") == 0)
        request = json_pack("{s:s,s:s}", "cmd", command, "node", first);
    else if (strcmp(command, "clear") == 0)
        request = json_pack("{s:s, s:s, s:s?}", "cmd", command, "nf", first, "key", key);
    else if (strcmp(command, "apply") == 0)
        request = make_change(pair, command, NULL);
    else if (strcmp(command, "push") == 0)
        request = json_pack("{s:s,s:o*}", "cmd", command, "diff", pair->options.dry ? json_true() : NULL);
    else if (strcmp(command, "rollback") == 0)
        *code =
            nd_options_number(first, &set)
                ? (request = make_change(pair, command, json_integer((json_int_t)set)), 0)
                : nd_usage(command, "%.40s, expected the number of a set (see understudy history)", first);
    else if (strcmp(command, "set") != 0)
        request = json_pack("{s:s}", "cmd", command);
    else if (!equals || equals == key)
        *code = nd_usage(command, "%.40s, expected KEY=VALUE", key);
    else
        request = json_pack("{s:s, s:s, s:s%, s:s}", "cmd", command, "nf", first, "key", key,
                            (size_t)(equals - key), "value", equals + 1);
    if (!request && !*code)
        *code = nd_usage(NULL, "an argument that is not UTF-8, expected text");
    return request;
}

int nd_cmd_act(int argc, char **argv)
{
    const char *command = argv[0];
    bool orders = strcmp(command, "pin") == 0 || strcmp(command, "hold") == 0 ||
                  strcmp(command, "unpin") == 0 || strcmp(command, "history") == 0;
    struct nd_pair pair;
    json_t *request, *answer = NULL;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    request = make_request(&pair, command, &code);
    if (!code)
        code = nd_pair_request(&pair,
                               orders                            ? whom_to_order(&pair)
                               : strcmp(command, "promote") == 0 ? "standby"
                                                                 : "primary",
                               request, orders ? ND_STATUS_MS : ND_ACTION_MS, &answer);
    if (!code && pair.options.json)
        code = nd_print_json(answer);
    else if (!code)
        print_answer(&pair, command, answer);
    if (!code && strcmp(command, "verify") == 0 && !nd_is_true(answer, "equal"))
        code = ND_NOT_EQUAL;
    json_decref(answer);
    nd_pair_close(&pair);
    return code;
}

/* ---- watch: the nodes' events, as they are logged. Ten times a second each node is asked for the lines of
 * its event log since the last answer, so nothing waits for this command, however slowly its output is read:
 * then lines are gone from the node's memory (understudy/base/event_writer.h), and one line states how many
 * ---- */

#define PAUSE_NS  100000000l
#define ANSWER_MS 500

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
    event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:{s:I}}", "time", nd_wall_text(time, ft_wall()), "level",
                      ft_level_name(FT_LEVEL_WARNING), "event", ft_event_name(FT_SAYS_LOG), "node",
                      pair->config->node[i].name, "message", message, "fields", "lost", lost);
    print_event(pair, event);
    json_decref(event);
}

/* On stderr, once each: whether a node can be asked is no event of its own. */
static void print_answering(const struct nd_pair *pair, unsigned i, struct watched *w, bool answers,
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
    json_int_t lost = nd_integer(answer, "lost");
    size_t n;

    if (lost > 0)
        print_gap(pair, i, lost);
    json_array_foreach(events, n, event)
    {
        if (!pair->options.event || strcmp(pair->options.event, nd_text(event, "event", "")) == 0)
            print_event(pair, event);
    }
    w->of = nd_integer(answer, "of");
    w->next = nd_integer(answer, "next");
    return json_array_size(events) > 0;
}

/* All that it has logged since it was asked last. */
static void ask_node(const struct nd_pair *pair, unsigned i, struct watched *w)
{
    struct ft_fault fault = {""};
    const json_t *refusal;
    json_t *answer;
    bool more = true;
    int error = 0;

    while (more && !nd_stopped && !ferror(stdout)) {
        /* Who did not answer at first is asked for all: "of" 0 is no process. */
        json_t *request = w->begun ? json_pack("{s:s,s:I,s:I}", "cmd", "watch", "of", w->of, "next", w->next)
                                   : json_pack("{s:s}", "cmd", "watch");

        error = nd_pair_ask(pair, i, request, ANSWER_MS, &answer, &fault);
        json_decref(request);
        refusal = json_object_get(answer, "error");
        if (refusal)
            error = ft_fail(&fault, FT_EIO, "%s", nd_text(refusal, "text", "the node refused to answer"));
        print_answering(pair, i, w, !error, fault.text);
        more = !error && take_answer(pair, i, w, answer);
        json_decref(answer);
        fflush(stdout);
    }
}

static bool is_event(const char *name)
{
    for (int i = 0; i < FT_EVENT_NAMES_END; i++)
        if (strcmp(name, ft_event_name((enum ft_event_name)i)) == 0)
            return true;
    return false;
}

int nd_cmd_watch(int argc, char **argv)
{
    struct watched watched[ND_NODES] = {{.of = 0}};
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv);

    if (!code && pair.options.event && !is_event(pair.options.event)) {
        code = nd_usage("watch", "--event %.40s, expected the name of an event, such as command",
                        pair.options.event);
        nd_pair_close(&pair);
    }
    if (code)
        return code;
    nd_catch_signals();
    while (!nd_stopped && !ferror(stdout)) {
        for (unsigned i = 0; i < pair.config->nodes; i++) {
            watched[i].begun |= pair.options.past;
            watched[i].answers |= pair.options.past;
            if (pair.only < 0 || pair.only == (int)i)
                ask_node(&pair, i, &watched[i]);
        }
        if (pair.options.past)
            break;
        nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
    nd_pair_close(&pair);
    return ND_DONE;
}

/* ---- incidents: what the reporters of this server's nodes have left (understudy/crash), the newest first.
 * Asks no node; a node whose directory of state is on another server has none here ---- */

struct incident {
    const struct nd_node *node;
    char name[96], path[ND_CRASH_PATH];
    json_t *report; /* NULL: it cannot be read */
};

struct incidents {
    struct incident *list;
    unsigned count;
};

static bool add_incident(struct incidents *all, const struct nd_node *node, const char *name)
{
    struct incident *more = realloc(all->list, (all->count + 1) * sizeof(*more)), *i;
    struct ft_fault unread;

    if (!more)
        return false;
    all->list = more;
    i = &more[all->count++];
    *i = (struct incident){.node = node};
    snprintf(i->name, sizeof(i->name), "%s", name);
    snprintf(i->path, sizeof(i->path), "%s/%s", node->state, name);
    nd_crash_read(i->path, &i->report, &unread); /* its row has no more than its name */
    return true;
}

/* Of one node; a directory that is not there has nothing in it. 0, or an exit code with its line. */
static int collect_incidents(struct incidents *all, const struct nd_node *node)
{
    char **names;
    unsigned count;
    bool whole;
    int why = access(node->state, R_OK | X_OK) == 0 ? 0 : errno;

    if (why && why != ENOENT) {
        fprintf(stderr, "understudy incidents: %s: %s, expected the state directory of node %s, to be read\n",
                node->state, strerror(why), node->name);
        return why == EACCES ? ND_NO_PERMISSION : ND_DATA;
    }
    whole = nd_crash_list(node->state, node->name, &names, &count) != FT_ENOMEM;
    for (unsigned i = 0; i < count && whole; i++)
        whole = add_incident(all, node, names[i]);
    if (names)
        nd_crash_list_free(names, count);
    if (!whole)
        fprintf(stderr, "understudy incidents: no memory for the list\n");
    return whole ? 0 : ND_SOFTWARE;
}

/* By what is in a name behind that of the node: the time. */
static int compare_newest(const void *a, const void *b)
{
    const struct incident *x = a, *y = b;

    return strcmp(y->name + strlen(y->node->name), x->name + strlen(x->node->name));
}

/* Reports are made by whoever has the node's user, and read on the terminal of somebody else. */
static void print_incidents(const struct incidents *all)
{
    if (all->count)
        printf("%-27s %-10s %-14s %-7s %-8s %s\n", "time", "node", "NF", "packet", "signal", "directory");
    for (unsigned k = 0; k < all->count; k++) {
        const struct incident *i = &all->list[k];
        const json_t *packet = json_object_get(i->report, "packet");
        bool killed = strcmp(nd_text(i->report, "how", "-"), "killed") == 0;
        char number[24] = "-", time[96], nf[96], signal[96], name[96];

        if (json_is_integer(packet))
            snprintf(number, sizeof(number), "%d", (int)json_integer_value(packet));
        printf("%-27s %-10s %-14s %-7s %-8s %s/%s\n",
               nd_printable(nd_text(i->report, "time", "-"), time, sizeof(time)), i->node->name,
               nd_printable(nd_text(i->report, "nf", "-"), nf, sizeof(nf)), number,
               nd_printable(nd_text(i->report, killed ? "how" : "signal", "-"), signal, sizeof(signal)),
               i->node->state, nd_printable(i->name, name, sizeof(name)));
    }
}

static int print_incidents_json(const struct incidents *all)
{
    json_t *list = json_array(), *object;
    int code;

    for (unsigned i = 0; i < all->count; i++) {
        json_t *report = all->list[i].report;

        json_array_append_new(list, json_pack("{s:s, s:s, s:O?}", "node", all->list[i].node->name,
                                              "directory", all->list[i].path, "report", report));
    }
    object = json_pack("{s:o}", "incidents", list);
    code = nd_print_json(object);
    json_decref(object);
    return code;
}

int nd_cmd_incidents(int argc, char **argv)
{
    struct incidents all = {NULL, 0};
    struct nd_pair pair;
    int code = nd_pair_open(&pair, argc, argv), refused = 0, one;

    if (code)
        return code;
    for (int n = 0; n < (int)pair.config->nodes; n++)
        if ((pair.only < 0 || pair.only == n) && (one = collect_incidents(&all, &pair.config->node[n])) != 0)
            refused = one;
    if (all.count)
        qsort(all.list, all.count, sizeof(*all.list), compare_newest);
    if (pair.options.json)
        code = print_incidents_json(&all);
    else
        print_incidents(&all);
    for (unsigned i = 0; i < all.count; i++)
        json_decref(all.list[i].report);
    free(all.list);
    nd_pair_close(&pair);
    return refused ? refused : code;
}
