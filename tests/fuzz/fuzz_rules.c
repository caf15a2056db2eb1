/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall's rules, read from a file's content. What is read is within its bounds, and decides on any
 * packet, by its index as by a walk; what is refused has one line with the file's name. Text behind a byte 0
 * would be passed over silently, so there must be none.
 */
#include "nfs/firewall.c"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static void check_rule(const struct fw_rule *r)
{
    FUZZ_MUST(r->action <= FW_ALLOW && r->sides && r->sides <= 3, "action %u, sides %u", r->action, r->sides);
    FUZZ_MUST(r->sports + r->dports <= FW_RANGES_MAX, "%u and %u ports", r->sports, r->dports);
    FUZZ_MUST((r->saddr & ~r->smask) == 0 && (r->daddr & ~r->dmask) == 0, "an address with host bits");
    FUZZ_MUST(r->proto <= 255 || r->proto == FW_ANY, "protocol %u", r->proto);
    for (unsigned i = 0; i < (unsigned)r->sports + r->dports; i++)
        FUZZ_MUST(r->first[i] <= r->last[i], "ports %u to %u", r->first[i], r->last[i]);
}

static void decide(const struct fw_rules *rules)
{
    const struct nf_classifier_rules list = {rules->count, rule_spans, rules};
    struct nf_classifier *index;

    static const uint8_t protos[] = {1, 6, 17, 47};
    static uint8_t addresses[8 + 2 * 16] = {[8] = 0x20, 0x01, 0x0d, 0xb8, [24] = 0xfe, 0x80}; /* of IPv6 */

    FUZZ_MUST(nf_classifier_make(&index, &list, NULL) == 0, "no index of %u rules", rules->count);
    for (unsigned i = 0; i < 64; i++) {
        struct nf_packet p = {.side = i & 1,
                              .flags = i & 32 ? NF_P_IPV6_READ : NF_P_IPV4,
                              .data = addresses,
                              .have = sizeof(addresses),
                              .proto = protos[i >> 1 & 3],
                              .saddr = 0x0200000a,
                              .daddr = i & 8 ? 0x076433c6 : 0,
                              .sport = (uint16_t)(i * 2047),
                              .dport = i & 16 ? 0x5000 : 0xffff,
                              .icmp_type = (uint8_t)i};
        uint32_t at = match_rules(rules, rules->list, &p);

        FUZZ_MUST(at < rules->count + 2 && rules->list[at].sides >> p.side & 1, "rule %u decides", at);
        FUZZ_MUST(nf_classify(index, &p) == (at < rules->count ? at : rules->count), "not rule %u", at);
    }
    nf_classifier_free(index);
}

static void run(const uint8_t *data, size_t size)
{
    static struct fw_rules rules;
    struct ft_fault fault = {""};
    static const char path[] = "the.rules";
    const struct nf_file file = {path, (const char *)data, (uint32_t)size};

    memset(&rules, 0xa5, sizeof(rules));
    int error = read_rules(&rules, &file, &fault);

    if (error) {
        FUZZ_MUST(strncmp(fault.text, path, strlen(path)) == 0 && fault.text[strlen(path)] == ':',
                  "no place in '%s'", fault.text);
        FUZZ_MUST(!strchr(fault.text, '\n'), "two lines: '%s'", fault.text);
        return;
    }
    FUZZ_MUST(!size || !memchr(data, 0, size), "text behind a byte 0 is passed over");
    FUZZ_MUST(rules.count <= FW_RULES_MAX, "%u rules", rules.count);
    for (uint32_t i = 0; i < rules.count + 2; i++)
        check_rule(&rules.list[i]);
    decide(&rules);
}

static void seeds(void)
{
    static const char good[] = "# rules\nallow out tcp from 10.0.0.0/8 to any port 80,443,8000-8999\n"
                               "deny in udp from 198.51.100.0/24 port 53 to any\nallow in icmp type 8\n"
                               "allow 47 from any to 10.0.0.2\ndefault allow out\ndefault deny in\n";
    static const char bad[] = "allow out tcp from 10.0.0.1/8\n";

    fuzz_seed("good", good, sizeof(good) - 1);
    fuzz_seed("host-bits", bad, sizeof(bad) - 1);
    fuzz_seed("cut", good, 60);
}

FUZZ_TARGET(rules, "the firewall's rules", 2048)
