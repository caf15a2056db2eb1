/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By what a packet that killed is known when its host sends it again: segments as a Linux host's TCP makes
 * them, cut in other places, with other timestamps; a program that connects once more; datagrams. And what of
 * the same host, or of another, is not taken for it.
 */
#include "understudy/crash/fingerprint.h"
#include "tests/help/frame.h"
#include "tests/help/test.h"

#define ETHER 14u
#define HEAD  (ETHER + 20u + 32u) /* with timestamps */

enum { TCP = 6, UDP = 17, ICMP = 1 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16, URG = 32 };

/* The stream of bytes that a client sends; what lies at 1000 is what it sends again. */
static uint8_t stream[8192];

struct segment {
    uint8_t bytes[2048];
    uint32_t len;
};

struct how {
    uint8_t from, to; /* last bytes of the addresses */
    uint16_t sport, dport;
    uint32_t first; /* the sequence number of the stream's first byte */
    uint8_t flags;
    unsigned noise; /* what a host changes each time it sends */
    uint32_t ack;   /* what it acknowledges; 0: goes with `noise` */
};
static const struct how usual = {9, 1, 40000, 80, 0xfffffe00, ACK, 0, 0};

static struct segment segment(struct how h, uint32_t at, uint32_t n)
{
    struct segment s = {.len = HEAD + n};
    uint8_t *ip = s.bytes + ETHER, *tcp = ip + 20;

    memset(s.bytes, (int)h.noise, 12);
    s.bytes[12] = 8;
    ip[0] = 0x45, ip[8] = (uint8_t)(64 - h.noise), ip[9] = TCP, ip[12] = 10, ip[15] = h.from, ip[16] = 192,
    ip[18] = 2, ip[19] = h.to;
    help_put16(ip + 4, 77 + h.noise * 13);
    help_put16(tcp, h.sport);
    help_put16(tcp + 2, h.dport);
    help_put32(tcp + 4, h.first + at);
    help_put32(tcp + 8, h.ack ? h.ack : 5000 + h.noise * 1448);
    tcp[12] = 8 << 4, tcp[13] = h.flags;
    help_put16(tcp + 14, 500 + h.noise);
    tcp[20] = 1, tcp[21] = 1, tcp[22] = 8, tcp[23] = 10;
    help_put32(tcp + 24, 123456 + h.noise * 200);
    help_put32(tcp + 28, 654321 + h.noise * 199);
    memcpy(s.bytes + HEAD, stream + at, n);
    help_seal_ipv4(ip, 32 + n);
    return s;
}

static struct ft_fingerprint of(const struct segment *s)
{
    return nd_fingerprint(s->bytes, s->len, s->len);
}

static bool again(struct segment a, struct segment b)
{
    struct ft_fingerprint known = of(&a), other = of(&b);

    assert_int_equal(nd_fingerprint_is_again(&known, &other), nd_fingerprint_is_again(&other, &known));
    return nd_fingerprint_is_again(&known, &other);
}

static struct how with_noise(struct how h)
{
    h.noise++;
    return h;
}

static int fill(void **state)
{
    srand(7);
    for (size_t i = 0; i < sizeof(stream); i++)
        stream[i] = (uint8_t)rand();
    return 0;
}

/* The sequence numbers wrap in the middle of it. */
TEST(a_segment_is_known_however_it_is_cut)
{
    struct segment killed = segment(usual, 1000, 500);
    struct how later = with_noise(usual);

    assert_true(again(killed, segment(later, 1000, 500)));
    assert_true(again(killed, segment(later, 1000, 1400)));
    assert_true(again(killed, segment(later, 1000, 1)));
    assert_true(again(killed, segment(later, 200, 801)));
    assert_true(again(killed, segment(later, 1499, 300)));
    assert_false(again(killed, segment(later, 200, 800)));
    assert_false(again(killed, segment(later, 1500, 300)));
    later.flags = ACK | FIN;
    assert_true(again(killed, segment(later, 1000, 500)));
}

