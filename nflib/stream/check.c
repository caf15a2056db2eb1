/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a pool of streams that came from a peer. */
#include "nflib/stream/pool.h"

/* What the check finds out of a stream that has pieces, by its name. */
struct found {
    const struct nf_stream *s;
    uint32_t pieces;
};

/* It has so many pieces, linked both ways, and all of its name: so none comes twice. */
static int check_links(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams,
                       const struct nf_stream *s)
{
    uint32_t link = *nf_stream_newest(streams, s), before = 0;

    for (uint32_t left = s->pieces; left; left--) {
        const struct nf_stream_piece *piece;
        const struct nf_stream_place *place;

        nf_check_step(c);
        if (!link || link > nf_map_capacity(streams->pieces) || !nf_map_has(streams->pieces, link - 1))
            return nf_check_failed(c, "a stream's piece %u is no piece, expected %u more", link, left);
        piece = nf_map_value(streams->pieces, link - 1);
        place = nf_map_key(streams->pieces, link - 1);
        if (piece->before != before || place->name != (s->name.first << 4 | nf->lane))
            return nf_check_failed(c, "piece %u is of stream %u behind %u, expected stream %u behind %u",
                                   link - 1, place->name >> 4, (unsigned)piece->before, s->name.first,
                                   before);
        before = link;
        link = piece->next;
    }
    return link ? nf_check_failed(c, "a stream of %u pieces leads to another one, %u", s->pieces, link) : 0;
}

static int check_stream(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams,
                        uint64_t *seen, struct found *found, const struct nf_stream *s)
{
    int names = nf_list_check(c, streams->names, &s->name, 1, seen), error;

    if (names < 0)
        return names;
    if ((s->pieces && !(s->flags & NF_STREAM_KNOWN)) || names != (s->pieces != 0))
        return nf_check_failed(c,
                               "a stream has %u pieces, %d names and flags %u, expected those that one has",
                               s->pieces, names, s->flags);
    if (s->pieces > streams->flow_pieces || s->next - s->acked > nf_streams_farthest(streams))
        return nf_check_failed(c, "a stream has %u pieces, %u to %u under way, expected %u and %u at most",
                               s->pieces, s->acked, s->next, streams->flow_pieces,
                               nf_streams_farthest(streams));
    if (!names)
        return 0;
    found[nf_list_first(&s->name)].s = s;
    if (nf_stream_name_of(streams, s)->sender > NF_STREAM_SENDERS)
        return nf_check_failed(c, "a stream is of sender %u, expected %u at most",
                               nf_stream_name_of(streams, s)->sender, NF_STREAM_SENDERS);
    error = check_links(nf, c, streams, s);
    return error ? error : names;
}

/* It belongs to a stream, and lies where that one can have some. */
static int check_piece(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams,
                       struct found *found, uint32_t held[NF_STREAM_SENDERS], uint32_t slot)
{
    const struct nf_stream_place *place = nf_map_key(streams->pieces, slot);
    const struct nf_stream_piece *piece = nf_map_value(streams->pieces, slot);
    uint32_t name = (place->name >> 4) - 1, seq = place->piece * NF_STREAM_PIECE, first;
    const struct nf_stream *s = name < nf_map_capacity(streams->pieces) ? found[name].s : NULL;

    if (!s || (place->name & 15) != nf->lane || place->piece > UINT32_MAX / NF_STREAM_PIECE)
        return nf_check_failed(c, "piece %u is of stream %u, lane %u, expected one that has pieces", slot,
                               name, place->name & 15);
    first = s->acked - s->acked % NF_STREAM_PIECE;
    if (seq - first > nf_streams_farthest(streams) || piece->fin > NF_STREAM_PIECE ||
        piece->has[NF_STREAM_WORDS - 1] >> NF_STREAM_PIECE % 64)
        return nf_check_failed(c, "piece %u lies at %u, expected %u to %u behind that", slot, seq, first,
                               nf_streams_farthest(streams));
    found[name].pieces++;
    if (!piece->held)
        return 0;
    if (!nf_stream_name_of(streams, s)->sender)
        return nf_check_failed(c, "piece %u counts against nobody, expected its sender", slot);
    held[nf_stream_name_of(streams, s)->sender - 1]++;
    return 0;
}

int nf_streams_check(const struct nf *nf, struct nf_check *c, const struct nf_streams *streams, uint32_t at)
{
    uint64_t *seen = nf_lists_seen(c, 0, streams->names);
    uint32_t all = nf_map_capacity(streams->pieces);
    struct found *found = nf_check_memory(c, 1, all * sizeof(*found) + NF_STREAM_SENDERS * sizeof(uint32_t));
    uint32_t *held = (uint32_t *)(found + all);
    const struct nf_session *s;
    uint32_t names = 0;

    if (!seen || !found)
        return FT_ENOMEM;
    for (uint32_t n = 0; (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct nf_stream *pair = (const void *)((const uint8_t *)nf_session_slot(nf, s) + at);

        for (unsigned i = 0; i < 2; i++) {
            int more = check_stream(nf, c, streams, seen, found, &pair[i]);

            if (more < 0)
                return more;
            names += (uint32_t)more;
        }
    }
    if (names != nf_lists_count(streams->names))
        return nf_check_failed(c, "%u streams have pieces, expected %u, the count", names,
                               nf_lists_count(streams->names));
    for (uint32_t slot = 0; (slot = nf_map_next(streams->pieces, slot)) != NF_NONE; slot++) {
        int error = check_piece(nf, c, streams, found, held, slot);

        nf_check_step(c);
        if (error)
            return error;
    }
    for (uint32_t i = 0; i < nf_map_capacity(streams->pieces); i++)
        if (found[i].s && found[i].pieces != found[i].s->pieces)
            return nf_check_failed(c, "stream %u has %u pieces, expected %u", i, found[i].pieces,
                                   found[i].s->pieces);
    for (uint32_t i = 0; i < NF_STREAM_SENDERS; i++)
        if (held[i] != streams->held[i])
            return nf_check_failed(c, "sender %u holds %u pieces, expected %u", i, streams->held[i], held[i]);
    return 0;
}
