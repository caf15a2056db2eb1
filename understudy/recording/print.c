/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replay --log prints: what was executed, the last inputs and what became of them, what the NFs show at
 * a moment and between two, counters. For people, and as JSON.
 */
#include "nflib/chain/chain.h"
#include "nflib/chain/taken.h"
#include "understudy/recording/recording.h"
#include "understudy/base/event_writer.h"
#include "understudy/config/options.h"
#include "understudy/crash/report.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows, as `show NF` would have them ---------------------------------------------------------- */

#define PAGE_BYTES (256u << 10)

int nd_shown_add(json_t *rows, const struct nf_chain *chain, const char *name, unsigned lane, unsigned lanes,
                 struct ft_fault *fault)
{
    const struct nf *nf = nf_chain_find(chain, name);
    char *page = malloc(PAGE_BYTES);
    int error = page ? 0 : ft_fail(fault, FT_ENOMEM, "no memory for what '%s' shows", name);
    bool more = nf->module->show != NULL;
    uint64_t cursor = 0;

    while (!error && more) {
        struct nf_show *out = nf_show_begin(page, PAGE_BYTES);
        json_t *some, *row;
        json_error_t why;
        size_t i;

        if (!out) {
            error = ft_fail(fault, FT_ENOMEM, "no memory for what '%s' shows", name);
            break;
        }
        more = nf->module->show(nf, out, &cursor);
        some = json_loadb(page, nf_show_end(out), 0, &why);
        if (!some)
            error = ft_fail(fault, FT_EMALFORMED, "NF '%s' shows what is no JSON in lane %u: %.120s", name,
                            lane, why.text);
        json_array_foreach(some, i, row) if (lanes > 1) json_object_set_new(row, "lane", json_integer(lane));
        json_array_extend(rows, some);
        json_decref(some);
    }
    free(page);
    return error;
}

/* One row as "name=value name=value", behind `before`. */
static void print_row(json_t *row, const char *before, FILE *out)
{
    const char *name, *space = "";
    json_t *value;

    fputs(before, out);
    json_object_foreach(row, name, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);

        fprintf(out, "%s%s=%s", space, name, text ? text : json_string_value(value));
        free(text);
        space = " ";
    }
    fputc('\n', out);
}

void nd_shown_print(const json_t *rows, const char *name, FILE *out)
{
    json_t *row;
    size_t i;

    fprintf(out, "%s\n", name);
    json_array_foreach(rows, i, row) print_row(row, "  ", out);
}

/* ---- state ----------------------------------------------------------------------------------- */

/* Of all lanes. */
static int add_rows(const struct nd_log *log, const char *name, json_t *rows, struct ft_fault *fault)
{
    int error = 0;

    for (unsigned l = 0; !error && l < log->lanes; l++)
        error = nd_shown_add(rows, log->node.lane[l].chain, name, l, log->lanes, fault);
    return error;
}

/* The NF's counters by name, of all lanes together. `nf`: of any lane. */
static json_t *counters_of(const struct nd_log *log, const struct nf *nf)
{
    json_t *all = json_object();

    for (unsigned c = 0; nf->module->counters && nf->module->counters[c]; c++) {
        uint64_t sum = 0;

        for (unsigned l = 0; l < log->lanes; l++)
            sum += nf_chain_any(log->node.lane[l].chain, nf->index)->counters[c];
        json_object_set_new(all, nf->module->counters[c], json_integer((json_int_t)sum));
    }
    return all;
}

int nd_log_state(const struct nd_log *log, json_t **out, struct ft_fault *fault)
{
    int error = 0;

    *out = json_object();
    for (unsigned i = 0; !error && i <= log->config->chain.count; i++) {
        const struct nf *nf = nf_chain_any(log->node.lane[0].chain, i);
        json_t *rows;

        if (!nf || !nf->module)
            continue;
        rows = json_array();
        error = add_rows(log, nf->module->name, rows, fault);
        json_object_set_new(*out, nf->module->name,
                            json_pack("{s:o,s:o}", "rows", rows, "counters", counters_of(log, nf)));
    }
    return error;
}

int nd_log_look(struct nd_log *log, struct ft_fault *fault)
{
    int error;

    log->rows = json_array();
    error = log->options->show ? add_rows(log, log->options->show, log->rows, fault) : 0;
    return !error && log->before ? nd_log_state(log, &log->after, fault) : error;
}

