/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of an ordered list of rules; see classifier.h. Owns its memory, of the process.
 *
 * The values of a field are cut where a span of a rule begins or ends. Between two cuts the same rules hold:
 * a set, with a bit for each rule, and equal sets are kept once. A packet's rules are in the sets of all its
 * fields (Lakshman, Stiliadis: SIGCOMM 1998). A word above a set shows which of its words are not 0
 * (Baboescu, Varghese: SIGCOMM 2001). So a packet costs at most 64 words a field, whatever rules and packet
 * are, and the memory is bounded by the cuts: 520 bytes each at most.
 */
#include "nflib/net/classifier.h"
#include "ftcore/base/check.h"
#include "ftcore/base/draw.h"
#include "nflib/net/vlan.h"

#include <stdlib.h>

#define WORD_RULES 64u /* a word's bits */
#define WORDS_MAX  (NF_CLASSIFIER_RULES_MAX / WORD_RULES)
_Static_assert(WORDS_MAX == WORD_RULES, "a word says of each word of a set whether it is 0");

static const uint8_t field_bits[NF_FIELDS] = {
    [NF_FIELD_KIND] = 12, [NF_FIELD_SPORT] = 16,  [NF_FIELD_DPORT] = 16, [NF_FIELD_TYPE] = 8,
    [NF_FIELD_DSCP] = 7,  [NF_FIELD_VID] = 13,    [NF_FIELD_PCP] = 4,    [NF_FIELD_FROM4] = 32,
    [NF_FIELD_TO4] = 32,  [NF_FIELD_FROM6] = 128, [NF_FIELD_TO6] = 128,
};

struct field {
    uint16_t *set; /* its place: by value, of fields of up to 16 bits; else by cut; NULL: every rule takes any
                      value */
    uint64_t *sets; /* [1 + words] each: which words are not 0, and these */
    uint32_t cuts;
    uint32_t *cut32; /* the values at which a part begins, of fields of 32 bits */
    unsigned __int128 *cut128;
};

struct nf_classifier {
    uint32_t count, words;
    struct field field[NF_FIELDS];
};

/* ---- asking ---------------------------------------------------------------------------------------- */

static void take(const struct nf_classifier *c, enum nf_field field, uint32_t set, const uint64_t *sets[],
                 unsigned *n)
{
    sets[(*n)++] = c->field[field].sets + (size_t)set * (1 + c->words);
}

static void ask(const struct nf_classifier *c, enum nf_field field, uint32_t value, const uint64_t *sets[],
                unsigned *n)
{
    if (c->field[field].set)
        take(c, field, c->field[field].set[value], sets, n);
}

/* The last cut that is not above the value: without branches, which nobody could foretell. */
static void ask32(const struct nf_classifier *c, enum nf_field field, uint32_t value, const uint64_t *sets[],
                  unsigned *n)
{
    const struct field *f = &c->field[field];
    const uint32_t *at = f->cut32;

    if (!f->set)
        return;
    for (uint32_t cuts = f->cuts; cuts > 1; cuts -= cuts / 2)
        at += at[cuts / 2] <= value ? cuts / 2 : 0;
    take(c, field, f->set[at - f->cut32], sets, n);
}

static unsigned __int128 number_of(const uint8_t addr[16])
{
    return (unsigned __int128)be64toh(nf_get64(addr)) << 64 | be64toh(nf_get64(addr + 8));
}

static void ask128(const struct nf_classifier *c, enum nf_field field, const uint8_t addr[16],
                   const uint64_t *sets[], unsigned *n)
{
    const struct field *f = &c->field[field];
    const unsigned __int128 *at = f->cut128, value = number_of(addr);

    if (!f->set)
        return;
    for (uint32_t cuts = f->cuts; cuts > 1; cuts -= cuts / 2)
        at += at[cuts / 2] <= value ? cuts / 2 : 0;
    take(c, field, f->set[at - f->cut128], sets, n);
}

static unsigned ask_all(const struct nf_classifier *c, const struct nf_packet *p, const uint64_t *sets[])
{
    enum nf_kind_of of = p->flags & NF_P_IPV4        ? NF_KIND_IPV4
                         : p->flags & NF_P_IPV6_READ ? NF_KIND_IPV6
                                                     : NF_KIND_OTHER;
    bool tag = p->flags & NF_P_VLAN;
    unsigned n = 0;

    ask(c, NF_FIELD_KIND, nf_kind(of, p->side, p->flags & NF_P_L4, p->proto), sets, &n);
    ask(c, NF_FIELD_SPORT, be16toh(p->sport), sets, &n);
    ask(c, NF_FIELD_DPORT, be16toh(p->dport), sets, &n);
    ask(c, NF_FIELD_TYPE, p->icmp_type, sets, &n);
    if (c->field[NF_FIELD_DSCP].set)
        ask(c, NF_FIELD_DSCP, of == NF_KIND_OTHER ? NF_DSCPS : nf_packet_dscp(p), sets, &n);
    if (c->field[NF_FIELD_VID].set)
        ask(c, NF_FIELD_VID, tag ? nf_vlan_vid(p->data) : NF_NO_VID, sets, &n);
    if (c->field[NF_FIELD_PCP].set)
        ask(c, NF_FIELD_PCP, tag ? nf_vlan_pcp(p->data) : NF_NO_PCP, sets, &n);
    if (of == NF_KIND_IPV4) {
        ask32(c, NF_FIELD_FROM4, be32toh(p->saddr), sets, &n);
        ask32(c, NF_FIELD_TO4, be32toh(p->daddr), sets, &n);
    } else if (of == NF_KIND_IPV6) {
        ask128(c, NF_FIELD_FROM6, nf_packet_ipv6_addresses(p), sets, &n);
        ask128(c, NF_FIELD_TO6, nf_packet_ipv6_addresses(p) + 16, sets, &n);
    }
    return n;
}

