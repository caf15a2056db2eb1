/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ips: looks for the contents of rules in the payload of TCP, in its order and across the borders of
 * segments, and in each datagram of UDP. A packet that completes the match of a rule that drops is dropped,
 * and of a connection all that follows, so that nothing of it is sent again unseen.
 * State, written by this instance alone: its slots in sessions (streams, states of automata); pieces and
 * notes; what has become of the rules; the last alerts.
 */
#include "nflib/net/icmp.h"
#include "nfs/ips/ips.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- what is changed of packets of TCP, and what becomes of resets ------------------------------------- */

#define TTL_MIN 64u

/* Many receivers take the byte that is pointed at out of the stream (RFC 6093, 3). */
static void ips_clear_urgent(struct ips_look *look)
{
    struct nf_packet *p = look->p;
    uint8_t *tcp = p->data + p->l4, head[2] = {tcp[12], tcp[13] & (uint8_t)~NF_TCP_URG};

    if (!(p->tcp_flags & NF_TCP_URG))
        return;
    nf_put16_summed(tcp + 12, nf_get16(head), tcp + 16);
    nf_put16_summed(tcp + 18, 0, tcp + 16);
    p->tcp_flags = head[1];
    look->sums[IPS_URGENT]++;
}

/* The reset has ended what ips reads, so it is to end the connection as well, however far its receiver is.
 * Once for a connection: a packet in a routing loop comes to its end. */
static void ips_raise_ttl(struct nf_packet *p)
{
    uint8_t *ip = p->data + p->l3, head[2] = {TTL_MIN, ip[9]};

    if (p->flags & NF_P_IPV6)
        ip[7] = ip[7] < TTL_MIN ? TTL_MIN : ip[7];
    else if (ip[8] < TTL_MIN)
        nf_put16_summed(ip + 8, nf_get16(head), ip + 10);
}

/* A reset or an end that was dropped, or a reset that its receiver does not believe: the connection is not
 * over, and what is known of it is not forgotten soon. Of one that was never open it is. */
static void ips_keep_open(const struct ips_look *look)
{
    const struct nf_session *s = nf_session_mine(look->nf, look->p);
    const struct ips_flow *flow = s ? nf_session_slot(look->nf, s) : NULL;
    bool open;

    if (!flow || !nf_tcp_is_over(nf_session_tcp(s)))
        return;
    open = flow->stream[0].flags & flow->stream[1].flags & NF_STREAM_ANSWERED ||
           (flow->stream[0].flags | flow->stream[1].flags) & NF_STREAM_MIDDLE;
    if (flow->flags & IPS_FLOW_BLOCKED || (open && !nf_stream_is_over(flow->stream)))
        nf_session_stays_open(look->nf, s, look->now);
}

/* ---- what operators see and change --------------------------------------------------------------------- */

static void show_rule(const struct nf *nf, struct nf_show *out, uint32_t i)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    const struct ips_rule *rule = &config->read->rule[i];

    nf_row(out);
    nf_row_text(out, "rule", "%u", rule->sid);
    nf_row_u64(out, "line", rule->line);
    nf_row_text(out, "action", "%s", ips_action_names[ips->live[i].action]);
    nf_row_u64(out, "hits", ips->live[i].hits);
    nf_row_text(out, "msg", "%s", config->read->text + rule->msg);
}

static void row_end(struct nf_show *out, const char *name, const struct ips_alert *alert, unsigned end)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(alert->ipv6 ? AF_INET6 : AF_INET, alert->addr[end] + (alert->ipv6 ? 0 : 12), text,
              sizeof(text));
    nf_row_text(out, name, alert->ipv6 ? "[%s]:%u" : "%s:%u", text, ntohs(alert->port[end]));
}

static void show_alert(const struct nf *nf, struct nf_show *out, const struct ips_alert *alert)
{
    const struct ips_config *config = nf->config;
    uint32_t rule = ips_rules_find(config->read, alert->sid);

    nf_row(out);
    nf_row_text(out, "alert", "%u", alert->sid);
    nf_row_u64(out, "rev", alert->rev);
    nf_row_u64(out, "at_ns", alert->time);
    nf_row_text(out, "action", "%s", ips_action_names[alert->action]);
    nf_row_proto(out, alert->proto);
    row_end(out, "from", alert, 0);
    row_end(out, "to", alert, 1);
    nf_row_text(out, "msg", "%s", rule == NF_NONE ? "" : config->read->text + config->read->rule[rule].msg);
}

