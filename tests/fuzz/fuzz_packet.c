/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet parser and all rewriting. First byte: side, how many bytes of the frame are captured, whether
 * its checksums are made right first. Then a byte for what is rewritten, eight bytes for with what, then the
 * frame.
 *
 * What has to hold: nothing beyond `have` is touched; a frame cut to its header bytes parses the same; where
 * all checksums were right they are right after each change, summed up anew by code that deltas nothing with
 * the product; the parsed fields say what the frame says.
 */
#include "nflib/net/packet.h"
#include "tests/fuzz/fuzz.h"
#include "tests/help/frame.h"
#include "nftest/frames.h"

#include <stdlib.h>
#include <string.h>

/* nft_readdress trusts lengths; this looks whether it may, and whether a checksum has to be right. */
static bool well_formed(const uint8_t *f, uint32_t len, struct nft_seen *s)
{
    if (!nft_see(f, len, s) || (f[s->l3] & 15) < 5 || f[s->l3] >> 4 != 4 || s->end > len ||
        s->l4 + 8 > s->end || s->fragment)
        return false;
    if (s->proto == 6)
        return s->l4 + 20 <= s->end;
    if (s->proto != 1)
        return s->proto == 17 && s->end - s->l4 >= 8;
    if (s->type != 3 && s->type != 11 && s->type != 12)
        return true;
    if (s->l4 + 28 > s->end)
        return false;
    const uint8_t *ip = f + s->l4 + 8;
    uint32_t header = (ip[0] & 15) * 4u, total = (uint32_t)ip[2] << 8 | ip[3], left = s->end - s->l4 - 8;

    return ip[0] >> 4 == 4 && header >= 20 && header <= left && total >= header + 20;
}

static void parse(struct nf_packet *p, uint8_t *data, uint32_t len, uint32_t have, uint8_t side)
{
    *p = (struct nf_packet){.data = data, .len = len, .have = have, .side = side};
    nf_packet_parse(p);
}

static void same_fields(const struct nf_packet *a, const struct nf_packet *b, const char *what)
{
    FUZZ_MUST(a->flags == b->flags && a->bad == b->bad && a->proto == b->proto && a->l3 == b->l3 &&
                  a->l4 == b->l4 && a->payload == b->payload && a->l4_len == b->l4_len &&
                  a->frag_id == b->frag_id && a->saddr == b->saddr && a->daddr == b->daddr &&
                  a->sport == b->sport && a->dport == b->dport && a->icmp_type == b->icmp_type &&
                  a->icmp_code == b->icmp_code && a->tcp_flags == b->tcp_flags,
              "%s: flags %x and %x, ports %u and %u, l4 %u and %u", what, a->flags, b->flags, a->sport,
              b->sport, a->l4, b->l4);
}

static void within(const struct nf_packet *p)
{
    FUZZ_MUST(p->len >= p->have, "more there than the frame has");
    if (p->flags & NF_P_IPV4)
        FUZZ_MUST(p->l3 + 20u <= p->have, "IPv4 at %u of %u", p->l3, p->have);
    if (p->flags & NF_P_ARP)
        FUZZ_MUST(p->l3 + 28u <= p->have, "ARP at %u of %u", p->l3, p->have);
    if (p->flags & NF_P_L4)
        FUZZ_MUST(p->l4 + 8u <= p->have && p->payload >= p->l4 + 8u && p->payload <= p->have,
                  "L4 at %u, payload at %u of %u", p->l4, p->payload, p->have);
    FUZZ_MUST(!(p->flags & NF_P_BAD) == (p->bad == NF_BAD_NONE) && p->bad < NF_BAD_COUNT, "bad is %u",
              p->bad);
}

/* Cut to what a chain that reads headers gets, it is the same packet. */
static void from_headers(const struct nf_packet *p)
{
    struct nf_packet cut;
    uint32_t n = nf_packet_header_bytes(p);

    FUZZ_MUST(n <= p->len, "%u header bytes of %u", n, p->len);
    if (n > p->have)
        n = p->have;
    uint8_t *copy = fuzz_copy(p->data, n);

    parse(&cut, copy, p->len, n, p->side);
    same_fields(p, &cut, "from header bytes");
    FUZZ_MUST(nf_packet_header_bytes(&cut) == nf_packet_header_bytes(p), "other header bytes");
    free(copy);
}

