/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syn_proxy: stands between clients and servers until a client has shown that its address is its own. It
 * answers a SYN by itself, with a cookie for a sequence number, and keeps nothing. A client that acknowledges
 * the cookie is real: its ACK becomes the SYN to the server, on the way through the other NFs. The server's
 * SYN-ACK becomes a window update to the client, which holds its window to be zero until then; and a byte
 * that the client has had goes with it, since TCP answers to such with an ACK, which ends the server's
 * handshake. From there on the server's sequence numbers and the client's acknowledgements are moved by the
 * difference of cookie and server's number. (Linux's SYNPROXY and OpenBSD's synproxy state do it so too, but
 * for who acknowledges to the server.)
 *
 * Both handshakes are without window scale, so an end has at most 64 KiB under way. What is further from what
 * the other end has acknowledged is not believed (RFC 5961): neither its flags, nor its numbers.
 *
 * State: secrets of the cookies; of each connection whose cookie was acknowledged, a slot in the chain's
 * sessions.
 */
#include "nflib/nf.h"

#include <arpa/inet.h>
#include <string.h>

struct sp_config {
    struct nf_networks servers;
    struct nf_range ports;
    uint32_t clients, mss;
    struct nf_flows_config flows;
};

enum sp_state {
    SP_OPENING, /* the server has not answered yet */
    SP_OPEN,
    SP_PASSED, /* begun by the server's end: nothing is changed */
    SP_STALE,  /* opening; the server knows another connection of these ends, which is to be reset */
    SP_STATES
};
enum sp_end { SP_CLIENT, SP_SERVER };

/* In a session. Of an open connection all numbers but `moved` are as the client sees them. */
struct sp_conn {
    uint32_t isn, cookie; /* sequence numbers of the client's SYN and of our SYN-ACK */
    uint32_t moved;       /* open: the client's view of the server's numbers, less those; stale: what the
                             server acknowledges */
    uint32_t acked[2];    /* by enum sp_end, what it has acknowledged, or up to SP_LAG less */
    uint16_t mss;         /* that is sent to the server */
    uint16_t state;       /* enum sp_state */
};

/* A cookie is good for that long at least, and for less than three times that: its secret is the newer one
 * for less than twice that, however long no handshake comes, and then the older one for as long as this. */
#define SP_COOKIE_LIFE (64 * NF_SECOND)

/* The state of an instance: two secrets, that of new cookies, and the one before. */
struct sp_secrets {
    uint64_t key[2][2];
    uint64_t drawn; /* chain time */
};

#define SP_COUNTERS(X)                                                                                       \
    X(SP_ANSWERED, "answered")     /* dropped: SYNs that were answered with a cookie */                      \
    X(SP_OPENED, "opened")         /* cookies that came back */                                              \
    X(SP_CONNECTED, "connected")   /* of those, to servers that have answered */                             \
    X(SP_INVALID, "invalid")       /* dropped: of no connection, and no cookie of ours; outside of the       \
                                      windows; of a handshake, and in fragments */                           \
    X(SP_MALFORMED, "malformed")   /* dropped: of a handshake with a wrong checksum; a SYN-ACK with data;    \
                                      what hides a header of TCP */                                          \
    X(SP_MARTIAN, "martian")       /* dropped: SYNs from or to what is no host's address */                  \
    X(SP_CHALLENGED, "challenged") /* dropped: a server's answer for an older connection, which is reset */  \
    X(SP_EXPIRED, "connections_expired")                                                                     \
    X(SP_DISPLACED, "connections_displaced")   /* a new one has its place in a full table */                 \
    X(SP_TABLE_FULL, "table_full")             /* dropped: no room for a new connection */                   \
    X(SP_FRAGMENT_UNKNOWN, "fragment_unknown") /* dropped: later ones, the first one has not passed */       \
    X(SP_FRAGMENTS_FULL, "fragments_full")     /* not dropped: the oldest datagram gave way */
enum sp_counter { SP_COUNTERS(NF_COUNTER) };

