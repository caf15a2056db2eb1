/* SPDX-License-Identifier: Apache-2.0 */
/* The chain's arithmetic and its model, the node's ports and its process, and the pair; see twin.h. */
#include "ftcore/base/check.h"
#include "ftcore/base/draw.h"
#include "ftcore/order/closed.h"
#include "ftcore/base/seqlock.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/clock.h"
#include "understudy/config/setup.h"
#include "tests/help/twin.h"
#include "tests/help/test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <xxhash.h>

static void twin_make(struct twin_burst *b, uint64_t seed, uint64_t burst)
{
    uint64_t x = seed ^ burst * 0x2545f4914f6cdd1dull;

    b->time = burst * TWIN_TICK_US * 1000 + ft_draw(&x) % 1000;
    b->n = (unsigned)(ft_draw(&x) % (FT_BURST_MAX + 1));
    for (unsigned i = 0; i < b->n; i++) {
        b->len[i] = 16 + (uint32_t)(ft_draw(&x) % (TWIN_INPUT - 15));
        for (uint32_t at = 0; at < b->len[i]; at++)
            b->bytes[i][at] = (uint8_t)ft_draw(&x);
    }
}

static void twin_first_words(uint64_t words[TWIN_WORDS], uint64_t salt)
{
    for (uint64_t i = 0; i < TWIN_WORDS / 2; i++) {
        uint64_t x = i ^ salt << 32;

        words[i] = ft_draw(&x);
    }
}

/* The word that an input adds to, and what. */
static uint64_t twin_pick(const uint8_t *bytes, uint32_t len, uint64_t time, uint64_t *add)
{
    *add = XXH3_64bits_withSeed(bytes, len, time);
    return *add % TWIN_WORDS;
}

static uint64_t twin_state_hash(const struct twin_lane_state *lane, const uint64_t words[TWIN_WORDS])
{
    return XXH3_64bits_withSeed(lane, sizeof(*lane), XXH3_64bits(words, TWIN_WORDS * sizeof(words[0])));
}

static void twin_model_begin(struct twin_model *m)
{
    memset(m, 0, sizeof(*m));
    m->lane.seq = 1;
    twin_first_words(m->words, 0);
}

void twin_model_run(struct twin_model *m, uint64_t seed, uint64_t to)
{
    static struct twin_burst b;
    uint64_t add;

    while (m->lane.burst < to) {
        twin_make(&b, seed, m->lane.burst + 1);
        for (unsigned i = 0; i < b.n; i++) {
            uint64_t word = twin_pick(b.bytes[i], b.len[i], b.time, &add);

            m->words[word] += add;
        }
        m->lane.burst++;
        m->lane.time = b.time;
        m->lane.seq += b.n;
        m->lane.outputs += b.n;
    }
}

/* ---- the node's ports: no assertion of the test's there ----------------------------------------------- */

/*
 * The node's inputs follow from seed and burst number, as an input keeper's do, and its outputs are counted
 * and gone. Called by lanes between bursts, so the node's answers are made and its rests taken here. Owns the
 * frames, which lane 0 alone has to do with.
 */
#define FRAMES  (128u << 10) /* half of them the hold may have: more than the log ring has room for */
#define REST_NS 100000

static struct {
    struct twin_box *box;
    const struct nd_member *member;
    uint8_t frames[FRAMES][TWIN_INPUT];
    void *free[FRAMES];
    uint32_t frees;
    uint64_t burst_at;
    uint64_t number; /* of the output that left last */
} io;

static void answer(void)
{
    struct nf_chain *chain = io.member->lanes.lane[0].chain;
    const struct nf_lane_state *state = nf_chain_state(chain);
    struct twin_lane_state lane = {state->burst, state->seq, state->time, state->outputs};
    struct twin_report *r = &io.box->by_node;
    uint64_t ask = atomic_load(&io.box->ask);

    if (ask == atomic_load(&r->answered))
        return;
    atomic_store(&r->at, state->burst);
    atomic_store(&r->region_digest, ft_region_digest(io.member->lanes.region));
    atomic_store(&r->state_hash, twin_state_hash(&lane, nf_chain_nf(chain, 1)->state));
    atomic_store(&r->answered, ask);
}

