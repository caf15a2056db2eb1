/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: protected, flows opened, then saturation, the lag, the latencies (bench/measure.c), then the kill
 * (bench/takeover.c); or the standby's state against the primary's.
 */
#include "tools/bench/parts.h"

#include <string.h>

static bool has_rested(struct nd_bench_nodes *r)
{
    for (unsigned n = 0; n < ND_NODES; n++)
        if (r->pid[n] && !atomic_load(&r->slot[n]->status.rested))
            return false;
    return true;
}

/* All lanes stop when nothing is under way; what both then hold must be the same. */
static int compare_state(struct nd_bench_nodes *r, struct nd_bench_result *out, struct ft_fault *fault)
{
    bool replays = !r->alone && !r->plan->config->protect.stores;
    int error;

    error = nd_bench_quieten(r, fault);
    /* The standby first: it would take over from a primary that ends. */
    for (unsigned n = r->alone ? 1 : 2; n-- > 0 && !error;)
        atomic_store(&r->slot[n]->status.wish, ND_MEMBER_REST);
    if (!error)
        error = nd_bench_wait(r, has_rested, "coming to rest", fault);
    out->region_mb = (double)atomic_load(&r->slot[0]->region_bytes) / 1e6;
    out->resident_mb = (double)atomic_load(&r->slot[0]->resident_bytes) / 1e6;
    out->standby_resident_mb = (double)atomic_load(&r->slot[1]->resident_bytes) / 1e6;
    if (!error && replays &&
        atomic_load(&r->slot[0]->status.digest) != atomic_load(&r->slot[1]->status.digest))
        error = ft_fail(fault, FT_EDIVERGED,
                        "the standby's state after burst %lu is not the primary's after burst %lu",
                        atomic_load(&r->slot[1]->shared[0].report.executed),
                        atomic_load(&r->slot[0]->shared[0].report.executed));
    return error;
}

/* What the sink found. */
static int check_sink(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    uint64_t gaps = ND_BENCH_SUM(r, 0, lane, gaps), bad = ND_BENCH_SUM(r, 0, lane, bad);

    if (gaps)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs did not follow the one before", gaps,
                       ND_BENCH_SUM(r, 0, lane, released));
    if (bad)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs looked at have a wrong length or checksum",
                       bad, ND_BENCH_SUM(r, 0, lane, sampled));
    return 0;
}

int nd_bench_run(struct nd_bench_result *out, const struct nd_bench_plan *plan, struct ft_fault *fault)
{
    struct nd_bench_nodes r = {
        .plan = plan, .lanes = plan->config->chain.lanes, .alone = !plan->config->protect.pair};
    double mpps = plan->takeover_mpps;
    int error;

    *out = (struct nd_bench_result){.takeover_ms = -1};
    error = nd_bench_start(&r, fault);
    if (!error) {
        memcpy(out->settings, r.slot[0]->settings, sizeof(out->settings));
        error = nd_bench_open(&r, fault);
    }
    if (!error && plan->seconds > 0) {
        error = nd_bench_saturate(&r, out, fault);
        mpps = out->mpps * plan->takeover_load / 100;
    }
    if (!error && plan->lag && !r.alone)
        error = nd_bench_watch(&r, plan->lag, fault);
    for (unsigned i = 0; i < ND_BENCH_LOADS && !error && plan->saturation > 0; i++)
        error = nd_bench_latency(&r, &out->latency[i], plan->saturation * nd_bench_loads[i] / 100, fault);
    if (!error) {
        out->realtime = atomic_load(&r.slot[0]->realtime);
        error = check_sink(&r, fault);
    }
    if (!error)
        error =
            plan->kill && !r.alone ? nd_bench_take_over(&r, out, mpps, fault) : compare_state(&r, out, fault);
    nd_bench_end(&r);
    return error;
}
