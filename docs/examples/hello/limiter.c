/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limiter: lets each source inside send so many packets in a window of time and drops the rest. The example
 * of docs/writing-an-nf.md, which explains it part by part; built outside the tree by the Makefile beside it.
 */
#include "nflib/nf.h"

#include <string.h>

#define TICK (NF_SECOND / 100) /* resolution of the windows' ends */
#define DUE  64u               /* windows ended in one burst at most; the rest in the next */

/* From the configuration file; the same on both nodes, never changed. */
struct config {
    uint32_t packets, window, max_sources;
};

/* In the region. The map's slots number the wheel's timers too: one timer a source. */
struct limiter {
    struct nf_map *sources; /* IPv4 address, network order → struct source */
    struct nf_wheel *windows;
    uint32_t packets; /* may be set while the chain runs, so it is state */
};

struct source {
    uint64_t began; /* chain time of the window's first packet */
    uint64_t packets;
};

enum counter { PASSED, LIMITED, FULL, WINDOWS };
static const char *const counters[] = {"passed", "limited", "sources_full", "windows", NULL};

static const struct nf_param params[] = {
    NF_NUMBER(struct config, packets, NF_U32, 1, 1000000, "1000", "of one source in a window",
              .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct config, window, NF_SECONDS, 1, 3600, "1", "seconds from a source's first packet on"),
    NF_NUMBER(struct config, max_sources, NF_U32, 1, 1u << 20, "10000",
              "sources with an open window at most"),
    {0},
};

static uint64_t arena(const void *c)
{
    const struct config *config = c;

    return nf_map_bytes(config->max_sources, sizeof(uint32_t), sizeof(struct source)) +
           nf_wheel_bytes(config->max_sources);
}

static bool make(struct nf *nf)
{
    const struct config *config = nf->config;
    struct limiter *l = nf->state;

    l->sources = nf_map_make(nf, config->max_sources, sizeof(uint32_t), sizeof(struct source));
    l->windows = nf_wheel_make(nf, config->max_sources, TICK);
    l->packets = config->packets;
    nf_constant(nf, l, offsetof(struct limiter, packets));
    return l->sources && l->windows;
}

static int check_state(const struct nf *nf, struct nf_check *c)
{
    const struct limiter *l = nf->state;

    for (uint32_t slot = 0; slot < nf_map_capacity(l->sources); slot++)
        if (nf_map_has(l->sources, slot) != nf_wheel_has(l->windows, slot))
            return nf_check_failed(c, "source %u and its timer are not both there, expected both or none",
                                   slot);
    return 0;
}

static const struct source *source_at(const struct limiter *l, uint32_t slot)
{
    return nf_map_value(l->sources, slot);
}

static uint32_t begin_window(struct nf *nf, const uint32_t *addr, uint64_t now)
{
    const struct config *config = nf->config;
    struct limiter *l = nf->state;
    uint32_t slot = nf_map_add(nf, l->sources, addr);

    if (slot == NF_NONE)
        return slot;
    NF_EDIT(nf, source_at(l, slot))->began = now;
    nf_wheel_set(nf, l->windows, slot, now + config->window * NF_SECOND);
    nf_count(nf, WINDOWS, 1);
    return slot;
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct limiter *l = nf->state;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (p->side != NF_INSIDE || !(p->flags & NF_P_IPV4))
            continue;
        uint32_t slot = nf_map_find(l->sources, &p->saddr);

        if (slot == NF_NONE)
            slot = begin_window(nf, &p->saddr, now);
        if (slot == NF_NONE) {
            nf_drop(nf, p, FULL);
        } else if (source_at(l, slot)->packets >= l->packets) {
            nf_drop(nf, p, LIMITED);
        } else {
            NF_EDIT(nf, source_at(l, slot))->packets++;
            nf_count(nf, PASSED, 1);
        }
    }
}

static void timers(struct nf *nf, uint64_t now)
{
    struct limiter *l = nf->state;
    uint32_t due[DUE];
    uint32_t n = nf_wheel_due(nf, l->windows, now, due, DUE);

    for (uint32_t i = 0; i < n; i++)
        nf_map_remove(nf, l->sources, due[i]);
}

static void show_source(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct limiter *l = nf->state;

    nf_row(out);
    nf_row_ipv4(out, "source", *(const uint32_t *)nf_map_key(l->sources, slot));
    nf_row_u64(out, "packets", source_at(l, slot)->packets);
    nf_row_u64(out, "began_ns", source_at(l, slot)->began);
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct limiter *l = nf->state;

    if (*cursor == 0) {
        nf_row(out);
        nf_row_u64(out, "limit", l->packets);
        nf_row_u64(out, "sources", nf_map_count(l->sources));
        for (unsigned i = 0; counters[i]; i++)
            nf_row_u64(out, counters[i], nf->counters[i]);
        *cursor = 1;
    }
    return nf_show_slots(nf, l->sources, 1, out, cursor, show_source);
}

static int set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    struct limiter *l = nf->state;
    uint32_t packets;

    (void)now;
    if (strcmp(key, "packets") != 0)
        return ft_fail(fault, FT_ENOENT, "%s: no such setting, expected packets", key);
    if (!nf_number_parse(value, 1, 1000000, &packets))
        return ft_fail(fault, FT_EINVAL, "packets=%s: expected a number from 1 to 1000000", value);
    *NF_EDIT(nf, &l->packets) = packets;
    return FT_OK;
}

static int clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct limiter *l = nf->state;

    (void)now;
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all windows are ended", key);
    for (uint32_t slot = 0; (slot = nf_map_next(l->sources, slot)) != NF_NONE; slot++) {
        nf_wheel_cancel(nf, l->windows, slot);
        nf_map_remove(nf, l->sources, slot);
    }
    return FT_OK;
}

static bool carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct config *before = was->config, *config = nf->config;
    struct limiter *l = nf->state;

    (void)fault;
    if (config->packets != before->packets) /* else what an operator has set stays */
        l->packets = config->packets;
    return true;
}

/* Its counts are of sources inside: all packets of one have to come to one lane. */
static enum nf_scope scope(const void *config)
{
    (void)config;
    return NF_OF_INSIDE;
}

static const struct nf_module limiter = {
    .name = "limiter",
    .summary = "limits the packets of each source inside",
    .reads = NF_READS_HEADERS,
    .scope = scope,
    .params = params,
    .config_size = sizeof(struct config),
    .state_size = sizeof(struct limiter),
    .counters = counters,
    .arena = arena,
    .make = make,
    .process = process,
    .timers = timers,
    .show = show,
    .set = set,
    .clear = clear,
    .check_state = check_state,
    .carry = carry,
};
NF_MODULE(limiter)
