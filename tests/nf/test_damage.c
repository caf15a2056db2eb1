/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots that a liar has damaged: chains with addresses and small tables run traffic until they are full,
 * and their region is what a standby was sent. Words and bits of it are then overwritten at random, thousands
 * of times from a fixed seed. Either the check refuses what it finds, or the chain runs on it: packets,
 * timers, operators' commands, rows for show. It may do with the packets what it likes, but breaks no
 * invariant, writes nowhere else, and what it leaves passes the check again. Chains of one lane, and of two
 * that share.
 */
#include "ftcore/base/draw.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "nftest/frames.h"
#include "understudy/config/config.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#include <sys/wait.h>

/*
 * For tests of whole chains with addresses: random frames of a site with few hosts and ports, so that flows
 * meet again and small tables run full, and random commands. The site: 10.0.0.0/24 inside, backends 10.0.0.11
 * to .13; its NAT has 203.0.113.1, ports from 2000 on, its service is 203.0.113.10, port 80.
 */

#define HELP_NAT     NFT_IP(203, 0, 113, 1)
#define HELP_SERVICE NFT_IP(203, 0, 113, 10)

/* Few ends, so that flows meet again, and tables are full. */
static uint32_t help_traffic_frame(uint64_t *draws, uint8_t side, uint8_t out[NFT_FRAME_MAX])
{
    static const uint8_t protos[] = {6, 6, 17, 1, 47};
    static const uint8_t flags[] = {NFT_SYN, NFT_SYN, NFT_ACK, NFT_ACK | NFT_SYN, NFT_FIN | NFT_ACK, NFT_RST};
    struct nft_spec s =
        HELP_PACKET(protos[help_below(draws, 5)], NFT_IP(10, 0, 0, 2 + help_below(draws, 6)),
                    (uint16_t)(1000 + help_below(draws, 8)), NFT_IP(198, 51, 100, 1 + help_below(draws, 4)),
                    (uint16_t)(help_below(draws, 2) ? 80 : 53), .tcp = flags[help_below(draws, 6)],
                    .type = help_below(draws, 2) ? 8 : 0, .payload = (uint16_t)help_below(draws, 60));

    if (side == NF_OUTSIDE) {
        s.dst = help_below(draws, 2) ? HELP_NAT : HELP_SERVICE;
        s.src = NFT_IP(198, 51, 100, 1 + help_below(draws, 4));
        s.sport = (uint16_t)(help_below(draws, 2) ? 80 : 1000 + help_below(draws, 8));
        s.dport = (uint16_t)(s.dst == HELP_NAT ? 2000 + help_below(draws, 64) : 80);
    } else if (help_below(draws, 4) == 0) { /* a backend answers */
        s.src = NFT_IP(10, 0, 0, 11 + help_below(draws, 3));
        s.sport = help_below(draws, 2) ? 80 : 8080;
        s.dport = (uint16_t)(1000 + help_below(draws, 8));
    }
    if (help_below(draws, 8) == 0) {
        s.ip_id = (uint16_t)help_below(draws, 6);
        s.fragment = (uint16_t)(help_below(draws, 2) ? NFT_MORE : 8);
        s.payload = 64;
    }
    return nft_frame(&s, out);
}

/* A reply of 60 bytes, of some neighbour on that port. */
static void help_traffic_arp(uint64_t *draws, const struct nf_interface *port, uint8_t out[NFT_FRAME_MAX])
{
    static const uint8_t head[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2};
    const bool side = port->side == NF_OUTSIDE;
    const uint8_t host = (uint8_t)(side ? 250 + help_below(draws, 5) : 2 + help_below(draws, 14));
    uint8_t sender[4] = {side ? 203 : 10, 0, side ? 113 : 0, host};

    memset(out, 0, 60);
    memcpy(out, port->mac, 6);
    out[6] = out[22] = 2;
    out[11] = out[27] = host;
    memcpy(out + 12, head, sizeof(head));
    memcpy(out + 28, sender, 4);
    memcpy(out + 32, port->mac, 6);
    memcpy(out + 38, &port->net[NF_IP4].addr.word[3], 4);
}

/* Gives the chain one, which an NF may refuse. */
static void help_traffic_command(uint64_t *draws, struct nf_chain *chain, uint64_t now)
{
    static const char *const texts[] = {"set nat udp=5",
                                        "clear nat",
                                        "clear nat tcp/2005",
                                        "set firewall tcp_transitory=9",
                                        "set firewall rule.2=deny",
                                        "clear firewall",
                                        "set monitor timeout=3",
                                        "clear monitor",
                                        "set load_balancer backends=+10.0.0.14",
                                        "set load_balancer backends=-10.0.0.12",
                                        "set load_balancer backend.10.0.0.11=down",
                                        "set load_balancer backend.10.0.0.11=up",
                                        "clear load_balancer",
                                        "set rate_limiter pps=500",
                                        "clear rate_limiter"};
    const char *text = texts[help_below(draws, sizeof(texts) / sizeof(texts[0]))];
    struct ft_fault fault;

    nf_chain_command(chain, text, (uint32_t)strlen(text), now, &fault);
}

