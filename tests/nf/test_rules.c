/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall's index of rules decides as the walk through them does. */
#include "nfs/firewall.c"
#include "tests/help/test.h"
#include "tests/nf/drawn_rules.h"

static char text[FW_RULES_MAX * 256];
static struct fw_rules rules;

static void draw_rules(void)
{
    struct ft_fault fault = {""};
    size_t n = 0;
    uint32_t ipv6 = 0;

    for (uint32_t i = drawn_count(); i > 0; i--) {
        char match[256];

        drawn_match(match, sizeof(match), "");
        ipv6 += strchr(match, ':') ? 2 : 0;
        if (ipv6 < FW_HOSTS_MAX)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s\n", drawn(2) ? "allow" : "deny", match);
    }
    if (read_rules(&rules, &(struct nf_file){"drawn", text, (uint32_t)n}, &fault) != 0)
        fail_msg("%s", fault.text);
}

static void hold_index_against_walk(uint64_t *pairs, uint64_t *hits, uint64_t *misses)
{
    static uint8_t frame[64];

    for (unsigned i = 0; i < DRAWN_PACKETS; i++, ++*pairs) {
        struct nf_packet p = drawn_packet(&rules, frame);
        struct nf_classifier *index = rules.index;
        uint32_t by_index = nf_classify(index, &p), walked;

        rules.index = NULL;
        walked = match_rules(&rules, rules.list, &p);
        rules.index = index;
        walked = walked < rules.count ? walked : rules.count;
        if (by_index != walked)
            fail_msg("pair %lu: %u rules, rule %u by the index, %u by the walk", *pairs, rules.count,
                     by_index + 1, walked + 1);
        *(walked < rules.count ? hits : misses) += 1;
    }
}

TEST(the_index_decides_as_the_walk_does)
{
    uint64_t pairs = 0, hits = 0, misses = 0;

    while (pairs < drawn_pairs()) {
        struct nf_classifier_rules list = {0, rule_spans, &rules};

        draw_rules();
        list.count = rules.count;
        assert_int_equal(nf_classifier_make(&rules.index, &list, NULL), 0);
        hold_index_against_walk(&pairs, &hits, &misses);
        nf_classifier_free(rules.index);
    }
    print_message("%lu pairs, in %lu a rule matched\n", pairs, hits);
    assert_true(hits > pairs / 4 && misses > pairs / 20);
}

static int write_rule(char *out, unsigned i, const char *action)
{
    return i % 4 ? snprintf(out, 128, "%s tcp from 10.%u.%u.0/24 port %u to any\n", action, i >> 4, i & 15, i)
                 : snprintf(out, 128, "%s udp from any to 2001:db8:%x::/48\n", action, i);
}

/* A list of 600 rules, of both families, and the same the other way round, with some left out, some new ones,
 * and one said twice. */
TEST(rules_of_both_lists_keep_their_hits_and_what_was_set)
{
    static struct fw_config was, now;
    static struct fw_rule live[FW_RULES_MAX + 2], to[FW_RULES_MAX + 2];
    struct ft_fault fault = {""};
    char *texts[2] = {text, text + sizeof(text) / 2};
    size_t n[2] = {0, 0};

    for (unsigned i = 0; i < 600; i++)
        n[0] += (size_t)write_rule(texts[0] + n[0], i, "allow");
    for (unsigned i = 700; i-- > 0;)
        n[1] += i % 7 == 0 ? 0 : (size_t)write_rule(texts[1] + n[1], i, i % 5 == 0 ? "deny" : "allow");
    n[1] += (size_t)write_rule(texts[1] + n[1], 1, "allow");
    was.rules = (struct nf_file){"was", texts[0], (uint32_t)n[0]};
    now.rules = (struct nf_file){"now", texts[1], (uint32_t)n[1]};
    assert_int_equal(fw_check(&was, &fault), 0);
    assert_int_equal(fw_check(&now, &fault), 0);
    memcpy(live, was.read.list, sizeof(live));
    for (unsigned i = 0; i < 602; i++)
        live[i].hits = 1000 + i;
    for (unsigned i = 0; i < 600; i += 3) /* by an operator */
        live[i].action = FW_DENY;
    memcpy(to, now.read.list, sizeof(to));
    rules_carry(to, &now, &was, live);
    for (unsigned i = 700, at = 0; i-- > 0;) {
        if (i % 7 == 0)
            continue;
        assert_int_equal(to[at].hits, i < 600 ? 1000 + i : 0);
        assert_int_equal(to[at].action, i % 5 == 0 || (i < 600 && i % 3 == 0) ? FW_DENY : FW_ALLOW);
        at++;
    }
    assert_int_equal(now.read.count, 601);
    assert_int_equal(to[600].hits, 0); /* the second one of the same decides nothing */
    assert_int_equal(to[601].hits, 1600);
    assert_int_equal(to[602].hits, 1601);
    fw_release(&was);
    fw_release(&now);
}
