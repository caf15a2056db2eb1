/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command lines of the subcommands whose options are among those that most have: configuration, node,
 * JSON. What --help, the manual page and the completion say of them is made from these tables.
 */
#include "node/control/options.h"
#include "ftcore/base/check.h"

#include <string.h>

#define FILE_ROW ND_OPTION_FILE_ROW(offsetof(struct nd_options, file), "configuration")
#define NODE_ROW ND_OPTION_NODE_ROW(offsetof(struct nd_options, node))
#define JSON_ROW ND_OPTION_JSON_ROW(offsetof(struct nd_options, json))
#define END                                                                                                  \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }

static const struct nd_option pair[] = {FILE_ROW, NODE_ROW, JSON_ROW, END};
static const struct nd_option nodes[] = {FILE_ROW, NODE_ROW, END};
static const struct nd_option check[] = {FILE_ROW,
                                         NODE_ROW,
                                         JSON_ROW,
                                         {"try", 0, ND_OPTION_FLAG, offsetof(struct nd_options, tries),
                                          .help = "open what the node would open, and close it again"},
                                         END};
static const struct nd_option json[] = {JSON_ROW, END};
static const struct nd_option none[] = {END};

const struct nd_syntax nd_common_syntaxes[] = {
    {"run", nodes, "", 0, 0},
    {"check", check, "", 0, 0},
    {"key", none, "FILE", 1, 1},
    {"version", json, "", 0, 0},
    {"help", none, "[SUBCOMMAND]", 0, 1},
    {"status", pair, "", 0, 0},
    {"watch", pair, "", 0, 0},
    {"incidents", pair, "", 0, 0},
    {"top", nodes, "", 0, 0},
    {"verify", pair, "", 0, 0},
    {"promote", pair, "", 0, 0},
    {"drain", pair, "", 0, 0},
    {"resync", pair, "", 0, 0},
    {"failback", pair, "", 0, 0},
    {"pin", pair, "NODE", 1, 1},
    {"hold", pair, "", 0, 0},
    {"unpin", pair, "", 0, 0},
    {"apply", pair, "", 0, 0},
    {"push", pair, "", 0, 0},
    {"set", pair, "NF KEY=VALUE", 2, 2},
    {"clear", pair, "NF|counters [KEY|NF]", 1, 2},
    {.command = NULL},
};

const struct nd_syntax *nd_common_syntax(const char *command)
{
    const struct nd_syntax *s = nd_common_syntaxes;

    while (s->command && strcmp(s->command, command) != 0)
        s++;
    FT_CHECK(s->command, "no table of options for %s", command);
    return s;
}

int nd_options_read(struct nd_options *o, int argc, char **argv)
{
    struct nd_arguments rest;
    int error;

    *o = (struct nd_options){.file = NULL};
    error = nd_syntax_read(nd_common_syntax(argv[0]), o, argc, argv, &rest);
    o->argc = rest.argc;
    o->argv = rest.argv;
    return error;
}
