/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent exports to Prometheus: of its own server and of etcd always, of the whole fleet while it
 * leads, as of its last plan. So the fleet's figures have one source, and go with it. Owned by the agent's
 * thread.
 */
#ifndef FLEET_METRICS_H
#define FLEET_METRICS_H

#include "fleet/picture.h"
#include "understudy/metrics/page.h"

struct fl_tally {
    uint64_t given, failed; /* orders, since the agent began: that it gave as the leader, and that failed */
    uint64_t refused;       /* times that a node of this server gave a reason not to carry one out */
    uint64_t *since;        /* of each shard: when this leader first saw it unprotected, ns; 0: it is not */
    uint64_t planned;       /* the last plan, or when it began to lead, ns; 0: it does not lead */
    json_t *fleet;          /* what that plan was made by; NULL: there is none */
};

extern const struct nd_page fl_agent_page;

/* FT_ENOMEM. */
int fl_tally_make(struct fl_tally *out, uint32_t shards, struct ft_fault *fault);
void fl_tally_free(struct fl_tally *tally);

/* Notes what the leader has planned by. `now`: monotonic, ns. */
void fl_tally_plan(struct fl_tally *tally, const struct fl_picture *picture, const struct fl_plan *plan,
                   uint64_t now);
/* A step of that plan was written: etcd has taken it. */
void fl_tally_written(struct fl_tally *tally, const struct fl_step *step);
/* This agent leads no more: what is of the whole fleet goes. */
void fl_tally_end(struct fl_tally *tally, uint32_t shards);

/* What the page is made of; a new reference, NULL: no memory. `said`: the reports of this server's nodes. */
json_t *fl_tally_status(const struct fl_tally *tally, const struct fl_server_entry *server,
                        const struct fl_server_said *said, bool etcd_answers, bool leads, uint64_t now);

#endif
