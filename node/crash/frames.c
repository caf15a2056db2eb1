/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dead node's lanes had taken in, as pcapng files: the burst that it died of, with the packet
 * marked, and the inputs of the last FT_PAST_BURSTS bursts of each lane. They lie in the lanes' log rings,
 * which outlive the process; a burst of which nothing was captured was kept by the handler of the signal.
 */
#include "node/crash/reporter.h"
#include "node/base/pcapng_file.h"
#include "node/crash/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMENT 160u

FILE *nd_crash_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

    if (fd >= 0 && !out)
        close(fd);
    return out;
}

static bool end_file(FILE *out, bool whole)
{
    bool failed = ferror(out) != 0;

    return fclose(out) == 0 && whole && !failed;
}

static bool begin_file(FILE *out, const struct nd_crash_case *c)
{
    const struct nd_node *node = &c->config->node[c->self];
    bool whole = nd_pcapng_section(out);

    for (unsigned p = 0; p < NF_PORTS_MAX && whole && node->port[p][0]; p++)
        whole = nd_pcapng_port(out, node->name,
                               c->config->chain.l3 ? c->config->l3.port[p].name
                               : p                 ? "outside"
                                                   : "inside");
    return whole;
}

static unsigned ports_of(const struct nd_crash_case *c)
{
    unsigned ports = 0;

    while (ports < NF_PORTS_MAX && c->config->node[c->self].port[ports][0])
        ports++;
    return ports;
}

/* Wall clock of something that was at this monotonic time. Chain time is that on the node that began it, and
 * goes on from there on others; so what is long ago there is only about right. */
static uint64_t wall_of(const struct nd_crash_case *c, uint64_t monotonic)
{
    const struct nd_crash_told *told = &c->page->told;

    return told->wall ? told->wall - (told->monotonic - monotonic) : c->now - (c->monotonic - monotonic);
}

/* When the lane's burst under way began: with its turn, but for what it waited for more packets. Others were
 * as much before as their chain times say. */
static uint64_t burst_wall(const struct nd_crash_case *c, unsigned lane, uint64_t time)
{
    uint64_t turn = atomic_load(&c->shared[lane].count.turn_ns);
    uint64_t present = atomic_load(&c->page->lane[lane].mark.time);

    return wall_of(c, turn) - (present > time ? present - time : 0);
}

static const char *describe(char out[COMMENT], const struct nd_crash_case *c, unsigned lane, uint64_t burst,
                            uint64_t seq, unsigned i, bool present)
{
    const struct nd_crash_told *told = &c->page->told;
    bool marked = present && (int)lane == told->lane && told->found >> i & 1;
    bool alone = __builtin_popcount(told->found) == 1;

    snprintf(out, COMMENT, "%slane %u, burst %lu, packet %u, input %lu",
             !marked ? ""
             : alone ? "THE PACKET: "
                     : "PERHAPS THE PACKET: ",
             lane, burst, i + 1, seq + i);
    return out;
}

static bool write_record(FILE *out, const struct nd_crash_case *c, unsigned lane, const struct ft_record *r,
                         bool present)
{
    const uint8_t *bytes = (const uint8_t *)r + ft_record_bytes_at(r);
    unsigned ports = ports_of(c);
    char comment[COMMENT];
    bool whole = true;

    for (unsigned i = 0; i < r->inputs && whole && !(r->flags & FT_REC_BY_SEQ); i++) {
        const struct ft_input *in = ft_record_inputs(r) + i;

        if (bytes + in->taken > (const uint8_t *)r + ft_record_bytes_at(r) + FT_BYTES_MAX ||
            in->port >= ports)
            break;
        whole = nd_pcapng_packet(
            out,
            &(struct nd_pcapng_packet){.port = in->port,
                                       .time = burst_wall(c, lane, r->time),
                                       .bytes = bytes,
                                       .have = in->taken,
                                       .wire = in->wire,
                                       .comment = describe(comment, c, lane, r->burst, r->seq, i, present)});
        bytes += in->taken;
    }
    return whole;
}

