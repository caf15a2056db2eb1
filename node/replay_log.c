/* SPDX-License-Identifier: Apache-2.0 */
/* Executes recorded bursts again: a region, a base, and the lane's own replay, record by record. */
#include "node/replay_log.h"
#include "ftcore/message.h"
#include "nflib/chain.h"
#include "node/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES (4u << 20)
#define SNAP_MAX   262144
#define SECOND     1000000000ul

/* ---- making ------------------------------------------------------------------------------------ */

static const struct lg_recording *first_of(const struct nd_log *log)
{
    return &log->files.list[log->files.first];
}

/* Where two identities differ, and some of the line before it. */
static int refuse_chain(const struct lg_recording *r, const char *ours, uint32_t len, struct ft_fault *fault)
{
    const char *theirs = r->identity;
    uint32_t at = 0, line = 0, left, left_ours;

    while (at < len && at < r->head.identity && ours[at] == theirs[at]) {
        if (ours[at] == '\n')
            line = at + 1;
        at++;
    }
    line = at > line + 24 ? at - 24 : line;
    left = r->head.identity - line;
    left_ours = len - line;
    for (uint32_t i = 0; i < left; i++)
        if (theirs[line + i] == '\n')
            left = i;
    for (uint32_t i = 0; i < left_ours; i++)
        if (ours[line + i] == '\n')
            left_ours = i;
    return ft_fail(fault, FT_EMALFORMED,
                   "%.90s:offset %u: chain with '%.*s', expected '%.*s' of the configuration", r->file,
                   LG_PREFACE, left > 50 ? 50 : (int)left, theirs + line,
                   left_ours > 50 ? 50 : (int)left_ours, ours + line);
}

static int check_chain(const struct nd_log *log, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX];
    const struct lg_recording *r = first_of(log);
    uint32_t len = nf_chain_identity(&log->config->chain, identity, sizeof(identity));

    if (len != r->head.identity || memcmp(identity, r->identity, len) != 0)
        return refuse_chain(r, identity, len, fault);
    return 0;
}

static int open_region(struct nd_log *log, struct ft_fault *fault)
{
    static uint64_t sizes[FT_NFS_MAX];
    static const char *names[FT_NFS_MAX];
    const struct nf_chain_config *chain = &log->config->chain;
    struct ft_region_config c = {
        .name = "understudy replay",
        .lanes = chain->lanes,
        .nfs = (uint16_t)(chain->count + 1),
        .arena_size = sizes,
        .nf_name = names,
        .shared_size = nf_chain_shared(chain, chain->shared_size ? chain->shared_size : FT_SHARED_DEFAULT)};

    nf_chain_arenas(chain, sizes, names);
    return ft_region_open(&log->region, &c, fault);
}

static int make_lane(struct nd_log *log, struct ft_fault *fault)
{
    const struct nf_l3_config *l3 = log->config->chain.l3;
    struct nd_lane *lane = &log->lane;
    int error;

    log->io = (struct nd_io){.ports = l3 ? l3->ports : 2, .buffers = 1024};
    log->shared = aligned_alloc(64, sizeof(*log->shared));
    log->record = aligned_alloc(64, FT_RECORD_MAX);
    if (!log->shared || !log->record || ft_lane_init(log->shared, 4096, RING_BYTES) != 0) {
        free(log->shared);
        log->shared = NULL;
        return ft_fail(fault, FT_ENOMEM, "no memory for a lane");
    }
    nd_group_init(&log->group, lane, 1);
    *lane = (struct nd_lane){.config = log->config,
                             .io = &log->io,
                             .region = log->region,
                             .shared = log->shared,
                             .group = &log->group,
                             .seed = 1,
                             .view = &log->view,
                             .stop = &log->stop};
    error = nd_lane_make(lane, fault);
    if (!error && (ft_region_used(log->region) != first_of(log)->head.region_used ||
                   log->region->size != first_of(log)->head.region_size))
        return ft_fail(
            fault, FT_EMALFORMED, "%.120s:offset %u: region of %lu bytes, expected %lu as this program has",
            first_of(log)->file, LG_PREFACE, first_of(log)->head.region_used, ft_region_used(log->region));
    return error;
}

static int open_dump(struct nd_log *log, struct ft_fault *fault)
{
    pcap_t *pcap;
    int error = 0;

    if (!log->options->output)
        return 0;
    pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAP_MAX, PCAP_TSTAMP_PRECISION_NANO);
    if (pcap)
        log->dump = pcap_dump_open(pcap, log->options->output);
    if (!log->dump)
        error = ft_fail(fault, FT_EINVAL, "%.200s, expected a file to write to",
                        pcap ? pcap_geterr(pcap) : "no memory");
    if (pcap)
        pcap_close(pcap);
    return error;
}