uint32_t nf_classify(const struct nf_classifier *c, const struct nf_packet *p)
{
    const uint64_t *sets[NF_FIELDS];
    unsigned n = ask_all(c, p, sets);
    uint64_t words = sets[0][0]; /* of what it is; there always is one */

    for (unsigned i = 1; i < n; i++)
        words &= sets[i][0];
    for (; words; words &= words - 1) {
        unsigned word = (unsigned)__builtin_ctzll(words);
        uint64_t rules = sets[0][1 + word];

        for (unsigned i = 1; i < n && rules; i++)
            rules &= sets[i][1 + word];
        if (rules)
            return word * WORD_RULES + (unsigned)__builtin_ctzll(rules);
    }
    return c->count;
}

/* ---- making ---------------------------------------------------------------------------------------- */

struct nf_span nf_span_all(enum nf_field field)
{
    return (struct nf_span){0, ~(unsigned __int128)0 >> (128 - field_bits[field])};
}

struct nf_span nf_span_net(const struct nf_net *net)
{
    unsigned __int128 first = number_of(net->addr.byte), rest = ~(unsigned __int128)0;

    rest = net->bits < 128 ? rest >> net->bits : 0;
    if (net->ipv6)
        return (struct nf_span){first, first | rest};
    return (struct nf_span){(uint32_t)first, (uint32_t)(first | rest)};
}

/* A rule's span begins at the value, or has ended before it. */
struct edge {
    unsigned __int128 at;
    uint32_t rule;
    bool begins;
};

/* A field while it is made: a sweep over its values from edge to edge. */
struct sweep {
    struct field *field;
    uint32_t words, bits;
    struct edge *edge;
    uint32_t edges, room;
    uint8_t open[NF_CLASSIFIER_RULES_MAX]; /* spans of the rule that the value is in */
    uint64_t now[1 + WORDS_MAX];           /* the set at the value, as in field->sets */
    uint64_t hash;                         /* of it */
    uint32_t *place;                       /* sets by hash: a set's place + 1; [places], 0: none */
    uint32_t places, sets;
};

