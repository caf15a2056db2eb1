/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@: counts the packets of each source inside, and drops those beyond a limit. */
#include "nflib/nf.h"

/* From the chain file: the same on both nodes, never changed. */
struct config {
    uint32_t limit, max_sources;
};

/* All state is here and in what `make` allocates. */
struct state {
    struct nf_map *sources; /* IPv4 address, network order → struct source */
};

struct source {
    uint64_t packets;
};

enum counter { PASSED, OVER_LIMIT, SOURCES_FULL };
static const char *const counters[] = {"passed", "over_limit", "sources_full", NULL};

static const struct nf_param params[] = {
    NF_NUMBER(struct config, limit, NF_U32, 1, 1000000, "1000", "packets of a source"),
    NF_NUMBER(struct config, max_sources, NF_U32, 1, 1u << 20, "10000", "sources at most"),
    {0},
};

static uint64_t arena(const void *c)
{
    const struct config *config = c;

    return nf_map_bytes(config->max_sources, sizeof(uint32_t), sizeof(struct source));
}

/* Runs on both nodes before the first packet. */
static bool make(struct nf *nf)
{
    const struct config *config = nf->config;
    struct state *s = nf->state;

    s->sources = nf_map_make(nf, config->max_sources, sizeof(uint32_t), sizeof(struct source));
    NF_CONSTANT(nf, &s->sources);
    return s->sources != NULL;
}

/* Packets that came in on one side, 1 to 32. Reads by const pointers; each change through an edit. */
static void process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct config *config = nf->config;
    const struct state *s = nf->state;

    (void)now; /* chain time: an NF reads no clock */
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        const struct source *source;
        uint32_t slot;

        if (p->side != NF_INSIDE || !(p->flags & NF_P_IPV4))
            continue;
        slot = nf_map_find(s->sources, &p->saddr);
        if (slot == NF_NONE)
            slot = nf_map_add(nf, s->sources, &p->saddr);
        if (slot == NF_NONE) {
            nf_drop(nf, p, SOURCES_FULL);
            continue;
        }
        source = nf_map_value(s->sources, slot);
        if (source->packets >= config->limit) {
            nf_drop(nf, p, OVER_LIMIT);
        } else {
            NF_EDIT(nf, source)->packets++;
            nf_count(nf, PASSED, 1);
        }
    }
}

static void show_source(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct state *s = nf->state;
    const struct source *source = nf_map_value(s->sources, slot);

    nf_row(out);
    nf_row_ipv4(out, "source", *(const uint32_t *)nf_map_key(s->sources, slot));
    nf_row_u64(out, "packets", source->packets);
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct state *s = nf->state;

    return nf_show_slots(nf, s->sources, 0, out, cursor, show_source);
}

/* Its counts are of sources inside: with several lanes all packets of one come to one lane. */
static enum nf_scope scope(const void *config)
{
    (void)config;
    return NF_OF_INSIDE;
}

static const struct nf_module module = {
    .name = "@NAME@",
    .summary = "counts the packets of each source inside, up to a limit",
    .version = 1, /* raise it with the layout of the state, or with what is made of a packet */
    .reads = NF_READS_HEADERS,
    .scope = scope,
    .params = params,
    .config_size = sizeof(struct config),
    .state_size = sizeof(struct state),
    .counters = counters,
    .arena = arena,
    .make = make,
    .process = process,
    .show = show,
};
NF_MODULE(module)
