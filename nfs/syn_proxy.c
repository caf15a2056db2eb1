/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syn_proxy: stands between clients and servers until a client has shown that it is where it says it is. It
 * answers a SYN by itself, with a cookie for a sequence number, and keeps nothing. A client that acknowledges
 * the cookie is real: its ACK becomes the SYN to the server, on the way through the other NFs. The server's
 * SYN-ACK becomes a window update to the client, which holds its window to be zero until then; and a segment
 * that the client has seen before goes with it, since TCP answers to such with an ACK, which ends the
 * server's handshake. From there on the server's sequence numbers and the client's acknowledgements are moved
 * by the difference of cookie and server's number. (Linux's SYNPROXY and OpenBSD's synproxy state do it so
 * too, but for who acknowledges to the server.)
 *
 * State: secrets of the cookies; of each connection whose cookie was acknowledged, a slot in the chain's
 * sessions.
 */
#include "nfs/syn_proxy_cookie.h"
#include "nfs/syn_proxy_frames.h"

#include <arpa/inet.h>
#include <string.h>

struct sp_config {
    struct nf_prefixes servers;
    struct nf_range ports;
    uint32_t clients, mss;
    struct nf_flows_config flows;
};
static const char *const side_names[] = {"outside", "inside", NULL};

enum sp_state {
    SP_OPENING, /* the server has not answered yet */
    SP_OPEN,
    SP_PASSED, /* begun by the server's end: nothing is changed */
    SP_STATES
};
static const char *const state_names[SP_STATES] = {"opening", "open", "passed"};

/* In a session. */
struct sp_conn {
    uint32_t isn, cookie; /* sequence numbers of the client's SYN and of our SYN-ACK */
    uint32_t moved;       /* open: the client's view of the server's numbers, less those */
    uint16_t mss;         /* that the server is told */
    uint16_t state;       /* enum sp_state */
};

struct sp {
    struct sp_secrets secrets;
};

#define SP_COUNTERS(X)                                                                                       \
    X(SP_ANSWERED, "answered")   /* dropped: SYNs that were answered with a cookie */                        \
    X(SP_OPENED, "opened")       /* cookies that came back */                                                \
    X(SP_CONNECTED, "connected") /* of those, to servers that have answered */                               \
    X(SP_INVALID, "invalid")     /* dropped: of no connection, and no cookie of ours, or in fragments */     \
    X(SP_EXPIRED, "connections_expired")                                                                     \
    X(SP_DISPLACED, "connections_displaced") /* a new one has its place in a full table */                   \
    X(SP_TABLE_FULL, "table_full")           /* dropped: no room for a new connection */
enum sp_counter { SP_COUNTERS(NF_COUNTER) };
static const char *const sp_counters[] = {SP_COUNTERS(NF_COUNTER_NAME) NULL};

static bool is_protected(const struct sp_config *config, uint32_t addr, uint16_t port)
{
    return ntohs(port) >= config->ports.first && ntohs(port) <= config->ports.last &&
           nf_prefixes_has(&config->servers, addr);
}

static uint16_t window_of(const struct nf_packet *p)
{
    return (uint16_t)(p->data[p->l4 + 14] << 8 | p->data[p->l4 + 15]);
}

/* ---- from clients ---- */

static struct sp_syn syn_of(const struct nf_packet *p, uint32_t isn)
{
    return (struct sp_syn){
        .saddr = p->saddr, .daddr = p->daddr, .sport = p->sport, .dport = p->dport, .isn = isn};
}

static void answer_syn(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct sp_config *config = nf->config;
    const struct sp *sp = nf->state;
    struct sp_syn syn = syn_of(p, sp_packet_seq(p));
    struct sp_segment answer = {
        .ack = syn.isn + 1, .mss = (uint16_t)config->mss, .flags = NF_TCP_SYN | NF_TCP_ACK};
    uint8_t frame[SP_FRAME_MAX];

    sp_secrets_renew(nf, &sp->secrets, now);
    answer.seq = sp_cookie_make(&sp->secrets, &syn, sp_packet_mss(p));
    (void)nf_emit(nf, p->in_port, frame, sp_frame_make(p, true, &answer, frame));
    nf_drop(nf, p, SP_ANSWERED);
}

