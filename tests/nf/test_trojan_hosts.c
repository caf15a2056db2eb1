/* SPDX-License-Identifier: Apache-2.0 */
/* trojan's table of hosts: who is forgotten when, and for whom, against a plain model; a peer's list of them.
 */
#include "ftcore/base/draw.h"
#include "tests/help/chain.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

#define TENTH (HELP_SECOND / 10)
#define HOSTS 20u
#define ROOM  8u

static struct help_chain h;

static void open_one(const char *nfs)
{
    help_chain_open(&h, nfs, NULL, 3);
    help_chain_idle(&h, 100 * HELP_SECOND);
}

/* A host's event: it begins a connection of SSH, each time from another port. */
static void begin(uint32_t host)
{
    static uint16_t port;
    struct nft_spec syn = HELP_PACKET(6, NFT_IP(10, 0, 0, 1) + host, (uint16_t)(1000 + port++ % 60000),
                                      NFT_IP(203, 0, 113, 9), 22, .tcp = NFT_SYN);

    assert_true(help_chain_spec(&h, NF_INSIDE, &syn, NULL));
}

/* seen[]: the last event of each host in tenths of a second; 0: it is not known. */
static void compare_hosts(const uint64_t seen[HOSTS])
{
    static char text[65536];
    uint32_t rows = help_chain_show(&h, "trojan", text, sizeof(text)), known = 0;
    uint64_t first = UINT64_MAX;
    char host[64];

    for (uint32_t i = 0; i < HOSTS; i++) {
        snprintf(host, sizeof(host), "\"host\":\"10.0.0.%u\"", i + 1);
        assert_int_equal(strstr(text, host) != NULL, seen[i] != 0);
        known += seen[i] != 0;
        first = seen[i] && seen[i] < first ? seen[i] : first;
    }
    assert_int_equal(rows, known);
    assert_true(!known || nf_chain_wake(h.chain) <= (first + 50) * TENTH);
}

CHAIN_TEST(the_host_with_the_oldest_event_makes_room)
{
    uint64_t seen[HOSTS] = {0}, sequence = 7, displaced = 0;

    open_one("    - trojan: { remember: 5, max_hosts: 8 }\n");
    for (unsigned i = 0; i < 5000; i++) {
        uint32_t host = (uint32_t)(ft_draw(&sequence) % HOSTS), known = 0, oldest = 0;

        help_chain_wait_tenths(&h, 1 + ft_draw(&sequence) % (i % 300 < 200 ? 3 : 20));
        begin(host);
        for (uint32_t j = 0; j < HOSTS; j++) {
            seen[j] = seen[j] + 50 > h.now / TENTH ? seen[j] : 0;
            known += seen[j] != 0;
            oldest = seen[j] && (!seen[oldest] || seen[j] < seen[oldest]) ? j : oldest;
        }
        if (known == ROOM && !seen[host]) {
            seen[oldest] = 0;
            displaced++;
        }
        seen[host] = h.now / TENTH;
        compare_hosts(seen);
    }
    assert_int_equal(help_chain_counter(&h, "trojan", "hosts_displaced"), displaced);
    assert_in_range(displaced, 500, 5000);
}

/* As in trojan.c. */
struct hosts {
    struct nf_map *hosts;
    struct nf_lists *order;
    struct nf_list by_event;
};
struct host {
    uint64_t seen, at, irc;
    uint32_t step;
};

CHAIN_TEST(a_damaged_order_is_refused)
{
    struct hosts *tj;
    struct host *host[2];

    open_one("    - trojan: { max_hosts: 4, max_flows: 8 }\n");
    tj = nf_chain_find(h.chain, "trojan")->state;
    content_of_chain(h.region, h.chain);
    for (uint32_t i = 0; i < 2; i++) {
        help_chain_wait_tenths(&h, 1);
        begin(i);
        host[i] = (struct host *)(uintptr_t)nf_map_value(tj->hosts, i);
    }
    help_chain_wait_tenths(&h, 1);
    content_passes();
    DAMAGED(&tj->order, NULL, "constant");
    DAMAGED(&tj->by_event.first, 0, "2 entries are linked, expected the 0 of the list");
    DAMAGED(&tj->by_event.first, 2, "does not end with 2");
    DAMAGED(&tj->by_event.first, 3, "does not end with 3");
    DAMAGED(&tj->by_event.first, UINT32_MAX, "has 4294967295 behind 0");
    DAMAGED(&host[0]->step, 5, "host 0 has done 5 steps");
    DAMAGED(&host[0]->seen, host[1]->seen + 1, "host 1 had its last event at");
    DAMAGED(&host[1]->seen, h.now + 1, "host 1 had its last event at");
}