/* Rules, then the last alerts, the latest one first. */
static bool ips_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    uint64_t rules = config->read->count, alerts = ips->alerted < ips->alerts ? ips->alerted : ips->alerts;

    for (; *cursor < rules + alerts; *cursor += 1) {
        if (nf_show_full(out))
            return true;
        if (*cursor < rules)
            show_rule(nf, out, (uint32_t)*cursor);
        else
            show_alert(nf, out, &ips->alert[(ips->alerted - 1 - (*cursor - rules)) % ips->alerts]);
    }
    return false;
}

static int ips_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault)
{
    const struct ips_config *config = nf->config;
    struct ips *ips = nf->state;
    uint32_t sid, rule, action = 0;

    if (strncmp(key, "rule.", 5) != 0)
        return nf_sessions_set(nf, key, value, now, fault);
    rule = nf_number_parse(key + 5, 1, UINT32_MAX - 1, &sid) ? ips_rules_find(config->read, sid) : NF_NONE;
    if (rule == NF_NONE)
        return ft_fail(fault, FT_ENOENT, "%.60s: no such rule, expected rule.SID of one in the file", key);
    while (action < IPS_ACTIONS && strcmp(value, ips_action_names[action]) != 0)
        action++;
    if (action == IPS_ACTIONS)
        return ft_fail(fault, FT_EINVAL, "%s=%s: expected off, alert, drop or reject", key, value);
    NF_EDIT(nf, &ips->live[rule])->action = action;
    return FT_OK;
}

static const char *const ips_counters[] = {IPS_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- rejecting ----------------------------------------------------------------------------------------- */

/* Both ends are notified, of TCP by a reset to each, of UDP by an ICMP error to the sender, under the
 * addresses by which they know each other, also where another NF translates: those of the session's keys. */

#define PORT_UNREACHABLE      3u /* codes of unreachable */
#define PORT_UNREACHABLE_IPV6 4u
#define HEAD_MAX              (14u + 8) /* Ethernet, with two tags */
#define RESET_MAX             (HEAD_MAX + 40 + 20)

/* A reset to the end that has `key`: of packets that come in from it. */
struct reset {
    const struct nf_tuple *key;
    struct nf_addresses addresses; /* of IPv6, of the same packets */
    uint32_t seq, ack;
    uint8_t flags;
};

/* The IP header and TCP's, from the end that packets with the key go to. Its length. */
static uint32_t write_reset(const struct reset *r, uint8_t *ip)
{
    uint32_t n = r->key->ipv6 ? 40 : 20;
    uint8_t *tcp = ip + n;

    memset(ip, 0, n + 20);
    nf_put16(tcp, r->key->dport);
    nf_put16(tcp + 2, r->key->sport);
    nf_put32(tcp + 4, htonl(r->seq));
    nf_put32(tcp + 8, htonl(r->ack));
    tcp[12] = 5 << 4;
    tcp[13] = r->flags;
    if (r->key->ipv6) {
        ip[0] = 6 << 4;
        ip[5] = 20;
        ip[6] = NF_PROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, r->addresses.destination, 16);
        memcpy(ip + 24, r->addresses.source, 16);
        nf_put16(tcp + 16, nf_ipv6_checksum(ip + 8, NF_PROTO_TCP, tcp, 20));
        return n + 20;
    }
    ip[0] = 0x45;
    ip[3] = 40;
    ip[6] = 0x40; /* never fragmented */
    ip[8] = 64;
    ip[9] = NF_PROTO_TCP;
    nf_put32(ip + 12, r->key->daddr);
    nf_put32(ip + 16, r->key->saddr);
    nf_put16(ip + 10, nf_checksum(ip, 20));
    nf_put16(tcp + 16, nf_ipv4_checksum(ip + 12, NF_PROTO_TCP, tcp, 20));
    return n + 20;
}

