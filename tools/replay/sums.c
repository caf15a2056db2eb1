/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of bursts; see sums.h. */
#include "tools/replay/sums.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int nd_sums_open(struct nd_sums *s, uint64_t bursts, unsigned lanes, unsigned nfs, struct ft_fault *fault)
{
    uint64_t half = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2, bytes;

    *s = (struct nd_sums){.bursts = bursts, .lanes = lanes, .words = nfs + 2};
    bytes = 2 * lanes * bursts * s->words * sizeof(*s->at);
    if (bytes <= half) {
        s->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (s->at != MAP_FAILED)
            return 0;
        s->at = NULL;
    }
    return ft_fail(
        fault, FT_ENOMEM,
        "the audit's digests of %lu bursts take %lu MB, expected %lu at most: --fast goes without, or "
        "replay a part of the capture",
        bursts, bytes >> 20, half >> 20);
}

/* All 0: nobody has executed the burst. NULL: it is none of this capture. */
static uint64_t *find_burst(const struct nd_sums *s, bool replayed, unsigned lane, uint64_t burst)
{
    return s->at && burst < s->bursts
               ? s->at + (((uint64_t)replayed * s->lanes + lane) * s->bursts + burst) * s->words
               : NULL;
}

/* Where the audit has what is kept as word `word`. */
static unsigned nf_of(const struct nd_sums *s, unsigned word)
{
    return word + 1 < s->words ? word : FT_NFS_MAX;
}

void nd_sums_note(const struct nd_sums *s, bool replayed, unsigned lane, uint64_t burst,
                  const uint64_t of[FT_AUDIT_SUMS])
{
    uint64_t *to = find_burst(s, replayed, lane, burst);

    for (unsigned w = 0; to && w < s->words; w++)
        to[w] = of[nf_of(s, w)];
}

bool nd_sums_differ(const struct nd_sums *s, bool replayed, unsigned lane, uint64_t burst,
                    const uint64_t of[FT_AUDIT_SUMS], uint16_t *nf)
{
    const uint64_t *noted = find_burst(s, replayed, lane, burst);

    if (!noted || !noted[0]) /* each burst edits what is the lane's own */
        return false;
    for (unsigned i = 1; i <= s->words; i++) {
        unsigned word = i % s->words;

        *nf = (uint16_t)nf_of(s, word);
        if (noted[word] != of[*nf])
            return true;
    }
    return false;
}