/* What acknowledges a cookie of ours says which MSS the client wanted; 0: it does not. */
static uint16_t read_cookie(const struct nf *nf, const struct nf_packet *p, uint64_t now)
{
    const struct sp *sp = nf->state;
    struct sp_syn syn = syn_of(p, sp_packet_seq(p) - 1);

    if ((p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK | NF_TCP_RST)) != NF_TCP_ACK)
        return 0;
    sp_secrets_renew(nf, &sp->secrets, now);
    return sp_cookie_read(&sp->secrets, &syn, sp_packet_ack(p) - 1);
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
    struct sp_conn conn = {.isn = sp_packet_seq(p) - 1, .cookie = sp_packet_ack(p) - 1, .mss = mss};

    become_syn(p, &conn);
    if (!s)
        s = nf_session_join(nf, p, now);
    if (!s) {
        nf_drop(nf, p, SP_TABLE_FULL);
        return;
    }
    if (nf_tcp_is_over(nf_session_tcp(s)))
        nf_session_asks_again(nf, p);
    *NF_SESSION_EDIT(nf, s, struct sp_conn) = conn;
    nf_count(nf, SP_OPENED, 1);
}

/* While the server has not answered, whatever the client sends asks it again. */
static void ask_again(const struct nf *nf, struct nf_packet *p, const struct nf_session *s, uint64_t now)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    uint16_t mss;

    if (p->tcp_flags & NF_TCP_RST)
        return;
    if (p->tcp_flags & NF_TCP_ACK && sp_packet_ack(p) == conn->cookie + 1)
        become_syn(p, conn);
    else if ((mss = read_cookie(nf, p, now)) != 0)
        open_connection(nf, p, s, mss, now);
    else
        nf_drop(nf, p, SP_INVALID);
}

/* In the middle of a connection that another NF knows: it is older than the server's protection. */
static bool is_older(const struct nf *nf, struct nf_packet *p)
{
    const struct nf_session *s = nf_session_of(nf, p);

    return s && !(nf_session_flags(s) & NF_SESSION_NEW) && !nf_tcp_is_request(p->tcp_flags);
}

/* Of no connection of ours, to a server that is protected. */
static void take_first(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    bool whole = !(p->flags & NF_P_FRAGMENT);
    uint16_t mss = 0;

    if (whole && nf_tcp_is_request(p->tcp_flags))
        answer_syn(nf, p, now);
    else if (whole && (mss = read_cookie(nf, p, now)) != 0)
        open_connection(nf, p, NULL, mss, now);
    else if (!is_older(nf, p))
        nf_drop(nf, p, SP_INVALID);
}

/* The client's first segment once more, of a connection that the server has accepted. */
static bool is_first_again(const struct sp_conn *conn, const struct nf_packet *p)
{
    return conn->state == SP_OPEN && sp_packet_seq(p) == conn->isn + 1 &&
           sp_packet_ack(p) == conn->cookie + 1;
}

static void take_from_client(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                             uint64_t now)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);
    bool over = nf_tcp_is_over(nf_session_tcp(s)), begins = over || conn->state == SP_OPENING;
    uint16_t mss = 0;

    if (begins && p->flags & NF_P_FRAGMENT)
        nf_drop(nf, p, SP_INVALID);
    else if (begins && nf_tcp_is_request(p->tcp_flags))
        answer_syn(nf, p, now);
    else if (over && !is_first_again(conn, p) && (mss = read_cookie(nf, p, now)) != 0)
        open_connection(nf, p, s, mss, now);
    else if (conn->state == SP_OPENING)
        ask_again(nf, p, s, now);
    else if (conn->state == SP_OPEN && p->tcp_flags & NF_TCP_ACK)
        sp_packet_move_ack(p, 0u - conn->moved);
}

/* ---- from servers ---- */

/* The server's SYN-ACK lets the client send. */
static void become_window_update(const struct nf *nf, struct nf_packet *p, const struct sp_conn *conn)
{
    struct sp_segment update = {
        .seq = conn->cookie + 1, .ack = conn->isn + 1, .window = window_of(p), .flags = NF_TCP_ACK};
    struct sp_segment seen = update;
    uint8_t frame[SP_FRAME_MAX];

    seen.seq = conn->cookie;
    (void)nf_emit(nf, p->out_port, frame, sp_frame_make(p, false, &seen, frame));
    sp_packet_become(p, &update);
}

