/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes packets of TCP into streams, or refuses them; see stream.h. Owns the streams' numbers and flags, and
 * the pool's pieces: bytes are handed over, copied until they are acknowledged, kept behind holes. A piece is
 * looked up by its place, so what a segment costs depends on its length alone, not on what is kept. The
 * pieces of a stream are linked as well, so that no walk is longer than what is kept, however far ahead that
 * lies.
 */
#include "nflib/stream/pool.h"
#include "nflib/net/tcp.h"

#include <string.h>

#define NF_STREAM_WINDOW (1u << 30) /* of TCP (RFC 7323, 2.2) */

#define NF_STREAM_HOLES 64u /* that an acknowledgement passes over at most; more wait for the next one */

/* A call of nf_stream_take, of one direction. */
struct nf_stream_taking {
    const struct nf *nf;
    struct nf_streams *streams;
    struct nf_stream *stream;
    const struct nf_stream_reader *reader;
    const struct nf_packet *p; /* from the stream's sender, where pieces are made */
    bool reply;
};
/* A segment of it, as far as it is new. */
struct nf_stream_segment {
    const uint8_t *bytes;
    uint32_t seq, len;
    bool fin;
};

_Static_assert(FT_LANES_MAX <= 16, "a lane has four bits of a place's name");

/* Bytes from `seq` on that lie in the same piece. The last piece of all numbers is a shorter one. */
static inline uint32_t left_in_piece(uint32_t seq)
{
    uint32_t left = NF_STREAM_PIECE - seq % NF_STREAM_PIECE;

    return seq + left < seq ? -seq : left;
}
static inline struct nf_stream_place place_of(const struct nf *nf, const struct nf_stream *s, uint32_t seq)
{
    return (struct nf_stream_place){s->name.first << 4 | nf->lane, seq / NF_STREAM_PIECE};
}

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

/* The first byte or end that is there at `at` or behind it; NF_STREAM_PIECE: none. */
static uint32_t first_from(const struct nf_stream_piece *piece, uint32_t at)
{
    uint32_t end = piece->fin > at ? piece->fin - 1u : NF_STREAM_PIECE, first;
    uint64_t mask = ~0ull << at % 64;

    for (uint32_t i = at / 64; i < NF_STREAM_WORDS; i++) {
        if (piece->has[i] & mask) {
            first = i * 64 + (uint32_t)__builtin_ctzll(piece->has[i] & mask);
            return first < end ? first : end;
        }
        mask = ~0ull;
    }
    return end;
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
    struct nf_stream_place place = place_of(nf, s, seq);

    return s->pieces ? nf_map_find(streams->pieces, &place) : NF_NONE;
}

static const struct nf_stream_piece *find_piece(const struct nf_stream_taking *t, uint32_t seq)
{
    uint32_t slot = find_slot(t->nf, t->streams, t->stream, seq);

    return slot == NF_NONE ? NULL : nf_map_value(t->streams->pieces, slot);
}

static struct nf_stream_piece *edit_head(const struct nf *nf, const struct nf_stream_piece *piece)
{
    return nf_edit(nf, piece, offsetof(struct nf_stream_piece, bytes));
}

/* Who sends the stream: an address of IPv4, or the first 64 bits of one of IPv6, of which one host has all.
 */
static uint32_t sender_of(const struct nf_stream_taking *t)
{
    const struct nf_stream *s = t->stream;
    uint64_t who = t->p->flags & NF_P_IPV6_READ ? nf_get64(nf_packet_ipv6_addresses(t->p)) : t->p->saddr;

    if (s->pieces && nf_stream_name_of(t->streams, s)->sender)
        return nf_stream_name_of(t->streams, s)->sender - 1;
    return (uint32_t)(nf_map_hash(t->streams->pieces, &who) % NF_STREAM_SENDERS);
}