static void rewrite(struct nf_packet *p, uint8_t what, uint32_t addr, uint16_t port)
{
    bool ports = (p->flags & NF_P_L4) && (p->proto != 1 || p->icmp_type == 0 || p->icmp_type == 8);

    if (p->flags & NF_P_IPV4 && what & 1)
        nf_packet_set_saddr(p, addr);
    if (p->flags & NF_P_IPV4 && what & 2)
        nf_packet_set_daddr(p, addr ^ 0x01010101);
    if (ports && what & 4)
        nf_packet_set_sport(p, port);
    if (ports && what & 8)
        nf_packet_set_dport(p, (uint16_t)~port);
    if (p->flags & NF_P_IPV4 && what & 16 && p->data[p->l3 + 8] > 1)
        nf_packet_dec_ttl(p);
    if (p->flags & NF_P_ICMP_ERROR) {
        struct nf_inner inner;

        nf_packet_inner(p, &inner);
        FUZZ_MUST(inner.l3 + 20u <= p->have && inner.l4 + 8u <= p->have, "inner L4 at %u of %u", inner.l4,
                  p->have);
        if (what & 32)
            nf_packet_set_inner_src(p, addr, port);
        if (what & 64)
            nf_packet_set_inner_dst(p, addr, port);
    }
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    uint8_t how = fuzz_u8(&in), what = fuzz_u8(&in), cut = fuzz_u8(&in);
    uint32_t addr = fuzz_u32(&in);
    uint16_t port = fuzz_u16(&in);
    size_t len;
    const uint8_t *from = fuzz_bytes(&in, 2000, &len);
    uint32_t have = how & 2 ? cut % (uint32_t)(len + 1) : (uint32_t)len;
    uint8_t *frame = fuzz_copy(from, have);
    struct nf_packet p, after;
    struct nft_seen seen;

    if (how & 4 && well_formed(frame, have, &seen))
        nft_readdress(frame, have, seen.src, seen.sport, seen.dst, seen.dport);
    parse(&p, frame, (uint32_t)len, have, how & 1);
    within(&p);
    from_headers(&p);
    bool right = !nft_checksums(frame, have) && well_formed(frame, have, &seen);

    rewrite(&p, what, addr, port);
    if (right && p.flags & NF_P_L4 && well_formed(frame, have, &seen))
        FUZZ_MUST(!nft_checksums(frame, have), "the %s checksum is wrong", nft_checksums(frame, have));
    parse(&after, frame, (uint32_t)len, have, how & 1);
    after.out_port = p.out_port;
    same_fields(&p, &after, "after rewriting");
    free(frame);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void seed(const char *name, const struct nft_spec *spec, uint8_t how)
{
    uint8_t out[9 + NFT_FRAME_MAX] = {how, 0x7f, 30, 203, 0, 113, 1, 7, 208};

    fuzz_seed(name, out, 9 + nft_frame(spec, out + 9));
}

static void seeds(void)
{
    struct nft_spec tcp =
        HELP_PACKET(6, NFT_IP(10, 0, 0, 2), 4000, NFT_IP(198, 51, 100, 7), 80, .tcp = NFT_SYN, .payload = 9);
    struct nft_spec udp = tcp, icmp = tcp, error = tcp, fragment = tcp, tagged = tcp;
    uint8_t inner[NFT_FRAME_MAX];
    uint8_t arp[9 + 60] = {0, 0, 0, 0, 0, 0, 0, 0, 0, [9 + 12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

    /* The first fragment of a UDP packet. */
    uint8_t ipv6[9 + 14 + 40 + 16] = {
        [9 + 12] = 0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 44, [9 + 14 + 40] = 17, 0, 0, 1, [9 + 14 + 53] = 8};

    udp.proto = 17;
    icmp.proto = 1;
    icmp.type = 8;
    nft_frame(&udp, inner);
    error.proto = 1;
    error.type = 3;
    error.payload = 0;
    error.inner = inner + 14;
    error.inner_len = 37;
    fragment.fragment = 3 | NFT_MORE;
    tagged.tags = 2;
    tagged.options = 3;
    seed("tcp", &tcp, 0);
    seed("udp", &udp, 4);
    seed("icmp", &icmp, 1);
    seed("error", &error, 0);
    seed("fragment", &fragment, 0);
    seed("tagged", &tagged, 2);
    fuzz_seed("ipv6", ipv6, sizeof(ipv6));
    fuzz_seed("arp", arp, sizeof(arp));
}

FUZZ_TARGET(packet, "the packet parser and rewriting", 256)
