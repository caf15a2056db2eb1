/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes say of themselves, with an exit code for scripts (status), and what is one request to one
 * node (verify, promote, drain, resync, failback).
 */
#include "node/control/pair.h"

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
