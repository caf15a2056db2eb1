/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer and both families: a flow stays with its backend there and back, every checksum is right,
 * errors and fragments go with their flow, both services beside each other, an operator's changes. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define VIP    "2001:db8::80"
#define CLIENT "2001:db8:99::7"
#define ROUTER "2001:db8:77::1"
#define BALANCE(more)                                                                                        \
    "    - load_balancer: { vip: 203.0.113.10, vip6: \"2001:db8::80\", port: 80, proto: both" more " }\n"
#define BACKENDS ", backends: \"10.1.0.1 10.1.0.2 10.1.0.3:8080 fd00::1, fd00::2 [fd00::3]:8080\""

static const struct family {
    const char *vip, *client, *router, *beside; /* beside: a router before the backends */
    const char *backends;                       /* up to a number from 1 to 3 */
} families[] = {{"203.0.113.10", "198.51.100.7", "192.0.2.1", "10.1.0.254", "10.1.0."},
                {VIP, CLIENT, ROUTER, "fd00::fe", "fd00::"}};

static struct help_chain h;
static uint8_t frame[SIX_MAX + 64];
static struct six_seen seen, quoted;

static struct six packet(uint8_t proto, const char *from, unsigned sport, const char *to, unsigned dport,
                         uint8_t flags)
{
    return SIX(proto, from, (uint16_t)sport, to, (uint16_t)dport, .tcp = flags, .payload = 11);
}

static bool sends(uint8_t side, uint8_t proto, const char *from, unsigned sport, const char *to,
                  unsigned dport, uint8_t flags)
{
    struct six s = packet(proto, from, sport, to, dport, flags);

    return help_chain_six(&h, side, &s, &seen);
}

static const char *address_of(const struct family *f, unsigned number)
{
    static char text[46];

    snprintf(text, sizeof(text), "%s%u", f->backends, number);
    return text;
}

/* Where the packet that has left goes: 1 to 3. */
static unsigned backend(const struct family *f)
{
    unsigned number = (unsigned)seen.to[strlen(seen.to) - 1] - '0';

    assert_in_range(number, 1, 3);
    assert_string_equal(seen.to, address_of(f, number));
    assert_int_equal(seen.dport, number == 3 ? 8080 : 80);
    return number;
}

CHAIN_TEST(a_flow_stays_with_its_backend_there_and_back)
{
    unsigned at = 0;

    for (unsigned i = 0; i < 2 * 2 * 9 * 3; i++) {
        const struct family *f = &families[i / 54];
        uint8_t proto = i / 27 % 2 ? 17 : 6;
        unsigned port = 4000 + i / 3;

        assert_true(sends(NF_OUTSIDE, proto, f->client, port, f->vip, 80, i % 3 ? NFT_ACK : NFT_SYN));
        assert_true(i % 3 == 0 || backend(f) == at);
        at = backend(f);
        assert_true(sends(NF_INSIDE, proto, address_of(f, at), at == 3 ? 8080 : 80, f->client, port,
                          i % 3 ? NFT_ACK : NFT_SYN | NFT_ACK));
        six_ends_are(&seen, f->vip, 80, f->client, port);
    }
    help_chain_counts(&h, "load_balancer: flows_created 36, forwarded 108, returned 108");
    help_chain_has(&h, "load_balancer", "\"backend\":\"[fd00::3]:8080\",\"state\":\"up\",\"connections\":6");
    help_chain_has(&h, "load_balancer", "\"backend\":\"10.1.0.3:8080\",\"state\":\"up\",\"connections\":6");
    help_chain_has(&h, "load_balancer",
                   "\"client\":\"[2001:db8:99::7]:4018\",\"service\":\"[2001:db8::80]:80\"");
    help_chain_has(&h, "load_balancer",
                   "\"client\":\"198.51.100.7:4000\",\"service\":\"203.0.113.10:80\",\"to\":\"10.1.0.");
    help_chain_has(&h, "load_balancer", "\"state\":\"established\",\"packets\":6,");
    at = at % 3 + 1; /* not its flow */
    assert_true(sends(NF_INSIDE, 17, address_of(&families[1], at), at == 3 ? 8080 : 80, CLIENT, 4035, 0));
    six_ends_are(&seen, address_of(&families[1], at), at == 3 ? 8080 : 80, CLIENT, 4035);
    help_chain_counts(&h, "load_balancer: other 1");
}

