/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of pieces, made and checked; and the checksum of a packet. Owns nothing else. */
#include "nflib/net/bytes.h"
#include "nflib/stream/parts.h"

#include <arpa/inet.h>

uint64_t nf_streams_bytes(const struct nf_streams_config *config)
{
    return FT_LINE + nf_lists_bytes(config->pieces, 0) +
           nf_map_bytes(config->pieces, sizeof(struct nf_stream_place), sizeof(struct nf_stream_piece));
}

struct nf_streams *nf_streams_make(struct nf *nf, const struct nf_streams_config *config)
{
    struct nf_streams *streams = ft_arena_alloc(nf->arena, sizeof(*streams));

    if (!streams)
        return NULL;
    streams->pieces =
        nf_map_make(nf, config->pieces, sizeof(struct nf_stream_place), sizeof(struct nf_stream_piece));
    streams->names = nf_lists_make(nf, config->pieces, 0);
    streams->flow_pieces = config->flow_pieces;
    streams->loose = config->loose;
    NF_CONSTANT(nf, streams);
    if (!streams->pieces || !streams->names)
        return NULL;
    nf_table_add_map(nf, "stream_pieces", streams->pieces);
    return streams;
}

/* ---- a pool that came from a peer ----------------------------------------------------------------- */

/* What the check finds out of a stream that has pieces, by its name. */
struct found {
    const struct nf_stream *s;
    uint32_t pieces;
};

/* Bytes that a direction has under way at most: what has copies, a segment that has none, and what it has
 * made readable. */
static uint64_t most_under_way(const struct nf_streams *streams)
{
    return (uint64_t)streams->flow_pieces * NF_STREAM_PIECE + 2 * NF_STREAM_AHEAD;
}

static int check_stream(struct nf_check *c, const struct nf_streams *streams, uint64_t *seen,
                        struct found *found, const struct nf_stream *s)
{
    int names = nf_list_check(c, streams->names, &s->name, 1, seen);

    if (names < 0)
        return names;
    if ((s->pieces && !(s->flags & NF_STREAM_KNOWN)) || names != (s->pieces != 0))
        return nf_check_failed(c,
                               "a stream has %u pieces, %d names and flags %u, expected those that one has",
                               s->pieces, names, s->flags);
    if (s->pieces > streams->flow_pieces || s->next - s->acked > most_under_way(streams))
        return nf_check_failed(c, "a stream has %u pieces, %u to %u under way, expected %u and %lu at most",
                               s->pieces, s->acked, s->next, streams->flow_pieces, most_under_way(streams));
    if (names)
        found[nf_list_first(&s->name)].s = s;
    return names;
}

/* It belongs to a stream, and lies where that one can have some. */
static int check_piece(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams,
                       struct found *found, uint32_t slot)
{
    const struct nf_stream_place *place = nf_map_key(streams->pieces, slot);
    const struct nf_stream_piece *piece = nf_map_value(streams->pieces, slot);
    uint32_t name = (place->name >> 4) - 1, seq = place->piece * NF_STREAM_PIECE, first;
    const struct nf_stream *s = name < nf_map_capacity(streams->pieces) ? found[name].s : NULL;

    if (!s || (place->name & 15) != nf->lane || place->piece > UINT32_MAX / NF_STREAM_PIECE)
        return nf_check_failed(c, "piece %u is of stream %u, lane %u, expected one that has pieces", slot,
                               name, place->name & 15);
    first = s->acked - s->acked % NF_STREAM_PIECE;
    if (seq - first > s->next - first + (uint64_t)NF_STREAM_FARTHEST || piece->fin > NF_STREAM_PIECE ||
        piece->has[NF_STREAM_WORDS - 1] >> NF_STREAM_PIECE % 64)
        return nf_check_failed(c, "piece %u lies at %u, expected %u to %u behind %u", slot, seq, first,
                               NF_STREAM_FARTHEST, s->next);
    found[name].pieces++;
    return 0;
}

int nf_streams_check(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams, uint32_t at)
{
    uint64_t *seen = nf_lists_seen(c, 0, streams->names);
    struct found *found = nf_check_memory(c, 1, nf_map_capacity(streams->pieces) * sizeof(*found));
    const struct nf_session *s;
    uint32_t names = 0;

    if (!seen || !found)
        return FT_ENOMEM;
    for (uint32_t n = 0; (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct nf_stream *pair = (const void *)((const uint8_t *)nf_session_slot(nf, s) + at);

        for (unsigned i = 0; i < 2; i++) {
            int more = check_stream(c, streams, seen, found, &pair[i]);

            if (more < 0)
                return more;
            names += (uint32_t)more;
        }
    }
    if (names != nf_lists_count(streams->names))
        return nf_check_failed(c, "%u streams have pieces, expected %u, the count", names,
                               nf_lists_count(streams->names));
    for (uint32_t slot = 0; (slot = nf_map_next(streams->pieces, slot)) != NF_NONE; slot++) {
        int error = check_piece(nf, c, streams, found, slot);

        nf_check_step(c);
        if (error)
            return error;
    }
    for (uint32_t i = 0; i < nf_map_capacity(streams->pieces); i++)
        if (found[i].s && found[i].pieces != found[i].s->pieces)
            return nf_check_failed(c, "stream %u has %u pieces, expected %u", i, found[i].pieces,
                                   found[i].s->pieces);
    return 0;
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
