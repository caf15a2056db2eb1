/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what survives of a lane's log; see replay/ledger.h. */
#include "tools/replay/ledger.h"

#include "ftcore/base/check.h"
#include "tools/replay/grow.h"

#include <string.h>

void nd_ledger_free(struct nd_ledger *ledger)
{
    free(ledger->bytes);
    free(ledger->at);
    memset(ledger, 0, sizeof(*ledger));
}

void nd_ledger_put(struct ft_ring *ring, const struct ft_record *record)
{
    struct ft_record brief = *record, *out;
    size_t dependencies = record->dependencies * sizeof(struct ft_dependency);

    brief.flags |= FT_REC_BY_SEQ;
    brief.bytes = 0;
    brief.size = (uint32_t)ft_record_size(&brief);
    out = ft_ring_reserve(ring, brief.size);
    FT_CHECK(out, "burst %lu was run without room for its record", record->burst);
    *out = brief;
    memcpy((uint8_t *)out + ft_record_dependencies_at(out),
           (const uint8_t *)record + ft_record_dependencies_at(record), dependencies);
    memcpy((uint8_t *)out + ft_record_determinants_at(out),
           (const uint8_t *)record + ft_record_determinants_at(record), FT_ALIGN8(record->determinants));
    ft_ring_publish(ring, brief.size);
}

static bool make_room(struct nd_ledger *ledger, uint32_t size)
{
    return nd_grow((void **)&ledger->at, &ledger->room, ledger->count + 1, sizeof(*ledger->at), 4096) &&
           nd_grow((void **)&ledger->bytes, &ledger->byte_room, ledger->used + size, 1, 1u << 20);
}

uint64_t nd_ledger_drain(struct nd_ledger *ledger, struct ft_ring *ring)
{
    const struct ft_record *r;
    uint64_t there, n = 0;

    for (; (r = ft_ring_peek(ring, &there)); n++) {
        ledger->broken |= r->burst != ledger->count + 1 || !make_room(ledger, r->size);
        if (!ledger->broken) {
            ledger->at[ledger->count++] = ledger->used;
            memcpy(ledger->bytes + ledger->used, r, r->size);
            ledger->used += r->size;
            ledger->dependencies += r->dependencies;
        }
        ft_ring_advance(ring, r->size);
        ft_ring_consume(ring);
    }
    return n;
}

void nd_ledger_cut(struct nd_ledger *ledger, uint64_t burst)
{
    for (; ledger->count > burst; ledger->count--) {
        const struct ft_record *r = nd_ledger_record(ledger, ledger->count);

        ledger->dependencies -= r->dependencies;
        ledger->used -= r->size;
    }
}

const struct ft_record *nd_ledger_record(const struct nd_ledger *ledger, uint64_t burst)
{
    return (const struct ft_record *)(const void *)(ledger->bytes + ledger->at[burst - 1]);
}
