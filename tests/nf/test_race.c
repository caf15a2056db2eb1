/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chains whose lanes share state, as threads, over captures: whatever happened live happens again in
 * replay, to the last byte of the region.
 */
#include "understudy/config/config.h"
#include "tests/help/chain.h"
#include "tests/help/race.h"
#include "tests/help/test.h"

#define FRAME 2048u

/* A capture dealt out to lanes, each with packets of all its own flows. */
struct dealt {
    struct help_capture capture;
    uint32_t *of[HELP_LANES], count[HELP_LANES];
};

static void deal(struct dealt *d, unsigned lanes)
{
    for (unsigned l = 0; l < lanes; l++)
        d->of[l] = calloc(d->capture.count, sizeof(uint32_t));
    for (uint32_t i = 0; i < d->capture.count; i++) {
        struct nft_seen s = {0};
        unsigned lane = 0;
        if (nft_see(d->capture.list[i].data, d->capture.list[i].have, &s))
            lane = ((s.src ^ s.dst) * 31u + (uint32_t)(s.sport ^ s.dport)) % lanes;
        d->of[lane][d->count[lane]++] = i;
    }
}

/* A lane that has no more begins again: its flows are known then. */
static void fill(unsigned lane, uint32_t burst, struct nf_packet packets[], uint32_t n, void *ctx)
{
    static _Thread_local uint8_t frames[NF_BURST_MAX][FRAME];
    const struct dealt *d = ctx;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t of = d->count[lane] ? d->of[lane][(burst * n + i) % d->count[lane]] : i % d->capture.count;
        const struct help_captured *c = &d->capture.list[of];
        uint32_t have = c->have < FRAME ? c->have : FRAME;
        memcpy(frames[i], c->data, have);
        packets[i] = (struct nf_packet){
            .data = frames[i], .len = c->len, .have = have, .side = c->side, .in_port = c->side};
    }
}

static void race(const char *file, const char *name, unsigned lanes, bool audit, unsigned rounds)
{
    struct help_race r = {
        .packets = 16, .bursts = 100, .step = HELP_SECOND / 20, .fill = fill, .audit = audit};
    struct nd_config *config = NULL;
    struct ft_fault fault = {""};
    struct dealt d = {.count = {0}};

    help_captures_or_skip();
    if (!help_capture_read(&d.capture, name))
        return;
    if (nd_config_read(&config, file, 0, &fault) < 0)
        fail_msg("%s", fault.text);
    deal(&d, lanes);
    r.config = config->chain;
    r.config.lanes = (uint16_t)lanes;
    r.ctx = &d;
    help_race_open(&r);
    for (unsigned round = 1; round <= rounds; round++) {
        r.seed = round;
        uint64_t live = help_race_live(&r, round);
        if (help_race_replay(&r, round + 100) != live)
            fail_msg("%s over %s: replay ends in another state", file, name);
    }
    printf("# %s, %s, %u lanes: %.1f dependencies in 1000 packets\n", file, name, lanes,
           1000.0 * (double)r.dependencies / (rounds * lanes * r.bursts * r.packets));
    help_race_close(&r);
    nd_config_free(config);
    for (unsigned l = 0; l < lanes; l++)
        free(d.of[l]);
    help_capture_free(&d.capture);
}

TEST(forward_replays_from_the_record)
{
    race("nfs/chains/forward.yaml", "mixed.pcap", 4, false, 3);
    race("nfs/chains/forward.yaml", "mixed.pcap", 2, true, 1);
}
TEST(the_race_chain_replays_from_the_record)
{
    race("nfs/chains/race.yaml", "gnutella.pcap", 4, false, 3);
    race("nfs/chains/race.yaml", "mixed.pcap", 3, true, 1);
}
TEST(the_balanced_chain_replays_from_the_record)
{
    race("nfs/chains/balanced.yaml", "synscan.pcap", 4, false, 2);
    race("nfs/chains/balanced.yaml", "mixed.pcap", 2, true, 1);
}

/* ---- the NAT's ports --------------------------------------------------------------------------- */

#define NAT     "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 20000, udp: 5 }\n"
#define OUTSIDE NFT_IP(203, 0, 113, 1)
#define REMOTE  NFT_IP(198, 51, 100, 7)

/* The configuration of a NAT; its chain is open without a region, since all have one address. */
static struct nf_chain_config open_nat(struct help_chain *h)
{
    help_chain_open(h, NAT, NULL, 1);
    ft_region_close(h->region);
    h->region = NULL;
    return h->config->chain;
}

static struct nf_packet frame_of(const struct nft_spec *spec, uint8_t side, uint8_t out[NFT_FRAME_MAX])
{
    uint32_t len = nft_frame(spec, out);
    return (struct nf_packet){.data = out, .len = len, .have = len, .side = side, .in_port = side};
}

/* Each lane's hosts open a flow with each tenth packet; flows end five seconds later, 100 bursts. */
static void fill_flows(unsigned lane, uint32_t burst, struct nf_packet packets[], uint32_t n, void *ctx)
{
    static _Thread_local uint8_t frames[NF_BURST_MAX][NFT_FRAME_MAX];
    uint32_t in = *(const uint32_t *)ctx;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t flow = (burst * n + i) / in;
        struct nft_spec spec = HELP_PACKET(17, NFT_IP(10, lane, 0, 1) + (flow >> 15),
                                           (uint16_t)(1 + (flow & 0x7fff)), REMOTE, 53, .payload = 20);
        packets[i] = frame_of(&spec, NF_INSIDE, frames[i]);
    }
}

