/* SPDX-License-Identifier: Apache-2.0 */
/* See visitor.h. */
#include "replicator/visitor.h"

#include "ftcore/base/check.h"

void rp_visitor_end(struct rp_visitor *v)
{
    rp_stream_close(v->stream, true);
    v->stream = NULL;
}

void rp_visitor_take(struct rp_visitor *v, struct rp_stream *stream, uint64_t now)
{
    rp_visitor_end(v);
    v->stream = stream;
    v->came = now;
    v->len = 0;
    v->heard = false;
}

void rp_visitor_read(struct rp_visitor *v, uint64_t now, uint64_t refused[])
{
    int done = rp_stream_handshake(v->stream);
    bool more, over = done < 0 || now - v->came > RP_PROOF_NS;

    if (done > 0 && !v->heard && v->len < sizeof(v->said)) {
        ssize_t n = rp_stream_read(v->stream, v->said + v->len, sizeof(v->said) - v->len, &more);

        v->len += n > 0 ? (size_t)n : 0;
        over |= n == 0 && v->len == 0;
    }
    if (!over)
        return;
    refused[done == RP_STREAM_REFUSED ? -FT_EPERM : -FT_ETRUNC]++;
    rp_visitor_end(v);
}

bool rp_visitor_hello(struct rp_visitor *v, struct ft_message *m, uint8_t *bulk, uint64_t refused[])
{
    long rc = v->stream && !v->heard && v->len ? ft_message_decode(v->said, v->len, 0, m, bulk, NULL) : 0;

    if (rc > 0 && m->type == FT_MSG_HELLO)
        return v->heard = true;
    if (rc) {
        refused[rc < 0 ? -rc : -FT_EMALFORMED]++;
        rp_visitor_end(v);
    }
    return false;
}

void rp_visitor_answer(struct rp_visitor *v, const struct ft_message *m)
{
    uint8_t frame[RP_HELLO_MAX];
    long len = ft_message_encode(m, 0, NULL, true, frame, sizeof(frame));

    FT_CHECK(len > 0, "a hello needs more than %zu bytes", sizeof(frame));
    /* Nothing was written there before, so it fits, or the connection is of no use. */
    (void)!rp_stream_write(v->stream, frame, (size_t)len);
    rp_visitor_end(v);
}
