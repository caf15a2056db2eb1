/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: seeded packets with right checksums. Owns the room in front of the forbidden page. */
#include "tests/help/packet.h"
#include "tests/help/record.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

uint32_t packet_below(uint32_t n)
{
    return (uint32_t)draw_below(n);
}

static uint8_t *room_end;

uint8_t *packet_place(const uint8_t *from, uint32_t n)
{
    if (!room_end) {
        uint8_t *room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(room, MAP_FAILED);
        assert_int_equal(mprotect(room + ROOM, 4096, PROT_NONE), 0);
        room_end = room + ROOM;
    }
    assert_true(n <= ROOM);
    memcpy(room_end - n, from, n);
    return room_end - n;
}

/* The short way for usual packets and the way for any find the same. */
static void check_short_way(const struct nf_packet *p)
{
    struct nf_packet q;
    memset(&q, 0x5a, sizeof(q));
    q.data = p->data;
    q.len = p->len;
    q.have = p->have;
    nf_packet_parse_any(&q);
    assert_int_equal(p->flags, q.flags);
    assert_int_equal(p->bad, q.bad);
    assert_int_equal(p->proto, q.proto);
    assert_int_equal(p->tcp_flags, q.tcp_flags);
    assert_int_equal(p->l3, q.l3);
    assert_int_equal(p->l4, q.l4);
    assert_int_equal(p->payload, q.payload);
    assert_int_equal(p->l4_len, q.l4_len);
    assert_int_equal(p->frag_id, q.frag_id);
    assert_int_equal(p->saddr, q.saddr);
    assert_int_equal(p->daddr, q.daddr);
    assert_int_equal(p->sport, q.sport);
    assert_int_equal(p->dport, q.dport);
    assert_int_equal(p->icmp_type, q.icmp_type);
    assert_int_equal(p->icmp_code, q.icmp_code);
}

struct nf_packet packet_parsed(uint8_t *data, uint32_t len, uint32_t have)
{
    struct nf_packet p;
    memset(&p, 0xa5, sizeof(p)); /* parse must not rely on anything being zero */
    p.data = data;
    p.len = len;
    p.have = have;
    p.owner = &draw_seed;
    nf_packet_parse(&p);
    assert_ptr_equal(p.owner, &draw_seed);
    check_short_way(&p);
    return p;
}

uint32_t plain_add(uint32_t sum, const uint8_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return sum;
}

uint16_t plain_end(uint32_t sum)
{
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum ^ 0xffff);
}

uint16_t be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void set16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

uint16_t plain_field(uint8_t *at, const uint8_t *from, uint32_t n, uint32_t start)
{
    uint16_t was = be16(at);
    set16(at, 0);
    uint16_t want = plain_end(plain_add(start, from, n));
    set16(at, was);
    return want;
}

static uint32_t pseudo(const uint8_t *ip, uint32_t l4_len)
{
    return plain_add(ip[9] + l4_len, ip + 12, 8);
}

uint32_t l4_sum_at(uint8_t proto)
{
    return proto == TCP ? 16 : proto == UDP ? 6 : 2;
}

uint32_t packet_ip_header(const uint8_t *ip)
{
    return (ip[0] & 15) * 4u;
}

uint16_t packet_l4_sum(uint8_t *ip, uint32_t l4_len)
{
    uint8_t *l4 = ip + packet_ip_header(ip);
    uint16_t want = plain_field(l4 + l4_sum_at(ip[9]), l4, l4_len, ip[9] == ICMP ? 0 : pseudo(ip, l4_len));
    return ip[9] == UDP && want == 0 ? 0xffff : want;
}

void packet_finish(uint8_t *ip, uint32_t l4_len)
{
    uint8_t *sum = ip + packet_ip_header(ip) + l4_sum_at(ip[9]);
    set16(ip + 2, packet_ip_header(ip) + l4_len);
    set16(ip + 10, plain_field(ip + 10, ip, packet_ip_header(ip), 0));
    if (ip[9] == UDP && packet_below(4) == 0)
        set16(sum, 0);
    else
        set16(sum, packet_l4_sum(ip, l4_len));
}

uint32_t packet_build(uint8_t *ip, uint8_t proto, uint32_t payload)
{
    uint32_t header = 20 + (packet_below(3) ? 0 : 4 * packet_below(11));
    for (uint32_t i = 0; i < header + 60 + payload; i++)
        ip[i] = (uint8_t)draw();
    ip[0] = (uint8_t)(0x40 | header / 4);
    ip[6] = ip[7] = 0;
    ip[9] = proto;
    uint8_t *l4 = ip + header;
    uint32_t l4_header = 8;
    if (proto == TCP) {
        l4_header = 20 + 4 * packet_below(11);
        l4[12] = (uint8_t)(l4_header / 4 << 4);
    } else if (proto == UDP) {
        set16(l4 + 4, 8 + payload);
    } else {
        l4[0] = packet_below(2) ? 8 : 0;
        l4[1] = 0;
    }
    packet_finish(ip, l4_header + payload);
    return l4_header + payload;
}

uint8_t packet_any_proto(void)
{
    static const uint8_t protos[] = {TCP, UDP, ICMP};
    return protos[packet_below(3)];
}

uint32_t packet_ethernet(uint8_t *frame, unsigned tags, uint16_t type)
{
    uint32_t at = 12;
    for (unsigned i = 0; i < 12; i++)
        frame[i] = (uint8_t)draw();
    for (unsigned i = 0; i < tags; i++, at += 4) {
        set16(frame + at, i == 0 && tags == 2 ? 0x88a8 : 0x8100);
        set16(frame + at + 2, draw());
    }
    set16(frame + at, type);
    return at + 2;
}
