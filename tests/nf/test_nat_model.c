/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat and nat64 against a model: a plain array of flows with the timeouts of the configuration, driven by
 * thousands of random packets. After each one the model knows what must have come out, and every checksum is
 * summed up anew. Which of several outside addresses a client has the model learns from its first packet, and
 * then expects it of all others.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define FIRST   2000u
#define PORTS   90u /* of all addresses together; of ends half as many */
#define PLACES  3u
#define CLIENTS 40u
#define FLOWS   2048u
#define UNIT    (HELP_SECOND / 10) /* times are multiples of what timers resolve */
#define PACKETS 30000u

/* A flow as its client sees it, from the first packet to its expiry. */
struct flow {
    bool live;
    uint8_t proto, kind; /* kind: 0 TCP, 1 UDP, 2 ICMP, whose ports are apart */
    char client[46], server6[46], server4[20];
    uint16_t cport, sport, port;
    unsigned place; /* of its outside address */
    unsigned phase; /* TCP, UDP: 0 begun, 1 answered, 2 and its client has sent again */
    uint64_t seen;
};

static struct {
    struct help_chain h;
    const char *nf;
    bool ipv6, by_end; /* clients are of IPv6; a port is an end's, not a flow's */
    unsigned places, ports;
    int place[CLIENTS];               /* -1: not known yet */
    unsigned users[3][PLACES][PORTS]; /* flows that have a port */
    struct flow flow[FLOWS];
    uint64_t created, expired, displaced, exhausted, no_mapping, wrong_remote, out, in, draw;
} m;

static const char *const outsides[PLACES] = {"203.0.113.1", "203.0.113.2", "203.0.113.3"};

static uint32_t below(uint32_t n)
{
    return help_below(&m.draw, n);
}

static unsigned *users_of(const struct flow *f, unsigned port)
{
    return &m.users[f->kind][f->place][port - FIRST];
}

static void end(struct flow *f)
{
    f->live = false;
    --*users_of(f, f->port);
}

static uint64_t life(const struct flow *f)
{
    return (f->kind == 1 ? 5 : f->kind == 2 ? 3 : f->phase == 2 ? 20 : 6) * HELP_SECOND;
}

static void expire(void)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (m.flow[i].live && m.flow[i].seen + life(&m.flow[i]) <= m.h.now) {
            end(&m.flow[i]);
            m.expired++;
        }
}

static bool has_free_port(const struct flow *f)
{
    for (unsigned port = FIRST; port < FIRST + m.ports; port++)
        if (!*users_of(f, port))
            return true;
    return false;
}

/* The port that the end has already; 0: none, or each flow has its own. */
static uint16_t port_of_end(const struct flow *f)
{
    for (unsigned i = 0; m.by_end && i < FLOWS; i++)
        if (m.flow[i].live && m.flow[i].kind == f->kind && m.flow[i].cport == f->cport &&
            strcmp(m.flow[i].client, f->client) == 0)
            return m.flow[i].port;
    return 0;
}

/* Of its client's flows that may make room for others. */
static bool is_listed(const struct flow *f)
{
    return f->live && !(f->kind == 0 && f->phase == 2);
}

/* Its end gives back a port that the flow `to` could have, and no packet of it is of this moment. */
static bool may_go(const struct flow *f, const struct flow *to)
{
    return is_listed(f) && f->kind == to->kind && f->place == to->place && f->seen != m.h.now &&
           *users_of(f, f->port) == 1;
}

/* The flow, NULL: none, is what gives a port to `to`: of the client that has most, if that is more than a
 * sixteenth of the ports, or else one that is transitory, or else any. */
static bool is_by_the_rule(const struct flow *gone, const struct flow *to)
{
    unsigned listed[CLIENTS] = {0}, most = 0;
    bool transitory = false, may = false;

    for (unsigned i = 0; i < FLOWS; i++)
        listed[i % CLIENTS] += is_listed(&m.flow[i]);
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *f = &m.flow[i];

        if (!may_go(f, to))
            continue;
        most = listed[i % CLIENTS] > most ? listed[i % CLIENTS] : most;
        may = true;
        transitory |= f->kind != 1 || f->phase < 2;
    }
    if (!gone)
        return !may;
    if (!may_go(gone, to))
        return false;
    /* Of many clients that have as much but for a power of two it may be any. */
    return most > m.ports / 16 ? listed[(gone - m.flow) % CLIENTS] > most / 2
                               : !transitory || gone->kind != 1 || gone->phase < 2;
}

/* Who had the port until now that another flow has got. */
static void displace(const struct flow *to, uint16_t port)
{
    struct flow *f = m.flow;

    while (f < m.flow + FLOWS &&
           !(f->live && f->kind == to->kind && f->place == to->place && f->port == port))
        f++;
    assert_true(f < m.flow + FLOWS && is_by_the_rule(f, to));
    end(f);
    m.displaced++;
}

