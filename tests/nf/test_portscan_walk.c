/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portscan's walks: decisions are held against a walk in doubles, by the paper's formulas, and against
 * captures. Facts of those are tshark's: packets with tcp.flags.syn, tcp.flags.ack and tcp.flags.reset,
 * addresses and ports, from which a program of its own told first connections and outcomes, and in doubles
 * the decisions.
 */
#include "tests/help/portscan.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define HOSTS 6u

struct model {
    double theta0, theta1, alpha, beta, ratio[HOSTS];
    bool scanner[HOSTS];
    unsigned next[HOSTS], scanners, benign;
};

static void model_step(struct model *m, unsigned host, bool success)
{
    if (m->scanner[host])
        return;
    m->ratio[host] *= success ? m->theta1 / m->theta0 : (1 - m->theta1) / (1 - m->theta0);
    if (m->ratio[host] >= m->beta / m->alpha) {
        m->scanner[host] = true;
        m->scanners++;
    } else if (m->ratio[host] <= (1 - m->beta) / (1 - m->alpha)) {
        m->ratio[host] = 1;
        m->benign++;
    }
}

static void decisions_are_those_of_the_papers_formulas(void)
{
    static const unsigned sets[][4] = {
        {800, 200, 10, 990}, {801, 333, 7, 991}, {550, 450, 50, 930}, {998, 1, 2, 997}, {650, 470, 13, 890}};
    uint64_t draws = 5;

    for (unsigned k = 0; k < sizeof(sets) / sizeof(sets[0]); k++) {
        struct model m = {.theta0 = sets[k][0] / 1000.,
                          .theta1 = sets[k][1] / 1000.,
                          .alpha = sets[k][2] / 1000.,
                          .beta = sets[k][3] / 1000.};
        char nfs[256];

        for (unsigned i = 0; i < HOSTS; i++)
            m.ratio[i] = 1;
        snprintf(nfs, sizeof(nfs),
                 PORTSCAN("theta0: %u, theta1: %u, alpha: %u, beta: %u, answer: 1, hold: 600000, "
                          "remember: 600000"),
                 sets[k][0], sets[k][1], sets[k][2], sets[k][3]);
        help_portscan_open(nfs);
        for (unsigned n = 0; n < 3000; n++) {
            unsigned host = help_below(&draws, HOSTS), how = help_below(&draws, 2 + 2 * host);
            uint32_t to = D(m.next[host]);

            m.next[host]++;
            help_portscan_syn(S + host, to);
            if (how == 0)
                help_portscan_answer(S + host, to, NFT_RST);
            else if (how == 1)
                help_chain_wait_tenths(&help_portscan, 11);
            else
                help_portscan_answer(S + host, to, NFT_SYN);
            model_step(&m, host, how >= 2);
            assert_int_equal(help_portscan_counter("scanners"), m.scanners);
            assert_int_equal(help_portscan_counter("benign"), m.benign);
        }
        assert_true(m.scanners && m.benign);
        help_chain_close(&help_portscan);
    }
    help_portscan_open(PORTSCAN(""));
}

/* ---- captures ---- */

struct fact {
    const char *file, *nfs;
    uint64_t contacts, successes, refused, unanswered, scanners, benign;
};
#define UNDECIDED "watch: inside, theta0: 501, theta1: 499, alpha: 1, beta: 999"

static const struct fact facts[] = {
    {"gnutella.pcap", PORTSCAN(UNDECIDED), 130, 52, 7, 71, 0, 0},
    {"gnutella.pcap", PORTSCAN(UNDECIDED ", destinations: ports"), 136, 57, 7, 72, 0, 0},
    {"gnutella.pcap", PORTSCAN("watch: inside"), 69, 19, 5, 45, 1, 3},
    {"synscan.pcap", PORTSCAN("watch: inside"), 1, 0, 0, 1, 0, 0},
    {"synscan.pcap", PORTSCAN(UNDECIDED ", destinations: ports"), 1000, 3, 4, 993, 0, 0},
    {"synscan.pcap", PORTSCAN("watch: inside, destinations: ports"), 1000, 3, 4, 993, 1, 0},
    {"1kxun.pcap", PORTSCAN("watch: inside"), 11, 11, 0, 0, 0, 2},
    {"mixed.pcap", PORTSCAN("watch: inside"), 3, 2, 0, 1, 0, 0},
};

/* In its own time, a burst for a packet: what times out does so between the packets that it did between. */
static void outcomes_over_captures_are_those_of_tshark(void)
{
    help_captures_or_skip();
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct fact *f = &facts[i];
        struct help_capture capture;

        if (!help_capture_read(&capture, f->file))
            continue;
        help_portscan_open(f->nfs);
        for (uint32_t at = 0; at < capture.count; at++) {
            const struct help_captured *c = &capture.list[at];
            struct nf_packet p = {.data = c->data, .len = c->len, .have = c->have, .side = c->side};

            while (nf_chain_wake(help_portscan.chain) < 100 * HELP_SECOND + c->time)
                help_chain_idle(&help_portscan, nf_chain_wake(help_portscan.chain) > help_portscan.now
                                                    ? nf_chain_wake(help_portscan.chain)
                                                    : help_portscan.now);
            help_chain_run(&help_portscan, 100 * HELP_SECOND + c->time, &p, 1);
        }
        for (unsigned s = 0; s < 20; s++)
            help_chain_wait_tenths(&help_portscan, 10);
        print_message("# %s\n", f->file);
        help_portscan_outcomes(f->contacts, f->successes, f->refused, f->unanswered);
        assert_int_equal(help_portscan_counter("scanners"), f->scanners);
        assert_int_equal(help_portscan_counter("benign"), f->benign);
        help_chain_close(&help_portscan);
        assert_true(help_chain_same((help_chain_open(&help_portscan, f->nfs, NULL, i), &help_portscan),
                                    f->file, false));
        help_chain_close(&help_portscan);
        help_capture_free(&capture);
    }
    help_portscan_open(PORTSCAN(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(decisions_are_those_of_the_papers_formulas),
        HELP_CASE(outcomes_over_captures_are_those_of_tshark),
    };

    return cmocka_run_group_tests_name("portscan's walks", tests, NULL, NULL);
}
