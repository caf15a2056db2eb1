/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and servers of TCP; see tcp.h. */
#include "tests/help/tcp.h"
#include "tests/help/test.h"

/* ---- ips ----------------------------------------------------------------------------------------- */

struct help_chain help_ips;

void help_ips_open(const char *nfs, const char *rules)
{
    help_chain_begin(&help_ips, nfs, rules);
}

uint64_t help_ips_counter(const char *name)
{
    return help_chain_counter(&help_ips, "ips", name);
}

bool help_ips_send(uint8_t side, const struct help_segment *s)
{
    uint8_t frame[NFT_FRAME_MAX];

    return !help_chain_send(&help_ips, side, frame, help_segment_frame(s, frame)).drop;
}

bool help_ips_tcp(uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack, const char *payload)
{
    bool client = side == NF_INSIDE;
    const struct help_segment s = HELP_SEGMENT(6, client ? 1 : 2, client ? 4000 : 80, client ? 2 : 1,
                                               client ? 80 : 4000, .flags = flags, .seq = seq, .ack = ack,
                                               .payload = payload, .len = (uint32_t)strlen(payload));

    return help_ips_send(side, &s);
}

bool help_ips_client(uint32_t seq, const char *payload)
{
    return help_ips_tcp(NF_INSIDE, NFT_ACK, seq, 501, payload);
}

void help_ips_begin(void)
{
    assert_true(help_ips_tcp(NF_INSIDE, NFT_SYN, 100, 0, ""));
    assert_true(help_ips_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK, 500, 101, ""));
    assert_true(help_ips_client(101, ""));
}

void help_ips_connect(const char *nfs, const char *rules)
{
    help_ips_open(nfs, rules);
    help_ips_begin();
}

/* ---- syn_proxy ----------------------------------------------------------------------------------- */

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

void syn_open(const char *nfs)
{
    syn_isn = 0xfffffffe;
    help_chain_open(&syn_chain, nfs, "default allow\n", 3);
    help_chain_idle(&syn_chain, 100 * HELP_SECOND);
}

void syn_over_ipv6(void **state)
{
    syn_ipv6 = true;
}

uint8_t *syn_tcp(uint8_t *frame)
{
    return frame + (frame[12] == 0x86 ? 54 : 34);
}

uint32_t syn_seq(void)
{
    return help_get32(syn_tcp(syn_frame) + 4);
}

uint32_t syn_acked(void)
{
    return help_get32(syn_tcp(syn_frame) + 8);
}

struct syn_said syn_said(const uint8_t *f)
{
    bool ipv6 = f[12] == 0x86;
    const uint8_t *tcp = f + (ipv6 ? 54 : 34);
    struct syn_said s = {
        help_get32(tcp + 4), help_get32(tcp + 8), (uint16_t)(tcp[14] << 8 | tcp[15]), 0, tcp[13], 0};
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
    struct nft_spec s = HELP_PACKET(6, client ? C : S, client ? port : 80, client ? S : C, client ? 80 : port,
                                    .tcp = flags, .payload = payload);
    struct help_segment six =
        HELP_SEGMENT(6, client ? C6 : S6, s.sport, client ? S6 : C6, s.dport, .ipv6 = true, .flags = flags,
                     .seq = seq, .ack = ack, .len = payload, .window = WINDOW);
    uint32_t len;

    if (syn_ipv6)
        return help_segment_frame(&six, syn_frame);
    len = nft_frame(&s, syn_frame);
    help_put32(syn_frame + 38, seq);
    help_put32(syn_frame + 42, ack);
    help_put32(syn_frame + 46, 0x50000000u | (uint32_t)flags << 16 | WINDOW);
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
        assert_int_equal(help_get32(frame + 54), 80u << 16 | port);
        return;
    }
    assert_true(nft_see(frame, 60, &seen));
    assert_true(seen.src == S && seen.sport == 80 && seen.dst == C && seen.dport == port);
}

static void says(struct syn_said said, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window,
                 uint32_t data)
{
    assert_int_equal(said.flags, flags);
    assert_int_equal(said.seq, seq);
    assert_int_equal(said.ack, ack);
    assert_int_equal(said.window, window);
    assert_int_equal(said.data, data);
}

uint32_t syn_cookie(uint16_t port)
{
    struct syn_said said;

    assert_false(syn_send(true, port, NFT_SYN, ISN, 0, 0));
    said = syn_said(syn_made(NF_OUTSIDE));
    assert_ends(syn_made(NF_OUTSIDE), port);
    says(said, NFT_SYN | NFT_ACK, said.seq, ISN + 1, 0, 0);
    assert_int_equal(said.mss, syn_ipv6 ? 1440 : 1460);
    return said.seq;
}

void syn_acknowledge(uint16_t port, uint32_t cookie)
{
    assert_true(syn_send(true, port, NFT_ACK, ISN + 1, cookie + 1, 0));
    says(syn_said(syn_frame), NFT_SYN, ISN, 0, WINDOW, 0);
    assert_int_equal(syn_said(syn_frame).mss, syn_ipv6 ? 0 : 536); /* no room for the option */
}

void syn_accept(uint16_t port, uint32_t cookie, uint32_t isn)
{
    assert_true(syn_send(false, port, NFT_SYN | NFT_ACK, isn, ISN + 1, 0));
    says(syn_said(syn_frame), NFT_ACK, cookie + 1, ISN + 1, WINDOW, 0);
    syn_probed(cookie, WINDOW);
}

void syn_probed(uint32_t cookie, uint16_t window)
{
    says(syn_said(syn_made(NF_OUTSIDE)), NFT_ACK, cookie, ISN + 1, window, 1);
}

uint32_t syn_connect(uint16_t port)
{
    uint32_t cookie = syn_cookie(port);

    syn_acknowledge(port, cookie);
    syn_accept(port, cookie, SERVER_ISN);
    return cookie;
}

uint32_t syn_open_asking(const char *nfs)
{
    uint32_t cookie;

    syn_open(nfs);
    cookie = syn_cookie(1000);
    syn_acknowledge(1000, cookie);
    return cookie;
}

uint32_t syn_open_connected(const char *nfs)
{
    syn_open(nfs);
    return syn_connect(1000);
}
