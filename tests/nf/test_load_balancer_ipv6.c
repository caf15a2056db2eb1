/* SPDX-License-Identifier: Apache-2.0 */
/* The load balancer and IPv6: a flow stays with its backend there and back, every checksum is right, errors
 * and fragments go with their flow, both services beside each other, an operator's changes. */
#include "tests/help/chain.h"
#include "tests/help/test.h"
#include <arpa/inet.h>

#define VIP    "2001:db8::80"
#define CLIENT "2001:db8:99::7"
#define ROUTER "2001:db8:77::1"
#define BALANCE(more)                                                                                        \
    "    - load_balancer: { vip: 203.0.113.10, vip6: \"2001:db8::80\", port: 80, proto: both" more " }\n"
#define BACKENDS ", backends: \"10.1.0.1 fd00::1, fd00::2 [fd00::3]:8080\""

static struct help_chain h;
static uint8_t frame[512];
static uint32_t frame_len;

static uint64_t counter(const char *name)
{
    return help_chain_counter(&h, "load_balancer", name);
}

/* ---- frames, built and looked at with plain code ---- */

/* A packet of TCP (with flags) or UDP of 11 bytes of payload; returns its length. */
static uint32_t put_packet(uint8_t *ip, uint8_t proto, const char *from, uint32_t sport, const char *to,
                           uint32_t dport, uint8_t flags)
{
    uint32_t size = proto == 6 ? 31 : 19;
    uint8_t *l4 = ip + 40;

    help_ipv6_header(ip, proto, from, to, size);
    memset(l4, 0x5b, size);
    help_put16(l4, sport);
    help_put16(l4 + 2, dport);
    if (proto == 6) {
        l4[12] = 0x50;
        l4[13] = flags;
    } else {
        help_put16(l4 + 4, size);
    }
    help_put16(l4 + (proto == 6 ? 16 : 6), 0);
    help_put16(l4 + (proto == 6 ? 16 : 6), help_l4_checksum(ip, proto, l4, size));
    return 40 + size;
}

static bool send_it(uint8_t side, uint32_t len)
{
    frame_len = 14 + len;
    return !help_ipv6_send(&h, side, frame, frame_len).drop;
}

static bool sends(uint8_t side, uint8_t proto, const char *from, uint32_t sport, const char *to,
                  uint32_t dport, uint8_t flags)
{
    const uint8_t *ip = frame + 14;
    uint32_t len = put_packet(frame + 14, proto, from, sport, to, dport, flags);

    if (!send_it(side, len))
        return false;
    assert_int_equal(help_l4_checksum(ip, proto, ip + 40, len - 40), 0);
    return true;
}

static void ends_are(const uint8_t *ip, const char *from, uint32_t sport, const char *to, uint32_t dport)
{
    char text[2][INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, ip + 8, text[0], sizeof(text[0]));
    inet_ntop(AF_INET6, ip + 24, text[1], sizeof(text[1]));
    assert_string_equal(text[0], from);
    assert_string_equal(text[1], to);
    assert_int_equal(help_get16(ip + 40), sport);
    assert_int_equal(help_get16(ip + 42), dport);
}

/* Where the packet that has left goes: 1 to 3. */
static unsigned backend(void)
{
    const uint8_t *ip = frame + 14;

    assert_true(ip[24] == 0xfd && ip[39] >= 1 && ip[39] <= 3);
    assert_int_equal(help_get16(ip + 42), ip[39] == 3 ? 8080 : 80);
    return ip[39];
}

static const char *address_of(unsigned number)
{
    static char text[16];

    snprintf(text, sizeof(text), "fd00::%u", number);
    return text;
}

/* ---- tests ---- */