/* Between two records that the lane replays, and by no edit. */
static void flip_bit(const struct ft_lane_shared *shared)
{
    uint64_t *state = nf_chain_nf(io.member->lanes.lane[0].chain, 1)->state;

    if (ft_order_kind(FT_REPORT_GET(shared, done)) == FT_LANE_REPLAY && atomic_exchange(&io.box->flip, false))
        state[TWIN_WORDS] ^= 1u << 13;
}

/* Called by lanes that are not live. Lane 0 alone answers and stalls; nobody hears heartbeats. */
static uint32_t receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    const struct ft_lane_shared *shared = &io.box->by_node.lane[0];

    if (lane != 0 || port != 0)
        return 0;
    answer();
    flip_bit(shared);
    while (atomic_load(&io.box->stall) && !atomic_load(&io.member->lanes.stop) &&
           ft_order_kind(FT_ORDER_GET(shared, order)) == FT_LANE_REPLAY) {
        atomic_store(&io.box->by_node.stalled, true);
        flip_bit(shared);
        nanosleep(&(struct timespec){0, REST_NS}, NULL);
    }
    atomic_store(&io.box->by_node.stalled, false);
    return 0;
}

static void *make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    FT_CHECK(lane == 0 && len <= TWIN_INPUT, "a frame of %u bytes in lane %u", len, lane);
    return io.frees ? memcpy(io.free[--io.frees], frame, len) : NULL;
}

static void drop(void *ctx, void *owner)
{
    io.free[io.frees++] = owner;
}

static uint8_t *data(void *owner)
{
    return owner;
}

static bool next_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                       uint64_t *time)
{
    static struct twin_burst b;
    uint64_t now = ft_now();

    if (lane != 0)
        return false;
    answer();
    if (last >= atomic_load(&io.box->target) || now < io.burst_at || io.frees < FT_BURST_MAX)
        return false;
    io.burst_at = now + atomic_load(&io.box->pause_us) * 1000ull;
    if (atomic_load(&io.member->lanes.region->tracking) & FT_TRACK_SNAPSHOT)
        atomic_fetch_add(&io.box->by_node.beside_snapshot, 1);
    twin_make(&b, atomic_load(&io.box->seed), last + 1);
    for (unsigned i = 0; i < b.n; i++) {
        void *frame = make(ctx, lane, b.bytes[i], b.len[i]);

        frames[i] = (struct nd_frame){.data = frame, .len = b.len[i], .owner = frame};
    }
    *n = b.n;
    *time = b.time;
    return true;
}

/* Heartbeats have no number. */
static uint32_t send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        drop(ctx, held[i].packet);
        if (!held[i].number)
            continue;
        FT_CHECK(held[i].number > io.number, "output %lu leaves after %lu", held[i].number, io.number);
        io.number = held[i].number;
        atomic_store(&io.box->by_node.out_burst, held[i].burst);
        atomic_fetch_add(&io.box->by_node.outputs, 1);
    }
    return n;
}

/* The lanes' ports, with lane 0's inputs. Once, before the member is opened. */
static const struct nd_io *twin_io(struct twin_box *box, const struct nd_member *member)
{
    static const struct nd_io ports = {.ports = 2,
                                       .devices = 2,
                                       .side = {NF_INSIDE, NF_OUTSIDE},
                                       .buffers = FRAMES,
                                       .receive = receive,
                                       .send = send,
                                       .make = make,
                                       .data = data,
                                       .drop = drop,
                                       .burst = next_burst};

    io.box = box;
    io.member = member;
    for (io.frees = 0; io.frees < FRAMES; io.frees++)
        io.free[io.frees] = io.frames[io.frees];
    return &ports;
}

/* ---- the node's process: no assertion of the test's there --------------------------------------------- */

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

static void twin_config(struct nd_config *config, const struct twin_options *options)
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
    ft_seqlock_begin(&r->shown);
    r->status = s;
    ft_seqlock_end(&r->shown);
}

/* In the place of lane 0, which rests. */
static void take_by_port(uint64_t burst)
{
    struct ft_closed *set = node.member.lanes.group.by_port;
    const struct ft_known known[TWIN_LANES] = {
        {.burst = burst, .access = atomic_load(&node.box->access_by_port)}};

    if (burst == atomic_load(&node.box->by_node.by_port) || !ft_closed_claim(set))
        return;
    ft_closed_compute(set, known);
    ft_closed_release(set);
    atomic_store(&node.box->by_node.by_port, burst);
}

