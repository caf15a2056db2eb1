/* SPDX-License-Identifier: Apache-2.0 */
/* How far behind the standby was, second by second, for people and for programs. */
#include "tools/bench/bench.h"
#include "node/control/pair.h"

#define MOST(field) out->field = s->field > out->field ? s->field : out->field

void nd_bench_lag_most(const struct nd_bench_lag *lag, struct nd_bench_sample *out)
{
    *out = (struct nd_bench_sample){0};
    for (unsigned i = 0; i < lag->count; i++) {
        const struct nd_bench_sample *s = &lag->sample[i];

        MOST(mpps);
        MOST(unacknowledged);
        MOST(unreplayed);
        MOST(unsent_bytes);
        MOST(unreplayed_bytes);
        MOST(packets);
        MOST(held);
        MOST(waits);
        MOST(credit_waits);
        MOST(resident_mb);
        MOST(standby_resident_mb);
        out->second = s->second;
    }
}

static void line(FILE *out, const char *what, const struct nd_bench_sample *s)
{
    fprintf(out, "%-14s %8.3f %9lu %9lu %9lu %9.2f %9.2f %8lu %8lu %8lu %8.1f %8.1f\n", what, s->mpps,
            s->unacknowledged, s->unreplayed, s->packets, (double)s->unsent_bytes / 1e6,
            (double)s->unreplayed_bytes / 1e6, s->held, s->waits, s->credit_waits, s->resident_mb,
            s->standby_resident_mb);
}

void nd_bench_print_lag(FILE *out, const char *name, const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most;

    nd_bench_lag_most(lag, &most);
    fprintf(out, "%-14s %8s %9s %9s %9s %9s %9s %8s %8s %8s %8s %8s\n", name, "Mpps", "not ackd", "not repl.",
            "packets", "unsent MB", "unrepl MB", "held", "waits", "credit", "prim. MB", "stby MB");
    line(out, "most", &most);
    line(out, "last", &lag->sample[lag->count - 1]);
    fprintf(out,
            "at saturation, once a second for %u s; bursts not acknowledged, acknowledged and not replayed; "
            "packets "
            "recorded and\nnot known to be replayed; MB of records not sent, sent and not known to be "
            "replayed; waits, "
            "credit: in a second, turns\nin which a lane did not receive, times the sender waited for the "
            "standby\n\n",
            lag->count);
}

static json_t *sample(const struct nd_bench_sample *s)
{
    return json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "second", s->second,
                     "mpps", s->mpps, "unacknowledged_bursts", (json_int_t)s->unacknowledged,
                     "unreplayed_bursts", (json_int_t)s->unreplayed, "unsent_bytes",
                     (json_int_t)s->unsent_bytes, "unreplayed_bytes", (json_int_t)s->unreplayed_bytes,
                     "packets", (json_int_t)s->packets, "held", (json_int_t)s->held, "waits",
                     (json_int_t)s->waits, "credit_waits", (json_int_t)s->credit_waits, "primary_mb",
                     s->resident_mb, "standby_mb", s->standby_resident_mb);
}

json_t *nd_bench_lag_object(const struct nd_bench_lag *lag)
{
    json_t *samples = json_array();
    struct nd_bench_sample most;

    nd_bench_lag_most(lag, &most);
    for (unsigned i = 0; i < lag->count; i++)
        json_array_append_new(samples, sample(&lag->sample[i]));
    return json_pack("{s:I, s:o, s:o, s:o}", "seconds", (json_int_t)lag->count, "most", sample(&most), "last",
                     sample(&lag->sample[lag->count ? lag->count - 1 : 0]), "samples", samples);
}
