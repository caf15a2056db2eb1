/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler: reads its state of a flow in each packet and writes it in every tenth, and for a flow it has not
 * seen. The papers sweep the arrival of flows with such an NF; the NFs of the tree write in each packet.
 * Built and loaded by scripts/results.
 *
 * State: a map of flows. Nothing is forgotten: when it is full, packets of further flows pass unseen.
 */
#include "nflib/nf.h"

struct config {
    uint32_t every, max_flows;
};

/* The same for both directions: the lesser end comes first. */
struct flow_key {
    uint64_t end[2]; /* address, port and protocol */
};

struct flow {
    uint64_t samples, bytes, seen;
};

struct sampler {
    struct nf_map *flows;
};

enum counter { PACKETS, WRITES, FLOWS, UNSEEN };
static const char *const counters[] = {"packets", "writes", "flows", "unseen", NULL};

static const struct nf_param params[] = {
    {.name = "every",
     .kind = NF_U32,
     .offset = offsetof(struct config, every),
     .min = 1,
     .max = 1000000,
     .preset = "10",
     .help = "packets from one write to the next"},
    {.name = "max_flows",
     .kind = NF_U32,
     .offset = offsetof(struct config, max_flows),
     .min = 1,
     .max = 16u << 20,
     .preset = "1000000",
     .help = "flows at most"},
    {0},
};

static uint64_t arena(const void *c)
{
    const struct config *config = c;

    return nf_map_bytes(config->max_flows, sizeof(struct flow_key), sizeof(struct flow));
}

static bool make(struct nf *nf)
{
    const struct config *config = nf->config;
    struct sampler *s = nf->state;

    s->flows = nf_map_make(nf, config->max_flows, sizeof(struct flow_key), sizeof(struct flow));
    return s->flows;
}

static void sample(struct nf *nf, const struct nf_packet *p, uint64_t number, uint64_t now)
{
    const struct config *config = nf->config;
    const struct sampler *s = nf->state;
    uint64_t from = (uint64_t)p->saddr << 32 | (uint32_t)p->sport << 16 | p->proto;
    uint64_t to = (uint64_t)p->daddr << 32 | (uint32_t)p->dport << 16 | p->proto;
    struct flow_key key = {{from < to ? from : to, from < to ? to : from}};
    bool fresh;
    uint32_t slot = nf_map_find(s->flows, &key);

    fresh = slot == NF_NONE;
    if (fresh)
        slot = nf_map_add(nf, s->flows, &key);
    if (slot == NF_NONE) {
        nf_count(nf, UNSEEN, 1);
        return;
    }
    if (!fresh && number % config->every != 0)
        return;
    struct flow *flow = NF_EDIT(nf, (const struct flow *)nf_map_value(s->flows, slot));

    flow->samples++;
    flow->bytes += p->len;
    flow->seen = now;
    nf_count(nf, WRITES, 1);
    nf_count(nf, FLOWS, fresh);
}

static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++)
        if (packets[i]->flags & NF_P_IPV4)
            sample(nf, packets[i], nf->counters[PACKETS] + i, now);
    nf_count(nf, PACKETS, n);
}

static const struct nf_module module = {
    .name = "sampler",
    .summary = "writes its state in every tenth packet",
    .reads = NF_READS_HEADERS,
    .params = params,
    .config_size = sizeof(struct config),
    .counters = counters,
    .state_size = sizeof(struct sampler),
    .arena = arena,
    .make = make,
    .process = process,
};
NF_MODULE(module)
