/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet in place of cooked headers; see pair/cooked.h. */
#include "tools/pair/cooked.h"
#include "nflib/net/bytes.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <pcap/dlt.h>
#include <stddef.h>
#include <string.h>

/* Where the fields of a cooked header lie. */
struct cooked {
    int link;
    int bytes;
    uint32_t type;    /* two bytes: what it carries, as in Ethernet */
    uint32_t address; /* eight bytes: the sender's */
    uint32_t length;  /* the last byte of the field: how many of those count */
    uint32_t way;     /* the last byte of the field: PACKET_HOST and the others of the kernel */
};

static const struct cooked kinds[] = {
    {.link = DLT_LINUX_SLL, .bytes = 16, .type = 14, .address = 6, .length = 5, .way = 1},
    {.link = DLT_LINUX_SLL2, .bytes = 20, .type = 0, .address = 12, .length = 11, .way = 10},
};

static const struct cooked *kind_of(int link)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].link == link)
            return &kinds[i];
    return NULL;
}

bool nd_cooked_reads(int link)
{
    return link == DLT_EN10MB || kind_of(link);
}

bool nd_cooked_sent(int link, const uint8_t *data, uint32_t have)
{
    const struct cooked *kind = kind_of(link);

    return kind && have > (uint32_t)kind->bytes && data[kind->way] == PACKET_OUTGOING;
}

/* The receiver's address is in no cooked header: it is made up, and the same for all. */
int nd_cooked_head(int link, const uint8_t *data, uint32_t have, uint8_t head[ND_COOKED_HEAD])
{
    static const uint8_t receiver[ETHER_ADDR_LEN] = {2, 0, 0, 0, 0, 1}, sender[ETHER_ADDR_LEN] = {2};
    const struct cooked *kind = kind_of(link);
    uint16_t type;

    if (!kind)
        return 0;
    if (have <= (uint32_t)kind->bytes)
        return -1;
    type = ntohs(nf_get16(data + kind->type));
    if (type != ETHERTYPE_IP && type != ETHERTYPE_IPV6 && type != ETHERTYPE_ARP)
        return -1;
    memcpy(head, receiver, ETHER_ADDR_LEN);
    memcpy(head + ETHER_ADDR_LEN, data[kind->length] == ETHER_ADDR_LEN ? data + kind->address : sender,
           ETHER_ADDR_LEN);
    memcpy(head + 2 * ETHER_ADDR_LEN, data + kind->type, sizeof(type));
    return kind->bytes;
}
