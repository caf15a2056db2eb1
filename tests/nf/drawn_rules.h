/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules and packets drawn so that they meet: rules whose networks lie in each other, with ports that overlap,
 * and packets at the edges of what a rule wants. For tests that hold two ways of judging against each other.
 */
#ifndef TESTS_NF_DRAWN_RULES_H
#define TESTS_NF_DRAWN_RULES_H

#include "ftcore/base/draw.h"
#include "nfs/firewall.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t drawn_from = 1; /* the sequence */

static inline uint32_t drawn(uint32_t below)
{
    return (uint32_t)(ft_draw(&drawn_from) % below);
}

/* How many packets are judged in all: PAIRS in the environment, some 10^5 without. */
static inline uint64_t drawn_pairs(void)
{
    const char *text = getenv("PAIRS");

    return text ? strtoull(text, NULL, 10) : 200000;
}

/* Few bits differ, so networks lie in each other. */
static inline struct nf_addr drawn_addr(bool ipv6)
{
    static const uint8_t bytes[] = {0x00, 0x00, 0x01, 0x80, 0xff, 0x0a};
    struct nf_addr addr;

    for (unsigned i = 0; i < 16; i++)
        addr.byte[i] = bytes[drawn(i < 14 ? 3 : sizeof(bytes))];
    return ipv6 ? addr : nf_addr_of_ipv4(addr.word[3] & htonl(0x818381ff));
}

static inline int drawn_host(char *out, size_t size, bool ipv6)
{
    struct nf_addr addr = drawn_addr(ipv6);
    unsigned bits = drawn(ipv6 ? 129 : 33);
    char text[INET6_ADDRSTRLEN];
    const uint8_t *at = ipv6 ? addr.byte : addr.byte + 12;
    uint8_t net[16] = {0};

    if (drawn(4) == 0)
        return snprintf(out, size, "any");
    for (unsigned i = 0; i < bits; i++)
        net[i / 8] |= (uint8_t)(at[i / 8] & 0x80 >> i % 8);
    if (ipv6 && !memcmp(net, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12))
        bits = 0, memset(net, 0, 16); /* is no network of IPv6 */
    return snprintf(out, size, "%s/%u", inet_ntop(ipv6 ? AF_INET6 : AF_INET, net, text, sizeof(text)), bits);
}

static inline int drawn_ports(char *out, size_t size)
{
    int n = snprintf(out, size, " port ");

    for (unsigned i = 0, many = 1 + drawn(drawn(4) ? 1 : 4); i < many; i++) {
        uint32_t first = drawn(4) ? drawn(300) : drawn(65536);
        uint32_t last = drawn(8) == 0 ? 65535 : drawn(2) ? first : first + drawn(65536 - first);

        n += snprintf(out + n, size - (size_t)n, i ? ",%u-%u" : "%u-%u", first, last);
    }
    return n;
}

/* "[in|out] BETWEEN PROTO from ... to ... type ...": `between` is words of an NF's own. */
static inline void drawn_match(char *out, size_t size, const char *between)
{
    static const char *const protos[] = {"tcp", "udp", "icmp", "icmpv6", "any", "47", "0", "255"};
    static const char *const sides[] = {"", "in ", "out "};
    unsigned proto = drawn(8);
    bool ipv6 = drawn(2);
    int n = snprintf(out, size, "%s%s%s", sides[drawn(3)], between, protos[proto]);

    for (unsigned end = 0; end < 2; end++) {
        if (drawn(6) == 0)
            continue;
        n += snprintf(out + n, size - (size_t)n, end ? " to " : " from ");
        n += drawn_host(out + n, size - (size_t)n, ipv6);
        if (proto < 2 && drawn(2))
            n += drawn_ports(out + n, size - (size_t)n);
    }
    if ((proto == 2 || proto == 3) && drawn(2))
        snprintf(out + n, size - (size_t)n, " type %u", drawn(drawn(2) ? 256 : 10));
}