static const char *const side_names[] = {"outside", "inside", NULL};
static const char *const state_names[SP_STATES] = {"opening", "open", "passed", "stale"};
static const char *const sp_counters[] = {SP_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- SYN cookies --------------------------------------------------------------------------------------- */

/*
 * SYN cookies (Bernstein; RFC 4987, 3.6): the sequence number of a SYN-ACK from which, when its ACK comes,
 * all is known again that would else have been kept. 29 bits are a keyed hash of the connection and the
 * client's sequence number, 3 bits are the MSS that the client wanted.
 *
 * The secrets are state: drawn from the lane's generator, and drawn anew as chain time goes on. So the
 * standby has them, and takes the ACK of a cookie that its predecessor gave.
 */

#define MSS_BITS 3u

/* What links have: the least that TCP may be given, its default, tunnels, Ethernet. */
static const uint16_t sizes[1u << MSS_BITS] = {64, 536, 1024, 1220, 1300, 1380, 1440, 1460};

/* A connection, as the client's packets have it; ports in network order, `isn` in host order. */
struct sp_syn {
    const uint8_t *addresses; /* source and destination, as in the header */
    uint32_t size;            /* of both together: 8, 32 */
    uint16_t sport, dport;
    uint32_t isn; /* of the client's SYN */
};

/* Draws the secrets that have become too old. */
static void sp_secrets_renew(const struct nf *nf, uint64_t now)
{
    const struct sp_secrets *secrets = nf->state;
    uint64_t age = now - secrets->drawn;

    if (secrets->drawn && age < SP_COOKIE_LIFE)
        return;
    struct sp_secrets *edit = NF_EDIT(nf, secrets);
    for (unsigned i = 0; i < 2; i++)
        edit->key[1][i] = secrets->drawn && age < 2 * SP_COOKIE_LIFE ? edit->key[0][i] : nf_random(nf);
    for (unsigned i = 0; i < 2; i++)
        edit->key[0][i] = nf_random(nf);
    edit->drawn = now;
}

static uint32_t cookie_of(const uint64_t key[2], const struct sp_syn *syn, uint32_t size)
{
    uint8_t bytes[32 + 9], *at = bytes + syn->size;

    memcpy(bytes, syn->addresses, syn->size);
    nf_put16(at, syn->sport);
    nf_put16(at + 2, syn->dport);
    nf_put32(at + 4, syn->isn);
    at[8] = (uint8_t)size;
    return (uint32_t)nf_siphash(key, bytes, syn->size + 9) << MSS_BITS | size;
}

/* `mss`: that of the client's SYN. */
static uint32_t sp_cookie_make(const struct sp_secrets *secrets, const struct sp_syn *syn, uint16_t mss)
{
    uint32_t size = (1u << MSS_BITS) - 1;

    while (size && sizes[size] > mss)
        size--;
    return cookie_of(secrets->key[0], syn, size);
}

/* The greatest MSS that is known not to be more than the client's; 0: this is no cookie of ours. */
static uint16_t sp_cookie_read(const struct sp_secrets *secrets, const struct sp_syn *syn, uint32_t cookie)
{
    uint32_t size = cookie % (1u << MSS_BITS);

    for (unsigned i = 0; i < 2; i++)
        if (cookie_of(secrets->key[i], syn, size) == cookie)
            return sizes[size];
    return 0;
}

/* ---- the packets of syn_proxy: writes frames alone, and the parsed fields with them -------------------- */

#define SP_FRAME_MAX (14u + 8 + 40 + 24)

/* The fields of a segment without data; host order. */
struct sp_segment {
    uint32_t seq, ack;
    uint16_t window, mss; /* mss 0: no option */
    uint8_t flags;
    bool probe; /* a byte of data, which is 0; without an MSS */
};

#define HEADER    20u /* of IPv4 or TCP without options */
#define HEADER6   40u
#define FRAME_MIN 60u
#define CAPTURED                                                                                             \
    64u /* bytes of each frame that there are on a standby, or all headers, or the whole frame               \
         */

/* Of n bytes of TCP, 60 at most, behind a pseudo header (RFC 9293, 3.1); 0: they have the right one. */
static uint16_t tcp_sum(const uint8_t *ip, bool ipv6, const uint8_t *tcp, uint32_t n)
{
    return ipv6 ? nf_ipv6_checksum(ip + 8, NF_PROTO_TCP, tcp, n)
                : nf_ipv4_checksum(ip + 12, NF_PROTO_TCP, tcp, n);
}

/* All of a TCP header but its ports, and the lengths and checksums in front of it. Bytes of TCP. */
static uint32_t write_segment(uint8_t *ip, bool ipv6, uint32_t ip_header, const struct sp_segment *segment)
{
    uint32_t n = segment->mss ? HEADER + 4 : HEADER;
    uint8_t *tcp = ip + ip_header;

    nf_put32(tcp + 4, htonl(segment->seq));
    nf_put32(tcp + 8, htonl(segment->ack));
    tcp[12] = (uint8_t)(n / 4 << 4);
    tcp[13] = segment->flags;
    nf_put16(tcp + 14, htons(segment->window));
    nf_put32(tcp + 16, 0); /* checksum, urgent pointer */
    if (segment->mss)
        nf_put32(tcp + HEADER, htonl(0x02040000u | segment->mss));
    if (segment->probe)
        tcp[n++] = 0;
    nf_put16(tcp + 16, tcp_sum(ip, ipv6, tcp, n));
    if (ipv6) {
        nf_put16(ip + 4, htons((uint16_t)(ip_header - HEADER6 + n)));
    } else {
        nf_put16(ip + 2, htons((uint16_t)(ip_header + n)));
        nf_put16(ip + 10, 0);
        nf_put16(ip + 10, nf_checksum(ip, ip_header));
    }
    return n;
}

/* The header of the frame's IP packet, without options, and TCP's ports. Its length. */
static uint32_t write_ends(uint8_t *ip, const struct nf_packet *p, bool back)
{
    const uint8_t *ends = nf_packet_ipv6_addresses(p);
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    uint8_t *tcp = ip + (ipv6 ? HEADER6 : HEADER);

    if (ipv6) {
        ip[0] = 0x60;
        ip[6] = NF_PROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, back ? ends + 16 : ends, 16);
        memcpy(ip + 24, back ? ends : ends + 16, 16);
    } else {
        ip[0] = 0x45;
        ip[6] = 0x40; /* not to be fragmented */
        ip[8] = 64;
        ip[9] = NF_PROTO_TCP;
        nf_put32(ip + 12, back ? p->daddr : p->saddr);
        nf_put32(ip + 16, back ? p->saddr : p->daddr);
    }
    nf_put16(tcp, back ? p->dport : p->sport);
    nf_put16(tcp + 2, back ? p->sport : p->dport);
    return (uint32_t)(tcp - ip);
}

