/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of a protection, each beside one of `off` a moment before: what slows the machine for seconds slows
 * both, and their ratio is compared, not the figures of different minutes.
 */
#include "node/bench.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define REST 0.2 /* s before a measurement */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Linear between the two nearest; sorts. */
static double quantile(double values[], unsigned count, double share)
{
    double at = share * (count - 1);
    unsigned low = (unsigned)at;

    if (count == 0)
        return 0;
    qsort(values, count, sizeof(values[0]), ascending);
    return low + 1 < count ? values[low] + (at - low) * (values[low + 1] - values[low]) : values[count - 1];
}

double nd_bench_median(const struct nd_bench_result runs[], unsigned count, size_t offset)
{
    double values[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < count; i++)
        values[i] = *(const double *)((const char *)&runs[i] + offset);
    return quantile(values, count, 0.5);
}

void nd_bench_overhead(const struct nd_bench_row *row, double *percent, double *ns, double *spread)
{
    double costs[ND_BENCH_PAIRS], more[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < row->pairs; i++) {
        costs[i] = (1 - row->with[i].mpps / row->off[i].mpps) * 100;
        more[i] = row->with[i].ns - row->off[i].ns;
    }
    *percent = quantile(costs, row->pairs, 0.5);
    *spread = (quantile(costs, row->pairs, 0.75) - quantile(costs, row->pairs, 0.25)) / 2;
    *ns = quantile(more, row->pairs, 0.5);
}

int nd_bench_pairs(struct nd_bench_row *row, const struct nd_config *config, const struct nd_load *load,
                   const struct nd_bench_options *o, struct ft_fault *fault)
{
    const struct nd_bench_protection none = {.name = "off", .mode = ND_MODE_OFF};
    struct nd_config off, with;
    struct nd_bench_plan without = {.config = &off,
                                    .load = load,
                                    .seconds = o->seconds,
                                    .rest = REST,
                                    .seed = o->wish.seed},
                         plan = without;
    int error = 0;

    nd_bench_adapt(&off, config, &none);
    nd_bench_adapt(&with, config, &row->protection);
    plan.config = &with;
    for (unsigned i = 0; i < o->pairs && !error; i++) {
        plan.kill = i > 0; /* the first one compares states */
        error = nd_bench_run(&row->off[i], &without, fault);
        if (!error)
            error = nd_bench_run(&row->with[i], &plan, fault);
        row->pairs += !error;
        if (!error && row->with[i].settings[0])
            memcpy(row->protection.settings, row->with[i].settings, sizeof(row->protection.settings));
        fputc('.', stderr);
    }
    if (error || o->no_latency || nd_bench_is_off(&row->protection))
        return error;
    plan.kill = true;
    plan.saturation = without.saturation =
        nd_bench_median(row->with, row->pairs, offsetof(struct nd_bench_result, mpps));
    error = nd_bench_run(&row->off_late, &without, fault);
    if (!error)
        error = nd_bench_run(&row->with_late, &plan, fault);
    row->late = !error;
    return error;
}
