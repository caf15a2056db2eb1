/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of streams: handed over, copied until they are acknowledged, kept behind holes. Owns the pool's
 * pieces; which segments come here is decided in take.c. A piece is looked up by its place, so what a segment
 * costs depends on its length alone, not on what is kept. An acknowledgement of a stream that was picked up
 * in its middle may look NF_STREAM_FARTHEST over for what is kept.
 */
#include "nflib/net/bytes.h"
#include "nflib/stream/parts.h"

#include <string.h>

/* ---- bytes of a piece ----------------------------------------------------------------------------- */

static bool has_byte(const struct nf_stream_piece *piece, uint32_t at)
{
    return piece->has[at / 64] >> at % 64 & 1;
}

/* Bytes from `at` on that are there without a hole, n at most. */
static uint32_t count_bytes(const struct nf_stream_piece *piece, uint32_t at, uint32_t n)
{
    uint32_t count = 0;

    while (count < n) {
        uint32_t bit = (at + count) % 64;
        uint64_t missing = ~piece->has[(at + count) / 64] >> bit;

        if (missing) {
            count += (uint32_t)__builtin_ctzll(missing);
            break;
        }
        count += 64 - bit;
    }
    return count < n ? count : n;
}

/* Something, be it the stream's end, is there at `at` or behind it. */
static bool has_from(const struct nf_stream_piece *piece, uint32_t at)
{
    uint64_t mask = ~0ull << at % 64;

    for (uint32_t i = at / 64; i < NF_STREAM_WORDS; i++) {
        if (piece->has[i] & mask)
            return true;
        mask = ~0ull;
    }
    return piece->fin > at;
}

/* Of the n bytes from `at` on another one is there, or the stream ends in place of one. */
static bool differs(const struct nf_stream_piece *piece, uint32_t at, const uint8_t *bytes, uint32_t n)
{
    if (piece->fin > at && piece->fin <= at + n)
        return true;
    if (memcmp(piece->bytes + at, bytes, n) == 0)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (piece->bytes[at + i] != bytes[i] && has_byte(piece, at + i))
            return true;
    return false;
}

static void mark_bytes(uint64_t has[], uint32_t at, uint32_t n)
{
    for (uint32_t end = at + n, here; at < end; at += here) {
        uint32_t left = 64 - at % 64;

        here = left < end - at ? left : end - at;
        has[at / 64] |= ~0ull >> (64 - here) << at % 64;
    }
}

/* ---- pieces --------------------------------------------------------------------------------------- */

static uint32_t find_slot(const struct nf *nf, const struct nf_streams *streams, const struct nf_stream *s,
                          uint32_t seq)
{
    struct nf_stream_place place = nf_stream_place(nf, s, seq);

    return s->pieces ? nf_map_find(streams->pieces, &place) : NF_NONE;
}

static const struct nf_stream_piece *find_piece(const struct nf_stream_taking *t, uint32_t seq)
{
    uint32_t slot = find_slot(t->nf, t->streams, t->stream, seq);

    return slot == NF_NONE ? NULL : nf_map_value(t->streams->pieces, slot);
}

/* That one, or a new one, for which there is room. A stream with pieces has a name. */
static const struct nf_stream_piece *make_piece(const struct nf_stream_taking *t, uint32_t seq)
{
    const struct nf_stream_piece *piece = find_piece(t, seq);
    struct nf_stream *s = t->stream;
    struct nf_stream_place place;
    uint32_t slot;

    if (piece)
        return piece;
    if (!s->pieces++) {
        slot = nf_lists_take(t->nf, t->streams->names);
        nf_list_insert(t->nf, t->streams->names, &s->name, slot, NF_NONE);
    }
    place = nf_stream_place(t->nf, s, seq);
    slot = nf_map_add(t->nf, t->streams->pieces, &place);
    FT_CHECK(slot != NF_NONE, "no piece is left of %u", nf_map_capacity(t->streams->pieces));
    return nf_map_value(t->streams->pieces, slot);
}

static void drop_piece(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s, uint32_t slot)
{
    uint32_t name = nf_list_first(&s->name);

    nf_map_remove(nf, streams->pieces, slot);
    if (--s->pieces)
        return;
    nf_list_remove(nf, streams->names, &s->name, name);
    nf_lists_give(nf, streams->names, name);
}

void nf_stream_release_one(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s)
{
    for (uint32_t at = s->acked; s->pieces; at += nf_stream_left_in_piece(at)) {
        uint32_t slot = find_slot(nf, streams, s, at);

        if (slot != NF_NONE)
            drop_piece(nf, streams, s, slot);
    }
    memset(s, 0, sizeof(*s));
}

void nf_stream_release(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    for (unsigned i = 0; i < 2; i++)
        nf_stream_release_one(nf, streams, &pair[i]);
}

bool nf_stream_has_room(const struct nf_stream_taking *t, uint32_t count)
{
    uint32_t all = nf_map_capacity(t->streams->pieces), left = all - nf_map_count(t->streams->pieces);

    if (!(t->stream->flags & NF_STREAM_ANSWERED))
        left = left > all / 2 ? left - all / 2 : 0;
    return !count ||
           (t->stream->pieces + count <= t->streams->flow_pieces && t->stream->pieces + count <= left);
}

