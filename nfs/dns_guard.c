/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_guard: queries for listed domains, and what is below them, do not reach a resolver. It looks at the
 * name of a query's question, UDP to port 53, IPv4 and IPv6, and answers with what a resolver has to send of
 * EDNS (RFC 6891), cookies (RFC 7873) and negative caching (RFC 2308). Its state is its counters and the key
 * of the cookies that it makes; the list is part of the configuration. An example of an NF that reads
 * payload.
 */
#include "nflib/nf.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define HEADER     12u /* of a message (RFC 1035, 4.1.1) */
#define RECORD     10u /* of a resource record, without its name and data: type, class, TTL, length of data */
#define SOA_LEN    50u
#define OPT_LEN    (1u + RECORD)
#define COOKIE_MAX 40u
#define MESSAGE_MAX                                                                                          \
    512u /* every client takes as much, so that no answer depends on the size that a query gives */
#define ANSWER_MAX (14u + 8 + 40 + 8 + MESSAGE_MAX)

/* The codes of answers; BADVERS is one of OPT (RFC 6891, 9). */
#define FORMERR  1u
#define NXDOMAIN 3u
#define BADVERS  16u

/* Types of records that mean something in a query. */
#define SIG  24u
#define OPT  41u
#define TSIG 250u

#define COOKIE 10u /* an option of OPT */

#define DG_NAME_MAX  255u /* RFC 1035, 2.3.4; with the lengths and the 0 */
#define DG_LABEL_MAX 63u
#define DG_LIST_MAX  1000000u

_Static_assert(HEADER + DG_NAME_MAX + 4 + SOA_LEN + OPT_LEN + 4 + COOKIE_MAX <= MESSAGE_MAX,
               "the longest one");

/* The state of an instance. */
struct dg_state {
    uint64_t key[2]; /* of the cookies that are made */
};

struct dg_name {
    const uint8_t *wire;
    uint32_t len;
};
struct dg_names {
    uint32_t count;
    struct dg_name *list; /* sorted */
    uint8_t *wires;
};

enum action { ACTION_DROP, ACTION_NXDOMAIN };
static const char *const action_names[] = {"drop", "nxdomain", NULL};

struct dg_config {
    struct nf_file list;
    uint32_t action;
    uint32_t clients;      /* enum nf_sides */
    struct dg_names names; /* made by check from the file */
};

#define DG_COUNTERS(X)                                                                                       \
    X(DG_QUERIES, "queries")     /* with a question, of clients; those below among them */                   \
    X(DG_LISTED, "listed")       /* dropped: for a name of the list, or below one */                         \
    X(DG_ANSWERED, "answered")   /* of those: no such name, or what is wrong with their EDNS */              \
    X(DG_MALFORMED, "malformed") /* dropped: no question, or more than one, can be read */
enum dg_counter { DG_COUNTERS(NF_COUNTER) };
static const char *const dg_counters[] = {DG_COUNTERS(NF_COUNTER_NAME) NULL};

/* ---- the list: a domain a line, such as example.com; `#` begins a comment ------------------------------ */

/* Names are kept as messages have them, each label behind its length and a 0 at the end, in lower case. So a
 * label with a dot in it is not taken for two. */

static int compare(const void *a, const void *b)
{
    const struct dg_name *x = a, *y = b;

    return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->wire, y->wire, x->len);
}

/* Where in this name, of `len` bytes and in lower case, a listed one begins, which it is or is below; `len`:
 * nowhere. */
static uint32_t dg_names_find(const struct dg_names *names, const uint8_t *name, uint32_t len)
{
    for (uint32_t at = 0; at < len && name[at]; at += 1u + name[at]) {
        struct dg_name wanted = {name + at, len - at};

        if (names->count && bsearch(&wanted, names->list, names->count, sizeof(wanted), compare))
            return at;
    }
    return len;
}