static bool behind(struct segment a, struct segment b)
{
    struct ft_fingerprint known = of(&a), other = of(&b);

    return nd_fingerprint_is_behind(&known, &other);
}

TEST(what_is_sent_behind_it_waits_for_it)
{
    struct segment killed = segment(usual, 1000, 500);
    struct how later = with_noise(usual), elsewhere = usual;

    assert_true(behind(killed, segment(later, 1500, 500)));
    assert_true(behind(killed, segment(later, 9000, 1)));
    assert_false(behind(killed, segment(later, 500, 500)));
    assert_false(
        behind(killed, segment(later, 1500, 0))); /* an acknowledgement, which its own direction needs */
    elsewhere.sport++;
    assert_false(behind(killed, segment(elsewhere, 1500, 500)));
}

TEST(another_connection_is_not)
{
    struct segment killed = segment(usual, 1000, 500);
    struct how other = with_noise(usual);

    other.from = 10;
    assert_false(again(killed, segment(other, 1000, 500)));
    other = with_noise(usual);
    other.to = 2;
    assert_false(again(killed, segment(other, 1000, 500)));
    other = with_noise(usual);
    other.dport = 81;
    other.first = 7654321;
    assert_false(again(killed, segment(other, 2000, 500)));
}

/* A program connects once more, and says the same. */
TEST(the_same_words_on_a_new_connection_are)
{
    static const uint16_t service[] = {80, 8080, 40001, 50051, 65535};
    struct segment killed = segment(usual, 1000, 500);
    struct how anew = with_noise(usual);

    anew.sport = 40002;
    anew.first = 7654321;
    assert_true(again(killed, segment(anew, 1000, 500)));
    assert_true(again(killed, segment(anew, 1000, 1400)));
    assert_false(again(killed, segment(anew, 1000, 127))); /* fewer than what counts */
    assert_false(again(killed, segment(anew, 1001, 500)));
    assert_false(again(killed, segment(anew, 2000, 500)));
    for (unsigned i = 0; i < sizeof(service) / sizeof(service[0]); i++) {
        struct how first = usual;

        first.dport = anew.dport = service[i];
        assert_true(again(segment(first, 1000, 500), segment(anew, 1000, 500)));
    }
}

/* What a server answers goes to another port each time, and behind a NAT always does. */
TEST(the_same_answer_on_a_new_connection_is)
{
    struct how answer = {1, 9, 80, 40000, 0xfffffe00, ACK, 0, 0}, anew = with_noise(answer);
    struct segment killed = segment(answer, 1000, 500);

    anew.dport = 1999;
    anew.first = 7654321;
    assert_true(again(killed, segment(anew, 1000, 500)));
    assert_false(again(killed, segment(anew, 2000, 500)));
    answer.sport = anew.sport = 8080; /* above the port that a NAT has given */
    assert_true(again(segment(answer, 1000, 500), segment(anew, 1000, 500)));
}

TEST(a_connection_is_begun_again)
{
    struct how opens = usual, anew = with_noise(usual), other;

    opens.flags = anew.flags = SYN;
    anew.sport = 40002;
    anew.first = 7654321;
    assert_true(again(segment(opens, 0, 0), segment(anew, 0, 0)));
    other = anew;
    other.from = 10;
    assert_false(again(segment(opens, 0, 0), segment(other, 0, 0)));
    other = anew;
    other.flags = ACK;
    assert_false(again(segment(opens, 0, 0), segment(other, 0, 0)));
    other = anew;
    other.dport = 81;
    assert_false(again(segment(opens, 0, 0), segment(other, 0, 0)));
    opens.dport = anew.dport = 50051; /* above the ports of the host */
    assert_true(again(segment(opens, 0, 0), segment(anew, 0, 0)));
}

