/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node does about a slice that differs between it and its peer: it saves its own bytes of it, as they
 * were when the digests were taken, in STATE/NODE.diverged, for a person to compare with the peer's file. The
 * main thread finds the difference and copies the bytes, which lanes keep until then
 * (lane/verification.c). A thread that is made for this file writes it, and may wait for the disk; while it
 * does, other differences are logged and not saved.
 */
#define _GNU_SOURCE /* close_range */
#include "understudy/watch/differences.h"
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/durable.h"
#include "ftcore/base/event_log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_TEXT (2 * FT_LINE + 32)

static bool is_zero(const uint8_t *line)
{
    static const uint8_t zero[FT_LINE];

    return memcmp(line, zero, FT_LINE) == 0;
}

/* A line of text for each line of the slice that is not zero, so that two files differ where the states do.
 * `used` is a multiple of FT_LINE, and so is a slice's size. */
static void write_lines(FILE *out, const struct nd_kept *kept, const struct ft_slice *slice)
{
    char text[LINE_TEXT];

    for (uint64_t at = 0; at < kept->size; at += FT_LINE) {
        int n = snprintf(text, sizeof(text), "%lu ", slice->at + at);

        if (is_zero(kept->bytes + at))
            continue;
        for (unsigned i = 0; i < FT_LINE; i++)
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%02x", kept->bytes[at + i]);
        fprintf(out, "%s\n", text);
    }
}

/* One difference that is to be saved: its thread's own. */
struct difference {
    _Atomic enum nd_saving *saving; /* of the node, which outlives the thread */
    char file[256], last[FT_SLICE_TEXT + 64], whose[FT_SLICE_TEXT];
    struct ft_slice slice;
    struct nd_kept kept;
    uint8_t bytes[FT_SLICE];
};

/* Replaced as a whole. */
static int write_file(const struct difference *d, struct ft_fault *fault)
{
    struct ft_durable file;
    int error = ft_durable_begin(&file, d->file, NULL, 0600, fault);

    if (error)
        return error;
    fprintf(file.out, "slice %lu, %s, burst %lu, digest of the primary %016lx\n", d->kept.number, d->whose,
            d->kept.burst, d->kept.digest);
    write_lines(file.out, &d->kept, &d->slice);
    return ft_durable_end(&file, true, fault);
}

static void *save_difference(void *difference)
{
    struct difference *d = difference;
    struct ft_fault fault;
    int error;

    ft_disk_thread_begin("us-difference", d->file);
    error = write_file(d, &fault);
    if (error)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DIVERGED, "%s differs from the peer's: %s", d->last, fault.text);
    else
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DIVERGED, "%s differs from the peer's: saved as %s", d->last,
                     d->file);
    atomic_store(d->saving, error ? ND_UNSAVED : ND_SAVED);
    free(d);
    return NULL;
}

/* Takes `d`. */
static void start_saving(struct nd_differences *all, struct difference *d)
{
    pthread_attr_t detached;
    pthread_t thread;

    d->saving = &all->saving;
    snprintf(d->file, sizeof(d->file), "%s", all->file);
    snprintf(d->last, sizeof(d->last), "%s", all->last);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    atomic_store(&all->saving, ND_SAVING);
    if (pthread_create(&thread, &detached, save_difference, d) != 0) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DIVERGED, "%s differs from the peer's: no thread to save it",
                     d->last);
        atomic_store(&all->saving, ND_UNSAVED);
        free(d);
    }
    pthread_attr_destroy(&detached);
}

static void save_slice(struct nd_differences *all, unsigned lane, uint64_t digest)
{
    struct difference *d = calloc(1, sizeof(*d));

    if (!d) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DIVERGED,
                     "a digest differs from the peer's; no memory to save the bytes");
        return;
    }
    d->kept.bytes = d->bytes;
    if (!nd_lane_find_kept(&all->lanes[lane], digest, &d->kept) ||
        !ft_slice_find(all->region, d->kept.number, &d->slice)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DIVERGED,
                     "a digest differs from the peer's; the bytes are not kept");
        free(d);
        return;
    }
    snprintf(all->last, sizeof(all->last), "slice %lu (%s) at burst %lu", d->kept.number,
             ft_slice_text(&d->slice, d->whose), d->kept.burst);
    all->missed = atomic_load(&all->saving) == ND_SAVING;
    if (!all->missed) {
        start_saving(all, d);
        return;
    }
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DIVERGED,
                 "%s differs from the peer's: not saved, the disk has not taken the one before", all->last);
    free(d);
}

/* As a standby: what its own lanes found. */
static void save_by_counts(struct nd_differences *all)
{
    for (unsigned l = 0; l < all->chain->lanes; l++) {
        const struct ft_lane_shared *lane = &all->shared[l];
        uint64_t count = atomic_load_explicit(&lane->count.slices_different, memory_order_acquire);

        if (count != all->seen_lanes[l])
            save_slice(all, l, FT_REPORT_GET(lane, expected));
        all->seen_lanes[l] = count;
    }
}

/* As a primary: the verdicts of the standby. All lanes have the same verdict on a digest of the whole
 * region. */
static void save_by_verdicts(struct nd_differences *all, const struct rp_status *s)
{
    for (unsigned l = 0; s->verdicts.different != all->seen_verdicts && l < all->chain->lanes; l++) {
        const struct rp_verdict *v = &s->verdicts.last[l];
        bool again = l > 0 && v->expected == s->verdicts.last[0].expected;

        if (v->expected != v->got && v->expected != all->expected[l] && !again)
            save_slice(all, l, v->expected);
        all->expected[l] = v->expected;
    }
    all->seen_verdicts = s->verdicts.different;
}

void nd_differences_save(struct nd_differences *all, const struct rp_status *s)
{
    save_by_counts(all);
    save_by_verdicts(all, s);
}