/* `frame` has room for the packet's head, and the IP packet behind it. The chain's L3, if there is one, puts
 * MAC addresses and port in. */
static void emit(const struct ips_look *look, uint8_t *frame, uint32_t len, bool back)
{
    const struct nf_packet *p = look->p;

    memcpy(frame, p->data, p->l3);
    nf_put16(frame + p->l3 - 2,
             htons(frame[p->l3] >> 4 == 6 ? 0x86dd : 0x0800)); /* it may not be the packet's */
    if (back)
        nf_packet_macs_back(p, frame);
    nf_emit(look->nf, back ? p->in_port : p->in_port ^ 1, frame, p->l3 + len);
}

static void reset_end(const struct ips_look *look, bool back, uint32_t seq, uint32_t ack)
{
    const struct nf_session *s = look->session;
    unsigned which = look->reply == back; /* the first packet's sender has key 0 */
    struct reset r = {.key = &s->key[which], .seq = seq, .ack = ack};
    uint8_t frame[RESET_MAX];

    r.flags = NF_TCP_RST | (back ? NF_TCP_ACK : 0);
    if (r.key->ipv6)
        nf_session_key_ipv6(look->nf, s, which, &r.addresses);
    emit(look, frame, write_reset(&r, frame + look->p->l3), back);
}

/* The reset to the sender acknowledges the whole segment, SYN and FIN counted, and has the number that the
 * segment acknowledges, or 0 (RFC 9293, 3.10.7.1). */
static void reject_segment(const struct ips_look *look)
{
    const struct nf_packet *p = look->p;
    uint32_t len;

    nf_packet_payload(p, &len);
    len += ((p->tcp_flags & NF_TCP_SYN) != 0) + ((p->tcp_flags & NF_TCP_FIN) != 0);
    reset_end(look, true, p->tcp_flags & NF_TCP_ACK ? nf_packet_ack(p) : 0, nf_packet_seq(p) + len);
    if (!(nf_session_flags(look->session) & NF_SESSION_NEW)) /* the other end's key is known */
        reset_end(look, false, look->next, 0);
}

/* None is sent where an NF in front of this one has translated the packet, since its sender would not know
 * it, or beyond the allowance of its side. */
static void reject_datagram(const struct ips_look *look)
{
    const struct nf_packet *p = look->p;
    const struct ips *ips = look->nf->state;
    const struct nf_tuple *key = &look->session->key[look->reply];
    uint64_t paid = nf_icmp_pay(ips->errors_paid[p->side], look->now);
    uint8_t error[NF_ICMPV6_ERROR_MAX], frame[8 + NF_ICMPV6_ERROR_MAX];
    struct nf_addresses addresses;
    uint32_t len = 0;

    if (!paid || key->sport != p->sport || key->dport != p->dport)
        return;
    if (p->flags & NF_P_IPV6) {
        const uint8_t *ends = nf_packet_ipv6_addresses(p);

        nf_session_key_ipv6(look->nf, look->session, look->reply, &addresses);
        if (memcmp(&addresses, ends, sizeof(addresses)) == 0)
            len = nf_icmpv6_error(p, NF_ICMPV6_UNREACHABLE, PORT_UNREACHABLE_IPV6, 0, ends + 16, error);
    } else if (key->saddr == p->saddr && key->daddr == p->daddr) {
        len = nf_icmp_error(p, NF_ICMP_UNREACHABLE, PORT_UNREACHABLE, 0, p->daddr, error);
    }
    if (!len)
        return;
    *NF_EDIT(look->nf, &ips->errors_paid[p->side]) = paid;
    memcpy(frame + p->l3, error + 14, len - 14);
    emit(look, frame, len - 14, true);
}

/* Notifies the ends of the packet that it is dropped, unless it came from, or went to, what is no single host
 * (RFC 1122, 3.2.2; RFC 4443, 2.4). */
static void ips_reject(const struct ips_look *look)
{
    if (look->p->l3 > HEAD_MAX || !nf_packet_may_answer(look->p))
        return;
    if (look->p->proto == NF_PROTO_TCP)
        reject_segment(look);
    else
        reject_datagram(look);
}

