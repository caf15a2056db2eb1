/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syn_proxy: stands between clients and servers until a client has shown that it is where it says it is. It
 * answers a SYN by itself, with a cookie for a sequence number, and keeps nothing. A client that acknowledges
 * the cookie is real: its ACK becomes the SYN to the server, on the way through the other NFs. The server's
 * SYN-ACK becomes a window update to the client, which holds its window to be zero until then; and a byte
 * that the client has had goes with it, since TCP answers to such with an ACK, which ends the server's
 * handshake. From there on the server's sequence numbers and the client's acknowledgements are moved by the
 * difference of cookie and server's number. (Linux's SYNPROXY and OpenBSD's synproxy state do it so too, but
 * for who acknowledges to the server.)
 *
 * State: secrets of the cookies; of each connection whose cookie was acknowledged, a slot in the chain's
 * sessions.
 */
#include "nfs/syn_proxy_parts.h"

#include "nflib/net/ipv6.h"

#include <arpa/inet.h>

static const char *const side_names[] = {"outside", "inside", NULL};
static const char *const state_names[SP_STATES] = {"opening", "open", "passed", "stale"};
static const char *const sp_counters[] = {SP_COUNTERS(NF_COUNTER_NAME) NULL};

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
    NF_NUMBER(struct sp_config, mss, NF_U32, 64, 9176, "1460", "that clients are told",
              .marks = NF_PARAM_LIVE),
    NF_MAX_FLOWS_PARAM(struct sp_config, flows, "connections at most"),
    NF_MAX_FRAGMENTS_PARAM(struct sp_config, flows),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),
    NF_TIMEOUT_PARAM(struct sp_config, flows, "tcp_closed", NF_TIMEOUT_TCP_CLOSED, NF_TCP_CLOSED_SECONDS),
    {0},
};

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
