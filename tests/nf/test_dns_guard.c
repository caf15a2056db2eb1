/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_guard: which names are listed, the answer that there is no such name, messages that break their format,
 * bad lists. Facts of captures are tshark's: dns.qry.name of packets with udp.dstport 53 and
 * dns.flags.response 0, reassembly off.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define GUARD(more) "    - dns_guard: { list: firewall.rules" more " }\n"
#define A           NFT_IP(10, 0, 0, 1)
#define R           NFT_IP(198, 51, 100, 53)
#define LIST        "# bad ones\nbad.example\n\n  Evil.COM. # and what is below\nbad.example\nx\n"

static struct help_chain h;
static uint8_t frame[NFT_FRAME_MAX];

static uint32_t resolver = R;

/* A frame of UDP to port 53 whose payload is these bytes; true: it passes. */
static bool payload(uint8_t side, const void *bytes, uint32_t n)
{
    struct nft_spec s = HELP_PACKET(17, A, 4000, resolver, 53, .no_udp_sum = true);
    uint32_t len;

    s.payload = (uint16_t)n;
    len = nft_frame(&s, frame);
    assert_true(len >= 42 + n);
    memcpy(frame + 42, bytes, n);
    return !help_chain_send(&h, side, frame, len).drop;
}

static uint32_t put_name(uint8_t *at, const char *text)
{
    uint32_t used = 0;

    for (; *text; text += strcspn(text, ".") + (text[strcspn(text, ".")] == '.')) {
        size_t label = strcspn(text, ".");

        at[used++] = (uint8_t)label;
        memcpy(at + used, text, label);
        used += (uint32_t)label;
    }
    at[used] = 0;
    return used + 1;
}

/* Header, a question of type A, and an OPT record behind it (RFC 6891). */
static uint32_t put_query(uint8_t *dns, const char *name)
{
    static const uint8_t head[12] = {0x12, 0x34, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1};
    static const uint8_t tail[15] = {0, 1, 0, 1, 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0};
    uint32_t n;

    memcpy(dns, head, 12);
    n = 12 + put_name(dns + 12, name);
    memcpy(dns + n, tail, 15);
    return n + 15;
}

static bool query(const char *name)
{
    uint8_t dns[512];

    return payload(NF_INSIDE, dns, put_query(dns, name));
}

CHAIN_TEST(listed_domains_and_what_is_below_are_dropped)
{
    help_chain_open(&h, GUARD(", action: drop"), LIST, 3);
    assert_false(query("bad.example"));
    assert_false(query("BAD.Example"));
    assert_false(query("a.b.c.bad.example"));
    assert_false(query("www.eViL.com"));
    assert_false(query("x"));
    assert_true(query("example"));
    assert_true(query("notbad.example"));
    assert_true(query("bad.example.org"));
    assert_true(query("evil.com.example"));
    assert_true(query("com"));
    assert_true(query(""));
    help_chain_counts(&h, "dns_guard: queries 11, listed 5, answered 0, malformed 0");
}

/* A label may have any byte in it, and is one label: "a.evil", and one that ends as if "evil" were another.
 */
CHAIN_TEST(what_is_inside_of_a_label_parts_nothing)
{
    static const uint8_t length[] = "\1\1\1\0\0\1\0\0\0\0\0\0\6a\4evil\3com\0\0\1\0\1";
    static const uint8_t dns[] = "\1\1\1\0\0\1\0\0\0\0\0\0\6a.evil\3com\0\0\1\0\1";

    assert_true(payload(NF_INSIDE, dns, sizeof(dns) - 1));
    assert_true(payload(NF_INSIDE, length, sizeof(length) - 1));
}

/* The answer to a message, whose name is listed; its bytes of DNS. NULL: there is none. */
static const uint8_t *answer_to(const uint8_t *dns, uint32_t n, uint32_t *len)
{
    const struct nf_emitted *made;

    assert_false(payload(NF_INSIDE, dns, n));
    if (!nf_chain_emitted(h.chain, &made))
        return NULL;
    assert_int_equal(made->port, NF_INSIDE);
    assert_null(nft_checksums(made->frame, made->len));
    *len = made->len - 42;
    return made->frame + 42;
}