static inline uint16_t drawn_port_of(const struct fw_rule *rule, unsigned at, unsigned count)
{
    unsigned i = at + (count ? drawn(count) : 0);

    if (!count || drawn(4) == 0)
        return (uint16_t)drawn(drawn(2) ? 65536 : 300);
    return (uint16_t)((drawn(2) ? rule->first[i] : rule->last[i]) + drawn(3) - 1);
}

/* Of the network; sometimes the address before it, or behind it. */
static inline uint32_t drawn_in(uint32_t addr, uint32_t mask)
{
    uint32_t first = ntohl(addr), last = first | ~ntohl(mask);
    uint32_t some[] = {first, last, first - 1, last + 1, first | (drawn(UINT32_MAX) & ~ntohl(mask)), first};

    return htonl(some[drawn(6)]);
}

static inline void drawn_in6(const struct fw_rules *rules, uint32_t place, uint8_t out[16])
{
    struct nf_addr addr = drawn_addr(true);

    memcpy(out, addr.byte, 16);
    if (!place || drawn(8) == 0)
        return;
    const struct nf_net *net = &rules->host[place - 1];
    for (unsigned i = 0; i < net->bits; i++)
        out[i / 8] = (uint8_t)((out[i / 8] & ~(0x80 >> i % 8)) | (net->addr.byte[i / 8] & 0x80 >> i % 8));
    if (net->bits && drawn(8) == 0)
        out[(net->bits - 1) / 8] ^= (uint8_t)(0x80 >> (net->bits - 1) % 8);
}

/* A packet near a rule that is drawn, if there is one. `frame`: 64 bytes and more, with the IP header at 18
 * behind a tag. */
static inline struct nf_packet drawn_packet(const struct fw_rules *rules, uint8_t *frame)
{
    static const struct fw_rule none = {.proto = FW_ANY};
    static const uint8_t protos[] = {6, 17, 1, 58, 47, 0, 255, 132};
    const struct fw_rule *rule = rules->count ? &rules->list[drawn(rules->count)] : &none;
    bool ipv6 = rule->ipv6 || (!rule->ipv4 && drawn(2));
    struct nf_packet p = {.data = frame,
                          .len = 64,
                          .have = 64,
                          .l3 = 18,
                          .side = (uint8_t)drawn(2),
                          .flags = (uint16_t)((ipv6 ? NF_P_IPV6 | NF_P_IPV6_READ : NF_P_IPV4) |
                                              (drawn(8) ? NF_P_L4 : 0) | (drawn(2) ? NF_P_VLAN : 0)),
                          .proto = rule->proto == FW_ANY || drawn(8) == 0 ? protos[drawn(8)]
                                                                          : (uint8_t)rule->proto,
                          .icmp_type = (uint8_t)(rule->typed && drawn(4) ? rule->first[0] : drawn(12)),
                          .sport = htons(drawn_port_of(rule, 0, rule->sports)),
                          .dport = htons(drawn_port_of(rule, rule->sports, rule->dports))};

    frame[12] = 0x81;
    frame[13] = 0;
    frame[14] = (uint8_t)(drawn(8) << 5);
    frame[15] = (uint8_t)drawn(6);
    frame[18] = (uint8_t)(ipv6 ? 0x60 | drawn(16) : 0x45);
    frame[19] = (uint8_t)drawn(256);
    if (ipv6) {
        drawn_in6(rules, rule->ipv6 ? rule->saddr : 0, frame + 18 + 8);
        drawn_in6(rules, rule->ipv6 ? rule->daddr : 0, frame + 18 + 24);
    } else {
        p.saddr = drawn_in(rule->saddr, rule->smask);
        p.daddr = drawn_in(rule->daddr, rule->dmask);
    }
    return p;
}

/* A count of rules: few, some, as many as there may be; around a word's bits. */
static inline uint32_t drawn_count(void)
{
    static const uint32_t counts[] = {0, 1, 2, 31, 63, 64, 65, 127, 129, 700};

    return drawn(40) == 0 ? FW_RULES_MAX - drawn(2) : drawn(2) ? counts[drawn(10)] : 1 + drawn(200);
}

#define DRAWN_PACKETS 2000u /* of a list */

#endif
