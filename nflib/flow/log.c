/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the adding of events to the log of flows, whose memory is the NF flow_log's. */
#include "nflib/flow/log.h"

/* Chain time is no date, and stands while a node takes over: how far the wall clock is from it is a
 * determinant of each burst that has events. A command has none, and takes that of the last such burst. */
static void learn_wall(const struct nf *own, struct nf_log *log)
{
    int64_t wall = own->env->log_told.wall;

    if (own->env->runs == log->wall_burst || own->env->runs != own->env->state->burst + 1)
        return;
    nf_determinant(own, &wall, sizeof(wall));
    log->wall_burst = own->env->runs;
    if (wall) /* 0: nobody exports */
        log->wall = wall;
}

void nf_log_add(const struct nf *nf, const struct nf_log_event *event, uint64_t now)
{
    const struct nf *own = nf->env->log;
    const struct nf_log *log = own->state;
    struct nf_log *edit;
    struct nf_log_event *to;

    if (nf_is_bypassed(nf->env->state, own->index))
        return;
    edit = NF_EDIT(own, log);
    if (log->made - log->exported >= log->capacity) {
        edit->next++;
        nf_count(own, NF_LOG_LOST, 1);
        return;
    }
    learn_wall(own, edit);
    to = NF_EDIT(own, &log->ring[log->made % log->capacity]);
    *to = *event;
    to->number = log->next;
    to->burst = nf->env->state->burst + 1;
    to->time += (uint64_t)log->wall;
    to->first += event->kind == NF_LOG_FLOW ? (uint64_t)log->wall : 0;
    edit->next++;
    edit->made++;
    if (!edit->waiting++)
        nf_wake(own, now + NF_LOG_TELL_NS);
    nf_count(own, NF_LOG_EVENTS, 1);
}