CHAIN_TEST(a_flow_stays_with_its_backend_there_and_back)
{
    unsigned used = 0;

    for (uint8_t proto = 6; proto <= 17; proto += 11)
        for (unsigned client = 0; client < 9; client++) {
            unsigned at = 0;

            for (unsigned i = 0; i < 3; i++) {
                assert_true(sends(NF_OUTSIDE, proto, CLIENT, 4000 + client, VIP, 80, i ? NFT_ACK : NFT_SYN));
                assert_true(!i || backend() == at);
                at = backend();
                used |= 1u << at;
                assert_true(sends(NF_INSIDE, proto, address_of(at), at == 3 ? 8080 : 80, CLIENT,
                                  4000 + client, i ? NFT_ACK : NFT_SYN | NFT_ACK));
                ends_are(frame + 14, VIP, 80, CLIENT, 4000 + client);
            }
        }
    assert_int_equal(used, 0xe);
    assert_int_equal(counter("flows_created"), 18);
    assert_int_equal(counter("forwarded"), 54);
    assert_int_equal(counter("returned"), 54);
    help_chain_has(&h, "load_balancer", "\"backend\":\"[fd00::3]:8080\",\"state\":\"up\",\"connections\":6");
    help_chain_has(&h, "load_balancer",
                   "\"client\":\"[2001:db8:99::7]:4000\",\"service\":\"[2001:db8::80]:80\"");
}

CHAIN_TEST(the_rest_passes_as_it_is)
{
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000, "2001:db8::81", 80, 0));
    ends_are(frame + 14, CLIENT, 4000, "2001:db8::81", 80);
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000, VIP, 81, 0));
    assert_true(sends(NF_INSIDE, 17, "fd00::1", 80, CLIENT, 4000, 0));
    ends_are(frame + 14, "fd00::1", 80, CLIENT, 4000);
    assert_int_equal(counter("other"), 3);
    assert_false(sends(NF_OUTSIDE, 6, CLIENT, 4000, VIP, 80, NFT_RST));
    assert_int_equal(counter("no_flow"), 1);
}

/* An error of `type` about the packet of `proto` that is quoted. */
static bool error(uint8_t side, const char *from, const char *to, uint8_t proto, const char *src,
                  uint32_t sport, const char *dst, uint32_t dport, uint32_t quoted)
{
    uint8_t *ip = frame + 14, *icmp = ip + 40;
    uint32_t size = put_packet(icmp + 8, proto, src, sport, dst, dport, NFT_ACK);

    size = 8 + (quoted < size ? quoted : size);
    help_ipv6_header(ip, 58, from, to, size);
    memset(icmp, 0, 8);
    icmp[0] = 1;
    icmp[1] = 4;
    help_put16(icmp + 2, help_l4_checksum(ip, 58, icmp, size));
    if (!send_it(side, 40 + size))
        return false;
    assert_int_equal(help_l4_checksum(ip, 58, icmp, size), 0);
    if (size >= 8 + 40 + 19)
        assert_int_equal(help_l4_checksum(icmp + 8, proto, icmp + 48, help_get16(icmp + 12)), 0);
    return true;
}

