/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of rules that describe packets: the firewall's own, and those of NFs whose rules name flows as the
 * firewall's do (nfs/qos). One rule a line, the first that matches decides, `#` begins a comment:
 *
 *     allow|deny [in|out] MATCH
 *     default allow|deny [in|out]
 *
 * MATCH: [tcp|udp|icmp|icmpv6|any|NUMBER] [from HOST [port PORTS]] [to HOST [port PORTS]] [type N]
 *
 * `in` comes from the outer side, `out` from the inner, neither means both. HOST: any, A.B.C.D or A.B.C.D/N,
 * or the same of IPv6, and not one of each in a rule. A rule without hosts, or with `any`, is of both. PORTS:
 * 80,443,8000-8999, at most 8 entries in a rule; type: of ICMP or ICMPv6. What no rule matches follows the
 * default of its direction, which is deny where the file sets none. Rules judge IPv6 where the NF's setting
 * asks for it.
 */
#ifndef NFS_FIREWALL_H
#define NFS_FIREWALL_H

#include "nflib/net/classifier.h"
#include "nflib/nf.h"

#define FW_RULES_MAX  NF_CLASSIFIER_RULES_MAX
#define FW_HOSTS_MAX  2048u /* hosts and networks of IPv6, in all rules */
#define FW_RANGES_MAX 8u
#define FW_ANY        0xffffu

enum fw_action { FW_DENY, FW_ALLOW };

/* One line of the region each; the last two of a list are the defaults, for in and for out. */
struct fw_rule {
    uint64_t hits;                       /* packets it decided on */
    uint32_t saddr, smask, daddr, dmask; /* network order. With `ipv6` 0, any, or a place in hosts[] + 1 */
    uint16_t first[FW_RANGES_MAX];       /* host order; source ports before destination ports */
    uint16_t last[FW_RANGES_MAX];
    uint16_t proto;                 /* or FW_ANY */
    uint16_t line;                  /* in the file; 0: a default it does not mention */
    uint8_t action;                 /* enum fw_action; of vlan_qos the class */
    uint8_t sides;                  /* bits 1 << enum nf_side: where packets come from */
    uint8_t sports : 4, dports : 4; /* entries of first[], last[]; 0: any */
    uint8_t typed : 1;              /* ICMP type in first[0] */
    uint8_t ipv4 : 1, ipv6 : 1;     /* it names hosts of that; neither: it is of both */
};
_Static_assert(sizeof(struct fw_rule) == 64, "a rule is one line");

struct fw_rules {
    uint32_t count; /* without the defaults, which lie at list[count] (in) and list[count + 1] (out) */
    struct fw_rule list[FW_RULES_MAX + 2];
    uint32_t hosts;
    struct nf_net host[FW_HOSTS_MAX];
    struct nf_classifier *index; /* by fw_index_rules; NULL: they are so few that they are walked through */
};

/* A file, a word at a time: the word's line, and its place in it. */
#define FW_LINE_BYTES 1024u
struct fw_words {
    const struct nf_file *file;
    struct ft_fault *fault;
    uint32_t at; /* bytes of the file that have been read */
    unsigned line;
    char *word; /* NULL: no more in the line */
    char *rest;
    char text[FW_LINE_BYTES];
};

/* Goes on to the next line that has a word; false: there is none, or the line breaks the format, and *error
 * is set. `error` is 0 before. */
bool fw_words_line(struct fw_words *w, int *error);
void fw_words_next(struct fw_words *w);
/* Goes on behind the word if it is that one. */
bool fw_words_take(struct fw_words *w, const char *word);
/* FT_EINVAL with "FILE:LINE: 'WORD', expected WHAT". */
int fw_words_fail(const struct fw_words *w, const char *what);

/* Reads the words above into `rule`, hosts of IPv6 into `rules`: direction first, then the rest and up to the
 * line's end. FT_EINVAL. */
void fw_read_direction(struct fw_words *w, struct fw_rule *rule);
int fw_read_match(struct fw_words *w, struct fw_rules *rules, struct fw_rule *rule);

/* What a rule wants of a packet's field, for an index: as fw_rule_matches judges. */
unsigned fw_spans(const struct fw_rules *rules, const struct fw_rule *rule, enum nf_field field,
                  struct nf_span out[NF_SPANS_MAX]);
/* Makes rules->index of rules that are read, where they are many; `spans` with `arg` returns what each one
 * matches. The owner of the rules frees it. FT_ENOMEM. */
int fw_index_rules(struct fw_rules *rules,
                   unsigned (*spans)(const void *arg, uint32_t rule, enum nf_field field,
                                     struct nf_span out[NF_SPANS_MAX]),
                   const void *arg, struct ft_fault *fault);

/* Of a packet of IPv4, or of IPv6 that was read; its ports are known, or 0. */
bool fw_rule_matches(const struct fw_rules *rules, const struct fw_rule *rule, const struct nf_packet *p);

#endif
