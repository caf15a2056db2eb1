/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NAT against a model: a plain array of flows with the timeouts of the configuration, driven by thousands
 * of random packets. After each one the model knows what must have come out; all checksums are summed up
 * anew. Which of several outside addresses a host has the model learns from the host's first packet, and then
 * expects it of all others.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define OUTSIDE NFT_IP(203, 0, 113, 1) /* and those behind it */
#define PLACES  3u
#define HOSTS   40u
#define FIRST   2000u
#define PORTS   150u
#define FLOWS   2048u
#define UNIT    (HELP_SECOND / 10) /* times are multiples of what timers resolve */
#define PACKETS 30000u

#define NAT                                                                                                  \
    "    - nat: { inside: [10.0.0.0/8], outside: %s, ports: 2000-%u, max_flows: 1000,"                       \
    " tcp_established: 20, tcp_transitory: 6, udp: 5, icmp: 3 }\n"

/* A flow as a host inside sees it, from the first packet to its expiry. */
struct flow {
    bool live;
    uint8_t proto;
    uint32_t host, remote;
    uint16_t hport, rport, port;
    unsigned place; /* of its outside address */
    unsigned phase; /* TCP: 0 SYN sent, 1 SYN+ACK came, 2 established */
    uint64_t seen;
};

struct model {
    struct help_chain h;
    struct flow flow[FLOWS];
    unsigned places, ports;
    int owner[3][PLACES][PORTS]; /* flow of a port, -1: free */
    int place[HOSTS];            /* -1: not known yet */
    uint64_t created, expired, displaced, exhausted, unknown, foreign;
    uint64_t draw;
};

static unsigned pool_of(uint8_t proto)
{
    return proto == 6 ? 0 : proto == 17 ? 1 : 2;
}

static uint64_t life(const struct flow *f)
{
    unsigned seconds = f->proto == 17 ? 5 : f->proto == 1 ? 3 : f->phase == 2 ? 20 : 6;
    return seconds * HELP_SECOND;
}

static uint32_t address(unsigned place)
{
    return OUTSIDE + place;
}

static void expire(struct model *m, uint64_t now)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        struct flow *f = &m->flow[i];
        if (!f->live || f->seen + life(f) > now)
            continue;
        f->live = false;
        m->owner[pool_of(f->proto)][f->place][f->port - FIRST] = -1;
        m->expired++;
    }
}

static bool has_free_port(const struct model *m, uint8_t proto, unsigned place)
{
    for (unsigned i = 0; i < m->ports; i++)
        if (m->owner[pool_of(proto)][place][i] < 0)
            return true;
    return false;
}

/* Of its host's flows that may make room for others. */
static bool is_listed(const struct flow *f)
{
    return f->live && !(f->proto == 6 && f->phase == 2);
}

/* The flow, NULL: none, is what gives a port of the address: of the host that has most, if that is more than
 * a sixteenth of the ports, or else one that is transitory, or else any. No packet of it is of this moment.
 */
static bool is_by_the_rule(const struct model *m, const struct flow *gone, uint8_t proto, unsigned place)
{
    unsigned listed[HOSTS] = {0}, most = 0;
    bool transitory = false, may = false;

    for (unsigned i = 0; i < FLOWS; i++)
        listed[i % HOSTS] += is_listed(&m->flow[i]);
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *f = &m->flow[i];

        if (!is_listed(f) || f->proto != proto || f->place != place || f->seen == m->h.now)
            continue;
        most = listed[i % HOSTS] > most ? listed[i % HOSTS] : most;
        may = true;
        transitory |= proto != 17 || f->phase < 2;
    }
    if (!gone)
        return !may;
    if (!is_listed(gone) || gone->proto != proto || gone->place != place || gone->seen == m->h.now)
        return false;
    /* Of many hosts that have as much but for a power of two it may be any. */
    return most > m->ports / 16 ? listed[(gone - m->flow) % HOSTS] > most / 2
                                : !transitory || proto != 17 || gone->phase < 2;
}

