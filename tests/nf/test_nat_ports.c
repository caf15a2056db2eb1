/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which ports nat and nat64 give to new flows (RFC 6056, 3.3; RFC 7857, 9): no sequence over the flows of a
 * host or of several, all ports as likely, all ports used when the range is full, and rest for one that was
 * given back. Seeds are fixed, and the bounds are of the chi-square distribution, exceeded once in 10,000
 * seeds.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define FIRST   1024u
#define ALL     64512u
#define PARTS   64u
#define CHI_MAX 114.0 /* 63 degrees of freedom */
#define FLOWS   6400u

static struct help_chain h;
static const char *name; /* the NF that is tested */

static void open_with(const char *nf, const char *settings)
{
    char text[160];

    name = nf;
    snprintf(text, sizeof(text), "    - %s: { outside: 203.0.113.1, max_flows: 70000, udp: 10%s }\n", nf,
             settings);
    help_chain_open(&h, text, NULL, 5);
}

/* A datagram of a host inside to one server outside: the port that it left with; 0: it was dropped. */
static uint16_t port_of(uint32_t host, uint16_t sport)
{
    char from[32];
    bool six = name[3] == '6';
    struct six s = SIX(17, from, sport, six ? "64:ff9b::198.51.100.1" : "198.51.100.1", 53, .payload = 9);
    struct six_seen seen;

    snprintf(from, sizeof(from), six ? "2001:db8:0:%u::1" : "10.0.0.%u", host);
    h.now++;
    if (!help_chain_six(&h, NF_INSIDE, &s, &seen))
        return 0;
    assert_string_equal(seen.from, "203.0.113.1");
    return seen.sport;
}

static double chi_square(const uint32_t parts[PARTS], uint32_t n)
{
    double chi = 0, want = (double)n / PARTS;

    for (uint32_t i = 0; i < PARTS; i++)
        chi += ((double)parts[i] - want) * ((double)parts[i] - want) / want;
    return chi;
}

/* Flows of `hosts` hosts in turn: neither a port by itself nor its distance from the one before says
 * anything. */
static void ports_of(const char *nf, uint32_t hosts)
{
    uint32_t ports[PARTS] = {0}, steps[PARTS] = {0}, near = 0, last = 0;

    open_with(nf, "");
    for (uint32_t i = 0; i < FLOWS; i++) {
        uint32_t port = port_of(1 + i % hosts, (uint16_t)(1000 + i / hosts));
        uint32_t step = (port + ALL - last) % ALL;

        assert_true(port >= FIRST);
        ports[(port - FIRST) * PARTS / ALL]++;
        if (i) {
            steps[step * PARTS / ALL]++;
            near += step <= 4 || step >= ALL - 4;
        }
        last = port;
    }
    assert_true(chi_square(ports, FLOWS) < CHI_MAX);
    assert_true(chi_square(steps, FLOWS - 1) < CHI_MAX);
    assert_true(near < 8); /* 0.9 are expected */
}

/* All 64 ports, each once; then the flow that nobody has answered for longest gives its own. */
static void the_whole_range(const char *nf)
{
    uint64_t seen = 0;

    open_with(nf, ", ports: 2000-2063");
    for (uint32_t i = 0; i < 64; i++) {
        uint16_t port = port_of(1 + i % 3, (uint16_t)(1000 + i));

        assert_true(port >= 2000 && port < 2064 && !(seen >> (port - 2000) & 1));
        seen |= 1ull << (port - 2000);
    }
    assert_true(seen == UINT64_MAX);
    assert_int_equal(help_chain_counter(&h, nf, "mappings_displaced"), 0);
    assert_int_not_equal(port_of(1, 2000), 0);
    assert_int_equal(help_chain_counter(&h, nf, "mappings_displaced"), 1);
}

static void end_port(uint16_t port)
{
    char command[48];

    snprintf(command, sizeof(command), "clear %s udp/%u", name, port);
    assert_int_equal(help_chain_command(&h, command), 0);
}

/* Where one port alone is free, it is found, whichever it is. */
NATS_TEST(the_last_free_one)
{
    uint16_t sport = 1000;

    the_whole_range(nf);
    for (uint16_t i = 0; i < 64; i++) {
        uint16_t port = (uint16_t)(2000 + i * 37 % 64);

        end_port(port);
        assert_int_equal(port_of(4, sport++), port);
    }
}

/* A flow ends, and others begin that could have its port: of 400 free ports the last 100 rest. */
NATS_TEST(one_that_was_given_back_rests)
{
    uint16_t ended[100];

    open_with(nf, ", ports: 2000-2399");
    for (uint16_t i = 0; i < 100; i++)
        ended[i] = port_of(1, (uint16_t)(1000 + i));
    for (unsigned i = 0; i < 100; i++)
        end_port(ended[i]);
    for (unsigned k = 0; k < 100; k++) {
        uint16_t port = port_of(2, (uint16_t)(1000 + k));

        for (unsigned i = 25; i < 100; i++) /* of the 300 that are free at the end 75 rest */
            assert_int_not_equal(port, ended[i]);
    }
}

/* A host has its own port where it is free and in the range; two that want one have two. */
NATS_TEST(own_ports_are_kept)
{
    uint16_t other;

    open_with(nf, ", ports: 2000-2399, preserve_ports: true");
    for (uint16_t i = 0; i < 200; i++)
        assert_int_equal(port_of(1, (uint16_t)(2000 + 2 * i)), 2000 + 2 * i);
    other = port_of(2, 2000);
    assert_true(other > 2000 && other < 2400 && other % 2);
    other = port_of(1, 1999); /* none of the range */
    assert_true(other > 2000 && other < 2400 && other % 2);
    end_port(2100);
    assert_int_not_equal(port_of(2, 2100), 2100); /* it rests */
    for (unsigned i = 0; i < 198; i++)
        assert_int_not_equal(port_of(3, (uint16_t)(10000 + i)), 0);
    assert_int_equal(help_chain_counter(&h, nf, "mappings_displaced"), 0);
    help_chain_is_sound(&h);
}

NATS_TEST(ports_of_one_host)
{
    ports_of(nf, 1);
}

NATS_TEST(ports_of_two_hosts)
{
    ports_of(nf, 2);
}