/* It goes to another port each time. */
TEST(a_connection_is_accepted_again)
{
    struct how accepts = {1, 9, 8080, 40000, 0xfffffe00, SYN | ACK, 0, 0}, anew = with_noise(accepts);

    anew.dport = 1999;
    anew.first = 7654321;
    assert_true(again(segment(accepts, 0, 0), segment(anew, 0, 0)));
    anew.sport = 81;
    assert_false(again(segment(accepts, 0, 0), segment(anew, 0, 0)));
}

/* An acknowledgement takes no sequence number; others of its connection have another one, or acknowledge
 * more, as all of a host that only receives do. A keepalive is the same each time. */
TEST(an_acknowledgement)
{
    struct how receives = usual, later;
    struct segment killed;

    receives.ack = 9000;
    killed = segment(receives, 1000, 0);
    later = with_noise(receives);
    assert_true(again(killed, segment(later, 1000, 0)));
    assert_true(again(segment(receives, 999, 0), segment(later, 999, 0)));
    later.ack = 9000 + 1448;
    assert_false(again(killed, segment(later, 1000, 0)));
    later.ack = 9000;
    assert_false(again(killed, segment(later, 1001, 0)));
    assert_false(again(killed, segment(later, 1000, 10)));
    later.sport++;
    assert_false(again(killed, segment(later, 1000, 0)));
}

/* Without payload, with 8 bytes of options in front of the timestamps. */
static struct segment empty(struct how h, uint32_t at, const uint8_t options[8])
{
    struct segment s = segment(h, at, 0);
    uint8_t *ip = s.bytes + ETHER, *tcp = ip + 20;

    memmove(tcp + 28, tcp + 20, 12);
    memcpy(tcp + 20, options, 8);
    tcp[12] = 10 << 4;
    s.len += 8;
    help_put16(tcp + 16, 0);
    help_seal_ipv4(ip, 40);
    return s;
}

/* What no host sends in the course of a connection is the same again on any of the same host's to the same
 * service, whatever it acknowledges. */
TEST(an_odd_segment_without_payload)
{
    static const uint8_t unknown[] = {253, 6, 1, 2, 3, 4, 1, 1}, other_bytes[] = {1, 253, 6, 9, 9, 9, 9, 1},
                         other[] = {254, 6, 1, 2, 3, 4, 1, 1}, broken[] = {253, 0, 1, 2, 3, 4, 1, 1},
                         beyond[] = {1, 1, 1, 1, 1, 1, 253, 99}, mss[] = {2, 4, 5, 180, 1, 1, 1, 1};
    struct how h = usual, later = with_noise(usual);
    struct segment killed = empty(h, 1000, unknown);

    later.sport = 40002;
    later.first = 7654321;
    assert_true(again(killed, empty(later, 1000, unknown)));
    assert_true(again(killed, empty(later, 3000, other_bytes))); /* each has another value in it */
    assert_false(again(killed, empty(later, 1000, other)));
    assert_false(again(killed, segment(later, 1000, 0)));
    assert_true(again(empty(h, 0, broken), empty(later, 9, broken)));
    assert_true(again(empty(h, 0, beyond), empty(later, 9, beyond)));
    assert_true(again(empty(h, 0, mss), empty(later, 9, mss)));
    assert_false(again(empty(h, 0, mss), empty(later, 9, broken)));
    later.from = 10;
    assert_false(again(killed, empty(later, 1000, unknown)));
    later.from = h.from;
    for (unsigned i = 0; i < 4; i++) {
        static const uint8_t odd[] = {0, URG, FIN, ACK | URG};

        h.flags = later.flags = odd[i];
        assert_true(again(segment(h, 0, 0), segment(later, 9, 0)));
    }
    later.flags = ACK;
    assert_false(again(segment(h, 0, 0), segment(later, 9, 0)));
}

/* A host that dials many ports, or that was connected to, sends one after the other; nothing waits for one.
 */
