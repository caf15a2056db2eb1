/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the frames by which the chain announces which addresses its MAC has, of the configuration: for the
 * lane that was promoted, and, where another host claims such an address, for L3, whose times (l3_parts.h) it
 * writes.
 */
#include "nflib/chain/l3_parts.h"
#include "nflib/net/icmp.h"

#include <string.h>

#define DEFEND_EVERY NF_SECOND

_Static_assert(NF_ANNOUNCEMENT_MAX >= NF_ND_LEN && NF_ANNOUNCEMENT_MAX >= NF_ARP_LEN, "either kind");

static uint32_t write_announcement(const struct nf_interface *port, const struct nf_addr *addr, bool ipv6,
                                   uint8_t out[NF_ANNOUNCEMENT_MAX])
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6];
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

    if (!ipv6) {
        nf_arp_frame(out, 1, everybody, port->mac, nf_addr_ipv4(addr), nobody, nf_addr_ipv4(addr));
        return NF_ARP_LEN;
    }
    nf_nd_write(&(struct nf_nd){.type = NF_ND_ADVERTISEMENT,
                                .flags = NF_ND_ROUTER | NF_ND_OVERRIDE,
                                .target = addr->byte,
                                .mac = port->mac,
                                .from = addr->byte,
                                .to = all_nodes},
                NULL, out);
    return NF_ND_LEN;
}

uint32_t nf_l3_announce(const struct nf_l3_config *config, unsigned index, uint8_t out[NF_ANNOUNCEMENT_MAX],
                        uint8_t *port)
{
    for (unsigned i = 0; i < config->ports * NF_FAMILIES; i++) {
        const struct nf_interface *face = &config->port[i / NF_FAMILIES];
        bool ipv6 = i % NF_FAMILIES;
        unsigned first = !face->net[ipv6].bits ? 0 : ipv6 ? 2 : 1; /* link-local, and the link's */

        *port = (uint8_t)(i / NF_FAMILIES);
        if (index < first)
            return write_announcement(face, index + 1 < first ? &face->local : &face->net[ipv6].addr, ipv6,
                                      out);
        if (index < first + face->extras[ipv6])
            return write_announcement(face, &face->extra[ipv6][index - first], ipv6, out);
        index -= first + face->extras[ipv6];
    }
    return 0;
}

/* ---- another host claims one ------------------------------------------------------------------- */

/* own[`number`] of the family, at once, or a second after it was last. */
static void defend(struct nf_l3 *l3, bool ipv6, uint32_t number, uint64_t now)
{
    const struct nf_l3_defence *was = &l3->times->defence[ipv6][number];
    const struct nf_l3_own *own = &l3->family[ipv6].own[number];
    uint64_t due = was->said ? was->said + DEFEND_EVERY : 0;
    uint8_t frame[NF_ANNOUNCEMENT_MAX];

    if (due <= now) {
        uint32_t len = write_announcement(&l3->config->port[own->port], &own->addr, ipv6, frame);

        if (nf_emit(l3->nf, own->port, frame, len) == FT_OK) {
            *NF_EDIT(l3->nf, was) = (struct nf_l3_defence){.said = now};
            nf_count(l3->nf, NF_L3_DEFENDED, 1);
            return;
        }
        due = now; /* the burst had no room for it */
    }
    NF_EDIT(l3->nf, was)->due = due;
    nf_wake(l3->nf, due);
}

/* Of any interface of the chain: two of them may be on one link. */
static bool is_own_mac(const struct nf_l3 *l3, const uint8_t mac[6])
{
    for (uint32_t i = 0; i < l3->config->ports; i++)
        if (memcmp(l3->config->port[i].mac, mac, 6) == 0)
            return true;
    return false;
}

void nf_l3_note_conflict(struct nf_l3 *l3, const struct nf_addr *addr, uint8_t port, const uint8_t mac[6],
                         uint64_t now)
{
    bool ipv6 = nf_addr_is_ipv6(addr);
    const struct nf_l3_family *f = &l3->family[ipv6];

    if (is_own_mac(l3, mac))
        return;
    nf_claim_note(l3->nf, &l3->times->claimed[NF_L3_OWN_CLAIMED], addr, mac, port, now);
    nf_count(l3->nf, ipv6 ? NF_L3_ND_CONFLICT : NF_L3_ARP_CONFLICT, 1); /* whoever sees it finds the claim */
    for (uint32_t i = 0; i < f->owns; i++)
        if (f->own[i].port == port && nf_addr_same(&f->own[i].addr, addr))
            defend(l3, ipv6, i, now);
}

void nf_l3_defence_timers(struct nf_l3 *l3, uint64_t now)
{
    for (unsigned ipv6 = 0; ipv6 < NF_FAMILIES; ipv6++)
        for (uint32_t i = 0; i < l3->family[ipv6].owns; i++)
            if (l3->times->defence[ipv6][i].due)
                defend(l3, ipv6, i, now);
}

int nf_l3_defence_check(const struct nf_l3 *l3, struct nf_check *c)
{
    const struct nf_l3_defence *defence = &l3->times->defence[0][0];

    for (uint32_t i = 0; i < NF_FAMILIES * NF_L3_OWN_MAX; i++)
        if (defence[i].said > c->time || defence[i].due > c->time + DEFEND_EVERY)
            return nf_check_failed(c, "address %u is defended at a time that is not yet", i % NF_L3_OWN_MAX);
    for (unsigned k = 0; k < NF_L3_CLAIMED_KINDS; k++) {
        struct nf_claim claim;

        memcpy(&claim, &l3->times->claimed[k].word[1], sizeof(claim));
        if (claim.at > c->time || claim.port >= NF_PORTS_MAX)
            return nf_check_failed(c, "a claim of an address is of port %u and at a time that is not yet",
                                   claim.port);
    }
    return FT_OK;
}

bool nf_l3_claim(const struct nf *nf, enum nf_claimed which, struct nf_claim *out)
{
    const struct nf_l3 *l3 = nf->state;
    uint64_t value[sizeof(*out) / sizeof(uint64_t)];
    bool whole = nf_note_read(l3->times->claimed[which].word, value, sizeof(value) / sizeof(value[0]));

    memcpy(out, value, sizeof(*out));
    return whole;
}
