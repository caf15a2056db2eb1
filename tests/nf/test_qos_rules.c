/* SPDX-License-Identifier: Apache-2.0 */
/* vlan_qos gives a packet the same class by its index of matches as by the walk through them. */
#include "nfs/qos/vlan_qos.c"
#include "tests/help/test.h"
#include "tests/nf/drawn_rules.h"

static char text[FW_RULES_MAX * 256];
static struct vq_rules rules;

/* "vlan 3 pcp 5 dscp 0,46 ", or some of it. */
static void draw_tag(char *out, size_t size)
{
    int n = 0;

    out[0] = 0;
    if (drawn(3) == 0)
        n += snprintf(out + n, size - (size_t)n, "vlan %u ", drawn(6));
    if (drawn(3) == 0)
        n += snprintf(out + n, size - (size_t)n, "pcp %u ", drawn(8));
    if (drawn(3) == 0) {
        n += snprintf(out + n, size - (size_t)n, "dscp %u", drawn(64));
        for (unsigned i = drawn(drawn(4) ? 3 : 60); i > 0; i--)
            n += snprintf(out + n, size - (size_t)n, ",%u", drawn(64));
        snprintf(out + n, size - (size_t)n, " ");
    }
}

static void draw_rules(void)
{
    struct ft_fault fault = {""};
    size_t n = (size_t)snprintf(text, sizeof(text), "class one\n");
    uint32_t ipv6 = 0;

    for (uint32_t i = drawn_count(); i > 0; i--) {
        char match[512], tag[256];

        draw_tag(tag, sizeof(tag));
        drawn_match(match, sizeof(match), tag);
        ipv6 += strchr(match, ':') ? 2 : 0;
        if (ipv6 < FW_HOSTS_MAX && n + 600 < sizeof(text))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "match one %s\n", match);
    }
    if (read_rules(&rules, &(struct nf_file){"drawn", text, (uint32_t)n}, &fault) != 0)
        fail_msg("%s", fault.text);
    for (uint32_t i = 0; i < rules.flows.count; i++) /* so that it tells which one it was */
        rules.flows.list[i].action = (uint8_t)(i % 251 + 1);
}

static uint32_t walk(const struct nf_packet *p)
{
    struct nf_classifier *index = rules.flows.index;
    uint32_t class;

    rules.flows.index = NULL;
    class = class_by_rules(&rules, p);
    rules.flows.index = index;
    return class;
}

TEST(the_index_gives_the_class_that_the_walk_gives)
{
    static uint8_t frame[64];
    uint64_t pairs = 0, hits = 0, other = 0;

    while (pairs < drawn_pairs()) {
        struct nf_classifier_rules list = {0, match_spans, &rules};

        draw_rules();
        list.count = rules.flows.count;
        assert_int_equal(nf_classifier_make(&rules.flows.index, &list, NULL), 0);
        for (unsigned i = 0; i < DRAWN_PACKETS; i++, pairs++) {
            struct nf_packet p = drawn_packet(&rules.flows, frame);
            uint32_t by_index, walked;

            if (drawn(10) == 0) { /* neither IPv4 nor IPv6 that is read */
                p.flags = (uint16_t)(p.flags & (NF_P_VLAN | NF_P_IPV6));
                p.proto = p.icmp_type = 0;
                p.sport = p.dport = 0;
            }
            by_index = class_by_rules(&rules, &p);
            walked = walk(&p);
            if (by_index != walked)
                fail_msg("pair %lu: %u matches, class %u by the index, %u by the walk", pairs,
                         rules.flows.count, by_index, walked);
            hits += walked != VQ_NONE;
            other += walked != VQ_NONE && !(p.flags & (NF_P_IPV4 | NF_P_IPV6_READ));
        }
        nf_classifier_free(rules.flows.index);
    }
    print_message("%lu pairs, in %lu a match, %lu of them not IP\n", pairs, hits, other);
    assert_true(hits > pairs / 4 && hits < pairs - pairs / 20 && other > 0);
}
