/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands that are one request to one node: verify, promote, drain, resync, failback. */
#include "node/control/commands.h"
#include "node/control/pair.h"

#include <string.h>

/* One line, of the node that was asked. */
static void print_answer(const struct nd_pair *pair, const char *command, const json_t *answer)
{
    const char *node = pair->config->node[pair->only].name, *other = pair->config->node[!pair->only].name;
    json_int_t view = json_integer_value(json_object_get(answer, "view"));

    if (strcmp(command, "resync") == 0)
        printf("resync: node %s sends node %s the whole state again\n", node, other);
    else if (strcmp(command, "promote") == 0)
        printf("promote: node %s is primary, view %" JSON_INTEGER_FORMAT "\n", node, view);
    else
        printf("%s: node %s has handed over to node %s, view %" JSON_INTEGER_FORMAT "\n", command, node,
               other, view);
}

int nd_cmd_act(int argc, char **argv)
{
    struct nd_pair pair;
    json_t *answer;
    int code = nd_pair_open(&pair, argc, argv, ND_OPT_FILE | ND_OPT_NODE | ND_OPT_JSON, 0, 0, "");

    if (code)
        return code;
    code = nd_pair_request(&pair, strcmp(argv[0], "promote") == 0 ? "standby" : "primary",
                           json_pack("{s:s}", "cmd", argv[0]), ND_ACTION_MS, &answer);
    if (!code) {
        if (pair.options.json)
            code = nd_print_json(answer);
        else
            print_answer(&pair, argv[0], answer);
        json_decref(answer);
    }
    nd_pair_close(&pair);
    return code;
}

static void print_verdict(const json_t *answer, bool equal)
{
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

int nd_cmd_verify(int argc, char **argv)
{
    struct nd_pair pair;
    json_t *answer;
    int code = nd_pair_open(&pair, argc, argv, ND_OPT_FILE | ND_OPT_NODE | ND_OPT_JSON, 0, 0, "");

    if (code)
        return code;
    code = nd_pair_request(&pair, "primary", json_pack("{s:s}", "cmd", "verify"), ND_ACTION_MS, &answer);
    if (!code) {
        bool equal = json_is_true(json_object_get(answer, "equal"));

        if (pair.options.json)
            code = nd_print_json(answer);
        else
            print_verdict(answer, equal);
        if (!code)
            code = equal ? ND_DONE : ND_NOT_EQUAL;
        json_decref(answer);
    }
    nd_pair_close(&pair);
    return code;
}
