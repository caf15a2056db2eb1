/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that grow as a capture or a log is read. */
#ifndef TOOLS_PAIR_GROW_H
#define TOOLS_PAIR_GROW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Makes room for `wanted` entries of `size` bytes in *list, a malloc()ed list of *room entries (NULL of 0),
 * doubling it from `first` on. False: no memory, and the list is as it was. */
static inline bool nd_grow(void **list, uint64_t *room, uint64_t wanted, size_t size, uint64_t first)
{
    uint64_t more = *room ? *room : first;
    void *larger;

    while (more < wanted)
        more *= 2;
    if (more == *room)
        return true;
    larger = realloc(*list, more * size);
    if (!larger)
        return false;
    *list = larger;
    *room = more;
    return true;
}

#endif
