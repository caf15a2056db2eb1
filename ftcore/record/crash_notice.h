/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash notice: the datagram in which a node that crashed reports to its peer what it crashed of, and the
 * fingerprints by which the successor knows the packet again. Made by the handler of the fatal signal, with
 * the node's secret; sent by the guardian in front of the death notice; decoded by the peer's link. With
 * signal 0 it comes from a node that lives, and contains the fingerprints by which that node drops frames: so
 * its standby knows them, whatever makes it take over.
 *
 *     "understu" | u32 version, 0 | u32 kind, 4 | u32 signal | u32 lane | u64 burst | u32 packet |
 *     u32 doing | 32 bytes NF | 32 bytes NF of the quarantine before | u32 fingerprints | u32 hung |
 *     for each u64 flow | u64 content | u32 seq | u32 bytes | u32 suspect | u32 0 |
 *     16 bytes of tag; little endian
 *
 * It has no version, as the death notice has none. A program that does not know its kind refuses it as
 * malformed, and goes by the death notice alone; kind 3 was another form of it. One that knows it from before
 * there was signal 0 with its number, or a frame that killed alone, refuses that likewise. The tag is as in
 * datagram.h.
 */
#ifndef FTCORE_RECORD_CRASH_NOTICE_H
#define FTCORE_RECORD_CRASH_NOTICE_H

#include "ftcore/record/datagram.h"

#define FT_CRASH_NAME         32u /* bytes of an NF's name, with its final NUL */
#define FT_CRASH_KNOWN        8u  /* fingerprints of what is known to kill, before suspects */
#define FT_CRASH_COPIES       4u  /* of which so many may be of one death, so that older ones find room */
#define FT_CRASH_FINGERPRINTS 40u /* those, and a burst's 32 suspects; the datagram fits into 1,500 bytes */
#define FT_CRASH_HEAD_BYTES   112u
#define FT_FINGERPRINT_BYTES  272u /* of a frame, enough to distinguish it: headers, and 128 of payload */
#define FT_CRASH_BYTES        (FT_CRASH_HEAD_BYTES + 32u * FT_CRASH_FINGERPRINTS + FT_TAG_BYTES)

enum ft_suspicion {
    FT_KILLED,       /* it is the frame that killed, by what the dead node had of it */
    FT_SUSPECT,      /* it is one of several of which one killed */
    FT_KILLED_ALONE, /* it killed once more, alone in its burst: there is no doubt */
    FT_BESIDE,       /* it was in one burst with what is taken for the killer, which may be a mistake */
};

/* Of a frame as capture takes it: what its host does not change when it sends the packet again
 * (understudy/crash/fingerprint.h). */
struct ft_fingerprint {
    uint64_t flow;    /* TCP: the connection and its direction; 0: another protocol */
    uint64_t content; /* who sends it where, and the beginning of the payload; 0: it is not known */
    uint32_t seq;     /* TCP: the first sequence number; UDP: source port << 16 | destination port */
    uint32_t bytes;   /* TCP: how many sequence numbers it takes */
    uint32_t suspect; /* enum ft_suspicion */
    uint32_t zero;
};

struct ft_crash_notice {
    uint32_t signal; /* 1 … 64; 0: the node lives: only fields with a meaning for that are not 0 */
    uint32_t lane;   /* FT_CRASH_NO_LANE: it was none that crashed; so where it lives */
    uint64_t burst;  /* where it lives: for how long it goes on to drop such frames, ms */
    uint32_t packet; /* in the burst, from 1; 0: not known, or none. Where it lives: the notice's
                      * number among those of this process, from 1 */
    uint32_t doing;  /* enum nf_doing (nflib/chain/mark.h), below FT_CRASH_DOINGS */
    char nf[FT_CRASH_NAME];
    char before[FT_CRASH_NAME]; /* the NF for whose crash the node itself dropped frames; "": it did not.
                                   Where it lives: it is one */
    uint32_t fingerprints;      /* where it lives: of what it drops; 0: of nothing any more */
    uint32_t hung;              /* 1: it did not come to an end, and was ended */
    struct ft_fingerprint fingerprint[FT_CRASH_FINGERPRINTS];
};
#define FT_CRASH_NO_LANE UINT32_MAX
#define FT_CRASH_DOINGS  16u

/* Returns its length. Also in a signal handler. */
size_t ft_crash_notice_encode(const struct ft_crash_notice *notice, const struct ft_datagram_key *key,
                              uint8_t out[FT_CRASH_BYTES]);
/* 0; FT_EMALFORMED: no such datagram, or a value that there is not; FT_EPERM: not this sender's. */
int ft_crash_notice_decode(const uint8_t *in, size_t len, const struct ft_datagram_key *key,
                           struct ft_crash_notice *notice);

#endif