TEST(a_reset)
{
    static const uint8_t unknown[] = {253, 6, 1, 2, 3, 4, 1, 1};
    struct how h = usual, later = with_noise(usual);

    later.sport = 40002;
    h.flags = later.flags = RST;
    assert_true(again(segment(h, 0, 0), segment(later, 9, 0)));
    assert_true(again(empty(h, 0, unknown), empty(later, 9, unknown)));
    assert_false(again(empty(h, 0, unknown), segment(later, 9, 0)));
    later.flags = RST | ACK;
    assert_false(again(segment(h, 0, 0), segment(later, 9, 0)));
    later.flags = RST;
    later.to = 2;
    assert_false(again(segment(h, 0, 0), segment(later, 9, 0)));
}

/* What every connection has: acknowledgements, also with what was lost in between and in the options of
 * multipath TCP, and its end. Others of the same host go on. */
TEST(what_every_connection_has)
{
    static const uint8_t lost[] = {5, 10, 0, 0, 1, 0, 0, 0}, multipath[] = {30, 8, 0x20, 1, 1, 2, 3, 4},
                         nothing[] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t usual_flags[] = {ACK, ACK | 8, ACK | FIN, ACK | 0x40, ACK | 0x80};
    struct how h = usual, later = with_noise(usual);

    later.sport = 40002;
    for (unsigned i = 0; i < sizeof(usual_flags); i++) {
        h.flags = later.flags = usual_flags[i];
        assert_false(again(segment(h, 0, 0), segment(later, 9, 0)));
        assert_false(again(empty(h, 0, multipath), empty(later, 9, multipath)));
        assert_false(again(empty(h, 0, nothing), empty(later, 9, nothing)));
    }
    h.flags = later.flags = ACK;
    assert_true(again(empty(h, 0, lost), empty(h, 0, lost)));
    later = with_noise(h);
    assert_false(again(empty(h, 0, multipath), empty(later, 9, multipath)));
}

/* A chain that reads headers alone has nothing else of them: of a new connection it knows its SYN. */
TEST(headers_alone)
{
    struct segment killed = segment(usual, 1000, 500), same = segment(with_noise(usual), 1200, 500),
                   other = segment(with_noise(usual), 1500, 500);
    struct how anew = with_noise(usual);
    struct segment said = segment((anew.sport = 40002, anew), 1000, 500);
    struct ft_fingerprint known = nd_fingerprint(killed.bytes, HEAD, killed.len), f;

    f = nd_fingerprint(same.bytes, HEAD, same.len);
    assert_true(nd_fingerprint_is_again(&known, &f));
    f = nd_fingerprint(other.bytes, HEAD, other.len);
    assert_false(nd_fingerprint_is_again(&known, &f));
    f = nd_fingerprint(said.bytes, HEAD, said.len);
    assert_false(nd_fingerprint_is_again(&known, &f));
}

/* What the handler of a fatal signal has of a frame is its beginning, and what a lane has is all of it. */
TEST(a_beginning_is_enough)
{
    struct segment s = segment(usual, 1000, 1400);
    struct ft_fingerprint whole = of(&s), begun = nd_fingerprint(s.bytes, FT_FINGERPRINT_BYTES, s.len);

    assert_memory_equal(&whole, &begun, sizeof(whole));
}

static struct segment datagram(uint8_t proto, uint16_t sport, uint16_t dport, uint32_t at, uint32_t n)
{
    struct segment s = {.len = ETHER + 28 + n};
    uint8_t *ip = s.bytes + ETHER;

    s.bytes[12] = 8;
    ip[0] = 0x45, ip[8] = (uint8_t)rand() | 1, ip[9] = proto, ip[12] = 10, ip[15] = 9, ip[16] = 192,
    ip[19] = 1;
    help_put16(ip + 4, (uint32_t)rand() & 0xffff);
    help_put16(ip + 20, sport);
    help_put16(ip + 22, dport);
    help_put16(ip + 24, proto == UDP ? 8 + n : (uint32_t)rand() & 0xffff);
    memcpy(ip + 28, stream + at, n);
    help_seal_ipv4(ip, 8 + n);
    return s;
}

