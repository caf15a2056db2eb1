/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what `show l3` says: the neighbours, those of IPv4 first. Reads the tables, in the lane's thread. */
#include "nflib/chain/l3_parts.h"

#include <arpa/inet.h>

static void show_mac(struct nf_show *out, const char *name, const uint8_t m[6])
{
    nf_row_text(out, name, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void show_entry(const struct nf *nf, struct nf_show *out, const struct nf_neighbours *table,
                       uint32_t slot)
{
    const struct nf_l3 *l3 = nf->state;
    const struct nf_neighbour *entry = nf_map_value(table->map, slot);
    bool known = entry->flags & NF_NEIGHBOUR_KNOWN;
    uint8_t addr[16];
    char text[INET6_ADDRSTRLEN];

    nf_neighbours_addr(table, slot, addr);
    inet_ntop(table->ipv6 ? AF_INET6 : AF_INET, addr, text, sizeof(text));
    nf_row(out);
    nf_row_text(out, "addr", "%s", text);
    nf_row_text(out, "state", "%s",
                entry->flags & NF_NEIGHBOUR_FIXED       ? "fixed"
                : entry->flags & NF_NEIGHBOUR_CONTESTED ? "contested"
                : known                                 ? "known"
                                                        : "asked");
    if (known)
        show_mac(out, "mac", entry->mac);
    if (entry->flags & NF_NEIGHBOUR_CONTESTED)
        show_mac(out, "rival", entry->rival);
    nf_row_text(out, "port", "%s", l3->config->port[entry->port].name);
    if (entry->confirmed)
        nf_row_u64(out, "confirmed_ns", entry->confirmed);
}

static void show_ipv4(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    show_entry(nf, out, &((const struct nf_l3 *)nf->state)->neighbours, slot);
}

static void show_ipv6(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    show_entry(nf, out, &((const struct nf_l3 *)nf->state)->ipv6.neighbours, slot);
}

/* The table of IPv6 follows, from this cursor on. */
static bool show_rest(const struct nf *nf, const struct nf_map *ipv6, struct nf_show *out, uint64_t *cursor)
{
    if (*cursor < NF_NEIGHBOURS_MAX)
        *cursor = NF_NEIGHBOURS_MAX;
    return nf_show_slots(nf, ipv6, NF_NEIGHBOURS_MAX, out, cursor, show_ipv6);
}

bool nf_l3_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct nf_l3 *l3 = nf->state;
    const struct nf_map *ipv4 = l3->neighbours.map, *ipv6 = l3->ipv6.neighbours.map;

    return (*cursor < NF_NEIGHBOURS_MAX && nf_show_slots(nf, ipv4, 0, out, cursor, show_ipv4)) ||
           (ipv6 && show_rest(nf, ipv6, out, cursor));
}