/* The answer to our SYN: it is accepted, or refused. */
static void take_first_answer(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    const struct sp_conn *conn = nf_session_slot(nf, s);

    if (p->tcp_flags & NF_TCP_RST) {
        sp_packet_move_seq(p, conn->cookie + 1 - sp_packet_seq(p));
    } else if ((p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK)) == (NF_TCP_SYN | NF_TCP_ACK) &&
               sp_packet_ack(p) == conn->isn + 1) {
        struct sp_conn *edit = NF_SESSION_EDIT(nf, s, struct sp_conn);

        edit->moved = conn->cookie - sp_packet_seq(p);
        edit->state = SP_OPEN;
        become_window_update(nf, p, conn);
        nf_count(nf, SP_CONNECTED, 1);
    } else {
        nf_drop(nf, p, SP_INVALID);
    }
}

static void take_from_server(const struct nf *nf, struct nf_packet *p, const struct nf_session *s,
                             uint64_t now)
{
    const struct sp_conn *conn = s ? nf_session_slot(nf, s) : NULL;
    bool asks = nf_tcp_is_request(p->tcp_flags);

    if (asks && (!s || p->flow & NF_FLOW_AGAIN)) {
        if (is_protected(nf->config, p->saddr, p->sport) && (s || (s = nf_session_join(nf, p, now)) != NULL))
            *NF_SESSION_EDIT(nf, s, struct sp_conn) = (struct sp_conn){.state = SP_PASSED};
    } else if (conn && p->flags & NF_P_FRAGMENT && (conn->state == SP_OPENING || p->tcp_flags & NF_TCP_SYN)) {
        nf_drop(nf, p, SP_INVALID);
    } else if (conn && conn->state == SP_OPENING) {
        take_first_answer(nf, p, s);
    } else if (conn && conn->state == SP_OPEN) {
        if (p->tcp_flags & NF_TCP_SYN && sp_packet_seq(p) + conn->moved == conn->cookie)
            become_window_update(nf, p, conn); /* it has not heard the client yet */
        else
            sp_packet_move_seq(p, conn->moved);
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

static void sp_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct sp_config *config = nf->config;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        bool client = nf_sides_has(config->clients, p);
        const struct nf_session *s;

        if (!(p->flags & NF_P_IPV4) || p->flags & (NF_P_LATER | NF_P_BAD))
            continue;
        if (p->flags & NF_P_ICMP_ERROR && client)
            take_error(nf, p);
        if (p->proto != NF_PROTO_TCP || !(p->flags & NF_P_L4))
            continue;
        s = nf_session_mine(nf, p);
        if (!client)
            take_from_server(nf, p, s, now);
        else if (s)
            take_from_client(nf, p, s, now);
        else if (is_protected(config, p->daddr, p->dport))
            take_first(nf, p, now);
    }
}

static void sp_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    (void)s;
    (void)now;
    if (why == NF_SESSION_IDLE || why == NF_SESSION_DISPLACED)
        nf_count(nf, why == NF_SESSION_IDLE ? SP_EXPIRED : SP_DISPLACED, 1);
}

/* ---- making, showing, changing ---- */

static void sp_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct sp_config *)config)->flows;
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

static int sp_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    return nf_sessions_set(nf, key, value, now, fault);
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
    NF_PARAM(struct sp_config, servers, NF_PREFIXES, NULL,
             "destinations whose clients have to prove themselves"),
    NF_NUMBER(struct sp_config, ports, NF_RANGE, 1, 65535, NULL, "ports of those"),
    NF_ONE_OF(struct sp_config, clients, side_names, "outside", "the side on which clients are"),
    NF_NUMBER(struct sp_config, mss, NF_U32, 64, 9176, "1460", "that clients are told"),
    NF_MAX_FLOWS_PARAM(struct sp_config, flows, "connections at most"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_closed", NF_TIMEOUT_TCP_CLOSED, NF_TCP_CLOSED_SECONDS),
    {0},
};

static const char *const sp_live[] = {"mss",        "max_flows", "tcp_established", "tcp_transitory",
                                      "tcp_closed", "servers",   "ports",           NULL};

static const struct nf_module sp_module = {
    .name = "syn_proxy",
    .version = 1,
    .summary = "answers SYNs with cookies, connects clients that acknowledge one",
    .reads = NF_READS_HEADERS,
    .params = sp_params,
    .config_size = sizeof(struct sp_config),
    .state_size = sizeof(struct sp),
    .counters = sp_counters,
    .process = sp_process,
    .show = sp_show,
    .set = sp_set,
    .clear = sp_clear,
    .check_state = sp_check_state,
    .session_size = sizeof(struct sp_conn),
    .translates = NF_SEQUENCE,
    .flows = sp_flows,
    .session_end = sp_session_end,
    .live = sp_live,
};
NF_MODULE(sp_module)
