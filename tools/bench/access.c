/* SPDX-License-Identifier: Apache-2.0 */
/* bench --access: how long one access to state takes, in the region and in Redis. Measured by redis/access.c.
 */
#include "tools/bench/bench.h"
#include "cli/options.h"

#define SAMPLES 2000u /* of each kind of access, a second of --seconds */

struct row {
    const char *where, *access;
    struct nd_redis_times times; /* ns */
};

static const struct nd_column columns[] = {
    ND_TEXT_COLUMN(NULL, "state", offsetof(struct row, where), 0),
    ND_TEXT_COLUMN("access", "access", offsetof(struct row, access), -6),
    ND_REAL("mean", "mean_ns", offsetof(struct row, times.mean), 10, 1),
    ND_REAL("p50", "p50_ns", offsetof(struct row, times.p50), 10, 1),
    ND_REAL("p99", "p99_ns", offsetof(struct row, times.p99), 10, 1),
    {.title = NULL},
};

static void print_times(FILE *out, const struct row rows[], unsigned count, const struct nd_redis_access *a,
                        const struct nd_bench_options *o)
{
    nd_columns_titles(out, columns, "state", 14);
    for (unsigned i = 0; i < count; i++)
        nd_columns_row(out, columns, rows[i].where, 14, &rows[i]);
    fprintf(out, "times in ns, %lu entries; ", o->wish.flows);
    fprintf(out,
            "keys of 16 bytes, values of 24, in random order; local and async: of the mean of 64, async in "
            "one batch; shared:\nof two lanes, section and lock included; what is cached is read here, and "
            "written as without a cache\n%s\n",
            a->settings);
}

int nd_bench_access(const struct nd_bench_options *o)
{
    static struct nd_redis_access a;
    struct ft_fault fault = {""};

    if (o->wish.flows > 1u << 20)
        return nd_usage("bench", "--access with --flows %lu, expected %u at most", o->wish.flows, 1u << 20);
    if (nd_redis_access(&a, (uint32_t)o->wish.flows, (uint32_t)(SAMPLES * o->seconds) + 1, &fault) != 0) {
        fprintf(stderr, "understudy bench: %s\n", fault.text);
        return ND_SOFTWARE;
    }

    const struct row rows[] = {
        {"map", "read", a.local_read},
        {"map", "write", a.local_write},
        {"shared map", "read", a.shared_read},
        {"shared map", "write", a.shared_write},
        {"shared number", "read", a.word_read},
        {"shared number", "add", a.word_add},
        {"redis, cached", "read", a.local_read},
        {"redis, sync", "read", a.remote_read},
        {"redis, sync", "write", a.remote_write},
        {"redis, sync", "add", a.remote_add},
        {"redis, async", "read", a.piped_read},
        {"redis, async", "write", a.piped_write},
        {"redis, async", "add", a.piped_add},
    };
    const unsigned count = sizeof(rows) / sizeof(rows[0]);
    json_t *list = o->json ? json_array() : NULL;

    print_times(o->json ? stderr : stdout, rows, count, &a, o);
    if (!o->json)
        return ND_DONE;
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, nd_columns_object(columns, &rows[i]));
    return nd_bench_print_list(
        json_pack("{s:I, s:s}", "entries", (json_int_t)o->wish.flows, "settings", a.settings), "access",
        list);
}
