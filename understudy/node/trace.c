/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: what the chain does to the next packets that match, NF by NF. The asker's side of struct nf_trace,
 * the main thread's. The filter comes as instructions of the classic packet filter: the client compiles it,
 * since it may wait for the names in it, and libpcap checks the instructions here.
 */
#include "understudy/node/running.h"
#include "ftcore/base/clock.h"
#include "nflib/chain/taken.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <pcap/pcap.h>
#include <stdlib.h>

#define LANE_MS     2000 /* until a lane has finished its burst */
#define SECONDS_MAX 60
#define PACKET_TEXT 460u /* bytes of a packet's answer beside its steps and frames, at most */
#define STEP_TEXT   250u
#define SNAP_MIN    64u /* headers, however many NFs there are */

static bool is_primary(struct nd_running *r)
{
    struct rp_status s;

    rp_status(r->replicator, &s);
    return ft_core_primary(&s.core);
}

struct nd_trace_filter {
    int count;
    struct bpf_insn insn[];
};

static bool matches(const void *arg, const uint8_t *frame, uint32_t len, uint32_t have)
{
    const struct nd_trace_filter *f = arg;

    return bpf_filter(f->insn, frame, len, have) != 0;
}

static bool read_instruction(const json_t *from, struct bpf_insn *out)
{
    json_int_t code, jt, jf, k;

    if (json_unpack((json_t *)(uintptr_t)from, "[I,I,I,I!]", &code, &jt, &jf, &k) != 0 || code < 0 ||
        code > UINT16_MAX || jt < 0 || jt > UINT8_MAX || jf < 0 || jf > UINT8_MAX || k < 0 || k > UINT32_MAX)
        return false;
    *out = (struct bpf_insn){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, (uint32_t)k};
    return true;
}

/* NULL: it is no filter, or there is no memory. */
static struct nd_trace_filter *read_filter(const json_t *from)
{
    size_t n = json_array_size(from);
    struct nd_trace_filter *f = n ? malloc(sizeof(*f) + n * sizeof(f->insn[0])) : NULL;

    if (!f)
        return NULL;
    f->count = (int)n;
    /* libpcap's check lets a jump whose distance wraps go back, so that a filter need not end. */
    for (size_t i = 0; i < n; i++)
        if (!read_instruction(json_array_get(from, i), &f->insn[i]) ||
            (f->insn[i].code == (BPF_JMP | BPF_JA) && f->insn[i].k >= ((uint32_t)(n - 1 - i)))) {
            free(f);
            return NULL;
        }
    if (bpf_validate(f->insn, f->count))
        return f;
    free(f);
    return NULL;
}

/* "10.0.0.5:4000", "[2001:db8::5]:4000", without the port where there are none, NULL where it is no IP. */
static json_t *end_text(const struct nf_traced *t, const struct nf_trace_ends *e, bool source)
{
    bool ipv6 = e->flags & NF_P_IPV6_READ;
    bool ports = e->flags & NF_P_L4 && t->proto != NF_PROTO_ICMP && t->proto != NF_PROTO_ICMPV6;
    uint16_t port = source ? e->sport : e->dport;
    char text[INET6_ADDRSTRLEN];

    if (!ipv6 && !(e->flags & NF_P_IPV4))
        return json_null();
    if (ipv6)
        inet_ntop(AF_INET6, e->ipv6 + (source ? 0 : 16), text, sizeof(text));
    else
        inet_ntop(AF_INET, source ? &e->saddr : &e->daddr, text, sizeof(text));
    if (!ports)
        return json_string(text);
    return json_sprintf(ipv6 ? "[%s]:%u" : "%s:%u", text, ntohs(port));
}

static bool is_taken_in(const struct nf_traced *t, unsigned i)
{
    return t->step[i].module && nf_l3_takes_in(t->step[i].drop, t->step[i].nf);
}

static json_t *step_object(const struct nf_traced *t, unsigned i)
{
    bool sessions = t->step[i].nf == NF_DROP_SESSIONS;
    const struct nf_module *module = t->step[i].module;
    const struct nf_trace_ends *e = &t->step[i].ends;
    unsigned drop = t->step[i].drop;
    bool taken = is_taken_in(t, i);

    return json_pack("{s:s, s:o, s:o, s:s?, s:s*, s:s*}", "nf",
                     sessions ? "sessions"
                     : module ? module->name
                              : "l3",
                     "source", end_text(t, e, true), "destination", end_text(t, e, false), "drop",
                     drop == 0 || taken           ? NULL
                     : module && module->counters ? module->counters[drop - 1]
                     : sessions                   ? nf_sessions_drop_text(drop)
                                                  : "dropped",
                     "taken_in", taken ? module->counters[drop - 1] : NULL, "why",
                     drop && t->why[0] ? t->why : NULL);
}

static const char *port_name(const struct nd_running *r, unsigned port)
{
    return nd_interface_name(r->config, port);
}

/* {"bytes": N, "base64": "…"}, NULL: there is no frame. */
static json_t *frame_object(const struct nf_traced_frame *f)
{
    unsigned char text[(NF_TRACE_FRAME + 2) / 3 * 4 + 1];

    if (!f->len)
        return NULL;
    EVP_EncodeBlock(text, f->bytes, (int)f->have);
    return json_pack("{s:i, s:s}", "bytes", (int)f->len, "base64", (const char *)text);
}

