/* SPDX-License-Identifier: Apache-2.0 */
/* See peer.h. */
#include "understudy/config/peer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NAMES 64u /* of peers in the life of a process; of more the last one is not kept */

static char names[NAMES][FT_NAME_MAX];
static unsigned known;
static const char *_Atomic current; /* NULL: it was not set yet */

void nd_peer_set(const char *name)
{
    unsigned i = 0;

    while (i < known && strcmp(names[i], name) != 0)
        i++;
    if (i == NAMES)
        return;
    if (i == known)
        snprintf(names[known++], FT_NAME_MAX, "%s", name);
    atomic_store(&current, names[i]);
}

const char *nd_peer_name(const struct nd_config *config, unsigned self)
{
    const char *name = atomic_load(&current);

    if (!name)
        name = self < ND_PAIR ? config->node[!self].name : "";
    return name[0] ? name : "?";
}

const struct nd_node *nd_peer_node(const struct nd_config *config, unsigned self)
{
    int node = nd_config_node(config, nd_peer_name(config, self));

    return node < 0 ? NULL : &config->node[node];
}
