/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trojan: reports hosts inside that do what one sort of trojan does (De Carli, Sommer, Jha: Beyond Pattern
 * Matching, CCS 2014; Khalid, Akella: Correctness and Performance for Stateful Chained Network Functions,
 * NSDI 2019): a connection by SSH, then by FTP a page of HTML, a ZIP archive and a program (EXE), then IRC,
 * in that order. It drops nothing.
 *
 * The order is that in which packets came in (nf_clock), with two exceptions. A
 * connection counts from its first SYN, not from one that is sent again. And commands of one control
 * connection are in the order of their sequence numbers: what comes before a gap is closed waits, and what
 * closes the gap was sent no later than all that had come before it. A host is an address: of one that has
 * several, or both families, each by itself.
 *
 * State, of this instance alone, since all packets of a host come to one lane: hosts, in the order of their
 * last events; and slots in the chain's sessions. A host whose last event is long ago is forgotten, and in a
 * full table the first of them makes room.
 */
#include "nflib/nf.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define DUE      32u /* hosts that are forgotten in one burst at most; the rest in the next */
#define PORT_SSH 22u

#define FAR          (1u << 20) /* what is so far behind a gap belongs to nothing that we follow */
#define TJ_PORT_FTP  21u
#define TJ_HELD      3u /* segments behind a gap; with one more it is given up */
#define TJ_FILE_BITS 2u
#define TJ_FILES_MAX 8u /* of a segment; what it asks for beyond is not seen */

enum tj_file { TJ_HTML = 1, TJ_ZIP, TJ_EXE };

struct tj_segment {
    uint64_t number; /* of the packet that brought it, or that of a later part which came before it */
    uint32_t seq;
    uint16_t len;
    uint16_t files; /* enum tj_file each, the first one in the lowest bits */
};
/* In a session. */
struct tj_control {
    uint32_t next; /* sequence number of what has not come yet */
    uint32_t count;
    struct tj_segment held[TJ_HELD]; /* behind it, in no order */
};

struct tj_config {
    bool ipv6;
    struct nf_range irc;
    uint32_t max_hosts, remember;
    struct nf_flows_config flows;
};

/* Steps: how many of the five have been done. */
enum { STEP_NONE, STEP_SSH, STEP_HTML, STEP_ZIP, STEP_EXE, STEPS };
static const char *const step_names[STEPS] = {"none", "ssh", "html", "zip", "exe"};

struct tj_host {
    uint64_t seen; /* chain time of the last event */
    uint64_t at;   /* number of the packet that did the last step */
    uint64_t irc;  /* of the last that began a connection of IRC; 0: none */
    uint32_t step; /* without IRC */
    uint32_t found;
};

struct tj {
    struct nf_map *hosts;    /* struct nf_addr → struct tj_host */
    struct nf_lists *order;  /* of hosts, by their slots */
    struct nf_list by_event; /* the one whose last event is the longest ago first */
    uint32_t unused;
};

#define TJ_COUNTERS(X)                                                                                       \
    X(TJ_SSH, "ssh")                   /* connections that hosts have begun */                               \
    X(TJ_IRC, "irc")                   /* the same */                                                        \
    X(TJ_FILES, "files")               /* commands for a file of the three kinds */                          \
    X(TJ_GAPS, "gaps")                 /* of control connections, given up: nothing has closed them */       \
    X(TJ_TROJANS, "trojans")           /* hosts that have done it all */                                     \
    X(TJ_DISPLACED, "hosts_displaced") /* in a full table another one has their place */                     \
    X(TJ_FLOWS_FULL, "flows_full")     /* connections that found no room: commands in them are not seen */   \
    X(TJ_HOST_FULL, "host_full")       /* dropped by sessions: their host begins no more */
enum tj_counter { TJ_COUNTERS(NF_COUNTER) };
static const char *const tj_counters[] = {TJ_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- control connections of FTP ------------------------------------------------------------------------ */

/* Which files a client asks for (RETR, RFC 959), in the order of its sequence numbers. A command that is not
 * whole in one segment is not seen. */

/* Bytes of data on the wire. */
static uint32_t tj_payload(const struct nf_packet *p)
{
    uint32_t end = p->l4 + p->l4_len;

    return end > p->payload ? end - p->payload : 0;
}

/* What a line asks for; 0: nothing of interest. */
static uint32_t file_of(const char *line, size_t n)
{
    static const struct {
        const char *end;
        uint32_t file;
    } ends[] = {{".html", TJ_HTML}, {".htm", TJ_HTML}, {".zip", TJ_ZIP}, {".exe", TJ_EXE}};

    while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    if (n < 5 || strncasecmp(line, "RETR ", 5) != 0)
        return 0;
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t end = strlen(ends[i].end);

        if (n >= 5 + end && strncasecmp(line + n - end, ends[i].end, end) == 0)
            return ends[i].file;
    }
    return 0;
}

