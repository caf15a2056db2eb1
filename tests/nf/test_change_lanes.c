/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of two lanes that is changed: flows of both go on, and what lanes share stays shared. */
#include "nflib/chain/change.h"
#include "node/config/config.h"
#include "tests/help/chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LANES   2u
#define FLOWS   200u /* of each lane */
#define SITE    NFT_IP(203, 0, 113, 1)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define NAT     "    - nat: { outside: 203.0.113.1, ports: 2000-2999 }\n"
#define MONITOR "    - monitor: {}\n"
#define LIMITER "    - rate_limiter: { clients: inside, pps: 1000000, burst_packets: 1000000 }\n"

/* A lane is a chain of its own beside the others, in the one region. */
static struct help_chain lane[LANES];
static struct nd_config *config;
static struct ft_region *region;
static struct ft_published published[LANES];
static uint16_t seen_port[LANES][FLOWS];

static struct nd_config *read_chain(const char *nfs)
{
    struct ft_fault fault = {""};
    struct nd_config *read = NULL;
    char path[] = "/tmp/test-lanes-XXXXXX", text[2048];
    int fd = mkstemp(path), n;

    assert_true(fd >= 0);
    n = snprintf(text, sizeof(text), "chain:\n  name: test\n  lanes: %u\n  nfs:\n%s", LANES, nfs);
    assert_int_equal(write(fd, text, (size_t)n), n);
    close(fd);
    if (nd_config_read(&read, path, 0, &fault))
        fail_msg("%s", fault.text);
    unlink(path);
    return read;
}

static void use_chain(unsigned l, struct nf_chain *chain)
{
    lane[l].chain = chain;
    lane[l].region = region;
    nf_chain_share(chain, published);
}

static void open_lanes(const char *nfs)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 1 << 20, .audit = true};
    struct ft_fault fault = {""};
    struct nf_chain *chain;

    config = read_chain(nfs);
    assert_int_equal(nf_chain_region(&region, &config->chain, &how, &fault), 0);
    ft_audit_suspend(region);
    for (unsigned l = 0; l < LANES; l++) {
        assert_int_equal(nf_chain_make(&chain, &config->chain, region, l, 1, &fault), 0);
        use_chain(l, chain);
        lane[l].now = HELP_SECOND;
    }
    ft_audit_resume(region);
}

static void change_lanes(const char *nfs)
{
    struct nf_chain *next[LANES] = {NULL}, *was[LANES] = {lane[0].chain, lane[1].chain};
    struct nf_chain_change change;
    struct nf_chain_switch s = {.change = &change,
                                .region = region,
                                .how = {.name = "test", .shared_size = 1 << 20},
                                .chain = was,
                                .seed = 77,
                                .next = next};
    struct nd_config *to = read_chain(nfs);
    struct ft_fault fault = {""};

    if (nf_chain_change_plan(&change, &config->chain, &to->chain, &fault) || nf_chain_switch(&s, &fault))
        fail_msg("%s", fault.text);
    for (unsigned l = 0; l < LANES; l++) {
        nf_chain_free(was[l]);
        use_chain(l, next[l]);
        assert_int_equal(nf_chain_check(next[l], NULL, NULL, &fault), 0);
    }
    ft_region_close(s.old);
    nd_config_free(config);
    config = to;
}

static void close_lanes(void)
{
    for (unsigned l = 0; l < LANES; l++)
        nf_chain_free(lane[l].chain);
    ft_region_close(region);
    nd_config_free(config);
}

static struct nft_spec out_of(unsigned l, unsigned i)
{
    return (struct nft_spec){.src = NFT_IP(10, 1, 2, 3) + l,
                             .dst = REMOTE,
                             .sport = (uint16_t)(5000 + i),
                             .dport = 53,
                             .proto = 17,
                             .payload = 20};
}

/* The flow leaves by a port that no other flow has, of whichever lane, and by the same one ever after. */
static void send_flows(unsigned from, unsigned to)
{
    static bool taken[65536];
    struct nft_seen seen;

    for (unsigned i = from; i < to; i++)
        for (unsigned l = 0; l < LANES; l++) {
            struct nft_spec s = out_of(l, i);

            assert_true(help_chain_spec(&lane[l], NF_INSIDE, &s, &seen));
            assert_int_equal(seen.src, SITE);
            if (seen_port[l][i] == 0) {
                if (taken[seen.sport])
                    fail_msg("port %u is another flow's", seen.sport);
                taken[seen.sport] = true;
                seen_port[l][i] = seen.sport;
            }
            assert_int_equal(seen.sport, seen_port[l][i]);
        }
}

static void answer_flows(unsigned to)
{
    struct nft_seen seen;

    for (unsigned i = 0; i < to; i++)
        for (unsigned l = 0; l < LANES; l++) {
            struct nft_spec s = {.src = REMOTE,
                                 .dst = SITE,
                                 .sport = 53,
                                 .dport = seen_port[l][i],
                                 .proto = 17,
                                 .payload = 20};

            assert_true(help_chain_spec(&lane[l], NF_OUTSIDE, &s, &seen));
            assert_int_equal(seen.dport, 5000 + i);
            assert_int_equal(seen.dst, NFT_IP(10, 1, 2, 3) + l);
        }
}

static void test_flows_of_both_lanes_go_on(void **state)
{
    (void)state;
    open_lanes(NAT MONITOR);
    send_flows(0, FLOWS / 2);
    change_lanes(NAT LIMITER MONITOR);
    send_flows(0, FLOWS / 2);
    answer_flows(FLOWS / 2);
    send_flows(FLOWS / 2, FLOWS);
    change_lanes(NAT LIMITER);
    send_flows(0, FLOWS);
    answer_flows(FLOWS);
    close_lanes();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flows_of_both_lanes_go_on)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