/* ---- bases ------------------------------------------------------------------------------------- */

/* Writes the base into the region, or holds it against what was replayed. False: a line differs. */
static int take_base(struct nd_log *log, const struct lg_recording *r, bool compare, struct ft_fault *fault)
{
    struct ft_region *region = log->region;
    struct lg_frame f;
    uint64_t at = 0;

    while (lg_recording_next(r, &at, &f)) {
        struct ft_line_run run;
        uint32_t in = 0;

        while (f.type == LG_LINES && ft_run_next(f.content, f.len, &in, region->size / FT_LINE, &run) > 0) {
            const struct ft_arena *arena = ft_region_arena_at(region, run.line * FT_LINE);
            uint64_t len = (uint64_t)run.count * FT_LINE;

            if (!arena || run.line * FT_LINE + len > arena->offset + arena->used)
                return ft_fail(fault, FT_EMALFORMED, "%.120s: lines %lu+%u, expected lines in use", r->file,
                               run.line, run.count);
            if (!compare && run.zero)
                memset(region->base + run.line * FT_LINE, 0, len);
            else if (!compare)
                memcpy(region->base + run.line * FT_LINE, run.bytes, len);
            for (uint64_t i = 0; compare && i < len; i++) {
                uint8_t got = region->base[run.line * FT_LINE + i], expected = run.zero ? 0 : run.bytes[i];

                if (got == expected)
                    continue;
                fprintf(stderr,
                        "understudy: replay diverged: lane 0 burst %lu clock %lu: base of %s, %s at %lu: "
                        "expected %02x, got %02x\n",
                        r->head.at.burst, r->head.at.clock, r->file,
                        arena->nf < region->nfs ? region->nf_name[arena->nf] : "shared",
                        run.line * FT_LINE + i - arena->offset, expected, got);
                log->diverged = true;
                return 0;
            }
        }
    }
    log->bases += compare;
    return 0;
}

static int apply_base(struct nd_log *log, struct ft_fault *fault)
{
    const struct nf_lane_state *state = nf_chain_state(log->lane.chain);
    const struct lg_position *at = &first_of(log)->head.at;
    int error = take_base(log, first_of(log), false, fault);

    if (error)
        return error;
    if (state->burst != at->burst || state->clock != at->clock || state->access != at->access)
        return ft_fail(fault, FT_EMALFORMED, "%.120s: base of burst %lu, expected burst %lu",
                       first_of(log)->file, state->burst, at->burst);
    atomic_store(&log->group.published[0].access, state->access - 1);
    return 0;
}

/* ---- execution --------------------------------------------------------------------------------- */

static void dump_frame(struct nd_log *log, uint64_t time, const uint8_t *frame, uint32_t have, uint32_t len)
{
    struct pcap_pkthdr head = {.caplen = have, .len = len};

    log->outputs++;
    if (!log->dump)
        return;
    head.ts.tv_sec = (time_t)(time / SECOND);
    head.ts.tv_usec = (suseconds_t)(time % SECOND);
    pcap_dump((u_char *)log->dump, &head, frame);
}

/* What came in, before NFs change it where it lies. */
static void note_inputs(struct nd_log *log, struct nd_log_input in[])
{
    const struct ft_record *r = log->record;
    struct lg_cursor cursor;
    const struct ft_input *i;
    uint8_t *bytes;
    uint32_t n = 0;

    lg_cursor_begin(&cursor, r);
    while ((i = lg_cursor_input(&cursor, &bytes))) {
        in[n] = (struct nd_log_input){.clock = r->clock + n, .time = r->time};
        in[n].in = (struct nf_packet){.data = bytes,
                                      .len = i->wire,
                                      .have = i->taken,
                                      .in_port = i->port,
                                      .side = i->flags & FT_IN_OUTSIDE};
        nf_packet_parse(&in[n].in);
        in[n++].in.data = NULL;
    }
}

static void note_outputs(struct nd_log *log, struct nd_log_input in[])
{
    const struct ft_record *r = log->record;
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(log->lane.chain, &made);

    for (uint32_t i = 0; i < r->inputs; i++) {
        const struct nf_packet *p = &log->lane.packets[i];

        in[i].out = *p;
        in[i].out.data = NULL;
        if (p->drop || p->out_port >= log->io.ports)
            log->dropped++;
        else
            dump_frame(log, r->time, p->data, p->have, p->len);
        if (!log->options->until || in[i].clock <= log->options->until_clock)
            log->last[log->inputs++ % ND_LOG_LAST] = in[i];
    }
    for (uint32_t i = 0; i < count; i++)
        dump_frame(log, r->time, made[i].frame, made[i].len, made[i].len);
}

