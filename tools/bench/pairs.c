/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of a protection, each beside one of `off` a moment before: what slows the machine for seconds slows
 * both, and their ratio is compared, not the figures of different minutes.
 */
#include "tools/bench/bench.h"
#include "tools/pair/quantile.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define REST 0.2 /* s before a measurement */

double nd_bench_median(const struct nd_bench_result runs[], unsigned count, size_t offset)
{
    double values[ND_BENCH_PAIRS];

    for (unsigned i = 0; i < count; i++)
        values[i] = *(const double *)((const char *)&runs[i] + offset);
    return nd_quantile(values, count, 0.5);
}

static double saturation_of(const struct nd_bench_row *row)
{
    return nd_bench_median(row->with, row->pairs, offsetof(struct nd_bench_result, mpps));
}

static int run_one(struct nd_bench_row *row, struct nd_bench_result *out, const struct nd_bench_plan *plan,
                   struct ft_fault *fault)
{
    int error = nd_bench_run(out, plan, fault);

    if (!error && out->takeover_ms >= 0) {
        row->replayed_ms[row->takeovers] = out->replayed_ms;
        row->takeover_ms[row->takeovers++] = out->takeover_ms;
    }
    return error;
}

/* Latencies at what the protection reached, of `off` as well. */
static int run_late(struct nd_bench_row *row, struct nd_bench_plan *off, struct nd_bench_plan *with,
                    struct ft_fault *fault)
{
    int error;

    with->kill = true;
    with->saturation = off->saturation = saturation_of(row);
    error = nd_bench_run(&row->off_late, off, fault);
    if (!error)
        error = run_one(row, &row->with_late, with, fault);
    row->late = !error;
    return error;
}

/* Runs of nothing but a kill, and one that is watched. */
static int run_further(struct nd_bench_row *row, const struct nd_bench_plan *like,
                       const struct nd_bench_options *o, struct ft_fault *fault)
{
    struct nd_bench_plan plan = {.config = like->config,
                                 .load = like->load,
                                 .rest = REST,
                                 .seed = like->seed,
                                 .kill = true,
                                 .realtime = like->realtime,
                                 .takeover_mpps = saturation_of(row) * o->takeover_load / 100};
    struct nd_bench_result result;
    int error = 0;

    for (unsigned i = 0; i < o->takeovers && !error; i++)
        error = run_one(row, &result, &plan, fault);
    if (error || !o->lag)
        return error;
    row->lag.seconds = o->lag;
    plan.lag = &row->lag;
    plan.kill = false; /* at the end the standby's state must be the primary's */
    return run_one(row, &result, &plan, fault);
}

int nd_bench_pairs(struct nd_bench_row *row, const struct nd_config *config, const struct nd_load *load,
                   const struct nd_bench_options *o, struct ft_fault *fault)
{
    struct nd_bench_protection none = {.name = "off"};
    struct nd_config off, with;
    struct nd_bench_plan without = {.config = &off,
                                    .load = load,
                                    .seconds = o->seconds,
                                    .rest = REST,
                                    .takeover_load = o->takeover_load,
                                    .realtime = o->realtime,
                                    .seed = o->wish.seed},
                         plan = without;
    int error = 0;

    (void)nd_bench_protect(&none.protect, config, ND_MODE_OFF, ND_STANDBY_HOT, NULL);
    nd_bench_adapt(&off, config, &none, load->lanes);
    nd_bench_adapt(&with, config, &row->protection, load->lanes);
    plan.config = &with;
    for (unsigned i = 0; i < o->pairs && !error; i++) {
        plan.kill = i > 0; /* the first one compares states */
        error = nd_bench_run(&row->off[i], &without, fault);
        if (!error)
            error = run_one(row, &row->with[i], &plan, fault);
        row->pairs += !error;
        if (!error && row->with[i].settings[0])
            memcpy(row->protection.settings, row->with[i].settings, sizeof(row->protection.settings));
        if (isatty(STDERR_FILENO)) /* for people who wait */
            fputc('.', stderr);
    }
    if (!error && !o->no_latency && !nd_bench_is_off(&row->protection))
        error = run_late(row, &without, &plan, fault);
    if (!error && with.protect.pair)
        error = run_further(row, &plan, o, fault);
    return error;
}