static void displace(struct model *m, struct flow *gone, const struct flow *f, unsigned place)
{
    assert_true(is_by_the_rule(m, gone, f->proto, place));
    gone->live = false;
    m->owner[pool_of(gone->proto)][place][gone->port - FIRST] = -1;
    m->displaced++;
}

/* Who the flow of number i is between, the same every time it comes back. */
static void name_flow(struct flow *f, unsigned i)
{
    f->proto = i % 3 == 0 ? 6 : i % 3 == 1 ? 17 : 1;
    f->host = NFT_IP(10, 0, 0, 1 + i % HOSTS);
    f->remote = NFT_IP(198, 51, 100, 1 + i % 7);
    f->hport = (uint16_t)(1000 + i);
    f->rport = f->proto == 1 ? 0 : (uint16_t)(80 + i % 5);
}

static void outward(struct model *m, unsigned i)
{
    struct flow *f = &m->flow[i];
    struct nft_seen out;
    if (!f->live)
        f->phase = 0;
    else if (f->phase == 1)
        f->phase = 2;
    struct nft_spec spec = {.src = f->host,
                            .dst = f->remote,
                            .sport = f->hport,
                            .dport = f->rport,
                            .proto = f->proto,
                            .tcp = f->phase ? NFT_ACK : NFT_SYN,
                            .type = 8,
                            .payload = (uint16_t)help_below(&m->draw, 90),
                            .no_udp_sum = help_below(&m->draw, 8) == 0 && f->proto == 17};
    int *place = &m->place[i % HOSTS];
    bool room = f->live || *place < 0 || has_free_port(m, f->proto, (unsigned)*place);
    bool passed = help_chain_spec(&m->h, NF_INSIDE, &spec, &out);
    if (!passed) {
        assert_false(room);
        assert_true(is_by_the_rule(m, NULL, f->proto, (unsigned)*place));
        m->exhausted++;
        return;
    }
    assert_in_range(out.src, OUTSIDE, OUTSIDE + m->places - 1);
    if (*place < 0)
        *place = (int)(out.src - OUTSIDE);
    if (!f->live) {
        assert_in_range(out.sport, FIRST, FIRST + m->ports - 1);
        f->place = (unsigned)*place;
        int *owner = &m->owner[pool_of(f->proto)][f->place][out.sport - FIRST];
        if (!room)
            displace(m, &m->flow[*owner], f, f->place);
        assert_int_equal(*owner, -1);
        *owner = (int)i;
        f->port = out.sport;
        f->live = true;
        m->created++;
    }
    f->seen = m->h.now;
    assert_int_equal(out.src, address(f->place));
    assert_int_equal(out.sport, f->port);
    assert_int_equal(out.dst, f->remote);
    if (f->proto != 1)
        assert_int_equal(out.dport, f->rport);
}

/* Something from outside to a port, by the right remote end or by another one. */
static void inward(struct model *m, uint8_t proto, unsigned place, unsigned port, bool right)
{
    int owner = m->owner[pool_of(proto)][place][port];
    struct flow none = {.remote = NFT_IP(198, 51, 100, 1), .rport = 80}, *f;
    struct nft_seen out;
    f = owner < 0 ? &none : &m->flow[owner];
    unsigned way = help_below(&m->draw, 2);
    struct nft_spec spec = {.src = right || way ? f->remote : f->remote + 100,
                            .dst = address(place),
                            .sport = proto == 1          ? (uint16_t)(FIRST + port)
                                     : right || way == 0 ? f->rport
                                                         : (uint16_t)(f->rport + 1),
                            .dport = (uint16_t)(FIRST + port),
                            .proto = proto,
                            .tcp = f->phase < 2 ? NFT_SYN | NFT_ACK : NFT_ACK,
                            .type = 0,
                            .payload = (uint16_t)help_below(&m->draw, 90)};
    if (proto == 1 && !right)
        spec.src = f->remote + 100;
    bool passed = help_chain_spec(&m->h, NF_OUTSIDE, &spec, &out);
    assert_int_equal(passed, owner >= 0 && right);
    if (owner < 0) {
        m->unknown++;
    } else if (!right) {
        m->foreign++;
    } else {
        assert_int_equal(out.dst, f->host);
        assert_int_equal(out.dport, f->hport);
        assert_int_equal(out.src, f->remote);
        if (f->proto != 1)
            assert_int_equal(out.sport, f->rport);
        if (f->phase == 0)
            f->phase = 1;
        f->seen = m->h.now;
    }
}