/* A frame of the packet's family beside `p`: to where it came from (`back`), or the way that it goes. Its
 * length. */
static uint32_t sp_frame_make(const struct nf_packet *p, bool back, const struct sp_segment *segment,
                              uint8_t out[SP_FRAME_MAX])
{
    uint8_t *ip = out + p->l3;
    uint32_t header, len;

    memset(out, 0, SP_FRAME_MAX);
    memcpy(out, p->data, p->l3);
    if (back)
        nf_packet_macs_back(p, out);
    header = write_ends(ip, p, back);
    len = p->l3 + header + write_segment(ip, p->flags & NF_P_IPV6_READ, header, segment);
    return len < FRAME_MIN ? FRAME_MIN : len;
}

/* The packet becomes this segment; what is left of the frame is padding. Without an MSS, where the frame has
 * no room for it behind TCP's header without options: the node has 64 bytes of each, or its headers. */
static void sp_packet_become(struct nf_packet *p, const struct sp_segment *segment)
{
    struct sp_segment fits = *segment;
    uint32_t end = p->l4 + HEADER + 4, captured = p->payload > CAPTURED ? p->payload : CAPTURED;

    if (end > captured || end > p->have)
        fits.mss = 0;
    p->l4_len = (uint16_t)write_segment(p->data + p->l3, p->flags & NF_P_IPV6_READ, p->l4 - p->l3, &fits);
    p->payload = p->l4 + p->l4_len;
    p->tcp_flags = segment->flags;
}

/* Of a handshake: without data, and with the right checksum. */
static bool sp_packet_is_sound(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3, *tcp = p->data + p->l4;

    return p->l4 + p->l4_len == p->payload && tcp_sum(ip, p->flags & NF_P_IPV6_READ, tcp, p->l4_len) == 0;
}