static void hold_piece(const struct nf_stream_taking *t, const struct nf_stream_piece *piece)
{
    const struct nf_stream_name *name = nf_stream_name_of(t->streams, t->stream);
    uint32_t sender = sender_of(t);

    if (!name->sender)
        NF_EDIT(t->nf, name)->sender = sender + 1;
    ++*NF_EDIT(t->nf, &t->streams->held[sender]);
    edit_head(t->nf, piece)->held = 1;
}

static void let_piece_go(const struct nf *nf, const struct nf_streams *streams, const struct nf_stream *s,
                         const struct nf_stream_piece *piece)
{
    --*NF_EDIT(nf, &streams->held[nf_stream_name_of(streams, s)->sender - 1]);
    edit_head(nf, piece)->held = 0;
}

static void link_piece(const struct nf *nf, struct nf_streams *streams, const struct nf_stream *s,
                       uint32_t slot)
{
    uint32_t *first = NF_EDIT(nf, nf_stream_newest(streams, s));

    if (*first) {
        edit_head(nf, nf_map_value(streams->pieces, slot))->next = *first & 0xffffff;
        edit_head(nf, nf_map_value(streams->pieces, *first - 1))->before = (slot + 1) & 0xffffff;
    }
    *first = slot + 1;
}

static void unlink_piece(const struct nf *nf, struct nf_streams *streams, const struct nf_stream *s,
                         uint32_t slot)
{
    const struct nf_stream_piece *piece = nf_map_value(streams->pieces, slot);

    if (piece->next)
        edit_head(nf, nf_map_value(streams->pieces, piece->next - 1u))->before = piece->before;
    if (piece->before)
        edit_head(nf, nf_map_value(streams->pieces, piece->before - 1u))->next = piece->next;
    else
        *NF_EDIT(nf, nf_stream_newest(streams, s)) = piece->next;
}

/* That one, or a new one, for which there is room. A stream with pieces has a name. */
static const struct nf_stream_piece *make_piece(const struct nf_stream_taking *t, uint32_t seq, bool held)
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
        /* What a peer's state has in a free one was looked at by nobody. */
        memset(NF_EDIT(t->nf, nf_stream_name_of(t->streams, s)), 0, sizeof(struct nf_stream_name));
    }
    place = place_of(t->nf, s, seq);
    slot = nf_map_add(t->nf, t->streams->pieces, &place);
    FT_CHECK(slot != NF_NONE, "no piece is left of %u", nf_map_capacity(t->streams->pieces));
    link_piece(t->nf, t->streams, s, slot);
    piece = nf_map_value(t->streams->pieces, slot);
    if (held)
        hold_piece(t, piece);
    return piece;
}

static void drop_piece(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s, uint32_t slot)
{
    uint32_t name = nf_list_first(&s->name);

    const struct nf_stream_piece *piece = nf_map_value(streams->pieces, slot);

    if (piece->held)
        let_piece_go(nf, streams, s, piece);
    unlink_piece(nf, streams, s, slot);
    nf_map_remove(nf, streams->pieces, slot);
    if (--s->pieces)
        return;
    if (nf_stream_name_of(streams, s)->sender)
        NF_EDIT(nf, nf_stream_name_of(streams, s))->sender = 0;
    nf_list_remove(nf, streams->names, &s->name, name);
    nf_lists_give(nf, streams->names, name);
}

static void release_one(const struct nf *nf, struct nf_streams *streams, struct nf_stream *s)
{
    while (s->pieces)
        drop_piece(nf, streams, s, *nf_stream_newest(streams, s) - 1);
    memset(s, 0, sizeof(*s));
}

void nf_stream_release(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    for (unsigned i = 0; i < 2; i++)
        release_one(nf, streams, &pair[i]);
}

/* Behind a hole, or of a direction that has not been answered: it counts against its sender. */
static bool is_held(const struct nf_stream_taking *t, bool behind)
{
    return behind || !(t->stream->flags & NF_STREAM_ANSWERED);
}

/* So many pieces more may be taken: no direction has more than are free. Half of all are for what is in order
 * and of directions that have been answered: neither holes that are never filled nor who sends in other
 * people's names take more than the other half, of which no sender holds more than are free. */
