/* SPDX-License-Identifier: Apache-2.0 */
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
#ifndef NFS_QOS_CLASSES_H
#define NFS_QOS_CLASSES_H

#include "nflib/net/dscp.h"
#include "nfs/qos/words.h"

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
/* The class of that name of `n` bytes; NULL: there is none. */
const struct pol_class *pol_classes_named(const struct pol_classes *classes, const char *name, size_t n);

/* Whether those can be limits: of the least burst and of a peak below the rate. NULL, or what was expected.
 */
const char *pol_limits_wrong(const struct pol_limits *limits, bool bits);

#endif
