/* SPDX-License-Identifier: Apache-2.0 */
/* What replay --log tells: what was executed, the last inputs and what became of them, the chain's counters.
 */
#include "nflib/chain/chain.h"
#include "node/control/options.h"
#include "node/control/pair.h"
#include "tools/replay/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000ul

static const struct nf *nf_at(const struct nd_log *log, unsigned index)
{
    return index ? nf_chain_nf(log->lane[0].chain, index) : nf_chain_find(log->lane[0].chain, "l3");
}

static const char *port_name(const struct nd_log *log, unsigned port)
{
    const struct nf_l3_config *l3 = log->config->chain.l3;

    return l3 && port < l3->ports ? l3->port[port].name : port == 0 ? "inside" : "outside";
}

/* "tcp 10.0.0.1:80 > 10.0.0.2:1234", or what the frame is. */
static const char *format_flow(const struct nf_packet *p, char out[96])
{
    char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN], proto[16];

    if (!(p->flags & NF_P_IPV4)) {
        snprintf(out, 96, "%s", p->flags & NF_P_ARP ? "arp" : p->flags & NF_P_IPV6 ? "ipv6" : "other");
        return out;
    }
    inet_ntop(AF_INET, &p->saddr, from, sizeof(from));
    inet_ntop(AF_INET, &p->daddr, to, sizeof(to));
    snprintf(proto, sizeof(proto),
             p->proto == 6    ? "tcp"
             : p->proto == 17 ? "udp"
             : p->proto == 1  ? "icmp"
                              : "ip %u",
             p->proto);
    if (p->flags & NF_P_L4)
        snprintf(out, 96, "%s %s:%u > %s:%u", proto, from, ntohs(p->sport), to, ntohs(p->dport));
    else
        snprintf(out, 96, "%s %s > %s", proto, from, to);
    return out;
}

/* "dropped by firewall: denied", or the port it left by. */
static const char *format_verdict(const struct nd_log *log, const struct nf_packet *p, char out[96])
{
    const struct nf *nf = nf_at(log, p->drop_nf);

    if (p->drop)
        snprintf(out, 96, "dropped by %s: %s", nf && nf->module ? nf->module->name : "?",
                 nf && nf->module && nf->module->counters ? nf->module->counters[p->drop - 1] : "?");
    else
        snprintf(out, 96, "%s", port_name(log, p->out_port));
    return out;
}

/* ---- of several lanes -------------------------------------------------------------------------- */

static uint64_t sum_counter(const struct nd_log *log, const char *name, unsigned index)
{
    uint64_t sum = 0;

    for (unsigned l = 0; l < log->lanes; l++)
        sum += nf_chain_find(log->lane[l].chain, name)->counters[index];
    return sum;
}

static struct nd_log_lane sum_of(const struct nd_log *log)
{
    struct nd_log_lane sum = {.digests = log->of_lane[0].digests}; /* each of all lanes together */

    for (unsigned l = 0; l < log->lanes; l++) {
        sum.inputs += log->of_lane[l].inputs;
        sum.dropped += log->of_lane[l].dropped;
        sum.outputs += log->of_lane[l].outputs;
        sum.bursts += log->of_lane[l].bursts;
    }
    return sum;
}

/* The lane that --until names, or the first. */
static unsigned named_lane(const struct nd_log *log)
{
    return log->options->until ? (unsigned)log->options->until_lane : 0;
}

/*
 * The last inputs, oldest first: of the lane that --until names, or of all, by time. How many; pointers in
 * `out`.
 */
static unsigned last_inputs(const struct nd_log *log, const struct nd_log_input *out[ND_LOG_LAST])
{
    uint64_t left[FT_LANES_MAX], oldest;
    unsigned n = 0, at;

    for (unsigned l = 0; l < log->lanes; l++)
        left[l] = log->options->until && l != named_lane(log) ? 0 : log->of_lane[l].inputs;
    for (; n < ND_LOG_LAST; n++) {
        const struct nd_log_input *newest = NULL;

        for (unsigned l = at = 0; l < log->lanes; l++) {
            oldest = log->of_lane[l].inputs > ND_LOG_LAST ? log->of_lane[l].inputs - ND_LOG_LAST : 0;
            if (left[l] <= oldest)
                continue;
            const struct nd_log_input *one = &log->of_lane[l].last[(left[l] - 1) % ND_LOG_LAST];

            if (!newest || one->time > newest->time) {
                newest = one;
                at = l;
            }
        }
        if (!newest)
            break;
        left[at]--;
        out[n] = newest;
    }
    for (unsigned i = 0; i < n / 2; i++) {
        const struct nd_log_input *swap = out[i];

        out[i] = out[n - 1 - i];
        out[n - 1 - i] = swap;
    }
    return n;
}

/* ---- as JSON ----------------------------------------------------------------------------------- */

static json_t *inputs_json(const struct nd_log *log)
{
    const struct nd_log_input *last[ND_LOG_LAST];
    unsigned n = last_inputs(log, last);
    json_t *list = json_array();
    char in[96], out[96], what[96];

    for (unsigned i = 0; i < n; i++) {
        const struct nd_log_input *p = last[i];

        json_array_append_new(
            list, json_pack("{s:i, s:I, s:I, s:s, s:s, s:I, s:s, s:s}", "lane", (int)p->lane, "seq",
                            (json_int_t)p->seq, "time_ns", (json_int_t)p->time, "port",
                            port_name(log, p->in.in_port), "input", format_flow(&p->in, in), "bytes",
                            (json_int_t)p->in.len, "verdict", format_verdict(log, &p->out, what), "output",
                            p->out.drop ? "" : format_flow(&p->out, out)));
    }
    return list;
}

