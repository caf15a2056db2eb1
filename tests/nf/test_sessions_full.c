/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A full table of sessions against a plain model: connections of TCP that go their course, step by step, with
 * resets, repeats and pauses, in a table with room for a part of them. The model knows a connection's class
 * by the step that it is at, and when it got there; so it knows which one a new connection displaces, and
 * when the others end. A second NF joins every second connection, and has room for fewer. The same bursts go
 * through a second chain: both regions are the same at the end.
 */
#include "ftcore/base/draw.h"
#include "nflib/chain/chain.h"
#include "nflib/session/table.h"
#include "nftest/frames.h"
#include "tests/help/test.h"
#include <arpa/inet.h>

#define PORTS   64u /* connections: by the client's port */
#define FLOWS   24u
#define FEW     8u /* of the second NF */
#define PACKETS 1000000u
#define NFS     2u

/* A connection's course: what comes next, from which side, and what it is then. */
enum class { NONE, TRANSITORY, ESTABLISHED, CLOSED };
static const struct {
    uint8_t flags, side;
    enum class class;
} course[] = {
    {NF_TCP_SYN, NF_INSIDE, TRANSITORY},
    {NF_TCP_SYN | NF_TCP_ACK, NF_OUTSIDE, TRANSITORY},
    {NF_TCP_ACK, NF_INSIDE, ESTABLISHED},
    {NF_TCP_ACK, NF_OUTSIDE, ESTABLISHED},
    {NF_TCP_FIN | NF_TCP_ACK, NF_INSIDE, ESTABLISHED}, /* half closed */
    {NF_TCP_FIN | NF_TCP_ACK, NF_OUTSIDE, TRANSITORY},
    {NF_TCP_ACK, NF_INSIDE, CLOSED},
};
#define STEPS (sizeof(course) / sizeof(course[0]))
static const uint32_t seconds[] = {[TRANSITORY] = 4, [ESTABLISHED] = 9, [CLOSED] = 1};

static struct {
    enum class class;
    uint32_t step;
    bool both; /* the second NF is in it */
    uint64_t seen, moment;
} model[PORTS];
static uint32_t live, few;
static uint64_t draws, now, moments, model_ended[NFS + 1][NF_SESSION_WHYS];

/* What NFs saw. */
static uint64_t ended[NFS + 1][NF_SESSION_WHYS];
static uint16_t displaced; /* the port of the connection that was displaced last */

static void flows(const void *config, struct nf_flows_config *wants)
{
    wants->max_flows = FLOWS;
    wants->timeouts[NF_TIMEOUT_TCP_ESTABLISHED] = seconds[ESTABLISHED];
    wants->timeouts[NF_TIMEOUT_TCP_TRANSITORY] = seconds[TRANSITORY];
    wants->timeouts[NF_TIMEOUT_TCP_CLOSED] = seconds[CLOSED];
}

static void few_flows(const void *config, struct nf_flows_config *wants)
{
    flows(config, wants);
    wants->max_flows = FEW;
}

static void session_ended(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t at)
{
    ended[nf->index][why]++;
    if (why == NF_SESSION_DISPLACED)
        displaced = ntohs(s->key[0].sport);
}

/* Only a request begins a connection, and what has no room is dropped. */
static void first_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t at)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (!nf_session_mine(nf, p) && (!nf_tcp_is_request(p->tcp_flags) || !nf_session_join(nf, p, at)))
            p->drop = 1;
    }
}

/* What has no room passes. From outside nothing begins. */
static void second_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t at)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (ntohs(p->side == NF_INSIDE ? p->sport : p->dport) % 2 && !nf_session_mine(nf, p) &&
            nf_session_of(nf, p))
            nf_session_join(nf, p, at);
    }
}

static const struct nf_module first = {.name = "first",
                                       .session_size = 8,
                                       .process = first_process,
                                       .flows = flows,
                                       .session_end = session_ended};
static const struct nf_module second = {.name = "second",
                                        .session_size = 8,
                                        .process = second_process,
                                        .flows = few_flows,
                                        .session_end = session_ended};

/* ---- the model ---- */

static uint32_t below(uint32_t n)
{
    return (uint32_t)(ft_draw(&draws) % n);
}

static void end(uint32_t port, enum nf_session_why why)
{
    model_ended[1][why]++;
    model_ended[2][why] += model[port].both;
    live--;
    few -= model[port].both;
    model[port].class = NONE;
    model[port].both = false;
}

static void expire(void)
{
    for (uint32_t port = 0; port < PORTS; port++)
        if (model[port].class && model[port].seen + seconds[model[port].class] * NF_SECOND <= now)
            end(port, NF_SESSION_IDLE);
}

static void become(uint32_t port, enum class class)
{
    if (class != ESTABLISHED && (model[port].class == NONE || model[port].class == ESTABLISHED))
        model[port].moment = ++moments;
    model[port].class = class;
}