/* ---- two moments ------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The rows as sorted lines; *n of them. NULL: no memory. */
static char **sort_rows(json_t *rows, size_t *n)
{
    char **list = calloc(json_array_size(rows) + 1, sizeof(*list));
    json_t *row;
    size_t i;

    *n = 0;
    if (!list)
        return NULL;
    json_array_foreach(rows, i, row) if ((list[*n] = json_dumps(row, JSON_SORT_KEYS | JSON_COMPACT)))(*n)++;
    qsort(list, *n, sizeof(*list), compare_texts);
    return list;
}

static void take_row(json_t *into, FILE *out, const char *mark, const char *text)
{
    json_t *row = json_loads(text, 0, NULL);

    print_row(row, mark, out);
    json_array_append_new(into, row);
}

/* Rows of one moment alone, of the other alone. */
static void compare_rows(json_t *before, json_t *after, json_t *gone, json_t *come, FILE *out)
{
    size_t b, a, i = 0, j = 0;
    char **old = sort_rows(before, &b), **new = sort_rows(after, &a);

    while (old && new && (i < b || j < a)) {
        int order = i == b ? 1 : j == a ? -1 : strcmp(old[i], new[j]);

        if (order < 0)
            take_row(gone, out, "  - ", old[i]);
        else if (order > 0)
            take_row(come, out, "  + ", new[j]);
        i += order <= 0;
        j += order >= 0;
    }
    for (i = 0; old && i < b; i++)
        free(old[i]);
    for (j = 0; new &&j < a; j++)
        free(new[j]);
    free(old);
    free(new);
}

static json_t *compare_counters(json_t *before, json_t *after, FILE *out)
{
    json_t *changed = json_object(), *value;
    const char *name;

    json_object_foreach(after, name, value)
    {
        json_int_t more = json_integer_value(value) - json_integer_value(json_object_get(before, name));

        if (!more)
            continue;
        fprintf(out, "  %s %+lld\n", name, (long long)more);
        json_object_set_new(changed, name, json_integer(more));
    }
    return changed;
}

static json_t *print_diff(const struct nd_log *log, FILE *out)
{
    json_t *all = json_object(), *nf;
    const char *name;

    if (!log->after)
        return all;
    fprintf(out, "between %s and %s: rows that went (-), rows that came (+), counters\n", log->from->text,
            log->to->text);
    json_object_foreach(log->after, name, nf)
    {
        json_t *old = json_object_get(log->before, name), *gone = json_array(), *come = json_array();

        fprintf(out, "%s\n", name);
        compare_rows(json_object_get(old, "rows"), json_object_get(nf, "rows"), gone, come, out);
        json_object_set_new(all, name,
                            json_pack("{s:o,s:o,s:o}", "gone", gone, "come", come, "counters",
                                      compare_counters(json_object_get(old, "counters"),
                                                       json_object_get(nf, "counters"), out)));
    }
    return all;
}

/* ---- report ---------------------------------------------------------------------------------- */

#define SECOND 1000000000ul

static const struct nf *nf_at(const struct nd_log *log, unsigned index)
{
    return index ? nf_chain_nf(log->node.lane[0].chain, index) : nf_chain_find(log->node.lane[0].chain, "l3");
}

static const char *port_name(const struct nd_log *log, unsigned port)
{
    const struct nf_l3_config *l3 = log->config->chain.l3;

    return l3 && port < l3->ports ? l3->port[port].name : port == 0 ? "inside" : "outside";
}

/* "tcp 10.0.0.1:80 > 10.0.0.2:1234", or what the frame is. */
#define FLOW_TEXT 128

static void format_flow(const struct nf_packet *p, const struct nd_log_ends *ends, char out[FLOW_TEXT])
{
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    char from[NF_ADDR_TEXT], to[NF_ADDR_TEXT], proto[16];

    if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6_READ))) {
        snprintf(out, FLOW_TEXT, "%s", p->flags & NF_P_ARP ? "arp" : p->flags & NF_P_IPV6 ? "ipv6" : "other");
        return;
    }
    nf_addr_text(&ends->from, from);
    nf_addr_text(&ends->to, to);
    snprintf(proto, sizeof(proto),
             p->proto == 6    ? "tcp"
             : p->proto == 17 ? "udp"
             : p->proto == 1  ? "icmp"
             : p->proto == 58 ? "icmp6"
                              : "ip %u",
             p->proto);
    if (p->flags & NF_P_L4)
        snprintf(out, FLOW_TEXT, ipv6 ? "%s [%s]:%u > [%s]:%u" : "%s %s:%u > %s:%u", proto, from,
                 ntohs(p->sport), to, ntohs(p->dport));
    else
        snprintf(out, FLOW_TEXT, "%s %s > %s", proto, from, to);
}