CHAIN_TEST(the_rest_passes_as_it_is)
{
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000, "2001:db8::81", 80, 0));
    six_ends_are(&seen, CLIENT, 4000, "2001:db8::81", 80);
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000, VIP, 81, 0));
    assert_true(sends(NF_INSIDE, 17, "fd00::1", 80, CLIENT, 4000, 0));
    six_ends_are(&seen, "fd00::1", 80, CLIENT, 4000);
    help_chain_counts(&h, "load_balancer: other 3");
    assert_false(sends(NF_OUTSIDE, 6, CLIENT, 4000, VIP, 80, NFT_RST));
    help_chain_counts(&h, "load_balancer: no_flow 1");
}

/* An error about what is quoted, with 8 bytes behind its header, or `more`. */
static bool error(uint8_t side, const char *from, const char *to, const struct six *about, uint32_t more)
{
    bool ipv6 = six_is_ipv6(about);
    struct six e = SIX(ipv6 ? 58 : 1, from, 0, to, 0, .type = ipv6 ? 1 : 3, .code = ipv6 ? 4 : 3);

    return help_chain_error(&h, side, &e, about, more, &seen, &quoted);
}

CHAIN_TEST(errors_go_with_their_flow)
{
    for (unsigned i = 0; i < 8; i++) {
        const struct family *f = &families[i % 2];
        uint8_t proto = i / 2 % 2 ? 17 : 6;
        uint32_t more = i / 4 * 32;
        struct six asked, answered = packet(proto, f->vip, 80, f->client, 4000, NFT_ACK);
        unsigned at, port;
        char to[46];

        assert_true(sends(NF_OUTSIDE, proto, f->client, 4000, f->vip, 80, NFT_SYN));
        at = backend(f);
        port = at == 3 ? 8080 : 80;
        strcpy(to, seen.to);
        asked = packet(proto, f->client, 4000, to, port, NFT_ACK);
        /* The backend, about the question; and a router before it, which the client cannot reach. */
        for (unsigned n = 0; n < 2; n++) {
            assert_true(error(NF_INSIDE, n ? f->beside : to, f->client, &asked, more));
            six_ends_are(&quoted, f->client, 4000, f->vip, 80);
            assert_string_equal(seen.from, f->vip);
            assert_string_equal(seen.to, f->client);
        }
        /* A router on the way to the client, about the answer. */
        assert_true(error(NF_OUTSIDE, f->router, f->vip, &answered, more));
        six_ends_are(&quoted, to, port, f->client, 4000);
        assert_string_equal(seen.from, f->router);
        assert_string_equal(seen.to, to);
    }
    help_chain_counts(&h, "load_balancer: icmp_errors_translated 24");
    for (unsigned i = 0; i < 2; i++) {
        struct six unknown = packet(17, families[i].vip, 80, families[i].client, 4999, 0);

        assert_false(error(NF_OUTSIDE, families[i].router, families[i].vip, &unknown, 0));
        help_chain_counts(&h, "load_balancer: no_flow %u", i + 1);
    }
}

/* Extension headers in front of what a packet carries. */
static const struct wedged {
    uint8_t headers[16];
    uint32_t n;
    uint8_t proto; /* of the first one */
    bool read;     /* the ports behind it belong to the packet's addresses */
} wedged[] = {{{0, 0, 1, 4}, 8, 60, true},
              {{0, 0, 0, 0, 1, 2, 3, 4}, 8, 44, true}, /* a fragment that is all of it */
              {{0, 0, 4, 0}, 8, 43, true},             /* a routing header, at its end */
              {{60, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 4}, 16, 0, true},
              {{0, 0, 4, 1}, 8, 43, false},   /* one hop to go: its sum is of another destination */
              {{0, 0, 0, 64}, 8, 44, false}}; /* not the first fragment */

/* The frame of a packet with them, its length. */
static uint32_t wedge_one(const struct wedged *w, const struct six *s, uint8_t *at)
{
    uint32_t len = six_frame(s, at);
    uint8_t *ip = at + 14, proto = ip[6];

    memmove(ip + 40 + w->n, ip + 40, len - 54);
    memcpy(ip + 40, w->headers, w->n);
    ip[6] = w->proto;
    ip[40 + w->n - 8] = proto;
    help_put16(ip + 4, help_get16(ip + 4) + w->n);
    return len + w->n;
}

