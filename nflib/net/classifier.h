/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of an ordered list of rules is the first that a packet matches, at a cost that hardly depends on the
 * length of the list. A rule wants of each field of a packet a value in one of some spans. Made off the lanes
 * by whoever reads a configuration, which owns it; from then on nobody writes it, and all lanes read it. What
 * it answers rests on rules and packet alone.
 */
#ifndef NFLIB_NET_CLASSIFIER_H
#define NFLIB_NET_CLASSIFIER_H

#include "ftcore/base/error.h"
#include "nflib/net/packet.h"

#define NF_CLASSIFIER_RULES_MAX 4096u
#define NF_SPANS_MAX            32u /* of a rule in a field */

/* Numbers in host order. Ports and type are 0 where the packet has none, as in struct nf_packet. */
enum nf_field {
    NF_FIELD_KIND, /* nf_kind */
    NF_FIELD_SPORT,
    NF_FIELD_DPORT,
    NF_FIELD_TYPE,  /* of ICMP */
    NF_FIELD_DSCP,  /* or NF_DSCPS: it is not IP */
    NF_FIELD_VID,   /* of the first tag; or NF_NO_VID */
    NF_FIELD_PCP,   /* of the first tag; or NF_NO_PCP */
    NF_FIELD_FROM4, /* asked of packets of IPv4 only, the last two of those of IPv6 */
    NF_FIELD_TO4,
    NF_FIELD_FROM6,
    NF_FIELD_TO6,
    NF_FIELDS,
};
#define NF_NO_VID 4096u
#define NF_NO_PCP 8u

enum nf_kind_of { NF_KIND_IPV4, NF_KIND_IPV6, NF_KIND_OTHER };
/* What a packet is, as one number. `l4`: NF_P_L4 is set. */
static inline uint32_t nf_kind(enum nf_kind_of of, unsigned side, bool l4, uint8_t proto)
{
    return (uint32_t)of << 10 | side << 9 | (uint32_t)l4 << 8 | proto;
}

struct nf_span {
    unsigned __int128 first, last;
};
/* Every value of a field. */
struct nf_span nf_span_all(enum nf_field field);
/* The addresses of a network, of a field of its family. */
struct nf_span nf_span_net(const struct nf_net *net);

struct nf_classifier_rules {
    uint32_t count;
    /* The spans of a rule in a field; they may overlap. 0: it matches no packet that is asked for the field.
     */
    unsigned (*spans)(const void *arg, uint32_t rule, enum nf_field field, struct nf_span out[NF_SPANS_MAX]);
    const void *arg;
};

struct nf_classifier;
/* FT_ENOMEM, then nothing is made; the arguments are not kept. */
int nf_classifier_make(struct nf_classifier **out, const struct nf_classifier_rules *rules,
                       struct ft_fault *fault);
void nf_classifier_free(struct nf_classifier *c); /* NULL is nothing to free */

/* The first rule that matches a parsed packet; the count of rules: none does. */
uint32_t nf_classify(const struct nf_classifier *c, const struct nf_packet *p);

#endif
