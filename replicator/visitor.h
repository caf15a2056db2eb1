/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the file that connects to this one and is not its peer: it has proved that it has the key, sends
 * its hello, receives one, and is sent away. One at a time, the newest. Of the link, on the replicator's
 * thread.
 */
#ifndef REPLICATOR_VISITOR_H
#define REPLICATOR_VISITOR_H

#include "ftcore/record/message.h"
#include "replicator/stream.h"

#define RP_HELLO_MAX (FT_FRAME_HEAD + FT_IDENTITY_MAX + 1024u) /* bytes of a hello's frame */
#define RP_PROOF_NS  1000000000ull                             /* from accept to proof */

struct rp_visitor {
    struct rp_stream *stream; /* NULL: there is none */
    uint64_t came;            /* ns */
    bool heard;               /* its hello was handed out */
    size_t len;
    uint8_t said[RP_HELLO_MAX];
};

/* Takes the stream. */
void rp_visitor_take(struct rp_visitor *v, struct rp_stream *stream, uint64_t now);
/* Reads what is there; ends it when it is too slow or wrong, and counts that as the link does (-enum
 * ft_error). */
void rp_visitor_read(struct rp_visitor *v, uint64_t now, uint64_t refused[]);
/* Its hello, once; it is to be answered. `bulk`: FT_BULK_MAX bytes. */
bool rp_visitor_hello(struct rp_visitor *v, struct ft_message *m, uint8_t *bulk, uint64_t refused[]);
void rp_visitor_answer(struct rp_visitor *v, const struct ft_message *m);
void rp_visitor_end(struct rp_visitor *v);

#endif
