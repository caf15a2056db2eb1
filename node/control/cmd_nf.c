/* SPDX-License-Identifier: Apache-2.0 */
/* understudy set, clear: changes to the state of an NF in the running chain. */
#include "node/control/pair.h"

#include <string.h>

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
