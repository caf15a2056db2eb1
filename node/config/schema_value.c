/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of single values: numbers, addresses, names. They take a whole text or refuse it. */
#include "node/config/schema.h"
#include "nflib/net/ipv6.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/ether.h>
#include <stdlib.h>
#include <string.h>

bool nd_parse_u64(const char *text, uint64_t *value)
{
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return *text && !text[strspn(text, "0123456789")] && !errno;
}

bool nd_parse_ipv4(const char *text, uint32_t *addr)
{
    return inet_pton(AF_INET, text, addr) == 1;
}

const struct nd_yaml *nd_parse_hosts(const struct nd_yaml *v, struct nf_hosts *hosts)
{
    bool list = v->kind == ND_YAML_LIST;

    if (list ? !v->count || v->count > NF_HOSTS_MAX : v->kind != ND_YAML_TEXT)
        return v;
    for (const struct nd_yaml *e = list ? v->first : v; e; e = list ? e->next : NULL)
        if (e->kind != ND_YAML_TEXT || !nd_parse_ipv4(e->text, &hosts->list[hosts->count++]))
            return e;
    return NULL;
}

/* The text in front of the last `mark` into head[cap], the number behind it into *tail. */
static bool split_at_mark(const char *text, char mark, char *head, size_t cap, uint64_t *tail)
{
    const char *at = strrchr(text, mark);

    if (!at || (size_t)(at - text) >= cap || !nd_parse_u64(at + 1, tail))
        return false;
    memcpy(head, text, (size_t)(at - text));
    head[at - text] = 0;
    return true;
}

bool nd_parse_prefix(const char *text, struct nf_prefix *prefix)
{
    char head[32];
    uint64_t bits;

    if (!split_at_mark(text, '/', head, sizeof(head), &bits) || bits > 32 ||
        !nd_parse_ipv4(head, &prefix->addr))
        return false;
    prefix->mask = bits ? htonl(~0u << (32 - bits)) : 0;
    return true;
}

bool nd_parse_prefix6(const char *text, struct nd_prefix6 *prefix)
{
    char head[INET6_ADDRSTRLEN];
    uint64_t bits;

    if (!split_at_mark(text, '/', head, sizeof(head), &bits) || bits > 128)
        return false;
    prefix->bits = (uint8_t)bits;
    return inet_pton(AF_INET6, head, prefix->addr) == 1;
}

bool nd_parse_network4(const char *text, struct nf_prefix *network)
{
    return nd_parse_prefix(text, network) && (network->addr & ~network->mask) == 0;
}

bool nd_parse_network(const char *text, struct nf_networks *set)
{
    struct nf_prefix6 *ipv6 = &set->ipv6[set->count];
    struct nd_prefix6 prefix;

    if (nd_parse_network4(text, &set->ipv4.list[set->ipv4.count])) {
        set->ipv4.count++;
        return true;
    }
    if (!nd_parse_prefix6(text, &prefix) || nf_ipv6_has_host_bits(prefix.addr, prefix.bits))
        return false;
    memcpy(ipv6->addr, prefix.addr, sizeof(ipv6->addr));
    ipv6->bits = prefix.bits;
    set->count++;
    return true;
}

bool nd_parse_hop6(const char *text, struct nd_hop6 *hop)
{
    size_t len = strcspn(text, "%");
    const char *interface = text[len] ? text + len + 1 : "";
    char head[INET6_ADDRSTRLEN];

    if (len >= sizeof(head) || strlen(interface) >= sizeof(hop->interface) ||
        (text[len] && !nd_parse_name(interface)))
        return false;
    memcpy(head, text, len);
    head[len] = 0;
    memcpy(hop->interface, interface, strlen(interface) + 1);
    return inet_pton(AF_INET6, head, hop->addr) == 1;
}

bool nd_parse_range(const char *text, struct nf_range *range)
{
    char head[32];
    uint64_t first, last;

    if (!strchr(text, '-')) {
        if (!nd_parse_u64(text, &first))
            return false;
        last = first;
    } else if (!split_at_mark(text, '-', head, sizeof(head), &last) || !nd_parse_u64(head, &first)) {
        return false;
    }
    *range = (struct nf_range){.first = (uint32_t)first, .last = (uint32_t)last};
    return first <= last && last <= UINT32_MAX;
}

bool nd_parse_mac(const char *text, uint8_t mac[6])
{
    static const uint8_t none[6];
    bool whole = strlen(text) == 17 && text[14] == ':' && isxdigit((unsigned char)text[16]) &&
                 ether_aton_r(text, (struct ether_addr *)mac); /* so each number has two digits */

    return whole && memcmp(mac, none, 6) != 0 && !(mac[0] & 1);
}

bool nd_parse_endpoint(const char *text, struct nd_endpoint *endpoint)
{
    char head[32];
    uint64_t port;

    if (!split_at_mark(text, ':', head, sizeof(head), &port) || !port || port > 65535)
        return false;
    endpoint->port = (uint16_t)port;
    return nd_parse_ipv4(head, &endpoint->addr);
}

bool nd_parse_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len && !text[len] && text[0] != '-';
}
