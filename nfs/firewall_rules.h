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

#include "nfs/firewall_match.h"

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