static json_t *packet_object(const struct nd_running *r, uint32_t i, json_int_t clock)
{
    const struct nf_traced *t = &r->answers.trace.packet[i];
    json_t *steps = json_array(), *o;

    for (unsigned s = 0; s < t->steps; s++)
        json_array_append_new(steps, step_object(t, s));
    o = json_pack("{s:I, s:i, s:I, s:I, s:s, s:i, s:i, s:o, s:o, s:o, s:s, s:s}", "time_ns",
                  (json_int_t)t->time + clock, "lane", t->lane, "burst", (json_int_t)t->burst, "input",
                  (json_int_t)t->seq, "in", port_name(r, t->in_port), "bytes", (int)t->len, "protocol",
                  (int)t->proto, "source", end_text(t, &t->ends, true), "destination",
                  end_text(t, &t->ends, false), "steps", steps, "outcome",
                  !t->steps || !t->step[t->steps - 1].drop ? (t->local ? "answered" : "passed")
                  : is_taken_in(t, t->steps - 1u)          ? "taken in"
                                                           : "dropped",
                  "out", port_name(r, t->out_port));
    if (r->answers.trace.snap) {
        json_object_set_new(o, "frame_in", frame_object(&r->answers.trace.in[i]));
        json_object_set_new(o, "frame_out", frame_object(&r->answers.trace.out[i]));
    }
    return o;
}

static json_t *trace_object(const struct nd_running *r, uint32_t count)
{
    json_t *packets = json_array(), *ports = json_array();
    /* What to add to a monotonic time; one for all, so that the order of times stays. */
    json_int_t clock = (json_int_t)(ft_wall() - ft_now());

    for (unsigned p = 0; p < r->ports.io.ports; p++)
        json_array_append_new(ports, json_string(port_name(r, p)));
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(packets, packet_object(r, i, clock));
    return json_pack("{s:o, s:o}", "ports", ports, "packets", packets);
}

/* Of `asked` bytes a frame, what an answer of that many packets has room for: base64, of two frames each. */
static uint32_t limit_snap(const struct nd_running *r, uint32_t packets, json_int_t asked)
{
    uint32_t each = (ND_ANSWER_MAX - 1024) / packets;
    uint32_t text = PACKET_TEXT + (r->config->chain.count + 2u) * STEP_TEXT;
    uint32_t most = each > text ? (each - text) / 2 / 4 * 3 : 0;

    most = most < SNAP_MIN ? SNAP_MIN : most > NF_TRACE_FRAME ? NF_TRACE_FRAME : most;
    return asked < (json_int_t)most ? (uint32_t)asked : most;
}

static json_t *begin_trace(struct nd_running *r, const json_t *request, double *seconds)
{
    const json_t *filter = json_object_get(request, "filter");
    json_int_t packets = json_integer_value(json_object_get(request, "packets"));
    json_int_t snap = json_integer_value(json_object_get(request, "frame_bytes")); /* absent: 0 */
    struct nd_trace_filter *read = NULL;

    *seconds = json_number_value(json_object_get(request, "seconds"));
    if (packets < 1 || packets > (json_int_t)NF_TRACE_MAX || !(*seconds > 0 && *seconds <= SECONDS_MAX))
        return nd_refuse("invalid", "trace: expected 1 to %u packets, and more than 0 and at most %u seconds",
                         NF_TRACE_MAX, SECONDS_MAX);
    if (snap < 0)
        return nd_refuse("invalid", "trace: expected 0 bytes of a frame or more");
    if (filter && !(read = read_filter(filter)))
        return nd_refuse("invalid", "trace: the filter is no valid program of the packet filter");
    if (!nf_trace_begin(&r->answers.trace, (uint32_t)packets, limit_snap(r, (uint32_t)packets, snap),
                        read ? matches : NULL, read)) {
        free(read);
        return nd_refuse("busy", "a lane is still at an earlier trace: ask again");
    }
    free(r->answers.trace_filter);
    r->answers.trace_filter = read;
    return NULL;
}

bool nd_answer_trace(struct nd_running *r, struct nd_exchange *x, struct nd_work *w)
{
    json_t *refusal;
    uint32_t count;
    double seconds;

    if (!w->begun) {
        if (!is_primary(r))
            return nd_refused(x, "busy", "it is not primary, no packet passes its chain");
        refusal = begin_trace(r, x->request, &seconds);
        if (refusal)
            return nd_answered(x, refusal);
        w->begun = true;
        w->until = ft_now() + (uint64_t)(seconds * 1e9);
        return false;
    }
    if (!nf_trace_whole(&r->answers.trace) && ft_now() < w->until && is_primary(r))
        return false;
    nf_trace_end(&r->answers.trace);
    if (!nf_trace_over(&r->answers.trace, &count))
        return ft_now() > w->until + LANE_MS * FT_MS &&
               nd_refused(x, "busy", "a lane does not finish its burst");
    return nd_answered(x, trace_object(r, count));
}