/* The MSS of a SYN; without one 536, of IPv6 1220 (RFC 9293, 3.7.1). */
static uint16_t sp_packet_mss(const struct nf_packet *p)
{
    const uint8_t *at = p->data + p->l4 + HEADER, *end = p->data + p->payload;

    while (end - at >= 2 && *at != 0) {
        if (*at == 1) {
            at++;
            continue;
        }
        if (at[1] < 2 || at[1] > end - at)
            break;
        if (at[0] == 2 && at[1] == 4)
            return ntohs(nf_get16(at + 2));
        at += at[1];
    }
    return p->flags & NF_P_IPV6_READ ? 1220 : 536;
}

/* A number in the frame, and the checksum over it. */
static void move_number(uint8_t *at, uint8_t *sum, uint32_t by)
{
    uint32_t from = nf_get32(at), to = htonl(ntohl(from) + by);

    nf_put32(at, to);
    nf_put16(sum, nf_checksum_adjust32(nf_get16(sum), from, to));
}

/* Adds to the sequence number, or to the acknowledgement number, with the checksum. */
static void sp_packet_move_seq(struct nf_packet *p, uint32_t by)
{
    move_number(p->data + p->l4 + 4, p->data + p->l4 + 16, by);
}

/* Adds to the sequence number of the TCP header that an ICMP error quotes. Where the checksum of that header
 * is quoted as well, it is adjusted, and the error's own checksum over both stays as it is; else the error's
 * own is adjusted. */
static void sp_packet_move_quoted(struct nf_packet *p, uint32_t by)
{
    struct nf_inner inner;
    uint32_t end;

    nf_packet_inner(p, &inner);
    end = inner.l4 + 18u;
    move_number(p->data + inner.l4 + 4,
                end <= (uint32_t)p->l4 + p->l4_len && end <= p->have ? p->data + inner.l4 + 16
                                                                     : p->data + p->l4 + 2,
                by);
}

/* ---- a connection, from the client's SYN on ---- */

/* The packet's destination, or its source, is protected. `any_port`: whatever its port. */
static bool sp_is_protected(const struct sp_config *config, const struct nf_packet *p, bool destination,
                            bool any_port)
{
    uint16_t port = ntohs(destination ? p->dport : p->sport);

    if (!any_port && (port < config->ports.first || port > config->ports.last))
        return false;
    if (p->flags & NF_P_IPV6_READ)
        return nf_networks_has6(&config->servers, nf_packet_ipv6_addresses(p) + (destination ? 16 : 0));
    return nf_prefixes_has(&config->servers.ipv4, destination ? p->daddr : p->saddr);
}

#define SP_LAG  (1u << 15) /* `acked` is not written for each segment */
#define SP_NEAR ((1u << 16) + SP_LAG)

static bool is_near(uint32_t number, uint32_t known)
{
    return number - known + SP_NEAR <= 2 * SP_NEAR;
}

/* It is not of the connection: nobody follows its flags. */
static void refuse(const struct nf *nf, struct nf_packet *p)
{
    nf_session_disbelieve(nf, p);
    nf_drop(nf, p, SP_INVALID);
}

/* An open connection's segment from `end`, whose sequence number the client sees as `seq`, and whose
 * acknowledgement as `ack`. */
static bool is_of_connection(const struct sp_conn *conn, const struct nf_packet *p, enum sp_end end,
                             uint32_t seq, uint32_t ack)
{
    if (!is_near(seq, conn->acked[!end]))
        return false;
    return p->tcp_flags & NF_TCP_ACK ? is_near(ack, conn->acked[end]) : p->tcp_flags & NF_TCP_RST;
}

static void note_ack(const struct nf *nf, const struct nf_packet *p, const struct nf_session *s,
                     enum sp_end end, uint32_t ack)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    uint32_t ahead = ack - conn->acked[end];

    if ((p->tcp_flags & (NF_TCP_ACK | NF_TCP_RST)) == NF_TCP_ACK && ahead >= SP_LAG && ahead <= SP_NEAR)
        NF_SESSION_EDIT(nf, s, struct sp_conn)->acked[end] = ack;
}

/* What TCP answers with an ACK at once: a byte that it has had (RFC 1122, 4.2.3.6), in place of our SYN.
 * `back`: p is the client's. */