/* Of what is there behind the first `skip` bytes of data. */
static uint16_t files_of(const struct nf_packet *p, uint32_t skip)
{
    uint32_t end = p->payload + tj_payload(p), at = p->payload + skip, files = 0, found = 0;

    end = end < p->have ? end : p->have;
    while (at < end && found < TJ_FILES_MAX) {
        const char *line = (const char *)p->data + at;
        const char *newline = memchr(line, '\n', end - at);
        uint32_t n = newline ? (uint32_t)(newline - line) : end - at;
        uint32_t file = newline ? file_of(line, n) : 0;

        files |= file << TJ_FILE_BITS * found;
        found += file != 0;
        at += n + 1;
    }
    return (uint16_t)files;
}

/* The held segment that begins first, TJ_HELD: there is none. */
static uint32_t first_held(const struct tj_control *control)
{
    uint32_t first = TJ_HELD;

    for (uint32_t i = 0; i < control->count; i++)
        if (first == TJ_HELD || (int32_t)(control->held[i].seq - control->held[first].seq) < 0)
            first = i;
    return first;
}

/* It is in order. It was sent no later than what is behind it, and has come already. */
static void take_in_order(struct tj_control *control, struct tj_segment segment, struct tj_segment done[],
                          uint32_t *n)
{
    for (uint32_t i = 0; i < control->count; i++)
        if (control->held[i].number < segment.number)
            segment.number = control->held[i].number;
    control->next = segment.seq + segment.len;
    done[(*n)++] = segment;
}

/* What is held, as far as it goes on without a gap. */
static void drain(struct tj_control *control, struct tj_segment done[], uint32_t *n)
{
    uint32_t first;

    while ((first = first_held(control)) < TJ_HELD) {
        struct tj_segment segment = control->held[first];
        int32_t ahead = (int32_t)(segment.seq - control->next);

        if (ahead > 0)
            return;
        control->held[first] = control->held[--control->count];
        if (ahead == 0)
            take_in_order(control, segment, done, n);
    }
}

/* A segment with data: done[TJ_HELD + 1] gets those that are in order now, *n of them. True: a gap has been
 * given up. */
static bool tj_control_take(struct tj_control *control, const struct nf_packet *p, uint64_t number,
                            struct tj_segment done[], uint32_t *n)
{
    struct tj_segment segment = {.number = number, .seq = nf_packet_seq(p), .len = (uint16_t)tj_payload(p)};
    int32_t ahead = (int32_t)(segment.seq - control->next);
    bool full = control->count == TJ_HELD;

    *n = 0;
    if (ahead < 0) { /* sent again, perhaps with more behind it */
        if (ahead + (int32_t)segment.len <= 0)
            return false;
        segment.files = files_of(p, (uint32_t)-ahead);
        segment.len = (uint16_t)(segment.len + ahead);
        segment.seq = control->next;
    } else {
        segment.files = files_of(p, 0);
    }
    for (uint32_t i = 0; i < control->count; i++)
        if (control->held[i].seq == segment.seq)
            return false;
    if (ahead > (int32_t)FAR)
        return false;
    if (ahead <= 0) {
        take_in_order(control, segment, done, n);
    } else {
        if (full) {
            control->next = control->held[first_held(control)].seq;
            if ((int32_t)(segment.seq - control->next) < 0)
                control->next = segment.seq;
            drain(control, done, n);
        }
        if (segment.seq == control->next)
            take_in_order(control, segment, done, n);
        else if (control->count < TJ_HELD)
            control->held[control->count++] = segment;
    }
    drain(control, done, n);
    return full && ahead > 0;
}

/* One that a peer sent: its lists end where they do, and name files that there are. */
static bool tj_control_is_sound(const struct tj_control *control)
{
    for (uint32_t i = 0; i < control->count && i < TJ_HELD; i++)
        for (uint32_t files = control->held[i].files; files; files >>= TJ_FILE_BITS)
            if (!(files % (1u << TJ_FILE_BITS)))
                return false;
    return control->count <= TJ_HELD;
}

/* ---- hosts ---- */

static const struct tj_host *host_at(const struct tj *tj, uint32_t slot)
{
    return nf_map_value(tj->hosts, slot);
}

static void forget_host(const struct nf *nf, uint32_t slot)
{
    struct tj *tj = nf->state;

    nf_list_remove(nf, tj->order, NF_EDIT(nf, &tj->by_event), slot);
    nf_map_remove(nf, tj->hosts, slot);
}

