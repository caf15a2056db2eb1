/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what NFs call on their lane: random numbers, wake times, packets of their own, determinants, tables
 * that can be full. Written by NFs while they run; the generator and the wake times are lane state in the
 * region, the packets are read by the chain at the burst's end.
 */
#include "nflib/module/env.h"
#include "ftcore/base/check.h"
#include "ftcore/base/error.h"

#include <string.h>

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* v: the four words of SipHash. */
static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

static inline __attribute__((always_inline)) uint64_t siphash(const uint64_t key[2], const uint8_t *at,
                                                              uint32_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)n << 56;

    for (uint32_t left = n; left >= 8; left -= 8, at += 8) {
        uint64_t word = nf_get64(at);

        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    for (uint32_t i = 0; i < n % 8; i++)
        last |= (uint64_t)at[i] << 8 * i;
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t nf_siphash(const uint64_t key[2], const void *data, uint32_t n)
{
    return siphash(key, data, n);
}

/* The hash of how many numbers were drawn: an observer of some of the numbers, as ports on the wire, cannot
 * predict the next one. */
uint64_t nf_random(const struct nf *nf)
{
    const uint64_t *key = nf->env->state->random;
    uint64_t drawn = (*NF_EDIT(nf, &key[2]))++;

    return siphash(key, (const uint8_t *)&drawn, sizeof(drawn));
}

/* The earliest of what was asked for since the timers last ran: an NF with several wheels needs no care. */
void nf_wake(const struct nf *nf, uint64_t at)
{
    const uint64_t *wake = &nf->env->state->wake[nf->index];
    if (at < *wake)
        *(uint64_t *)ft_edit(nf->region, wake, sizeof(*wake)) = at;
}

uint8_t nf_out_side(const struct nf *nf, const struct nf_packet *p)
{
    return nf->env->out_side ? nf->env->out_side(nf->env->l3, p) : !p->side;
}

void nf_complain(const struct nf *nf, const struct nf_packet *p, uint8_t type, uint8_t code, uint64_t now)
{
    if (nf->env->complain)
        nf->env->complain(nf->env->l3, p, type, code, 0, now);
}

uint64_t nf_clock(const struct nf *nf, const struct nf_packet *p)
{
    return nf->env->state->seq + (uint64_t)(p - nf->env->inputs);
}

int nf_emit(const struct nf *nf, uint8_t port, const void *frame, uint32_t len)
{
    struct nf_env *env = nf->env;
    if (len < 14 || len > NF_EMIT_LEN)
        return FT_EINVAL;
    if (env->emitted == NF_EMIT_MAX) {
        ++*(uint64_t *)ft_edit(nf->region, &env->state->unmade, sizeof(env->state->unmade));
        return FT_EFULL;
    }
    struct nf_packet *p = &env->packets[env->emitted];
    memset(p, 0, sizeof(*p));
    p->data = env->frames + (size_t)env->emitted * NF_EMIT_SLOT;
    p->len = p->have = len;
    p->in_port = p->out_port = port;
    memcpy(p->data, frame, len);
    nf_packet_parse(p);
    p->flags |= NF_P_EMITTED;
    env->emitted++;
    return FT_OK;
}

/* ---- determinants of a burst --------------------------------------------------------------------- */

int nf_determinants_supply(struct nf_determinants *values, const void *block, uint32_t len)
{
    uint16_t size;

    if (values->len || len > NF_DETERMINANTS_MAX || !nf_determinants_is(block, len))
        return FT_EMALFORMED;
    for (uint32_t at = 1; at < len; at += (uint32_t)sizeof(size) + size) {
        if (len - at < sizeof(size))
            return FT_EMALFORMED;
        memcpy(&size, (const uint8_t *)block + at, sizeof(size));
        if (len - at - sizeof(size) < size)
            return FT_EMALFORMED;
    }
    memcpy(values->block, block, len);
    values->len = len;
    values->at = 1;
    return FT_OK;
}

static void note_value(struct nf_determinants *values, const void *value, uint16_t size)
{
    if (!values->len)
        values->block[values->len++] = 0;
    FT_CHECK(values->len + sizeof(size) + size <= NF_DETERMINANTS_MAX,
             "more than %u bytes of determinants in a burst", NF_DETERMINANTS_MAX);
    memcpy(values->block + values->len, &size, sizeof(size));
    memcpy(values->block + values->len + sizeof(size), value, size);
    values->len += (uint32_t)sizeof(size) + size;
}

/* What is not there stays as it is, and the replay is called wrong when the burst has ended. */
static void replace_value(struct nf_determinants *values, void *value, uint16_t size)
{
    uint16_t noted = 0;

    if (values->at < values->len)
        memcpy(&noted, values->block + values->at, sizeof(noted));
    if (values->at == values->len || noted != size) {
        values->wrong = true;
        return;
    }
    memcpy(value, values->block + values->at + sizeof(noted), size);
    values->at += (uint32_t)sizeof(noted) + noted;
}

void nf_determinant(const struct nf *nf, void *value, uint16_t size)
{
    struct nf_determinants *values = nf->env->determinants;

    if (values->replaying)
        replace_value(values, value, size);
    else
        note_value(values, value, size);
}

/* ---- tables that can be full --------------------------------------------------------------------------- */

void nf_table_add(const struct nf *nf, struct nf_table table)
{
    struct nf_tables *tables = &nf->env->tables;

    FT_CHECK(table.limit, "table %s has no limit", table.name);
    FT_CHECK(tables->count < NF_TABLES_MAX, "more than %u tables in a lane", NF_TABLES_MAX);
    table.nf = nf->index;
    tables->list[tables->count++] = table;
}

uint64_t nf_table_entries(const struct nf_table *table)
{
    const uint8_t *at = (const uint8_t *)table->count;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < table->parts; i++)
        sum += __atomic_load_n((const uint32_t *)(const void *)(at + i * table->stride), __ATOMIC_RELAXED);
    if (!table->free)
        return sum;
    return sum < table->limit ? table->limit - sum : 0;
}