/* Behind the question: the SOA of the domain, which the name of the question ends with, from its byte `zone`
 * of the message on (RFC 2308, 3 and 5). */
static void is_soa(const uint8_t *at, uint16_t zone)
{
    static const uint8_t soa[] = "\xc0\0\0\6\0\1\0\0\1\x2c\0\x26\xc0\0\6nobody\7invalid\0"
                                 "\0\0\0\1\0\0\x0e\x10\0\0\4\xb0\0\x09\x3a\x80\0\0\1\x2c";
    uint8_t wanted[sizeof(soa) - 1];

    memcpy(wanted, soa, sizeof(wanted));
    wanted[0] = wanted[12] = (uint8_t)(0xc0 | zone >> 8);
    wanted[1] = wanted[13] = (uint8_t)zone;
    assert_memory_equal(at, wanted, sizeof(wanted));
}
#define SOA_LEN 50u

CHAIN_TEST(a_listed_name_is_answered_that_there_is_none)
{
    static const uint8_t head[12] = {0x12, 0x34, 0x81, 0x83, 0, 1, 0, 0, 0, 1, 0, 0};
    struct nft_seen seen;
    const struct nf_emitted *made;
    const uint8_t *answer;
    uint8_t dns[512];
    uint32_t n = put_query(dns, "Www.Evil.com") - 11, len; /* without its OPT record */

    dns[11] = 0;
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    help_chain_counts(&h, "dns_guard: answered 1");
    assert_int_equal(len, n + SOA_LEN);
    assert_memory_equal(answer, head, 12);
    assert_memory_equal(answer + 12, dns + 12, n - 12);
    is_soa(answer + n, 12 + 4);
    nf_chain_emitted(h.chain, &made);
    assert_true(nft_see(made->frame, made->len, &seen));
    assert_true(seen.src == R && seen.dst == A && seen.sport == 53 && seen.dport == 4000);
    assert_memory_equal(made->frame, frame + 6, 6);
}

/* ---- EDNS ---- */

static uint32_t put_record(uint8_t *at, uint8_t name, uint16_t type, uint16_t class, uint32_t ttl,
                           const void *data, uint16_t n)
{
    uint8_t head[11] = {name,
                        (uint8_t)(type >> 8),
                        (uint8_t)type,
                        (uint8_t)(class >> 8),
                        (uint8_t) class,
                        (uint8_t)(ttl >> 24),
                        (uint8_t)(ttl >> 16),
                        (uint8_t)(ttl >> 8),
                        (uint8_t)ttl,
                        (uint8_t)(n >> 8),
                        (uint8_t)n};

    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), data, n);
    return sizeof(head) + n;
}
#define OPT 41u
#define DO  0x8000u

/* A query for evil.com, RD and CD set, with no record yet. */
static uint32_t begin_query(uint8_t *dns)
{
    uint32_t n = put_query(dns, "evil.com") - 11;

    dns[3] = 0x10;
    dns[11] = 0;
    return n;
}

/* RFC 6891, 6.1.1, RFC 4035, 3.2.1 and 3.2.2: OPT is answered by OPT, DO and CD are copied; AD is not. */
CHAIN_TEST(edns_is_answered)
{
    static const uint8_t opt[11] = {0, 0, OPT, 0x04, 0xd0};
    const uint8_t *answer;
    uint8_t dns[512];
    uint32_t n = begin_query(dns), question = n, len;

    dns[11] = 1;
    dns[3] |= 0x20; /* AD */
    n += put_record(dns + n, 0, OPT, 4096, 0, "", 0);
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_int_equal(len, question + SOA_LEN + 11);
    assert_int_equal(answer[3], 0x80 | 0x10 | 3);
    assert_int_equal(answer[9], 1);
    assert_int_equal(answer[11], 1);
    assert_memory_equal(answer + len - 11, opt, 11);
    dns[question + 7] = 0x80; /* DO */
    answer = answer_to(dns, n, &len);
    assert_int_equal(answer[len - 4], 0x80);
    assert_memory_equal(answer + len - 11, opt, 7);
}

