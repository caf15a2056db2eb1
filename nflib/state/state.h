/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State types. All live in an NF's arena, have a fixed capacity, use 32-bit indices inside, and mark what
 * they change. They belong to one lane and take no lock. Lookups return const pointers; a writable one comes
 * from nf_edit. Each has `_bytes` (arena bytes for a capacity, for module->arena; docs/writing-an-nf.md has
 * the formulas) and `_make` (NULL when the arena is full). An object that is full returns NF_NONE and changes
 * nothing. Each checks what a peer wrote (nf_object).
 */
#ifndef NFLIB_STATE_STATE_H
#define NFLIB_STATE_STATE_H

#include "nflib/module/module.h"

#define NF_NONE UINT32_MAX

/*
 * map: keys of fixed size to slots 0 … capacity-1, each with a value of fixed size, or none. Buckets of one
 * line hold 16-bit tags and indices; entries lie in an array of their own. The hash is XXH3 with a random
 * seed made once, in the region, so both nodes hash alike. To find, to add and to remove read one bucket and
 * one entry; where more keys lead to a bucket than it has places, the next one too. nf_map_next reads a bit a
 * slot.
 */
struct nf_map;
uint64_t nf_map_bytes(uint32_t capacity, uint32_t key_size, uint32_t value_size);
struct nf_map *nf_map_make(struct nf *nf, uint32_t capacity, uint32_t key_size, uint32_t value_size);
uint64_t nf_map_hash(const struct nf_map *map, const void *key);
uint32_t nf_map_find(const struct nf_map *map, const void *key); /* slot or NF_NONE */
uint32_t nf_map_add(const struct nf *nf, struct nf_map *map,
                    const void *key); /* new slot, value zeroed; NF_NONE: full. The key must not be there. */
void nf_map_remove(const struct nf *nf, struct nf_map *map, uint32_t slot);
const void *nf_map_key(const struct nf_map *map, uint32_t slot);
const void *nf_map_value(const struct nf_map *map, uint32_t slot);
bool nf_map_has(const struct nf_map *map, uint32_t slot); /* any number: a used slot */
uint32_t nf_map_count(const struct nf_map *map);
uint32_t nf_map_capacity(const struct nf_map *map);
uint32_t nf_map_next(const struct nf_map *map,
                     uint32_t slot); /* first used slot >= slot, NF_NONE at the end */
/* Registers the map as one of the NF's tables (nf_table_add). */
struct nf_table nf_table_of_map(const char *name, const struct nf_map *map);
static inline void nf_table_add_map(const struct nf *nf, const char *name, const struct nf_map *map)
{
    nf_table_add(nf, nf_table_of_map(name, map));
}

/*
 * list: entries 0 … capacity-1, each with a value of fixed size, in lists, of which there may be any number:
 * an entry is in one at most. A head is 4 bytes, in the arena or not: zeros are an empty list, and whoever
 * calls may write to it. An entry is taken before it is put into a list and given back when it is in none;
 * whoever has numbers of its own, such as a map's slots, puts those in without taking. No operation depends
 * on how long a list is.
 */
struct nf_lists;
struct nf_list {
    uint32_t first; /* entry + 1; 0: none */
};
uint64_t nf_lists_bytes(uint32_t capacity, uint32_t value_size);
struct nf_lists *nf_lists_make(struct nf *nf, uint32_t capacity, uint32_t value_size);
uint32_t nf_lists_take(const struct nf *nf, struct nf_lists *lists); /* in no list; NF_NONE: none is free */
/* Once, before anything is taken: for whoever has numbers of its own and several lists of them. */
void nf_lists_take_all(const struct nf *nf, struct nf_lists *lists);
void nf_lists_give(const struct nf *nf, struct nf_lists *lists, uint32_t entry);
const void *nf_lists_value(const struct nf_lists *lists, uint32_t entry); /* as it was left */
uint32_t nf_lists_count(const struct nf_lists *lists);                    /* entries that are taken */
/* In front of `next`, an entry of the list; NF_NONE: at the end. */
void nf_list_insert(const struct nf *nf, struct nf_lists *lists, struct nf_list *list, uint32_t entry,
                    uint32_t next);
void nf_list_remove(const struct nf *nf, struct nf_lists *lists, struct nf_list *list, uint32_t entry);
static inline uint32_t nf_list_first(const struct nf_list *list) /* NF_NONE: it is empty */
{
    return list->first - 1;
}
uint32_t nf_list_next(const struct nf_lists *lists, uint32_t entry); /* NF_NONE at the end */
bool nf_list_has(const struct nf_lists *lists, uint32_t entry);      /* it is in a list */
/*
 * For module->check_state: how many entries a list has, at most `most`; or an error. `seen`: of
 * nf_lists_seen, the same for all lists; then each is of entries that were taken and are in no other, and all
 * is well where the lists have nf_lists_count entries together. NULL: of a list of numbers of one's own, the
 * only one.
 */
uint64_t *nf_lists_seen(struct nf_check *c, unsigned which,
                        const struct nf_lists *lists); /* NULL: FT_ENOMEM */
int nf_list_check(struct nf_check *c, const struct nf_lists *lists, const struct nf_list *list, uint32_t most,
                  uint64_t *seen);
void nf_table_add_lists(const struct nf *nf, const char *name, const struct nf_lists *lists);

/*
 * wheel: one timer per number 0 … count-1, resolution `tick` ns, any delay. Lazy use is cheap: keep the
 * last-seen time in the value and set the timer again when it fires early. nf_wheel_due must be called from
 * `timers`, for every wheel of the NF, with room for `max` numbers; returns how many came due (in due order,
 * ties by time they were set; their timers are then not set); when it returns `max` there may be more and the
 * wake time is at once. A call moves a bounded number of far timers nearer: with thousands of them it may
 * return fewer and ask to be called again at once. Keeps nf_wake up to date, which several wheels share. No
 * operation depends on how many timers are set. It is never full.
 */
struct nf_wheel;
uint64_t nf_wheel_bytes(uint32_t count);
struct nf_wheel *nf_wheel_make(struct nf *nf, uint32_t count, uint64_t tick);
void nf_wheel_set(const struct nf *nf, struct nf_wheel *wheel, uint32_t number,
                  uint64_t at); /* sets or moves */
void nf_wheel_cancel(const struct nf *nf, struct nf_wheel *wheel, uint32_t number);
uint32_t nf_wheel_due(const struct nf *nf, struct nf_wheel *wheel, uint64_t now, uint32_t out[],
                      uint32_t max);
bool nf_wheel_has(const struct nf_wheel *wheel,
                  uint32_t number); /* a number below the count: its timer is set */

#endif