/* ---- flows ---------------------------------------------------------------------------------------- */

static void renew_direction(struct nf *nf, struct ips_flow *flow, bool reply)
{
    ips_notes_release(nf, flow, reply);
    memset(flow->state[reply], 0, sizeof(flow->state[reply]));
}

/* The automata are others than when the flow was looked at last: it begins anew at their beginning. */
static void renew(struct nf *nf, struct ips_flow *flow)
{
    const struct ips *ips = nf->state;

    for (unsigned i = 0; i < 2; i++)
        renew_direction(nf, flow, i);
    flow->generation = ips->generation;
}

/* To write to; NULL: the table is full. */
static struct ips_flow *find_flow(struct ips_look *look)
{
    struct nf *nf = look->nf;
    const struct ips *ips = nf->state;
    struct ips_flow *flow;

    look->session = nf_session_mine(nf, look->p);
    if (!look->session) {
        look->session = nf_session_join(nf, look->p, look->now);
        if (!look->session)
            return NULL;
        look->sums[IPS_CREATED]++;
        flow = NF_SESSION_EDIT(nf, look->session, struct ips_flow);
        flow->generation = ips->generation;
    } else {
        flow = NF_SESSION_EDIT(nf, look->session, struct ips_flow);
        if (flow->generation != ips->generation)
            renew(nf, flow);
        if (look->p->proto == NF_PROTO_TCP && nf_tcp_is_request(look->p->tcp_flags) &&
            nf_stream_is_over(flow->stream)) {
            nf_stream_renew(nf, ips->streams, flow->stream);
            renew(nf, flow);
            flow->flags = 0;
        }
    }
    look->reply = look->p->flow & NF_FLOW_REPLY;
    flow->flags |= look->reply ? IPS_FLOW_ANSWERED : 0;
    return flow;
}

/* ---- payload -------------------------------------------------------------------------------------- */

static void read_bytes(void *arg, const struct nf_stream_bytes *bytes)
{
    struct ips_look *look = arg;

    look->bytes += bytes->len;
    if (ft_unlikely(look->bytes > IPS_STEPS_BYTES)) {
        look->bytes = bytes->len;
        look->steps = 0;
    }
    if (bytes->at == 0) /* of another stream was what came before */
        renew_direction(look->nf, look->flow, bytes->reply);
    if (!look->verdict)
        ips_look_through(look, bytes);
}

/* What was not taken is dropped: its sender sends it again. */
static void take_segment(struct ips_look *look)
{
    static const uint8_t reasons[] = {[NF_STREAM_DIFFERS] = IPS_DIFFERS, [NF_STREAM_UNSEEN] = IPS_UNSEEN,
                                      [NF_STREAM_FULL] = IPS_FULL,       [NF_STREAM_OUTSIDE] = IPS_OUTSIDE,
                                      [NF_STREAM_UNKNOWN] = IPS_UNKNOWN, [NF_STREAM_WRONG] = IPS_INVALID};
    const struct nf_stream_reader reader = {.read = read_bytes, .arg = look};
    struct ips *ips = look->nf->state;
    struct nf_stream *s = &look->flow->stream[look->reply];
    bool known = s->flags & NF_STREAM_KNOWN, was = s->flags & NF_STREAM_RESET;
    enum nf_stream_taken taken;

    ips_clear_urgent(look);
    look->next = known ? s->next : nf_packet_seq(look->p);
    taken = nf_stream_take(look->nf, ips->streams, look->flow->stream, look->p, look->reply, &reader);
    look->sums[IPS_MIDSTREAM] += !known && s->flags & NF_STREAM_MIDDLE;
    look->sums[IPS_KEPT] += taken == NF_STREAM_KEPT;
    look->sums[IPS_OLD] += taken == NF_STREAM_OLD;
    if (known && !was && s->flags & NF_STREAM_RESET)
        ips_raise_ttl(look->p);
    if (taken >= NF_STREAM_DIFFERS && !look->verdict)
        nf_drop(look->nf, look->p, reasons[taken]);
}

