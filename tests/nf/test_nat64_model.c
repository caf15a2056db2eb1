/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat64 against a model: a plain array of flows with the timeouts of the configuration, driven by thousands
 * of random packets. After each one the model knows what must have come out, and every checksum is summed up
 * anew. Which of several outside addresses a client has the model learns from its first packet, and then
 * expects it of all others.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define FIRST   2000u
#define CLIENTS 40u
#define FLOWS   1024u
#define UNIT    (HELP_SECOND / 10) /* times are multiples of what timers resolve */
#define PACKETS 30000u

#define SETTINGS                                                                                             \
    "ports: 2000-%u, max_flows: 1000, tcp_established: 20, tcp_transitory: 6, udp: "                         \
    "5, icmp: 3"

struct flow {
    bool live;
    uint8_t proto; /* of IPv6 */
    char client[46], server6[46], server4[20];
    uint16_t cport, sport, port;
    const char *outside; /* its address, of outsides[] */
    unsigned phase;      /* TCP: 0 SYN sent, 1 SYN+ACK came, 2 established */
    uint64_t seen;
};

static struct {
    struct help_chain h;
    bool by_end;
    unsigned places, ports;
    const char *outside[CLIENTS]; /* NULL: not known yet */
    struct flow flow[FLOWS];
    uint64_t created, expired, displaced, exhausted, no_mapping, wrong_remote, out, in, draw;
} m;

static const char *const outsides[] = {"203.0.113.1", "203.0.113.2"};

static const char *outside_of(const char *text)
{
    for (unsigned i = 0; i < m.places; i++)
        if (strcmp(outsides[i], text) == 0)
            return outsides[i];
    fail_msg("%s is no outside address", text);
    return NULL;
}

static uint32_t below(uint32_t n)
{
    return help_below(&m.draw, n);
}

static uint64_t life(const struct flow *f)
{
    unsigned seconds = f->proto == 17 ? 5 : f->proto == 58 ? 3 : f->phase == 2 ? 20 : 6;

    return seconds * HELP_SECOND;
}

static void expire(uint64_t now)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        struct flow *f = &m.flow[i];

        if (f->live && f->seen + life(f) <= now) {
            f->live = false;
            m.expired++;
        }
    }
}

static bool has_port(uint8_t proto, const char *outside, uint16_t port)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (m.flow[i].live && m.flow[i].proto == proto && m.flow[i].outside == outside &&
            m.flow[i].port == port)
            return true;
    return false;
}

static bool has_free_port(uint8_t proto, const char *outside)
{
    for (unsigned n = 0; n < m.ports; n++)
        if (!has_port(proto, outside, (uint16_t)(FIRST + n)))
            return true;
    return false;
}

/* The port that the end has already; 0: none, or each flow has its own. */
static uint16_t port_of_end(const struct flow *f)
{
    for (unsigned i = 0; m.by_end && i < FLOWS; i++)
        if (m.flow[i].live && m.flow[i].proto == f->proto && m.flow[i].cport == f->cport &&
            strcmp(m.flow[i].client, f->client) == 0)
            return m.flow[i].port;
    return 0;
}

/* Of its client's flows that may make room for others. */
static bool is_listed(const struct flow *f)
{
    return f->live && !(f->proto == 6 && f->phase == 2);
}

/* Its end gives back a port of that kind, and no packet of it is of this moment. */
static bool may_go(const struct flow *f, uint8_t proto, const char *outside)
{
    unsigned sessions = 0;

    if (!is_listed(f) || f->proto != proto || f->outside != outside || f->seen == m.h.now)
        return false;
    for (unsigned i = 0; i < FLOWS; i++)
        sessions += m.flow[i].live && m.flow[i].proto == proto && m.flow[i].outside == outside &&
                    m.flow[i].port == f->port;
    return sessions == 1;
}

/* The flow, NULL: none, is what gives a port of the address: of the client that has most, if that is more
 * than a sixteenth of the ports, or else one that is transitory, or else any. */
