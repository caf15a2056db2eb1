/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a map of a YAML file against a table and fills a struct. The same engine and the same tables (struct
 * nf_param) serve the file's own sections and the parameters of NFs, those from outside the tree included.
 * Every refusal is one line, "FILE:LINE: what, what was expected".
 */
#ifndef NODE_CONFIG_SCHEMA_H
#define NODE_CONFIG_SCHEMA_H

#include "nflib/net/addr.h"
#include "nflib/nf.h"
#include "understudy/config/yaml.h"

/* Kinds for the file's own sections, beside enum nf_param_kind. Preset "": the key may be absent. */
enum nd_kind {
    ND_TEXT = 64,  /* char[max]: the text with its terminator fits */
    ND_NAME,       /* char[max]: letters, digits, - and _ */
    ND_NETWORK,    /* struct nf_net: A.B.C.D/N, host bits refused */
    ND_NETWORK46,  /* the same of either family; an entry of NF_NETWORKS */
    ND_INTERFACE,  /* struct nf_net with all bits of the address: A.B.C.D/N, N 1 … 32 */
    ND_INTERFACE6, /* the same of IPv6, N 1 … 128 */
    ND_ADDRESS,    /* struct nf_addr, of either family */
    ND_HOP,        /* struct nd_hop: the same, a link-local one with %INTERFACE */
    ND_MAC,        /* uint8_t[6], unicast; absent: zeros */
    ND_HOST,       /* char[max]: A.B.C.D, as text */
    ND_HOST_PORT,  /* the same, and its uint16_t behind: A.B.C.D:PORT; see ND_PORT_BEHIND */
    ND_PORT,       /* uint16_t, min … max */
    ND_ANY,        /* const struct nd_yaml *, for the caller to read; absent: NULL */
    ND_MAP,        /* the same, but must be a map */
    ND_PATH,       /* const char *: of a readable file, which is not read here */
    ND_PLACE,      /* char[max]: a path, seen from where the file lies; whatever is there, or nothing */
    ND_LIST,       /* the same, but must be a list of at most max entries */
};
#define ND_KIND(kind) ((enum nf_param_kind)(kind))

struct nd_hop {
    struct nf_addr addr;
    char interface[32]; /* "": the address decides it */
};

/* Where a row's value goes that the caller reads himself, of the map: it is checked, and not kept. */
#define ND_UNKEPT SIZE_MAX
#define ND_PORT_BEHIND(type, host, port)                                                                     \
    _Static_assert(offsetof(type, port) == offsetof(type, host) + sizeof(((type *)0)->host),                 \
                   "as rows write it")

/* Reads `map` into `out`, which must be zeroed; texts go to `arena`. `what` names the section in messages,
 * NULL for the file as a whole. FT_EMALFORMED with position, or FT_ENOMEM; then `out` holds nothing to be
 * freed. */
int nd_schema_read(struct nd_arena *arena, const struct nd_yaml *map, const char *what,
                   const struct nf_param *table, void *out, struct ft_fault *fault);

/* One value, outside a map (an entry of a list), as `param` describes it; `out` is where it goes. */
int nd_schema_value(struct nd_arena *arena, const struct nd_yaml *value, const char *what,
                    const struct nf_param *param, void *out, struct ft_fault *fault);

/* The name in `names` (NULL-terminated) that `text` was likely meant to be: it begins alike, and has one slip
 * for three letters at most. NULL: none is near. */
const char *nd_schema_nearest(const char *text, const char *const *names);

/* Adds a network of either family, without host bits, to a set that has room. */
bool nd_parse_network(const char *text, struct nf_networks *set);

#endif
