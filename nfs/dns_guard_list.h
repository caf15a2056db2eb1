/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of dns_guard, read once from a file and never changed: a domain a line, such as example.com; `#`
 * begins a comment. Names are kept as messages have them, each label behind its length and a 0 at the end, in
 * lower case. So a label with a dot in it is not taken for two.
 */
#ifndef NFS_DNS_GUARD_LIST_H
#define NFS_DNS_GUARD_LIST_H

#include "nflib/nf.h"

#define DG_NAME_MAX  255u /* RFC 1035, 2.3.4; with the lengths and the 0 */
#define DG_LABEL_MAX 63u
#define DG_LIST_MAX  1000000u

struct dg_name {
    const uint8_t *wire;
    uint32_t len;
};
struct dg_names {
    uint32_t count;
    struct dg_name *list; /* sorted */
    uint8_t *wires;
};

/* FT_EINVAL with "FILE:LINE: what, what was expected"; FT_ENOMEM. */
int dg_names_read(struct dg_names *names, const struct nf_file *file, struct ft_fault *fault);
void dg_names_free(struct dg_names *names);
/* True: this name, of `len` bytes and in lower case, is listed, or is below one that is. */
bool dg_names_has(const struct dg_names *names, const uint8_t *name, uint32_t len);

#endif
