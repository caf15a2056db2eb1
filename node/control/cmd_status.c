/* SPDX-License-Identifier: Apache-2.0 */
/* understudy status: what the nodes say of themselves, and an exit code for scripts. */
#include "node/control/commands.h"
#include "node/control/pair.h"

/* The view of the node that counts, with what the other one says, if it does not say so itself. */
static int print_json(struct nd_pair *pair)
{
    int node = pair->only >= 0 ? pair->only : nd_pair_in_role(pair, "primary");
    json_t *view, *other;

    if (node < 0)
        node = pair->status[0] ? 0 : 1;
    view = pair->status[node];
    if (!view)
        return ND_NO_ANSWER;
    other = pair->status[!node];
    if (other && !json_is_object(json_object_get(view, "peer")))
        json_object_set(view, "peer", other);
    return nd_print_json(view);
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
    int code = nd_pair_open(&pair, argc, argv, ND_OPT_FILE | ND_OPT_NODE | ND_OPT_JSON, 0, 0, "");

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