static int by_value(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

/* Makes room for all that the edges can cut. */
static bool make_room(struct sweep *s)
{
    size_t cuts = s->edges + 1u;

    for (s->places = 64; s->places < 2 * cuts;)
        s->places *= 2;
    s->place = calloc(s->places, sizeof(*s->place));                   /* lint: config-time */
    s->field->sets = malloc(cuts * (1 + s->words) * sizeof(uint64_t)); /* lint: config-time */
    s->field->set =
        malloc((s->bits > 16 ? cuts : (size_t)1 << s->bits) * sizeof(uint16_t)); /* lint: config-time */
    if (s->bits == 32)
        s->field->cut32 = malloc(cuts * sizeof(uint32_t)); /* lint: config-time */
    if (s->bits == 128)
        s->field->cut128 = malloc(cuts * sizeof(unsigned __int128)); /* lint: config-time */
    return s->place && s->field->sets && s->field->set && (s->bits != 32 || s->field->cut32) &&
           (s->bits != 128 || s->field->cut128);
}

/* The place of the set as it is now, which is kept if there is no such set yet. */
static uint16_t keep_set(struct sweep *s)
{
    size_t bytes = (1 + s->words) * sizeof(uint64_t);
    uint32_t at = (uint32_t)s->hash & (s->places - 1);
    uint64_t *sets = s->field->sets;

    s->now[0] = 0;
    for (uint32_t w = 0; w < s->words; w++)
        s->now[0] |= (uint64_t)(s->now[1 + w] != 0) << w;
    for (; s->place[at]; at = (at + 1) & (s->places - 1))
        if (memcmp(sets + (s->place[at] - 1) * (1 + s->words), s->now, bytes) == 0)
            return (uint16_t)(s->place[at] - 1);
    FT_CHECK(s->sets <= UINT16_MAX, "%u sets of rules in a field", s->sets);
    memcpy(sets + s->sets * (1 + s->words), s->now, bytes);
    s->place[at] = ++s->sets;
    return (uint16_t)(s->sets - 1);
}

/* From the value `first` on, up to `last`, the set is as it is now. */
static void cut(struct sweep *s, unsigned __int128 first, unsigned __int128 last)
{
    struct field *f = s->field;
    uint16_t set = keep_set(s);

    if (s->bits <= 16) {
        for (uint32_t value = (uint32_t)first; value <= (uint32_t)last; value++)
            f->set[value] = set;
        return;
    }
    if (f->cuts && f->set[f->cuts - 1] == set)
        return;
    if (s->bits == 32)
        f->cut32[f->cuts] = (uint32_t)first;
    else
        f->cut128[f->cuts] = first;
    f->set[f->cuts++] = set;
}

static void pass_edge(struct sweep *s, const struct edge *e)
{
    uint64_t sequence = e->rule;
    bool was = s->open[e->rule] != 0;

    s->open[e->rule] = (uint8_t)(s->open[e->rule] + (e->begins ? 1 : -1));
    if (was == (s->open[e->rule] != 0))
        return;
    s->now[1 + e->rule / WORD_RULES] ^= 1ull << e->rule % WORD_RULES;
    s->hash ^= ft_draw(&sequence);
}

static bool add_edge(struct sweep *s, struct edge edge)
{
    if (s->edges == s->room) {
        struct edge *more = realloc(s->edge, 2ul * (s->room + 512) * sizeof(edge)); /* lint: config-time */

        if (!more)
            return false;
        s->edge = more;
        s->room = 2 * (s->room + 512);
    }
    s->edge[s->edges++] = edge;
    return true;
}

/* False: no memory. *any: every rule takes any value. */
static bool collect(struct sweep *s, const struct nf_classifier_rules *rules, enum nf_field field, bool *any)
{
    const struct nf_span all = nf_span_all(field);
    struct nf_span span[NF_SPANS_MAX];

    *any = true;
    for (uint32_t r = 0; r < rules->count; r++) {
        unsigned n = rules->spans(rules->arg, r, field, span);

        *any &= n == 1 && span[0].first == 0 && span[0].last == all.last;
        for (unsigned i = 0; i < n; i++)
            if (!add_edge(s, (struct edge){span[i].first, r, true}) ||
                (span[i].last < all.last && !add_edge(s, (struct edge){span[i].last + 1, r, false})))
                return false;
    }
    return true;
}

static bool make_field(struct sweep *s, const struct nf_classifier_rules *rules, enum nf_field field)
{
    const struct nf_span all = nf_span_all(field);
    unsigned __int128 from = 0;
    bool any;

    if (!collect(s, rules, field, &any))
        return false;
    if (any && field != NF_FIELD_KIND)
        return true;
    if (!make_room(s))
        return false;
    if (s->edges)
        qsort(s->edge, s->edges, sizeof(*s->edge), by_value);
    for (uint32_t i = 0; i < s->edges; i++) {
        if (s->edge[i].at != from)
            cut(s, from, s->edge[i].at - 1);
        from = s->edge[i].at;
        pass_edge(s, &s->edge[i]);
    }
    cut(s, from, all.last);
    /* What is not used is given back; that fails only where nothing is to be had for it. */
    uint64_t *fit =
        realloc(s->field->sets, s->sets * (1 + s->words) * sizeof(uint64_t)); /* lint: config-time */
    s->field->sets = fit ? fit : s->field->sets;
    return true;
}

int nf_classifier_make(struct nf_classifier **out, const struct nf_classifier_rules *rules,
                       struct ft_fault *fault)
{
    struct nf_classifier *c = calloc(1, sizeof(*c)); /* lint: config-time */
    bool made = c != NULL;

    *out = NULL;
    FT_CHECK(rules->count <= NF_CLASSIFIER_RULES_MAX, "%u rules", rules->count);
    for (unsigned field = 0; made && field < NF_FIELDS; field++) {
        struct sweep *s = calloc(1, sizeof(*s)); /* lint: config-time */

        c->count = rules->count;
        c->words = (rules->count + WORD_RULES - 1) / WORD_RULES;
        made = s != NULL;
        if (!made)
            break;
        s->field = &c->field[field];
        s->words = c->words;
        s->bits = field_bits[field];
        made = make_field(s, rules, field);
        free(s->edge);  /* lint: config-time */
        free(s->place); /* lint: config-time */
        free(s);        /* lint: config-time */
    }
    if (!made) {
        nf_classifier_free(c);
        return ft_fail(fault, FT_ENOMEM, "no memory for the index of %u rules", rules->count);
    }
    *out = c;
    return FT_OK;
}

void nf_classifier_free(struct nf_classifier *c)
{
    for (unsigned i = 0; c && i < NF_FIELDS; i++) {
        free(c->field[i].set);    /* lint: config-time */
        free(c->field[i].sets);   /* lint: config-time */
        free(c->field[i].cut32);  /* lint: config-time */
        free(c->field[i].cut128); /* lint: config-time */
    }
    free(c); /* lint: config-time */
}
