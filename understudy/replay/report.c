/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of a replay run: the verdict, the figures and what the chain did, for people and as JSON. Reads
 * the run when it is over; used by the tool's own process.
 */
#include "nflib/chain/unread.h"
#include "understudy/config/options.h"
#include "understudy/replay/replay.h"

#include <stdio.h>
#include <string.h>

/* ---- the chain ---------------------------------------------------------------------------------- */

/* Index 0: packets dropped by the session table, which no NF counts. */
static const char *name_of_nf(const struct nd_replay *r, unsigned nf)
{
    return nf ? r->config->chain.nfs[nf - 1].module->name : "sessions";
}

static const char *const *counters_of(const struct nd_replay *r, unsigned nf)
{
    static const char *const sessions[] = {"conflicts", "host_full", NULL}, *const none[] = {NULL};
    const char *const *names = nf ? r->config->chain.nfs[nf - 1].module->counters : sessions;

    return names ? names : none;
}

/* Index 0: packets dropped by the session table, which no NF counts. */
static uint64_t counted(const struct nd_replay *r, unsigned nf, unsigned counter)
{
    const struct nd_nf_counts *counts = &r->reference.chain.nf[nf];

    return nf ? counts->counter[counter] : counts->dropped[counter];
}

/* Counters that are 0 are not listed; an NF whose counters are all 0 is printed as such. */
static void print_counters(const struct nd_replay *r, unsigned nf, FILE *out)
{
    const struct nd_nf_counts *counts = &r->reference.chain.nf[nf];
    const char *const *names = counters_of(r, nf);
    unsigned listed = 0;

    for (unsigned c = 0; names[c] && c < ND_COUNTERS_MAX; c++) {
        if (!counted(r, nf, c) && !counts->dropped[c])
            continue;
        fprintf(out, "  %-18s %10lu %s", listed++ ? "" : name_of_nf(r, nf), counted(r, nf, c), names[c]);
        if (counts->dropped[c])
            fprintf(out, ", %lu dropped for it", counts->dropped[c]);
        fprintf(out, "\n");
    }
    if (!listed && nf)
        fprintf(out, "  %-18s %10s\n", name_of_nf(r, nf), names[0] ? "all counters 0" : "no counters");
}

static json_t *counters_json(const struct nd_replay *r, unsigned nf)
{
    const struct nd_nf_counts *counts = &r->reference.chain.nf[nf];
    const char *const *names = counters_of(r, nf);
    json_t *values = json_object(), *drops = json_object();

    for (unsigned c = 0; names[c] && c < ND_COUNTERS_MAX; c++) {
        json_object_set_new(values, names[c], json_integer((json_int_t)counted(r, nf, c)));
        if (counts->dropped[c])
            json_object_set_new(drops, names[c], json_integer((json_int_t)counts->dropped[c]));
    }
    return json_pack("{s:o,s:o}", "counters", values, "drops", drops);
}

static json_t *chain_json(const struct nd_replay *r)
{
    json_t *o = json_object();

    for (unsigned nf = 0; nf <= r->config->chain.count; nf++)
        if (nf || r->reference.chain.nf[0].dropped[0])
            json_object_set_new(o, name_of_nf(r, nf), counters_json(r, nf));
    return o;
}

/* ---- the verdict ------------------------------------------------------------------------------- */

static bool is_equivalent(const struct nd_replay *r)
{
    const struct nd_keeper_counts *c = &r->counts;
    bool may_lose = r->options->no_input_keeper && r->failovers > 0;

    return !r->broken && r->primary_digest == r->reference.digest &&
           (!r->standby_rested || r->standby_digest == r->reference.digest) && c->altered == 0 &&
           c->reordered == 0 && c->early == 0 && r->divergences == 0 && r->refused == 0 &&
           r->reference.diverged == 0 && (may_lose || (c->lost == 0 && c->duplicated == 0));
}

/* Whose lines these are: `nf` as in struct ft_arena. */
static const char *name_owner(const struct nd_replay *r, unsigned nf, char text[64])
{
    if (nf == FT_NFS_MAX)
        return "what lanes share";
    if (nf == 0)
        return "the lane's own state";
    snprintf(text, 64, "NF '%.50s'", name_of_nf(r, nf));
    return text;
}