/* Through the very replay a standby does; it checks, and says what differs. */
static bool execute(struct nd_log *log)
{
    struct nd_log_input in[FT_BURST_MAX];
    const struct ft_record *r = log->record;
    void *room = ft_ring_reserve(&log->shared->replay, r->size);

    FT_CHECK(room, "an empty ring has no room for %u bytes", r->size);
    memcpy(room, r, r->size);
    ft_ring_publish(&log->shared->replay, r->size);
    note_inputs(log, in);
    if (!nd_lane_replay(&log->lane, r->burst))
        return false;
    note_outputs(log, in);
    log->bursts++;
    log->digests += (r->flags & FT_REC_DIGEST) != 0;
    return true;
}

static bool past(const struct nd_log *log, uint64_t clock)
{
    return log->options->until && clock > log->options->until_clock;
}

static void run_file(struct nd_log *log, const struct lg_recording *r)
{
    struct ft_fault fault;
    struct lg_frame f;
    uint64_t at = 0;

    while (!log->stopped && !log->diverged && lg_recording_next(r, &at, &f)) {
        if (f.type != LG_RECORD)
            continue;
        FT_CHECK(ft_record_decode(f.content, f.len, log->record, FT_RECORD_MAX, &fault) > 0,
                 "a record that was read before: %s", fault.text);
        log->diverged = !execute(log);
        log->stopped = past(log, log->record->clock + log->record->inputs);
    }
}

static int run_files(struct nd_log *log, struct ft_fault *fault)
{
    int error = apply_base(log, fault);

    for (unsigned i = log->files.first; !error && i < log->files.count && !log->stopped && !log->diverged;
         i++) {
        const struct lg_recording *r = &log->files.list[i];

        if (i > log->files.first && r->based)
            error = take_base(log, r, true, fault);
        if (!error && !log->diverged)
            run_file(log, r);
    }
    return error;
}

/* ---- the command ------------------------------------------------------------------------------- */

static int check_until(const struct nd_log *log)
{
    const struct nd_replay_options *o = log->options;
    uint64_t from = first_of(log)->head.at.clock, to = log->files.list[log->files.count - 1].clock;

    if (!o->until || (o->until_lane == 0 && o->until_clock >= from && o->until_clock < to))
        return 0;
    return nd_usage("replay", "--until %lu:%lu: the log has clocks %lu to %lu of lane 0", o->until_lane,
                    o->until_clock, from, to - 1);
}

static int prepare(struct nd_log *log, struct ft_fault *fault)
{
    int error = nd_config_read(&log->config, log->options->config, false, fault);

    if (!error)
        error = nd_log_files_open(&log->files, log->options->log, fault);
    if (!error)
        error = check_chain(log, fault);
    if (!error)
        error = open_region(log, fault);
    if (!error)
        error = make_lane(log, fault);
    if (!error)
        error = open_dump(log, fault);
    return error;
}

static void close_all(struct nd_log *log)
{
    if (log->dump)
        pcap_dump_close(log->dump);
    nd_lane_free(&log->lane);
    if (log->shared)
        ft_lane_free(log->shared);
    free(log->shared);
    free(log->record);
    if (log->region)
        ft_region_close(log->region);
    nd_log_files_close(&log->files);
    nd_config_free(log->config);
}

int nd_replay_log(const struct nd_replay_options *options)
{
    static struct nd_log log;
    struct ft_fault fault = {""};
    int error, code = ND_DONE;

    log = (struct nd_log){.options = options};
    error = prepare(&log, &fault);
    if (!error)
        code = check_until(&log);
    if (!error && !code)
        error = run_files(&log, &fault);
    if (!error && !code && log.dump && pcap_dump_flush(log.dump) != 0)
        error = ft_fail(&fault, FT_EINVAL, "%.200s: cannot be written", options->output);
    if (error) {
        fprintf(stderr, "%s\n", fault.text);
        code = error == FT_ENOMEM ? ND_SOFTWARE : nd_exit_of_file(error);
    } else if (!code) {
        code = nd_log_print(&log);
        code = code ? code : log.diverged ? ND_NOT_EQUAL : ND_DONE;
    }
    close_all(&log);
    return code;
}
