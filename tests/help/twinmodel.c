/* SPDX-License-Identifier: Apache-2.0 */
/* The chain of twin.h as arithmetic, and the model that runs it without lanes, logs or snapshots. */
#include "tests/help/twin.h"
#include "ftcore/base/draw.h"

#include <string.h>
#include <xxhash.h>

void twin_make(struct twin_burst *b, uint64_t seed, uint64_t burst)
{
    uint64_t x = seed ^ burst * 0x2545f4914f6cdd1dull;

    b->time = burst * TWIN_TICK_US * 1000 + ft_draw(&x) % 1000;
    b->n = (unsigned)(ft_draw(&x) % (FT_BURST_MAX + 1));
    for (unsigned i = 0; i < b->n; i++) {
        b->len[i] = 16 + (uint32_t)(ft_draw(&x) % (TWIN_INPUT - 15));
        for (uint32_t at = 0; at < b->len[i]; at++)
            b->bytes[i][at] = (uint8_t)ft_draw(&x);
    }
}

void twin_first_words(uint64_t words[TWIN_WORDS], uint64_t salt)
{
    for (uint64_t i = 0; i < TWIN_WORDS / 2; i++) {
        uint64_t x = i ^ salt << 32;

        words[i] = ft_draw(&x);
    }
}

uint64_t twin_pick(const uint8_t *bytes, uint32_t len, uint64_t time, uint64_t *add)
{
    *add = XXH3_64bits_withSeed(bytes, len, time);
    return *add % TWIN_WORDS;
}

uint64_t twin_state_hash(const struct twin_lane_state *lane, const uint64_t words[TWIN_WORDS])
{
    return XXH3_64bits_withSeed(lane, sizeof(*lane), XXH3_64bits(words, TWIN_WORDS * sizeof(words[0])));
}

void twin_model_begin(struct twin_model *m)
{
    memset(m, 0, sizeof(*m));
    m->lane.seq = 1;
    twin_first_words(m->words, 0);
}

void twin_model_run(struct twin_model *m, uint64_t seed, uint64_t to)
{
    static struct twin_burst b;
    uint64_t add;

    while (m->lane.burst < to) {
        twin_make(&b, seed, m->lane.burst + 1);
        for (unsigned i = 0; i < b.n; i++) {
            uint64_t word = twin_pick(b.bytes[i], b.len[i], b.time, &add);

            m->words[word] += add;
        }
        m->lane.burst++;
        m->lane.time = b.time;
        m->lane.seq += b.n;
        m->lane.outputs += b.n;
    }
}