static void probe_client(const struct nf *nf, const struct nf_packet *p, const struct sp_conn *conn,
                         bool back, uint16_t window)
{
    struct sp_segment probe = {
        .seq = conn->cookie, .ack = conn->isn + 1, .window = window, .flags = NF_TCP_ACK, .probe = true};
    uint8_t frame[SP_FRAME_MAX];

    (void)nf_emit(nf, back ? p->in_port : p->out_port, frame, sp_frame_make(p, back, &probe, frame));
}

/* ---- from clients ---- */

static struct sp_syn syn_of(const struct nf_packet *p, uint32_t isn)
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;

    return (struct sp_syn){.addresses = ipv6 ? nf_packet_ipv6_addresses(p) : p->data + p->l3 + 12,
                           .size = ipv6 ? 32 : 8,
                           .sport = p->sport,
                           .dport = p->dport,
                           .isn = isn};
}

/* Data in a SYN are not acknowledged, so the client sends them again (RFC 7413, 3). Their checksum is not
 * judged, since a standby does not have the data. */
static void answer_syn(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct sp_config *config = nf->config;
    struct sp_syn syn = syn_of(p, nf_packet_seq(p));
    uint32_t mss = config->mss - (p->flags & NF_P_IPV6_READ ? HEADER6 - HEADER : 0);
    struct sp_segment answer = {.ack = syn.isn + 1, .mss = (uint16_t)mss, .flags = NF_TCP_SYN | NF_TCP_ACK};
    uint8_t frame[SP_FRAME_MAX];

    if (!nf_packet_may_answer(p)) {
        nf_drop(nf, p, SP_MARTIAN);
    } else if (p->l4 + p->l4_len == p->payload && !sp_packet_is_sound(p)) {
        nf_drop(nf, p, SP_MALFORMED);
    } else {
        sp_secrets_renew(nf, now);
        answer.seq = sp_cookie_make(nf->state, &syn, sp_packet_mss(p));
        (void)nf_emit(nf, p->in_port, frame, sp_frame_make(p, true, &answer, frame));
        nf_drop(nf, p, SP_ANSWERED);
    }
}

/* The MSS that the client wanted, from the cookie of ours that the packet acknowledges; 0: it acknowledges
 * none. */
static uint16_t read_cookie(const struct nf *nf, const struct nf_packet *p, uint64_t now)
{
    struct sp_syn syn = syn_of(p, nf_packet_seq(p) - 1);

    if ((p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK | NF_TCP_RST)) != NF_TCP_ACK || p->flags & NF_P_FRAGMENT)
        return 0;
    sp_secrets_renew(nf, now);
    return sp_cookie_read(nf->state, &syn, nf_packet_ack(p) - 1);
}

static uint16_t window_of(const struct nf_packet *p)
{
    return (uint16_t)(p->data[p->l4 + 14] << 8 | p->data[p->l4 + 15]);
}

static void become_syn(struct nf_packet *p, const struct sp_conn *conn)
{
    struct sp_segment syn = {.seq = conn->isn, .window = window_of(p), .mss = conn->mss, .flags = NF_TCP_SYN};

    sp_packet_become(p, &syn);
}

/* A cookie has come back. `s`: an earlier connection of the same ends, or one that is being opened. */
static void open_connection(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                            uint16_t mss, uint64_t now)
{
    struct sp_conn conn = {.isn = nf_packet_seq(p) - 1, .cookie = nf_packet_ack(p) - 1, .mss = mss};

    become_syn(p, &conn);
    if (!s)
        s = nf_session_join(nf, p, now);
    if (!s) {
        nf_drop(nf, p, SP_TABLE_FULL);
        return;
    }
    if (nf_session_tcp(s) != NF_TCP_SYN_SENT)
        nf_session_asks_again(nf, p);
    *NF_SESSION_EDIT(nf, s, struct sp_conn) = conn;
    nf_count(nf, SP_OPENED, 1);
}

/* The server knows another connection of these ends, which is reset as its client would do it. Then it is
 * asked again, by what the client answers to. */
static void become_reset(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct sp_conn *conn = NF_SESSION_EDIT(nf, s, struct sp_conn);
    struct sp_segment reset = {.seq = conn->moved, .flags = NF_TCP_RST};

    conn->state = SP_OPENING;
    sp_packet_become(p, &reset);
    probe_client(nf, p, conn, true, 0);
}

