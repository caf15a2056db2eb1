/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trojan: tells of hosts inside that do what one sort of trojan does (De Carli, Sommer, Jha: Beyond Pattern
 * Matching, CCS 2014; Khalid, Akella: Correctness and Performance for Stateful Chained Network Functions,
 * NSDI 2019): a connection by SSH, then by FTP a page of HTML, a ZIP archive and a program (EXE), then IRC,
 * in that order. It drops nothing.
 *
 * The order is that in which packets came to this chain, which numbers them, with two exceptions. A
 * connection counts from its first SYN, not from one that is sent again. And commands of one control
 * connection are in the order of their sequence numbers: what comes before a gap is closed waits, and what
 * closes the gap was sent no later than the first that waits. A host is an address: of one that has several,
 * or both families, each by itself.
 *
 * State, of this instance alone, since all packets of a host come to one lane: hosts, in the order of their
 * last events; and slots in the chain's sessions. A host whose last event is long ago is forgotten, and in a
 * full table the first of them makes room.
 */
#include "nfs/trojan_parts.h"

#include <arpa/inet.h>

#define DUE      32u /* hosts that are forgotten in one burst at most; the rest in the next */
#define PORT_SSH 22u

static const char *const tj_counters[] = {TJ_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- hosts ---- */

static struct tj_addr source_of(const struct nf_packet *p)
{
    struct tj_addr addr;

    if (!(p->flags & NF_P_IPV6_READ))
        return tj_mapped_address(&p->saddr);
    memcpy(&addr, nf_packet_ipv6_addresses(p), sizeof(addr));
    return addr;
}

void tj_forget_host(const struct nf *nf, uint32_t slot)
{
    struct tj *tj = nf->state;

    nf_list_remove(nf, tj->order, NF_EDIT(nf, &tj->by_event), slot);
    nf_map_remove(nf, tj->hosts, slot);
}

/* The host, known or not, as the one with the latest event. */
static uint32_t host_of(const struct nf *nf, const struct tj_addr *addr)
{
    struct tj *tj = nf->state;
    uint32_t slot = nf_map_find(tj->hosts, addr);

    if (slot != NF_NONE) {
        nf_list_remove(nf, tj->order, NF_EDIT(nf, &tj->by_event), slot);
    } else {
        if (nf_map_count(tj->hosts) == nf_map_capacity(tj->hosts)) {
            tj_forget_host(nf, nf_list_first(&tj->by_event));
            nf_count(nf, TJ_DISPLACED, 1);
        }
        slot = nf_map_add(nf, tj->hosts, addr);
    }
    nf_list_insert(nf, tj->order, NF_EDIT(nf, &tj->by_event), slot, NF_NONE);
    return slot;
}

static uint64_t first_end(const struct nf *nf)
{
    const struct tj_config *config = nf->config;
    const struct tj *tj = nf->state;

    return tj_host_at(tj, nf_list_first(&tj->by_event))->seen + config->remember * NF_SECOND;
}

/* An event of a packet's source: a step, or IRC (0), done by packet `number`. */
static void take_event(const struct nf *nf, const struct nf_packet *p, uint32_t step, uint64_t number,
                       uint64_t now)
{
    const struct tj *tj = nf->state;
    struct tj_addr addr = source_of(p);
    uint32_t slot = host_of(nf, &addr);
    struct tj_host *host = NF_EDIT_VALUE(nf, struct tj_addr, tj_host_at(tj, slot));
    host->seen = now;
    if (!step) {
        host->irc = number;
    } else if (host->step == step - 1 && number >= host->at) {
        host->step = step;
        host->at = number;
    }
    if (host->step == STEP_EXE && host->irc > host->at && !host->found) {
        host->found = 1;
        nf_count(nf, TJ_TROJANS, 1);
    }
    nf_wake(nf, first_end(nf));
}

/* ---- packets, from inside ---- */

static void take_file(const struct tj_commands *commands, enum tj_file file)
{
    nf_count(commands->nf, TJ_FILES, 1);
    take_event(commands->nf, commands->p, STEP_SSH + file, commands->number, commands->now);
}

/* Of FTP. */
static void take_commands(const struct nf *nf, const struct nf_packet *p, const struct nf_session *s,
                          uint64_t number, uint64_t now)
{
    const struct tj *tj = nf->state;
    struct tj_commands commands = {.nf = nf, .p = p, .number = number, .now = now, .file = take_file};

    commands.control = NF_SESSION_EDIT(nf, s, struct tj_control);
    nf_count(nf, TJ_GAPS, tj_control_take(&commands, tj->streams));
}

static void take_request(const struct nf *nf, struct nf_packet *p, bool ssh, bool irc, uint64_t number,
                         uint64_t now)
{
    const struct tj *tj = nf->state;
    const struct nf_session *s = nf_session_mine(nf, p);
    bool again = s && !(p->flow & NF_FLOW_AGAIN);

    if (!s && !(s = nf_session_join(nf, p, now)))
        nf_count(nf, TJ_FLOWS_FULL, 1);
    if (s && !again)
        tj_control_begin(nf, tj->streams, NF_SESSION_EDIT(nf, s, struct tj_control));
    if (s && !ssh && !irc)
        take_commands(nf, p, s, number, now);
    if (!again && (ssh || irc)) {
        nf_count(nf, ssh ? TJ_SSH : TJ_IRC, 1);
        take_event(nf, p, ssh ? STEP_SSH : 0, number, now);
    }
}

static bool is_looked_at(const struct tj_config *config, const struct nf_packet *p)
{
    return p->side == NF_INSIDE && p->proto == NF_PROTO_TCP &&
           (nf_packet_has_ends(p) || (config->ipv6 && nf_packet_has_ends_ipv6(p)));
}

static void tj_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct tj_config *config = nf->config;
    const struct tj *tj = nf->state;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        uint32_t port = ntohs(p->dport);
        bool irc = port >= config->irc.first && port <= config->irc.last;
        const struct nf_session *s;

        if (!is_looked_at(config, p) || (port != PORT_SSH && port != TJ_PORT_FTP && !irc))
            continue;
        if (nf_tcp_is_request(p->tcp_flags))
            take_request(nf, p, port == PORT_SSH, irc, *NF_EDIT_WORD(nf, &tj->packets) += 1, now);
        else if (port == TJ_PORT_FTP && !(p->flags & NF_P_FRAGMENT) && (s = nf_session_mine(nf, p)) != NULL)
            take_commands(nf, p, s, *NF_EDIT_WORD(nf, &tj->packets) += 1, now);
    }
}