TEST(a_datagram)
{
    struct segment killed = datagram(UDP, 1000, 53, 0, 300), next = killed, other = killed;

    next.bytes[ETHER + 19] ^= 1; /* the next server is asked the same */
    help_seal_ipv4(next.bytes + ETHER, 308);
    assert_true(again(killed, next));
    other.bytes[ETHER + 15] ^= 1; /* by another host */
    help_seal_ipv4(other.bytes + ETHER, 308);
    assert_false(again(killed, other));
    assert_true(again(killed, datagram(UDP, 1000, 53, 0, 300)));
    assert_true(again(killed, datagram(UDP, 2000, 53, 0, 300))); /* asked again from another port */
    assert_true(again(datagram(UDP, 53, 1000, 0, 300), datagram(UDP, 53, 2000, 0, 300))); /* and answered */
    assert_true(again(datagram(UDP, 1000, 5353, 0, 300), datagram(UDP, 2000, 5353, 0, 300)));
    assert_true(again(datagram(UDP, 5353, 1000, 0, 300), datagram(UDP, 5353, 2000, 0, 300)));
    assert_true(again(killed, datagram(UDP, 1000, 54, 0, 300)));
    assert_false(again(killed, datagram(UDP, 2000, 54, 0, 300)));
    assert_false(again(killed, datagram(UDP, 1000, 53, 1, 300)));
    assert_false(again(killed, segment(usual, 0, 300)));
}

TEST(headers_of_a_datagram_alone)
{
    struct segment killed = datagram(UDP, 1000, 5353, 0, 300), anew = datagram(UDP, 2000, 5353, 7, 300),
                   other = datagram(UDP, 1000, 5353, 0, 301);
    struct ft_fingerprint known = nd_fingerprint(killed.bytes, ETHER + 28, killed.len),
                          f = nd_fingerprint(anew.bytes, ETHER + 28, anew.len);

    assert_true(nd_fingerprint_is_again(&known, &f));
    f = nd_fingerprint(other.bytes, ETHER + 28, other.len);
    assert_false(nd_fingerprint_is_again(&known, &f));
    killed.bytes[ETHER + 19] ^= 1;
    help_seal_ipv4(killed.bytes + ETHER, 308);
    f = nd_fingerprint(killed.bytes, ETHER + 28, killed.len);
    assert_false(nd_fingerprint_is_again(&known, &f));
}

/* Each echo has another number and another time in it. */
TEST(an_echo)
{
    struct segment killed = datagram(ICMP, 8 << 8, 0, 0, 56);

    assert_true(again(killed, datagram(ICMP, 8 << 8, 0, 90, 56)));
    assert_false(again(killed, datagram(ICMP, 8 << 8, 0, 0, 57)));
    assert_false(again(killed, datagram(ICMP, 13 << 8, 0, 0, 56)));
}

/* A router, or a host with a closed port, answers a datagram that is sent again: what it quotes has another
 * identification, time to live and checksum, and of TCP other timestamps. */
TEST(an_error)
{
    struct segment quoted[] = {segment(usual, 1000, 60), segment(with_noise(usual), 1000, 60),
                               segment((struct how){9, 2, 40000, 80, 0, ACK, 0, 0}, 1000, 60)},
                   error[3];

    for (unsigned i = 0; i < 3; i++) {
        memcpy(stream + 4000 + i * 200, quoted[i].bytes + ETHER, 120); /* behind 8 bytes of ICMP */
        error[i] = datagram(ICMP, 3 << 8 | 3, 0, 4000 + i * 200, 120);
        memset(error[i].bytes + ETHER + 24, 0, 4);
        help_seal_ipv4(error[i].bytes + ETHER, 128);
    }
    assert_true(again(error[0], error[1]));
    assert_false(again(error[0], error[2]));
}

/* With Fast Open the request lies in the SYN; when that is not answered, Linux sends it behind another one.
 */