/* While the server has not answered, whatever the client sends asks it again. A window of zero lets the
 * client send one byte of data at most. */
static void ask_again(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint64_t now)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    bool near = nf_packet_seq(p) - conn->isn <= 2;
    uint16_t mss;

    if (near && p->tcp_flags & NF_TCP_RST)
        return;
    if (near && p->tcp_flags & NF_TCP_ACK && nf_packet_ack(p) == conn->cookie + 1) {
        if (conn->state == SP_STALE)
            become_reset(nf, p, s);
        else
            become_syn(p, conn);
    } else if ((mss = read_cookie(nf, p, now)) != 0) {
        open_connection(nf, p, s, mss, now);
    } else {
        refuse(nf, p);
    }
}

/* In the middle of a connection that another NF knows: it is older than the server's protection. */
static bool is_older(const struct nf *nf, struct nf_packet *p)
{
    const struct nf_session *s = nf_session_of(nf, p);

    return s && !(nf_session_flags(s) & NF_SESSION_NEW) && !nf_tcp_is_request(p->tcp_flags);
}

/* A client's segment of no session that this NF is in, to a server that is protected. */
static void sp_take_first(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    bool whole = !(p->flags & NF_P_FRAGMENT);
    uint16_t mss = 0;

    if (whole && nf_tcp_is_request(p->tcp_flags))
        answer_syn(nf, p, now);
    else if ((mss = read_cookie(nf, p, now)) != 0)
        open_connection(nf, p, NULL, mss, now);
    else if (!is_older(nf, p))
        nf_drop(nf, p, SP_INVALID);
}

/* The client's first segment once more, of a connection that the server has accepted. */
static bool is_first_again(const struct sp_conn *conn, const struct nf_packet *p)
{
    return conn->state == SP_OPEN && nf_packet_seq(p) == conn->isn + 1 &&
           nf_packet_ack(p) == conn->cookie + 1;
}

/* Of a connection that is open, or over. A client that has lost it begins anew with a cookie, too. */
static void take_open(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint64_t now)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    uint32_t ack = nf_packet_ack(p);
    bool known = conn->state == SP_OPEN && is_of_connection(conn, p, SP_CLIENT, nf_packet_seq(p), ack);
    bool over = nf_tcp_is_over(nf_session_tcp(s));
    uint16_t mss = 0;

    if (!known || (over && !is_first_again(conn, p)))
        mss = read_cookie(nf, p, now);
    if (mss) {
        open_connection(nf, p, s, mss, now);
    } else if (known) {
        note_ack(nf, p, s, SP_CLIENT, ack);
        if (p->tcp_flags & NF_TCP_ACK)
            move_number(p->data + p->l4 + 8, p->data + p->l4 + 16, 0u - conn->moved);
    } else if (conn->state == SP_OPEN) {
        refuse(nf, p);
    }
}

static void sp_take_from_client(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                                uint64_t now)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    bool over = nf_tcp_is_over(nf_session_tcp(s)), open = conn->state == SP_OPEN && !over;
    bool fragment = p->flags & NF_P_FRAGMENT, asks = nf_tcp_is_request(p->tcp_flags);

    if (conn->state == SP_PASSED && !over)
        return;
    if (fragment && (asks || !open))
        refuse(nf, p);
    else if (asks)
        answer_syn(nf, p, now);
    else if (conn->state == SP_OPENING || conn->state == SP_STALE)
        ask_again(nf, p, s, now);
    else
        take_open(nf, p, s, now);
}

/* ---- from servers ---- */

/* The server's SYN-ACK lets the client send. */
static void become_window_update(const struct nf *nf, struct nf_packet *p, const struct sp_conn *conn)
{
    struct sp_segment update = {
        .seq = conn->cookie + 1, .ack = conn->isn + 1, .window = window_of(p), .flags = NF_TCP_ACK};

    probe_client(nf, p, conn, false, update.window);
    sp_packet_become(p, &update);
}

/* An answer to a SYN that we did not send: the server has another connection of these ends. */
static void take_challenge(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct sp_conn *conn = NF_SESSION_EDIT(nf, s, struct sp_conn);

    conn->moved = nf_packet_ack(p);
    conn->state = SP_STALE;
    probe_client(nf, p, conn, false, 0);
    nf_session_disbelieve(nf, p);
    nf_drop(nf, p, SP_CHALLENGED);
}