/* A domain of n letters into out[n + 2]; its length there, 0: it is none. */
static uint32_t write_wire(const char *text, size_t n, uint8_t *out)
{
    uint32_t label = 0, used = 1; /* where its length stands; where its next letter goes */

    if (n && text[n - 1] == '.')
        n--;
    if (n + 2 > DG_NAME_MAX)
        return 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] != '.') {
            if ((uint8_t)text[i] <= ' ' || (uint8_t)text[i] > '~')
                return 0;
            out[used++] = (uint8_t)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
            continue;
        }
        if (used - label - 1 < 1 || used - label - 1 > DG_LABEL_MAX)
            return 0;
        out[label] = (uint8_t)(used - label - 1);
        label = used++;
    }
    out[label] = 0;
    return used;
}

static int read_line(struct dg_names *names, uint32_t *used, const char *text, size_t n)
{
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r'))
        n--;
    for (; n && (*text == ' ' || *text == '\t'); n--)
        text++;
    if (!n)
        return 0;
    struct dg_name *name = &names->list[names->count];

    name->wire = names->wires + *used;
    name->len = write_wire(text, n, names->wires + *used);
    *used += name->len;
    names->count += name->len != 0;
    return name->len ? 0 : FT_EINVAL;
}

static uint32_t count_lines(const struct nf_file *file)
{
    uint32_t lines = 1;

    for (uint32_t i = 0; i < file->len; i++)
        lines += file->bytes[i] == '\n';
    return lines;
}

static void dg_names_free(struct dg_names *names)
{
    nf_heap_free(names->list);
    nf_heap_free(names->wires);
    *names = (struct dg_names){0};
}

/* FT_EINVAL with "FILE:LINE: what, what was expected"; FT_ENOMEM. */
static int dg_names_read(struct dg_names *names, const struct nf_file *file, struct ft_fault *fault)
{
    uint32_t lines = count_lines(file), used = 0, line = 1;

    *names = (struct dg_names){0};
    if (lines > DG_LIST_MAX)
        return ft_fail(fault, FT_EINVAL, "%s: %u lines, expected at most %u", file->path, lines, DG_LIST_MAX);
    names->list = nf_heap_malloc(lines * sizeof(*names->list));
    names->wires = nf_heap_malloc((uint64_t)file->len + 2ull * lines + DG_NAME_MAX);
    if (!names->list || !names->wires) {
        dg_names_free(names);
        return ft_fail(fault, FT_ENOMEM, "%s: no memory for %u lines", file->path, lines);
    }
    for (uint32_t at = 0; at < file->len; line++) {
        const char *text = file->bytes + at;
        const char *newline = memchr(text, '\n', file->len - at);
        uint32_t n = newline ? (uint32_t)(newline - text) : file->len - at;
        const char *comment = memchr(text, '#', n);

        if (read_line(names, &used, text, comment ? (size_t)(comment - text) : n)) {
            dg_names_free(names);
            return ft_fail(fault, FT_EINVAL, "%s:%u: \"%.*s\", expected a domain such as example.com",
                           file->path, line, (int)(n < 80 ? n : 80), text);
        }
        at += n + 1;
    }
    qsort(names->list, names->count, sizeof(*names->list), compare);
    return 0;
}

/* ---- packets ------------------------------------------------------------------------------------------- */

/* The name of the question at `at`, in lower case, as the list has them; its length, 0: it breaks the format.
 * A compression pointer does: nothing stands in front of a question that it could point to. */
static uint32_t read_name(const uint8_t *at, uint32_t n, uint8_t name[DG_NAME_MAX])
{
    uint32_t used = 0;

    while (used < n && used < DG_NAME_MAX) {
        uint32_t label = at[used], end = used + 1 + label;

        name[used] = (uint8_t)label;
        if (!label)
            return end;
        if (label > DG_LABEL_MAX || end >= n || end >= DG_NAME_MAX)
            return 0;
        for (uint32_t i = used + 1; i < end; i++)
            name[i] = at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 0x20 : at[i];
        used = end;
    }
    return 0;
}

