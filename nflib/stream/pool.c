/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, made and checked; and the checksum of a packet. Owns nothing else. */
#include "nflib/net/bytes.h"
#include "nflib/stream/parts.h"

#include <arpa/inet.h>

uint64_t nf_streams_bytes(const struct nf_streams_config *config)
{
    return FT_LINE + nf_lists_bytes(config->pieces, sizeof(struct nf_stream_piece));
}

struct nf_streams *nf_streams_make(struct nf *nf, const struct nf_streams_config *config)
{
    struct nf_streams *streams = ft_arena_alloc(nf->arena, sizeof(*streams));

    if (!streams)
        return NULL;
    streams->pieces = nf_lists_make(nf, config->pieces, sizeof(struct nf_stream_piece));
    streams->flow_pieces = config->flow_pieces;
    streams->loose = config->loose;
    NF_CONSTANT(nf, streams);
    if (!streams->pieces)
        return NULL;
    nf_table_add_lists(nf, "stream_pieces", streams->pieces);
    return streams;
}

/* ---- a pool that came from a peer ----------------------------------------------------------------- */

/* Pieces of a list, each behind the one before; the first one behind *end, which becomes the last one's end.
 * Returns how many, or an error. */
static int check_pieces(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen,
                        const struct nf_list *list, const uint32_t *behind, uint32_t *end)
{
    int n = nf_list_check(c, streams->pieces, list, streams->flow_pieces, seen);
    bool first = true;

    for (uint32_t at = nf_list_first(list); at != NF_NONE && n >= 0; at = nf_list_next(streams->pieces, at)) {
        const struct nf_stream_piece *piece = nf_lists_value(streams->pieces, at);
        uint32_t from = !first ? *end : behind ? *behind : piece->seq;

        if (piece->len > NF_STREAM_PIECE || piece->acked > piece->len || (int32_t)(piece->seq - from) < 0)
            return nf_check_failed(c, "piece %u has %u bytes at %u, expected up to %u behind %u", at,
                                   piece->len, piece->seq, NF_STREAM_PIECE, from);
        *end = piece->seq + piece->len;
        if (behind && *end - *behind > NF_STREAM_WINDOW)
            return nf_check_failed(c, "piece %u ends at %u, expected at most %u behind %u", at, *end,
                                   NF_STREAM_WINDOW, *behind);
        first = false;
    }
    return n;
}

static int check_stream(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen,
                        const struct nf_stream *s)
{
    uint32_t end = s->next;
    int copies = check_pieces(c, streams, seen, &s->sent, NULL, &end), kept;

    if (copies < 0)
        return copies;
    if ((int32_t)(end - s->next) > 0)
        return nf_check_failed(c, "copies end at %u, expected at most %u", end, s->next);
    if (s->asked > 1 || (s->pieces && !(s->flags & NF_STREAM_KNOWN)))
        return nf_check_failed(c, "a stream has flags %u, expected those that one has", s->flags);
    kept = check_pieces(c, streams, seen, &s->kept, &s->next, &end);
    if (kept >= 0 && (copies + kept != s->pieces || s->pieces > streams->flow_pieces))
        return nf_check_failed(c, "a stream has %d pieces, expected %u, and %u at most", copies + kept,
                               s->pieces, streams->flow_pieces);
    return kept < 0 ? kept : 0;
}

int nf_streams_check(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams, uint32_t at)
{
    uint64_t *seen = nf_lists_seen(c, 0, streams->pieces);
    const struct nf_session *s;
    uint32_t used = 0;
    int error = seen ? 0 : FT_ENOMEM;

    for (uint32_t n = 0; !error && (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct nf_stream *pair = (const void *)((const uint8_t *)nf_session_slot(nf, s) + at);

        for (unsigned i = 0; i < 2 && !error; i++) {
            error = check_stream(c, streams, seen, &pair[i]);
            used += pair[i].pieces;
        }
    }
    if (!error && used != nf_lists_count(streams->pieces))
        return nf_check_failed(c, "streams have %u pieces, expected %u, the count", used,
                               nf_lists_count(streams->pieces));
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
