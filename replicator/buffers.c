/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two buffers of the link's connection. Both are straight, twice as large as what they may hold, and a
 * frame is always in one piece. What was read moves to the front when at least four times as much has been
 * taken, so that few bytes move and the buffer is as good as always in the cache; what is to be written, when
 * there is no room behind it.
 */
#include "replicator/connection.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <string.h>

/* ---- input ------------------------------------------------------------------------------------- */

size_t rp_input_room(struct rp_input *in)
{
    if (in->at == in->end)
        in->at = in->end = 0;
    if (in->at >= IN_CAP / 2 || in->at / 4 >= in->end - in->at) {
        memmove(in->bytes, in->bytes + in->at, in->end - in->at);
        in->end -= in->at;
        in->at = 0;
    }
    return IN_CAP - in->end;
}

bool rp_input_whole(const struct rp_input *in)
{
    size_t have = in->end - in->at;
    uint32_t size;

    if (have < sizeof(size))
        return false;
    memcpy(&size, in->bytes + in->at, sizeof(size));
    return size < 1 || size > FT_MESSAGE_MAX || have >= FT_FRAME_HEAD + size;
}

int rp_input_next(struct rp_input *in, unsigned lanes, struct ft_message *m, struct ft_fault *fault)
{
    long used = ft_message_decode(in->bytes + in->at, in->end - in->at, lanes, m, in->bulk, fault);

    if (used > 0)
        in->at += (size_t)used;
    if (used < 0)
        in->at = in->end = 0;
    return used > 0 ? 1 : (int)used;
}

/* ---- output ------------------------------------------------------------------------------------ */

/* What may wait when `bulk` is added; the rest is for heads. */
static size_t output_limit(bool bulk)
{
    return bulk ? RP_LINK_OUT - RP_LINK_RESERVE : RP_LINK_OUT;
}

size_t rp_output_room(const struct rp_output *out)
{
    size_t used = out->end - out->at + ft_message_bound(&(struct ft_message){0});

    if (used >= output_limit(true))
        return 0;
    return output_limit(true) - used < FT_BULK_MAX ? output_limit(true) - used : FT_BULK_MAX;
}

/* At the end, for so many bytes. */
static void make_room(struct rp_output *out, size_t bytes)
{
    if (OUT_CAP - out->end >= bytes)
        return;
    memmove(out->bytes, out->bytes + out->at, out->end - out->at);
    out->end -= out->at;
    out->at = 0;
}

uint8_t *rp_output_place(struct rp_output *out, const struct ft_message *m, unsigned lanes)
{
    make_room(out, ft_message_bound(m) + rp_output_room(out));
    return out->bytes + out->end + ft_message_ahead(m, lanes);
}

int rp_output_add(struct rp_output *out, const struct ft_message *m, unsigned lanes,
                  struct ft_compressor *compressor, bool sealed)
{
    size_t bound = ft_message_bound(m);
    bool bulk = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA || m->type == FT_MSG_SNAPSHOT ||
                m->type == FT_MSG_PUSH;

    if (out->end - out->at + bound > output_limit(bulk))
        return FT_EFULL;
    make_room(out, bound);
    long len = ft_message_encode(m, lanes, compressor, !sealed, out->bytes + out->end, bound);

    FT_CHECK(len > 0, "a message of type %u needs more than %zu bytes", m->type, bound);
    out->end += (size_t)len;
    return 0;
}

size_t rp_output_write(struct rp_output *out, struct rp_stream *stream)
{
    size_t written = 0;

    out->stalled = false;
    while (stream && !out->broken && out->at < out->end) {
        ssize_t n = rp_stream_write(stream, out->bytes + out->at, out->end - out->at);

        if (n >= 0) {
            out->at += (size_t)n;
            written += (size_t)n;
        } else if (errno == EAGAIN) {
            out->stalled = true;
            return written;
        } else {
            out->broken = errno;
        }
    }
    out->at = out->end = 0; /* all of it is written, or of no use: a closed connection has none */
    out->stalled = stream && !out->broken && !rp_stream_flush(stream);
    return written;
}
