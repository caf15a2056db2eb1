/* SPDX-License-Identifier: Apache-2.0 */
/* The pair's status for people: one verdict, one line a node, one line a lane. */
#include "node/pair.h"

#include <inttypes.h>
#include <string.h>

static void print_number(FILE *out, const json_t *value, int width)
{
    if (json_is_number(value))
        fprintf(out, "  %*.0f", width, json_number_value(value));
    else
        fprintf(out, "  %*s", width, "-");
}

static void print_node(const struct nd_pair *pair, unsigned i, FILE *out)
{
    const json_t *s = pair->status[i];

    fprintf(out, "%-10s", pair->config->node[i].name);
    if (!s) {
        fprintf(out, "  no answer: %s\n", pair->why[i].text);
        return;
    }
    fprintf(out, "  %-8s  %-10s", nd_text(s, "role", "-"), nd_text(s, "state", "-"));
    print_number(out, json_object_get(s, "since_s"), 9);
    print_number(out, json_object_get(s, "view"), 5);
    print_number(out, json_object_get(s, "lag_packets"), 8);
    print_number(out, json_object_get(s, "held_packets"), 8);
    print_number(out, json_object_get(s, "log_bytes"), 12);
    fprintf(out, "  %s\n", nd_text(s, "why", ""));
}

static void print_lanes(const json_t *status, FILE *out)
{
    const json_t *lanes = json_object_get(status, "lanes");

    for (size_t i = 0; i < json_array_size(lanes); i++) {
        json_t *lane = json_array_get(lanes, i), *value;
        const char *key;

        fprintf(out, "  lane %zu:", i);
        json_object_foreach(lane, key, value)
        {
            if (json_is_string(value))
                fprintf(out, " %s %s", key, json_string_value(value));
            else if (json_is_integer(value))
                fprintf(out, " %s %" JSON_INTEGER_FORMAT, key, json_integer_value(value));
            else if (json_is_real(value))
                fprintf(out, " %s %.3f", key, json_real_value(value));
            else if (json_is_boolean(value))
                fprintf(out, " %s %s", key, json_is_true(value) ? "yes" : "no");
        }
        fputc('\n', out);
    }
}

static void print_verdict(const struct nd_pair *pair, FILE *out)
{
    int node = pair->only >= 0 ? pair->only : nd_pair_in_role(pair, "primary");
    const json_t *status = node >= 0 ? pair->status[node] : NULL;

    fprintf(out, "%s  chain %s", nd_pair_exit(pair) == ND_DONE ? "PROTECTED" : "NOT PROTECTED",
            pair->config->chain.name);
    if (status)
        fprintf(out, ", node %s is %s\n", pair->config->node[node].name,
                nd_text(status, "state", "in no known state"));
    else
        fprintf(out, ", %s\n", pair->status[0] || pair->status[1] ? "no node is primary" : "no node answers");
}

void nd_pair_print(const struct nd_pair *pair, FILE *out)
{
    print_verdict(pair, out);
    fprintf(out, "%-10s  %-8s  %-10s  %9s  %5s  %8s  %8s  %12s  %s\n", "node", "role", "state", "since_s",
            "view", "lag", "held", "log_bytes", "why");
    for (unsigned i = 0; i < ND_NODES; i++) {
        if (pair->only >= 0 && pair->only != (int)i)
            continue;
        print_node(pair, i, out);
        print_lanes(pair->status[i], out);
    }
}
