/* SPDX-License-Identifier: Apache-2.0 */
/* Whom to ask, and what an answer means for the exit code; see pair.h. */
#include "node/control/pair.h"
#include "node/base/interface.h"
#include "node/config/module_file.h"

#include <string.h>

const char *nd_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : otherwise;
}

int nd_print_json(const json_t *object)
{
    int failed = json_dumpf(object, stdout, JSON_COMPACT);

    return failed || putchar('\n') == EOF ? ND_SOFTWARE : ND_DONE;
}

int nd_pair_open(struct nd_pair *pair, int argc, char **argv)
{
    int error;

    memset(pair, 0, sizeof(*pair));
    pair->only = -1;
    error = nd_options_read(&pair->options, argc, argv);
    return error ? error : nd_pair_begin(pair, argv[0]);
}

int nd_pair_begin(struct nd_pair *pair, const char *command)
{
    struct ft_fault fault = {""};
    int error;

    error = nd_config_read(&pair->config, pair->options.file, ND_CONFIG_NODES | ND_CONFIG_QUIET, &fault);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        return nd_exit_of_file(error);
    }
    if (!pair->options.node)
        return 0;
    pair->only = nd_config_node(pair->config, pair->options.node);
    if (pair->only >= 0)
        return 0;
    error = nd_usage(command, "no node \"%.40s\" in this file, expected %s or %s", pair->options.node,
                     pair->config->node[0].name, pair->config->node[1].name);
    nd_pair_close(pair);
    return error;
}

void nd_pair_close(struct nd_pair *pair)
{
    for (unsigned i = 0; i < ND_NODES; i++)
        json_decref(pair->status[i]);
    nd_config_free(pair->config);
    memset(pair, 0, sizeof(*pair));
}

static void ask_status(struct nd_pair *pair, unsigned i)
{
    json_t *request = json_pack("{s:s}", "cmd", "status");
    json_t *refusal;

    json_decref(pair->status[i]);
    pair->error[i] =
        nd_ask(pair->config->node[i].control, request, ND_STATUS_MS, &pair->status[i], &pair->why[i]);
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
    for (unsigned i = 0; i < ND_NODES; i++)
        if (pair->only < 0 || pair->only == (int)i)
            ask_status(pair, i);
}

int nd_pair_in_role(const struct nd_pair *pair, const char *role)
{
    json_int_t view, best_view = -1;
    int best = -1;

    for (int i = 0; i < (int)ND_NODES; i++) {
        if (strcmp(nd_text(pair->status[i], "role", ""), role) != 0)
            continue;
        view = json_integer_value(json_object_get(pair->status[i], "view"));
        if (view > best_view) {
            best_view = view;
            best = i;
        }
    }
    return best;
}

int nd_pair_local(const struct nd_config *config)
{
    bool here[ND_NODES] = {nd_address_here(config->node[0].host), nd_address_here(config->node[1].host)};

    return here[0] == here[1] ? -1 : here[1];
}

/* Nobody is in the wanted role: because somebody did not answer, or because none is. */
static int report_nobody(const struct nd_pair *pair, const char *role)
{
    int silent = pair->error[0] ? 0 : pair->error[1] ? 1 : -1;

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

int nd_pair_request(struct nd_pair *pair, const char *role, json_t *request, int timeout_ms, json_t **answer)
{
    struct ft_fault fault = {""};
    const json_t *refusal;
    int node = pair->only, error;

    *answer = NULL;
    if (node < 0) {
        nd_pair_ask_status(pair);
        node = nd_pair_in_role(pair, role);
    }
    if (node < 0 && (node = nd_pair_local(pair->config)) >= 0 && !pair->status[node])
        node = -1;
    if (node < 0) {
        json_decref(request);
        return report_nobody(pair, role);
    }
    pair->only = node; /* further pages come from the same node */
    error = nd_ask(pair->config->node[node].control, request, timeout_ms, answer, &fault);
    json_decref(request);
    if (error) {
        fprintf(stderr, "understudy: node %s: %s\n", pair->config->node[node].name, fault.text);
        return nd_exit_of(error);
    }
    refusal = json_object_get(*answer, "error");
    if (!refusal)
        return 0;
    fprintf(stderr, "understudy: node %s: %s\n", pair->config->node[node].name,
            nd_text(refusal, "text", nd_text(refusal, "code", "refused")));
    error = refusal_exit(nd_text(refusal, "code", ""));
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

const char *nd_pair_stale(const struct nd_pair *pair, unsigned node)
{
    return nd_text(pair->status[node], "stale", NULL);
}

const char *nd_pair_not_whole(const struct nd_pair *pair, unsigned node)
{
    return nd_text(pair->status[node], "not_whole", NULL);
}

const char *nd_pair_primary_state(const json_t *standby)
{
    const json_t *peer = json_object_get(standby, "peer");

    return json_is_true(json_object_get(peer, "connected")) ? nd_text(peer, "state", NULL) : NULL;
}

/* Of a READY node: what it holds protects traffic that its primary lets pass. */
static int exit_of_ready(const json_t *status)
{
    const char *primary = nd_pair_primary_state(status);

    return primary ? state_exit(primary) : ND_UNPROTECTED;
}

static bool is_ready(const json_t *status)
{
    return strcmp(nd_text(status, "state", ""), "READY") == 0;
}

/* By the state of the node that counts. */
static int exit_by_state(const struct nd_pair *pair)
{
    int node = pair->only >= 0 ? pair->only : nd_pair_in_role(pair, "primary");

    if (node >= 0 && is_ready(pair->status[node]))
        return exit_of_ready(pair->status[node]);
    if (node >= 0 && pair->status[node])
        return state_exit(nd_text(pair->status[node], "state", ""));
    /* The primary is on another server: its standby knows. */
    for (unsigned i = 0; i < ND_NODES; i++)
        if (is_ready(pair->status[i]))
            return exit_of_ready(pair->status[i]);
    if (pair->status[0] || pair->status[1])
        return ND_UNPROTECTED;
    return pair->error[0] == FT_EPERM || pair->error[1] == FT_EPERM ? ND_NO_PERMISSION : ND_NO_ANSWER;
}

/* What a node says is old where a thread of it stands. */
static bool is_stale(const struct nd_pair *pair)
{
    return nd_pair_stale(pair, 0) || nd_pair_stale(pair, 1);
}

static bool is_whole(const struct nd_pair *pair)
{
    return !nd_pair_not_whole(pair, 0) && !nd_pair_not_whole(pair, 1);
}

/* What an NF is there for is not done while packets pass by it. */
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

const char *nd_pair_verdict(const struct nd_pair *pair)
{
    if (exit_by_state(pair) != ND_DONE)
        return "NOT PROTECTED";
    /* Where a thread stands nothing passes, and what its node says of ports is of before, or follows from it.
     */
    if (is_stale(pair))
        return "STALE";
    if (!is_whole(pair))
        return "NOT PROTECTED";
    return is_bypassed(pair) ? "BYPASSED" : "PROTECTED";
}