/* Addresses and ports of a UDP packet without options, swapped; its lengths and checksums. */
static void turn_round(uint8_t *frame, uint32_t len, const struct nf_packet *p)
{
    uint8_t *ip = frame + p->l3, *udp = frame + p->l4;
    bool ipv6 = p->flags & NF_P_IPV6;
    uint32_t half = ipv6 ? 16 : 4, from = ipv6 ? 8 : 12;
    uint16_t sum;

    nf_packet_macs_back(p, frame);
    memcpy(ip + from, p->data + p->l3 + from + half, half);
    memcpy(ip + from + half, p->data + p->l3 + from, half);
    nf_put16(udp, p->dport);
    nf_put16(udp + 2, p->sport);
    nf_put16(udp + 4, htons((uint16_t)(len - p->l4)));
    nf_put16(udp + 6, 0);
    ip[ipv6 ? 7 : 8] = 64;
    nf_put16(ip + (ipv6 ? 4 : 2), htons((uint16_t)(len - (ipv6 ? p->l4 : p->l3))));
    sum = ipv6 ? nf_ipv6_checksum(ip + 8, NF_PROTO_UDP, udp, len - p->l4)
               : nf_ipv4_checksum(ip + 12, NF_PROTO_UDP, udp, len - p->l4);
    nf_put16(udp + 6, sum ? sum : 0xffff);
    if (ipv6)
        return;
    nf_put16(ip + 10, 0);
    nf_put16(ip + 10, nf_checksum(ip, 20));
}

/* What a query has behind its question. */
struct dg_edns {
    bool broken;           /* a record breaks the format, or there is more than one OPT */
    bool authenticated;    /* by TSIG or SIG(0) */
    const uint8_t *opt;    /* behind the name of its OPT; NULL: it has none */
    const uint8_t *cookie; /* of that; NULL: none */
    uint32_t cookie_len;
};

/* Behind the name at `at`; 0: it breaks the format. */
static uint32_t skip_name(const uint8_t *dns, uint32_t at, uint32_t n)
{
    while (at < n) {
        uint32_t label = dns[at];

        if (label >= 0xc0)
            return at + 2 <= n ? at + 2 : 0;
        if (label > DG_LABEL_MAX)
            return 0;
        at += 1 + label;
        if (!label)
            return at;
    }
    return 0;
}

/* The client's part of a cookie has 8 bytes, the server's 8 to 32 (RFC 7873, 4). */
static void read_options(struct dg_edns *edns, const uint8_t *at, uint32_t n)
{
    while (n) {
        uint32_t len = n < 4 ? n : ntohs(nf_get16(at + 2));

        if (n < 4 || len > n - 4) {
            edns->broken = true;
            return;
        }
        if (ntohs(nf_get16(at)) == COOKIE && !edns->cookie) {
            edns->cookie = at + 4;
            edns->cookie_len = len;
            edns->broken = len < 8 || (len > 8 && len < 16) || len > COOKIE_MAX;
        }
        at += 4 + len;
        n -= 4 + len;
    }
}

/* Of a message of n bytes, whose question ends at `at`. */
static struct dg_edns read_records(const uint8_t *dns, uint32_t at, uint32_t n)
{
    uint32_t others = (uint32_t)ntohs(nf_get16(dns + 6)) + ntohs(nf_get16(dns + 8));
    uint32_t records = others + ntohs(nf_get16(dns + 10));
    struct dg_edns edns = {.broken = false};

    for (uint32_t i = 0; i < records && !edns.broken; i++) {
        bool root = at < n && dns[at] == 0;
        uint32_t type, len;

        at = skip_name(dns, at, n);
        if (!at || n - at < RECORD) {
            edns.broken = true;
            break;
        }
        type = ntohs(nf_get16(dns + at));
        len = ntohs(nf_get16(dns + at + 8));
        edns.broken = len > n - at - RECORD || (type == OPT && (edns.opt || !root || i < others));
        edns.authenticated |= type == TSIG || type == SIG;
        if (type == OPT && !edns.opt) {
            edns.opt = dns + at;
            if (!edns.broken)
                read_options(&edns, dns + at + RECORD, len);
        }
        at += RECORD + len;
    }
    return edns;
}

/* The SOA of the listed domain, which the question's name has at `zone`, so that the answer is kept for five
 * minutes (RFC 2308, 5). */
