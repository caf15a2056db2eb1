/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an NF was before its chain was changed: its old instance, and the old region, which lies at another
 * address meanwhile. Made by the chain (nflib/chain/change.c), read by module->carry.
 */
#ifndef NFLIB_MODULE_WAS_H
#define NFLIB_MODULE_WAS_H

#include "nflib/module/module.h"

struct nf_was {
    const void *config; /* the module's config struct before */
    const void *state;  /* can be read */
    int64_t moved;      /* bytes from where pointers in the old state lead to where that is now */
    bool same;          /* the memory is laid out as before, and all but constants has been copied */
};

/* Where something is now that a pointer in the old state leads to. */
static inline const void *nf_was_at(const struct nf_was *was, const void *p)
{
    return (const uint8_t *)p + was->moved;
}

#endif