/* Who the flow of number i is between, the same every time it comes back. */
static void name_flow(struct flow *f, unsigned i)
{
    unsigned server = 1 + i % 7;

    f->kind = i % 3;
    f->proto = (uint8_t[]){6, 17, m.ipv6 ? 58 : 1}[f->kind];
    snprintf(f->client, sizeof(f->client), m.ipv6 ? "2001:db8::%x" : "10.0.0.%u", 1 + i % CLIENTS);
    snprintf(f->server4, sizeof(f->server4), "198.51.100.%u", server);
    snprintf(f->server6, sizeof(f->server6), m.ipv6 ? "64:ff9b::c633:64%02x" : "198.51.100.%u", server);
    f->cport = (uint16_t)(1000 + (m.by_end ? i / (4 * 3 * CLIENTS) : i));
    f->sport = (uint16_t)(f->kind == 2 ? 0 : 80 + i % 5);
}

static bool pass(uint8_t side, const struct six *s, struct six_seen *seen)
{
    if (!help_chain_six(&m.h, side, s, seen))
        return false;
    assert_int_equal(seen->payload, s->payload);
    return true;
}

/* The client's next packet. */
static void step_out(struct flow *f)
{
    struct six s =
        SIX(f->proto, f->client, f->cport, f->server6, f->sport,
            .tcp = !f->live || f->phase == 0 ? NFT_SYN : NFT_ACK, .type = m.ipv6 ? 128 : 8,
            .payload = (uint16_t)below(600), .no_udp_sum = !m.ipv6 && f->kind == 1 && below(8) == 0);
    uint16_t known = f->live ? f->port : port_of_end(f);
    int *place = &m.place[(f - m.flow) % CLIENTS];
    bool room = true;
    struct six_seen seen;

    if (*place >= 0) {
        f->place = (unsigned)*place;
        room = known || has_free_port(f);
    }
    if (!pass(NF_INSIDE, &s, &seen)) {
        assert_false(room);
        assert_true(is_by_the_rule(NULL, f));
        m.exhausted++;
        return;
    }
    m.out++;
    assert_false(seen.ipv6);
    for (unsigned i = 0; *place < 0 && i < m.places; i++)
        if (strcmp(outsides[i], seen.from) == 0)
            f->place = (unsigned)(*place = (int)i);
    assert_true(*place >= 0);
    assert_string_equal(seen.from, outsides[f->place]);
    assert_string_equal(seen.to, f->server4);
    assert_true(seen.sport >= FIRST && seen.sport < FIRST + m.ports);
    if (!room)
        displace(f, seen.sport);
    if (known)
        assert_int_equal(seen.sport, known);
    else
        assert_int_equal(*users_of(f, seen.sport), 0);
    if (f->kind != 2)
        assert_int_equal(seen.dport, f->sport);
    if (!f->live) {
        f->live = true;
        f->phase = 0;
        f->port = seen.sport;
        ++*users_of(f, f->port);
        m.created++;
    } else if (f->phase == 1) {
        f->phase = 2;
    }
    f->seen = m.h.now;
}

enum sender { SERVER, STRANGER, OTHER_PORT };

/* An answer, to the port that the flow has or had. */
static void step_in(struct flow *f, enum sender sender)
{
    struct six s = SIX(f->kind == 2 ? 1 : f->proto, sender == STRANGER ? "192.0.2.77" : f->server4,
                       f->kind == 2           ? f->port
                       : sender == OTHER_PORT ? 7
                                              : f->sport,
                       outsides[f->place], f->port, .tcp = f->phase < 2 ? NFT_SYN | NFT_ACK : NFT_ACK,
                       .payload = (uint16_t)below(600));
    struct six_seen seen;

    if (!f->live || sender != SERVER) {
        assert_false(pass(NF_OUTSIDE, &s, &seen));
        *(*users_of(f, f->port) ? &m.wrong_remote : &m.no_mapping) += 1;
        return;
    }
    assert_true(pass(NF_OUTSIDE, &s, &seen));
    m.in++;
    assert_int_equal(seen.ipv6, m.ipv6);
    assert_string_equal(seen.from, f->server6);
    assert_string_equal(seen.to, f->client);
    assert_int_equal(seen.dport, f->cport);
    if (f->kind != 2)
        assert_int_equal(seen.sport, f->sport);
    if (f->phase == 0)
        f->phase = 1;
    f->seen = m.h.now;
}