/* The host, known or not, as the one with the latest event. */
static uint32_t host_of(const struct nf *nf, const struct nf_addr *addr)
{
    struct tj *tj = nf->state;
    uint32_t slot = nf_map_find(tj->hosts, addr);

    if (slot != NF_NONE) {
        nf_list_remove(nf, tj->order, NF_EDIT(nf, &tj->by_event), slot);
    } else {
        if (nf_map_count(tj->hosts) == nf_map_capacity(tj->hosts)) {
            forget_host(nf, nf_list_first(&tj->by_event));
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

    return host_at(tj, nf_list_first(&tj->by_event))->seen + config->remember * NF_SECOND;
}

/* An event of a packet's source: a step, or IRC (0), done by packet `number`. */
static void take_event(const struct nf *nf, const struct nf_packet *p, uint32_t step, uint64_t number,
                       uint64_t now)
{
    const struct tj *tj = nf->state;
    struct nf_addr addr = nf_packet_from(p, p->flags & NF_P_IPV6_READ);
    uint32_t slot = host_of(nf, &addr);
    struct tj_host *host = NF_EDIT_VALUE(nf, struct nf_addr, host_at(tj, slot));
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

static void take_commands(const struct nf *nf, const struct nf_packet *p, const struct nf_session *s,
                          uint64_t number, uint64_t now)
{
    struct tj_control *control = NF_SESSION_EDIT(nf, s, struct tj_control);
    struct tj_segment done[TJ_HELD + 1];
    uint32_t n;

    if (tj_control_take(control, p, number, done, &n))
        nf_count(nf, TJ_GAPS, 1);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t files = done[i].files; files; files >>= TJ_FILE_BITS) {
            nf_count(nf, TJ_FILES, 1);
            take_event(nf, p, STEP_SSH + files % (1u << TJ_FILE_BITS), done[i].number, now);
        }
}

static void take_request(const struct nf *nf, struct nf_packet *p, bool ssh, bool irc, uint64_t number,
                         uint64_t now)
{
    const struct nf_session *s = nf_session_mine(nf, p);

    if (s && !(p->flow & NF_FLOW_AGAIN))
        return; /* sent again */
    if (!s && !(s = nf_session_join(nf, p, now)))
        nf_count(nf, TJ_FLOWS_FULL, !p->drop);
    if (s)
        *NF_SESSION_EDIT(nf, s, struct tj_control) = (struct tj_control){.next = nf_packet_seq(p) + 1};
    if (ssh || irc) {
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

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        uint32_t port = ntohs(p->dport);
        bool irc = port >= config->irc.first && port <= config->irc.last;
        const struct nf_session *s;

        if (!is_looked_at(config, p) || (port != PORT_SSH && port != TJ_PORT_FTP && !irc))
            continue;
        if (nf_tcp_is_request(p->tcp_flags))
            take_request(nf, p, port == PORT_SSH, irc, nf_clock(nf, p), now);
        else if (port == TJ_PORT_FTP && tj_payload(p) && (s = nf_session_mine(nf, p)) != NULL)
            take_commands(nf, p, s, nf_clock(nf, p), now);
    }
}

static void tj_timers(struct nf *nf, uint64_t now)
{
    const struct tj *tj = nf->state;
    unsigned n = 0;

    while (n < DUE && nf_list_first(&tj->by_event) != NF_NONE && first_end(nf) <= now) {
        forget_host(nf, nf_list_first(&tj->by_event));
        n++;
    }
    if (nf_list_first(&tj->by_event) != NF_NONE)
        nf_wake(nf, first_end(nf));
}

/* ---- making, showing, changing ---- */

static uint64_t tj_arena(const void *c)
{
    const struct tj_config *config = c;

    return nf_map_bytes(config->max_hosts, sizeof(struct nf_addr), sizeof(struct tj_host)) +
           nf_lists_bytes(config->max_hosts, 0);
}

static bool tj_make(struct nf *nf)
{
    const struct tj_config *config = nf->config;
    struct tj *tj = nf->state;

    tj->hosts = nf_map_make(nf, config->max_hosts, sizeof(struct nf_addr), sizeof(struct tj_host));
    tj->order = nf_lists_make(nf, config->max_hosts, 0);
    nf_constant(nf, tj, offsetof(struct tj, by_event));
    if (!tj->hosts || !tj->order)
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

static void show_host(const struct nf *nf, struct nf_show *out, uint32_t slot)
{
    const struct tj *tj = nf->state;
    const struct tj_host *host = host_at(tj, slot);
    char text[NF_ADDR_TEXT];

    nf_row(out);
    nf_row_text(out, "host", "%s", nf_addr_text(nf_map_key(tj->hosts, slot), text));
    nf_row_text(out, "step", "%s", host->found ? "trojan" : step_names[host->step]);
    nf_row_u64(out, "last_ns", host->seen);
}

static bool tj_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_show_slots(nf, ((const struct tj *)nf->state)->hosts, 0, out, cursor, show_host);
}

static int tj_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault)
{
    struct tj *tj = nf->state;
    struct nf_addr addr;
    uint32_t slot;

    (void)now;
    if (!key) {
        for (slot = 0; (slot = nf_map_next(tj->hosts, slot)) != NF_NONE; slot++)
            forget_host(nf, slot);
        return FT_OK;
    }
    if (!nf_addr_parse(key, &addr))
        return ft_fail(fault, FT_EINVAL, "%s: expected the address of a host", key);
    slot = nf_map_find(tj->hosts, &addr);
    if (slot == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%s: no such host", key);
    forget_host(nf, slot);
    return FT_OK;
}

/* All of them, once, in order. */
static int check_hosts(const struct nf *nf, struct nf_check *c)
{
    const struct tj *tj = nf->state;
    uint64_t before = 0;
    int n = nf_list_check(c, tj->order, &tj->by_event, nf_map_count(tj->hosts), NULL);

    if (n >= 0 && (uint32_t)n != nf_map_count(tj->hosts))
        return nf_check_failed(c, "%d hosts are in their list, expected %u", n, nf_map_count(tj->hosts));
    for (uint32_t slot = nf_list_first(&tj->by_event); slot != NF_NONE && n >= 0;
         slot = nf_list_next(tj->order, slot)) {
        const struct tj_host *host = host_at(tj, slot);

        nf_check_step(c);
        if (!nf_map_has(tj->hosts, slot) || host->step >= STEPS)
            return nf_check_failed(c,
                                   "host %u has done %u steps, expected one that is there, and less than %u",
                                   slot, host->step, STEPS);
        if (host->seen < before || host->seen > c->time)
            return nf_check_failed(c, "host %u had its last event at %lu, expected %lu to %lu", slot,
                                   host->seen, before, c->time);
        before = host->seen;
    }
    return n < 0 ? n : 0;
}

static int tj_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct nf_session *s;
    int error = check_hosts(nf, c);

    if (error)
        return error;
    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        const struct tj_control *control = nf_session_slot(nf, s);

        nf_check_step(c);
        if (!tj_control_is_sound(control))
            return nf_check_failed(c,
                                   "session %u holds %u segments with files that there are not, expected "
                                   "at most %u, with files",
                                   at, control->count, TJ_HELD);
    }
    return 0;
}

