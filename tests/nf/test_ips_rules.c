/* SPDX-License-Identifier: Apache-2.0 */
/* ips: rules that are refused, and real captures, whose facts are tshark's (-Y 'tcp contains "…"', packets
 * counted). */
#include "tests/help/chain.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct help_chain h;

/* Behind two other lines, and what the refusal says. */
static const char *const wrong_lines[][2] = {
    {"pass tcp any any -> any any (content:\"a\"; sid:1;)",
     "'pass tcp any any -> any any (content:\"a\"', expected alert, drop or reject"},
    {"alert icmp any any -> any any (content:\"a\"; sid:1;)", "expected tcp or udp"},
    {"alert tcp any any -- any any (content:\"a\"; sid:1;)", "expected -> or <>"},
    {"alert tcp 10.0.0.1/8 any -> any any (content:\"a\"; sid:1;)", "without host bits"},
    {"alert tcp any 70000 -> any any (content:\"a\"; sid:1;)", "expected any, a port"},
    {"alert tcp any any -> any any (content:\"a\"; sid:1;", "expected NAME:VALUE; or NAME; or )"},
    {"alert tcp any any -> any any (content:\"a\"; sid:1; dsize:3;)",
     "option 'dsize', expected msg, content"},
    {"alert tcp any any -> any any (content:!\"a\"; sid:1;)", "not negated"},
    {"alert tcp any any -> any any (content:\"|4|\"; sid:1;)", "expected content:"},
    {"alert tcp any any -> any any (nocase; content:\"a\"; sid:1;)", "expected nocase behind"},
    {"alert tcp any any -> any any (content:\"ab\"; depth:1; sid:1;)", "expected depth:N"},
    {"alert tcp any any -> any any (content:\"a\"; within:5; sid:1;)", "expected within:N"},
    {"alert tcp any any -> any any (content:\"a\"; content:\"b\"; distance:1020; within:5; sid:1;)",
     "1024 in all"},
    {"alert tcp any any -> any any (pcre:\"/a/R\"; content:\"a\"; sid:1;)", "expected a content before"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a/\"; sid:1;)", "expected the flag R"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a*/R\"; sid:1;)",
     "expected a pattern that matches a byte"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/(a)\\1/R\"; sid:1;)", "without back references"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a(?=b)/R\"; sid:1;)",
     "looks neither ahead nor behind"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a{65}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/(a{8}){9}/R\"; sid:1;)", "at most 64 bytes"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{1,0}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{0,0}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{4294967297}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/ab{1,4294967298}/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/[b-a]/R\"; sid:1;)",
     "expected a pattern of the subset"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/foo$/R\"; sid:1;)", "a pattern without $"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a/Ri$\"; sid:1;)", "no flags but R, i and s"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:/a/R; sid:1;)", "expected pcre:"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"a/R\"; sid:1;)", "expected pcre:"},
    {"alert tcp any any -> any any (content:\"a\"; pcre:\"/a/R\"; nocase; sid:1;)", "expected nocase behind"},
    {"alert tcp any any -> any any (content:\"a\"; flow:to_server,to_client; sid:1;)", "expected one flow:"},
    {"alert tcp any any -> any any (content:\"a\"; threshold:type limit, track by_src, count 1; sid:1;)",
     "expected one threshold:"},
    {"alert tcp any any -> any any (content:\"a\";)", "a rule without sid"},
    {"alert tcp any any -> any any (sid:1;)", "a rule without content"},
    {"alert tcp any any -> any any (content:\"a\"; sid:1;) x", "'x', expected the end of the line"},
    {"alert tcp any any -> any any (content:\"a\"; sid:9;)", "sid 9 is another rule's"},
};

static void rules_that_are_wrong_are_refused_with_their_place(void)
{
    for (unsigned i = 0; i < sizeof(wrong_lines) / sizeof(*wrong_lines); i++) {
        char text[512];
        struct ft_fault fault = {""};

        snprintf(text, sizeof(text), "# one\nalert tcp any any -> any any (content:\"a\"; sid:9;)\n%s\n",
                 wrong_lines[i][0]);
        if (help_chain_refused("    - ips: { rules: firewall.rules }\n", text, &fault) == FT_OK ||
            !strstr(fault.text, "firewall.rules:3: ") || !strstr(fault.text, wrong_lines[i][1]))
            fail_msg("%s: %s, expected %s", wrong_lines[i][0], fault.text, wrong_lines[i][1]);
    }
}

struct fact {
    const char *file, *content, *proto;
    uint64_t matches;
};
static const struct fact facts[] = {
    {"ftp-bruteforce.pcap", "PASS ", "tcp", 30},
    {"gnutella.pcap", "GNUTELLA CONNECT/0.6", "tcp", 52},
    {"gnutella.pcap", "GNUTELLA/0.6 503", "tcp", 34},
    {"WebattackRCE.pcap", "/etc/passwd", "tcp", 8},
    {"bot.pcap", "HTTP/1.1", "tcp", 2},
};

static void matches_in_captures_are_those_of_tshark(void)
{
    help_captures_or_skip();
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct fact *f = &facts[i];
        struct help_capture capture;
        char rules[256];
        uint64_t sum;

        if (!help_capture_read(&capture, f->file))
            continue;
        snprintf(rules, sizeof(rules), "alert %s any any -> any any (content:\"%s\"; sid:1;)\n", f->proto,
                 f->content);
        help_chain_open(&h, "    - ips: { rules: firewall.rules, checksums: false }\n", rules, 1);
        help_chain_capture(&h, &capture, false, &sum);
        print_message("# %s\n", f->file);
        assert_int_equal(help_chain_counter(&h, "ips", "matches"), f->matches);
        help_chain_close(&h);
        help_capture_free(&capture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(rules_that_are_wrong_are_refused_with_their_place),
        HELP_CASE(matches_in_captures_are_those_of_tshark),
    };

    return cmocka_run_group_tests_name("ips_rules", tests, NULL, NULL);
}
