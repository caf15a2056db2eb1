/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With the audit on: finds an NF that adds one key to maps of its own in two lanes. All packets of what its
 * state belongs to come to one lane (module->scope), so each of the two entries knows of some of the packets
 * only. A warning, since an NF may mean it so. Owns the keys that were added last; written by all lanes.
 */
#include "ftcore/base/event_log.h"
#include "ftcore/region/audit.h"
#include "nflib/state/map.h"

#include <stdatomic.h>
#include <xxhash.h>

#define KEYS  65536u
#define LANES 15u /* of an entry: the bits that say the lane. The others are those of the key's hash. */
_Static_assert(FT_LANES_MAX <= LANES + 1, "a lane has four bits");

static _Atomic uint64_t keys[KEYS]; /* by the first bits of the hash; 0: none yet */
static _Atomic uint32_t told;       /* bit i: of NF i */

static const char *scope_of(const struct nf *nf)
{
    static const char *const names[] = {"a flow", "an address inside", "an address outside", "the chain"};

    return names[nf->module->scope ? nf->module->scope(nf->config) : NF_OF_FLOW];
}

void nf_map_note_lane(const struct nf *nf, const struct nf_map *map, const void *key)
{
    /* The same for the same map of each lane; a map that lanes share is elsewhere for each. */
    uint64_t at = (uintptr_t)map - (uintptr_t)nf->region->base - nf->arena->offset;
    uint64_t seed = (at << 8 | nf->index) ^ (uintptr_t)nf->config, hash, before;

    /* What make adds, or an operator, is in all lanes; and a lane's own maps are by nobody's scope. */
    if (!ft_audit_runs() || !nf->index)
        return;
    hash = XXH3_64bits_withSeed(key, map->key_size, seed) & ~(uint64_t)LANES;
    before = atomic_exchange(&keys[hash >> 48], hash | nf->lane);
    if ((before & ~(uint64_t)LANES) != hash || (before & LANES) == nf->lane ||
        atomic_fetch_or(&told, 1u << nf->index) >> nf->index & 1)
        return;
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START,
                 "audit: NF '%s' added one key to maps of its own in lanes %u and %u, expected one lane: by "
                 "its scope its state is of %s",
                 nf->module->name, (unsigned)(before & LANES), nf->lane, scope_of(nf));
}