/* The one that has been transitory longest goes, of those without a packet now; false: there is none. */
static bool displace(bool both, uint16_t *gone)
{
    uint32_t oldest = PORTS;

    for (uint32_t port = 0; port < PORTS; port++)
        if ((model[port].class == TRANSITORY || model[port].class == CLOSED) && model[port].seen != now &&
            (!both || model[port].both) && (oldest == PORTS || model[port].moment < model[oldest].moment))
            oldest = port;
    if (oldest == PORTS)
        return false;
    *gone = (uint16_t)oldest;
    end(oldest, NF_SESSION_DISPLACED);
    return true;
}

/* The connection's next packet, the last one again, or a reset; from which side. */
static uint8_t draw_packet(uint32_t port, uint8_t *side, bool *again)
{
    uint32_t step = model[port].class ? model[port].step : 0, what = below(8);

    *again = false;
    if (model[port].class && what == 0) {
        *side = (uint8_t)below(2);
        become(port, model[port].class == CLOSED ? CLOSED : TRANSITORY);
        model[port].step = STEPS;
        return NF_TCP_RST;
    }
    if (model[port].class && what == 1 && step < STEPS)
        step--; /* once more */
    else if (step == STEPS)
        step = 0, *again = true;
    *side = course[step].side;
    if (model[port].class && !*again)
        become(port, course[step].class);
    model[port].step = step + 1;
    return course[step].flags;
}

/* True: it passes. */
static bool model_packet(uint32_t port, bool again, uint16_t *gone)
{
    bool known = model[port].class != NONE;

    if (!known && live == FLOWS && !displace(false, gone))
        return false;
    model[port].seen = now;
    if (!known) {
        live++;
        model[port].both = false;
    }
    if (port % 2 && !model[port].both && (few < FEW || displace(true, gone))) {
        model[port].both = true;
        few++;
    }
    if (again) {
        model[port].class = NONE; /* and so the youngest */
        become(port, TRANSITORY);
    } else if (!known) {
        become(port, TRANSITORY);
    }
    return true;
}

static void run_one(struct nf_chain *chain, uint64_t burst, uint64_t *fulls)
{
    uint32_t port = below(PORTS);
    struct nft_spec s = {.proto = 6, .payload = 9};
    uint8_t frame[NFT_FRAME_MAX], side;
    uint16_t gone = PORTS;
    bool again, passes;
    struct nf_packet p;

    now += below(6) ? 0 : below(40) ? NF_SECOND / 10 : 3 * NF_SECOND;
    expire();
    s.tcp = draw_packet(port, &side, &again);
    s.src = side == NF_INSIDE ? NFT_IP(10, 0, 0, 1) : NFT_IP(198, 51, 100, 1);
    s.dst = side == NF_INSIDE ? NFT_IP(198, 51, 100, 1) : NFT_IP(10, 0, 0, 1);
    s.sport = side == NF_INSIDE ? (uint16_t)port : 80;
    s.dport = side == NF_INSIDE ? 80 : (uint16_t)port;
    p = (struct nf_packet){.data = frame, .side = side, .in_port = side};
    p.len = p.have = nft_frame(&s, frame);
    displaced = PORTS;
    passes = model_packet(port, again, &gone);
    nf_chain_run(chain, burst, now, &p, 1);
    assert_int_equal(!p.drop, passes);
    assert_int_equal(displaced, gone);
    assert_memory_equal(ended, model_ended, sizeof(ended));
    assert_int_equal(nf_sessions_count(nf_chain_nf(chain, 1)), live);
    assert_int_equal(nf_sessions_count(nf_chain_nf(chain, 2)), few);
    *fulls += !passes;
}

static uint64_t run_all(void)
{
    static struct nf_chain_config config = {
        .name = "test", .lanes = 1, .count = NFS, .nfs = {{&first, NULL}, {&second, NULL}}};
    static const struct ft_region_config how = {.name = "test", .shared_size = 64 << 10};
    struct ft_region *region;
    struct nf_chain *chain;
    struct ft_fault fault = {""};
    uint64_t fulls = 0, digest;

    if (nf_chain_region(&region, &config, &how, &fault) ||
        nf_chain_make(&chain, &config, region, 0, 7, &fault))
        fail_msg("%s", fault.text);
    memset(model, 0, sizeof(model));
    memset(ended, 0, sizeof(ended));
    memset(model_ended, 0, sizeof(model_ended));
    live = few = 0;
    moments = 0;
    draws = 5;
    now = NF_SECOND;
    for (uint32_t i = 1; i <= PACKETS; i++) {
        run_one(chain, i, &fulls);
        if (i % 10000 == 0 && nf_chain_check(chain, NULL, NULL, &fault))
            fail_msg("after %u packets: %s", i, fault.text);
    }
    for (unsigned nf = 1; nf <= NFS; nf++)
        assert_true(ended[nf][NF_SESSION_IDLE] > 1000 && ended[nf][NF_SESSION_DISPLACED] > 1000);
    assert_true(fulls > 1000);
    digest = ft_region_digest(region);
    nf_chain_free(chain);
    ft_region_close(region);
    return digest;
}

TEST(the_oldest_transitory_one_goes)
{
    uint64_t digest = run_all();

    assert_int_equal(run_all(), digest);
}