#define SECOND 1000000000ull
#define LANES  2u

static const char network[] =
    "interfaces:\n"
    "  - { name: inside, side: inside, address: 10.0.0.1/24, mac: \"02:00:00:00:00:01\" }\n"
    "  - { name: outside, side: outside, address: 203.0.113.2/24, mac: \"02:00:00:00:00:11\" }\n"
    "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.254 }\n";

static const char rules[] = "deny out tcp to any port 25\nallow in tcp to any port 80,8080-8090\n"
                            "allow in icmp type 8\ndefault allow out\ndefault deny in\n";

static const char signatures[] =
    "alert tcp any any -> any any (content:\"|01|\"; content:\"|04|\"; distance:1; within:9; sid:1;)\n"
    "alert udp any any -> any any (content:\"|02|\"; threshold:type both, track by_src, count 2, seconds 3; "
    "sid:2;)\n"
    "alert tcp any any -> any any (content:\"|05|\"; content:\"none\"; sid:3;)\n";

#define EDGE                                                                                                 \
    "    - nat: { outside: 203.0.113.1, ports: 2000-2063, unsupported: pass, max_flows: 48, max_fragments: " \
    "8 }\n"                                                                                                  \
    "    - firewall: { rules: firewall.rules, max_flows: 48, max_fragments: 8 }\n"                           \
    "    - monitor: { max_flows: 48 }\n"

#define MAPPED(rest)                                                                                         \
    "    - nat: { outside: 203.0.113.1, ports: 2000-2063, unsupported: " rest ", max_flows: 48, "            \
    "max_fragments: 8, mapping: endpoint_independent, filtering: endpoint_independent, hairpin: true, "      \
    "forward: \"tcp/80=10.0.0.11:8080, udp/53=10.0.0.12:53\" }\n"                                            \
    "    - monitor: { max_flows: 48 }\n    - flow_log: { events: 256 }\n"

#define BALANCED                                                                                             \
    EDGE "    - load_balancer: { vip: 203.0.113.10, port: 80, max_flows: 32, max_fragments: 8, "             \
         "backends: \"10.0.0.11 10.0.0.12 10.0.0.13:8080\" }\n"

#define RACE                                                                                                 \
    "    - vlan_qos: { rules: qos, max_flows: 48, timeout: 9 }\n"                                            \
    "    - rate_limiter: { clients: both, pps: 1000, max_connections: 8, max_clients: 24, max_flows: 48 }\n" \
    "    - load_balancer: { vip: 0.0.0.0, proto: both, clients: inside, policy: random, max_flows: 48, "     \
    "backends: \"198.18.0.1 198.18.0.2\" }\n"                                                                \
    "    - forward: { read: true }\n    - policer: { classes: police }\n"

#define INSPECT                                                                                              \
    EDGE "    - ips: { rules: ips.rules, max_flows: 48, stream_pieces: 12, flow_pieces: 4, max_notes: 12, "  \
         "max_tracked: 12, alerts: 8 }\n"

#define CAMPUS                                                                                               \
    "    - syn_proxy: { clients: inside, servers: [198.51.100.0/24, 203.0.113.0/24], ports: 1-100, "         \
    "max_flows: 24 }\n    - monitor: { max_flows: 48 }\n"                                                    \
    "    - portscan: { action: drop, answer: 1, remember: 3, hold: 2, theta0: 600, theta1: 400, "            \
    "alpha: 400, beta: 600, destinations: ports, max_hosts: 12, max_contacts: 24 }\n"

static struct {
    struct nd_config *config;
    struct ft_region *region;
    struct nf_chain *chain[LANES];
    struct ft_published published[LANES];
    unsigned lanes;
    uint64_t now, draws;
    uint8_t *copy; /* of the region, as it was sent */
    char dir[64];
} w;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(ft_draw(&w.draws) % n);
}