/* The answer to our SYN: it is accepted, or refused (RFC 9293, 3.10.7.3). */
static void take_first_answer(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    uint8_t flags = p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK | NF_TCP_RST);
    bool acknowledged = nf_packet_ack(p) == conn->isn + 1;

    if (flags == (NF_TCP_RST | NF_TCP_ACK) && acknowledged) {
        sp_packet_move_seq(p, conn->cookie + 1 - nf_packet_seq(p));
    } else if (flags == (NF_TCP_SYN | NF_TCP_ACK) && acknowledged && !sp_packet_is_sound(p)) {
        nf_session_disbelieve(nf, p);
        nf_drop(nf, p, SP_MALFORMED);
    } else if (flags == (NF_TCP_SYN | NF_TCP_ACK) && acknowledged) {
        struct sp_conn *edit = NF_SESSION_EDIT(nf, s, struct sp_conn);

        edit->moved = conn->cookie - nf_packet_seq(p);
        edit->acked[SP_CLIENT] = conn->cookie + 1;
        edit->acked[SP_SERVER] = conn->isn + 1;
        edit->state = SP_OPEN;
        become_window_update(nf, p, conn);
        nf_count(nf, SP_CONNECTED, 1);
    } else if (flags == NF_TCP_ACK && !acknowledged) {
        take_challenge(nf, p, s);
    } else {
        refuse(nf, p);
    }
}

/* Of a connection that is open. A SYN of the server's is a connection that it begins, over an old one that
 * the client is to answer. */
static void take_answer(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    uint32_t seq = nf_packet_seq(p) + conn->moved, ack = nf_packet_ack(p);
    bool syn = p->tcp_flags & NF_TCP_SYN;

    if (syn && seq == conn->cookie && ack == conn->isn + 1 && p->tcp_flags & NF_TCP_ACK) {
        become_window_update(nf, p, conn); /* it has not heard the client yet */
    } else if (nf_tcp_is_request(p->tcp_flags)) {
        sp_packet_move_seq(p, conn->moved);
    } else if (syn || !is_of_connection(conn, p, SP_SERVER, seq, ack)) {
        refuse(nf, p);
    } else {
        note_ack(nf, p, s, SP_SERVER, ack);
        sp_packet_move_seq(p, conn->moved);
    }
}

static void sp_take_from_server(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                                uint64_t now)
{
    const struct sp_conn *conn = s ? nf_session_slot(nf, s) : NULL;
    bool opening = conn && (conn->state == SP_OPENING || conn->state == SP_STALE);

    if (nf_tcp_is_request(p->tcp_flags) && (!s || p->flow & NF_FLOW_AGAIN)) {
        if (sp_is_protected(nf->config, p, false, false) && (s || (s = nf_session_join(nf, p, now)) != NULL))
            *NF_SESSION_EDIT(nf, s, struct sp_conn) = (struct sp_conn){.state = SP_PASSED};
    } else if (conn && p->flags & NF_P_FRAGMENT && (opening || p->tcp_flags & NF_TCP_SYN)) {
        refuse(nf, p);
    } else if (opening) {
        take_first_answer(nf, p, s);
    } else if (conn && conn->state == SP_OPEN) {
        take_answer(nf, p, s);
    }
}

/* ---- packets ---- */

/* An error about a segment of the server's, as the client has it. */
static void take_error(const struct nf *nf, struct nf_packet *p)
{
    bool reply;
    const struct nf_session *s = nf_session_quoted(nf, p, &reply);
    const struct sp_conn *conn = s && nf_session_has(nf, s) ? nf_session_slot(nf, s) : NULL;

    if (conn && conn->state == SP_OPEN)
        sp_packet_move_quoted(p, 0u - conn->moved);
}

/* Of TCP perhaps, but for its ports: a header that is not whole or breaks its format, and extension headers
 * of IPv6 that are not read. Put together at the server, it could be what a server is protected from. */
static bool hides_port(const struct nf_packet *p)
{
    return (p->proto == NF_PROTO_TCP && !(p->flags & NF_P_L4)) ||
           (p->flags & NF_P_IPV6_READ && nf_ipv6_is_extension(p->proto));
}

