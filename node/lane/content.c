/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer has written, or wants to write, into the region of a standby's lanes, looked at before any lane
 * runs on it. Run by the replicator's thread, which alone orders lanes to run.
 */
#include "node/lane/lane.h"
#include "nflib/chain/chain.h"

int nd_group_check(void *arg, void (*pulse)(void *arg), void *pulse_arg, struct ft_fault *fault)
{
    const struct nd_group *group = arg;
    int error = 0;

    for (unsigned l = 0; l < group->lanes && !error; l++)
        error = nf_chain_check(group->lane[l].chain, pulse, pulse_arg, fault);
    return error;
}

int nd_group_keeps(void *arg, unsigned lane, const struct ft_line_run *run, struct ft_fault *fault)
{
    const struct nd_group *group = arg;

    return nf_chain_keeps(group->lane[lane].chain, run->line << FT_LINE_SHIFT,
                          (uint64_t)run->count << FT_LINE_SHIFT, run->zero ? NULL : run->bytes, fault);
}
