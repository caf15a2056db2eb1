/* SPDX-License-Identifier: Apache-2.0 */
/* bench --access: how long one access to state takes, in the region and in Redis. Measured by redis/access.c.
 */
#include "tools/bench/bench.h"
#include "node/control/client.h"
#include "node/control/pair.h"

#include <stddef.h>

#define SAMPLES 2000u /* of each kind of access, a second of --seconds */

static const struct row {
    const char *where, *access;
    size_t at;
} rows[] = {
#define ROW(where, access, field)                                                                            \
    {                                                                                                        \
        where, access, offsetof(struct nd_redis_access, field)                                               \
    }
    ROW("map", "read", local_read),
    ROW("map", "write", local_write),
    ROW("shared map", "read", shared_read),
    ROW("shared map", "write", shared_write),
    ROW("shared number", "read", word_read),
    ROW("shared number", "add", word_add),
    ROW("redis, cached", "read", local_read),
    ROW("redis, sync", "read", remote_read),
    ROW("redis, sync", "write", remote_write),
    ROW("redis, sync", "add", remote_add),
    ROW("redis, async", "read", piped_read),
    ROW("redis, async", "write", piped_write),
    ROW("redis, async", "add", piped_add),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct nd_redis_times *times_of(const struct nd_redis_access *a, const struct row *row)
{
    return (const struct nd_redis_times *)((const char *)a + row->at);
}

static void print(FILE *out, const struct nd_redis_access *a, const struct nd_bench_options *o)
{
    fprintf(out, "%-14s %-6s %10s %10s %10s   ns, %lu entries\n", "state", "access", "mean", "p50", "p99",
            o->wish.flows);
    for (size_t i = 0; i < ROWS; i++) {
        const struct nd_redis_times *t = times_of(a, &rows[i]);

        fprintf(out, "%-14s %-6s %10.1f %10.1f %10.1f\n", rows[i].where, rows[i].access, t->mean, t->p50,
                t->p99);
    }
    fprintf(out,
            "keys of 16 bytes, values of 24, in random order; local and async: of the mean of 64, async in "
            "one batch; "
            "shared:\nof two lanes, section and lock included; what is cached is read here, and written as "
            "without a "
            "cache\n%s\n",
            a->settings);
}

static int print_json(const struct nd_redis_access *a, const struct nd_bench_options *o)
{
    json_t *list = json_array(), *all;
    char machine[256];
    int code;

    nd_bench_machine(machine, sizeof(machine));
    for (size_t i = 0; i < ROWS; i++) {
        const struct nd_redis_times *t = times_of(a, &rows[i]);

        json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:f, s:f}", "state", rows[i].where, "access",
                                              rows[i].access, "mean_ns", t->mean, "p50_ns", t->p50, "p99_ns",
                                              t->p99));
    }
    all = json_pack("{s:s, s:I, s:s, s:o}", "machine", machine, "entries", (json_int_t)o->wish.flows,
                    "settings", a->settings, "access", list);
    code = all ? nd_print_json(all) : ND_SOFTWARE;
    json_decref(all);
    return code;
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
    print(o->json ? stderr : stdout, &a, o);
    return o->json ? print_json(&a, o) : ND_DONE;
}