static void take_hidden(const struct nf *nf, struct nf_packet *p)
{
    if (!sp_is_protected(nf->config, p, true, true))
        return;
    if (!(p->flags & NF_P_LATER))
        nf_drop(nf, p, SP_MALFORMED);
    else if (!nf_session_later(nf, p)) /* the first one has passed: so do the others */
        nf_drop(nf, p, SP_FRAGMENT_UNKNOWN);
}

static void sp_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct sp_config *config = nf->config;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        bool client = nf_sides_has(config->clients, p);
        const struct nf_session *s;

        if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6_READ)))
            continue;
        if (client && hides_port(p))
            take_hidden(nf, p);
        if (client && p->flags & NF_P_ICMP_ERROR)
            take_error(nf, p);
        if (p->proto != NF_PROTO_TCP || !(p->flags & NF_P_L4))
            continue;
        s = nf_session_mine(nf, p);
        if (!client)
            sp_take_from_server(nf, p, s, now);
        else if (s)
            sp_take_from_client(nf, p, s, now);
        else if (sp_is_protected(config, p, true, false))
            sp_take_first(nf, p, now);
    }
}

/* ---- making, showing, changing ---- */

static void sp_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct sp_config *)config)->flows;
}

static bool sp_ipv6(const void *config)
{
    return ((const struct sp_config *)config)->servers.count;
}

static void sp_show_conn(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);

    nf_row(out);
    nf_session_row_ends(nf, out, s, "from", "to");
    nf_row_text(out, "state", "%s", state_names[conn->state]);
    nf_row_text(out, "tcp", "%s", nf_tcp_state_name(nf_session_tcp(s)));
    nf_row_u64(out, "mss", conn->mss);
    nf_row_u64(out, "last_ns", s->seen);
}

static bool sp_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_sessions_show(nf, 0, out, cursor, sp_show_conn);
}

/* They end for all NFs: without the numbers nobody could go on with one. */
static int sp_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    if (key)
        return ft_fail(fault, FT_ENOENT, "%s: expected no key: all connections are ended", key);
    nf_sessions_clear(nf, true, now);
    return FT_OK;
}

static int sp_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nf_session *s;

    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        uint32_t state = ((const struct sp_conn *)nf_session_slot(nf, s))->state;

        nf_check_step(c);
        if (state >= SP_STATES)
            return nf_check_failed(c, "session %u is in state %u, expected one below %u", at, state,
                                   SP_STATES);
    }
    return 0;
}

static const struct nf_param sp_params[] = {
    NF_PARAM(struct sp_config, servers, NF_NETWORKS, NULL,
             "destinations whose clients have to prove themselves", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct sp_config, ports, NF_RANGE, 1, 65535, NULL, "ports of those", .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct sp_config, clients, side_names, "outside", "the side on which clients are"),
    NF_NUMBER(struct sp_config, mss, NF_U32, 64, 9176, "1460",
              "that clients of IPv4 are told; those of IPv6 20 less", .marks = NF_PARAM_LIVE),
    NF_MAX_FLOWS_PARAM(struct sp_config, flows, "connections at most"),
    NF_MAX_FRAGMENTS_PARAM(struct sp_config, flows),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_closed", NF_TIMEOUT_TCP_CLOSED, NF_TCP_CLOSED_SECONDS),
    {0},
};

static const struct nf_module sp_module = {
    .name = "syn_proxy",
    .version = 2,
    .summary = "answers SYNs with cookies, connects clients that acknowledge one",
    .reads = NF_READS_HEADERS,
    .params = sp_params,
    .config_size = sizeof(struct sp_config),
    .state_size = sizeof(struct sp_secrets),
    .counters = sp_counters,
    .process = sp_process,
    .show = sp_show,
    .set = nf_sessions_set,
    .clear = sp_clear,
    .check_state = sp_check_state,
    .session_size = sizeof(struct sp_conn),
    .translates = NF_SEQUENCE,
    .ipv6 = sp_ipv6,
    .serves_outside = true,
    .fragments_full = SP_FRAGMENTS_FULL + 1,
    .flows = sp_flows,
    .expired = SP_EXPIRED + 1,
    .displaced = SP_DISPLACED + 1,
};
NF_MODULE(sp_module)
