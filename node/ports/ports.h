/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's DPDK side: the environment layer, the packet pool, the ports. Opened once by run, before
 * threads; used by lanes. Ports are numbered as the chain's interfaces are.
 */
#ifndef NODE_PORTS_PORTS_H
#define NODE_PORTS_PORTS_H

#include "node/config/config.h"
#include "node/lane/io.h"
#include "node/ports/deal.h"

struct nd_ports {
    struct nd_io io; /* what lanes see; the number of ports is io.ports */
    struct rte_mempool *pool;
    struct nd_deal deal; /* id and side of the ports; the rest with several lanes */
    uint64_t refused;    /* frames too short, too long or scattered; roughly right with several lanes */
};

/* One clear line in `fault` for what DPDK says in many: FT_EINVAL (devargs), FT_EPERM, FT_ENOMEM. Closed by
 * nd_ports_close, also after a failure of somebody else's. */
int nd_ports_open(struct nd_ports *ports, const struct nd_config *config, unsigned node,
                  struct ft_fault *fault);
void nd_ports_close(struct nd_ports *ports);

#endif
