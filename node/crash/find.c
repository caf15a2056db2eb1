/* SPDX-License-Identifier: Apache-2.0 */
/* Which packet a value is an address of; see find.h. */
#include "node/crash/find.h"

#define LISTS 2048u /* bytes of the chain's frames in which its lists lie */

uint32_t nd_crash_find(const struct nf_packet *packets, uint32_t n, uint64_t value)
{
    uint64_t at = (uint64_t)(uintptr_t)packets, size = sizeof(*packets);

    if (value >= at && value < at + n * size)
        return 1u << (value - at) / size;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t data = (uint64_t)(uintptr_t)packets[i].data;

        if (value >= data && value < data + packets[i].have)
            return 1u << i;
    }
    return 0;
}

uint32_t nd_crash_find_struct(const struct nf_packet *packets, uint32_t n, uint64_t value)
{
    uint64_t at = (uint64_t)(uintptr_t)packets, size = sizeof(*packets);

    return value >= at && value < at + n * size && (value - at) % size == 0 ? 1u << (value - at) / size : 0;
}

__attribute__((no_sanitize_address)) uint32_t nd_crash_find_in_list(const struct nf_packet *packets,
                                                                    uint32_t n, uint64_t stack,
                                                                    uint64_t value)
{
    const uint64_t *place = (const uint64_t *)(uintptr_t)value;

    if (value % 8 || value < stack + 8 || value >= stack + LISTS ||
        !nd_crash_find_struct(packets, n, place[-1]))
        return 0;
    return nd_crash_find_struct(packets, n, *place);
}

/* What the compiler of a test keeps around variables is read as well. */
__attribute__((no_sanitize_address)) uint32_t nd_crash_find_on_stack(const struct nf_packet *packets,
                                                                     uint32_t n, uint64_t from,
                                                                     uint64_t until)
{
    uint32_t found = 0;

    for (uint64_t at = (from + 7) & ~7ull; at + 8 <= until; at += 8)
        found |= nd_crash_find(packets, n, *(const uint64_t *)(uintptr_t)at);
    return found;
}
