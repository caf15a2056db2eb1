/* SPDX-License-Identifier: Apache-2.0 */
/* Reads VLAN tags, takes them off and puts them on; see vlan.h. */
#include "nflib/net/vlan.h"
#include "nflib/net/packet.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESSES 12u /* bytes in front of the tags */
#define VID_MASK  0xfffu
#define TAGS      2u

bool nf_vlan_read(const uint8_t *frame, uint32_t len, struct nf_vlan *out, uint32_t *bytes)
{
    uint16_t type, vid;

    *out = (struct nf_vlan){.outer = 0};
    *bytes = 0;
    for (unsigned i = 0;; i++) {
        if (len < ADDRESSES + *bytes + 2)
            return false;
        type = ntohs(nf_get16(frame + ADDRESSES + *bytes));
        if (i == TAGS || (type != NF_TPID_8021Q && type != NF_TPID_8021AD))
            return true;
        if (len < ADDRESSES + *bytes + NF_VLAN_TAG)
            return false;
        vid = ntohs(nf_get16(frame + ADDRESSES + *bytes + 2)) & VID_MASK;
        *bytes += NF_VLAN_TAG;
        if (out->outer)
            out->inner = vid;
        else
            out->outer = vid;
    }
}

uint8_t nf_vlan_pcp_of_dscp(const uint8_t *frame, uint32_t len)
{
    uint16_t type = len > 15 ? ntohs(nf_get16(frame + ADDRESSES)) : 0;

    return type == 0x0800 ? frame[15] >> 5 : type == 0x86dd ? frame[14] >> 1 & 7 : 0;
}

static void write_tag(uint8_t *at, uint16_t tpid, uint16_t vid)
{
    const uint16_t tag[2] = {htons(tpid), htons(vid)};

    memcpy(at, tag, sizeof(tag));
}

uint8_t *nf_vlan_push(uint8_t *frame, const struct nf_vlan *v)
{
    uint8_t *out = frame - nf_vlan_bytes(v);

    memmove(out, frame, ADDRESSES);
    if (v->outer)
        write_tag(out + ADDRESSES, v->tpid, v->outer);
    if (v->inner)
        write_tag(out + ADDRESSES + NF_VLAN_TAG, NF_TPID_8021Q, v->inner);
    return out;
}
