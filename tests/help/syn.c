/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server of syn_proxy's tests; see the header. */
#include "tests/help/syn.h"
#include "tests/help/segment.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

bool syn_ipv6;
struct help_chain syn_chain;
uint32_t syn_isn;
uint8_t syn_frame[NFT_FRAME_MAX];

uint64_t syn_counter(const char *name)
{
    return help_chain_counter(&syn_chain, "syn_proxy", name);
}

uint32_t syn_sessions(void)
{
    return nf_sessions_count(nf_chain_find(syn_chain.chain, "syn_proxy"));
}

uint32_t syn_get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void syn_put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void syn_open(const char *nfs)
{
    syn_isn = 0xfffffffe;
    help_chain_open(&syn_chain, nfs, "default allow\n", 3);
    help_chain_idle(&syn_chain, 100 * HELP_SECOND);
}

void syn_over_ipv6(void **state)
{
    (void)state;
    syn_ipv6 = true;
}

uint8_t *syn_tcp(uint8_t *frame)
{
    return frame + (frame[12] == 0x86 ? 54 : 34);
}

uint32_t syn_seq(void)
{
    return syn_get32(syn_tcp(syn_frame) + 4);
}

uint32_t syn_acked(void)
{
    return syn_get32(syn_tcp(syn_frame) + 8);
}

struct syn_said syn_said(const uint8_t *f)
{
    bool ipv6 = f[12] == 0x86;
    const uint8_t *tcp = f + (ipv6 ? 54 : 34);
    struct syn_said s = {
        syn_get32(tcp + 4), syn_get32(tcp + 8), (uint16_t)(tcp[14] << 8 | tcp[15]), 0, tcp[13], 0};
    uint32_t bytes = ipv6 ? (uint32_t)f[18] << 8 | f[19] : ((uint32_t)f[16] << 8 | f[17]) - 20;

    if (tcp[12] >> 4 == 6) {
        assert_int_equal(tcp[20] << 8 | tcp[21], 0x0204);
        s.mss = (uint16_t)(tcp[22] << 8 | tcp[23]);
    }
    s.data = bytes - (tcp[12] >> 4) * 4;
    return s;
}

static void assert_right(const uint8_t *frame, uint32_t len)
{
    if (syn_ipv6)
        assert_true(help_segment_is_right(frame, len));
    else
        assert_null(nft_checksums(frame, len));
}

uint32_t syn_make(bool client, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload)
{
    struct nft_spec s = {.src = client ? C : S,
                         .dst = client ? S : C,
                         .sport = client ? port : 80,
                         .dport = client ? 80 : port,
                         .proto = 6,
                         .tcp = flags,
                         .payload = payload};
    struct help_segment six = {.ipv6 = true,
                               .from = client ? C6 : S6,
                               .to = client ? S6 : C6,
                               .sport = s.sport,
                               .dport = s.dport,
                               .proto = 6,
                               .flags = flags,
                               .seq = seq,
                               .ack = ack,
                               .len = payload,
                               .window = WINDOW};
    uint32_t len;

    if (syn_ipv6)
        return help_segment_frame(&six, syn_frame);
    len = nft_frame(&s, syn_frame);
    syn_put32(syn_frame + 38, seq);
    syn_put32(syn_frame + 42, ack);
    syn_put32(syn_frame + 46, 0x50000000u | (uint32_t)flags << 16 | WINDOW);
    nft_readdress(syn_frame, len, s.src, s.sport, s.dst, s.dport);
    return len;
}

bool syn_send_frame(bool client, uint32_t len)
{
    return !help_chain_send(&syn_chain, client ? NF_OUTSIDE : NF_INSIDE, syn_frame, len).drop;
}

bool syn_send(bool client, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload)
{
    uint32_t len = syn_make(client, port, flags, seq, ack, payload);

    if (!syn_send_frame(client, len))
        return false;
    assert_right(syn_frame, len);
    return true;
}

const uint8_t *syn_made(uint8_t port)
{
    const struct nf_emitted *list;

    assert_int_equal(nf_chain_emitted(syn_chain.chain, &list), 1);
    assert_int_equal(list->port, port);
    assert_right(list->frame, list->len);
    assert_true(list->len >= 60);
    return list->frame;
}

uint32_t syn_nothing_made(void)
{
    const struct nf_emitted *list;

    return nf_chain_emitted(syn_chain.chain, &list) == 0;
}

/* It is from the server to the client's port. */
static void assert_ends(const uint8_t *frame, uint16_t port)
{
    struct nft_seen seen;

    if (syn_ipv6) {
        assert_int_equal(frame[37], S6);
        assert_int_equal(frame[53], C6);
        assert_int_equal(syn_get32(frame + 54), 80u << 16 | port);
        return;
    }
    assert_true(nft_see(frame, 60, &seen));
    assert_true(seen.src == S && seen.sport == 80 && seen.dst == C && seen.dport == port);
}

/* A SYN that is answered; the cookie. */
uint32_t syn_cookie(uint16_t port)
{
    struct syn_said said;

    assert_false(syn_send(true, port, NFT_SYN, ISN, 0, 0));
    said = syn_said(syn_made(NF_OUTSIDE));
    assert_ends(syn_made(NF_OUTSIDE), port);
    assert_int_equal(said.flags, NFT_SYN | NFT_ACK);
    assert_int_equal(said.ack, ISN + 1);
    assert_int_equal(said.window, 0);
    assert_int_equal(said.mss, 1460);
    assert_int_equal(said.data, 0);
    return said.seq;
}

/* The cookie comes back, and is a SYN to the server. */
void syn_acknowledge(uint16_t port, uint32_t cookie)
{
    struct syn_said said;

    assert_true(syn_send(true, port, NFT_ACK, ISN + 1, cookie + 1, 0));
    said = syn_said(syn_frame);
    assert_int_equal(said.flags, NFT_SYN);
    assert_int_equal(said.seq, ISN);
    assert_int_equal(said.ack, 0);
    assert_int_equal(said.window, WINDOW);
    assert_int_equal(said.mss, syn_ipv6 ? 0 : 536); /* no room for the option */
    assert_int_equal(said.data, 0);
}

/* The server accepts: the client hears that it may send, and is made to answer. */
void syn_accept(uint16_t port, uint32_t cookie, uint32_t isn)
{
    struct syn_said said;

    assert_true(syn_send(false, port, NFT_SYN | NFT_ACK, isn, ISN + 1, 0));
    said = syn_said(syn_frame);
    assert_int_equal(said.flags, NFT_ACK);
    assert_int_equal(said.seq, cookie + 1);
    assert_int_equal(said.ack, ISN + 1);
    assert_int_equal(said.window, WINDOW);
    assert_int_equal(said.data, 0);
    syn_probed(cookie, WINDOW);
}

void syn_probed(uint32_t cookie, uint16_t window)
{
    struct syn_said said = syn_said(syn_made(NF_OUTSIDE));

    assert_int_equal(said.flags, NFT_ACK);
    assert_int_equal(said.seq, cookie);
    assert_int_equal(said.ack, ISN + 1);
    assert_int_equal(said.window, window);
    assert_int_equal(said.data, 1);
}

uint32_t syn_connect(uint16_t port)
{
    uint32_t cookie = syn_cookie(port);

    syn_acknowledge(port, cookie);
    syn_accept(port, cookie, SERVER_ISN);
    return cookie;
}