static void take_datagram(struct ips_look *look)
{
    struct nf_stream_bytes bytes = {.reply = look->reply};

    bytes.bytes = nf_packet_payload(look->p, &bytes.len);
    ips_look_through(look, &bytes);
    renew_direction(look->nf, look->flow, look->reply);
}

static void inspect(struct ips_look *look)
{
    const struct ips *ips = look->nf->state;
    struct nf_packet *p = look->p;
    bool ipv6 = p->flags & NF_P_IPV6;

    look->sums[IPS_PACKETS]++;
    look->flow = find_flow(look);
    if (!look->flow) {
        nf_drop(look->nf, p, nf_session_host_full(look->nf, p) ? IPS_HOST_FULL : IPS_TABLE_FULL);
        return;
    }
    if (look->flow->flags & IPS_FLOW_BLOCKED) {
        nf_stream_follow(look->flow->stream, p, look->reply);
        nf_drop(look->nf, p, IPS_BLOCKED);
        return;
    }
    look->ends = (struct ips_ends){{nf_packet_from(p, ipv6), nf_packet_to(p, ipv6)}, {p->sport, p->dport}};
    if (p->proto == NF_PROTO_TCP)
        take_segment(look);
    else
        take_datagram(look);
    if (!look->verdict)
        return;
    if (p->proto == NF_PROTO_TCP) {
        look->flow->flags |= IPS_FLOW_BLOCKED;
        nf_stream_release(look->nf, ips->streams, look->flow->stream);
    }
    if (look->verdict == IPS_REJECT) {
        ips_reject(look);
        look->flow->stream[0].flags |= NF_STREAM_RESET;
        look->flow->stream[1].flags |= NF_STREAM_RESET;
    }
    if (look->full)
        nf_drop(look->nf, p, look->full);
    else
        nf_drop(look->nf, p, look->verdict == IPS_REJECT ? IPS_REJECTED : IPS_DROPPED);
}

/* ---- packets -------------------------------------------------------------------------------------- */

static bool breaks_format(const struct nf_packet *p)
{
    if (p->flags & NF_P_BAD)
        return true;
    if (p->flags & NF_P_IPV6)
        return !(p->flags & NF_P_IPV6_READ) || nf_ipv6_is_extension(p->proto);
    return false;
}

static void look_at(struct ips_look *look)
{
    const struct ips_config *config = look->nf->config;
    struct nf *nf = look->nf;
    struct nf_packet *p = look->p;

    if (p->flags & NF_P_BAD && p->bad == NF_BAD_CHECKSUM) {
        nf_drop(nf, p, IPS_IP_CHECKSUM);
    } else if (breaks_format(p)) {
        nf_drop(nf, p, IPS_MALFORMED);
    } else if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6 | NF_P_ARP))) {
        nf_drop_or_pass(nf, p, config->unsupported, IPS_UNSUPPORTED);
    } else if (p->proto != NF_PROTO_TCP && p->proto != NF_PROTO_UDP) {
        look->sums[IPS_OTHER]++;
    } else if (p->flags & NF_P_FRAGMENT) {
        nf_drop_or_pass(nf, p, config->fragments, IPS_FRAGMENTS);
    } else if (!(p->flags & NF_P_L4)) {
        nf_drop(nf, p, IPS_MALFORMED);
    } else if (config->checksums && !nf_packet_checksum_right(p)) {
        nf_drop(nf, p, IPS_CHECKSUM);
    } else {
        inspect(look);
    }
}

static void ips_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    uint64_t sums[IPS_COUNTERS_COUNT] = {0};

    for (uint32_t i = 0; i < n; i++) {
        struct ips_look look = {.nf = nf, .p = packets[i], .now = now, .sums = sums};

        look_at(&look);
        if (ft_unlikely(packets[i]->tcp_flags & NF_TCP_RST ||
                        (packets[i]->tcp_flags & NF_TCP_FIN && packets[i]->drop)))
            ips_keep_open(&look);
    }
    nf_count_all(nf, sums, IPS_COUNTERS_COUNT);
}

static void ips_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    struct ips *ips = nf->state;
    struct ips_flow *flow = NF_SESSION_EDIT(nf, s, struct ips_flow);

    (void)why;
    (void)now;
    nf_stream_release(nf, ips->streams, flow->stream);
    for (unsigned i = 0; i < 2; i++)
        ips_notes_release(nf, flow, i);
}

