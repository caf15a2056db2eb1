/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what `show l3` says: the neighbours, those of IPv4 first. Reads the tables, in the lane's thread. */
#include "nflib/chain/l3_parts.h"

static void show_mac(struct nf_show *out, const char *name, const uint8_t m[6])
{
    nf_row_text(out, name, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void show_entry(const struct nf *nf, struct nf_show *out, bool ipv6, uint32_t slot)
{
    const struct nf_l3 *l3 = nf->state;
    const struct nf_neighbours *table = &l3->family[ipv6].neighbours;
    const struct nf_neighbour *entry = nf_map_value(table->map, slot);
    bool known = entry->flags & NF_NEIGHBOUR_KNOWN;
    struct nf_addr addr = nf_neighbours_addr(table, slot);
    char text[NF_ADDR_TEXT];

    nf_row(out);
    nf_row_text(out, "addr", "%s", nf_addr_text(&addr, text));
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
    show_entry(nf, out, false, slot);
}

static void show_ipv6(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    show_entry(nf, out, true, slot);
}

bool nf_l3_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct nf_l3 *l3 = nf->state;
    const struct nf_map *ipv6 = l3->family[NF_IP6].neighbours.map;

    if (*cursor < NF_NEIGHBOURS_MAX) {
        if (nf_show_slots(nf, l3->family[NF_IP4].neighbours.map, 0, out, cursor, show_ipv4))
            return true;
        *cursor = NF_NEIGHBOURS_MAX;
    }
    return ipv6 && nf_show_slots(nf, ipv6, NF_NEIGHBOURS_MAX, out, cursor, show_ipv6);
}
