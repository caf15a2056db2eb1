/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_guard: queries for listed domains, and what is below them, do not reach a resolver. It looks at the
 * name of a query's question, UDP to port 53, IPv4 and IPv6. It has no state but its counters: the list is
 * the configuration's. An example of an NF that reads payload.
 */
#include "nfs/dns_guard_list.h"

#include <arpa/inet.h>
#include <string.h>

#define HEADER     12u /* of a message (RFC 1035, 4.1.1) */
#define NXDOMAIN   3u
#define ANSWER_MAX (14u + 8 + 40 + 8 + HEADER + DG_NAME_MAX + 4)

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
    X(DG_ANSWERED, "answered")   /* of those, that there is no such name */                                  \
    X(DG_MALFORMED, "malformed") /* dropped: no question, or more than one, can be read */
enum dg_counter { DG_COUNTERS(NF_COUNTER) };
static const char *const dg_counters[] = {DG_COUNTERS(NF_COUNTER_NAME) NULL};

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

/* Addresses and ports of a UDP packet without options, swapped; its lengths and checksums. UDP of IPv4 may be
 * without one. */
static void turn_round(uint8_t *frame, uint32_t len, const struct nf_packet *p)
{
    uint8_t *ip = frame + p->l3, *udp = frame + p->l4;
    bool ipv6 = p->flags & NF_P_IPV6;
    uint32_t half = ipv6 ? 16 : 4, from = ipv6 ? 8 : 12;

    nf_packet_macs_back(p, frame);
    memcpy(ip + from, p->data + p->l3 + from + half, half);
    memcpy(ip + from + half, p->data + p->l3 + from, half);
    nf_put16(udp, p->dport);
    nf_put16(udp + 2, p->sport);
    nf_put16(udp + 4, htons((uint16_t)(len - p->l4)));
    nf_put16(udp + 6, 0);
    ip[ipv6 ? 7 : 8] = 64;
    nf_put16(ip + (ipv6 ? 4 : 2), htons((uint16_t)(len - (ipv6 ? p->l4 : p->l3))));
    if (ipv6) {
        uint16_t sum = nf_ipv6_checksum(ip + 8, NF_PROTO_UDP, udp, len - p->l4);

        nf_put16(udp + 6, sum ? sum : 0xffff);
    } else {
        nf_put16(ip + 10, 0);
        nf_put16(ip + 10, nf_checksum(ip, 20));
    }
}

/* The query with its question alone becomes the answer that there is no such name. */
static void answer(const struct nf *nf, const struct nf_packet *p, uint32_t question)
{
    uint8_t frame[ANSWER_MAX], *dns = frame + p->payload;
    uint32_t len = p->payload + HEADER + question;

    if (p->l4 != p->l3 + (p->flags & NF_P_IPV6 ? 40 : 20) || p->flags & NF_P_FRAGMENT ||
        len > sizeof(frame) || !nf_packet_may_answer(p))
        return;
    memcpy(frame, p->data, len);
    dns[2] = (uint8_t)(0x80 | (dns[2] & 0x79)); /* a response; opcode and "recursion desired" as asked */
    dns[3] = 0x80 | NXDOMAIN;                   /* recursion is available */
    memset(dns + 6, 0, 6);                      /* nothing behind the question */
    turn_round(frame, len, p);
    if (nf_emit(nf, p->in_port, frame, len) == FT_OK)
        nf_count(nf, DG_ANSWERED, 1);
}

/* A packet to a resolver. */
static void look_at(const struct nf *nf, struct nf_packet *p)
{
    const struct dg_config *config = nf->config;
    const uint8_t *dns = p->data + p->payload;
    uint32_t end = p->l4 + p->l4_len < p->have ? p->l4 + p->l4_len : p->have;
    uint32_t n = end > p->payload ? end - p->payload : 0, questions, len;
    uint8_t name[DG_NAME_MAX];

    if (n >= HEADER && dns[2] & 0x80) /* a response: no query */
        return;
    questions = n >= HEADER ? ntohs(nf_get16(dns + 4)) : 2;
    if (!questions)
        return;
    nf_count(nf, DG_QUERIES, 1);
    len = questions == 1 ? read_name(dns + HEADER, n - HEADER, name) : 0;
    if (!len || HEADER + len + 4 > n) { /* a type and a class follow */
        nf_drop(nf, p, DG_MALFORMED);
    } else if (dg_names_has(&config->names, name, len)) {
        if (config->action == ACTION_NXDOMAIN)
            answer(nf, p, len + 4);
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
    .version = 1,
    .summary = "keeps queries for listed domains from resolvers",
    .reads = NF_READS_PAYLOAD,
    .params = dg_params,
    .config_size = sizeof(struct dg_config),
    .counters = dg_counters,
    .check = dg_check,
    .release = dg_release,
    .process = dg_process,
};
NF_MODULE(dg_module)