static void write_soa(uint8_t *at, uint32_t zone, const uint8_t *class)
{
    static const uint8_t soa[SOA_LEN] = {0,    0,   0,   6,    0,    0,   0,    0,    1,   0x2c, 0,
                                         38,   0,   0, /* SOA, for 300 s, 38 bytes */
                                         6,    'n', 'o', 'b',  'o',  'd', 'y',  7,    'i', 'n',  'v',
                                         'a',  'l', 'i', 'd',  0, /* whom to write to */
                                         0,    0,   0,   1,    0,    0,   0x0e, 0x10, 0,   0,    4,
                                         0xb0, 0,   9,   0x3a, 0x80, 0,   0,    1,    0x2c}; /* its numbers */
    uint16_t pointer = htons((uint16_t)(0xc000 | zone));

    memcpy(at, soa, SOA_LEN);
    nf_put16(at, pointer); /* its owner and the name of its server */
    nf_put16(at + 12, pointer);
    memcpy(at + 4, class, 2);
}

/* The client's cookie comes back with the server's that it came with, or one that is made: nobody looks at
 * that here, and the server gives another one in its place. */
static uint32_t write_cookie(const struct nf *nf, const struct nf_packet *p, const struct dg_edns *edns,
                             uint8_t *at)
{
    const struct dg_state *state = nf->state;
    uint32_t len = edns->cookie_len > 8 ? edns->cookie_len : 16;
    bool ipv6 = p->flags & NF_P_IPV6;
    uint8_t client[16 + 8];
    uint64_t made;

    nf_put16(at, htons(COOKIE));
    nf_put16(at + 2, htons((uint16_t)len));
    memcpy(at + 4, edns->cookie, edns->cookie_len);
    if (edns->cookie_len == 8) {
        memcpy(client, edns->cookie, 8);
        memcpy(client + 8, p->data + p->l3 + (ipv6 ? 8 : 12), ipv6 ? 16 : 4);
        made = nf_siphash(state->key, client, ipv6 ? 24 : 12);
        memcpy(at + 12, &made, sizeof(made));
    }
    return 4 + len;
}

/* OPT of version 0: the upper bits of the code, how long the messages are that are taken (RFC 9715), and of
 * the query's flags DO (RFC 3225). */
static uint32_t write_opt(const struct nf *nf, const struct nf_packet *p, const struct dg_edns *edns,
                          uint32_t code, uint8_t *at)
{
    uint32_t options = 0;

    memset(at, 0, OPT_LEN);
    nf_put16(at + 1, htons(OPT));
    nf_put16(at + 3, htons(1232));
    at[5] = (uint8_t)(code >> 4);
    at[7] = edns->opt[6] & 0x80;
    if (code == NXDOMAIN && edns->cookie)
        options = write_cookie(nf, p, edns, at + OPT_LEN);
    nf_put16(at + 9, htons((uint16_t)options));
    return OPT_LEN + options;
}

/* A query of n bytes, with its question alone, becomes the answer that there is no such name. `zone`: where
 * in the message the listed name begins. */
static void answer(const struct nf *nf, const struct nf_packet *p, uint32_t n, uint32_t question,
                   uint32_t zone)
{
    uint8_t frame[ANSWER_MAX], *dns = frame + p->payload;
    uint32_t end = HEADER + question, code;
    struct dg_edns edns = read_records(p->data + p->payload, end, n);

    if (p->l4 != p->l3 + (p->flags & NF_P_IPV6 ? 40 : 20) || p->flags & NF_P_FRAGMENT ||
        p->payload + MESSAGE_MAX > sizeof(frame) || edns.authenticated || !nf_packet_may_answer(p))
        return;
    code = edns.broken ? FORMERR : edns.opt && edns.opt[5] ? BADVERS : NXDOMAIN;
    memcpy(frame, p->data, p->payload + end);
    dns[2] = 0x80 | (dns[2] & 0x01);                          /* a response; "recursion desired" as asked */
    dns[3] = (uint8_t)(0x80 | (dns[3] & 0x10) | (code & 15)); /* recursion is available; CD as asked */
    memset(dns + 6, 0, 6);
    dns[9] = code == NXDOMAIN;
    dns[11] = edns.opt != NULL;
    if (code == NXDOMAIN) {
        write_soa(dns + end, zone, dns + end - 2);
        end += SOA_LEN;
    }
    if (edns.opt)
        end += write_opt(nf, p, &edns, code, dns + end);
    turn_round(frame, p->payload + end, p);
    if (nf_emit(nf, p->in_port, frame, p->payload + end) == FT_OK)
        nf_count(nf, DG_ANSWERED, 1);
}

