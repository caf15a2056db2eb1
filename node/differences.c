/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node does about a slice that differs between it and its peer: it saves its own bytes of it, as they
 * were when the digests were taken, in STATE/NODE.diverged, for a person to compare with the peer's file.
 * Runs on the main thread, which may wait for a disk; lanes keep the bytes until then
 * (node/lane/verification.h).
 */
#include "node/running.h"
#include "ftcore/base/event_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Replaced as a whole. */
static int write_file(const struct nd_running *r, const struct nd_kept *kept, const struct ft_slice *slice,
                      struct ft_fault *fault)
{
    char fresh[sizeof(r->difference.file) + 8], whose[FT_SLICE_TEXT];
    int fd;
    FILE *out;

    snprintf(fresh, sizeof(fresh), "%s.new", r->difference.file);
    unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        if (fd >= 0)
            close(fd);
        return ft_fail(fault, FT_EIO, "%s: %s", fresh, strerror(errno));
    }
    fprintf(out, "slice %lu, %s, burst %lu, digest of the primary %016lx\n", kept->number,
            ft_slice_text(slice, whose), kept->burst, kept->digest);
    write_lines(out, kept, slice);
    if (ferror(out) | fclose(out) || rename(fresh, r->difference.file) != 0) {
        unlink(fresh);
        return ft_fail(fault, FT_EIO, "%s: cannot be written: %s", fresh, strerror(errno));
    }
    return 0;
}

static void save(struct nd_running *r, unsigned lane, uint64_t digest)
{
    static uint8_t bytes[FT_SLICE];
    struct nd_kept kept = {.bytes = bytes};
    const char *node = r->config->node[r->self].name;
    char whose[FT_SLICE_TEXT];
    struct ft_slice slice;
    struct ft_fault fault;

    if (!nd_lane_find_kept(&r->lanes[lane], digest, &kept) ||
        !ft_slice_find(r->region, kept.number, &slice)) {
        ft_log_event("understudy: %s: a digest differs from the peer's; the bytes are not kept", node);
        return;
    }
    snprintf(r->difference.last, sizeof(r->difference.last), "slice %lu (%s) at burst %lu", kept.number,
             ft_slice_text(&slice, whose), kept.burst);
    r->difference.saved = write_file(r, &kept, &slice, &fault) == 0;
    if (r->difference.saved)
        ft_log_event("understudy: %s: %s differs from the peer's: saved as %s", node, r->difference.last,
                     r->difference.file);
    else
        ft_log_event("understudy: %s: %s differs from the peer's: %s", node, r->difference.last, fault.text);
}

/* As a standby: what its own lanes found. */
static void save_found(struct nd_running *r)
{
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        const struct ft_lane *lane = &r->shared[l];
        uint64_t count = atomic_load_explicit(&lane->count.slices_different, memory_order_acquire);

        if (count != r->difference.seen[l])
            save(r, l, FT_REPORTED(lane, expected));
        r->difference.seen[l] = count;
    }
}

/* As a primary: what the standby said. All lanes say the same of a digest of the whole region. */
static void save_told(struct nd_running *r)
{
    struct rp_status s;

    rp_status(r->replicator, &s);
    for (unsigned l = 0; s.verdicts.different != r->difference.told && l < r->config->chain.lanes; l++) {
        const struct rp_verdict *v = &s.verdicts.last[l];
        bool again = l > 0 && v->expected == s.verdicts.last[0].expected;

        if (v->expected != v->got && v->expected != r->difference.expected[l] && !again)
            save(r, l, v->expected);
        r->difference.expected[l] = v->expected;
    }
    r->difference.told = s.verdicts.different;
}

void nd_differences_save(struct nd_running *r)
{
    save_found(r);
    save_told(r);
}
