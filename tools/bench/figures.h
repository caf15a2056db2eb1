/* SPDX-License-Identifier: Apache-2.0 */
/* What the runs of a protection came to, as figures in tables; text and JSON walk the same columns. */
#ifndef TOOLS_BENCH_FIGURES_H
#define TOOLS_BENCH_FIGURES_H

#include "tools/bench/bench.h"
#include "tools/pair/columns.h"

/* Medians over the pairs, where nothing else is said. */
struct nd_bench_figures {
    double overhead_pct, overhead_ns; /* of the pairs' ratios and differences */
    double overhead_spread;           /* half of the range between the ratios' quartiles, in percent */
    struct nd_bench_result with;      /* the fields that the columns name */
    double takeover, takeover_p90, takeover_worst, replayed,
        replayed_worst;                       /* ms; negative: there was none */
    const char *limit;                        /* "lane" or "second": which core had more to do */
    uint64_t lag, lag_late;                   /* packets, the most of all pairs, in each half of the time */
    uint64_t waits, credit_waits;             /* means */
    uint64_t takeovers, takeover_load, lanes; /* as in the row, the options and the load */
};

void nd_bench_figures(struct nd_bench_figures *out, const struct nd_bench_row *row,
                      const struct nd_bench_options *o, unsigned lanes);
extern const struct nd_column nd_bench_cost_columns[], nd_bench_resource_columns[];

/* At a load. */
struct nd_bench_load_figures {
    uint64_t load; /* percent of saturation */
    struct nd_bench_latency off, with;
    double added_p50, added_p99, added_most; /* us */
};

void nd_bench_load_figures(struct nd_bench_load_figures *out, const struct nd_bench_row *row, unsigned load);
extern const struct nd_column nd_bench_latency_columns[], nd_bench_work_columns[];

#endif
