/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a dead node's recording (logger/recorder): what its lanes had handed over, the bursts that had
 * begun, and how it ended. By the reporter, as the node's user, in the recorder's memory, which outlives the
 * node as the page does.
 */
#include "logger/recorder/recorder.h"
#include "node/base/printable.h"
#include "node/crash/handler.h"
#include "node/crash/reporter.h"

#include <signal.h>
#include <string.h>

/* The lane was executing the burst that its mark names. */
static bool is_in_burst(const struct nf_mark *mark)
{
    uint32_t doing = atomic_load(&mark->doing);

    return doing != NF_DOING_NOTHING && doing != NF_DOING_SHOW;
}

/* A lane that executes live hands a record over when the burst has ended, and has captured it when it begins:
 * the record lies in its log ring. One that replays hands it over first. The last burst that ended. */
static uint64_t end_lane(const struct nd_crash_case *c, unsigned lane, uint64_t last)
{
    const struct nf_mark *mark = &c->page->lane[lane].mark;
    uint64_t burst = atomic_load(&mark->burst);
    const struct ft_record *r;

    if (burst == last + 1 && (r = nd_crash_record(&c->shared[lane], burst)))
        lg_recorder_begun(c->recorder, r);
    return burst == last && is_in_burst(mark) ? last - 1 : last;
}

static struct lg_node_end describe_end(const struct nd_crash_case *c)
{
    const struct nd_crash_told *told = &c->page->told;
    struct lg_node_end end = {.wall = nd_crash_wall(c), .how = LG_KILLED, .lane = FT_CRASH_NO_LANE};
    int lane = nd_crash_lane(c);
    const struct nf_mark *mark;
    uint32_t nf;

    if (!told->owner)
        return end;
    end.how = told->hangs && lane >= 0 ? LG_HUNG : LG_CRASHED;
    end.signal = told->number > 0 && told->number < NSIG ? (uint32_t)told->number : 0;
    end.packet = told->notice.packet <= FT_BURST_MAX ? told->notice.packet : 0;
    if (lane < 0)
        return end;
    mark = &c->page->lane[lane].mark;
    nf = atomic_load(&mark->nf);
    end.lane = (uint32_t)lane;
    end.burst = atomic_load(&mark->burst);
    end.time = atomic_load(&mark->time);
    if (atomic_load(&mark->doing) != NF_DOING_NOTHING && nf < FT_NFS_MAX)
        nd_printable(c->page->nf[nf], end.nf, sizeof(end.nf)); /* an NF may have written over it */
    return end;
}

void nd_crash_end_recording(const struct nd_crash_case *c)
{
    struct lg_position at[FT_LANES_MAX];
    uint64_t ended[FT_LANES_MAX];
    struct lg_node_end end = describe_end(c);
    char line[ND_CRASH_LINE];

    if (!c->recorder || !lg_recorder_drain(c->recorder, at))
        return;
    for (unsigned l = 0; l < c->config->chain.lanes; l++)
        ended[l] = end_lane(c, l, at[l].burst);
    lg_recorder_end(c->recorder, &end, ended, nd_crash_case_line(line, c));
}