static void check_counts(const struct model *m)
{
    assert_int_equal(help_chain_counter(&m->h, "nat", "mappings_created"), m->created);
    assert_int_equal(help_chain_counter(&m->h, "nat", "mappings_expired"), m->expired);
    assert_int_equal(help_chain_counter(&m->h, "nat", "mappings_displaced"), m->displaced);
    assert_int_equal(help_chain_counter(&m->h, "nat", "ports_exhausted"), m->exhausted);
    assert_int_equal(help_chain_counter(&m->h, "nat", "no_mapping"), m->unknown);
    assert_int_equal(help_chain_counter(&m->h, "nat", "wrong_remote"), m->foreign);
}

/* Quiet and busy times take turns, so that the pools run dry and drain again. */
static void is_as_the_model(const char *outside, unsigned places)
{
    static struct model m;
    static char text[1 << 20];
    char nat[256];
    unsigned hosts[PLACES] = {0};
    struct ft_fault fault = {""};
    memset(&m, 0, sizeof(m));
    memset(m.owner, -1, sizeof(m.owner));
    memset(m.place, -1, sizeof(m.place));
    m.places = places;
    m.ports = PORTS / places;
    m.draw = 42;
    for (unsigned i = 0; i < FLOWS; i++)
        name_flow(&m.flow[i], i);
    snprintf(nat, sizeof(nat), NAT, outside, FIRST + m.ports - 1);
    help_chain_open(&m.h, nat, NULL, 7);
    m.h.now = 5 * HELP_SECOND;
    for (unsigned i = 0; i < HOSTS; i++) { /* while there are ports of every address */
        outward(&m, i);
        hosts[m.place[i]]++;
    }
    for (unsigned i = 0; i < places; i++)
        assert_in_range(hosts[i], HOSTS / places - 4, HOSTS / places + 4);
    for (unsigned n = 0; n < PACKETS; n++) {
        unsigned busy = n / 3000 % 2 ? 60 : 3;
        m.h.now += help_below(&m.draw, busy) == 0 ? help_below(&m.draw, 12) * UNIT : 0;
        expire(&m, m.h.now);
        unsigned i = help_below(&m.draw, FLOWS), what = help_below(&m.draw, 10);
        if (what < 6)
            outward(&m, i);
        else
            inward(&m, m.flow[i].proto, help_below(&m.draw, places), help_below(&m.draw, m.ports), what < 9);
        check_counts(&m);
        if (n % 1000 == 0 && nf_chain_check(m.h.chain, NULL, NULL, &fault) != 0)
            fail_msg("%s", fault.text);
    }
    assert_int_equal(help_chain_show(&m.h, "nat", text, sizeof(text)), m.created - m.expired - m.displaced);
    assert_in_range(m.displaced, 100, PACKETS); /* the run did reach the corners */
    assert_in_range(m.expired, 1000, PACKETS);
    assert_in_range(m.foreign, 100, PACKETS);
    m.h.now += 20 * HELP_SECOND;
    expire(&m, m.h.now);
    help_chain_idle(&m.h, m.h.now);
    check_counts(&m);
    assert_int_equal(m.created, m.expired + m.displaced);
    help_chain_close(&m.h);
}

TEST(with_one_address)
{
    is_as_the_model("203.0.113.1", 1);
}

TEST(with_three_addresses)
{
    is_as_the_model("[203.0.113.1, 203.0.113.2, 203.0.113.3]", 3);
}