TEST(a_request_in_a_syn)
{
    struct how opens = usual, anew = with_noise(usual);

    opens.flags = SYN;
    anew.sport = 40002;
    assert_true(again(segment(opens, 1000, 500), segment(anew, 1000, 500)));
    assert_true(again(segment(opens, 1000, 500),
                      segment((struct how){9, 1, 40000, 80, 0xfffffe00, SYN, 1, 0}, 1000, 0)));
    anew.flags = SYN;
    assert_false(again(segment(opens, 1000, 500), segment(anew, 1000, 0)));
}

/* A later fragment has no ports; each time that it is sent its datagram has another identification. */
TEST(a_fragment_over_ipv6)
{
    struct segment s[3] = {{.len = ETHER + 48 + 200}, {.len = ETHER + 48 + 200}, {.len = ETHER + 48 + 200}};

    for (unsigned i = 0; i < 3; i++) {
        uint8_t *ip = s[i].bytes + ETHER;

        s[i].bytes[12] = 0x86, s[i].bytes[13] = 0xdd;
        help_put32(ip, 0x60000000 + i * 12345); /* flow label */
        help_put16(ip + 4, 208);
        ip[6] = 44, ip[7] = (uint8_t)(64 - i), ip[8] = 0x20, ip[23] = 9, ip[24] = 0x20, ip[39] = 1;
        ip[40] = UDP;
        help_put16(ip + 42, 1448);
        help_put32(ip + 44, 0x11223344 + i * 777);
        memcpy(ip + 48, stream + 300 + i / 2, 200);
    }
    assert_true(again(s[0], s[1]));
    assert_false(again(s[0], s[2]));
}

/* A segment over IPv6: addresses, and sequence numbers. */
static struct segment segment_ipv6(uint8_t from, uint32_t seq, uint32_t n, unsigned noise)
{
    struct segment s = {.len = ETHER + 60 + n};
    uint8_t *ip = s.bytes + ETHER, *tcp = ip + 40;

    memset(s.bytes, (int)noise, 12);
    s.bytes[12] = 0x86, s.bytes[13] = 0xdd;
    ip[0] = 0x60, ip[6] = TCP, ip[7] = (uint8_t)(64 - noise), ip[8] = 0x20, ip[23] = from, ip[24] = 0x20;
    ip[39] = 1;
    help_put16(ip + 4, 20 + n);
    help_put16(tcp, 40000);
    help_put16(tcp + 2, 80);
    help_put32(tcp + 4, seq);
    help_put32(tcp + 8, noise);
    tcp[12] = 5 << 4, tcp[13] = ACK;
    memcpy(tcp + 20, stream + seq % 1000, n);
    return s;
}

TEST(a_segment_over_ipv6)
{
    assert_true(again(segment_ipv6(9, 100, 50, 0), segment_ipv6(9, 149, 50, 1)));
    assert_false(again(segment_ipv6(9, 100, 50, 0), segment_ipv6(9, 150, 50, 1)));
    assert_false(again(segment_ipv6(9, 100, 50, 0), segment_ipv6(8, 100, 50, 1)));
}

/* A frame of a type that is not read: its first 128 bytes, without Ethernet's addresses. */
TEST(another_frame)
{
    uint8_t frame[1000] = {0};
    struct ft_fingerprint first, other;

    frame[12] = 0x88, frame[13] = 0xb5;
    first = nd_fingerprint(frame, sizeof(frame), sizeof(frame));
    for (unsigned i = 0; i < sizeof(frame); i++) {
        if (i == 12 || i == 13)
            continue;
        frame[i] ^= 1;
        other = nd_fingerprint(frame, sizeof(frame), sizeof(frame));
        frame[i] ^= 1;
        assert_int_equal(nd_fingerprint_is_again(&first, &other), i < 12 || i >= 128);
    }
    other = nd_fingerprint(frame, sizeof(frame) - 1, sizeof(frame) - 1);
    assert_false(nd_fingerprint_is_again(&first, &other));
}

TESTS_SHARE(fill, NULL)
