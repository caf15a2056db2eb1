/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VLAN tags in front of a frame's ethertype (IEEE 802.1Q; 802.1ad, one in front of the other). A node's port
 * that several interfaces share reads and takes them off, and puts them on. Owns nothing.
 */
#ifndef NFLIB_NET_VLAN_H
#define NFLIB_NET_VLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NF_TPID_8021Q  0x8100u
#define NF_TPID_8021AD 0x88a8u
#define NF_VLAN_TAG    4u    /* bytes of a tag */
#define NF_VLAN_MOST   4094u /* the largest identifier (VID) */

/* The tags of an interface. */
struct nf_vlan {
    uint16_t outer, inner; /* VID, 1 … NF_VLAN_MOST; 0: there is no such tag */
    uint16_t tpid;         /* of the outer tag, as it is sent: NF_TPID_8021Q or NF_TPID_8021AD */
};

/* Bytes that they take of a frame. */
static inline uint32_t nf_vlan_bytes(const struct nf_vlan *v)
{
    return (v->outer ? NF_VLAN_TAG : 0) + (v->inner ? NF_VLAN_TAG : 0);
}

/*
 * The tags that the frame begins with, at most two, and the bytes that they take. A tag of VID 0 carries a
 * priority and names no VLAN: its bytes count, and *out has none. Whether a tag is of 802.1Q or of 802.1ad,
 * its VID alone counts: drivers of kernel interfaces give both as the former. False: the frame ends inside of
 * a tag, or in front of the ethertype.
 */
bool nf_vlan_read(const uint8_t *frame, uint32_t len, struct nf_vlan *out, uint32_t *bytes);

/* Of a frame whose first tag is whole: its VID, and its priority (PCP, 0 to 7), which the next switch reads.
 * What is behind the first tag stays as it is. */
static inline uint16_t nf_vlan_vid(const uint8_t *frame)
{
    return (uint16_t)((frame[14] << 8 | frame[15]) & 0xfff);
}
static inline uint8_t nf_vlan_pcp(const uint8_t *frame)
{
    return frame[14] >> 5;
}
static inline void nf_vlan_set_pcp(uint8_t *frame, uint8_t pcp)
{
    frame[14] = (uint8_t)((frame[14] & 0x1f) | pcp << 5);
}

/* The priority that the DSCP of an untagged frame's packet gives, its first three bits (RFC 2474, 4.2.2); 0:
 * it is no packet of IP. */
uint8_t nf_vlan_pcp_of_dscp(const uint8_t *frame, uint32_t len);

/* Takes so many bytes of tags off. Where the frame begins then: so many bytes further on. */
static inline uint8_t *nf_vlan_pull(uint8_t *frame, uint32_t bytes)
{
    memmove(frame + bytes, frame, 12);
    return frame + bytes;
}
/* Puts tags on, of priority 0. Where the frame begins then: nf_vlan_bytes before, which must be there. */
uint8_t *nf_vlan_push(uint8_t *frame, const struct nf_vlan *v);

#endif