static json_t *state_json(const struct nd_log *log)
{
    json_t *all = json_object();

    for (unsigned i = 0; i <= log->config->chain.count; i++) {
        const struct nf *nf = nf_at(log, i);
        json_t *one = nf && nf->module ? json_object() : NULL;

        for (unsigned c = 0; one && nf->module->counters && nf->module->counters[c]; c++)
            json_object_set_new(one, nf->module->counters[c],
                                json_integer((json_int_t)sum_counter(log, nf->module->name, c)));
        if (one)
            json_object_set_new(all, nf->module->name, one);
    }
    return all;
}

static json_t *lanes_json(const struct nd_log *log)
{
    json_t *list = json_array();

    for (unsigned l = 0; l < log->lanes; l++) {
        const struct nf_lane_state *state = nf_chain_state(log->lane[l].chain);

        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:I, s:I}", "burst", (json_int_t)state->burst, "seq",
                                        (json_int_t)state->seq - 1, "time_ns", (json_int_t)state->time,
                                        "inputs", (json_int_t)log->of_lane[l].inputs));
    }
    return list;
}

static int print_json(const struct nd_log *log)
{
    const struct nf_lane_state *state = nf_chain_state(log->lane[named_lane(log)].chain);
    struct nd_log_lane sum = sum_of(log);
    char digest[24];
    json_t *o;
    int code;

    snprintf(digest, sizeof(digest), "%016lx", ft_region_digest(log->region));
    o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:b, s:o, s:o, s:o}",
                  "log", log->options->log, "files", (json_int_t)(log->files.count - log->files.first),
                  "bursts", (json_int_t)sum.bursts, "inputs", (json_int_t)sum.inputs, "dropped",
                  (json_int_t)sum.dropped, "outputs", (json_int_t)sum.outputs, "digests",
                  (json_int_t)sum.digests, "snapshots", (json_int_t)log->snapshots, "burst",
                  (json_int_t)state->burst, "seq", (json_int_t)state->seq - 1, "time_ns",
                  (json_int_t)state->time, "digest", digest, "stopped", log->stopped, "equal", !log->diverged,
                  "lanes", lanes_json(log), "last", inputs_json(log), "state", state_json(log));
    code = o ? nd_print_json(o) : ND_SOFTWARE;
    json_decref(o);
    return code;
}

/* ---- for people -------------------------------------------------------------------------------- */

static void print_inputs(const struct nd_log *log, FILE *out)
{
    const struct nd_log_input *last[ND_LOG_LAST];
    unsigned n = last_inputs(log, last);
    char in[96], gone[96], what[96];

    for (unsigned i = 0; i < n; i++) {
        const struct nd_log_input *p = last[i];

        if (log->lanes > 1)
            fprintf(out, "  %2u:", p->lane);
        fprintf(out, "  %10lu  %lu.%09lu  %s  %s  %u bytes  ->  %s%s%s\n", p->seq, p->time / SECOND,
                p->time % SECOND, port_name(log, p->in.in_port), format_flow(&p->in, in), p->in.len,
                format_verdict(log, &p->out, what), p->out.drop ? "" : "  ",
                p->out.drop ? "" : format_flow(&p->out, gone));
    }
}

static void print_state(const struct nd_log *log, FILE *out)
{
    for (unsigned i = 0; i <= log->config->chain.count; i++) {
        const struct nf *nf = nf_at(log, i);

        if (!nf || !nf->module)
            continue;
        fprintf(out, "  %-14s", nf->module->name);
        for (unsigned c = 0; nf->module->counters && nf->module->counters[c]; c++)
            if (sum_counter(log, nf->module->name, c))
                fprintf(out, " %s %lu", nf->module->counters[c], sum_counter(log, nf->module->name, c));
        fprintf(out, "\n");
    }
}

static void print_text(const struct nd_log *log, FILE *out)
{
    struct nd_log_lane sum = sum_of(log);

    fprintf(out, "%s: %s\n", log->options->log,
            log->diverged  ? "DIVERGED"
            : log->stopped ? "stopped, equal so far"
                           : "EQUAL to its end");
    fprintf(out, "  executed       %lu bursts, %lu inputs from %u files\n", sum.bursts, sum.inputs,
            log->files.count - log->files.first);
    for (unsigned l = 0; l < log->lanes; l++) {
        const struct nf_lane_state *state = nf_chain_state(log->lane[l].chain);

        fprintf(out, "  %-14s lane %u burst %lu seq %lu, chain time %lu.%09lu\n", l ? "" : "came to", l,
                state->burst, state->seq - 1, state->time / SECOND, state->time % SECOND);
    }
    fprintf(out, "  outputs        %lu, dropped %lu\n", sum.outputs, sum.dropped);
    fprintf(out, "  checked        %lu records, %lu digests in them, %lu snapshots\n", sum.bursts,
            sum.digests, log->snapshots);
    fprintf(out, "  digest         %016lx\n", ft_region_digest(log->region));
    fprintf(out, "last inputs: sequence number, time, port, flow  ->  verdict, flow\n");
    print_inputs(log, out);
    fprintf(out, "counters\n");
    print_state(log, out);
}

int nd_log_print(const struct nd_log *log)
{
    print_text(log, log->options->json ? stderr : stdout);
    return log->options->json ? print_json(log) : ND_DONE;
}
