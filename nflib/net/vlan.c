/* SPDX-License-Identifier: Apache-2.0 */
/* Reads VLAN tags, takes them off and puts them on; see vlan.h. */
#include "nflib/net/vlan.h"
#include "nflib/net/packet.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESSES 12u /* bytes in front of the tags */
#define VID_MASK  0xfffu
#define TAGS      2u
#define TCI       14u /* of the first tag */
#define PCP_SHIFT 5u  /* in its first byte */

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

uint16_t nf_vlan_vid(const uint8_t *frame)
{
    return ntohs(nf_get16(frame + TCI)) & VID_MASK;
}

uint8_t nf_vlan_pcp(const uint8_t *frame)
{
    return frame[TCI] >> PCP_SHIFT;
}

void nf_vlan_set_pcp(uint8_t *frame, uint8_t pcp)
{
    frame[TCI] = (uint8_t)((frame[TCI] & ((1u << PCP_SHIFT) - 1)) | pcp << PCP_SHIFT);
}

uint8_t nf_vlan_pcp_of_dscp(const uint8_t *frame, uint32_t len)
{
    uint16_t type = len > TCI + 1 ? ntohs(nf_get16(frame + ADDRESSES)) : 0;

    return type == 0x0800 ? frame[15] >> 5 : type == 0x86dd ? frame[14] >> 1 & 7 : 0;
}

uint8_t *nf_vlan_pull(uint8_t *frame, uint32_t bytes)
{
    memmove(frame + bytes, frame, ADDRESSES);
    return frame + bytes;
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