/* A packet to a resolver. */
static void look_at(const struct nf *nf, struct nf_packet *p)
{
    const struct dg_config *config = nf->config;
    const uint8_t *dns = p->data + p->payload;
    uint32_t end = p->l4 + p->l4_len < p->have ? p->l4 + p->l4_len : p->have;
    uint32_t n = end > p->payload ? end - p->payload : 0, questions, len, listed;
    uint8_t name[DG_NAME_MAX];

    if (n >= HEADER && dns[2] & 0xf8) /* a response, or of another opcode: no query */
        return;
    questions = n >= HEADER ? ntohs(nf_get16(dns + 4)) : 2;
    if (!questions)
        return;
    nf_count(nf, DG_QUERIES, 1);
    len = questions == 1 ? read_name(dns + HEADER, n - HEADER, name) : 0;
    if (!len || HEADER + len + 4 > n) { /* a type and a class follow */
        nf_drop(nf, p, DG_MALFORMED);
    } else if ((listed = dg_names_find(&config->names, name, len)) < len) {
        if (config->action == ACTION_NXDOMAIN)
            answer(nf, p, n, len + 4, HEADER + listed);
        nf_drop(nf, p, DG_LISTED);
    }
}

/* Of UDP, or of IPv6 behind headers that cannot be read: it may be to a resolver. */
static bool hides_port(const struct nf_packet *p)
{
    if (p->flags & NF_P_LATER)
        return false;
    return (p->proto == NF_PROTO_UDP && !(p->flags & NF_P_L4)) ||
           (p->flags & NF_P_IPV6_READ && nf_ipv6_is_extension(p->proto));
}

static void dg_process(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    const struct dg_config *config = nf->config;

    (void)now;
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];

        if (!nf_sides_has(config->clients, p))
            continue;
        if (hides_port(p))
            nf_drop(nf, p, DG_MALFORMED);
        else if (p->proto == NF_PROTO_UDP && p->dport == htons(53) && !(p->flags & NF_P_LATER))
            look_at(nf, p);
    }
}

static bool dg_make(struct nf *nf)
{
    struct dg_state *state = nf->state;

    state->key[0] = nf_random(nf);
    state->key[1] = nf_random(nf);
    return true;
}

static int dg_check(void *c, struct ft_fault *fault)
{
    struct dg_config *config = c;

    return dg_names_read(&config->names, &config->list, fault);
}

static void dg_release(void *c)
{
    dg_names_free(&((struct dg_config *)c)->names);
}

static const struct nf_param dg_params[] = {
    NF_PARAM(struct dg_config, list, NF_FILE, NULL, "file of domains, one a line", .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct dg_config, action, action_names, "nxdomain", "what becomes of a query for one of them",
              .marks = NF_PARAM_LIVE),
    NF_ONE_OF(struct dg_config, clients, nf_sides_names, "inside", "the side whose queries are looked at",
              .marks = NF_PARAM_LIVE),
    {0},
};

static const struct nf_module dg_module = {
    .name = "dns_guard",
    .version = 2,
    .summary = "keeps queries for listed domains from resolvers",
    .reads = NF_READS_PAYLOAD,
    .params = dg_params,
    .config_size = sizeof(struct dg_config),
    .state_size = sizeof(struct dg_state),
    .counters = dg_counters,
    .check = dg_check,
    .release = dg_release,
    .make = dg_make,
    .process = dg_process,
};
NF_MODULE(dg_module)
