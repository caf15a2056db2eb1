/* SPDX-License-Identifier: Apache-2.0 */
/* See stop.h. */
#include "tools/replay/stop.h"

#include <stddef.h>

/* `used`: no code of this program reads or calls them. */
__attribute__((used)) uintptr_t nd_stop_entry;
__attribute__((used)) const struct nf_packet *nd_stop_packet;

__attribute__((noinline, used)) void nd_stop_here(void)
{
    __asm__ volatile("" ::: "memory");
}

void nd_stop_before(uintptr_t entry, const struct nf_packet *packet)
{
    nd_stop_entry = entry;
    nd_stop_packet = packet;
    nd_stop_here();
}

__attribute__((noinline, used)) const void *nd_stop_slot(struct nf_packet *const list[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == nd_stop_packet)
            return &list[i];
    return NULL;
}