static void serve(void)
{
    while (!atomic_load(&node.box->stop)) {
        uint32_t request = atomic_exchange(&node.box->request, 0);

        if (request)
            rp_request(node.member.replicator, (enum ft_request)request);
        take_by_port(atomic_load(&node.box->by_port));
        publish();
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static void hear_crash(void *arg, const struct ft_crash_notice *notice, bool primary)
{
    atomic_fetch_add(primary ? &node.box->by_node.heard_of_standby : &node.box->by_node.heard_of_primary, 1);
}

static uint8_t *no_place(void *ctx)
{
    return NULL;
}

static void send_nothing(void *ctx, uint32_t bytes) {}

static const uint8_t *receive_nothing(void *ctx, uint32_t *bytes)
{
    return NULL;
}

static const struct nd_link_port silent_port = {
    .longest = 1514, .place = no_place, .send = send_nothing, .receive = receive_nothing};
static const struct nd_link_port *const silent_ports[TWIN_LANES] = {&silent_port, &silent_port};

static _Noreturn void twin_node(const struct twin *twin, const struct twin_options *options)
{
    struct nd_member_config config = {.config = &node.config,
                                      .io = twin_io(twin->box, &node.member),
                                      .shared = twin->box->by_node.lane,
                                      .wire = options && options->port ? silent_ports : NULL,
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

/* ---- the processes, as the test sees them ------------------------------------------------------------- */

struct nd_loopback twin_place;

void twin_world(struct twin twin[2])
{
    struct ft_fault fault = {""};

    if (nd_loopback_open(&twin_place, false, &fault))
        fail_msg("%s", fault.text);
    for (unsigned i = 0; i < 2; i++) {
        twin[i] = (struct twin){.self = i};
        twin[i].box =
            mmap(NULL, sizeof(*twin[i].box), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(twin[i].box != MAP_FAILED);
        atomic_store(&twin[i].box->seed, 100 + i);
    }
}

void twin_world_end(struct twin twin[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (twin[i].pid)
            twin_kill(&twin[i]);
        munmap(twin[i].box, sizeof(*twin[i].box));
    }
    nd_loopback_close(&twin_place);
}

void twin_core_config(struct ft_core_config *c, unsigned self, const struct twin_options *options)
{
    static char identity[FT_IDENTITY_MAX];
    static struct nd_config config;
    struct rp_config replicator = {.core.role = (uint8_t)self};

    twin_config(&config, options);
    nd_setup_replicator(&replicator, &config, &config.timing, identity);
    *c = replicator.core;
    c->name[0] = (char)('a' + self);
}

void twin_start(struct twin *twin, const struct twin_options *options)
{
    struct twin_box *box = twin->box;
    pid_t parent = getpid();

    assert_int_equal(twin->pid, 0);
    atomic_store(&box->stop, false);
    memset(&box->by_node, 0, sizeof(box->by_node));
    atomic_store(&box->by_node.answered, atomic_load(&box->ask));
    twin->pid = fork();
    assert_true(twin->pid >= 0);
    if (twin->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        twin_node(twin, options);
    }
}

void twin_kill(struct twin *twin)
{
    int status;

    kill(twin->pid, SIGKILL);
    waitpid(twin->pid, &status, 0);
    twin->pid = 0;
}

void twin_wait(struct twin *twin, uint64_t *waited, const char *what)
{
    int status;

    if (twin && twin->pid && waitpid(twin->pid, &status, WNOHANG) == twin->pid) {
        twin->pid = 0;
        fail_msg("node %c died (status 0x%x) before: %s", 'a' + (int)twin->self, (unsigned)status, what);
    }
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    if (++*waited <= TWIN_LIMIT)
        return;
    if (twin)
        print_message("node %c is %s: %s\n", 'a' + (int)twin->self,
                      ft_state_name(twin->box->by_node.status.core.state),
                      twin->box->by_node.status.core.why);
    fail_msg("never: %s", what);
}

void twin_end(struct twin *twin)
{
    int status;
    pid_t pid = twin->pid, got;

    atomic_store(&twin->box->stop, true);
    TWIN_UNTIL(NULL, (got = waitpid(pid, &status, WNOHANG)) != 0);
    twin->pid = 0;
    assert_int_equal(got, pid);
    if (status)
        fail_msg("node %c ended with status 0x%x", 'a' + (int)twin->self, (unsigned)status);
}

struct rp_status twin_status(struct twin *twin)
{
    static struct rp_status s;
    const struct twin_report *r = &twin->box->by_node;
    uint64_t asked = ft_now(), waited = 0, at;

    while ((!ft_seqlock_copy(&r->shown, &at, &s, &r->status, sizeof(s)) || s.at <= asked) && twin->pid)
        twin_wait(twin, &waited, "a status made after it was asked for");
    return s;
}

enum ft_state twin_state(struct twin *twin)
{
    return twin_status(twin).core.state;
}

uint64_t twin_executed(const struct twin *twin)
{
    return atomic_load(&twin->box->by_node.lane[0].report.executed);
}

bool twin_is_live(const struct twin *twin)
{
    return ft_order_kind(atomic_load(&twin->box->by_node.lane[0].report.done)) == FT_LANE_LIVE;
}

void twin_await(struct twin *twin, enum ft_state state)
{
    uint64_t waited = 0;

    while (twin_state(twin) != state) {
        char text[300];
        struct rp_status s = twin_status(twin);

        snprintf(text, sizeof(text), "%c is %s, it is %s: %s", 'a' + (int)twin->self, ft_state_name(state),
                 ft_state_name(s.core.state), s.core.why);
        twin_wait(twin, &waited, text);
    }
}

void twin_await_executed(struct twin *twin, uint64_t burst)
{
    TWIN_UNTIL(twin, twin_executed(twin) >= burst);
}

void twin_stall(struct twin *twin)
{
    atomic_store(&twin->box->stall, true);
    TWIN_UNTIL(twin, atomic_load(&twin->box->by_node.stalled));
}

uint64_t twin_digest(struct twin *twin, uint64_t *region, uint64_t *state)
{
    uint64_t ask = atomic_fetch_add(&twin->box->ask, 1) + 1;

    TWIN_UNTIL(twin, atomic_load(&twin->box->by_node.answered) == ask);
    *region = atomic_load(&twin->box->by_node.region_digest);
    *state = atomic_load(&twin->box->by_node.state_hash);
    return atomic_load(&twin->box->by_node.at);
}

/* ---- a pair of them, and its model -------------------------------------------------------------------- */

struct twin twin_pair[2];
struct twin_model *twin_truth;
static struct twin *const a = &twin_pair[0], *const b = &twin_pair[1];

int twin_pair_setup(void **state)
{
    memset(twin_pair, 0, sizeof(twin_pair));
    twin_truth = calloc(1, sizeof(*twin_truth));
    assert_non_null(twin_truth);
    twin_model_begin(twin_truth);
    twin_world(twin_pair);
    return 0;
}

int twin_pair_teardown(void **state)
{
    twin_world_end(twin_pair);
    free(twin_truth);
    return 0;
}

void twin_pair_protected(struct twin *primary, struct twin *standby)
{
    twin_await(primary, FT_PROTECTED);
    twin_await(standby, FT_READY);
}

void twin_pair_start(const struct twin_options *options)
{
    twin_start(a, options);
    twin_start(b, options);
    twin_pair_protected(a, b);
}

void twin_pair_end(void)
{
    twin_end(a);
    twin_end(b);
}

void twin_target(struct twin *t, uint64_t burst)
{
    atomic_store(&t->box->target, burst);
}

uint64_t twin_rest(struct twin *primary)
{
    uint64_t burst = twin_executed(primary) + 200;

    twin_target(primary, burst);
    twin_await_executed(primary, burst);
    return burst;
}

void twin_is_model(struct twin *t, uint64_t burst)
{
    uint64_t region, state;

    twin_await_executed(t, burst);
    assert_int_equal(twin_digest(t, &region, &state), burst);
    assert_int_equal(twin_truth->lane.burst, burst);
    assert_int_equal(state, twin_state_hash(&twin_truth->lane, twin_truth->words));
}

/* Fails the test unless both regions are the same. */
static void twin_pair_same(void)
{
    uint64_t region_a, region_b, state;

    assert_int_equal(twin_digest(a, &region_a, &state), twin_digest(b, &region_b, &state));
    assert_int_equal(region_a, region_b);
}

void twin_pair_equal(uint64_t seed, uint64_t burst)
{
    twin_model_run(twin_truth, seed, burst);
    twin_is_model(a, burst);
    twin_is_model(b, burst);
    twin_pair_same();
}