static double nat_dependencies(const struct nf_chain_config *chain, uint32_t in, uint32_t bursts)
{
    struct help_race r = {
        .packets = 32, .bursts = bursts, .step = HELP_SECOND / 20, .fill = fill_flows, .ctx = &in, .seed = 1};
    r.config = *chain;
    r.config.lanes = HELP_LANES;
    help_race_open(&r);
    help_race_in_turn(&r);
    uint64_t made = 0;
    for (unsigned l = 0; l < HELP_LANES; l++)
        made += nf_chain_find(r.chains[l], "nat")->counters[0];
    assert_int_equal(made, HELP_LANES * ((bursts * 32 + in - 1) / in));
    help_race_close(&r);
    return 1000.0 * (double)r.dependencies / (HELP_LANES * 32.0 * bursts);
}

TEST(lanes_of_a_nat_meet_seldom)
{
    struct help_chain h;
    struct nf_chain_config chain = open_nat(&h);
    double flows = nat_dependencies(&chain, 10, 2000), flood = nat_dependencies(&chain, 1, 400);
    printf(
        "# nat, 4 lanes: %.2f dependencies in 1000 packets with flows of 10, %.2f with a new flow in each\n",
        flows, flood);
    assert_true(flows < 1 && flood < 5 && flood > 0);
    help_chain_close(&h);
}

static bool passes(struct help_race *r, unsigned lane, struct nf_packet *p)
{
    nf_chain_run(r->chains[lane], nf_chain_state(r->chains[lane])->burst + 1, HELP_SECOND, p, 1);
    return !p->drop;
}

/* The answer goes to the lane that the question was in, whichever lane is asked; an error about it too. */
TEST(a_mapping_belongs_to_the_lane_that_made_it)
{
    struct help_race r = {.bursts = 1, .packets = 1, .seed = 1, .step = 1};
    uint8_t out[NFT_FRAME_MAX], back[NFT_FRAME_MAX], error[NFT_FRAME_MAX];
    struct help_chain h;
    struct nft_seen s;
    unsigned owner = 99;

    r.config = open_nat(&h);
    r.config.lanes = HELP_LANES;
    help_race_open(&r);
    for (unsigned lane = 0; lane < HELP_LANES; lane++) {
        struct nft_spec ask = HELP_PACKET(17, NFT_IP(10, 0, 0, 9), 7, REMOTE, 53, .payload = 9);
        struct nf_packet p = frame_of(&ask, NF_INSIDE, out);
        assert_false(nf_chain_owner(r.chains[0], &p, &owner));
        assert_true(passes(&r, lane, &p));
        assert_true(nft_see(out, p.len, &s));
        struct nft_spec reply = HELP_PACKET(17, REMOTE, 53, OUTSIDE, s.sport, .payload = 9);
        struct nft_spec about = {.src = NFT_IP(192, 0, 2, 1), .dst = OUTSIDE, .proto = 1, .type = 3};
        about.inner = out + s.l3;
        about.inner_len = (uint16_t)(s.end - s.l3);
        p = frame_of(&about, NF_OUTSIDE, error);
        assert_true(nf_chain_owner(r.chains[3 - lane], &p, &owner));
        assert_int_equal(owner, lane);
        p = frame_of(&reply, NF_OUTSIDE, back);
        assert_true(nf_chain_owner(r.chains[3 - lane], &p, &owner));
        assert_int_equal(owner, lane);
        assert_false(passes(&r, (lane + 1) % HELP_LANES, &p));
        p = frame_of(&reply, NF_OUTSIDE, back);
        assert_true(passes(&r, lane, &p));
        reply.dport = 60000; /* nobody's */
        p = frame_of(&reply, NF_OUTSIDE, back);
        assert_false(nf_chain_owner(r.chains[0], &p, &owner));
        reply.dport = 80; /* below all of them */
        p = frame_of(&reply, NF_OUTSIDE, back);
        assert_false(nf_chain_owner(r.chains[0], &p, &owner));
    }
    help_race_close(&r);
    help_chain_close(&h);
}

/* NAT in racing lanes: the ports each lane gets are in its mappings, so in the digest. */
TEST(lanes_of_a_nat_replay_from_the_record)
{
    uint32_t in = 1;
    struct help_race r = {
        .packets = 32, .bursts = 60, .step = HELP_SECOND / 5, .fill = fill_flows, .ctx = &in};
    struct help_chain h;

    r.config = open_nat(&h);
    r.config.lanes = HELP_LANES;
    help_race_open(&r);
    for (unsigned round = 1; round <= 5; round++) {
        r.seed = round;
        uint64_t live = help_race_live(&r, round);
        assert_true(help_race_replay(&r, round + 100) == live);
    }
    assert_true(r.dependencies > 0);
    help_race_close(&r);
    help_chain_close(&h);
}