#define VERDICT_TEXT (96 + NF_TRACE_WHY)

/* "dropped by firewall: denied by edge.rules:12, rule 3", or the port it left by. */
static void format_verdict(const struct nd_log *log, const struct nd_log_input *in, char out[VERDICT_TEXT])
{
    const struct nf_packet *p = &in->out;
    const struct nf *nf = p->drop_nf == NF_DROP_SESSIONS ? NULL : nf_at(log, p->drop_nf);
    const char *by_sessions = nf_sessions_drop_text(p->drop);

    if (p->drop == NF_SET_ASIDE)
        snprintf(out, VERDICT_TEXT, "set aside");
    else if (p->drop && !nf)
        snprintf(out, VERDICT_TEXT, "dropped by sessions: %s", by_sessions ? by_sessions : "?");
    else if (p->drop)
        snprintf(out, VERDICT_TEXT, "%s by %s: %s%s%s",
                 nf_l3_takes_in(p->drop, p->drop_nf) ? "taken in" : "dropped",
                 nf && nf->module ? nf->module->name : "?",
                 nf && nf->module && nf->module->counters ? nf->module->counters[p->drop - 1] : "?",
                 in->why[0] ? " by " : "", in->why);
    else
        snprintf(out, VERDICT_TEXT, "%s", port_name(log, p->out_port));
}

/* ---- of several lanes -------------------------------------------------------------------------- */

static struct nd_log_lane sum_of(const struct nd_log *log)
{
    struct nd_log_lane sum = {.digests = log->of_lane[0].digests}; /* each of all lanes together */

    for (unsigned l = 0; l < log->lanes; l++) {
        sum.inputs += log->of_lane[l].inputs;
        sum.dropped += log->of_lane[l].dropped;
        sum.taken += log->of_lane[l].taken;
        sum.outputs += log->of_lane[l].outputs;
        sum.bursts += log->of_lane[l].bursts;
    }
    return sum;
}

/* The last moment names a lane. */
static bool names_lane(const struct nd_log *log)
{
    return log->to && log->to->kind == ND_MOMENT_INPUT;
}

static unsigned named_lane(const struct nd_log *log)
{
    return names_lane(log) ? (unsigned)log->to->lane : 0;
}

/* The last inputs, the newest first: of the lane that is named, or of all, by time. How many. */
static unsigned last_inputs(const struct nd_log *log, const struct nd_log_input *out[ND_LOG_LAST])
{
    uint64_t shown[FT_LANES_MAX] = {0};
    unsigned n, at = 0;

    for (n = 0; n < ND_LOG_LAST; n++) {
        out[n] = NULL;
        for (unsigned l = 0; l < log->lanes; l++) {
            const struct nd_log_lane *lane = &log->of_lane[l];
            const struct nd_log_input *one = &lane->last[(lane->inputs - shown[l] - 1) % ND_LOG_LAST];

            if ((names_lane(log) && l != named_lane(log)) || shown[l] == lane->inputs ||
                shown[l] == ND_LOG_LAST || (out[n] && one->time <= out[n]->time))
                continue;
            out[n] = one;
            at = l;
        }
        if (!out[n])
            break;
        shown[at]++;
    }
    return n;
}

/* ---- for people, and into a JSON object at once ------------------------------------------------- */

