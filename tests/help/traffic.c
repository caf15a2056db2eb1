/* SPDX-License-Identifier: Apache-2.0 */
/* Random frames and commands for a site; see traffic.h. */
#include "tests/help/traffic.h"
#include "tests/help/chain.h"

#include <string.h>

/* Few ends, so that flows meet again, and tables are full. */
uint32_t help_traffic_frame(uint64_t *draws, uint8_t side, uint8_t out[NFT_FRAME_MAX])
{
    static const uint8_t protos[] = {6, 6, 17, 1, 47};
    static const uint8_t flags[] = {NFT_SYN, NFT_SYN, NFT_ACK, NFT_ACK | NFT_SYN, NFT_FIN | NFT_ACK, NFT_RST};
    struct nft_spec s = {.src = NFT_IP(10, 0, 0, 2 + help_below(draws, 6)),
                         .dst = NFT_IP(198, 51, 100, 1 + help_below(draws, 4)),
                         .sport = (uint16_t)(1000 + help_below(draws, 8)),
                         .dport = (uint16_t)(help_below(draws, 2) ? 80 : 53),
                         .proto = protos[help_below(draws, 5)],
                         .tcp = flags[help_below(draws, 6)],
                         .type = help_below(draws, 2) ? 8 : 0,
                         .payload = (uint16_t)help_below(draws, 60)};

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

void help_traffic_arp(uint64_t *draws, const struct nf_interface *port, uint8_t out[NFT_FRAME_MAX])
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
    memcpy(out + 38, &port->addr, 4);
}

void help_traffic_command(uint64_t *draws, struct nf_chain *chain, uint64_t now)
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
