/* SPDX-License-Identifier: Apache-2.0 */
/* The process of help_twin.h's node: its NF, its configuration, and its life from the fork to its end. */
#include "ftcore/base/check.h"
#include "node/config/setup.h"
#include "tests/unit/help_twin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    struct twin_box *box;
    struct nd_config config;
    struct nd_member member;
    uint64_t salt; /* of the table's first content, so that a snapshot has to write it */
} node;

/* ---- the NF ------------------------------------------------------------------------------------ */

static bool make_table(struct nf *nf)
{
    void *constant = ft_arena_alloc(nf->arena, FT_LINE);

    twin_first_words(nf->state, node.salt);
    memset(nf_edit(nf, constant, FT_LINE), 0x11, FT_LINE);
    nf_constant(nf, constant, FT_LINE);
    return true;
}

static void add_inputs(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    uint64_t *words = nf->state, add;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t *word = &words[twin_pick(packets[i]->data, packets[i]->len, now, &add)];

        *NF_EDIT(nf, word) += add;
    }
    if (atomic_exchange(&node.box->spoil, false))
        words[words[0] % TWIN_WORDS]++; /* no edit */
}

static const struct nf_module table = {.name = "table",
                                       .summary = "numbers that inputs add to",
                                       .reads = NF_READS_PAYLOAD,
                                       .state_size = TWIN_STATE,
                                       .make = make_table,
                                       .process = add_inputs};

/* ---- the configuration ------------------------------------------------------------------------- */

/* Generous times: a loaded machine must not look like a dead peer. Deaths are told by the kernel at once. */
static const struct nd_timing timing = {.heartbeat_ms = 10,
                                        .lease_ms = 1500,
                                        .detect_ms = 2000,
                                        .promote_within_ms = 3000,
                                        .solo_after_ms = 4000,
                                        .resync_deadline_ms = 25000,
                                        .resync_mbps = 1000};

void twin_config(struct nd_config *config, const struct twin_options *options)
{
    static const struct twin_options usual;
    const struct twin_options *o = options ? options : &usual;
    struct ft_fault fault;

    *config = (struct nd_config){
        .chain = {.name = "twin",
                  .lanes = (uint16_t)(o->lanes ? o->lanes : 1),
                  .count = 1,
                  .nfs = {{.module = &table}},
                  .shared_size = FT_ARENA_MIN},
        .protect = {.asked = o->every ? ND_MODE_DELTA : ND_MODE_LOG,
                    .standby = o->warm ? ND_STANDBY_WARM : ND_STANDBY_HOT,
                    .tail = o->suppress ? ND_TAIL_SUPPRESS : ND_TAIL_EMIT,
                    .commit_interval_us = o->every * TWIN_TICK_US,
                    .checkpoint_ms = o->checkpoint ? o->checkpoint * TWIN_TICK_US / 1000 : 60000,
                    .verify_every_s = o->verify_s,
                    .log_mb = TWIN_LOG >> 20,
                    .pending_asked = TWIN_PENDING >> 20,
                    .hold_packets = UINT32_MAX}, /* half of what the ports have */
        .timing = timing,
    };
    config->timing.start_alone_ms = o->start_alone_ms;
    if (o->resync_mbps)
        config->timing.resync_mbps = o->resync_mbps;
    FT_CHECK(nd_config_decide(&config->protect, &config->chain, &fault) == 0, "%s", fault.text);
}

/* ---- the life ---------------------------------------------------------------------------------- */

static void *replicate(void *replicator)
{
    rp_run(replicator);
    return NULL;
}

static void note_most(_Atomic uint64_t *most, struct ft_ring *ring)
{
    uint64_t used = ft_ring_used(ring);

    if (used > atomic_load(most))
        atomic_store(most, used);
}

static void publish(void)
{
    struct twin_report *r = &node.box->by_node;
    static struct rp_status s;

    note_most(&r->log_most, &r->lane[0].log);
    note_most(&r->replay_most, &r->lane[0].replay);
    rp_status(node.member.replicator, &s);
    atomic_fetch_add(&r->shown, 1);
    atomic_thread_fence(memory_order_seq_cst);
    r->status = s;
    atomic_fetch_add(&r->shown, 1);
}

static void serve(void)
{
    while (!atomic_load(&node.box->stop)) {
        uint32_t request = atomic_exchange(&node.box->request, 0);

        if (request)
            rp_request(node.member.replicator, (enum ft_request)request);
        publish();
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static void hear_crash(void *arg, const struct ft_crash_notice *notice, bool primary)
{
    (void)arg, (void)notice;
    atomic_fetch_add(primary ? &node.box->by_node.heard_of_standby : &node.box->by_node.heard_of_primary, 1);
}

_Noreturn void twin_node(const struct twin *twin, const struct twin_options *options)
{
    struct nd_member_config config = {.config = &node.config,
                                      .io = twin_io(twin->box, &node.member),
                                      .shared = twin->box->by_node.lane,
                                      .place = &twin_place,
                                      .number = twin->self,
                                      .region_name = "twin",
                                      .seed = 1 + twin->self,
                                      .datagram_key.incarnation = (uint64_t)getpid() << 16 | twin->self,
                                      .status = &twin->box->by_node.member,
                                      .crashed = hear_crash};
    struct nd_member *m = &node.member;
    struct ft_fault fault = {"no memory"};
    pthread_t replicator;

    node.box = twin->box;
    twin_config(&node.config, options);
    config.timing = node.config.timing;
    node.salt = 1 + twin->self;
    FT_CHECK(nd_member_open(m, &config, &fault) == 0, "%s", fault.text);
    node.salt = 0; /* a primary that has no state makes it anew */
    FT_CHECK(pthread_create(&replicator, NULL, replicate, m->replicator) == 0 &&
                 nd_member_start(m, NULL, &fault) == 0,
             "%s", fault.text);
    serve();
    atomic_store(&m->lanes.stop, true);
    rp_stop(m->replicator);
    for (unsigned l = 0; l < node.config.chain.lanes; l++)
        pthread_join(m->threads[l], NULL);
    pthread_join(replicator, NULL);
    rp_close(m->replicator);
    _exit(0);
}