static void print_input(const struct nd_log *log, const struct nd_log_input *p, json_t *list, FILE *out)
{
    const char *port = port_name(log, p->in.in_port);
    char in[FLOW_TEXT], gone[FLOW_TEXT], what[VERDICT_TEXT], when[ND_WALL_TEXT];
    json_t *change;
    size_t i;

    format_flow(&p->in, &p->came, in);
    format_verdict(log, p, what);
    gone[0] = '\0';
    if (!p->out.drop)
        format_flow(&p->out, &p->left, gone);
    if (log->lanes > 1)
        fprintf(out, "  %2u:", p->lane);
    if (p->wall)
        nd_wall_text(when, p->wall);
    fprintf(out, "  input %10lu  %lu.%09lu s  %s%s%s  %s  %u bytes  ->  %s%s%s\n", p->seq, p->time / SECOND,
            p->time % SECOND, p->wall ? when : "", p->wall ? "  " : "", port, in, p->in.len, what,
            gone[0] ? "  " : "", gone);
    json_array_foreach(p->changes, i, change) fprintf(out, "        %s\n", json_string_value(change));
    json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:s?, s:s, s:s, s:I, s:s, s:s, s:O*}", "lane",
                                          (int)p->lane, "seq", (json_int_t)p->seq, "time_ns",
                                          (json_int_t)p->time, "wall", p->wall ? when : NULL, "port", port,
                                          "input", in, "bytes", (json_int_t)p->in.len, "verdict", what,
                                          "output", gone, "changes", p->changes));
}

static json_t *print_inputs(const struct nd_log *log, FILE *out)
{
    const struct nd_log_input *last[ND_LOG_LAST];
    unsigned n = last_inputs(log, last);
    json_t *list = json_array();

    while (n-- > 0)
        print_input(log, last[n], list, out);
    return list;
}

/* What --flow or --drops asked for, of all lanes by time; null: neither did. */
static json_t *print_matches(const struct nd_log *log, FILE *out)
{
    uint64_t at[FT_LANES_MAX] = {0}, more = 0, count = 0;
    json_t *list;

    if (!log->options->drops && !log->options->flow.count)
        return json_null();
    list = json_array();
    fprintf(out, "%s%s: input, seconds of the chain, wall clock, port, flow, bytes  ->  verdict, flow\n",
            log->options->drops ? "dropped" : "packets", log->options->flow.count ? " of the flow" : "");
    for (;; count++) {
        const struct nd_log_input *first = NULL;
        unsigned of = 0;

        for (unsigned l = 0; l < log->lanes; l++) {
            const struct nd_log_told *told = &log->of_lane[l].told;

            if (at[l] < told->count && (!first || told->list[at[l]].time < first->time))
                first = &told->list[at[l]], of = l;
        }
        if (!first)
            break;
        at[of]++;
        print_input(log, first, list, out);
    }
    for (unsigned l = 0; l < log->lanes; l++)
        more += log->of_lane[l].told.more;
    fprintf(out, more ? "  %lu packets, and %lu more that had no room\n" : "  %lu packets\n", count, more);
    return list;
}

/* "A.B.C.D", "A.B.C.D:PORT", an address of IPv6, "[ADDRESS]:PORT". */
static bool read_end(char *text, struct nf_addr *addr, uint16_t *port)
{
    char *close = text[0] == '[' ? strchr(text, ']') : NULL, *colon = strchr(text, ':');
    uint32_t number = 0;

    if (close) {
        *close = '\0';
        text++;
        colon = close[1] == ':' ? close + 1 : NULL;
        if (close[1] && !colon)
            return false;
    } else if (colon && strchr(colon + 1, ':')) {
        colon = NULL;
    }
    if (colon)
        *colon++ = '\0';
    if (!nf_addr_parse(text, addr) || (colon && !nf_number_parse(colon, 1, 65535, &number)))
        return false;
    *port = htons((uint16_t)number);
    return true;
}

bool nd_log_flow_read(struct nd_log_flow *out, const char *text)
{
    char one[2][64] = {"", ""};

    *out = (struct nd_log_flow){.count = 0};
    if (sscanf(text, "%63[^,],%63[^,]", one[0], one[1]) < 1)
        return false;
    while (out->count < 2 && one[out->count][0]) {
        if (!read_end(one[out->count], &out->addr[out->count], &out->port[out->count]))
            return false;
        out->count++;
    }
    return out->count == 1 + (strchr(text, ',') != NULL);
}

/* The row's text has the address, and not as a part of another one. */
static bool has_address(const char *row, const char *address)
{
    static const char more[] = "0123456789abcdef.:";
    size_t len = strlen(address);

    for (const char *at = row; (at = strstr(at, address)) != NULL; at++)
        if ((at == row || !strchr(more, at[-1])) && (!at[len] || !strchr(more, at[len]) || at[len] == ':'))
            return true;
    return false;
}

