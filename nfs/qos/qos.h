/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of vlan_qos and policer, and the classes that are read from them. Words that both have in common
 * are in words.c; an NF reads its own file, and tests ask it to.
 */
#ifndef NFS_QOS_QOS_H
#define NFS_QOS_QOS_H

#include "nfs/firewall.h"

/* ---- words of both ------------------------------------------------------------------------------------- */

/* Numbers, names of classes, DSCPs. Each call goes on behind what it has read, or returns what fw_words_fail
 * does. */

#define QOS_CLASSES_MAX 16u
#define QOS_NAME_BYTES  16u /* with the 0 */
#define QOS_ANY_DSCP    UINT64_MAX

/* `what` says the range, too. */
int qos_read_number(struct fw_words *w, uint64_t least, uint64_t most, const char *what, uint64_t *out);
/* Letters, digits, `_` and `-`. */
int qos_read_name(struct fw_words *w, char out[QOS_NAME_BYTES]);
int qos_read_dscp(struct fw_words *w, uint8_t *out);
/* "ef,af41,0" or any: a bit for each. */
int qos_read_dscps(struct fw_words *w, uint64_t *set);

/* ---- policer -------------------------------------------------------------------------------------- */

/*
 * The classes of policer, from a file; a packet is of the first line that has its side and its DSCP:
 *
 *     class NAME [in|out] dscp DSCPS rate N UNIT burst N [peak N burst N] [exceed ACTION] [violate ACTION]
 *
 * UNIT: bps, bits of frames in a second, or pps, packets; bursts are bits or packets, too. ACTION: drop, or
 * `dscp DSCP`, with which the packet passes. Without `peak` what goes over the rate exceeds; with it, what
 * goes over the rate exceeds and what goes over the peak violates. Unless told, what exceeds is dropped where
 * there is no peak, and passes where there is one; what violates is dropped.
 */

#define POL_RATE_MAX   1000000000000ull
#define POL_FRAME_BITS (9216u * 8) /* the largest frame: a lesser burst would never let it pass */

enum pol_color { POL_GREEN, POL_YELLOW, POL_RED, POL_COLORS };

struct pol_action {
    bool drops, marks;
    uint8_t dscp;
};

struct pol_limits {
    struct nf_rate committed, peak; /* peak.burst 0: there is none */
};

struct pol_class {
    char name[QOS_NAME_BYTES];
    uint64_t dscps;
    uint8_t sides; /* bits 1 << enum nf_side */
    bool bits;     /* tokens are bits, not packets */
    struct pol_limits limits;
    struct pol_action action[POL_COLORS];
};

struct pol_classes {
    uint32_t count;
    struct pol_class list[QOS_CLASSES_MAX];
    uint8_t of[2][NF_DSCPS]; /* by side and DSCP, the number of the class, from 1; 0: none */
};

/* FT_EINVAL with "FILE:LINE: what, what was expected". */
int pol_classes_read(struct pol_classes *classes, const struct nf_file *file, struct ft_fault *fault);

/* Whether those can be limits: of the least burst and of a peak below the rate. NULL, or what was expected.
 */
const char *pol_limits_wrong(const struct pol_limits *limits, bool bits);

/* ---- vlan_qos ------------------------------------------------------------------------------------- */

/*
 * The rules of vlan_qos, from a file: the classes with what their packets are marked with, and which packets
 * are of which; the first line that matches decides:
 *
 *     class NAME [dscp DSCP] [pcp PCP]
 *     match NAME [in|out] [vlan VID] [pcp PCP] [dscp DSCPS] and the rest of what the firewall's rules say
 *         (nfs/firewall.h)
 *
 * What a class does not name stays as it is in its packets. `vlan` and `pcp` of a match are of a frame's
 * first tag. A match that names a protocol, a host or a DSCP is of IP alone; one with ports or a type, of
 * packets whose ports or type can be read.
 */

#define VQ_ANY  0xffffu
#define VQ_NONE 0u /* no class; the first is 1 */

struct vq_class {
    char name[QOS_NAME_BYTES];
    bool marks_dscp, marks_pcp;
    uint8_t dscp, pcp;
};

/* What a match says besides its part of the flows' rules. */
struct vq_tag {
    uint64_t dscps;
    uint16_t vid, pcp; /* or VQ_ANY */
};

struct vq_rules {
    uint32_t classes;
    struct vq_class class[QOS_CLASSES_MAX];
    struct fw_rules flows; /* `action` is the class */
    struct vq_tag tag[FW_RULES_MAX];
};

/* FT_EINVAL with "FILE:LINE: what, what was expected". */
int vq_rules_read(struct vq_rules *rules, const struct nf_file *file, struct ft_fault *fault);
/* The class of a packet that breaks no format. */
uint32_t vq_rules_class(const struct vq_rules *rules, const struct nf_packet *p);
/* The number of the class of that name, VQ_NONE: there is none. */
uint32_t vq_rules_named(const struct vq_rules *rules, const char *name);

#endif
