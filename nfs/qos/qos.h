/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words that the files of vlan_qos and policer have in common: numbers, names of classes, DSCPs. Each call
 * goes on behind what it has read, or returns what fw_words_fail does.
 */
#ifndef NFS_QOS_QOS_H
#define NFS_QOS_QOS_H

#include "nfs/firewall.h"

#define QOS_CLASSES_MAX 16u
#define QOS_NAME_BYTES  16u /* with the 0 */
#define QOS_ANY_DSCP    UINT64_MAX

/* `what` names the range, too. */
int qos_read_number(struct fw_words *w, uint64_t least, uint64_t most, const char *what, uint64_t *out);
/* Letters, digits, `_` and `-`. */
int qos_read_name(struct fw_words *w, char out[QOS_NAME_BYTES]);
int qos_read_dscp(struct fw_words *w, uint8_t *out);
/* "ef,af41,0" or any: a bit for each. */
int qos_read_dscps(struct fw_words *w, uint64_t *set);

#endif