static const struct nf_param tj_params[] = {
    NF_YES_NO(struct tj_config, ipv6, "false", "hosts of IPv6 are looked at as well"),
    NF_NUMBER(struct tj_config, irc, NF_RANGE, 1, 65535, "6660-6669", "ports of IRC", .marks = NF_PARAM_LIVE),
    NF_NUMBER(struct tj_config, max_hosts, NF_U32, 1, 1u << 22, "65536", "hosts with events at most"),
    NF_NUMBER(struct tj_config, remember, NF_SECONDS, 1, NF_TIMEOUT_MAX, "86400",
              "seconds from a host's last event on for which it is known", .marks = NF_PARAM_LIVE),
    NF_MAX_FLOWS_PARAM(struct tj_config, flows, "connections of SSH, FTP and IRC at most"),
    NF_TIMEOUT_PARAM(struct tj_config, flows, "tcp_established", NF_TIMEOUT_TCP_ESTABLISHED, "7440"),
    NF_TIMEOUT_PARAM(struct tj_config, flows, "tcp_transitory", NF_TIMEOUT_TCP_TRANSITORY, "240"),
    NF_TIMEOUT_PARAM(struct tj_config, flows, "tcp_closed", NF_TIMEOUT_TCP_CLOSED, NF_TCP_CLOSED_SECONDS),
    {0},
};

static const struct nf_module tj_module = {
    .name = "trojan",
    .version = 3,
    .summary = "tells of hosts that use SSH, FTP and IRC as a trojan does",
    .reads = NF_READS_PAYLOAD,
    .scope = tj_scope,
    .params = tj_params,
    .config_size = sizeof(struct tj_config),
    .counters = tj_counters,
    .state_size = sizeof(struct tj),
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
    .host_full = TJ_HOST_FULL + 1,
    .flows = tj_flows,
};
NF_MODULE(tj_module)
