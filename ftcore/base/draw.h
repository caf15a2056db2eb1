/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence of 64-bit numbers from a seed: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom
 * number generators, OOPSLA 2014). For seeding and for whoever chooses on behalf of a test or a measurement;
 * NFs draw from their lane's generator in the region (nflib/nf.h).
 */
#ifndef FTCORE_BASE_DRAW_H
#define FTCORE_BASE_DRAW_H

#include <stdint.h>

/* The next number; *sequence is the seed first, and owned by the caller. */
static inline uint64_t ft_draw(uint64_t *sequence)
{
    uint64_t z = (*sequence += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

#endif