static bool is_by_the_rule(const struct flow *gone, uint8_t proto, const char *outside)
{
    unsigned listed[CLIENTS] = {0}, most = 0;
    bool transitory = false, may = false;

    for (unsigned i = 0; i < FLOWS; i++)
        listed[i % CLIENTS] += is_listed(&m.flow[i]);
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *f = &m.flow[i];

        if (!may_go(f, proto, outside))
            continue;
        most = listed[i % CLIENTS] > most ? listed[i % CLIENTS] : most;
        may = true;
        transitory |= proto != 17 || f->phase < 2;
    }
    if (!gone)
        return !may;
    if (!may_go(gone, proto, outside))
        return false;
    /* Of many clients that have as much but for a power of two it may be any. */
    return most > m.ports / 16 ? listed[(gone - m.flow) % CLIENTS] > most / 2
                               : !transitory || proto != 17 || gone->phase < 2;
}

/* Who had the port until now that another one has got. */
static void displace(uint8_t proto, const char *outside, uint16_t port)
{
    unsigned i = 0;

    while (i < FLOWS && !(m.flow[i].live && m.flow[i].proto == proto && m.flow[i].outside == outside &&
                          m.flow[i].port == port))
        i++;
    assert_true(i < FLOWS && is_by_the_rule(&m.flow[i], proto, outside));
    m.flow[i].live = false;
    m.displaced++;
}

/* Who the flow of number i is between, the same every time it comes back. */
static void name_flow(struct flow *f, unsigned i)
{
    unsigned server = 1 + i % 7;

    memset(f, 0, sizeof(*f));
    f->proto = i % 3 == 0 ? 6 : i % 3 == 1 ? 17 : 58;
    snprintf(f->client, sizeof(f->client), "2001:db8::%x", 1 + i % CLIENTS);
    snprintf(f->server6, sizeof(f->server6), "64:ff9b::c633:64%02x", server);
    snprintf(f->server4, sizeof(f->server4), "198.51.100.%u", server);
    f->cport = (uint16_t)(1000 + i / (m.by_end ? 4 : 1));
    f->sport = (uint16_t)(f->proto == 58 ? 0 : 80 + i % 5);
}

static bool pass(uint8_t side, const struct six *s, struct six_seen *seen)
{
    if (!help_chain_six(&m.h, side, s, seen))
        return false;
    assert_int_equal(seen->payload, s->payload);
    return true;
}

/* What the client's next packet does, and whether the chain does it. */
static void step_out(struct flow *f)
{
    struct six s = {.ipv6 = true,
                    .from = f->client,
                    .to = f->server6,
                    .proto = f->proto,
                    .sport = f->cport,
                    .dport = f->sport,
                    .tcp = !f->live || f->phase == 0 ? NFT_SYN : NFT_ACK,
                    .type = 128,
                    .payload = (uint16_t)below(600)};
    uint16_t known = f->live ? f->port : port_of_end(f);
    const char **outside = &m.outside[(f - m.flow) % CLIENTS];
    bool room = f->live || known || !*outside || has_free_port(f->proto, *outside);
    struct six_seen seen = {.proto = 0};

    if (!pass(NF_INSIDE, &s, &seen)) {
        assert_false(room);
        assert_true(is_by_the_rule(NULL, f->proto, *outside));
        m.exhausted++;
        return;
    }
    m.out++;
    assert_false(seen.ipv6);
    if (!*outside)
        *outside = outside_of(seen.from);
    assert_string_equal(seen.from, *outside);
    assert_string_equal(seen.to, f->server4);
    assert_true(seen.sport >= FIRST && seen.sport < FIRST + m.ports);
    if (!room)
        displace(f->proto, *outside, seen.sport);
    if (known)
        assert_int_equal(seen.sport, known);
    else
        assert_false(has_port(f->proto, *outside, seen.sport));
    if (f->proto != 58)
        assert_int_equal(seen.dport, f->sport);
    if (!f->live) {
        f->live = true;
        f->phase = 0;
        f->port = seen.sport;
        f->outside = *outside;
        m.created++;
    } else if (f->phase == 1) {
        f->phase = 2;
    }
    f->seen = m.h.now;
}

