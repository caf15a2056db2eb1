/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of streams: handed over, copied until they are acknowledged, kept behind holes. Owns the pool's
 * pieces and their lists; which segments come here is decided in take.c.
 */
#include "nflib/net/bytes.h"
#include "nflib/stream/parts.h"

#include <string.h>

/* ---- pieces --------------------------------------------------------------------------------------- */

static const struct nf_stream_piece *piece_at(const struct nf_streams *streams, uint32_t place)
{
    return nf_lists_value(streams->pieces, place);
}

static struct nf_stream_piece *edit_head(const struct nf *nf, const struct nf_stream_piece *piece)
{
    return nf_edit(nf, piece, offsetof(struct nf_stream_piece, bytes));
}

/* Of no bytes yet; there is room. Its place, which is put into a list. */
static uint32_t take_piece(const struct nf_stream_taking *t, uint32_t seq)
{
    uint32_t place = nf_lists_take(t->nf, t->streams->pieces);
    struct nf_stream_piece *piece = edit_head(t->nf, piece_at(t->streams, place));

    memset(piece, 0, offsetof(struct nf_stream_piece, bytes));
    piece->seq = seq;
    t->stream->pieces++;
    return place;
}

static void append_bytes(const struct nf *nf, const struct nf_stream_piece *piece, const uint8_t *bytes,
                         uint32_t n)
{
    memcpy(nf_edit(nf, piece->bytes + piece->len, n), bytes, n);
    edit_head(nf, piece)->len += (uint16_t)n;
}

/* The first one of one of its lists. */
static void drop_piece(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s,
                       struct nf_list *list)
{
    uint32_t place = nf_list_first(list);

    nf_list_remove(nf, streams->pieces, list, place);
    nf_lists_give(nf, streams->pieces, place);
    s->pieces--;
}

void nf_stream_release_one(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s)
{
    while (s->pieces)
        drop_piece(nf, streams, s, nf_list_is_empty(&s->sent) ? &s->kept : &s->sent);
    memset(s, 0, sizeof(*s));
}

void nf_stream_release(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    for (unsigned i = 0; i < 2; i++)
        nf_stream_release_one(nf, streams, &pair[i]);
}

/* ---- copies --------------------------------------------------------------------------------------- */

/* Puts the copies in front of what is kept. */
void nf_stream_open_copies(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s)
{
    uint32_t place, next = nf_list_first(&s->kept);

    while ((place = nf_list_first(&s->sent)) != NF_NONE) {
        nf_list_remove(nf, streams->pieces, &s->sent, place);
        nf_list_insert(nf, streams->pieces, &s->kept, place, next);
    }
}

/* Of bytes that have been handed over, behind all that were before. There is room in the pool. */
static void copy_bytes(const struct nf_stream_taking *t, const uint8_t *bytes, uint32_t seq, uint32_t n)
{
    struct nf_stream *s = t->stream;

    while (n) {
        uint32_t place = nf_list_is_empty(&s->sent) ? NF_NONE : nf_list_last(t->streams->pieces, &s->sent);
        const struct nf_stream_piece *piece = place == NF_NONE ? NULL : piece_at(t->streams, place);
        uint32_t part = piece && piece->seq + piece->len == seq ? NF_STREAM_PIECE - piece->len : 0;

        if (!part) {
            place = take_piece(t, seq);
            nf_list_insert(t->nf, t->streams->pieces, &s->sent, place, NF_NONE);
            continue;
        }
        part = part < n ? part : n;
        append_bytes(t->nf, piece, bytes, part);
        bytes += part;
        seq += part;
        n -= part;
    }
}

void nf_stream_drop_copies(const struct nf_stream_taking *t, uint32_t ack)
{
    struct nf_stream *s = t->stream;

    while (!nf_list_is_empty(&s->sent)) {
        const struct nf_stream_piece *first = piece_at(t->streams, nf_list_first(&s->sent));
        uint32_t acked = ack - first->seq;

        if ((int32_t)acked < first->len) {
            if ((int32_t)acked > first->acked)
                *NF_EDIT(t->nf, &first->acked) = (uint16_t)acked;
            break;
        }
        drop_piece(t->nf, t->streams, s, &s->sent);
    }
    if (ack == s->next)
        s->flags &= (uint8_t)~NF_STREAM_UNSURE;
}

