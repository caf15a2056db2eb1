/* SPDX-License-Identifier: Apache-2.0 */
/* A primary's replicator, and what is around it. See primary.h. */
#include "tests/help/message.h"
#include "tests/help/primary.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#define HERE     "127.0.0.1"
#define THERE    "127.0.0.2"
#define IDENTITY "chain x\n"
#define AHEAD                                                                                                \
    1000000000000ull /* ns: no turn takes longer, so the clock that a test gives is the later one            \
                      */

struct primary primary;

static struct ft_region *region;
static struct rp_config config;
static bool real_time;
static char view_file[64];

/* The standby. */
static struct rp_link *far_end;
static struct {
    enum ft_state state;
    uint64_t view, sent, heard;
    unsigned seen[FT_MSG_TYPES];
} standby;

/* ---- the standby ------------------------------------------------------------------------------- */

static struct ft_message head(enum ft_message_type type)
{
    return (struct ft_message){.type = (uint8_t)type,
                               .state = (uint8_t)standby.state,
                               .view = standby.view,
                               .sent = ++standby.sent,
                               .echo = standby.heard};
}

static void say(const struct ft_message *m)
{
    struct pollfd readable = {primary_socket(), POLLIN, 0};

    assert_int_equal(rp_link_send(far_end, m, 1, NULL), 0);
    rp_link_flush(far_end);
    assert_int_equal(poll(&readable, 1, 10000), 1);
}

static void say_hello(void)
{
    struct ft_message m = head(FT_MSG_HELLO);
    struct ft_core_config c = config.core;

    c.incarnation = 200;
    c.role = 1;
    snprintf(c.name, sizeof(c.name), "right");
    message_hello(&m, &c);
    say(&m);
}

void standby_answers(void)
{
    struct ft_message m = head(FT_MSG_HEARTBEAT);

    say(&m);
}

void standby_acks(uint64_t stored, uint64_t replayed, uint64_t taken)
{
    struct ft_message m = head(FT_MSG_ACK);

    m.burst[0] = stored;
    m.replayed[0] = replayed;
    m.taken[0] = taken;
    say(&m);
}

static void hear(const struct ft_message *m)
{
    standby.heard = m->sent;
    standby.seen[m->type]++;
    if (m->type == FT_MSG_LOG) {
        primary.messages++;
        primary.bulk += m->bulk_len;
    } else if (m->type == FT_MSG_HELLO) {
        standby_answers(); /* now the primary believes ours */
    } else if (m->type == FT_MSG_SNAPSHOT_BEGIN) {
        standby.state = FT_SYNCING;
        standby.view = m->view;
        standby_answers();
    }
}

void standby_reads(void)
{
    struct ft_message m;
    struct ft_fault why = {""};
    int n;

    rp_link_poll(far_end, ft_now());
    while ((n = rp_link_next(far_end, 1, &m, &why)) > 0)
        hear(&m);
    if (n < 0)
        fail_msg("%s", why.text);
}

void standby_ends(void)
{
    rp_link_close(far_end);
    far_end = NULL;
}

/* ---- the primary ------------------------------------------------------------------------------- */

int primary_socket(void)
{
    struct sockaddr_in here, there;

    for (int fd = 3; fd < 256; fd++) {
        socklen_t len = sizeof(here), len2 = sizeof(there);

        if (getsockname(fd, (struct sockaddr *)&here, &len) == 0 && here.sin_family == AF_INET &&
            ntohs(here.sin_port) == config.link.local_port &&
            getpeername(fd, (struct sockaddr *)&there, &len2) == 0)
            return fd;
    }
    fail_msg("there is no connection");
    return -1;
}

/* The cut is made at once, and copied whole. */
static void make_cut(uint64_t cut)
{
    struct ft_lane_shared *lane = &primary.lane;
    uint64_t zero;

    ft_snapshot_end(region);
    assert_int_equal(ft_snapshot_begin(region), 0);
    ft_snapshot_copy(region, 0, UINT64_MAX, &zero);
    FT_REPORT_SET(lane, executed, PRIMARY_CUT);
    FT_REPORT_SET(lane, recorded, PRIMARY_CUT);
    FT_REPORT_SET(lane, cut_burst, PRIMARY_CUT);
    FT_REPORT_SET(lane, cut_seen, cut);
    atomic_store(&lane->orders.logging, true);
}

static void lane_turn(void)
{
    struct ft_lane_shared *lane = &primary.lane;

    FT_REPORT_SET(lane, done, FT_ORDER_GET(lane, order));
    if (FT_ORDER_GET(lane, cut) != FT_REPORT_GET(lane, cut_seen))
        make_cut(FT_ORDER_GET(lane, cut));
    if (FT_ORDER_GET(lane, gate) != FT_REPORT_GET(lane, gate_seen)) {
        FT_REPORT_SET(lane, hold_from, FT_REPORT_GET(lane, executed));
        FT_REPORT_SET(lane, gate_seen, FT_ORDER_GET(lane, gate));
    }
}