/* ---- the chain ----------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
    char path[96];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", w.dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void open_chain(const char *nfs, unsigned lanes)
{
    static const struct ft_region_config how = {.name = "damage", .shared_size = 256 << 10, .audit = true};
    struct ft_fault fault = {""};
    char text[4096], path[96];

    memset(&w, 0, sizeof(w));
    snprintf(w.dir, sizeof(w.dir), "/tmp/test-damage-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(text, sizeof(text), "chain:\n  name: test\n  lanes: %u\n  nfs:\n%s%s", lanes, nfs, network);
    write_file("chain.yaml", text);
    write_file("firewall.rules", rules);
    write_file("ips.rules", signatures);
    write_file("qos", "class a dscp ef\nclass b dscp 8\nmatch a tcp\nmatch b in udp\n");
    write_file("police", "class a dscp 46 rate 900 pps burst 9\nclass b dscp 8 rate 90 pps burst 9");
    snprintf(path, sizeof(path), "%s/chain.yaml", w.dir);
    w.lanes = lanes;
    if (nd_config_read(&w.config, path, 0, &fault) ||
        nf_chain_region(&w.region, &w.config->chain, &how, &fault))
        fail_msg("%s", fault.text);
    for (unsigned l = 0; l < lanes; l++) {
        if (nf_chain_make(&w.chain[l], &w.config->chain, w.region, l, 7, &fault))
            fail_msg("%s", fault.text);
        nf_chain_share(w.chain[l], w.published);
    }
    w.now = SECOND;
    w.draws = 11;
    w.copy = malloc(w.region->size);
    assert_non_null(w.copy);
}

static void close_chain(void)
{
    char command[96];

    for (unsigned l = 0; l < w.lanes; l++)
        nf_chain_free(w.chain[l]);
    ft_region_close(w.region);
    nd_config_free(w.config);
    free(w.copy);
    snprintf(command, sizeof(command), "rm -r %s", w.dir);
    assert_int_equal(system(command), 0);
}

/* ---- what comes ----------------------------------------------------------------------------------- */

static void show_all(const struct nf_chain *chain)
{
    static const char *const names[] = {"l3",           "nat",     "firewall", "monitor",  "load_balancer",
                                        "rate_limiter", "forward", "ips",      "portscan", "syn_proxy",
                                        "trojan",       "policer", "vlan_qos", "flow_log"};
    static char out[4096];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct nf *nf = nf_chain_find(chain, names[i]);
        uint64_t cursor = 0;
        bool more = nf != NULL;

        while (more) {
            struct nf_show *show = nf_show_begin(out, sizeof(out));

            more = nf->module->show(nf, show, &cursor);
            nf_show_end(show);
        }
    }
}

/* Bursts of each lane in turn, as a port would give them out. */
static void run_bursts(unsigned bursts)
{
    static uint8_t frame[NF_BURST_MAX][NFT_FRAME_MAX];
    static const uint64_t steps[] = {0, 1000, 1000000, 100000000, SECOND, 20 * SECOND, 400 * SECOND};

    for (unsigned i = 0; i < bursts; i++) {
        unsigned l = i % w.lanes;
        struct nf_packet burst[NF_BURST_MAX];
        uint32_t n = below(4) ? below(NF_BURST_MAX + 1) : 0;

        w.now += steps[below(i % 16 ? 4 : 7)];
        for (uint32_t p = 0; p < n; p++) {
            uint8_t side = (uint8_t)below(2);
            bool arp = below(12) == 0;
            const struct nf_interface *port = &w.config->chain.l3->port[side];
            uint32_t len = arp ? 60 : help_traffic_frame(&w.draws, side, frame[p]);

            if (arp)
                help_traffic_arp(&w.draws, port, frame[p]);
            memcpy(frame[p], port->mac, 6);
            burst[p] =
                (struct nf_packet){.data = frame[p], .len = len, .have = len, .in_port = side, .side = side};
        }
        if (below(16) == 0)
            help_traffic_command(&w.draws, w.chain[l], w.now);
        nf_chain_run(w.chain[l], nf_chain_state(w.chain[l])->burst + 1, w.now, burst, n);
        ft_audit_check(w.region, l);
    }
    for (unsigned l = 0; l < w.lanes; l++)
        show_all(w.chain[l]);
}

/* ---- damage ---------------------------------------------------------------------------------------- */

static int check(struct ft_fault *fault)
{
    int error = 0;

    for (unsigned l = 0; l < w.lanes && !error; l++)
        error = nf_chain_check(w.chain[l], NULL, NULL, fault);
    return error;
}

static void keep_or_restore(bool restore)
{
    for (unsigned i = 0; i < w.region->arena_count; i++) {
        const struct ft_arena *a = &w.region->arenas[i];

        memcpy(restore ? w.region->base + a->offset : w.copy + a->offset,
               restore ? w.copy + a->offset : w.region->base + a->offset, a->used);
    }
}

/* Of some arena, mostly of its beginning, and mostly one that is not zero: what is free is never looked at.
 */