enum nf_stream_taken nf_stream_compare(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    const struct nf_stream *s = t->stream;
    uint32_t old = s->next - g->seq, copied = 0;

    old = old < g->len ? old : g->len;
    for (uint32_t place = nf_list_first(&s->sent); place != NF_NONE;
         place = nf_list_next(t->streams->pieces, place)) {
        const struct nf_stream_piece *piece = piece_at(t->streams, place);
        int32_t ahead = (int32_t)(piece->seq - g->seq);
        uint32_t from = ahead > 0 ? (uint32_t)ahead : 0, to = (uint32_t)ahead + piece->len;
        int32_t open = ahead + piece->acked; /* the receiver has what is in front */

        if (ahead >= (int32_t)old)
            break;
        if ((int32_t)to <= 0)
            continue;
        to = to < old ? to : old;
        copied += to - from;
        from = open > (int32_t)from ? (uint32_t)open : from;
        if (from < to && memcmp(piece->bytes + (from - (uint32_t)ahead), g->bytes + from, to - from) != 0)
            return NF_STREAM_DIFFERS;
    }
    return s->flags & NF_STREAM_UNSURE && copied < old ? NF_STREAM_UNSEEN : NF_STREAM_OLD;
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* Hands over what begins at stream->next. */
static void read_bytes(const struct nf_stream_taking *t, const uint8_t *bytes, uint32_t len)
{
    struct nf_stream *s = t->stream;
    struct nf_stream_bytes readable = {
        .bytes = bytes, .len = len, .at = s->next - s->start, .reply = t->reply};

    if (readable.at >> 31)
        s->flags |= NF_STREAM_FAR;
    if (s->flags & NF_STREAM_FAR)
        readable.at += 1ull << 32;
    s->next += len;
    if (len)
        t->reader->read(t->reader->arg, &readable);
}

static void read_fin(struct nf_stream *s)
{
    s->flags |= NF_STREAM_FIN;
    s->next++;
}

/* The first piece that is kept, which begins at or before `next`: from now on it is a copy. */
static void read_piece(const struct nf_stream_taking *t)
{
    struct nf_stream *s = t->stream;
    uint32_t place = nf_list_first(&s->kept);
    const struct nf_stream_piece *piece = piece_at(t->streams, place);
    uint32_t seen = s->next - piece->seq;

    if (seen < piece->len && !(s->flags & NF_STREAM_FIN))
        read_bytes(t, piece->bytes + seen, piece->len - seen);
    if (piece->fin && piece->seq + piece->len == s->next && !(s->flags & NF_STREAM_FIN))
        read_fin(s);
    if (!piece->len) {
        drop_piece(t->nf, t->streams, s, &s->kept);
        return;
    }
    nf_list_remove(t->nf, t->streams->pieces, &s->kept, place);
    nf_list_insert(t->nf, t->streams->pieces, &s->sent, place, NF_NONE);
}

static bool may_read(const struct nf_stream_taking *t, uint32_t next)
{
    const struct nf_stream *s = t->stream;

    return !nf_list_is_empty(&s->kept) && (int32_t)(nf_stream_first_kept(t->streams, s) - next) <= 0;
}

void nf_stream_read(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool copy)
{
    struct nf_stream *s = t->stream;
    uint32_t at = 0;

    if (!copy)
        s->flags |= NF_STREAM_UNSURE;
    read_bytes(t, g->bytes, g->len);
    if (g->fin)
        read_fin(s);
    while (may_read(t, g->seq + g->len)) {
        const struct nf_stream_piece *piece = piece_at(t->streams, nf_list_first(&s->kept));
        uint32_t begins = piece->seq - g->seq, end = begins + piece->len;

        if (copy && begins > at)
            copy_bytes(t, g->bytes + at, g->seq + at, begins - at);
        at = end;
        read_piece(t);
    }
    if (copy && at < g->len)
        copy_bytes(t, g->bytes + at, g->seq + at, g->len - at);
    while (may_read(t, s->next))
        read_piece(t);
}

void nf_stream_begin_at(const struct nf_stream_taking *t, uint32_t seq)
{
    struct nf_stream *s = t->stream;

    nf_stream_open_copies(t->nf, t->streams, s);
    while (!nf_list_is_empty(&s->kept)) {
        const struct nf_stream_piece *piece = piece_at(t->streams, nf_list_first(&s->kept));

        if ((int32_t)(seq - piece->seq - piece->len) < 0)
            break;
        drop_piece(t->nf, t->streams, s, &s->kept);
    }
    s->flags &= (uint8_t) ~(NF_STREAM_FAR | NF_STREAM_UNSURE);
    s->start = s->next = seq;
    while (may_read(t, s->next))
        read_piece(t);
}

/* ---- behind a hole -------------------------------------------------------------------------------- */

/* A piece with n bytes of the segment, from `at` on, in front of the piece `next`; its place. */
static uint32_t add_piece(const struct nf_stream_taking *t, const struct nf_stream_segment *g, uint32_t at,
                          uint32_t n, uint32_t next)
{
    uint32_t place = take_piece(t, g->seq + at);

    append_bytes(t->nf, piece_at(t->streams, place), g->bytes + at, n);
    nf_list_insert(t->nf, t->streams->pieces, &t->stream->kept, place, next);
    return place;
}

/* `before`: the last piece that ends at or before the segment's end, behind which is none; NF_NONE: none. */
static void add_fin(const struct nf_stream_taking *t, const struct nf_stream_segment *g, uint32_t before)
{
    const struct nf_stream_piece *last = before != NF_NONE ? piece_at(t->streams, before) : NULL;

    if (!last || last->seq + last->len != g->seq + g->len)
        last = piece_at(t->streams, add_piece(t, g, g->len, 0, NF_NONE));
    edit_head(t->nf, last)->fin = 1;
}

uint32_t nf_stream_walk(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool keep)
{
    uint32_t at = 0, count = 0, before = NF_NONE, place = nf_list_first(&t->stream->kept);

    for (;;) {
        const struct nf_stream_piece *piece = place != NF_NONE ? piece_at(t->streams, place) : NULL;
        uint32_t from = g->seq + at, n = g->len - at, ahead;

        if (piece && (int32_t)(piece->seq + piece->len - from) <= 0) {
            if (piece->fin && (int32_t)(piece->seq + piece->len - (g->seq + g->len)) < 0)
                return UINT32_MAX;
            before = place;
            place = nf_list_next(t->streams->pieces, place);
            continue;
        }
        if (!n && g->fin && piece)
            return UINT32_MAX;
        if (!n)
            break;
        ahead = piece ? piece->seq - from : UINT32_MAX;
        if (piece && (int32_t)ahead <= 0) {
            uint32_t both = piece->len + ahead; /* from `from` on */

            both = both < n ? both : n;
            if (memcmp(piece->bytes + (from - piece->seq), g->bytes + at, both) != 0)
                return UINT32_MAX;
            at += both;
            continue;
        }
        n = n < NF_STREAM_PIECE ? n : NF_STREAM_PIECE;
        n = n < ahead ? n : ahead;
        if (keep)
            before = add_piece(t, g, at, n, place);
        at += n;
        count++;
    }
    if (keep && g->fin)
        add_fin(t, g, before);
    return count;
}

bool nf_stream_has_room(const struct nf_stream_taking *t, uint32_t count)
{
    const struct nf_lists *pieces = t->streams->pieces;
    uint32_t left = nf_lists_left(pieces), half = (nf_lists_count(pieces) + left) / 2;

    if (t->stream->flags & NF_STREAM_ANSWERED)
        return count <= left;
    return count + half <= left;
}

enum nf_stream_taken nf_stream_keep(const struct nf_stream_taking *t, const struct nf_stream_segment *g,
                                    uint32_t count)
{
    const struct nf_streams *streams = t->streams;
    uint32_t pieces = t->stream->pieces;

    count += g->fin; /* perhaps by itself */
    if (!count)
        return NF_STREAM_OLD;
    if (count > streams->flow_pieces - pieces || !nf_stream_has_room(t, count))
        return NF_STREAM_FULL;
    nf_stream_walk(t, g, true);
    return t->stream->pieces > pieces ? NF_STREAM_KEPT : NF_STREAM_OLD;
}
