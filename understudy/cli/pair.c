/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running pair as a subcommand sees it: whom to ask, what the answers mean for the exit code, and its
 * status for people: one verdict, one line a node, one line a lane with what it has counted. See pair.h.
 */
#include "understudy/cli/pair.h"
#include "understudy/base/interface.h"
#include "understudy/config/module_file.h"
#include "understudy/control/server.h"

#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

volatile sig_atomic_t nd_stopped;

static void note_signal(int signal)
{
    (void)signal;
    nd_stopped = 1;
}

void nd_catch_signals(void)
{
    const struct sigaction action = {.sa_handler = note_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* What is known of them, too. */
static void exchange_nodes(struct nd_pair *pair, unsigned a, unsigned b)
{
    struct nd_config *c = pair->config;

#define EXCHANGE(x, y)                                                                                       \
    do {                                                                                                     \
        __typeof__(x) kept_ = x;                                                                             \
        (x) = (y);                                                                                           \
        (y) = kept_;                                                                                         \
    } while (0)
    if (a == b)
        return;
    EXCHANGE(c->node[a], c->node[b]);
    EXCHANGE(pair->status[a], pair->status[b]);
    EXCHANGE(pair->why[a], pair->why[b]);
    EXCHANGE(pair->error[a], pair->error[b]);
#undef EXCHANGE
    pair->only = pair->only == (int)a ? (int)b : pair->only == (int)b ? (int)a : pair->only;
}

/* Views of two shards do not compare: a node of one that was deleted has nothing, and waits. */
static bool is_later(const json_t *status, const json_t *than)
{
    const char *shard = nd_text(status, "shard", ""), *other = nd_text(than, "shard", "");
    bool waits = strcmp(nd_text(status, "state", ""), "JOINING") == 0,
         other_waits = strcmp(nd_text(than, "state", ""), "JOINING") == 0;

    if (strcmp(shard, other) != 0 && waits != other_waits)
        return other_waits;
    return nd_integer(status, "view") > nd_integer(than, "view");
}

/* The members of the latest view that a member reports are the pair. */
static void put_pair_first(struct nd_pair *pair)
{
    const json_t *member = NULL, *latest;

    for (unsigned i = 0; i < pair->config->nodes; i++) {
        const json_t *s = pair->status[i];

        if (nd_is_true(s, "member") && json_array_size(json_object_get(s, "members")) == ND_PAIR &&
            (!member || is_later(s, member)))
            member = s;
    }
    latest = json_object_get(member, "members");
    for (unsigned k = 0; latest && k < ND_PAIR; k++) {
        const char *name = json_string_value(json_array_get(latest, k));
        const char *other = json_string_value(json_array_get(latest, !k));
        int node = name ? nd_config_node(pair->config, name) : -1;

        if (node >= (int)ND_PAIR) /* in the place of the one that is no member any more */
            exchange_nodes(pair, (unsigned)node, other && strcmp(pair->config->node[0].name, other) == 0);
    }
}

int nd_pair_open(struct nd_pair *pair, int argc, char **argv)
{
    int error;

    memset(pair, 0, sizeof(*pair));
    pair->only = -1;
    pair->elsewhere = strcmp(argv[0], "status") == 0 || strcmp(argv[0], "watch") == 0 ||
                      strcmp(argv[0], "top") == 0 || strcmp(argv[0], "history") == 0;
    error = nd_options_read(&pair->options, argc, argv);
    return error ? error : nd_pair_begin(pair, argv[0]);
}

int nd_pair_begin(struct nd_pair *pair, const char *command)
{
    struct ft_fault fault = {""};
    char names[ND_CHOICE_TEXT];
    int error;

    error = nd_config_read(&pair->config, pair->options.file,
                           ND_CONFIG_NODES | ND_CONFIG_QUIET | ND_CONFIG_SOCKETS, &fault);
    if (*fault.text)
        fprintf(stderr, "%s%s\n", fault.text, error ? "" : "; the running nodes are asked all the same");
    if (error)
        return nd_exit_of_file(error);
    if (!pair->options.node)
        return 0;
    pair->only = nd_config_node(pair->config, pair->options.node);
    if (pair->only >= (int)ND_PAIR)
        exchange_nodes(pair, (unsigned)pair->only, 0);
    if (pair->only >= 0)
        return 0;
    error = nd_usage(command, "no node \"%.40s\" in this file, expected %s", pair->options.node,
                     nd_node_names(pair->config, pair->options.node, names));
    nd_pair_close(pair);
    return error;
}

void nd_pair_close(struct nd_pair *pair)
{
    for (unsigned i = 0; pair->config && i < pair->config->nodes; i++)
        json_decref(pair->status[i]);
    nd_config_free(pair->config);
    memset(pair, 0, sizeof(*pair));
}

static void ask_status(struct nd_pair *pair, unsigned i)
{
    json_t *request = json_pack("{s:s}", "cmd", "status");
    json_t *refusal;

    json_decref(pair->status[i]);
    pair->error[i] = nd_pair_ask(pair, i, request, ND_STATUS_MS, &pair->status[i], &pair->why[i]);
    json_decref(request);
    refusal = json_object_get(pair->status[i], "error");
    if (!refusal)
        return;
    pair->error[i] =
        ft_fail(&pair->why[i], FT_EIO, "%s", nd_text(refusal, "text", "the node refused to answer"));
    json_decref(pair->status[i]);
    pair->status[i] = NULL;
}

void nd_pair_ask_status(struct nd_pair *pair)
{
    for (unsigned i = 0; i < pair->config->nodes; i++)
        if (pair->only < 0 || pair->only == (int)i)
            ask_status(pair, i);
    put_pair_first(pair);
}

int nd_pair_in_role(const struct nd_pair *pair, const char *role)
{
    json_int_t view, best_view = -1;
    int best = -1;

    for (int i = 0; i < (int)ND_PAIR; i++) {
        if (strcmp(nd_text(pair->status[i], "role", ""), role) != 0)
            continue;
        view = nd_integer(pair->status[i], "view");
        if (view > best_view) {
            best_view = view;
            best = i;
        }
    }
    return best;
}

/* A standby that answers knows whose the role is, where no socket of that node is here. NULL: none does. */
static const char *name_elsewhere(const struct nd_pair *pair)
{
    for (unsigned i = 0; i < ND_PAIR; i++) {
        const json_t *peer = json_object_get(pair->status[i], "peer");
        const char *name = nd_text(peer, "node", NULL);

        if (name && strcmp(nd_text(pair->status[i], "role", ""), "standby") == 0 &&
            nd_is_true(peer, "connected") && !pair->status[!i])
            return name;
    }
    return NULL;
}

/* Nobody is in the wanted role: because somebody did not answer, or because none is. A node that waits for
 * its peer may be promoted, but no command picks it by itself: another one may have the newer state. */
static int report_nobody(const struct nd_pair *pair, const char *role)
{
    int silent = pair->error[0] ? 0 : pair->error[1] ? 1 : -1;
    for (unsigned i = 0; i < ND_PAIR && strcmp(role, "standby") == 0; i++) {
        const char *state = nd_text(pair->status[i], "state", ""), *name = pair->config->node[i].name;

        if (strcmp(state, "JOINING") == 0 || strcmp(state, "FENCED") == 0)
            fprintf(stderr,
                    "understudy: node %s is %s, to have it go on alone run: understudy promote -n %s\n", name,
                    state, name);
    }
    if (silent < 0) {
        fprintf(stderr, "understudy: no node is %s now, expected one (see understudy status)\n", role);
        return ND_NOT_EQUAL;
    }
    fprintf(stderr, "understudy: no answering node is %s: node %s: %s\n", role,
            pair->config->node[silent].name, pair->why[silent].text);
    return pair->error[0] == FT_EPERM || pair->error[1] == FT_EPERM ? ND_NO_PERMISSION : ND_NO_ANSWER;
}

/* A node's refusal by its code, which is a name of ft_error_name or of the control protocol. */
static int refusal_exit(const char *code)
{
    static const struct {
        const char *code;
        int exit;
    } exits[] = {
        {"invalid", ND_DATA},       {"malformed", ND_DATA}, {"truncated", ND_DATA},
        {"not found", ND_DATA},     {"unknown", ND_DATA},   {"no permission", ND_NO_PERMISSION},
        {"no memory", ND_SOFTWARE},
    };

    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
        if (strcmp(exits[i].code, code) == 0)
            return exits[i].exit;
    return ND_NOT_EQUAL; /* busy and the like: it could not be done now */
}

/* The group of a socket; "root": it is not to be seen. Of the calling thread until the next call. */
static const char *group_of(const char *path)
{
    struct stat is;
    const struct group *group = stat(path, &is) == 0 ? getgrgid(is.st_gid) : NULL;

    return group ? group->gr_name : "root";
}

/* Behind a refusal, on the same line: who may. */
static void print_who_may(const char *control, const char *command)
{
    char path[ND_SOCKET_PATH];

    fprintf(stderr, ", expected root or a member of group %s", group_of(control));
    for (int i = 0; i < ND_COMMANDS; i++)
        if (nd_commands[i].role == ND_OPERATES && strcmp(nd_commands[i].name, command) == 0 &&
            nd_socket_path(path, control, ND_OPERATES) && access(path, F_OK) == 0)
            fprintf(stderr, " or %s", group_of(path));
}

int nd_pair_request(struct nd_pair *pair, const char *role, json_t *request, int timeout_ms, json_t **answer)
{
    struct ft_fault fault = {""};
    const json_t *refusal;
    const char *elsewhere;
    int node = pair->only, error;
    char command[32];

    *answer = NULL;
    if (node < 0) {
        nd_pair_ask_status(pair);
        node = nd_pair_in_role(pair, role);
    }
    if (node < 0 && (node = nd_local_node(pair->config)) >= 0 && !pair->status[node])
        node = -1;
    if (node < 0) {
        json_decref(request);
        return report_nobody(pair, role);
    }
    pair->only = node; /* further pages come from the same node */
    snprintf(command, sizeof(command), "%s", nd_text(request, "cmd", ""));
    error = nd_pair_ask(pair, (unsigned)node, request, timeout_ms, answer, &fault);
    json_decref(request);
    if (error) {
        fprintf(stderr, "understudy: node %s: %s\n", pair->config->node[node].name, fault.text);
        return nd_exit_of(error);
    }
    refusal = json_object_get(*answer, "error");
    if (!refusal)
        return 0;
    fprintf(stderr, "understudy: node %s: %s", pair->config->node[node].name,
            nd_text(refusal, "text", nd_text(refusal, "code", "refused")));
    error = refusal_exit(nd_text(refusal, "code", ""));
    elsewhere = strcmp(role, "primary") == 0 ? name_elsewhere(pair) : NULL;
    if (error == ND_NO_PERMISSION)
        print_who_may(pair->config->node[node].control, command);
    else if (elsewhere)
        fprintf(stderr, "; node %s is primary, on the other server: say it there", elsewhere);
    fputc('\n', stderr);
    json_decref(*answer);
    *answer = NULL;
    return error;
}

static int state_exit(const char *state)
{
    if (strcmp(state, "PROTECTED") == 0)
        return ND_DONE;
    if (strcmp(state, "DEGRADED") == 0 || strcmp(state, "SYNCING") == 0 || strcmp(state, "JOINING") == 0)
        return ND_NOT_EQUAL;
    return ND_UNPROTECTED;
}

/* Threads of the node that stand, in its words; NULL: none, or no answer. Borrowed. */
static const char *stale_of(const struct nd_pair *pair, unsigned node)
{
    return nd_text(pair->status[node], "stale", NULL);
}

/* What keeps the nodes' data ports from carrying traffic, in the node's words; as stale_of. */
static const char *not_whole_of(const struct nd_pair *pair, unsigned node)
{
    return nd_text(pair->status[node], "not_whole", NULL);
}

/* The state of a READY standby's primary, by the standby's word; NULL: it does not reach it. Borrowed. */
static const char *state_of_primary(const json_t *standby)
{
    const json_t *peer = json_object_get(standby, "peer");

    return nd_is_true(peer, "connected") ? nd_text(peer, "state", NULL) : NULL;
}

/* Of a READY node: what it holds protects traffic that its primary lets pass. */
static int exit_of_ready(const json_t *status)
{
    const char *primary = state_of_primary(status);

    return primary ? state_exit(primary) : ND_UNPROTECTED;
}

static bool is_ready(const json_t *status)
{
    return strcmp(nd_text(status, "state", ""), "READY") == 0;
}

int nd_pair_judged(const struct nd_pair *pair)
{
    return pair->only >= 0 ? pair->only : nd_pair_in_role(pair, "primary");
}

/* The status of the node that counts; NULL: none. */
static json_t *judged_status(const struct nd_pair *pair)
{
    int node = nd_pair_judged(pair);

    return node >= 0 ? pair->status[node] : NULL;
}

/* By the state of the node that counts. */
static int exit_by_state(const struct nd_pair *pair)
{
    int node = nd_pair_judged(pair);

    if (node >= 0 && is_ready(pair->status[node]))
        return exit_of_ready(pair->status[node]);
    if (node >= 0 && pair->status[node])
        return state_exit(nd_text(pair->status[node], "state", ""));
    /* The primary is on another server: its standby knows. */
    for (unsigned i = 0; i < ND_PAIR; i++)
        if (is_ready(pair->status[i]))
            return exit_of_ready(pair->status[i]);
    if (pair->status[0] || pair->status[1])
        return ND_UNPROTECTED;
    return pair->error[0] == FT_EPERM || pair->error[1] == FT_EPERM ? ND_NO_PERMISSION : ND_NO_ANSWER;
}

/* The status of a node is old where a thread of it is stuck. */
static bool is_stale(const struct nd_pair *pair)
{
    return stale_of(pair, 0) || stale_of(pair, 1);
}

static bool is_whole(const struct nd_pair *pair)
{
    return !not_whole_of(pair, 0) && !not_whole_of(pair, 1);
}

/* What an NF is there for is not done while it is bypassed. */
static bool is_bypassed(const struct nd_pair *pair)
{
    return json_array_size(json_object_get(pair->status[0], "bypassed")) ||
           json_array_size(json_object_get(pair->status[1], "bypassed"));
}

int nd_pair_exit(const struct nd_pair *pair)
{
    int code = exit_by_state(pair);

    return code == ND_DONE && (is_stale(pair) || !is_whole(pair) || is_bypassed(pair)) ? ND_NOT_EQUAL : code;
}

static bool is_primary(const struct nd_pair *pair, unsigned node)
{
    return strcmp(nd_text(pair->status[node], "role", ""), "primary") == 0;
}

/* What is worst: TWO PRIMARIES; STALE, where a thread of the primary is stuck, so that nothing passes; NOT
 * PROTECTED; STALE of a standby; BYPASSED; PROTECTED. A pair whose data ports are not whole is not, whatever
 * its state. */
static const char *verdict_of(const struct nd_pair *pair)
{
    if (is_primary(pair, 0) && is_primary(pair, 1))
        return "TWO PRIMARIES";
    for (unsigned i = 0; i < ND_PAIR; i++)
        if (is_primary(pair, i) && stale_of(pair, i))
            return "STALE";
    if (exit_by_state(pair) != ND_DONE)
        return "NOT PROTECTED";
    /* Where a thread stands nothing passes, and what its node reports of ports is of before, or follows from
     * it.
     */
    if (is_stale(pair))
        return "STALE";
    if (!is_whole(pair))
        return "NOT PROTECTED";
    return is_bypassed(pair) ? "BYPASSED" : "PROTECTED";
}

/* ---- for people -------------------------------------------------------------------------------- */

static void print_number(FILE *out, const json_t *value, int width)
{
    if (json_is_number(value))
        fprintf(out, "  %*.0f", width, json_number_value(value));
    else
        fprintf(out, "  %*s", width, "-");
}

/* The numbers that are printed of a node. */
static const struct {
    const char *title, *key;
    int width;
} columns[] = {
    {"since_s", "since_s", 9},      {"view", "view", 5},
    {"lag", "lag_packets", 8},      {"held", "held_packets", 8},
    {"log_bytes", "log_bytes", 12},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* The other member of the node's view; NULL: it is no member, or does not report it. */
static const char *peer_of(const struct nd_pair *pair, unsigned i)
{
    const json_t *members = json_object_get(pair->status[i], "members");
    const char *name = pair->config->node[i].name, *one = json_string_value(json_array_get(members, 0)),
               *other = json_string_value(json_array_get(members, 1));

    if (json_is_false(json_object_get(pair->status[i], "member")))
        return NULL;
    if (!one || !other)
        return i < ND_PAIR ? pair->config->node[!i].name : NULL;
    return strcmp(one, name) == 0 ? other : strcmp(other, name) == 0 ? one : NULL;
}

/* What a node without a connection waits for, and what may be in the way. */
static void print_no_connection(const struct nd_pair *pair, unsigned i, FILE *out)
{
    const json_t *s = pair->status[i], *link = json_object_get(s, "link");
    json_int_t refused = nd_integer(json_object_get(link, "turned_away"), "unproven");
    const char *peer = peer_of(pair, i);

    if (!json_is_false(json_object_get(json_object_get(s, "peer"), "connected")))
        return;
    if (peer && strcmp(nd_text(s, "state", ""), "JOINING") == 0)
        fprintf(out, "; no connection to %s", peer);
    if (refused > 0)
        fprintf(out, "; %" JSON_INTEGER_FORMAT " connections did not prove that they are %s%s%s", refused,
                peer ? peer : "a node", peer ? "'s" : " of this file",
                strcmp(nd_text(link, "sealed", ""), "key") == 0 ? ": do both nodes have one key?" : "");
}

/* Who waits for a peer that fits has it in its reason; who serves has not. */
static void print_differs(const struct nd_pair *pair, unsigned i, FILE *out)
{
    const char *differs = nd_text(json_object_get(pair->status[i], "peer"), "differs", NULL),
               *peer = peer_of(pair, i);

    if (differs && strcmp(nd_text(pair->status[i], "state", ""), "JOINING") != 0)
        fprintf(out, "; %s differs: %s", peer ? peer : "the peer", differs);
}

/* How soon a READY standby takes over from a primary that is silent. */
static void print_detection(const json_t *status, FILE *out)
{
    const json_t *d = json_object_get(status, "detection");

    if (!json_is_object(d))
        return;
    fprintf(out, "; detect %.0f ms", nd_number(d, "ms"));
    if (nd_is_true(d, "measured"))
        fprintf(out, " (measured; longest silence %.0f ms)", nd_number(d, "longest_silence_ms"));
}

static void print_damping(const json_t *status, FILE *out)
{
    const json_t *d = json_object_get(status, "damping");
    json_int_t doubled = nd_integer(d, "doubled");

    if (doubled)
        fprintf(
            out,
            "; a primary that was alive was taken over from: the shortest silence that counts is %u times "
            "as long for %.0f min more",
            1u << doubled, nd_number(d, "left_s") / 60);
    if (nd_number(d, "back_off_s") > 0)
        fprintf(out, "; its standby is taken back in %.0f s", nd_number(d, "back_off_s"));
}

/* Not of a standby that was given up: that is why it is SOLO. */
static void print_slow(const json_t *status, FILE *out)
{
    const json_t *s = json_object_get(status, "slow");

    if (nd_text(s, "cause", NULL) && strcmp(nd_text(status, "state", ""), "PROTECTED") == 0)
        fprintf(out, "; waited for its standby %.0f %% of a second (allowed: %.0f), %s",
                nd_number(s, "percent"), nd_number(s, "allowed"), nd_text(s, "cause", ""));
}

static void print_quarantine(const struct nd_pair *pair, unsigned i, FILE *out)
{
    const json_t *q = json_object_get(pair->status[i], "quarantine");

    if (json_is_object(q) && strcmp(nd_text(pair->status[i], "role", ""), "primary") == 0)
        fprintf(out,
                "; drops frames that a node crashed on in NF %s for %.0f s more, %" JSON_INTEGER_FORMAT
                " so far",
                nd_text(q, "nf", "?"), nd_number(q, "left_s"), nd_integer(q, "dropped"));
}

static void print_bypassed(const json_t *status, FILE *out)
{
    const json_t *name;
    size_t n;

    json_array_foreach(json_object_get(status, "bypassed"), n, name)
        fprintf(out, "; NF %s is bypassed", json_string_value(name));
}

static void print_node(const struct nd_pair *pair, unsigned i, FILE *out)
{
    const json_t *s = pair->status[i];

    fprintf(out, "%-10s", pair->config->node[i].name);
    if (!s) {
        fprintf(out, "  no answer: %s\n", pair->why[i].text);
        return;
    }
    fprintf(out, "  %-8s  %-10s", nd_text(s, "role", "-"),
            stale_of(pair, i) ? "STALE" : nd_text(s, "state", "-"));
    for (size_t c = 0; c < COLUMNS; c++)
        print_number(out, json_object_get(s, columns[c].key), columns[c].width);
    fprintf(out, "  %s", nd_text(s, "why", ""));
    if (nd_integer(s, "view_unwritten_ms") > 0)
        fprintf(out, "; its view has not been on the disk for %" JSON_INTEGER_FORMAT " ms",
                nd_integer(s, "view_unwritten_ms"));
    print_no_connection(pair, i, out);
    print_differs(pair, i, out);
    print_detection(s, out);
    print_damping(s, out);
    print_slow(s, out);
    print_quarantine(pair, i, out);
    print_bypassed(s, out);
    if (nd_is_true(json_object_get(s, "export"), "loses"))
        fprintf(out, "; events of the log of flows are lost, %" JSON_INTEGER_FORMAT " so far",
                nd_integer(json_object_get(s, "export"), "lost"));
    if (nd_text(s, "asked_through", NULL))
        fprintf(out, "; said through node %s, %.0f ms ago", nd_text(s, "asked_through", ""),
                nd_number(s, "age_ms"));
    fputc('\n', out);
}

/* ---- lanes ------------------------------------------------------------------------------------- */

static int column_width(const char *name)
{
    return strlen(name) > 9 ? (int)strlen(name) : 9;
}

static void print_lane(const char *node, const json_t *lane, json_t *counters, FILE *out)
{
    const char *name;
    json_t *value;

    fprintf(out, "%-10s", node);
    print_number(out, json_object_get(lane, "lane"), 4);
    fprintf(out, "  %-7s", nd_text(lane, "doing", "-"));
    json_object_foreach(counters, name, value)
        print_number(out, json_object_get(lane, name), column_width(name));
    fputc('\n', out);
}

static void print_lanes(const struct nd_pair *pair, FILE *out)
{
    json_t *counters = json_object(); /* those that are not zero on some lane, in the node's order */
    json_t *lanes[ND_PAIR], *lane, *value;
    const char *name;
    size_t l, total = 0;

    for (unsigned i = 0; i < ND_PAIR; i++) {
        lanes[i] = json_object_get(pair->status[i], "lanes");
        total += json_array_size(lanes[i]);
        json_array_foreach(lanes[i], l, lane) json_object_foreach(lane, name, value)
        {
            if (strcmp(name, "lane") != 0 && json_integer_value(value) != 0)
                json_object_set(counters, name, value);
        }
    }
    if (total) {
        fprintf(out, "\n%-10s  lane  %-7s", "node", "doing");
        json_object_foreach(counters, name, value) fprintf(out, "  %*s", column_width(name), name);
        fputc('\n', out);
    }
    for (unsigned i = 0; i < ND_PAIR; i++)
        json_array_foreach(lanes[i], l, lane) print_lane(pair->config->node[i].name, lane, counters, out);
    json_decref(counters);
}

/* ---- tables ------------------------------------------------------------------------------------ */

static double fill_of(const json_t *table)
{
    return 100 * nd_number(table, "entries") / nd_number(table, "limit");
}

/* Of the node that is judged: entries of all lanes, and how full the fullest lane's part is. */
static void print_tables(const struct nd_pair *pair, FILE *out)
{
    json_t *tables = json_object_get(judged_status(pair), "tables"), *table, *lane;
    const char *name;
    size_t l;

    if (json_object_size(tables))
        fprintf(out, "\n%-30s  %10s  %10s   full\n", "table", "entries", "limit");
    json_object_foreach(tables, name, table)
    {
        double fullest = fill_of(table);

        json_array_foreach(json_object_get(table, "lanes"), l, lane) fullest =
            fill_of(lane) > fullest ? fill_of(lane) : fullest;
        fprintf(out, "%-30s  %10.0f  %10.0f  %4d %%\n", name, nd_number(table, "entries"),
                nd_number(table, "limit"), (int)fullest);
    }
}

/* ---- nodes ------------------------------------------------------------------------------------- */

/* The node that does not answer and is primary, by the word of its peer that does; -1: none. */
static int primary_elsewhere(const struct nd_pair *pair)
{
    for (int i = 0; i < (int)ND_PAIR; i++) {
        const json_t *peer = json_object_get(pair->status[i], "peer");
        const char *state = nd_text(peer, "state", "");

        if (pair->status[!i] || !nd_is_true(peer, "connected"))
            continue;
        if (strcmp(state, "PROTECTED") == 0 || strcmp(state, "SOLO") == 0 || strcmp(state, "DEGRADED") == 0)
            return !i;
    }
    return -1;
}

/* A node that answers reports that nothing seals its link. */
static bool is_insecure(const struct nd_pair *pair)
{
    for (unsigned i = 0; i < ND_PAIR; i++)
        if (strcmp(nd_text(json_object_get(pair->status[i], "link"), "sealed", ""), "no") == 0)
            return true;
    return false;
}

/* Two programs, while one of the nodes is upgraded and the other is not yet. */
static void print_versions(const struct nd_pair *pair, FILE *out)
{
    for (unsigned i = 0; i < ND_PAIR; i++) {
        const json_t *peer = json_object_get(pair->status[i], "peer");
        const char *own = nd_text(pair->status[i], "version", ""), *other = nd_text(peer, "version", own);

        if (strcmp(own, other) == 0)
            continue;
        fprintf(out, "node %s runs understudy %s, node %s %s", pair->config->node[i].name, own,
                pair->config->node[!i].name, other);
        if (json_is_integer(json_object_get(peer, "format")))
            fprintf(out, "; they speak format %" JSON_INTEGER_FORMAT, nd_integer(peer, "format"));
        fputc('\n', out);
        return;
    }
}

/* As the primary reports it, and, where it has another view, as the standby does. */
static void print_not_whole(const struct nd_pair *pair, FILE *out)
{
    unsigned first = nd_pair_in_role(pair, "primary") == 1;
    const char *said = not_whole_of(pair, first), *other = not_whole_of(pair, !first);

    if (said)
        fprintf(out, "%s\n", said);
    if (other && (!said || strcmp(said, other) != 0))
        fprintf(out, "%s\n", other);
}

/* What a pair that is PROTECTED has lost beside a node: a way of two, a keeper. By the node that is judged.
 */
static void print_lost(const struct nd_pair *pair, FILE *out)
{
    const json_t *status = judged_status(pair), *name, *way,
                 *ways = json_object_get(json_object_get(status, "link"), "ways");
    bool connected = nd_is_true(json_object_get(status, "peer"), "connected");
    size_t i;

    json_array_foreach(ways, i, way) if (connected && !nd_is_true(way, "stands"))
        fprintf(out, "way %s is lost\n", nd_text(way, "way", "?"));
    json_array_foreach(json_object_get(json_object_get(status, "inputs"), "unheard"), i, name)
        fprintf(out, "keeper %s is not heard\n", json_string_value(name));
}

/* Where the verdict is another one than the node's state, its reason is printed in place of the state. */
static void print_subject(const struct nd_pair *pair, int node, FILE *out)
{
    const json_t *status = pair->status[node];
    const char *state = nd_text(status, "state", "in no known state"), *primary;
    bool ready = strcmp(state, "READY") == 0, well = ready || strcmp(state, "PROTECTED") == 0;

    fprintf(out, "node %s is ", pair->config->node[node].name);
    primary = ready ? state_of_primary(status) : "PROTECTED";
    if (!primary)
        fprintf(out, "%s and does not reach its primary", state);
    else if (strcmp(primary, "PROTECTED") != 0)
        fprintf(out, "%s and its primary %s", state, primary);
    else if (well && (stale_of(pair, 0) || stale_of(pair, 1)))
        fprintf(out, "%s, a thread of node %s is stuck", nd_text(status, "role", "-"),
                pair->config->node[!stale_of(pair, 0)].name);
    else if (well && (not_whole_of(pair, 0) || not_whole_of(pair, 1)))
        fprintf(out, "%s, data ports are not whole", nd_text(status, "role", "-"));
    else
        fprintf(out, "%s", state);
}

/* An arbiter that does not answer takes nothing from a pair that is well, and all from one that is cut. */
static void print_arbiter(const struct nd_pair *pair, FILE *out)
{
    for (unsigned i = 0; i < ND_PAIR; i++) {
        const json_t *a = json_object_get(pair->status[i], "arbiter");
        const char *node = pair->config->node[i].name;

        if (json_is_false(json_object_get(a, "answers")))
            fprintf(out, "node %s: the arbiter does not answer: %s\n", node,
                    nd_text(a, "last_failure", "it was not asked yet"));
        else if (nd_is_true(a, "later"))
            fprintf(out, "node %s: the arbiter keeps a later view than this pair's\n", node);
    }
}

#define ARBITER_WORDS 96u

/* The arbiter's state, by the node that is judged. "": there is none, or it has not answered yet. */
static const char *arbiter_words(char out[ARBITER_WORDS], const json_t *status)
{
    const json_t *a = json_object_get(status, "arbiter"), *kept = json_object_get(a, "kept");

    out[0] = '\0';
    if (json_is_false(json_object_get(a, "answers")))
        snprintf(out, ARBITER_WORDS, ", arbiter does not answer");
    else if (nd_is_true(a, "later"))
        snprintf(out, ARBITER_WORDS, ", arbiter keeps a later view");
    else if (kept && json_is_object(kept))
        snprintf(out, ARBITER_WORDS, ", arbiter keeps view %" JSON_INTEGER_FORMAT "%s%.40s",
                 nd_integer(kept, "view"), nd_text(kept, "winner", NULL) ? ", won by " : "",
                 nd_text(kept, "winner", ""));
    return out;
}

void nd_pair_print_verdict(const struct nd_pair *pair, FILE *out)
{
    int node = nd_pair_judged(pair);
    const json_t *status = judged_status(pair);
    int elsewhere = status ? -1 : primary_elsewhere(pair);
    const char *insecure = is_insecure(pair) ? ", link INSECURE" : "";
    char mode[ND_MODE_TEXT], arbiter[ARBITER_WORDS];

    fprintf(out, "%s  chain %s, ", verdict_of(pair), pair->config->chain.name);
    if (status) {
        print_subject(pair, node, out);
        fprintf(out, ", %s%s%s\n",
                nd_mode_text(mode, nd_text(status, "mode", "unknown"), nd_text(status, "mode_asked", ""),
                             nd_text(status, "mode_decided_by", "")),
                arbiter_words(arbiter, status), insecure);
    } else if (elsewhere >= 0)
        fprintf(out, "node %s (elsewhere) is primary%s\n", pair->config->node[elsewhere].name, insecure);
    else
        fprintf(out, "%s%s\n", pair->status[0] || pair->status[1] ? "no node is primary" : "no node answers",
                insecure);
    for (unsigned i = 0; i < ND_PAIR; i++)
        if (stale_of(pair, i))
            fprintf(out, "node %s: %s\n", pair->config->node[i].name, stale_of(pair, i));
    print_not_whole(pair, out);
    print_lost(pair, out);
    print_arbiter(pair, out);
    print_versions(pair, out);
}

static void print_counter(const char *node, const json_t *counter, const char *why, FILE *out)
{
    if (json_is_integer(counter))
        fprintf(out, " %" JSON_INTEGER_FORMAT " (%s%s%s)", json_integer_value(counter), node,
                why[0] ? ": " : "", why);
    else
        fprintf(out, " - (%s)", node);
}

/* Which node is to be primary, by the node that is judged: both counters, the operator's order, and what they
 * do. */
static void print_authority(const struct nd_pair *pair, FILE *out)
{
    int node = nd_pair_judged(pair);
    const json_t *status = judged_status(pair), *a = json_object_get(status, "authority");
    const char *order = nd_text(a, "maintenance", "free"), *pinned = nd_text(a, "pinned_to", NULL);

    if (!a || strcmp(nd_text(status, "mode", ""), "off") == 0)
        return;
    fprintf(out, "counter");
    print_counter(pair->config->node[node].name, json_object_get(a, "counter"), nd_text(a, "counter_why", ""),
                  out);
    print_counter(pair->config->node[!node].name, json_object_get(a, "peer_counter"),
                  nd_text(a, "peer_counter_why", ""), out);
    if (nd_text(a, "stays", NULL))
        fprintf(out, "; the role stays: %s", nd_text(a, "stays", ""));
    fputc('\n', out);
    if (strcmp(order, "free") != 0)
        fprintf(out, "%s%s%s since %s, by an operator%s\n", order, pinned ? " to " : "", pinned ? pinned : "",
                nd_text(a, "maintenance_since", "-"),
                nd_is_true(a, "peer_knows") ? "" : "; the other node does not know it yet");
}

static bool is_member(const json_t *status, const char *node)
{
    const json_t *members = json_object_get(status, "members");
    bool any = false;

    for (size_t i = 0; i < json_array_size(members); i++) {
        const char *name = json_string_value(json_array_get(members, i));

        any |= name && strcmp(name, node) == 0;
    }
    return any;
}

/* Another standby that was asked for; and a node outside the pair that sends it a hello. */
static void print_repair(const struct nd_pair *pair, FILE *out)
{
    const json_t *status = judged_status(pair), *repair = json_object_get(status, "repair"),
                 *visitor = json_object_get(status, "visitor");
    const char *differs = nd_text(visitor, "differs", NULL);

    if (nd_is_true(repair, "under_way"))
        fprintf(out, "re-pair with node %s: %s\n", nd_text(repair, "node", "?"),
                nd_text(repair, "waits", ""));
    if (json_is_object(visitor) && !is_member(status, nd_text(visitor, "node", "")))
        fprintf(out, "node %s, which is no member, said hello %.0f s ago%s%s\n",
                nd_text(visitor, "node", "?"), nd_number(visitor, "age_ms") / 1000,
                differs ? "; it differs: " : "", differs ? differs : "");
}

/* What a node remembers, whatever its state has become since. */
static void print_past(const struct nd_pair *pair, unsigned i, FILE *out)
{
    static const struct {
        const char *key, *title;
    } past[] = {{"takeover", "last takeover"}, {"standby_lost", "last loss"}, {"fenced", "last fence"}};

    for (size_t p = 0; p < sizeof(past) / sizeof(past[0]); p++) {
        const json_t *o = json_object_get(pair->status[i], past[p].key);

        if (!json_is_object(o))
            continue;
        fprintf(out, "node %s: %s %s, view %" JSON_INTEGER_FORMAT ": ", pair->config->node[i].name,
                past[p].title, nd_text(o, "at", "-"), nd_integer(o, "view"));
        if (nd_text(o, "why", NULL))
            fprintf(out, "%s\n", nd_text(o, "why", ""));
        else
            fprintf(out, "%s had taken over\n", nd_text(o, "by", "the peer"));
    }
}

/* A change that goes back by itself. */
static void print_confirm(const struct nd_pair *pair, FILE *out)
{
    const json_t *chain = json_object_get(judged_status(pair), "chain"),
                 *left = json_object_get(chain, "confirm_s");

    if (json_is_integer(left))
        fprintf(out,
                "the chain, changed by %s, goes back in %" JSON_INTEGER_FORMAT
                " s, unless `confirm` is said\n",
                nd_text(chain, "changed_by", "?"), json_integer_value(left));
}

/* What is known of both states being equal, by the node that is judged. */
static void print_verified(const struct nd_pair *pair, FILE *out)
{
    const json_t *status = judged_status(pair);
    const json_t *v = json_object_get(status, "verified"), *age = json_object_get(v, "age_s");
    const json_t *diverged = json_object_get(status, "diverged");

    if (!v || strcmp(nd_text(status, "mode", ""), "off") == 0)
        return;
    if (json_is_number(age))
        fprintf(out, "verified: all of the state was equal %.0f s ago", json_number_value(age));
    else
        fprintf(out, "verified: not yet");
    fprintf(out, "; %.0f slices equal, %.0f different\n", nd_number(v, "equal"), nd_number(v, "different"));
    if (json_is_object(diverged))
        fprintf(out, "diverged: %.0f times, last %s\n", nd_number(diverged, "count"),
                nd_text(diverged, "last", "not by a slice"));
}

/* Which way the log goes, where lanes have a port of their own; by the node that is judged. */
static void print_link_port(const struct nd_pair *pair, FILE *out)
{
    static const struct {
        const char *state, *words;
    } of[] = {{"carries", "the log goes by the lanes' port %.*s\n"},
              {"open", "the log goes by the link; the lanes' port %.*s is heard\n"},
              {"silent", "the log goes by the link: the lanes' port %.*s is silent\n"},
              {"off", "the lanes' port %.*s waits until the pair is PROTECTED\n"}};
    int node = nd_pair_judged(pair);
    const char *device = node >= 0 ? pair->config->node[node].link_port : "",
               *state = nd_text(json_object_get(judged_status(pair), "link"), "port", "");

    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
        if (strcmp(state, of[i].state) == 0)
            fprintf(out, of[i].words, (int)strcspn(device, ","), device);
}

void nd_pair_print(const struct nd_pair *pair, FILE *out)
{
    nd_pair_print_verdict(pair, out);
    fprintf(out, "%-10s  %-8s  %-10s", "node", "role", "state");
    for (size_t c = 0; c < COLUMNS; c++)
        fprintf(out, "  %*s", columns[c].width, columns[c].title);
    fprintf(out, "  why\n");
    for (unsigned i = 0; i < pair->config->nodes; i++)
        if (pair->only < 0 || pair->only == (int)i)
            print_node(pair, i, out);
    print_repair(pair, out);
    for (unsigned i = 0; i < ND_PAIR; i++)
        print_past(pair, i, out);
    print_authority(pair, out);
    print_confirm(pair, out);
    print_verified(pair, out);
    print_link_port(pair, out);
    print_tables(pair, out);
    print_lanes(pair, out);
}