/* ---- making --------------------------------------------------------------------------------------- */

static int ips_check(void *c, struct ft_fault *fault)
{
    struct ips_config *config = c;

    return ips_rules_read(&config->read, &config->rules, fault);
}

static void ips_release(void *c)
{
    struct ips_config *config = c;

    ips_rules_free(config->read);
}

static uint64_t ips_arena(const void *c)
{
    const struct ips_config *config = c;

    return nf_streams_bytes(&config->streams) + nf_lists_bytes(config->max_notes, sizeof(struct ips_note)) +
           IPS_RULES_MAX * sizeof(struct ips_live) + config->alerts * sizeof(struct ips_alert) + 4 * FT_LINE;
}

static uint64_t ips_shared(const void *c, unsigned lanes)
{
    (void)lanes;
    return ips_tracks_bytes(((const struct ips_config *)c)->max_tracked);
}

static bool ips_make(struct nf *nf)
{
    const struct ips_config *config = nf->config;
    struct ips *ips = nf->state;

    ips->streams = nf_streams_make(nf, &config->streams);
    ips->notes = nf_lists_make(nf, config->max_notes, sizeof(struct ips_note));
    ips->tracks = ips_tracks_make(nf, config->max_tracked);
    ips->live = ft_arena_alloc(nf->arena, IPS_RULES_MAX * sizeof(*ips->live));
    ips->alert = ft_arena_alloc(nf->arena, config->alerts * sizeof(*ips->alert));
    ips->alerts = config->alerts;
    nf_constant(nf, ips, offsetof(struct ips, alerted));
    if (!ips->streams || !ips->notes || !ips->tracks || !ips->live || !ips->alert)
        return false;
    nf_table_add_lists(nf, "notes", ips->notes);
    for (uint32_t i = 0; i < config->read->count; i++)
        ips->live[i] =
            (struct ips_live){.sid = config->read->rule[i].sid, .action = config->read->rule[i].action};
    return true;
}

static void ips_flows(const void *config, struct nf_flows_config *flows)
{
    *flows = ((const struct ips_config *)config)->flows;
    nf_flows_limit_host(flows, flows->max_flows);
}

static bool ips_joins_ipv6(const void *config)
{
    (void)config;
    return true;
}

/* A stream that is under way goes on with the rules as they are now, from their automata's beginning. A rule
 * of both keeps its hits, and what an operator has set it to, unless the file gives it another action now. */
static bool ips_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault)
{
    const struct ips_config *from = was->config, *to = nf->config;
    const struct ips *before = was->state;
    struct ips *ips = nf->state;
    const struct ips_live *live = nf_was_at(was, before->live);

    if (!was->same) {
        ft_fail(fault, FT_EINVAL, "ips: its state would lie in memory in another way");
        return false;
    }
    if (from->rules.len == to->rules.len && memcmp(from->rules.bytes, to->rules.bytes, to->rules.len) == 0)
        return true;
    ips->generation++;
    memset(ips->live, 0, IPS_RULES_MAX * sizeof(*ips->live));
    for (uint32_t i = 0; i < to->read->count; i++) {
        const struct ips_rule *rule = &to->read->rule[i];
        uint32_t old = ips_rules_find(from->read, rule->sid);

        ips->live[i] = (struct ips_live){.sid = rule->sid, .action = rule->action};
        if (old == NF_NONE)
            continue;
        ips->live[i].hits = live[old].hits;
        if (from->read->rule[old].action == rule->action)
            ips->live[i].action = live[old].action;
    }
    return true;
}

