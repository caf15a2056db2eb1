/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes say of themselves, with an exit code for scripts (status), and what is one request to one
 * node: verify, promote, drain, resync, failback, apply, push; set and clear, changes to the state of an NF;
 * pin, hold and unpin, an operator's order to one node, which tells the other.
 */
#include "cli/pair.h"

#include <string.h>

/* ---- status ------------------------------------------------------------------------------------- */

/* One object, of the node that counts. What it knows of the other node is in it as `peer`; without -n what
 * the other one says of itself is `other`. */
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
    for (unsigned i = 0; i < ND_NODES; i++)
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
    bool equal = json_is_true(json_object_get(answer, "equal"));
    json_t *digests = json_object_get(answer, "digests"), *digest;
    const char *node;

    printf("%s  after burst %" JSON_INTEGER_FORMAT, equal ? "EQUAL" : "DIFFERENT",
           json_integer_value(json_object_get(answer, "at")));
    json_object_foreach(digests, node, digest)
    {
        if (!equal)
            printf(", node %s %s", node, json_is_string(digest) ? json_string_value(digest) : "-");
    }
    printf("\n");
}

/* One line, of the node that was asked. */
static void print_answer(const struct nd_pair *pair, const char *command, const json_t *answer)
{
    const char *node = pair->config->node[pair->only].name, *other = pair->config->node[!pair->only].name;
    json_int_t view = json_integer_value(json_object_get(answer, "view"));

    if (strcmp(command, "verify") == 0)
        print_verdict(answer);
    else if (strcmp(command, "resync") == 0)
        printf("resync: node %s sends node %s the whole state again\n", node, other);
    else if (strcmp(command, "apply") == 0 || strcmp(command, "push") == 0)
        printf("%s: node %s: %s\n", command, node, nd_text(answer, "text", "done"));
    else if (strcmp(command, "promote") == 0)
        printf("promote: node %s is primary, view %" JSON_INTEGER_FORMAT ": %s\n", node, view,
               nd_text(answer, "why", "promoted"));
    else
        printf("%s: node %s has handed over to node %s, view %" JSON_INTEGER_FORMAT "\n", command, node,
               other, view);
}

int nd_cmd_act(int argc, char **argv)
{
    struct nd_pair pair;
    json_t *answer;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    code = nd_pair_request(&pair, strcmp(argv[0], "promote") == 0 ? "standby" : "primary",
                           json_pack("{s:s}", "cmd", argv[0]), ND_ACTION_MS, &answer);
    if (!code) {
        if (pair.options.json)
            code = nd_print_json(answer);
        else
            print_answer(&pair, argv[0], answer);
        if (!code && strcmp(argv[0], "verify") == 0 && !json_is_true(json_object_get(answer, "equal")))
            code = ND_NOT_EQUAL;
        json_decref(answer);
    }
    nd_pair_close(&pair);
    return code;
}

/* ---- set, clear --------------------------------------------------------------------------------- */

static int send_change(struct nd_pair *pair, json_t *request)
{
    json_t *answer;
    int code;

    if (!request)
        return nd_usage(NULL, "an argument that is not UTF-8, expected text");
    code = nd_pair_request(pair, "primary", request, ND_ACTION_MS, &answer);
    if (!code && pair->options.json)
        code = nd_print_json(answer);
    else if (!code)
        printf("%s: done\n", nd_text(answer, "change", "change"));
    json_decref(answer);
    return code;
}

int nd_cmd_set(int argc, char **argv)
{
    struct nd_pair pair;
    const char *what, *equals;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    what = pair.options.argv[1];
    equals = strchr(what, '=');
    if (!equals || equals == what)
        code = nd_usage("set", "%.40s, expected KEY=VALUE", what);
    else
        code = send_change(&pair, json_pack("{s:s, s:s, s:s%, s:s}", "cmd", "set", "nf", pair.options.argv[0],
                                            "key", what, (size_t)(equals - what), "value", equals + 1));
    nd_pair_close(&pair);
    return code;
}

int nd_cmd_clear(int argc, char **argv)
{
    struct nd_pair pair;
    const char *key;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    key = pair.options.argc > 1 ? pair.options.argv[1] : NULL;
    code = send_change(&pair,
                       json_pack("{s:s, s:s, s:s?}", "cmd", "clear", "nf", pair.options.argv[0], "key", key));
    nd_pair_close(&pair);
    return code;
}

/* ---- pin, hold, unpin --------------------------------------------------------------------------- */

/* The node of -n, else the primary, else any that answers: both keep the order. */
static const char *whom(struct nd_pair *pair)
{
    if (pair->only >= 0)
        return "primary";
    nd_pair_ask_status(pair);
    return nd_pair_in_role(pair, "primary") < 0 && nd_pair_in_role(pair, "standby") >= 0 ? "standby"
           : nd_pair_in_role(pair, "primary") < 0 && nd_pair_in_role(pair, "none") >= 0  ? "none"
                                                                                         : "primary";
}

static void print_order(const struct nd_pair *pair, const char *command, const json_t *answer)
{
    const char *asked = pair->config->node[pair->only].name, *other = pair->config->node[!pair->only].name;

    printf("%s: the role is %s", command, nd_text(answer, "role", "?"));
    if (json_is_true(json_object_get(answer, "peer_knows")))
        printf("; both nodes know it\n");
    else
        printf("; node %s knows it, and tells node %s when they meet\n", asked, other);
}

int nd_cmd_maintain(int argc, char **argv)
{
    bool pins = strcmp(argv[0], "pin") == 0;
    struct nd_pair pair;
    json_t *request, *answer;
    int code = nd_pair_open(&pair, argc, argv);

    if (code)
        return code;
    if (pins && nd_config_node(pair.config, pair.options.argv[0]) < 0) {
        code = nd_usage(argv[0], "no node \"%.40s\" in this file, expected %s or %s", pair.options.argv[0],
                        pair.config->node[0].name, pair.config->node[1].name);
        nd_pair_close(&pair);
        return code;
    }
    request = pins ? json_pack("{s:s,s:s}", "cmd", argv[0], "node", pair.options.argv[0])
                   : json_pack("{s:s}", "cmd", argv[0]);
    code = nd_pair_request(&pair, whom(&pair), request, ND_STATUS_MS, &answer);
    if (!code) {
        if (pair.options.json)
            code = nd_print_json(answer);
        else
            print_order(&pair, argv[0], answer);
        json_decref(answer);
    }
    nd_pair_close(&pair);
    return code;
}
