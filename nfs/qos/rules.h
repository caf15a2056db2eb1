/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of vlan_qos, from a file: the classes with what their packets are marked with, and which packets
 * are of which; the first line that matches decides:
 *
 *     class NAME [dscp DSCP] [pcp PCP]
 *     match NAME [in|out] [vlan VID] [pcp PCP] [dscp DSCPS] and the rest of what the firewall's rules say
 *         (nfs/firewall_match.h)
 *
 * What a class does not name stays as it is in its packets. `vlan` and `pcp` of a match are of a frame's
 * first tag. A match that names a protocol, a host or a DSCP is of IP alone; one with ports or a type, of
 * packets whose ports or type can be read.
 */
#ifndef NFS_QOS_RULES_H
#define NFS_QOS_RULES_H

#include "nfs/qos/words.h"

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
