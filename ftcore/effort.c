/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of what work takes; see effort.h. */
#include "ftcore/effort.h"

#define ENOUGH (16u << 10)  /* bytes; fewer say nothing */
#define WINDOW (1ull << 20) /* bytes after which older ones count half */
#define SPIKE  2u           /* times the mean that a piece counts at most */

void ft_effort_add(struct ft_effort *e, uint64_t bytes, uint64_t ns, bool full)
{
    uint64_t usual = e->bytes ? (uint64_t)((double)e->ns * (double)bytes / (double)e->bytes) : 0;

    if (!full && e->bytes >= ENOUGH && ns >= usual)
        return;
    e->ns += e->bytes < ENOUGH || ns < usual * SPIKE ? ns : usual * SPIKE;
    e->bytes += bytes;
    if (e->bytes > WINDOW) {
        e->ns /= 2;
        e->bytes /= 2;
    }
}

uint64_t ft_effort_cost(const struct ft_effort *e)
{
    uint64_t cost = e->bytes ? e->ns * FT_EFFORT_UNIT / e->bytes : 0;

    return e->bytes < ENOUGH ? 0 : cost ? cost : 1;
}