CHAIN_TEST(errors_go_with_their_flow)
{
    unsigned at;

    for (uint8_t proto = 6; proto <= 17; proto += 11)
        for (uint32_t quoted = 48; quoted <= 80; quoted += 32) {
            const uint8_t *ip = frame + 14, *inner = ip + 48;

            assert_true(sends(NF_OUTSIDE, proto, CLIENT, 4000, VIP, 80, NFT_SYN));
            at = backend();
            /* The backend, about the question. */
            assert_true(error(NF_INSIDE, address_of(at), CLIENT, proto, CLIENT, 4000, address_of(at),
                              at == 3 ? 8080 : 80, quoted));
            ends_are(inner, CLIENT, 4000, VIP, 80);
            assert_memory_equal(ip + 8, inner + 24, 16); /* and it comes from the service */
            /* A router before the backend, which the client cannot reach. */
            assert_true(error(NF_INSIDE, "fd00::fe", CLIENT, proto, CLIENT, 4000, address_of(at),
                              at == 3 ? 8080 : 80, quoted));
            ends_are(inner, CLIENT, 4000, VIP, 80);
            assert_memory_equal(ip + 8, inner + 24, 16);
            /* A router on the way to the client, about the answer. */
            assert_true(error(NF_OUTSIDE, ROUTER, VIP, proto, VIP, 80, CLIENT, 4000, quoted));
            ends_are(inner, address_of(at), at == 3 ? 8080 : 80, CLIENT, 4000);
            assert_memory_equal(ip + 24, inner + 8, 16); /* and it goes to the backend */
        }
    assert_int_equal(counter("icmp_errors_translated"), 12);
    assert_false(error(NF_OUTSIDE, ROUTER, VIP, 17, VIP, 80, CLIENT, 4999, 48));
    assert_int_equal(counter("no_flow"), 1);
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

static uint32_t wedge_one(const struct wedged *w, uint8_t *ip, uint32_t len)
{
    uint8_t proto = ip[6];

    memmove(ip + 40 + w->n, ip + 40, len - 40);
    memcpy(ip + 40, w->headers, w->n);
    ip[6] = w->proto;
    ip[40 + w->n - 8] = proto;
    help_put16(ip + 4, help_get16(ip + 4) + w->n);
    return len + w->n;
}

CHAIN_TEST(behind_extension_headers_is_the_same_flow)
{
    const uint8_t *ip = frame + 14;
    unsigned at;

    assert_true(sends(NF_OUTSIDE, 6, CLIENT, 4000, VIP, 80, NFT_SYN));
    at = backend();
    for (unsigned i = 0; i < 5; i++) {
        uint32_t len = put_packet(frame + 14, 6, CLIENT, 4000, VIP, 80, NFT_ACK);

        assert_true(send_it(NF_OUTSIDE, wedge_one(&wedged[i], frame + 14, len)));
        assert_int_equal(ip[24], wedged[i].read ? 0xfd : 0x20);
        assert_int_equal(ip[39], wedged[i].read ? at : 0x80);
        if (wedged[i].read)
            assert_int_equal(help_l4_checksum(ip, 6, ip + 40 + wedged[i].n, len - 40), 0);
    }
    assert_int_equal(counter("forwarded"), 5);
}

CHAIN_TEST(errors_quote_extension_headers)
{
    uint8_t *ip = frame + 14, *icmp = ip + 40, *inner = icmp + 8;
    unsigned at;

    assert_true(sends(NF_OUTSIDE, 6, CLIENT, 4000, VIP, 80, NFT_SYN));
    at = backend();
    for (unsigned i = 0; i < sizeof(wedged) / sizeof(wedged[0]); i++) {
        uint32_t n = wedged[i].n, size = 8 + wedge_one(&wedged[i], inner,
                                                       put_packet(inner, 6, VIP, 80, CLIENT, 4000, NFT_ACK));

        help_ipv6_header(ip, 58, ROUTER, VIP, size);
        memset(icmp, 0, 8);
        icmp[0] = 2;
        help_put16(icmp + 2, help_l4_checksum(ip, 58, icmp, size));
        assert_int_equal(send_it(NF_OUTSIDE, 40 + size), wedged[i].read);
        if (!wedged[i].read)
            continue;
        assert_int_equal(help_l4_checksum(ip, 58, icmp, size), 0);
        assert_int_equal(inner[8], 0xfd);
        assert_int_equal(ip[24], 0xfd);
        assert_int_equal(inner[23], at);
        assert_int_equal(help_get16(inner + 40 + n), at == 3 ? 8080 : 80);
        assert_int_equal(help_l4_checksum(inner, 6, inner + 40 + n, size - 8 - 40 - n), 0);
    }
    assert_int_equal(counter("icmp_errors_translated"), 4);
    assert_int_equal(counter("no_flow"), 2);
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
    } say[] = {{2, 6, 0, VIP, false},   {1, 6, 39, VIP, false},   {3, 17, 47, VIP, false},
               {1, 60, 44, VIP, false}, {1, 6, 47, ROUTER, true}, {2, 50, 60, VIP, true},
               {1, 58, 44, VIP, false}, {128, 6, 40, VIP, true}};
    uint8_t *ip = frame + 14, *icmp = ip + 40;

    assert_true(sends(NF_OUTSIDE, 6, CLIENT, 4000, VIP, 80, NFT_SYN));
    for (unsigned i = 0; i < sizeof(say) / sizeof(say[0]); i++) {
        put_packet(icmp + 8, 6, VIP, 80, CLIENT, 4000, NFT_ACK);
        icmp[8 + 6] = say[i].proto;
        help_ipv6_header(ip, 58, ROUTER, say[i].to, 8 + say[i].quoted);
        memset(icmp, 0, 8);
        icmp[0] = say[i].type;
        help_put16(icmp + 2, help_l4_checksum(ip, 58, icmp, 8 + say[i].quoted));
        assert_int_equal(send_it(NF_OUTSIDE, 48 + say[i].quoted), say[i].passes);
    }
    assert_int_equal(counter("no_flow"), 5);
}

