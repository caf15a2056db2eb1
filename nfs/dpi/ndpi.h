/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nDPI as the NF dpi uses it: one detection module for each lane, made once; what it keeps of flows and its
 * caches come from the heap of the NF that is called (nflib/module/heap.h). Owns nothing.
 */
#ifndef NFS_DPI_NDPI_H
#define NFS_DPI_NDPI_H

#include "ftcore/region/heap.h"

#define DPI_PROTOCOLS   512u /* that there may be, by number */
#define DPI_NO_PROTOCOL 0u
#define DPI_PACKETS_MAX 32u /* nDPI looks into no more of a flow */
#define DPI_CACHES      8u

struct ndpi_flow_struct;
struct ndpi_detection_module_struct;

/* What a flow is, and what that came over, as HTTP over TLS; numbers below DPI_PROTOCOLS, 0: not known. */
struct dpi_protocol {
    uint16_t app, master;
};
/* What nDPI knows flows by that it has seen others of; addresses in the heap, NULL: not made yet. */
struct dpi_caches {
    void *at[DPI_CACHES];
};

/* All protocols, nothing of files. `code`: a digest of nDPI's code in this process. NULL: no memory. */
struct ndpi_detection_module_struct *dpi_open(uint64_t *code);
void dpi_close(struct ndpi_detection_module_struct *m);

/* Sets a bit of set[DPI_PROTOCOLS / 8] for each name in `list`; false: `unknown` is none. */
bool dpi_protocols(const char *list, uint8_t set[], char *unknown, size_t cap);
const char *dpi_name(struct ndpi_detection_module_struct *m, uint16_t protocol);

void dpi_caches_set(struct ndpi_detection_module_struct *m, const struct dpi_caches *caches);
void dpi_caches_get(const struct ndpi_detection_module_struct *m, struct dpi_caches *caches);
bool dpi_caches_fit(const struct dpi_caches *caches, const struct ft_heap *heap); /* they are blocks of it */

uint64_t dpi_flow_bytes(void);
struct ndpi_flow_struct *dpi_flow_make(void); /* NULL: the heap is full */
void dpi_flow_free(struct ndpi_flow_struct *flow);
/* A packet of the flow, from its IP header on. False: nDPI wants no more of it, if it knows what it is. */
bool dpi_look(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *flow, const uint8_t *ip,
              uint32_t len, uint64_t ms, struct dpi_protocol *is);
/* There will be no more: true if nDPI guesses by ports and addresses. */
bool dpi_give_up(struct ndpi_detection_module_struct *m, struct ndpi_flow_struct *flow,
                 struct dpi_protocol *is);

#endif
