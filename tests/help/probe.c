/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: NFs that note what they are given, and a chain of three of them. Owns the chain. */
#include "tests/help/probe.h"
#include "ftcore/region/audit.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static char trace[4096];
bool probe_make_fails;

static void add_to_trace(const char *fmt, unsigned a, unsigned b)
{
    size_t n = strlen(trace);
    snprintf(trace + n, sizeof(trace) - n, fmt, a, b);
}

const char *probe_trace(void)
{
    static char last[sizeof(trace)];
    memcpy(last, trace, sizeof(trace));
    trace[0] = 0;
    return last;
}

static bool probe_make(struct nf *nf)
{
    ((struct probe *)nf->state)->limit = ((const struct probe_config *)nf->config)->limit;
    return !probe_make_fails;
}

static void probe_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    struct probe *edit = nf_edit(nf, nf->state, sizeof(*edit));
    (void)now;
    add_to_trace("%u:", nf->index, 0);
    edit->packets += n;
    nf_count(nf, SEEN, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *d = packets[i]->data;
        add_to_trace("%c", d[ID], 0);
        d[12] = (uint8_t)nf_random(nf);
        if (d[EMIT_AT] == nf->index)
            for (unsigned k = 0; k < d[EMIT_AT + 1]; k++)
                nf_emit(nf, packets[i]->in_port, d, FRAME);
        if (d[DROP_AT] == nf->index)
            nf_drop(nf, packets[i], DROPPED);
    }
    add_to_trace(" ", 0, 0);
}

static void probe_timers(struct nf *nf, uint64_t now)
{
    add_to_trace("t%u@%u ", nf->index, (unsigned)now);
    if (now == 10)
        nf_wake(nf, 30), nf_wake(nf, 20), nf_wake(nf, 25);
}

static int probe_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    add_to_trace("set%u@%u ", nf->index, (unsigned)now);
    if (strcmp(key, "limit") != 0)
        return ft_fail(fault, FT_ENOENT, "no %s", key);
    add_to_trace(value, 0, 0);
    ((struct probe *)nf_edit(nf, nf->state, sizeof(struct probe)))->limit = (uint64_t)value[0];
    return nf_emit(nf, 1, "emitted by command", 18);
}

static int probe_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    (void)now, (void)fault;
    add_to_trace(key ? key : "all", nf->index, 0);
    return FT_OK;
}

static const char *const probe_counters[] = {"seen", "dropped", NULL};
static const char *const modes[] = {"slow", "fast", NULL};
static const struct nf_param probe_params[] = {
    {.name = "limit", .kind = NF_U32, .offset = offsetof(struct probe_config, limit)},
    {.name = "loud", .kind = NF_BOOL, .offset = offsetof(struct probe_config, loud)},
    {.name = "mode", .kind = NF_CHOICE, .offset = offsetof(struct probe_config, mode), .choices = modes},
    {.name = "file", .kind = NF_FILE, .offset = offsetof(struct probe_config, file)},
    {.name = "inside", .kind = NF_PREFIXES, .offset = offsetof(struct probe_config, inside)},
    {.name = "ports", .kind = NF_RANGE, .offset = offsetof(struct probe_config, ports)},
    {.name = NULL},
};

#define PROBE(title)                                                                                         \
    {                                                                                                        \
        .name = title, .reads = title[0] == 'c' ? NF_READS_PAYLOAD : NF_READS_HEADERS,                       \
        .params = probe_params, .config_size = sizeof(struct probe_config), .counters = probe_counters,      \
        .state_size = sizeof(struct probe), .make = probe_make, .process = probe_process,                    \
        .timers = probe_timers, .set = probe_set, .clear = probe_clear,                                      \
    }

const struct nf_module probe_a = PROBE("a_probe");
const struct nf_module probe_b = PROBE("b_probe");
const struct nf_module probe_c = PROBE("c_probe");

static struct probe_config probe_settings = {.limit = 7, .mode = 1};
struct nf_chain_config probe_chain_config = {
    .name = "three",
    .lanes = 1,
    .count = 3,
    .nfs = {{&probe_a, &probe_settings}, {&probe_b, &probe_settings}, {&probe_c, &probe_settings}}};
struct ft_region *probe_region;
struct nf_chain *probe_chain;

void probe_open_region(const struct nf_chain_config *config)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 65536, .audit = true};
    struct ft_fault fault = {""};
    if (nf_chain_region(&probe_region, config, &how, &fault))
        fail_msg("%s", fault.text);
}

void probe_end(void)
{
    nf_chain_free(probe_chain);
    probe_chain = NULL;
    ft_region_close(probe_region);
    probe_region = NULL;
}

void probe_begin(void)
{
    struct ft_fault fault = {""};
    if (probe_region) /* left by a test that failed */
        probe_end();
    trace[0] = 0;
    probe_make_fails = false;
    probe_open_region(&probe_chain_config);
    if (nf_chain_make(&probe_chain, &probe_chain_config, probe_region, 0, PROBE_SEED, &fault))
        fail_msg("%s", fault.text);
    ft_audit_check(probe_region, 0);
}

uint8_t probe_frames[NF_BURST_MAX][FRAME];

uint32_t probe_burst(const char *ids, struct nf_packet packets[])
{
    uint32_t n = 0;
    memset(probe_frames, 0, sizeof(probe_frames));
    for (; ids[n]; n++) {
        uint8_t outside = ids[n] < 'a';
        probe_frames[n][ID] = (uint8_t)ids[n];
        packets[n] = (struct nf_packet){.data = probe_frames[n],
                                        .len = FRAME,
                                        .have = FRAME,
                                        .in_port = outside,
                                        .side = outside,
                                        .drop = 9};
    }
    return n;
}

void probe_run(uint64_t burst, uint64_t now, struct nf_packet packets[], uint32_t n)
{
    nf_chain_run(probe_chain, burst, now, packets, n);
    ft_audit_check(probe_region, 0);
}
