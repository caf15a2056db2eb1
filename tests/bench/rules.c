/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a list of rules costs: new connections a second through a firewall alone, each a datagram of another
 * flow that no rule but the last matches, by the count of rules. Best of five passes; between two of them all
 * flows end. `bench-rules [COUNT...]`, on one core.
 */
#include "nflib/chain/chain.h"
#include "ftcore/base/draw.h"
#include "understudy/config/config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FLOWS  200000u
#define PASSES 5u
#define DAY_NS (86400ull * NF_SECOND)

static uint8_t frame[NF_BURST_MAX][64];
static uint64_t sequence = 1;

static void write_files(const char *chain, const char *rules, unsigned count)
{
    FILE *f = fopen(rules, "w");

    if (!f)
        exit(1);
    for (unsigned i = 0; i + 1 < count; i++)
        fprintf(f, "deny out udp from 10.%u.%u.%u to 198.%u.%u.0/24 port %u-%u\n", i >> 8, i & 255, i % 200,
                i % 250, i / 250, 1000 + i, 1000 + i + i % 40);
    fprintf(f, "allow out\n");
    fclose(f);
    f = fopen(chain, "w");
    if (!f)
        exit(1);
    fprintf(f, "chain: { name: rules, nfs: [ firewall: { rules: %s, max_flows: %u } ] }\n", rules, 2 * FLOWS);
    fclose(f);
}

static struct nf_packet make_packet(uint8_t *at, uint32_t flow)
{
    uint64_t draw = ft_draw(&sequence);

    memset(at, 0, 64);
    at[12] = 8;
    at[14] = 0x45;
    nf_put16(at + 16, htons(50));
    at[22] = 64;
    at[23] = NF_PROTO_UDP;
    nf_put32(at + 26, htonl(0x0a000000 | (flow & 0xfffff)));
    nf_put32(at + 30, htonl(0xc6000000 | (uint32_t)(draw & 0xffffff)));
    nf_put16(at + 34, htons((uint16_t)(draw >> 24)));
    nf_put16(at + 36, htons((uint16_t)(1000 + (draw >> 40) % 4096)));
    nf_put16(at + 38, htons(30));
    nf_put16(at + 24, nf_checksum(at + 14, 20));
    return (struct nf_packet){.data = at, .len = 64, .have = 64, .side = NF_INSIDE};
}

/* Of this thread alone: others share the core. */
static uint64_t now_cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NF_SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t pass(struct nf_chain *chain, uint64_t *burst, uint64_t now)
{
    struct nf_packet packets[NF_BURST_MAX];
    uint64_t spent = 0;

    for (uint32_t flow = 0; flow < FLOWS; flow += NF_BURST_MAX) {
        uint64_t from;

        for (uint32_t i = 0; i < NF_BURST_MAX; i++)
            packets[i] = make_packet(frame[i], flow + i);
        from = now_cpu();
        nf_chain_run(chain, ++*burst, now, packets, NF_BURST_MAX);
        spent += now_cpu() - from;
        for (uint32_t i = 0; i < NF_BURST_MAX; i++)
            if (packets[i].drop)
                fprintf(stderr, "flow %u is dropped\n", flow + i);
    }
    return spent;
}

static double measure(const char *file)
{
    struct ft_region_config how = {.name = "bench"};
    struct ft_fault fault = {""};
    struct nd_config *config;
    struct ft_region *region;
    struct nf_chain *chain;
    uint64_t burst = 0, now = DAY_NS, best = UINT64_MAX;

    if (nd_config_read(&config, file, 0, &fault) || nf_chain_region(&region, &config->chain, &how, &fault) ||
        nf_chain_make(&chain, &config->chain, region, 0, 1, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        exit(1);
    }
    for (unsigned i = 0; i < PASSES; i++) {
        uint64_t spent = pass(chain, &burst, now);

        best = spent < best ? spent : best;
        now += DAY_NS;
        for (unsigned n = 0; n < FLOWS; n++) /* timers end a bounded number of them in a burst */
            nf_chain_run(chain, ++burst, now + n * NF_MS, NULL, 0);
        now += DAY_NS;
    }
    nf_chain_free(chain);
    ft_region_close(region);
    nd_config_free(config);
    return FLOWS * 1e3 / (double)best;
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/bench-rules-XXXXXX", rules[64], chain[64];

    if (!mkdtemp(dir))
        return 1;
    snprintf(rules, sizeof(rules), "%s/rules", dir);
    snprintf(chain, sizeof(chain), "%s/chain.yaml", dir);
    for (int i = 1; i < argc; i++) {
        write_files(chain, rules, (unsigned)atoi(argv[i]));
        printf("%5s rules: %.2f M new connections a second\n", argv[i], measure(chain));
        fflush(stdout);
    }
    unlink(rules);
    unlink(chain);
    rmdir(dir);
    return 0;
}