/* RFC 6891, 6.1.3: extended RCODE 16, and the version that is spoken. */
CHAIN_TEST(another_version_is_refused)
{
    const uint8_t *answer;
    uint8_t dns[512];
    uint32_t n = begin_query(dns), question = n, len;

    dns[11] = 1;
    n += put_record(dns + n, 0, OPT, 512, 1u << 16, "", 0);
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_int_equal(len, question + 11);
    assert_int_equal(answer[3] & 15, 0);
    assert_int_equal(answer[question + 5], 1); /* with the header's 0: 16 */
    assert_int_equal(answer[question + 6], 0);
    help_chain_counts(&h, "dns_guard: answered 1");
}

/* RFC 7873, 5.2 and 5.3: the client's cookie comes back with a server's: the one that came with it, or one
 * that is made, the same for the same client and another for another. */
CHAIN_TEST(cookies_come_back)
{
    static const uint8_t known[28] = {0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const uint8_t *answer;
    uint8_t dns[512], first[12 + 8];
    uint32_t n = begin_query(dns), question = n, len;

    dns[11] = 1;
    n += put_record(dns + n, 0, OPT, 1232, 0, "\0\3\0\0\0\12\0\10abcdefgh", 16); /* NSID in front */
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_int_equal(len, question + SOA_LEN + 11 + 20);
    assert_memory_equal(answer + len - 22, "\0\24\0\12\0\20abcdefgh", 14);
    memcpy(first, answer + len - 20, 20);
    answer = answer_to(dns, n, &len);
    assert_memory_equal(answer + len - 20, first, 20);
    dns[n - 1]++;
    answer = answer_to(dns, n, &len);
    assert_memory_not_equal(answer + len - 8, first + 12, 8);
    n = question + put_record(dns + question, 0, OPT, 1232, 0, known, sizeof(known));
    answer = answer_to(dns, n, &len);
    assert_int_equal(len, question + SOA_LEN + 11 + sizeof(known));
    assert_memory_equal(answer + len - sizeof(known), known, sizeof(known));
}

/* RFC 6891, 6.1.1 and 7, RFC 7873, 5.2.2: the query is answered that it breaks the format. */
CHAIN_TEST(broken_edns_is_a_format_error)
{
    static const struct {
        const char *options;
        uint16_t n;
        uint8_t name, more; /* of its owner; bytes that the message says it has, and has not */
    } bad[] = {
        {"\0\12\0\7abcdefg", 11, 0, 0}, /* a client's cookie has 8 bytes */
        {"\0\12\0\11abcdefghi", 13, 0, 0},
        {"\0\12\0\17abcdefghijklmno", 19, 0, 0},
        {"\0\12\0\51abcdefghijklmnopqrstuvwxyzabcdefghijklmno", 45, 0, 0},
        {"\0\3\0\1", 4, 0, 0}, /* an option beyond the end */
        {"\0\3\0", 3, 0, 0},   /* half an option */
        {"", 0, 0, 1},         /* data beyond the end */
    };
    const uint8_t *answer;
    uint8_t dns[512];
    uint32_t question = begin_query(dns), n, len;

    help_chain_open(&h, GUARD(), LIST, 3);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        dns[11] = 1;
        n = question + put_record(dns + question, bad[i].name, OPT, 1232, DO, bad[i].options, bad[i].n);
        dns[question + 10] = (uint8_t)(dns[question + 10] + bad[i].more);
        answer = answer_to(dns, n, &len);
        assert_non_null(answer);
        assert_int_equal(len, question + 11);
        assert_int_equal(answer[3] & 15, 1);
        assert_int_equal(answer[question + 5], 0);
        assert_int_equal(answer[question + 7], 0x80);
    }
    dns[11] = 2; /* two of them */
    n = question + put_record(dns + question, 0, OPT, 1232, 0, "", 0);
    n += put_record(dns + n, 0, OPT, 1232, 0, "", 0);
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_true(len == question + 11 && (answer[3] & 15) == 1);
    dns[11] = 0;
    dns[9] = 1; /* in another section */
    n = question + put_record(dns + question, 0, OPT, 1232, 0, "", 0);
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_int_equal(answer[3] & 15, 1);
    dns[9] = 0;
    dns[11] = 1; /* a record that is not there at all */
    answer = answer_to(dns, question, &len);
    assert_non_null(answer);
    assert_true(len == question && (answer[3] & 15) == 1);
}

