/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, made and checked; and the checksum of a packet. Owns nothing else. */
#include "nflib/net/bytes.h"
#include "nflib/net/icmpv6.h"
#include "nflib/stream/parts.h"

#include <arpa/inet.h>

uint64_t nf_streams_bytes(const struct nf_streams_config *config)
{
    return sizeof(struct nf_streams) + (uint64_t)config->pieces * sizeof(struct nf_stream_piece);
}

struct nf_streams *nf_streams_make(struct nf *nf, const struct nf_streams_config *config)
{
    struct nf_streams *streams = ft_arena_alloc(nf->arena, nf_streams_bytes(config));

    if (!streams)
        return NULL;
    streams->capacity = config->pieces;
    streams->flow_pieces = config->flow_pieces;
    streams->loose = config->loose;
    nf_constant(nf, streams, offsetof(struct nf_streams, used));
    nf_table_add(nf,
                 (struct nf_table){
                     .name = "stream_pieces", .count = &streams->used, .parts = 1, .limit = config->pieces});
    return streams;
}

/* ---- a pool that came from a peer ----------------------------------------------------------------- */

/* Each piece is in one list. */
static int mark_piece(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen, uint32_t place)
{
    nf_check_step(c);
    if (place > streams->touched || seen[place / 64] >> place % 64 & 1)
        return nf_check_failed(c, "piece %u is in two lists, or behind the %u ever used, expected one list",
                               place, streams->touched);
    seen[place / 64] |= 1ull << place % 64;
    return 0;
}

/* One more piece of a stream, behind what ends at *end, which it moves. */
static int check_piece(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen, uint32_t place,
                       uint32_t *end)
{
    const struct nf_stream_piece *piece = &streams->piece[place - 1];
    int error = mark_piece(c, streams, seen, place);

    if (error)
        return error;
    if (piece->len > NF_STREAM_PIECE || piece->fin > 1 || piece->acked > piece->len ||
        (int32_t)(piece->seq - *end) < 0)
        return nf_check_failed(c, "piece %u has %u bytes at %u, expected up to %u behind %u", place,
                               piece->len, piece->seq, NF_STREAM_PIECE, *end);
    *end = piece->seq + piece->len;
    return 0;
}

/* A ring, of which the stream has the last one; a piece that is in it twice was marked before. */
static int check_copies(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen,
                        const struct nf_stream *s, uint32_t *count)
{
    uint32_t place = s->sent, end = 0;
    int error = 0;

    if (!place)
        return 0;
    if (place > streams->touched)
        return mark_piece(c, streams, seen, place);
    do {
        place = streams->piece[place - 1].next;
        if (!place || place > streams->touched)
            return nf_check_failed(c, "copy %u is followed by piece %u, expected one up to %u", s->sent,
                                   place, streams->touched);
        end = *count ? end : streams->piece[place - 1].seq;
        error = check_piece(c, streams, seen, place, &end);
        *count += 1;
    } while (!error && place != s->sent);
    if (!error && (int32_t)(end - s->next) > 0)
        return nf_check_failed(c, "copies end at %u, expected at most %u", end, s->next);
    return error;
}

static int check_stream(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen,
                        const struct nf_stream *s)
{
    uint32_t count = 0, end = s->next;
    int error = check_copies(c, streams, seen, s, &count);

    if (error)
        return error;
    if (s->flags & ~NF_STREAM_FLAGS || s->asked > 1 ||
        ((s->kept || s->sent) && !(s->flags & NF_STREAM_KNOWN)))
        return nf_check_failed(c, "a stream has flags %u, expected those that one has", s->flags);
    for (uint32_t place = s->kept; place; place = streams->piece[place - 1].next, count++)
        if ((error = check_piece(c, streams, seen, place, &end)) != 0)
            return error;
    if (count != s->pieces || count > streams->flow_pieces)
        return nf_check_failed(c, "a stream has %u pieces, expected %u, and %u at most", count, s->pieces,
                               streams->flow_pieces);
    return 0;
}

static int check_free(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen)
{
    uint32_t count = 0;
    int error = 0;

    if (streams->touched > streams->capacity || streams->used > streams->touched)
        return nf_check_failed(c, "%u pieces are used and %u were, expected at most %u", streams->used,
                               streams->touched, streams->capacity);
    for (uint32_t place = streams->free; place && !error; count++)
        if ((error = mark_piece(c, streams, seen, place)) == 0)
            place = streams->piece[place - 1].next;
    if (!error && count != streams->touched - streams->used)
        return nf_check_failed(c, "%u pieces are free, expected %u", count, streams->touched - streams->used);
    return error;
}

int nf_streams_check(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams, uint32_t at)
{
    uint64_t *seen = nf_check_memory(c, 0, (streams->capacity / 64 + 1ull) * sizeof(*seen));
    const struct nf_session *s;
    uint32_t used = 0;
    int error;

    if (!seen)
        return FT_ENOMEM;
    error = check_free(c, streams, seen);
    for (uint32_t n = 0; !error && (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct nf_stream *pair = (const void *)((const uint8_t *)nf_session_slot(nf, s) + at);

        for (unsigned i = 0; i < 2 && !error; i++) {
            error = check_stream(c, streams, seen, &pair[i]);
            used += pair[i].pieces;
        }
    }
    if (!error && used != streams->used)
        return nf_check_failed(c, "streams have %u pieces, expected %u, the count", used, streams->used);
    return error;
}

/* ---- checksums ------------------------------------------------------------------------------------ */

uint32_t nf_packet_l4_len(const struct nf_packet *p)
{
    uint32_t len;

    if (p->proto != NF_PROTO_UDP)
        return p->l4_len;
    len = ntohs(nf_get16(p->data + p->l4 + 4));
    if (!len && p->flags & NF_P_IPV6)
        return p->l4_len; /* as many receivers take it, from RFC 2675 */
    return len >= 8 && len <= p->l4_len ? len : 0;
}

bool nf_packet_checksum_right(const struct nf_packet *p)
{
    const uint8_t *l4 = p->data + p->l4;
    uint32_t len = nf_packet_l4_len(p);

    if (p->have < (uint32_t)p->l4 + p->l4_len)
        return true;
    if (!len)
        return false;
    if (p->flags & NF_P_IPV6)
        return nf_ipv6_checksum(nf_packet_ipv6_addresses(p), p->proto, l4, len) == 0;
    if (p->proto == NF_PROTO_UDP && nf_get16(l4 + 6) == 0)
        return true; /* none was made */
    return nf_ipv4_checksum(p->data + p->l3 + 12, p->proto, l4, len) == 0;
}