/* An answer, to the port that the flow has or had; `from` another server now and then. */
static void step_in(struct flow *f, bool stranger)
{
    struct six s = {.from = stranger ? "192.0.2.77" : f->server4,
                    .to = f->outside,
                    .proto = f->proto == 58 ? 1 : f->proto,
                    .sport = f->proto == 58 ? f->port : f->sport,
                    .dport = f->port,
                    .tcp = f->phase < 2 ? NFT_SYN | NFT_ACK : NFT_ACK,
                    .payload = (uint16_t)below(600)};
    struct six_seen seen = {.proto = 0};

    if (!f->live || stranger) {
        bool taken = has_port(f->proto, f->outside, f->port);

        assert_false(pass(NF_OUTSIDE, &s, &seen));
        *(taken ? &m.wrong_remote : &m.no_mapping) += 1;
        return;
    }
    assert_true(pass(NF_OUTSIDE, &s, &seen));
    m.in++;
    assert_true(seen.ipv6);
    assert_string_equal(seen.from, f->server6);
    assert_string_equal(seen.to, f->client);
    assert_int_equal(seen.dport, f->cport);
    if (f->phase == 0)
        f->phase = 1;
    f->seen = m.h.now;
}

/* A flow that has gone may have had a port that another one to the same server has now: left alone. */
static bool is_somebody_elses(const struct flow *f)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *other = &m.flow[i];

        if (other != f && other->live && other->proto == f->proto && other->outside == f->outside &&
            other->port == f->port && other->sport == f->sport && strcmp(other->server4, f->server4) == 0)
            return true;
    }
    return false;
}

static void counter_is(const char *name, uint64_t value)
{
    assert_int_equal(help_chain_counter(&m.h, "nat64", name), value);
}

static void is_as_the_model(unsigned places, bool by_end)
{
    char nf[256];
    unsigned hosts = 0;
    struct ft_fault fault = {""};

    memset(&m, 0, sizeof(m));
    m.by_end = by_end;
    m.places = places;
    m.ports = places == 1 ? 25 : 15;
    m.draw = 7;
    for (unsigned i = 0; i < FLOWS; i++)
        name_flow(&m.flow[i], i);
    snprintf(nf, sizeof(nf), "    - nat64: { outside: %s, " SETTINGS "%s }\n",
             places == 1 ? "203.0.113.1" : "[203.0.113.1, 203.0.113.2]", FIRST + m.ports - 1,
             by_end ? ", mapping: endpoint_independent" : "");
    help_chain_open(&m.h, nf, NULL, 3);
    m.h.now = 5 * HELP_SECOND;
    for (unsigned i = 0; i < CLIENTS; i++) { /* while there are ports of every address */
        step_out(&m.flow[i]);
        hosts += m.outside[i] == outsides[0];
    }
    assert_in_range(hosts, places == 1 ? CLIENTS : CLIENTS / 2 - 4, places == 1 ? CLIENTS : CLIENTS / 2 + 4);
    for (unsigned n = 0; n < PACKETS; n++) {
        struct flow *f = &m.flow[below(below(4) ? 90 : FLOWS)];
        unsigned what = below(8);

        if (below(10) == 0) {
            help_chain_wait_tenths(&m.h, below(12));
            expire(m.h.now);
        }
        if (what < 4)
            step_out(f);
        else if (f->port && (f->live || !is_somebody_elses(f)))
            step_in(f, what == 7);
        if (n % 1000 == 0 && nf_chain_check(m.h.chain, NULL, NULL, &fault) != 0)
            fail_msg("%s", fault.text);
    }
    counter_is("mappings_created", m.created);
    counter_is("mappings_expired", m.expired);
    counter_is("mappings_displaced", m.displaced);
    counter_is("ports_exhausted", m.exhausted);
    counter_is("translated_outward", m.out);
    counter_is("translated_inward", m.in);
    counter_is("no_mapping", m.no_mapping);
    counter_is("wrong_remote", m.wrong_remote);
    assert_true(m.created > 1000 && m.expired > 1000 && m.displaced > 100 && m.in > 1000 &&
                m.wrong_remote > 100);
}

CHAIN_TEST(a_port_for_each_flow)
{
    is_as_the_model(1, false);
    help_chain_close(&m.h);
    is_as_the_model(2, false);
}

CHAIN_TEST(a_port_for_each_end)
{
    is_as_the_model(1, true);
    help_chain_close(&m.h);
    is_as_the_model(2, true);
}
