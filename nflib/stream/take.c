/* SPDX-License-Identifier: Apache-2.0 */
/* Takes packets of TCP into streams, or refuses them; see stream.h. Owns the streams' numbers and flags. */
#include "nflib/net/bytes.h"
#include "nflib/net/tcp.h"
#include "nflib/stream/parts.h"

#include <arpa/inet.h>

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
        s->next - g->seq > (uint64_t)t->streams->flow_pieces * NF_STREAM_PIECE ||
        s->front + paces > UINT8_MAX)
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

/* Nothing of it is new. */
static enum nf_stream_taken take_old(const struct nf_stream_taking *t, const struct nf_stream_segment *g)
{
    uint32_t fin = g->seq + g->len + 1;

    if (g->fin && (!(t->stream->flags & NF_STREAM_FIN) || fin != t->stream->next))
        return NF_STREAM_DIFFERS; /* ends where bytes were */
    return nf_stream_compare(t, g);
}

/* It begins with the next byte. Where there is no room for a copy, and bytes are on their way whose
 * acknowledgement makes some, it waits for that; else it passes without one. */
static enum nf_stream_taken take_next(const struct nf_stream_taking *t, const struct nf_stream_segment *g,
                                      uint32_t count)
{
    const struct nf_stream *s = t->stream;
    uint32_t under_way = s->next - s->acked;
    bool room = nf_stream_has_room(t, count);

    if (under_way &&
        (!room || under_way + (uint64_t)g->len > (uint64_t)t->streams->flow_pieces * NF_STREAM_PIECE))
        return NF_STREAM_FULL;
    if (!room && (s->flags & (NF_STREAM_MIDDLE | NF_STREAM_ANSWERED)) == NF_STREAM_MIDDLE)
        return NF_STREAM_FULL; /* it could not be read again */
    nf_stream_read(t, g, room);
    return NF_STREAM_READ;
}

/* It is behind a hole. */
static enum nf_stream_taken keep_segment(const struct nf_stream_taking *t, const struct nf_stream_segment *g,
                                         uint32_t count)
{
    if (!nf_stream_has_room(t, count))
        return NF_STREAM_FULL;
    return nf_stream_keep(t, g) ? NF_STREAM_KEPT : NF_STREAM_OLD;
}

static enum nf_stream_taken take_segment(const struct nf_stream_taking *t, struct nf_stream_segment *g)
{
    struct nf_stream *s = t->stream;
    enum nf_stream_taken old;
    int32_t ahead, end;
    uint32_t count;

    if (is_in_front(s, g) && !begin_in_front(t, g))
        return NF_STREAM_OUTSIDE; /* nobody has looked at that */
    ahead = (int32_t)(g->seq - s->next);
    end = (int32_t)(g->seq + g->len - s->next);
    if (s->flags & NF_STREAM_FIN && end >= 0)
        return NF_STREAM_OUTSIDE; /* in the end's own place, or behind it */
    if (end < 0 || (end == 0 && !g->fin))
        return take_old(t, g);
    if (ahead > 0 && ((uint32_t)end > NF_STREAM_AHEAD ||
                      (uint64_t)end > (uint64_t)t->streams->flow_pieces * NF_STREAM_PIECE))
        return NF_STREAM_OUTSIDE;
    if (ahead < 0) {
        old = nf_stream_compare(t, g);
        if (old != NF_STREAM_OLD)
            return old;
        g->bytes += (uint32_t)-ahead;
        g->len -= (uint32_t)-ahead;
        g->seq = s->next;
    }
    count = nf_stream_missing(t, g);
    if (count == UINT32_MAX)
        return NF_STREAM_DIFFERS;
    return ahead > 0 ? keep_segment(t, g, count) : take_next(t, g, count);
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
    nf_stream_release_one(t->nf, t->streams, s);
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
    nf_stream_release_one(t->nf, t->streams, t->stream);
    nf_stream_release_one(t->nf, t->streams, back);
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

    for (uint32_t i = 0; i < NF_STREAM_HOLES && !(t->stream->flags & NF_STREAM_FIN) &&
                         (int32_t)(ack - t->stream->next) > 0 && nf_stream_first_kept(t, ack, &seq);
         i++)
        nf_stream_begin_at(t, seq);
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
        nf_stream_begin_at(t, ack);
    }
    if (!is_sent(s, ack))
        return s->flags & NF_STREAM_MIDDLE ||
               ack - s->next <= (uint64_t)t->streams->flow_pieces * NF_STREAM_PIECE;
    note_answer(s, by, p);
    if ((int32_t)(ack - s->acked) > 0)
        nf_stream_drop_copies(t, ack);
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

/* Its receiver does not take it, whatever its numbers are (RFC 9293, 3.10.7.4). */
static bool is_wrong(uint8_t flags, const struct nf_stream_segment *g)
{
    return nf_tcp_is_impossible(flags) || (g->fin && !(flags & NF_TCP_ACK));
}

enum nf_stream_taken nf_stream_take(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2],
                                    const struct nf_packet *p, bool reply,
                                    const struct nf_stream_reader *reader)
{
    struct nf_stream *s = &pair[reply];
    struct nf_stream_taking t = {.nf = nf, .streams = streams, .stream = s, .reader = reader, .reply = reply};
    struct nf_stream_taking back = t;
    struct nf_stream_segment g = {.seq = ntohl(nf_get32(p->data + p->l4 + 4))};
    bool syn = p->tcp_flags & NF_TCP_SYN, believed;

    g.bytes = nf_packet_payload(p, &g.len);
    g.fin = p->tcp_flags & NF_TCP_FIN && p->have >= (uint32_t)p->l4 + p->l4_len;
    if (is_wrong(p->tcp_flags, &g))
        return NF_STREAM_WRONG;
    if (p->tcp_flags & NF_TCP_RST)
        return take_reset(&t, p, g.seq);
    g.seq += syn;
    back.stream = &pair[!reply];
    back.reply = !reply;
    if (syn && s->flags & NF_STREAM_KNOWN && (g.seq != s->start || s->flags & NF_STREAM_MIDDLE) &&
        !begin_again(&t) && !begin_other(&t, back.stream, p->tcp_flags & NF_TCP_ACK))
        return g.len || p->tcp_flags & NF_TCP_ACK ? NF_STREAM_OUTSIDE : NF_STREAM_READ;
    believed = !(p->tcp_flags & NF_TCP_ACK) || take_ack(&back, s, p, ntohl(nf_get32(p->data + p->l4 + 8)));
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

void nf_stream_renew(const struct nf *nf, struct nf_streams *streams, struct nf_stream pair[2])
{
    nf_stream_release(nf, streams, pair);
    pair[0].flags = pair[1].flags = NF_STREAM_DOUBTED;
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