static unsigned begin_flow(void)
{
    assert_true(sends(NF_OUTSIDE, 6, CLIENT, 4000, VIP, 80, NFT_SYN));
    return backend(&families[1]);
}

CHAIN_TEST(behind_extension_headers_is_the_same_flow)
{
    struct six s = packet(6, CLIENT, 4000, VIP, 80, NFT_ACK);
    const uint8_t *ip = frame + 14;
    unsigned at = begin_flow();

    for (unsigned i = 0; i < 5; i++) {
        uint32_t len = wedge_one(&wedged[i], &s, frame);

        assert_false(help_chain_send(&h, NF_OUTSIDE, frame, len).drop);
        assert_int_equal(ip[24], wedged[i].read ? 0xfd : 0x20);
        assert_int_equal(ip[39], wedged[i].read ? at : 0x80);
        if (wedged[i].read)
            assert_int_equal(help_l4_checksum(ip, 6, ip + 40 + wedged[i].n, len - 54 - wedged[i].n), 0);
    }
    help_chain_counts(&h, "load_balancer: forwarded 5");
}

CHAIN_TEST(errors_quote_extension_headers)
{
    static uint8_t inside[SIX_MAX];
    struct six s = packet(6, VIP, 80, CLIENT, 4000, NFT_ACK);
    struct six e = SIX(58, ROUTER, 0, VIP, 0, .type = 2, .inner = inside + 14);
    const uint8_t *ip = frame + 14, *inner = ip + 48;
    unsigned at = begin_flow();

    for (unsigned i = 0; i < sizeof(wedged) / sizeof(wedged[0]); i++) {
        uint32_t n = wedged[i].n, len;

        e.inner_len = wedge_one(&wedged[i], &s, inside) - 14;
        len = six_frame(&e, frame);
        assert_int_equal(!help_chain_send(&h, NF_OUTSIDE, frame, len).drop, wedged[i].read);
        if (!wedged[i].read)
            continue;
        assert_int_equal(help_l4_checksum(ip, 58, ip + 40, len - 54), 0);
        assert_int_equal(inner[8], 0xfd);
        assert_int_equal(ip[24], 0xfd);
        assert_int_equal(inner[23], at);
        assert_int_equal(help_get16(inner + 40 + n), at == 3 ? 8080 : 80);
        assert_int_equal(help_l4_checksum(inner, 6, inner + 40 + n, e.inner_len - 40 - n), 0);
    }
    help_chain_counts(&h, "load_balancer: icmp_errors_translated 4, no_flow 2");
}

/* An error to the service that does not say whose packet it quotes is of nobody; one about a protocol that is
 * not the service's is another's. */
CHAIN_TEST(errors_that_quote_too_little_are_dropped)
{
    static const struct {
        uint8_t type, proto;
        uint32_t quoted;
        const char *to;
        bool passes;
    } say[] = {{2, 6, 0, VIP, false},
               {1, 6, 39, VIP, false},
               {3, 17, 47, VIP, false},
               {1, 60, 44, VIP, false},
               {1, 6, 47, ROUTER, true},
               {2, 50, 60, VIP, true},
               {1, 58, 44, VIP, false},
               {128, 6, 40, VIP, true},
               {3, 6, 8, "203.0.113.10", false},
               {3, 6, 8, "198.51.100.200", true}};
    static uint8_t inside[SIX_MAX];

    begin_flow();
    for (unsigned i = 0; i < sizeof(say) / sizeof(say[0]); i++) {
        const struct family *f = &families[i < 8];
        struct six s = packet(6, f->vip, 80, f->client, 4000, NFT_ACK);
        struct six e = SIX(i < 8 ? 58 : 1, f->router, 0, say[i].to, 0, .type = say[i].type,
                           .inner = inside + 14, .inner_len = say[i].quoted);

        six_frame(&s, inside);
        inside[14 + (i < 8 ? 6 : 9)] = say[i].proto;
        assert_int_equal(!help_chain_send(&h, NF_OUTSIDE, frame, six_frame(&e, frame)).drop, say[i].passes);
    }
    help_chain_counts(&h, "load_balancer: no_flow 6");
}

