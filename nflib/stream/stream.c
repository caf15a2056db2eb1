/* SPDX-License-Identifier: Apache-2.0 */
/* Takes packets of TCP into streams; see stream.h. Owns the pool's pieces and the streams' numbers. */
#include "nflib/net/bytes.h"
#include "nflib/net/tcp.h"
#include "nflib/stream/parts.h"

#include <arpa/inet.h>
#include <string.h>

#define WINDOW_MAX (1u << 30) /* of TCP (RFC 7323, 2.2) */

/* A call of nf_stream_take. */
struct taking {
    const struct nf *nf;
    struct nf_streams *streams;
    struct nf_stream *stream;
    const struct nf_stream_reader *reader;
    bool reply;
};
/* A segment of it, as far as it is new. */
struct segment {
    const uint8_t *bytes;
    uint32_t seq, len;
    bool fin;
};

/* ---- pieces --------------------------------------------------------------------------------------- */

static const struct nf_stream_piece *piece_at(const struct nf_streams *streams, uint32_t place)
{
    return nf_lists_value(streams->pieces, place);
}

/* The stream's first one. */
static void drop_piece(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s)
{
    uint32_t place = nf_list_first(&s->kept);

    nf_list_remove(nf, streams->pieces, &s->kept, place);
    nf_lists_give(nf, streams->pieces, place);
    s->pieces--;
}

static void release_stream(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s)
{
    while (s->pieces)
        drop_piece(nf, streams, s);
    memset(s, 0, sizeof(*s));
}

void nf_stream_release(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    for (unsigned i = 0; i < 2; i++)
        release_stream(nf, streams, &pair[i]);
}