uint32_t nf_stream_missing(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    uint32_t count = 0, end = g->seq + g->len, n;
    const struct nf_stream_piece *piece;

    for (uint32_t at = 0; at < g->len; at += n) {
        uint32_t left = nf_stream_left_in_piece(g->seq + at);

        n = left < g->len - at ? left : g->len - at;
        piece = find_piece(t, g->seq + at);
        count += !piece;
        if (piece && differs(piece, (g->seq + at) % NF_STREAM_PIECE, g->bytes + at, n))
            return UINT32_MAX;
    }
    if (!g->fin)
        return count;
    piece = find_piece(t, end);
    n = end % NF_STREAM_PIECE;
    if (piece && (has_byte(piece, n) || (piece->fin && piece->fin != n + 1)))
        return UINT32_MAX;
    return count + (!piece && (!n || !g->len));
}

/* Into pieces, for which there is room; what is there already is the same. True: something is new. */
static bool put_bytes(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    bool new = false;
    uint32_t n;

    for (uint32_t done = 0; done < g->len; done += n) {
        uint32_t seq = g->seq + done, at = seq % NF_STREAM_PIECE, left = nf_stream_left_in_piece(seq);
        const struct nf_stream_piece *piece = make_piece(t, seq);
        struct nf_stream_piece *head;

        n = left < g->len - done ? left : g->len - done;
        if (count_bytes(piece, at, n) == n)
            continue;
        head = nf_edit(t->nf, piece, offsetof(struct nf_stream_piece, bytes));
        mark_bytes(head->has, at, n);
        memcpy(nf_edit(t->nf, piece->bytes + at, n), g->bytes + done, n);
        new = true;
    }
    return new;
}

/* ---- copies --------------------------------------------------------------------------------------- */

void nf_stream_drop_copies(const struct nf_stream_taking *t, uint32_t ack)
{
    struct nf_stream *s = t->stream;
    uint32_t at = s->acked - s->acked % NF_STREAM_PIECE, left;

    for (; s->pieces && (int32_t)(at - ack) <= 0; at += left) {
        uint32_t slot = find_slot(t->nf, t->streams, s, at);

        left = nf_stream_left_in_piece(at);
        if (slot != NF_NONE &&
            (ack - at >= left || !has_from(nf_map_value(t->streams->pieces, slot), ack - at)))
            drop_piece(t->nf, t->streams, s, slot);
    }
    s->acked = ack;
}

enum nf_stream_taken nf_stream_compare(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    const struct nf_stream *s = t->stream;
    uint32_t old = s->next - g->seq, at = s->acked - g->seq, n; /* the receiver has what is in front */
    bool unseen = false;

    old = old < g->len ? old : g->len;
    at = (int32_t)at > 0 ? at : 0;
    for (; at < old; at += n) {
        uint32_t left = nf_stream_left_in_piece(g->seq + at), from = (g->seq + at) % NF_STREAM_PIECE;
        const struct nf_stream_piece *piece = find_piece(t, g->seq + at);

        n = left < old - at ? left : old - at;
        if (piece && differs(piece, from, g->bytes + at, n))
            return NF_STREAM_DIFFERS;
        unseen |= !piece || count_bytes(piece, from, n) < n;
    }
    return unseen ? NF_STREAM_UNSEEN : NF_STREAM_OLD;
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

/* What is kept, as far as it goes on without a hole. */
static void read_kept(const struct nf_stream_taking *t)
{
    struct nf_stream *s = t->stream;
    const struct nf_stream_piece *piece;

    while (!(s->flags & NF_STREAM_FIN) && (piece = find_piece(t, s->next))) {
        uint32_t at = s->next % NF_STREAM_PIECE, left = nf_stream_left_in_piece(s->next);
        uint32_t n = count_bytes(piece, at, left);

        if (n)
            read_bytes(t, piece->bytes + at, n);
        else if (piece->fin == at + 1)
            read_fin(s);
        else
            return;
    }
}

void nf_stream_read(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool copy)
{
    if (copy)
        put_bytes(t, g);
    read_bytes(t, g->bytes, g->len);
    if (g->fin)
        read_fin(t->stream);
    read_kept(t);
}

void nf_stream_begin_at(const struct nf_stream_taking *t, uint32_t seq)
{
    struct nf_stream *s = t->stream;

    nf_stream_drop_copies(t, seq);
    s->flags &= (uint8_t)~NF_STREAM_FAR;
    s->start = s->next = seq;
    read_kept(t);
}

/* ---- behind a hole -------------------------------------------------------------------------------- */

bool nf_stream_keep(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    uint32_t end = g->seq + g->len;
    bool new = put_bytes(t, g);
    const struct nf_stream_piece *piece;

    if (!g->fin)
        return new;
    piece = make_piece(t, end);
    if (piece->fin)
        return new;
    *NF_EDIT(t->nf, &piece->fin) = (uint16_t)(end % NF_STREAM_PIECE + 1);
    return true;
}

bool nf_stream_first_kept(const struct nf_stream_taking *t, uint32_t end, uint32_t *seq)
{
    uint32_t n = end - t->stream->next, left;

    n = n < NF_STREAM_FARTHEST ? n : NF_STREAM_FARTHEST;
    for (uint32_t at = 0; at < n && t->stream->pieces; at += left) {
        uint32_t from = (t->stream->next + at) % NF_STREAM_PIECE;
        const struct nf_stream_piece *piece = find_piece(t, t->stream->next + at);

        left = nf_stream_left_in_piece(t->stream->next + at);
        if (!piece || !has_from(piece, from))
            continue;
        for (uint32_t i = 0; i < left && at + i < n; i++)
            if (has_byte(piece, from + i) || piece->fin == from + i + 1) {
                *seq = t->stream->next + at + i;
                return true;
            }
    }
    return false;
}
