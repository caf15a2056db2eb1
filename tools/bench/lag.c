/* SPDX-License-Identifier: Apache-2.0 */
/* How far behind the standby was, second by second, for people and for programs. */
#include "tools/bench/bench.h"
#include "tools/pair/columns.h"

#define OF(field) offsetof(struct nd_bench_sample, field)

static const struct nd_column columns[] = {
    ND_REAL(NULL, "second", OF(second), 0, 0),
    ND_REAL("Mpps", "mpps", OF(mpps), 8, 3),
    ND_WHOLE("not ackd", "unacknowledged_bursts", OF(unacknowledged), 9),
    ND_WHOLE("not repl.", "unreplayed_bursts", OF(unreplayed), 9),
    ND_WHOLE("packets", "packets", OF(packets), 9),
    {"unsent MB", "unsent_bytes", ND_COLUMN_WHOLE, OF(unsent_bytes), 9, 2, 1e-6, ""},
    {"unrepl MB", "unreplayed_bytes", ND_COLUMN_WHOLE, OF(unreplayed_bytes), 9, 2, 1e-6, ""},
    ND_WHOLE("held", "held", OF(held), 8),
    ND_WHOLE("waits", "waits", OF(waits), 8),
    ND_WHOLE("credit", "credit_waits", OF(credit_waits), 8),
    ND_REAL("prim. MB", "primary_mb", OF(resident_mb), 8, 1),
    ND_REAL("stby MB", "standby_mb", OF(standby_resident_mb), 8, 1),
    {.title = NULL},
};

/* The largest of each figure. */
static struct nd_bench_sample most_of(const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = {0};

    for (unsigned i = 0; i < lag->count; i++)
        nd_columns_most(&most, columns, &lag->sample[i]);
    return most;
}

void nd_bench_print_lag(FILE *out, const char *name, const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = most_of(lag);

    nd_columns_titles(out, columns, name, 14);
    nd_columns_row(out, columns, "most", 14, &most);
    nd_columns_row(out, columns, "last", 14, &lag->sample[lag->count - 1]);
    fprintf(out,
            "at saturation, once a second for %u s; bursts not acknowledged, acknowledged and not replayed; "
            "packets "
            "recorded and\nnot known to be replayed; MB of records not sent, sent and not known to be "
            "replayed; waits, "
            "credit: in a second, turns\nin which a lane did not receive, times the sender waited for the "
            "standby\n\n",
            lag->count);
}

static json_t *sample_object(const struct nd_bench_sample *sample)
{
    json_t *o = json_object();

    nd_columns_json(o, columns, sample);
    return o;
}

json_t *nd_bench_lag_object(const struct nd_bench_lag *lag)
{
    struct nd_bench_sample most = most_of(lag);
    json_t *samples = json_array();

    for (unsigned i = 0; i < lag->count; i++)
        json_array_append_new(samples, sample_object(&lag->sample[i]));
    return json_pack("{s:I, s:o, s:o, s:o}", "seconds", (json_int_t)lag->count, "most", sample_object(&most),
                     "last", sample_object(&lag->sample[lag->count ? lag->count - 1 : 0]), "samples",
                     samples);
}