static bool names_flow(const struct nd_log_flow *flow, const char *row)
{
    char address[NF_ADDR_TEXT];

    for (uint32_t i = 0; i < flow->count; i++)
        if (has_address(row, nf_addr_text(&flow->addr[i], address)))
            return true;
    return false;
}

/* Texts of the lane's rows that name the flow, as keys of an object. */
static json_t *rows_of_flow(const struct nd_log_lane *l)
{
    const struct nd_log_options *o = l->log->options;
    json_t *rows = json_array(), *texts = json_object(), *row;
    struct ft_fault fault;
    size_t i, size;

    if (nd_shown_add(rows, l->lane->chain, o->show, l->lane->index, l->log->lanes, &fault) == 0)
        json_array_foreach(rows, i, row)
        {
            char *text = NULL;
            FILE *f = open_memstream(&text, &size);

            if (!f)
                continue;
            print_row(row, "", f);
            if (fclose(f) == 0 && size > 0) {
                text[size - 1] = '\0';
                if (names_flow(&o->flow, text))
                    json_object_set_new(texts, text, json_true());
            }
            free(text);
        }
    json_decref(rows);
    return texts;
}

void nd_log_note_rows(struct nd_log *log)
{
    for (unsigned i = 0; log->options->flow.count && log->options->show && i < log->lanes; i++) {
        json_decref(log->of_lane[i].told.rows);
        log->of_lane[i].told.rows = rows_of_flow(&log->of_lane[i]);
    }
}

json_t *nd_log_changes(struct nd_log_lane *l)
{
    json_t *before = l->told.rows, *now = rows_of_flow(l), *changes = json_array(), *value;
    const char *text;

    json_object_foreach(now, text, value) if (!json_object_get(before, text))
        json_array_append_new(changes, json_sprintf("+ %s", text));
    json_object_foreach(before, text, value) if (!json_object_get(now, text))
        json_array_append_new(changes, json_sprintf("- %s", text));
    json_decref(before);
    l->told.rows = now;
    if (json_array_size(changes) > 0)
        return changes;
    json_decref(changes);
    return NULL;
}

/* Counters of 0 are not for people. */
static json_t *print_counters(const struct nd_log *log, FILE *out)
{
    json_t *all = json_object(), *one, *value;
    const char *name;

    for (unsigned i = 0; i <= log->config->chain.count; i++) {
        const struct nf *nf = nf_at(log, i);

        if (!nf || !nf->module)
            continue;
        one = counters_of(log, nf);
        fprintf(out, "  %-14s", nf->module->name);
        json_object_foreach(one, name, value)
        {
            if (json_integer_value(value))
                fprintf(out, " %s %lu", name, (uint64_t)json_integer_value(value));
        }
        fprintf(out, "\n");
        json_object_set_new(all, nf->module->name, one);
    }
    return all;
}

static json_t *print_lanes(const struct nd_log *log, FILE *out)
{
    json_t *list = json_array();

    for (unsigned l = 0; l < log->lanes; l++) {
        const struct nf_lane_state *state = nf_chain_state(log->node.lane[l].chain);

        fprintf(out, "  %-14s lane %u burst %lu seq %lu, chain time %lu.%09lu\n", l ? "" : "came to", l,
                state->burst, state->seq - 1, state->time / SECOND, state->time % SECOND);
        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:I, s:I}", "burst", (json_int_t)state->burst, "seq",
                                        (json_int_t)state->seq - 1, "time_ns", (json_int_t)state->time,
                                        "inputs", (json_int_t)log->of_lane[l].inputs));
    }
    return list;
}

/* What a recording's last file has of the bursts that had not ended. */
static json_t *print_begun(const struct nd_log *log, const struct lg_recording *r, FILE *out)
{
    json_t *list = json_array();
    struct ft_record numbers;
    struct ft_fault fault;

    for (unsigned l = 0; l < log->lanes; l++) {
        const struct lg_frame *f = &r->begun[l];

        if (!f->content || ft_record_peek(f->content, f->len, &numbers, &fault) < 0)
            continue;
        fprintf(out, "  not executed   lane %u burst %lu, %u inputs: it had begun and had not ended\n", l,
                numbers.burst, numbers.inputs);
        json_array_append_new(list, json_pack("{s:i, s:I, s:i, s:I}", "lane", (int)l, "burst",
                                              (json_int_t)numbers.burst, "inputs", (int)numbers.inputs,
                                              "time_ns", (json_int_t)numbers.time));
    }
    return list;
}

