/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands that are one request to one node: verify, promote, drain, resync, failback. */
#include "node/commands.h"
#include "node/pair.h"

#include <stdlib.h>

/* What a node said beyond done: its text, or all of it. */
static void print_answer(const char *command, const json_t *answer)
{
    const char *text = nd_text(answer, "text", NULL);
    char *all = text || !json_object_size(answer) ? NULL : json_dumps(answer, JSON_COMPACT);

    printf("%s: %s\n", command, text ? text : all ? all : "done");
    free(all);
}

static int act(int argc, char **argv, const char *role, int timeout_ms)
{
    struct nd_pair pair;
    json_t *answer;
    int code = nd_pair_open(&pair, argc, argv, ND_OPT_FILE | ND_OPT_NODE | ND_OPT_JSON, 0, 0, "");

    if (code)
        return code;
    code = nd_pair_request(&pair, role, json_pack("{s:s}", "cmd", argv[0]), timeout_ms, &answer);
    if (!code) {
        if (pair.options.json)
            code = nd_print_json(answer);
        else
            print_answer(argv[0], answer);
        json_decref(answer);
    }
    nd_pair_close(&pair);
    return code;
}

int nd_cmd_promote(int argc, char **argv)
{
    return act(argc, argv, "standby", ND_ACTION_MS);
}

int nd_cmd_drain(int argc, char **argv)
{
    return act(argc, argv, "primary", ND_ACTION_MS);
}

int nd_cmd_resync(int argc, char **argv)
{
    return act(argc, argv, "primary", ND_ACTION_MS);
}

int nd_cmd_failback(int argc, char **argv)
{
    return act(argc, argv, "primary", ND_ACTION_MS);
}

static void print_verdict(const json_t *answer, bool equal)
{
    const json_t *at = json_object_get(answer, "at");
    char *where = json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY);
    char *digests =
        equal ? NULL : json_dumps(json_object_get(answer, "digests"), JSON_COMPACT | JSON_ENCODE_ANY);

    printf("%s", equal ? "EQUAL" : "DIFFERENT");
    if (where)
        printf("  at %s", where);
    if (digests)
        printf("  digests %s", digests);
    printf("\n");
    free(where);
    free(digests);
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
