/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of ips: a subset of Snort's language, read from a file while the configuration is checked, and
 * the automata that find their contents. Read-only from then on, in memory of the process. The language is in
 * docs/pair-file.md; what is not in it is refused.
 */
#ifndef NFS_IPS_RULES_H
#define NFS_IPS_RULES_H

#include "nflib/nf.h"
#include "nfs/ips/pcre.h"

#define IPS_RULES_MAX    4096u
#define IPS_CONTENTS_MAX 16384u
#define IPS_BYTES_MAX    65535u /* of all contents: a state of an automaton has 16 bits */
#define IPS_TEXT_MAX     (512u << 10)
#define IPS_LIST_MAX     8192u /* hosts, and ranges of ports, of all rules */
#define IPS_PCRES_MAX    256u
#define IPS_WINDOW       1024u /* distance and within together */

enum ips_action { IPS_OFF, IPS_ALERT, IPS_DROP, IPS_REJECT, IPS_ACTIONS };
extern const char *const ips_action_names[];

enum ips_flow_bits { IPS_ESTABLISHED = 1, IPS_TO_SERVER = 2, IPS_TO_CLIENT = 4 };
enum ips_threshold { IPS_EVERY, IPS_LIMIT, IPS_THRESHOLD, IPS_BOTH };

struct ips_range {
    uint16_t first, last;
};
/* A part of a list of those; none: any. */
struct ips_set {
    uint16_t from, count;
    bool not ;
};

struct ips_rule {
    uint32_t sid, rev, line;
    uint32_t msg;                    /* in text[] */
    uint32_t content, contents;      /* in contents[] */
    struct ips_set host[2], port[2]; /* of the source, of the destination */
    uint8_t action;                  /* enum ips_action, not IPS_OFF */
    uint8_t proto;
    bool both;         /* <>: the ends the other way round as well */
    uint8_t flow;      /* enum ips_flow_bits */
    uint8_t threshold; /* enum ips_threshold */
    bool by_dst;
    uint32_t count, seconds; /* of the threshold */
};

/* Contents of a rule are chains: one that stands by itself, and those relative to the one before each. */
struct ips_content {
    uint32_t rule, same; /* same: the next content of the same bytes + 1 */
    uint32_t at;         /* in text[] */
    uint16_t len;
    uint16_t pcre;               /* it is a pattern: of pcre[], + 1; it has no bytes of its own */
    bool nocase, relative, last; /* last: of its chain */
    uint32_t offset, depth;      /* depth 0: any */
    uint32_t distance, within;   /* within 0: any */
};

/*
 * Finds all contents of one kind (Aho and Corasick: Efficient string matching, 1975). Bytes that occur in no
 * content are of one class. `next` leads from a state by a byte's class; with IPS_FOUND contents end there.
 */
#define IPS_FOUND (1u << 31)
struct ips_automaton {
    uint16_t class[256];
    uint32_t classes, states; /* states 0: there are no contents */
    uint32_t *next;           /* [states][classes] */
    uint32_t *found;          /* [states] the first content + 1 */
    uint16_t *shorter;        /* [states] the longest other state that ends with contents; 0: none */
};

struct ips_rules {
    uint32_t count, contents, bytes, used, hosts, ranges; /* used: of text[] */
    struct ips_rule rule[IPS_RULES_MAX];
    struct ips_content content[IPS_CONTENTS_MAX];
    uint32_t pcres;
    struct ips_pcre pcre[IPS_PCRES_MAX];
    struct nf_net host[IPS_LIST_MAX];
    struct ips_range range[IPS_LIST_MAX];
    struct ips_automaton automaton[2]; /* for contents as they are, and for those in any case */
    char text[IPS_TEXT_MAX];
};

/* Reads the file's content. FT_EINVAL with "FILE:LINE: what, what was expected"; FT_ENOMEM. *out is the
 * caller's to free; NULL when there is an error. */
int ips_rules_read(struct ips_rules **out, const struct nf_file *file, struct ft_fault *fault);
void ips_rules_free(struct ips_rules *rules);
/* NF_NONE: there is none of that number. */
uint32_t ips_rules_find(const struct ips_rules *rules, uint32_t sid);

#endif