static void report_difference(const struct nd_replay *r, const char *node, const struct nd_difference *d)
{
    char owner[64], lane[32] = "";

    if (d->lane != FT_LANES_MAX)
        snprintf(lane, sizeof(lane), " of lane %u", d->lane);
    fprintf(stderr,
            "understudy replay: the %s differs in %s%s, %lu line%s, first at %s: expected 0x%lx, got 0x%lx\n",
            node, name_owner(r, d->nf, owner), lane, d->lines, d->lines == 1 ? "" : "s", d->place,
            d->expected, d->got);
}

/* The same for programs. */
static const char *key_of(const struct nd_replay *r, unsigned nf)
{
    return nf == FT_NFS_MAX ? "shared" : nf ? name_of_nf(r, nf) : "lane";
}

static void report_first(const struct nd_replay *r)
{
    const struct nd_first *f = &r->reference.first;
    char owner[64];

    if (f->found)
        fprintf(
            stderr,
            "understudy replay: %s differs from the reference first in burst %lu of lane %u (chain time %lu "
            "ns, seq from %lu), in %s\n",
            f->replayed ? "a standby's replay" : "the primary", f->burst, f->lane, f->time, f->seq,
            name_owner(r, f->nf, owner));
}

/* An NF's slots in sessions lie in the lane's own state, and which NF's they are does not show there. Where
 * an NF differs, another one may have changed or dropped packets before they came to it. */
static const char *name_reader(const struct nd_replay *r, unsigned nf, char text[128])
{
    char owner[64];

    if (nf == 0)
        return "an NF, in its sessions or the lane's own state,";
    if (nf == FT_NFS_MAX)
        return "an NF of which lanes share state";
    snprintf(text, 128, "%s%s", name_owner(r, nf, owner),
             r->config->chain.count > 1 ? ", or an NF that packets pass before it," : "");
    return text;
}

static void report_undeclared(const struct nd_replay *r)
{
    char names[512], owner[128];

    for (unsigned nf = 0; nf <= FT_NFS_MAX; nf++) {
        if (!r->reference.undeclared[nf])
            continue;
        nf_unread_names(r->reference.undeclared[nf], names, sizeof(names));
        fprintf(stderr,
                "understudy replay: %s reads %s, and declares NF_READS_FLOW, expected NF_READS_HEADERS\n",
                name_reader(r, nf, owner), names);
    }
}

static void report_digest(const struct nd_replay *r, unsigned n, uint64_t digest)
{
    const struct nd_differences *found = &r->reference.differences[n];
    const char *node = n == r->primary ? "primary" : "standby";

    if (digest == r->reference.digest)
        return;
    fprintf(stderr, "understudy replay: digest of the %s: expected %016lx, got %016lx\n", node,
            r->reference.digest, digest);
    for (unsigned i = 0; i < found->count && i < ND_DIFFERENCES; i++)
        report_difference(r, node, &found->list[i]);
    if (found->count > ND_DIFFERENCES)
        fprintf(stderr, "understudy replay: the %s differs in %u places more\n", node,
                found->count - ND_DIFFERENCES);
    if (found->unseen)
        fprintf(stderr, "understudy replay: the %s's state could not be looked at\n", node);
}

static json_t *first_json(const struct nd_replay *r)
{
    const struct nd_first *f = &r->reference.first;

    if (!f->found)
        return json_null();
    return json_pack("{s:s,s:s,s:i,s:I,s:I,s:I}", "by", f->replayed ? "replay" : "primary", "nf",
                     key_of(r, f->nf), "lane", (int)f->lane, "burst", (json_int_t)f->burst, "seq",
                     (json_int_t)f->seq, "time_ns", (json_int_t)f->time);
}

