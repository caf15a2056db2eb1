/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of single values: numbers, addresses, names. They take a whole text or refuse it. */
#include "node/config/schema.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

bool nd_parse_u64(const char *text, uint64_t *value)
{
    uint64_t v = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        uint64_t d = (uint64_t)(*text - '0');

        if (!digit(*text) || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *value = v;
    return true;
}

bool nd_parse_ipv4(const char *text, uint32_t *addr)
{
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) != 1)
        return false;
    *addr = in.s_addr;
    return true;
}

/* The text in front of the last `mark` into head[cap], the number behind it into *tail. */
static bool split(const char *text, char mark, char *head, size_t cap, uint64_t *tail)
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

    if (!split(text, '/', head, sizeof(head), &bits) || bits > 32 || !nd_parse_ipv4(head, &prefix->addr))
        return false;
    prefix->mask = bits ? htonl(~0u << (32 - bits)) : 0;
    return true;
}

bool nd_parse_range(const char *text, struct nf_range *range)
{
    char head[32];
    uint64_t first, last;

    if (strchr(text, '-')) {
        if (!split(text, '-', head, sizeof(head), &last) || !nd_parse_u64(head, &first))
            return false;
    } else {
        if (!nd_parse_u64(text, &first))
            return false;
        last = first;
    }
    if (first > last || last > UINT32_MAX)
        return false;
    *range = (struct nf_range){.first = (uint32_t)first, .last = (uint32_t)last};
    return true;
}

bool nd_parse_mac(const char *text, uint8_t mac[6])
{
    uint8_t any = 0;

    for (int i = 0; i < 6; i++, text += 3) {
        unsigned value = 0;

        for (int k = 0; k < 2; k++) {
            const char *hex = "0123456789abcdef";
            const char *at =
                text[k] ? strchr(hex, text[k] | (text[k] >= 'A' && text[k] <= 'F' ? 0x20 : 0)) : NULL;

            if (!at)
                return false;
            value = value * 16 + (unsigned)(at - hex);
        }
        if (text[2] != (i < 5 ? ':' : 0))
            return false;
        mac[i] = (uint8_t)value;
        any |= mac[i];
    }
    return any && !(mac[0] & 1);
}

bool nd_parse_endpoint(const char *text, struct nd_endpoint *endpoint)
{
    char head[32];
    uint64_t port;

    if (!split(text, ':', head, sizeof(head), &port) || !port || port > 65535)
        return false;
    endpoint->port = (uint16_t)port;
    return nd_parse_ipv4(head, &endpoint->addr);
}

bool nd_parse_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return len && !text[len] && text[0] != '-';
}
