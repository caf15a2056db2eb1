/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stand: an NF for tests whose lane stands on request. `set stand at_once=MS` stands in the command,
 * `soon=MS` in its timers, where it may stand for less than three seconds.
 */
#include "nflib/nf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void stand(uint64_t ms)
{
    nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)packets;
    (void)n;
    (void)now;
}

static void timers(struct nf *nf, uint64_t now)
{
    const uint64_t *ms = nf->state;
    uint64_t wanted = *ms;

    (void)now;
    *NF_EDIT(nf, ms) = 0;
    stand(wanted);
}

static int set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    const uint64_t *ms = nf->state;

    (void)fault;
    if (strcmp(key, "at_once") == 0) {
        stand(strtoul(value, NULL, 10));
        return 0;
    }
    *NF_EDIT(nf, ms) = strtoul(value, NULL, 10);
    nf_wake(nf, now + 1);
    return 0;
}

static int clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    char *end;

    (void)now;
    if (!key)
        return 0;
    if (strtoul(key, &end, 10) == nf->lane && !*end)
        return 0;
    return *end ? ft_fail(fault, FT_EINVAL, "%s: expected a number", key)
                : ft_fail(fault, FT_ENOENT, "%s: no such entry", key);
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    (void)cursor;
    nf_row(out);
    nf_row_u64(out, "ms", *(const uint64_t *)nf->state);
    return false;
}

static const struct nf_param params[] = {{0}};

static const struct nf_module standing = {
    .name = "stand",
    .summary = "for tests: its lane stands",
    .reads = NF_READS_HEADERS,
    .params = params,
    .state_size = sizeof(uint64_t),
    .process = process,
    .timers = timers,
    .set = set,
    .clear = clear,
    .show = show,
};
NF_MODULE(standing)