static bool write_kept(FILE *out, const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    unsigned lane = (unsigned)told->lane, ports = ports_of(c);
    const struct nf_mark *mark = &c->page->lane[lane].mark;
    char comment[COMMENT];
    bool whole = true;

    for (unsigned i = 0; i < told->n && i < FT_BURST_MAX && whole; i++) {
        const struct nd_crash_frame *f = &told->packet[i];

        whole = f->port >= ports || f->have > ND_CRASH_BYTES ||
                nd_pcapng_packet(out, &(struct nd_pcapng_packet){
                                          .port = f->port,
                                          .time = burst_wall(c, lane, atomic_load(&mark->time)),
                                          .bytes = f->bytes,
                                          .have = f->have,
                                          .wire = f->wire,
                                          .comment = describe(comment, c, lane, atomic_load(&mark->burst),
                                                              atomic_load(&mark->seq), i, true)});
    }
    return whole;
}

static bool write_burst(const struct nd_crash_case *c, int dir)
{
    const struct nd_crash_told *told = &c->page->told;
    const struct ft_record *r;
    FILE *out;

    if (told->lane < 0 || (unsigned)told->lane >= c->config->chain.lanes || !told->owner)
        return true;
    r = told->captured
            ? nd_crash_record(&c->shared[told->lane], atomic_load(&c->page->lane[told->lane].mark.burst))
            : NULL;
    if (!(r && r->inputs) && !told->n)
        return true;
    out = nd_crash_file(dir, "burst.pcapng");
    if (!out)
        return false;
    return end_file(out, begin_file(out, c) &&
                             (r ? write_record(out, c, (unsigned)told->lane, r, true) : write_kept(out, c)));
}

static bool write_past(FILE *out, const struct nd_crash_case *c, unsigned lane)
{
    uint64_t last = atomic_load(&c->page->lane[lane].mark.burst);
    bool whole = true;

    for (uint64_t before = last < FT_PAST_BURSTS ? last : FT_PAST_BURSTS; before-- > 0 && whole;) {
        const struct ft_record *r = nd_crash_record(&c->shared[lane], last - before);

        whole = !r || write_record(out, c, lane, r, before == 0);
    }
    return whole;
}

bool nd_crash_pcaps(const struct nd_crash_case *c, int dir)
{
    FILE *out;
    bool whole;

    if (!write_burst(c, dir))
        return false;
    out = nd_crash_file(dir, "inputs.pcapng");
    if (!out)
        return false;
    whole = begin_file(out, c);
    for (unsigned l = 0; l < c->config->chain.lanes && whole; l++)
        whole = write_past(out, c, l);
    return end_file(out, whole);
}

int nd_crash_write_quarantine(const struct nd_crash_case *c, struct ft_fault *fault)
{
    const struct nd_node *node = &c->config->node[c->self];
    const struct nd_quarantine *q = &c->page->quarantine;
    char path[ND_CRASH_PATH], fresh[ND_CRASH_PATH + 8];
    bool whole;
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s.quarantine.pcapng", node->state, node->name);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    unlink(fresh);
    out = nd_crash_file(AT_FDCWD, fresh);
    if (!out)
        return ft_fail(fault, FT_EIO, "%s: %s", fresh, strerror(errno));
    whole = begin_file(out, c);
    for (uint32_t i = 0; i < ND_QUARANTINE_KEPT && whole; i++) {
        const struct nd_crash_frame *f = &q->frame[i];

        whole = !atomic_load_explicit(&q->whole[i], memory_order_acquire) || f->port >= ports_of(c) ||
                f->have > ND_CRASH_BYTES ||
                nd_pcapng_packet(out, &(struct nd_pcapng_packet){f->port, false, f->time, f->bytes, f->have,
                                                                 f->wire, NULL});
    }
    if (!end_file(out, whole) || rename(fresh, path) != 0) {
        unlink(fresh);
        return ft_fail(fault, FT_EIO, "%s: cannot be written", path);
    }
    return 0;
}