/* OPT need not be the last record, nor the first. */
CHAIN_TEST(other_records_do_not_hide_it)
{
    const uint8_t *answer;
    uint8_t dns[512];
    uint32_t n = begin_query(dns), question = n, len;

    dns[11] = 3;
    memcpy(dns + n, "\3abc\xc0\x0c\0\20\0\1\0\0\0\0\0\2xy", 18); /* abc.evil.com. TXT */
    n += 18;
    n += put_record(dns + n, 0, OPT, 1232, DO, "", 0);
    n += put_record(dns + n, 0, 16, 1, 0, "z", 1);
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_int_equal(len, question + SOA_LEN + 11);
    assert_int_equal(answer[3] & 15, 3);
    assert_int_equal(answer[len - 4], 0x80);
}

/* A client that has signed its query discards what is not signed (RFC 8945, 5.3; RFC 2931, 3.2). */
CHAIN_TEST(a_signed_query_is_dropped_without_an_answer)
{
    static const uint16_t types[] = {250, 24}; /* TSIG, SIG(0) */
    uint8_t dns[512];
    uint32_t question = begin_query(dns), n, len;

    for (unsigned i = 0; i < 2; i++) {
        dns[11] = 2;
        n = question + put_record(dns + question, 0, OPT, 1232, 0, "", 0);
        n += put_record(dns + n, 0, types[i], 255, 0, "key", 3);
        assert_null(answer_to(dns, n, &len));
    }
    help_chain_counts(&h, "dns_guard: listed 2, answered 0");
}

/* NOTIFY, UPDATE and all other opcodes ask for no name. */
CHAIN_TEST(only_queries_are_looked_at)
{
    uint8_t dns[512];
    uint32_t n = begin_query(dns);

    for (unsigned opcode = 1; opcode < 16; opcode++) {
        dns[2] = (uint8_t)(opcode << 3);
        assert_true(payload(NF_INSIDE, dns, n));
    }
    help_chain_counts(&h, "dns_guard: queries 0");
}

/* The longest name, and the longest cookie: no longer than any client takes (RFC 1035, 4.2.1). */
CHAIN_TEST(the_longest_answer_has_512_bytes_at_most)
{
    static const uint8_t cookie[44] = {0, 10, 0, 40};
    const uint8_t *answer;
    uint8_t dns[600];
    uint32_t n, len;

    help_chain_open(&h, GUARD(), "a\n", 3);
    begin_query(dns);
    memset(dns + 12, 'a', 254);
    for (unsigned i = 0; i < 4; i++)
        dns[12 + i * 64] = 63;
    dns[12 + 3 * 64] = 59;
    dns[12 + 252] = 1;
    memcpy(dns + 12 + 254, "\0\0\1\0\1", 5);
    dns[11] = 1;
    n = 12 + 259;
    n += put_record(dns + n, 0, OPT, 1232, DO, cookie, sizeof(cookie));
    answer = answer_to(dns, n, &len);
    assert_non_null(answer);
    assert_int_equal(len, 12 + 259 + SOA_LEN + 11 + 44);
    is_soa(answer + 12 + 259, 12 + 252);
}

