/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of either family, see addr.h: what they are, and as text. Owns nothing. */
#include "nflib/net/addr.h"

#include <arpa/inet.h>

bool nf_net_is_edge(const struct nf_net *net, const struct nf_addr *addr)
{
    uint32_t mask = nf_net_mask_ipv4(net), host = nf_addr_ipv4(addr) & ~mask;

    return !net->ipv6 && net->bits < 127 && (host == 0 || host == ~mask) && nf_net_has(net, addr);
}

/* ---- text -------------------------------------------------------------------------------------- */

static bool parse_either(const char *text, struct nf_addr *out)
{
    uint32_t ipv4;

    if (strchr(text, ':'))
        return inet_pton(AF_INET6, text, out->byte) == 1;
    if (inet_pton(AF_INET, text, &ipv4) != 1)
        return false;
    *out = nf_addr_of_ipv4(ipv4);
    return true;
}

bool nf_addr_parse(const char *text, struct nf_addr *out)
{
    return parse_either(text, out) && nf_addr_is_ipv6(out) == (strchr(text, ':') != NULL);
}

bool nf_net_parse(const char *text, struct nf_net *out)
{
    size_t n = strcspn(text, "/"), digits = text[n] ? strspn(text + n + 1, "0123456789") : 0;
    unsigned most, bits = 0;
    char addr[NF_ADDR_TEXT];

    if (n >= sizeof(addr) || (text[n] && (!digits || text[n + 1 + digits])))
        return false;
    memcpy(addr, text, n);
    addr[n] = 0;
    out->ipv6 = strchr(addr, ':');
    most = out->ipv6 ? 128 : 32;
    for (const char *at = text + n; digits && bits <= most; digits--)
        bits = bits * 10 + (unsigned)(*++at - '0');
    bits = text[n] ? bits : most;
    out->bits = (uint8_t)(bits + 128 - most);
    return bits <= most && parse_either(addr, &out->addr);
}

const char *nf_addr_text(const struct nf_addr *addr, char out[NF_ADDR_TEXT])
{
    bool ipv6 = nf_addr_is_ipv6(addr);

    return inet_ntop(ipv6 ? AF_INET6 : AF_INET, ipv6 ? &addr->word[0] : &addr->word[3], out, NF_ADDR_TEXT);
}
