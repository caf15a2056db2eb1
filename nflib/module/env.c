/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns what NFs call on their lane: random numbers, wake times, packets of their own. Written by NFs while
 * they run; the generator and the wake times are lane state in the region, the packets are read by the chain
 * at the burst's end.
 */
#include "nflib/module/env.h"

#include <string.h>

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* xoshiro256** by Blackman and Vigna */
uint64_t nf_random(const struct nf *nf)
{
    uint64_t *s = ft_edit(nf->region, nf->env->state->random, sizeof(nf->env->state->random));
    uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* The earliest of what was asked for since the timers last ran: an NF with several wheels needs no care. */
void nf_wake(const struct nf *nf, uint64_t at)
{
    const uint64_t *wake = &nf->env->state->wake[nf->index];
    if (at < *wake)
        *(uint64_t *)ft_edit(nf->region, wake, sizeof(*wake)) = at;
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
