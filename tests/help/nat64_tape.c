/* SPDX-License-Identifier: Apache-2.0 */
/* One chain with nat64, and what was sent through it; see nat64_tape.h. */
#include "tests/help/nat64_tape.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

struct help_chain nat64_h;
uint8_t nat64_frame[SIX_MAX + 64], *nat64_came;
struct six_seen nat64_seen;

/* What was sent in a test, with what was recorded of it beside its headers and what nat64_came of it. */
static struct sent {
    uint8_t side, drop;
    uint32_t len, noted, out_len, headers;
    uint8_t bytes[SIX_MAX], values[64], out[256];
    uint64_t digest;
} * tape;
static uint32_t sent;
#define TAPE 1024u

void nat64_begins(void)
{
    static struct sent whole[TAPE];

    tape = whole;
    help_chain_open(&nat64_h, NAT64_NF, NULL, 1);
    sent = 0;
}

static void put_on_tape(uint8_t side, uint32_t len)
{
    struct sent *to = &tape[sent++];

    assert_true(sent <= TAPE);
    to->side = side;
    to->len = len;
    memcpy(to->bytes, nat64_frame, len);
}

static void note_what_came(const struct nf_packet *p)
{
    struct sent *to = &tape[sent - 1];
    const void *noted;

    to->noted = nf_determinants_noted(nf_chain_determinants(nat64_h.chain), &noted);
    assert_true(to->noted <= sizeof(to->values));
    memcpy(to->values, noted, to->noted);
    to->drop = p->drop;
    to->out_len = p->len;
    to->headers = p->len < 118 ? p->len : 118;
    memcpy(to->out, p->data, to->headers);
    to->digest = help_chain_digest(&nat64_h);
}

/* All of it once more, from what a record has. */
void nat64_replays(void)
{
    static const struct ft_dependency none[1];
    static uint8_t copy[SIX_MAX];

    help_chain_again(&nat64_h);
    for (const struct sent *s = tape; s < tape + sent; s++) {
        struct nf_packet p = {.data = copy, .len = s->len, .have = s->len, .side = s->side};
        uint32_t have;

        memcpy(copy, s->bytes, s->len);
        nf_packet_parse(&p);
        have = p.have = nf_packet_header_bytes(&p);
        p.parsed = 0;
        memset(copy + p.have, 0xd7, s->len - p.have);
        nf_chain_follow(nat64_h.chain, none, 0);
        if (s->noted)
            assert_int_equal(
                nf_determinants_supply(nf_chain_determinants(nat64_h.chain), s->values, s->noted), FT_OK);
        help_chain_run(&nat64_h, nat64_h.now, &p, 1);
        assert_true(nf_determinants_used(nf_chain_determinants(nat64_h.chain)));
        assert_int_equal(p.drop, s->drop);
        assert_int_equal(p.len, s->out_len);
        assert_true(p.have == have + p.len - s->len || p.have == p.len); /* a cut one is there, whole */
        if (!p.drop)
            assert_memory_equal(p.data, s->out, p.have < s->headers ? p.have : s->headers);
        assert_int_equal(help_chain_digest(&nat64_h), s->digest);
    }
    sent = 0;
}

/* True: it passed, and `nat64_seen` says what it is. */
bool nat64_sends_bytes(uint8_t side, uint32_t len)
{
    struct nf_packet p = {.data = nat64_frame, .len = len, .have = len, .side = side};

    put_on_tape(side, len);
    help_chain_run(&nat64_h, nat64_h.now, &p, 1);
    note_what_came(&p);
    if (p.drop)
        return false;
    nat64_came = p.data;
    assert_true(six_see(nat64_came, p.len, &nat64_seen));
    if (nat64_seen.wrong)
        fail_msg("%s checksum is wrong", nat64_seen.wrong);
    return true;
}

bool nat64_sends(uint8_t side, const struct six *s)
{
    return nat64_sends_bytes(side, six_frame(s, nat64_frame));
}

void nat64_forgets(void)
{
    sent = 0;
}

uint64_t nat64_counter(const char *name)
{
    return help_chain_counter(&nat64_h, "nat64", name);
}

struct six nat64_from_client(uint8_t proto)
{
    return (struct six){.ipv6 = true,
                        .from = NAT64_C,
                        .to = NAT64_S,
                        .proto = proto,
                        .sport = 5000,
                        .dport = 443,
                        .tcp = NFT_SYN,
                        .type = 128,
                        .payload = 11};
}

struct six nat64_from_server(uint8_t proto, uint16_t port)
{
    return (struct six){.from = NAT64_S4,
                        .to = NAT64_OUT,
                        .proto = proto,
                        .sport = proto == 1 ? port : 443,
                        .dport = port,
                        .tcp = NFT_SYN | NFT_ACK,
                        .payload = 11};
}

void nat64_ends_are(const char *from, uint16_t sport, const char *to, uint16_t dport)
{
    assert_string_equal(nat64_seen.from, from);
    assert_string_equal(nat64_seen.to, to);
    assert_int_equal(nat64_seen.sport, sport);
    assert_int_equal(nat64_seen.dport, dport);
}