static void tj_timers(struct nf *nf, uint64_t now)
{
    const struct tj *tj = nf->state;
    unsigned n = 0;

    while (n < DUE && nf_list_first(&tj->by_event) != NF_NONE && first_end(nf) <= now) {
        tj_forget_host(nf, nf_list_first(&tj->by_event));
        n++;
    }
    if (nf_list_first(&tj->by_event) != NF_NONE)
        nf_wake(nf, first_end(nf));
}

/* ---- making ---- */

static uint64_t tj_arena(const void *c)
{
    const struct tj_config *config = c;

    return nf_map_bytes(config->max_hosts, sizeof(struct tj_addr), sizeof(struct tj_host)) +
           nf_lists_bytes(config->max_hosts, 0) + nf_streams_bytes(&config->streams);
}

/* What is fixed of the streams: their beginnings are seen, or nothing of them is. */
static int tj_check(void *c, struct ft_fault *fault)
{
    struct tj_config *config = c;

    (void)fault;
    config->streams.flow_pieces = TJ_FLOW_PIECES;
    config->streams.loose = false;
    return FT_OK;
}

static bool tj_make(struct nf *nf)
{
    const struct tj_config *config = nf->config;
    struct tj *tj = nf->state;

    tj->hosts = nf_map_make(nf, config->max_hosts, sizeof(struct tj_addr), sizeof(struct tj_host));
    tj->order = nf_lists_make(nf, config->max_hosts, 0);
    tj->streams = nf_streams_make(nf, &config->streams);
    nf_constant(nf, tj, offsetof(struct tj, by_event));
    if (!tj->hosts || !tj->order || !tj->streams)
        return false;
    nf_table_add_map(nf, "hosts", tj->hosts);
    return true;
}

static enum nf_scope tj_scope(const void *config)
{
    (void)config;
    return NF_OF_INSIDE;
}

static bool tj_joins_ipv6(const void *config)
{
    return ((const struct tj_config *)config)->ipv6;
}

static void tj_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct tj_config *)config)->flows;
}

static void tj_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    (void)why;
    (void)now;
    tj_control_begin(nf, ((const struct tj *)nf->state)->streams, NF_SESSION_EDIT(nf, s, struct tj_control));
}

static const struct nf_param tj_params[] = {
    NF_YES_NO(struct tj_config, ipv6, "false", "hosts of IPv6 are looked at as well"),
    NF_NUMBER(struct tj_config, irc, NF_RANGE, 1, 65535, "6660-6669", "ports of IRC"),
    NF_NUMBER(struct tj_config, max_hosts, NF_U32, 1, 1u << 22, "65536", "hosts with events at most"),
    NF_NUMBER(struct tj_config, remember, NF_SECONDS, 1, NF_TIMEOUT_MAX, "86400",
              "seconds from a host's last event on for which it is known"),
    NF_PARAM_AT(struct tj_config, "stream_pieces", streams.pieces, NF_U32, "1024",
                "pieces of 440 bytes for commands of FTP that wait for others in front of them, of which "
                "half are used",
                .min = 2, .max = 1u << 20),
    NF_MAX_FLOWS_PARAM(struct tj_config, flows, "connections of SSH, FTP and IRC at most"),
    NF_TIMEOUT_PARAM(struct tj_config, flows, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),
    NF_TIMEOUT_PARAM(struct tj_config, flows, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),
    NF_TIMEOUT_PARAM(struct tj_config, flows, "tcp_closed", NF_TIMEOUT_TCP_CLOSED, NF_TCP_CLOSED_SECONDS),
    {0},
};

static const char *const tj_live[] = {
    "irc", "remember", "max_flows", "tcp_established", "tcp_transitory", "tcp_closed", NULL};

static const struct nf_module tj_module = {
    .name = "trojan",
    .version = 1,
    .summary = "tells of hosts that use SSH, FTP and IRC as a trojan does",
    .reads = NF_READS_PAYLOAD,
    .scope = tj_scope,
    .params = tj_params,
    .config_size = sizeof(struct tj_config),
    .counters = tj_counters,
    .state_size = sizeof(struct tj),
    .check = tj_check,
    .arena = tj_arena,
    .make = tj_make,
    .process = tj_process,
    .timers = tj_timers,
    .show = tj_show,
    .set = nf_sessions_set,
    .clear = tj_clear,
    .check_state = tj_check_state,
    .session_size = sizeof(struct tj_control),
    .ipv6 = tj_joins_ipv6,
    .flows = tj_flows,
    .session_end = tj_session_end,
    .live = tj_live,
};
NF_MODULE(tj_module)