static json_t *differences_json(const struct nd_replay *r)
{
    json_t *list = json_array();

    for (unsigned k = 0, n = r->primary; k < ND_PAIR; k++, n = !n)
        for (unsigned i = 0; i < r->reference.differences[n].count && i < ND_DIFFERENCES; i++) {
            const struct nd_difference *d = &r->reference.differences[n].list[i];
            char expected[24], got[24], names[256];

            nf_unread_names(r->reference.undeclared[d->nf], names, sizeof(names));
            snprintf(expected, sizeof(expected), "0x%lx", d->expected);
            snprintf(got, sizeof(got), "0x%lx", d->got);
            json_array_append_new(
                list, json_pack("{s:s,s:s,s:o,s:s,s:I,s:I,s:s,s:s,s:s}", "node",
                                n == r->primary ? "primary" : "standby", "nf", key_of(r, d->nf), "lane",
                                d->lane == FT_LANES_MAX ? json_null() : json_integer(d->lane), "place",
                                d->place, "offset", (json_int_t)d->offset, "lines", (json_int_t)d->lines,
                                "expected", expected, "got", got, "undeclared", names));
        }
    return list;
}

/* What the figures cannot show. */
static void print_reasons(const struct nd_replay *r)
{
    if (r->reference.listed > ND_KEEPER_LISTED)
        fprintf(stderr, "lost: … %lu in all\n", r->counts.lost);
    if (r->reference.diverged)
        fprintf(stderr, "understudy replay: the surviving log could not be executed again\n");
    if (r->reference.died)
        fprintf(stderr,
                "understudy replay: the chain ends its process: without replication, too, in burst %lu of a "
                "lane\n",
                r->reference.died);
    if (r->divergences)
        fprintf(stderr, "understudy replay: a standby's replay diverged %lu times\n", r->divergences);
    if (r->refused)
        fprintf(stderr, "understudy replay: what one node said the other refused %lu times, last: %s\n",
                r->refused, r->refusal);
    report_first(r);
    if (!r->broken)
        report_digest(r, r->primary, r->primary_digest);
    if (r->standby_rested && !r->reference.died)
        report_digest(r, !r->primary, r->standby_digest);
    report_undeclared(r);
}

/* If no packet left the chain, equal outputs prove nothing: warn. */
static void warn_of_silence(const struct nd_replay *r)
{
    const struct nd_chain_counts *chain = &r->reference.chain;
    unsigned nf = 0, counter = 0;

    if (!r->tape.count || r->reference.outputs || r->reference.died)
        return;
    for (unsigned n = 0; n <= r->config->chain.count; n++)
        for (unsigned c = 0; counters_of(r, n)[c] && c < ND_COUNTERS_MAX; c++)
            if (chain->nf[n].dropped[c] > chain->nf[nf].dropped[counter]) {
                nf = n;
                counter = c;
            }
    fprintf(stderr,
            "understudy replay: warning: %lu packets came in and none left the chain: no output was compared",
            r->tape.count);
    if (chain->nf[nf].dropped[counter])
        fprintf(stderr, "; %s dropped %lu of them (%s)%s", name_of_nf(r, nf), chain->nf[nf].dropped[counter],
                counters_of(r, nf)[counter],
                strcmp(counters_of(r, nf)[counter], "not_inside") == 0
                    ? ", expected --inside with networks that its `inside` has, or its `inside` with these"
                    : "");
    fprintf(stderr, "\n");
}

static void set_digest(json_t *o, const char *key, uint64_t digest)
{
    char text[24];

    snprintf(text, sizeof(text), "%016lx", digest);
    json_object_set_new(o, key, json_string(text));
}

static int print_json(const struct nd_replay *r, json_t *o)
{
    set_digest(o, "reference_digest", r->reference.digest);
    set_digest(o, "run_digest", r->primary_digest);
    json_object_set_new(o, "equivalent", json_boolean(is_equivalent(r)));
    json_object_set_new(o, "crashed",
                        r->reference.died ? json_integer((json_int_t)r->reference.died) : json_null());
    json_object_set_new(o, "nfs", chain_json(r));
    json_object_set(o, "rows", r->rows);
    json_object_set_new(o, "differences", differences_json(r));
    json_object_set_new(o, "first", first_json(r));
    return nd_print_json(o);
}

static uint64_t all_bursts(const struct nd_replay *r)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        n += r->tapes[l].burst_count;
    return n;
}