static uint8_t *some_word(void)
{
    const struct ft_arena *a = NULL;
    uint8_t *word = NULL;
    uint32_t value = 0;

    for (unsigned tries = 0; !word || (!value && tries < 20); tries++) {
        a = &w.region->arenas[below(w.region->arena_count)];
        if (a->used == 0)
            continue;
        uint64_t words = a->used / 4,
                 at = below(4) ? below((uint32_t)words) : below(words < 64 ? (uint32_t)words : 64);

        word = w.region->base + a->offset + at * 4;
        memcpy(&value, word, 4);
    }
    return word;
}

static void damage(char text[160])
{
    uint8_t *at = some_word();
    uint32_t was, value = below(3) ? below(128) : (uint32_t)ft_draw(&w.draws);
    unsigned how = below(6);

    memcpy(&was, at, 4);
    switch (how) {
    case 0:
    case 1:
        value = was ^ 1u << below(32);
        break;
    case 2:
        value = was + below(9) - 4;
        break;
    case 3:
        value = UINT32_MAX - below(2);
        break;
    case 4: /* what is somewhere else */
        memcpy(&value, some_word(), 4);
        break;
    default:
        break;
    }
    memcpy(at, &value, 4);
    snprintf(text, 160, "offset 0x%lx: %u becomes %u", (uint64_t)(at - w.region->base), was, value);
}

static bool is_zero_beyond_arenas(void)
{
    for (unsigned i = 0; i < w.region->arena_count; i++) {
        const struct ft_arena *a = &w.region->arenas[i];
        const uint8_t *at = w.region->base + a->offset + a->used, *end = w.region->base + a->offset + a->size;

        for (; at < end; at += 8)
            if (*(const uint64_t *)(const void *)at)
                return false;
    }
    return true;
}

/* In a process of its own, since it may break an invariant. */
static bool runs_on(void)
{
    struct ft_fault fault = {""};
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        w.now = w.now > 1ull << 60 ? w.now : w.now + SECOND;
        for (unsigned l = 0; l < w.lanes; l++)
            w.now = nf_chain_state(w.chain[l])->time > w.now ? nf_chain_state(w.chain[l])->time : w.now;
        run_bursts(80);
        if (check(&fault)) {
            fprintf(stderr, "# and after that: %s\n", fault.text);
            _exit(3);
        }
        _exit(is_zero_beyond_arenas() ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

/* DAMAGE=N: so many times as many (check-long). */
static void chain_refuses_damage_or_runs_on_it(const char *nfs, unsigned lanes, unsigned times)
{
    struct ft_fault fault = {""};
    unsigned refused = 0, ran = 0;
    char texts[3][160];

    times *= getenv("DAMAGE") ? (unsigned)atoi(getenv("DAMAGE")) : 1;
    open_chain(nfs, lanes);
    if (check(&fault))
        fail_msg("a chain that has just been made: %s", fault.text);
    for (unsigned i = 0; i < 60; i++) {
        run_bursts(25);
        if (check(&fault))
            fail_msg("after %u bursts: %s", 25 * (i + 1), fault.text);
    }
    keep_or_restore(false);
    ft_audit_suspend(w.region);
    for (unsigned i = 0; i < times; i++) {
        unsigned words = below(4) ? 1 : 3;

        for (unsigned n = 0; n < words; n++)
            damage(texts[n]);
        if (check(&fault)) {
            refused++;
            assert_int_equal(strncmp(fault.text, "state: lane ", 12), 0);
        } else {
            ran++;
            if (!runs_on())
                fail_msg("number %u, %s%s%s%s%s: the check lets it pass, and the chain does not run on it", i,
                         texts[0], words > 1 ? "; " : "", words > 1 ? texts[1] : "", words > 1 ? "; " : "",
                         words > 1 ? texts[2] : "");
        }
        keep_or_restore(true);
    }
    ft_audit_resume(w.region);
    assert_true(refused > times / 5 && ran > times / 50);
    close_chain();
}

TEST(chains_refuse_damage_or_run_on_it)
{
    static const struct {
        const char *name, *nfs;
        unsigned lanes, times;
    } rows[] = {{"a site", EDGE, 1, 300},
                {"a site with a service", BALANCED, 1, 300},
                {"a port for each end, and what has no ports by its address", MAPPED("by_address"), 1, 200},
                {"a port for each end, and what has no ports passes", MAPPED("pass"), 1, 200},
                {"two lanes of a site with a service", BALANCED, 2, 250},
                {"a campus", CAMPUS, 1, 300},
                {"lanes that share all", RACE, 2, 200},
                {"what looks into payload", INSPECT, 2, 200}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# %s\n", rows[i].name);
        chain_refuses_damage_or_runs_on_it(rows[i].nfs, rows[i].lanes, rows[i].times);
    }
}