/* A flow that has gone may have had a port that another one to the same server has now: left alone. */
static bool is_somebody_elses(const struct flow *f)
{
    for (const struct flow *other = m.flow; other < m.flow + FLOWS; other++)
        if (other != f && other->live && other->kind == f->kind && other->place == f->place &&
            other->port == f->port && other->sport == f->sport && strcmp(other->server4, f->server4) == 0)
            return true;
    return false;
}

static void counters_are_the_models(void)
{
    help_chain_counts(&m.h, "%s: mappings_created %lu, mappings_expired %lu, mappings_displaced %lu", m.nf,
                      m.created, m.expired, m.displaced);
    help_chain_counts(&m.h, "%s: ports_exhausted %lu, no_mapping %lu, wrong_remote %lu", m.nf, m.exhausted,
                      m.no_mapping, m.wrong_remote);
    help_chain_counts(&m.h, "%s: translated_outward %lu, translated_inward %lu", m.nf, m.out, m.in);
}

static void open_model(const char *nf, unsigned places, bool by_end)
{
    static const char *const lists[] = {"203.0.113.1", "[203.0.113.1, 203.0.113.2]",
                                        "[203.0.113.1, 203.0.113.2, 203.0.113.3]"};
    char text[256];
    unsigned hosts[PLACES] = {0};

    memset(&m, 0, sizeof(m));
    memset(m.place, -1, sizeof(m.place));
    m.nf = nf;
    m.ipv6 = nf[3] == '6';
    m.by_end = by_end;
    m.places = places;
    m.ports = PORTS / (by_end ? 2 * places : places);
    m.draw = 42;
    for (unsigned i = 0; i < FLOWS; i++)
        name_flow(&m.flow[i], i);
    snprintf(text, sizeof(text),
             "    - %s: { outside: %s, ports: 2000-%u, max_flows: 1000, tcp_established: 20, tcp_transitory: "
             "6, udp: 5, icmp: 3%s }\n",
             nf, lists[places - 1], FIRST + m.ports - 1, by_end ? ", mapping: endpoint_independent" : "");
    help_chain_open(&m.h, text, NULL, 7);
    m.h.now = 5 * HELP_SECOND;
    for (unsigned i = 0; i < CLIENTS; i++) { /* while there are ports of every address */
        step_out(&m.flow[i]);
        hosts[m.place[i]]++;
    }
    for (unsigned i = 0; i < places; i++)
        assert_in_range(hosts[i], CLIENTS / places - 4, CLIENTS / places + 4);
}

/* Quiet and busy times take turns, so that ports run out and come back. */
static void is_as_the_model(const char *nf, unsigned places, bool by_end)
{
    open_model(nf, places, by_end);
    for (unsigned n = 0; n < PACKETS; n++) {
        struct flow *f = &m.flow[below(FLOWS)];
        unsigned what = below(10);

        m.h.now += below(n / 3000 % 2 ? 60 : 3) == 0 ? below(12) * UNIT : 0;
        expire();
        for (unsigned tries = 0; tries < 20 && what < 8 && what % 2 && !f->live; tries++)
            f = &m.flow[below(FLOWS)];
        if (what < 6)
            step_out(f);
        else if (f->port && (f->live || !is_somebody_elses(f)))
            step_in(f, what < 9 ? SERVER : below(2) || f->kind == 2 ? STRANGER : OTHER_PORT);
        help_chain_idle(&m.h, m.h.now);
        counters_are_the_models();
        if (n % 1000 == 0)
            help_chain_is_sound(&m.h);
    }
    assert_int_equal(help_chain_rows(&m.h, nf), m.created - m.expired - m.displaced);
    assert_true(m.created > 1000 && m.expired > 1000 && m.displaced > 400 && (!by_end || m.exhausted > 50) &&
                m.in > 1000 && m.no_mapping > 100 && m.wrong_remote > 100);
    m.h.now += 20 * HELP_SECOND;
    expire();
    help_chain_idle(&m.h, m.h.now);
    counters_are_the_models();
    assert_int_equal(m.created, m.expired + m.displaced);
    help_chain_close(&m.h);
}

CHAIN_TEST(nat_with_a_port_for_each_flow)
{
    is_as_the_model("nat", 1, false);
    is_as_the_model("nat", 3, false);
}

CHAIN_TEST(nat_with_a_port_for_each_end)
{
    is_as_the_model("nat", 1, true);
    is_as_the_model("nat", 2, true);
}

CHAIN_TEST(nat64_with_a_port_for_each_flow)
{
    is_as_the_model("nat64", 1, false);
    is_as_the_model("nat64", 2, false);
}

CHAIN_TEST(nat64_with_a_port_for_each_end)
{
    is_as_the_model("nat64", 1, true);
    is_as_the_model("nat64", 2, true);
}
