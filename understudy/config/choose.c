/* SPDX-License-Identifier: Apache-2.0 */
/* Which node, or keeper, of a file a command line means. See choose.h. */
#include "understudy/config/choose.h"
#include "ftcore/base/event_log.h"
#include "understudy/base/interface.h"

#include <stdio.h>

const char *nd_node_names(const struct nd_config *config, const char *name, char out[ND_CHOICE_TEXT])
{
    size_t at = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < config->nodes; i++)
        at += (size_t)snprintf(out + at, ND_CHOICE_TEXT - at, "%s%s",
                               i == 0                   ? ""
                               : i + 1 == config->nodes ? " or "
                                                        : ", ",
                               config->node[i].name);
    if (name && nd_config_keeper(config, name) >= 0)
        snprintf(out + at, ND_CHOICE_TEXT - at, ": %.31s is a keeper (see understudy keeper --help)", name);
    return out;
}

int nd_local_node(const struct nd_config *config)
{
    int found = -1;

    for (unsigned i = 0; i < config->nodes; i++)
        if (nd_address_here(config->node[i].host))
            found = found == -1 ? (int)i : -2;
    return found < 0 ? -1 : found;
}

int nd_choose_node(const struct nd_config *config, const struct nd_options *o, const char *what,
                   char out[ND_CHOICE_TEXT])
{
    char names[ND_CHOICE_TEXT];

    if (o->node)
        snprintf(out, ND_CHOICE_TEXT, "%.200s: no node '%.40s', expected %.600s", o->file, o->node,
                 nd_node_names(config, o->node, names));
    else if (config->nodes > ND_PAIR)
        snprintf(out, ND_CHOICE_TEXT,
                 "%.200s: %swhich node? Not just one of %.600s has an address of this host, expected -n NAME",
                 o->file, what, nd_node_names(config, o->node, names));
    else
        snprintf(
            out, ND_CHOICE_TEXT,
            "%s: %swhich node? Not just one of %s (%s) and %s (%s) has an address of this host, expected "
            "-n NAME",
            o->file, what, config->node[0].name, config->node[0].host, config->node[1].name,
            config->node[1].host);
    return o->node ? nd_config_node(config, o->node) : nd_local_node(config);
}

int nd_choose_keeper(struct nd_config **config, unsigned *place, const struct nd_options *o)
{
    struct ft_fault fault;
    int found;
    int error = nd_config_read(config, o->file, ND_CONFIG_NODES | (o->argc ? ND_CONFIG_QUIET : 0), &fault);

    if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return nd_exit_of_file(error);
    }
    found = o->node ? nd_config_keeper(*config, o->node) : (*config)->keepers == 1 ? 0 : -1;
    *place = (unsigned)found;
    if (found >= 0)
        return 0;
    if ((*config)->keepers && !o->node)
        error = nd_usage("keeper", "%s has two keepers, expected -n %s or %s", o->file,
                         (*config)->keeper[0].name, (*config)->keeper[1].name);
    else if ((*config)->keepers)
        error = nd_usage("keeper", "no keeper %.31s in %s, expected %s%s%s", o->node, o->file,
                         (*config)->keeper[0].name, (*config)->keepers > 1 ? " or " : "",
                         (*config)->keeper[1].name);
    else
        error = nd_usage("keeper", "%s has no keepers, expected keepers: { NAME: … }", o->file);
    nd_config_free(*config);
    return error;
}