void nf_stream_renew(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    nf_stream_release(nf, streams, pair);
    pair[0].flags = pair[1].flags = NF_STREAM_DOUBTED;
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* Hands over what begins at stream->next + gap. */
static void read_bytes(const struct taking *t, const uint8_t *bytes, uint32_t len, uint32_t gap)
{
    struct nf_stream *s = t->stream;
    struct nf_stream_bytes readable = {.bytes = bytes, .len = len, .gap = gap, .reply = t->reply};

    s->next += gap;
    readable.at = s->next - s->start;
    if (readable.at >> 31)
        s->flags |= NF_STREAM_FAR;
    if (s->flags & NF_STREAM_FAR)
        readable.at += 1ull << 32;
    s->next += len;
    if (s->flags & NF_STREAM_ACKED && (int32_t)(s->acked - s->next) <= 0)
        s->flags &= (uint8_t)~NF_STREAM_ACKED;
    if (len || gap)
        t->reader->read(t->reader->arg, &readable);
}

static void read_fin(struct nf_stream *s)
{
    s->flags |= NF_STREAM_FIN;
    s->next++;
}

/* Pieces that begin at or before `next`. */
static void read_kept(const struct taking *t)
{
    struct nf_stream *s = t->stream;

    while (s->pieces) {
        const struct nf_stream_piece *piece = piece_at(t->streams, nf_list_first(&s->kept));
        int32_t ahead = (int32_t)(piece->seq - s->next);
        uint32_t seen = (uint32_t)-ahead;

        if (ahead > 0)
            return;
        if (seen < piece->len && !(s->flags & NF_STREAM_FIN))
            read_bytes(t, piece->bytes + seen, piece->len - seen, 0);
        if (piece->fin && piece->seq + piece->len == s->next && !(s->flags & NF_STREAM_FIN))
            read_fin(s);
        drop_piece(t->nf, t->streams, s);
    }
}

/* The receiver has acknowledged more than was taken; perhaps that is still to come in this burst. */
static void note_acknowledged(struct nf_stream *s, uint32_t ack)
{
    if (!(s->flags & NF_STREAM_KNOWN) || ack - s->next - 1 >= WINDOW_MAX)
        return;
    if (s->flags & NF_STREAM_ACKED && (int32_t)(ack - s->acked) <= 0)
        return;
    s->flags |= NF_STREAM_ACKED;
    s->acked = ack;
}

/* More has come, from `to` on: what the receiver has in front of that is not to come any more. */
static void pass_hole(const struct taking *t, uint32_t to)
{
    struct nf_stream *s = t->stream;

    if (s->acked - s->next < to - s->next)
        to = s->acked;
    while ((int32_t)(to - s->next) > 0 && !(s->flags & NF_STREAM_FIN)) {
        uint32_t gap = to - s->next, first = nf_list_first(&s->kept);

        if (first != NF_NONE && piece_at(t->streams, first)->seq - s->next < gap)
            gap = piece_at(t->streams, first)->seq - s->next;
        read_bytes(t, NULL, 0, gap);
        read_kept(t);
    }
}

/* ---- behind a hole -------------------------------------------------------------------------------- */

/* A piece with n bytes of the segment, from `at` on, in front of the piece `next`; its place. There is room.
 */
static uint32_t add_piece(const struct taking *t, const struct segment *g, uint32_t at, uint32_t n,
                          uint32_t next)
{
    uint32_t place = nf_lists_take(t->nf, t->streams->pieces);
    struct nf_stream_piece *piece =
        nf_edit(t->nf, piece_at(t->streams, place), offsetof(struct nf_stream_piece, bytes) + n);

    memset(piece, 0, offsetof(struct nf_stream_piece, bytes));
    piece->seq = g->seq + at;
    piece->len = (uint16_t)n;
    memcpy(piece->bytes, g->bytes + at, n);
    nf_list_insert(t->nf, t->streams->pieces, &t->stream->kept, place, next);
    t->stream->pieces++;
    return place;
}

/* `before`: the last piece that ends at or before the segment's end, behind which is none; NF_NONE: none. */
static void add_fin(const struct taking *t, const struct segment *g, uint32_t before)
{
    const struct nf_stream_piece *last = before != NF_NONE ? piece_at(t->streams, before) : NULL;

    if (!last || last->seq + last->len != g->seq + g->len)
        last = piece_at(t->streams, add_piece(t, g, g->len, 0, NF_NONE));
    *NF_EDIT(t->nf, &last->fin) = 1;
}

/*
 * Walks over a segment: over what pieces have of it, and what lies between them. With `keep` the latter
 * becomes pieces. Returns how many those are, or UINT32_MAX when a piece has other bytes, or one of the two
 * has some behind the other's end.
 */
static uint32_t walk_parts(const struct taking *t, const struct segment *g, bool keep)
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

static enum nf_stream_taken keep_segment(const struct taking *t, const struct segment *g, uint32_t count)
{
    const struct nf_streams *streams = t->streams;
    uint32_t pieces = t->stream->pieces;

    count += g->fin; /* perhaps by itself */
    if (!count)
        return NF_STREAM_OLD;
    if (count > streams->flow_pieces - pieces || count > nf_lists_left(streams->pieces))
        return NF_STREAM_FULL;
    walk_parts(t, g, true);
    return t->stream->pieces > pieces ? NF_STREAM_KEPT : NF_STREAM_OLD;
}

/* ---- a packet ------------------------------------------------------------------------------------- */

static enum nf_stream_taken take_segment(const struct taking *t, struct segment *g)
{
    struct nf_stream *s = t->stream;
    int32_t ahead, end;
    uint32_t count;

    if (s->flags & NF_STREAM_ACKED && (int32_t)(g->seq - s->next) > 0)
        pass_hole(t, g->seq);
    ahead = (int32_t)(g->seq - s->next);
    end = (int32_t)(g->seq + g->len - s->next);
    if (ahead < 0 && !(s->flags & (NF_STREAM_MIDDLE | NF_STREAM_FAR)) &&
        (uint32_t)-ahead > s->next - s->start)
        return NF_STREAM_OUTSIDE; /* in front of its beginning: nobody has looked at that */
    if (end < 0 || (end == 0 && !g->fin))
        return NF_STREAM_OLD;
    if (s->flags & NF_STREAM_FIN)
        return end == 0 ? NF_STREAM_OLD : NF_STREAM_OUTSIDE;
    if (ahead > 0 && (uint64_t)end > (uint64_t)t->streams->flow_pieces * NF_STREAM_PIECE)
        return NF_STREAM_OUTSIDE;
    if (ahead < 0) {
        g->bytes += (uint32_t)-ahead;
        g->len -= (uint32_t)-ahead;
        g->seq = s->next;
        ahead = 0;
    }
    count = walk_parts(t, g, false);
    if (count == UINT32_MAX)
        return NF_STREAM_DIFFERS;
    if (ahead > 0)
        return keep_segment(t, g, count);
    read_bytes(t, g->bytes, g->len, 0);
    if (g->fin)
        read_fin(s);
    read_kept(t);
    return NF_STREAM_READ;
}

/* Where a stream begins; false: nowhere yet. */
static bool begin_stream(struct nf_stream *s, const struct nf_packet *p, const struct segment *g)
{
    uint8_t doubted = s->flags & NF_STREAM_DOUBTED;

    if (p->tcp_flags & NF_TCP_SYN)
        s->flags = NF_STREAM_KNOWN | doubted;
    else if (g->len)
        s->flags = NF_STREAM_KNOWN | NF_STREAM_MIDDLE | doubted;
    else
        return false;
    s->start = s->next = g->seq;
    return true;
}

/*
 * A SYN of a stream that is known has another number. While nothing has answered the stream, its receiver may
 * never have seen the first SYN, or what was taken for the stream's middle, so the stream begins with this
 * one. False: it stays, as it does once bytes behind a SYN were taken.
 */
static bool begin_again(const struct taking *t)
{
    struct nf_stream *s = t->stream;

    if (s->flags & NF_STREAM_ANSWERED)
        return false;
    if (!(s->flags & NF_STREAM_MIDDLE) && (s->next != s->start || s->pieces))
        return false;
    release_stream(t->nf, t->streams, s);
    s->flags = NF_STREAM_DOUBTED;
    return true;
}

/* A packet from `by`, the receiver of `s`, acknowledges what `s` has. A doubted stream is answered by a
 * SYN-ACK, or by an ACK of who has had one: an end that knows another connection sends neither. */
static void note_answer(struct nf_stream *s, const struct nf_stream *by, const struct nf_packet *p,
                        uint32_t ack)
{
    bool opens = p->tcp_flags & NF_TCP_SYN ||
                 ((by->flags & (NF_STREAM_ANSWERED | NF_STREAM_MIDDLE)) == NF_STREAM_ANSWERED);

    if (s->flags & NF_STREAM_KNOWN && ack - s->start <= s->next - s->start &&
        (opens || !(s->flags & NF_STREAM_DOUBTED)))
        s->flags |= NF_STREAM_ANSWERED;
}

static void take_reset(struct nf_stream *s, const struct segment *g)
{
    if (!(s->flags & NF_STREAM_KNOWN) || g->seq == s->next)
        s->flags |= NF_STREAM_RESET;
}

/* Its receiver does not take it, whatever its numbers are (RFC 9293, 3.10.7.4). */
static bool is_wrong(uint8_t flags, const struct segment *g)
{
    return nf_tcp_is_impossible(flags) || (g->fin && !(flags & NF_TCP_ACK));
}

enum nf_stream_taken nf_stream_take(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2],
                                    const struct nf_packet *p, bool reply,
                                    const struct nf_stream_reader *reader)
{
    struct nf_stream *s = &pair[reply];
    struct taking t = {.nf = nf, .streams = streams, .stream = s, .reader = reader, .reply = reply};
    struct segment g = {.seq = ntohl(nf_get32(p->data + p->l4 + 4))};
    uint32_t ack = ntohl(nf_get32(p->data + p->l4 + 8));
    bool syn = p->tcp_flags & NF_TCP_SYN;

    g.bytes = nf_packet_payload(p, &g.len);
    g.fin = p->tcp_flags & NF_TCP_FIN && p->have >= (uint32_t)p->l4 + p->l4_len;
    if (is_wrong(p->tcp_flags, &g))
        return NF_STREAM_WRONG;
    if (p->tcp_flags & NF_TCP_RST) {
        take_reset(s, &g);
        return NF_STREAM_READ; /* what it carries is a reason for people (RFC 9293, 3.5.3), not data */
    }
    g.seq += syn;
    if (syn && s->flags & NF_STREAM_KNOWN && (g.seq != s->start || s->flags & NF_STREAM_MIDDLE) &&
        !begin_again(&t))
        return g.len ? NF_STREAM_OUTSIDE : NF_STREAM_READ; /* its receiver does not believe it either */
    if (p->tcp_flags & NF_TCP_ACK) {
        note_acknowledged(&pair[!reply], ack);
        note_answer(&pair[!reply], s, p, ack);
    }
    if (!(s->flags & NF_STREAM_KNOWN)) {
        if (!syn && g.len && !streams->loose)
            return NF_STREAM_UNKNOWN;
        if (!begin_stream(s, p, &g))
            return NF_STREAM_READ;
    }
    if (!g.len && !g.fin)
        return NF_STREAM_READ;
    if ((s->flags & (NF_STREAM_DOUBTED | NF_STREAM_ANSWERED)) == NF_STREAM_DOUBTED)
        return NF_STREAM_OUTSIDE;
    return take_segment(&t, &g);
}

void nf_stream_follow(struct nf_stream pair[2], const struct nf_packet *p, bool reply)
{
    if (p->tcp_flags & NF_TCP_RST)
        pair[reply].flags |= NF_STREAM_RESET;
    else if (p->tcp_flags & NF_TCP_FIN)
        pair[reply].flags |= NF_STREAM_FIN;
}

bool nf_stream_is_over(const struct nf_stream pair[2])
{
    return (pair[0].flags & pair[1].flags & NF_STREAM_FIN) ||
           (pair[0].flags | pair[1].flags) & NF_STREAM_RESET;
}