CHAIN_TEST(a_listed_name_is_answered_over_ipv6)
{
    uint8_t packet[512] = {[12] = 0x86, [13] = 0xdd, [14] = 0x60, [20] = 17, [21] = 9};
    const struct nf_emitted *made;
    uint32_t n = put_query(packet + 62, "evil.com");

    packet[22] = packet[38] = 0x20;
    packet[37] = 1;
    packet[53] = 2;
    packet[19] = packet[59] = (uint8_t)(8 + n);
    packet[54] = 0x80;
    packet[57] = 53;
    assert_int_not_equal(help_chain_send(&h, NF_INSIDE, packet, 62 + n).drop, 0);
    assert_int_equal(nf_chain_emitted(h.chain, &made), 1);
    assert_int_equal(made->len, 62 + n + SOA_LEN);
    assert_int_equal(made->frame[37], 2);
    assert_int_equal(made->frame[53], 1);
    assert_int_equal(made->frame[55], 53);
    assert_int_equal(made->frame[56], 0x80);
    assert_int_equal(help_l4_checksum(made->frame + 14, 17, made->frame + 54, made->len - 54), 0);
}

CHAIN_TEST(what_cannot_be_read_is_dropped)
{
    static const struct {
        const char *bytes;
        uint32_t n;
    } bad[] = {
#define B(text) {text, sizeof(text) - 1}
        B(""),
        B("\1\1\1\0\0\1\0\0\0\0\0"),                             /* half a header */
        B("\1\1\1\0\0\1\0\0\0\0\0\0"),                           /* no question */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\4evil"),                     /* the name does not end */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\4evil\3com"),                /* without its 0 */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\4evil\3com\0\0\1\0"),        /* half a class */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1"),           /* a pointer to itself */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\1a\xc0\0\0\1\0\1"),          /* into the header */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\x40zz\0\0\1\0\1"),           /* a label of a kind that there is not */
        B("\1\1\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1b\0\0\1\0\1"), /* two questions */
        B("\1\1\1\0\0\1\0\0\0\0\0\0\77evil\3com\0\0\1\0\1"),     /* a label beyond the end */
    };

    help_chain_open(&h, GUARD(), LIST, 3);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(payload(NF_INSIDE, bad[i].bytes, bad[i].n));
        help_chain_counts(&h, "dns_guard: malformed %u", i + 1);
    }
    help_chain_counts(&h, "dns_guard: listed 0");
}

/* 255 bytes are a name, and 256 are none (RFC 1035, 2.3.4). */
CHAIN_TEST(the_longest_name_is_read)
{
    uint8_t dns[512] = {1, 1, 1, 0, 0, 1};

    memset(dns + 12, 'a', 400);
    for (unsigned i = 0; i < 4; i++)
        dns[12 + i * 64] = 63;
    dns[12 + 3 * 64] = 61;
    dns[12 + 254] = 0;
    assert_true(payload(NF_INSIDE, dns, 12 + 255 + 4));
    dns[12 + 3 * 64] = 62;
    dns[12 + 254] = 'a';
    dns[12 + 255] = 0;
    assert_false(payload(NF_INSIDE, dns, 12 + 256 + 4));
    help_chain_counts(&h, "dns_guard: malformed 1");
}

CHAIN_TEST(other_packets_pass)
{
    struct nft_spec s = {.src = A, .dst = R, .sport = 4000, .dport = 5353, .proto = 17, .payload = 30};
    uint8_t dns[512];
    uint32_t n = put_query(dns, "evil.com");

    assert_true(help_chain_spec(&h, NF_INSIDE, &s, NULL));
    s.dport = 53;
    s.proto = 6;
    s.tcp = NFT_ACK;
    assert_true(help_chain_spec(&h, NF_INSIDE, &s, NULL));
    assert_true(payload(NF_OUTSIDE, dns, n)); /* not of a client */
    dns[2] |= 0x80;
    assert_true(payload(NF_INSIDE, dns, n)); /* a response */
    dns[2] &= 0x7f;
    dns[5] = 0;
    assert_true(payload(NF_INSIDE, dns, n)); /* without a question */
    help_chain_counts(&h, "dns_guard: queries 0");
}

