/* SPDX-License-Identifier: Apache-2.0 */
/* pin, hold and unpin: an operator's order to one node, which tells the other. */
#include "node/control/pair.h"

#include <string.h>

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
