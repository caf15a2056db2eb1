/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_log: keeps what nat, nat64 and monitor report of mappings and flows (nflib/flow/log.h) until it has
 * been exported. Lets all packets pass as they are.
 *
 * State, written by this instance, and by nf_log_add for the other NFs of its lane: the ring of events. How
 * far the export has come the primary's lane knows; the timers make it state, as a determinant. So the ring
 * is the same on both nodes, and so is what is lost because it is full.
 */
#include "nflib/nf.h"

#include <string.h>

struct log_config {
    uint32_t events;
};

static const char *const log_counters[] = {NF_LOG_COUNTERS(NF_COUNTER_NAME) NULL};

static uint64_t log_arena(const void *c)
{
    const struct log_config *config = c;

    return (uint64_t)config->events * sizeof(struct nf_log_event) + FT_LINE;
}

static bool log_make(struct nf *nf)
{
    const struct log_config *config = nf->config;
    struct nf_log *log = nf->state;

    log->capacity = config->events;
    log->ring = ft_arena_alloc(nf->arena, log->capacity * sizeof(*log->ring));
    log->lineage = log->next = nf_random(nf) & ~(uint64_t)UINT32_MAX;
    nf_constant(nf, log, offsetof(struct nf_log, lineage));
    nf_table_add(
        nf, (struct nf_table){.name = "events", .count = &log->waiting, .parts = 1, .limit = config->events});
    nf->env->log = nf;
    return log->ring;
}

static void log_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    (void)nf;
    (void)packets;
    (void)n;
    (void)now;
}

static void log_timers(struct nf *nf, uint64_t now)
{
    struct nf_log *log = NF_EDIT(nf, (const struct nf_log *)nf->state);
    uint64_t exported = nf->env->log_told.exported;

    nf_determinant(nf, &exported, sizeof(exported));
    if (exported < log->exported || exported > log->made) /* of a log before this one, or a peer's word */
        exported = log->exported;
    nf_count(nf, NF_LOG_EXPORTED, exported - log->exported);
    log->exported = exported;
    log->waiting = (uint32_t)(log->made - exported);
    if (log->waiting)
        nf_wake(nf, now + NF_LOG_TELL_NS);
}

static bool log_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct nf_log *log = nf->state;

    (void)cursor;
    nf_row(out);
    nf_row_u64(out, "lane", nf->lane);
    nf_row_u64(out, "events", nf->counters[NF_LOG_EVENTS]);
    nf_row_u64(out, "exported", nf->counters[NF_LOG_EXPORTED]);
    nf_row_u64(out, "lost", nf->counters[NF_LOG_LOST]);
    nf_row_u64(out, "waiting", log->waiting);
    nf_row_text(out, "next_number", "%016lx", log->next); /* as the export has it */
    return false;
}

static int log_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nf_log *log = nf->state;

    if (log->made < log->exported || log->made - log->exported > log->capacity ||
        log->made - log->exported != log->waiting)
        return nf_check_failed(c, "%u events wait, expected those from %lu to %lu, %lu at most", log->waiting,
                               log->exported, log->made, log->capacity);
    return 0;
}

/* Another number of events: those that wait keep their positions and numbers. */
static bool log_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct nf_log *before = was->state;
    const struct nf_log_event *ring = nf_was_at(was, before->ring);
    struct nf_log *log = nf->state;

    if (was->same)
        return true;
    if (before->waiting > log->capacity) {
        ft_fail(fault, FT_EFULL, "flow_log: %u events wait to be exported, expected room for them in %lu",
                before->waiting, log->capacity);
        return false;
    }
    for (uint64_t at = before->exported; at != before->made; at++)
        log->ring[at % log->capacity] = ring[at % before->capacity];
    memcpy(&log->lineage, &before->lineage, sizeof(*log) - offsetof(struct nf_log, lineage));
    return true;
}

static const struct nf_param log_params[] = {
    NF_NUMBER(struct log_config, events, NF_U32, 256, 16u << 20, "65536",
              "of a lane that wait to be exported; what finds no room is lost", .marks = NF_PARAM_LIVE),
    {0},
};

static const struct nf_module log_module = {
    .name = "flow_log",
    .summary = "keeps mappings and flows that begin and end until they are exported",
    .reads = NF_READS_FLOW,
    .params = log_params,
    .config_size = sizeof(struct log_config),
    .state_size = sizeof(struct nf_log),
    .counters = log_counters,
    .arena = log_arena,
    .make = log_make,
    .process = log_process,
    .timers = log_timers,
    .show = log_show,
    .check_state = log_check_state,
    .carry = log_carry,
};
NF_MODULE(log_module)