static int ips_check_state(const struct nf *nf, struct nf_check *c)
{
    const struct ips_config *config = nf->config;
    const struct ips *ips = nf->state;
    const struct nf_session *s;
    int error = nf_streams_check(nf, c, ips->streams, offsetof(struct ips_flow, stream));

    if (!error)
        error = ips_notes_check(nf, c);
    for (uint32_t i = 0; i < IPS_RULES_MAX && !error; i++) {
        const struct ips_live *live = &ips->live[i];
        uint32_t sid = i < config->read->count ? config->read->rule[i].sid : 0;

        nf_check_step(c);
        if (live->sid != sid || live->action >= IPS_ACTIONS || (!sid && (live->action || live->hits)))
            error = nf_check_failed(c, "rule %u is of sid %u and has action %u, expected %u and at most %u",
                                    i, live->sid, live->action, sid, IPS_ACTIONS - 1);
    }
    for (uint32_t i = 0; i < ips->alerts && !error; i++)
        if (ips->alert[i].action >= IPS_ACTIONS)
            error = nf_check_failed(c, "alert %u has action %u, expected at most %u", i, ips->alert[i].action,
                                    IPS_ACTIONS - 1);
    for (uint32_t n = 0; !error && (s = nf_sessions_next(nf, &n)) != NULL; n++) {
        const struct ips_flow *flow = nf_session_slot(nf, s);

        for (unsigned i = 0; i < 4 && flow->generation == ips->generation; i++)
            if (flow->state[i / 2][i % 2] &&
                flow->state[i / 2][i % 2] >= config->read->automaton[i % 2].states)
                return nf_check_failed(c, "an automaton is in state %u, expected one below %u",
                                       flow->state[i / 2][i % 2], config->read->automaton[i % 2].states);
    }
    return error;
}

/* ---- the module ----------------------------------------------------------------------------------- */

static bool ips_unsummed(const void *config)
{
    return !((const struct ips_config *)config)->checksums;
}

static const struct nf_param ips_params[] = {
    NF_PARAM(struct ips_config, rules, NF_FILE, NULL, "file of rules, one a line, in a subset of Snort's",
             .marks = NF_PARAM_LIVE),
    NF_MAX_FLOWS_PARAM(struct ips_config, flows, "flows at most"),
    NF_MAX_FLOWS_PER_HOST_PARAM(struct ips_config, flows),
    NF_TCP_UDP_PARAMS(struct ips_config, flows),
    NF_STREAMS_PARAMS(struct ips_config, streams),
    NF_NUMBER(struct ips_config, max_notes, NF_U32, 1, 1u << 20, "4096",
              "contents of rules with several that have been found in flows, at most"),
    NF_NUMBER(struct ips_config, max_tracked, NF_U32, 1, 1u << 20, "16384",
              "hosts that rules with a threshold count matches of, of all lanes, a rule each, at most"),
    NF_NUMBER(struct ips_config, alerts, NF_U32, 1, 65536, "256", "last alerts that are kept to be shown"),
    NF_YES_NO(struct ips_config, checksums, "true",
              "what has a wrong checksum of IPv4, TCP or UDP is dropped, as its receiver would",
              .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct ips_config, fragments, nf_policy_names, "drop",
              "what is done with fragments of IP, which are not looked into", .marks = NF_PARAM_LIVE),
    NF_ONE_OF(
        struct ips_config, unsupported, nf_policy_names, "pass",
        "what is done with frames that are neither IP nor ARP as far as can be read: three tags of VLAN, "
        "PPPoE, MPLS",
        .marks = NF_PARAM_LIVE),
    {0},
};

static const struct nf_module ips_module = {
    .name = "ips",
    .version = 3,
    .summary = "looks for signatures in reassembled streams, by rules in a subset of Snort's",
    .reads = NF_READS_PAYLOAD,
    .params = ips_params,
    .config_size = sizeof(struct ips_config),
    .state_size = sizeof(struct ips),
    .counters = ips_counters,
    .check = ips_check,
    .release = ips_release,
    .arena = ips_arena,
    .shared = ips_shared,
    .make = ips_make,
    .process = ips_process,
    .show = ips_show,
    .set = ips_set,
    .clear = nf_sessions_clear_all, /* flows begin anew, blocked ones as well; alerts and hits stay */
    .check_state = ips_check_state,
    .session_size = sizeof(struct ips_flow),
    .flows = ips_flows,
    .ipv6 = ips_joins_ipv6,
    .unsummed = ips_unsummed,
    .session_end = ips_session_end,
    .settings = "rule.SID",
    .carry = ips_carry,
};
NF_MODULE(ips_module)