/* Of a datagram in two fragments: the first one has the ports. */
static bool fragment(bool later, uint32_t id)
{
    struct six s = packet(17, CLIENT, 4000, VIP, 80, 0);
    uint8_t whole[128];
    uint32_t len = six_frame(&s, whole);

    s.id = id;
    s.fragment = later ? 2 : 0x2000;
    s.payload = later ? 3 : 8;
    len = six_frame(&s, frame);
    memcpy(frame + 62, whole + 54 + (later ? 16 : 0), later ? 3 : 16);
    return !help_chain_send(&h, NF_OUTSIDE, frame, len).drop;
}

CHAIN_TEST(fragments_go_with_their_first)
{
    uint8_t whole[128];

    assert_false(fragment(true, 7));
    help_chain_counts(&h, "load_balancer: fragment_unknown 1");
    assert_true(fragment(false, 7));
    memcpy(whole, frame + 14, 40);
    memcpy(whole + 40, frame + 14 + 48, 16);
    assert_true(fragment(true, 7));
    assert_memory_equal(frame + 14 + 24, whole + 24, 16);
    memcpy(whole + 56, frame + 14 + 48, 3);
    assert_int_equal(help_l4_checksum(whole, 17, whole + 40, 19),
                     0); /* together they are a datagram to the backend */
}

CHAIN_TEST(both_services_have_their_own_backends)
{
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.10.1.0.2=down"), 0);
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.10.1.0.3=down"), 0);
    for (unsigned i = 0; i < 8; i++) {
        const struct family *f = &families[i % 2];

        assert_true(sends(NF_OUTSIDE, 17, f->client, 4000 + i, f->vip, 80, 0));
        assert_true(backend(f) == 1 || i % 2);
    }
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.10.1.0.1=down"), 0);
    help_chain_wait_tenths(&h, 20);
    assert_false(sends(NF_OUTSIDE, 17, families[0].client, 4000, families[0].vip, 80, 0));
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4001, VIP, 80, 0));
    help_chain_counts(&h, "load_balancer: flows_cut 4");
}

CHAIN_TEST(an_operator_changes_backends)
{
    assert_int_equal(help_chain_command(&h, "set load_balancer backends=-fd00::1"), 0);
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.fd00::2=down"), 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000 + i, VIP, 80, 0));
        assert_int_equal(backend(&families[1]), 3);
    }
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.fd00::3=down"), 0);
    assert_false(sends(NF_OUTSIDE, 17, CLIENT, 5000, VIP, 80, 0));
    help_chain_counts(&h, "load_balancer: no_backend 1");
    help_chain_wait_tenths(&h, 20);
    help_chain_counts(&h, "load_balancer: flows_cut 8");
    help_chain_has(&h, "load_balancer", "\"[fd00::3]:8080\",\"state\":\"down\",\"connections\":0");
    assert_int_equal(help_chain_command(&h, "set load_balancer backends=+[fd00::1]:80"), 0);
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 5001, VIP, 80, 0));
    assert_int_equal(backend(&families[1]), 1);
    assert_true(help_chain_command(&h, "set load_balancer backends=-fd00::9") < 0);
    assert_true(help_chain_command(&h, "set load_balancer backends=+[fd00::9]") < 0);
}

CHAIN_TEST(bad_ones_are_refused)
{
    help_chain_refuses("    - load_balancer: { vip: 203.0.113.10, backends: \"fd00::1\" }\n",
                       "backend fd00::1 is of IPv6, expected vip6 beside it");
    help_chain_refuses("    - load_balancer: { vip: 203.0.113.10, vip6: \"fd00::g\" }\n",
                       "vip6 is fd00::g, expected an address of IPv6");
    help_chain_refuses(BALANCE(", backends: \"[fd00::1]:0\""), "backend \"[fd00::1]:0\", expected ADDRESS");
    help_chain_refuses(BALANCE(", backends: \"fd00::1 fd00:0::1\""), "backend fd00:0::1 again");
}

static void begin(void)
{
    help_chain_open(&h, BALANCE(BACKENDS), NULL, 5);
    h.now = HELP_SECOND;
}

CHAIN_BEGINS(begin)