static json_t *print_end(const struct nd_log *log, FILE *out)
{
    static const char *const hows[LG_HOWS] = {NULL, "stopped", "killed", "crashed", "hung"};
    const struct lg_recording *r = nd_log_last_of(&log->files, log->files.list[log->files.count - 1]);
    const struct lg_node_end *e = &r->node_end;
    char when[ND_WALL_TEXT], name[16];

    if (!e->how) {
        fprintf(out, "  node ended     the recording does not say how\n");
        return json_null();
    }
    nd_wall_text(when, e->wall);
    fprintf(out, "  node ended     %s: %s\n", when, r->line);
    return json_pack(
        "{s:s, s:s, s:s, s:s?, s:s?, s:o, s:I, s:I, s:o, s:o}", "how", hows[e->how], "line", r->line, "wall",
        when, "signal", e->signal ? nd_crash_signal(name, (int)e->signal) : NULL, "nf",
        e->nf[0] ? e->nf : NULL, "lane", e->lane == FT_CRASH_NO_LANE ? json_null() : json_integer(e->lane),
        "burst", (json_int_t)e->burst, "time_ns", (json_int_t)e->time, "packet",
        e->packet ? json_integer(e->packet) : json_null(), "not_executed", print_begun(log, r, out));
}

int nd_log_print(const struct nd_log *log)
{
    FILE *out = log->options->json ? stderr : stdout;
    const struct nf_lane_state *state = nf_chain_state(log->node.lane[named_lane(log)].chain);
    struct nd_log_lane sum = sum_of(log);
    unsigned files = log->files.count;
    json_t *lanes, *last, *told, *diff, *end, *recordings, *o;
    char digest[24];
    int code = ND_DONE;

    snprintf(digest, sizeof(digest), "%016lx", ft_region_digest(log->node.region));
    fprintf(out, "%s: %s\n", log->options->paths[0],
            log->diverged  ? "DIVERGED"
            : log->stopped ? "stopped, equal so far"
                           : "EQUAL to its end");
    fprintf(out, "  executed       %lu bursts, %lu inputs from %u files, %s to %s\n", sum.bursts, sum.inputs,
            files, log->files.list[0]->file, log->files.list[files - 1]->file);
    lanes = print_lanes(log, out);
    fprintf(out, "  outputs        %lu, dropped %lu, taken in by the chain %lu\n", sum.outputs, sum.dropped,
            sum.taken);
    fprintf(out, "  checked        %lu records, %lu digests in them, %lu snapshots\n", sum.bursts,
            sum.digests, log->snapshots);
    fprintf(out, "  digest         %s\n", digest);
    end = print_end(log, out);
    fprintf(out, "recordings, oldest first\n");
    recordings = nd_log_print_recordings(&log->files, out);
    fprintf(out, "last inputs: sequence number, time, port, flow  ->  verdict, flow\n");
    last = print_inputs(log, out);
    told = print_matches(log, out);
    if (log->options->show)
        nd_shown_print(log->rows, log->options->show, out);
    diff = print_diff(log, out);
    fprintf(out, "counters\n");
    o = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:b, s:o, s:o, s:o, "
        "s:o, s:o, s:O, s:o, s:o}",
        "log", log->options->paths[0], "files", (json_int_t)files, "bursts", (json_int_t)sum.bursts, "inputs",
        (json_int_t)sum.inputs, "dropped", (json_int_t)sum.dropped, "taken_in", (json_int_t)sum.taken,
        "outputs", (json_int_t)sum.outputs, "digests", (json_int_t)sum.digests, "snapshots",
        (json_int_t)log->snapshots, "burst", (json_int_t)state->burst, "seq", (json_int_t)state->seq - 1,
        "time_ns", (json_int_t)state->time, "digest", digest, "stopped", log->stopped, "equal",
        !log->diverged, "end", end, "recordings", recordings, "lanes", lanes, "last", last, "told", told,
        "rows", log->rows, "diff", diff, "state", print_counters(log, out));
    if (log->options->json)
        code = o ? nd_print_json(o) : ND_SOFTWARE;
    json_decref(o);
    return code;
}