struct fact {
    const char *file, *list;
    uint64_t queries, listed;
};
static const struct fact facts[] = {
    {"1kxun.pcap", "1kxun.com\n", 11, 6},
    {"1kxun.pcap", "KanKan.1kxun.com\nqq.com\nxun.com\n", 11, 6},
    {"mixed.pcap", "slashdot.org\n", 14, 12},
    {"mixed.pcap", "vendors.slashdot.org\nakamaiedge.net\n", 14, 4},
};

CHAIN_TEST(queries_of_captures_are_those_of_tshark)
{
    help_captures_or_skip();
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct fact *f = &facts[i];
        struct help_capture capture;

        if (!help_capture_read(&capture, f->file))
            continue;
        help_chain_open(&h, GUARD(", clients: both"), f->list, i);
        help_chain_capture(&h, &capture, false, &(uint64_t){0});
        help_chain_counts(&h, "dns_guard: queries %lu, listed %lu", f->queries, f->listed);
        help_chain_counts(&h, "dns_guard: answered %lu, malformed 0", f->listed);
        help_capture_free(&capture);
    }
}

static void refused(const char *list, const char *expected)
{
    help_chain_refuses_rules(GUARD(), list, expected);
}

CHAIN_TEST(bad_lists_are_refused_by_line)
{
    char label[80] = "", name[300] = "";

    refused("good.example\nbad..example\n",
            "firewall.rules:2: \"bad..example\", expected a domain such as example.com");
    refused(".\n", ":1: \".\", expected a domain");
    refused(".com", "expected a domain");
    refused("two words", "expected a domain");
    memset(label, 'a', 64);
    refused(label, "expected a domain");
    for (unsigned i = 0; i < 255; i++)
        name[i] = i % 3 == 2 ? '.' : 'a';
    refused(name, "expected a domain");
}

/* Nobody says "no such name" from an address of many, or of none. */
CHAIN_TEST(what_went_to_many_is_not_answered)
{
    static const uint32_t ends[] = {0xffffffffu, NFT_IP(224, 0, 0, 251), NFT_IP(127, 0, 0, 1), A};
    uint8_t dns[128];
    uint32_t n = put_query(dns, "bad.example");

    for (unsigned i = 0; i < 4; i++) {
        resolver = ends[i];
        assert_false(payload(NF_INSIDE, dns, n));
    }
    resolver = R;
    help_chain_counts(&h, "dns_guard: listed 4, answered 0");
    assert_false(payload(NF_INSIDE, dns, n));
    help_chain_counts(&h, "dns_guard: answered 1");
}

/* A fragment header of a whole packet, and options for the destination behind it, in front of UDP. */
CHAIN_TEST(a_port_behind_headers_that_are_not_read_may_be_a_resolvers)
{
    static const uint8_t headers[16] = {60, 0, 0, 0, 0, 0, 0, 7, 17, 0, 1, 4};
    uint8_t dns[128], *ip = frame + 14;
    uint32_t n = put_query(dns, "bad.example");

    memset(frame, 2, 14);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    memset(ip, 0, 40);
    ip[0] = 0x60;
    ip[5] = (uint8_t)(16 + 8 + n);
    ip[6] = 44;
    ip[7] = 64;
    ip[8] = ip[24] = 0x20;
    ip[39] = 53;
    memcpy(ip + 40, headers, 16);
    memset(ip + 56, 0, 8);
    ip[59] = 53;
    ip[61] = (uint8_t)(8 + n);
    memcpy(ip + 64, dns, n);
    assert_true(help_chain_send(&h, NF_INSIDE, frame, 14 + 64 + n).drop);
    help_chain_counts(&h, "dns_guard: malformed 1");
    assert_false(help_chain_send(&h, NF_OUTSIDE, frame, 14 + 64 + n).drop); /* no client's */
}

static void begin(void)
{
    help_chain_open(&h, GUARD(), LIST, 3);
}

CHAIN_BEGINS(begin)
