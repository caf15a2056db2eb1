/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the frames by which the chain says which addresses its MAC has, of the configuration: for the lane
 * that was promoted, and, where another host claims such an address, for L3, whose times (l3_parts.h) it
 * writes.
 */
#include "nflib/chain/l3_parts.h"
#include "nflib/net/icmpv6.h"

#include <string.h>

#define DEFEND_EVERY NF_SECOND

static uint32_t announce_ipv4(const struct nf_interface *port, uint32_t addr, uint8_t *out)
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6];

    nf_arp_frame(out, 1, everybody, port->mac, addr, nobody, addr);
    return NF_ARP_LEN;
}

static uint32_t announce_ipv6(const struct nf_interface *port, const uint8_t addr[16], uint8_t *out)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

    nf_nd_write(&(struct nf_nd){.type = NF_ND_ADVERTISEMENT,
                                .flags = NF_ND_ROUTER | NF_ND_OVERRIDE,
                                .target = addr,
                                .mac = port->mac,
                                .from = addr,
                                .to = all_nodes},
                NULL, out);
    return NF_ND_LEN;
}

_Static_assert(NF_ANNOUNCEMENT_MAX >= NF_ND_LEN && NF_ANNOUNCEMENT_MAX >= NF_ARP_LEN, "either kind");

uint32_t nf_l3_announce(const struct nf_l3_config *config, unsigned index, uint8_t out[NF_ANNOUNCEMENT_MAX],
                        uint8_t *port)
{
    for (uint8_t i = 0; i < config->ports; i++) {
        const struct nf_interface *face = &config->port[i];
        unsigned first = face->addr ? 1 : 0;
        unsigned ipv4 = first + face->extras, ipv6 = face->bits6 ? 2u + face->extras6 : 0;

        *port = i;
        if (index < ipv4)
            return announce_ipv4(face, index < first ? face->addr : face->extra[index - first], out);
        index -= ipv4;
        if (index < ipv6)
            return announce_ipv6(face,
                                 index == 0   ? face->local6
                                 : index == 1 ? face->addr6
                                              : face->extra6[index - 2],
                                 out);
        index -= ipv6;
    }
    return 0;
}

/* ---- another host claims one ------------------------------------------------------------------- */

static const struct nf_l3_defence *defence_of(const struct nf_l3 *l3, bool ipv6, uint32_t number)
{
    return ipv6 ? &l3->times->defence6[number] : &l3->times->defence[number];
}

/* FT_EFULL: the burst has no room for it. */
static int announce(const struct nf_l3 *l3, bool ipv6, uint32_t number)
{
    uint8_t frame[NF_ANNOUNCEMENT_MAX], port = ipv6 ? l3->ipv6.own[number].port : l3->own[number].port;
    const struct nf_interface *face = &l3->config->port[port];
    uint32_t len = ipv6 ? announce_ipv6(face, l3->ipv6.own[number].addr, frame)
                        : announce_ipv4(face, l3->own[number].addr, frame);

    return nf_emit(l3->nf, port, frame, len);
}

void nf_l3_defend(struct nf_l3 *l3, bool ipv6, uint32_t number, uint64_t now)
{
    const struct nf_l3_defence *was = defence_of(l3, ipv6, number);
    uint64_t due = was->said ? was->said + DEFEND_EVERY : 0;

    if (due <= now && announce(l3, ipv6, number) == FT_OK) {
        *NF_EDIT(l3->nf, was) = (struct nf_l3_defence){.said = now};
        nf_count(l3->nf, NF_L3_DEFENDED, 1);
        return;
    }
    due = due > now ? due : now;
    NF_EDIT(l3->nf, was)->due = due;
    nf_wake(l3->nf, due);
}

void nf_l3_defence_timers(struct nf_l3 *l3, uint64_t now)
{
    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++)
        for (uint32_t i = 0; i < (ipv6 ? l3->ipv6.owns : l3->owns); i++)
            if (defence_of(l3, ipv6, i)->due)
                nf_l3_defend(l3, ipv6, i, now);
}

int nf_l3_defence_check(const struct nf_l3 *l3, struct nf_check *c)
{
    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++)
        for (uint32_t i = 0; i < (ipv6 ? NF_L3_OWN6_MAX : NF_L3_OWN_MAX); i++)
            if (defence_of(l3, ipv6, i)->said > c->time ||
                defence_of(l3, ipv6, i)->due > c->time + DEFEND_EVERY)
                return nf_check_failed(c, "address %u is defended at a time that is not yet", i);
    for (unsigned k = 0; k < NF_L3_CLAIMED_KINDS; k++) {
        struct nf_claim claim;

        memcpy(&claim, &l3->times->claimed[k].word[1], sizeof(claim));
        if (claim.at > c->time || claim.port >= NF_PORTS_MAX || claim.ipv6 > 1)
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
