/* SPDX-License-Identifier: Apache-2.0 */
/* understudy keeper status: what a keeper reports of itself, for people and for programs. */
#include "understudy/config/choose.h"
#include "understudy/control/client.h"

#include <stdio.h>

/* Who is fed by it. */
static const char *work_of(const json_t *o)
{
    const json_t *node;
    bool heard = false;
    size_t i;

    json_array_foreach(json_object_get(o, "nodes"), i, node) heard |=
        json_is_true(json_object_get(node, "heard"));
    return !heard                                        ? "feeds nobody: no node is heard"
           : !json_is_true(json_object_get(o, "active")) ? "waits"
           : json_is_true(json_object_get(o, "feeds"))   ? "active"
                                                         : "feeds nobody: no node says that it is primary";
}

static void print_status(const json_t *o)
{
    const char *key;
    json_t *value, *node;
    size_t i;

    printf("keeper %s: %s\n", json_string_value(json_object_get(o, "keeper")), work_of(o));
    json_array_foreach(json_object_get(o, "nodes"), i, node)
        printf("node %s: %s%s\n", json_string_value(json_object_get(node, "name")),
               json_is_true(json_object_get(node, "heard")) ? "heard" : "not heard",
               json_is_true(json_object_get(node, "primary")) ? ", primary" : "");
    json_object_foreach((json_t *)(uintptr_t)o, key, value) if (json_is_integer(value))
        printf("%-14s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
}

int nd_keeper_status(const struct nd_options *options)
{
    struct nd_config *config;
    json_t *request, *o = NULL;
    struct ft_fault fault;
    unsigned place;
    int code = nd_choose_keeper(&config, &place, options), error;

    if (code)
        return code;
    request = json_pack("{s:s}", "cmd", "status");
    error = nd_ask(config->keeper[place].control, request, 2000, &o, NULL, &fault);
    json_decref(request);
    nd_config_free(config);
    if (error) {
        fprintf(stderr, "understudy keeper: %s\n", fault.text);
        return nd_exit_of(error);
    }
    code = json_is_null(json_object_get(o, "primary")) ? ND_UNPROTECTED : ND_DONE;
    if (options->json)
        json_dumpf(o, stdout, JSON_COMPACT), putchar('\n');
    else
        print_status(o);
    json_decref(o);
    return code;
}
