/* SPDX-License-Identifier: Apache-2.0 */
/* SYN cookies; see the header. */
#include "nfs/syn_proxy_cookie.h"

#define MSS_BITS 3u

/* What links have: the least that TCP may be told, its default, tunnels, Ethernet. */
static const uint16_t sizes[1u << MSS_BITS] = {64, 536, 1024, 1220, 1300, 1380, 1440, 1460};

static inline uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t sp_siphash(const uint64_t key[2], const void *data, uint32_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    const uint8_t *at = data;
    uint64_t last = (uint64_t)n << 56;

    for (uint32_t left = n; left >= 8; left -= 8, at += 8)
        sip_take(v, nf_get64(at));
    for (uint32_t i = 0; i < n % 8; i++)
        last |= (uint64_t)at[i] << 8 * i;
    sip_take(v, last);
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void sp_secrets_renew(const struct nf *nf, const struct sp_secrets *secrets, uint64_t now)
{
    uint64_t age = now - secrets->drawn;

    if (secrets->drawn && age < SP_COOKIE_LIFE)
        return;
    struct sp_secrets *edit = NF_EDIT(nf, secrets);
    for (unsigned i = 0; i < 2; i++)
        edit->key[1][i] = secrets->drawn && age < 2 * SP_COOKIE_LIFE ? edit->key[0][i] : nf_random(nf);
    for (unsigned i = 0; i < 2; i++)
        edit->key[0][i] = nf_random(nf);
    edit->drawn = now;
}

static uint32_t cookie_of(const uint64_t key[2], const struct sp_syn *syn, uint32_t size)
{
    uint8_t bytes[32 + 9], *at = bytes + syn->size;

    memcpy(bytes, syn->addresses, syn->size);
    nf_put16(at, syn->sport);
    nf_put16(at + 2, syn->dport);
    nf_put32(at + 4, syn->isn);
    at[8] = (uint8_t)size;
    return (uint32_t)sp_siphash(key, bytes, syn->size + 9) << MSS_BITS | size;
}

uint32_t sp_cookie_make(const struct sp_secrets *secrets, const struct sp_syn *syn, uint16_t mss)
{
    uint32_t size = (1u << MSS_BITS) - 1;

    while (size && sizes[size] > mss)
        size--;
    return cookie_of(secrets->key[0], syn, size);
}

uint16_t sp_cookie_read(const struct sp_secrets *secrets, const struct sp_syn *syn, uint32_t cookie)
{
    uint32_t size = cookie % (1u << MSS_BITS);

    for (unsigned i = 0; i < 2; i++)
        if (cookie_of(secrets->key[i], syn, size) == cookie)
            return sizes[size];
    return 0;
}
