/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server of syn_proxy's tests; see the header. */
#include "tests/nf/help_syn.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

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

struct syn_said syn_said(const uint8_t *f)
{
    struct syn_said s = {syn_get32(f + 38), syn_get32(f + 42), (uint16_t)(f[48] << 8 | f[49]), 0, f[47]};

    if (f[46] >> 4 == 6) {
        assert_int_equal(f[54] << 8 | f[55], 0x0204);
        s.mss = (uint16_t)(f[56] << 8 | f[57]);
    }
    assert_int_equal(f[16] << 8 | f[17], 20 + (f[46] >> 4) * 4);
    return s;
}

/* `mss`: an option in the SYN; 0: none. True: it passed; it is in `frame` then, its checksums right. */
bool syn_send(bool client, uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload)
{
    struct nft_spec s = {.src = client ? C : S,
                         .dst = client ? S : C,
                         .sport = client ? port : 80,
                         .dport = client ? 80 : port,
                         .proto = 6,
                         .tcp = flags,
                         .payload = payload};
    uint32_t len = nft_frame(&s, syn_frame);
    struct nf_packet p;

    syn_put32(syn_frame + 38, seq);
    syn_put32(syn_frame + 42, ack);
    syn_put32(syn_frame + 46, 0x50000000u | (uint32_t)flags << 16 | WINDOW);
    nft_readdress(syn_frame, len, s.src, s.sport, s.dst, s.dport);
    p = help_chain_send(&syn_chain, client ? NF_OUTSIDE : NF_INSIDE, syn_frame, len);
    if (!p.drop)
        assert_null(nft_checksums(syn_frame, len));
    return !p.drop;
}

const uint8_t *syn_made(uint8_t port)
{
    const struct nf_emitted *list;

    assert_int_equal(nf_chain_emitted(syn_chain.chain, &list), 1);
    assert_int_equal(list->port, port);
    assert_null(nft_checksums(list->frame, list->len));
    assert_true(list->len >= 60);
    return list->frame;
}

/* A SYN that is answered; the cookie. */
uint32_t syn_cookie(uint16_t port)
{
    struct nft_seen seen;
    struct syn_said said;

    assert_false(syn_send(true, port, NFT_SYN, ISN, 0, 0));
    said = syn_said(syn_made(NF_OUTSIDE));
    assert_true(nft_see(syn_made(NF_OUTSIDE), 60, &seen));
    assert_true(seen.src == S && seen.sport == 80 && seen.dst == C && seen.dport == port);
    assert_int_equal(said.flags, NFT_SYN | NFT_ACK);
    assert_int_equal(said.ack, ISN + 1);
    assert_int_equal(said.window, 0);
    assert_int_equal(said.mss, 1460);
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
    assert_int_equal(said.mss, 536);
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
    said = syn_said(syn_made(NF_OUTSIDE));
    assert_int_equal(said.flags, NFT_ACK);
    assert_int_equal(said.seq, cookie);
    assert_int_equal(said.ack, ISN + 1);
    assert_int_equal(said.window, WINDOW);
}

uint32_t syn_connect(uint16_t port)
{
    uint32_t cookie = syn_cookie(port);

    syn_acknowledge(port, cookie);
    syn_accept(port, cookie, SERVER_ISN);
    return cookie;
}