/* Of a datagram in two fragments: the first one has the ports. */
static bool fragment(bool later, uint32_t id)
{
    uint8_t *ip = frame + 14, whole[128];

    put_packet(whole, 17, CLIENT, 4000, VIP, 80, 0);
    help_ipv6_header(ip, 44, CLIENT, VIP, later ? 8 + 3 : 8 + 16);
    memset(ip + 40, 0, 8);
    ip[40] = 17;
    help_put16(ip + 42, later ? 16 : 1);
    help_put16(ip + 46, id);
    memcpy(ip + 48, whole + 40 + (later ? 16 : 0), later ? 3 : 16);
    return send_it(NF_OUTSIDE, later ? 51 : 64);
}

CHAIN_TEST(fragments_go_with_their_first)
{
    uint8_t whole[128];

    assert_false(fragment(true, 7));
    assert_int_equal(counter("fragment_unknown"), 1);
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
    struct nft_spec spec = {
        .src = NFT_IP(198, 51, 100, 7), .dst = NFT_IP(203, 0, 113, 10), .sport = 9, .dport = 80, .proto = 17};
    struct nft_seen s;

    for (unsigned i = 0; i < 4; i++) {
        spec.sport++;
        assert_true(help_chain_spec(&h, NF_OUTSIDE, &spec, &s));
        assert_int_equal(s.dst, NFT_IP(10, 1, 0, 1));
        assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000 + i, VIP, 80, 0));
        backend();
    }
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.10.1.0.1=down"), 0);
    help_chain_wait_tenths(&h, 20);
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &spec, NULL));
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000, VIP, 80, 0));
    assert_int_equal(counter("flows_cut"), 4);
}

CHAIN_TEST(an_operator_changes_backends)
{
    assert_int_equal(help_chain_command(&h, "set load_balancer backends=-fd00::1"), 0);
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.fd00::2=down"), 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(sends(NF_OUTSIDE, 17, CLIENT, 4000 + i, VIP, 80, 0));
        assert_int_equal(backend(), 3);
    }
    assert_int_equal(help_chain_command(&h, "set load_balancer backend.fd00::3=down"), 0);
    assert_false(sends(NF_OUTSIDE, 17, CLIENT, 5000, VIP, 80, 0));
    assert_int_equal(counter("no_backend"), 1);
    help_chain_wait_tenths(&h, 20);
    assert_int_equal(counter("flows_cut"), 8);
    help_chain_has(&h, "load_balancer", "\"[fd00::3]:8080\",\"state\":\"down\",\"connections\":0");
    assert_int_equal(help_chain_command(&h, "set load_balancer backends=+[fd00::1]:80"), 0);
    assert_true(sends(NF_OUTSIDE, 17, CLIENT, 5001, VIP, 80, 0));
    assert_int_equal(backend(), 1);
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
