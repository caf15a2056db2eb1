/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a replicator is made and taken apart: its buffers, the view file with its writer, the link. Called by
 * the thread that owns the node, before the replicator's own thread begins and after it has ended.
 */
#include "ftcore/base/event_log.h"
#include "replicator/parts.h"

#include <stdlib.h>

#define VIEWS_LEFT (1ull << 20) /* a pair that has fewer is told so when it starts */

/* Reads the view, and writes it: now, while a mistake can still be told, and while the node may wait for a
 * disk. */
static int open_view(struct rp_replicator *rp, const char *path, struct ft_fault *fault)
{
    uint64_t *view = &rp->config.core.view;
    int error = rp_view_load(path, view, fault);

    rp->config.core.keeps_views = true;
    if (!error && *view > FT_VIEW_MAX - VIEWS_LEFT)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_VIEW_FILE,
                     "%s: view %lu of %llu at most: stop both nodes and remove both view files", path, *view,
                     FT_VIEW_MAX);
    if (!error)
        error = rp_view_store(path, *view, fault);
    return error ? error : rp_view_writer_open(&rp->writer, path, *view, fault);
}

int rp_open(struct rp_replicator **out, const struct rp_config *config, struct ft_fault *fault)
{
    struct rp_replicator *rp = calloc(1, sizeof(*rp));
    int error = 0;

    *out = NULL;
    if (!rp)
        return ft_fail(fault, FT_ENOMEM, "no memory for the replicator");
    rp->config = *config;
    rp->lanes = config->core.lanes;
    if (rp_sender_init(rp) || rp_snapshot_init(rp) || rp_receiver_init(rp))
        error = ft_fail(fault, FT_ENOMEM, "no memory for the replicator");
    if (!error && config->protect) {
        /* An address that is taken is found before anything is written. */
        error = rp_link_open(&rp->link, &rp->config.link, fault);
        if (!error)
            error = open_view(rp, config->view_file, fault);
    } else if (!error) {
        rp->config.core.role = 0;
        rp->config.core.strict = false;
        rp->config.core.start_alone_ms = 1;
    }
    if (error) {
        rp_close(rp);
        return error;
    }
    rp->now = rp_monotonic();
    rp->steered_reported = true;
    ft_core_init(&rp->core, &rp->config.core, rp->now, &rp->actions);
    rp_carry_out(rp);
    rp_update_status(rp);
    *out = rp;
    return 0;
}

void rp_hang_up(struct rp_replicator *rp)
{
    rp_link_close(rp->link);
    rp->link = NULL;
}

void rp_close(struct rp_replicator *rp)
{
    if (!rp)
        return;
    rp_link_close(rp->link);
    rp_view_writer_close(rp->writer);
    rp_seal_close(rp->seal);
    rp_sender_free(rp);
    rp_snapshot_free(rp);
    rp_receiver_free(rp);
    rp_push_free(rp);
    free(rp);
}
