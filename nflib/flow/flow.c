/* SPDX-License-Identifier: Apache-2.0 */
/* Timeouts of flows and their text; see flow.h. No state of its own. */
#include "nflib/flow/flow.h"

#include "nflib/net/tcp.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SHOW_ROWS 256u /* in a call */

uint8_t nf_timeout_class(uint8_t proto, uint8_t state)
{
    switch (proto) {
    case NF_PROTO_TCP:
        return nf_tcp_is_open(state)       ? NF_TIMEOUT_TCP_ESTABLISHED
               : state == NF_TCP_TIME_WAIT ? NF_TIMEOUT_TCP_CLOSED
                                           : NF_TIMEOUT_TCP_TRANSITORY;
    case NF_PROTO_UDP:
        return state == NF_ASSURED    ? NF_TIMEOUT_UDP
               : state == NF_ANSWERED ? NF_TIMEOUT_UDP_ANSWERED
                                      : NF_TIMEOUT_UDP_UNANSWERED;
    case NF_PROTO_ICMP:
    case NF_PROTO_ICMPV6:
        return NF_TIMEOUT_ICMP;
    default:
        return state == NF_ASSURED ? NF_TIMEOUT_OTHER : NF_TIMEOUT_OTHER_OPENING;
    }
}

const char *const nf_timeout_names[] = {
    "tcp_established", "tcp_transitory", "tcp_closed", "udp", "icmp", "other", NULL};

/* Names what the NF has: settings of its own, and its timeouts. */
static int refuse_setting(const struct nf *nf, const uint32_t timeouts[NF_TIMEOUT_COUNT], const char *key,
                          struct ft_fault *fault)
{
    char known[160];
    size_t n;

    snprintf(known, sizeof(known), "%s", nf->module->settings ? nf->module->settings : "");
    for (int class = 0; class < NF_TIMEOUT_COUNT; class ++)
        if (timeouts[class]) {
            n = strlen(known);
            snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", nf_timeout_names[class]);
        }
    return ft_fail(fault, FT_ENOENT, "%.60s: no such setting, expected %s", key, known);
}

int nf_timeout_set(const struct nf *nf, const uint32_t timeouts[NF_TIMEOUT_COUNT], const char *key,
                   const char *value, struct ft_fault *fault)
{
    for (int class = 0; class < NF_TIMEOUT_COUNT; class ++) {
        uint32_t seconds;
        if (strcmp(key, nf_timeout_names[class]) != 0 || timeouts[class] == 0)
            continue;
        if (!nf_number_parse(value, 1, NF_TIMEOUT_MAX, &seconds))
            return ft_fail(fault, FT_EINVAL, "%s=%s: expected seconds from 1 to %u", key, value,
                           NF_TIMEOUT_MAX);
        *(uint32_t *)nf_edit(nf, &timeouts[class], sizeof(seconds)) = seconds;
        return class;
    }
    return refuse_setting(nf, timeouts, key, fault);
}

bool nf_number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t n = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
        if (n > max)
            return false;
    }
    if (n < min)
        return false;
    *out = (uint32_t)n;
    return true;
}

const char *const nf_sides_names[] = {"outside", "inside", "both", NULL};
const char *const nf_policy_names[] = {"drop", "pass", NULL};

const char *nf_proto_name(uint8_t proto)
{
    switch (proto) {
    case NF_PROTO_TCP:
        return "tcp";
    case NF_PROTO_UDP:
        return "udp";
    case NF_PROTO_ICMP:
        return "icmp";
    case NF_PROTO_ICMPV6:
        return "icmpv6";
    default:
        return NULL;
    }
}

int nf_proto_parse(const char *text)
{
    static const uint8_t named[] = {NF_PROTO_TCP, NF_PROTO_UDP, NF_PROTO_ICMP, NF_PROTO_ICMPV6};
    uint32_t n;
    for (unsigned i = 0; i < sizeof(named); i++)
        if (strcmp(text, nf_proto_name(named[i])) == 0)
            return named[i];
    return nf_number_parse(text, 0, 255, &n) ? (int)n : -1;
}

void nf_row_proto(struct nf_show *out, uint8_t proto)
{
    const char *name = nf_proto_name(proto);
    if (name)
        nf_row_text(out, "proto", "%s", name);
    else
        nf_row_text(out, "proto", "%u", proto);
}

void nf_row_addr(struct nf_show *out, const char *name, const struct nf_addr *addr, uint16_t port)
{
    char text[NF_ADDR_TEXT];

    nf_row_text(out, name, nf_addr_is_ipv6(addr) ? "[%s]:%u" : "%s:%u", nf_addr_text(addr, text),
                ntohs(port));
}

void nf_row_end(struct nf_show *out, const char *name, uint32_t addr, uint16_t port)
{
    struct nf_addr a = nf_addr_of_ipv4(addr);

    nf_row_addr(out, name, &a, port);
}

bool nf_show_slots(const struct nf *nf, const struct nf_map *map, uint64_t first, struct nf_show *out,
                   uint64_t *cursor, void (*row)(const struct nf *nf, struct nf_show *out, uint32_t slot))
{
    uint32_t slot = (uint32_t)(*cursor - first);
    for (unsigned rows = 0; (slot = nf_map_next(map, slot)) != NF_NONE; slot++) {
        *cursor = first + slot;
        if (rows++ == SHOW_ROWS || nf_show_full(out))
            return true;
        row(nf, out, slot);
    }
    return false;
}