/* ---- the figures -------------------------------------------------------------------------------- */

/* The figures, for people and into an object at once. */
static void print_figures(const struct nd_replay *r, FILE *out, json_t *o)
{
    const struct nd_keeper_counts *c = &r->counts;
    char bursts[48], room[64], made[48], often[48], deltas[48];
    double seconds = (double)(r->ended - r->began) / 1e9, packets = (double)r->tape.count;
    const struct {
        const char *key, *title; /* title NULL: not for people */
        uint64_t value;
        const char *more; /* behind it, for people */
    } figures[] = {
        {"input", "input", r->tape.count, bursts},
        {"frames_refused", "refused", r->tape.refused, room},
        {"frames_foreign", r->tape.foreign ? "foreign" : NULL, r->tape.foreign, ", neither IP nor ARP"},
        {"frames_sent", r->tape.sent ? "of them sent" : NULL, r->tape.sent,
         " by who captured: what it forwards is here twice"},
        {"ip_checksums_wrong", r->tape.wrong_ip ? "wrong checksum" : NULL, r->tape.wrong_ip,
         " in the IPv4 header, as of a host that leaves it to its NIC; ips and dpi: checksums: false"},
        {"checksums_wrong", r->tape.wrong_l4 ? "wrong checksum" : NULL, r->tape.wrong_l4,
         " of TCP or UDP; ips: checksums: false"},
        {"released", "released", c->released, made},
        {"lost", "lost", c->lost, ""},
        {"duplicated", "duplicated", c->duplicated, ""},
        {"reordered", "reordered", c->reordered, ""},
        {"altered", "altered", c->altered, ""},
        {"suppressed", "suppressed", c->suppressed, ""},
        {"dropped", "dropped", r->reference.chain.dropped, " by the chain"},
        {"failovers", "failovers", r->failovers, ""},
        {"kills_beyond", r->kills_beyond ? "kills left out" : NULL, r->kills_beyond, ", beyond the capture"},
        {"dependencies", r->lanes > 1 ? "dependencies" : NULL, r->reference.dependencies, often},
        {"log_bytes", "log bytes", r->log_bytes, ""},
        {"delta_bytes", "delta bytes", r->delta_bytes, deltas},
    };

    snprintf(bursts, sizeof(bursts), " in %lu bursts", all_bursts(r));
    snprintf(room, sizeof(room), ", under 14 or over %u bytes, as ports do", r->tape.frame_max);
    snprintf(made, sizeof(made), " of %lu made", r->reference.outputs);
    snprintf(often, sizeof(often), ", %.1f a thousand packets",
             packets > 0 ? (double)r->reference.dependencies * 1000 / packets : 0);
    snprintf(deltas, sizeof(deltas), " in %lu deltas", r->deltas);
    fprintf(out, "%s: %s\n", r->options->input, is_equivalent(r) ? "EQUIVALENT" : "NOT EQUIVALENT");
    for (unsigned i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        json_object_set_new(o, figures[i].key, json_integer((json_int_t)figures[i].value));
        if (figures[i].title)
            fprintf(out, "  %-18s %10lu%s\n", figures[i].title, figures[i].value, figures[i].more);
    }
    for (unsigned nf = 0; nf <= r->config->chain.count; nf++)
        print_counters(r, nf, out);
    fprintf(out, "  %-18s %s\n", "digest", r->primary_digest == r->reference.digest ? "equal" : "different");
    fprintf(out, "  %-18s %10.3f s, %.2f Mpps\n", "took", seconds, seconds > 0 ? packets / seconds / 1e6 : 0);
    if (r->options->common.show)
        nd_shown_print(r->rows, r->options->common.show, out);
}

int nd_replay_report(const struct nd_replay *r)
{
    json_t *o = json_object();
    int code = ND_DONE;

    print_reasons(r);
    warn_of_silence(r);
    print_figures(r, r->options->common.json ? stderr : stdout, o);
    if (r->options->common.json)
        code = print_json(r, o);
    json_decref(o);
    return code ? code : is_equivalent(r) ? ND_DONE : ND_NOT_EQUAL;
}