static bool has_room(const struct nf_stream_taking *t, uint32_t count, bool behind)
{
    uint32_t all = nf_map_capacity(t->streams->pieces), left = all - nf_map_count(t->streams->pieces);
    uint32_t has = t->stream->pieces;

    if (!count)
        return true;
    if (has + count > t->streams->flow_pieces || has + count > left)
        return false;
    if (is_held(t, behind)) {
        left = left > all / 2 ? left - all / 2 : 0;
        has = t->streams->held[sender_of(t)];
    }
    return has + count <= left;
}

/* How many pieces a segment needs beside those that are there; UINT32_MAX: one has other bytes, or has some
 * where the other one ends. */
static uint32_t count_missing(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    uint32_t count = 0, end = g->seq + g->len, n;
    const struct nf_stream_piece *piece;

    for (uint32_t at = 0; at < g->len; at += n) {
        uint32_t left = left_in_piece(g->seq + at);

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
static bool put_bytes(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool held)
{
    bool new = false;
    uint32_t n;

    for (uint32_t done = 0; done < g->len; done += n) {
        uint32_t seq = g->seq + done, at = seq % NF_STREAM_PIECE, left = left_in_piece(seq);
        const struct nf_stream_piece *piece = make_piece(t, seq, held);
        struct nf_stream_piece *head;

        n = left < g->len - done ? left : g->len - done;
        if (count_bytes(piece, at, n) == n)
            continue;
        head = edit_head(t->nf, piece);
        mark_bytes(head->has, at, n);
        memcpy(nf_edit(t->nf, piece->bytes + at, n), g->bytes + done, n);
        new = true;
    }
    return new;
}

/* ---- copies --------------------------------------------------------------------------------------- */

/* Gives the piece back if nothing is there from `ack` on. */
static void drop_copy(const struct nf_stream_taking *t, uint32_t slot, uint32_t ack)
{
    const struct nf_stream_place *place = nf_map_key(t->streams->pieces, slot);
    uint32_t at = place->piece * NF_STREAM_PIECE, from = ack - at;

    if ((int32_t)from >= 0 && (from >= left_in_piece(at) ||
                               first_from(nf_map_value(t->streams->pieces, slot), from) == NF_STREAM_PIECE))
        drop_piece(t->nf, t->streams, t->stream, slot);
}

/* The receiver has acknowledged all in front of `ack`, which is none in front of what it had before: pieces
 * with nothing behind that are given back. Looks at the places in between or, if the stream has fewer, at its
 * pieces. */
static void drop_copies(const struct nf_stream_taking *t, uint32_t ack)
{
    struct nf_stream *s = t->stream;
    uint32_t at = s->acked - s->acked % NF_STREAM_PIECE, slot;

    if ((ack - at) / NF_STREAM_PIECE > s->pieces) {
        for (uint32_t next = s->pieces ? *nf_stream_newest(t->streams, s) : 0; next;) {
            const struct nf_stream_piece *piece = nf_map_value(t->streams->pieces, next - 1);

            slot = next - 1;
            next = piece->next;
            drop_copy(t, slot, ack);
        }
    } else {
        for (; s->pieces && (int32_t)(at - ack) <= 0; at += left_in_piece(at))
            if ((slot = find_slot(t->nf, t->streams, s, at)) != NF_NONE)
                drop_copy(t, slot, ack);
    }
    s->acked = ack;
}

/* Compares what begins in front of `next` with the copies: NF_STREAM_OLD, _DIFFERS or _UNSEEN. */
static enum nf_stream_taken compare_copies(const struct nf_stream_taking *t,
                                           const struct nf_stream_segment *g)
{
    const struct nf_stream *s = t->stream;
    uint32_t old = s->next - g->seq, at = s->acked - g->seq, n; /* the receiver has what is in front */
    bool unseen = false;

    old = old < g->len ? old : g->len;
    at = (int32_t)at > 0 ? at : 0;
    for (; at < old; at += n) {
        uint32_t left = left_in_piece(g->seq + at), from = (g->seq + at) % NF_STREAM_PIECE;
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

/* The burst has not made so much readable that further holes have to wait. */
static bool may_fill(const struct nf_stream_taking *t)
{
    return t->streams->burst != t->nf->env->runs ||
           t->streams->filled < nf_streams_flow_bytes(t->streams) / 2;
}

/* Nor have its acknowledgements looked at so many pieces. */
static bool may_look(const struct nf_stream_taking *t)
{
    return t->streams->burst != t->nf->env->runs || t->streams->looked < t->streams->flow_pieces;
}

static void note_work(const struct nf_stream_taking *t, uint32_t filled, uint32_t looked)
{
    uint64_t *burst = nf_edit(t->nf, &t->streams->burst, 3 * sizeof(*burst));
    bool new = burst[0] != t->nf->env->runs;

    burst[0] = t->nf->env->runs;
    burst[1] = (new ? 0 : burst[1]) + filled;
    burst[2] = (new ? 0 : burst[2]) + looked;
}

/* What is kept, as far as it goes on without a hole. */
static void read_kept(const struct nf_stream_taking *t)
{
    struct nf_stream *s = t->stream;
    const struct nf_stream_piece *piece;
    uint32_t from = s->next;

    while (!(s->flags & NF_STREAM_FIN) && (piece = find_piece(t, s->next))) {
        uint32_t at = s->next % NF_STREAM_PIECE, left = left_in_piece(s->next);
        uint32_t n = count_bytes(piece, at, left);

        if (n == left && piece->held && s->flags & NF_STREAM_ANSWERED)
            let_piece_go(t->nf, t->streams, s, piece);
        if (n)
            read_bytes(t, piece->bytes + at, n);
        else if (piece->fin == at + 1)
            read_fin(s);
        else
            break;
    }
    if (ft_unlikely(s->next != from))
        note_work(t, s->next - from, 0);
}

/* Reads a segment that begins at `next`, and what it makes readable. `copy`: there is room for copies. */
static void read_segment(const struct nf_stream_taking *t, const struct nf_stream_segment *g, bool copy)
{
    if (copy)
        put_bytes(t, g, is_held(t, false));
    read_bytes(t, g->bytes, g->len);
    if (g->fin)
        read_fin(t->stream);
    read_kept(t);
}

/* The stream begins here: what is in front of it is given back, and what is kept is read where it may be. */
static void begin_at(const struct nf_stream_taking *t, uint32_t seq)
{
    struct nf_stream *s = t->stream;

    drop_copies(t, seq);
    s->flags &= (uint8_t)~NF_STREAM_FAR;
    s->start = s->next = seq;
    read_kept(t);
}

/* ---- behind a hole -------------------------------------------------------------------------------- */

/* Keeps a segment behind a hole, for which there is room. False: nothing of it is new. */
static bool keep_pieces(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    uint32_t end = g->seq + g->len;
    bool new = put_bytes(t, g, true);
    const struct nf_stream_piece *piece;

    if (!g->fin)
        return new;
    piece = make_piece(t, end, true);
    if (piece->fin)
        return new;
    edit_head(t->nf, piece)->fin = (end % NF_STREAM_PIECE + 1) & 0x7fff;
    return true;
}

/* The first byte or end that is kept from `next` on and in front of `end`. False: there is none. */
static bool find_first_kept(const struct nf_stream_taking *t, uint32_t end, uint32_t *seq)
{
    const struct nf_stream *s = t->stream;
    const struct nf_stream_piece *piece;
    uint32_t n = end - s->next, best = n;

    if (!s->pieces)
        return false;
    note_work(t, 0, s->pieces);
    for (uint32_t link = *nf_stream_newest(t->streams, s); link; link = piece->next) {
        const struct nf_stream_place *place = nf_map_key(t->streams->pieces, link - 1);
        uint32_t at = place->piece * NF_STREAM_PIECE - s->next, from = (int32_t)at < 0 ? -at : 0, first;

        piece = nf_map_value(t->streams->pieces, link - 1);
        first = from < NF_STREAM_PIECE ? first_from(piece, from) : NF_STREAM_PIECE;
        if (first < NF_STREAM_PIECE && at + first < best)
            best = at + first;
    }
    *seq = s->next + best;
    return best < n;
}

#define TCP_END            0u /* options */
#define TCP_NOP            1u
#define TCP_TIMESTAMPS     8u
#define TCP_TIMESTAMPS_LEN 10u

/* ---- segments ------------------------------------------------------------------------------------- */

/*
 * A segment in front of where the stream was picked up, of which the receiver has acknowledged nothing since:
 * it is read first, and what has been read already once more behind it.
 */
static bool begin_in_front(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    struct nf_stream *s = t->stream;
    uint64_t paces = ((uint64_t)(s->next - g->seq) + NF_STREAM_PACES - 1) / NF_STREAM_PACES;

    if ((s->flags & (NF_STREAM_MIDDLE | NF_STREAM_ANSWERED | NF_STREAM_FIN | NF_STREAM_FAR)) !=
            NF_STREAM_MIDDLE ||
        s->next - g->seq > nf_streams_flow_bytes(t->streams) || s->front + paces > UINT8_MAX)
        return false;
    s->front = (uint8_t)(s->front + paces);
    s->start = s->next = s->acked = g->seq; /* what are copies now is kept then */
    return true;
}

/* It lies in front of the first byte that was looked at, and its receiver may await it. */
static bool is_in_front(const struct nf_stream *s, const struct nf_stream_segment *g)
{
    return !(s->flags & NF_STREAM_FAR) && (int32_t)(g->seq - s->start) < 0 &&
           (s->flags & (NF_STREAM_MIDDLE | NF_STREAM_ANSWERED)) != (NF_STREAM_MIDDLE | NF_STREAM_ANSWERED);
}

/* A keepalive may repeat the SYN's number with a byte that means nothing (RFC 9293, 3.8.4). Its receiver has
 * acknowledged the SYN, so it does not read that byte: the segment begins behind it. */
static void skip_syn(const struct nf_stream *s, struct nf_stream_segment *g)
{
    if (!g->len || s->flags & (NF_STREAM_MIDDLE | NF_STREAM_FAR) || !(s->flags & NF_STREAM_ANSWERED))
        return;
    g->bytes++;
    g->seq++;
    g->len--;
}

/* A byte, or the stream's end, is kept there. */
static bool is_kept(const struct nf_stream_taking *t, uint32_t seq)
{
    const struct nf_stream_piece *piece = find_piece(t, seq);
    uint32_t at = seq % NF_STREAM_PIECE;

    return piece && (has_byte(piece, at) || piece->fin == at + 1);
}

/* Nothing of it is new. */
static enum nf_stream_taken take_old(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    uint32_t fin = g->seq + g->len + 1;

    if (g->fin && (!(t->stream->flags & NF_STREAM_FIN) || fin != t->stream->next))
        return NF_STREAM_DIFFERS; /* ends where bytes were */
    return compare_copies(t, g);
}

/* It begins with the next byte. Where there is no room for a copy, and bytes are on their way whose
 * acknowledgement makes some, it waits for that; else it passes without one. */
static enum nf_stream_taken take_next(const struct nf_stream_taking *t, const struct nf_stream_segment *g,
                                      uint32_t count)
{
    const struct nf_stream *s = t->stream;
    uint32_t under_way = s->next - s->acked;
    bool room = has_room(t, count, false);

    if (under_way && (!room || under_way + g->len > nf_streams_flow_bytes(t->streams)))
        return NF_STREAM_FULL;
    if (ft_unlikely(!may_fill(t)) && is_kept(t, g->seq + g->len))
        return NF_STREAM_FULL;
    if (!room && (s->flags & (NF_STREAM_MIDDLE | NF_STREAM_ANSWERED)) == NF_STREAM_MIDDLE)
        return NF_STREAM_FULL; /* it could not be read again */
    read_segment(t, g, room);
    return NF_STREAM_READ;
}

static enum nf_stream_taken take_segment(const struct nf_stream_taking *t, struct nf_stream_segment *g)
{
    struct nf_stream *s = t->stream;
    enum nf_stream_taken old;
    int32_t ahead, end;
    uint32_t count;

    if (ft_unlikely(g->seq == s->start - 1))
        skip_syn(s, g);
    if (is_in_front(s, g) && !begin_in_front(t, g))
        return NF_STREAM_OUTSIDE; /* nobody has looked at that */
    ahead = (int32_t)(g->seq - s->next);
    end = (int32_t)(g->seq + g->len - s->next);
    if (s->flags & NF_STREAM_FIN && end >= 0 && (end || g->fin || s->acked != s->next))
        return NF_STREAM_OUTSIDE; /* in the place of an end that its receiver may not have, or behind it */
    if (end < 0 || (end == 0 && !g->fin))
        return take_old(t, g);
    if (ahead > 0 && g->seq + g->len - s->acked > nf_streams_flow_bytes(t->streams))
        return NF_STREAM_OUTSIDE;
    if (ahead < 0) {
        old = compare_copies(t, g);
        if (old != NF_STREAM_OLD)
            return old;
        g->bytes += (uint32_t)-ahead;
        g->len -= (uint32_t)-ahead;
        g->seq = s->next;
    }
    count = count_missing(t, g);
    if (count == UINT32_MAX)
        return NF_STREAM_DIFFERS;
    if (ahead <= 0)
        return take_next(t, g, count);
    return !has_room(t, count, true) ? NF_STREAM_FULL : keep_pieces(t, g) ? NF_STREAM_KEPT : NF_STREAM_OLD;
}

/* ---- beginnings ----------------------------------------------------------------------------------- */

/* Where a stream begins; false: nowhere yet. */
static bool begin_stream(struct nf_stream *s, const struct nf_packet *p, const struct nf_stream_segment *g)
{
    uint8_t doubted = s->flags & NF_STREAM_DOUBTED;

    if (p->tcp_flags & NF_TCP_SYN)
        s->flags = NF_STREAM_KNOWN | doubted;
    else if (g->len)
        s->flags = NF_STREAM_KNOWN | NF_STREAM_MIDDLE | doubted;
    else
        return false;
    s->start = s->next = s->acked = g->seq;
    return true;
}

static bool has_taken(const struct nf_stream *s)
{
    return s->next != s->start || s->pieces;
}

/*
 * A SYN of a stream that is known has another number. While nothing has answered the stream, its receiver may
 * never have seen the first SYN, or what was taken for the stream's middle, so the stream begins with this
 * one. False: it stays, as it does once bytes behind a SYN were taken.
 */
static bool begin_again(const struct nf_stream_taking *t)
{
    struct nf_stream *s = t->stream;

    if (s->flags & NF_STREAM_ANSWERED)
        return false;
    if (!(s->flags & NF_STREAM_MIDDLE) && has_taken(s))
        return false;
    release_one(t->nf, t->streams, s);
    s->flags = NF_STREAM_DOUBTED;
    return true;
}

/*
 * The same, where a stream is open. A SYN without an ACK asks for another connection, which most receivers do
 * not believe: noted. A SYN-ACK where one was asked for comes from who has forgotten this connection: both
 * directions begin anew. False: it stays.
 */
static bool begin_other(const struct nf_stream_taking *t, struct nf_stream *back, bool ack)
{
    if (!ack)
        t->stream->flags |= NF_STREAM_ASKED;
    if (!ack || !(back->flags & NF_STREAM_ASKED))
        return false;
    release_one(t->nf, t->streams, t->stream);
    release_one(t->nf, t->streams, back);
    back->flags = NF_STREAM_KNOWN | NF_STREAM_DOUBTED;
    return true;
}

/* ---- acknowledgements ----------------------------------------------------------------------------- */

/* Bytes up to `ack` have been handed over. */
static bool is_sent(const struct nf_stream *s, uint32_t ack)
{
    return s->flags & NF_STREAM_FAR ? (int32_t)(s->next - ack) >= 0 : ack - s->start <= s->next - s->start;
}

/* A packet from `by`, the receiver of `s`, acknowledges what `s` has. A doubted stream is answered by a
 * SYN-ACK, or by an ACK of who has had one: an end that knows another connection sends neither. */
static void note_answer(struct nf_stream *s, const struct nf_stream *by, const struct nf_packet *p)
{
    bool opens = p->tcp_flags & NF_TCP_SYN ||
                 ((by->flags & (NF_STREAM_ANSWERED | NF_STREAM_MIDDLE)) == NF_STREAM_ANSWERED);

    if (opens || !(s->flags & NF_STREAM_DOUBTED))
        s->flags |= NF_STREAM_ANSWERED;
}

/* Who acknowledges what lies behind a hole had the hole's bytes before the stream was picked up. */
static void pass_holes(const struct nf_stream_taking *t, uint32_t ack)
{
    uint32_t seq;

    for (uint32_t i = 0; i < NF_STREAM_HOLES && !(t->stream->flags & NF_STREAM_FIN) && may_fill(t) &&
                         may_look(t) && (int32_t)(ack - t->stream->next) > 0 && find_first_kept(t, ack, &seq);
         i++)
        begin_at(t, seq);
}

/*
 * A packet from `by`, which is the stream's receiver, acknowledges what is in front of `ack`. A SYN-ACK is
 * believed of a stream that has but begun: it begins there. False: that was never sent, so the stream's
 * sender takes nothing of the packet (RFC 9293, 3.10.7.4). A little more than has come may come in the same
 * burst, where the packets come from a capture.
 */
static bool take_ack(const struct nf_stream_taking *t, const struct nf_stream *by, const struct nf_packet *p,
                     uint32_t ack)
{
    struct nf_stream *s = t->stream;

    if (!(s->flags & NF_STREAM_KNOWN))
        return true;
    if (s->flags & NF_STREAM_MIDDLE && ack - s->next < NF_STREAM_WINDOW) {
        pass_holes(t, ack);
    } else if (!is_sent(s, ack) && p->tcp_flags & NF_TCP_SYN && !(s->flags & NF_STREAM_ANSWERED) &&
               !has_taken(s)) {
        begin_at(t, ack);
    }
    if (!is_sent(s, ack))
        return s->flags & NF_STREAM_MIDDLE || ack - s->next <= nf_streams_flow_bytes(t->streams);
    note_answer(s, by, p);
    if ((int32_t)(ack - s->acked) > 0)
        drop_copies(t, ack);
    return true;
}

/* ---- a packet ------------------------------------------------------------------------------------- */

/* It has nothing that could keep it from its receiver, or its receiver from believing it: options of IP,
 * extension headers, options of TCP but timestamps, such as a signature, a payload that some link behind has
 * no room for. */
static bool is_plain(const struct nf_packet *p)
{
    uint32_t at = p->l4 + 20u, size;

    if (p->l4_len > p->payload - p->l4)
        return false;
    for (; at < p->payload; at += size) {
        size = p->data[at] == TCP_NOP ? 1 : TCP_TIMESTAMPS_LEN;
        if (p->data[at] == TCP_END)
            break;
        if (p->data[at] != TCP_NOP && p->data[at] != TCP_TIMESTAMPS)
            return false;
    }
    return p->l4 == p->l3 + (p->flags & NF_P_IPV6 ? 40 : 20);
}

/* Believed where its receiver surely does: it has all that was sent and awaits this number (RFC 5961, 3). */
static enum nf_stream_taken take_reset(const struct nf_stream_taking *t, const struct nf_packet *p,
                                       uint32_t seq)
{
    struct nf_stream *s = t->stream;
    bool middle = (s->flags & (NF_STREAM_MIDDLE | NF_STREAM_ANSWERED)) == NF_STREAM_MIDDLE;

    if (is_plain(p) &&
        (!(s->flags & NF_STREAM_KNOWN) || (seq == s->next && seq == s->acked && !s->pieces && !middle)))
        s->flags |= NF_STREAM_RESET;
    return NF_STREAM_READ;
}

enum nf_stream_taken nf_stream_take(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2],
                                    const struct nf_packet *p, bool reply,
                                    const struct nf_stream_reader *reader)
{
    struct nf_stream *s = &pair[reply];
    struct nf_stream_taking t = {
        .nf = nf, .streams = streams, .stream = s, .reader = reader, .p = p, .reply = reply};
    struct nf_stream_taking back = t;
    struct nf_stream_segment g = {.seq = nf_packet_seq(p)};
    bool syn = p->tcp_flags & NF_TCP_SYN, believed;

    g.bytes = nf_packet_payload(p, &g.len);
    g.fin = p->tcp_flags & NF_TCP_FIN && p->have >= (uint32_t)p->l4 + p->l4_len;
    if (nf_tcp_is_impossible(p->tcp_flags) || (g.fin && !(p->tcp_flags & NF_TCP_ACK)))
        return NF_STREAM_WRONG; /* its receiver does not take it, whatever its numbers are (RFC
                                   9293, 3.10.7.4) */
    if (p->tcp_flags & NF_TCP_RST)
        return take_reset(&t, p, g.seq);
    g.seq += syn;
    back.stream = &pair[!reply];
    back.reply = !reply;
    if (syn && s->flags & NF_STREAM_KNOWN && (g.seq != s->start || s->flags & NF_STREAM_MIDDLE) &&
        !begin_again(&t) && !begin_other(&t, back.stream, p->tcp_flags & NF_TCP_ACK))
        return g.len || p->tcp_flags & NF_TCP_ACK ? NF_STREAM_OUTSIDE : NF_STREAM_READ;
    believed = !(p->tcp_flags & NF_TCP_ACK) || take_ack(&back, s, p, nf_packet_ack(p));
    if (!believed && (g.len || g.fin))
        return NF_STREAM_WRONG;
    if (!(s->flags & NF_STREAM_KNOWN)) {
        if (!syn && g.len && !streams->loose)
            return NF_STREAM_UNKNOWN;
        if (!begin_stream(s, p, &g))
            return NF_STREAM_READ;
    }
    if (!g.len && !g.fin)
        return NF_STREAM_READ;
    if ((s->flags & (NF_STREAM_DOUBTED | NF_STREAM_ANSWERED)) == NF_STREAM_DOUBTED ||
        s->flags & NF_STREAM_RESET)
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

uint64_t nf_streams_bytes(const struct nf_streams_config *config)
{
    return sizeof(struct nf_streams) + nf_lists_bytes(config->pieces, sizeof(struct nf_stream_name)) +
           NF_STREAM_SENDERS * sizeof(uint32_t) + FT_LINE +
           nf_map_bytes(config->pieces, sizeof(struct nf_stream_place), sizeof(struct nf_stream_piece));
}

struct nf_streams *nf_streams_make(struct nf *nf, const struct nf_streams_config *config)
{
    struct nf_streams *streams = ft_arena_alloc(nf->arena, sizeof(*streams));

    if (!streams)
        return NULL;
    streams->pieces =
        nf_map_make(nf, config->pieces, sizeof(struct nf_stream_place), sizeof(struct nf_stream_piece));
    streams->names = nf_lists_make(nf, config->pieces, sizeof(struct nf_stream_name));
    streams->held = ft_arena_alloc(nf->arena, NF_STREAM_SENDERS * sizeof(uint32_t));
    streams->flow_pieces = config->flow_pieces;
    streams->loose = config->loose;
    nf_constant(nf, streams, offsetof(struct nf_streams, burst));
    if (!streams->pieces || !streams->names || !streams->held)
        return NULL;
    nf_table_add_map(nf, "stream_pieces", streams->pieces);
    return streams;
}

void nf_stream_renew(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    nf_stream_release(nf, streams, pair);
    pair[0].flags = pair[1].flags = NF_STREAM_DOUBTED;
}
