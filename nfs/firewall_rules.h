/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall's rules: reading them from a file, and matching. One rule a line, the first that matches
 * decides, `#` begins a comment:
 *
 *     allow|deny [in|out] [tcp|udp|icmp|icmpv6|any|NUMBER] [from HOST [port PORTS]] [to HOST [port PORTS]]
 *         [type N]
 *     default allow|deny [in|out]
 *
 * `in` comes from the outer side, `out` from the inner, neither means both. HOST: any, A.B.C.D or A.B.C.D/N,
 * or the same of IPv6, and not one of each in a rule. A rule without hosts, or with `any`, is of both. PORTS:
 * 80,443,8000-8999, at most 8 entries in a rule; type: of ICMP or ICMPv6. What no rule matches follows the
 * default of its direction, which is deny where the file says nothing. Rules judge IPv6 where the NF's
 * setting says so.
 */
#ifndef NFS_FIREWALL_RULES_H
#define NFS_FIREWALL_RULES_H

#include "nflib/nf.h"

#define FW_RULES_MAX  4096u
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
    uint8_t action;                 /* enum fw_action */
    uint8_t sides;                  /* bits 1 << enum nf_side: where packets come from */
    uint8_t sports : 4, dports : 4; /* entries of first[], last[]; 0: any */
    uint8_t typed : 1;              /* ICMP type in first[0] */
    uint8_t ipv4 : 1, ipv6 : 1;     /* it names hosts of that; neither: it is of both */
};
_Static_assert(sizeof(struct fw_rule) == 64, "a rule is one line");

struct fw_host {
    uint8_t addr[16], bits;
};

struct fw_rules {
    uint32_t count; /* without the defaults, which lie at list[count] (in) and list[count + 1] (out) */
    struct fw_rule list[FW_RULES_MAX + 2];
    uint32_t hosts;
    struct fw_host host[FW_HOSTS_MAX];
};

/* Reads the file's content. FT_EINVAL with "FILE:LINE: what, what was expected". */
int fw_rules_read(struct fw_rules *rules, const struct nf_file *file, struct ft_fault *fault);

/*
 * The file says `now` where it said `was`, which have become `live` since. A rule of both, wherever it
 * stands, keeps its hits in `to`, and what an operator has set it to, unless the file gives it another action
 * now.
 */
void fw_rules_carry(struct fw_rule to[], const struct fw_rules *now, const struct fw_rules *was,
                    const struct fw_rule live[]);

/* The rule that decides on a packet with its ports known; always one. `list` is what has become of
 * rules->list. */
uint32_t fw_rules_match(const struct fw_rules *rules, const struct fw_rule list[], const struct nf_packet *p);

#endif
