/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of the log of flows as bytes: messages of IPFIX (RFC 7011, NAT events by RFC 8158, both directions
 * of a flow by RFC 5103), or lines of JSON. One thread uses an encoder. The fields of both are in
 * docs/operating.md.
 */
#ifndef NODE_EXPORT_ENCODE_H
#define NODE_EXPORT_ENCODE_H

#include "ftcore/base/error.h"
#include "nflib/flow/log.h"

#include <stdbool.h>

#define ND_ENCODED_MAX 65535u /* bytes of a message, at most */

struct nd_ipfix;

/* `message`: where each message is written; `most` bytes, 1024 to ND_ENCODED_MAX, which outlive it.
 * FT_ENOMEM, FT_EIO with libfixbuf's words. */
int nd_ipfix_open(struct nd_ipfix **out, uint8_t *message, uint16_t most, struct ft_fault *fault);
void nd_ipfix_close(struct nd_ipfix *x);
/* The next message has the templates alone, as the first one has. */
void nd_ipfix_templates(struct nd_ipfix *x);
/* A message of the templates, if they are due, else of the first of these events, as many as have room: how
 * many. *len 0: libfixbuf has made none. `seconds`: when it is sent. */
uint32_t nd_ipfix_encode(struct nd_ipfix *x, const struct nf_log_event *const events[], uint32_t n,
                         uint32_t seconds, size_t *len);

/* Lines of the first of these events into out[0..most), as many as have room: how many. */
uint32_t nd_json_encode(const struct nf_log_event *const events[], uint32_t n, char *out, size_t most,
                        size_t *len);

#endif
