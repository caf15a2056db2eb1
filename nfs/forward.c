/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward: passes everything and counts it twice: in one number that all lanes share, which they fight over
 * in each packet, and in a merged one, which each lane keeps for itself. What middleboxes are measured with.
 *
 * State: the shared word and the merged count; of this instance the last number each of them gave, so that an
 * order or a sum that replay gets wrong is in its state.
 */
#include "nflib/nf.h"

struct fwd_config {
    bool shared, merged, read;
};

struct fwd {
    struct nf_shared_word *shared;
    struct nf_merged *merged;
    uint64_t last_shared, last_merged;
};

enum fwd_counter { FWD_PACKETS, FWD_BYTES };
static const char *const fwd_counters[] = {"packets", "bytes", NULL};

static uint64_t fwd_arena(const void *config)
{
    (void)config;
    return nf_merged_lane_bytes();
}

static uint64_t fwd_shared(const void *config, unsigned lanes)
{
    (void)config;
    (void)lanes;
    return nf_shared_word_bytes() + nf_merged_bytes();
}

static bool fwd_make(struct nf *nf)
{
    struct fwd *fwd = nf->state;
    fwd->shared = nf_shared_word_make(nf);
    fwd->merged = nf_merged_make(nf);
    nf_constant(nf, fwd, offsetof(struct fwd, last_shared));
    return fwd->shared && fwd->merged;
}

static void fwd_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct fwd_config *config = nf->config;
    struct fwd *fwd = nf->state;
    uint64_t bytes = 0, last = 0;
    (void)now;

    for (uint32_t i = 0; i < n; i++)
        bytes += packets[i]->len;
    if (config->shared) { /* each packet gets a number of its own: another lane's may be next to it */
        for (uint32_t i = 0; i < n; i++)
            last = nf_shared_word_add(nf, fwd->shared, 1);
        *NF_EDIT_WORD(nf, &fwd->last_shared) = last;
    }
    if (config->merged)
        nf_merged_add(nf, fwd->merged, n);
    if (config->merged && config->read)
        *NF_EDIT(nf, &fwd->last_merged) = nf_merged_read(nf, fwd->merged);
    nf_count(nf, FWD_PACKETS, n);
    nf_count(nf, FWD_BYTES, bytes);
}

static bool fwd_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct fwd *fwd = nf->state;
    (void)cursor;
    nf_row(out);
    nf_row_u64(out, "lane", nf->lane);
    nf_row_u64(out, "packets", nf->counters[FWD_PACKETS]);
    nf_row_u64(out, "bytes", nf->counters[FWD_BYTES]);
    nf_row_u64(out, "shared", nf_shared_word_peek(fwd->shared));
    nf_row_u64(out, "merged", nf_merged_peek(nf, fwd->merged));
    nf_row_u64(out, "last_shared", fwd->last_shared);
    nf_row_u64(out, "last_merged", fwd->last_merged);
    return false;
}

static const struct nf_param fwd_params[] = {
    NF_YES_NO(struct fwd_config, shared, "true", "count in the number that all lanes share"),
    NF_YES_NO(struct fwd_config, merged, "true", "count in the number that each lane keeps"),
    NF_YES_NO(struct fwd_config, read, "false",
              "read the merged number in each burst, which puts it in the record"),
    {0},
};

static const struct nf_module fwd_module = {
    .name = "forward",
    .version = 1,
    .summary = "passes and counts, across lanes",
    .reads = NF_READS_FLOW,
    .params = fwd_params,
    .config_size = sizeof(struct fwd_config),
    .state_size = sizeof(struct fwd),
    .counters = fwd_counters,
    .arena = fwd_arena,
    .shared = fwd_shared,
    .make = fwd_make,
    .process = fwd_process,
    .show = fwd_show,
};
NF_MODULE(fwd_module)