bool primary_put(struct ft_record *record)
{
    void *room = ft_ring_reserve(&primary.lane.log, record->size);

    if (!room)
        return false;
    record->burst = ++primary.burst;
    record->seq = primary.packets + 1;
    memcpy(room, record, record->size);
    ft_ring_publish(&primary.lane.log, record->size);
    primary.packets += record->inputs;
    primary.bytes += record->size;
    FT_REPORT_SET(&primary.lane, executed, record->burst);
    FT_REPORT_SET(&primary.lane, recorded, record->burst);
    return true;
}

bool primary_put_packets(uint16_t packets)
{
    record_begin(0, FT_REC_BY_SEQ, 0);
    rec->inputs = packets;
    record_finish();
    return primary_put(rec);
}

void primary_turn(void)
{
    lane_turn();
    if (real_time)
        primary.now = ft_now();
    rp_turn(primary.replicator, primary.now);
}

struct rp_status primary_status(void)
{
    struct rp_status s;

    primary.now += 1000000;
    primary_turn();
    rp_status(primary.replicator, &s);
    return s;
}

static void configure(struct primary_options options)
{
    config = (struct rp_config){.core = {.name = "left",
                                         .lanes = 1,
                                         .warm = options.warm,
                                         .incarnation = 100,
                                         .heartbeat_ms = 50000,
                                         .lease_ms = 100000,
                                         .detect_ms = 200000,
                                         .promote_within_ms = 300000,
                                         .solo_after_ms = 600000,
                                         .resync_deadline_ms = 3600000,
                                         .drain_ms = 500000,
                                         .identity = IDENTITY,
                                         .identity_len = sizeof(IDENTITY) - 1},
                                .link = {.local_host = HERE,
                                         .peer_host = THERE,
                                         .local_port = help_free_port(HERE),
                                         .peer_port = help_free_port(THERE),
                                         .listens = true,
                                         .retry_ms = 20},
                                .region = region,
                                .lanes = &primary.lane,
                                .pending_bytes = 64u << 20,
                                .resync_mbps = 1000,
                                .compress = options.compress,
                                .protect = true,
                                .view_file = view_file};
    real_time = options.real_time;
}

void primary_open(struct primary_options options)
{
    static const uint64_t size = 4096;
    static const struct ft_region_config rc = {
        .name = "test", .lanes = 1, .nfs = 1, .arena_size = &size, .shared_size = FT_ARENA_MIN};
    struct ft_fault why = {""};

    memset(&primary, 0, sizeof(primary));
    memset(&standby, 0, sizeof(standby));
    standby.state = FT_JOINING;
    primary.burst = PRIMARY_CUT;
    snprintf(view_file, sizeof(view_file), "/tmp/primary-%d.view", getpid());
    if (ft_region_open(&region, &rc, &why))
        fail_msg("%s", why.text);
    ft_arena_alloc(ft_region_arena(region, 0, 0), FT_LINE);
    assert_int_equal(ft_lane_init(&primary.lane, 4 * FT_RECORD_MAX, 4096), 0);
    configure(options);
    primary.now = ft_now() + AHEAD;

    struct rp_link_config other = {.local_host = THERE,
                                   .peer_host = HERE,
                                   .local_port = config.link.peer_port,
                                   .peer_port = config.link.local_port,
                                   .retry_ms = 20};

    if (rp_open(&primary.replicator, &config, &why) || rp_link_open(&far_end, &other, &why))
        fail_msg("%s", why.text);
    UNTIL(rp_link_poll(far_end, ft_now()))
    {
        primary_turn();
    }
    primary_turn();
    say_hello();
    UNTIL(standby.seen[FT_MSG_SNAPSHOT_END])
    {
        primary_turn();
        standby_reads();
    }
    standby_answers();
}

int primary_setup(void **state)
{
    primary_open((struct primary_options){.compress = RP_COMPRESS_NEVER});
    return 0;
}

int primary_teardown(void **state)
{
    primary_close();
    return 0;
}

void primary_protect(void)
{
    uint64_t last = FT_REPORT_GET(&primary.lane, executed);

    standby_acks(last, last, 0);
    UNTIL(standby.seen[FT_MSG_HOLDING])
    {
        primary_turn();
        standby_reads();
    }
    standby.state = FT_READY;
    standby_acks(last, last, 0);
    primary_turn();
    assert_int_equal(primary_status().core.state, FT_PROTECTED);
}

void primary_close(void)
{
    rp_close(primary.replicator);
    rp_link_close(far_end);
    far_end = NULL;
    ft_snapshot_end(region);
    ft_lane_free(&primary.lane);
    ft_region_close(region);
    unlink(view_file);
}
