/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region: the shared memory that holds all replicated state of the chain, mapped at the same
 * address on every node. It owns the mapping, the arenas in it, and the sets of lines that changed (dirty) or
 * must be copied before they change (pending).
 *
 * Written by lanes, through ft_edit only; read by everybody. Layout: for every lane one arena per NF
 * (index 0 is the lane's own state), then the shared arena. Arenas start at multiples of
 * FT_ARENA_ALIGN, so two lanes never share a word of the line sets.
 *
 * Allocation happens while the chain is made, in the same order on every node, so pointers agree.
 */
#ifndef FTCORE_REGION_REGION_H
#define FTCORE_REGION_REGION_H

#include "ftcore/base/check.h"
#include "ftcore/base/error.h"
#include "ftcore/region/lines.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FT_REGION_BASE    0x200000000000ull
#define FT_REGION_MAX     (64ull << 30)
#define FT_ARENA_MIN      (64ull << 10)
#define FT_ARENA_ALIGN    (256ull << 10)
#define FT_SHARED_DEFAULT (64ull << 20)
#define FT_LANES_MAX      16u
#define FT_NFS_MAX        32u

/* What edits have to do at present; bits of ft_region.tracking. 0: an edit is one branch. */
enum ft_tracking {
    FT_TRACK_DIRTY = 1,    /* mark edited lines for the next delta */
    FT_TRACK_SNAPSHOT = 2, /* a snapshot is being copied: save a pending line before it changes */
    FT_TRACK_AUDIT = 4,    /* note edits of this burst, to compare against what really changed */
    FT_TRACK_WATCH = 8,    /* each edit is reported to the chain's watcher (nflib/state/watch.h) */
};

struct ft_arena {
    uint64_t offset; /* bytes from the region's base, multiple of FT_ARENA_ALIGN */
    uint64_t size;   /* bytes, at least FT_ARENA_MIN, rounded up to 4 KiB */
    uint64_t used;   /* bytes handed out; what lies above is zero and is nobody's state */
    uint16_t lane;   /* FT_LANES_MAX for the shared arena */
    uint16_t nf;     /* index in the chain, 0: the lane's own state; FT_NFS_MAX for the shared arena */
    struct ft_region *region;
    struct ft_heap
        *heap; /* in it, whose memory is written without edits (ftcore/region/heap.h); NULL: none */
    uint64_t spare_to[2]; /* of each part of the heap: bytes of the region; the spare copy has memory below */
};

struct ft_region_config {
    const char *name;           /* of the memory, for /proc/PID/maps */
    uint16_t lanes;             /* 1 to FT_LANES_MAX */
    uint16_t nfs;               /* 1 to FT_NFS_MAX, index 0 (lane state) included */
    const uint64_t *arena_size; /* [nfs] bytes wanted per lane; raised to FT_ARENA_MIN */
    const char *const *nf_name; /* [nfs] names for messages, strings of the program; NULL: none */
    uint64_t shared_size;       /* bytes of the shared arena; 0 for FT_SHARED_DEFAULT */
    bool audit;                 /* check at each burst's end that every change went through an edit */
    bool
        poison; /* what a library gives back to a heap is overwritten: the same on all that share the state */
    bool huge;  /* try huge pages, then transparent ones, and fall back silently to 4 KiB pages */
};

struct ft_audit; /* ftcore/region/audit.h */
struct ft_pages; /* ftcore/region/pages.h */
struct ft_saved; /* ftcore/region/checkpoint.h */

struct ft_region {
    uint8_t *base; /* FT_REGION_BASE; NULL while hidden */
    uint64_t size; /* bytes mapped */
    int fd;        /* memfd; -1 when closed */
    uint16_t lanes, nfs;
    uint32_t arena_count;    /* lanes * nfs + 1, the last one is the shared arena */
    struct ft_arena *arenas; /* [arena_count] */
    _Atomic uint32_t tracking;
    struct ft_lines dirty; /* edited since the last delta was taken */
    /* A snapshot. Lines are copied to `snapshot_copy` at the offsets they have in the region. */
    struct ft_lines snapshot_pending;  /* lines that are to be copied; who copies one claims it first */
    struct ft_lines snapshot_copied;   /* lines whose copy is whole */
    uint8_t *snapshot_copy;            /* `size` bytes reserved; NULL: no snapshot is being copied */
    _Atomic(uint8_t *) snapshot_past;  /* that of a snapshot that has ended: not given back yet, or NULL */
    _Atomic(uint8_t *) snapshot_spare; /* that of the next one, with memory for heaps; NULL: none is ready */
    /* An incremental checkpoint (ftcore/region/checkpoint.h). */
    struct ft_lines checkpoint_pending; /* lines that were dirty at its cut and are to be copied */
    struct ft_saved *checkpoint_saved;  /* those as they were before edits; NULL: none can be pending */
    _Atomic bool checkpoint_open;       /* lines may be pending, so edits have to look */
    struct ft_audit *audit;             /* NULL unless configured */
    struct ft_pages *pages;             /* who writes pages of heaps; NULL: nobody has asked yet */
    /* FT_TRACK_WATCH: called by the editing lane, before the change. Set while no lane runs. */
    void (*watch)(void *arg, const void *p, size_t n);
    void *watch_arg;
    const char *nf_name[FT_NFS_MAX]; /* "?" where nobody gave one */
    bool huge;                       /* huge pages are wanted, and there is no audit */
    bool poison;                     /* as configured */
};

/*
 * Maps a region at FT_REGION_BASE, zeroed. Fails by name when it does not fit (FT_ENOMEM: more than
 * FT_REGION_MAX or than the system gives; FT_EBUSY: the address range is taken). `*out` is NULL then.
 */
int ft_region_open(struct ft_region **out, const struct ft_region_config *config, struct ft_fault *fault);
void ft_region_close(struct ft_region *region);

/* lane < lanes, nf < nfs. */
struct ft_arena *ft_region_arena(struct ft_region *region, unsigned lane, unsigned nf);
struct ft_arena *ft_region_shared(struct ft_region *region);
bool ft_region_has_heap(const struct ft_region *region);
/* The arena whose bytes hold this offset from the base; NULL between arenas and behind the last. */
struct ft_arena *ft_region_arena_at(const struct ft_region *region, uint64_t offset);

/*
 * `size` zeroed bytes, aligned to a line, the next free ones of the arena. NULL when the arena has no
 * room. Never freed. Only while the chain is made.
 */
void *ft_arena_alloc(struct ft_arena *arena, uint64_t size);

/* Zeroes everything (all pages given back); `used` of every arena goes to 0. No lane may run. */
void ft_region_wipe(struct ft_region *region);
/* Writes zeros over these lines, and takes no memory for pages that nobody has touched. */
void ft_region_zero(struct ft_region *region, uint64_t line, uint64_t count);

/* XXH3 over the used part of all arenas in order. */
uint64_t ft_region_digest(const struct ft_region *region);
uint64_t ft_region_used(const struct ft_region *region);

void ft_edit_track(struct ft_region *region, const void *p, size_t n);

/*
 * Nearly every edit while changes are marked: its line is marked already, since others of its packets or of
 * its burst came before. True: there is nothing more to do about an edit within the line of `p`. The region
 * begins at a multiple of the largest there is, so the address gives the line.
 */
_Static_assert(FT_REGION_BASE % FT_REGION_MAX == 0, "the low bits of an address are its offset");
static inline bool ft_edit_settled(const struct ft_region *region, uint32_t tracking, const void *p)
{
    return !(tracking & ~(uint32_t)FT_TRACK_DIRTY) &&
           ft_lines_marked(&region->dirty, (uintptr_t)p >> FT_LINE_SHIFT);
}

/* From now on `watch` hears of each edit; NULL: nobody. While no lane runs. */
void ft_region_watch(struct ft_region *region, void (*watch)(void *arg, const void *p, size_t n), void *arg);

/*
 * The only way to a writable pointer into the region. Call it before the change, for exactly the bytes
 * about to change: [p, p+n) within one arena.
 */
static inline void *ft_edit(struct ft_region *region, const void *p, size_t n)
{
    if (ft_unlikely(atomic_load_explicit(&region->tracking, memory_order_acquire)))
        ft_edit_track(region, p, n);
    return (void *)(uintptr_t)p;
}

/*
 * The same, for edits that are made for every packet: a marked line is found without a call. Of bytes that
 * are known to lie in one line: a word at its alignment, a small entry of a table. They are looked at only
 * where the line is not marked: a claim that is false is a broken invariant there.
 */
void ft_edit_track_in_line(struct ft_region *region, const void *p, size_t n);
static inline void *ft_edit_in_line(struct ft_region *region, const void *p, size_t n)
{
    uint32_t tracking = atomic_load_explicit(&region->tracking, memory_order_acquire);

    if (ft_unlikely(tracking) && !ft_edit_settled(region, tracking, p))
        ft_edit_track_in_line(region, p, n);
    return (void *)(uintptr_t)p;
}

/*
 * A snapshot, the copying side. `begin` at a cut, with every lane quiesced: each used line becomes pending.
 * It fails with FT_ENOMEM, or FT_EBUSY while another snapshot is being copied; nothing is pending then.
 * `save` is called by an edit, before the line changes. Lanes call `copy` between bursts for their own arenas
 * (lane 0 also for the shared arena): it copies at most `max` pending lines and returns how many, and in
 * *zero how many of these are zero; 0 when none of its lines is pending any more. `left` is the number of
 * used lines that are not copied yet. `untouched` takes for copied, of the pending lines from *at on, the
 * next ones, `most` of them at most, whose pages nobody has written or read since the region was made or
 * wiped: they are zero, and the system has no memory for them. It returns them, or no lines behind the last
 * ones, and moves *at; one thread calls it, while lanes copy and edit. `end` gives the copy up, also right
 * after an abandoned resync; lanes may run, but nobody may read the copy any more. Its memory goes back to
 * the system by `give_back`, of a thread that may take some 0.1 s a GiB for it, or by the next `end`. A heap
 * is copied by `begin` itself; `prepare`, which the same thread calls from time to time, asks the system for
 * that copy's memory beforehand, FT_SPARE_BYTES in a call, so that the cut does not.
 */
#define FT_SPARE_BYTES (1u << 20)
int ft_snapshot_begin(struct ft_region *region);
void ft_snapshot_save(struct ft_region *region, uint64_t line);
uint64_t ft_snapshot_copy(struct ft_region *region, unsigned lane, uint64_t max, uint64_t *zero);
struct ft_line_range ft_snapshot_untouched(struct ft_region *region, uint64_t *at, uint64_t most);
uint64_t ft_snapshot_left(struct ft_region *region);
void ft_snapshot_end(struct ft_region *region);
void ft_snapshot_give_back(struct ft_region *region);
void ft_snapshot_prepare(struct ft_region *region);

#endif
